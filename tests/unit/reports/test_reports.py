"""Reports are written as measured and compared with what is checked in."""

from pathlib import Path

import pytest

from ballast import reports
from ballast.reports import GasRow, ReportFailed, SizeRow

ROWS = [GasRow("perp: open", 150_000, limit=200_000), GasRow("perp: close", 120_000, note="refund included")]
SIZES = [SizeRow("Vault", 22_000, 23_000), SizeRow("Lens", 10_000, 10_500)]
SCENARIO = """
from ballast.reports import GasRow

def measure(chain):
    probe = chain.deploy("WrapperProbe", "gas", 0)
    yield GasRow("count", probe.send("count", 1).gas_used)
"""


def test_gas_written_table_compares_equal(tmp_path: Path) -> None:
    reports.gas(ROWS, tmp_path)
    reports.compare_gas(ROWS, tmp_path)
    assert "| perp: open | 150,000 | 200,000 |  |" in (tmp_path / "gas.md").read_text()


def test_compare_gas_growth_within_tolerance_passes(tmp_path: Path) -> None:
    reports.gas(ROWS, tmp_path)
    reports.compare_gas([GasRow("perp: open", 153_000, limit=200_000), ROWS[1]], tmp_path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([GasRow("perp: open", 153_001), ROWS[1]], r"perp: open: 153,001 gas, \+2.0% on 150,000"),
        ([GasRow("perp: open", 150_000, limit=149_999), ROWS[1]], "perp: open: 150,000 gas is over 149,999"),
        ([*ROWS, GasRow("vault: deposit", 1)], "vault: deposit: not in"),
        (ROWS[:1], "perp: close: in docs/reports/gas.json only"),
    ],
)
def test_compare_gas_broken_promise_raises(tmp_path: Path, rows: list[GasRow], message: str) -> None:
    reports.gas(ROWS, tmp_path)
    with pytest.raises(ReportFailed, match=message):
        reports.compare_gas(rows, tmp_path)


def test_measure_gas_runs_each_scenario_file(tmp_path: Path) -> None:
    (tmp_path / "scenario_probe.py").write_text(SCENARIO)
    (row,) = reports.measure_gas(tmp_path)
    assert row.name == "count"
    assert 21_000 < row.gas < 200_000
    (tmp_path / "scenario_same.py").write_text(SCENARIO)
    with pytest.raises(ValueError, match="count"):
        reports.measure_gas(tmp_path)


def test_size_every_contract_is_within_the_limit_and_its_table() -> None:
    reports.compare_size(reports.measure_size())


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([SizeRow("Vault", 22_001, 30_000), SIZES[1]], "Vault: 22,001 bytes are over 22,000"),
        ([SIZES[0], SizeRow("Lens", 10_201, 10_500)], r"Lens: 10,201 bytes, \+2.0% on 10,000"),
        ([*SIZES, SizeRow("Margin", 1, 1)], "Margin: not in"),
        (SIZES[:1], "Lens: in docs/reports/size.json only"),
    ],
)
def test_compare_size_broken_promise_raises(tmp_path: Path, rows: list[SizeRow], message: str) -> None:
    reports.size(SIZES, tmp_path)
    with pytest.raises(ReportFailed, match=message):
        reports.compare_size(rows, tmp_path)


def test_compare_size_growth_within_tolerance_passes(tmp_path: Path) -> None:
    reports.size(SIZES, tmp_path)
    reports.compare_size([SizeRow("Vault", 22_000, 30_000), SizeRow("Lens", 10_200, 10_700)], tmp_path)


def test_size_written_table_names_the_room_left(tmp_path: Path) -> None:
    reports.size([SizeRow("Lens", 21_000, 22_500)], tmp_path)
    assert "| Lens | 21,000 | 1,000 | 22,500 |" in (tmp_path / "size.md").read_text()
