"""Prices and U at the edges: feeds that are not believed, jumps that no trade made, absurd rounds."""

from ballast.chain import Contract, reverts
from ballast.system import Sandbox

WAD = 10**18
REVERTS = 1  # ReplayAggregator.Fault
VIEWS_REVERT = 1 << 10  # HedgeVenueDouble.Manner


def scripted_venue(system: Sandbox) -> tuple[Contract, int]:
    """A venue of ETH whose holdings a test sets; the contract and its id."""
    scale = system.clearinghouse.scale()
    double = system.chain.deploy("HedgeVenueDouble", system.clearinghouse, system.quote, scale, 2_000 * WAD)
    params = system.hedge_manager.venue_params(0)
    system.hedge_manager.list_venue.send(double, 0, params, sender=system.governor)
    return double, system.hedge_manager.venue_count() - 1


def stand(system: Sandbox) -> None:
    for _ in range(4):
        system.warp(100)
        system.inventory.sync_all.send()


def test_lps_are_not_priced_at_a_mark_whose_feed_is_not_believed(vault_only: Sandbox) -> None:
    """While a sequencer is down or in its grace period the last mark is young and everybody knows that it is wrong."""
    system = vault_only
    lp, depositor = system.chain.accounts[1:3]
    system.fund(depositor, 1_000)
    system.vault.requestRedeem.send(WAD, lp, lp, sender=lp)
    system.warp(system.vault.epoch().ends_at - system.chain.now + 1)
    system.oracle.sync.send(0)
    system.aggregators[0].set_fault.send(REVERTS)
    assert system.oracle.last(0).fresh
    assert not system.oracle.peek(0).fresh

    assert system.vault.maxDeposit(depositor) == 0
    with reverts("vault: stale mark"):
        system.vault.deposit.send(system.units(1_000), depositor, sender=depositor)
    with reverts("vault: stale mark"):
        system.vault.mint.send(WAD, depositor, sender=depositor)
    with reverts("vault: stale mark"):
        system.vault.processEpoch.send()


def test_venue_that_dies_in_a_block_leaves_closing_open_and_r_solvent(hedged: Sandbox) -> None:
    """The hedge is gone, U jumps by four orders of magnitude, R does not; coverage was taken before the jump."""
    system = hedged
    trader = system.chain.accounts[2]
    system.add_margin(trader, 2_000_000)
    double, venue = scripted_venue(system)
    system.trade(trader, "ETH", 3_100)
    double.set_held.send(3_000 * WAD)
    system.warp(12)
    system.hedge_manager.poke.send(venue)
    stand(system)
    system.warp(12)
    system.hedge_manager.poke.send(venue)
    double.set_manners.send(VIEWS_REVERT)
    system.hedge_manager.poke.send(venue)
    state, reserve = system.inventory.state(), system.clearinghouse.vault_ledger()[1]
    assert state.potential * state.coverage // WAD <= reserve
    system.close(trader, "ETH")
    assert system.clearinghouse.vault_ledger()[1] >= 0


def test_u_may_rise_from_almost_nothing(hedged: Sandbox) -> None:
    """A trader leaves dust of a big inventory; then a venue's exposure changes.

    The older window's minimum was scaled by the ratio of the two U, and no longer fitted its word: every call reverted.
    """
    system = hedged
    trader = system.chain.accounts[2]
    system.add_margin(trader, 2_000_000)
    double, venue = scripted_venue(system)
    system.trade(trader, "ETH", 4_000)
    stand(system)
    system.trade(trader, "ETH", "-3999.97")
    system.warp(12)
    system.inventory.sync_all.send()
    double.set_held.send(4_000 * WAD)
    system.hedge_manager.poke.send(venue)
    assert system.inventory.state().potential > 20_000 * WAD
    assert system.inventory.state().low <= system.inventory.state().potential


def test_absurd_round_moves_nothing_and_the_next_good_one_heals(vault_only: Sandbox) -> None:
    """A price near 2^96: sums do not fit their words, so calls revert rather than wrap; afterwards all is as before."""
    system = vault_only
    trader = system.chain.accounts[2]
    system.add_margin(trader, 2_000_000)
    system.trade(trader, "ETH", 3_000)
    system.warp(60)
    book = system.inventory.book()
    system.push("ETH", 79_000_000_000)
    with reverts("inventory: out of range"):
        system.inventory.sync_all.send()
    with reverts("inventory: out of range"):
        system.trade(trader, "ETH", -3_000)
    assert system.inventory.book() == book
    system.push("ETH", 2_000)
    system.inventory.sync_all.send()
    system.close(trader, "ETH")
    assert system.inventory.book().sums.a == 0
