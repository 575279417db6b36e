"""I1, I2, I4 and I13 of the perp path: random trades, times and prices on contracts and twins together."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ballast.chain import Reverted, reverts
from tests.unit.perps.world import BTC, ETH, PERP, WAD, World

SCALE = int(os.environ.get("BALLAST_FUZZ_SCALE", "1"))
REFUSALS = {
    "margin: below initial",
    "perps: below minimum size",
    "perps: base cap",
    "perps: quote cap",
    "inventory: utilization",
    "clearing: insufficient cash",
}
"""What valid input may still be refused for. Both sides always refuse alike: `World.do` asserts it."""

sizes = st.one_of(
    st.integers(-(2_000 * WAD), 2_000 * WAD),
    st.integers(-5, 5).map(lambda n: n * WAD),
    st.integers(-(10**10), 10**10),
    st.sampled_from([1, -1, 10**15, -(10**15)]),
).filter(bool)
steps = st.tuples(
    st.sampled_from(
        ["trade"] * 6 + ["close", "close", "part", "warp", "price", "price", "sync", "forced", "forced", "withdraw"]
    ),
    st.integers(0, 2),
    st.sampled_from([ETH, ETH, BTC]),
    sizes,
    st.integers(1, 10**6),
)


def play(world: World, step: tuple[str, int, int, int, int]) -> None:
    """One action; the last number is a fraction in millionths, a time or a price move."""
    kind, who, market, size, x = step
    trader = world.traders[who]
    held = world.position(trader, market).size
    if kind in ("trade", "leverage"):
        size = size // 30 if market == BTC else size
        if kind == "leverage":  # near what initial margin allows
            notional = max(world.cash(trader), 0) * 9
            size = notional * WAD // world.oracle.last(market).price * (1 if x % 2 else -1)
        if size == 0:
            return
        quoted = None
        try:
            quoted = world.engine.quote(trader, market, size)
            receipt = world.trade(trader, market, size)
        except Reverted as error:
            if error.reason not in REFUSALS:
                raise
            # a strict reduction is accepted always
            if not (held * size > 0 or abs(size) > abs(held)):
                raise
            return
        assert receipt.value == quoted
    elif kind == "close" and held:
        world.close(trader, market)
    elif kind == "part" and held:
        world.trade(trader, market, -(held * x // 10**6) or (-1 if held > 0 else 1))
    elif kind == "warp":
        world.warp(1 + x % 3_000)
        for m in (ETH, BTC):
            world.set_price(m, world.oracle.last(m).price)
    elif kind == "price":
        price = world.oracle.last(market).price
        world.set_price(market, max(price * (85 * 10**4 + x * 3 // 10) // 10**6, WAD))
    elif kind == "sync":
        world.sync(market)
    elif kind == "forced" and held:
        force(world, who, market, held * x // 10**6 or held, x % 4)
    elif kind == "withdraw":
        units = max(world.cash(trader), 0) * x // 10**6 // 10**12
        if units == 0:
            return
        try:
            world.withdraw(trader, units)
        except Reverted as error:
            if error.reason not in REFUSALS:
                raise


def force(world: World, who: int, market: int, part: int, kind: int) -> None:
    """A part of a position is closed for its owner, at the quote or at mark, or moved to one not on the other side."""
    account, taker = world.traders[who], world.traders[(who + 1) % 3]
    if kind == 0:
        quoted = world.engine.quote(account, market, -part)
        assert world.close_for(account, market, -part).value == quoted
    elif kind == 1:
        assert world.deleverage(account, market, -part).value.charge == 0
    elif world.position(taker, market).size * part < 0:
        with reverts("perps: taker is on the other side"):
            world.transfer(account, taker, market, part)
    else:
        world.sync(market)
        risk, reserve = world.inventory.market(market), world.clearinghouse.vault_ledger()[1]
        potential, interest = world.inventory.state().potential, world.engine.accrued(market)
        world.transfer(account, taker, market, part)
        assert (world.inventory.market(market), world.clearinghouse.vault_ledger()[1]) == (risk, reserve)
        assert (world.inventory.state().potential, world.engine.accrued(market)) == (potential, interest)
    state, (_, reserve) = world.inventory.state(), world.clearinghouse.vault_ledger()
    assert state.coverage * state.potential // WAD <= reserve


@pytest.mark.fuzz
@settings(max_examples=100 * SCALE, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sequence=st.lists(steps, min_size=1, max_size=25))
def test_perps_random_sequence_equals_twin(sequence: list[tuple[str, int, int, int, int]]) -> None:
    world = World.build(lp=20_000_000, margin=100_000)
    world.warp(60)
    for step in sequence:
        play(world, step)
        world.check()
    # closing works from wherever the sequence led, and leaves no claim behind
    for market in (ETH, BTC):
        for trader in world.traders:
            if world.position(trader, market).size:
                world.close(trader, market)
        book = world.engine.book(market)
        assert (book.long, book.short, book.claims) == (0, 0, 0)
    world.check()
    assert world.book_value() == 0


@pytest.mark.fuzz
@settings(max_examples=100 * SCALE, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    parts=st.lists(st.integers(-(500 * WAD), 500 * WAD).filter(bool), min_size=1, max_size=6),
    seconds=st.integers(1, 3_000),
    price=st.integers(1_800 * WAD, 2_200 * WAD),
)
def test_perps_value_is_conserved(parts: list[int], seconds: int, price: int) -> None:
    """I4: what traders gain, others lose: cash, LP cash, reserve, fees and insurance keep their sum at any price."""
    world = World.build(margin=10_000_000, perp=replace(PERP, min_size=0))
    world.warp(60)

    def total() -> int:
        buckets = world.clearinghouse.buckets()
        cash = sum(world.cash(account) for account in world.traders)
        return int(cash + buckets.lp + buckets.reserve + buckets.fees + buckets.insurance + buckets.payables)

    before = total()
    for i, size in enumerate(parts):
        world.trade(world.traders[i % 3], ETH, size)
        assert total() == before
    world.warp(seconds)
    world.set_price(ETH, price)
    for trader in world.traders:
        if world.position(trader, ETH).size:
            world.close(trader, ETH)
    assert total() == before


@pytest.mark.fuzz
@settings(max_examples=100 * SCALE, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    size=st.integers(10**15, 900 * WAD),
    fractions=st.lists(st.integers(1, 10**6), min_size=1, max_size=5),
    sign=st.sampled_from([1, -1]),
)
def test_reducing_in_parts_never_realises_more(size: int, fractions: list[int], sign: int) -> None:
    """Rounding is against the trader: at one price, closing in parts realises at most what closing at once does."""
    world = World.build(margin=10_000_000)
    world.warp(60)
    trader = world.traders[0]
    cost = world.trade(trader, ETH, sign * size).value.cost
    world.set_price(ETH, 2_123_456_789_123_456_789_012)
    realised = 0
    for fraction in fractions:
        part = -(world.position(trader).size * fraction // 10**6)
        if part:
            realised += world.trade(trader, ETH, part).value.realised
    if world.position(trader).size:
        realised += world.close(trader, ETH).value.realised
    assert realised <= sign * size * 2_123_456_789_123_456_789_012 // WAD - cost
