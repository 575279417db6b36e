# pragma version 0.4.3
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Realised variance of a price that arrives in rounds
@notice An exponentially weighted mean of squared log returns per year, where a round weighs what the time since the round
        before it is worth: over dt seconds the old estimate keeps w = 2^(-dt / half_life) and the new sample
        r^2 * YEAR / dt gets 1 - w. Two rounds of dt/2 therefore forget exactly as much as one of dt.
@dev    Scales: _24 is 1e24, _27 is 1e27. Variances are kept at 1e24 because rounding a WAD once per round for a
        long half-life would show in the twelfth digit. Everything here is total on the domain that PriceOracle
        guarantees: prices in [1, 2^96), dt in [1, 2^40), half-life in [1, 2^32) seconds, clip <= 1.
"""

from contracts import constants as c

from snekmate.utils import math as snek


LN2_27: constant(uint256) = 693_147_180_559_945_309_417_232_121     # ln 2
ONE_27: constant(uint256) = 10**27
PADE_MAX_27: constant(uint256) = ONE_27 // 16       # below, the rational form's relative error is < 1e-17
NIL_27: constant(uint256) = 41 * ONE_27             # above, 2^(-dt / half_life) < 1.6e-18 counts as nothing
MAX_24: constant(uint256) = 2**96 - 1              # 79,228 per year; the estimate saturates there


@internal
@pure
def log_return(now: uint256, before: uint256, clip: uint256) -> uint256:
    """
    @notice min(|ln(now / before)|, clip).
    @dev The larger price goes on top: the quotient is then >= 1, so its relative error is <= 1e-18 however far the price
         fell. The sign is not needed, only the square is used.
    @param now     [WAD] in [1, 2^96)
    @param before  [WAD] in [1, 2^96)
    @param clip    [WAD]
    @return [WAD] rounded down
    """
    # prices are > 0 and times WAD below 2^156
    quotient: uint256 = 0
    if now >= before:
        quotient = unsafe_div(unsafe_mul(now, c.WAD), before)
    else:
        quotient = unsafe_div(unsafe_mul(before, c.WAD), now)
    # quotient is in [WAD, 2^156), where ln is defined and >= 0
    return min(convert(snek._wad_ln(convert(quotient, int256)), uint256), clip)


@internal
@pure
def forgetting(dt: uint256, half_life: uint256) -> uint256:
    """
    @notice 1 - 2^(-dt / half_life), the weight of the new sample.
    @dev Subtracting an exponential from one loses every digit that matters when dt << half_life. With
         x = dt ln2 / half_life and N the numerator of the (4, 4) Pade form exp(x) = N(x) / N(-x),
         1 - exp(-x) = (N(x) - N(-x)) / N(x) = (1680 x + 40 x^3) / N(x): nothing is subtracted.
    @param dt         [s] >= 1
    @param half_life  [s] >= 1
    @return [1e27] in (0, 1]
    """
    # dt * LN2_27 < 2^40 * 2^90
    x: uint256 = unsafe_div(unsafe_mul(dt, LN2_27), half_life)
    if x >= NIL_27:
        return ONE_27
    if x > PADE_MAX_27:
        # exp(-x) in WAD, times 1e9
        return ONE_27 - convert(snek._wad_exp(-convert(x // 10**9, int256)), uint256) * 10**9
    # x <= 2^86, so x2 <= 2^82 and no term or product reaches 2^192
    x2: uint256 = unsafe_div(unsafe_mul(x, x), ONE_27)
    even: uint256 = unsafe_add(
        unsafe_add(1680 * ONE_27, unsafe_mul(180, x2)), unsafe_div(unsafe_mul(x2, x2), ONE_27)
    )
    odd: uint256 = unsafe_div(unsafe_mul(x, unsafe_add(840 * ONE_27, unsafe_mul(20, x2))), ONE_27)
    return unsafe_div(unsafe_mul(odd, 2 * ONE_27), unsafe_add(even, odd))


@internal
@pure
def sample(log_return: uint256, dt: uint256) -> uint256:
    """
    @notice r^2 * YEAR / dt, the variance per year that one return over dt shows.
    @param log_return  [WAD] <= 1
    @param dt          [s] >= 1
    @return [1/year, 1e24] rounded down
    """
    # r^2 * YEAR < 2^145 and dt * 1e12 < 2^80, dt > 0
    return unsafe_div(unsafe_mul(unsafe_mul(log_return, log_return), c.YEAR), unsafe_mul(dt, 10**12))


@internal
@pure
def blend(variance_24: uint256, sample_24: uint256, weight_27: uint256) -> uint256:
    """
    @notice variance * (1 - weight) + sample * weight, saturated at MAX_24.
    @return [1/year, 1e24] rounded up: an estimate never decays faster than it should
    """
    # variance < 2^96, sample < 2^105 (r <= 1, dt >= 1), weights <= 2^90: the sum is below 2^196
    return min(
        unsafe_div(
            unsafe_add(
                unsafe_add(
                    unsafe_mul(variance_24, unsafe_sub(ONE_27, weight_27)), unsafe_mul(sample_24, weight_27)
                ),
                ONE_27 - 1,
            ),
            ONE_27,
        ),
        MAX_24,
    )


@internal
@pure
def volatility(fast_24: uint256, slow_24: uint256, lowest: uint256, highest: uint256) -> uint256:
    """
    @notice min(max(sqrt(fast), sqrt(slow), lowest), highest).
    @return [1/sqrt(year), WAD] rounded down
    """
    # variances < 2^96
    return min(max(isqrt(unsafe_mul(max(fast_24, slow_24), 10**12)), lowest), highest)
