"""Synthetix Perps: fills at the mean premium of the skew, maker and taker fees, funding that has velocity.

With skew q [base] before a trade of dq, and scale S [base]:

    premium = dq·P·(q + dq/2)/S             of buying dq: P(1 + (q + dq/2)/S) per unit, less the mark
    fee     = maker rate on what takes |q| down, taker rate on the rest
    r       = r0 + v·clamp(q/S, ±1)·days    funding per day, without a bound; longs pay (r0 + r)/2·days·P
                                            and shorts receive it; the pool takes the net

The premium is LPs' profit at once, although unwinding takes it back: the rule books it so. Nothing opens beyond `cap`
on a side or where `locked`·open interest exceeds the pool.

Source: synthetix-v3 @23585f7, markets/perps-market, storage AsyncOrder (calculateFillPrice, calculateOrderFee),
PerpsMarket (currentFundingRate, validatePositionSize), GlobalPerpsMarket (validateMarketCapacity); numbers are its ETH
fixture's: S = 10^6 ETH, v = 9 per day², fees of 2 and 6 bp. BTC's are the same in quote at 20 ETH per BTC.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sims.jit import njit
from sims.world import CLOSING, ELAPSED, EQUITY, LONG, NET, PRICE, SHORT, YEAR, Floats

DAY = 86_400.0
MAKER, TAKER, VELOCITY, LOCKED, FEE_SHARE, PER_MARKET = range(6)  # from PER_MARKET on: scale and cap of each


@dataclass(frozen=True, slots=True)
class Params:
    """Names as above; one scale and cap [base] for each market."""

    maker: float = 0.0002
    taker: float = 0.0006
    velocity: float = 9.0  # [per day²]
    locked: float = 0.5
    fee_share: float = 0.0  # [fraction of fees] that is not LPs'; premiums are theirs whole
    scale: tuple[float, ...] = (1e6, 5e4)
    cap: tuple[float, ...] = (27_000.0, 1_350.0)

    def array(self) -> Floats:
        """Scalars in their order, then scale and cap of each market."""
        pairs = [value for pair in zip(self.scale, self.cap, strict=True) for value in pair]
        return np.array([self.maker, self.taker, self.velocity, self.locked, self.fee_share, *pairs])


# state: of each market, the funding rate [per day]
N_STATE, N_MARKET_STATE = 0, 1


@njit
def start(p: Floats, z: Floats, m: Floats, g: Floats) -> None:
    """No funding."""
    z[:] = 0.0


@njit
def _premium(p: Floats, m: Floats, i: int, dq: float) -> float:
    return float(dq * m[i, PRICE] * (m[i, NET] + dq / 2) / p[PER_MARKET + 2 * i])


@njit
def _fee(p: Floats, m: Floats, i: int, dq: float) -> float:
    net = m[i, NET]
    reducing = min(abs(dq), abs(net)) if net * dq < 0.0 else 0.0
    return float((p[MAKER] * reducing + p[TAKER] * (abs(dq) - reducing)) * m[i, PRICE])


@njit
def quote(p: Floats, z: Floats, m: Floats, g: Floats, i: int, dq: float) -> float:
    """[quote] premium and fee; inf beyond the cap or the pool."""
    if g[CLOSING] == 0.0:
        side = m[i, LONG] if dq > 0.0 else m[i, SHORT]
        interest = abs(dq) * m[i, PRICE]
        for j in range(m.shape[0]):
            interest += (m[j, LONG] + m[j, SHORT]) * m[j, PRICE]
        if side + abs(dq) > p[PER_MARKET + 2 * i + 1] or p[LOCKED] * interest > g[EQUITY]:
            return np.inf
    return _premium(p, m, i, dq) + _fee(p, m, i, dq)


@njit
def fill(p: Floats, z: Floats, m: Floats, g: Floats, i: int, dq: float) -> tuple[float, float]:
    """All of the premium and LPs' part of the fee; nothing is kept in reserve."""
    return _premium(p, m, i, dq) + (1.0 - p[FEE_SHARE]) * _fee(p, m, i, dq), 0.0


@njit
def accrue(p: Floats, z: Floats, m: Floats, g: Floats) -> tuple[float, float]:
    """What the net position pays or is paid at the mean of the rates before and after."""
    paid = 0.0
    days = g[ELAPSED] / DAY
    for i in range(m.shape[0]):
        skew = m[i, NET] / p[PER_MARKET + 2 * i]
        after = z[i] + p[VELOCITY] * min(max(skew, -1.0), 1.0) * days
        paid += (z[i] + after) / 2 * days * m[i, PRICE] * m[i, NET]
        z[i] = after
    return paid, 0.0


@njit
def rate(p: Floats, z: Floats, m: Floats, g: Floats, i: int) -> float:
    """Funding that longs pay [per year]."""
    return float(z[i] * YEAR / DAY)
