"""Prices of ETH and BTC on a regular grid: recorded windows, resampled blocks of them, and a model fitted to them.

The model of one market, by the hour (numbers and where they come from: `calibrate.py`, `calibrated.json`):

    r = e - h/2,  e = sqrt(h) z,  h' = v (1 - a - c/2 - b) + (a + c [e < 0]) h n + b h    GJR-GARCH, but for
    n = (1 - s) z^2 + s z^2 of the other market                                           a spill s
    z = scale * n:  calm, burst or jump, drawn jointly for both markets;  n normal, correlated as
    Q' = (1 - p - q) Q0 + p n n' + q Q,  R = Q over its diagonal                          DCC
    x' = x + k (ln s + u - x) + xi t o,  o correlated with n                              ln of the volatility index
    xi'^2 = y (1 - A - B) + A d^2 + B xi^2                                                its vol-of-vol, by the day

s is the model's own forecast of volatility over 30 days, d the day's shock to x, t the day's factor that makes d one of
Student's. Glosten, Jagannathan, Runkle, J. of Finance 48 (1993); Engle, J. of Business & Economic Statistics 20 (2002).
Below the hour each step gets its part of the hour's variance with a log-normal weight of its own; what a jump has
beyond a burst comes in one step of the hour. How near that comes to the record: `tests/sims/test_paths.py`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ballast import data
from sims.jit import njit

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MARKETS: tuple[data.Asset, ...] = ("ETH", "BTC")
MINUTE = 60
HOUR = 3_600
DAY = 86_400
HOURS_A_YEAR = 8_760
INDEX_HOURS = 720  # what the volatility index looks ahead
SCALES = 3  # calm, burst, jump
CALIBRATED = Path(__file__).resolve().parent / "calibrated.json"


@cache
def calibrated() -> dict[str, Any]:
    """All that `calibrate.py` has found in the recorded data."""
    found: dict[str, Any] = json.loads(CALIBRATED.read_text())
    return found


@dataclass(frozen=True, slots=True)
class Prices:
    """One path: price and volatility index at every step, arrays of shape (steps + 1, 2), ETH first."""

    name: str
    dt: float  # [s]
    start: int  # [Unix seconds] of step 0
    price: Floats  # [USD]
    vol: Floats  # [1/√year] implied volatility for 30 days

    @property
    def steps(self) -> int:
        """Of `dt` each."""
        return len(self.price) - 1

    def part(self, first: int, last: int) -> Prices:
        """The steps first … last."""
        cut = slice(first, last + 1)
        return Prices(self.name, self.dt, self.start + int(first * self.dt), self.price[cut], self.vol[cut])


@dataclass(frozen=True, slots=True)
class Window:
    """A recorded stretch of time worth a study."""

    name: str
    dt: int  # [s]
    stress: bool
    about: str
    first: str = ""  # of hourly ones: UTC days, `last` excluded
    last: str = ""


WINDOWS = (
    Window("2020-03_black_thursday", 300, True, "ETH 195 to 86 in a day; BTC half-hourly after the 12th at 21:10"),
    Window("2021-05_crash", 60, True, "ETH 3,500 to 1,888 on the 19th"),
    Window("2021-12-04_flash", 60, True, "BTC 53,000 to 42,000 within an hour"),
    Window("2022-05_luna", 300, True, "Terra: ETH 2,900 to 1,800 in a week"),
    Window("2022-06_3ac", 300, True, "Celsius and Three Arrows: ETH 1,800 to 881"),
    Window("2022-11_ftx", 300, True, "FTX: ETH 1,660 to 1,074 in two days"),
    Window("calm_2023-08", 60, False, "the calmest week of the record"),
    Window("2024-08_carry", HOUR, True, "unwinding of the yen carry: ETH 2,900 to 2,111", "2024-08-01", "2024-08-09"),
    Window("2025-06_mixed", 60, False, "a fall and a recovery"),
    Window("2025-10_tariffs", HOUR, True, "ETH 4,400 to 3,435 within hours", "2025-10-07", "2025-10-15"),
    Window("2026-02_crash", HOUR, True, "ETH 3,000 to 1,800 in a week", "2026-01-28", "2026-02-10"),
)


def windows(stress: bool | None = None) -> list[Window]:
    """Recorded windows, oldest first but for the calm; those of stress, the others, or all."""
    return [window for window in WINDOWS if stress is None or window.stress == stress]


def recorded(name: str) -> Prices:
    """A recorded window by its name, or a year of hours by its number, "2019" … "2026". LookupError otherwise."""
    if name.isdigit():
        return hours(f"{name}-01-01", f"{int(name) + 1}-01-01", name)
    found = [window for window in WINDOWS if window.name == name]
    if not found:
        raise LookupError(f"no window {name!r}; windows: {', '.join(w.name for w in WINDOWS)}, or a year")
    window = found[0]
    if window.dt == HOUR:
        return hours(window.first, window.last, name)
    bars = data.minute_window(name) if window.dt == 60 else data.five_minute_window(name)
    eth, btc = bars["ETH"], bars["BTC"]
    ts = np.append(eth.ts, eth.ts[-1] + window.dt)
    price = np.column_stack([np.append(eth.open[0], eth.close), np.full(len(ts), np.nan)])
    known = min(len(btc), len(eth)) + 1
    price[:known, 1] = np.append(btc.open[0], btc.close)[:known]
    if known < len(ts):
        price[known:, 1] = _rest_of_btc(ts, price, known)
    return Prices(name, window.dt, int(ts[0]), price, implied(ts))


def hours(first: str, last: str, name: str = "") -> Prices:
    """Hourly prices between two UTC days, `last` excluded; through an outage of the exchange the price stands.

    What lies before or after the record is left out; LookupError if that is everything.
    """
    start, end = (int(np.datetime64(day, "s").astype(np.int64)) for day in (first, last))
    bars = [data.hourly(asset) for asset in MARKETS]
    start, end = max(start, int(bars[0].ts[0])), min(end, int(bars[0].ts[-1]) + HOUR)
    if start >= end:
        raise LookupError(f"no window {name or first!r}: hours are of 2019-01 to 2026-06")
    ts = np.arange(start, end + 1, HOUR)
    columns = []
    for series in bars:
        at = np.searchsorted(series.ts, ts, side="left") - 1  # the last bar that is over
        columns.append(np.where(at < 0, series.open[0], series.close[np.maximum(at, 0)]))
    return Prices(name or f"{first}…{last}", HOUR, start, np.column_stack(columns), implied(ts))


def quarters(first: str = "2019-01-01", last: str = "2026-07-01") -> list[Prices]:
    """Hourly prices, quarter by quarter, for walks forward and tests out of sample."""
    edges: list[np.datetime64] = list(np.arange(np.datetime64(first, "M"), np.datetime64(last, "M") + 1, 3))
    return [hours(f"{a}-01", f"{b}-01", str(a)) for a, b in pairwise(edges)]


def implied(ts: Ints) -> Floats:
    """The 30-day implied volatility of both markets at times [Unix seconds], shape (n, 2).

    Deribit's index: hourly where there is one (ETH, 2024), else straight between daily closes. Outside its record
    (before 2021-03-24, after 2026-04-06) the model's: its forecast from the hours before, times the mean premium.
    """
    out = np.empty((len(ts), 2))
    for i, asset in enumerate(MARKETS):
        index = data.dvol(asset)
        at, level = np.append(index.ts[0], index.ts + DAY), np.append(index.open[0], index.close)
        out[:, i] = np.interp(ts, at, level)
        if asset == "ETH":
            by_hour, points = data.dvol_hourly()
            inside = (ts >= by_hour[0]) & (ts <= by_hour[-1])
            out[inside, i] = np.interp(ts[inside], by_hour, points)
        outside = (ts < at[0]) | (ts > at[-1])
        if outside.any():
            known, guess = _forecast(i)
            out[outside, i] = np.interp(ts[outside], known, guess)
    return out


@cache
def _forecast(market: int) -> tuple[Ints, Floats]:
    """Times [Unix seconds] and what the model thinks the index of a market is then, from hourly prices up to then."""
    model = Model.fitted()
    ahead = forecast(record_variance()[:, market], model.garch[market])
    level = np.sqrt(ahead * HOURS_A_YEAR) * np.exp(model.index[market, 1])
    return data.hourly(MARKETS[market]).ts + HOUR, level


@cache
def record_variance() -> Floats:
    """The model's h of the hour after each recorded one, given all before, (n, 2)."""
    model = Model.fitted()
    closes = np.log(np.column_stack([data.hourly(asset).close for asset in MARKETS]))
    return filtered_both(np.diff(closes, axis=0, append=closes[-1:]), model.garch, model.spill)


