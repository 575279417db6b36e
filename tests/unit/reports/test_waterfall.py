"""The picture of who pays says what the configuration says."""

import re
from pathlib import Path

from ballast import config as networks
from ballast.reports import waterfall


def test_stages_parts_of_a_penalty_are_those_of_the_configuration_and_add_up() -> None:
    account = waterfall.stages()[0]
    found = [int(part) for part in re.findall(r"(\d+)% (?:who calls|LPs|insurance)", account.gets.replace("\n", " "))]
    clearing = networks.load("local").clearing
    assert found[:2] == [int(clearing.liquidator_share * 100), int(clearing.lp_share * 100)]
    assert len(found) == 3
    assert sum(found) == 100


def test_report_picture_names_every_stage(tmp_path: Path) -> None:
    waterfall.report(tmp_path)
    text = (tmp_path / "waterfall.svg").read_text()
    assert all(f"<!-- {stage.title} -->" in text for stage in waterfall.stages())
