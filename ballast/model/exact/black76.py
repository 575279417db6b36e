"""Integer twin of ``contracts/pricing/black76.vy``: value and greeks of a European option, to the wei."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ballast.model.exact.fixed import WAD, YEAR, tdiv

Q96 = 2**96
MASK = Q96 - 1
MAX_VOL = 10 * WAD
FAR = 40
MILLS_END = 32 * Q96

LN_2 = 54_916_777_467_707_473_351_141_471_128
LN_ROOT_2 = 27_458_388_733_853_736_675_570_735_564
ROOT_2 = 112_045_541_949_572_279_837_463_876_455
ROOT_HALF = 56_022_770_974_786_139_918_731_938_228
LOG2_E = 114_302_077_158_074_026_402_637_675_937
ROOT_2_PI = 198_595_552_305_314_927_273_837_084_509

# lowest power first, Q96: ballast/model/analytic/fit.py
ARTANH = (
    79_228_162_514_264_337_503_234_131_787,
    26_409_387_504_755_170_681_601_261_081,
    15_845_632_502_574_503_816_865_968_774,
    11_318_309_005_969_989_760_399_534_309,
    8_803_119_159_797_939_706_617_219_556,
    7_203_280_590_646_113_758_710_851_593,
    6_065_868_894_515_229_500_727_763_043,
    5_867_200_867_672_010_576_587_992_850,
)
# 2^(g - 1) / sqrt(2 pi)
EXP = (
    15_803_731_912_727_960_405_222_498_072,
    10_954_312_217_632_617_109_963_728_873,
    3_796_475_314_312_722_535_787_653_032,
    877_172_053_393_385_576_866_647_291,
    152_002_333_923_241_852_137_780_476,
    21_071_997_809_955_269_313_556_786,
    2_434_332_774_021_946_417_630_528,
    241_049_751_518_013_233_111_226,
    20_886_123_429_764_506_818_462,
    1_607_537_953_871_820_746_854,
    112_385_082_148_234_654_211,
    6_508_718_129_917_590_379,
    575_314_184_281_797_079,
)
# Mills' ratio P / Q
MILLS_P = (
    99_297_776_152_657_464_045_806_664_596,
    131_187_323_296_771_906_439_323_403_687,
    86_456_966_017_951_370_863_369_253_109,
    35_774_251_547_204_385_177_692_822_411,
    10_028_529_261_985_687_358_469_666_006,
    1_938_727_800_116_321_634_644_120_668,
    252_201_190_482_238_517_614_819_179,
    20_251_535_376_710_559_928_250_027,
    774_931_344_345_891_193_859_646,
)
# the first is 1
MILLS_Q = (
    79_228_162_514_264_337_593_543_950_336,
    167_887_267_482_460_273_703_922_328_554,
    163_323_255_782_082_473_300_884_802_436,
    95_984_836_001_487_069_589_326_644_760,
    37_672_832_070_062_199_874_095_264_188,
    10_279_155_528_027_543_841_043_959_437,
    1_958_980_682_939_251_152_383_601_832,
    252_976_069_944_820_305_569_373_632,
    20_251_536_647_986_984_399_354_616,
    774_931_329_492_034_050_773_346,
)


@dataclass(frozen=True, slots=True)
class Option:
    """call, put [quote, WAD]; delta of the call [WAD]; gamma [1/quote, WAD]; vega [quote per 1.00 of vol, WAD]; theta
    of the call [quote per year, WAD]."""

    call: int
    put: int
    delta: int
    gamma: int
    vega: int
    theta: int


def evaluate(spot: int, strike: int, distance: int | None, vol: int, root: int, rate: int) -> Option:
    """One call and one put on one unit of base.

    spot, strike (discounted to today) [quote/base, WAD]; distance = |ln(spot / strike)|: `log_ratio`; vol [per sqrt
    year, WAD]; root [sqrt year, Q96]; rate [WAD].
    """
    is_call = spot <= strike
    low = min(spot, strike)
    sigma = min(vol, MAX_VOL)
    v = sigma * root // WAD
    otm = gamma = vega = theta = 0
    if distance is None or distance >= v * FAR:
        delta = WAD // 2 if spot == strike else (0 if is_call else WAD)
    else:
        x = (distance << 96) // v
        h = v >> 1
        below = x >= h
        near = x - h if below else min(h - x, FAR * Q96)
        q = (low * falling(near * near >> 97)) >> 48
        near_ratio, far_ratio = mills(near), mills(min(x + h, MILLS_END))
        if below:
            otm = max(q * (near_ratio - far_ratio), 0) >> 144
        else:
            otm = max(low - (q * (near_ratio + far_ratio) >> 144), 0)
        tail = ((q * (near_ratio if is_call else far_ratio) >> 48) // spot * WAD) >> 96
        delta = tail if is_call and below else WAD - min(tail, WAD)
        gamma = (q << 48) // spot * 10**36 // spot // v
        vega = q * root >> 144
        theta = -(q * (sigma << 48) // (root * 2 * WAD))
    call, put = (otm, otm + strike - spot) if is_call else (otm + spot - strike, otm)
    exercised = spot * delta // WAD - call
    return Option(call, put, delta, gamma, vega, theta - tdiv(rate * exercised, WAD))


def root_years(seconds: int) -> int:
    """sqrt(seconds / year), rounded down [Q96]."""
    return math.isqrt((seconds << 192) // YEAR)


def discount(rate: int, seconds: int) -> int:
    """exp(-rate * seconds) [Q96]; rate [per year, WAD]."""
    power = min((abs(rate) * seconds << 96) // (YEAR * WAD), FAR * Q96)
    value = falling(power) * ROOT_2_PI >> 96 if power else Q96
    return value if rate >= 0 else 2**192 // value


def log_ratio(high: int, low: int) -> int | None:
    """ln(high / low) of high >= low [Q96]; None if low is zero."""
    if low == 0:
        return None
    m = (high << 96) // low
    whole = 0
    if m >= 2**100:
        for bits in (64, 32, 16, 8, 4):
            if m >= 1 << (bits + 96):
                m >>= bits
                whole += bits * LN_2
    if m >= 2**98:
        m >>= 2
        whole += 2 * LN_2
    if m >= 2**97:
        m >>= 1
        whole += LN_2
    if m >= ROOT_2:
        m = m * ROOT_HALF >> 96
        whole += LN_ROOT_2
    y = ((m - Q96) << 96) // (m + Q96)
    return (y * _horner(ARTANH, y * y >> 96) >> 95) + whole


def falling(power: int) -> int:
    """exp(-power) / sqrt(2 pi) [Q96]."""
    bits = power * LOG2_E >> 96
    return _horner(EXP, Q96 - (bits & MASK)) >> (bits >> 96)


def mills(y: int) -> int:
    """N(-y) / phi(y) of 0 <= y <= MILLS_END [Q96]."""
    return (_horner(MILLS_P, y) << 96) // _horner(MILLS_Q, y)


def _horner(coefficients: tuple[int, ...], x: int) -> int:
    """Each product rounded down to Q96."""
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * x >> 96) + coefficient
    return value
