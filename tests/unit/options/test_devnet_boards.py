"""Boards of a devnet (ballast/boards.py): they roll day by day and a surface of theirs is always accepted."""

from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest

from ballast import boards
from ballast.chain import RevmChain
from ballast.surface import Surface
from ballast.system import Sandbox, deploy_system

WAD = 10**18
HOUR, DAY = 3_600, 86_400
START = 1_700_006_400 + 20 * DAY  # midnight UTC


@pytest.fixture
def system() -> Sandbox:
    return deploy_system(RevmChain(START))


def test_calendar_keeps_what_it_has_until_it_is_over() -> None:
    last: list[int] = []
    for now in range(START, START + 120 * DAY, 5 * HOUR):
        found = boards.calendar(now)
        assert found == sorted(set(found))
        assert len(found) <= 8
        assert all(expiry > now and datetime.fromtimestamp(expiry, UTC).hour == 8 for expiry in found)
        assert found[0] - now <= DAY
        assert {expiry for expiry in last if expiry > now} <= set(found)
        last = found


@pytest.mark.parametrize(
    ("spot", "ends", "step"), [(2_000, (1_600, 2_400), 100), (40_000, (32_000, 48_000), 2_000), (0.8, (0.6, 1.0), 0.05)]
)
def test_strikes_are_round_and_around_the_money(spot: float, ends: tuple[float, float], step: float) -> None:
    found = boards.strikes(spot)
    assert (found[0], found[-1]) == (round(ends[0] * 10**8) * 10**10, round(ends[1] * 10**8) * 10**10)
    assert {b - a for a, b in pairwise(found)} == {round(step * 10**8) * 10**10}


def test_surface_on_its_own_expiries_is_itself_and_between_them_is_free_of_arbitrage() -> None:
    surface, spot = boards.recorded("ETH")
    same = surface.on(surface.expiry, spot)
    assert same.theta == pytest.approx(surface.theta)
    assert same.forward == pytest.approx(surface.forward)
    every = surface.on(np.arange(surface.ts + HOUR, surface.ts + 700 * DAY, 7 * HOUR), spot)
    assert every.violations() == []
    beyond = surface.on(surface.expiry[-1:] + 100 * DAY, spot)
    at_the_money = lambda one: float(np.sqrt(one.theta[-1] / one.years()[-1]))  # noqa: E731
    assert at_the_money(beyond) == pytest.approx(at_the_money(surface))
    assert isinstance(beyond, Surface)


def test_roll_lists_boards_that_can_be_traded_and_rolls_them_for_a_month(system: Sandbox) -> None:
    boards.roll(system)
    for market in system.markets:
        found = sorted(system.option_book.call("expiries", market.id))
        assert found == boards.calendar(system.chain.now)
        for expiry in found:
            smile = system.surface.call("smile", market.id, expiry)
            assert smile.is_live
            assert len(system.option_book.call("strikes", market.id, expiry)) == 9
    posted = system.surface.call("timestamp", 0)
    boards.roll(system)
    assert system.surface.call("timestamp", 0) == posted  # young enough
    for hours in (1, 24, 24, 24 * 7, 24 * 30):
        system.warp(hours * HOUR)
        boards.roll(system)
        assert system.surface.call("timestamp", 0) == system.chain.now
        for expiry in boards.calendar(system.chain.now):
            assert system.surface.call("smile", 0, expiry).is_live
            assert expiry - system.chain.now <= 1_900 or system.option_book.call("strikes", 0, expiry)
        for expiry in system.option_book.call("expiries", 0):
            if expiry <= system.chain.now:  # boards that are over make room
                system.option_engine.send("settle", 0, expiry, round_before(system, expiry))


def test_roll_without_anybody_who_settles_stops_where_there_is_no_room(system: Sandbox) -> None:
    for _ in range(6):
        boards.roll(system)
        system.warp(14 * DAY)
    assert len(system.option_book.call("expiries", 0)) == len(system.option_book.call("expiries", 1)) == 16
    boards.roll(system)
    assert system.surface.call("timestamp", 1) == system.chain.now


def test_roll_adds_strikes_where_the_price_went(system: Sandbox) -> None:
    boards.roll(system)
    system.warp(boards.RENEW)
    system.push("ETH", 2_300)
    boards.roll(system)
    expiry = boards.calendar(system.chain.now)[-1]
    listed = {int(entry.strike) // WAD for entry in system.option_book.call("strikes", 0, expiry)}
    assert listed == set(range(1_600, 2_800, 100))


def round_before(system: Sandbox, time: int) -> int:
    """The last round at or before a time, by looking at every one."""
    newest = system.markets[0].feed.call("latest").round_id
    known = (system.markets[0].feed.call("round_at", (newest >> 64 << 64) + n) for n in range(1, newest % 2**64 + 1))
    return max((one.round_id for one in known if one.ok and one.updated_at <= time), default=0)
