"""Margin of accounts with options, against a plain reference and the twin; options and smiles come from a double."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ballast.chain import reverts
from ballast.model.exact.option_book import OptionLeg
from ballast.model.exact.structs import Health
from ballast.model.exact.vol_surface import Smile
from tests.unit.perps.world import BTC, ETH, WAD, World

BPS = 10_000
DAY = 86_400
YEAR = 365 * DAY
INITIAL, FLOOR, MAINTENANCE = 1_500, 700, 6_000
EXAMPLES = int(150 * float(os.environ.get("BALLAST_FUZZ_SCALE", "1")))


@pytest.fixture
def world() -> World:
    """Legs and smiles are set by each test."""
    world = World.build(prices=(2_000 * WAD, 60_000 * WAD))
    world.set_option_margin(ETH, INITIAL, FLOOR, MAINTENANCE)
    world.set_option_margin(BTC, 1_200, 500, 7_000)
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


def black(option: OptionLeg, smile: Smile, spot: float, now: int) -> float:
    """Black-Scholes on the SSVI smile in floats."""
    tau, rate = max(option.expiry - now, 0) / YEAR, smile.rate / 1e18
    strike = option.strike / 1e18
    if tau == 0 or smile.theta == 0:
        discounted = strike * math.exp(-rate * tau)
        return max(discounted - spot if option.is_put else spot - discounted, 0.0)
    theta, rho = smile.theta / 1e18, smile.rho / 1e18
    k = math.log(strike / spot) - rate * tau
    phi = smile.eta / 1e18 / math.sqrt(theta * (1 + theta))
    w = theta / 2 * (1 + rho * phi * k + math.sqrt((phi * k + rho) ** 2 + 1 - rho**2))
    v = math.sqrt(w / ((option.expiry - smile.timestamp) / YEAR)) * math.sqrt(tau)
    d1, discounted = -k / v + v / 2, strike * math.exp(-rate * tau)

    def cdf(x: float) -> float:
        return math.erfc(-x / math.sqrt(2)) / 2

    if option.is_put:
        return discounted * cdf(v - d1) - spot * cdf(-d1)
    return spot * cdf(d1) - discounted * cdf(d1 - v)


def asked(option: OptionLeg, price: int, margin: tuple[int, int, int]) -> tuple[Fraction, Fraction]:
    """Initial and maintenance requirement of a short option as the definition has them [quote, WAD]."""
    initial, floor, maintenance = (Fraction(x, BPS) for x in margin)
    size, spot, strike = Fraction(-option.size, WAD), Fraction(price), Fraction(option.strike)
    otm = max(spot - strike, Fraction(0)) if option.is_put else max(strike - spot, Fraction(0))
    unit = max(initial * spot - otm, floor * spot)
    if option.is_put:
        unit = min(unit, strike)
    return size * unit, size * unit * maintenance


def test_views_answer_the_constructor_arguments(world: World) -> None:
    for name in ("option_engine", "option_book", "surface"):
        assert world.margin.call(name) == world.option_double.address


def test_health_long_option_counts_nothing_before_it_is_settled(world: World, trader: str) -> None:
    cash = world.cash(trader)
    world.hold_options(trader, leg(world, 5 * WAD), leg(world, 3 * WAD, days=-1))
    assert world.health(trader) == Health(cash, 0, 0)


@pytest.mark.parametrize(
    ("put", "strike", "unit"),
    [
        (False, 2_000, 300),  # at the money: 15 % of 2,000
        (False, 1_000, 300),  # in the money: the value is charged besides
        (False, 2_100, 200),
        (False, 2_160, 140),  # 7 % from here on
        (False, 10**9, 140),
        (True, 2_000, 300),
        (True, 3_000, 300),
        (True, 1_900, 200),
        (True, 1_000, 140),
        (True, 100, 100),  # a put never costs more than its strike
        (True, 1, 1),
    ],
)
def test_health_short_option_requirement(world: World, trader: str, put: bool, strike: int, unit: int) -> None:
    """Without a surface nothing but exercise counts, so that every number is whole."""
    option = leg(world, -2 * WAD, strike * WAD, put=put)
    world.hold_options(trader, option)
    exercise = max(strike - 2_000 if put else 2_000 - strike, 0)
    health = world.health(trader)
    assert (health.initial, health.maintenance) == (2 * unit * WAD, 2 * unit * WAD * 6 // 10)
    owed = world.cash(trader) - health.equity
    assert abs(owed - 2 * exercise * WAD) <= 10**4  # the kernel's discount of no time is 3e-20 off


def test_health_short_option_is_worth_its_black_price(world: World, trader: str) -> None:
    cash = world.cash(trader)
    skewed = smile(world, rho=-3 * WAD // 10, eta=WAD, rate=WAD // 20)
    for put in (False, True):
        for strike in (500, 1_500, 2_000, 2_500, 8_000):
            option = leg(world, -10 * WAD, strike * WAD, put=put)
            world.set_smile(ETH, option.expiry, skewed)
            world.hold_options(trader, option)
            price = black(option, skewed, 2_000.0, world.now)
            assert (cash - world.health(trader).equity) / 1e19 == pytest.approx(price, rel=1e-9, abs=1e-9)


def test_health_reads_the_smile_whatever_its_age(world: World, trader: str) -> None:
    """Volatility stays, time passes."""
    cash, option, old = world.cash(trader), leg(world, -WAD), smile(world, is_live=False)
    world.set_smile(ETH, option.expiry, old)
    world.hold_options(trader, option)
    world.warp(20 * DAY)
    price = black(option, old, 2_000.0, world.now)
    assert (cash - world.health(trader).equity) / 1e18 == pytest.approx(price, rel=1e-9)


def test_health_expired_option_is_worth_what_exercise_pays(world: World, trader: str) -> None:
    cash, option = world.cash(trader), leg(world, -WAD, 1_500 * WAD, days=1)
    world.set_smile(ETH, option.expiry, smile(world, days=1))
    world.hold_options(trader, option)
    world.warp(DAY)
    for _ in range(2):
        health = world.health(trader)
        assert abs(cash - health.equity - 500 * WAD) <= 10**3
        assert health.initial == 300 * WAD
        world.warp(30 * DAY)


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


def test_health_adds_perpetuals_and_options_of_several_boards(world: World, trader: str) -> None:
    """Legs of one board need not be neighbours."""
    other = world.traders[1]
    world.trade(other, ETH, 10 * WAD)
    world.trade(other, BTC, -WAD)
    perpetuals, cash = world.health(other), world.cash(other)
    near, far = leg(world, -WAD), leg(world, -WAD, days=60)
    coin = leg(world, -WAD, 70_000 * WAD, put=True, market=BTC)
    again = leg(world, -2 * WAD, 2_500 * WAD)
    world.set_smile(ETH, near.expiry, smile(world))
    world.set_smile(ETH, far.expiry, smile(world, days=60, vol=0.9))
    world.set_smile(BTC, coin.expiry, smile(world, vol=0.3))
    equity, initial, maintenance = perpetuals.equity, perpetuals.initial, perpetuals.maintenance
    for option in (near, far, coin, again):
        world.hold_options(trader, option)
        alone = world.health(trader)
        equity += alone.equity - world.cash(trader)
        initial += alone.initial
        maintenance += alone.maintenance
    world.hold_options(other, near, far, coin, again)
    assert world.cash(other) == cash
    assert world.health(other) == Health(equity, initial, maintenance)


def test_withdraw_keeps_what_short_options_ask(world: World) -> None:
    account = world.traders[2]
    option = leg(world, -1_000 * WAD)
    world.hold_options(account, option)
    health = world.health(account)
    free = (health.equity - health.initial) // 10**12
    assert 0 < free < world.cash(account) // 10**12
    world.set_price(ETH, 2_000 * WAD)
    with reverts("margin: below initial"):
        world.withdraw(account, free + 1)
    world.withdraw(account, free)


def test_liquidate_of_a_perpetual_counts_short_options(world: World) -> None:
    account = world.traders[2]
    world.trade(account, ETH, 10 * WAD)
    with reverts("perps: account is healthy"):
        world.liquidate(account, ETH)
    world.hold_options(account, leg(world, -10_000 * WAD))
    world.liquidate(account, ETH)
    assert world.position(account).size == 0


strikes = st.one_of(
    st.integers(1_000 * WAD, 4_000 * WAD), st.integers(10**10, 10**4 * WAD), st.sampled_from([2**90, 2_000 * WAD])
)
legs = st.builds(
    OptionLeg, st.just(7), st.sampled_from([ETH, BTC]), st.sampled_from([-DAY, 0, 1, 60, 7 * DAY, 700 * DAY]), strikes,
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
    st.lists(legs, min_size=1, max_size=6),
    st.lists(smiles, min_size=12, max_size=12),
    st.integers(1, 2**96 - 1) | st.integers(100 * WAD, 10**5 * WAD),
)
def test_health_equals_twin_and_definition(
    world: World, drawn: list[OptionLeg], smiles: list[Smile], spot: int
) -> None:
    """Requirements are the definition's rounded up leg by leg; no leg makes Margin revert."""
    account = world.traders[0]
    world.set_price(ETH, max(spot, 2**30))
    options = [replace(x, expiry=world.now + x.expiry) for x in drawn]
    boards = sorted({(x.market, x.expiry) for x in options})
    for (market, expiry), found in zip(boards, smiles, strict=False):
        world.set_smile(market, expiry, replace(found, timestamp=min(world.now, expiry - 1) - found.timestamp))
    world.hold_options(account, *options)
    health = world.health(account)
    prices = world.prices()
    initial = maintenance = Fraction(0)
    shorts = [x for x in options if x.size < 0 and not x.settlement]
    for option in shorts:
        more = asked(option, prices[option.market], world.twin_options.margins[option.market])
        initial, maintenance = initial + more[0], maintenance + more[1]
    assert initial <= health.initial < initial + len(shorts) + 1
    assert maintenance <= health.maintenance < maintenance + 2 * len(shorts) + 1
    world.hold_options(account, *reversed(options))
    assert Health(*world.margin.health(account)) == health


def test_check_initial_holds_down_to_the_requirement(world: World, trader: str) -> None:
    world.hold_options(trader, leg(world, -WAD))
    cash, mask = world.clearinghouse.account(trader)
    health = world.health(trader)
    assert Health(*world.margin.assess(trader, cash, mask)) == health
    least = cash - health.equity + health.initial
    assert world.margin.check_initial(trader, least, mask)
    assert not world.margin.check_initial(trader, least - 1, mask)
