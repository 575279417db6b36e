# pragma version 0.4.3
# pragma evm-version cancun
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  MathHarness: the rounding of wad.vy, signed.vy and shares.vy, callable
@custom:kill Nothing to kill: never deployed outside tests.
"""

from contracts.math import signed
from contracts.math import wad
from contracts.vault import shares


@pure
@external
def products(x: uint256, y: uint256) -> (uint256, uint256):
    """@return x * y / WAD, down and up"""
    return wad.mul_down(x, y), wad.mul_up(x, y)


@pure
@external
def quotient(x: uint256, y: uint256) -> uint256:
    """@return x * WAD / y, up"""
    return wad.div_up(x, y)


@pure
@external
def thirds(x: uint256, y: uint256, z: uint256) -> (uint256, uint256):
    """@return x * y / z, down and up"""
    return wad.mul_div_down(x, y, z), wad.mul_div_up(x, y, z)


@pure
@external
def difference(x: uint256, y: uint256) -> uint256:
    return wad.sub_floor(x, y)


@pure
@external
def root(x: uint256) -> uint256:
    return wad.root_down(x)


@pure
@external
def signed_products(x: int256, y: int256) -> (int256, int256):
    """@return x * y / WAD toward minus and toward plus infinity"""
    return signed.mul_floor(x, y), signed.mul_ceil(x, y)


@pure
@external
def magnitude(x: int256) -> uint256:
    return signed.magnitude(x)


@pure
@external
def shrinking(change: int256, size: int256) -> int256:
    return signed.shrinking(change, size)


@pure
@external
def conversions(amount: uint256, supply: uint256, nav: uint256) -> (uint256, uint256, uint256):
    """@return shares that assets buy, down; assets that shares are worth, down; assets that shares cost, up"""
    return (
        shares._shares_down(amount, supply, nav),
        shares._assets_down(amount, supply, nav),
        shares._assets_up(amount, supply, nav),
    )


@pure
@external
def prices(nav: uint256, spread: uint256, reserve: uint256, potential: uint256) -> (uint256, uint256):
    """@return NAV at which deposits enter; NAV at which redemptions leave, with `reserve` for what is uncovered"""
    return shares._ask(nav, spread, reserve, potential), shares._bid(nav, spread, reserve)
