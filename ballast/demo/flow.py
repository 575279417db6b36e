"""From recorded data to what happens in each minute of the replay: prices, oracle rounds, and orders.

Prices are a window's 1-minute closes; a minute's block is mined at its close. Rounds are posted as a push feed posts
them: when the price has moved by `DEVIATION` since the last round, or after `HEARTBEAT`.

Orders come from the GMX v2 record, three days put end to end. A minute's change of long (short) open interest, in
ETH, is traded here in base, times

    ratio = our vault's first equity / GMX's pool value that day  *  GMX's ETH price that day / our first price,

so that open interest stands to our vault as it stood to theirs. The day a record begins with brings its whole open
interest, opened over the first half hour. BTC has no record of its own: it gets the same three days turned by one
(BTC trades what ETH traded on another day), at half the size. Changes too small to matter wait until they add up.

Accounts: half go long, half short, in both markets, each at its own leverage. An increase goes to the next account in
turn; a decrease closes the largest position of that side first, then the next. Open interest follows the record: what a
liquidation has closed or a limit price has refused is asked for again, `1/CATCH_UP` of it per minute.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ballast import data

Side = Literal["long", "short"]

SIDES: tuple[Side, Side] = ("long", "short")
MARKETS: tuple[data.Asset, ...] = ("ETH", "BTC")  # in the order of market ids
DAYS = ("2025-11-11", "2025-12-11", "2025-01-08")  # of the GMX record, in replay order
BTC_SHARE = 0.5  # size of the BTC flow relative to the record
DEVIATION = 0.001  # [fraction] of the feed
HEARTBEAT = 60  # [minutes]
OPENING = 30  # [minutes] over which the first day's open interest is opened
LEAST = 250.0  # [quote] smaller changes wait
CATCH_UP = 60  # [minutes]
LEVERAGES = (3.0, 5.0, 7.0, 10.0, 15.0, 20.0)  # of the accounts of one side

DEFAULT_MINUTES = 2_160
_BEFORE_EVENT = 2 / 3  # part of the stretch that precedes the window's wildest hour


@dataclass(frozen=True, slots=True)
class Minute:
    """One minute of the replay, by market id."""

    index: int
    time: int  # [s] its close, when its block is mined
    prices: tuple[float, ...]  # [quote/base]
    rounds: tuple[bool, ...]  # the feed posts
    flow: tuple[dict[Side, float], ...]  # [base] change of each side's open interest; > 0 opens


@dataclass(frozen=True, slots=True)
class Scenario:
    """A stretch of a window, with everything recorded that the replay uses."""

    window: str
    minutes: tuple[Minute, ...]
    equity: float  # [quote] that LPs start with; sets the scale of the flow
    sigmas: tuple[float, ...]  # [1/sqrt(year)] implied volatility of the day before, by market
    wildest: int  # [s] in the middle of the window's wildest ETH hour

    @property
    def start(self) -> Minute:
        return self.minutes[0]

    def at(self, part: float) -> int:
        """The minute at which this part of the replay is over."""
        return int(part * len(self.minutes))

    @property
    def rounds(self) -> int:
        """Oracle rounds posted."""
        return sum(sum(minute.rounds) for minute in self.minutes)


def build(window: str, *, equity: float, minutes: int = DEFAULT_MINUTES) -> Scenario:
    """The stretch of `minutes` that has the window's wildest ETH hour at two thirds of its length."""
    name = data.resolve_window(window)
    bars = data.minute_window(name)
    close = np.column_stack([bars[asset].close for asset in MARKETS])
    times = bars["ETH"].ts + data.MINUTE
    length = min(minutes, len(times))
    moves = np.abs(np.log(close[60:, 0] / close[:-60, 0]))
    wildest = int(np.argmax(moves)) + 30
    wildest_at = int(times[wildest])
    first = int(np.clip(wildest - _BEFORE_EVENT * length, 0, len(times) - length))
    close, times = close[first : first + length], times[first : first + length]

    flows = [
        {side: _flow(asset, side, length, equity, float(close[0, i])) for side in SIDES}
        for i, asset in enumerate(MARKETS)
    ]
    posted = [_rounds(close[:, i]) for i in range(len(MARKETS))]
    return Scenario(
        window=name,
        minutes=tuple(
            Minute(
                index=k,
                time=int(times[k]),
                prices=tuple(float(price) for price in close[k]),
                rounds=tuple(bool(feed[k]) for feed in posted),
                flow=tuple({side: float(flow[side][k]) for side in SIDES} for flow in flows),
            )
            for k in range(length)
        ),
        equity=equity,
        sigmas=tuple(_implied(asset, int(times[0])) for asset in MARKETS),
        wildest=wildest_at,
    )


