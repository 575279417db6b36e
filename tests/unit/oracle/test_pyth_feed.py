"""PythFeed over Pyth's own test contract, beside its twin: what it believes, what it proves, and what it costs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ballast.chain import Contract, RevmChain, reverts
from ballast.chain.pyth import FEE, Pyth
from ballast.model.exact import fixed
from ballast.model.exact import oracle as exact
from ballast.model.exact.oracle import NO_ROUND, PythFeed, PythPrice, Response, Round

WAD = 10**18
ETH = bytes.fromhex("ff61491a931112ddf1bd8147cd1b641375f79f5825126d665480874634fd0ace")
OTHER = b"\x01" * 32
ZERO = "0x" + "00" * 20
GRACE = 3_600


@pytest.fixture
def pyth(chain: RevmChain) -> Pyth:
    return Pyth.deploy(chain, sender=chain.accounts[0])


@pytest.fixture
def feed(chain: RevmChain, pyth: Pyth) -> Contract:
    return chain.deploy("PythFeed", pyth.contract, ETH, ZERO, 0)


def bring(feed: Contract, pyth: Pyth, p: PythPrice, price_id: bytes = ETH) -> Any:
    data = [pyth.message(price_id, p.price, p.conf, p.expo, p.publish_time)]
    return feed.update.send(data, value=FEE)


def latest(feed: Contract) -> Round:
    return Round(*feed.latest())


# ── latest ──


def test_latest_before_any_update_is_nothing(feed: Contract) -> None:
    assert latest(feed) == NO_ROUND


def test_latest_is_scaled_and_known_by_its_second(chain: RevmChain, feed: Contract, pyth: Pyth) -> None:
    now = chain.now
    bring(feed, pyth, PythPrice(2_000_12345678, 1_5000_0000, -8, now - 7))
    assert latest(feed) == Round(now - 7, 2_000_12345678 * 10**10, 15 * WAD // 10, now - 7, True)
    assert tuple(feed.round_at(now - 7)) == (0, 0, 0, 0, False)


def test_latest_another_id_is_another_price(chain: RevmChain, feed: Contract, pyth: Pyth) -> None:
    bring(feed, pyth, PythPrice(2_000, 1, 0, chain.now), OTHER)
    assert latest(feed) == NO_ROUND


def test_latest_replayed_or_older_update_changes_nothing(chain: RevmChain, feed: Contract, pyth: Pyth) -> None:
    newer = PythPrice(2_000, 1, 0, chain.now)
    bring(feed, pyth, newer)
    chain.warp(5)
    known = latest(feed)
    for stale in (newer, PythPrice(1_000, 1, 0, newer.publish_time), PythPrice(1_000, 1, 0, newer.publish_time - 3)):
        bring(feed, pyth, stale)
        assert latest(feed) == known


@settings(max_examples=60)
@given(
    price=st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(1, 10**13)),
    conf=st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 10**11)),
    expo=st.one_of(st.integers(-40, 12), st.just(-8)),
    ahead=st.one_of(st.integers(-400, 61), st.just(2**39)),
)
def test_latest_equals_twin_for_anything_pyth_may_say(price: int, conf: int, expo: int, ahead: int) -> None:
    chain = RevmChain()
    pyth = Pyth.deploy(chain, sender=chain.accounts[0])
    feed = chain.deploy("PythFeed", pyth.contract, ETH, ZERO, 0)
    said = PythPrice(price, conf, expo, chain.now + ahead)
    bring(feed, pyth, said)
    round_ = latest(feed)
    assert round_ == PythFeed(said).latest(chain.now)
    if round_.ok:
        assert 0 < round_.price < 2**96
        assert 0 < round_.updated_at <= chain.now
        assert round_.half_width * 10 <= round_.price


@pytest.mark.parametrize(
    ("change", "ok"),
    [
        ({}, True),
        ({"price": 0}, False),
        ({"price": -2_000}, False),
        ({"conf": 200}, True),
        ({"conf": 201}, False),
        ({"expo": 11}, False),
        ({"expo": -37}, False),
        ({"expo": -18, "price": 1, "conf": 0}, True),
        ({"expo": -19, "price": 9, "conf": 0}, False),
    ],
)
def test_latest_limits(chain: RevmChain, feed: Contract, pyth: Pyth, change: dict[str, int], ok: bool) -> None:
    said = PythPrice(**{"price": 2_000, "conf": 1, "expo": 0, "publish_time": chain.now, **change})
    bring(feed, pyth, said)
    assert latest(feed).ok is ok


def test_latest_a_little_ahead_was_observed_now_and_more_is_refused(
    chain: RevmChain, feed: Contract, pyth: Pyth
) -> None:
    bring(feed, pyth, PythPrice(2_000, 1, 0, chain.now + 60))
    assert latest(feed).updated_at == chain.now
    bring(feed, pyth, PythPrice(2_000, 1, 0, chain.now + 61))
    assert latest(feed) == NO_ROUND
    chain.warp(1)
    assert latest(feed).updated_at == chain.now


@pytest.mark.parametrize("answer", [b"", b"\x00" * 96, b"\xff" * 128, b"\x00" * 160])
def test_latest_any_answer_is_survived(chain: RevmChain, answer: bytes) -> None:
    responder = chain.deploy("RawResponder")
    responder.set_response.send(0, answer)
    assert latest(chain.deploy("PythFeed", responder, ETH, ZERO, 0)) == NO_ROUND
    assert latest(chain.deploy("PythFeed", chain.accounts[5], ETH, ZERO, 0)) == NO_ROUND


def test_latest_honours_the_sequencer(chain: RevmChain, pyth: Pyth) -> None:
    sequencer = chain.deploy("SequencerFeed")
    feed = chain.deploy("PythFeed", pyth.contract, ETH, sequencer, GRACE)
    said = PythPrice(2_000, 1, 0, chain.now)
    bring(feed, pyth, said)
    for answer, since, ready in ((0, GRACE, False), (0, GRACE + 1, True), (1, 9_999, False)):
        sequencer.set_status.send(answer, chain.now - since)
        twin = PythFeed(said, True, Response(1, answer, chain.now - since, 0), GRACE)
        assert latest(feed) == twin.latest(chain.now)
        assert latest(feed).ok is ready
    assert (feed.sequencer_feed(), feed.grace_period()) == (sequencer.address, GRACE)


# ── fees ──


def test_update_pays_the_fee_and_gives_the_rest_back(chain: RevmChain, feed: Contract, pyth: Pyth) -> None:
    payer = chain.accounts[4]
    data = [pyth.message(ETH, 2_000, 1, 0, chain.now), pyth.message(OTHER, 1, 0, 0, chain.now)]
    before = chain.balance(payer)
    assert feed.update_fee(data) == 2 * FEE
    with reverts("feed: fee not covered"):
        feed.update.send(data, value=2 * FEE - 1, sender=payer)
    assert latest(feed) == NO_ROUND
    feed.update.send(data, value=WAD, sender=payer)
    assert before - chain.balance(payer) == 2 * FEE
    assert chain.balance(pyth.contract.address) == 2 * FEE
    assert chain.balance(feed.address) == 0
    assert latest(feed).ok


# ── proofs ──


def prove(feed: Contract, pyth: Pyth, time: int, p: PythPrice, before: int, value: int = FEE) -> Any:
    return feed.prove.send(time, [pyth.message(ETH, p.price, p.conf, p.expo, p.publish_time, before)], value=value)


def test_prove_takes_the_first_update_from_a_time_on_and_no_other(chain: RevmChain, feed: Contract, pyth: Pyth) -> None:
    chain.warp(100)
    time = chain.now - 50
    refused = [
        (PythPrice(1_900, 1, 0, time - 1), time - 2),  # before it
        (PythPrice(1_900, 1, 0, time + 3), time),  # not the first: one was at the time itself
        (PythPrice(1_900, 1, 0, time + 3), time + 2),  # nor this
    ]
    for p, before in refused:
        with reverts():
            prove(feed, pyth, time, p, before)
        assert Round(*feed.proved(time)) == NO_ROUND
    first = PythPrice(2_000, 1, 0, time + 2)
    receipt = prove(feed, pyth, time, first, time - 1, value=10 * FEE)
    assert tuple(receipt.one("Proved")) == (time, 2_000 * WAD, time + 2)
    twin = PythFeed()
    twin.prove(time, first, chain.now)
    assert Round(*feed.proved(time)) == twin.proved(time, chain.now) == Round(time, 2_000 * WAD, WAD, time + 2, True)
    assert chain.balance(feed.address) == 0


def test_prove_again_changes_nothing_and_costs_nothing(chain: RevmChain, feed: Contract, pyth: Pyth) -> None:
    time = chain.now - 50
    prove(feed, pyth, time, PythPrice(2_000, 1, 0, time), time - 1)
    paid = chain.balance(pyth.contract.address)
    receipt = prove(feed, pyth, time, PythPrice(1, 0, 0, time), time - 1, value=WAD)
    assert not receipt.find("Proved")
    assert feed.proved(time).price == 2_000 * WAD
    assert chain.balance(pyth.contract.address) == paid


def test_prove_refuses_what_is_no_price_and_what_is_to_come(chain: RevmChain, feed: Contract, pyth: Pyth) -> None:
    now = chain.now
    cases = [
        (now, PythPrice(-5, 1, 0, now), "feed: not a price"),
        (now, PythPrice(2_000, 201, 0, now), "feed: not a price"),
        (now, PythPrice(2_000, 1, 0, now + 61), "feed: not a price"),
        (now + 1, PythPrice(2_000, 1, 0, now + 1), "feed: not yet"),
        (0, PythPrice(2_000, 1, 0, now), "feed: not yet"),
    ]
    for time, p, reason in cases:
        with reverts(reason):
            prove(feed, pyth, time, p, max(time - 1, 0))
        with pytest.raises(fixed.Reverted, match=reason):
            PythFeed().prove(time, p, now)
    with reverts("feed: fee not covered"):
        prove(feed, pyth, now, PythPrice(2_000, 1, 0, now), now - 1, value=FEE - 1)


# ── settlement through the oracle ──


def test_price_at_is_what_was_proved_whoever_names_whatever_round(
    chain: RevmChain, pyth: Pyth, feed: Contract, governor: str
) -> None:
    """Rounds that somebody chose to bring around the time settle nothing."""
    oracle = chain.deploy("PriceOracle", governor, governor)
    bring(feed, pyth, PythPrice(1_990, 1, 0, chain.now))
    oracle.list_market.send(feed, (60, 3_600, 86_400, 10**17, 5 * WAD, 10**17, WAD // 2, True), sender=governor)
    twin_feed = PythFeed(PythPrice(1_990, 1, 0, chain.now))
    twin = exact.PriceOracle()
    twin.list_market(twin_feed, exact.Params(60, 3_600, 86_400, 10**17, 5 * WAD, 10**17, WAD // 2, True), chain.now)
    chain.warp(30)
    time = chain.now
    bring(feed, pyth, PythPrice(1_500, 1, 0, time))  # chosen
    oracle.sync.send(0)
    chain.warp(10)
    bring(feed, pyth, PythPrice(2_500, 1, 0, time + 10))  # chosen
    oracle.sync.send(0)
    for round_id in (0, time, time + 10):
        with reverts():
            oracle.price_at(0, time, round_id)
    first = PythPrice(2_003, 1, 0, time)
    prove(feed, pyth, time, first, time - 1)
    twin_feed.prove(time, first, chain.now)
    for round_id in (0, time, time + 10, 2**80):
        assert oracle.price_at(0, time, round_id) == twin.price_at(0, time, round_id, chain.now) == 2_003 * WAD
    with reverts("oracle: no round after"):
        oracle.price_at(0, time - 1, 0)
