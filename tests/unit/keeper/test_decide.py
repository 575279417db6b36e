"""Decisions on hand-made states: every rule of `ballast.keeper.decide`, without a chain."""

from dataclasses import replace
from math import inf, sqrt

import numpy as np
import pytest

from ballast.keeper import hedging
from ballast.keeper.decide import cushion, decide, score
from ballast.keeper.hedging import best_hedge, no_trade_band
from ballast.keeper.policy import Policy
from ballast.keeper.risk import potential_of
from ballast.keeper.state import (
    Auction,
    ClaimProfits,
    Clear,
    Crystallise,
    Deleverage,
    Deleveraging,
    Ending,
    Epoch,
    ExecuteClose,
    Finalise,
    Liquidate,
    Mandate,
    Nominate,
    Nomination,
    OptionRule,
    Poke,
    ProcessEpoch,
    QueuedClose,
    Rebalance,
    Recall,
    Refresh,
    Rule,
    Settle,
    SettleAccounts,
    SyncAll,
    Trigger,
)
from ballast.keeper.swaps import measured_cost, swap
from ballast.model.analytic.potential import Weights

from .worlds import CAPITAL, NOW, PRICE, account, board, closing, holding, leg, market, route, state, venue, writer

POLICY = Policy()
FREE = Rule(lp_floor=10_000.0, size_reward=0.0, eta=0.0)


def through(tier, size):
    """What a venue with one fee tier makes of a size."""
    return swap(venue(routes=(tier,)), size)


def cost_of(tier, size):
    return measured_cost(through(tier, size), PRICE)


def only(actions):
    (action,) = actions
    return action


# ---- hedging


def test_decide_short_vault_buys_and_leaves_the_inner_edge():
    deep = venue(routes=(route(depth=inf),))
    action = only(decide(state(venues=(deep,), rule=FREE), POLICY))
    assert isinstance(action, Rebalance)
    k = 8 * 0.6**2 / 365 / CAPITAL
    inner = 5e-4 / (0.6 * k)
    assert action.size_wad / 1e18 * PRICE == pytest.approx(2_000 * PRICE - inner, rel=1e-3)


def test_decide_size_maximises_the_vaults_saving():
    world = state(reserve=50_000.0)
    plan = best_hedge(world, world.venues[0], POLICY)
    potential = potential_of(world, 0)
    base = potential(0.0)

    def worth(n):
        cost = cost_of(route(), n)
        freed = max(0.0, world.reserve - potential(n)) - max(0.0, world.reserve - base)
        reward = max(0.15 * max(0.0, freed - cost), 5e-5 * n * PRICE)
        return 0.6 * (base - potential(n)) - cost - reward

    best = max(worth(float(n)) for n in np.linspace(0.1, 2_000, 20_001))
    assert plan.worth == pytest.approx(best, rel=1e-6)


def test_decide_plan_satisfies_the_on_chain_rule():
    world = state(reserve=20_000.0, rule=Rule(gas=25.0, lp_floor=10_000.0))
    plan = best_hedge(world, world.venues[0], POLICY)
    assert plan.cost + plan.reward + 25.0 <= 0.6 * plan.fall
    cheap = replace(POLICY, price_of_risk=0.5)
    assert best_hedge(world, world.venues[0], cheap).size < plan.size


def test_decide_dearer_risk_is_hedged_further_within_the_rule_and_no_sooner():
    deep = state(venues=(venue(routes=(route(depth=inf),)),), rule=FREE)
    dear = replace(POLICY, price_of_risk=1.0)
    k = 8 * 0.6**2 / 365 / CAPITAL
    size = best_hedge(deep, deep.venues[0], dear).size
    assert size * PRICE == pytest.approx(2_000 * PRICE - 5e-4 / k, rel=1e-3)
    at_rule = best_hedge(deep, deep.venues[0], replace(POLICY, price_of_risk=5.0))
    assert at_rule.size > size
    assert at_rule.cost <= 0.6 * at_rule.fall
    begins = [no_trade_band(deep, deep.venues[0], policy)[1] * PRICE for policy in (dear, POLICY)]
    assert 5e-4 / (0.6 * k) < begins[0] < begins[1]


@pytest.mark.parametrize("delta", [-200.0, 0.0, 200.0])
def test_decide_inside_the_band_does_nothing(delta):
    assert decide(state(markets=(market(delta=delta),), venues=(holding(500.0),)), POLICY) == []


def test_no_trade_band_widens_with_gas_and_narrows_with_volatility():
    calm, shaken = state(), state(markets=(market(sigma=1.2),))
    dear = state(rule=Rule(gas=100.0, lp_floor=10_000.0))
    low, high = no_trade_band(calm, calm.venues[0], POLICY)
    assert low == pytest.approx(-high, rel=0.02)
    assert no_trade_band(dear, dear.venues[0], POLICY)[1] > 1.05 * high
    assert no_trade_band(shaken, shaken.venues[0], POLICY)[1] < 0.5 * high


