"""Exact twins of what only some worlds have: ``contracts/testing/HedgeVenueDouble.vy``, a venue that behaves as an
action tells it to, ``contracts/hedge/NullVenue.vy`` and ``contracts/testing/WideFeed.vy``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

from ballast.model.exact.fixed import BPS, WAD, Reverted, require
from ballast.model.exact.hedge import VenueParams
from ballast.model.exact.hedge_manager import Market, Prices, Venue
from ballast.model.exact.oracle import Feed, Round
from ballast.testing.hedge_world import Manner

FEE = 5 * 10**14  # 5 bp
HONEST = Manner(0)
WORD_OF_ONES = 2**256 - 1
NOWHERE = cast(Market, None)  # no market but its own

# Of several ways to answer badly the first is taken. The deaf are no answer to the manager, and a revert of a direct
# question; one gives a reason.
MOODS = (
    Manner.VIEWS_REVERT, Manner.VIEWS_BURN_GAS, Manner.VIEWS_GARBAGE, Manner.VIEWS_SILENT, Manner.VIEWS_SHOUT,
)  # fmt: skip
DEAF = (Manner.VIEWS_REVERT, Manner.VIEWS_BURN_GAS, Manner.VIEWS_SILENT)


@dataclass(slots=True)
class Double(Venue):
    """``held`` [base, WAD], ``spot`` and ``twap`` [quote/base, WAD]; the rest as in the contract."""

    manners: Manner = HONEST
    spot: int = 0
    twap: int = 0
    held: int = 0
    skew: int = 0
    told_bps: int = BPS
    traded: bool = False

    @classmethod
    def honest(cls, market: int, scale: int, params: VenueParams, price: int) -> Double:
        """As deployed; it is its own market."""
        return cls(market, 1, scale, NOWHERE, params, spot=price, twap=price)

    # ---- what it says

    @property
    def mood(self) -> Manner:
        """How its views answer."""
        return next((manner for manner in MOODS if manner in self.manners), HONEST)

    @property
    def deaf(self) -> bool:
        """Whether they do not."""
        return self.mood in DEAF

    def exposure(self) -> int:
        self._check_answers()
        if self.mood is Manner.VIEWS_GARBAGE:
            return -1
        if self.mood is Manner.VIEWS_SHOUT or Manner.LOSES_ALL in self.manners:
            return 0
        return self.held + self.skew

    def equity(self, price: int) -> int:
        amount = 0
        if self.held > 0 and Manner.LOSES_ALL not in self.manners:
            amount = self.held * price // WAD * self.told_bps
            require(amount <= WORD_OF_ONES, "")
            amount //= BPS
        if Manner.INVENTS_EQUITY in self.manners and self.traded:
            amount += amount // 10
        self._check_answers()
        if self.mood is Manner.VIEWS_GARBAGE:
            return WORD_OF_ONES
        return 0 if self.mood is Manner.VIEWS_SHOUT else amount

    def read(self, price: int) -> tuple[int, int] | None:
        try:
            return Venue.read(self, price)
        except Reverted:
            return None

    def read_equity(self, price: int) -> int:
        try:
            return Venue.read_equity(self, price)
        except Reverted:
            return 0

    def best_route(self, size: int) -> int:
        return 0

    def prices(self, route: int) -> Prices:
        return Prices(self.spot, self.twap, FEE)

    def funding(self, size: int, limit_price: int) -> int:
        if size <= 0:
            return 0
        return size * limit_price // WAD // self.quote_scale * (10 if Manner.ASKS_TOO_MUCH in self.manners else 1)

    # ---- what it does

    def rebalance(self, size: int, limit_price: int, route: int) -> tuple[int, Prices]:
        require(Manner.REFUSES not in self.manners, "double: refuses")
        filled = size
        if Manner.FILLS_HALF in self.manners:
            filled = (abs(size) // 2) * (1 if size > 0 else -1)
        if Manner.FILLS_NOTHING in self.manners:
            filled = 0
        if Manner.OVERFILLS in self.manners:
            filled = 2 * size
        notional = abs(filled) * self.spot // WAD
        kept = notional * FEE // WAD
        if Manner.OVERCHARGES in self.manners:
            kept += notional // 100
        sent = 0
        if size > 0:
            spent = min(-(-(notional + kept) // self.quote_scale), self.quote_units)
            if Manner.KEEPS in self.manners:
                spent = self.quote_units
            sent = self.quote_units - spent
            self.quote_units = 0
        elif Manner.KEEPS not in self.manners:
            sent = (notional - kept) // self.quote_scale
        if Manner.PAYS_MORE in self.manners:
            sent += notional // 100 // self.quote_scale
        self.held += filled
        self.traded = True
        if Manner.MOVES_PRICE in self.manners:
            self.spot = self.spot * 102 // 100
        if Manner.OVERSTATES in self.manners:
            self.skew += filled
        return sent, self.prices(route)

    def recall(self, units: int, limit_price: int, route: int) -> tuple[int, Prices]:
        require(Manner.REFUSES not in self.manners, "double: refuses")
        paid = units - units * FEE // WAD
        if Manner.OVERCHARGES in self.manners:
            paid -= units // 100
        if Manner.PAYS_MORE in self.manners:
            paid += units // 100
        if Manner.KEEPS in self.manners:
            paid = 0
        self.held -= units * self.quote_scale * WAD // self.spot
        if Manner.MOVES_PRICE in self.manners:
            self.spot = self.spot * 98 // 100
        return paid, self.prices(route)

    def _check_answers(self) -> None:
        """A direct question, whose failure is the caller's."""
        require(self.mood is not Manner.VIEWS_REVERT, "double: broken")
        require(not self.deaf, "")


@dataclass(slots=True)
class NullVenue(Venue):
    """Holds and is worth nothing, whatever it is sent, and refuses every trade."""

    @classmethod
    def of(cls, market: int, scale: int, params: VenueParams) -> NullVenue:
        """As deployed."""
        return cls(market, 1, scale, NOWHERE, params)

    def exposure(self) -> int:
        return 0

    def equity(self, price: int) -> int:
        return 0

    def best_route(self, size: int) -> int:
        raise Reverted("venue: null")


@dataclass(slots=True)
class WideFeed:
    """Another feed's rounds with a half-width of ``width_bps`` of the price."""

    feed: Feed
    width_bps: int = 0

    def latest(self, now: int) -> Round:
        """The other feed's newest round."""
        return self._wide(self.feed.latest(now))

    def round_at(self, round_id: int, now: int) -> Round:
        """The other feed's round of this id."""
        return self._wide(self.feed.round_at(round_id, now))

    def _wide(self, round_: Round) -> Round:
        return replace(round_, half_width=round_.price * self.width_bps // BPS)
