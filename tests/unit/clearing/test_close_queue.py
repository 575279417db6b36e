"""CloseQueue and its twin: who may ask for what and when, and what is carried out, at which price and for which fee."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any

import pytest

from ballast.chain import Contract, Receipt, reverts
from ballast.model.exact.close_queue import CloseQueue
from ballast.model.exact.option_book import LOT, Order
from ballast.model.exact.system import System
from ballast.model.roles import Role
from tests.unit.clearing.world import BTC, ETH, FORTNIGHT, WAD, WEEK, LiquidationWorld

FEE = 3 * WAD // 2
SIZE = 10 * WAD


@dataclass(slots=True)
class QueueWorld(LiquidationWorld):
    """The world of liquidations and a CloseQueue: one trader is long of ETH, one short, both have options."""

    queue: Contract = field(init=False)

    @classmethod
    def create(cls, **build: Any) -> QueueWorld:
        world = super(QueueWorld, cls).create(**build)
        assert isinstance(world, QueueWorld)
        world.queue = world.chain.deploy(
            "CloseQueue", world.clearinghouse, world.engine, world.options, world.book, world.oracle, FEE
        )
        for contract in (world.clearinghouse, world.engine, world.options):
            contract.grant_role.send(world.queue, Role.CLOSER)
        queue(world.twin).fee = FEE
        world.trade(world.long, ETH, SIZE)
        world.trade(world.short, ETH, -SIZE)
        world.option(world.long, {"2000C": 5, "1800P": 4, "2200C": -2})
        world.rest()
        return world

    @property
    def long(self) -> str:
        return self.traders[0]

    @property
    def short(self) -> str:
        return self.traders[1]

    def end(self, price: int = 2_100 * WAD) -> None:
        """Rounds of both markets, not recorded."""
        self.push_price(BTC, 60_000 * WAD)
        self.push_price(ETH, price)

    def stale(self) -> None:
        """Nobody has told a price for an hour and a second."""
        self.warp(3_601)

    # ── both sides ──

    def act(self, fn: str, sender: str, *arguments: Any) -> Receipt:
        """Send; the twin does the same with the sender first."""
        plain = [[astuple(order) for order in x] if isinstance(x, list) else x for x in arguments]
        return self.do(
            lambda: self.queue.send(fn, *plain, sender=sender),
            lambda twin: getattr(queue(twin), fn)(sender, *arguments, self.now),
        )

    def carry_out(self, fn: str, account: str, market: int = ETH, by: str = "") -> Receipt:
        executor = by or self.liquidator
        return self.do(
            lambda: self.queue.send(fn, account, market, sender=executor),
            lambda twin: getattr(queue(twin), fn)(account, market, executor, self.now),
        )

    def perp_request(self, account: str, market: int = ETH) -> tuple[int, int, int]:
        """The same from contract and twin."""
        request: tuple[int, int, int] = tuple(self.queue.perp_request(account, market))
        assert request == astuple(queue(self.twin).perp_request(account, market))
        return request

    def options_request(self, account: str, market: int = ETH) -> Sequence[Order]:
        """The orders, the same from contract and twin."""
        request, twin = self.queue.options_request(account, market), queue(self.twin).options_request(account, market)
        orders = [Order(*order) for order in request.orders]
        assert (tuple(orders), request.round_time) == (twin.orders, twin.round_time)
        return orders


def queue(twin: System) -> CloseQueue:
    assert twin.close_queue is not None
    return twin.close_queue


@pytest.fixture(scope="module")
def built() -> QueueWorld:
    return QueueWorld.create()


@pytest.fixture
def world(built: QueueWorld) -> Iterator[QueueWorld]:
    """A minute after the last round; what a test does is undone."""
    with built.undone():
        yield built
        built.check()


@pytest.fixture
def stale(world: QueueWorld) -> QueueWorld:
    world.stale()
    return world


def test_request_perp_is_kept_until_a_later_one_takes_its_place(stale: QueueWorld) -> None:
    world = stale
    last = world.oracle.last(ETH).updated_at
    for size in (-SIZE, -3 * WAD):
        event = world.act("request_perp", world.long, ETH, size).one("PerpRequested")
        assert tuple(event) == (world.long, ETH, size, last)
        assert world.perp_request(world.long) == (size, last, world.now + 3 * 86_400)
    world.act("request_perp", world.short, ETH, SIZE)
    assert world.perp_request(world.short)[0] == SIZE
    assert world.perp_request(world.long, BTC) == (0, 0, 0)


def test_request_options_is_kept_until_a_later_one_takes_its_place(stale: QueueWorld) -> None:
    world = stale
    orders = world.orders({"2000C": -5, "2200C": 1})
    event = world.act("request_options", world.long, orders).one("OptionsRequested")
    assert (event.account, event.market, event.round_time) == (world.long, ETH, world.oracle.last(ETH).updated_at)
    assert [Order(*order) for order in event.orders] == orders == world.options_request(world.long)
    fewer = world.orders({"1800P": -1})
    world.act("request_options", world.long, fewer)
    assert world.options_request(world.long) == fewer


@pytest.mark.parametrize(
    ("size", "market", "reason"),
    [
        (0, ETH, "queue: zero size"),
        (1, ETH, "queue: not closing"),
        (-SIZE - 1, ETH, "queue: not closing"),
        (-1, BTC, "queue: not closing"),
        (-(2**255), ETH, "queue: not closing"),
        (-1, 2, None),
    ],
)
def test_request_perp_that_does_not_shrink_is_refused(
    stale: QueueWorld, size: int, market: int, reason: str | None
) -> None:
    """The last market is not listed: the oracle says so."""
    with reverts(reason):
        stale.queue.request_perp.send(market, size, sender=stale.long)
    if reason is not None:
        with reverts(reason):
            stale.act("request_perp", stale.long, market, size)
    assert stale.perp_request(stale.long) == (0, 0, 0)


def test_request_options_that_cannot_be_carried_out_is_refused(stale: QueueWorld) -> None:
    world = stale
    call, put = (Order(world.series(name), -WAD) for name in ("2000C", "1800P"))
    other = Order(world.series("2000C", FORTNIGHT), -WAD)
    low, high = sorted((call, put), key=lambda order: order.series)
    refused: list[tuple[list[Order], str]] = [
        ([], "queue: no orders"),
        ([call, other], "queue: mixed expiries"),
        ([high, low], "queue: series order"),
        ([call, call], "queue: series order"),
        ([Order(call.series, 0)], "queue: zero size"),
        ([Order(call.series, -LOT - 1)], "queue: not a multiple of the lot"),
        ([Order(call.series, -5 * WAD - LOT)], "queue: not closing"),
        ([Order(call.series, LOT)], "queue: not closing"),
        ([Order(world.series("2400C"), -LOT)], "queue: not closing"),
        ([Order(world.series("2200C"), -LOT)], "queue: not closing"),
    ]
    for orders, reason in refused:
        with reverts(reason):
            world.act("request_options", world.long, orders)
    assert world.options_request(world.long) == []


def test_request_with_a_fresh_price_is_refused(world: QueueWorld) -> None:
    """To the second: at the last one that the mark is fresh, one trades."""
    world.warp(world.oracle.last(ETH).updated_at + 3_600 - world.now)
    orders = world.orders({"2000C": -5})
    with reverts("queue: price is fresh: trade"):
        world.act("request_perp", world.long, ETH, -SIZE)
    with reverts("queue: price is fresh: trade"):
        world.act("request_options", world.long, orders)
    world.warp(1)
    world.act("request_perp", world.long, ETH, -SIZE)
    world.act("request_options", world.long, orders)


def test_cancel_before_the_round_leaves_nothing(stale: QueueWorld) -> None:
    world = stale
    world.act("request_perp", world.long, ETH, -SIZE)
    world.act("request_options", world.long, world.orders({"2000C": -5}))
    assert tuple(world.act("cancel_perp", world.long, ETH).one("PerpCancelled")) == (world.long, ETH)
    assert tuple(world.act("cancel_options", world.long, ETH).one("OptionsCancelled")) == (world.long, ETH)
    assert world.perp_request(world.long) == (0, 0, 0)
    assert world.options_request(world.long) == []
    for fn in ("cancel_perp", "cancel_options"):
        with reverts("queue: no request"):
            world.act(fn, world.long, ETH)


def test_cancel_after_a_round_is_refused(stale: QueueWorld) -> None:
    """Even in the next outage: only another request takes its place then."""
    world = stale
    world.act("request_perp", world.long, ETH, -SIZE)
    world.act("request_options", world.long, world.orders({"2000C": -5}))
    world.end()
    for _ in range(2):
        for fn in ("cancel_perp", "cancel_options"):
            with reverts("queue: a round has come"):
                world.act(fn, world.long, ETH)
        world.stale()
    world.act("request_perp", world.long, ETH, -WAD)
    world.act("cancel_perp", world.long, ETH)


def test_execute_perp_is_the_vaults_quote_at_the_mark_of_the_moment(stale: QueueWorld) -> None:
    """Not at that of the first round, either: what was quoted for a trade of this block, and the fee."""
    world = stale
    world.act("request_perp", world.long, ETH, -SIZE)
    world.end(2_100 * WAD)
    world.end(1_950 * WAD)
    quoted = world.engine.quote(world.long, ETH, -SIZE)
    cash, executor = world.cash(world.long), world.cash(world.liquidator)
    receipt = world.carry_out("execute_perp", world.long)
    assert receipt.one("Trade").price == 1_950 * WAD
    assert tuple(receipt.one("PerpExecuted")) == (world.long, ETH, world.liquidator, -SIZE, FEE)
    assert receipt.value == FEE == world.queue.fee()
    assert world.cash(world.long) == cash + quoted.cash - FEE
    assert world.cash(world.liquidator) == executor + FEE
    assert world.position(world.long).size == 0
    with reverts("queue: no request"):
        world.carry_out("execute_perp", world.long)


def test_execute_options_is_the_vaults_quote_at_the_mark_of_the_moment(stale: QueueWorld) -> None:
    world = stale
    orders = world.orders({"2000C": -5, "2200C": 1})
    world.act("request_options", world.long, orders)
    world.end(2_020 * WAD)
    world.post(ETH, 0.6)
    world.refresh()
    quoted = world.quote(world.long, orders)
    cash, executor = world.cash(world.long), world.cash(world.liquidator)
    event = world.carry_out("execute_options", world.long).one("OptionsExecuted")
    assert [Order(*order) for order in event.orders] == orders
    assert (event.account, event.market, event.executor, event.fee) == (world.long, ETH, world.liquidator, FEE)
    assert world.cash(world.long) == cash + quoted.cash - FEE
    assert world.cash(world.liquidator) == executor + FEE
    assert world.held(world.long) == {
        world.series("1800P"): 4 * WAD // LOT,
        world.series("2200C"): -WAD // LOT,
    }
    with reverts("queue: no request"):
        world.carry_out("execute_options", world.long)


def test_execute_needs_a_new_round_that_is_fresh(stale: QueueWorld) -> None:
    """Until then the request stays."""
    world = stale
    world.act("request_perp", world.long, ETH, -SIZE)
    world.act("request_options", world.long, world.orders({"2000C": -5}))
    for reason in ("queue: no new round", "oracle: stale price"):
        for fn in ("execute_perp", "execute_options"):
            with reverts(reason):
                world.carry_out(fn, world.long)
        world.end()
        world.stale()
    assert world.perp_request(world.long)[0] == -SIZE
    assert len(world.options_request(world.long)) == 1


@pytest.mark.parametrize(
    ("by_hand", "executed"), [(-4, -6), (-10, 0), (-12, 0), (-4 + 3, -9), (5, -10)], ids=lambda x: str(x)
)
def test_execute_perp_is_clipped_to_what_is_left(stale: QueueWorld, by_hand: int, executed: int) -> None:
    """Nothing left, or the position on the other side by now: the request is forgotten and costs nothing."""
    world = stale
    world.act("request_perp", world.long, ETH, -SIZE)
    world.end(2_000 * WAD)
    world.trade(world.long, ETH, by_hand * WAD)
    cash = world.cash(world.long)
    event = world.carry_out("execute_perp", world.long).one("PerpExecuted")
    assert event.size_delta == executed * WAD
    assert event.fee == (FEE if executed else 0)
    assert (world.cash(world.long) == cash) == (executed == 0)
    assert world.position(world.long).size == (10 + by_hand + executed) * WAD
    assert world.perp_request(world.long) == (0, 0, 0)


def test_execute_of_what_was_asked_three_days_ago_closes_nothing(stale: QueueWorld) -> None:
    """Nobody who has forgotten a request has a later position closed by it."""
    world = stale
    world.act("request_perp", world.long, ETH, -SIZE)
    until = world.perp_request(world.long)[2]
    world.act("request_options", world.long, world.orders({"2000C": -5}))
    world.warp(until - 60 - world.now)
    world.end(2_000 * WAD)
    world.warp(until - world.now)
    with world.undone():
        assert world.carry_out("execute_perp", world.long).one("PerpExecuted").size_delta == -SIZE
    world.warp(1)
    event = world.carry_out("execute_perp", world.long).one("PerpExecuted")
    assert (event.size_delta, event.fee) == (0, 0)
    assert world.perp_request(world.long) == (0, 0, 0)
    world.warp(60)
    assert len(world.carry_out("execute_options", world.long).one("OptionsExecuted").orders) == 0
    assert world.position(world.long).size == SIZE
    assert len(world.held(world.long)) == 3


def test_execute_options_is_clipped_order_by_order(stale: QueueWorld) -> None:
    world = stale
    world.act("request_options", world.long, world.orders({"2000C": -5, "1800P": -4, "2200C": 2}))
    world.end(2_000 * WAD)
    world.post(ETH, 0.6)
    world.option(world.long, {"2000C": -3, "1800P": -4})
    event = world.carry_out("execute_options", world.long).one("OptionsExecuted")
    assert [Order(*order) for order in event.orders] == world.orders({"2000C": -2, "2200C": 2})
    assert world.held(world.long) == {}


def test_execute_options_with_nothing_left_is_forgotten(stale: QueueWorld) -> None:
    """Whatever the price is: nobody has to wait to get rid of it."""
    world = stale
    world.act("request_options", world.long, world.orders({"2000C": -5}))
    world.end(2_000 * WAD)
    world.post(ETH, 0.6)
    world.option(world.long, {"2000C": -5})
    world.stale()
    event = world.carry_out("execute_options", world.long).one("OptionsExecuted")
    assert (event.orders, event.fee) == ([], 0)
    assert world.options_request(world.long) == []


def test_execute_of_a_hedge_that_must_stay_is_refused_and_stays(world: QueueWorld) -> None:
    """What Margin would refuse its owner it refuses the queue; when it allows it the request is carried out."""
    world.option(world.short, {"2000P": -30, "1800P": 30})
    world.stale()
    world.act("request_options", world.short, world.orders({"1800P": -30}))
    world.end(2_000 * WAD)
    world.leave(world.short, -WAD)
    with reverts("margin: below maintenance"):
        world.carry_out("execute_options", world.short)
    assert len(world.options_request(world.short)) == 1
    world.give(world.short, 10**6 * WAD)
    world.carry_out("execute_options", world.short)
    assert world.held(world.short) == {world.series("2000P"): -30 * WAD // LOT}


def test_execute_of_a_perpetual_that_hedges_options_is_refused_and_stays(world: QueueWorld) -> None:
    world.option(world.long, {"2000C": -25, "1800P": -4, "2200C": 2})
    world.stale()
    world.act("request_perp", world.long, ETH, -SIZE)
    world.end(2_000 * WAD)
    world.leave(world.long, -WAD)
    with reverts("margin: below maintenance"):
        world.carry_out("execute_perp", world.long)
    assert world.perp_request(world.long)[0] == -SIZE
    world.give(world.long, 10**6 * WAD)
    world.carry_out("execute_perp", world.long)
    assert world.position(world.long).size == 0


def test_execute_options_of_a_board_that_is_over_waits_for_its_settlement(stale: QueueWorld) -> None:
    world = stale
    world.warp(WEEK - 120 - world.now)
    world.act("request_options", world.long, world.orders({"2000C": -5}))
    round_id = world.expire(2_050)
    with reverts("options: expired"):
        world.carry_out("execute_options", world.long)
    world.settle(round_id)
    with reverts("options: expired"):
        world.carry_out("execute_options", world.long)
    world.settle_accounts([world.long])
    assert world.carry_out("execute_options", world.long).value == 0
    assert world.options_request(world.long) == []


@pytest.mark.parametrize(("equity", "fee"), [(FEE + 1, FEE), (FEE - 1, FEE - 1), (1, 1), (0, 0), (-WAD, 0)])
def test_fee_is_at_most_cash_and_equity_of_what_is_left(stale: QueueWorld, equity: int, fee: int) -> None:
    """Of an account whose loss is in another market: its cash is there, but not its own."""
    world = stale
    world.end(2_000 * WAD)
    world.trade(world.short, BTC, WAD)
    world.stale()
    world.act("request_perp", world.short, ETH, SIZE)
    world.push_price(ETH, 2_000 * WAD)
    world.set_price(BTC, 59_000 * WAD)
    close = world.engine.quote(world.short, ETH, SIZE)
    health = world.health(world.short)
    world.give(world.short, equity + close.half_spread + close.charge - health.equity)
    assert world.cash(world.short) > FEE
    assert world.carry_out("execute_perp", world.short).value == fee
    assert world.health(world.short).equity == equity - fee


def test_fee_is_at_most_cash_of_who_has_not_realised_his_profit(stale: QueueWorld) -> None:
    world = stale
    world.end(2_000 * WAD)
    world.trade(world.short, BTC, WAD)
    world.stale()
    world.act("request_perp", world.short, ETH, SIZE)
    world.push_price(ETH, 2_000 * WAD)
    world.set_price(BTC, 61_000 * WAD)
    close = world.engine.quote(world.short, ETH, SIZE)
    world.give(world.short, FEE // 3 - close.cash - world.cash(world.short))
    left = world.cash(world.short) + world.engine.quote(world.short, ETH, SIZE).cash
    assert 0 < left < FEE
    assert world.carry_out("execute_perp", world.short).value == left
    assert world.cash(world.short) == 0
    assert world.health(world.short).equity > FEE


def test_fee_to_oneself_changes_nothing(stale: QueueWorld) -> None:
    world = stale
    world.act("request_perp", world.long, ETH, -SIZE)
    world.end()
    cash, quoted = world.cash(world.long), world.engine.quote(world.long, ETH, -SIZE)
    assert world.carry_out("execute_perp", world.long, by=world.long).value == FEE
    assert world.cash(world.long) == cash + quoted.cash


def test_fee_has_a_bound(world: QueueWorld) -> None:
    neighbours = world.queue.neighbours()
    assert neighbours == (
        world.clearinghouse.address, world.engine.address, world.options.address, world.book.address,
        world.oracle.address,
    )  # fmt: skip
    assert world.chain.deploy("CloseQueue", *neighbours, 10 * WAD).fee() == 10 * WAD
    with reverts("queue: fee"):
        world.chain.deploy("CloseQueue", *neighbours, 10 * WAD + 1)


def test_queue_without_its_role_leaves_requests_where_they_are(stale: QueueWorld) -> None:
    world = stale
    world.act("request_perp", world.long, ETH, -SIZE)
    world.end()
    world.engine.revoke_role.send(world.queue, Role.CLOSER, sender=world.governor)
    with reverts("roles: not allowed"):
        world.queue.execute_perp.send(world.long, ETH, sender=world.liquidator)
    assert world.perp_request(world.long)[0] == -SIZE
    world.close(world.long, ETH)
