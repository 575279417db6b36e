"""Portfolio margin against a slow direct version in numpy and the twin; options and smiles come from a double."""

from __future__ import annotations

import os
from dataclasses import astuple, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ballast.chain import reverts
from ballast.model.analytic import margin
from ballast.model.exact.fixed import Reverted as TwinReverted
from ballast.model.exact.option_book import OptionLeg, Order, expiry_of, is_put, key_of, pack, strike_of
from ballast.model.exact.structs import Health
from ballast.model.exact.vol_surface import Smile
from tests.unit.perps.world import BTC, ETH, PERP, WAD, World

BPS = 10_000
DAY = 86_400
YEAR = 365 * DAY
MARGINS = {ETH: (1_500, 100, 6_000), BTC: (1_200, 500, 7_000)}  # [bps] of the options: initial, floor, maintenance
EXAMPLES = int(100 * float(os.environ.get("BALLAST_FUZZ_SCALE", "1")))


@pytest.fixture
def world() -> World:
    """Legs and smiles are set by each test."""
    world = World.build(prices=(2_000 * WAD, 60_000 * WAD))
    for market, margins in MARGINS.items():
        world.set_option_margin(market, *margins)
    return world


@pytest.fixture
def trader(world: World) -> str:
    return world.traders[0]


def leg(
    world: World, size: int, strike: int = 2_000 * WAD, *, put: bool = False, market: int = ETH, days: int = 30,
    settlement: int = 0,
) -> OptionLeg:  # fmt: skip
    """The series' id says nothing to Margin."""
    return OptionLeg(7, market, world.now + days * DAY, strike, put, size, settlement)


