"""Leveraged accounts through a recorded crash, on the exact twins: who is liquidated, what is lost, who bears it.

A window of bars becomes a price per market and block, a feed that posts rounds of it, accounts that open perpetuals at
random times and never close them, LPs, insurance, and a keeper that liquidates. Everything that moves value is the
system's own rule in integers: PriceOracle, PerpEngine, Inventory, Margin, Clearinghouse, Liquidator, Vault,
HedgeManager.

Price inside a bar: open, low, high, close if it closes at or above its open, else open, high, low, close, at the
bar's first block, a third and two thirds of it, and its last block. In between it runs straight, or, path "jumps",
stands still until it is at the next. Both extremes are therefore prices of a block; jumps leave the feed nothing to
post in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from itertools import pairwise
from typing import Literal

import numpy as np

from ballast import config as networks
from ballast import data
from ballast.config import Config
from ballast.data import Asset, Bars, Floats, Ints
from ballast.model.exact.clearing import Clearinghouse
from ballast.model.exact.fixed import BPS, WAD, Reverted
from ballast.model.exact.hedge import NO_LIMIT, Rule, VenueParams
from ballast.model.exact.hedge_manager import HedgeManager, Prices, Venue
from ballast.model.exact.inventory import Inventory
from ballast.model.exact.inventory import Params as InventoryParams
from ballast.model.exact.margin import EXIT
from ballast.model.exact.oracle import FixedFeed, PriceOracle, Round
from ballast.model.exact.oracle import Params as OracleParams
from ballast.model.exact.perps import accrue
from ballast.model.exact.structs import Health, MarketParams
from ballast.model.exact.system import System
from ballast.model.exact.vault import Params as VaultParams
from ballast.model.exact.vault import Vault
from ballast.model.exact.vol_surface import VolSurface

Path = Literal["straight", "jumps"]
Mix = Literal["longs", "mixed", "shorts"]
Side = Literal["long", "short", "pair"]
PATHS: tuple[Path, ...] = ("straight", "jumps")
MIXES: tuple[Mix, ...] = ("longs", "mixed", "shorts")
LEVERAGES = (5, 10, 15, 20)

BLOCK = 12  # [s]
DEVIATION = 0.005  # of the last answer, at which the feed posts
HEARTBEAT = 3_600  # [s] after which it posts anyway
SLACK = 300  # [s] beyond the heartbeat for which a price counts as fresh
DECIMALS = 8  # of an answer
LP_EQUITY = 10_000_000  # [quote]
INSURANCE = 50_000  # [quote] at the start
ACCOUNTS = 400
COLLATERAL = 6_000.0, 1.0  # [quote] median, and standard deviation of its logarithm ...
SMALLEST, LARGEST = 500.0, 150_000.0  # ... between these
# parts of the accounts that are long or short one market; the others are long one and short the other
SIDES: dict[Mix, tuple[float, float]] = {"longs": (0.8, 0.1), "mixed": (0.4, 0.4), "shorts": (0.1, 0.8)}
OPENED_BY = 0.9  # part of the window by which the last account has opened
LESS = 0.985  # a refused size is tried again at this part of it ...
TRIES = 40  # ... this often
DUST = 10.0  # [quote] notional that the keeper does not bother about
SLOW = 300  # [s] between the turns of a slow keeper
HEDGE_FEE = 500  # [1e-6] of the outside market in which LPs hedge
HEDGE_FROM = 50_000.0  # [quote] least hedge
NEAR = 1e-3  # [fraction of notional] within which a float leaves the question of liquidation to the twin
KEEPER, LP = "keeper", "lp"


@dataclass(frozen=True, slots=True)
class Tape:
    """A window in blocks: prices [quote/base] of shape (n_markets, n_blocks), and the feed's rounds (block, price)."""

    name: str
    assets: tuple[Asset, ...]
    start: int  # [s] of block 0
    price: Floats
    rounds: tuple[tuple[tuple[int, float], ...], ...]

    @property
    def blocks(self) -> int:
        """How many there are."""
        return int(self.price.shape[1])


@dataclass(frozen=True, slots=True)
class Plan:
    """An account before it opens."""

    name: str
    block: int
    leverage: int
    side: Side
    market: int  # of a pair: the long leg's
    collateral: float  # [quote]


