# pragma version 0.4.3
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Signed division that says which way it rounds
@notice Vyper's `//` truncates toward zero. Money code names the direction instead: floor (toward minus infinity),
        ceil (toward plus infinity). The divisor is always positive.
"""

from contracts import constants as c


@internal
@pure
def floor_div(x: int256, y: int256) -> int256:
    """@notice x / y toward minus infinity; y > 0."""
    if x >= 0:
        return unsafe_div(x, y)                                     # y > 0
    # x + 1 <= 0, and its quotient is at least x + 1
    return unsafe_sub(unsafe_div(unsafe_add(x, 1), y), 1)


@internal
@pure
def ceil_div(x: int256, y: int256) -> int256:
    """@notice x / y toward plus infinity; y > 0."""
    if x <= 0:
        return unsafe_div(x, y)                                     # y > 0; truncation of x <= 0 is upward
    # x - 1 >= 0, and its quotient is at most x - 1
    return unsafe_add(unsafe_div(unsafe_sub(x, 1), y), 1)


@internal
@pure
def mul_floor(x: int256, y: int256) -> int256:
    """@notice x * y / WAD toward minus infinity."""
    return self.floor_div(x * y, c.SWAD)


@internal
@pure
def mul_ceil(x: int256, y: int256) -> int256:
    """@notice x * y / WAD toward plus infinity."""
    return self.ceil_div(x * y, c.SWAD)


@internal
@pure
def magnitude(x: int256) -> uint256:
    """@notice |x|."""
    if x < 0:
        return convert(-x, uint256)
    return convert(x, uint256)


@internal
@pure
def shrinking(change: int256, size: int256) -> int256:
    """@notice The part of a change that brings a size toward zero, not past it; 0 if it leads away."""
    if change < 0:
        return max(change, min(-size, 0))
    return min(change, max(-size, 0))
