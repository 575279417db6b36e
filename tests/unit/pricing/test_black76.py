"""black76.vy == exact twin to the wei; both within 2e-16 of spot of 50-digit values; analytic agrees with textbooks."""

from __future__ import annotations

import random
from dataclasses import astuple
from itertools import pairwise, product

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ballast.chain import Contract, RevmChain
from ballast.model.analytic import black76 as analytic
from ballast.model.analytic import fit
from ballast.model.exact import black76 as exact
from ballast.model.exact.fixed import WAD, YEAR
from ballast.reports.kernel import Case, true_values

TWO_YEARS = 2 * YEAR
DIGITS = 50


@pytest.fixture(scope="module")
def harness() -> Contract:
    return RevmChain().deploy("KernelHarness")


def logarithmic(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(np.log(low), np.log(high)).map(lambda x: float(np.exp(x)))


cases = st.builds(
    lambda spot, moneyness, vol, seconds, rate: (
        int(spot * WAD), int(spot / moneyness * WAD), int(vol * WAD), int(seconds), int(rate * WAD)
    ),
    logarithmic(0.01, 200_000), logarithmic(0.1, 10), logarithmic(0.05, 5), logarithmic(60, TWO_YEARS),
    st.floats(-0.2, 0.2),
)  # fmt: skip


def evaluate(spot: int, strike: int, vol: int, root: int, rate: int) -> exact.Option:
    distance = exact.log_ratio(max(spot, strike), min(spot, strike))
    return exact.evaluate(spot, strike, distance, vol, root, rate)


def grid() -> list[Case]:
    """Every corner of the domain, and what lies between."""
    moneyness = (0.1, 0.2, 0.5, 0.8, 0.9, 0.97, 0.999, 1.0, 1.001, 1.03, 1.1, 1.25, 2.0, 5.0, 10.0)
    vols, times = (0.05, 0.2, 0.6, 1.5, 3.0, 5.0), (60, 3_600, 86_400, 7 * 86_400, 90 * 86_400, YEAR, TWO_YEARS)
    return [
        (3_000 * WAD, int(3_000 / m * WAD), int(v * WAD), t, int(r * WAD))
        for m, v, t, r in product(moneyness, vols, times, (-0.2, 0.0, 0.05, 0.2))
    ]


def scattered(count: int) -> list[Case]:
    """Half over the whole domain, half within three standard deviations of the forward."""
    rng, found = random.Random(76), []
    for i in range(count):
        vol, seconds = 10 ** rng.uniform(-1.3, 0.698), int(60 * (TWO_YEARS / 60) ** rng.random())
        wide = 10 ** rng.uniform(-1, 1)
        near = np.exp(np.clip(rng.gauss(0, 1.5) * vol * (seconds / YEAR) ** 0.5, -2.3, 2.3))
        spot = 10 ** rng.uniform(-2, 5.3)
        moneyness = wide if i % 2 else near
        rate = int(rng.uniform(-0.2, 0.2) * WAD)
        found.append((int(spot * WAD), int(spot / moneyness * WAD), int(vol * WAD), seconds, rate))
    return found


def twin(case: Case) -> exact.Option:
    spot, strike, vol, seconds, rate = case
    kd = strike * exact.discount(rate, seconds) >> 96
    return evaluate(spot, kd, vol, exact.root_years(seconds), rate)


@pytest.mark.parametrize("points", [grid(), scattered(3_000)], ids=["grid", "scattered"])
def test_evaluate_against_fifty_digits_is_within_the_bounds(points: list[Case]) -> None:
    """2e-16 of spot for prices, 1e-15 for delta; a wei of rounding where spot is small. With the strike above spot the
    put's scale is the strike, whose own wei it carries."""
    with mp.workdps(DIGITS):
        for case in points:
            got, want, spot = twin(case), true_values(case), mp.mpf(case[0]) / WAD
            strike = mp.mpf(case[1]) / WAD
            wei = mp.mpf(2) / WAD
            assert abs(mp.mpf(got.call) / WAD - want[0]) <= 2e-16 * spot + wei, case
            assert abs(mp.mpf(got.put) / WAD - want[1]) <= 2e-16 * spot + wei + mp.mpf("2e-18") * strike, case
            # the discounted strike is handed over in WAD: its last wei moves d1 by wei / (strike * width)
            width = mp.mpf(case[2]) / WAD * mp.sqrt(mp.mpf(case[3]) / YEAR)
            precision = 1e-15 + wei / 4 / (strike * width)
            assert abs(mp.mpf(got.delta) / WAD - want[2]) <= precision, case
            assert abs(mp.mpf(got.vega) / WAD - want[4]) <= 2e-16 * spot + wei, case
            # gamma is a density over spot and width, and carries the density's error; delta's wei enters theta
            assert abs(mp.mpf(got.gamma) / WAD - want[3]) <= precision / (spot * width) + wei, case
            decay = spot * mp.mpf(case[2]) / WAD / mp.sqrt(mp.mpf(case[3]) / YEAR)
            assert abs(mp.mpf(got.theta) / WAD - want[5]) <= precision * (spot + strike + decay) + wei, case


@settings(max_examples=400, deadline=None)
@given(cases)
def test_evaluate_contract_equals_twin(harness: Contract, case: Case) -> None:
    *_, seconds, rate = case
    root, factor = harness.call("terms", rate, seconds)
    assert (root, factor) == (exact.root_years(seconds), exact.discount(rate, seconds))
    assert tuple(harness.call("metered", *case)[0]) == astuple(twin(case))


@settings(max_examples=400, deadline=None)
@given(
    st.integers(0, 2**96 - 1), st.integers(0, 2**96 - 1), st.integers(0, 2**256 - 1) | st.integers(0, 20 * WAD),
    st.integers(0, 2**32 - 1), st.integers(-WAD, WAD),
)  # fmt: skip
def test_evaluate_is_total_and_equals_twin_outside_the_domain(
    harness: Contract, spot: int, strike: int, vol: int, seconds: int, rate: int
) -> None:
    root = exact.root_years(seconds)
    vol = min(vol, 2**120)
    got = evaluate(spot, strike, vol, root, rate)
    assert tuple(harness.call("evaluate", spot, strike, vol, root, rate)) == astuple(got)
    assert got.call - got.put == spot - strike
    assert max(spot - strike, 0) <= got.call <= spot
    assert max(strike - spot, 0) <= got.put <= strike
    assert 0 <= got.delta <= WAD
    assert got.gamma >= 0
    assert got.vega >= 0


def test_discount_without_time_or_rate_is_one(harness: Contract) -> None:
    for rate, seconds in ((WAD // 20, 0), (0, YEAR), (-WAD // 20, 0)):
        assert harness.call("terms", rate, seconds)[1] == exact.discount(rate, seconds) == 2**96


def test_evaluate_at_expiry_and_without_volatility_is_intrinsic() -> None:
    for spot, strike, delta in ((3_000, 2_900, WAD), (3_000, 3_100, 0), (3_000, 3_000, WAD // 2)):
        for vol, root in ((WAD, 0), (0, 2**96), (0, 0)):
            got = evaluate(spot * WAD, strike * WAD, vol, root, 0)
            assert got == exact.Option(max(spot - strike, 0) * WAD, max(strike - spot, 0) * WAD, delta, 0, 0, 0)


@settings(max_examples=300, deadline=None)
@given(cases, st.floats(1.001, 1.5), st.floats(1.001, 1.5))
def test_evaluate_is_monotone_and_convex_in_strike(case: Case, first: float, second: float) -> None:
    """No vertical and no butterfly arbitrage; a few wei of rounding per unit of quote."""
    spot, strike, vol, seconds, rate = case
    strikes = [strike, int(strike * first), int(strike * first * second)]
    root, factor = exact.root_years(seconds), exact.discount(rate, seconds)
    calls = [evaluate(spot, k * factor >> 96, vol, root, rate).call for k in strikes]
    wei = 4 + (spot + strikes[-1]) // 10**17
    assert calls[0] + wei >= calls[1] >= calls[2] - wei
    assert all(
        after - before >= -(high - low) * factor // 2**96 - wei
        for (before, after), (low, high) in zip(pairwise(calls), pairwise(strikes), strict=True)
    )
    weight = strikes[2] - strikes[1]
    span = strikes[2] - strikes[0]
    assert calls[1] * span <= calls[0] * weight + calls[2] * (span - weight) + wei * span


@settings(max_examples=300, deadline=None)
@given(cases, st.floats(1.001, 1.5))
def test_evaluate_rises_with_volatility_and_spot(case: Case, factor: float) -> None:
    spot, strike, vol, seconds, rate = case
    wei = 4 + (spot + strike) // 10**17
    now, wilder = twin(case), twin((spot, strike, int(vol * factor), seconds, rate))
    assert wilder.call >= now.call - wei
    dearer = twin((int(spot * factor), strike, vol, seconds, rate))
    assert dearer.call >= now.call - wei * factor
    assert dearer.put <= now.put + wei * factor
    assert dearer.delta >= now.delta - 2


@settings(max_examples=200, deadline=None)
@given(cases)
def test_evaluate_greeks_are_the_slopes_of_the_price(case: Case) -> None:
    """Delta, vega and theta against differences of 50-digit prices."""
    spot, strike, vol, seconds, _ = case
    got = twin(case)
    with mp.workdps(DIGITS):
        step = max(spot // 10**9, 1)
        slope = (true_values((spot + step, *case[1:]))[0] - true_values((spot - step, *case[1:]))[0]) * WAD / (2 * step)
        width = mp.mpf(vol) / WAD * mp.sqrt(mp.mpf(seconds) / YEAR)
        assert abs(mp.mpf(got.delta) / WAD - slope) <= mp.mpf("1e-15") + mp.mpf("1e-16") / width**2
        step = vol // 10**9
        slope = (
            true_values((spot, strike, vol + step, *case[3:]))[0]
            - true_values((spot, strike, vol - step, *case[3:]))[0]
        )
        assert (
            abs(mp.mpf(got.vega) / WAD - slope * WAD / (2 * step))
            <= mp.mpf(spot) / WAD * mp.mpf("1e-12") + mp.mpf(2) / WAD
        )


@pytest.mark.parametrize(
    ("spot", "strike", "rate", "vol", "years", "call", "put"),
    [
        # J. C. Hull, Options, Futures, and Other Derivatives, 8th ed., example 15.6: 4.76 and 0.81
        (42, 40, 0.1, 0.2, 0.5, 4.76, 0.81),
        # E. G. Haug, The Complete Guide to Option Pricing Formulas, 2nd ed., 1.1.1: call 2.1334
        (60, 65, 0.08, 0.3, 0.25, 2.1334, None),
    ],
)
def test_evaluate_textbook_examples(
    spot: float, strike: float, rate: float, vol: float, years: float, call: float, put: float | None
) -> None:
    """As printed, to the last digit printed; the analytic model too."""
    got = twin((spot * WAD, strike * WAD, int(vol * WAD), int(years * YEAR), int(rate * WAD)))
    floats = analytic.evaluate(spot, strike, vol, years, rate)
    digits = len(str(call).partition(".")[2])
    assert round(got.call / WAD, digits) == round(float(floats.call), digits) == call
    if put is not None:
        assert round(got.put / WAD, digits) == round(float(floats.put), digits) == put


def test_analytic_equals_twin_to_double_precision() -> None:
    points = scattered(500)
    floats = [np.array([case[i] for case in points], dtype=float) / WAD for i in (0, 1, 2, 4)]
    years = np.array([case[3] for case in points]) / YEAR
    options = analytic.evaluate(floats[0], floats[1], floats[2], years, floats[3])
    twins = [twin(case) for case in points]
    np.testing.assert_allclose(options.call, [t.call / WAD for t in twins], atol=1e-11 * floats[0].max(), rtol=1e-9)
    np.testing.assert_allclose(options.delta, [t.delta / WAD for t in twins], atol=1e-9)
    np.testing.assert_allclose(options.vega, [t.vega / WAD for t in twins], rtol=1e-6, atol=1e-6)


def test_coefficients_are_what_the_fit_prints() -> None:
    artanh, power, ratio = fit.artanh_series(), fit.normal_power(), fit.mills_ratio()
    assert artanh.numerator == exact.ARTANH
    assert power.numerator == exact.EXP
    assert (ratio.numerator, ratio.denominator) == (exact.MILLS_P, exact.MILLS_Q)
    assert artanh.error < 2e-18
    assert power.error < 2e-20
    assert ratio.error < 5e-18


def test_gas_of_all_six_outputs(harness: Contract) -> None:
    """The bound is on the median; the figures are in docs/reports/kernel.md."""
    used = [harness.call("metered", *case)[1] for case in scattered(1_000)]
    assert np.median(used) <= 4_900
    assert max(used) <= 5_500
