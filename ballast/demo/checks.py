"""The invariants I1-I7, checked on what a run has left.

I1-I4 are recomputed from events and compared with storage, exactly: options by the twins of book and pricer, from the
trades and surfaces that were logged. I5-I7 are tried out, and the probes undone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from ballast.chain import Contract, Event, Receipt, Tx, address_of
from ballast.demo.replay import GAS_MONEY, Replay
from ballast.demo.stage import AnvilStage, Stage
from ballast.model.exact.fixed import WAD, floor_div, tdiv
from ballast.model.exact.inventory import linear_loss, vector_loss
from ballast.model.exact.option_book import (
    LOT,
    NO_TOTALS,
    STRIKE_UNIT,
    Holding,
    OptionBook,
    Settled,
    Strike,
    board_of,
    expiry_of,
    index_of,
    is_put,
    key_of,
    market_of,
    pack,
    strike_of,
)
from ballast.model.exact.option_book import Point as BoardPoint
from ballast.model.exact.potential import delta_term, gamma_term, square_term, vega_term
from ballast.model.exact.vol_surface import Smile
from ballast.system import NO_LIMIT, Sandbox

BLOCKS_PER_QUERY = 2_000
PARTS = 5  # of a split trade
SPLIT_NOTIONAL = 250_000.0  # [quote]
PROBE_DEPOSIT = 500_000  # [quote]
PROBE_GIFT = 10_000  # [quote]
PROBE_LEAVES = 4  # one LP redeems this fraction of its shares, 1/n
VIRTUAL = WAD  # virtual share and virtual quote token, contracts/vault/shares.vy


@dataclass(frozen=True, slots=True)
class Check:
    """One invariant and the number that proves it."""

    id: str
    title: str
    holds: bool
    figure: str
    detail: dict[str, float | int | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Happened:
    """One decoded event and where it stands."""

    event: Event
    tx_hash: str
    block: int

    def is_of(self, contract: Contract, *names: str) -> bool:
        """Two engines have trades and settlements: whose this is."""
        return self.event.address == contract.address and self.event.name in names


def history(stage: Stage, s: Sandbox) -> list[Happened]:
    """Every event of the system's contracts, in order."""
    contracts = (
        s.clearinghouse, s.perp_engine, s.option_engine, s.surface, s.inventory, s.auction, s.hedge_manager, s.vault,
    )  # fmt: skip
    chain, last = stage.chain, stage.chain.number
    return [
        Happened(chain.decode_log(log), log.tx_hash, log.block_number)
        for first in range(0, last + 1, BLOCKS_PER_QUERY)
        for log in chain.logs(contracts, first, min(last, first + BLOCKS_PER_QUERY - 1))
    ]


# ---- I1


def ledger_covers_tokens(stage: Stage, s: Sandbox, events: Sequence[Happened]) -> Check:
    """I1: tokens held = the sum of all buckets and accounts, to the wei, plus gifts."""
    named = {e.event.args.account for e in events if e.is_of(s.clearinghouse, "Settled", "Deposited")}
    named |= {e.event.args.liquidator for e in events if e.event.name == "LiquidationPaid"}
    named |= {e.event.args.receiver for e in events if e.event.name == "RewardPaid"}
    accounts = sorted(account for account in named if int(account, 16))
    buckets, held, scale, *cash = stage.reads(
        [
            s.clearinghouse.tx("buckets"),
            s.quote.tx("balanceOf", s.clearinghouse),
            s.clearinghouse.tx("scale"),
            *(s.clearinghouse.tx("account", account) for account in accounts),
        ]
    )
    margin = sum(balance for balance, _ in cash)
    owed = buckets.claims + buckets.payables
    ledger = buckets.lp + buckets.reserve + buckets.fees + buckets.insurance + buckets.protocol + owed + margin
    gap = ledger - buckets.total_units * scale
    gifts = held - buckets.total_units
    return Check(
        "I1",
        "tokens held = sum of the ledger",
        gap == 0 and gifts >= 0,
        f"{held * scale / 1e18:,.6f} held, ledger off by {gap} wei, gifts {gifts} units",
        {"held_units": held, "gap_wei": gap, "gifts_units": gifts, "accounts": len(accounts)},
    )


