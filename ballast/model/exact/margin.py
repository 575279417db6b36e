"""Integer twin of ``contracts/clearing/Margin.vy``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ballast.model.exact.fixed import BPS, WAD, mul_div_up, mul_floor, require
from ballast.model.exact.oracle import Mark
from ballast.model.exact.structs import Health, Leg


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
            equity += mul_floor(leg.size, price) - leg.cost - leg.owed
            exposure = abs(leg.size) * price
            initial += mul_div_up(exposure, leg.initial_bps, WAD * BPS)
            maintenance += mul_div_up(exposure, leg.maintenance_bps, WAD * BPS)
        return Health(equity, initial, maintenance)

    def check_initial(self, account: str, cash: int, mask: int, now: int) -> bool:
        """Whether equity is at or above the initial requirement."""
        health = self.assess(account, cash, mask, now)
        return health.equity >= health.initial