@dataclass(frozen=True, slots=True)
class Moment:
    """The system after a turn of the keeper; amounts in quote."""

    time: int  # [s]
    price: tuple[float, ...]  # [quote/base] of the rounds
    long: float  # open interest
    short: float
    insurance: float
    reserve: float
    nav: float
    profit: float  # traders', open


@dataclass(frozen=True, slots=True)
class Liquidation:
    """An account's way from below maintenance back above it, or to its end, in one or more steps of one turn."""

    time: int  # [s]
    account: int
    leverage: int
    equity: float  # [quote] before
    maintenance: float  # [quote] before
    notional: float  # [quote] before
    steps: int  # transactions of the turn
    partial: bool  # it kept more than DUST
    waited: int  # [s] since the round that brought it below maintenance
    penalty: float  # [quote]
    by_insurance: float  # [quote] bad debt
    by_lps: float

    @property
    def debt(self) -> float:
        """What the account could not pay [quote]."""
        return self.by_insurance + self.by_lps

    @property
    def missing(self) -> float:
        """The part of it that was missing at the mark already; the other is what closing costs."""
        return min(self.debt, max(-self.equity, 0.0))


@dataclass(frozen=True, slots=True)
class Run:
    """One replay."""

    window: str
    assets: tuple[Asset, ...]
    path: Path
    delay: int  # [s] the keeper's: BLOCK after a round, or SLOW between turns
    mix: Mix
    hedged: bool
    days: float
    fall: float  # [fraction] deepest from a price of any market to a later one
    rise: float
    step: float  # [fraction] between two rounds, the largest
    rounds: int
    opened: dict[int, tuple[tuple[float, float], ...]]  # of each account by leverage asked for: see Replay.opened
    refused: int  # accounts that the vault had no room for
    course: tuple[Moment, ...]
    liquidations: tuple[Liquidation, ...]
    later: float  # [quote] bad debt of accounts above maintenance that closed at the end
    by_insurance: float  # [quote] of all bad debt
    by_lps: float
    deleveraged: int  # positions closed at mark because traders' open profit was too large
    stuck: int  # accounts below maintenance of which the Liquidator refused every position
    stuck_for: int  # [s] the longest
    uncovered: int  # [wei] largest difference between all ledger buckets and the tokens held
    unpaid: int  # accounts that could not close or take out their cash at the end
    insurance: float  # [quote] at the end
    lps: float  # [quote] NAV and reserve at the end, everybody gone, less what they brought

    @property
    def interest(self) -> float:
        """Open interest of both sides at its highest [quote]."""
        return max(moment.long + moment.short for moment in self.course)

    @property
    def insurance_low(self) -> float:
        """Insurance at its lowest [quote]."""
        return min(self.insurance, *(moment.insurance for moment in self.course))

    @property
    def profit(self) -> float:
        """Traders' open profit over NAV at its highest."""
        return max(moment.profit / moment.nav if moment.nav > 0 else float("inf") for moment in self.course)


@dataclass(slots=True)
class Ledger(Clearinghouse):
    """The Clearinghouse that remembers bad debts: (insurance's part, LPs' part) [quote, WAD]."""

    debts: tuple[tuple[int, int], ...] = ()

    def _cover_bad_debt(self, debt: int) -> int:
        left = Clearinghouse._cover_bad_debt(self, debt)
        self.debts += ((debt - left, left),)
        return left


