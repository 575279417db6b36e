"""A market with Pyth first and Chainlink second: what whoever knows the truth, or brings a chosen update, can take."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from ballast import boards
from ballast import config as configuration
from ballast.chain import RevmChain, reverts
from ballast.config import Config
from ballast.model.exact.fixed import WIDE
from ballast.options import Board, expiries, orders
from ballast.plan import Plan
from ballast.system import NO_LIMIT, Sandbox, deploy_system, wad

WAD = 10**18
YEAR = 365 * 86_400
ID = "0xff61491a931112ddf1bd8147cd1b641375f79f5825126d665480874634fd0ace"
TEST = {"price": 2_000, "decimals": 8}


def two_feeds(first: str = "pyth") -> Config:
    """networks/local.yaml's ETH with both sources."""
    config = configuration.load("local").without_venues().only_market("ETH")
    pyth, chainlink = {"kind": "pyth", "id": ID, "test": TEST}, {"test": TEST}
    feed, other = (pyth, chainlink) if first == "pyth" else (chainlink, pyth)
    second = {"feed": other, "band": Decimal("0.005"), "lone": Decimal("0.003")}
    markets = [market.model_dump() | {"feed": feed, "second": second} for market in config.markets]
    return config.changed(markets=markets)


@pytest.fixture
def system(chain: RevmChain) -> Sandbox:
    sandbox = deploy_system(chain, two_feeds())
    sandbox.deposit(chain.accounts[1], 10_000_000)
    sandbox.add_margin(chain.accounts[2], 1_000_000)
    return sandbox


def say(system: Sandbox, *, pyth: int | None = None, chainlink: int | None = None, conf: int = 0) -> None:
    """A newer price of one of them, or of both."""
    system.chain.warp(1)
    if pyth is not None:
        assert system.pyth is not None
        sender = system.chain.accounts[5]
        system.pyth.push(bytes.fromhex(ID[2:]), Decimal(pyth), -8, sender=sender, conf=Decimal(conf))
    if chainlink is not None:
        system.aggregators[0].push_now.send(chainlink * 10**8)


def quoted(system: Sandbox, size: int) -> Any:
    return system.perp_engine.call("quote", system.chain.accounts[2], 0, size * WAD)