def test_no_trade_band_of_a_vault_with_vega_lies_around_the_delta_of_least_risk():
    """A vault short of vega: spot down and volatility up come together, so being short is the safer side."""
    world = state(markets=(replace(market(delta=0.0), vega=-4_000_000.0, vol_of_vol=0.7, stress=(0.0,) * 8),))
    low, high = no_trade_band(world, world.venues[0], POLICY)
    potential = potential_of(world, 0)
    centre = float(min(np.linspace(-4_000, 4_000, 80_001), key=potential))
    assert centre < -500.0
    assert low < centre < high
    assert centre - low == pytest.approx(high - centre, rel=0.05)
    assert best_hedge(world.moved(0, centre), world.venues[0], POLICY) is None


def test_no_trade_band_matches_its_closed_form():
    world = state(venues=(venue(routes=(route(depth=inf),)),), rule=replace(FREE, gas=50.0))
    k = 8 * 0.6**2 / 365 / CAPITAL
    outer = 5e-4 / (0.6 * k) + sqrt(2 * (50.0 + POLICY.min_saving) / (0.6 * k))
    assert no_trade_band(world, world.venues[0], POLICY)[1] * PRICE == pytest.approx(outer, rel=0.02)


def test_no_trade_band_is_where_decide_starts():
    world = state()
    low, _ = no_trade_band(world, world.venues[0], POLICY)
    for factor, expected in ((0.98, 0), (1.03, 1)):
        assert len(decide(state(markets=(market(delta=factor * low),)), POLICY)) == expected


def test_no_trade_band_without_any_way_to_trade_is_infinite():
    world = state(venues=(venue(routes=()),))
    assert no_trade_band(world, world.venues[0], POLICY) == (-inf, inf)


def test_decide_long_vault_sells_what_the_venue_holds_and_no_more():
    world = state(markets=(market(delta=3_000.0, sigma=2.0),), venues=(holding(400.0),))
    action = only(decide(world, POLICY))
    assert action.size_wad == -400 * 10**18
    assert action.limit_wad < 2_000 * 10**18


def test_decide_hedges_correlated_markets_by_their_joint_risk():
    # flat in BTC, but the ETH short is worse with correlation: buying ETH pays; a BTC long offsets it at c = 1, not
    # at c = 0
    btc = market(id=1, price=40_000.0, delta=0.0)
    world = state(markets=(market(), btc), venues=(venue(),))
    alone = best_hedge(world, world.venues[0], POLICY)
    offset = best_hedge(state(markets=(market(), replace(btc, delta=75.0)), venues=(venue(),)), venue(), POLICY)
    assert alone.size == pytest.approx(offset.size, rel=0.2)


@pytest.mark.parametrize(
    "changes",
    [
        {"ready_at": NOW + 1},
        {"paused": True},
        {"retired": True},
        {"cap": 0.0},
        {"turnover_left": 0.0},
        {"fee_cap": 1e-4},
        {"max_age": 5},
        {"routes": ()},
        {"routes": (route(spot=PRICE * 1.002),)},
        {"routes": (route(spot=PRICE * 0.998),)},
        {"routes": (route(twap=PRICE * 1.002),)},
        {"routes": (route(depth=0.0),)},
    ],
)
def test_decide_venue_that_may_not_trade_is_left_alone(changes):
    assert not [a for a in decide(state(venues=(venue(**changes),)), POLICY) if isinstance(a, Rebalance)]


def test_decide_stale_mark_is_not_traded_on():
    assert decide(state(markets=(market(fresh=False),)), POLICY) == []


def test_decide_policy_without_hedging_does_not_hedge():
    assert decide(state(), replace(POLICY, hedge=False)) == []


@pytest.mark.parametrize(
    ("changes", "most"),
    [
        ({"venues": (venue(cap=100.0),)}, 100.0),
        ({"venues": (venue(turnover_left=300_000.0),)}, 150.0),
        ({"lp_cash": 210_000.0}, 100.0),
        ({"venues": (venue(routes=(route(depth=1e8, spot=PRICE * 1.0008),)),)}, 15.0),
    ],
)
def test_decide_size_stays_within_every_bound(changes, most):
    action = only(decide(state(**changes), replace(POLICY, min_saving=0.0)))
    assert 0 < action.size_wad / 1e18 <= most


def test_decide_in_steps_hedges_no_more_than_a_step_at_a_time():
    vault = state()
    whole, part = only(decide(vault, POLICY)), only(decide(vault, replace(POLICY, step=20_000.0)))
    assert part.size_wad / 1e18 * PRICE == pytest.approx(20_000.0)
    assert part.size_wad < whole.size_wad / 2


def test_decide_paused_venue_may_shrink():
    world = state(markets=(market(delta=3_000.0),), venues=(holding(400.0, paused=True),))
    assert only(decide(world, POLICY)).size_wad == -400 * 10**18


def test_decide_uses_the_route_the_venue_will_choose():
    # the dear tier alone would pay, but the venue picks by price: only its choice counts
    cheap, dear = route(), route(index=1, fee=3e-3)
    plan = best_hedge(state(venues=(venue(routes=(cheap, dear)),)), venue(routes=(cheap, dear)), POLICY)
    assert plan.swap.parts == ((cheap, plan.size),)
    broken = replace(cheap, twap=PRICE * 1.01)
    shaken = venue(routes=(broken, dear))
    assert best_hedge(state(venues=(shaken,)), shaken, POLICY) is None


