"""potential.vy == exact twin to the wei; exact twin ~ analytic; analytic ~ direct numpy."""

from __future__ import annotations

from dataclasses import astuple
from itertools import product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ballast.chain import Contract, RevmChain
from ballast.model.analytic import potential as analytic
from ballast.model.exact import potential as exact
from ballast.model.exact.fixed import MICRO, WAD
from ballast.model.exact.inventory import linear_loss, vector_loss

ROOT = int((1 / 365) ** 0.5 * 1e18)
money = st.integers(-5_000_000, 5_000_000).map(lambda n: n * WAD + n)
correlations = st.tuples(st.integers(0, 100), st.integers(0, 100)).map(lambda t: tuple(sorted(t)))


@pytest.fixture(scope="module")
def harness() -> Contract:
    return RevmChain().deploy("PotentialHarness")


def weights(lo: int = 0, hi: int = 100, rho: int = -30, knee: int = 10) -> exact.Weights:
    cent = WAD // 100
    return exact.Weights(8 * WAD, knee * cent, lo * cent, hi * cent, rho * cent, WAD // 50, 60 * cent, 90 * cent)


def floats(w: exact.Weights) -> analytic.Weights:
    return analytic.Weights(*(x / WAD for x in astuple(w)), horizon=(ROOT / 1e18) ** 2)


def sums(a: list[int], b: list[int], g: list[int], w: exact.Weights) -> exact.Sums:
    return exact.Sums(
        a=sum(a),
        b=sum(b),
        g=sum(g),
        p=sum(exact.square_term(x, y, w.rho) for x, y in zip(a, b, strict=True)),
        gg=sum(x * x // WAD for x in g),
    )


@settings(max_examples=200)
@given(
    st.lists(st.tuples(money, money, money), min_size=1, max_size=4),
    correlations,
    st.integers(-99, 99),
    st.integers(1_000, 50_000_000),
    st.integers(0, 60_000_000),
)
def test_potential_random_book_equals_twin_and_analytic(
    harness: Contract,
    terms: list[tuple[int, int, int]],
    c: tuple[int, int],
    rho: int,
    capital: int,
    loss: int,
) -> None:
    w = weights(*c, rho)
    a, b, g = ([t[i] // 20 for t in terms] for i in range(3))
    s = sums(a, b, g, w)
    got = harness.call("u", astuple(s), loss * WAD, capital * WAD, astuple(w))
    assert got == exact.potential(s, loss * WAD, capital * WAD, w)

    fw = floats(w)
    var = analytic.variance(*(np.array(x, dtype=float) / WAD for x in (a, b, g)), fw)
    expected = analytic.inventory_term(var, capital, fw) + analytic.utilization_term(loss, capital, fw)
    # float cancellation in P + M with opposite signs: relative to the uncancelled size
    scale = sum(float(x) ** 2 for t in terms for x in t) / 400 / WAD**2 * 8 / (2 * capital)
    assert got / WAD == pytest.approx(expected, rel=1e-9, abs=1e-12 * scale + 1e-9)


MIXES = ((0, WAD), (0, 0), (WAD, WAD), (WAD // 3, WAD // 2), (1, WAD - 1))


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("capital", [1, 2, 5, WAD, WAD + 1])
def test_potential_of_a_few_wei_equals_twin(harness: Contract, capital: int, mix: tuple[int, int]) -> None:
    """Every sum at 0, at a wei and around one, where each rounding and comparison shows."""
    for knee in (WAD // 10, WAD):
        w = exact.Weights(8 * WAD, knee, *mix, -WAD // 3, WAD // 50, 6 * WAD // 10, 9 * WAD // 10)
        for a, b, g in product((-WAD - 1, 0, 1, WAD), (0, 1, WAD), (0, 1, WAD + 1)):
            for p, gg in product((0, 1, WAD), (0, 1, WAD)):
                s = exact.Sums(a, b, g, p, gg)
                assert harness.u(astuple(s), 0, capital, astuple(w)) == exact.potential(s, 0, capital, w), s
        for loss in (0, 1, 3, 4, 6 * capital // 10, 6 * capital // 10 + 1, 9 * capital // 10, capital, 2 * capital):
            s = exact.Sums(a=WAD, p=WAD)
            assert harness.u(astuple(s), loss, capital, astuple(w)) == exact.potential(s, loss, capital, w), loss


@pytest.mark.parametrize("mix", MIXES)
def test_delta_price_of_a_few_wei_equals_twin(harness: Contract, mix: tuple[int, int]) -> None:
    for capital, knee in product((1, 2, WAD, WAD + 1), (WAD // 10, WAD)):
        w = exact.Weights(8 * WAD, knee, *mix, 0, WAD // 50, 6 * WAD // 10, 9 * WAD // 10)
        for total, own, p in product((-WAD - 1, -1, 1, WAD), (-WAD - 1, -1, 0, 1, WAD), (1, WAD)):
            s = exact.Sums(a=total, p=p)
            expected = exact.delta_price(s, own, WAD // 20 + 1, capital, w)
            assert harness.delta_price(astuple(s), own, WAD // 20 + 1, capital, astuple(w)) == expected, (s, own)


def test_terms_of_a_few_wei_equal_twin(harness: Contract) -> None:
    some = (-WAD - 1, -1, 0, 1, WAD, WAD + 1)
    for delta, price, sigma in product(some, (1, WAD, WAD + 1), (0, 1, WAD // 20 + 1)):
        for other, rho in product((-1, 0, WAD + 1), (-WAD + 1, 0, WAD // 3)):
            a, b = exact.delta_term(delta, price, sigma), exact.vega_term(other, sigma)
            expected = (a, b, exact.gamma_term(other, price, sigma), exact.square_term(a, b, rho))
            assert tuple(harness.terms(delta, other, other, price, sigma, sigma, rho)) == expected


def test_variance_of_the_smallest_vega_counts_its_correlation(harness: Contract) -> None:
    for b, rho in product((-MICRO, MICRO), (-WAD // 3, WAD // 3)):
        a, vega = 100 * WAD, b * WAD
        expected = (a * a + b * b + 2 * (a * rho // WAD) * b) // WAD
        assert harness.terms(100 * WAD, vega, 0, WAD, WAD, 1, rho)[3] == expected != a * a // WAD


def test_loss_of_options_two_wei_below_a_unit_is_that_unit(harness: Contract) -> None:
    """Two wei are added for two roundings, then it is rounded up to MICRO: nothing more."""
    for delta, units in ((2 * 7 * MICRO - 4, 7), (2 * 7 * MICRO - 2, 8)):
        for sign in (1, -1):
            assert harness.losses(sign * delta, WAD, [0] * 8)[1] == units, (sign, delta)


def test_losses_of_a_few_wei_equal_twin(harness: Contract) -> None:
    for delta, price in product((-WAD - 1, -2, -1, 0, 1, 2, WAD, WAD + 1), (1, 2, WAD, 10**12, 2 * 10**12 + 1)):
        for option in (-1, 0, 1):
            options = [option] * 8
            expected = (linear_loss(delta, price), vector_loss(delta, price, options))
            assert tuple(harness.losses(delta, price, options)) == expected, (delta, price, option)


@settings(max_examples=150)
@given(
    st.integers(-(10**23), 10**23),
    st.integers(-(10**25), 10**25),
    st.integers(-(10**20), 10**20),
    st.integers(1, 10**24),
    st.integers(0, 10**18),
    st.integers(0, 10**18),
    st.integers(-99, 99),
)
def test_terms_random_inputs_equal_twin(
    harness: Contract, delta: int, vega: int, gamma: int, price: int, sigma_h: int, xi_h: int, rho: int
) -> None:
    rho *= WAD // 100
    a, b = exact.delta_term(delta, price, sigma_h), exact.vega_term(vega, xi_h)
    expected = (a, b, exact.gamma_term(gamma, price, sigma_h), exact.square_term(a, b, rho))
    assert tuple(harness.call("terms", delta, vega, gamma, price, sigma_h, xi_h, rho)) == expected


@settings(max_examples=100)
@example([17 * WAD + 17, WAD + 1], 1, (0, 57), 1_027_624)  # where a step of a millionth of capital crosses the kink
@given(st.lists(money, min_size=1, max_size=4), st.integers(0, 3), correlations, st.integers(1_000, 50_000_000))
def test_delta_price_equals_twin_and_finite_difference(
    harness: Contract, deltas: list[int], market: int, c: tuple[int, int], capital: int
) -> None:
    market %= len(deltas)
    w = weights(*c)
    sigma_h = 6 * ROOT // 10
    a = [exact.delta_term(d, WAD, sigma_h) for d in deltas]
    s = sums(a, [0] * len(a), [0] * len(a), w)
    got = harness.call("delta_price", astuple(s), a[market], sigma_h, capital * WAD, astuple(w))
    assert got == exact.delta_price(s, a[market], sigma_h, capital * WAD, w)
    d = np.array(deltas, dtype=float) / WAD
    joint, own = d.sum() ** 2, (d**2).sum()
    values = [(1 - x) * own + x * joint for x in (c[0] / 100, c[1] / 100)]
    if abs(values[0] - values[1]) > 1e-3 * max(values):  # away from the kink between the two branches
        fw = floats(w)
        expected = analytic.funding_rate(d, np.full(len(d), 0.6), market, capital, fw, 1e9) * fw.horizon
        assert got / WAD == pytest.approx(expected, rel=2e-3, abs=1e-9)


@given(
    st.integers(-(10**23), 10**23),
    st.integers(1, 10**24),
    st.lists(st.integers(-(10**12), 10**12), min_size=8, max_size=8),
)
def test_losses_random_inputs_equal_twin(harness: Contract, delta: int, price: int, options: list[int]) -> None:
    linear, vector = harness.call("losses", delta, price, options)
    assert linear == linear_loss(delta, price)
    assert vector == vector_loss(delta, price, options)


@pytest.mark.parametrize("scenario", range(8))
def test_losses_each_scenario_shocks_the_spot_as_documented(harness: Contract, scenario: int) -> None:
    """The options lose most in one scenario; what the delta adds there is that scenario's shock."""
    shocks = (-50, -30, -15, 0, 0, 15, 30, 50)
    options = [-1_000 if place == scenario else 0 for place in range(8)]
    for delta in (WAD, -WAD):
        _, vector = harness.call("losses", delta, 100 * WAD, options)
        pnl = 10**6 * shocks[scenario] * (1 if delta > 0 else -1)  # [MICRO] of 100 quote
        assert vector == 10**9 - pnl + 1  # a MICRO for the truncations


def test_losses_without_options_vector_agrees_with_linear(harness: Contract) -> None:
    for delta in (1, -1, 10**18, -(10**18), 123 * 10**18 + 7, -(10**22)):
        linear, vector = harness.call("losses", delta, 3_333 * WAD + 1, [0] * 8)
        assert abs(linear - vector) <= 1


@settings(max_examples=200)
@given(
    st.lists(st.tuples(money, money), min_size=1, max_size=4),
    st.lists(st.tuples(money, money), min_size=4, max_size=4),
    correlations,
    st.integers(0, 100),
)
def test_potential_is_convex_in_the_inventory(
    x: list[tuple[int, int]], y: list[tuple[int, int]], c: tuple[int, int], percent: int
) -> None:
    """U((1-t) x + t y) <= (1-t) U(x) + t U(y), for books of the linear kind with vega."""
    w = weights(*c)
    y = y[: len(x)]
    mixed = [
        tuple((one * (100 - percent) + two * percent) // 100 for one, two in zip(p, q, strict=True))
        for p, q in zip(x, y, strict=True)
    ]

    def u(book: list[tuple[int, ...]]) -> int:
        a = [t[0] // 20 for t in book]
        b = [t[1] // 20 for t in book]
        loss = sum(abs(t[0]) // 2 for t in book)
        return exact.potential(sums(a, b, [0] * len(a), w), loss, 5_000_000 * WAD, w)

    bound = (u(x) * (100 - percent) + u(y) * percent) // 100
    assert u(mixed) <= bound + bound // 10**12 + 10**6


def test_potential_matrix_form_is_positive_semidefinite() -> None:
    for c in np.linspace(0, 1, 11):
        for rho in np.linspace(-0.99, 0.99, 9):
            assert np.linalg.eigvalsh(analytic.correlation(3, float(c), float(rho))).min() > -1e-12


def test_potential_design_numbers() -> None:
    """docs/mechanism.md §1: equity 10 m, sigma 60 %: 3.9 bp average on the first million, 7.9 bp marginal at it."""
    w = analytic.Weights()
    d, sigma = np.array([1e6]), np.array([0.6])
    average = analytic.potential(d, sigma, 1e7, w) / 1e6
    marginal = analytic.funding_rate(d, sigma, 0, 1e7, w, 1e9) * w.horizon
    assert average == pytest.approx(3.945e-4, rel=1e-3)
    assert marginal == pytest.approx(7.89e-4, rel=1e-3)
