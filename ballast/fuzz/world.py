"""The deployed contracts and their exact twin, side by side: what happens to one happens to the other."""

from __future__ import annotations

import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import astuple, dataclass, field, replace
from enum import Flag, auto
from functools import cache
from operator import attrgetter
from random import Random
from typing import TYPE_CHECKING, Any

from eth_account import Account

from ballast import boards
from ballast.chain import Chain, Contract, Receipt, Reverted, RevmChain, Tx
from ballast.chain.aave import ETHER, Aave, Terms
from ballast.chain.uniswap import Pool
from ballast.config import Config
from ballast.config import load as load_config
from ballast.fuzz.desk import Desk
from ballast.fuzz.doubles import Double, NullVenue, WideFeed
from ballast.fuzz.limits import Limits
from ballast.fuzz.shorts import Lender, ShortVenue
from ballast.fuzz.storage import Storage, hashed, slot_of
from ballast.model.exact import aave, hedge
from ballast.model.exact.clearing import Clearinghouse
from ballast.model.exact.close_queue import CloseQueue
from ballast.model.exact.deleverager import Deleverager
from ballast.model.exact.fixed import WAD
from ballast.model.exact.fixed import Reverted as TwinReverted
from ballast.model.exact.global_settlement import GlobalSettlement
from ballast.model.exact.hedge import Rule, VenueParams
from ballast.model.exact.hedge_manager import UNFILLED, HedgeManager, Prices, Venue, route_prices
from ballast.model.exact.inventory import Fall, Inventory
from ballast.model.exact.inventory import Params as InventoryParams
from ballast.model.exact.option_book import OptionBook
from ballast.model.exact.option_engine import OptionEngine, OptionParams
from ballast.model.exact.oracle import ChainlinkFeed, Estimate, Mark, PriceOracle, Response
from ballast.model.exact.oracle import Params as OracleParams
from ballast.model.exact.rebate_auction import Params as AuctionParams
from ballast.model.exact.steward import Steward, Surface
from ballast.model.exact.structs import Change, MarketParams, Quote
from ballast.model.exact.system import System as Twin
from ballast.model.exact.vault import ESCROW, NOWHERE, Valuation, Vault
from ballast.model.exact.vault import Params as VaultParams
from ballast.model.exact.vol_surface import Drift, Update, VolSurface
from ballast.model.roles import NOT_ALLOWED, POWERS, Role, Roles
from ballast.plan import levers
from ballast.system import Sandbox, deploy_system
from ballast.testing.hedge_world import FLOOR_HEALTH, PAUSE_MARKDOWN_BPS, TARGET_HEALTH

if TYPE_CHECKING:
    from ballast.fuzz.ending import Due

ROLES = ("guardian", "feeder", "steward", "keeper")  # whose powers an episode may abuse
TRADERS = ("trader1", "trader2", "trader3")
LPS = ("lp1", "lp2")
ACTORS = (*TRADERS, *LPS, "keeper", "stranger")
WEALTH = 10**15  # [quote] of every actor: nobody ever runs out of tokens
# Keys of those who sign surfaces; the last is never accepted.
FEEDERS = (*boards.FEEDERS, f"0x{14:064x}")
DESK_CASH = 10**9  # [quote] of those who trade greeks
PHASE = 1 << 64  # of a Chainlink proxy that never changed its aggregator
MAX_UINT = 2**256 - 1
ZERO_ADDRESS = "0x" + "00" * 20
NOBODY = "nobody"  # the zero address
GRACE = 3_600  # [s] after a sequencer came back
HEDGES = ("rebalance", "recall", "unwind", "hedge")
WHALE = "0x" + "aa" * 20  # who lends, borrows and liquidates at Aave, with tokens of his own
LENT = 10**8  # [quote] worth of each token that others have lent to Aave at first
LIQUIDATES = ("liquidate", "liquidate_perp", "liquidate_options")

# What a user may be told: a reason in the protocol's own words, a pool's for an average it does not know, or a number
# of Aave's.
REASON = re.compile(r"[a-z0-9 ]+: .+|OLD|[0-9]{1,2}")


@dataclass(frozen=True, slots=True)
class Setup:
    """What a world is made of; an episode draws it, a saved sequence names it."""

    decimals: int = 6  # of the quote token
    token: str = "TestToken"  # the quote token's contract: that one, SilentToken or RudeToken
    doubles: int = 0  # venues beside Uniswap that behave as an action tells them to
    rollup: bool = False  # feeds ask a sequencer's uptime feed; and base is the first token of some pools
    wide: bool = False  # the last market's feed has half-widths
    null: bool = False  # the first market has a venue that never trades, too
    desk: bool = False  # an engine reports greeks of any size
    options: bool = False  # somebody lists and trades options
    feeders: int = 0  # how many must sign a volatility surface, of one more; 0: nobody does
    lending: bool = False  # every market has a venue that borrows from a real Aave, too; with TestToken alone
    compromised: str = ""  # whose power is abused, one of `ROLES`; nobody's

    @classmethod
    def draw(cls, rng: Random, profile: str = "perps") -> Setup:
        """Any of the supported ones; with profile "all" also tokens and venues with bad manners; one in which a role is
        abused where that is the profile."""
        decimals, desk, options = rng.choice((6, 8, 18)), rng.random() < 1 / 4, rng.random() < 1 / 2
        feeders = rng.choice((1, 2) if options else (0, 0, 0, 0, 1, 2))
        lending = rng.random() < 1 / 6
        if profile in ROLES:
            feeders = 2 if profile == "feeder" else feeders
            return cls(decimals, options=options, feeders=feeders, lending=lending, compromised=profile)
        if profile != "all":
            return cls(decimals, desk=desk, options=options, feeders=feeders, lending=lending)
        token = "TestToken" if lending else rng.choice(("TestToken", "SilentToken", "RudeToken", "RudeToken"))
        rollup, wide, null = (rng.random() < 0.3 for _ in range(3))
        return cls(decimals, token, rng.choice((0, 1, 2)), rollup, wide, null, desk, options, feeders, lending)

    @property
    def ground(self) -> Setup:
        """What `deploy` makes of it; `World` adds the rest."""
        return Setup(self.decimals, self.token, rollup=self.rollup)


