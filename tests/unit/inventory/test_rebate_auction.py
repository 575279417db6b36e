"""What LPs pay on top of a rebate: when, how much at most, and that the twin says it to the wei."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import astuple, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ballast.chain import reverts
from ballast.model.exact.fixed import MICRO, WAD, Reverted
from ballast.model.exact.rebate_auction import NS, Params, cap
from ballast.model.exact.structs import Change, Exposure
from ballast.testing.parameters import INVENTORY_MARKET
from tests.unit.inventory.conftest import AUCTION, Bench, make_bench, words
from tests.unit.inventory.test_inventory_twin import assert_equal, change_words, run, steps, trade

DAY = 86_400
FLOOR = INVENTORY_MARKET.base + INVENTORY_MARKET.floor  # [WAD] of what is traded


@pytest.fixture
def outside(bench: Bench) -> Bench:
    """The vault is long 1,000 base, U eight times the line, and an auction has just been opened."""
    trade(bench, 0, -1_000 * WAD)
    act(bench, "open")
    return bench


@pytest.fixture
def risen(outside: Bench) -> Bench:
    """Its ramp is over: a fall is paid half of itself, on top of the rebate."""
    settle(outside, 2 * DAY)
    return outside


def act(bench: Bench, verb: str) -> Any:
    """Open or close on both, all or nothing; the twin's reason is the contract's."""
    inventory = deepcopy(bench.twin)
    auction: Any = inventory.auction
    try:
        getattr(auction, verb)(bench.chain.now)
    except Reverted as error:
        with reverts(str(error)):
            bench.auction.send(verb)
        return None
    bench.twin, bench.twin_auction = inventory, auction
    return bench.auction.send(verb)


def settle(bench: Bench, seconds: int) -> None:
    """Time passes, with a round of both markets each quarter, so that the low-water mark is only what stands.

    Prices differ by a wei: a round that says the same again is not noticed where another market opened the block.
    """
    for i in range(4):
        bench.chain.warp(seconds // 4)
        for market in (0, 1):
            mark = bench.mark(market)
            bench.set_mark(market, mark.price + (1 if i % 2 else -1), mark.sigma)
        bench.contract.send("sync_all")
        bench.twin.sync_all(bench.chain.now)


def change_risk(bench: Bench, x: Exposure) -> Any:
    """A trade in whatever greeks on both, its charge booked."""
    mark, change = bench.mark(0), Change(x)
    value = bench.contract.send("trade", 0, words(mark), change_words(change), sender=bench.engine).value
    bench.twin.trade(0, mark, change, bench.chain.now)
    lp, reserve = bench.twin.clearinghouse.vault_ledger()
    bench.set_ledger(lp + value.release, reserve + value.charge - value.release)
    return value


def boost_of(bench: Bench, market: int, delta: int) -> int:
    """What a trade would be paid beside the rebate."""
    change = change_words(Change(Exposure(delta=delta)))
    quote = bench.contract.call("quote", market, words(bench.mark(market)), change)
    coverage = bench.contract.call("book").coverage
    top = min(quote.potential_before, bench.contract.call("state").low)
    return int(-quote.charge - max(0, top - quote.potential_after) * coverage // 10**9)


def assert_auction(bench: Bench) -> None:
    """Every word of the auction, and what it offers, are the twin's."""
    twin = bench.twin_auction
    assert tuple(bench.auction.call("params")) == astuple(twin.params)
    offer = tuple(bench.auction.call("offer"))
    assert offer == astuple(twin.offer(bench.chain.now))
    assert_equal(bench)


