"""Integer twin of ``contracts/clearing/Margin.vy`` and its module ``requirement.vy``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from ballast.model.exact import black76, scenarios, ssvi
from ballast.model.exact.fixed import (
    BPS,
    MARKETS,
    OPTION_BIT,
    WAD,
    floor_div,
    mul_div_up,
    mul_floor,
    mul_up,
    require,
    tdiv,
)
from ballast.model.exact.option_book import (
    STRIKE_UNIT,
    OptionLeg,
    Order,
    board_of,
    expiry_of,
    is_put,
    strike_of,
)
from ballast.model.exact.oracle import Mark
from ballast.model.exact.structs import Health, Leg
from ballast.model.exact.vol_surface import Smile

# ── requirement.vy ──

EXIT = 42 * 10**15


def value(size: int, cost: int, owed: int, price: int) -> int:
    """size · price - cost - owed [quote, WAD], rounded down."""
    return mul_floor(size, price) - cost - owed


def required(size: int, price: int, fraction_bps: int) -> int:
    """|size| · price · fraction [quote, WAD], rounded up."""
    return mul_div_up(abs(size) * price, fraction_bps, WAD * BPS)


def exit_cost(size: int, price: int, sigma: int, cap: int) -> int:
    """notional · sigma · EXIT · min(1, notional / cap) [quote, WAD], rounded up."""
    notional = mul_up(abs(size), price)
    cost = mul_div_up(notional, sigma * EXIT, WAD * WAD)
    return mul_div_up(cost, notional, cap) if notional < cap else cost


def intrinsic(strike: int, is_put: bool, price: int) -> int:
    """What exercise pays [quote per unit of base, WAD]."""
    return max(strike - price if is_put else price - strike, 0)


def worth(size: int, unit: int) -> int:
    """size · unit [quote, WAD], rounded against the account."""
    return mul_floor(size, unit)


# ── Margin.vy ──

INITIAL, MAINTENANCE, NEWEST = 1, 2, 4
N_SPOTS = 7
VOL_UP, VOL_DOWN = 60 * 10**16, 30 * 10**16
MONTH, DAY = 30 * 86_400, 86_400
MAX_LOG = MAX_WIDTH = 2**103 - 1
BPS_WAD = 10**14


class Ledger(Protocol):
    """What Margin asks of the Clearinghouse."""

    def in_progress(self) -> bool: ...

    def account(self, owner: str) -> tuple[int, int]:
        """Cash and mask."""


class Engine(Protocol):
    """What Margin asks of PerpEngine."""

    def legs(self, account: str, mask: int, now: int) -> list[Leg]:
        """The account's positions, accrued to now."""


class OptionEngine(Protocol):
    """What Margin asks of OptionEngine."""

    def margin_bps(self, market: int) -> tuple[int, int, int]:
        """Initial, floor and maintenance."""


class OptionBook(Protocol):
    """What Margin asks of OptionBook."""

    def legs(self, account: str, now: int) -> list[OptionLeg]:
        """The account's options."""


class Surface(Protocol):
    """What Margin asks of VolSurface."""

    def smile(self, market: int, expiry: int, now: int) -> Smile:
        """What the surface says of one expiry."""


class Oracle(Protocol):
    """What Margin asks of PriceOracle."""

    def last(self, market: int, now: int) -> Mark:
        """The last recorded mark."""

    def peek(self, market: int, now: int) -> Mark:
        """The mark that a sync would record."""


@dataclass(slots=True)
class _Line:
    """An option as the scenarios see it; units as in the contract."""

    size: int
    is_put: bool
    kd: int
    delta: int
    v: int
    log_moneyness: int
    swing: int


