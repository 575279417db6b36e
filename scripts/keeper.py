"""The keeper: hedges, liquidates, closes, settles, processes redemptions; anybody may run one and is paid."""

from __future__ import annotations

from dataclasses import asdict
from math import inf
from pathlib import Path

import click
import structlog

from ballast.chain.rpc import JsonRpc
from ballast.cli import Failure, Session, connected
from ballast.deployment.manifest import path_of
from ballast.keeper import Keeper, Policy, no_trade_band
from ballast.keeper.act import CONFIRMATIONS
from ballast.keeper.decide import decide
from ballast.keeper.hermes import Source, source_of
from ballast.keeper.journal import Journal, JournalInUse, WrongChain, beside
from ballast.keeper.metrics import Metrics, write_monitoring
from ballast.keeper.observe import Book, Observer
from ballast.keeper.outbox import FeePolicy, Relay
from ballast.keeper.service import Service, Step
from ballast.keeper.show import action_row, state_rows

GWEI = 10**9


def _export_monitoring(context: click.Context, _parameter: click.Parameter, folder: Path | None) -> None:
    if folder is not None:
        for path in write_monitoring(folder):
            click.echo(f"wrote {path}")
        context.exit()


@click.command()
@click.option("--once", is_flag=True, help="one turn, then exit")
@click.option("--dry-run", is_flag=True, help="show what it would do and send nothing; needs no account")
@click.option("--interval", default=5.0, show_default=True, help="seconds between turns")
@click.option(
    "--journal", "journal_path", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="what it has done, kept over restarts  [default: beside the manifest]",
)  # fmt: skip
@click.option("--no-hedge", is_flag=True, help="liquidate and keep house only")
@click.option("--take", default=0.0, metavar="QUOTE", help="take over positions of liquidated accounts, up to so much")
@click.option("--take-cost", default=0.001, show_default=True, help="what getting rid of them costs, of their notional")
@click.option("--take-time", default=60.0, show_default=True, help="seconds that it may take")
@click.option("--wind-down", is_flag=True, help="trigger global settlement when that is possible; it cannot be undone")
@click.option("--price-of-risk", type=click.FloatRange(0, 1), help="most to spend per unit of U  [default: phi]")
@click.option("--min-saving", default=1.0, show_default=True, help="least saving worth a hedge, in quote")
@click.option("--step", default=inf, metavar="QUOTE", help="most that one hedge trades; the rest waits  [default: all]")
@click.option("--min-profit", default=0.0, show_default=True, help="least profit of its own, gas paid, in quote")
@click.option("--max-fee", default=500, show_default=True, help="most to offer per gas, in gwei")
@click.option("--confirmations", default=CONFIRMATIONS, show_default=True, help="blocks that make a receipt final")
@click.option("--relay", metavar="URL", help="send transactions there instead of to the node")
@click.option("--relay-blocks", default=3, show_default=True, help="blocks without inclusion until the node gets them")
@click.option("--prices", metavar="URL", help="where signed prices of Pyth are: Hermes, or a folder of its answers")
@click.option("--price-lag", default=30, show_default=True, help="seconds that a price of Pyth may lag")
@click.option("--metrics", "metrics_port", type=int, metavar="PORT", help="serve /metrics and /healthz on 127.0.0.1")
@click.option("--max-head-age", default=120.0, show_default=True, help="seconds until /healthz calls the node stale")
@click.option("--log-json", is_flag=True, help="log JSON lines")
@click.option(
    "--monitoring", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", is_eager=True, expose_value=False,
    callback=_export_monitoring, help="write a Grafana dashboard and Prometheus alert rules to DIR, then exit",
)  # fmt: skip
@connected
def cli(
    session: Session,
    once: bool,
    dry_run: bool,
    interval: float,
    journal_path: Path | None,
    no_hedge: bool,
    take: float,
    take_cost: float,
    take_time: float,
    wind_down: bool,
    price_of_risk: float | None,
    min_saving: float,
    step: float,
    min_profit: float,
    max_fee: int,
    confirmations: int,
    relay: str | None,
    relay_blocks: int,
    prices: str | None,
    price_lag: int,
    metrics_port: int | None,
    max_head_age: float,
    log_json: bool,
) -> None:
    """Run a keeper until Ctrl-C.

    It looks at one block, decides by ballast.keeper.decide (pure), simulates, sends with one nonce at a time, raises
    fees within --max-fee when stuck, and writes everything down first, so that a restart repeats nothing.

    \b
      ape run keeper --dry-run --network ethereum:local:foundry
      ape run keeper --network ethereum:sepolia:node --account keeper1 --yes
      python -m scripts.keeper --rpc http://127.0.0.1:8545 --unlocked 3 --once
    """
    policy = Policy(
        price_of_risk=price_of_risk,
        min_saving=min_saving,
        step=step,
        min_profit=min_profit,
        hedge=not no_hedge,
        wind_down=wind_down,
        take=take,
        take_cost=take_cost,
        take_time=take_time,
        price_lag=price_lag,
    )
    source = None if prices is None else source_of(prices)
    if log_json:
        log_as_json()
    if dry_run:
        _show_plan(session, policy, source)
        return
    session.confirm(f"Run a keeper as {session.me}? It sends transactions without asking again.")
    path = journal_path or beside(session.manifest_path or path_of(session.manifest.network), session.me)
    try:
        with Journal(path) as journal:
            journal.skip_to(session.manifest.first_block)
            fees = FeePolicy(cap=max_fee * GWEI)
            keeper = Keeper(
                session.chain, session.system, session.me, policy=policy, journal=journal, fees=fees,
                relay=None if relay is None else Relay(JsonRpc(relay), relay_blocks), confirmations=confirmations,
                prices=source,
            )  # fmt: skip
            if once:
                _show_step(session, keeper.step())
                return
            metrics = Metrics(
                metrics_port,
                max_turn_age=max(60.0, 4 * interval) + fees.patience,
                max_head_age=max_head_age,
                stuck_after=fees.stuck_after,
            )
            session.note(f"keeper {session.me}, journal {path}; Ctrl-C stops it")
            try:
                Service(keeper, interval, metrics=metrics).run()
            finally:
                metrics.close()
    except JournalInUse:
        raise Failure(f"another keeper uses {path}", "One process per account: name another --journal.") from None
    except WrongChain as error:
        raise Failure(str(error), "Name another --journal.") from None


