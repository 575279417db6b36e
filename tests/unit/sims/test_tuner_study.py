"""How the steward's table is learnt from what designs did in each world."""

from __future__ import annotations

import numpy as np
import pytest

from ballast import data
from sims import paths
from sims.studies import tuner
from sims.studies.tuner import NAMES, Tuner
from sims.world import Floats

STUDY = Tuner(stress=(), judged=(), designs=32, penalty=1e-6, shrink=0.002)
STORM_Z, CALM_Z, CALM_BASE = (NAMES.index(name) for name in ("storm_z", "calm_z", "calm_base"))


def world(drawdown: Floats, cost: Floats, rest: Floats | None = None) -> Floats:
    """Answers of a world whose logarithms are linear in the multipliers', with these slopes."""
    x = np.vstack([np.zeros(len(NAMES)), STUDY._points(1)])
    gained = 0.02 * (1 + (x @ rest if rest is not None else 0.0))
    return np.column_stack(
        [gained * np.ones(len(x)), 0.003 * np.exp(x @ drawdown), 2e5 * np.exp(x @ cost), np.full(len(x), 1e9)]
    )


def slopes(**values: float) -> Floats:
    return np.array([values.get(name, 0.0) for name in NAMES])


def test_learn_loosens_nothing_in_a_storm() -> None:
    """Where less in a storm would be better than in the calm, both are alike."""
    fitted = [STUDY._fit(world(slopes(storm_z=0.3, calm_z=-0.1), slopes()), 1)]
    found = STUDY._learn(fitted, 1, follows=True)
    assert found[STORM_Z] == pytest.approx(found[CALM_Z], abs=0.02)
    assert found[STORM_Z] < -0.5


def test_learn_takes_what_helps_in_the_worse_half_and_costs_nothing() -> None:
    """Storm z lowers drawdowns everywhere and costs; calm base costs as much the other way, and drawdowns nothing."""
    cost = slopes(storm_z=0.2, calm_base=0.2)
    fitted = [STUDY._fit(world(slopes(storm_z=s), cost), 1) for s in (-0.3, -0.2, -0.1)]
    found = STUDY._learn(fitted, 1, follows=True)
    most = np.log(STUDY.reach)
    assert found[STORM_Z] == pytest.approx(most, abs=0.02)
    assert found[CALM_BASE] == pytest.approx(-most, abs=0.03)  # so that traders pay no more


def test_learn_leaves_alone_what_helps_one_past_and_hurts_another() -> None:
    fitted = [STUDY._fit(world(slopes(storm_z=s), slopes()), 1) for s in (-0.4, 0.3)]
    assert STUDY._learn(fitted, 1, follows=True).tolist() == pytest.approx([0.0] * len(NAMES), abs=1e-3)


def test_constants_are_the_same_in_calm_and_storm() -> None:
    fitted = [STUDY._fit(world(slopes(storm_z=-0.3, calm_z=-0.1), slopes()), 1)]
    found = STUDY._learn(fitted, 1, follows=False)
    assert found[: len(NAMES) // 2].tolist() == found[len(NAMES) // 2 :].tolist()
    assert found[CALM_Z] == pytest.approx(np.log(STUDY.reach), abs=0.02)


def test_policy_has_watched_the_month_that_ends_where_a_path_begins() -> None:
    prices = paths.recorded("2022-06_3ac")
    hours = tuner._month_before(float(prices.start))
    assert hours.shape == (tuner.MONTH, 2)
    bars = data.hourly("ETH")
    at = int(np.searchsorted(bars.ts, prices.start)) - 1
    assert hours[-1, 0] == bars.close[at]
    assert hours[0, 0] == bars.close[at - tuner.MONTH + 1]
