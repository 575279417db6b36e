"""docs/operations.md does what it says: its commands are run in order, its tables name what there is."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ballast import devnet
from ballast.chain.anvil import Anvil
from ballast.chain.artifacts import ROOT, contract_paths
from ballast.deployment import manifest as manifests
from ballast.proposals import Drafts
from tests.integration.net import command_of

pytestmark = pytest.mark.anvil

PAGE = (ROOT / "docs" / "operations.md").read_text()
BLOCK = re.compile(r"^```(\w+) ?(\S*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FEEDERS = {"FEEDER1": f"0x{11:064x}", "FEEDER2": f"0x{12:064x}"}  # of networks/local.yaml


def blocks(kind: str) -> Iterator[tuple[str, str]]:
    """(title, text) of the page's blocks of a kind."""
    return ((title, text) for found, title, text in BLOCK.findall(PAGE) if found == kind)


def parsed(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that a line names, and its arguments."""
    if words[:2] == ["python", "-m"]:
        _, _, module, *arguments = words
        return (devnet.main if module == "ballast.devnet" else command_of(module.removeprefix("scripts."))), arguments
    assert words[:2] == ["ape", "run"], f"not a command of ours: {words}"
    return command_of(words[2]), words[3:]


@dataclass
class Shell:
    """Runs the lines of the page; remembers what later ones refer to."""

    variables: dict[str, str] = field(default_factory=dict)

    def run(self, line: str) -> None:
        line, _, remark = line.partition("   #")
        if line.startswith("export "):
            return  # the test says which node
        for name, value in self.variables.items():
            line = line.replace(f"${name}", value)
        command, arguments = parsed(shlex.split(line))
        result = CliRunner().invoke(command, arguments, env=FEEDERS | {"COLUMNS": "200"})
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        refused = remark.strip().removeprefix("refused: ")
        assert (result.exit_code != 0) == bool(refused), f"{line}\n{result.output}"
        assert refused in result.output
        if match := re.search(r"operation\s+(0x[0-9a-f]{64})", result.output):
            self.variables["OPERATION"] = match[1]
        if "surface post" in line.replace("scripts.", ""):
            shown = CliRunner().invoke(command_of("surface"), ["show", "ETH", "--json"])
            self.variables["EXPIRY"] = str(_expiries(json.loads(shown.stdout))[1])


def _expiries(document: object) -> list[int]:
    """Every number called `expiry` in a document."""
    if isinstance(document, list):
        return [found for part in document for found in _expiries(part)]
    if isinstance(document, dict):
        own = [value for name, value in document.items() if name == "expiry" and isinstance(value, int)]
        return own + [found for part in document.values() for found in _expiries(part)]
    return []


def test_commands_do_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "DEPLOYMENTS", tmp_path)
    monkeypatch.chdir(tmp_path)
    for name, text in blocks("yaml"):
        (tmp_path / name).write_text(text)
    with Anvil() as node:
        chain = node.chain(estimate_gas=True)
        devnet.start(chain, tmp_path / "local-governed.json", config_name="local-governed", options=False)
        monkeypatch.setenv("BALLAST_RPC", node.url)
        shell = Shell()
        for _, text in blocks("sh"):
            for line in text.splitlines():
                shell.run(line)
        # and nothing can be added twice, or changed this way
        extend = "python -m scripts.extend --unlocked 3 --yes --config"
        shell.run(f"{extend} more.yaml   # refused: the file has nothing")
        Path("other.yaml").write_text(Path("more.yaml").read_text().replace("max_age: 1h", "max_age: 2h"))
        shell.run(
            "python -m scripts.extend --config other.yaml --unlocked 3 --yes   # refused: oracle: list SOL is another"
        )
        # what the page led to
        system = manifests.find(chain).system(chain)
        assert system.inventory.call("params").weights.aversion == 91 * 10**17
        assert system.perp_engine.call("listed_mask") == 0b111
        assert system.surface.call("is_signer", chain.accounts[3])
        assert system.vault.call("totalSupply") == 0
        check_calls(Drafts(system))


def check_calls(drafts: Drafts) -> None:
    """Every call in a table is one that the contracts know."""
    rows = [line for line in PAGE.splitlines() if line.startswith("| ")]
    calls = {call for row in rows for call in re.findall(r"`([a-z_]+\.\w+\(.*?\))`", row)}
    stand_ins = {"new": "0x" + "11" * 20, "old": "0x" + "22" * 20, "feed": "0x" + "33" * 20, "expiry": "1790000000"}
    assert len(calls) > 25
    for call in calls:
        assert drafts.calls((), [re.sub(r"\b(new|old|feed|expiry)\b(?=[,)])", lambda m: stand_ins[m[1]], call)])


def test_commands_for_public_networks_have_these_options() -> None:
    for _, text in blocks("console"):
        for line in text.splitlines():
            command, arguments = parsed(shlex.split(line))
            command.make_context("handbook", arguments)


@pytest.mark.parametrize("script", ["deploy", "rehearse", "verify", "publish", "extend", "guard"])
def test_examples_of_operators_commands_have_these_options(script: str) -> None:
    command = command_of(script)
    examples = [line.strip() for line in (command.help or "").splitlines() if " run " in line or " -m scripts." in line]
    own = [line for line in examples if f"run {script} " in line or f"scripts.{script} " in line]
    assert own
    for line in own:
        _, arguments = parsed([word for word in shlex.split(line) if "=…" not in word])
        command.make_context(script, arguments)


def test_every_contract_has_its_incident() -> None:
    table = PAGE[PAGE.index("## Incidents") : PAGE.index("## Upgrade")]
    named = set(re.findall(r"\b[A-Z]\w+", " ".join(row.split("|")[1] for row in re.findall(r"^\|.*", table, re.M))))
    deployable = {name for name, path in contract_paths().items() if "testing" not in path.parts}
    assert deployable <= named, f"no incident for {sorted(deployable - named)}"
