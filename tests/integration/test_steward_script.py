"""`steward` against a node: the key moves levers, anybody sends what it has signed, the guardian tightens."""

from __future__ import annotations

from collections.abc import Iterator
from math import exp
from pathlib import Path

import pytest

from tests.integration.net import Net, started, undone

pytestmark = pytest.mark.anvil

KEY = {"POLICY": f"0x{15:064x}", "OTHER": f"0x{16:064x}"}
DAY = 86_400


@pytest.fixture(scope="module")
def devnet_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    with started(Net, tmp_path_factory.mktemp("deployments"), options=False) as net:
        net.chain.warp(DAY)
        yield net


@pytest.fixture
def net(devnet_of: Net) -> Iterator[Net]:
    """The devnet as it started, whatever a test does."""
    with undone(devnet_of) as net:
        yield net


def test_steward_from_show_to_relay_and_tighten(net: Net, tmp_path: Path) -> None:
    levers = {each["name"]: each for each in net.answer("steward show")["levers"]}
    assert levers["inventory.aversion"] | {"rests": 0} == {
        "name": "inventory.aversion", "value": "8", "floor": "2", "ceiling": "40", "speed": "2", "cooldown": 3_600,
        "from": "6", "to": "10", "rests": 0, "tighter": "higher",
    }  # fmt: skip
    assert "BTC.spreads.base" in net.run("steward show").output

    file = tmp_path / "moves.json"
    signing = f"steward sign --set inventory.aversion=9.5 --set ETH.spreads.z=2.5 --file {file}"
    assert "no OTHER2" in net.run(f"{signing} --key OTHER2", ok=False, **KEY).output
    assert "the steward's key is" in net.run(f"{signing} --key OTHER", ok=False, **KEY).output
    assert "ETH.spreads.z: 2 → 2.5" in net.run(f"{signing} --key POLICY", **KEY).output
    moved = net.answer(f"steward relay {file} --unlocked 3 --yes")["moved"]
    assert moved == [
        {"name": "inventory.aversion", "before": "8", "after": "9.5"},
        {"name": "ETH.spreads.z", "before": "2", "after": "2.5"},
    ]
    assert "Sign anew" in net.run(f"steward relay {file} --unlocked 3 --yes", ok=False).output
    assert "rests" in net.run("steward show").output

    refused = net.run("steward adjust --set inventory.aversion=9 --unlocked 3 --yes", ok=False).output
    assert "steward: not the key" in refused
    assert "knows no setter" in net.run("steward adjust --set drift.max_age=7200 --unlocked 3", ok=False).output

    assert net.answer("steward tighten --set BTC.spreads.base=0.002 --unlocked 8 --yes")["moved"] == [
        {"name": "BTC.spreads.base", "before": "0.0001", "after": "0.002"}
    ]
    assert "steward: loosens" in net.run("steward tighten --set hedging.phi=0.7 --unlocked 8 --yes", ok=False).output


def test_wanted_settings_of_a_storm_are_what_the_steward_accepts(net: Net, tmp_path: Path) -> None:
    """A storm of eight hours on three calm weeks: what is wanted is signed and sent as it stands."""
    net.chain.warp(DAY)
    prices, file = tmp_path / "hours.csv", tmp_path / "moves.json"
    lines, price = ["ts,ETH,BTC"], 2_000.0
    for hour in range(500):
        price *= exp((0.03 if hour >= 492 else 0.004) * (-1) ** hour)
        lines.append(f"{hour * 3_600},{price},{20 * price}")
    prices.write_text("\n".join(lines) + "\n")
    wanted = net.answer(f"steward wanted --prices {prices}")
    assert wanted["warm"] > 0.9
    assert wanted["settings"]
    settings = " ".join(f"--set {each}" for each in wanted["settings"])
    net.run(f"steward sign {settings} --file {file} --key POLICY", **KEY)
    moved = net.answer(f"steward relay {file} --unlocked 3 --yes")["moved"]
    assert {each["name"] for each in moved} == {each.partition("=")[0] for each in wanted["settings"]}
    assert net.answer(f"steward wanted --prices {prices}")["settings"] == []  # levers rest

    prices.write_text("ts,ETH\n0,2000\n")
    assert "ts, ETH, BTC" in net.run(f"steward wanted --prices {prices}", ok=False).output
    prices.write_text("\n".join(lines[:100]) + "\n")
    assert "168 prices" in net.run(f"steward wanted --prices {prices}", ok=False).output
