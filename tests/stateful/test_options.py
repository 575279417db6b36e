"""Bugs planted in what only options use: the twin finds each, and invariants do where contract and twin have it.

Searches begin at seeds that have found them before, as in test_history.py.
"""

from __future__ import annotations

import pytest

from ballast.fuzz import history, option_bugs
from ballast.fuzz.planted import Bug, search

BUDGET = 60.0  # CPU seconds for each search


@pytest.mark.fuzz
@pytest.mark.parametrize("bug", option_bugs.BUGS, ids=lambda bug: bug.name)
def test_twin_finds_the_planted_bug(bug: Bug) -> None:
    assert search(bug, seconds=BUDGET).by.startswith("i13_")


@pytest.mark.fuzz
@pytest.mark.parametrize("bug", [bug for bug in option_bugs.BUGS if bug.twin], ids=lambda bug: bug.name)
def test_invariants_find_the_planted_bug_alone(bug: Bug) -> None:
    assert not history.soonest(bug, BUDGET).by.startswith("i13_")
