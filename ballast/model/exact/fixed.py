"""Integer arithmetic of the contracts: the same names, the same rounding, the same overflow bounds.

Mirrors ``contracts/constants.vy``, ``contracts/math/wad.vy`` and ``contracts/math/signed.vy``.
Every quantity is an ``int`` at the scale its name says (WAD = 1e18 unless said otherwise).
"""

from __future__ import annotations

import math

WAD = 10**18
BPS = 10_000
YEAR = 365 * 86_400
MICRO = 10**12
STRESS_UNIT = WAD
MAX_MARKETS = 16
MARKETS = 2**MAX_MARKETS - 1
OPTION_BIT = 16
MAX_CARRY = 50 * 10**16
MAX_REWARD = 10 * WAD
WIDE = 50
SPOT_SHOCKS = tuple(x * 10**16 for x in (-50, -30, -15, 0, 0, 15, 30, 50))
VOL_SHOCKS = tuple(x * 10**16 for x in (60, 40, 20, 30, -30, 10, 30, 50))
WORST_DOWN = 50 * 10**16
WORST_UP = 50 * 10**16

UINT_MAX = 2**256 - 1
INT_MAX = 2**255 - 1
INT_MIN = -(2**255)


class Reverted(Exception):
    """The contract would revert here, with this reason."""


def require(condition: bool, reason: str) -> None:
    """Raise :class:`Reverted` with ``reason`` unless ``condition``."""
    if not condition:
        raise Reverted(reason)


def u256(x: int) -> int:
    """``x`` if it fits uint256, else a revert without a reason (Vyper's checked arithmetic)."""
    if 0 <= x <= UINT_MAX:
        return x
    raise Reverted("")


def s256(x: int) -> int:
    """``x`` if it fits int256, else a revert without a reason."""
    if INT_MIN <= x <= INT_MAX:
        return x
    raise Reverted("")


def mul_down(x: int, y: int) -> int:
    """x * y / WAD, rounded down."""
    return u256(x * y) // WAD


def mul_up(x: int, y: int) -> int:
    """x * y / WAD, rounded up."""
    return u256(x * y + WAD - 1) // WAD


def div_up(x: int, y: int) -> int:
    """x * WAD / y, rounded up."""
    return u256(x * WAD + y - 1) // y


def mul_div_down(x: int, y: int, z: int) -> int:
    """x * y / z, rounded down."""
    return u256(x * y) // z


def mul_div_up(x: int, y: int, z: int) -> int:
    """x * y / z, rounded up."""
    return u256(x * y + z - 1) // z


def sub_floor(x: int, y: int) -> int:
    """max(0, x - y)."""
    return x - y if x > y else 0


def floor_div(x: int, y: int) -> int:
    """Signed x / y toward minus infinity; y > 0."""
    return s256(x) // y


def ceil_div(x: int, y: int) -> int:
    """Signed x / y toward plus infinity; y > 0."""
    return -((-s256(x)) // y)


def tdiv(x: int, y: int) -> int:
    """Signed x / y toward zero; y > 0 (Vyper's ``//``)."""
    return x // y if x >= 0 else -((-x) // y)


def mul_floor(x: int, y: int) -> int:
    """Signed x * y / WAD toward minus infinity."""
    return s256(x * y) // WAD


def mul_ceil(x: int, y: int) -> int:
    """Signed x * y / WAD toward plus infinity."""
    return -(-s256(x * y) // WAD)


def shrinking(change: int, size: int) -> int:
    """The part of a change that brings a size toward zero, not past it; 0 if it leads away."""
    return max(change, min(-size, 0)) if change < 0 else min(change, max(-size, 0))


def root_down(x: int) -> int:
    """sqrt(x), rounded down."""
    return math.isqrt(u256(x * WAD))
