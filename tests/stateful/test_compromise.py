"""I12: what a role costs LPs whose power is abused in the midst of ordinary traffic, and that more would be noticed."""

from __future__ import annotations

from dataclasses import astuple, replace

import pytest

from ballast.fuzz import compromise
from ballast.fuzz.actions import Step, perform
from ballast.fuzz.runner import Stats, episode
from ballast.fuzz.world import ROLES, Broken, Setup, World
from ballast.model.exact.steward import DAY

SEEDS = {"guardian": (2, 10), "feeder": (2,), "steward": (2, 5), "keeper": (1, 2)}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_that_is_abused_costs_lps_no_more_than_its_bound(role: str, fuzz_scale: int) -> None:
    stats, worlds = Stats(), dict[int, World]()

    def watch(w: World, step: Step) -> None:
        worlds[id(w)] = w

    for seed in (*SEEDS[role], *range(100, 99 + fuzz_scale)):
        episode(seed, 250, stats=stats, profile=role, watch=watch, ends=False)
    tried = {"guardian": "freeze_steward", "feeder": "post_surface", "steward": "move_levers", "keeper": "rebalance"}
    assert stats.ok[tried[role]] > 0
    assert sum(w.abused["bound"] for w in worlds.values()) > 0
    if role in ("steward", "keeper"):
        assert sum(w.abused["loss"] for w in worlds.values()) > 0, "something that there are bounds for"
    if role == "feeder":
        assert sum(stats.refused[f"surface: {why}"] for why in ("too few signatures", "not a signer")) > 10


@pytest.fixture
def world() -> World:
    return World(Setup(compromised="steward"))


def test_a_steward_that_is_too_fast_is_noticed(world: World) -> None:
    """Levers of the contract, and of its twin, that are ten times as fast as the network's file says."""
    steward, twin = world.system.steward, world.twin.steward
    assert twin is not None
    lever = replace(twin.levers[0, 0], speed=9 * 10**18)
    steward.send("set_levers", 0, [(0, astuple(lever))], sender=world.actors["governor"])
    twin.levers[0, 0], twin.moved_at[0, 0] = lever, world.now
    perform(world, ["warp", {"seconds": DAY}])
    words = [17 * 10**18, *steward.call("values", 0)[1:]]
    with pytest.raises(Broken, match="i12_a_steward_keeps_to_band_and_speed"):
        perform(world, ["move_levers", {"who": "steward", "surface_id": 0, "words": words}])


def test_a_loss_beyond_the_bound_is_noticed(world: World) -> None:
    """LP cash that is gone after an adjustment."""
    perform(world, ["lp_deposit", {"who": "lp1", "units": 10**6 * world.unit}])
    step: Step = ["freeze_steward", {"who": "steward", "on": True}]
    before = compromise.watch(world, step)
    assert before is not None
    compromise.i12_a_role_costs_no_more_than_its_bound(world, before)
    world.twin.clearinghouse.lp -= 10**18
    world.valued = None
    with pytest.raises(Broken, match="i12_a_role_costs_no_more_than_its_bound"):
        compromise.i12_a_role_costs_no_more_than_its_bound(world, before)


def test_a_spread_below_the_drift_is_noticed(world: World) -> None:
    """A trade at spreads that the key could not have brought about."""
    perform(world, ["lp_deposit", {"who": "lp1", "units": 10**6 * world.unit}])
    perform(world, ["deposit_margin", {"who": "trader1", "units": 10**5 * world.unit, "to": "trader1"}])
    for _ in range(2):
        perform(world, ["warp", {"seconds": 12}])
        perform(world, ["sync_all", {"who": "keeper"}])
    perform(world, ["push", {"market": 0, "answer": 2_000 * 10**8}])
    perform(world, ["trade", {"who": "trader1", "market": 0, "size": 10**18}])
    compromise.i12_spreads_are_no_less_than_after_the_drift(world)
    (quote,) = world.inventory.quotes
    world.inventory.quotes = [replace(quote, half_spread=quote.half_spread // 3)]
    with pytest.raises(Broken, match="i12_spreads_are_no_less_than_after_the_drift"):
        compromise.i12_spreads_are_no_less_than_after_the_drift(world)