def _rest_of_btc(ts: Ints, price: Floats, known: int) -> Floats:
    """BTC where only its half-hours are recorded: straight between them, plus beta of what ETH did besides."""
    half_hours = data.half_hours_2020_03()
    at, level = half_hours.ts + half_hours.step, np.log(half_hours.close)
    knots = np.append(at[at < ts[-1]], ts[-1])
    eth = np.log(price[:, 0])
    eth_besides = eth - np.interp(ts, knots, np.interp(knots, ts, eth))
    btc_besides = np.log(price[:known, 1]) - np.interp(ts[:known], at, level)
    inside = slice(np.searchsorted(ts, at[0]), known)
    beta = float(btc_besides[inside] @ eth_besides[inside] / (eth_besides[inside] @ eth_besides[inside]))
    return np.asarray(np.exp(np.interp(ts[known:], at, level) + beta * eth_besides[known:]))


@dataclass(frozen=True, slots=True)
class Model:
    """Parameters of the module's formulas, by the hour; rows are markets, ETH first."""

    garch: Floats  # (2, 5): v [variance of an hour], a, c, b, and the most that h may be
    scales: Floats  # (2, SCALES) of z
    states: Floats  # (SCALES, SCALES) probability of ETH's and BTC's scales
    dcc: Floats  # (3,): p, q, correlation of Q0
    index: Floats  # (2, 7): k [per hour], u, y [variance of a day], A, B, degrees of freedom, correlation of o and n
    index_link: float  # correlation of both markets' o, beside what n brings
    spill: float  # of one market's news into the other's variance
    roughness: float  # standard deviation of the log weight of a minute within its hour

    @classmethod
    def fitted(cls) -> Model:
        """What `calibrate.py` fitted to hours of 2019-2026, the index since 2021 and minutes of four windows."""
        found = calibrated()["paths"]
        names = ("garch", "scales", "states", "dcc", "index")
        garch, scales, states, dcc, index = (np.array(found[name]) for name in names)
        return cls(garch, scales, states, dcc, index, found["index_link"], found["spill"], found["roughness"])


