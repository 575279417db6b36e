"""Can the next surface be forecast, and what would it earn to post the forecast?

Models of `ballast/policy/forecast.py` walk forward over the recorded smiles of both currencies; R² is against the
martingale.

What it earns: somebody who knows the next surface trades every option at the money and at 25 delta of expiries within
the range, wherever the vault's half-spread is less than what the surface will move:

    loss = mean over options of max(0, |next − posted| − half-spread)        [vol points, per unit of vega]

once right after the post, at the spread's floor, and once just before the next one, at the spread that age has widened
(`vol_floor`, `vol_z`, `vol_of_vol` of the network). Posted is the last surface, or that moved by the forecast, at
most by the drift that the contract allows at once. What others trade does not depend on it. Intervals are of
resampled blocks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ballast import data
from ballast.config import load
from ballast.policy import forecast
from ballast.policy.forecast import FAR, MODELS, NEAR, POINT, TARGETS
from sims.studies import Study, verdict
from sims.world import YEAR, Floats

CURRENCIES: tuple[data.Asset, ...] = ("ETH", "BTC")
SECONDS = 86_400


class Forecast(Study):
    """Parameters; counts are of snapshots, about four a day."""

    network: str = "local"
    first: int = 240  # before the first forecast
    every: int = 28  # between fits
    block: int = 28  # resampled together
    draws: int = 2_000
    days: tuple[float, float] = (5.0, 60.0)  # to expiry, of the options traded against the vault

    def cases(self, seed: int) -> Sequence[tuple[str, int]]:
        """A model each."""
        return [(name, seed) for name in MODELS]

    def solve(self, case: tuple[str, int]) -> dict[str, Any]:
        """R² of each target and currency and what posting it earns, with 90 % intervals."""
        name, seed = case
        parts = [forecast.samples(currency) for currency in CURRENCIES]
        found = forecast.walk(MODELS[name], parts, self.first, self.every)
        rows: list[dict[str, Any]] = []
        for part, forecasts in zip(parts, found, strict=True):
            rng = np.random.default_rng([seed, len(rows)])
            known = ~np.isnan(forecasts[:, 0])
            pick = _blocks(int(known.sum()), self.block, self.draws, rng)
            losses = self._losses(part.currency, part.ts[known], forecasts[known])
            skill = []
            for j, target in enumerate(TARGETS):
                y, e = part.y[known, j] ** 2, (part.y[known, j] - forecasts[known, j]) ** 2
                r2 = 1 - e.sum() / y.sum()
                low, high = np.quantile(1 - e[pick].sum(axis=1) / y[pick].sum(axis=1), (0.05, 0.95))
                skill.append(
                    {
                        "target": target,
                        "r2": r2,
                        "low": float(low),
                        "high": float(high),
                        "moves": float(np.sqrt(y.mean())),
                    }
                )
            earned = []
            for k, moment in enumerate(("right after the post", "just before the next")):
                without, having = losses[:, 0, k], losses[:, 1, k]
                saved = without - having
                low, high = np.quantile(saved[pick].mean(axis=1), (0.05, 0.95))
                earned.append(
                    {
                        "moment": moment,
                        "loss": float(without.mean()),
                        "saved": float(saved.mean()),
                        "low": float(low),
                        "high": float(high),
                    }
                )
            rows.append({"currency": part.currency, "skill": skill, "earned": earned, "forecasts": int(known.sum())})
        return {"model": name, "rows": rows}

    def _losses(self, currency: data.Asset, ts: Floats, forecasts: Floats) -> Floats:
        """(n, posted as it was or moved, right after or just before) [vol points]."""
        market = next(m for m in load(self.network).markets if m.name == currency)
        spreads, drift = market.inventory, market.options.drift if market.options else None
        assert drift is not None
        at_once = float(drift.vol_base) / POINT
        floor, tau = float(spreads.vol_floor) / POINT, float(spreads.vol_tau)
        slope = float(spreads.vol_z) * float(spreads.vol_of_vol) / POINT
        panel = data.smile_panel(currency)
        rows = {int(t): panel.ts == t for t in np.unique(panel.ts)}
        following = dict(pairwise(sorted(rows)))
        out = np.zeros((len(ts), 2, 2))
        for n, (t, change) in enumerate(zip(ts, forecasts, strict=True)):
            now, then = rows[int(t)], rows[following[int(t)]]
            _, i, j = np.intersect1d(panel.expiry[now], panel.expiry[then], return_indices=True)
            days = (panel.expiry[now][i] - t) / SECONDS
            use = (days >= self.days[0]) & (days <= self.days[1])
            moved = np.clip(np.interp(days[use], (NEAR, FAR), change[:2]), -at_once, at_once)
            after = following[int(t)] - t
            wide = slope * np.sqrt((after + tau) / YEAR)
            for points, tilt in ((panel.put_25d_iv, 0.5), (panel.atm_iv, 0.0), (panel.call_25d_iv, -0.5)):
                actual = (points[then][j][use] - points[now][i][use]) / POINT
                error = actual - moved - tilt * change[2]
                for k, half in enumerate((floor, max(floor, wide))):
                    out[n, 0, k] += np.mean(np.maximum(np.abs(actual) - half, 0.0)) / 3
                    out[n, 1, k] += np.mean(np.maximum(np.abs(error) - half, 0.0)) / 3
        return out

    def summary(self, cases: Sequence[Any], results: Sequence[Any]) -> dict[str, Any]:
        """Of every model; `best` is what has the highest mean R², if any is above the martingale's 0."""
        mean = {r["model"]: float(np.mean([s["r2"] for row in r["rows"] for s in row["skill"]])) for r in results}
        worst = {r["model"]: min(s["r2"] for row in r["rows"] for s in row["skill"]) for r in results}
        best = max(mean, key=lambda name: mean[name])
        chosen = next(r for r in results if r["model"] == best)
        sure = [s for row in chosen["rows"] for s in row["skill"] if s["low"] > 0]
        earned = [(row["currency"], e) for row in chosen["rows"] for e in row["earned"]]
        shares = [e["saved"] / e["loss"] for _, e in earned]
        certain = [e for _, e in earned if e["low"] > 0]
        return {
            "models": list(results),
            "mean": mean,
            "worst": worst,
            "best": best,
            "from": int(min(p.ts[self.first] for p in map(forecast.samples, CURRENCIES))),
            "verdicts": [
                verdict(
                    "a model forecasts better than the martingale out of sample, on average of currencies and targets",
                    mean[best] > 0,
                    f"{best}, the best of {len(mean)} in hindsight: mean R² {mean[best]:.1%}; "
                    f"for {len(sure)} of {len(CURRENCIES) * len(TARGETS)} the 90 %"
                    " interval is above zero",
                ),
                verdict(
                    "boosted trees win over linear models",
                    mean["boosted"] >= mean[best],
                    ", ".join(f"{name} {value:.1%}" for name, value in mean.items()),
                ),
                verdict(
                    "posting the forecast takes at least a tenth off what the informed gain",
                    min(shares) >= 0.1,
                    f"it takes {min(shares):.1%} to {max(shares):.1%} off; for {len(certain)} of {len(earned)} the 90 %"
                    " interval is above zero",
                ),
            ],
        }

    def pictures(self, summary: Mapping[str, Any]) -> dict[str, Figure]:
        """R² of every model with its interval."""
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        axis = figure.subplots()
        labels = []
        for n, model in enumerate(summary["models"]):
            at = 0
            for row in model["rows"]:
                for s in row["skill"]:
                    x = at + (n - 1) * 0.22
                    error = [[100 * (s["r2"] - s["low"])], [100 * (s["high"] - s["r2"])]]
                    axis.errorbar(
                        x,
                        100 * s["r2"],
                        error,
                        fmt="o",
                        color=f"C{n}",
                        capsize=2,
                        label=model["model"] if at == 0 else None,
                    )
                    if n == 0:
                        labels.append(f"{row['currency']}\n{s['target']}")
                    at += 1
        axis.axhline(0, color="0.5", linewidth=0.8)
        axis.set_xticks(range(len(labels)), labels, fontsize=8)
        axis.set_ylabel("R² against no change [%]")
        axis.legend(frameon=False)
        return {"skill": figure}


def _blocks(n: int, block: int, draws: int, rng: np.random.Generator) -> Any:
    """Indices (draws, n) of samples made of blocks that wrap around."""
    starts = rng.integers(0, n, (draws, -(-n // block)))
    return ((starts[:, :, None] + np.arange(block)) % n).reshape(draws, -1)[:, :n]


STUDY = Forecast
