"""The replay: LPs, traders, a push feed, arbitrage and the live keeper act on a deployed system, minute by minute.

A minute that brings something is one block at its close: oracle rounds, arbitrage of the Uniswap pools toward the
price, margin, orders, LP actions. The keeper looks afterwards and acts `LATENCY` later, in blocks of its own. A
minute that brings nothing is skipped; time passes all the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from ballast.chain import Receipt, Tx
from ballast.chain.uniswap import MAX_UINT, Pool
from ballast.config import Config
from ballast.config import load as load_config
from ballast.demo.flow import MARKETS, Desk, Minute, Order, Scenario
from ballast.demo.options import EVERY, LIST, ORDERS, POST, SLOTS, OptionFloor, upkeep
from ballast.demo.stage import Stage
from ballast.keeper import Keeper, Policy, State, Step, no_trade_band
from ballast.keeper.journal import Journal
from ballast.keeper.state import Account, Liquidate, Rebalance
from ballast.system import NO_LIMIT, Sandbox

NETWORK = Path(__file__).with_name("network.yaml")
LATENCY = 15  # [s] between a minute's block and the keeper's
TURNS = 3  # of the keeper between two minutes
SAMPLE = 10  # [minutes] between two samples
IDLE = 5  # [minutes] after which the keeper looks even if nothing happened
WORST = 0.01  # [fraction] of the last recorded price that an opening order accepts; a closing one accepts anything
SPARE = 0.1  # [fraction of what an account needs] more than this beyond it is taken out, once an hour
PROBE = 50_000.0  # [quote] notional whose quote the samples record
GENESIS_LEAD = 1_800  # [s] between the chain's first block and the scenario's first minute
KEEPER_MARGIN = 200_000.0  # [quote] of its own, to take positions over with
TAKE = 1_500_000.0  # [quote] of them at most
SPREADS = 0.005  # [fraction of notional] brought for what opening costs
RELEASE = 86_400 + 600  # [s] in which the reserve's excess returns to LPs

LP_SHARES = (0.5, 0.3, 0.2)  # of the first equity
LATE_LP = 0.15  # of the first equity, brought by a fourth LP ...
LATE_AT = 0.4  # ... at this part of the replay
LEAVER = 2  # the LP that asks for half of its shares back ...
LEAVE_AT = 0.2  # ... at this part
FUNDS = 10**9  # [quote] that every actor starts with
GAS_MONEY = 10**24  # [wei] for every actor


def config_for(scenario: Scenario, *, venues: bool = True, flat_fee: float | None = None) -> Config:
    """The demo's deployment at the scenario's first prices; with `flat_fee` [fraction] no inventory is priced."""
    config = load_config(NETWORK)
    inventory = config.inventory
    if flat_fee is not None:
        inventory = inventory.model_copy(
            update={"aversion": Decimal(0), "omega": Decimal(0), "funding_max": Decimal(0), "borrow_kink": Decimal(0),
                    "borrow_max": Decimal(0)}
        )  # fmt: skip
    markets = []
    for market, price, sigma in zip(config.markets, scenario.start.prices, scenario.sigmas, strict=True):
        spreads = market.inventory
        if flat_fee is not None:
            nothing = {"floor": Decimal(0), "z": Decimal(0), "tau": 0, "deviation": Decimal(0)}
            spreads = spreads.model_copy(update={"base": Decimal(str(flat_fee)), **nothing})
        assert market.feed.test is not None
        feed = market.feed.model_copy(
            update={"test": market.feed.test.model_copy(update={"price": Decimal(str(round(price, 8)))})}
        )
        oracle = market.oracle.model_copy(update={"initial_sigma": Decimal(str(round(sigma, 6)))})
        markets.append(market.model_copy(update={"feed": feed, "oracle": oracle, "inventory": spreads}))
    config = config.changed(inventory=inventory.model_dump(), markets=[market.model_dump() for market in markets])
    return config if venues else config.without_venues()


# ---- what is recorded


@dataclass(frozen=True, slots=True)
class Quoted:
    """The cost of trading `PROBE` beyond the mark [fraction of notional]."""

    half_spread: float
    charge: float  # < 0: a rebate

    @property
    def total(self) -> float:
        """Half-spread and charge together."""
        return self.half_spread + self.charge


@dataclass(frozen=True, slots=True)
class Position:
    """One market at a sample."""

    price: float
    sigma: float
    traders: float  # [base] net of all traders' perpetuals
    options: float  # [base] delta of the vault's options
    gamma: float  # [base per quote] of them, weighted by the part of the horizon that each has left
    vega: float  # [quote per 1.00 of vol] of them, as that of options with a month left
    hedge: float  # [base] held at venues
    interest: float  # [quote] open interest, both sides
    funding: float  # [1/year] > 0: shorts pay
    buy: Quoted
    sell: Quoted


@dataclass(frozen=True, slots=True)
class Sample:
    """The vault at one moment."""

    time: int
    nav: float  # [quote] mid
    supply: float  # [shares]
    bid: float  # [quote] NAV at which LPs leave
    reserve: float  # [quote] R
    potential: float  # [quote] U
    utilization: float
    options: float  # [quote] what the vault's options are worth
    payables: float  # [quote]
    insurance: float  # [quote]
    markets: tuple[Position, ...]
    bands: tuple[tuple[float, float], ...] = ()  # [base] no-trade band of each market's net delta; empty: no keeper

    @property
    def share(self) -> float:
        """NAV per share [quote]."""
        return self.nav / self.supply if self.supply else 1.0


@dataclass(frozen=True, slots=True)
class Done:
    """One executed trade: what the comparison repeats."""

    minute: int
    account: int
    market: int
    size_wad: int


@dataclass(frozen=True, slots=True)
class DoneOptions:
    """One executed trade in options."""

    minute: int
    account: int  # among those of options
    orders: tuple[tuple[int, int], ...]  # series, size [base, WAD]


@dataclass(frozen=True, slots=True)
class Liquidation:
    """What the Liquidator did about one account."""

    time: int
    owner: str  # T1, T2 … trade perpetuals, O1, O2 … options; or the keeper
    market: int
    options: bool  # else the perpetual alone
    taken: bool  # into the keeper's account, else by the vault
    share: float  # of what was asked for
    closed: float  # [quote] of perpetuals at the mark
    equity: float  # [quote] before
    maintenance: float  # [quote] before
    penalty: float  # [quote]
    reward: float  # [quote] of the keeper
    bad_debt: float  # [quote]


@dataclass(slots=True)
class Tally:
    """Sums over the replay [quote]."""

    trades: int = 0
    volume: float = 0.0
    half_spreads: float = 0.0
    charges: float = 0.0
    rebates: float = 0.0
    bad_debt: float = 0.0
    bad_debt_lp: float = 0.0
    penalties: float = 0.0
    penalties_keeper: float = 0.0
    penalties_lp: float = 0.0
    rewards: float = 0.0  # out of insurance
    nominations: int = 0
    deleveraged: int = 0
    deleveraged_profit: float = 0.0  # that became cash
    closes: int = 0  # that had waited for a price
    longest_weak: int = 0  # [s] that an account below maintenance was left alone
    hedges: int = 0
    shorts: int = 0  # of them at Aave
    hedge_volume: float = 0.0
    hedge_cost: float = 0.0
    hedge_rewards: float = 0.0
    hedge_gas: float = 0.0
    hedge_fall: float = 0.0
    released_by_hedges: float = 0.0
    arbitrages: int = 0
    rounds: int = 0
    epochs: int = 0
    largest_inventory: float = 0.0  # [quote] |net delta| over markets, hedges included
    largest_trader_net: float = 0.0  # [quote] the same without hedges
    refused: Counter[str] = field(default_factory=Counter)  # orders, by reason
    keeper_refused: Counter[str] = field(default_factory=Counter)  # simulations that failed, by reason


@dataclass(slots=True)
class Actors:
    """Addresses, the same on every chain."""

    lps: list[str]
    traders: list[str]  # of perpetuals
    optioneers: list[str]  # traders of options
    keeper: str
    arbitrageur: str
    feeder: str
    stranger: str  # asks for quotes, probes invariants

    @classmethod
    def create(cls, traders: int) -> Actors:
        def address(group: int, number: int) -> str:
            return f"0x{0xBA11A57 << 128 | group << 64 | number:040x}"

        from ballast.chain import address_of

        return cls(
            lps=[address_of(address(1, i)) for i in range(len(LP_SHARES) + 1)],
            traders=[address_of(address(2, i)) for i in range(traders)],
            optioneers=[address_of(address(7, i)) for i in range(2 * SLOTS * len(MARKETS))],
            keeper=address_of(address(3, 0)),
            arbitrageur=address_of(address(4, 0)),
            feeder=address_of(address(5, 0)),
            stranger=address_of(address(6, 0)),
        )

    def everyone(self) -> list[str]:
        return [*self.lps, *self.traders, *self.optioneers, self.keeper, self.arbitrageur, self.feeder, self.stranger]


@dataclass(slots=True)
class _Ledger:
    """What we know of a trader's account from its events [quote]."""

    cash: float = 0.0
    cost: list[float] = field(default_factory=lambda: [0.0] * len(MARKETS))


