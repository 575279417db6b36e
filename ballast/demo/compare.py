"""The same trades, one by one, in vaults that are run differently: in process, on the same contracts.

A variant gets the recorded run's LPs, prices, surfaces, boards and executed trades (a liquidation as its account's own
closing) and nothing else: no venue, and no keeper but somebody who refreshes and settles boards. Its traders have
margin without end, so that nobody's default depends on what the variant charges.
What LPs end with therefore differs by pricing and hedging alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ballast.chain import Receipt, Reverted, RevmChain, Tx
from ballast.chain.uniswap import MAX_UINT
from ballast.demo.flow import MARKETS, Minute, Scenario
from ballast.demo.options import LIST, POST, OptionFloor, upkeep
from ballast.demo.replay import (
    GENESIS_LEAD,
    LATE_AT,
    LATE_LP,
    LEAVE_AT,
    LEAVER,
    LP_SHARES,
    RELEASE,
    SAMPLE,
    Actors,
    Done,
    DoneOptions,
    Sample,
    config_for,
    take_sample,
)
from ballast.demo.stage import RevmStage
from ballast.system import NO_LIMIT, deploy_system

MOST = 2**255 - 1  # [quote, WAD] what a trade in options may cost
FLAT_FEE = 0.001  # [fraction of notional] of the flat-fee variant


@dataclass(frozen=True, slots=True)
class Variant:
    """How a vault is run."""

    name: str
    flat_fee: float | None = None  # [fraction]; None: spreads and inventory charges as deployed
    options: bool = True  # whether it takes the trades in options


UNHEDGED = Variant("without hedge")
PERPETUALS = Variant("without hedge or options", options=False)
FLAT = Variant("flat fee", FLAT_FEE)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a variant came to."""

    variant: Variant
    samples: tuple[Sample, ...]
    profit: float  # [quote] of all LPs together, after everything is closed and released
    half_spreads: float
    charges: float
    rebates: float
    options: float  # premiums received less premiums and payoffs paid
    volume: float  # of perpetuals
    trades: int
    refused: int  # recorded trades that this variant would not take


def run(scenario: Scenario, done: Sequence[Done | DoneOptions], variant: Variant) -> Outcome:
    """One variant from the first deposit to the last release."""
    return _Run(scenario, done, variant).outcome()


