"""GMX v2: price impact on the imbalance, funding that adapts, a kinked borrow fee.

With D = |longs - shorts| [quote] before (D0) and after (D1) a trade:

    impact  =  k+ D0^e+ - k+ D1^e+         the imbalance falls on its side
            = -k- D1^e- + k- D0^e-         it rises on its side
            =  k+ D0^e+ - k- D1^e-         the trade crosses over
               at most 0.4 % of size and what the impact pool holds; at least -0.5 % of size
    fee     =  4 bp of size if D falls, 6 bp otherwise
    funding    a signed rate f, > 0: longs pay. x = D / (longs + shorts) pushes it outwards by x·increase·dt while f
               has the imbalance's sign and x > stable, and towards the imbalance whenever it has not; |f| is at
               most `funding_max`, and charged at `funding_min` at least. Traders pay each other, LPs get nothing.
    borrow  =  base·u + (above − base)·(u − kink)⁺/(1 − kink) per year of the larger side, u = it / its reserve

The reserve of a side is `reserve_factor` times its half of the market's part of the pool; nothing opens beyond. What
trades pay for impact is the impact pool's, and becomes LPs' by 1/`pool_days` a day (7 of its 317 ETH were, when read).

Source: gmx-synthetics @a5c0c88, PositionPricingUtils (getPriceImpactUsd, positive impact capped by the pool),
MarketUtils (getNextFundingFactorPerSecond, getKinkBorrowingFactor, validateReserve) and config/markets.ts for ETH on
Arbitrum; it sets positive impact, e+ = 1, to next to nothing. BTC is given the same. GMX pays LPs 63 % of fees; here
they get all, as with every peer: what a protocol keeps for itself is no way of pricing.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np

from sims.jit import njit
from sims.world import CLOSING, ELAPSED, EQUITY, LONG, NET, PRICE, SHORT, YEAR, Floats

(
    K_FALL, E_FALL, K_RISE, E_RISE, FALL_CAP, RISE_CAP, FEE_FALL, FEE_RISE,
    FUNDING_MIN, FUNDING_MAX, FUNDING_INCREASE, FUNDING_STABLE,
    RESERVE_FACTOR, BORROW_KINK, BORROW_BASE, BORROW_ABOVE, POOL_DAYS, FEE_SHARE,
) = range(18)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Params:
    """Names as above; k [quote^(1 − e)], rates per year."""

    k_fall: float = 3e-11
    e_fall: float = 1.0
    k_rise: float = 9e-11
    e_rise: float = 2.0
    fall_cap: float = 0.004
    rise_cap: float = 0.005
    fee_fall: float = 0.0004
    fee_rise: float = 0.0006
    funding_min: float = 0.01
    funding_max: float = 0.75
    funding_increase: float = 0.75 * 8 * 365  # from nothing to the maximum in three hours at x = 1
    funding_stable: float = 0.04
    reserve_factor: float = 2.7
    borrow_kink: float = 0.85
    borrow_base: float = 0.45
    borrow_above: float = 0.9
    pool_days: float = 45.0  # [days] in which the impact pool becomes LPs'
    fee_share: float = 0.0  # [fraction of fees] that is not LPs'

    def array(self) -> Floats:
        """The fields in their order."""
        return np.array(astuple(self))


DAY = 86_400.0

# state: of each market, the funding rate and the impact pool
N_STATE, N_MARKET_STATE = 0, 2
RATE, POOL = range(N_MARKET_STATE)


@njit
def start(p: Floats, z: Floats, m: Floats, g: Floats) -> None:
    """No funding, an empty impact pool."""
    z[:] = 0.0


@njit
def _impact(p: Floats, pool: float, price: float, net: float, dq: float) -> float:
    """[quote], > 0: in the trader's favour."""
    before, after, size = abs(net) * price, abs(net + dq) * price, abs(dq) * price
    if net * (net + dq) < 0.0:
        impact = p[K_FALL] * before ** p[E_FALL] - p[K_RISE] * after ** p[E_RISE]
    elif after < before:
        impact = p[K_FALL] * (before ** p[E_FALL] - after ** p[E_FALL])
    else:
        impact = p[K_RISE] * (before ** p[E_RISE] - after ** p[E_RISE])
    return float(max(min(impact, p[FALL_CAP] * size, pool), -p[RISE_CAP] * size))


