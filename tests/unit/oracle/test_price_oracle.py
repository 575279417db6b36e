"""PriceOracle: which rounds are recorded, when a mark is fresh, who may change what."""

from __future__ import annotations

from dataclasses import astuple, fields, replace
from typing import Any

import pytest

from ballast.chain import Contract, RevmChain, reverts
from ballast.model.exact import fixed
from ballast.model.exact import oracle as exact
from ballast.model.exact.oracle import Mark, Params, Round

WAD = 10**18
PRICE = 2_000 * WAD
PARAMS = Params()


def publish(feed: Contract, round_id: int, price: int, updated_at: int, half_width: int = 0, ok: bool = True) -> None:
    feed.set_round.send(astuple(Round(round_id, price, half_width, updated_at, ok)))


def words(oracle: Contract) -> list[int]:
    """Every storage word of the contract, markets and all."""
    return [oracle.chain.storage(oracle.address, slot) for slot in range(100)]


def agreed(oracle: Contract, market: int = 0) -> Mark:
    """Sync, having checked that peek said the same before and says the same after."""
    before = Mark(*oracle.peek(market))
    synced = Mark(*oracle.sync.send(market).value)
    assert before == synced
    assert Mark(*oracle.peek(market)) == synced
    return synced


# ── list_market ──


def test_list_market_records_the_first_round_and_seeds_sigma(chain: RevmChain, oracle: Contract) -> None:
    expected = Mark(PRICE, PARAMS.initial_sigma, 0, 1, chain.now, 0, True)
    assert Mark(*oracle.last(0)) == expected
    assert Mark(*oracle.peek(0)) == expected
    seed_24 = 36 * 10**22
    assert tuple(oracle.estimate(0)) == (seed_24, seed_24, PARAMS.initial_sigma)
    assert oracle.market_count() == 1


def test_list_market_logs(chain: RevmChain, empty_oracle: Contract, feed: Contract, setup: str) -> None:
    receipt = empty_oracle.list_market.send(feed, astuple(PARAMS), sender=setup)
    assert receipt.value == 0
    listed = receipt.one("MarketListed")
    assert (listed.market, listed.feed, tuple(listed.params)) == (0, feed.address, astuple(PARAMS))
    accepted = receipt.one("RoundAccepted")
    assert tuple(accepted) == (0, 1, PRICE, PARAMS.initial_sigma, chain.now)


def test_list_market_stores_its_parameters(oracle: Contract, feed: Contract) -> None:
    assert tuple(oracle.config(0)) == (feed.address, PARAMS.max_age, False, False)
    assert tuple(oracle.tuning(0)) == (
        PARAMS.half_life_fast, PARAMS.half_life_slow, PARAMS.sigma_floor, PARAMS.sigma_cap, PARAMS.return_clip,
    )  # fmt: skip


def test_list_market_governor_may_too(empty_oracle: Contract, feed: Contract, governor: str) -> None:
    assert empty_oracle.list_market.send(feed, astuple(PARAMS), sender=governor).value == 0


def test_list_market_old_round_is_listed_but_not_fresh(
    chain: RevmChain, empty_oracle: Contract, feed: Contract, setup: str
) -> None:
    chain.warp(PARAMS.max_age + 1)
    empty_oracle.list_market.send(feed, astuple(PARAMS), sender=setup)
    assert not agreed(empty_oracle).fresh


def test_list_market_sixteen_and_no_more(empty_oracle: Contract, feed: Contract, setup: str) -> None:
    for index in range(16):
        assert empty_oracle.list_market.send(feed, astuple(PARAMS), sender=setup).value == index
    with reverts("oracle: too many markets"):
        empty_oracle.list_market.send(feed, astuple(PARAMS), sender=setup)
    assert agreed(empty_oracle, 15).price == PRICE


@pytest.mark.parametrize("who", ["guardian", "stranger"])
def test_list_market_unauthorised_reverts(
    empty_oracle: Contract, feed: Contract, who: str, request: pytest.FixtureRequest
) -> None:
    with reverts("roles: not allowed"):
        empty_oracle.list_market.send(feed, astuple(PARAMS), sender=request.getfixturevalue(who))


def test_list_market_after_setup_renounced_reverts(empty_oracle: Contract, feed: Contract, setup: str) -> None:
    empty_oracle.renounce_setup.send(sender=setup)
    with reverts("roles: not allowed"):
        empty_oracle.list_market.send(feed, astuple(PARAMS), sender=setup)