def smile(world: World, days: int = 30, vol: float = 0.6, **fields: int) -> Smile:
    """At the money `vol` per square root of a year, observed now."""
    flat = Smile(int(vol**2 * days / 365 * WAD), 0, 0, WAD // 10**6, world.now, True)
    return replace(flat, **fields)


def seen(world: World, option: OptionLeg) -> margin.Option:
    """The leg in floats, at the volatility of its smile."""
    smile = world.twin_options.smile(option.market, option.expiry, world.now)
    years, term = (max(option.expiry - since, 0) / YEAR for since in (world.now, smile.timestamp))
    spot, strike = world.prices()[option.market] / 1e18, option.strike / 1e18
    parts = (x / 1e18 for x in (smile.theta, smile.rho, smile.eta, smile.rate))
    vol = margin.implied(strike, spot, *parts, years, term)
    return margin.Option(option.size / 1e18, strike, option.is_put, years, vol, smile.rate / 1e18)


def marked(world: World, option: OptionLeg) -> float:
    """Black-76 price of one on its smile [quote]."""
    return margin.value(world.prices()[option.market] / 1e18, [replace(seen(world, option), size=1.0)])


def grids(market: int) -> tuple[margin.Grid, margin.Grid]:
    """Initial and maintenance."""
    reach, floor, share = (x / BPS for x in MARGINS[market])
    return (
        margin.Grid(PERP.initial_bps / BPS, reach, 1.0, floor),
        margin.Grid(PERP.maintenance_bps / BPS, reach * share, share, floor),
    )


def exit_cost(world: World, market: int, size: float) -> float:
    """Of a perpetual [quote]."""
    mark = world.oracle.last(market)
    return margin.exit_cost(abs(size) * mark.price / 1e18, mark.sigma / 1e18, PERP.cap_quote / 1e18)


def needs(world: World, *options: OptionLeg, perp: int = 0) -> float:
    """Initial requirement of a portfolio of ETH, of one unit of base at spot; the twin's to the wei."""
    account = world.traders[1]
    held = world.position(account).size
    if perp != held:
        world.trade(account, ETH, perp - held)
    world.hold_options(account, *options)
    return world.health(account).initial / 1e18 / 2_000


def test_views_answer_the_constructor_arguments(world: World) -> None:
    for name in ("option_engine", "option_book", "surface"):
        assert world.margin.call(name) == world.option_double.address


# ── equity ──


@pytest.mark.parametrize("sign", [1, -1])
def test_health_options_are_worth_their_black_price(world: World, trader: str, sign: int) -> None:
    cash = world.cash(trader)
    skewed = smile(world, rho=-3 * WAD // 10, eta=WAD, rate=WAD // 20)
    for put in (False, True):
        for strike in (500, 1_500, 2_000, 2_500, 8_000):
            option = leg(world, sign * 10 * WAD, strike * WAD, put=put)
            world.set_smile(ETH, option.expiry, skewed)
            world.hold_options(trader, option)
            price = marked(world, option)
            assert sign * (world.health(trader).equity - cash) / 1e19 == pytest.approx(price, rel=1e-9, abs=1e-9)


def test_health_reads_the_smile_whatever_its_age(world: World, trader: str) -> None:
    """Volatility stays, time passes."""
    cash, option, old = world.cash(trader), leg(world, -WAD), smile(world, is_live=False)
    world.set_smile(ETH, option.expiry, old)
    world.hold_options(trader, option)
    world.warp(20 * DAY)
    price = marked(world, option)
    assert (cash - world.health(trader).equity) / 1e18 == pytest.approx(price, rel=1e-9)


def test_health_expired_short_option_is_worth_what_exercise_pays(world: World, trader: str) -> None:
    """Its delta is one: it is charged like the perpetual, and the floor."""
    cash, option = world.cash(trader), leg(world, -WAD, 1_500 * WAD, days=1)
    world.set_smile(ETH, option.expiry, smile(world, days=1))
    world.hold_options(trader, option)
    world.warp(DAY)
    for _ in range(2):
        health = world.health(trader)
        assert abs(cash - health.equity - 500 * WAD) <= 10**3
        assert abs(health.initial - 220 * WAD) <= 10**3
        world.warp(30 * DAY)


def test_expired_long_option_is_worth_exercise_to_who_judges_and_nothing_to_who_takes(
    world: World, trader: str
) -> None:
    """Else who liquidates comes before who settles; else cash is taken at a price that is not the board's."""
    cash, option = world.cash(trader), leg(world, 5 * WAD, 1_500 * WAD, days=1)
    world.set_smile(ETH, option.expiry, smile(world, days=1))
    world.hold_options(trader, option)
    assert world.health(trader).equity > cash + 2_499 * WAD
    world.warp(DAY)
    assert abs(world.health(trader).equity - cash - 2_500 * WAD) <= 10**3
    mask = world.clearinghouse.account(trader)[1]
    assert world.margin.check_initial(trader, 0, mask)
    assert not world.margin.check_initial(trader, -1, mask)


def test_initial_is_never_below_maintenance(world: World, trader: str) -> None:
    """Short of a butterfly that is worth most where the wider grid has no spot."""
    world.set_smile(ETH, leg(world, 0, days=1).expiry, smile(world, days=1))
    world.hold_options(
        trader,
        *(leg(world, size * WAD, strike * WAD, days=1) for size, strike in ((-1, 2_020), (2, 2_060), (-1, 2_100))),
    )
    world.warp(DAY - 2_400)
    health, (cash, mask) = world.health(trader), world.clearinghouse.account(trader)
    assert health.initial == health.maintenance
    least = cash - health.equity + health.initial
    assert world.margin.check_initial(trader, least, mask)
    assert not world.margin.check_initial(trader, least - 1, mask)


def test_withdraw_waits_until_expired_short_options_are_settled(world: World, trader: str) -> None:
    """The price moves on after expiry; what is owed does not."""
    option = leg(world, -WAD, 1_500 * WAD, days=1)
    world.set_smile(ETH, option.expiry, smile(world, days=1))
    world.hold_options(trader, option)
    world.warp(DAY)
    world.set_price(ETH, 1_400 * WAD)
    assert world.health(trader).equity == world.cash(trader)
    with reverts("margin: settle first"):
        world.withdraw(trader, 1)
    world.hold_options(trader, replace(option, settlement=2_000 * WAD))
    assert world.health(trader).equity == world.cash(trader) - 500 * WAD
    world.withdraw(trader, 1)


def test_health_settled_options_count_at_their_payoff_and_ask_nothing(world: World, trader: str) -> None:
    """At the price of settlement, not of now; a long one is rounded down, a short one up."""
    cash, size = world.cash(trader), 3 * WAD // 10**12 + 10**12
    options = [
        leg(world, size, 1_500 * WAD, settlement=1_700 * WAD + 1),
        leg(world, -size, 1_500 * WAD, settlement=1_700 * WAD + 1),
        leg(world, size, 1_500 * WAD, settlement=1_500 * WAD),
        leg(world, -size, 1_900 * WAD, put=True, settlement=1_700 * WAD + 1),
        leg(world, size, 1_500 * WAD, put=True, settlement=1_700 * WAD + 1),
    ]
    world.hold_options(trader, *options)
    payoff = size * (200 * WAD + 1)
    short_put = size * (200 * WAD - 1)
    equity = cash + payoff // WAD + (-payoff // WAD) + (-short_put // WAD)
    assert world.health(trader) == Health(equity, 0, 0)


@pytest.mark.parametrize("put", [False, True])
def test_health_strike_of_nothing_once_discounted(world: World, trader: str, put: bool) -> None:
    cash, option = world.cash(trader), leg(world, -WAD, 1, put=put)
    world.set_smile(ETH, option.expiry, smile(world, rate=WAD))
    world.hold_options(trader, option)
    assert cash - world.health(trader).equity == (0 if put else 2_000 * WAD)


def test_preview_judges_at_the_marks_that_a_sync_would_record(world: World, trader: str) -> None:
    option = leg(world, -10 * WAD)
    world.set_smile(ETH, option.expiry, smile(world))
    world.hold_options(trader, option)
    world.trade(trader, BTC, WAD)
    before = world.health(trader)
    assert Health(*world.margin.preview(trader)) == before
    world.push_price(ETH, 2_100 * WAD)
    preview = Health(*world.margin.preview(trader))
    assert preview == world.twin.margin.preview(trader, world.now)
    assert world.health(trader).equity > preview.equity
    world.oracle.sync.send(ETH)
    world.twin.oracle.sync(ETH, world.now)
    assert world.health(trader) == preview


# ── requirement ──


@pytest.mark.parametrize(
    ("put", "strike", "unit"),
    [
        (False, 10**9, 20),  # the floor: a hundredth of 2,000
        (False, 1_000, 220),  # like the perpetual: a tenth, and the floor
        (False, 2_000, 270),  # half a delta: 300 less half of the last 100 of the move
        (False, 2_100, 220),  # no delta: the value after the whole move
        (True, 2_000, 270),
        (True, 1_900, 220),
        (True, 3_000, 220),
        (True, 100, 20),
    ],
)
def test_health_short_option_without_volatility(world: World, trader: str, put: bool, strike: int, unit: int) -> None:
    option = leg(world, -2 * WAD, strike * WAD, put=put)
    world.hold_options(trader, option)
    assert abs(world.health(trader).initial - 2 * unit * WAD) <= 10**4


def test_health_perpetuals_alone_owe_their_share_of_notional_and_the_exit(world: World, trader: str) -> None:
    for size in (10 * WAD, -310 * WAD, 499_999 * WAD // 1_000):
        world.trade(trader, ETH, size - world.position(trader).size)
        health, notional = world.health(trader), abs(size) / 1e18 * 2_000
        cost = exit_cost(world, ETH, size / 1e18)
        assert health.initial / 1e18 == pytest.approx(0.1 * notional + cost, rel=1e-12)
        assert health.maintenance / 1e18 == pytest.approx(0.05 * notional + cost, rel=1e-12)


def test_health_exit_cost_grows_with_the_square_up_to_the_cap(world: World, trader: str) -> None:
    world.configure(ETH, cap_quote=500_000 * WAD)
    costs = []
    for size in (50, 100, 200, 250):
        world.trade(trader, ETH, size * WAD - world.position(trader).size)
        health = world.health(trader)
        costs.append((health.initial - size * 200 * WAD) / 1e18)
        assert health.maintenance - size * 100 * WAD == health.initial - size * 200 * WAD
    assert costs[1] == pytest.approx(4 * costs[0], rel=1e-9)
    assert costs[2] == pytest.approx(16 * costs[0], rel=1e-9)
    sigma = world.oracle.last(ETH).sigma / 1e18
    assert costs[3] == pytest.approx(500_000 * sigma * 0.042, rel=1e-9)
    world.configure(ETH, cap_quote=200_000 * WAD)
    assert world.health(trader).initial / 1e18 == pytest.approx(50_000 + 500_000 * sigma * 0.042, rel=1e-9)


def test_health_netting_needs_far_less_than_the_parts(world: World) -> None:
    """At 60 % volatility, a month, in per cent of spot: what is offset is not asked for."""
    world.set_smile(ETH, leg(world, 0).expiry, smile(world))
    world.set_smile(ETH, leg(world, 0, days=60).expiry, smile(world, days=60))
    short, hedge = leg(world, -WAD), leg(world, WAD, 2_200 * WAD)
    naked, long = needs(world, short), needs(world, perp=WAD)
    assert naked == pytest.approx(0.1221, abs=1e-4)
    assert long == pytest.approx(0.1, rel=1e-5)
    covered = needs(world, short, perp=WAD)
    assert covered < 0.51 * (naked + long)
    assert covered == pytest.approx(needs(world, leg(world, -WAD, put=True)), abs=1e-4)  # which it is, by parity
    assert needs(world, short, perp=WAD // 2) < 0.6 * naked
    assert needs(world, short, hedge) < 0.33 * naked
    assert needs(world, short, leg(world, WAD, days=60)) < 0.21 * naked
    put = leg(world, -WAD, put=True)
    assert needs(world, short, put) < 0.62 * (naked + needs(world, put))
    assert needs(world, short, leg(world, WAD, put=True), perp=WAD) == pytest.approx(0.01, abs=1e-5)  # one floor
    box = needs(world, short, hedge, leg(world, WAD, put=True), leg(world, -WAD, 2_200 * WAD, put=True))
    assert box == pytest.approx(0.02, abs=1e-5)  # two floors
    deep = leg(world, -WAD, 500 * WAD)
    assert needs(world, deep) == pytest.approx(0.11, rel=1e-3)
    assert needs(world, deep, perp=WAD) == pytest.approx(0.01, rel=0.02)  # the floor


def test_health_long_options_alone_leave_cash_free(world: World, trader: str) -> None:
    """They lose no more than they are worth, in any scenario: OptionEngine relies on it."""
    cash = world.cash(trader)
    options = [
        leg(world, 10 * WAD + 10**12, strike * WAD, put=put, days=days)
        for strike in (300, 1_900, 2_600, 20_000) for put in (False, True) for days in (1, 30)
    ]  # fmt: skip
    for days in (1, 30):
        world.set_smile(ETH, leg(world, 0, days=days).expiry, smile(world, days=days, rho=-WAD // 2, eta=WAD))
    for option in options:
        world.hold_options(trader, option)
        health = world.health(trader)
        assert health.equity - health.initial >= cash
    world.hold_options(trader, *options)
    health = world.health(trader)
    assert health.equity - health.initial >= cash


def test_withdraw_keeps_what_options_ask(world: World) -> None:
    account = world.traders[2]
    option = leg(world, -2_000 * WAD)
    world.set_smile(ETH, option.expiry, smile(world))
    world.hold_options(account, option)
    health = world.health(account)
    free = (health.equity - health.initial) // 10**12
    assert 0 < free < world.cash(account) // 10**12
    with reverts("margin: below initial"):
        world.withdraw(account, free + 1)
    world.withdraw(account, free)


def test_check_initial_holds_down_to_the_requirement(world: World, trader: str) -> None:
    world.hold_options(trader, leg(world, -WAD))
    cash, mask = world.clearinghouse.account(trader)
    health = world.health(trader)
    assert Health(*world.margin.assess(trader, cash, mask)) == health
    least = cash - health.equity + health.initial
    assert world.margin.check_initial(trader, least, mask)
    assert not world.margin.check_initial(trader, least - 1, mask)


@pytest.mark.parametrize(("legs", "limit"), [(4, 240_000), (16, 830_000)])
def test_check_initial_gas(world: World, trader: str, legs: int, limit: int) -> None:
    """As the last call of a transaction of its own, nothing warm: of a perpetual and options on two boards."""
    held = [leg(world, (-1) ** i * WAD, (1_700 + 50 * i) * WAD, put=i % 3 == 0, days=30 + i % 2) for i in range(legs)]
    for days in (30, 31):
        world.set_smile(ETH, leg(world, 0, days=days).expiry, smile(world, days=days))
    world.trade(trader, ETH, WAD)
    world.hold_options(trader, *held)
    cash, mask = world.clearinghouse.account(trader)
    receipt = world.chain.transact(world.margin.tx("check_initial", trader, cash, mask))
    assert receipt.gas_used - 21_000 <= limit


# ── closing ──


def test_closing_a_hedge_of_options_needs_maintenance(world: World, trader: str) -> None:
    """A covered call: without the perpetual it is a naked one; what lowers the requirement is never refused."""
    option = leg(world, -900 * WAD, 1_000 * WAD)
    world.set_smile(ETH, option.expiry, smile(world))
    world.hold_options(trader, option)
    world.trade(trader, ETH, 900 * WAD)
    health = world.health(trader)
    world.withdraw(trader, (health.equity - health.initial) // 10**12)
    with reverts("margin: below maintenance"):
        world.close(trader, ETH)
    assert world.health(trader).equity > world.health(trader).maintenance
    world.trade(trader, ETH, -WAD)


def test_closing_what_lowers_the_requirement_is_accepted_below_maintenance(world: World, trader: str) -> None:
    """Two risks that add up: a short put beside a long perpetual."""
    option = leg(world, -900 * WAD, put=True)
    world.set_smile(ETH, option.expiry, smile(world))
    world.hold_options(trader, option)
    world.trade(trader, ETH, 500 * WAD)
    health = world.health(trader)
    world.withdraw(trader, (health.equity - health.initial) // 10**12)
    world.set_price(ETH, 1_820 * WAD)
    health = world.health(trader)
    assert health.equity < health.maintenance
    world.trade(trader, ETH, -100 * WAD)
    health = world.health(trader)
    assert health.equity < health.maintenance
    world.close(trader, ETH)


def test_check_close_puts_back_what_was_closed(world: World, trader: str) -> None:
    """Equity of nothing: all that decides is whether the requirement was higher before."""
    expiry = (world.now // DAY + 30) * DAY + 8 * 3_600
    world.set_smile(ETH, expiry, smile(world))
    call = pack(200_000_000_000, 0, key_of(ETH, expiry), False)
    option = OptionLeg(call, ETH, expiry, 2_000 * WAD, False, -10 * WAD, 0)
    world.hold_options(trader, option)
    mask = world.clearinghouse.account(trader)[1]

    def judge(stands: bool, size: int, *orders: tuple[int, int]) -> None:
        arguments, closed = (trader, -(10**6) * WAD, mask, ETH, size), [Order(*order) for order in orders]
        if stands:
            assert world.margin.check_close(*arguments, list(orders))
            world.twin.margin.check_close(*arguments, closed, world.now)
        else:
            with reverts("margin: below maintenance"):
                world.margin.check_close(*arguments, list(orders))
            with pytest.raises(TwinReverted, match="margin: below maintenance"):
                world.twin.margin.check_close(*arguments, closed, world.now)

    judge(True, 0, (call, 5 * WAD))  # half as many shorts as before
    judge(False, 0, (call, -5 * WAD))  # a hedge of the same series
    judge(False, 0, (pack(220_000_000_000, 1, key_of(ETH, expiry), False), -10 * WAD))
    judge(True, 0, (pack(200_000_000_000, 0, key_of(ETH, expiry), True), 10 * WAD))
    judge(False, 5 * WAD)  # a long perpetual covered the call
    judge(True, -5 * WAD)
    judge(True, 5 * WAD, (call, 15 * WAD))


# ── as it would be after a trade ──


def test_assess_change_asks_what_the_account_would_be_asked_after_it(world: World, trader: str) -> None:
    """The requirements of the account once it has what it would have, to the wei."""
    key = key_of(ETH, (world.now // DAY + 30) * DAY + 8 * 3_600)
    world.set_smile(ETH, expiry_of(key), smile(world, rho=-3 * WAD // 10, eta=WAD))
    rng = np.random.default_rng(5)
    ids = [
        pack(strike * 10**8, i, key, put)
        for i, strike in enumerate((1_800, 2_000, 2_100, 2_500)) for put in (False, True)
    ]  # fmt: skip

    def held(sizes: list[int]) -> list[OptionLeg]:
        return [
            OptionLeg(id, ETH, expiry_of(key), strike_of(id) * 10**10, is_put(id), size * 10**12, 0)
            for id, size in zip(ids, sizes, strict=True) if size
        ]  # fmt: skip

    for _ in range(8):
        before, after = ([int(x) for x in rng.integers(-(10**8), 10**8, 8) * rng.integers(0, 2, 8)] for _ in range(2))
        if not any(before):
            continue
        world.hold_options(trader, *held(before))
        cash, mask = world.clearinghouse.account(trader)
        size = int(rng.integers(-100, 100)) * WAD
        orders = [Order(id, (y - x) * 10**12) for id, x, y in zip(ids, before, after, strict=True) if x != y]
        changed = world.margin.assess_change(trader, cash, mask, ETH, size, [astuple(o) for o in orders])
        assert tuple(changed) == world.twin.margin.assess_change(trader, cash, mask, ETH, size, orders, world.now)
        if size:
            world.trade(trader, ETH, size)
        world.hold_options(trader, *held(after))
        then = world.health(trader)
        assert tuple(changed) == (then.initial, then.maintenance)
    assert world.position(trader).size != 0


def test_assess_change_of_nothing_changes_nothing(world: World, trader: str) -> None:
    world.trade(trader, BTC, WAD)
    cash, mask = world.clearinghouse.account(trader)
    health = world.health(trader)
    assert tuple(world.margin.assess_change(trader, cash, mask, BTC, 0, [])) == (health.initial, health.maintenance)
    assert tuple(world.margin.assess_change(trader, cash, mask, BTC, -WAD, [])) == (0, 0)


# ── random portfolios ──

sizes = st.integers(-(10**9), 10**9).map(lambda lots: lots * 10**12)
strikes = st.integers(1_000, 4_000).map(lambda x: x * WAD)
portfolios = st.lists(
    st.builds(
        OptionLeg, st.just(7), st.just(ETH), st.sampled_from([3_600, DAY, 7 * DAY, 30 * DAY, 400 * DAY]), strikes,
        st.booleans(), sizes.filter(bool), st.just(0),
    ),
    min_size=1, max_size=16,
)  # fmt: skip
surfaces = st.builds(
    Smile, st.just(0), st.integers(-(10**17), 10**17), st.integers(-(9 * 10**17), 9 * 10**17),
    st.integers(10**16, 10**18), st.integers(0, DAY), st.just(True),
)  # fmt: skip
vols = st.floats(0.1, 2.0)


def placed(world: World, drawn: list[OptionLeg], surface: Smile, vol: float) -> list[OptionLeg]:
    """Expiries and smiles from now on; half of BTC's strikes are thirty times as high, so both markets have options."""
    options = []
    for i, option in enumerate(drawn):
        market = BTC if i % 3 == 2 else ETH
        options.append(
            replace(
                option,
                market=market,
                expiry=world.now + option.expiry,
                strike=option.strike * (30 if market == BTC else 1),
                size=option.size // (30 if market == BTC else 1) // 10**12 * 10**12 or 10**12,
            )
        )
    for market, expiry in {(option.market, option.expiry) for option in options}:
        days = (expiry - world.now) / DAY
        world.set_smile(
            market,
            expiry,
            replace(surface, theta=int(vol**2 * days / 365 * WAD) + 1, timestamp=world.now - surface.timestamp),
        )
    return options


@pytest.fixture
def desk(world: World) -> World:
    """Accounts with perpetuals: long and short, short and long, and the two together."""
    for market, size in ((ETH, 400 * WAD), (BTC, -7 * WAD)):
        world.trade(world.traders[0], market, size)
        world.trade(world.traders[1], market, -size // 3)
        world.trade(world.traders[2], market, size - size // 3)
    return world


def perpetual(world: World, account: str, market: int) -> float:
    return float(world.position(account, market).size / 1e18)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(portfolios, surfaces, vols, st.integers(0, 1))
def test_health_equals_twin_and_direct_version(
    desk: World, drawn: list[OptionLeg], surface: Smile, vol: float, who: int
) -> None:
    """Within the error of the cheap kernel, 2e-8 of the shocked spot."""
    account = desk.traders[who]
    desk.hold_options(account)
    alone = desk.health(account).equity
    options = placed(desk, drawn, surface, vol)
    desk.hold_options(account, *options)
    health = desk.health(account)
    desk.hold_options(account, *reversed(options))
    assert Health(*desk.margin.health(account)) == health
    value, initial, maintenance = alone / 1e18, 0.0, 0.0
    for market in (ETH, BTC):
        size, spot = perpetual(desk, account, market), desk.prices()[market] / 1e18
        held = [seen(desk, option) for option in options if option.market == market]
        value += margin.value(spot, held)
        needed = [margin.requirement(spot, size, held, grid) + exit_cost(desk, market, size) for grid in grids(market)]
        initial += needed[0]
        maintenance += needed[1]
    gross = sum(abs(option.size) / 1e18 * desk.prices()[option.market] / 1e18 for option in options)
    assert health.equity / 1e18 == pytest.approx(value, rel=1e-10, abs=1e-10 * gross + 1e-6)
    assert health.initial / 1e18 == pytest.approx(initial, rel=1e-9, abs=3e-8 * gross + 1e-6)
    assert health.maintenance / 1e18 == pytest.approx(maintenance, rel=1e-9, abs=3e-8 * gross + 1e-6)


@settings(max_examples=EXAMPLES // 2, deadline=None, suppress_health_check=list(HealthCheck))
@given(portfolios, portfolios, surfaces, vols)
def test_requirement_of_accounts_together_is_at_most_the_sum(
    desk: World, first: list[OptionLeg], second: list[OptionLeg], surface: Smile, vol: float
) -> None:
    """But for rounding and for exit costs, which grow with the square of a position."""
    parts = [placed(desk, drawn[:8], surface, vol) for drawn in (first, second)]
    parts.append(parts[0] + parts[1])
    needed = []
    for account, options in zip(desk.traders[:3], parts, strict=True):
        desk.hold_options(account, *options)
        health = desk.health(account)
        exits = sum(exit_cost(desk, market, perpetual(desk, account, market)) for market in (ETH, BTC))
        needed.append((health.initial / 1e18 - exits, health.maintenance / 1e18 - exits))
    for one, two, both in zip(*needed, strict=True):
        assert both <= (one + two) * (1 + 1e-9) + 1e-6


@settings(max_examples=EXAMPLES // 2, deadline=None, suppress_health_check=list(HealthCheck))
@given(portfolios, surfaces, vols)
def test_requirement_of_twice_the_options_is_twice(
    world: World, drawn: list[OptionLeg], surface: Smile, vol: float
) -> None:
    account = world.traders[0]
    options = placed(world, drawn, surface, vol)
    world.hold_options(account, *options)
    once = world.health(account)
    world.hold_options(account, *(replace(option, size=2 * option.size) for option in options))
    twice = world.health(account)
    cash = world.cash(account)
    assert abs(twice.equity - cash - 2 * (once.equity - cash)) <= 4
    assert abs(twice.initial - 2 * once.initial) <= 8
    assert abs(twice.maintenance - 2 * once.maintenance) <= 8
    world.deposit(account, 1)
    assert world.health(account) == replace(twice, equity=twice.equity + 10**12)


anything = st.builds(
    OptionLeg, st.just(7), st.sampled_from([ETH, BTC]), st.sampled_from([-DAY, 0, 1, 60, 7 * DAY, 700 * DAY]),
    st.one_of(strikes, st.integers(10**10, 10**4 * WAD), st.sampled_from([2**90, 2_000 * WAD])),
    st.booleans(), st.integers(-(2**63), 2**63).map(lambda lots: lots * 10**12),
    st.one_of(st.just(0), st.just(0), st.integers(1, 2**95)),
)  # fmt: skip
smiles = st.one_of(
    st.just(Smile()),
    st.builds(
        Smile, st.integers(1, 2**64 - 1), st.integers(-(10**18), 10**18), st.integers(-(10**18) + 1, 10**18 - 1),
        st.integers(10**16, 2 * 10**18), st.integers(0, DAY), st.booleans(),
    ),
)  # fmt: skip


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(anything, min_size=1, max_size=6),
    st.lists(smiles, min_size=12, max_size=12),
    st.integers(1, 2**96 - 1) | st.integers(100 * WAD, 10**5 * WAD),
    st.sampled_from([(10_000, 10_000, 9_000), (500, 100, 3_000), (1_500, 100, 6_000)]),
)
def test_health_of_anything_equals_the_twin(
    world: World, drawn: list[OptionLeg], smiles: list[Smile], spot: int, margins: tuple[int, int, int]
) -> None:
    """No leg makes Margin revert, and their order does not matter."""
    account = world.traders[0]
    world.set_price(ETH, max(spot, 2**30))
    world.set_option_margin(ETH, *margins)
    options = [replace(x, expiry=world.now + x.expiry) for x in drawn]
    boards = sorted({(x.market, x.expiry) for x in options})
    for (market, expiry), found in zip(boards, smiles, strict=False):
        world.set_smile(market, expiry, replace(found, timestamp=min(world.now, expiry - 1) - found.timestamp))
    world.hold_options(account, *options)
    health = world.health(account)
    assert 0 <= health.maintenance <= health.initial
    world.hold_options(account, *reversed(options))
    assert Health(*world.margin.health(account)) == health
