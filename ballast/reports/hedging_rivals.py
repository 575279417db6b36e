"""Other ways to hedge a recorded flow, as paths of hedges: a fixed band, a time schedule, Whalley and Wilmott's band.

All hedge each market for itself, know no more than the minutes so far, and are free of the vault's rule. A band trades
when the market's delta leaves it, down to `inner` of its edge, at most `slice_` a minute until it is there. `matched`
finds the parameter that gives a wanted tracking error, and of several `inner` and `slice_` the cheapest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np

from ballast.config import Config
from ballast.data import Floats
from ballast.model.analytic.realised import YEAR, Rounds, realised_sigma
from ballast.reports.hedging_replay import Tape

Way = Callable[[float, float, float], Floats]  # hedges by parameter, inner and slice

MINUTE = 60  # [s]
FIXED_BAND, STEPPED_BAND = "fixed band", "fixed band in steps"
INNERS = (0.0, 0.5, 0.9)  # parts of the band that a trade may end at
WHOLE, SLICE = 1.0, 0.005  # [of equity] that it may trade in one minute
HALF_LIFE = 1_440  # [minutes] of the flow's variance
FIRST_FLOW = 0.25  # [of equity per sqrt(day)] assumed before any was seen
STEPS = 18  # of the bisection


@dataclass(frozen=True, slots=True)
class Matched:
    """A way to hedge that has a wanted tracking error."""

    name: str
    parameter: float
    unit: str
    inner: float
    slice_: float  # [of equity]
    hedges: Floats  # [base], shape (n_minutes, n_markets)


@dataclass(frozen=True, slots=True)
class Costs:
    """What the cheapest of several paths is chosen by."""

    fee: float  # [fraction]
    depth: Floats  # [base] of the pools' virtual reserves, by market
    gas: Floats  # [quote] of one hedge, by minute

    def of(self, tape: Tape, hedges: Floats) -> float:
        """[quote] fee, impact and gas of a path."""
        worth = np.abs(hedges) * tape.prices
        impact = np.abs(hedges) / self.depth
        return float((worth * (self.fee + impact)).sum() + ((hedges != 0).sum(axis=1) * self.gas).sum())


def in_band(tape: Tape, half_width: Floats, inner: float, slice_: float = WHOLE) -> Floats:
    """Hedges that keep each market's delta within +- `half_width` [quote], shape (n_minutes, n_markets)."""
    found = np.zeros_like(tape.prices)
    edges, mosts = half_width / tape.prices, slice_ * tape.scenario.equity / tape.prices
    for market in range(tape.prices.shape[1]):
        held, going = 0.0, False
        columns = (edges[:, market].tolist(), mosts[:, market].tolist(), tape.traders[:, market].tolist())
        for k, (edge, most, net) in enumerate(zip(*columns, strict=True)):
            delta = held - net
            excess = abs(delta) - inner * edge
            if abs(delta) > edge or (going and excess > 0.0):
                size = min(excess, most)
                going = size < excess
                found[k, market] = -size if delta > 0 else size
                held += found[k, market]
    return found


def on_schedule(tape: Tape, every: int) -> Floats:
    """Hedges of everything, every so many minutes, shape (n_minutes, n_markets)."""
    found = np.zeros_like(tape.prices)
    at = np.arange(every - 1, len(found), every)
    found[at] = np.diff(tape.traders[at], axis=0, prepend=0.0)
    return found


def whalley_wilmott(tape: Tape, config: Config, fee: float, aversion: float) -> Floats:
    """Half-width [quote], shape (n_minutes, n_markets), of the band that is best where costs are small:

        (3/2 * fee * V / (aversion * sigma^2)) ** (1/3),

    V [quote^2 per year] being the variance of what has to be hedged. Theirs comes from an option's gamma, ours from
    flow. (Whalley and Wilmott 1997, "An asymptotic analysis of an optimal hedging model for option pricing with
    transaction costs", Mathematical Finance 7.)
    """
    variance = np.stack([_flow_variance(tape, market) for market in range(tape.prices.shape[1])], axis=1)
    sigma = np.stack([volatility(tape, config, market) for market in range(tape.prices.shape[1])], axis=1)
    return np.asarray((1.5 * fee * variance / (aversion * sigma**2)) ** (1 / 3))


