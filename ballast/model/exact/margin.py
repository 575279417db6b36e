"""Integer twin of ``contracts/clearing/Margin.vy`` and its module ``requirement.vy``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ballast.model.exact.fixed import BPS, WAD, mul_div_up, mul_floor, require
from ballast.model.exact.oracle import Mark
from ballast.model.exact.structs import Health, Leg

# ── requirement.vy ──


def value(size: int, cost: int, owed: int, price: int) -> int:
    """size · price - cost - owed [quote, WAD], rounded down."""
    return mul_floor(size, price) - cost - owed


def required(size: int, price: int, fraction_bps: int) -> int:
    """|size| · price · fraction [quote, WAD], rounded up."""
    return mul_div_up(abs(size) * price, fraction_bps, WAD * BPS)


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

    def health(self, account: str, now: int) -> Health:
        """Equity and requirements at the last accepted marks."""
        require(not self.clearinghouse.running, "clearing: in progress")
        return self.assess(account, *self.clearinghouse.account(account), now)

    def assess(self, account: str, cash: int, mask: int, now: int) -> Health:
        """``health`` with the ledger's words brought along."""
        equity, initial, maintenance = cash, 0, 0
        for leg in self.perp_engine.legs(account, mask, now):
            price = self.oracle.last(leg.market, now).price
            equity += value(leg.size, leg.cost, leg.owed, price)
            initial += required(leg.size, price, leg.initial_bps)
            maintenance += required(leg.size, price, leg.maintenance_bps)
        return Health(equity, initial, maintenance)

    def check_initial(self, account: str, cash: int, mask: int, now: int) -> bool:
        """Whether equity is at or above the initial requirement."""
        health = self.assess(account, cash, mask, now)
        return health.equity >= health.initial
