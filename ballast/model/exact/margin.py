"""Integer twin of ``contracts/clearing/Margin.vy`` and its module ``requirement.vy``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ballast.model.exact.fixed import BPS, MARKETS, WAD, mul_div_up, mul_floor, require
from ballast.model.exact.option_book import OptionLeg
from ballast.model.exact.option_pricer import Point, premiums
from ballast.model.exact.oracle import Mark
from ballast.model.exact.structs import Health, Leg
from ballast.model.exact.vol_surface import Smile

# ── requirement.vy ──


def value(size: int, cost: int, owed: int, price: int) -> int:
    """size · price - cost - owed [quote, WAD], rounded down."""
    return mul_floor(size, price) - cost - owed


def required(size: int, price: int, fraction_bps: int) -> int:
    """|size| · price · fraction [quote, WAD], rounded up."""
    return mul_div_up(abs(size) * price, fraction_bps, WAD * BPS)


def intrinsic(strike: int, is_put: bool, price: int) -> int:
    """What exercise pays [quote per unit of base, WAD]."""
    return max(strike - price if is_put else price - strike, 0)


def worth(size: int, unit: int) -> int:
    """size · unit [quote, WAD], rounded against the account."""
    return mul_floor(size, unit)


def required_short(size: int, strike: int, is_put: bool, price: int, initial_bps: int, floor_bps: int) -> int:
    """Initial requirement of a short option besides its value [quote, WAD], rounded up."""
    out_of_the_money = max(price - strike if is_put else strike - price, 0)
    unit = max(price * initial_bps - out_of_the_money * BPS, price * floor_bps)
    if is_put:
        unit = min(unit, strike * BPS)
    return mul_div_up(size, unit, WAD * BPS)


# ── Margin.vy ──


class Ledger(Protocol):
    """What Margin asks of the Clearinghouse."""

    running: bool

    def account(self, owner: str) -> tuple[int, int]:
        """Cash and mask."""


class Engine(Protocol):
    """What Margin asks of PerpEngine."""

    def legs(self, account: str, mask: int, now: int) -> list[Leg]:
        """The account's positions, accrued to now."""


class OptionEngine(Protocol):
    """What Margin asks of OptionEngine."""

    def margin_bps(self, market: int) -> tuple[int, int, int]:
        """Initial, floor and maintenance."""


class OptionBook(Protocol):
    """What Margin asks of OptionBook."""

    def legs(self, account: str, now: int) -> list[OptionLeg]:
        """The account's options."""


class Surface(Protocol):
    """What Margin asks of VolSurface."""

    def smile(self, market: int, expiry: int, now: int) -> Smile:
        """What the surface says of one expiry."""


class Oracle(Protocol):
    """What Margin asks of PriceOracle."""

    def last(self, market: int, now: int) -> Mark:
        """The last recorded mark."""


@dataclass(slots=True)
class Margin:
    """Stateless, like the contract."""

    clearinghouse: Ledger
    perp_engine: Engine
    oracle: Oracle
    option_engine: OptionEngine | None = None
    option_book: OptionBook | None = None
    surface: Surface | None = None

    def health(self, account: str, now: int) -> Health:
        """Equity and requirements at the last accepted marks."""
        require(not self.clearinghouse.running, "clearing: in progress")
        return self.assess(account, *self.clearinghouse.account(account), now)

    def assess(self, account: str, cash: int, mask: int, now: int, *, takes: bool = False) -> Health:
        """``health`` with the ledger's words brought along; `takes` as the contract's ``_assess``."""
        equity, initial, maintenance = cash, 0, 0
        perpetuals = mask & MARKETS
        for leg in self.perp_engine.legs(account, perpetuals, now):
            price = self.oracle.last(leg.market, now).price
            equity += value(leg.size, leg.cost, leg.owed, price)
            initial += required(leg.size, price, leg.initial_bps)
            maintenance += required(leg.size, price, leg.maintenance_bps)
        if mask != perpetuals:
            assert self.option_engine is not None
            assert self.option_book is not None
            for option in self.option_book.legs(account, now):
                if option.settlement != 0:
                    equity += worth(option.size, intrinsic(option.strike, option.is_put, option.settlement))
                elif option.size < 0:
                    require(not takes or now < option.expiry, "margin: settle first")
                    price = self.oracle.last(option.market, now).price
                    equity += worth(option.size, self._mark(option, price, now))
                    initial_bps, floor_bps, maintenance_bps = self.option_engine.margin_bps(option.market)
                    needed = required_short(-option.size, option.strike, option.is_put, price, initial_bps, floor_bps)
                    initial += needed
                    maintenance += mul_div_up(needed, maintenance_bps, BPS)
        return Health(equity, initial, maintenance)

    def check_initial(self, account: str, cash: int, mask: int, now: int) -> bool:
        """Whether equity is at or above the initial requirement."""
        health = self.assess(account, cash, mask, now, takes=True)
        return health.equity >= health.initial

    def _mark(self, option: OptionLeg, price: int, now: int) -> int:
        """Black-76 price on the smile [quote per unit of base, WAD]."""
        assert self.surface is not None
        smile = self.surface.smile(option.market, option.expiry, now)
        point = Point(
            spot=price,
            seconds=max(option.expiry - now, 0),
            term=max(option.expiry - smile.timestamp, 0),
            theta=smile.theta,
            rate=smile.rate,
            rho=smile.rho,
            eta=smile.eta,
        )
        (premium,) = premiums(point, [option.strike])
        return premium.put if option.is_put else premium.call
