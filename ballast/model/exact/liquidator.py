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
    tdiv,
)
from ballast.model.exact.option_book import LOT, OptionLeg, Order, board_of, market_of
from ballast.model.exact.option_engine import OptionOutcome
from ballast.model.exact.oracle import Mark
from ballast.model.exact.structs import Health, Leg, Outcome, struct

MIN_DISCOUNT_BPS = 6_000


@struct
class Result:
    """ILiquidator.Result."""

    share: int
    penalty: int
    reward: int


@struct
class Case:
    """An account below maintenance and what is to go: ``share`` of the request and ``penalty`` on that share."""

    account: str
    before: Health
    after: Health
    share: int
    penalty: int


class Margin(Protocol):
    """What Liquidator asks of Margin."""

    def assess(self, account: str, cash: int, mask: int, now: int) -> Health: ...
    def assess_change(
        self, account: str, cash: int, mask: int, market: int, size: int, orders: Sequence[Order], now: int
    ) -> Health: ...
    def check_initial(self, account: str, cash: int, mask: int, now: int) -> bool: ...


class Ledger(Protocol):
    """What Liquidator asks of the Clearinghouse."""

    liquidator_share_bps: int

    def account(self, owner: str) -> tuple[int, int]: ...
    def pay_penalty(self, account: str, penalty: int, liquidator: str, liquidator_share_bps: int) -> int: ...
    def pay_reward(self, receiver: str, amount: int) -> int: ...


class PerpEngine(Protocol):
    """What Liquidator asks of PerpEngine."""

    def legs(self, account: str, mask: int, now: int) -> list[Leg]: ...
    def penalty_bps(self, market: int) -> int: ...
    def close_for(self, account: str, market: int, size_delta: int, checked: bool, now: int) -> Outcome: ...
    def transfer(self, giver: str, taker: str, market: int, size: int, now: int) -> None: ...


