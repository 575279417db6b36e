"""Reads what `decide` needs at one block: its number, then nearly everything in one batch.

What governance rarely changes (venues, boards, parameters, the rule) is read once and again every `REFRESH` seconds
of chain time; who has positions is learnt from the Clearinghouse's events. The rest is read afresh at a pinned block.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import structlog

from ballast.chain import Chain, Contract, Log, Reverted, Tx, address_of
from ballast.chain.artifacts import load, npm
from ballast.chain.rpc import RpcChain, RpcError, log_of
from ballast.keeper import backstop
from ballast.keeper.backstop import Request
from ballast.keeper.hermes import NoUpdate, Source
from ballast.keeper.state import (
    Account,
    Auction,
    Board,
    Epoch,
    Leg,
    Lender,
    Mandate,
    Market,
    OptionLeg,
    OptionRule,
    Route,
    Rule,
    SignedPrice,
    State,
    Venue,
)
from ballast.model.analytic.potential import Weights
from ballast.model.exact.aave import ACTIVE, FROZEN, PAUSED
from ballast.model.exact.fixed import YEAR
from ballast.model.exact.margin import exit_cost, required, value
from ballast.model.exact.option_book import key_of
from ballast.options.rounds import settling_round

WAD = 1e18
MICRO = 1e-6
CAPITAL_FLOOR = 1_000.0  # [quote] contracts/inventory/Inventory.vy
REFRESH = 600  # [s of chain time]
OVERLAP = 8  # [blocks] that may be replaced, and are read again
LOG_RANGE = 5_000  # [blocks] per eth_getLogs
OPTION_BIT = 16  # of an account's mask, contracts/constants.vy: from here on it names markets with options
MARKETS = 2**OPTION_BIT - 1

log = structlog.get_logger(__name__)

RAY = 1e27
THRESHOLD = 16, 2**16 - 1  # in Aave's word of a reserve, place and mask: debt beyond this share [bps] is liquidated

_POOL = "@uniswap/v3-core/artifacts/contracts/UniswapV3Pool.sol/UniswapV3Pool.json"
_AAVE = "@aave/core-v3/artifacts/contracts/interfaces/IPool.sol/IPool.json"
_TOKEN = "@aave/core-v3/artifacts/contracts/dependencies/openzeppelin/contracts/IERC20Detailed.sol/IERC20Detailed.json"


_SPOT_VIEWS = ("routes", "BASE_IS_TOKEN0")
_LENDING_VIEWS = ("AAVE", "TARGET_HEALTH", "FLOOR_HEALTH", "QUOTE", "BASE", "A_QUOTE", "A_BASE", "DEBT")


class System(backstop.System, Protocol):
    """The contracts a keeper talks to."""

    @property
    def oracle(self) -> Contract: ...
    @property
    def surface(self) -> Contract: ...
    @property
    def auction(self) -> Contract: ...
    @property
    def inventory(self) -> Contract: ...
    @property
    def perp_engine(self) -> Contract: ...
    @property
    def option_engine(self) -> Contract: ...
    @property
    def option_book(self) -> Contract: ...
    @property
    def hedge_manager(self) -> Contract: ...
    @property
    def mandates(self) -> Contract: ...
    @property
    def carry(self) -> Contract: ...
    @property
    def vault(self) -> Contract: ...


@dataclass(slots=True)
class Book:
    """Who has positions: masks by account, as of the last block scanned."""

    masks: dict[str, int] = field(default_factory=dict)
    scanned: int = -1  # last block
    settled: set[tuple[int, int]] = field(default_factory=set)  # boards not cleared yet: market, expiry
    requests: set[Request] = field(default_factory=set)  # closes that wait
    claimants: set[str] = field(default_factory=set)  # accounts with a profit at global settlement

    def copy(self) -> Book:
        """Another that says the same."""
        return Book(dict(self.masks), self.scanned, set(self.settled), set(self.requests), set(self.claimants))

    def take(self, account: str, mask: int) -> None:
        """An account's markets after a settlement."""
        if mask:
            self.masks[account] = mask
        else:
            self.masks.pop(account, None)


