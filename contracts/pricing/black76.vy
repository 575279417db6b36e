# pragma version 0.4.3
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Black-76: value and greeks of a European option, both sides in one evaluation
@notice With the strike discounted at the rate that leads from spot to forward, Kd = K exp(-r tau) = K S / F, and
        v = sigma sqrt(tau), x = |ln(S / Kd)| / v, h = v / 2:

            q   = S phi(d1) = Kd phi(d2) = min(S, Kd) phi(x - h)
            otm = q (m(x - h) - m(x + h))                          if x >= h,     m(y) = N(-y) / phi(y), Mills' ratio
                = min(S, Kd) - q (m(h - x) + m(x + h))             otherwise

        `otm` is the call where S <= Kd, else the put; the other side follows from parity, exactly. Hence one
        exponential and two ratios serve prices and greeks of both sides, and what is small is never a difference of
        large numbers:

            delta = N(d1)    gamma = q / (S^2 v)    vega = q sqrt(tau)
            theta = -q sigma / (2 sqrt(tau)) - r (S delta - call)

        Source: F. Black, J. Financial Economics 3 (1976), 167-179, on the forward S exp(r tau).
@dev    Total: no input reverts; vol above MAX_VOL counts as MAX_VOL, amounts must lie below 2^96 (the packed words
        assert it). Polynomials are minimax fits, printed with their errors by ballast/model/analytic/fit.py. Q96 is a
        binary scale of 2^96. Every unsafe operation below stays within 256 bits: factors are WAD amounts < 2^96, Q96
        values < 2^103 where |d| < 64, and polynomials whose value the fits bound; widths above 2^200 are noted.
        Largest errors for spot / strike 0.1-10, vol 5-500 %, 60 s - 2 years: docs/reports/kernel.md.
