"""Floating-point Black-76, vectorised: value and greeks by the textbook formulas, for study and tolerance tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

Array = npt.NDArray[np.float64]
Values = Array | float


@dataclass(frozen=True, slots=True)
class Options:
    """Arrays of one shape: call, put [quote]; delta, theta [per year] of the call; gamma [1/quote], vega [per 1.00]."""

    call: Array
    put: Array
    delta: Array
    gamma: Array
    vega: Array
    theta: Array


def evaluate(spot: Values, strike: Values, vol: Values, years: Values, rate: Values = 0.0) -> Options:
    """F. Black, J. Financial Economics 3 (1976), on the forward spot * exp(rate * years), discounted at `rate`.

    All arguments broadcast; strike is undiscounted [quote/base], vol > 0 [per sqrt year], years > 0, rate [per year].
    """
    s, k, sigma, t, r = np.broadcast_arrays(
        *(np.asarray(x, dtype=np.float64) for x in (spot, strike, vol, years, rate))
    )
    kd, root = k * np.exp(-r * t), np.sqrt(t)
    d1 = np.log(s / kd) / (sigma * root) + sigma * root / 2
    d2 = d1 - sigma * root
    density = np.exp(-d1 * d1 / 2) / np.sqrt(2 * np.pi)
    return Options(
        call=s * ndtr(d1) - kd * ndtr(d2),
        put=kd * ndtr(-d2) - s * ndtr(-d1),
        delta=ndtr(d1),
        gamma=density / (s * sigma * root),
        vega=s * density * root,
        theta=-s * density * sigma / (2 * root) - r * kd * ndtr(d2),
    )
