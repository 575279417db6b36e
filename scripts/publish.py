"""Publish the sources of a deployment at a block explorer that speaks Etherscan's API."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from ballast.cli import Failure, Session, connected
from ballast.deployment.publish import (
    ETHERSCAN,
    Explorer,
    Published,
    PublishError,
    form,
    publish,
    recompiled,
    standard_json,
)
from ballast.plan import Deployed


@click.command()
@click.option("--explorer", default=ETHERSCAN, show_default=True, metavar="URL", help="its API")
@click.option("--api-key", envvar="ETHERSCAN_API_KEY", show_envvar=True, help="of the explorer")
@click.option("--only", multiple=True, metavar="KEY", help="contract by its key in the manifest; may be repeated")
@click.option(
    "--save", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
    help="write what would be sent, one JSON per contract, for uploading by hand; ask nobody",
)  # fmt: skip
@click.option("--check", is_flag=True, help="recompile what would be sent and compare with the chain; ask nobody")
@connected
def cli(
    session: Session, explorer: str, api_key: str | None, only: tuple[str, ...], save: Path | None, check: bool
) -> None:
    """Send each contract's sources, compiler and constructor arguments, and wait for the explorer's verdict.

    What is published already is left alone, so the command can be repeated.

    \b
      ETHERSCAN_API_KEY=… ape run publish --network ethereum:sepolia:node
      python -m scripts.publish --rpc http://127.0.0.1:8545 --check --only oracle
      python -m scripts.publish --rpc http://127.0.0.1:8545 --save out/sources
    """
    manifest = session.manifest
    deployed = manifest.deployed(session.chain)
    if check:
        _check(session, deployed, only)
        return
    if save is not None:
        save.mkdir(parents=True, exist_ok=True)
        for key in only or manifest.plan().contracts:
            fields = form(manifest.plan().contracts[key], deployed, manifest.chain_id)
            (save / f"{key.replace('/', '-')}.json").write_text(fields.pop("sourceCode") + "\n")
            (save / f"{key.replace('/', '-')}.form.json").write_text(json.dumps(fields, indent=2) + "\n")
        session.note(f"written to {save}")
        return
    if not api_key:
        raise Failure("the explorer wants an API key", "Set ETHERSCAN_API_KEY, or use --save and upload by hand.")
    session.confirm(f"Publish {len(only or manifest.contracts)} contracts of {manifest.network} at {explorer}?")

    def watch(one: Published) -> None:
        session.note(f"{one.key}: {one.outcome}: {one.detail}")

    try:
        found = publish(manifest, deployed, Explorer(explorer, api_key), only, watch)
    except PublishError as error:
        raise Failure(str(error)) from None
    refused = [one for one in found if one.outcome == "refused"]
    if session.json:
        click.echo(json.dumps([asdict(one) for one in found], indent=2))
    if refused:
        sys.exit(1)


def _check(session: Session, deployed: Deployed, only: tuple[str, ...]) -> None:
    """Compile what an explorer would be sent, and compare with what is deployed."""
    manifest, rows = session.manifest, []
    for key in only or manifest.plan().contracts:
        step = manifest.plan().contracts[key]
        creation, runtime = recompiled(standard_json(step.artifact))
        code = session.chain.code(deployed.addresses[key])
        same = creation == step.artifact.bytecode and code.startswith(runtime)
        rows.append((key, deployed.addresses[key], same))
    session.table(
        f"{manifest.network}: recompiled from what would be published", ["contract", "address", "the same"],
        [[key, address, "yes" if same else "NO"] for key, address, same in rows],
        [{"key": key, "address": address, "same": same} for key, address, same in rows],
    )  # fmt: skip
    if not all(same for _, _, same in rows):
        sys.exit(1)


if __name__ == "__main__":
    cli()
