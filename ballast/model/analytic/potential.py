"""Floating-point potential of docs/mechanism.md §1, written from the formulas with numpy; every array is over markets.

It knows nothing of integers, words or rounding: the exact twin is compared with it, and it is compared with direct
eigenvalue and finite-difference computations.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
YEAR = 365 * 86_400.0


@dataclass(frozen=True, slots=True)
class Weights:
    """lambda, kappa, correlation ends, spot-vol correlation, omega, u*, u_max, and the horizon h [years]."""

    aversion: float = 8.0
    knee: float = 0.1
    c_lo: float = 0.0
    c_hi: float = 1.0
    rho: float = -0.3
    omega: float = 0.02
    u_star: float = 0.6
    u_max: float = 0.9
    horizon: float = 1 / 365


def correlation(n_markets: int, c: float, rho: float) -> Array:
    """C(c) (x) [[1, rho], [rho, 1]], shape (2n, 2n), ordered a_1..a_n, b_1..b_n."""
    equi = (1 - c) * np.eye(n_markets) + c * np.ones((n_markets, n_markets))
    return np.kron(np.array([[1.0, rho], [rho, 1.0]]), equi)


def variance(a: Array, b: Array, g: Array, w: Weights) -> float:
    """max over c of x' C(c) x for x = (a, b), plus (1 - c^2) sum g^2 + c^2 (sum g)^2 [quote^2]."""
    x = np.concatenate([a, b])
    values = [
        float(x @ correlation(len(a), c, w.rho) @ x)
        + (1 - c * c) * float(np.sum(g * g))
        + c * c * float(np.sum(g)) ** 2
        for c in (w.c_lo, w.c_hi)
    ]
    return max(values)


def inventory_term(var: float, capital: float, w: Weights) -> float:
    """I of docs/mechanism.md §1: quadratic up to s = kappa E, linear beyond [quote]."""
    s = sqrt(var)
    if s <= w.knee * capital:
        return w.aversion * var / (2 * capital)
    return w.aversion * (w.knee * s - w.knee**2 * capital / 2)


def utilization_term(stressed_loss: float, capital: float, w: Weights) -> float:
    """W = (omega / 2) E x^2, x = max(0, u - u*), continued linearly above u_max [quote]."""
    x = max(0.0, stressed_loss / capital - w.u_star)
    top = w.u_max - w.u_star
    if x <= top:
        return w.omega / 2 * capital * x * x
    return w.omega * capital * (top * x - top * top / 2)


def potential(
    dollar_delta: Array,
    sigma: Array,
    capital: float,
    w: Weights,
    *,
    vega: Array | None = None,
    vol_of_vol: Array | None = None,
    dollar_gamma: Array | None = None,
    stressed_loss: float | None = None,
) -> float:
    """U = I + W [quote].

    dollar_delta D [quote], sigma [1/sqrt(year)], vega [quote per 1.00 vol], vol_of_vol [1/sqrt(year)], dollar_gamma
    G = Gamma S^2 [quote], all shape (n_markets,). Without ``stressed_loss`` the book is linear: half of |D| per market.
    """
    root = float(np.sqrt(w.horizon))
    zeros = np.zeros_like(dollar_delta)
    a = dollar_delta * sigma * root
    b = zeros if vega is None or vol_of_vol is None else vega * vol_of_vol * root
    g = zeros if dollar_gamma is None else dollar_gamma * sigma**2 * w.horizon / np.sqrt(2)
    loss = 0.5 * float(np.sum(np.abs(dollar_delta))) if stressed_loss is None else stressed_loss
    return inventory_term(variance(a, b, g, w), capital, w) + utilization_term(loss, capital, w)


def funding_rate(dollar_delta: Array, sigma: Array, market: int, capital: float, w: Weights, ceiling: float) -> float:
    """clamp(dI/dD / h, +-ceiling) by central differences of a linear book [1/year]; > 0: the vault is too long."""
    step = max(1e-4 * float(np.max(np.abs(dollar_delta))), 1e-3)  # small beside the book: the branches have a kink
    values = []
    for sign in (1.0, -1.0):
        shifted = dollar_delta.copy()
        shifted[market] += sign * step
        zeros = np.zeros_like(shifted)
        a = shifted * sigma * np.sqrt(w.horizon)
        values.append(inventory_term(variance(a, zeros, zeros, w), capital, w))
    slope = (values[0] - values[1]) / (2 * step)
    return float(np.clip(slope / w.horizon, -ceiling, ceiling))
