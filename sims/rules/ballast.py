"""Ballast: docs/mechanism.md §1–§6 for perpetuals and hedges, in floats; parameters are a deployment's.

    cost  =  half-spread + charge;  charge = the rise of U, or −coverage · its fall below the low-water mark
    LPs get the half-spread but for `fee_share`; the charge enters the reserve, the rebate leaves it

Equal to `ballast/model/exact/inventory.py` and `perps.py` but for the last digits (sims/replay.py measures it): what is
stored in coarse units (minima of U, coverage, rates, indices, fees) is rounded to them, the rest is not. A step is a
block, and whoever acts synchronises every market first (`accrue`: PerpEngine.sync of each), so that U is always at the
marks of the step.
Not here: options, the auction (no boost), LP entries as epochs see them, the account's margin, the venues' lenders.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np

from ballast.config import Config, load
from ballast.model.exact.fixed import WORST_DOWN
from ballast.model.exact.inventory import CAPITAL_FLOOR, COVERAGE_UNIT, MAX_SPREAD, WINDOW
from ballast.model.exact.perps import BORROW_UNIT, FUNDING_UNIT
from sims.jit import njit
from sims.world import (
    AGE,
    CLOSING,
    ELAPSED,
    EQUITY,
    HEDGE,
    LONG,
    NET,
    PREVIOUS_AGE,
    PRICE,
    RESERVE,
    SHORT,
    SIGMA,
    TIME,
    YEAR,
    Floats,
)

# parameters of all markets, then those of each
LAMBDA, KNEE, C_LO, C_HI, OMEGA, U_STAR, U_MAX, HORIZON, FUNDING_MAX, BORROW_KINK, BORROW_MAX = range(11)
RELEASE_PERIOD, SWEEP_AGE, ROOT = 11, 12, 13  # ROOT: of the horizon [√year]
N_GLOBAL = 14
BASE, FLOOR, Z, TAU, DEVIATION, FEE_SHARE, CAP_BASE, CAP_QUOTE = range(8)
N_OWN = 8

# state of the book, then that of each market
SUM, SQUARES, LOSS = 0, 1, 2  # [quote] Σa, [quote²] Σa², [quote] stressed loss
CAPITAL, CHECKPOINT, LEDGER = 3, 4, 5  # [quote] E, equity at the last touch, equity at the marks in the book
LOW_PREV, LOW, LAST, OPENING = 6, 7, 8, 9  # [micro quote] minima of both windows, U, U as the block began
COVERAGE, WINDOW_AT, OPENED_AT, SWEPT_AT = 10, 11, 12, 13
CHANGED = 14  # whether an exposure changed in this block
POTENTIAL = 15  # [quote] U
N_STATE = 16
A, OWN_LOSS, MARK, VOLATILITY, ACTIVE, WAITS, FUNDING_RATE, BORROW_RATE = range(8)
N_MARKET_STATE = 8

MICRO = 1e6  # U is stored in whole millionths of quote
NANO = 1e9  # indices of funding in whole billionths of quote per base
UNIT = float(COVERAGE_UNIT)
LEAST_CAPITAL = CAPITAL_FLOOR / 1e6
WORST = WORST_DOWN / 1e18
MOST_SPREAD = MAX_SPREAD / 1e18
FUNDING_STEP = FUNDING_UNIT / 1e18
BORROW_STEP = BORROW_UNIT / 1e18
NEVER = -1e18  # [s] of a time that was not


@dataclass(frozen=True, slots=True)
class Params:
    """What a deployment is configured with, `networks/local.yaml` by default."""

    config: Config = field(default_factory=lambda: load("local"))

    def changed(self, **update: float) -> Params:
        """Other parameters of Inventory (`aversion`, …) or, in every market alike, of spreads (`base`, …) and
        perpetuals (`fee_share`, caps); TypeError for others. Not validated: a search may try what nobody would."""
        values = {name: Decimal(repr(value)) for name, value in update.items()}
        inventory = self.config.inventory
        places: Mapping[str, Any] = type(inventory).model_fields
        ours = {name: value for name, value in values.items() if name in places}
        whole = {name: int(v) for name, v in ours.items() if places[name].annotation is int and v == int(v)}
        markets = []
        for market in self.config.markets:
            spreads = {name: v for name, v in values.items() if name in type(market.inventory).model_fields}
            perps = {name: v for name, v in values.items() if name in type(market.perps).model_fields}
            unknown = set(values) - set(ours) - set(spreads) - set(perps)
            if unknown:
                raise TypeError(f"no such parameter: {', '.join(sorted(unknown))}")
            parts = market.inventory.model_copy(update=spreads), market.perps.model_copy(update=perps)
            markets.append(market.model_copy(update={"inventory": parts[0], "perps": parts[1]}))
        changed = {"inventory": inventory.model_copy(update=ours | whole), "markets": markets}
        return Params(self.config.model_copy(update=changed))

    def array(self) -> Floats:
        """In the order of the indices above; the horizon in years."""
        x = self.config.inventory
        first = (x.aversion, x.knee, x.c_lo, x.c_hi, x.omega, x.u_star, x.u_max, float(x.horizon) / YEAR, x.funding_max)
        values = [float(v) for v in (*first, x.borrow_kink, x.borrow_max, x.release_period, x.sweep_age)]
        values.append(values[HORIZON] ** 0.5)
        for market in self.config.markets:
            spreads, perps = market.inventory, market.perps
            values += [float(v) for v in (spreads.base, spreads.floor, spreads.z, spreads.tau, spreads.deviation)]
            values += [float(v) for v in (perps.fee_share, perps.cap_base, perps.cap_quote)]
        return np.array(values)


@njit
def start(p: Floats, z: Floats, m: Floats, g: Floats) -> None:
    """A vault that nobody has traded with; its first touch makes E what LPs have."""
    z[WINDOW_AT] = z[OPENED_AT] = z[SWEPT_AT] = NEVER
    z[COVERAGE] = UNIT
    z[LEDGER] = g[EQUITY]


@njit
def accrue(p: Floats, z: Floats, m: Floats, g: Floats) -> tuple[float, float]:
    """Funding, borrow fees and what is released: PerpEngine.sync of every market in turn."""
    n = m.shape[0]
    ledger = g[EQUITY]
    for i in range(n):
        ledger -= (m[i, HEDGE] - m[i, NET]) * (m[i, PRICE] - z[N_STATE + i * N_MARKET_STATE + MARK])
    z[LEDGER] = ledger
    carried = freed = 0.0
    for i in range(n):
        own = N_STATE + i * N_MARKET_STATE
        paid = _accrued(z, m, own, i, g[ELAPSED])
        if z[OPENED_AT] < g[TIME] and g[TIME] - z[SWEPT_AT] > p[SWEEP_AGE]:
            for j in range(n):
                if j != i and z[N_STATE + j * N_MARKET_STATE + ACTIVE] != 0.0:
                    freed += _enter(p, z, m, g, j, g[RESERVE] - freed)
            z[SWEPT_AT] = g[TIME]
        freed += _enter(p, z, m, g, i, g[RESERVE] - freed)
        z[LEDGER] += paid
        carried += paid
        _set_rates(p, z, own)
    return carried, freed


@njit
def quote(p: Floats, z: Floats, m: Floats, g: Floats, i: int, dq: float) -> float:
    """Half-spread and charge; inf beyond a cap, or beyond u_max unless it closes."""
    after, total = _potential_after(p, z, m, i, -dq)
    if g[CLOSING] == 0.0:
        own = N_GLOBAL + i * N_OWN
        open_interest = abs(dq) + (m[i, LONG] if dq > 0.0 else m[i, SHORT])
        if open_interest > p[own + CAP_BASE] or open_interest * m[i, PRICE] > p[own + CAP_QUOTE]:
            return np.inf
        if after > z[POTENTIAL] and total > p[U_MAX] * z[CAPITAL]:
            return np.inf
    return _half_spread(p, m, i, dq) + _charge(z, z[POTENTIAL], after)


@njit
def fill(p: Floats, z: Floats, m: Floats, g: Floats, i: int, dq: float) -> tuple[float, float]:
    """LPs' part of the half-spread, and the charge."""
    before = z[POTENTIAL]
    _shift(p, z, m, g, i, -dq)
    after = z[POTENTIAL]
    charge = _charge(z, before, after)
    z[LAST] = np.floor(after * MICRO)
    if after < before:
        z[LOW] = min(z[LOW], z[LAST])
        z[LOW_PREV] = min(z[LOW_PREV], z[LAST])
    _set_rates(p, z, N_STATE + i * N_MARKET_STATE)
    to_lp = _half_spread(p, m, i, dq)
    to_lp -= np.floor(to_lp * p[N_GLOBAL + i * N_OWN + FEE_SHARE] * MICRO) / MICRO
    z[LEDGER] += to_lp
    return to_lp, charge


