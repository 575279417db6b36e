"""Parameters of Inventory: every bound to the last step, every bit of the words, and the same rule with any of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ballast.chain import reverts
from ballast.model.exact.fixed import WAD, Reverted
from ballast.model.exact.inventory import Params
from ballast.model.words import InventoryMarketParams, InventoryParams
from ballast.testing.parameters import INVENTORY, INVENTORY_MARKET
from tests.unit.deploy.test_words import market_params, params
from tests.unit.inventory.conftest import Bench, make_bench
from tests.unit.inventory.test_inventory_twin import assert_equal, run, steps, trade

PIP, BASIS, MILLI = 10**12, 10**14, 10**15
DAY = 86_400

AT_THE_BOUNDS: list[dict[str, int]] = [
    {"aversion": 0}, {"aversion": 100 * WAD},
    {"knee": BASIS}, {"knee": WAD},
    {"c_lo": WAD, "c_hi": WAD}, {"c_lo": 0, "c_hi": 0},
    {"rho": -WAD + BASIS}, {"rho": WAD - BASIS},
    {"omega": 0}, {"omega": WAD},
    {"u_star": PIP}, {"u_star": WAD - 2 * PIP, "u_max": WAD - PIP}, {"u_star": PIP, "u_max": 2 * PIP},
    {"horizon": 3_600}, {"horizon": 10 * DAY},
    {"funding_max": 0}, {"funding_max": 3 * WAD},
    {"release_period": 3_600}, {"release_period": 10 * DAY},
    {"sweep_age": 0}, {"sweep_age": DAY // 2},
    {"borrow_kink": 0, "borrow_max": 0}, {"borrow_kink": 5 * WAD, "borrow_max": 5 * WAD},
]  # fmt: skip
BEYOND: list[dict[str, int]] = [
    {"aversion": 100 * WAD + MILLI},
    {"knee": 0}, {"knee": WAD + BASIS},
    {"c_lo": 2 * BASIS, "c_hi": BASIS}, {"c_lo": WAD, "c_hi": WAD + BASIS},
    {"rho": -WAD}, {"rho": WAD},
    {"omega": WAD + PIP},
    {"u_star": 0}, {"u_star": INVENTORY.u_max}, {"u_max": WAD},
    {"horizon": 3_599}, {"horizon": 10 * DAY + 1},
    {"funding_max": 3 * WAD + BASIS},
    {"release_period": 3_599}, {"release_period": 10 * DAY + 1},
    {"sweep_age": DAY // 2 + 1},
    {"borrow_kink": 2 * BASIS, "borrow_max": BASIS}, {"borrow_kink": 0, "borrow_max": 5 * WAD + BASIS},
]  # fmt: skip
MARKET_LIMITS = {
    "base": (2 * 10**16, PIP), "floor": (2 * 10**16, PIP), "z": (10 * WAD, MILLI), "tau": (3_600, 1),
    "deviation": (5 * 10**16, PIP), "vol_of_vol": (10 * WAD, PIP), "vol_floor": (10**17, PIP),
    "vol_z": (10 * WAD, MILLI), "vol_tau": (43_200, 1),
}  # fmt: skip


@pytest.mark.parametrize("change", AT_THE_BOUNDS, ids=str)
def test_params_at_the_bounds_are_kept(bench: Bench, change: dict[str, int]) -> None:
    value = replace(INVENTORY, **change)
    receipt = bench.contract.send("set_params", value.pack(), sender=bench.chain.accounts[0])
    assert bench.contract.call("params") == value.view()
    assert receipt.one("ParamsChanged") == (value.view(),)


@pytest.mark.parametrize("change", BEYOND, ids=str)
def test_params_beyond_the_bounds_revert(bench: Bench, change: dict[str, int]) -> None:
    with reverts("inventory: bad parameter"):
        bench.contract.send("set_params", replace(INVENTORY, **change).pack(), sender=bench.chain.accounts[0])


@pytest.mark.parametrize("name", MARKET_LIMITS)
def test_market_params_end_at_their_bounds(bench: Bench, name: str) -> None:
    most, step = MARKET_LIMITS[name]
    governor = bench.chain.accounts[0]
    for accepted in (0, most):
        value = replace(INVENTORY_MARKET, **{name: accepted})
        receipt = bench.contract.send("set_market_params", 1, value.pack(), sender=governor)
        assert bench.contract.call("market_params", 1) == value.view()
        assert receipt.one("MarketParamsChanged") == (1, value.view())
    with reverts("inventory: bad parameter"):
        beyond = replace(INVENTORY_MARKET, **{name: most + step})
        bench.contract.send("set_market_params", 1, beyond.pack(), sender=governor)


@pytest.mark.parametrize("bit", [168, 169, 255])
def test_market_params_with_bits_beyond_the_fields_revert(bench: Bench, bit: int) -> None:
    with reverts("inventory: bad parameter"):
        bench.contract.send("set_market_params", 1, 1 << bit | INVENTORY_MARKET.pack(), sender=bench.chain.accounts[0])


def test_every_bit_of_the_words_is_read(bench: Bench) -> None:
    """Each field alone has its lowest bit set or not; whatever else is in the word, the others do not show it."""
    governor = bench.chain.accounts[0]
    odd = InventoryParams(
        aversion=99_999 * MILLI, knee=9_999 * BASIS, c_lo=4_095 * BASIS, c_hi=8_191 * BASIS, omega=999_999 * PIP,
        u_star=524_287 * PIP, u_max=999_999 * PIP, horizon=524_287, rho=-WAD + 16_383 * BASIS,
        funding_max=16_383 * BASIS, release_period=524_287, sweep_age=32_767, borrow_kink=32_767 * BASIS,
        borrow_max=49_999 * BASIS,
    )  # fmt: skip
    even = replace(
        odd, aversion=65_536 * MILLI, knee=8_192 * BASIS, c_lo=0, c_hi=8_192 * BASIS, omega=524_288 * PIP,
        u_star=262_144 * PIP, u_max=524_288 * PIP, horizon=524_288, rho=-WAD + 16_384 * BASIS,
        funding_max=16_384 * BASIS, release_period=524_288, sweep_age=32_768, borrow_kink=32_768 * BASIS,
        borrow_max=32_768 * BASIS,
    )  # fmt: skip
    for value in (odd, even):
        bench.contract.send("set_params", value.pack(), sender=governor)
        assert bench.contract.call("params") == value.view()
    for market in (
        InventoryMarketParams(16_383 * PIP, 16_383 * PIP, 8_191 * MILLI, 2_047, 32_767 * PIP, 8_388_607 * PIP,
                              65_535 * PIP, 8_191 * MILLI, 32_767),
        InventoryMarketParams(16_384 * PIP, 16_384 * PIP, 8_192 * MILLI, 2_048, 32_768 * PIP, 8_388_608 * PIP,
                              65_536 * PIP, 8_192 * MILLI, 32_768),
    ):  # fmt: skip
        bench.contract.send("set_market_params", 1, market.pack(), sender=governor)
        assert bench.contract.call("market_params", 1) == market.view()


@settings(max_examples=40)
@given(params(), market_params, st.lists(steps, max_size=8), st.lists(steps, min_size=1, max_size=8))
def test_inventory_equals_twin_with_any_parameters(
    value: InventoryParams, market: InventoryMarketParams, before: list[tuple[Any, ...]], after: list[tuple[Any, ...]]
) -> None:
    """The running sums are made anew from the stored exposures, and every later answer is the twin's."""
    bench = make_bench()
    governor = bench.chain.accounts[0]
    bench.set_ledger(10_000_000 * WAD, 5_000 * WAD)
    for _ in range(2):
        bench.chain.warp(12)
        bench.contract.send("sync_all")
        bench.twin.sync_all(bench.chain.now)
    for step in before:
        run(bench, step)
    bench.chain.warp(1)
    for i in range(2):
        if not bench.twin.markets[i].optioned:
            bench.contract.send("set_market_params", i, market.pack(), sender=governor)
            bench.twin.set_market_params(i, market)
    bench.contract.send("set_params", value.pack(), sender=governor)
    bench.twin.set_params(Params.of(value), bench.chain.now)
    assert_equal(bench)
    for step in after:
        run(bench, step)
        assert_equal(bench)


