"""The kernel's books, its order of events, and what a world's oracle knows, against slow and direct readings."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
import pytest

from ballast.model.exact.fixed import WAD
from ballast.model.exact.oracle import FixedFeed, PriceOracle, Round
from ballast.model.exact.oracle import Params as OracleParams
from sims import engine
from sims.engine import Agents, Hedging, run
from sims.jit import njit
from sims.rules import flat
from sims.world import LPS, NET, NEVER, OracleModel, Wants, World

MINUTE = 60.0
FLAT = flat.Params(fee=0.001)
FUNDS = 1e6


def prices(steps: int, seed: int = 1, scale: float = 0.002) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.array([2_000.0, 40_000.0]) * np.exp(np.cumsum(rng.normal(0.0, scale, (steps + 1, 2)), axis=0))


def test_run_books_what_was_traded_held_and_paid() -> None:
    path = prices(120)
    rows = [(3, 0, 10.0, inf, NEVER), (7, 1, -0.5, inf, NEVER), (50, 0, 0.0, inf, 0), (90, 0, 4.0, inf, NEVER)]
    world = World.of(path, MINUTE, wants=Wants.of(rows))

    result = run(world, FLAT, equity=FUNDS, sample=1)

    sizes = [(3, 0, 10.0), (7, 1, -0.5), (50, 0, -10.0), (90, 0, 4.0)]
    value, held = np.full(121, FUNDS), np.zeros((121, 2))
    for k, i, size in sizes:
        value[k:] += FLAT.fee * abs(size) * path[k, i] - size * (path[k:, i] - path[k, i])
        held[k:, i] -= size
    assert result.equity[0] == pytest.approx(value, rel=1e-12)
    assert result.net[0] == pytest.approx(held, abs=1e-12)
    assert result.totals[0, engine.VOLUME] == pytest.approx(sum(abs(size) * path[k, i] for k, i, size in sizes))
    assert result.profit[0] == pytest.approx(value[-1] - FUNDS)
    peak = np.maximum.accumulate(value)
    assert result.drawdown[0] == pytest.approx(max(1 - value / peak))


def test_run_charges_holding_for_the_time_between_events() -> None:
    world = World.of(np.full((101, 1), 2_000.0), MINUTE, wants=Wants.of([(0, 0, 100.0, inf, NEVER)]))
    result = run(world, flat.Params(fee=0.0, borrow=0.1), equity=FUNDS, sample=1_000)
    owed = 0.1 * 200_000.0 * 100 * MINUTE / (365 * 86_400)
    assert result.totals[0, engine.CARRIED] == pytest.approx(owed)
    assert result.profit[0] == pytest.approx(owed)


def test_run_refuses_above_the_limit_and_then_there_is_nothing_to_close() -> None:
    rows = [(1, 0, 5.0, 0.0009, NEVER), (2, 0, 5.0, 0.0011, NEVER), (3, 0, 0.0, inf, 0), (4, 0, 0.0, inf, 1)]
    result = run(World.of(prices(10), MINUTE, wants=Wants.of(rows)), FLAT, sample=1, log=10)
    assert result.totals[0, engine.REFUSED] == 1
    assert result.totals[0, engine.TRADES] == 2
    assert result.log[:, engine.LOG_STEP].tolist() == [2, 4]
    assert result.log[:, engine.LOG_OWNER].tolist() == [1, 1]
    assert result.log[:, engine.LOG_SIZE].tolist() == [5.0, -5.0]
    assert result.net[0, -1].tolist() == [0.0, 0.0]


def test_run_lps_who_come_and_go_do_not_change_what_a_share_is_worth() -> None:
    still = World.of(np.full((20, 1), 2_000.0), MINUTE)
    moving = still.with_wants(Wants.of([(3, LPS, 0.5, inf, NEVER), (9, LPS, -0.4, inf, NEVER)]))
    result = run(moving, FLAT, equity=FUNDS, sample=1)
    assert result.equity[0] == pytest.approx(FUNDS)
    assert result.totals[0, engine.TRADES] == 0


def test_run_settles_at_the_oracles_price_and_marks_at_the_true_one() -> None:
    path = np.array([[100.0], [100.0], [110.0], [110.0], [110.0]])
    late = OracleModel(delay=MINUTE)
    world = World.of(path, MINUTE, oracle=late, wants=Wants.of([(2, 0, 10.0, inf, NEVER)]))
    result = run(world, flat.Params(fee=0.0), equity=FUNDS, sample=1)
    assert world.seen[0, :, 0].tolist() == [100.0, 100.0, 100.0, 110.0, 110.0]
    assert result.equity[0].tolist() == [FUNDS, FUNDS, FUNDS - 100.0, FUNDS - 100.0, FUNDS - 100.0]


def test_run_paths_are_independent_of_jobs_and_of_each_other() -> None:
    path = np.stack([prices(500, seed) for seed in (1, 2, 3)])
    wants = [Wants.of([(k, k % 2, 1.0 + seed, inf, NEVER) for k in range(1, 400, 7)]) for seed in (1, 2, 3)]
    world = World.of(path, MINUTE, wants=wants)
    together, alone = run(world, FLAT, jobs=3), run(world, FLAT, jobs=1)
    third = run(World.of(path[2], MINUTE, wants=wants[2]), FLAT)
    assert np.array_equal(together.equity, alone.equity)
    assert np.array_equal(together.equity[2], third.equity[0])


@njit
def _buys_when_short(a, s, m, x, g, k, rows):  # type: ignore[no-untyped-def]
    """Buys a[0] of market 0 as long as traders' net is below a[1], at random times."""
    if m[0, NET] >= a[1] or np.random.random() < 0.5:  # noqa: NPY002
        return 0
    rows[0, 0], rows[0, 1], rows[0, 2], rows[0, 3], rows[0, 4] = 0, a[0], 1.0, 0.0, 7.0
    return 1


