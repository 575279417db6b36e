"""Structs that the contracts exchange, as in ``interfaces/*.vyi``: same names, same fields, same units.

A struct that crosses a contract boundary is a value: nobody assigns to its fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def struct(kind: type[T]) -> type[T]:
    """A dataclass that is frozen for the type checker only: enforced while running, making one takes eight times as
    long, and a call of the twin makes dozens."""
    return dataclass(slots=True, unsafe_hash=True)(kind)


@struct
class Exposure:
    """IInventory.Exposure; the vault's."""

    delta: int = 0
    gamma: int = 0
    vega: int = 0


@struct
class Change:
    """IInventory.Change: what an engine reports to Inventory."""

    exposure: Exposure = Exposure()
    options: bool = False
    stress: tuple[int, ...] = (0,) * 8
    notional: int = 0
    book: int = 0
    vol_age: int = 0
    closing: bool = False


@struct
class Quote:
    """IInventory.Quote: what Inventory answers."""

    charge: int = 0
    half_spread: int = 0
    release: int = 0
    funding_rate: int = 0
    borrow_rate: int = 0
    potential_before: int = 0
    potential_after: int = 0
    boost: int = 0


@struct
class Settlement:
    """IClearinghouse.Settlement: what an operation moves at its end."""

    cash: int = 0
    reserve: int = 0
    fees: int = 0
    opened: int = 0
    closed: int = 0
    payables: int = 0


@struct
class Buckets:
    """IClearinghouse.Buckets."""

    lp: int
    reserve: int
    fees: int
    insurance: int
    protocol: int
    claims: int
    total_units: int
    payables: int


@struct
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


@struct
class Leg:
    """IPerpEngine.Leg."""

    market: int
    size: int
    cost: int
    owed: int
    initial_bps: int
    maintenance_bps: int
    cap_quote: int


@struct
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
