"""PerpEngine: every function, its reasons and its events, on the real neighbours; odd answers on a double."""

from __future__ import annotations

from dataclasses import astuple, replace
from typing import Any

import pytest

from ballast.chain import Contract, Receipt, reverts
from ballast.model.exact.fixed import MAX_CARRY, mul_ceil
from ballast.model.exact.margin import exit_cost, required, value
from ballast.model.exact.option_book import OptionLeg
from ballast.model.exact.oracle import FixedFeed, Round
from ballast.model.exact.perps import NO_LIMIT, Book, Position, accrue, accrued
from ballast.model.exact.structs import Change, Exposure, MarketParams, Quote
from ballast.model.exact.vol_surface import Smile
from ballast.model.roles import Role
from tests.unit.perps.world import BTC, ETH, PERP, WAD, World

YEAR = 365 * 86_400
WIDEST = replace(PERP, cap_base=(2**64 - 1) * 10**12, cap_quote=(2**64 - 1) * 10**12)
NOT_ALLOWED = "roles: not allowed"
ZERO = "0x" + "00" * 20


@pytest.fixture
def scripted() -> World:
    """On a double: Inventory answers what `answer` says."""
    world = World.build(inventory_double=True)
    world.warp(60)
    return world


def answer(world: World, **fields: int) -> Quote:
    quote = Quote(**fields)
    world.inventory.set_answer.send(astuple(quote))
    return quote


def buy(world: World, account: str, market: int, size_delta: int) -> Receipt:
    """On the contract alone."""
    limit = NO_LIMIT if size_delta > 0 else 0
    return world.engine.trade.send(market, size_delta, limit, world.now, sender=account)


def asked(world: World) -> Change:
    """What Inventory was asked last."""
    exposure, options, stress, *rest = world.inventory.last_change()
    return Change(Exposure(*exposure), options, tuple(stress), *rest)


# ── opening, increasing, reducing, closing ──


def test_trade_open_stores_position_and_pays(world: World, trader: str) -> None:
    before = world.cash(trader)
    receipt = world.trade(trader, ETH, 10 * WAD)
    outcome = receipt.value
    assert (outcome.price, outcome.size, outcome.cost) == (2_000 * WAD, 10 * WAD, 20_000 * WAD)
    assert (outcome.realised, outcome.owed) == (0, 0)
    assert outcome.charge > 0
    assert outcome.fees == outcome.half_spread * 2_000 // 10_000
    assert outcome.cash == -outcome.half_spread - outcome.charge
    assert world.cash(trader) == before + outcome.cash
    assert world.clearinghouse.account(trader)[1] == 0b01
    assert world.clearinghouse.vault_ledger()[1] == outcome.charge
    assert tuple(world.position(trader)) == (10 * WAD, 20_000 * WAD, 0)
    book = world.engine.book(ETH)
    assert (book.long, book.short, book.claims) == (10 * WAD, 0, 20_000 * WAD * 10**9)
    world.check()


def test_trade_logs_position_and_market_after(world: World, trader: str) -> None:
    world.trade(trader, BTC, -WAD)
    world.warp(600)
    receipt = world.trade(trader, BTC, -WAD)
    outcome, book = receipt.value, world.engine.book(BTC)
    assert tuple(receipt.one("Trade")) == (
        trader, BTC, -WAD, 60_000 * WAD, outcome.half_spread, outcome.charge, 0, outcome.owed, -2 * WAD, -120_000 * WAD,
        book.index_long, book.index_short, outcome.funding_rate, outcome.borrow_rate,
    )  # fmt: skip
    assert book.index_short > 0
    assert receipt.find("Accrued") == []
    assert receipt.one("Settled").change == outcome.cash


def test_trade_increase_averages_cost(world: World, trader: str) -> None:
    world.trade(trader, ETH, 10 * WAD)
    world.set_price(ETH, 2_100 * WAD)
    receipt = world.trade(trader, ETH, 5 * WAD)
    assert receipt.value.realised == 0
    assert world.position(trader).cost == 20_000 * WAD + 10_500 * WAD
    world.check()


def test_trade_reduce_realises_its_share(world: World, trader: str) -> None:
    world.trade(trader, ETH, 10 * WAD)
    world.set_price(ETH, 2_100 * WAD)
    receipt = world.trade(trader, ETH, -4 * WAD)
    assert receipt.value.realised == 400 * WAD
    assert tuple(world.position(trader))[:2] == (6 * WAD, 12_000 * WAD)
    world.check()


def test_trade_close_leaves_nothing(world: World, trader: str) -> None:
    world.trade(trader, ETH, -10 * WAD)
    world.warp(3_000)
    world.set_price(ETH, 1_900 * WAD)
    receipt = world.close(trader, ETH)
    assert receipt.value.realised == 1_000 * WAD
    assert tuple(world.position(trader)) == (0, 0, 0)
    assert world.clearinghouse.account(trader)[1] == 0
    book = world.engine.book(ETH)
    assert (book.long, book.short, book.claims) == (0, 0, 0)
    world.check()


def test_trade_flip_closes_whole_and_opens_the_rest(world: World, trader: str) -> None:
    world.trade(trader, ETH, 10 * WAD)
    world.set_price(ETH, 2_100 * WAD)
    receipt = world.trade(trader, ETH, -14 * WAD)
    assert receipt.value.realised == 1_000 * WAD
    assert tuple(world.position(trader))[:2] == (-4 * WAD, -8_400 * WAD)
    assert world.clearinghouse.account(trader)[1] == 1
    world.check()


def test_trade_asks_inventory_for_the_change_of_worth(scripted: World) -> None:
    trader = scripted.traders[0]
    buy(scripted, trader, ETH, 10 * WAD + 1)
    opened = asked(scripted)
    assert opened == Change(Exposure(delta=-(10 * WAD + 1)), notional=20_000 * WAD + 2_000, book=0)
    scripted.set_price(ETH, 2_100 * WAD)
    buy(scripted, trader, ETH, -4 * WAD)
    # the cost of the closed part leaves the claims, its mark comes in
    assert asked(scripted).book == 4 * 2_100 * WAD - 4 * 2_000 * WAD
    assert asked(scripted).closing
    buy(scripted, trader, ETH, -7 * WAD)
    assert not asked(scripted).closing


def test_trade_charge_and_release_move_the_reserve(scripted: World) -> None:
    trader = scripted.traders[0]
    answer(scripted, charge=30 * WAD, half_spread=10 * WAD)
    buy(scripted, trader, ETH, WAD)
    assert scripted.clearinghouse.vault_ledger()[1] == 30 * WAD
    answer(scripted, charge=-5 * WAD, half_spread=10 * WAD, release=7 * WAD)
    receipt = buy(scripted, trader, ETH, -WAD)
    assert receipt.value.cash == -10 * WAD + 5 * WAD
    assert scripted.clearinghouse.vault_ledger()[1] == 18 * WAD
    answer(scripted, charge=-5 * WAD, release=14 * WAD)
    with reverts("clearing: reserve exhausted"):
        buy(scripted, trader, ETH, WAD)


