"""The hedge rule on its boundary, to the wei: Inventory's answer is dictated, the venue is a double, twins agree."""

from __future__ import annotations

from dataclasses import astuple, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ballast.chain import RevmChain, reverts
from ballast.model.exact import hedge
from ballast.model.exact.fixed import WAD, Reverted
from ballast.model.exact.hedge import NO_LIMIT, Fall, Holdings, Measured, Outcome, Rule, VenueParams, VenueState
from ballast.model.exact.oracle import Params
from ballast.model.roles import Role
from ballast.testing.hedge_world import MARKET, PRICE, World, add_double, build

SIZE = 10 * WAD
NOTIONAL = SIZE * 2_000
FEE = NOTIONAL * 5 // 10_000
GENEROUS = Fall(fall=10**6 * WAD, freed=0, release=0, excess=0)
FREE_GAS = {"gas_units": 0}


def holdings(w: World) -> Holdings:
    venue = w.chain.at("IHedgeVenue", w.double)
    return Holdings(w.lp_cash(), venue.equity(w.price), venue.equity(w.double.twap()))


def state(w: World) -> VenueState:
    return VenueState(*w.manager.venue_state(0))


def hedge_and_compare(w: World, size: int, rule: Rule, params: VenueParams, fall: Fall) -> Outcome:
    """Rebalance on the chain and in the twin: same outcome, same state, same reason."""
    w.dictate(fall)
    venue = w.chain.at("IHedgeVenue", w.double)
    before = holdings(w)
    reported, seen = state(w), venue.exposure()
    if hedge.has_drifted(reported, seen):
        reported, _ = hedge.mark(reported, w.price, seen, before.at_mid)
    receipt = w.rebalance(size)
    after = holdings(w)
    outcome = Outcome(*receipt.one("Rebalanced").outcome)
    paid = outcome.reward + outcome.gas
    # the ledger's LP cash has moved by the settlement since the manager measured
    measured_after = replace(after, lp_cash=after.lp_cash + paid - fall.release - outcome.released)
    expected_state, expected = hedge.rebalance(
        reported,
        params,
        rule,
        Measured(
            size=size,
            exposure_before=seen,
            exposure=venue.exposure(),
            price=w.price,
            fee=venue.prices(0).fee,
            now=w.chain.now,
            before=before,
            after=measured_after,
            fall=fall,
            base_fee=0,
            gas_token_price=w.price,
        ),
    )
    assert outcome == expected
    assert state(w) == expected_state
    return outcome