def test_list_market_without_a_good_round_reverts(
    chain: RevmChain, empty_oracle: Contract, feed: Contract, setup: str
) -> None:
    publish(feed, 1, PRICE, chain.now, ok=False)
    for broken in (feed, chain.accounts[7]):
        with reverts("oracle: feed has no good round"):
            empty_oracle.list_market.send(broken, astuple(PARAMS), sender=setup)


OUT_OF_BOUNDS = [
    ("max_age", 9, "oracle: age out of bounds"),
    ("max_age", 26 * 3_600 + 1, "oracle: age out of bounds"),
    ("max_age", 2**256 - 1, "oracle: age out of bounds"),
    ("half_life_fast", 59, "oracle: half-life out of bounds"),
    ("half_life_fast", PARAMS.half_life_slow + 1, "oracle: half-life out of bounds"),
    ("half_life_slow", PARAMS.half_life_fast - 1, "oracle: half-life out of bounds"),
    ("half_life_slow", 90 * 86_400 + 1, "oracle: half-life out of bounds"),
    ("sigma_floor", 10**16 - 1, "oracle: sigma out of bounds"),
    ("sigma_floor", PARAMS.initial_sigma + 1, "oracle: sigma out of bounds"),
    ("sigma_cap", PARAMS.initial_sigma - 1, "oracle: sigma out of bounds"),
    ("sigma_cap", 9 * WAD + 1, "oracle: sigma out of bounds"),
    ("initial_sigma", 0, "oracle: sigma out of bounds"),
    ("initial_sigma", 2**256 - 1, "oracle: sigma out of bounds"),
    ("return_clip", 10**16 - 1, "oracle: clip out of bounds"),
    ("return_clip", WAD + 1, "oracle: clip out of bounds"),
]


@pytest.mark.parametrize(("name", "number", "reason"), OUT_OF_BOUNDS)
def test_params_outside_bounds_revert(
    oracle: Contract, feed: Contract, governor: str, name: str, number: int, reason: str
) -> None:
    params = astuple(replace(PARAMS, **{name: number}))
    with reverts(reason):
        oracle.list_market.send(feed, params, sender=governor)
    with reverts(reason):
        oracle.set_params.send(0, params, sender=governor)
    twin = exact.PriceOracle()
    with pytest.raises(fixed.Reverted, match=reason):
        twin.list_market(exact.FixedFeed(), exact.Params(*params), 1)


LIMITS = [
    Params(10, 60, 60, 10**16, 10**16, 10**16, 10**16, True),
    Params(26 * 3_600, 90 * 86_400, 90 * 86_400, 9 * WAD, 9 * WAD, WAD, 9 * WAD, True),
    # lowest bits set
    Params(65_535, 2**22 - 1, 2**22 + 1, 10**16 + 1, 8 * WAD + 1, WAD - 1, 3 * WAD + 1, True),
]


@pytest.mark.parametrize("params", LIMITS)
def test_params_at_their_bounds_are_kept(oracle: Contract, feed: Contract, governor: str, params: Params) -> None:
    market = oracle.list_market.send(feed, astuple(params), sender=governor).value
    assert tuple(oracle.config(market)) == (feed.address, params.max_age, True, False)
    assert tuple(oracle.tuning(market)) == astuple(params)[1:6]
    assert agreed(oracle, market).sigma == params.initial_sigma


# ── sync ──


def test_sync_new_round_is_recorded(chain: RevmChain, oracle: Contract, feed: Contract) -> None:
    listed_at = chain.now
    chain.warp(60)
    publish(feed, 2, 2_010 * WAD, chain.now)
    expected = Mark(2_010 * WAD, 711_364_628_086_626_995, 0, 2, chain.now, listed_at, True)
    assert Mark(*oracle.peek(0)) == expected
    receipt = oracle.sync.send(0)
    assert Mark(*receipt.value) == expected
    assert tuple(receipt.one("RoundAccepted")) == (0, 2, 2_010 * WAD, expected.sigma, chain.now)
    assert Mark(*oracle.last(0)) == expected


def test_sync_same_round_writes_and_logs_nothing(chain: RevmChain, oracle: Contract, feed: Contract) -> None:
    chain.warp(60)
    publish(feed, 2, 2_010 * WAD, chain.now)
    oracle.sync.send(0)
    before = words(oracle)
    assert any(before)
    chain.warp(60)
    receipt = oracle.sync.send(0)
    assert receipt.logs == []
    assert words(oracle) == before