def test_open_inside_the_band_and_close_outside_it_are_refused(bench: Bench) -> None:
    with reverts("auction: inside the band"):
        bench.auction.send("open")
    with reverts("auction: not open"):
        bench.auction.send("close")
    trade(bench, 0, -1_000 * WAD)
    receipt = act(bench, "open")
    opened = receipt.one("Opened", bench.auction)
    u, now = bench.contract.call("state").potential, bench.chain.now
    assert tuple(opened) == (u // MICRO * MICRO, 200 * WAD, now + DAY)
    assert bench.contract.call("book").auction_low == u // MICRO + 1
    with reverts("auction: open"):
        bench.auction.send("open")
    with reverts("auction: outside the band"):
        bench.auction.send("close")
    assert_auction(bench)
    trade(bench, 0, 900 * WAD)
    closed = act(bench, "close").one("Closed", bench.auction)
    assert closed.potential <= closed.line
    assert not bench.auction.call("offer").is_open
    assert bench.contract.call("book").auction_low == 0
    assert_auction(bench)


def test_band_ends_where_u_is_the_line(outside: Bench) -> None:
    """U above the line by a MICRO is outside, at it inside."""
    book = outside.contract.call("book")
    band = book.last * 10**9 // book.capital  # rounded down: the line is not above U
    for value, refused in ((band, True), (band + 1, False)):
        params = replace(AUCTION, band=value)
        outside.auction.send("set_params", astuple(params), sender=outside.chain.accounts[1])
        outside.twin_auction.set_params(params)
        assert (act(outside, "close") is None) == refused


def test_nothing_is_paid_for_a_day_then_it_rises_to_the_end_of_the_ramp(outside: Bench) -> None:
    start = outside.chain.now
    for day, rate in ((0.5, 0), (1, 0), (1.25, 125), (1.5, 250), (2, 500), (9, 500)):
        outside.chain.warp(start + int(day * DAY) - outside.chain.now)
        assert outside.auction.call("offer").rate == rate * WAD // 1_000
        assert_auction(outside)
    settle(outside, 240)
    assert boost_of(outside, 0, 10 * WAD) > 0


def test_boost_is_paid_by_lps_on_top_of_the_rebate(risen: Bench) -> None:
    """The trader gets rebate and boost; R loses the rebate, LP cash the boost, and nobody else anything."""
    _, reserve = risen.ledger.call("vault_ledger")
    due = boost_of(risen, 0, 10 * WAD)
    quote = risen.contract.call(
        "quote", 0, words(risen.mark(0)), change_words(Change(Exposure(delta=10 * WAD), notional=20_000 * WAD))
    )
    mark = risen.mark(0)
    change = Change(Exposure(delta=10 * WAD), notional=20_000 * WAD)
    lp, reserve = risen.ledger.call("vault_ledger")
    receipt = risen.contract.send("trade", 0, words(mark), change_words(change), sender=risen.engine)
    assert tuple(receipt.value) == tuple(quote)
    assert due == 10 * 2_000 * FLOOR  # the cap: two standing windows, a small trade
    assert tuple(risen.ledger.call("vault_ledger")) == (lp - due, reserve + due)
    boosted = receipt.one("Boosted", risen.auction)
    assert boosted[:3] == (due, quote.potential_before, quote.potential_after)
    risen.twin.trade(0, mark, change, risen.chain.now)
    assert_auction(risen)


def test_boost_is_at_most_the_rate_of_the_fall(outside: Bench) -> None:
    """Early on the ramp binds: a fall is paid its rate, and what is left rises from where its share says."""
    settle(outside, DAY + DAY // 100)
    offer = outside.auction.call("offer")
    quote = trade(outside, 0, 10 * WAD)
    fall = quote.potential_before - quote.potential_after
    left = outside.auction.call("offer")
    paid = offer.left - left.left
    assert 0 < paid < 10 * 2_000 * FLOOR
    assert abs(paid - fall * offer.rate // WAD) <= 2 * MICRO
    way = quote.potential_before - offer.line
    assert abs(left.rate / offer.rate - (1 - fall / way)) < 1e-9
    assert_auction(outside)


def test_fall_beyond_the_line_is_paid_down_to_it_and_takes_all_of_the_clock(outside: Bench) -> None:
    settle(outside, DAY + DAY // 100)
    offer = outside.auction.call("offer")
    quote = trade(outside, 0, 1_000 * WAD)
    assert quote.potential_after < offer.line
    left = outside.auction.call("offer")
    assert left.rate == 0
    assert left.rises_at == outside.chain.now
    assert offer.left - left.left == -(-offer.most // MICRO) * MICRO
    assert_auction(outside)


def test_dust_moves_the_clock_by_dust(risen: Bench) -> None:
    before = risen.twin_auction.since
    trade(risen, 0, 10**12)
    moved = risen.twin_auction.since - (risen.chain.now - AUCTION.ramp) * NS
    assert before < risen.twin_auction.since
    assert 0 < moved < 10**6  # less than a millisecond
    assert_auction(risen)


def test_only_what_leaves_the_market_s_own_exposure_is_paid(risen: Bench) -> None:
    """Not what is beyond zero, nor what another market takes off the sums."""
    x = Exposure(delta=1_500 * WAD)
    market = replace(risen.twin.markets[0], delta=500 * WAD)
    assert cap(2_000 * WAD, market, x, INVENTORY_MARKET) == 1_000 * 2_000 * FLOOR
    quote = risen.contract.call("quote", 1, words(risen.mark(1)), change_words(Change(Exposure(delta=100 * WAD))))
    assert quote.potential_after > quote.potential_before
    other = risen.contract.call("quote", 1, words(risen.mark(1)), change_words(Change(Exposure(delta=-100 * WAD))))
    assert other.potential_after > other.potential_before or boost_of(risen, 1, -100 * WAD) == 0


def test_vega_is_paid_the_floor_of_its_spread(bench: Bench) -> None:
    change_risk(bench, Exposure(vega=-10_000_000 * WAD))
    act(bench, "open")
    settle(bench, 2 * DAY)
    before = bench.auction.call("offer").left
    quote = change_risk(bench, Exposure(vega=10_000 * WAD))
    paid = before - bench.auction.call("offer").left
    assert paid == 10_000 * INVENTORY_MARKET.vol_floor < (quote.potential_before - quote.potential_after) // 2
    assert_auction(bench)


def test_budget_is_spent_at_most_and_refills_over_a_day(risen: Bench) -> None:
    params = replace(AUCTION, budget=30 * 10**6)
    risen.auction.send("set_params", astuple(params), sender=risen.chain.accounts[1])
    risen.twin_auction.set_params(params)
    assert boost_of(risen, 0, 100 * WAD) == 30 * WAD < 100 * 2_000 * FLOOR
    trade(risen, 0, 100 * WAD)
    assert risen.auction.call("offer").left == 0
    assert boost_of(risen, 0, 100 * WAD) == 0
    settle(risen, DAY // 2)
    assert risen.auction.call("offer").left == 15 * WAD
    assert boost_of(risen, 0, 100 * WAD) == 15 * WAD
    assert_auction(risen)


@pytest.mark.parametrize("lp", [-1, 0, 1, 20 * WAD])
def test_lp_cash_is_all_there_is_to_pay_with(risen: Bench, lp: int) -> None:
    _, reserve = risen.ledger.call("vault_ledger")
    risen.set_ledger(lp, reserve)
    assert boost_of(risen, 0, 100 * WAD) == max(lp, 0)


def test_fall_above_the_lowest_u_since_it_was_opened_is_not_paid(risen: Bench) -> None:
    """What comes back after a fall is not bought twice, however long it stays."""
    trade(risen, 0, 300 * WAD)
    trade(risen, 0, -200 * WAD)
    settle(risen, 5 * DAY)
    assert boost_of(risen, 0, 150 * WAD) == 0
    assert boost_of(risen, 0, 250 * WAD) > 0
    assert_auction(risen)


def test_auction_whose_mark_is_half_way_to_the_line_is_opened_anew(risen: Bench) -> None:
    trade(risen, 0, 500 * WAD)
    with reverts("auction: outside the band"):
        risen.auction.send("close")
    assert act(risen, "open") is None  # the mark is where U is
    trade(risen, 0, -400 * WAD)
    settle(risen, 60)
    assert act(risen, "open") is not None
    assert risen.auction.call("offer").rises_at == risen.chain.now + DAY
    assert_auction(risen)


def test_mark_moves_with_changes_of_u_that_are_no_trades(risen: Bench) -> None:
    """Twice the volatility is four times U: a trade is paid from there down, not only below what U was."""
    low = risen.contract.call("book").auction_low
    mark = risen.mark(0)
    risen.chain.warp(12)
    risen.set_mark(0, mark.price, 2 * mark.sigma)
    risen.contract.send("sync", 0)
    risen.twin.sync(0, risen.chain.now)
    assert risen.contract.call("book").auction_low > 3 * low
    assert boost_of(risen, 0, 10 * WAD) > 0
    assert_auction(risen)


def test_engine_s_new_valuation_between_trades_ends_boosts_too(risen: Bench) -> None:
    trade(risen, 1, WAD)
    run(risen, ("revalue", 0, 0, 1))
    assert boost_of(risen, 0, 10 * WAD) == 0
    settle(risen, 60)
    assert boost_of(risen, 0, 10 * WAD) > 0


def test_disabled_pays_nothing_and_may_be_closed(risen: Bench) -> None:
    guardian = risen.chain.accounts[5]
    risen.auction.send("grant_role", guardian, 2, sender=risen.chain.accounts[0])
    risen.auction.send("disable", sender=guardian).one("Disabled", risen.auction)
    risen.twin_auction.disable()
    assert boost_of(risen, 0, 10 * WAD) == 0
    assert risen.auction.call("offer").most == 0
    act(risen, "close")
    with reverts("auction: disabled"):
        risen.auction.send("open")
    assert_auction(risen)


def test_pay_and_the_mark_are_the_inventory_s_and_the_auction_s(risen: Bench) -> None:
    stranger = risen.chain.accounts[6]
    with reverts("auction: not inventory"):
        risen.auction.send("pay", 2 * WAD, WAD, 0, WAD, sender=stranger)
    with reverts("roles: not allowed"):
        risen.contract.send("set_boosting", False, sender=stranger)
    for inventory in (risen.contract.address, stranger):
        with reverts("auction: inventory is set"):
            risen.auction.send("set_inventory", inventory, sender=risen.chain.accounts[1])


@pytest.mark.parametrize(
    ("field", "least", "most"),
    [
        ("band", 1, 5 * 10**7), ("max_rate_bps", 0, 6_000), ("ramp", 3_600, 30 * DAY), ("budget", 0, 10**11),
    ],
)  # fmt: skip
def test_parameters_end_at_their_bounds(bench: Bench, field: str, least: int, most: int) -> None:
    setup = bench.chain.accounts[1]
    for value in (least, most):
        params = replace(AUCTION, **{field: value})
        receipt = bench.auction.send("set_params", astuple(params), sender=setup)
        assert tuple(receipt.one("ParamsSet", bench.auction).params) == astuple(params)
        assert tuple(bench.auction.call("params")) == astuple(params)
    for value in (least - 1, most + 1):
        if value < 0:
            continue
        params = replace(AUCTION, **{field: value})
        with reverts("auction: bad parameter"):
            bench.auction.send("set_params", astuple(params), sender=setup)
        with pytest.raises(Reverted, match="auction: bad parameter"):
            bench.twin_auction.set_params(params)


falls = st.tuples(st.just("trade"), st.just(0), st.integers(1, 300).map(lambda n: n * WAD), st.just(True))
auction_steps = st.one_of(
    steps,
    falls,
    st.tuples(st.just("settle"), st.sampled_from([60, 3_600, DAY]), st.just(0), st.just(0)),
    st.tuples(st.just("auction"), st.booleans(), st.just(0), st.just(0)),
)


@settings(max_examples=30)
@given(
    st.builds(
        Params,
        st.sampled_from([1, 20_000, 160_000]), st.sampled_from([1, 5_000, 6_000]),
        st.sampled_from([3_600, DAY, 30 * DAY]), st.sampled_from([10**7, 10**9, 10**11]),
    ),
    falls,
    st.lists(auction_steps, min_size=1, max_size=12),
)  # fmt: skip
def test_random_sequence_equals_twin(params: Params, first: tuple[Any, ...], sequence: list[tuple[Any, ...]]) -> None:
    bench = make_bench()
    bench.auction.send("set_params", astuple(params), sender=bench.chain.accounts[1])
    bench.twin_auction.set_params(params)
    bench.set_ledger(10_000_000 * WAD, 0)
    settle(bench, 60)
    trade(bench, 0, -1_000 * WAD)
    run(bench, ("greeks", 1, 200, 50))
    act(bench, "open")
    settle(bench, 300)
    settle(bench, 2 * DAY)
    for step in (first, *sequence):
        if step[0] == "auction":
            act(bench, "open" if step[1] else "close")
        elif step[0] == "settle":
            settle(bench, step[1])
        else:
            if step[0] == "ledger":
                bench.chain.warp(1)  # within a block nobody takes from R what has been promised out of it
            run(bench, step)
        assert_auction(bench)


@settings(max_examples=15)
@given(
    st.integers(50, 950),
    st.lists(st.integers(1, 100), min_size=2, max_size=5),
    st.sampled_from([DAY // 50, DAY // 4, DAY]),
)
def test_splitting_a_trade_that_only_lowers_u_is_paid_no_more(total: int, weights: list[int], risen_for: int) -> None:
    """I5 with a boost: the clock goes back by what each part takes, and the cap is a sum over parts."""
    costs = []
    for parts in ([1], weights):
        bench = make_bench()
        bench.set_ledger(10_000_000 * WAD, 0)
        settle(bench, 60)
        trade(bench, 0, -1_000 * WAD)
        act(bench, "open")
        settle(bench, 300)
        settle(bench, DAY + risen_for)
        done, cost = 0, 0
        for i, part in enumerate(parts):
            piece = total * WAD - done if i == len(parts) - 1 else total * WAD * part // sum(parts)
            done += piece
            quote = trade(bench, 0, piece)
            cost += quote.charge + quote.half_spread
        costs.append(cost)
        assert bench.twin_auction.used > 0
        assert_auction(bench)
    assert costs[1] >= costs[0] - len(weights)
