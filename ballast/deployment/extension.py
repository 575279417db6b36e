"""Markets and venues that a network's file has gained since it was deployed.

Contracts that are new (feeds, venues) hold no power until they are listed, so anybody deploys them. Listing is the
governor's: those steps are written as files for `gov propose`, in their order. When all are carried out, the manifest
says what is there, and the verifier agrees. What is there already cannot change this way: ids are places in the file,
so markets are added at its end, and venues at the end of the last market that has any.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from ballast.chain.rpc import RpcChain
from ballast.config import Config
from ballast.deployment.manifest import Manifest, Sent, created, described
from ballast.deployment.surroundings import build
from ballast.deployment.verify import with_addresses
from ballast.model.exact.governor import MAX_CALLS
from ballast.plan import Deploy, Deployed, Plan, Step, plain

LEVERS = 4  # that a call of a proposal has room for


class ExtensionError(ValueError):
    """The file says something else than more; or what was listed is not there yet."""


@dataclass(frozen=True, slots=True)
class Extension:
    """What a file has more than a manifest."""

    manifest: Manifest
    plan: Plan
    deployed: Deployed
    steps: list[Step]

    @classmethod
    def between(cls, manifest: Manifest, chain: RpcChain, wanted: Config, state: Path, sender: str) -> Extension:
        """Compare; a test network's new surroundings are deployed. `state` keeps addresses between runs."""
        known = json.loads(state.read_text()) if state.is_file() else {}
        asked = wanted.model_dump_json()
        if known.get("asked") != asked:
            found = build(chain, with_addresses(wanted, manifest.parsed_config()), sender).config
            known = {"asked": asked, "config": found.model_dump(mode="json"), "addresses": {}}
            state.write_text(json.dumps(known, indent=2) + "\n")
        config = Config.model_validate(known["config"])
        old, new = manifest.plan(), Plan(config, manifest.deployer)
        mine = {step.title: step for step in new.steps}
        for step in old.steps:
            if mine.get(step.title) != step:
                raise ExtensionError(
                    f"{manifest.network}: {step.title} is another than was deployed: this only adds markets at the "
                    "end. Parameters change by `gov propose --set`"
                )
        titles = {step.title for step in old.steps}
        steps = [step for step in new.steps if step.title not in titles]
        if not steps:
            raise ExtensionError(f"{manifest.network}: the file has nothing that the manifest has not")
        deployed = Deployed(chain, manifest.addresses | new.external() | known["addresses"])
        return cls(manifest, new, deployed, steps)

    def deploy(self, state: Path, sender: str) -> list[str]:
        """Create what is not there yet; returns the keys of all new contracts."""
        keys = []
        for step in self.steps:
            if not isinstance(step, Deploy):
                continue
            keys.append(step.key)
            if step.key not in self.deployed.addresses:
                receipt = self.deployed.chain.transact(step.tx(self.deployed, self.plan, sender))
                assert receipt.contract_address is not None
                self.deployed.addresses[step.key] = receipt.contract_address
                known = json.loads(state.read_text())
                known["addresses"][step.key] = receipt.contract_address
                state.write_text(json.dumps(known, indent=2) + "\n")
        return keys

    def proposals(self, folder: Path) -> list[Path]:
        """Files for `gov propose`, of as many calls as one proposal may have."""
        calls = list(self._calls())
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for number, start in enumerate(range(0, len(calls), MAX_CALLS), 1):
            path = folder / f"{self.manifest.network}-extension-{number}.yaml"
            document = {"description": f"list what is new, part {number}", "call": calls[start : start + MAX_CALLS]}
            path.write_text(yaml.safe_dump(document, sort_keys=False, width=1_000))
            paths.append(path)
        return paths

    def _calls(self) -> Iterator[str]:
        for step in self.steps:
            if isinstance(step, Deploy):
                continue
            tx = step.tx(self.deployed, self.plan, self.manifest.deployer)
            assert tx.function is not None
            arguments = list(tx.function.inputs.decode(tx.data[4:]))
            key = next(key for key, address in self.deployed.addresses.items() if address == tx.to)
            for part in _parts(arguments) if tx.function.name == "set_levers" else [arguments]:
                yield f"{key}.{tx.function.name}({', '.join(map(_worded, part))})"

    def finished(self) -> Manifest:
        """The manifest of what is there now; raises ExtensionError while something is missing."""
        calls = [step for step in self.steps if not isinstance(step, Deploy)]
        missing = [step.title for step in calls if not step.done(self.deployed, self.plan)]
        if missing:
            raise ExtensionError(f"not carried out yet: {', '.join(missing)}")
        manifest = self.manifest
        new = {step.key: created(step, self.deployed) for step in self.steps if isinstance(step, Deploy)}
        ordered = {key: (manifest.contracts | new)[key] for key in self.plan.contracts}
        sent = [Sent(step.title, None, None, None) for step in calls]
        return replace(
            manifest,
            contracts=ordered,
            transactions=[*manifest.transactions, *sent],
            **described(self.plan, self.deployed),
        )


def _parts(arguments: list[Any]) -> Iterator[list[Any]]:
    """Levers of one surface in calls that a proposal has room for: 1,024 bytes each."""
    surface_id, settings = arguments
    for start in range(0, len(settings), LEVERS):
        yield [surface_id, settings[start : start + LEVERS]]


def _worded(value: Any) -> str:
    """An argument as proposals spell it."""
    value = plain(value)
    if isinstance(value, tuple):
        return f"[{', '.join(map(_worded, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
