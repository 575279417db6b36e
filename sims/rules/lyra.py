"""Lyra Avalon, for options: volatility that each trade pushes, fees on premium, spot, vega and variance.

An option's volatility is base (its expiry's) times skew (its strike's). A trade of n contracts, d = 1 for purchases and
-1 for sales, first pushes both, in units of a standard size s, then pays the price at what they are:

    base'  = base + d·push·n/s,    skew' = skew + d·push·k·n/s
    premium          = n·Black-Scholes(base'·skew')
    premium fee      = w·c1·premium,   spot fee = w·c2·S·n,   w = 1 up to A of maturity, then 1 + (τ − A)/(B − A)
    vega fee         = cv·vol·|V'|/NAV·n        where |V'| > |V|, the vault's net standard vega:
                                                of one contract S·φ(d1)·√τ·√(30d/max(τ, 7d)) per 1 % of volatility
    variance fee     = cx·S·φ(d1)·√τ·skew'·|base' − reference|·n

A buyer pays premium and fees; a seller gets premium less fees, at least nothing. Volatilities neither decay nor return
to a reference by themselves. The whole of a trade is priced at its end, so parts cost less.

Source: lyra-protocol @70b0c05, OptionMarketPricer (ivImpactForTrade, getTradeResult, getVegaUtilFee,
getVarianceFee) and derivexyz/v1-core @ea9e36a for parameters of its ETH market: s = 30, push 1 %,
k = 1.25, c1 = 1 %, c2 = 0.1 %, A and B six and twelve weeks, cv = 35,000, cx = 0.65.

This module prices options one by one; it is no rule of perpetuals.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from math import erf, exp, log, pi, sqrt

import numpy as np

from sims.jit import njit
from sims.world import Floats

STANDARD, PUSH, SKEW_PUSH, PREMIUM_FEE, SPOT_FEE, NEAR, FAR, VEGA_FEE, VARIANCE_FEE = range(9)
DAY = 1.0 / 365  # [years]


@dataclass(frozen=True, slots=True)
class Params:
    """Names as above; contracts are of one unit of base."""

    standard: float = 30.0  # [contracts]
    push: float = 0.01  # [1/√year] of a standard size
    skew_push: float = 1.25  # k
    premium_fee: float = 0.01
    spot_fee: float = 0.001
    near: float = 42 * DAY
    far: float = 84 * DAY
    vega_fee: float = 35_000.0
    variance_fee: float = 0.65

    def array(self) -> Floats:
        """The fields in their order."""
        return np.array(astuple(self))


@njit
def _normal(x: float) -> float:
    return 0.5 * (1.0 + erf(x / sqrt(2.0)))


@njit
def black_scholes(spot: float, strike: float, years: float, vol: float, is_call: bool) -> tuple[float, float]:
    """Price [quote] and vega [quote per 1.00] of one contract, without interest; vol and years > 0."""
    deviation = vol * sqrt(years)
    d1 = log(spot / strike) / deviation + deviation / 2
    price = spot * _normal(d1) - strike * _normal(d1 - deviation)
    vega = spot * exp(-d1 * d1 / 2) / sqrt(2 * pi) * sqrt(years)
    return price if is_call else price - spot + strike, vega


@njit
def trade(
    p: Floats,
    spot: float,
    strike: float,
    years: float,
    is_call: bool,
    base: float,
    skew: float,
    reference: float,
    size: float,
    vega: float,
    nav: float,
) -> tuple[float, float, float, float, float]:
    """What a trader pays [quote, < 0: gets] for `size` contracts (> 0: buys), fees in it, then base, skew and vega.

    `reference` is the base volatility that the variance fee looks at, `vega` the vault's net standard vega [quote
    per 1 %]; `nav` [quote] > 0. Volatility is at least 1 %.
    """
    count = abs(size)
    base += p[PUSH] * size / p[STANDARD]
    skew += p[PUSH] * p[SKEW_PUSH] * size / p[STANDARD]
    vol = max(base * skew, 0.01)
    price, plain = black_scholes(spot, strike, years, vol, is_call)
    premium = count * price
    weight = 1.0 + max(0.0, years - p[NEAR]) / (p[FAR] - p[NEAR])
    fees = weight * (p[PREMIUM_FEE] * premium + p[SPOT_FEE] * spot * count)
    after = vega - plain * sqrt(30 * DAY / max(years, 7 * DAY)) / 100 * size
    if abs(after) > abs(vega):
        fees += p[VEGA_FEE] * vol * abs(after) / nav * count
    fees += p[VARIANCE_FEE] * plain * skew * abs(base - reference) * count
    if size > 0.0:
        return premium + fees, fees, base, skew, after
    received = max(premium - fees, 0.0)
    return -received, premium - received, base, skew, after
