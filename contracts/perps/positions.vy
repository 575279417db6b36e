# pragma version 0.4.3
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Positions: one word per account and market, and the arithmetic of changing one
@notice Average cost: an increase adds its cost, a reduction takes the closed share of it, a flip closes whole and opens the
        rest. Every rounding is against the trader.
@dev    word: size i96 | cost i96 | index i56. An empty slot is an empty position.
"""

from contracts import constants as c
from contracts.math import signed


struct Position:
    size: int256        # [base, WAD] > 0 long
    cost: int256        # [quote, WAD] signed: what was paid for it at mark
    index: int256       # [1e-9 quote per base] index of its side when last touched

struct Touch:
    position: Position  # after
    realised: int256    # [quote, WAD] value of the closed part at mark minus its cost
    owed: int256        # [quote, WAD] accrued funding and borrow fee, rounded up
    claims: int256      # [1e-27 quote] change of the position's part of K


MAX_I96: constant(int256) = 2**95 - 1
MAX_I56: constant(int256) = 2**55 - 1
MASK_96: constant(uint256) = 2**96 - 1
MASK_56: constant(uint256) = 2**56 - 1
NANO: constant(int256) = 10**9                  # [WAD] unit of an index; WAD to 1e-27

# By account, then market: one hash per account.
words: HashMap[address, uint256[c.MAX_MARKETS]]


@internal
@view
def _load(account: address, market: uint256) -> Position:
    word: uint256 = self.words[account][market]
    return Position(
        size=convert(convert(word, bytes32), int256) >> 160,
        cost=convert(convert(word << 96, bytes32), int256) >> 160,
        index=convert(convert(word << 192, bytes32), int256) >> 200,
    )


@internal
def _save(account: address, market: uint256, position: Position):
    assert position.size <= MAX_I96 and position.size >= -MAX_I96, "perps: size range"
    assert position.cost <= MAX_I96 and position.cost >= -MAX_I96, "perps: cost range"
    # the index is within 56 bits: funding.vy asserts it before it stores it
    word: uint256 = convert(convert(position.size, bytes32), uint256) << 160
    word |= (convert(convert(position.cost, bytes32), uint256) & MASK_96) << 64
    word |= (convert(convert(position.index, bytes32), uint256) & MASK_56) << 8
    self.words[account][market] = word


@internal
@pure
def _accrued(position: Position, index_long: int256, index_short: int256) -> int256:
    """@return [1e-27 quote] what the position owes, exactly"""
    if position.size >= 0:
        return position.size * (index_long - position.index)
    return -position.size * (index_short - position.index)


@internal
@pure
def _owed(position: Position, index_long: int256, index_short: int256) -> int256:
    """@return [quote, WAD] what the position owes, rounded up"""
    return signed.ceil_div(self._accrued(position, index_long, index_short), NANO)


@internal
@pure
def _apply(
    position: Position, size_delta: int256, price: uint256, index_long: int256, index_short: int256
) -> Touch:
    """
    @notice The position after a trade at mark, what the trade realises, and what it changes in K.
    @dev    K is exact: what is taken from it is the exact accrual, what the trader pays is its ceiling.
    @param price [quote/base, WAD]
    """
    size: int256 = position.size
    cost: int256 = position.cost
    mark: int256 = convert(price, int256)
    accrued: int256 = self._accrued(position, index_long, index_short)
    realised: int256 = 0
    opened: int256 = size_delta
    if (size > 0) != (size_delta > 0) and size != 0:
        closed: int256 = size               # of the position, in its own sign
        cost_closed: int256 = cost
        if (size > 0 and -size_delta < size) or (size < 0 and -size_delta > size):
            closed = -size_delta
            cost_closed = signed.ceil_div(
                cost * convert(signed.magnitude(closed), int256), convert(signed.magnitude(size), int256)
            )
        realised = signed.mul_floor(closed, mark) - cost_closed
        cost -= cost_closed
        size -= closed
        opened = size_delta + closed
    if opened != 0:
        cost += signed.mul_ceil(opened, mark)
        size += opened
    index: int256 = 0
    if size > 0:
        index = index_long
    elif size < 0:
        index = index_short
    return Touch(
        position=Position(size=size, cost=cost, index=index),
        realised=realised,
        owed=signed.ceil_div(accrued, NANO),
        claims=(cost - position.cost) * NANO - accrued,
    )
