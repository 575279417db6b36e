# pragma version 0.4.3
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Parameters: what governance sets for the options of a market, two words each
@dev    limits: min_size u64 | cap_series u64 | cap_expiry u64 | cap_market u64 [LOT each]
        rules:  reward u40 [MICRO] | interval u24 | cutoff u24 | initial u16 | floor u16 | maintenance u16 | penalty u16
                | fee_share u16 | paused bit 1 | listed bit 0
"""

from interfaces import IOptionEngine
from contracts import constants as c

# Immutable bounds of the parameters.
MIN_CUTOFF: constant(uint256) = 600             # [s]
MAX_CUTOFF: constant(uint256) = 7 * c.DAY       # [s]
MIN_INITIAL_BPS: constant(uint256) = 500
MIN_FLOOR_BPS: constant(uint256) = 100
MIN_MAINTENANCE_BPS: constant(uint256) = 3_000
MAX_MAINTENANCE_BPS: constant(uint256) = 9_000
MAX_PENALTY_BPS: constant(uint256) = 500
MAX_FEE_SHARE_BPS: constant(uint256) = 5_000
MAX_REWARD: constant(uint256) = 100 * c.WAD
MIN_INTERVAL: constant(uint256) = 60            # [s]

LOT: constant(uint256) = 10**12
LISTED: constant(uint256) = 1
PAUSED: constant(uint256) = 2
U16: constant(uint256) = 2**16 - 1
U24: constant(uint256) = 2**24 - 1
U64: constant(uint256) = 2**64 - 1

# Sizes, and everything else: read by every trade, written by governance.
limits: uint256[c.MAX_MARKETS]
rules: uint256[c.MAX_MARKETS]


@internal
@view
def _rules(market: uint256) -> uint256:
    """@return the market's second word; a reason if it is not listed"""
    word: uint256 = 0
    if market < c.MAX_MARKETS:
        word = self.rules[market]
    assert word & LISTED != 0, "options: not listed"
    return word


@internal
@pure
def _reward(word: uint256) -> uint256:
    """@return [quote, WAD]"""
    return unsafe_mul(word >> 130, c.MICRO)


@internal
@pure
def _interval(word: uint256) -> uint256:
    return (word >> 106) & U24


@internal
@pure
def _cutoff(word: uint256) -> uint256:
    return (word >> 82) & U24


@internal
@pure
def _initial_bps(word: uint256) -> uint256:
    return (word >> 66) & U16


@internal
@pure
def _floor_bps(word: uint256) -> uint256:
    return (word >> 50) & U16


@internal
@pure
def _maintenance_bps(word: uint256) -> uint256:
    return (word >> 34) & U16


@internal
@pure
def _penalty_bps(word: uint256) -> uint256:
    return (word >> 18) & U16


@internal
@pure
def _fee_share_bps(word: uint256) -> uint256:
    return (word >> 2) & U16


@internal
@view
def _load(market: uint256) -> IOptionEngine.MarketParams:
    word: uint256 = self._rules(market)
    sizes: uint256 = self.limits[market]
    return IOptionEngine.MarketParams(
        min_size=(sizes >> 192) * LOT,
        cap_series=((sizes >> 128) & U64) * LOT,
        cap_expiry=((sizes >> 64) & U64) * LOT,
        cap_market=(sizes & U64) * LOT,
        cutoff=self._cutoff(word),
        initial_bps=self._initial_bps(word),
        floor_bps=self._floor_bps(word),
        maintenance_bps=self._maintenance_bps(word),
        penalty_bps=self._penalty_bps(word),
        fee_share_bps=self._fee_share_bps(word),
        reward=self._reward(word),
        interval=self._interval(word),
    )


@internal
def _save(market: uint256, p: IOptionEngine.MarketParams, paused: bool):
    """@notice Checks every bound, then stores; sizes are rounded down to lots, the reward to MICRO."""
    assert p.cutoff >= MIN_CUTOFF and p.cutoff <= MAX_CUTOFF, "options: cut-off"
    assert p.initial_bps >= MIN_INITIAL_BPS and p.initial_bps <= c.BPS, "options: initial margin"
    assert p.floor_bps >= MIN_FLOOR_BPS and p.floor_bps <= p.initial_bps, "options: margin floor"
    assert (
        p.maintenance_bps >= MIN_MAINTENANCE_BPS and p.maintenance_bps <= MAX_MAINTENANCE_BPS
    ), "options: maintenance margin"
    assert p.penalty_bps <= MAX_PENALTY_BPS, "options: penalty"
    assert p.fee_share_bps <= MAX_FEE_SHARE_BPS, "options: fee share"
    assert p.reward <= MAX_REWARD, "options: reward"
    assert p.interval >= MIN_INTERVAL and p.interval <= U24, "options: interval"
    least: uint256 = p.min_size // LOT
    series: uint256 = p.cap_series // LOT
    expiry: uint256 = p.cap_expiry // LOT
    market_cap: uint256 = p.cap_market // LOT
    assert (least | series | expiry | market_cap) >> 62 == 0, "options: size range"
    self.limits[market] = (least << 192) | (series << 128) | (expiry << 64) | market_cap
    word: uint256 = ((p.reward // c.MICRO) << 130) | (p.interval << 106) | (p.cutoff << 82) | (p.initial_bps << 66)
    word |= (p.floor_bps << 50) | (p.maintenance_bps << 34) | (p.penalty_bps << 18) | (p.fee_share_bps << 2) | LISTED
    if paused:
        word |= PAUSED
    self.rules[market] = word
