"""Fixtures of the perp tests."""

from __future__ import annotations

import pytest

from tests.unit.perps.world import World


@pytest.fixture
def world() -> World:
    """Two markets, three traders with a million each, ten million of LP cash, one minute after listing."""
    world = World.build()
    world.warp(60)
    return world


@pytest.fixture
def trader(world: World) -> str:
    return world.traders[0]


@pytest.fixture
def other_trader(world: World) -> str:
    return world.traders[1]
