"""Speeds are time per action turned round, and say what they leave out."""

from pathlib import Path

from ballast.reports.fuzz_speed import Slice, _speed, report

SLICES = [
    Slice({"contract": 200.0, "checks": 100.0, "compare": 300.0, "twin": 200.0, "beyond": 200.0}, 150.0, 100.0),
    Slice({"contract": 100.0, "checks": 100.0, "compare": 150.0, "twin": 50.0, "beyond": 100.0}, 100.0, 50.0),
    Slice({"contract": 100.0, "checks": 300.0, "compare": 200.0, "twin": 100.0, "beyond": 100.0}, 100.0, 50.0),
]


def test_speed_leaves_out_what_the_measure_names() -> None:
    speed = _speed("now", SLICES)
    assert speed.quickest == {"I1 to I7": 5_000, "I1 to I7 and the twin": 2_500, "everything": 2_000}
    assert speed.median == {"I1 to I7": 1e6 / 300, "I1 to I7 and the twin": 1e6 / 700, "everything": 1_250}
    assert speed.slice is SLICES[1]


def test_speed_of_a_tree_that_tells_no_checks_apart_is_of_everything() -> None:
    assert set(_speed("earlier", [Slice({"read": 400.0, "twin": 600.0}, 1.0, 1.0)]).quickest) == {"everything"}


def test_report_written_table_has_both_trees_and_their_sums(tmp_path: Path) -> None:
    earlier = _speed("commit 1234567", [Slice({"read": 400.0, "twin": 600.0}, 1.0, 1.0)])
    report([earlier, _speed("now", SLICES)], tmp_path)
    text = (tmp_path / "fuzz-speed.md").read_text()
    assert "| now: I1 to I7 and the twin | 1,000 | 2,500 | 1,429 |" in text
    assert "| **all** | **1,000** | **500** |" in text
    assert "would allow 20,000" in text
