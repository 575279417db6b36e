"""Avellaneda-Stoikov: quotes around a reservation price that inventory shifts.

With the vault's inventory n, in lots of L quote, absolute risk aversion γ [1/quote], volatility σ, horizon τ and an
arrival rate of orders that falls as exp(−κδ) with their distance δ [fraction] from the mark:

    reservation price  = P·(1 − n·γσ²τL)                      so the marginal shift is γσ²τ per unit of dollar delta
    half-width         = γσ²τL/2 + ln(1 + γL/κ)/(γL)          [fraction]

A trade of any size is charged the shift's integral along it, of which γσ²τL/2 is the first lot's, and the logarithm on
its notional: cost = γσ²τ/2·((Q + dQ)² − Q²) + |dQ|·ln(1 + γL/κ)/(γL), Q the traders' net position in quote. There
is no funding and nothing is kept in reserve: what inventory costs is LPs' at once, and so is paying it back.

Source: M. Avellaneda and S. Stoikov, High-frequency trading in a limit order book, Quantitative Finance 8 (2008),
equations (29) and (30), with their T − t held at τ. Their numbers are those of one share; ours here: γ = 8/equity,
τ of a day, κ such that the width of small lots is 4 bp.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np

from sims.jit import njit
from sims.world import EQUITY, NET, PRICE, SIGMA, YEAR, Floats

GAMMA, KAPPA, LOT, HORIZON, FEE_SHARE = range(5)
LEAST_EQUITY = 1.0  # [quote] below which risk aversion does not rise any more
N_STATE, N_MARKET_STATE = 0, 0


@dataclass(frozen=True, slots=True)
class Params:
    """Names as above."""

    gamma: float = 8.0  # γ times equity
    kappa: float = 2_500.0
    lot: float = 10_000.0  # [quote]
    horizon: float = 86_400.0  # [s]
    fee_share: float = 0.0  # [fraction of the width] that is not LPs'

    def array(self) -> Floats:
        """The fields in their order."""
        return np.array(astuple(self))


@njit
def start(p: Floats, z: Floats, m: Floats, g: Floats) -> None:
    """There is no state."""


@njit
def accrue(p: Floats, z: Floats, m: Floats, g: Floats) -> tuple[float, float]:
    """Nothing is paid for holding."""
    return 0.0, 0.0


@njit
def _gamma(p: Floats, g: Floats) -> float:
    return float(p[GAMMA] / max(g[EQUITY], LEAST_EQUITY))


@njit
def _shift(p: Floats, m: Floats, g: Floats, i: int, dq: float) -> float:
    price = m[i, PRICE]
    variance = m[i, SIGMA] ** 2 * p[HORIZON] / YEAR
    return float(_gamma(p, g) * variance * price * price * dq * (m[i, NET] + dq / 2))


@njit
def _width(p: Floats, m: Floats, g: Floats, i: int, dq: float) -> float:
    x = _gamma(p, g) * p[LOT]
    return float(np.log1p(x / p[KAPPA]) / x * abs(dq) * m[i, PRICE])


@njit
def quote(p: Floats, z: Floats, m: Floats, g: Floats, i: int, dq: float) -> float:
    """[quote] shift and width; it refuses nothing."""
    return _shift(p, m, g, i, dq) + _width(p, m, g, i, dq)


@njit
def fill(p: Floats, z: Floats, m: Floats, g: Floats, i: int, dq: float) -> tuple[float, float]:
    """All of the shift and LPs' part of the width."""
    return _shift(p, m, g, i, dq) + (1.0 - p[FEE_SHARE]) * _width(p, m, g, i, dq), 0.0