@njit
def _remembers(a, s, row, filled, cost):  # type: ignore[no-untyped-def]
    s[0] += filled
    s[1] += cost


def test_run_asks_the_crowd_tells_it_what_came_and_repeats_its_luck() -> None:
    crowd = Agents(_buys_when_short, _remembers, np.array([2.0, 9.0]), size=2, every=5)
    world = World.of(prices(400), MINUTE)
    first, second, other = (run(world, FLAT, agents=crowd, log=50, seed=seed) for seed in (4, 4, 5))
    assert first.net[0, -1].tolist() == [-10.0, 0.0]
    assert set(first.log[:, engine.LOG_OWNER]) == {-8.0}
    assert all(step % 5 == 4 for step in first.log[:, engine.LOG_STEP])
    assert np.array_equal(first.log, second.log)
    assert not np.array_equal(first.log, other.log)


def test_run_hedges_to_the_target_at_what_a_constant_product_takes() -> None:
    wants = Wants.of([(1, 0, 20.0, inf, NEVER), (10, 0, 10.0, inf, NEVER)])
    still = World.of(np.full((50, 1), 2_000.0), MINUTE, wants=wants, gas=3.0)
    hedging = Hedging(policy=engine.BAND, band=0.05, target=0.6, fee=0.0005, depth=40e6)
    result = run(still, flat.Params(fee=0.0), equity=FUNDS, sample=1, hedging=hedging)
    t = result.totals[0]
    quote, base, bought = 40e6, 40e6 / 2_000, 15.0  # at 2,000: 60,000 short, of which 30,000 may stay
    lost = quote * bought / (base - bought) / (1 - 0.0005) - bought * 2_000
    assert result.net[0, 10, 0] == -30.0  # whoever hedges sees the trade a step later
    assert result.net[0, 11, 0] == pytest.approx(-15.0, abs=1e-9)
    assert t[engine.HEDGES] == 1  # 40,000 were inside the band
    assert t[engine.HEDGING] == pytest.approx(lost)
    assert result.profit[0] == pytest.approx(-lost - 3.0)


@pytest.mark.parametrize("band", [0.01, 0.04])
def test_run_hedges_a_band_of_any_width_to_half_of_it_and_rests(band: float) -> None:
    world = World.of(np.full((9, 1), 2_000.0), MINUTE, wants=Wants.of([(1, 0, 30.0, inf, NEVER)]))
    result = run(world, FLAT, equity=FUNDS, sample=1, hedging=Hedging(policy=engine.BAND, band=band))
    left = -band / 2 * (FUNDS + result.totals[0, engine.SPREADS]) / 2_000.0
    assert result.net[0, 2:, 0] == pytest.approx(np.full(7, left))
    assert result.totals[0, engine.HEDGES] == 1