def all_in(system: Sandbox, size: int) -> float:
    """What a unit costs, spread included, charge left out [quote]."""
    answer = quoted(system, size)
    return float((answer.price + answer.half_spread * (1 if size > 0 else -1) // abs(size)) / WAD)


@pytest.mark.parametrize("first", ["pyth", "chainlink"])
def test_plan_of_two_feeds_is_deployed_as_described(chain: RevmChain, first: str) -> None:
    system = deploy_system(chain, two_feeds(first))
    plan = Plan(system.config, system.setup)
    deployed = plan.start(chain, system.addresses)
    wrong = [(read.fn, read.actual(deployed, plan)) for read in plan.reads() if not read.holds(deployed, plan)]
    assert wrong == []
    kinds = [plan.contracts[f"feed/ETH{suffix}"].contract for suffix in ("", "/second")]
    assert kinds == (["PythFeed", "ChainlinkFeed"] if first == "pyth" else ["ChainlinkFeed", "PythFeed"])
    assert system.oracle.peek(0).fresh


@pytest.mark.parametrize("apart", [-30, -15, 15, 30])
def test_nobody_trades_between_two_prices(system: Sandbox, apart: int) -> None:
    """Whichever of the two is right, a trade at it loses at least the spread: there is nothing to take."""
    say(system, pyth=2_000 + apart, chainlink=2_000)
    low, high = sorted((2_000, 2_000 + apart))
    assert all_in(system, 10) > high
    assert all_in(system, -10) < low


def test_withheld_update_is_worth_nothing_while_the_other_feed_knows(system: Sandbox) -> None:
    """The price has moved by 1 %; whoever holds Pyth's update back, trades at the old one and brings it then, loses."""
    trader = system.chain.accounts[2]
    say(system, pyth=2_000, chainlink=2_000)
    cash = system.clearinghouse.call("account", trader)[0]
    say(system, chainlink=2_020)
    system.trade(trader, 0, 50)
    say(system, pyth=2_020)
    system.close(trader, 0)
    assert system.clearinghouse.call("account", trader)[0] < cash


def test_beyond_the_limit_only_closing(system: Sandbox) -> None:
    trader = system.chain.accounts[2]
    say(system, pyth=2_000, chainlink=2_000)
    system.trade(trader, 0, 20)
    say(system, chainlink=2_000 + 2_000 // WIDE + 1)
    for size in (1, -21):  # more, and past zero
        with reverts("oracle: price too uncertain"):
            system.perp_engine.send("trade", 0, size * WAD, NO_LIMIT if size > 0 else 0, NO_LIMIT, sender=trader)
    system.trade(trader, 0, -5)
    say(system, pyth=2_040)
    system.trade(trader, 0, 1)


def test_pyth_that_is_unsure_widens_and_then_only_closes(system: Sandbox) -> None:
    trader = system.chain.accounts[2]
    say(system, pyth=2_000, chainlink=2_000, conf=10)
    assert all_in(system, 10) > 2_010
    system.trade(trader, 0, 20)
    say(system, pyth=2_000, conf=41)
    with reverts("oracle: price too uncertain"):
        system.trade(trader, 0, 1)
    system.close(trader, 0)


def test_one_feed_dies_and_the_other_serves(system: Sandbox) -> None:
    """Pyth is old: Chainlink stands in with a wider mark; an old update that somebody brings then moves nothing."""
    trader = system.chain.accounts[2]
    max_age = system.oracle.config(0).max_age
    system.chain.warp(max_age + 1)
    say(system, chainlink=2_100)
    mark = system.oracle.peek(0)
    assert (mark.price, mark.half_width, mark.fresh) == (2_100 * WAD, 2_100 * WAD * 3 // 1_000, True)
    system.trade(trader, 0, 5)
    assert system.pyth is not None
    old = system.pyth.message(bytes.fromhex(ID[2:]), 1_900 * 10**8, 0, -8, system.chain.now - 30)
    system.markets[0].feed.update.send([old], value=1)
    mark = system.oracle.peek(0)
    assert mark.price == 2_100 * WAD
    assert mark.price - mark.half_width <= 1_900 * WAD
    say(system, pyth=2_101)
    assert system.oracle.peek(0).price == 2_101 * WAD
    system.close(trader, 0)


def test_brought_update_and_trade_in_one_block_gain_nothing(system: Sandbox) -> None:
    """Out-of-order and repeated updates around a round trip: the position's way through them costs."""
    trader = system.chain.accounts[2]
    feed, pyth = system.markets[0].feed, system.pyth
    assert pyth is not None
    say(system, pyth=2_000, chainlink=2_000)
    cash = system.clearinghouse.call("account", trader)[0]
    updates = [
        pyth.message(bytes.fromhex(ID[2:]), price * 10**8, 0, -8, system.chain.now - age)
        for price, age in ((1_980, 3), (2_001, 0), (1_985, 1))
    ]
    for data in updates:
        feed.update.send([data], value=1, sender=trader)
        system.trade(trader, 0, 10)
    for data in reversed(updates):
        feed.update.send([data], value=1, sender=trader)
        system.trade(trader, 0, -10)
    assert system.clearinghouse.call("account", trader)[0] < cash
    assert system.oracle.peek(0).price == wad(2_000)


def test_options_pay_for_the_gap_on_their_delta_and_do_not_open_beyond_the_limit(system: Sandbox) -> None:
    """A call and a put, bought and sold: worse than at either price by the spread, to first order; closing goes on."""
    trader, engine = system.chain.accounts[2], system.option_engine
    boards.roll(system)
    say(system, pyth=2_000, chainlink=2_000)
    board = Board(0, expiries(system, 0)[-1]).name(system)  # far: a sale never brings less than nothing
    calls = orders(system, {f"{board}-2000-C": 10})
    engine.send("trade", calls, 2**255 - 1, NO_LIMIT, sender=trader)
    for size in (10, -10):
        gap = 0
        for option in ("C", "P"):
            sizes = orders(system, {f"{board}-2000-{option}": size})
            say(system, pyth=2_000, chainlink=2_000)
            narrow = engine.call("quote", trader, sizes).half_spread
            say(system, chainlink=2_030)
            gap += engine.call("quote", trader, sizes).half_spread - narrow
        assert gap > 10 * 0.99 * 30 * WAD  # deltas of a call and its put are one together
    say(system, chainlink=2_041)
    with reverts("options: stale surface"):
        engine.send("trade", calls, 2**255 - 1, NO_LIMIT, sender=trader)
    engine.send("trade", [(series, -size) for series, size in calls], 2**255 - 1, NO_LIMIT, sender=trader)


def sandwiched(chain: RevmChain, *, age: int, reach: float, size: int = 10) -> float:
    """What is earned, of notional, by whoever in one block brings a price of `age` seconds ago, trades, brings that of
    now, and trades back. The price has moved by `reach` times what both half-spreads are, base included."""
    config = two_feeds()
    config = config.changed(markets=[config.markets[0].model_dump() | {"second": None}])
    system = deploy_system(chain, config)
    system.deposit(chain.accounts[1], 10_000_000)
    trader, pyth, feed = chain.accounts[2], system.pyth, system.markets[0].feed
    system.add_margin(trader, 1_000_000)
    chain.warp(max(age, 1) + 60)
    now = chain.now
    market = config.markets[0].inventory
    z_sigma = float(market.z) * system.oracle.peek(0).sigma / WAD
    spreads = [float(market.base) + z_sigma * ((seconds + market.tau) / YEAR) ** 0.5 for seconds in (age, 0)]
    assert pyth is not None

    def bring(price: int, at: int) -> None:
        feed.update.send([pyth.message(bytes.fromhex(ID[2:]), price, 0, -8, at)], value=1, sender=trader)

    cash = system.clearinghouse.call("account", trader)[0]
    bring(2_000 * 10**8, now - age)
    system.trade(trader, 0, size)
    bring(int(2_000 * 10**8 * (1 + reach * sum(spreads))), now)
    system.close(trader, 0)
    assert chain.now == now
    return float(system.clearinghouse.call("account", trader)[0] - cash) / WAD / (2_000 * size)


@pytest.mark.parametrize("age", [1, 12, 60])
def test_choosing_among_signed_prices_earns_nothing_within_both_spreads(chain: RevmChain, age: int) -> None:
    assert sandwiched(chain, age=age, reach=0.99) < 0


@pytest.mark.xfail(strict=True, reason="z standard deviations are all that a spread covers: docs/decisions.md, Open")
@pytest.mark.parametrize("age", [1, 60])
def test_choosing_among_signed_prices_earns_nothing_beyond_both_spreads(chain: RevmChain, age: int) -> None:
    assert sandwiched(chain, age=age, reach=2) < 0