def test_decide_two_venues_share_a_hedge_so_that_both_together_are_worth_most():
    deep, shallow = route(), route(depth=4e8)
    world = state(venues=(venue(id=1, routes=(shallow,)), venue(routes=(deep,))), rule=FREE)
    actions = decide(world, POLICY)
    assert [action.venue for action in actions] == [0, 1]
    potential = potential_of(world, 0)

    def worth(first, second):
        cost = cost_of(deep, first) + cost_of(shallow, second)
        return 0.6 * (potential(0.0) - potential(first + second)) - cost

    sizes = [action.size_wad / 1e18 for action in actions]
    best = max(worth(sizes[0] + a, sizes[1] + b) for a in (-9.0, -3.0, 0.0, 3.0, 9.0) for b in (-3.0, -1.0, 0.0, 1.0))
    assert worth(*sizes) == pytest.approx(best, rel=1e-6)
    alone = only(decide(state(rule=FREE), POLICY)).size_wad / 1e18
    assert sizes[0] < alone < sum(sizes)


def test_decide_venue_that_does_not_earn_its_own_gas_is_left_out():
    small = venue(id=1, turnover_left=20_000.0)
    worlds = [state(venues=(small, venue()), rule=replace(FREE, gas=gas)) for gas in (0.0, 30.0)]
    assert [[action.venue for action in decide(world, POLICY)] for world in worlds] == [[1, 0], [0]]


def test_route_after_a_trade_is_a_constant_product_less_the_fee():
    before = route(fee=0.003)
    base, quote = before.depth / PRICE, before.depth
    bought, sold = before.after(1_000.0), before.after(-1_000.0)
    assert bought.depth == pytest.approx(quote * base / (base - 1_000))
    assert bought.spot == pytest.approx(bought.depth / (base - 1_000))
    assert sold.depth == pytest.approx(quote * base / (base + 997))
    assert sold.spot == pytest.approx(sold.depth / (base + 997))
    # a second trade costs what the two cost together, less the first
    together = 2_000 * through(before, 2_000.0).average
    assert 1_000 * (through(before, 1_000.0).average + through(bought, 1_000.0).average) == pytest.approx(together)


def test_decide_venues_that_trade_in_one_pool_share_its_depth():
    pool = route(pool="0xpool")
    two = state(venues=(venue(routes=(pool,)), venue(id=1, routes=(pool,))), rule=FREE)
    alone = only(decide(state(rule=FREE), POLICY)).size_wad
    assert sum(action.size_wad for action in decide(two, POLICY)) == pytest.approx(alone, rel=1e-2)
    apart = replace(two, venues=(venue(), venue(id=1)))
    assert sum(action.size_wad for action in decide(apart, POLICY)) > 1.3 * alone


def test_decide_own_trades_of_the_block_count_for_nothing():
    # U at the start of the open block was small: the fall is measured from there
    world = state(opening=1.0, opened_at=NOW)
    assert decide(world, POLICY) == []


def test_decide_unpaid_keeper_stays_home():
    world = state(gas_price=5e-4)
    assert decide(world, POLICY) == []
    assert decide(state(gas_price=5e-4, rule=Rule(gas=330.0, lp_floor=10_000.0)), POLICY) != []


def test_decide_limit_price_is_the_expected_one_with_slack():
    action = only(decide(state(), POLICY))
    expected = through(route(), action.size_wad / 1e18).average * 1.001
    assert action.limit_wad == pytest.approx(expected * 1e18, rel=1e-9)


def test_measured_cost_is_the_dearest_of_four_views():
    deep = route(depth=inf)
    fee = 5e-4 * 10 * PRICE
    assert cost_of(deep, -10.0) == pytest.approx(fee)
    assert cost_of(replace(deep, twap=PRICE * 0.999), 10.0) > fee + 9.9
    assert measured_cost(through(deep, 10.0), PRICE * 1.01) == pytest.approx(fee * 1.01)
    assert measured_cost(through(deep, 10.0), PRICE, haircut=0.1) > 0.1 * 10 * PRICE


def test_decide_is_a_function_of_its_arguments():
    world = state(accounts=(account(1.0, leg(0), closings=(closing(),)),))
    assert decide(world, POLICY) == decide(world, POLICY)


