"""A part of a simulation, played again by the exact twin and by the contracts, and what the kernel says of the same.

Three readings of one list of trades. The kernel finds it: its fills in some steps of a path. The contracts (in
process) and the exact twin (`ballast.model.exact.system`) play it, block by block, every round pushed and recorded,
every market synchronised in a block where anything happens; they must agree to the wei. Then the kernel plays it once
more, with the marks that the chain had: what is left are floats against integers. The chain's oracle begins with the
part, and so does its volatility.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from math import inf

import numpy as np
from numpy.random import Generator

from ballast.chain import Reverted, RevmChain, Tx, address_of
from ballast.chain.uniswap import MAX_UINT
from ballast.config import Config
from ballast.model.exact.clearing import Clearinghouse
from ballast.model.exact.fixed import MICRO, WAD
from ballast.model.exact.fixed import Reverted as TwinReverted
from ballast.model.exact.inventory import Inventory
from ballast.model.exact.inventory import Params as InventoryParams
from ballast.model.exact.oracle import ChainlinkFeed, Estimate, Mark, PriceOracle, Response
from ballast.model.exact.oracle import Params as OracleParams
from ballast.model.exact.structs import MarketParams
from ballast.model.exact.system import System as Twin
from ballast.system import NO_LIMIT, deploy_system
from sims import engine
from sims.engine import Agents, Result
from sims.rules.ballast import Params
from sims.world import NEVER, Floats, Wants, World

MARGIN = 10**9  # [quote] that everybody has: nobody's default is part of it
TICKS = 10**8  # prices of test feeds
NEAR = 1e-9  # [fraction] that floats and contracts may differ by
SLICE, MOST_STEPS = 400, 5_000  # [wants], [steps] of a sampled slice at most
_TRADE = ("price", "half_spread", "charge", "realised", "owed", "size", "cost", "funding_rate", "borrow_rate")


class Disagreement(AssertionError):
    """The contracts and the exact twin answered differently."""


@dataclass(frozen=True, slots=True)
class Differences:
    """What a replay came to; differences are the largest ones."""

    blocks: int
    trades: int
    refused: int  # by contracts and twin alike, of the kernel's trades: too small, or not to be closed any more
    rebates: int
    charge: float  # [fraction of the charge] kernel at the chain's marks against twin, charges above a cent
    cost: float  # [fraction of the half-spread]
    cost_quote: float  # [quote]
    equity: float  # [fraction] LPs'
    reserve: float  # [fraction of the largest reserve]

    @property
    def largest(self) -> float:
        """Of the relative ones."""
        return max(self.cost, self.charge, self.equity, self.reserve)


@dataclass(frozen=True, slots=True)
class _Fill:
    """A trade that both executed."""

    step: int
    market: int
    size_wad: int
    opener: int  # index among the fills of the one that it closes, or NEVER
    half_spread: int
    charge: int
    equity: int  # [quote, WAD] afterwards
    reserve: int


def replay(
    world: World,
    params: Params,
    *,
    path: int = 0,
    first: int = 0,
    steps: int,
    equity: int = 10_000_000,
    agents: Agents = engine.NOBODY,
    sample: int = 60,
    seed: int = 0,
) -> Differences:
    """Play `steps` steps of a path three times, from the step `first` on, at which nobody has a position yet.
    Disagreement where contracts and twin differ."""
    part = _slice(world, path, first, steps)
    found = engine.run(part, params, equity=float(equity), agents=agents, sample=sample, seed=seed, log=100_000)
    stage = _Stage(part, params.config, equity)
    fills, refused, marks = stage.play(found, sample)
    wants = Wants.of([(f.step, f.market, f.size_wad / WAD, inf, f.opener) for f in fills])
    chain = replace(part, seen=marks[0], rounds=marks[1], previous=marks[2], sigma=marks[3]).with_wants(wants)
    again = engine.run(chain, params, equity=float(equity), sample=sample, log=len(fills) + 1)
    if len(again.log) != len(fills):
        raise Disagreement(f"{len(fills)} trades on the chain, {len(again.log)} in the kernel")
    return _compare(again, fills, refused)


def sampled(world: World, rng: Generator) -> tuple[int, int, int]:
    """Path, first step and number of steps of a slice of a world, drawn by what is wanted: SLICE of a path's wants, in
    MOST_STEPS at most. ValueError where nobody wants anything."""
    path = int(rng.integers(world.paths))
    at = world.wants_of(path).step
    if not len(at):
        raise ValueError(f"nobody wants anything in {world.name}")
    begin = int(rng.integers(max(1, len(at) - SLICE + 1)))
    first = min(int(at[begin]), world.steps - 1)
    last = min(int(at[min(begin + SLICE, len(at)) - 1]), world.steps)
    return path, first, min(max(1, last - first), MOST_STEPS)


def _slice(world: World, path: int, first: int, steps: int) -> World:
    """A path's steps from `first` on, and what those want who come in them."""

    def cut(values: Floats) -> Floats:
        own = values[path : path + 1] if len(values) > 1 else values
        return own[:, first : first + steps + 1] if values.shape[1] > 1 else own

    wants = world.wants_of(path)
    inside = (wants.step >= first) & (wants.step <= first + steps)
    known = inside & ((wants.closes < 0) | inside[wants.closes])
    place = np.cumsum(known) - 1  # what each becomes
    closes = wants.closes[known]
    kept = Wants(
        wants.step[known] - first,
        wants.market[known],
        wants.size[known],
        wants.limit[known],
        np.where(closes < 0, NEVER, place[closes]),
    )
    return replace(
        world,
        prices=cut(world.prices),
        seen=cut(world.seen),
        rounds=cut(world.rounds) - first * world.dt,
        previous=cut(world.previous) - first * world.dt,
        sigma=cut(world.sigma),
        vol=cut(world.vol),
        gas=cut(world.gas),
        wants=kept,
        offsets=np.array([0, len(kept)]),
    )