@dataclass(frozen=True, slots=True)
class _Pool:
    contract: Contract
    fee: float  # [fraction]


@dataclass(frozen=True, slots=True)
class _Lending:
    """An AaveShortVenue's side of Aave."""

    aave: Contract
    quote: Contract
    base: Contract
    a_quote: Contract
    a_base: Contract
    debt: Contract
    base_scale: int  # [WAD per token unit]
    target: float  # health that a step aims at
    floor: float  # health below which anybody may close

    def txs(self, venue: Contract) -> list[Tx]:
        """What `_lender` makes a `Lender` of."""
        return [
            venue.tx("health"),
            venue.tx("strain"),
            self.a_quote.tx("balanceOf", venue),
            self.debt.tx("balanceOf", venue),
            self.quote.tx("balanceOf", self.a_quote),
            self.base.tx("balanceOf", self.a_base),
            self.aave.tx("getReserveData", self.quote),
            self.aave.tx("getReserveData", self.base),
        ]


@dataclass(frozen=True, slots=True)
class _VenueSetup:
    id: int
    market: int
    contract: Contract
    pools: tuple[_Pool, ...]
    base_is_token0: bool
    lending: _Lending | None
    params: Any
    paused: bool
    retired: bool

    def txs(self, price: int) -> list[Tx]:
        """What `_venue` makes a `Venue` of; the price is that of its equity [quote/base, WAD]."""
        calls = [self.contract.tx("exposure"), self.contract.tx("equity", price)]
        for index, pool in enumerate(self.pools):
            calls += [
                self.contract.tx("prices", index), pool.contract.tx("slot0"), pool.contract.tx("liquidity"),
            ]  # fmt: skip
        return calls + (self.lending.txs(self.contract) if self.lending is not None else [])


@dataclass(frozen=True, slots=True)
class _PullFeed:
    market: int
    contract: Contract
    id: str  # Pyth's
    first: bool  # it is the market's first feed, which settles


@dataclass(frozen=True, slots=True)
class _Setup:
    """What rarely changes."""

    read_at: int  # [s]
    market_count: int
    weights: Weights
    sweep_age: int
    vol_of_vol: tuple[float, ...]
    venues: tuple[_VenueSetup, ...]
    terms: Any
    scale: int  # [WAD per token unit]
    margin: Contract
    option_rules: dict[int, OptionRule]  # by market; those without options are not there
    listed: tuple[tuple[int, int], ...]  # boards: market, expiry
    mandates: tuple[int, ...]  # of the sender, that are not over
    pulled: tuple[_PullFeed, ...]  # none without a source of updates


@dataclass(frozen=True, slots=True)
class _Head:
    number: int
    now: int  # [s]
    base_fee: int  # [wei]


