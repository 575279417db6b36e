"""Two feeds of one market: what a mark is worth to a trader while they agree, differ, or one of them is dead."""

from __future__ import annotations

import os
from dataclasses import astuple, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ballast.chain import Contract, Reverted, RevmChain, reverts
from ballast.model.exact import fixed
from ballast.model.exact.fixed import WIDE
from ballast.model.exact.oracle import Estimate, FixedFeed, Mark, Params, PriceOracle, Round, Second

WAD = 10**18
ZERO = "0x" + "00" * 20
SCALE = float(os.environ.get("BALLAST_FUZZ_SCALE", "1"))
PRICE = 2_000 * WAD
PARAMS = Params(max_age=600, has_half_width=True)
BAND, LONE = 50, 30


class Pair:
    """One market with two feeds, on the chain and in the twin."""

    def __init__(self, params: Params = PARAMS, band_bps: int = BAND, lone_bps: int = LONE) -> None:
        self.chain = RevmChain()
        self.governor = self.chain.accounts[0]
        self.oracle = self.chain.deploy("PriceOracle", self.governor, self.governor)
        self.feeds: list[Contract] = [self.chain.deploy("FeedDouble") for _ in range(2)]
        self.twins = [FixedFeed(), FixedFeed()]
        self.twin = PriceOracle()
        self.chain.warp(10_000)
        for which in range(2):
            self.publish(which, PRICE)
        self.oracle.list_market.send(self.feeds[0], astuple(params), sender=self.governor)
        self.twin.list_market(self.twins[0], params, self.chain.now)
        self.oracle.set_second.send(0, (self.feeds[1], band_bps, lone_bps), sender=self.governor)
        self.twin.set_second(0, Second(self.twins[1], band_bps, lone_bps), self.chain.now)

    def publish(self, which: int, price: int, age: int = 0, half_width: int = 0, ok: bool = True) -> None:
        last = self.twins[which].round
        self.say(which, Round(last.round_id + 1, price, half_width, self.chain.now - age, ok))

    def say(self, which: int, round_: Round) -> None:
        self.feeds[which].set_round.send(astuple(round_))
        self.twins[which].round = self.twins[which].rounds[round_.round_id] = round_

    def mark(self) -> Mark:
        """What both say, before and after the sync."""
        promised = Mark(*self.oracle.peek(0))
        assert promised == self.twin.peek(0, self.chain.now)
        assert Mark(*self.oracle.sync.send(0).value) == promised == self.twin.sync(0, self.chain.now)
        assert Mark(*self.oracle.peek(0)) == promised
        assert Mark(*self.oracle.last(0)) == self.twin.last(0, self.chain.now)
        assert Estimate(*self.oracle.estimate(0)) == self.twin.estimate(0)
        assert self.oracle.outage(0) == self.twin.outage(0, self.chain.now)
        return promised


def bp(price: int, bps: int) -> int:
    return price * (10_000 + bps) // 10_000


def test_within_the_band_the_first_feed_alone_speaks() -> None:
    pair = Pair()
    pair.chain.warp(10)
    pair.publish(0, bp(PRICE, 10), half_width=WAD)
    pair.publish(1, bp(PRICE, 59), half_width=9 * WAD)
    mark = pair.mark()
    assert (mark.price, mark.half_width, mark.fresh) == (bp(PRICE, 10), WAD, True)


@pytest.mark.parametrize("apart", [-180, -51, 51, 120, 900])
def test_beyond_the_band_every_side_gets_the_worse_price(apart: int) -> None:
    pair = Pair()
    pair.chain.warp(10)
    pair.publish(0, PRICE, half_width=WAD)
    pair.publish(1, bp(PRICE, apart), half_width=2 * WAD)
    mark = pair.mark()
    assert mark.price == PRICE
    assert mark.price + mark.half_width >= max(PRICE + WAD, bp(PRICE, apart) + 2 * WAD)
    assert mark.price - mark.half_width <= min(PRICE - WAD, bp(PRICE, apart) - 2 * WAD)
    assert mark.fresh
    assert (mark.half_width * WIDE > mark.price) == (abs(apart) > 180)  # 2 * WAD is 10 bp