def test_set_params_prices_the_book_at_once(bench: Bench) -> None:
    """Risk aversion doubles while there is a position: U and the coverage of it are those of the new parameters."""
    trade(bench, 0, -500 * WAD)
    trade(bench, 1, 300 * WAD)
    before = bench.contract.call("state")
    bench.chain.warp(12)
    value = replace(INVENTORY, aversion=2 * INVENTORY.aversion)
    bench.contract.send("set_params", value.pack(), sender=bench.chain.accounts[0])
    bench.twin.set_params(Params.of(value), bench.chain.now)
    after = bench.contract.call("state")
    assert after.potential > before.potential
    assert after.coverage < before.coverage
    assert_equal(bench)


def test_set_params_between_two_trades_of_a_block_reverts(bench: Bench) -> None:
    trade(bench, 0, -500 * WAD)
    with reverts("inventory: block has trades"):
        bench.contract.send("set_params", INVENTORY.pack(), sender=bench.chain.accounts[0])
    bench.chain.warp(1)
    bench.contract.send("set_params", INVENTORY.pack(), sender=bench.chain.accounts[0])


def test_market_with_options_keeps_its_vol_of_vol(bench: Bench) -> None:
    """It is in the sums; everything else may change at any time."""
    run(bench, ("greeks", 0, 100, 0))
    others = {
        name: getattr(INVENTORY_MARKET, name) + getattr(INVENTORY_MARKET, name) // 2
        for name in ("base", "floor", "z", "tau", "deviation", "vol_floor", "vol_z", "vol_tau")
    }
    wider, other = replace(INVENTORY_MARKET, **others), replace(INVENTORY_MARKET, vol_of_vol=WAD)
    for changed, market in ((wider, 0), (other, 1)):
        bench.contract.send("set_market_params", market, changed.pack(), sender=bench.chain.accounts[0])
        bench.twin.set_market_params(market, changed)
    for step in (1, -1):
        changed = replace(wider, vol_of_vol=wider.vol_of_vol + step * 10**12)
        with reverts("inventory: market has options"):
            bench.contract.send("set_market_params", 0, changed.pack(), sender=bench.chain.accounts[0])
        with pytest.raises(Reverted, match=r"^inventory: market has options$"):
            bench.twin.set_market_params(0, changed)
    run(bench, ("greeks", 0, -50, 0))
    assert_equal(bench)


def test_markets_are_listed_in_order_and_sixteen_at_most(bench: Bench) -> None:
    governor, word = bench.chain.accounts[0], INVENTORY_MARKET.pack()
    with reverts("inventory: not listed"):
        bench.contract.send("set_market_params", 3, word, sender=governor)
    for market in range(2, 16):
        bench.contract.send("set_market_params", market, word, sender=governor)
        assert bench.contract.call("market_count") == market + 1
    with reverts("inventory: not listed"):
        bench.contract.send("set_market_params", 16, word, sender=governor)
    assert bench.contract.call("market_count") == 16
