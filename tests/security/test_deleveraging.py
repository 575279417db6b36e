"""Deleveraging as a way to get out cheaply, or to be paid for it."""

import pytest

from ballast.chain import RevmChain, reverts
from ballast.system import Sandbox

WAD = 10**18
BPS = 10_000
ETH = 0


@pytest.mark.parametrize(("size", "price"), [(3_000, 3_000), (1_000, 5_000)])
def test_winner_who_has_himself_deleveraged_saves_less_than_the_half_spread(
    vault_only: Sandbox, size: int, price: int
) -> None:
    """An accomplice names and closes him. What he gains against closing by hand LPs and fees bear, and it is less than
    the half-spread: here 32 bp of what is closed, without a rebate of 26 or 6. The accomplice gets a quote at most."""
    system = vault_only
    winner, other, accomplice, stranger = system.chain.accounts[2:6]
    for account in (winner, other):
        system.add_margin(account, 2_000_000)
    system.trade(winner, "ETH", size)
    system.trade(other, "ETH", size // 2)
    system.fund(stranger, 1_000)
    system.clearinghouse.fund_insurance.send(system.units(1_000), sender=stranger)
    system.warp(3_600)
    with reverts("deleverage: not armed"):
        system.deleverager.nominate.send(winner, ETH, sender=accomplice)
    system.push("ETH", price)
    for _ in range(3):
        system.warp(61)
        system.inventory.sync_all.send()
    system.deleverager.nominate.send(winner, ETH, sender=accomplice)
    system.warp(60)
    assert isinstance(system.chain, RevmChain)
    with system.chain.undone():
        receipt = system.deleverager.deleverage.send(ETH, sender=accomplice)
        size_delta = receipt.one("Trade", system.perp_engine).size_delta
        kept, lps = system.margin.health(winner).equity, system.vault.valuation().nav
        assert 0 < system.clearinghouse.account(accomplice)[0] <= WAD
    quote = system.perp_engine.quote(winner, ETH, size_delta)
    system.perp_engine.trade.send(ETH, size_delta, 0, 2**255, sender=winner)
    gain = kept - system.margin.health(winner).equity
    loss = system.vault.valuation().nav - lps
    assert 0 < gain < quote.half_spread < 40 * -size_delta * price // BPS
    assert loss < quote.half_spread
