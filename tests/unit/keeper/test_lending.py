"""Hedges at a venue that borrows: what carry, collateral and health do to them. No chain."""

from dataclasses import replace

import pytest

from ballast.keeper.decide import decide
from ballast.keeper.hedging import best_hedge, no_trade_band
from ballast.keeper.policy import Policy
from ballast.keeper.state import MeasureCarry, Poke, Rebalance, Recall, Rule, Unwind
from ballast.keeper.swaps import measured_cost, swap

from .worlds import NOW, PRICE, holding, lender, market, route, short_venue, state, venue

POLICY = Policy()
LONG, SHORT = market(delta=2_000.0), market(delta=-2_000.0)
DAY = 1 / 365


def only(actions):
    (action,) = actions
    return action


def long_vault(at, **changes):
    return state(markets=(LONG,), venues=(at,), **changes)


def test_decide_long_vault_without_base_sells_borrowed():
    action = only(decide(long_vault(short_venue()), POLICY))
    assert (action.venue, action.size_wad < 0) == (1, True)
    assert decide(long_vault(venue()), POLICY) == []


def test_decide_long_vault_sells_what_it_holds_before_it_borrows():
    pool = (route(pool="0xpool"),)
    world = state(
        markets=(LONG,), venues=(short_venue(owes={"borrow_rate": 0.03}, routes=pool), holding(100.0, routes=pool))
    )
    first, second = decide(world, POLICY)
    assert (first.venue, first.size_wad) == (0, -100 * 10**18)
    assert (second.venue, second.size_wad < 0) == (1, True)


def test_decide_short_vault_repays_before_it_buys():
    pool = (route(pool="0xpool"),)
    world = state(
        markets=(SHORT,), venues=(venue(routes=pool), short_venue(100.0, owes={"borrow_rate": 0.03}, routes=pool))
    )
    first, second = (action for action in decide(world, POLICY) if isinstance(action, Rebalance))
    assert (first.venue, second.venue) == (1, 0)
    # all of it, and what it grows until then
    assert first.size_wad == pytest.approx(100 * 10**18, rel=2e-5)
    assert first.size_wad > 100 * 10**18


def test_decide_short_position_never_becomes_a_long_one():
    size = only(decide(state(markets=(SHORT,), venues=(short_venue(5.0),)), POLICY)).size_wad
    assert size / 1e18 == pytest.approx(5.0, rel=2e-5)


def test_decide_carry_is_a_cost_of_opening_and_a_gain_of_closing():
    dear = {"borrow_rate": 0.20, "supply_rate": 0.04}
    opened = [best_hedge(w, w.venues[0], POLICY) for w in map(long_vault, (short_venue(), short_venue(owes=dear)))]
    assert abs(opened[1].size) < abs(opened[0].size)
    # of what it opens: a day of interest less what collateral earns
    carry = (0.20 - 1.875 * 0.04) * DAY * PRICE * abs(opened[1].size)
    saved = 0.6 * opened[1].fall - opened[1].cost - opened[1].reward
    assert opened[1].worth == pytest.approx(saved - carry)
    shorts = (short_venue(900.0), short_venue(900.0, owes=dear))
    closed = [best_hedge(w, w.venues[0], POLICY) for w in (state(venues=(at,)) for at in shorts)]
    assert closed[1].size > closed[0].size


def test_decide_carry_that_is_saved_never_outweighs_the_rule():
    ruinous = {"borrow_rate": 0.5}
    world = state(venues=(short_venue(2_500.0, owes=ruinous),), rule=Rule(gas=5.0, lp_floor=10_000.0))
    plan = best_hedge(world, world.venues[0], POLICY)
    limit = 0.6 * plan.fall
    assert 0.98 * limit < plan.cost + plan.reward + 5.0 <= limit


@pytest.mark.parametrize(
    "changes",
    [
        {"owes": {"opens": False}},
        {"owes": {"lendable": 0.0}},
        {"owes": {"health": 1.26}, "short": 100.0},
        {"cap": 100.0, "short": 100.0},
    ],
)
def test_decide_opens_nothing_where_the_lender_or_the_cap_says_no(changes):
    assert decide(long_vault(short_venue(**changes)), POLICY) == []
    assert decide(state(venues=(short_venue(**({"short": 100.0} | changes)),)), POLICY) != []


def test_decide_closes_nothing_while_a_reserve_is_paused():
    assert decide(state(venues=(short_venue(100.0, owes={"closes": False, "opens": False}),)), POLICY) == []