class Replay:
    """One run over one system."""

    def __init__(
        self,
        stage: Stage,
        system: Sandbox,
        scenario: Scenario,
        *,
        policy: Policy | None = None,
        progress: Callable[[int], None] = lambda minutes: None,
    ) -> None:
        self.stage = stage
        self.system = system
        self.scenario = scenario
        self.desk = Desk()
        self.actors = Actors.create(len(self.desk.leverages))
        policy = policy or Policy(take=TAKE)
        self.keeper = Keeper(stage.chain, system, self.actors.keeper, policy=policy, journal=Journal())
        self.tally = Tally()
        self.samples: list[Sample] = []
        self.states: dict[int, State] = {}  # what the keeper saw, by number of the sample
        self.done: list[Done | DoneOptions] = []
        self.floor = OptionFloor(stage, system, scenario, self.actors.optioneers, self.actors.feeder)
        self.hedged: list[tuple[int, int, float]] = []  # time, market, size [base]
        self.liquidations: list[Liquidation] = []
        self.health: list[tuple[int, tuple[float | None, ...]]] = []  # time, equity / maintenance of traders
        self._own: Account | None = None  # the keeper's
        self._weak_since: dict[str, int] = {}
        self.now = stage.chain.now
        self._progress = progress
        self._ledgers = [_Ledger() for _ in self.actors.traders]
        self._number = {address: i for i, address in enumerate(self.actors.traders)}
        self._optioneer = {address: i for i, address in enumerate(self.actors.optioneers)}
        self._venues = {
            number: (market.id, venue.artifact.name == "AaveShortVenue")
            for market in system.markets
            for number, venue in zip(market.venue_ids, market.venues, strict=True)
        }
        self._looked_at = 0
        self._minute = 0
        self._late = False  # the late LP is in

    # ---- the run

    def run(self) -> None:
        """Set the stage, then every minute of the scenario."""
        self.open()
        for minute in self.scenario.minutes:
            self.play(minute)
            self._progress(1)

    def open(self) -> None:
        """Fund every actor, let the first LPs in, and make their equity count as risk capital."""
        s, actors = self.system, self.actors
        for address in actors.everyone():
            self.stage.chain.set_balance(address, GAS_MONEY)
        spenders = (s.clearinghouse, s.vault)
        txs: list[Tx] = []
        for owner in (*actors.lps, *actors.traders, *actors.optioneers, actors.keeper, actors.stranger):
            txs.append(s.quote.tx("mint", owner, FUNDS * self._unit, sender=owner))
            txs += [s.quote.tx("approve", spender, MAX_UINT, sender=owner) for spender in spenders]
        if s.uniswap is not None:
            tokens = {token.address: token for pools in s.pools for pool in pools for token in (pool.base, pool.quote)}
            for token in tokens.values():
                txs.append(token.tx("mint", actors.arbitrageur, 2**120, sender=actors.arbitrageur))
                txs.append(token.tx("approve", s.uniswap.router, MAX_UINT, sender=actors.arbitrageur))
        self._mine(self.now + 1, txs)
        rounds = [self._round(market, price) for market, price in enumerate(self.scenario.start.prices)]
        entries = [
            s.vault.tx("deposit", self._units(share * self.scenario.equity), lp, sender=lp)
            for lp, share in zip(actors.lps, LP_SHARES, strict=False)
        ]
        keeper = actors.keeper
        entries.append(s.clearinghouse.tx("deposit", self._units(KEEPER_MARGIN), keeper, sender=keeper))
        # the feed's heartbeat counts from the first minute
        self._mine(self.scenario.start.time - 120, [*rounds, *entries])
        for _ in range(2):
            self._mine(self.now + 1, [s.inventory.tx("sync_all", sender=actors.feeder)])
        self.stage.chain.set_balance(s.governor, GAS_MONEY)
        self.post_surfaces(self.now + 1, self.scenario.start.prices)
        self._mine(self.now + 1, self.floor.listing_txs(self.now, self.scenario.start.prices))

    def play(self, minute: Minute) -> None:
        """One minute."""
        self._minute = minute.index
        txs = [self._round(i, price) for i, price in enumerate(minute.prices) if minute.rounds[i]]
        self.tally.rounds += len(txs)
        moves = self._arbitrage(minute.prices)
        self.tally.arbitrages += len(moves)
        txs += moves
        surfaces = self.floor.surface_txs(minute.time, minute.prices) if self.floor.due(minute) else []
        txs += surfaces
        if minute.index % LIST == LIST - 1:
            txs += self.floor.listing_txs(minute.time, minute.prices)
        txs += self._lp_txs(minute)
        txs += self._keeper_txs()
        optional = range(len(txs), len(txs))
        if minute.index % EVERY == 2:
            txs += self.floor.trade_txs(minute)
            optional = range(optional.start, len(txs))
        expected: dict[int, Order] = {}
        for order in self.desk.orders(minute):
            for tx in self._order_txs(order, minute):
                txs.append(tx)
            expected[len(txs) - 1] = order
        sampling = minute.index % SAMPLE == 0
        if txs:
            receipts = self._mine(minute.time, txs)
            for number in expected:
                if receipts[number].error is not None:
                    self.tally.refused[str(receipts[number].error)] += 1
            for number in optional:
                if receipts[number].error is not None:
                    self.floor.tally.refused[str(receipts[number].error)] += 1
            self._true_up(expected.values())
            if surfaces:
                self._after_posting(receipts, minute)
        elif sampling or minute.index - self._looked_at >= IDLE:
            self._mine(minute.time, [])
        if txs or sampling or minute.index - self._looked_at >= IDLE:
            self._look(minute)
        if minute.index >= self.scenario.at(LATE_AT) and not self._late:
            self._let_in(self.actors.lps[len(LP_SHARES)], LATE_LP * self.scenario.equity)
        if sampling:
            self.sample()

    def sample(self) -> None:
        """Record the vault as it stands."""
        self.samples.append(take_sample(self.stage, self.system, self.actors.stranger))
        net = sum(abs((m.options - m.traders) * m.price) for m in self.samples[-1].markets)
        open_risk = sum(abs((m.hedge + m.options - m.traders) * m.price) for m in self.samples[-1].markets)
        self.tally.largest_trader_net = max(self.tally.largest_trader_net, net)
        self.tally.largest_inventory = max(self.tally.largest_inventory, open_risk)

    def _after_posting(self, receipts: Sequence[Receipt], minute: Minute) -> None:
        for receipt in receipts:
            if receipt.to == self.system.surface.address and receipt.error is not None:
                self.floor.tally.refused_surfaces[str(receipt.error)] += 1
        if self.floor.recorded(minute):
            self.floor.compare_smiles(self.now)

    def add_bands(self) -> None:
        """Work out the no-trade band of every sample, from what the keeper saw then."""
        for i, sample in enumerate(self.samples):
            state = self.states.get(i)
            if state is not None and state.venues:
                bands = []
                for market in range(len(MARKETS)):
                    venue = next(venue for venue in state.venues if venue.market == market)
                    bands.append(no_trade_band(state, venue, self.keeper.policy))
                self.samples[i] = replace(sample, bands=tuple(bands))

    # ---- the keeper

    def _look(self, minute: Minute) -> None:
        """The keeper's turns after a minute's block: it looks again while it has something to do."""
        self._looked_at = minute.index
        for turn in range(TURNS):
            step = self.look()
            self._note_health(step.state)
            if turn == 0 and minute.index % SAMPLE == 0:
                self.states[len(self.samples)] = step.state
            if not any(result.ending == "done" for result in step.results):
                break

    def look(self) -> Step:
        """One turn of the keeper, `LATENCY` after the newest block that was not empty.

        It looks at an empty block, as on a chain that does not stand still: some of what a block has paid for keeps
        boards from being refreshed until the next.
        """
        self.now += LATENCY - 1
        self.stage.tick(self.now)
        state = self.keeper.observe()
        held = (account for account in state.accounts if account.address == self.keeper.actor.sender)
        self._own = next(held, None)
        actions = self.keeper.plan(state)
        if actions:
            self.now += 1
            self.stage.turn_to(self.now)
        step = self.keeper.carry_out(state, actions)
        for result in step.results:
            if result.receipt is not None:
                self._read(result.receipt)
            if result.ending in ("refused", "failed"):
                self.tally.keeper_refused[f"{result.action.kind}: {result.reason}"] += 1
            elif isinstance(result.action, Liquidate) and result.ending == "done":
                self._weak_since.pop(result.action.account, None)
            elif isinstance(result.action, Rebalance) and result.ending == "done":
                self.hedged.append((self.now, result.action.market, result.action.size_wad / 1e18))
        return step

    # ---- blocks

    def _mine(self, time: int, txs: Sequence[Tx]) -> list[Receipt]:
        self.now = max(time, self.now + 1)
        receipts = self.stage.mine(self.now, txs)
        for receipt in receipts:
            self._read(receipt)
        return receipts

    def _note_health(self, state: State) -> None:
        """How far traders are from liquidation, and how long who is below maintenance has been left alone."""
        ratios: list[float | None] = [None] * len(self.actors.traders)
        weak = set()
        for account in state.accounts:
            if account.address in self._number and account.maintenance > 0.0:
                ratios[self._number[account.address]] = account.equity / account.maintenance
            if account.equity < account.maintenance:
                weak.add(account.address)
                since = self._weak_since.setdefault(account.address, state.now)
                self.tally.longest_weak = max(self.tally.longest_weak, state.now - since)
        self._weak_since = {address: since for address, since in self._weak_since.items() if address in weak}
        self.health.append((state.now, tuple(ratios)))

    def _read(self, receipt: Receipt) -> None:
        """Book what a transaction did."""
        tally, options = self.tally, (self.system.option_engine.address, self.system.surface.address)
        closed = bad_debt = 0.0
        for event in receipt.events:
            name, args = event.name, event.args
            if event.address in options:
                self.floor.read(event)
                if name == "Trade" and args.account in self._optioneer:
                    self._note_options(args.account, [(order.series, order.size) for order in args.orders])
                elif name == "Transferred" and args.giver in self._optioneer:
                    self._note_options(args.giver, [(order.series, -order.size) for order in args.orders])
            elif name == "Trade":
                notional = abs(args.size_delta) * args.price / 1e36
                closed += notional
                tally.trades += 1
                tally.volume += notional
                tally.half_spreads += args.half_spread / 1e18
                tally.charges += max(0, args.charge) / 1e18
                tally.rebates += max(0, -args.charge) / 1e18
                if args.account in self._number:
                    self._note_trade(args.account, args.market, args.size_delta, args.size, args.cost)
            elif name == "Transferred":
                closed += abs(args.size) * args.price / 1e36
                if args.giver in self._number:
                    self._note_trade(args.giver, args.market, -args.size, args.giver_size, args.giver_cost)
            elif name == "Liquidated":
                self.liquidations.append(self._liquidation(args, closed, bad_debt))
            elif name == "LiquidationPaid":
                paid = (args.reward + args.lp + args.insurance) / 1e18
                tally.penalties += paid
                tally.penalties_keeper += args.reward / 1e18
                tally.penalties_lp += args.lp / 1e18
                if args.account in self._number:
                    self._ledgers[self._number[args.account]].cash -= paid
            elif name == "RewardPaid":
                tally.rewards += args.amount / 1e18
            elif name == "Nominated":
                tally.nominations += 1
            elif name == "Deleveraged":
                tally.deleveraged += 1
                tally.deleveraged_profit += args.profit / 1e18
            elif name in ("PerpExecuted", "OptionsExecuted"):
                tally.closes += 1
            elif name in ("Settled", "Deposited", "Withdrawn") and args.account in self._number:
                self._ledgers[self._number[args.account]].cash = args.cash / 1e18
            elif name == "BadDebtCovered":
                bad_debt += (args.by_insurance + args.by_lp) / 1e18
                tally.bad_debt += (args.by_insurance + args.by_lp) / 1e18
                tally.bad_debt_lp += args.by_lp / 1e18
            elif name == "Rebalanced":
                market, is_short = self._venues[args.venue_id]
                minute = self.scenario.minutes[min(self._minute, len(self.scenario.minutes) - 1)]
                tally.hedges += 1
                tally.shorts += is_short
                tally.hedge_volume += abs(args.outcome.filled) / 1e18 * minute.prices[market]
                tally.hedge_cost += args.outcome.cost / 1e18
                tally.hedge_rewards += args.outcome.reward / 1e18
                tally.hedge_gas += args.outcome.gas / 1e18
                tally.hedge_fall += args.outcome.fall / 1e18
                tally.released_by_hedges += args.outcome.released / 1e18
            elif name == "EpochProcessed":
                tally.epochs += 1

    def _note_trade(self, owner: str, market: int, change: int, size: int, cost: int) -> None:
        """A trader's position after a trade, or after the keeper has taken some of it over."""
        account = self._number[owner]
        self.desk.sizes[account][market] = size / 1e18
        self._ledgers[account].cost[market] = cost / 1e18
        self.done.append(Done(self._minute, account, market, change))

    def _note_options(self, owner: str, orders: Sequence[tuple[int, int]]) -> None:
        trade = tuple(sorted((int(series), int(size)) for series, size in orders))
        self.done.append(DoneOptions(self._minute, self._optioneer[owner], trade))

    def _liquidation(self, args: Any, closed: float, bad_debt: float) -> Liquidation:
        owner = "keeper"
        for letter, numbers in (("T", self._number), ("O", self._optioneer)):
            if args.account in numbers:
                owner = f"{letter}{numbers[args.account] + 1}"
        return Liquidation(
            time=self.now,
            owner=owner,
            market=args.market,
            options=args.expiry != 0,
            taken=args.taken,
            share=args.share / 1e18,
            closed=closed,
            equity=args.equity / 1e18,
            maintenance=args.maintenance / 1e18,
            penalty=args.penalty / 1e18,
            reward=args.reward / 1e18,
            bad_debt=bad_debt,
        )

    # ---- transactions

    @property
    def _unit(self) -> int:
        return int(10**self.system.decimals)

    def _units(self, amount: float) -> int:
        return int(amount * self._unit)

    def _round(self, market: int, price: float) -> Tx:
        return self.system.aggregators[market].tx("push_now", round(price * 1e8), sender=self.actors.feeder)

    def _arbitrage(self, prices: Sequence[float]) -> list[Tx]:
        return arbitrage(self.stage, self.system.pools, prices, self.actors.arbitrageur)

    def _order_txs(self, order: Order, minute: Minute) -> list[Tx]:
        """Margin where it is needed, then the trade; a trader who is flat takes its money out next time."""
        s, account = self.system, order.account
        trader, sizes, ledger = self.actors.traders[account], self.desk.sizes[account], self._ledgers[account]
        txs: list[Tx] = []
        if not order.closing:
            equity, wanted = self._margin(account, minute.prices)
            own = abs(order.size) * minute.prices[order.market] * self._share(account)
            # a trader brings what the new position needs; older losses are not made good
            missing = min(own, wanted + own - equity)
            if missing > 0:
                units = self._units(missing) + 1
                txs.append(s.clearinghouse.tx("deposit", units, trader, sender=trader))
                ledger.cash += units / self._unit
        size_wad = int(order.size * 1e18)
        if order.closing and abs(sizes[order.market]) - abs(order.size) < 1e-6:
            # all of it, to the wei
            size_wad = -self.position_wad(account, order.market)
        price = minute.prices[order.market]
        limit = NO_LIMIT if size_wad > 0 else 0
        if not order.closing:
            limit = int(price * (1 + WORST if size_wad > 0 else 1 - WORST) * 1e18)
        txs.append(s.perp_engine.tx("trade", order.market, size_wad, limit, NO_LIMIT, sender=trader))
        if abs(sizes[order.market] + order.size) > abs(sizes[order.market]):
            ledger.cost[order.market] += order.size * price
        sizes[order.market] += order.size
        return txs

    def position_wad(self, account: int, market: int) -> int:
        """The exact size of a position [base, WAD]."""
        tx = self.system.perp_engine.tx("position", self.actors.traders[account], market)
        return int(self.stage.reads([tx])[0].size)

    def _true_up(self, orders: Iterable[Order]) -> None:
        """Positions as the chain has them, after a block in which some order may have failed."""
        touched = sorted({(order.account, order.market) for order in orders})
        txs = [self.system.perp_engine.tx("position", self.actors.traders[a], m) for a, m in touched]
        if not txs:
            return
        for (account, market), position in zip(touched, self.stage.reads(txs), strict=True):
            self.desk.sizes[account][market] = position.size / 1e18
            self._ledgers[account].cost[market] = position.cost / 1e18

    def _lp_txs(self, minute: Minute) -> list[Tx]:
        """The LP who leaves early and claims, and traders who need less money than they have here."""
        s = self.system
        txs: list[Tx] = []
        if minute.index == self.scenario.at(LEAVE_AT):
            lp = self.actors.lps[LEAVER]
            shares = self.stage.reads([s.vault.tx("balanceOf", lp)])[0] // 2
            txs.append(s.vault.tx("requestRedeem", shares, lp, lp, sender=lp))
        if minute.index % 60 == 30:
            txs += self.claim_txs()
            txs += self._cash_out_txs(minute.prices)
            txs += self.floor.spare_txs()
            txs.append(s.clearinghouse.tx("collect_fees", sender=s.governor))
        return txs

    def _keeper_txs(self) -> list[Tx]:
        """The keeper closes what it has taken over, at the vault's quote."""
        s, keeper, own = self.system, self.actors.keeper, self._own
        if own is None:
            return []
        txs = [
            s.perp_engine.tx(
                "trade", leg.market, -leg.size_wad, 0 if leg.size_wad > 0 else NO_LIMIT, NO_LIMIT, sender=keeper
            )
            for leg in own.legs
        ]
        for board in sorted(
            {(option.market, option.expiry) for option in own.options if option.expiry > self.now + 60}
        ):
            held = [option for option in own.options if (option.market, option.expiry) == board][:ORDERS]
            orders = sorted((option.series, -option.size_wad) for option in held)
            txs.append(s.option_engine.tx("trade", orders, 2**255 - 1, NO_LIMIT, sender=keeper))
        return txs

    def _let_in(self, lp: str, amount: float) -> None:
        """An LP enters in a block of its own, once every board is in order; who finds the door shut comes again."""
        entry = self.system.vault.tx("deposit", self._units(amount), lp, sender=lp)
        *_, receipt = self._mine(self.now + 1, [*self.upkeep(lp), entry])
        self._late = receipt.error is None

    def upkeep(self, sender: str) -> list[Tx]:
        """What has to be done about boards before LPs can act."""
        return upkeep(self.stage, self.system, self.actors.optioneers, sender)

    def post_surfaces(self, time: int, prices: Sequence[float]) -> None:
        """Feeders post now; raises if they are refused."""
        for receipt in self._mine(time, self.floor.surface_txs(time, prices)):
            if receipt.error is not None:
                raise receipt.error

    def claim_txs(self) -> list[Tx]:
        """Every LP with something to claim claims it."""
        s = self.system
        amounts = self.stage.reads([s.vault.tx("maxRedeem", lp) for lp in self.actors.lps])
        return [
            s.vault.tx("redeem", amount, lp, lp, sender=lp)
            for lp, amount in zip(self.actors.lps, amounts, strict=True)
            if amount > 0
        ]

    def _cash_out_txs(self, prices: Sequence[float]) -> list[Tx]:
        """Traders take out what they do not need: all of it when flat, else the margin beyond their leverage's."""
        flat, txs = [], []
        for account, (trader, ledger) in enumerate(zip(self.actors.traders, self._ledgers, strict=True)):
            if not any(self.desk.sizes[account]):
                flat.append(trader)
                continue
            equity, wanted = self._margin(account, prices)
            spare = min(ledger.cash, equity - wanted)
            if spare > SPARE * wanted:
                units = self._units(spare)
                txs.append(self.system.clearinghouse.tx("withdraw", units, trader, trader, sender=trader))
                ledger.cash -= spare
        return [*txs, *self.withdraw_txs(flat)]

    def _margin(self, account: int, prices: Sequence[float]) -> tuple[float, float]:
        """An account's equity, and what its leverage asks for [quote]."""
        sizes, ledger = self.desk.sizes[account], self._ledgers[account]
        equity = ledger.cash
        wanted = 0.0
        for size, price, cost in zip(sizes, prices, ledger.cost, strict=True):
            equity += size * price - cost
            wanted += abs(size) * price * self._share(account)
        return equity, wanted

    def _share(self, account: int) -> float:
        """Margin per notional that an account keeps."""
        return 1 / self.desk.leverages[account] + SPREADS

    def withdraw_txs(self, owners: Sequence[str]) -> list[Tx]:
        """Owners without positions take their cash out, whole token units of it."""
        ledger, scale = self.system.clearinghouse, 10**18 // self._unit
        accounts = self.stage.reads([ledger.tx("account", owner) for owner in owners])
        return [
            ledger.tx("withdraw", cash // scale, owner, owner, sender=owner)
            for owner, (cash, mask) in zip(owners, accounts, strict=True)
            if mask == 0 and cash >= scale
        ]

    # ---- the end

    @property
    def funded(self) -> int:
        """[quote] what every LP and trader was given."""
        return FUNDS

    def end(self) -> Tally:
        """The sums of the replay proper; what follows is counted apart."""
        self.tally, tally = Tally(), self.tally
        return tally

    def close_positions(self) -> int:
        """Traders close, one position per market and minute, from the heavier side; returns the minutes it took.

        So do those of options, one board each; options of the boards that expire within a day stay for settlement.
        """
        minutes = 0
        end, prices = self.scenario.minutes[-1].time, self.scenario.minutes[-1].prices
        while any(map(any, self.desk.sizes)) or self._own or self.floor.closing_txs(end + 86_400):
            self._minute = len(self.scenario.minutes) + minutes
            rounds = self.last_rounds() if minutes % 60 == 0 else []
            surfaces = self.floor.surface_txs(end + 60 * (minutes + 1), prices) if minutes % POST == 0 else []
            txs = [*rounds, *surfaces, *self._arbitrage(prices), *self._keeper_txs()]
            txs += self.floor.closing_txs(end + 86_400)
            for market in range(len(MARKETS)):
                net = sum(sizes[market] for sizes in self.desk.sizes)
                heavier = [a for a, sizes in enumerate(self.desk.sizes) if sizes[market] * net > 0]
                open_ones = heavier or [a for a, sizes in enumerate(self.desk.sizes) if sizes[market]]
                if open_ones:
                    account = max(open_ones, key=lambda a, market=market: abs(self.desk.sizes[a][market]))  # type: ignore[misc]
                    txs.append(self._closing(account, market))
            for receipt in self._mine(end + 60 * (minutes + 1), txs):
                if receipt.error is not None:
                    raise receipt.error
            self.look()
            minutes += 1
        return minutes

    def _closing(self, account: int, market: int) -> Tx:
        size_wad = self.position_wad(account, market)
        limit = 0 if size_wad > 0 else NO_LIMIT
        trader = self.actors.traders[account]
        return self.system.perp_engine.tx("trade", market, -size_wad, limit, NO_LIMIT, sender=trader)

    def last_rounds(self) -> list[Tx]:
        return [self._round(market, price) for market, price in enumerate(self.scenario.minutes[-1].prices)]

    def wait(self, seconds: int) -> None:
        """Time passes at the last price; the feed then posts a round of each market."""
        moves = self._arbitrage(self.scenario.minutes[-1].prices)
        self._mine(self.now + seconds, [*self.last_rounds(), *moves])

    def settle_boards(self, until: int) -> None:
        """Every expiry up to a time [s] comes; the keeper settles its boards, pays their accounts and clears them."""
        book = self.system.option_book
        while True:
            listed = self.stage.reads([book.tx("expiries", market) for market in range(len(MARKETS))])
            ahead = [int(expiry) for expiries in listed for expiry in expiries if expiry <= until]
            if not ahead:
                return
            self.wait(max(min(ahead) + 60 - self.now, 60))
            while any(result.ending == "done" for result in self.look().results):
                pass

    def wind_down(self, turns: int = 40) -> int:
        """Everyone leaves: positions, margin, boards, fees, the reserve's release, LPs, and the hedge is sold.

        Returns the number of redemption epochs that took.
        """
        s, actors = self.system, self.actors
        self.close_positions()
        # the average must cover its window before the keeper can sell
        self.wait(600)
        self.look()
        self.settle_boards(self.now + 86_400)
        self._mine(self.now + 60, [*self.withdraw_txs(actors.traders), *self.floor.spare_txs()])
        # untouched for a whole release period, then one sync: everything above U is LPs' again
        self.wait(RELEASE)
        self._mine(self.now + 1, [s.inventory.tx("sync_all", sender=actors.feeder)])
        shares = self.stage.reads([s.vault.tx("balanceOf", lp) for lp in actors.lps])
        self._mine(
            self.now + 1,
            [
                s.vault.tx("requestRedeem", amount, lp, lp, sender=lp)
                for lp, amount in zip(actors.lps, shares, strict=True)
                if amount
            ],
        )
        epochs = 0
        for _ in range(turns):
            epoch = self.stage.reads([s.vault.tx("epoch")])[0]
            if epoch.pending + epoch.incoming == 0:
                break
            self.wait(max(epoch.ends_at - self.now, 600))
            epochs += sum(result.action.kind == "process_epoch" for result in self.look().results)
            self.wait(600)
            self.look()
            self._mine(self.now + 1, self.claim_txs())
        # what is listed for later has no positions; its days come all the same
        self.settle_boards(NO_LIMIT)
        governor = s.governor
        self._mine(self.now + 1, [s.clearinghouse.tx("collect_fees", sender=governor)])
        self._mine(self.now + 1, self.withdraw_txs([actors.keeper]))
        protocol = self.stage.reads([s.clearinghouse.tx("buckets")])[0].protocol // (10**18 // self._unit)
        if protocol:
            self._mine(self.now + 1, [s.clearinghouse.tx("withdraw_protocol", protocol, governor, sender=governor)])
        return epochs


def arbitrage(stage: Stage, pools: Sequence[Sequence[Pool]], prices: Sequence[float], arbitrageur: str) -> list[Tx]:
    """Swaps that bring each pool's price to within its fee of its market's, where arbitrage stops paying."""
    priced = [(pool, price) for price, tiers in zip(prices, pools, strict=True) for pool in tiers]
    slots = stage.reads([pool.contract.tx("slot0") for pool, _ in priced])
    txs = []
    for (pool, price), slot in zip(priced, slots, strict=True):
        spot = _spot(pool, slot.sqrtPriceX96)
        fee = pool.fee / 1e6
        if spot < price * (1 - 1.1 * fee):
            txs.append(_swap_to(pool, price * (1 - fee), slot.sqrtPriceX96, arbitrageur))
        elif spot > price * (1 + 1.1 * fee):
            txs.append(_swap_to(pool, price * (1 + fee), slot.sqrtPriceX96, arbitrageur))
    return txs


def _swap_to(pool: Pool, price: float, sqrt_price_x96: int, sender: str) -> Tx:
    target = pool.sqrt_of_price(int(price * 1e18))
    pays_base = (target > sqrt_price_x96) != pool.base_is_token0
    token_in, token_out = (pool.base, pool.quote) if pays_base else (pool.quote, pool.base)
    return pool.uniswap.router.tx(
        "exactInputSingle",
        {
            "tokenIn": token_in,
            "tokenOut": token_out,
            "fee": pool.fee,
            "recipient": sender,
            "deadline": MAX_UINT,
            "amountIn": 2**119,
            "amountOutMinimum": 0,
            "sqrtPriceLimitX96": target,
        },
        sender=sender,
    )


def _spot(pool: Pool, sqrt_price_x96: int) -> float:
    """`Pool.price_of_sqrt` in floats, fast [quote/base]."""
    ratio = (sqrt_price_x96 / 2**96) ** 2
    return float((ratio if pool.base_is_token0 else 1 / ratio) * 10.0 ** (pool.base_decimals - pool.quote_decimals))


def take_sample(stage: Stage, s: Sandbox, stranger: str) -> Sample:
    """The vault now, in one round trip and one more for quotes."""
    ids = range(len(s.markets))
    valuation, buckets, state, *rest = stage.reads(
        [
            s.vault.tx("valuation"),
            s.clearinghouse.tx("buckets"),
            s.inventory.tx("state"),
            *(s.oracle.tx("peek", i) for i in ids),
            *(s.perp_engine.tx("book", i) for i in ids),
            *(s.inventory.tx("market", i) for i in ids),
            *(s.lens.tx("boards", i) for i in ids),
        ]
    )
    n = len(s.markets)
    marks, books, held, boards = rest[:n], rest[n : 2 * n], rest[2 * n : 3 * n], rest[3 * n :]
    (worth, _, _), *_ = stage.reads([s.option_book.tx("book_value", [mark.price for mark in marks])])
    probes = [
        s.perp_engine.tx("quote", stranger, i, sign * int(PROBE / (marks[i].price / 1e18) * 1e18))
        for i in ids
        for sign in (1, -1)
    ]
    quotes = [Quoted(q.half_spread / 1e18 / PROBE, q.charge / 1e18 / PROBE) for q in _quotes(stage, probes)]
    positions = []
    for i in ids:
        traders = (books[i].long - books[i].short) / 1e18
        price = marks[i].price / 1e18
        options = sum(board.stored.delta for board in boards[i]) / 1e18
        positions.append(
            Position(
                price=price,
                sigma=marks[i].sigma / 1e18,
                traders=traders,
                options=options,
                gamma=held[i].gamma / 1e18,
                vega=held[i].vega / 1e18,
                hedge=held[i].delta / 1e18 + traders - options,
                interest=(books[i].long + books[i].short) / 1e18 * price,
                funding=books[i].funding_rate / 1e18,
                buy=quotes[2 * i],
                sell=quotes[2 * i + 1],
            )
        )
    capital = state.capital / 1e18
    return Sample(
        time=stage.chain.now,
        nav=valuation.nav / 1e18,
        supply=valuation.supply / 1e18,
        bid=valuation.bid / 1e18,
        reserve=buckets.reserve / 1e18,
        potential=state.potential / 1e18,
        utilization=state.stressed_loss / 1e18 / capital if capital else 0.0,
        options=worth / 1e18,
        payables=buckets.payables / 1e18,
        insurance=buckets.insurance / 1e18,
        markets=tuple(positions),
    )


@dataclass(frozen=True, slots=True)
class _NoQuote:
    half_spread: float = float("nan")
    charge: float = float("nan")


def _quotes(stage: Stage, probes: Sequence[Tx]) -> list[Any]:
    """Answers to quotes; none where the trade would be refused (utilization)."""
    from ballast.chain import Reverted

    try:
        return stage.reads(probes)
    except Reverted:
        pass
    answers: list[Any] = []
    for tx in probes:
        try:
            answers += stage.reads([tx])
        except Reverted:
            answers.append(_NoQuote())
    return answers
