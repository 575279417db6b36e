"""Settlement: one price proved by a round, every payoff, any order of accounts, dust to LPs, silences and new feeds."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import astuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ballast.chain import reverts
from ballast.model.exact.fixed import OPTION_BIT
from ballast.model.exact.option_book import LOT, STRIKE_UNIT, board_of, is_put, key_of, strike_of
from ballast.model.exact.oracle import FixedFeed, Round
from tests.unit.options.world import BTC, ETH, FORTNIGHT, OPTIONS, STRIKES, WAD, WEEK, OptionWorld

SCALE = int(os.environ.get("BALLAST_FUZZ_SCALE", "1"))
KEY = key_of(ETH, WEEK)
HOUR = 3_600


def owed(world: OptionWorld, account: str, price: int, key: int = KEY) -> int:
    """What an account's positions on a board come to at a price, by definition; each rounded down [quote, WAD]."""
    total = 0
    for series, lots in world.held(account).items():
        if board_of(series) == key:
            strike = strike_of(series) * STRIKE_UNIT
            total += lots * LOT * max(strike - price if is_put(series) else price - strike, 0) // WAD
    return total


# ── what is paid ──


@pytest.mark.parametrize("price", [1_000, 1_900, 2_000, 2_000.00000001, 2_345.67891234, 5_000])
@pytest.mark.parametrize("name", ["1900C", "2000C", "2400C", "1900P", "2000P", "2400P"])
def test_settle_pays_longs_what_shorts_owe_and_no_more(world: OptionWorld, name: str, price: float) -> None:
    long, short, _ = world.traders
    world.option(long, {name: 7.654321})
    world.option(short, {name: -1.234567})
    world.settle(world.expire(price))
    strike, wad = int(name[:-1]) * WAD, round(price * 10**8) * STRIKE_UNIT
    unit = max(strike - wad if name[-1] == "P" else wad - strike, 0)
    cash = {account: world.cash(account) for account in (long, short)}
    lp, payables = world.clearinghouse.buckets().lp, world.clearinghouse.buckets().payables
    assert payables == -(-(7_654_321 - 1_234_567) * LOT * unit // WAD)
    world.check()
    world.settle_accounts([long, short])
    assert world.cash(long) - cash[long] == 7_654_321 * LOT * unit // WAD
    assert cash[short] - world.cash(short) == -(-1_234_567 * LOT * unit // WAD)
    assert world.clearinghouse.buckets().lp == lp
    world.check()
    dust = world.clearinghouse.buckets().payables
    assert 0 <= dust <= 3
    world.clear()
    buckets = world.clearinghouse.buckets()
    assert (buckets.payables, buckets.lp) == (0, lp + dust)
    world.check()


def test_settle_moves_the_payoff_from_lp_cash_and_takes_the_board_out_of_inventory(world: OptionWorld) -> None:
    world.option(world.traders[0], {"2000C": 100, "1800P": 50})
    world.rest()
    world.option(world.traders[1], {"2200C": -30})
    last = world.expire(2_500)
    lp, reserve = world.clearinghouse.vault_ledger()
    keeper = world.cash(world.stranger)
    receipt = world.settle(last)
    assert receipt.value == 2_500 * WAD
    payoff = 100 * 500 * WAD - 30 * 300 * WAD
    buckets = world.clearinghouse.buckets()
    assert buckets.payables == payoff
    assert buckets.lp + buckets.reserve == lp + reserve - payoff - OPTIONS.reward
    assert world.cash(world.stranger) == keeper + OPTIONS.reward
    stored = world.inventory.market(ETH)
    assert (stored.delta, stored.gamma, stored.vega, list(stored.stress)) == (0, 0, 0, [0] * 8)
    assert world.potential() == 0
    assert world.book.interest(ETH) == 0
    assert WEEK not in world.book.expiries(ETH)
    world.check()


def test_settle_of_an_empty_board_pays_nobody(world: OptionWorld) -> None:
    last = world.expire(2_500)
    before, cash = world.clearinghouse.buckets(), world.cash(world.stranger)
    world.settle(last)
    assert world.clearinghouse.buckets() == before
    assert world.cash(world.stranger) == cash
    world.clear()
    assert world.book.board(ETH, WEEK).strikes == 0
    world.check()


def test_settled_board_can_be_cleared_and_its_place_taken(world: OptionWorld, trader: str) -> None:
    world.option(trader, {"2000C": 3})
    world.settle(world.expire(2_100))
    world.settle_accounts([trader])
    world.clear()
    with reverts("options: not settled"):
        world.clear()
    with reverts("options: not listed"):
        world.settle(world.round_id - 1)
    with reverts("options: not settled"):
        world.settle_accounts([trader])
    world.check()


def test_other_boards_and_markets_are_not_touched(world: OptionWorld, trader: str, other: str) -> None:
    """An account with positions on three boards and a perpetual keeps the others, its marks and its margin."""
    world.option(trader, {"2000C": 3, "2200C": -2})
    for expiry, market, legs in ((FORTNIGHT, ETH, {"2500C": -1}), (WEEK, BTC, {"60000P": -0.5})):
        world.warp(1)
        world.option(trader, legs, expiry, market)
    world.trade(trader, ETH, 5 * WAD)
    world.push(BTC, 60_000, WEEK - 90)
    world.push(ETH, 2_300, WEEK - 60)
    world.push(ETH, 2_300, WEEK + 60)
    btc, later = world.book.board(BTC, WEEK), world.book.board(ETH, FORTNIGHT)
    stored = world.inventory.market(BTC)
    world.settle(world.round_id - 1)
    assert (world.book.board(BTC, WEEK), world.book.board(ETH, FORTNIGHT)) == (btc, later)
    assert world.inventory.market(BTC) == stored
    world.settle_accounts([trader, other])
    assert {board_of(series) for series in world.held(trader)} == {key_of(ETH, FORTNIGHT), key_of(BTC, WEEK)}
    assert world.clearinghouse.account(trader)[1] == 1 << ETH | 0b11 << OPTION_BIT
    world.check()


# ── who comes when ──


LEGS = st.dictionaries(
    st.tuples(st.sampled_from([*STRIKES]), st.sampled_from("CP")).map(lambda x: f"{x[0]}{x[1]}"),
    st.integers(-5_000_000, 5_000_000).filter(lambda size: abs(size) >= 10_000),
    min_size=1,
    max_size=5,
)


@pytest.mark.fuzz
@settings(max_examples=60 * SCALE, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    held=st.tuples(LEGS, LEGS, LEGS),
    price=st.integers(500 * 10**8, 6_000 * 10**8),
    order=st.permutations(range(3)),
    together=st.booleans(),
)
def test_order_of_accounts_and_calls_changes_nothing(
    held: Sequence[dict[str, int]], price: int, order: list[int], together: bool
) -> None:
    """Everybody is paid its payoff to the wei; dust is below one wei for each position and side of a strike."""
    world = OptionWorld.create()
    world.rest()
    for account, legs in zip(world.traders, held, strict=True):
        world.option(account, {name: lots / 10**6 for name, lots in legs.items()})
    world.settle(world.expire(price / 10**8))
    wad = price * STRIKE_UNIT
    expected = {account: world.cash(account) + owed(world, account, wad) for account in world.traders}
    accounts = [world.traders[i] for i in order]
    for batch in [accounts] if together else [[account] for account in accounts]:
        world.settle_accounts(batch)
        world.check()
    assert {account: world.cash(account) for account in world.traders} == expected
    dust = world.book.board(ETH, WEEK).owed
    assert 0 <= dust <= sum(len(legs) for legs in held) + 2 * len(STRIKES)
    world.clear()
    assert world.clearinghouse.buckets().payables == 0
    assert all(world.clearinghouse.account(account)[1] == 0 for account in world.traders)
    world.check()


def test_settle_accounts_takes_anybody_any_number_of_times(world: OptionWorld, trader: str, other: str) -> None:
    world.option(trader, {"2000C": 3})
    world.option(other, {"2000C": -3})
    world.settle(world.expire(2_400))
    cash = world.cash(trader)
    world.settle_accounts([world.stranger, trader, trader, world.governor])
    world.settle_accounts([trader])
    assert world.cash(trader) == cash + 1_200 * WAD
    with reverts("options: accounts left"):
        world.clear()
    world.settle_accounts([other])
    world.settle_accounts([])
    world.clear()
    world.check()


def test_a_long_that_comes_first_is_paid_what_shorts_have_yet_to_bring(world: OptionWorld) -> None:
    long, short, _ = world.traders
    world.option(long, {"2000C": 100})
    world.option(short, {"2000C": -100})
    world.settle(world.expire(2_700))
    assert world.clearinghouse.buckets().payables == 0
    world.settle_accounts([long])
    assert world.clearinghouse.buckets().payables == -70_000 * WAD
    world.check()
    world.settle_accounts([short])
    assert world.clearinghouse.buckets().payables == 0
    world.check()


def test_insolvent_short_costs_insurance_first_and_lps_the_rest(world: OptionWorld, trader: str) -> None:
    world.withdraw(trader, world.cash(trader) // 10**12 - 4_000 * 10**6)
    world.option(trader, {"2000C": -10})
    world.do(
        lambda: world.clearinghouse.fund_insurance.send(500 * 10**6, sender=world.stranger),
        lambda twin: twin.clearinghouse.fund_insurance(500 * 10**6),
    )
    world.settle(world.expire(2_900))
    cash, lp = world.cash(trader), world.clearinghouse.buckets().lp
    assert 0 < cash < 9_000 * WAD
    world.settle_accounts([trader])
    debt = 9_000 * WAD - cash
    buckets = world.clearinghouse.buckets()
    assert world.clearinghouse.account(trader) == (0, 0)
    assert (buckets.insurance, buckets.payables) == (0, 0)
    assert lp - buckets.lp == debt - 500 * WAD
    world.check()


def test_debt_waits_while_the_account_has_other_positions(world: OptionWorld, trader: str) -> None:
    world.withdraw(trader, world.cash(trader) // 10**12 - 6_000 * 10**6)
    world.option(trader, {"2000C": -10})
    world.warp(1)
    world.option(trader, {"2500C": 0.1}, FORTNIGHT)
    world.settle(world.expire(2_900))
    world.settle_accounts([trader])
    cash, mask = world.clearinghouse.account(trader)
    assert cash < 0
    assert mask == 1 << OPTION_BIT + ETH
    world.post(ETH, 0.6)
    world.close_options(trader, ETH, FORTNIGHT)
    assert world.clearinghouse.account(trader) == (0, 0)
    world.check()


def test_withdrawing_works_once_settled(world: OptionWorld, trader: str) -> None:
    """Who is short of an expired option and wants cash settles it first; whoever is long does not wait."""
    world.option(trader, {"2000C": 3})
    world.option(world.traders[1], {"2000C": -3})
    last = world.expire(2_400)
    world.set_price(BTC, 60_000 * WAD)
    world.withdraw(trader, 10**6)
    with reverts("margin: settle first"):
        world.withdraw(world.traders[1], 10**6)
    world.settle(last)
    world.withdraw(world.traders[1], 10**6)
    world.settle_accounts(world.traders)
    for account in world.traders:
        world.withdraw(account, world.cash(account) // 10**12)
        assert world.clearinghouse.account(account)[1] == 0
    world.check()


def test_settled_payoff_counts_before_it_is_paid_out(world: OptionWorld, trader: str) -> None:
    world.option(trader, {"2000C": 3, "2200C": -1})
    last = world.expire(2_400)
    world.settle(last)
    health = world.health(trader)
    assert health.equity == world.cash(trader) + 3 * 400 * WAD - 200 * WAD
    assert (health.initial, health.maintenance) == (0, 0)
    world.settle_accounts([trader])
    assert world.health(trader).equity == health.equity


# ── which price ──


def test_settle_takes_the_last_round_at_or_before_expiry_and_no_other(world: OptionWorld, trader: str) -> None:
    world.option(trader, {"2000C": 3})
    early = world.push(ETH, 2_300, WEEK - 120)
    last = world.push(ETH, 2_310, WEEK)
    with reverts("oracle: no round after"):
        world.settle(last)
    after = world.push(ETH, 2_320, WEEK + 1)
    later = world.push(ETH, 2_330, WEEK + 60)
    for round_id, reason in (
        (early, "oracle: not the last round"),
        (after, "oracle: round is after"),
        (later, "oracle: round is after"),
        (later + 1, "oracle: no such round"),
        (0, "oracle: not the last round"),
    ):
        with reverts(reason):
            world.settle(round_id)
    assert world.settle(last).value == 2_310 * WAD
    world.check()


def test_settle_price_does_not_depend_on_when_or_by_whom(trader: str) -> None:
    prices = []
    for wait in (0, 30 * 86_400):
        world = OptionWorld.create()
        world.option(world.traders[0], {"2000C": 3})
        last = world.expire(2_310, after=2_500)
        world.push(ETH, 2_500, world.now + wait + 1)
        prices.append(world.settle(last).value)
        world.check()
    assert prices == [2_310 * WAD] * 2


def test_settle_is_refused_before_expiry_and_twice(world: OptionWorld, trader: str) -> None:
    world.option(trader, {"2000C": 3})
    last = world.push(ETH, 2_310, WEEK - 1)
    with reverts("options: not expired"):
        world.settle(last)
    with reverts("options: not settled"):
        world.settle_accounts([trader])
    with reverts("options: not settled"):
        world.clear()
    world.push(ETH, 2_400, WEEK + 1)
    world.settle(last)
    for round_id in (last, last + 1):
        with reverts("options: already settled" if round_id == last else "oracle: round is after"):
            world.settle(round_id)
    with reverts("options: expired"):
        world.send(trader, world.orders({"2000C": -3}))
    with reverts("options: expired"):
        world.close_for_options(trader, world.orders({"2000C": -3}))
    with reverts("options: expired"):
        world.transfer_options(trader, world.traders[1], world.orders({"2000C": 3}))
    world.check()


def test_settle_refuses_what_was_never_listed(world: OptionWorld) -> None:
    last = world.expire(2_310)
    for market, expiry, reason in (
        (ETH, WEEK - 86_400, "oracle: round is after"),
        (ETH, WEEK + 1, "options: not listed"),
        (5, WEEK, "options: not listed"),
        (300, WEEK, "options: not listed"),
    ):
        with reverts(reason):
            world.settle(last, market, expiry)
    first = world.push(ETH, 2_300, WEEK + 86_400)
    world.push(ETH, 2_300, WEEK + 86_401)
    with reverts("options: not listed"):
        world.settle(first, ETH, WEEK + 86_400)


@pytest.mark.parametrize(("silence", "expected"), [(HOUR, 2_100), (HOUR + 1, 2_500), (5 * HOUR, 2_500)])
def test_silence_before_expiry_longer_than_max_age_is_settled_at_its_end(
    world: OptionWorld, trader: str, silence: int, expected: int
) -> None:
    """The last round is as old as a mark may be, or the first after counts, when days later it comes."""
    world.option(trader, {"2000C": 3})
    last = world.push(ETH, 2_100, WEEK - silence)
    world.warp(3 * 86_400)
    with reverts("oracle: no round after"):
        world.settle(last)
    world.push(ETH, 2_500, WEEK + 3 * 86_400)
    world.push(ETH, 2_600)
    assert world.settle(last).value == expected * WAD
    world.settle_accounts([trader])
    world.clear()
    world.check()


def test_rounds_that_end_with_the_aggregator_are_settled_by_the_next_phase(world: OptionWorld, trader: str) -> None:
    world.option(trader, {"2000C": 3})
    last = world.push(ETH, 2_310, WEEK - 60)
    world.round_id = 0
    world.push(ETH, 2_320, WEEK + 60, phase=1)
    assert world.settle(last).value == 2_310 * WAD
    world.check()


def test_round_before_expiry_may_be_of_the_new_phase(world: OptionWorld, trader: str) -> None:
    """Two phases: the later one had a round by expiry, which is the last then."""
    world.option(trader, {"2000C": 3})
    old = world.push(ETH, 2_300, WEEK - 600)
    world.round_id = 0
    last = world.push(ETH, 2_310, WEEK - 60, phase=1)
    world.push(ETH, 2_320, WEEK + 60, phase=1)
    with reverts("oracle: not the last round"):
        world.settle(old)
    assert world.settle(last).value == 2_310 * WAD
    world.check()


def test_settle_after_the_feed_was_replaced(world: OptionWorld, trader: str) -> None:
    """The new feed has no round of before; the board is settled by one of its rounds, nobody is stuck."""
    world.option(trader, {"2000C": 3})
    last = world.push(ETH, 2_310, WEEK - 60)
    world.sync(ETH)
    world.warp(120)
    round_ = Round((3 << 64) + 1, 2_320 * WAD, 0, world.now, True)
    feed, world.twin_feeds[ETH] = world.chain.deploy("FeedDouble"), FixedFeed(round_)
    feed.set_round.send(astuple(round_))
    world.do(
        lambda: world.oracle.set_feed.send(ETH, feed, sender=world.governor),
        lambda twin: twin.oracle.set_feed(ETH, world.twin_feeds[ETH], world.now),
    )
    with reverts("oracle: no such round"):
        world.settle(last)
    with reverts("oracle: round is after"):
        world.settle(round_.round_id)
    assert world.settle(0).value == 2_320 * WAD
    world.settle_accounts([trader])
    world.clear()
    world.check()


# ── what waits for it ──


def test_book_is_of_no_use_to_lps_from_expiry_until_accounts_are_settled(world: OptionWorld, trader: str) -> None:
    world.option(trader, {"2000C": 3})
    last = world.push(ETH, 2_000, WEEK - 60)
    world.post(ETH, 0.6)
    world.refresh()
    assert world.book.book_value(world.prices())[2]
    world.push(ETH, 2_000, WEEK)
    assert not world.book.book_value(world.prices())[2]
    world.push(ETH, 2_000)
    world.settle(world.round_id - 1)
    assert tuple(world.book.book_value(world.prices())) == (0, 0, False)  # somebody may not be able to pay
    world.settle_accounts([trader])
    assert tuple(world.book.book_value(world.prices())) == (0, 0, True)
    assert last < world.round_id


def test_many_small_batches_of_accounts(world: OptionWorld) -> None:
    """Sixteen legs each, one account per call."""
    names = [f"{strike}{right}" for strike in STRIKES[:8] for right in "CP"]
    for i, account in enumerate(world.traders):
        for half in (names[:8], names[8:]):
            world.option(account, {name: (i - 1 or 2) * (0.5 + j / 7) for j, name in enumerate(half)})
    world.settle(world.expire(2_123.456))
    for account in world.traders:
        expected = world.cash(account) + owed(world, account, 2_123_456 * WAD // 1_000)
        world.settle_accounts([account])
        assert world.cash(account) == expected
        assert world.held(account) == {}
    world.clear()
    world.check()
