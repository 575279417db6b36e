"""Oracle delay against toxic flow: from which share of informed traders on do LPs lose?

The oracle says what was true `delay` ago. Informed traders see the true price and trade where the difference is more
than the trade costs them (`sims/flow.py`, informed); everybody else is as recorded. LPs' margin at a toxic share s is

    (what traders paid less hedges at s = 0, of which LPs have it all  +  equity(s) - equity(0)) / volume(s)

on the same path with the same traders, so that what inventory happened to win or lose is left out: the difference of
equity is what the informed took, or left there.
The share at which the margin falls through zero is the break-even; it is of what is wanted, since what is refused is
the rule's merit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.random import Generator

from sims import engine, paths
from sims.engine import Hedging, Rule
from sims.measures import hedging_cost, keeper, play, revenue, rule, scene
from sims.rules import ballast, flat, gmx_v2
from sims.studies import Study, verdict
from sims.world import Floats, OracleModel, World

OURS = "Ballast"
FIXED = "Ballast, spread fixed at its floor"


@dataclass(frozen=True, slots=True)
class Case:
    """A window seen by an oracle."""

    window: str
    delay: float
    seed: int


class Delay(Study):
    """Parameters."""

    windows: tuple[str, ...]  # of minutes
    delays: tuple[float, ...]  # [s]
    shares: tuple[float, ...]  # of what is wanted; the first is 0
    draws: int = 8
    fee: float = 0.001  # of the flat rule

    def cases(self, seed: int) -> Sequence[Case]:
        """Each window, each delay."""
        return [Case(window, delay, seed) for window in self.windows for delay in self.delays]

    def solve(self, case: Case) -> dict[str, list[list[float]]]:
        """By rule and share: [quote] earned, volume, volume of the first share, what the informed were refused."""
        found: dict[str, list[list[float]]] = {name: [] for name in self.rules()}
        base: dict[str, tuple[Floats, Floats]] = {}
        for share in self.shares:
            world = self._world(case, share)
            for name, (params, hedging) in self.rules().items():
                result = play(world, params, hedging, carry=False)
                if name not in base:
                    base[name] = revenue(result) - hedging_cost(result) - result.reserve[:, -1], result.profit
                certain, profit = base[name]
                earned = certain + result.profit - profit
                totals = result.totals
                found[name].append(
                    [float(earned.sum()), float(totals[:, engine.VOLUME].sum()), float(totals[:, engine.WANTED].sum())]
                )
        return found

    def _world(self, case: Case, share: float) -> World:
        prices = paths.recorded(case.window)
        oracle = OracleModel(delay=case.delay, initial_sigma=float(prices.vol[0, 0]))
        return scene(prices, case.seed, self.draws, oracle=oracle, toxic=share)

    def perps(self, case: Case, rng: Generator) -> tuple[World, ballast.Params]:
        """One of the shares, as deployed."""
        return self._world(case, float(rng.choice(self.shares))), rule()

    def rules(self) -> dict[str, tuple[Rule, Hedging | None]]:
        """Who is compared; GMX v2 as published."""
        return {
            OURS: (rule(), keeper()),
            FIXED: (rule(z=0.0), keeper()),
            f"flat fee of {1e4 * self.fee:.0f} bp": (flat.Params(fee=self.fee), None),
            "GMX v2": (gmx_v2.Params(), None),
        }

    def summary(self, cases: Sequence[Case], results: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Margins pooled over windows, break-even shares, and how much of the informed flow was filled."""
        tables = {}
        for name in self.rules():
            rows = []
            for delay in self.delays:
                pooled = np.sum([r[name] for c, r in zip(cases, results, strict=True) if c.delay == delay], axis=0)
                margins = pooled[:, 0] / pooled[:, 1]
                extra = (pooled[1:, 1] - pooled[0, 1]) / np.maximum(pooled[1:, 2] - pooled[0, 2], 1.0)
                rows.append(
                    {
                        "delay": delay, "margins": margins.tolist(), "filled": float(np.mean(extra)),
                        "even": break_even(self.shares, margins.tolist()),
                    }
                )  # fmt: skip
            tables[name] = rows
        minute = [row for row in tables[OURS] if 0.0 < row["delay"] <= 60.0]
        late = [row for row in tables[OURS] if row["delay"] > 0.0]
        plain = {row["delay"]: row for row in tables[FIXED]}
        text = ", ".join(f"{row['delay'] / 60:.0f} min {_share(row['even'])}" for row in tables[OURS])
        return {
            "shares": list(self.shares),
            "tables": tables,
            "verdicts": [
                verdict(
                    "with a minute's delay LPs still earn where a fifth of what is wanted is toxic",
                    all(_even(row) >= 0.2 for row in minute),
                    f"break-even toxic shares of Ballast: {text}",
                ),
                verdict(
                    "the spread that widens with volatility and age raises the break-even wherever there is one",
                    all(_even(row) >= _even(plain[row["delay"]]) for row in late),
                    ", ".join(f"{d / 60:.0f} min {_share(row['even'])} without it" for d, row in plain.items()),
                ),
            ],
        }

    def pictures(self, summary: Mapping[str, Any]) -> dict[str, Figure]:
        """Margin over toxic share, a line for each delay, a panel for each rule."""
        figure = Figure(figsize=(11, 3), layout="constrained")
        axes = figure.subplots(1, len(summary["tables"]), sharey=True)
        for axis, (name, rows) in zip(axes, summary["tables"].items(), strict=True):
            for row in rows:
                margins = 1e4 * np.array(row["margins"])
                axis.plot(100 * np.array(summary["shares"]), margins, label=f"{row['delay'] / 60:.0f} min")
            axis.axhline(0, color="k", lw=0.6)
            axis.set_title(name, fontsize=8)
            axis.set_xlabel("toxic share of what is wanted [%]", fontsize=8)
        axes[0].set_ylabel("LPs' margin [bp of volume]")
        axes[-1].legend(frameon=False, fontsize=7, title="delay")
        return {"margin": figure}


def break_even(shares: Sequence[float], margins: Sequence[float]) -> float | None:
    """The share at which the margin first falls through zero, straight between those measured; None: nowhere."""
    if margins[0] <= 0.0:
        return 0.0
    for i in range(1, len(shares)):
        if margins[i] <= 0.0:
            return shares[i - 1] + (shares[i] - shares[i - 1]) * margins[i - 1] / (margins[i - 1] - margins[i])
    return None


def _even(row: Mapping[str, Any]) -> float:
    """The break-even of a row; 1 where there is none."""
    return 1.0 if row["even"] is None else float(row["even"])


def _share(even: float | None) -> str:
    return "above all measured" if even is None else f"{even:.0%}"


STUDY = Delay
