# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  PerpMathHarness: the unchecked arithmetic of positions, funding and margin, callable
@notice For tests at the ends of the packed ranges, where no market can be driven.
@custom:kill Nothing to kill: never deployed outside tests.
"""

from contracts.clearing import requirement
from contracts.math import signed
from contracts.perps import funding
from contracts.perps import positions

initializes: funding
initializes: positions


@external
@pure
def accrue(book: funding.Book, price: uint256, now: uint256) -> funding.Book:
    return funding._accrue(book, price, now)


@external
def store_book(book: funding.Book) -> funding.Book:
    """@return what is read back"""
    funding._save(0, book)
    return funding._load(0)


@external
@pure
def apply(
    position: positions.Position, size_delta: int256, price: uint256, index_long: int256, index_short: int256
) -> positions.Touch:
    return positions._apply(position, size_delta, price, index_long, index_short)


@external
def store_position(position: positions.Position) -> positions.Position:
    """@return what is read back"""
    positions._save(msg.sender, 15, position)
    return positions._load(msg.sender, 15)


@external
@pure
def requirement_of(
    size: int256, cost: int256, owed: int256, price: uint256, fraction_bps: uint256
) -> (int256, uint256):
    return requirement._value(size, cost, owed, price), requirement._required(size, price, fraction_bps)


@external
@pure
def divide(x: int256, y: int256) -> (int256, int256):
    """@return x / y toward minus and toward plus infinity"""
    return signed.floor_div(x, y), signed.ceil_div(x, y)
