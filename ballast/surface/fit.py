"""A surface fitted to quotes: free of static arbitrage by its parametrisation, robust to odd quotes.

Each quote's error, model less mid in volatility, is divided by half its bid-ask spread (with a floor), so that what
the market knows well counts more, and weighted by the square root of its vega, so that wings do not outvote the money;
a soft-l1 loss keeps single stale quotes from pulling. Expiries within a week count less: SSVI's short end is stiff.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.special import ndtr

from ballast.surface.quotes import Quotes
from ballast.surface.ssvi import BUTTERFLY_LIMIT, Floats, Surface, total_variance

POINT = 0.01  # of volatility
SPREAD_FLOOR = 0.25 * POINT  # half-spreads below this do not count for more
MARGIN = 0.999  # of the butterfly limit, so that rounding to integers cannot cross it
LEAST_STEP = 1e-7  # by which theta rises from one expiry to the next
WEEK = 7 / 365


@dataclass(frozen=True, slots=True)
class Fit:
    """A surface, the quotes it was fitted to, and its errors, array of shape (n_quotes,)."""

    surface: Surface
    quotes: Quotes
    error: Floats  # model less mid [per sqrt year]

    def liquid(self, min_days: float = 7.0, wing: float = 0.10) -> Floats:
        """Mask of quotes between `wing` and 1 - `wing` of call delta and at least `min_days` from expiry."""
        deviation = self.quotes.mid * np.sqrt(self.quotes.years)
        delta = ndtr(-self.quotes.k / deviation + deviation / 2)
        return np.asarray((delta > wing) & (delta < 1 - wing) & (self.quotes.years >= min_days / 365))

    def median_error(self) -> float:
        """Median absolute error of the liquid quotes [vol points]."""
        return float(np.median(np.abs(self.error[self.liquid()])) / POINT)

    def inside(self) -> float:
        """Share of the liquid quotes whose model volatility lies between bid and ask."""
        chosen = self.liquid()
        model = self.quotes.mid + self.error
        within = (model >= self.quotes.bid) & (model <= self.quotes.ask)
        return float(np.mean(within[chosen]))


def fit(quotes: Quotes) -> Fit:
    """The least weighted error over rho, eta and one theta for each expiry that has quotes.

    ValueError if some expiry has none or there are fewer than three quotes.
    """
    n = len(quotes.expiries)
    if len(quotes) < 3 or len(np.unique(quotes.position)) < n:
        raise ValueError(f"{len(quotes)} quotes of {n} expiries are too few to fit")
    k, years, mid = quotes.k, quotes.years, quotes.mid
    deviation = mid * np.sqrt(years)
    vega = np.exp(-((-k / deviation + deviation / 2) ** 2) / 2)
    half_spread = np.maximum((quotes.ask - quotes.bid) / 2, SPREAD_FLOOR)
    weight = np.sqrt(vega * np.minimum(years / WEEK, 1)) / half_spread

    def parameters(x: Floats) -> tuple[float, float, Floats]:
        rho = float(np.tanh(x[0]))
        eta = MARGIN * BUTTERFLY_LIMIT / (1 + abs(rho)) / (1 + np.exp(-x[1]))
        return rho, float(eta), np.cumsum(np.exp(x[2:]) + LEAST_STEP)

    def model(x: Floats) -> Floats:
        rho, eta, theta = parameters(x)
        return np.asarray(np.sqrt(total_variance(k, theta[quotes.position], rho, eta) / years))

    nearest = [np.argmin(np.abs(k) + (quotes.position != i) * 1e9) for i in range(n)]
    steps = np.diff(mid[nearest] ** 2 * years[nearest], prepend=0.0)
    start = np.concatenate([[-0.2, 0.0], np.log(np.maximum(steps, 1e-6))])
    solution = least_squares(lambda x: (model(x) - mid) * weight, start, loss="soft_l1").x
    rho, eta, theta = parameters(solution)
    surface = Surface(quotes.ts, rho, eta, quotes.expiries, quotes.forwards, theta)
    return Fit(surface, quotes, np.asarray(model(solution) - mid))
