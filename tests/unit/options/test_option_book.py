"""OptionBook through its engine: boards and their points, renewals, what NAV reads, packed words."""

from __future__ import annotations

from dataclasses import astuple, replace
from itertools import pairwise

import pytest

from ballast.chain import reverts
from ballast.model.exact import option_pricer
from ballast.model.exact.fixed import YEAR
from ballast.model.exact.fixed import Reverted as TwinReverted
from ballast.model.exact.option_book import LOT, Order, key_of, pack
from ballast.model.roles import Role
from tests.unit.options.world import BTC, CENT, ETH, FORTNIGHT, OPTIONS, START, WAD, WEEK, OptionWorld

KEY = key_of(ETH, WEEK)
LEGS: dict[str, int | float] = {"1800P": -20, "2000C": 50, "2200C": -30, "2400P": 4}


def due(world: OptionWorld) -> bool:
    answer = bool(world.book.is_due(KEY, world.oracle.peek(ETH).price))
    assert answer == world.twin_book.is_due(KEY, world.oracle.peek(ETH).price, world.now)
    return answer


def mark_to_model(world: OptionWorld, price: int) -> int:
    """What the vault's options are worth by the pricer alone, on the surface of now [quote, WAD]."""
    smile = world.twin_surface.smile(ETH, WEEK, world.now)
    point = option_pricer.Point(
        price, WEEK - world.now, WEEK - smile.timestamp, smile.theta, smile.rate, smile.rho, smile.eta
    )
    total = 0
    strikes = world.book.strikes(ETH, WEEK)
    premiums = option_pricer.premiums(point, [held.strike for held in strikes])
    for held, unit in zip(strikes, premiums, strict=True):
        total -= LOT * (held.calls * unit.call + held.puts * unit.put)
    return total // WAD


# ── when a board is due ──


@pytest.mark.parametrize(
    ("price", "expected"),
    [(2_060, False), (2_060.00000001, True), (1_940, False), (1_939.99999999, True), (3_000, True)],
)
def test_board_is_due_once_spot_is_out_of_its_band(
    world: OptionWorld, trader: str, price: float, expected: bool
) -> None:
    world.option(trader, LEGS)
    world.set_price(ETH, round(price * 10**8) * 10**10)
    assert due(world) is expected


@pytest.mark.parametrize(
    ("left", "price", "expected"),
    [
        (3 * 86_400, 2_059, False),
        (64_800, 2_029, False),
        (64_800, 2_031, True),
        (64_800, 1_971, False),
        (64_800, 1_969, True),
        (2_592, 2_005.9, False),
        (2_592, 2_006.1, True),
    ],
)
def test_band_narrows_with_the_root_of_the_time_left(
    world: OptionWorld, trader: str, left: int, price: float, expected: bool
) -> None:
    """3 % from three days on, half of it at a quarter of that, a tenth at a hundredth."""
    world.option(trader, LEGS)
    world.warp(WEEK - left - world.now)
    world.post(ETH, 0.6)
    world.renew_rounds()
    world.refresh()
    assert not due(world)
    world.set_price(ETH, round(price * 10**8) * 10**10)
    assert due(world) is expected


@pytest.mark.parametrize(("age", "expected"), [(690, False), (730, True)])
def test_board_is_due_once_its_point_is_as_old_as_a_quarter_of_the_time_left(
    world: OptionWorld, trader: str, age: int, expected: bool
) -> None:
    world.option(trader, LEGS)
    world.warp(WEEK - 3_600 - world.now)
    world.post(ETH, 0.6)
    world.renew_rounds()
    world.refresh()
    world.warp(age)
    assert due(world) is expected


def test_whether_an_expired_board_is_due_can_be_asked(world: OptionWorld, trader: str) -> None:
    world.option(trader, LEGS)
    world.warp(WEEK + 60 - world.now)
    assert due(world)


