"""The world of perpetuals and options with a Liquidator; one deployment serves a file, each test undoes what it did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field
from typing import Any

from ballast.chain import Contract, Receipt
from ballast.model.exact.liquidator import Liquidator, Result
from ballast.model.exact.option_book import Order, board_of, expiry_of, market_of
from ballast.model.exact.oracle import FixedFeed
from ballast.model.exact.structs import Settlement
from ballast.model.exact.system import System
from ballast.model.roles import Role
from tests.unit.options.world import BTC, ETH, FORTNIGHT, WAD, WEEK, OptionWorld

__all__ = ["ALL", "BTC", "ETH", "FORTNIGHT", "WAD", "WEEK", "LiquidationWorld"]

ALL = 2**255
"""More than any position."""


@dataclass(frozen=True, slots=True)
class Liquidated:
    """What a liquidation answered and did."""

    result: Result
    receipt: Receipt

    def __getattr__(self, name: str) -> int:
        return int(getattr(self.result, name))


@dataclass(slots=True)
class LiquidationWorld(OptionWorld):
    """The option world and Liquidator, which needs no twin of its own in the system: it stores nothing."""

    closer: Contract = field(init=False)

    @classmethod
    def create(cls, **build: Any) -> LiquidationWorld:
        """See ``World.build``; LPs' cash counts as capital."""
        world = super(LiquidationWorld, cls).create(**build)
        assert isinstance(world, LiquidationWorld)
        world.closer = world.chain.deploy(
            "Liquidator", world.clearinghouse, world.engine, world.options, world.book, world.oracle
        )
        for contract in (world.clearinghouse, world.engine, world.options):
            contract.grant_role.send(world.closer, Role.CLOSER)
        world.rest()
        return world

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Forget on both sides what happens inside."""
        twin, round_id, frozen = self.twin.fork(), self.round_id, set(self.twin_surface.frozen)
        feeds = [feed for feed in (market.feed for market in twin.oracle.markets) if isinstance(feed, FixedFeed)]
        rounds = [(feed.round, dict(feed.rounds)) for feed in feeds]
        with self.chain.undone():  # type: ignore[attr-defined]
            try:
                yield
            finally:
                self.twin, self.round_id = twin, round_id
                self.twin_surface.frozen = frozen
                for feed, (latest, known) in zip(feeds, rounds, strict=True):
                    feed.round, feed.rounds = latest, known

    # ── liquidating; the caller is the liquidator unless said otherwise ──

    def liquidate_perp(self, account: str, market: int = ETH, size: int = ALL, by: str = "") -> Liquidated:
        return self._liquidate("liquidate_perp", account, market, size, by=by)

    def take_perp(self, account: str, market: int = ETH, size: int = ALL, by: str = "") -> Liquidated:
        return self._liquidate("take_perp", account, market, size, by=by)

    def liquidate_options(self, account: str, orders: Sequence[Order], by: str = "") -> Liquidated:
        return self._liquidate("liquidate_options", account, orders, by=by)

    def liquidate(self, account: str, market: int, size: int, orders: Sequence[Order], by: str = "") -> Liquidated:
        return self._liquidate("liquidate", account, market, size, orders, by=by)

    def take_options(self, account: str, orders: Sequence[Order], by: str = "") -> Liquidated:
        return self._liquidate("take_options", account, orders, by=by)

    def _liquidate(self, fn: str, account: str, *wanted: Any, by: str) -> Liquidated:
        """The same from contract and twin; what the event says is checked."""
        caller = by or self.liquidator
        synced = self.twin.fork()
        for known in range(len(self.feeds)):
            synced.oracle.sync(known, self.now)
        health = synced.margin.health(account, self.now)
        plain = [[astuple(order) for order in x] if isinstance(x, Sequence) else x for x in wanted]
        receipt = self.do(
            lambda: self.closer.send(fn, account, *plain, sender=caller),
            lambda twin: getattr(liquidator(twin), fn)(account, *wanted, caller, self.now),
        )
        result = Result(*receipt.value)
        event = receipt.one("Liquidated", self.closer)
        orders = wanted[-1] if isinstance(wanted[-1], Sequence) else []
        market = wanted[0] if isinstance(wanted[0], int) else market_of(board_of(orders[0].series))
        assert (event.account, event.liquidator, event.market) == (account, caller, market)
        assert event.expiry in ({expiry_of(board_of(order.series)) for order in orders} or {0})
        assert (event.taken, event.equity, event.maintenance) == (
            fn.startswith("take"), health.equity, health.maintenance,
        )  # fmt: skip
        assert (event.share, event.penalty, event.reward) == (result.share, result.penalty, result.reward)
        return Liquidated(result, receipt)

    # ── arranging ──

    def give(self, account: str, amount: int) -> None:
        """LP cash to an account, or back [quote, WAD]: brings equity where a test wants it, to the wei."""
        settlement = Settlement(cash=amount)
        self.clearinghouse.grant_role.send(self.governor, Role.ENGINE, sender=self.governor)
        self.clearinghouse.settle.send(account, astuple(settlement), sender=self.governor)
        self.twin.clearinghouse.settle(account, settlement, by_engine=True)

    def leave(self, account: str, spare: int) -> None:
        """Equity becomes maintenance + ``spare`` [quote, WAD]."""
        health = self.health(account)
        self.give(account, health.maintenance + spare - health.equity)

    def wealth(self, *accounts: str) -> int:
        """Equity of accounts together [quote, WAD]."""
        return sum(self.health(account).equity for account in accounts)

    def backing(self) -> int:
        """What LPs, reserve, fees, insurance and protocol have, positions at marks included [quote, WAD]."""
        b, prices = self.clearinghouse.buckets(), self.prices()
        options = self.book.book_value(prices)[0]
        return int(b.lp + b.reserve + b.fees + b.insurance + b.protocol + self.book_value() + options)


def liquidator(twin: System) -> Liquidator:
    """Of these twins; it stores nothing."""
    return Liquidator(
        twin.clearinghouse, twin.perp_engine, twin.option_engine, twin.option_book, twin.oracle, twin.margin
    )
