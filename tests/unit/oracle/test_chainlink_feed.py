"""ChainlinkFeed: what it believes, and that nothing upstream can make it revert."""

from __future__ import annotations

from typing import Any

import pytest

from ballast.chain import Contract, RevmChain, reverts
from ballast.model.exact import oracle as exact

ZERO = "0x" + "00" * 20
NOTHING = (0, 0, 0, 0, False)
GRACE = 3_600
FIRST = 1 << 64 | 1
REVERT, BURN, ZERO_ID = 1, 2, 4


@pytest.fixture
def aggregator(chain: RevmChain) -> Contract:
    aggregator = chain.deploy("ReplayAggregator", 8)
    aggregator.push_now.send(2_000 * 10**8)
    return aggregator


@pytest.fixture
def proxy(chain: RevmChain, aggregator: Contract) -> Contract:
    return chain.deploy("AggregatorProxy", aggregator)


@pytest.fixture
def feed(chain: RevmChain, proxy: Contract) -> Contract:
    return chain.deploy("ChainlinkFeed", proxy, ZERO, 0)


@pytest.fixture
def sequencer(chain: RevmChain) -> Contract:
    sequencer = chain.deploy("SequencerFeed")
    sequencer.set_status.send(0, chain.now - GRACE - 1)
    return sequencer


@pytest.fixture
def rollup_feed(chain: RevmChain, proxy: Contract, sequencer: Contract) -> Contract:
    return chain.deploy("ChainlinkFeed", proxy, sequencer, GRACE)


def words(*numbers: int) -> bytes:
    return b"".join((n % 2**256).to_bytes(32, "big") for n in numbers)


# ── good rounds ──


@pytest.mark.parametrize("decimals", [0, 6, 8, 18])
def test_latest_good_round_is_scaled_to_wad(chain: RevmChain, decimals: int) -> None:
    aggregator = chain.deploy("ReplayAggregator", decimals)
    aggregator.push_now.send(1_234 * 10**decimals)
    feed = chain.deploy("ChainlinkFeed", aggregator, ZERO, 0)
    assert tuple(feed.latest()) == (FIRST, 1_234 * 10**18, 0, chain.now, True)


def test_latest_follows_new_rounds_and_phases(chain: RevmChain, feed: Contract, proxy: Contract) -> None:
    chain.warp(60)
    successor = chain.deploy("ReplayAggregator", 8)
    successor.push_now.send(2_100 * 10**8)
    proxy.set_aggregator.send(successor)
    assert tuple(feed.latest()) == (2 << 64 | 1, 2_100 * 10**18, 0, chain.now, True)
    assert feed.round_at(FIRST).price == 2_000 * 10**18


def test_latest_old_round_is_ok_whatever_its_age(chain: RevmChain, feed: Contract) -> None:
    chain.warp(10**6)
    assert feed.latest().ok


def test_round_at_every_round_of_every_phase(chain: RevmChain, aggregator: Contract) -> None:
    feed = chain.deploy("ChainlinkFeed", aggregator, ZERO, 0)
    ids = [FIRST]
    for step in range(1, 4):
        chain.warp(60)
        if step == 2:
            aggregator.start_phase.send()
        ids.append(aggregator.push_now.send((2_000 + step) * 10**8).value)
    assert ids == [FIRST, FIRST + 1, 2 << 64 | 1, 2 << 64 | 2]
    for step, round_id in enumerate(ids):
        expected = (round_id, (2_000 + step) * 10**18, 0, chain.now - (3 - step) * 60, True)
        assert tuple(feed.round_at(round_id)) == expected


def test_views_answer_the_constructor_arguments(rollup_feed: Contract, proxy: Contract, sequencer: Contract) -> None:
    assert rollup_feed.aggregator() == proxy.address
    assert rollup_feed.sequencer_feed() == sequencer.address
    assert rollup_feed.grace_period() == GRACE


# ── constructor ──


def test_init_more_than_18_decimals_reverts(chain: RevmChain) -> None:
    aggregator = chain.deploy("ReplayAggregator", 19)
    with reverts("feed: too many decimals"):
        chain.deploy("ChainlinkFeed", aggregator, ZERO, 0)


