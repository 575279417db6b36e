"""One attacker against the exact twin, in surroundings whose near future he knows.

A `Scenario` says how the world stands when he begins, what will happen anyway and when, and what he may do. He owns
several accounts. A move names an action of `ballast.fuzz.actions` once it is made, with concrete arguments, so that
what he did can be done again on the contracts. In the end every position is closed at a fresh, true price, claims and
margin are taken home, and what is left is marked at the true price; his gain is what he has more than if he had done
nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from ballast.chain import RevmChain
from ballast.config import Config
from ballast.config import load as load_config
from ballast.fuzz.actions import Step, action, perform
from ballast.fuzz.attack.pool import Pool, Tiers
from ballast.fuzz.world import World, within_reach
from ballast.model.exact import hedge
from ballast.model.exact.fixed import WAD, Reverted, mul_down, sub_floor
from ballast.model.exact.hedge import Outcome as Hedged
from ballast.model.exact.hedge_manager import HedgeManager
from ballast.model.exact.inventory import Inventory, spot_spread
from ballast.model.exact.liquidator import Liquidator
from ballast.model.exact.oracle import ChainlinkFeed, Response
from ballast.model.exact.perps import MAX_SIZE, NO_LIMIT
from ballast.model.exact.system import System
from ballast.model.exact.vault import Vault
from ballast.system import deploy_system

TRADERS = ("trader1", "trader2")  # the attacker's margin accounts
LP = "lp2"  # his account with the vault
KEEPER = "keeper"  # what he hedges as
ATTACKER = (*TRADERS, LP, KEEPER)

ETH, BTC = 0, 1
DOLLAR = 10**6  # [token units]
FEED_UNIT = 10**10  # [WAD per unit of a feed's answer]
PRICES = (2_000 * 10**8, 40_000 * 10**8)  # of the feeds, where every scenario begins
MARGIN = 3_000_000  # [quote] of each of the attacker's margin accounts: enough for the market's cap
LAST_ROUND = 20  # [s] before the attacker begins


@action("{who} sells {units:quote} quote to the {market:market} pool {route}")
def buy_base(w: World, who: str, market: int, route: int, units: int) -> None:
    """An outsider's swap; tokens come from the mint."""
    w.system.pools[market][route].buy_base(units, trader=w.actors[who])


@action("{who} sells {units} units of {market:market} to pool {route}")
def sell_base(w: World, who: str, market: int, route: int, units: int) -> None:
    w.system.pools[market][route].sell_base(units, trader=w.actors[who])


Gene = tuple[str, tuple[object, ...]]  # a move and its arguments


@dataclass(frozen=True, slots=True)
class Scenario:
    """Where an attack takes place."""

    name: str
    claim: str  # what nobody should be able to gain from here
    moves: tuple[str, ...]  # what the attacker may do, beside waiting
    seconds: int  # how long he may take
    inventory: int = 1_000  # [ETH] that an innocent trader is long
    excess: int = 0  # [ETH] that he has just bought and sold again, which leaves their charge in R
    queued: int = 1_000_000  # [shares] that an innocent LP wants to redeem
    shares: int = 0  # [quote] the attacker's own deposit when he begins
    feed: tuple[int, ...] = (20, 40, 60, 100)  # [s] when rounds come
    lag: int = 20  # [s] ahead of which he knows what will happen, and can have it happen
    jump: float = 0.0  # from the feed to ETH's true price, in round trips of half-spreads; the next round says it
    shock: float = 0.0  # return of ETH, true price, pools and feed, at the first round: up or down, whichever is worse
    processed_at: int | None = 100  # [s] when somebody else processes the epoch, if nobody has
    victim: tuple[int, int] | None = None  # when an innocent trader buys how many ETH more
    honest: tuple[Gene, ...] = ()  # what he does anyway: gains are measured from it
    hedges_may_cost: bool = False  # whether phi times the fall of U, what a hedge is allowed to cost LPs, is no gain


