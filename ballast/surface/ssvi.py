"""SSVI with the power-law curvature phi(theta) = eta / sqrt(theta (1 + theta)).

    w(k, theta) = theta / 2 * (1 + rho phi k + sqrt((phi k + rho)^2 + 1 - rho^2)),   k = ln(strike / forward)

w is total variance, vol^2 * years. Source: J. Gatheral and A. Jacquier, Arbitrage-free SVI volatility surfaces,
Quantitative Finance 14 (2014), section 4: with theta rising in expiry there is no calendar arbitrage (theorem 4.1),
with eta (1 + |rho|) <= 2 no butterfly arbitrage (remark 4.4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
DAY = 86_400  # [s]
YEAR = 365 * DAY
BUTTERFLY_LIMIT = 2.0  # of eta (1 + |rho|)


def total_variance(k: Floats | float, theta: Floats | float, rho: float, eta: float) -> Floats:
    """w(k, theta), elementwise; k = ln(strike / forward), theta > 0 at-the-money total variance."""
    theta = np.asarray(theta, dtype=np.float64)
    x = eta / np.sqrt(theta * (1 + theta)) * k
    return np.asarray(theta / 2 * (1 + rho * x + np.sqrt((x + rho) ** 2 + 1 - rho**2)))


@dataclass(frozen=True, slots=True)
class Surface:
    """One moment's surface; arrays of shape (n_expiries,), earliest first."""

    ts: int  # [s since 1970]
    rho: float  # spot-vol correlation, in (-1, 1)
    eta: float  # curvature
    expiry: Ints  # [s since 1970]
    forward: Floats  # [quote/base]
    theta: Floats  # total variance at the money

    def years(self) -> Floats:
        """Time to each expiry [years]."""
        return np.asarray((self.expiry - self.ts) / YEAR)

    def vol(self, strike: Floats, position: Ints | int) -> Floats:
        """Implied volatility [per sqrt year] at strikes [quote/base] of the expiries at `position`."""
        k = np.log(strike / self.forward[position])
        variance = total_variance(k, self.theta[position], self.rho, self.eta)
        return np.asarray(np.sqrt(variance / self.years()[position]))

    def as_of(self, now: int, spot: float) -> Surface:
        """The same volatilities and rates at another time [s]: expiries move by whole days, those that are over go."""
        expiry = self.expiry + (now - self.ts) // DAY * DAY
        live = expiry > now
        part = ((expiry - now) / (self.expiry - self.ts))[live]
        forward = spot * (self.forward[live] / spot) ** part
        return Surface(now, self.rho, self.eta, expiry[live], forward, self.theta[live] * part)

    def on(self, expiry: Ints, spot: float) -> Surface:
        """The same moment's surface at other expiries: variance and log forward run straight between its own.

        Variance keeps rising with expiry, so that no calendar arbitrage comes in; after the last one its volatility and
        its rate hold on.
        """
        ends, term = np.concatenate([[0], self.expiry - self.ts]), expiry - self.ts

        def straight(values: Floats) -> Floats:
            inside = np.interp(term, ends, np.concatenate([[0.0], values]))
            return np.asarray(inside * np.maximum(1.0, term / ends[-1]))

        forward = spot * np.exp(straight(np.log(self.forward / spot)))
        return Surface(self.ts, self.rho, self.eta, expiry, forward, straight(self.theta))

    def violations(self) -> list[str]:
        """Why it could be arbitraged; empty if it cannot."""
        found = []
        if not abs(self.rho) < 1 or not self.eta > 0 or not np.all(self.theta > 0):
            found.append("rho, eta or theta out of range")
        if self.eta * (1 + abs(self.rho)) > BUTTERFLY_LIMIT:
            found.append(f"butterflies: eta (1 + |rho|) = {self.eta * (1 + abs(self.rho)):.4f} > {BUTTERFLY_LIMIT:g}")
        if np.any(np.diff(self.theta) <= 0) or np.any(np.diff(self.expiry) <= 0):
            found.append("calendars: theta does not rise with expiry")
        return found
