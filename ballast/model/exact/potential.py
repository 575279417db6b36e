"""Integer twin of ``contracts/pricing/potential.vy``: the potential U and its derivative, to the wei."""

from __future__ import annotations

from dataclasses import dataclass

from ballast.model.exact.fixed import MICRO, WAD, root_down, tdiv

SQRT_HALF = 707_106_781_186_547_524


@dataclass(slots=True)
class Sums:
    """Running sums over markets: a, b, g [quote, WAD]; p, gg [quote^2, WAD]."""

    a: int = 0
    b: int = 0
    g: int = 0
    p: int = 0
    gg: int = 0


@dataclass(frozen=True, slots=True)
class Weights:
    """Parameters of U, all WAD."""

    aversion: int
    knee: int
    c_lo: int
    c_hi: int
    rho: int
    omega: int
    u_star: int
    u_max: int


def delta_term(delta: int, price: int, sigma_h: int) -> int:
    """a = delta * price * sigma sqrt(h), toward zero [quote, WAD]."""
    return tdiv(tdiv(delta * price, WAD) * sigma_h, WAD)


def vega_term(vega: int, xi_h: int) -> int:
    """b = vega * xi sqrt(h), toward zero [quote, WAD, in whole MICRO]."""
    return tdiv(vega * xi_h, WAD * MICRO) * MICRO


def gamma_term(gamma: int, price: int, sigma_h: int) -> int:
    """g = gamma * price^2 * sigma^2 h / sqrt(2), toward zero [quote, WAD, in whole MICRO]."""
    dollar_gamma = tdiv(tdiv(gamma * price, WAD) * price, WAD)
    variance_h = sigma_h * sigma_h // WAD
    return tdiv(tdiv(dollar_gamma * variance_h, WAD) * SQRT_HALF, WAD * MICRO) * MICRO


def square_term(a: int, b: int, rho: int) -> int:
    """(a^2 + b^2 + 2 rho a b) / WAD, rounded down, at least 0."""
    if b == 0:
        return a * a // WAD
    total = a * a + b * b + 2 * tdiv(rho * a, WAD) * b
    return total // WAD if total > 0 else 0


def variance(s: Sums, w: Weights) -> tuple[int, int]:
    """The worse of Var(c_lo) and Var(c_hi) [quote^2, WAD], and the c that gives it."""
    joint = square_term(s.a, s.b, w.rho)
    gamma_joint = s.g * s.g // WAD
    low = _mix(w.c_lo, s.p, joint, s.gg, gamma_joint)
    if w.c_hi == w.c_lo:
        return low, w.c_lo
    high = _mix(w.c_hi, s.p, joint, s.gg, gamma_joint)
    return (high, w.c_hi) if high >= low else (low, w.c_lo)


def _mix(correlation: int, own: int, joint: int, gamma_own: int, gamma_joint: int) -> int:
    result = ((WAD - correlation) * own + correlation * joint) // WAD
    if gamma_own != 0:
        square = correlation * correlation // WAD
        result += ((WAD - square) * gamma_own + square * gamma_joint) // WAD
    return result


def huber(weight: int, knee: int, capital: int, square: int) -> int:
    """Quadratic in sqrt(square) up to knee * capital, linear beyond [quote, WAD]."""
    limit = knee * capital // WAD
    if square <= limit * limit // WAD:
        return weight * square // (2 * capital)
    root = root_down(square)
    return weight * knee // WAD * (root - limit // 2) // WAD


def overuse(stressed_loss: int, capital: int, u_star: int) -> int:
    """(L - u* E)^2 / WAD where positive [quote^2, WAD]."""
    threshold = u_star * capital // WAD
    if stressed_loss <= threshold:
        return 0
    excess = stressed_loss - threshold
    return excess * excess // WAD


def potential(s: Sums, stressed_loss: int, capital: int, w: Weights) -> int:
    """U = I + W [quote, WAD]; capital > 0."""
    worst, _ = variance(s, w)
    result = huber(w.aversion, w.knee, capital, worst)
    square = overuse(stressed_loss, capital, w.u_star)
    if square != 0:
        result += huber(w.omega, w.u_max - w.u_star, capital, square)
    return result


def delta_price(s: Sums, a: int, sigma_h: int, capital: int, w: Weights) -> int:
    """dI/dD of one market over one horizon, delta terms only, toward zero [WAD]."""
    worst, branch = variance(s, w)
    mixed = tdiv((WAD - branch) * a + branch * s.a, WAD)
    slope = tdiv(mixed * sigma_h, WAD)
    limit = w.knee * capital // WAD
    if worst <= limit * limit // WAD:
        return tdiv(slope * w.aversion, capital)
    return tdiv(slope * (w.aversion * w.knee // WAD), root_down(worst))
