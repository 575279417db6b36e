"""Contract == exact twin, to the wei, along random sequences; and the properties that make U worth having."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ballast.chain import reverts
from ballast.model.exact import fixed
from ballast.model.exact.fixed import MICRO, WAD
from ballast.model.exact.structs import Change, Exposure
from ballast.model.roles import Role
from ballast.testing.parameters import INVENTORY
from tests.unit.inventory.conftest import Bench, make_bench, words

sizes = st.integers(-3_000, 3_000).map(lambda n: n * WAD // 3)
steps = st.one_of(
    st.tuples(st.just("trade"), st.integers(0, 1), sizes, st.booleans()),
    st.tuples(st.just("trade"), st.integers(0, 1), st.sampled_from([1, -1, 10**9, -(10**12)]), st.booleans()),
    st.tuples(st.just("greeks"), st.integers(0, 1), st.integers(-500, 500), st.integers(-200, 200)),
    st.tuples(st.just("hedge"), st.integers(0, 1), sizes, st.integers(-10_000, 10_000)),
    st.tuples(st.just("revalue"), st.integers(0, 1), st.integers(-500, 500), st.integers(-200, 200)),
    st.tuples(st.just("mark"), st.integers(0, 1), st.integers(900, 4_000), st.integers(20, 250)),
    st.tuples(
        st.just("warp"),
        st.sampled_from([1, 12, 59, 60, 61, 600, 899, 900, 901, 86_400, 90_000]),
        st.just(0),
        st.just(0),
    ),
    st.tuples(st.just("ledger"), st.integers(100_000, 20_000_000), st.integers(0, 30_000), st.just(0)),
    st.tuples(st.just("sync"), st.integers(0, 2), st.just(0), st.just(0)),
)


def both(bench: Bench, send: Any, act: Any) -> tuple[Any, Any]:
    """Run on contract and twin; both answer or both revert with the same reason."""
    try:
        expected = act()
    except fixed.Reverted as error:
        with reverts(str(error)):
            send()
        return None, None
    return send(), expected


def change_words(c: Change) -> tuple[Any, ...]:
    x = c.exposure
    return ((x.delta, x.gamma, x.vega), c.options, list(c.stress), c.notional, c.book, c.vol_age, c.closing)


def greeks(size: int, other: int) -> tuple[Exposure, tuple[int, ...]]:
    """An exposure with all greeks, and the stress of its scenarios."""
    x = Exposure(delta=size * WAD + other, gamma=other * WAD // 100 + size, vega=size * 100 * WAD + other)
    return x, tuple((i - 3) * size * 1_000 + 7 for i in range(8))


def adjust(bench: Bench, market: int, change: Change, *, hedges: bool, moved: int = 0) -> Any:
    """A change that is no trade, on both, its release booked as its caller would."""
    mark = bench.mark(market)
    sender = bench.hedger if hedges else bench.engine
    value = bench.contract.send("adjust", market, words(mark), change_words(change), moved, sender=sender).value
    expected = bench.twin.adjust(market, mark, change, bench.chain.now, hedges=hedges, moved=moved)
    assert tuple(value) == tuple(asdict(expected).values())
    lp, reserve = bench.twin.clearinghouse.vault_ledger()
    bench.set_ledger(lp + expected.release, reserve - expected.release)
    return value


def run(bench: Bench, step: tuple[Any, ...]) -> None:
    kind, one, two, three = step
    chain, contract, twin = bench.chain, bench.contract, bench.twin
    if kind in ("trade", "greeks"):
        x, stress = (Exposure(delta=two), (0,) * 8) if kind == "trade" else greeks(two, three)
        mark = bench.mark(one)
        c = Change(
            exposure=x,
            options=kind == "greeks",
            stress=stress,
            notional=abs(x.delta) * 2_000,
            book=-x.delta // 7,
            vol_age=abs(two) * 100_000 if kind == "greeks" else 0,  # up to a year and a half: every wei of it shows
            closing=bool(three),
        )
        quoted, _ = both(
            bench,
            lambda: contract.call("quote", one, words(mark), change_words(c)),
            lambda: twin.quote(one, mark, c, chain.now),
        )
        receipt, expected = both(
            bench,
            lambda: contract.send("trade", one, words(mark), change_words(c), sender=bench.engine),
            lambda: twin.trade(one, mark, c, chain.now),
        )
        if expected is not None:
            assert tuple(receipt.value) == tuple(asdict(expected).values())
            assert tuple(quoted) == tuple(receipt.value)
            lp, reserve = twin.clearinghouse.vault_ledger()
            assert -expected.charge <= reserve - expected.release
            bench.set_ledger(lp + expected.release, reserve + expected.charge - expected.release)
    elif kind == "hedge":
        adjust(bench, one, Change(Exposure(delta=two), book=three * WAD), hedges=True)
    elif kind == "revalue":
        x, stress = greeks(two, three)
        c = Change(x, options=bool(three), stress=stress, book=two * WAD // 7)
        if not twin.frozen(chain.now):
            adjust(bench, one, c, hedges=False)
            return
        with reverts("inventory: rebates in this block"):
            contract.send("adjust", one, words(bench.mark(one)), change_words(c), 0, sender=bench.engine)
    elif kind == "mark":
        bench.set_mark(one, two * WAD + three, three * WAD // 100 + two, half_width=two % 3 * WAD // 7)
    elif kind == "warp":
        chain.warp(one)
    elif kind == "ledger":
        bench.set_ledger(one * WAD, two * WAD)
    elif one < 2:
        contract.send("sync", one)
        twin.sync(one, chain.now)
    else:
        contract.send("sync_all")
        twin.sync_all(chain.now)


def assert_equal(bench: Bench) -> None:
    """Every stored field of the contract is the twin's."""
    book, twin = bench.contract.call("book"), bench.twin
    expected = asdict(twin.book)
    assert tuple(book.sums) == tuple(expected.pop("sums").values())
    for name, value in expected.items():
        assert getattr(book, name) == value, name
    for i, market in enumerate(twin.markets):
        stored = bench.contract.call("market", i)
        for name, value in asdict(market).items():
            found = getattr(stored, name)
            assert (list(found) if name == "stress" else found) == value, (i, name)
    ledger = bench.ledger.call("vault_ledger")
    assert tuple(ledger) == twin.clearinghouse.vault_ledger()
    assert bench.contract.call("frozen") == twin.frozen(bench.chain.now)
    marks = [bench.mark(i) for i in range(2)]
    for vol_age in (0, 100_000):
        valued = bench.contract.call("valuation", 9_000_000 * WAD, [words(m) for m in marks], vol_age)
        expected = twin.valuation(9_000_000 * WAD, marks, vol_age, bench.chain.now)
        assert tuple(valued) == tuple(asdict(expected).values())