@pytest.mark.parametrize(
    ("funding", "stored"),
    [
        (10**12, 10**12),
        (-(10**12), -(10**12)),
        (10**12 - 1, 0),
        (1 - 10**12, 0),
        (9 * WAD, (2**23 - 1) * 10**12),
        (-9 * WAD, -(2**23 - 1) * 10**12),
    ],
)
def test_trade_funding_rate_truncates_and_saturates(scripted: World, funding: int, stored: int) -> None:
    answer(scripted, funding_rate=funding)
    receipt = buy(scripted, scripted.traders[0], ETH, WAD)
    assert receipt.value.funding_rate == scripted.engine.book(ETH).funding_rate == stored


@pytest.mark.parametrize(("borrow", "stored"), [(10**13, 10**13), (10**13 - 1, 0), (WAD, 65_535 * 10**13)])
def test_trade_borrow_rate_rounds_down_and_saturates(scripted: World, borrow: int, stored: int) -> None:
    answer(scripted, borrow_rate=borrow)
    receipt = buy(scripted, scripted.traders[0], ETH, WAD)
    assert receipt.value.borrow_rate == scripted.engine.book(ETH).borrow_rate == stored


# ── refusals ──


def test_trade_after_deadline_reverts(world: World, trader: str) -> None:
    with reverts("perps: expired"):
        world.trade(trader, ETH, WAD, deadline=world.now - 1)
    world.trade(trader, ETH, WAD, deadline=world.now)


def test_trade_zero_size_reverts(world: World, trader: str) -> None:
    with reverts("perps: zero size"):
        world.trade(trader, ETH, 0)


@pytest.mark.parametrize("size", [2**95, -(2**95), 2**255 - 1, -(2**255)])
def test_trade_size_out_of_range_reverts(world: World, trader: str, size: int) -> None:
    with reverts("perps: size range"):
        world.trade(trader, ETH, size)


@pytest.mark.parametrize("size", [2**95 - 1, 1 - 2**95])
def test_trade_of_the_largest_size_is_left_to_the_caps(world: World, trader: str, size: int) -> None:
    with reverts("perps: base cap"):
        world.trade(trader, ETH, size)


def test_trade_unlisted_market_reverts(world: World, trader: str) -> None:
    world.oracle.list_market.send(
        world.feeds[0], (3_600, 3_600, 604_800, 10**17, 5 * WAD, 2 * 10**17, 6 * 10**17, False)
    )
    with reverts("perps: not listed"):
        buy(world, trader, 2, WAD)
    with reverts("perps: not listed"):
        world.engine.sync.send(2, sender=trader)
    with reverts("perps: not listed"):
        world.engine.quote(trader, 2, WAD)


@pytest.mark.parametrize("function", ["position", "book", "config"])
def test_view_of_impossible_market_reverts(world: World, trader: str, function: str) -> None:
    arguments = (trader, 16) if function == "position" else (16,)
    with reverts("perps: not listed"):
        world.engine.call(function, *arguments)


def test_trade_stale_price_reverts_even_when_closing(world: World, trader: str) -> None:
    world.trade(trader, ETH, WAD)
    world.warp(3_601)
    for size in (WAD, -WAD):
        with reverts("oracle: stale price"):
            world.trade(trader, ETH, size)


def test_trade_stale_price_elsewhere_stops_increase_only(world: World, trader: str) -> None:
    world.trade(trader, ETH, WAD)
    world.trade(trader, BTC, WAD)
    world.warp(3_601)
    world.set_price(ETH, 2_000 * WAD)
    with reverts("oracle: stale price"):
        world.trade(trader, ETH, WAD)
    world.close(trader, ETH)


def test_trade_paused_shrinks_only(world: World, trader: str, other_trader: str) -> None:
    world.trade(trader, ETH, 3 * WAD)
    receipt = world.pause()
    assert tuple(receipt.one("MarketPaused")) == (ETH, True)
    for account, size in ((trader, WAD), (trader, -4 * WAD), (other_trader, WAD)):
        with reverts("perps: paused"):
            world.trade(account, ETH, size)
    world.trade(trader, ETH, -WAD)
    world.close(trader, ETH)
    world.check()


def test_trade_below_minimum_size_reverts_unless_closing(world: World, trader: str) -> None:
    world.configure(min_size=WAD)
    with reverts("perps: below minimum size"):
        world.trade(trader, ETH, WAD - 1)
    world.trade(trader, ETH, WAD)
    with reverts("perps: below minimum size"):
        world.trade(trader, ETH, -2 * WAD + 1)
    world.trade(trader, ETH, -WAD + 1)  # a reduction may leave dust: closing is never refused
    with reverts("perps: below minimum size"):
        world.trade(trader, ETH, 1)
    world.close(trader, ETH)
    world.check()


def test_trade_minimum_size_is_of_the_position_and_the_cap_of_its_side(
    world: World, trader: str, other_trader: str
) -> None:
    world.configure(min_size=WAD, cap_base=10 * WAD)
    world.trade(trader, ETH, 6 * WAD)
    with reverts("perps: below minimum size"):
        world.trade(other_trader, ETH, WAD - 1)
    with reverts("perps: base cap"):
        world.trade(other_trader, ETH, 4 * WAD + 1)
    world.trade(other_trader, ETH, 4 * WAD)


@pytest.mark.parametrize("sign", [1, -1])
def test_trade_over_base_cap_reverts(world: World, trader: str, other_trader: str, sign: int) -> None:
    world.configure(cap_base=10 * WAD)
    world.trade(trader, ETH, sign * 6 * WAD)
    world.trade(other_trader, ETH, -sign * 10 * WAD)
    with reverts("perps: base cap"):
        world.trade(trader, ETH, sign * (4 * WAD + 1))
    world.trade(trader, ETH, sign * 4 * WAD)


def test_trade_over_quote_cap_reverts(world: World, trader: str) -> None:
    world.configure(cap_quote=20_000 * WAD)
    with reverts("perps: quote cap"):
        world.trade(trader, ETH, 10 * WAD + 1)
    world.trade(trader, ETH, 10 * WAD)
    world.set_price(ETH, 2_500 * WAD)
    world.configure(cap_base=0, cap_quote=0)
    world.trade(trader, ETH, -WAD)
    world.close(trader, ETH)


