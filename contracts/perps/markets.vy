# pragma version 0.4.3
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Markets: the parameters of every perpetual market, one word each
@dev    word: initial_bps u16 | maintenance_bps u16 | fee_share_bps u16 | penalty_bps u16 | cap_base u64 [1e-6 base]
              | cap_quote u64 [MICRO] | min_size u48 [1e-9 base] | unused | paused bit 1 | listed bit 0
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
MASK_16: constant(uint256) = 2**16 - 1
MASK_48: constant(uint256) = 2**48 - 1
MASK_64: constant(uint256) = 2**64 - 1

# Parameters and switches: one word, read by every trade, written by governance.
words: uint256[c.MAX_MARKETS]
# Bit i is set once market i is listed.
listed_mask: uint256


@internal
@view
def _load(market: uint256) -> Config:
    """@dev The zero word, and so `listed = False`, for a market that is not listed."""
    assert market < c.MAX_MARKETS, "perps: not listed"
    word: uint256 = self.words[market]
    return Config(
        params=IPerpEngine.MarketParams(
            initial_bps=word >> 240,
            maintenance_bps=(word >> 224) & MASK_16,
            fee_share_bps=(word >> 208) & MASK_16,
            penalty_bps=(word >> 192) & MASK_16,
            cap_base=((word >> 128) & MASK_64) * BASE_UNIT,
            cap_quote=((word >> 64) & MASK_64) * c.MICRO,
            min_size=((word >> 16) & MASK_48) * SIZE_UNIT,
        ),
        listed=word & 1 == 1,
        paused=word & 2 == 2,
    )


@internal
def _save(market: uint256, config: Config):
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
    if config.paused:
        word |= 2
    if config.listed:
        word |= 1
    self.words[market] = word