class _Stage:
    """A deployment and its twin, before the first step."""

    def __init__(self, world: World, config: Config, equity: int) -> None:
        if world.dt != int(world.dt):
            raise ValueError(f"a chain's blocks are whole seconds apart, not {world.dt}")
        self.world = world
        self.n = world.prices.shape[2]
        self.chain = RevmChain()
        config = _at_prices(config, [_price(x) for x in world.seen[0, 0]], world.sigma[0, 0]).without_venues()
        self.system = deploy_system(self.chain, config)
        self.twin = self._build_twin()
        self.traders: dict[int, str] = {}
        self._endow(equity)

    @property
    def _inventory(self) -> Inventory:
        inventory = self.twin.inventory
        assert isinstance(inventory, Inventory)
        return inventory

    # ---- the play

    def play(self, found: Result, sample: int) -> tuple[list[_Fill], int, Floats]:
        """Every block: what was traded, how much of it both refused, and what the chain knew at each step: price, its
        round's time, the time before, volatility (4, 1, steps + 1, markets)."""
        start = self.chain.now + 120  # windows that began before are over
        marks = np.empty((4, *self.world.seen.shape))
        by_step: dict[int, list[Floats]] = {}
        for row in found.log:
            by_step.setdefault(int(row[engine.LOG_STEP]), []).append(row)
        fills: list[_Fill] = []
        opened: dict[int, int] = {}  # by owner, the fill that opened
        refused = 0
        for k in range(self.world.steps + 1):
            self.chain.warp_to(start + k * int(self.world.dt))
            for i in range(self.n):
                if k == 0 or self.world.rounds[0, k, i] == k * self.world.dt:
                    self._push(i, _price(self.world.seen[0, k, i]))
                mark = self.twin.oracle.peek(i, self.chain.now)
                at, before = mark.updated_at - start, mark.prev_updated_at - start
                marks[:, 0, k, i] = mark.price / WAD, at, before, mark.sigma / WAD
            rows = by_step.get(k, [])
            if not rows and k % sample and k != self.world.steps:
                continue
            for i in range(self.n):
                self.chain.transact(self.system.perp_engine.tx("sync", i))
                self.twin.perp_engine.sync(i, self.chain.now)
            for row in rows:
                fill = self._trade(k, row, fills, opened)
                if fill is None:
                    refused += 1
                else:
                    fills.append(fill)
            self._compare_ledgers()
        return fills, refused, marks

    def _trade(self, k: int, row: Floats, fills: list[_Fill], opened: dict[int, int]) -> _Fill | None:
        owner, market = int(row[engine.LOG_OWNER]), int(row[engine.LOG_MARKET])
        closing = row[engine.LOG_CLOSING] != 0.0
        trader = self._trader(owner)
        size_wad = round(row[engine.LOG_SIZE] * WAD)
        if closing:
            held = self.twin.perp_engine.position(trader, market).size
            size_wad = -held if owner >= 0 or abs(size_wad + held) < WAD // 10**6 else size_wad
        if size_wad == 0:
            return None
        limit, now = NO_LIMIT if size_wad > 0 else 0, self.chain.now
        tx = self.system.perp_engine.tx("trade", market, size_wad, limit, NO_LIMIT, sender=trader)
        try:
            outcome = self.twin.attempt(lambda twin: twin.perp_engine.trade(trader, market, size_wad, limit, now, now))
        except TwinReverted as error:
            self._must_revert(tx, str(error))
            return None
        event = self.chain.transact(tx).one("Trade", self.system.perp_engine)
        for name in _TRADE:
            _same(f"trade.{name}", getattr(event, name), getattr(outcome, name))
        opener = opened.get(owner, NEVER) if closing else NEVER
        if not closing:
            opened[owner] = len(fills)
        ledger = self.twin.clearinghouse
        prices = [self.twin.oracle.last(i, now).price for i in range(self.n)]
        return _Fill(
            step=k,
            market=market,
            size_wad=size_wad,
            opener=opener,
            half_spread=outcome.half_spread,
            charge=outcome.charge,
            equity=ledger.lp + self.twin.perp_engine.book_value(prices, now),
            reserve=ledger.reserve,
        )

    def _push(self, market: int, price: Decimal) -> None:
        """A new round, recorded."""
        aggregator = self.system.aggregators[market]
        aggregator.send("push_now", int(price * TICKS))
        feed = self.twin.oracle.markets[market].feed
        assert isinstance(feed, ChainlinkFeed)
        feed.upstream = Response(*aggregator.call("latestRoundData")[:4])
        self.chain.transact(self.system.oracle.tx("sync", market))
        self.twin.oracle.sync(market, self.chain.now)

    def _must_revert(self, tx: Tx, reason: str) -> None:
        try:
            self.chain.transact(tx)
        except Reverted as error:
            _same("reason", error.reason, reason)
        else:
            raise Disagreement(f"the twin refuses what the contract does: {reason}")

    def _compare_ledgers(self) -> None:
        theirs, ours = self.system.clearinghouse.call("buckets"), self.twin.clearinghouse.buckets()
        for name in ("lp", "reserve", "fees", "insurance"):
            _same(f"buckets.{name}", getattr(theirs, name), getattr(ours, name))
        state = self.system.inventory.call("state")
        _same("capital", state.capital, self._inventory.book.capital * MICRO)
        _same("potential", state.potential, self._inventory.potential())
        for i in range(self.n):
            theirs, book = self.system.perp_engine.call("book", i), self.twin.perp_engine.book(i)
            for name in ("long", "short", "claims", "index_long", "index_short"):
                _same(f"book.{name}", getattr(theirs, name), getattr(book, name))

    # ---- the beginning

    def _build_twin(self) -> Twin:
        system, config = self.system, self.system.config
        ledger = Clearinghouse(int(system.clearinghouse.call("scale")))
        ledger.insurance_share_bps, ledger.liquidator_share_bps, ledger.lp_share_bps = config.clearing.shares()
        oracle = PriceOracle()
        inventory = Inventory(oracle, ledger, InventoryParams.of(config.inventory.params()))
        twin = Twin.build(scale=ledger.scale, oracle=oracle, inventory=inventory, clearinghouse=ledger)
        for market, handle in zip(config.markets, system.markets, strict=True):
            assert market.feed.test is not None
            newest = Response(*system.aggregators[handle.id].call("latestRoundData")[:4])
            feed = ChainlinkFeed(market.feed.test.decimals, newest)
            values = dict(zip(OracleParams.__dataclass_fields__, market.oracle.params(), strict=True))
            oracle.list_market(feed, OracleParams(**values), self.chain.now)  # type: ignore[arg-type]
            last, estimate = system.oracle.call("last", handle.id), system.oracle.call("estimate", handle.id)
            stored = oracle.markets[handle.id]
            stored.mark = Mark(**(last._asdict() | {"sigma": stored.mark.sigma, "fresh": False}))
            stored.estimate = Estimate(*estimate)
            inventory.set_market_params(handle.id, market.inventory.params())
            listed = int(system.perp_engine.call("book", handle.id).time)
            twin.perp_engine.list_market(handle.id, MarketParams(*market.perps.params()), listed)
        return twin

    def _endow(self, equity: int) -> None:
        """LPs bring what they have, and it counts."""
        lp, ledger = self.chain.accounts[1], self.twin.clearinghouse
        self.system.deposit(lp, equity, counts=False)
        ledger.begin()
        ledger.receive_deposit(self.system.units(equity))
        ledger.end()
        for _ in range(2):
            self.chain.warp(1)
            for i in range(self.n):
                self._push(i, _price(self.world.seen[0, 0, i]))
            self.chain.transact(self.system.inventory.tx("sync_all"))
            self._inventory.sync_all(self.chain.now)
        self._compare_ledgers()

    def _trader(self, owner: int) -> str:
        if owner not in self.traders:
            name = self.traders[owner] = address_of(f"0x{(0x51 << 64) + owner + 2**32:040x}")
            system, units = self.system, self.system.units(MARGIN)
            for tx in (
                system.quote.tx("mint", name, units),
                system.quote.tx("approve", system.clearinghouse, MAX_UINT, sender=name),
                system.clearinghouse.tx("deposit", units, name, sender=name),
            ):
                self.chain.transact(tx)
            self.twin.clearinghouse.deposit(units, name)
        return self.traders[owner]


