"""The invariants I1-I7, checked on what a run has left.

I1-I4 are recomputed from events and compared with storage, exactly. I5-I7 are tried out, and the probes undone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ballast.chain import Event, Receipt, Tx, address_of
from ballast.demo.replay import GAS_MONEY, Replay
from ballast.demo.stage import AnvilStage, Stage
from ballast.model.exact.fixed import WAD, floor_div
from ballast.model.exact.inventory import linear_loss
from ballast.model.exact.potential import delta_term, square_term
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


def history(stage: Stage, s: Sandbox) -> list[Happened]:
    """Every event of the system's contracts, in order."""
    contracts = (s.clearinghouse, s.perp_engine, s.inventory, s.hedge_manager, s.vault)
    chain, last = stage.chain, stage.chain.number
    return [
        Happened(chain.decode_log(log), log.tx_hash, log.block_number)
        for first in range(0, last + 1, BLOCKS_PER_QUERY)
        for log in chain.logs(contracts, first, min(last, first + BLOCKS_PER_QUERY - 1))
    ]


# ---- I1


def ledger_covers_tokens(stage: Stage, s: Sandbox, events: Sequence[Happened]) -> Check:
    """I1: tokens held = the sum of all buckets and accounts, to the wei, plus gifts."""
    named = {e.event.args.account for e in events if e.event.name in ("Settled", "Deposited")}
    named |= {e.event.args.liquidator for e in events if e.event.name == "LiquidationPaid"}
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


def aggregates_are_sums(stage: Stage, s: Sandbox, events: Sequence[Happened]) -> Check:
    """I2: open interest, claims, inventory and its running sums = what the events' positions add up to."""
    sizes, costs, entries = defaultdict(int), defaultdict(int), defaultdict(int)
    for happened in events:
        args = happened.event.args
        if happened.event.name == "Trade":
            key = (args.account, args.market)
            sizes[key], costs[key] = args.size, args.cost
            entries[key] = args.index_long if args.size > 0 else args.index_short

    ids = range(len(s.markets))
    venues = [(market.id, venue_id) for market in s.markets for venue_id in market.venue_ids]
    params, book, *rest = stage.reads(
        [
            s.inventory.tx("params"),
            s.inventory.tx("book"),
            *(s.perp_engine.tx("book", i) for i in ids),
            *(s.inventory.tx("market", i) for i in ids),
            *(s.hedge_manager.tx("venue_state", venue_id) for _, venue_id in venues),
        ]
    )
    n = len(s.markets)
    books, markets, states = rest[:n], rest[n : 2 * n], rest[2 * n :]
    gaps: dict[str, int] = defaultdict(int)
    a_sum = p_sum = loss_sum = value = 0
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
        gaps["delta"] += abs(markets[i].delta - (hedge - longs + shorts))
        a = delta_term(markets[i].delta, markets[i].price, markets[i].sigma * params.root // WAD)
        a_sum += a
        p_sum += square_term(a, 0, params.weights.rho)
        loss_sum += linear_loss(markets[i].delta, markets[i].price)
        value += floor_div(books[i].claims, 10**9) + (shorts - longs) * markets[i].price // WAD
    for (market, _), state in zip(venues, states, strict=True):
        value += state.equity + state.exposure * (markets[market].price - state.price) // WAD
    gaps["sums"] = abs(book.sums.a - a_sum) + abs(book.sums.p - p_sum) + abs(book.loss - loss_sum)
    worth_gap = abs(book.value - value) / 1e18
    positions = sum(1 for size in sizes.values() if size)
    exact = sum(gaps.values())
    shown = ", ".join(f"{name} off by {gap}" for name, gap in gaps.items())
    return Check(
        "I2",
        "aggregates = sums over positions",
        exact == 0 and worth_gap < 0.01,
        f"{positions} positions: {shown}; worth off by {worth_gap:.1e}",
        {"positions": positions, **gaps, "worth_gap": worth_gap},
    )


# ---- I3


def reserve_is_conserved(stage: Stage, s: Sandbox, events: Sequence[Happened]) -> Check:
    """I3: R = charges - rebates - releases and no release is negative.

    Nothing is released and nothing is re-marked between two trades of a block: there R moves by the charge to the wei,
    and a rise of U is charged exactly.
    """
    charges = rebates = releases = reserve = 0
    lowest = pairs = wrong = negative = 0
    owed = 0  # what a trade since the last settlement has added to R
    follows = False  # that trade was not the first of its block
    previous: tuple[int, int] | None = None  # block, U after the last change of an exposure
    for happened in events:
        name, args = happened.event.name, happened.event.args
        if name == "ExposureChanged":
            follows = previous is not None and previous[0] == happened.block and args.charge != 0
            if previous is not None and follows:
                pairs += 1
                rise = args.potential - previous[1]
                wrong += args.charge != rise if rise > 0 else not rise <= args.charge <= 0
            previous = (happened.block, args.potential)
            owed += args.charge
            charges += max(0, args.charge)
            rebates += max(0, -args.charge)
        elif name in ("Settled", "ReserveReleased"):
            release = reserve + (owed if name == "Settled" else 0) - args.reserve
            if name == "Settled":
                wrong += follows and release != 0
                owed, follows = 0, False
            negative += release < 0
            releases += release
            reserve = args.reserve
            lowest = min(lowest, reserve)
    on_chain = stage.reads([s.clearinghouse.tx("vault_ledger")])[0][1]
    residue = charges - rebates - releases - on_chain
    return Check(
        "I3",
        "R = charges - rebates - releases, R >= 0",
        residue == 0 and negative == 0 and wrong == 0 and lowest >= 0,
        f"{charges / 1e18:,.2f} - {rebates / 1e18:,.2f} - {releases / 1e18:,.2f} = {on_chain / 1e18:,.2f}, "
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
        return Check(
            "I5",
            "splitting a trade never helps",
            max(gains) <= PARTS,
            f"{len(gains)} trades of {SPLIT_NOTIONAL:,.0f} in {PARTS} parts over 2 accounts: "
            f"largest saving {max(gains)} wei (allowed {PARTS}); largest cost {cheapest:,.2f}",
            {"largest_saving_wei": max(gains)},
        )

    def round_trips(self) -> Check:
        """I6: back to the start in one block: the actor is no richer, LPs and reserve no poorer."""
        results, others = [], []
        trips = [[(market, sign), (market, -sign)] for market in range(len(self.prices)) for sign in (1, -1)]
        if len(self.prices) > 1:
            trips += [[(0, 1), (1, -1), (0, -1), (1, 1)], [(0, -1), (1, -1), (1, 1), (0, 1)]]
        for trip in trips:
            with self._block():
                before = self._wealth()
                for market, sign in trip:
                    size = sign * int(SPLIT_NOTIONAL * 1e36 / self.prices[market])
                    self._trade(self.first, market, size)
                after = self._wealth()
                results.append(after[0] - before[0])
                others.append(after[1] - before[1])
        return Check(
            "I6",
            "no round trip gains",
            max(results) <= 0 and min(others) >= 0,
            f"{len(trips)} round trips: the actor's best result {max(results) / 1e18:+,.2f}, "
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
            yield

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
