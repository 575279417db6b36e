"""A view that reverts is found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ballast.fuzz.invariants import every_view_answers
from ballast.fuzz.world import Broken, Setup, World


def test_every_view_answers_says_which_does_not() -> None:
    world = World(Setup())
    every_view_answers(world)
    world.system = replace(world.system, lens=world.chain.at("Lens", world.system.quote))
    with pytest.raises(Broken, match="every_view_answers: Lens"):
        every_view_answers(world)