def _at_prices(config: Config, prices: list[Decimal], sigmas: Floats) -> Config:
    """The deployment whose feeds begin here, and whose oracle knows what the world's does."""
    markets = []
    for market, price, sigma in zip(config.markets, prices, sigmas, strict=True):
        known = Decimal(round(float(sigma), 6)).quantize(Decimal("0.000001"))
        oracle = market.oracle.model_dump() | {"initial_sigma": known}
        feed = {"test": {"price": price, "decimals": 8}}
        markets.append(market.model_dump() | {"oracle": oracle, "feed": feed})
    return config.changed(markets=markets)


def _price(value: float) -> Decimal:
    """To the tick of a test feed."""
    return Decimal(round(value * TICKS)) / TICKS


def _same(what: str, theirs: object, ours: object) -> None:
    if theirs != ours:
        raise Disagreement(f"{what}: contract {theirs}, twin {ours}")


def _compare(again: Result, fills: list[_Fill], refused: int) -> Differences:
    exact = np.array([(f.half_spread, f.charge, f.equity, f.reserve) for f in fills], dtype=np.float64) / WAD
    half_spread, charge, equity, reserve = exact.reshape(-1, 4).T
    cost = half_spread + charge
    large = np.abs(charge) > 0.01
    log = again.log

    def largest(values: Floats) -> float:
        return float(np.max(np.abs(values), initial=0.0))

    return Differences(
        blocks=len({f.step for f in fills}),
        trades=len(fills),
        refused=refused,
        rebates=int(np.sum(charge < 0.0)),
        charge=largest(log[large, engine.LOG_TO_RESERVE] / charge[large] - 1.0),
        cost=largest((log[:, engine.LOG_COST] - cost) / half_spread),
        cost_quote=largest(log[:, engine.LOG_COST] - cost),
        equity=largest(log[:, engine.LOG_EQUITY] / equity - 1.0),
        reserve=largest(log[:, engine.LOG_RESERVE] - reserve) / max(largest(reserve), 1e-18),
    )
