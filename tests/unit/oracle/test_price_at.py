"""PriceOracle.price_at: the one price that settles what was due at a time, proven by a round id."""

from __future__ import annotations

import os
import re
from dataclasses import astuple, dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ballast.chain import Contract, Reverted, RevmChain, reverts
from ballast.model.exact import fixed
from ballast.model.exact.oracle import MAX_GAP, MAX_PHASES, ChainlinkFeed, Params, PriceOracle, Response

ZERO = "0x" + "00" * 20
PARAMS = Params(max_age=3_600)
EXAMPLES = int(80 * float(os.environ.get("BALLAST_FUZZ_SCALE", "1")))
REASONS = {"oracle: no such round", "oracle: round is after", "oracle: not the last round", "oracle: no round after"}
BAD = 0
"""An answer that makes a round malformed."""


@dataclass
class History:
    """A feed's past, told to the contracts and to their twins alike. Times are relative to `start`."""

    chain: RevmChain = field(default_factory=RevmChain)

    def __post_init__(self) -> None:
        governor = self.chain.accounts[0]
        self.aggregator = self.chain.deploy("ReplayAggregator", 8)
        feed = self.chain.deploy("ChainlinkFeed", self.aggregator, ZERO, 0)
        self.oracle: Contract = self.chain.deploy("PriceOracle", governor, governor)
        self.twin = PriceOracle()
        self.twin_feed = ChainlinkFeed(8)
        self.start = self.chain.now - 10**6
        self.phase, self.ids = 1, [0]
        self._list = lambda: self.oracle.list_market.send(feed, astuple(PARAMS), sender=governor)

    def push(self, answer: int, time: int) -> int:
        round_id = int(self.aggregator.push.send(answer, self.start + time).value)
        self.twin_feed.upstream = Response(round_id, answer, self.start + time, self.start + time)
        self.twin_feed.rounds[round_id] = self.twin_feed.upstream
        self.ids.append(round_id)
        return round_id

    def start_phase(self) -> None:
        self.phase = int(self.aggregator.start_phase.send().value)

    def list_market(self) -> None:
        """The feed's newest round must be good."""
        self._list()
        self.twin.list_market(self.twin_feed, PARAMS, self.chain.now)

    def price_at(self, time: int, round_id: int) -> int:
        """The answer in the aggregator's decimals; contract and twin agree on it, or on why there is none."""
        try:
            price = int(self.oracle.price_at(0, self.start + time, round_id))
        except Reverted as error:
            with pytest.raises(fixed.Reverted, match=f"^{re.escape(error.reason)}$"):
                self.twin.price_at(0, self.start + time, round_id, self.chain.now)
            raise
        assert price == self.twin.price_at(0, self.start + time, round_id, self.chain.now)
        return price // 10**10

    def provable(self, time: int) -> dict[int, int]:
        """What each id proves, of those that prove anything: all ids there are, and some that are not there."""
        found, reasons = {}, set()
        for round_id in [*self.ids, *((phase << 64) + 9 for phase in range(self.phase + 2))]:
            try:
                found[round_id] = self.price_at(time, round_id)
            except Reverted as error:
                reasons.add(error.reason)
        assert reasons <= REASONS
        return found


@pytest.fixture
def history() -> History:
    return History()


def test_price_at_fresh_round_is_the_last_at_or_before(history: History) -> None:
    first, second, third = (history.push(answer, time) for answer, time in ((10, 0), (20, 100), (30, 200)))
    history.list_market()
    assert history.provable(50) == {first: 10}
    assert history.provable(99) == {first: 10}
    assert history.provable(100) == {second: 20}
    assert history.provable(199) == {second: 20}
    with reverts("oracle: no round after"):
        history.price_at(200, third)


def test_price_at_wrong_ids_revert(history: History) -> None:
    first, second, _ = (history.push(answer, time) for answer, time in ((10, 0), (20, 100), (30, 200)))
    history.list_market()
    for round_id, reason in (
        (second, "oracle: round is after"),
        (0, "oracle: not the last round"),
        (first + 3, "oracle: no such round"),
        (2 << 64 | 1, "oracle: no such round"),
        (2**256 - 1, "oracle: no such round"),
    ):
        with reverts(reason):
            history.price_at(50, round_id)
    with reverts("oracle: not the last round"):
        history.price_at(150, first)
    with reverts("oracle: not listed"):
        history.oracle.price_at(1, history.start, first)


