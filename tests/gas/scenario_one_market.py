"""What liquidity providers pay in a vault with one market and one Uniswap venue; a live book, a hedge in place.

The price of an LP action is a sum over markets and venues (two of each in scenario_ledger.py): this is its least value.
"""

from __future__ import annotations

from collections.abc import Iterator

from ballast import config
from ballast.chain.rpc import RpcChain
from ballast.reports import GasRow
from ballast.system import deploy_system

DEPOSIT = 190_000  # promised gas
NEW_ROUND = 196_000  # of one that reads a round which nobody has recorded
BLOCK = 12  # [s]


def measure(chain: RpcChain) -> Iterator[GasRow]:
    """A deposit by an LP who has shares already, in a block of its own."""
    system = deploy_system(chain, config.load("local").only_market("ETH"))
    lp, maker, keeper = chain.accounts[1:4]
    system.deposit(lp, 10_000_000)
    system.add_margin(maker, 1_000_000)
    system.trade(maker, "ETH", 3_000)
    system.warp(BLOCK)
    system.rebalance(keeper, "ETH", 50)
    system.fund(lp, 100_000)
    for fresh in (False, True):
        system.warp(BLOCK, refresh=fresh)
        gas = system.vault.send("deposit", 1_000 * 10**system.decimals, lp, sender=lp).gas_used
        yield (
            GasRow("vault of one market: deposit, new round", gas, NEW_ROUND)
            if fresh
            else GasRow("vault of one market: deposit", gas, DEPOSIT)
        )
