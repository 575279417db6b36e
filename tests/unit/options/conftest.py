"""Fixtures of the option tests."""

from __future__ import annotations

import pytest

from tests.unit.options.world import OptionWorld


@pytest.fixture
def world() -> OptionWorld:
    """Three boards in two markets, three traders with a million each, ten million of LP cash that counts as capital."""
    world = OptionWorld.create()
    world.rest()
    return world


@pytest.fixture
def trader(world: OptionWorld) -> str:
    return world.traders[0]


@pytest.fixture
def other(world: OptionWorld) -> str:
    return world.traders[1]
