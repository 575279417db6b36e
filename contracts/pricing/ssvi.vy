# pragma version 0.4.3
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  SSVI: implied volatility of a strike from a surface free of static arbitrage
@notice Total variance w = vol^2 * years at k = ln(strike / forward), with theta the total variance at the money:

            w(k) = theta / 2 * (1 + rho phi k + sqrt((phi k + rho)^2 + 1 - rho^2)),  phi = eta / sqrt(theta (1 + theta))

        Source: J. Gatheral and A. Jacquier, Arbitrage-free SVI volatility surfaces, Quantitative Finance 14 (2014):
        theta rising in expiry leaves no calendar arbitrage (theorem 4.1), eta (1 + |rho|) <= 2 no butterflies
        (remark 4.4).
@dev    Pure. theta < 2^64, eta <= 2 WAD, |rho| < WAD, |k| <= MAX_LOG. MAX_PHI and MAX_X hold the products down.
"""

from contracts import constants as c

ONE: constant(uint256) = 2**96
MAX_LOG: constant(uint256) = 2**103 - 1 # Q96: the largest |k|
MAX_PHI: constant(uint256) = 2**112     # Q96: theta below 1e-9, i.e. 1 % of volatility for a minute
MAX_X: constant(int256) = 2**111        # Q96: |phi k| beyond has the slope of the wing


@internal
@pure
def curvature(theta: uint256, eta: uint256) -> uint256:
    """
    @notice phi = eta / sqrt(theta (1 + theta)) [Q96], at most MAX_PHI.
    @param theta total variance at the money [WAD], < 2^64
    @param eta [WAD]
    """
    root: uint256 = isqrt(unsafe_mul(theta, unsafe_add(theta, c.WAD)) << 96)       # [WAD * 2^48]
    if root == 0:
        return MAX_PHI
    return min(unsafe_div(eta << 144, root), MAX_PHI)


@internal
@pure
def total_variance(k: int256, theta: uint256, phi: uint256, rho: int256) -> uint256:
    """
    @notice w(k) [Q96].
    @param k ln(strike / forward) [Q96]
    @param theta total variance at the money [WAD]
    @param phi `curvature` of theta [Q96]
    @param rho [WAD], within (-1, 1)
    """
    # |k| < 2^103 and phi <= 2^112
    x: int256 = max(min(unsafe_mul(k, convert(phi, int256)) >> 96, MAX_X), -MAX_X)
    r: int256 = unsafe_div(unsafe_mul(rho, convert(ONE, int256)), c.SWAD)
    y: int256 = unsafe_add(x, r)
    # both squares are below 2^224, and 1 - rho^2 is positive
    inside: uint256 = convert(
        unsafe_sub(unsafe_add(unsafe_mul(y, y), convert(ONE * ONE, int256)), unsafe_mul(r, r)), uint256
    )
    # 1 + rho x >= -|x| and the root exceeds |x + rho| - |rho|: positive but for rounding
    slope: int256 = unsafe_add(convert(unsafe_add(ONE, isqrt(inside)), int256), unsafe_mul(r, x) >> 96)
    return unsafe_div(unsafe_mul(theta, convert(max(slope, 0), uint256)), 2 * c.WAD)


@internal
@pure
def bends(k: int256, phi: uint256, rho: int256, v: uint256) -> (int256, int256):
    """
    @notice How the deviation v changes with k: v' and v v'' [Q96].
    @dev    With c = phi v, R the root in w, w = theta m / 2 and z = rho + (phi k + rho) / R: v' = c z / (2 m) and
            v v'' = c^2 (1 - rho^2) / (2 m R^3) - v'^2. |rho| <= 0.95 holds R above 0.31 and m above 0.19, c is below
            2^116 whatever v is, and no product reaches 2^241.
    @param v vol * sqrt(years) at k [Q96], < 2^100
    """
    x: int256 = max(min(unsafe_mul(k, convert(phi, int256)) >> 96, MAX_X), -MAX_X)
    r: int256 = unsafe_div(unsafe_mul(rho, convert(ONE, int256)), c.SWAD)
    y: int256 = unsafe_add(x, r)
    rest: int256 = unsafe_sub(convert(ONE * ONE, int256), unsafe_mul(r, r))
    inside: int256 = unsafe_add(unsafe_mul(y, y), rest)
    root: int256 = convert(isqrt(convert(inside, uint256)), int256)
    twice: int256 = unsafe_mul(2, unsafe_add(unsafe_add(convert(ONE, int256), root), unsafe_mul(r, x) >> 96))
    scale: int256 = convert(unsafe_mul(v, phi) >> 96, int256)
    first: int256 = unsafe_div(unsafe_mul(scale, unsafe_add(r, unsafe_div(y << 96, root))), twice)
    second: int256 = unsafe_div(unsafe_mul(unsafe_mul(scale, scale) >> 96, rest >> 96), twice)
    second = unsafe_div(unsafe_div(second << 96, inside >> 96) << 96, root)
    return first, unsafe_sub(second, unsafe_mul(first, first) >> 96)


@internal
@pure
def deviation(variance: uint256) -> uint256:
    """@notice vol * sqrt(years), rounded down [Q96]; variance [Q96] < 2^160."""
    return isqrt(variance << 96)


@internal
@pure
def volatility(variance: uint256, root: uint256) -> uint256:
    """
    @notice Annual volatility, rounded down [per sqrt year, WAD]; zero at expiry.
    @param variance total variance [Q96]
    @param root square root of the time to expiry [sqrt year, Q96]
    """
    return unsafe_div(unsafe_mul(self.deviation(variance), c.WAD), root)