def log_as_json() -> None:
    """One JSON object a line, with time and level."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ]
    )


def _show_plan(session: Session, policy: Policy, prices: Source | None) -> None:
    book = Book({}, session.manifest.first_block - 1)
    observer = Observer(
        session.chain, session.system, book, sender=session.sender, take=policy.take, wind_down=policy.wind_down,
        prices=prices,
    )  # fmt: skip
    state = observer.observe()
    actions = decide(state, policy)
    names = [market.name for market in session.system.markets]
    bands = {venue.market: no_trade_band(state, venue, policy) for venue in reversed(state.venues)}
    document = {"block": state.block, "time": state.now, "actions": [asdict(action) for action in actions]}
    if not session.json:
        session.show(f"Block {state.block}", state_rows(state, names, bands), document)
    if not actions and not session.json:
        session.console.print("Nothing is worth doing.")
        return
    columns = ("action", "on", "size", "falls U by", "costs", "pays")
    session.table("The plan", columns, [action_row(action, names) for action in actions], document)


def _show_step(session: Session, step: Step) -> None:
    names = [market.name for market in session.system.markets]
    document = [
        {"kind": result.action.kind, "key": result.action.key, "ending": result.ending, "reason": result.reason,
         "tx": result.receipt.tx_hash if result.receipt else None}
        for result in step.results
    ]  # fmt: skip
    rows = [[*action_row(result.action, names)[:3], result.ending, result.reason] for result in step.results]
    if not rows and not session.json:
        session.console.print(f"Block {step.state.block}: nothing was worth doing.")
        return
    session.table(f"Block {step.state.block}", ("action", "on", "size", "ending", "reason"), rows, document)


if __name__ == "__main__":
    cli()
