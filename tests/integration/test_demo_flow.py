"""From records to minutes: which stretch, when the feed posts, and how recorded flow becomes orders."""

import math
from itertools import pairwise

import numpy as np
import pytest

from ballast import data
from ballast.demo.flow import (
    BTC_SHARE,
    CATCH_UP,
    DAYS,
    DEVIATION,
    HEARTBEAT,
    LEAST,
    MARKETS,
    OPENING,
    SIDES,
    Desk,
    Minute,
    build,
)

EQUITY = 10_000_000.0


def minute(eth=None, btc=None, prices=(2_000.0, 40_000.0)):
    flow = tuple(dict.fromkeys(SIDES, 0.0) | (given or {}) for given in (eth, btc))
    return Minute(0, 0, prices, (False, False), flow)


def take(desk, orders):
    """Apply orders as the chain would."""
    taken = []
    for order in orders:
        desk.sizes[order.account][order.market] += order.size
        taken.append(order)
    return taken


@pytest.mark.parametrize("window", data.minute_windows())
def test_build_every_window_gives_a_stretch_of_its_own_prices(window):
    scenario = build(window, equity=EQUITY, minutes=600)
    bars = data.minute_window(window)
    assert len(scenario.minutes) == 600
    for asset, i in zip(MARKETS, range(2), strict=True):
        first = int(np.searchsorted(bars[asset].ts, scenario.minutes[0].time - 60))
        expected = bars[asset].close[first : first + 600]
        assert [m.prices[i] for m in scenario.minutes] == expected.tolist()
    assert {b.time - a.time for a, b in pairwise(scenario.minutes)} == {60}


def test_build_stretch_contains_the_crash():
    scenario = build("2021-05_crash", equity=EQUITY, minutes=240)
    assert min(m.prices[0] for m in scenario.minutes) < 2_000
    lowest = min(range(240), key=lambda k: scenario.minutes[k].prices[0])
    assert 120 < lowest < 220


def test_build_is_deterministic_and_windows_differ():
    assert build("flash", equity=EQUITY, minutes=120) == build("2021-12-04_flash", equity=EQUITY, minutes=120)
    assert build("flash", equity=EQUITY, minutes=120) != build("crash", equity=EQUITY, minutes=120)


def test_build_longer_than_the_window_takes_all_of_it():
    assert len(build("calm", equity=EQUITY, minutes=10**6).minutes) == len(data.minute_window("calm")["ETH"])


def test_feed_posts_on_deviation_or_heartbeat_and_never_otherwise():
    scenario = build("calm", equity=EQUITY, minutes=1_000)
    for i in range(len(MARKETS)):
        last, since = scenario.minutes[0].prices[i], 0
        for m in scenario.minutes[1:]:
            due = abs(m.prices[i] / last - 1) >= DEVIATION or m.index - since >= HEARTBEAT
            assert m.rounds[i] == due
            if due:
                last, since = m.prices[i], m.index


@pytest.mark.parametrize(("market", "turn", "share"), [(0, 0, 1.0), (1, 1, BTC_SHARE)])
def test_flow_follows_the_record_scaled_by_equity_and_price(market, turn, share):
    minutes = 1_440
    scenario = build("calm", equity=EQUITY, minutes=minutes)
    record = data.gmx_flow(DAYS[turn])
    price = scenario.start.prices[market]
    ratio = share * EQUITY / record.pool_value[0] * record.index_price[0] / price
    for side, interest in (("long", record.oi_long), ("short", record.oi_short)):
        flow = np.cumsum([m.flow[market][side] for m in scenario.minutes])
        # whole open interest after the opening, up to what still waits to matter
        assert flow[OPENING] == pytest.approx(interest[OPENING] * ratio, abs=LEAST / price)
        assert flow[-1] == pytest.approx(interest[-1] * ratio, abs=LEAST / price)
        small = [m.flow[market][side] for m in scenario.minutes if m.flow[market][side]]
        assert all(abs(change) * price >= LEAST for change in small)


def test_second_day_is_scaled_by_its_own_pool():
    scenario = build("calm", equity=EQUITY, minutes=2_880)
    record = data.gmx_flow(DAYS[1])
    ratio = EQUITY / record.pool_value[0] * record.index_price[0] / scenario.start.prices[0]
    second = sum(m.flow[0]["long"] for m in scenario.minutes[1_440:])
    assert second == pytest.approx((record.oi_long[-1] - record.oi_long[0]) * ratio, abs=LEAST / 1_000)


def test_implied_volatility_is_of_the_day_before():
    scenario = build("2021-05_crash", equity=EQUITY, minutes=120)
    daily = data.dvol("ETH")
    day = int(np.searchsorted(daily.ts, scenario.minutes[0].time, side="right")) - 1
    assert scenario.sigmas[0] in (daily.close[day - 1], daily.close[day - 2])


def test_desk_opens_in_turn_and_on_the_right_side():
    desk = Desk()
    opened = [take(desk, desk.orders(minute(eth={"long": 1.0, "short": 2.0}))) for _ in range(3)]
    longs = [pair[0] for pair in opened]
    shorts = [pair[1] for pair in opened]
    assert len({order.account for order in longs}) == 3
    assert {order.account for order in longs} <= set(desk.accounts("long"))
    assert {order.account for order in shorts} <= set(desk.accounts("short"))
    assert all(order.size == 1.0 and not order.closing for order in longs)
    assert all(order.size == -2.0 for order in shorts)
    assert desk.open_interest(0, "long") == 3.0


def test_desk_closes_the_largest_first_and_never_flips():
    desk = Desk()
    take(desk, desk.orders(minute(eth={"long": 3.0})))
    take(desk, desk.orders(minute(eth={"long": 5.0})))
    orders = take(desk, desk.orders(minute(eth={"long": -6.0})))
    assert [abs(order.size) for order in orders] == [5.0, 1.0]
    assert all(order.closing and order.size < 0 for order in orders)
    assert desk.open_interest(0, "long") == 2.0


def test_desk_asks_again_for_what_a_liquidation_closed():
    desk = Desk()
    (first,) = take(desk, desk.orders(minute(btc={"short": 3.0})))
    desk.sizes[first.account][1] = 0.0
    (again,) = take(desk, desk.orders(minute()))
    assert again.size == pytest.approx(-3.0 / CATCH_UP)
    assert not again.closing
    for _ in range(20 * CATCH_UP):
        take(desk, desk.orders(minute()))
    # until the rest is too small to matter
    assert desk.open_interest(1, "short") * 40_000 == pytest.approx(120_000, abs=CATCH_UP * LEAST)


def test_desk_leaves_small_gaps():
    desk = Desk()
    (first,) = take(desk, desk.orders(minute(eth={"long": 7.0})))
    desk.sizes[first.account][0] = 0.0
    assert CATCH_UP * LEAST > 7.0 * 2_000
    assert list(desk.orders(minute())) == []


def test_no_price_or_flow_is_missing():
    for m in build("mixed", equity=EQUITY, minutes=3_000).minutes:
        assert all(math.isfinite(price) and price > 0 for price in m.prices)
        assert all(math.isfinite(flow[side]) for flow in m.flow for side in SIDES)
