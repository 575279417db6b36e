# pragma version 0.4.3
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Boards: what is listed, what accounts hold of it, and what that is worth to the vault
@notice Owns every slot of boards and strikes. `_load_*` and `_save_*` are the only code that knows where a bit lies.
@dev    Words of a board, by key (series.vy), signed fields in two's complement, so that an empty slot reads as zero:
            point       spot u96 | time u40 | surface u40 | horizon u20 | strikes u8 | closing only bit 1 | listed bit 0
            values      value i128 | delta i128
            slopes      gamma i128 | theta i128
            counts      vega i128 | interest u64 [LOT] | legs u32
            stress      stress.vy
            smile       theta u72 | rate i59 | rho i61 | eta u61: the surface's, of the point
            settlement  price u96 | owed i112 | legs u32: written once, when the words above but the first are cleared
        and of a strike, by key and index: strike u64 [STRIKE_UNIT] | calls i64 [LOT] | puts i64 [LOT].
"""

from contracts import constants as c
from contracts.inventory import stress
from interfaces import IVolSurface


struct Point:
    spot: uint256               # [quote/base, WAD]
    time: uint256               # [s]
    surface: uint256            # [s] timestamp of the surface
    horizon: uint256            # [s]
    strikes: uint256
    closing_only: bool
    listed: bool

struct Holding:                 # the vault's, at the board's point
    value: int256               # [quote, WAD]
    delta: int256               # [base, WAD]
    gamma: int256               # [base per quote, WAD]
    theta: int256               # [quote per year, WAD]
    vega: int256                # [quote per 1.00 of vol, WAD]
    stress: int256[c.N_STRESS]  # [STRESS_UNIT] beyond delta
    interest: uint256           # [LOT] sum over accounts of |size|
    legs: uint256               # positions of accounts

struct Settlement:
    price: uint256              # [quote/base, WAD]; 0: not settled
    owed: int256                # [quote, WAD] what payables still hold for accounts, dust included
    legs: uint256               # positions not yet settled

struct Strike:
    strike: uint256             # [STRIKE_UNIT]
    calls: int256               # [LOT] net of all accounts
    puts: int256                # [LOT]


LIVE: constant(uint256) = 16                    # boards of a market, one day number of 16 bits each in a word
U16: constant(uint256) = 2**16 - 1
U20: constant(uint256) = 2**20 - 1
U32: constant(uint256) = 2**32 - 1
U40: constant(uint256) = 2**40 - 1
U61: constant(uint256) = 2**61 - 1
U64: constant(uint256) = 2**64 - 1
U96: constant(uint256) = 2**96 - 1
U128: constant(uint256) = 2**128 - 1
BIAS_128: constant(int256) = 2**127
FULL_128: constant(int256) = 2**128 - 1

_points: HashMap[uint256, uint256]
_values: HashMap[uint256, uint256]
_slopes: HashMap[uint256, uint256]
_counts: HashMap[uint256, uint256]
_stress: HashMap[uint256, uint256]
_smiles: HashMap[uint256, uint256]
_settlements: HashMap[uint256, uint256]
_strikes: HashMap[uint256, uint256[c.MAX_STRIKES]]
# Day numbers of a market's boards that are not settled, in no order.
_live: uint256[c.MAX_MARKETS]
# Of a market: unsettled u64 << 64 | interest u64 [LOT]: positions on settled boards that are not paid out, and the sum over
# accounts of |size| on the others.
_open: uint256[c.MAX_MARKETS]


@internal
@pure
def _signed(word: uint256, at: uint256, bits: uint256) -> int256:
    """@return the field of `bits` bits that begins at bit `at`"""
    return convert(convert(word << (256 - at - bits), bytes32), int256) >> (256 - bits)


@internal
@pure
def _field(x: int256, bits: uint256) -> uint256:
    """@return x in two's complement of `bits` bits"""
    bound: int256 = 1 << (bits - 1)
    assert x < bound and x >= -bound, "options: out of range"
    return convert(convert(x, bytes32), uint256) & ((1 << bits) - 1)


@internal
@pure
def _halves(high: int256, low: int256) -> uint256:
    """@return two numbers of 128 bits each in one word"""
    return (convert(convert(high, bytes32), uint256) << 128) | (convert(convert(low, bytes32), uint256) & U128)


@internal
@view
def _load_point(key: uint256) -> Point:
    word: uint256 = self._points[key]
    return Point(
        spot=word >> 110,
        time=(word >> 70) & U40,
        surface=(word >> 30) & U40,
        horizon=(word >> 10) & U20,
        strikes=(word >> 2) & 255,
        closing_only=word & 2 != 0,
        listed=word & 1 != 0,
    )


