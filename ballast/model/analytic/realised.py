"""Realised variance from a price that arrives in rounds, and the push feed that makes rounds out of a price.

The float side of ``contracts/oracle/variance.vy``: same recursion, no rounding, no saturation.
Differences of nearly equal numbers are taken before logarithm and exponential (log1p, expm1), so that a double keeps
fifteen digits of a weight of 1e-6.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

YEAR = 365.0 * 86_400.0


class Rounds(NamedTuple):
    """What a push feed published."""

    times: Ints  # [s] (n,), strictly increasing
    prices: Floats  # [quote/base] (n,)


def push_rounds(times: Ints, prices: Floats, deviation: float, heartbeat: int) -> Rounds:
    """Publish when the price left the last published one by ``deviation``, or ``heartbeat`` passed since.

    times: [s] (n,) strictly increasing; prices: [quote/base] (n,); deviation: fraction, 0 publishes every observation;
    heartbeat: [s]. The first observation is always published.
    """
    kept = [0]
    last_time, last_price = int(times[0]), float(prices[0])
    for i in range(1, len(times)):
        moved = abs(float(prices[i]) - last_price) >= deviation * last_price
        if moved or int(times[i]) - last_time >= heartbeat:
            kept.append(i)
            last_time, last_price = int(times[i]), float(prices[i])
    index = np.asarray(kept)
    return Rounds(times[index], prices[index])


def log_returns(prices: Floats, clip: float = np.inf) -> Floats:
    """ln(S_i / S_{i-1}) clipped to ±clip, (n - 1,). The difference is taken first: exact for neighbours."""
    before = prices[:-1]
    returns: Floats = np.clip(np.log1p((prices[1:] - before) / before), -clip, clip)
    return returns


def ewma_variance(rounds: Rounds, half_life: float, initial: float, clip: float = np.inf) -> Floats:
    """Time-weighted EWMA of squared log returns, [1/year] (n,); entry 0 is ``initial``.

    v_i = v_{i-1} · w + (1 - w) · r_i² · YEAR / dt_i,  w = 2^(-dt_i / half_life).
    half_life: [s]; initial: [1/year].
    """
    dt = np.diff(rounds.times).astype(np.float64)
    samples = log_returns(rounds.prices, clip) ** 2 * (YEAR / dt)
    new = -np.expm1(-np.log(2.0) * dt / half_life)
    out = np.empty(len(rounds.times))
    out[0] = v = initial
    for i in range(len(dt)):
        v += new[i] * (samples[i] - v)
        out[i + 1] = v
    return out


def realised_sigma(
    rounds: Rounds,
    half_life_fast: float,
    half_life_slow: float,
    initial_sigma: float,
    sigma_floor: float,
    sigma_cap: float = np.inf,
    clip: float = np.inf,
) -> Floats:
    """σ = min(max(√fast, √slow, floor), cap) after each round, [1/√year] (n,)."""
    fast = ewma_variance(rounds, half_life_fast, initial_sigma**2, clip)
    slow = ewma_variance(rounds, half_life_slow, initial_sigma**2, clip)
    sigma: Floats = np.clip(np.sqrt(np.maximum(fast, slow)), sigma_floor, sigma_cap)
    return sigma
