# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Carry: what holding the hedge costs is paid by the side that it is held for
@notice A venue that borrows is charged by its lender. Once an hour at most anyone may have that measured, from the growth of the
        lender's indices since the last measurement; smoothed, it becomes a part of perpetual funding:

            cost   = what the lender charged on what is owed, less what it paid on what is lent       [per year]
            sample = max(0, cost) / (price * max(|net position of traders|, hedge)),  at most MAX_CARRY
            rate   = rate * keep + sample * (1 - keep),  keep = 2^(-min(time, MAX_TIME) / HALF_LIFE)

        A short hedge is held for traders who are short on balance: shorts pay, and what longs do not receive of it is LPs'. Nobody
        pays more than what holding a hedge of just his position would cost; what the hedge is held for beyond perpetuals
        stays with LPs.

        Actors: anyone measures. There is no role, no admin and no parameter.
        Invariants: LPs never pay: an income counts as no cost. The rate is within MAX_CARRY; one measurement moves it by at most
        16 % of the way to its sample. A venue that does not answer, or not sensibly, counts as nothing and stops nothing.
@dev    Indices are the lender's own and time is the block's, so what is measured does not depend on when one measures; what is
        owed, lent and open does: docs/mechanism.md §8 says why moving that for a moment costs more than it brings. Venues are read
        through gas-bounded static calls.
