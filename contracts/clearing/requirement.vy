# pragma version 0.4.3
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Requirement: what a position adds to an account's equity, and what it asks the account to keep
@notice The one definition of both. Margin sums it over an account's positions; PerpEngine applies it by itself to an account
        whose only position it has just written. Of options only short ones have a requirement; it is simple and conservative:
        a long one, paid for, does not count before it is settled. Value rounds down, requirements round up.
"""

from contracts import constants as c
from contracts.math import signed
from contracts.math import wad


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


@internal
@pure
def _intrinsic(strike: uint256, is_put: bool, price: uint256) -> uint256:
    """@return [quote per unit of base, WAD] what exercise pays"""
    if is_put:
        return wad.sub_floor(strike, price)
    return wad.sub_floor(price, strike)


@internal
@pure
def _worth(size: int256, unit: uint256) -> int256:
    """
    @param size [base, WAD] > 0 long
    @param unit [quote per unit of base, WAD] price or payoff of the option
    @return [quote, WAD] rounded against the account
    """
    return signed.mul_floor(size, convert(unit, int256))


@internal
@pure
def _required_short(
    size: uint256, strike: uint256, is_put: bool, price: uint256, initial_bps: uint256, floor_bps: uint256
) -> uint256:
    """
    @notice Initial requirement of a short option besides its value.
    @dev    size has 104 bits, prices at most 97, fractions 14: the product stays under 2**215.
    @param size [base, WAD]
    @param initial_bps [bps of spot] less what the option is out of the money
    @param floor_bps [bps of spot] at least; a put never loses more than its strike
    @return [quote, WAD] rounded up
    """
    out_of_the_money: uint256 = wad.sub_floor(price, strike) if is_put else wad.sub_floor(strike, price)
    unit: uint256 = max(wad.sub_floor(price * initial_bps, out_of_the_money * c.BPS), price * floor_bps)
    if is_put:
        unit = min(unit, strike * c.BPS)
    return wad.mul_div_up(size, unit, c.WAD * c.BPS)
