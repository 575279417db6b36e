"""Exact twin of ``contracts/testing/HedgeVenueDouble.vy``: a venue that behaves as an action tells it to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from ballast.model.exact.fixed import BPS, WAD, Reverted, require
from ballast.model.exact.hedge import VenueParams
from ballast.model.exact.hedge_manager import Market, Prices, Venue
from ballast.testing.hedge_world import Manner

FEE = 5 * 10**14  # 5 bp
HONEST = Manner(0)
WORD_OF_ONES = 2**256 - 1
NOWHERE = cast(Market, None)  # no market but its own

# Answers that the manager takes for none, and a direct question for a revert; the first has a reason.
DEAF = Manner.VIEWS_REVERT | Manner.VIEWS_BURN_GAS | Manner.VIEWS_SILENT


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

    def exposure(self) -> int:
        answer = 0 if Manner.LOSES_ALL in self.manners else self.held + self.skew
        self._check_answers()
        if Manner.VIEWS_GARBAGE in self.manners:
            return -1
        return 0 if Manner.VIEWS_SHOUT in self.manners else answer

    def equity(self, price: int) -> int:
        amount = 0
        if self.held > 0 and Manner.LOSES_ALL not in self.manners:
            amount = self.held * price // WAD * self.told_bps // BPS
        if Manner.INVENTS_EQUITY in self.manners and self.traded:
            amount += amount // 10
        self._check_answers()
        if Manner.VIEWS_GARBAGE in self.manners:
            return WORD_OF_ONES
        return 0 if Manner.VIEWS_SHOUT in self.manners else amount

    def read(self, price: int) -> tuple[int, int] | None:
        return None if self.manners & DEAF else Venue.read(self, price)

    def read_equity(self, price: int) -> int:
        return 0 if self.manners & DEAF else Venue.read_equity(self, price)

    def best_route(self, size: int) -> int:
        return 0

    def prices(self, route: int) -> Prices:
        return Prices(self.spot, self.twap, FEE)

    def funding(self, size: int, limit_price: int) -> int:
        if size <= 0:
            return 0
        return size * limit_price // WAD // self.quote_scale * (10 if Manner.ASKS_TOO_MUCH in self.manners else 1)

    # ---- what it does

    def rebalance(self, size: int, limit_price: int, route: int) -> tuple[int, int, Prices]:
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
        return (2 if Manner.OVERSTATES in self.manners else 1) * filled, sent, self.prices(route)

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
        require(Manner.VIEWS_REVERT not in self.manners, "double: broken")
        if self.manners & DEAF:
            raise Reverted("")
