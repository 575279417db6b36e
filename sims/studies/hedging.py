"""How precisely the book is hedged, and what that costs: the vault's rule beside a fixed band.

Traders pay any cost, so that every policy hedges the same flow. *Tracking error* is the standard deviation of the P&L
of the delta left open, sampled every five minutes, over that of the same flow unhedged. *Cost* is what venues take, the
keepers' rewards and gas, of the traded volume. The rule's precision is moved by φ (what a hedge may cost of the fall of
U) and λ; the band by its width. The band's operator is trusted, acts without reward and is bound by nothing
but the width and how far he moves the venue's price at once; the cheapest of his choices at each precision counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.random import Generator

from sims import engine, paths
from sims.engine import BAND, Hedging, Result
from sims.measures import ROLLUP, config, keeper, rule, scene
from sims.rules import ballast
from sims.studies import Study, verdict
from sims.world import Floats, World

SAMPLE = 300  # [s]
# of a run: squared P&L left open, and unhedged; quote of venues, rewards, gas, charges and spreads, volume; hedges
N_FIGURES = 8


@dataclass(frozen=True, slots=True)
class Case:
    """A window where gas and depth are these."""

    window: str
    chain: str
    depth: float
    seed: int


class HedgingStudy(Study):
    """Parameters."""

    windows: tuple[str, ...]  # of minutes
    chains: tuple[str, ...]
    depths: tuple[float, ...]  # [quote] of the venue
    phis: tuple[float, ...]
    aversions: tuple[float, ...]
    bands: tuple[float, ...]  # [of LP equity]
    offs: tuple[float, ...]  # how far the operator of a band lets the venue's price be from the oracle's
    draws: int = 3

    def cases(self, seed: int) -> Sequence[Case]:
        """Every window in every place."""
        return [Case(w, c, d, seed) for w in self.windows for c in self.chains for d in self.depths]

    def solve(self, case: Case) -> dict[str, list[float]]:
        """N_FIGURES of each policy, summed over draws."""
        world = scene(paths.recorded(case.window), case.seed, self.draws, elastic=False, chain=case.chain)
        venue = replace(keeper(), depth=case.depth)
        found: dict[str, list[float]] = {}
        for aversion in self.aversions:
            params = rule(aversion=aversion)
            bare = _run(world, params, None)
            for phi in self.phis:
                found[f"rule {aversion:g} {phi:g}"] = _figures(
                    world, _run(world, params, replace(venue, phi=phi)), bare
                )
        bare = _run(world, rule(), None)
        for width, off in product(self.bands, self.offs):
            free = replace(venue, policy=BAND, band=width, off=off, cooldown=0.0, cap=np.inf)
            found[f"band {width:g} {off:g}"] = _figures(world, _run(world, rule(), free), bare)
        return found

    def perps(self, case: Case, rng: Generator) -> tuple[World, ballast.Params]:
        """One of the λ."""
        world = scene(paths.recorded(case.window), case.seed, self.draws, elastic=False, chain=case.chain)
        return world, rule(aversion=float(rng.choice(self.aversions)))

    def summary(self, cases: Sequence[Case], results: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Frontiers, pooled over windows, and what the rule costs over the band at the same precision."""
        places: list[dict[str, Any]] = []
        ratios = []
        for chain, depth in product(self.chains, self.depths):
            pooled: dict[str, Floats] = {}
            for case, result in zip(cases, results, strict=True):
                if (case.chain, case.depth) == (chain, depth):
                    for name, figures in result.items():
                        pooled[name] = pooled.get(name, np.zeros(N_FIGURES)) + np.array(figures)
            bands = _cheapest([_row(name, f) for name, f in pooled.items() if name.startswith("band")])
            rules = [_row(name, f) for name, f in pooled.items() if name.startswith("rule")]
            for row in rules:
                row["of_band"] = _over_band(row, bands)
                if row["of_band"] is not None:
                    ratios.append((chain, depth, row["of_band"]))
            places.append({"chain": chain, "depth": depth, "bands": bands, "rules": rules})
        aversion, phi = float(config().inventory.aversion), float(config().hedging.phi)
        place = next(p for p in places if p["chain"] == "rollup" and p["depth"] == max(self.depths))
        by_phi = [row for row in place["rules"] if row["aversion"] == aversion]
        by_aversion = [row for row in place["rules"] if row["phi"] == phi]
        deployed = next(row for row in by_phi if row["phi"] == phi)
        median = float(np.median([ratio for *_, ratio in ratios])) if ratios else float("nan")
        return {
            "places": places,
            "median": median,
            "compared": len(ratios),
            "moves": {"φ": [by_phi[0], by_phi[-1]], "λ": [by_aversion[0], by_aversion[-1]]},
            "fee": keeper().fee,
            "gas_units": int(config().hedging.gas_units),
            "gwei": ROLLUP,
            "deployed": deployed,
            "verdicts": [
                verdict(
                    "as deployed, traders' charges pay for the hedges",
                    deployed["cost"] <= deployed["charges"],
                    f"hedges cost {1e4 * deployed['cost']:.1f} bp of volume, charges less rebates bring "
                    f"{1e4 * deployed['charges']:.1f}; {deployed['error']:.0%} of the risk is left open",
                ),
                verdict(
                    "at the same precision the rule costs no more than a trusted operator's fixed band",
                    median <= 1.0,
                    f"median over settings {median:.2f} times as much; as deployed "
                    + ("more precise than any band" if deployed["of_band"] is None else f"{deployed['of_band']:.2f}"),
                ),
            ],
        }

    def pictures(self, summary: Mapping[str, Any]) -> dict[str, Figure]:
        """Cost over tracking error, a panel for each place."""
        places = summary["places"]
        figure = Figure(figsize=(11, 3.2), layout="constrained")
        for axis, place in zip(figure.subplots(1, len(places), sharey=True), places, strict=True):
            axis.loglog(
                [b["error"] for b in place["bands"]],
                [1e4 * b["cost"] for b in place["bands"]],
                "k.-",
                label="fixed band",
            )
            for aversion in self.aversions:
                rows = [r for r in place["rules"] if r["aversion"] == aversion]
                axis.loglog(
                    [r["error"] for r in rows], [1e4 * r["cost"] for r in rows], ".--", label=f"rule, λ {aversion:g}"
                )
            axis.set_title(f"{place['chain']}, depth {place['depth'] / 1e6:.0f}m", fontsize=9)
            axis.set_xlabel("tracking error")
        figure.axes[0].set_ylabel("cost [bp of volume]")
        figure.axes[-1].legend(frameon=False, fontsize=7)
        return {"frontier": figure}


