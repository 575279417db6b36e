"""I10 against a keeper who also trades, provides and moves the pool: real contracts, real Uniswap v3 pool.

A permissionless hedge, reward and gas included, never lowers LP equity by more than phi times the fall of U it caused;
and no sequence of trades, hedges and pool moves in one oracle round profits its actor.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ballast.chain import Receipt, Reverted, RevmChain, reverts
from ballast.model.exact.fixed import MICRO, WAD
from ballast.model.exact.hedge import Rule, budget
from ballast.testing.hedge_world import PRICE, World, add_uniswap, build

PHI_BPS = Rule().phi_bps
PURSE = 2**121  # [token units] of either: more than the pool helpers ask for, so nothing is minted for the actor later


def hedge_checked(w: World, size: int, sender: str | None = None) -> Receipt:
    """A rebalance after which LP equity is down by at most phi * fall: I10."""
    w.inventory.sync.send(0)  # what a new block releases is not the hedge's doing
    before = w.nav()
    receipt = w.rebalance(size, sender=sender)
    outcome = receipt.one("Rebalanced").outcome
    assert before - w.nav() <= budget(PHI_BPS, outcome.fall) - outcome.released
    assert outcome.cost + outcome.reward + outcome.gas <= budget(PHI_BPS, outcome.fall)
    return receipt


def arm(w: World, actor: str) -> None:
    """Tokens enough that the pool helpers never mint for the actor."""
    w.quote.mint.send(actor, PURSE)
    w.base.mint.send(actor, PURSE)


def wealth(w: World, actor: str) -> int:
    """Wallet and ledger cash, base at the oracle's price; positions must be closed [quote, WAD]."""
    quote, base = w.tokens_of(actor)
    cash, mask = w.clearinghouse.account(actor)
    assert mask == 0
    return quote * w.scale + base * 10 ** (18 - w.base.decimals()) * w.price // WAD + cash


# ---- the honest case


def test_honest_hedge_pays_its_keeper_and_leaves_lps_better_off(real: World) -> None:
    real.inventory.sync.send(0)
    before, nav = real.potential(), real.nav()
    outcome = hedge_checked(real, 400 * WAD).one("Rebalanced").outcome
    assert 0 <= before - real.potential() - outcome.fall < MICRO  # U at block start is kept in MICRO
    assert real.cash(real.keeper) == outcome.reward + outcome.gas
    assert real.nav() > nav  # traders' charges paid for the hedge
    assert real.venue.exposure() == 400 * WAD


@pytest.mark.parametrize("base_is_token0", [True, False])
@pytest.mark.parametrize(("quote_decimals", "base_decimals"), [(6, 8), (8, 6), (18, 18), (18, 6)])
def test_hedge_and_back_for_every_pair_of_decimals(
    quote_decimals: int, base_decimals: int, base_is_token0: bool
) -> None:
    w = build(RevmChain(), quote_decimals=quote_decimals, base_decimals=base_decimals, base_is_token0=base_is_token0)
    add_uniswap(w)
    w.deposit_margin(2_000_000 * WAD, w.trader)
    w.trade(2_500 * WAD)
    w.next_block()
    bought = hedge_checked(w, 300 * WAD).one("Rebalanced").outcome
    assert 8 * bought.filled * 2_000 < 10_000 * bought.cost < 9 * bought.filled * 2_000  # 5 bp, and 3 of impact
    w.pool.arbitrage_to(PRICE)
    w.trade(-2_500 * WAD)
    w.trade(-2_000 * WAD)
    w.next_block()
    sold = hedge_checked(w, -300 * WAD).one("Rebalanced").outcome
    assert abs(sold.cost - bought.cost) < bought.cost // 10
    assert w.venue.exposure() == 0
    assert w.quote.balanceOf(w.clearinghouse) == w.clearinghouse.buckets().total_units


def test_hedge_takes_the_tier_that_is_cheaper_for_its_size(chain: RevmChain) -> None:
    w = build(chain)
    add_uniswap(w, fees=(3_000, 500))
    w.deposit_margin(2_000_000 * WAD, w.trader)
    w.trade(2_500 * WAD)
    w.next_block()
    outcome = hedge_checked(w, 300 * WAD).one("Rebalanced").outcome
    assert outcome.cost < 9 * outcome.filled * 2_000 // 10_000