@dataclass(slots=True)
class Margin:
    """Stateless, like the contract."""

    clearinghouse: Ledger
    perp_engine: Engine
    oracle: Oracle
    option_engine: OptionEngine | None = None
    option_book: OptionBook | None = None
    surface: Surface | None = None

    def health(self, account: str, now: int) -> Health:
        """Equity and requirements at the last accepted marks."""
        return self._idle_health(account, INITIAL | MAINTENANCE, now)

    def preview(self, account: str, now: int) -> Health:
        """``health`` at the marks that a sync would accept now."""
        return self._idle_health(account, INITIAL | MAINTENANCE | NEWEST, now)

    def assess(self, account: str, cash: int, mask: int, now: int) -> Health:
        """``health`` with the ledger's words brought along."""
        return self._assess(account, cash, mask, self._held(account, mask, now), now)

    def assess_change(
        self, account: str, cash: int, mask: int, market: int, size: int, orders: Sequence[Order], now: int
    ) -> tuple[int, int]:
        """Requirements of the account as it would be after a trade: initial, maintenance."""
        held = _changed(self._held(account, mask, now), market, orders)
        after = self._assess(account, cash, mask | _touched(market, orders), held, now, change=(market, size))
        return after.initial, after.maintenance

    def check_initial(self, account: str, cash: int, mask: int, now: int) -> bool:
        """Whether equity is at or above the initial requirement."""
        health = self._assess(account, cash, mask, self._held(account, mask, now), now, mode=INITIAL)
        return health.equity >= health.initial

    def check_close(
        self, account: str, cash: int, mask: int, market: int, size: int, orders: Sequence[Order], now: int
    ) -> None:
        """Refuse a trade that only closed if equity is below maintenance and this is higher than before."""
        held = self._held(account, mask, now)
        after = self._assess(account, cash, mask, held, now, mode=MAINTENANCE)
        if after.equity >= after.maintenance:
            return
        undone = [Order(order.series, -order.size) for order in orders]
        held, mask = _changed(held, market, undone), mask | _touched(market, undone)
        before = self._assess(account, cash, mask, held, now, change=(market, size), mode=MAINTENANCE)
        require(after.maintenance <= before.maintenance, "margin: below maintenance")

    def _idle_health(self, account: str, mode: int, now: int) -> Health:
        require(not self.clearinghouse.in_progress(), "clearing: in progress")
        cash, mask = self.clearinghouse.account(account)
        return self._assess(account, cash, mask, self._held(account, mask, now), now, mode=mode)

    def _held(self, account: str, mask: int, now: int) -> list[OptionLeg]:
        if mask >> OPTION_BIT == 0:
            return []
        assert self.option_book is not None
        return list(self.option_book.legs(account, now))

    def _assess(
        self,
        account: str,
        cash: int,
        mask: int,
        held: list[OptionLeg],
        now: int,
        *,
        change: tuple[int, int] = (0, 0),
        mode: int = INITIAL | MAINTENANCE,
    ) -> Health:
        """``change`` is (market, size [base, WAD]) added to a perpetual for the requirement."""
        equity, initial, maintenance = cash, 0, 0
        optioned = mask >> OPTION_BIT
        both = (mask | optioned) & MARKETS
        for leg in self.perp_engine.legs(account, both, now) if both else ():
            mark = (self.oracle.peek if mode & NEWEST else self.oracle.last)(leg.market, now)
            equity += value(leg.size, leg.cost, leg.owed, mark.price)
            size = leg.size + (change[1] if leg.market == change[0] else 0)
            cost = exit_cost(size, mark.price, mark.sigma, leg.cap_quote)
            if optioned >> leg.market & 1:
                added = self._scenarios(held, leg, size, mark.price, mode, now)
                equity += added.equity
                initial += added.initial + cost
                maintenance += added.maintenance + cost
            else:
                initial += required(size, mark.price, leg.initial_bps) + cost
                maintenance += required(size, mark.price, leg.maintenance_bps) + cost
        return Health(equity, initial, maintenance)

    def _scenarios(self, held: list[OptionLeg], perp: Leg, size: int, spot: int, mode: int, now: int) -> Health:
        """Value of the market's options, requirement of all that the account has there."""
        assert self.option_engine is not None
        range_bps, floor_bps, share_bps = self.option_engine.margin_bps(perp.market)
        lines, settled, exact, shorts = [], 0, 0, 0
        for leg in held:
            if leg.market != perp.market:
                continue
            if leg.settlement != 0:
                settled += worth(leg.size, intrinsic(leg.strike, leg.is_put, leg.settlement))
                continue
            if mode == INITIAL and now >= leg.expiry:
                require(leg.size > 0, "margin: settle first")
                continue
            line, unit = self._line(leg, spot, now)
            lines.append(line)
            exact += leg.size * unit
            shorts += max(-leg.size, 0)
        total = floor_div(exact, WAD)
        tail = mul_div_up(shorts * spot, floor_bps, WAD * BPS)
        initial = maintenance = 0
        if mode & MAINTENANCE or any(line.size > 0 for line in lines):
            least = _least(lines, size, spot, perp.maintenance_bps, range_bps * share_bps // BPS, share_bps)
            maintenance = max(total - least, 0) + mul_div_up(tail, share_bps, BPS)
        if mode & INITIAL:
            initial = max(total - _least(lines, size, spot, perp.initial_bps, range_bps, BPS), 0) + tail
            initial = max(initial, maintenance)
        return Health(settled + total, initial, maintenance)

    def _line(self, leg: OptionLeg, spot: int, now: int) -> tuple[_Line, int]:
        """The option in scenarios, and its Black-76 price on the smile [quote per unit of base, WAD]."""
        assert self.surface is not None
        smile = self.surface.smile(leg.market, leg.expiry, now)
        seconds = max(leg.expiry - now, 0)
        root = black76.root_years(seconds)
        kd = leg.strike * black76.discount(smile.rate, seconds) >> 96
        distance = black76.log_ratio(max(kd, spot), min(kd, spot))
        k = MAX_LOG if distance is None else min(distance, MAX_LOG)
        if spot > kd:
            k = -k
        phi = ssvi.curvature(smile.theta, smile.eta)
        term = black76.root_years(max(leg.expiry - smile.timestamp, 0))
        vol = ssvi.volatility(ssvi.total_variance(k, smile.theta, phi, smile.rho), term)
        option = black76.evaluate(spot, kd, distance, vol, root, smile.rate)
        delta, unit = (option.delta - WAD, option.put) if leg.is_put else (option.delta, option.call)
        swing = math.isqrt(math.isqrt(MONTH * WAD * WAD // max(seconds, DAY)) * WAD)
        v = min(vol, black76.MAX_VOL) * root // WAD
        return _Line(leg.size, leg.is_put, kd, delta, v, -k, swing), unit


def _changed(held: list[OptionLeg], market: int, orders: Sequence[Order]) -> list[OptionLeg]:
    """The legs as they would be after orders in the market."""
    legs = list(held)
    for order in orders:
        for i, leg in enumerate(held):
            if leg.series == order.series:
                legs[i] = replace(legs[i], size=legs[i].size + order.size)
                break
        else:
            expiry, strike = expiry_of(board_of(order.series)), strike_of(order.series) * STRIKE_UNIT
            legs.append(OptionLeg(order.series, market, expiry, strike, is_put(order.series), order.size, 0))
    return [leg for leg in legs if leg.size != 0]


def _touched(market: int, orders: Sequence[Order]) -> int:
    """Mask of what a trade may have given the account."""
    return 1 << market | (1 << market + OPTION_BIT if orders else 0)


def _least(lines: list[_Line], size: int, spot: int, linear_bps: int, range_bps: int, share_bps: int) -> int:
    """The least, over the scenarios, of the options' value and the perpetual's gain [quote, WAD], rounded down."""
    reach = max(range_bps, linear_bps) * BPS_WAD
    linear = linear_bps * BPS_WAD or reach
    totals = []
    for step in range(-(N_SPOTS // 2), N_SPOTS // 2 + 1):
        move = tdiv(reach * step, N_SPOTS // 2)
        charged = max(min(move, linear), -linear)
        shocked = tdiv(spot * (WAD + move), WAD)
        high, low = max(WAD + move, WAD), max(min(WAD + move, WAD), 1)
        ratio = black76.log_ratio(high, low) or 0
        beyond = tdiv(spot * (move - charged), WAD)
        up = down = floor_div(size * spot * charged, WAD)
        for line in lines:
            swing = tdiv(line.swing * share_bps, BPS)
            wide = min(line.v * (WAD + tdiv(swing * VOL_UP, WAD)), MAX_WIDTH * WAD) // WAD
            narrow = line.v * (WAD - tdiv(swing * VOL_DOWN, WAD)) // WAD
            log_moneyness = line.log_moneyness + (ratio if move > 0 else -ratio)
            other = -tdiv(line.delta * beyond, WAD) + (line.kd - shocked if line.is_put else 0)
            up += line.size * max(scenarios.shocked_call(shocked, line.kd, wide, log_moneyness) + other, 0)
            down += line.size * max(scenarios.shocked_call(shocked, line.kd, narrow, log_moneyness) + other, 0)
        totals += [up, down]
    return floor_div(min(totals), WAD)
