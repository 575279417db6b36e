"""OptionEngine beside its twin: what a trade costs, what is refused and why, and that closing never is."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import astuple, replace
from math import erf, exp, log, sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ballast.chain import reverts
from ballast.model.exact.fixed import YEAR, mul_down, root_down
from ballast.model.exact.fixed import Reverted as TwinReverted
from ballast.model.exact.option_book import LOT, STRIKE_UNIT, Order, key_of, pack
from ballast.model.exact.option_engine import OptionParams, stored_params
from ballast.model.roles import Role
from ballast.testing.parameters import INVENTORY_MARKET
from tests.unit.options.world import BTC, CENT, ETH, FORTNIGHT, OPTIONS, START, WAD, WEEK, OptionWorld

DAY = 86_400
SCALE = int(os.environ.get("BALLAST_FUZZ_SCALE", "1"))


def textbook(world: OptionWorld, strike: float, put: bool, expiry: int = WEEK) -> float:
    """Black-76 on the SSVI smile in floats, per unit of base."""
    spot, smile = 2_000.0, world.twin_surface.smile(ETH, expiry, world.now)
    years, term = (expiry - world.now) / YEAR, (expiry - smile.timestamp) / YEAR
    theta, rho, eta, rate = (x / WAD for x in (smile.theta, smile.rho, smile.eta, smile.rate))
    forward = spot * exp(rate * years)
    k, phi = log(strike / forward), eta / sqrt(theta * (1 + theta))
    w = theta / 2 * (1 + rho * phi * k + sqrt((phi * k + rho) ** 2 + 1 - rho**2))
    root = sqrt(w / term * years)
    d1 = -k / root + root / 2
    up, down = ((1 + erf(x / sqrt(2))) / 2 for x in (d1, d1 - root))
    call = exp(-rate * years) * (forward * up - strike * down)
    return call - exp(-rate * years) * (forward - strike) if put else call


# ── what a trade costs ──


@pytest.mark.parametrize("name", ["1600C", "2000C", "2400C", "1800P", "2000P", "2600P"])
def test_trade_premium_is_black_76_on_the_posted_smile(world: OptionWorld, trader: str, name: str) -> None:
    bought = world.option(trader, {name: 10})
    expected = 10 * textbook(world, float(name[:-1]), name[-1] == "P")
    assert bought.premium / WAD == pytest.approx(expected, rel=1e-9)
    assert world.option(trader, {name: -10}).premium in (-bought.premium, 1 - bought.premium)  # rounded down


def test_trade_pays_premium_half_spread_and_charge_into_their_buckets(world: OptionWorld, trader: str) -> None:
    before = world.clearinghouse.buckets()
    outcome = world.option(trader, {"2000C": 10})
    after = world.clearinghouse.buckets()
    fees = outcome.half_spread * OPTIONS.fee_share_bps // 10_000
    assert outcome.fees == fees
    booked = after.fees - before.fees
    assert 0 <= fees - booked < 10**12  # fees are booked in MICRO
    assert after.reserve - before.reserve == outcome.charge > 0
    assert after.lp - before.lp == outcome.premium + outcome.half_spread - booked
    assert world.held(trader) == {world.series("2000C"): 10 * WAD // LOT}
    world.check()


def test_quote_equals_trade_on_a_new_round_that_is_not_recorded(world: OptionWorld, trader: str) -> None:
    world.option(trader, {"2000C": 10})
    for price in (2_010, 1_995, 2_030):
        world.push(ETH, price)
        world.option(trader, {"2000C": 1, "1900P": -2})  # which compares the two
        world.check()


def test_quote_refuses_on_a_due_board_and_equals_the_trade_once_it_is_renewed(world: OptionWorld, trader: str) -> None:
    world.option(trader, {"2000C": 10})
    world.warp(1_801)
    world.renew_rounds()
    orders = world.orders({"2000C": 1})
    with reverts("options: refresh first"):
        world.quote(trader, orders)
    world.refresh()
    quoted = world.quote(trader, orders)
    assert world.option(trader, {"2000C": 1}) == quoted


def test_trade_on_a_due_board_costs_what_it_costs_after_a_refresh(trader: str) -> None:
    """Whoever refreshes: the trader within the trade or a keeper before it."""
    outcomes = []
    for first in (False, True):
        world = OptionWorld.create()
        world.rest()
        world.option(trader, {"2000C": 100})
        world.configure_options(reward=0)
        world.warp(1_801)
        world.set_price(ETH, 2_050 * WAD)
        assert world.book.is_due(key_of(ETH, WEEK), 2_050 * WAD)
        if first:
            world.refresh()
        outcomes.append(world.option(trader, {"2100C": 20}))
        assert not world.book.is_due(key_of(ETH, WEEK), 2_050 * WAD)
        world.check()
    assert outcomes[0] == outcomes[1]


def test_first_trade_on_a_board_renews_it(world: OptionWorld, trader: str) -> None:
    assert world.book.board(ETH, FORTNIGHT).time == 0
    world.option(trader, {"2000C": 1}, FORTNIGHT)
    board = world.book.board(ETH, FORTNIGHT)
    assert (board.time, board.spot, board.legs) == (world.now, 2_000 * WAD, 1)
    world.check()


# ── netting ──


def test_trade_spread_costs_less_half_spread_than_its_legs(world: OptionWorld, trader: str) -> None:
    legs = {"2000C": 10, "2200C": -10}
    world.option(trader, {"2400C": 1})
    together = world.quote(trader, world.orders(legs))
    apart = [world.quote(trader, world.orders({name: size})) for name, size in legs.items()]
    assert together.half_spread < sum(x.half_spread for x in apart) * 2 // 3
    assert together.premium - sum(x.premium for x in apart) in (0, 1)


def test_trade_straddle_pays_for_little_delta(world: OptionWorld, trader: str) -> None:
    """Call and put offset each other's delta, and share their vega."""
    world.option(trader, {"2400C": 1})
    straddle = world.quote(trader, world.orders({"2000C": 10, "2000P": 10})).half_spread
    calls = world.quote(trader, world.orders({"2000C": 20})).half_spread
    assert straddle < calls


def test_trade_of_opposite_equal_options_adds_no_gamma_or_vega(world: OptionWorld, trader: str) -> None:
    """A call bought and a put sold at one strike are a forward."""
    world.option(trader, {"2000C": 10, "2000P": -10})
    stored = world.inventory.market(ETH)
    assert (stored.gamma, stored.vega, list(stored.stress)) == (0, 0, [0] * 8)
    assert stored.delta == -10 * WAD
    world.check()


