"""PriceOracle and its integer twin along random histories, to the wei (I13)."""

from __future__ import annotations

import os
from dataclasses import astuple, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ballast.chain import Contract, Reverted, RevmChain
from ballast.model.exact import fixed
from ballast.model.exact.oracle import Estimate, FixedFeed, Mark, Params, PriceOracle, Round

WAD = 10**18
SCALE = float(os.environ.get("BALLAST_FUZZ_SCALE", "1"))

gaps = st.one_of(
    st.integers(1, 120), st.sampled_from([12, 60, 3_600]), st.integers(1, 8 * 3_600), st.integers(1, 400 * 86_400)
)
jumps = st.one_of(st.integers(-(10**16), 10**16), st.integers(-(6 * 10**17), 6 * 10**17))  # up to ±60 %
params = st.builds(
    lambda age, halves, sigmas, clip, wide: Params(age, *sorted(halves), sigmas[0], sigmas[2], clip, sigmas[1], wide),
    st.integers(10, 26 * 3_600),
    st.tuples(st.integers(60, 90 * 86_400), st.integers(60, 90 * 86_400)),
    st.lists(st.integers(10**16, 9 * WAD), min_size=3, max_size=3).map(sorted),
    st.integers(10**16, WAD),
    st.booleans(),
)
rounds = st.tuples(
    st.integers(-2, 3),  # id, relative to the feed's last
    jumps,
    st.one_of(st.just(0), st.integers(-5, 10_000)),  # age of the round; negative is the future
    st.sampled_from([0, 0, 10**15, 2**96 - 1, 2**96]),  # half width
    st.sampled_from([True] * 9 + [False]),
)
extremes = st.sampled_from([0, 1, 2**96 - 1, 2**96, 2**255])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), rounds),
        st.tuples(st.just("publish"), rounds),
        st.tuples(st.just("sync"), st.none()),
        st.tuples(st.just("sync"), st.none()),
        st.tuples(st.just("warp"), gaps),
        st.tuples(st.just("publish_price"), extremes),
        st.tuples(st.just("set_params"), params),
        st.tuples(st.just("set_feed"), rounds),
        st.tuples(st.just("set_halted"), st.booleans()),
    ),
    min_size=5,
    max_size=50,
)


class Pair:
    """One market, on the chain and in the twin, driven together and compared after every step."""

    def __init__(self, listed: Params) -> None:
        self.chain = RevmChain()
        self.governor = self.chain.accounts[0]
        self.oracle = self.chain.deploy("PriceOracle", self.governor, self.governor)
        self.feed: Contract = self.chain.deploy("FeedDouble")
        self.twin_feed = FixedFeed()
        self.twin = PriceOracle()
        self.publish_round(Round(10, 2_000 * WAD, 10**15, self.chain.now, True))
        self.oracle.list_market.send(self.feed, astuple(listed), sender=self.governor)
        self.twin.list_market(self.twin_feed, listed, self.chain.now)
        self.check()

    def check(self) -> None:
        now = self.chain.now
        assert Mark(*self.oracle.last(0)) == self.twin.last(0, now)
        assert Mark(*self.oracle.peek(0)) == self.twin.peek(0, now)
        assert Estimate(*self.oracle.estimate(0)) == self.twin.estimate(0)
        assert self.oracle.outage(0) == self.twin.outage(0, now)

    def publish_round(self, round_: Round) -> None:
        self.feed.set_round.send(astuple(round_))
        self.twin_feed.round = round_

    def next_round(self, change: tuple[int, int, int, int, bool]) -> Round:
        step, jump, age, half_width, ok = change
        last = self.twin_feed.round
        price = max(1, min(2**96 - 1, (last.price or WAD) * (WAD + jump) // WAD))
        updated_at = max(0, self.chain.now - age)
        return Round(max(0, last.round_id + step), price, half_width, updated_at, ok)

    def publish(self, change: tuple[int, int, int, int, bool]) -> None:
        self.publish_round(self.next_round(change))

    def publish_price(self, price: int) -> None:
        self.publish_round(replace(self.next_round((1, 0, 0, 0, True)), price=price))

    def sync(self, _: None) -> None:
        promised = Mark(*self.oracle.peek(0))
        receipt = self.oracle.sync.send(0)
        before = self.twin.markets[0].mark
        assert Mark(*receipt.value) == promised == self.twin.sync(0, self.chain.now)
        assert bool(receipt.find("RoundAccepted")) == (self.twin.markets[0].mark != before)

    def warp(self, seconds: int) -> None:
        self.chain.warp(seconds)

    def set_params(self, new: Params) -> None:
        self.oracle.set_params.send(0, astuple(new), sender=self.governor)
        self.twin.set_params(0, new)

    def set_halted(self, halted: bool) -> None:
        self.oracle.send("halt" if halted else "resume", 0, sender=self.governor)
        self.twin.set_halted(0, halted, self.chain.now)

    def set_feed(self, change: tuple[int, int, int, int, bool]) -> None:
        round_ = self.next_round(change)
        feed, twin_feed = self.chain.deploy("FeedDouble"), FixedFeed(round_)
        feed.set_round.send(astuple(round_))
        reason = None
        try:
            self.twin.set_feed(0, twin_feed, self.chain.now)
        except fixed.Reverted as error:
            reason = str(error)
        if reason is None:
            self.oracle.set_feed.send(0, feed, sender=self.governor)
            self.feed, self.twin_feed = feed, twin_feed
        else:
            with pytest.raises(Reverted) as caught:
                self.oracle.set_feed.send(0, feed, sender=self.governor)
            assert caught.value.reason == reason


@pytest.mark.fuzz
@settings(max_examples=int(600 * SCALE), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(listed=params, steps=steps)
def test_oracle_equals_twin_along_any_history(listed: Params, steps: list[tuple[str, Any]]) -> None:
    pair = Pair(listed)
    for name, argument in steps:
        getattr(pair, name)(argument)
        pair.check()


@pytest.mark.fuzz
@settings(max_examples=int(300 * SCALE), deadline=None)
@given(listed=params, history=st.lists(st.tuples(gaps, jumps), min_size=1, max_size=60))
def test_oracle_equals_twin_along_any_good_history(listed: Params, history: list[tuple[int, int]]) -> None:
    """Every round good and recorded: the deep part of the search, where estimates build up."""
    pair = Pair(listed)
    for gap, jump in history:
        pair.warp(gap)
        pair.publish((1, jump, 0, 10**15, True))
        pair.sync(None)
    pair.check()
    estimate = pair.twin.estimate(0)
    assert listed.sigma_floor <= estimate.sigma <= listed.sigma_cap
    assert max(estimate.fast_24, estimate.slow_24) <= 2**96 - 1
