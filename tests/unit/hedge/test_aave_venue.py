"""AaveShortVenue against the real Aave v3 and Uniswap v3, through the real HedgeManager."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace

import pytest

from ballast.chain import Contract, Reverted, RevmChain, reverts
from ballast.model.exact import aave as twin
from ballast.model.exact import hedge
from ballast.model.exact.fixed import MICRO, WAD
from ballast.model.exact.hedge import NO_LIMIT, Rule, VenueParams, VenueState, budget
from ballast.model.exact.hedge_manager import HedgeManager, Prices
from ballast.model.exact.inventory import Fall
from ballast.model.exact.oracle import Mark
from ballast.model.exact.structs import Change, Settlement
from ballast.testing.hedge_world import (
    FLOOR_HEALTH,
    MARKET,
    PAUSE_MARKDOWN_BPS,
    PRICE,
    TARGET_HEALTH,
    TWAP_WINDOW,
    World,
    add_aave,
    build,
    deepen,
)

SHORT = 500 * WAD
WEEK = 7 * 86_400
WHALE_BASE = 200_000  # [base] supplied by whoever borrows the pool dry
PENNY = WAD // 100


@pytest.fixture(scope="module")
def short_world() -> World:
    """Traders are short 2,500, so LPs are long; 500 of it is hedged at Aave; pools and rounds are fresh."""
    w = build(RevmChain())
    add_aave(w)
    w.deposit_margin(5_000_000 * WAD, w.trader)
    w.trade(-2_500 * WAD)
    w.next_block()
    w.rebalance(-SHORT)
    settle_pool(w)
    return w


@pytest.fixture
def w(short_world: World) -> Iterator[World]:
    """A copy of that world whose chain is put back afterwards."""
    with short_world.chain.undone():
        yield replace(short_world)


def settle_pool(w: World, price: int | None = None) -> None:
    """Feed, pool and its average agree on a price."""
    w.price = price or w.price
    w.pool.arbitrage_to(w.price)
    if abs(w.price - PRICE) > PRICE // 10:
        deepen(w, w.pool, 100_000 * WAD)
    w.next_block(TWAP_WINDOW + 1)


def position(w: World) -> twin.Position:
    """What the outside world says about the venue."""
    of_quote, of_base = (w.aave.reserve(token) for token in (w.quote, w.base))
    account = w.aave.pool.getUserAccountData(w.venue)
    bits = [int(w.aave.pool.getConfiguration(token).data) for token in (w.quote, w.base)]
    return twin.Position(
        collateral=of_quote.a_token.balanceOf(w.venue),
        debt=of_base.debt.balanceOf(w.venue),
        quote=w.quote.balanceOf(w.venue),
        base=w.base.balanceOf(w.venue),
        reserve=w.quote.balanceOf(of_quote.a_token),
        threshold_bps=(bits[0] >> 16) & 0xFFFF,
        collateral_value=account.totalCollateralBase,
        debt_value=account.totalDebtBase,
        account_threshold_bps=account.currentLiquidationThreshold,
        health=account.healthFactor,
        paused=any(each >> 60 & 1 for each in bits),
    )


def terms(w: World) -> twin.Venue:
    """What the venue was deployed with."""
    base_scale = 10 ** (18 - w.base.decimals())
    return twin.Venue(w.scale, base_scale, TARGET_HEALTH, FLOOR_HEALTH, PAUSE_MARKDOWN_BPS)


def assert_twin(w: World) -> None:
    """Every view is what the twin makes of the same world."""
    v, p = terms(w), position(w)
    assert w.venue.exposure() == twin.exposure(v, p)
    assert w.venue.health() == p.health
    assert w.venue.strain() == twin.strain(v, p)
    assert tuple(w.venue.lending()) == astuple(twin.lending(v, p, *indices(w)))
    for price in (w.price, w.price * 997 // 1_000 + 1):
        assert w.venue.equity(price) == twin.equity(v, p, price)
        for size in (-SHORT, -(10**15) - 1, SHORT // 3):
            assert w.venue.funding(size, price) == twin.funding(v, p, size, price)


def assert_tidy(w: World) -> None:
    """Nothing is left lying about: no quote, no allowance, no pool that may call back."""
    assert w.quote.balanceOf(w.venue) == 0
    for token in (w.quote, w.base):
        for spender in (w.aave.pool, w.pool.contract):
            assert token.allowance(w.venue, spender) == 0
    with reverts("venue: not the pool"):
        w.venue.uniswapV3SwapCallback.send(1, -1, b"", sender=w.whale)


def indices(w: World) -> list[int]:
    """Aave's of quote supplied and base borrowed, now [ray]."""
    pool = w.aave.pool
    return [pool.getReserveNormalizedIncome(w.quote), pool.getReserveNormalizedVariableDebt(w.base)]


