# pragma version 0.4.3
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Scenarios: a call's value when spot and volatility are shocked at once
@notice Black-76 to 2e-8 of the shocked spot, for risk, at a third of black76.vy's gas. With q = S phi(d1) = Kd phi(d2)
        and Mills' ratio m(y) = N(-y) / phi(y):

            call = S N(d1) - Kd N(d2)
            S N(d1)  = q m(-d1)  if d1 < 0,  else S - q m(d1)
            Kd N(d2) = q m(-d2)  if d2 < 0,  else Kd - q m(d2)

@dev    Total: amounts are below 2^96, vol at most black76.MAX_VOL, roots those of less than 2^32 s; hence v < 2^7 and,
        where |d1| < FAR, |d2| < 2^8. The polynomials take |d| or a fraction in Q32 and need no shifts: the coefficient
        of x^k is smaller by 2^(32 k). No value on the way reaches 2^250. Minimax fits, printed with their errors by
        ballast/model/analytic/fit.py. Through bytes32 goes, unchecked, what is known to be positive.
"""

from contracts import constants as c

MIN_VOL: constant(int256) = 10**16              # [per sqrt year, WAD] no scenario has less than 1 %
FAR: constant(uint256) = 16 * 2**32             # Q32; standard deviations beyond which a tail is nothing
FRACTION: constant(uint256) = 2**32 - 1
HALF_LOG2_E: constant(uint256) = 13_306_513_097_844_322_492         # Q64

# ln(1 + SPOT_SHOCKS), Q96
LOG_SHOCKS: constant(int256[c.N_STRESS]) = [
    -54_916_777_467_707_473_351_141_471_128,
    -28_258_700_423_144_010_772_002_554_335,
    -12_876_076_157_893_979_085_996_786_991,
    0,
    0,
    11_073_081_883_808_320_767_408_542_213,
    20_786_638_583_165_809_478_810_371_686,
    32_124_255_479_057_406_416_523_745_725,
]

# 2^-f / sqrt(2 pi) in powers of -f, f <= 1 [Q240]; error < 6e-10
POWER_0: constant(uint256) = (
    704_869_996_207_084_920_178_328_844_241_711_828_493_885_963_755_662_958_348_045_759_071_387_648
)
POWER_1: constant(uint256) = 113_756_060_229_719_403_338_348_069_772_467_783_426_694_418_409_670_047_745_179_648
POWER_2: constant(uint256) = 9_179_232_591_971_090_994_487_235_692_004_920_699_910_013_914_710_016
POWER_3: constant(uint256) = 493_688_397_863_019_590_138_875_263_676_541_319_512_064
POWER_4: constant(uint256) = 19_844_724_079_540_478_765_240_407_621_632
POWER_5: constant(uint256) = 615_336_827_808_031_113_865
POWER_6: constant(uint256) = 12_288_792_836

# Mills' ratio, numerator [Q168] and denominator [Q128], whose leading coefficient is 1; error < 2e-8 where it counts
RATIO_P0: constant(uint256) = 15_985_133_166_602_505_366_567_632_356_984_532_838_108_888_819_564_544
RATIO_P1: constant(uint256) = 2_344_318_671_619_827_512_464_805_072_596_272_737_681_408
RATIO_P2: constant(uint256) = 164_670_338_088_314_655_021_405_095_767_296
RATIO_P3: constant(uint256) = 4_710_096_593_547_350_055_131
RATIO_P4: constant(uint256) = 83_139_282
RATIO_Q0: constant(uint256) = 11_599_960_229_552_937_820_031_731_667_070_003_183_616
RATIO_Q1: constant(uint256) = 3_856_150_653_755_458_232_533_035_078_597
RATIO_Q2: constant(uint256) = 521_451_007_852_515_672_308
RATIO_Q3: constant(uint256) = 34_700_453_498


@internal
@pure
def calls(spot: uint256, strike: uint256, vol: uint256, root: uint256, log_moneyness: int256) -> int256[c.N_STRESS]:
    """
    @notice One call in each scenario of constants.vy [quote, WAD]; by its error, a value may lie below zero.
    @dev    One by one: arrays of constants and a loop took two fifths more gas.
    @param spot Before the shock [quote/base, WAD].
    @param strike Discounted to today [quote/base, WAD].
    @param vol Before the shock [per sqrt year, WAD].
    @param root Square root of the time to expiry [sqrt year, Q96]. Zero means expired.
    @param log_moneyness ln(spot / strike) [Q96], |.| < 2^103.
    """
    s: int256 = convert(spot, int256)
    kd: int256 = convert(strike, int256)
    sigma: int256 = convert(vol, int256)
    time: int256 = convert(root, int256)
    return [
        self.shocked_call(
            unsafe_mul(s, c.SWAD + c.SPOT_SHOCKS[0]), kd, unsafe_mul(unsafe_add(sigma, c.VOL_SHOCKS[0]), time),
            unsafe_add(log_moneyness, LOG_SHOCKS[0]),
        ),
        self.shocked_call(
            unsafe_mul(s, c.SWAD + c.SPOT_SHOCKS[1]), kd, unsafe_mul(unsafe_add(sigma, c.VOL_SHOCKS[1]), time),
            unsafe_add(log_moneyness, LOG_SHOCKS[1]),
        ),
        self.shocked_call(
            unsafe_mul(s, c.SWAD + c.SPOT_SHOCKS[2]), kd, unsafe_mul(unsafe_add(sigma, c.VOL_SHOCKS[2]), time),
            unsafe_add(log_moneyness, LOG_SHOCKS[2]),
        ),
        self.shocked_call(
            unsafe_mul(s, c.SWAD + c.SPOT_SHOCKS[3]), kd, unsafe_mul(unsafe_add(sigma, c.VOL_SHOCKS[3]), time),
            unsafe_add(log_moneyness, LOG_SHOCKS[3]),
        ),
        self.shocked_call(
            unsafe_mul(s, c.SWAD + c.SPOT_SHOCKS[4]), kd,
            unsafe_mul(max(unsafe_add(sigma, c.VOL_SHOCKS[4]), MIN_VOL), time),
            unsafe_add(log_moneyness, LOG_SHOCKS[4]),
        ),
        self.shocked_call(
            unsafe_mul(s, c.SWAD + c.SPOT_SHOCKS[5]), kd, unsafe_mul(unsafe_add(sigma, c.VOL_SHOCKS[5]), time),
            unsafe_add(log_moneyness, LOG_SHOCKS[5]),
        ),
        self.shocked_call(
            unsafe_mul(s, c.SWAD + c.SPOT_SHOCKS[6]), kd, unsafe_mul(unsafe_add(sigma, c.VOL_SHOCKS[6]), time),
            unsafe_add(log_moneyness, LOG_SHOCKS[6]),
        ),
        self.shocked_call(
            unsafe_mul(s, c.SWAD + c.SPOT_SHOCKS[7]), kd, unsafe_mul(unsafe_add(sigma, c.VOL_SHOCKS[7]), time),
            unsafe_add(log_moneyness, LOG_SHOCKS[7]),
        ),
    ]


@internal
@pure
def shocked_call(shocked: int256, kd: int256, width: int256, log_moneyness: int256) -> int256:
    """
    @notice One call after any shock [quote, WAD]; by its error, it may lie below zero.
    @param shocked Spot after it [quote/base, WAD * WAD]: the callers leave the division to this function.
    @param kd [quote/base, WAD]
    @param width v = vol * sqrt(time) after it [Q96 * WAD].
    @param log_moneyness ln(S / Kd) of that spot [Q96]
    """
    s: int256 = unsafe_div(shocked, c.SWAD)
    v: int256 = unsafe_div(width, c.SWAD) | 1       # not zero: without time, d1 is beyond FAR
    d: int256 = unsafe_add(unsafe_div(unsafe_mul(log_moneyness, 2**32), v), v >> 65)
    y: uint256 = convert(convert(d if d >= 0 else unsafe_sub(0, d), bytes32), uint256)
    if y >= FAR:
        return max(unsafe_sub(s, kd), 0)
    # exp(-d1^2 / 2) = 2^-(n + f)
    bits: uint256 = unsafe_mul(unsafe_mul(y, y), HALF_LOG2_E) >> 96     # Q32
    f: uint256 = bits & FRACTION
    density: uint256 = unsafe_sub(
        POWER_0, unsafe_mul(f, unsafe_sub(POWER_1, unsafe_mul(f, unsafe_sub(POWER_2, unsafe_mul(f, unsafe_sub(
            POWER_3, unsafe_mul(f, unsafe_sub(POWER_4, unsafe_mul(f, unsafe_sub(POWER_5, unsafe_mul(f, POWER_6))))))
        )))))
    ) >> unsafe_add(bits >> 32, 160)                # Q80
    q: uint256 = unsafe_mul(convert(convert(s, bytes32), uint256), density)     # [quote, WAD * 2^80]
    own: int256 = convert(convert(unsafe_mul(
        q,
        unsafe_div(
            unsafe_add(unsafe_mul(y, unsafe_add(unsafe_mul(y, unsafe_add(unsafe_mul(y, unsafe_add(
                unsafe_mul(y, RATIO_P4), RATIO_P3)), RATIO_P2)), RATIO_P1)), RATIO_P0),
            unsafe_add(unsafe_mul(y, unsafe_add(unsafe_mul(y, unsafe_add(unsafe_mul(y, unsafe_add(
                y, RATIO_Q3)), RATIO_Q2)), RATIO_Q1)), RATIO_Q0) >> 24,
        ),
    ) >> 144, bytes32), int256)
    if d >= 0:
        own = unsafe_sub(s, own)
    d = unsafe_sub(d, v >> 64)                      # d2
    y = convert(convert(d if d >= 0 else unsafe_sub(0, d), bytes32), uint256)
    owed: int256 = convert(convert(unsafe_mul(
        q,
        unsafe_div(
            unsafe_add(unsafe_mul(y, unsafe_add(unsafe_mul(y, unsafe_add(unsafe_mul(y, unsafe_add(
                unsafe_mul(y, RATIO_P4), RATIO_P3)), RATIO_P2)), RATIO_P1)), RATIO_P0),
            unsafe_add(unsafe_mul(y, unsafe_add(unsafe_mul(y, unsafe_add(unsafe_mul(y, unsafe_add(
                y, RATIO_Q3)), RATIO_Q2)), RATIO_Q1)), RATIO_Q0) >> 24,
        ),
    ) >> 144, bytes32), int256)
    if d >= 0:
        owed = unsafe_sub(kd, owed)
    return unsafe_sub(own, owed)
