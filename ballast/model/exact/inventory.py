"""Integer twin of ``contracts/inventory/Inventory.vy`` and its modules: quote, low-water mark, coverage, release.

Names, order and rounding are the contract's. Not mirrored: roles, and how a word is packed (its fields' scales are).
``now`` is the block's timestamp; a block is a timestamp.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Protocol

from ballast.model.exact.fixed import (
    MAX_MARKETS,
    MICRO,
    SPOT_SHOCKS,
    STRESS_UNIT,
    WAD,
    WORST_DOWN,
    WORST_UP,
    YEAR,
    div_up,
    mul_floor,
    mul_up,
    require,
    root_down,
    sub_floor,
    tdiv,
)
from ballast.model.exact.oracle import Mark
from ballast.model.exact.potential import (
    Sums,
    Weights,
    delta_price,
    delta_term,
    gamma_term,
    potential,
    square_term,
    vega_term,
)
from ballast.model.exact.structs import Change, Exposure, Quote, struct
from ballast.model.words import InventoryMarketParams as MarketParams
from ballast.model.words import InventoryParams

CAPITAL_FLOOR = 1_000 * 10**6
MAX_SPREAD = WAD // 2
COVERAGE_UNIT = 10**9
WINDOW = 60
NAV_Z = 3 * WAD
LINEAR_UNIT = WAD * WAD * MICRO


class Oracle(Protocol):
    """What the inventory needs of the oracle twin."""

    def sync(self, market: int, now: int) -> Mark:
        """Record the newest good round and answer the mark."""
        ...

    def peek(self, market: int, now: int) -> Mark:
        """Answer what ``sync`` would, storing nothing."""
        ...


class Ledger(Protocol):
    """What the inventory needs of the clearinghouse twin."""

    def vault_ledger(self) -> tuple[int, int]:
        """LP cash and rebate reserve [quote, WAD]."""
        ...

    def release(self, amount: int) -> None:
        """Move reserve to LP cash [quote, WAD]."""
        ...


class Auction(Protocol):
    """What the inventory needs of the auction's twin."""

    def boost(
        self,
        top: int,
        after: int,
        capital: int,
        price: int,
        market: Market,
        x: Exposure,
        spreads: MarketParams,
        now: int,
    ) -> int:
        """What LPs pay for a fall of U [quote, WAD]."""
        ...

    def pay(self, before: int, after: int, capital: int, amount: int, now: int) -> None:
        """Have them pay it."""
        ...


@dataclass(frozen=True, slots=True)
class Params:
    """Global parameters; see the contract's ``Params`` for units."""

    weights: Weights
    horizon: int
    funding_max: int
    release_period: int
    sweep_age: int
    borrow_kink: int
    borrow_max: int

    @classmethod
    def of(cls, p: InventoryParams) -> Params:
        """The same parameters as a deployment's configuration holds them."""
        return cls(
            weights=Weights(p.aversion, p.knee, p.c_lo, p.c_hi, p.rho, p.omega, p.u_star, p.u_max),
            horizon=p.horizon,
            funding_max=p.funding_max,
            release_period=p.release_period,
            sweep_age=p.sweep_age,
            borrow_kink=p.borrow_kink,
            borrow_max=p.borrow_max,
        )

    @property
    def root(self) -> int:
        """sqrt(h) [sqrt(year), WAD], rounded down."""
        return _root_of(self.horizon)


