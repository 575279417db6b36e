"""Integer twin of ``contracts/options/OptionEngine.vy`` and its module ``parameters.vy``.

Names, order and rounding are the contract's. Not mirrored: roles, events and the packing of words; their ranges
and units are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from ballast.model.exact.fixed import (
    BPS,
    INT_MAX,
    MARKETS,
    MAX_MARKETS,
    MICRO,
    OPTION_BIT,
    WAD,
    require,
    tdiv,
)
from ballast.model.exact.option_book import (
    DAY,
    LOT,
    MAX_LOTS,
    Fill,
    Filled,
    OptionBook,
    Order,
    board_of,
    expiry_of,
    key_of,
    market_of,
)
from ballast.model.exact.oracle import Mark
from ballast.model.exact.structs import Change, Quote, Settlement, struct
from ballast.model.exact.vol_surface import Smile

# ── parameters.vy ──

MIN_CUTOFF, MAX_CUTOFF = 600, 7 * DAY
MIN_INITIAL_BPS = 500
MIN_FLOOR_BPS = 100
MIN_MAINTENANCE_BPS, MAX_MAINTENANCE_BPS = 3_000, 9_000
MAX_PENALTY_BPS = 500
MAX_FEE_SHARE_BPS = 5_000
MAX_REWARD = 100 * WAD
MIN_INTERVAL, MAX_INTERVAL = 60, 2**24 - 1


@dataclass(frozen=True, slots=True)
class OptionParams:
    """IOptionEngine.MarketParams."""

    min_size: int
    cap_series: int
    cap_expiry: int
    cap_market: int
    cutoff: int
    initial_bps: int
    floor_bps: int
    maintenance_bps: int
    penalty_bps: int
    fee_share_bps: int
    reward: int
    interval: int


def stored_params(p: OptionParams) -> OptionParams:
    """What ``parameters._save`` keeps: bounds checked, sizes rounded down to lots, the reward to MICRO."""
    require(MIN_CUTOFF <= p.cutoff <= MAX_CUTOFF, "options: cut-off")
    require(MIN_INITIAL_BPS <= p.initial_bps <= BPS, "options: initial margin")
    require(MIN_FLOOR_BPS <= p.floor_bps <= p.initial_bps, "options: margin floor")
    require(MIN_MAINTENANCE_BPS <= p.maintenance_bps <= MAX_MAINTENANCE_BPS, "options: maintenance margin")
    require(p.penalty_bps <= MAX_PENALTY_BPS, "options: penalty")
    require(p.fee_share_bps <= MAX_FEE_SHARE_BPS, "options: fee share")
    require(p.reward <= MAX_REWARD, "options: reward")
    require(MIN_INTERVAL <= p.interval <= MAX_INTERVAL, "options: interval")
    sizes = [x // LOT for x in (p.min_size, p.cap_series, p.cap_expiry, p.cap_market)]
    require(max(sizes) < 2**62, "options: size range")
    return replace(
        p,
        min_size=sizes[0] * LOT,
        cap_series=sizes[1] * LOT,
        cap_expiry=sizes[2] * LOT,
        cap_market=sizes[3] * LOT,
        reward=p.reward - p.reward % MICRO,
    )


# ── OptionEngine.vy ──

MAX_ORDERS = 8
MONEYNESS = 10
NO_LIMIT = INT_MAX  # of `trade`: whatever it costs


@struct
class OptionOutcome:
    """IOptionEngine.Outcome."""

    premium: int
    half_spread: int
    charge: int
    fees: int
    cash: int


class Release(Protocol):
    """What the engine reads of Inventory's answer to ``adjust``."""

    @property
    def release(self) -> int: ...


class Inventory(Protocol):
    """What the engine asks of Inventory."""

    def trade(self, market: int, mark: Mark, change: Change, now: int) -> Quote: ...
    def quote(self, market: int, mark: Mark, change: Change, now: int) -> Quote: ...
    def adjust(self, market: int, mark: Mark, change: Change, now: int, *, hedges: bool) -> Release: ...
    def frozen(self, now: int) -> bool: ...
    @property
    def horizon(self) -> int: ...


class Ledger(Protocol):
    """What the engine asks of the Clearinghouse."""

    def in_progress(self) -> bool: ...

    def settle(self, account: str | None, settlement: Settlement, *, by_engine: bool = False) -> tuple[int, int]: ...


class Oracle(Protocol):
    """What the engine asks of PriceOracle."""

    def sync(self, market: int, now: int) -> Mark: ...
    def peek(self, market: int, now: int) -> Mark: ...
    def price_at(self, market: int, time: int, round_id: int, now: int) -> int: ...


