"""Delta debugging: the shortest sequence found that still breaks the same invariant, said in words and saved as a
test."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from pprint import pformat

from ballast.chain import Chain
from ballast.chain.artifacts import ROOT
from ballast.fuzz.actions import Step
from ballast.fuzz.runner import Failure, in_words, replay
from ballast.fuzz.standards import PROPERTIES
from ballast.fuzz.world import Broken

OUT = ROOT / "out"

_TEST = '''"""{message}

{words}
"""

from ballast.fuzz.runner import replay
from ballast.fuzz.world import Setup

SETUP = {setup}
STEPS = {steps}


def test_{name}_holds() -> None:
    replay(STEPS, SETUP)
'''


def shrink(failure: Failure, budget: int = 400, make_chain: Callable[[], Chain] | None = None) -> Failure:
    """A failure of the same invariant with fewer steps and rounder numbers, after at most `budget` replays."""
    ask = [one for one in PROPERTIES if one.__name__ == failure.broken.name]  # the others take long and found nothing
    return reduce(failure, partial(replay, setup=failure.setup, make_chain=make_chain, ask=ask), budget)


def reduce(failure: Failure, run: Callable[[Iterable[Step]], object], budget: int = 400) -> Failure:
    """`shrink` for any world: `run` does a sequence from the start and raises Broken."""
    search = _Search(failure, budget, run)
    search.drop_steps()
    search.round_numbers()
    search.drop_steps()
    return search.best


def breaks(failure: Failure) -> bool:
    """Whether the sequence breaks its invariant once more."""
    try:
        replay(failure.steps, failure.setup)
    except Broken as broken:
        return broken.invariant == failure.broken.invariant
    return False


def save(failure: Failure, folder: Path = OUT) -> Path:
    """Write the failure as a pytest file that needs nothing else; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"test_{failure.broken.name}_{failure.seed}.py"
    text = _TEST.format(
        message=failure,
        words="\n".join(words(failure)),
        steps=pformat(failure.steps, width=118, sort_dicts=False),
        name=failure.broken.name,
        setup=failure.setup,
    )
    path.write_text(text)
    return path


def words(failure: Failure) -> list[str]:
    """The sequence, numbered, and how it ends."""
    lines = [f"{i:>4}. {line}" for i, line in enumerate(in_words(failure.steps, failure.setup), 1)]
    return [*lines, f"      -> {failure.broken}"]


class _Search:
    """The best failure so far, and replays left."""

    def __init__(self, failure: Failure, budget: int, run: Callable[[Iterable[Step]], object]) -> None:
        self.best = failure
        self.left = budget
        self.run = run

    def fails(self, steps: list[Step]) -> bool:
        """Whether these steps break the same invariant; if so they are the best so far, cut where they do."""
        if self.left <= 0:
            return False
        self.left -= 1
        done: list[Step] = []

        def counted() -> Iterator[Step]:
            for step in steps:
                done.append(step)
                yield step

        try:
            self.run(counted())
        except Broken as broken:
            if broken.invariant == self.best.broken.invariant:
                self.best = Failure(done, self.best.setup, broken, self.best.seed)
                return True
        return False

    def drop_steps(self) -> None:
        """Leave out ever smaller pieces, from the end."""
        size = max(len(self.best.steps) // 2, 1)
        while size >= 1 and self.left > 0:
            end = len(self.best.steps)
            while end > 0 and self.left > 0:
                start = max(end - size, 0)
                self.fails(self.best.steps[:start] + self.best.steps[end:])
                end = min(start, len(self.best.steps))
            size //= 2

    def round_numbers(self) -> None:
        """Make arguments simpler: nothing at all, fewer digits, half."""
        for position in range(len(self.best.steps)):
            if position >= len(self.best.steps):
                return
            for key, value in list(self.best.steps[position][1].items()):
                if isinstance(value, int) and not isinstance(value, bool):
                    self._simplify(position, key, value)

    def _simplify(self, position: int, key: str, value: int) -> None:
        sign, size = (-1 if value < 0 else 1), abs(value)
        digits = len(str(size))
        candidates = [10 ** (digits - 1)] + [size // 10**cut * 10**cut for cut in range(digits - 1, 0, -1)]
        for candidate in candidates:
            if candidate == size or position >= len(self.best.steps):
                return
            name, arguments = self.best.steps[position]
            changed: Step = [name, {**arguments, key: sign * candidate}]
            if self.fails([*self.best.steps[:position], changed, *self.best.steps[position + 1 :]]):
                return