class _Run:
    def __init__(self, scenario: Scenario, done: Sequence[Done | DoneOptions], variant: Variant) -> None:
        self.scenario = scenario
        self.variant = variant
        chain = RevmChain(timestamp=scenario.start.time - GENESIS_LEAD)
        self.stage = RevmStage(chain)
        self.system = deploy_system(chain, config_for(scenario, venues=False, flat_fee=variant.flat_fee))
        perpetuals = [trade.account for trade in done if isinstance(trade, Done)]
        self.actors = Actors.create(max(perpetuals, default=0) + 1)
        self.floor = OptionFloor(self.stage, self.system, scenario, self.actors.optioneers, self.actors.feeder)
        self.trades: dict[int, list[Done | DoneOptions]] = defaultdict(list)
        for trade in done:
            if variant.options or isinstance(trade, Done):
                self.trades[trade.minute].append(trade)
        self.late = False  # the late LP is in
        self.posted = False  # feeders posted in the minute before
        self.half_spreads = self.charges = self.rebates = self.volume = self.options = 0.0
        self.count = self.refused = 0
        self.deposited = 0.0
        self.claimed = 0.0

    def outcome(self) -> Outcome:
        self._open()
        samples: list[Sample] = []
        last = len(self.scenario.minutes)
        for minute in self.scenario.minutes:
            txs = [self._round(i, price) for i, price in enumerate(minute.prices) if minute.rounds[i]]
            txs += self._board_txs(minute)
            txs += self._lp_txs(minute.index)
            txs += [self._trade(trade) for trade in self.trades[minute.index]]
            sampling = minute.index % SAMPLE == 0
            if txs or sampling:
                self._mine(minute.time, txs)
            if minute.index >= self.scenario.at(LATE_AT) and not self.late:
                self._let_in()
            if minute.index % 60 == 45:
                self._process_epoch()
            if sampling:
                samples.append(take_sample(self.stage, self.system, self.actors.stranger))
        after = sorted(minute for minute in self.trades if minute >= last)
        prices = self.scenario.minutes[-1].prices
        for minute_index in after:
            time = self.scenario.minutes[-1].time + 60 * (minute_index - last + 1)
            due = (minute_index - last) % 60 == 0
            rounds = [self._round(i, price) for i, price in enumerate(prices)] if due else []
            renewed = self._optional and (minute_index - last) % POST == 0
            surfaces = self.floor.surface_txs(time, prices) if renewed else []
            self._mine(time, [*rounds, *surfaces, *(self._trade(trade) for trade in self.trades[minute_index])])
        return Outcome(
            variant=self.variant,
            samples=tuple(samples),
            profit=self._settle(),
            half_spreads=self.half_spreads,
            charges=self.charges,
            rebates=self.rebates,
            options=self.options,
            volume=self.volume,
            trades=self.count,
            refused=self.refused,
        )

    # ---- steps

    def _open(self) -> None:
        s, actors = self.system, self.actors
        txs: list[Tx] = []
        for owner in (*actors.lps, *actors.traders, *actors.optioneers):
            txs.append(s.quote.tx("mint", owner, 10**10 * self._unit, sender=owner))
            txs += [s.quote.tx("approve", spender, MAX_UINT, sender=owner) for spender in (s.clearinghouse, s.vault)]
        traders = (*actors.traders, *actors.optioneers)
        txs += [s.clearinghouse.tx("deposit", 10**9 * self._unit, trader, sender=trader) for trader in traders]
        self._mine(self.stage.chain.now + 1, txs)
        rounds = [self._round(market, price) for market, price in enumerate(self.scenario.start.prices)]
        entries = [
            self._deposit(lp, share * self.scenario.equity) for lp, share in zip(actors.lps, LP_SHARES, strict=False)
        ]
        self._mine(self.scenario.start.time - 120, [*rounds, *entries])
        for _ in range(2):
            self._mine(self.stage.chain.now + 1, [s.inventory.tx("sync_all")])
        if self._optional:
            prices = self.scenario.start.prices
            self._mine(self.stage.chain.now + 1, self.floor.surface_txs(self.stage.chain.now + 1, prices))
            self._mine(self.stage.chain.now + 1, self.floor.listing_txs(self.stage.chain.now, prices))

    @property
    def _optional(self) -> bool:
        return self.variant.options

    def _board_txs(self, minute: Minute) -> list[Tx]:
        """Surfaces and strikes as in the recorded run; a minute after surfaces, boards are refreshed and settled."""
        if not self._optional:
            return []
        txs = self._upkeep() if self.posted else []
        self.posted = self.floor.due(minute)
        if self.posted:
            txs += self.floor.surface_txs(minute.time, minute.prices)
        if minute.index % LIST == LIST - 1:
            txs += self.floor.listing_txs(minute.time, minute.prices)
        return txs

    def _upkeep(self) -> list[Tx]:
        if not self._optional:
            return []
        return upkeep(self.stage, self.system, self.actors.optioneers, self.actors.keeper)

    def _let_in(self) -> None:
        """The late LP, once every board is in order."""
        lp, amount = self.actors.lps[len(LP_SHARES)], LATE_LP * self.scenario.equity
        entry = self.system.vault.tx("deposit", int(amount * self._unit), lp, sender=lp)
        *_, receipt = self._mine(self.stage.chain.now + 1, [*self._upkeep(), entry])
        if receipt.error is None:
            self.late, self.deposited = True, self.deposited + amount

    def _lp_txs(self, index: int) -> list[Tx]:
        s = self.system
        txs: list[Tx] = []
        if index == self.scenario.at(LEAVE_AT):
            lp = self.actors.lps[LEAVER]
            shares = s.vault.call("balanceOf", lp) // 2
            txs.append(s.vault.tx("requestRedeem", shares, lp, lp, sender=lp))
        return txs

    def _process_epoch(self) -> None:
        """When it is over, somebody is waiting and prices are new enough."""
        vault = self.system.vault
        epoch = vault.call("epoch")
        if self.stage.chain.now >= epoch.ends_at and epoch.pending:
            for receipt in self._mine(self.stage.chain.now + 1, self._upkeep()):
                if receipt.error is not None:
                    raise receipt.error
            try:
                self.claimed += vault.send("processEpoch").one("EpochProcessed").paid / 1e18
            except Reverted as error:
                if error.reason != "vault: price older than epoch":
                    raise

    def _settle(self) -> float:
        """A release period after the last settlement: what LPs were paid and still have, less what they brought."""
        book = self.system.option_book
        listed = [e for i in range(len(MARKETS)) for e in self.stage.reads([book.tx("expiries", i)])[0]]
        interest = sum(self.stage.reads([book.tx("interest", i) for i in range(len(MARKETS))]))
        for expiry in sorted(set(listed)) if interest else []:
            if expiry < self.stage.chain.now + RELEASE:
                rounds = [self._round(i, p) for i, p in enumerate(self.scenario.minutes[-1].prices)]
                self._mine(max(expiry + 60, self.stage.chain.now + 1), rounds)
                self._mine(self.stage.chain.now + 1, self._upkeep())
        self._mine(
            self.stage.chain.now + RELEASE, [self._round(i, p) for i, p in enumerate(self.scenario.minutes[-1].prices)]
        )
        self._mine(self.stage.chain.now + 1, [self.system.inventory.tx("sync_all")])
        nav = float(self.system.vault.call("valuation").nav) / 1e18
        return self.claimed + nav - self.deposited

    # ---- transactions

    @property
    def _unit(self) -> int:
        return int(10**self.system.decimals)

    def _mine(self, time: int, txs: Sequence[Tx]) -> list[Receipt]:
        s = self.system
        receipts = self.stage.mine(max(time, self.stage.chain.now + 1), txs)
        for receipt in receipts:
            if receipt.error is not None:
                self.refused += receipt.to in (s.perp_engine.address, s.option_engine.address)
                continue
            for trade in receipt.find("Trade", s.perp_engine):
                self.count += 1
                self.volume += abs(trade.size_delta) * trade.price / 1e36
                self._book(trade)
            for trade in receipt.find("Trade", s.option_engine):
                self.count += 1
                self.options += trade.premium / 1e18
                self._book(trade)
            for settled in receipt.find("Settled", s.option_engine):
                self.options -= settled.payoff / 1e18
        return receipts

    def _book(self, trade: Any) -> None:
        self.half_spreads += trade.half_spread / 1e18
        self.charges += max(0, trade.charge) / 1e18
        self.rebates += max(0, -trade.charge) / 1e18

    def _round(self, market: int, price: float) -> Tx:
        return self.system.aggregators[market].tx("push_now", round(price * 1e8), sender=self.actors.feeder)

    def _deposit(self, lp: str, amount: float) -> Tx:
        self.deposited += amount
        return self.system.vault.tx("deposit", int(amount * self._unit), lp, sender=lp)

    def _trade(self, trade: Done | DoneOptions) -> Tx:
        if isinstance(trade, DoneOptions):
            account = self.actors.optioneers[trade.account]
            return self.system.option_engine.tx("trade", list(trade.orders), MOST, NO_LIMIT, sender=account)
        limit = NO_LIMIT if trade.size_wad > 0 else 0
        trader = self.actors.traders[trade.account]
        return self.system.perp_engine.tx("trade", trade.market, trade.size_wad, limit, NO_LIMIT, sender=trader)


def drawdown(samples: Sequence[Sample]) -> float:
    """Largest fall of NAV per share from an earlier peak [fraction]."""
    peak = worst = 0.0
    for sample in samples:
        peak = max(peak, sample.share)
        worst = max(worst, 1 - sample.share / peak)
    return worst
