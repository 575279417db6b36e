"""What other strategies leave unhedged, and that they trade through the same venues."""

from dataclasses import replace
from math import inf

import pytest

from ballast.keeper.decide import decide
from ballast.keeper.policy import Policy
from ballast.keeper.state import SyncAll
from ballast.keeper.strategies import fixed_band, no_hedge, schedule, whalley_wilmott

from .worlds import CAPITAL, NOW, PRICE, holding, market, route, short_venue, state, venue

POLICY = Policy()


def bought(world, hedger):
    return sum(action.size_wad for action in decide(world, POLICY, hedger)) / 1e18


@pytest.mark.parametrize(
    ("width", "to", "size"), [(3.9e5, 0.0, 200.0), (4.1e5, 0.0, 0.0), (2e5, 1.0, 100.0), (2e5, 0.5, 150.0)]
)
def test_fixed_band_hedges_beyond_it_down_to_its_part(width, to, size):
    assert bought(state(markets=(market(delta=-200.0),)), fixed_band(width, to)) == pytest.approx(size)


def test_fixed_band_sells_too_where_it_can():
    world = state(markets=(market(delta=200.0),), venues=(holding(50.0), short_venue()))
    assert bought(world, fixed_band(1e5)) == pytest.approx(-200.0)
    assert bought(replace(world, venues=(holding(50.0),)), fixed_band(1e5)) == pytest.approx(-50.0)


def test_schedule_counts_from_the_markets_last_hedge():
    def world(ago):
        return state(markets=(market(delta=-200.0),), venues=(venue(traded_at=NOW - ago), short_venue()))

    assert bought(world(3_600), schedule(3_600)) == pytest.approx(200.0)
    assert bought(world(3_599), schedule(3_600)) == 0.0


def test_whalley_wilmott_hedges_to_the_edge_of_the_best_band():
    flow = 1e14
    width = (1.5 * 5e-4 * flow / (8 / CAPITAL * 0.6**2)) ** (1 / 3)
    deep = (venue(routes=(route(depth=inf),)),)
    assert bought(state(venues=deep), whalley_wilmott(flow)) == pytest.approx(2_000.0 - width / PRICE)
    inside = state(markets=(market(delta=-0.99 * width / PRICE),))
    assert bought(inside, whalley_wilmott(flow)) == 0.0
    # that band costs less than one a little narrower or wider: fees at its edges and variance within it, a year
    cost = [5e-4 * flow / (2 * w) + 8 / CAPITAL * 0.36 * w**2 / 6 for w in (0.9 * width, width, 1.1 * width)]
    assert min(cost) == cost[1]
    bent = state(markets=(market(gamma=50.0),), venues=deep)
    assert bought(bent, whalley_wilmott(flow)) < 2_000.0 - width / PRICE


def test_strategies_keep_to_what_venues_allow_and_leave_the_rest_to_decide():
    small = state(venues=(venue(turnover_left=1e5), venue(id=1, routes=(route(fee=3e-3),), turnover_left=1e5)))
    actions = decide(small, POLICY, fixed_band(0.0))
    assert [action.venue for action in actions] == [0, 1]  # the cheaper one first
    assert all(0.9e5 < action.size_wad / 1e18 * PRICE <= 1e5 for action in actions)
    for changes in ({"paused": True}, {"ready_at": NOW + 1}, {"routes": ()}, {"retired": True}):
        assert decide(state(venues=(venue(**changes),)), POLICY, fixed_band(0.0)) == []
    idle = state(swept_at=NOW - 3_500)
    assert [type(action) for action in decide(idle, POLICY, no_hedge)] == [SyncAll]
