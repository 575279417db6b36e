"""Marking to the venue, equity for NAV, and turning hedges back into cash."""

from __future__ import annotations

import pytest

from ballast.chain import RevmChain, reverts
from ballast.model.exact import hedge
from ballast.model.exact.fixed import WAD
from ballast.model.exact.hedge import NO_LIMIT, Fall, Rule, VenueState
from ballast.model.roles import Role
from ballast.testing.hedge_world import PRICE, Manner, World, add_double, build

SIZE = 10 * WAD
NOTIONAL = SIZE * 2_000
GENEROUS = Fall(fall=10**6 * WAD, freed=0, release=0, excess=0)


@pytest.fixture
def w(dictated: World) -> World:
    """Hedged with 10 base."""
    dictated.dictate(GENEROUS)
    dictated.rebalance(SIZE)
    dictated.next_block()
    return dictated


# ---- poke


def test_poke_without_news_tells_nothing(w: World) -> None:
    calls = w.inventory.calls()
    receipt = w.manager.poke.send(0)
    assert receipt.find("VenueMarked") == receipt.find("Settled") == []
    assert w.inventory.calls() == calls


def test_poke_without_news_ends_its_operation(w: World) -> None:
    """Else nothing else could happen in the transaction: a second poke would find the first under way."""
    poke = (w.manager.address, w.manager.tx("poke", 0).data)
    w.chain.deploy("Operation").run.send([poke, poke])