class OptionEngine(Protocol):
    """What Liquidator asks of OptionEngine."""

    def penalty_bps(self, market: int) -> int: ...
    def close_for(self, account: str, orders: Sequence[Order], checked: bool, now: int) -> OptionOutcome: ...
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
        case, part = self._judge_perp(account, market, size, now)
        outcome = self.perp_engine.close_for(account, market, -part, False, now)
        return self._pay_caller(case, outcome.half_spread, outcome.charge, caller)

    def liquidate_options(self, account: str, orders: Sequence[Order], caller: str, now: int) -> Result:
        """Close options of one board at the vault's quote."""
        case, parts = self._judge_options(account, orders, now)
        assert self.option_engine is not None
        outcome = self.option_engine.close_for(account, parts, False, now)
        return self._pay_caller(case, outcome.half_spread, outcome.charge, caller)

    def take_perp(self, account: str, market: int, size: int, caller: str, now: int) -> Result:
        """Move a perpetual to the caller's account at the mark, at a discount."""
        case, part = self._judge_perp(account, market, size, now)
        self.perp_engine.transfer(account, caller, market, part, now)
        return self._pay_taker(case, caller, now)

    def take_options(self, account: str, orders: Sequence[Order], caller: str, now: int) -> Result:
        """Move options of one board to the caller's account at the mark, at a discount."""
        case, parts = self._judge_options(account, orders, now)
        assert self.option_engine is not None
        self.option_engine.transfer(account, caller, [Order(part.series, -part.size) for part in parts], now)
        return self._pay_taker(case, caller, now)

    # ── internal: what is to go ──

    def _judge_perp(self, account: str, market: int, size: int, now: int) -> tuple[Case, int]:
        """The case; the part of the position that goes, in its sign [base, WAD]."""
        price = self._sync_traded(market, now)
        cash, mask, before = self._assess(account, now)
        part = 0
        if mask >> market & 1:
            held = self.perp_engine.legs(account, 1 << market, now)[0].size
            part = min(size, abs(held)) * (-1 if held < 0 else 1)
        require(part != 0, "liquidation: no position")
        assert self.margin is not None
        after = self.margin.assess_change(account, cash, mask, market, -part, [], now)
        penalty = mul_div_up(mul_up(abs(part), price), self.perp_engine.penalty_bps(market), BPS)
        case = _scaled(account, before, after, penalty)
        return case, mul_up(abs(part), case.share) * (-1 if part < 0 else 1)

    def _judge_options(self, account: str, orders: Sequence[Order], now: int) -> tuple[Case, list[Order]]:
        """The case; the orders that are carried out."""
        require(len(orders) != 0, "liquidation: no orders")
        market = market_of(board_of(orders[0].series))
        price = self._sync_traded(market, now)
        cash, mask, before = self._assess(account, now)
        assert self.option_book is not None
        assert self.option_engine is not None
        assert self.margin is not None
        held = {leg.series: leg.size for leg in self.option_book.legs(account, now)}
        wanted = [Order(order.series, _shrinking(order.size, held.get(order.series, 0))) for order in orders]
        parts = [order for order in wanted if order.size != 0]
        require(len(parts) != 0, "liquidation: no position")
        after = self.margin.assess_change(account, cash, mask, market, 0, parts, now)
        notional = mul_up(sum(max(part.size, 0) for part in parts), price)
        case = _scaled(account, before, after, mul_div_up(notional, self.option_engine.penalty_bps(market), BPS))
        gone = []
        for part in parts:
            size = (mul_up(abs(part.size), case.share) + LOT - 1) // LOT * LOT
            gone.append(Order(part.series, -size if part.size < 0 else size))
        return case, gone

    def _sync_traded(self, market: int, now: int) -> int:
        """A price to trade at."""
        mark = self.oracle.sync(market, now)
        require(mark.fresh, "oracle: stale price")
        return mark.price

    def _assess(self, account: str, now: int) -> tuple[int, int, Health]:
        """Cash, mask and health of an account that is below maintenance."""
        cash, mask = self.clearinghouse.account(account)
        self._sync(mask, False, now)
        assert self.margin is not None
        health = self.margin.assess(account, cash, mask, now)
        require(health.equity < health.maintenance, "liquidation: account is healthy")
        return cash, mask, health

    def _sync(self, mask: int, fresh: bool, now: int) -> None:
        markets = mask | mask >> OPTION_BIT
        for market in range(MAX_MARKETS):
            if markets >> market & 1:
                require(self.oracle.sync(market, now).fresh or not fresh, "oracle: stale price")

    # ── internal: what it costs ──

    def _pay_caller(self, case: Case, half_spread: int, charge: int, caller: str) -> Result:
        """Half-spread and charge are what closing cost the account [quote, WAD]."""
        least = min(half_spread, MAX_REWARD)
        share_bps = self.clearinghouse.liquidator_share_bps
        penalty = min(max(case.penalty, least), _affordable(case, half_spread + charge))
        paid = self.clearinghouse.pay_penalty(case.account, penalty, caller, share_bps)
        reward = paid * share_bps // BPS
        if reward < least:
            reward += self.clearinghouse.pay_reward(caller, least - reward)
        return Result(case.share, paid, reward)

    def _pay_taker(self, case: Case, caller: str, now: int) -> Result:
        """Pay who took a position over, and have Margin judge him with it."""
        maintenance = case.before.maintenance
        fallen = maintenance - max(case.before.equity, 0)
        share_bps = MIN_DISCOUNT_BPS + mul_div_down(BPS - MIN_DISCOUNT_BPS, fallen, maintenance)
        penalty = min(case.penalty, _affordable(case, 0))
        paid = self.clearinghouse.pay_penalty(case.account, penalty, caller, share_bps)
        cash, mask = self.clearinghouse.account(caller)
        self._sync(mask, True, now)
        assert self.margin is not None
        require(self.margin.check_initial(caller, cash, mask, now), "margin: below initial")
        return Result(case.share, paid, paid * share_bps // BPS)


def _shrinking(order: int, held: int) -> int:
    """The part of an order that shrinks a position, in whole lots; 0 if it would grow [base, WAD]."""
    part = min(max(order, 0), -held) if held < 0 else max(min(order, 0), -held)
    return tdiv(part, LOT) * LOT


def _scaled(account: str, before: Health, after: Health, penalty: int) -> Case:
    """What of a request is enough, and its penalty; ``penalty`` is that on all of it."""
    require(after.maintenance < before.maintenance, "liquidation: requirement would not fall")
    missing, relief = before.initial - before.equity, before.initial - after.initial - penalty
    share = div_up(missing, relief) if missing < relief else WAD
    return Case(account, before, after, share, mul_up(penalty, share))


def _affordable(case: Case, cost: int) -> int:
    """The most that leaves equity / maintenance where it was, rounded down [quote, WAD]."""
    equity, maintenance = case.before.equity, case.before.maintenance
    if equity <= 0:
        return 0
    left = maintenance - mul_down(maintenance - case.after.maintenance, case.share)
    return max(equity - cost - mul_div_up(equity, left, maintenance), 0)
