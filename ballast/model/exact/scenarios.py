"""Integer twin of ``contracts/pricing/scenarios.vy``: a call when spot and volatility are shocked, to the wei."""

from __future__ import annotations

from ballast.model.exact.fixed import SPOT_SHOCKS, VOL_SHOCKS, WAD, tdiv

MIN_VOL = 10**16
FAR = 16 * 2**32
FRACTION = 2**32 - 1
HALF_LOG2_E = 13_306_513_097_844_322_492

# ln(1 + SPOT_SHOCKS), Q96
LOG_SHOCKS = (
    -54_916_777_467_707_473_351_141_471_128,
    -28_258_700_423_144_010_772_002_554_335,
    -12_876_076_157_893_979_085_996_786_991,
    0,
    0,
    11_073_081_883_808_320_767_408_542_213,
    20_786_638_583_165_809_478_810_371_686,
    32_124_255_479_057_406_416_523_745_725,
)

# lowest power first: ballast/model/analytic/fit.py
POWER = (
    704_869_996_207_084_920_178_328_844_241_711_828_493_885_963_755_662_958_348_045_759_071_387_648,
    -113_756_060_229_719_403_338_348_069_772_467_783_426_694_418_409_670_047_745_179_648,
    9_179_232_591_971_090_994_487_235_692_004_920_699_910_013_914_710_016,
    -493_688_397_863_019_590_138_875_263_676_541_319_512_064,
    19_844_724_079_540_478_765_240_407_621_632,
    -615_336_827_808_031_113_865,
    12_288_792_836,
)
RATIO_P = (
    15_985_133_166_602_505_366_567_632_356_984_532_838_108_888_819_564_544,
    2_344_318_671_619_827_512_464_805_072_596_272_737_681_408,
    164_670_338_088_314_655_021_405_095_767_296,
    4_710_096_593_547_350_055_131,
    83_139_282,
)
# the last is 1
RATIO_Q = (
    11_599_960_229_552_937_820_031_731_667_070_003_183_616,
    3_856_150_653_755_458_232_533_035_078_597,
    521_451_007_852_515_672_308,
    34_700_453_498,
    1,
)


def calls(spot: int, strike: int, vol: int, root: int, log_moneyness: int) -> list[int]:
    """One call in each scenario [quote, WAD].

    spot, discounted strike [quote/base, WAD], vol [per sqrt year, WAD], before the shock; root [sqrt year, Q96] of the
    time to expiry; log_moneyness = ln(spot / strike) [Q96].
    """
    return [
        shocked_call(
            spot * (WAD + spot_shock) // WAD,
            strike,
            max(vol + vol_shock, MIN_VOL) * root // WAD,
            log_moneyness + log_shock,
        )
        for spot_shock, vol_shock, log_shock in zip(SPOT_SHOCKS, VOL_SHOCKS, LOG_SHOCKS, strict=True)
    ]


def shocked_call(spot: int, strike: int, v: int, log_moneyness: int) -> int:
    """One call after any shock [quote, WAD]; v = vol * sqrt(time) [Q96]."""
    v |= 1
    d1 = tdiv(log_moneyness << 32, v) + (v >> 65)
    d2 = d1 - (v >> 64)
    if abs(d1) >= FAR:
        return max(spot - strike, 0)
    bits = d1 * d1 * HALF_LOG2_E >> 96
    q = spot * (_horner(POWER, bits & FRACTION) >> (bits >> 32) + 160)
    own, owed = (q * _ratio(abs(d)) >> 144 for d in (d1, d2))
    return (own if d1 < 0 else spot - own) - (owed if d2 < 0 else strike - owed)


def _ratio(y: int) -> int:
    """N(-y) / phi(y) [Q64]; y in Q32."""
    return _horner(RATIO_P, y) // (_horner(RATIO_Q, y) >> 24)


def _horner(coefficients: tuple[int, ...], x: int) -> int:
    """Nothing is rounded."""
    value = 0
    for coefficient in reversed(coefficients):
        value = value * x + coefficient
    return value
