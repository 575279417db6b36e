"""Sequences worth keeping because something new happened in them, and what can be made of them.

`Guide` searches with their help: an episode begins with a mutated sequence of the corpus, or from nothing, goes on at
random, and is kept up to the last step that reached a new edge of the contracts or made a new feature of the state.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from ballast.fuzz.actions import Step
from ballast.fuzz.coverage import Coverage, CoveredChain, EdgeId
from ballast.fuzz.features import Feature, features
from ballast.fuzz.runner import Stats, episode
from ballast.fuzz.world import ACTORS, WEALTH, Setup, World
from ballast.model.exact.fixed import WAD

FROM_NOTHING = 0.5  # of the episodes of a guided search
TAIL = 60  # random steps behind a sequence of the corpus
# Arguments that are not any uint256. More quote or shares than a thousandth of what an actor has would make the
# token refuse, in words of its own or without any, where the twin knows no token.
BOUNDS = {
    "size": (-(2**255), 2**255 - 1), "answer": (-(2**191), 2**191 - 1), "age": (-(10**9), 10**9),
    "late": (-(10**9), 10**9), "seconds": (-(10**9), 2**255), "limit": (0, 2**255 - 1), "flags": (0, 2**7 - 1),
    "rho": (-(2**255), 2**255 - 1), "skew": (-(2**255), 2**255 - 1), "held": (-(2**255), 2**255 - 1),
    "delta": (-(2**127), 2**127 - 1), "gamma": (-(2**127), 2**127 - 1), "vega": (-(2**127), 2**127 - 1),
}  # fmt: skip
RICHES = WEALTH // 1_000  # [quote], [shares]
BOUNDARIES = (0, 1, 2, 10**6, 10**18, 2**95 - 1, 2**96, 2**127, 2**128 - 1, 2**255, 2**256 - 1)
TARGETS = {"market": (0, 1), "venue": (0, 1), "number": (0, 1)}  # arguments that are names and not amounts


@dataclass(slots=True)
class Entry:
    """A sequence, why it was kept (edges as "contract:edge", and how many new features), and how often it was used."""

    setup: Setup
    steps: list[Step]
    edges: list[str] = field(default_factory=list)
    features: int = 0
    picked: int = 0

    @property
    def name(self) -> str:
        """The same for the same sequence."""
        text = json.dumps([asdict(self.setup), self.steps], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(slots=True)
class Corpus:
    """Entries by name."""

    entries: dict[str, Entry] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.entries)

    def keep(self, setup: Setup, steps: list[Step], edges: Iterable[EdgeId] = (), features: int = 0) -> Entry:
        """Add a sequence, with what was new in it."""
        entry = Entry(setup, deepcopy(steps), sorted(f"{name}:{edge}" for name, edge in edges), features)
        return self.entries.setdefault(entry.name, entry)

    def merge(self, other: Corpus) -> None:
        """Add what another search kept."""
        self.entries = other.entries | self.entries

    def pick(self, rng: Random, setup: Setup | None = None) -> Entry | None:
        """One that reached much in few steps and was seldom used; of this setup, if one is named."""
        entries = [entry for entry in self.entries.values() if setup in (None, entry.setup)]
        if not entries:
            return None
        weights = [(1 + 4 * len(e.edges) + e.features) / (20 + len(e.steps)) / (1 + e.picked) for e in entries]
        entry = rng.choices(entries, weights)[0]
        entry.picked += 1
        return entry

    def minimise(self) -> int:
        """Forget entries whose edges shorter ones reach as well, however many features they have; how many."""
        needed: dict[str, Entry] = {}
        seen: set[str] = set()
        for name, entry in sorted(self.entries.items(), key=lambda item: (len(item[1].steps), item[0])):
            if not seen.issuperset(entry.edges):
                needed[name] = entry
                seen.update(entry.edges)
        forgotten = len(self.entries) - len(needed)
        self.entries = needed
        return forgotten

    def save(self, folder: Path) -> None:
        """One JSON file for each entry; those of entries that are no more go."""
        folder.mkdir(parents=True, exist_ok=True)
        for file in folder.glob("*.json"):
            if file.stem not in self.entries:
                file.unlink()
        for name, entry in self.entries.items():
            file = folder / f"{name}.json"
            if not file.exists():
                file.write_text(json.dumps(asdict(entry)))

    @classmethod
    def load(cls, folder: Path) -> Corpus:
        """What was saved."""
        corpus = cls()
        for file in sorted(folder.glob("*.json")):
            saved: dict[str, Any] = json.loads(file.read_text())
            entry = Entry(**saved | {"setup": Setup(**saved["setup"])})
            corpus.entries[entry.name] = entry
        return corpus


# ---- mutation


def mutate(rng: Random, steps: list[Step], other: list[Step], setup: Setup) -> list[Step]:
    """Another sequence like this one for a world of this setup: one to four changes, never the same objects."""
    steps = deepcopy(steps)
    for _ in range(rng.choice((1, 1, 2, 4))):
        change = rng.choice(CHANGES)
        steps = change(rng, steps, deepcopy(other))
    for _, arguments in steps:
        for key, value in arguments.items():
            if type(value) is int:
                signed = arguments.get("field") == "rho"
                arguments[key] = value if signed else _within(key, value, setup)
    return steps


def _within(key: str, value: int, setup: Setup) -> int:
    """The nearest that can be sent."""
    low, high = BOUNDS.get(key, (0, 2**256 - 1))
    if key in ("units", "shares"):
        high = RICHES * (10**setup.decimals if key == "units" else WAD)
    return max(low, min(value, high))


def _window(rng: Random, steps: list[Step]) -> tuple[int, int]:
    """Where a short stretch begins and ends."""
    start = rng.randrange(len(steps) + 1)
    return start, min(start + rng.choice((1, 1, 2, 4, 8, 16)), len(steps))


def drop(rng: Random, steps: list[Step], other: list[Step]) -> list[Step]:
    start, end = _window(rng, steps)
    return steps[:start] + steps[end:]


def double(rng: Random, steps: list[Step], other: list[Step]) -> list[Step]:
    start, end = _window(rng, steps)
    return steps[:end] + deepcopy(steps[start:end]) + steps[end:]


def shuffle(rng: Random, steps: list[Step], other: list[Step]) -> list[Step]:
    start, end = _window(rng, steps)
    return steps[:start] + rng.sample(steps[start:end], end - start) + steps[end:]


def cut(rng: Random, steps: list[Step], other: list[Step]) -> list[Step]:
    """Leave the end to chance."""
    return steps[: rng.randrange(len(steps) + 1)]


def splice(rng: Random, steps: list[Step], other: list[Step]) -> list[Step]:
    """Go on as another sequence does somewhere."""
    return steps[: rng.randrange(len(steps) + 1)] + other[rng.randrange(len(other) + 1) :]


def insert(rng: Random, steps: list[Step], other: list[Step]) -> list[Step]:
    """A stretch of another sequence."""
    place = rng.randrange(len(steps) + 1)
    start, end = _window(rng, other)
    return steps[:place] + other[start:end] + steps[place:]


def perturb(rng: Random, steps: list[Step], other: list[Step]) -> list[Step]:
    """One argument becomes another: amounts near, far or at a boundary; actors, markets and venues others."""
    if steps:
        arguments = rng.choice(steps)[1]
        if arguments:
            key = rng.choice(list(arguments))
            arguments[key] = _perturbed(rng, key, arguments[key])
    return steps


CHANGES: tuple[Callable[[Random, list[Step], list[Step]], list[Step]], ...] = (
    drop, double, shuffle, cut, splice, insert, perturb, perturb, perturb,
)  # fmt: skip


def _perturbed(rng: Random, key: str, value: Any) -> Any:
    if isinstance(value, str):
        return rng.choice(ACTORS) if value in ACTORS else value
    if isinstance(value, bool):
        return not value
    if not isinstance(value, int):
        return value
    if key in TARGETS:
        return rng.choice(TARGETS[key])
    if key == "seconds":
        return max(1, min(int(value * 10 ** rng.uniform(-2, 2)), 30 * 86_400))
    match rng.randrange(6):
        case 0:
            return value + rng.choice((-1, 1))
        case 1 if key in ("size", "answer", "age"):
            return -value
        case 2 if key in ("size", "units", "shares"):
            return rng.choice(BOUNDARIES)
        case 3:
            return value * rng.choice((2, 3, 10))
        case 4:
            return value // rng.choice((2, 3, 10))
        case _:
            return int(value * rng.uniform(0.5, 1.5))


# ---- search


@dataclass(slots=True)
class Guide:
    """A search that learns: what it has reached, and what it kept."""

    corpus: Corpus = field(default_factory=Corpus)
    coverage: Coverage = field(default_factory=Coverage)
    seen: set[Feature] = field(default_factory=set)
    from_nothing: float = FROM_NOTHING
    _chain: partial[CoveredChain] = field(init=False)

    def __post_init__(self) -> None:
        self._chain = partial(CoveredChain, self.coverage)  # one object: the runner deploys once for each

    def episode(self, seed: int, length: int, stats: Stats | None = None, profile: str = "perps") -> None:
        """One more; keeps it as far as it was new, also when it raises Failure."""
        rng = Random(f"guide {seed}")
        setup, start = Setup.draw(rng, profile), list[Step]()
        if rng.random() >= self.from_nothing and (entry := self.corpus.pick(rng)) is not None:
            other = self.corpus.pick(rng, entry.setup) or entry
            setup, start = entry.setup, mutate(rng, entry.steps, other.steps, setup)[:length]
            length = min(length, len(start) + TAIL)
        steps: list[Step] = []
        edges: list[EdgeId] = []
        new, last = 0, 0

        def watch(world: World, step: Step) -> None:
            nonlocal new, last
            chain = world.chain
            assert isinstance(chain, CoveredChain)
            steps.append(step)
            found = [feature for feature in features(world) if feature not in self.seen]
            if found or chain.fresh:
                last = len(steps)
            new += len(found)
            self.seen.update(found)
            edges.extend(chain.fresh)
            chain.fresh.clear()

        try:
            episode(seed, length, setup, stats, self._chain, profile=profile, start=start, watch=watch)
        finally:
            if last:
                self.corpus.keep(setup, steps[:last], edges, new)
