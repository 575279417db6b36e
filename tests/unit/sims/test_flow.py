"""Traders are as their numbers say; recorded days are played whole; crowds react as they are meant to."""

from dataclasses import replace
from math import inf

import numpy as np
import pytest

from ballast import data
from sims import engine, flow, paths
from sims.engine import ROW_CLOSING, ROW_MARKET, ROW_SIZE
from sims.rules import flat
from sims.world import EQUITY, FUNDING, N_VAULT, N_VIEW, NEVER, PRICE, Floats, OracleModel, Wants, World

DAYS = 20
CALM = np.full((2, 1_440 * DAYS + 1, 1), 2_000.0)


def openings(wanted: Wants) -> Wants:
    new = wanted.closes == NEVER
    return Wants(wanted.step[new], wanted.market[new], wanted.size[new], wanted.limit[new], wanted.closes[new])


@pytest.fixture(scope="module")
def stormy() -> Floats:
    """Two paths of a day: the second twice as volatile as the mean of the record."""
    rng = np.random.default_rng(1)
    shocks = rng.standard_normal(1_440)
    moves = [shocks * scale * flow.perp_traders().volatility[0] / np.sqrt(525_600) for scale in (1.0, 2.0)]
    return np.stack([2_000.0 * np.exp(np.cumsum(np.append(0.0, move))) for move in moves])[:, :, None]


def test_wants_are_as_many_and_as_large_as_told() -> None:
    traders = replace(flow.perp_traders(), power=0.0, branching=0.5, per_day=200.0, mean=np.log(1e-3), spread=0.5)
    wanted = openings(flow.wants(np.random.default_rng(2), CALM, 60.0, traders, 10e6, least=0.0)[0])
    assert len(wanted) == pytest.approx(200 * DAYS / (1 - 0.5), rel=0.1)  # each brings one more in all
    notional = np.abs(wanted.size) * 2_000.0
    assert np.log(notional / 10e6).mean() == pytest.approx(np.log(1e-3), abs=0.05)
    assert notional.max() <= traders.most * 10e6 * (1 + 1e-12)
    assert np.mean(wanted.size > 0) == pytest.approx(1 / (1 + np.exp(-traders.lean)), abs=0.03)


def test_wants_fall_with_cost_as_elasticity_says() -> None:
    traders = replace(flow.perp_traders(cheapest=0.0002), per_day=2_000.0)
    limit = openings(flow.wants(np.random.default_rng(3), CALM, 60.0, traders, 10e6, least=0.0)[0]).limit
    assert limit.min() >= 0.0002
    for cost in (0.0004, 0.001, 0.01):
        assert np.mean(limit > cost) == pytest.approx((0.0002 / cost) ** traders.elasticity, abs=0.02)


def test_wants_as_recorded_where_gmx_s_fee_is_the_cheapest() -> None:
    """Whoever comes for less than that is added to those recorded, not taken from them."""
    cheap, recorded = (flow.perp_traders(cheapest=cost) for cost in (0.0001, paths.calibrated()["flow"]["fee"]))
    stay = (cheap.cheapest / recorded.cheapest) ** cheap.elasticity
    assert cheap.per_day * stay == pytest.approx(recorded.per_day)


def test_wants_rise_with_volatility(stormy: Floats) -> None:
    traders = replace(flow.perp_traders(), per_day=5_000.0, branching=0.0, power=1.0)
    usual, wild = (len(openings(w)) for w in flow.wants(np.random.default_rng(4), stormy, 60.0, traders, 10e6, 0.0))
    assert wild / usual == pytest.approx(2.0, rel=0.06)


def test_wants_follow_the_last_return(stormy: Floats) -> None:
    traders = replace(flow.perp_traders(), per_day=20_000.0, branching=0.0, power=0.0, lean=0.0, momentum=1.0)
    wanted = openings(flow.wants(np.random.default_rng(5), stormy, 60.0, traders, 10e6, 0.0)[0])
    moves = np.diff(np.log(stormy[0, :, 0]), prepend=np.log(2_000.0))
    side, late = np.sign(wanted.size), wanted.step >= 2
    assert np.corrcoef(side[late], moves[wanted.step[late] - 1])[0, 1] > 0.2
    assert abs(np.corrcoef(side, moves[wanted.step])[0, 1]) < 0.05  # not the one that they trade at


def test_wants_close_what_they_opened_after_the_time_held() -> None:
    traders = replace(flow.perp_traders(), held=3_600.0, per_day=1_000.0)
    wanted = flow.wants(np.random.default_rng(6), CALM, 60.0, traders, 10e6)[0]
    closing = np.flatnonzero(wanted.closes != NEVER)
    opened = wanted.closes[closing]
    assert len(set(opened)) == len(opened)
    assert np.all(wanted.closes[opened] == NEVER)
    assert np.all(wanted.market[opened] == wanted.market[closing])
    assert np.all(wanted.limit[closing] == inf)
    held = 60.0 * (wanted.step[closing] - wanted.step[opened])
    assert held.mean() == pytest.approx(3_600.0 + 30.0, rel=0.05)


def test_wants_of_a_path_do_not_depend_on_the_others() -> None:
    alone = flow.wants(np.random.default_rng(7), CALM[:1], 60.0, flow.hedgers(), 10e6)[0]
    first = flow.wants(np.random.default_rng(7), CALM, 60.0, flow.hedgers(), 10e6)[0]
    assert np.array_equal(alone.step, first.step)
    assert np.all(openings(alone).size < 0)  # hedgers are short


