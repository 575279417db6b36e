"""Integer twin of ``contracts/clearing/Liquidator.vy``.

Names, order and rounding are the contract's. Not mirrored: events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ballast.model.exact.fixed import (
    BPS,
    MAX_MARKETS,
    MAX_REWARD,
    OPTION_BIT,
    WAD,
    div_up,
    mul_div_down,
    mul_div_up,
    mul_down,
    mul_up,
    require,
    shrinking,
    tdiv,
)
from ballast.model.exact.option_book import LOT, OptionLeg, Order, board_of, market_of
from ballast.model.exact.option_engine import MAX_ORDERS, OptionOutcome
from ballast.model.exact.oracle import Mark
from ballast.model.exact.structs import Health, Leg, Outcome, struct

MIN_DISCOUNT_BPS = 6_000
REWARD_BPS = 2


@struct
class Result:
    """ILiquidator.Result."""

    share: int
    penalty: int
    reward: int


@struct
class Case:
    """An account below maintenance and what is to go, as in the contract."""

    account: str
    market: int
    part: int
    orders: list[Order]
    before: Health
    initial: int
    maintenance: int
    share: int
    penalty: int
    notional: int


class Margin(Protocol):
    """What Liquidator asks of Margin."""

    def assess(self, account: str, cash: int, mask: int, now: int) -> Health: ...
    def assess_change(
        self, account: str, cash: int, mask: int, market: int, size: int, orders: Sequence[Order], now: int
    ) -> tuple[int, int]: ...
    def check_initial(self, account: str, cash: int, mask: int, now: int) -> bool: ...


class Ledger(Protocol):
    """What Liquidator asks of the Clearinghouse."""

    liquidator_share_bps: int

    def account(self, owner: str) -> tuple[int, int]: ...
    def pay_penalty(self, account: str, penalty: int, liquidator: str, liquidator_share_bps: int) -> int: ...
    def pay_reward(self, receiver: str, amount: int) -> int: ...


class Inventory(Protocol):
    """What Liquidator asks of Inventory."""

    def sync(self, market: int, now: int) -> None: ...


class PerpEngine(Protocol):
    """What Liquidator asks of PerpEngine."""

    @property
    def inventory(self) -> Inventory: ...
    def legs(self, account: str, mask: int, now: int) -> list[Leg]: ...
    def penalty_bps(self, market: int) -> int: ...
    def min_size(self, market: int) -> int: ...
    def close_for(
        self, account: str, market: int, size_delta: int, most_cost: int, checked: bool, now: int
    ) -> Outcome: ...
    def transfer(self, giver: str, taker: str, market: int, size: int, now: int) -> None: ...


class OptionEngine(Protocol):
    """What Liquidator asks of OptionEngine."""

    def penalty_bps(self, market: int) -> int: ...
    def close_for(
        self, account: str, orders: Sequence[Order], most_cost: int, checked: bool, now: int
    ) -> OptionOutcome: ...
    def transfer(self, giver: str, taker: str, orders: Sequence[Order], now: int) -> None: ...


class OptionBook(Protocol):
    """What Liquidator asks of OptionBook."""

    def legs(self, account: str, now: int) -> list[OptionLeg]: ...


class Oracle(Protocol):
    """What Liquidator asks of PriceOracle."""

    def sync(self, market: int, now: int) -> Mark: ...


@dataclass(slots=True)
class Liquidator:
    """Twin of ``Liquidator.vy``; ``margin`` is the one that the Clearinghouse names. ``now`` is the block's time."""

    clearinghouse: Ledger
    perp_engine: PerpEngine
    option_engine: OptionEngine | None
    option_book: OptionBook | None
    oracle: Oracle
    margin: Margin | None = None

    def liquidate_perp(self, account: str, market: int, size: int, caller: str, now: int) -> Result:
        """Close a perpetual at the vault's quote."""
        return self.liquidate(account, market, size, [], caller, now)

    def liquidate_options(self, account: str, orders: Sequence[Order], caller: str, now: int) -> Result:
        """Close options of one market at the vault's quote."""
        return self.liquidate(account, _market_of(orders), 0, orders, caller, now)

    def liquidate(self, account: str, market: int, size: int, orders: Sequence[Order], caller: str, now: int) -> Result:
        """Close a perpetual and options of its market together."""
        case = self._judge(account, market, size, orders, now)
        outcomes: list[Outcome | OptionOutcome] = []
        equity = case.before.equity
        if case.part != 0:
            outcomes.append(self.perp_engine.close_for(account, market, -case.part, equity, False, now))
            self._measure(case, outcomes, now)
        rest = case.orders
        while rest:
            first = board_of(rest[0].series)
            batch = [i for i, order in enumerate(rest) if board_of(order.series) == first][:MAX_ORDERS]
            assert self.option_engine is not None
            spent = max(sum(outcome.half_spread + outcome.charge for outcome in outcomes), 0)
            orders = [rest[i] for i in batch]
            outcomes.append(self.option_engine.close_for(account, orders, equity - spent, False, now))
            self._measure(case, outcomes, now)
            rest = [order for i, order in enumerate(rest) if i not in batch]
        half_spread = sum(outcome.half_spread for outcome in outcomes)
        cost = half_spread + sum(outcome.charge for outcome in outcomes)
        least = min(half_spread, MAX_REWARD)
        share_bps = self.clearinghouse.liquidator_share_bps
        penalty = min(max(case.penalty, least), _affordable(case, cost))
        paid = self.clearinghouse.pay_penalty(account, penalty, caller, share_bps)
        reward = paid * share_bps // BPS
        insured = min(least, case.notional * REWARD_BPS // BPS)
        if reward < insured:
            reward += self.clearinghouse.pay_reward(caller, insured - reward)
        return Result(case.share, paid, reward)

    def take_perp(self, account: str, market: int, size: int, caller: str, now: int) -> Result:
        """Move a perpetual to the caller's account at the mark, at a discount."""
        case = self._judge(account, market, size, [], now)
        self.perp_engine.transfer(account, caller, market, case.part, now)
        return self._pay_taker(case, caller, now)

    def take_options(self, account: str, orders: Sequence[Order], caller: str, now: int) -> Result:
        """Move options of one board to the caller's account at the mark, at a discount."""
        case = self._judge(account, _market_of(orders), 0, orders, now)
        assert self.option_engine is not None
        self.option_engine.transfer(account, caller, [Order(x.series, -x.size) for x in case.orders], now)
        return self._pay_taker(case, caller, now)

    # ── internal ──

    def _judge(self, account: str, market: int, size: int, orders: Sequence[Order], now: int) -> Case:
        """Take marks, refuse what must not be liquidated, decide how much goes at what penalty."""
        mark = self.oracle.sync(market, now)
        require(mark.fresh, "oracle: stale price")
        cash, mask = self.clearinghouse.account(account)
        self._sync(mask, False, now)
        assert self.margin is not None
        before = self.margin.assess(account, cash, mask, now)
        require(before.equity < before.maintenance, "liquidation: account is healthy")
        part = penalty = notional = least = 0
        if size != 0 and mask >> market & 1:
            held = self.perp_engine.legs(account, 1 << market, now)[0].size
            part = min(size, abs(held)) * (-1 if held < 0 else 1)
            notional = mul_up(abs(part), mark.price)
            penalty = mul_div_up(notional, self.perp_engine.penalty_bps(market), BPS)
            if not orders and part == held:
                least = self.perp_engine.min_size(market)
        parts: list[Order] = []
        if orders:
            parts = self._held(account, market, orders, now)
            bought = sum(max(order.size, 0) for order in parts)
            notional += mul_up(sum(abs(order.size) for order in parts), mark.price)
            if bought != 0:
                assert self.option_engine is not None
                penalty += mul_div_up(mul_up(bought, mark.price), self.option_engine.penalty_bps(market), BPS)
        require(part != 0 or len(parts) != 0, "liquidation: no position")
        initial, maintenance = self.margin.assess_change(account, cash, mask, market, -part, parts, now)
        falls = maintenance < before.maintenance or before.maintenance == 0
        require(falls, "liquidation: requirement would not fall")
        return _scaled(Case(account, market, part, parts, before, initial, maintenance, WAD, penalty, notional), least)

    def _held(self, account: str, market: int, orders: Sequence[Order], now: int) -> list[Order]:
        """What the account has of orders, in whole lots, without those that would grow a position."""
        assert self.option_book is not None
        ids = [order.series for order in orders]
        require(all(id > last for id, last in zip(ids, [0, *ids], strict=False)), "liquidation: series order")
        held = {leg.series: leg.size for leg in self.option_book.legs(account, now) if leg.market == market}
        sizes = [shrinking(order.size, held.get(order.series, 0)) for order in orders]
        parts = [Order(order.series, tdiv(size, LOT) * LOT) for order, size in zip(orders, sizes, strict=True)]
        return [part for part in parts if part.size != 0]

    def _sync(self, mask: int, fresh: bool, now: int) -> None:
        markets = mask | mask >> OPTION_BIT
        for market in range(MAX_MARKETS):
            if markets >> market & 1:
                require(self.oracle.sync(market, now).fresh or not fresh, "oracle: stale price")

    def _measure(self, case: Case, outcomes: Sequence[Outcome | OptionOutcome], now: int) -> None:
        """Where the account has paid all it had, have Inventory see what the reserve covers."""
        if sum(outcome.half_spread + outcome.charge for outcome in outcomes) >= case.before.equity:
            self.perp_engine.inventory.sync(case.market, now)

    def _pay_taker(self, case: Case, caller: str, now: int) -> Result:
        """Pay who took a position over, and have Margin judge him with it."""
        equity, maintenance = case.before.equity, case.before.maintenance
        share_bps = BPS
        if equity > 0:
            share_bps = MIN_DISCOUNT_BPS + mul_div_down(BPS - MIN_DISCOUNT_BPS, maintenance - equity, maintenance)
        penalty = min(case.penalty, _affordable(case, 0))
        paid = self.clearinghouse.pay_penalty(case.account, penalty, caller, share_bps)
        cash, mask = self.clearinghouse.account(caller)
        self._sync(mask, True, now)
        assert self.margin is not None
        require(self.margin.check_initial(caller, cash, mask, now), "margin: below initial")
        return Result(case.share, paid, paid * share_bps // BPS)


def _market_of(orders: Sequence[Order]) -> int:
    require(len(orders) != 0, "liquidation: no orders")
    return market_of(board_of(orders[0].series))


def _scaled(case: Case, least: int) -> Case:
    """As much of a request as is enough; ``case`` has part, orders and penalty of all of it.

    Of a perpetual at least ``least`` [base, WAD] is left, or nothing.
    """
    missing = case.before.initial - case.before.equity
    relief = case.before.initial - case.initial - case.penalty
    if missing >= relief:
        return case
    share = div_up(missing, relief)
    part = _times_up(case.part, share, 1)
    if abs(case.part - part) < least:
        return case
    orders = [Order(order.series, _times_up(order.size, share, LOT)) for order in case.orders]
    return Case(
        case.account, case.market, part, orders, case.before, case.initial, case.maintenance,
        share, mul_up(case.penalty, share), mul_down(case.notional, share),
    )  # fmt: skip


def _times_up(size: int, share: int, step: int) -> int:
    """Share of a size, away from zero to a whole number of steps [base, WAD]."""
    part = -(-mul_up(abs(size), share) // step) * step
    return -part if size < 0 else part


def _affordable(case: Case, cost: int) -> int:
    """The most that leaves equity / maintenance where it was, rounded down [quote, WAD]."""
    equity, maintenance = case.before.equity, case.before.maintenance
    if equity <= 0:
        return 0
    left = maintenance - mul_down(maintenance - case.maintenance, case.share)
    return max(equity - cost - mul_div_up(equity, left, maintenance), 0)
