"""Worlds that only profile "all" draws: what is special about each does happen, on both sides."""

from __future__ import annotations

from random import Random

import pytest

from ballast.fuzz.actions import Step
from ballast.fuzz.runner import replay
from ballast.fuzz.standards import PROPERTIES, examine
from ballast.fuzz.world import GRACE, Setup, World
from ballast.model.exact.fixed import BPS, WAD

PRICE = 2_000  # [quote/ETH]
OPENING: list[Step] = [
    ["lp_deposit", {"who": "lp1", "units": 10**13}],
    ["deposit_margin", {"who": "trader1", "units": 10**12, "to": "trader1"}],
    ["warp", {"seconds": 12}],
    ["sync_all", {"who": "keeper"}],
    ["warp", {"seconds": 12}],
    ["sync_all", {"who": "keeper"}],
]
BUY: Step = ["trade", {"who": "trader1", "market": 0, "size": WAD}]


def prices() -> list[Step]:
    """Every feed says again what it said."""
    answers = [PRICE * 10**8, 40_000 * 10**8]
    return [["push", {"market": market, "answer": answer}] for market, answer in enumerate(answers)]


@pytest.mark.parametrize("token", ["TestToken", "SilentToken", "RudeToken"])
@pytest.mark.parametrize("decimals", [6, 8, 18])
def test_base_is_either_token_of_a_pool(token: str, decimals: int) -> None:
    for rollup in (False, True):
        world = World(Setup(decimals, token, rollup=rollup))
        assert any(pool.base_is_token0 for pools in world.system.pools for pool in pools) is rollup


@pytest.mark.parametrize(("waits", "reason"), [(GRACE, "oracle: stale price"), (GRACE + 1, None)])
def test_nobody_trades_until_the_sequencer_has_been_up_for_a_while(waits: int, reason: str | None) -> None:
    down: list[Step] = [["uptime", {"answer": 1, "seconds": 0}], BUY, ["uptime", {"answer": 2, "seconds": 0}], BUY]
    back: list[Step] = [["uptime", {"answer": 0, "seconds": 0}], ["warp", {"seconds": waits}], *prices(), BUY]
    world = replay([*OPENING, *prices(), *down, *back], Setup(rollup=True), ask=())
    assert [outcome.reason for outcome in world.outcomes] == [reason]


def test_a_wide_round_is_paid_for() -> None:
    """The half-width comes on top of the half-spread, as the part of the price that it is."""
    size = WAD
    spreads = []
    for width in (0, 50):
        steps: list[Step] = [["widen", {"width_bps": width}], ["warp", {"seconds": 12}], *prices()]
        world = replay(
            [*OPENING, *steps, ["trade", {"who": "trader1", "market": 1, "size": size}]], Setup(wide=True), ask=()
        )
        assert world.outcomes[-1].ok
        spreads.append(world.quotes[-1].half_spread)
    assert spreads[1] - spreads[0] == pytest.approx(40_000 * WAD * 50 // BPS, rel=1e-12)


def test_a_round_wider_than_a_word_is_none() -> None:
    steps: list[Step] = [["widen", {"width_bps": 10**30}], ["warp", {"seconds": 12}], *prices()]
    trade: Step = ["trade", {"who": "trader1", "market": 1, "size": WAD}]
    world = replay([*OPENING, *steps, trade], Setup(wide=True), ask=())
    assert world.outcomes[-1].reason == "oracle: stale price"


def test_a_null_venue_refuses_and_is_worth_nothing() -> None:
    gifts: list[Step] = [
        ["donate", {"to": "venue2", "units": 10**9}],
        ["donate_base", {"market": 0, "venue": 2, "units": WAD}],
        ["poke", {"who": "keeper", "venue": 2}],
    ]
    hedge: Step = ["rebalance", {"who": "keeper", "venue": 2, "market": 0, "size": WAD}]
    world = replay([*OPENING, BUY, *gifts, *prices(), hedge], Setup(null=True), ask=())
    assert world.outcomes[-1].reason == "venue: null"
    assert world.manager.venues[2].state.exposure == world.manager.venues[2].state.equity == 0


def test_contracts_with_claims_are_no_callers() -> None:
    """A contract that was named controller cannot claim: no property may take it for somebody who acts."""
    units = 10**12
    waiting: list[Step] = [
        ["request", {"who": "lp1", "shares": 10**6 * WAD, "to": to}] for to in ("lp1", "token", "clearinghouse")
    ]
    epoch: list[Step] = [["warp", {"seconds": 86_400}], *prices(), ["process_epoch", {"who": "keeper"}]]
    world = replay([["lp_deposit", {"who": "lp1", "units": 5 * units}], *OPENING, *waiting, *epoch], Setup(), ask=())
    assert world.vault.max_redeem(world.key("token")) > 0
    for seed in range(8):
        examine(world, Random(seed), PROPERTIES)


@pytest.mark.parametrize("answer", [0, -1])
def test_pools_follow_a_feed_that_says_nothing_to_the_lowest_price(answer: int) -> None:
    replay([["push", {"market": 0, "answer": answer, "age": 1}], ["crowd_pools", {"market": 0}]], thorough=False)


def test_time_stops_where_the_words_of_the_inventory_end() -> None:
    lifetimes: list[Step] = [["warp", {"seconds": 700_000_000}]] * 5
    world = replay([*lifetimes, *prices(), ["perp_sync", {"who": "keeper", "market": 1}]], thorough=False)
    assert world.now == 2**32 - 1