def assert_sums(bench: Bench) -> None:
    """I2: the running sums are the sums over markets, recomputed from their stored words."""
    twin = bench.twin
    shares = [twin._share(m, i) for i, m in enumerate(twin.markets)]
    assert twin.book.sums.a == sum(s.a for s in shares)
    assert twin.book.sums.b == sum(s.b for s in shares)
    assert twin.book.sums.g == sum(s.g for s in shares)
    assert twin.book.sums.p == sum(s.p for s in shares)
    assert twin.book.loss == sum(s.loss for s in shares)


@settings(max_examples=60)
@given(st.lists(steps, min_size=1, max_size=25))
def test_inventory_random_sequence_equals_twin(sequence: list[tuple[Any, ...]]) -> None:
    bench = make_bench()
    bench.set_ledger(10_000_000 * WAD, 0)
    for _ in range(2):
        bench.chain.warp(12)
        bench.contract.send("sync_all")
        bench.twin.sync_all(bench.chain.now)
    for step in sequence:
        run(bench, step)
        assert_equal(bench)
        assert_sums(bench)


def trade(bench: Bench, market: int, delta: int, *, closing: bool = False) -> Any:
    """One linear trade on both, ledger kept as the Clearinghouse would."""
    mark = bench.mark(market)
    c = Change(exposure=Exposure(delta=delta), notional=abs(delta) * mark.price // WAD, closing=closing)
    value = bench.contract.send("trade", market, words(mark), change_words(c), sender=bench.engine).value
    bench.twin.trade(market, mark, c, bench.chain.now)
    lp, reserve = bench.twin.clearinghouse.vault_ledger()
    bench.set_ledger(lp + value.release, reserve + value.charge - value.release)
    return value


def test_trade_documented_example_charges_about_4bp_average(bench: Bench) -> None:
    """docs/mechanism.md §1: equity 10 m, sigma 60 %: the first million of delta costs 3.9 bp on average."""
    q = trade(bench, 0, -500 * WAD)
    assert 3.8e-4 < q.charge / (1_000_000 * WAD) < 4.0e-4
    assert q.potential_before == 0
    assert q.potential_after == q.charge


def test_trade_same_block_round_trip_gets_nothing_back(bench: Bench) -> None:
    opened = trade(bench, 0, -500 * WAD)
    closed = trade(bench, 0, 500 * WAD)
    assert opened.charge > 0
    assert closed.charge == 0


def test_trade_across_one_round_gets_nothing_back(bench: Bench) -> None:
    """Opening ahead of an oracle update and unwinding after it earns no refund."""
    opened = trade(bench, 0, -500 * WAD)
    bench.chain.warp(30)
    bench.set_mark(0, 2_010 * WAD, 6 * WAD // 10)
    closed = trade(bench, 0, 500 * WAD)
    assert opened.charge > 0
    assert closed.charge == 0


def test_trade_genuine_balancing_is_paid_from_reserve(bench: Bench) -> None:
    opened = trade(bench, 0, -500 * WAD)
    for _ in range(4):
        bench.chain.warp(61)
        bench.set_mark(0, 2_000 * WAD, 6 * WAD // 10)
        for m in (0, 1):
            bench.set_mark(m, 2_000 * WAD, 6 * WAD // 10)
            bench.contract.send("sync", m)
            bench.twin.sync(m, bench.chain.now)
    closed = trade(bench, 0, 500 * WAD)
    assert closed.charge < 0
    assert opened.charge + closed.charge >= 0
    assert -closed.charge > opened.charge * 99 // 100


@settings(max_examples=25)
@given(
    st.integers(-900, 900).filter(bool),
    st.lists(st.integers(1, 100), min_size=2, max_size=6),
    st.integers(-600, 600),
)
def test_trade_split_never_cheaper(total: int, weights: list[int], standing: int) -> None:
    """I5: n parts in one block never cost less than one trade (a wei per part)."""
    results = []
    for parts in ([sum(weights)], weights):
        bench = make_bench()
        bench.set_ledger(10_000_000 * WAD, 100 * WAD)
        for _ in range(2):
            bench.chain.warp(12)
            bench.contract.send("sync_all")
            bench.twin.sync_all(bench.chain.now)
        if standing:
            trade(bench, 1, standing * WAD)
        bench.chain.warp(61)
        size, done, cost = total * WAD, 0, 0
        for i, part in enumerate(parts):
            piece = size - done if i == len(parts) - 1 else size * part // sum(weights)
            done += piece
            q = trade(bench, 0, piece)
            cost += q.charge + q.half_spread
        results.append(cost)
    assert results[1] >= results[0] - len(weights)


def test_trade_above_u_max_reverts_but_closing_does_not(bench: Bench) -> None:
    mark = bench.mark(0)
    big = Change(exposure=Exposure(delta=-9_500 * WAD))
    with reverts("inventory: utilization"):
        bench.contract.send("trade", 0, words(mark), change_words(big), sender=bench.engine)
    closing = Change(exposure=Exposure(delta=-9_500 * WAD), closing=True)
    assert bench.contract.send("trade", 0, words(mark), change_words(closing), sender=bench.engine).value.charge > 0


def test_trade_up_to_u_max_exactly(bench: Bench) -> None:
    """10 m of capital, 90 % of it at risk when half the price of 9,000 base is lost; a MICRO more is too much."""
    mark = bench.mark(0)
    most = Change(exposure=Exposure(delta=-9_000 * WAD))
    more = Change(exposure=Exposure(delta=-9_000 * WAD - 1))
    with reverts("inventory: utilization"):
        bench.contract.send("trade", 0, words(mark), change_words(more), sender=bench.engine)
    bench.contract.send("trade", 0, words(mark), change_words(most), sender=bench.engine)
    state = bench.contract.call("state")
    assert state.stressed_loss == 9_000_000 * WAD == state.capital * INVENTORY.u_max // WAD


@pytest.mark.parametrize(("price", "half_width"), [(2_000 * WAD, WAD), (3, 1), (9, 4), (5, 2), (1, 0)])
def test_half_width_of_the_feed_is_part_of_the_spread(bench: Bench, price: int, half_width: int) -> None:
    """A feed that says how sure it is: half the width of its price, as a fraction of the price, however small."""
    bench.set_mark(0, price, 6 * WAD // 10)
    certain = bench.contract.call("quote", 0, words(bench.mark(0)), change_words(Change(Exposure(delta=-WAD))))
    bench.set_mark(0, price, 6 * WAD // 10, half_width=half_width)
    unsure = bench.contract.call("quote", 0, words(bench.mark(0)), change_words(Change(Exposure(delta=-WAD))))
    assert unsure.half_spread - certain.half_spread == half_width


@pytest.mark.parametrize("half_width", [1_000 * WAD, 2_000 * WAD, 9_000 * WAD])
def test_spread_is_at_most_half_the_price_however_unsure_the_feed(bench: Bench, half_width: int) -> None:
    """Else whoever sells would have to pay for being rid of it."""
    bench.set_mark(0, 2_000 * WAD, 6 * WAD // 10, half_width=half_width)
    quote = bench.contract.call("quote", 0, words(bench.mark(0)), change_words(Change(Exposure(delta=-WAD))))
    assert quote.half_spread == 1_000 * WAD


@pytest.mark.parametrize("wei", [1, -1])
def test_a_wei_of_vega_pays_a_wei_of_spread(bench: Bench, wei: int) -> None:
    change = Change(Exposure(vega=wei))
    assert bench.contract.call("quote", 0, words(bench.mark(0)), change_words(change)).half_spread == 1


def test_trade_flash_deposit_moves_no_price(bench: Bench) -> None:
    """E is min(now, last checkpoint): cash that arrives in the block before a trade does not cheapen it."""
    plain = bench.contract.call("quote", 0, words(bench.mark(0)), change_words(Change(Exposure(delta=-500 * WAD))))
    lp, reserve = bench.twin.clearinghouse.vault_ledger()
    bench.set_ledger(lp * 10, reserve)
    after = bench.contract.call("quote", 0, words(bench.mark(0)), change_words(Change(Exposure(delta=-500 * WAD))))
    assert after.charge == plain.charge


def test_trade_other_market_remark_waits_for_next_block(bench: Bench) -> None:
    """A market's mark does not move U between two trades of a block."""
    trade(bench, 1, -300 * WAD)
    bench.chain.warp(61)
    trade(bench, 0, -100 * WAD)
    before = bench.contract.call("state").potential
    bench.set_mark(1, 2_500 * WAD, 9 * WAD // 10)
    bench.contract.send("sync", 1)
    bench.twin.sync(1, bench.chain.now)
    assert bench.contract.call("state").potential == before
    bench.chain.warp(1)
    bench.contract.send("sync", 1)
    assert bench.contract.call("state").potential > before


def test_sync_overdue_sweeps_other_markets_first(bench: Bench) -> None:
    trade(bench, 0, -300 * WAD)
    trade(bench, 1, -300 * WAD)
    bench.chain.warp(INVENTORY.sweep_age + 1)
    bench.set_mark(1, 2_500 * WAD, 6 * WAD // 10)
    trade(bench, 0, -WAD)
    assert bench.contract.call("market", 1).price == 2_500 * WAD
    assert_equal(bench)


def test_release_excess_reaches_lp_cash_linearly(bench: Bench) -> None:
    bench.set_ledger(10_000_000 * WAD, 1_000 * WAD)
    bench.chain.warp(8_640)
    bench.contract.send("sync", 0)
    bench.twin.sync(0, bench.chain.now)
    lp, reserve = bench.ledger.call("vault_ledger")
    elapsed = 8_640 + 61
    assert reserve == 1_000 * WAD - 1_000 * WAD * elapsed // 86_400
    assert lp == 10_000_000 * WAD + 1_000 * WAD - reserve


def test_hedge_lowers_opening_so_that_one_fall_is_paid_once(bench: Bench) -> None:
    trade(bench, 0, -500 * WAD)
    bench.chain.warp(61)
    hedge = Change(Exposure(delta=250 * WAD))
    first = adjust(bench, 0, hedge, hedges=True)
    trade(bench, 0, -250 * WAD)
    second = adjust(bench, 0, hedge, hedges=True)
    assert first.fall > 0
    assert second.fall <= MICRO


def test_hedge_rise_of_u_lowers_coverage(bench: Bench) -> None:
    """A gift to a venue raises U and nobody pays into R: rebates of the same block are scaled to what R holds."""
    trade(bench, 0, -500 * WAD)
    for _ in range(6):  # two windows later the mark has forgotten the empty book
        bench.chain.warp(61)
        bench.set_mark(0, 2_000 * WAD, 6 * WAD // 10)
        bench.contract.send("sync_all")
        bench.twin.sync_all(bench.chain.now)
    adjust(bench, 0, Change(Exposure(delta=-500 * WAD)), hedges=True)
    assert_equal(bench)
    _, reserve = bench.ledger.call("vault_ledger")
    state = bench.contract.call("state")
    assert state.coverage * state.potential // WAD <= reserve < state.potential
    assert state.coverage == bench.twin.book.coverage * 10**9 > 0
    rebate = trade(bench, 0, 1_000 * WAD).charge
    assert -reserve <= rebate < 0


def test_trade_options_whose_greeks_cancel_still_lose_in_a_scenario(bench: Bench) -> None:
    mark = bench.mark(0)
    for delta in (0, WAD):
        change = Change(exposure=Exposure(delta=delta), options=True, stress=(-1_000,) + (0,) * 7)
        bench.contract.send("trade", 0, words(mark), change_words(change), sender=bench.engine)
        bench.twin.trade(0, mark, change, bench.chain.now)
        assert bench.contract.call("market", 0).optioned
    assert_equal(bench)
    # the scenarios of the options and of delta are two
    assert bench.contract.call("state").stressed_loss >= 2_000 * WAD
    trade(bench, 0, -WAD)
    assert bench.contract.call("market", 0).optioned
    assert bench.contract.call("state").stressed_loss >= 2_000 * WAD


def test_sync_books_a_release_of_one_wei(bench: Bench) -> None:
    bench.set_ledger(10_000_000 * WAD, 1)
    bench.chain.warp(INVENTORY.release_period)
    bench.contract.send("sync_all")
    bench.twin.sync_all(bench.chain.now)
    assert tuple(bench.ledger.call("vault_ledger")) == (10_000_000 * WAD + 1, 0)
    assert_equal(bench)


def test_trade_market_emptied_and_refilled_in_one_block_keeps_its_mark(bench: Bench) -> None:
    """Else U would not be a function of the exposures alone, and the fall of a new mark would be paid as a rebate."""
    trade(bench, 0, -100 * WAD)
    trade(bench, 1, -500 * WAD)
    before = bench.contract.call("state").potential
    bench.set_mark(1, 1_500 * WAD, 5 * WAD // 10)
    for delta in (500 * WAD, -500 * WAD):
        trade(bench, 1, delta)
        assert_equal(bench)
    assert bench.contract.call("market", 1).price == 2_000 * WAD
    assert bench.contract.call("state").potential == before


def test_sync_market_emptied_in_an_earlier_block_is_no_longer_active(bench: Bench) -> None:
    trade(bench, 1, -500 * WAD)
    trade(bench, 1, 500 * WAD)
    assert bench.contract.call("book").active == 2
    bench.chain.warp(12)
    bench.contract.send("sync", 1)
    bench.twin.sync(1, bench.chain.now)
    assert bench.contract.call("book").active == 0
    assert_equal(bench)


@pytest.mark.parametrize(("name", "role"), [(name, role) for name in ("trade", "adjust") for role in (*Role, Role(0))])
def test_only_engines_trade_and_only_they_and_hedgers_adjust(bench: Bench, name: str, role: Role) -> None:
    caller, args = bench.chain.accounts[5], (0, words(bench.mark(0)), change_words(Change(Exposure(delta=WAD))))
    args += (0,) if name == "adjust" else ()
    if role and role is not Role.SETUP:
        bench.contract.send("grant_role", caller, int(role), sender=bench.chain.accounts[0])
    caller = bench.chain.accounts[1] if role is Role.SETUP else caller
    if role is Role.ENGINE or (name, role) == ("adjust", Role.HEDGER):
        bench.contract.send(name, *args, sender=caller)
        return
    with reverts("roles: not allowed"):
        bench.contract.send(name, *args, sender=caller)
    assert_equal(bench)


def test_quote_unlisted_market_reverts(bench: Bench) -> None:
    with reverts("inventory: not listed"):
        bench.contract.call("quote", 2, words(bench.mark(0)), change_words(Change()))
    with reverts("inventory: not listed"):
        bench.contract.send("adjust", 2, words(bench.mark(0)), change_words(Change()), 0, sender=bench.engine)
    with reverts("inventory: not listed"):
        bench.contract.send("sync", 2)


def test_market_emptied_before_a_window_began_does_not_hold_it_open(bench: Bench) -> None:
    """Else rebates would wait for somebody to open a block with a market that nobody has a position in."""
    trade(bench, 1, -10 * WAD)
    trade(bench, 0, -500 * WAD)
    stand(bench)
    trade(bench, 1, 10 * WAD)
    bench.chain.warp(61)
    trade(bench, 0, -WAD)  # a new window begins, with market 1 emptied and not entered since
    for _ in range(3):
        stand(bench)
    assert bench.contract.call("state").low == bench.contract.call("book").last * MICRO > 0
    assert_equal(bench)


def stand(bench: Bench) -> None:
    """A new round of market 0 opens a block, another window of time after the last."""
    bench.chain.warp(61)
    price = bench.mark(0).price
    for market in (0, 1):
        bench.set_mark(market, price + WAD, 6 * WAD // 10)
    bench.contract.send("sync_all")
    bench.twin.sync_all(bench.chain.now)
