"""Integer twin of ``contracts/inventory/RebateAuction.vy``: what LPs pay on top of a rebate while U is outside.

Names, order and rounding are the contract's. Not mirrored: roles, packing. ``now`` is the block's timestamp.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from ballast.model.exact.fixed import BPS, MICRO, WAD, mul_div_up, mul_down, require, shrinking, sub_floor
from ballast.model.exact.structs import Exposure
from ballast.model.words import InventoryMarketParams

DAY = 86_400
NS = 10**9
BAND_UNIT = 10**9
MAX_BAND = BAND_UNIT // 20
MAX_RATE_BPS = 6_000
MIN_RAMP = 3_600
MAX_RAMP = 30 * DAY
MAX_BUDGET = 100_000 * 10**6


@dataclass(frozen=True, slots=True)
class Params:
    """``IRebateAuction.Params``; nothing is paid with these."""

    band: int = 0  # [1e-9 of E]
    max_rate_bps: int = 0
    ramp: int = 0  # [s]
    budget: int = 0  # [quote, MICRO]


@dataclass(frozen=True, slots=True)
class Offer:
    """``IRebateAuction.Offer``; money in WAD."""

    is_open: bool
    rises_at: int
    rate: int
    potential: int
    mark: int
    line: int
    left: int
    most: int


class Book(Protocol):
    """What the auction reads of the inventory's book [MICRO]."""

    capital: int
    last: int
    low: int
    low_prev: int
    auction_low: int


class Inventory(Protocol):
    """What the auction asks of the inventory twin."""

    @property
    def book(self) -> Book: ...
    def sync_all(self, now: int) -> None: ...
    def set_boosting(self, on: bool) -> None: ...


class Market(Protocol):
    """What the auction is told of a market: the vault's delta and vega, after a trade."""

    delta: int
    vega: int


class Ledger(Protocol):
    """What the auction asks of the clearinghouse twin."""

    def vault_ledger(self) -> tuple[int, int]: ...
    def subsidise(self, amount: int) -> None: ...
    def in_progress(self) -> bool: ...


@dataclass(slots=True)
class RebateAuction:
    """The auction of one deployment, mutable."""

    clearinghouse: Ledger
    inventory: Inventory
    params: Params = Params()
    since: int = 0  # [ns]
    used: int = 0  # [MICRO]
    used_at: int = 0  # [s]

    @property
    def is_open(self) -> bool:
        """Whether one is open."""
        return self.since != 0

    # ── permissionless ──

    def open(self, now: int) -> None:
        """Open an auction while U is outside the band, or anew one whose mark is more than half way to the line."""
        require(self.params.max_rate_bps != 0, "auction: disabled")
        require(not self.clearinghouse.in_progress(), "clearing: in progress")
        self.inventory.sync_all(now)
        book = self.inventory.book
        u, line = book.last * MICRO, self._line(book.capital * MICRO)
        require(u > line, "auction: inside the band")
        require(not self.is_open or (book.auction_low - 1) * MICRO <= (u + line) // 2, "auction: open")
        self.since = (now + DAY) * NS
        self.inventory.set_boosting(True)

    def close(self, now: int) -> None:
        """End the auction when U is inside the band, or nothing is paid any more."""
        require(self.is_open, "auction: not open")
        require(not self.clearinghouse.in_progress(), "clearing: in progress")
        if self.params.max_rate_bps != 0:
            self.inventory.sync_all(now)
            book = self.inventory.book
            require(book.last * MICRO <= self._line(book.capital * MICRO), "auction: outside the band")
        self.since = 0
        self.inventory.set_boosting(False)

    # ── inventory ──

    def pay(self, before: int, after: int, capital: int, amount: int, now: int) -> None:
        """Have LPs pay a boost, and take its part of the fall to the line off the clock."""
        way = before - self._line(capital)
        clock = self._clock(now)
        left = clock - mul_div_up(clock, min(before - after, way), way)
        self.since = now * NS - left
        self.used = self._used(now) + (amount + MICRO - 1) // MICRO
        self.used_at = now
        self.clearinghouse.subsidise(amount)

    # ── privileged ──

    def set_params(self, params: Params) -> None:
        """Change all parameters, inside the bounds."""
        good = (
            0 < params.band <= MAX_BAND
            and params.max_rate_bps <= MAX_RATE_BPS
            and MIN_RAMP <= params.ramp <= MAX_RAMP
            and params.budget <= MAX_BUDGET
        )
        require(good, "auction: bad parameter")
        self.params = params

    def disable(self) -> None:
        """Pay nothing from now on."""
        self.params = replace(self.params, max_rate_bps=0)

    # ── views ──

    def boost(
        self,
        top: int,
        after: int,
        capital: int,
        price: int,
        market: Market,
        x: Exposure,
        spreads: InventoryMarketParams,
        now: int,
    ) -> int:
        """What a trade is paid for lowering U from ``top`` to ``after``, rounded down [quote, WAD]."""
        bottom = max(after, self._line(capital))
        if not self.is_open or top <= bottom:
            return 0
        return min(self._share(top - bottom, now), cap(price, market, x, spreads), self._left(now))

    def offer(self, now: int) -> Offer:
        """What is paid and for what, at the marks and the E of the last trade or sync."""
        book = self.inventory.book
        u, line, left = book.last * MICRO, self._line(book.capital * MICRO), self._left(now)
        rate = mark = most = 0
        if self.is_open:
            rate = self._share(WAD, now)
            mark = min(book.low_prev, book.low, book.auction_low - 1) * MICRO
            most = min(self._share(sub_floor(mark, line), now), left)
        return Offer(self.is_open, self.since // NS, rate, u, mark, line, left, most)

    # ── internal ──

    def _line(self, capital: int) -> int:
        return self.params.band * capital // BAND_UNIT

    def _clock(self, now: int) -> int:
        return min(sub_floor(now * NS, self.since), self.params.ramp * NS)

    def _share(self, fall: int, now: int) -> int:
        return fall * self.params.max_rate_bps * self._clock(now) // (BPS * self.params.ramp * NS)

    def _used(self, now: int) -> int:
        return sub_floor(self.used, self.params.budget * (now - self.used_at) // DAY)

    def _left(self, now: int) -> int:
        lp_cash, _ = self.clearinghouse.vault_ledger()
        return min(sub_floor(self.params.budget, self._used(now)) * MICRO, max(lp_cash, 0))


def cap(price: int, market: Market, x: Exposure, spreads: InventoryMarketParams) -> int:
    """The floor of the half-spread on what a trade takes off its market's own delta and vega, rounded down [WAD]."""
    delta = shrinking(x.delta, market.delta - x.delta)
    vega = shrinking(x.vega, market.vega - x.vega)
    dollars = mul_down(abs(delta), price)
    return mul_down(dollars, spreads.base + spreads.floor) + mul_down(abs(vega), spreads.vol_floor)
