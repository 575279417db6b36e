"""A recorded window with the contracts themselves in process: traders' flow, a vault that is hedged, real pools.

Prices are a window's 1-minute closes, rounds and flow those of the demo (ballast/demo/flow.py), all of the window.
Traders have margin without end and accept any price: the same trades happen in every vault, whoever hedges it. No
options are traded. A minute is one block at its close: rounds, arbitrage of the Uniswap pools toward the price, orders.
The keeper acts `LATENCY` later. `Vault` runs the whole system and a keeper; `Operator` is somebody trusted who hedges
the same flow at the same pools by himself, unhindered by the rule: no cap, no cool-down, no reward, and no interest on
what he is short of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ballast import data
from ballast.chain import Receipt, RevmChain, Tx
from ballast.chain.uniswap import MAX_UINT, Pool
from ballast.config import Config
from ballast.data import Floats
from ballast.demo.flow import MARKETS, Desk, Minute, Scenario
from ballast.demo.replay import GENESIS_LEAD, LATENCY, Actors, arbitrage
from ballast.demo.stage import RevmStage
from ballast.deployment.surroundings import build as surround
from ballast.keeper import Action, Keeper, Policy, State
from ballast.keeper.decide import decide
from ballast.keeper.journal import Journal
from ballast.keeper.risk import potential_of
from ballast.keeper.state import Rebalance
from ballast.system import NO_LIMIT, deploy_system

MARGIN = 10**9  # [quote] of every trader
IDLE = 30  # [minutes] after which the keeper looks in any case
SLACK = 0.95  # [fraction] of the least slope that could pay: equity has moved since the last look
TURNS = 3  # of the keeper between two minutes
GAS_MONEY = 10**24  # [wei]

Decide = Callable[[State, Policy], Sequence[Action]]


@dataclass(frozen=True, slots=True)
class Order:
    """A trader's trade; size > 0 buys."""

    account: int
    market: int
    size_wad: int


@dataclass(frozen=True, slots=True)
class Hedge:
    """One hedge that was carried out."""

    minute: int
    market: int
    size: float  # [base] > 0 bought
    short: bool  # at a venue that borrows
    loss: float  # [quote] against the oracle's price: fee and impact
    loss_at_market: float  # [quote] against the recorded price of the minute
    cost: float  # [quote] as the rule measures it
    reward: float  # [quote]
    refund: float  # [quote] for gas
    gas_price: float  # [quote per gas]


@dataclass(frozen=True, slots=True)
class Course:
    """What a window came to in one vault. Arrays have the shape (n_minutes, n_markets), after the minute's hedges."""

    delta: Floats  # [base] the vault's
    hedges: tuple[Hedge, ...]
    charges: float  # [quote] of trades that raised U
    rebates: float  # [quote]
    half_spreads: float  # [quote]
    volume: float  # [quote] of traders
    interest: float  # [quote] that LPs paid for what they borrowed, less what their collateral earned
    refused: dict[str, int]  # hedges that a simulation stopped, by reason
    trades_refused: int


