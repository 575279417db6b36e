"""Deploy Ballast: networks/<name>.yaml in, deployments/<name>.json out. Safe to interrupt and to run again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

import click
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table

from ballast import config as configuration
from ballast.chain import Reverted
from ballast.chain.rpc import RpcError
from ballast.cli import Failure, Session, connected
from ballast.config import GWEI, Config
from ballast.deployment import manifest as manifests
from ballast.deployment.deploy import (
    Deployer,
    DeployError,
    Estimate,
    Forgotten,
    Journal,
    Progress,
    estimate,
    estimate_without_fork,
    journal_beside,
)
from ballast.deployment.manifest import Manifest

ETH = Decimal(10**18)
Result = TypeVar("Result")


@click.command()
@click.option("--config", "name", default="local", show_default=True, help="networks/NAME.yaml, or a path")
@click.option("--plan", is_flag=True, help="try it on a private fork and print gas and ETH; send nothing")
@click.option("--fresh", is_flag=True, help="forget an earlier deployment and begin anew")
@click.option(
    "--max-fee", type=Decimal, metavar="GWEI", help="most to pay per gas  [default: twice the base fee + tip]"
)
@click.option("--priority-fee", type=Decimal, metavar="GWEI", help="tip per gas  [default: the node's suggestion]")
@click.option("--timeout", default=600, show_default=True, help="seconds to wait for one transaction")
@connected
def cli(
    session: Session,
    name: str,
    plan: bool,
    fresh: bool,
    max_fee: Decimal | None,
    priority_fee: Decimal | None,
    timeout: int,
) -> None:
    """Deploy Ballast, or go on where an interrupted deployment ended.

    The governor in the file is admin of every contract from the first block; the deployer reads everything back and
    then gives its own powers up. A finished deployment is left alone.

    \b
      ape run deploy --network ethereum:local:foundry
      ape run deploy --config sepolia --network ethereum:sepolia:node --account deployer --plan
      python -m scripts.deploy --rpc http://127.0.0.1:8545 --unlocked 0 --yes
    """
    config = configuration.load(name)
    sender = _deployer(session, config)
    path = session.manifest_path or manifests.path_of(config.network)
    journal = journal_beside(path)
    if fresh:
        _set_aside(journal, path)
    if plan:
        found = _anew(session, (journal, path), lambda: _estimate(session, config, sender, journal))
        _show_plan(session, config, found)
        return
    governor = config.governor
    if config.quote.test is None and isinstance(governor, str) and not session.chain.code(governor):
        session.note(f"the governor {governor} is not a contract: where money is real it should be a timelock")
    if Journal(journal).last("start") is None:
        session.confirm(f"Deploy Ballast to {config.network} (chain {config.chain_id}) as {sender}?")
    fees = _fees(session, max_fee, priority_fee)
    deployed, sent = _anew(
        session, (journal, path), lambda: _deploy(session, config, sender, journal, fees, float(timeout))
    )
    deployed.save(path)
    _show(session, deployed, path, sent)


def _anew(session: Session, paths: tuple[Path, ...], action: Callable[[], Result]) -> Result:
    """Do it; on a local node that was restarted set aside what was written about its former life and do it again."""
    try:
        return action()
    except Forgotten:
        if not session.chain.is_anvil:
            raise
        session.note("the local node was restarted since the last deployment: beginning anew")
        _set_aside(*paths)
        return action()


def _deployer(session: Session, config: Config) -> str:
    """The account named; on a local network of test contracts the node's first will do."""
    if session.sender is None and session.chain.is_anvil and config.quote.test is not None and session.chain.accounts:
        return session.chain.accounts[0]
    return session.me


def _fees(session: Session, max_fee: Decimal | None, priority_fee: Decimal | None) -> tuple[int, int] | None:
    if max_fee is None and priority_fee is None:
        return None
    most, tip = session.chain.fees()
    tip = tip if priority_fee is None else int(priority_fee * GWEI)
    most = max(most, tip) if max_fee is None else int(max_fee * GWEI)
    if tip > most:
        raise Failure(f"a tip of {tip / GWEI} gwei is more than the whole fee of {most / GWEI} gwei")
    return most, tip


def _set_aside(*paths: Path) -> None:
    """Keep what an earlier deployment left under another name."""
    for path in paths:
        if path.exists():
            number = next(n for n in range(1, 10_000) if not path.with_name(f"{path.name}.old{n}").exists())
            path.rename(path.with_name(f"{path.name}.old{number}"))


def _deploy(
    session: Session, config: Config, sender: str, journal: Path, fees: tuple[int, int] | None, timeout: float
) -> tuple[Manifest, int]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bar(*columns, console=session.console, disable=session.json, transient=True) as bar:
        task = bar.add_task("looking", total=None)

        def watch(progress: Progress) -> None:
            finished = progress.number - (progress.stage in ("sending", "sent"))
            bar.update(task, description=progress.title, total=progress.total, completed=finished)

        deployer = Deployer(session.chain, config, sender, Journal(journal), watch=watch, fees=fees, timeout=timeout)
        return deployer.run(), deployer.sent


def _estimate(session: Session, config: Config, sender: str, journal: Path) -> Estimate:
    """On a fork; where the node does not serve one, beside it."""
    try:
        return estimate(session.chain, config, sender, journal)
    except (Forgotten, DeployError, Reverted):
        raise
    except (RuntimeError, RpcError, OSError) as error:
        session.note(f"the node cannot be forked ({error}): figures from an empty chain with test contracts")
        return estimate_without_fork(session.chain, config, sender)


def _show_plan(session: Session, config: Config, found: Estimate) -> None:
    expected, most = found.gas * found.fee / ETH, found.gas * found.max_fee / ETH
    rows = [[cost.title, f"{cost.gas:,}", f"{cost.gas * found.fee / ETH:.5f}"] for cost in found.costs]
    rows.append(["total", f"{found.gas:,}", f"{expected:.5f}"])
    session.table(
        f"{config.network}: {len(found.costs)} transactions, {found.skipped} steps done already",
        ["step", "gas", "ETH"],
        rows,
        asdict(found) | {"gas": found.gas, "wei": found.gas * found.fee},
    )
    held = found.balance / ETH
    session.note(f"at {found.fee / GWEI:.2f} gwei now; at most {most:.5f} ETH. The deployer has {held:.5f} ETH")
    if found.balance < found.gas * found.max_fee:
        raise Failure("the deployer may run out of ETH", f"Bring its balance to {most:.5f} ETH.")


def _show(session: Session, found: Manifest, path: Path, sent: int) -> None:
    if session.json:
        click.echo(json.dumps({"manifest": str(path), "transactions": sent} | found.addresses, indent=2))
        return
    table = Table(
        title=f"Ballast on {found.network} (chain {found.chain_id})", title_justify="left", title_style="bold"
    )
    for column in ("contract", "address", "bytes"):
        table.add_column(column, justify="right" if column == "bytes" else "left")
    for key, created in found.contracts.items():
        table.add_row(key, created.address, f"{created.code_size:,}")
    session.console.print(table)
    did = f"{sent} transactions" if sent else "nothing to do: deployed and as it should be"
    session.console.print(f"{did}; manifest: {path}", highlight=False)
    session.note(f"next: ape run verify --manifest {path} --network …")


if __name__ == "__main__":
    cli()
