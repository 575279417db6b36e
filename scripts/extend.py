"""Add markets and venues to a deployment: deploy what is new, and write what governance has to do."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ballast import config as configuration
from ballast.cli import Failure, Session, connected
from ballast.deployment import manifest as manifests
from ballast.deployment.extension import Extension, ExtensionError


@click.command()
@click.option("--config", "name", required=True, help="networks/NAME.yaml, or a path: the deployment's file with more")
@click.option("--finish", is_flag=True, help="all is carried out: bring the manifest up to date")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default="out", show_default=True,
    help="where the proposals go",
)  # fmt: skip
@connected
def cli(session: Session, name: str, finish: bool, out: Path) -> None:
    """Deploy the feeds and venues that the file NAME has more than the deployment; anybody may. Then governance lists
    them by the proposals that are written here, and --finish records it.

    Markets are added at the end of the file, for ids are places in it. Safe to run again.

    \b
      ape run extend --config sepolia --account anybody --network ethereum:sepolia:node
      ape run gov propose --file out/sepolia-extension-1.yaml --account provider --network ethereum:sepolia:node
      ape run extend --config sepolia --finish --account anybody --network ethereum:sepolia:node
    """
    manifest = session.manifest
    path = session.manifest_path or manifests.path_of(manifest.network)
    state = path.with_suffix(".extension")
    try:
        extension = Extension.between(manifest, session.chain, configuration.load(name), state, session.me)
        if finish:
            extension.finished().save(path)
            state.unlink()
            session.show("Recorded", [("manifest", path)], {"manifest": str(path)})
            return
        new = ", ".join(step.title for step in extension.steps)
        session.confirm(f"Deploy what is new for: {new}?")
        keys = extension.deploy(state, session.me)
        files = extension.proposals(out)
    except ExtensionError as error:
        raise Failure(str(error)) from None
    addresses = {key: extension.deployed.addresses[key] for key in keys}
    if session.json:
        click.echo(json.dumps({"deployed": addresses, "proposals": [str(file) for file in files]}, indent=2))
        return
    rows = [*addresses.items(), *(("proposal", file) for file in files)]
    session.show("Deployed, not listed yet", rows, None)
    session.note("next, in this order: gov propose --file … (or gov schedule, as council), then extend --finish")


if __name__ == "__main__":
    cli()
