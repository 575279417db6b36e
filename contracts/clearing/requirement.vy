# pragma version 0.4.3
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Requirement: what a position adds to an account's equity, and what it asks the account to keep
@notice The one definition of both. Margin sums it over an account's positions; PerpEngine applies it by itself to an account
        whose only position it has just written. Value rounds down, requirements round up.
"""

from contracts import constants as c
from contracts.math import signed


@internal
@pure
def _value(size: int256, cost: int256, owed: int256, price: uint256) -> int256:
    """
    @param size [base, WAD] > 0 long
    @param cost [quote, WAD] signed entry cost
    @param owed [quote, WAD] accrued funding and borrow fee
    @param price [quote/base, WAD]
    @return [quote, WAD] size * price - cost - owed, rounded down
    """
    # size, price and cost have 96 bits, owed is below 2**123
    value: int256 = signed.floor_div(unsafe_mul(size, convert(price, int256)), c.SWAD)
    return unsafe_sub(unsafe_sub(value, cost), owed)


@internal
@pure
def _required(size: int256, price: uint256, fraction_bps: uint256) -> uint256:
    """
    @param fraction_bps [bps of notional] at most 10,000
    @return [quote, WAD] |size| * price * fraction, rounded up
    """
    # size has 96 bits, price 96, the fraction 14: the product stays under 2**206
    product: uint256 = unsafe_mul(unsafe_mul(convert(abs(size), uint256), price), fraction_bps)
    return unsafe_div(unsafe_add(product, c.WAD * c.BPS - 1), c.WAD * c.BPS)
