"""Structs that the contracts exchange, as in ``interfaces/*.vyi``: same names, same fields, same units.

Frozen: a struct that crosses a contract boundary is a value.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Exposure:
    """IInventory.Exposure; the vault's."""

    delta: int = 0
    gamma: int = 0
    vega: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """IInventory.Change: what an engine reports to Inventory."""

    exposure: Exposure = Exposure()
    options: bool = False
    stress: tuple[int, ...] = (0,) * 8
    notional: int = 0
    book: int = 0
    vol_age: int = 0
    closing: bool = False


@dataclass(frozen=True, slots=True)
class Quote:
    """IInventory.Quote: what Inventory answers."""

    charge: int = 0
    half_spread: int = 0
    release: int = 0
    funding_rate: int = 0
    borrow_rate: int = 0
    potential_before: int = 0
    potential_after: int = 0


@dataclass(frozen=True, slots=True)
class Settlement:
    """IClearinghouse.Settlement: what an operation moves at its end."""

    cash: int = 0
    reserve: int = 0
    fees: int = 0
    opened: int = 0
    closed: int = 0


@dataclass(frozen=True, slots=True)
class Buckets:
    """IClearinghouse.Buckets."""

    lp: int
    reserve: int
    fees: int
    insurance: int
    protocol: int
    claims: int
    total_units: int


@dataclass(frozen=True, slots=True)
class Health:
    """IMargin.Health."""

    equity: int
    initial: int
    maintenance: int


@dataclass(frozen=True, slots=True)
class MarketParams:
    """IPerpEngine.MarketParams."""

    initial_bps: int
    maintenance_bps: int
    fee_share_bps: int
    penalty_bps: int
    cap_base: int
    cap_quote: int
    min_size: int


@dataclass(frozen=True, slots=True)
class Leg:
    """IPerpEngine.Leg."""

    market: int
    size: int
    cost: int
    owed: int
    initial_bps: int
    maintenance_bps: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """IPerpEngine.Outcome: what a trade did."""

    price: int
    size: int
    cost: int
    realised: int
    owed: int
    half_spread: int
    charge: int
    fees: int
    cash: int
    funding_rate: int
    borrow_rate: int