def test_decide_any_plan_keeps_the_rule_and_the_bounds():
    rng = np.random.default_rng(11)
    planned = 0
    for _ in range(400):
        held = float(rng.uniform(0, 2_000))
        tiers = tuple(
            route(
                index=i,
                spot=PRICE * float(1 + rng.normal(0, 3e-4)),
                twap=PRICE * float(1 + rng.normal(0, 3e-4)),
                fee=fee,
                depth=float(10 ** rng.uniform(7, 10)),
            )
            for i, fee in enumerate((5e-4, 3e-3))
        )
        at = holding(
            held,
            routes=tiers,
            turnover_left=float(rng.uniform(0, 1e7)),
            cap=2_500.0,
            haircut=float(rng.choice([0, 1e-4])),
        )
        world = state(
            markets=(
                market(delta=float(rng.normal(0, 3_000)), sigma=float(rng.uniform(0.2, 4))),
                market(id=1, price=40_000.0, delta=float(rng.normal(0, 100))),
            ),
            venues=(at,),
            rule=Rule(gas=float(rng.uniform(0, 50)), lp_floor=1e6),
            lp_cash=float(rng.uniform(0, 1e7)),
            reserve=float(rng.uniform(0, 1e5)),
        )
        plan = best_hedge(world, at, POLICY)
        if plan is None:
            continue
        planned += 1
        potential = potential_of(world, 0)
        fall = potential(0.0) - potential(plan.size)
        assert plan.fall == pytest.approx(fall)
        assert plan.cost + plan.reward + world.rule.gas <= world.rule.phi * fall
        assert -held * (1 + 1e-9) <= plan.size <= 2_500.0 - held
        assert abs(plan.size) * PRICE <= at.turnover_left
        assert plan.size <= 0 or world.lp_cash - plan.size * PRICE * 1.001 >= world.rule.lp_floor
        tolerance = plan.swap.fee + at.band
        for tier, part in plan.swap.parts:
            assert abs(tier.after(part).spot / PRICE - 1) <= tolerance
    assert planned > 100


# ---- mandates

MINE = Mandate(4, venues=0b1, share=0.30, left=1e7, expiry=NOW + 86_400)


def test_decide_hedges_by_its_mandate_at_its_share():
    rich = state(reserve=50_000.0)
    by_rule, by_mandate = only(decide(rich, POLICY)), only(decide(replace(rich, mandates=(MINE,)), POLICY))
    assert (by_rule.mandate, by_mandate.mandate) == (None, 4)
    freed = by_mandate.expected_fall - by_mandate.expected_cost
    assert by_mandate.expected_reward == pytest.approx(0.30 * freed)
    assert by_mandate.expected_cost + by_mandate.expected_reward <= 0.6 * by_mandate.expected_fall
    assert 0.15 * freed < by_mandate.expected_reward


@pytest.mark.parametrize("changes", [{"venues": 0b10}, {"share": 0.15}, {"left": 1e4}, {"expiry": NOW + 60}], ids=str)
def test_decide_mandate_that_is_of_no_use_is_left_alone(changes):
    world = state(reserve=50_000.0, mandates=(replace(MINE, **changes),))
    assert only(decide(world, POLICY)).mandate is None


def test_decide_two_hedges_use_a_mandate_no_further_than_it_goes():
    alone = only(decide(state(reserve=50_000.0), POLICY)).size_wad / 1e18 * PRICE
    small = replace(MINE, venues=0b11, left=0.7 * alone)
    world = state(reserve=50_000.0, mandates=(small,), venues=(venue(), venue(id=1)))
    actions = decide(world, POLICY)
    assert [action.venue for action in actions] == [0, 1]
    by_mandate = [action.size_wad / 1e18 * PRICE for action in actions if action.mandate == 4]
    assert 0.0 < sum(by_mandate) <= small.left


# ---- the rebate auction


def auctioned(u, **changes):
    """A vault with nowhere to hedge, whose U is a multiple of the line of an auction that pays half."""
    line = potential_of(state(), 0)(0.0) / u
    auction = Auction(band=line / CAPITAL, max_rate=0.5, low=u * line)
    return state(venues=(), auction=replace(auction, **changes))


@pytest.mark.parametrize(
    ("u", "changes", "kinds"),
    [
        (1.2, {}, ["open_auction"]),
        (1.05, {}, []),
        (1.2, {"max_rate": 0.0}, []),
        (1.2, {"is_open": True}, []),
        (3.0, {"is_open": True, "low": 0.0}, ["open_auction"]),  # it pays nothing for a fall from here
        (0.8, {"is_open": True}, ["close_auction"]),
        (0.95, {"is_open": True}, []),
        (0.8, {}, []),
        (3.0, {"is_open": True, "max_rate": 0.0}, ["close_auction"]),  # nothing to pay with
    ],
)
def test_decide_opens_an_auction_outside_the_band_and_closes_it_within(u, changes, kinds):
    assert [action.kind for action in decide(auctioned(u, **changes), POLICY)] == kinds


def test_decide_opens_no_auction_for_what_it_hedges_or_cannot_price_or_is_not_worth_the_gas():
    world = auctioned(3.0)
    hedged = decide(replace(world, venues=(venue(),)), POLICY)
    assert [action.kind for action in hedged] == ["rebalance"]
    assert decide(replace(world, venues=(venue(ready_at=NOW + 1),)), POLICY) == []
    assert decide(world, replace(POLICY, hedge=False)) == []
    assert decide(replace(world, markets=(market(fresh=False),)), POLICY) == []
    excess = 0.5 * potential_of(world, 0)(0.0) * 2 / 3
    assert decide(replace(world, gas_price=1.01 * excess / POLICY.auction_gas), POLICY) == []
    assert decide(replace(world, gas_price=0.99 * excess / POLICY.auction_gas), POLICY) != []


# ---- liquidation

FLAT = {"markets": (market(delta=0.0),)}


def weak(equity, name, *closings, size=1.0, **changes):
    """An account with one perpetual that can be liquidated."""
    return account(equity, leg(0, size), address=f"0x{name:040x}", closings=closings or (closing(),), **changes)


