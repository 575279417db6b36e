"""Studies: each module has one `Study`, called STUDY, and beside it the template of its finding, `<name>.md.j2`.

A study is its parameters. It splits into cases that know nothing of each other, so that processes or a cluster can
solve them in any order; what it finds is one JSON object, from which pages and pictures are made.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from matplotlib.figure import Figure
from numpy.random import Generator
from pydantic import BaseModel, ConfigDict

from sims.rules import ballast
from sims.world import World


class Study(BaseModel, ABC):
    """Fields are the parameters an experiment may set; anything else in its file is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @abstractmethod
    def cases(self, seed: int) -> Sequence[Any]:
        """Independent parts, small enough to be pickled; all randomness comes from `seed`."""

    @abstractmethod
    def solve(self, case: Any) -> Any:
        """The result of one case: a function of the case and the parameters."""

    def perps(self, case: Any, rng: Generator) -> tuple[World, ballast.Params] | None:
        """A world of that case and parameters with which Ballast's perpetuals are played in it, one of several by
        `rng`, for the slice that the contracts play, too; None where the case plays none."""
        return None

    @abstractmethod
    def summary(self, cases: Sequence[Any], results: Sequence[Any]) -> dict[str, Any]:
        """What was found, as JSON can hold it. `verdicts`: list of {bound, holds, text}, what was to be shown."""

    @abstractmethod
    def pictures(self, summary: Mapping[str, Any]) -> dict[str, Figure]:
        """Pictures by name, drawn from the summary alone; the template has them as `{{ name }}-<name>.svg`."""


def names() -> list[str]:
    """Every study there is."""
    return sorted(module.name for module in iter_modules(__path__))


def study(name: str) -> type[Study]:
    """The study of that name; LookupError if there is none."""
    if name not in names():
        raise LookupError(f"no study {name!r}; there are {', '.join(names())}")
    found: type[Study] = import_module(f"{__name__}.{name}").STUDY
    return found


def verdict(bound: str, holds: bool, text: str) -> dict[str, Any]:
    """One line of a finding: what was to be shown, whether it was, and the figures."""
    return {"bound": bound, "holds": bool(holds), "text": text}
