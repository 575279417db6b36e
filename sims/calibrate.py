"""Fit the worlds to the recorded data: `python -m sims.calibrate` renews `calibrated.json`.

Prices: by maximum likelihood (scipy's simplex), market by market, then the correlation of both given the first step.
Flow and options: `flow.py` and `options.py` say what their numbers mean.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import ndtr
from scipy.stats import t as student

from ballast import data
from ballast.surface.fit import fit as fit_surface
from ballast.surface.quotes import quotes_of
from sims import flow, paths
from sims.jit import njit

Floats = NDArray[np.float64]

DIGITS = 6  # of what is written down
TENOR_DAYS = (0.0, 2.0, 5.0, 12.0, 36.0)
DELTA_EDGES = (0.0, 0.05, 0.15, 0.35, 0.65)
DELTAS = (0.03, 0.1, 0.25, 0.5)  # of what lies between
GMX_FEE = 0.0005  # of notional: GMX v2 takes 4 bp of what improves its balance, 6 bp of the rest
POOL_FEE = 0.001  # of notional: between the two tiers that most of Arbitrum's ETH trades in, 5 and 30 bp


def main() -> None:
    """Fit everything and write it."""
    found = rounded({"paths": fit_paths(), "flow": fit_flow(), "options": fit_options()})
    paths.CALIBRATED.write_text(json.dumps(found, indent=2) + "\n")


def rounded(value: Any) -> Any:
    """Every number in a tree to `DIGITS` significant ones."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [rounded(item) for item in value]
    return float(f"{value:.{DIGITS}g}")


# prices


def fit_paths() -> dict[str, Any]:
    """The fields of `paths.Model`."""
    common = _common_hours()
    fits = [fit_garch(common[:, i]) for i in range(2)]
    garch, scales = np.array([fit[0] for fit in fits]), np.array([fit[1] for fit in fits])
    spill = fit_spill(common, garch, scales, [fit[2] for fit in fits])
    z = common / np.sqrt(paths.filtered_both(common, garch, spill))
    states, normals = fit_states(z, scales, np.outer(fits[0][2], fits[1][2]))
    for i in range(2):  # together they came out a little more frequent than alone: z keeps unit variance
        scales[i] /= np.sqrt(states.sum(axis=1 - i) @ scales[i] ** 2)
    index, link = fit_index(garch, spill)
    return {
        "garch": garch,
        "scales": scales,
        "states": states,
        "dcc": fit_dcc(normals),
        "index": index,
        "index_link": link,
        "spill": spill,
        "roughness": fit_roughness(),
    }


def _common_hours() -> Floats:
    """Hourly log returns of both markets without those over an outage, mean taken off, (hours, 2)."""
    bars = [data.hourly(asset) for asset in paths.MARKETS]
    regular = np.diff(bars[0].ts) == paths.HOUR
    returns = np.column_stack([np.diff(np.log(series.close))[regular] for series in bars])
    return np.asarray(returns - returns.mean(axis=0))


def fit_garch(returns: Floats) -> tuple[Floats, Floats, Floats]:
    """A row of `Model.garch`, and the scales of z with their probabilities.

    v is the sample's variance; h may be twice what it was at most in the record.
    """
    v = float(returns @ returns / len(returns))

    def unpack(x: Floats) -> tuple[Floats, Floats, Floats]:
        keep, share, skewed, burst, jump = 1.0 / (1.0 + np.exp(-x[:5]))
        sizes = np.array([1.0, 1.0 + np.exp(x[5]), 1.0 + np.exp(x[5]) + np.exp(x[6])])
        chances = np.array([(1.0 - burst) * (1.0 - jump), burst * (1.0 - jump), jump])
        a = keep * share
        parameters = np.array([v, a * (1.0 - skewed), 2.0 * a * skewed, keep - a, np.inf])
        return parameters, sizes / np.sqrt(chances @ sizes**2), chances

    def loss(x: Floats) -> float:
        parameters, sizes, chances = unpack(x)
        h = paths.filtered(returns, parameters)
        densities = np.exp(-0.5 * (returns**2 / h)[:, None] / sizes**2) / sizes
        return float(np.mean(0.5 * np.log(h) - np.log(densities @ chances)))

    parameters, sizes, chances = unpack(_least(loss, np.array([4.8, -2.7, -2.0, -2.0, -5.0, 0.5, 1.5])))
    parameters[4] = 2.0 * paths.filtered(returns, parameters).max()
    return parameters, sizes, chances


