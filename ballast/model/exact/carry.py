"""Integer twin of ``contracts/hedge/Carry.vy``: what lenders charge for the hedge, as a part of perpetual funding.

What a venue's lender says (``Lending``) is an input; None stands for no answer or one that makes no sense.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ballast.model.exact.fixed import MAX_CARRY, MAX_MARKETS, WAD, YEAR, mul_down, mul_up, require, sub_floor, tdiv
from ballast.model.exact.oracle import ONE_27, Mark, forgetting
from ballast.model.exact.perps import Book

MIN_ELAPSED = 3_600
HALF_LIFE = 86_400
MAX_TIME = 6 * 3_600
MAX_GROWTH = 10 * WAD
MAX_AMOUNT = 2**95
MAX_INDEX = 2**128


@dataclass(frozen=True, slots=True)
class Lending:
    """ILendingVenue.Lending: indices [ray], what is lent (> 0) or owed (< 0) [base, WAD] and [quote, WAD]."""

    supply_index: int = 0
    borrow_index: int = 0
    base: int = 0
    quote: int = 0

    def sensible(self) -> bool:
        """Whether the contract takes it for an answer."""
        indices, amounts = (self.supply_index, self.borrow_index), (self.base, self.quote)
        return all(0 < index < MAX_INDEX for index in indices) and all(abs(x) < MAX_AMOUNT for x in amounts)


@dataclass(frozen=True, slots=True)
class Reading:
    """A venue's lender when it was last measured: indices [ray], time [s]."""

    supply_index: int = 0
    borrow_index: int = 0
    time: int = 0


@dataclass(frozen=True, slots=True)
class Rate:
    """[1/year, WAD], > 0: shorts pay; [s]."""

    rate: int = 0
    measured_at: int = 0


class Venue(Protocol):
    """What Carry asks of a venue and of its listing."""

    @property
    def market(self) -> int: ...
    @property
    def retired(self) -> bool: ...
    def lending(self) -> Lending | None: ...


class HedgeManager(Protocol):
    """What Carry asks of HedgeManager."""

    @property
    def venues(self) -> Sequence[Venue]: ...


class PerpEngine(Protocol):
    """What Carry asks of PerpEngine."""

    def book(self, market: int) -> Book: ...
    def set_carry(self, market: int, rate: int, now: int) -> None: ...


class Oracle(Protocol):
    """What Carry asks of PriceOracle."""

    def peek(self, market: int, now: int) -> Mark: ...


@dataclass(slots=True)
class Carry:
    """Twin of ``Carry.vy``. ``now`` is the block's time."""

    perp_engine: PerpEngine
    hedge_manager: HedgeManager
    oracle: Oracle
    readings: dict[int, Reading] = field(default_factory=dict)
    rates: dict[int, Rate] = field(default_factory=dict)

    def measure(self, market: int, now: int) -> int:
        """Measure what the market's venues have been charged and put it into funding [1/year, WAD]."""
        require(market < MAX_MARKETS, "perps: not listed")
        book, before = self.perp_engine.book(market), self.rates.get(market, Rate())
        elapsed = now - before.measured_at
        require(elapsed >= MIN_ELAPSED, "carry: measured already")
        price, net = self.oracle.peek(market, now).price, book.long - book.short
        one = sample(*self.charged(market, net, price, now), price)
        weight = forgetting(min(elapsed, MAX_TIME), HALF_LIFE)
        rate = tdiv(before.rate * (ONE_27 - weight) + (-one if net > 0 else one) * weight, ONE_27)
        self.rates[market] = Rate(rate, now)
        self.perp_engine.set_carry(market, rate, now)
        return rate

    def charged(self, market: int, net: int, price: int, now: int) -> tuple[int, int]:
        """Note where lenders stand; what they charged [quote per year, WAD], spread over what size [base, WAD]."""
        cost = hedged = 0
        for venue_id, venue in enumerate(self.hedge_manager.venues):
            if venue.market != market or venue.retired:
                continue
            charged, base = self._measure_venue(venue_id, venue.lending(), price, now)
            if net != 0 and base != 0 and (base > 0) == (net > 0):
                cost += charged
                hedged += abs(base)
        return cost, max(abs(net), hedged)

    def _measure_venue(self, venue_id: int, lending: Lending | None, price: int, now: int) -> tuple[int, int]:
        """What was charged since the last reading [quote per year, WAD], and the base held [base, WAD]."""
        if lending is None or not lending.sensible():
            return 0, 0
        before = self.readings.get(venue_id, Reading())
        self.readings[venue_id] = Reading(lending.supply_index, lending.borrow_index, now)
        if before.time == 0:
            return 0, lending.base
        elapsed = now - before.time
        earned = growth(before.supply_index, lending.supply_index, elapsed)
        charged = growth(before.borrow_index, lending.borrow_index, elapsed)
        worth = mul_down(abs(lending.base), price)
        lent = (worth if lending.base > 0 else 0) + max(lending.quote, 0)
        owed = (worth if lending.base <= 0 else 0) + max(-lending.quote, 0)
        return mul_down(owed, charged) - mul_up(lent, earned), lending.base


def sample(cost: int, size: int, price: int) -> int:
    """A cost [quote per year, WAD] spread over a size [base, WAD]: [1/year, WAD], rounded down, at most MAX_CARRY."""
    return min(cost * WAD // mul_up(size, price), MAX_CARRY) if cost > 0 else 0


def growth(before: int, now: int, elapsed: int) -> int:
    """Of an index [per year, WAD], simple interest, rounded down; 0 for one that falls, at most MAX_GROWTH."""
    return min(sub_floor(now, before) * WAD // before * YEAR // elapsed, MAX_GROWTH)