def test_poke_leaves_to_the_price_what_the_price_explains(w: World) -> None:
    w.next_block(61, PRICE * 7 // 10 + 1)
    assert w.manager.poke.send(0).find("VenueMarked") == []


def test_poke_reports_a_donation_as_what_it_is(w: World) -> None:
    w.double.set_held.send(11 * WAD)
    event = w.manager.poke.send(0).one("VenueMarked")
    assert event == (0, 11 * WAD, 22_000 * WAD, WAD, 2_000 * WAD, True)
    assert (w.inventory.delta(), w.inventory.book()) == (11 * WAD, 22_000 * WAD)


def test_poke_reports_a_loss_beyond_the_price(w: World) -> None:
    w.next_block(61, PRICE * 11 // 10)
    w.double.set_held.send(9 * WAD)
    event = w.manager.poke.send(0).one("VenueMarked")
    assert event.exposure_change == -WAD
    assert event.equity_change == -2_200 * WAD
    assert w.manager.venue_state(0) == (9 * WAD, 19_800 * WAD, w.price, NOTIONAL // 10**12, w.chain.now - 122)


def test_poke_books_the_release_that_inventory_found(w: World) -> None:
    w.vault.fill_reserve.send(100 * WAD)
    w.dictate(Fall(0, 0, 5 * WAD, 0))
    w.double.set_held.send(11 * WAD)
    w.manager.poke.send(0)
    assert w.reserve() == 95 * WAD


def test_poke_works_on_a_stale_mark(w: World) -> None:
    w.chain.warp(10 * 86_400)
    w.double.set_held.send(0)
    assert w.manager.poke.send(0).one("VenueMarked").exposure == 0


@pytest.mark.parametrize("price", [PRICE - 1, PRICE + 1, PRICE * 3 // 7])
def test_poke_equals_its_twin(w: World, price: int) -> None:
    w.double.set_held.send(SIZE + 12_345)
    w.next_block(61, price)
    venue = w.chain.at("IHedgeVenue", w.double)
    before = VenueState(*w.manager.venue_state(0))
    expected, told = hedge.mark(before, price, venue.exposure(), venue.equity(price))
    delta, book = w.inventory.delta(), w.inventory.book()
    w.manager.poke.send(0)
    assert told == (w.inventory.delta() - delta, w.inventory.book() - book)
    assert VenueState(*w.manager.venue_state(0)) == expected


def test_roundings_of_equity_are_told_with_each_step(w: World) -> None:
    odd = 10 * WAD + 1
    w.double.set_held.send(odd)
    w.manager.poke.send(0)
    for step in range(1, 30):
        w.next_block(61, PRICE + step * 333_333_333_333_333_333)
        w.double.set_price.send(w.price, w.price)
        w.rebalance(SIZE // 100)
        moved = hedge.expected_equity(VenueState(*w.manager.venue_state(0)), w.price)
        true = w.chain.at("IHedgeVenue", w.double).equity(w.price)
        assert moved == true


@pytest.mark.parametrize("left", [9 * WAD, 0])
def test_what_a_poke_leaves_is_told_with_the_next_step(w: World, left: int) -> None:
    """Two roundings of the price leave a wei less than the venue has."""
    held = 10 * WAD + 1
    w.next_block(61, PRICE + 6 * WAD // 10)
    w.double.set_held.send(held)
    w.manager.poke.send(0)
    w.next_block(61, PRICE + 12 * WAD // 10)
    w.double.set_price.send(w.price, w.price)
    venue = w.chain.at("IHedgeVenue", w.double)
    moved = hedge.expected_equity(VenueState(*w.manager.venue_state(0)), w.price)
    assert moved == venue.equity(w.price) - 1
    told = w.inventory.book()
    w.rebalance(left - held)
    assert w.inventory.book() - told == venue.equity(w.price) - moved
    assert w.manager.venue_state(0).equity == venue.equity(w.price)


@pytest.mark.parametrize("side", [1, -1])
def test_a_step_leaves_a_little_exposure_from_nowhere_untold(w: World, side: int) -> None:
    """One part in ten thousand waits for a poke or a step that finds more; no fall of U is measured on it."""
    held = w.manager.venue_state(0).exposure
    little = held // 10_000
    for drift, told in ((little, False), (little + 1, True)):
        w.next_block()
        before = w.manager.venue_state(0).exposure
        w.double.set_held.send(before + side * drift)
        delta, calls = w.inventory.delta(), w.inventory.calls()
        receipt = w.rebalance(WAD)
        assert w.inventory.calls() - calls == 1 + told
        assert receipt.one("Rebalanced").outcome.filled == WAD
        assert w.inventory.delta() - delta == WAD + side * drift * told
        assert w.manager.venue_state(0).exposure == before + WAD + side * drift * told
        w.double.set_held.send(held)
        w.manager.poke.send(0)
    w.double.set_held.send(held + side)
    assert w.manager.poke.send(0).one("VenueMarked").exposure_change == side


def test_poke_when_the_price_explains_less_than_nothing(w: World) -> None:
    """Exposure without equity: a wei of base falls by half a wei, which rounds to -1 and is reported."""
    w.double.set_lies.send(0, 0)
    w.double.set_held.send(1)
    w.manager.poke.send(0)
    w.next_block(61, PRICE - WAD // 2)
    assert w.manager.poke.send(0).one("VenueMarked") == (0, 1, 0, 0, 1, True)


# ---- equity


def test_equity_is_at_the_mark_a_sync_would_leave(w: World) -> None:
    w.chain.warp(61)
    w.push(PRICE * 9 // 10)
    assert w.venue_equity() == SIZE * 1_800


def test_equity_takes_the_haircut_of_each_venue(w: World) -> None:
    add_double(w, haircut_bps=100)
    w.double.set_held.send(SIZE)
    assert w.venue_equity() == NOTIONAL + NOTIONAL * 99 // 100


def test_equity_of_no_venue_is_zero(dictated: World) -> None:
    assert dictated.venue_equity() == 0


# ---- recall


def short_of_cash(w: World, missing: int) -> None:
    """LP cash is `missing` below the recall floor of 5,000."""
    w.set_rule(recall_floor=5_000 * WAD, lp_floor=5_000 * WAD)
    w.vault.earmark.send(w.lp_cash() // w.scale * w.scale - 5_000 * WAD + missing)


def test_recall_while_cash_suffices_reverts(w: World) -> None:
    w.set_rule(recall_floor=5_000 * WAD)
    with reverts("hedge: LP cash suffices"):
        w.manager.recall.send(0, 1_000 * 10**6)


def test_recall_brings_at_most_what_is_missing(w: World) -> None:
    short_of_cash(w, 3_000 * WAD)
    lp = w.lp_cash()
    receipt = w.manager.recall.send(0, 10**15, sender=w.keeper)
    got = receipt.value * w.scale
    assert w.lp_cash() == lp + got
    assert 2_998 * WAD < got <= 3_000 * WAD
    event = receipt.one("Recalled")
    assert (event.venue_id, event.caller, event.units) == (0, w.keeper, receipt.value)
    assert event.exposure == 10 * WAD - 3 * WAD // 2
    assert w.inventory.delta() == event.exposure
    assert w.inventory.book() == event.equity
    assert w.manager.venue_state(0).traded_at == w.chain.now


def test_recall_pays_nobody(w: World) -> None:
    before = w.cash(w.keeper)
    short_of_cash(w, 3_000 * WAD)
    w.manager.recall.send(0, 10**15, sender=w.keeper)
    assert w.cash(w.keeper) == before


def test_recall_needs_neither_budget_nor_cooldown_but_draws_both(w: World) -> None:
    w.set_venue_params(turnover=1, cooldown=86_400)
    short_of_cash(w, 3_000 * WAD)
    w.manager.recall.send(0, 1_000 * 10**6)
    w.manager.recall.send(0, 1_000 * 10**6)
    state = w.manager.venue_state(0)
    assert state.used >= 1_999 * 10**6
    with reverts("hedge: cooling down"):
        w.rebalance(SIZE)


def test_recall_works_on_a_paused_venue(w: World) -> None:
    w.manager.pause_venue.send(0, sender=w.guardian)
    short_of_cash(w, 3_000 * WAD)
    before = w.lp_cash()
    w.manager.recall.send(0, 10**15)
    assert w.lp_cash() > before


def test_recall_outside_the_bands_reverts(w: World) -> None:
    short_of_cash(w, 3_000 * WAD)
    w.double.set_price.send(PRICE * 9_980 // 10_000, PRICE)
    with reverts("hedge: venue off the oracle"):
        w.manager.recall.send(0, 10**15)
    w.double.set_price.send(PRICE, PRICE)
    w.double.set_manners.send(Manner.MOVES_PRICE)
    with reverts("hedge: venue off the oracle"):
        w.manager.recall.send(0, 10**15)


def test_recall_that_costs_too_much_reverts(w: World) -> None:
    short_of_cash(w, 3_000 * WAD)
    w.double.set_manners.send(Manner.OVERCHARGES)
    with reverts("hedge: recall too dear"):
        w.manager.recall.send(0, 10**15)


def test_recall_on_a_stale_mark_reverts(w: World) -> None:
    short_of_cash(w, 3_000 * WAD)
    w.chain.warp(3_601)
    with reverts("oracle: stale price"):
        w.manager.recall.send(0, 10**15)


def test_recall_of_nothing_reverts(w: World) -> None:
    short_of_cash(w, 3_000 * WAD)
    with reverts("hedge: nothing to recall"):
        w.manager.recall.send(0, 0)
    w.double.set_held.send(0)
    with reverts("hedge: nothing to recall"):
        w.manager.recall.send(0, 10**6)


def test_recall_asks_what_its_twin_says(w: World) -> None:
    rule = w.set_rule(recall_floor=5_000 * WAD, lp_floor=5_000 * WAD)
    w.vault.earmark.send(w.lp_cash() // w.scale * w.scale - 2_000 * WAD)
    lp = w.lp_cash()
    wanted, size = hedge.recall_size(10**15, w.scale, lp, SIZE, PRICE, rule)
    assert wanted == -(-(5_000 * WAD - lp) // w.scale)
    assert size < 0
    got = w.manager.recall.send(0, 10**15).value
    assert got == wanted - wanted * 5 // 10_000


def test_recall_books_the_release_that_inventory_found(w: World) -> None:
    w.vault.fill_reserve.send(100 * WAD)
    short_of_cash(w, 3_000 * WAD)
    w.dictate(Fall(0, 0, 5 * WAD, 0))
    w.manager.recall.send(0, 1_000 * 10**6)
    assert w.reserve() == 95 * WAD


@pytest.mark.parametrize(("notional", "dear"), [(999_900_009_999, False), (999_900_010_000, True)])
def test_recall_may_cost_fee_band_and_a_unit_to_the_wei(w: World, notional: int, dear: bool) -> None:
    """16 wei of base are sold for nothing. They are worth a bit less than a token unit; the venue tells 16 bp more."""
    short_of_cash(w, 3_000 * WAD)
    w.next_block(61, notional * WAD // 16)
    w.double.set_price.send(w.price, w.price)
    w.double.set_held.send(32)
    w.double.set_lies.send(0, 10_016)
    w.double.set_manners.send(Manner.KEEPS)
    most = -(-notional * 15 // 10_000) + w.scale
    assert 2 * notional * 10_016 // 10_000 - notional * 10_016 // 10_000 == most + dear
    if dear:
        with reverts("hedge: recall too dear"):
            w.manager.recall.send(0, 1)
    else:
        assert w.manager.recall.send(0, 1).one("Recalled").cost == most
        assert w.manager.venue_state(0).exposure == 16


def test_recall_of_a_wei_of_base(chain: RevmChain) -> None:
    """With a quote token of 18 decimals a unit may be worth no more."""
    w = build(chain, quote_decimals=18, inventory_double=True)
    add_double(w)
    w.next_block(61, WAD)
    w.double.set_price.send(WAD, WAD)
    w.double.set_held.send(2)
    short_of_cash(w, 3_000 * WAD)
    assert w.manager.recall.send(0, 1).one("Recalled").exposure == 1


# ---- recall in global settlement


def freeze(w: World) -> None:
    w.clearinghouse.grant_role.send(w.whale, Role.SETTLER, sender=w.governor)
    w.clearinghouse.freeze.send(sender=w.whale)


def test_recall_while_frozen_brings_everything(w: World) -> None:
    lp = w.lp_cash()
    freeze(w)
    wanted, size = hedge.recall_size(NO_LIMIT, w.scale, lp, SIZE, PRICE, Rule(), frozen=True)
    assert (wanted, size) == (w.units(NOTIONAL), -SIZE)
    event = w.manager.recall.send(0, NO_LIMIT, sender=w.keeper).one("Recalled")
    assert (event.units, event.exposure, event.equity) == (wanted - wanted * 5 // 10_000, 0, 0)
    assert w.lp_cash() == lp + event.units * w.scale
    with reverts("hedge: nothing to recall"):
        w.manager.recall.send(0, NO_LIMIT)


def test_recall_while_frozen_keeps_to_the_bands(w: World) -> None:
    freeze(w)
    w.double.set_price.send(PRICE * 9_980 // 10_000, PRICE)
    with reverts("hedge: venue off the oracle"):
        w.manager.recall.send(0, NO_LIMIT)


def test_frozen_system_sends_nothing_to_a_venue_and_takes_everything_back(real: World) -> None:
    w = real
    w.rebalance(100 * WAD)
    w.next_block()
    lp, reserve, (units, base) = w.lp_cash(), w.reserve(), w.tokens_of(w.venue.address)
    backing = w.clearinghouse.buckets()
    freeze(w)
    assert w.lp_cash() == lp + reserve + backing.fees + backing.insurance + backing.protocol
    with reverts("clearing: frozen"):
        w.rebalance(100 * WAD)
    assert (units, base) == (0, w.base_units(100 * WAD))
    half = w.units(100_000 * WAD)
    for part in (half, NO_LIMIT):
        lp = w.lp_cash()
        got = w.manager.recall.send(0, part, sender=w.keeper).value
        assert w.lp_cash() == lp + got * w.scale
        w.manager.poke.send(0)
    assert w.tokens_of(w.venue.address) == (0, 0)
    assert w.quote.balanceOf(w.clearinghouse) == w.clearinghouse.buckets().total_units
