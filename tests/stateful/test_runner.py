"""Episodes share a deployed system one after the other, and none notices another."""

from __future__ import annotations

from typing import Any

import pytest

from ballast.fuzz.runner import _deployed, episode
from ballast.fuzz.world import Setup, World


def history(seed: int) -> list[Any]:
    """Every step, what gas its call used, and the ledger after it."""
    seen: list[Any] = []

    def watch(world: World, step: Any) -> None:
        seen.append((step, dict(world.gas_used), world.now, world.twin.clearinghouse.buckets()))

    episode(seed, 80, Setup(6), watch=watch)
    return seen


@pytest.mark.fuzz
def test_episode_on_a_used_system_is_as_on_a_new_one() -> None:
    _deployed.cache_clear()
    first, second = history(1), history(2)
    assert _deployed.cache_info().misses == 1
    assert (history(2), history(1)) == (second, first)
    _deployed.cache_clear()
    assert history(2) == second
    assert any(seen[1] for seen in first)
