"""The variance module against its integer twin, to the wei, and against mathematics."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import ceil

import mpmath
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ballast.chain import Contract, RevmChain
from ballast.model.exact import oracle as exact
from ballast.model.exact.fixed import WAD, YEAR

prices = st.one_of(st.integers(1, 2**96 - 1), st.integers(10**16, 10**24))
gaps = st.one_of(st.integers(1, 7_200), st.integers(1, 2**40 - 1))
half_lives = st.one_of(st.integers(60, 90 * 86_400), st.integers(1, 2**32 - 1))
variances = st.one_of(st.integers(0, exact.MAX_24), st.integers(0, 10**26))


@pytest.fixture(scope="module")
def harness() -> Contract:
    return RevmChain().deploy("VarianceHarness")


@given(now=prices, before=prices, clip=st.integers(10**16, WAD))
@example(now=1, before=2**96 - 1, clip=WAD)
@example(now=2**96 - 1, before=1, clip=WAD)
@example(now=WAD, before=WAD, clip=WAD)
@example(now=WAD + 1, before=WAD, clip=WAD)
def test_log_return_equals_twin(harness: Contract, now: int, before: int, clip: int) -> None:
    assert harness.log_return(now, before, clip) == exact.log_return(now, before, clip)


@given(now=st.integers(10**16, 10**24), step=st.integers(-(6 * 10**17), 6 * 10**17))
def test_log_return_any_move_is_exact_to_two_wei(now: int, step: int) -> None:
    then = now * (WAD + step) // WAD
    with mpmath.workdps(60):
        true = abs(mpmath.log(mpmath.mpf(then) / now)) * WAD
        assert abs(exact.log_return(then, now, 10**30) - true) <= 2


def test_log_return_is_symmetric() -> None:
    assert exact.log_return(3 * WAD, 2 * WAD, WAD) == exact.log_return(2 * WAD, 3 * WAD, WAD)


@given(dt=gaps, half_life=half_lives)
@example(dt=1, half_life=60)
@example(dt=2**40 - 1, half_life=1)
@example(dt=1, half_life=2**32 - 1)
def test_forgetting_equals_twin(harness: Contract, dt: int, half_life: int) -> None:
    weight = exact.forgetting(dt, half_life)
    assert harness.forgetting(dt, half_life) == weight
    assert 0 < weight <= exact.ONE_27


@given(dt=gaps, half_life=st.integers(60, 90 * 86_400))
@settings(max_examples=1_000)
@example(dt=1, half_life=90 * 86_400)
@example(dt=5_410, half_life=60_000)  # either side of the switch to wad_exp
@example(dt=5_411, half_life=60_000)
def test_forgetting_is_exact_to_fifteen_digits(dt: int, half_life: int) -> None:
    with mpmath.workdps(60):
        true = -mpmath.expm1(-mpmath.log(2) * dt / half_life) * exact.ONE_27
        assert abs(exact.forgetting(dt, half_life) / true - 1) < mpmath.mpf("5e-17")


@given(dt=st.integers(1, 10**6), half_life=st.integers(60, 90 * 86_400))
def test_forgetting_over_two_halves_equals_whole(dt: int, half_life: int) -> None:
    one = exact.ONE_27
    kept = (one - exact.forgetting(dt, half_life)) ** 2 // one
    assert abs(kept - (one - exact.forgetting(2 * dt, half_life))) <= 10**11


def test_forgetting_over_one_half_life_is_half() -> None:
    assert abs(exact.forgetting(3_600, 3_600) - exact.ONE_27 // 2) <= 10**9


@given(log_return=st.integers(0, WAD), dt=gaps)
def test_sample_equals_twin(harness: Contract, log_return: int, dt: int) -> None:
    assert harness.sample(log_return, dt) == exact.sample(log_return, dt)


def test_sample_of_one_percent_in_an_hour() -> None:
    assert exact.sample(WAD // 100, 3_600) == 10**20 * YEAR // 3_600


@given(variance=variances, log_return=st.integers(0, WAD), dt=gaps, half_life=half_lives)
def test_blend_equals_twin_and_lies_between(
    harness: Contract, variance: int, log_return: int, dt: int, half_life: int
) -> None:
    sample = exact.sample(log_return, dt)
    blended = exact.blend(variance, sample, exact.forgetting(dt, half_life))
    assert harness.blend(variance, sample, exact.forgetting(dt, half_life)) == blended
    assert min(variance, sample, exact.MAX_24) <= blended <= min(max(variance, sample), exact.MAX_24)


def test_blend_rounds_up_from_the_first_part(harness: Contract) -> None:
    """A sum that is a multiple of the weights' unit stays, and one part more is one more."""
    for variance, sample, weight in product((0, 1, 2, 5), (0, 1, 3), (0, 1, 2, exact.ONE_27 - 1, exact.ONE_27)):
        exactly = Fraction(variance * (exact.ONE_27 - weight) + sample * weight, exact.ONE_27)
        assert harness.blend(variance, sample, weight) == ceil(exactly)


def test_blend_beyond_the_word_saturates(harness: Contract) -> None:
    assert exact.blend(exact.MAX_24, exact.sample(WAD, 1), exact.ONE_27) == exact.MAX_24
    assert harness.blend(2**96 - 1, exact.sample(WAD, 1), exact.ONE_27) == 2**96 - 1


@given(fast=variances, slow=variances, bounds=st.tuples(st.integers(10**16, 10**19), st.integers(10**16, 10**19)))
def test_volatility_equals_twin_and_respects_bounds(
    harness: Contract, fast: int, slow: int, bounds: tuple[int, int]
) -> None:
    lowest, highest = sorted(bounds)
    sigma = exact.volatility(fast, slow, lowest, highest)
    assert harness.volatility(fast, slow, lowest, highest) == sigma
    assert lowest <= sigma <= highest


def test_volatility_takes_the_larger_estimate() -> None:
    assert exact.volatility(25 * 10**22, 36 * 10**22, 10**16, 10**19) == 6 * 10**17
    assert exact.volatility(36 * 10**22, 25 * 10**22, 10**16, 10**19) == 6 * 10**17


@given(x=st.one_of(st.integers(0, 2**255 - 1), st.integers(0, 10**20)))
@settings(max_examples=500)
def test_wad_ln_twin_is_the_logarithm(x: int) -> None:
    if x == 0:
        assert exact.wad_ln(x) == 0
        return
    with mpmath.workdps(80):
        assert abs(exact.wad_ln(x) - mpmath.log(mpmath.mpf(x) / WAD) * WAD) <= 2


@given(x=st.integers(-(42 * WAD), 0))
@settings(max_examples=500)
def test_wad_exp_twin_is_the_exponential(x: int) -> None:
    with mpmath.workdps(80):
        assert abs(exact.wad_exp(x) - mpmath.exp(mpmath.mpf(x) / WAD) * WAD) <= 2