def test_cost_reward_and_gas_may_reach_phi_of_the_fall_exactly(dictated: World) -> None:
    rule = dictated.set_rule(**FREE_GAS)
    spent = FEE + NOTIONAL * 50 // 10**6
    least = -(-spent * 10_000 // rule.phi_bps)
    dictated.dictate(Fall(least - 1, 0, 0, 0))
    with reverts("hedge: costs more than it saves"):
        dictated.rebalance(SIZE)
    outcome = hedge_and_compare(dictated, SIZE, rule, VenueParams(), Fall(least, 0, 0, 0))
    assert outcome.cost + outcome.reward + outcome.gas == spent


def test_hedge_that_does_not_lower_u_reverts(dictated: World) -> None:
    dictated.dictate(Fall(0, 0, 0, 0))
    with reverts("hedge: costs more than it saves"):
        dictated.rebalance(SIZE)


def test_reward_is_eta_of_what_is_freed_beyond_the_cost(dictated: World) -> None:
    rule = dictated.set_rule(**FREE_GAS)
    freed = FEE + 1_000 * WAD
    outcome = hedge_and_compare(dictated, SIZE, rule, VenueParams(), replace(GENEROUS, freed=freed))
    assert outcome.reward == 150 * WAD
    assert dictated.cash(dictated.keeper) == 150 * WAD


def test_reward_is_by_size_when_little_is_freed(dictated: World) -> None:
    rule = dictated.set_rule(**FREE_GAS)
    outcome = hedge_and_compare(dictated, SIZE, rule, VenueParams(), replace(GENEROUS, freed=FEE + 1))
    assert outcome.reward == NOTIONAL * 50 // 10**6


def test_gas_is_paid_by_units_and_capped_price(dictated: World) -> None:
    rule = dictated.set_rule(gas_units=500_000, gas_tip_cap=30 * 10**9, gas_price_cap=20 * 10**9)
    outcome = hedge_and_compare(dictated, SIZE, rule, VenueParams(), GENEROUS)
    assert outcome.gas == 500_000 * 20 * 10**9 * 2_000  # 0.01 of the gas token
    assert dictated.cash(dictated.keeper) == outcome.gas + outcome.reward


def test_gas_token_without_a_fresh_price_pays_no_gas(dictated: World) -> None:
    second = dictated.chain.deploy("FeedDouble")
    second.set_round.send((1, 3 * WAD, 0, dictated.chain.now, True))
    dictated.oracle.list_market.send(second, astuple(Params()), sender=dictated.setup)
    dictated.set_rule(gas_market=1)
    dictated.dictate(GENEROUS)
    fresh = dictated.rebalance(SIZE).value
    assert fresh.gas == Rule().gas_units * 2 * 10**9 * 3
    dictated.next_block(3_700)
    assert dictated.rebalance(SIZE).value.gas == 0


def test_release_covers_what_was_spent_up_to_the_excess(dictated: World) -> None:
    rule = dictated.set_rule()
    dictated.vault.fill_reserve.send(100 * WAD)
    for excess in (7 * WAD, 10**6 * WAD):
        reserve = dictated.reserve()
        outcome = hedge_and_compare(dictated, SIZE, rule, VenueParams(), replace(GENEROUS, excess=excess))
        spent = outcome.cost + outcome.reward + outcome.gas
        assert outcome.released == min(excess, spent)
        assert reserve - dictated.reserve() == outcome.released
        dictated.next_block()


def test_release_due_at_block_start_is_booked_too(dictated: World) -> None:
    rule = dictated.set_rule()
    dictated.vault.fill_reserve.send(100 * WAD)
    hedge_and_compare(dictated, SIZE, rule, VenueParams(), replace(GENEROUS, release=3 * WAD))
    assert dictated.reserve() == 97 * WAD


def test_cost_is_at_least_the_venues_fee(dictated: World) -> None:
    """Bought 5 bp below the oracle's price, the fee eats the gain; the cost is the fee all the same."""
    rule = dictated.set_rule()
    dictated.double.set_price.send(PRICE * 9_995 // 10_000, PRICE)
    outcome = hedge_and_compare(dictated, SIZE, rule, VenueParams(), GENEROUS)
    assert outcome.cost == FEE


@pytest.mark.parametrize(("size", "twap_bp"), [(SIZE, -8), (-SIZE, 8)])
def test_value_is_the_worse_of_oracle_and_average(dictated: World, size: int, twap_bp: int) -> None:
    rule = dictated.set_rule()
    dictated.double.set_held.send(100 * WAD)
    dictated.double.set_price.send(PRICE, PRICE * (10_000 + twap_bp) // 10_000)
    outcome = hedge_and_compare(dictated, size, rule, VenueParams(), GENEROUS)
    assert outcome.cost == FEE + NOTIONAL * 8 // 10_000


@pytest.mark.parametrize(("size", "twap_bp"), [(SIZE, 8), (-SIZE, -8)])
def test_average_on_the_keepers_side_does_not_lower_the_cost(dictated: World, size: int, twap_bp: int) -> None:
    rule = dictated.set_rule()
    dictated.double.set_held.send(100 * WAD)
    dictated.double.set_price.send(PRICE, PRICE * (10_000 + twap_bp) // 10_000)
    assert hedge_and_compare(dictated, size, rule, VenueParams(), GENEROUS).cost == FEE


def test_haircut_of_what_is_bought_is_part_of_the_cost(dictated: World) -> None:
    rule = dictated.set_rule()
    params = dictated.set_venue_params(haircut_bps=30)
    nav = dictated.lp_cash() + dictated.venue_equity()
    outcome = hedge_and_compare(dictated, SIZE, rule, params, GENEROUS)
    assert outcome.cost == FEE + NOTIONAL * 30 // 10_000
    assert nav - (dictated.lp_cash() + dictated.venue_equity()) == outcome.cost + outcome.reward + outcome.gas


def test_cost_is_at_least_the_fee_on_the_notional_rounded_up() -> None:
    """Half a base at 2,000 and a wei is worth half a wei more than 1,000: the fee is a wei more than 50 cents."""
    w = build(RevmChain(), inventory_double=True, quote_decimals=18)
    add_double(w)
    rule = w.set_rule()
    w.next_block(61, PRICE + 1)
    w.double.set_price.send(PRICE + 1, PRICE + 1)
    assert hedge_and_compare(w, WAD // 2, rule, VenueParams(), GENEROUS).cost == WAD // 2 + 1


@settings(max_examples=60)
@given(
    size=st.integers(10**14, 50 * WAD),
    buying=st.booleans(),
    price=st.integers(PRICE * 9_992 // 10_000, PRICE * 10_008 // 10_000),
    twap=st.integers(PRICE * 9_994 // 10_000, PRICE * 10_006 // 10_000),
    haircut=st.integers(0, 20),
    eta=st.integers(0, 3_000),
    freed=st.integers(0, 500 * WAD),
    excess=st.integers(0, 1_000 * WAD),
    decimals=st.sampled_from([6, 8, 18]),
)
def test_rebalance_equals_its_twin(
    size: int, buying: bool, price: int, twap: int, haircut: int, eta: int, freed: int, excess: int, decimals: int
) -> None:
    size = size if buying else -size
    w = build(RevmChain(), inventory_double=True, quote_decimals=decimals)
    add_double(w, haircut_bps=haircut)
    w.vault.fill_reserve.send(2_000 * WAD)
    w.double.set_held.send(100 * WAD)
    w.double.set_price.send(price, twap)
    rule = w.set_rule(eta_bps=eta)
    params = VenueParams(haircut_bps=haircut)
    fall = Fall(10**5 * WAD, freed, 0, excess)
    hedge_and_compare(w, size, rule, params, fall)
    w.next_block(61, PRICE * 10_003 // 10_000)
    hedge_and_compare(w, -size, rule, params, fall)


def test_twin_reverts_with_the_contracts_reason(dictated: World) -> None:
    rule = dictated.set_rule()
    params = dictated.set_venue_params(turnover=NOTIONAL // 10**12 - 1)
    with pytest.raises(Reverted, match="hedge: turnover spent"):
        hedge.rebalance(
            VenueState(price=PRICE),
            params,
            rule,
            Measured(
                size=SIZE,
                exposure_before=0,
                exposure=SIZE,
                price=PRICE,
                fee=5 * 10**14,
                now=dictated.chain.now,
                before=Holdings(10**7 * WAD, 0, 0),
                after=Holdings(10**7 * WAD - NOTIONAL - FEE, NOTIONAL, NOTIONAL),
                fall=GENEROUS,
            ),
        )
    dictated.dictate(GENEROUS)
    with reverts("hedge: turnover spent"):
        dictated.rebalance(SIZE)


def test_event_and_return_value_agree(dictated: World) -> None:
    dictated.set_rule()
    dictated.dictate(GENEROUS)
    receipt = dictated.rebalance(SIZE)
    event = receipt.one("Rebalanced")
    assert event.outcome == receipt.value
    assert (event.venue_id, event.keeper) == (0, dictated.keeper)
    assert (event.exposure, event.equity) == (SIZE, NOTIONAL)
    settled = receipt.one("Settled")
    assert settled.account == dictated.keeper
    assert settled.cash == event.outcome.reward + event.outcome.gas


def test_inventory_is_told_exactly_what_changed(dictated: World) -> None:
    dictated.set_rule()
    dictated.dictate(GENEROUS)
    dictated.rebalance(SIZE)
    assert (dictated.inventory.delta(), dictated.inventory.book()) == (SIZE, NOTIONAL)
    dictated.next_block(61, PRICE * 11 // 10)
    dictated.double.set_price.send(dictated.price, dictated.price)
    dictated.rebalance(-SIZE // 2)
    assert dictated.inventory.delta() == SIZE // 2
    # Inventory moved the first report by 10 % on its own; the sale took half of that
    assert dictated.inventory.book() == NOTIONAL - NOTIONAL * 11 // 20


def test_mandate_pays_its_agent_its_own_share_under_the_same_rule(dictated: World) -> None:
    w = dictated
    agent, mandates = w.whale, w.trader
    w.manager.grant_role.send(mandates, Role.HEDGER, sender=w.setup)
    rule = w.set_rule(**FREE_GAS)
    freed = 100 * WAD
    spent = FEE + (freed - FEE) * 3_000 // 10_000
    fall = Fall(-(-spent * 10_000 // rule.phi_bps), freed, 0, 0)
    step = (0, MARKET, SIZE, NO_LIMIT)
    w.dictate(fall)
    with reverts("roles: not allowed"):
        w.manager.rebalance_for.send(agent, 3_000, *step, sender=w.keeper)
    with reverts("hedge: parameter out of bounds"):
        w.manager.rebalance_for.send(agent, 3_001, *step, sender=mandates)
    w.dictate(replace(fall, fall=fall.fall - 1))
    with reverts("hedge: costs more than it saves"):
        w.manager.rebalance_for.send(agent, 3_000, *step, sender=mandates)
    w.dictate(fall)
    outcome = w.manager.rebalance_for.send(agent, 3_000, *step, sender=mandates).one("Rebalanced").outcome
    assert (outcome.cost, outcome.reward) == (FEE, spent - FEE)
    assert (w.cash(agent), w.cash(mandates)) == (spent - FEE, 0)
    w.next_block()
    w.dictate(fall)  # the public may go on at the rule's own share
    assert w.rebalance(SIZE).one("Rebalanced").outcome.reward == (freed - FEE) * rule.eta_bps // 10_000
