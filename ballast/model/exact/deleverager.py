"""Integer twin of ``contracts/clearing/Deleverager.vy``.

Names, order and rounding are the contract's. Not mirrored: events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ballast.model.exact.fixed import (
    BPS,
    MAX_MARKETS,
    WAD,
    mul_div_down,
    mul_div_up,
    mul_down,
    require,
)
from ballast.model.exact.margin import value
from ballast.model.exact.oracle import Mark
from ballast.model.exact.perps import Config
from ballast.model.exact.structs import Health, Leg, Outcome, struct
from ballast.model.exact.vault import Valuation

WINDOW = 60
GRACE = 600
REWARD_SHARE = 100
MAX_RATIO = 10**6 * WAD


class Ledger(Protocol):
    """What Deleverager asks of the Clearinghouse."""

    def account(self, owner: str) -> tuple[int, int]: ...
    def pay_reward(self, receiver: str, amount: int) -> int: ...


class Margin(Protocol):
    """What Deleverager asks of Margin."""

    def assess(self, account: str, cash: int, mask: int, now: int) -> Health: ...


class PerpEngine(Protocol):
    """What Deleverager asks of PerpEngine."""

    def config(self, market: int) -> Config: ...
    def legs(self, account: str, mask: int, now: int) -> list[Leg]: ...
    def book_value(self, prices: Sequence[int], now: int) -> int: ...
    def quote(self, account: str, market: int, size_delta: int, now: int) -> Outcome: ...
    def deleverage(self, account: str, market: int, size_delta: int, now: int) -> Outcome: ...


class OptionBook(Protocol):
    """What Deleverager asks of OptionBook."""

    def book_value(self, prices: Sequence[int], now: int) -> tuple[int, int, bool]: ...


class Oracle(Protocol):
    """What Deleverager asks of PriceOracle."""

    def sync(self, market: int, now: int) -> Mark: ...
    def peek(self, market: int, now: int) -> Mark: ...
    def last(self, market: int, now: int) -> Mark: ...


class Vault(Protocol):
    """What Deleverager asks of the Vault."""

    def valuation(self, now: int) -> Valuation: ...


@struct
class Status:
    """NAV, open profit of perpetuals and its excess over the target [quote, WAD]; whether it is above the trigger."""

    nav: int
    profit: int
    excess: int
    armed: bool


@struct
class Nomination:
    """Who, with which score [1, WAD], and when the window opened [s]."""

    account: str | None = None
    score: int = 0
    opened_at: int = 0


@dataclass(slots=True)
class Deleverager:
    """Twin of ``Deleverager.vy``: ``trigger_bps`` and ``target_bps`` of NAV, ``reward`` [quote, WAD]."""

    clearinghouse: Ledger
    perp_engine: PerpEngine
    option_book: OptionBook
    oracle: Oracle
    vault: Vault
    margin: Margin
    trigger_bps: int
    target_bps: int
    reward: int
    nominations: dict[int, Nomination] = field(default_factory=dict)

    def nominate(self, account: str, market: int, now: int) -> int:
        """Name the account whose position is to be closed; its score [1, WAD]."""
        nomination = self.nomination(market)
        excess = self._sync(now)
        leg = self._leg(account, market, now)
        price = self.oracle.last(market, now).price
        score = self._score(account, leg, price, excess, now)
        self._check_helps(account, market, needed(leg, price, excess), now)
        opened_at = nomination.opened_at
        if nomination.account is None or now > opened_at + WINDOW + GRACE:
            opened_at = now
        else:
            require(now < opened_at + WINDOW, "deleverage: window is over")
            require(score > nomination.score, "deleverage: score is not higher")
        self.nominations[market] = Nomination(account, score, opened_at)
        return score

    def deleverage(self, market: int, keeper: str, now: int) -> int:
        """Close what brings open profit to the target; the profit closed [quote, WAD]."""
        nomination = self.nomination(market)
        account, opened_at = nomination.account, nomination.opened_at
        require(account is not None, "deleverage: no nomination")
        assert account is not None
        require(now >= opened_at + WINDOW, "deleverage: window is open")
        require(now <= opened_at + WINDOW + GRACE, "deleverage: nomination is over")
        excess = self._sync(now)
        self.nominations[market] = Nomination()
        leg = self._leg(account, market, now)
        price = self.oracle.last(market, now).price
        if value(leg.size, leg.cost, leg.owed, price) <= 0:
            return 0
        size_delta = needed(leg, price, excess)
        self._check_helps(account, market, size_delta, now)
        outcome = self.perp_engine.deleverage(account, market, size_delta, now)
        profit = outcome.realised - outcome.owed
        self.clearinghouse.pay_reward(keeper, min(self.reward, max(profit, 0) // REWARD_SHARE))
        return profit

    def status(self, now: int) -> Status:
        """Where open profit stands at the marks that a sync would accept now."""
        listed = self._listed()
        prices = [0] * (max(listed, default=-1) + 1)  # of markets without positions
        for market in listed:
            mark = self.oracle.peek(market, now)
            require(mark.fresh, "oracle: stale price")
            prices[market] = mark.price
        require(self.option_book.book_value(prices, now)[2], "deleverage: options not valued")
        nav = self.vault.valuation(now).nav
        profit = -self.perp_engine.book_value(prices, now)
        equity = max(nav, 0)
        trigger = mul_div_up(equity, self.trigger_bps, BPS)
        target = mul_div_down(equity, self.target_bps, BPS)
        return Status(nav, profit, max(profit - target, 0), profit > trigger)

    def nomination(self, market: int) -> Nomination:
        """Who is nominated in a market."""
        require(market < MAX_MARKETS, "deleverage: no such market")
        return self.nominations.get(market, Nomination())

    # ── internal ──

    def _listed(self) -> list[int]:
        return [market for market in range(MAX_MARKETS) if self.perp_engine.config(market).listed]

    def _sync(self, now: int) -> int:
        for market in self._listed():
            self.oracle.sync(market, now)
        status = self.status(now)
        require(status.armed, "deleverage: not armed")
        return status.excess

    def _leg(self, account: str, market: int, now: int) -> Leg:
        return self.perp_engine.legs(account, 1 << market, now)[0]

    def _score(self, account: str, leg: Leg, price: int, excess: int, now: int) -> int:
        """profit / |cost| · notional / max(equity, maintenance) · min(1, profit / excess), rounded down [1, WAD]."""
        profit = value(leg.size, leg.cost, leg.owed, price)
        require(profit > 0, "deleverage: not in profit")
        health = self.margin.assess(account, *self.clearinghouse.account(account), now)
        require(health.equity > 0, "deleverage: no equity")
        notional = mul_down(abs(leg.size), price)
        gain = min(mul_div_down(profit, WAD, max(abs(leg.cost), 1)), MAX_RATIO)
        leverage = min(mul_div_down(notional, WAD, max(health.equity, health.maintenance)), MAX_RATIO)
        return mul_div_down(mul_down(gain, leverage), min(profit, excess), excess)

    def _check_helps(self, account: str, market: int, size_delta: int, now: int) -> None:
        quoted = self.perp_engine.quote(account, market, size_delta, now)
        require(quoted.charge <= 0, "deleverage: would raise risk")


def needed(leg: Leg, price: int, excess: int) -> int:
    """The change of a position in profit that takes ``excess`` off its open profit, rounded up [base, WAD]."""
    size = abs(leg.size)
    gain = value(leg.size, leg.cost, 0, price)
    wanted = excess + leg.owed
    closed = size if wanted >= gain else mul_div_up(size, wanted, gain) if wanted > 0 else 1
    return -closed if leg.size > 0 else closed