@dataclass(slots=True)
class Start:
    """A scenario built: the twin, its surroundings, and what will happen, by time."""

    scenario: Scenario
    setup: list[Step]  # what made it
    twin: System
    now: int
    addresses: dict[str, str]
    newest: list[Response]
    pools: list[list[Pool]]
    windows: list[int]
    events: list[tuple[int, Step]]
    truth: list[int]  # [quote/base, WAD] by market, after every event
    nothing: Result | None = None  # of doing nothing but what is honest, with every rule in place
    otherwise: Start | None = None  # the same, but the shock goes the other way


@dataclass(frozen=True, slots=True)
class Result:
    """What everybody has in the end [quote, WAD]."""

    attacker: int
    lps: int  # LP cash, the traders' book, venues and R, less what the attacker's shares are worth
    insurance: int  # and fees, and the protocol's part
    traders: int  # the innocent ones
    turnover: int  # notional that the attacker traded
    rounds: int  # feed updates seen
    rewards: int
    steps: tuple[Step, ...] = ()

    def less(self, other: Result) -> Result:
        """The difference to another end of the same scenario; what was done stays."""
        return replace(
            self,
            attacker=self.attacker - other.attacker,
            lps=self.lps - other.lps,
            insurance=self.insurance - other.insurance,
            traders=self.traders - other.traders,
        )


# ---- before the attack


def build(scenario: Scenario) -> Start:
    """Act it out on contracts and twin, and keep the twin."""
    start = _build(scenario)
    if scenario.shock:
        start.otherwise = _build(replace(scenario, shock=-scenario.shock))
    return start


def arena() -> World:
    """networks/local.yaml with a shorter average and pools liquid at any price, caps of 15 million, in process."""
    return World(system=deploy_system(RevmChain(), _arena_config()))


@cache
def _arena_config() -> Config:
    config = load_config("local")
    return config.changed(markets=within_reach(config, 15_000_000))