def test_price_at_of_the_future_reverts(history: History) -> None:
    last = history.push(10, 0)
    history.list_market()
    with reverts("oracle: no round after"):
        history.price_at(history.chain.now + 10**6, last)


@pytest.mark.parametrize(("silence", "price"), [(0, 10), (PARAMS.max_age, 10), (PARAMS.max_age + 1, 20), (90_000, 20)])
def test_price_at_after_a_silence_is_the_first_price_behind_it(history: History, silence: int, price: int) -> None:
    """A mark that is max_age old can still be traded on."""
    first = history.push(10, 0)
    history.push(20, 100_000)
    history.push(30, 100_001)
    history.list_market()
    assert history.provable(silence) == {first: price}


def test_price_at_before_all_rounds_is_the_first(history: History) -> None:
    history.push(BAD, 50)
    history.push(20, 100)
    history.list_market()
    assert history.provable(99) == {0: 20}


@pytest.mark.parametrize("bad", [1, MAX_GAP - 1])
def test_price_at_malformed_rounds_are_passed_over(history: History, bad: int) -> None:
    first = history.push(10, 0)
    for _ in range(bad):
        history.push(BAD, 50)
    last = history.push(20, 10_000)
    history.push(30, 10_100)
    history.list_market()
    assert history.provable(100) == {first: 10}
    assert history.provable(9_999) == {first: 20}
    assert history.provable(10_000) == {last: 20}
    with reverts("oracle: no such round"):
        history.price_at(100, first + 1)


def test_price_at_a_long_run_of_malformed_rounds_ends_a_phase(history: History) -> None:
    """A replaced aggregator then settles what was due, at its first price."""
    first = history.push(10, 0)
    for _ in range(MAX_GAP):
        history.push(BAD, 50)
    history.push(20, 10_000)
    history.list_market()
    with reverts("oracle: no round after"):
        history.price_at(100, first)
    history.start_phase()
    history.push(30, 20_000)
    assert history.price_at(9_999, first) == 30


def test_price_at_over_phases(history: History) -> None:
    """The first round of the next phase is the one after; empty phases are passed over."""
    last = history.push(10, 0)
    history.start_phase()
    history.start_phase()
    history.push(BAD, 4_900)
    third = history.push(20, 5_000)
    history.push(30, 5_100)
    history.list_market()
    assert history.provable(100) == {last: 10}
    assert history.provable(4_999) == {last: 20}
    assert history.provable(5_000) == {third: 20}


def test_price_at_of_overlapping_phases_is_the_last_ones(history: History) -> None:
    """An aggregator has often run for days when it is put in force."""
    history.push(10, 0)
    history.push(11, 100)
    history.push(12, 200)
    history.start_phase()
    history.push(20, 40)
    second = history.push(21, 140)
    history.push(22, 240)
    history.list_market()
    assert history.provable(150) == {second: 21}


def test_price_at_after_a_silence_is_the_earliest_of_two_phases(history: History) -> None:
    """Whether the old aggregator goes on after it was replaced makes no difference."""
    first = history.push(10, 0)
    history.push(11, 20_000)
    history.start_phase()
    history.push(20, 15_000)
    history.list_market()
    assert history.provable(10_000) == {first: 20}


def test_price_at_later_rounds_change_nothing(history: History) -> None:
    first = history.push(10, 0)
    history.push(20, 10_000)
    history.list_market()
    before = [history.provable(time) for time in (100, 9_999)]
    history.push(30, 11_000)
    history.start_phase()
    history.push(40, 12_000)
    history.oracle.sync.send(0)
    history.twin.sync(0, history.chain.now)
    assert before == [history.provable(time) for time in (100, 9_999)] == [{first: 10}, {first: 20}]


def test_price_at_too_many_phases_reverts(history: History) -> None:
    first = history.push(10, 0)
    for _ in range(MAX_PHASES):
        history.start_phase()
    history.push(20, 100)
    history.list_market()
    assert history.price_at(50, first) == 10
    history.start_phase()
    history.push(30, 200)
    with reverts("oracle: too many phases"):
        history.price_at(50, first)