def test_decide_liquidates_whom_the_liquidator_would_and_nobody_else():
    poor, rich = weak(49.9, 1), account(49.9, leg(0))
    action = only(decide(state(accounts=(rich, poor), **FLAT), POLICY))
    assert action == Liquidate(poor.address, closing(), f"liquidate:{poor.address}:0:{10**18}:{2_000 * 10**18}")


def test_decide_liquidates_nearest_to_bad_debt_first():
    # 30 left of 1 ETH is nearer to nothing than 40 of half of it; what leaving costs counts
    cases = [weak(40.0, 1, size=0.5), weak(30.0, 2), weak(-1.0, 3), weak(45.0, 4)]
    dear = replace(weak(45.0, 5), legs=(leg(0, exit_cost=20.0),))
    actions = decide(state(accounts=(*cases, dear), **FLAT), POLICY)
    assert [int(action.account, 16) for action in actions] == [3, 5, 2, 4, 1]


def test_cushion_is_equity_after_the_cost_of_leaving_in_deviations_of_what_is_at_risk():
    held = account(500.0, leg(0, 1.0, exit_cost=20.0), leg(1, -0.5, exit_cost=30.0))
    world = state(markets=(market(), market(id=1, price=40_000.0, sigma=0.5)))
    assert cushion(world, held) == pytest.approx(450.0 / (2_000 * 0.6 + 20_000 * 0.5))
    assert cushion(world, writer(240.0, NOW + 60)) == pytest.approx(240.0 / (2_000 * 0.6))
    assert cushion(world, replace(held, legs=())) == inf


def test_decide_liquidates_the_least_that_is_enough_else_the_most():
    dear, cheap = closing(enough=True, notional=5_000.0), closing(1, enough=True, notional=4_000.0)
    short = closing(notional=9_000.0)  # is not enough
    both = (market(delta=0.0), market(id=1, delta=0.0))

    def chosen(*closings):
        case = account(0.0, leg(0), leg(1), closings=closings)
        return only(decide(state(accounts=(case,), markets=both), POLICY)).closing

    assert chosen(short, dear, cheap) == cheap
    assert chosen(replace(short, notional=8_000.0), short) == short


def test_decide_liquidates_in_every_market_where_nothing_is_enough():
    both = (market(delta=0.0), market(id=1, delta=0.0))
    case = account(0.0, leg(0), leg(1), closings=(closing(), closing(1, notional=2.0), closing(1, notional=1.0)))
    actions = decide(state(accounts=(case,), markets=both), POLICY)
    assert [action.closing for action in actions] == [closing(), closing(1, notional=2.0)]
    assert len({action.key for action in actions}) == 2


def test_decide_liquidates_at_a_loss_but_nothing_smaller_than_its_gas():
    dear = 1_999.0 / POLICY.liquidate_gas
    assert len(decide(state(accounts=(weak(0.0, 1),), gas_price=dear, **FLAT), POLICY)) == 1
    assert decide(state(accounts=(weak(0.0, 1),), gas_price=1.001 * dear, **FLAT), POLICY) == []


def test_decide_liquidation_is_of_everything_held_in_the_market():
    case = replace(writer(0.0, NOW + 60, closings=(closing(),)), legs=(leg(0), leg(1, cost_wad=1)))
    key = f"liquidate:{case.address}:0:{10**18}:{2_000 * 10**18},7:{-(10**18)}"
    both = (market(delta=0.0), market(id=1, delta=0.0))
    assert only(decide(state(accounts=(case,), markets=both), POLICY)).key == key


@pytest.mark.parametrize(
    ("reward", "notional", "own", "takes"),
    [
        # 4 for getting rid of it, 5 the vault's way, and 1.66 for a minute's risk
        (10.7, 2_000.0, 0.0, True),
        (10.6, 2_000.0, 0.0, False),
        (5.4, 1_000.0, 0.0, True),  # half of it
        (10.7, 2_000.0, 8_000.0, True),
        (10.7, 2_000.0, 8_000.1, False),  # more than it wants to hold
    ],
)
def test_decide_takes_over_what_pays_more_and_fits(reward, notional, own, takes):
    taken = closing(taken=True, reward=reward, notional=notional)
    world = state(accounts=(weak(1.0, 1, closing(), taken),), own=own, **FLAT)
    action = only(decide(world, replace(POLICY, take=10_000.0, take_cost=0.002)))
    assert action.closing == (taken if takes else closing())
    assert only(decide(world, POLICY)).closing == closing()


def test_decide_takes_over_no_more_in_one_turn_than_fits():
    taken = closing(taken=True, reward=100.0, notional=6_000.0)
    world = state(accounts=tuple(weak(1.0, name, closing(), taken) for name in (1, 2)), **FLAT)
    first, second = decide(world, replace(POLICY, take=10_000.0))
    assert (first.closing.taken, second.closing.taken) == (True, False)


def test_decide_leaves_what_nobody_can_close_but_at_a_loss_of_its_own():
    world = state(accounts=(weak(1.0, 1, closing(taken=True, reward=3.6)),), **FLAT)
    assert decide(world, replace(POLICY, take=10_000.0)) == []


