"""Perennial v2: an adiabatic offset beside linear and proportional fees, funding by a P-controller, a utilization rate.

With skew q [base] before a trade of dq, scale s [base] and price P:

    fees      = |dq|·P·linear + |dq|·P·(|dq|/s)·proportional         makers', here the LPs'
    offset    = dq·P·adiabatic·(q + dq/2)/s                          the pot's
    exposure  = adiabatic·q²/(2s) [base]                             LPs pay it times dP to the pot as the price
                                                                     moves: it holds what unwinding will pay
    rate     += dt·(q/s)/k, at most ±max                             funding; LPs take the net, rate·q·P
    interest  = jump rate of u, per year, on min(longs + shorts, maker)
    u         = max(major/(maker + minor), major·efficiency/maker)

The vault is the maker: maker = leverage·equity / markets / P. Nothing opens beyond u = 1.

Source: perennial-v2 @9978056, libs/VersionLib (_accumulateAdiabaticFee, _accumulateAdiabaticExposure,
_accumulateFunding, _accumulateInterest), types/Position (utilization), libs/InvariantLib; numbers are its ETH market's:
4 bp, 2 bp, 12 bp, s = 600, k = 18,432 s, ±175 %, 30 % at u = 67 %. The rate at u = 1 and the makers' leverage are ours.
BTC's scale is the same in quote at 20 ETH per BTC.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sims.jit import njit
from sims.world import CLOSING, ELAPSED, EQUITY, LONG, NET, PRICE, SHORT, YEAR, Floats

(
    LINEAR, PROPORTIONAL, ADIABATIC, CONTROLLER, FUNDING_MAX, TARGET, TARGET_RATE, MAX_RATE,
    EFFICIENCY, LEVERAGE, FEE_SHARE, SCALE,
) = range(12)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Params:
    """Names as above; one scale [base] for each market."""

    linear: float = 0.0004
    proportional: float = 0.0002
    adiabatic: float = 0.0012
    controller: float = 18_432.0  # k [s]
    funding_max: float = 1.75
    target: float = 0.67
    target_rate: float = 0.3
    max_rate: float = 1.0
    efficiency: float = 0.5
    leverage: float = 2.0
    fee_share: float = 0.0  # [fraction of fees] that is not LPs'
    scale: tuple[float, ...] = (600.0, 30.0)

    def array(self) -> Floats:
        """The fields in their order, scales last."""
        return np.array(
            [
                self.linear,
                self.proportional,
                self.adiabatic,
                self.controller,
                self.funding_max,
                self.target,
                self.target_rate,
                self.max_rate,
                self.efficiency,
                self.leverage,
                self.fee_share,
                *self.scale,
            ]
        )


# state: of each market, the funding rate [per year] and the price up to which exposure has been paid
N_STATE, N_MARKET_STATE = 0, 2
RATE, PAID_TO = range(N_MARKET_STATE)


@njit
def start(p: Floats, z: Floats, m: Floats, g: Floats) -> None:
    """No funding; exposure begins at the prices of now."""
    for i in range(m.shape[0]):
        z[N_MARKET_STATE * i + RATE], z[N_MARKET_STATE * i + PAID_TO] = 0.0, m[i, PRICE]


@njit
def _fees(p: Floats, m: Floats, i: int, dq: float) -> float:
    return float(abs(dq) * m[i, PRICE] * (p[LINEAR] + p[PROPORTIONAL] * abs(dq) / p[SCALE + i]))


@njit
def _offset(p: Floats, m: Floats, i: int, dq: float) -> float:
    return float(dq * m[i, PRICE] * p[ADIABATIC] * (m[i, NET] + dq / 2) / p[SCALE + i])


@njit
def utilization(p: Floats, longs: float, shorts: float, maker: float) -> float:
    """u as above; inf without makers for what is open."""
    major, minor = max(longs, shorts), min(longs, shorts)
    if major == 0.0:
        return 0.0
    if maker <= 0.0:
        return np.inf
    return float(max(major / (maker + minor), major * p[EFFICIENCY] / maker))


@njit
def _maker(p: Floats, m: Floats, g: Floats, i: int) -> float:
    return float(p[LEVERAGE] * max(g[EQUITY], 0.0) / (m.shape[0] * m[i, PRICE]))


@njit
def quote(p: Floats, z: Floats, m: Floats, g: Floats, i: int, dq: float) -> float:
    """[quote] fees and offset; inf where makers do not suffice for what opens."""
    if g[CLOSING] == 0.0:
        longs, shorts = m[i, LONG] + max(dq, 0.0), m[i, SHORT] + max(-dq, 0.0)
        if utilization(p, longs, shorts, _maker(p, m, g, i)) > 1.0:
            return np.inf
    return _fees(p, m, i, dq) + _offset(p, m, i, dq)


@njit
def fill(p: Floats, z: Floats, m: Floats, g: Floats, i: int, dq: float) -> tuple[float, float]:
    """LPs' part of the fees; the pot gets the offset."""
    return (1.0 - p[FEE_SHARE]) * _fees(p, m, i, dq), _offset(p, m, i, dq)


@njit
def accrue(p: Floats, z: Floats, m: Floats, g: Floats) -> tuple[float, float]:
    """Funding and interest; what LPs pay to the pot for its exposure, or get, as the price has moved."""
    paid, freed = 0.0, 0.0
    years = g[ELAPSED] / YEAR
    for i in range(m.shape[0]):
        price, net, at = m[i, PRICE], m[i, NET], N_MARKET_STATE * i
        moved = z[at + RATE] + g[ELAPSED] * net / p[SCALE + i] / p[CONTROLLER]
        z[at + RATE] = min(max(moved, -p[FUNDING_MAX]), p[FUNDING_MAX])
        paid += z[at + RATE] * net * price * years
        maker = _maker(p, m, g, i)
        used = min(utilization(p, m[i, LONG], m[i, SHORT], maker), 1.0)
        if used <= p[TARGET]:
            interest = p[TARGET_RATE] * used / p[TARGET]
        else:
            interest = p[TARGET_RATE] + (p[MAX_RATE] - p[TARGET_RATE]) * (used - p[TARGET]) / (1.0 - p[TARGET])
        paid += interest * min(m[i, LONG] + m[i, SHORT], maker) * price * years
        exposure = p[ADIABATIC] * net * net / (2 * p[SCALE + i])
        freed -= exposure * (price - z[at + PAID_TO])
        z[at + PAID_TO] = price
    return paid, freed


@njit
def rate(p: Floats, z: Floats, m: Floats, g: Floats, i: int) -> float:
    """Funding that longs pay [per year]."""
    return float(z[N_MARKET_STATE * i + RATE])
