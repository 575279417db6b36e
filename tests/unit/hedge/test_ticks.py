"""Uniswap prices in WAD against exact rationals."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, localcontext
from fractions import Fraction
from math import isqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballast.chain import Contract, RevmChain
from ballast.model.exact import hedge
from ballast.model.exact.fixed import WAD


@pytest.fixture(autouse=True)
def sixty_digits() -> Iterator[None]:
    """Reference arithmetic, without changing the process's decimal context for others."""
    with localcontext(prec=60):
        yield


@pytest.fixture(scope="module")
def ticks() -> Contract:
    return RevmChain().deploy("TicksHarness")


def exact_average(tick: int, base_is_token0: bool, gap: int) -> Fraction:
    """1.0001 ** (tick + 1/2) in quote per base, to 55 digits."""
    price = Fraction(Decimal("1.0001") ** (tick + Decimal("0.5")))
    return (price if base_is_token0 else 1 / price) * Fraction(10) ** gap


@pytest.mark.parametrize("base_is_token0", [True, False])
@pytest.mark.parametrize(("quote_decimals", "base_decimals"), [(6, 18), (18, 6), (6, 8), (8, 8), (18, 18), (6, 6)])
def test_average_of_constant_tick_is_power_of_1_0001(
    ticks: Contract, base_is_token0: bool, quote_decimals: int, base_decimals: int
) -> None:
    gap = base_decimals - quote_decimals
    centre = round(-gap * 23_027.002)  # where the price is about 1
    for offset in (-120_000, -69_081, -1, 0, 1, 23_027, 76_012, 115_136):
        tick = (centre + offset) * (1 if base_is_token0 else -1)
        found = ticks.average(tick * 300, 300, base_is_token0, gap)
        wanted = exact_average(tick, base_is_token0, gap) * WAD
        assert abs(found - wanted) <= 2 + wanted / 10**15
        assert found == hedge.average(tick * 300, 300, base_is_token0, gap)


def test_average_keeps_the_fraction_of_a_tick(ticks: Contract) -> None:
    lower, middle, upper = (ticks.average(growth, 300, True, 0) for growth in (0, 150, 300))
    assert lower < middle < upper
    assert abs(middle * middle - lower * upper) <= middle * 10  # the geometric mean


@given(
    tick=st.integers(-200_000, 200_000),
    window=st.integers(1, 86_400),
    base_is_token0=st.booleans(),
    gap=st.integers(-12, 12),
)
def test_average_equals_its_twin(ticks: Contract, tick: int, window: int, base_is_token0: bool, gap: int) -> None:
    growth = tick * window + window // 3
    assert ticks.average(growth, window, base_is_token0, gap) == hedge.average(growth, window, base_is_token0, gap)


@given(
    sqrt_price=st.integers(4_295_128_739, 2**160 - 1),
    base_is_token0=st.booleans(),
    gap=st.integers(-12, 12),
)
def test_spot_is_total_over_all_prices_of_a_pool(
    ticks: Contract, sqrt_price: int, base_is_token0: bool, gap: int
) -> None:
    found = ticks.spot(sqrt_price, base_is_token0, gap)
    assert found == hedge.spot(sqrt_price, base_is_token0, gap)
    ratio = Fraction(sqrt_price**2, 2**192)
    wanted = (ratio if base_is_token0 else 1 / ratio) * Fraction(10) ** gap * WAD
    error = wanted / (ratio * 2**127) + 1  # one unit of the intermediate 2^-128
    assert abs(found - wanted) <= error


@pytest.mark.parametrize("base_is_token0", [True, False])
@pytest.mark.parametrize(("quote_decimals", "base_decimals"), [(6, 18), (18, 6), (6, 8), (18, 8)])
@pytest.mark.parametrize("price", [10**12, WAD // 1_000, 2_000 * WAD, 100_000 * WAD])
def test_spot_finds_the_price_that_was_set(
    ticks: Contract, base_is_token0: bool, quote_decimals: int, base_decimals: int, price: int
) -> None:
    gap = base_decimals - quote_decimals
    ratio = Fraction(price, WAD) / Fraction(10) ** gap
    ratio = ratio if base_is_token0 else 1 / ratio
    root = isqrt((ratio.numerator << 192) // ratio.denominator)
    assert abs(ticks.spot(root, base_is_token0, gap) - price) <= 2 + price // 10**9