def test_decide_does_not_hedge_a_market_that_a_liquidation_moves():
    actions = decide(state(accounts=(weak(0.0, 1),)), POLICY)
    assert [type(action) for action in actions] == [Liquidate]
    moved = weak(0.0, 1, closing(taken=True, reward=50.0))  # to another account: the vault keeps its position
    actions = decide(state(accounts=(moved,)), replace(POLICY, take=10_000.0))
    assert [type(action) for action in actions] == [Liquidate, Rebalance]


# ---- deleveraging


def winner(profit, equity, name, size=10.0):
    """Long, in profit."""
    held = leg(0, size, profit=profit, cost_wad=int((size * PRICE - profit) * 10**18))
    return account(equity, held, address=f"0x{name:040x}")


def armed(*nominations, excess=1_000.0):
    return Deleveraging(profit=6_000.0, excess=excess, nominations=nominations)


def test_score_is_gain_times_leverage_times_what_closing_helps():
    world = state(deleveraging=armed(), **FLAT)
    assert score(world, winner(1_000.0, 4_000.0, 1), 0) == pytest.approx(1_000 / 19_000 * 20_000 / 4_000)
    assert score(world, winner(500.0, 4_000.0, 1), 0) == pytest.approx(500 / 19_500 * 20_000 / 4_000 * 0.5)
    # maintenance in the place of less equity; and who loses, or owes more than it has, is not named
    assert score(world, winner(1_000.0, 1.0, 1), 0) == pytest.approx(1_000 / 19_000 * 20_000 / 50)
    for case in (winner(-1.0, 4_000.0, 1), winner(1_000.0, 0.0, 1), account(1e6, leg(1, profit=5.0))):
        assert score(world, case, 0) == 0.0
    # nor a long that offsets what the vault is long of
    for delta, named in ((-50.0, True), (50.0, False)):
        held = state(deleveraging=armed(), markets=(market(delta=delta),))
        assert (score(held, winner(1_000.0, 4_000.0, 1), 0) > 0.0) == named


def test_decide_names_the_highest_score_only_while_profit_is_above_the_trigger():
    accounts = (winner(1_000.0, 4_000.0, 1), winner(1_000.0, 3_000.0, 2), winner(-500.0, 9_000.0, 3))
    assert decide(state(accounts=accounts, **FLAT), POLICY) == []
    action = only(decide(state(accounts=accounts, deleveraging=armed(), **FLAT), POLICY))
    assert action == Nominate(accounts[1].address, 0, f"nominate:0:{accounts[1].address}:100")
    assert decide(state(accounts=accounts[2:], deleveraging=armed(), **FLAT), POLICY) == []


@pytest.mark.parametrize(
    ("age", "factor", "expected"),
    [
        (59, 0.99, Nominate),  # outbid
        (59, 1.0, None),
        (60, 0.99, Deleverage),
        (660, 1.0, Deleverage),
        (661, 1.0, Nominate),  # nobody acted on it
    ],
)
def test_decide_outbids_then_deleverages_then_names_again(age, factor, expected):
    best = winner(1_000.0, 4_000.0, 1)
    to_beat = score(state(deleveraging=armed(), **FLAT), best, 0) * factor
    named = armed(Nomination(0, to_beat, NOW - age))
    actions = decide(state(accounts=(best,), deleveraging=named, **FLAT), POLICY)
    assert [type(action) for action in actions] == ([expected] if expected else [])


def test_decide_does_not_hedge_a_market_that_deleveraging_moves():
    named = armed(Nomination(0, 1.0, NOW - 60))
    assert [a.kind for a in decide(state(deleveraging=named), POLICY)] == ["deleverage"]
    named = armed(Nomination(0, 0.0, NOW - 1))
    both = decide(state(accounts=(winner(1_000.0, 4_000.0, 1),), deleveraging=named), POLICY)
    assert [a.kind for a in both] == ["nominate", "rebalance"]


# ---- closes that wait

WAITING = QueuedClose("0x" + "33" * 20, 0, False, NOW - 9_000, reward=1.0)


def test_decide_executes_closes_that_can_be_and_pay_for_their_gas():
    action = only(decide(state(closes=(WAITING,)), POLICY))
    key = f"close:{WAITING.account}:0:perp:{NOW - 9_000}"
    assert (action, action.expected_reward) == (ExecuteClose(WAITING.account, 0, False, key), 1.0)
    options = replace(WAITING, options=True)
    assert len(decide(state(closes=(WAITING, options), **FLAT), POLICY)) == 2
    assert decide(state(closes=(replace(WAITING, reward=None),), **FLAT), POLICY) == []
    assert decide(state(closes=(WAITING,), gas_price=1.01 / POLICY.close_gas, **FLAT), POLICY) == []


# ---- global settlement

ENDED = {"markets": (market(),), "accounts": (weak(0.0, 1),), "closes": (WAITING,), "boards": (board(),)}


def test_decide_triggers_global_settlement_only_when_told_to():
    able = state(can_end=True, **FLAT)
    assert decide(able, POLICY) == []
    assert decide(able, replace(POLICY, wind_down=True)) == [Trigger("trigger:100")]
    assert decide(state(**FLAT), replace(POLICY, wind_down=True)) == []