@pytest.mark.parametrize(
    ("changes", "most"),
    [
        ({"venues": (short_venue(owes={"lendable": 30.0}),)}, 30.0),
        # 0.875 of what is sold is put in
        ({"lp_cash": 80_000.0, "venues": (short_venue(),)}, 40.0),
    ],
)
def test_decide_borrows_within_what_is_lent_and_what_lps_have(changes, most):
    action = only(decide(state(markets=(LONG,), **changes), POLICY))
    assert 0.9 * most < -action.size_wad / 1e18 <= most


def test_decide_closing_without_lendable_collateral_takes_lp_cash():
    dry = state(venues=(short_venue(500.0, owes={"payable": 0.0}),), lp_cash=30_000.0)
    assert only(decide(dry, POLICY)).size_wad / 1e18 <= 10.0
    assert decide(replace(dry, lp_cash=0.0), POLICY) == []


def test_funding_leaves_collateral_alone_until_health_is_halfway_to_the_floor():
    held = lender(100.0, collateral=1.9 * 100 * PRICE)
    assert held.funding(5.0, PRICE) == -5 * PRICE  # the proceeds come home
    assert held.funding(20.0, PRICE) == pytest.approx((1.875 * 120 - 190 - 20) * PRICE)
    assert lender(100.0, collateral=0.0).funding(1.0, PRICE) == 2 * PRICE
    for cash in (0.0, 1_000.0, 1e6):
        most = held.affordable(cash, PRICE)
        assert held.funding(most * (1 - 1e-9), PRICE) <= cash + 1e-3
        assert held.funding(most * 1.01 + 1e-3, PRICE) > cash


def test_freed_is_what_closing_leaves_beyond_the_target_once_that_is_worth_it():
    held = lender(100.0)
    # closing takes its own worth out: a little frees nothing yet
    assert held.freed(5.0, PRICE, PRICE) == 0.0
    assert held.freed(50.0, PRICE, PRICE) == pytest.approx(0.875 * 50 * PRICE)
    assert held.freed(100.0, 1.01 * PRICE, PRICE) == pytest.approx((187.5 - 101) * PRICE)


def test_measured_cost_of_a_short_counts_the_haircut_on_what_is_put_in():
    sold = swap(venue(), -10.0)
    loss = -10.0 * (sold.average - PRICE)
    put_in = 0.875 * 10 * PRICE
    assert measured_cost(sold, PRICE, 0.01, put_in) == pytest.approx(loss + 0.01 * (put_in - loss))
    assert measured_cost(sold, PRICE, 0.01, -put_in) == pytest.approx(loss)


def test_no_trade_band_of_a_lending_venue_is_that_of_its_pools():
    spot, short = state(), state(venues=(short_venue(),))
    assert no_trade_band(short, short.venues[0], POLICY) == no_trade_band(spot, spot.venues[0], POLICY)


# ---- health


def strained(short=1_000.0, strain=300.0, **owes):
    return short_venue(short, owes={"strain_wad": int(strain * 10**18), "health": 1.2} | owes)


def test_decide_unwinds_what_health_asks_for_and_hedges_the_market_next_time():
    world = state(markets=(LONG,), venues=(strained(), holding(100.0)))
    action = only(decide(world, POLICY))
    assert isinstance(action, Unwind)
    assert action.venue == 1
    assert action.most_wad > 300 * 10**18  # the venue cuts it
    assert action.key == f"unwind:1:0:{-1_000 * 10**18}"


def test_decide_unwinds_no_more_than_the_pool_and_the_reserve_can_bear():
    shallow = replace(strained(), routes=(route(depth=4e7),))
    action = only(decide(state(markets=(LONG,), venues=(shallow,)), POLICY))
    # the average paid may be a tenth of a percent beyond the fee
    assert 0.9 * 10.0 < action.most_wad / 1e18 <= 4e7 / PRICE * 1e-3
    dry = state(markets=(LONG,), venues=(strained(payable=20_000.0),), lp_cash=0.0)
    assert 9.0 < only(decide(dry, POLICY)).most_wad / 1e18 <= 10.0


@pytest.mark.parametrize(
    "changes",
    [
        {"venues": (replace(strained(), retired=True, reported_exposure_wad=0, reported_equity=0.0),)},
        {"venues": (strained(closes=False, opens=False),)},
        {"venues": (strained(strain=0.0),)},
        {"venues": (replace(strained(), routes=()),)},
        {"markets": (replace(LONG, fresh=False),)},
        {"gas_price": 300.0 * PRICE / 400_000},
    ],
)
def test_decide_unwinds_only_what_it_can_and_what_is_worth_its_gas(changes):
    given = {"markets": (LONG,), "venues": (strained(),)}
    assert decide(state(**(given | changes)), POLICY) == []


