"""Are the simulated worlds like the recorded ones?

Prices: moments of each recorded year of hours, 2019-2025, against those of simulated years. A moment is inside if the
simulated median lies within what the recorded years span.
Traders: on the recorded prices of each GMX day, simulated openings against those recorded. A figure is inside if what
is recorded, as a mean over the days, lies within 95 % of the simulated means of as many days.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ballast import data
from sims import flow, paths
from sims.studies import Study, verdict
from sims.world import Floats

YEARS = range(2019, 2026)
LAGS = (1, 3, 6, 12, 24, 48, 96, 168)  # [hours] of the picture
TAIL = np.logspace(-0.5, 1.3, 25)  # of |return| over its standard deviation, of the picture
DAYS = 120  # of traders, for each recorded day


class Worlds(Study):
    """Parameters."""

    years: int = 60  # simulated

    def cases(self, seed: int) -> Sequence[tuple[str, int]]:
        """Prices, traders."""
        return [("prices", seed), ("traders", seed)]

    def solve(self, case: tuple[str, int]) -> Any:
        """Rows of one table and curves of one picture."""
        what, seed = case
        if what == "traders":
            return self.summary_of_traders(seed)
        recorded = [paths.recorded(str(year)).price[:, 0] for year in YEARS]
        simulated = list(paths.synthetic(np.random.default_rng(seed), self.years, 8_760)[0][:, :, 0])
        return {
            "rows": self.summary_of_prices(seed),
            "curves": {name: curves(prices) for name, prices in (("recorded", recorded), ("simulated", simulated))},
        }

    def summary_of_prices(self, seed: int) -> list[dict[str, Any]]:
        """Each moment: least, median and most of recorded years, 5 %, median and 95 % of simulated ones."""
        recorded = [moments(year.price, year.vol) for year in map(paths.recorded, map(str, YEARS))]
        price, vol = paths.synthetic(np.random.default_rng(seed), self.years, 8_760)
        simulated = [moments(price[i], vol[i]) for i in range(self.years)]
        rows = []
        for name in recorded[0]:
            known, made = ([found[name] for found in side] for side in (recorded, simulated))
            low, middle, high = min(known), float(np.median(known)), max(known)
            span = [float(q) for q in np.quantile(made, (0.05, 0.5, 0.95))]
            inside = low <= span[1] <= high
            rows.append({"moment": name, "recorded": [low, middle, high], "simulated": span, "inside": inside})
        return rows

    def summary_of_traders(self, seed: int) -> dict[str, Any]:
        """Figures of the recorded days, and of as many simulated on the same prices, one venue's fee for all."""
        rng = np.random.default_rng(seed)
        traders = flow.perp_traders(cheapest=float(paths.calibrated()["flow"]["fee"])).scaled(arrivals=2.0)
        days = [data.gmx_flow(day) for day in data.gmx_days()]
        known, made, sizes = [], [], []
        for day in days:
            opened = np.maximum(day.long_flow, 0.0), np.maximum(day.short_flow, 0.0)
            known.append(figures(opened, day.index_price, day.pool_value))
            price = np.repeat(day.index_price[None, :, None], DAYS, axis=0)
            alone = replace(traders, volatility=(traders.volatility[0], traders.volatility[0]))
            own = []
            for wanted in flow.wants(rng, price, paths.MINUTE, alone, 1.0, least=0.0):
                new = wanted.closes < 0
                made_long, made_short = (
                    np.bincount(wanted.step[new & side], np.abs(wanted.size[new & side]), len(day)).astype(np.float64)
                    for side in (wanted.size > 0, wanted.size < 0)
                )
                own.append(figures((made_long, made_short), day.index_price, np.ones(len(day))))
                sizes.append(np.abs(wanted.size[new]) * day.index_price[wanted.step[new]])
            made.append(own)
        rows = []
        for name in known[0]:
            recorded = [day[name] for day in known]
            means = np.mean([[draw[name] for draw in own] for own in made], axis=0)
            span = [float(q) for q in np.quantile(means, (0.025, 0.5, 0.975))]
            inside = span[0] <= float(np.mean(recorded)) <= span[2]
            rows.append({"moment": name, "recorded": recorded, "simulated": span, "inside": inside})
        recorded_sizes = np.concatenate(
            [f[f > 0] * (d.index_price / d.pool_value)[f > 0] for d in days for f in (d.long_flow, d.short_flow)]
        )
        at = np.logspace(-6, -1, 26)
        return {
            "rows": rows,
            "sizes": {
                "at": at.tolist(),
                "recorded": [float(np.mean(recorded_sizes > x)) for x in at],
                "simulated": [float(np.mean(np.concatenate(sizes) > x)) for x in at],
            },
        }

    def summary(self, cases: Sequence[Any], results: Sequence[Any]) -> dict[str, Any]:
        """Both tables, and what lies outside."""
        prices, traders = results
        outside = [row["moment"] for row in prices["rows"] + traders["rows"] if not row["inside"]]
        count = len(prices["rows"]) + len(traders["rows"])
        return {
            "prices": prices["rows"],
            "traders": traders["rows"],
            "curves": prices["curves"],
            "sizes": traders["sizes"],
            "calibrated": paths.calibrated(),
            "verdicts": [
                verdict(
                    "nine of ten moments of the simulated worlds are those of the record",
                    len(outside) <= count / 10,
                    f"{count - len(outside)} of {count}" + (f"; outside: {', '.join(outside)}" if outside else ""),
                )
            ],
        }

    def pictures(self, summary: Mapping[str, Any]) -> dict[str, Figure]:
        """Tails and memory of ETH's hours, sizes of trades."""
        figure = Figure(figsize=(11, 3.2), layout="constrained")
        tails, memory, sizes = figure.subplots(1, 3)
        for name, colour in (("recorded", "k"), ("simulated", "C0")):
            years = summary["curves"][name]
            for axis, key, at in ((tails, "tail", TAIL), (memory, "memory", np.array(LAGS))):
                low, middle, high = np.quantile(np.array([year[key] for year in years]), (0.05, 0.5, 0.95), axis=0)
                axis.plot(at, middle, color=colour, label=name)
                axis.fill_between(at, np.maximum(low, 1e-6), high, color=colour, alpha=0.12, lw=0)
            sizes.loglog(summary["sizes"]["at"], np.maximum(summary["sizes"][name], 1e-6), color=colour, label=name)
        tails.set(xscale="log", yscale="log", ylim=(5e-5, 1), xlabel="|hourly return| / standard deviation")
        tails.set_title("share of ETH's hours beyond", fontsize=9)
        memory.set(xscale="log", xlabel="hours")
        memory.set_title("autocorrelation of |return|", fontsize=9)
        sizes.set(xlabel="size / LP equity", ylim=(5e-4, 1))
        sizes.set_title("share of openings beyond", fontsize=9)
        for axis in (tails, memory, sizes):
            axis.legend(frameon=False, fontsize=7)
        return {"moments": figure}