def test_trade_of_many_legs_leaves_what_its_legs_leave_one_by_one(trader: str) -> None:
    """Same totals, same U, same premium but for rounding; the charges of the parts add up to no less."""
    legs = {"1600C": 5, "1800P": -7, "1900C": 3, "2000C": -4, "2000P": 2, "2200C": 9, "2400P": -1, "3000C": 30}
    books, potentials, totals = [], [], []
    for parts in ([legs], [{name: size} for name, size in legs.items()]):
        world = OptionWorld.create()
        world.rest()
        outcomes = [world.option(trader, part) for part in parts]
        books.append(tuple(world.book.board(ETH, WEEK)))
        potentials.append(world.potential())
        totals.append([sum(x.premium for x in outcomes), sum(x.half_spread for x in outcomes)])
        charges = sum(x.charge for x in outcomes)
        assert charges >= potentials[-1] - 10**12 * len(parts)  # U was zero; minima are in MICRO
        world.check()
    assert books[0] == books[1]
    assert potentials[0] == potentials[1] > 0
    assert totals[0][0] == totals[1][0]
    assert totals[0][1] < totals[1][1]


def test_trade_flips_a_position(world: OptionWorld, trader: str) -> None:
    world.option(trader, {"2000C": 3})
    world.option(trader, {"2000C": -8})
    assert list(world.held(trader).values()) == [-5 * WAD // LOT]
    board = world.book.board(ETH, WEEK)
    assert (board.legs, board.interest) == (1, 5 * WAD // LOT)
    world.option(trader, {"2000C": 8})
    assert list(world.held(trader).values()) == [3 * WAD // LOT]
    world.check()


def test_potential_is_a_function_of_exposures(trader: str) -> None:
    """Any order of the same trades in a block, over any accounts, ends at the same U and the same sums."""
    trades = [(0, {"2000C": 40}), (1, {"2200C": -15}), (2, {"1800P": 22}), (0, {"2000C": -11})]
    ends = []
    for order in ((0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2)):
        world = OptionWorld.create()
        world.rest()
        for i in order:
            who, legs = trades[i]
            world.option(world.traders[who], legs)
        ends.append((world.potential(), tuple(world.inventory.market(ETH)), tuple(world.book.board(ETH, WEEK))[:10]))
    assert ends[0] == ends[1] == ends[2]


def test_buying_a_call_earns_its_delta_back_where_perp_shorts_left_the_vault_long(world: OptionWorld) -> None:
    """
    One inventory: short perpetuals leave the vault long delta, a call bought from it takes delta away. The buyer is
    paid almost what whoever buys the call's delta as a perpetual is; without the perpetuals the call is charged.
    """
    buyer, seller = world.traders[:2]
    world.option(buyer, {"2000C": 1})  # so that the board has its point
    world.rest()
    alone = world.quote(buyer, world.orders({"2000C": 100}))

    world.trade(seller, ETH, -600 * WAD)
    world.rest()  # the short stands: minima of before are forgotten
    reserve = world.clearinghouse.buckets().reserve
    assert reserve >= world.potential() * 999 // 1_000  # rebates are covered

    before = world.inventory.market(ETH).delta
    as_perp = world.engine.quote(buyer, ETH, 56 * WAD).charge
    beside = world.option(buyer, {"2000C": 100})
    bought = before - world.inventory.market(ETH).delta
    assert 56 * WAD < bought < 57 * WAD  # N(d1) is 0.52; the smile moves along with spot
    assert as_perp < 0 < alone.charge
    assert beside.charge < as_perp * 9 // 10 < 0  # gamma and vega cost the rest
    assert abs(beside.half_spread - alone.half_spread) < alone.half_spread // 100
    assert beside.cash > alone.cash + alone.charge
    world.check()


def test_opposite_traders_of_one_option_leave_nothing_and_the_second_is_paid(world: OptionWorld) -> None:
    buyer, seller = world.traders[:2]
    charge = world.option(buyer, {"2000C": 200}).charge
    world.rest()
    rebate = -world.option(seller, {"2000C": -200}).charge
    assert charge > 0
    assert charge * 95 // 100 < rebate <= charge
    stored = world.inventory.market(ETH)
    assert (stored.delta, stored.gamma, stored.vega, world.potential()) == (0, 0, 0, 0)
    world.check()


# ── static bounds ──


@pytest.fixture
def wide(world: OptionWorld) -> OptionWorld:
    """Spreads of vol and spot as wide as parameters go; deep strikes listed."""
    params = replace(
        INVENTORY_MARKET, vol_floor=10 * CENT, vol_z=10 * WAD, vol_of_vol=10 * WAD, base=2 * CENT, z=10 * WAD,
        tau=3_600, deviation=0,
    )  # fmt: skip
    world.inventory.set_market_params.send(ETH, params.pack(), sender=world.governor)
    world.exact_inventory.set_market_params(ETH, params)
    world.list(ETH, WEEK, [400, 10_000])
    return world


@pytest.mark.parametrize("name", ["400C", "1600C", "2000C", "3000C", "1600P", "2000P", "3000P", "10000P", "10000C"])
def test_no_price_crosses_its_bounds_however_wide_the_spread(wide: OptionWorld, trader: str, name: str) -> None:
    wide.push(ETH, 2_000)  # of this second: spot cannot have moved since
    bought = wide.option(trader, {name: 10})
    most = 2_000 if name[-1] == "C" else int(name[:-1])
    assert bought.premium + bought.half_spread <= 10 * most * WAD
    cap = max(bought.premium // 8, 10 * 2_000 * WAD // 10_000)  # what is worth next to nothing: a basis point of spot
    assert bought.half_spread <= cap
    if name in ("2000C", "3000C", "10000C", "1600P", "2000P"):  # elsewhere there is little vega to pay for
        assert bought.half_spread == cap
    sold = wide.option(trader, {name: -10})
    assert sold.premium + sold.half_spread <= 0  # selling never costs
    wide.check()


@pytest.mark.parametrize("age", [1, 60, 900])
def test_half_spread_beyond_an_eighth_of_the_premium_is_what_the_age_of_the_round_hides(
    wide: OptionWorld, trader: str, age: int
) -> None:
    wide.warp(age)
    before = wide.inventory.market(ETH).delta
    bought = wide.option(trader, {"2200C": 10})
    delta = before - wide.inventory.market(ETH).delta
    mark = wide.oracle.peek(ETH)
    assert wide.now - mark.updated_at >= age
    lag = 2 * mul_down(mark.sigma, root_down((wide.now - mark.updated_at) * WAD // YEAR))
    assert bought.half_spread == bought.premium // 8 + mul_down(mul_down(delta, mark.price), lag)
    wide.check()


def test_no_call_costs_more_than_spot(wide: OptionWorld, trader: str) -> None:
    """Struck at a tenth of what spot was, then spot doubles: an eighth of the premium would be too much."""
    wide.list(ETH, WEEK, [200])
    wide.set_price(ETH, 4_000 * WAD)
    wide.send(trader, wide.orders({"2400C": 1}))
    bought = wide.option(trader, {"200C": 10})
    assert bought.premium + bought.half_spread == 40_000 * WAD
    assert bought.half_spread < bought.premium // 8
    wide.check()


def test_no_spread_is_quoted_past_the_caps_of_its_legs(wide: OptionWorld, trader: str) -> None:
    orders = wide.orders({"2000C": 10, "2200C": -10})
    wide.option(trader, {"2400C": 1})
    legs = [wide.quote(trader, [order]) for order in orders]
    assert wide.quote(trader, orders).half_spread <= sum(x.half_spread for x in legs)


# ── bad input: a reason, and nothing changed ──


def raw(strike: int, index: int, expiry: int = WEEK, market: int = ETH, right: int = 0) -> int:
    return (pack(strike * 10**8, index, key_of(market, expiry), False) & ~0xFF) | right


BAD_ORDERS: list[tuple[str, Callable[[OptionWorld], list[Order]], str]] = [
    ("none", lambda w: [], "options: no orders"),
    ("market without options", lambda w: [Order(raw(2_000, 3, market=5), WAD)], "options: not listed"),
    ("no such market", lambda w: [Order(raw(2_000, 3, market=200), WAD)], "options: not listed"),
    ("no such expiry", lambda w: [Order(raw(2_000, 3, START + 30 * DAY + 28_800), WAD)], "options: not listed"),
    ("no such strike", lambda w: [Order(raw(2_000, 10), WAD)], "options: not listed"),
    ("another strike's index", lambda w: [Order(raw(2_000, 4), WAD)], "options: not listed"),
    ("strike of no index", lambda w: [Order(raw(2_050, 3), WAD)], "options: not listed"),
    ("neither call nor put", lambda w: [Order(raw(2_000, 3, right=2), WAD)], "options: not listed"),
    ("neither put nor call", lambda w: [Order(raw(2_000, 3, right=255), WAD)], "options: not listed"),
    ("expired", lambda w: [Order(raw(2_000, 3, START - DAY + 28_800), WAD)], "options: expired"),
    ("number one", lambda w: [Order(1, WAD)], "options: expired"),
    ("beyond a series", lambda w: [Order(raw(2_000, 3) | 1 << 200, WAD)], "options: not listed"),
    ("zero size", lambda w: w.orders({"2000C": 0}), "options: zero size"),
    ("no lot", lambda w: [Order(w.series("2000C"), WAD + 1)], "options: not a multiple of the lot"),
    ("no lot, sold", lambda w: [Order(w.series("2000C"), -WAD - LOT // 2)], "options: not a multiple of the lot"),
    ("dust", lambda w: w.orders({"2000C": 0.009999}), "options: below minimum size"),
    ("dust, sold", lambda w: w.orders({"2000P": -0.009999}), "options: below minimum size"),
    ("dust beside", lambda w: w.orders({"2000C": 1, "2200C": 0.000001}), "options: below minimum size"),
    ("astronomical", lambda w: [Order(w.series("2000C"), (2**62 + 1) * LOT)], "options: size range"),
    ("astronomical, sold", lambda w: [Order(w.series("2000C"), -(2**200) * LOT)], "options: size range"),
    ("least", lambda w: [Order(w.series("2000C"), -(2**255))], "options: not a multiple of the lot"),
    ("twice", lambda w: w.orders({"2000C": 1}) * 2, "options: duplicate series"),
    (
        "twice, closing",
        lambda w: [Order(w.series("2000C"), size * WAD) for size in (1, -1)],
        "options: duplicate series",
    ),
    ("order", lambda w: w.orders({"2000C": 1, "2200C": 1})[::-1], "options: series order"),
    ("expiries", lambda w: w.orders({"2000C": 1}) + w.orders({"2000C": 1}, FORTNIGHT), "options: mixed expiries"),
    ("markets", lambda w: w.orders({"2000C": 1}) + w.orders({"60000C": 1}, WEEK, BTC), "options: mixed expiries"),
]


@pytest.mark.parametrize(("orders", "reason"), [x[1:] for x in BAD_ORDERS], ids=[x[0] for x in BAD_ORDERS])
def test_trade_refuses_bad_orders(
    world: OptionWorld, trader: str, orders: Callable[[OptionWorld], list[Order]], reason: str
) -> None:
    world.option(trader, {"2200P": 1})
    with reverts(reason):
        world.quote(trader, orders(world))
    with reverts(reason):
        world.send(trader, orders(world))
    world.check()


def test_trade_refuses_a_ninth_order(world: OptionWorld, trader: str) -> None:
    """Nine do not decode."""
    names = ["1600C", "1800C", "1900C", "2000C", "2100C", "2200C", "2400C", "2600C", "2800C"]
    orders = world.orders(dict.fromkeys(names, 1))
    world.send(trader, orders[:8])
    call = [astuple(order) for order in orders]
    with reverts():
        world.options.trade.send(call, 2**255 - 1, world.now, sender=trader)


def test_trade_refuses_a_seventeenth_position(world: OptionWorld, trader: str) -> None:
    for right in "CP":
        world.option(trader, {f"{k}{right}": 1 for k in (1_600, 1_800, 1_900, 2_000, 2_100, 2_200, 2_400, 2_600)})
    with reverts("options: too many legs"):
        world.option(trader, {"2800C": 1})
    world.warp(1)
    with reverts("options: too many legs"):
        world.option(trader, {"60000C": 1}, WEEK, BTC)
    world.option(trader, {"1600C": -1})
    world.warp(1)
    world.option(trader, {"60000C": 1}, WEEK, BTC)
    assert len(world.held(trader)) == 16
    world.check()


def test_trade_may_close_one_position_and_open_another_at_the_limit_of_sixteen(world: OptionWorld, trader: str) -> None:
    for right in "CP":
        world.option(trader, {f"{k}{right}": 1 for k in (1_600, 1_800, 1_900, 2_000, 2_100, 2_200, 2_400, 2_600)})
    world.option(trader, {"1600C": -1, "2800C": 1})
    with reverts("options: too many legs"):  # orders are applied in their sequence
        world.option(trader, {"2600P": -1, "1600C": 1, "1600P": 1})
    world.check()


@pytest.mark.parametrize(
    ("caps", "legs", "reason"),
    [
        ({"cap_series": 9 * WAD}, {"2000C": 10}, "options: series cap"),
        ({"cap_series": 9 * WAD}, {"2000P": -10}, "options: series cap"),
        ({"cap_expiry": 9 * WAD}, {"2000C": 5, "2200C": -5}, "options: expiry cap"),
        ({"cap_market": 9 * WAD}, {"2000C": 5, "2200P": -5}, "options: market cap"),
    ],
)
def test_trade_respects_caps(
    world: OptionWorld, trader: str, caps: dict[str, int], legs: dict[str, int | float], reason: str
) -> None:
    world.configure_options(**caps)
    with reverts(reason):
        world.option(trader, legs)
    world.option(trader, {name: size * 0.9 for name, size in legs.items()})
    with reverts(reason):
        world.option(trader, {name: 0.1 if size > 0 else -0.1 for name, size in legs.items()})
    world.check()


def test_market_cap_counts_every_board(world: OptionWorld, trader: str) -> None:
    world.configure_options(cap_market=10 * WAD)
    world.option(trader, {"2000C": 6})
    world.warp(1)
    with reverts("options: market cap"):
        world.option(trader, {"2000C": 5}, FORTNIGHT)
    world.option(trader, {"2000C": 4}, FORTNIGHT)
    world.check()


def test_series_cap_lets_the_net_of_all_accounts_fall(world: OptionWorld, trader: str, other: str) -> None:
    world.option(trader, {"2000C": 100})
    world.configure_options(cap_series=10 * WAD)
    world.option(other, {"2000C": -40})  # opens, and lowers the net
    with reverts("options: series cap"):
        world.option(other, {"2000C": 41})
    world.check()


def test_caps_of_interest_let_a_trade_that_does_not_add_to_it_pass(world: OptionWorld, trader: str) -> None:
    world.option(trader, {"2000C": 10})
    world.configure_options(cap_expiry=5 * WAD, cap_market=5 * WAD)
    world.option(trader, {"2000C": -9, "2200C": 9})
    with reverts("options: expiry cap"):
        world.option(trader, {"2200C": 1})
    world.check()


def test_trade_respects_limit_and_deadline(world: OptionWorld, trader: str) -> None:
    world.option(trader, {"2200C": 1})
    orders = world.orders({"2000C": 1})
    cost = -world.quote(trader, orders).cash
    with reverts("options: limit"):
        world.send(trader, orders, limit=cost - 1)
    world.send(trader, orders, limit=cost)
    sale = world.orders({"2000C": -1})
    proceeds = world.quote(trader, sale).cash
    with reverts("options: limit"):
        world.send(trader, sale, limit=-proceeds - 1)
    with reverts("options: deadline passed"):
        world.send(trader, sale, deadline=world.now - 1)
    world.send(trader, sale, limit=-proceeds)
    world.check()


def to_cash(world: OptionWorld, account: str, units: int) -> None:
    """Leave the account so many token units of cash."""
    world.withdraw(account, world.cash(account) // 10**12 - units)


def test_trade_refuses_to_buy_what_the_account_cannot_pay(world: OptionWorld, trader: str) -> None:
    world.option(world.traders[1], {"2200C": 1})
    cost = -world.quote(trader, world.orders({"2000C": 10})).cash
    to_cash(world, trader, cost // 10**12)
    with reverts("margin: below initial"):
        world.option(trader, {"2000C": 10})
    world.deposit(trader, 1)
    world.option(trader, {"2000C": 10})
    assert 0 <= world.cash(trader) < 10**12
    world.check()


def test_trade_refuses_to_sell_without_margin(world: OptionWorld, trader: str) -> None:
    """A short call at the money needs its value and a tenth of spot or more."""
    to_cash(world, trader, 2_000 * 10**6)
    with reverts("margin: below initial"):
        world.option(trader, {"2000C": -10})
    world.deposit(trader, 1_000 * 10**6)
    world.option(trader, {"2000C": -10})
    health = world.health(trader)
    assert 2_000 * WAD < health.initial <= health.equity < world.cash(trader)
    world.check()


def test_trade_long_puts_back_a_long_perpetual(world: OptionWorld, trader: str) -> None:
    """What they cost is worth as much to margin, and the scenarios that hurt the perpetual hurt less."""
    to_cash(world, trader, 25_000 * 10**6)
    world.option(world.traders[1], {"2200C": 1})
    world.trade(trader, ETH, 100 * WAD)
    with reverts("margin: below initial"):
        world.trade(trader, ETH, 30 * WAD)
    before = world.health(trader)
    world.option(trader, {"2000P": 100})
    after = world.health(trader)
    assert after.initial < 0.6 * before.initial
    assert after.equity > before.equity - 200 * WAD
    world.trade(trader, ETH, 30 * WAD)
    world.check()


def test_closing_a_hedge_needs_maintenance(world: OptionWorld, trader: str) -> None:
    """What is left of a vertical spread is a naked short; both at once may go, and the short first."""
    to_cash(world, trader, 1_500 * 10**6)
    world.option(trader, {"2000C": -10, "2200C": 10})
    health = world.health(trader)
    to_cash(world, trader, (world.cash(trader) - health.equity + health.initial) // 10**12 + 1)
    with reverts("margin: below maintenance"):
        world.option(trader, {"2200C": -10})
    world.option(trader, {"2200C": -0.5})
    world.option(trader, {"2000C": 2})
    world.option(trader, {"2000C": 8, "2200C": -9.5})
    assert world.held(trader) == {}
    world.check()


def test_closing_what_adds_to_the_risk_is_accepted_below_maintenance(world: OptionWorld, trader: str) -> None:
    to_cash(world, trader, 5_000 * 10**6)
    world.option(trader, {"2000C": -10, "2200C": 2, "1800P": -5})
    world.set_price(ETH, 2_520 * WAD)
    assert world.health(trader).equity < world.health(trader).maintenance
    with reverts("margin: below maintenance"):
        world.option(trader, {"2200C": -2})
    world.option(trader, {"2000C": 1})
    assert world.health(trader).equity < world.health(trader).maintenance
    world.option(trader, {"2000C": 9, "2200C": -2, "1800P": 5})
    world.check()


def test_closing_the_perpetual_that_hedges_options_needs_maintenance(world: OptionWorld, trader: str) -> None:
    world.option(trader, {"1900C": -10})
    world.trade(trader, ETH, 10 * WAD)
    health = world.health(trader)
    to_cash(world, trader, (world.cash(trader) - health.equity + health.initial) // 10**12 + 1)
    world.set_price(ETH, 2_400 * WAD)
    health = world.health(trader)
    world.withdraw(trader, (health.equity - health.initial) // 10**12)
    with reverts("margin: below maintenance"):
        world.close(trader, ETH)
    world.option(trader, {"1900C": 10})
    world.close(trader, ETH)
    world.check()


def test_trade_opening_stops_at_the_cutoff(world: OptionWorld, trader: str) -> None:
    world.option(trader, {"2000C": 2})
    world.warp(WEEK - 1_802 - world.now)
    world.renew_rounds()  # two blocks
    assert world.now + OPTIONS.cutoff == WEEK
    world.post(ETH, 0.6)
    world.option(trader, {"2000C": 1})
    world.warp(1)
    with reverts("options: too close to expiry"):
        world.option(trader, {"2000C": 1})
    world.option(trader, {"2000C": -1})
    world.check()


def test_trade_refuses_at_expiry_even_to_close(world: OptionWorld, trader: str) -> None:
    world.option(trader, {"2000C": 2})
    world.push(ETH, 2_000, WEEK)
    with reverts("options: expired"):
        world.send(trader, world.orders({"2000C": -2}))
    with reverts("options: expired"):
        world.refresh()


def test_trade_refuses_at_a_stale_price_even_to_close(world: OptionWorld, trader: str) -> None:
    world.option(trader, {"2000C": 2})
    world.warp(3_601)
    for size in (1, -1):
        with reverts("oracle: stale price"):
            world.send(trader, world.orders({"2000C": size}))
    with reverts("oracle: stale price"):
        world.refresh()


def test_trade_that_needs_margin_refuses_a_stale_price_of_another_market(world: OptionWorld, trader: str) -> None:
    world.option(trader, {"60000C": -1}, WEEK, BTC)
    world.warp(3_000)
    world.set_price(ETH, 2_000 * WAD)
    world.post(ETH, 0.6)
    world.warp(601)
    with reverts("oracle: stale price"):
        world.option(trader, {"2000C": -1})
    world.set_price(BTC, 60_000 * WAD)
    world.option(trader, {"2000C": -1})
    world.check()


# ── what stops opening never stops closing ──


def stale_surface(world: OptionWorld) -> None:
    world.warp(3_601)
    world.renew_rounds()


def cut_off(world: OptionWorld) -> None:
    world.configure_options(cutoff=7 * DAY)
    world.warp(8 * 3_600)
    world.renew_rounds()
    world.post(ETH, 0.6)


STOPS: list[tuple[str, Callable[[OptionWorld], object], str]] = [
    ("paused", lambda w: w.pause_options(), "options: paused"),
    ("board closed", lambda w: w.close_board(ETH, WEEK), "options: board is closing"),
    ("surface frozen", lambda w: w.freeze_surface(ETH), "options: stale surface"),
    ("surface stale", stale_surface, "options: stale surface"),
    ("series cap", lambda w: w.configure_options(cap_series=0), "options: series cap"),
    ("expiry cap", lambda w: w.configure_options(cap_expiry=0), "options: expiry cap"),
    ("market cap", lambda w: w.configure_options(cap_market=0), "options: market cap"),
    ("cut-off", cut_off, "options: too close to expiry"),
    ("minimum size", lambda w: w.configure_options(min_size=100 * WAD), "options: below minimum size"),
]


@pytest.mark.parametrize(("stop", "reason"), [x[1:] for x in STOPS], ids=[x[0] for x in STOPS])
def test_closing_is_accepted_when_opening_is_not(
    world: OptionWorld, trader: str, stop: Callable[[OptionWorld], object], reason: str
) -> None:
    world.option(trader, {"2000C": 10, "2200P": -10})
    stop(world)
    for legs in ({"2000C": 1}, {"2200P": -1}, {"2400C": 1}):
        with reverts(reason):
            world.option(trader, legs)
    if "cap" not in reason:  # which let pass what adds nothing
        for legs in ({"2000C": -1, "2400C": 1}, {"2000C": -10.5}):
            with reverts(reason):
                world.option(trader, legs)
    world.option(trader, {"2000C": -0.000001})
    world.option(trader, {"2000C": -4, "2200P": 3.5})
    world.check()
    world.close_options(trader, ETH, WEEK)
    assert world.held(trader) == {}
    assert world.inventory.market(ETH).delta == 0
    world.check()


def test_closing_is_accepted_below_initial_margin(world: OptionWorld, trader: str) -> None:
    to_cash(world, trader, 3_200 * 10**6)
    world.option(trader, {"2000C": -10})
    world.set_price(ETH, 2_150 * WAD)
    health = world.health(trader)
    assert health.equity < health.initial
    with reverts("margin: below initial"):
        world.option(trader, {"2200C": -0.01})
    world.option(trader, {"2000C": 0.000001})
    world.option(trader, {"2000C": 9.999999})
    assert world.held(trader) == {}
    world.check()


def test_closing_is_accepted_where_the_inventory_is_full(world: OptionWorld, trader: str, other: str) -> None:
    world.configure_options(cap_series=10**6 * WAD, cap_expiry=10**6 * WAD, cap_market=10**6 * WAD)
    world.deposit(trader, 10**8 * 10**6)
    world.deposit(other, 10**8 * 10**6)
    world.option(other, {"2000P": 2_000})
    world.option(trader, {"2000C": 2_000})
    with reverts("inventory: utilization"):
        world.option(trader, {"2200C": 100_000})
    world.configure_options()
    world.set_price(ETH, 2_700 * WAD)
    world.option(other, {"2000P": -2_000})
    assert world.held(other) == {}
    world.check()


def test_pause_ends_where_governance_ends_it(world: OptionWorld, trader: str) -> None:
    world.pause_options()
    assert world.options.is_paused(ETH)
    assert not world.options.is_paused(BTC)
    world.option(trader, {"60000C": 1}, WEEK, BTC)
    world.warp(1)
    with reverts("options: paused"):
        world.option(trader, {"2000C": 1})
    world.configure_options(reward=0)  # parameters do not end it
    with reverts("options: paused"):
        world.option(trader, {"2000C": 1})
    world.unpause_options()
    world.option(trader, {"2000C": 1})


# ── positions of others ──


def test_close_for_refuses_what_does_not_shrink(world: OptionWorld, trader: str) -> None:
    world.option(trader, {"2000C": 5, "2200P": -5})
    for legs, reason in (
        ({"2000C": 1}, "options: not closing"),
        ({"2200P": -1}, "options: not closing"),
        ({"2400C": -1}, "options: not closing"),
        ({"2000C": -6}, "options: not closing"),
        ({"2000C": -1, "2200P": -1}, "options: not closing"),
        ({"2000C": -5.000001}, "options: below minimum size"),
    ):
        with reverts(reason):
            world.close_for_options(trader, world.orders(legs))
    with reverts("options: no orders"):
        world.close_for_options(trader, [])
    with reverts("options: series order"):
        world.close_for_options(trader, world.orders({"2000C": -1, "2200P": 1})[::-1])
    world.pause_options()
    with reverts("options: paused"):
        world.close_for_options(trader, world.orders({"2000C": 1}))
    world.warp(3_601)
    with reverts("oracle: stale price"):
        world.close_for_options(trader, world.orders({"2000C": -1}))
    world.check()


def test_close_for_is_the_trade_of_the_account(world: OptionWorld, trader: str) -> None:
    """At the vault's quote, whatever is paused, frozen or closed; a part first, then all."""
    world.option(trader, {"2000C": 5, "2200P": -5})
    world.warp(300)
    world.set_price(ETH, 2_030 * WAD)
    world.pause_options()
    world.freeze_surface(ETH)
    world.close_board(ETH, WEEK)
    for legs in ({"2000C": -2, "2200P": 1}, {"2000C": -3, "2200P": 4}):
        orders = world.orders(legs)
        quoted, before = world.quote(trader, orders), world.cash(trader)
        receipt = world.close_for_options(trader, orders)
        assert receipt.value == quoted
        assert quoted.half_spread > 0
        assert world.cash(trader) - before == quoted.cash
        trade = receipt.one("Trade", world.options)
        assert (trade.account, [tuple(o) for o in trade.orders]) == (trader, [astuple(o) for o in orders])
        world.check()
    assert world.clearinghouse.account(trader)[1] == 0


def test_close_for_charges_no_more_than_an_account_has(world: OptionWorld, trader: str, other: str) -> None:
    """Of the charge the reserve goes without what is beyond `most_cost`; the spread is not touched."""
    world.option(trader, {"2000C": 300})
    world.option(other, {"2000C": -290})
    for room, most in ((0, 0), (0, None), (WAD // 100, None)):
        orders = world.orders({"2000C": -50})
        quoted = world.quote(trader, orders)
        assert quoted.charge > WAD // 100
        reserve, cash = world.clearinghouse.vault_ledger()[1], world.cash(trader)
        most = quoted.half_spread + room if most is None else most
        outcome = world.close_for_options(trader, orders, most_cost=most).value
        assert (outcome.half_spread, outcome.charge) == (quoted.half_spread, room)
        assert world.cash(trader) - cash == quoted.cash + quoted.charge - room
        assert world.clearinghouse.vault_ledger()[1] == reserve + room
        world.do(
            lambda: world.inventory.sync.send(ETH, sender=world.stranger),
            lambda twin: twin.inventory.sync(ETH, world.now),  # type: ignore[attr-defined]
        )
        world.check()


def test_close_for_renews_a_board_that_is_due(world: OptionWorld, trader: str) -> None:
    world.option(trader, {"2000C": 5})
    world.warp(1_801)
    world.renew_rounds()
    world.close_for_options(trader, world.orders({"2000C": -5})).one("Refreshed")
    world.check()


def test_close_for_checked_asks_margin_what_trade_would(world: OptionWorld, trader: str) -> None:
    """The bought leg of a spread: unchecked it can be closed, checked as little as by its owner."""
    world.option(trader, {"2000C": -100, "2100C": 100})
    health = world.health(trader)
    world.withdraw(trader, (health.equity - health.initial) // 10**12)
    hedge = world.orders({"2100C": -100})
    with reverts("margin: below maintenance"):
        world.send(trader, hedge)
    with reverts("margin: below maintenance"):
        world.close_for_options(trader, hedge, checked=True)
    world.close_for_options(trader, world.orders({"2000C": 1}), checked=True)
    world.close_for_options(trader, hedge)
    assert world.health(trader).equity < world.health(trader).maintenance
    world.close_for_options(trader, world.orders({"2000C": 1}), checked=True)  # lowers what is required
    world.check()


def test_close_for_an_insolvent_short_leaves_its_debt(world: OptionWorld, trader: str) -> None:
    to_cash(world, trader, 4_000 * 10**6)
    world.option(trader, {"2000C": -10})
    world.set_price(ETH, 2_800 * WAD)
    world.close_for_options(trader, world.orders({"2000C": 10})).one("BadDebtCovered")
    assert world.clearinghouse.account(trader) == (0, 0)
    world.check()


# ── transfer ──


MOVED = [
    ({"2000C": 5}, {}),
    ({"2000C": 2, "2200P": -3, "2100C": -1.234567}, {"2000C": 1, "2200P": -1}),
    ({"2000C": 5, "2200P": -5, "2100C": -4}, {"2400C": 1}),
]


@pytest.mark.parametrize(("moved", "held"), MOVED, ids=["all of one", "parts, added", "all of three"])
def test_transfer_moves_positions_at_mark(
    world: OptionWorld, trader: str, other: str, moved: dict[str, int | float], held: dict[str, int | float]
) -> None:
    """What the taker pays the giver gets; nobody else, and no total of the vault, notices."""
    world.option(trader, {"2000C": 5, "2200P": -5, "2100C": -4})
    if held:
        world.option(other, held)
    world.warp(300)
    world.set_price(ETH, 2_077 * WAD + 12_345)
    world.sync(ETH)
    orders, key = world.orders(moved), key_of(ETH, WEEK)
    before = [world.cash(account) for account in (trader, other)]
    buckets, potential = world.clearinghouse.buckets(), world.inventory.state().potential
    inventory, board = world.inventory.market(ETH), world.book.board(ETH, WEEK)
    mark = world.twin_book.preview(other, orders, world.twin.oracle.last(ETH, world.now), world.now).premium
    receipt = world.transfer_options(trader, other, orders)
    paid = before[1] - world.cash(other)
    assert paid == world.cash(trader) - before[0]
    assert mark - len(orders) <= paid <= mark  # the giver's rounding, not the taker's
    assert world.clearinghouse.buckets() == buckets
    assert (world.inventory.market(ETH), world.inventory.state().potential) == (inventory, potential)
    after = world.book.board(ETH, WEEK)
    assert after._replace(legs=board.legs) == board
    assert world.held(other) == {
        series: round((moved.get(name, 0) + held.get(name, 0)) * 10**6)
        for name in {**moved, **held}
        for series in [world.series(name)]
    }
    assert tuple(receipt.one("Transferred")) == (
        trader, other, ETH, WEEK, [astuple(o) for o in orders], 2_077 * WAD + 12_345, paid,
    )  # fmt: skip
    assert not receipt.find("ExposureChanged")
    assert world.twin_book.recomputed(key).value == after.value
    world.check()


def test_a_perpetual_moves_beside_options_of_its_market(world: OptionWorld, trader: str, other: str) -> None:
    """The market's stress vector and greeks are summed again, and come out the same: no charge."""
    world.option(other, {"2000C": 40, "2200P": -30})
    world.trade(trader, ETH, -30 * WAD)
    world.trade(other, ETH, -WAD)
    world.warp(300)
    world.set_price(ETH, 2_077 * WAD + 12_345)
    world.sync(ETH)
    inventory, potential = world.inventory.market(ETH), world.inventory.state().potential
    world.transfer(trader, other, ETH, -10 * WAD - 1)
    assert (world.inventory.market(ETH), world.inventory.state().potential) == (inventory, potential)
    assert world.position(other).size == -11 * WAD - 1
    world.check()


def test_transfer_is_accepted_where_nothing_can_be_opened(world: OptionWorld, trader: str, other: str) -> None:
    """Nets stay as they are: pause, caps, minimum size, cut-off and a board that is due do not count."""
    world.option(trader, {"2000C": 5})
    world.pause_options()
    world.close_board(ETH, WEEK)
    world.configure_options(cap_series=0, cap_expiry=0, cap_market=0, min_size=100 * WAD, cutoff=7 * DAY)
    world.warp(8 * 3_600)
    world.renew_rounds()
    world.post(ETH, 0.6)
    assert world.book.is_due(key_of(ETH, WEEK), 2_000 * WAD)
    world.transfer_options(trader, other, world.orders({"2000C": 0.000001}))
    world.transfer_options(trader, other, world.orders({"2000C": 4.999999}))
    assert world.held(trader) == {}
    assert world.clearinghouse.account(trader)[1] == 0
    world.check()


def test_transfer_of_an_insolvent_short_leaves_its_debt(world: OptionWorld, trader: str, other: str) -> None:
    to_cash(world, trader, 4_000 * 10**6)
    world.option(trader, {"2000C": -10})
    world.set_price(ETH, 2_800 * WAD)
    lp, cash = world.clearinghouse.buckets().lp, world.cash(other)
    receipt = world.transfer_options(trader, other, world.orders({"2000C": -10}))
    debt = receipt.one("BadDebtCovered")
    assert world.clearinghouse.account(trader) == (0, 0)
    assert world.cash(other) - cash == -receipt.one("Transferred").premium > 0
    assert world.clearinghouse.buckets().lp == lp - debt.by_lp
    world.check()


def test_transfer_refuses_what_it_cannot_move(world: OptionWorld, trader: str, other: str) -> None:
    world.option(trader, {"2000C": 5, "2200P": -5})
    world.option(other, {"2000C": -1})
    third = world.traders[2]
    for giver, taker, legs, reason in (
        (trader, trader, {"2000C": 1}, "options: same account"),
        (trader, third, {"2000C": -1}, "options: not closing"),
        (trader, third, {"2000C": 6}, "options: not closing"),
        (trader, third, {"2400C": 1}, "options: not closing"),
        (trader, third, {"2000C": 1, "2200P": 1}, "options: not closing"),
        (trader, other, {"2000C": 0.5}, "options: taker is on the other side"),
        (trader, other, {"2000C": 3}, "options: taker is on the other side"),
        (other, trader, {"2000C": -1}, "options: taker is on the other side"),
    ):
        with reverts(reason):
            world.transfer_options(giver, taker, world.orders(legs))
    for orders, reason in (
        ([], "options: no orders"),
        ([Order(world.series("2000C"), 0)], "options: zero size"),
        ([Order(world.series("2000C"), -(2**62 + 1) * LOT)], "options: size range"),
        (world.orders({"2000C": 1}) * 2, "options: duplicate series"),
        ([Order(1, LOT)], "options: expired"),
        ([Order(2 << 8, LOT)], "options: not listed"),
    ):
        with reverts(reason):
            world.transfer_options(trader, third, orders)
    names = ["1900C", "2100C", "2400C", "2600C", "2800C", "1900P", "2100P", "2000P"]
    world.option(third, dict.fromkeys(names, 1))
    world.option(third, dict.fromkeys(["1600C", "1800C", "2200C", "3000C", "1600P", "1800P", "2400P", "3000P"], 1))
    with reverts("options: too many legs"):
        world.transfer_options(trader, third, world.orders({"2000C": 1}))
    world.warp(3_601)
    with reverts("oracle: stale price"):
        world.transfer_options(trader, other, world.orders({"2200P": -1}))
    world.check()


@pytest.mark.parametrize("stop", [stale_surface, lambda w: w.freeze_surface(ETH)], ids=["stale", "frozen"])
def test_transfer_refuses_a_surface_that_nothing_is_opened_on(
    world: OptionWorld, trader: str, other: str, stop: Callable[[OptionWorld], object]
) -> None:
    """The mark would be the taker's to pick; the vault, whose spread grows with the surface's age, closes it still."""
    world.option(trader, {"2000C": -5})
    stop(world)
    with reverts("options: stale surface"):
        world.transfer_options(trader, other, world.orders({"2000C": -5}))
    world.close_for_options(trader, world.orders({"2000C": 5}))
    world.check()


def test_penalty_of_markets(world: OptionWorld) -> None:
    assert world.options.penalty_bps(ETH) == OPTIONS.penalty_bps
    for market in (2, 16):
        with reverts("options: not listed"):
            world.options.penalty_bps(market)


# ── governance ──


def test_listing_refuses_what_cannot_be_a_board(world: OptionWorld) -> None:
    for expiry, reason in (
        (WEEK + 1, "options: not on the surface"),
        (START + 21 * DAY + 28_800, "options: not on the surface"),
        (START - DAY + 28_800, "options: expired"),
        (world.now + OPTIONS.cutoff, "options: expired"),
    ):
        with reverts(reason):
            world.list(ETH, expiry, [2_000])
    with reverts("options: not listed"):
        world.list(2, WEEK, [2_000])
    for strikes, reason in (
        ([], "options: no strikes"),
        ([199.99999999], "options: strike range"),
        ([20_000.00000001], "options: strike range"),
        ([2_000], "options: already listed"),
        ([2_050, 2_050], "options: already listed"),
        ([3_100 + i for i in range(15)], "options: too many strikes"),
    ):
        with reverts(reason):
            world.list(ETH, WEEK, strikes)
    levels = [2_050 * WAD + STRIKE_UNIT // 2]
    with reverts("options: strike unit"):
        world.options.list_strikes.send(ETH, WEEK, levels, sender=world.governor)
    world.list(ETH, WEEK, [200, 20_000])
    world.list(ETH, WEEK, [3_100 + i for i in range(12)])
    world.check()


def test_strikes_added_to_a_live_board_trade_at_once(world: OptionWorld, trader: str) -> None:
    world.option(trader, {"2000C": 5})
    world.list(ETH, WEEK, [2_050])
    world.option(trader, {"2050C": -5, "2000C": 1})
    world.check()
    world.close_options(trader, ETH, WEEK)
    assert world.book.board(ETH, WEEK).interest == 0


def test_set_params_is_bounded(world: OptionWorld) -> None:
    for change, reason in (
        ({"cutoff": 599}, "options: cut-off"),
        ({"cutoff": 7 * DAY + 1}, "options: cut-off"),
        ({"initial_bps": 499}, "options: initial margin"),
        ({"initial_bps": 10_001}, "options: initial margin"),
        ({"floor_bps": 99}, "options: margin floor"),
        ({"floor_bps": 1_501}, "options: margin floor"),
        ({"maintenance_bps": 2_999}, "options: maintenance margin"),
        ({"maintenance_bps": 9_001}, "options: maintenance margin"),
        ({"penalty_bps": 501}, "options: penalty"),
        ({"fee_share_bps": 5_001}, "options: fee share"),
        ({"reward": 100 * WAD + 1}, "options: reward"),
        ({"interval": 59}, "options: interval"),
        ({"interval": 2**24}, "options: interval"),
        ({"min_size": 2**62 * LOT}, "options: size range"),
        ({"cap_market": 2**62 * LOT}, "options: size range"),
    ):
        params = replace(OPTIONS, **change)
        with reverts(reason):
            world.options.set_params.send(ETH, astuple(params), sender=world.governor)
        with pytest.raises(TwinReverted, match=f"^{reason}$"):
            world.twin_options_engine.set_params(ETH, params)
    assert tuple(world.options.params(ETH)) == astuple(OPTIONS)
    odd = {"min_size": WAD + 1, "cap_series": 2 * WAD + LOT - 1, "reward": 10**12 + 7}
    world.configure_options(**odd)
    assert tuple(world.options.params(ETH)) == astuple(world.twin_options_engine.configs[ETH])
    assert world.options.params(ETH).reward == 10**12
    with reverts("options: not listed"):
        world.options.set_params.send(16, astuple(OPTIONS), sender=world.governor)
    with reverts("options: not listed"):
        world.options.params(3)


def test_lower_caps_only_lowers(world: OptionWorld) -> None:
    caps = (OPTIONS.cap_series, OPTIONS.cap_expiry, OPTIONS.cap_market)
    for i in range(3):
        higher = [cap + LOT * (i == j) for j, cap in enumerate(caps)]
        with reverts("options: caps can only fall"):
            world.options.lower_caps.send(ETH, *higher, sender=world.guardian)
    world.options.lower_caps.send(ETH, WAD, 2 * WAD, 3 * WAD, sender=world.guardian)
    assert tuple(world.options.params(ETH))[1:4] == (WAD, 2 * WAD, 3 * WAD)


def test_every_power_has_its_role(world: OptionWorld) -> None:
    engine, params = world.options, astuple(OPTIONS)
    both = {Role.GOVERNOR, Role.GUARDIAN}
    powers = [
        ("set_params", (ETH, params), {Role.GOVERNOR}),
        ("list_strikes", (ETH, WEEK, [2_050 * WAD]), {Role.GOVERNOR}),
        ("unpause", (ETH,), {Role.GOVERNOR}),
        ("pause", (ETH,), both),
        ("lower_caps", (ETH, 0, 0, 0), both),
        ("close_board", (ETH, WEEK), both),
    ]
    for name, arguments, allowed in powers:
        for role, sender in ((None, world.stranger), (Role.GUARDIAN, world.guardian)):
            if role not in allowed:
                with reverts("roles: not allowed"):
                    engine.send(name, *arguments, sender=sender)
        engine.send(name, *arguments, sender=world.guardian if Role.GUARDIAN in allowed else world.governor)


def test_book_takes_orders_from_the_engine_alone(world: OptionWorld) -> None:
    key, mark, account = key_of(ETH, WEEK), tuple(world.oracle.peek(ETH)), world.stranger
    calls = [
        ("renew", (key, mark, DAY)),
        ("apply", (account, [(world.series("2000C"), WAD)], mark)),
        ("expire", (key, mark, WAD)),
        ("pay_out", (key, account)),
        ("clear", (key,)),
        ("add_strikes", (key, [2_050 * WAD])),
        ("close", (key,)),
    ]
    for sender in (world.stranger, world.governor, world.guardian):
        for name, arguments in calls:
            with reverts("roles: not allowed"):
                world.book.send(name, *arguments, sender=sender)


@pytest.mark.fuzz
@settings(max_examples=100 * SCALE, deadline=None)
@given(
    params=st.builds(
        OptionParams,
        min_size=st.integers(0, 2**62 * LOT - 1),
        cap_series=st.integers(0, 2**62 * LOT - 1),
        cap_expiry=st.integers(0, 2**62 * LOT - 1),
        cap_market=st.integers(0, 2**62 * LOT - 1),
        cutoff=st.integers(600, 7 * DAY),
        initial_bps=st.integers(500, 10_000),
        floor_bps=st.integers(100, 500),
        maintenance_bps=st.integers(3_000, 9_000),
        penalty_bps=st.integers(0, 500),
        fee_share_bps=st.integers(0, 5_000),
        reward=st.integers(0, 100 * WAD),
        interval=st.integers(60, 2**24 - 1),
    ),
    paused=st.booleans(),
)
def test_params_come_back_as_they_were_set(params: OptionParams, paused: bool) -> None:
    world = OptionWorld.create()
    if world.options.is_paused(ETH) != paused:
        (world.pause_options if paused else world.unpause_options)()
    world.options.set_params.send(ETH, astuple(params), sender=world.governor)
    assert tuple(world.options.params(ETH)) == astuple(stored_params(params))
    assert world.options.margin_bps(ETH) == (params.initial_bps, params.floor_bps, params.maintenance_bps)
    assert world.options.is_paused(ETH) is paused
    assert tuple(world.options.params(BTC)) == astuple(OPTIONS)


# ── what is logged, and when nothing answers ──


def test_every_act_is_logged(world: OptionWorld, trader: str) -> None:
    orders = world.orders({"2000C": 10, "2200P": -2})
    receipt = world.send(trader, orders)
    assert tuple(receipt.one("Trade")) == (
        trader, ETH, WEEK, [astuple(o) for o in orders], 2_000 * WAD, receipt.value.premium, receipt.value.half_spread,
        receipt.value.charge,
    )  # fmt: skip
    assert tuple(receipt.one("Refreshed")) == (ETH, WEEK, trader, 2_000 * WAD, 0)
    world.warp(1_801)
    receipt = world.refresh()
    assert tuple(receipt.one("Refreshed")) == (ETH, WEEK, world.stranger, 2_000 * WAD, OPTIONS.reward)
    receipt = world.list(ETH, WEEK, [2_050])
    assert tuple(receipt.one("StrikesListed")) == (ETH, WEEK, [2_050 * WAD])
    receipt = world.close_board(ETH, WEEK)
    assert tuple(receipt.one("BoardClosed")) == (ETH, WEEK)
    last = world.expire(2_100)
    receipt = world.settle(last)
    payoff = 10 * 100 * WAD - 2 * 100 * WAD
    assert tuple(receipt.one("Settled", world.options)) == (
        ETH, WEEK, world.stranger, 2_100 * WAD, payoff, OPTIONS.reward,
    )  # fmt: skip
    receipt = world.settle_accounts([trader, world.stranger])
    assert tuple(receipt.one("AccountSettled")) == (trader, ETH, WEEK, payoff)
    assert tuple(world.clear().one("Cleared")) == (ETH, WEEK, 0)
    engine, governor = world.options, world.governor
    assert tuple(engine.pause.send(ETH, sender=governor).one("MarketPaused")) == (ETH, True)
    assert tuple(engine.unpause.send(ETH, sender=governor).one("MarketPaused")) == (ETH, False)
    logged = engine.set_params.send(ETH, astuple(OPTIONS), sender=governor).one("MarketParamsSet")
    assert (logged.market, tuple(logged.params)) == (ETH, astuple(OPTIONS))
    lowered = engine.lower_caps.send(ETH, WAD, WAD, WAD, sender=governor).one("MarketParamsSet")
    assert tuple(lowered.params) == astuple(replace(OPTIONS, cap_series=WAD, cap_expiry=WAD, cap_market=WAD))


def test_operation_under_way_refuses_trades_and_quotes(world: OptionWorld, trader: str, other: str) -> None:
    orders, closing, moved = (
        [astuple(o) for o in world.orders(x)] for x in ({"2000C": 1}, {"2200C": -1}, {"2200C": 1})
    )
    world.option(trader, {"2200C": 1})
    calls = (
        world.options.tx("quote", trader, orders),
        world.options.tx("trade", orders, 2**255 - 1, world.now),
        world.options.tx("close_for", trader, closing, 0, False),
        world.options.tx("transfer", trader, other, moved),
    )
    world.options.grant_role.send(world.operation, Role.CLOSER, sender=world.governor)
    for call in calls:
        with reverts("clearing: in progress"):
            world.operation.run.send(
                [
                    (world.clearinghouse.address, world.clearinghouse.tx("begin").data),
                    (world.options.address, call.data),
                    (world.clearinghouse.address, world.clearinghouse.tx("end").data),
                ]
            )


def test_board_is_renewed_between_trades_that_paid_charges_and_ends_the_rebates_of_the_block(
    world: OptionWorld, trader: str, other: str
) -> None:
    """Nobody has been paid yet, so the second trade renews the board; a fall of U after that earns nothing."""
    world.option(trader, {"2000C": 50})
    world.rest(3)
    world.warp(1_801)
    world.renew_rounds()
    assert world.trade(other, ETH, 100 * WAD).value.charge > 0
    assert world.book.is_due(key_of(ETH, WEEK), 2_000 * WAD)
    outcome = world.option(other, {"2000C": 5})
    assert not world.book.is_due(key_of(ETH, WEEK), 2_000 * WAD)
    assert outcome.charge > 0
    world.check()
    assert world.trade(other, ETH, -100 * WAD).value.charge == 0
    world.check()