@njit
def rate(p: Floats, z: Floats, m: Floats, g: Floats, i: int) -> float:
    """What longs pay: the stored funding rate is positive where the vault is too long, that is where shorts pay."""
    return -float(z[N_STATE + i * N_MARKET_STATE + FUNDING_RATE])


@njit
def relief(p: Floats, z: Floats, m: Floats, g: Floats, i: int, dh: float) -> tuple[float, float]:
    """Fall of U below its lower value of now and the block's beginning, and what of the reserve that leaves over."""
    base = min(z[POTENTIAL], z[OPENING] / MICRO)
    after, _ = _potential_after(p, z, m, i, dh)
    freed = max(0.0, g[RESERVE] - after) - max(0.0, g[RESERVE] - base)
    return max(0.0, base - after), max(0.0, freed)


@njit
def hedged(p: Floats, z: Floats, m: Floats, g: Floats, i: int, dh: float, spent: float) -> float:
    """Books it; excess reserve up to what was spent is LPs' at once."""
    before = np.floor(z[POTENTIAL] * MICRO)
    _shift(p, z, m, g, i, dh)
    after = z[POTENTIAL]
    _scale_lows(z, before, after)
    z[OPENING] = min(z[OPENING], z[LAST])
    if after * MICRO > before:
        z[COVERAGE] = min(z[COVERAGE], np.floor(g[RESERVE] * UNIT / after))
    return float(min(max(0.0, g[RESERVE] - after), spent))


