"""Integer twin of ``contracts/perps/PerpEngine.vy`` and its modules ``markets.vy``, ``funding.vy``, ``positions.vy``.

Names, order and rounding are the contract's. Not mirrored: roles, events and the packing of words; their ranges
and units are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from ballast.model.exact.fixed import (
    BPS,
    MAX_CARRY,
    MAX_MARKETS,
    MICRO,
    OPTION_BIT,
    WIDE,
    YEAR,
    ceil_div,
    floor_div,
    mul_ceil,
    mul_down,
    mul_floor,
    mul_up,
    require,
    tdiv,
)
from ballast.model.exact.margin import Oracle as LastMarks
from ballast.model.exact.margin import exit_cost, required, value
from ballast.model.exact.option_book import Order
from ballast.model.exact.oracle import Mark
from ballast.model.exact.structs import (
    Change,
    Exposure,
    Leg,
    MarketParams,
    Outcome,
    Quote,
    Settlement,
    struct,
)

# ── markets.vy ──

MIN_MAINTENANCE_BPS = 50
MIN_INITIAL_BPS = 100
MAX_FEE_SHARE_BPS = 5_000
MAX_PENALTY_BPS = 500
BASE_UNIT = 10**12
SIZE_UNIT = 10**9
CARRY_UNIT = 10**14
MASK_48 = 2**48 - 1
MASK_64 = 2**64 - 1


NO_PARAMS = MarketParams(0, 0, 0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Config:
    """Parameters and switches of a market, and what holding the hedge adds to its funding."""

    params: MarketParams = NO_PARAMS
    listed: bool = False
    paused: bool = False
    carry: int = 0  # [1/year, WAD]


NO_CONFIG = Config()


def stored_params(params: MarketParams) -> MarketParams:
    """What ``markets._save`` keeps: bounds checked, caps and minimum rounded down to their units."""
    require(MIN_INITIAL_BPS <= params.initial_bps <= BPS, "perps: initial margin")
    require(MIN_MAINTENANCE_BPS <= params.maintenance_bps < params.initial_bps, "perps: maintenance margin")
    require(params.fee_share_bps <= MAX_FEE_SHARE_BPS, "perps: fee share")
    require(params.penalty_bps <= min(MAX_PENALTY_BPS, params.maintenance_bps - 1), "perps: penalty")
    require(params.cap_base // BASE_UNIT <= MASK_64, "perps: cap range")
    require(params.cap_quote // MICRO <= MASK_64, "perps: cap range")
    require(params.min_size // SIZE_UNIT <= MASK_48, "perps: minimum size range")
    return replace(
        params,
        cap_base=params.cap_base - params.cap_base % BASE_UNIT,
        cap_quote=params.cap_quote - params.cap_quote % MICRO,
        min_size=params.min_size - params.min_size % SIZE_UNIT,
    )


# ── funding.vy ──

FUNDING_UNIT = 10**12
BORROW_UNIT = 10**13
MAX_FUNDING = 2**23 - 1
MAX_BORROW = 2**16 - 1
HALF_144 = 2**143
HALF_56 = 2**55
MASK_92 = 2**92 - 1
ACCRUAL_DIVISOR = YEAR * 10**27
NANO = 10**9


@struct
class Book:
    """Open interest [base, WAD], rates [1/year, WAD], claims [1e-27 quote], indices [1e-9 quote per base]."""

    long: int = 0
    short: int = 0
    time: int = 0
    funding_rate: int = 0
    borrow_rate: int = 0
    claims: int = 0
    index_long: int = 0
    index_short: int = 0


NO_BOOK = Book()


def accrue(book: Book, price: int, now: int) -> Book:
    """Move indices and claims to ``now`` at the stored rates and this mark; not at all past the end of an index."""
    if now == book.time:
        return book
    price_time = price * (now - book.time)
    change_long = change_short = per_base(book.borrow_rate, price_time)
    if book.funding_rate > 0 and book.short != 0:
        pay = per_base(book.funding_rate, price_time)
        change_short += pay
        change_long -= received(pay, book.short, book.long)
    elif book.funding_rate < 0 and book.long != 0:
        pay = per_base(-book.funding_rate, price_time)
        change_long += pay
        change_short -= received(pay, book.long, book.short)
    index_long, index_short = book.index_long + change_long, book.index_short + change_short
    if not (fits(index_long) and fits(index_short)):
        return replace(book, time=now)
    claims = book.claims + book.long * change_long + book.short * change_short
    return Book(book.long, book.short, now, book.funding_rate, book.borrow_rate, claims, index_long, index_short)


def per_base(rate: int, price_time: int) -> int:
    """rate · price · time / year [1e-9 quote per base], rounded up."""
    return -(-(rate * price_time) // ACCRUAL_DIVISOR)


def received(pay: int, payers: int, receivers: int) -> int:
    """pay · min(1, payers/receivers) [1e-9 quote per base], rounded down; 0 without receivers."""
    if payers >= receivers:
        return pay if receivers != 0 else 0
    return pay * payers // receivers


def fits(index: int) -> bool:
    """Whether an index fits its 56 bits."""
    return -HALF_56 <= index < HALF_56


def stored_funding(funding_rate: int) -> int:
    """Truncated toward zero to whole units and kept in range [1/year, WAD]."""
    return max(-MAX_FUNDING, min(MAX_FUNDING, tdiv(funding_rate, FUNDING_UNIT))) * FUNDING_UNIT


def stored_borrow(borrow_rate: int) -> int:
    """Rounded down to whole units and kept in range [1/year, WAD]."""
    return min(borrow_rate // BORROW_UNIT, MAX_BORROW) * BORROW_UNIT


def claims_wad(claims: int) -> int:
    """[quote, WAD], rounded down."""
    return floor_div(claims, NANO)


def check_book(book: Book) -> None:
    """The ranges that ``funding._save`` asserts."""
    require(book.long <= MASK_92 and book.short <= MASK_92, "perps: open interest range")
    require(-HALF_144 <= book.claims < HALF_144, "")


# ── positions.vy ──

HALF_96 = 2**95


@struct
class Position:
    """Size [base, WAD], cost [quote, WAD], index at entry [1e-9 quote per base]."""

    size: int = 0
    cost: int = 0
    index: int = 0


NO_POSITION = Position()


@struct
class Touch:
    """A position after a trade, what it realised and owed [quote, WAD], and its change of K [1e-27 quote]."""

    position: Position
    realised: int
    owed: int
    claims: int


def accrued(position: Position, index_long: int, index_short: int) -> int:
    """What the position owes, exactly [1e-27 quote]."""
    index = index_long if position.size >= 0 else index_short
    return abs(position.size) * (index - position.index)


def owed(position: Position, index_long: int, index_short: int) -> int:
    """What the position owes, rounded up [quote, WAD]."""
    return ceil_div(accrued(position, index_long, index_short), NANO)


def apply(position: Position, size_delta: int, price: int, index_long: int, index_short: int) -> Touch:
    """The position after a trade at mark: average cost, flips closed whole first."""
    size, cost, opened, realised = position.size, position.cost, size_delta, 0
    exact = accrued(position, index_long, index_short)
    if size != 0 and (size > 0) != (size_delta > 0):
        closed, cost_closed = size, cost
        if abs(size_delta) < abs(size):
            closed = -size_delta
            cost_closed = ceil_div(cost * abs(closed), abs(size))
        realised = mul_floor(closed, price) - cost_closed
        cost -= cost_closed
        size -= closed
        opened = size_delta + closed
    if opened != 0:
        cost += mul_ceil(opened, price)
        size += opened
    index = index_long if size > 0 else index_short if size < 0 else 0
    return Touch(
        Position(size, cost, index),
        realised,
        ceil_div(exact, NANO),
        (cost - position.cost) * NANO - exact,
    )


def check_position(position: Position) -> None:
    """The range that ``positions._save`` asserts; a size is part of an open interest."""
    require(-HALF_96 <= position.cost < HALF_96, "perps: cost range")


# ── PerpEngine.vy ──

MAX_SIZE = 2**95 - 1
MAX_LIMIT = 2**128
NO_LIMIT = 2**256 - 1


class Ledger(Protocol):
    """What PerpEngine asks of the Clearinghouse."""

    def in_progress(self) -> bool: ...

    def settle(self, account: str | None, settlement: Settlement, *, by_engine: bool = False) -> tuple[int, int]: ...


class Oracle(LastMarks, Protocol):
    """What PerpEngine asks of PriceOracle."""

    def sync(self, market: int, now: int) -> Mark: ...
    def peek(self, market: int, now: int) -> Mark: ...


class Inventory(Protocol):
    """What PerpEngine asks of Inventory; ``quote`` must leave no trace."""

    def sync(self, market: int, now: int) -> None: ...
    def trade(self, market: int, mark: Mark, change: Change, now: int) -> Quote: ...
    def quote(self, market: int, mark: Mark, change: Change, now: int) -> Quote: ...


class Margin(Protocol):
    """What PerpEngine asks of Margin."""

    def check_initial(self, account: str, cash: int, mask: int, now: int) -> bool: ...
    def check_close(
        self, account: str, cash: int, mask: int, market: int, size: int, orders: Sequence[Order], now: int
    ) -> None: ...


@struct
class Plan:
    """A trade in memory: everything but Inventory's answer."""

    config: Config
    book: Book
    touch: Touch
    change: Change


