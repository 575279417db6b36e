"""Tokens, venues and callers that mean harm: sequences that once broke something, and the search for the next."""

from __future__ import annotations

import pytest

from ballast.fuzz.actions import Step
from ballast.fuzz.runner import replay
from ballast.fuzz.world import Setup
from ballast.model.exact.fixed import WAD

OPENING: list[Step] = [
    ["lp_deposit", {"who": "lp1", "units": 10**12}],
    ["deposit_margin", {"who": "trader1", "units": 10**10, "to": "trader1"}],
    ["warp", {"seconds": 12}],
    ["sync_all", {"who": "keeper"}],
    ["warp", {"seconds": 12}],
    ["trade", {"who": "trader1", "market": 0, "size": WAD}],
    ["endow", {"venue": 2, "held": WAD}],
]


@pytest.mark.parametrize(
    ("skew", "told_bps"),
    [(0, 10**18), (0, 10**21), (10**9 * WAD, 10_000), (-(10**9) * WAD, 10_000), (2**111, 10_000), (-(2**111), 10_000)],
)
def test_venue_that_boasts_stops_nobody(skew: int, told_bps: int) -> None:
    """What it says fits the checks of an answer and not the words of Inventory, or only until the price moves."""
    after: list[Step] = [
        ["misbehave", {"venue": 2, "manners": [], "skew": skew, "told_bps": told_bps}],
        ["poke", {"who": "keeper", "venue": 2}],
        ["warp", {"seconds": 12}],
        ["push", {"market": 0, "answer": 4_000 * 10**8}],
        ["sync_all", {"who": "keeper"}],
        ["close", {"who": "trader1", "market": 0}],
        ["lp_deposit", {"who": "lp2", "units": 10**9}],
        ["poke", {"who": "keeper", "venue": 2}],
        ["misbehave", {"venue": 2, "manners": []}],
        ["poke", {"who": "keeper", "venue": 2}],
    ]
    world = replay([*OPENING, *after], Setup(doubles=1))
    assert all(outcome.ok for outcome in world.outcomes)
    assert world.twin.perp_engine.position(world.address("trader1"), 0).size == 0
    assert world.manager.venues[2].state.exposure == WAD
