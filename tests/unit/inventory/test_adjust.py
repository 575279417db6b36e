"""Changes of exposure that are no trades: what an engine values anew, at a block's start and between its trades."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ballast.chain import reverts
from ballast.model.exact.fixed import MICRO, WAD
from ballast.model.exact.fixed import Reverted as TwinReverted
from ballast.model.exact.structs import Change, Exposure
from ballast.testing.parameters import INVENTORY
from tests.unit.inventory.conftest import Bench, make_bench, words
from tests.unit.inventory.test_inventory_twin import adjust, assert_equal, assert_sums, change_words, trade


def revaluation(size: int, *, book: int = 0) -> Change:
    """What raises U if size > 0: delta, and options that lose with volatility and in every scenario."""
    x = Exposure(delta=-size * WAD, gamma=size * WAD // 1_000, vega=size * 5_000 * WAD)
    stress = tuple(-size * k * 1_000 + k for k in range(8))
    return Change(x, options=True, stress=stress, book=book)


def opposite(c: Change) -> Change:
    x = c.exposure
    return Change(Exposure(-x.delta, -x.gamma, -x.vega), c.options, tuple(-each for each in c.stress), book=-c.book)


def new_round(bench: Bench, wei: int) -> None:
    """A minute later; prices move by wei, since a round that changes nothing is not seen."""
    bench.chain.warp(61)
    for market in (0, 1):
        bench.set_mark(market, 2_000 * WAD + wei, 6 * WAD // 10)
    bench.contract.send("sync_all")
    bench.twin.sync_all(bench.chain.now)


def charge(bench: Bench, market: int, delta: int) -> int:
    """What a linear trade would be charged now [quote, WAD]."""
    change = Change(Exposure(delta=delta))
    value: int = bench.contract.call("quote", market, words(bench.mark(market)), change_words(change)).charge
    return value


def standing() -> Bench:
    """Delta in both markets and greeks in the first, all charged for and old enough: whoever balances them is paid."""
    bench = make_bench()
    bench.set_ledger(10_000_000 * WAD, 0)
    new_round(bench, 0)
    new_round(bench, 0)
    trade(bench, 0, -500 * WAD)
    trade(bench, 1, -300 * WAD)
    mark, change = bench.mark(0), revaluation(100)
    q = bench.contract.send("trade", 0, words(mark), change_words(change), sender=bench.engine).value
    bench.twin.trade(0, mark, change, bench.chain.now)
    lp, reserve = bench.twin.clearinghouse.vault_ledger()
    bench.set_ledger(lp, reserve + q.charge)
    for wei in (1, 2, 3, 1, 2, 0):  # two windows, of three rounds each
        new_round(bench, wei)
    bench.chain.warp(12)
    assert charge(bench, 1, 300 * WAD) < 0
    return bench


def test_adjust_by_an_engine_at_a_blocks_start_leaves_other_markets_to_be_marked() -> None:
    bench = standing()
    adjust(bench, 0, revaluation(40), hedges=False)
    assert not bench.contract.call("frozen")
    bench.set_mark(1, 2_500 * WAD, 9 * WAD // 10)
    bench.contract.send("sync", 1)
    bench.twin.sync(1, bench.chain.now)
    assert bench.contract.call("market", 1).price == 2_500 * WAD
    assert_equal(bench)
    assert_sums(bench)


@pytest.mark.parametrize("moved", [2_000_000 * WAD, -2_000_000 * WAD])
def test_adjust_opens_the_block_at_the_equity_before_its_cash_moved(moved: int) -> None:
    """LP cash that is at a venue already, or back, when the hedge is told: E, lows and fall are as without it."""
    falls, books = [], []
    for told in (0, moved):
        bench = standing()
        lp, reserve = bench.twin.clearinghouse.vault_ledger()
        bench.set_ledger(lp - told, reserve)
        falls.append(adjust(bench, 0, Change(Exposure(delta=50 * WAD)), hedges=True, moved=told))
        assert_equal(bench)
        books.append(bench.contract.call("book"))
    assert falls[0] == falls[1]
    assert books[0] == books[1]
    assert books[0].capital > 0


def test_adjust_by_a_hedger_freezes_the_block() -> None:
    bench = standing()
    adjust(bench, 0, Change(Exposure(delta=WAD)), hedges=True)
    assert bench.contract.call("frozen")
    bench.set_mark(1, 2_500 * WAD, 9 * WAD // 10)
    bench.contract.send("sync", 1)
    bench.twin.sync(1, bench.chain.now)
    assert bench.contract.call("market", 1).price == 2_000 * WAD
    assert_equal(bench)
    bench.chain.warp(12)
    assert not bench.contract.call("frozen")


def test_hedge_is_measured_at_marks_of_every_market_that_is_due() -> None:
    """A hedge is paid for the fall of a U that is as young as a trade's: not at a mark of hours ago elsewhere."""
    falls = []
    for synced in (True, False):
        bench = standing()
        bench.chain.warp(bench.contract.call("params").sweep_age + 1)
        for market in (0, 1):
            bench.set_mark(market, 2_000 * WAD if market == 0 else 1_400 * WAD, 6 * WAD // 10)
        if synced:
            bench.contract.send("sync_all")
            bench.twin.sync_all(bench.chain.now)
        falls.append(adjust(bench, 0, Change(Exposure(delta=100 * WAD)), hedges=True).fall)
        assert bench.contract.call("market", 1).price == 1_400 * WAD
        assert_equal(bench)
    assert falls[0] == falls[1] > 0


@pytest.mark.parametrize("size", [40, -40, -100])
def test_adjust_at_a_blocks_start_moves_the_low_water_mark_in_proportion(size: int) -> None:
    bench = standing()
    bench.contract.send("sync_all")
    bench.twin.sync_all(bench.chain.now)
    before = bench.contract.call("book")
    adjust(bench, 0, revaluation(size), hedges=False)
    after = bench.contract.call("book")
    assert (after.last > before.last) == (size > 0)
    assert after.low == before.low * after.last // before.last > 0
    assert after.low_prev == before.low_prev * after.last // before.last > 0
    assert after.opening == after.last
    assert_equal(bench)


def test_adjust_at_a_blocks_start_pays_rebates_in_proportion_and_no_more_than_r_holds() -> None:
    """A fall of U by valuation is nobody's merit; a rise has been charged to nobody, and R covers less of it."""
    coverages = []
    for size in (-60, 0, 60):
        bench = standing()
        adjust(bench, 0, revaluation(size), hedges=False)
        state, (_, reserve) = bench.contract.call("state"), bench.ledger.call("vault_ledger")
        assert state.coverage * state.potential // WAD <= reserve
        q = trade(bench, 1, 300 * WAD)
        fall = q.potential_before - q.potential_after
        assert q.charge == pytest.approx(-fall * state.coverage // WAD, abs=2 * MICRO)
        assert 0 < -q.charge <= fall
        assert_equal(bench)
        coverages.append(state.coverage)
    assert coverages[0] == coverages[1] == WAD > coverages[2]


def test_adjust_between_trades_ends_the_rebates_of_the_block() -> None:
    bench = standing()
    trade(bench, 0, -1)
    assert charge(bench, 1, 300 * WAD) < 0
    adjust(bench, 0, revaluation(-10), hedges=False)
    assert not bench.contract.call("frozen")
    assert bench.contract.call("state").coverage == 0
    assert charge(bench, 1, 300 * WAD) == 0
    assert_equal(bench)
    bench.chain.warp(12)
    assert charge(bench, 1, 300 * WAD) < 0


@pytest.mark.parametrize("hedges", [False, True])
def test_adjust_waits_for_the_next_block_once_somebody_was_paid(hedges: bool) -> None:
    bench = standing()
    if hedges:
        adjust(bench, 0, Change(Exposure(delta=WAD)), hedges=True)
    else:
        assert trade(bench, 1, 100 * WAD).charge < 0
    assert bench.contract.call("frozen")
    arguments = 0, words(bench.mark(0)), change_words(revaluation(-10)), 0
    before = bench.contract.call("book")
    with reverts("inventory: rebates in this block"):
        bench.contract.send("adjust", *arguments, sender=bench.engine)
    with pytest.raises(TwinReverted, match=r"^inventory: rebates in this block$"):
        bench.twin.adjust(0, bench.mark(0), revaluation(-10), bench.chain.now, hedges=False)
    assert bench.contract.call("book") == before
    assert_equal(bench)
    bench.chain.warp(12)
    adjust(bench, 0, revaluation(-10), hedges=False)
    assert_equal(bench)


def test_adjust_between_trades_is_accepted_above_u_max() -> None:
    """A trade never waits for a valuation: what it says is taken, whatever it means for utilization."""
    bench = standing()
    trade(bench, 0, -1)
    worse = Change(Exposure(vega=WAD), options=True, stress=(-9_500_000,) * 8)
    adjust(bench, 0, worse, hedges=False)
    state = bench.contract.call("state")
    assert state.stressed_loss > state.capital * INVENTORY.u_max // WAD
    assert_equal(bench)


def test_adjust_settled_board_leaves_nothing_behind() -> None:
    bench = standing()
    value = bench.contract.call("book").value
    adjust(bench, 0, revaluation(20, book=777 * WAD), hedges=False)
    for change in (opposite(revaluation(20, book=777 * WAD)), opposite(revaluation(100))):
        adjust(bench, 0, change, hedges=False)
    market, book = bench.contract.call("market", 0), bench.contract.call("book")
    assert (market.gamma, market.vega, list(market.stress), market.optioned) == (0, 0, [0] * 8, False)
    assert (book.sums.b, book.sums.g, book.sums.gg, book.optioned, book.value) == (0, 0, 0, 0, value)
    assert_equal(bench)
    assert_sums(bench)


def test_adjust_at_a_blocks_start_counts_for_hedges_and_between_trades_does_not() -> None:
    """A hedge is measured from U at the block's start, which a valuation belongs to only while no trade has been."""
    falls = []
    for trades in (False, True):
        bench = standing()
        if trades:
            trade(bench, 0, -1)
        adjust(bench, 0, Change(Exposure(delta=-300 * WAD), options=True), hedges=False)
        falls.append(adjust(bench, 0, Change(Exposure(delta=300 * WAD)), hedges=True).fall)
    assert falls[0] > MICRO >= falls[1]


def test_horizon_is_that_of_the_parameters(bench: Bench) -> None:
    assert bench.contract.call("horizon") == INVENTORY.horizon


sizes = st.integers(-1_000, 1_000).filter(bool)
legs = st.one_of(
    st.tuples(st.just("trade"), st.integers(0, 1), sizes),
    st.tuples(st.just("option"), st.integers(0, 1), st.integers(-300, 300).filter(bool)),
    st.tuples(st.just("value"), st.integers(0, 1), st.integers(-300, 300).filter(bool)),
)


def act(bench: Bench, kind: str, market: int, change: Change) -> int:
    """One leg on both, nothing refused for utilization; what it was charged [quote, WAD]."""
    if kind == "value":
        adjust(bench, market, change, hedges=False)
        return 0
    mark = bench.mark(market)
    value: Any = bench.contract.send("trade", market, words(mark), change_words(change), sender=bench.engine).value
    bench.twin.trade(market, mark, change, bench.chain.now)
    lp, reserve = bench.twin.clearinghouse.vault_ledger()
    bench.set_ledger(lp + value.release, reserve + value.charge - value.release)
    charged: int = value.charge
    return charged


def changes(legs: list[tuple[str, int, int]]) -> list[tuple[str, int, Change]]:
    """The legs, and then what takes every trade back, first to last."""
    path = []
    for kind, market, size in legs:
        change = revaluation(size) if kind != "trade" else Change(Exposure(delta=size * WAD))
        path.append((kind, market, change))
    path += [(kind, market, opposite(change)) for kind, market, change in path if kind != "value"]
    return [
        (
            kind,
            market,
            change if kind == "value" else Change(change.exposure, change.options, change.stress, closing=True),
        )
        for kind, market, change in path
    ]


@settings(max_examples=40)
@given(st.integers(-300, 300), st.lists(legs.filter(lambda leg: leg[0] != "value"), min_size=1, max_size=5))
def test_no_round_trip_pays_after_a_valuation_at_the_blocks_start(
    size: int, trades: list[tuple[str, int, int]]
) -> None:
    """I6 holds whatever an engine says of what it holds before the first trade."""
    bench = standing()
    adjust(bench, 0, revaluation(size), hedges=False)
    path = changes(trades)
    assert sum(act(bench, *leg) for leg in path) >= -len(path)
    assert_equal(bench)
    assert_sums(bench)


@settings(max_examples=60)
@given(st.lists(legs, min_size=1, max_size=7))
def test_no_path_pays_whatever_comes_between_its_trades(path: list[tuple[str, int, int]]) -> None:
    """I6 over valuations: none comes after a rebate, and no rebate comes after one."""
    bench = standing()
    paid, taken, revalued = 0, 0, False
    for kind, market, change in changes(path):
        if kind == "value" and bench.contract.call("frozen"):
            continue
        revalued = revalued or (kind == "value" and bench.contract.call("book").changed)
        charged = act(bench, kind, market, change)
        assert charged >= 0 or not revalued
        paid, taken = paid + charged, taken + 1
        state, (_, reserve) = bench.contract.call("state"), bench.ledger.call("vault_ledger")
        assert state.coverage * state.potential // WAD <= reserve
    assert paid >= -taken
    assert_equal(bench)
    assert_sums(bench)


@pytest.mark.xfail(strict=True, reason="the minima move with U, its slope may move further: docs/decisions.md, Open")
def test_no_trade_ahead_of_a_valuation_pays() -> None:
    """Open in a market that adds next to nothing to a large book, close after a valuation of 60 % of equity in it."""
    bench = make_bench()
    bench.set_ledger(10_000_000 * WAD, 0)
    new_round(bench, 0)
    new_round(bench, 0)
    trade(bench, 1, 4_000 * WAD, closing=True)
    for wei in (1, 2, 3, 1, 2, 0):
        new_round(bench, wei)
    bench.chain.warp(1)
    cost = sum(trade(bench, 0, -300 * WAD, closing=True)[:2])
    bench.chain.warp(1)
    adjust(bench, 0, Change(Exposure(delta=-3_000 * WAD), options=True), hedges=False)
    cost += sum(trade(bench, 0, 300 * WAD, closing=True)[:2])
    assert cost >= 0, f"{-cost / WAD:.0f} quote gained, half-spreads paid"
