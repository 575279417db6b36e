# pragma version 0.4.3
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Storage of the inventory: packed words in, plain structs out
@notice Owns every slot of exposures, running sums and marks. `load_*` and `save_*` are the only code that knows
        where a bit lies; signed fields are stored with a bias of half their range. Everything else works on structs.
"""

from contracts import constants as c
from contracts.inventory import stress
from contracts.pricing import potential

struct Book:
    sums: potential.Sums
    loss: uint256           # [MICRO quote] sum over markets of the worst scenario, rounded up per market
    capital: uint256        # [MICRO quote] E of this block
    equity: uint256         # [MICRO quote] vault equity at this block's checkpoint
    opened_at: uint256      # [s] start of the block that was last opened
    value: int256           # [quote, WAD] what the vault holds beside LP cash: claims, marks, venues
    low_prev: uint256       # [MICRO quote] lowest U of the previous window
    low: uint256            # [MICRO quote] lowest U of this window
    opening: uint256        # [MICRO quote] U at the start of this block, lowered by hedges
    last: uint256           # [MICRO quote] U when the book was last saved
    coverage: uint256       # [1e-9] min(1, R/U) at the start of this block
    window_at: uint256      # [s] start of this window
    changed: bool           # an exposure has changed since the block was opened
    paid: bool              # and somebody may have been paid for it: a rebate, a hedge
    swept_at: uint256       # [s] when every active market was last synchronised in one go
    pending: uint256        # mask of markets whose previous round is older than this window
    active: uint256         # mask of markets with an exposure, or that had one earlier in the block of their last touch
    optioned: uint256       # mask of markets with vega, gamma or option stress
    auction_low: uint256    # [MICRO quote] 1 + lowest U since the rebate auction was opened; 0 while none is open


struct Market:
    delta: int256           # [base, WAD]
    price: uint256          # [quote/base, WAD] at the last re-mark
    sigma: uint256          # [1/sqrt(year), WAD] at the last re-mark
    vega: int256            # [quote per 1.00 vol, WAD]
    gamma: int256           # [base per quote, WAD]
    stress: int256[c.N_STRESS]      # [STRESS_UNIT] P&L of each scenario beyond delta
    optioned: bool


BIAS_64: constant(int256) = 2**63
BIAS_96: constant(int256) = 2**95
BIAS_128: constant(int256) = 2**127
MASK_16: constant(uint256) = 2**16 - 1
MASK_30: constant(uint256) = 2**30 - 1
MASK_32: constant(uint256) = 2**32 - 1
MASK_56: constant(uint256) = 2**56 - 1
MASK_64: constant(uint256) = 2**64 - 1
MASK_72: constant(uint256) = 2**72 - 1
MASK_96: constant(uint256) = 2**96 - 1
MASK_128: constant(uint256) = 2**128 - 1
AUCTION: constant(uint256) = 1 << 32    # bit of the capital word

# a i128 | p u128
_sum_delta: uint256
# loss u72 | capital u72 | equity u72 | auction u8 | opened_at u32
_sum_capital: uint256
# value i128 | low_prev u64 | low u64
_sum_value: uint256
# opening u56 | last u56 | coverage u30 | paid u1 | changed u1 | window_at u32 | swept_at u32 | pending u16 | active u16 | optioned u16
_sum_block: uint256
# b i64 | g i64 [MICRO] | gg u128: read and written only while a market has options
_sum_greeks: uint256
# auction_low: read and written only while an auction is open
_auction_low: uint256
# delta i96 | price u96 | sigma u63 | optioned 1 bit
_market: HashMap[uint256, uint256]
# vega i128 | gamma i128, and the word of scenario P&L: only while the optioned bit is set
_greeks: HashMap[uint256, uint256]
_stress: HashMap[uint256, uint256]


@internal
@pure
def _biased(x: int256, bias: int256) -> uint256:
    """@notice x + bias, which must lie in [0, 2 bias)."""
    y: int256 = unsafe_add(x, bias)     # wraps only to a negative number
    assert y >= 0 and y < unsafe_mul(2, bias), "inventory: out of range"
    return convert(y, uint256)


@internal
@pure
def _fits(x: uint256, mask: uint256):
    """@param x one field, or the `or` of several of the same width"""
    assert x <= mask, "inventory: out of range"


@internal
@view
def load_book() -> Book:
    b: Book = empty(Book)
    w: uint256 = self._sum_delta
    if w != 0:
        b.sums.a = unsafe_sub(convert(w >> 128, int256), BIAS_128)
        b.sums.p = w & MASK_128
    w = self._sum_capital
    b.loss = w >> 184
    b.capital = (w >> 112) & MASK_72
    b.equity = (w >> 40) & MASK_72
    b.opened_at = w & MASK_32
    if w & AUCTION != 0:
        b.auction_low = self._auction_low
    w = self._sum_value
    if w != 0:
        b.value = unsafe_sub(convert(w >> 128, int256), BIAS_128)
        b.low_prev = (w >> 64) & MASK_64
        b.low = w & MASK_64
    w = self._sum_block
    b.opening = w >> 200
    b.last = (w >> 144) & MASK_56
    b.coverage = (w >> 114) & MASK_30
    b.paid = (w >> 113) & 1 == 1
    b.changed = (w >> 112) & 1 == 1
    b.window_at = (w >> 80) & MASK_32
    b.swept_at = (w >> 48) & MASK_32
    b.pending = (w >> 32) & MASK_16
    b.active = (w >> 16) & MASK_16
    b.optioned = w & MASK_16
    if b.optioned != 0:
        w = self._sum_greeks
        b.sums.b = unsafe_mul(unsafe_sub(convert(w >> 192, int256), BIAS_64), c.SMICRO)
        b.sums.g = unsafe_mul(unsafe_sub(convert((w >> 128) & MASK_64, int256), BIAS_64), c.SMICRO)
        b.sums.gg = w & MASK_128
    return b


@internal
def save_book(b: Book):
    """@dev The greek word outlives the last option; nothing reads it until the next one writes it."""
    self._fits(b.sums.p, MASK_128)
    self._sum_delta = (self._biased(b.sums.a, BIAS_128) << 128) | b.sums.p
    self._fits(b.loss | b.capital | b.equity, MASK_72)
    w: uint256 = (b.loss << 184) | (b.capital << 112) | (b.equity << 40) | b.opened_at
    if b.auction_low != 0:
        w |= AUCTION
        self._auction_low = b.auction_low
    self._sum_capital = w
    self._fits(b.low_prev | b.low, MASK_64)
    self._sum_value = (self._biased(b.value, BIAS_128) << 128) | (b.low_prev << 64) | b.low
    self._fits(b.opening | b.last, MASK_56)
    self._sum_block = (
        (b.opening << 200)
        | (b.last << 144)
        | (b.coverage << 114)
        | (convert(b.paid, uint256) << 113)
        | (convert(b.changed, uint256) << 112)
        | (b.window_at << 80)
        | (b.swept_at << 48)
        | (b.pending << 32)
        | (b.active << 16)
        | b.optioned
    )
    if b.optioned != 0:
        self._fits(b.sums.gg, MASK_128)
        self._sum_greeks = (
            (self._biased(unsafe_div(b.sums.b, c.SMICRO), BIAS_64) << 192)
            | (self._biased(unsafe_div(b.sums.g, c.SMICRO), BIAS_64) << 128)
            | b.sums.gg
        )


@internal
@view
def load_market(market: uint256) -> Market:
    w: uint256 = self._market[market]
    m: Market = empty(Market)
    if w == 0:
        return m
    m.delta = unsafe_sub(convert(w >> 160, int256), BIAS_96)
    m.price = (w >> 64) & MASK_96
    m.sigma = (w & MASK_64) >> 1
    m.optioned = (w & 1) == 1
    if m.optioned:
        w = self._greeks[market]
        m.vega = unsafe_sub(convert(w >> 128, int256), BIAS_128)
        m.gamma = unsafe_sub(convert(w & MASK_128, int256), BIAS_128)
        m.stress = stress.unpack(self._stress[market])
    return m


@internal
def save_market(market: uint256, m: Market):
    self._fits(m.price, MASK_96)
    self._fits(m.sigma, MASK_64 >> 1)
    w: uint256 = (self._biased(m.delta, BIAS_96) << 160) | (m.price << 64) | (m.sigma << 1)
    if m.optioned:
        w |= 1
        self._greeks[market] = (self._biased(m.vega, BIAS_128) << 128) | self._biased(m.gamma, BIAS_128)
        self._stress[market] = stress.pack(m.stress)
    self._market[market] = w
