"""Venues that break their promises: nothing but the broken venue stops, and nobody is paid for it."""

from __future__ import annotations

import pytest

from ballast.chain import RevmChain, reverts
from ballast.model.exact.fixed import WAD
from ballast.model.exact.hedge import Fall
from ballast.model.roles import Role
from ballast.testing.hedge_world import FOREVER, NO_LIMIT, PRICE, Manner, World, add_double, add_uniswap, build

SIZE = 10 * WAD
NOTIONAL = SIZE * 2_000
TIGHT = Fall(fall=NOTIONAL * 15 // 10_000, freed=0, release=0, excess=0)  # enough for an honest venue
DEAD = [
    Manner.VIEWS_REVERT,
    Manner.VIEWS_BURN_GAS,
    Manner.VIEWS_GARBAGE,
    Manner.VIEWS_SILENT,
]


@pytest.fixture
def w(dictated: World) -> World:
    dictated.dictate(TIGHT)
    return dictated


def test_honest_venue_is_within_the_tight_rule(w: World) -> None:
    w.rebalance(SIZE)
    assert w.manager.venue_state(0).exposure == SIZE


@pytest.mark.parametrize(
    ("manner", "reason"),
    [
        (Manner.REFUSES, "double: refuses"),
        (Manner.OVERCHARGES, "hedge: costs more than it saves"),
        (Manner.FILLS_NOTHING, "hedge: bad fill"),
        (Manner.OVERSTATES, "hedge: bad fill"),
        (Manner.OVERFILLS, "hedge: bad fill"),
        (Manner.INVENTS_EQUITY, "hedge: impossible gain"),
        (Manner.ASKS_TOO_MUCH, "hedge: venue asks too much"),
        (Manner.MOVES_PRICE, "hedge: venue off the oracle"),
        (Manner.LOSES_ALL, "hedge: bad fill"),
    ],
)
@pytest.mark.parametrize("size", [SIZE, -SIZE])
def test_broken_promise_is_refused_with_its_reason(w: World, manner: Manner, reason: str, size: int) -> None:
    if size < 0:
        w.double.set_held.send(5 * SIZE)
        if manner is Manner.ASKS_TOO_MUCH:
            return  # a sale is not funded
    w.double.set_manners.send(manner)
    with reverts(reason):
        w.rebalance(size)


def test_partial_fill_is_judged_by_what_was_filled(w: World) -> None:
    w.double.set_manners.send(Manner.FILLS_HALF)
    outcome = w.rebalance(SIZE).value
    assert outcome.filled == SIZE // 2
    assert outcome.cost == NOTIONAL // 2 * 5 // 10_000
    assert w.manager.venue_state(0).used == NOTIONAL // 2 // 10**12


@pytest.mark.parametrize(("manner", "reason"), zip(DEAD, ["double: broken", "", "hedge: bad answer", ""], strict=True))
def test_dead_venue_counts_zero_and_blocks_no_other(w: World, manner: Manner, reason: str) -> None:
    w.rebalance(SIZE)
    first = w.double
    add_double(w)
    w.rebalance(SIZE, venue_id=1)
    first.set_manners.send(manner)
    assert w.venue_equity() == NOTIONAL
    receipt = w.manager.poke.send(0)
    assert receipt.one("VenueMarked") == (0, 0, 0, -SIZE, -NOTIONAL, False)
    assert (w.inventory.delta(), w.inventory.book()) == (SIZE, NOTIONAL)
    w.next_block()
    w.rebalance(SIZE, venue_id=1)
    with reverts(reason):
        w.rebalance(-SIZE, venue_id=0)


def test_dead_venue_that_recovers_is_marked_up_again(w: World) -> None:
    w.rebalance(SIZE)
    w.double.set_manners.send(Manner.VIEWS_REVERT)
    w.manager.poke.send(0)
    w.double.set_manners.send(Manner(0))
    assert w.manager.poke.send(0).one("VenueMarked") == (0, SIZE, NOTIONAL, SIZE, NOTIONAL, True)


def test_long_answer_is_cut_not_copied(w: World) -> None:
    w.double.set_held.send(SIZE)
    w.double.set_manners.send(Manner.VIEWS_SHOUT)
    assert w.venue_equity() == 0  # the first word of the shout is zero
    w.manager.poke.send(0)


def test_venue_without_code_counts_zero(w: World) -> None:
    w.list_venue(w.chain.deploy("RawResponder"))
    assert w.venue_equity() == 0
    w.manager.poke.send(1)


def test_answers_count_up_to_what_inventory_can_hold(w: World) -> None:
    """Exposure and equity are worth less than 10**10 quote: a wei more, and the venue counts for nothing."""
    most = 10**10 * WAD
    w.double.set_held.send(most // 2_000)  # at 2,000 exactly too much
    for skew, answered in ((0, False), (-1, True)):
        w.double.set_lies.send(skew, 0)  # no equity
        assert w.manager.poke.send(0).find("VenueMarked")[-1:] == (
            [(0, most // 2_000 - 1, 0, most // 2_000 - 1, 0, True)] if answered else []
        )
    w.double.set_lies.send(-(most // 2_000), 10_000)  # no exposure
    for held, equity in ((most // 2_000, 0), (most // 2_000 - 1, most - 2_000)):
        w.double.set_held.send(held)
        assert w.venue_equity() == equity


def test_value_of_exposure_is_bounded_to_the_wei_and_rounded_up(w: World) -> None:
    w.next_block(61, WAD // 2)
    w.double.set_lies.send(0, 0)
    most = 10**10 * WAD
    w.double.set_held.send(2 * most - 2)  # worth most - 1
    assert w.manager.poke.send(0).one("VenueMarked") == (0, 2 * most - 2, 0, 2 * most - 2, 0, True)
    w.double.set_held.send(2 * most - 1)  # worth half a wei more
    assert w.manager.poke.send(0).one("VenueMarked") == (0, 0, 0, 2 - 2 * most, 0, False)


def test_venue_that_boasts_of_exposure_loses_its_equity_to_the_wei(w: World) -> None:
    w.rebalance(SIZE)
    w.double.set_lies.send(10**10 * WAD // 2_000, 10_000)
    assert w.manager.poke.send(0).one("VenueMarked") == (0, 0, 0, -SIZE, -NOTIONAL, False)


def test_equity_at_the_oracles_price_is_bounded_in_a_trade(w: World) -> None:
    w.double.set_held.send(10**10 * WAD // 2_000)
    w.double.set_price.send(PRICE, PRICE - 1)  # less than the bound at the average
    with reverts("hedge: bad answer"):
        w.rebalance(-SIZE)


@pytest.mark.parametrize("sign", [1, -1])
def test_exposure_counts_below_two_to_the_95(w: World, sign: int) -> None:
    w.next_block(61, 1)  # a base is worth a wei: its value is no bound
    w.double.set_lies.send(0, 0)
    w.double.set_held.send(sign * 2**95)
    assert w.manager.poke.send(0).find("VenueMarked") == []
    w.double.set_held.send(sign * (2**95 - 1))
    assert w.manager.poke.send(0).one("VenueMarked").exposure == sign * (2**95 - 1)


def test_venue_that_loses_everything_marks_nav_down(w: World) -> None:
    w.rebalance(SIZE)
    w.double.set_manners.send(Manner.LOSES_ALL)
    assert w.venue_equity() == 0
    assert w.manager.poke.send(0).one("VenueMarked") == (0, 0, 0, -SIZE, -NOTIONAL, True)


def test_healthy_venue_cannot_be_made_to_look_dead_by_sending_little_gas(w: World) -> None:
    """For every gas limit the answer is the truth or a revert, never zero."""
    w.rebalance(SIZE)
    truth = w.venue_equity()
    seen = {"truth": 0, "revert": 0}
    for gas in range(30_000, 500_000, 5_000):
        tx = w.manager.tx("equity", [w.price], gas=gas)
        try:
            answer = int.from_bytes(w.chain.read(tx), "big")
        except Exception:
            seen["revert"] += 1
            continue
        assert answer == truth
        seen["truth"] += 1
    assert min(seen.values()) > 10
    for gas in range(100_000, 600_000, 10_000):
        try:
            w.manager.send("poke", 0, gas=gas)
        except Exception:
            continue
        assert w.manager.venue_state(0).exposure == SIZE


def test_starved_view_says_so(w: World) -> None:
    with reverts("hedge: not enough gas"):
        w.chain.read(w.manager.tx("equity", [w.price], gas=230_000))


# ---- re-entry


@pytest.fixture
def greedy() -> World:
    """A real system whose listed venue re-enters; a trader is long."""
    w = build(RevmChain())
    add_double(w)
    add_uniswap(w)
    w.deposit_margin(2_000_000 * WAD, w.trader)
    w.trade(2_500 * WAD)
    w.next_block()
    w.double.set_manners.send(Manner.RE_ENTERS)
    return w


def test_venue_cannot_reenter_anything_that_moves_value(greedy: World) -> None:
    w = greedy
    w.quote.mint.send(w.double, 10**12)
    thief = w.double.address
    carry = w.chain.deploy("Carry", w.engine, w.manager, w.oracle)
    w.engine.grant_role.send(carry, Role.HEDGER, sender=w.setup)
    attempts = [
        (carry, carry.tx("measure", 0), ""),
        (w.manager, w.manager.tx("rebalance", 1, 0, SIZE, NO_LIMIT), ""),
        (w.manager, w.manager.tx("poke", 0), ""),
        (w.manager, w.manager.tx("recall", 0, 1), ""),
        (w.manager, w.manager.tx("equity", [w.price]), ""),
        (w.vault, w.vault.tx("deposit", 10**9, w.double.address), "clearing: in progress"),
        (w.vault, w.vault.tx("totalAssets"), "clearing: in progress"),
        (w.engine, w.engine.tx("trade", 0, WAD, NO_LIMIT, FOREVER), "clearing: in progress"),
        (w.engine, w.engine.tx("sync", 0), "clearing: in progress"),
        (w.clearinghouse, w.clearinghouse.tx("deposit", 10**6, w.double.address), "clearing: in progress"),
        (
            w.clearinghouse,
            w.clearinghouse.tx("withdraw", 1, thief, thief),
            "clearing: in progress",
        ),
        (w.clearinghouse, w.clearinghouse.tx("absorb_donation"), "clearing: in progress"),
    ]
    for target, tx, reason in attempts:
        w.double.prepare.send(target, tx.data)
        with reverts(reason):
            w.rebalance(SIZE, venue_id=0)


# ---- liveness with a dead venue in the real system (I14)


@pytest.mark.parametrize("manner", DEAD)
def test_dead_venue_blocks_neither_traders_nor_lps(manner: Manner) -> None:
    w = build(RevmChain())
    add_double(w)
    w.deposit_margin(2_000_000 * WAD, w.trader)
    w.trade(2_500 * WAD)
    w.next_block()
    w.rebalance(300 * WAD)
    nav = w.nav()
    w.double.set_manners.send(manner)
    assert abs(nav - w.nav() - 600_000 * WAD) < 10_000 * WAD
    w.manager.poke.send(0)
    w.next_block()
    w.trade(-1_000 * WAD)
    w.deposit_lp(1_000 * WAD)
    shares = w.vault.balanceOf(w.lp) // 10
    w.vault.requestRedeem.send(shares, w.lp, w.lp, sender=w.lp)
    w.chain.warp(86_401)
    w.push()
    w.vault.processEpoch.send()
    assert w.vault.maxRedeem(w.lp) > 0
    w.trade(-1_500 * WAD)
    w.vault.redeem.send(w.vault.maxRedeem(w.lp), w.lp, w.lp, sender=w.lp)
