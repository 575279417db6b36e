"""scripts/lint.py: what it lets pass, what it says without its tools, and that clean files are not looked at twice."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from scripts import lint

CONFIG = """
[mamushi]
version = "0.1.2"
line-length = 110
[mamushi.except]
"contracts/Odd.vy" = "it cannot be read"
[natrix]
version = "0.1.9"
options = []
[natrix.off]
[[natrix.accepted]]
rule = "NTX8"
file = "Box"
says = "'i'"
why = "counts"
"""


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """A project of two contracts; which tool was asked about which file."""
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts" / "Box.vy").write_text("x: uint256     # [base]\n\n\ny: uint256\n")
    (tmp_path / "contracts" / "Odd.vy").write_text("odd\n")
    (tmp_path / "lint.toml").write_text(CONFIG)
    for name, value in {"ROOT": tmp_path, "BUILD": tmp_path / ".build", "CONFIG": tmp_path / "lint.toml"}.items():
        monkeypatch.setattr(lint, name, value)
    monkeypatch.delenv("CI", raising=False)
    found: list[tuple[str, str]] = []

    def run(tool: str, version: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        file = Path(arguments[-1])
        found.append((tool, file.name))
        if tool == "mamushi":
            text = file.read_text().replace("     #", "  #").replace("\n\n", "\n")
            file.write_text(text.replace("x:uint256", "x: uint256"))
            return subprocess.CompletedProcess([], 0, "", "")
        issues = [{"position": "1:0", "code": "NTX8", "message": "Variable 'i' is declared but never used."}]
        if file.name == "Odd.vy":
            issues.append({"position": "2:0", "code": "NTX2", "message": "Constant is low."})
        return subprocess.CompletedProcess([], 0, json.dumps(issues), "")

    monkeypatch.setattr(lint, "run", run)
    return found


def test_lint_tells_what_is_not_accepted_and_passes_over_what_is_clean(
    asked: list[tuple[str, str]], tmp_path: Path
) -> None:
    result = CliRunner().invoke(lint.cli, ["--json"])
    assert result.exit_code == 1
    odd = ["1:0 NTX8 Variable 'i' is declared but never used.", "2:0 NTX2 Constant is low."]
    assert json.loads(result.output)["findings"] == {"contracts/Odd.vy": odd}
    assert asked == [("mamushi", "Box.vy"), ("natrix", "Box.vy"), ("natrix", "Odd.vy")]

    asked.clear()
    CliRunner().invoke(lint.cli, [])
    assert asked == [("natrix", "Odd.vy")]

    box = tmp_path / "contracts" / "Box.vy"
    box.write_text("x:uint256\n")
    result = CliRunner().invoke(lint.cli, [])
    assert "contracts/Box.vy: mamushi would write: x: uint256" in result.output


@pytest.mark.parametrize("ci", [False, True])
def test_lint_without_the_tools_says_so(
    asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, ci: bool
) -> None:
    def run(*_: str) -> subprocess.CompletedProcess[str]:
        raise lint.Unavailable("no way there")

    monkeypatch.setattr(lint, "run", run)
    if ci:
        monkeypatch.setenv("CI", "true")
    result = CliRunner().invoke(lint.cli, [])
    assert result.exit_code == int(ci)
    assert "mamushi 0.1.2 cannot be had, contracts are not checked by it: no way there" in result.output