def _run(world: World, params: engine.Rule, hedging: Hedging | None) -> Result:
    return engine.run(world, params, hedging=hedging, sample=max(1, round(SAMPLE / world.dt)), jobs=1)


def _figures(world: World, result: Result, bare: Result) -> list[float]:
    stride = round(result.dt / world.dt)
    last = (result.equity.shape[1] - 1) * stride
    moves = np.diff(world.prices[:, : last + 1 : stride], axis=1)
    left, whole = (float(np.sum(np.sum(r.net[:, : moves.shape[1]] * moves, axis=2) ** 2)) for r in (result, bare))
    t = result.totals.sum(axis=0)
    charges = t[engine.CHARGES] - t[engine.REBATES]
    return [
        left, whole, t[engine.HEDGING], t[engine.REWARDS], t[engine.GAS_PAID], charges, t[engine.VOLUME],
        t[engine.HEDGES],
    ]  # fmt: skip


def _row(name: str, f: Floats) -> dict[str, Any]:
    kind, *numbers = name.split()
    keys = ("aversion", "phi") if kind == "rule" else ("width", "off")
    return dict(zip(keys, map(float, numbers), strict=True)) | {
        "error": float(np.sqrt(f[0] / f[1])), "cost": float((f[2] + f[3] + f[4]) / f[6]), "venue": float(f[2] / f[6]),
        "reward": float(f[3] / f[6]), "gas": float(f[4] / f[6]), "charges": float(f[5] / f[6]), "hedges": float(f[7]),
    }  # fmt: skip


def _cheapest(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those than which none is both more precise and cheaper, the most precise first."""
    best: list[dict[str, Any]] = []
    for row in sorted(rows, key=lambda row: (row["error"], row["cost"])):
        if not best or row["cost"] < best[-1]["cost"]:
            best.append(row)
    return best


def _over_band(row: Mapping[str, Any], bands: Sequence[Mapping[str, Any]]) -> float | None:
    """Cost over a band's at the same tracking error, between those measured (logarithms); None outside of them."""
    errors, costs = np.array([[b["error"], b["cost"]] for b in bands if b["cost"] > 0.0]).T
    if not errors[0] <= row["error"] <= errors[-1] or row["cost"] <= 0.0:
        return None
    return float(row["cost"] / np.exp(np.interp(np.log(row["error"]), np.log(errors), np.log(costs))))


STUDY = HedgingStudy