def test_the_width_follows_the_second_feed_between_rounds_of_the_first() -> None:
    pair = Pair()
    widths = []
    for apart in (0, 100, 40, 150):
        pair.chain.warp(5)
        pair.publish(1, bp(PRICE, apart))
        widths.append(pair.mark().half_width)
    assert widths == [0, PRICE // 100, 0, PRICE * 15 // 1_000]
    assert pair.twin.markets[0].mark.updated_at == pair.chain.now - 20  # nothing was recorded


def test_a_dead_first_feed_is_stood_in_for_and_takes_over_again() -> None:
    pair = Pair()
    pair.chain.warp(60)
    pair.say(0, replace(pair.twins[0].round, ok=False))
    pair.publish(1, bp(PRICE, 100))
    alone = pair.mark()
    assert (alone.price, alone.round_id, alone.updated_at, alone.fresh) == (bp(PRICE, 100), 1, pair.chain.now, True)
    assert alone.half_width == alone.price * LONE // 10_000
    assert pair.oracle.last(0).half_width == 0

    pair.chain.warp(60)
    pair.publish(1, bp(PRICE, 110))
    assert pair.mark().price == bp(PRICE, 110)

    pair.publish(0, bp(PRICE, 20), age=90)  # alive, but older than what is recorded: it widens
    mixed = pair.mark()
    assert mixed.price == bp(PRICE, 110)
    assert mixed.price - mixed.half_width <= bp(PRICE, 20)

    pair.chain.warp(10)
    pair.publish(0, bp(PRICE, 90))
    back = pair.mark()
    assert (back.price, back.round_id, back.half_width) == (bp(PRICE, 90), 3, 0)


def test_a_feed_is_dead_by_age_too() -> None:
    pair = Pair()
    pair.chain.warp(PARAMS.max_age)
    pair.publish(1, PRICE)
    assert pair.mark().half_width == 0
    pair.chain.warp(1)
    assert pair.mark().half_width == PRICE * LONE // 10_000
    assert pair.mark().updated_at == pair.chain.now - 1


def test_a_dead_second_feed_widens() -> None:
    pair = Pair()
    pair.chain.warp(10)
    pair.say(1, replace(pair.twins[1].round, ok=False))
    pair.publish(0, PRICE + 1, half_width=WAD)
    assert pair.mark().half_width == WAD - (-(PRICE + 1) * LONE // 10_000)


def test_both_dead_is_stale() -> None:
    pair = Pair()
    pair.chain.warp(PARAMS.max_age + 1)
    assert not pair.mark().fresh
    assert pair.oracle.outage(0) == 1


def test_an_old_round_of_the_first_feed_does_not_unsettle_what_the_second_brought() -> None:
    """Somebody brings an update that is older than the price in force: nothing goes back."""
    pair = Pair()
    pair.say(0, replace(pair.twins[0].round, ok=False))
    pair.chain.warp(30)
    pair.publish(1, bp(PRICE, 300))
    before = pair.mark()
    pair.publish(0, PRICE, age=20)
    after = pair.mark()
    assert (after.price, after.updated_at) == (before.price, before.updated_at)
    assert after.price - after.half_width <= PRICE


def test_set_second_bounds_powers_and_removal() -> None:
    pair = Pair()
    oracle, feed = pair.oracle, pair.feeds[1]
    stranger = pair.chain.accounts[5]
    assert tuple(oracle.second(0)) == (feed.address, BAND, LONE)
    with reverts("roles: not allowed"):
        oracle.set_second.send(0, (ZERO, 0, 0), sender=stranger)
    for bad in ((feed, 201, 0), (feed, 0, 201)):
        with reverts("oracle: band out of bounds"):
            oracle.set_second.send(0, bad, sender=pair.governor)
    with reverts("oracle: not listed"):
        oracle.set_second.send(1, (feed, 0, 0), sender=pair.governor)
    pair.publish(1, bp(PRICE, 501))
    with reverts("oracle: feed disagrees"):
        oracle.set_second.send(0, (feed, 0, 0), sender=pair.governor)
    pair.publish(1, PRICE, age=PARAMS.max_age + 1)
    with reverts("oracle: feed has no good round"):
        oracle.set_second.send(0, (feed, 0, 0), sender=pair.governor)

    oracle.set_params.send(0, astuple(PARAMS), sender=pair.governor)  # keeps the second feed
    pair.publish(0, PRICE)
    pair.publish(1, bp(PRICE, 100))
    assert pair.mark().half_width == PRICE // 100
    receipt = oracle.set_second.send(0, (ZERO, 0, 0), sender=pair.governor)
    assert tuple(receipt.one("SecondSet")) == (0, ZERO, 0, 0)
    assert tuple(oracle.second(0)) == (ZERO, 0, 0)
    pair.twin.set_second(0, None, pair.chain.now)
    pair.publish(0, PRICE)
    assert pair.mark().half_width == 0


steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("publish"),
            st.sampled_from([0, 1]),
            st.one_of(st.integers(-60, 60), st.integers(-900, 900), st.just(10**40)),
            st.sampled_from([0, 0, 1, 30, 700, -5]),
            st.sampled_from([0, 0, WAD, 30 * WAD, 2**96 - 1]),
            st.sampled_from([True, True, True, False]),
        ),
        st.tuples(st.just("warp"), st.sampled_from([1, 12, 60, 599, 601])),
        st.tuples(st.just("settle"), st.integers(0, 200), st.integers(0, 6)),
    ),
    min_size=3,
    max_size=25,
)


@pytest.mark.fuzz
@settings(max_examples=int(60 * SCALE), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=steps, band=st.sampled_from([0, 1, 50, 200]), lone=st.sampled_from([0, 30, 200]), wide=st.booleans())
def test_two_feeds_equal_twin_and_cover_every_young_price(
    steps: list[tuple[Any, ...]], band: int, lone: int, wide: bool
) -> None:
    pair = Pair(replace(PARAMS, has_half_width=wide), band, lone)
    for name, *arguments in steps:
        if name == "warp":
            pair.chain.warp(arguments[0])
        elif name == "publish":
            which, bps, age, half_width, ok = arguments
            pair.publish(which, max(bp(PRICE, bps), 1), age, half_width, ok)
        else:
            check_settlement(pair, *arguments)
        before = pair.twin.markets[0].mark
        mark = pair.mark()
        assert mark.updated_at >= before.updated_at
        assert mark.round_id >= before.round_id
        for feed in pair.twins:
            round_ = feed.round
            good = round_.ok and 0 < round_.price < 2**96 and round_.half_width < 2**96
            if good and 0 <= pair.chain.now - round_.updated_at <= PARAMS.max_age and mark.fresh:
                slack = mark.price * band // 10_000
                assert mark.price + mark.half_width + slack >= round_.price
                assert mark.price - mark.half_width - slack <= round_.price


def check_settlement(pair: Pair, ago: int, round_id: int) -> None:
    """The second feed settles nothing: the contract and the twin answer from the first."""
    time = pair.chain.now - ago
    try:
        expected: Any = pair.twin.price_at(0, time, round_id, pair.chain.now)
    except fixed.Reverted as error:
        expected = str(error)
    try:
        actual: Any = pair.oracle.price_at(0, time, round_id)
    except Reverted as error:
        actual = error.reason
    assert actual == expected