def test_hedge_over_two_tiers_is_judged_as_one(chain: RevmChain) -> None:
    w = build(chain)
    add_uniswap(w, fees=(500, 3_000), base_depth=5_000 * WAD, band=10_000)
    w.deposit_margin(4_000_000 * WAD, w.trader)
    w.trade(4_500 * WAD)
    w.next_block()
    assert w.venue.best_route(150 * WAD) >> 16
    outcome = hedge_checked(w, 150 * WAD).one("Rebalanced").outcome
    assert outcome.filled == 150 * WAD == w.venue.exposure()
    assert 20 * outcome.filled * 2_000 < 10_000 * outcome.cost  # impact, not the cheap tier's fee alone
    assert w.quote.balanceOf(w.venue) == 0
    assert w.quote.balanceOf(w.clearinghouse) == w.clearinghouse.buckets().total_units


def test_hedge_in_the_wrong_direction_reverts(real: World) -> None:
    hedge_checked(real, 100 * WAD)
    real.next_block()
    with reverts("hedge: costs more than it saves"):
        real.rebalance(-50 * WAD)


def test_hedging_beyond_flat_reverts(real: World) -> None:
    real.set_venue_params(turnover=10**15, band=10_000)
    real.trade(-2_300 * WAD)  # 200 short are left
    real.next_block()
    with reverts("hedge: costs more than it saves"):
        real.rebalance(800 * WAD)


def test_hedge_goes_home_when_the_risk_has_gone(real: World) -> None:
    for _ in range(3):
        hedge_checked(real, 400 * WAD)
        real.pool.arbitrage_to(PRICE)
        real.next_block()
    real.trade(-2_500 * WAD)
    real.next_block()
    before = real.potential()
    hedge_checked(real, -300 * WAD)
    assert real.potential() < before
    assert real.venue.exposure() == 900 * WAD


# ---- the keeper moves the pool