@pytest.mark.parametrize("size", [-WAD, 7 * WAD + 1, -7 * WAD - 1])
def test_trade_limit_price_binds_to_the_wei(world: World, trader: str, size: int) -> None:
    outcome = world.engine.quote(trader, ETH, size)
    total = abs(size) * outcome.price // WAD
    extra = outcome.half_spread + outcome.charge
    if size > 0:
        total = -(-abs(size) * outcome.price // WAD) + extra
        limit = -(-total * WAD // abs(size))  # the least limit whose floor covers the total
        worse = (total - 1) * WAD // abs(size)
    else:
        total -= extra
        limit = total * WAD // abs(size)
        worse = limit + 1
    with reverts("perps: limit price"):
        world.trade(trader, ETH, size, limit=worse)
    world.trade(trader, ETH, size, limit=limit)


def test_trade_limits_that_cannot_bind(world: World, trader: str) -> None:
    world.trade(trader, ETH, WAD, limit=NO_LIMIT)
    world.trade(trader, ETH, -WAD, limit=0)
    with reverts("perps: limit price"):
        world.trade(trader, ETH, WAD, limit=0)
    with reverts("perps: limit price"):
        world.trade(trader, ETH, -WAD, limit=NO_LIMIT)


def test_trade_beyond_initial_margin_reverts(world: World, trader: str) -> None:
    with reverts("margin: below initial"):
        world.trade(trader, ETH, 5_000 * WAD)
    world.trade(trader, ETH, 4_700 * WAD)


@pytest.mark.parametrize("size", [WAD + 7, -3 * WAD - 7])
@pytest.mark.parametrize("other", [0, -WAD - 3])
def test_trade_margin_binds_to_the_wei(scripted: World, size: int, other: int) -> None:
    """Alone, by the engine's own check; beside another position, by Margin's."""
    trader = scripted.traders[0]
    if other:
        buy(scripted, trader, BTC, other)
        scripted.set_price(BTC, 61_000 * WAD + 12_345)
    price = 2_000 * WAD + 12_345
    scripted.set_price(ETH, price)
    health = scripted.margin.health(trader)
    free = health.equity - health.initial
    free += value(size, mul_ceil(size, price), 0, price) - required(size, price, PERP.initial_bps)
    free -= exit_cost(size, price, scripted.oracle.peek(ETH).sigma, PERP.cap_quote)
    answer(scripted, charge=free + 1)
    with reverts("margin: below initial"):
        buy(scripted, trader, ETH, size)
    answer(scripted, charge=free)
    buy(scripted, trader, ETH, size)
    health = scripted.margin.health(trader)
    assert health.equity == health.initial


def test_trade_takes_the_newest_marks_of_the_other_positions(world: World, trader: str) -> None:
    world.trade(trader, BTC, WAD)
    world.trade(trader, ETH, WAD)
    world.warp(12)
    round_ = Round(world.round_id + 1, 59_000 * WAD, 0, world.now, True)
    world.feeds[BTC].set_round.send(astuple(round_))
    feed = world.twin.oracle.markets[BTC].feed
    assert isinstance(feed, FixedFeed)
    feed.round = round_
    world.trade(trader, ETH, -WAD // 2)
    assert world.oracle.last(BTC).price == 60_000 * WAD
    world.trade(trader, ETH, WAD)
    assert world.oracle.last(BTC).price == 59_000 * WAD
    world.check()


def test_trade_closing_is_not_refused_for_margin(world: World, trader: str) -> None:
    world.trade(trader, ETH, 4_000 * WAD)
    world.set_price(ETH, 1_750 * WAD)
    health = world.margin.health(trader)
    assert health.equity < health.maintenance
    with reverts("margin: below initial"):
        world.trade(trader, ETH, -8_001 * WAD)
    world.trade(trader, ETH, -1)
    world.trade(trader, ETH, -1_000 * WAD)
    world.close(trader, ETH)
    world.check()


@pytest.mark.parametrize(
    ("price", "size", "reason"),
    [
        (WAD // 10**6, 2**92, "perps: open interest range"),
        (10 * WAD, 2**92 - 1, "perps: cost range"),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_trade_beyond_the_words_reverts(price: int, size: int, reason: str, sign: int) -> None:
    world = World.build(prices=(price,), inventory_double=True, perp=WIDEST)
    with reverts(reason):
        buy(world, world.traders[0], ETH, sign * size)


@pytest.mark.parametrize(("rate", "sign"), [(-8 * WAD, 1), (8 * WAD, -1)])
def test_index_at_the_end_of_its_word_stops_and_positions_still_close(rate: int, sign: int) -> None:
    world = World.build(prices=(10**9 * WAD,), inventory_double=True, perp=WIDEST, margin=10**9, lp=10**10)
    first, second = world.traders[:2]
    answer(world, funding_rate=rate)
    buy(world, first, ETH, 2 * sign * WAD)
    buy(world, second, ETH, -sign * WAD)
    world.warp(60)
    world.set_price(ETH, 10**9 * WAD)
    world.engine.sync.send(ETH)
    before = world.engine.book(ETH)
    payers, receivers = (before.index_long, before.index_short) if sign > 0 else (before.index_short, before.index_long)
    assert receivers == -payers < 0
    world.warp(YEAR)
    world.set_price(ETH, 10**9 * WAD)
    world.engine.sync.send(ETH)
    after = world.engine.book(ETH)
    assert after.time == world.now
    assert (after.index_long, after.index_short, after.claims) == (before.index_long, before.index_short, before.claims)
    twin = accrue(Book(*before), 10**9 * WAD, world.now)
    assert (twin.index_long, twin.index_short, twin.claims) == (after.index_long, after.index_short, after.claims)
    buy(world, first, ETH, -2 * sign * WAD)
    buy(world, second, ETH, sign * WAD)
    closed = world.engine.book(ETH)
    assert (closed.long, closed.short, closed.claims) == (0, 0, 0)


# ── funding and borrow fee ──


def open_both(world: World, long: int, short: int, **rates: int) -> None:
    answer(world, **rates)
    buy(world, world.traders[0], ETH, long)
    buy(world, world.traders[1], ETH, -short)


def test_accrual_shorts_pay_when_the_vault_is_too_long(scripted: World) -> None:
    open_both(scripted, 4 * WAD, 10 * WAD, funding_rate=WAD // 10)
    scripted.warp(YEAR // 100 - 1)
    scripted.set_price(ETH, 2_000 * WAD)
    scripted.engine.sync.send(ETH)
    book = scripted.engine.book(ETH)
    pay = 2 * 10**9  # 10 % a year of 2,000 for a hundredth of a year
    assert book.index_short == pay
    assert book.index_long == -pay  # receivers are fewer: each gets what each payer pays, LPs keep the rest
    assert book.claims == (4 - 10) * 2_000 * 10**27 + (10 - 4) * 2 * 10**27


def test_accrual_receivers_share_what_payers_paid(scripted: World) -> None:
    open_both(scripted, 3 * WAD, 7 * WAD, funding_rate=-WAD // 10)
    scripted.warp(YEAR // 100 - 1)
    scripted.set_price(ETH, 2_000 * WAD)
    scripted.engine.sync.send(ETH)
    book = scripted.engine.book(ETH)
    assert book.index_long == 2 * 10**9
    assert book.index_short == -(2 * 10**9 * 3 // 7)


def test_accrual_without_payers_or_receivers(scripted: World) -> None:
    answer(scripted, funding_rate=WAD // 10)
    buy(scripted, scripted.traders[0], ETH, 4 * WAD)
    scripted.warp(1_000)
    scripted.engine.sync.send(ETH)
    book = scripted.engine.book(ETH)
    assert (book.index_long, book.index_short) == (0, 0)
    answer(scripted, funding_rate=-WAD // 10)
    scripted.engine.sync.send(ETH)
    scripted.warp(1_000)
    scripted.engine.sync.send(ETH)
    book = scripted.engine.book(ETH)
    assert book.index_long > 0
    assert book.index_short == 0


def test_accrual_borrow_fee_is_paid_by_both_sides_rounded_up(scripted: World) -> None:
    open_both(scripted, 4 * WAD, 10 * WAD, borrow_rate=10**13)
    scripted.warp(1)
    scripted.engine.sync.send(ETH)
    book = scripted.engine.book(ETH)
    fee = -(-(10**13) * 2_000 * 10**9 // (WAD * YEAR))
    assert (book.index_long, book.index_short) == (fee, fee)
    receipt = buy(scripted, scripted.traders[0], ETH, -WAD)
    assert receipt.value.owed == 4 * fee * 10**9


def test_owed_is_rounded_up_and_settled_once(scripted: World) -> None:
    trader = scripted.traders[0]
    answer(scripted, borrow_rate=10**13)
    buy(scripted, trader, ETH, WAD + 1)
    scripted.warp(77)
    receipt = buy(scripted, trader, ETH, -1)
    index = scripted.engine.book(ETH).index_long
    assert receipt.value.owed == -(-(WAD + 1) * index // 10**9)
    assert scripted.position(trader).index == index
    assert buy(scripted, trader, ETH, -1).value.owed == 0


def test_sync_takes_over_rates_and_reports_the_accrual(scripted: World) -> None:
    open_both(scripted, 4 * WAD, 4 * WAD, borrow_rate=WAD // 10)
    scripted.warp(600)
    answer(scripted, funding_rate=WAD // 5, borrow_rate=WAD // 4)
    before = scripted.engine.book(ETH)
    receipt = scripted.engine.sync.send(ETH, sender=scripted.stranger)
    after = scripted.engine.book(ETH)
    assert (after.funding_rate, after.borrow_rate, after.time) == (WAD // 5, WAD // 4, scripted.now)
    assert asked(scripted) == Change(book=(after.claims - before.claims) // 10**9)
    assert tuple(receipt.one("Accrued")) == (ETH, after.index_long, after.index_short, WAD // 5, WAD // 4)


def test_carry_is_added_to_what_inventory_asks(world: World, trader: str, other_trader: str) -> None:
    world.trade(trader, ETH, -500 * WAD)
    asked_before = world.engine.book(ETH).funding_rate
    assert asked_before > 0
    world.warp(60)
    before = world.engine.book(ETH)
    receipt = world.set_carry(ETH, 123 * 10**14 + 10**14 - 1)
    carry = 123 * 10**14  # whole units, toward zero
    assert world.engine.carry(ETH) == carry
    assert tuple(receipt.one("CarrySet")) == (ETH, carry)
    after = world.engine.book(ETH)
    accrued_before = accrue(Book(*before), 2_000 * WAD, world.now)
    assert after.index_short == accrued_before.index_short  # until now at the rate that was
    inventory = world.engine.quote(other_trader, ETH, WAD).funding_rate - carry
    assert tuple(receipt.one("Accrued"))[3] == after.funding_rate
    assert after.funding_rate - carry == pytest.approx(inventory, rel=0.01)
    world.check()
    world.sync(ETH)
    world.trade(other_trader, ETH, 500 * WAD)  # flat: Inventory asks nothing
    assert world.engine.book(ETH).funding_rate == carry
    world.transfer(trader, world.traders[2], ETH, -200 * WAD)
    assert world.engine.book(ETH).funding_rate == carry
    world.check()
    world.set_carry(ETH, -(10**14) - 1)
    assert world.engine.book(ETH).funding_rate == world.engine.carry(ETH) == -(10**14)
    world.check()


def test_carry_survives_everything_else_in_its_word_and_stays_in_its_market(world: World) -> None:
    for rate in (MAX_CARRY, -MAX_CARRY, 10**14, -(10**14)):
        world.set_carry(ETH, rate)
        world.pause()
        world.engine.lower_caps.send(ETH, PERP.cap_base, PERP.cap_quote)
        world.engine.unpause.send(ETH, sender=world.governor)
        config = world.engine.config(ETH)
        assert (tuple(config.params), config.listed, config.paused) == (astuple(PERP), True, False)
        assert (world.engine.carry(ETH), world.engine.carry(BTC)) == (rate, 0)


def test_carry_saturates_with_funding_and_never_stops_a_trade(scripted: World) -> None:
    scripted.engine.grant_role.send(scripted.liquidator, Role.HEDGER, sender=scripted.governor)
    for sign in (1, -1):
        scripted.engine.set_carry.send(ETH, sign * MAX_CARRY, sender=scripted.liquidator)
        answer(scripted, funding_rate=sign * 2**254)
        assert buy(scripted, scripted.traders[0], ETH, WAD).value.funding_rate == sign * (2**23 - 1) * 10**12


def test_set_carry_refuses(world: World) -> None:
    with reverts(NOT_ALLOWED):
        world.engine.set_carry.send(ETH, 0, sender=world.stranger)
    for rate in (MAX_CARRY + 1, -MAX_CARRY - 1):
        with reverts("perps: carry range"):
            world.set_carry(ETH, rate)
    with reverts("oracle: not listed"):
        world.set_carry(2, 0)
    world.warp(3_601)
    with reverts("oracle: stale price"):
        world.set_carry(ETH, 0)


def test_sync_books_the_release(scripted: World) -> None:
    answer(scripted, charge=30 * WAD)
    buy(scripted, scripted.traders[0], ETH, WAD)
    lp = scripted.clearinghouse.vault_ledger()[0]
    answer(scripted, release=10 * WAD)
    scripted.engine.sync.send(ETH)
    assert tuple(scripted.clearinghouse.vault_ledger()) == (lp + 10 * WAD, 20 * WAD)


@pytest.mark.parametrize("fields", [{"charge": 1}, {"charge": -1}, {"half_spread": 1}])
def test_sync_charged_without_exposure_reverts(scripted: World, fields: dict[str, int]) -> None:
    answer(scripted, **fields)
    with reverts(""):
        scripted.engine.sync.send(ETH)


def test_sync_stale_price_reverts(world: World) -> None:
    world.warp(3_601)
    with reverts("oracle: stale price"):
        world.sync(ETH)


# ── quote ──


@pytest.mark.parametrize("size", [WAD, -WAD, -3 * WAD, -8 * WAD])
def test_quote_equals_trade_to_the_wei(world: World, trader: str, other_trader: str, size: int) -> None:
    world.trade(trader, ETH, 3 * WAD)
    world.trade(other_trader, BTC, -WAD)
    world.warp(1_234)
    world.set_price(ETH, 2_003 * WAD)
    quoted = world.engine.quote(trader, ETH, size)
    assert astuple(world.twin.perp_engine.quote(trader, ETH, size, world.now)) == tuple(quoted)
    assert world.trade(trader, ETH, size).value == quoted


def test_quote_refuses_what_trade_refuses(world: World, trader: str) -> None:
    with reverts("perps: zero size"):
        world.engine.quote(trader, ETH, 0)
    with reverts("perps: below minimum size"):
        world.engine.quote(trader, ETH, 1)
    world.pause()
    with reverts("perps: paused"):
        world.engine.quote(trader, ETH, WAD)
    world.warp(3_601)
    with reverts("oracle: stale price"):
        world.engine.quote(trader, BTC, WAD)


def in_progress(world: World, contract: Contract, function: str, *arguments: Any) -> None:
    """Call a view while an operation is under way."""
    world.operation.run.send(
        [
            (world.clearinghouse.address, world.clearinghouse.tx("begin").data),
            (contract.address, contract.tx(function, *arguments).data),
        ]
    )


def test_operation_under_way_refuses_trades_and_readers(world: World, trader: str) -> None:
    world.trade(trader, ETH, 4_000 * WAD)
    world.set_price(ETH, 1_800 * WAD)
    for contract, function, arguments in (
        (world.engine, "quote", (trader, ETH, WAD)),
        (world.engine, "trade", (ETH, WAD, NO_LIMIT, world.now)),
        (world.engine, "sync", (ETH,)),
        (world.margin, "health", (trader,)),
    ):
        with reverts("clearing: in progress"):
            in_progress(world, contract, function, *arguments)


def test_operation_under_way_refuses_closer(world: World, trader: str, other_trader: str) -> None:
    world.trade(trader, ETH, 4 * WAD)
    world.engine.grant_role.send(world.operation, Role.CLOSER, sender=world.governor)
    for function, arguments in (
        ("close_for", (trader, ETH, -WAD, 0, False)),
        ("deleverage", (trader, ETH, -WAD)),
        ("transfer", (trader, other_trader, ETH, WAD)),
    ):
        with reverts("clearing: in progress"):
            in_progress(world, world.engine, function, *arguments)


# ── positions of others ──


def covered_call(world: World, account: str) -> None:
    """Short a hundred calls, long as many ETH, and no more cash than both together need."""
    expiry = world.now + 30 * 86_400
    world.set_option_margin(ETH, 1_500, 200, 6_000)
    world.set_smile(ETH, expiry, Smile(3 * WAD // 100, 0, 0, WAD // 10**6, world.now, True))
    world.hold_options(account, OptionLeg(7, ETH, expiry, 1_000 * WAD, False, -100 * WAD, 0))
    world.trade(account, ETH, 100 * WAD)
    health = world.health(account)
    world.withdraw(account, (health.equity - health.initial) // 10**12)


def forced(world: World, name: str, account: str, size_delta: int) -> Receipt:
    """One of the two ways to close for another account."""
    return getattr(world, name)(account, ETH, size_delta)  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", ["close_for", "deleverage"])
def test_closing_for_others_refuses_what_does_not_shrink(world: World, trader: str, name: str) -> None:
    with reverts("perps: not closing"):
        forced(world, name, trader, -WAD)  # it has none
    world.trade(trader, ETH, 3 * WAD)
    for size_delta, reason in (
        (WAD, "perps: not closing"),
        (-3 * WAD - 10**15, "perps: not closing"),  # a flip, large enough to be a position
        (-3 * WAD - 1, "perps: below minimum size"),
        (0, "perps: zero size"),
        (-(2**95), "perps: size range"),
    ):
        with reverts(reason):
            forced(world, name, trader, size_delta)
    world.pause()
    for size_delta in (WAD, -4 * WAD):
        with reverts("perps: paused"):
            forced(world, name, trader, size_delta)
    world.warp(3_601)
    with reverts("oracle: stale price"):
        forced(world, name, trader, -WAD)
    world.check()


@pytest.mark.parametrize("part", [1, 3])
def test_close_for_is_the_trade_of_the_account(world: World, trader: str, other_trader: str, part: int) -> None:
    """At the vault's quote, charge and rebate included, whatever is paused or full and however little is left."""
    world.trade(trader, ETH, -400 * WAD)
    world.trade(other_trader, ETH, 390 * WAD)  # so that closing has a charge
    world.warp(600)
    world.set_price(ETH, 2_010 * WAD)
    world.pause()
    world.configure(cap_base=0, cap_quote=0, min_size=10**20)
    world.twin.perp_engine.set_paused(ETH, True)
    quoted = world.engine.quote(trader, ETH, 400 * WAD // part)
    before = world.cash(trader)
    receipt = world.close_for(trader, ETH, 400 * WAD // part)
    assert receipt.value == quoted
    assert quoted.charge > 0
    assert quoted.half_spread > 0
    assert world.cash(trader) - before == quoted.cash
    assert tuple(receipt.one("Trade"))[:3] == (trader, ETH, 400 * WAD // part)
    assert world.clearinghouse.account(trader)[1] == (0 if part == 1 else 1)
    world.check()


def test_close_for_charges_no_more_than_an_account_has(world: World, trader: str, other_trader: str) -> None:
    """Of the charge the reserve goes without what is beyond `most_cost`; the spread is not touched."""
    world.trade(trader, ETH, -400 * WAD)
    world.trade(other_trader, ETH, 390 * WAD)  # so that closing has a charge
    for room, most in ((0, 0), (0, None), (WAD // 10, None)):
        quoted = world.engine.quote(trader, ETH, 100 * WAD)
        assert quoted.charge > WAD // 10
        reserve, cash = world.clearinghouse.vault_ledger()[1], world.cash(trader)
        most = quoted.half_spread + room if most is None else most
        outcome = world.close_for(trader, ETH, 100 * WAD, most_cost=most).value
        assert (outcome.half_spread, outcome.charge) == (quoted.half_spread, room)
        assert world.cash(trader) - cash == quoted.cash + quoted.charge - room
        assert world.clearinghouse.vault_ledger()[1] == reserve + room
        world.do(
            lambda: world.inventory.sync.send(ETH, sender=world.stranger),
            lambda twin: twin.inventory.sync(ETH, world.now),  # type: ignore[attr-defined]
        )
        world.check()


def test_close_for_checked_asks_margin_what_trade_would(world: World, trader: str) -> None:
    """A perpetual that hedges a short option: unchecked it can be closed, checked as little as by its owner."""
    covered_call(world, trader)
    for send in (
        lambda: world.trade(trader, ETH, -100 * WAD),
        lambda: world.close_for(trader, ETH, -100 * WAD, checked=True),
    ):
        with reverts("margin: below maintenance"):
            send()
    world.close_for(trader, ETH, -100 * WAD)
    assert world.health(trader).equity < world.health(trader).maintenance
    world.check()


def test_deleverage_closes_at_mark_and_lps_pay_the_charge(world: World, trader: str, other_trader: str) -> None:
    world.trade(other_trader, ETH, 390 * WAD)
    world.trade(trader, ETH, -400 * WAD)
    world.warp(600)
    world.set_price(ETH, 1_900 * WAD)
    world.sync(ETH)
    quoted = world.engine.quote(trader, ETH, 400 * WAD)
    before, (lp, reserve) = world.cash(trader), world.clearinghouse.vault_ledger()
    fees = world.clearinghouse.buckets().fees
    receipt = world.deleverage(trader, ETH, 400 * WAD)
    outcome = receipt.value
    assert (outcome.half_spread, outcome.charge, outcome.fees) == (0, 0, 0)
    assert outcome.cash == outcome.realised - outcome.owed == world.cash(trader) - before
    assert outcome.realised == 400 * 100 * WAD
    charge = receipt.one("ExposureChanged").charge
    assert charge == quoted.charge > 0
    lp_after, reserve_after = world.clearinghouse.vault_ledger()
    assert reserve_after - reserve == charge
    assert lp_after - lp == -outcome.cash - charge
    assert world.clearinghouse.buckets().fees == fees
    assert (receipt.one("Trade").half_spread, receipt.one("Trade").charge) == (0, 0)
    world.check()


def test_deleverage_that_lowers_the_potential_pays_lps_the_rebate(world: World, trader: str) -> None:
    world.trade(trader, ETH, 1_000 * WAD)
    for _ in range(5):  # low-water marks of before are forgotten
        world.warp(61)
        world.set_price(ETH, 2_100 * WAD)
        world.sync(ETH)
    lp, reserve = world.clearinghouse.vault_ledger()
    receipt = world.deleverage(trader, ETH, -400 * WAD)
    rebate = -receipt.one("ExposureChanged").charge
    assert rebate > 0
    assert receipt.value.charge == 0
    lp_after, reserve_after = world.clearinghouse.vault_ledger()
    assert reserve - reserve_after == rebate
    assert lp_after - lp == -receipt.value.cash + rebate
    state = world.inventory.state()
    assert state.coverage * state.potential // WAD <= reserve_after
    world.check()


def test_deleverage_asks_no_margin(world: World, trader: str) -> None:
    covered_call(world, trader)
    world.deleverage(trader, ETH, -100 * WAD)
    assert world.health(trader).equity < world.health(trader).maintenance


# ── transfer ──


def value_of(world: World, *accounts: str) -> int:
    """Cash and positions at the marks of now, in WAD * 1e9 without a rounding: nothing accrues in a block."""
    total = 0
    for account in accounts:
        total += world.cash(account) * 10**9
        for market in (ETH, BTC):
            position = world.twin.perp_engine.position(account, market)
            _, _, index_long, index_short = world.twin.perp_engine.accrued(market, world.now)
            total += (position.size * world.oracle.last(market).price // 10**9) - position.cost * 10**9
            total -= accrued(position, index_long, index_short)
    return total


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("given", [3 * WAD, 10 * WAD // 3 + 1, 1])
def test_transfer_moves_a_part_at_mark(world: World, trader: str, other_trader: str, sign: int, given: int) -> None:
    """Both together have what they had, up to three wei, which are the LPs'; the vault's risk is what it was."""
    world.trade(trader, ETH, sign * 3 * WAD + sign * (given % 2))
    world.trade(other_trader, ETH, sign * 2 * WAD)
    world.trade(world.traders[2], ETH, -sign * 7 * WAD)
    given = min(given, abs(world.position(trader).size))
    world.warp(3_000)
    world.set_price(ETH, 2_123_456_789_123_456_789_012)
    world.sync(ETH)
    worth = value_of(world, trader, other_trader)
    held = [value_of(world, account) for account in (trader, other_trader)]
    lp, reserve = world.clearinghouse.vault_ledger()
    book, risk = world.engine.book(ETH), (world.inventory.market(ETH), world.inventory.state().potential)
    insurance_and_fees = tuple(world.clearinghouse.buckets())[2:5]
    receipt = world.transfer(trader, other_trader, ETH, sign * given)
    lost = worth - value_of(world, trader, other_trader)
    assert 0 <= lost < 3 * 10**9
    for account, before in zip((trader, other_trader), held, strict=True):
        assert 0 <= before - value_of(world, account) < 2 * 10**9 + 1
    lp_after, reserve_after = world.clearinghouse.vault_ledger()
    assert reserve_after == reserve
    after = world.engine.book(ETH)
    assert (after.long, after.short) == (book.long, book.short)
    assert ((lp_after - lp) * 10**9 + after.claims - book.claims) == lost  # LPs: cash and what traders owe
    assert (world.inventory.market(ETH), world.inventory.state().potential) == risk
    assert tuple(world.clearinghouse.buckets())[2:5] == insurance_and_fees
    event, position, taken = receipt.one("Transferred"), world.position(trader), world.position(other_trader)
    assert (event.giver, event.taker, event.market, event.size) == (trader, other_trader, ETH, sign * given)
    assert event.price == 2_123_456_789_123_456_789_012
    assert (event.giver_size, event.giver_cost) == (position.size, position.cost)
    assert (event.taker_size, event.taker_cost) == (taken.size, taken.cost)
    assert (event.index_long, event.index_short) == (after.index_long, after.index_short)
    assert (event.funding_rate, event.borrow_rate) == (after.funding_rate, after.borrow_rate)
    of_giver, of_taker = receipt.find("Settled")
    assert of_giver.change == event.realised - event.giver_owed
    assert of_taker.change == -event.taker_owed
    world.check()


def test_transfer_of_all_empties_the_giver_and_needs_no_room(world: World, trader: str, other_trader: str) -> None:
    """Paused, full and below the minimum size: open interest does not change, so none of it stands in the way."""
    world.trade(trader, ETH, -3 * WAD)
    world.pause()
    world.configure(cap_base=0, cap_quote=0, min_size=10**20)
    world.twin.perp_engine.set_paused(ETH, True)
    world.set_price(ETH, 2_050 * WAD)
    receipt = world.transfer(trader, other_trader, ETH, -3 * WAD)
    assert tuple(world.position(trader)) == (0, 0, 0)
    assert world.clearinghouse.account(trader)[1] == 0
    assert world.clearinghouse.account(other_trader)[1] == 1
    assert tuple(world.position(other_trader))[:2] == (-3 * WAD, -6_150 * WAD)
    assert receipt.one("Transferred").realised == -150 * WAD
    world.check()


def test_transfer_from_an_insolvent_account_leaves_its_debt(world: World, trader: str, other_trader: str) -> None:
    world.trade(trader, ETH, 4_000 * WAD)
    world.set_price(ETH, 1_500 * WAD)
    debt = world.transfer(trader, other_trader, ETH, 4_000 * WAD).one("BadDebtCovered")
    assert debt.by_lp > 900_000 * WAD
    assert world.clearinghouse.account(trader) == (0, 0)
    assert value_of(world, other_trader) == 10**6 * WAD * 10**9
    world.check()


def test_transfer_takes_over_rates_and_books_what_inventory_releases(
    scripted: World, trader: str, other_trader: str
) -> None:
    world = scripted
    answer(world, charge=5 * WAD)
    buy(world, trader, ETH, 3 * WAD)
    answer(world, release=2 * WAD, funding_rate=3 * WAD // 100, borrow_rate=WAD // 10)
    world.engine.transfer.send(trader, other_trader, ETH, WAD, sender=world.liquidator)
    assert world.clearinghouse.vault_ledger()[1] == 3 * WAD
    book = world.engine.book(ETH)
    assert (book.funding_rate, book.borrow_rate) == (3 * WAD // 100, WAD // 10)
    change = asked(world)
    assert (change.exposure, change.notional) == (Exposure(), 0)
    answer(world, charge=1)
    with reverts(""):
        world.engine.transfer.send(trader, other_trader, ETH, WAD, sender=world.liquidator)


def test_transfer_refuses_what_it_cannot_move(world: World, trader: str, other_trader: str) -> None:
    world.trade(trader, ETH, 3 * WAD)
    world.trade(world.traders[2], ETH, -WAD)
    for giver, taker, size, reason in (
        (trader, trader, WAD, "perps: same account"),
        (trader, other_trader, 0, "perps: not closing"),
        (trader, other_trader, 3 * WAD + 1, "perps: not closing"),
        (trader, other_trader, -WAD, "perps: not closing"),
        (trader, other_trader, -(2**255), "perps: not closing"),
        (other_trader, trader, WAD, "perps: not closing"),
        (trader, world.traders[2], WAD, "perps: taker is on the other side"),
        (world.traders[2], trader, -WAD, "perps: taker is on the other side"),
    ):
        with reverts(reason):
            world.transfer(giver, taker, ETH, size)
    with reverts("oracle: not listed"):
        world.engine.transfer.send(trader, other_trader, 2, WAD, sender=world.liquidator)
    world.warp(3_601)
    with reverts("oracle: stale price"):
        world.transfer(trader, other_trader, ETH, WAD)
    world.check()


def test_penalty_and_accrued_of_markets(world: World, trader: str) -> None:
    world.trade(trader, ETH, 10 * WAD)
    world.warp(1_000)
    assert world.engine.penalty_bps(BTC) == PERP.penalty_bps
    stored, accrued_now = world.engine.book(ETH), world.engine.accrued(ETH)
    assert accrued_now[:2] == (10 * WAD, 0)
    assert accrued_now[2] > stored.index_long
    world.warp(5_000)  # at the last mark even when that is too old to trade at
    assert world.engine.accrued(ETH)[2] > accrued_now[2]
    assert tuple(world.engine.accrued(ETH)) == world.twin.perp_engine.accrued(ETH, world.now)
    for view in (world.engine.penalty_bps, world.engine.accrued):
        with reverts("perps: not listed"):
            view(16)


def rounds_recorded(receipt: Receipt) -> list[int]:
    return [event.market for event in receipt.find("RoundAccepted")]


def publish(world: World, market: int, price: int) -> None:
    """A new round that nobody has recorded yet."""
    world.round_id += 1
    round_ = Round(world.round_id, price, 0, world.now, True)
    world.feeds[market].set_round.send(astuple(round_))
    world.twin_feeds[market].round = round_


def test_trade_synchronises_markets_of_options_too(world: World, trader: str) -> None:
    world.mark_options(trader, BTC)
    world.mark_options(trader, ETH)
    world.warp(10)
    publish(world, ETH, 2_000 * WAD)
    publish(world, BTC, 60_000 * WAD)
    assert rounds_recorded(world.trade(trader, ETH, WAD)) == [ETH, BTC]


def test_trade_stale_price_of_options_stops_increase_only(world: World, trader: str) -> None:
    world.trade(trader, ETH, WAD)
    world.mark_options(trader, BTC)
    world.warp(3_601)
    world.set_price(ETH, 2_000 * WAD)
    with reverts("oracle: stale price"):
        world.trade(trader, ETH, WAD)
    world.trade(trader, ETH, -WAD // 2)


def test_withdraw_synchronises_markets_of_options(world: World, trader: str) -> None:
    world.mark_options(trader, BTC)
    world.warp(10)
    publish(world, ETH, 2_000 * WAD)
    publish(world, BTC, 60_000 * WAD)
    assert rounds_recorded(world.withdraw(trader, 1)) == [BTC]
    world.warp(3_601)
    with reverts("oracle: stale price"):
        world.withdraw(trader, 1)


def test_close_for_checked_judges_other_markets_at_their_last_marks(world: World, trader: str) -> None:
    """A price that has gone stale elsewhere stops nobody from closing; what is new there is recorded."""
    world.trade(trader, ETH, WAD)
    world.mark_options(trader, BTC)
    world.warp(10)
    publish(world, BTC, 60_000 * WAD)
    assert rounds_recorded(world.close_for(trader, ETH, -WAD // 4, checked=True)) == [BTC]
    world.warp(3_601)
    world.set_price(ETH, 2_000 * WAD)
    world.close_for(trader, ETH, -WAD // 4, checked=True)


# ── withdrawals of accounts with positions ──


def test_withdraw_keeps_initial_margin(world: World, trader: str) -> None:
    world.trade(trader, ETH, 1_000 * WAD)
    health = world.margin.health(trader)
    free = (health.equity - health.initial) // 10**12
    with reverts("margin: below initial"):
        world.withdraw(trader, free + 1)
    world.withdraw(trader, free)
    world.check()


def test_withdraw_unrealised_profit_reverts(world: World, trader: str) -> None:
    world.trade(trader, ETH, 1_000 * WAD)
    world.set_price(ETH, 3_500 * WAD)
    with reverts("clearing: insufficient cash"):
        world.withdraw(trader, 1_000_001 * 10**6)
    world.withdraw(trader, world.cash(trader) // 10**12)


def test_withdraw_stale_price_reverts(world: World, trader: str) -> None:
    world.trade(trader, ETH, WAD)
    world.warp(3_601)
    with reverts("oracle: stale price"):
        world.withdraw(trader, 1)


# ── views ──


def test_legs_accrue_to_now_at_the_last_mark(world: World, trader: str, other_trader: str) -> None:
    world.trade(trader, ETH, -10 * WAD)
    world.trade(trader, BTC, WAD)
    world.trade(other_trader, ETH, 100 * WAD)
    world.warp(1_800)
    legs = world.engine.legs(trader, 0b11)
    assert [tuple(leg) for leg in legs] == [astuple(leg) for leg in world.twin.perp_engine.legs(trader, 3, world.now)]
    assert [leg.market for leg in legs] == [ETH, BTC]
    assert world.engine.legs(trader, 0) == []


def test_book_value_is_what_traders_owe(world: World, trader: str, other_trader: str) -> None:
    assert world.book_value() == 0
    world.trade(trader, ETH, 10 * WAD)
    world.trade(other_trader, BTC, -WAD)
    assert world.book_value() == 0
    world.set_price(ETH, 2_100 * WAD)
    world.set_price(BTC, 59_000 * WAD)
    owed = world.engine.legs(trader, 1)[0].owed + world.engine.legs(other_trader, 2)[0].owed
    # traders' debts are rounded up one by one, the vault's claims down in sum
    assert 0 <= owed - (world.book_value() + 2_000 * WAD) <= 2
    world.check()


@pytest.mark.parametrize("size", [1, -1])
def test_book_value_counts_positions_of_a_wei(world: World, trader: str, size: int) -> None:
    world.configure(min_size=0)
    world.trade(trader, ETH, size)
    world.set_price(ETH, 3_000 * WAD)
    assert world.book_value() == -1_000 * size  # the vault gave what has risen, or took it
    world.check()


def test_margin_health_adds_positions_to_cash(world: World, trader: str) -> None:
    world.trade(trader, ETH, 10 * WAD)
    world.trade(trader, BTC, -WAD)
    world.set_price(ETH, 2_100 * WAD)
    health = world.margin.health(trader)
    owed = sum(leg.owed for leg in world.engine.legs(trader, 3))
    assert health.equity == world.cash(trader) + 1_000 * WAD - owed
    exits = sum(
        exit_cost(leg.size, mark.price, mark.sigma, PERP.cap_quote)
        for leg, mark in zip(world.engine.legs(trader, 3), map(world.oracle.last, (ETH, BTC)), strict=True)
    )
    assert health.initial == 2_100 * WAD + 6_000 * WAD + exits
    assert health.maintenance == 1_050 * WAD + 3_000 * WAD + exits
    cash, mask = world.clearinghouse.account(trader)
    assert world.margin.assess(trader, cash, mask) == health
    assert world.margin.check_initial(trader, cash, mask)
    assert not world.margin.check_initial(trader, cash - health.equity + health.initial - 1, mask)
    assert world.margin.check_initial(trader, cash - health.equity + health.initial, mask)


def test_addresses_are_readable(world: World) -> None:
    assert world.engine.clearinghouse() == world.margin.clearinghouse() == world.clearinghouse.address
    assert world.engine.oracle() == world.margin.oracle() == world.oracle.address
    assert world.engine.inventory() == world.inventory.address
    assert world.margin.perp_engine() == world.engine.address


# ── parameters ──


def test_list_market_logs_and_rounds(world: World) -> None:
    params = replace(PERP, cap_base=WAD + 1, cap_quote=WAD + 1, min_size=WAD + 1)
    receipt = world.engine.list_market.send(2, astuple(params))
    assert tuple(receipt.one("MarketListed")) == (2,)
    assert tuple(receipt.one("MarketParamsSet").params) == astuple(params)
    assert world.engine.listed_mask() == 0b111
    config = world.engine.config(2)
    assert tuple(config.params) == astuple(replace(params, cap_base=WAD, cap_quote=WAD, min_size=WAD))
    assert (config.listed, config.paused) == (True, False)
    assert world.engine.book(2).time == world.now
    with reverts("perps: already listed"):
        world.engine.list_market.send(2, astuple(params))
    with reverts("perps: not listed"):
        world.engine.list_market.send(16, astuple(params))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"initial_bps": 10_001}, "perps: initial margin"),
        ({"initial_bps": 99, "maintenance_bps": 60, "penalty_bps": 0}, "perps: initial margin"),
        ({"maintenance_bps": 1_000}, "perps: maintenance margin"),
        ({"maintenance_bps": 49, "penalty_bps": 0}, "perps: maintenance margin"),
        ({"fee_share_bps": 5_001}, "perps: fee share"),
        ({"penalty_bps": 501, "maintenance_bps": 900}, "perps: penalty"),
        ({"penalty_bps": 500}, "perps: penalty"),
        ({"cap_base": 2**64 * 10**12}, "perps: cap range"),
        ({"cap_quote": 2**64 * 10**12}, "perps: cap range"),
        ({"min_size": 2**48 * 10**9}, "perps: minimum size range"),
    ],
)
def test_set_params_out_of_bounds_reverts(world: World, changes: dict[str, int], reason: str) -> None:
    with reverts(reason):
        world.engine.set_params.send(ETH, astuple(replace(PERP, **changes)))


def test_set_params_of_unlisted_market_reverts(world: World) -> None:
    for function, arguments in (("set_params", (astuple(PERP),)), ("pause", ()), ("unpause", ())):
        with reverts("perps: not listed"):
            world.engine.send(function, 2, *arguments)


def test_set_params_at_the_bounds_survive_the_word(world: World) -> None:
    widest = MarketParams(10_000, 9_999, 5_000, 500, (2**64 - 1) * 10**12, (2**64 - 1) * 10**12, (2**48 - 1) * 10**9)
    world.pause()
    world.engine.set_params.send(ETH, astuple(widest))
    config = world.engine.config(ETH)
    assert tuple(config.params) == astuple(widest)
    assert (config.listed, config.paused) == (True, True)


@pytest.mark.parametrize(
    "changes",
    [
        {"initial_bps": 10_000},
        {"initial_bps": 100, "maintenance_bps": 99, "penalty_bps": 98},
        {"maintenance_bps": 50, "penalty_bps": 49},
        {"maintenance_bps": 501, "penalty_bps": 500},
        {"fee_share_bps": 0, "penalty_bps": 0},
        {"cap_base": 0, "cap_quote": 0, "min_size": 0},
        {"cap_base": 10**12, "cap_quote": 10**12, "min_size": 10**9},
        {"initial_bps": 2**13, "maintenance_bps": 2**13 - 1, "fee_share_bps": 2**12, "penalty_bps": 2**8},
        {"initial_bps": 2**13 - 1, "maintenance_bps": 2**12, "fee_share_bps": 2**12 - 1, "penalty_bps": 2**8 - 1},
    ],
    ids=str,
)
def test_set_params_inside_the_bounds_is_kept(world: World, changes: dict[str, int]) -> None:
    params = replace(PERP, **changes)
    world.engine.set_params.send(ETH, astuple(params))
    config = world.engine.config(ETH)
    assert tuple(config.params) == astuple(params)
    assert (config.listed, config.paused) == (True, False)


def test_lower_caps_only_lowers(world: World) -> None:
    receipt = world.engine.lower_caps.send(ETH, 5 * WAD, PERP.cap_quote, sender=world.guardian)
    assert receipt.one("MarketParamsSet").params.cap_base == 5 * WAD
    for caps in ((5 * WAD + 1, 0), (0, PERP.cap_quote + 1)):
        with reverts("perps: caps can only fall"):
            world.engine.lower_caps.send(ETH, *caps, sender=world.guardian)


def test_guardian_pauses_and_only_governor_unpauses(world: World, trader: str) -> None:
    world.engine.pause.send(ETH, sender=world.guardian)
    with reverts(NOT_ALLOWED):
        world.engine.unpause.send(ETH, sender=world.guardian)
    receipt = world.engine.unpause.send(ETH, sender=world.governor)
    assert tuple(receipt.one("MarketPaused")) == (ETH, False)
    assert not world.engine.config(ETH).paused


@pytest.mark.parametrize(
    "function",
    [
        "list_market", "set_params", "lower_caps", "pause", "unpause", "close_for", "deleverage", "transfer",
    ],
)  # fmt: skip
def test_privileged_function_by_stranger_reverts(world: World, function: str) -> None:
    arguments: tuple[Any, ...] = {
        "list_market": (2, astuple(PERP)),
        "set_params": (ETH, astuple(PERP)),
        "lower_caps": (ETH, 0, 0),
        "close_for": (world.governor, ETH, 1, 0, False),
        "deleverage": (world.governor, ETH, 1),
        "transfer": (world.governor, world.guardian, ETH, 1),
    }.get(function, (ETH,))
    with reverts(NOT_ALLOWED):
        world.engine.send(function, *arguments, sender=world.stranger)


# ── words ──


def test_position_word_survives_its_extremes(world: World, trader: str) -> None:
    """Signs and widths of the packed words, written through real trades of both signs."""
    world.configure(min_size=0)
    for size in (1, -1, 3 * WAD, -7 * WAD):
        world.trade(trader, ETH, size)
        assert tuple(world.position(trader)) == astuple(world.twin.perp_engine.position(trader, ETH))
    assert astuple(Position()) == tuple(world.position(world.stranger))
