"""When ETH and BTC stop moving together: what c_lo and c_hi are worth to LPs, and what they cost pair traders.

Prices are the fitted model's with the usual correlation for the first half, another for the second. Beside recorded
traders there are pair traders, long one market and short the other for equal amounts, mostly the same way: a book that
hardly moves while the correlation holds. The vault charges the worse of c_lo and c_hi; a vault that trusts the usual
correlation sets both to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.random import Generator

from sims import engine, flow, paths
from sims.engine import Hedging
from sims.measures import EQUITY, all_in, hedging_cost, keeper, play, revenue, rule
from sims.rules import ballast
from sims.studies import Study, verdict
from sims.world import Floats, OracleModel, Wants, World

DAY = 86_400
DT = 300
HEDGES: dict[str, Hedging | None] = {"hedged": keeper(), "not hedged": None}


@dataclass(frozen=True, slots=True)
class Case:
    """A correlation of the second half, a part of the paths."""

    after: float
    part: int
    seed: int


class Correlation(Study):
    """Parameters."""

    usual: float = 0.85
    after: tuple[float, ...]
    settings: dict[str, tuple[float, float]]  # c_lo, c_hi by name; "deployed" and "trusting" among them
    days: int = 14
    paths: int = 64
    parts: int = 4
    pairs_per_day: float = 12.0
    pair: float = 0.02  # [of LP equity] each side
    same_way: float = 0.85
    held_days: float = 4.0
    patience: float = 0.01  # [of notional] that a pair's side may cost

    def cases(self, seed: int) -> Sequence[Case]:
        """Parts of the paths for each correlation."""
        return [Case(after, part, seed) for after in self.after for part in range(self.parts)]

    def solve(self, case: Case) -> dict[str, list[list[float]]]:
        """By setting and hedging, of each path: fall and gain in the second half, gain in the first, revenue, …"""
        world = self._world(case)
        found = {}
        for name, (low, high) in self.settings.items():
            for kind, hedging in HEDGES.items():
                result = play(world, rule(c_lo=low, c_hi=high), hedging, carry=False)
                half = result.equity.shape[1] // 2
                late = result.equity[:, half:]
                fall = np.max(1.0 - late / np.maximum.accumulate(late, axis=1), axis=1)
                t = result.totals
                found[f"{name}|{kind}"] = np.column_stack(
                    [
                        fall, late[:, -1] / late[:, 0] - 1.0, result.equity[:, half] / EQUITY - 1.0, revenue(result),
                        hedging_cost(result), t[:, engine.VOLUME], t[:, engine.WANTED],
                        np.full(len(fall), all_in([result])),
                    ]
                ).tolist()  # fmt: skip
        return found

    def perps(self, case: Case, rng: Generator) -> tuple[World, ballast.Params]:
        """One of the settings."""
        low, high = self.settings[str(rng.choice(list(self.settings)))]
        return self._world(case), rule(c_lo=low, c_hi=high)

    def _world(self, case: Case) -> World:
        """Prices are the same for every correlation but for what it changes, wants but for prices."""
        rng = np.random.default_rng([case.seed, case.part])
        count, steps = self.paths // self.parts, self.days * DAY // DT
        first, vol = paths.synthetic(rng, count, steps // 2, DT, correlation=self.usual)
        second, more = paths.synthetic(rng, count, steps // 2, DT, correlation=case.after)
        price = np.concatenate([first, first[:, -1:] * second[:, 1:] / second[:, :1]], axis=1)
        vols = np.concatenate([vol, more[:, 1:]], axis=1)
        traders = flow.wants(rng, price, DT, flow.perp_traders(), EQUITY)
        pairs = [self._pairs(own, path) for own, path in zip(rng.spawn(count), price, strict=True)]
        name = f"correlation {case.after:g}, part {case.part}"
        return World.of(price, DT, oracle=OracleModel(), wants=flow.merged(traders, pairs), vol=vols, name=name)

    def _pairs(self, rng: np.random.Generator, price: Floats) -> Wants:
        """Both sides of each pair at one step, closed at one step."""
        steps = len(price) - 1
        opened = np.sort(rng.integers(0, steps, rng.poisson(self.pairs_per_day * self.days)))
        way = np.where(rng.random(len(opened)) < self.same_way, 1.0, -1.0)
        amount = self.pair * EQUITY * rng.exponential(1.0, len(opened)) * way
        end = opened + 1 + (rng.exponential(self.held_days * DAY, len(opened)) / DT).astype(np.int64)
        step = np.repeat(opened, 2)
        market = np.tile(np.array([0, 1]), len(opened))
        base = np.repeat(amount, 2) * np.where(market == 0, 1.0, -1.0) / price[step, market]
        return flow.paired(step, market, base, np.full(len(step), self.patience), np.repeat(end, 2), steps)

    def summary(self, cases: Sequence[Case], results: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Quantiles over paths."""
        rows: list[dict[str, Any]] = []
        for after in self.after:
            for name, ends in self.settings.items():
                for kind in HEDGES:
                    own = [
                        np.array(r[f"{name}|{kind}"]) for c, r in zip(cases, results, strict=True) if c.after == after
                    ]
                    f = np.concatenate(own)
                    rows.append(
                        {
                            "after": after, "setting": name, "ends": list(ends), "kind": kind,
                            "fall": float(np.median(f[:, 0])), "fall_95": float(np.quantile(f[:, 0], 0.95)),
                            "late": float(f[:, 1].mean()), "late_05": float(np.quantile(f[:, 1], 0.05)),
                            "early": float(f[:, 2].mean()), "revenue": float(f[:, 3].mean()),
                            "hedging": float(f[:, 4].mean()), "cost": float(np.average(f[:, 7], weights=f[:, 5])),
                            "filled": float(f[:, 5].sum() / f[:, 6].sum()),
                        }
                    )  # fmt: skip
        find = {(r["after"], r["setting"], r["kind"]): r for r in rows}
        broken = [after for after in self.after if after != self.usual]
        lines = []
        better = []
        for after in broken:
            ours, theirs = find[after, "deployed", "hedged"], find[after, "trusting", "hedged"]
            better.append(ours["fall_95"] <= theirs["fall_95"])
            lines.append(f"{ours['fall_95']:.2%} against {theirs['fall_95']:.2%} at {after:g}")
        kept = find[self.usual, "deployed", "hedged"], find[self.usual, "trusting", "hedged"]
        return {
            "rows": rows,
            "price": kept[0]["cost"] - kept[1]["cost"],
            "verdicts": [
                verdict(
                    "in a breakdown LPs who charge the worse end fall less than those who trust the past",
                    all(better),
                    "one path in twenty falls by " + ", ".join(lines),
                ),
                verdict(
                    "where the correlation holds this costs LPs no more than 0.05 % a week",
                    kept[0]["late"] >= kept[1]["late"] - 0.0005,
                    f"return of the second half {kept[0]['late']:.2%} against {kept[1]['late']:.2%}; traders pay "
                    f"{1e4 * kept[0]['cost']:.1f} bp in all against {1e4 * kept[1]['cost']:.1f}",
                ),
            ],
        }

    def pictures(self, summary: Mapping[str, Any]) -> dict[str, Figure]:
        """The fall that one path in twenty exceeds, by correlation and setting."""
        figure = Figure(figsize=(9, 3), layout="constrained")
        for axis, kind in zip(figure.subplots(1, 2, sharey=True), HEDGES, strict=True):
            for number, name in enumerate(self.settings):
                rows = [r for r in summary["rows"] if r["setting"] == name and r["kind"] == kind]
                at = np.arange(len(rows)) + 0.8 * number / len(self.settings)
                c = rows[0]["ends"]
                axis.bar(
                    at,
                    [100 * r["fall_95"] for r in rows],
                    0.75 / len(self.settings),
                    label=f"{name} ({c[0]:g}, {c[1]:g})",
                )
            axis.set_xticks(np.arange(len(self.after)) + 0.3, [f"{a:g}" for a in self.after])
            axis.set_xlabel("correlation of the second week")
            axis.set_title(kind, fontsize=10)
        figure.axes[0].set_ylabel("fall of 1 path in 20 [%]")
        figure.axes[1].legend(frameon=False, fontsize=7)
        return {"falls": figure}


STUDY = Correlation