def moments(price: Floats, vol: Floats) -> dict[str, float]:
    """Of a path of hours (n, 2): by name, returns in logs."""
    returns = np.diff(np.log(price), axis=0)
    out = {}
    for i, name in enumerate(paths.MARKETS):
        r = returns[:, i]
        size = np.abs(r)
        days = np.add.reduceat(r, np.arange(0, len(r), 24))
        index = np.diff(np.log(vol[::24, i]))
        out[f"{name} volatility"] = float(r.std() * np.sqrt(paths.HOURS_A_YEAR))
        out[f"{name} kurtosis of hours"] = float(np.mean((r / r.std()) ** 4))
        for label, lag in (("hour", 1), ("day", 24), ("week", 168)):
            out[f"{name} memory, {label}"] = correlation(size[:-lag], size[lag:])
        out[f"{name} leverage"] = float(np.mean([correlation(r[:-lag], np.square(r[lag:])) for lag in range(1, 25)]))
        out[f"{name} worst hour in 1,000"] = float(np.quantile(r, 0.001))
        out[f"{name} worst day"] = float(days.min())
        out[f"{name} drawdown"] = float(np.max(1.0 - price[:, i] / np.maximum.accumulate(price[:, i])))
        out[f"{name} index, mean"] = float(np.exp(np.log(vol[:, i]).mean()))
        out[f"{name} index, vol of vol"] = float(index.std() * np.sqrt(365))
        out[f"{name} index, with price"] = correlation(index, days[: len(index)])
    out["correlation of hours"] = correlation(*returns.T)
    out["least correlation of a week"] = min(
        correlation(*returns[k : k + 168].T) for k in range(0, len(returns) - 168, 168)
    )
    return out


def curves(prices: Sequence[Floats]) -> list[dict[str, list[float]]]:
    """Tail and memory of each path of hours (n,)."""
    out = []
    for price in prices:
        r = np.diff(np.log(price))
        size = np.abs(r) / r.std()
        memory = [correlation(size[:-lag], size[lag:]) for lag in LAGS]
        out.append({"tail": [float(np.mean(size > x)) for x in TAIL], "memory": memory})
    return out


def figures(opened: tuple[Floats, Floats], price: Floats, equity: Floats) -> dict[str, float]:
    """Of a day of minutes: what longs and shorts opened [base] in each, and what sizes are compared with [quote]."""
    longs, shorts = opened
    counts: Floats = (longs > 0).astype(np.float64) + (shorts > 0)
    r = np.diff(np.log(price), prepend=np.log(price[0]))
    signs: Floats = (longs > 0).astype(np.float64) - (shorts > 0)
    by_hour = counts.reshape(-1, 60).sum(axis=1)
    rough = np.sqrt((r.reshape(-1, 60) ** 2).sum(axis=1))
    return {
        "openings a day (minutes and sides)": float(counts.sum()),
        "opened a day, of LP equity": float(((longs + shorts) * price / equity).sum()),
        "share of longs": float((longs > 0).sum() / counts.sum()),
        "clustering, 1 minute": correlation(counts[:-1], counts[1:]),
        "clustering, 10 minutes": correlation(counts[:-10], counts[10:]),
        "openings with volatility, hours": correlation(np.asarray(by_hour), rough),
        "side with the last minute's return": correlation(signs[1:], np.asarray(r[:-1])),
    }


def correlation(x: Floats, y: Floats) -> float:
    """Pearson's."""
    return float(np.corrcoef(x, y)[0, 1])


STUDY = Worlds