@pytest.mark.parametrize("shift_bp", [-14, -8, -3, 3, 6, 9, 11])
@pytest.mark.parametrize("size", [50, 200, 400])
def test_sandwich_takes_no_more_than_phi_of_the_fall(real: World, shift_bp: int, size: int) -> None:
    """Move spot, rebalance, move it back: what the actor gains, LPs lose at most phi * fall of, all told."""
    w = real
    arm(w, w.whale)
    w.inventory.sync.send(0)
    start, nav = wealth(w, w.whale), w.nav()
    w.pool.arbitrage_to(PRICE * (10_000 + shift_bp) // 10_000, trader=w.whale)
    outcome = _attempt(lambda: hedge_checked(w, size * WAD, sender=w.whale))
    w.pool.arbitrage_to(PRICE, trader=w.whale)
    if outcome is None:
        assert w.nav() == nav
        return
    done = outcome.one("Rebalanced").outcome
    assert nav - w.nav() <= budget(PHI_BPS, done.fall)
    assert wealth(w, w.whale) - start <= budget(PHI_BPS, done.fall)


@pytest.mark.parametrize("shift_bp", [-17, 17, 40, -40, 500])
def test_spot_beyond_the_band_stops_the_hedge(real: World, shift_bp: int) -> None:
    real.pool.arbitrage_to(PRICE * (10_000 + shift_bp) // 10_000, trader=real.whale)
    with reverts("hedge: venue off the oracle"):
        real.rebalance(50 * WAD)


def test_hedge_too_large_for_the_pool_leaves_the_band_and_reverts(real: World) -> None:
    with reverts("venue: not filled at the limit"):
        real.rebalance(2_400 * WAD)
    with reverts("hedge: venue off the oracle"):
        real.rebalance(900 * WAD)


def test_limit_price_protects_the_keepers_reward(real: World) -> None:
    with reverts("venue: not filled at the limit"):
        real.rebalance(100 * WAD, limit=PRICE * 10_004 // 10_000)
    hedge_checked(real, 100 * WAD)


def test_average_moved_over_its_whole_window_stops_the_hedge(real: World) -> None:
    """Holding the pool 20 bp away for the window, then showing the oracle's price, does not help."""
    w = real
    w.pool.arbitrage_to(PRICE * 10_020 // 10_000, trader=w.whale)
    w.next_block(301)
    w.pool.arbitrage_to(PRICE, trader=w.whale)
    with reverts("hedge: venue off its average"):
        w.rebalance(50 * WAD)


# ---- recall


@pytest.mark.parametrize("shift_bp", [0, -4, -8])
def test_recall_loses_at_most_fee_and_band_whoever_moves_the_pool(real: World, shift_bp: int) -> None:
    w = real
    hedge_checked(w, 400 * WAD)
    w.pool.arbitrage_to(PRICE)
    w.next_block()
    missing = 200_000 * WAD
    w.set_rule(recall_floor=w.lp_cash() + missing, lp_floor=w.lp_cash() + missing)
    w.inventory.sync.send(0)
    nav = w.nav()
    w.pool.arbitrage_to(PRICE * (10_000 + shift_bp) // 10_000, trader=w.whale)
    receipt = w.manager.recall.send(0, 10**15, sender=w.whale)
    sold = 400 * WAD - receipt.one("Recalled").exposure
    assert nav - w.nav() <= sold * 2_000 * 15 // 10_000
    assert abs(receipt.value * w.scale - missing) < missing // 500
    assert w.quote.balanceOf(w.clearinghouse) == w.clearinghouse.buckets().total_units


def test_recall_below_its_price_floor_reverts(real: World) -> None:
    w = real
    hedge_checked(w, 400 * WAD)
    w.pool.arbitrage_to(PRICE * 9_989 // 10_000)
    w.next_block()
    w.set_rule(recall_floor=w.lp_cash() + 200_000 * WAD, lp_floor=w.lp_cash() + 200_000 * WAD)
    with reverts("venue: not filled at the limit"):
        w.manager.recall.send(0, 10**15)


# ---- splitting


@pytest.mark.parametrize("parts", [1, 2, 5, 10])
def test_splitting_never_takes_more_than_phi_of_the_whole_fall(real: World, parts: int) -> None:
    real.set_venue_params(cooldown=1)
    spent = fall = 0
    before = real.potential()
    for _ in range(parts):
        outcome = hedge_checked(real, 400 * WAD // parts).one("Rebalanced").outcome
        spent += outcome.cost + outcome.reward + outcome.gas
        fall += outcome.fall
        real.chain.warp(1)
    assert spent <= budget(PHI_BPS, fall)
    assert fall <= before - real.potential() + parts * 10**13  # U drifts by what is released in between


def test_split_in_one_block_waits_for_the_cooldown(real: World) -> None:
    real.rebalance(50 * WAD)
    with reverts("hedge: cooling down"):
        real.rebalance(50 * WAD)


# ---- the keeper trades too


def test_risk_made_in_the_same_block_cannot_be_hedged_for_pay(chain: RevmChain) -> None:
    w = build(chain)
    add_uniswap(w)
    w.next_block()
    w.deposit_margin(2_000_000 * WAD, w.whale)
    w.trade(2_500 * WAD, w.whale)
    with reverts("hedge: costs more than it saves"):
        w.rebalance(400 * WAD, sender=w.whale)
    w.next_block()
    hedge_checked(w, 400 * WAD, w.whale)


def test_adding_risk_before_hedging_others_risk_counts_only_the_others(real: World) -> None:
    """U at block start caps the fall, however high the actor drives it within the block."""
    w = real
    w.deposit_margin(2_000_000 * WAD, w.whale)
    w.inventory.sync.send(0)
    opening = w.potential()
    w.trade(50 * WAD, w.whale)
    assert w.potential() > opening
    outcome = hedge_checked(w, 400 * WAD, w.whale).one("Rebalanced").outcome
    assert 0 <= opening - w.potential() - outcome.fall < MICRO


def test_donation_made_in_the_same_block_cannot_be_hedged_for_pay(chain: RevmChain) -> None:
    w = build(chain)
    add_uniswap(w)
    w.next_block()
    w.base.mint.send(w.venue, w.base_units(2_000 * WAD))
    with reverts("hedge: costs more than it saves"):
        w.rebalance(-300 * WAD, sender=w.whale)


def test_release_that_a_donation_books_first_is_no_gain_of_the_hedge(real: World) -> None:
    w = real
    w.rebalance(400 * WAD)
    w.pool.arbitrage_to(PRICE)
    w.next_block(6 * 3_600)  # what the reserve has too much is due now
    w.base.mint.send(w.venue, w.base_units(WAD))
    before, reserve = w.nav() + w.reserve(), w.reserve()
    outcome = w.rebalance(200 * WAD).one("Rebalanced").outcome
    assert reserve - w.reserve() > outcome.released + WAD
    assert before - w.nav() - w.reserve() <= outcome.cost + outcome.reward + outcome.gas


def test_donation_sold_back_later_is_a_loss_for_its_giver(chain: RevmChain) -> None:
    w = build(chain)
    add_uniswap(w)
    w.next_block()
    arm(w, w.whale)
    start, nav = wealth(w, w.whale), w.nav()
    w.base.transfer.send(w.venue, w.base_units(2_000 * WAD), sender=w.whale)
    w.manager.poke.send(0)
    w.next_block()
    hedge_checked(w, -300 * WAD, w.whale)
    assert wealth(w, w.whale) - start < -3_900_000 * WAD
    assert w.nav() - nav > 3_900_000 * WAD


ACTION = st.one_of(
    st.tuples(st.just("trade"), st.integers(-2_000, 2_000).filter(bool)),
    st.tuples(st.just("hedge"), st.integers(20, 400)),  # toward flat
    st.tuples(st.just("hedge"), st.integers(-400, -20)),  # away from it
    st.tuples(st.just("pool"), st.integers(-8, 8)),
    st.tuples(st.just("block"), st.just(12)),
)


@pytest.mark.fuzz
@settings(max_examples=60)
@given(actions=st.lists(ACTION, min_size=3, max_size=14))
def test_no_sequence_in_one_round_profits_its_actor(actions: list[tuple[str, int]]) -> None:
    """The actor makes all the risk there is, hedges it for pay, moves the pool, closes: never richer than before."""
    _play(actions)


@pytest.mark.parametrize(
    "actions",
    [
        # open, hedge in the next block, close
        [("trade", 800), ("trade", 800), ("block", 12), ("hedge", 300), ("trade", -800)],
        # hedge back and forth around own trades
        [
            ("trade", 1_800),
            ("block", 12),
            ("hedge", 300),
            ("trade", -1_800),
            ("trade", -900),
            ("block", 12),
            ("hedge", 90),
        ],
        # sandwich the hedge of own risk
        [("trade", 800), ("trade", 800), ("trade", 800), ("block", 12), ("pool", 9), ("hedge", 300), ("pool", 0)],
    ],
)
def test_known_schemes_lose_money(actions: list[tuple[str, int]]) -> None:
    assert _play(actions) < 0


def _play(actions: list[tuple[str, int]]) -> int:
    """
    Run a sequence within one oracle round; the actor's gain [quote, WAD], asserted not to be positive.

    Spreads are off, so that the inventory charge alone has to pay for what hedging gives back.
    """
    w = build(RevmChain())
    add_uniswap(w, cooldown=1, turnover=10**15, max_age=3_600)
    actor = w.whale
    arm(w, actor)
    w.quote.approve.send(w.clearinghouse, 2**255, sender=actor)
    w.clearinghouse.deposit.send(w.units(5_000_000 * WAD), actor, sender=actor)
    w.set_rule(gas_units=0)
    w.inventory.set_market_params.send(0, 0, sender=w.setup)
    w.next_block()
    start = wealth(w, actor)
    position = 0
    for kind, amount in actions:
        if kind == "trade":
            if _attempt(lambda amount=amount: w.trade(amount * WAD, actor)):
                position += amount
        elif kind == "hedge":
            exposed = w.venue.exposure() - position * WAD  # the vault's, the actor being its only trader
            size = -amount * WAD if exposed > 0 else amount * WAD
            _attempt(lambda size=size: hedge_checked(w, size, actor))
        elif kind == "pool":
            w.pool.arbitrage_to(PRICE * (10_000 + amount) // 10_000, trader=actor)
        else:
            w.chain.warp(amount)
    if position:
        w.trade(-position * WAD, actor)
    w.pool.arbitrage_to(PRICE, trader=actor)
    gain = wealth(w, actor) - start
    assert gain <= 10**13  # rounding of token units
    return gain


def _attempt(action: Callable[[], Receipt]) -> Receipt | None:
    """A move that the system may refuse with a reason of its own."""
    try:
        return action()
    except Reverted as refusal:
        if refusal.reason.partition(":")[0] not in ("hedge", "venue", "inventory", "margin"):
            raise
        return None
