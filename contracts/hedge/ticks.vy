# pragma version 0.4.3
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Uniswap v3 prices in WAD
@notice A pool quotes token1 per token0 in raw token units: spot as sqrt(price) * 2^96, history as ticks, price = 1.0001^tick.
        Here both become [quote/base, WAD] for either order of the two tokens. `gap` = decimals of base - decimals of quote.
@dev    Intermediate products use 512 bits (snekmate), so no price a pool can reach overflows for tokens of 0 to 18 decimals.
        Python mirror: ballast/model/exact/hedge.py.
"""

from contracts.math import signed
from snekmate.utils import math

LN_TICK_36: constant(int256) = 99995000333308335333166680951131    # ln(1.0001) * 1e36
LN_TEN_36: constant(int256) = 2302585092994045684017991454684364207    # ln(10) * 1e36


@internal
@pure
def _spot(sqrt_price_x96: uint256, base_is_token0: bool, gap: int256) -> uint256:
    """
    @notice Price of a pool whose slot0 holds this square root.
    @dev    sqrt < 2^160, so sqrt^2 / 2^64 < 2^256 is exact to 2^-128 of a raw unit. `unit` is 1e18 * 10^gap >= 1.
    @return [quote/base, WAD], rounded down
    """
    unit: uint256 = 10**convert(18 + gap, uint256)
    raw_x128: uint256 = math._mul_div(sqrt_price_x96, sqrt_price_x96, 2**64, False)
    if base_is_token0:
        return math._mul_div(raw_x128, unit, 2**128, False)
    return math._mul_div(2**128, unit, raw_x128, False)


@internal
@pure
def _average(ticks: int256, window: uint256, base_is_token0: bool, gap: int256) -> uint256:
    """
    @notice Geometric mean price over a window: exp((mean tick + 1/2) * ln 1.0001), decimals folded into the exponent
            so that no digits are lost to raw units.
    @param  ticks growth of the pool's tick accumulator over the window
    @param  window [s]
    @dev    The mean keeps its fraction of a tick. A pool records the floor of its tick, half a tick below the price on average;
            that half basis point is put back, else one side of every hedge would look dearer than it is.
    @return [quote/base, WAD]
    """
    seconds: int256 = convert(window, int256)
    exponent_36: int256 = signed.floor_div((2 * ticks + seconds) * LN_TICK_36, 2 * seconds)
    if not base_is_token0:
        exponent_36 = -exponent_36
    exponent_36 += gap * LN_TEN_36
    return convert(math._wad_exp(signed.floor_div(exponent_36, 10**18)), uint256)