def test_informed_trade_the_way_the_price_went_and_leave_when_the_oracle_is_there() -> None:
    price = np.full((121, 1), 2_000.0)
    price[30:] = 2_020.0
    usual = Wants.of([(0, 0, 100.0, inf, NEVER)])
    world = World.of(price, 60.0, oracle=OracleModel(delay=300.0), wants=usual)
    found = flow.informed(np.random.default_rng(8), world, 0.2, 10e6, parts=4)[0]
    opened = openings(found)
    assert np.all(opened.step == 30)
    assert np.all(opened.size > 0)
    assert opened.limit == pytest.approx(0.005)  # half of what the price is ahead
    assert found.step[found.closes != NEVER].tolist() == [35] * 4
    asked = [flow.notional(w, price) for w in (found, usual)]
    assert asked[0] / sum(asked) == pytest.approx(0.2, abs=0.1)  # each time of another size, by half
    nothing = flow.informed(np.random.default_rng(8), World.of(price, 60.0, wants=usual), 0.2, 10e6)[0]
    assert len(nothing) == 0  # the oracle is not behind


def test_informed_gain_from_a_flat_fee_what_lps_lose() -> None:
    price, _ = paths.synthetic(np.random.default_rng(9), 4, 1_440, 60)
    world = World.of(price, 60.0, oracle=OracleModel(delay=120.0))
    usual = flow.wants(np.random.default_rng(10), price, 60.0, flow.perp_traders(), 10e6)
    alone = engine.run(world.with_wants(usual), flat.Params(fee=0.0001)).profit
    toxic = flow.informed(np.random.default_rng(11), world.with_wants(usual), 0.5, 10e6)
    both = engine.run(world.with_wants(flow.merged(usual, toxic)), flat.Params(fee=0.0001)).profit
    assert np.all(both < alone)


def test_merged_keeps_every_trade_and_its_closing() -> None:
    first = Wants.of([(0, 0, 1.0, inf, NEVER), (5, 0, 0.0, inf, 0)])
    second = Wants.of([(0, 1, 2.0, inf, NEVER), (3, 1, 0.0, inf, 0)])
    found = flow.merged([first], [second])[0]
    assert found.step.tolist() == [0, 0, 3, 5]
    assert found.size.tolist() == [1.0, 2.0, 0.0, 0.0]
    assert found.closes.tolist() == [NEVER, NEVER, 1, 0]


@pytest.mark.parametrize("day", data.gmx_days()[:1])
def test_gmx_day_played_again_has_the_recorded_open_interest(day: str) -> None:
    recorded = data.gmx_flow(day)
    price, wanted = flow.gmx_day(day)
    assert price.shape == (1_441, 1)
    came = np.where(wanted.closes == NEVER, wanted.size, -wanted.size[wanted.closes])
    net = np.bincount(wanted.step, came, 1_440).cumsum()
    assert net == pytest.approx(recorded.oi_long - recorded.oi_short, abs=1e-6)
    _, scaled = flow.gmx_day(day, 10e6)
    assert scaled.size == pytest.approx(wanted.size * 10e6 / recorded.pool_value[0])


def test_swap_day_played_again_has_the_recorded_purchases() -> None:
    day = data.swap_days()[0]
    price, wanted = flow.swap_day(day)
    assert wanted.size.sum() == pytest.approx(data.swap_flow(day).signed_flow.sum())
    assert np.all(wanted.step < len(price))


def view(funding: float) -> tuple[Floats, Floats]:
    m, g = np.zeros((1, N_VIEW)), np.zeros(N_VAULT)
    m[0, PRICE], m[0, FUNDING], g[EQUITY] = 2_000.0, funding, 10e6
    return m, g


def test_crowd_carry_takes_the_side_that_is_paid_and_leaves_when_it_is_not() -> None:
    carry = flow.Carry()
    agents = flow.crowd(60.0, carry)
    s, rows, x = np.zeros(agents.size), np.zeros((16, 5)), np.array([2_000.0])

    def look(funding: float) -> float:
        m, g = view(funding)
        count = agents.want(agents.params, s, m, x, g, 0, rows)
        for row in rows[:count]:
            agents.done(agents.params, s, row, row[ROW_SIZE], 0.0)
        return float(rows[0, ROW_SIZE]) if count else 0.0

    assert look(0.05) == 0.0  # below the hurdle
    assert look(0.5) == pytest.approx(-carry.step * carry.capital / 2_000.0)  # longs pay: be short
    for _ in range(5):
        look(0.5)
    assert s[0] == pytest.approx(-carry.capital / 2_000.0)
    assert look(0.08) == 0.0  # still paid
    assert look(-0.01) > 0.0
    assert rows[0, ROW_CLOSING] == 1.0


def test_crowd_lps_leave_in_a_drawdown_and_come_back() -> None:
    runners = flow.Runners()
    agents = flow.crowd(60.0, runners=runners, every=60)
    s, rows, x, m = np.zeros(agents.size), np.zeros((16, 5)), np.array([2_000.0]), view(0.0)[0]
    g = np.zeros(N_VAULT)
    here, level = 1.0, 1.0  # LPs' shares of those there were; equity per share

    def hours(count: int) -> None:
        nonlocal here
        for _ in range(count):
            g[EQUITY] = 10e6 * here * level
            for row in rows[: agents.want(agents.params, s, m, x, g, 0, rows)]:
                assert row[ROW_MARKET] == -1.0
                here *= 1.0 + row[ROW_SIZE]
                agents.done(agents.params, s, row, row[ROW_SIZE], 0.0)

    hours(24)
    assert here == 1.0
    level = 0.9  # all who may leave want to, at most `pace` a day
    hours(24)
    assert here == pytest.approx(1.0 - runners.pace, abs=0.02)
    hours(48)
    assert here == pytest.approx(1.0 - runners.share)
    level = 1.0
    hours(24 * 30)
    assert here == pytest.approx(1.0 - runners.share * np.exp(-1), abs=0.01)