def test_decide_unwinds_a_paused_venue_that_cools_down():
    held = replace(strained(), paused=True, ready_at=NOW + 60, turnover_left=0.0)
    assert isinstance(only(decide(state(markets=(LONG,), venues=(held,)), POLICY)), Unwind)


# ---- cash


def test_decide_short_of_cash_recalls_what_closing_a_short_frees():
    rule = Rule(lp_floor=10_000.0, recall_floor=5_000.0)
    calm = market(delta=0.0)
    world = state(markets=(calm,), venues=(short_venue(10.0),), rule=rule, lp_cash=1_000.0)
    assert only(decide(world, POLICY)) == Recall(1, 4_000_000_001, f"recall:1:0:{-10 * 10**18}")
    paused = short_venue(10.0, owes={"closes": False})
    assert decide(replace(world, venues=(paused,)), POLICY) == []


def test_decide_brings_home_what_a_venue_has_left_without_exposure():
    left = short_venue(equity=5_000.0, reported_equity=5_000.0, owes={"collateral": 5_000.0})
    calm = market(delta=0.0)
    world = state(markets=(calm,), venues=(left,))
    assert only(decide(world, POLICY)) == Recall(1, 5_000_000_001, "home:1:100")
    assert decide(replace(world, gas_price=5_001 / POLICY.lending_gas), POLICY) == []
    retired = replace(left, retired=True, reported_equity=0.0)
    assert decide(state(markets=(calm,), venues=(retired,)), POLICY) == []


def test_decide_interest_is_not_worth_a_poke_until_it_adds_up():
    calm = market(delta=0.0)

    def pokes(grown):
        held = short_venue(100.0, exposure_wad=-int((100 + grown) * 10**18))
        return [a for a in decide(state(markets=(calm,), venues=(held,)), POLICY) if isinstance(a, Poke)]

    assert pokes(0.001) == []  # two quote of 175,000
    assert len(pokes(0.01)) == 1


def test_decide_hedges_together_through_one_pool_no_more_than_it_bears():
    """Spot sold first moves the pool that the short sells in, too."""
    pool = route(pool="0xpool", depth=4e8)
    both = state(markets=(LONG,), venues=(holding(30.0, routes=(pool,)), short_venue(routes=(pool,))))
    apart = replace(both, venues=(holding(30.0, routes=(pool,)), short_venue(routes=(replace(pool, pool="0xother"),))))
    sold = [sum(a.size_wad for a in decide(w, POLICY) if isinstance(a, Rebalance)) for w in (both, apart)]
    alone = best_hedge(long_vault(short_venue(routes=(pool,))), short_venue(routes=(pool,)), POLICY).size
    assert sold[0] / 1e18 == pytest.approx(alone, rel=0.02)
    assert sold[1] < sold[0] < 0


# ---- carry that is passed on

DAY_AGO = NOW - 86_400


def measured(changes=None, **owes):
    """Whether the carry of a short of 100 base at 20 % is measured."""
    calm = market(delta=0.0, **({"measured_at": DAY_AGO} | (changes or {})))
    held = short_venue(100.0, owes={"borrow_rate": 0.20} | owes)
    return state(markets=(calm,), venues=(held,))


def test_decide_measures_carry_when_the_last_time_is_long_ago():
    assert only(decide(measured(), POLICY)) == MeasureCarry(0, f"measure:0:{DAY_AGO}")
    assert only(decide(measured({"measured_at": 0}), POLICY)) == MeasureCarry(0, "measure:0:0")
    assert decide(measured({"measured_at": NOW - POLICY.measure_every + 1}), POLICY) == []
    assert decide(measured(borrow_rate=0.0), POLICY) == []
    assert decide(measured(supply_rate=0.20), POLICY) == []  # it earns: nobody is charged


def test_decide_measures_carry_only_for_what_is_worth_its_gas():
    stake = 200_000.0 * 0.20 * 6 / 24 / 365
    gas_price = stake / POLICY.measure_gas
    assert decide(replace(measured(), gas_price=1.01 * gas_price), POLICY) == []
    assert decide(replace(measured(), gas_price=0.99 * gas_price), POLICY) != []


def test_decide_measures_carry_that_traders_still_pay_once_there_is_no_hedge():
    paying = market(delta=50.0, carry=0.02, measured_at=DAY_AGO)
    assert only(decide(state(markets=(paying,), venues=()), POLICY)).kind == "measure"
    assert decide(state(markets=(replace(paying, carry=0.0),), venues=()), POLICY) == []
