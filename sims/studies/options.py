"""A vault that makes markets in options: Ballast's charges against a fixed spread that earns the same, and Lyra's rule.

`sims/options.py` says how it is played. In each case the fixed spread is what Ballast's customers and market makers
paid there, per vega traded. "An hour late" is Ballast with a surface an hour old when it is traded on, which it knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from sims import options, paths
from sims.options import CHARGES, FEES, HEDGING, MAKERS, REBATES, REFUSED, SPREADS, TRADES, VEGA_TRADED, Result, Setting
from sims.studies import Study, verdict

OURS, LATE, FIXED, LYRA = "Ballast", "Ballast, an hour late", "fixed spread", "Lyra"
RULES = (OURS, LATE, FIXED, LYRA)


class Options(Study):
    """Parameters."""

    spans: tuple[tuple[str, str], ...]  # UTC days, the last excluded
    draws: int = 4  # of customers, for each year
    per_day: float = 40.0  # openings
    buyers: tuple[float, ...] = (0.5, 0.6, 0.7)  # share of openings that buy

    def cases(self, seed: int) -> Sequence[tuple[int, float, int]]:
        """Each span, each share of buyers."""
        return [(number, buyers, seed) for number in range(len(self.spans)) for buyers in self.buyers]

    def solve(self, case: tuple[int, float, int]) -> dict[str, dict[str, float]]:
        """Each rule's figures, means over the draws."""
        number, buyers, seed = case
        prices = paths.hours(*self.spans[number])
        price, vol = (np.repeat(values[None, :, 0], self.draws, axis=0) for values in (prices.price, prices.vol))
        customers = options.Customers(per_day=self.per_day, buyers=buyers)
        rng = np.random.default_rng([seed, number])
        setting = Setting()
        wanted = [
            options.wants(own, price[i], vol[i], customers, setting.equity)
            for i, own in enumerate(rng.spawn(self.draws))
        ]
        ours = options.run(price, vol, wanted, options.Ballast(), setting, seed)
        late = options.run(price, vol, wanted, options.Ballast(), Setting(lag=1, surface_age=3_600.0), seed)
        fixed = options.run(price, vol, wanted, options.Flat(spread=paid(ours)), setting, seed)
        lyra = options.run(price, vol, wanted, options.Lyra(), setting, seed)
        return {name: figures(result) for name, result in zip(RULES, (ours, late, fixed, lyra), strict=True)}

    def summary(self, cases: Sequence[Any], results: Sequence[Any]) -> dict[str, Any]:
        """By span, named by its year, at the middle share of buyers; by share; and how often Ballast is ahead."""
        middle = self.buyers[len(self.buyers) // 2]
        by_year = {self.spans[c[0]][0][:4]: r for c, r in zip(cases, results, strict=True) if c[1] == middle}
        by_share = {
            f"{share:.0%}": {
                name: {
                    key: float(np.mean([r[name][key] for c, r in zip(cases, results, strict=True) if c[1] == share]))
                    for key in results[0][name]
                }
                for name in RULES
            }
            for share in self.buyers
        }
        ratios = [r[OURS]["drawdown"] / r[FIXED]["drawdown"] for r in results]
        sharper = [r[OURS]["sharpe"] > r[FIXED]["sharpe"] for r in results]
        ahead = [r[OURS]["sharpe"] > r[LYRA]["sharpe"] for r in results]
        return {
            "years": by_year,
            "shares": by_share,
            "rules": list(RULES),
            "ratio": float(np.median(ratios)),
            "verdicts": [
                verdict(
                    "LPs' drawdown is smaller than with a fixed spread that earns as much, in at least 80 % of cases",
                    float(np.mean(np.array(ratios) < 1)) >= 0.8,
                    f"in {np.mean(np.array(ratios) < 1):.0%} of {len(ratios)}; median ratio {np.median(ratios):.2f}",
                ),
                verdict(
                    "and their Sharpe ratio is higher",
                    float(np.mean(sharper)) >= 0.8,
                    f"in {np.mean(sharper):.0%} of {len(sharper)}; than with Lyra's rule in {np.mean(ahead):.0%}",
                ),
            ],
        }

    def pictures(self, summary: Mapping[str, Any]) -> dict[str, Figure]:
        """Return and drawdown of each year, a bar for each rule."""
        figure = Figure(figsize=(10, 3), layout="constrained")
        axes = figure.subplots(1, 2)
        years = list(summary["years"])
        for axis, key, title in zip(
            axes, ("return", "drawdown"), ("LPs' return of the year [%]", "largest fall of LP equity [%]"), strict=True
        ):
            for at, name in enumerate(summary["rules"]):
                values = [100 * summary["years"][year][name][key] for year in years]
                axis.bar(np.arange(len(years)) + 0.2 * (at - 1.5), values, 0.2, label=name)
            axis.set_xticks(range(len(years)), years)
            axis.axhline(0, color="k", lw=0.6)
            axis.set_title(title, fontsize=9)
        axes[0].legend(frameon=False, fontsize=7)
        return {"years": figure}


def paid(result: Result) -> float:
    """What was paid beyond worth, per vega traded [1.00 of volatility]."""
    t = result.totals.sum(axis=0)
    return float((t[SPREADS] + t[FEES] + t[CHARGES] - t[REBATES]) / t[VEGA_TRADED])


def figures(result: Result) -> dict[str, float]:
    """Means over draws; Sharpe ratio of daily returns, per √year."""
    daily = result.equity[:, ::24]
    changes = np.diff(daily, axis=1) / daily[:, :-1]
    count = result.totals.mean(axis=0)
    return {
        "return": float(result.returns.mean()),
        "volatility": float(np.mean(changes.std(axis=1)) * np.sqrt(365)),
        "sharpe": float(np.mean(changes.mean(axis=1) / changes.std(axis=1)) * np.sqrt(365)),
        "drawdown": float(result.drawdown.mean()),
        "vega": float(np.abs(result.vega).mean() / result.equity[0, 0]),
        "paid": paid(result),
        "hedging": float(count[HEDGING] / result.equity[0, 0]),
        "filled": float(count[TRADES] / (count[TRADES] + count[REFUSED])),
        "makers": float(count[MAKERS]),
    }


STUDY = Options
