"""Sources for block explorers: what Etherscan's API takes (codeformat vyper-json), complete and recompilable.

One standard JSON per contract holds every file of its import closure, libraries included, under the names by which it
imports them; pragmas in the files fix EVM version and optimization. Whoever compiles it with the named compiler gets
the bytecode that was deployed, to the byte: `recompiled` does.
"""

from __future__ import annotations

import json
import sysconfig
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import requests

from ballast.chain import Artifact
from ballast.chain.artifacts import SOURCES, compiler_data
from ballast.deployment.manifest import Manifest
from ballast.plan import Deploy, Deployed

ETHERSCAN = "https://api.etherscan.io/v2/api"  # one for all chains
COMPILER = "vyper:0.4.3"
LICENSE = 13  # AGPL-3.0 in Etherscan's list
PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0, 10.0, 20.0, 20.0, 30.0)  # [s] between looks, and after "rate limit"

Outcome = Literal["verified", "already", "refused"]


class PublishError(RuntimeError):
    """The explorer could not be asked; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Published:
    """What an explorer says of one contract."""

    key: str
    address: str
    outcome: Outcome
    detail: str


def standard_json(artifact: Artifact) -> dict[str, Any]:
    """The compiler's input for one contract: language, sources by import path, what to put out."""
    path = artifact.source_path
    if path is None:
        raise ValueError(f"{artifact.name} was not compiled here")
    _, digests = compiler_data(path)
    libraries = Path(sysconfig.get_path("purelib"))
    sources = {}
    for name in sorted(digests):
        file = SOURCES / name  # an absolute name stays what it is
        shown = file.relative_to(libraries) if file.is_relative_to(libraries) else file.relative_to(SOURCES)
        sources[shown.as_posix()] = {"content": file.read_text()}
    wanted = ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"]
    settings = {"outputSelection": {path.as_posix(): wanted}, "search_paths": ["."]}
    return {"language": "Vyper", "sources": sources, "settings": settings}


def recompiled(document: dict[str, Any]) -> tuple[bytes, bytes]:
    """(creation code, deployed code without immutables) of the contract that a standard JSON asks for."""
    from vyper.cli.vyper_json import compile_json

    (path,) = document["settings"]["outputSelection"]
    ((contract),) = compile_json(document)["contracts"][path].values()
    code = (contract["evm"][kind]["object"] for kind in ("bytecode", "deployedBytecode"))
    creation, runtime = (bytes.fromhex(text.removeprefix("0x")) for text in code)
    return creation, runtime


def form(step: Deploy, deployed: Deployed, chain_id: int) -> dict[str, str]:
    """The fields of `verifysourcecode` for one contract of a plan."""
    artifact = step.artifact
    assert artifact.source_path is not None  # the plan deploys nothing that is not compiled here
    arguments = step.initcode(deployed)[len(artifact.bytecode) :]
    return {
        "chainid": str(chain_id),
        "module": "contract",
        "action": "verifysourcecode",
        "codeformat": "vyper-json",
        "sourceCode": json.dumps(standard_json(artifact)),
        "constructorArguments": arguments.hex(),
        "contractaddress": deployed.addresses[step.key],
        "contractname": f"{artifact.source_path.as_posix()}:{artifact.name}",
        "compilerversion": COMPILER,
        "optimizationUsed": "1",
        "licenseType": str(LICENSE),
    }


class Explorer:
    """An endpoint that speaks Etherscan's API."""

    def __init__(self, url: str, api_key: str, *, pauses: tuple[float, ...] = PAUSES) -> None:
        self._url = url
        self._api_key = api_key
        self._pauses = pauses
        self._session = requests.Session()

    def publish(self, key: str, fields: dict[str, str]) -> Published:
        """Submit one contract and wait for the verdict; raises PublishError."""
        address = fields["contractaddress"]
        accepted, guid = self._asked("POST", fields)
        if not accepted:
            known = "already verified" in guid.lower()
            return Published(key, address, "already" if known else "refused", guid)
        query = {"chainid": fields["chainid"], "module": "contract", "action": "checkverifystatus", "guid": guid}
        for pause in self._pauses:
            accepted, verdict = self._asked("GET", query)
            if accepted or "already verified" in verdict.lower():
                return Published(key, address, "verified", verdict)
            if "pending" not in verdict.lower():
                return Published(key, address, "refused", verdict)
            time.sleep(pause)
        raise PublishError(f"{key}: no verdict on {guid} yet: run the same command again, what is done is skipped")

    def _asked(self, method: str, fields: dict[str, str]) -> tuple[bool, str]:
        """(status, result) of one call, repeated while the explorer has had too many."""
        for pause in self._pauses:
            try:
                # the chain and the key go into the address, what is long into the body
                short = {name: fields[name] for name in ("chainid",) if method == "POST"} or fields
                answer = self._session.request(
                    method,
                    self._url,
                    params=short | {"apikey": self._api_key},
                    data=fields if method == "POST" else None,
                    timeout=60,
                )
                document = answer.json()
                status, result = document["status"] == "1", str(document["result"])
            except (requests.RequestException, ValueError, KeyError, TypeError) as error:
                raise PublishError(f"{self._url} gives no answer of Etherscan's form: {error}") from None
            if "rate limit" not in result.lower():
                return status, result
            time.sleep(pause)
        raise PublishError(f"{self._url}: its rate limit does not end; run the same command again later")


def publish(
    manifest: Manifest,
    deployed: Deployed,
    explorer: Explorer,
    only: tuple[str, ...] = (),
    watch: Callable[[Published], None] = lambda _: None,
) -> list[Published]:
    """Every contract of a deployment, or those named by their keys."""
    steps = manifest.plan().contracts
    unknown = [key for key in only if key not in steps]
    if unknown:
        raise PublishError(f"no contract {', '.join(unknown)} in the manifest of {manifest.network}")
    found = []
    for key in only or steps:
        found.append(explorer.publish(key, form(steps[key], deployed, manifest.chain_id)))
        watch(found[-1])
    return found
