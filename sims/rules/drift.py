"""Drift v2's vAMM: a constant product about the oracle, between spreads that widen with volatility, flow and inventory.

For each side, long where traders buy; q their net position, volumes decaying over a day, intensities over an hour:

    vol      = max(conf, (σ_mark + σ_oracle)/4)                    σ√hour for both: the mark is at the oracle
    side     = max(base/2, conf/20, vol·clamp(intensity/volume, 1 %, 100 %))
    largest  = max(max_spread, 2·conf, σ√hour)
    the side that would grow the net position:
             × min(s, 1 + s·I)    I = min(1, |q|P/open),  s = max(10, largest/side),  open: what liquidity is left
             × min(10, 1 + q²P²/depth/fees)                        what unwinding costs, of fees retained; 10 without
    together at most largest, in proportion
    cost     = |dq|·P·(taker + side) + P²dq²/(depth ∓ P·dq)        the product curve from the oracle; − for purchases
    funding  = clamp((long − short)/2 + 1/5000, ±3 %)/24 per hour that longs pay; LPs take the net, and pay at most a
               third of the fees retained in an hour

Source: drift protocol-v2 @0ae3e3b, math/amm_spread (calculate_spread, calculate_long_short_vol_spread), math/funding,
state.rs (perps_default: takers pay 10 bp). Depth, base and largest spread differ by market there, and are ours here, as
are the fees that it begins with. Left out: what acts where mark and oracle differ (retreat, mid offset), which a curve
about the oracle has not, retreat after revenue losses, and changes of the curve.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np

from sims.jit import njit
from sims.world import CLOSING, ELAPSED, NET, PRICE, SIGMA, YEAR, Floats

TAKER, BASE, MAX_SPREAD, CONF, DEPTH, OPEN, SEED, FUNDING_MAX, FEE_SHARE = range(9)
HOUR, DAY = 3_600.0, 86_400.0
LEAST_FLOW = 0.01  # [fraction of a day's volume]
FLOOR = 1.0 / 5_000  # [fraction] what funding leans on
OUTFLOW = 1.0 / 3  # [fraction of fees retained]


@dataclass(frozen=True, slots=True)
class Params:
    """Names as above."""

    taker: float = 0.001
    base: float = 0.0005
    max_spread: float = 0.02
    conf: float = 0.0005  # [fraction] of the oracle
    depth: float = 200e6  # [quote] the curve's reserve on either side
    open: float = 0.29  # [fraction of depth] that may be taken: 1 − 1/√2
    fees: float = 100_000.0  # [quote] retained at first
    funding_max: float = 0.03
    fee_share: float = 0.0  # [fraction of taker fees] that is not LPs'

    def array(self) -> Floats:
        """The fields in their order."""
        return np.array(astuple(self))


# state: fees retained [quote]; of each market, what was bought and sold in an hour and traded in a day [quote]
N_STATE, N_MARKET_STATE = 1, 3
BOUGHT, SOLD, TRADED = range(N_MARKET_STATE)


@njit
def start(p: Floats, z: Floats, m: Floats, g: Floats) -> None:
    """No flow yet."""
    z[:] = 0.0
    z[0] = p[SEED]


@njit
def spreads(p: Floats, z: Floats, m: Floats, i: int) -> tuple[float, float]:
    """Of purchases and of sales [fraction]."""
    at = N_STATE + N_MARKET_STATE * i
    deviation = m[i, SIGMA] * np.sqrt(HOUR / YEAR)
    vol = max(p[CONF], deviation / 2)
    volume = z[at + TRADED]
    bought = min(max(z[at + BOUGHT] / volume, LEAST_FLOW), 1.0) if volume > 0.0 else LEAST_FLOW
    sold = min(max(z[at + SOLD] / volume, LEAST_FLOW), 1.0) if volume > 0.0 else LEAST_FLOW
    floor = max(p[BASE] / 2, p[CONF] / 20)
    long, short = max(floor, vol * bought), max(floor, vol * sold)
    largest = max(p[MAX_SPREAD], 2 * p[CONF], deviation)
    net = m[i, NET] * m[i, PRICE]
    if net != 0.0:
        side = long if net > 0.0 else short
        left = max(p[OPEN] * p[DEPTH] - abs(net), 1.0)
        scale = max(10.0, largest / side)
        side *= min(scale, 1.0 + scale * min(1.0, abs(net) / left))
        side *= min(10.0, 1.0 + net * net / p[DEPTH] / z[0]) if z[0] > 0.0 else 10.0
        if net > 0.0:
            long = side
        else:
            short = side
    if long + short > largest:
        long, short = long * largest / (long + short), short * largest / (long + short)
    return long, short


@njit
def _beyond(p: Floats, z: Floats, m: Floats, i: int, dq: float) -> float:
    """[quote] spread and curve."""
    value = dq * m[i, PRICE]
    long, short = spreads(p, z, m, i)
    return float(abs(value) * (long if dq > 0.0 else short) + value * value / (p[DEPTH] - value))


@njit
def quote(p: Floats, z: Floats, m: Floats, g: Floats, i: int, dq: float) -> float:
    """[quote] taker fee, spread and curve; inf where there is no liquidity left for what opens."""
    value, net = dq * m[i, PRICE], m[i, NET] * m[i, PRICE]
    grows = g[CLOSING] == 0.0 and abs(net + value) > abs(net)
    if value >= p[DEPTH] or (grows and abs(net + value) > p[OPEN] * p[DEPTH]):
        return np.inf
    return float(_beyond(p, z, m, i, dq) + p[TAKER] * abs(value))


@njit
def fill(p: Floats, z: Floats, m: Floats, g: Floats, i: int, dq: float) -> tuple[float, float]:
    """All of spread and curve, LPs' part of the fee; the trade counts as flow, and what LPs get as fees retained."""
    size = abs(dq) * m[i, PRICE]
    to_lp = _beyond(p, z, m, i, dq) + (1.0 - p[FEE_SHARE]) * p[TAKER] * size
    at = N_STATE + N_MARKET_STATE * i
    z[0] += to_lp
    z[at + (BOUGHT if dq > 0.0 else SOLD)] += size
    z[at + TRADED] += size
    return to_lp, 0.0


@njit
def rate(p: Floats, z: Floats, m: Floats, g: Floats, i: int) -> float:
    """Funding that longs pay [per year]."""
    long, short = spreads(p, z, m, i)
    premium = (long - short) / 2 + FLOOR
    return float(min(max(premium, -p[FUNDING_MAX]), p[FUNDING_MAX]) / DAY * YEAR)


@njit
def accrue(p: Floats, z: Floats, m: Floats, g: Floats) -> tuple[float, float]:
    """The net of funding; volumes decay."""
    paid = 0.0
    for i in range(m.shape[0]):
        paid += rate(p, z, m, g, i) * m[i, NET] * m[i, PRICE] * g[ELAPSED] / YEAR
        at = N_STATE + N_MARKET_STATE * i
        z[at + BOUGHT] *= max(0.0, 1.0 - g[ELAPSED] / HOUR)
        z[at + SOLD] *= max(0.0, 1.0 - g[ELAPSED] / HOUR)
        z[at + TRADED] *= max(0.0, 1.0 - g[ELAPSED] / DAY)
    paid = max(paid, -OUTFLOW * max(z[0], 0.0) * min(g[ELAPSED] / HOUR, 1.0))
    z[0] += paid
    return paid, 0.0
