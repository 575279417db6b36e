# pragma version 0.4.3
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Markets: the parameters of every perpetual market, one word each
@dev    word: initial_bps u16 | maintenance_bps u16 | fee_share_bps u16 | penalty_bps u16 | cap_base u64 [1e-6 base]
              | cap_quote u64 [MICRO] | min_size u48 [1e-9 base] | carry i14 [1e-4/year] | paused bit 1 | listed bit 0
"""

from interfaces import IPerpEngine
from contracts import constants as c


struct Config:
    params: IPerpEngine.MarketParams
    listed: bool
    paused: bool


# Immutable bounds of the parameters. [bps]
MIN_MAINTENANCE_BPS: constant(uint256) = 50
MIN_INITIAL_BPS: constant(uint256) = 100
MAX_FEE_SHARE_BPS: constant(uint256) = 5_000
MAX_PENALTY_BPS: constant(uint256) = 500

BASE_UNIT: constant(uint256) = 10**12           # [WAD] of cap_base
SIZE_UNIT: constant(uint256) = 10**9            # [WAD] of min_size
CARRY_UNIT: constant(int256) = 10**14           # [WAD] of carry
LISTED: constant(uint256) = 1                   # bits of a word
PAUSED: constant(uint256) = 2
MASK_14: constant(uint256) = 2**14 - 1
MASK_16: constant(uint256) = 2**16 - 1
MASK_48: constant(uint256) = 2**48 - 1
MASK_64: constant(uint256) = 2**64 - 1

# Parameters and switches: one word, read by every trade, written by governance.
words: uint256[c.MAX_MARKETS]
# Bit i is set once market i is listed.
listed_mask: uint256


@internal
@view
def _word(market: uint256) -> uint256:
    """@dev 0 for a market that is not listed. A trade reads the fields it needs with the functions below."""
    assert market < c.MAX_MARKETS, "perps: not listed"
    return self.words[market]


@internal
@view
def _load(market: uint256) -> Config:
    word: uint256 = self._word(market)
    return Config(
        params=IPerpEngine.MarketParams(
            initial_bps=self._initial_bps(word),
            maintenance_bps=self._maintenance_bps(word),
            fee_share_bps=self._fee_share_bps(word),
            penalty_bps=self._penalty_bps(word),
            cap_base=self._cap_base(word),
            cap_quote=self._cap_quote(word),
            min_size=self._min_size(word),
        ),
        listed=word & LISTED != 0,
        paused=word & PAUSED != 0,
    )


@internal
@pure
def _initial_bps(word: uint256) -> uint256:
    return word >> 240


@internal
@pure
def _maintenance_bps(word: uint256) -> uint256:
    return (word >> 224) & MASK_16


@internal
@pure
def _fee_share_bps(word: uint256) -> uint256:
    return (word >> 208) & MASK_16


@internal
@pure
def _penalty_bps(word: uint256) -> uint256:
    return (word >> 192) & MASK_16


@internal
@pure
def _cap_base(word: uint256) -> uint256:
    """@return [base, WAD]"""
    return unsafe_mul((word >> 128) & MASK_64, BASE_UNIT)       # 64 bits times 1e12


@internal
@pure
def _cap_quote(word: uint256) -> uint256:
    """@return [quote, WAD]"""
    return unsafe_mul((word >> 64) & MASK_64, c.MICRO)          # 64 bits times 1e12


@internal
@pure
def _min_size(word: uint256) -> uint256:
    """@return [base, WAD]"""
    return unsafe_mul((word >> 16) & MASK_48, SIZE_UNIT)        # 48 bits times 1e9


@internal
@pure
def _carry(word: uint256) -> int256:
    """@return [1/year, WAD] what hedging adds to funding"""
    return unsafe_mul(convert(convert(word << 240, bytes32), int256) >> 242, CARRY_UNIT)     # 14 bits times 1e14


@internal
def _save_carry(market: uint256, rate: int256):
    """
    @param rate [1/year, WAD] of at most MAX_CARRY either way
    """
    units: int256 = unsafe_div(rate, CARRY_UNIT)        # toward zero: nobody is charged for the rounding
    self.words[market] = (self.words[market] & ~(MASK_14 << 2)) | (
        (convert(convert(units, bytes32), uint256) & MASK_14) << 2
    )


@internal
def _save(market: uint256, config: Config):
    """@notice Writes everything but the carry, which stays."""
    params: IPerpEngine.MarketParams = config.params
    assert params.initial_bps <= c.BPS and params.initial_bps >= MIN_INITIAL_BPS, "perps: initial margin"
    assert (
        params.maintenance_bps < params.initial_bps and params.maintenance_bps >= MIN_MAINTENANCE_BPS
    ), "perps: maintenance margin"
    assert params.fee_share_bps <= MAX_FEE_SHARE_BPS, "perps: fee share"
    assert (
        params.penalty_bps <= MAX_PENALTY_BPS and params.penalty_bps < params.maintenance_bps
    ), "perps: penalty"
    cap_base: uint256 = params.cap_base // BASE_UNIT
    cap_quote: uint256 = params.cap_quote // c.MICRO
    min_size: uint256 = params.min_size // SIZE_UNIT
    assert cap_base <= MASK_64 and cap_quote <= MASK_64, "perps: cap range"
    assert min_size <= MASK_48, "perps: minimum size range"
    word: uint256 = params.initial_bps << 240
    word |= params.maintenance_bps << 224
    word |= params.fee_share_bps << 208
    word |= params.penalty_bps << 192
    word |= cap_base << 128
    word |= cap_quote << 64
    word |= min_size << 16
    word |= self.words[market] & (MASK_14 << 2)
    if config.paused:
        word |= PAUSED
    if config.listed:
        word |= LISTED
    self.words[market] = word