"""

from contracts import constants as c

ONE: constant(uint256) = 2**96
MASK: constant(uint256) = 2**96 - 1
MAX_VOL: constant(uint256) = 10 * 10**18        # [per sqrt year, WAD]
FAR: constant(uint256) = 40                     # standard deviations beyond which a tail is nothing
MILLS_END: constant(uint256) = 32 * 2**96       # Q96; the ratio is held constant beyond

LN_2: constant(uint256) = 54_916_777_467_707_473_351_141_471_128            # Q96
LN_ROOT_2: constant(uint256) = 27_458_388_733_853_736_675_570_735_564       # Q96
ROOT_2: constant(uint256) = 112_045_541_949_572_279_837_463_876_455         # Q96
ROOT_HALF: constant(uint256) = 56_022_770_974_786_139_918_731_938_227       # Q96
LOG2_E: constant(uint256) = 114_302_077_158_074_026_402_637_675_937         # Q96
ROOT_2_PI: constant(uint256) = 198_595_552_305_314_927_273_837_084_509       # Q96

# artanh(y) / y in powers of y^2, y <= 0.1716; error < 1e-18
ARTANH_0: constant(uint256) = 79_228_162_514_264_337_503_234_131_787
ARTANH_1: constant(uint256) = 26_409_387_504_755_170_681_601_261_081
ARTANH_2: constant(uint256) = 15_845_632_502_574_503_816_865_968_774
ARTANH_3: constant(uint256) = 11_318_309_005_969_989_760_399_534_309
ARTANH_4: constant(uint256) = 8_803_119_159_797_939_706_617_219_556
ARTANH_5: constant(uint256) = 7_203_280_590_646_113_758_710_851_593
ARTANH_6: constant(uint256) = 6_065_868_894_515_229_500_727_763_043
ARTANH_7: constant(uint256) = 5_867_200_867_672_010_576_587_992_850

# 2^(g - 1) / sqrt(2 pi) in powers of g <= 1; error < 2e-20
EXP_0: constant(uint256) = 15_803_731_912_727_960_405_222_498_072
EXP_1: constant(uint256) = 10_954_312_217_632_617_109_963_728_873
EXP_2: constant(uint256) = 3_796_475_314_312_722_535_787_653_032
EXP_3: constant(uint256) = 877_172_053_393_385_576_866_647_291
EXP_4: constant(uint256) = 152_002_333_923_241_852_137_780_476
EXP_5: constant(uint256) = 21_071_997_809_955_269_313_556_786
EXP_6: constant(uint256) = 2_434_332_774_021_946_417_630_528
EXP_7: constant(uint256) = 241_049_751_518_013_233_111_226
EXP_8: constant(uint256) = 20_886_123_429_764_506_818_462
EXP_9: constant(uint256) = 1_607_537_953_871_820_746_854
EXP_10: constant(uint256) = 112_385_082_148_234_654_211
EXP_11: constant(uint256) = 6_508_718_129_917_590_379
EXP_12: constant(uint256) = 575_314_184_281_797_079

# Mills' ratio P(y) / Q(y); error < 5e-18 where it counts
MILLS_P0: constant(uint256) = 99_297_776_152_657_464_045_806_664_596
MILLS_P1: constant(uint256) = 131_187_323_296_771_906_439_323_403_687
MILLS_P2: constant(uint256) = 86_456_966_017_951_370_863_369_253_109
MILLS_P3: constant(uint256) = 35_774_251_547_204_385_177_692_822_411
MILLS_P4: constant(uint256) = 10_028_529_261_985_687_358_469_666_006
MILLS_P5: constant(uint256) = 1_938_727_800_116_321_634_644_120_668
MILLS_P6: constant(uint256) = 252_201_190_482_238_517_614_819_179
MILLS_P7: constant(uint256) = 20_251_535_376_710_559_928_250_027
MILLS_P8: constant(uint256) = 774_931_344_345_891_193_859_646
MILLS_Q1: constant(uint256) = 167_887_267_482_460_273_703_922_328_554
MILLS_Q2: constant(uint256) = 163_323_255_782_082_473_300_884_802_436
MILLS_Q3: constant(uint256) = 95_984_836_001_487_069_589_326_644_760
MILLS_Q4: constant(uint256) = 37_672_832_070_062_199_874_095_264_188
MILLS_Q5: constant(uint256) = 10_279_155_528_027_543_841_043_959_437
MILLS_Q6: constant(uint256) = 1_958_980_682_939_251_152_383_601_832
MILLS_Q7: constant(uint256) = 252_976_069_944_820_305_569_373_632
MILLS_Q8: constant(uint256) = 20_251_536_647_986_984_399_354_616
MILLS_Q9: constant(uint256) = 774_931_329_492_034_050_773_346


struct Option:
    call: uint256       # [quote, WAD], rounded down out of the money
    put: uint256        # [quote, WAD] call - put = spot - strike to the wei
    delta: uint256      # of the call [fraction, WAD]; the put's is this less one
    gamma: uint256      # of both [1/quote, WAD]
    vega: uint256       # of both [quote per 1.00 of vol, WAD]
    theta: int256       # of the call [quote per year, WAD]; the put's is this plus rate * strike


@internal
@pure
def evaluate(
    spot: uint256, strike: uint256, distance: uint256, vol: uint256, root: uint256, rate: int256
) -> Option:
    """
    @notice Value and greeks of one call and one put on one unit of base.
    @param spot [quote/base, WAD], < 2^96.
    @param strike Discounted to today [quote/base, WAD], < 2^96: `discount`.
    @param distance |ln(spot / strike)| [Q96]: `log_ratio` of the larger and the smaller.
    @param vol Annual volatility [per sqrt year, WAD].
    @param root Square root of the time to expiry [sqrt year, Q96]: `root_years`. Zero means expired.
    @param rate At which spot leads to the forward [per year, WAD]; only theta needs it.
    """
    option: Option = empty(Option)
    is_call: bool = spot <= strike      # the side out of the money
    least: uint256 = spot if is_call else strike
    sigma: uint256 = min(vol, MAX_VOL)
    v: uint256 = unsafe_div(unsafe_mul(sigma, root), c.WAD)
    otm: uint256 = 0
    if distance >= unsafe_mul(v, FAR):
        # no time value left: at expiry, without volatility, far away, or nothing to own
        option.delta = 0 if is_call else c.WAD
        if spot == strike:
            option.delta = c.WAD // 2
    else:
        x: uint256 = unsafe_div(distance << 96, v)
        h: uint256 = v >> 1
        below: bool = x >= h            # |d| of the nearer side lies out of the money
        near: uint256 = unsafe_sub(x, h) if below else min(unsafe_sub(h, x), FAR * ONE)
        # exp(-near^2 / 2); q [quote, WAD * 2^48] < 2^143
        q: uint256 = unsafe_mul(least, self._falling(unsafe_mul(near, near) >> 97)) >> 48
        near_ratio: uint256 = self._mills(near)
        far_ratio: uint256 = self._mills(min(unsafe_add(x, h), MILLS_END))
        if below:
            # m falls, so the difference is positive but for rounding where v is nothing
            if near_ratio > far_ratio:
                otm = unsafe_mul(q, unsafe_sub(near_ratio, far_ratio)) >> 144   # < 2^240
        else:
            # the sum is at most least, but for the error of the fits
            sum: uint256 = unsafe_mul(q, unsafe_add(near_ratio, far_ratio)) >> 144
            otm = unsafe_sub(least, sum) if sum < least else 0
        # q is also S phi(d1): the tail beyond d1 is the nearer of the two where the call is out of the money
        tail: uint256 = unsafe_mul(q, near_ratio if is_call else far_ratio) >> 48       # [quote, WAD * 2^96]
        tail = unsafe_mul(unsafe_div(tail, spot), c.WAD) >> 96
        option.delta = tail if is_call and below else unsafe_sub(c.WAD, min(tail, c.WAD))
        option.gamma = unsafe_div(unsafe_div(unsafe_mul(unsafe_div(q << 48, spot), 10**36), spot), v)
        option.vega = unsafe_mul(q, root) >> 144                                # < 2^240
        # q < 2^143, sigma << 48 < 2^112
        option.theta = -convert(unsafe_div(unsafe_mul(q, sigma << 48), unsafe_mul(root, 2 * c.WAD)), int256)
    if is_call:
        option.call = otm
        option.put = unsafe_sub(unsafe_add(otm, strike), spot)
    else:
        option.put = otm
        option.call = unsafe_sub(unsafe_add(otm, spot), strike)
    exercised: int256 = unsafe_sub(         # both < 2^97
        convert(unsafe_div(unsafe_mul(spot, option.delta), c.WAD), int256), convert(option.call, int256)
    )
    option.theta = unsafe_sub(option.theta, unsafe_div(unsafe_mul(rate, exercised), c.SWAD))
    return option


@internal
@pure
def root_years(seconds: uint256) -> uint256:
    """@notice sqrt(seconds / year), rounded down [Q96]; seconds < 2^32."""
    return isqrt(unsafe_div(seconds << 192, c.YEAR))


@internal
@pure
def discount(rate: int256, seconds: uint256) -> uint256:
    """
    @notice exp(-rate * seconds) [Q96]; |rate * time| is held below 40.
    @param rate [per year, WAD], |rate| < 2^64.
    @param seconds < 2^32.
    """
    if rate < 0:
        return unsafe_div(2**192, self._discount(convert(-rate, uint256), seconds))
    return self._discount(convert(rate, uint256), seconds)


@internal
@pure
def _discount(rate: uint256, seconds: uint256) -> uint256:
    """@notice exp(-rate * seconds) of rate >= 0 [Q96]: by the density's fit, times sqrt(2 pi)."""
    power: uint256 = unsafe_div(unsafe_mul(rate, seconds) << 96, c.YEAR * c.WAD)
    if power == 0:
        return ONE      # the fit is off by 3e-20, and expiry is exact
    return unsafe_mul(self._falling(min(power, FAR * ONE)), ROOT_2_PI) >> 96


