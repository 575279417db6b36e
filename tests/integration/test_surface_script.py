"""scripts/surface.py against a real node: from a recorded chain to signatures, to the contract, to the screen."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from eth_account import Account

from ballast import data
from ballast.surface import fit, quotes_of
from ballast.surface.signing import SignedUpdate
from scripts.surface import PASSPHRASE, cli
from tests.integration.net import Net, started, undone

pytestmark = pytest.mark.anvil

KEYS = {f"FEEDER{n}": f"0x{10 + n:064x}" for n in (1, 2, 3)} | {"STRANGER": f"0x{99:064x}", "NONSENSE": "0x12"}
SIGNED = "--key FEEDER1 --key FEEDER2"


class SurfaceNet(Net):
    """Its commands are those of `surface`; {folder} is where files may lie, and everybody's keys are in variables."""

    @property
    def folder(self) -> Path:
        return self.path.parent

    def run(self, line: str, *, ok: bool = True, **env: str) -> Result:
        return super().run("surface " + line.replace("{folder}", str(self.folder)), ok=ok, **KEYS | env)

    def shown(self) -> Any:
        return self.answer("show ETH")


@pytest.fixture(scope="module")
def devnet_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SurfaceNet]:
    with started(SurfaceNet, tmp_path_factory.mktemp("deployments"), options=False) as net:
        yield net


@pytest.fixture
def net(devnet_of: SurfaceNet) -> Iterator[SurfaceNet]:
    """The devnet as it started, whatever a test does."""
    with undone(devnet_of) as net:
        yield net


def test_post_then_show_is_the_fit_of_the_recorded_chain(net: SurfaceNet) -> None:
    chain = data.option_chains("ETH")[-1]
    fitted = fit(quotes_of(chain)).surface
    assert json.loads(net.run(f"post ETH --today {SIGNED} --unlocked 4 --yes --json").stdout)["market"] == 0
    shown = net.shown()
    assert shown["is_live"]
    assert len(shown["expiries"]) == len(fitted.expiry)
    for line, theta, expiry in zip(shown["expiries"], fitted.theta, fitted.expiry, strict=True):
        assert int(line["rho"]) / 1e18 == pytest.approx(fitted.rho, abs=1e-15)
        posted = int(line["theta"]) / 1e18 / (line["expiry"] - shown["timestamp"])
        assert posted == pytest.approx(theta / (expiry - fitted.ts), rel=1e-9)
    table = net.run("show ETH").output
    assert re.search(r"ETH: rho -\d\.\d+, eta \d\.\d+, observed .* UTC, .* ago, live", table)
    assert table.count(" %") == 6 * len(fitted.expiry)  # a rate and five volatilities each


def test_post_today_keeps_the_expiries_that_are_posted(net: SurfaceNet) -> None:
    """After a day that of the recorded chain would be others."""
    net.run(f"post ETH --today {SIGNED} --unlocked 4 --yes")
    before = {line["expiry"] for line in net.shown()["expiries"]}
    net.chain.warp(30 * 3_600)
    net.run(f"post ETH --today {SIGNED} --unlocked 4 --yes")
    after = {line["expiry"] for line in net.shown()["expiries"]}
    assert {expiry for expiry in before if expiry > net.chain.now} < after


def test_fit_prints_what_post_reads(net: SurfaceNet) -> None:
    fitted = CliRunner().invoke(cli, ["fit", "BTC", "--json"])
    (net.folder / "btc.json").write_text(fitted.output)
    net.run(f"post BTC --today --params {{folder}}/btc.json {SIGNED} --unlocked 4 --yes")
    rho = json.loads(net.run("show BTC --json").stdout)["expiries"][0]["rho"]
    assert int(rho) / 1e18 == pytest.approx(json.loads(fitted.output)["rho"], abs=1e-15)