class Fault(Flag):
    """``ReplayAggregator.Fault``: same order, same bits."""

    REVERT = auto()
    BURN = auto()
    ZERO_ID = auto()


class Manner(Flag):
    """``RudeToken.Manner``: same order, same bits."""

    FEE = auto()
    RETURN_FALSE = auto()
    REENTER = auto()
    BLACKLIST = auto()
    BURN = auto()
    PAUSED = auto()


SHORT_CHANGING = (Manner.FEE | Manner.BURN).value
# How a call ends that a token with a bad manner has spoilt.
SPOILT = (
    "token: paused", "token: blacklisted", "clearing: transfer failed", "clearing: amount received",
    "vault: amount received", "venue: not filled at the limit", "venue: transfer failed",
)  # fmt: skip


class Broken(AssertionError):
    """An invariant does not hold; `name` says which."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(name, message)  # what pickle makes another one of
        self.name = name
        self.message = message

    def __str__(self) -> str:
        return f"{self.name}: {self.message}"

    @property
    def invariant(self) -> str:
        """The id of docs/mechanism.md §9 that the name begins with: several checks may see one fault."""
        return self.name.partition("_")[0]


PURPOSES = {
    "set-up": "deploying a world",
    "planning": "choosing actions",
    "contract": "transactions on the protocol",
    "outside": "time, feeds, pools and gifts, and what else an action does",
    "driver": "all that is not named",
    "read": "the state of the contracts",
    "checks": "I1 to I7",
    "beyond": "I8 to I12, and what else a call owes",
    "standards": "ERC-4626 and ERC-7540",
    "compare": "I13: words and views against the twin",
    "twin": "the same transactions on the twin",
}


@dataclass(slots=True)
class Clock:
    """CPU time spent [s] by purpose: `PURPOSES`.

    Asking for CPU time is a call of the system, so only the outermost blocks do; what is inside shares theirs in
    proportion to the wall clock, which is no different on average however busy the machine is.
    """

    spent: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    _running: list[str] = field(default_factory=list)
    _since: float = 0.0  # wall clock [s]
    _began: tuple[float, float] = (0.0, 0.0)  # the outermost block: CPU time, wall clock [s]
    _inside: dict[str, float] = field(default_factory=lambda: defaultdict(float))  # it, by the wall clock [s]

    def on(self, purpose: str) -> _Span:
        """Account a `with` block to `purpose`, and not to the purpose around it."""
        return _Span(self, purpose)

    def begin(self, purpose: str) -> None:
        """Time runs for `purpose` until `end`."""
        now = time.perf_counter()
        if self._running:
            self._inside[self._running[-1]] += now - self._since
        else:
            self._began = time.process_time(), now
        self._running.append(purpose)
        self._since = now

    def end(self) -> None:
        """Time runs for what was interrupted."""
        now = time.perf_counter()
        self._inside[self._running.pop()] += now - self._since
        self._since = now
        if not self._running:
            cpu, wall = self._began
            share = (time.process_time() - cpu) / max(now - wall, 1e-9)
            for purpose, seconds in self._inside.items():
                self.spent[purpose] += seconds * share
            self._inside.clear()


@dataclass(slots=True)
class _Span:
    """What `Clock.on` enters; a generator would cost as much as what it measures."""

    clock: Clock
    purpose: str

    def __enter__(self) -> None:
        self.clock.begin(self.purpose)

    def __exit__(self, *_: object) -> None:
        self.clock.end()


@dataclass(frozen=True, slots=True)
class Meddling:
    """What the next call has to put up with beside its arguments. It may make the call fail, never end otherwise."""

    gas: int | None = None  # all the gas there is
    manner: int = 0  # flags of RudeToken.Manner
    banned: str = ZERO_ADDRESS  # whom the token does not serve
    target: str = ZERO_ADDRESS  # what token and venues with manners call when they get control
    payload: bytes = b""
    inside: tuple[str, str] = ("", "")  # that call, by contract and function
    vital: frozenset[str] = frozenset()  # contracts without which the token goes nowhere

    @contextmanager
    def during(self, w: World) -> Iterator[None]:
        """For one call; `w.inside` is then the call from inside, if it would have gone through."""
        doubles = [*w.doubles.values(), *([w.rude] if w.rude else [])]
        for double in doubles:
            double.send("prepare", self.target, self.payload)
        if w.rude is not None:
            w.rude.send("behave", self.manner, self.banned)
        yield
        if w.rude is not None:
            w.rude.send("behave", 0, ZERO_ADDRESS)
        w.inside = self.inside if any(double.call("went_through") for double in doubles) else None
        for double in doubles:
            double.send("prepare", ZERO_ADDRESS, b"")

    def excuse(self, outcome: Outcome, involved: set[Any]) -> None:
        """Raise Broken unless a call that should have gone through may have failed because of this.

        Little gas may stop anything. A token stops what moves it, and by a blacklist only those on it. A call from
        inside stops nothing: whoever makes it does not let its failure show."""
        if self.gas is not None:
            return
        if outcome.reason not in SPOILT or self.manner == Manner.REENTER.value:
            raise Broken("i14_a_token_stops_only_what_moves_it", f"{outcome.reason!r}")
        if self.manner == Manner.BLACKLIST.value and self.banned not in involved | self.vital:
            raise Broken("i14_a_blacklist_stops_only_those_on_it", f"{self.banned}: {outcome.reason!r}")


@dataclass(slots=True)
class Outcome:
    """How an action ended on both sides."""

    value: Any = None
    reason: str | None = None  # of the revert
    meddled: bool = False  # it failed because of a Meddling: the twin knows nothing of it

    @property
    def ok(self) -> bool:
        return self.reason is None


@dataclass(frozen=True, slots=True)
class Stayers:
    """What those who hold shares have: NAVs and shares with a virtual token and share."""

    bid: int  # [quote, WAD]
    nav: int  # [quote, WAD]
    shares: int  # [shares, WAD]


@dataclass(slots=True)
class Witness(Inventory):
    """The inventory's twin, which remembers what it answered in the last call."""

    quotes: list[Quote] = field(default_factory=list)
    marks: list[tuple[int, Mark, int]] = field(default_factory=list)  # market, mark and time of each
    changes: list[Change] = field(default_factory=list)  # that it was told of by trades
    released: list[int] = field(default_factory=list)  # beside the quotes [quote, WAD]
    boosts: list[int] = field(default_factory=list)  # that LPs paid on top of each quote's rebate [quote, WAD]

    def trade(self, market: int, mark: Mark, change: Change, now: int) -> Quote:
        known, (_, before) = len(self.released), self.clearinghouse.vault_ledger()
        quote = Inventory.trade(self, market, mark, change, now)
        self.boosts.append(self.clearinghouse.vault_ledger()[1] - before + sum(self.released[known:]))
        self.quotes.append(quote)
        self.marks.append((market, mark, now))
        self.changes.append(change)
        return quote

    def adjust(self, market: int, mark: Mark, change: Change, now: int, *, hedges: bool, moved: int = 0) -> Fall:
        fall = Inventory.adjust(self, market, mark, change, now, hedges=hedges, moved=moved)
        self.released.append(fall.release)
        return fall

    def _sync(self, mask: int, now: int) -> None:
        _, before = self.clearinghouse.vault_ledger()
        Inventory._sync(self, mask, now)
        self.released.append(before - self.clearinghouse.vault_ledger()[1])

    def forget(self) -> None:
        """A new call begins, or the last one was undone."""
        self.quotes = []
        self.marks = []
        self.boosts = []
        self.changes = []
        self.released = []


