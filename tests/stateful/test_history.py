"""Bugs of peers, re-created in the contracts, are found: against the twin, and by the invariants alone when the twin
has the same bug.

Searches begin at seeds that have found them before and go on from there for a minute at most; docs/reports/history.md
has searches from seeds of no choice.
"""

from __future__ import annotations

import pytest

from ballast.chain.artifacts import ROOT
from ballast.fuzz import history
from ballast.fuzz.planted import Bug, Edit, in_twin
from ballast.model.exact import inventory, vault

BUDGET = 60.0  # [CPU s]


def name(bug: Bug) -> str:
    return bug.name


@pytest.mark.fuzz
@pytest.mark.parametrize("bug", [bug for bug in history.BUGS if not bug.twin], ids=name)
def test_search_finds_what_happened_to_others(bug: Bug) -> None:
    assert history.soonest(bug, BUDGET).seconds < BUDGET


@pytest.mark.fuzz
@pytest.mark.parametrize("bug", [bug for bug in history.BUGS if bug.twin], ids=name)
def test_search_finds_what_the_twin_gets_wrong_too(bug: Bug) -> None:
    """Without the twin's mistake it is found sooner: docs/reports/history.md."""
    assert not history.soonest(bug, BUDGET).by.startswith("i13_")


@pytest.mark.parametrize("bug", history.BUGS, ids=name)
def test_edits_fit_the_sources_of_today(bug: Bug) -> None:
    for edit in (*bug.edits, *bug.twin):
        text = (ROOT / edit.source).read_text()
        assert edit.apply(text) != text


def test_bugs_the_invariants_miss_say_why() -> None:
    for bug in history.BUGS:
        needs_no_twin = bug is history.CALLED_FROM_INSIDE  # an invariant of its own finds it
        assert bool(bug.twin) + bool(bug.unseen) + needs_no_twin == 1, bug.name


def test_twin_is_itself_again_afterwards() -> None:
    with in_twin(history.DEPOSIT_AT_MID.twin):
        assert vault.ask_nav(100, 5, 3, 1) == 100
    assert vault.ask_nav(100, 5, 3, 1) == 107


def test_cached_function_forgets_what_it_answered() -> None:
    twice = Edit("ballast/model/exact/inventory.py", "root_down(seconds * WAD // YEAR)\n", "2 * seconds\n")
    proper = inventory._root_of(86_400)
    with in_twin([twice]):
        assert inventory._root_of(86_400) == 2 * 86_400
    assert inventory._root_of(86_400) == proper


def test_edit_that_no_longer_fits_is_refused() -> None:
    gone = Edit("ballast/model/exact/vault.py", "no such line", "")
    with pytest.raises(ValueError, match="does not contain exactly one 'no such line'"), in_twin([gone]):
        pass