@cache
def _root_of(seconds: int) -> int:
    return root_down(seconds * WAD // YEAR)


@dataclass(slots=True)
class Book:
    """Running sums and marks; money in MICRO except ``value`` (WAD)."""

    sums: Sums = field(default_factory=Sums)
    loss: int = 0
    capital: int = 0
    equity: int = 0
    opened_at: int = 0
    value: int = 0
    low_prev: int = 0
    low: int = 0
    opening: int = 0
    last: int = 0
    coverage: int = 0
    window_at: int = 0
    changed: bool = False
    paid: bool = False
    swept_at: int = 0
    pending: int = 0
    active: int = 0
    optioned: int = 0
    auction_low: int = 0

    def copy(self) -> Book:
        """An independent copy."""
        s = self.sums
        return Book(
            Sums(s.a, s.b, s.g, s.p, s.gg), self.loss, self.capital, self.equity, self.opened_at, self.value,
            self.low_prev, self.low, self.opening, self.last, self.coverage, self.window_at, self.changed, self.paid,
            self.swept_at, self.pending, self.active, self.optioned, self.auction_low,
        )  # fmt: skip


@dataclass(slots=True)
class Market:
    """Exposure of a market and the mark it enters U with."""

    delta: int = 0
    price: int = 0
    sigma: int = 0
    vega: int = 0
    gamma: int = 0
    stress: list[int] = field(default_factory=lambda: [0] * 8)
    optioned: bool = False

    def copy(self) -> Market:
        """An independent copy."""
        return Market(self.delta, self.price, self.sigma, self.vega, self.gamma, list(self.stress), self.optioned)


@struct
class Fall:
    """What a hedge achieved; see ``IInventory.Fall``."""

    fall: int
    freed: int
    release: int
    excess: int
    potential_after: int


@dataclass(slots=True)
class Valuation:
    """What LP prices need; see ``IInventory.Valuation``."""

    spread: int = 0
    potential: int = 0
    release: int = 0
    lp_cash: int = 0
    reserve: int = 0
    stressed_loss: int = 0


@struct
class Share:
    """What one market adds to the sums."""

    a: int = 0
    b: int = 0
    g: int = 0
    p: int = 0
    loss: int = 0


NO_SHARE = Share()


@dataclass(slots=True)
class Entry:
    """A market entered in this block."""

    book: Book
    market: Market
    share: Share = NO_SHARE
    released: int = 0
    potential: int = 0


def linear_loss(delta: int, price: int) -> int:
    """Loss of a market without options in its worst scenario, rounded up [MICRO]."""
    shock = WORST_UP if delta < 0 else WORST_DOWN
    return (abs(delta) * price * shock + LINEAR_UNIT - 1) // LINEAR_UNIT


def vector_loss(delta: int, price: int, stress: list[int]) -> int:
    """Loss of a market with options in its worst scenario, rounded up [MICRO]; ``stress`` [STRESS_UNIT]."""
    dollar_delta = tdiv(delta * price, WAD)
    worst = 0
    for shock, option_pnl in zip(SPOT_SHOCKS, stress, strict=True):
        worst = min(worst, tdiv(dollar_delta * shock, WAD) + option_pnl * STRESS_UNIT)
    if worst == 0:
        return 0
    return (-worst + 2 + MICRO - 1) // MICRO


def sqrt_years_up(seconds: int) -> int:
    """sqrt(seconds / YEAR) [WAD], rounded up."""
    return root_down(seconds * WAD // YEAR) + 1


def spot_spread(mp: MarketParams, mark: Mark, z: int, now: int) -> int:
    """max(floor, min(z sigma sqrt(age + tau0), deviation + z sigma sqrt(tau0))) + half width / price, rounded up [WAD];
    at most MAX_SPREAD."""
    z_sigma = mul_up(z, mark.sigma)
    age = sub_floor(now, mark.updated_at)
    s = mul_up(z_sigma, sqrt_years_up(age + mp.tau))
    if mp.deviation > 0 and s > mp.deviation:
        s = min(s, mp.deviation + mul_up(z_sigma, sqrt_years_up(mp.tau)))
    s = max(s, mp.floor)
    if mark.half_width > 0 and mark.price > 0:
        s += div_up(mark.half_width, mark.price)
    return min(s, MAX_SPREAD)


def vol_spread(mp: MarketParams, vol_age: int, z: int) -> int:
    """max(floor_v, z_v xi sqrt(surface age + tau1)) [absolute vol, WAD], rounded up."""
    return max(mp.vol_floor, mul_up(mul_up(z, mp.vol_of_vol), sqrt_years_up(vol_age + mp.vol_tau)))


def half_spread_of(mp: MarketParams, change: Change, mark: Mark, now: int) -> int:
    """Half-spread of a trade [quote, WAD], rounded up."""
    x = change.exposure
    if change.notional == 0 and x.delta == 0 and x.vega == 0:
        return 0
    half_spread = mul_up(change.notional, mp.base)
    if x.delta != 0:
        dollars = mul_up(abs(x.delta), mark.price)
        half_spread += mul_up(dollars, spot_spread(mp, mark, mp.z, now))
    if x.vega != 0:
        half_spread += mul_up(abs(x.vega), vol_spread(mp, change.vol_age, mp.vol_z))
    return half_spread


@dataclass(slots=True)
class Inventory:
    """The inventory of one deployment, mutable."""

    oracle: Oracle
    clearinghouse: Ledger
    params: Params
    market_params: list[MarketParams] = field(default_factory=list)
    book: Book = field(default_factory=Book)
    markets: list[Market] = field(default_factory=list)
    auction: Auction | None = None

    @property
    def market_count(self) -> int:
        """Markets listed so far."""
        return len(self.market_params)

    # ── permissionless ──

    def sync(self, market: int, now: int) -> None:
        """Re-mark one market, and open the block if nothing has touched it yet."""
        self._check_listed(market)
        self._sync(1 << market, now)

    def sync_all(self, now: int) -> None:
        """Re-mark every listed market."""
        self._sync((1 << self.market_count) - 1, now)

    # ── engines and hedges ──

    def trade(self, market: int, mark: Mark, change: Change, now: int) -> Quote:
        """Add a change of exposure and price it."""
        self._check_listed(market)
        e, swept = self._begin(market, mark, 0, now, paid=True)
        q = self._trade(e, market, mark, change, now)
        self._store(e, market, swept)
        if q.boost != 0:
            assert self.auction is not None
            self.auction.pay(q.potential_before, q.potential_after, e.book.capital * MICRO, q.boost, now)
        return q

    def adjust(self, market: int, mark: Mark, change: Change, now: int, *, hedges: bool, moved: int = 0) -> Fall:
        """Add a change of exposure that is no trade; ``hedges``: the caller is a HEDGER, else an ENGINE.

        ``moved`` LP cash [quote, WAD] has gone to a venue since the mark was read: the block opens at E without it.
        """
        self._check_listed(market)
        e, swept = self._begin(market, mark, moved, now, paid=hedges)
        before = e.potential
        base = min(before, e.book.opening * MICRO)
        changed = e.book.changed
        self._shift(e, market, mark, change)
        after = self._potential(e.book)
        _scale_lows(e.book, before // MICRO, after)
        e.book.opening = min(e.book.opening, e.book.last)
        _, reserve = self.clearinghouse.vault_ledger()
        reserve -= e.released
        if after > before:
            e.book.coverage = min(e.book.coverage, reserve * COVERAGE_UNIT // after)
        if hedges:
            e.book.paid = True
        else:
            require(not e.book.paid, "inventory: rebates in this block")
            e.book.changed = changed
            if changed:
                e.book.coverage = 0
            else:
                e.book.opening = e.book.last
        self._store(e, market, swept)
        return Fall(
            fall=sub_floor(base, after),
            freed=sub_floor(sub_floor(reserve, after), sub_floor(reserve, base)),
            release=e.released,
            excess=sub_floor(reserve, after),
            potential_after=after,
        )

    def set_boosting(self, on: bool) -> None:
        """Begin to keep the lowest U for the auction, which calls this, or no longer keep it."""
        self.book.auction_low = self.book.last + 1 if on else 0

    # ── privileged ──

    def set_market_params(self, market: int, params: MarketParams) -> None:
        """Change a market's parameters, or list the next one."""
        if market == self.market_count and market < MAX_MARKETS:
            self.market_params.append(params)
            self.markets.append(Market())
        self._check_listed(market)
        same = params.vol_of_vol == self.market_params[market].vol_of_vol
        require(same or not self.markets[market].optioned, "inventory: market has options")
        _check_market_params(params)
        self.market_params[market] = params

    def set_params(self, params: Params, now: int) -> None:
        """Change the global parameters and recompute the sums with them."""
        b = self.book
        require(not b.changed or b.opened_at < now, "inventory: block has trades")
        _check_params(params)
        self.params = params
        b.sums = Sums()
        b.loss = 0
        for i in range(MAX_MARKETS):
            if (b.active >> i) & 1:
                _moved(b, Share(), self._share(self.markets[i], i))
        self._resample()

    # ── views ──

    def quote(self, market: int, mark: Mark, change: Change, now: int) -> Quote:
        """What ``trade`` would answer now."""
        self._check_listed(market)
        released = 0
        book = self.book.copy()
        due = self._due(book, 1 << market, now)
        if due != 0:
            book, released, _ = self._sweep(book, due, now, peek=True)
        return self._trade(self._enter(book, market, mark, released, now), market, mark, change, now)

    def valuation(self, beside: int, marks: Sequence[Mark], vol_age: int, now: int) -> Valuation:
        """What LP prices need, as ``sync_all`` would leave every market; ``beside``: equity but LP cash."""
        book = self.book.copy()
        v = Valuation()
        for i, mark in enumerate(marks):
            e = self._enter(book, i, mark, v.release, now)
            book, v.release = e.book, e.released
            if e.market.delta != 0:
                s = spot_spread(self.market_params[i], mark, NAV_Z, now)
                v.spread += mul_up(mul_up(abs(e.market.delta), mark.price), s)
            if e.market.vega != 0:
                v.spread += mul_up(abs(e.market.vega), vol_spread(self.market_params[i], vol_age, NAV_Z))
        v.lp_cash, v.reserve = self.clearinghouse.vault_ledger()
        v.lp_cash += v.release
        v.reserve -= v.release
        capital = max(v.lp_cash + beside, CAPITAL_FLOOR * MICRO)
        v.potential = potential(book.sums, book.loss * MICRO, capital, self.params.weights)
        v.stressed_loss = book.loss * MICRO
        return v

    @property
    def horizon(self) -> int:
        """Of the potential [s]."""
        return self.params.horizon

    def frozen(self, now: int) -> bool:
        """Whether somebody may have been paid for a fall of U in this block."""
        return self.book.paid and self.book.opened_at == now

    def potential(self) -> int:
        """U as stored, at the last marks [quote, WAD]."""
        return self._potential(self.book)

    # ── the rule ──

    def _trade(self, e: Entry, market: int, mark: Mark, change: Change, now: int) -> Quote:
        before = e.potential
        self._shift(e, market, mark, change)
        after = self._potential(e.book)

        charge = boost = 0
        e.book.last = after // MICRO
        if after > before:
            charge = after - before
            if not change.closing:
                require(e.book.loss * WAD <= self.params.weights.u_max * e.book.capital, "inventory: utilization")
        elif after < before:
            low = min(before, min(e.book.low_prev, e.book.low) * MICRO)
            if low > after:
                rebate = (low - after) * e.book.coverage // COVERAGE_UNIT
                if e.book.auction_low != 0 and e.book.coverage != 0:
                    assert self.auction is not None
                    low = min(low, (e.book.auction_low - 1) * MICRO)
                    mp, capital = self.market_params[market], e.book.capital * MICRO
                    boost = self.auction.boost(low, after, capital, mark.price, e.market, change.exposure, mp, now)
                charge = -(rebate + boost)
                e.book.paid = True
            e.book.low = min(e.book.low, e.book.last)
            e.book.low_prev = min(e.book.low_prev, e.book.last)
            e.book.auction_low = min(e.book.auction_low, e.book.last + 1)

        half_spread = half_spread_of(self.market_params[market], change, mark, now)
        funding_rate, borrow_rate = self._rates(e)
        return Quote(
            charge=charge,
            half_spread=half_spread,
            release=e.released,
            funding_rate=funding_rate,
            borrow_rate=borrow_rate,
            potential_before=before,
            potential_after=after,
            boost=boost,
        )

    def _begin(self, market: int, mark: Mark, moved: int, now: int, *, paid: bool) -> tuple[Entry, dict[int, Market]]:
        """Enter a market, after all others if that is overdue and somebody is ``paid`` for what becomes of U; they are
        returned, and not stored yet."""
        book, released = self.book.copy(), 0
        book.value += moved
        swept: dict[int, Market] = {}
        due = self._due(book, 1 << market, now) if paid else 0
        if due != 0:
            book, released, swept = self._sweep(book, due, now, peek=False)
            book.swept_at = now
        e = self._enter(book, market, mark, released, now)
        e.book.value -= moved
        return e, swept

    def _enter(self, book: Book, market: int, mark: Mark, released: int, now: int) -> Entry:
        """Bring one market into this block; ``book`` is consumed, the stored market is not changed."""
        e = Entry(book=book, market=self.markets[market].copy(), released=released)
        b, m = e.book, e.market
        bit = 1 << market
        opens = b.opened_at < now
        moved = mark.price != m.price or mark.sigma != m.sigma

        if m.delta == 0 and not m.optioned and (opens or not b.changed):
            b.active &= ~bit
            b.pending &= ~bit
        if not b.active & bit:
            m.price, m.sigma = mark.price, mark.sigma
            if not opens:
                e.potential = self._potential(b)
                return e
        else:
            e.share = self._share(m, market)
            if not opens and (not moved or b.changed):
                e.potential = self._potential(b)
                return e
            if moved:
                old = e.share
                b.value += mul_floor(m.delta, mark.price - m.price)
                m.price, m.sigma = mark.price, mark.sigma
                e.share = self._share(m, market)
                _moved(b, old, e.share)

        lp_cash, reserve = self.clearinghouse.vault_ledger()
        reserve -= released
        equity = _micro_equity(lp_cash + released + b.value)
        if not opens:
            b.capital = min(b.capital, equity)
        elif b.opened_at == 0:
            b.capital = equity
        else:
            b.capital = min(b.equity, equity)
        b.equity = equity

        after = self._potential(b)
        _scale_lows(b, b.last, after)
        b.opening = b.last
        e.potential = after
        if mark.prev_updated_at >= b.window_at:
            b.pending &= ~bit
        if opens:
            if b.opened_at != 0:
                elapsed = min(now - b.opened_at, self.params.release_period)
                due = sub_floor(reserve, after) * elapsed // self.params.release_period
                e.released += due
                reserve -= due
            if b.pending == 0 and now - b.window_at >= WINDOW:
                b.low_prev = b.low
                b.low = b.last
                b.window_at = now
                b.pending = b.active
            if not b.active & ~bit:
                b.swept_at = now
            b.opened_at = now
            b.changed = b.paid = False
        b.coverage = COVERAGE_UNIT
        if reserve < after:
            b.coverage = reserve * COVERAGE_UNIT // after
        return e

    def _shift(self, e: Entry, market: int, mark: Mark, change: Change) -> None:
        b, m, x = e.book, e.market, change.exposure
        if change.options:
            for i, increment in enumerate(change.stress):
                m.stress[i] += increment
            m.optioned = True
        b.value += change.book + mul_floor(x.delta, m.price - mark.price)
        if x.delta == 0 and x.vega == 0 and x.gamma == 0 and not m.optioned:
            return
        m.delta += x.delta
        m.vega += x.vega
        m.gamma += x.gamma
        bit = 1 << market
        m.optioned = m.vega != 0 or m.gamma != 0 or any(m.stress)
        b.optioned = b.optioned | bit if m.optioned else b.optioned & ~bit
        if m.optioned or m.delta != 0:
            if mark.prev_updated_at < b.window_at:
                b.pending |= bit
            b.active |= bit
        else:
            b.pending &= ~bit
        old = e.share
        e.share = self._share(m, market)
        _moved(b, old, e.share)
        b.changed = True

    def _share(self, m: Market, market: int) -> Share:
        p = self.params
        sigma_h = m.sigma * p.root // WAD
        a = delta_term(m.delta, m.price, sigma_h)
        if not m.optioned:
            return Share(a=a, p=square_term(a, 0, p.weights.rho), loss=linear_loss(m.delta, m.price))
        b = vega_term(m.vega, self.market_params[market].vol_of_vol * p.root // WAD)
        return Share(
            a=a,
            b=b,
            g=gamma_term(m.gamma, m.price, sigma_h),
            p=square_term(a, b, p.weights.rho),
            loss=vector_loss(m.delta, m.price, m.stress),
        )

    def _resample(self) -> None:
        """Keep the book at no more E than there is equity now."""
        b = self.book
        lp_cash, reserve = self.clearinghouse.vault_ledger()
        b.capital = min(b.capital, _micro_equity(lp_cash + b.value))
        after = self._potential(b)
        _scale_lows(b, b.last, after)
        if reserve < after:
            b.coverage = min(b.coverage, reserve * COVERAGE_UNIT // after)

    def _potential(self, b: Book) -> int:
        if b.capital == 0:
            return 0
        return potential(b.sums, b.loss * MICRO, b.capital * MICRO, self.params.weights)

    def _rates(self, e: Entry) -> tuple[int, int]:
        p = self.params
        capital = e.book.capital * MICRO
        if capital == 0:
            return 0, 0
        sigma_h = e.market.sigma * p.root // WAD
        slope = delta_price(e.book.sums, e.share.a, sigma_h, capital, p.weights)
        rate = tdiv(slope * YEAR, p.horizon)
        rate = max(-p.funding_max, min(p.funding_max, rate))
        u_star = p.weights.u_star
        u = min(e.book.loss * MICRO * WAD // capital, WAD)
        if u <= u_star:
            return rate, p.borrow_kink * u // u_star
        return rate, p.borrow_kink + (p.borrow_max - p.borrow_kink) * (u - u_star) // (WAD - u_star)

    # ── sweeps ──

    def _due(self, b: Book, mask: int, now: int) -> int:
        if (b.opened_at < now or not b.changed) and now - b.swept_at > self.params.sweep_age:
            return b.active & ~mask
        return 0

    def _sync(self, mask: int, now: int) -> None:
        mask |= self._due(self.book, mask, now)
        book, released, stored = self._sweep(self.book.copy(), mask, now, peek=False)
        self.book = book
        for i, m in stored.items():
            self.markets[i] = m
        if released > 0:
            self.clearinghouse.release(released)
        self._resample()

    def _sweep(self, book: Book, mask: int, now: int, *, peek: bool) -> tuple[Book, int, dict[int, Market]]:
        released = 0
        stored: dict[int, Market] = {}
        for i in range(MAX_MARKETS):
            if (mask >> i) & 1:
                mark = self.oracle.peek(i, now) if peek else self.oracle.sync(i, now)
                e = self._enter(book, i, mark, released, now)
                stored[i] = e.market
                book, released = e.book, e.released
        if not book.active & ~mask:
            book.swept_at = now
        return book, released, stored

    def _store(self, e: Entry, market: int, swept: dict[int, Market]) -> None:
        require(all(-(2**31) <= x < 2**31 for x in e.market.stress), "stress: out of range")
        self.book = e.book
        for i, m in swept.items():
            self.markets[i] = m
        self.markets[market] = e.market

    def _check_listed(self, market: int) -> None:
        require(market < self.market_count, "inventory: not listed")


def _check_params(p: Params) -> None:
    """Ceilings and floors of every parameter."""
    w = p.weights
    good = (
        w.aversion <= 100 * WAD
        and 0 < w.knee <= WAD
        and w.c_lo <= w.c_hi <= WAD
        and -WAD < w.rho < WAD
        and w.omega <= WAD
        and 0 < w.u_star < w.u_max < WAD
        and 3_600 <= p.horizon <= 864_000
        and p.funding_max <= 3 * WAD
        and 3_600 <= p.release_period <= 864_000
        and p.sweep_age <= 43_200
        and p.borrow_kink <= p.borrow_max <= 5 * WAD
    )
    require(good, "inventory: bad parameter")


def _check_market_params(p: MarketParams) -> None:
    good = (
        p.base <= 2 * 10**16
        and p.floor <= 2 * 10**16
        and p.z <= 10 * WAD
        and p.tau <= 3_600
        and p.deviation <= 5 * 10**16
        and p.vol_of_vol <= 10 * WAD
        and p.vol_floor <= 10**17
        and p.vol_z <= 10 * WAD
        and p.vol_tau <= 43_200
    )
    require(good, "inventory: bad parameter")


def _moved(b: Book, old: Share, new: Share) -> None:
    b.sums.a += new.a - old.a
    b.sums.p = b.sums.p - old.p + new.p
    b.loss = b.loss - old.loss + new.loss
    if old.b != new.b or old.g != new.g:
        b.sums.b += new.b - old.b
        b.sums.g += new.g - old.g
        b.sums.gg = b.sums.gg - old.g * old.g // WAD + new.g * new.g // WAD


def _scale_lows(b: Book, before: int, after: int) -> None:
    """Note the new U and move the minima in proportion; ``before`` [MICRO], ``after`` [WAD]."""
    b.last = after // MICRO
    if before not in (b.last, 0):
        b.low_prev = b.low_prev * b.last // before
        b.low = b.low * b.last // before
        if b.auction_low != 0:
            b.auction_low = (b.auction_low - 1) * b.last // before + 1


def _micro_equity(equity: int) -> int:
    if equity <= 0:
        return CAPITAL_FLOOR
    return max(equity // MICRO, CAPITAL_FLOOR)
