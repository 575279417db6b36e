"""Global settlement, step by step: two markets, one board, an account of sixteen options, others of perpetuals."""

from __future__ import annotations

from collections.abc import Iterator

from ballast.chain.rpc import RpcChain
from ballast.config import load
from ballast.model.exact.global_settlement import OUTAGE
from ballast.reports import GasRow
from ballast.system import NO_LIMIT, deploy_system
from ballast.testing.options import list_board, trade


def measure(chain: RpcChain) -> Iterator[GasRow]:
    """The end, after a day without prices."""
    system = deploy_system(chain, load("local").without_venues())
    end, house, vault = system.global_settlement, system.clearinghouse, system.vault
    lp, options, winner, loser, both = chain.accounts[1:6]
    system.deposit(lp, 5_000_000)
    for account in (options, winner, loser, both):
        system.add_margin(account, 500_000)
    strikes = [1_600 + 100 * n for n in range(8)]
    board = list_board(system, 5, strikes)
    for right in "CP":
        trade(system, options, board, {f"{strike}-{right}": 1 for strike in strikes}, fresh=True)
    for account, size in ((winner, 5), (loser, -5), (both, 2)):
        system.trade(account, "ETH", size)
    system.trade(both, "BTC", -1)
    system.push("ETH", 2_050)
    system.oracle.send("sync", 0)
    system.warp(3_600 + OUTAGE, refresh=False)
    yield GasRow("end: trigger, 2 markets, 1 board", end.send("trigger").gas_used)
    for name, account in (
        ("16 options", options), ("1 perpetual in profit", winner), ("1 perpetual at a loss", loser),
        ("2 perpetuals", both),
    ):  # fmt: skip
        yield GasRow(f"end: crystallise {name}", end.send("crystallise", [account]).gas_used)
    yield GasRow("end: finalise", end.send("finalise").gas_used)
    yield GasRow("end: claim", end.send("claim", [winner]).gas_used)
    cash = house.call("account", winner)[0] // house.call("scale")
    yield GasRow("end: withdraw", house.send("withdraw", cash, winner, winner, sender=winner).gas_used)
    shares = vault.call("balanceOf", lp)
    vault.send("approve", end, NO_LIMIT, sender=lp)
    vault.send("requestRedeem", shares // 2, lp, lp, sender=lp)
    yield GasRow("end: redeem", end.send("redeem", shares // 4, lp, sender=lp).gas_used)
    yield GasRow("end: redeem more", end.send("redeem", shares // 4, lp, sender=lp).gas_used)
    yield GasRow("end: pay a request", end.send("pay_request", lp).gas_used)
