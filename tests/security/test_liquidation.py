"""Liquidation as a way to take what is not one's own."""

from ballast.chain import reverts
from ballast.system import Sandbox

WAD = 10**18


def equity(system: Sandbox, account: str) -> int:
    return int(system.margin.health(account).equity)


def test_penalty_is_not_paid_from_what_other_legs_owe(vault_only: Sandbox) -> None:
    """An account that is nearly worthless, with its loss in one leg and its cash still there, liquidates the other leg.

    The penalty used to be limited by cash: half of it went to the accomplice, and the hole to insurance and LPs.
    """
    system = vault_only
    attacker, accomplice = system.chain.accounts[2:4]
    system.add_margin(attacker, 10_000)
    system.trade(attacker, "ETH", 50)
    system.trade(attacker, "BTC", 2)
    system.push("BTC", 35_150)
    for market in (0, 1):
        system.oracle.sync.send(market)
    left = equity(system, attacker)
    assert 0 < left < 300 * WAD

    system.perp_engine.liquidate.send(attacker, 0, sender=accomplice)
    assert equity(system, attacker) >= 0
    assert equity(system, accomplice) <= left // 2
    debt = system.perp_engine.liquidate.send(attacker, 1, sender=accomplice).find("BadDebtCovered")
    # what is missing is what closing the second leg costs, nothing else
    close = system.perp_engine.quote(attacker, 1, 2 * WAD)
    assert sum(d.by_lp + d.by_insurance for d in debt) <= 2 * (close.half_spread + abs(close.charge))


def test_liquidating_oneself_is_no_cheaper_than_closing(vault_only: Sandbox) -> None:
    system = vault_only
    attacker, accomplice, honest = system.chain.accounts[2:5]
    results = []
    for account in (attacker, honest):
        system.push("ETH", 2_000)
        system.add_margin(account, 5_000)
        system.trade(account, "ETH", 40)
        system.warp(600)
        system.push("ETH", 1_930)
        system.oracle.sync.send(0)
        if account == attacker:
            system.perp_engine.liquidate.send(account, 0, sender=accomplice)
            results.append(equity(system, attacker) + equity(system, accomplice))
        else:
            system.close(account, "ETH")
            results.append(equity(system, honest))
    assert results[0] < results[1]


def test_healthy_account_cannot_be_pushed_below_by_another_trader(vault_only: Sandbox) -> None:
    """Equity and requirement read marks alone: what others trade, even the whole utilization, moves neither."""
    system = vault_only
    victim, attacker = system.chain.accounts[2:4]
    system.add_margin(victim, 4_100)
    system.trade(victim, "ETH", 40)
    system.add_margin(attacker, 5_000_000)
    before = system.margin.health(victim)
    system.trade(attacker, "ETH", 8_000)
    after = system.margin.health(victim)
    assert tuple(before) == tuple(after)
    with reverts("perps: account is healthy"):
        system.perp_engine.liquidate.send(victim, 0, sender=attacker)


def test_shrinking_by_dust_does_not_stop_liquidation(vault_only: Sandbox) -> None:
    system = vault_only
    victim, liquidator = system.chain.accounts[2:4]
    system.add_margin(victim, 4_100)
    system.trade(victim, "ETH", 40)
    system.push("ETH", 1_930)
    system.perp_engine.trade.send(0, -1, 0, 2**255, sender=victim)
    system.perp_engine.liquidate.send(victim, 0, sender=liquidator)
    assert system.perp_engine.position(victim, 0).size == 0


def test_leg_with_a_stale_price_does_not_shield_the_others(vault_only: Sandbox) -> None:
    system = vault_only
    attacker, liquidator = system.chain.accounts[2:4]
    system.add_margin(attacker, 10_000)
    system.trade(attacker, "ETH", 80)
    system.trade(attacker, "BTC", "0.0001")
    system.warp(3_601, refresh=False)
    system.push("ETH", 1_900)
    system.perp_engine.liquidate.send(attacker, 0, sender=liquidator)
    assert system.perp_engine.position(attacker, 0).size == 0
