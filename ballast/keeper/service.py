"""The keeper as a process: look, decide, act, remember; over and over until told to stop."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

import requests
import structlog

from ballast.chain import Chain, Reverted
from ballast.chain.rpc import RpcError
from ballast.keeper.act import CONFIRMATIONS, Actor, Result
from ballast.keeper.decide import Hedger, decide
from ballast.keeper.hedging import hedges
from ballast.keeper.hermes import Source
from ballast.keeper.journal import Journal
from ballast.keeper.observe import Observer, System
from ballast.keeper.outbox import FeePolicy, Relay
from ballast.keeper.policy import Policy
from ballast.keeper.state import Action, State

if TYPE_CHECKING:
    from ballast.keeper.metrics import Metrics

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
        prices: Source | None = None,
    ) -> None:
        self.chain = chain
        self.policy = policy or Policy()
        self.hedger = hedger
        self.journal = journal or Journal()
        self.actor = Actor(chain, system, sender, self.journal, fees, relay, confirmations)
        book = self.journal.load_book()
        self.observer = Observer(
            chain, system, book, sender=sender, take=self.policy.take, wind_down=self.policy.wind_down, prices=prices
        )
        self._saved = self.observer.base.scanned

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
        if self.observer.base.scanned != self._saved:
            self.journal.save_book(self.observer.base)
            self._saved = self.observer.base.scanned


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
                pause = self.interval if self.turn() is not None else min(2 * pause, self.patience)
                self._stop.wait(pause)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def turn(self) -> Step | None:
        """One turn, logged and measured; None when the node, or what it answered, prevented it."""
        started = time.monotonic()
        try:
            step = self.keeper.step()
            if self.metrics:
                self.metrics.take(step, time.monotonic() - started, self.keeper)
        except (requests.RequestException, RpcError, Reverted) as error:
            log.warning("turn lost", error=str(error))
            if self.metrics:
                self.metrics.fail(error)
            return None
        for result in step.results:
            receipt = result.receipt
            log.info(
                result.action.kind,
                ending=result.ending,
                reason=result.reason,
                key=result.action.key,
                tx=receipt.tx_hash if receipt else None,
                block=step.state.block,
            )
        return step

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.stop()