def test_decide_after_the_trigger_values_accounts_and_does_nothing_else():
    names = tuple(f"0x{i:040x}" for i in range(40))
    world = state(ending=Ending(left=names), **ENDED)
    assert decide(world, POLICY) == [
        Crystallise(names[:32], f"crystallise:{names[0]}"),
        Crystallise(names[32:], f"crystallise:{names[32]}"),
    ]
    assert decide(state(ending=Ending(ready=True), **ENDED), POLICY) == [Finalise("finalise")]
    assert decide(state(ending=Ending(final=True), **ENDED), POLICY) == []


def test_decide_pays_profits_again_when_the_pot_has_grown():
    owed = ("0x" + "11" * 20,)
    first, second = (
        only(decide(state(ending=Ending(final=True, owed=owed, paid_out=pot), **ENDED), POLICY)) for pot in (1.5, 2.5)
    )
    assert isinstance(first, ClaimProfits)
    assert (first.accounts, first.key == second.key) == (owed, False)


def test_decide_after_the_trigger_sells_hedges_back_whatever_cash_there_is():
    ended = state(venues=(holding(10.0),), ending=Ending(final=True), **ENDED)
    assert only(decide(ended, POLICY)) == Recall(0, 20_000 * 10**6 + 1, f"recall:0:0:{10 * 10**18}")
    assert decide(replace(ended, markets=(market(fresh=False),)), POLICY) == []


# ---- redemptions and housekeeping

QUIET = {"markets": (market(delta=0.0),)}


@pytest.mark.parametrize(
    ("epoch", "processed"),
    [
        (Epoch(7, NOW - 20, pending=5.0), True),
        (Epoch(7, NOW - 20, incoming=5.0), True),
        (Epoch(7, NOW - 20), False),
        (Epoch(7, NOW + 1, pending=5.0), False),
        (Epoch(7, NOW - 5, pending=5.0), False),  # the price is ten seconds old
        (Epoch(7, NOW - 5, incoming=5.0), True),  # nothing to price yet
    ],
)
def test_decide_processes_an_epoch_that_is_over_and_priced(epoch, processed):
    assert decide(state(epoch=epoch, **QUIET), POLICY) == ([ProcessEpoch("epoch:7")] if processed else [])


def test_decide_short_of_cash_recalls():
    rule = Rule(lp_floor=10_000.0, recall_floor=5_000.0)
    world = state(markets=(market(delta=0.0),), venues=(holding(10.0),), rule=rule, lp_cash=1_000.0)
    assert only(decide(world, POLICY)) == Recall(0, 4_000_000_001, f"recall:0:0:{10 * 10**18}")


@pytest.mark.parametrize(
    "changes",
    [
        {"lp_cash": 5_000.0},
        {"venues": (venue(),)},
        {"venues": (holding(10.0, retired=True, reported_exposure_wad=0, reported_equity=0.0),)},
        {"venues": (holding(10.0, routes=(route(spot=PRICE * 0.99),)),)},
        {"venues": (holding(10.0, routes=(route(spot=PRICE * 0.9987),)),)},  # in the band, but the fee breaks the limit
    ],
)
def test_decide_recalls_only_when_short_and_able(changes):
    rule = Rule(lp_floor=10_000.0, recall_floor=5_000.0)
    given = {"markets": (market(delta=0.0),), "venues": (holding(10.0),), "rule": rule, "lp_cash": 1_000.0}
    assert decide(state(**(given | changes)), POLICY) == []


def test_decide_pokes_a_venue_that_holds_something_else_than_reported():
    gift = holding(10.0, reported_exposure_wad=9 * 10**18, reported_equity=18_000.0)
    interest = holding(10.0, reported_equity=19_990.0)
    for changed in (gift, interest):
        action = only(decide(state(venues=(changed,), **QUIET), POLICY))
        assert isinstance(action, Poke)
    dust = holding(10.0, reported_equity=19_999.5)
    assert decide(state(venues=(dust,), **QUIET), POLICY) == []


def test_decide_synchronises_markets_before_the_sweep_is_overdue():
    held = {"markets": (market(delta=-10.0),)}
    assert decide(state(swept_at=NOW - 3_000, **held), POLICY) == []
    assert decide(state(swept_at=NOW - 3_500, **held), POLICY) == [SyncAll(f"sync:{NOW - 3_500}")]
    assert decide(state(swept_at=NOW - 3_500, **QUIET), POLICY) == []


def test_decide_zero_aversion_has_nothing_to_hedge():
    assert decide(state(weights=Weights(aversion=0.0, omega=0.0)), POLICY) == []


# ---- options

CALM = {"markets": (market(delta=0.0),), "venues": ()}


def test_decide_refreshes_a_board_that_is_due_and_paid():
    action = only(decide(state(boards=(board(),), **CALM), POLICY))
    assert action == Refresh(0, NOW + 86_400, f"refresh:0:{NOW + 86_400}:{NOW - 1_801}")
    assert action.expected_reward == 0.5


