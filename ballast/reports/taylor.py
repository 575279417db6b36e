"""How far NAV is off between renewals of the option book, over recorded crashes -> docs/reports/taylor.md.

The exact twin of OptionBook replays ETH minute by minute, a day from 08:00 UTC to the next at a time. Each day begins
with the vault short of what was open at Deribit, strikes moved with spot. Book "open interest" has the expiries within
90 days and at each the eight strikes that most was open at, calls and puts; book "near" the three nearest expiries and
the eight strikes nearest spot, so that a board expires every day. `u_max` is the size at which a vault whose delta is
hedged has the utilization u_max; the other size has a premium of 1.5 % of equity. Errors are proportional to size.

Spot and level of volatility are of the same days: minute closes, and the DVOL index, whose daily high is taken to be
where spot is lowest. The smile's shape and term structure are not: no chain is recorded for these days. They are fitted
to the recorded chains of 2026, in their order, such that the lowest price of a window meets that of February 2026.
Feeders post every hour, the longest that takes new risk; boards that are due are renewed in the same minute.

The error is `book_value` less the same options valued by OptionPricer at the spot, time and surface of the minute, over
an equity of 10m. Minutes in which a board is due are left out: LPs cannot act in them.
`python -m scripts.report taylor` writes this.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from ballast import data
from ballast.data import Bars, Floats, OptionChain
from ballast.model.exact import option_pricer
from ballast.model.exact.fixed import WAD
from ballast.model.exact.option_book import LOT, STRIKE_UNIT, OptionBook, Order, expiry_of, key_of, pack
from ballast.model.exact.oracle import Mark
from ballast.model.exact.vol_surface import Drift, VolSurface
from ballast.reports import REPORTS, ReportFailed
from ballast.surface import Surface, fit, quotes_of
from ballast.surface.signing import update_of
from ballast.surface.ssvi import DAY, YEAR

EQUITY = 10_000_000  # [quote]
U_MAX = 0.9
PREMIUM = 0.015  # of equity
BOUND = 2.0  # [bp of equity]
STRIKES = 8
FARTHEST = 90 * DAY
POSTS = 3_600  # [s] between surfaces
MINUTE = 60
OPENING = 8 * 3_600  # [s] after midnight
MONTH = 30 * DAY / YEAR
ETH = 0  # the market
FREE = Drift(*(10**6 * WAD,) * 6, POSTS)  # what feeders may post is not measured here


@dataclass(frozen=True, slots=True)
class Day:
    """One day of a window: its minutes, the chain of 2026 that it borrows, the surfaces of its beginning and end."""

    window: str
    start: int
    bars: Bars
    chain: OptionChain
    first: Surface  # at the start: forwards and expiries are the day's
    last: Surface

    @property
    def spot(self) -> float:
        """At the start [quote/base]."""
        return float(self.bars.open[0])

    def surface(self, now: int, spot: float) -> Surface:
        """What feeders post: the shape moves evenly to the day after, the level with DVOL."""
        done, live = (now - self.start) / DAY, self.first.expiry > now
        years, left = self.first.years()[live], (self.first.expiry[live] - now) / YEAR
        rate = np.log(self.first.forward[live] / self.spot) / years
        level = dvol(now) / float(np.sqrt(np.interp(MONTH, self.first.years(), self.first.theta) / MONTH))
        return Surface(
            now,
            self.first.rho + done * (self.last.rho - self.first.rho),
            self.first.eta + done * (self.last.eta - self.first.eta),
            self.first.expiry[live],
            spot * np.exp(rate * left),
            self.first.theta[live] * left / years * level**2,
        )


@dataclass(frozen=True, slots=True)
class Replay:
    """A book of size u_max over a day."""

    window: str
    error: tuple[float, ...]  # [bp of equity], of each minute in which no board was due
    ordinary: float  # size of the ordinary book over this one
    minutes: int
    renewals: float  # of each board
    base: float  # contracts, one of base each


@dataclass(frozen=True, slots=True)
class Row:
    """Errors of a book over a window [bp of equity]; share of minutes in which a board is due."""

    window: str
    book: str
    size: str
    days: int
    median: float
    high: float  # 99 of 100 minutes are below
    most: float
    due: float
    renewals: float  # of each board and day


def measure(windows: Iterable[str] | None = None) -> list[Row]:
    """Every minute of the windows, for both books at both sizes."""
    rows: list[Row] = []
    for window in windows or data.minute_windows():
        for book in ("open interest", "near"):
            rows += summary(book, [replay(day, near=book == "near") for day in days(window)])
    return rows


def days(window: str) -> Iterator[Day]:
    """The days of a window from 08:00 UTC on; the last may be short."""
    bars, chains = data.minute_window(window)["ETH"], data.option_chains("ETH")
    crash = min(range(len(chains)), key=lambda i: float(chains[i].index_price[0]) if _february(chains[i]) else np.inf)
    lowest = (int(bars.ts[np.argmin(bars.low)]) - OPENING) // DAY
    for number in range(-(-(int(bars.ts[0]) - OPENING) // DAY), (int(bars.ts[-1]) - OPENING) // DAY + 1):
        start = number * DAY + OPENING
        minutes = bars.between(start, start + DAY)
        i = min(max(crash + number - lowest, 0), len(chains) - 2)
        spot = float(minutes.open[0])
        fitted = _fitted(i)
        there = replace(fitted, forward=fitted.forward * spot / float(chains[i].index_price[0]))
        yield Day(window, start, minutes, chains[i], there.as_of(start, spot), _fitted(i + 1))


def replay(day: Day, *, near: bool) -> Replay:
    """A book's error in every minute of a day."""
    surface = VolSurface({ETH: FREE})
    surface.post(update_of(day.surface(day.start, day.spot), ETH, day.spot), day.start)
    probe = book_of(day, surface, near, 1.0)
    size = U_MAX / _utilization(probe)
    book = book_of(day, surface, near, size)
    keys = list(book.points)
    error, renewals, posted = [], 0, day.start
    for opened, close in zip(day.bars.ts.tolist(), day.bars.close.tolist(), strict=True):
        now, mark = opened + MINUTE, mark_of(close)
        keys = [key for key in keys if expiry_of(key) > now]
        if len(keys) < len(book.points):
            break  # the first board expires where the day ends
        if now - posted >= POSTS:
            surface.post(update_of(day.surface(now, close), ETH, close), now)
            posted = now
        due = [key for key in keys if book.is_due(key, mark.price, now)]
        for key in due:
            book.renew(key, mark, DAY, now)
        renewals += len(due)
        if not due:
            value, _, usable = book.book_value([mark.price], now)
            assert usable
            exact = sum(valued(book, surface, key, mark.price, now) for key in keys)
            error.append((value - exact) / (EQUITY * WAD) * 10_000)
    held = sum(abs(held.calls) + abs(held.puts) for key in keys for held in book.strikes[key])
    ordinary = PREMIUM * EQUITY * WAD / -sum(probe.books[key].value for key in probe.books) / size
    return Replay(day.window, tuple(error), ordinary, len(day.bars), renewals / len(book.points), held * LOT / WAD)


