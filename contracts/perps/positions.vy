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


HALF_96: constant(int256) = 2**95
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
    """@dev The size is part of an open interest of 92 bits, which is saved first; the index is one that funding.vy keeps in range."""
    # 96 bits, two's complement: 2**95 more has no bit from 96 on
    assert unsafe_add(position.cost, HALF_96) >> 96 == 0, "perps: cost range"
    word: uint256 = convert(convert(position.size, bytes32), uint256) << 160
    word |= (convert(convert(position.cost, bytes32), uint256) & MASK_96) << 64
    word |= (convert(convert(position.index, bytes32), uint256) & MASK_56) << 8
    self.words[account][market] = word


@internal
@pure
def _accrued(position: Position, index_long: int256, index_short: int256) -> int256:
    """@return [1e-27 quote] what the position owes, exactly"""
    # a size of 96 bits times a difference of two indices of 56
    if position.size >= 0:
        return unsafe_mul(position.size, unsafe_sub(index_long, position.index))
    return unsafe_mul(position.size, unsafe_sub(position.index, index_short))


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
            Unchecked: size, cost and size_delta have 96 bits, price 96, so no product reaches 2**192, no quotient of one is larger,
            and the few sums of them stay below 2**255.
    @param size_delta [base, WAD] not 0
    @param price [quote/base, WAD]
    """
    size: int256 = position.size
    cost: int256 = position.cost
    mark: int256 = convert(price, int256)
    accrued: int256 = self._accrued(position, index_long, index_short)
    touch: Touch = empty(Touch)
    opened: int256 = size_delta
    if size != 0 and (size > 0) != (size_delta > 0):
        after: int256 = unsafe_add(size, size_delta)
        closed: int256 = size               # of the position, in its own sign
        cost_closed: int256 = cost
        if after != 0 and (after > 0) == (size > 0):
            closed = unsafe_sub(0, size_delta)
            # cost * closed / size: closed and size have one sign, so their magnitudes do
            cost_closed = signed.ceil_div(
                unsafe_mul(cost, abs(size_delta)), abs(size)
            )
        touch.realised = unsafe_sub(signed.floor_div(unsafe_mul(closed, mark), c.SWAD), cost_closed)
        cost = unsafe_sub(cost, cost_closed)
        size = unsafe_sub(size, closed)
        opened = unsafe_add(size_delta, closed)
    if opened != 0:
        cost = unsafe_add(cost, signed.ceil_div(unsafe_mul(opened, mark), c.SWAD))
        size = unsafe_add(size, opened)
    touch.position.size = size
    touch.position.cost = cost
    if size > 0:
        touch.position.index = index_long
    elif size < 0:
        touch.position.index = index_short
    touch.owed = signed.ceil_div(accrued, NANO)
    touch.claims = unsafe_sub(unsafe_mul(unsafe_sub(cost, position.cost), NANO), accrued)
    return touch