# ── the book ──


@njit
def _enter(p: Floats, z: Floats, m: Floats, g: Floats, i: int, reserve: float) -> float:
    """Bring a market into this block, Inventory's `_enter`; what the reserve releases."""
    own = N_STATE + i * N_MARKET_STATE
    now, delta = g[TIME], m[i, HEDGE] - m[i, NET]
    opens = z[OPENED_AT] < now
    moved = m[i, PRICE] != z[own + MARK] or m[i, SIGMA] != z[own + VOLATILITY]
    if delta == 0.0 and (opens or z[CHANGED] == 0.0):
        z[own + ACTIVE] = z[own + WAITS] = 0.0
    if z[own + ACTIVE] == 0.0:
        z[own + MARK], z[own + VOLATILITY] = m[i, PRICE], m[i, SIGMA]
        if not opens:
            return 0.0
    else:
        if not opens and (not moved or z[CHANGED] != 0.0):
            return 0.0
        if moved:
            z[LEDGER] += delta * (m[i, PRICE] - z[own + MARK])
            z[own + MARK], z[own + VOLATILITY] = m[i, PRICE], m[i, SIGMA]
            _replace(p, z, m, i, 0.0)

    equity = max(np.floor(z[LEDGER] * MICRO) / MICRO, LEAST_CAPITAL)
    if not opens:
        z[CAPITAL] = min(z[CAPITAL], equity)
    elif z[OPENED_AT] == NEVER:
        z[CAPITAL] = equity
    else:
        z[CAPITAL] = min(z[CHECKPOINT], equity)
    z[CHECKPOINT] = equity

    after = z[POTENTIAL] = _potential(p, z[SUM], z[SQUARES], z[LOSS], z[CAPITAL])
    _scale_lows(z, z[LAST], after)
    z[OPENING] = z[LAST]
    if now - m[i, PREVIOUS_AGE] >= z[WINDOW_AT]:
        z[own + WAITS] = 0.0
    due = 0.0
    if opens:
        if z[OPENED_AT] != NEVER:
            elapsed = min(now - z[OPENED_AT], p[RELEASE_PERIOD])
            due = max(0.0, reserve - after) * elapsed / p[RELEASE_PERIOD]
        waiting = active = 0.0
        for j in range(m.shape[0]):
            waiting += z[N_STATE + j * N_MARKET_STATE + WAITS]
            active += z[N_STATE + j * N_MARKET_STATE + ACTIVE]
        if waiting == 0.0 and now - z[WINDOW_AT] >= WINDOW:
            z[LOW_PREV] = z[LOW]
            z[LOW] = z[LAST]
            z[WINDOW_AT] = now
            for j in range(m.shape[0]):
                z[N_STATE + j * N_MARKET_STATE + WAITS] = z[N_STATE + j * N_MARKET_STATE + ACTIVE]
        if active == z[own + ACTIVE]:
            z[SWEPT_AT] = now
        z[OPENED_AT] = now
        z[CHANGED] = 0.0
    z[COVERAGE] = UNIT if reserve - due >= after else np.floor((reserve - due) * UNIT / after)
    z[LEDGER] += due
    return float(due)


