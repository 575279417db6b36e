# pragma version 0.4.3
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Series: the number that names an option, and the word that holds an account's position in one
@dev    series: strike u64 [STRIKE_UNIT] << 40 | index u8 << 32 | day u16 << 16 | market u8 << 8 | right u8 (0 call, 1 put)
        leg:    series u104 << 64 | size i64 [LOT], two's complement; 0 is no leg
        A board's key is day << 8 | market: bits 8 to 31 of its series.
"""

from contracts import constants as c

STRIKE_UNIT: constant(uint256) = 10**10         # [WAD per unit]
LOT: constant(int256) = 10**12                  # [WAD of base per unit of size]
MAX_LOTS: constant(int256) = 2**62              # of an order, a leg and a net: two of them still fit 64 bits

U8: constant(uint256) = 2**8 - 1
U16: constant(uint256) = 2**16 - 1
U24: constant(uint256) = 2**24 - 1
U64: constant(uint256) = 2**64 - 1


@internal
@pure
def _pack(strike: uint256, index: uint256, key: uint256, is_put: bool) -> uint256:
    """@param strike [STRIKE_UNIT]"""
    return (strike << 40) | (index << 32) | (key << 8) | (1 if is_put else 0)


@internal
@pure
def _key(market: uint256, expiry: uint256) -> uint256:
    """@return the key of a board; of one that cannot be listed where the expiry is not at 08:00 UTC"""
    if expiry % c.DAY != c.SETTLEMENT_HOUR or expiry // c.DAY > U16 or market > U8:
        return 0
    return ((expiry // c.DAY) << 8) | market


@internal
@pure
def _board_of(series: uint256) -> uint256:
    """@return the key of its board"""
    return (series >> 8) & U24


@internal
@pure
def _market_of(key: uint256) -> uint256:
    return key & U8


@internal
@pure
def _expiry_of(key: uint256) -> uint256:
    """@return [s since 1970]"""
    return (key >> 8) * c.DAY + c.SETTLEMENT_HOUR


@internal
@pure
def _index_of(series: uint256) -> uint256:
    return (series >> 32) & U8


@internal
@pure
def _strike_of(series: uint256) -> uint256:
    """@return [STRIKE_UNIT]"""
    return series >> 40


@internal
@pure
def _is_put(series: uint256) -> bool:
    return series & 1 == 1


@internal
@pure
def _leg(series: uint256, lots: int256) -> uint256:
    return (series << 64) | (convert(convert(lots, bytes32), uint256) & U64)


@internal
@pure
def _lots(leg: uint256) -> int256:
    """@return [LOT] the size in a leg's word"""
    return convert(convert(leg << 192, bytes32), int256) >> 192