def test_board_is_due_after_half_an_hour(world: OptionWorld, trader: str) -> None:
    world.option(trader, LEGS)
    world.warp(1_800)
    assert not due(world)
    with reverts("options: not due"):
        world.refresh()
    world.warp(1)
    assert due(world)
    world.refresh()
    assert not due(world)
    world.check()


def test_board_is_due_with_every_surface_of_its_market(world: OptionWorld, trader: str) -> None:
    world.option(trader, LEGS)
    world.warp(60)
    world.post(BTC, 0.52)
    assert not due(world)
    world.post(ETH, 0.6)
    assert due(world)


def test_board_that_is_not_listed_is_never_due(world: OptionWorld) -> None:
    world.warp(10**4)
    assert world.book.is_due(key_of(ETH, WEEK + 86_400), WAD) is False
    assert world.book.is_due(0, WAD) is False


# ── renewal ──


@pytest.mark.parametrize("change", ["spot up", "spot down", "time", "surface", "all"])
def test_refresh_moves_totals_and_inventory_to_now(world: OptionWorld, trader: str, change: str) -> None:
    """The whole book is what the pricer says of it now, and Inventory has exactly the difference."""
    world.option(trader, LEGS)
    world.warp(61)
    world.option(world.traders[1], {"2000P": -7})
    btc = world.inventory.market(BTC)
    before = world.inventory.market(ETH)
    world.warp({"time": 86_400, "all": 7_200}.get(change, 600))
    price = {"spot up": 2_150, "spot down": 1_750, "all": 2_100}.get(change, 2_000)
    world.set_price(ETH, price * WAD)
    if change in ("surface", "all"):
        world.post(ETH, 0.66, eta=75 * CENT)
    elif change == "time":
        world.post(ETH, 0.6)
    assert due(world)
    world.refresh()
    board = world.book.board(ETH, WEEK)
    assert (board.spot, board.time) == (price * WAD, world.now)
    assert abs(board.value - mark_to_model(world, price * WAD)) <= 10  # wei
    assert world.inventory.market(ETH).vega != before.vega
    assert world.inventory.market(BTC) == btc
    world.check()


def test_refresh_changes_nobodys_cash(world: OptionWorld, trader: str) -> None:
    world.option(trader, LEGS)
    world.configure_options(reward=0)
    world.warp(1_801)
    world.set_price(ETH, 2_100 * WAD)
    buckets = world.clearinghouse.buckets()
    cash = [world.cash(account) for account in (*world.traders, world.stranger)]
    world.refresh()
    after = world.clearinghouse.buckets()
    assert after.lp + after.reserve == buckets.lp + buckets.reserve
    assert [world.cash(account) for account in (*world.traders, world.stranger)] == cash


def test_refresh_is_paid_when_due_and_not_too_often(world: OptionWorld, trader: str) -> None:
    assert world.refresh().value == 0  # nothing is held there
    world.option(trader, LEGS)
    cash = world.cash(world.stranger)
    world.warp(1_801)
    assert world.refresh().value == OPTIONS.reward
    assert world.cash(world.stranger) == cash + OPTIONS.reward
    world.warp(599)
    world.set_price(ETH, 2_100 * WAD)  # a second later
    assert world.refresh().value == OPTIONS.reward
    world.warp(598)
    world.set_price(ETH, 2_200 * WAD)
    assert world.refresh().value == 0
    world.close_options(trader, ETH, WEEK)
    world.warp(1_801)
    assert world.refresh().value == 0
    world.check()


def test_refresh_of_what_is_not_listed_is_refused(world: OptionWorld) -> None:
    for market, expiry in ((ETH, WEEK + 86_400), (5, WEEK), (BTC, FORTNIGHT), (17, WEEK)):
        with reverts("options: not listed"):
            world.refresh(market, expiry)
    with reverts("options: expired"):
        world.refresh(ETH, START - 86_400 + 8 * 3_600)


