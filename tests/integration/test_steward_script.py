"""`steward` against a node: the key moves levers, anybody sends what it has signed, the guardian tightens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.net import Net, started

pytestmark = pytest.mark.anvil

KEY = {"POLICY": f"0x{15:064x}", "OTHER": f"0x{16:064x}"}
DAY = 86_400


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    with started(Net, tmp_path_factory.mktemp("deployments"), options=False) as net:
        net.chain.warp(DAY)
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
