"""A campaign's directory as one self-contained HTML page."""

from __future__ import annotations

import json
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ballast.chain.artifacts import SOURCES
from ballast.fuzz.coverage import Coverage
from ballast.fuzz.unreachable import UNREACHABLE

WIDTH, HEIGHT = 460, 140  # of a chart [px]
CONTEXT = 1  # lines around those not reached


def render(directory: Path) -> Path:
    """Write report.html from what a campaign has saved; returns its path."""
    stats: dict[str, Any] = json.loads((directory / "stats.json").read_text())
    coverage = Coverage.from_json(json.loads((directory / "coverage.json").read_text()))
    environment = Environment(
        loader=PackageLoader("ballast.fuzz", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["thousands"] = lambda number: f"{number:,.0f}"
    page = directory / "report.html"
    page.write_text(
        environment.get_template("report.html.j2").render(
            stats=stats,
            tests={found["file"]: (directory / found["file"]).read_text() for found in stats["found"]},
            charts=_charts(stats["history"]),
            rows=coverage.table(),
            distinct=coverage.distinct(),
            impossible=coverage.impossible(),
            unreachable=UNREACHABLE,
            uncovered={file: _excerpts(file, lines) for file, lines in coverage.uncovered().items()},
        )
    )
    return page


def _charts(history: Sequence[Sequence[float]]) -> list[dict[str, Any]]:
    """How the campaign went, as SVG paths over its seconds; see `campaign.Sample` for the columns."""
    names = {"lines": 3, "branches": 4, "features of the state": 5, "sequences kept": 6}
    return [
        {"name": name, "last": history[-1][column], "path": _path([(row[0], row[column]) for row in history])}
        for name, column in names.items()
        if history
    ]


def _path(points: Sequence[tuple[float, float]]) -> str:
    """An SVG path through points, from zero at the bottom left to the greatest at the top right."""
    right, top = max(x for x, _ in points) or 1, max(y for _, y in points) or 1
    return "M" + " L".join(f"{x / right * WIDTH:.1f} {HEIGHT - y / top * HEIGHT:.1f}" for x, y in [(0, 0), *points])


def _excerpts(file: str, missing: Sequence[int]) -> list[tuple[int, str, bool]]:
    """The lines not reached and those around them: number, text, whether it was not reached."""
    library = Path(sysconfig.get_path("purelib"))  # modules of others: snekmate
    path = SOURCES / file if (SOURCES / file).is_file() else library / file
    text = path.read_text().splitlines()
    shown = {n for line in missing for n in range(line - CONTEXT, line + CONTEXT + 1) if 0 < n <= len(text)}
    return [(number, text[number - 1], number in missing) for number in sorted(shown)]
