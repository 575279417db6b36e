"""The spread that adjusts itself, through the cycle: what it asks, whom it deters, beside a spread that stands still.

*The cycle.* Every hour of 2019-2026 the oracle's volatility gives the half-spread that a trade would pay. It is set
beside what the price did in the seconds that the spread is to cover (τ0, by the square root of time from minutes).

*Informed traders.* Generated markets of a quarter to four times the usual volatility, the same traders in each, and a
fifth of what is wanted from traders who see the price a minute before the oracle. A market counts as often as the
recorded hours' volatility, as the oracle has it, was nearest to its own. The spread that stands still is set to what
the other one asks on this average over the same markets. LPs' margin is as in the study of delays: what inventory
happened to win is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.random import Generator

from sims import engine, flow, paths
from sims.measures import EQUITY, hedging_cost, keeper, play, revenue, rule
from sims.rules import ballast
from sims.studies import Study, verdict
from sims.world import YEAR, Floats, OracleModel, World, observe

DT = 60


@dataclass(frozen=True, slots=True)
class Case:
    """A year of hours, a window of minutes, or markets with a multiple of the usual volatility."""

    year: str = ""
    window: str = ""
    volatility: float = 0.0
    seed: int = 0


class Spreads(Study):
    """Parameters."""

    years: tuple[str, ...]
    windows: tuple[str, ...]  # of minutes
    volatilities: tuple[float, ...]  # of the usual
    paths: int = 16
    days: int = 4
    toxic: float = 0.2
    delay: float = 60.0

    def cases(self, seed: int) -> Sequence[Case]:
        """All of them."""
        return (
            [Case(volatility=v, seed=seed) for v in self.volatilities]
            + [Case(window=w, seed=seed) for w in self.windows]
            + [Case(year=y, seed=seed) for y in self.years]
        )

    def solve(self, case: Case) -> dict[str, Any]:
        """Whichever it is."""
        if case.volatility:
            sigma = float(np.median(self._world(case, 0.0).sigma[:, :, 0]))
            return {"standing": self._standing(case), "sigma": sigma, "margins": self._margins(case)}
        prices = paths.recorded(case.year or case.window)
        oracle = OracleModel(initial_sigma=float(prices.vol[0, 0]))
        sigma = observe(prices.price[None], prices.dt, oracle)[3][0]
        spread = half_spread(sigma[:, 0])
        moves = np.abs(np.diff(np.log(prices.price[:, 0])))
        tau = float(_params().tau)
        seconds = moves * np.sqrt(tau / prices.dt)  # as if they had come at random times of the step
        at = range(0, len(spread), 24) if case.year else range(0, len(spread), 60)
        return {
            "name": prices.name,
            "sigma": float(np.median(sigma[:, 0])),
            "spread": [float(q) for q in np.quantile(spread, (0.05, 0.5, 0.95))],
            "highest": float(spread.max()),
            "covered": float(np.mean(spread[:-1] >= seconds)),
            "course": [[prices.start + k * prices.dt, float(spread[k]), float(sigma[k, 0])] for k in at],
        }

    def perps(self, case: Case, rng: Generator) -> tuple[World, ballast.Params] | None:
        """A market with the informed in it, as deployed."""
        return (self._world(case, self.toxic), rule()) if case.volatility else None

    def _world(self, case: Case, toxic: float) -> World:
        rng = np.random.default_rng([case.seed, 7])
        price, vol = paths.synthetic(rng, self.paths, self.days * 86_400 // DT, DT, volatility=case.volatility)
        wanted = flow.wants(rng, price, DT, flow.perp_traders(), EQUITY)
        name = f"volatility {case.volatility:g}"
        oracle = OracleModel(delay=self.delay, initial_sigma=0.6 * case.volatility)
        world = World.of(price, DT, oracle=oracle, wants=wanted, vol=vol, name=name)
        if toxic:
            world = world.with_wants(flow.merged(wanted, flow.informed(rng, world, toxic, EQUITY)))
        return world

    def _standing(self, case: Case) -> float:
        """The half-spread that z and volatility ask on average where trades are wanted."""
        world = self._world(case, 0.0)
        own = world.offsets[:-1]
        path = np.repeat(np.arange(len(own)), np.diff(world.offsets))
        return float(half_spread(world.sigma[path, world.wants.step, world.wants.market]).mean())

    def _margins(self, case: Case) -> dict[str, list[float]]:
        """By rule: [quote] earned of usual traders, by LPs in all, volume of usual traders, all; toxic fill."""
        plain, toxic = self._world(case, 0.0), self._world(case, self.toxic)
        found = {}
        for name, floor in [("adjusts itself", None), *((f"{f:g}", f) for f in FLOORS)]:
            params = rule() if floor is None else rule(z=0.0, floor=floor)
            alone, both = play(plain, params, keeper(), carry=False), play(toxic, params, keeper(), carry=False)
            usual = float((revenue(alone) - hedging_cost(alone) - alone.reserve[:, -1]).sum())
            taken = float((both.profit - alone.profit).sum())
            a, b = alone.totals.sum(axis=0), both.totals.sum(axis=0)
            costs = float(alone.trader_costs.sum())
            found[name] = [
                usual, usual + taken, float(a[engine.VOLUME]), float(b[engine.VOLUME]), costs, float(a[engine.WANTED]),
            ]  # fmt: skip
        return found

    def summary(self, cases: Sequence[Case], results: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The cycle's table, and margins with the standing spread nearest to the same average."""
        cycle = [r for c, r in zip(cases, results, strict=True) if not c.volatility]
        markets = [(c, r) for c, r in zip(cases, results, strict=True) if c.volatility]
        met = np.array([point[2] for r in cycle if r["name"].isdigit() for point in r["course"]])
        shares = _shares(met, np.array([r["sigma"] for _, r in markets]))
        average = float(np.dot(shares, [r["standing"] for _, r in markets]))
        nearest = min(FLOORS, key=lambda floor: abs(np.log((floor + float(_params().base)) / average)))
        rows = []
        for (case, result), share in zip(markets, shares, strict=True):
            row: dict[str, Any] = {
                "volatility": case.volatility, "sigma": result["sigma"], "share": float(share),
                "spread": result["standing"],
            }  # fmt: skip
            for name, key in (("own", "adjusts itself"), ("still", f"{nearest:g}")):
                usual, earned, volume, total, costs, wanted = result["margins"][key]
                row[name] = {
                    "usual": usual / volume, "margin": earned / total, "earned": earned / self.paths,
                    "cost": costs / volume, "filled": volume / wanted,
                }  # fmt: skip
            rows.append(row)
        own, still = (sum(row["share"] * row[name]["earned"] for row in rows) for name in ("own", "still"))
        worst_own, worst_still = (min(row[name]["margin"] for row in rows) for name in ("own", "still"))
        calm = rows[0]
        return {
            "cycle": cycle,
            "average": average,
            "still": nearest + float(_params().base),
            "rows": rows,
            "verdicts": [
                verdict(
                    "over the cycle LPs earn more with it than with a standing spread of the same average",
                    own >= still,
                    f"{own:,.0f} against {still:,.0f} quote a path, each market as often as recorded, informed traders "
                    "included",
                ),
                verdict(
                    "and their worst market is better",
                    worst_own >= worst_still,
                    f"margin {1e4 * worst_own:.1f} bp against {1e4 * worst_still:.1f}",
                ),
                verdict(
                    "and in calm markets traders pay less",
                    calm["own"]["cost"] <= calm["still"]["cost"],
                    f"{1e4 * calm['own']['cost']:.1f} bp against {1e4 * calm['still']['cost']:.1f}",
                ),
            ],
        }

    def pictures(self, summary: Mapping[str, Any]) -> dict[str, Figure]:
        """The spread of every day since 2019; margins over volatility."""
        figure = Figure(figsize=(10, 3), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(2, 1))
        course = sorted(point for entry in summary["cycle"] if entry["name"].isdigit() for point in entry["course"])
        times = np.array([point[0] for point in course], dtype="datetime64[s]")
        left.plot(times, [1e4 * point[1] for point in course], lw=0.6)
        left.set_ylabel("half-spread [bp]")
        left.set_yscale("log")
        at = [row["volatility"] for row in summary["rows"]]
        for name, label in (("own", "adjusts itself"), ("still", f"stands at {1e4 * summary['still']:.1f} bp")):
            right.plot(at, [1e4 * row[name]["margin"] for row in summary["rows"]], ".-", label=label)
        right.axhline(0, color="k", lw=0.5)
        right.set_xscale("log", base=2)
        right.set_xlabel("volatility, of the usual")
        right.set_ylabel("LPs' margin [bp]")
        right.legend(frameon=False, fontsize=8)
        return {"cycle": figure}


FLOORS = (0.00015, 0.0002, 0.0003, 0.0004, 0.0005, 0.0006, 0.0008, 0.0009, 0.001)  # of standing half-spreads


def _shares(met: Floats, markets: Floats) -> Floats:
    """Of volatilities that were met, which part was nearest to each market's (logarithms)."""
    nearest = np.argmin(np.abs(np.log(met)[:, None] - np.log(markets)[None]), axis=1)
    return np.bincount(nearest, minlength=len(markets)) / len(met)


def _params() -> Any:
    return rule().config.markets[0].inventory


def half_spread(sigma: Floats) -> Floats:
    """base + max(floor, z σ √τ0) as deployed, at a fresh round [fraction]."""
    p = _params()
    return np.asarray(float(p.base) + np.maximum(float(p.floor), float(p.z) * sigma * np.sqrt(float(p.tau) / YEAR)))


STUDY = Spreads