class Observer:
    """Turns a chain into a `State`.

    With a `sender` and `take` [quote] also what liquidations would do that it takes into its own account, while what
    that holds comes to no more; with `wind_down` whether global settlement could be triggered; with `prices` which
    signed prices could be brought.
    """

    def __init__(
        self,
        chain: Chain,
        system: System,
        book: Book | None = None,
        *,
        sender: str | None = None,
        take: float = 0.0,
        wind_down: bool = False,
        prices: Source | None = None,
    ) -> None:
        self.chain = chain
        self.system = system
        self.base = book or Book()  # of blocks that will not be replaced; the journal keeps it over restarts
        self.book = self.base.copy()  # as of the newest block
        self.sender = None if sender is None else address_of(sender)
        self.take = take
        self.wind_down = wind_down
        self.prices = prices
        self._setup: _Setup | None = None
        self._prices: list[int] = []  # [quote/base, WAD] when it looked last
        self._caught_up = False

    def observe(self) -> State:
        """The world at the newest block."""
        head = self._head()
        setup = self._setup
        if setup is None or head.now - setup.read_at >= REFRESH:
            setup = self._setup = self._read_setup(head)
        return self._state(head, setup)

    def forget_setup(self) -> None:
        """Read parameters again next time."""
        self._setup = None

    # ---- reading

    def _head(self) -> _Head:
        """The newest block; who has positions is known up to it afterwards."""
        chain, base, s = self.chain, self.base, self.system
        told = [s.clearinghouse, s.option_engine, s.close_queue, s.global_settlement]
        if not isinstance(chain, RpcChain):
            head = _Head(chain.number, chain.now, 0)
            # the newest block may still grow: it is read again next time
            self._learn(chain.logs(told, base.scanned + 1, head.number), head.number - 1, head.number)
            return head
        calls: list[tuple[str, Sequence[Any]]] = [("eth_getBlockByNumber", ("latest", False))]
        if self._caught_up:
            span = {
                "address": [contract.address for contract in told],
                "fromBlock": hex(max(0, base.scanned)),  # known: a range may not begin after the head
                "toBlock": "latest",
            }
            calls.append(("eth_getLogs", (span,)))
        try:
            block, *rest = chain.request_many(calls)
        except RpcError:
            self._caught_up = False  # the range may have grown too long: in pieces next time
            raise
        head = _Head(int(block["number"], 16), int(block["timestamp"], 16), int(block.get("baseFeePerGas", "0x0"), 16))
        logs = [log_of(log) for log in rest[0]] if rest else []
        deep = head.number - OVERLAP
        if not rest:
            while base.scanned + LOG_RANGE < head.number:
                last = min(deep, base.scanned + LOG_RANGE)
                self._take(base, chain.logs(told, base.scanned + 1, last), last)
            logs = chain.logs(told, base.scanned + 1, head.number)
        self._learn(logs, deep, head.number)
        self._caught_up = True
        return head

    def _learn(self, logs: Sequence[Log], deep: int, head: int) -> None:
        """Know for good what logs up to block `deep` say, and until the next time what those up to `head` do."""
        self._take(self.base, logs, deep)
        self.book = self.base.copy()
        self._take(self.book, [log for log in logs if log.block_number > deep], head)

    def _take(self, book: Book, logs: Sequence[Log], last: int) -> None:
        """Learn from logs up to block `last`."""
        for log in logs:
            if log.block_number > last:
                continue
            event = self.chain.decode_log(log)
            if event.address == self.system.clearinghouse.address:
                if event.name == "Settled":
                    book.take(event.args.account, event.args.mask)
            elif event.address == self.system.global_settlement.address:
                if event.name == "Crystallised":
                    book.take(event.args.account, 0)
                    if event.args.profit:
                        book.claimants.add(event.args.account)
            elif event.address == self.system.close_queue.address:
                request = (event.args.account, event.args.market, event.name.startswith("Options"))
                if event.name.endswith("Requested"):
                    book.requests.add(request)
                else:
                    book.requests.discard(request)
            elif event.name == "Settled":
                book.settled.add((event.args.market, event.args.expiry))
            elif event.name == "Cleared":
                book.settled.discard((event.args.market, event.args.expiry))
        book.scanned = max(last, book.scanned)

    def _read_setup(self, head: _Head) -> _Setup:
        s, number = self.system, head.number
        count, params, terms, venue_count, scale, margin, mandate_count = self._all(
            number,
            s.inventory.tx("market_count"),
            s.inventory.tx("params"),
            s.hedge_manager.tx("terms"),
            s.hedge_manager.tx("venue_count"),
            s.clearinghouse.tx("scale"),
            s.clearinghouse.tx("margin"),
            s.mandates.tx("mandate_count"),
        )
        spreads = self._all(number, *(s.inventory.tx("market_params", i) for i in range(count)))
        listings = self._all(number, *(s.hedge_manager.tx("venue", i) for i in range(venue_count)))
        limits = self._all(number, *(s.hedge_manager.tx("venue_params", i) for i in range(venue_count)))
        venues = self._read_venues(number, listings, limits)
        w = params.weights
        answers = self._try(number, *(s.option_engine.tx("params", i) for i in range(count)))
        rules = {
            i: OptionRule(answer.reward / WAD, answer.interval)
            for i, answer in enumerate(answers)
            if not isinstance(answer, Reverted)
        }
        expiries = self._all(number, *(s.option_book.tx("expiries", i) for i in rules))
        mandates = self._all(number, *(s.mandates.tx("mandate", i) for i in range(mandate_count)))
        return _Setup(
            read_at=head.now,
            market_count=count,
            weights=Weights(
                aversion=w.aversion / WAD,
                knee=w.knee / WAD,
                c_lo=w.c_lo / WAD,
                c_hi=w.c_hi / WAD,
                rho=w.rho / WAD,
                omega=w.omega / WAD,
                u_star=w.u_star / WAD,
                u_max=w.u_max / WAD,
                horizon=params.horizon / YEAR,
            ),
            sweep_age=params.sweep_age,
            vol_of_vol=tuple(spread.vol_of_vol / WAD for spread in spreads),
            venues=venues,
            terms=terms,
            scale=scale,
            margin=self.chain.at("Margin", margin),
            option_rules=rules,
            listed=tuple((i, expiry) for i, found in zip(rules, expiries, strict=True) for expiry in found),
            mandates=tuple(
                i for i, mandate in enumerate(mandates) if mandate.agent == self.sender and mandate.expiry > head.now
            ),
            pulled=self._pull_feeds(number, count) if self.prices is not None else (),
        )

    def _pull_feeds(self, number: int, count: int) -> tuple[_PullFeed, ...]:
        """Feeds of Pyth among the first and second ones of every market."""
        oracle = self.system.oracle
        firsts = self._all(number, *(oracle.tx("config", i) for i in range(count)))
        seconds = self._all(number, *(oracle.tx("second", i) for i in range(count)))
        feeds = [(i, self.chain.at("PythFeed", found.feed)) for i, found in enumerate(firsts)]
        feeds += [(i, self.chain.at("PythFeed", found.feed)) for i, found in enumerate(seconds) if int(found.feed, 16)]
        ids = self._try(number, *(feed.tx("id") for _, feed in feeds))
        return tuple(
            _PullFeed(market, feed, "0x" + price_id.hex(), place < count)
            for place, ((market, feed), price_id) in enumerate(zip(feeds, ids, strict=True))
            if not isinstance(price_id, Reverted)
        )

    def _read_venues(self, number: int, listings: Sequence[Any], limits: Sequence[Any]) -> tuple[_VenueSetup, ...]:
        """What each venue trades in and owes to; of one that is neither kind, nothing."""
        contracts = [Contract(self.chain, listing.venue, load("AaveShortVenue")) for listing in listings]
        calls = [contract.tx(view) for contract in contracts for view in _SPOT_VIEWS + _LENDING_VIEWS]
        answers = iter(self._try(number, *calls))
        found = []
        for i, (listing, limit, contract) in enumerate(zip(listings, limits, contracts, strict=True)):
            routes, base_is_token0 = (next(answers) for _ in _SPOT_VIEWS)
            lending = [next(answers) for _ in _LENDING_VIEWS]
            pools: tuple[_Pool, ...] = ()
            if not isinstance(routes, Reverted) and not isinstance(base_is_token0, Reverted):
                pools = tuple(_Pool(self.chain.at(npm(_POOL), route.pool), route.fee * MICRO) for route in routes)
            found.append(
                _VenueSetup(
                    id=i,
                    market=listing.market,
                    contract=contract,
                    pools=pools,
                    base_is_token0=base_is_token0 is True,
                    lending=None if any(isinstance(a, Reverted) for a in lending) else self._lending(number, *lending),
                    params=limit,
                    paused=listing.paused,
                    retired=listing.retired,
                )
            )
        return tuple(found)

    def _lending(self, number: int, aave: str, target: int, floor: int, *tokens: str) -> _Lending:
        quote, base, a_quote, a_base, debt = (Contract(self.chain, token, npm(_TOKEN)) for token in tokens)
        decimals = self._all(number, base.tx("decimals"))[0]
        return _Lending(
            Contract(self.chain, aave, npm(_AAVE)), quote, base, a_quote, a_base, debt,
            10 ** (18 - decimals), target / WAD, floor / WAD,
        )  # fmt: skip

    def _state(self, head: _Head, setup: _Setup) -> State:
        s, number = self.system, head.number
        holders = sorted(self.book.masks.items())
        markets = range(setup.market_count)
        optioned = [account for account, mask in holders if mask >> OPTION_BIT]
        known = sorted({*setup.listed, *self.book.settled})
        if len(self._prices) != setup.market_count:
            self._prices = [mark.price for mark in self._all(number, *(s.oracle.tx("peek", i) for i in markets))]
        asked = self._prices
        of_venues = [tx for venue in setup.venues for tx in venue.txs(asked[venue.market])]
        answers = iter(
            self._try(
                number,
                s.deleverager.tx("status"),
                *(setup.margin.tx("preview", account) for account in optioned),
                *of_venues,
                s.clearinghouse.tx("frozen"),
                s.global_settlement.tx("is_final"),
                s.inventory.tx("book"),
                s.clearinghouse.tx("vault_ledger"),
                s.vault.tx("epoch"),
                s.inventory.tx("state"),
                s.auction.tx("offer"),
                s.auction.tx("params"),
                *(s.oracle.tx("peek", i) for i in markets),
                *(s.inventory.tx("market", i) for i in markets),
                *(s.carry.tx("rates", i) for i in markets),
                *(s.mandates.tx("mandate", i) for i in setup.mandates),
                *(s.hedge_manager.tx("venue_state", venue.id) for venue in setup.venues),
                *(s.clearinghouse.tx("account", account) for account, _ in holders),
                *(s.perp_engine.tx("legs", account, mask & MARKETS) for account, mask in holders),
                *(s.option_book.tx("legs", account) for account in optioned),
                *(s.option_book.tx("board", *board) for board in known),
            )
        )
        # what cannot be told while everything is frozen, or a price is stale
        status, healths = next(answers), {account: next(answers) for account in optioned}
        venue_answers = iter([next(answers) for _ in of_venues])
        answers = iter(_sure(answers))
        frozen, final, book, ledger, epoch, inventory, offer, auction = (next(answers) for _ in range(8))
        if not frozen:
            _sure(healths.values())
        marks = [next(answers) for _ in markets]
        holdings = [next(answers) for _ in markets]
        carries = [next(answers) for _ in markets]
        mandates = {i: next(answers) for i in setup.mandates}
        reported = [next(answers) for _ in setup.venues]
        self._prices = [mark.price for mark in marks]
        words = {account: next(answers) for account, _ in holders}
        legs = [next(answers) for _ in holders]
        options = {account: next(answers) for account in optioned}
        boards = {board: stored for board in known if (stored := next(answers)).strikes}

        lp_cash, reserve = ledger[0] / WAD, ledger[1] / WAD
        value = book.value / WAD
        for mark, holding in zip(marks, holdings, strict=True):
            value += holding.delta / WAD * (mark.price - holding.price) / WAD
        capital = max(CAPITAL_FLOOR, min(book.equity * MICRO, lp_cash + value))
        gas_mark = marks[setup.terms.gas_market]
        accounts = tuple(
            _account(
                account, cash, positions, marks, None if frozen else healths.get(account), options.get(account, ())
            )
            for (account, (cash, _)), positions in zip(words.items(), legs, strict=True)
        )
        own = sum(backstop.notional_of(account, marks) for account in accounts if account.address == self.sender)
        ask, taker = partial(self._try, number), (self.sender, self.take - own)
        requests = [] if frozen else sorted(self.book.requests)
        closes = backstop.queued(ask, s, requests, marks, head.now)
        self.book.requests = {(close.account, close.market, close.options) for close in closes}
        listed = () if frozen else self._boards(head, boards, marks)
        return State(
            block=number,
            now=head.now,
            markets=tuple(
                Market(
                    id=i,
                    price=mark.price / WAD,
                    sigma=mark.sigma / WAD,
                    delta=holding.delta / WAD,
                    updated_at=mark.updated_at,
                    fresh=mark.fresh,
                    vega=holding.vega / WAD,
                    gamma=holding.gamma / WAD,
                    vol_of_vol=setup.vol_of_vol[i],
                    stress=tuple(map(float, holding.stress)) if holding.optioned else (),
                    carry=carry.rate / WAD,
                    measured_at=carry.measured_at,
                )
                for i, (mark, holding, carry) in enumerate(zip(marks, holdings, carries, strict=True))
            ),
            venues=tuple(
                _venue(head, setup, venue, marks[venue.market], asked[venue.market], state, venue_answers)
                for venue, state in zip(setup.venues, reported, strict=True)
            ),
            accounts=accounts if frozen else backstop.with_closings(ask, s, accounts, marks, head.now, taker),
            epoch=Epoch(epoch.id, epoch.ends_at, epoch.pending / WAD, epoch.incoming / WAD),
            weights=setup.weights,
            rule=_rule(setup.terms, head.base_fee, gas_mark),
            capital=capital,
            opening=book.opening * MICRO,
            opened_at=book.opened_at,
            reserve=reserve,
            lp_cash=lp_cash,
            swept_at=book.swept_at,
            sweep_age=setup.sweep_age,
            token_unit=setup.scale / WAD,
            gas_price=head.base_fee / WAD * (gas_mark.price / WAD),
            potential=inventory.potential / WAD,
            boards=listed,
            signed=tuple(self._signed(head, setup, listed)),
            option_rules=setup.option_rules,
            own=own,
            deleveraging=backstop.deleveraging(ask, s, status, markets),
            can_end=self.wind_down and not isinstance(ask(s.global_settlement.tx("trigger"))[0], Reverted),
            ending=backstop.ending(ask, s, words, sorted(self.book.claimants), final=final) if frozen else None,
            closes=closes,
            mandates=tuple(
                Mandate(i, m.venues, m.share_bps / 1e4, (m.size - m.volume) * MICRO, m.expiry)
                for i, m in mandates.items()
            ),
            auction=Auction(
                auction.band / 1e9, auction.max_rate_bps / 1e4, offer.is_open, max(book.auction_low - 1, 0) * MICRO
            ),
        )

    def _boards(self, head: _Head, stored: dict[tuple[int, int], Any], marks: list[Any]) -> tuple[Board, ...]:
        book = self.system.option_book
        held = [board for board, entry in stored.items() if entry.legs and not entry.settlement and board[1] > head.now]
        calls: list[Tx] = [book.tx("is_due", key_of(*board), marks[board[0]].price) for board in held]
        due = dict(zip(held, self._all(head.number, *calls), strict=True))
        return tuple(
            Board(
                *board,
                time=entry.time,
                due=due.get(board, False),
                legs=entry.legs,
                settled=entry.settlement != 0,
                round_id=self._round(*board) if board[1] <= head.now and not entry.settlement else None,
            )
            for board, entry in stored.items()
        )

    def _signed(self, head: _Head, setup: _Setup, listed: Sequence[Board]) -> Iterator[SignedPrice]:
        """What the source of prices has for pull feeds: the newest, and what unsettled boards wait for."""
        known = self._all(head.number, *(feed.contract.tx("latest") for feed in setup.pulled))
        for feed, round_ in zip(setup.pulled, known, strict=True):
            wanted = {board.expiry for board in listed if self._waits(board, feed, head.now)}
            for time in (None, *sorted(wanted)):
                assert self.prices is not None  # else there were none in the setup
                try:
                    update = self.prices.latest(feed.id) if time is None else self.prices.at(feed.id, time)
                    fee = feed.contract.call("update_fee", list(update.data))
                except (NoUpdate, Reverted) as error:
                    log.warning("no signed price", feed=feed.contract.address, time=time, error=str(error))
                    continue
                lag = update.published_at - round_.round_id
                yield SignedPrice(feed.contract.address, update.data, fee, update.published_at, lag, time)

    def _waits(self, board: Board, feed: _PullFeed, now: int) -> bool:
        """Whether nothing but a proof of the feed is lacking to settle a board."""
        return (
            feed.first
            and feed.market == board.market
            and not board.settled
            and (board.expiry <= now and board.round_id is None)
        )

    def _round(self, market: int, expiry: int) -> int | None:
        """The round that settles an expired board, once there is one."""
        try:
            return settling_round(self.system.oracle, market, expiry)
        except Reverted:
            return None

    # ---- batches

    def _all(self, number: int, *txs: Tx) -> list[Any]:
        """Answers of calls that must not fail."""
        return _sure(self._try(number, *txs))

    def _try(self, number: int, *txs: Tx) -> list[Any]:
        """Answers of calls that may fail, or the Reverted they failed with."""
        if isinstance(self.chain, RpcChain):
            return self.chain.try_many(txs, number)
        answers: list[Any] = []
        for tx in txs:
            try:
                data = self.chain.read(tx, number)
            except Reverted as error:
                answers.append(error)
            else:
                answers.append(tx.function.decode(data) if tx.function else None)
        return answers