def fit_spill(returns: Floats, garch: Floats, scales: Floats, chances: list[Floats]) -> float:
    """Which part of one market's news is in the other's variance, all else as each market has it alone."""

    def loss(spill: float) -> float:
        h = paths.filtered_both(returns, garch, spill)
        total = 0.0
        for i in range(2):
            densities = np.exp(-0.5 * (returns[:, i] ** 2 / h[:, i])[:, None] / scales[i] ** 2) / scales[i]
            total += float(np.mean(0.5 * np.log(h[:, i]) - np.log(densities @ chances[i])))
        return total

    return float(minimize_scalar(loss, bounds=(0.0, 0.4), method="bounded", options={"xatol": 1e-4}).x)


def fit_states(z: Floats, scales: Floats, states: Floats) -> tuple[Floats, Floats]:
    """Probabilities of both markets' scales together, by expectation and maximisation, and each hour's likely normals.

    z (hours, 2); `states` to begin with, from each market alone. Normals have one correlation meanwhile.
    """
    pairs = [(i, j) for i in range(paths.SCALES) for j in range(paths.SCALES)]
    normals = np.stack([z / np.array([scales[0, i], scales[1, j]]) for i, j in pairs])  # (states, hours, 2)
    area = np.array([scales[0, i] * scales[1, j] for i, j in pairs])
    squares, product = (normals**2).sum(axis=2), normals.prod(axis=2)
    chances, r = states.ravel(), float(np.corrcoef(z.T)[0, 1])
    while True:
        form = (squares - 2.0 * r * product) / (1.0 - r * r)
        likely = (chances / area)[:, None] * np.exp(-0.5 * form)
        likely /= likely.sum(axis=0)
        before, chances = chances, likely.mean(axis=1)
        r = float(2.0 * (likely * product).sum() / (likely * squares).sum())
        if np.abs(chances - before).max() < 1e-6:
            return chances.reshape(states.shape), normals[likely.argmax(axis=0), np.arange(len(z))]


@njit
def _dcc_correlations(n: Floats, p: float, q: float, mean: float) -> Floats:
    out = np.empty(len(n))
    q11, q22, q12 = 1.0, 1.0, mean
    for k in range(len(n)):
        out[k] = q12 / np.sqrt(q11 * q22)
        q11 = (1.0 - p - q) + p * n[k, 0] * n[k, 0] + q * q11
        q22 = (1.0 - p - q) + p * n[k, 1] * n[k, 1] + q * q22
        q12 = (1.0 - p - q) * mean + p * n[k, 0] * n[k, 1] + q * q12
    return out


def fit_dcc(normals: Floats) -> Floats:
    """p, q and the correlation of Q0, of normals (hours, 2) that are brought to unit variance."""
    n = normals / np.sqrt(np.mean(normals**2, axis=0))
    mean = float(np.mean(n[:, 0] * n[:, 1]))

    def unpack(x: Floats) -> tuple[float, float]:
        keep, share = 1.0 / (1.0 + np.exp(-x))
        return float(keep * share), float(keep * (1.0 - share))

    def loss(x: Floats) -> float:
        r = _dcc_correlations(n, *unpack(x), mean)
        inside = 1.0 - r * r
        form = (n[:, 0] ** 2 - 2.0 * r * n[:, 0] * n[:, 1] + n[:, 1] ** 2) / inside
        return float(np.mean(0.5 * np.log(inside) + 0.5 * form))

    return np.array([*unpack(_least(loss, np.array([4.0, -3.0]))), mean])