@njit
def _next(h: float, news: float, falls: bool, garch: Floats) -> float:
    """h of the hour after one that brought news, h n of the module."""
    v, a, c, b, most = garch
    return float(min(v * (1.0 - a - c / 2 - b) + (a + (c if falls else 0.0)) * news + b * h, most))


@njit
def filtered(returns: Floats, garch: Floats) -> Floats:
    """h of each hour given the returns before it, (n,), without spill; the record begins at the mean."""
    out = np.empty(len(returns))
    h = garch[0]
    for k in range(len(returns)):
        out[k] = h
        h = _next(h, returns[k] * returns[k], returns[k] < 0.0, garch)
    return out


@njit
def filtered_both(returns: Floats, garch: Floats, spill: float) -> Floats:
    """h of each hour and market given the returns before it, both (n, 2)."""
    out = np.empty((len(returns), 2))
    h, z2 = garch[:, 0].copy(), np.empty(2)
    for k in range(len(returns)):
        for i in range(2):
            out[k, i] = h[i]
            z2[i] = returns[k, i] * returns[k, i] / h[i]
        for i in range(2):
            news = h[i] * ((1.0 - spill) * z2[i] + spill * z2[1 - i])
            h[i] = _next(h[i], news, returns[k, i] < 0.0, garch[i])
    return out


