"""The keeper as a process: look, decide, act, remember; over and over until told to stop."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType

import requests
import structlog

from ballast.chain import Chain
from ballast.chain.rpc import RpcError
from ballast.keeper.act import CONFIRMATIONS, Actor, Result
from ballast.keeper.decide import Hedger, decide
from ballast.keeper.hedging import hedges
from ballast.keeper.journal import Journal
from ballast.keeper.observe import Observer, System
from ballast.keeper.outbox import FeePolicy, Relay
from ballast.keeper.policy import Policy
from ballast.keeper.state import Action, State

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Step:
    """One turn: what was seen, what was wanted, what became of it."""

    state: State
    actions: tuple[Action, ...]
    results: tuple[Result, ...]


class Keeper:
    """`observe`, `decide` and `act` wired together; the demo and the live process run the same object."""

    def __init__(
        self,
        chain: Chain,
        system: System,
        sender: str,
        *,
        policy: Policy | None = None,
        hedger: Hedger = hedges,
        journal: Journal | None = None,
        fees: FeePolicy | None = None,
        relay: Relay | None = None,
        confirmations: int = CONFIRMATIONS,
    ) -> None:
        self.chain = chain
        self.policy = policy or Policy()
        self.hedger = hedger
        self.journal = journal or Journal()
        self.actor = Actor(chain, system, sender, self.journal, fees, relay, confirmations)
        book = self.journal.load_book()
        self.observer = Observer(
            chain, system, book, sender=sender, take=self.policy.take, wind_down=self.policy.wind_down
        )
        self._saved = self.observer.book.scanned

    def observe(self) -> State:
        """The world now; what its events told is remembered."""
        return self.observer.observe()

    def plan(self, state: State) -> list[Action]:
        """What is worth doing, without the occasions that are used up."""
        return [action for action in decide(state, self.policy, self.hedger) if not self.journal.is_used(action.key)]

    def carry_out(self, state: State, actions: Sequence[Action]) -> Step:
        """Act, and write down what has been seen."""
        results = self.actor.act(list(actions))
        return Step(state, tuple(actions), tuple(results))

    def step(self) -> Step:
        """One turn; while an earlier transaction is undecided it only looks."""
        decided = self.actor.recover()
        state = self.observe()
        step = self.carry_out(state, self.plan(state) if decided else [])
        self.remember()
        return step

    def remember(self) -> None:
        """Save who has positions, when blocks have been scanned since."""
        if self.observer.book.scanned != self._saved:
            self.journal.save_book(self.observer.book)
            self._saved = self.observer.book.scanned


class Service:
    """Runs a keeper every `interval` [s] until SIGINT or SIGTERM; a node that goes away is waited for."""

    def __init__(
        self, keeper: Keeper, interval: float, *, metrics: Metrics | None = None, patience: float = 60.0
    ) -> None:
        self.keeper = keeper
        self.interval = interval
        self.metrics = metrics
        self.patience = patience  # [s] longest pause after an error
        self._stop = threading.Event()

    def stop(self) -> None:
        """End the loop after the present turn."""
        self._stop.set()

    def run(self) -> None:
        """Loop; returns when stopped."""
        handlers = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        pause = self.interval
        try:
            while not self._stop.is_set():
                try:
                    self._turn()
                    pause = self.interval
                except (requests.RequestException, RpcError) as error:
                    pause = min(2 * pause, self.patience)
                    log.warning("node unavailable", error=str(error), retry_in=pause)
                    if self.metrics:
                        self.metrics.errors.inc()
                self._stop.wait(pause)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _turn(self) -> None:
        started = time.monotonic()
        step = self.keeper.step()
        if self.metrics:
            self.metrics.take(step, time.monotonic() - started)
        for result in step.results:
            log.info(result.action.kind, ending=result.ending, reason=result.reason, key=result.action.key)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.stop()


class Metrics:
    """A few Prometheus numbers, served on `port`; a registry of its own, so that it can be made twice."""

    def __init__(self, port: int | None = None) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

        registry = CollectorRegistry()
        self.block = Gauge("ballast_keeper_block", "newest block seen", registry=registry)
        self.potential = Gauge("ballast_potential_quote", "U as stored", registry=registry)
        self.reserve = Gauge("ballast_reserve_quote", "rebate reserve R", registry=registry)
        self.lp_cash = Gauge("ballast_lp_cash_quote", "LP cash", registry=registry)
        self.delta = Gauge("ballast_delta_base", "the vault's delta", ["market"], registry=registry)
        self.accounts = Gauge("ballast_accounts", "accounts with positions", registry=registry)
        self.weak = Gauge("ballast_accounts_weak", "accounts below maintenance", registry=registry)
        self.stuck = Gauge("ballast_accounts_stuck", "of those, with nothing that can be closed now", registry=registry)
        self.closes = Gauge("ballast_closes_waiting", "closes in the queue", registry=registry)
        self.excess = Gauge("ballast_profit_excess_quote", "open profit to deleverage", registry=registry)
        self.frozen = Gauge("ballast_frozen", "1 once global settlement was triggered", registry=registry)
        self.boards = Gauge("ballast_boards_waiting", "boards with positions, due or expired", registry=registry)
        self.actions = Counter("ballast_keeper_actions", "by kind and ending", ["kind", "ending"], registry=registry)
        self.errors = Counter("ballast_keeper_errors", "turns lost to the node", registry=registry)
        self.turn = Gauge("ballast_keeper_turn_seconds", "length of the last turn", registry=registry)
        self._shut: Callable[[], None] | None = None
        if port is not None:
            server, thread = start_http_server(port, addr="127.0.0.1", registry=registry)

            def shut() -> None:
                server.shutdown()
                server.server_close()
                thread.join()

            self._shut = shut

    def take(self, step: Step, seconds: float) -> None:
        """Record a turn."""
        state = step.state
        self.block.set(state.block)
        self.potential.set(state.potential)
        self.reserve.set(state.reserve)
        self.lp_cash.set(state.lp_cash)
        self.accounts.set(len(state.accounts))
        weak = [account for account in state.accounts if account.equity < account.maintenance]
        self.weak.set(len(weak))
        self.stuck.set(sum(not account.closings for account in weak))
        self.closes.set(len(state.closes))
        self.excess.set(state.deleveraging.excess if state.deleveraging else 0.0)
        self.frozen.set(state.ending is not None)
        self.boards.set(sum(bool(b.legs) and (b.due or b.expiry <= state.now) for b in state.boards))
        for market in state.markets:
            self.delta.labels(str(market.id)).set(market.delta)
        for result in step.results:
            self.actions.labels(result.action.kind, result.ending).inc()
        self.turn.set(seconds)

    def close(self) -> None:
        """Stop serving."""
        if self._shut is not None:
            self._shut()
