"""A rule at its best: parameters searched on training worlds, never on those it is judged by.

First the parameters the rule comes with and a coarse grid (a Sobol sequence over the box), then a simplex from the
best of them (Nelder and Mead). The same arguments find the same parameters. Worlds to judge by are none of the
training's: `Split` refuses a name, and a stretch of recorded time, that is in both.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.stats import qmc

from sims import engine
from sims.engine import Result, Rule
from sims.rules import avellaneda_stoikov, ballast, drift, flat, gmx_v2, perennial, synthetix
from sims.world import Floats, World


@dataclass(frozen=True, slots=True)
class Dimension:
    """A parameter and its range, searched on a logarithmic scale; of a tuple, the range of a factor for all of it."""

    name: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Space:
    """Where to look for a rule's parameters: what is not searched stays as in `start`."""

    start: Any  # Params
    dimensions: tuple[Dimension, ...]

    def at(self, point: Floats) -> Any:
        """The parameters at a point of the unit cube."""
        return change(self.start, self.values(point))

    def values(self, point: Floats) -> dict[str, float]:
        """Of the dimensions, at a point of the unit cube."""
        return {d.name: float(d.low * (d.high / d.low) ** x) for d, x in zip(self.dimensions, point, strict=True)}


# What each rule's operators can choose. GMX's rebates get the exponent of its charges, else they are worth nothing.
SPACES: dict[str, Space] = {
    "flat": Space(flat.Params(), (Dimension("fee", 1e-4, 1e-2),)),
    "gmx_v2": Space(
        gmx_v2.Params(e_fall=2.0, k_fall=3e-11),
        (
            Dimension("k_rise", 1e-11, 1e-8),
            Dimension("k_fall", 1e-12, 1e-8),
            Dimension("fee_rise", 1e-4, 5e-3),
            Dimension("fee_fall", 1e-4, 5e-3),
            Dimension("borrow_base", 0.02, 2.0),
        ),
    ),
    "synthetix": Space(
        synthetix.Params(),
        (
            Dimension("scale", 0.003, 3.0),
            Dimension("taker", 1e-4, 5e-3),
            Dimension("maker", 1e-4, 5e-3),
            Dimension("velocity", 0.1, 90.0),
        ),
    ),
    "perennial": Space(
        perennial.Params(),
        (
            Dimension("scale", 0.1, 30.0),
            Dimension("linear", 1e-4, 5e-3),
            Dimension("adiabatic", 1e-4, 1e-2),
            Dimension("controller", 3_600.0, 3.6e6),
        ),
    ),
    "drift": Space(
        drift.Params(),
        (
            Dimension("taker", 1e-4, 5e-3),
            Dimension("base", 1e-4, 1e-2),
            Dimension("max_spread", 2e-3, 0.1),
            Dimension("depth", 20e6, 2e9),
        ),
    ),
    "avellaneda_stoikov": Space(
        avellaneda_stoikov.Params(), (Dimension("gamma", 0.5, 500.0), Dimension("kappa", 200.0, 10_000.0))
    ),
    "ballast": Space(
        ballast.Params(),
        (
            Dimension("aversion", 1.0, 100.0),
            Dimension("base", 1e-5, 5e-3),
            Dimension("floor", 1e-5, 5e-3),
            Dimension("z", 0.25, 8.0),
        ),
    ),
}


def change(params: Any, values: Mapping[str, float]) -> Any:
    """Parameters with other values; a tuple is multiplied."""
    if isinstance(params, ballast.Params):
        return params.changed(**values)
    changed: dict[str, Any] = {}
    for name, value in values.items():
        old = getattr(params, name)
        changed[name] = tuple(value * x for x in old) if isinstance(old, tuple) else value
    return replace(params, **changed)


def rule_name(params: Rule) -> str:
    """Of the module that parameters belong to."""
    return sys.modules[type(params).__module__].__name__.rsplit(".", 1)[-1]


@dataclass(frozen=True, slots=True)
class Split:
    """Worlds to train on and worlds to judge by; ValueError where they share a name or recorded time."""

    training: tuple[World, ...]
    test: tuple[World, ...]

    def __post_init__(self) -> None:
        for a in self.training:
            for b in self.test:
                if a.name and a.name == b.name:
                    raise ValueError(f"tuning: {a.name} is in training and test")
                if a.start and b.start and max(a.start, b.start) < min(_end(a), _end(b)):
                    raise ValueError(f"tuning: {a.name} and {b.name} overlap in time")


def _end(world: World) -> float:
    return world.start + world.steps * world.dt


LEAST_FILLED = 0.25  # [fraction of what is wanted] that a vault has to fill in order to be one


def sharpe(results: Sequence[Result]) -> float:
    """Mean over all paths of LPs' Sharpe ratio; below all those where too little is filled."""
    totals = np.concatenate([result.totals for result in results])
    wanted = float(totals[:, engine.WANTED].sum())
    filled = float(totals[:, engine.VOLUME].sum()) / wanted if wanted > 0 else 1.0
    if filled < LEAST_FILLED:
        return -1e6 * (1.0 - filled)
    return float(np.mean(np.concatenate([result.sharpe for result in results])))


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a search found; scores are those on training."""

    params: Any
    values: dict[str, float]  # of the dimensions; empty where the rule's own parameters were the best
    score: float
    published: float  # score of the rule's own parameters
    tried: int


def tune(
    rule: str,
    training: Sequence[World],
    *,
    score: Callable[[Sequence[Result]], float] = sharpe,
    coarse: int = 32,
    fine: int = 40,
    seed: int = 0,
    space: Space | None = None,
    play: Callable[..., Result] = engine.run,
    **options: Any,
) -> Tuned:
    """The parameters with the highest score over the training worlds, each by `play(world, params, **options)`."""
    where = space or SPACES[rule]

    def judge(params: Any) -> float:
        return score([play(world, params, **options) for world in training])

    published = judge(type(where.start)())
    best, at = published, None
    points = qmc.Sobol(len(where.dimensions), seed=seed).random(coarse)
    scores = [judge(where.at(point)) for point in points]
    first = int(np.argmax(scores))
    found = minimize(
        lambda x: -judge(where.at(np.clip(x, 0.0, 1.0))),
        points[first],
        method="Nelder-Mead",
        bounds=[(0.0, 1.0)] * len(where.dimensions),
        options={"maxfev": fine, "initial_simplex": _simplex(points[first])},
    )
    for value, point in ((scores[first], points[first]), (-float(found.fun), found.x)):
        if value > best:
            best, at = value, np.clip(point, 0.0, 1.0)
    tried = 1 + coarse + int(found.nfev)
    if at is None:
        return Tuned(type(where.start)(), {}, published, published, tried)
    return Tuned(where.at(at), where.values(at), best, published, tried)


def _simplex(point: Floats) -> Floats:
    """A corner at the point and one a tenth of the range from it in each dimension, inside the cube."""
    corners = np.tile(point, (len(point) + 1, 1))
    for i in range(len(point)):
        corners[i + 1, i] += 0.1 if point[i] <= 0.9 else -0.1
    return corners
