"""What the Liquidator is asked about: every candidate, on both routes, without a chain."""

from collections import namedtuple

import pytest

from ballast.keeper.backstop import candidates, is_weak, notional_of
from ballast.keeper.state import Account, OptionLeg

from .worlds import NOW, account, leg

WAD = 10**18
Mark = namedtuple("Mark", "price fresh")
MARKS = (Mark(2_000 * WAD, True), Mark(40_000 * WAD, True))
NEAR, FAR = NOW + 60, NOW + 120


def option(expiry, series, size, market=0):
    return OptionLeg(market, expiry, series, int(size * WAD))


def asked(case, marks=MARKS, room=0.0):
    return list(candidates(case, marks, NOW, room))


def test_candidates_of_a_perpetual_are_all_of_it():
    (found,) = asked(account(1.0, leg(1, -0.5)))
    assert (found.market, found.size_wad, found.orders, found.taken) == (1, WAD // 2, (), False)
    assert found.notional == 20_000.0


def test_candidates_of_a_board_are_what_is_sold_and_all_of_it():
    case = Account("0x", 1.0, 2.0, (), (option(NEAR, 9, -1), option(NEAR, 7, 3), option(NEAR, 8, -2)))
    sold, everything = asked(case)
    assert sold.orders == ((8, 2 * WAD), (9, WAD))
    assert everything.orders == ((7, -3 * WAD), (8, 2 * WAD), (9, WAD))
    assert (sold.notional, everything.notional) == (6_000.0, 12_000.0)


def test_candidates_of_what_hedges_each_other_end_with_all_of_the_market():
    case = Account("0x", 1.0, 2.0, (leg(0, 1.0), leg(1, 1.0)), (option(NEAR, 7, -1), option(FAR, 8, 1)))
    found = [(closing.market, closing.size_wad, len(closing.orders)) for closing in asked(case)]
    assert found == [(0, -WAD, 0), (0, 0, 1), (0, 0, 1), (0, -WAD, 2), (1, -WAD, 0)]


def test_candidates_of_one_trade_are_the_largest_that_fit_shorts_first():
    many = (*(option(NEAR, 100 + i, 1 + i) for i in range(8)), option(NEAR, 99, -1))
    sold, most = asked(Account("0x", 1.0, 2.0, (), many))
    assert sold.orders == ((99, WAD),)
    assert [series for series, _ in most.orders] == [99, *range(101, 108)]


@pytest.mark.parametrize(
    "case",
    [
        account(1.0, leg(1)),  # no fresh mark
        Account("0x", 1.0, 2.0, (), (option(NOW, 7, -1),)),  # over
    ],
)
def test_candidates_leave_out_what_cannot_be_closed(case):
    assert asked(case, (MARKS[0], Mark(40_000 * WAD, False)), 1e9) == []


def test_candidates_taken_over_come_to_no_more_than_the_room():
    case = Account("0x", 1.0, 2.0, (leg(0, 10.0),), (option(NEAR, 7, -1),))
    taken = [closing for closing in asked(case, room=5_000.0) if closing.taken]
    assert [(closing.size_wad, closing.orders) for closing in taken] == [(-5 * WAD // 2, ()), (0, ((7, WAD),))]
    assert [closing.notional for closing in taken] == [5_000.0, 2_000.0]
    half = [closing for closing in asked(case, room=1_000.0) if closing.taken]
    assert half[1].orders == ((7, WAD // 2),)
    assert not [closing for closing in asked(case, room=99.0) if closing.taken]


def test_weak_accounts_include_those_on_the_border():
    assert [is_weak(account(equity)) for equity in (49.9, 50.0, 50.0001)] == [True, True, False]


def test_notional_counts_everything_at_the_mark():
    case = Account("0x", 1.0, 2.0, (leg(0, -2.0), leg(1, 0.1)), (option(NEAR, 7, -3),))
    assert notional_of(case, MARKS) == 4_000.0 + 4_000.0 + 6_000.0