def _rounds(prices: data.Floats) -> list[bool]:
    """When a push feed posts; the deployment has posted the first price."""
    posted = [False] * len(prices)
    last, since = float(prices[0]), 0
    for k in range(1, len(prices)):
        if abs(prices[k] / last - 1) >= DEVIATION or k - since >= HEARTBEAT:
            posted[k] = True
            last, since = float(prices[k]), k
    return posted


def _flow(asset: data.Asset, side: Side, length: int, equity: float, price: float) -> data.Floats:
    """Change of one side's open interest per minute [base], small changes gathered."""
    turn = 0 if asset == "ETH" else 1
    scale = 1.0 if asset == "ETH" else BTC_SHARE
    parts = []
    for number in range(-(-length // 1_440)):
        record = data.gmx_flow(DAYS[(number + turn) % len(DAYS)])
        ratio = scale * equity / float(record.pool_value[0]) * float(record.index_price[0]) / price
        change = np.array(record.long_flow if side == "long" else record.short_flow) * ratio
        if number == 0:
            interest = float((record.oi_long if side == "long" else record.oi_short)[0]) * ratio
            change[1 : 1 + OPENING] += interest / OPENING
        parts.append(change)
    return _gathered(np.concatenate(parts)[:length], LEAST / price)


def _gathered(change: data.Floats, least: float) -> data.Floats:
    """Changes below `least` are carried to the next minute in which they matter."""
    result = np.zeros_like(change)
    waiting = 0.0
    for k, value in enumerate(change):
        waiting += value
        if abs(waiting) >= least:
            result[k], waiting = waiting, 0.0
    return result


def _implied(asset: data.Asset, time: int) -> float:
    """DVOL at the close of the day before [1/sqrt(year)]."""
    daily = data.dvol(asset)
    before = int(np.searchsorted(daily.ts, time - 86_400, side="right")) - 1
    return float(daily.close[max(before, 0)])


# ---- accounts


@dataclass(frozen=True, slots=True)
class Order:
    """What one account does in one market: `size` [base] > 0 buys."""

    account: int
    market: int
    size: float
    closing: bool


class Desk:
    """Spreads the flow over accounts; told of every position change, so that it knows what is open."""

    def __init__(self) -> None:
        self.leverages = LEVERAGES + LEVERAGES  # longs, then shorts
        self.sizes = [[0.0] * len(MARKETS) for _ in self.leverages]  # [base] signed, by account and market
        self._targets = [dict.fromkeys(SIDES, 0.0) for _ in MARKETS]  # [base] open interest of the record so far
        self._turn = 0

    def accounts(self, side: Side) -> range:
        """The accounts of a side."""
        half = len(LEVERAGES)
        return range(half) if side == "long" else range(half, 2 * half)

    def open_interest(self, market: int, side: Side) -> float:
        """[base]"""
        return sum(abs(self.sizes[account][market]) for account in self.accounts(side))

    def orders(self, minute: Minute) -> Iterator[Order]:
        """The minute's orders; `sizes` must be up to date between two of them."""
        for market, flow in enumerate(minute.flow):
            price = minute.prices[market]
            for side in SIDES:
                gap = self._targets[market][side] - self.open_interest(market, side)
                self._targets[market][side] += flow[side]
                change = flow[side] + (gap / CATCH_UP if abs(gap) * price >= CATCH_UP * LEAST else 0.0)
                if change * price >= LEAST:
                    accounts = self.accounts(side)
                    account = accounts[self._turn % len(accounts)]
                    self._turn += 1
                    yield Order(account, market, change if side == "long" else -change, closing=False)
                elif change * price <= -LEAST:
                    yield from self._decrease(market, side, -change, price)

    def _decrease(self, market: int, side: Side, amount: float, price: float) -> Iterator[Order]:
        by_size = sorted(self.accounts(side), key=lambda account: -abs(self.sizes[account][market]))
        for account in by_size:
            size = self.sizes[account][market]
            closed = min(amount, abs(size))
            if closed * price < 1.0:
                break
            yield Order(account, market, -closed if side == "long" else closed, closing=True)
            amount -= closed
