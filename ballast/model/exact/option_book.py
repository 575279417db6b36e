"""Integer twin of ``contracts/options/OptionBook.vy`` and its modules ``series.vy``, ``boards.vy``, ``positions.vy``.

Names, order and rounding are the contract's. Not mirrored: roles, and the packing of words; their ranges are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from ballast.model.exact import option_pricer
from ballast.model.exact.fixed import (
    BPS,
    WAD,
    WIDE,
    YEAR,
    ceil_div,
    floor_div,
    mul_down,
    mul_floor,
    mul_up,
    require,
    root_down,
    sub_floor,
    tdiv,
)
from ballast.model.exact.option_pricer import Line, Totals
from ballast.model.exact.oracle import Mark
from ballast.model.exact.structs import Change, Exposure, struct
from ballast.model.exact.vol_surface import Smile

# ── series.vy ──

STRIKE_UNIT = 10**10
LOT = 10**12
MAX_LOTS = 2**62
MAX_STRIKES = 24
MAX_LEGS = 16
MAX_BOARDS = 16
DAY = 86_400
SETTLEMENT_HOUR = 8 * 3_600
U64 = 2**64 - 1


def pack(strike: int, index: int, key: int, is_put: bool) -> int:
    """The id of a series; strike [STRIKE_UNIT]."""
    return strike << 40 | index << 32 | key << 8 | is_put


def key_of(market: int, expiry: int) -> int:
    """The key of a board; 0 where there can be none."""
    if expiry % DAY != SETTLEMENT_HOUR or expiry // DAY > 2**16 - 1 or market > 255:
        return 0
    return expiry // DAY << 8 | market


def board_of(series: int) -> int:
    """The key of a series' board."""
    return series >> 8 & 0xFFFFFF


def market_of(key: int) -> int:
    """The market of a board."""
    return key & 255


def expiry_of(key: int) -> int:
    """The expiry of a board [s since 1970]."""
    return (key >> 8) * DAY + SETTLEMENT_HOUR


def index_of(series: int) -> int:
    """The place of a series' strike on its board."""
    return series >> 32 & 255


def strike_of(series: int) -> int:
    """The strike of a series [STRIKE_UNIT]."""
    return series >> 40


def is_put(series: int) -> bool:
    """Whether a series is a put; else a call."""
    return bool(series & 1)


# ── structs of IOptionBook.vyi and boards.vy ──


@struct
class Order:
    """IOptionBook.Order: size [base, WAD] > 0 buys."""

    series: int
    size: int


@struct
class Filled:
    """IOptionBook.Filled [LOT]."""

    before: int
    after: int
    net_before: int
    net_after: int


@struct
class Fill:
    """IOptionBook.Fill."""

    orders: tuple[Filled, ...]
    premium: int
    spread_cap: int
    interest: int
    market_interest: int
    is_live: bool
    closing_only: bool
    holds: bool
    is_short: bool
    change: Change


@struct
class OptionLeg:
    """IOptionBook.Leg."""

    series: int
    market: int
    expiry: int
    strike: int
    is_put: bool
    size: int
    settlement: int


@struct
class Point:
    """Where a board's totals are of, and what is listed."""

    spot: int = 0
    time: int = 0
    surface: int = 0
    horizon: int = 0
    strikes: int = 0
    closing_only: bool = False
    listed: bool = False


@struct
class Holding:
    """Totals of a board, interest [LOT] and number of positions: boards.Holding."""

    value: int = 0
    delta: int = 0
    gamma: int = 0
    theta: int = 0
    vega: int = 0
    stress: tuple[int, ...] = (0,) * 8
    interest: int = 0
    legs: int = 0


@struct
class Settled:
    """boards.Settlement."""

    price: int = 0
    owed: int = 0
    legs: int = 0


@struct
class Strike:
    """strike [STRIKE_UNIT], nets of all accounts [LOT]."""

    strike: int
    calls: int = 0
    puts: int = 0


NO_POINT, NO_TOTALS, NO_SETTLEMENT = Point(), Holding(), Settled()

# ── OptionBook.vy ──

MONTH = 30 * DAY
BAND_BPS = 300
NEAR = 3 * DAY
MAX_AGE = 1_800
AGE_SHARE = 4
PREMIUM_SHARE = 8
LAG_Z = 2