def fit_index(garch: Floats, spill: float) -> tuple[Floats, float]:
    """Rows of `Model.index`, from daily closes of the index; and how both markets' shocks hang together otherwise."""
    rows, shocks = [], []
    closes = np.log(np.column_stack([data.hourly(asset).close for asset in paths.MARKETS]))
    variance = paths.filtered_both(np.diff(closes, axis=0, append=closes[-1:]), garch, spill)
    for i, asset in enumerate(paths.MARKETS):
        bars, index = data.hourly(asset), data.dvol(asset)
        ahead = paths.forecast(variance[:, i], garch[i])
        at = np.searchsorted(bars.ts + paths.HOUR, index.ts + paths.DAY, side="right") - 1
        level = 0.5 * np.log(ahead[at] * paths.HOURS_A_YEAR)
        x = np.log(index.close)
        gap, change = (level - x)[:-1], np.diff(x)
        slope, intercept = np.polyfit(gap, change, 1)
        daily = change - slope * gap - intercept
        move = np.diff(np.log(bars.close[at]))
        tie = float(np.corrcoef(daily, move)[0, 1])
        rows.append([1.0 - (1.0 - slope) ** (1 / 24), intercept / slope, *_fit_arch(daily), tie])
        shocks.append(daily / daily.std() - tie * move / move.std())
    return np.array(rows), float(np.corrcoef(shocks[0], shocks[1])[0, 1])


def _fit_arch(d: Floats) -> tuple[float, float, float, float]:
    """y, A, B of a GARCH(1,1) of daily shocks, y their variance, and Student's degrees of freedom of what is left."""
    y = float(d @ d / len(d))

    def unpack(x: Floats) -> tuple[float, float, float]:
        keep, share = 1.0 / (1.0 + np.exp(-x[:2]))
        return float(keep * share), float(keep * (1.0 - share)), 2.0 + float(np.exp(x[2]))

    def loss(x: Floats) -> float:
        A, B, freedom = unpack(x)
        width = np.sqrt(paths.filtered(d, np.array([y, A, 0.0, B, np.inf])) * (freedom - 2.0) / freedom)
        return float(np.mean(np.log(width) - student.logpdf(d / width, freedom)))

    return y, *unpack(_least(loss, np.array([2.5, -1.5, 1.0])))


