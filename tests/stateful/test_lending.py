"""Venues that borrow from a real Aave, mandates and the carry: what the search must see, and bugs that it must find."""

from __future__ import annotations

from random import Random

import pytest

from ballast.chain.artifacts import ROOT
from ballast.fuzz import hedge_bugs
from ballast.fuzz.actions import Step
from ballast.fuzz.planted import Bug, search
from ballast.fuzz.reach import EXPECTED_OF_LENDING
from ballast.fuzz.runner import Failure, Stats, episode, replay
from ballast.fuzz.shrink import save, shrink, words
from ballast.fuzz.world import Setup
from ballast.model.exact.fixed import WAD, YEAR

EPISODES = 14
LENGTH = 400  # steps
BUDGET = 60.0  # [CPU s]
ANSWERS = (2_000 * 10**8, 40_000 * 10**8)  # of the feeds at first
# Of the planted bugs those that a search finds in a few seconds; the others are for longer ones.
FOUND_SOON = (hedge_bugs.HALF_A_STRAIN, hedge_bugs.TOO_MUCH_HOME)
SHORT = 2  # venue of market 0 that borrows


def near(price: int) -> list[Step]:
    """Pools, their averages and every feed say the price; market 1 stays."""
    pushes: list[Step] = [
        ["push", {"market": 0, "answer": price * 10**8}],
        ["push", {"market": 1, "answer": ANSWERS[1]}],
    ]
    return [*pushes, ["arbitrage", {"market": 0, "price": price * WAD}], ["warp", {"seconds": 301}], *pushes]


OPENING: list[Step] = [
    ["lp_deposit", {"who": "lp1", "units": 10**13}],
    ["deposit_margin", {"who": "trader1", "units": 10**12, "to": "trader1"}],
    ["warp", {"seconds": 12}],
    ["sync_all", {"who": "keeper"}],
    ["warp", {"seconds": 12}],
    ["sync_all", {"who": "keeper"}],
    ["trade", {"who": "trader1", "market": 0, "size": -2_000 * WAD}],
    *near(2_000),
]
HEDGE: Step = ["rebalance", {"who": "keeper", "venue": SHORT, "market": 0, "size": -150 * WAD}]


def test_a_strained_venue_is_unwound_by_mandate_or_not_and_pays_its_carry() -> None:
    """Opened, charged for by Aave, measured, closed by an agent, strained, unwound."""
    month: list[Step] = [["warp", {"seconds": YEAR // 12}], *near(2_000)]
    grant = {"who": "governor", "agent": "stranger", "venues": 4, "size": 10**12, "seconds": YEAR, "share_bps": 3_000}
    hedge = {"who": "stranger", "mandate": 0, "venue": SHORT, "market": 0, "size": -100 * WAD}
    steps: list[Step] = [
        *OPENING, ["grant_mandate", grant], HEDGE, ["measure_carry", {"who": "keeper", "market": 0}], *near(2_000),
        ["hedge_by_mandate", hedge], *month, ["measure_carry", {"who": "keeper", "market": 0}],
        ["revoke_mandate", {"who": "guardian", "mandate": 0}], *near(2_500),
        ["unwind", {"who": "stranger", "venue": SHORT, "most": 2**255}],
    ]  # fmt: skip
    w = replay(steps, Setup(lending=True), thorough=False, ask=())
    assert w.outcomes[-1].ok
    assert w.twin.perp_engine.config(0).carry > 0
    assert w.mandated[0] > 0
    account = w.short(SHORT).standing().account
    assert account is not None
    assert account[-1] > w.short(SHORT).terms.floor_health


def test_reserve_covers_its_share_when_a_liquidated_venue_is_unwound() -> None:
    """Found by a search: what the first report of the block released was not yet booked when the second rise of U was
    covered, so that R fell below its share (I3)."""
    steps: list[Step] = [
        *OPENING, HEDGE, ["warp", {"seconds": 86_400}], *near(3_100),
        ["liquidate_venue", {"venue": SHORT, "units": 50 * WAD}],
        ["unwind", {"who": "stranger", "venue": SHORT, "most": 2**255}],
    ]  # fmt: skip
    w = replay(steps, Setup(lending=True), thorough=False, ask=())
    assert w.outcomes[-1].ok


@pytest.mark.fuzz
def test_search_at_a_lender_breaks_no_invariant_and_sees_what_it_must(fuzz_scale: int) -> None:
    stats = Stats()
    for seed in range(EPISODES * fuzz_scale):
        setup = Setup((6, 8, 18)[seed % 3], options=seed % 4 == 0, feeders=int(seed % 4 == 0), lending=True)
        try:
            episode(seed, LENGTH, setup, stats)
        except Failure as failure:
            short = shrink(failure)
            pytest.fail("\n".join([str(short), *words(short), f"saved as {save(short)}"]), pytrace=False)
    assert not [what for what in EXPECTED_OF_LENDING if not stats.reached[what]], stats.reached


@pytest.mark.fuzz
@pytest.mark.parametrize("bug", FOUND_SOON, ids=lambda bug: bug.name)
def test_search_finds_what_is_wrong_with_hedges(bug: Bug) -> None:
    """By the invariants alone where they can see it; without the twin's mistake it is found sooner."""
    found = search(bug, seconds=BUDGET, twin_too=bool(bug.twin))
    assert bool(bug.twin) != bool(bug.unseen)
    assert found.by.startswith("i13_") != bool(bug.twin)


@pytest.mark.parametrize("bug", hedge_bugs.BUGS, ids=lambda bug: bug.name)
def test_edits_fit_the_sources_of_today(bug: Bug) -> None:
    for edit in (*bug.edits, *bug.twin):
        text = (ROOT / edit.source).read_text()
        assert edit.apply(text) != text


def test_some_worlds_of_any_search_have_an_aave() -> None:
    drawn = [Setup.draw(Random(seed), profile) for seed in range(100) for profile in ("perps", "all")]
    assert 10 < sum(setup.lending for setup in drawn) < 60