@internal
def _save_point(key: uint256, p: Point):
    # prices have 96 bits, times of accepted rounds and surfaces 40, the horizon 20
    word: uint256 = (p.spot << 110) | (p.time << 70) | (p.surface << 30) | (p.horizon << 10) | (p.strikes << 2)
    if p.closing_only:
        word |= 2
    if p.listed:
        word |= 1
    self._points[key] = word


@internal
@view
def _load_holding(key: uint256) -> Holding:
    b: Holding = empty(Holding)
    word: uint256 = self._counts[key]
    b.legs = word & U32
    if b.legs == 0:
        return b                # no position: nothing held
    b.interest = (word >> 32) & U64
    b.vega = convert(convert(word, bytes32), int256) >> 128
    word = self._values[key]
    b.value = convert(convert(word, bytes32), int256) >> 128
    b.delta = convert(convert(word << 128, bytes32), int256) >> 128
    word = self._slopes[key]
    b.gamma = convert(convert(word, bytes32), int256) >> 128
    b.theta = convert(convert(word << 128, bytes32), int256) >> 128
    b.stress = stress.unpack(self._stress[key])
    return b


@internal
def _save_holding(key: uint256, b: Holding):
    """@dev Without positions every total is zero, being the sum over strikes of nothing."""
    # shifted by half their range, what fits is below 2^128, and what does not is not
    wide: int256 = (
        unsafe_add(b.vega, BIAS_128)
        | unsafe_add(b.value, BIAS_128)
        | unsafe_add(b.delta, BIAS_128)
        | unsafe_add(b.gamma, BIAS_128)
        | unsafe_add(b.theta, BIAS_128)
    )
    assert (
        b.interest <= U64 and b.legs <= U32 and wide >= 0 and wide <= FULL_128
    ), "options: out of range"
    self._counts[key] = self._halves(b.vega, 0) | (b.interest << 32) | b.legs
    self._values[key] = self._halves(b.value, b.delta)
    self._slopes[key] = self._halves(b.gamma, b.theta)
    self._stress[key] = stress.pack(b.stress)


@internal
@view
def _load_smile(key: uint256, timestamp: uint256) -> IVolSurface.Smile:
    """
    @notice What the surface said of the board when its point was taken.
    @param timestamp [s] of that surface
    """
    word: uint256 = self._smiles[key]
    return IVolSurface.Smile(
        theta=word >> 181,
        rate=self._signed(word, 122, 59),
        rho=self._signed(word, 61, 61),
        eta=word & U61,
        timestamp=timestamp,
        is_live=False,
    )


@internal
def _save_smile(key: uint256, smile: IVolSurface.Smile):
    # VolSurface bounds theta by 50 WAD, the rate by 0.2, rho by 0.95 and eta by 2
    self._smiles[key] = (
        (smile.theta << 181)
        | (self._field(smile.rate, 59) << 122)
        | (self._field(smile.rho, 61) << 61)
        | smile.eta
    )


@internal
@view
def _load_settlement(key: uint256) -> Settlement:
    word: uint256 = self._settlements[key]
    return Settlement(price=word >> 144, owed=self._signed(word, 32, 112), legs=word & U32)


@internal
def _save_settlement(key: uint256, s: Settlement):
    self._settlements[key] = (s.price << 144) | (self._field(s.owed, 112) << 32) | s.legs


@internal
@view
def _load_strike(key: uint256, index: uint256) -> Strike:
    word: uint256 = self._strikes[key][index]
    return Strike(
        strike=word >> 128,
        calls=self._signed(word, 64, 64),
        puts=self._signed(word, 0, 64),
    )


@internal
def _save_strike(key: uint256, index: uint256, s: Strike):
    self._strikes[key][index] = (
        (s.strike << 128) | (self._field(s.calls, 64) << 64) | self._field(s.puts, 64)
    )


@internal
@view
def _interest(market: uint256) -> uint256:
    """@return [LOT] of the boards that are not settled"""
    return self._open[market] & U64


@internal
def _save_interest(market: uint256, interest: uint256):
    assert interest <= U64, "options: out of range"
    self._open[market] = ((self._open[market] >> 64) << 64) | interest


@internal
def _add_unsettled(market: uint256, legs: uint256):
    self._open[market] += legs << 64


@internal
def _remove_unsettled(market: uint256, legs: uint256):
    self._open[market] -= legs << 64


@internal
def _add_live(market: uint256, day: uint256):
    word: uint256 = self._live[market]
    assert word >> 240 == 0, "options: too many boards"
    self._live[market] = (word << 16) | day


@internal
def _remove_live(market: uint256, day: uint256):
    word: uint256 = self._live[market]
    for i: uint256 in range(LIVE):
        if (word >> (16 * i)) & U16 == day:
            low: uint256 = word & ((1 << (16 * i)) - 1)
            self._live[market] = ((word >> (16 * i + 16)) << (16 * i)) | low
            return