@internal
@pure
def log_ratio(high: uint256, low: uint256) -> uint256:
    """
    @notice ln(high / low) of high >= low, high < 2^96 [Q96]; without bound if low is zero.
    @dev    The ratio is halved into [1, sqrt 2), then ln m = 2 artanh(y), y = (m - 1) / (m + 1).
    """
    if low == 0:
        return max_value(uint256)
    m: uint256 = unsafe_div(high << 96, low)
    whole: uint256 = 0
    if m >= 2**100:     # ratios beyond 16 are not listed, but have a logarithm
        for bits: uint256 in [64, 32, 16, 8, 4]:
            if m >= 1 << unsafe_add(bits, 96):
                m = m >> bits
                whole = unsafe_add(whole, unsafe_mul(bits, LN_2))
    if m >= 2**98:
        m = m >> 2
        whole = unsafe_add(whole, 2 * LN_2)
    if m >= 2**97:
        m = m >> 1
        whole = unsafe_add(whole, LN_2)
    if m >= ROOT_2:
        m = unsafe_mul(m, ROOT_HALF) >> 96
        whole = unsafe_add(whole, LN_ROOT_2)
    # m >= 1, because ROOT_2 * ROOT_HALF is
    y: uint256 = unsafe_div(unsafe_sub(m, ONE) << 96, unsafe_add(m, ONE))
    z: uint256 = unsafe_mul(y, y) >> 96
    series: uint256 = unsafe_add(
        unsafe_mul(
            unsafe_add(unsafe_mul(unsafe_add(unsafe_mul(ARTANH_7, z) >> 96, ARTANH_6), z) >> 96, ARTANH_5), z
        ) >> 96,
        ARTANH_4,
    )
    series = unsafe_add(
        unsafe_mul(
            unsafe_add(unsafe_mul(unsafe_add(unsafe_mul(series, z) >> 96, ARTANH_3), z) >> 96, ARTANH_2), z
        ) >> 96,
        ARTANH_1,
    )
    series = unsafe_add(unsafe_mul(series, z) >> 96, ARTANH_0)
    return unsafe_add(unsafe_mul(y, series) >> 95, whole)