def drain(w: World) -> None:
    """A whale borrows all quote that Aave has."""
    w.aave.supply(w.base, WHALE_BASE * 10 ** w.base.decimals(), owner=w.whale)
    w.aave.borrow(w.quote, w.quote.balanceOf(w.aave.reserve(w.quote).a_token), owner=w.whale)


def close(w: World, size: int = SHORT * 11 // 10) -> None:
    """Close while the trader has turned round, so that closing pays."""
    turn(w)
    w.rebalance(size)


def turn(w: World) -> None:
    """The trader goes from short to long, the block before."""
    w.trade(5_000 * WAD)
    w.next_block()


def deploy(w: World, **changes: object) -> Contract:
    """The world's venue once more, but for `changes`."""
    given = {
        "manager": w.manager, "base": w.base, "fees": [500], "target": TARGET_HEALTH, "floor": FLOOR_HEALTH,
        "markdown": PAUSE_MARKDOWN_BPS,
    } | changes  # fmt: skip
    return w.chain.deploy(
        "AaveShortVenue", given["manager"], w.clearinghouse, given["base"], w.uniswap.router, given["fees"],
        TWAP_WINDOW, w.aave.pool, given["target"], given["floor"], given["markdown"],
    )  # fmt: skip


def owned_venue(w: World) -> Contract:
    """One more venue, whose manager is an ordinary account: the keeper."""
    return deploy(w, manager=w.keeper)


def step(w: World, venue: Contract, size: int) -> None:
    """What the manager would send, and the step itself, with a limit 1 % off the price."""
    limit = w.price * (99 if size < 0 else 101) // 100
    w.quote.mint.send(venue, int(venue.funding(size, limit)))
    venue.rebalance.send(size, limit, 0, sender=w.keeper)


# ---- both ways


@pytest.mark.parametrize("shape", [(6, 18, True), (18, 8, False), (8, 6, True)])
def test_there_and_back_for_every_pair_of_decimals(shape: tuple[int, int, bool]) -> None:
    w = build(RevmChain(), quote_decimals=shape[0], base_decimals=shape[1], base_is_token0=shape[2])
    add_aave(w)
    w.deposit_margin(5_000_000 * WAD, w.trader)
    w.trade(-2_500 * WAD)
    w.next_block()
    w.inventory.sync.send(MARKET)
    nav, base_unit = w.nav(), 10 ** (18 - w.base.decimals())
    outcome = w.rebalance(-SHORT).one("Rebalanced").outcome
    assert -SHORT <= outcome.filled <= -SHORT + 8 * base_unit
    assert w.venue.exposure() == outcome.filled
    assert abs(w.nav() - nav - outcome.released + outcome.cost + outcome.reward + outcome.gas) < PENNY
    assert TARGET_HEALTH * 99 // 100 < w.venue.health() <= TARGET_HEALTH + MICRO
    assert_tidy(w)
    assert_twin(w)
    settle_pool(w)
    close(w)
    assert w.venue.exposure() == w.venue.equity(w.price) == 0
    assert position(w) == replace(position(w), collateral=0, debt=0, quote=0, base=0)
    assert_tidy(w)


def test_a_step_takes_from_lps_what_the_target_needs_beyond_the_sale(w: World) -> None:
    w.inventory.sync.send(MARKET)
    cash, equity = w.lp_cash(), w.venue.equity(w.price)
    outcome = w.rebalance(-SHORT).one("Rebalanced").outcome
    put_in = cash - w.lp_cash() - outcome.reward - outcome.gas + outcome.released
    assert abs(put_in - outcome.cost - (w.venue.equity(w.price) - equity)) < PENNY
    # 1.5 / 0.8 of the notional at the limit price, 15 bp down, less what the sale brought
    assert 872_000 * WAD < put_in < 874_000 * WAD


def test_half_a_closing_takes_half_the_collateral_home(w: World) -> None:
    turn(w)
    before, cash, held = position(w), w.lp_cash(), w.quote.balanceOf(w.clearinghouse)
    w.rebalance(SHORT // 2)
    after = position(w)
    # with the collateral that stayed and paid the pool, the twin says what went home
    paid = w.quote.balanceOf(w.clearinghouse) - held
    assert w.lp_cash() > cash
    whole = after.collateral + paid
    value = after.collateral_value * whole // after.collateral
    measured = replace(
        after, collateral=whole, collateral_value=value, health=value * 8 * WAD // 10 // after.debt_value
    )
    assert abs(twin.spare(terms(w), measured, recalled=False) - paid) <= 10
    assert SHORT // 2 - 8 <= before.debt - after.debt <= SHORT // 2
    assert abs(2 * after.collateral - before.collateral) < before.collateral // 100
    assert TARGET_HEALTH - MICRO < after.health < TARGET_HEALTH + MICRO
    assert w.lp_cash() > cash + 430_000 * WAD  # closing needs no cash, it brings some
    assert_tidy(w)
    assert_twin(w)


def test_collateral_is_left_alone_near_the_target(w: World) -> None:
    venue, v = owned_venue(w), terms(w)
    step(w, venue, -SHORT // 5)
    collateral = w.aave.reserve(w.quote).a_token
    before = collateral.balanceOf(venue)
    step(w, venue, -SHORT // 100)
    assert collateral.balanceOf(venue) == before
    step(w, venue, SHORT // 100)
    assert 9_990 * 10**6 < before - collateral.balanceOf(venue) < 10_020 * 10**6  # the pool was paid, no more
    home = w.quote.balanceOf(w.clearinghouse)
    step(w, venue, SHORT // 10)
    account = w.aave.pool.getUserAccountData(venue)
    assert TARGET_HEALTH - MICRO < account.healthFactor < TARGET_HEALTH + MICRO
    assert w.quote.balanceOf(w.clearinghouse) > home
    # what it decides in between, by the twin: halfway to the floor, and as far on the other side
    middle, beyond = (TARGET_HEALTH + FLOOR_HEALTH) // 2, TARGET_HEALTH + (TARGET_HEALTH - FLOOR_HEALTH) // 2
    p = position(w)
    enough = p.collateral * v.quote_scale * 8_000 * WAD // 10_000 // middle * WAD // w.price // v.base_scale
    assert twin.lacking(v, p, enough, w.price) == 0 < twin.lacking(v, p, enough + 10**13, w.price)
    assert twin.spare(v, replace(p, health=beyond), recalled=False) == 0
    assert twin.spare(v, replace(p, health=beyond + 1, debt_value=p.debt_value // 2), recalled=False) > 0


def test_a_closing_takes_nothing_from_lps(w: World) -> None:
    assert w.venue.funding(SHORT, w.price) == 0


def test_limits_are_kept_both_ways(w: World) -> None:
    for size, limit in ((-SHORT, w.price * 9_995 // 10_000), (SHORT // 2, w.price * 10_005 // 10_000)):
        with reverts("venue: not filled at the limit"):
            w.rebalance(size, limit)


def test_crumbs_are_refused(w: World) -> None:
    venue = owned_venue(w)
    step(w, venue, -WAD)
    for size in (-twin.ROUNDING, twin.ROUNDING):
        with reverts("venue: size too small"):
            step(w, venue, size)


def test_debt_never_becomes_a_long_position(w: World) -> None:
    close(w)
    w.next_block()
    with reverts("venue: nothing to buy back"):
        w.rebalance(WAD)
    w.base.mint.send(w.venue, WAD)  # a gift is what it is
    assert w.venue.exposure() == WAD
    assert_twin(w)


def test_base_given_to_it_pays_the_debt(w: World) -> None:
    w.base.mint.send(w.venue, 100 * WAD)
    w.manager.poke.send(0)
    assert w.venue.exposure() == 100 * WAD - position(w).debt
    close(w)
    assert w.venue.exposure() == 0
    assert position(w).debt == position(w).base == 0


def test_nobody_else_trades(w: World) -> None:
    for call in (
        lambda: w.venue.rebalance.send(WAD, NO_LIMIT, 0, sender=w.whale),
        lambda: w.venue.recall.send(10**6, PRICE, 0, sender=w.whale),
    ):
        with reverts("venue: not the manager"):
            call()
    mutating = {
        entry["name"]
        for entry in w.venue.artifact.abi
        if entry["type"] == "function" and entry["stateMutability"] not in ("view", "pure")
    }
    assert mutating == {"rebalance", "recall", "uniswapV3SwapCallback", "drop_collateral"}


# ---- interest


def test_interest_is_read_from_aave_and_told_to_inventory(w: World) -> None:
    before = position(w)
    w.chain.warp(8 * WEEK)
    w.push()
    after = position(w)
    assert after.debt > before.debt
    assert after.collateral == before.collateral  # nobody borrows quote
    assert_twin(w)
    w.inventory.sync.send(MARKET)  # what eight weeks have released
    nav = w.nav()
    marked = w.manager.poke.send(0).one("VenueMarked")
    assert marked.exposure == -after.debt
    assert abs(marked.equity_change - marked.exposure_change * w.price // WAD) < MICRO
    assert w.nav() == nav  # NAV knew


def test_lending_is_what_aave_says_whatever_is_borrowed(w: World) -> None:
    w.aave.supply(w.base, 50_000 * WAD, owner=w.whale)
    w.aave.borrow(w.quote, 40_000_000 * 10**6, owner=w.whale)
    close(w, SHORT // 2)
    before = indices(w)
    w.chain.warp(WEEK)
    assert all(now > then for then, now in zip(before, indices(w), strict=True))
    assert w.venue.lending().base == w.venue.exposure() < 0 < w.venue.lending().quote
    assert_twin(w)


# ---- cash


def test_recall_closes_what_sets_the_units_free(w: World) -> None:
    w.set_rule(lp_floor=w.lp_cash() + 200_000 * WAD, recall_floor=w.lp_cash() + 200_000 * WAD)
    before, v = position(w), terms(w)
    receipt = w.manager.recall.send(0, 10**6 * 100_000, sender=w.whale).one("Recalled")
    after = position(w)
    limit = hedge.limit(True, NO_LIMIT, w.price, hedge.tolerance(5 * WAD // 10_000, VenueParams().band))
    asked = twin.recalled(v, before, 10**6 * 100_000, limit)
    assert abs(before.debt - after.debt - twin.closed(before, asked)) <= twin.ROUNDING
    # what health lacked of the target stays
    lacked = before.debt_value * TARGET_HEALTH // WAD * 10 // 8 - before.collateral_value
    assert abs(receipt.units + lacked // 100 - 100_000 * 10**6) < 300 * 10**6
    assert_tidy(w)
    assert_twin(w)


def test_recall_of_more_than_there_is_closes_everything(w: World) -> None:
    w.set_rule(lp_floor=10**8 * WAD, recall_floor=10**8 * WAD)
    assert w.manager.recall.send(0, 10**15, sender=w.whale).one("Recalled").units > 870_000 * 10**6
    assert w.venue.exposure() == w.venue.equity(w.price) == 0


# ---- health


def test_opening_lifts_health_to_the_target_again(w: World) -> None:
    settle_pool(w, PRICE * 103 // 100)
    assert w.venue.health() < TARGET_HEALTH * 98 // 100
    w.rebalance(-SHORT)
    assert TARGET_HEALTH * 99 // 100 < w.venue.health() <= TARGET_HEALTH + MICRO


def test_no_step_may_open_below_the_floor(w: World) -> None:
    """After a rise a small step cannot bring enough collateral: twice its size is all that LPs are asked for."""
    venue = owned_venue(w)
    step(w, venue, -SHORT // 5)
    settle_pool(w, PRICE * 122 // 100)
    assert 0 < venue.health() < FLOOR_HEALTH
    with reverts("venue: health below the floor"):
        step(w, venue, -WAD)
    step(w, venue, -SHORT // 5)
    assert venue.health() > FLOOR_HEALTH


def test_nobody_unwinds_a_healthy_venue(w: World) -> None:
    settle_pool(w, PRICE * 119 // 100)
    assert FLOOR_HEALTH < w.venue.health() < TARGET_HEALTH
    with reverts("hedge: venue is healthy"):
        w.manager.unwind.send(0, NO_LIMIT, sender=w.whale)
    spot = w.chain.deploy("UniswapV3Venue", w.manager, w.clearinghouse, w.base, w.uniswap.router, [500], TWAP_WINDOW)
    w.list_venue(spot)
    with reverts("hedge: venue is healthy"):  # it owes nobody
        w.manager.unwind.send(1, NO_LIMIT, sender=w.whale)


def test_below_the_floor_anybody_brings_it_back_to_the_target(w: World) -> None:
    settle_pool(w, PRICE * 122 // 100)
    assert w.venue.health() < FLOOR_HEALTH
    w.manager.poke.send(0)
    assert_twin(w)
    strain, nav, cash, lp = w.venue.strain(), w.nav(), w.cash(w.whale), w.lp_cash()
    w.inventory.sync.send(MARKET)
    closed = w.manager.unwind.send(0, NO_LIMIT, sender=w.whale)
    event = closed.one("Unwound")
    assert strain - 8 <= closed.value <= strain
    assert TARGET_HEALTH * 99 // 100 < w.venue.health() <= TARGET_HEALTH
    assert w.venue.strain() == 0
    notional = hedge.mul_up(closed.value, w.price)
    expected = hedge.gas(Rule(), 0, w.price)  # the base fee of this chain
    assert event.paid == expected + notional * Rule().size_reward // 10**6 == w.cash(w.whale) - cash
    assert 0 < event.cost < hedge.mul_up(notional, hedge.tolerance(5 * WAD // 10_000, VenueParams().band))
    assert abs(nav - w.nav() - event.paid - event.cost) < PENNY
    assert lp - w.lp_cash() == event.paid  # it pays for itself out of the collateral
    assert_tidy(w)
    with reverts("hedge: venue is healthy"):
        w.manager.unwind.send(0, NO_LIMIT, sender=w.whale)


def test_crumbs_of_an_unwind_are_not_paid(w: World) -> None:
    settle_pool(w, PRICE * 130 // 100)
    strain = w.venue.strain()
    assert w.manager.unwind.send(0, strain // 5, sender=w.whale).one("Unwound").paid == 0
    assert 0 < w.venue.strain() < strain * 81 // 100
    assert w.manager.unwind.send(0, w.venue.strain() // 3, sender=w.whale).one("Unwound").paid > 0
    settle_pool(w, PRICE * 150 // 100)
    with reverts("hedge: zero size"):
        w.manager.unwind.send(0, 0, sender=w.whale)


def test_unwinding_stays_inside_the_bands(w: World) -> None:
    settle_pool(w, PRICE * 122 // 100)
    w.pool.arbitrage_to(w.price * 1_020 // 1_000)
    with reverts("hedge: venue off the oracle"):
        w.manager.unwind.send(0, NO_LIMIT, sender=w.whale)


# ---- what can go wrong at Aave


def test_a_liquidation_of_the_venue_is_marked_and_stops_nothing(w: World) -> None:
    settle_pool(w, PRICE * 155 // 100)
    before, nav = position(w), w.nav()
    assert before.health < WAD
    w.aave.liquidate(w.quote, w.base, w.venue, 100 * WAD, liquidator=w.whale)
    after = position(w)
    assert before.debt - after.debt == pytest.approx(100 * WAD, abs=2)
    seized = 100 * w.price // 10**12 * 10_450 // 10_000
    assert before.collateral - after.collateral == pytest.approx(seized, abs=2)
    assert_twin(w)
    assert abs(nav - w.nav() - 100 * w.price * 450 // 10_000) < PENNY  # the penalty, and nothing else
    marked = w.manager.poke.send(0).one("VenueMarked")
    assert (marked.exposure, marked.answered) == (w.venue.exposure(), True)
    assert_alive(w)
    w.manager.unwind.send(0, NO_LIMIT, sender=w.keeper)
    assert w.venue.health() > FLOOR_HEALTH


def test_debt_that_nothing_secures_is_not_lps_and_no_hedge(w: World) -> None:
    settle_pool(w, PRICE * 2)
    w.aave.liquidate(w.quote, w.base, w.venue, 10**24, liquidator=w.whale)
    assert (position(w).collateral, w.venue.health()) == (0, 0)
    assert position(w).debt > 0
    assert (w.venue.exposure(), w.venue.equity(w.price), w.venue.strain()) == (0, 0, 0)
    assert_twin(w)
    w.manager.poke.send(0)
    assert tuple(w.manager.venue_state(0))[:2] == (0, 0)
    assert_alive(w)
    with reverts("hedge: bad fill"):  # it would take on the debt that Aave has lost
        w.rebalance(-SHORT)


@pytest.mark.parametrize("token", ["quote", "base"])
def test_a_paused_reserve_is_marked_down_and_stops_nothing_else(w: World, token: str) -> None:
    asset, nav, equity = getattr(w, token), w.nav(), w.venue.equity(w.price)
    w.aave.set_paused(asset, True)
    assert w.venue.equity(w.price) == equity * (10_000 - PAUSE_MARKDOWN_BPS) // 10_000
    assert abs(nav - w.nav() - equity * PAUSE_MARKDOWN_BPS // 10_000) <= 1
    assert_twin(w)
    w.manager.poke.send(0)
    for size in (-SHORT, SHORT):
        with reverts("venue: reserve stopped"):
            w.rebalance(size)
    w.set_rule(lp_floor=10**8 * WAD, recall_floor=10**8 * WAD)
    with reverts("venue: reserve stopped"):
        w.manager.recall.send(0, 10**9)
    assert_alive(w)
    w.aave.set_paused(asset, False)
    assert w.venue.equity(w.price) == equity
    w.manager.recall.send(0, 10**9)


@pytest.mark.parametrize("token", ["quote", "base"])
def test_a_frozen_reserve_only_refuses_to_open(w: World, token: str) -> None:
    equity = w.venue.equity(w.price)
    w.aave.set_frozen(getattr(w, token), True)
    assert w.venue.equity(w.price) == equity
    with reverts("venue: reserve stopped"):
        w.rebalance(-SHORT)
    close(w)
    assert w.venue.exposure() == 0
    assert_alive(w)


def test_a_dry_reserve_cannot_stop_closing(w: World) -> None:
    """LPs pay for the base; the collateral comes home when the reserve has quote again."""
    drain(w)
    before = position(w)
    assert before.reserve == 0
    assert w.venue.funding(SHORT // 2, w.price) == SHORT // 2 * w.price // WAD // w.scale
    w.set_rule(lp_floor=10**8 * WAD, recall_floor=10**8 * WAD)
    with reverts("venue: reserve is dry"):
        w.manager.recall.send(0, 10**9)
    w.set_rule()
    cash = w.lp_cash()
    close(w, SHORT // 2)
    assert position(w).collateral == pytest.approx(before.collateral, rel=1e-4)  # with interest
    assert w.lp_cash() < cash - 400_000 * WAD
    assert w.venue.health() > 2 * FLOOR_HEALTH
    w.aave.supply(w.quote, 10**13, owner=w.keeper)
    settle_pool(w)
    w.rebalance(SHORT // 4)
    assert position(w).health < TARGET_HEALTH + MICRO
    assert w.lp_cash() > cash


def test_collateral_without_debt_comes_home_at_any_time(w: World) -> None:
    """All was closed while the reserve was dry, or Aave liquidated all of the debt: nothing is left to close."""
    drain(w)
    close(w)
    left = position(w).collateral
    assert (w.venue.exposure(), position(w).debt) == (0, 0)
    with reverts("hedge: bad fill"):  # still dry
        w.manager.recall.send(0, 1, sender=w.whale)
    w.aave.supply(w.quote, 10**13, owner=w.keeper)
    w.inventory.sync.send(MARKET)
    nav, cash, state = w.nav(), w.lp_cash(), w.manager.venue_state(0)
    received = w.manager.recall.send(0, 1, sender=w.whale).one("Recalled")
    assert left <= received.units <= left * 1_001 // 1_000  # with interest
    assert w.lp_cash() - cash == received.units * w.scale
    assert abs(w.nav() - nav) <= w.scale
    assert position(w).collateral == w.venue.equity(w.price) == 0
    after = w.manager.venue_state(0)
    assert (after.traded_at, after.used, after.equity) == (state.traded_at, state.used, 0)
    with reverts("hedge: LP cash suffices"):
        w.manager.recall.send(0, 1, sender=w.whale)


def test_a_gift_of_collateral_becomes_lp_cash(w: World) -> None:
    close(w)
    w.quote.mint.send(w.whale, 10**9)
    w.quote.approve.send(w.aave.pool, 10**9, sender=w.whale)
    w.aave.pool.send("supply", w.quote, 10**9, w.venue, 0, sender=w.whale)
    cash, equity = w.lp_cash(), w.venue.equity(w.price)
    assert equity // w.scale == pytest.approx(10**9, abs=2)
    w.manager.recall.send(0, 10**9, sender=w.whale)
    assert w.lp_cash() - cash == equity


def test_base_that_cannot_be_borrowed_refuses_to_open(w: World) -> None:
    w.aave.supply(w.quote, 200_000_000 * 10**6, owner=w.whale)
    w.aave.borrow(w.base, w.base.balanceOf(w.aave.reserve(w.base).a_token) - SHORT + 1_000, owner=w.whale)
    with reverts("venue: reserve is dry"):
        w.rebalance(-SHORT)


def test_a_poisoned_gift_can_be_dropped(w: World) -> None:
    """Aave pays out no quote while another collateral has no loan-to-value; anybody may make it ignore that one."""
    w.base.mint.send(w.whale, WAD)
    w.base.approve.send(w.aave.pool, WAD, sender=w.whale)
    w.aave.pool.send("supply", w.base, WAD, w.venue, 0, sender=w.whale)
    w.aave.configurator.send("configureReserveAsCollateral", w.base, 0, 8_250, 10_500, sender=w.aave.admin)
    w.trade(5_000 * WAD)
    w.next_block()
    with reverts("57"):
        w.rebalance(SHORT)
    with reverts("venue: quote is the collateral"):
        w.venue.drop_collateral.send(w.quote, sender=w.whale)
    w.venue.drop_collateral.send(w.base, sender=w.whale)
    w.rebalance(SHORT)
    assert w.venue.exposure() > -WAD


def assert_alive(w: World) -> None:
    """Trading, deposits, redemptions and NAV go on."""
    other = w.chain.accounts[7]
    w.push()
    w.deposit_margin(100_000 * WAD, other)
    w.trade(WAD, other)
    w.trade(-WAD, other)
    w.deposit_lp(1_000 * WAD)
    w.vault.requestRedeem.send(w.vault.balanceOf(w.lp) // 1_000, w.lp, w.lp, sender=w.lp)
    assert w.vault.valuation().nav > 0


# ---- I10


def test_a_keeper_who_moves_the_pool_never_costs_lps_more_than_the_rule_allows(w: World) -> None:
    """Whatever the pool was pushed to before, a step that passes costs at most phi of the fall it caused."""
    passed, reasons = 0, set()
    moves = (-25, -12, -5, 0, 5, 12, 25)  # [bp]
    for size in (-SHORT, -SHORT // 5, SHORT // 5):
        for move in moves:
            with w.chain.undone():
                w.inventory.sync.send(MARKET)
                w.pool.arbitrage_to(w.price * (10_000 + move) // 10_000, trader=w.keeper) if move else None
                nav = w.nav()
                try:
                    outcome = w.rebalance(size).one("Rebalanced").outcome
                except Reverted as error:
                    reasons.add(error.reason)
                    continue
                passed += 1
                assert nav - w.nav() <= budget(Rule().phi_bps, outcome.fall) - outcome.released + PENNY
                assert outcome.cost + outcome.reward + outcome.gas <= budget(Rule().phi_bps, outcome.fall)
                with reverts("hedge: cooling down"):
                    w.rebalance(size)
    assert 3 <= passed < 3 * len(moves)
    assert {reason.partition(":")[0] for reason in reasons} <= {"hedge", "venue"}


def test_a_rebalance_fits_its_gas(w: World) -> None:
    assert w.rebalance(-SHORT).gas_used < 650_000
    settle_pool(w)
    w.trade(5_000 * WAD)
    w.next_block()
    assert w.rebalance(SHORT).gas_used < 650_000


# ---- deployment


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"fees": []}, "venue: no fee tier"),
        ({"floor": 109 * PENNY}, "venue: health bounds"),
        ({"target": FLOOR_HEALTH + WAD // 11}, "venue: health bounds"),
        ({"target": 2 * WAD + 1}, "venue: health bounds"),
        ({"markdown": 10_001}, "venue: markdown"),
    ],
)
def test_constructor_refuses(w: World, changes: dict[str, object], reason: str) -> None:
    with reverts(reason):
        deploy(w, **changes)


def test_constructor_refuses_what_aave_does_not_list(w: World) -> None:
    other = w.chain.deploy("TestToken", "Other", "OTHER", 18)
    w.uniswap.create_pool(other, w.quote, 500, PRICE)
    with reverts("venue: not listed at Aave"):
        deploy(w, base=other)


# ---- HedgeManager's twin of unwind, the world around it as the chain measures it


@dataclass
class Measured:
    """Everything that HedgeManager's twin asks: the venue before and after, and what the others answer."""

    w: World
    market: int
    params: VenueParams
    state: VenueState
    paused: bool = False
    retired: bool = False
    scale: int = 10**12
    frozen: bool = False
    sent: int = 0
    asked: tuple[int, int, int] | None = None
    settled: tuple[str | None, Settlement] | None = None

    def read(self, price: int) -> tuple[int, int]:
        return self.exposure(), self.equity(price)

    def exposure(self) -> int:
        return int(self.w.venue.exposure())

    def equity(self, price: int) -> int:
        return int(self.w.venue.equity(price))

    def position(self, mid: int, twap: int) -> tuple[int, int, int]:
        return tuple(self.w.venue.position(mid, twap))

    def strain(self) -> int:
        return int(self.w.venue.strain())

    def best_route(self, size: int) -> int:
        return int(self.w.venue.best_route(size))

    def prices(self, route: int) -> Prices:
        return Prices(*self.w.venue.prices(route))

    def rebalance(self, size: int, limit: int, route: int) -> tuple[int, Prices]:
        """The step itself, by the real manager, with what the twin would have asked for."""
        self.asked = size, limit, route
        self.w.manager.unwind.send(0, size, sender=self.w.keeper)
        return self.sent, self.prices(route)

    # Clearinghouse, Inventory and PriceOracle

    def begin(self) -> None: ...
    def end(self) -> None: ...
    def fund(self, units: int) -> None: ...
    def collect(self, units: int) -> None: ...

    def vault_ledger(self) -> tuple[int, int]:
        return self.w.lp_cash(), 0

    def settle(self, account: str | None, settlement: Settlement) -> tuple[int, int]:
        self.settled = account, settlement
        return 0, 0

    def sync(self, market: int, now: int) -> Mark:
        return self.peek(market, now)

    def peek(self, market: int, now: int) -> Mark:
        return Mark(*self.w.oracle.peek(market))

    def adjust(self, market: int, mark: Mark, change: Change, now: int, *, hedges: bool, moved: int) -> Fall:
        return Fall(0, 0, 0, 0, 0)


@pytest.mark.parametrize("part", [1, 2, 5])
def test_unwind_equals_its_twin(w: World, part: int) -> None:
    settle_pool(w, PRICE * 130 // 100)
    w.manager.poke.send(0)
    w.inventory.sync.send(MARKET)
    state = VenueState(*w.manager.venue_state(0))
    measured = Measured(w, MARKET, VenueParams(), state, scale=w.scale)
    manager = HedgeManager(measured, measured, measured, Rule(), [measured])
    most = w.venue.strain() // part
    cash = w.cash(w.keeper)
    closed = manager.unwind(0, most, w.keeper, w.chain.now)
    assert measured.asked == (most, hedge.limit(True, NO_LIMIT, w.price, hedge.tolerance(5 * 10**14, 1_000)), 0)
    assert VenueState(*w.manager.venue_state(0)) == measured.state
    paid = w.cash(w.keeper) - cash
    assert measured.settled == ((w.keeper, Settlement(cash=paid, reserve=0)) if part < 5 else None)
    assert (paid == 0) == (part == 5)
    assert most - 8 <= closed <= most
