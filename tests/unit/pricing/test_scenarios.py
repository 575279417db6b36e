"""scenarios.vy == exact twin to the wei; within 2e-8 of the shocked spot of 50-digit values; at most 8,700 gas."""

from __future__ import annotations

import random
from itertools import product

import mpmath as mp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ballast.chain import Contract, RevmChain
from ballast.model.analytic import fit
from ballast.model.exact import black76, scenarios
from ballast.model.exact.fixed import SPOT_SHOCKS, VOL_SHOCKS, WAD, YEAR

Q96 = 2**96
BOUND = 2e-8  # of the shocked spot
Case = tuple[int, int, int, int]  # spot, discounted strike, vol, seconds


@pytest.fixture(scope="module")
def harness() -> Contract:
    return RevmChain().deploy("ScenariosHarness")


def terms(case: Case) -> tuple[int, int, int, int, int]:
    """What `calls` takes."""
    spot, strike, vol, seconds = case
    distance = black76.log_ratio(max(spot, strike), min(spot, strike))
    assert distance is not None
    return spot, strike, vol, black76.root_years(seconds), distance if spot > strike else -distance


def true_values(case: Case) -> list[mp.mpf]:
    """The textbook formula in every scenario, at the working precision."""
    values = []
    for spot_shock, vol_shock in zip(SPOT_SHOCKS, VOL_SHOCKS, strict=True):
        s, k = mp.mpf(case[0]) * (WAD + spot_shock) / WAD**2, mp.mpf(case[1]) / WAD
        v = max(case[2] + vol_shock, scenarios.MIN_VOL) * mp.sqrt(mp.mpf(case[3]) / YEAR) / WAD
        d1 = mp.log(s / k) / v + v / 2
        values.append(s * mp.ncdf(d1) - k * mp.ncdf(d1 - v))
    return values


def error(case: Case) -> float:
    """The largest of the scenarios, of the shocked spot; a wei is not counted."""
    with mp.workdps(50):
        pairs = zip(scenarios.calls(*terms(case)), true_values(case), SPOT_SHOCKS, strict=True)
        return max(
            float(max(abs(mp.mpf(got) / WAD - want) - mp.mpf(2) / WAD, 0) / (mp.mpf(case[0]) * (WAD + shock) / WAD**2))
            for got, want, shock in pairs
        )


def grid() -> list[Case]:
    """Every corner of the kernel's domain, and what lies between."""
    moneyness = (0.1, 0.3, 0.5, 0.7, 0.85, 0.95, 1.0, 1.05, 1.15, 1.3, 1.5, 2.0, 4.0, 10.0)
    vols, times = (0.05, 0.2, 0.6, 1.5, 5.0), (60, 3_600, 86_400, 30 * 86_400, YEAR, 2 * YEAR)
    return [(3_000 * WAD, int(3_000 / m * WAD), int(v * WAD), t) for m, v, t in product(moneyness, vols, times)]


def scattered(count: int) -> list[Case]:
    """Log-uniform over the kernel's domain."""
    rng = random.Random(8)

    def between(low: float, high: float) -> float:
        return float(low * (high / low) ** rng.random())

    return [
        (int((spot := between(0.01, 200_000)) * WAD), int(spot / between(0.1, 10) * WAD), int(between(0.05, 5) * WAD),
         int(between(60, 2 * YEAR)))
        for _ in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize("cases", [grid(), scattered(600)], ids=["grid", "scattered"])
def test_calls_against_fifty_digits_are_within_the_bound(cases: list[Case]) -> None:
    assert max(error(case) for case in cases) <= BOUND


amounts = st.integers(1, 2**96 - 1) | st.integers(1, 10**6).map(lambda x: x * WAD)


@settings(max_examples=300)
@given(amounts, amounts, st.integers(0, black76.MAX_VOL), st.just(0) | st.integers(1, 2**32 - 1))
def test_calls_are_total_and_equal_the_twin(harness: Contract, spot: int, strike: int, vol: int, seconds: int) -> None:
    case = terms((spot, strike, vol, seconds))
    assert list(harness.call("metered", *case)[0]) == scenarios.calls(*case)


@settings(max_examples=200)
@given(st.sampled_from(scattered(1_000)))
def test_calls_contract_equals_twin_in_the_domain(harness: Contract, case: Case) -> None:
    assert list(harness.call("metered", *terms(case))[0]) == scenarios.calls(*terms(case))


def test_calls_at_expiry_are_intrinsic() -> None:
    for strike in (1_400, 3_000, 4_600):
        found = scenarios.calls(*terms((3_000 * WAD, strike * WAD, WAD, 0)))
        assert found == [max(3_000 * (WAD + shock) - strike * WAD, 0) for shock in SPOT_SHOCKS]


def test_low_volatility_is_held_at_one_percent() -> None:
    case = terms((3_000 * WAD, 3_000 * WAD, 20 * 10**16, 30 * 86_400))
    wanted = black76.evaluate(*case[:2], 0, scenarios.MIN_VOL, case[3], 0).call
    assert abs(scenarios.calls(*case)[4] - wanted) <= BOUND * 3_000 * WAD


def test_constants_are_what_the_fit_prints() -> None:
    power, ratio = fit.scenarios()
    assert power.numerator == scenarios.POWER
    assert (ratio.numerator, ratio.denominator) == (scenarios.RATIO_P, scenarios.RATIO_Q)
    assert power.error < 6e-10
    assert ratio.error < 2e-8
    with mp.workdps(50):
        logs = tuple(int(mp.nint(mp.log(1 + mp.mpf(shock) / WAD) * Q96)) for shock in SPOT_SHOCKS)
        assert logs == scenarios.LOG_SHOCKS
        assert int(mp.nint(mp.log(mp.e, 2) / 2 * 2**64)) == scenarios.HALF_LOG2_E


def test_gas_of_eight_scenarios(harness: Contract) -> None:
    """Of 24 strikes on a board of 30 days, none far away."""
    used = [
        harness.call("metered", *terms((3_000 * WAD, strike * WAD, 60 * 10**16, 30 * 86_400)))[1]
        for strike in range(2_200, 4_600, 100)
    ]
    assert max(used) <= 8_700
