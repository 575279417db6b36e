# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Mandates: registered hedgers
@notice A mandate names an agent, the venues it may use, how much it may hedge in all, when it ends, and its share of what a hedge
        frees, in place of the share that anyone has. Everything else is HedgeManager's rule, by the same code: cost, reward and
        gas together never exceed phi times the fall of U, whatever the share.

        Actors: SETUP and the governor grant; the agent hedges; governor, guardian or the agent itself revoke, at once.
        Invariants: nobody but the agent uses a mandate; its volume never exceeds its size; nothing is filled at a venue it does not
        name, nor once it is over; terms never change, but for an end that comes earlier; counters only grow. This contract holds
        nothing and can do nothing but ask for hedges.
@custom:kill revoke (guardian) ends a mandate; revoking HEDGER at HedgeManager ends all of them. Hedging by anyone goes on.
"""

from interfaces import IHedgeManager
from interfaces import IMandates
from contracts import constants as c
from contracts.governance import roles
from contracts.hedge import records
from contracts.math import signed

implements: IMandates

initializes: roles

exports: (
    roles.admin,
    roles.pending_admin,
    roles.roles_of,
    roles.grant_role,
    roles.revoke_role,
    roles.renounce_setup,
    roles.offer_admin,
    roles.accept_admin,
)

MAX_TERM: constant(uint256) = c.YEAR    # [s] that a mandate may run
MASK_48: constant(uint256) = 2**48 - 1
MASK_64: constant(uint256) = 2**64 - 1

HEDGE_MANAGER: public(immutable(IHedgeManager))

mandate_count: public(uint256)
# By id. Terms: `agent 160 | venues u8 | share u16 | expiry u48`.
_terms: HashMap[uint256, uint256]
# `size u64 | volume u64 | hedges u64`.
_use: HashMap[uint256, uint256]
# `cost u64 | fall u64 | reward u64`.
_results: HashMap[uint256, uint256]


@deploy
def __init__(admin: address, setup: address, hedge_manager: address):
    roles.__init__(admin, setup)
    HEDGE_MANAGER = IHedgeManager(hedge_manager)


# ------------------------------------------------------------------ the agent


@external
def hedge(
    mandate_id: uint256, venue_id: uint256, market: uint256, size: int256, limit_price: uint256
) -> IHedgeManager.Outcome:
    """
    @notice HedgeManager.rebalance, paid at the mandate's share.
    @param  market the venue's market; a guard against a wrong id
    @param  size [base, WAD] change of exposure; > 0 buys
    @param  limit_price [quote/base, WAD] worst average price, fee included; max_value / 0 leave it to the bands
    @return what was measured and paid
    """
    mandate: IMandates.Mandate = self._load(mandate_id)
    assert msg.sender == mandate.agent, "mandates: not the agent"
    assert block.timestamp < mandate.expiry, "mandates: over"
    assert (mandate.venues >> venue_id) & 1 == 1, "mandates: venue not granted"
    outcome: IHedgeManager.Outcome = extcall HEDGE_MANAGER.rebalance_for(
        msg.sender, mandate.share_bps, venue_id, market, size, limit_price
    )
    # the mark of the hedge
    price: uint256 = (staticcall HEDGE_MANAGER.venue_state(venue_id)).price
    unit: uint256 = c.WAD * c.MICRO
    volume: uint256 = (signed.magnitude(outcome.filled) * price + unit - 1) // unit
    assert mandate.volume + volume <= mandate.size, "mandates: size spent"
    mandate.volume += volume
    mandate.hedges += 1
    mandate.cost += outcome.cost // c.MICRO
    mandate.fall += outcome.fall // c.MICRO
    mandate.reward += (outcome.reward + outcome.gas) // c.MICRO
    self._save_counters(mandate_id, mandate)
    log IMandates.Hedged(mandate_id=mandate_id, venue_id=venue_id, volume=volume, left=mandate.size - mandate.volume)
    return outcome


@external
def revoke(mandate_id: uint256):
    """
    @notice Ends a mandate now. Governor, guardian or its agent.
    """
    mandate: IMandates.Mandate = self._load(mandate_id)
    if msg.sender != mandate.agent:
        roles._check(roles.Role.GOVERNOR | roles.Role.GUARDIAN)
    assert block.timestamp < mandate.expiry, "mandates: over"
    mandate.expiry = block.timestamp
    self._save_terms(mandate_id, mandate)
    log IMandates.Revoked(mandate_id=mandate_id, by=msg.sender)


# ------------------------------------------------------------------ privileged


@external
def grant(agent: address, venues: uint256, size: uint256, expiry: uint256, share_bps: uint256) -> uint256:
    """
    @notice Registers a hedger. For other terms: revoke and grant anew.
    @param  venues bit i: venue i of HedgeManager, listed already
    @param  size [quote, MICRO] that it may fill in all
    @param  expiry [s] at most a year from now
    @param  share_bps [bps] of what a hedge frees beyond its cost, at most records.MAX_ETA_BPS
    @return its id
    """
    roles._check(roles.Role.SETUP | roles.Role.GOVERNOR)
    assert agent != empty(address), "mandates: no agent"
    assert venues != 0 and venues >> staticcall HEDGE_MANAGER.venue_count() == 0, "mandates: no such venue"
    assert size != 0 and size <= MASK_64, "mandates: size range"
    assert expiry > block.timestamp and expiry <= block.timestamp + MAX_TERM, "mandates: expiry range"
    assert share_bps <= records.MAX_ETA_BPS, "mandates: share range"
    mandate: IMandates.Mandate = empty(IMandates.Mandate)
    mandate.agent = agent
    mandate.venues = venues
    mandate.share_bps = share_bps
    mandate.expiry = expiry
    mandate.size = size
    mandate_id: uint256 = self.mandate_count
    self.mandate_count = mandate_id + 1
    self._save_terms(mandate_id, mandate)
    self._save_counters(mandate_id, mandate)
    log IMandates.Granted(
        mandate_id=mandate_id, agent=agent, venues=venues, size=size, expiry=expiry, share_bps=share_bps
    )
    return mandate_id


# ------------------------------------------------------------------ views


@view
@external
def mandate(mandate_id: uint256) -> IMandates.Mandate:
    """
    @return terms and counters; zeros for an id that does not exist
    """
    return self._load(mandate_id)


# ------------------------------------------------------------------ internal


@internal
@view
def _load(mandate_id: uint256) -> IMandates.Mandate:
    terms: uint256 = self._terms[mandate_id]
    use: uint256 = self._use[mandate_id]
    results: uint256 = self._results[mandate_id]
    return IMandates.Mandate(
        agent=convert(terms >> 72, address),
        venues=(terms >> 64) & (2**c.MAX_VENUES - 1),
        share_bps=(terms >> 48) & (2**16 - 1),
        expiry=terms & MASK_48,
        size=use >> 128,
        volume=(use >> 64) & MASK_64,
        hedges=use & MASK_64,
        cost=results >> 128,
        fall=(results >> 64) & MASK_64,
        reward=results & MASK_64,
    )


@internal
def _save_terms(mandate_id: uint256, mandate: IMandates.Mandate):
    """@dev `grant` has bounded them all; eight venues have eight bits."""
    self._terms[mandate_id] = (
        (convert(mandate.agent, uint256) << 72) | (mandate.venues << 64) | (mandate.share_bps << 48) | mandate.expiry
    )


@internal
def _save_counters(mandate_id: uint256, mandate: IMandates.Mandate):
    # 1.8e13 quote: more than there is of any
    assert mandate.cost <= MASK_64 and mandate.fall <= MASK_64 and mandate.reward <= MASK_64     # dev: counter range
    self._use[mandate_id] = (mandate.size << 128) | (mandate.volume << 64) | mandate.hedges
    self._results[mandate_id] = (mandate.cost << 128) | (mandate.fall << 64) | mandate.reward