def test_signatures_are_collected_in_files(net: SurfaceNet) -> None:
    """One feeder begins, one adds to a copy, anybody posts both files; a key file signs as a key does."""
    first, second = net.folder / "first.json", net.folder / "second.json"
    net.run(f"sign ETH --today --key FEEDER3 --file {first}")
    update = SignedUpdate.load(first)
    refused = net.run(f"post --file {first} --unlocked 4 --yes", ok=False).output
    assert "1 of 2 signatures" in refused
    assert "surface sign --file" in refused
    second.write_text(first.read_text())
    store = net.folder / "feeder.json"
    store.write_text(json.dumps(Account.encrypt(KEYS["FEEDER1"], "secret", kdf="pbkdf2", iterations=1)))
    net.run(f"sign --keystore {store} --file {second}", **{PASSPHRASE: "secret"})
    assert set(SignedUpdate.load(second).signatures) == {
        Account.from_key(KEYS[name]).address for name in ("FEEDER1", "FEEDER3")
    }
    net.run(f"post --file {first} --file {second} --unlocked 4 --yes")
    assert net.shown()["timestamp"] == update.update.timestamp
    wrong = net.run(f"sign --keystore {store} --file {second}", ok=False, **{PASSPHRASE: "guess"}).output
    assert "passphrase right?" in wrong


@pytest.mark.parametrize(
    ("line", "error", "hint"),
    [
        ("show ETH", "no surface of ETH has been posted", "surface post ETH"),
        ("show SOL", "no market 'SOL'; there are ETH, BTC", ""),
        ("post --unlocked 4 --yes", "what to post?", "--file"),
        ("post ETH --today --unlocked 4 --yes", "0 of 2 signatures", "--keystore"),
        ("post ETH --today --key FEEDER1 --unlocked 4 --yes", "1 of 2 signatures", "--keystore"),
        ("post ETH --today --key FEEDER1 --key STRANGER --unlocked 4 --yes", "is no feeder", "Leave that"),
        ("post ETH --today --key MISSING --unlocked 4 --yes", "has no MISSING", "not the key itself"),
        ("post ETH --today --key NONSENSE --unlocked 4 --yes", "NONSENSE is no private key", "32 bytes"),
        (f"post ETH --today {SIGNED} --yes", "nobody to send as", "--unlocked"),
        (f"post ETH --today {SIGNED} --unlocked 4", "cannot ask", "--yes"),
        (f"post ETH {SIGNED} --unlocked 4 --yes", "surface: from the future", "--today"),
        (f"post ETH --params {{folder}}/local.json {SIGNED} --unlocked 4 --yes", "holds no surface", "fit ETH --json"),
        ("post --file {folder}/local.json --unlocked 4 --yes", "holds no signed update", "surface sign MARKET"),
        ("sign ETH --today --file {folder}/x.json", "nobody to sign as", "--keystore"),
        ("sign --key FEEDER1 --file {folder}/nowhere.json", "holds no signed update", "begins one"),
    ],
)
def test_refusals_say_what_to_do(net: SurfaceNet, line: str, error: str, hint: str) -> None:
    output = net.run(line, ok=False).output
    assert error in output
    assert hint in output
    assert "Traceback" not in output


def test_post_beyond_the_drift_says_to_wait(net: SurfaceNet) -> None:
    net.run(f"post ETH --today {SIGNED} --unlocked 4 --yes")
    net.chain.warp(60)
    output = net.run(f"post ETH --today --at 2026-02-05 {SIGNED} --unlocked 4 --yes", ok=False).output
    assert re.search(r"surface: (\w+ drift|expiry missing)", output)
    assert "than updates may" in output or "every live expiry" in output


def test_update_for_another_deployment_is_refused(net: SurfaceNet) -> None:
    path = net.folder / "elsewhere.json"
    net.run(f"sign ETH --today --key FEEDER1 --file {path}")
    document = json.loads(path.read_text()) | {"chain_id": 1, "signatures": {}}
    path.write_text(json.dumps(document))
    output = net.run(f"sign --key FEEDER2 --file {path}", ok=False).output
    assert "on chain 1, not for" in output
    assert "sign it anew" in output


def test_help_examples_are_understood() -> None:
    """Their options exist; whether they work is shown above."""
    lines = [line.strip() for command in (cli, *cli.commands.values()) for line in (command.help or "").splitlines()]
    examples = [line.removeprefix("python -m scripts.surface ") for line in lines if line.startswith("python -m")]
    assert len(examples) >= 8
    for example in examples:
        name, *arguments = shlex.split(example)
        cli.commands[name].make_context(name, arguments)
