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
        At 75 % funding on a base worth 100,000 quote an index lasts 480 years. An index at the end of its range stops: the
        market then accrues nothing, and every position can still be closed.
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
HALF_144: constant(int256) = 2**143
HALF_56: constant(int256) = 2**55
MASK_92: constant(uint256) = 2**92 - 1
MASK_56: constant(uint256) = 2**56 - 1
MASK_24: constant(uint256) = 2**24 - 1
MASK_32: constant(uint256) = 2**32 - 1
MASK_16: constant(uint256) = 2**16 - 1
# rate [WAD] * price [WAD] * seconds / this = [1e-9 quote per base]
ACCRUAL_DIVISOR: constant(int256) = 365 * 86_400 * 10**27

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
        # 24 and 16 bits times 1e13
        funding_rate=unsafe_mul(convert(convert(a << 216, bytes32), int256) >> 232, FUNDING_UNIT),
        borrow_rate=unsafe_mul(a & MASK_16, BORROW_UNIT),
        claims=convert(convert(b, bytes32), int256) >> 112,
        index_long=convert(convert(b << 144, bytes32), int256) >> 200,
        index_short=convert(convert(b << 200, bytes32), int256) >> 200,
    )


@internal
def _save(market: uint256, book: Book):
    """
    @dev Rates are whole units: `_stored_funding` and `_stored_borrow` made them so. Indices are in range: `_accrue` keeps them.
    """
    assert (book.long | book.short) >> 92 == 0, "perps: open interest range"
    # 144 bits, two's complement: 2**143 more has no bit from 144 on
    assert unsafe_add(book.claims, HALF_144) >> 144 == 0    # dev: under 1.1e16 quote
    a: uint256 = book.long << 164
    a |= book.short << 72
    a |= book.time << 40
    # the divisors are constants
    a |= (convert(convert(unsafe_div(book.funding_rate, FUNDING_UNIT), bytes32), uint256) & MASK_24) << 16
    a |= unsafe_div(book.borrow_rate, BORROW_UNIT)
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
    @dev    Unchecked: rates are below 2**63 (their fields times 1e13), price below 2**96 (the oracle's), time below 2**40, so an
            accrual is below 2**199 / 2**114 = 2**85; open interest is below 2**92, indices below 2**55, claims below 2**143.
    @param price [quote/base, WAD]
    """
    if now == book.time:
        return book
    price_time: int256 = convert(unsafe_mul(price, unsafe_sub(now, book.time)), int256)     # time does not run back
    change_long: int256 = self._per_base(convert(book.borrow_rate, int256), price_time)
    change_short: int256 = change_long
    if book.funding_rate > 0 and book.short != 0:
        pay: int256 = self._per_base(book.funding_rate, price_time)
        change_short = unsafe_add(change_short, pay)
        change_long = unsafe_sub(change_long, self._received(pay, book.short, book.long))
    elif book.funding_rate < 0 and book.long != 0:
        pay: int256 = self._per_base(unsafe_sub(0, book.funding_rate), price_time)
        change_long = unsafe_add(change_long, pay)
        change_short = unsafe_sub(change_short, self._received(pay, book.long, book.short))
    index_long: int256 = unsafe_add(book.index_long, change_long)
    index_short: int256 = unsafe_add(book.index_short, change_short)
    book.time = now
    # 56 bits, two's complement: 2**55 more has no bit from 56 on
    if (unsafe_add(index_long, HALF_56) | unsafe_add(index_short, HALF_56)) >> 56 != 0:
        return book         # neither side moves: receivers never get what payers were not charged
    book.index_long = index_long
    book.index_short = index_short
    book.claims = unsafe_add(
        book.claims,
        unsafe_add(
            unsafe_mul(convert(book.long, int256), change_long), unsafe_mul(convert(book.short, int256), change_short)
        ),
    )
    return book


@internal
@pure
def _per_base(rate: int256, price_time: int256) -> int256:
    """@return [1e-9 quote per base] rounded up; both arguments >= 0, with the bounds of `_accrue`"""
    return unsafe_div(unsafe_add(unsafe_mul(rate, price_time), ACCRUAL_DIVISOR - 1), ACCRUAL_DIVISOR)


@internal
@pure
def _received(pay: int256, payers: uint256, receivers: uint256) -> int256:
    """@return [1e-9 quote per base] pay * min(1, payers/receivers) rounded down; 0 without receivers"""
    if payers >= receivers:
        return pay if receivers != 0 else 0
    # pay is below 2**85, interests below 2**92, receivers > 0
    return unsafe_div(unsafe_mul(pay, convert(payers, int256)), convert(receivers, int256))


@internal
@pure
def _stored_funding(funding_rate: int256) -> int256:
    """@return [1/year, WAD] truncated toward zero to whole units, and kept in range rather than refused"""
    units: int256 = unsafe_div(funding_rate, FUNDING_UNIT)      # toward zero: nobody is charged for the rounding
    return unsafe_mul(max(-MAX_FUNDING, min(MAX_FUNDING, units)), FUNDING_UNIT)     # 24 bits times 1e12


@internal
@pure
def _stored_borrow(borrow_rate: uint256) -> uint256:
    """@return [1/year, WAD] rounded down to whole units, and kept in range rather than refused"""
    return unsafe_mul(min(unsafe_div(borrow_rate, BORROW_UNIT), MAX_BORROW), BORROW_UNIT)       # 16 bits times 1e13


@internal
@pure
def _claims_wad(claims: int256) -> int256:
    """@return [quote, WAD] rounded down"""
    return signed.floor_div(claims, 10**9)
