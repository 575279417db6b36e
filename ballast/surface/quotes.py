"""From an exchange's option chain to implied volatilities: inverse (coin-quoted) prices, out of the money, two-sided.

A coin-settled option pays in coin what the ordinary option pays in quote, divided by the price at expiry; its premium
in coin times the forward is therefore the undiscounted Black-76 premium in quote.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from ballast.data import OptionChain
from ballast.surface.ssvi import YEAR, Floats, Ints

LEAST, MOST = 1e-4, 20.0  # standard deviations between which an implied one is sought


@dataclass(frozen=True, slots=True)
class Quotes:
    """Two-sided out-of-the-money quotes; arrays of shape (n,) but for `expiries` and `forwards` (n_expiries,)."""

    ts: int
    expiries: Ints  # [s since 1970], earliest first
    forwards: Floats  # [quote/base]
    position: Ints  # of each quote's expiry in `expiries`
    strike: Floats  # [quote/base]
    is_call: NDArray[np.bool_]
    bid: Floats  # implied volatility [per sqrt year]; 0 where the bid is below intrinsic value or missing
    ask: Floats  # implied volatility [per sqrt year]

    @property
    def k(self) -> Floats:
        """ln(strike / forward)."""
        return np.asarray(np.log(self.strike / self.forwards[self.position]))

    @property
    def years(self) -> Floats:
        """Time to each quote's expiry [years]."""
        return np.asarray((self.expiries[self.position] - self.ts) / YEAR)

    @property
    def mid(self) -> Floats:
        """Between bid and ask [per sqrt year]."""
        return np.asarray((self.bid + self.ask) / 2)

    def __len__(self) -> int:
        return len(self.strike)


def quotes_of(chain: OptionChain, min_days: float = 1.0) -> Quotes:
    """The two-sided out-of-the-money quotes of a recorded chain, of expiries at least `min_days` away."""
    years = (chain.expiry - chain.ts) / YEAR
    out_of_the_money = (chain.strike >= chain.forward) == chain.is_call
    use = out_of_the_money & (chain.bid > 0) & (chain.ask > chain.bid) & (years >= min_days / 365)
    expiries, position = np.unique(chain.expiry[use], return_inverse=True)
    forwards = np.array([np.median(chain.forward[use][position == i]) for i in range(len(expiries))])
    strike, is_call, t = chain.strike[use], chain.is_call[use], years[use]
    ratio = strike / forwards[position]
    bid = implied_deviation(chain.bid[use], ratio, is_call) / np.sqrt(t)
    ask = implied_deviation(chain.ask[use], ratio, is_call) / np.sqrt(t)
    good = np.isfinite(bid) & np.isfinite(ask)
    return Quotes(
        chain.ts, expiries, forwards, position[good].astype(np.int64), strike[good], is_call[good], bid[good], ask[good]
    )


def premium(deviation: Floats, ratio: Floats, is_call: NDArray[np.bool_]) -> Floats:
    """Black-76, per forward: ratio = strike / forward, deviation = vol * sqrt(years)."""
    d1 = -np.log(ratio) / deviation + deviation / 2
    d2 = d1 - deviation
    sign = np.where(is_call, 1.0, -1.0)
    return np.asarray(sign * (ndtr(sign * d1) - ratio * ndtr(sign * d2)))


def implied_deviation(price: Floats, ratio: Floats, is_call: NDArray[np.bool_]) -> Floats:
    """vol * sqrt(years) at which `premium` is `price` (per forward), by bisection; NaN where no volatility gives it."""
    low, high = np.full(len(price), LEAST), np.full(len(price), MOST)
    for _ in range(60):
        middle = (low + high) / 2
        above = premium(middle, ratio, is_call) > price
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    found = (low + high) / 2
    possible = (price > premium(np.full(len(price), LEAST), ratio, is_call)) & (high < MOST) & (low > LEAST)
    return np.asarray(np.where(possible, found, np.nan))
