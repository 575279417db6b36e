"""Words of the hedge manager: every field to its bounds, beside full and beside empty neighbours, and not further."""

from __future__ import annotations

from dataclasses import asdict, astuple, replace
from typing import Any

import pytest

from ballast.chain import Contract, RevmChain, reverts
from ballast.model.exact.hedge import Rule, VenueParams, VenueState

OUT_OF_BOUNDS = "hedge: parameter out of bounds"
PARAMS = VenueParams(
    cap=2**96 - 1, turnover=2**64 - 1, fee_cap=10_000, band=10_000, cooldown=86_400, max_age=3_600, haircut_bps=5_000
)
LEAST_PARAMS = VenueParams(0, 0, 0, 0, 1, 0, 0)
RULE = Rule(8_000, 3_000, 200, 2_000_000, 10**13, 10**13, 15, 2**127 - 1, 2**127 - 1)
LEAST_RULE = Rule(0, 0, 0, 0, 0, 0, 0, 0, 0)
STATE = VenueState(2**127 - 1, 2**128 - 1, 2**128 - 1, 2**80 - 1, 2**48 - 1)


@pytest.fixture(scope="module")
def harness() -> Contract:
    return RevmChain().deploy("RecordsHarness")


def around(full: Any, least: Any) -> list[Any]:
    """Each field alone at its bound, at one below, at 1 and at its least, beside full and beside empty neighbours."""
    found = [full, least]
    for name, most in asdict(full).items():
        for value in {most, most - 1, most // 2, most // 2 + 1, 1, getattr(least, name)}:
            found += [replace(each, **{name: value}) for each in (full, least)]
    return found


def test_venue_params_keep_every_field(harness: Contract) -> None:
    for params in around(PARAMS, LEAST_PARAMS):
        assert tuple(harness.params(astuple(params))) == astuple(params)


@pytest.mark.parametrize("name", asdict(PARAMS))
def test_venue_params_end_at_their_bounds(harness: Contract, name: str) -> None:
    for params in (PARAMS, LEAST_PARAMS):
        with reverts(OUT_OF_BOUNDS):
            harness.params(astuple(replace(params, **{name: getattr(PARAMS, name) + 1})))


def test_venue_params_without_cooldown_are_refused(harness: Contract) -> None:
    with reverts(OUT_OF_BOUNDS):
        harness.params(astuple(replace(PARAMS, cooldown=0)))


def test_rule_keeps_every_field(harness: Contract) -> None:
    for rule in around(RULE, LEAST_RULE):
        if rule.recall_floor <= rule.lp_floor:
            assert tuple(harness.terms(astuple(rule))) == astuple(rule)


@pytest.mark.parametrize("name", asdict(RULE))
def test_rule_ends_at_its_bounds(harness: Contract, name: str) -> None:
    for rule in (replace(RULE, recall_floor=0), replace(LEAST_RULE, lp_floor=2**127 - 1)):
        with reverts(OUT_OF_BOUNDS):
            harness.terms(astuple(replace(rule, **{name: getattr(RULE, name) + 1})))


def test_rule_recalls_no_more_than_it_keeps(harness: Contract) -> None:
    for floor in (0, 1, 2**126):
        harness.terms(astuple(replace(RULE, lp_floor=floor, recall_floor=floor)))
        with reverts(OUT_OF_BOUNDS):
            harness.terms(astuple(replace(RULE, lp_floor=floor, recall_floor=floor + 1)))


def test_state_keeps_every_field(harness: Contract) -> None:
    for state in [*around(STATE, VenueState()), replace(STATE, exposure=-(2**127) + 1), VenueState(exposure=-1)]:
        assert tuple(harness.call("state", astuple(state))) == astuple(state)


@pytest.mark.parametrize(
    "beyond",
    [{"exposure": 2**127}, {"exposure": -(2**127)}, {"equity": 2**128}, {"price": 2**128}, {"used": 2**80}],
    ids=str,
)
def test_state_that_does_not_fit_is_refused(harness: Contract, beyond: dict[str, int]) -> None:
    with reverts():
        harness.call("state", astuple(replace(VenueState(), **beyond)))


def test_listing_keeps_every_field(harness: Contract) -> None:
    full, none = "0x" + "ff" * 20, "0x" + "00" * 20
    for venue in (full, none):
        for market in (0, 1, 128, 255):
            for paused in (False, True):
                for retired in (False, True):
                    for haircut in (0, 1, 5_000):
                        listing = (venue, market, paused, retired, haircut)
                        found = harness.listing(listing)
                        assert (found[0].lower(), *found[1:]) == listing
