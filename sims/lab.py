"""Experiments: a TOML file names a study, its parameters and a seed; running it gives one outcome."""

from __future__ import annotations

import json
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from ballast.parallel import workers
from sims.replay import NEAR, Disagreement, replay, sampled
from sims.studies import Study, study, verdict

HERE = Path(__file__).resolve().parent
EXPERIMENTS = HERE / "experiments"


class ExperimentError(ValueError):
    """A file is not an experiment; the message names file, key and reason."""


class _File(BaseModel):
    """What an experiment's file holds."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    study: str
    title: str
    seed: int
    parameters: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Experiment:
    """A study with its parameters, to be run with one seed."""

    name: str
    title: str
    kind: str  # of study
    seed: int
    study: Study


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an experiment brought: a function of the experiment, times apart."""

    experiment: Experiment
    summary: dict[str, Any]
    cases: int
    seconds: float  # on the clock
    cpu_seconds: float  # of the cases, all threads together

    def as_json(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        asked = self.experiment
        return {
            "experiment": asked.name,
            "title": asked.title,
            "study": asked.kind,
            "seed": asked.seed,
            "parameters": asked.study.model_dump(mode="json"),
            "cases": self.cases,
            "seconds": round(self.seconds, 1),
            "cpu_seconds": round(self.cpu_seconds, 1),
            "summary": self.summary,
        }


def experiments() -> list[Path]:
    """The experiments that come with the project."""
    return sorted(EXPERIMENTS.glob("*.toml"))


def load(path: Path, seed: int | None = None) -> Experiment:
    """Read an experiment; `seed` in place of the file's. ExperimentError names what is wrong."""
    try:
        file = _File.model_validate(tomllib.loads(path.read_text()))
        parameters = study(file.study).model_validate_json(json.dumps(file.parameters))
    except (tomllib.TOMLDecodeError, LookupError) as error:
        raise ExperimentError(f"{path.name}: {error}") from None
    except ValidationError as error:
        lines = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
        raise ExperimentError(f"{path.name}: {lines}") from None
    return Experiment(path.stem, file.title, file.study, file.seed if seed is None else seed, parameters)


def run(
    experiment: Experiment, jobs: int = 2, scheduler: str | None = None, done: Callable[[int, int], None] | None = None
) -> Outcome:
    """Solve every case, on processes here or on a Dask cluster; `done(solved, cases)` is told of each."""
    began = time.perf_counter()
    cases = experiment.study.cases(experiment.seed)
    results: list[Any] = [None] * len(cases)
    cpu = 0.0
    for solved, (number, result, used) in enumerate(_solved(experiment.study, cases, jobs, scheduler), 1):
        results[number] = result
        cpu += used
        if done:
            done(solved, len(cases))
    summary = experiment.study.summary(cases, results)
    used = time.process_time()
    if found := replayed(experiment, cases):
        summary |= {"slice": found[0], "verdicts": [*summary["verdicts"], found[1]]}
    cpu += time.process_time() - used
    return Outcome(experiment, summary, len(cases), time.perf_counter() - began, cpu)


def replayed(experiment: Experiment, cases: Sequence[Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """A slice of one of the study's worlds, played by the exact twin and the contracts (`sims/replay.py`), and the
    verdict on it; None where no case plays Ballast's perpetuals. Nobody hedges in it, no carry traders come."""
    rng = np.random.default_rng([experiment.seed, *experiment.name.encode()])
    played = (experiment.study.perps(cases[i], rng) for i in rng.permutation(len(cases)))
    world, params = next((found for found in played if found), (None, None))
    if world is None or params is None:
        return None
    path, first, steps = sampled(world, rng)
    place = {"world": world.name, "path": path, "first": first, "steps": steps}
    bound = f"contracts and exact twin play a slice of it alike to the wei, the kernel to {NEAR:.0e}"
    where = f"{world.name}, path {path}, {steps:,} steps from {first:,}, not hedged, without carry traders"
    try:
        d = replay(world, params, path=path, first=first, steps=steps)
    except Disagreement as error:
        return place | {"unequal": str(error)}, verdict(bound, False, f"{where}: {error}")
    text = (
        f"{where}: contracts and twin agree to the wei, {d.trades} trades, {d.rebates} rebates, {d.refused} refused by "
        f"both; largest differences of the kernel: cost {d.cost:.0e} of the half-spread, {d.cost_quote:.0e} quote, "
        f"charge {d.charge:.0e}, LP equity {d.equity:.0e}, reserve {d.reserve:.0e}"
    )
    return place | asdict(d), verdict(bound, d.trades > 0 and d.largest <= NEAR, text)


def _solved(study: Study, cases: Sequence[Any], jobs: int, scheduler: str | None) -> Iterator[tuple[int, Any, float]]:
    """Number, result and CPU seconds of each case, as they are ready; one job needs no other process."""
    if jobs == 1 and scheduler is None:
        yield from (_solve(study, number, case) for number, case in enumerate(cases))
        return
    with workers(jobs, scheduler) as (pool, _):
        futures = [pool.submit(_solve, study, number, case) for number, case in enumerate(cases)]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


def _solve(study: Study, number: int, case: Any) -> tuple[int, Any, float]:
    began = time.process_time()
    result = study.solve(case)
    return number, result, time.process_time() - began