def volatility(tape: Tape, config: Config, market: int) -> Floats:
    """max(fast, slow, floor) of each minute [per sqrt(year)], as the oracle has it, from minutes instead of rounds."""
    oracle, prices = config.markets[market].oracle, tape.prices[:, market]
    return realised_sigma(
        Rounds(np.arange(len(prices)) * MINUTE, prices),
        oracle.half_life_fast,
        oracle.half_life_slow,
        float(oracle.initial_sigma),
        float(oracle.sigma_floor),
    )


def matched(tape: Tape, config: Config, error: float, costs: Costs) -> list[Matched]:
    """Every way at a tracking error [quote], each with its cheapest `inner`."""
    equity = tape.scenario.equity

    def band(width: float, inner: float, slice_: float) -> Floats:
        return in_band(tape, np.full_like(tape.prices, width), inner, slice_)

    widths = whalley_wilmott(tape, config, costs.fee, 1.0)

    def asymptotic(tolerance: float, inner: float, slice_: float) -> Floats:
        return in_band(tape, widths * tolerance ** (1 / 3), inner, slice_)

    found = []
    for name, unit, way, low, high, slices in (
        (FIXED_BAND, "quote", band, 1e-5 * equity, equity, (WHOLE,)),
        (STEPPED_BAND, "quote", band, 1e-5 * equity, equity, (SLICE,)),
        ("Whalley-Wilmott", "quote of tolerance", asymptotic, 1e-2 / equity, 1e6 * equity, (WHOLE, SLICE)),
    ):
        tried = []
        for inner, slice_ in product(INNERS, slices):

            def error_of(x: float, way: Way = way, inner: float = inner, slice_: float = slice_) -> float:
                return tape.error(_delta(tape, way(x, inner, slice_)))

            at = _bisect(error_of, error, low, high)
            tried.append(Matched(name, at, unit, inner, slice_, way(at, inner, slice_)))
        found.append(min(tried, key=lambda each: costs.of(tape, each.hedges)))
    errors = {n: tape.error(_delta(tape, on_schedule(tape, n))) for n in _SCHEDULES if n < len(tape.orders)}
    every = max((n for n, its in errors.items() if its <= error), default=1)
    found.insert(2, Matched("schedule", every, "minutes", 0.0, WHOLE, on_schedule(tape, every)))
    return found


_SCHEDULES = sorted({int(1.1**i) for i in range(80)})  # [minutes], up to more than a day


def _delta(tape: Tape, hedges: Floats) -> Floats:
    return np.asarray(np.cumsum(hedges, axis=0) - tape.traders)


def _bisect(error: Callable[[float], float], wanted: float, low: float, high: float) -> float:
    """The largest parameter, near enough, whose error is at most what is wanted; errors rise with it."""
    for _ in range(STEPS):
        middle = float(np.sqrt(low * high))
        if error(middle) <= wanted:
            low = middle
        else:
            high = middle
    return low


def _flow_variance(tape: Tape, market: int) -> Floats:
    """[quote^2 per year] of what traders bought, net, in the minutes so far."""
    bought = np.diff(tape.traders[:, market]) * tape.prices[1:, market]
    first = (FIRST_FLOW * tape.scenario.equity) ** 2 * 365
    return _average(bought**2 * (YEAR / MINUTE), HALF_LIFE, first)


def _average(values: Floats, half_life: float, first: float) -> Floats:
    """Exponential average [of the values so far], shape (n + 1,)."""
    keep = 0.5 ** (1 / half_life)
    found, now = [first], first
    for value in values.tolist():
        now = keep * now + (1 - keep) * value
        found.append(now)
    return np.array(found)