@njit
def forecast(h: Floats, garch: Floats) -> Floats:
    """Mean variance of an hour over the index's horizon, given h of its first."""
    keep = garch[1] + garch[2] / 2 + garch[3]
    return np.asarray(garch[0] + (h - garch[0]) * (1.0 - keep**INDEX_HOURS) / (INDEX_HOURS * (1.0 - keep)))


def synthetic(
    rng: Generator,
    paths: int,
    steps: int,
    dt: int = HOUR,
    *,
    price: tuple[float, float] = (2_000.0, 40_000.0),
    model: Model | None = None,
    volatility: float = 1.0,
    correlation: float | None = None,
) -> tuple[Floats, Floats]:
    """Prices and volatility index of the model, both (paths, steps + 1, 2).

    `dt` [s] divides the hour or is it. Variances begin where the record's hours are, drawn from them (one hour for both
    markets), times `volatility`² throughout. A `correlation` stands in place of the one that moves. Prices are
    martingales.
    """
    if HOUR % dt:
        raise ValueError("a step must divide the hour")
    model = model or Model.fitted()
    record = record_variance()
    start = record[rng.integers(len(record), size=paths)]
    out, vol = np.empty((paths, steps + 1, 2)), np.empty((paths, steps + 1, 2))
    for path, own in enumerate(rng.spawn(paths)):
        moves, variances, index = _play(own, model, start[path], -(-steps * dt // HOUR), HOUR // dt, correlation)
        drifts = volatility * moves - 0.5 * volatility**2 * variances
        out[path, 0] = price
        out[path, 1:] = np.array(price) * np.exp(np.cumsum(drifts.reshape(-1, 2)[:steps], axis=0))
        at = np.arange(steps + 1) * dt / HOUR
        for i in range(2):
            vol[path, :, i] = volatility * np.interp(at, np.arange(len(index)), np.exp(index[:, i]))
    return out, vol


def _play(
    rng: Generator, model: Model, h: Floats, hours: int, parts: int, correlation: float | None
) -> tuple[Floats, Floats, Floats]:
    """e and its variance of each part of each hour (hours, parts, 2), and ln of the index (hours + 1, 2)."""
    state = np.minimum(np.searchsorted(model.states.ravel().cumsum(), rng.random(hours)), SCALES**2 - 1)
    scale = np.column_stack([model.scales[0, state // SCALES], model.scales[1, state % SCALES]])
    spread = scale if parts == 1 else np.minimum(scale, model.scales[:, 1])
    rough = np.exp(2.0 * model.roughness * rng.standard_normal((hours, parts, 2)))
    weight = spread[:, None] * np.sqrt(rough / rough.sum(axis=1, keepdims=True))
    leap = np.sqrt(scale**2 - spread**2)
    late = rng.integers(parts, size=(hours, 2))
    late[:, 1] = np.where((leap > 0.0).all(axis=1), late[:, 0], late[:, 1])
    extra = np.zeros((hours, parts, 2))
    np.put_along_axis(extra, late[:, None], leap[:, None], axis=1)
    normal, jump = (rng.standard_normal((hours, parts, 2)) for _ in range(2))
    other = rng.standard_normal((hours, 2))
    other[:, 1] = model.index_link * other[:, 0] + sqrt(1.0 - model.index_link**2) * other[:, 1]
    freedom = model.index[:, 5]
    tail = np.sqrt((freedom - 2.0) / rng.chisquare(freedom, (hours // 24 + 1, 2)))
    fixed = np.nan if correlation is None else correlation
    return _hour_by_hour(
        weight, extra, normal, jump, other, tail, h.copy(), model.garch, model.dcc, model.index, model.spill, fixed
    )


@njit
def _hour_by_hour(
    weight: Floats,
    extra: Floats,
    normal: Floats,
    jump: Floats,
    other: Floats,
    tail: Floats,
    h: Floats,
    garch: Floats,
    dcc: Floats,
    index: Floats,
    spill: float,
    fixed: float,
) -> tuple[Floats, Floats, Floats]:
    """What moves from hour to hour: variances, correlation, index; `normal` and `jump` are not correlated yet."""
    hours, parts = weight.shape[0], weight.shape[1]
    moves, variances, x = np.empty((hours, parts, 2)), np.empty((hours, parts, 2)), np.empty((hours + 1, 2))
    q11, q22, q12 = 1.0, 1.0, dcc[2]
    xi2, day, total, mixed, news = index[:, 2].copy(), np.zeros(2), np.empty(2), np.empty(2), np.empty(2)
    for i in range(2):
        x[0, i] = 0.5 * np.log(forecast(h, garch[i])[i] * HOURS_A_YEAR) + index[i, 1]
    for hour in range(hours):
        r = q12 / np.sqrt(q11 * q22) if np.isnan(fixed) else fixed
        rest = np.sqrt(1.0 - r * r)
        total[:] = 0.0
        mixed[:] = 0.0  # the hour's normals, for the correlation to come
        for k in range(parts):
            for i in range(2):
                n = normal[hour, k, 0] if i == 0 else r * normal[hour, k, 0] + rest * normal[hour, k, 1]
                leap = jump[hour, k, 0] if i == 0 else r * jump[hour, k, 0] + rest * jump[hour, k, 1]
                e = (weight[hour, k, i] * n + extra[hour, k, i] * leap) * np.sqrt(h[i])
                moves[hour, k, i] = e
                variances[hour, k, i] = (weight[hour, k, i] ** 2 + extra[hour, k, i] ** 2) * h[i]
                total[i] += e
                mixed[i] += n / np.sqrt(parts)
        for i in range(2):
            j = 1 - i
            news[i] = (1.0 - spill) * total[i] * total[i] + spill * total[j] * total[j] * h[i] / h[j]
        for i in range(2):
            h[i] = _next(h[i], news[i], total[i] < 0.0, garch[i])
            pull, u, y, A, B, _, tied = index[i]
            shock = tied * mixed[i] + np.sqrt(1.0 - tied * tied) * other[hour, i]
            shock *= tail[hour // 24, i] * np.sqrt(xi2[i] / 24.0)
            day[i] += shock
            level = 0.5 * np.log(forecast(h, garch[i])[i] * HOURS_A_YEAR) + u
            x[hour + 1, i] = x[hour, i] + pull * (level - x[hour, i]) + shock
            if hour % 24 == 23:
                xi2[i] = y * (1.0 - A - B) + A * day[i] ** 2 + B * xi2[i]
                day[i] = 0.0
        p, q = dcc[0], dcc[1]
        q11 = (1.0 - p - q) + p * mixed[0] * mixed[0] + q * q11
        q22 = (1.0 - p - q) + p * mixed[1] * mixed[1] + q * q22
        q12 = (1.0 - p - q) * dcc[2] + p * mixed[0] * mixed[1] + q * q12
    return moves, variances, x


def resampled(rng: Generator, source: Prices, paths: int, steps: int, block: float) -> tuple[Floats, Floats]:
    """Prices and index made of blocks of a recorded path, geometric lengths of `block` steps on average, (paths, …, 2).

    Both markets and the index keep to the same blocks (Politis and Romano, J. of the American Statistical Association
    89, 1994: the stationary bootstrap). They begin at the record's first price.
    """
    returns = np.diff(np.log(source.price), axis=0)
    n = len(returns)
    jump = rng.random((paths, steps)) < 1.0 / block
    jump[:, 0] = True
    fresh = rng.integers(n, size=(paths, steps))
    last = np.maximum.accumulate(np.where(jump, np.arange(steps), 0), axis=1)
    at = (np.take_along_axis(fresh, last, axis=1) + np.arange(steps) - last) % n
    price = np.empty((paths, steps + 1, 2))
    price[:, 0] = source.price[0]
    price[:, 1:] = source.price[0] * np.exp(np.cumsum(returns[at], axis=1))
    vol = np.concatenate([np.broadcast_to(source.vol[at[:, :1]], (paths, 1, 2)), source.vol[at + 1]], axis=1)
    return price, vol
