"""A devnet to type commands at, for the tests of several scripts."""

from __future__ import annotations

import importlib
import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import click
from click.testing import CliRunner, Result

from ballast import devnet
from ballast.chain.anvil import Anvil
from ballast.chain.rpc import RpcChain
from ballast.deployment.manifest import Manifest
from ballast.system import Sandbox


@dataclass(frozen=True)
class Net:
    """A devnet and a way to type commands."""

    chain: RpcChain
    manifest: Manifest
    path: Path
    sandbox: Sandbox

    def run(self, line: str, *, ok: bool = True, **env: str) -> Result:
        """Run `script arguments`; the exit code has to be 0, or not."""
        script, *arguments = shlex.split(line)
        where = ["--rpc", self.chain.url, "--manifest", str(self.path)]
        result = CliRunner().invoke(command_of(script), [*arguments, *where], env={"COLUMNS": "200"} | env)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert (result.exit_code == 0) == ok, result.output
        return result

    def answer(self, line: str) -> Any:
        """What a command prints with --json."""
        return json.loads(self.run(f"{line} --json").stdout)


Kind = TypeVar("Kind", bound=Net)


def command_of(script: str) -> click.Command:
    found: click.Command = importlib.import_module(f"scripts.{script}").cli
    return found


@contextmanager
def started(kind: type[Kind], folder: Path, *, options: bool = True) -> Iterator[Kind]:
    """A new devnet whose manifest is in the folder."""
    with Anvil() as node:
        chain = node.chain(estimate_gas=True)
        path = folder / "local.json"
        found = devnet.start(chain, path, options=options)
        yield kind(chain, found, path, found.sandbox(chain))


@contextmanager
def undone(net: Kind) -> Iterator[Kind]:
    """The devnet as it is; what is done to it meanwhile is taken back."""
    snapshot = net.chain.request("evm_snapshot")
    yield replace(net, sandbox=net.manifest.sandbox(net.chain))
    net.chain.request("evm_revert", snapshot)