def _build(scenario: Scenario) -> Start:
    world = arena()
    began = world.now
    setup: list[Step] = []

    def do(name: str, **arguments: Any) -> None:
        step = [name, arguments]
        perform(world, step)
        for outcome in world.outcomes:
            assert outcome.ok, f"{step}: {outcome.reason}"
        setup.append(step)

    def rounds(number: int, seconds: int) -> None:
        for _ in range(number):
            do("warp", seconds=seconds)
            for market, price in enumerate(PRICES):
                do("push", market=market, answer=price)
            do("sync_all", who="stranger")

    do("lp_deposit", who="lp1", units=(10_000_000 - scenario.shares) * DOLLAR)
    if scenario.shares:
        do("lp_deposit", who=LP, units=scenario.shares * DOLLAR)
    for who in (*TRADERS, "trader3"):
        do("deposit_margin", who=who, units=MARGIN * DOLLAR, to=who)
    rounds(2, 30)
    if scenario.inventory:
        do("trade", who="trader3", market=ETH, size=scenario.inventory * WAD)
    if scenario.queued:
        do("request", who="lp1", shares=scenario.queued * WAD, to="lp1")
    rounds(1, world.vault.epochs.pool.ends_at - world.now - 720)
    rounds(8, 75)  # the rest of the epoch is 120 s
    if scenario.excess:
        do("trade", who="trader3", market=ETH, size=scenario.excess * WAD)
        do("close", who="trader3", market=ETH)
    do("warp", seconds=LAST_ROUND)

    now, truth = world.now, [price * FEED_UNIT for price in PRICES]
    pools = [[Pool.like(pool, began) for pool in tiers] for tiers in world.system.pools]
    if scenario.jump:
        truth[ETH] = feed_price(int(truth[ETH] * (1 + scenario.jump * round_trip(world) / WAD)))
        do("arbitrage", market=ETH, price=truth[ETH])
        pools[ETH] = [pool.moved_to(pool.sqrt_of_price(truth[ETH]), now) for pool in pools[ETH]]
    events: list[tuple[int, Step]] = []
    if scenario.shock:
        truth[ETH] = feed_price(int(truth[ETH] * (1 + scenario.shock)))
        events.append((scenario.feed[0], ["arbitrage", {"market": ETH, "price": truth[ETH]}]))
    for offset in scenario.feed:
        events += [
            (offset, ["push", {"market": market, "answer": price // FEED_UNIT}]) for market, price in enumerate(truth)
        ]
    if scenario.victim:
        offset, size = scenario.victim
        events.append((offset, ["trade", {"who": "trader3", "market": ETH, "size": size * WAD}]))
    if scenario.processed_at is not None:
        events.append((scenario.processed_at, ["process_epoch", {"who": "stranger"}]))
    start = Start(
        scenario=scenario,
        setup=setup,
        twin=_plain(world.twin),
        now=now,
        addresses=dict(world.actors),
        newest=list(world.newest),
        pools=pools,
        windows=[int(handle.venues[0].call("TWAP_WINDOW")) for handle in world.system.markets],
        events=sorted(events, key=lambda event: event[0]),
        truth=truth,
    )
    game = Game(start)
    for move, arguments in scenario.honest:
        getattr(game, move)(*arguments)
    start.nothing = game.end()
    return start


def feed_price(price: int) -> int:
    """Cut to what a feed can say [quote/base, WAD]."""
    return price - price % FEED_UNIT


def _plain(twin: System) -> System:
    """A copy without the driver's memory."""
    copy = twin.fork()
    copy.inventory = Inventory(**{name: getattr(copy.inventory, name) for name in Inventory.__dataclass_fields__})
    copy.wire()
    return copy


def round_trip(world: World) -> int:
    """Half-spreads of opening ETH now, at the last round, and of closing at a new one [fraction, WAD]."""
    mark = world.twin.oracle.peek(ETH, world.now)
    params = world.inventory.market_params[ETH]
    opened = spot_spread(params, mark, params.z, world.now)
    closed = spot_spread(params, mark, params.z, mark.updated_at)
    return opened + closed + 2 * params.base


# ---- the attack


@dataclass(slots=True)
class Game:
    """The attack as it goes; every method is a move, makes it if the protocol lets him, and notes it."""

    start: Start
    twin: System = field(init=False)
    now: int = field(init=False)
    pools: list[list[Pool]] = field(init=False)
    newest: list[Response] = field(init=False)
    waiting: list[tuple[int, Step]] = field(init=False)
    steps: list[Step] = field(default_factory=list)
    tokens: int = 0  # [token units] that left (-) or reached (+) the attacker's pockets
    base: list[int] = field(default_factory=lambda: [0, 0])  # [token units] of base he has bought, by market
    gas: int = 0  # [quote, WAD] that hedges cost him outside
    rewards: int = 0  # [quote, WAD]
    allowance: int = 0  # [quote, WAD] that his hedges were allowed to cost
    turnover: int = 0  # [quote, WAD]
    rounds: int = 0

    def __post_init__(self) -> None:
        start = self.start
        self.twin, self.now = start.twin.fork(), start.now
        self.pools = [list(pools) for pools in start.pools]
        self.newest = list(start.newest)
        self.waiting = list(start.events)
        for market, stored in enumerate(self.twin.oracle.markets):
            stored.feed = ChainlinkFeed(8, self.newest[market])
        for venue in _manager(self.twin).venues:
            window = start.windows[venue.market]
            venue.outside = Tiers(self.pools[venue.market], venue.base_scale, window, lambda: self.now)

    # ---- moves

    def wait(self, seconds: int) -> None:
        """Time passes, and what is due happens; never beyond the end."""
        until = min(self.now + seconds, self.deadline)
        while self.waiting and self.start.now + self.waiting[0][0] <= until:
            self._warp(max(self.now, self.start.now + self.waiting[0][0]))
            self._due()
        self._warp(until)

    def event(self) -> None:
        """What is due next happens now, in this block, if it can be known yet."""
        if self.waiting and self.start.now + self.waiting[0][0] - self.start.scenario.lag <= self.now:
            self._due(early=True)

    def trade(self, who: str, market: int, size: int) -> None:
        account = self.start.addresses[who]
        if self._do(
            ["trade", {"who": who, "market": market, "size": size}],
            lambda t: t.perp_engine.trade(account, market, size, NO_LIMIT if size > 0 else 0, self.now, self.now),
        ):
            self.turnover += mul_down(abs(size), self.start.truth[market])

    def close(self, who: str, market: int) -> None:
        size = self.twin.perp_engine.position(self.start.addresses[who], market).size
        if size:
            self.trade(who, market, -size)

    def pair(self, market: int, size: int) -> None:
        """Both sides, in two accounts."""
        self.trade(TRADERS[0], market, size)
        self.trade(TRADERS[1], market, -size)

    def oppose(self, who: str, market: int, part: float) -> None:
        """Trade against a part of the vault's exposure."""
        self.trade(who, market, int(_inventory(self.twin).markets[market].delta * part))

    def liquidate(self, who: str, victim: str, market: int) -> None:
        """The whole position, at the vault's quote."""
        account, caller = self.start.addresses[victim], self.start.addresses[who]
        self._do(
            ["liquidate_perp", {"who": who, "victim": victim, "market": market, "amount": MAX_SIZE}],
            lambda t: _liquidator(t).liquidate_perp(account, market, MAX_SIZE, caller, self.now),
        )

    def withdraw_margin(self, who: str, part: float) -> None:
        account = self.start.addresses[who]
        units = int(max(self.twin.clearinghouse.account(account)[0], 0) // self.scale * part)
        if self._do(
            ["withdraw_margin", {"who": who, "units": units}],
            lambda t: t.clearinghouse.withdraw(units, account, self.now),
        ):
            self.tokens += units

    def lp_deposit(self, units: int) -> None:
        account = self.start.addresses[LP]
        if self._do(["lp_deposit", {"who": LP, "units": units}], lambda t: _vault(t).deposit(units, account, self.now)):
            self.tokens -= units

    def request(self, part: float) -> None:
        owner = self.start.addresses[LP]
        shares = int(self.vault.balances.get(owner, 0) * part)
        self._do(
            ["request", {"who": LP, "shares": shares, "to": LP}],
            lambda t: _vault(t).request_redeem(shares, owner, owner, self.now),
        )

    def process_epoch(self) -> None:
        self._do(["process_epoch", {"who": LP}], lambda t: _vault(t).process_epoch(self.now))

    def redeem(self) -> None:
        account = self.start.addresses[LP]
        shares = self.vault.max_redeem(account)
        before = self.twin.clearinghouse.claims
        if shares and self._do(["redeem", {"who": LP, "shares": shares}], lambda t: _vault(t).redeem(shares, account)):
            self.tokens += (before - self.twin.clearinghouse.claims) // self.scale

    def sync_all(self) -> None:
        self._do(["sync_all", {"who": KEEPER}], lambda t: _inventory(t).sync_all(self.now))

    def perp_sync(self, market: int) -> None:
        self._do(["perp_sync", {"who": KEEPER, "market": market}], lambda t: t.perp_engine.sync(market, self.now))

    def poke(self, venue: int) -> None:
        self._do(["poke", {"who": KEEPER, "venue": venue}], lambda t: _manager(t).poke(venue, self.now))

    def hedge(self, venue: int, part: float) -> None:
        """Have the vault hedge a part of its exposure; his own gas costs what it is said to."""
        manager = _manager(self.twin)
        market = manager.venues[venue].market
        self.rebalance(venue, -int(_inventory(self.twin).markets[market].delta * part))

    def rebalance(self, venue: int, size: int) -> None:
        market, keeper = _manager(self.twin).venues[venue].market, self.start.addresses[KEEPER]
        outcomes: list[Hedged] = []

        def act(t: System) -> None:
            worst = NO_LIMIT if size > 0 else 0
            outcomes.append(_manager(t).rebalance(venue, market, size, worst, keeper, self.now))

        if self._do(["rebalance", {"who": KEEPER, "venue": venue, "market": market, "size": size}], act):
            self.gas += outcomes[-1].gas
            self.rewards += outcomes[-1].reward
            self.allowance += hedge.budget(_manager(self.twin).rule.phi_bps, outcomes[-1].fall)

    def buy_base(self, market: int, route: int, units: int) -> None:
        """Swap quote for base."""
        pool, got = self.pools[market][route].spend(units, self.now)
        if units and got:
            self.pools[market][route] = pool
            self.tokens -= units
            self.base[market] += got
            self.steps.append(["buy_base", {"who": KEEPER, "market": market, "route": route, "units": units}])

    def sell_base(self, market: int, route: int, units: int) -> None:
        """Swap base for quote; base he lacks he borrows outside until the end."""
        pool, got = self.pools[market][route].sell(units, self.now)
        if units and got:
            self.pools[market][route] = pool
            self.tokens += got
            self.base[market] -= units
            self.steps.append(["sell_base", {"who": KEEPER, "market": market, "route": route, "units": units}])

    def unswap(self, market: int, route: int) -> None:
        """Swap back."""
        held = self.base[market]
        if held > 0:
            self.sell_base(market, route, held)
        elif held < 0:
            _, paid = self.pools[market][route].buy(-held, self.now)
            self.buy_base(market, route, paid)

    # ---- the end

    def end(self) -> Result:
        """Everything else happens, everything is closed at a fresh price, everything is taken home."""
        self.wait(self.deadline - self.now)
        self._warp(self.now + 1)
        for market, price in enumerate(self.start.truth):
            self._happen(["push", {"market": market, "answer": price // FEED_UNIT}])
        self._happen(["process_epoch", {"who": "stranger"}])
        for who in TRADERS:
            for market in range(len(self.start.truth)):
                self.close(who, market)
        self.redeem()
        for who in (*TRADERS, KEEPER):
            self.withdraw_margin(who, 1.0)
        return self.result()

    def result(self) -> Result:
        """What everybody has, with what cannot be turned into money here marked at the true price."""
        twin, ledger = self.twin, self.twin.clearinghouse
        shares = self.worth_of_shares()
        margin = sum(max(self.equity(who), 0) for who in (*TRADERS, KEEPER, LP))
        base = sum(
            units * _manager(twin).venues[market].base_scale * self.start.truth[market] // WAD
            for market, units in enumerate(self.base)
        )
        beside = twin.perp_engine.book_value(self.start.truth, self.now) + _manager(twin).equity(self.start.truth)
        return Result(
            attacker=self.tokens * self.scale + margin + shares + base - self.gas
            - (self.allowance if self.start.scenario.hedges_may_cost else 0),
            lps=ledger.lp + ledger.reserve + ledger.claims + beside - shares,
            insurance=ledger.insurance + ledger.fees + ledger.protocol,
            traders=self.equity("trader3"),
            turnover=self.turnover,
            rounds=self.rounds,
            rewards=self.rewards,
            steps=tuple(self.steps),
        )  # fmt: skip

    def worth_of_shares(self) -> int:
        """What an exit would bring now [quote, WAD]: pro rata of NAV less spreads and uncovered U, less the rise of
        that which it causes. Written out here, so that it means the same whatever rule the vault lacks.
        """
        account, vault = self.start.addresses[LP], self.vault
        record = vault.position(account)
        shares = vault.balances.get(account, 0) + record.pending + record.late
        survey = vault._survey(self.now)
        v = _inventory(self.twin).valuation(survey.beside, survey.marks, 0, self.now)
        uncovered = sub_floor(v.potential, v.reserve)
        bid = sub_floor(max(v.lp_cash + survey.beside, 0), v.spread + uncovered)
        gross = bid * shares // max(vault.supply, 1)
        after = _inventory(self.twin).valuation(survey.beside - gross, survey.marks, 0, self.now)
        rise = sub_floor(sub_floor(after.potential, after.reserve), uncovered)
        return sub_floor(gross, rise) + record.claimable_assets

    def equity(self, who: str) -> int:
        """Of a margin account at the true price [quote, WAD]."""
        account = self.start.addresses[who]
        equity, mask = self.twin.clearinghouse.account(account)
        for leg in self.twin.perp_engine.legs(account, mask, self.now):
            equity += leg.size * self.start.truth[leg.market] // WAD - leg.cost - leg.owed
        return equity

    # ---- what the moves are made of

    @property
    def deadline(self) -> int:
        return self.start.now + self.start.scenario.seconds

    @property
    def scale(self) -> int:
        return self.twin.clearinghouse.scale

    @property
    def vault(self) -> Vault:
        return _vault(self.twin)

    def _do(self, step: Step, act: Callable[[System], Any]) -> bool:
        """Whether the protocol lets it happen; what it refuses leaves no trace, not even in the record."""
        pools = [list(tiers) for tiers in self.pools]
        try:
            self.twin.attempt(act)
        except Reverted:
            for tiers, before in zip(self.pools, pools, strict=True):
                tiers[:] = before
            return False
        self.steps.append(step)
        return True

    def _due(self, *, early: bool = False) -> None:
        """All that is due at the next moment; nobody processes an epoch early."""
        moment = self.waiting[0][0]
        due = [step for offset, step in self.waiting if offset == moment]
        later = [(moment, step) for step in due if early and step[0] == "process_epoch"]
        self.waiting = later + self.waiting[len(due) :]
        for step in due:
            if (moment, step) not in later:
                self._happen(step)

    def _happen(self, step: Step) -> None:
        """The world goes on."""
        name, arguments = step
        if name == "push":
            market = arguments["market"]
            last = self.newest[market]
            if last.updated_at == self.now:
                return  # one round per block is all that an oracle takes
            self.newest[market] = Response(last.round_id + 1, arguments["answer"], self.now, self.now)
            self.twin.oracle.markets[market].feed = ChainlinkFeed(8, self.newest[market])
            self.rounds += market == ETH
            self.steps.append(step)
        elif name == "arbitrage":
            market = arguments["market"]
            for route, pool in enumerate(self.pools[market]):
                self.pools[market][route] = pool.moved_to(pool.sqrt_of_price(arguments["price"]), self.now)
            self.steps.append(step)
        elif name == "process_epoch":
            with suppress(Reverted):
                self.twin.attempt(lambda t: _vault(t).process_epoch(self.now))
                self.steps.append(step)
        else:
            with suppress(Reverted):
                account, size = self.start.addresses[arguments["who"]], arguments["size"]
                self.twin.attempt(
                    lambda t: t.perp_engine.trade(account, ETH, size, NO_LIMIT if size > 0 else 0, self.now, self.now)
                )
                self.steps.append(step)

    def _warp(self, until: int) -> None:
        if until > self.now:
            self.steps.append(["warp", {"seconds": until - self.now}])
            self.now = until


def _liquidator(twin: System) -> Liquidator:
    assert twin.liquidator is not None
    return twin.liquidator


def _inventory(twin: System) -> Inventory:
    assert isinstance(twin.inventory, Inventory)
    return twin.inventory


def _manager(twin: System) -> HedgeManager:
    assert twin.hedge_manager is not None
    return twin.hedge_manager


def _vault(twin: System) -> Vault:
    assert twin.vault is not None
    return twin.vault
