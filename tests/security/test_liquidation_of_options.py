"""Accounts with options, liquidated when they should not be, or not when they should."""

from __future__ import annotations

from ballast import options
from ballast.chain import reverts
from ballast.system import Sandbox
from ballast.testing import options as on_sandbox

WAD = 10**18
ALL = 2**128
UNIT = 10**12


def test_hedged_account_is_not_liquidated_between_expiry_and_settlement(vault_only: Sandbox) -> None:
    """
    Calls deep in the money against a short perpetual, for a maintenance requirement of 25 quote. In the block in which
    they expire the liquidator's transaction comes before the one that settles them.
    """
    system = vault_only
    trader, attacker = system.chain.accounts[2:4]
    board = on_sandbox.list_board(system, 2, [1_600])
    system.add_margin(trader, 42_500)
    on_sandbox.trade(system, trader, board, {"1600-C": 100}, fresh=True)
    system.warp(61)
    system.trade(trader, "ETH", -100)
    system.warp(board.expiry - system.chain.now)
    system.oracle.sync.send(0)
    health = system.margin.health(trader)
    assert health.equity > 42_000 * WAD
    assert health.maintenance < 100 * WAD
    with reverts("liquidation: account is healthy"):
        system.liquidator.liquidate_perp.send(trader, 0, ALL, sender=attacker)
    cash = system.clearinghouse.account(trader)[0]
    assert cash > 0
    with reverts("margin: below initial"):
        system.clearinghouse.withdraw.send(cash // UNIT, trader, trader, sender=trader)


def test_account_at_initial_margin_is_above_maintenance_and_can_be_liquidated_below_it(vault_only: Sandbox) -> None:
    """Short of a butterfly 40 minutes before expiry, worth most 3 % away: the grid of initial has spots 5 % apart."""
    system = vault_only
    trader, attacker = system.chain.accounts[2:4]
    board = on_sandbox.list_board(system, 1, [2_020, 2_060, 2_100])
    system.warp(board.expiry - system.chain.now - 2_400)
    on_sandbox.post(system, 0.6, [board.expiry])
    system.add_margin(trader, 20_000)
    fly = {"2020-C": -100, "2060-C": 200, "2100-C": -100}
    on_sandbox.trade(system, trader, board, fly, fresh=True)
    system.trade(trader, "BTC", "0.1")
    health = system.margin.health(trader)
    free = (health.equity - health.initial) // UNIT
    with reverts("margin: below initial"):
        system.clearinghouse.withdraw.send(free + 1, trader, trader, sender=trader)
    system.clearinghouse.withdraw.send(free, trader, trader, sender=trader)
    closing = options.orders(system, {f"{board.name(system)}-{name}": -size for name, size in fly.items()})
    with reverts("liquidation: account is healthy"):
        system.liquidator.liquidate_options.send(trader, closing, sender=attacker)
    system.push("BTC", 39_000)
    assert system.liquidator.liquidate_options.send(trader, closing, sender=attacker).value.share > 0
