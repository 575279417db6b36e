"""The fuzzer finds known bugs within a short budget: by the twin alone, and by the invariants when the twin has the
same bug."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ballast.chain import RevmChain
from ballast.fuzz.runner import Failure, episode
from ballast.model.exact import inventory, vault
from ballast.model.exact.fixed import sub_floor
from tests.stateful import mutants
from tests.stateful.mutants import Mutant

BUDGET = 40  # episodes
LENGTH = 150  # steps


def search(make_chain: Callable[[], RevmChain]) -> Failure:
    """The first failure."""
    for seed in range(BUDGET):
        try:
            episode(seed, LENGTH, make_chain=make_chain)
        except Failure as failure:
            return failure
    pytest.fail(f"not found in {BUDGET} episodes of {LENGTH} steps")


@pytest.mark.fuzz
@pytest.mark.parametrize(
    "mutant",
    [
        mutants.REBATE_WITHOUT_LOW_WATER_MARK,
        mutants.FUNDING_FLIPPED,
        mutants.FEE_NOT_FLOORED,
        mutants.REDEEMED_AT_MID,
    ],
    ids=lambda mutant: mutant.name,
)
def test_search_finds_what_differs_from_the_twin(mutant: Mutant, tmp_path: Path) -> None:
    assert search(mutants.chain_with(mutant, tmp_path)).broken.name.startswith("i13_")


@pytest.mark.fuzz
@pytest.mark.parametrize(
    ("mutant", "invariants"),
    [
        (mutants.REDEEMED_AT_MID, {"i7_those_who_stay_never_lose"}),
        (
            mutants.REBATE_WITHOUT_COVERAGE,
            {"i3_reserve_covers_its_share_of_the_potential", "i9_closing_is_never_refused", "i6_no_round_trip_pays"},
        ),
        (mutants.CLOSING_IS_FREE, {"i3_rise_is_charged_whole_fall_at_most", "i6_no_round_trip_pays"}),
    ],
    ids=lambda value: value.name if isinstance(value, Mutant) else "",
)
def test_search_finds_what_the_twin_gets_wrong_too(
    mutant: Mutant, invariants: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SAME_BUG[mutant.name](monkeypatch)
    assert search(mutants.chain_with(mutant, tmp_path)).broken.name in invariants


def _redeemed_at_mid(monkeypatch: pytest.MonkeyPatch) -> None:
    def bid_nav(nav: int, spread: int, uncovered: int) -> int:
        return nav if fills else sub_floor(nav, spread + uncovered)

    fills: list[bool] = []
    original = vault.Vault._fill

    def _fill(self: vault.Vault, *args: Any, **kwargs: Any) -> Any:
        fills.append(True)
        try:
            return original(self, *args, **kwargs)
        finally:
            fills.pop()

    monkeypatch.setattr(vault, "bid_nav", bid_nav)
    monkeypatch.setattr(vault.Vault, "_fill", _fill)


def _rebate_without_coverage(monkeypatch: pytest.MonkeyPatch) -> None:
    original = inventory.Inventory._trade

    def _trade(self: inventory.Inventory, e: inventory.Entry, *args: Any, **kwargs: Any) -> Any:
        coverage, e.book.coverage = e.book.coverage, inventory.COVERAGE_UNIT
        quote = original(self, e, *args, **kwargs)
        e.book.coverage = coverage
        return quote

    monkeypatch.setattr(inventory.Inventory, "_trade", _trade)


def _closing_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    original = inventory.Inventory._trade

    def _trade(self: inventory.Inventory, e: Any, market: int, mark: Any, change: Any, *args: Any) -> Any:
        quote = original(self, e, market, mark, change, *args)
        return replace(quote, charge=min(quote.charge, 0)) if change.closing else quote

    monkeypatch.setattr(inventory.Inventory, "_trade", _trade)


SAME_BUG = {
    mutants.REDEEMED_AT_MID.name: _redeemed_at_mid,
    mutants.REBATE_WITHOUT_COVERAGE.name: _rebate_without_coverage,
    mutants.CLOSING_IS_FREE.name: _closing_is_free,
}
