"""Integer twin of ``contracts/pricing/ssvi.vy``: implied volatility of a strike, to the wei."""

from __future__ import annotations

import math

from ballast.model.exact.fixed import WAD, tdiv

Q96 = 2**96
MAX_PHI = 2**112
MAX_X = 2**111


def curvature(theta: int, eta: int) -> int:
    """phi = eta / sqrt(theta (1 + theta)) [Q96]; theta, eta [WAD]."""
    root = math.isqrt(theta * (theta + WAD) << 96)
    return MAX_PHI if root == 0 else min((eta << 144) // root, MAX_PHI)


def total_variance(k: int, theta: int, phi: int, rho: int) -> int:
    """w(k) [Q96]; k = ln(strike / forward) [Q96], theta [WAD], phi [Q96], rho [WAD]."""
    x = max(min(k * phi >> 96, MAX_X), -MAX_X)
    r = tdiv(rho * Q96, WAD)
    y = x + r
    inside = y * y + Q96 * Q96 - r * r
    slope = Q96 + math.isqrt(inside) + (r * x >> 96)
    return theta * max(slope, 0) // (2 * WAD)


def bends(k: int, phi: int, rho: int, v: int) -> tuple[int, int]:
    """v' and v v'' of the deviation v [Q96] by k; arguments as above."""
    x = max(min(k * phi >> 96, MAX_X), -MAX_X)
    r = tdiv(rho * Q96, WAD)
    y = x + r
    rest = Q96 * Q96 - r * r
    inside = y * y + rest
    root = math.isqrt(inside)
    twice = 2 * (Q96 + root + (r * x >> 96))
    scale = v * phi >> 96
    first = tdiv(scale * (r + tdiv(y << 96, root)), twice)
    second = (scale * scale >> 96) * (rest >> 96) // twice
    second = ((second << 96) // (inside >> 96) << 96) // root
    return first, second - (first * first >> 96)


def deviation(variance: int) -> int:
    """vol * sqrt(years) [Q96]; variance [Q96]."""
    return math.isqrt(variance << 96)


def volatility(variance: int, root: int) -> int:
    """Annual volatility [per sqrt year, WAD]; variance, root [sqrt year] in Q96; zero at expiry."""
    return deviation(variance) * WAD // root if root else 0