@njit
def _shift(p: Floats, z: Floats, m: Floats, g: Floats, i: int, change: float) -> None:
    """Add a change of the vault's delta."""
    own = N_STATE + i * N_MARKET_STATE
    if m[i, HEDGE] - m[i, NET] + change != 0.0:
        if g[TIME] - m[i, PREVIOUS_AGE] < z[WINDOW_AT]:
            z[own + WAITS] = 1.0
        z[own + ACTIVE] = 1.0
    else:
        z[own + WAITS] = 0.0
    _replace(p, z, m, i, change)
    z[POTENTIAL] = _potential(p, z[SUM], z[SQUARES], z[LOSS], z[CAPITAL])
    z[CHANGED] = 1.0


@njit
def _replace(p: Floats, z: Floats, m: Floats, i: int, change: float) -> None:
    """A market's share of the sums after its delta changed; they are added up anew, so that no rounding piles up."""
    own = N_STATE + i * N_MARKET_STATE
    z[own + A], z[own + OWN_LOSS] = _term(p, m, i, change)
    z[SUM] = z[SQUARES] = z[LOSS] = 0.0
    for j in range(N_STATE, len(z), N_MARKET_STATE):
        z[SUM] += z[j + A]
        z[SQUARES] += z[j + A] * z[j + A]
        z[LOSS] += z[j + OWN_LOSS]


@njit
def _term(p: Floats, m: Floats, i: int, change: float) -> tuple[float, float]:
    """a and stressed loss of a market whose delta changes."""
    delta = m[i, HEDGE] - m[i, NET] + change
    dollars = delta * m[i, PRICE]
    return dollars * m[i, SIGMA] * p[ROOT], WORST * abs(dollars)


@njit
def _potential_after(p: Floats, z: Floats, m: Floats, i: int, change: float) -> tuple[float, float]:
    """U and the stressed loss if a market's delta changed."""
    own = N_STATE + i * N_MARKET_STATE
    a, loss = _term(p, m, i, change)
    old, total = z[own + A], z[LOSS] - z[own + OWN_LOSS] + loss
    return _potential(p, z[SUM] - old + a, z[SQUARES] - old * old + a * a, total, z[CAPITAL]), total


@njit
def _potential(p: Floats, total: float, squares: float, loss: float, capital: float) -> float:
    """U = I + W [quote]."""
    var = _variance(p, total, squares)
    limit = p[KNEE] * capital
    u = p[LAMBDA] * var / (2.0 * capital)
    if var > limit * limit:
        u = p[LAMBDA] * p[KNEE] * (np.sqrt(var) - limit / 2.0)
    excess = loss - p[U_STAR] * capital
    if excess > 0.0:
        top = (p[U_MAX] - p[U_STAR]) * capital
        u += p[OMEGA] * (excess * excess / (2.0 * capital) if excess <= top else top / capital * (excess - top / 2.0))
    return float(u)


