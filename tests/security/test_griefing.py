"""Spoiling it for others: gifts, permits in the mempool, stolen gas, strangers' dust."""

import pytest

from ballast.chain import Reverted, reverts
from ballast.model.roles import Role
from ballast.system import NO_LIMIT, Sandbox

WAD = 10**18


def test_gifts_block_no_hedge_and_price_no_share(hedged: Sandbox) -> None:
    system = hedged
    stranger, trader, keeper = system.chain.accounts[2:5]
    system.add_margin(trader, 3_000_000)
    system.trade(trader, "ETH", 3_000)
    system.warp(120)
    before = system.vault.totalAssets()
    system.quote.mint.send(stranger, system.units(1_000))
    system.quote.transfer.send(system.clearinghouse, system.units(500), sender=stranger)
    assert system.vault.totalAssets() == before
    system.quote.transfer.send(system.market("ETH").venues[0], system.units(500), sender=stranger)
    assert system.rebalance(keeper, "ETH", 100).filled == 100 * WAD
    system.clearinghouse.absorb_donation.send(sender=stranger)
    assert system.clearinghouse.buckets().insurance == 500 * WAD


def test_first_depositor_cannot_inflate_the_share(bare_system: Sandbox) -> None:
    """A share of one unit, a gift, a victim: gifts reach insurance only, and the virtual share bears the rest."""
    system = bare_system
    attacker, victim = system.chain.accounts[1:3]
    system.fund(attacker, 20_000)
    system.vault.deposit.send(1, attacker, sender=attacker)
    system.quote.transfer.send(system.clearinghouse, system.units(10_000), sender=attacker)
    system.deposit(victim, 10_000)
    worth = system.vault.convertToAssets(system.vault.balanceOf(victim))
    assert worth >= system.units(10_000) - 1


@pytest.mark.parametrize("share", [6, 8, 10, 12, 14, 16, 18, 19])
def test_sending_little_gas_makes_no_venue_look_dead(hedged: Sandbox, share: int) -> None:
    """A deposit whose venue views run out of gas would be priced at a NAV without them: it must revert instead."""
    system = hedged
    trader, keeper, depositor = system.chain.accounts[2:5]
    system.add_margin(trader, 3_000_000)
    system.trade(trader, "ETH", 3_000)
    system.warp(120)
    system.rebalance(keeper, "ETH", 150)
    system.fund(depositor, 1_000)
    expected = system.vault.previewDeposit(system.units(1_000))
    try:
        minted = system.vault.deposit.send(system.units(1_000), depositor, sender=depositor, gas=share * 40_000).value
    except Reverted:
        return
    assert minted == expected


def test_dust_of_a_stranger_takes_no_claim_away(vault_only: Sandbox) -> None:
    """Shares requested for somebody else's account join its request and carry its id on; amounts only grow."""
    system = vault_only
    lp, stranger = system.chain.accounts[1:3]
    system.deposit(stranger, 1)
    system.vault.requestRedeem.send(100 * WAD, lp, lp, sender=lp)
    system.process_epoch()
    claim = system.vault.maxWithdraw(lp)
    system.vault.requestRedeem.send(1, lp, stranger, sender=stranger)
    assert system.vault.maxWithdraw(lp) == claim
    system.vault.withdraw.send(claim, lp, lp, sender=lp)