@struct
class Fill:
    """A trade that lacks its settlement only."""

    outcome: Outcome
    settlement: Settlement
    params: MarketParams
    notional: int
    closing: bool


@dataclass(slots=True)
class PerpEngine:
    """Twin of ``PerpEngine.vy``. ``now`` is the block's time."""

    clearinghouse: Ledger
    inventory: Inventory
    oracle: Oracle
    margin: Margin | None = None
    configs: dict[int, Config] = field(default_factory=dict)
    books: dict[int, Book] = field(default_factory=dict)
    positions: dict[tuple[str, int], Position] = field(default_factory=dict)

    def trade(self, account: str, market: int, size_delta: int, limit_price: int, deadline: int, now: int) -> Outcome:
        """Change the account's position."""
        require(now <= deadline, "perps: expired")
        mark = self.oracle.sync(market, now)
        fill = self._fill(account, market, size_delta, mark, NO_LIMIT, False, now)
        extra = fill.outcome.half_spread + fill.outcome.charge
        _check_limit(size_delta, limit_price, mark.price, fill.notional, extra)
        cash, mask = self.clearinghouse.settle(account, fill.settlement, by_engine=True)
        size = fill.outcome.size
        if fill.closing:
            if mask >> OPTION_BIT != 0:
                self._check_close(account, market, size_delta, cash, mask, now)
        elif mask == 1 << market:
            equity = cash + value(size, fill.outcome.cost, 0, mark.price)
            initial = required(size, mark.price, fill.params.initial_bps)
            initial += exit_cost(size, mark.price, mark.sigma, fill.params.cap_quote)
            require(equity >= initial, "margin: below initial")
        else:
            self._sync_others(mask, market, True, now)
            assert self.margin is not None
            require(self.margin.check_initial(account, cash, mask, now), "margin: below initial")
        return fill.outcome

    def close_for(self, account: str, market: int, size_delta: int, most_cost: int, checked: bool, now: int) -> Outcome:
        """``trade`` of another account that shrinks its position; of the charge at most ``most_cost`` is paid."""
        return self._close(account, market, size_delta, most_cost, False, checked, now)

    def deleverage(self, account: str, market: int, size_delta: int, now: int) -> Outcome:
        """Shrink a position at the mark: LPs pay the charge, or get the rebate."""
        return self._close(account, market, size_delta, 0, True, False, now)

    def transfer(self, giver: str, taker: str, market: int, size: int, now: int) -> None:
        """Move a part of an account's position to another at the mark."""
        require(giver != taker, "perps: same account")
        mark = self.oracle.sync(market, now)
        self._check_tradable(market, mark)
        given, taken = self.position(giver, market), self.position(taker, market)
        require(0 < size <= given.size or given.size <= size < 0, "perps: not closing")
        require(taken.size == 0 or (taken.size > 0) == (size > 0), "perps: taker is on the other side")
        book = self.book(market)
        claims_before = book.claims
        book = accrue(book, mark.price, now)
        gave = apply(given, -size, mark.price, book.index_long, book.index_short)
        took = apply(taken, size, mark.price, book.index_long, book.index_short)
        release = self._save_claims(
            market, mark, replace(book, claims=book.claims + gave.claims + took.claims), claims_before, now
        )
        for account, touch, reserve in ((giver, gave, -release), (taker, took, 0)):
            check_position(touch.position)
            self.positions[account, market] = touch.position
            bit = 1 << market
            settlement = Settlement(
                cash=touch.realised - touch.owed,
                reserve=reserve,
                opened=bit if touch.position.size else 0,
                closed=0 if touch.position.size else bit,
            )
            self.clearinghouse.settle(account, settlement, by_engine=True)

    def sync(self, market: int, now: int) -> None:
        """Accrue a market to now and take over the rates of now."""
        mark = self.oracle.sync(market, now)
        self._check_tradable(market, mark)
        self._sync(market, mark, now)

    def set_carry(self, market: int, rate: int, now: int) -> None:
        """From now on funding is what Inventory asks plus this, truncated toward zero to its unit [1/year, WAD]."""
        require(-MAX_CARRY <= rate <= MAX_CARRY, "perps: carry range")
        mark = self.oracle.sync(market, now)
        config = self._check_tradable(market, mark)
        self.configs[market] = replace(config, carry=tdiv(rate, CARRY_UNIT) * CARRY_UNIT)
        self._sync(market, mark, now)

    def list_market(self, market: int, params: MarketParams, now: int) -> None:
        """Open a market."""
        require(market < MAX_MARKETS, "perps: not listed")
        require(not self.config(market).listed, "perps: already listed")
        self.configs[market] = Config(stored_params(params), listed=True)
        self.books[market] = Book(time=now)

    def set_params(self, market: int, params: MarketParams) -> None:
        """Replace a market's parameters."""
        config = self.config(market)
        require(config.listed, "perps: not listed")
        self.configs[market] = replace(config, params=stored_params(params))

    def set_paused(self, market: int, paused: bool) -> None:
        """``pause`` and ``unpause``."""
        config = self.config(market)
        require(config.listed, "perps: not listed")
        self.configs[market] = replace(config, paused=paused)

    # ── views ──

    def quote(self, account: str, market: int, size_delta: int, now: int) -> Outcome:
        """What ``trade`` would do now."""
        require(not self.clearinghouse.in_progress(), "clearing: in progress")
        mark = self.oracle.peek(market, now)
        plan = self._plan(account, market, size_delta, mark, now)
        return self._conclude(plan.touch, plan.config, mark.price, self.inventory.quote(market, mark, plan.change, now))

    def legs(self, account: str, mask: int, now: int) -> list[Leg]:
        """The account's positions in the markets of ``mask``, accrued to now at the last recorded mark."""
        result = []
        for market in range(MAX_MARKETS):
            if not mask >> market & 1:
                continue
            position, book, params = (
                self.position(account, market), self._book_now(market, now), self.config(market).params,
            )  # fmt: skip
            result.append(
                Leg(
                    market,
                    position.size,
                    position.cost,
                    owed(position, book.index_long, book.index_short),
                    params.initial_bps,
                    params.maintenance_bps,
                    params.cap_quote,
                )
            )
        return result

    def book_value(self, prices: Sequence[int], now: int) -> int:
        """What traders owe the vault in all markets at these prices, by market [quote, WAD], rounded down."""
        value = 0
        for market, price in enumerate(prices):
            book = self.book(market)
            if book.long != 0 or book.short != 0:
                book = accrue(book, price, now)
                value += claims_wad(book.claims) - mul_ceil(book.long - book.short, price)
        return value

    def accrued(self, market: int, now: int) -> tuple[int, int, int, int]:
        """Open interest long, short [base, WAD] and both indices [1e-9 quote per base], at the last recorded mark."""
        require(market < MAX_MARKETS, "perps: not listed")
        book = self._book_now(market, now)
        return book.long, book.short, book.index_long, book.index_short

    def penalty_bps(self, market: int) -> int:
        """Of a liquidation [bps of notional]."""
        require(market < MAX_MARKETS, "perps: not listed")
        return self.config(market).params.penalty_bps

    def min_size(self, market: int) -> int:
        """Of a position after a trade that is not closing [base, WAD]."""
        return self.config(market).params.min_size

    def position(self, account: str, market: int) -> Position:
        """The stored position."""
        return self.positions.get((account, market), NO_POSITION)

    def book(self, market: int) -> Book:
        """The stored aggregates."""
        return self.books.get(market, NO_BOOK)

    def config(self, market: int) -> Config:
        """Parameters and switches."""
        return self.configs.get(market, NO_CONFIG)

    def disagreement(self, market: int) -> tuple[int, int, int]:
        """Invariant I2: long, short and claims minus their sums over positions; zeros always."""
        book = self.book(market)
        held = [position for (_, m), position in self.positions.items() if m == market]
        return (
            book.long - sum(p.size for p in held if p.size > 0),
            book.short + sum(p.size for p in held if p.size < 0),
            book.claims - sum(p.cost * NANO + accrued(p, book.index_long, book.index_short) for p in held),
        )

    # ── internal ──

    def _fill(
        self, account: str, market: int, size_delta: int, mark: Mark, most_cost: int, at_mark: bool, now: int
    ) -> Fill:
        """A trade but for its settlement: plan it, report it to Inventory, write it. At mark LPs pay the charge."""
        plan = self._plan(account, market, size_delta, mark, now)
        answer = self.inventory.trade(market, mark, plan.change, now)
        if not at_mark:
            answer = replace(answer, charge=min(answer.charge, max(most_cost - answer.half_spread, 0)))
        reserve = answer.charge - answer.release
        if at_mark:
            answer = replace(answer, half_spread=0, charge=0)
        outcome = self._conclude(plan.touch, plan.config, mark.price, answer)
        book = plan.book
        self._save_book(
            market,
            Book(
                book.long, book.short, book.time, outcome.funding_rate, outcome.borrow_rate, book.claims,
                book.index_long, book.index_short,
            ),
        )  # fmt: skip
        check_position(plan.touch.position)
        self.positions[account, market] = plan.touch.position
        bit = 1 << market
        settlement = Settlement(
            cash=outcome.cash,
            reserve=reserve,
            fees=outcome.fees,
            opened=bit if outcome.size else 0,
            closed=0 if outcome.size else bit,
        )
        return Fill(outcome, settlement, plan.config.params, plan.change.notional, plan.change.closing)

    def _plan(self, account: str, market: int, size_delta: int, mark: Mark, now: int) -> Plan:
        """Load, accrue and apply the trade at mark; refuse what is refused whatever Inventory answers."""
        require(size_delta != 0, "perps: zero size")
        require(abs(size_delta) <= MAX_SIZE, "perps: size range")
        config = self._check_tradable(market, mark)
        book = self.book(market)
        claims_before = book.claims
        book = accrue(book, mark.price, now)
        before = self.position(account, market)
        touch = apply(before, size_delta, mark.price, book.index_long, book.index_short)
        after = touch.position.size
        book = Book(
            book.long - max(before.size, 0) + max(after, 0),
            book.short - max(-before.size, 0) + max(-after, 0),
            book.time, book.funding_rate, book.borrow_rate, book.claims + touch.claims,
            book.index_long, book.index_short,
        )  # fmt: skip
        closing = (before.size > 0 and size_delta < 0 and after >= 0) or (
            before.size < 0 and size_delta > 0 and after <= 0
        )
        if not closing:
            require(not config.paused, "perps: paused")
            require(mark.half_width * WIDE <= mark.price, "oracle: price too uncertain")
            _check_caps(config.params, abs(after), book.short if after < 0 else book.long, mark.price)
        change = Change(
            exposure=Exposure(delta=-size_delta),
            notional=mul_up(abs(size_delta), mark.price),
            book=claims_wad(book.claims) - claims_wad(claims_before) - mul_ceil(size_delta, mark.price),
            closing=closing,
        )
        return Plan(config, book, touch, change)

    def _conclude(self, touch: Touch, config: Config, price: int, answer: Quote) -> Outcome:
        """What was planned and what Inventory answered."""
        return Outcome(
            price=price,
            size=touch.position.size,
            cost=touch.position.cost,
            realised=touch.realised,
            owed=touch.owed,
            half_spread=answer.half_spread,
            charge=answer.charge,
            fees=answer.half_spread * config.params.fee_share_bps // BPS,
            cash=touch.realised - touch.owed - answer.half_spread - answer.charge,
            funding_rate=stored_funding(answer.funding_rate + config.carry),
            borrow_rate=stored_borrow(answer.borrow_rate),
        )

    def _save_book(self, market: int, book: Book) -> None:
        check_book(book)
        self.books[market] = book

    def _check_tradable(self, market: int, mark: Mark) -> Config:
        config = self.config(market)
        require(config.listed, "perps: not listed")
        require(mark.fresh, "oracle: stale price")
        return config

    def _close(
        self, account: str, market: int, size_delta: int, most_cost: int, at_mark: bool, checked: bool, now: int
    ) -> Outcome:
        """A settled trade that only closes."""
        mark = self.oracle.sync(market, now)
        fill = self._fill(account, market, size_delta, mark, most_cost, at_mark, now)
        require(fill.closing, "perps: not closing")
        cash, mask = self.clearinghouse.settle(account, fill.settlement, by_engine=True)
        if checked and mask >> OPTION_BIT != 0:
            self._check_close(account, market, size_delta, cash, mask, now)
        return fill.outcome

    def _check_close(self, account: str, market: int, size_delta: int, cash: int, mask: int, now: int) -> None:
        self._sync_others(mask, market, False, now)
        assert self.margin is not None
        self.margin.check_close(account, cash, mask, market, -size_delta, [], now)

    def _sync(self, market: int, mark: Mark, now: int) -> None:
        """Accrue at the rates that were; those from now on are Inventory's and the carry."""
        before = self.book(market)
        release = self._save_claims(market, mark, accrue(before, mark.price, now), before.claims, now)
        self.clearinghouse.settle(None, Settlement(reserve=-release), by_engine=True)

    def _save_claims(self, market: int, mark: Mark, book: Book, claims_before: int, now: int) -> int:
        """Save a market whose open interest has not changed, with Inventory's rates; what the reserve releases."""
        change = Change(book=claims_wad(book.claims) - claims_wad(claims_before))
        answer = self.inventory.trade(market, mark, change, now)
        require(answer.charge == 0 and answer.half_spread == 0, "")
        self._save_book(
            market,
            replace(
                book,
                funding_rate=stored_funding(answer.funding_rate + self.config(market).carry),
                borrow_rate=stored_borrow(answer.borrow_rate),
            ),
        )
        return answer.release

    def _book_now(self, market: int, now: int) -> Book:
        """The market accrued to now at the last recorded mark."""
        book = self.book(market)
        return book if book.time == now else accrue(book, self.oracle.last(market, now).price, now)

    def _sync_others(self, mask: int, market: int, fresh: bool, now: int) -> None:
        others = (mask | mask >> OPTION_BIT) & ~(1 << market)
        for other in range(MAX_MARKETS):
            if others >> other & 1:
                require(self.oracle.sync(other, now).fresh or not fresh, "oracle: stale price")


def _check_caps(params: MarketParams, size: int, interest: int, price: int) -> None:
    require(size >= params.min_size, "perps: below minimum size")
    require(interest <= params.cap_base, "perps: base cap")
    require(mul_up(interest, price) <= params.cap_quote, "perps: quote cap")


def _check_limit(size_delta: int, limit_price: int, price: int, notional: int, extra: int) -> None:
    """Buying must cost at most, selling must bring at least, size · limit, spread and charge included."""
    limit = min(limit_price, MAX_LIMIT)
    size = abs(size_delta)
    if size_delta > 0:
        require(notional + extra <= mul_down(size, limit), "perps: limit price")
    elif limit != 0:
        require(mul_down(size, price) - extra >= mul_up(size, limit), "perps: limit price")
