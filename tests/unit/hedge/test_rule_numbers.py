"""The hedge rule's arithmetic around every multiple and every bound, against exact fractions."""

from __future__ import annotations

from dataclasses import astuple, replace
from fractions import Fraction
from itertools import product
from math import ceil, floor

import pytest

from ballast.chain import Contract, RevmChain
from ballast.model.exact.hedge import Rule, VenueState

WAD, BPS, PIPS, DAY, MICRO = 10**18, 10_000, 10**6, 86_400, 10**12
FEW = (0, 1, 2, BPS - 1, BPS, BPS + 1)


@pytest.fixture(scope="module")
def harness() -> Contract:
    return RevmChain().deploy("RuleHarness")


def test_tolerance_is_fee_and_band(harness: Contract) -> None:
    for fee, band in product((0, 5 * 10**14), (0, 1, 999, 10_000)):
        assert harness.tolerance(fee, band) == fee + Fraction(band * WAD, PIPS)


def test_near_is_within_the_tolerance_of_the_reference(harness: Contract) -> None:
    for reference, slack in product((1_000, 999, 2_000 * WAD + 1), (0, 10**15, 10**16, 3 * 10**15)):
        edge = floor(Fraction(reference * slack, WAD))
        for gap in {0, 1, max(edge - 1, 0), edge, edge + 1, edge + 2}:
            for price in (reference - gap, reference + gap):
                assert harness.is_near(price, reference, slack) == (gap <= edge), (price, reference, slack)


def test_cost_is_the_dearest_of_four(harness: Contract) -> None:
    """At the oracle's price, at the average, as NAV shows it, and the venue's fee: each of them decides somewhere."""
    before = (100 * BPS, 50 * BPS, 50 * BPS)
    decided = set()
    for cash, mid, twap in product((-BPS, -1, 0, 1, BPS), repeat=3):
        after = (before[0] - cash, before[1] - mid, before[2] - twap)
        for haircut, notional, fee in product((0, 1, 5_000), (0, 1, 3 * BPS), (0, 10**14, 5 * 10**14)):
            kept = [floor(Fraction(value * (BPS - haircut), BPS)) for value in (before[1], after[1])]
            ways = [cash + mid, cash + twap, cash + kept[0] - kept[1], ceil(Fraction(notional * fee, WAD))]
            found = harness.cost(before, after, haircut, notional, fee)
            assert found == max(ways), (cash, mid, twap, haircut, notional, fee)
            decided |= {place for place in range(4) if ways[place] == found and ways.count(found) == 1}
        assert harness.loss_at_mid(before, after) == cash + mid
    assert decided == {0, 1, 2, 3}


def test_reward_is_the_better_of_share_and_size(harness: Contract) -> None:
    for freed, cost, notional in product(FEW, (0, 1, BPS), (0, 1, PIPS - 1, PIPS, 3 * PIPS)):
        for eta, size in product((0, 1, 1_500, 3_000), (0, 1, 200)):
            share = floor(Fraction(max(0, freed - cost) * eta, BPS))
            assert harness.reward(freed, cost, notional, eta, size) == max(
                share, floor(Fraction(notional * size, PIPS))
            )


def test_gas_is_units_at_a_capped_price(harness: Contract) -> None:
    rule = replace(Rule(), gas_units=3, gas_tip_cap=10, gas_price_cap=100)
    for base_fee, price in product((0, 1, 89, 90, 91, 10**6), (0, 1, WAD, 2_000 * WAD, WAD // 3)):
        expected = floor(Fraction(3 * min(base_fee + 10, 100) * price, WAD))
        assert harness.gas(astuple(rule), base_fee, price) == expected


def test_budget_is_a_share_of_the_fall(harness: Contract) -> None:
    for phi, fall in product((0, 1, 6_000, 8_000), FEW):
        assert harness.budget(phi, fall) == floor(Fraction(fall * phi, BPS))


def test_turnover_refills_evenly_and_draws_the_notional_rounded_up(harness: Contract) -> None:
    for used, elapsed, per_day in product((0, 1, 100, DAY), (0, 1, DAY - 1, DAY, DAY + 1), (0, 1, 100, DAY)):
        for notional in (0, 1, MICRO - 1, MICRO, MICRO + 1):
            left = max(0, used - floor(Fraction(per_day * elapsed, DAY)))
            assert harness.turnover(used, elapsed, per_day, notional) == left + ceil(Fraction(notional, MICRO))


def test_expected_equity_follows_the_price_rounded_down(harness: Contract) -> None:
    for exposure, price in product((-WAD - 1, -1, 0, 1, WAD), (0, 1, 1_999 * WAD, 2_001 * WAD, 2_000 * WAD + 1)):
        state = VenueState(exposure=exposure, equity=7, price=2_000 * WAD, used=5, traded_at=9)
        expected = 7 + floor(Fraction(exposure * (price - 2_000 * WAD), WAD))
        assert harness.expected_equity(astuple(state), price) == expected
