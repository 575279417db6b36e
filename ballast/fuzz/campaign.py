"""A campaign: one seed space searched by many processes, here or on a Dask cluster, and a directory that keeps what
they find.

The campaign hands out tasks of a few episodes each and merges what comes back. A result depends on nothing but its
task, so with one worker, and a number of episodes instead of a clock, a campaign is a function of its seed.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass, field, replace
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

from ballast.fuzz.corpus import Corpus, Guide
from ballast.fuzz.coverage import Coverage
from ballast.fuzz.features import Feature
from ballast.fuzz.runner import Failure, Stats
from ballast.fuzz.shrink import breaks, save, shrink, words
from ballast.fuzz.unreachable import UNREACHABLE
from ballast.parallel import workers

EPISODES = 6  # of one task: a few seconds
EXAMPLES = 8  # sequences of the corpus that go with it
MANY = 400  # sequences: when there are more, only those stay that reach code which no shorter one does
SPACE = 10**9  # episodes of one campaign's seed before the next one's begin
PAUSE = 0.25  # [s] between looks at clock and workers
KEEP = 30.0  # [s] between saves while it runs


class CampaignError(RuntimeError):
    """The campaign cannot begin or go on; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a person asks for."""

    out: Path
    seed: int = 0
    profile: str = "perps"
    length: int = 400  # steps of an episode
    seconds: float | None = 600.0  # of this run
    episodes: int | None = None  # of this run
    jobs: int = 2
    keep_going: bool = False  # after a failure
    scheduler: str | None = None  # of a Dask cluster, instead of processes here
    corpus: Path | None = None  # sequences to begin with


@dataclass(frozen=True, slots=True)
class Task:
    """Episodes with successive seeds, none of which begins later than `seconds`, nor after a failure unless told to
    keep going."""

    first: int  # seed
    episodes: int
    length: int
    profile: str
    seconds: float | None
    keep_going: bool
    coverage: Coverage  # so far
    corpus: Corpus  # a few of the sequences kept so far


@dataclass(slots=True)
class Result:
    """What a task brought."""

    coverage: Coverage
    corpus: Corpus  # sequences that did something new
    seen: set[Feature]  # what was new in them
    stats: Stats = field(default_factory=Stats)
    failures: list[Failure] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Sample:
    """How far the campaign had come."""

    seconds: float
    actions: int
    episodes: int
    lines: int  # reached, summed over contracts
    branches: int
    features: int
    corpus: int  # sequences


@dataclass(slots=True)
class Found:
    """What breaks, told to people."""

    kinds: list[list[str]]  # invariants broken and actions that broke them, as found and as shortened
    invariant: str = ""
    times: int = 1  # that it was found
    message: str = ""
    words: list[str] = field(default_factory=list)
    file: str = ""  # the test that fails with it, in the campaign's directory
    reproduces: bool = False  # when replayed, as the shortest sequence known


_guide = Guide()  # of this process: what all its tasks have seen
_working = threading.Lock()  # a Dask worker may have several threads, but there is one world at a time


def work(task: Task) -> Result:
    """Do a task, in a worker."""
    with _working:
        begin = time.monotonic()
        _guide.coverage.merge(task.coverage)
        _guide.corpus.merge(task.corpus)
        kept, seen = set(_guide.corpus.entries), set(_guide.seen)
        result = Result(_guide.coverage, Corpus(), set())
        for seed in range(task.first, task.first + task.episodes):
            if task.seconds is not None and time.monotonic() - begin >= task.seconds:
                break
            try:
                _guide.episode(seed, task.length, result.stats, task.profile)
            except Failure as failure:
                result.failures.append(failure)
                if not task.keep_going:
                    break
        result.corpus.entries = {name: entry for name, entry in _guide.corpus.entries.items() if name not in kept}
        result.seen = _guide.seen - seen
        _thin(_guide.corpus)
    return result


def shorten(failure: Failure) -> tuple[Failure, bool]:
    """The shortest sequence found that breaks the same invariant, and whether it does so when replayed; in a worker."""
    short = shrink(failure)
    return short, breaks(short)


class Campaign:
    """What has been found so far; `save` writes it to the plan's directory."""

    def __init__(self, plan: Plan, resume: bool = False) -> None:
        """A new campaign, or with `resume` the one in the directory; raises CampaignError."""
        self.plan = plan
        self.stats = Stats()
        self.coverage = Coverage()
        self.corpus = Corpus.load(plan.corpus) if plan.corpus else Corpus()
        self.seen: set[Feature] = set()
        self.news = 0.0  # [s] when code was reached for the first time
        self.history: list[Sample] = []
        self.found: list[Found] = []
        self.seconds = 0.0  # searched in all
        self.issued = 0  # episodes handed out in all
        self.stopping = False  # because of Ctrl-C
        file = plan.out / "stats.json"
        if resume and not file.exists():
            raise CampaignError(f"{plan.out} holds no campaign to go on with")
        if file.exists() and not resume:
            raise CampaignError(f"{plan.out} holds a campaign: --resume goes on with it, --out begins another")
        if resume:
            self._load(json.loads(file.read_text()))

    # ---- searching

    def run(self, show: Callable[[Campaign], None]) -> None:
        """Search until time is up, an invariant breaks, or Ctrl-C; `show` is called several times a second. Raises
        CampaignError when a worker dies."""
        begin = saved = time.monotonic()
        earlier = self.seconds
        last = None if self.plan.episodes is None else self.issued + self.plan.episodes
        searching: dict[Future[Result], Task] = {}
        shortening: dict[Future[tuple[Failure, bool]], Found] = {}
        with _interruptible(self), workers(self.plan.jobs, self.plan.scheduler) as (pool, slots):
            while True:
                spent = time.monotonic() - begin
                self.seconds = earlier + spent
                left = None if self.plan.seconds is None else self.plan.seconds - spent
                while len(searching) + len(shortening) < slots() and (task := self._next(last, left)) is not None:
                    searching[pool.submit(work, task)] = task
                if not searching and not shortening:
                    return
                running: set[Future[Any]] = {*searching, *shortening}
                finished, _ = wait(running, PAUSE, FIRST_COMPLETED)
                for future in searching.keys() & finished:
                    task = searching.pop(future)
                    for found, failure in self._merge(_result(future, task)):
                        shortening[pool.submit(shorten, failure)] = found
                for short in shortening.keys() & finished:
                    self._shortened(shortening.pop(short), *short.result())
                show(self)
                if time.monotonic() - saved >= KEEP:
                    self.save()
                    saved = time.monotonic()

    def _next(self, last: int | None, left: float | None) -> Task | None:
        """The next task, None when there is to be no more."""
        broken = bool(self.found) and not self.plan.keep_going
        if self.stopping or broken or (left is not None and left <= 0):
            return None
        episodes = EPISODES if last is None else min(EPISODES, last - self.issued)
        if episodes <= 0:
            return None
        plan, first = self.plan, self.plan.seed * SPACE + self.issued
        self.issued += episodes
        return Task(
            first, episodes, plan.length, plan.profile, left, plan.keep_going, self.coverage, self._examples(first)
        )

    def _examples(self, seed: int) -> Corpus:
        """A few sequences for a worker that has not seen them."""
        rng, few = Random(seed), Corpus()
        for _ in range(EXAMPLES):
            if (entry := self.corpus.pick(rng)) is not None:
                few.entries[entry.name] = entry
        return few

    def _merge(self, result: Result) -> Iterator[tuple[Found, Failure]]:
        """Add a task's result; what broke in a new way is saved as it is, and returned to be shortened."""
        self.stats.add(result.stats)
        self.corpus.merge(result.corpus)
        _thin(self.corpus)
        self.seen |= result.seen
        if self.coverage.merge(result.coverage):
            self.news = self.seconds
        rows = self.coverage.table()
        lines, branches = sum(row.lines[0] for row in rows), sum(row.branches[0] for row in rows)
        done = round(self.seconds, 2), self.stats.calls, self.stats.episodes
        self.history.append(Sample(*done, lines, branches, len(self.seen), len(self.corpus)))
        for failure in result.failures:
            if (known := self._known(failure)) is not None:
                known.times += 1
                continue
            found = Found([_kind(failure)])
            self.found.append(found)
            self._tell(found, failure)
            yield found, failure

    def _shortened(self, found: Found, failure: Failure, reproduces: bool) -> None:
        """Tell a failure again by its shortest sequence, unless it has become one that is known."""
        (self.plan.out / found.file).unlink(missing_ok=True)
        self.found.remove(found)
        if (known := self._known(failure)) is not None:
            known.kinds += found.kinds
            known.times += found.times
            return
        self.found.append(found)
        if _kind(failure) not in found.kinds:
            found.kinds.append(_kind(failure))
        found.reproduces = reproduces
        self._tell(found, failure)

    def _known(self, failure: Failure) -> Found | None:
        return next((found for found in self.found if _kind(failure) in found.kinds), None)

    def _tell(self, found: Found, failure: Failure) -> None:
        """Put a failure in words and save it as a test."""
        found.file = str(save(failure, self.plan.out / "failures").relative_to(self.plan.out))
        found.invariant, found.message, found.words = failure.broken.name, str(failure), words(failure)

    # ---- keeping

    def summary(self) -> dict[str, Any]:
        """Everything that was counted and found; what stats.json holds."""
        stats = self.stats
        return {
            "seed": self.plan.seed,
            "profile": self.plan.profile,
            "length": self.plan.length,
            "seconds": round(self.seconds, 2),
            "news": round(self.news, 2),
            "issued": self.issued,
            "episodes": stats.episodes,
            "steps": stats.steps,
            "actions": stats.calls,
            "cpu": {purpose: round(spent, 2) for purpose, spent in stats.clock.spent.items()},
            "ok": dict(stats.ok.most_common()),
            "refused": dict(stats.refused.most_common()),
            "reached": dict(stats.reached.most_common()),
            "found": [asdict(found) for found in self.found],
            "history": [astuple(sample) for sample in self.history],
        }

    def reach(self) -> str:
        """Lines in numbers, for people."""
        (reached, every), cannot = self.coverage.distinct(), sum(map(len, UNREACHABLE.values()))
        text = f"{reached:,} of {every:,} lines reached ({reached / every:.2%}); {cannot} more cannot run"
        surprises = [f"{file}:{line}" for file, line in self.coverage.impossible()]
        return text + (f", but these did: {', '.join(surprises)}" if surprises else "")

    def save(self) -> None:
        """Write everything to the plan's directory."""
        self.plan.out.mkdir(parents=True, exist_ok=True)
        _write(self.plan.out / "stats.json", json.dumps(self.summary(), indent=1))
        _write(self.plan.out / "coverage.json", json.dumps(self.coverage.to_json()))
        self.corpus.save(self.plan.out / "corpus")

    def _load(self, saved: dict[str, Any]) -> None:
        self.plan = replace(self.plan, seed=saved["seed"], profile=saved["profile"], length=saved["length"])
        self.seconds, self.news, self.issued = saved["seconds"], saved["news"], saved["issued"]
        self.coverage = Coverage.from_json(json.loads((self.plan.out / "coverage.json").read_text()))
        self.corpus.merge(Corpus.load(self.plan.out / "corpus"))
        self.stats.clock.spent.update(saved["cpu"])
        self.stats.steps, self.stats.episodes = saved["steps"], saved["episodes"]
        for name in ("ok", "refused", "reached"):
            getattr(self.stats, name).update(saved[name])
        self.history = [Sample(*sample) for sample in saved["history"]]
        self.found = [Found(**found) for found in saved["found"]]


@contextmanager
def _interruptible(campaign: Campaign) -> Iterator[None]:
    """Ctrl-C, or being told to terminate, lets the workers finish what they are at; a second time it interrupts."""

    def stop(signum: int, frame: FrameType | None) -> None:
        if campaign.stopping:
            raise KeyboardInterrupt
        campaign.stopping = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _result(future: Future[Result], task: Task) -> Result:
    try:
        return future.result()
    except Exception as error:
        seeds = f"{task.episodes} episodes from seed {task.first}"
        raise CampaignError(f"a worker died within {seeds}: {error!r}") from error


def _thin(corpus: Corpus) -> None:
    if len(corpus) > MANY:
        corpus.minimise()


def _kind(failure: Failure) -> list[str]:
    return [failure.broken.name, failure.steps[-1][0]]


def _write(path: Path, text: str) -> None:
    """Replace a file as a whole, so that a reader or a crash never sees half of it."""
    draft = path.with_suffix(".draft")
    draft.write_text(text)
    draft.replace(path)
