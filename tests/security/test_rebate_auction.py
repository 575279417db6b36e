"""The rebate auction as a way to LPs' money: inventory built to be sold back, loops, several accounts, options."""

from __future__ import annotations

import random
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal

import pytest

from ballast import options
from ballast.chain import Receipt, Reverted
from ballast.model.exact.option_book import SETTLEMENT_HOUR
from ballast.model.exact.option_engine import NO_LIMIT as NO_PRICE_LIMIT
from ballast.options import Board
from ballast.system import NO_LIMIT, Sandbox, wad
from ballast.testing import options as on_sandbox

WAD = 10**18
DAY = 86_400
GENEROUS = (1, 6_000, 3_600, 100_000 * 10**6)  # any U is outside; every ceiling, the shortest ramp
START = 3_000_000
CENT = Decimal("0.01")


@pytest.fixture
def generous(vault_only: Sandbox) -> Sandbox:
    """An auction that pays as much, and as soon, as its bounds allow, and spreads that are nothing but their floors."""
    system = vault_only
    for market in system.config.markets:
        params = replace(market.inventory.params(), z=0, vol_z=0)
        number = system.market(market.name).id
        system.inventory.send("set_market_params", number, params.pack(), sender=system.governor)
    system.auction.send("set_params", GENEROUS, sender=system.governor)
    for account in system.chain.accounts[2:7]:
        system.add_margin(account, START)
    return system