def _sure(answers: Iterable[Any]) -> list[Any]:
    """The answers; raises the first Reverted among them."""
    found = list(answers)
    for answer in found:
        if isinstance(answer, Reverted):
            raise answer
    return found


def _rule(terms: Any, base_fee: int, gas_mark: Any) -> Rule:
    gas_price = min(base_fee + terms.gas_tip_cap, terms.gas_price_cap)
    gas = terms.gas_units * gas_price / WAD * (gas_mark.price / WAD) if gas_mark.fresh else 0.0
    return Rule(
        phi=terms.phi_bps / 1e4,
        eta=terms.eta_bps / 1e4,
        size_reward=terms.size_reward * MICRO,
        gas=gas,
        lp_floor=terms.lp_floor / WAD,
        recall_floor=terms.recall_floor / WAD,
    )


def _account(
    address: str, cash: int, positions: Sequence[Any], marks: Sequence[Any], health: Any | None, options: Sequence[Any]
) -> Account:
    """Equity and maintenance at the newest marks; `health` is what Margin says of an account with options."""
    equity, total = cash, 0
    legs = []
    for leg in positions:
        mark = marks[leg.market]
        profit = value(leg.size, leg.cost, leg.owed, mark.price)
        exiting = exit_cost(leg.size, mark.price, mark.sigma, leg.cap_quote)
        equity += profit
        total += required(leg.size, mark.price, leg.maintenance_bps) + exiting
        legs.append(Leg(leg.market, leg.size, leg.cost, profit / WAD, exiting / WAD))
    if health is not None:
        equity, total = health.equity, health.maintenance
    held = tuple(OptionLeg(leg.market, leg.expiry, leg.series, leg.size) for leg in options)
    return Account(address, equity / WAD, total / WAD, tuple(legs), held)


