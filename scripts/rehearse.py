"""Rehearse a deployment on a private node: bad connection, lost transactions, the deployer killed again and again."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.console import Console

from ballast import config as configuration
from ballast.cli import explained
from ballast.deployment.rehearsal import Rehearsal, rehearse


@click.command()
@click.option("--config", "name", default="local-governed", show_default=True, help="networks/NAME.yaml, or a path")
@click.option("--kills", default=20, show_default=True, help="how often the deployer is killed")
@click.option("--times", default=1, show_default=True, help="rehearsals, each with the next seed")
@click.option("--seed", default=1, show_default=True, help="of the first")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), help="keep journals and manifests here")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def cli(name: str, kills: int, times: int, seed: int, folder: Path | None, as_json: bool) -> None:
    """Deploy NAME on a private Anvil with its chain id, through a proxy that delays, cuts off, answers 429 and 502,
    forgets transactions and sends them late, while the deployer is killed at random moments; then verify.

    What the network has already is stood in for by test contracts, what is in <angle brackets> by addresses that nobody
    has. Exit code 0 only if every step was done once and the verifier finds nothing.

    \b
      python -m scripts.rehearse --config arbitrum-sepolia
      python -m scripts.rehearse --config sepolia --kills 50 --times 5 --json
    """
    with explained():
        config = configuration.load(name, rehearsed=True)
    found = []
    for number in range(times):
        with TemporaryDirectory() as passing:
            place = Path(passing) if folder is None else folder / str(seed + number)
            place.mkdir(parents=True, exist_ok=True)
            found.append(rehearse(config, place, kills=kills, seed=seed + number))
        if not as_json:
            _show(found[-1])
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=2))
    sys.exit(any(one.wrong for one in found))


def _show(found: Rehearsal) -> None:
    console = Console(soft_wrap=True, highlight=False)
    faults = ", ".join(f"{name} {times}" for name, times in sorted(found.faults.items()))
    console.print(
        f"{found.network}, seed {found.seed}: killed {found.kills} times, gave up {found.gave_up} times; {found.steps} "
        f"steps in {found.transactions} transactions, {found.gas:,} gas, {found.seconds:.0f} s\n  {faults}\n"
        f"  verified {found.checked} things in {found.verify_seconds:.1f} s"
    )
    for line in found.wrong:
        console.print(f"  [bold red]{line}[/]")
    if not found.wrong:
        console.print("  [green]nothing doubled, nothing left out, as described[/]")


if __name__ == "__main__":
    cli()