def test_refresh_works_when_all_is_paused_and_the_surface_frozen(world: OptionWorld, trader: str) -> None:
    world.option(trader, LEGS)
    world.pause_options()
    world.freeze_surface(ETH)
    world.close_board(ETH, WEEK)
    world.warp(1_801)
    world.refresh()
    world.check()


def test_board_due_in_a_block_in_which_a_rebate_was_paid_stands_still(world: OptionWorld, trader: str) -> None:
    """Closing is booked at the point that is there and its smile, opening and renewing wait for the next block."""
    seller, buyer, closer = world.traders
    world.option(closer, {"2200C": 10, "1900P": -3})
    world.trade(seller, ETH, -600 * WAD)
    world.rest()
    world.post(ETH, 0.62)
    assert due(world)
    assert world.trade(buyer, ETH, 100 * WAD).value.charge < 0
    assert world.inventory.frozen()
    with reverts("options: refresh first"):
        world.option(buyer, {"2000C": 1})
    with reverts("inventory: rebates in this block"):
        world.refresh()
    point = world.book.board(ETH, WEEK)
    world.option(closer, {"2200C": -4, "1900P": 3})
    world.check()
    after = world.book.board(ETH, WEEK)
    assert (after.spot, after.time, after.surface) == (point.spot, point.time, point.surface)
    world.warp(1)
    world.option(buyer, {"2000C": 1})
    world.check()


def test_interest_and_totals_are_zero_after_everybody_closed(world: OptionWorld) -> None:
    for i, account in enumerate(world.traders):
        world.option(account, {name: size * (i - 1.5) for name, size in LEGS.items()})
        world.warp(700)
        world.set_price(ETH, (2_000 + 37 * i) * WAD)
    world.post(ETH, 0.58)
    for account in world.traders:
        world.close_options(account, ETH, WEEK)
        world.check()
    board = world.book.board(ETH, WEEK)
    assert tuple(board)[4:12] == (0, 0, 0, 0, 0, [0] * 8, 0, 0)
    stored = world.inventory.market(ETH)
    assert (stored.delta, stored.gamma, stored.vega, list(stored.stress)) == (0, 0, 0, [0] * 8)
    assert world.potential() == 0
    assert tuple(world.book.book_value(world.prices())) == (0, 0, True)


# ── what NAV reads ──


def test_book_value_at_the_point_is_the_mark_and_expands_to_second_order(world: OptionWorld, trader: str) -> None:
    """Error of the expansion: third order in spot, so an eighth at half the distance."""
    world.option(trader, LEGS)
    value, age, usable = world.book.book_value(world.prices())
    assert abs(value - mark_to_model(world, 2_000 * WAD)) <= 10
    assert usable
    assert age == world.now - world.book.board(ETH, WEEK).surface
    errors = []
    for percent in (2.8, 1.4, 0.7):
        price = round(2_000 * (1 + percent / 100) * 10**8) * 10**10
        errors.append(abs(world.book.book_value([price, 60_000 * WAD])[0] - mark_to_model(world, price)))
    assert all(near * 5 < far for far, near in pairwise(errors))
    assert errors[0] < 30 * WAD  # 0.03 bp of equity


def test_book_value_decays_with_time(world: OptionWorld, trader: str) -> None:
    world.option(trader, {"2000C": 50})
    start, _, _ = world.book.book_value(world.prices())
    world.warp(1_800)
    later, _, usable = world.book.book_value(world.prices())
    assert usable
    theta = world.book.board(ETH, WEEK).theta
    assert later - start == theta * 1_800 // YEAR > 0
    exact = mark_to_model(world, 2_000 * WAD)
    assert abs(later - exact) < (exact - start) // 100


def test_book_value_is_not_usable_where_a_board_with_totals_is_due(world: OptionWorld, trader: str) -> None:
    world.warp(10_000)
    world.renew_rounds()
    assert (
        world.book.book_value(world.prices()) == world.twin_book.book_value(world.prices(), world.now) == (0, 0, True)
    )
    world.post(ETH, 0.6)
    world.option(trader, LEGS)
    assert world.book.book_value(world.prices())[2]
    world.set_price(ETH, 2_100 * WAD)
    assert not world.book.book_value(world.prices())[2]
    world.refresh()
    assert world.book.book_value(world.prices())[2]


