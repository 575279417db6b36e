"""Storage layouts are what they were, and a change of any kind is seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from ballast.chain.artifacts import load
from ballast.reports import layouts


def test_layouts_are_those_kept() -> None:
    assert layouts.changed(layouts.measure()) == [], "meant? python -m scripts.report layouts"


def test_layout_names_every_variable_and_place() -> None:
    lines = layouts.layout_of(load("PriceOracle")).splitlines()
    assert "storage 4 16 uint256[16] _configs" in lines
    assert "storage 2 1 HashMap[address, Role] roles.roles_of" in lines
    assert any(line.startswith("transient 0 1 nonreentrant") for line in lines)
    assert "immutable 64 32 address AGGREGATOR\n" in layouts.layout_of(load("ChainlinkFeed"))


@pytest.mark.parametrize("change", ["a new contract", "one that is gone", "another type"])
def test_changed_sees(tmp_path: Path, change: str) -> None:
    kept = {"Box": "storage 0 1 uint256 size\n", "Lid": ""}
    layouts.write(kept, tmp_path)
    assert layouts.changed(kept, tmp_path) == []
    now = dict(kept)
    if change == "a new contract":
        now["Hinge"] = ""
    elif change == "one that is gone":
        del now["Lid"]
    else:
        now["Box"] = "storage 0 1 int256 size\n"
    assert len(layouts.changed(now, tmp_path)) == 1
    layouts.write(now, tmp_path)
    assert layouts.changed(now, tmp_path) == []