@njit
def _reserve(p: Floats, m: Floats, g: Floats) -> float:
    """[quote] what one side of one market may reserve."""
    return float(p[RESERVE_FACTOR] * max(g[EQUITY], 0.0) / (2 * m.shape[0]))


@njit
def _fee(p: Floats, price: float, net: float, dq: float) -> float:
    rate = p[FEE_FALL] if abs(net + dq) < abs(net) else p[FEE_RISE]
    return float(rate * abs(dq) * price)


@njit
def quote(p: Floats, z: Floats, m: Floats, g: Floats, i: int, dq: float) -> float:
    """[quote] fee less impact; inf where the side has no reserve left for what opens."""
    price, net = m[i, PRICE], m[i, NET]
    side = m[i, LONG] if dq > 0.0 else m[i, SHORT]
    if g[CLOSING] == 0.0 and (side + abs(dq)) * price > _reserve(p, m, g):
        return np.inf
    return _fee(p, price, net, dq) - _impact(p, z[N_MARKET_STATE * i + POOL], price, net, dq)


@njit
def fill(p: Floats, z: Floats, m: Floats, g: Floats, i: int, dq: float) -> tuple[float, float]:
    """LPs' part of the fee; what the impact pool gets, or gives where it is negative."""
    price, net = m[i, PRICE], m[i, NET]
    impact = _impact(p, z[N_MARKET_STATE * i + POOL], price, net, dq)
    z[N_MARKET_STATE * i + POOL] -= impact
    return (1.0 - p[FEE_SHARE]) * _fee(p, price, net, dq), -impact


@njit
def _next_rate(p: Floats, stored: float, longs: float, shorts: float, dt: float) -> float:
    """The funding rate [per year] after dt [s] with these interests."""
    if longs + shorts <= 0.0:
        return stored
    skew = (longs - shorts) / (longs + shorts)
    if stored * skew <= 0.0 or abs(skew) > p[FUNDING_STABLE]:
        stored += skew * p[FUNDING_INCREASE] * dt / YEAR
    return float(min(max(stored, -p[FUNDING_MAX]), p[FUNDING_MAX]))


@njit
def accrue(p: Floats, z: Floats, m: Floats, g: Floats) -> tuple[float, float]:
    """LPs' part of what the larger sides pay for borrowing, and of the impact pool; funding moves between traders."""
    paid, freed = 0.0, 0.0
    reserve = _reserve(p, m, g)
    for i in range(m.shape[0]):
        longs, shorts = m[i, LONG] * m[i, PRICE], m[i, SHORT] * m[i, PRICE]
        z[N_MARKET_STATE * i + RATE] = _next_rate(p, z[N_MARKET_STATE * i + RATE], longs, shorts, g[ELAPSED])
        larger = max(longs, shorts)
        used = min(larger / reserve, 1.0) if reserve > 0.0 else 1.0
        over = max(used - p[BORROW_KINK], 0.0) / (1.0 - p[BORROW_KINK])
        borrow = p[BORROW_BASE] * used + (p[BORROW_ABOVE] - p[BORROW_BASE]) * over
        paid += (1.0 - p[FEE_SHARE]) * borrow * larger * g[ELAPSED] / YEAR
        left = np.exp(-g[ELAPSED] / (p[POOL_DAYS] * DAY))
        freed += z[N_MARKET_STATE * i + POOL] * (1.0 - left)
        z[N_MARKET_STATE * i + POOL] *= left
    return paid, freed


@njit
def rate(p: Floats, z: Floats, m: Floats, g: Floats, i: int) -> float:
    """Funding that longs pay [per year]."""
    stored = z[N_MARKET_STATE * i + RATE]
    if stored == 0.0:
        return 0.0
    return float(np.sign(stored) * max(abs(stored), p[FUNDING_MIN]))
