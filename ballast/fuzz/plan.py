"""What happens next: a choice of actions whose arguments fit the state of affairs often enough to matter.

Sizes are drawn log-uniformly around what binds (margin, caps, the vault's equity), with deliberate nonsense in
between. A plan may be several steps, such as a new price with time before it; arguments are concrete, so that a
sequence can be replayed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from eth_abi.grammar import TupleType

from ballast.chain.codec import Function
from ballast.fuzz import auction, closes, compromise, ending, lending, liquidations, mandates, options
from ballast.fuzz.actions import Step
from ballast.fuzz.hostile import PUBLIC, functions, types
from ballast.fuzz.offices import OFFICES, parameters
from ballast.fuzz.surfaces import surface_step
from ballast.fuzz.world import ACTORS, LPS, MAX_UINT, NOBODY, TRADERS, Fault, Manner, World
from ballast.model.exact.fixed import MICRO, STRESS_UNIT, WAD
from ballast.model.exact.option_book import LOT, expiry_of, market_of, pack
from ballast.model.exact.structs import Exposure
from ballast.model.roles import OFFICE, Role
from ballast.testing.hedge_world import Manner as VenueManner

Proposal = Callable[["Planner"], list[Step]]

DECIMALS = 8  # of the feeds, which leaves 10**10 to WAD
MOST_GAMMA = 3 * 10**10 * WAD  # dollar gamma of a trade of the desk's, at the highest price there is [quote, WAD]
MINUTE, HOUR, DAY = 60, 3_600, 86_400
LAST_AGE = (
    2**32 - 30 * 365 * DAY
)  # [s since 1970] after which 25 years may end beyond the vault's clock, which is that of an epoch


@dataclass(slots=True)
class Planner:
    """Chooses steps for a world; all randomness comes from `rng`."""

    world: World
    rng: Random
    profile: str = "perps"
    waiting: list[Step] = field(default_factory=list)
    weights: list[int] = field(default_factory=list)
    proposals: tuple[tuple[Proposal, int], ...] = ()
    originals: dict[str, list[Any]] = field(default_factory=dict)  # parameters at the beginning, by `OFFICES`

    def __post_init__(self) -> None:
        # every episode has its own character: some actions dominate, some never happen
        self.proposals = (*PROPOSALS, *HOSTILE) if self.profile == "all" else PROPOSALS
        if self.world.setup.compromised:
            self.proposals = (*PROPOSALS, (compromise.abuse, sum(weight for _, weight in PROPOSALS) // 3))
        self.weights = [round(weight * 2 ** self.rng.uniform(-2, 2)) for _, weight in self.proposals]
        self.originals = {of: [parameters(self.world, of, i) for i in range(self.count(of))] for of in OFFICES}
        if self.rng.random() < 0.9:  # most episodes begin with money in the vault and margin in the accounts
            self.waiting += self.opening()

    def next(self) -> Step:
        """The next step."""
        while not self.waiting:
            (proposal, _), *_ = self.rng.choices(self.proposals, self.weights)
            self.waiting += proposal(self)
        return self.waiting.pop(0)

    def end(self) -> None:
        """From now on global settlement, and whatever else may be tried then."""
        self.waiting = ending.prelude(self.world, self.rng)
        self.proposals = (*self.proposals, (last_payments, 1))
        self.weights.append(sum(self.weights))

    # ---- draws

    def who(self, *names: str) -> str:
        """Usually one of these, sometimes anybody."""
        return self.rng.choice(names if names and self.rng.random() < 0.9 else ACTORS)

    def market(self) -> int:
        return self.rng.randrange(len(self.world.feeds))

    def receiver(self) -> str:
        """Somebody, or something that was never meant to receive."""
        return self.rng.choice((*ACTORS, *ACTORS, "governor", NOBODY, "token", *self.world.contracts))

    def count(self, of: str) -> int:
        """How many there are of what has parameters."""
        if of == "venue":
            return len(self.world.manager.venues)
        return len(self.world.feeds) if of in ("market", "oracle", "spreads", "options") else 1

    def venue(self) -> int:
        """A venue, rarely one that does not exist."""
        return self.rng.randrange(len(self.world.manager.venues)) if self.rng.random() < 0.97 else 7

    def log(self, low: float, high: float) -> float:
        """Log-uniform between two powers of ten."""
        return float(10 ** self.rng.uniform(low, high))

    def part(self, whole: int) -> int:
        """Of something: all of it, a bit more than all, nothing, or any share."""
        match self.rng.randrange(8):
            case 0 | 1:
                return whole
            case 2:
                return whole + 1
            case 3:
                return min(whole, 1)
            case _:
                return max(int(whole * self.log(-3, 0)), min(whole, 1))

    def price(self, market: int) -> int:
        """Last pushed [WAD], whatever the feed answers now."""
        return max(self.world.newest[market].answer, 1) * 10**10

    def opening(self) -> list[Step]:
        """Liquidity, margin, and two blocks, so that the liquidity counts."""
        unit = self.world.unit
        least, most = (3, 4.5) if self.rng.random() < 0.15 else (4, 7.3)  # little for all that traders can win
        steps: list[Step] = [["lp_deposit", {"who": "lp1", "units": int(self.log(least, most) * unit)}]]
        for who in TRADERS:
            steps.append(["deposit_margin", {"who": who, "units": int(self.log(3, 6.3) * unit), "to": who}])
        if self.world.rude is not None:  # money for what it tries from inside
            steps.append(["deposit_margin", {"who": "stranger", "units": 10_000 * unit, "to": "token"}])
            steps.append(["lp_deposit", {"who": "stranger", "units": 10_000 * unit, "to": "token"}])
        if self.world.setup.options and self.rng.random() < 0.95:
            steps += options.opening(self.world, self.rng)
        for _ in range(2):
            steps += [["warp", {"seconds": 12}], ["sync_all", {"who": "keeper"}]]
        return steps


# ---- proposals


def margin_in(p: Planner) -> list[Step]:
    who = p.who(*TRADERS)
    units = int(p.log(-6, 6.5) * p.world.unit)
    return [["deposit_margin", {"who": who, "units": units, "to": who if p.rng.random() < 0.9 else p.who()}]]


def margin_out(p: Planner) -> list[Step]:
    """Up to all cash, or all that margin does not hold back."""
    who = p.who(*TRADERS, "keeper")
    cash = p.world.twin.clearinghouse.account(p.world.key(who))[0]
    if p.rng.random() < 0.2 and not p.world.frozen:
        health = p.world.twin.margin.health(p.world.key(who), p.world.now)
        cash = min(cash, health.equity - health.initial)
    return [["withdraw_margin", {"who": who, "units": p.part(max(cash, 0) // p.world.scale)}]]


def trade_new(p: Planner) -> list[Step]:
    """Any size in any direction: leverage from a thousandth to 40, sometimes limits and deadlines that do not hold."""
    who, market = p.who(*TRADERS), p.market()
    cash = max(p.world.twin.clearinghouse.account(p.world.key(who))[0], WAD)
    least = p.world.twin.perp_engine.config(market).params.min_size if p.rng.random() < 0.95 else 1
    size = max(int(cash * WAD // p.price(market) * p.log(-3, 1.6)), least) * p.rng.choice((-1, 1))
    if p.rng.random() < 0.03:
        size = p.rng.choice((0, 1, -1, 10**15, 2**95, -(2**200)))
    elif p.rng.random() < 0.05:
        size = p.part(_room(p, market, size > 0)) * (1 if size > 0 else -1)
    arguments = {"who": who, "market": market, "size": size}
    if p.rng.random() < 0.1:
        arguments["limit"] = int(p.price(market) * (1 + p.rng.choice((-1, 1)) * p.log(-4, -1)))
    if p.rng.random() < 0.02:
        arguments["late"] = p.rng.choice((1, -5))
    if p.rng.random() < 0.01:
        arguments["market"] = p.rng.choice((2, 15, 16, 2**255))
    return [["trade", arguments]]


def _room(p: Planner, market: int, buying: bool) -> int:
    """What the caps leave to a side, and no less than the smallest position [base, WAD]."""
    book, params = p.world.twin.perp_engine.book(market), p.world.twin.perp_engine.config(market).params
    most = min(params.cap_base, params.cap_quote * WAD // p.price(market))
    return max(most - (book.long if buying else book.short), params.min_size, 1)


def trade_held(p: Planner) -> list[Step]:
    """Increase, reduce, close or flip a position somebody has."""
    held = [(key, position.size) for key, position in p.world.twin.perp_engine.positions.items() if position.size]
    if not held:
        return trade_new(p)
    (account, market), size = p.rng.choice(held)
    who = next(name for name in ACTORS if p.world.actors[name] == account)
    match p.rng.randrange(6):
        case 0 | 1:
            return [["close", {"who": who, "market": market}]]
        case 2:
            change = -size - int(size * p.log(-2, 0.5))
        case 3:
            change = int(size * p.log(-2, 0.3))
        case _:
            change = -int(size * p.log(-2, 0))
    return [["trade", {"who": who, "market": market, "size": change}]]


def liquidate(p: Planner) -> list[Step]:
    return liquidations.liquidations(p.world, p.rng)


def squeeze(p: Planner) -> list[Step]:
    """The price goes where somebody's equity is just above maintenance, or below; then he is liquidated."""
    twin = p.world.twin
    held = [(key, position.size) for key, position in twin.perp_engine.positions.items() if position.size]
    if not held or p.world.frozen:
        return []
    (account, market), size = p.rng.choice(held)
    health = twin.margin.health(account, p.world.now)
    notional = abs(size) * twin.oracle.markets[market].mark.price // WAD
    change = (p.rng.choice((0.05, 0.5, 0.9, 0.999, 1.001)) * health.maintenance - health.equity) / max(notional, 1)
    if not 0 < -change < 0.6:
        return []
    answer = int(twin.oracle.markets[market].mark.price // 10**10 * (1 + (change if size > 0 else -change)))
    victim = next(name for name in p.world.actors if p.world.actors[name] == account)
    steps: list[Step] = [["warp", {"seconds": p.rng.choice((1, 12, 60))}]]
    steps.append(["push", {"market": market, "answer": max(answer, 1)}])
    if p.rng.random() < 0.7:
        return [*steps, *liquidations.on_perp(p.world, p.rng, victim, market)]
    return [*steps, *liquidations.on_anything(p.world, p.rng, victim)]


def squeeze_writers(p: Planner) -> list[Step]:
    return [] if p.world.frozen else liquidations.squeeze_writers(p.world, p.rng)


def collapse(p: Planner) -> list[Step]:
    return liquidations.collapse(p.world, p.rng)


def deleveraging(p: Planner) -> list[Step]:
    return liquidations.deleveraging(p.world, p.rng)


def outage(p: Planner) -> list[Step]:
    return closes.outage(p.world, p.rng)


def waiting_closes(p: Planner) -> list[Step]:
    return closes.leftovers(p.world, p.rng)


def round_of_prices(p: Planner) -> list[Step]:
    """Time passes and every feed moves a little: what happens all the time."""
    steps: list[Step] = [["warp", {"seconds": p.rng.choice((1, 2, 12, 12, 30, 61, 300, 3_000))}]]
    for market in range(len(p.world.feeds)):
        if p.world.faults[market] and p.rng.random() < 0.5:
            steps.append(["break_feed", {"market": market, "fault": ""}])
        if p.world.twin.oracle.markets[market].halted and p.rng.random() < 0.5:
            steps.append(["halt", {"market": market, "on": False}])
        if p.rng.random() < 0.8:
            factor = p.rng.gauss(1, p.rng.choice((0.0005, 0.005, 0.03)))
            steps.append(["push", {"market": market, "answer": _answer(p, market, factor)}])
    return steps


def gap(p: Planner) -> list[Step]:
    """A jump of up to 60 %, back toward where prices began if they have wandered off."""
    market = p.market()
    factor = 1 + p.rng.choice((-0.6, -0.4, -0.2, -0.1, -0.05, 0.05, 0.1, 0.2, 0.4, 0.6))
    steps: list[Step] = [["warp", {"seconds": p.rng.choice((1, 12, 60, 900))}]] if p.rng.random() < 0.9 else []
    steps.append(["push", {"market": market, "answer": _answer(p, market, factor)}])
    return [*steps, ["sync_all", {"who": "keeper"}]] if p.rng.random() < 0.5 else steps


def odd_round(p: Planner) -> list[Step]:
    """Rounds that must not be believed, and feeds that break and recover."""
    market = p.market()
    match p.rng.randrange(6):
        case 0:
            return [["push", {"market": market, "answer": p.rng.choice((0, -1, -(10**10), 2**100)), "age": 0}]]
        case 1:
            age = p.rng.choice((-60, 5, 300, 4_000, 90_000))
            return [["push", {"market": market, "answer": _answer(p, market, 1.01), "age": age}]]
        case 2 | 3:
            return [["break_feed", {"market": market, "fault": p.rng.choice(list(Fault)).name or ""}]]
        case _:
            return [["break_feed", {"market": market, "fault": ""}] for market in range(len(p.world.feeds))]


def _answer(p: Planner, market: int, factor: float) -> int:
    """The last price times a factor, kept within a hundredth and a hundred times where it began."""
    origin = _origin(p, market)
    answer = max(p.world.newest[market].answer, 1)
    if not origin // 20 < answer < origin * 20:
        return origin
    return max(int(answer * factor), 1)


def _origin(p: Planner, market: int) -> int:
    """What the feed said first."""
    test = p.world.config.markets[market].feed.test
    assert test is not None
    return int(test.price * 10**DECIMALS)


def time_passes(p: Planner) -> list[Step]:
    """From a second to a month."""
    seconds = p.rng.choice((1, 1, 59, 60, 600, HOUR, HOUR + 1, 6 * HOUR, DAY, 30 * DAY))
    steps: list[Step] = [["warp", {"seconds": seconds}]]
    if seconds >= HOUR and p.rng.random() < 0.95:
        steps += [
            ["push", {"market": m, "answer": _answer(p, m, p.rng.gauss(1, 0.02))}] for m in range(len(p.world.feeds))
        ]
    return steps


def touch(p: Planner) -> list[Step]:
    """What anybody may call to bring things up to date."""
    who = p.who("keeper")
    match p.rng.randrange(5):
        case 0:
            return [["sync_all", {"who": who}]]
        case 1:
            return [["sync", {"who": who, "market": p.market()}]]
        case 2:
            return [["oracle_sync", {"who": who, "market": p.market()}]]
        case 3:
            return [["poke", {"who": who, "venue": p.venue()}]]
        case _:
            return [["perp_sync", {"who": who, "market": p.market()}]]


def lp_in(p: Planner) -> list[Step]:
    who = p.who(*LPS)
    if p.rng.random() < 0.3:
        return [["lp_mint", {"who": who, "shares": int(p.log(-18, 7) * WAD)}]]
    return [["lp_deposit", {"who": who, "units": int(p.log(-p.world.setup.decimals, 7.3) * p.world.unit)}]]


def lp_ask(p: Planner) -> list[Step]:
    """Request redemption, or send shares about."""
    holders = [name for name in ACTORS if p.world.vault.balances.get(p.world.key(name))]
    if not holders and p.rng.random() < 0.8:
        return []
    who = p.rng.choice(holders) if holders and p.rng.random() < 0.95 else p.who(*LPS)
    shares = p.part(p.world.vault.balances.get(p.world.key(who), 0))
    to = who if p.rng.random() < 0.85 else p.who()
    if p.rng.random() < 0.1:
        return [["send_shares", {"who": who, "shares": shares, "to": p.rng.choice((*LPS, "stranger", "vault"))}]]
    return [["request", {"who": who, "shares": shares, "to": to}]]


def end_epoch(p: Planner) -> list[Step]:
    """Wait for the end, see newer prices, process: with variations that must be refused."""
    steps: list[Step] = []
    left = p.world.vault.epochs.pool.ends_at - p.world.now
    early = left > 0 and p.rng.random() < 0.1  # prices from just before the end
    if left > 0 and p.rng.random() < 0.9:
        steps.append(["warp", {"seconds": max(left - 60, 1) if early else left + p.rng.choice((0, 0, 5, HOUR))}])
    for market in range(len(p.world.feeds)):
        if p.rng.random() < 0.95:
            steps.append(["push", {"market": market, "answer": _answer(p, market, p.rng.gauss(1, 0.01))}])
    if early:
        steps.append(["warp", {"seconds": 60}])
    if p.rng.random() < 0.2:
        steps += lp_ask(p)  # too late for this epoch
    return [*steps, ["process_epoch", {"who": p.who("keeper")}]]


def lp_claim(p: Planner) -> list[Step]:
    claimable = [name for name in ACTORS if p.world.vault.max_redeem(p.world.key(name))]
    if not claimable and p.rng.random() < 0.8:
        return []
    who = p.rng.choice(claimable) if claimable else p.who(*LPS)
    if p.rng.random() < 0.5:
        return [["redeem", {"who": who, "shares": p.part(p.world.vault.max_redeem(p.world.key(who)))}]]
    return [["claim", {"who": who, "units": p.part(p.world.vault.max_withdraw(p.world.key(who)))}]]


def hedge(p: Planner) -> list[Step]:
    """Pools follow the feed, the average catches up, a keeper hedges part of what the vault is exposed to."""
    venue = p.venue()
    if venue >= len(p.world.manager.venues):
        return [["rebalance", {"who": "keeper", "venue": venue, "market": 0, "size": WAD}]]
    held = p.world.manager.venues[venue]
    delta = p.world.inventory.markets[held.market].delta
    if delta == 0 and p.rng.random() < 0.9:
        return trade_new(p)
    steps = _near_the_oracle(p, venue) if p.rng.random() < 0.9 else []
    size = -int(delta * p.log(-1.5, 0.1)) if p.rng.random() < 0.85 else int(p.log(-2, 3) * WAD) * p.rng.choice((-1, 1))
    if p.rng.random() < 0.04:
        size = p.rng.choice((1, -1, 10**27, -(10**27)))
    arguments = {"who": p.who("keeper"), "venue": venue, "market": held.market, "size": size}
    if p.rng.random() < 0.05:
        arguments["market"] = 1 - held.market
    if p.rng.random() < 0.1:
        arguments["limit"] = int(p.price(held.market) * p.rng.gauss(1, 0.001))
    return [*steps, ["rebalance", arguments]]


def _near_the_oracle(p: Planner, venue: int) -> list[Step]:
    """A venue whose price and average are the feed's, and a new round."""
    market = p.world.manager.venues[venue].market
    price, answer = p.price(market), p.world.newest[market].answer
    move: Step = ["arbitrage", {"market": market, "price": price}]
    if venue in p.world.doubles:
        move = ["reprice", {"venue": venue, "spot": price, "twap": price}]
    return [move, ["warp", {"seconds": 301}], ["push", {"market": market, "answer": max(answer, 1)}]]


def recall(p: Planner) -> list[Step]:
    """Only while LP cash is short; the planner makes no secret of it."""
    short = p.world.manager.rule.recall_floor - p.world.twin.clearinghouse.lp
    if short <= 0 and p.rng.random() < 0.9:
        return []
    venue = p.rng.randrange(len(p.world.manager.venues))
    steps = _near_the_oracle(p, venue) if p.rng.random() < 0.9 else []
    units = p.part(max(short, p.world.scale) // p.world.scale)
    return [*steps, ["recall", {"who": p.who("keeper"), "venue": venue, "units": units}]]


def lender(p: Planner) -> list[Step]:
    """What happens at Aave, and to those who owe there."""
    if not p.world.shorts:
        return []
    kind = p.rng.random()
    if kind < 0.25:
        return lending.strained(p.world, p.rng)
    if kind < 0.45:
        return _short_hedge(p)
    if kind < 0.65:
        return _short_recall(p)
    steps = lending.at_the_lender(p.world, p.rng)
    return [*steps, *_short_hedge(p), *recall(p)] if kind < 0.8 else steps


def _short_hedge(p: Planner) -> list[Step]:
    """A venue that borrows opens against what traders have sold, or closes some of what it has; when they have sold
    too little for a hedge to pay, somebody does so first."""
    venue = p.rng.choice(p.world.shorts)
    short = p.world.short(venue)
    delta, owed = p.world.inventory.markets[short.market].delta, -short.state.exposure
    steps: list[Step] = []
    capital = max(p.world.inventory.book.capital * MICRO, WAD) * WAD // p.price(short.market)  # [base, WAD]
    if delta < capital // 500 and owed <= 0:
        delta = int(capital * p.log(-2, -0.5))
        steps = [["trade", {"who": p.rng.choice(TRADERS), "market": short.market, "size": -delta}]]
    if delta > 0:
        size = -int(delta * p.log(-1, 0.1))
    else:
        size = int(-delta * p.log(-1, 0.1)) if p.rng.random() < 0.7 else int(owed * p.log(-2, 0.1))
    arguments = {"who": p.who("keeper"), "venue": venue, "market": short.market, "size": size or WAD}
    return [*steps, *_near_the_oracle(p, venue), ["rebalance", arguments]]


def _short_recall(p: Planner) -> list[Step]:
    """LPs want more cash than they have, for as long as it takes a venue that borrows to bring some."""
    owing = [venue for venue in p.world.shorts if p.world.short(venue).state.exposure < 0]
    if not owing:
        return _short_hedge(p)
    venue, rule = p.rng.choice(owing), p.originals["rule"][0]
    missing = int(p.log(2, 6) * WAD)
    floor = max(p.world.twin.clearinghouse.lp, 0) + missing
    wanted, usual = [
        [
            ["set_parameter", {"who": "governor", "of": "rule", "field": field, "value": value}]
            for field, value in (("lp_floor", low), ("recall_floor", recalled))
        ]
        for low, recalled in ((floor, floor), (rule.lp_floor, rule.recall_floor))
    ]
    units = p.part(missing // p.world.scale)
    recalls: list[Step] = [["recall", {"who": p.who("keeper"), "venue": venue, "units": units}]]
    return [*wanted, *_near_the_oracle(p, venue), *recalls, *usual[::-1]]


def mandated(p: Planner) -> list[Step]:
    """Mandates granted, used in place of what anybody may do, revoked."""
    kind = p.rng.random()
    if kind < 0.2 or not p.world.twin.mandates or not p.world.twin.mandates.granted:
        return mandates.granting(p.world, p.rng)
    if kind < 0.25:
        return mandates.revoking(p.world, p.rng)
    steps = _short_hedge(p) if p.world.shorts and kind < 0.7 else hedge(p)
    name, arguments = steps[-1]
    if name != "rebalance" or arguments["venue"] >= len(p.world.manager.venues):
        return steps
    return [*steps[:-1], mandates.hedging(p.world, p.rng, arguments["venue"], arguments["size"])]


def boosts(p: Planner) -> list[Step]:
    """An auction, and somebody who takes what it pays: who holds a position gives it back, or another the opposite."""
    steps = auction.auctioning(p.world, p.rng)
    if steps[-1][0] == "push":
        steps += [*trade_held(p)[:1], *trade_held(p)[:1], *option_trades(p)[:1]]
    return steps


def carry(p: Planner) -> list[Step]:
    """Measured after an hour, or too soon."""
    market = p.market() if p.rng.random() < 0.95 else 16
    steps: list[Step] = [["measure_carry", {"who": p.who("keeper"), "market": market}]]
    if p.rng.random() < 0.7:
        steps = [["warp", {"seconds": p.rng.choice((HOUR - 1, HOUR, 2 * HOUR, DAY))}], *round_of_prices(p)[1:], *steps]
    return steps


def unwinding(p: Planner) -> list[Step]:
    """Whether there is anything to unwind or not."""
    most = p.rng.choice((2**255, int(WAD * p.log(-3, 3)), 0))
    return [["unwind", {"who": p.who("keeper"), "venue": p.venue(), "most": most}]]


def gifts(p: Planner) -> list[Step]:
    """Tokens sent to any address, and where they may go from there."""
    match p.rng.randrange(4):
        case 0:
            return [["absorb", {"who": p.who("stranger")}]]
        case 1:
            venue = p.rng.randrange(len(p.world.manager.venues))
            return [
                [
                    "donate_base",
                    {"market": p.world.manager.venues[venue].market, "venue": venue, "units": int(p.log(0, 9))},
                ]
            ]
        case _:
            to = p.rng.choice(list(p.world.contracts))
            return [["donate", {"to": to, "units": int(p.log(0, p.world.setup.decimals + 4))}]]


def fees(p: Planner) -> list[Step]:
    match p.rng.randrange(3):
        case 0:
            return [["collect_fees", {"who": p.who("stranger")}]]
        case 1:
            return [["withdraw_protocol", {"units": p.part(p.world.twin.clearinghouse.protocol // p.world.scale)}]]
        case _:
            return [["insure", {"who": p.who("stranger"), "units": int(p.log(-6, 4) * p.world.unit)}]]


def switches(p: Planner) -> list[Step]:
    """Pauses and halts, soon lifted."""
    off = p.rng.random() < 0.7
    market, venue = p.market(), p.rng.randrange(len(p.world.manager.venues))
    every: list[Step] = [
        ["pause_market", {"market": market, "on": True}],
        ["pause_deposits", {"on": True}],
        ["pause_venue", {"venue": venue, "on": True}],
        ["halt", {"market": market, "on": True}],
    ]
    if p.rng.random() < 0.1:
        return rules(p)
    if off:
        return [[name, {**arguments, "on": False}] for name, arguments in every]
    return [p.rng.choice(every)]


def rules(p: Planner) -> list[Step]:
    """What governor and guardian may change for good; venues are retired rarely, as there are only two."""
    match p.rng.randrange(8):
        case 0:
            return [["retire_venue", {"venue": p.venue()}]]
        case 1 | 2 | 3:
            market = p.market()
            params = p.world.twin.perp_engine.config(market).params
            base, quote = p.part(params.cap_base), p.part(params.cap_quote)
            return [["lower_caps", {"market": market, "base": base, "quote": quote}]]
        case _:
            names = ("insurance", 11_000), ("liquidator", 9_000), ("lp", 4_500)
            return [["set_shares", {name: p.rng.randrange(most) for name, most in names}]]


def greeks(p: Planner) -> list[Step]:
    """Options of any size up to what binds, sometimes against the vault's delta, or some of them back; up to
    three in a row; or nothing but a settlement of what the desk has gained."""
    if p.world.desk is None:
        return []
    steps = [_greeks(p, p.market()) for _ in range(p.rng.choice((1, 1, 1, 2, 3)))]
    return [["trade_greeks", {"who": p.who("stranger"), **arguments}] for arguments in steps]


def _greeks(p: Planner, market: int) -> dict[str, Any]:
    assert p.world.desk is not None
    w, rng, held = p.world, p.rng, p.world.desk.of(market)
    kind = rng.random()
    if kind < 0.05:
        return {"market": market}
    if kind < 0.4 and held.exposure != Exposure():
        change = held.reversal(rng.choice((1_000, 1_000, 500, rng.randrange(1, 1_000))), 1_000)
        x = change.exposure
        arguments = {"delta": x.delta, "gamma": x.gamma, "vega": x.vega, "stress": list(change.stress)}
        return {"market": market, **arguments, "closing": rng.random() < 0.7, "notional": abs(x.delta) * 2}
    price, capital = max(p.price(market), WAD), max(w.inventory.book.capital, 10**9) * MICRO
    size, sign = int(capital * p.log(-4, -0.2)), rng.choice((-1, 1))  # [quote, WAD]
    if rng.random() < 0.05:
        sign = 0  # delta alone, said to be an option
    delta = int(size * WAD // price * p.log(-1, 0.3)) * rng.choice((-1, 1))
    if rng.random() < 0.3 and w.inventory.markets[market].delta:
        delta = -int(w.inventory.markets[market].delta * p.log(-1, 0.2))
    top = 20 * _origin(p, market) * 10**10  # where Inventory's word for the squares of gamma is far from full
    gamma = sign * min(int(size * WAD // price * WAD // price * p.log(-0.5, 1.5)), MOST_GAMMA * WAD // top * WAD // top)
    vega = sign * int(size * p.log(-0.5, 1)) * rng.choice((1, 1, 1, 0, -1))
    stress = [sign * int(size * rng.random()) // STRESS_UNIT * rng.choice((1, 1, 1, 1, 0, -1)) for _ in range(8)]
    if rng.random() < 0.1:
        gamma = vega = 0  # as of an option about to expire
    age, notional = rng.choice((0, 12, 900, 10**6)), int(size * p.log(-2, 1))
    return {
        "market": market, "delta": delta, "gamma": gamma, "vega": vega, "stress": stress, "vol_age": age,
        "notional": notional,
    }  # fmt: skip


def revaluations(p: Planner) -> list[Step]:
    """What the vault holds of the desk is worth more or less risk, or gone; alone, or between two trades of a block."""
    if p.world.desk is None:
        return []
    market = p.market()
    held = p.world.desk.of(market)
    gone = p.rng.random() < 0.2
    change = held.reversal(1, 1) if gone else held.revalued(lambda: p.rng.choice((-1, 1, 1, 1)) * p.log(-1, 0.5))
    x = change.exposure
    step: Step = ["revalue_greeks", {
        "who": p.who("stranger"), "market": market, "delta": x.delta, "gamma": x.gamma, "vega": x.vega,
        "stress": list(change.stress),
    }]  # fmt: skip
    return [step] if p.rng.random() < 0.6 else [*trade_held(p)[:1], step, *trade_held(p)[:1], *greeks(p)[:1]]


def volatilities(p: Planner) -> list[Step]:
    step = surface_step(p.world, p.rng, p.who("stranger"))
    return [step] if step else []


def option_trades(p: Planner) -> list[Step]:
    if not p.world.setup.options:
        return []
    if p.rng.random() < 0.4:
        return options.options_held(p.world, p.rng)
    return options.options_new(p.world, p.rng, p.who(*TRADERS))


def option_keeping(p: Planner) -> list[Step]:
    return options.keeping(p.world, p.rng, p.who("keeper")) if p.world.setup.options else []


def option_expiry(p: Planner) -> list[Step]:
    return options.to_expiry(p.world, p.rng) if p.world.setup.options else []


def option_boards(p: Planner) -> list[Step]:
    return options.boards(p.world, p.rng) if p.world.setup.options else []


def last_payments(p: Planner) -> list[Step]:
    return ending.payments(p.world, p.rng)


PROPOSALS: tuple[tuple[Proposal, int], ...] = (
    (margin_in, 40),
    (margin_out, 40),
    (trade_new, 200),
    (trade_held, 160),
    (liquidate, 80),
    (squeeze, 60),
    (squeeze_writers, 40),
    (collapse, 12),
    (deleveraging, 16),
    (outage, 10),
    (waiting_closes, 12),
    (round_of_prices, 140),
    (gap, 24),
    (odd_round, 12),
    (time_passes, 24),
    (touch, 50),
    (lp_in, 50),
    (lp_ask, 50),
    (end_epoch, 24),
    (lp_claim, 30),
    (hedge, 40),
    (recall, 30),
    (lender, 300),
    (unwinding, 6),
    (mandated, 90),
    (carry, 16),
    (boosts, 24),
    (gifts, 24),
    (fees, 12),
    (switches, 8),
    (greeks, 100),
    (revaluations, 40),
    (volatilities, 60),
    (option_trades, 400),
    (option_keeping, 100),
    (option_expiry, 24),
    (option_boards, 40),
)


# ---- proposals of profile "all"


def others(p: Planner) -> list[Step]:
    """Operators, allowances, accounts of others, receivers that are not the caller."""
    who, other, to = p.who(), p.who(), p.receiver()
    vault, ledger = p.world.vault, p.world.twin.clearinghouse
    claimable = [name for name in ACTORS if vault.max_redeem(p.world.key(name))]
    match 4 if claimable and p.rng.random() < 0.3 else p.rng.randrange(12):
        case 0 | 1:
            contract, on = p.rng.choice(("vault", "clearinghouse")), p.rng.random() < 0.8
            return [["set_operator", {"contract": contract, "owner": other, "operator": who, "on": on}]]
        case 2:
            shares = p.rng.choice((MAX_UINT, p.part(vault.balances.get(p.world.key(other), 0))))
            return [["approve_shares", {"who": other, "spender": p.rng.choice((who, who, to)), "shares": shares}]]
        case 3:
            steps: list[Step] = []
            if p.rng.random() < 0.6:
                steps = [["set_operator", {"contract": "clearinghouse", "owner": other, "operator": who, "on": True}]]
            units = p.part(max(ledger.account(p.world.key(other))[0], 0) // p.world.scale)
            return [*steps, ["withdraw_margin", {"who": who, "units": units, "of": other, "to": to}]]
        case 4:
            of = p.rng.choice(claimable) if claimable else other
            steps = []
            if p.rng.random() < 0.6:
                steps = [["set_operator", {"contract": "vault", "owner": of, "operator": who, "on": True}]]
            shares = p.part(vault.max_redeem(p.world.key(of)))
            return [*steps, ["redeem", {"who": who, "shares": shares, "of": of, "to": to}]]
        case 5:
            units = p.part(vault.max_withdraw(p.world.key(other)))
            return [["claim", {"who": other, "units": units, "to": to}]]
        case 6:
            units = int(p.log(0, 6) * p.world.unit)
            step: Step = ["lp_deposit", {"who": who, "units": units, "to": to}]
            if p.rng.random() < 0.5:
                step[1]["least"] = int(units * p.world.scale * p.rng.choice((0, 0.5, 0.99, 1, 2)))
            return [step]
        case 7:
            return [["lp_mint", {"who": who, "shares": int(p.log(-3, 6) * WAD), "to": to}]]
        case 8 | 9:
            holders = [name for name in ACTORS if vault.balances.get(p.world.key(name))]
            of = p.rng.choice(holders) if holders else other
            shares = p.part(vault.balances.get(p.world.key(of), 0))
            steps = []
            if p.rng.random() < 0.5:
                steps = [["approve_shares", {"who": of, "spender": who, "shares": p.part(shares)}]]
            if p.rng.random() < 0.5:
                return [*steps, ["send_shares", {"who": who, "shares": shares, "to": to, "of": of}]]
            return [*steps, ["request", {"who": who, "shares": shares, "to": to, "of": of}]]
        case 10:
            return [["forge_permit", {"who": who, "owner": other, "spender": who, "shares": WAD}]]
        case _:
            units = int(p.log(-6, 6) * p.world.unit)
            return [["deposit_margin", {"who": who, "units": units, "to": to, "permit": p.rng.random() < 0.3}]]


def crowd(p: Planner) -> list[Step]:
    """A block full of trades by everybody, which all end where they began."""
    steps: list[Step] = []
    net: Counter[tuple[str, int]] = Counter()
    for _ in range(p.rng.randint(4, 12)):
        step = p.rng.choice((trade_new, trade_held))(p)[-1]
        name, values = step
        if name == "trade" and values["market"] < len(p.world.feeds) and abs(values["size"]) < 2**90:
            step = ["trade", {key: values[key] for key in ("who", "market", "size")}]
            net[values["who"], values["market"]] += values["size"]
            steps.append(step)
            if p.rng.random() < 0.2:
                steps += touch(p)
    return steps + [["trade", {"who": who, "market": i, "size": -size}] for (who, i), size in net.items() if size]


def meddle(p: Planner) -> list[Step]:
    """An ordinary action while gas is short, the token has bad manners, or somebody calls from inside."""
    kind = p.rng.randrange(3)
    movers: tuple[Proposal, ...] = (margin_in, margin_out, lp_in, lp_claim, hedge, recall, fees, others)
    anything: tuple[Proposal, ...] = (*movers, trade_new, trade_held, liquidate, touch, end_epoch, lp_ask, gifts)
    steps = (hedge if kind == 2 and p.rng.random() < 0.3 else p.rng.choice(anything if kind == 0 else movers))(p)
    if not steps:
        return []
    match kind:
        case 0:
            usual = p.world.gas_used.get(steps[-1][0], 300_000)
            gas = int(usual * p.rng.uniform(0.3, 1.1)) if p.rng.random() < 0.8 else int(p.log(4.4, 6.3))
            first: Step = ["starve", {"gas": gas}]
        case 1:
            manner = p.rng.choice([each.name for each in Manner if each is not Manner.REENTER])
            banned = p.rng.choice((*ACTORS, "clearinghouse", "venue0"))
            if p.rng.random() < 0.7:
                banned = steps[-1][1].get("who", banned)
            first = ["rude_token", {"manner": manner, "banned": banned}]
        case _:
            first = _call_inside(p)
    return [*steps[:-1], first, steps[-1]]


def _call_inside(p: Planner) -> Step:
    """Anything at all, half of the time something that would be within the token's means were it called alone."""
    w = p.world
    size = int(WAD * p.log(-1, 0)) * p.rng.choice((-1, 1))
    able: list[tuple[str, str, list[Any]]] = [
        ("clearinghouse", "deposit", [w.unit, "token"]),
        ("clearinghouse", "withdraw", [1, "token", "token"]),
        ("clearinghouse", "fund_insurance", [1]),
        ("vault", "deposit", [100 * w.unit, "token"]),
        ("vault", "mint", [WAD, "token"]),
        ("vault", "requestRedeem", [1, "token", "token"]),
        ("vault", "redeem", [1, "token", "token"]),
        ("vault", "withdraw", [1, "token", "token"]),
        ("vault", "transfer", ["keeper", 1]),
        ("vault", "approve", ["keeper", 1]),
        ("vault", "setOperator", ["keeper", True]),
        ("vault", "processEpoch", []),
        ("clearinghouse", "set_operator", ["keeper", True]),
        ("clearinghouse", "collect_fees", []),
        ("clearinghouse", "absorb_donation", []),
        *[("perp_engine", "trade", [p.market(), size, MAX_UINT if size > 0 else 0, MAX_UINT])] * 4,
        ("perp_engine", "sync", [p.market()]),
        ("liquidator", "liquidate_perp", [p.who(*TRADERS), p.market(), WAD]),
        ("liquidator", "take_perp", [p.who(*TRADERS), p.market(), WAD]),
        ("deleverager", "nominate", [p.who(*TRADERS), p.market()]),
        ("deleverager", "deleverage", [p.market()]),
        ("close_queue", "execute_perp", [p.who(*TRADERS), p.market()]),
        ("global_settlement", "trigger", []),
        ("inventory", "sync", [p.market()]),
        ("inventory", "sync_all", []),
        ("oracle", "sync", [p.market()]),
        ("hedge_manager", "poke", [p.venue()]),
        ("vault", "valuation", []),
        ("vault", "totalAssets", []),
        ("vault", "previewDeposit", [w.unit]),
        ("margin", "health", [p.who(*TRADERS)]),
    ]
    if w.book.strikes:
        key, listed = p.rng.choice(list(w.book.strikes.items()))
        market, expiry = market_of(key), expiry_of(key)
        orders = [[pack(listed[0].strike, 0, key, False), LOT * 10**5]]
        able += [
            ("option_engine", "trade", [orders, MAX_UINT // 2, MAX_UINT]),
            ("option_engine", "quote", ["token", orders]),
            ("option_engine", "refresh", [market, expiry]),
            ("option_engine", "settle_accounts", [market, expiry, list(TRADERS)]),
            ("liquidator", "liquidate_options", [p.who(*TRADERS), orders]),
            ("liquidator", "take_options", [p.who(*TRADERS), orders]),
            ("close_queue", "execute_options", [p.who(*TRADERS), market]),
        ]
    if p.rng.random() < 0.6:
        contract, fn, args = p.rng.choice(able)
        return ["call_inside", {"contract": contract, "fn": fn, "args": args}]
    contract = p.rng.choice([name for name in w.contracts if not name.startswith("venue")])
    candidates = functions(w.contracts[contract], views=p.rng.random() < 0.4)
    if not candidates:
        candidates = functions(w.contracts[contract], views=True)
    function = p.rng.choice(candidates)
    return ["call_inside", {"contract": contract, "fn": function.signature, "args": arguments(p, function)}]


def arguments(p: Planner, function: Function) -> list[Any]:
    """Anything that fits the function's types, in the form that a step keeps (`hostile.resolve`)."""
    return [_argument(p, kind) for kind in types(function)]


def _argument(p: Planner, kind: Any) -> Any:
    """Something of an ABI type, in the form that a step keeps."""
    if kind.is_array:
        length = kind.arrlist[-1][0] if kind.arrlist[-1] else p.rng.randrange(3)
        return [_argument(p, kind.item_type) for _ in range(length)]
    if isinstance(kind, TupleType):
        return [_argument(p, each) for each in kind.components]
    match kind.base:
        case "address":
            return p.receiver()
        case "bool":
            return p.rng.random() < 0.5
        case "uint":
            most = 2 ** int(kind.sub) - 1
            return min(p.rng.choice((0, 1, 2, p.world.now, int(p.log(0, 20)), 10**18, most)), most)
        case "int":
            most = 2 ** (int(kind.sub) - 1) - 1
            return min(p.rng.choice((0, 1, -1, int(p.log(0, 20)), -int(p.log(0, 20)), most)), most)
        case "bytes":
            return "0x" + "01" * int(kind.sub or 1)  # which any dynamic type of ours can hold
        case _:
            raise NotImplementedError(f"no argument of type {kind}")


def intrusion(p: Planner) -> list[Step]:
    """A function that is somebody else's, called by whoever."""
    contract = p.rng.choice(list(p.world.contracts))
    target = p.world.contracts[contract]
    known = (*PUBLIC.get(target.artifact.name, ()), *OFFICE)
    closed = [function for function in functions(target) if function.name not in known]
    if not closed or target.artifact.name in ("HedgeVenueDouble", "OptionEngineDouble"):  # obey anybody
        return []
    function = p.rng.choice(closed)
    who = p.rng.choice((*ACTORS, "guardian", "guardian", "governor", "governor"))
    return [["intrude", {"who": who, "contract": contract, "fn": function.signature, "args": arguments(p, function)}]]


def offices(p: Planner) -> list[Step]:
    """Parameters and roles, changed by whoever may and by whoever may not."""
    who = p.rng.choice(("governor",) * 8 + ("guardian", "stranger"))
    match p.rng.randrange(10):
        case 0 | 5:
            return _role(p)
        case 1:
            cap = p.part(p.world.vault.params.deposit_cap) if p.rng.random() < 0.3 else p.world.vault.params.deposit_cap
            sender = p.rng.choice((who, "guardian"))
            return [["lower_deposit_cap", {"who": sender, "cap": cap}]]
        case 2:
            market = p.market()
            silent = p.rng.random() < 0.1
            return [*round_of_prices(p), ["replace_feed", {"who": who, "market": market, "silent": silent}]]
        case 3:
            what = p.rng.choice(("market", "venue"))
            return [["list_again", {"who": who, "what": what, "number": p.rng.randrange(p.count(what))}]]
        case 4:
            return [["replace_margin", {"who": who}]]
        case _:
            step = _parameter(p, who)
            halted = step[1]["of"] == "oracle" and p.rng.random() < 0.2
            return [["halt", {"market": step[1]["number"], "on": True}], step] if halted else [step]


def _parameter(p: Planner, who: str) -> Step:
    """Back to what it was, a bit more or less, or nonsense."""
    of = p.rng.choice(OFFICES)
    number = p.rng.randrange(p.count(of))
    name = p.rng.choice(list(type(parameters(p.world, of, number)).__dataclass_fields__))
    value = getattr(p.originals[of][number], name)
    match p.rng.randrange(8):
        case 0 | 1:
            pass
        case 2 | 3:
            value = p.rng.choice((0, 1, 10**4, 10**5, 10**6, 10**15, 10**16, 10**18, 10**19))
        case _:
            value = int(value * p.log(-0.3, 0.3))
            for step in (10**15, 10**12):  # Inventory's words have steps
                if abs(value) > 10 * step:
                    value = value // step * step
                    break
    return ["set_parameter", {"who": who, "of": of, "field": name, "value": int(value), "number": number}]


def _role(p: Planner) -> list[Step]:
    """By the admin, mostly, who passes the office on and may get it back."""
    contract = p.rng.choice([name for name, each in p.world.contracts.items() if each.artifact.name in p.world.roles])
    table = p.world.roles[p.world.contracts[contract].artifact.name]
    people = {p.world.address(name): name for name in (*ACTORS, "governor", "guardian")}
    admin = people.get(table.admin, "governor")
    who = admin if p.rng.random() < 0.8 else p.who()
    holder = p.rng.choice(("guardian", "governor", "keeper", "stranger"))
    flags = p.rng.choice(list(Role)).value
    match p.rng.randrange(9):
        case 0 | 1:
            return [["grant_role", {"who": who, "contract": contract, "holder": holder, "flags": flags}]]
        case 2 | 3:
            return [["revoke_role", {"who": who, "contract": contract, "holder": holder, "flags": flags}]]
        case 4:
            return [["renounce_setup", {"who": who, "contract": contract}]]
        case 5 | 6:
            offer: Step = ["offer_admin", {"who": admin, "contract": contract, "to": holder}]
            return [offer, ["accept_admin", {"who": holder, "contract": contract}]]
        case 7:
            return [["offer_admin", {"who": who, "contract": contract, "to": p.rng.choice((holder, NOBODY))}]]
        case _:
            pending = people.get(table.pending_admin or "", holder)
            return [["accept_admin", {"who": pending, "contract": contract}]]


def doubles(p: Planner) -> list[Step]:
    """Venues change their manners and their prices; then somebody trades with them or looks at them."""
    if not p.world.doubles:
        return []
    venue = p.rng.choice(list(p.world.doubles))
    twin = p.world.double(venue)
    every = [manner.name for manner in VenueManner if manner is not VenueManner.RE_ENTERS]
    match p.rng.randrange(8):
        case 0 | 1:
            manners = p.rng.sample(every, p.rng.choice((1, 1, 2)))
            steps: list[Step] = [["misbehave", {"venue": venue, "manners": manners}]]
        case 2:
            skew = int(p.log(-3, 40)) * WAD * p.rng.choice((-1, 1)) if p.rng.random() < 0.5 else 0
            told = p.rng.choice((0, 5_000, 9_999, 10_001, 20_000, 10**30, 10**70))
            steps = [["misbehave", {"venue": venue, "manners": [], "skew": skew, "told_bps": told}]]
        case 3:
            price = int(p.price(twin.market) * p.rng.choice((0.5, 0.99, 1.001, 1.5)))
            steps = [["reprice", {"venue": venue, "spot": price, "twap": p.rng.choice((price, twin.twap))}]]
        case 4:
            steps = [["endow", {"venue": venue, "held": p.rng.choice((0, 0, int(twin.held * p.log(-1, 1)), WAD))}]]
        case _:
            steps = [["misbehave", {"venue": venue, "manners": []}]]
    if p.rng.random() < 0.5:
        delta = p.world.inventory.markets[twin.market].delta
        size = -int(delta * p.log(-1.5, 0)) or WAD
        trade: Step = ["rebalance", {"who": "keeper", "venue": venue, "market": twin.market, "size": size}]
        return [*_near_the_oracle(p, venue), *steps, trade]
    return [*steps, ["poke", {"who": p.who("keeper"), "venue": venue}]]


def ether(p: Planner) -> list[Step]:
    """With a call or by force."""
    contract = p.rng.choice(list(p.world.contracts))
    wei = int(p.log(0, 20))
    if p.rng.random() < 0.3:
        return [["force_ether", {"contract": contract, "wei": wei}]]
    target = p.world.contracts[contract]
    function = p.rng.choice(functions(target) or functions(target, views=True))
    call = {"contract": contract, "fn": function.signature, "args": arguments(p, function)}
    return [["pay_ether", {"who": p.who(), **call, "wei": wei}]]


def surroundings(p: Planner) -> list[Step]:
    """A sequencer goes down and comes back, rounds get wide, pools go to the ends of their range and forget, a venue is
    paused for a while, the price of gas is not known."""
    market = p.market()
    match p.rng.randrange(18):
        case 0 | 1 | 2:
            down = p.rng.choice((1, 1, 2))
            back: list[Step] = [
                ["uptime", {"answer": 0, "seconds": p.rng.choice((0, 3_600, 3_601, 10**5, -60, 2**40))}]
            ]
            return [["uptime", {"answer": down, "seconds": 0}], *touch(p), *trade_held(p), *back]
        case 3 | 4 | 5 | 6:
            return [["uptime", {"answer": 0, "seconds": 10**5}]]
        case 7 | 8 | 9:
            width = p.rng.choice((0, 1, 5, 5, 20, 200, 3_000, 10**30))
            return [["widen", {"width_bps": width}], *round_of_prices(p), *trade_held(p)]
        case 10:
            price = int(p.price(market) * p.log(-30, 30)) + 1
            steps: list[Step] = [["arbitrage", {"market": market, "price": price}], *hedge(p)[-1:]]
            if p.rng.random() < 0.5:
                steps.insert(0, ["provide", {"market": market, "units": int(p.log(0, 9))}])
            newest: Step = ["push", {"market": market, "answer": max(p.world.newest[market].answer, 1)}]
            return [*steps, ["warp", {"seconds": 301}], newest, *hedge(p)[-1:]]
        case 11 | 12:
            venue = p.rng.randrange(len(p.world.manager.venues))
            steps = [["pause_venue", {"venue": venue, "on": True}], *hedge(p), *recall(p)]
            return [*steps, ["pause_venue", {"venue": venue, "on": False}]]
        case 14:
            terms: dict[str, Any] = {"who": "governor", "of": "rule", "field": "gas_units"}
            usual = p.originals["rule"][0].gas_units
            steps = [["set_parameter", {**terms, "value": 0}], *hedge(p)]
            return [*steps, ["set_parameter", {**terms, "value": usual}]]
        case 15:
            terms = {"who": "governor", "of": "spreads", "field": "deviation", "number": market}
            return [["set_parameter", {**terms, "value": p.rng.choice((0, 10**15, 5 * 10**15))}], *trade_held(p)]
        case 13 if p.rng.random() < 0.3:
            return [["crowd_pools", {"market": market}], *hedge(p)[-1:]]
        case _:
            steps = hedge(p)
            fault: Step = ["break_feed", {"market": 1 - steps[-1][1]["market"] % 2, "fault": "REVERT"}]
            return [*steps[:-1], fault, steps[-1]] if steps[-1][0] == "rebalance" else []


def ruin(p: Planner) -> list[Step]:
    """Prices run against the vault until nothing may be left of it, while somebody waits for his money."""
    market = p.market()
    falls = p.world.inventory.markets[market].delta > 0
    steps = lp_ask(p)
    for number in range(1, 4):
        answer = int(p.world.newest[market].answer * (0.4 if falls else 1.6) ** number)
        steps += [["warp", {"seconds": 60}], ["push", {"market": market, "answer": max(answer, 1)}]]
        steps.append(["sync_all", {"who": "keeper"}])
    left = p.world.vault.epochs.pool.ends_at - p.world.now
    steps.append(["warp", {"seconds": max(left, 1)}])
    for i, newest in enumerate(p.world.newest):
        last = answer if i == market else newest.answer
        steps.append(["push", {"market": i, "answer": max(last, 1)}])
    return [*steps, ["process_epoch", {"who": "keeper"}]]


def ages(p: Planner) -> list[Step]:
    """Somebody holds a position for a lifetime, at the highest rates and prices there are."""
    if p.world.now > LAST_AGE:
        return []
    market = p.market()
    answer = _origin(p, market) * 19
    steps: list[Step] = [
        ["set_parameter", {"who": "governor", "of": "inventory", "field": field, "value": value}]
        for field, value in (("borrow_max", 5 * WAD), ("borrow_kink", 5 * WAD), ("funding_max", 3 * WAD))
    ]
    steps += [["warp", {"seconds": 60}], ["push", {"market": market, "answer": answer}], *trade_held(p), *trade_new(p)]
    again: Step = ["push", {"market": market, "answer": answer}]
    return [*steps, ["warp", {"seconds": 25 * 365 * DAY}], again, ["perp_sync", {"who": "keeper", "market": market}]]


HOSTILE: tuple[tuple[Proposal, int], ...] = (
    (others, 80),
    (meddle, 160),
    (intrusion, 40),
    (offices, 70),
    (doubles, 60),
    (ether, 8),
    (crowd, 12),
    (surroundings, 24),
    (ruin, 3),
    (ages, 2),
)
