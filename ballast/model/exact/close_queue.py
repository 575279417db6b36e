"""Integer twin of ``contracts/clearing/CloseQueue.vy``.

Names, order and rounding are the contract's. Not mirrored: events and the packing of orders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ballast.model.exact.fixed import BPS, INT_MAX, MAX_MARKETS, require, shrinking
from ballast.model.exact.option_book import LOT, OptionLeg, Order, board_of, market_of
from ballast.model.exact.option_engine import OptionOutcome
from ballast.model.exact.oracle import Mark
from ballast.model.exact.structs import Health, Leg, Outcome, struct


class Ledger(Protocol):
    """What CloseQueue asks of the Clearinghouse."""

    def account(self, owner: str) -> tuple[int, int]: ...
    def pay_penalty(self, account: str, penalty: int, liquidator: str, liquidator_share_bps: int) -> int: ...


class Margin(Protocol):
    """What CloseQueue asks of Margin."""

    def assess(self, account: str, cash: int, mask: int, now: int) -> Health: ...


class PerpEngine(Protocol):
    """What CloseQueue asks of PerpEngine."""

    def legs(self, account: str, mask: int, now: int) -> list[Leg]: ...
    def close_for(
        self, account: str, market: int, size_delta: int, most_cost: int, checked: bool, now: int
    ) -> Outcome: ...


class OptionEngine(Protocol):
    """What CloseQueue asks of OptionEngine."""

    def close_for(
        self, account: str, orders: Sequence[Order], most_cost: int, checked: bool, now: int
    ) -> OptionOutcome: ...


class OptionBook(Protocol):
    """What CloseQueue asks of OptionBook."""

    def legs(self, account: str, now: int) -> list[OptionLeg]: ...


class Oracle(Protocol):
    """What CloseQueue asks of PriceOracle."""

    def peek(self, market: int, now: int) -> Mark: ...


LIFETIME = 3 * 86_400  # of a request [s]


@struct
class PerpRequest:
    """Change of a perpetual [base, WAD], 0 if none; time of the last round at the request, void after ``until`` [s]."""

    size_delta: int = 0
    round_time: int = 0
    until: int = 0


@struct
class OptionsRequest:
    """Orders on one board, empty if none; time of the last round at the request, void after ``until`` [s]."""

    orders: tuple[Order, ...] = ()
    round_time: int = 0
    until: int = 0


@dataclass(slots=True)
class CloseQueue:
    """Twin of ``CloseQueue.vy``. ``fee`` is [quote, WAD], ``now`` the block's time."""

    clearinghouse: Ledger
    perp_engine: PerpEngine
    option_engine: OptionEngine
    option_book: OptionBook
    oracle: Oracle
    margin: Margin
    fee: int
    perps: dict[tuple[str, int], PerpRequest] = field(default_factory=dict)
    options: dict[tuple[str, int], OptionsRequest] = field(default_factory=dict)

    def request_perp(self, account: str, market: int, size_delta: int, now: int) -> None:
        """Ask to have a perpetual shrunk."""
        round_time = self._stale_round(market, now)
        require(size_delta != 0, "queue: zero size")
        require(shrinking(size_delta, self._size(account, market, now)) == size_delta, "queue: not closing")
        self.perps[account, market] = PerpRequest(size_delta, round_time, now + LIFETIME)

    def request_options(self, account: str, orders: Sequence[Order], now: int) -> None:
        """Ask to have options of one board shrunk."""
        require(len(orders) != 0, "queue: no orders")
        key = board_of(orders[0].series)
        round_time = self._stale_round(market_of(key), now)
        held = self._held(account, now)
        last = 0
        for order in orders:
            require(board_of(order.series) == key, "queue: mixed expiries")
            require(order.series > last, "queue: series order")
            require(order.size != 0, "queue: zero size")
            require(order.size % LOT == 0, "queue: not a multiple of the lot")
            require(shrinking(order.size, held.get(order.series, 0)) == order.size, "queue: not closing")
            last = order.series
        self.options[account, market_of(key)] = OptionsRequest(tuple(orders), round_time, now + LIFETIME)

    def cancel_perp(self, account: str, market: int, now: int) -> None:
        """Take a request back before the round that it waits for."""
        request = self.perp_request(account, market)
        require(request.size_delta != 0, "queue: no request")
        self._check_no_round(market, request.round_time, now)
        self.perps[account, market] = PerpRequest()

    def cancel_options(self, account: str, market: int, now: int) -> None:
        """Take a request back before the round that it waits for."""
        request = self.options_request(account, market)
        require(len(request.orders) != 0, "queue: no request")
        self._check_no_round(market, request.round_time, now)
        self.options[account, market] = OptionsRequest()

    def execute_perp(self, account: str, market: int, executor: str, now: int) -> int:
        """Carry a request out; the fee [quote, WAD]."""
        request = self.perp_request(account, market)
        require(request.size_delta != 0, "queue: no request")
        self.perps[account, market] = PerpRequest()
        size_delta = shrinking(request.size_delta, self._size(account, market, now))
        if size_delta == 0 or now > request.until:
            return 0
        self._check_round(market, request.round_time, now)
        self.perp_engine.close_for(account, market, size_delta, INT_MAX, True, now)
        return self._pay(account, executor, now)

    def execute_options(self, account: str, market: int, executor: str, now: int) -> int:
        """Carry a request out; the fee [quote, WAD]."""
        request = self.options_request(account, market)
        require(len(request.orders) != 0, "queue: no request")
        self.options[account, market] = OptionsRequest()
        held = self._held(account, now)
        clipped = [Order(order.series, shrinking(order.size, held.get(order.series, 0))) for order in request.orders]
        orders = [order for order in clipped if order.size != 0]
        if not orders or now > request.until:
            return 0
        self._check_round(market, request.round_time, now)
        self.option_engine.close_for(account, orders, INT_MAX, True, now)
        return self._pay(account, executor, now)

    def perp_request(self, account: str, market: int) -> PerpRequest:
        """What the account has asked for."""
        return self.perps.get((account, market), PerpRequest())

    def options_request(self, account: str, market: int) -> OptionsRequest:
        """What the account has asked for."""
        return self.options.get((account, market), OptionsRequest())

    # ── internal ──

    def _stale_round(self, market: int, now: int) -> int:
        mark = self.oracle.peek(market, now)
        require(not mark.fresh, "queue: price is fresh: trade")
        return mark.updated_at

    def _check_no_round(self, market: int, round_time: int, now: int) -> None:
        require(self.oracle.peek(market, now).updated_at == round_time, "queue: a round has come")

    def _check_round(self, market: int, round_time: int, now: int) -> None:
        require(self.oracle.peek(market, now).updated_at > round_time, "queue: no new round")

    def _size(self, account: str, market: int, now: int) -> int:
        require(market < MAX_MARKETS, "queue: no such market")
        return self.perp_engine.legs(account, 1 << market, now)[0].size

    def _held(self, account: str, now: int) -> dict[int, int]:
        return {leg.series: leg.size for leg in self.option_book.legs(account, now)}

    def _pay(self, account: str, executor: str, now: int) -> int:
        cash, mask = self.clearinghouse.account(account)
        equity = self.margin.assess(account, cash, mask, now).equity
        return self.clearinghouse.pay_penalty(account, min(self.fee, max(equity, 0)), executor, BPS)
