"""ssvi.vy == exact twin to the wei; both within 1e-15 of 50-digit values; analytic agrees."""

from __future__ import annotations

import mpmath as mp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ballast.chain import Contract, RevmChain
from ballast.model.exact import black76, ssvi
from ballast.model.exact.fixed import WAD, YEAR
from ballast.surface.ssvi import total_variance

Q96 = 2**96
Case = tuple[int, int, int, int, int]  # k [Q96], theta, eta, rho [WAD], seconds

cases = st.builds(
    lambda width, vol, seconds, rho, share: (
        int(width * vol * (seconds / YEAR) ** 0.5 * Q96),
        max(int(vol * vol * seconds / YEAR * WAD), 1),
        int(2 * share * WAD / (1 + abs(rho))),
        int(rho * WAD),
        seconds,
    ),
    st.floats(-8, 8), st.floats(0.05, 5), st.integers(60, 2 * YEAR), st.floats(-0.95, 0.95), st.floats(0.01, 1),
)  # fmt: skip


@pytest.fixture(scope="module")
def harness() -> Contract:
    return RevmChain().deploy("SsviHarness")


@settings(max_examples=300, deadline=None)
@given(cases)
def test_volatility_contract_equals_twin(harness: Contract, case: Case) -> None:
    k, theta, eta, rho, seconds = case
    root = black76.root_years(seconds)
    phi, variance, vol, _ = harness.call("metered", k, theta, eta, rho, root)
    assert phi == ssvi.curvature(theta, eta)
    assert variance == ssvi.total_variance(k, theta, phi, rho)
    assert vol == ssvi.volatility(variance, root)


@settings(max_examples=300, deadline=None)
@given(
    st.integers(-(2**103), 2**103), st.integers(0, 2**64 - 1), st.integers(0, 2 * WAD), st.integers(1 - WAD, WAD - 1)
)
def test_volatility_is_total_and_equals_twin_everywhere(
    harness: Contract, k: int, theta: int, eta: int, rho: int
) -> None:
    phi, variance, vol, _ = harness.call("metered", k, theta, eta, rho, 0)
    assert phi == ssvi.curvature(theta, eta)
    assert variance == ssvi.total_variance(k, theta, phi, rho)
    assert vol == 0


@settings(max_examples=500, deadline=None)
@given(cases)
def test_volatility_against_fifty_digits(case: Case) -> None:
    k, theta, eta, rho, seconds = case
    phi = ssvi.curvature(theta, eta)
    variance = ssvi.total_variance(k, theta, phi, rho)
    vol = ssvi.volatility(variance, black76.root_years(seconds))
    with mp.workdps(50):
        x, t, e, r = mp.mpf(k) / Q96, mp.mpf(theta) / WAD, mp.mpf(eta) / WAD, mp.mpf(rho) / WAD
        f = e / mp.sqrt(t * (1 + t))
        true = t / 2 * (1 + r * f * x + mp.sqrt((f * x + r) ** 2 + 1 - r * r))
        assert abs(mp.mpf(phi) / Q96 - f) <= 1e-20 * f + mp.mpf(2) / Q96
        assert abs(mp.mpf(variance) / Q96 - true) <= 1e-18 * true + mp.mpf(2) ** -94
        exact = mp.sqrt(true / (mp.mpf(seconds) / YEAR))
        assert abs(mp.mpf(vol) / WAD - exact) <= 1e-15 * exact + mp.mpf(1) / WAD
    assert float(true) == pytest.approx(
        float(total_variance(k / Q96, theta / WAD, rho / WAD, eta / WAD)), rel=1e-6, abs=1e-16
    )


def test_volatility_at_the_money_is_theta(harness: Contract) -> None:
    seconds = 30 * 86_400
    theta = int(0.6**2 * seconds / YEAR * WAD)
    vol = harness.call("metered", 0, theta, WAD, -WAD // 3, black76.root_years(seconds))[2]
    assert vol == pytest.approx(0.6 * WAD, rel=1e-12)


def test_gas_of_variance_and_volatility(harness: Contract) -> None:
    seconds = 30 * 86_400
    theta = int(0.6**2 * seconds / YEAR * WAD)
    used = harness.call("metered", Q96 // 10, theta, WAD, -WAD // 3, black76.root_years(seconds))[3]
    assert used <= 1_800
