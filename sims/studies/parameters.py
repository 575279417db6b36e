"""The map of λ, h, ω and u*: where LPs and traders both gain beside a flat fee, and which defaults follow.

Traders mind costs; carry traders come for funding. For every point of the grid the same recorded windows and quarters
are played, hedged by the rule. Beside it stands the flat fee that earns LPs most per risk on the same worlds, hedged in
a fixed band. A point is good for LPs where their median Sharpe ratio is above the flat fee's, good for traders where
they pay less in all, of what they trade. The recommended point has the highest Sharpe ratio of those at which traders
pay no more, and get no less filled, than as deployed; half of the worlds choose it, the other half judge it.

Hedged and with traders who mind costs the vault is never utilized enough for ω and u* to matter. They are for the day
when nothing can be hedged and traders pay anything: that is the second grid, with traders `strain` times as large.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.random import Generator

from sims import engine, flow, paths
from sims.engine import BAND, Hedging, Result, Rule
from sims.measures import all_in, config, keeper, play, rule, scene
from sims.rules import ballast, flat
from sims.studies import Study, verdict
from sims.world import World

HOUR = 3_600.0
FLAT = "flat"
DEPLOYED = f"{float(config().inventory.aversion):g} {float(config().inventory.horizon) / HOUR:g}"  # λ, h [h]


@dataclass(frozen=True, slots=True)
class Case:
    """A world, with usual traders or strained."""

    world: str  # a window's or a quarter's first month
    strained: bool
    seed: int


class Parameters(Study):
    """Parameters of the study."""

    choosing: tuple[str, ...]  # windows and quarters (first months)
    judging: tuple[str, ...]
    aversions: tuple[float, ...]
    horizons: tuple[float, ...]  # [h]
    omegas: tuple[float, ...]
    knees_at: tuple[float, ...]  # u*
    fees: tuple[float, ...]  # of the flat rule
    strain: float = 4.0
    draws: int = 6
    band: float = 0.01  # [of LP equity] in which the flat fee is hedged: suits it well in the study of returns

    def cases(self, seed: int) -> Sequence[Case]:
        """Every world twice."""
        return [Case(w, strained, seed) for w in (*self.choosing, *self.judging) for strained in (False, True)]

    def solve(self, case: Case) -> dict[str, list[float]]:
        """Figures of each point: the first grid where traders are usual, the second where they are strained."""
        world = self._world(case)
        found: dict[str, list[float]] = {}
        if case.strained:
            for omega, knee in product(self.omegas, self.knees_at):
                found[f"{omega:g} {knee:g}"] = _figures(world, rule(omega=omega, u_star=knee), None)
        else:
            for aversion, hours in product(self.aversions, self.horizons):
                params = rule(aversion=aversion, horizon=hours * HOUR)
                found[f"{aversion:g} {hours:g}"] = _figures(world, params, keeper())
        for fee in self.fees:
            found[f"{FLAT} {fee:g}"] = _figures(
                world, flat.Params(fee=fee), replace(keeper(), policy=BAND, band=self.band)
            )
        return found

    def perps(self, case: Case, rng: Generator) -> tuple[World, ballast.Params]:
        """One of the points of its grid."""
        a, b = ("omega", "u_star") if case.strained else ("aversion", "horizon")
        grid = (self.omegas, self.knees_at) if case.strained else (self.aversions, [h * HOUR for h in self.horizons])
        first, second = (float(rng.choice(values)) for values in grid)
        return self._world(case), rule(**{a: first, b: second})

    def _world(self, case: Case) -> World:
        window = case.world in {w.name for w in paths.windows()}
        year, month = (int(x) for x in case.world.split("-")[:2]) if not window else (0, 0)
        after = f"{year + (month == 10)}-{(month + 2) % 12 + 1:02d}-01"
        prices = paths.recorded(case.world) if window else paths.hours(f"{case.world}-01", after, case.world)
        sizes = self.strain if case.strained else 1.0
        kinds = (flow.perp_traders().scaled(sizes=sizes), flow.hedgers(standing=0.1 * sizes))
        return scene(prices, case.seed, self.draws, kinds=kinds, elastic=not case.strained)

    def summary(self, cases: Sequence[Case], results: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Both grids, chosen and judged."""
        usual = {c.world: r for c, r in zip(cases, results, strict=True) if not c.strained}
        strained = {c.world: r for c, r in zip(cases, results, strict=True) if c.strained}
        first, judged = self._grid(usual, self.choosing), self._grid(usual, self.judging)
        chosen = self._choose(first["points"])
        ours, own, base = judged["points"][chosen], judged["points"][DEPLOYED], judged["flat"]
        return {
            "first": first,
            "judged": judged,
            "strained": self._grid(strained, (*self.choosing, *self.judging)),
            "chosen": [float(x) for x in chosen.split()],
            "point": ours,
            "deployed": own,
            "deployed_at": [float(x) for x in DEPLOYED.split()],
            "good": sum(p["lp"] and p["trader"] for p in judged["points"].values()),
            "verdicts": [
                verdict(
                    "as deployed both sides gain beside the flat fee that is best for LPs",
                    own["lp"] and own["trader"],
                    f"Sharpe {own['sharpe']:.1f} against {base['sharpe']:.1f}, traders pay {1e4 * own['cost']:.1f} bp "
                    f"in all against {1e4 * base['cost']:.1f}",
                ),
                verdict(
                    "the recommended point is better than that for both, on worlds that did not choose it",
                    ours["sharpe"] > own["sharpe"] and ours["cost"] <= own["cost"],
                    f"λ, h = {chosen.replace(' ', ', ')} h: Sharpe {ours['sharpe']:.1f}, {1e4 * ours['cost']:.1f} bp",
                ),
            ],
        }

    def _grid(self, results: Mapping[str, dict[str, list[float]]], worlds: Sequence[str]) -> dict[str, Any]:
        """Means over worlds of each point; good or not beside the best flat fee."""
        names = next(iter(results.values())).keys()
        table = {}
        for name in names:
            f = np.array([results[world][name] for world in worlds])
            table[name] = {
                "sharpe": float(np.median(f[:, 0])), "return": float(f[:, 1].mean()), "fall": float(f[:, 2].max()),
                "cost": float(f[:, 3].sum() / f[:, 4].sum()), "filled": float(f[:, 4].sum() / f[:, 5].sum()),
                "refused": float(f[:, 6].sum()), "hedging": float(f[:, 7].sum() / max(f[:, 3].sum(), 1.0)),
            }  # fmt: skip
        fees = {name: p for name, p in table.items() if name.startswith(FLAT)}
        best = max(fees, key=lambda name: fees[name]["sharpe"])
        base = fees[best] | {"fee": float(best.split()[1])}
        points = {name: p for name, p in table.items() if name not in fees}
        for p in points.values():
            p["lp"], p["trader"] = p["sharpe"] > base["sharpe"], p["cost"] < base["cost"]
        return {"points": points, "flat": base, "fees": fees}

    def _choose(self, points: Mapping[str, Any]) -> str:
        """The name of the recommended point."""
        own = points[DEPLOYED]
        better = [n for n, p in points.items() if p["cost"] <= own["cost"] and p["filled"] >= own["filled"]]
        return max(better, key=lambda name: float(points[name]["sharpe"]))

    def pictures(self, summary: Mapping[str, Any]) -> dict[str, Figure]:
        """Sharpe ratio and traders' cost on the map of λ and h, worlds that judge."""
        figure = Figure(figsize=(10, 3.2), layout="constrained")
        grid = summary["judged"]
        for axis, (key, title, scale) in zip(
            figure.subplots(1, 2),
            (("sharpe", "LPs' Sharpe ratio", 1.0), ("cost", "traders pay in all [bp]", 1e4)),
            strict=True,
        ):
            values = np.array(
                [[scale * grid["points"][f"{a:g} {h:g}"][key] for h in self.horizons] for a in self.aversions]
            )
            axis.imshow(values, cmap="viridis", aspect="auto", origin="lower")
            for i, j in np.ndindex(values.shape):
                p = grid["points"][f"{self.aversions[i]:g} {self.horizons[j]:g}"]
                mark = "*" if p["lp"] and p["trader"] else ""
                axis.text(j, i, f"{values[i, j]:.1f}{mark}", ha="center", va="center", fontsize=8, color="w")
            axis.set_xticks(range(len(self.horizons)), [f"{h:g} h" for h in self.horizons])
            axis.set_yticks(range(len(self.aversions)), [f"{a:g}" for a in self.aversions])
            axis.set_ylabel("λ")
            axis.set_title(f"{title}; flat fee {scale * grid['flat'][key]:.1f}", fontsize=9)
        return {"map": figure}


def _figures(world: World, params: Rule, hedging: Hedging | None) -> list[float]:
    """Sharpe, return and fall (medians), [quote] paid in all, volume, wanted, refused, hedging."""
    result: Result = play(world, params, hedging)
    t = result.totals
    volume = float(t[:, engine.VOLUME].sum())
    return [
        float(np.median(result.sharpe)), float(np.median(result.returns)), float(np.median(result.drawdown)),
        all_in([result]) * volume, volume, float(t[:, engine.WANTED].sum()), float(t[:, engine.REFUSED].sum()),
        float((t[:, engine.HEDGING] + t[:, engine.GAS_PAID] + t[:, engine.REWARDS]).sum()),
    ]  # fmt: skip


STUDY = Parameters
