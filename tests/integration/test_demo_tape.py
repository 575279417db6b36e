"""Recorded chains in a window's time: surfaces that the contract takes, boards, and flow that adds up."""

from itertools import pairwise

import numpy as np
import pytest

from ballast import data
from ballast.config import load
from ballast.demo.flow import MARKETS, build
from ballast.demo.options import POST
from ballast.demo.replay import NETWORK
from ballast.demo.tape import FAR, NEAR, PEAK, Tape
from ballast.model.exact.vol_surface import Drift, VolSurface
from ballast.surface import fit, quotes_of
from ballast.surface.signing import update_of
from ballast.surface.ssvi import DAY, YEAR


@pytest.fixture(scope="module", params=data.minute_windows())
def scenario(request):
    return build(request.param, equity=10_000_000.0)


@pytest.fixture(params=MARKETS)
def tape(request, scenario):
    return Tape(request.param, scenario.wildest)


def test_the_recorded_crash_is_within_half_a_day_of_the_wildest_hour(tape, scenario):
    assert tape.shift % DAY == 0
    assert abs(PEAK + tape.shift - scenario.wildest) <= DAY // 2


def test_surfaces_of_a_whole_stretch_are_all_taken(tape, scenario):
    """By the contract's exact twin, with the demo's drift: no static arbitrage, every live expiry, no jump."""
    taken = VolSurface({0: Drift(*load(NETWORK).markets[0].options.drift.params())})
    for minute in scenario.minutes[::POST]:
        live = {expiry for expiry in taken.expiries(0) if expiry > minute.time}
        expiries = np.array(sorted({*live, *tape.expiries(minute.time)}))
        taken.post(update_of(tape.surface(minute.time, 2_000.0, expiries), 0, 2_000.0), minute.time)
    assert taken.timestamp(0) >= scenario.minutes[-POST].time


def test_surface_has_the_volatility_of_dvol_at_thirty_days(tape, scenario):
    for minute in scenario.minutes[::300]:
        surface = tape.surface(minute.time, 2_000.0, np.array([minute.time + 30 * DAY]))
        assert float(np.sqrt(surface.theta[0] / (30 * DAY / YEAR))) == pytest.approx(tape.dvol(minute.time), rel=1e-9)
    daily = data.dvol(tape.asset)
    at = int(np.searchsorted(daily.ts, scenario.minutes[0].time, side="right")) - 1
    assert tape.dvol(int(daily.ts[at])) == pytest.approx(daily.open[at])


def test_surface_when_a_chain_was_recorded_is_its_fit_as_many_deviations_away(tape):
    number = next(i for i, chain in enumerate(tape.chains) if chain.ts == 1_770_306_692)
    fitted = fit(quotes_of(tape.chains[number])).surface
    now = tape.times[number]
    level = tape.level(now)
    surface = tape.surface(now, float(tape.chains[number].index_price[0]), fitted.expiry + tape.shift)
    assert surface.theta == pytest.approx(fitted.theta * level**2, rel=1e-6)
    assert (surface.rho, surface.eta) == pytest.approx((fitted.rho, fitted.eta), rel=1e-6)
    quoted = tape.recorded(number, int(fitted.expiry[-3]) + tape.shift)
    quotes = quotes_of(tape.chains[number])
    mine = quotes.expiries[quotes.position] == fitted.expiry[-3]
    assert np.array(quoted.bid) / level == pytest.approx(quotes.bid[mine][np.argsort(quotes.k[mine])])
    assert np.array(quoted.k) / level == pytest.approx(np.sort(quotes.k[mine]))


def test_boards_expire_at_eight_and_reach_as_far_as_they_should(tape, scenario):
    for minute in scenario.minutes[::60]:
        found = tape.expiries(minute.time)
        assert all(expiry % DAY == 8 * 3_600 and expiry > minute.time for expiry in found)
        assert len(found) >= NEAR
        assert found[-1] >= minute.time + FAR[-1]


def test_some_board_of_the_default_stretch_expires_in_it(tape, scenario):
    first, last = scenario.minutes[0].time, scenario.minutes[-1].time
    assert any(first < expiry < last for expiry in tape.expiries(first))


def test_flow_in_parts_adds_up_to_the_record(tape):
    first, last = tape.times[4], tape.times[6]
    expiry = next(e for e in tape.expiries(first) if e > last)
    cuts = np.linspace(first, last, 8).astype(int)
    moved, bought = {}, set()
    for start, end in pairwise(cuts):
        for part in tape.prints(expiry, int(start), int(end)):
            name = (part.strike, part.is_call)
            moved[name] = moved.get(name, 0.0) + part.after - part.before
            bought.add(part.is_bought)
    assert bought == {True, False}

    def interest(chain):
        mine = chain.expiry == expiry - tape.shift
        rows = zip(chain.strike[mine], chain.is_call[mine], chain.open_interest[mine], strict=True)
        return {(float(k), bool(c)): float(np.nan_to_num(oi)) for k, c, oi in rows}

    before, after = interest(tape.chains[4]), interest(tape.chains[6])
    for name in {*before, *after}:
        assert moved[name] == pytest.approx(after.get(name, 0.0) - before.get(name, 0.0), abs=1e-6)
