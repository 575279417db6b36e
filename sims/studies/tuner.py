"""A steward's policy learnt from past stress, judged on crashes that it has not seen.

The policy is `ballast/policy/tuner.py`: parameters follow heat, within the levers of the network's file, and are where
a month of hours before a path has brought them. Its table has eight multipliers. What they do is measured once in each
world, at the points of a Sobol sequence around what is deployed: LPs' mean return and largest drawdown, what traders
pay and trade, over draws of traders. A world's answers are smoothed by a ridge of their logarithms (of the return:
itself) on the multipliers' logarithms and their squares, as a single drawdown says little.

A table is learnt for each crash from the worlds that were over before it: every stress window with two crowds (recorded
traders; the same with some who see prices before the oracle does), and quarters. Sought is the best mean of the worse
half of

    gain = DAR of the policy / DAR as deployed − 1,     DAR = mean return / mean largest drawdown

so that no single past decides, among tables under which traders pay, all in all, at most `slack` times what they pay as
deployed, and a storm loosens nothing. It is then played through the crash, which counts at the worse of both crowds; so
is the best constant choice, found alike, and the quarter after the crash. The table that is shipped is learnt from all
worlds (`python -m sims.studies.tuner out/sims/tuner.json` writes it).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.random import Generator
from scipy.optimize import differential_evolution
from scipy.stats import qmc

from ballast.policy import tuner as policy
from ballast.policy.tuner import LEVERS
from sims import engine, paths
from sims.engine import Result
from sims.measures import keeper, play, revenue, rule, scene
from sims.rules import adaptive, ballast
from sims.studies import Study, verdict
from sims.world import Floats, OracleModel, World

NAMES = tuple(f"{row}_{name.partition('.')[2]}" for row in ("calm", "storm") for name in LEVERS)
MONTH = 30 * 24  # hours that the policy has watched
LEAST_DRAWDOWN = 1e-5
RETURN, DRAWDOWN, PAID, VOLUME = range(4)
TIGHTER = np.array([1.0, -1.0, 1.0, 1.0])  # of LEVERS: up, but for u*
CROWDS = ("recorded traders", "and the informed")


@dataclass(frozen=True, slots=True)
class Case:
    """A stress window, or a quarter by its first month; which crowd."""

    window: str
    crowd: int
    seed: int


class Tuner(Study):
    """Parameters."""

    stress: tuple[str, ...]  # in the order of time
    judged: tuple[str, ...]  # of those
    every: int = 2  # quarters
    designs: int = 64
    draws: int = 4
    judging: int = 48  # draws of the crashes
    toxic: float = 0.1  # [fraction of what is wanted] by those who see the price `late` before the oracle does
    late: float = 60.0  # [s]
    slack: float = 1.0
    reach: float = 2.5  # multipliers from 1/reach to reach
    penalty: float = 1.0  # of the ridge
    shrink: float = 0.02

    def cases(self, seed: int) -> Sequence[Case]:
        """Every world."""
        crashes = [Case(name, crowd, seed) for name in self.stress for crowd in _crowds(name)]
        quarters = [q.name for q in paths.quarters("2019-04")][:: self.every]
        return crashes + [Case(name, 0, seed) for name in quarters]

    def solve(self, case: Case) -> list[list[float]]:
        """Answers at every design, the deployed first: (designs + 1, 4)."""
        world = self._world(case.window, case.crowd, case.seed, self.draws)
        return [
            _answers(_played(world, _params(x))) for x in np.vstack([np.zeros(len(NAMES)), self._points(case.seed)])
        ]

    def perps(self, case: Case, rng: Generator) -> tuple[World, ballast.Params]:
        """The first design: as deployed, before the steward has moved anything."""
        return self._world(case.window, case.crowd, case.seed, self.draws), rule()

    def _points(self, seed: int) -> Floats:
        """Logarithms of the multipliers, (designs, 8)."""
        unit = qmc.Sobol(len(NAMES), seed=seed).random(self.designs)
        return np.asarray((2 * unit - 1) * np.log(self.reach))

    def _world(self, name: str, crowd: int, seed: int, draws: int) -> World:
        prices = _prices(name)
        late = max(self.late, prices.dt) if crowd else 0.0
        oracle = OracleModel(delay=late, initial_sigma=float(prices.vol[0, 0]))
        return scene(prices, seed, draws, oracle=oracle, toxic=self.toxic if crowd else 0.0)

    def summary(self, cases: Sequence[Case], results: Sequence[list[list[float]]]) -> dict[str, Any]:
        """Tables learnt before each crash, what came of them in it, and the table that is shipped."""
        answers = {(case.window, case.crowd): np.array(result) for case, result in zip(cases, results, strict=True)}
        seed = cases[0].seed
        fitted = {key: self._fit(found, seed) for key, found in answers.items()}
        rows = []
        for name in self.judged:
            start = _prices(name).start
            past = [key for key in answers if _over(key[0]) <= start]
            tests = [self._world(name, crowd, seed + 1, self.judging) for crowd in _crowds(name)]
            later = next(q.name for q in paths.quarters("2019-04") if q.start >= start)
            table, constant = (self._learn([fitted[key] for key in past], seed, follows=f) for f in (True, False))
            after = self._world(later, 0, seed + 1, self.draws)
            played = [
                [_answers(_played(world, _params(x))) for x in (np.zeros(len(NAMES)), table, constant)]
                for world in (*tests, after)
            ]
            crowds = [{"crowd": crowd} | _compared(found) for crowd, found in zip(CROWDS, played[:-1], strict=False)]
            rows.append(
                {
                    "crash": name, "worlds": len(past), "table": _table(table), "constants": _table(constant)["calm"],
                    "crowds": crowds, "gain": min(c["gain"] for c in crowds),
                    "constant": min(c["constant"] for c in crowds), "later": {"quarter": later} | _compared(played[-1]),
                }
            )  # fmt: skip
        gains = [row["gain"] for row in rows]
        median, worst = float(np.median(gains)), min(gains)
        beaten = sum(row["gain"] > row["constant"] for row in rows)
        still = float(np.median([row["constant"] for row in rows]))
        return {
            "rows": rows,
            "table": _table(self._learn(list(fitted.values()), seed, follows=True)),
            "worlds": len(answers),
            "runs": len(answers) * (self.designs + 1) * self.draws,
            "verdicts": [
                verdict(
                    "LPs' return over drawdown is better on held-out crashes, in the median",
                    median > 0.0,
                    f"{median:+.1%} over {len(gains)} crashes, from {worst:+.1%} to {max(gains):+.1%}",
                ),
                verdict("and never worse by more than 5 %", worst >= -0.05, f"the worst is {worst:+.1%}"),
                verdict(
                    "following heat is better than constant parameters learnt alike, on most crashes",
                    beaten > len(rows) / 2,
                    f"it is on {beaten} of {len(rows)}, but constants have {still:+.1%} of the {median:+.1%}",
                ),
            ],
        }

    def _fit(self, answers: Floats, seed: int) -> Floats:
        """Coefficients (17, 4) of a world's answers, over those as deployed."""
        x = _basis(self._points(seed))
        y = _scaled(answers)
        keep = np.eye(x.shape[1]) * self.penalty
        keep[0, 0] = 0.0
        return np.asarray(np.linalg.solve(x.T @ x + keep, x.T @ y))

    def _learn(self, fitted: Sequence[Floats], seed: int, *, follows: bool) -> Floats:
        """Logarithms of the multipliers (8,) with the best mean of the worse half of gains, at no greater cost.

        A storm never loosens. What matters little stays near what is deployed: `shrink` of gain a squared unit.
        """
        worlds = np.array(fitted)
        most, half = float(np.log(self.reach)), len(LEVERS)
        origin = _basis(np.zeros((1, len(NAMES))))[0]

        def table(x: Floats) -> Floats:
            storm = np.clip(x[:half] + TIGHTER * x[half:], -most, most) if follows else x
            return np.concatenate([x[:half], storm])

        def loss(x: Floats) -> float:
            at = np.einsum("b,wbk->wk", _basis(table(x)[None])[0] - origin, worlds)
            gains = np.sort((1.0 + at[:, RETURN]) * np.exp(-at[:, DRAWDOWN]) - 1.0)
            dearer = float(np.mean(at[:, PAID] - at[:, VOLUME])) - float(np.log(self.slack))
            worse = float(np.mean(gains[: (len(gains) + 1) // 2]))
            return self.shrink * float(np.sum(table(x) ** 2)) + 10.0 * max(0.0, dearer) - worse

        box = [(-most, most)] * half + ([(0.0, 2 * most)] * half if follows else [])
        found = differential_evolution(loss, box, seed=seed, maxiter=300, popsize=12, tol=1e-6)
        return table(np.asarray(found.x)) if found.fun < 0.0 else np.zeros(len(NAMES))

    def pictures(self, summary: Mapping[str, Any]) -> dict[str, Figure]:
        """Gains by crash."""
        figure = Figure(figsize=(9, 3.2), layout="constrained")
        axis = figure.subplots()
        at = np.arange(len(summary["rows"]))
        axis.bar(at - 0.2, [100 * row["gain"] for row in summary["rows"]], 0.38, label="follows heat")
        axis.bar(at + 0.2, [100 * row["constant"] for row in summary["rows"]], 0.38, label="constant")
        axis.axhline(-5, color="0.5", ls=":", lw=0.8)
        axis.axhline(0, color="k", lw=0.5)
        axis.set_xticks(at, [row["crash"] for row in summary["rows"]], fontsize=7)
        axis.set_ylabel("return / drawdown against\nas deployed [%]", fontsize=8)
        axis.legend(frameon=False, fontsize=7)
        return {"gains": figure}


def _params(x: Floats) -> adaptive.Params:
    """Of logarithms of the multipliers."""
    changes: dict[str, Any] = {name: float(np.exp(v)) for name, v in zip(NAMES, x, strict=True)}
    return adaptive.Params(**changes)


def _table(x: Floats) -> dict[str, dict[str, float]]:
    """What is shipped, to three digits."""
    table = _params(x).table
    return {row: {name: round(v, 3) for name, v in getattr(table, row).items()} for row in ("calm", "storm")}


def _basis(x: Floats) -> Floats:
    return np.column_stack([np.ones(len(x)), x, x**2])


def _scaled(answers: Floats) -> Floats:
    """Of every design over the first, which is as deployed: relative changes of the return, logarithms of the rest."""
    base, rest = answers[0], answers[1:]
    out = np.log(np.maximum(rest, 1e-12) / np.maximum(base, 1e-12))
    out[:, RETURN] = (rest[:, RETURN] - base[RETURN]) / abs(base[RETURN])
    return np.asarray(out)


def _answers(result: Result) -> list[float]:
    """Mean return, mean largest drawdown, what traders paid in all, what they traded."""
    paid = float(revenue(result).sum() + result.totals[:, engine.FEES].sum())
    drawdown = max(float(result.drawdown.mean()), LEAST_DRAWDOWN)
    return [float(result.returns.mean()), drawdown, paid, float(result.totals[:, engine.VOLUME].sum())]


def _compared(played: Sequence[Sequence[float]]) -> dict[str, Any]:
    """As deployed, by the policy and by constants: figures and gains."""
    names = ("deployed", "policy", "constants")
    figures = {
        name: {"return": r[RETURN], "drawdown": r[DRAWDOWN], "cost": r[PAID] / r[VOLUME], "volume": r[VOLUME]}
        for name, r in zip(names, played, strict=True)
    }
    dar = [r[RETURN] / r[DRAWDOWN] for r in played]
    return figures | {"gain": (dar[1] - dar[0]) / abs(dar[0]), "constant": (dar[2] - dar[0]) / abs(dar[0])}


def _played(world: World, params: adaptive.Params) -> Result:
    """A run that the policy begins after it has watched the month before."""
    return play(world, adaptive.warmed(params, _month_before(world.start)), keeper())


def _crowds(name: str) -> range:
    """Nobody sees an hourly price before the oracle does."""
    return range(len(CROWDS) if _prices(name).dt < paths.HOUR else 1)


@cache
def _prices(name: str) -> paths.Prices:
    """Of a window, or of the quarter that begins with a month."""
    found = next((q for q in paths.quarters("2019-04") if q.name == name), None)
    return found or paths.recorded(name)


def _over(name: str) -> float:
    """When it ends [Unix seconds]."""
    prices = _prices(name)
    return prices.start + prices.steps * prices.dt


@cache
def _month_before(start: float) -> Floats:
    """Hourly prices up to a time [Unix seconds]."""
    end = np.datetime64(int(start), "s")
    first, last = (str((end + np.timedelta64(days, "D")).astype("datetime64[D]")) for days in (-31, 1))
    hours = paths.hours(first, last)
    upto = int((start - hours.start) // paths.HOUR) + 1
    return hours.price[max(0, upto - MONTH) : upto]


def main(path: str) -> None:
    """Write the table that a run has learnt from all worlds to where the policy reads it."""
    summary = json.loads(Path(path).read_text())["summary"]
    policy.TABLE.write_text(json.dumps(summary["table"], indent=1) + "\n")


STUDY = Tuner

if __name__ == "__main__":
    main(*sys.argv[1:])