@dataclass(slots=True)
class _View:
    """A call that is made again and again, and its last answer."""

    tx: Tx
    data: bytes = b""
    value: Any = None


class QuotedMarket:
    """What a venue's pools would do with a trade, by Uniswap's own quoter: it runs the swap and undoes it."""

    def __init__(self, venue: Contract, pools: tuple[Pool, ...]) -> None:
        self.venue = venue
        self.pools = pools

    def best_route(self, size: int) -> int:
        return int(_told(self.venue, "best_route", size))

    def prices(self, route: int) -> Prices:
        spot, twap, fee = _told(self.venue, "prices", route)
        return Prices(spot, twap, fee)

    def buy(self, base_units: int, route: int) -> tuple[int, Prices]:
        return self._swap("quoteExactOutputSingle", base_units, route)

    def sell(self, base_units: int, route: int) -> tuple[int, Prices]:
        return self._swap("quoteExactInputSingle", base_units, route)

    def _swap(self, fn: str, units: int, route: int) -> tuple[int, Prices]:
        """A swap does not move the average of its own block."""
        quote, after = 0, {}
        for tier, part in hedge.parts(route, units):
            pool = self.pools[tier]
            pair = (pool.quote, pool.base) if fn == "quoteExactOutputSingle" else (pool.base, pool.quote)
            try:
                answer = pool.uniswap.quoter.call(fn, (*pair, part, pool.fee, 0))
            except Reverted:
                raise TwinReverted(UNFILLED) from None
            quote += int(answer[0])
            spot = hedge.spot(answer[1], pool.base_is_token0, pool.base_decimals - pool.quote_decimals)
            after[tier] = replace(self.prices(tier), spot=spot)
        return quote, route_prices(route, after.__getitem__)


def _told(contract: Contract, fn: str, *args: Any) -> Any:
    try:
        return contract.call(fn, *args)
    except Reverted as error:
        raise TwinReverted(error.reason) from None


@cache
def fuzz_config(decimals: int = 6) -> Config:
    """networks/local.yaml with a shorter average and epoch, caps that a sequence can reach, and pools liquid at any
    price."""
    config = load_config("local").with_quote_decimals(decimals)
    return config.changed(
        markets=within_reach(config, 5_000_000),
        vault=config.vault.model_dump() | {"epoch_length": 6 * 3_600, "deposit_cap": 60_000_000},
        hedging=config.hedging.model_dump() | {"recall_floor": 10_000},
    )


def within_reach(config: Config, cap_quote: int) -> list[dict[str, Any]]:
    """Its markets with a shorter average, pools liquid at any price, and a cap [quote] that a sequence can reach."""
    markets = []
    for market in config.markets:
        venues = []
        for venue in market.venues:
            assert venue.test_pool is not None
            pool = {"base": 5 * venue.test_pool.base, "width": 40}
            venues.append(venue.model_dump() | {"twap_window": 300, "test_pool": pool})
        perps = market.perps.model_dump() | {"cap_quote": cap_quote}
        markets.append(market.model_dump() | {"venues": venues, "perps": perps})
    return markets


