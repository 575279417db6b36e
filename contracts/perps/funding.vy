# pragma version 0.4.3
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Funding: open interest, accrual indices and claims of every perpetual market, two words each
@notice index_side is the cumulative amount that one unit of base on that side has owed since listing, funding and borrow
        fee together. What payers are charged is rounded up, what receivers get is rounded down and never exceeds it in
        sum: LPs keep the difference and never pay.

        claims K is what traders owe the vault before marks: exactly the sum over positions of
        cost * 1e9 + |size| * (index_side - index at entry), integers at 1e-27 quote (I2). The vault's perp book is
        K/1e9 - (long - short) * price.
@dev    word a   long u92 | short u92 | time u32 | funding i24 [1e-6/year] | borrow u16 [1e-5/year]
        word b   claims i144 [1e-27 quote] | index_long i56 | index_short i56 [1e-9 quote per base]
        At 75 % funding on a base worth 100,000 quote an index lasts 480 years.
"""

from contracts import constants as c
from contracts.math import signed


struct Book:
    long: uint256           # [base, WAD] open interest
    short: uint256          # [base, WAD] open interest
    time: uint256           # [s] accrued until
    funding_rate: int256    # [1/year, WAD] > 0: shorts pay
    borrow_rate: uint256    # [1/year, WAD] both sides pay
    claims: int256          # [1e-27 quote]
    index_long: int256      # [1e-9 quote per base]
    index_short: int256     # [1e-9 quote per base]


FUNDING_UNIT: constant(int256) = 10**12         # [WAD]
BORROW_UNIT: constant(uint256) = 10**13         # [WAD]
MAX_FUNDING: constant(int256) = 2**23 - 1       # [1e-6/year]
MAX_BORROW: constant(uint256) = 2**16 - 1       # [1e-5/year]
MAX_I144: constant(int256) = 2**143 - 1
MAX_I56: constant(int256) = 2**55 - 1
MASK_92: constant(uint256) = 2**92 - 1
MASK_56: constant(uint256) = 2**56 - 1
MASK_24: constant(uint256) = 2**24 - 1
MASK_32: constant(uint256) = 2**32 - 1
MASK_16: constant(uint256) = 2**16 - 1
# rate [WAD] * price [WAD] * seconds / this = [1e-9 quote per base]
ACCRUAL_DIVISOR: constant(uint256) = c.YEAR * 10**27

# Open interest, clock and rates.
words_a: uint256[c.MAX_MARKETS]
# Claims and indices.
words_b: uint256[c.MAX_MARKETS]


@internal
@view
def _load(market: uint256) -> Book:
    a: uint256 = self.words_a[market]
    b: uint256 = self.words_b[market]
    return Book(
        long=a >> 164,
        short=(a >> 72) & MASK_92,
        time=(a >> 40) & MASK_32,
        funding_rate=(convert(convert(a << 216, bytes32), int256) >> 232) * FUNDING_UNIT,
        borrow_rate=(a & MASK_16) * BORROW_UNIT,
        claims=convert(convert(b, bytes32), int256) >> 112,
        index_long=convert(convert(b << 144, bytes32), int256) >> 200,
        index_short=convert(convert(b << 200, bytes32), int256) >> 200,
    )


@internal
def _save(market: uint256, book: Book):
    """@dev Rates are whole units: `_stored_funding` and `_stored_borrow` made them so."""
    assert book.long <= MASK_92 and book.short <= MASK_92, "perps: open interest range"
    assert book.claims <= MAX_I144 and book.claims >= -MAX_I144     # dev: under 1.1e16 quote
    assert book.index_long <= MAX_I56 and book.index_long >= -MAX_I56, "perps: index range"
    assert book.index_short <= MAX_I56 and book.index_short >= -MAX_I56, "perps: index range"
    a: uint256 = book.long << 164
    a |= book.short << 72
    a |= book.time << 40
    a |= (convert(convert(book.funding_rate // FUNDING_UNIT, bytes32), uint256) & MASK_24) << 16
    a |= book.borrow_rate // BORROW_UNIT
    self.words_a[market] = a
    b: uint256 = convert(convert(book.claims, bytes32), uint256) << 112
    b |= (convert(convert(book.index_long, bytes32), uint256) & MASK_56) << 56
    b |= convert(convert(book.index_short, bytes32), uint256) & MASK_56
    self.words_b[market] = b


@internal
@pure
def _accrue(book: Book, price: uint256, now: uint256) -> Book:
    """
    @notice Moves the indices and claims from `book.time` to `now` at the stored rates and this mark.
    @param price [quote/base, WAD]
    """
    if now == book.time:
        return book
    after: Book = book
    time: uint256 = now - book.time
    borrow: int256 = convert(self._owed_per_base(book.borrow_rate, price, time), int256)
    change_long: int256 = borrow
    change_short: int256 = borrow
    if book.funding_rate > 0 and book.short > 0:
        pay: uint256 = self._owed_per_base(convert(book.funding_rate, uint256), price, time)
        change_short += convert(pay, int256)
        change_long -= self._received_per_base(pay, book.short, book.long)
    elif book.funding_rate < 0 and book.long > 0:
        pay: uint256 = self._owed_per_base(convert(-book.funding_rate, uint256), price, time)
        change_long += convert(pay, int256)
        change_short -= self._received_per_base(pay, book.long, book.short)
    after.time = now
    after.index_long += change_long
    after.index_short += change_short
    after.claims += convert(book.long, int256) * change_long + convert(book.short, int256) * change_short
    return after


@internal
@pure
def _owed_per_base(rate: uint256, price: uint256, time: uint256) -> uint256:
    """@return [1e-9 quote per base] rounded up"""
    return (rate * price * time + (ACCRUAL_DIVISOR - 1)) // ACCRUAL_DIVISOR


@internal
@pure
def _received_per_base(pay: uint256, payers: uint256, receivers: uint256) -> int256:
    """@return [1e-9 quote per base] pay * min(1, payers/receivers) rounded down; 0 without receivers"""
    if receivers == 0:
        return 0
    if payers >= receivers:
        return convert(pay, int256)
    return convert(pay * payers // receivers, int256)


@internal
@pure
def _stored_funding(funding_rate: int256) -> int256:
    """@return [1/year, WAD] truncated toward zero to whole units, and kept in range rather than refused"""
    units: int256 = funding_rate // FUNDING_UNIT        # toward zero: nobody is charged for the rounding
    return max(-MAX_FUNDING, min(MAX_FUNDING, units)) * FUNDING_UNIT


@internal
@pure
def _stored_borrow(borrow_rate: uint256) -> uint256:
    """@return [1/year, WAD] rounded down to whole units, and kept in range rather than refused"""
    return min(borrow_rate // BORROW_UNIT, MAX_BORROW) * BORROW_UNIT


@internal
@pure
def _claims_wad(claims: int256) -> int256:
    """@return [quote, WAD] rounded down"""
    return signed.floor_div(claims, 10**9)
