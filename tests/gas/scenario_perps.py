"""Perp trades of a trader whose margin is there already, each the first transaction of its block, 12 s after the last.

Two markets with Uniswap venues are listed, feeds are behind a proxy as Chainlink's are, LPs hold 10m, and other
traders keep both sides of both books alive. "New round" means that this transaction also records the round and its
variance.
"""

from __future__ import annotations

from collections.abc import Iterator

from ballast.chain.rpc import RpcChain
from ballast.model.exact.fixed import WAD
from ballast.reports import GasRow
from ballast.system import Sandbox, deploy_system

OPEN, CHANGE, NEW_ROUND = 200_000, 165_000, 20_000  # limits [gas]; the last on top
LIQUIDATE = 320_000  # limit [gas], new round or not
BLOCK = 12  # [s]
LIFE = (("open", 10, OPEN), ("increase", 5, CHANGE), ("reduce", -7, CHANGE), ("close", -8, CHANGE))


def measure(chain: RpcChain) -> Iterator[GasRow]:
    """A position's life in one market, then of an account that has another, then what others may do."""
    system = deploy_system(chain)
    lp, maker, taker, trader, spread, weak, keeper = chain.accounts[1:8]
    system.deposit(lp, 10_000_000)
    for account in (maker, taker, trader, spread, keeper):
        system.add_margin(account, 1_000_000)
    system.add_margin(weak, 45_000)
    system.trade(maker, "ETH", 40)
    system.trade(maker, "BTC", -2)
    system.trade(taker, "ETH", -30)
    system.trade(taker, "BTC", 1)

    for fresh in (False, True):
        suffix = ", new round" if fresh else ""
        for name, size, target in LIFE:
            gas = trade(system, trader, "ETH", size, fresh)
            yield GasRow(f"perp: {name}{suffix}", gas, target + NEW_ROUND * fresh)
    trade(system, spread, "BTC", 1)
    for fresh in (False, True):
        suffix = ", new rounds in both" if fresh else ""
        for name, size, _ in LIFE:
            yield GasRow(f"perp: {name}, account also in BTC{suffix}", trade(system, spread, "ETH", size, fresh))

    system.warp(3_500)
    system.inventory.send("sync", 0)
    gas = trade(system, maker, "ETH", 1)
    yield GasRow("perp: increase, hourly synchronisation due", gas, note="synchronises BTC, whose round is new")

    trade(system, weak, "ETH", 400)
    system.warp(BLOCK)
    yield GasRow("perp: sync, new round", system.perp_engine.send("sync", 0, sender=keeper).gas_used)
    chain.warp(BLOCK)
    system.push("ETH", 1_930)
    liquidator = system.liquidator
    spent = liquidator.send("liquidate_perp", weak, 0, 400 * WAD, sender=keeper).gas_used
    yield GasRow("perp: liquidate, new round", spent, LIQUIDATE)
    for name, fn, price in (("liquidate", "liquidate_perp", 1_880), ("take over", "take_perp", 1_830)):
        system.push("ETH", price)
        system.oracle.send("sync", 0)
        system.warp(BLOCK, refresh=False)
        spent = liquidator.send(fn, weak, 0, 400 * WAD, sender=keeper).gas_used
        yield GasRow(f"perp: {name}", spent, LIQUIDATE if name == "liquidate" else None)

    auction = system.auction
    auction.send("set_params", (1, 6_000, 3_600, 10**9), sender=system.governor)
    trade(system, maker, "ETH", 100)
    yield GasRow("auction: open", auction.send("open", sender=keeper).gas_used)
    for i in range(8):
        system.warp(5 * 3_600, refresh=False)
        system.move("ETH", 1_900 + i)
        system.push("BTC", 40_000 + i)
        system.inventory.send("sync_all")
    budget = auction.call("offer").left
    gas = trade(system, maker, "ETH", -10)
    assert auction.call("offer").left < budget
    yield GasRow("perp: reduce, account also in BTC, paid a boost", gas)
    yield GasRow("perp: increase, account also in BTC, an auction is open", trade(system, maker, "ETH", 5))


def trade(system: Sandbox, account: str, market: str, size: int, fresh: bool = False) -> int:
    """Gas of a trade in a block of its own; without `fresh` the recorded round is still the newest."""
    system.chain.warp(BLOCK)
    if fresh:
        system.refresh()
    which, now = system.market(market).id, system.chain.now
    limit = int(system.prices[which] * (110 if size > 0 else 90)) * 10**16
    return system.perp_engine.send("trade", which, size * 10**18, limit, now + 60, sender=account).gas_used