def book_of(day: Day, surface: VolSurface, near: bool, size: float) -> OptionBook:
    """The book of the day's start; accounts are long `size` times what was open."""
    book, chain, mark = OptionBook(surface), day.chain, mark_of(day.spot)
    moved = day.spot / float(chain.index_price[0])
    shift = (day.start - chain.ts) // DAY * DAY  # as in Surface.as_of
    expiries = [int(expiry) for expiry in day.first.expiry if expiry <= day.start + FARTHEST]
    for expiry in expiries[: 3 if near else None]:
        listed = chain.expiry == expiry - shift
        strikes = np.unique(chain.strike[listed])
        if near:
            rank = abs(np.log(strikes * moved / day.spot))
        else:
            rank = -np.array([chain.open_interest[listed & (chain.strike == strike)].sum() for strike in strikes])
        strikes = np.sort(strikes[np.argsort(rank)[:STRIKES]])
        key, units = key_of(ETH, expiry), [round(float(strike) * moved * WAD / STRIKE_UNIT) for strike in strikes]
        book.add_strikes(key, [unit * STRIKE_UNIT for unit in units])
        book.renew(key, mark, DAY, day.start)
        orders = []
        for i, (strike, unit) in enumerate(zip(strikes, units, strict=True)):
            for is_put in (False, True):
                open_ = chain.open_interest[listed & (chain.strike == strike) & (chain.is_call != is_put)].sum()
                lots = int(float(open_) * size * WAD) // LOT
                if lots > 0:
                    orders.append(Order(pack(unit, i, key, is_put), lots * LOT))
        book.apply(f"buyer of {key}", orders, mark, day.start)
    return book