def fit_roughness() -> float:
    """Of minutes within their hour: kurtosis of minute returns over the hour's realised volatility is 3 exp(4 s^2).

    Each of n minutes sits in the denominator too, which by itself makes the kurtosis of a normal 3 n/(n + 2).
    """
    ratios = []
    for name in data.minute_windows():
        for bars in data.minute_window(name).values():
            returns = np.diff(np.log(bars.close))
            by_hour = returns[: len(returns) // 60 * 60].reshape(-1, 60)
            variance = np.mean(by_hour**2, axis=1)
            ratios.append((by_hour[variance > 0] ** 4).mean(axis=1) / variance[variance > 0] ** 2)
    kurtosis = float(np.concatenate(ratios).mean()) * 62 / 60
    return float(np.sqrt(np.log(kurtosis / 3.0)) / 2)


# flow


def fit_flow() -> dict[str, Any]:
    """Fields of `flow.Traders` from three days of GMX v2's minutes, elasticity from a quarter of Arbitrum's hours."""
    days = [data.gmx_flow(day) for day in data.gmx_days()]
    mean = float(np.sqrt(_common_hours()[:, 0].var() * paths.HOURS_A_YEAR))
    counts = [(day.long_flow > 0).astype(np.int64) + (day.short_flow > 0) for day in days]
    opened = [
        f[f > 0] * day.index_price[f > 0] / day.pool_value[f > 0]
        for day in days
        for f in (day.long_flow, day.short_flow)
    ]
    sizes = np.log(np.concatenate(opened))
    volume = sum(float(f[f > 0].sum()) for day in days for f in (day.long_flow, day.short_flow))
    standing = sum(float(day.oi_long.mean() + day.oi_short.mean()) for day in days)
    arrivals = _fit_arrivals([day.index_price for day in days], counts, mean)
    side = _fit_side(days, arrivals["alert"], mean)
    elasticity, error = fit_elasticity()
    return {
        **arrivals,
        "mean": sizes.mean(),
        "spread": sizes.std(),
        "most": np.exp(sizes.max()),
        **side,
        "held": standing / volume * paths.DAY,
        "elasticity": elasticity,
        "elasticity_error": error,
        "fee": GMX_FEE,
    }


def _fit_arrivals(prices: list[Floats], counts: list[Any], mean: float) -> dict[str, float]:
    """Base rate, branching, decay, power and the half-life that fits best, by the likelihood of who opens when.

    Of a minute and a side is known whether anybody opened: each has half of what is expected.
    """

    def unpack(x: Floats) -> tuple[float, float, float, float]:
        return float(np.exp(x[0])), float(1.0 / (1.0 + np.exp(-x[1]))), float(np.exp(x[2])), float(x[3])

    best: tuple[float, dict[str, float]] = (np.inf, {})
    for alert in (300.0, 600.0, 1_200.0, 2_400.0, 4_800.0):
        weather = [flow.weather(price, paths.MINUTE, alert, paths.HOUR, mean)[0] for price in prices]

        def loss(x: Floats, weather: list[Floats] = weather) -> float:
            base, branching, decay, power = unpack(x)
            total = 0.0
            for rough, count in zip(weather, counts, strict=True):
                excited = _excited(count, branching, np.exp(-paths.MINUTE / decay))
                half = (paths.MINUTE * base * rough**power + excited) / 2
                total += float(np.sum((2 - count) * half - count * np.log(-np.expm1(-half))))
            return total / 1_440

        x = _least(loss, np.array([np.log(200 / paths.DAY), 0.0, np.log(600.0), 1.0]))
        if loss(x) < best[0]:
            base, branching, decay, power = unpack(x)
            best = loss(x), {"per_day": base * paths.DAY, "branching": branching, "decay": decay, "power": power}
            best[1]["alert"] = alert
    return best[1]


@njit
def _excited(counts: Any, branching: float, keep: float) -> Floats:
    out = np.empty(len(counts))
    excited = 0.0
    for k in range(len(counts)):
        out[k] = excited * (1.0 - keep)
        excited = excited * keep + branching * counts[k]
    return out


def _fit_side(days: list[data.GmxFlow], alert: float, mean: float) -> dict[str, float]:
    """Lean, momentum and the memory that fits best, by the likelihood of each opening being a long."""
    best: tuple[float, dict[str, float]] = (np.inf, {})
    for memory in (60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 4 * 3_600.0):
        trends, longs = [], []
        for day in days:
            trend = flow.weather(day.index_price, paths.MINUTE, alert, memory, mean)[1]
            trends += [trend[day.long_flow > 0], trend[day.short_flow > 0]]
            longs += [np.ones(int(np.sum(day.long_flow > 0))), np.zeros(int(np.sum(day.short_flow > 0)))]
        y, long = np.concatenate(trends), np.concatenate(longs)

        def loss(x: Floats, y: Floats = y, long: Floats = long) -> float:
            odds = x[0] + x[1] * y
            return float(np.mean(np.log1p(np.exp(odds)) - long * odds))

        x = _least(loss, np.zeros(2))
        if loss(x) < best[0]:
            best = loss(x), {"lean": x[0], "momentum": x[1], "memory": memory}
    return best[1]


def fit_elasticity() -> tuple[float, float]:
    """How the number of professional trades on Arbitrum falls with their cost, and its standard error.

    ln trades on ln(pool fee + transaction fee / mean order), with ln(high/low) of the hour and a constant for each day
    and each hour of the day: nearly all of it is what an airdrop's congestion of 2024-06 and a few crashes tell. A fee
    rises with demand, so that this understates. Errors are White's.
    """
    classes = data.trader_classes()
    known = ~np.isnan(classes.fee)
    ts, trades = classes.ts[known], classes.professional_trades[known]
    order = float(classes.professional_volume.sum() / classes.professional_trades.sum())
    bars = data.hourly("ETH")
    at = np.searchsorted(bars.ts, ts)
    day = np.unique(ts // paths.DAY, return_inverse=True)[1]
    columns = [
        np.log(POOL_FEE + classes.fee[known] / order),
        np.log(np.log(bars.high[at] / bars.low[at])),
        *np.eye(24)[ts // paths.HOUR % 24].T,
        *np.eye(day.max() + 1)[day].T[1:],
    ]
    X, y = np.column_stack(columns), np.log(trades)
    inverse = np.linalg.inv(X.T @ X)
    b = inverse @ X.T @ y
    white = inverse @ (X.T * (y - X @ b) ** 2) @ X @ inverse
    return -float(b[0]), float(np.sqrt(white[0, 0]))


# options


def fit_options() -> dict[str, Any]:
    """ETH's: smile and term of volatility, spreads, and what of recorded volume is where.

    Volume is of out-of-the-money options with 1 to 60 days left where deltas are counted; `tenor_weights` are per board
    when there is one a week. `held_days`: each contract is traded twice, opened and closed.
    """
    chains = data.option_chains("ETH")
    columns = [_of_chain(chain) for chain in chains]
    days, delta, is_call, volume, interest, half_spread = (
        np.concatenate(column) for column in zip(*columns, strict=True)
    )
    near = (days >= 5) & (days < 35)
    weights = [volume[(days >= a) & (days < b)].sum() / (b - a) for a, b in pairwise(TENOR_DAYS)]
    usual = (days >= 1) & (days < 60)
    shares = [
        [volume[usual & (is_call == call) & (delta >= a) & (delta < b)].sum() for a, b in pairwise(DELTA_EDGES)]
        for call in (True, False)
    ]
    fits = [fit_surface(quotes_of(chain)).surface for chain in chains]
    panel = data.smile_panel("ETH")
    index = data.dvol("ETH")
    of_index = np.interp(panel.ts, index.ts + paths.DAY, index.close)
    left = (panel.expiry - panel.ts) / paths.DAY
    listed = (panel.ts <= index.ts[-1]) & (left >= 2) & (left <= 60)
    slope, level = np.polyfit(np.log(left[listed] / 30), panel.atm_iv[listed] / of_index[listed], 1)
    return {
        "level": level,
        "slope": slope / level,
        "rho": np.mean([surface.rho for surface in fits]),
        "eta": np.mean([surface.eta for surface in fits]),
        "half_spread": np.nanmedian(half_spread[near & (np.abs(delta - 0.5) < 0.15)]),
        "tenor_days": TENOR_DAYS[:-1],
        "tenor_weights": np.array(weights) / np.sum(weights),
        "deltas": DELTAS,
        "shares": np.array(shares) / np.sum(shares),
        "held_days": 2 * interest[usual].sum() / volume[usual].sum(),
    }


def _of_chain(chain: data.OptionChain) -> tuple[Any, ...]:
    """Days left, absolute delta, right, volume, open interest half the spread [1.00 of volatility] of each option."""
    days = (chain.expiry - chain.ts) / paths.DAY
    deviation = chain.mark_iv * np.sqrt(days / 365)
    d1 = np.log(chain.forward / chain.strike) / deviation + deviation / 2
    delta = np.where(chain.is_call, ndtr(d1), ndtr(-d1))
    vega = chain.forward * np.exp(-d1 * d1 / 2) / np.sqrt(2 * np.pi) * np.sqrt(days / 365)
    half_spread = (chain.ask - chain.bid) / 2 * chain.index_price / vega
    return days, delta, chain.is_call, np.nan_to_num(chain.volume_24h), chain.open_interest, half_spread


def _least(loss: Callable[[Floats], float], start: Floats) -> Floats:
    """Where a simplex, begun anew from its own end, finds no less."""
    x, before = start, np.inf
    while True:
        found = minimize(loss, x, method="Nelder-Mead", options={"maxiter": 4_000, "xatol": 1e-5, "fatol": 1e-10})
        x = found.x
        if before - found.fun < 1e-8:
            return np.asarray(x)
        before = found.fun


if __name__ == "__main__":
    main()