def test_init_grace_longer_than_a_day_reverts(chain: RevmChain, aggregator: Contract) -> None:
    with reverts("feed: grace out of bounds"):
        chain.deploy("ChainlinkFeed", aggregator, ZERO, 86_401)


# ── bad rounds ──


@pytest.mark.parametrize("decimals", [8, 18])
@pytest.mark.parametrize("answer", [0, -1, -(2**191), 2**191 - 1])
def test_latest_absurd_answer_is_not_ok(chain: RevmChain, decimals: int, answer: int) -> None:
    aggregator = chain.deploy("ReplayAggregator", decimals)
    feed = chain.deploy("ChainlinkFeed", aggregator, ZERO, 0)
    round_id = aggregator.push_now.send(answer).value
    assert tuple(feed.latest()) == NOTHING
    assert tuple(feed.round_at(round_id)) == NOTHING


@pytest.mark.parametrize("decimals", [8, 18])
def test_latest_largest_answer_fits_96_bits(chain: RevmChain, decimals: int) -> None:
    aggregator = chain.deploy("ReplayAggregator", decimals)
    feed = chain.deploy("ChainlinkFeed", aggregator, ZERO, 0)
    largest = (2**96 - 1) // 10 ** (18 - decimals)
    aggregator.push_now.send(largest)
    assert feed.latest().price == largest * 10 ** (18 - decimals)
    aggregator.push_now.send(largest + 1)
    assert tuple(feed.latest()) == NOTHING


@pytest.mark.parametrize("offset", [None, 1, 10**9])
def test_latest_zero_or_future_time_is_not_ok(
    chain: RevmChain, feed: Contract, aggregator: Contract, offset: int | None
) -> None:
    round_id = aggregator.push.send(2_000 * 10**8, 0 if offset is None else chain.now + offset).value
    assert tuple(feed.latest()) == NOTHING
    assert tuple(feed.round_at(round_id)) == NOTHING


@pytest.mark.parametrize("fault", [REVERT, BURN, ZERO_ID])
@pytest.mark.parametrize("direct", [False, True])
def test_latest_faulty_aggregator_is_not_ok(
    chain: RevmChain, feed: Contract, aggregator: Contract, fault: int, direct: bool
) -> None:
    if direct:
        feed = chain.deploy("ChainlinkFeed", aggregator, ZERO, 0)
    aggregator.set_fault.send(fault)
    if fault == ZERO_ID and not direct:
        return  # the proxy puts its phase into the id: nothing is left to see
    assert tuple(feed.latest()) == NOTHING
    assert tuple(feed.round_at(FIRST)) == NOTHING
    aggregator.set_fault.send(0)
    assert feed.latest().ok


def test_latest_proxy_of_an_empty_address_is_not_ok(chain: RevmChain, feed: Contract, proxy: Contract) -> None:
    proxy.set_aggregator.send(chain.accounts[5])
    assert tuple(feed.latest()) == NOTHING


GOOD = (FIRST, 2_000 * 10**8, 1, 1, FIRST)


@pytest.mark.parametrize(
    ("payload", "ok"),
    [
        (words(*GOOD), True),
        (words(*GOOD, 7), True),  # what follows the five words is not read
        (words(*GOOD)[:-1], False),
        (words(*GOOD[:4]), False),
        (b"", False),
        (words(2**80, *GOOD[1:]), False),
        (words(2**255 + 1, *GOOD[1:]), False),
        (words(*GOOD[:3], 2**255, 1), False),
        (words(*[2**256 - 1] * 5), False),
        (words(FIRST, 2_000 * 10**8, 2**256 - 1, 1, 2**256 - 1), True),  # startedAt, answeredInRound: not used
    ],
    ids=[
        "good", "long", "a_byte_short", "a_word_short", "empty", "id_of_81_bits", "id_dirty", "time_dirty", "all_ones",
        "unused_words_dirty",
    ],
)  # fmt: skip
def test_latest_malformed_response_is_not_ok(chain: RevmChain, payload: bytes, ok: bool) -> None:
    responder = chain.deploy("RawResponder")
    responder.set_response.send(0, words(8))
    feed = chain.deploy("ChainlinkFeed", responder, ZERO, 0)
    responder.set_response.send(0, payload)
    assert feed.latest().ok == ok
    assert feed.round_at(FIRST).ok == ok
    if not ok:
        assert tuple(feed.latest()) == NOTHING