def deploy(setup: Setup, chain: Chain) -> Sandbox:
    """What a world of this setup is built around; a quote token that is not the ordinary one comes before the rest."""
    config = fuzz_config(setup.decimals)
    if setup.token != "TestToken":
        token = chain.deploy(setup.token, setup.decimals)
        config = config.changed(quote=config.quote.model_dump() | {"address": token.address})
    if setup.rollup:
        sequencer = chain.deploy("SequencerFeed")
        sequencer.send("set_status", 0, chain.now - GRACE - 1)
        asked = {"sequencer": sequencer.address, "grace_period": GRACE}
        markets = [market.model_dump() | {"feed": market.feed.model_dump() | asked} for market in config.markets]
        config = config.changed(markets=markets)
    return deploy_system(chain, config)


class World:
    """Contracts, twin, actors, and what the driver knows about tokens that were sent without a call."""

    def __init__(
        self,
        setup: Setup | None = None,
        chain: Chain | None = None,
        clock: Clock | None = None,
        system: Sandbox | None = None,
    ) -> None:
        """On a chain of its own, on this one, or around what `deploy` has just made."""
        self.clock = clock or Clock()
        self.setup = setup or Setup()
        self.system = system or deploy(self.setup, chain or RevmChain())
        self.chain = self.system.chain
        self.config = self.system.config
        self.actors = dict(zip(ACTORS, self.chain.accounts[1:], strict=False))
        self.actors |= {"governor": self.system.governor, "guardian": str(self.system.guardian)}
        self.rude = self.chain.at("RudeToken", self.system.quote) if self.setup.token == "RudeToken" else None
        assert self.config.steward is not None
        self.actors["steward"] = str(self.config.steward.key)
        self.actors |= {"token": self.system.quote.address, NOBODY: ZERO_ADDRESS}
        self.unit = 10**self.setup.decimals  # [token units] of one quote
        asked = self.config.markets[0].feed.sequencer
        self.sequencer = self.chain.at("SequencerFeed", asked) if asked else None
        self.up_since: int | None = 0  # [s] None while the sequencer is down or does not answer
        self.contracts = {
            "clearinghouse": self.system.clearinghouse,
            "auction": self.system.auction,
            "inventory": self.system.inventory,
            "perp_engine": self.system.perp_engine,
            "margin": self.system.margin,
            "hedge_manager": self.system.hedge_manager,
            "mandates": self.system.mandates,
            "carry": self.system.carry,
            "vault": self.system.vault,
            "oracle": self.system.oracle,
            "surface": self.system.surface,
            "pricer": self.system.pricer,
            "option_book": self.system.option_book,
            "option_engine": self.system.option_engine,
            "liquidator": self.system.liquidator,
            "deleverager": self.system.deleverager,
            "close_queue": self.system.close_queue,
            "global_settlement": self.system.global_settlement,
            **{f"venue{i}": venue for market in self.system.markets for i, venue in _venues(market)},
        }
        self.donated: Counter[str] = Counter()  # quote token units that each contract was sent without a call
        self.feeds: list[ChainlinkFeed] = []
        self.rounds: list[int] = []
        self.history: list[dict[int, Response]] = []  # every round of a feed by id
        self.newest: list[Response] = []
        self.faults: list[Fault] = []
        self.touched: set[str] = set()  # actors whose words the last action may have changed
        self.outcomes: list[Outcome] = []  # of the last action
        self.churns = 0  # experiments in which a hedge went through (I10), since `reach` last asked
        self.malice = 0  # moves of keepers who mean harm, since `reach` last asked
        self.hedges = 0  # rebalances and recalls that went through
        self.flipped = False  # the last trade took a position through zero
        self.actions = 0  # so far
        self.flows: Counter[str] = Counter()  # of the reserve since the start: charges, rebates, releases [quote, WAD]
        self.last = ""  # action
        self.stayers: Stayers | None = None  # before it, where I7 speaks of it
        self.owned: int | None = None  # by LPs and the reserve before a step at a venue [quote, WAD]
        self.valued: Valuation | None = None  # see `valuation`
        self.gas_used: dict[str, int] = {}  # by an action's last call that went through
        self.meddling: Meddling | None = None  # with the next call
        self.meddled: Meddling | None = None  # with the last call
        self.operators: set[tuple[str, str, str]] = set()  # contract, owner, operator
        self.allowances: Counter[tuple[str, str]] = Counter()  # of shares [WAD], by owner and spender
        self.inside: tuple[str, str] | None = None  # what would have gone through from inside the last meddled call
        self.doubles: dict[int, Contract] = {}  # HedgeVenueDouble by venue id
        self.shorts: list[int] = []  # venue ids of those that borrow
        self.aave: Aave | None = None
        self.opened_at: int | None = None  # the auction that is open [s]
        self.boosted: list[tuple[int, int]] = []  # when [s] LPs paid what [quote, WAD] on top of rebates, for a day
        self.largest_budget = 0  # of the auction [quote, MICRO a day]
        self.mandated: dict[int, int] = {}  # filled by each mandate [quote, WAD of WAD]
        self.liquidated = False  # by a stranger there: a venue, since `reach` last asked
        self.mispriced = False  # Aave has had other prices than the markets' feeds
        self.wide: Contract | None = None  # WideFeed of the last market, and its twin
        self.wide_twin: WideFeed | None = None
        self.desk: Desk | None = None  # who trades greeks, if anybody
        self.recomputed: dict[int, Any] = {}  # boards as they were when their totals were last recomputed
        self.moved: list[tuple[int, int]] = []  # positions before and after the last option trade [lots]
        self.was_due = False  # its board, before it
        self.round_trips = 0  # experiments in which options were traded and traded back
        self.calendars = 0  # pairs of expiries whose prices were compared
        self.posted: dict[int, list[Update]] = defaultdict(list)  # the last updates of each surface
        self.listed: dict[tuple[int, int], None] = {}  # market and expiry of every board there ever was
        self.asked: dict[tuple[str, str, int], int] = {}  # time of the round that each request to close knew [s]
        self.born = self.now  # [s] when the sequence began
        self.abuses = 0  # actions of a role that is abused, that went through
        self.abused: dict[str, int] = defaultdict(int)  # what LPs lost by them, and what they may have [quote, WAD]
        self.drifted: dict[tuple[int, int], int] = defaultdict(int)  # how far the steward's key has moved each lever
        self.due: dict[str, Due] = {}  # what accounts with positions owned when the system was frozen, by address
        self._views: dict[tuple[Any, ...], _View] = {}
        self.twin = self._build_twin()
        if self.setup.desk:
            self.desk = self._open_desk()
        if self.setup.feeders == 1:
            self._change_feeders()
        self.roles = self._read_roles()
        for number in range(self.setup.doubles):
            self._list_double(number % len(self.feeds))
        if self.setup.null:
            null = self.chain.deploy("NullVenue")
            self._list(null, NullVenue.of(0, self.scale, VenueParams(*self.config.markets[0].venues[0].params())))
        if self.setup.lending:
            self._open_aave()
        if self.setup.wide:
            self._widen(len(self.feeds) - 1)
        self._fund_actors()
        if self.desk is not None:
            self.system.clearinghouse.send(
                "deposit", DESK_CASH * self.unit, self.desk.account, sender=self.actors["stranger"]
            )
            self.twin.clearinghouse.deposit(DESK_CASH * self.unit, self.desk.account)
        self.storage = Storage(self)

    # ---- reading

    @property
    def now(self) -> int:
        return self.chain.now

    @property
    def scale(self) -> int:
        return self.twin.clearinghouse.scale

    @property
    def vault(self) -> Vault:
        assert self.twin.vault is not None
        return self.twin.vault

    @property
    def manager(self) -> HedgeManager:
        assert self.twin.hedge_manager is not None
        return self.twin.hedge_manager

    @property
    def surface(self) -> VolSurface:
        assert self.twin.surface is not None
        return self.twin.surface

    @property
    def book(self) -> OptionBook:
        assert self.twin.option_book is not None
        return self.twin.option_book

    @property
    def options(self) -> OptionEngine:
        assert self.twin.option_engine is not None
        return self.twin.option_engine

    @property
    def inventory(self) -> Witness:
        assert isinstance(self.twin.inventory, Witness)
        return self.twin.inventory

    @property
    def quotes(self) -> list[Quote]:
        """What Inventory answered in the last action."""
        return self.inventory.quotes

    @property
    def changes(self) -> list[Change]:
        """What Inventory was told by the trades of the last action."""
        return self.inventory.changes

    @property
    def frozen(self) -> bool:
        """Whether global settlement has begun: nothing has a price any more."""
        return self.twin.clearinghouse.frozen

    @property
    def deleverager(self) -> Deleverager:
        assert self.twin.deleverager is not None
        return self.twin.deleverager

    @property
    def queue(self) -> CloseQueue:
        assert self.twin.close_queue is not None
        return self.twin.close_queue

    @property
    def settlement(self) -> GlobalSettlement:
        assert self.twin.global_settlement is not None
        return self.twin.global_settlement

    def double(self, venue: int) -> Double:
        """The twin of a venue that behaves as it is told."""
        twin = self.manager.venues[venue]
        assert isinstance(twin, Double)
        return twin

    def short(self, venue: int) -> ShortVenue:
        """The twin of a venue that borrows."""
        twin = self.manager.venues[venue]
        assert isinstance(twin, ShortVenue)
        return twin

    def forget_aave(self) -> None:
        """Something has happened there, or to prices."""
        for venue in self.shorts:
            self.short(venue).lender.forget()

    def prices(self) -> list[int]:
        """What the oracle would record now, by market [quote/base, WAD]."""
        return [self.twin.oracle.peek(market, self.now).price for market in range(len(self.feeds))]

    def valuation(self) -> Valuation:
        """What LP prices are, as the twin has it: computed once until something happens."""
        if self.valued is None:
            self.valued = self.vault.valuation(self.now)
        return self.valued

    def price(self, market: int) -> int:
        """What the feed says now [quote/base, WAD], 0 if nothing good."""
        return self.feeds[market].latest(self.now).price

    def key(self, name: str) -> str:
        """What the twin calls an actor."""
        if name == "vault":
            return ESCROW
        return NOWHERE if name == NOBODY else self.address(name)

    def address(self, name: str) -> str:
        """Of an actor or a contract."""
        return self.actors.get(name) or self.contracts[name].address

    def view(self, contract: Contract, fn: str, *args: Any) -> Any:
        """What a view answers; encoded once, decoded only when the answer is another one."""
        key = (contract.address, fn, args)
        seen = self._views.get(key)
        if seen is None:
            seen = self._views[key] = _View(contract.tx(fn, *args))
        data = self.chain.read(seen.tx)
        if data != seen.data:
            assert seen.tx.function is not None
            seen.data, seen.value = data, seen.tx.function.decode(data)
        return seen.value

    # ---- acting

    def do(
        self,
        contract: Contract,
        fn: str,
        *args: Any,
        sender: str,
        twin: Callable[[Twin], Any],
        touches: tuple[str, ...] = (),
    ) -> Outcome:
        """Act on twin and contract: same success, same result, same reason. The twin goes first, because what it asks
        of the outside world must be asked before the contract changes it."""
        expected, outcome = Outcome(), Outcome()
        meddling, self.meddling = self.meddling, None
        self.meddled = meddling
        if meddling is not None and meddling.manner & SHORT_CHANGING and fn in HEDGES:
            meddling = None  # what a hedge brings would be another, which the twin cannot know
        limits = Limits.of(self) if self._acts_as_guardian(contract, fn, sender) else None
        kept = (self.twin.fork(), Counter(self.flows), deepcopy(self.roles)) if meddling else None
        self.inventory.forget()
        with self.clock.on("twin"):
            try:
                self._check_role(contract, fn, sender)
                expected.value = self.twin.attempt(twin)
                self._book_flows(expected.value)
            except TwinReverted as error:
                expected.reason = str(error)
                self.inventory.forget()
        with self.clock.on("contract"), meddling.during(self) if meddling else nullcontext():
            try:
                gas = meddling.gas if meddling else None
                receipt = contract.send(fn, *args, sender=self.actors[sender], gas=gas)
                outcome.value, self.gas_used[self.last] = receipt.value, receipt.gas_used
                if fn in LIQUIDATES:
                    self.flows["unpaid"] += self._unpaid(receipt)
            except Reverted as error:
                outcome.reason = error.reason
        if meddling is not None and kept is not None and not outcome.ok:
            # nothing has happened, whatever the twin thinks
            if expected.ok:
                meddling.excuse(outcome, {self.actors[sender], *(each for each in args if isinstance(each, str))})
            self.twin, self.flows, self.roles = kept
            self.inventory.forget()
            self.outcomes.append(replace(outcome, meddled=True))
            return self.outcomes[-1]
        what = f"{contract.artifact.name}.{fn}"
        if outcome.reason != expected.reason:
            raise Broken("i13_same_outcome", f"{what}: contract {_ending(outcome)}, twin {_ending(expected)}")
        # a double need not give a reason, nor need Aave where a feed has no price
        at_venue = fn == "drop_collateral" or (fn in HEDGES and self._is_foreign(args[fn == "hedge"]))
        outside = outcome.reason == "" and at_venue
        if outcome.reason is not None and not outside and not REASON.fullmatch(outcome.reason):
            raise Broken("every_refusal_has_a_reason", f"{what} reverts with {outcome.reason!r}")
        if expected.value is not None and outcome.ok and outcome.value != plain(expected.value):
            raise Broken("i13_same_outcome", f"{what}: contract {outcome.value}, twin {expected.value}")
        if limits is not None and (looser := Limits.of(self).looser(limits)):
            raise Broken("i12_guardian_only_tightens", f"{what} by {sender}: {'; '.join(looser)}")
        self._compare_lenders()
        self.hedges += outcome.ok and fn in HEDGES
        self.touched.update((sender, *touches))
        self.outcomes.append(expected)
        return expected

    def _is_foreign(self, venue: int) -> bool:
        return venue in self.doubles or venue in self.shorts

    def _compare_lenders(self) -> None:
        """Aave now says of every venue what the twin was told that it would."""
        self.forget_aave()
        for venue in self.shorts:
            twin = self.short(venue)
            told, twin.told = twin.told, None
            if told is not None and told != (seen := twin.lender.standing()):
                raise Broken("i13_aave_is_as_told", f"venue {venue}: {seen}, told {told}")

    def _check_role(self, contract: Contract, fn: str, sender: str) -> None:
        """A privileged function refuses whoever has none of its flags."""
        name = contract.artifact.name
        if (name, fn) == ("Mandates", "revoke"):  # an agent's, too: the twin says
            return
        allowed = POWERS[name].get(fn) if name in POWERS else None
        if allowed is not None and not self.roles[name].may(self.actors[sender], allowed):
            raise TwinReverted(NOT_ALLOWED)

    def _acts_as_guardian(self, contract: Contract, fn: str, sender: str) -> bool:
        """Whether the sender may call a privileged function for being guardian of the contract and nothing more."""
        name = contract.artifact.name
        if name not in POWERS or fn not in POWERS[name]:
            return False
        held = self.roles[name].held.get(self.actors[sender], Role(0))
        return bool(held & Role.GUARDIAN and not held & ~Role.GUARDIAN & POWERS[name][fn])

    def _book_flows(self, value: Any) -> None:
        """Add what the reserve gained and paid in the last call."""
        for quote in self.inventory.quotes:
            self.flows["charges" if quote.charge > 0 else "rebates"] += abs(quote.charge)
            self.flows["releases"] += quote.release
        self.flows["releases"] += sum(self.inventory.released)
        self.flows["subsidies"] += sum(self.inventory.boosts)
        if isinstance(value, hedge.Outcome):
            self.flows["releases"] += value.released

    def _unpaid(self, receipt: Receipt) -> int:
        """What Inventory asked for in a liquidation and the engines' events do not show as paid [quote, WAD]."""
        engines = [self.system.perp_engine, self.system.option_engine]
        paid = sum(trade.charge for engine in engines for trade in receipt.find("Trade", engine))
        return sum(quote.charge for quote in self.inventory.quotes) - int(paid)

    # ---- building

    def _read_roles(self) -> dict[str, Roles]:
        """Who may do what at each contract, by the contract's name: what the deployment left behind."""
        tables = {}
        everybody = [*self.chain.accounts, *self.actors.values(), *(each.address for each in self.contracts.values())]
        for contract in (*self.contracts.values(), self.system.steward):
            if contract.artifact.name in POWERS:
                slot = slot_of(contract, "roles", "roles_of")
                words = self.chain.words([(contract.address, hashed(slot, who)) for who in everybody])
                held = dict(zip(everybody, map(Role, words), strict=True))
                tables[contract.artifact.name] = Roles(contract.call("admin"), held=held)
        return tables

    def _list_double(self, market: int) -> None:
        """A venue that behaves as it is told, honest at first."""
        venue_id, price = len(self.manager.venues), self.twin.oracle.last(market, self.now).price
        clearinghouse, quote = self.system.clearinghouse, self.system.quote
        double = self.chain.deploy("HedgeVenueDouble", clearinghouse, quote, self.scale, price)
        params = VenueParams(*self.config.markets[market].venues[0].params())
        params = replace(params, haircut_bps=2 * (venue_id % 2))  # more, and no hedge there pays
        self._list(double, Double.honest(market, self.scale, params, price))
        self.doubles[venue_id] = double

    def _list(self, contract: Contract, twin: Venue) -> None:
        """One more venue."""
        listing = contract, twin.market, astuple(twin.params)
        self.contracts[f"venue{len(self.manager.venues)}"] = contract
        self.system.hedge_manager.send("list_venue", *listing, sender=self.actors["governor"])
        self.manager.list_venue(twin)

    def _open_aave(self) -> None:
        """Aave with plenty of each token, the markets' own feeds for prices, and a venue for each market."""
        system = self.system
        dollar = self.chain.deploy("ReplayAggregator", 8)
        dollar.send("push", 10**8, self.now)
        assets = {system.quote: (dollar, Terms())}
        bases = [market.base for market in system.markets if market.base is not None]
        for base, aggregator in zip(bases, system.aggregators, strict=True):
            assets[base] = (aggregator, ETHER)
        lender = self.aave = Aave.deploy(self.chain, assets)
        lender.supply(system.quote, LENT * self.unit, owner=WHALE)
        assert system.uniswap is not None
        for market, base in enumerate(bases):
            price = self.twin.oracle.last(market, self.now).price
            base_scale = 10 ** (18 - int(base.call("decimals")))
            lender.supply(base, LENT * WAD // price * WAD // base_scale, owner=WHALE)
            spot = self.config.markets[market].venues[0]
            venue = self.chain.deploy(
                "AaveShortVenue", system.hedge_manager, system.clearinghouse, base, system.uniswap.router, spot.fees,
                spot.twap_window, lender.pool, TARGET_HEALTH, FLOOR_HEALTH, PAUSE_MARKDOWN_BPS,
            )  # fmt: skip
            terms = aave.Venue(self.scale, base_scale, TARGET_HEALTH, FLOOR_HEALTH, PAUSE_MARKDOWN_BPS)
            outside = QuotedMarket(venue, system.pools[market])
            self.shorts.append(len(self.manager.venues))
            self._list(venue, ShortVenue(
                market, base_scale, self.scale, outside, VenueParams(*spot.params()), terms=terms,
                lender=Lender(lender, venue, base, system.quote),
            ))  # fmt: skip

    def _widen(self, market: int) -> None:
        """A feed with half-widths in the place of the market's, which are zero at first."""
        oracle, governor = self.system.oracle, self.actors["governor"]
        self.wide = self.chain.deploy("WideFeed", self.system.markets[market].feed)
        self.chain.warp(1)  # what replaces a feed says something newer
        answer = self.newest[market].answer
        self.system.aggregators[market].send("push", answer, self.now)
        self.set_feed(market, answer, self.now)
        params = replace(self.twin.oracle.markets[market].params, has_half_width=True)
        oracle.send("set_params", market, astuple(params), sender=governor)
        self.twin.oracle.set_params(market, params)
        oracle.send("set_feed", market, self.wide, sender=governor)
        self.wide_twin = WideFeed(self.feeds[market])
        self.twin.oracle.set_feed(market, self.wide_twin, self.now)

    def _open_desk(self) -> Desk:
        """An engine that reports greeks."""
        system = self.system
        engine = self.chain.deploy("OptionEngineDouble", system.clearinghouse, system.inventory, system.oracle)
        for contract in (system.clearinghouse, system.inventory):
            contract.send("grant_role", engine, Role.ENGINE.value, sender=self.actors["governor"])
        self.contracts["desk"] = engine
        return Desk(engine.address)

    def _change_feeders(self) -> None:
        """One of two instead of two of three."""
        governor, surface = self.actors["governor"], self.system.surface
        surface.send("set_signer", str(Account.from_key(FEEDERS[2]).address), False, sender=governor)
        surface.send("set_threshold", 1, sender=governor)

    def _build_twin(self) -> Twin:
        config, system = self.config, self.system
        ledger = Clearinghouse(int(system.clearinghouse.call("scale")))
        ledger.insurance_share_bps, ledger.liquidator_share_bps, ledger.lp_share_bps = config.clearing.shares()
        oracle = PriceOracle()
        inventory = Witness(oracle, ledger, InventoryParams.of(config.inventory.params()))
        manager = HedgeManager(ledger, inventory, oracle, Rule(*config.hedging.rule(config.gas_market)))
        twin = Twin.build(
            scale=ledger.scale, oracle=oracle, inventory=inventory, clearinghouse=ledger, hedge_manager=manager,
            surface=VolSurface(),
        )  # fmt: skip
        assert twin.surface is not None
        assert twin.option_engine is not None
        for market, handle in zip(config.markets, system.markets, strict=True):
            assert market.feed.test is not None
            aggregator = system.aggregators[handle.id]
            newest = aggregator.call("getRoundData", aggregator.call("latestRound"))
            self.rounds.append(newest[0] - PHASE)
            self.newest.append(Response(*newest[:4]))
            rounds = range(PHASE + 1, newest[0] + 1)
            self.history.append({each: Response(*aggregator.call("getRoundData", each)[:4]) for each in rounds})
            self.faults.append(Fault(0))
            feed = ChainlinkFeed(market.feed.test.decimals, self.newest[-1], rounds=self.history[-1])
            if self.sequencer is not None:
                feed.has_sequencer, feed.grace_period = True, market.feed.grace_period
                feed.sequencer = Response(*self.sequencer.call("latestRoundData")[:4])
            self.feeds.append(feed)
            listed = int(system.perp_engine.call("book", handle.id).time)
            oracle.list_market(feed, _oracle_params(market.oracle.params()), self.now)
            self._adopt_round(oracle, handle.id)
            inventory.set_market_params(handle.id, market.inventory.params())
            twin.perp_engine.list_market(handle.id, MarketParams(*market.perps.params()), listed)
            assert market.options is not None
            twin.surface.drift[handle.id] = Drift(*market.options.drift.params())
            twin.option_engine.set_params(handle.id, OptionParams(*market.options.params()))
            for number, venue in enumerate(market.venues):
                outside = QuotedMarket(handle.venues[number], system.pools[handle.id])
                base_scale = 10 ** (18 - int(handle.base.call("decimals"))) if handle.base else 1
                manager.list_venue(Venue(handle.id, base_scale, ledger.scale, outside, VenueParams(*venue.params())))
        assert twin.option_book is not None
        vault = Vault.build(ledger, inventory, oracle, twin.perp_engine, twin.option_book, manager, self.now)
        vault.params = VaultParams(*config.vault.params())
        vault.epochs.pool.ends_at = int(system.vault.call("epoch").ends_at)
        twin.vault = vault
        twin.wire()
        assert twin.auction is not None
        assert twin.deleverager is not None
        assert twin.close_queue is not None
        twin.auction.set_params(AuctionParams(*config.auction.params()))
        winners = twin.deleverager
        winners.trigger_bps, winners.target_bps, winners.reward = config.deleveraging.params()
        (twin.close_queue.fee,) = config.close_queue.params()
        twin.steward = self._build_steward()
        twin.wire()
        return twin

    def _build_steward(self) -> Steward:
        """What the deployment has let it move; `wire` says how it reads and writes."""
        steward, found = self.system.steward, levers(self.config)
        twin = Steward(lambda target: (), lambda target, data, now: None, self.actors["steward"], steward.call("nonce"))
        for i, each in enumerate(found):
            twin.surfaces.append(Surface((each.surface.name, each.key), each.surface.followers))
            for word, lever in each.by_word.items():
                twin.levers[i, word], twin.moved_at[i, word] = lever, steward.call("moved_at", i, word)
        return twin

    def _adopt_round(self, oracle: PriceOracle, market: int) -> None:
        """The oracle recorded its first round when it was listed, before the driver was there."""
        last, estimate = self.system.oracle.call("last", market), self.system.oracle.call("estimate", market)
        stored = oracle.markets[market]
        stored.mark = Mark(**(last._asdict() | {"sigma": stored.mark.sigma, "fresh": False}))
        stored.estimate = Estimate(*estimate)

    def set_feed(self, market: int, answer: int, updated_at: int) -> None:
        """Remember a new round, for the twin."""
        self.rounds[market] += 1
        self.newest[market] = Response(PHASE + self.rounds[market], answer, updated_at, updated_at)
        self.history[market][PHASE + self.rounds[market]] = self.newest[market]
        self.set_fault(market, self.faults[market])

    def move_pools(self, market: int, price: int) -> None:
        """Real swaps to this price [quote/base, WAD], to the lowest there is if it is none or less.

        Uniswap refuses those that meet no liquidity at all.
        """
        price = max(price, 1)
        for pool in self.system.pools[market]:
            try:
                pool.arbitrage_to(price, trader=self.actors["stranger"])
            except Reverted:
                if pool.contract.call("liquidity") != 0:
                    raise

    def set_uptime(self, answer: int, started_at: int) -> None:
        """What the sequencer's feed says from now on, for the twin; answers other than 0 and 1 are no answer."""
        self.up_since = started_at if answer == 0 and started_at > 0 else None
        for feed in self.feeds:
            feed.sequencer = Response(1, answer, started_at, self.now) if answer in (0, 1) else None

    def set_width(self, width_bps: int) -> None:
        """How wide the last market's rounds are from now on, for the twin."""
        assert self.wide_twin is not None
        self.wide_twin.width_bps = width_bps

    def set_fault(self, market: int, fault: Fault) -> None:
        """What the twin's feed gets to hear from the aggregator, through the proxy."""
        self.faults[market] = fault
        newest = self.newest[market]
        if fault is Fault.ZERO_ID:  # to which the proxy adds its phase
            newest = replace(newest, round_id=PHASE)
        self.feeds[market].upstream = newest if fault in (Fault(0), Fault.ZERO_ID) else None
        self.feeds[market].rounds = {} if fault else self.history[market]

    def _fund_actors(self) -> None:
        system, units = self.system, WEALTH * self.unit
        for name in ACTORS:
            owner = self.actors[name]
            system.quote.send("mint", owner, units)
            for spender in (system.vault, system.clearinghouse):
                system.quote.send("approve", spender, MAX_UINT, sender=owner)
        for market in system.markets:
            if market.base is not None:
                market.base.send("mint", self.actors["stranger"], WEALTH * WAD)
        if self.rude is not None:  # what it tries from inside may well be within its means
            system.quote.send("mint", system.quote, units)
            for spender in (system.vault, system.clearinghouse):
                self.rude.send("trust", spender)


def _oracle_params(params: tuple[int | bool, ...]) -> OracleParams:
    fields = OracleParams.__dataclass_fields__
    return OracleParams(**dict(zip(fields, params, strict=True)))  # type: ignore[arg-type]


def _venues(market: Any) -> Iterator[tuple[int, Contract]]:
    return iter(zip(market.venue_ids, market.venues, strict=True))


def _ending(outcome: Outcome) -> str:
    return f"answers {outcome.value}" if outcome.ok else f"reverts with {outcome.reason!r}"


_getters: dict[type, Callable[[Any], Any]] = {}


def plain(value: Any) -> Any:
    """A twin's answer as the ABI decodes it: dataclasses become tuples."""
    kind = type(value)
    if kind is int or kind is bool or kind is tuple:
        return value
    getter = _getters.get(kind)
    if getter is None:
        names = tuple(kind.__dataclass_fields__)
        getter = _getters[kind] = attrgetter(*names)
    return getter(value)