@dataclass(slots=True)
class Outside:
    """A deep spot market at the window's price, for hedges: any size at the price and its fee."""

    price: int = 0  # [quote/base, WAD]

    def best_route(self, size: int) -> int:
        """There is one."""
        return 0

    def prices(self, route: int) -> Prices:
        """The same before and after."""
        return Prices(self.price, self.price, HEDGE_FEE * (WAD // 10**6))

    def buy(self, base_units: int, route: int) -> tuple[int, Prices]:
        """Rounded up."""
        return -(-base_units * self.price * (10**6 + HEDGE_FEE) // (10**6 * 10**30)), self.prices(route)

    def sell(self, base_units: int, route: int) -> tuple[int, Prices]:
        """Rounded down."""
        return base_units * self.price * (10**6 - HEDGE_FEE) // (10**6 * 10**30), self.prices(route)


# ---- windows


def windows() -> Iterator[tuple[str, dict[Asset, Bars]]]:
    """Every window of 1-minute and 5-minute bars; one whose series end apart also with the longer series alone."""
    for name in data.minute_windows():
        yield name, data.minute_window(name)
    for name in data.five_minute_windows():
        for venue in ("spot", "perp"):
            try:
                bars = data.five_minute_window(name, venue)
            except LookupError:
                continue
            end = min(int(series.ts[-1]) for series in bars.values()) + 1
            start = max(int(series.ts[0]) for series in bars.values())
            yield f"{name} {venue}", {asset: series.between(start, end) for asset, series in bars.items()}
            for asset, series in bars.items():
                if int(series.ts[-1]) >= end:
                    yield f"{name} {venue} {asset}", {asset: series}


def tape(name: str, bars: dict[Asset, Bars], path: Path) -> Tape:
    """The window as the chain sees it; ValueError if bars are missing."""
    for asset, series in bars.items():
        if np.any(np.diff(series.ts) != series.step):
            raise ValueError(f"{name}: bars of {asset} are missing")
    assets: tuple[Asset, ...] = tuple(asset for asset in ("ETH", "BTC") if asset in bars)
    price = np.stack([block_prices(bars[asset], path) for asset in assets])
    start = int(bars[assets[0]].ts[0])
    return Tape(name, assets, start, price, tuple(tuple(posts(row)) for row in price))


def block_prices(bars: Bars, path: Path) -> Floats:
    """The price of each block, shape (n_bars * blocks per bar,)."""
    blocks = bars.step // BLOCK
    falls = bars.close < bars.open
    first, second = np.where(falls, bars.high, bars.low), np.where(falls, bars.low, bars.high)
    corners = np.stack([bars.open, first, second, bars.close], axis=1).ravel()
    offsets = np.array([0, blocks // 3, 2 * blocks // 3, blocks - 1])
    at = (np.arange(len(bars))[:, None] * blocks + offsets).ravel()
    every = np.arange(len(bars) * blocks)
    if path == "jumps":
        return np.asarray(corners[np.searchsorted(at, every, "right") - 1])
    return np.interp(every, at, corners)


def posts(price: Floats) -> Iterator[tuple[int, float]]:
    """The feed's rounds: block and answer."""
    last, at = float("inf"), 0
    for block, now in enumerate(price.tolist()):
        if abs(now - last) >= DEVIATION * last or last == float("inf") or (block - at) * BLOCK >= HEARTBEAT:
            last, at = round(now, DECIMALS), block
            yield block, last


def plans(tape: Tape, mix: Mix, seed: int, accounts: int = ACCOUNTS) -> list[Plan]:
    """Who opens what and when; the same for every path, keeper and hedging."""
    rng = np.random.default_rng([seed, *tape.name.encode(), MIXES.index(mix)])
    long, short = SIDES[mix] if len(tape.assets) > 1 else (SIDES[mix][0] / sum(SIDES[mix]), 1.0)
    blocks = np.sort(rng.integers(0, int(tape.blocks * OPENED_BY), accounts))
    found = []
    for number, block in enumerate(blocks.tolist()):
        draw, market = rng.random(), int(rng.integers(len(tape.assets)))
        side: Side = "long" if draw < long else "short" if draw < long + short else "pair"
        collateral = float(np.clip(np.exp(rng.normal(np.log(COLLATERAL[0]), COLLATERAL[1])), SMALLEST, LARGEST))
        leverage = LEVERAGES[number % len(LEVERAGES)]
        found.append(Plan(f"account {number}", block, leverage, side, market, collateral))
    return found


def network(tape: Tape) -> Config:
    """networks/local.yaml with the window's markets and first prices, and a feed that pushes."""
    config = networks.load("local").without_venues()
    markets = []
    for asset, price in zip(tape.assets, tape.price[:, 0].tolist(), strict=True):
        market = next(market for market in config.markets if market.name == asset).model_dump()
        market["oracle"] |= {"max_age": HEARTBEAT + SLACK}
        market["inventory"] |= {"deviation": Decimal(str(DEVIATION))}
        market["feed"]["test"] |= {"price": Decimal(str(price)), "decimals": DECIMALS}
        markets.append(market)
    hedging = config.hedging.model_dump() | {"gas_market": tape.assets[0]}
    return config.changed(markets=markets, hedging=hedging)


# ---- the system


def build(tape: Tape, lp: int = LP_EQUITY, insurance: int = INSURANCE) -> tuple[System, list[FixedFeed], list[Outside]]:
    """The twins of a deployment of `network`, LPs and insurance in it, with a deep venue per market."""
    config = network(tape)
    assert config.quote.test is not None
    ledger = Ledger(10 ** (18 - config.quote.test.decimals))
    ledger.set_shares(*config.clearing.shares())
    oracle = PriceOracle()
    inventory = Inventory(oracle, ledger, InventoryParams.of(config.inventory.params()))
    rule = Rule(*config.hedging.rule(0))
    manager = HedgeManager(ledger, inventory, oracle, replace(rule, gas_units=0))
    system = System.build(
        scale=ledger.scale, oracle=oracle, inventory=inventory, clearinghouse=ledger, hedge_manager=manager,
        surface=VolSurface(),
    )  # fmt: skip
    assert system.option_book is not None
    feeds, outsides = [], []
    for market, listed in enumerate(config.markets):
        feeds.append(FixedFeed(Round(1, wad(tape.rounds[market][0][1]), 0, tape.start, True)))
        outsides.append(Outside(feeds[-1].round.price))
        oracle.list_market(feeds[-1], OracleParams(*listed.oracle.params()), tape.start)  # type: ignore[arg-type]
        inventory.set_market_params(market, listed.inventory.params())
        system.perp_engine.list_market(market, MarketParams(*listed.perps.params()), tape.start)
        params = VenueParams(
            cap=2**90, turnover=2**60, fee_cap=3_000, band=round(DEVIATION * 10**6), cooldown=60, max_age=0
        )
        manager.list_venue(Venue(market, 1, ledger.scale, outsides[-1], params))
    system.vault = Vault.build(ledger, inventory, oracle, system.perp_engine, system.option_book, manager, tape.start)
    system.vault.params = VaultParams(*config.vault.params())
    system.wire()
    assert system.deleverager is not None
    winners = system.deleverager
    winners.trigger_bps, winners.target_bps, winners.reward = config.deleveraging.params()
    system.vault.deposit(lp * WAD // ledger.scale, LP, tape.start)
    ledger.fund_insurance(insurance * WAD // ledger.scale)
    return system, feeds, outsides


def wad(price: float) -> int:
    """A feed's answer [quote/base, WAD]."""
    return int(round(price * 10**DECIMALS) * 10 ** (18 - DECIMALS))


@dataclass(slots=True)
class Replay:
    """A run under way. Floats of shape (n_accounts, n_markets) mirror positions, only to see whom to ask about."""

    tape: Tape
    plan: list[Plan]
    hedged: bool
    system: System
    feeds: list[FixedFeed]
    outsides: list[Outside]
    size: Floats
    cost: Floats
    index: Floats
    cash: Floats
    below: Ints  # [s] since when an account is below maintenance; 0: it is not
    # notional [quote] and notional / equity right after opening, by leverage asked for
    opened: dict[int, list[tuple[float, float]]] = field(default_factory=lambda: {each: [] for each in LEVERAGES})
    refused: int = 0
    liquidations: list[Liquidation] = field(default_factory=list)
    stuck: set[int] = field(default_factory=set)
    stuck_for: int = 0
    course: list[Moment] = field(default_factory=list)
    uncovered: int = 0
    deleveraged: int = 0

    @classmethod
    def start(cls, tape: Tape, plan: list[Plan], *, hedged: bool) -> Replay:
        """Before the first account opens; ``hedged``: the keeper hedges, too."""
        shape = len(plan), len(tape.assets)
        system, feeds, outsides = build(tape)
        cash, below = np.zeros(len(plan)), np.zeros(len(plan), dtype=np.int64)
        size, cost, index = np.zeros((3, *shape))
        return cls(tape, plan, hedged, system, feeds, outsides, size, cost, index, cash, below)

    def run(self, mix: Mix, path: Path, delay: int) -> Run:
        """From the first block to the last, and everybody out."""
        rounds: dict[int, list[tuple[int, float]]] = {}
        for market, posted in enumerate(self.tape.rounds):
            for block, answer in posted[1:]:
                rounds.setdefault(block, []).append((market, answer))
        step = delay // BLOCK
        turns = {block + 1 if step == 1 else -(-(block + 1) // step) * step for block in rounds}
        openings: dict[int, list[int]] = {}
        for number, account in enumerate(self.plan):
            openings.setdefault(account.block, []).append(number)
        for block in sorted({*rounds, *turns, *openings} - set(range(self.tape.blocks, self.tape.blocks + step + 1))):
            now = self.tape.start + block * BLOCK
            for market, outside in enumerate(self.outsides):
                outside.price = wad(float(self.tape.price[market, block]))
            for market, answer in rounds.get(block, ()):
                feed = self.feeds[market]
                feed.round = Round(feed.round.round_id + 1, wad(answer), 0, now, True)
            if block in rounds:
                self._watch(now)
            for number in openings.get(block, ()):
                self._open(number, now)
            if block in turns:
                self._turn(now)
        return self._end(mix, path, delay)

    # ---- traders

    def _open(self, number: int, now: int) -> None:
        """The account brings its collateral and takes the largest position up to its leverage that is allowed."""
        account = self.plan[number]
        ledger = self.system.clearinghouse
        units = round(account.collateral * WAD) // ledger.scale
        legs = [(account.market, 1 if account.side != "short" else -1, 1.0)]
        if account.side == "pair":
            legs = [(account.market, 1, 0.5), (1 - account.market, -1, 0.5)]
        part = 1.0
        for _ in range(TRIES):
            sizes = [
                (market, sign * round(part * share * account.leverage * account.collateral / price * WAD))
                for market, sign, share in legs
                for price in [self.feeds[market].round.price / WAD]
            ]
            try:
                self.system.attempt(partial(_enter, name=account.name, units=units, sizes=sizes, now=now))
            except Reverted as refusal:
                if str(refusal) != "margin: below initial":
                    self.refused += 1
                    return
                part *= LESS
                continue
            self._read(number)
            notional = float(self._notionals()[number])
            health = self.system.margin.preview(account.name, now)
            self.opened[account.leverage].append((notional, notional / (health.equity / WAD)))
            return
        self.refused += 1

    # ---- keeper

    def _watch(self, now: int) -> None:
        """Note since when accounts are below maintenance."""
        equity, maintenance = self._health(now)
        below = (equity < maintenance) & (self._notionals() > DUST)
        self.below = np.where(below, np.where(self.below == 0, now, self.below), 0)

    def _turn(self, now: int) -> None:
        """The keeper records the newest rounds and liquidates whoever is below maintenance; then it hedges."""
        for market in range(len(self.feeds)):
            self.system.oracle.sync(market, now)
        equity, maintenance = self._health(now)
        notional = self._notionals()
        for number in np.flatnonzero((notional > DUST) & (equity < maintenance + NEAR * notional)).tolist():
            self._liquidate(number, now)
        self._deleverage(now)
        if self.hedged:
            self._hedge(now)
        self.uncovered = max(self.uncovered, abs(self.system.clearinghouse.imbalance()))
        self._record(now)

    def _record(self, now: int) -> None:
        ledger, prices = self.system.clearinghouse, [feed.round.price for feed in self.feeds]
        assert self.system.vault is not None
        held = self.size * [price / WAD for price in prices]
        self.course.append(
            Moment(
                now,
                tuple(price / WAD for price in prices),
                float(np.maximum(held, 0).sum()),
                float(np.maximum(-held, 0).sum()),
                ledger.insurance / WAD,
                ledger.reserve / WAD,
                self.system.vault.valuation(now).nav / WAD,
                -self.system.perp_engine.book_value(prices, now) / WAD,
            )
        )

    def _liquidate(self, number: int, now: int) -> None:
        """As far as the Liquidator goes, the position that asks for most first."""
        account = self.plan[number]
        if not self._is_below(account.name, now):
            return
        before = self._assess(account.name, now)
        notional = float(self._notionals()[number])
        debts, penalty, steps = _debts(self.system), 0, 0
        while self._is_below(account.name, now) and self._notionals()[number] > DUST:
            paid = self._reduce(number, now)
            if paid is None:
                self.stuck.add(number)
                self.stuck_for = max(self.stuck_for, now - int(self.below[number] or now))
                break
            penalty, steps = penalty + paid, steps + 1
        if steps > 0:
            after = _debts(self.system)
            self.liquidations.append(
                Liquidation(
                    now,
                    number,
                    account.leverage,
                    before.equity / WAD,
                    before.maintenance / WAD,
                    notional,
                    steps,
                    bool(self._notionals()[number] > DUST),
                    now - int(self.below[number] or now),
                    penalty / WAD,
                    (after[0] - debts[0]) / WAD,
                    (after[1] - debts[1]) / WAD,
                )
            )
            self.below[number] = 0

    def _reduce(self, number: int, now: int) -> int | None:
        """Part of one position goes, of the largest that may; the penalty [quote, WAD], None if all are refused."""
        name = self.plan[number].name
        asked = abs(self.size[number]) * [feed.round.price for feed in self.feeds]
        for market in np.argsort(-asked)[: np.count_nonzero(asked)].tolist():
            with suppress(Reverted):
                paid = self.system.attempt(partial(_liquidate, name=name, market=market, now=now))
                self._read(number)
                return paid
        return None

    def _deleverage(self, now: int) -> None:
        """Nominate who scores highest in each market, and close it when the window is over."""
        assert self.system.deleverager is not None
        status = self.system.deleverager.status(now)
        if not status.armed:
            return
        price = np.array([feed.round.price / WAD for feed in self.feeds])
        gain = self.size * price - self.cost
        equity = np.maximum(*self._health(now))[:, None]
        score = gain / np.maximum(abs(self.cost), 1.0) * abs(self.size) * price / np.maximum(equity, 1.0)
        score *= np.minimum(1.0, gain / (status.excess / WAD))
        for market in range(len(self.feeds)):
            best = int(np.argmax(score[:, market]))
            nominee = self.system.deleverager.nomination(market).account
            with suppress(Reverted):  # the window is open, or the best is nominated already
                self.system.attempt(partial(_carry_out, market=market, now=now))
                self._read(next(number for number, plan in enumerate(self.plan) if plan.name == nominee))
                self.deleveraged += 1
                continue
            if gain[best, market] > 0:
                with suppress(Reverted):
                    self.system.attempt(partial(_nominate, name=self.plan[best].name, market=market, now=now))

    def _hedge(self, now: int) -> None:
        """Hold as much of the base as the vault is short of it; it cannot be short of it itself."""
        assert self.system.hedge_manager is not None
        for market, venue in enumerate(self.system.hedge_manager.venues):
            inventory = self.system.inventory
            assert isinstance(inventory, Inventory)
            price = self.feeds[market].round.price
            size = max(-inventory.markets[market].delta, -venue.exposure())
            room = max(self.system.clearinghouse.lp - self.system.hedge_manager.rule.lp_floor, 0)
            size = min(size, room * WAD // price * 98 // 100)
            if abs(size) * price >= HEDGE_FROM * WAD * WAD:
                self._rebalance(market, size, now)

    def _rebalance(self, market: int, size: int, now: int) -> None:
        def act(system: System) -> None:
            assert system.hedge_manager is not None
            limit = NO_LIMIT if size > 0 else 0
            system.hedge_manager.rebalance(market, market, size, limit, KEEPER, now)

        with suppress(Reverted):  # the rule may refuse, e.g. while the market is too far from the oracle
            self.system.attempt(act)

    # ---- the end

    def _end(self, mix: Mix, path: Path, delay: int) -> Run:
        """Everybody closes by hand and takes his cash; what hedges are left is sold."""
        now = self.tape.start + (self.tape.blocks + 1) * BLOCK
        for market, feed in enumerate(self.feeds):
            feed.round = Round(feed.round.round_id + 1, self.outsides[market].price, 0, now, True)
        self._watch(now)
        self._turn(now)
        before, unpaid = _debts(self.system), 0
        for number, account in enumerate(self.plan):
            try:
                self.system.attempt(partial(_close, name=account.name, now=now))
            except Reverted:
                unpaid += 1
            self._read(number)
        later = _debts(self.system)
        assert self.system.hedge_manager is not None
        for market, venue in enumerate(self.system.hedge_manager.venues):
            if venue.exposure() != 0:
                self._rebalance(market, -venue.exposure(), now)
        for account in self.plan:
            try:
                self.system.attempt(partial(_leave, name=account.name, now=now))
            except Reverted:
                unpaid += 1
        ledger = self.system.clearinghouse
        self.uncovered = max(self.uncovered, abs(ledger.imbalance()))
        assert self.system.vault is not None
        tape = self.tape
        return Run(
            window=tape.name,
            assets=tape.assets,
            path=path,
            delay=delay,
            mix=mix,
            hedged=self.hedged,
            days=tape.blocks * BLOCK / 86_400,
            fall=float((1 - tape.price / np.maximum.accumulate(tape.price, axis=1)).max()),
            rise=float((tape.price / np.minimum.accumulate(tape.price, axis=1) - 1).max()),
            step=max(abs(b / a - 1) for posted in tape.rounds for (_, a), (_, b) in pairwise(posted)),
            rounds=sum(len(posted) for posted in tape.rounds),
            opened={leverage: tuple(found) for leverage, found in self.opened.items()},
            refused=self.refused,
            course=tuple(self.course),
            liquidations=tuple(self.liquidations),
            later=(sum(later) - sum(before)) / WAD,
            by_insurance=later[0] / WAD,
            by_lps=later[1] / WAD,
            deleveraged=self.deleveraged,
            stuck=len(self.stuck),
            stuck_for=self.stuck_for,
            uncovered=self.uncovered,
            unpaid=unpaid,
            insurance=ledger.insurance / WAD,
            lps=(self.system.vault.valuation(now).nav + ledger.reserve) / WAD - LP_EQUITY,
        )

    # ---- mirrors

    def _read(self, number: int) -> None:
        """Bring the floats of an account up to date."""
        name, engine = self.plan[number].name, self.system.perp_engine
        self.cash[number] = self.system.clearinghouse.account(name)[0] / WAD
        for market in range(len(self.feeds)):
            position = engine.position(name, market)
            self.size[number, market] = position.size / WAD
            self.cost[number, market] = position.cost / WAD
            self.index[number, market] = position.index / 1e9

    def _notionals(self) -> Floats:
        """Of each account [quote]."""
        return np.asarray(abs(self.size) @ [feed.round.price / WAD for feed in self.feeds])

    def _health(self, now: int) -> tuple[Floats, Floats]:
        """Equity and maintenance of each account at the newest rounds [quote], to within NEAR."""
        equity, maintenance = self.cash.copy(), np.zeros(len(self.plan))
        for market in range(len(self.feeds)):
            mark = self.system.oracle.peek(market, now)
            book = accrue(self.system.perp_engine.book(market), mark.price, now)
            params = self.system.perp_engine.config(market).params
            size, price = self.size[:, market], mark.price / WAD
            index = np.where(size > 0, book.index_long / 1e9, book.index_short / 1e9)
            equity += size * price - self.cost[:, market] - abs(size) * (index - self.index[:, market])
            notional = abs(size) * price
            leaving = mark.sigma / WAD * EXIT / WAD * np.minimum(1.0, notional / (params.cap_quote / WAD))
            maintenance += notional * (params.maintenance_bps / BPS + leaving)
        return equity, maintenance

    def _is_below(self, name: str, now: int) -> bool:
        health = self._assess(name, now)
        return health.equity < health.maintenance

    def _assess(self, name: str, now: int) -> Health:
        cash, mask = self.system.clearinghouse.account(name)
        return self.system.margin.assess(name, cash, mask, now)


def _enter(system: System, name: str, units: int, sizes: list[tuple[int, int]], now: int) -> None:
    system.clearinghouse.deposit(units, name)
    for market, size in sizes:
        system.perp_engine.trade(name, market, size, NO_LIMIT if size > 0 else 0, now, now)


def _liquidate(system: System, name: str, market: int, now: int) -> int:
    """As much of a position as is needed goes to the vault; the penalty paid."""
    assert system.liquidator is not None
    size = abs(system.perp_engine.position(name, market).size)
    return system.liquidator.liquidate_perp(name, market, size, KEEPER, now).penalty


def _nominate(system: System, name: str, market: int, now: int) -> None:
    assert system.deleverager is not None
    system.deleverager.nominate(name, market, now)


def _carry_out(system: System, market: int, now: int) -> None:
    assert system.deleverager is not None
    system.deleverager.deleverage(market, KEEPER, now)


def _close(system: System, name: str, now: int) -> None:
    for market in range(len(system.oracle.markets)):
        size = system.perp_engine.position(name, market).size
        if size != 0:
            system.perp_engine.trade(name, market, -size, 0 if size > 0 else NO_LIMIT, now, now)


def _leave(system: System, name: str, now: int) -> None:
    ledger = system.clearinghouse
    units = ledger.account(name)[0] // ledger.scale
    if units > 0:
        ledger.withdraw(units, name, now)


def _debts(system: System) -> tuple[int, int]:
    """Bad debt so far: insurance's part, LPs' part [quote, WAD]."""
    ledger = system.clearinghouse
    assert isinstance(ledger, Ledger)
    return sum(part for part, _ in ledger.debts), sum(part for _, part in ledger.debts)