@internal
@pure
def _falling(power: uint256) -> uint256:
    """
    @notice exp(-power) / sqrt(2 pi) [Q96].
    @dev    exp(-t) = 2^-(n + f) = 2^-n 2^(g - 1), g = 1 - f.
    """
    bits: uint256 = unsafe_mul(power, LOG2_E) >> 96
    g: uint256 = unsafe_sub(ONE, bits & MASK)
    mantissa: uint256 = unsafe_add(
        unsafe_mul(
            unsafe_add(unsafe_mul(unsafe_add(unsafe_mul(EXP_12, g) >> 96, EXP_11), g) >> 96, EXP_10), g
        ) >> 96,
        EXP_9,
    )
    mantissa = unsafe_add(
        unsafe_mul(
            unsafe_add(unsafe_mul(unsafe_add(unsafe_mul(mantissa, g) >> 96, EXP_8), g) >> 96, EXP_7), g
        ) >> 96,
        EXP_6,
    )
    mantissa = unsafe_add(
        unsafe_mul(
            unsafe_add(unsafe_mul(unsafe_add(unsafe_mul(mantissa, g) >> 96, EXP_5), g) >> 96, EXP_4), g
        ) >> 96,
        EXP_3,
    )
    mantissa = unsafe_add(
        unsafe_mul(
            unsafe_add(unsafe_mul(unsafe_add(unsafe_mul(mantissa, g) >> 96, EXP_2), g) >> 96, EXP_1), g
        ) >> 96,
        EXP_0,
    )
    return mantissa >> (bits >> 96)


@internal
@pure
def _mills(y: uint256) -> uint256:
    """@notice N(-y) / phi(y) of 0 <= y <= MILLS_END [Q96]; falls from sqrt(pi / 2)."""
    p: uint256 = unsafe_add(
        unsafe_mul(
            unsafe_add(unsafe_mul(unsafe_add(unsafe_mul(MILLS_P8, y) >> 96, MILLS_P7), y) >> 96, MILLS_P6), y
        ) >> 96,
        MILLS_P5,
    )
    p = unsafe_add(
        unsafe_mul(
            unsafe_add(unsafe_mul(unsafe_add(unsafe_mul(p, y) >> 96, MILLS_P4), y) >> 96, MILLS_P3), y
        ) >> 96,
        MILLS_P2,
    )
    p = unsafe_add(unsafe_mul(unsafe_add(unsafe_mul(p, y) >> 96, MILLS_P1), y) >> 96, MILLS_P0)
    q: uint256 = unsafe_add(
        unsafe_mul(
            unsafe_add(unsafe_mul(unsafe_add(unsafe_mul(MILLS_Q9, y) >> 96, MILLS_Q8), y) >> 96, MILLS_Q7), y
        ) >> 96,
        MILLS_Q6,
    )
    q = unsafe_add(
        unsafe_mul(
            unsafe_add(unsafe_mul(unsafe_add(unsafe_mul(q, y) >> 96, MILLS_Q5), y) >> 96, MILLS_Q4), y
        ) >> 96,
        MILLS_Q3,
    )
    q = unsafe_add(
        unsafe_mul(
            unsafe_add(unsafe_mul(unsafe_add(unsafe_mul(q, y) >> 96, MILLS_Q2), y) >> 96, MILLS_Q1), y
        ) >> 96,
        ONE,
    )
    return unsafe_div(p << 96, q)
