"""Everything that stops a hedge before the rule is asked, and who may change what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, replace

import pytest

from ballast.chain import reverts
from ballast.model.exact.fixed import WAD
from ballast.model.exact.hedge import Fall, Rule, VenueParams
from ballast.model.roles import Role
from ballast.testing.hedge_world import MARKET, NO_LIMIT, PRICE, Manner, World

SIZE = 10 * WAD
NOTIONAL = SIZE * 2_000
GENEROUS = Fall(fall=10**6 * WAD, freed=0, release=0, excess=0)


@pytest.fixture
def w(dictated: World) -> World:
    dictated.dictate(GENEROUS)
    return dictated


# ---- arguments


def test_zero_size_reverts(w: World) -> None:
    with reverts("hedge: zero size"):
        w.rebalance(0)


def test_unknown_venue_reverts(w: World) -> None:
    for call in (
        lambda: w.rebalance(SIZE, venue_id=1),
        lambda: w.manager.poke.send(1),
        lambda: w.manager.recall.send(1, 1),
        lambda: w.manager.venue(1),
        lambda: w.manager.venue_params(1),
        lambda: w.manager.venue_state(1),
        lambda: w.manager.pause_venue.send(1, sender=w.guardian),
    ):
        with reverts("hedge: no such venue"):
            call()


def test_wrong_market_reverts(w: World) -> None:
    with reverts("hedge: wrong market"):
        w.manager.rebalance.send(0, 1, SIZE, NO_LIMIT)


def test_anyone_may_rebalance(w: World) -> None:
    for sender in (w.keeper, w.whale, w.governor):
        w.next_block()
        assert w.rebalance(SIZE, sender=sender).one("Rebalanced").keeper == sender


# ---- prices


def test_stale_mark_reverts(w: World) -> None:
    w.chain.warp(3_601)
    with reverts("oracle: stale price"):
        w.rebalance(SIZE)


def test_pull_feed_older_than_its_limit_reverts(w: World) -> None:
    w.push()
    w.chain.warp(60)
    w.rebalance(SIZE // 2)
    w.next_block()
    w.chain.warp(61)
    with reverts("hedge: price too old"):
        w.rebalance(SIZE)


def test_push_feed_has_no_age_limit_but_freshness(w: World) -> None:
    w.set_venue_params(max_age=0, band=5_000)
    w.chain.warp(3_000)
    w.rebalance(SIZE)
    assert w.manager.venue_state(0).exposure == SIZE


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("size", [SIZE, -SIZE])
def test_venue_must_be_within_fee_and_band_of_the_oracle(w: World, sign: int, size: int) -> None:
    w.double.set_held.send(100 * WAD)
    edge = PRICE + sign * PRICE * 15 // 10_000  # 5 bp fee + 10 bp band
    w.double.set_price.send(edge + sign, PRICE)
    with reverts("hedge: venue off the oracle"):
        w.rebalance(size)
    w.double.set_price.send(edge, edge)
    fee = NOTIONAL * 5 // 10_000
    cost = w.rebalance(size).value.cost
    if (size > 0) == (sign > 0):  # dear, and 15 bp dearer than the oracle
        assert cost >= 3 * fee
    else:  # cheap: the cost is the fee, or what it looks like at the average
        assert fee <= cost <= fee * 1_002 // 1_000


@pytest.mark.parametrize("sign", [1, -1])
def test_venue_must_be_within_fee_and_band_of_its_average(w: World, sign: int) -> None:
    w.double.set_price.send(PRICE, PRICE + sign * PRICE * 16 // 10_000)
    with reverts("hedge: venue off its average"):
        w.rebalance(SIZE)
    w.double.set_price.send(PRICE, PRICE + sign * PRICE * 14 // 10_000)
    w.rebalance(SIZE)


@pytest.mark.parametrize(("twap", "near"), [(PRICE * 10_015 // 10_000 + 1, True), (PRICE * 9_985 // 10_000, False)])
def test_band_is_a_part_of_the_average_not_of_the_spot(w: World, twap: int, near: bool) -> None:
    w.double.set_price.send(PRICE, twap)
    if near:
        w.rebalance(SIZE)
    else:
        with reverts("hedge: venue off its average"):
            w.rebalance(SIZE)


@pytest.mark.parametrize("lucky", [False, True])
def test_gain_may_reach_fee_and_band_to_the_wei(w: World, lucky: bool) -> None:
    """A sale at the price, less the fee, of what the venue tells 20 bp less of: 15 bp gained or a wei more."""
    w.next_block(61, WAD)
    w.double.set_price.send(WAD + 10**7, WAD + 10**7)  # pays the whole token unit
    w.double.set_lies.send(0, 9_980)
    held = NOTIONAL + (499 if lucky else 0)
    w.double.set_held.send(held)
    size = NOTIONAL - 1
    paid = NOTIONAL * 9_995 // 10_000
    gain = paid - held * 9_980 // 10_000 + (held - size) * 9_980 // 10_000
    assert gain == -(-size * 15 // 10_000) + lucky
    before = w.lp_cash()
    if lucky:
        with reverts("hedge: impossible gain"):
            w.rebalance(-size)
    else:
        outcome = w.rebalance(-size).value
        assert w.lp_cash() == before + paid - outcome.reward - outcome.gas


def test_funding_may_reach_three_notionals_and_a_unit_to_the_wei(w: World) -> None:
    """The venue asks for 10 units where one is due at the caller's limit; the notional is 3."""
    w.double.set_manners.send(Manner.ASKS_TOO_MUCH)
    size = 3 * w.scale * WAD // PRICE
    with reverts("hedge: venue asks too much"):
        w.manager.rebalance.send(0, MARKET, size - 1, PRICE // 2)
    assert w.manager.rebalance.send(0, MARKET, size, PRICE // 2).value.filled == size


def test_push_feed_band_is_its_deviation_threshold(w: World) -> None:
    w.set_venue_params(max_age=0, band=5_000)
    far = PRICE * 10_055 // 10_000
    w.double.set_price.send(far, far)
    w.rebalance(SIZE)
    assert w.manager.venue_state(0).exposure == SIZE


def test_price_that_the_trade_moves_out_of_the_band_reverts(w: World) -> None:
    w.double.set_manners.send(Manner.MOVES_PRICE)
    with reverts("hedge: venue off the oracle"):
        w.rebalance(SIZE)


def test_fee_above_the_cap_reverts(w: World) -> None:
    w.set_venue_params(fee_cap=499)
    with reverts("hedge: venue fee too high"):
        w.rebalance(SIZE)
    w.set_venue_params(fee_cap=500)
    w.rebalance(SIZE)


# ---- caps and budgets


def test_exposure_cap_holds_to_the_wei_and_shrinking_is_free(w: World) -> None:
    w.set_venue_params(cap=SIZE - 1)
    with reverts("hedge: venue cap"):
        w.rebalance(SIZE)
    w.set_venue_params(cap=SIZE)
    w.rebalance(SIZE)
    w.set_venue_params(cap=SIZE // 4)
    w.next_block()
    w.rebalance(-SIZE // 2)
    w.next_block()
    with reverts("hedge: venue cap"):
        w.rebalance(1 * WAD)


def test_cooldown_lets_one_step_through(w: World) -> None:
    w.rebalance(SIZE)
    with reverts("hedge: cooling down"):
        w.rebalance(SIZE)
    w.chain.warp(59)
    with reverts("hedge: cooling down"):
        w.rebalance(SIZE)
    w.chain.warp(1)
    w.rebalance(SIZE)


def test_turnover_is_a_days_worth_and_refills_evenly(w: World) -> None:
    w.set_venue_params(turnover=30_000 * 10**6)
    w.rebalance(SIZE)  # 20,000
    w.next_block(6 * 3_600 - 1)
    with reverts("hedge: turnover spent"):
        w.rebalance(-SIZE)
    w.next_block(8 * 3_600)  # more than 10,000 have come back
    w.rebalance(-SIZE)
    assert w.manager.venue_state(0).used > 22_000 * 10**6


def test_lp_cash_floor_stops_buying_but_not_selling(w: World) -> None:
    w.set_rule(lp_floor=w.lp_cash())
    with reverts("hedge: LP cash too low"):
        w.rebalance(SIZE)
    w.double.set_held.send(SIZE)
    w.rebalance(-SIZE)


def test_funding_beyond_lp_cash_reverts(w: World) -> None:
    w.set_rule(lp_floor=0)
    w.vault.earmark.send(w.lp_cash() - 1_000 * WAD)
    with reverts("hedge: LP cash too low"):
        w.rebalance(SIZE)


# ---- pause and retirement


def test_pause_allows_only_steps_toward_zero(w: World) -> None:
    w.rebalance(SIZE)
    w.next_block()
    assert w.manager.pause_venue.send(0, sender=w.guardian).one("VenuePaused") == (0, True)
    for size in (SIZE, -SIZE - 1):
        with reverts("hedge: venue paused"):
            w.rebalance(size)
    w.rebalance(-SIZE)


def test_guardian_pauses_and_only_the_governor_unpauses(w: World) -> None:
    with reverts("roles: not allowed"):
        w.manager.pause_venue.send(0, sender=w.keeper)
    w.manager.pause_venue.send(0, sender=w.guardian)
    for sender in (w.guardian, w.setup, w.keeper):
        with reverts("roles: not allowed"):
            w.manager.unpause_venue.send(0, sender=sender)
    assert w.manager.unpause_venue.send(0, sender=w.governor).one("VenuePaused") == (0, False)
    w.rebalance(SIZE)


def test_retired_venue_counts_nothing_and_trades_nothing(w: World) -> None:
    w.rebalance(SIZE)
    for sender in (w.guardian, w.setup, w.keeper):
        with reverts("roles: not allowed"):
            w.manager.retire_venue.send(0, sender=sender)
    w.manager.retire_venue.send(0, sender=w.governor).one("VenueRetired")
    assert w.venue_equity() == 0
    with reverts("hedge: venue retired"):
        w.rebalance(-SIZE)
    with reverts("hedge: venue retired"):
        w.manager.recall.send(0, 1)
    w.manager.poke.send(0)
    assert (w.inventory.delta(), w.inventory.book()) == (0, 0)
    assert w.manager.venue(0).retired


# ---- parameters


def _list(w: World, sender: str) -> None:
    venue = w.chain.deploy("NullVenue")
    w.manager.list_venue.send(venue, MARKET, astuple(VenueParams()), sender=sender)


SETTERS: list[Callable[[World, str], object]] = [
    _list,
    lambda w, sender: w.manager.set_venue_params.send(0, astuple(VenueParams()), sender=sender),
    lambda w, sender: w.manager.set_rule.send(astuple(Rule()), sender=sender),
]


@pytest.mark.parametrize("setter", SETTERS)
def test_setters_belong_to_setup_and_governor(w: World, setter: Callable[[World, str], object]) -> None:
    for sender in (w.setup, w.governor):
        setter(w, sender)
    for sender in (w.guardian, w.keeper, w.lp):
        with reverts("roles: not allowed"):
            setter(w, sender)
    w.manager.renounce_setup.send(sender=w.setup)
    with reverts("roles: not allowed"):
        setter(w, w.setup)


@pytest.mark.parametrize(
    "change",
    [
        {"band": 10_001},
        {"fee_cap": 10_001},
        {"cooldown": 0},
        {"cooldown": 86_401},
        {"max_age": 3_601},
        {"haircut_bps": 5_001},
        {"cap": 2**96},
        {"turnover": 2**64},
    ],
)
def test_venue_params_out_of_bounds_revert(w: World, change: dict[str, int]) -> None:
    with reverts("hedge: parameter out of bounds"):
        w.set_venue_params(**change)


@pytest.mark.parametrize(
    "change",
    [
        {"phi_bps": 8_001},
        {"eta_bps": 3_001},
        {"size_reward": 201},
        {"gas_units": 2_000_001},
        {"gas_tip_cap": 10**13 + 1},
        {"gas_price_cap": 10**13 + 1},
        {"gas_market": 16},
        {"lp_floor": 0, "recall_floor": 1},
        {"lp_floor": 2**127},
    ],
)
def test_rule_out_of_bounds_reverts(w: World, change: dict[str, int]) -> None:
    with reverts("hedge: parameter out of bounds"):
        w.set_rule(**change)


def test_parameters_read_back_and_are_logged(w: World) -> None:
    params = replace(
        VenueParams(),
        cap=2**96 - 1, turnover=2**64 - 1, fee_cap=10_000, band=9_999,
        cooldown=86_400, max_age=3_600, haircut_bps=5_000,
    )  # fmt: skip
    receipt = w.manager.set_venue_params.send(0, astuple(params), sender=w.setup)
    assert receipt.one("VenueParamsSet") == (0, astuple(params))
    assert w.manager.venue_params(0) == astuple(params)
    rule = Rule(8_000, 3_000, 200, 2_000_000, 10**13, 10**13 - 1, 15, 2**127 - 1, 2**126)
    receipt = w.manager.set_rule.send(astuple(rule), sender=w.setup)
    assert receipt.one("RuleSet") == (astuple(rule),)
    assert w.manager.terms() == astuple(rule)


def test_venues_are_listed_once_and_at_most_eight(w: World) -> None:
    with reverts("hedge: venue listed already"):
        w.list_venue(w.double)
    with reverts("hedge: not a venue"):
        w.manager.list_venue.send(w.keeper, MARKET, astuple(VenueParams()), sender=w.setup)
    with reverts("hedge: wrong market"):
        w.manager.list_venue.send(w.feed, 16, astuple(VenueParams()), sender=w.setup)
    for venue_id in range(1, 8):
        venue = w.chain.deploy("NullVenue")
        receipt = w.manager.list_venue.send(venue, MARKET, astuple(VenueParams()), sender=w.setup)
        assert receipt.value == venue_id
        assert receipt.one("VenueListed") == (venue_id, MARKET, venue.address)
    assert w.manager.venue_count() == 8
    with reverts("hedge: too many venues"):
        w.list_venue(w.chain.deploy("NullVenue"))


def test_hedging_stops_when_the_role_is_taken_away(w: World) -> None:
    w.clearinghouse.revoke_role.send(w.manager, Role.HEDGER, sender=w.governor)
    with reverts("roles: not allowed"):
        w.rebalance(SIZE)
    assert w.venue_equity() == 0  # NAV goes on
