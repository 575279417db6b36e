"""Words of the inventory: every field to its ends, beside full and beside empty neighbours, and not further."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest

from ballast.chain import Contract, RevmChain, reverts
from ballast.model.exact.inventory import Book, Market
from ballast.model.exact.potential import Sums

MICRO = 10**12
HALF_32, HALF_64, HALF_96, HALF_128 = 2**31, 2**63 * MICRO, 2**95, 2**127
OUT_OF_RANGE = "inventory: out of range"
FULL_SUMS = Sums(a=HALF_128 - 1, b=HALF_64 - MICRO, g=HALF_64 - MICRO, p=2**128 - 1, gg=2**128 - 1)
FULL = Book(
    sums=FULL_SUMS, loss=2**72 - 1, capital=2**72 - 1, equity=2**72 - 1, opened_at=2**32 - 1, value=HALF_128 - 1,
    low_prev=2**64 - 1, low=2**64 - 1, opening=2**56 - 1, last=2**56 - 1, coverage=2**30 - 1, window_at=2**32 - 1,
    changed=True, paid=True, swept_at=2**32 - 1, pending=2**16 - 1, active=2**16 - 1, optioned=2**16 - 1,
    auction_low=2**56,
)  # fmt: skip
FULL_MARKET = Market(HALF_96 - 1, 2**96 - 1, 2**63 - 1, HALF_128 - 1, HALF_128 - 1, [HALF_32 - 1] * 8, True)
UNSIGNED = asdict(FULL).keys() - {"sums", "value", "changed", "paid", "optioned", "auction_low"}
SUMS = ("a", "b", "g", "p", "gg")


@pytest.fixture(scope="module")
def harness() -> Contract:
    return RevmChain().deploy("ExposureHarness")


def book_words(book: Book) -> tuple[Any, ...]:
    sums, *rest = asdict(book).values()
    return (tuple(sums.values()), *rest)


def market_words(market: Market) -> tuple[Any, ...]:
    return tuple(asdict(market).values())


def empty(**fields: Any) -> Book:
    """A book with an option and an auction, so that every word is written; the negative ends where a field has a sign.

    Not the very ends of `a` and `value`: with nothing beside them that is the word of an empty book.
    """
    least = Sums(a=1 - HALF_128, b=-HALF_64, g=-HALF_64)
    return replace(Book(sums=least, value=1 - HALF_128, optioned=1, auction_low=1), **fields)


def cases() -> list[Book]:
    """Every field but one full, and every field but one empty; the lowest bit alone."""
    books = [FULL, empty()]
    for name in UNSIGNED:
        full = getattr(FULL, name)
        books += [replace(FULL, **{name: 0}), replace(FULL, **{name: full - 1}), empty(**{name: full})]
        books += [empty(**{name: 1})]
    books += [replace(FULL, changed=False), empty(changed=True), replace(FULL, paid=False), empty(paid=True)]
    books += [replace(FULL, auction_low=low) for low in (0, 1)] + [empty(auction_low=low) for low in (0, 2**56)]
    books += [replace(FULL, optioned=1), empty(optioned=2**16 - 1)]
    for value in (-HALF_128, -1, 0, 1):
        books += [replace(FULL, value=value), empty(value=max(value, 1 - HALF_128))]
        books += [replace(FULL, sums=replace(FULL_SUMS, a=value))]
    for units in (-(2**63), -1, 0, 1):
        books += [replace(FULL, sums=replace(FULL_SUMS, **{name: units * MICRO})) for name in ("b", "g")]
    books += [replace(FULL, sums=replace(FULL_SUMS, **{name: 1})) for name in ("p", "gg")]
    return books


def test_book_keeps_every_field(harness: Contract) -> None:
    for book in cases():
        found = harness.call("store_book", book_words(book))
        assert (tuple(found[0]), *found[1:]) == book_words(book)


def test_book_without_options_has_no_greeks(harness: Contract) -> None:
    found = harness.call("store_book", book_words(replace(FULL, optioned=0)))
    plain = replace(FULL, optioned=0, sums=replace(FULL_SUMS, b=0, g=0, gg=0))
    assert (tuple(found[0]), *found[1:]) == book_words(plain)


@pytest.mark.parametrize("name", ["loss", "capital", "equity", "low_prev", "low", "opening", "last"])
def test_book_field_that_does_not_fit_is_refused(harness: Contract, name: str) -> None:
    for book in (Book(), FULL):
        with reverts(OUT_OF_RANGE):
            harness.call("store_book", book_words(replace(book, **{name: getattr(FULL, name) + 1})))


@pytest.mark.parametrize("name", [*SUMS, "value"])
def test_book_sum_that_does_not_fit_is_refused(harness: Contract, name: str) -> None:
    beyond = [2**128] if name in ("p", "gg") else [HALF_128, -HALF_128 - 1, 2**255 - 1, -(2**255)]
    if name in ("b", "g"):
        beyond += [HALF_64, -HALF_64 - MICRO]
    for value in beyond:
        book = (
            replace(FULL, value=value) if name == "value" else replace(FULL, sums=replace(FULL_SUMS, **{name: value}))
        )
        with reverts(OUT_OF_RANGE):
            harness.call("store_book", book_words(book))


def test_market_keeps_every_field(harness: Contract) -> None:
    least = Market(-HALF_96, 0, 0, -HALF_128, -HALF_128, [-HALF_32] * 8, True)
    markets = [FULL_MARKET, least]
    for delta in (-HALF_96, -1, 0, 1):
        markets += [replace(FULL_MARKET, delta=delta), replace(least, delta=delta)]
    for greek in (-HALF_128, -1, 0, 1):
        markets += [replace(each, **{name: greek}) for name in ("vega", "gamma") for each in (FULL_MARKET, least)]
    for field, value in (("price", 1), ("price", 2**96 - 2), ("sigma", 1), ("sigma", 2**63 - 2), ("price", 2**96 - 1)):
        markets += [replace(each, **{field: value}) for each in (FULL_MARKET, least)]
    for place in range(8):
        for value in (-HALF_32, -1, 0, 1, HALF_32 - 1):
            for each in (FULL_MARKET, least):
                stress = list(each.stress)
                stress[place] = value
                markets.append(replace(each, stress=stress))
    for number, market in enumerate(markets):
        assert _plain(harness.call("store_market", number % 16, market_words(market))) == market_words(market)


def test_market_without_options_has_no_greeks(harness: Contract) -> None:
    found = harness.call("store_market", 0, market_words(replace(FULL_MARKET, optioned=False)))
    assert _plain(found) == market_words(Market(HALF_96 - 1, 2**96 - 1, 2**63 - 1))


def test_nothing_stored_is_an_empty_book_and_market(harness: Contract) -> None:
    found = harness.call("load_book")
    assert (tuple(found[0]), *found[1:]) == book_words(Book())
    assert _plain(harness.call("load_market", 3)) == market_words(Market())


def test_markets_do_not_share_words() -> None:
    harness = RevmChain().deploy("ExposureHarness")
    harness.send("store_market", 1, market_words(FULL_MARKET))
    for other in (0, 2, 15):
        assert _plain(harness.call("load_market", other)) == market_words(Market())
    harness.send("store_market", 2, market_words(Market(delta=1, optioned=True)))
    assert _plain(harness.call("load_market", 1)) == market_words(FULL_MARKET)


REFUSED: list[Callable[[Market], Market]] = [
    lambda m: replace(m, delta=HALF_96),
    lambda m: replace(m, delta=-HALF_96 - 1),
    lambda m: replace(m, price=2**96),
    lambda m: replace(m, sigma=2**63),
    lambda m: replace(m, vega=HALF_128),
    lambda m: replace(m, vega=-HALF_128 - 1),
    lambda m: replace(m, gamma=HALF_128),
    lambda m: replace(m, gamma=-HALF_128 - 1),
]


@pytest.mark.parametrize("place", range(8))
def test_scenario_that_does_not_fit_is_refused(harness: Contract, place: int) -> None:
    for market in (FULL_MARKET, Market(optioned=True)):
        for value in (HALF_32, -HALF_32 - 1, 2**255 - 1, -(2**255)):
            stress = [*market.stress[:place], value, *market.stress[place + 1 :]]
            with reverts("stress: out of range"):
                harness.call("store_market", 0, market_words(replace(market, stress=stress)))


@pytest.mark.parametrize("change", REFUSED)
def test_market_field_that_does_not_fit_is_refused(harness: Contract, change: Callable[[Market], Market]) -> None:
    for market in (FULL_MARKET, Market(optioned=True)):
        with reverts(OUT_OF_RANGE):
            harness.call("store_market", 0, market_words(change(market)))


def _plain(found: Any) -> tuple[Any, ...]:
    """A decoded Market with its scenarios as a list."""
    return tuple(list(value) if isinstance(value, list | tuple) else value for value in found)
