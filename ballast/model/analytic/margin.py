"""What an account must keep, from the definition in ``contracts/clearing/Margin.vy``: slow, direct, in floats.

Sizes in base, prices and requirements in quote, times in years, volatilities per sqrt(year).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ballast.model.analytic.black76 import evaluate

EXIT = 0.042
VOL_UP, VOL_DOWN = 0.6, 0.3
MONTH, DAY = 30 / 365, 1 / 365
SPOTS = 7


@dataclass(frozen=True, slots=True)
class Option:
    """One leg that is not settled."""

    size: float  # > 0 long
    strike: float
    is_put: bool
    years: float  # to expiry
    vol: float
    rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Grid:
    """How far the scenarios of one requirement go, as fractions."""

    linear: float  # of the move, what delta is charged for; 0: all of it
    reach: float  # of spot
    share: float  # of the volatility shocks and of the floor
    floor: float  # of spot, for a short option


def implied(
    strike: float, spot: float, theta: float, rho: float, eta: float, rate: float, years: float, term: float
) -> float:
    """Volatility of a strike on the SSVI smile, whose total variance is over `term` and stands still after."""
    if theta == 0 or term == 0:
        return 0.0
    k = math.log(strike / spot) - rate * years
    phi = eta / math.sqrt(theta * (1 + theta))
    w = theta / 2 * (1 + rho * phi * k + math.sqrt((phi * k + rho) ** 2 + 1 - rho**2))
    return math.sqrt(w / term)


def exit_cost(notional: float, sigma: float, cap: float) -> float:
    """notional · sigma · EXIT · min(1, notional / cap)."""
    return notional * sigma * EXIT * (min(1.0, notional / cap) if cap > 0 else 1.0)


def value(spot: float, options: Sequence[Option]) -> float:
    """Black-76."""
    return sum(option.size * float(_unit(option, np.array(spot), np.array(option.vol))[0]) for option in options)


def moves(grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of spot, and what of it delta is charged for, (7, 1) each."""
    reach = max(grid.reach, grid.linear)
    steps = reach * np.linspace(-1, 1, SPOTS)[:, None]
    return steps, np.clip(steps, -(grid.linear or reach), grid.linear or reach)


def losses(spot: float, perpetual: float, options: Sequence[Option], grid: Grid) -> NDArray[np.float64]:
    """Of a perpetual and options of one market in every scenario, (7, 2): spots by volatility up and down."""
    steps, charged = moves(grid)
    total = perpetual * spot * charged * np.ones((SPOTS, 2))
    for option in options:
        swing = (MONTH / max(option.years, DAY)) ** 0.25 * grid.share
        vols = option.vol * np.array([[1 + VOL_UP * swing, 1 - VOL_DOWN * swing]]) * np.ones((SPOTS, 2))
        _, delta = _unit(option, np.array(spot), np.array(option.vol))
        unit, _ = _unit(option, spot * (1 + steps) * np.ones((SPOTS, 2)), vols)
        total = total + option.size * np.maximum(unit - delta * spot * (steps - charged), 0)
    return value(spot, options) - total


def requirement(spot: float, perpetual: float, options: Sequence[Option], grid: Grid) -> float:
    """Of one market, but for the exit cost."""
    shorts = sum(max(-option.size, 0.0) for option in options)
    return max(float(losses(spot, perpetual, options, grid).max()), 0.0) + grid.share * grid.floor * shorts * spot


def _unit(
    option: Option, spot: NDArray[np.float64], vol: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Value and delta of one option; Black-76 needs a little of everything."""
    spot, vol = np.maximum(spot, 1e-9), np.maximum(vol, 1e-9)
    found = evaluate(spot, option.strike, vol, max(option.years, 1e-12), option.rate)
    if option.is_put:
        return np.asarray(found.put), np.asarray(found.delta) - 1
    return np.asarray(found.call), np.asarray(found.delta)