def _venue(
    head: _Head, setup: _Setup, venue: _VenueSetup, mark: Any, asked: int, state: Any, answers: Iterator[Any]
) -> Venue:
    """`asked` is the price of the equity that was answered: that of the last observation, so that one batch does."""
    exposure, equity = next(answers), next(answers)
    if isinstance(exposure, Reverted) or isinstance(equity, Reverted) or venue.retired:
        exposure, equity = 0, 0  # HedgeManager counts it so too
    equity = max(0.0, equity + exposure * (mark.price - asked) / WAD)
    routes = []
    for index, pool in enumerate(venue.pools):
        prices, slot0, liquidity = next(answers), next(answers), next(answers)
        if isinstance(prices, Reverted) or isinstance(slot0, Reverted) or isinstance(liquidity, Reverted):
            continue
        routes.append(
            Route(
                index=index,
                spot=prices.spot / WAD,
                twap=prices.twap / WAD,
                fee=prices.fee / WAD,
                depth=_depth(liquidity, slot0.sqrtPriceX96, venue.base_is_token0) * setup.scale / WAD,
                pool=pool.contract.address,
            )
        )
    lender = None if venue.lending is None else _lender(setup, venue.lending, answers)
    limits = venue.params
    elapsed = max(0, head.now - state.traded_at)
    used = max(0.0, state.used - limits.turnover * elapsed / 86_400)
    moved = state.equity / WAD + state.exposure / WAD * (mark.price - state.price) / WAD
    return Venue(
        id=venue.id,
        market=venue.market,
        exposure_wad=exposure,
        equity=equity / WAD,
        reported_exposure_wad=state.exposure,
        reported_equity=moved,
        routes=tuple(routes),
        cap=limits.cap / WAD,
        turnover_left=(limits.turnover - used) * MICRO,
        fee_cap=limits.fee_cap * MICRO,
        band=limits.band * MICRO,
        ready_at=state.traded_at + limits.cooldown if state.traded_at else 0,
        max_age=limits.max_age,
        haircut=limits.haircut_bps / 1e4,
        traded_at=state.traded_at,
        lender=lender,
        paused=venue.paused,
        retired=venue.retired,
    )


