# pragma version 0.4.3
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Stressed loss of one market, and the word of its options' scenarios
@notice The worst of the scenario P&Ls of docs/mechanism.md §1, floored at zero: linear in delta, plus the stored option vector.
        Rounded up to MICRO per market, so that the sum over markets is an exact integer.
@dev    The word: 8 x i32 [STRESS_UNIT] in two's complement, the first scenario lowest; an empty slot is all zeros.
        Eight fields are written out wherever they are used: a loop costs three times as much.
"""

from contracts import constants as c
from contracts.math import signed

LINEAR_UNIT: constant(uint256) = c.WAD * c.WAD * c.MICRO
BIAS: constant(int256) = 2**31
MASK: constant(uint256) = 2**32 - 1


@internal
@pure
def linear_loss(delta: int256, price: uint256) -> uint256:
    """
    @notice Loss of a market without options in its worst scenario, rounded up.
    @return [MICRO quote].
    """
    shock: uint256 = c.WORST_DOWN
    if delta < 0:
        shock = c.WORST_UP
    # |delta| < 2^97, price < 2^96, shock < 2^59, LINEAR_UNIT < 2^160
    product: uint256 = unsafe_mul(unsafe_mul(signed.magnitude(delta), price), shock)
    return unsafe_div(unsafe_add(product, LINEAR_UNIT - 1), LINEAR_UNIT)


@internal
@pure
def vector_loss(delta: int256, price: uint256, stress: int256[c.N_STRESS]) -> uint256:
    """
    @notice Loss of a market with options in its worst scenario, rounded up.
    @dev    |delta| < 2^97, price < 2^96, shocks < 2^59, the vector's fields < 2^32 of 2^60: no value reaches 2^194.
    @param stress [STRESS_UNIT] option P&L of each scenario beyond delta.
    @return [MICRO quote].
    """
    dollars: int256 = unsafe_div(unsafe_mul(delta, convert(price, int256)), c.SWAD)
    # shocks to spot come in pairs, the last the first's opposite; in the two in the middle it does not move
    worst: int256 = min(0, unsafe_mul(min(stress[3], stress[4]), c.STRESS_UNIT))
    move: int256 = unsafe_div(unsafe_mul(dollars, c.SPOT_SHOCKS[7]), c.SWAD)
    worst = min(worst, unsafe_sub(unsafe_mul(stress[0], c.STRESS_UNIT), move))
    worst = min(worst, unsafe_add(unsafe_mul(stress[7], c.STRESS_UNIT), move))
    move = unsafe_div(unsafe_mul(dollars, c.SPOT_SHOCKS[6]), c.SWAD)
    worst = min(worst, unsafe_sub(unsafe_mul(stress[1], c.STRESS_UNIT), move))
    worst = min(worst, unsafe_add(unsafe_mul(stress[6], c.STRESS_UNIT), move))
    move = unsafe_div(unsafe_mul(dollars, c.SPOT_SHOCKS[5]), c.SWAD)
    worst = min(worst, unsafe_sub(unsafe_mul(stress[2], c.STRESS_UNIT), move))
    worst = min(worst, unsafe_add(unsafe_mul(stress[5], c.STRESS_UNIT), move))
    if worst == 0:
        return 0
    # one wei up for each of the two truncations above
    return unsafe_div(unsafe_add(convert(unsafe_sub(0, worst), uint256), c.MICRO + 1), c.MICRO)


@internal
@pure
def pack(stress: int256[c.N_STRESS]) -> uint256:
    """@notice The word of a vector [STRESS_UNIT]."""
    # shifted by BIAS, what fits is below 2^32, and what does not is not
    wide: int256 = (
        unsafe_add(stress[0], BIAS)
        | unsafe_add(stress[1], BIAS)
        | unsafe_add(stress[2], BIAS)
        | unsafe_add(stress[3], BIAS)
        | unsafe_add(stress[4], BIAS)
        | unsafe_add(stress[5], BIAS)
        | unsafe_add(stress[6], BIAS)
        | unsafe_add(stress[7], BIAS)
    )
    assert convert(convert(wide, bytes32), uint256) <= MASK, "stress: out of range"
    return (
        (convert(convert(stress[0], bytes32), uint256) & MASK)
        | ((convert(convert(stress[1], bytes32), uint256) & MASK) << 32)
        | ((convert(convert(stress[2], bytes32), uint256) & MASK) << 64)
        | ((convert(convert(stress[3], bytes32), uint256) & MASK) << 96)
        | ((convert(convert(stress[4], bytes32), uint256) & MASK) << 128)
        | ((convert(convert(stress[5], bytes32), uint256) & MASK) << 160)
        | ((convert(convert(stress[6], bytes32), uint256) & MASK) << 192)
        | (convert(convert(stress[7], bytes32), uint256) << 224)
    )


@internal
@pure
def unpack(word: uint256) -> int256[c.N_STRESS]:
    """@notice The vector of a word [STRESS_UNIT]."""
    return [
        convert(convert(word << 224, bytes32), int256) >> 224,
        convert(convert(word << 192, bytes32), int256) >> 224,
        convert(convert(word << 160, bytes32), int256) >> 224,
        convert(convert(word << 128, bytes32), int256) >> 224,
        convert(convert(word << 96, bytes32), int256) >> 224,
        convert(convert(word << 64, bytes32), int256) >> 224,
        convert(convert(word << 32, bytes32), int256) >> 224,
        convert(convert(word, bytes32), int256) >> 224,
    ]