@njit
def _variance(p: Floats, total: float, squares: float) -> float:
    joint = total * total
    low = (1.0 - p[C_LO]) * squares + p[C_LO] * joint
    high = (1.0 - p[C_HI]) * squares + p[C_HI] * joint
    return float(max(low, high))


@njit
def _charge(z: Floats, before: float, after: float) -> float:
    """The rise, or what of the fall is paid back."""
    if after >= before:
        return float(after - before)
    low = min(before, min(z[LOW_PREV], z[LOW]) / MICRO)
    return -float(max(0.0, low - after) * z[COVERAGE] / UNIT)


@njit
def _half_spread(p: Floats, m: Floats, i: int, dq: float) -> float:
    own = N_GLOBAL + i * N_OWN
    z_sigma = p[own + Z] * m[i, SIGMA]
    s = z_sigma * np.sqrt((m[i, AGE] + p[own + TAU]) / YEAR)
    if p[own + DEVIATION] > 0.0 and s > p[own + DEVIATION]:
        s = min(s, p[own + DEVIATION] + z_sigma * np.sqrt(p[own + TAU] / YEAR))
    s = min(max(s, p[own + FLOOR]), MOST_SPREAD)
    return float(abs(dq) * m[i, PRICE] * (p[own + BASE] + s))


@njit
def _scale_lows(z: Floats, before: float, after: float) -> None:
    """Note the new U and move the minima in proportion; `before` [micro quote], `after` [quote]."""
    z[LAST] = np.floor(after * MICRO)
    if before != z[LAST] and before != 0.0:
        for low in (LOW_PREV, LOW):  # a quotient that is whole may come out a hair below
            z[low] = z[LAST] if z[low] == before else np.floor(z[low] * z[LAST] / before)


# ── rates ──


@njit
def _set_rates(p: Floats, z: Floats, own: int) -> None:
    """∂I/∂D / h and the kinked borrow rate, as PerpEngine stores them."""
    capital = z[CAPITAL]
    var = _variance(p, z[SUM], z[SQUARES])
    joint = z[SUM] * z[SUM]
    high = (1.0 - p[C_HI]) * z[SQUARES] + p[C_HI] * joint >= (1.0 - p[C_LO]) * z[SQUARES] + p[C_LO] * joint
    c = p[C_HI] if high else p[C_LO]
    slope = ((1.0 - c) * z[own + A] + c * z[SUM]) * z[own + VOLATILITY] * p[ROOT]
    limit = p[KNEE] * capital
    slope *= p[LAMBDA] / capital if var <= limit * limit else p[LAMBDA] * p[KNEE] / np.sqrt(var)
    funding = max(-p[FUNDING_MAX], min(p[FUNDING_MAX], slope / p[HORIZON]))
    z[own + FUNDING_RATE] = np.trunc(funding / FUNDING_STEP) * FUNDING_STEP
    u = min(z[LOSS] / capital, 1.0)
    borrow = p[BORROW_KINK] * u / p[U_STAR]
    if u > p[U_STAR]:
        borrow = p[BORROW_KINK] + (p[BORROW_MAX] - p[BORROW_KINK]) * (u - p[U_STAR]) / (1.0 - p[U_STAR])
    z[own + BORROW_RATE] = np.floor(borrow / BORROW_STEP) * BORROW_STEP


@njit
def _accrued(z: Floats, m: Floats, own: int, i: int, elapsed: float) -> float:
    """What a market's traders pay LPs for the time since the last step, at the mark of now; indices in whole units."""
    price_time = m[i, PRICE] * elapsed / YEAR
    longs, shorts, funding = m[i, LONG], m[i, SHORT], z[own + FUNDING_RATE]
    change_long = change_short = np.ceil(z[own + BORROW_RATE] * price_time * NANO)
    pay = np.ceil(abs(funding) * price_time * NANO)
    if funding > 0.0 and shorts > 0.0:
        change_short += pay
        change_long -= pay if shorts >= longs else np.floor(pay * shorts / longs)
    elif funding < 0.0 and longs > 0.0:
        change_long += pay
        change_short -= pay if longs >= shorts else np.floor(pay * longs / shorts)
    return float((longs * change_long + shorts * change_short) / NANO)