def _lender(setup: _Setup, lending: _Lending, answers: Iterator[Any]) -> Lender:
    """Where the venue stands with Aave; where that does not answer, nothing can be done."""
    found = [next(answers) for _ in range(8)]
    if any(isinstance(answer, Reverted) for answer in found):
        return Lender(0.0, 0.0, 2.0, 2.0, 0.0, 0.0, opens=False, closes=False)
    health, strain, collateral, owed, payable, lendable, quote, base = found
    of_quote, of_base = int(quote.configuration.data), int(base.configuration.data)
    place, mask = THRESHOLD
    threshold = max(of_quote >> place & mask, 1) / 1e4
    active, stopped = of_quote & of_base & ACTIVE != 0, of_quote | of_base
    return Lender(
        collateral=collateral * setup.scale / WAD,
        owed=owed * lending.base_scale / WAD,
        target=lending.target / threshold,
        middle=(lending.target + lending.floor) / 2 / threshold,
        lendable=lendable * lending.base_scale / WAD,
        payable=payable * setup.scale / WAD,
        supply_rate=quote.currentLiquidityRate / RAY,
        borrow_rate=base.currentVariableBorrowRate / RAY,
        health=health / WAD,
        floor=lending.floor,
        strain_wad=strain,
        opens=active and not stopped & (PAUSED | FROZEN),
        closes=active and not stopped & PAUSED,
    )


def _depth(liquidity: int, sqrt_price_x96: int, base_is_token0: bool) -> float:
    """Virtual quote reserve of a pool [token units]."""
    if liquidity == 0 or sqrt_price_x96 == 0:
        return 0.0
    root = sqrt_price_x96 / 2**96
    return liquidity * root if base_is_token0 else liquidity / root