def test_guardian_cannot_loosen_move_or_appoint(hedged: Sandbox) -> None:
    """Everything that is not a pause or a lower cap refuses him."""
    system = hedged
    guardian = system.guardian
    venue_params, terms = system.hedge_manager.venue_params(0), system.hedge_manager.terms()
    vault_params, config = system.vault.params(), system.perp_engine.config(0).params
    settlement = (10**24, 0, 0, 0, 0, 0)
    calls = [
        (system.clearinghouse, "begin", ()),
        (system.clearinghouse, "settle", (guardian, settlement)),
        (system.clearinghouse, "fund", (guardian, 1)),
        (system.clearinghouse, "release", (1,)),
        (system.clearinghouse, "subsidise", (1,)),
        (system.clearinghouse, "pay_claim", (guardian, 1)),
        (system.clearinghouse, "withdraw_protocol", (0, guardian)),
        (system.clearinghouse, "set_margin", (guardian,)),
        (system.clearinghouse, "set_shares", (5_000, 5_000, 1_000)),
        (system.clearinghouse, "pay_penalty", (guardian, 1, guardian, 0)),
        (system.clearinghouse, "pay_reward", (guardian, 1)),
        (system.clearinghouse, "freeze", ()),
        (system.clearinghouse, "crystallise", (guardian, 1, 0)),
        (system.clearinghouse, "pay_lp", (guardian, 1)),
        (system.perp_engine, "close_for", (guardian, 0, 1, 0, False)),
        (system.perp_engine, "transfer", (system.setup, guardian, 0, 1)),
        (system.perp_engine, "deleverage", (guardian, 0, 1)),
        (system.option_engine, "close_for", (guardian, [], 0, False)),
        (system.option_engine, "transfer", (system.setup, guardian, [])),
        (system.perp_engine, "unpause", (0,)),
        (system.perp_engine, "set_params", (0, config)),
        (system.perp_engine, "list_market", (5, config)),
        (system.vault, "unpause_deposits", ()),
        (system.vault, "set_params", (vault_params,)),
        (system.hedge_manager, "unpause_venue", (0,)),
        (system.hedge_manager, "retire_venue", (0,)),
        (system.hedge_manager, "set_venue_params", (0, venue_params)),
        (system.hedge_manager, "set_rule", (terms,)),
        (system.hedge_manager, "list_venue", (system.quote, 0, venue_params)),
        (system.inventory, "set_params", (1,)),
        (system.inventory, "set_market_params", (0, 1)),
        (system.oracle, "halt", (0,)),
        (system.oracle, "resume", (0,)),
        (system.oracle, "set_feed", (0, system.quote)),
    ]
    contracts = (
        system.clearinghouse,
        system.perp_engine,
        system.vault,
        system.hedge_manager,
        system.inventory,
        system.oracle,
    )
    calls += [(contract, "grant_role", (guardian, Role.GOVERNOR)) for contract in contracts]
    calls += [(contract, "offer_admin", (guardian,)) for contract in contracts]
    for sender in (guardian, system.setup):
        for contract, function, args in calls:
            with reverts("roles: not allowed"):
                contract.send(function, *args, sender=sender)


def test_with_everything_paused_money_that_is_in_comes_out(hedged: Sandbox) -> None:
    """Pauses of a hostile guardian, caps at nothing: closing, withdrawing, redeeming and claiming go on."""
    system = hedged
    lp, trader = system.chain.accounts[1:3]
    system.add_margin(trader, 1_000_000)
    system.trade(trader, "ETH", 500)
    for market in (0, 1):
        system.perp_engine.pause.send(market, sender=system.guardian)
        system.perp_engine.lower_caps.send(market, 0, 0, sender=system.guardian)
        system.hedge_manager.pause_venue.send(market, sender=system.guardian)
    system.vault.pause_deposits.send(sender=system.guardian)
    system.vault.lower_deposit_cap.send(0, sender=system.guardian)
    system.vault.requestRedeem.send(1_000 * WAD, lp, lp, sender=lp)
    system.close(trader, "ETH")
    cash, _ = system.clearinghouse.account(trader)
    system.clearinghouse.withdraw.send(cash // system.clearinghouse.scale(), trader, trader, sender=trader)
    assert system.process_epoch().filled == 1_000 * WAD
    system.vault.redeem.send(1_000 * WAD, lp, lp, sender=lp)


def test_guardian_cannot_stop_closing_by_halting_the_oracle(vault_only: Sandbox) -> None:
    system = vault_only
    trader = system.chain.accounts[2]
    system.add_margin(trader, 100_000)
    system.trade(trader, "ETH", 100)
    with reverts("roles: not allowed"):
        system.oracle.halt.send(0, sender=system.guardian)
    system.perp_engine.trade.send(0, -100 * WAD, 0, NO_LIMIT, sender=trader)
