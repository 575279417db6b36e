"""A campaign's directory as one self-contained HTML page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

WIDTH, HEIGHT = 560, 150  # of a chart [px]


def render(directory: Path) -> Path:
    """Write report.html from what a campaign has saved; returns its path."""
    stats: dict[str, Any] = json.loads((directory / "stats.json").read_text())
    page = directory / "report.html"
    environment = Environment(
        loader=PackageLoader("ballast.fuzz", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["thousands"] = lambda number: f"{number:,.0f}"
    tests = {found["file"]: (directory / found["file"]).read_text() for found in stats["found"]}
    page.write_text(environment.get_template("report.html.j2").render(stats=stats, tests=tests, charts=_charts(stats)))
    return page


def _charts(stats: dict[str, Any]) -> list[dict[str, Any]]:
    """Lines through the campaign's history, as SVG paths."""
    return []


def _path(points: Sequence[tuple[float, float]]) -> str:
    """An SVG path through points, scaled to the chart, zero at the bottom left."""
    right, top = max(x for x, _ in points) or 1, max(y for _, y in points) or 1
    return "M" + " L".join(f"{x / right * WIDTH:.1f} {HEIGHT - y / top * HEIGHT:.1f}" for x, y in points)
