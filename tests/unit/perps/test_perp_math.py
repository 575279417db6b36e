"""Unchecked arithmetic of positions, funding and margin = the twin's, up to the ends of the packed ranges."""

from __future__ import annotations

import os
from dataclasses import astuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ballast.chain import Contract, RevmChain, reverts
from ballast.model.exact import margin, perps
from ballast.model.exact.fixed import ceil_div, floor_div

BUDGET = 200 * int(os.environ.get("BALLAST_FUZZ_SCALE", "1"))
fuzz = settings(
    max_examples=BUDGET,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def signed(bits: int, *more: int) -> st.SearchStrategy[int]:
    """All of a signed field, its ends more often."""
    half = 2 ** (bits - 1)
    return st.one_of(st.integers(-half, half - 1), st.sampled_from([0, 1, -1, half - 1, -half, 1 - half, *more]))


def unsigned(bits: int) -> st.SearchStrategy[int]:
    return st.one_of(st.integers(0, 2**bits - 1), st.sampled_from([0, 1, 2**bits - 1]))


sizes = st.one_of(st.integers(1 - 2**95, 2**95 - 1), st.sampled_from([1, -1, 2**95 - 1, 1 - 2**95]))
prices = unsigned(96).filter(bool)
books = st.builds(
    perps.Book,
    long=unsigned(92),
    short=unsigned(92),
    time=unsigned(32),
    funding_rate=signed(24).map(lambda units: units * 10**12),
    borrow_rate=unsigned(16).map(lambda units: units * 10**13),
    claims=signed(144),
    index_long=signed(56),
    index_short=signed(56),
)


@pytest.fixture(scope="module")
def harness() -> Contract:
    return RevmChain().deploy("PerpMathHarness")


@pytest.mark.fuzz
@fuzz
@given(book=books, price=prices, seconds=st.one_of(st.integers(0, 10**8), unsigned(32)))
def test_accrue_equals_twin(harness: Contract, book: perps.Book, price: int, seconds: int) -> None:
    after = perps.accrue(book, price, book.time + seconds)
    assert tuple(harness.accrue(astuple(book), price, book.time + seconds)) == astuple(after)
    # payers have paid what receivers got, whatever was rounded
    assert after.claims - book.claims >= 0 or after == book


@pytest.mark.fuzz
@fuzz
@given(
    size=st.one_of(sizes, st.just(0)),
    cost=signed(96),
    index=signed(56),
    size_delta=sizes,
    price=prices,
    index_long=signed(56),
    index_short=signed(56),
    close=st.booleans(),
)
def test_apply_equals_twin(
    harness: Contract,
    size: int,
    cost: int,
    index: int,
    size_delta: int,
    price: int,
    index_long: int,
    index_short: int,
    close: bool,
) -> None:
    position = perps.Position(size, cost if size else 0, index if size else 0)
    change = -size if close and size else size_delta
    touch = perps.apply(position, change, price, index_long, index_short)
    answer = harness.apply(astuple(position), change, price, index_long, index_short)
    assert (tuple(answer[0]), *answer[1:]) == (astuple(touch.position), touch.realised, touch.owed, touch.claims)


@pytest.mark.fuzz
@fuzz
@given(size=signed(96), cost=signed(96), owed=signed(123), price=prices, fraction=st.integers(0, 10_000))
def test_requirement_equals_twin(harness: Contract, size: int, cost: int, owed: int, price: int, fraction: int) -> None:
    expected = (margin.value(size, cost, owed, price), margin.required(size, price, fraction))
    assert tuple(harness.requirement_of(size, cost, owed, price, fraction)) == expected


@pytest.mark.fuzz
@fuzz
@given(x=signed(256), y=st.one_of(st.integers(1, 2**255 - 1), st.sampled_from([1, 2, 10**9, 10**18])))
def test_division_rounds_as_named_over_the_whole_range(harness: Contract, x: int, y: int) -> None:
    assert tuple(harness.divide(x, y)) == (floor_div(x, y), ceil_div(x, y))


@pytest.mark.fuzz
@fuzz
@given(book=books, size=st.integers(-(2**92) + 1, 2**92 - 1), cost=signed(96), index=signed(56))
def test_words_keep_every_field(harness: Contract, book: perps.Book, size: int, cost: int, index: int) -> None:
    assert tuple(harness.call("store_book", astuple(book))) == astuple(book)
    assert tuple(harness.call("store_position", (size, cost, index))) == (size, cost, index)


@pytest.mark.parametrize(
    ("function", "field", "value", "reason"),
    [
        ("store_book", 0, 2**92, "perps: open interest range"),
        ("store_book", 1, 2**92, "perps: open interest range"),
        ("store_book", 5, 2**143, ""),
        ("store_book", 5, -(2**143) - 1, ""),
        ("store_position", 1, 2**95, "perps: cost range"),
        ("store_position", 1, -(2**95) - 1, "perps: cost range"),
    ],
)
def test_word_refuses_what_does_not_fit(harness: Contract, function: str, field: int, value: int, reason: str) -> None:
    words = [0] * (8 if function == "store_book" else 3)
    words[field] = value
    with reverts(reason):
        harness.call(function, tuple(words))