@pytest.mark.parametrize(
    ("round_id", "age"),
    [(1, 0), (0, 0), (2, 60), (2, 61), (0, 61), (2**80 - 1, 60)],
    ids=["same_id", "older_id", "same_time", "older_time", "older", "same_time_largest_id"],
)
def test_sync_round_not_strictly_newer_is_not_recorded(
    chain: RevmChain, oracle: Contract, feed: Contract, round_id: int, age: int
) -> None:
    chain.warp(60)
    publish(feed, round_id, 3_000 * WAD, chain.now - age)
    before = words(oracle)
    mark = agreed(oracle)
    assert (mark.price, mark.round_id, mark.fresh) == (PRICE, 1, True)
    assert words(oracle) == before


BAD_ROUNDS: list[dict[str, Any]] = [
    {"ok": False},
    {"price": 0},
    {"price": 2**96},
    {"price": 2**256 - 1},
    {"half_width": 2**96},
    {"round_id": 2**80},
    {"round_id": 2**256 - 1},
    {"updated_at": 0},
    {"updated_at": 2**40},
    {"updated_at": 2**256 - 1},
]


@pytest.mark.parametrize("flaw", BAD_ROUNDS, ids=str)
@pytest.mark.parametrize("market", [0, 1])
def test_sync_bad_round_keeps_the_mark_but_not_fresh(
    chain: RevmChain, oracle: Contract, feed: Contract, governor: str, flaw: dict[str, Any], market: int
) -> None:
    oracle.list_market.send(feed, astuple(replace(PARAMS, has_half_width=True)), sender=governor)
    listed = Mark(*oracle.last(market))
    chain.warp(60)
    publish(feed, **({"round_id": 2, "price": 3_000 * WAD, "updated_at": chain.now} | flaw))
    assert agreed(oracle, market) == replace(listed, fresh=False)
    assert Mark(*oracle.last(market)) == listed


def test_sync_future_round_is_not_recorded_until_its_time(chain: RevmChain, oracle: Contract, feed: Contract) -> None:
    publish(feed, 2, 2_010 * WAD, chain.now + 1)
    mark = agreed(oracle)
    assert (mark.round_id, mark.price, mark.fresh) == (1, PRICE, False)
    chain.warp(1)
    mark = agreed(oracle)
    assert (mark.round_id, mark.fresh) == (2, True)


def test_sync_largest_round_fits_its_word(chain: RevmChain, oracle: Contract, feed: Contract) -> None:
    chain.warp(60)
    publish(feed, 2**80 - 1, 2**96 - 1, chain.now)
    mark = agreed(oracle)
    assert (mark.price, mark.round_id, mark.updated_at, mark.fresh) == (2**96 - 1, 2**80 - 1, chain.now, True)
    assert Mark(*oracle.last(0)) == mark


def test_sync_mark_ages_past_max_age(chain: RevmChain, oracle: Contract) -> None:
    chain.warp(PARAMS.max_age)
    assert agreed(oracle).fresh
    assert oracle.last(0).fresh
    chain.warp(1)
    assert not agreed(oracle).fresh
    assert not oracle.last(0).fresh