@pytest.mark.parametrize(
    "changes",
    [
        {"boards": (board(due=False),)},
        {"boards": (board(legs=0),)},
        {"boards": (board(time=NOW - 599),)},  # the last one was paid a moment ago
        {"boards": (board(),), "markets": (market(delta=0.0, fresh=False),)},
        {"boards": (board(),), "gas_price": 0.6 / 400_000},  # dearer than the reward
        {"boards": (board(),), "option_rules": {0: OptionRule(reward=0.0, interval=600)}},
    ],
)
def test_decide_refresh_that_pays_nobody_waits(changes):
    assert decide(state(**(CALM | changes)), POLICY) == []


@pytest.mark.parametrize("changes", [{"time": NOW - 1}, {"time": NOW - 1_801}])
def test_decide_refreshes_unpaid_when_the_epoch_waits_for_it(changes):
    over = Epoch(4, NOW - 100, pending=5.0)
    fresh = (market(delta=0.0, updated_at=NOW - 50),)
    rules = {0: OptionRule(reward=0.0, interval=600)}
    world = state(boards=(board(**changes),), epoch=over, **(CALM | {"markets": fresh, "option_rules": rules}))
    refresh, epoch = decide(world, POLICY)
    assert isinstance(refresh, Refresh)
    assert epoch == ProcessEpoch(key="epoch:4")  # in the same turn, after it


def test_decide_epoch_waits_until_a_board_that_is_over_is_settled_and_paid_out():
    over, fresh = Epoch(4, NOW - 100, pending=5.0), (market(delta=0.0, updated_at=NOW - 50),)
    given = CALM | {"markets": fresh, "epoch": over}
    expired = board(expiry=NOW - 60)
    assert decide(state(boards=(expired,), **given), POLICY) == []
    assert decide(state(boards=(replace(expired, legs=0),), **given), POLICY) == [ProcessEpoch(key="epoch:4")]
    settle = only(decide(state(boards=(replace(expired, round_id=77),), **given), POLICY))
    assert settle == Settle(0, NOW - 60, 77, f"settle:0:{NOW - 60}")
    holders = (writer(1e6, NOW - 60, address=f"0x{7:040x}"),)
    accounts = only(decide(state(boards=(replace(expired, settled=True),), accounts=holders, **given), POLICY))
    assert isinstance(accounts, SettleAccounts)


@pytest.mark.parametrize(("legs", "reward"), [(3, 0.5), (0, 0.0)])
def test_decide_settles_an_expired_board_once_its_round_is_known(legs, reward):
    expired = board(expiry=NOW, legs=legs)
    assert decide(state(boards=(expired,), **CALM), POLICY) == []
    action = only(decide(state(boards=(replace(expired, round_id=0),), **CALM), POLICY))
    assert (action, action.expected_reward) == (Settle(0, NOW, 0, f"settle:0:{NOW}"), reward)


def test_decide_settles_accounts_in_batches_and_then_clears():
    over = board(expiry=NOW - 60, settled=True, legs=70)
    holders = tuple(writer(1e6, NOW - 60, address=f"0x{i:040x}") for i in range(70))
    others = (writer(1e6, NOW + 60), account(1e6, leg(0)))
    actions = decide(state(boards=(over,), accounts=holders + others, **CALM), POLICY)
    assert all(isinstance(action, SettleAccounts) for action in actions)
    assert [len(action.accounts) for action in actions] == [32, 32, 6]
    assert {account for action in actions for account in action.accounts} == {holder.address for holder in holders}
    assert len({action.key for action in actions}) == 3
    done = state(boards=(replace(over, legs=0),), accounts=others, **CALM)
    assert decide(done, POLICY) == [Clear(0, NOW - 60, f"clear:0:{NOW - 60}")]


def test_decide_refresh_keeps_hedges_of_the_market_for_the_next_turn():
    assert [action.kind for action in decide(state(boards=(board(),)), POLICY)] == ["refresh"]
    assert [action.kind for action in decide(state(boards=(board(due=False),)), POLICY)] == ["rebalance"]


# ---- effort


def test_decide_looks_at_the_potential_a_bounded_number_of_times(monkeypatch):
    """Four markets and three venues: 20 ms allow for thousands of times, and nearly all of them go into this."""
    calls = 0

    def counted(world, of):
        value = potential_of(world, of)

        def count(change):
            nonlocal calls
            calls += 1
            return value(change)

        return count

    monkeypatch.setattr(hedging, "potential_of", counted)
    prices, deltas = (2_000.0, 40_000.0, 100.0, 10.0), (-2_000.0, 60.0, -30_000.0, 100_000.0)
    markets = [market(id=i, price=price, delta=deltas[i], stress=(0.0,) * 8) for i, price in enumerate(prices)]

    def at(number, of, **changes):
        price = prices[of]
        tiers = (route(spot=price, twap=price), route(index=1, spot=price, twap=price, fee=3e-3))
        return replace(holding(1e6 / price), id=number, market=of, cap=1e9, routes=tiers, **changes)

    apart = (at(0, 0), at(1, 1), at(2, 2))
    together = (at(0, 0), at(1, 0), at(2, 0))
    for venues in (apart, together):
        calls = 0
        actions = decide(state(markets=tuple(markets), venues=venues), POLICY)
        assert len({action.venue for action in actions if isinstance(action, Rebalance)}) == 3
        assert calls < 1_600
