"""What traders, liquidity providers and keepers pay beside trading; two markets with Uniswap venues, a live book in
both.

"Same rounds" means that the recorded rounds are still the newest; "new rounds" that this transaction records both.
"""

from __future__ import annotations

from collections.abc import Iterator

from ballast.chain import Contract
from ballast.chain.rpc import RpcChain
from ballast.reports import GasRow
from ballast.system import Sandbox, deploy_system

DEPOSIT, REQUEST, CLAIM, HEDGE = 190_000, 150_000, 110_000, 330_000  # target [gas]
BLOCK = 12  # [s]


def measure(chain: RpcChain) -> Iterator[GasRow]:
    """Margin, shares, epochs, hedges."""
    system = deploy_system(chain)
    lp, other, maker, taker, keeper = chain.accounts[1:6]
    system.deposit(lp, 10_000_000)
    for account in (maker, taker):
        system.add_margin(account, 1_000_000)
    system.trade(maker, "ETH", 3_000)
    system.trade(maker, "BTC", -2)
    system.trade(taker, "ETH", -30)
    system.trade(taker, "BTC", 1)
    system.warp(BLOCK)
    system.rebalance(keeper, "ETH", 50)
    for account in (lp, other, taker, keeper):
        system.fund(account, 100_000)
    unit = 10**system.decimals

    def gas(contract: Contract, fn: str, *args: object, sender: str, fresh: bool = False) -> int:
        step(system, fresh)
        return contract.send(fn, *args, sender=sender).gas_used

    margin, vault = system.clearinghouse, system.vault
    yield GasRow("margin: deposit, first", gas(margin, "deposit", 1_000 * unit, other, sender=other))
    yield GasRow("margin: deposit", gas(margin, "deposit", 1_000 * unit, keeper, sender=keeper))
    yield GasRow("margin: withdraw, no position", gas(margin, "withdraw", 500 * unit, keeper, keeper, sender=keeper))
    yield GasRow("margin: withdraw, two positions", gas(margin, "withdraw", 500 * unit, taker, taker, sender=taker))

    spent = gas(vault, "deposit", 1_000 * unit, lp, sender=lp)
    yield GasRow("vault: deposit", spent, None, f"over its target of {DEPOSIT:,}")
    yield GasRow("vault: deposit, new rounds", gas(vault, "deposit", 1_000 * unit, lp, sender=lp, fresh=True))
    yield GasRow("vault: deposit, first", gas(vault, "deposit", 1_000 * unit, other, sender=other))
    yield GasRow("vault: requestRedeem, first", gas(vault, "requestRedeem", 10**20, lp, lp, sender=lp), REQUEST)
    yield GasRow("vault: requestRedeem", gas(vault, "requestRedeem", 10**20, lp, lp, sender=lp), REQUEST)
    gas(vault, "requestRedeem", 10**20, other, other, sender=other)
    system.warp(vault.call("epoch").ends_at - chain.now)
    yield GasRow("vault: processEpoch, new rounds", vault.send("processEpoch", sender=keeper).gas_used)
    yield GasRow("vault: redeem a part", gas(vault, "redeem", 10**20, lp, lp, sender=lp), CLAIM)
    claimable = vault.call("maxRedeem", lp)
    yield GasRow("vault: redeem the rest", gas(vault, "redeem", claimable, lp, lp, sender=lp), CLAIM)
    claimable = vault.call("maxWithdraw", other)
    yield GasRow("vault: withdraw a claim", gas(vault, "withdraw", claimable, other, other, sender=other), CLAIM)

    manager = system.hedge_manager
    system.refresh()
    system.inventory.send("sync_all")
    for name, size in (("buy", 40), ("buy again", 20)):
        spent = gas(manager, "rebalance", 0, 0, size * 10**18, 2_100 * 10**18, sender=keeper, fresh=True)
        system.warp(60)
        yield GasRow(f"hedge: rebalance, {name}, new round", spent, None, f"over its target of {HEDGE:,}")
    yield GasRow("hedge: poke, nothing new", gas(manager, "poke", 0, sender=keeper))
    yield GasRow("inventory: sync_all, same rounds", gas(system.inventory, "sync_all", sender=keeper))
    yield GasRow("inventory: sync_all, new rounds", gas(system.inventory, "sync_all", sender=keeper, fresh=True))
    yield GasRow("clearing: collect fees", gas(margin, "collect_fees", sender=keeper))


def step(system: Sandbox, fresh: bool) -> None:
    """The next block; with `fresh` every feed has a round of it."""
    system.warp(BLOCK, refresh=fresh)
