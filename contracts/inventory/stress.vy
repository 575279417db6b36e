# pragma version 0.4.3
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Stressed loss of one market
@notice The worst of the scenario P&Ls of docs/mechanism.md §1, floored at zero: linear in delta, plus the stored option vector.
        Rounded up to MICRO per market, so that the sum over markets is an exact integer.
"""

from contracts import constants as c
from contracts.math import signed

LINEAR_UNIT: constant(uint256) = c.WAD * c.WAD * c.MICRO


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
    @param stress [MICRO quote] option P&L of each scenario beyond delta.
    @return [MICRO quote].
    """
    dollar_delta: int256 = delta * convert(price, int256) // c.SWAD
    worst: int256 = 0
    shocks: int256[c.N_STRESS] = c.SPOT_SHOCKS
    for i: uint256 in range(c.N_STRESS):
        pnl: int256 = dollar_delta * shocks[i] // c.SWAD + stress[i] * convert(c.MICRO, int256)
        if pnl < worst:
            worst = pnl
    if worst == 0:
        return 0
    # one wei up for each of the two truncations above
    return (convert(-worst, uint256) + 2 + (c.MICRO - 1)) // c.MICRO
