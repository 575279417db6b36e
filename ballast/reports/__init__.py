"""Size and gas tables: measured, written to docs/reports, and compared with the tables checked in.

Gas scenarios live in tests/gas/scenario_*.py. Each file defines `measure(chain: RpcChain) -> Iterator[GasRow]` and
runs on an Anvil node of its own; see `measure_gas`.
"""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ballast.chain.anvil import Anvil
from ballast.chain.artifacts import ROOT, SIZE_LIMIT, contract_paths, load

REPORTS = ROOT / "docs" / "reports"
SCENARIOS = ROOT / "tests" / "gas"
TOLERANCE = 0.02  # growth accepted without a new table


@dataclass(frozen=True, slots=True)
class GasRow:
    """Gas of one whole transaction, calldata and refunds included; `limit` is a promise, exceeding it fails."""

    name: str
    gas: int
    limit: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class SizeRow:
    """Deployed code with immutables, and the init code that deploys it [bytes]."""

    name: str
    deployed: int
    initcode: int


class ReportFailed(AssertionError):
    """One line per figure that is over its limit, grew too much, or is missing from the table."""


def measure_gas(folder: Path = SCENARIOS) -> list[GasRow]:
    """Run every scenario file of a folder, each on a fresh Anvil node, in alphabetical order."""
    rows: list[GasRow] = []
    for path in sorted(folder.glob("scenario_*.py")):
        measure = runpy.run_path(str(path))["measure"]
        with Anvil() as node:
            rows += measure(node.chain())
    names = [row.name for row in rows]
    if duplicates := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"two gas scenarios are called {sorted(duplicates)}")
    return rows


def gas(rows: Iterable[GasRow], folder: Path = REPORTS) -> list[GasRow]:
    """Write gas.json and gas.md; returns the rows."""
    rows = list(rows)
    lines = [f"| {row.name} | {row.gas:,} | {_number(row.limit)} | {row.note} |" for row in rows]
    _write(
        folder,
        "gas",
        [asdict(row) for row in rows],
        "Gas per transaction",
        "Receipts of whole transactions on Anvil (Cancun rules), as `make gas` measures them.",
        ["| transaction | gas | limit | note |", "|---|--:|--:|---|", *lines],
    )
    return rows


def compare_gas(rows: Sequence[GasRow], folder: Path = REPORTS, tolerance: float = TOLERANCE) -> None:
    """Raise ReportFailed unless every row is within its limit and within `tolerance` above the checked-in table."""
    failures = [
        f"{row.name}: {row.gas:,} gas is over {row.limit:,}" for row in rows if row.gas > (row.limit or row.gas)
    ]
    _raise(failures + _growth("gas", "gas", {row.name: row.gas for row in rows}, folder, tolerance))


def measure_size() -> list[SizeRow]:
    """Sizes of every deployable contract except test support, largest first."""
    paths = {name: path for name, path in contract_paths().items() if "testing" not in path.parts}
    artifacts = [load(name) for name in paths]
    rows = [SizeRow(artifact.name, artifact.deployed_size, len(artifact.bytecode)) for artifact in artifacts]
    return sorted(rows, key=lambda row: (-row.deployed, row.name))


def size(rows: Iterable[SizeRow], folder: Path = REPORTS) -> list[SizeRow]:
    """Write size.json and size.md; returns the rows."""
    rows = list(rows)
    lines = [f"| {row.name} | {row.deployed:,} | {SIZE_LIMIT - row.deployed:,} | {row.initcode:,} |" for row in rows]
    _write(
        folder,
        "size",
        [asdict(row) for row in rows],
        "Contract sizes",
        f"Bytes of deployed code, immutables included; the project's limit is {SIZE_LIMIT:,} (the EVM's is 24,576).",
        ["| contract | deployed | left | init code |", "|---|--:|--:|--:|", *lines],
    )
    return rows


def compare_size(rows: Sequence[SizeRow], folder: Path = REPORTS, tolerance: float = TOLERANCE) -> None:
    """Raise ReportFailed unless every contract is within the limit and `tolerance` of the checked-in table."""
    failures = [
        f"{row.name}: {row.deployed:,} bytes are over {SIZE_LIMIT:,}" for row in rows if row.deployed > SIZE_LIMIT
    ]
    _raise(failures + _growth("size", "deployed", {row.name: row.deployed for row in rows}, folder, tolerance))


def _growth(report: str, column: str, figures: Mapping[str, int], folder: Path, tolerance: float) -> list[str]:
    """What grew beyond the checked-in table, and what only one of the two knows."""
    table = {row["name"]: int(row[column]) for row in _read(folder, report)}
    unit = {"gas": "gas", "size": "bytes"}[report]
    failures: list[str] = []
    for name, figure in figures.items():
        known = table.get(name)
        if known is None:
            failures.append(f"{name}: not in docs/reports/{report}.json, run `make {report}`")
        elif figure > known * (1 + tolerance):
            failures.append(f"{name}: {figure:,} {unit}, {figure / known - 1:+.1%} on {known:,}")
    return failures + [f"{name}: in docs/reports/{report}.json only" for name in table.keys() - figures.keys()]


def _raise(failures: Sequence[str]) -> None:
    if failures:
        raise ReportFailed("\n".join(failures))


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _read(folder: Path, name: str) -> list[dict[str, str]]:
    path = folder / f"{name}.json"
    return list(json.loads(path.read_text())) if path.is_file() else []


def _write(folder: Path, name: str, document: object, title: str, text: str, table: Sequence[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n")
    (folder / f"{name}.md").write_text("\n".join([f"# {title}", "", text, "", *table]) + "\n")