class Surface(Protocol):
    """What the engine asks of VolSurface."""

    def smile(self, market: int, expiry: int, now: int) -> Smile: ...


class Margin(Protocol):
    """What the engine asks of Margin."""

    def check_initial(self, account: str, cash: int, mask: int, now: int) -> bool: ...
    def check_close(
        self, account: str, cash: int, mask: int, market: int, size: int, orders: Sequence[Order], now: int
    ) -> None: ...


@struct
class Done:
    """A settled trade: the account's cash and mask after, whether it only closed, whether the account is short."""

    outcome: OptionOutcome
    market: int
    cash: int
    mask: int
    closing: bool
    is_short: bool


@dataclass(slots=True)
class OptionEngine:
    """Twin of ``OptionEngine.vy``. ``now`` is the block's time."""

    clearinghouse: Ledger
    inventory: Inventory
    oracle: Oracle
    surface: Surface
    book: OptionBook
    margin: Margin | None = None
    configs: dict[int, OptionParams] = field(default_factory=dict)
    paused: set[int] = field(default_factory=set)

    # ── trading ──

    def trade(self, account: str, orders: Sequence[Order], limit: int, deadline: int, now: int) -> OptionOutcome:
        """Change the account's positions on one board."""
        require(now <= deadline, "options: deadline passed")
        done = self._execute(account, orders, INT_MAX, now)
        require(-done.outcome.cash <= limit, "options: limit")
        risky = done.mask & ~(1 << done.market + OPTION_BIT) != 0 or done.is_short
        if risky or done.cash < 0:
            if done.closing:
                self._check_close(account, orders, done, now)
            else:
                require(risky, "margin: below initial")
                self._sync_mask(done.mask, done.market, True, now)
                assert self.margin is not None
                require(self.margin.check_initial(account, done.cash, done.mask, now), "margin: below initial")
        return done.outcome

    def close_for(
        self, account: str, orders: Sequence[Order], most_cost: int, checked: bool, now: int
    ) -> OptionOutcome:
        """``trade`` of another account whose orders all shrink a position and flip none."""
        done = self._execute(account, orders, most_cost, now)
        require(done.closing, "options: not closing")
        if checked:
            self._check_close(account, orders, done, now)
        return done.outcome

    def transfer(self, giver: str, taker: str, orders: Sequence[Order], now: int) -> None:
        """Move positions of one account to another at the mark value: the taker pays what the giver gets."""
        require(giver != taker, "options: same account")
        key, mark = self._enter(orders, now)
        fill = self.book.apply(giver, [Order(order.series, -order.size) for order in orders], mark, now)
        require(all(map(_shrinks, fill.orders)), "options: not closing")
        cash = -fill.premium
        self._settle(giver, market_of(key), fill.holds, Settlement(cash=cash))
        fill = self.book.apply(taker, orders, mark, now)
        require(all(o.before * (o.after - o.before) >= 0 for o in fill.orders), "options: taker is on the other side")
        require(fill.is_live, "options: stale surface")
        self._settle(taker, market_of(key), fill.holds, Settlement(cash=-cash))

    # ── keeping ──

    def refresh(self, market: int, expiry: int, keeper: str, now: int) -> int:
        """Renew a board that is due; the reward paid."""
        key = key_of(market, expiry)
        params = self._params(market)
        mark = self.oracle.sync(market, now)
        _check_open(key, mark, now)
        require(bool(self.book.strikes.get(key)), "options: not listed")
        require(self.book.is_due(key, mark.price, now), "options: not due")
        point, legs = self.book.points.get(key), key in self.book.books and self.book.books[key].legs
        reward = params.reward if legs and point and now - point.time >= params.interval else 0
        self._renew(key, mark, reward, keeper, now)
        return reward

    def settle(self, market: int, expiry: int, round_id: int, keeper: str, now: int) -> int:
        """Fix the price of an expired board and set its payoff aside; the price."""
        key = key_of(market, expiry)
        params = self._params(market)
        require(key != 0, "options: not listed")
        require(now >= expiry, "options: not expired")
        price = self.oracle.price_at(market, expiry, round_id, now)
        mark = self.oracle.sync(market, now)
        payoff, legs, change = self.book.expire(key, mark, price)
        reward = release = 0
        if legs != 0:
            reward = params.reward
            release = self.inventory.adjust(market, mark, change, now, hedges=False).release
        self._settle_vault(release, reward, payoff, keeper)
        return price

    def settle_accounts(self, market: int, expiry: int, accounts: Sequence[str]) -> None:
        """Pay accounts what their positions on a settled board came to, or take it."""
        key = key_of(market, expiry)
        for account in accounts:
            payoff, found, holds = self.book.pay_out(key, account)
            if found:
                self._settle(account, market, holds, Settlement(cash=payoff, payables=-payoff))

    def clear(self, market: int, expiry: int) -> None:
        """Forget a board whose every account is settled."""
        dust = self.book.clear(key_of(market, expiry))
        self._settle_vault(0, 0, -dust, "")

    # ── privileged ──

    def set_params(self, market: int, params: OptionParams) -> None:
        """Set the parameters of a market's options; the first call lists the market."""
        require(market < MAX_MARKETS, "options: not listed")
        self.configs[market] = stored_params(params)

    def lower_caps(self, market: int, cap_series: int, cap_expiry: int, cap_market: int) -> None:
        """Tighten a market's caps."""
        p = self._params(market)
        falls = cap_series <= p.cap_series and cap_expiry <= p.cap_expiry and cap_market <= p.cap_market
        require(falls, "options: caps can only fall")
        self.set_params(market, replace(p, cap_series=cap_series, cap_expiry=cap_expiry, cap_market=cap_market))

    def set_paused(self, market: int, paused: bool) -> None:
        """Positions in the market can only shrink, or grow again."""
        self._params(market)
        self.paused = self.paused | {market} if paused else self.paused - {market}

    def list_strikes(self, market: int, expiry: int, strikes: Sequence[int], now: int) -> None:
        """Open a board, or add strikes to one."""
        params = self._params(market)
        require(expiry > now + params.cutoff, "options: expired")
        require(self.surface.smile(market, expiry, now).theta != 0, "options: not on the surface")
        require(bool(strikes), "options: no strikes")
        spot = self.oracle.sync(market, now).price
        for strike in strikes:
            require(strike * MONEYNESS >= spot and strike <= spot * MONEYNESS, "options: strike range")
        self.book.add_strikes(key_of(market, expiry), strikes)

    def close_board(self, market: int, expiry: int) -> None:
        """Positions on the board can only shrink from now on."""
        self.book.close(key_of(market, expiry))

    # ── views ──

    def quote(self, account: str, orders: Sequence[Order], now: int) -> OptionOutcome:
        """What ``trade`` would do for the account in this block; margin and limit aside."""
        require(not self.clearinghouse.in_progress(), "clearing: in progress")
        key = _check_orders(orders)
        market = market_of(key)
        self._params(market)
        mark = self.oracle.peek(market, now)
        _check_open(key, mark, now)
        due = self.book.is_due(key, mark.price, now)
        require(not due or self.inventory.frozen(now), "options: refresh first")
        fill = self.book.preview(account, orders, mark, now)
        closing = self._check_fill(fill, key, due, now)
        change = replace(fill.change, closing=closing)
        return self._conclude(fill, market, self.inventory.quote(market, mark, change, now), INT_MAX)

    def margin_bps(self, market: int) -> tuple[int, int, int]:
        """Initial, floor and maintenance [bps]."""
        p = self._params(market)
        return p.initial_bps, p.floor_bps, p.maintenance_bps

    def penalty_bps(self, market: int) -> int:
        """Of a liquidation [bps of notional]."""
        return self._params(market).penalty_bps

    # ── internal ──

    def _params(self, market: int) -> OptionParams:
        require(market in self.configs, "options: not listed")
        return self.configs[market]

    def _enter(self, orders: Sequence[Order], now: int) -> tuple[int, Mark]:
        """The key of the one board that all orders are on, and the mark of now."""
        key = _check_orders(orders)
        self._params(market_of(key))
        mark = self.oracle.sync(market_of(key), now)
        _check_open(key, mark, now)
        return key, mark

    def _execute(self, account: str, orders: Sequence[Order], most_cost: int, now: int) -> Done:
        """A settled trade but for limit and margin."""
        key, mark = self._enter(orders, now)
        market = market_of(key)
        due = self.book.is_due(key, mark.price, now)
        if due and not self.inventory.frozen(now):
            self._renew(key, mark, 0, account, now)
            due = False
        fill = self.book.apply(account, orders, mark, now)
        closing = self._check_fill(fill, key, due, now)
        answer = self.inventory.trade(market, mark, replace(fill.change, closing=closing), now)
        outcome = self._conclude(fill, market, answer, most_cost)
        settlement = Settlement(cash=outcome.cash, reserve=outcome.charge - answer.release, fees=outcome.fees)
        cash, mask = self._settle(account, market, fill.holds, settlement)
        return Done(outcome, market, cash, mask, closing, fill.is_short)

    def _settle(self, account: str, market: int, holds: bool, settlement: Settlement) -> tuple[int, int]:
        bit = 1 << market + OPTION_BIT
        settlement = replace(settlement, opened=bit if holds else 0, closed=0 if holds else bit)
        return self.clearinghouse.settle(account, settlement, by_engine=True)

    def _check_close(self, account: str, orders: Sequence[Order], done: Done, now: int) -> None:
        self._sync_mask(done.mask, done.market, False, now)
        assert self.margin is not None
        self.margin.check_close(account, done.cash, done.mask, done.market, 0, orders, now)

    def _check_fill(self, fill: Fill, key: int, due: bool, now: int) -> bool:
        """Refuse what opens or grows a position and must not; whether every order shrinks one and does not flip it."""
        market = market_of(key)
        p = self._params(market)
        closing, grown = True, 0
        for o in fill.orders:
            grown += abs(o.after) - abs(o.before)
            if _shrinks(o):
                continue
            closing = False
            least = p.min_size // LOT
            require(abs(o.after - o.before) >= least and abs(o.after) >= least, "options: below minimum size")
            require(abs(o.after) <= MAX_LOTS, "options: size range")
            most = p.cap_series // LOT
            require(abs(o.net_after) <= most or abs(o.net_after) < abs(o.net_before), "options: series cap")
        if not closing:
            require(market not in self.paused, "options: paused")
            require(not fill.closing_only, "options: board is closing")
            require(fill.is_live, "options: stale surface")
            require(not due, "options: refresh first")
            require(now + p.cutoff <= expiry_of(key), "options: too close to expiry")
            if grown > 0:
                require(fill.interest <= p.cap_expiry // LOT, "options: expiry cap")
                require(fill.market_interest <= p.cap_market // LOT, "options: market cap")
        return closing

    def _conclude(self, fill: Fill, market: int, answer: Quote, most_cost: int) -> OptionOutcome:
        half_spread = max(min(answer.half_spread, fill.spread_cap), answer.boost)
        charge = min(answer.charge, max(most_cost - half_spread, 0))
        return OptionOutcome(
            fill.premium,
            half_spread,
            charge,
            half_spread * self.configs[market].fee_share_bps // BPS,
            -(fill.premium + half_spread + charge),
        )

    def _sync_mask(self, mask: int, synced: int, fresh: bool, now: int) -> None:
        both = (mask | mask >> OPTION_BIT) & MARKETS & ~(1 << synced)
        for market in range(MAX_MARKETS):
            if both >> market & 1:
                mark = self.oracle.sync(market, now)
                require(mark.fresh or not fresh, "oracle: stale price")

    def _renew(self, key: int, mark: Mark, reward: int, keeper: str, now: int) -> None:
        change = self.book.renew(key, mark, self.inventory.horizon, now)
        release = 0
        if change.options:
            release = self.inventory.adjust(market_of(key), mark, change, now, hedges=False).release
        self._settle_vault(release, reward, 0, keeper)

    def _settle_vault(self, release: int, reward: int, payables: int, keeper: str) -> None:
        if release == 0 and reward == 0 and payables == 0:
            require(not self.clearinghouse.in_progress(), "clearing: in progress")
            return
        settlement = Settlement(cash=reward, reserve=-release, payables=payables)
        self.clearinghouse.settle(keeper if reward != 0 else None, settlement, by_engine=True)


def _shrinks(o: Filled) -> bool:
    """Whether an order shrinks a position and does not flip it."""
    return abs(o.after) < abs(o.before) and (o.after == 0 or (o.after > 0) == (o.before > 0))


def _check_orders(orders: Sequence[Order]) -> int:
    """The key of the one board that all orders are on."""
    require(bool(orders), "options: no orders")
    key, last = board_of(orders[0].series), 0
    for order in orders:
        require(board_of(order.series) == key, "options: mixed expiries")
        require(order.series != last, "options: duplicate series")
        require(order.series > last, "options: series order")
        require(order.size != 0, "options: zero size")
        require(order.size % LOT == 0, "options: not a multiple of the lot")
        require(abs(tdiv(order.size, LOT)) <= MAX_LOTS, "options: size range")
        last = order.series
    return key


def _check_open(key: int, mark: Mark, now: int) -> None:
    require(now < expiry_of(key), "options: expired")
    require(mark.fresh, "oracle: stale price")
