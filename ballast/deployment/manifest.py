"""`deployments/<network>.json`: everything that is needed to use or to check a deployment, apart from a node."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

from ballast import config as configuration
from ballast.chain import Chain, Event
from ballast.chain.artifacts import ROOT
from ballast.chain.rpc import RpcChain, RpcError
from ballast.config import Config
from ballast.deployment.surroundings import build
from ballast.plan import Deploy, Deployed, Plan, plain
from ballast.system import Sandbox, System, handles

DEPLOYMENTS = ROOT / "deployments"
FORMAT = "ballast-manifest/1"
LOG_SPAN = 50_000  # blocks per query of logs; fewer where a node refuses


class ManifestError(ValueError):
    """There is no such manifest, or it is not one."""


@dataclass(frozen=True, slots=True)
class Created:
    """One contract."""

    contract: str  # name of its source
    address: str
    args: list[Any]
    code_hash: str  # keccak of the deployed code, immutables included
    code_size: int  # [bytes]
    tx: str | None  # None when a crash lost it and the node has no history to find it in
    block: int | None
    gas: int | None


@dataclass(frozen=True, slots=True)
class Sent:
    """One transaction after the contracts were there."""

    step: str
    tx: str | None
    block: int | None
    gas: int | None


@dataclass(frozen=True, slots=True)
class Manifest:
    """A finished deployment. `config` is complete, so that nothing but a node is needed to verify it."""

    network: str
    chain_id: int
    deployer: str
    governor: str
    guardian: str | None
    first_block: int
    last_block: int
    timestamp: int  # [s] of the last block
    source: dict[str, Any]
    external: dict[str, str]
    contracts: dict[str, Created]
    roles: dict[str, dict[str, list[str]]]
    reads: list[dict[str, Any]]
    transactions: list[Sent]
    config: dict[str, Any]
    format: str = field(default=FORMAT)

    @property
    def addresses(self) -> dict[str, str]:
        """Every address by the key the plan gives it."""
        return self.external | {key: created.address for key, created in self.contracts.items()}

    def is_at_home(self, chain: Chain) -> bool:
        """Whether the chain has the manifest's code at every address."""
        return all(
            created.code_hash == "0x" + keccak(chain.code(created.address)).hex() for created in self.contracts.values()
        )

    def parsed_config(self) -> Config:
        """The config as it was deployed."""
        return configuration.parse(self.config, f"config of the manifest of {self.network}")

    def plan(self) -> Plan:
        """The steps that led here."""
        return Plan(self.parsed_config(), self.deployer)

    def deployed(self, chain: Chain) -> Deployed:
        """Addresses on a connected chain."""
        return Deployed(chain, self.addresses)

    def system(self, chain: Chain) -> System:
        """Handles of every contract."""
        return System(**handles(self.deployed(chain), self.plan()))

    def sandbox(self, chain: Chain) -> Sandbox:
        """Handles of every contract and of the test contracts around them; ManifestError where those are real."""
        config = self.parsed_config()
        real = [market.name for market in config.markets if market.feed.test is None]
        if config.quote.test is None or real:
            raise ManifestError(f"{self.network} has a quote token or feeds of the real world: {real or 'quote'}")
        around = build(chain, config, self.deployer)
        return Sandbox(**handles(self.deployed(chain), self.plan()), **around.handles())

    def events(self, chain: RpcChain, addresses: Sequence[str]) -> Iterator[Event]:
        """What contracts have logged since the first block, in order; raises RpcError."""
        first, span = self.first_block, LOG_SPAN
        last = chain.number
        while first <= last:
            until = min(first + span - 1, last)
            try:
                logs = chain.logs(addresses, first, until)
            except RpcError:
                if span == 1:
                    raise
                span = max(1, span // 4)
                continue
            yield from map(chain.decode_log, logs)
            first = until + 1

    def save(self, path: Path) -> None:
        """Write it whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, suffix=".tmp") as file:
            file.write(json.dumps(asdict(self), indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.chmod(file.name, 0o644)
        os.replace(file.name, path)


def described(plan: Plan, deployed: Deployed) -> dict[str, Any]:
    """The fields of a manifest that follow from a plan and from where its contracts are."""
    return {
        "governor": deployed.resolve(plan.governor),
        "guardian": plan.guardian,
        "external": {key: address for key, address in deployed.addresses.items() if key not in plan.contracts},
        "roles": {
            key: {holder: [flag.name or "" for flag in role] for holder, role in holders.items()}
            for key, holders in plan.roles(deployed).items()
        },
        "reads": [
            {
                "contract": read.target,
                "read": read.fn,
                "args": _listed(deployed.resolve(read.args)),
                "is": _listed(read.wanted(deployed)),
                "about": read.about,
            }
            for read in plan.reads()
        ],
        "config": plan.config.model_dump(mode="json"),
    }


def created(
    step: Deploy, deployed: Deployed, tx: str | None = None, block: int | None = None, gas: int | None = None
) -> Created:
    """What is recorded of a contract that is there."""
    address = deployed.addresses[step.key]
    code = deployed.chain.code(address)
    args, code_hash = _listed(deployed.resolve(step.args)), "0x" + keccak(code).hex()
    return Created(step.contract, address, args, code_hash, len(code), tx, block, gas)


def _listed(value: Any) -> Any:
    """Tuples as lists: as JSON will have it."""
    value = plain(value)
    return [_listed(part) for part in value] if isinstance(value, tuple) else value


def path_of(network: str) -> Path:
    """Where a network's manifest lies."""
    return DEPLOYMENTS / f"{network}.json"


def load(path: Path) -> Manifest:
    """Read a manifest; raises ManifestError."""
    if not path.is_file():
        known = ", ".join(sorted(str(file) for file in DEPLOYMENTS.glob("*.json"))) or "none"
        raise ManifestError(f"no manifest {path}; there are: {known}")
    try:
        document = json.loads(path.read_text())
        if document["format"] != FORMAT:
            raise ManifestError(f"{path} has format {document['format']!r}, not {FORMAT!r}")
        document["contracts"] = {key: Created(**created) for key, created in document["contracts"].items()}
        document["transactions"] = [Sent(**sent) for sent in document["transactions"]]
        return Manifest(**document)
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ManifestError(f"{path} is not a manifest: {type(error).__name__}: {error}") from None


def find(chain: Chain) -> Manifest:
    """The one manifest of a chain, by its id; raises ManifestError when there is none or a choice."""
    found: list[tuple[Path, Manifest]] = []
    for path in sorted(DEPLOYMENTS.glob("*.json")):
        manifest = load(path)
        if manifest.chain_id == chain.chain_id and chain.code(manifest.addresses["vault"]):
            found.append((path, manifest))
    if not found:
        raise ManifestError(
            f"no deployment on chain {chain.chain_id} is recorded in {DEPLOYMENTS}: deploy first, or name a --manifest"
        )
    if len(found) > 1:  # deployers of throw-away chains put different contracts at the same addresses
        found = [each for each in found if each[1].is_at_home(chain)] or found
    if len(found) > 1:
        raise ManifestError(f"several deployments on chain {chain.chain_id}: choose with --manifest {found[0][0]}")
    return found[0][1]