# ---- I2


@dataclass(frozen=True, slots=True)
class _Posted:
    """Surfaces as they were logged."""

    smiles: dict[tuple[int, int, int], Smile]  # market, expiry, timestamp

    def smile(self, market: int, expiry: int, now: int) -> Smile:
        raise NotImplementedError("a board is valued at the surface of its point")

    def timestamp(self, market: int) -> int:
        raise NotImplementedError("a board is valued at the surface of its point")


def options_of(s: Sandbox, events: Sequence[Happened]) -> OptionBook:
    """Strikes, positions, points and debts as the events make them; no totals yet."""
    posted = _Posted({})
    book = OptionBook(posted)
    newest: dict[int, int] = {}  # [s] surface by market
    for happened in events:
        args = happened.event.args
        if happened.is_of(s.surface, "SurfacePosted"):
            newest[args.market] = args.timestamp
            for point in args.points:
                smile = Smile(point.theta, point.rate, args.rho, args.eta, args.timestamp)
                posted.smiles[args.market, point.expiry, args.timestamp] = smile
        elif happened.is_of(s.option_engine, "Trade"):
            _fill(book, args.account, args.orders, 1)
        elif happened.is_of(s.option_engine, "Transferred"):
            _fill(book, args.taker, args.orders, 1)
            _fill(book, args.giver, args.orders, -1)
        elif happened.event.address == s.option_engine.address and hasattr(args, "expiry"):
            key = key_of(args.market, args.expiry)
            match happened.event.name:
                case "StrikesListed":
                    book.strikes[key] = (*book.strikes.get(key, ()), *(Strike(k // STRIKE_UNIT) for k in args.strikes))
                case "Refreshed":
                    surface = newest[args.market]
                    book.points[key] = BoardPoint(spot=args.spot, surface=surface, listed=True)
                    book.smiles[key] = posted.smiles[args.market, args.expiry, surface]
                case "Settled":
                    book.settlements[key] = Settled(args.price, args.payoff)
                case "AccountSettled":
                    settled = book.settlements[key]
                    book.settlements[key] = replace(settled, owed=settled.owed - args.payoff)
                    legs = book.legs_of[args.account]
                    book.legs_of[args.account] = {x: lots for x, lots in legs.items() if board_of(x) != key}
                case "Cleared":
                    settled = book.settlements.pop(key)
                    book.settlements[key] = replace(settled, owed=settled.owed - args.dust)
                    if book.settlements[key].owed == 0:
                        del book.settlements[key]
                    for words in (book.strikes, book.points, book.smiles):
                        words.pop(key, None)
    _add_up(book)
    return book


def _fill(book: OptionBook, account: str, orders: Sequence[Any], sign: int) -> None:
    legs = book.legs_of.setdefault(account, {})
    for order in orders:
        legs[order.series] = legs.get(order.series, 0) + sign * order.size // LOT
        if legs[order.series] == 0:
            del legs[order.series]


def _add_up(book: OptionBook) -> None:
    """Nets of the strikes, interest and number of positions of boards that are not settled."""
    interest: dict[int, int] = defaultdict(int)
    count: dict[int, int] = defaultdict(int)
    for legs in book.legs_of.values():
        for series, lots in legs.items():
            key, at, put = board_of(series), index_of(series), is_put(series)
            held = book.strikes[key][at]
            assert held.strike == strike_of(series)
            moved = replace(held, puts=held.puts + lots) if put else replace(held, calls=held.calls + lots)
            book.strikes[key] = (*book.strikes[key][:at], moved, *book.strikes[key][at + 1 :])
            interest[key] += abs(lots)
            count[key] += 1
    for key in book.strikes:
        if key not in book.settlements:
            book.books[key] = replace(NO_TOTALS, interest=interest[key], legs=count[key])


def _boards_gap(stage: Stage, s: Sandbox, book: OptionBook, horizon: int) -> int:
    """How far boards, strikes and positions in storage are from what the events make them; fills in the totals.

    When a board was refreshed is the only thing taken from storage: it is in no event.
    """
    gap = 0
    accounts = sorted(book.legs_of)
    listed = stage.reads([s.option_book.tx("expiries", market.id) for market in s.markets])
    live = {key_of(market.id, expiry) for market, found in zip(s.markets, listed, strict=True) for expiry in found}
    gap += len(live.symmetric_difference(book.books))
    for account, legs in zip(accounts, stage.reads([s.option_book.tx("legs", a) for a in accounts]), strict=True):
        gap += {leg.series: leg.size // LOT for leg in legs} != book.legs_of[account]
    for key in sorted(live & set(book.books)):
        market, expiry = market_of(key), expiry_of(key)
        board, strikes = stage.reads(
            [s.option_book.tx("board", market, expiry), s.option_book.tx("strikes", market, expiry)]
        )
        held = book.books[key]
        gap += [(x.strike // STRIKE_UNIT, x.calls, x.puts) for x in strikes] != [
            (x.strike, x.calls, x.puts) for x in book.strikes[key]
        ]
        if held.legs:
            book.points[key] = replace(book.points[key], time=board.time, horizon=horizon)
            totals = book.recomputed(key)
            held = Holding(
                totals.value,
                totals.delta,
                totals.gamma,
                totals.theta,
                totals.vega,
                totals.stress,
                held.interest,
                held.legs,
            )
            book.books[key] = held
            gap += abs(board.spot - book.points[key].spot) + abs(board.surface - book.points[key].surface)
        pairs = zip(
            (board.value, board.delta, board.gamma, board.vega, board.theta, *board.stress, board.interest, board.legs),
            (held.value, held.delta, held.gamma, held.vega, held.theta, *held.stress, held.interest, held.legs),
            strict=True,
        )
        gap += sum(abs(stored - summed) for stored, summed in pairs)
    return gap


def aggregates_are_sums(stage: Stage, s: Sandbox, events: Sequence[Happened]) -> Check:
    """I2: open interest, claims, boards, inventory and its running sums = what the events' positions add up to."""
    sizes, costs, entries = defaultdict(int), defaultdict(int), defaultdict(int)
    for happened in events:
        args = happened.event.args
        after: list[tuple[str, int, int]] = []  # account, size, cost
        if happened.is_of(s.perp_engine, "Trade"):
            after = [(args.account, args.size, args.cost)]
        elif happened.is_of(s.perp_engine, "Transferred"):
            after = [(args.giver, args.giver_size, args.giver_cost), (args.taker, args.taker_size, args.taker_cost)]
        for account, size, cost in after:
            sizes[account, args.market], costs[account, args.market] = size, cost
            entries[account, args.market] = args.index_long if size > 0 else args.index_short

    ids = range(len(s.markets))
    venues = [(market.id, venue_id) for market in s.markets for venue_id in market.venue_ids]
    params, book, buckets, *rest = stage.reads(
        [
            s.inventory.tx("params"),
            s.inventory.tx("book"),
            s.clearinghouse.tx("buckets"),
            *(s.perp_engine.tx("book", i) for i in ids),
            *(s.inventory.tx("market", i) for i in ids),
            *(s.inventory.tx("market_params", i) for i in ids),
            *(s.hedge_manager.tx("venue_state", venue_id) for _, venue_id in venues),
        ]
    )
    n = len(s.markets)
    books, markets, spreads, states = rest[:n], rest[n : 2 * n], rest[2 * n : 3 * n], rest[3 * n :]
    options = options_of(s, events)
    gaps: dict[str, int] = defaultdict(int)
    gaps["boards"] = _boards_gap(stage, s, options, params.horizon)
    gaps["payables"] = abs(buckets.payables - sum(settled.owed for settled in options.settlements.values()))
    sums: dict[str, int] = defaultdict(int)
    loss_sum = value = 0
    for i in ids:
        mine = {account: size for (account, market), size in sizes.items() if market == i and size}
        longs = sum(size for size in mine.values() if size > 0)
        shorts = -sum(size for size in mine.values() if size < 0)
        claims = 0
        for account, size in mine.items():
            now = (books[i].index_long, books[i].index_short)[0 if size > 0 else 1]
            claims += costs[account, i] * 10**9 + abs(size) * (now - entries[account, i])
        hedge = sum(state.exposure for (market, _), state in zip(venues, states, strict=True) if market == i)
        gaps["open interest"] += abs(longs - books[i].long) + abs(shorts - books[i].short)
        gaps["claims"] += abs(claims - books[i].claims)
        gaps["claims"] += sum(abs(costs[key]) for key, size in sizes.items() if key[1] == i and not size)
        m, sigma_h = markets[i], markets[i].sigma * params.root // WAD
        boards = [key for key, held in options.books.items() if market_of(key) == i and held.legs]
        exposures = [options.exposure(key) for key in boards]
        stress = [sum(options.books[key].stress[k] for key in boards) for k in range(len(m.stress))]
        gaps["delta"] += abs(m.delta - (hedge - longs + shorts + sum(x.delta for x in exposures)))
        gaps["gamma and vega"] += abs(m.gamma - sum(x.gamma for x in exposures))
        gaps["gamma and vega"] += abs(m.vega - sum(x.vega for x in exposures))
        gaps["stress"] += sum(abs(stored - summed) for stored, summed in zip(m.stress, stress, strict=True))
        a = delta_term(m.delta, m.price, sigma_h)
        b = vega_term(m.vega, spreads[i].vol_of_vol * params.root // WAD) if m.optioned else 0
        g = gamma_term(m.gamma, m.price, sigma_h) if m.optioned else 0
        for name, term in (("a", a), ("b", b), ("g", g), ("p", square_term(a, b, params.weights.rho))):
            sums[name] += term
        sums["gg"] += g * g // WAD
        loss_sum += vector_loss(m.delta, m.price, m.stress) if m.optioned else linear_loss(m.delta, m.price)
        value += floor_div(books[i].claims, 10**9) + (shorts - longs) * m.price // WAD
        value += sum(options.told(key, m.price) for key in boards)
    for (market, _), state in zip(venues, states, strict=True):
        value += state.equity + state.exposure * (markets[market].price - state.price) // WAD
    gaps["sums"] = sum(abs(getattr(book.sums, name) - term) for name, term in sums.items())
    gaps["sums"] += abs(book.loss - loss_sum)
    worth_gap = abs(book.value - value) / 1e18
    positions = sum(1 for size in sizes.values() if size)
    held = sum(len(legs) for legs in options.legs_of.values())
    exact = sum(gaps.values())
    shown = ", ".join(f"{name} off by {gap}" for name, gap in gaps.items())
    return Check(
        "I2",
        "aggregates = sums over positions",
        exact == 0 and worth_gap < 0.01,
        f"{positions} positions, {held} in options on {len(options.books)} boards: {shown}; "
        f"worth off by {worth_gap:.1e}",
        {"positions": positions, "options": held, "live_boards": len(options.books), **gaps, "worth_gap": worth_gap},
    )


def boards_are_gone(stage: Stage, s: Sandbox) -> Check:
    """I2 in the end: every board is settled and cleared, and nothing is kept for anybody who had options."""
    buckets, *listed = stage.reads(
        [s.clearinghouse.tx("buckets"), *(s.option_book.tx("expiries", market.id) for market in s.markets)]
    )
    left = sum(len(expiries) for expiries in listed)
    interest = sum(stage.reads([s.option_book.tx("interest", market.id) for market in s.markets]))
    return Check(
        "I2",
        "every board is settled and cleared",
        left == 0 and interest == 0 and buckets.payables == 0,
        f"{left} boards and {interest} lots left, payables {buckets.payables} wei",
        {"boards": left, "interest": interest, "payables_wei": buckets.payables},
    )


# ---- I3


def reserve_is_conserved(stage: Stage, s: Sandbox, events: Sequence[Happened]) -> Check:
    """I3: R = charges + subsidies - rebates - releases and no release is negative.

    Nothing is released and nothing is re-marked between two trades of a block: there R moves by the charge to the wei,
    and a rise of U is charged exactly, unless a loss has lowered risk capital between them. Of a charge counts what was
    paid: a liquidated account pays what it has, and what the reserve covers is measured again then.
    """
    charges = rebates = subsidies = releases = reserve = asked = 0
    boost = 0  # what LPs have just added to the rebate of the trade that follows
    lowest = pairs = wrong = negative = 0
    owed = 0  # what a trade since the last settlement has added to R
    follows = False  # that trade was not the first of its block
    previous: tuple[int, int, int] | None = None  # block, risk capital, U after the last change of an exposure
    for happened in events:
        name, args = happened.event.name, happened.event.args
        if name == "Boosted":
            boost = args.amount
            subsidies += boost
            owed += boost
        elif name == "ExposureChanged":
            follows = previous is not None and previous[:2] == (happened.block, args.risk_capital) and args.charge != 0
            if previous is not None and follows:
                pairs += 1
                rise = args.potential - previous[2]
                wrong += args.charge != rise if rise > 0 else not rise <= args.charge + boost <= 0
            boost = 0
            previous = (happened.block, args.risk_capital, args.potential)
            owed += args.charge
            charges += max(0, args.charge)
            rebates += max(0, -args.charge)
            asked = args.charge
        elif happened.is_of(s.perp_engine, "Trade") or happened.is_of(s.option_engine, "Trade"):
            unpaid = max(0, asked - max(0, args.charge))
            owed -= unpaid
            charges -= unpaid
        elif name == "Liquidated":
            previous, follows = None, False
        elif happened.is_of(s.clearinghouse, "Settled", "ReserveReleased"):
            release = reserve + (owed if name == "Settled" else 0) - args.reserve
            if name == "Settled":
                wrong += follows and release != 0
                owed, follows = 0, False
            negative += release < 0
            releases += release
            reserve = args.reserve
            lowest = min(lowest, reserve)
    on_chain = stage.reads([s.clearinghouse.tx("vault_ledger")])[0][1]
    residue = charges + subsidies - rebates - releases - on_chain
    return Check(
        "I3",
        "R = charges + subsidies - rebates - releases, R >= 0",
        residue == 0 and negative == 0 and wrong == 0 and lowest >= 0,
        f"{charges / 1e18:,.2f} + {subsidies / 1e18:,.2f} - {rebates / 1e18:,.2f} - {releases / 1e18:,.2f} = "
        f"{on_chain / 1e18:,.2f}, "
        f"off by {residue} wei; {pairs} same-block pairs charged exactly",
        {"residue_wei": residue, "negative_releases": negative, "pairs": pairs, "wrongly_charged": wrong},
    )


# ---- I4


def zero_sum(stage: Stage, s: Sandbox, replay: Replay, events: Sequence[Happened]) -> Check:
    """I4: what traders, LPs, keepers and the protocol gained is what venues brought in; nothing else came or went."""
    scale = 10**18 // 10**s.decimals
    gained: dict[str, int] = defaultdict(int)
    keeper = address_of(replay.actors.keeper)
    venue = 0
    for happened in events:
        name, args, emitter = happened.event.name, happened.event.args, happened.event.address
        if name == "Deposited":
            gained["keepers" if args.account == keeper else "traders"] -= args.units
        elif name == "Withdrawn":
            gained["keepers" if args.account == keeper else "traders"] += args.units
        elif name == "Deposit" and emitter == s.vault.address:
            gained["LPs"] -= args.assets
        elif name == "Withdraw" and emitter == s.vault.address:
            gained["LPs"] += args.assets
        elif name == "ProtocolWithdrawn":
            gained["protocol"] += args.units
        elif name == "VenueFunded":
            venue -= args.units
        elif name == "LpCollected" and args.source == s.hedge_manager.address:
            venue += args.units
    buckets, held = stage.reads([s.clearinghouse.tx("buckets"), s.quote.tx("balanceOf", s.clearinghouse)])
    gained["insurance"] = buckets.insurance // scale
    gained["dust"] = held - gained["insurance"]
    residue = sum(gained.values()) - venue
    shown = ", ".join(f"{who} {units * scale / 1e18:+,.2f}" for who, units in gained.items() if who != "dust")
    return Check(
        "I4",
        "zero sum over everybody",
        residue == 0,
        f"{shown}, dust {gained['dust'] * scale / 1e18:.6f} = venues {venue * scale / 1e18:+,.2f}, "
        f"off by {residue} units",
        {
            **{who: units * scale / 1e18 for who, units in gained.items()},
            "venues": venue * scale / 1e18,
            "residue": residue,
        },
    )


# ---- probes


class Probe:
    """Tries things out at the present state; everything it does is undone."""

    def __init__(self, stage: AnvilStage, s: Sandbox, replay: Replay) -> None:
        self.stage = stage
        self.s = s
        self.replay = replay
        self.prices = [s.oracle.call("peek", i).price for i in range(len(s.markets))]
        self.first = replay.actors.stranger
        self.second = replay.actors.arbitrageur

    def run(self) -> list[Check]:
        """I5, I6 and I7."""
        return [self.splitting(), self.round_trips(), self.lp_actions()]

    def splitting(self) -> Check:
        """I5: in parts and over two accounts a trade costs at least what it costs at once."""
        gains, cheapest = [], 0.0
        for market in range(len(self.prices)):
            for sign in (1, -1):
                size = sign * int(SPLIT_NOTIONAL * 1e36 / self.prices[market]) // PARTS * PARTS
                with self._block():
                    whole = self._cost([(self.first, market, size)])
                owners = [self.first if i % 2 else self.second for i in range(PARTS)]
                with self._block():
                    parts = self._cost([(owner, market, size // PARTS) for owner in owners])
                gains.append(whole - parts)
                cheapest = max(cheapest, abs(whole) / 1e18)
            for sign in (1, -1):
                lots = sign * (int(SPLIT_NOTIONAL * 1e36 / self.prices[market]) // LOT // PARTS)
                with self._block():
                    whole = self._option(self.first, market, PARTS * lots)
                with self._block():
                    parts = sum(self._option(self.first if i % 2 else self.second, market, lots) for i in range(PARTS))
                gains.append(whole - parts)
        return Check(
            "I5",
            "splitting a trade never helps",
            max(gains) <= PARTS,
            f"{len(gains)} trades of {SPLIT_NOTIONAL:,.0f}, half of them in options, in {PARTS} parts over 2 accounts: "
            f"largest saving {max(gains)} wei (allowed {PARTS}); largest cost of a perpetual {cheapest:,.2f}",
            {"largest_saving_wei": max(gains)},
        )

    def round_trips(self) -> Check:
        """I6: back to the start in one block: the actor is no richer, LPs and reserve no poorer."""
        results, others = [], []
        both: list[tuple[int, bool]] = [(market, kind) for market in range(len(self.prices)) for kind in (False, True)]
        trips = [[(*what, sign), (*what, -sign)] for what in both for sign in (1, -1)]
        # and around two of them: both markets, or a perpetual against options
        for one, other in ((both[0], both[2]), (both[0], both[1]), (both[1], both[3])):
            trips.append([(*one, 1), (*other, -1), (*one, -1), (*other, 1)])
            trips.append([(*one, -1), (*other, -1), (*other, 1), (*one, 1)])
        for trip in trips:
            with self._block():
                before = self._wealth()
                for market, is_option, sign in trip:
                    size = sign * int(SPLIT_NOTIONAL * 1e36 / self.prices[market])
                    if is_option:
                        self._option(self.first, market, tdiv(size, LOT))
                    else:
                        self._trade(self.first, market, size)
                after = self._wealth()
                results.append(after[0] - before[0])
                others.append(after[1] - before[1])
        return Check(
            "I6",
            "no round trip gains",
            max(results) <= 0 and min(others) >= 0,
            f"{len(trips)} round trips through perpetuals and options: the actor's best {max(results) / 1e18:+,.2f}, "
            f"the others' worst {min(others) / 1e18:+,.2f}",
            {"actor_best": max(results) / 1e18, "others_worst": min(others) / 1e18},
        )

    def lp_actions(self) -> Check:
        """I7: a deposit, a gift and an epoch of redemptions do not lower the bid per share of those who stay."""
        s, send = self.s, self._send
        changes: dict[str, float] = {}
        with self._block():
            before = self._bid_per_share()
            send(s.vault.tx("deposit", s.units(PROBE_DEPOSIT), self.first, sender=self.first))
            changes["deposit"] = self._bid_per_share() / before - 1
        with self._block():
            before = self._bid_per_share()
            send(s.quote.tx("transfer", s.clearinghouse, s.units(PROBE_GIFT), sender=self.first))
            changes["gift"] = self._bid_per_share() / before - 1
        with self._block():
            lp = self.replay.actors.lps[0]
            shares = s.vault.call("balanceOf", lp) // PROBE_LEAVES
            send(s.vault.tx("requestRedeem", shares, lp, lp, sender=lp))
            epoch = s.vault.call("epoch")
            while True:  # an epoch that is over already is processed first: its requests are older
                self.stage.mine(max(epoch.ends_at, self.stage.chain.now + 1), self.replay.last_rounds())
                send(s.inventory.tx("sync_all", sender=self.first))
                self._put_in_order()
                before = self._bid_per_share()
                receipt = send(s.vault.tx("processEpoch", sender=self.first))
                filled = receipt.one("EpochProcessed").filled
                if filled:
                    break
                epoch = s.vault.call("epoch")
            changes["redemption"] = self._bid_per_share() / before - 1
        # 1e-12: bids are compared as floats
        return Check(
            "I7",
            "LP entry and exit harm nobody who stays",
            min(changes.values()) >= -1e-12,
            "bid per share " + ", ".join(f"{change:+.3e} by a {what}" for what, change in changes.items()),
            {f"by_{what}": change for what, change in changes.items()},
        )

    # ---- internal

    @contextmanager
    def _block(self) -> Iterator[None]:
        """A new block (one timestamp, however many transactions) that has not happened afterwards."""
        with self.stage.what_if():
            s, chain = self.s, self.stage.chain
            txs: list[Tx] = []
            for owner in (self.first, self.second):
                chain.set_balance(owner, GAS_MONEY)
                txs.append(s.quote.tx("mint", owner, s.units(10**7), sender=owner))
                txs.append(s.quote.tx("approve", s.clearinghouse, NO_LIMIT, sender=owner))
                txs.append(s.quote.tx("approve", s.vault, NO_LIMIT, sender=owner))
                txs.append(s.clearinghouse.tx("deposit", s.units(10**6), owner, sender=owner))
            txs += self.replay.last_rounds()
            txs.append(s.inventory.tx("sync_all", sender=self.first))
            for receipt in self.stage.mine(chain.now + 60, txs):
                if receipt.error is not None:
                    raise receipt.error
            self._put_in_order()
            yield

    def _put_in_order(self) -> None:
        """Boards are refreshed and settled, as LPs need them."""
        for tx in self.replay.upkeep(self.first):
            self._send(tx)

    def _option(self, owner: str, market: int, lots: int) -> int:
        """Trade the call nearest to the money of the last expiry; what that costs, premium included [quote, WAD]."""
        s = self.s
        view = s.lens.call("boards", market)[-1]
        index = min(range(len(view.strikes)), key=lambda i: abs(view.strikes[i].strike - self.prices[market]))
        series = pack(view.strikes[index].strike // STRIKE_UNIT, index, key_of(market, view.expiry), False)
        tx = s.option_engine.tx("trade", [(series, lots * LOT)], 2**255 - 1, NO_LIMIT, sender=owner)
        done = self._send(tx).one("Trade", s.option_engine)
        return int(done.premium + done.half_spread + done.charge)

    def _send(self, tx: Tx) -> Receipt:
        """In the block that is open: time does not pass."""
        return self.stage.chain.transact(tx)

    def _trade(self, owner: str, market: int, size: int) -> Any:
        limit = NO_LIMIT if size > 0 else 0
        tx = self.s.perp_engine.tx("trade", market, size, limit, NO_LIMIT, sender=owner)
        return self._send(tx).one("Trade", self.s.perp_engine)

    def _cost(self, trades: Sequence[tuple[str, int, int]]) -> int:
        """Half-spreads and charges together [quote, WAD]."""
        done = [self._trade(owner, market, size) for owner, market, size in trades]
        return sum(trade.half_spread + trade.charge for trade in done)

    def _wealth(self) -> tuple[int, int]:
        """The actor's cash; LP cash and reserve [quote, WAD]."""
        account, ledger = self.stage.reads(
            [self.s.clearinghouse.tx("account", self.first), self.s.clearinghouse.tx("vault_ledger")]
        )
        return account[0], ledger[0] + ledger[1]

    def _bid_per_share(self) -> float:
        value = self.s.vault.call("valuation")
        return float((value.bid + VIRTUAL) / (value.supply + VIRTUAL))
