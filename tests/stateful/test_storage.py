"""What the fuzzer reads from storage is what views answer, and no changed word goes unseen."""

from __future__ import annotations

import pytest

from ballast.chain.revm import RevmChain
from ballast.fuzz.invariants import i13_everything_equals_the_twin, i13_ledger_and_books_equal_the_twin
from ballast.fuzz.runner import Driver, Stats
from ballast.fuzz.world import Broken, Setup, World


@pytest.fixture(scope="module")
def busy() -> World:
    """Money, margin and open positions in both markets, and shares waiting."""
    world = World()
    driver = Driver(world, Stats(world.clock))
    for step in (
        ["lp_deposit", {"who": "lp1", "units": 10**13}],
        ["deposit_margin", {"who": "trader1", "units": 10**11, "to": "trader1"}],
        ["warp", {"seconds": 12}],
        ["sync_all", {"who": "keeper"}],
        ["trade", {"who": "trader1", "market": 0, "size": 10**19}],
        ["trade", {"who": "trader1", "market": 1, "size": -(10**18)}],
        ["request", {"who": "lp1", "shares": 10**21, "to": "lp1"}],
    ):
        driver.step(list(step))
        assert all(outcome.ok for outcome in world.outcomes)
    driver.finish()
    return world


def test_refresh_of_unchanged_storage_finds_nothing(busy: World) -> None:
    busy.storage.refresh()
    assert busy.storage.refresh() == set()


def test_any_changed_word_is_seen(busy: World) -> None:
    every_changed_word_is_seen(busy)


def test_any_changed_word_of_options_is_seen() -> None:
    world = World(Setup(desk=True))
    driver = Driver(world, Stats(world.clock))
    option = {"delta": 10**18, "gamma": 10**15, "vega": -(10**20), "stress": [1_000 * i for i in range(-4, 4)]}
    for step in (
        ["lp_deposit", {"who": "lp1", "units": 10**13}],
        ["warp", {"seconds": 12}],
        ["sync_all", {"who": "keeper"}],
        *(["trade_greeks", {"who": "stranger", "market": market, **option}] for market in (0, 1)),
    ):
        driver.step(list(step))
        assert all(outcome.ok for outcome in world.outcomes)
    every_changed_word_is_seen(world)


def every_changed_word_is_seen(busy: World) -> None:
    assert isinstance(busy.chain, RevmChain)
    i13_everything_equals_the_twin(busy)
    i13_ledger_and_books_equal_the_twin(busy)
    for cell in busy.storage.cells:
        for number, slot in enumerate(cell.slots):
            if cell.name.startswith("requests") and number == 1:
                continue  # the word of a late ticket means nothing while there is none
            if cell.name == "inventory" and number == 4 and not busy.inventory.book.auction_low:
                continue  # nor does that of an auction
            word = busy.chain.storage(cell.contract, slot)
            busy.chain._evm.insert_account_storage(cell.contract.address, slot, word ^ (1 << 64 | 1 << 240))
            with pytest.raises(Broken, match=f"i13_state_equals_the_twin: {cell.name}"):
                i13_ledger_and_books_equal_the_twin(busy)
            busy.chain._evm.insert_account_storage(cell.contract.address, slot, word)
    i13_ledger_and_books_equal_the_twin(busy)
