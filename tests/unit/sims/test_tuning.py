"""The search for parameters: finds an optimum that is known, and keeps training and test apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from sims import tuning
from sims.engine import Result
from sims.rules import flat, synthetix
from sims.world import NEVER, Wants, World

STEPS = 400


def world(name: str, start: float = 0.0) -> World:
    """A price that stands still; traders of one size each, at limits evenly spread up to 40 bp."""
    limits = np.linspace(0.0, 0.004, STEPS)
    wants = Wants(
        np.arange(STEPS),
        np.zeros(STEPS, np.int64),
        np.where(np.arange(STEPS) % 2, 1.0, -1.0),
        limits,
        np.full(STEPS, NEVER),
    )
    return World.of(np.full((STEPS + 1, 1), 2_000.0), 60.0, wants=wants, name=name, start=start)


def profit(results: Sequence[Result]) -> float:
    return float(sum(result.profit.sum() for result in results))


def test_tune_finds_the_fee_that_maximises_revenue() -> None:
    """f · (1 − f/40 bp) is largest at 20 bp, where it is 20 bp · 200 · 2,000."""
    found = tuning.tune("flat", [world("training")], score=profit, sample=100, jobs=1)
    assert found.params.fee == pytest.approx(0.002, rel=0.02)
    assert found.score == pytest.approx(0.002 * 200 * 2_000, rel=0.01)
    assert found.published == pytest.approx(0.001 * 300 * 2_000, rel=0.01)
    assert found.values == {"fee": found.params.fee}
    again = tuning.tune("flat", [world("training")], score=profit, sample=100, jobs=1)
    assert again == found


def test_tune_keeps_published_parameters_that_nothing_beats() -> None:
    space = tuning.Space(flat.Params(), (tuning.Dimension("fee", 0.005, 0.01),))
    found = tuning.tune("flat", [world("training")], score=profit, space=space, coarse=4, fine=4, sample=100, jobs=1)
    assert (found.params, found.values, found.score) == (flat.Params(), {}, found.published)


def test_sharpe_puts_a_vault_that_serves_nobody_below_all_others() -> None:
    space = tuning.Space(flat.Params(), (tuning.Dimension("fee", 0.0035, 0.0036),))
    found = tuning.tune("flat", [world("training")], space=space, coarse=2, fine=2, sample=100, jobs=1)
    assert found.values == {}
    assert found.published > -1e5


def test_split_refuses_what_is_in_both() -> None:
    first, second = world("a", 1e9), world("b", 1e9 + STEPS * 60.0)
    tuning.Split((first,), (second,))
    with pytest.raises(ValueError, match="a is in training and test"):
        tuning.Split((first,), (world("a"),))
    with pytest.raises(ValueError, match="overlap in time"):
        tuning.Split((first,), (world("c", 1e9 + STEPS * 60.0 - 1),))


def test_change_multiplies_tuples_and_sets_the_rest() -> None:
    params = tuning.change(synthetix.Params(), {"scale": 0.5, "taker": 0.001})
    assert params.scale == (5e5, 2.5e4)
    assert (params.taker, params.maker) == (0.001, synthetix.Params().maker)
    ours = tuning.SPACES["ballast"].at(np.full(4, 0.5))
    assert ours.config.inventory.aversion == pytest.approx(10.0)
    for name, space in tuning.SPACES.items():
        assert tuning.rule_name(space.at(np.zeros(len(space.dimensions)))) == name
