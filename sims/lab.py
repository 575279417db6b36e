"""Experiments: a TOML file names a study, its parameters and a seed; running it gives one outcome."""

from __future__ import annotations

import json
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ballast.parallel import workers
from sims.studies import Study, study

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
    return Outcome(experiment, summary, len(cases), time.perf_counter() - began, cpu)


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
