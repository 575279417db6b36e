"""OptionPricer.vy == exact twin to the wei; floors add up; both agree with floating-point Black-76 on the surface."""

from __future__ import annotations

from dataclasses import astuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ballast.chain import Contract, RevmChain
from ballast.model.exact import option_pricer as exact
from ballast.model.exact.fixed import WAD, YEAR
from ballast.model.exact.option_pricer import Line, Point


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
    """Strikes from a tenth to ten times spot; some holdings unchanged."""
    point = draw(points())
    lines = []
    for ratio in draw(st.lists(logarithmic(0.1, 10), max_size=most)):
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