def stand(system: Sandbox, seconds: int = 280) -> None:
    """Time passes in four rounds; what is paid for is what stands. Prices differ by a cent, so that each is noticed."""
    for i in range(4):
        system.warp(seconds // 4, refresh=False)
        for market in (0, 1):
            system.push(market, system.prices[market] + (CENT if i % 2 else -CENT))
        system.inventory.send("sync_all")


def rise(system: Sandbox) -> None:
    """An auction is opened and its ramp runs to the end."""
    system.auction.send("open")
    stand(system, DAY + 3_600)
    stand(system)
    offer = system.auction.call("offer")
    assert offer.rate == WAD * 6 // 10
    assert offer.most > 0


def worth(system: Sandbox, accounts: list[str]) -> int:
    return sum(int(system.margin.call("health", account).equity) for account in accounts)


def boosts(system: Sandbox, *receipts: Receipt) -> int:
    return sum(int(event.amount) for receipt in receipts for event in receipt.find("Boosted", system.auction))


def buy(system: Sandbox, account: str, market: int, size: int) -> Receipt:
    """``size`` [base, WAD]."""
    limit = NO_LIMIT if size > 0 else 0
    return system.perp_engine.send("trade", market, size, limit, NO_LIMIT, sender=account)


def spread(system: Sandbox, *receipts: Receipt) -> int:
    engines = system.perp_engine, system.option_engine
    return sum(
        int(event.half_spread) for receipt in receipts for engine in engines for event in receipt.find("Trade", engine)
    )


def bid(system: Sandbox) -> tuple[int, int]:
    valuation = system.vault.call("valuation")
    return valuation.bid + WAD, valuation.supply + WAD


def test_one_block_of_anything_earns_nothing_of_a_standing_auction(generous: Sandbox) -> None:
    """I6 beside honest inventory that LPs pay for: whatever is traded and closed again, its actor is not the richer and
    LPs are not the poorer."""
    system = generous
    honest, *gang = system.chain.accounts[2:6]
    buy(system, honest, 0, 2_000 * WAD)
    buy(system, honest, 1, -30 * WAD)
    rise(system)
    before, (value, supply) = worth(system, gang), bid(system)
    paid = 0
    for seed in range(14):
        rng = random.Random(seed)
        with system.chain.undone():
            done = []
            for _ in range(rng.randint(2, 8)):
                market = rng.choice((0, 0, 1))
                size = rng.choice((-1, 1)) * rng.choice((1, 300, 1_500, 3_500)) * rng.randint(500, 1_000) * WAD // 1_000
                with suppress(Reverted):  # margin, caps
                    done.append(buy(system, rng.choice(gang), market, size // 40 if market else size))
            legs = [(account, market) for account in gang for market in (0, 1)]
            rng.shuffle(legs)
            for account, market in legs:
                size = system.perp_engine.call("position", account, market).size
                if size:
                    done.append(buy(system, account, market, -size))
            paid += boosts(system, *done)
            assert worth(system, gang) <= before
            after, shares = bid(system)
            assert after * supply >= value * shares - 10 * WAD * WAD
    assert paid > 0


@pytest.mark.parametrize("sizes", [(3_500, -1_500, -2_000), (1_900, 200, -300, 200, -2_000), (3_900, -3_900)])
def test_passing_the_minimum_and_back_earns_nothing(generous: Sandbox, sizes: tuple[int, ...]) -> None:
    """Down on one side of it, down again on the other: what is taken off is counted to zero and no further."""
    system = generous
    honest, attacker = system.chain.accounts[2:4]
    buy(system, honest, 0, -2_000 * WAD)
    rise(system)
    before, (value, supply) = worth(system, [attacker]), bid(system)
    done = [buy(system, attacker, 0, size * WAD) for size in sizes]
    assert sum(sizes) == 0
    assert worth(system, [attacker]) < before
    assert 0 < 2 * boosts(system, *done) <= spread(system, *done)
    after, shares = bid(system)
    assert after * supply >= value * shares - 10 * WAD * WAD


@pytest.mark.parametrize("accounts", [1, 4])
def test_inventory_built_to_be_sold_back_earns_nothing(generous: Sandbox, accounts: int) -> None:
    """Nobody else trades: U is made, stands for a day and longer, and is taken off again in parts."""
    system = generous
    gang = list(system.chain.accounts[2 : 2 + accounts])
    before = worth(system, gang)
    done = [buy(system, account, 0, 2_400 * WAD // accounts) for account in gang]
    rise(system)
    for account in gang:
        done += [buy(system, account, 0, -800 * WAD // accounts) for _ in range(3)]
        stand(system)
    assert not any(system.perp_engine.call("position", account, 0).size for account in gang)
    assert 0 < 2 * boosts(system, *done) <= spread(system, *done)
    assert worth(system, gang) < before


BUILDS: tuple[tuple[Mapping[str, float], str], ...] = (
    ({"2000-C": 400}, "back"),
    ({"2000-C": -400}, "back"),
    ({"2000-C": 300, "2000-P": 300}, "back"),
    ({"2000-C": -300, "2000-P": -300}, "back"),
    ({"2400-C": 1_500}, "back"),
    ({"2000-C": 400, "2000-P": -400}, "perps"),
    ({"1400-C": 600}, "perps"),
    ({"1400-C": -600}, "perps"),
    ({"2800-P": -600}, "perps"),
    ({"2400-C": 1_500}, "perps"),
)


def test_inventory_built_with_options_to_be_sold_back_earns_nothing(generous: Sandbox) -> None:
    """At, far in and far out of the money, bought or sold; then sold back, or its delta taken off with perpetuals that
    are closed again when the options are: boosts are no more than spreads."""
    system = generous
    maker = system.chain.accounts[3]
    board = on_sandbox.list_board(system, 6, (1_400, 2_000, 2_400, 2_800))
    earned = 0
    for build, how in BUILDS:
        with system.chain.undone():
            done = [trade_options(system, maker, board, build)]
            rise(system)
            on_sandbox.post(system, 0.6, [board.expiry])
            undo = {name: -size for name, size in build.items()}
            if how == "perps":
                hedge = system.inventory.call("market", 0).delta // 10**9 * 10**9
                done.append(buy(system, maker, 0, hedge))
                earned += boosts(system, *done)
                stand(system)
                done += [trade_options(system, maker, board, undo), buy(system, maker, 0, -hedge)]
            else:
                done.append(trade_options(system, maker, board, undo))
                earned += boosts(system, *done)
            assert boosts(system, *done) <= spread(system, *done), (build, how)
    assert earned > 0


@pytest.mark.parametrize(("name", "size"), [("2002-C", 1_900), ("2002-C", -1_900), ("1998-P", 1_900)])
def test_options_whose_spread_is_capped_are_paid_no_more_than_they_pay(generous: Sandbox, name: str, size: int) -> None:
    """An option that is worth little has a half-spread of little, however large its vega: at 2 % volatility less
    than the floors that bound a boost. So the cap of the spread ends where the boost does."""
    system = generous
    maker = system.chain.accounts[3]
    board = Board(0, (system.chain.now // DAY + 3) * DAY + SETTLEMENT_HOUR)
    on_sandbox.post(system, 0.02, [board.expiry])
    levels = [wad(strike) for strike in (1_998, 2_002)]
    system.option_engine.send("list_strikes", 0, board.expiry, levels, sender=system.governor)
    built = trade_options(system, maker, board, {name: size})
    rise(system)
    on_sandbox.post(system, 0.02, [board.expiry])
    undone = trade_options(system, maker, board, {name: -size})
    assert boosts(system, built) == 0
    assert 0 < boosts(system, undone) <= spread(system, undone)


def trade_options(system: Sandbox, account: str, board: Board, sizes: Mapping[str, float]) -> Receipt:
    orders = options.orders(system, {f"{board.name(system)}-{name}": size for name, size in sizes.items()})
    return system.option_engine.send("trade", orders, NO_PRICE_LIMIT, NO_LIMIT, sender=account)


def test_closed_auction_and_one_of_less_than_a_day_pay_nothing(generous: Sandbox) -> None:
    system = generous
    maker, taker = system.chain.accounts[2:4]
    buy(system, maker, 0, 2_400 * WAD)
    stand(system)
    assert boosts(system, buy(system, taker, 0, -100 * WAD)) == 0
    system.auction.send("open")
    stand(system, DAY - 300)
    assert boosts(system, buy(system, taker, 0, -100 * WAD)) == 0
    stand(system, 3_600)
    assert boosts(system, buy(system, taker, 0, -100 * WAD)) > 0


def test_liquidation_that_lowers_u_is_boosted_and_settles(generous: Sandbox) -> None:
    """Whoever's position is closed is paid what its closing is worth; nothing of it hangs on who calls."""
    system = generous
    weak, liquidator = system.chain.accounts[7:9]
    system.add_margin(weak, 100_000)
    buy(system, weak, 0, 900 * WAD)
    rise(system)
    system.push(0, 1_930)
    system.inventory.send("sync_all")
    stand(system)
    receipt = system.liquidator.send("liquidate_perp", weak, 0, 900 * WAD, sender=liquidator)
    assert boosts(system, receipt) > 0
