"""OptionPricer.vy == exact twin to the wei; floors add up; both agree with floating-point Black-76 on the surface."""

from __future__ import annotations

from dataclasses import astuple, replace
from functools import reduce
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ballast.chain import Contract, RevmChain
from ballast.model.analytic import black76 as analytic
from ballast.model.exact import black76
from ballast.model.exact import option_pricer as exact
from ballast.model.exact.fixed import SPOT_SHOCKS, VOL_SHOCKS, WAD, YEAR, tdiv
from ballast.model.exact.option_pricer import Line, Point
from ballast.surface.ssvi import total_variance

DAY = 86_400


@pytest.fixture(scope="module")
def pricer() -> Contract:
    return RevmChain().deploy("OptionPricer")


def logarithmic(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(0, 1).map(lambda x: low * (high / low) ** x)


@st.composite
def points(draw: st.DrawFn) -> Point:
    """Any surface that VolSurface takes, at most six hours old; expired ones too."""
    age, seconds = draw(st.integers(0, 6 * 3_600)), draw(st.just(0) | logarithmic(60, 2 * YEAR).map(int))
    vol, rho = draw(logarithmic(0.01, 5)), draw(st.floats(-0.95, 0.95))
    theta = int(vol * vol * (seconds + age) / YEAR * WAD)
    eta = int(draw(st.floats(0.001, 2)) * WAD / (1 + abs(rho)))
    rate = int(draw(st.floats(-0.2, 0.2)) * WAD)
    spot = int(draw(logarithmic(0.01, 200_000)) * WAD)
    return Point(spot, seconds, seconds + age, theta, rate, int(rho * WAD), eta)


sizes = st.just(0) | st.integers(-(2**96) + 1, 2**96 - 1) | st.integers(-(10**6) * WAD, 10**6 * WAD)


@st.composite
def books(draw: st.DrawFn, most: int = 4) -> tuple[Point, list[Line]]:
    """Strikes from a tenth to ten times spot, half of them near it; some holdings unchanged."""
    point = draw(points())
    lines = []
    for ratio in draw(st.lists(logarithmic(0.1, 10) | logarithmic(0.9, 1.1), max_size=most)):
        n, p = draw(sizes), draw(sizes)
        after = (draw(st.just(n) | sizes), draw(st.just(p) | sizes))
        lines.append(Line(int(point.spot * ratio), n, p, *after))
    return point, lines


@settings(max_examples=200)
@given(books())
def test_contract_equals_twin(pricer: Contract, book: tuple[Point, list[Line]]) -> None:
    point, lines = book
    totals = pricer.call("change", astuple(point), [astuple(line) for line in lines])
    assert exact.Totals(*totals[:5], tuple(totals[5])) == exact.change(point, lines)
    strikes = [line.strike for line in lines]
    found = [exact.Premium(*x) for x in pricer.call("premiums", astuple(point), strikes)]
    assert found == exact.premiums(point, strikes)


def total(a: exact.Totals, b: exact.Totals) -> exact.Totals:
    """Number by number."""
    stress = tuple(x + y for x, y in zip(a.stress, b.stress, strict=True))
    return exact.Totals(*(x + y for x, y in zip(astuple(a)[:5], astuple(b)[:5], strict=True)), stress)


@given(books(), st.data())
def test_change_in_two_steps_is_change_in_one(book: tuple[Point, list[Line]], data: st.DataObject) -> None:
    point, lines = book
    first, second = [], []
    for line in lines:
        n, p = data.draw(sizes), data.draw(sizes)
        first.append(replace(line, n_after=n, p_after=p))
        second.append(replace(line, n_before=n, p_before=p))
    whole = exact.change(point, lines)
    assert total(exact.change(point, first), exact.change(point, second)) == whole
    parts = [exact.change(point, [line]) for line in reversed(lines)]
    assert reduce(total, parts, exact.Totals()) == whole


@given(books())
def test_change_of_nothing_is_nothing(pricer: Contract, book: tuple[Point, list[Line]]) -> None:
    point, lines = book
    still = [replace(line, n_after=line.n_before, p_after=line.p_before) for line in lines]
    assert exact.change(point, still) == exact.Totals()
    totals = pricer.call("change", astuple(point), [astuple(line) for line in still])
    assert (*totals[:5], *totals.stress) == (0,) * 13


def test_a_synthetic_future_has_no_curvature_and_no_stress() -> None:
    """Long a call, short a put: n stays, p moves."""
    point = Point(3_000 * WAD, 30 * DAY, 30 * DAY + 300, WAD * 3 // 100, WAD // 25, -WAD // 4, WAD)
    strike = 2_900 * WAD
    found = exact.change(point, [Line(strike, 5 * WAD, 2 * WAD, 5 * WAD, WAD)])
    kd = strike * black76.discount(point.rate, point.seconds) >> 96
    assert found == exact.Totals(point.spot - kd, WAD, 0, 0, -tdiv(point.rate * kd, WAD))


def smile_greeks(
    point: Point, k: analytic.Array, vol: analytic.Array, x: analytic.Options
) -> tuple[analytic.Array, analytic.Array]:
    """Delta and gamma by the chain rule: vol is a function of k = ln(K / F), which falls as ln(spot) rises."""
    spot, term, theta, rho = point.spot / WAD, point.term / YEAR, point.theta / WAD, point.rho / WAD
    phi = point.eta / WAD / np.sqrt(theta * (1 + theta))
    root = np.sqrt((phi * k + rho) ** 2 + 1 - rho**2)
    w1 = theta * phi / 2 * (rho + (phi * k + rho) / root)
    w2 = theta * phi**2 / 2 * (1 - rho**2) / root**3
    vol1 = np.where(vol < 10, w1 / (2 * vol * term), 0)
    vol2 = np.where(vol < 10, (w2 / (2 * term) - vol1**2) / vol, 0)
    deviation = vol * np.sqrt(point.seconds / YEAR)
    d1 = -k / deviation + deviation / 2
    d2 = d1 - deviation
    vanna, volga = -x.vega * d2 / (spot * deviation), x.vega * d1 * d2 / vol
    by_spot, twice = -vol1 / spot, (vol2 + vol1) / spot**2
    return x.delta + x.vega * by_spot, x.gamma + 2 * vanna * by_spot + volga * by_spot**2 + x.vega * twice


def float_change(point: Point, lines: list[Line]) -> tuple[dict[str, float], np.ndarray]:
    """The textbook formulas on the float surface, one array per strike: greeks by name, and the scenarios [quote]."""
    spot, rate, years = point.spot / WAD, point.rate / WAD, point.seconds / YEAR
    strikes = np.array([line.strike / WAD for line in lines])
    n = np.array([(line.n_after - line.n_before) / WAD for line in lines])
    p = np.array([(line.p_after - line.p_before) / WAD for line in lines])
    k = np.log(strikes / (spot * np.exp(rate * years)))
    variance = total_variance(k, point.theta / WAD, point.rho / WAD, point.eta / WAD)
    vol = np.minimum(np.sqrt(variance / (point.term / YEAR)), 10.0)
    x = analytic.evaluate(spot, strikes, vol, years, rate)
    delta, gamma = smile_greeks(point, k, vol, x)
    calls, puts = n - p, p
    found = {
        "value": calls @ x.call + puts @ x.put,
        "delta": calls @ delta + puts @ (delta - 1),
        "gamma": n @ gamma,
        "vega": n @ x.vega,
        "theta": calls @ x.theta + puts @ (x.theta + rate * strikes * np.exp(-rate * years)),
    }
    stress = []
    for spot_shock, vol_shock in zip(SPOT_SHOCKS, VOL_SHOCKS, strict=True):
        shocked = np.maximum(vol + vol_shock / WAD, 0.01)
        y = analytic.evaluate(spot * (1 + spot_shock / WAD), strikes, shocked, years, rate)
        move = spot * spot_shock / WAD
        # calls and puts on their own: that a put's P&L beyond delta is the call's is for the contract to know
        stress.append(calls @ (y.call - x.call - delta * move) + puts @ (y.put - x.put - (delta - 1) * move))
    return found, np.array(stress)


@pytest.mark.parametrize("ratio", [0.8, 0.97, 1.0, 1.04, 1.3])
@pytest.mark.parametrize("seconds", [3_600, 7 * DAY, YEAR])
def test_delta_and_gamma_are_the_slopes_of_value(ratio: float, seconds: int) -> None:
    """On a surface that moves along with spot, as between two updates; Black's own are 0.1 off with this skew."""
    point = Point(2_000 * WAD, seconds, seconds, WAD * seconds // YEAR, WAD // 25, -WAD * 6 // 10, WAD * 12 // 10)
    strike = int(2_000 * (1 + (ratio - 1) * min(1, (seconds / YEAR) ** 0.5 * 4)) * WAD)
    step = 2_000 * WAD * (seconds / YEAR) ** 0.5 / 1_000

    def at(spot: float) -> exact.Totals:
        return exact.change(replace(point, spot=int(spot)), [Line(strike, 0, 0, 10**6 * WAD, 3 * 10**5 * WAD)])

    down, here, up = (at(point.spot + i * step) for i in (-1, 0, 1))
    assert here.delta / WAD == pytest.approx((up.value - down.value) / (2 * step), rel=1e-5)
    assert here.gamma / WAD == pytest.approx((up.value - 2 * here.value + down.value) / step / step * WAD, rel=1e-4)
    assert here.gamma > 0


@settings(max_examples=300)
@given(books(most=10).filter(lambda book: book[0].seconds >= 3_600 and book[0].theta > 4 * 10**9))
def test_change_agrees_with_textbook_formulas(book: tuple[Point, list[Line]]) -> None:
    """Within 1e-9 of what is held at spot, the greeks scaled as they are; for scenarios, 2e-8 at the highest."""
    point, lines = book
    found, (greeks, stress) = exact.change(point, lines), float_change(point, lines)
    held = sum(abs(a) for x in lines for a in (x.n_before, x.n_after, x.p_before, x.p_after)) / WAD
    spot, years = point.spot / WAD, point.seconds / YEAR
    strike = max((line.strike / WAD for line in lines), default=0.0)
    vol = (point.theta / WAD / (point.term / YEAR)) ** 0.5
    scales = {
        "value": spot + strike,
        "delta": 1.0,
        "gamma": 1 / (spot * vol * years**0.5),
        "vega": spot * years**0.5,
        "theta": spot * vol / years**0.5 + spot + strike,
    }
    for name, scale in scales.items():
        wei = 2 * len(lines) / WAD + held / WAD
        assert abs(getattr(found, name) / WAD - greeks[name]) <= 1e-9 * held * scale + wei, name
    for got, want in zip(found.stress, stress, strict=True):
        assert abs(got - want) <= 3e-8 * held * spot + 1e-9 * held * strike + len(lines)


@given(points(), st.lists(logarithmic(0.1, 10), min_size=2, max_size=24))
def test_premiums_keep_their_bounds_and_their_order(point: Point, ratios: list[float]) -> None:
    """Parity to the wei, 0 <= call <= spot, calls fall and puts rise with the strike."""
    strikes = sorted(int(point.spot * ratio) for ratio in ratios)
    factor = black76.discount(point.rate, point.seconds)
    found = exact.premiums(point, strikes)
    for strike, premium in zip(strikes, found, strict=True):
        kd = strike * factor >> 96
        assert premium.call - premium.put == point.spot - kd
        assert max(point.spot - kd, 0) <= premium.call <= point.spot
    for (low, high), (cheap, dear) in zip(pairwise(found), pairwise(strikes), strict=True):
        wei = 4 + (point.spot + dear) // 10**17
        assert -wei <= low.call - high.call <= ((dear - cheap) * factor >> 96) + wei
        assert high.put >= low.put - wei


@pytest.mark.parametrize("change", [{"seconds": 0}, {"seconds": 0, "term": 0}, {"theta": 0}])
def test_without_time_or_surface_options_are_intrinsic(pricer: Contract, change: dict[str, int]) -> None:
    point = replace(Point(3_000 * WAD, 30 * DAY, 30 * DAY + 300, WAD * 3 // 100, 0, -WAD // 4, WAD), **change)
    strikes = [2_500 * WAD, 3_000 * WAD, 3_500 * WAD]
    found = [tuple(x) for x in pricer.call("premiums", astuple(point), strikes)]
    assert found == [(500 * WAD, 0), (0, 0), (0, 500 * WAD)]
    totals = pricer.call("change", astuple(point), [(strike, 0, 0, WAD, 0) for strike in strikes])
    assert (totals.value, totals.gamma, totals.vega, totals.theta) == (500 * WAD, 0, 0, 0)
    assert totals.delta == WAD + WAD // 2
    if point.seconds == 0:
        # spot down by half: the first loses 500 where its delta says 1,500, the second nothing where it says 750
        assert totals.stress[0] == 1_750


@settings(max_examples=200)
@given(
    points(), st.integers(2**30, 2**95), st.lists(st.integers(0, 2**95), max_size=4), st.integers(0, 3_600),
    st.sampled_from([2**96 - 1, 1 - 2**96]),
)  # fmt: skip
def test_nothing_reverts_or_overflows_at_the_ends_of_the_domain(
    pricer: Contract, point: Point, spot: int, strikes: list[int], seconds: int, held: int
) -> None:
    """Any price, the last hour too, and the most that can be held: the twin has no limits to run into."""
    point = replace(point, spot=spot, seconds=min(seconds, point.seconds))
    strikes = [spot, *strikes]
    found = [exact.Premium(*x) for x in pricer.call("premiums", astuple(point), strikes)]
    assert found == exact.premiums(point, strikes)
    lines = [Line(strike, -held, held, held, -held) for strike in strikes]
    totals = pricer.call("change", astuple(point), [astuple(line) for line in lines])
    assert exact.Totals(*totals[:5], tuple(totals[5])) == exact.change(point, lines)


def test_gas_of_a_strike_and_of_a_board(revm: RevmChain) -> None:
    """Executed alone: the calldata's price and 21,000 are taken off."""
    pricer = revm.deploy("OptionPricer")
    point = Point(3_000 * WAD, 30 * DAY, 30 * DAY + 300, WAD * 3 // 100, WAD // 25, -WAD * 3 // 10, WAD * 6 // 5)
    strikes = [x * WAD for x in (2_200, 2_400, 2_600, 2_800, 2_900, 3_000, 3_200, 3_400, 3_800, 4_200)]

    def gas(function: str, arguments: list[object]) -> int:
        data = bytes(pricer.tx(function, astuple(point), arguments).data)
        upfront = 21_000 + sum(16 if byte else 4 for byte in data)
        return pricer.send(function, astuple(point), arguments).gas_used - upfront

    refresh: list[object] = [(strike, 0, 0, -WAD, -WAD // 2) for strike in strikes]
    assert gas("change", [(strikes[5], 0, 0, -WAD, -WAD // 2)]) <= 22_200
    assert gas("change", [(strikes[5], -5 * WAD, -2 * WAD, -7 * WAD, -3 * WAD)]) <= 22_300
    assert gas("change", refresh) <= 190_000
    assert gas("premiums", [strikes[5]]) <= 8_700
