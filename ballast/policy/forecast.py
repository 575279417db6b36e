"""The next interval's change of implied volatility and skew, from what is known when a surface is posted.

Known at a snapshot: the surface itself (slope of the term structure, skew, distance from their own averages, last
changes, also the other currency's), realised volatility over hours and days and the last return, open interest as far
as it tells what was bought (its growth in near and far expiries: the recorded flow has no side), the width of the
market, and the hour of the week. What is forecast is the change, until the next snapshot, of the expiries that are
listed at both: at the money at 7 and at 30 days, and of the 25-delta skew (put less call) at 30 days, in vol points,
interpolated between the two expiries that enclose the maturity. The forecast to beat is the martingale: no change.

Everything is judged by walking forward: a model is fitted to the past alone, forecasts some days, is fitted again.
What that gives is in `sims/findings/forecast.md`: too little for surfaces to be posted with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import TimeSeriesSplit
from sklearn.preprocessing import StandardScaler

from ballast import data
from ballast.data import SmilePanel
from ballast.surface.ssvi import Floats, Ints

HOUR, DAY = 3_600, 86_400
YEAR = 365 * DAY
POINT = 0.01  # of volatility
LEAST_DAYS = 2.0  # to expiry, of what is looked at
TARGETS = ("at the money, 7 days", "at the money, 30 days", "skew, 30 days")
NEAR, FAR = 7.0, 30.0  # [days]
PENALTIES = (100.0, 300.0, 1_000.0, 3_000.0, 10_000.0)  # of the ridge, features in standard deviations


@dataclass(frozen=True, slots=True)
class Samples:
    """What was known at each snapshot and what came of it; rows in the order of time."""

    currency: data.Asset
    ts: Ints  # (n,) of the snapshot
    names: tuple[str, ...]  # of features
    x: Floats  # (n, features)
    y: Floats  # (n, targets) [vol points] until the next snapshot

    def __len__(self) -> int:
        return len(self.ts)


class Model(Protocol):
    """A forecast of one target."""

    def fit(self, x: Floats, y: Floats) -> object:
        """Learn from samples in the order of time."""

    def predict(self, x: Floats) -> Floats:
        """Of other samples."""


@dataclass(frozen=True, slots=True)
class _Smiles:
    """A snapshot: arrays over expiries."""

    expiry: Ints
    days: Floats
    atm: Floats
    skew: Floats
    interest: Floats
    spread: Floats


def samples(currency: data.Asset) -> Samples:
    """Of every recorded snapshot with prices around it; changes go to the next one."""
    panels = {c: _snapshots(data.smile_panel(c)) for c in data.ASSETS}
    other = next(c for c in data.ASSETS if c != currency)
    hours = data.hourly(currency)
    log_price = np.log(hours.close)
    ts = np.array([t for t in panels[currency] if t in panels[other] and t < hours.ts[-1]])
    mine = [panels[currency][int(t)] for t in ts]
    theirs = [panels[other][int(t)] for t in ts]
    level = np.array([[_at(s, s.atm, NEAR), _at(s, s.atm, FAR), _at(s, s.skew, FAR)] for s in mine]) / POINT
    moved = np.array([_change(a, b) for a, b in pairwise(mine)])
    moved_there = np.array([_change(a, b) for a, b in pairwise(theirs)])
    grown = np.array([_growth(a, b) for a, b in pairwise(mine)])
    columns: dict[str, Floats] = {}
    n = len(ts)
    for j, target in enumerate(TARGETS):
        columns[f"last change, {target}"] = np.concatenate([[0.0], moved[:, j]])
        columns[f"distance from its week's mean, {target}"] = level[:, j] - _ewma(level[:, j], ts, 7 * DAY)
    columns["the other's last change, 30 days"] = np.concatenate([[0.0], moved_there[:, 1]])
    columns["slope, 7 less 30 days"] = level[:, 0] - level[:, 1]
    columns["skew, 30 days"] = level[:, 2]
    last = np.searchsorted(hours.ts, ts, side="right") - 2  # the last bar that is over
    for name, back in (("6 hours", 6), ("a day", 24), ("a week", 168)):
        realised = np.array([np.sqrt(np.mean(np.diff(log_price[i - back : i + 1]) ** 2) * YEAR / HOUR) for i in last])
        columns[f"realised over {name}, less implied"] = realised / POINT - level[:, 1]
    deviation = level[:, 1] * POINT * np.sqrt(6 * HOUR / YEAR)
    recent = np.array([log_price[i] - log_price[i - 6] for i in last]) / deviation
    columns["return over 6 hours"] = recent
    columns["its size"] = np.abs(recent)
    columns["growth of open interest, near"] = np.concatenate([[0.0], grown[:, 0]])
    columns["growth of open interest, far"] = np.concatenate([[0.0], grown[:, 1]])
    columns["spread at the money"] = np.log([max(float(np.nanmedian(s.spread)), 1e-4) for s in mine])
    for k in (1, 2):
        columns[f"hour of week, cos {k}"] = np.cos(2 * np.pi * k * ts / (7 * DAY))
        columns[f"hour of week, sin {k}"] = np.sin(2 * np.pi * k * ts / (7 * DAY))
    columns["hour of day, cos"] = np.cos(2 * np.pi * ts / DAY)
    columns["hour of day, sin"] = np.sin(2 * np.pi * ts / DAY)
    x = np.column_stack(list(columns.values()))
    return Samples(currency, ts[1 : n - 1], tuple(columns), x[1 : n - 1], moved[1:])


def _snapshots(panel: SmilePanel) -> dict[int, _Smiles]:
    starts = np.flatnonzero(np.diff(panel.ts, prepend=-1))
    found = {}
    for first, last in zip(starts, [*starts[1:], len(panel)], strict=True):
        part = slice(first, last)
        days = (panel.expiry[part] - panel.ts[part]) / DAY
        use = days >= LEAST_DAYS
        found[int(panel.ts[first])] = _Smiles(
            panel.expiry[part][use],
            days[use],
            panel.atm_iv[part][use],
            (panel.put_25d_iv - panel.call_25d_iv)[part][use],
            panel.open_interest[part][use],
            panel.spread[part][use],
        )
    return found


def _at(smiles: _Smiles, values: Floats, days: float) -> float:
    return float(np.interp(days, smiles.days, values))


def _change(now: _Smiles, then: _Smiles) -> tuple[float, float, float]:
    """[vol points] of the targets, on the expiries of both."""
    both, i, j = np.intersect1d(now.expiry, then.expiry, return_indices=True)
    if len(both) == 0:
        raise ValueError("snapshots without a common expiry")
    days = now.days[i]
    atm, skew = (then.atm[j] - now.atm[i]) / POINT, (then.skew[j] - now.skew[i]) / POINT
    return float(np.interp(NEAR, days, atm)), float(np.interp(FAR, days, atm)), float(np.interp(FAR, days, skew))


def _growth(before: _Smiles, now: _Smiles) -> tuple[float, float]:
    """Logarithm of open interest now over before, of common expiries up to two weeks, and of the others."""
    _, i, j = np.intersect1d(before.expiry, now.expiry, return_indices=True)
    near = before.days[i] <= 2 * NEAR
    parts = []
    for chosen in (near, ~near):
        was, now_is = before.interest[i][chosen].sum(), now.interest[j][chosen].sum()
        parts.append(float(np.log(now_is / was)) if was > 0 and now_is > 0 else 0.0)
    return parts[0], parts[1]


def _ewma(values: Floats, ts: Ints, half_life: float) -> Floats:
    """Of values up to and with each."""
    out = values.copy()
    for k in range(1, len(values)):
        keep = 2.0 ** (-(ts[k] - ts[k - 1]) / half_life)
        out[k] = out[k - 1] * keep + values[k] * (1 - keep)
    return out


# models


class Ridge:
    """Least squares with a penalty, the one that forecast best when walked forward within the samples.

    Features count in standard deviations and for at most `most` of them, and so do targets: a crash is no rule.
    """

    def __init__(self, most: float = 4.0) -> None:
        self.most = most

    def fit(self, x: Floats, y: Floats) -> Ridge:
        """Anew."""
        self.scaler = StandardScaler().fit(x)
        limit = self.most * float(np.std(y))
        search = RidgeCV(alphas=PENALTIES, cv=TimeSeriesSplit(5))
        self.inner = search.fit(self._scaled(x), np.clip(y, -limit, limit))
        return self

    def predict(self, x: Floats) -> Floats:
        """Linear in the scaled features."""
        return np.asarray(self.inner.predict(self._scaled(x)))

    def _scaled(self, x: Floats) -> Floats:
        return np.asarray(np.clip(self.scaler.transform(x), -self.most, self.most))


class Recursive:
    """Recursive least squares: every sample moves the coefficients, and is half forgotten after `half_life` others."""

    def __init__(self, half_life: float = 480.0, penalty: float = 300.0, most: float = 4.0) -> None:
        self.forget = 2.0 ** (-1.0 / half_life)
        self.penalty = penalty
        self.most = most

    def fit(self, x: Floats, y: Floats) -> Recursive:
        """Over the samples in their order."""
        self.scaler = StandardScaler().fit(x)
        z = self._scaled(x)
        n = z.shape[1]
        covariance, self.beta = np.eye(n) / self.penalty, np.zeros(n)
        for row, target in zip(z, y, strict=True):
            gain = covariance @ row / (self.forget + row @ covariance @ row)
            self.beta = self.beta + gain * (target - row @ self.beta)
            covariance = (covariance - np.outer(gain, row @ covariance)) / self.forget
        return self

    def predict(self, x: Floats) -> Floats:
        """Linear in the scaled features."""
        return np.asarray(self._scaled(x) @ self.beta)

    def _scaled(self, x: Floats) -> Floats:
        z = np.clip(self.scaler.transform(x), -self.most, self.most)
        return np.column_stack([np.ones(len(z)), z])


class Boosted:
    """Gradient-boosted trees, small and slow."""

    def fit(self, x: Floats, y: Floats) -> Boosted:
        """Anew."""
        self.inner = HistGradientBoostingRegressor(
            max_iter=60, learning_rate=0.03, max_depth=3, min_samples_leaf=40, l2_regularization=10.0, random_state=0
        ).fit(x, y)
        return self

    def predict(self, x: Floats) -> Floats:
        """Of the trees."""
        return np.asarray(self.inner.predict(x))


MODELS: dict[str, Callable[[], Model]] = {"ridge": Ridge, "recursive": Recursive, "boosted": Boosted}


def pooled(parts: Sequence[Samples]) -> tuple[Ints, Floats, Floats]:
    """Times, features and targets of several currencies, in the order of time."""
    ts = np.concatenate([part.ts for part in parts])
    order = np.argsort(ts, kind="stable")
    return ts[order], np.concatenate([p.x for p in parts])[order], np.concatenate([p.y for p in parts])[order]


def walk(model: Callable[[], Model], parts: Sequence[Samples], first: int, every: int) -> list[Floats]:
    """Forecasts of each part, shape (n, targets), NaN for the first `first` snapshots.

    One model of all parts is fitted to what is over, forecasts `every` snapshots, and so on. The last change known at
    its fit is over by its first forecast: a target ends where the next snapshot begins.
    """
    ts, x, y = pooled(parts)
    found = [np.full_like(part.y, np.nan) for part in parts]
    moments = np.unique(ts)
    for at in range(first, len(moments), every):
        start, end = moments[at], moments[min(at + every, len(moments) - 1)]
        known = ts < start
        for j in range(y.shape[1]):
            fitted = model()
            fitted.fit(x[known], y[known, j])
            for part, forecast in zip(parts, found, strict=True):
                now = (part.ts >= start) & ((part.ts < end) | (end == moments[-1]))
                if now.any():
                    forecast[now, j] = fitted.predict(part.x[now])
    return found