def test_book_value_adds_boards_and_markets_up(world: OptionWorld, trader: str) -> None:
    places = (({"2000C": 5}, WEEK, ETH), ({"2500C": 3}, FORTNIGHT, ETH), ({"60000P": -1}, WEEK, BTC))
    for legs, expiry, market in places:
        world.option(trader, legs, expiry, market)
    parts = [world.book.board(market, expiry).value for _, expiry, market in places]
    total = world.book.book_value(world.prices())[0]
    assert total == sum(parts)
    assert parts[2] > 0 > parts[0]
    world.check()


# ── words and limits ──


def test_sixteen_boards_of_a_market_and_no_more_until_one_is_settled(world: OptionWorld) -> None:
    days = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 30, 90)
    world.post(ETH, 0.6, days=days)
    expiries = [START + day * 86_400 + 8 * 3_600 for day in days]
    for expiry in expiries:
        if expiry not in (WEEK, FORTNIGHT):
            world.list(ETH, expiry, [2_000])
    assert sorted(world.book.expiries(ETH)) == expiries
    last = world.expire(2_000, expiry=expiries[0])
    world.post(ETH, 0.6, days=(*days[1:-1], 60, 90))
    sixty = START + 60 * 86_400 + 8 * 3_600
    with reverts("options: too many boards"):
        world.list(ETH, sixty, [2_000])
    world.settle(last, expiry=expiries[0])
    world.list(ETH, sixty, [2_000])
    world.check()


def test_words_hold_the_largest_positions_and_refuse_what_does_not_fit(world: OptionWorld) -> None:
    """Straight at the book: a million of base and its totals, signs included, come back; a milliard is refused."""
    world.refresh()
    book, twin, account = world.book, world.twin_book, world.stranger
    book.grant_role.send(world.governor, Role.ENGINE)
    mark = replace(world.twin.oracle.peek(ETH, world.now))
    most = 2**40
    for sign in (1, -1):
        call, put = world.series("1600C"), world.series("3000P")
        orders = [Order(call, sign * most * LOT), Order(put, -sign * most * LOT)]
        fill = twin.apply(account, orders, mark, world.now)
        receipt = book.apply.send(account, [astuple(o) for o in orders], astuple(mark), sender=world.governor)
        assert receipt.value.premium == fill.premium
        board, held = book.board(ETH, WEEK), twin.books[KEY]
        assert tuple(board)[4:9] == (held.value, held.delta, held.gamma, held.vega, held.theta)
        assert list(board.stress) == list(held.stress)
        assert board.interest == held.interest == 2 * most
        back = [Order(o.series, -o.size) for o in orders]
        twin.apply(account, back, mark, world.now)
        book.apply.send(account, [astuple(o) for o in back], astuple(mark), sender=world.governor)
        assert tuple(book.board(ETH, WEEK))[4:12] == (0, 0, 0, 0, 0, [0] * 8, 0, 0)
    for lots in (2**50, -(2**50), 2**62, -(2**62), 2**63):
        order = Order(world.series("2000C"), lots * LOT)
        with pytest.raises(TwinReverted, match=r"^stress: out of range$"):
            twin.apply(account, [order], mark, world.now)
        with reverts("stress: out of range"):
            book.apply.send(account, [astuple(order)], astuple(mark), sender=world.governor)


def test_series_of_a_day_and_market_without_board_reads_as_nothing(world: OptionWorld) -> None:
    assert tuple(world.book.board(9, WEEK))[:4] == (0, 0, 0, 0)
    assert world.book.strikes(9, WEEK) == []
    assert world.book.legs(world.stranger) == []
    assert world.book.board(ETH, 2**200).strikes == 0
    assert pack(1, 2, 3, True) == 1 << 40 | 2 << 32 | 3 << 8 | 1
