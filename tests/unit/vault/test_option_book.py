"""What the vault's options are worth is in every price; while that is unknown, nobody enters and no epoch is priced."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballast.chain import Reverted, reverts
from tests.unit.vault.conftest import DAY, VOL_SPREAD, WAD, World, assert_not_lower

STALE = "vault: stale mark"


def state(world: World) -> tuple[Any, ...]:
    """Everything that an action could have changed."""
    vault, buckets = world.vault, world.clearinghouse.buckets()
    holders = [(vault.balanceOf(account), vault.position(account)) for account in world.actors.values()]
    return vault.totalSupply(), vault.epoch(), vault.valuation(), buckets, holders


@pytest.fixture
def waiting(usdc: World) -> World:
    """lp has 60 shares, 10 claimable, 30 requested in an epoch that is over; every price is of now."""
    usdc.deposit("lp", 100 * usdc.unit)
    usdc.request("lp", 10 * WAD)
    usdc.end_epoch()
    usdc.request("lp", 30 * WAD)
    usdc.chain.warp(DAY)
    usdc.set_marks()
    return usdc


@pytest.mark.parametrize("value", [-30 * WAD, -1, 1, 25 * WAD])
def test_options_are_in_nav_and_in_what_potential_is_asked_at(world: World, value: int) -> None:
    world.deposit("lp", 100 * world.unit)
    world.set_values(book=7 * WAD, venues=5 * WAD, curve=10**6 * WAD)
    world.set_options(value)
    assert world.vault.valuation().nav == 112 * WAD + value
    assert world.vault.totalAssets() == (112 * WAD + value) // world.scale
    world.deposit("whale", 3_000 * world.unit)
    world.mint("operator", 11 * WAD + 1)
    world.compare()


def test_options_that_owe_more_than_there_is_keep_everybody_out(usdc: World) -> None:
    usdc.deposit("lp", 10 * usdc.unit)
    usdc.set_options(-10 * WAD - 1)
    assert usdc.vault.maxDeposit(usdc.actors["lp"]) == usdc.vault.maxMint(usdc.actors["lp"]) == 0
    with reverts("vault: insolvent"):
        usdc.deposit("whale", usdc.unit)
    usdc.set_options(-10 * WAD)
    assert usdc.vault.maxDeposit(usdc.actors["lp"]) > 0
    usdc.compare()


def test_age_of_the_surface_reaches_the_spread_of_both_prices(usdc: World) -> None:
    usdc.deposit("lp", 100 * usdc.unit)
    young = usdc.vault.valuation()
    usdc.set_options(0, 600)
    old = usdc.vault.valuation()
    assert old.nav == young.nav
    assert old.ask - young.ask == young.bid - old.bid == 600 * VOL_SPREAD
    usdc.deposit("whale", 50 * usdc.unit)
    usdc.mint("whale", 50 * WAD)
    usdc.request("lp", 20 * WAD)
    usdc.end_epoch()
    usdc.compare()


@pytest.mark.parametrize(
    "enter",
    [
        lambda w: w.deposit("whale", w.unit),
        lambda w: w.mint("whale", WAD),
        lambda w: w.act(
            "deposit_at_least",
            lambda: w.vault.deposit_at_least.send(w.unit, w.actors["whale"], 1, sender=w.actors["whale"]),
            lambda t: t.vault.deposit_at_least(w.unit, "whale", 1, w.now),
        ),
        lambda w: w.process(),
    ],
    ids=["deposit", "mint", "deposit_at_least", "processEpoch"],
)
def test_unusable_book_refuses_entries_and_epochs_and_changes_nothing(
    waiting: World, enter: Callable[[World], Any]
) -> None:
    waiting.set_options(-3 * WAD, 60, usable=False)
    before = state(waiting)
    with reverts(STALE):
        enter(waiting)
    assert state(waiting) == before
    waiting.compare()
    waiting.set_options(-3 * WAD, 60)
    enter(waiting)
    assert state(waiting) != before
    waiting.compare()


def test_unusable_book_leaves_views_requests_and_claims(waiting: World) -> None:
    value = -3 * WAD
    waiting.set_options(value, 60)
    answers = waiting.vault.valuation(), waiting.vault.preview_epoch(), waiting.vault.previewDeposit(waiting.unit)
    assert waiting.vault.maxDeposit(waiting.actors["lp"]) > 0
    waiting.set_options(value, 60, usable=False)
    assert waiting.vault.maxDeposit(waiting.actors["lp"]) == waiting.vault.maxMint(waiting.actors["lp"]) == 0
    assert answers == (
        waiting.vault.valuation(), waiting.vault.preview_epoch(), waiting.vault.previewDeposit(waiting.unit)
    )  # fmt: skip
    assert waiting.request("lp", 5 * WAD) == 3
    assert waiting.redeem("lp", 4 * WAD) == 4 * waiting.unit
    assert waiting.withdraw("lp", 6 * waiting.unit) == 6 * WAD
    waiting.transfer("lp", "whale", WAD)
    waiting.compare()


def test_epoch_without_a_queue_ends_whatever_the_book_says(usdc: World) -> None:
    """Nothing is priced then."""
    usdc.set_options(usable=False)
    usdc.chain.warp(DAY)
    assert usdc.process() == (0, 0)
    assert usdc.vault.epoch().id == 2
    usdc.compare()


def test_old_price_outweighs_a_usable_book(usdc: World) -> None:
    usdc.set_mark(1, usdc.now, fresh=False)
    usdc.set_options(0, 0)
    with reverts(STALE):
        usdc.deposit("lp", usdc.unit)


steps = st.lists(
    st.tuples(
        st.sampled_from(("deposit", "mint", "request", "process", "redeem")),
        st.sampled_from(("lp", "whale")),
        st.integers(1, 100),  # per cent of what there is
        st.integers(-60, 60),  # what the options are worth, in per cent of LP cash
        st.integers(0, 7_200),  # [s] age of the surface
        st.integers(0, 3),  # the book is unusable at 0
    ),
    min_size=1,
    max_size=8,
)


@given(steps=steps, curve=st.integers(0, 10**10 * WAD), decimals=st.sampled_from([6, 18]))
def test_no_entry_or_exit_lowers_the_bid_of_those_who_stay_while_options_move(
    steps: list[tuple[str, str, int, int, int, int]], curve: int, decimals: int
) -> None:
    """I7, and an unusable book refuses what is priced, that and nothing else, whatever else is wrong."""
    world = World(decimals)
    world.set_values(curve=curve)
    world.deposit("lp", 100_000 * world.unit)
    for action, actor, part, worth, vol_age, usable in steps:
        account, vault = world.actors[actor], world.vault
        cash = world.clearinghouse.vault_ledger()[0]
        world.set_options(cash * worth // 100, vol_age, usable=usable > 0)
        world.chain.warp(60)
        ends_at, pending = vault.epoch().ends_at, vault.epoch().pending
        if action == "process" and world.now < ends_at:
            world.chain.warp_to(ends_at)
        world.set_marks()
        amounts = {
            "deposit": part * 1_000 * world.unit,
            "mint": part * 1_000 * WAD,
            "request": vault.balanceOf(account) * part // 100,
            "redeem": vault.maxRedeem(account) * part // 100,
        }
        before, untouched = world.bid_per_share(), state(world)
        reason = None
        try:
            world.process() if action == "process" else getattr(world, action)(actor, amounts[action])
        except Reverted as error:
            reason = error.reason
        world.compare()
        if action in ("deposit", "mint") or (action == "process" and pending > 0):
            assert (reason == STALE) == (usable == 0)
        if reason is not None:
            assert reason in (STALE, "vault: zero amount")
            assert state(world) == untouched
        assert_not_lower(before, world.bid_per_share())