def test_run_hedges_no_more_at_once_than_the_price_may_move() -> None:
    world = World.of(np.full((9, 1), 2_000.0), MINUTE, wants=Wants.of([(1, 0, -200.0, inf, NEVER)]))
    hedging = Hedging(policy=engine.BAND, band=0.01, target=0.0, fee=0.0005, off=0.001, depth=40e6)
    result = run(world, flat.Params(), equity=FUNDS, sample=1, hedging=hedging)
    most = 40e6 / 2_000 * 0.0015 / 2
    assert np.diff(result.net[0, :, 0])[1:] == pytest.approx(-most)


def test_run_does_not_hedge_where_the_venue_is_off_the_oracle() -> None:
    path = np.full((50, 1), 2_000.0)
    path[2:] *= 1.01
    world = World.of(path, MINUTE, oracle=OracleModel(heartbeat=86_400.0), wants=Wants.of([(1, 0, 100.0, inf, NEVER)]))
    result = run(world, flat.Params(), equity=FUNDS, hedging=Hedging(policy=engine.BAND, band=0.0))
    assert result.totals[0, engine.HEDGES] == 0


def test_observe_volatility_is_the_price_oracles() -> None:
    path = prices(60, scale=0.01)[:, :1]
    model = OracleModel(heartbeat=120.0, deviation=0.005)
    world = World.of(path, MINUTE, oracle=model)
    feed, start = FixedFeed(Round(1, round(path[0, 0] * WAD), 0, 1_000_000, True)), 1_000_000
    twin = PriceOracle()
    twin.list_market(feed, OracleParams(), start)
    for k in range(1, 61):
        if world.rounds[0, k, 0] == k * MINUTE:
            feed.round = Round(feed.round.round_id + 1, round(world.seen[0, k, 0] * WAD), 0, start + 60 * k, True)
        mark = twin.sync(0, start + 60 * k)
        assert world.sigma[0, k, 0] == pytest.approx(mark.sigma / WAD, rel=1e-9)
        assert world.rounds[0, k, 0] == mark.updated_at - start
        assert k < 3 or world.previous[0, k, 0] == mark.prev_updated_at - start


def test_observe_a_round_is_due_by_heartbeat_or_deviation() -> None:
    path = np.array([100.0, 100.1, 100.2, 100.6, 100.7, 100.7, 100.7])[:, None]
    world = World.of(path, MINUTE, oracle=OracleModel(heartbeat=180.0, deviation=0.005))
    assert world.rounds[0, :, 0].tolist() == [0.0, 0.0, 0.0, 180.0, 180.0, 180.0, 360.0]
    wide = replace(world.with_oracle(OracleModel(deviation=0.0055)), name="wide")
    assert wide.seen[0, :, 0].tolist() == [100.0, 100.0, 100.0, 100.6, 100.6, 100.6, 100.6]


def test_njit_names_a_closure_for_what_it_closes_over() -> None:
    """Of one name, two of them from the cache would be linked as one, and a kernel would run another's functions."""

    def kernel(of):  # type: ignore[no-untyped-def]
        @njit
        def inner(x):  # type: ignore[no-untyped-def]
            return of(x)

        return inner.__qualname__

    assert kernel(flat.quote) == kernel(flat.quote)
    assert kernel(flat.quote) != kernel(flat.fill)


def test_world_refuses_wants_out_of_order() -> None:
    with pytest.raises(ValueError, match="order of steps"):
        World.of(prices(10), MINUTE, wants=Wants.of([(5, 0, 1.0, inf, NEVER), (4, 0, 1.0, inf, NEVER)]))
    with pytest.raises(ValueError, match="closes what comes after"):
        World.of(prices(10), MINUTE, wants=Wants.of([(5, 0, 1.0, inf, 0)]))
    with pytest.raises(ValueError, match="paths"):
        World.of(prices(10), MINUTE, wants=[Wants.none(), Wants.none()])