class Tape:
    """A scenario's orders and prices, the same for everybody who replays it."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.orders = tuple(_orders(scenario))
        self.prices = np.array([minute.prices for minute in scenario.minutes])
        flow = np.zeros_like(self.prices)
        for k, orders in enumerate(self.orders):
            for order in orders:
                flow[k, order.market] += order.size_wad / 1e18
        self.traders = np.cumsum(flow, axis=0)  # [base] their net position

    @property
    def days(self) -> float:
        """How long it is."""
        return len(self.orders) / 1_440

    def pnl(self, delta: Floats) -> Floats:
        """What a delta of the vault earns in each minute [quote], shape (n_minutes - 1,)."""
        return np.asarray((delta[:-1] * np.diff(self.prices, axis=0)).sum(axis=1))

    def error(self, delta: Floats) -> float:
        """Tracking error [quote]: standard deviation of a day's P&L of a delta, from that of its minutes."""
        return float(np.sqrt((self.pnl(delta) ** 2).sum() / self.days))

    def error_of_days(self, delta: Floats) -> float:
        """The same from the P&L of whole days since the start [quote]."""
        by_minute = self.pnl(delta)
        days = max(1, len(by_minute) // 1_440)
        by_day = by_minute[: days * 1_440].reshape(days, -1).sum(axis=1)
        return float(np.sqrt((by_day**2).mean()))


def _orders(scenario: Scenario) -> list[list[Order]]:
    """Every order of every minute; nobody is refused, so positions are what was ordered."""
    desk = Desk()
    held = [[0] * len(MARKETS) for _ in desk.leverages]
    found: list[list[Order]] = []
    for minute in scenario.minutes:
        found.append([])
        for order in desk.orders(minute):
            size_wad = int(order.size * 1e18)
            if order.closing and abs(desk.sizes[order.account][order.market] + order.size) < 1e-6:
                size_wad = -held[order.account][order.market]
            held[order.account][order.market] += size_wad
            desk.sizes[order.account][order.market] = held[order.account][order.market] / 1e18
            if size_wad:
                found[-1].append(Order(order.account, order.market, size_wad))
    return found


def gas_prices(scenario: Scenario) -> Floats:
    """Ethereum's mean gas price of the day of each minute [wei]."""
    days, wei = data.gas_price()
    return np.array([wei[np.searchsorted(days, minute.time, side="right") - 1] for minute in scenario.minutes])


class Vault:
    """The whole system with its keeper through a window."""

    def __init__(
        self,
        tape: Tape,
        config: Config,
        gas: Floats,
        *,
        decide: Decide = decide,
        policy: Policy | None = None,
    ) -> None:
        self.tape = tape
        self.gas = gas  # [wei] by minute
        self.decide = decide
        self.policy = policy or Policy()
        start = tape.scenario.start
        self.chain = RevmChain(timestamp=start.time - GENESIS_LEAD, keep_logs=True)
        self.stage = RevmStage(self.chain)
        self.system = deploy_system(self.chain, config)
        self.actors = Actors.create(len(Desk().leverages))
        self.keeper = Keeper(self.chain, self.system, self.actors.keeper, policy=self.policy, journal=Journal())
        self.rule = list(config.hedging.rule(config.gas_market))
        self.venues = [venue for market in self.system.markets for venue in market.venues]
        self.shorts = [venue.artifact.name == "AaveShortVenue" for venue in self.venues]
        self.exposure = [0] * len(self.venues)  # [base, WAD] after the last hedge
        self.collateral = [0.0] * len(self.venues)  # [quote]
        self.marks: list[tuple[float, float]] = []  # price, sigma
        self._traders = [0.0] * len(MARKETS)  # [base] net
        self.state: State | None = None  # as the keeper saw it last ...
        self.looked_at = 0  # ... after this minute
        fees = [fee for market in config.markets for venue in market.venues for fee in venue.fees]
        self.fee = min(fees, default=0) / 1e6
        self.gas_price = 0.0  # [quote per gas]
        self.hedges: list[Hedge] = []
        self.charges = self.rebates = self.half_spreads = self.volume = self.interest = 0.0
        self.refused: dict[str, int] = {}
        self.trades_refused = 0

    def run(self, progress: Callable[[int], None] = lambda minute: None) -> Course:
        """Every minute of the window."""
        self._open()
        delta = np.zeros_like(self.tape.prices)
        for k, minute in enumerate(self.tape.scenario.minutes):
            self._play(k, minute)
            delta[k] = [self._delta(market) for market in range(len(MARKETS))]
            progress(k)
        self._accrue(range(len(self.venues)))
        return Course(
            delta, tuple(self.hedges), self.charges, self.rebates, self.half_spreads, self.volume, self.interest,
            self.refused, self.trades_refused,
        )  # fmt: skip

    # ---- the window

    def _open(self) -> None:
        s, actors, unit = self.system, self.actors, 10**self.system.decimals
        for address in actors.everyone():
            self.chain.set_balance(address, GAS_MONEY)
        self.chain.set_balance(s.governor, GAS_MONEY)
        txs: list[Tx] = []
        for owner in (*actors.lps, *actors.traders):
            txs.append(s.quote.tx("mint", owner, 10 * MARGIN * unit, sender=owner))
            txs += [s.quote.tx("approve", spender, MAX_UINT, sender=owner) for spender in (s.clearinghouse, s.vault)]
        txs += [s.clearinghouse.tx("deposit", MARGIN * unit, trader, sender=trader) for trader in actors.traders]
        txs += _funding_txs(s.pools, actors.arbitrageur)
        self._mine(self.chain.now + 1, txs)
        lp = actors.lps[0]
        rounds = [self._round(market, price) for market, price in enumerate(self.tape.scenario.start.prices)]
        entry = s.vault.tx("deposit", int(self.tape.scenario.equity) * unit, lp, sender=lp)
        self._mine(self.tape.scenario.start.time - 120, [*rounds, entry])
        for _ in range(2):
            self._mine(self.chain.now + 1, [s.inventory.tx("sync_all", sender=actors.feeder)])
        self._read_marks()

    def _play(self, k: int, minute: Minute) -> None:
        s = self.system
        txs = [self._round(i, price) for i, price in enumerate(minute.prices) if minute.rounds[i]]
        news = bool(txs or self.tape.orders[k])
        if self.venues:
            txs += arbitrage(self.stage, s.pools, minute.prices, self.actors.arbitrageur)
            if k == 0 or self.gas[k] != self.gas[k - 1]:
                txs.append(self._gas_tx(int(self.gas[k])))
        for order in self.tape.orders[k]:
            limit = NO_LIMIT if order.size_wad > 0 else 0
            trader = self.actors.traders[order.account]
            txs.append(s.perp_engine.tx("trade", order.market, order.size_wad, limit, NO_LIMIT, sender=trader))
        for receipt in self._mine(minute.time, txs) if txs else []:
            self._read_trades(receipt)
        if any(minute.rounds):
            self._read_marks()
        self.gas_price = float(self.gas[k]) / 1e18 * self.marks[self.rule[6]][0]
        for _ in range(TURNS if news and self.venues else 0):
            if not self._may_pay(k) or not self._look(k, minute):
                break

    def _may_pay(self, k: int) -> bool:
        """Whether any hedge could pay: U is convex, so none does where its slope earns less than the lowest fee."""
        if self.state is None or k - self.looked_at >= IDLE:
            return True
        markets = tuple(
            replace(market, price=price, sigma=sigma, delta=self._delta(market.id))
            for market, (price, sigma) in zip(self.state.markets, self.marks, strict=True)
        )
        sketch = replace(self.state, markets=markets)
        for market in markets:
            potential, step = potential_of(sketch, market.id), 1e-6 * max(abs(market.delta), 1.0)
            slope = abs(potential(step) - potential(-step)) / (2 * step)
            if self.state.rule.phi * slope > SLACK * self.fee * market.price:
                return True
        return False

    def _look(self, k: int, minute: Minute) -> bool:
        """A turn of the keeper; whether it hedged."""
        self.stage.turn_to(max(minute.time, self.chain.now) + LATENCY)
        state = replace(self.keeper.observe(), gas_price=self.gas_price)
        self.state, self.looked_at = state, k
        actions = list(self.decide(state, self.policy))
        if not actions:
            return False
        touched = {action.venue for action in actions if isinstance(action, Rebalance)}
        self._accrue(touched)
        step = self.keeper.carry_out(state, actions)
        hedged = False
        for result in step.results:
            if result.ending in ("refused", "failed"):
                name = f"{result.action.kind}: {result.reason}"
                self.refused[name] = self.refused.get(name, 0) + 1
            elif result.receipt is not None and isinstance(result.action, Rebalance):
                self._note(k, minute, result.receipt)
                hedged = True
        for venue in touched:
            self.collateral[venue] = self._collateral(venue)
        return hedged

    # ---- books

    def _delta(self, market: int) -> float:
        held = sum(self.exposure[number] for number in self.system.markets[market].venue_ids)
        return held / 1e18 - self._traders[market]

    def _note(self, k: int, minute: Minute, receipt: Receipt) -> None:
        event = receipt.one("Rebalanced", self.system.hedge_manager)
        number, outcome = event.venue_id, event.outcome
        market = next(m.id for m in self.system.markets if number in m.venue_ids)
        self.exposure[number] = event.exposure
        size = outcome.filled / 1e18
        paid = -_received(receipt, self.system.pools[market])
        self.hedges.append(
            Hedge(
                minute=k,
                market=market,
                size=size,
                short=self.shorts[number],
                loss=paid - size * self.marks[market][0],
                loss_at_market=paid - size * minute.prices[market],
                cost=outcome.cost / 1e18,
                reward=outcome.reward / 1e18,
                refund=outcome.gas / 1e18,
                gas_price=self.gas_price,
            )
        )

    def _accrue(self, venues: Any) -> None:
        """Interest since the last hedge, at venues that borrow."""
        for number in venues:
            if self.shorts[number]:
                exposure = self.venues[number].call("exposure")
                market = next(m.id for m in self.system.markets if number in m.venue_ids)
                self.interest += (self.exposure[number] - exposure) / 1e18 * self.marks[market][0]
                self.interest -= self._collateral(number) - self.collateral[number]
                self.exposure[number] = exposure

    def _collateral(self, number: int) -> float:
        """[quote] that a venue that borrows has supplied."""
        if not self.shorts[number]:
            return 0.0
        market = next(m.id for m in self.system.markets if number in m.venue_ids)
        price = self.marks[market][0]
        worth = self.venues[number].call("equity", int(price * 1e18)) / 1e18
        return float(worth - self.venues[number].call("exposure") / 1e18 * price)

    def _read_trades(self, receipt: Receipt) -> None:
        if receipt.error is not None:
            self.trades_refused += receipt.to == self.system.perp_engine.address
            if receipt.to != self.system.perp_engine.address:
                raise receipt.error
            return
        for trade in receipt.find("Trade", self.system.perp_engine):
            self._traders[trade.market] += trade.size_delta / 1e18
            self.volume += abs(trade.size_delta) * trade.price / 1e36
            self.half_spreads += trade.half_spread / 1e18
            self.charges += max(0, trade.charge) / 1e18
            self.rebates += max(0, -trade.charge) / 1e18

    def _read_marks(self) -> None:
        answers = self.stage.reads([self.system.oracle.tx("peek", i) for i in range(len(MARKETS))])
        self.marks = [(mark.price / 1e18, mark.sigma / 1e18) for mark in answers]

    # ---- transactions

    def _mine(self, time: int, txs: Sequence[Tx]) -> list[Receipt]:
        return self.stage.mine(max(time, self.chain.now + 1), txs)

    def _round(self, market: int, price: float) -> Tx:
        return self.system.aggregators[market].tx("push_now", round(price * 1e8), sender=self.actors.feeder)

    def _gas_tx(self, wei: int) -> Tx:
        """The day's gas price. The in-process chain has no base fee, so the rule's tip carries all of it."""
        self.rule[4] = wei
        return self.system.hedge_manager.tx("set_rule", tuple(self.rule), sender=self.system.governor)


class Operator:
    """Somebody who hedges a window's flow at the same pools, as if he were the vault."""

    def __init__(self, tape: Tape, config: Config, gas: Floats) -> None:
        self.tape = tape
        self.gas = gas  # [wei] by minute
        start = tape.scenario.start
        self.chain = RevmChain(timestamp=start.time - GENESIS_LEAD)
        self.stage = RevmStage(self.chain)
        self.actors = Actors.create(0)
        spot = config.changed(aave=None, markets=_spot_only(config))
        self.pools = surround(self.chain, spot, self.chain.accounts[0]).pools
        self.stage.mine(start.time - 120, _funding_txs(self.pools, self.actors.arbitrageur))
        self.stage.mine(start.time - 60, _funding_txs(self.pools, self.actors.keeper))

    def run(self, hedges: Floats) -> Course:
        """`hedges` [base], shape (n_minutes, n_markets), are what is bought after each minute's arbitrage."""
        found: list[Hedge] = []
        traders = self.tape.traders
        held = np.cumsum(hedges, axis=0)
        for k, minute in enumerate(self.tape.scenario.minutes):
            moves = arbitrage(self.stage, self.pools, minute.prices, self.actors.arbitrageur)
            for receipt in self.stage.mine(max(minute.time, self.chain.now + 1), moves):
                if receipt.error is not None:
                    raise receipt.error
            for market in np.flatnonzero(hedges[k]).tolist():
                size = float(hedges[k, market])
                self.stage.turn_to(minute.time + LATENCY)
                loss = -size * minute.prices[market]
                for receipt in self.chain.batch(self._swaps(market, size)):
                    if receipt.error is not None:
                        raise receipt.error
                    loss -= _received(receipt, self.pools[market])
                gas_price = float(self.gas[k]) / 1e18 * minute.prices[0]
                short = float(min(held[k, market], held[k, market] - size)) < 0.0
                found.append(Hedge(k, market, size, short, loss, loss, loss, 0.0, 0.0, gas_price))
        return Course(held - traders, tuple(found), 0.0, 0.0, 0.0, 0.0, 0.0, {}, 0)

    def _swaps(self, market: int, size: float) -> list[Tx]:
        """At the two tiers with the best prices after fees, so that both end at the same one; size > 0 buys [base]."""
        sign = 1 if size > 0 else -1
        tiers = []
        for pool in self.pools[market]:
            price, reserve = pool.price_wad() / 1e18, _virtual_base(pool)
            tiers.append((price * (1 + sign * pool.fee / 1e6), reserve, pool))
        (first, depth, pool), (second, other_depth, other) = sorted(tiers, key=lambda tier: sign * tier[0])[:2]
        # first (1 + 2 sign n / depth) = second (1 + 2 sign (size - n) / other_depth), n the part of the first
        slope, other_slope = 2 * first / depth, 2 * second / other_depth
        part = (abs(size) * other_slope + sign * (second - first)) / (slope + other_slope)
        part = min(part, abs(size))
        parts = [(pool, part)] + ([(other, abs(size) - part)] if part < abs(size) else [])
        return [self._swap(pool, sign, amount) for pool, amount in parts]

    def _swap(self, pool: Pool, sign: int, size: float) -> Tx:
        amount = int(size * 10**pool.base_decimals)
        terms: dict[str, Any] = {
            "tokenIn": pool.quote if sign > 0 else pool.base,
            "tokenOut": pool.base if sign > 0 else pool.quote,
            "fee": pool.fee,
            "recipient": self.actors.keeper,
            "deadline": MAX_UINT,
            "sqrtPriceLimitX96": 0,
        }
        if sign > 0:
            terms |= {"amountOut": amount, "amountInMaximum": MAX_UINT}
            return pool.uniswap.router.tx("exactOutputSingle", terms, sender=self.actors.keeper)
        terms |= {"amountIn": amount, "amountOutMinimum": 0}
        return pool.uniswap.router.tx("exactInputSingle", terms, sender=self.actors.keeper)


def _virtual_base(pool: Pool) -> float:
    """Base [base] that a pool trades as if it had it over all prices."""
    root = pool.contract.call("slot0").sqrtPriceX96 / 2**96
    liquidity = pool.contract.call("liquidity")
    return float((liquidity / root if pool.base_is_token0 else liquidity * root) / 10**pool.base_decimals)


def _spot_only(config: Config) -> list[dict[str, Any]]:
    markets = []
    for market in config.markets:
        spot = [venue.model_dump() for venue in market.venues if venue.kind == "uniswap_v3"]
        markets.append(market.model_dump() | {"venues": spot})
    return markets


def _funding_txs(pools: Sequence[Sequence[Pool]], trader: str) -> list[Tx]:
    """Tokens for somebody who swaps at these pools."""
    tokens = {token.address: token for tiers in pools for pool in tiers for token in (pool.base, pool.quote)}
    txs: list[Tx] = []
    router = next((pool.uniswap.router for tiers in pools for pool in tiers), None)
    for token in tokens.values():
        txs.append(token.tx("mint", trader, 2**120, sender=trader))
        txs.append(token.tx("approve", router, MAX_UINT, sender=trader))
    return txs


def _received(receipt: Receipt, pools: Sequence[Pool]) -> float:
    """Quote that a transaction's swaps at these pools brought whoever made them."""
    total = 0
    for pool in pools:
        for swap in receipt.find("Swap", pool.contract):
            total -= swap.amount1 if pool.base_is_token0 else swap.amount0
    return float(total / 10 ** pools[0].quote_decimals)
