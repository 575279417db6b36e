# pragma version 0.4.3
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Requirement: what a position adds to an account's equity, and what it asks the account to keep
@notice The one definition of a perpetual's. Margin sums it over an account's markets, and replaces the loss by that of
        its scenarios where there are options; PerpEngine applies it by itself to an account whose only position it has
        just written. Value rounds down, requirements round up.
"""

from contracts import constants as c
from contracts.math import signed
from contracts.math import wad

# What inventory is charged at the margin, of notional and per unit of annual volatility: lambda kappa sqrt(h) at the default
# parameters of the potential, 8 * 0.1 * sqrt(1 / 365). [sqrt year, WAD]
EXIT: constant(uint256) = 42 * 10**15


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
def _exit_cost(size: int256, price: uint256, sigma: uint256, cap: uint256) -> uint256:
    """
    @notice What closing would cost, the change of the potential included: nothing for a dust position, the most that
            the potential charges for one as large as the open interest may be.
    @dev    Notional has at most 132 bits, sigma 64, EXIT 56; below a cap of 104 bits, cost * notional has 211.
    @param sigma [1/sqrt(year), WAD]
    @param cap [quote, WAD] on the open interest of a side
    @return [quote, WAD] notional * sigma * EXIT * min(1, notional / cap), rounded up
    """
    value: uint256 = unsafe_mul(convert(abs(size), uint256), price)
    notional: uint256 = unsafe_div(unsafe_add(value, c.WAD - 1), c.WAD)
    cost: uint256 = unsafe_div(
        unsafe_add(unsafe_mul(notional, unsafe_mul(sigma, EXIT)), c.WAD * c.WAD - 1), c.WAD * c.WAD
    )
    if notional < cap:
        cost = unsafe_div(unsafe_add(unsafe_mul(cost, notional), unsafe_sub(cap, 1)), cap)
    return cost


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