def valued(book: OptionBook, surface: VolSurface, key: int, price: int, now: int) -> int:
    """A board at a price, time and the surface of now [quote, WAD]."""
    held, smile = book.strikes[key], surface.smile(ETH, expiry_of(key), now)
    point = option_pricer.Point(
        price,
        expiry_of(key) - now,
        expiry_of(key) - smile.timestamp,
        smile.theta,
        smile.rate,
        smile.rho,
        smile.eta,
    )
    options = option_pricer.premiums(point, [strike.strike * STRIKE_UNIT for strike in held])
    return -sum(
        (strike.calls * option.call + strike.puts * option.put) * LOT // WAD
        for strike, option in zip(held, options, strict=True)
    )


@cache
def dvol(now: int) -> float:
    """The index at a time: from a day's opening to its high, where ETH is lowest by the hour, and to its close."""
    index, hours = data.dvol("ETH"), data.hourly("ETH")
    i = int(np.searchsorted(index.ts, now, "right")) - 1
    midnight = int(index.ts[i])
    day = hours.between(midnight, midnight + DAY)
    lowest = int(day.ts[np.argmin(day.low)]) + 1_800
    return float(np.interp(now, [midnight, lowest, midnight + DAY], [index.open[i], index.high[i], index.close[i]]))


def summary(book: str, replays: Sequence[Replay]) -> list[Row]:
    """Over the days of a window, at both sizes."""
    whole = [np.abs(np.array(day.error)) for day in replays]
    ordinary = [errors * day.ordinary for errors, day in zip(whole, replays, strict=True)]
    good, minutes = sum(len(day.error) for day in replays), sum(day.minutes for day in replays)
    days_ = minutes * MINUTE / DAY
    return [
        Row(
            replays[0].window,
            book,
            size,
            len(replays),
            *_percentiles(np.concatenate(errors)),
            1 - good / minutes,
            sum(day.renewals for day in replays) / days_,
        )
        for size, errors in ((f"{PREMIUM:.1%} premium", ordinary), ("u_max", whole))
    ]


def report(rows: Sequence[Row], folder: Path = REPORTS) -> None:
    """Write taylor.json and taylor.md."""
    (folder / "taylor.json").write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    text = ["# NAV between renewals", "", *(__doc__ or "").splitlines()[2:], "", *lines(rows)]
    (folder / "taylor.md").write_text("\n".join(text) + "\n")


def lines(rows: Sequence[Row]) -> list[str]:
    """The table."""
    head = [
        "| window | book | size | days | median, bp | 99 %, bp | most, bp | due | renewals a day of each board |",
        "|---|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    return head + [
        f"| {r.window} | {r.book} | {r.size} | {r.days} | {r.median:.3f} | {r.high:.2f} | **{r.most:.2f}** |"
        f" {r.due:.1%} | {r.renewals:.0f} |"
        for r in rows
    ]


def compare(rows: Sequence[Row]) -> None:
    """Raise ReportFailed where an error is over the bound."""
    failures = [f"{r.window}, {r.book}, {r.size}: {r.most:.2f} bp are over {BOUND:g}" for r in rows if r.most > BOUND]
    if failures:
        raise ReportFailed("\n".join(failures))


def _percentiles(errors: Floats) -> tuple[float, float, float]:
    return float(np.median(errors)), float(np.quantile(errors, 0.99)), float(errors.max())


def _utilization(book: OptionBook) -> float:
    """Worst stress of all boards, delta hedged, over equity."""
    totals = [sum(held.stress[i] for held in book.books.values()) for i in range(8)]
    return -min(totals) / EQUITY


def mark_of(price: float) -> Mark:
    """A price, and nothing else that the book reads."""
    return Mark(round(price * WAD), 0, 0, 0, 0, 0, True)


def _february(chain: OptionChain) -> bool:
    return 1_769_904_000 <= chain.ts < 1_772_323_200  # 2026


@cache
def _fitted(i: int) -> Surface:
    return fit(quotes_of(data.option_chains("ETH")[i])).surface
