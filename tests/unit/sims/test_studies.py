"""What studies compute from runs: worked by hand where that can be, and the same whoever runs them."""

from __future__ import annotations

import numpy as np
import pytest

from sims import engine, lab, measures, paths
from sims.rules import flat
from sims.studies.correlation import Case as CorrelationCase
from sims.studies.correlation import Correlation
from sims.studies.delay import _even, break_even
from sims.studies.hedging import _cheapest, _over_band
from sims.studies.returns import Returns
from sims.studies.spreads import _shares, half_spread
from sims.tuning import Split
from sims.world import World


@pytest.fixture(scope="module")
def world() -> World:
    """A day of the flash crash, two draws of traders who pay any cost."""
    return measures.scene(paths.recorded("2021-12-04_flash").part(2_880, 4_320), 5, 2, elastic=False)


def test_flat_fee_is_all_that_traders_pay(world: World) -> None:
    result = measures.play(world, flat.Params(fee=0.002), carry=False)
    volume = result.totals[:, engine.VOLUME]
    assert np.allclose(measures.revenue(result), 0.002 * volume)
    assert measures.all_in([result]) == pytest.approx(0.002)
    assert np.all(measures.hedging_cost(result) == 0.0)
    assert measures.figures([result])["filled"] == pytest.approx(1.0)


def test_scene_has_the_same_traders_for_every_rule_and_more_with_informed_ones(world: World) -> None:
    again = measures.scene(paths.recorded("2021-12-04_flash").part(2_880, 4_320), 5, 2, elastic=False)
    assert np.array_equal(world.wants.size, again.wants.size)
    assert not np.array_equal(world.wants_of(0).size[:50], world.wants_of(1).size[:50])
    late = measures.OracleModel(delay=300.0)
    toxic = measures.scene(paths.recorded("2021-12-04_flash").part(2_880, 4_320), 5, 2, oracle=late, toxic=0.3)
    assert len(toxic.wants) > len(world.wants)


@pytest.mark.parametrize(
    ("margins", "even"),
    [([8.0, 4.0, 0.0], 0.2), ([8.0, 2.0, -2.0], 0.15), ([8.0, 6.0, 4.0], None), ([-1.0, -2.0, -3.0], 0.0)],
)
def test_break_even_lies_where_the_line_between_measurements_crosses_zero(
    margins: list[float], even: float | None
) -> None:
    found = break_even((0.0, 0.1, 0.2), margins)
    assert found == (None if even is None else pytest.approx(even))
    assert _even({"even": found}) == (1.0 if even is None else pytest.approx(even))  # none at all is no zero


def test_hedging_is_compared_with_the_cheapest_bands_at_the_same_error() -> None:
    rows = [{"error": e, "cost": c} for e, c in ((0.1, 4e-4), (0.2, 5e-4), (0.4, 1e-4))]  # the second is worse twice
    bands = _cheapest(rows)
    assert [band["error"] for band in bands] == [0.1, 0.4]
    assert _over_band({"error": 0.2, "cost": 4e-4}, bands) == pytest.approx(2.0)  # halfway in logarithms: 2e-4
    assert _over_band({"error": 0.05, "cost": 4e-4}, bands) is None


def test_half_spread_is_the_deployed_base_and_the_larger_of_floor_and_volatility() -> None:
    # base 1 bp, floor 2 bp, z 2, tau 3 s: at 60 % 2 * 0.6 * sqrt(3 / 31,536,000) = 3.701 bp
    assert half_spread(np.array([0.1, 0.6])) == pytest.approx([3e-4, 1e-4 + 3.7012e-4], rel=1e-4)


def test_markets_of_the_cycle_count_as_often_as_their_volatility_was_met() -> None:
    met = np.array([0.31, 0.45, 0.6, 0.8, 0.84])  # 0.42 and 0.85 lie halfway
    assert _shares(met, np.array([0.3, 0.6, 1.2])).tolist() == pytest.approx([0.2, 0.8, 0.0])


def test_correlation_worlds_differ_only_in_what_follows_the_break() -> None:
    study = Correlation(after=(0.85, 0.0), settings={"deployed": (0.0, 1.0)}, paths=2, parts=2, days=2)
    usual, broken = (study._world(CorrelationCase(after, 0, 3)) for after in study.after)
    half = usual.steps // 2
    assert np.array_equal(usual.prices[:, : half + 1], broken.prices[:, : half + 1])
    moves = np.diff(np.log(broken.prices[0]), axis=0)
    assert np.corrcoef(moves[:half].T)[0, 1] > 0.7
    assert abs(np.corrcoef(moves[half:].T)[0, 1]) < 0.25
    pairs = broken.wants_of(0).size[np.isclose(broken.wants_of(0).limit, study.patience)]
    assert len(pairs) % 2 == 0


def test_returns_are_judged_by_worlds_that_no_search_has_seen() -> None:
    experiment = lab.load(lab.EXPERIMENTS / "returns.toml")
    assert isinstance(experiment.study, Returns)
    study = experiment.study
    training = tuple(measures.scene(paths.recorded(name).part(0, 2), 1) for name in study.training)
    test = tuple(measures.scene(paths.recorded(name).part(0, 2), 1) for name in study.test)
    whole = [(paths.recorded(name).start, paths.recorded(name).steps) for name in study.training]
    Split(training, test)  # refuses a name that is in both
    latest = max(
        start + steps * paths.recorded(name).dt for (start, steps), name in zip(whole, study.training, strict=True)
    )
    assert latest <= min(w.start for w in test)
    assert latest <= paths.quarters(study.quarters_from)[0].start
