"""Who can be liquidated, how much goes, what it costs and who gets it: contract and twin, to the wei."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from ballast.chain import Receipt, Reverted, reverts
from ballast.model.exact.fixed import MAX_REWARD, mul_div_up, mul_up
from ballast.model.exact.option_book import LOT, Order, board_of
from ballast.model.exact.structs import Health
from tests.unit.clearing.world import ALL, BTC, ETH, FORTNIGHT, WAD, WEEK, LiquidationWorld

BPS = 10_000
BARE = 2  # a market without options
PENALTY_BPS = 100  # of both engines
PORTFOLIOS = int(96 * float(os.environ.get("BALLAST_FUZZ_SCALE", "1")))
DUST = 10**6  # [WAD] roundings of a few orders


@pytest.fixture(scope="module")
def deployed() -> LiquidationWorld:
    return LiquidationWorld.create(prices=(2_000 * WAD, 60_000 * WAD, 10 * WAD))


@pytest.fixture
def world(deployed: LiquidationWorld) -> Iterator[LiquidationWorld]:
    """Two markets with three boards, one without; three traders with a million each, ten million of LPs."""
    with deployed.undone():
        yield deployed


@pytest.fixture
def weak(world: LiquidationWorld) -> str:
    return world.traders[0]


@pytest.fixture
def taker(world: LiquidationWorld) -> str:
    return world.traders[1]


def cost_of(world: LiquidationWorld, receipt: Receipt) -> tuple[int, int]:
    """Half-spread, and half-spread and charge together, of all trades of a transaction [quote, WAD]."""
    trades = receipt.find("Trade", world.engine) + receipt.find("Trade", world.options)
    spread = sum(trade.half_spread for trade in trades)
    return spread, spread + sum(trade.charge for trade in trades)


def fund_insurance(world: LiquidationWorld, units: int) -> None:
    world.do(
        lambda: world.clearinghouse.fund_insurance.send(units, sender=world.stranger),
        lambda twin: twin.clearinghouse.fund_insurance(units),
    )


def test_neighbours_answers_the_constructor_arguments(world: LiquidationWorld) -> None:
    parts = world.clearinghouse, world.engine, world.options, world.book, world.oracle
    assert tuple(world.closer.neighbours()) == tuple(part.address for part in parts)


# ── who ──


def test_liquidate_account_at_maintenance_is_healthy_a_wei_below_it_is_not(world: LiquidationWorld, weak: str) -> None:
    """I9, for each of its legs, whoever asks."""
    world.trade(weak, ETH, 100 * WAD)
    world.option(weak, {"2000P": -50})
    orders = world.orders({"2000P": 50})
    world.leave(weak, 0)
    with reverts("liquidation: account is healthy"):
        world.liquidate_perp(weak)
    with reverts("liquidation: account is healthy"):
        world.liquidate_options(weak, orders)
    with reverts("liquidation: account is healthy"):
        world.take_perp(weak, by=world.traders[1])
    world.give(weak, -1)
    for by in (world.stranger, weak):
        with world.undone():
            assert world.liquidate_perp(weak, by=by).penalty > 0
        with world.undone():
            assert world.liquidate_options(weak, orders, by=by).penalty > 0


def test_liquidate_needs_a_fresh_mark_of_the_market_that_it_closes_in_only(world: LiquidationWorld, weak: str) -> None:
    """A leg whose price is stale is judged at its last one: it shields nothing."""
    world.trade(weak, ETH, 100 * WAD)
    world.trade(weak, BTC, WAD)
    world.leave(weak, -WAD)
    world.warp(3_601)
    world.set_price(ETH, 1_990 * WAD)
    assert not world.oracle.peek(BTC).fresh
    with reverts("oracle: stale price"):
        world.liquidate_perp(weak, BTC)
    world.liquidate_perp(weak, ETH)
    assert 0 < world.position(weak).size < 100 * WAD
    world.check()


def test_liquidate_records_the_newest_round_of_every_leg_first(world: LiquidationWorld, weak: str) -> None:
    world.trade(weak, ETH, 100 * WAD)
    world.trade(weak, BTC, WAD)
    world.leave(weak, 100 * WAD)
    world.push_price(BTC, 59_000 * WAD)
    world.liquidate_perp(weak, ETH)
    world.check()


def test_liquidate_works_while_everything_is_paused(world: LiquidationWorld, weak: str) -> None:
    world.trade(weak, ETH, 10 * WAD)
    world.option(weak, {"2000C": -10})
    world.leave(weak, -1_000 * WAD)
    world.pause()
    world.pause_options()
    world.freeze_surface(ETH)
    world.close_board(ETH, WEEK)
    world.liquidate_options(weak, world.orders({"2000C": 10}))
    world.leave(weak, -1_000 * WAD)
    world.liquidate_perp(weak)
    world.check()


# ── what ──


def test_liquidate_refuses_what_the_account_does_not_have(world: LiquidationWorld, weak: str) -> None:
    world.option(weak, {"2000C": -10, "2400C": 1})
    world.trade(weak, BTC, WAD)
    world.leave(weak, -WAD)
    with reverts("liquidation: no orders"):
        world.liquidate_options(weak, [])
    for wanted in (
        world.orders({"2200C": 5}),
        world.orders({"2000C": -5, "2400C": 5}),  # would grow both
        [Order(world.series("2000C"), LOT - 1)],  # less than a lot
        world.orders({"60000C": 5}, market=BTC),
    ):
        with reverts("liquidation: no position"):
            world.liquidate_options(weak, wanted)
    with reverts("liquidation: no position"):
        world.liquidate_perp(weak, ETH)
    with reverts("liquidation: no position"):
        world.liquidate_perp(weak, BTC, 0)
    with reverts("liquidation: no position"):
        world.liquidate(weak, BTC, 0, world.orders({"2000C": 5}))
    with reverts("oracle: not listed"):
        world.liquidate_perp(weak, BARE + 1)
    world.check()


def test_liquidate_refuses_orders_out_of_order(world: LiquidationWorld, weak: str) -> None:
    world.option(weak, {"2000C": -10, "2200C": -10})
    world.leave(weak, -WAD)
    low, high = world.orders({"2000C": 5, "2200C": 5})
    for wanted in ((low, low), (high, low)):
        with reverts("liquidation: series order"):
            world.liquidate_options(weak, wanted)
        with reverts("liquidation: series order"):
            world.take_options(weak, wanted, by=world.traders[1])
    world.check()


def test_liquidate_leaves_out_what_is_not_there_and_takes_the_rest(world: LiquidationWorld, weak: str) -> None:
    world.option(weak, {"2000C": -10, "2200C": -10})
    world.leave(weak, -4_000 * WAD)
    wanted = world.orders({"1900C": 5, "2000C": 1_000, "2200C": 2.5000005, "2400C": -3, "2000P": -1})
    world.liquidate_options(weak, wanted)
    held = world.held(weak)
    assert held == {world.series("2200C"): -7_500_000}
    world.check()


def test_liquidate_takes_what_is_enough_and_no_more(world: LiquidationWorld, weak: str) -> None:
    """Back at the initial requirement but for what closing costs, by the chord of the requirement, rounded up."""
    world.trade(weak, ETH, -400 * WAD)
    world.leave(weak, -3_000 * WAD - 1)
    before, liquidated = world.health(weak), world.liquidate_perp(weak)
    relief = before.initial - mul_up(400 * WAD, 2_000 * WAD) * PENALTY_BPS // BPS  # flat, it needs 0
    assert (liquidated.share - 1) * relief < (before.initial - before.equity) * WAD < liquidated.share * relief
    after, (_, cost) = world.health(weak), cost_of(world, liquidated.receipt)
    closed = 400 * WAD + world.position(weak).size
    assert closed == mul_up(400 * WAD, liquidated.share) < 400 * WAD
    assert liquidated.penalty == mul_up(mul_up(400 * WAD, 2_000 * WAD) // 100, liquidated.share)
    assert after.equity == before.equity - cost - liquidated.penalty
    # its requirement is convex by the exit cost alone, which is small
    assert after.initial - cost <= after.equity <= after.initial - cost + before.initial // 1_000
    with reverts("liquidation: account is healthy"):
        world.liquidate_perp(weak)
    world.check()


def test_liquidate_options_of_any_market(world: LiquidationWorld, weak: str, taker: str) -> None:
    world.option(weak, {"60000C": -2, "70000C": -1}, market=BTC)
    world.trade(weak, ETH, WAD)
    world.leave(weak, -3_000 * WAD)
    orders = world.orders({"60000C": 1, "70000C": 1}, market=BTC)
    for act in (world.liquidate_options, lambda *wanted: world.take_options(*wanted, by=taker)):
        with world.undone():
            act(weak, orders)
            assert world.held(weak)[world.series("60000C", market=BTC)] > -2 * 10**6
            world.check()


def test_liquidate_takes_no_more_than_was_asked_for(world: LiquidationWorld, weak: str) -> None:
    world.trade(weak, ETH, 400 * WAD)
    world.leave(weak, -3_000 * WAD)
    liquidated = world.liquidate_perp(weak, size=7 * WAD + 1)
    assert liquidated.share == WAD
    assert world.position(weak).size == 393 * WAD - 1
    world.liquidate_perp(weak, size=1)
    assert world.position(weak).size == 393 * WAD - 2
    world.check()


def test_liquidate_is_not_stopped_by_a_top_up_or_a_close_before_it(world: LiquidationWorld, weak: str) -> None:
    """Whatever leaves the account below maintenance leaves the same call standing."""
    world.trade(weak, ETH, 100 * WAD)
    world.option(weak, {"2000P": -50, "1900P": -20})
    world.leave(weak, -2_000 * WAD)
    everything = world.orders({"2000P": 50, "1900P": 20})
    moves = (
        lambda: world.deposit(weak, 1),
        lambda: world.trade(weak, ETH, -1),
        lambda: world.trade(weak, ETH, -3 * WAD),
        lambda: world.option(weak, {"1900P": 3}),
        lambda: world.option(weak, {"2000P": 0.000001}),
    )
    for move in moves:
        with world.undone():
            move()
            assert world.health(weak).equity < world.health(weak).maintenance
            with world.undone():
                world.liquidate_perp(weak, size=100 * WAD)
            with world.undone():
                world.take_options(weak, everything, by=world.traders[1])
            world.liquidate_options(weak, everything)
            world.check()


# ── hedges ──


def test_liquidate_a_long_option_that_covers_a_short_is_refused_first(world: LiquidationWorld, weak: str) -> None:
    world.option(weak, {"2000C": -100, "2200C": 100})
    world.leave(weak, -100 * WAD)
    for act in (world.liquidate_options, lambda *wanted: world.take_options(*wanted, by=world.traders[1])):
        with reverts("liquidation: requirement would not fall"):
            act(weak, world.orders({"2200C": -100}))
    world.liquidate_options(weak, world.orders({"2000C": 100, "2200C": -100}))
    world.check()


def test_liquidate_a_perpetual_that_hedges_options_is_refused_first(world: LiquidationWorld, weak: str) -> None:
    world.option(weak, {"2000C": -100})
    world.trade(weak, ETH, 50 * WAD)
    world.leave(weak, -100 * WAD)
    with reverts("liquidation: requirement would not fall"):
        world.liquidate_perp(weak)
    with reverts("liquidation: requirement would not fall"):
        world.take_perp(weak, by=world.traders[1])
    world.liquidate_options(weak, world.orders({"2000C": 100}))
    world.check()


def test_liquidate_a_perpetual_of_other_options_counts_their_losses(world: LiquidationWorld, weak: str) -> None:
    world.trade(weak, ETH, 10 * WAD)
    with reverts("liquidation: account is healthy"):
        world.liquidate_perp(weak)
    world.option(weak, {"60000C": -20}, market=BTC)
    world.set_price(BTC, 120_000 * WAD)
    assert world.health(weak).equity < world.health(weak).maintenance
    world.liquidate_perp(weak)
    assert world.position(weak).size == 0
    world.check()


def test_liquidate_what_hedges_each_other_goes_together(world: LiquidationWorld, weak: str) -> None:
    """A deep covered call: each part alone raises the requirement, both together lower it."""
    world.option(weak, {"1600C": -100})
    world.trade(weak, ETH, 98 * WAD)
    world.leave(weak, -100 * WAD)
    orders = world.orders({"1600C": 100})
    with reverts("liquidation: requirement would not fall"):
        world.liquidate_perp(weak)
    with reverts("liquidation: requirement would not fall"):
        world.liquidate_options(weak, orders)
    before, liquidated = world.health(weak), world.liquidate(weak, ETH, ALL, orders)
    check_outcome(world, weak, before, liquidated.receipt, liquidated.penalty)
    assert 0 < liquidated.share < WAD
    assert world.position(weak).size == 98 * WAD - mul_up(98 * WAD, liquidated.share)
    world.check()


def test_liquidate_a_calendar_spread_goes_over_two_boards(world: LiquidationWorld, weak: str) -> None:
    world.option(weak, {"2000C": -100})
    world.option(weak, {"2000C": 100}, FORTNIGHT)
    world.leave(weak, -100 * WAD)
    near, far = world.orders({"2000C": 100}), world.orders({"2000C": -100}, FORTNIGHT)
    for board in (near, far):
        with reverts("liquidation: requirement would not fall"):
            world.liquidate_options(weak, board)
    before = world.health(weak)
    liquidated = world.liquidate_options(weak, sorted(near + far, key=lambda order: order.series))
    assert {board_of(order[0]) for trade in liquidated.receipt.find("Trade") for order in trade.orders} == {
        board_of(near[0].series), board_of(far[0].series),
    }  # fmt: skip
    check_outcome(world, weak, before, liquidated.receipt, liquidated.penalty)
    world.check()


def test_liquidate_options_that_ask_for_nothing_go_where_more_is_owed_than_there_is(
    world: LiquidationWorld, weak: str
) -> None:
    """They lose nothing any more, and cash is below zero: what is missing is covered at once, not at expiry."""
    world.option(weak, {"3000C": 1})
    world.set_price(ETH, 200 * WAD)
    assert world.health(weak).maintenance == 0
    world.leave(weak, -1)
    world.liquidate_options(weak, world.orders({"3000C": -1}))
    assert world.clearinghouse.account(weak) == (0, 0)
    world.check()


def test_closing_where_no_options_are_listed_is_not_refused_below_maintenance(
    world: LiquidationWorld, weak: str
) -> None:
    """I9: by hand and by a liquidation, of an account that has options elsewhere."""
    world.option(weak, {"2000C": -10})
    world.trade(weak, BARE, 1_000 * WAD)
    world.leave(weak, -700 * WAD)
    with world.undone():
        world.trade(weak, BARE, -500 * WAD)
        world.check()
    world.liquidate_perp(weak, BARE)
    world.check()


# ── penalty and reward ──


def test_penalty_is_shared_by_caller_lps_and_insurance(world: LiquidationWorld, weak: str) -> None:
    world.trade(weak, ETH, 100 * WAD)
    world.leave(weak, -1)
    with world.undone():
        world.close(weak, ETH)
        by_hand = world.clearinghouse.buckets()
    liquidated = world.liquidate_perp(weak, size=ALL)
    with reverts("liquidation: account is healthy"):
        world.liquidate_perp(weak)
    paid = liquidated.penalty
    event = liquidated.receipt.one("LiquidationPaid", world.clearinghouse)
    lp_bps = world.clearinghouse.lp_share_bps()
    assert event.reward == liquidated.reward == paid // 2 == world.cash(world.liquidator)
    assert event.lp == paid * lp_bps // BPS > 0
    assert event.insurance == paid - event.reward - event.lp == world.clearinghouse.buckets().insurance
    assert by_hand.insurance == 0
    assert not liquidated.receipt.find("RewardPaid")


def test_penalty_does_not_lower_equity_over_maintenance(world: LiquidationWorld, weak: str) -> None:
    """Where equity is small the penalty is what is left beyond the same ratio, or nothing."""
    world.trade(weak, ETH, 100 * WAD)
    world.trade(world.traders[1], ETH, -400 * WAD)  # so that closing costs a charge, too
    world.leave(weak, -9_900 * WAD)
    before = world.health(weak)
    assert 0 < before.equity < 150 * WAD
    with world.undone():
        liquidated = world.liquidate_perp(weak, size=50 * WAD)
        after, (spread, cost) = world.health(weak), cost_of(world, liquidated.receipt)
        assert liquidated.penalty == 0
        assert before.equity * (before.maintenance - after.maintenance) < before.maintenance * cost
        assert after.equity == before.equity - cost
        assert liquidated.reward == 0 < spread < cost  # insurance has nothing
    world.give(weak, 300 * WAD)
    before, liquidated = world.health(weak), world.liquidate_perp(weak, size=50 * WAD)
    after = world.health(weak)
    assert 0 < liquidated.penalty < 1_000 * WAD
    assert after.equity * before.maintenance >= before.equity * after.maintenance
    assert (after.equity - WAD // 1_000) * before.maintenance < before.equity * mul_up(before.maintenance, WAD // 2 + 1)
    world.check()


def test_reward_is_two_basis_points_where_there_is_no_penalty(world: LiquidationWorld, weak: str) -> None:
    """Out of insurance, as far as it has that, and up to a bound."""
    fund_insurance(world, 5 * 10**6)
    world.trade(weak, ETH, 100 * WAD)
    world.leave(weak, -12_000 * WAD)
    assert world.health(weak).equity < 0
    price = world.oracle.last(ETH).price
    for size, least in ((WAD // 10, price // 50_000), (50 * WAD, 5 * WAD)):
        with world.undone():
            liquidated = world.liquidate_perp(weak, size=size)
            spread, _ = cost_of(world, liquidated.receipt)
            assert liquidated.penalty == 0
            assert liquidated.reward == least < spread
            assert world.clearinghouse.buckets().insurance == 5 * WAD - liquidated.reward
    fund_insurance(world, 100 * 10**6)
    liquidated = world.liquidate_perp(weak, size=50 * WAD)
    assert liquidated.reward == MAX_REWARD < cost_of(world, liquidated.receipt)[0]
    assert world.cash(world.liquidator) == MAX_REWARD
    world.check()


def test_penalty_is_the_half_spread_where_only_long_options_go(world: LiquidationWorld, weak: str) -> None:
    """They have no penalty of their own: the account, which can, pays the caller, not insurance.

    So who is both has not closed for less than by hand."""
    fund_insurance(world, 100 * 10**6)
    world.option(weak, {"2000C": 3})
    world.trade(weak, ETH, 10 * WAD)
    world.leave(weak, -100 * WAD)
    with world.undone():
        world.option(weak, {"2000C": -3})
        by_hand = world.health(weak).equity
    liquidated = world.liquidate_options(weak, world.orders({"2000C": -3}))
    spread, _ = cost_of(world, liquidated.receipt)
    assert liquidated.penalty == spread < MAX_REWARD
    assert liquidated.reward == world.clearinghouse.liquidator_share_bps() * spread // BPS
    assert world.health(weak).equity + world.cash(world.liquidator) == by_hand - spread + liquidated.reward
    lp = world.clearinghouse.lp_share_bps() * spread // BPS
    assert world.clearinghouse.buckets().insurance == 100 * WAD + spread - liquidated.reward - lp
    world.check()


def test_insolvent_account_is_closed_and_its_debt_is_insurances_then_the_lps(
    world: LiquidationWorld, weak: str
) -> None:
    fund_insurance(world, 1_000 * 10**6)
    world.trade(weak, ETH, 100 * WAD)
    world.leave(weak, -15_000 * WAD)
    before = world.health(weak)
    liquidated = world.liquidate_perp(weak)
    spread, cost = cost_of(world, liquidated.receipt)
    debt = liquidated.receipt.one("BadDebtCovered")
    assert debt.by_insurance + debt.by_lp == cost - before.equity
    assert (debt.by_insurance, liquidated.penalty, liquidated.reward) == (1_000 * WAD, 0, 0)
    assert world.clearinghouse.account(weak) == (0, 0)
    assert spread > 0
    world.check()


# ── taking ──


def test_take_moves_the_position_at_the_mark_and_costs_the_giver_the_penalty_alone(
    world: LiquidationWorld, weak: str, taker: str
) -> None:
    world.trade(weak, ETH, -100 * WAD)
    world.leave(weak, -1_000 * WAD)
    before, taking, backing = world.health(weak), world.health(taker), world.clearinghouse.buckets()
    liquidated = world.take_perp(weak, by=taker)
    after, taken, now = world.health(weak), world.health(taker), world.clearinghouse.buckets()
    moved = mul_up(100 * WAD, liquidated.share)
    assert (world.position(weak).size, world.position(taker).size) == (moved - 100 * WAD, -moved)
    assert abs(before.equity - liquidated.penalty - after.equity) <= 2
    assert abs(taking.equity + liquidated.reward - taken.equity) <= 2
    assert after.initial <= after.equity <= after.initial + before.initial // 1_000  # no closing cost
    rest = liquidated.penalty - liquidated.reward
    event = liquidated.receipt.one("LiquidationPaid")
    assert (event.reward, event.lp + event.insurance) == (liquidated.reward, rest)
    assert abs(now.lp - backing.lp - event.lp) <= 3
    assert now.fees == backing.fees
    assert not liquidated.receipt.find("Trade")
    world.check()


def test_take_discount_grows_as_the_account_falls(world: LiquidationWorld, weak: str, taker: str) -> None:
    world.trade(weak, ETH, 100 * WAD)
    maintenance = world.health(weak).maintenance
    rewards = []
    for spare in (1, -(-maintenance // 4), -(-maintenance // 2), -(-maintenance * 3 // 4), maintenance - 1):
        with world.undone():
            world.leave(weak, -spare)
            liquidated = world.take_perp(weak, size=WAD, by=taker)
            share_bps = 6_000 + 4_000 * spare // maintenance
            assert liquidated.reward == liquidated.penalty * share_bps // BPS
            rewards.append(share_bps)
    assert rewards == [6_000, 7_000, 8_000, 9_000, 9_999]
    with world.undone():
        world.leave(weak, -maintenance - 1)
        assert world.take_perp(weak, by=taker).penalty == 0
        world.check()


def test_take_options_moves_up_to_eight_of_a_board(world: LiquidationWorld, weak: str, taker: str) -> None:
    world.option(weak, {"2000C": -50, "2200C": 10, "1900P": -20})
    world.leave(weak, -1_500 * WAD)
    before = world.health(weak)
    wanted = world.orders({"2000C": 50, "2200C": -10, "1900P": 20})
    liquidated = world.take_options(weak, wanted, by=taker)
    given, taken = world.held(weak), world.held(taker)
    assert 0 < liquidated.share < WAD
    for name, lots in (("2000C", -50), ("2200C", 10), ("1900P", -20)):
        series, moved = world.series(name), -(-mul_up(abs(lots) * WAD, liquidated.share) // LOT)
        assert taken[series] == (moved if lots > 0 else -moved)
        assert given[series] + taken[series] == lots * 10**6
    short = mul_up(70 * WAD, 2_000 * WAD)
    assert liquidated.penalty == mul_up(mul_div_up(short, PENALTY_BPS, BPS), liquidated.share)
    assert world.health(weak).equity >= world.health(weak).initial
    assert abs(before.equity - liquidated.penalty - world.health(weak).equity) <= 3
    world.check()


def test_take_over_several_boards_is_refused(world: LiquidationWorld, weak: str, taker: str) -> None:
    world.option(weak, {"2000C": -50})
    world.option(weak, {"2000C": -50}, FORTNIGHT)
    world.leave(weak, -1_500 * WAD)
    both = sorted(world.orders({"2000C": 50}) + world.orders({"2000C": 50}, FORTNIGHT), key=lambda order: order.series)
    with reverts("options: mixed expiries"):
        world.take_options(weak, both, by=taker)
    world.check()


def test_take_leaves_the_taker_above_initial_margin(world: LiquidationWorld, weak: str, taker: str) -> None:
    world.trade(weak, ETH, 400 * WAD)
    world.leave(weak, -1_000 * WAD)
    world.trade(taker, ETH, 1_000 * WAD)
    with world.undone():
        world.take_perp(weak, by=taker)
        health, needed = world.health(taker), world.position(taker).size
        spare = health.equity - health.initial
    assert needed > 1_000 * WAD
    world.give(taker, -spare - 1)
    with reverts("margin: below initial"):
        world.take_perp(weak, by=taker)
    world.give(taker, 1)
    world.take_perp(weak, by=taker)
    assert world.health(taker).equity == world.health(taker).initial
    world.check()


def test_take_refuses_the_other_side_and_the_account_itself(world: LiquidationWorld, weak: str, taker: str) -> None:
    world.trade(weak, ETH, 100 * WAD)
    world.option(weak, {"2000P": -10})
    world.trade(taker, ETH, -WAD)
    world.option(taker, {"2000P": 1})
    world.leave(weak, -1_000 * WAD)
    orders = world.orders({"2000P": 10})
    with reverts("perps: taker is on the other side"):
        world.take_perp(weak, by=taker)
    with reverts("options: taker is on the other side"):
        world.take_options(weak, orders, by=taker)
    with reverts("perps: same account"):
        world.take_perp(weak, by=weak)
    with reverts("options: same account"):
        world.take_options(weak, orders, by=weak)
    world.check()


def test_take_needs_fresh_marks_of_all_that_the_taker_has(world: LiquidationWorld, weak: str, taker: str) -> None:
    world.trade(weak, ETH, 100 * WAD)
    world.trade(taker, BTC, WAD // 100)
    world.leave(weak, -1_000 * WAD)
    world.warp(3_601)
    world.set_price(ETH, 2_000 * WAD)
    with reverts("oracle: stale price"):
        world.take_perp(weak, by=taker)
    world.take_perp(weak, by=world.traders[2])
    world.check()


# ── everything together ──


def check_outcome(world: LiquidationWorld, account: str, before: Health, receipt: Receipt, penalty: int) -> None:
    """What must hold after a liquidation of whatever account and request."""
    event = receipt.one("Liquidated", world.closer)
    after, (spread, cost) = world.health(account), cost_of(world, receipt)
    covered = sum(debt.by_lp + debt.by_insurance for debt in receipt.find("BadDebtCovered"))
    # closing at mark moves nothing but the costs, and Margin's marks are the engines', but for roundings
    assert abs(before.equity - cost - penalty + covered - after.equity) <= DUST
    lots = 8 * LOT * max(world.prices()) // WAD  # what rounding up to lots may move requirements by
    if before.maintenance > 0:
        assert after.maintenance < before.maintenance + lots
    if event.share < WAD:
        assert after.equity + cost + min(spread, MAX_REWARD) >= after.initial - lots
    if before.maintenance == 0:
        assert penalty == 0
    elif after.equity + lots < before.equity * after.maintenance // before.maintenance:
        # the ratio fell: by what closing costs, where the equity of what went is below that
        released = before.maintenance - after.maintenance
        assert penalty == 0
        assert before.equity * released <= before.maintenance * cost
    assert event.reward <= max(penalty, min(spread, MAX_REWARD))


def random_account(world: LiquidationWorld, account: str, rng: np.random.Generator) -> None:
    """Perpetuals and options of up to three boards."""
    world.set_price(ETH, 2_000 * WAD + int(rng.integers(1, 10**9)))
    strikes = {ETH: (1_600, 1_900, 2_000, 2_200, 2_600), BTC: (50_000, 60_000, 70_000)}
    for market, size in ((ETH, 100), (BTC, 3)):
        if rng.random() < 0.6:
            world.trade(account, market, int(rng.integers(-size * 1_000, size * 1_000)) * WAD // 1_000 or WAD)
    for market, expiry, size in ((ETH, WEEK, 40), (ETH, FORTNIGHT, 40), (BTC, WEEK, 1)):
        if rng.random() < 0.6:
            known = (1_500, 2_000, 2_500) if expiry == FORTNIGHT else strikes[market]
            names = {f"{strike}{rng.choice(list('CP'))}" for strike in rng.choice(known, 3)}
            legs = {name: round(float(rng.uniform(0.02, 1) * size * rng.choice([-1, -1, 1])), 6) for name in names}
            world.option(account, legs, expiry, market)


@pytest.mark.parametrize("seed", range(PORTFOLIOS // 8))
def test_liquidate_any_account_by_any_request(world: LiquidationWorld, weak: str, seed: int) -> None:
    """Contract = twin, and what `check_outcome` says; everything in a market can always go if it asks for margin."""
    rng = np.random.default_rng(seed)
    for _ in range(8):
        with world.undone():
            random_account(world, weak, rng)
            health = world.health(weak)
            if health.maintenance == 0:
                continue
            fund_insurance(world, int(rng.integers(1, 50)) * 10**6)
            world.leave(weak, -1 - int(rng.uniform(0, 1.2) * health.maintenance))
            market = ETH if rng.random() < 0.6 else BTC
            legs = [leg for leg in world.book.legs(weak) if leg.market == market]
            wanted = sorted((Order(leg.series, -leg.size) for leg in legs), key=lambda order: order.series)
            size = abs(world.position(weak, market).size)
            with world.undone():
                part = [replace(order, size=int(order.size * rng.uniform(0.1, 1.5))) for order in wanted]
                if size and rng.random() < 0.5:
                    attempt(world, weak, market, int(size * rng.uniform(0.1, 1.5)), [])
                elif wanted:
                    attempt(world, weak, market, 0, part[: rng.integers(1, len(part) + 1)])
            if size or wanted:
                everything = -int(world.position(weak, market).size), wanted
                cash, mask = world.clearinghouse.account(weak)
                _, left = world.twin.margin.assess_change(weak, cash, mask, market, *everything, world.now)
                assert left <= world.health(weak).maintenance  # of a market that asks for margin, all of it can go
                attempt(world, weak, market, size, wanted)
                world.check()


def attempt(world: LiquidationWorld, account: str, market: int, size: int, orders: list[Order]) -> None:
    """Liquidate, or be told that this is a hedge: then it is."""
    before = world.health(account)
    cash, mask = world.clearinghouse.account(account)
    perp = int(world.position(account, market).size)
    closed = -min(size, perp) if perp > 0 else min(size, -perp)
    _, maintenance = world.twin.margin.assess_change(account, cash, mask, market, closed, orders, world.now)
    held = {leg.series: leg.size for leg in world.book.legs(account)}
    whole = size in (0, abs(perp)) and all(order.size == -held[order.series] for order in orders)
    if whole and maintenance >= before.maintenance:
        with reverts("liquidation: requirement would not fall"):
            world.liquidate(account, market, size, orders)
        return
    try:
        liquidated = world.liquidate(account, market, size, orders)
    except Reverted as error:  # a part may be a hedge
        if whole or error.reason != "liquidation: requirement would not fall":
            raise
        return
    check_outcome(world, account, before, liquidated.receipt, liquidated.penalty)
    bought = sum(min(order.size, max(-held[order.series], 0)) for order in orders if order.size > 0)
    notional = mul_up(min(size, abs(perp)) + bought, world.prices()[market])
    spread, _ = cost_of(world, liquidated.receipt)
    full = mul_div_up(notional, PENALTY_BPS, BPS) + 2  # rounded up for perpetual and options each
    assert liquidated.penalty <= max(mul_up(full, liquidated.share), min(spread, MAX_REWARD))
    for series, lots in held.items():
        left = {leg.series: leg.size for leg in world.book.legs(account)}.get(series, 0)
        assert 0 <= (left if lots > 0 else -left) <= abs(lots)


def test_liquidate_sixteen_options_over_two_boards_gas(world: LiquidationWorld) -> None:
    """Nothing warm but what one transaction warms: below 3M."""
    account = world.traders[2]
    names = {f"{strike}{right}": -5 for strike in (1_800, 1_900, 2_000, 2_100, 2_200) for right in "CP"}
    for part in (dict(list(names.items())[:5]), dict(list(names.items())[5:])):
        world.option(account, part)
    world.option(account, {f"{strike}{right}": -5 for strike in (1_500, 2_000, 2_500) for right in "CP"}, FORTNIGHT)
    world.trade(account, ETH, 20 * WAD)
    world.trade(account, BTC, WAD)
    world.warp(12)
    for market, price in ((BTC, 60_000), (ETH, 2_000)):
        world.push_price(market, price * WAD)
    world.leave(account, -1_000 * WAD)
    legs = sorted((Order(leg.series, -leg.size) for leg in world.book.legs(account)), key=lambda order: order.series)
    assert len(legs) == 16
    with world.undone():
        assert world.liquidate_options(account, legs[:8]).receipt.gas_used < 3_000_000
    assert world.liquidate(account, ETH, ALL, legs).receipt.gas_used < 4_000_000
    world.check()
