"""A keeper who means harm: it knows every function that anybody may call, and what it can take is noticed."""

from __future__ import annotations

from random import Random

import pytest

from ballast.chain import RevmChain
from ballast.fuzz import keeper
from ballast.fuzz.hostile import OF_INVENTORY, OF_POOLS, PUBLIC, functions
from ballast.fuzz.keeper import CALLS, GANG, HEDGES, SERVICES, Keeper, i10_no_malicious_keeper_profits
from ballast.fuzz.runner import replay
from ballast.fuzz.world import Broken, Setup, World
from ballast.model.exact.fixed import WAD
from ballast.model.roles import OFFICE, POWERS
from tests.stateful.test_lending import HEDGE, OPENING, SHORT, near


@pytest.fixture(scope="module")
def world() -> World:
    """Traders are short, and a part of that is hedged at Aave."""
    return replay([*OPENING, HEDGE, *near(2_000)], Setup(lending=True), thorough=False, ask=())


def test_the_keeper_calls_every_function_that_has_no_role(world: World) -> None:
    """By the ABIs: what is neither a power of a role nor a venue's for its manager, the pools' or Inventory's."""
    venues = {(name, fn) for name in ("UniswapV3Venue", "AaveShortVenue") for fn in ("rebalance", "recall", OF_POOLS)}
    for contract in world.contracts.values():
        name = contract.artifact.name
        open_ones = {function.name for function in functions(contract)} - {*POWERS.get(name, {}), *OFFICE}
        open_ones |= {fn for fn in PUBLIC.get(name, ()) if fn in POWERS.get(name, {})}
        open_ones = {fn for fn in open_ones if (name, fn) not in venues | {OF_INVENTORY}}
        assert open_ones == set(CALLS.get(name, {})), name
    assert {name: set(calls) for name, calls in CALLS.items()} == {name: set(fns) for name, fns in PUBLIC.items()}
    assert all(fn in CALLS[name] for name, fn in HEDGES | SERVICES)


def test_keepers_who_mean_harm_gain_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many times in a state where hedges pay: some go through, at prices that their keepers have moved."""
    monkeypatch.setattr(keeper, "EVERY", 1)
    world.malice = 0
    for seed in range(60):
        i10_no_malicious_keeper_profits(world, Random(seed))
    assert world.malice > 60


def test_what_a_keeper_takes_is_noticed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vault that pays a stranger a quote for nothing would be found out: the sums are of all that the gang owns."""
    monkeypatch.setattr(keeper, "EVERY", 1)

    def steal(k: Keeper) -> None:
        chain = k.w.chain
        assert isinstance(chain, RevmChain)
        k.w.system.quote.send("transfer", GANG[1], k.w.unit, sender=k.w.address("lp1"))

    monkeypatch.setattr(keeper, "_act", steal)
    with pytest.raises(Broken, match="i10_no_malicious_keeper_profits"):
        i10_no_malicious_keeper_profits(world, Random(1))


def test_the_venue_is_as_it_was_after_all_that(world: World) -> None:
    assert world.short(SHORT).exposure() == world.contracts[f"venue{SHORT}"].call("exposure")
    assert abs(world.short(SHORT).exposure() + 150 * WAD) < 10**16