def test_price_at_newest_phase_is_the_recorded_one_while_the_feed_is_silent(history: History) -> None:
    """A feed whose newest round is malformed still has the phase that was seen."""
    history.push(10, 0)
    history.push(11, 100)
    history.start_phase()
    second = history.push(20, 40)
    history.push(21, 140)
    history.list_market()
    history.push(BAD, 150)
    assert history.provable(50) == {second: 20}


def test_price_at_of_a_phase_that_nobody_has_seen(history: History) -> None:
    """The newest round is malformed, the recorded one older: the id itself says that there is a later phase."""
    history.push(10, 0)
    history.list_market()
    history.start_phase()
    second = history.push(20, 40)
    history.push(21, 140)
    history.push(BAD, 150)
    assert history.provable(50) == {second: 20}


def test_price_at_little_gas_reverts(history: History) -> None:
    """Nobody makes the next round look missing by sending less than a feed may burn."""
    first = history.push(10, 0)
    history.push(20, 10_000)
    history.push(30, 10_001)
    history.list_market()
    answers, reasons = set(), set()
    for gas in range(30_000, 700_000, 1_000):
        try:
            answers.add(history.oracle.send("price_at", 0, history.start + 9_999, first, gas=gas).value // 10**10)
        except Reverted as error:
            reasons.add(error.reason)
    assert answers == {20}
    assert reasons == {"oracle: gas for a proof"}


def test_price_at_feed_that_answers_anything_reverts(chain: RevmChain, governor: str) -> None:
    feed = chain.deploy("RawResponder")
    good = [5, 10**18, 0, chain.now, 1]
    feed.set_response.send(0, b"".join(x.to_bytes(32, "big") for x in good))
    oracle = chain.deploy("PriceOracle", governor, governor)
    oracle.list_market.send(feed, astuple(PARAMS), sender=governor)
    with reverts("oracle: no such round"):
        oracle.price_at(0, chain.now, 4)
    with reverts("oracle: no round after"):
        oracle.price_at(0, chain.now, 5)
    for payload in (b"", b"\xff" * 160, b"\x01" * 159):
        feed.set_response.send(0, payload)
        with reverts("oracle: no such round"):
            oracle.price_at(0, chain.now, 5)
    for mode in (1, 2):
        feed.set_response.send(mode, b"")
        with reverts("oracle: no such round"):
            oracle.price_at(0, chain.now, 5)


rounds = st.tuples(st.integers(0, 3), st.one_of(st.integers(0, 300), st.integers(0, 8_000)))
"""How many malformed ones come first, and the seconds since the last one."""
phases = st.lists(st.tuples(st.integers(0, 9_000), st.lists(rounds, max_size=6)), min_size=1, max_size=4)


def defined(history: list[list[tuple[int, int, int]]], time: int) -> tuple[int, int] | None:
    """From the definition, with everything known: which round answers for `time`, 0 if none, and the price. `history`
    has (id, time, answer) of the good rounds of each phase."""
    running = [phase for phase, rounds in enumerate(history) if any(t <= time for _, t, _ in rounds)]
    if running:
        last = max((r for r in history[running[-1]] if r[1] <= time), key=lambda r: r[0])
        behind = [r for r in history[running[-1]] if r[1] > time][:1]
        later = history[running[-1] + 1 :]
    else:
        last, behind, later = (0, -(10**9), 0), [], history
    behind += [rounds[0] for rounds in later if rounds]
    if not behind:
        return None
    return last[0], last[2] if time - last[1] <= PARAMS.max_age else min(behind, key=lambda r: r[1])[2]


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(phases, st.lists(st.integers(0, 30_000), min_size=1, max_size=3))
def test_price_at_exactly_one_price_is_provable(
    drawn: list[tuple[int, list[tuple[int, int]]]], times: list[int]
) -> None:
    """Over random histories with malformed rounds, silences, empty phases and phases that overlap."""
    history, good, answer = History(), [], 0
    for i, (begun, found) in enumerate(drawn):
        if i:
            history.start_phase()
        good.append([])
        time = begun
        for bad, gap in found:
            for _ in range(bad):
                history.push(BAD, time)
            time += gap
            answer += 1
            good[-1].append((history.push(answer, time), time, answer))
    answer += 1
    good[-1].append((history.push(answer, 10**6), 10**6, answer))
    history.list_market()
    for time in [*times, *(t for rounds in good for _, t, _ in rounds[:2])]:
        expected = defined(good, time)
        assert history.provable(time) == ({} if expected is None else dict([expected]))
