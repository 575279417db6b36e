"""Arithmetic of positions at a few wei, where every rounding and comparison shows: all of them, not random ones."""

from __future__ import annotations

from dataclasses import astuple
from itertools import product

import pytest

from ballast.chain import Contract, RevmChain
from ballast.model.exact import margin, perps
from ballast.model.exact.fixed import WAD, ceil_div, floor_div

PRICES = (1, WAD // 2 + 1, WAD, 3 * WAD - 1)


@pytest.fixture(scope="module")
def harness() -> Contract:
    return RevmChain().deploy("PerpMathHarness")


def test_apply_of_a_few_wei_equals_twin(harness: Contract) -> None:
    """Every way to open, add, reduce, close and flip positions of up to 2 wei."""
    for size, change, price in product(range(-2, 3), range(-3, 4), PRICES):
        for cost, index in ((0, 0), (7, -3), (-5, 2)) if size else ((0, 0),):
            position = perps.Position(size, cost, index)
            touch = perps.apply(position, change, price, 5, -4)
            answer = harness.apply(astuple(position), change, price, 5, -4)
            expected = (astuple(touch.position), touch.realised, touch.owed, touch.claims)
            assert (tuple(answer[0]), *answer[1:]) == expected, (position, change, price)


def test_requirement_of_a_few_wei_equals_twin(harness: Contract) -> None:
    for size, cost, owed, price in product(range(-2, 3), (-1, 0, 1), (-1, 0, 1), PRICES):
        for fraction in (1, 50, 9_999, 10_000):
            expected = (margin.value(size, cost, owed, price), margin.required(size, price, fraction))
            assert tuple(harness.requirement_of(size, cost, owed, price, fraction)) == expected


def test_division_of_small_numbers_rounds_as_named(harness: Contract) -> None:
    for x, y in product(range(-7, 8), range(1, 5)):
        assert tuple(harness.divide(x, y)) == (floor_div(x, y), ceil_div(x, y))


@pytest.mark.parametrize("side", ["long", "short", "both"])
def test_accrue_over_a_few_seconds_equals_twin(harness: Contract, side: str) -> None:
    """Rates and prices so small that whole seconds pass before a unit of an index is due."""
    for rate, borrow, price, seconds in product(
        (-3 * 10**12, -(10**12), 0, 10**12, 3 * 10**12), (0, 10**13), (1, WAD, 31_536 * 10**18), (0, 1, 2, 1_000)
    ):
        book = perps.Book(
            long=0 if side == "short" else 2, short=0 if side == "long" else 3, time=100, funding_rate=rate,
            borrow_rate=borrow, claims=1, index_long=0, index_short=-1,
        )  # fmt: skip
        after = perps.accrue(book, price, 100 + seconds)
        assert tuple(harness.accrue(astuple(book), price, 100 + seconds)) == astuple(after)
