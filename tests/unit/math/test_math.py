"""Rounding of shared arithmetic, where one wei shows: around every multiple, at zero, and at the ends of a word."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import ceil, floor, isqrt

import pytest

from ballast.chain import Contract, RevmChain, reverts

WAD = 10**18
SMALL = (0, 1, 2, 3, 7)
AROUND = (WAD - 1, WAD, WAD + 1, 2 * WAD - 1, 2 * WAD, 2 * WAD + 1)
UINT_MAX, INT_MAX = 2**256 - 1, 2**255 - 1


@pytest.fixture(scope="module")
def harness() -> Contract:
    return RevmChain().deploy("MathHarness")


def test_products_round_as_named(harness: Contract) -> None:
    for x, y in product(SMALL + AROUND, repeat=2):
        exact = Fraction(x * y, WAD)
        assert tuple(harness.products(x, y)) == (floor(exact), ceil(exact))


def test_quotient_rounds_up(harness: Contract) -> None:
    for x, y in product(SMALL + AROUND, (1, 2, 3, *AROUND)):
        assert harness.quotient(x, y) == ceil(Fraction(x * WAD, y))


def test_thirds_round_as_named(harness: Contract) -> None:
    for x, y, z in product(SMALL, SMALL, (1, 2, 3, 4, 5)):
        exact = Fraction(x * y, z)
        assert tuple(harness.thirds(x, y, z)) == (floor(exact), ceil(exact))


@pytest.mark.parametrize("function", ["products", "quotient", "thirds", "signed_products"])
def test_overflow_and_division_by_zero_revert(harness: Contract, function: str) -> None:
    many = INT_MAX if function == "signed_products" else UINT_MAX
    arguments = {"thirds": (many, 2, 1)}.get(function, (many, 2))
    with reverts():
        harness.call(function, *arguments)
    if function in ("quotient", "thirds"):
        with reverts():
            harness.call(function, *([1, 1] if function == "thirds" else [1]), 0)


def test_difference_stops_at_zero(harness: Contract) -> None:
    for x, y in product((*SMALL, UINT_MAX - 1, UINT_MAX), repeat=2):
        assert harness.difference(x, y) == max(0, x - y)


def test_root_rounds_down(harness: Contract) -> None:
    for x in (*SMALL, *AROUND, 4 * WAD, 4 * WAD - 1, 10**40):
        assert harness.root(x) == isqrt(x * WAD)


def test_signed_products_round_as_named(harness: Contract) -> None:
    values = [sign * x for x in SMALL + AROUND for sign in (1, -1)]
    for x, y in product(values, repeat=2):
        exact = Fraction(x * y, WAD)
        assert tuple(harness.signed_products(x, y)) == (floor(exact), ceil(exact))


def test_shrinking(harness: Contract) -> None:
    """What stays of a change never grows or flips a size, and is all of it that does not."""
    for size in (-7, -1, 0, 1, 7, 2**200):
        for change in (-(2**200), -8, -7, -1, 0, 1, 7, 8):
            part = harness.shrinking(change, size)
            if size * change >= 0:
                assert part == 0
            else:
                assert abs(part) == min(abs(change), abs(size))
                assert part * change > 0


def test_magnitude(harness: Contract) -> None:
    for x in (0, 1, -1, INT_MAX, -INT_MAX):
        assert harness.magnitude(x) == abs(x)


def test_conversions_round_for_the_vault(harness: Contract) -> None:
    """One virtual share and one virtual quote are in every price."""
    for amount, supply, nav in product((0, 1, 3, WAD), (0, 1, WAD, 3 * WAD + 1), (0, 1, 2, WAD, 7 * WAD + 3)):
        price = Fraction(nav + WAD, supply + WAD)
        expected = (floor(amount / price), floor(amount * price), ceil(amount * price))
        assert tuple(harness.conversions(amount, supply, nav)) == expected


def test_entry_pays_the_uncovered_reserve_and_exit_stops_at_nothing(harness: Contract) -> None:
    for nav, spread, reserve, potential in product((0, 5, 100), (0, 3), (0, 4, 9), (0, 4, 5, 20)):
        expected = (nav + spread + max(0, reserve - potential), max(0, nav - spread - reserve))
        assert tuple(harness.prices(nav, spread, reserve, potential)) == expected