def test_sync_missed_rounds_count_as_one_return(chain: RevmChain, oracle: Contract, feed: Contract) -> None:
    """Only what is recorded counts: nobody has to sync every round, and the skipped time is accounted for."""
    chain.warp(60)
    publish(feed, 2, 2_100 * WAD, chain.now)
    chain.warp(60)
    publish(feed, 3, 2_000 * WAD, chain.now)
    agreed(oracle)
    kept = exact.ONE_27 - exact.forgetting(120, PARAMS.half_life_fast)
    assert oracle.estimate(0).fast_24 == -(-36 * 10**22 * kept // exact.ONE_27)


@pytest.mark.parametrize(("percent", "clipped"), [(119, False), (130, True), (60, True), (1_000, True)])
def test_sync_return_is_clipped(
    chain: RevmChain, oracle: Contract, feed: Contract, percent: int, clipped: bool
) -> None:
    chain.warp(60)
    publish(feed, 2, PRICE * percent // 100, chain.now)
    agreed(oracle)
    clipped_24 = exact.sample(PARAMS.return_clip, 60)
    at_clip = exact.blend(36 * 10**22, clipped_24, exact.forgetting(60, PARAMS.half_life_fast))
    assert (oracle.estimate(0).fast_24 == at_clip) == clipped
    assert oracle.estimate(0).fast_24 <= at_clip


def test_sync_sigma_falls_to_the_floor_and_rises_to_the_cap(chain: RevmChain, oracle: Contract, feed: Contract) -> None:
    for round_id in range(2, 30):
        chain.warp(30 * 86_400)
        publish(feed, round_id, PRICE, chain.now)
        agreed(oracle)
    assert oracle.last(0).sigma == PARAMS.sigma_floor
    for round_id in range(30, 60):
        chain.warp(60)
        publish(feed, round_id, PRICE * (1 + round_id % 2), chain.now)
        agreed(oracle)
    assert oracle.last(0).sigma == PARAMS.sigma_cap


def test_sync_fast_estimate_leads_up_slow_estimate_holds(chain: RevmChain, oracle: Contract, feed: Contract) -> None:
    chain.warp(60)
    publish(feed, 2, PRICE * 105 // 100, chain.now)
    after_jump = agreed(oracle).sigma
    fast, slow, _ = oracle.estimate(0)
    assert fast > slow > 36 * 10**22
    assert after_jump == exact.volatility(fast, 0, 0, 10**19)
    chain.warp(86_400)
    publish(feed, 3, PRICE * 105 // 100, chain.now)
    calm = agreed(oracle).sigma
    fast, slow, _ = oracle.estimate(0)
    assert slow > fast
    assert calm == exact.volatility(0, slow, 0, 10**19)


# ── half width ──


def test_half_width_is_kept_only_where_the_feed_has_one(
    chain: RevmChain, oracle: Contract, feed: Contract, governor: str
) -> None:
    oracle.list_market.send(feed, astuple(replace(PARAMS, has_half_width=True)), sender=governor)
    chain.warp(60)
    publish(feed, 2, 2_010 * WAD, chain.now, half_width=3 * WAD)
    assert agreed(oracle, 0).half_width == 0
    assert agreed(oracle, 1).half_width == 3 * WAD
    assert oracle.last(1).half_width == 3 * WAD


def test_half_width_of_any_price_fits_its_word(
    chain: RevmChain, oracle: Contract, feed: Contract, governor: str
) -> None:
    oracle.list_market.send(feed, astuple(replace(PARAMS, has_half_width=True)), sender=governor)
    chain.warp(60)
    publish(feed, 2, PRICE, chain.now, half_width=2**96 - 1)
    assert agreed(oracle, 1).half_width == 2**96 - 1
    assert (oracle.last(1).half_width, oracle.last(1).round_id) == (2**96 - 1, 2)


def test_half_width_belongs_to_the_recorded_round(
    chain: RevmChain, empty_oracle: Contract, feed: Contract, governor: str
) -> None:
    publish(feed, 1, PRICE, chain.now, half_width=2 * WAD)
    empty_oracle.list_market.send(feed, astuple(replace(PARAMS, has_half_width=True)), sender=governor)
    publish(feed, 1, PRICE, chain.now, half_width=9 * WAD)
    assert agreed(empty_oracle).half_width == 2 * WAD


def test_half_width_switched_on_again_does_not_show_an_old_one(
    chain: RevmChain, empty_oracle: Contract, feed: Contract, governor: str
) -> None:
    wide = replace(PARAMS, has_half_width=True)
    publish(feed, 1, PRICE, chain.now, half_width=2 * WAD)
    empty_oracle.list_market.send(feed, astuple(wide), sender=governor)
    empty_oracle.set_params.send(0, astuple(PARAMS), sender=governor)
    assert agreed(empty_oracle).half_width == 0
    empty_oracle.set_params.send(0, astuple(wide), sender=governor)
    assert agreed(empty_oracle).half_width == 0


# ── hostile feeds ──


@pytest.mark.parametrize(
    ("mode", "payload"),
    [
        (1, b""),
        (1, b"\xff" * 200),
        (2, b""),
        (0, b""),
        (0, b"\x00" * 159),
        (0, b"\xff" * 160),
        (0, b"\xff" * 320),
        (0, b"".join(n.to_bytes(32, "big") for n in (2, PRICE, 0, 1, 2))),
    ],
    ids=["revert", "revert_data", "burn", "empty", "byte_short", "ones", "long", "bool_two"],
)
def test_sync_hostile_feed_cannot_revert_it(
    chain: RevmChain, empty_oracle: Contract, governor: str, mode: int, payload: bytes
) -> None:
    good = b"".join(n.to_bytes(32, "big") for n in (1, PRICE, 0, chain.now, 1))
    hostile = chain.deploy("RawResponder")
    hostile.set_response.send(0, good)
    empty_oracle.list_market.send(hostile, astuple(PARAMS), sender=governor)
    assert agreed(empty_oracle).fresh
    hostile.set_response.send(mode, payload)
    mark = agreed(empty_oracle)
    assert (mark.price, mark.fresh) == (PRICE, False)
    assert empty_oracle.sync.send(0, gas=600_000).gas_used < 500_000


# ── not listed ──


@pytest.mark.parametrize("market", [1, 15, 16, 2**256 - 1])
@pytest.mark.parametrize("fn", ["sync", "peek", "last", "config", "tuning", "estimate", "outage"])
def test_any_view_of_an_unlisted_market_reverts(oracle: Contract, fn: str, market: int) -> None:
    with reverts("oracle: not listed"):
        oracle.call(fn, market)


def test_any_setter_of_an_unlisted_market_reverts(oracle: Contract, feed: Contract, governor: str) -> None:
    for fn, args in (
        ("set_params", (1, astuple(PARAMS))), ("set_feed", (1, feed)), ("halt", (1,)), ("resume", (16,)),
    ):  # fmt: skip
        with reverts("oracle: not listed"):
            oracle.send(fn, *args, sender=governor)


# ── halt ──


def test_halt_by_governor_ends_freshness_but_not_recording(
    chain: RevmChain, oracle: Contract, feed: Contract, governor: str
) -> None:
    receipt = oracle.halt.send(0, sender=governor)
    assert tuple(receipt.one("HaltSet")) == (0, True, governor)
    assert oracle.config(0).halted
    chain.warp(60)
    publish(feed, 2, 2_010 * WAD, chain.now)
    mark = agreed(oracle)
    assert (mark.price, mark.fresh) == (2_010 * WAD, False)
    assert not oracle.last(0).fresh


def test_resume_by_governor_ends_the_halt(oracle: Contract, governor: str) -> None:
    before = words(oracle)
    oracle.halt.send(0, sender=governor)
    receipt = oracle.resume.send(0, sender=governor)
    assert tuple(receipt.one("HaltSet")) == (0, False, governor)
    assert agreed(oracle).fresh
    assert words(oracle) == before


@pytest.mark.parametrize(
    ("fn", "who"),
    [
        ("halt", "guardian"),
        ("halt", "setup"),
        ("halt", "stranger"),
        ("resume", "guardian"),
        ("resume", "setup"),
        ("resume", "stranger"),
    ],
)
def test_halt_and_resume_unauthorised_revert(
    oracle: Contract, fn: str, who: str, request: pytest.FixtureRequest
) -> None:
    with reverts("roles: not allowed"):
        oracle.send(fn, 0, sender=request.getfixturevalue(who))


# ── set_params ──


def test_set_params_moves_sigma_inside_the_new_bounds_at_once(oracle: Contract, setup: str) -> None:
    params = replace(PARAMS, sigma_floor=80 * 10**16, initial_sigma=90 * 10**16, max_age=7_200)
    receipt = oracle.set_params.send(0, astuple(params), sender=setup)
    logged = receipt.one("ParamsSet")
    assert (logged.market, tuple(logged.params), logged.sigma) == (0, astuple(params), 80 * 10**16)
    assert oracle.last(0).sigma == 80 * 10**16
    assert oracle.config(0).max_age == 7_200
    seed_24 = 36 * 10**22
    assert tuple(oracle.estimate(0)) == (seed_24, seed_24, 80 * 10**16)
    oracle.set_params.send(0, astuple(PARAMS), sender=setup)
    assert oracle.last(0).sigma == PARAMS.initial_sigma


def test_set_params_stores_the_tuning(oracle: Contract, setup: str) -> None:
    params = replace(
        PARAMS,
        half_life_fast=PARAMS.half_life_fast + 1, half_life_slow=PARAMS.half_life_slow + 2,
        sigma_floor=PARAMS.sigma_floor + 3, sigma_cap=PARAMS.sigma_cap - 4, return_clip=PARAMS.return_clip - 5,
    )  # fmt: skip
    oracle.set_params.send(0, astuple(params), sender=setup)
    assert tuple(oracle.tuning(0)) == (
        params.half_life_fast, params.half_life_slow, params.sigma_floor, params.sigma_cap, params.return_clip,
    )  # fmt: skip


def test_set_params_keeps_a_halt(oracle: Contract, governor: str) -> None:
    oracle.halt.send(0, sender=governor)
    oracle.set_params.send(0, astuple(PARAMS), sender=governor)
    assert not agreed(oracle).fresh


@pytest.mark.parametrize("who", ["guardian", "stranger"])
def test_set_params_unauthorised_reverts(oracle: Contract, who: str, request: pytest.FixtureRequest) -> None:
    with reverts("roles: not allowed"):
        oracle.set_params.send(0, astuple(PARAMS), sender=request.getfixturevalue(who))


# ── set_feed ──


def test_set_feed_records_the_new_feeds_round_whatever_its_id(
    chain: RevmChain, oracle: Contract, feed: Contract, governor: str
) -> None:
    chain.warp(60)
    publish(feed, 1_000, PRICE, chain.now)
    oracle.sync.send(0)
    chain.warp(60)
    successor = chain.deploy("FeedDouble")
    publish(successor, 7, 2_010 * WAD, chain.now)
    receipt = oracle.set_feed.send(0, successor, sender=governor)
    assert tuple(receipt.one("FeedSet")) == (0, successor.address, feed.address)
    assert receipt.one("RoundAccepted").round_id == 7
    mark = agreed(oracle)
    assert (mark.price, mark.round_id, mark.prev_updated_at, mark.fresh) == (
        2_010 * WAD, 7, chain.now - 60, True,
    )  # fmt: skip


def test_set_feed_round_not_newer_reverts(chain: RevmChain, oracle: Contract, governor: str) -> None:
    successor = chain.deploy("FeedDouble")
    publish(successor, 7, PRICE, chain.now)
    with reverts("oracle: round is not newer"):
        oracle.set_feed.send(0, successor, sender=governor)


def test_set_feed_without_a_good_round_reverts(chain: RevmChain, oracle: Contract, governor: str) -> None:
    with reverts("oracle: feed has no good round"):
        oracle.set_feed.send(0, chain.accounts[7], sender=governor)


@pytest.mark.parametrize("percent", [95, 105])
def test_set_feed_cannot_reprice_a_living_market(
    chain: RevmChain, oracle: Contract, governor: str, guardian: str, percent: int
) -> None:
    chain.warp(60)
    successor = chain.deploy("FeedDouble")
    limit = PRICE * percent // 100
    publish(successor, 7, limit + (1 if percent > 100 else -1), chain.now)
    with reverts("oracle: feed disagrees"):
        oracle.set_feed.send(0, successor, sender=governor)
    oracle.halt.send(0, sender=governor)  # a halt does not open the door
    with reverts("oracle: feed disagrees"):
        oracle.set_feed.send(0, successor, sender=governor)
    publish(successor, 7, limit, chain.now)
    oracle.set_feed.send(0, successor, sender=governor)
    assert oracle.last(0).price == limit


def test_set_feed_after_the_old_one_died_takes_any_price(chain: RevmChain, oracle: Contract, governor: str) -> None:
    chain.warp(PARAMS.max_age)
    successor = chain.deploy("FeedDouble")
    publish(successor, 7, PRICE // 2, chain.now)
    with reverts("oracle: feed disagrees"):
        oracle.set_feed.send(0, successor, sender=governor)
    chain.warp(1)
    oracle.set_feed.send(0, successor, sender=governor)
    mark = agreed(oracle)
    assert (mark.price, mark.fresh) == (PRICE // 2, True)


@pytest.mark.parametrize("who", ["setup", "guardian", "stranger"])
def test_set_feed_unauthorised_reverts(
    oracle: Contract, feed: Contract, who: str, request: pytest.FixtureRequest
) -> None:
    with reverts("roles: not allowed"):
        oracle.set_feed.send(0, feed, sender=request.getfixturevalue(who))


# ── the words do not overlap ──


def test_markets_do_not_touch_each_other(
    chain: RevmChain, empty_oracle: Contract, governor: str, guardian: str
) -> None:
    feeds = []
    for index in range(16):
        feed = chain.deploy("FeedDouble")
        publish(feed, index + 1, (index + 1) * WAD, chain.now - index)
        params = replace(PARAMS, max_age=1_000 + index, initial_sigma=(20 + index) * 10**16)
        empty_oracle.list_market.send(feed, astuple(params), sender=governor)
        feeds.append(feed)
    before = [Mark(*empty_oracle.last(index)) for index in range(16)]
    empty_oracle.halt.send(7, sender=governor)
    chain.warp(1)
    publish(feeds[3], 100, 5 * WAD, chain.now)
    empty_oracle.sync.send(3)
    for index, mark in enumerate(before):
        assert (mark.price, mark.sigma) == ((index + 1) * WAD, (20 + index) * 10**16)
        if index not in (3, 7):
            assert Mark(*empty_oracle.last(index)) == mark
    assert empty_oracle.last(3).price == 5 * WAD
    assert Mark(*empty_oracle.last(7)) == replace(before[7], fresh=False)


def test_structs_mirror_the_interface(oracle: Contract) -> None:
    """The twin's fields are the ABI's, in order."""

    def members(fn: str, argument: int | None = None) -> list[str]:
        entry = next(e for e in oracle.artifact.abi if e.get("name") == fn)
        item = entry["outputs"][0] if argument is None else entry["inputs"][argument]
        return [c["name"] for c in item["components"]]

    assert members("peek") == [f.name for f in fields(Mark)]
    assert members("list_market", 1) == [f.name for f in fields(Params)]
    assert members("estimate") == [f.name for f in fields(exact.Estimate)]


# ── outage ──


def test_outage_of_a_feed_that_stopped_counts_from_when_its_round_grew_too_old(
    chain: RevmChain, oracle: Contract, feed: Contract
) -> None:
    chain.warp(PARAMS.max_age)
    assert oracle.outage(0) == 0
    chain.warp(1)
    assert oracle.outage(0) == 1
    chain.warp(86_399)
    assert oracle.outage(0) == 86_400
    publish(feed, 2, PRICE, chain.now)
    assert oracle.outage(0) == 0


def test_outage_of_a_feed_that_answers_nothing_does_not_count_while_its_round_is_young(
    chain: RevmChain, oracle: Contract, feed: Contract
) -> None:
    publish(feed, 1, PRICE, chain.now, ok=False)
    assert not oracle.peek(0).fresh
    assert oracle.outage(0) == 0
    chain.warp(PARAMS.max_age + 10)
    assert oracle.outage(0) == 10


def test_outage_counts_from_a_newer_round_that_nobody_recorded(
    chain: RevmChain, oracle: Contract, feed: Contract
) -> None:
    chain.warp(86_400)
    publish(feed, 2, PRICE, chain.now)
    chain.warp(PARAMS.max_age + 5)
    assert oracle.outage(0) == 5


def test_outage_of_a_halted_market_counts_from_the_halt(
    chain: RevmChain, oracle: Contract, feed: Contract, governor: str
) -> None:
    chain.warp(60)
    oracle.halt.send(0, sender=governor)
    for _ in range(3):
        chain.warp(1_000)
        publish(feed, chain.now, PRICE, chain.now)
        oracle.halt.send(0, sender=governor)  # changes nothing
    assert oracle.outage(0) == 3_000
    oracle.resume.send(0, sender=governor)
    assert oracle.outage(0) == 0
    oracle.halt.send(0, sender=governor)
    assert oracle.outage(0) == 0


def test_outage_is_not_ended_by_a_halt(chain: RevmChain, oracle: Contract, governor: str) -> None:
    chain.warp(PARAMS.max_age + 50_000)
    oracle.halt.send(0, sender=governor)
    assert oracle.outage(0) == 50_000


def test_outage_does_not_answer_without_the_gas_that_a_feed_may_need(oracle: Contract) -> None:
    with reverts("oracle: gas for a proof"):
        oracle.send("outage", 0, gas=400_000)


def test_params_are_what_set_params_takes_and_changes_nothing_by(oracle: Contract, setup: str) -> None:
    """But for the initial sigma, which is not kept."""
    wanted = Params(max_age=900, sigma_floor=20 * 10**16, has_half_width=True)
    oracle.set_params.send(0, astuple(wanted), sender=setup)
    found = tuple(oracle.params(0))
    assert found == astuple(replace(wanted, initial_sigma=wanted.sigma_floor))
    oracle.set_params.send(0, found, sender=setup)
    assert tuple(oracle.params(0)) == found
    with reverts("oracle: not listed"):
        oracle.params(1)