def test_round_at_unknown_round_is_not_ok(feed: Contract) -> None:
    for round_id in (0, 1, FIRST + 1, 3 << 64 | 1, 2**80 - 1, 2**80, 2**80 + FIRST, 2**256 - 1):
        assert tuple(feed.round_at(round_id)) == NOTHING


def test_round_at_another_rounds_answer_is_not_ok(chain: RevmChain) -> None:
    responder = chain.deploy("RawResponder")
    responder.set_response.send(0, words(8))
    feed = chain.deploy("ChainlinkFeed", responder, ZERO, 0)
    responder.set_response.send(0, words(*GOOD))
    assert feed.round_at(FIRST).ok
    assert tuple(feed.round_at(FIRST + 1)) == NOTHING


# ── sequencer ──


def test_latest_sequencer_up_past_grace_is_ok(rollup_feed: Contract) -> None:
    assert rollup_feed.latest().ok


def test_latest_within_grace_is_not_ok_until_it_ends(
    chain: RevmChain, rollup_feed: Contract, sequencer: Contract
) -> None:
    sequencer.set_status.send(0, chain.now)
    assert tuple(rollup_feed.latest()) == NOTHING
    chain.warp(GRACE)
    assert tuple(rollup_feed.latest()) == NOTHING
    chain.warp(1)
    assert rollup_feed.latest().ok


@pytest.mark.parametrize(("answer", "age"), [(1, 10**6), (2, 10**6), (-1, 10**6), (0, None), (0, -1)])
def test_latest_sequencer_down_or_unwritten_is_not_ok(
    chain: RevmChain, rollup_feed: Contract, sequencer: Contract, answer: int, age: int | None
) -> None:
    sequencer.set_status.send(answer, 0 if age is None else chain.now - age)
    assert tuple(rollup_feed.latest()) == NOTHING


def test_latest_broken_sequencer_feed_is_not_ok(rollup_feed: Contract, sequencer: Contract) -> None:
    sequencer.set_broken.send(True)
    assert tuple(rollup_feed.latest()) == NOTHING


def test_latest_sequencer_feed_without_code_is_not_ok(chain: RevmChain, proxy: Contract) -> None:
    feed = chain.deploy("ChainlinkFeed", proxy, chain.accounts[5], GRACE)
    assert tuple(feed.latest()) == NOTHING


def test_round_at_does_not_ask_the_sequencer(rollup_feed: Contract, sequencer: Contract) -> None:
    sequencer.set_broken.send(True)
    assert rollup_feed.round_at(FIRST).ok


# ── twin ──


@pytest.mark.parametrize("decimals", [8, 18])
@pytest.mark.parametrize("answer", [-1, 0, 1, 2_000 * 10**8, 2**96 // 10**10, 2**96 - 1, 2**96])
@pytest.mark.parametrize("age", [-1, 0, 5])
@pytest.mark.parametrize("status", [None, (0, GRACE), (0, GRACE + 1), (1, GRACE + 1), (0, None)])
def test_latest_equals_twin(
    chain: RevmChain, sequencer: Contract, decimals: int, answer: int, age: int, status: Any
) -> None:
    aggregator = chain.deploy("ReplayAggregator", decimals)
    aggregator.push.send(answer, chain.now - age)
    twin = exact.ChainlinkFeed(decimals, exact.Response(FIRST, answer, 0, chain.now - age), grace_period=GRACE)
    if status is not None:
        up, since = status
        started_at = 0 if since is None else chain.now - since
        sequencer.set_status.send(up, started_at)
        twin.has_sequencer = True
        twin.sequencer = exact.Response(1, up, started_at, chain.now)
    feed = chain.deploy("ChainlinkFeed", aggregator, sequencer if status is not None else ZERO, GRACE)
    assert exact.Round(*feed.latest()) == twin.latest(chain.now)
