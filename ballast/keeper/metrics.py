"""What a keeper tells those who watch it: Prometheus metrics, and a health check, over HTTP.

Dashboard and alert rules that use them are in `monitoring/`; what to do about an alert is in docs/keeper.md.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.exposition import ThreadingWSGIServer, make_wsgi_app

from ballast.chain import Tx
from ballast.chain.rpc import RpcChain
from ballast.keeper.state import Venue

if TYPE_CHECKING:
    from ballast.keeper.service import Keeper, Step

WAD = 1e18
MONITORING = ("dashboard.json", "alerts.yaml")
NO_HEALTH = 1e6  # shown where nothing is owed


@dataclass(frozen=True, slots=True)
class Vitals:
    """What nobody decides on, and everybody wants to see."""

    ether: float  # of the keeper
    cash: float  # [quote] of the keeper's account: what it earned and has not withdrawn
    nonce_gap: int  # its transactions that a pool holds
    utilization: float  # [fraction] stressed loss per capital
    surfaces: dict[int, float]  # [s since 1970] of each market's surface


def read_vitals(keeper: Keeper, markets: Iterable[int]) -> Vitals:
    """One more round trip or two, after a turn."""
    chain, s, sender = keeper.chain, keeper.actor.system, keeper.actor.sender
    ids = list(markets)
    calls: list[Tx] = [s.inventory.tx("state"), s.clearinghouse.tx("account", sender)]
    calls += [s.surface.tx("timestamp", i) for i in ids]
    if isinstance(chain, RpcChain):
        inventory, account, *times = chain.read_many(calls)
        latest, pending = (chain.nonce(sender, tag) for tag in ("latest", "pending"))
    else:
        inventory, account, *times = [_decoded(tx, chain.read(tx)) for tx in calls]
        latest = pending = 0
    return Vitals(
        ether=chain.balance(sender) / WAD,
        cash=account[0] / WAD,
        nonce_gap=pending - latest,
        utilization=inventory.stressed_loss / inventory.capital if inventory.capital else 0.0,
        surfaces={i: float(at) for i, at in zip(ids, times, strict=True) if at},
    )


def _decoded(tx: Tx, data: bytes) -> Any:
    assert tx.function is not None
    return tx.function.decode(data)


class Metrics:
    """Numbers in a registry of their own, so that they can be made twice, served on 127.0.0.1:`port` with `/healthz`.

    Healthy is a keeper whose last turn succeeded not long ago, whose node's head is not old, and that has nothing
    stuck. `max_turn_age`, `max_head_age` and `stuck_after` are in seconds; an age of 0 is not asked for.
    """

    def __init__(
        self,
        port: int | None = None,
        *,
        max_turn_age: float = 60.0,
        max_head_age: float = 120.0,
        stuck_after: float = 100.0,
    ) -> None:
        self.registry = CollectorRegistry()
        self.limits = (max_turn_age, max_head_age, stuck_after)

        def gauge(name: str, meaning: str, *labels: str) -> Gauge:
            return Gauge(f"ballast_{name}", meaning, labels, registry=self.registry)

        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(f"ballast_{name}", meaning, labels, registry=self.registry)

        # the vault
        self.potential = gauge("potential_quote", "U as stored")
        self.reserve = gauge("reserve_quote", "rebate reserve R")
        self.capital = gauge("capital_quote", "risk capital E")
        self.utilization = gauge("utilization", "stressed loss per risk capital, u")
        self.lp_cash = gauge("lp_cash_quote", "LP cash")
        self.delta = gauge("delta_base", "the vault's delta, hedges included", "market")
        self.delta_value = gauge("delta_quote", "the same at the mark", "market")
        self.net_delta = gauge("net_delta_quote", "sum over markets of the size of that")
        self.oracle_age = gauge("oracle_age_seconds", "since the market's round", "market")
        self.oracle_fresh = gauge("oracle_fresh", "1 while the market has a price to trade at", "market")
        self.surface_age = gauge("surface_age_seconds", "since the market's surface was observed", "market")
        self.boards = gauge("boards_waiting", "boards with positions, due or expired")
        self.accounts = gauge("accounts", "accounts with positions")
        self.weak = gauge("accounts_weak", "accounts below maintenance")
        self.stuck = gauge("accounts_stuck", "of those, with nothing that can be closed now")
        self.closes = gauge("closes_waiting", "closes in the queue")
        self.excess = gauge("profit_excess_quote", "open profit to deleverage")
        self.epoch_wait = gauge("epoch_waiting_seconds", "since the end of an epoch that is not processed")
        self.auction = gauge("auction_open", "1 while the rebate auction is open")
        self.frozen = gauge("frozen", "1 once global settlement was triggered")
        # its hedges
        self.venue_exposure = gauge("venue_exposure_base", "what a venue holds", "venue", "market")
        self.venue_equity = gauge("venue_equity_quote", "what a venue is worth", "venue", "market")
        self.venue_health = gauge("venue_health", "health factor at the lender, 1e6 where nothing is owed", "venue")
        self.venue_floor = gauge("venue_health_floor", "health below which the venue opens nothing", "venue")
        self.venue_stopped = gauge("venue_stopped", "1 while a venue is paused or retired", "venue")
        # the keeper
        self.block = gauge("keeper_block", "newest block seen")
        self.head_time = gauge("keeper_head_timestamp_seconds", "its time")
        self.turn = gauge("keeper_turn_seconds", "length of the last turn")
        self.turn_time = gauge("keeper_turn_timestamp_seconds", "end of the last turn that succeeded")
        self.errors = counter("keeper_errors", "turns lost to the node")
        self.actions = counter("keeper_actions", "by kind and ending", "kind", "ending")
        self.succeeded = gauge("keeper_success_timestamp_seconds", "last action that was done", "kind")
        self.gas = gauge("keeper_gas_ether", "paid for gas, as the journal knows it")
        self.ether = gauge("keeper_ether", "to pay gas with")
        self.cash = gauge("keeper_cash_quote", "of its account: earned and not withdrawn")
        self.pending = gauge("keeper_pending", "attempts in the journal whose outcome is unknown")
        self.pending_age = gauge("keeper_pending_seconds", "age of the oldest of them")
        self.nonce_gap = gauge("keeper_nonce_gap", "its transactions that the pool holds")

        self._failed = ""
        self._shut: Callable[[], None] | None = None
        if port is not None:
            self._serve(port)

    @property
    def names(self) -> set[str]:
        """Every name that can be asked for."""
        described = {family.name: family.type for family in self.registry.collect()}
        return {name + ("_total" if kind == "counter" else "") for name, kind in described.items()}

    def take(self, step: Step, seconds: float, keeper: Keeper | None = None) -> None:
        """Record a turn; of the keeper also what it has under way, and `Vitals`."""
        state = step.state
        self.potential.set(state.potential)
        self.reserve.set(state.reserve)
        self.capital.set(state.capital)
        self.lp_cash.set(state.lp_cash)
        for market in state.markets:
            self.delta.labels(str(market.id)).set(market.delta)
            self.delta_value.labels(str(market.id)).set(market.delta * market.price)
            self.oracle_age.labels(str(market.id)).set(max(0, state.now - market.updated_at))
            self.oracle_fresh.labels(str(market.id)).set(market.fresh)
        self.net_delta.set(sum(abs(market.delta) * market.price for market in state.markets))
        self.boards.set(sum(bool(b.legs) and (b.due or b.expiry <= state.now) for b in state.boards))
        self.accounts.set(len(state.accounts))
        weak = [account for account in state.accounts if account.equity < account.maintenance]
        self.weak.set(len(weak))
        self.stuck.set(sum(not account.closings for account in weak))
        self.closes.set(len(state.closes))
        self.excess.set(state.deleveraging.excess if state.deleveraging else 0.0)
        waits = state.epoch.pending > 0.0
        self.epoch_wait.set(max(0, state.now - state.epoch.ends_at) if waits else 0)
        self.auction.set(state.auction.is_open)
        self.frozen.set(state.ending is not None)
        for venue in state.venues:
            self._take_venue(venue)
        self.block.set(state.block)
        self.head_time.set(state.now)
        for result in step.results:
            self.actions.labels(result.action.kind, result.ending).inc()
        self.turn.set(seconds)
        if keeper is not None:
            self._take_keeper(keeper, [market.id for market in state.markets], state.now)
        self.turn_time.set(time.time())
        self._failed = ""

    def fail(self, error: Exception) -> None:
        """Record a turn that the node, or what it answered, has prevented."""
        self.errors.inc()
        self._failed = str(error) or type(error).__name__

    def ailments(self) -> list[str]:
        """What is wrong with the keeper, most important first; nothing when it is healthy."""
        now = time.time()
        max_turn_age, max_head_age, stuck_after = self.limits
        found = [f"the last turn failed: {self._failed}"] if self._failed else []
        last = _value(self.turn_time)
        if last == 0.0:
            found.append("no turn yet")
        elif max_turn_age and now - last > max_turn_age:
            found.append(f"the last turn was {now - last:.0f} s ago")
        if last and max_head_age and now - _value(self.head_time) > max_head_age:
            found.append(f"the node's head is {now - _value(self.head_time):.0f} s old")
        waiting = _value(self.pending_age) + (now - last if _value(self.pending) else 0.0)
        if waiting > stuck_after:
            found.append(f"a transaction is under way for {waiting:.0f} s")
        return found

    def close(self) -> None:
        """Stop serving."""
        if self._shut is not None:
            self._shut()

    # ---- internal

    def _take_venue(self, venue: Venue) -> None:
        name = str(venue.id)
        self.venue_exposure.labels(name, str(venue.market)).set(venue.exposure)
        self.venue_equity.labels(name, str(venue.market)).set(venue.equity)
        self.venue_stopped.labels(name).set(venue.paused or venue.retired)
        if venue.lender is not None:
            self.venue_health.labels(name).set(min(venue.lender.health, NO_HEALTH))
            self.venue_floor.labels(name).set(venue.lender.floor)

    def _take_keeper(self, keeper: Keeper, markets: list[int], now: int) -> None:
        pending = keeper.journal.pending()
        self.pending.set(len(pending))
        self.pending_age.set(max((time.time() - entry.created_at for entry in pending), default=0.0))
        self.gas.set(keeper.journal.gas_spent() / WAD)
        for kind, at in keeper.journal.successes().items():
            self.succeeded.labels(kind).set(at)
        vitals = read_vitals(keeper, markets)
        self.ether.set(vitals.ether)
        self.cash.set(vitals.cash)
        self.nonce_gap.set(vitals.nonce_gap)
        self.utilization.set(vitals.utilization)
        for market, at in vitals.surfaces.items():
            self.surface_age.labels(str(market)).set(max(0.0, now - at))

    def _serve(self, port: int) -> None:
        metrics = make_wsgi_app(self.registry)

        def app(environ: Any, start_response: Any) -> Any:
            if environ["PATH_INFO"] != "/healthz":
                return metrics(environ, start_response)
            ailments = self.ailments()
            status = "503 Service Unavailable" if ailments else "200 OK"
            start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
            return [("\n".join(ailments or ["ok"]) + "\n").encode()]

        server = make_server("127.0.0.1", port, app, ThreadingWSGIServer, _Silent)
        self.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()

        def shut() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        self._shut = shut


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Whoever scrapes is not news."""


def _value(gauge: Gauge) -> float:
    (sample,) = next(iter(gauge.collect())).samples
    return float(sample.value)


def write_monitoring(folder: Path) -> list[Path]:
    """Copy dashboard and alert rules out of the package."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in MONITORING:
        with as_file(files("ballast.keeper") / "monitoring" / name) as source:
            written.append(Path(shutil.copyfile(source, folder / name)))
    return written
