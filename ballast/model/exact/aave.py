"""What ``contracts/hedge/AaveShortVenue.vy`` decides, in integers, to the wei.

Aave's and Uniswap's own arithmetic is not mirrored: what they say is an input (``Position``), what the venue makes of
it is here.
"""

from __future__ import annotations

from dataclasses import dataclass

from ballast.model.exact.carry import Lending
from ballast.model.exact.fixed import BPS, WAD, div_up, mul_down, mul_up, require, sub_floor

ROUNDING = 3  # [base token units]
MAX_FUNDING = 2
ACTIVE, FROZEN, PAUSED = 1 << 56, 1 << 57, 1 << 60  # in Aave's word of a reserve
_TO_WAD = WAD // BPS


@dataclass(frozen=True, slots=True)
class Venue:
    """What a venue was deployed with."""

    quote_scale: int  # [WAD per token unit]
    base_scale: int
    target_health: int  # [WAD]
    floor_health: int  # [WAD]
    pause_markdown_bps: int


@dataclass(frozen=True, slots=True)
class Position:
    """What tokens, pool and oracle say about a venue."""

    collateral: int  # aTokens [quote units]
    debt: int  # [base units]
    quote: int  # held [quote units]
    base: int  # held [base units]
    reserve: int  # quote that Aave can pay out [quote units]
    threshold_bps: int  # of quote
    collateral_value: int  # Aave's account data, in its base currency
    debt_value: int
    account_threshold_bps: int
    health: int  # [WAD]
    paused: bool


def exposure(v: Venue, p: Position) -> int:
    """Base held less base owed; debt that nothing secures is Aave's [base, WAD]."""
    return (p.base - (p.debt if p.collateral != 0 else 0)) * v.base_scale


def equity(v: Venue, p: Position, price: int) -> int:
    """What LPs own [quote, WAD], rounded down."""
    assets = (p.collateral + p.quote) * v.quote_scale + mul_down(p.base * v.base_scale, price)
    owed = mul_up(p.debt * v.base_scale, price) if p.collateral != 0 else 0
    worth = sub_floor(assets, owed)
    return worth * (BPS - v.pause_markdown_bps) // BPS if p.paused else worth


def cover(health: int, threshold_bps: int) -> int:
    """Collateral that a health needs per debt [WAD], rounded up."""
    require(threshold_bps != 0, "venue: quote is no collateral")
    return -(-health * BPS // threshold_bps)


def lacking(v: Venue, p: Position, owed: int, price: int) -> int:
    """Quote units to add for the target when `owed` base units are owed, rounded up; 0 halfway from the floor."""
    worth = mul_up(owed * v.base_scale, price)
    halfway = cover((v.target_health + v.floor_health) // 2, p.threshold_bps)
    if p.collateral * v.quote_scale >= mul_up(worth, halfway):
        return 0
    needed = mul_up(worth, cover(v.target_health, p.threshold_bps))
    return sub_floor(-(-needed // v.quote_scale), p.collateral)


def funding(v: Venue, p: Position, size: int, limit_price: int) -> int:
    """Quote units the manager must send before a step."""
    amount = abs(size) // v.base_scale
    step = mul_down(amount * v.base_scale, limit_price) // v.quote_scale
    if size > 0:
        return 0 if p.reserve >= step else step
    return min(sub_floor(lacking(v, p, p.debt + amount, limit_price), step), MAX_FUNDING * step)


def opened(v: Venue, size: int) -> int:
    """Base units sold by a step that opens."""
    amount = abs(size) // v.base_scale
    require(amount > ROUNDING, "venue: size too small")
    return amount - ROUNDING


def closed(p: Position, wanted: int) -> int:
    """Base units bought by a step that closes `wanted`; beyond the debt, the debt."""
    require(p.debt > p.base, "venue: nothing to buy back")
    if wanted >= p.debt - p.base:
        return p.debt - p.base
    require(wanted > ROUNDING, "venue: size too small")
    return wanted - ROUNDING


def recalled(v: Venue, p: Position, units: int, limit_price: int) -> int:
    """Base units to close for `units` of quote."""
    freed = limit_price * (cover(v.target_health, p.threshold_bps) - WAD) // WAD
    return min(div_up(units * v.quote_scale, freed) // v.base_scale, p.debt) + ROUNDING + 1


def spare(v: Venue, p: Position, *, recalled: bool) -> int:
    """Collateral that goes home after a closing [quote units]."""
    units = p.collateral
    if p.debt_value != 0:
        if not recalled and p.health <= v.target_health + (v.target_health - v.floor_health) // 2:
            return 0
        kept = p.debt_value * v.target_health // (p.account_threshold_bps * _TO_WAD) + 1
        units = units * sub_floor(p.collateral_value, kept) // p.collateral_value
    units = min(units, p.reserve)
    return units if units > ROUNDING else 0


def strain(v: Venue, p: Position) -> int:
    """What anyone may close because health is below the floor [base, WAD]."""
    if p.debt_value == 0 or p.collateral_value == 0 or p.health >= v.floor_health:
        return 0
    threshold = p.account_threshold_bps * _TO_WAD
    short = p.debt_value * v.target_health - p.collateral_value * threshold
    amount = min(p.debt * short // ((v.target_health - threshold) * p.debt_value), p.debt)
    return (amount + ROUNDING + 1) * v.base_scale


def lending(v: Venue, p: Position, supply_index: int, borrow_index: int) -> Lending:
    """Aave's indices [ray], and what the venue has lent and owes."""
    owed = p.debt if p.collateral != 0 else 0
    return Lending(supply_index, borrow_index, -owed * v.base_scale, p.collateral * v.quote_scale)