class Surface(Protocol):
    """What the book asks of VolSurface."""

    def smile(self, market: int, expiry: int, now: int) -> Smile: ...
    def timestamp(self, market: int) -> int: ...


@struct
class Plan:
    """Orders applied in memory."""

    key: int
    book: Holding
    touched: dict[int, Strike]
    legs: dict[int, int]


@dataclass(slots=True)
class OptionBook:
    """Twin of ``OptionBook.vy``. ``legs_of`` keeps an account's positions in the contract's order."""

    surface: Surface
    points: dict[int, Point] = field(default_factory=dict)
    books: dict[int, Holding] = field(default_factory=dict)
    smiles: dict[int, Smile] = field(default_factory=dict)  # of the points; is_live says nothing
    settlements: dict[int, Settled] = field(default_factory=dict)
    strikes: dict[int, tuple[Strike, ...]] = field(default_factory=dict)
    live: dict[int, tuple[int, ...]] = field(default_factory=dict)  # day numbers by market, the newest first
    interest: dict[int, int] = field(default_factory=dict)  # [LOT] by market
    unsettled: dict[int, int] = field(default_factory=dict)  # positions on settled boards, by market
    legs_of: dict[str, dict[int, int]] = field(default_factory=dict)  # account: series: [LOT]

    # ── the engine ──

    def renew(self, key: int, mark: Mark, horizon: int, now: int) -> Change:
        """Move a board's point to now; what that adds to the inventory."""
        point, expiry = self._point(key), expiry_of(key)
        require(point.listed, "options: not listed")
        smile = self.surface.smile(market_of(key), expiry, now)
        old = self._book(key)
        moved = replace(point, spot=mark.price, time=now, surface=smile.timestamp, horizon=horizon)
        self.points[key], self.smiles[key] = moved, replace(smile, is_live=False)
        if old.legs == 0:
            return Change()
        totals = self.recomputed(key)
        new = Holding(
            totals.value, totals.delta, totals.gamma, totals.theta, totals.vega, totals.stress, old.interest, old.legs
        )
        change = _difference(point, old, moved, new, mark.price, expiry)
        self._save(key, new)
        return change

    def recomputed(self, key: int) -> Totals:
        """The totals of a board from its strikes alone, at its point."""
        point, lines = self.points[key], [_line(held) for held in self.strikes[key] if held.calls or held.puts]
        return option_pricer.change(_where(self.smiles[key], expiry_of(key), point.spot, point.time), lines)

    def apply(self, account: str, orders: Sequence[Order], mark: Mark, now: int) -> Fill:
        """Book the orders of one account on one board."""
        plan, fill = self._plan(account, orders, mark, now)
        self._save(plan.key, plan.book)
        strikes = list(self.strikes[plan.key])
        for index, held in plan.touched.items():
            _check(held.calls, 64)
            _check(held.puts, 64)
            strikes[index] = held
        self.strikes[plan.key] = tuple(strikes)
        require(fill.market_interest <= U64, "options: out of range")
        self.interest[market_of(plan.key)] = fill.market_interest
        self.legs_of[account] = plan.legs
        return fill

    def preview(self, account: str, orders: Sequence[Order], mark: Mark, now: int) -> Fill:
        """What ``apply`` would answer."""
        return self._plan(account, orders, mark, now)[1]

    def expire(self, key: int, mark: Mark, price: int) -> tuple[int, int, Change]:
        """Fix the price of a board and take it out of the totals: payoff, positions, what the inventory loses."""
        point, market = self._point(key), market_of(key)
        require(point.listed, "options: not listed")
        require(key not in self.settlements, "options: already settled")
        book, payoff, change = self._book(key), 0, Change()
        if book.legs != 0:
            for held in self.strikes[key]:
                payoff += _payoff_up(held.strike, held.calls, False, price)
                payoff += _payoff_up(held.strike, held.puts, True, price)
            change = _difference(point, book, point, NO_TOTALS, mark.price, expiry_of(key))
            self.interest[market] -= book.interest
            self.unsettled[market] = self.unsettled.get(market, 0) + book.legs
        self.books.pop(key, None)
        _check(payoff, 112)
        self.settlements[key] = Settled(price, payoff, book.legs)
        self.live[market] = tuple(day for day in self.live[market] if day != key >> 8)
        return payoff, book.legs, change

    def pay_out(self, key: int, account: str) -> tuple[int, bool, bool]:
        """Close the positions on a settled board: what it is owed; whether it had any; whether it has others."""
        settlement = self.settlements.get(key, NO_SETTLEMENT)
        require(settlement.price != 0, "options: not settled")
        held = self.legs_of.get(account, {})
        legs = {series: lots for series, lots in held.items() if board_of(series) != key}
        if len(legs) == len(held):
            return 0, False, False
        payoff = -sum(
            _payoff_up(strike_of(series), -lots, is_put(series), settlement.price)
            for series, lots in held.items()
            if board_of(series) == key
        )
        self.settlements[key] = Settled(
            settlement.price, settlement.owed - payoff, settlement.legs - len(held) + len(legs)
        )
        self.unsettled[market_of(key)] -= len(held) - len(legs)
        self.legs_of[account] = legs
        return payoff, True, _holds(legs, market_of(key))

    def clear(self, key: int) -> int:
        """Forget a settled board; what rounding left."""
        settlement = self.settlements.get(key, NO_SETTLEMENT)
        require(settlement.price != 0, "options: not settled")
        require(settlement.legs == 0, "options: accounts left")
        del self.settlements[key], self.points[key], self.strikes[key]
        self.smiles.pop(key, None)
        return settlement.owed

    def add_strikes(self, key: int, strikes: Sequence[int]) -> None:
        """Open a board, or add strikes [quote/base, WAD] to one."""
        point, market = self._point(key), market_of(key)
        live = self.live.get(market, ())
        if not point.listed:
            require(len(live) < MAX_BOARDS, "options: too many boards")
            live = (key >> 8, *live)
        listed = list(self.strikes.get(key, ()))
        for strike in strikes:
            units = strike // STRIKE_UNIT
            require(strike % STRIKE_UNIT == 0 and units <= U64, "options: strike unit")
            require(len(listed) < MAX_STRIKES, "options: too many strikes")
            require(all(held.strike != units for held in listed), "options: already listed")
            listed.append(Strike(units))
        self.live[market], self.strikes[key] = live, tuple(listed)
        self.points[key] = replace(point, strikes=len(listed), listed=True)

    def close(self, key: int) -> None:
        """Positions on the board can only shrink from now on."""
        point = self._point(key)
        require(point.listed, "options: not listed")
        self.points[key] = replace(point, closing_only=True)

    # ── views ──

    def is_due(self, key: int, price: int, now: int) -> bool:
        """Whether the board's point has to be renewed."""
        return _is_due(self._point(key), expiry_of(key), price, self.surface.timestamp(market_of(key)), now)

    def legs(self, account: str, now: int) -> list[OptionLeg]:
        """The account's positions."""
        result = []
        for series, lots in self.legs_of.get(account, {}).items():
            key = board_of(series)
            expiry = expiry_of(key)
            price = self.settlements.get(key, NO_SETTLEMENT).price if now >= expiry else 0
            result.append(
                OptionLeg(
                    series, market_of(key), expiry, strike_of(series) * STRIKE_UNIT, is_put(series), lots * LOT, price
                )
            )
        return result

    def book_value(self, prices: Sequence[int], now: int) -> tuple[int, int, bool]:
        """What the vault's options are worth, age of the oldest surface, whether LPs may act on it."""
        value, age, usable = 0, 0, True
        for market, price in enumerate(prices):
            if self.unsettled.get(market, 0):
                usable = False
            if not self.interest.get(market, 0):
                continue
            surface = self.surface.timestamp(market)
            for day in reversed(self.live.get(market, ())):
                key = day << 8 | market
                book, point, expiry = self._book(key), self._point(key), expiry_of(key)
                if (book.value, book.delta, book.gamma, book.theta) == (0, 0, 0, 0):
                    continue
                age = max(age, now - point.surface)
                usable = usable and now < expiry and not _is_due(point, expiry, price, surface, now)
                value += _expanded(point, book, price, min(now, expiry))
        return value, age, usable

    def smile(self, market: int, expiry: int) -> Smile:
        """What the surface of the board's point said of it."""
        return self.smiles.get(key_of(market, expiry), Smile())

    def expiries(self, market: int) -> list[int]:
        """Of the boards that are not settled, as the contract lists them."""
        return [expiry_of(day << 8) for day in self.live_word(market)]

    def live_word(self, market: int) -> tuple[int, ...]:
        """Day numbers from the lowest bits of the word."""
        return self.live.get(market, ())

    def exposure(self, key: int) -> Exposure:
        """What Inventory has of a board."""
        return _exposure(self._point(key), self._book(key), expiry_of(key))

    def told(self, key: int, price: int) -> int:
        """What Inventory takes a board to be worth at a price."""
        return _told(self._point(key), self._book(key), price)

    # ── internal ──

    def _point(self, key: int) -> Point:
        return self.points.get(key, NO_POINT)

    def _book(self, key: int) -> Holding:
        return self.books.get(key, NO_TOTALS)

    def _save(self, key: int, book: Holding) -> None:
        require(book.interest <= U64 and book.legs <= 2**32 - 1, "options: out of range")
        for field_ in (book.vega, book.value, book.delta, book.gamma, book.theta):
            _check(field_, 128)
        for x in book.stress:
            require(-(2**31) <= x < 2**31, "stress: out of range")
        self.books[key] = book

    def _plan(self, account: str, orders: Sequence[Order], mark: Mark, now: int) -> tuple[Plan, Fill]:
        key = board_of(orders[0].series)
        market, expiry = market_of(key), expiry_of(key)
        point, old = self._point(key), self._book(key)
        listed = self.strikes.get(key, ())
        legs = dict(self.legs_of.get(account, {}))
        touched: dict[int, Strike] = {}
        interest, opened, traded = old.interest, old.legs, 0
        filled = []
        for order in orders:
            index, put = index_of(order.series), is_put(order.series)
            if index not in touched:
                require(index < point.strikes, "options: not listed")
                touched[index] = listed[index]
            held = touched[index]
            require(pack(held.strike, index, key, True) == order.series | 1, "options: not listed")
            lots = tdiv(order.size, LOT)
            before = legs.get(order.series, 0)
            net = held.puts if put else held.calls
            touched[index] = replace(held, puts=net + lots) if put else replace(held, calls=net + lots)
            legs = _with(legs, order.series, before + lots)
            opened += (before == 0) - (before + lots == 0)
            interest += abs(before + lots) - abs(before)
            traded += abs(order.size)
            filled.append(Filled(before, before + lots, net, net + lots))
        lines = []
        for index, held in touched.items():
            was, becomes = _line(listed[index]), _line(held)
            lines.append(Line(was.strike, was.n_after, was.p_after, becomes.n_after, becomes.p_after))

        require(point.time != 0, "options: refresh first")
        smile = self.surface.smile(market, expiry, now)
        places = {index: i for i, index in enumerate(touched)}
        premiums = option_pricer.premiums(_where(smile, expiry, mark.price, now), [line.strike for line in lines])
        premium = cap = room = 0
        for order in orders:
            place, put, size = places[index_of(order.series)], is_put(order.series), abs(order.size)
            unit = premiums[place].put if put else premiums[place].call
            if order.size > 0:
                most = mul_down(size, lines[place].strike if put else mark.price)
                value = mul_up(size, unit)
                premium += value
                cap += max(value // PREMIUM_SHARE, mul_down(size, mark.price) // BPS)
                room += sub_floor(most, value)
            else:
                value = mul_down(size, unit)
                premium -= value
                cap += value
                room += value

        of_point = smile if smile.timestamp == point.surface else self.smiles.get(key, Smile())
        totals = option_pricer.change(_where(of_point, expiry, point.spot, point.time), lines)
        book = Holding(
            old.value + totals.value,
            old.delta + totals.delta,
            old.gamma + totals.gamma,
            old.theta + totals.theta,
            old.vega + totals.vega,
            tuple(a + b for a, b in zip(old.stress, totals.stress, strict=True)),
            interest,
            opened,
        )
        change = replace(
            _difference(point, old, point, book, mark.price, expiry),
            notional=mul_up(traded, mark.price),
            vol_age=now - smile.timestamp,
        )
        lag = LAG_Z * mul_down(mark.sigma, root_down(sub_floor(now, mark.updated_at) * WAD // YEAR))
        off = mul_down(mark.price, lag) + mark.half_width
        fill = Fill(
            tuple(filled),
            premium,
            min(room, cap + mul_down(abs(change.exposure.delta), off)),
            interest,
            self.interest.get(market, 0) + interest - old.interest,
            smile.is_live and mark.half_width * WIDE <= mark.price,
            point.closing_only,
            _holds(legs, market),
            any(lots < 0 for lots in legs.values()),
            change,
        )
        return Plan(key, book, touched, legs), fill


def _check(x: int, bits: int) -> None:
    """The range that ``boards._field`` asserts."""
    require(-(1 << bits - 1) <= x < 1 << bits - 1, "options: out of range")


def _with(legs: dict[int, int], series: int, lots: int) -> dict[int, int]:
    """Positions with one replaced, as ``positions._with``: the last one takes the place of what closes."""
    if lots != 0:
        require(series in legs or len(legs) < MAX_LEGS, "options: too many legs")
        return {**legs, series: lots}
    order = list(legs)
    last = order.pop()
    if last != series:
        order[order.index(series)] = last
    return {leg: legs[leg] for leg in order}


def _holds(legs: dict[int, int], market: int) -> bool:
    return any(market_of(board_of(series)) == market for series in legs)


def _line(held: Strike) -> Line:
    """A strike, at what the vault comes to hold of it."""
    return Line(held.strike * STRIKE_UNIT, 0, 0, -(held.calls + held.puts) * LOT, -held.puts * LOT)


def _where(smile: Smile, expiry: int, spot: int, time: int) -> option_pricer.Point:
    return option_pricer.Point(
        spot, expiry - time, expiry - smile.timestamp, smile.theta, smile.rate, smile.rho, smile.eta
    )


def _is_due(point: Point, expiry: int, price: int, surface: int, now: int) -> bool:
    if not point.listed:
        return False
    left = max(expiry - now, 0)
    if point.surface != surface or now - point.time > min(MAX_AGE, left // AGE_SHARE):
        return True
    moved, band = abs(price - point.spot) * BPS, point.spot * BAND_BPS
    return moved * moved * NEAR > band * band * min(left, NEAR)


def _difference(point: Point, old: Holding, moved: Point, new: Holding, price: int, expiry: int) -> Change:
    """What replacing a board's totals adds to the inventory."""
    before, after = _exposure(point, old, expiry), _exposure(moved, new, expiry)
    return Change(
        exposure=Exposure(after.delta - before.delta, after.gamma - before.gamma, after.vega - before.vega),
        options=True,
        stress=tuple(b - a for a, b in zip(old.stress, new.stress, strict=True)),
        book=_told(moved, new, price) - _told(point, old, price),
    )


def _exposure(point: Point, book: Holding, expiry: int) -> Exposure:
    """Gamma by the share of the horizon that is left, vega by the root of a month over the time left."""
    if book.legs == 0:
        return Exposure()
    left = expiry - point.time
    weight = math.isqrt(MONTH * WAD * WAD // max(left, DAY))
    return Exposure(
        book.delta, tdiv(book.gamma * min(left, point.horizon), point.horizon), tdiv(book.vega * weight, WAD)
    )


def _told(point: Point, book: Holding, price: int) -> int:
    return book.value + mul_floor(book.delta, price - point.spot)


def _expanded(point: Point, book: Holding, price: int, now: int) -> int:
    """value + delta dS + gamma dS^2 / 2 + theta dt, rounded down."""
    step = price - point.spot
    slope = book.delta + tdiv(mul_floor(book.gamma, step), 2)
    return book.value + mul_floor(slope, step) + floor_div(book.theta * (now - point.time), YEAR)


def _payoff_up(strike: int, lots: int, put: bool, price: int) -> int:
    """What a holder of ``lots`` receives at the price [quote, WAD], rounded up."""
    level = strike * STRIKE_UNIT
    unit = sub_floor(level, price) if put else sub_floor(price, level)
    return ceil_div(lots * LOT * unit, WAD)
