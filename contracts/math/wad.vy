# pragma version 0.4.3
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Unsigned fixed-point arithmetic with the rounding in the name
@notice x * y / z without overflow protection beyond 256 bits: every quantity of the protocol fits 128 bits
        (the packed words assert it), so a product of two fits 256. Overflow reverts.
"""

from contracts import constants as c


@internal
@pure
def mul_down(x: uint256, y: uint256) -> uint256:
    """@notice x * y / WAD, rounded down."""
    return x * y // c.WAD


@internal
@pure
def mul_up(x: uint256, y: uint256) -> uint256:
    """@notice x * y / WAD, rounded up."""
    return (x * y + (c.WAD - 1)) // c.WAD


@internal
@pure
def div_up(x: uint256, y: uint256) -> uint256:
    """@notice x * WAD / y, rounded up."""
    return (x * c.WAD + (y - 1)) // y


@internal
@pure
def mul_div_down(x: uint256, y: uint256, z: uint256) -> uint256:
    """@notice x * y / z, rounded down."""
    return x * y // z


@internal
@pure
def mul_div_up(x: uint256, y: uint256, z: uint256) -> uint256:
    """@notice x * y / z, rounded up."""
    return (x * y + (z - 1)) // z


@internal
@pure
def sub_floor(x: uint256, y: uint256) -> uint256:
    """@notice max(0, x - y)."""
    if x > y:
        return unsafe_sub(x, y)         # x > y
    return 0


@internal
@pure
def root_down(x: uint256) -> uint256:
    """@notice sqrt(x), rounded down."""
    return isqrt(x * c.WAD)
