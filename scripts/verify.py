"""Check a deployment against its manifest, source and config with nothing but a node's URL."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import click
from rich.markup import escape
from rich.table import Table

from ballast.cli import Session, connected
from ballast.config import NETWORKS
from ballast.deployment.verify import SECTIONS, Finding, Verifier


@click.command()
@click.option(
    "--config", "name", help="networks/NAME.yaml or a path  [default: that of the manifest's network, if it is here]"
)
@click.option("--all", "everything", is_flag=True, help="print what is right, too")
@connected
def cli(session: Session, name: str | None, everything: bool) -> None:
    """Rebuild the code, read roles, parameters and wiring back, and fail on any difference.

    Exit code 0 only if everything is as the manifest says and the manifest is what its config leads to.

    \b
      ape run verify --network ethereum:local:foundry
      ape run verify --manifest deployments/sepolia.json --network ethereum:sepolia:node
      python -m scripts.verify --rpc http://127.0.0.1:8545 --all
    """
    found = session.manifest
    path = NETWORKS / f"{name or found.network}.yaml"
    if name is not None and not path.is_file():
        path = Path(name)
    findings = Verifier(session.chain, found, path if path.is_file() else None).run()
    wrong = [finding for finding in findings if not finding.ok]
    if session.json:
        shown = findings if everything else wrong
        click.echo(
            json.dumps({"ok": not wrong, "checked": len(findings), "findings": list(map(asdict, shown))}, indent=2)
        )
    else:
        _show(session, findings, wrong, everything)
    if wrong:
        sys.exit(1)


def _show(session: Session, findings: list[Finding], wrong: list[Finding], everything: bool) -> None:
    if wrong or everything:
        table = Table(title_justify="left", show_lines=bool(wrong))
        for column in ("", "section", "what", "expected", "found"):
            table.add_column(column, overflow="fold")
        for finding in findings if everything else wrong:
            mark, found = ("[green]✓[/]", "") if finding.ok else ("[bold red]✗[/]", finding.actual)
            table.add_row(mark, finding.section, *map(escape, (finding.subject, finding.expected, found)))
        session.console.print(table)
    total, bad = Counter(finding.section for finding in findings), Counter(finding.section for finding in wrong)
    for section in SECTIONS:
        if total[section]:
            state = f"[bold red]{bad[section]} wrong[/]" if bad[section] else "[green]ok[/]"
            session.console.print(f"{section:<10} {total[section]:>4} checked  {state}")
    manifest = session.manifest
    verdict = "[bold red]NOT as described[/]" if wrong else "[bold green]as described[/]"
    session.console.print(f"{manifest.network} (chain {manifest.chain_id}): {verdict}")


if __name__ == "__main__":
    cli()
