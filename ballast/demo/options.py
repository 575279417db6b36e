"""Options in the replay: feeders, the governor who lists boards, and traders who follow the recorded open interest.

Feeders sign and post a surface every `POST` minutes, and when a chain was recorded. Boards are those of
`Tape.expiries`; strikes are added as spot moves. Every `EVERY` minutes one board of each market has its turn, its
buyers' account and its sellers': what the record's open interest, scaled to our vault, asks for beyond what they hold
is one trade of up to eight orders. What keepers may do (refresh, settle, pay accounts, clear, liquidate) is left to the
keeper.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ballast.boards import FEEDERS, STEP, strikes
from ballast.chain import Event, Reverted, Tx
from ballast.demo.flow import BTC_SHARE, MARKETS, Minute, Scenario
from ballast.demo.stage import Stage
from ballast.demo.tape import Print, Recorded, Tape
from ballast.model.exact.fixed import WAD
from ballast.model.exact.option_book import (
    MAX_LEGS,
    MAX_STRIKES,
    STRIKE_UNIT,
    board_of,
    is_put,
    key_of,
    pack,
    strike_of,
)
from ballast.options.rounds import settling_round
from ballast.surface.signing import arguments, sign, update_of
from ballast.surface.ssvi import DAY, YEAR, total_variance
from ballast.system import NO_LIMIT, Sandbox

POST = 15  # [minutes] between surfaces
EVERY = 5  # [minutes] between two boards' turns
LIST = 60  # [minutes] between looks at which boards and strikes are missing
SHARE = 2.0  # of equity that the record's whole open interest in ETH is scaled to; in BTC `BTC_SHARE` of it
LEAST = 1_000.0  # [quote] of spot; smaller orders wait
WORST = 0.015  # [fraction of spot] that an order accepts beyond the surface's price
MARGIN = 1.25  # times the requirement that a seller keeps
SPARE = 0.1  # [fraction of that] more than this beyond is taken out, once an hour
SLOTS = 8  # boards of a market that are traded at once
ORDERS = 8  # of one trade
GRAIN = 10**15  # [base, WAD] sizes are multiples
SIDES = (1, -1)  # buyers, sellers
LATEST = 60  # [s] before the cutoff in which nobody begins to trade

Board = tuple[int, int]  # market, expiry [s]


@dataclass(slots=True)
class OptionTally:
    """Sums over the options of a replay [quote]."""

    trades: int = 0
    orders: int = 0
    notional: float = 0.0  # spot times size
    bought: float = 0.0  # premiums that traders paid
    sold: float = 0.0  # premiums that traders received
    half_spreads: float = 0.0
    charges: float = 0.0
    rebates: float = 0.0
    surfaces: int = 0
    refused_surfaces: Counter[str] = field(default_factory=Counter)
    refreshes: int = 0
    paid_refreshes: int = 0
    rewards: float = 0.0  # of refreshes and settlements
    settled_accounts: int = 0
    listed: int = 0  # strikes
    refused: Counter[str] = field(default_factory=Counter)  # trades, by reason


@dataclass(frozen=True, slots=True)
class Settlement:
    """A board that expired with positions."""

    market: int
    expiry: int
    price: float  # [quote/base]
    payoff: float  # [quote] > 0: LPs paid traders


@dataclass(frozen=True, slots=True)
class Smile:
    """What was posted for an expiry, beside the quotes of the chain that was the newest then."""

    market: int
    posted_at: int  # [s]
    expiry: int  # [s]
    quoted: Recorded
    model: tuple[float, ...]  # [per sqrt year] at the quotes' strikes, of what the contract answers

    @property
    def errors(self) -> tuple[float, ...]:
        """Model less mid [per sqrt year]."""
        mids = ((bid + ask) / 2 for bid, ask in zip(self.quoted.bid, self.quoted.ask, strict=True))
        return tuple(model - mid for model, mid in zip(self.model, mids, strict=True))


class OptionFloor:
    """Everything about options that is no keeper's work, on one system."""

    def __init__(self, stage: Stage, system: Sandbox, scenario: Scenario, accounts: Sequence[str], feeder: str) -> None:
        self.stage = stage
        self.system = system
        self.scenario = scenario
        self.accounts = list(accounts)
        self.feeder = feeder
        self.tapes = [Tape(asset, scenario.wildest) for asset in MARKETS]
        self.tally = OptionTally()
        self.settlements: list[Settlement] = []
        self.smiles: list[Smile] = []
        start = scenario.start
        self._scale = [
            SHARE * (1.0 if asset == "ETH" else BTC_SHARE) * scenario.equity / (tape.total(start.time) * price)
            for asset, tape, price in zip(MARKETS, self.tapes, start.prices, strict=True)
        ]
        self._apart = [STEP * tape.level(start.time) for tape in self.tapes]
        self._slots: dict[Board, int] = {}
        self._turn = 0
        self._seen: dict[Board, int] = {}  # [s] until when the record of a board has been read
        # by board and recorded option: what of it is held, by (strike, put, side) [base]
        self._wanted: dict[Board, dict[tuple[float, bool], dict[tuple[int, bool, int], float]]] = defaultdict(dict)

    # ---- feeders

    def due(self, minute: Minute) -> bool:
        """Whether feeders post in this minute."""
        return minute.index % POST == 0 or self.recorded(minute)

    def recorded(self, minute: Minute) -> bool:
        """Whether a chain was recorded in this minute."""
        return any(minute.time - 60 < time <= minute.time for tape in self.tapes for time in tape.times)

    def surface_txs(self, now: int, prices: Sequence[float]) -> list[Tx]:
        """A signed update of every market, observed now."""
        contract, chain = self.system.surface, self.stage.chain
        txs = []
        for market, (tape, spot) in enumerate(zip(self.tapes, prices, strict=True)):
            posted = self.stage.reads([contract.tx("expiries", market)])[0]
            live = {int(expiry) for expiry in posted if expiry > now}
            expiries = np.array(sorted({*live, *tape.expiries(now)}), dtype=np.int64)
            update = update_of(tape.surface(now, spot, expiries), market, spot)
            signatures = sign(update, contract.address, chain.chain_id, *FEEDERS[:2])
            txs.append(contract.tx("post", arguments(update), signatures, sender=self.feeder))
        return txs

    def compare_smiles(self, now: int) -> None:
        """Read back what was posted, beside the newest recorded quotes; of each market the next expiry and the last."""
        for market, tape in enumerate(self.tapes):
            number = tape.newest(now)
            fitted = [e for e in tape.expiries(now) if e > now + DAY]
            for expiry in (fitted[0], fitted[-1]):
                quoted = tape.recorded(number, expiry)
                if quoted is None:
                    continue
                smile = self.stage.reads([self.system.surface.tx("smile", market, expiry)])[0]
                theta, rho, eta = smile.theta / WAD, smile.rho / WAD, smile.eta / WAD
                years = (expiry - smile.timestamp) / YEAR
                model = np.sqrt(total_variance(np.array(quoted.k), theta, rho, eta) / years)
                self.smiles.append(Smile(market, int(smile.timestamp), expiry, quoted, tuple(model.tolist())))

    # ---- the governor

    def listing_txs(self, now: int, prices: Sequence[float]) -> list[Tx]:
        """Boards of expiries that have none, and strikes around spot that are missing."""
        s, txs = self.system, []
        for market, (tape, spot) in enumerate(zip(self.tapes, prices, strict=True)):
            wanted = strikes(spot, self._apart[market])
            for expiry in tape.expiries(now):
                listed = [
                    int(entry.strike) for entry in self.stage.reads([s.option_book.tx("strikes", market, expiry)])[0]
                ]
                missing = [strike for strike in wanted if strike not in listed][: MAX_STRIKES - len(listed)]
                if missing:
                    txs.append(s.option_engine.tx("list_strikes", market, expiry, missing, sender=s.governor))
                    self.tally.listed += len(missing)
        return txs

    # ---- traders

    def traders(self, board: Board) -> list[str]:
        """Whose board this is, buyers and sellers; nobody's if all have one. It is free again once it is cleared."""
        if board not in self._slots:
            taken = {slot for (market, _), slot in self._slots.items() if market == board[0]}
            free = [slot for slot in range(SLOTS) if slot not in taken]
            if not free:
                return []
            self._slots[board] = free[0]
        first = (board[0] * SLOTS + self._slots[board]) * len(SIDES)
        return self.accounts[first : first + len(SIDES)]

    def trade_txs(self, minute: Minute) -> list[Tx]:
        """The next board of each market: margin where it is needed, then the trade, for buyers and sellers."""
        s = self.system
        txs: list[Tx] = []
        cutoff = [s.config.markets[i].options for i in range(len(MARKETS))]
        views = self.stage.reads([s.lens.tx("boards", market) for market in range(len(MARKETS))])
        for market, boards in enumerate(views):
            rules = cutoff[market]
            assert rules is not None
            open_ones = [view for view in boards if view.expiry > minute.time + rules.cutoff + LATEST]
            if not open_ones:
                continue
            view = open_ones[self._turn % len(open_ones)]
            board = (market, int(view.expiry))
            self._follow(board, view, minute)
            spot = minute.prices[market]
            accounts = self.traders(board)
            holdings = self.stage.reads([s.lens.tx("account", account) for account in accounts])
            for side, account, held in zip(SIDES, accounts, holdings, strict=False):
                orders = self._orders(board, view, side, held, spot)
                if orders:
                    txs += self._trade(account, orders, view, held, spot, rules)
        self._turn += 1
        return txs

    def spare_txs(self) -> list[Tx]:
        """Accounts take out what their positions do not need; with none, everything."""
        ledger, scale = self.system.clearinghouse, 10**18 // 10**self.system.decimals
        txs = []
        views = self.stage.reads([self.system.lens.tx("account", account) for account in self.accounts])
        for account, view in zip(self.accounts, views, strict=True):
            needed = int(MARGIN * view.now.initial)
            spare = min(view.cash, view.now.equity - needed)
            if spare > SPARE * needed and spare >= scale:
                txs.append(ledger.tx("withdraw", spare // scale, account, account, sender=account))
        return txs

    def closing_txs(self, expiring: int) -> list[Tx]:
        """One account of each market closes up to eight positions of a board that expires after `expiring` [s]."""
        txs = []
        legs = self.stage.reads([self.system.option_book.tx("legs", account) for account in self.accounts])
        found: set[int] = set()
        for account, held in zip(self.accounts, legs, strict=True):
            for market, expiry in sorted({(int(leg.market), int(leg.expiry)) for leg in held}):
                if expiry > expiring and market not in found:
                    found.add(market)
                    mine = sorted(
                        (int(leg.series), -int(leg.size))
                        for leg in held
                        if (leg.market, leg.expiry) == (market, expiry)
                    )
                    txs.append(self._order(account, mine[:ORDERS], 2**255 - 1))
        return txs

    # ---- what was booked

    def end(self) -> OptionTally:
        """The sums of the replay proper; what follows is counted apart."""
        self.tally, tally = OptionTally(), self.tally
        return tally

    def read(self, event: Event) -> None:
        """Count an event of OptionEngine or VolSurface."""
        tally, name, args = self.tally, event.name, event.args
        if event.address == self.system.surface.address:
            tally.surfaces += name == "SurfacePosted"
        elif name == "Trade":
            tally.trades += 1
            tally.orders += len(args.orders)
            tally.notional += sum(abs(order.size) for order in args.orders) / 1e18 * args.spot / 1e18
            tally.bought += max(0, args.premium) / 1e18
            tally.sold += max(0, -args.premium) / 1e18
            tally.half_spreads += args.half_spread / 1e18
            tally.charges += max(0, args.charge) / 1e18
            tally.rebates += max(0, -args.charge) / 1e18
        elif name == "Refreshed":
            tally.refreshes += 1
            tally.paid_refreshes += args.reward > 0
            tally.rewards += args.reward / 1e18
        elif name == "Settled":
            tally.rewards += args.reward / 1e18
            if args.payoff or args.reward:
                self.settlements.append(Settlement(args.market, args.expiry, args.price / 1e18, args.payoff / 1e18))
        elif name == "AccountSettled":
            tally.settled_accounts += 1
        elif name == "Cleared":
            self._slots.pop((args.market, args.expiry), None)
            self._wanted.pop((args.market, args.expiry), None)

    # ---- internal

    def _follow(self, board: Board, view: Any, minute: Minute) -> None:
        """Carry the record's changes since the board's last turn into what is wanted."""
        market, expiry = board
        tape, spot = self.tapes[market], minute.prices[market]
        if board not in self._seen:
            self._seen[board] = self.scenario.start.time
            for part in tape.interest(expiry, self._seen[board]):
                self._want(board, part, view, spot)
        for part in tape.prints(expiry, self._seen[board], minute.time):
            self._want(board, part, view, spot)
        self._seen[board] = minute.time

    def _want(self, board: Board, part: Print, view: Any, spot: float) -> None:
        """More of an option, at the listed strike nearest to its own unless that is more than half a step beyond all;
        or less of it, wherever it came to be held."""
        held = self._wanted[board].setdefault((part.strike, part.is_call), {})
        if part.after < part.before:
            for name in held:
                held[name] *= part.after / part.before
            return
        level = part.moneyness * spot
        strike = min((int(entry.strike) for entry in view.strikes), key=lambda listed: abs(listed / WAD - level))
        if abs(strike / WAD - level) <= self._apart[board[0]] / 2 * spot:
            name = (strike, not part.is_call, 1 if part.is_bought else -1)
            held[name] = held.get(name, 0.0) + (part.after - part.before) * self._scale[board[0]]

    def _orders(self, board: Board, view: Any, side: int, held: Any, spot: float) -> list[tuple[int, int]]:
        """Series and sizes that bring an account to what is wanted; the largest gaps first, up to eight."""
        key = key_of(*board)
        index = {int(entry.strike): i for i, entry in enumerate(view.strikes)}
        sizes = {int(v.leg.series): int(v.leg.size) for v in held.options}
        target: dict[int, int] = {series: 0 for series in sizes if board_of(series) == key}
        for parts in self._wanted[board].values():
            for (strike, put, of), amount in parts.items():
                if of == side:
                    series = pack(strike // STRIKE_UNIT, index[strike], key, put)
                    target[series] = target.get(series, 0) + side * int(amount * WAD)
        gaps = {series: (wanted - sizes.get(series, 0)) // GRAIN * GRAIN for series, wanted in target.items()}
        gaps = {series: -sizes.get(series, 0) if target[series] == 0 else gap for series, gap in gaps.items()}
        chosen = sorted((s for s, gap in gaps.items() if abs(gap) / WAD * spot >= LEAST), key=lambda s: -abs(gaps[s]))
        room = MAX_LEGS - len(sizes)
        orders = []
        for series in chosen[:]:
            if series not in sizes:
                if room == 0:
                    continue
                room -= 1
            orders.append((series, gaps[series]))
        return sorted(orders[:ORDERS])

    def _trade(
        self, account: str, orders: list[tuple[int, int]], view: Any, held: Any, spot: float, rules: Any
    ) -> Iterator[Tx]:
        """A deposit of what the orders need and the account does not have, and the trade."""
        s = self.system
        prices = {int(entry.strike): (entry.call / WAD, entry.put / WAD) for entry in view.strikes}
        sizes = {int(v.leg.series): int(v.leg.size) for v in held.options}
        premium = requirement = total = 0.0
        for series, size in orders:
            strike, put, amount = strike_of(series) * STRIKE_UNIT, is_put(series), size / WAD
            premium += amount * prices[strike][put]
            total += abs(amount)
            before = sizes.get(series, 0)
            sold = min(0, before) - min(0, before + size)
            level = strike / WAD
            out = max(0.0, spot - level if put else level - spot)
            unit = max(float(rules.initial) * spot - out, float(rules.floor) * spot)
            requirement += max(0, sold) / WAD * (min(unit, level) if put else unit)
        slack = WORST * spot * total
        # what is sold short is owed at once: its premium is no margin
        equity = held.now.equity / WAD
        costs = slack + (premium if premium > 0 else 0.0)
        needed = costs + MARGIN * (held.now.initial / WAD + requirement)
        missing = min(needed - equity, costs + MARGIN * requirement)
        if missing > 0:
            units = int(missing * 10**s.decimals) + 1
            yield s.clearinghouse.tx("deposit", units, account, sender=account)
        yield self._order(account, orders, int((premium + slack) * WAD))

    def _order(self, account: str, orders: list[tuple[int, int]], limit: int) -> Tx:
        return self.system.option_engine.tx("trade", orders, limit, NO_LIMIT, sender=account)


def upkeep(stage: Stage, system: Sandbox, accounts: Sequence[str], sender: str) -> list[Tx]:
    """What somebody who needs every board in order does first: refresh what is due, settle what is over."""
    engine, now, txs = system.option_engine, stage.chain.now, []
    views = stage.reads([system.lens.tx("boards", market.id) for market in system.markets])
    for market, boards in enumerate(views):
        for view in boards:
            if view.expiry <= now:
                try:
                    number = settling_round(system.oracle, market, view.expiry)
                except Reverted:
                    continue  # no round after it yet
                txs.append(engine.tx("settle", market, view.expiry, number, sender=sender))
                for start in range(0, len(accounts), 32):
                    txs.append(
                        engine.tx("settle_accounts", market, view.expiry, accounts[start : start + 32], sender=sender)
                    )
                txs.append(engine.tx("clear", market, view.expiry, sender=sender))
            elif view.due and view.stored.legs:
                txs.append(engine.tx("refresh", market, view.expiry, sender=sender))
    return txs
