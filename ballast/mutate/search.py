"""What looks for a mutant that tests let live: a function of a seed and a number of steps that raises when it does.

A campaign names it as "module:function"; this one is the whole-system fuzzer of ballast.fuzz.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import cast

Search = Callable[[int, int], object]

FUZZ = "ballast.mutate.search:fuzz"
PROFILES = ("perps", "all")  # half of the episodes among hostile tokens, venues and callers


def fuzz(seed: int, steps: int) -> None:
    """One episode on all contracts and their exact twin, every invariant checked; raises what the fuzzer raises."""
    from ballast.fuzz.runner import episode

    episode(seed, steps, profile=PROFILES[seed % len(PROFILES)])


def find(name: str) -> Search:
    """The function that "module:function" names; raises ImportError when there is none."""
    module, _, function = name.partition(":")
    found = getattr(importlib.import_module(module), function, None)
    if not callable(found):
        raise ImportError(f"no function {function!r} in {module}")
    return cast(Search, found)