@custom:kill Revoking HEDGER at PerpEngine stops `measure`; the rate of then stays until HEDGER is given to somebody who sets it.
"""

from interfaces import ICarry
from interfaces import IHedgeManager
from interfaces import ILendingVenue
from interfaces import IPerpEngine
from interfaces import IPriceOracle
from contracts import constants as c
from contracts.hedge import records
from contracts.math import signed
from contracts.math import wad
from contracts.oracle import variance
from contracts.perps import funding

implements: ICarry

interface IHedgeViews:
    def venue(venue_id: uint256) -> records.Listing: view

interface IEngineViews:
    def book(market: uint256) -> funding.Book: view

# A venue's lender when it was last measured.
struct Reading:
    supply_index: uint256   # [ray]
    borrow_index: uint256   # [ray]
    time: uint256           # [s]

struct Rate:
    rate: int256            # [1/year, WAD] > 0: shorts pay
    measured_at: uint256    # [s]

MIN_ELAPSED: constant(uint256) = 3_600          # [s]
HALF_LIFE: constant(uint256) = c.DAY            # [s]
MAX_TIME: constant(uint256) = 6 * 3_600         # [s] that one sample may stand for
MAX_GROWTH: constant(uint256) = 10 * c.WAD      # [1/year, WAD] of an index; beyond, it counts as this
# Answers beyond these are garbage: more than Inventory keeps of a market, and of indices what no lender reaches.
MAX_AMOUNT: constant(int256) = 2**95            # [WAD]
MAX_INDEX: constant(uint256) = 2**128           # [ray]
ONE_27: constant(int256) = 10**27               # [1e27] of weights
# Gas the view may burn. At Aave it takes 60,000.
VIEW_GAS: constant(uint256) = 250_000

PERP_ENGINE: public(immutable(IPerpEngine))
HEDGE_MANAGER: public(immutable(IHedgeManager))
ORACLE: public(immutable(IPriceOracle))

# By venue id.
readings: public(Reading[c.MAX_VENUES])
# By market.
rates: public(Rate[c.MAX_MARKETS])


@deploy
def __init__(perp_engine: address, hedge_manager: address, oracle: address):
    PERP_ENGINE = IPerpEngine(perp_engine)
    HEDGE_MANAGER = IHedgeManager(hedge_manager)
    ORACLE = IPriceOracle(oracle)


# ------------------------------------------------------------------ permissionless


@external
def measure(market: uint256) -> int256:
    """
    @notice Measures what the market's venues have been charged and puts it into funding. The first measurement of a venue only
            notes where its lender stands.
    @return [1/year, WAD] the rate from now on; > 0: shorts pay
    """
    book: funding.Book = staticcall IEngineViews(PERP_ENGINE.address).book(market)
    before: Rate = self.rates[market]
    elapsed: uint256 = block.timestamp - before.measured_at
    assert elapsed >= MIN_ELAPSED, "carry: measured already"
    price: uint256 = (staticcall ORACLE.peek(market)).price
    net: int256 = convert(book.long, int256) - convert(book.short, int256)
    cost: int256 = 0
    hedged: uint256 = 0
    for venue_id: uint256 in range(staticcall HEDGE_MANAGER.venue_count(), bound=c.MAX_VENUES):
        listing: records.Listing = staticcall IHedgeViews(HEDGE_MANAGER.address).venue(venue_id)
        if listing.market != market or listing.retired:
            continue
        charged: int256 = 0
        base: int256 = 0
        charged, base = self._measure_venue(venue_id, listing.venue, price)
        # held for the traders' net position, and not against it
        if net != 0 and base != 0 and (base > 0) == (net > 0):
            cost += charged
            hedged += signed.magnitude(base)

    size: uint256 = max(signed.magnitude(net), hedged)
    sample: int256 = self._sample(cost, size, price)
    if net > 0:
        sample = -sample
    weight: int256 = convert(variance.forgetting(min(elapsed, MAX_TIME), HALF_LIFE), int256)
    # rates are below 2**60 and weights below 2**90; toward zero: nobody is charged for the rounding
    rate: int256 = unsafe_div(before.rate * (ONE_27 - weight) + sample * weight, ONE_27)
    self.rates[market] = Rate(rate=rate, measured_at=block.timestamp)
    log ICarry.Measured(market=market, cost=cost, size=size, sample=sample, rate=rate)
    extcall PERP_ENGINE.set_carry(market, rate)
    return rate


# ------------------------------------------------------------------ internal


@internal
def _measure_venue(venue_id: uint256, venue: address, price: uint256) -> (int256, int256):
    """
    @notice Notes where the lender stands; nothing if the venue has none or does not answer sensibly.
    @return [quote per year, WAD] charged since the last reading; [base, WAD] held
    """
    answered: bool = False
    now: ILendingVenue.Lending = empty(ILendingVenue.Lending)
    answered, now = self._lending(venue)
    if not answered:
        return 0, 0
    before: Reading = self.readings[venue_id]
    self.readings[venue_id] = Reading(
        supply_index=now.supply_index, borrow_index=now.borrow_index, time=block.timestamp
    )
    if before.time == 0:
        return 0, now.base
    elapsed: uint256 = block.timestamp - before.time        # an hour or more: measurements of the market are that far apart
    earned: uint256 = self._growth(before.supply_index, now.supply_index, elapsed)
    charged: uint256 = self._growth(before.borrow_index, now.borrow_index, elapsed)
    lent: uint256 = 0
    owed: uint256 = 0
    worth: uint256 = wad.mul_down(signed.magnitude(now.base), price)
    if now.base > 0:
        lent = worth
    else:
        owed = worth
    if now.quote > 0:
        lent += signed.magnitude(now.quote)
    else:
        owed += signed.magnitude(now.quote)
    # amounts are below 2**134, growth below 2**64
    return (
        convert(wad.mul_down(owed, charged), int256) - convert(wad.mul_up(lent, earned), int256), now.base
    )


@internal
@pure
def _sample(cost: int256, size: uint256, price: uint256) -> int256:
    """
    @param  cost [quote per year, WAD]
    @param  size [base, WAD] that it is spread over
    @return [1/year, WAD] rounded down, at most MAX_CARRY
    """
    if cost <= 0:
        return 0
    # somebody is charged, so somebody owes: size is not 0
    rate: uint256 = convert(cost, uint256) * c.WAD // wad.mul_up(size, price)
    return convert(min(rate, convert(c.MAX_CARRY, uint256)), int256)


@internal
@pure
def _growth(before: uint256, now: uint256, elapsed: uint256) -> uint256:
    """@return [1/year, WAD] of an index [ray], simple interest, rounded down; 0 for one that falls, at most MAX_GROWTH"""
    return min(wad.sub_floor(now, before) * c.WAD // before * c.YEAR // elapsed, MAX_GROWTH)


@internal
@view
def _lending(venue: address) -> (bool, ILendingVenue.Lending):
    """
    @notice Asks a venue what its lender says, whatever the venue does.
    @dev    Nobody makes it look dead by sending too little gas: a view that lacks some leaves 1/64 of it, 4,000 at most, and what
            follows takes 100,000.
    @return whether it answered sensibly, the answer
    """
    nothing: ILendingVenue.Lending = empty(ILendingVenue.Lending)
    success: bool = False
    answer: Bytes[128] = b""
    success, answer = raw_call(
        venue,
        method_id("lending()"),
        max_outsize=128,
        gas=VIEW_GAS,
        is_static_call=True,
        revert_on_failure=False,
    )
    if not success or len(answer) != 128:
        return False, nothing
    now: ILendingVenue.Lending = abi_decode(answer, ILendingVenue.Lending)
    if now.supply_index == 0 or now.supply_index >= MAX_INDEX or now.borrow_index == 0 or now.borrow_index >= MAX_INDEX:
        return False, nothing
    if now.base <= -MAX_AMOUNT or now.base >= MAX_AMOUNT or now.quote <= -MAX_AMOUNT or now.quote >= MAX_AMOUNT:
        return False, nothing
    return True, now
