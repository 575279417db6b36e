"""The world of the perpetuals with options where it has a double: surface, pricer, book and engine, and their twins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, field, replace
from typing import Any

from eth_account import Account

from ballast.boards import FEEDERS
from ballast.chain import Contract, Receipt, Reverted, RevmChain, reverts
from ballast.model.exact import option_book
from ballast.model.exact.fixed import INT_MAX, MARKETS, OPTION_BIT, WAD
from ballast.model.exact.option_book import (
    DAY,
    LOT,
    STRIKE_UNIT,
    OptionBook,
    Order,
    board_of,
    expiry_of,
    is_put,
    key_of,
    strike_of,
)
from ballast.model.exact.option_engine import NO_LIMIT, OptionEngine, OptionParams
from ballast.model.exact.oracle import FixedFeed, Round
from ballast.model.exact.structs import Exposure
from ballast.model.exact.system import System
from ballast.model.exact.vol_surface import Drift, VolSurface
from ballast.model.roles import Role
from ballast.surface.signing import arguments, sign
from ballast.testing.options import ETA, RHO, flat
from tests.unit.perps.world import BTC, ETH, World

__all__ = ["BTC", "CENT", "ETH", "FORTNIGHT", "OPTIONS", "STRIKES", "WAD", "WEEK", "OptionWorld"]

CENT = WAD // 100
FEEDER = FEEDERS[0]
START = 1_700_006_400  # midnight UTC
WEEK, FORTNIGHT = (START + days * DAY + 8 * 3_600 for days in (7, 14))
STRIKES = (1_600, 1_800, 1_900, 2_000, 2_100, 2_200, 2_400, 2_600, 2_800, 3_000)
DRIFT = Drift(10 * CENT, 50 * CENT, 20 * CENT, WAD, 5 * CENT, 20 * CENT, 3_600)
OPTIONS = OptionParams(
    min_size=WAD // 100,
    cap_series=5_000 * WAD,
    cap_expiry=50_000 * WAD,
    cap_market=100_000 * WAD,
    cutoff=1_800,
    initial_bps=1_500,
    floor_bps=100,
    maintenance_bps=6_000,
    penalty_bps=100,
    fee_share_bps=2_000,
    reward=WAD // 2,
    interval=600,
)


@dataclass(slots=True)
class OptionWorld(World):
    """Boards of ETH in one week and in two, one of BTC in a week; the surfaces are posted."""

    surface: Contract = field(init=False)
    book: Contract = field(init=False)
    options: Contract = field(init=False)

    @classmethod
    def create(cls, **build: Any) -> OptionWorld:
        """See ``World.build``."""
        world = cls.build(chain=RevmChain(START), **build)
        assert isinstance(world, OptionWorld)
        chain, governor = world.chain, world.governor
        world.surface = chain.deploy("VolSurface", governor, governor)
        world.book = chain.deploy("OptionBook", governor, governor, world.surface, chain.deploy("OptionPricer"))
        world.options = chain.deploy(
            "OptionEngine", governor, governor, world.clearinghouse, world.inventory, world.oracle, world.surface,
            world.book,
        )  # fmt: skip
        world.margin = chain.deploy(
            "Margin", world.clearinghouse, world.engine, world.oracle, world.options, world.book, world.surface
        )
        world.clearinghouse.set_margin.send(world.margin)
        for contract in (world.clearinghouse, world.inventory, world.book):
            contract.grant_role.send(world.options, Role.ENGINE)
        for contract in (world.surface, world.options):
            contract.grant_role.send(world.guardian, Role.GUARDIAN)
        world.options.grant_role.send(world.liquidator, Role.CLOSER)
        world.surface.set_signer.send(Account.from_key(FEEDER).address, True)
        world.surface.set_threshold.send(1)
        twin, surface = world.twin, VolSurface()
        twin.surface, twin.option_book = surface, OptionBook(surface)
        twin.option_engine = OptionEngine(
            twin.clearinghouse, world.exact_inventory, twin.oracle, surface, twin.option_book, twin.margin
        )
        world.twin = twin.fork()  # which wires margin to the three
        for market, vol in ((ETH, 0.6), (BTC, 0.5)):
            world.surface.set_drift.send(market, astuple(DRIFT))
            world.twin_surface.drift[market] = DRIFT
            world.configure_options(market)
            world.post(market, vol)
        world.list(ETH, WEEK, STRIKES)
        world.list(ETH, FORTNIGHT, [1_500, 2_000, 2_500])
        world.list(BTC, WEEK, [50_000, 60_000, 70_000])
        world.warp(12)
        return world

    # ── twins ──

    @property
    def exact_inventory(self) -> Any:
        """The twin of Inventory, which here is the exact one."""
        return self.twin.inventory

    @property
    def twin_options_engine(self) -> OptionEngine:
        assert self.twin.option_engine is not None
        return self.twin.option_engine

    @property
    def twin_book(self) -> OptionBook:
        assert self.twin.option_book is not None
        return self.twin.option_book

    @property
    def twin_surface(self) -> VolSurface:
        assert self.twin.surface is not None
        return self.twin.surface

    # ── markets ──

    def set_price(self, market: int, price: int) -> None:
        """A new block with a new round, recorded; earlier rounds can be asked for."""
        feed = self.twin.oracle.markets[market].feed
        assert isinstance(feed, FixedFeed)
        feed.rounds[feed.round.round_id] = feed.round
        World.set_price(self, market, price)

    def push(self, market: int, price: int | float, at: int | None = None, phase: int = 0) -> int:
        """A round in whole quote, not recorded; the block's time becomes ``at``. Its id."""
        self.warp((at or self.now + 1) - self.now)
        self.round_id += 1
        feed = self.twin.oracle.markets[market].feed
        assert isinstance(feed, FixedFeed)
        feed.rounds[feed.round.round_id] = feed.round
        feed.round = Round((phase << 64) + self.round_id, round(price * 10**8) * STRIKE_UNIT, 0, self.now, True)
        self.feeds[market].set_round.send(astuple(feed.round))
        return feed.round.round_id

    def renew_rounds(self) -> None:
        """Every market's price of before in a round of the next block."""
        for market in range(len(self.feeds)):
            self.set_price(market, self.oracle.last(market).price)

    def rest(self, minutes: int = 5) -> None:
        """Low-water marks of before are forgotten, what LPs brought counts as capital."""
        for _ in range(minutes):
            self.warp(61)
            self.renew_rounds()
            self.do(
                lambda: self.inventory.sync_all.send(sender=self.stranger),
                lambda twin: twin.inventory.sync_all(self.now),  # type: ignore[attr-defined]
            )

    def post(
        self, market: int, vol: float, rho: int = RHO, eta: int = ETA,
        days: Sequence[int] = (1, 3, 7, 14, 30, 90),
    ) -> Receipt:  # fmt: skip
        """A surface with one volatility at the money, observed now, of expiries so many days after the start."""
        expiries = [START + day * DAY + 8 * 3_600 for day in days]
        update = flat(market, self.now, vol, [expiry for expiry in expiries if expiry > self.now], rho, eta)
        signatures = sign(update, self.surface.address, self.chain.chain_id, FEEDER)
        return self.do(
            lambda: self.surface.post.send(arguments(update), signatures, sender=self.stranger),
            lambda twin: _surface(twin).post(update, self.now),
        )

    def freeze_surface(self, market: int) -> None:
        self.surface.freeze.send(market, sender=self.guardian)
        self.twin_surface.frozen.add(market)

    def thaw_surface(self, market: int) -> None:
        self.surface.thaw.send(market, sender=self.governor)
        self.twin_surface.frozen.remove(market)

    # ── governance ──

    def configure_options(self, market: int = ETH, **changes: int) -> None:
        params = replace(OPTIONS, **changes)
        self.options.set_params.send(market, astuple(params), sender=self.governor)
        self.twin_options_engine.set_params(market, params)

    def pause_options(self, market: int = ETH) -> None:
        self.options.pause.send(market, sender=self.guardian)
        self.twin_options_engine.set_paused(market, True)

    def unpause_options(self, market: int = ETH) -> None:
        self.options.unpause.send(market, sender=self.governor)
        self.twin_options_engine.set_paused(market, False)

    def list(self, market: int, expiry: int, strikes: Sequence[int | float]) -> Receipt:
        """Strikes in whole quote."""
        levels = [round(strike * 10**8) * STRIKE_UNIT for strike in strikes]
        return self.do(
            lambda: self.options.list_strikes.send(market, expiry, levels, sender=self.governor),
            lambda twin: _engine(twin).list_strikes(market, expiry, levels, self.now),
        )

    def close_board(self, market: int, expiry: int) -> Receipt:
        return self.do(
            lambda: self.options.close_board.send(market, expiry, sender=self.guardian),
            lambda twin: _engine(twin).close_board(market, expiry),
        )

    # ── trading ──

    def series(self, name: str, expiry: int = WEEK, market: int = ETH) -> int:
        """The id of an option; ``name`` is the strike in whole quote and C or P: "2000C"."""
        key, units = key_of(market, expiry), round(float(name[:-1]) * 10**8)
        index = next(i for i, held in enumerate(self.twin_book.strikes[key]) if held.strike == units)
        return option_book.pack(units, index, key, name[-1] == "P")

    def orders(self, legs: dict[str, int | float], expiry: int = WEEK, market: int = ETH) -> list[Order]:
        """Sizes in whole base by name, in the order that the engine asks for."""
        orders = [Order(self.series(name, expiry, market), round(size * 10**6) * LOT) for name, size in legs.items()]
        return sorted(orders, key=lambda order: order.series)

    def send(
        self, account: str, orders: Sequence[Order], limit: int = NO_LIMIT, deadline: int | None = None
    ) -> Receipt:
        until = self.now if deadline is None else deadline
        return self.do(
            lambda: self.options.trade.send([astuple(o) for o in orders], limit, until, sender=account),
            lambda twin: _engine(twin).trade(account, orders, limit, until, self.now),
        )

    def option(
        self, account: str, legs: dict[str, int | float], expiry: int = WEEK, market: int = ETH, **rest: int
    ) -> Any:
        """Trade; the outcome. Unless this trade renews the board, its quote was the same to the wei, cash included."""
        return self.execute(account, self.orders(legs, expiry, market), **rest)

    def execute(self, account: str, orders: Sequence[Order], **rest: int) -> Any:
        """``option`` with orders as they are sent."""
        key = board_of(orders[0].series)
        if self.book.is_due(key, self.oracle.peek(key & 255).price) and not self.inventory.frozen():
            with reverts("options: refresh first"):
                self.quote(account, orders)
            return self.send(account, orders, **rest).value
        try:
            quoted = self.quote(account, orders)
        except Reverted as error:
            # nothing but the margin and the limit can refuse a trade that a quote did not
            with reverts(error.reason):
                self.send(account, orders)
            raise
        before = self.cash(account)
        outcome = self.send(account, orders, **rest).value
        assert outcome == quoted
        assert self.cash(account) - before == outcome.cash == -(outcome.premium + outcome.half_spread + outcome.charge)
        return outcome

    def quote(self, account: str, orders: Sequence[Order]) -> Any:
        """The same from contract and twin."""
        quoted = None

        def ask() -> Any:
            nonlocal quoted
            quoted = self.options.quote(account, [astuple(o) for o in orders])
            return _Answer(quoted)

        self.do(ask, lambda twin: _engine(twin).quote(account, orders, self.now))
        return quoted

    def held(self, account: str) -> dict[int, int]:
        """An account's positions [LOT] by series."""
        return {leg.series: leg.size // LOT for leg in self.book.legs(account)}

    def close_options(self, account: str, market: int, expiry: int) -> None:
        """Close an account's positions on a board, eight at a time."""
        key = key_of(market, expiry)
        legs = sorted((series, -lots) for series, lots in self.held(account).items() if board_of(series) == key)
        for start in range(0, len(legs), 8):
            self.send(account, [Order(series, lots * LOT) for series, lots in legs[start : start + 8]])

    def close_for_options(
        self, account: str, orders: Sequence[Order], checked: bool = False, most_cost: int = INT_MAX
    ) -> Receipt:
        plain = [astuple(order) for order in orders]
        return self.do(
            lambda: self.options.close_for.send(account, plain, most_cost, checked, sender=self.liquidator),
            lambda twin: _engine(twin).close_for(account, orders, most_cost, checked, self.now),
        )

    def transfer_options(self, giver: str, taker: str, orders: Sequence[Order]) -> Receipt:
        """Orders are the taker's."""
        plain = [astuple(order) for order in orders]
        return self.do(
            lambda: self.options.transfer.send(giver, taker, plain, sender=self.liquidator),
            lambda twin: _engine(twin).transfer(giver, taker, orders, self.now),
        )

    # ── keeping ──

    def refresh(self, market: int = ETH, expiry: int = WEEK) -> Receipt:
        return self.do(
            lambda: self.options.refresh.send(market, expiry, sender=self.stranger),
            lambda twin: _engine(twin).refresh(market, expiry, self.stranger, self.now),
        )

    def settle(self, round_id: int, market: int = ETH, expiry: int = WEEK) -> Receipt:
        return self.do(
            lambda: self.options.settle.send(market, expiry, round_id, sender=self.stranger),
            lambda twin: _engine(twin).settle(market, expiry, round_id, self.stranger, self.now),
        )

    def settle_accounts(self, accounts: Sequence[str], market: int = ETH, expiry: int = WEEK) -> Receipt:
        return self.do(
            lambda: self.options.settle_accounts.send(market, expiry, list(accounts), sender=self.stranger),
            lambda twin: _engine(twin).settle_accounts(market, expiry, accounts),
        )

    def clear(self, market: int = ETH, expiry: int = WEEK) -> Receipt:
        return self.do(
            lambda: self.options.clear.send(market, expiry, sender=self.stranger),
            lambda twin: _engine(twin).clear(market, expiry),
        )

    def expire(self, price: int | float, market: int = ETH, expiry: int = WEEK, *, after: int | float = 0) -> int:
        """A round a minute before expiry and one a minute after; the id of the first."""
        last = self.push(market, price, expiry - 60)
        self.push(market, after or price, expiry + 60)
        return last

    # ── reading ──

    def potential(self) -> int:
        """U as Inventory stores it [quote, WAD]."""
        return int(self.exact_inventory.potential())

    def check(self) -> None:
        """Also: book = twin, totals = sums over strikes, nets = sums over accounts, Inventory = sums over boards."""
        World.check(self)
        book, everybody = self.twin_book, (*self.traders, self.liquidator, self.stranger)
        for account in everybody:
            legs = book.legs(account, self.now)
            assert [tuple(leg) for leg in self.book.legs(account)] == [astuple(leg) for leg in legs]
            assert all(leg.size for leg in legs)
            markets = sum({1 << OPTION_BIT + leg.market for leg in legs})
            assert self.clearinghouse.account(account)[1] & ~MARKETS == markets
        for key in book.points:
            self._check_board(key)
        for market in range(len(self.feeds)):
            live = [key for key in book.points if key & 255 == market and key not in book.settlements]
            assert sorted(self.book.expiries(market)) == sorted(expiry_of(key) for key in live)
            assert self.book.interest(market) == sum(self._book_of(key).interest for key in live)
            self._check_inventory(market, live)
        prices = self.prices()
        assert tuple(self.book.book_value(prices)) == book.book_value(prices, self.now)
        owed = sum(settled.owed for settled in book.settlements.values())
        assert self.clearinghouse.buckets().payables == owed

    def _book_of(self, key: int) -> option_book.Holding:
        return self.twin_book.books.get(key, option_book.NO_TOTALS)

    def _check_board(self, key: int) -> None:
        book, market, expiry = self.twin_book, key & 255, expiry_of(key)
        point, held = book.points[key], self._book_of(key)
        settled = book.settlements.get(key, option_book.NO_SETTLEMENT)
        board = self.book.board(market, expiry)
        assert tuple(board) == (
            point.spot, point.time, point.surface, point.horizon, held.value, held.delta, held.gamma, held.vega,
            held.theta, list(held.stress), held.interest, held.legs + settled.legs, point.strikes, settled.price,
            settled.owed, point.closing_only,
        )  # fmt: skip
        assert tuple(self.book.smile(market, expiry)) == astuple(book.smile(market, expiry))
        strikes = [tuple(strike) for strike in self.book.strikes(market, expiry)]
        assert strikes == [(s.strike * STRIKE_UNIT, s.calls, s.puts) for s in book.strikes[key]]
        legs = [
            (series, lots)
            for account in book.legs_of
            for series, lots in self.held(account).items()
            if board_of(series) == key
        ]
        assert board.legs == len(legs)
        if key in book.settlements:
            return
        assert board.interest == sum(abs(lots) for _, lots in legs)
        for strike, calls, puts in strikes:
            of_strike = [(is_put(s), lots) for s, lots in legs if strike_of(s) * STRIKE_UNIT == strike]
            assert calls == sum(lots for put, lots in of_strike if not put)
            assert puts == sum(lots for put, lots in of_strike if put)
        if legs:
            totals = book.recomputed(key)
            assert (totals.value, totals.delta, totals.gamma, totals.vega, totals.theta, totals.stress) == (
                held.value, held.delta, held.gamma, held.vega, held.theta, held.stress,
            )  # fmt: skip

    def _check_inventory(self, market: int, live: Sequence[int]) -> None:
        """Inventory's exposure of a market = perpetuals (vault against traders) and boards together."""
        stored = self.inventory.market(market)
        x, perps = self.option_exposure(live), self.engine.book(market)
        assert stored.delta == x.delta + perps.short - perps.long
        assert (stored.gamma, stored.vega) == (x.gamma, x.vega)
        stress = [sum(self._book_of(key).stress[k] for key in live) for k in range(8)]
        assert list(stored.stress) == stress

    def option_exposure(self, keys: Sequence[int]) -> Exposure:
        """What Inventory should have of boards."""
        parts = [self.twin_book.exposure(key) for key in keys]
        return Exposure(sum(x.delta for x in parts), sum(x.gamma for x in parts), sum(x.vega for x in parts))


@dataclass(frozen=True, slots=True)
class _Answer:
    """A view's answer where ``do`` expects a receipt."""

    value: Any


def _engine(twin: System) -> OptionEngine:
    assert twin.option_engine is not None
    return twin.option_engine


def _surface(twin: System) -> VolSurface:
    assert twin.surface is not None
    return twin.surface
