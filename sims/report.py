"""What an experiment found: a page for the repository, a self-contained HTML page, and the result as JSON.

Pages are made from the outcome by the template beside the study, so that no figure in them is typed by hand.
"""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from matplotlib import rc_context
from matplotlib.figure import Figure

from sims.lab import HERE, Experiment, Outcome, experiments, load

FINDINGS = HERE / "findings"

_STYLE = """body { font: 15px/1.5 system-ui, sans-serif; color: #1d2733 }
body { max-width: 1080px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem; border-bottom: 1px solid #e3e7ec }
table { border-collapse: collapse; font-variant-numeric: tabular-nums } td, th { padding: .15rem .9rem .15rem 0 }
img { max-width: 100% } code { background: #f6f8fa }"""
PICTURE = re.compile(r"!\[([^]]*)\]\(([\w.-]+\.svg)\)")


def page(outcome: Outcome) -> str:
    """The finding as Markdown; pictures are named beside it."""
    found = outcome.experiment
    environment = Environment(
        loader=PackageLoader("sims", "studies"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"n": _thousands, "pct": _percent, "bp": _basis_points}
    text = environment.get_template(f"{found.kind}.md.j2").render(
        outcome.summary, parameters=found.study.model_dump(), name=found.name
    )
    return f"# {found.title}\n\n{text.strip()}\n\n{_verdicts(outcome.summary)}\n\n{_again(found)}\n"


def write(outcome: Outcome, out: Path, findings: Path | None = None) -> Path:
    """Write <name>.json and <name>.html to `out`, and the finding with its pictures to `findings`; returns the page."""
    name = outcome.experiment.name
    text = page(outcome)
    pictures = {
        f"{name}-{key}.svg": svg(figure) for key, figure in outcome.experiment.study.pictures(outcome.summary).items()
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_text(json.dumps(outcome.as_json(), indent=1) + "\n")
    (out / f"{name}.html").write_text(html(text, pictures))
    if findings:
        findings.mkdir(parents=True, exist_ok=True)
        (findings / f"{name}.md").write_text(text)
        for file, picture in pictures.items():
            (findings / file).write_text(picture)
    return out / f"{name}.html"


def index(findings: Path = FINDINGS) -> str:
    """A table of the findings there are: what was asked, and what was shown or not."""
    lines = [
        "# Findings",
        "",
        "Each page is written by `make sims` from the run itself.",
        "",
        "| study | shown |",
        "|---|---|",
    ]
    for path in experiments():
        if (found := findings / f"{path.stem}.md").is_file():
            shown = [line[2:] for line in found.read_text().splitlines() if line.startswith(("- yes: ", "- **no**: "))]
            lines.append(f"| [{load(path).title}]({found.name}) | {'<br>'.join(shown)} |")
    return "\n".join(lines) + "\n"


def html(text: str, pictures: Mapping[str, str]) -> str:
    """One self-contained page of a finding's Markdown and its pictures."""

    def inline(match: re.Match[str]) -> str:
        data = base64.b64encode(pictures[match[2]].encode()).decode()
        return f"![{match[1]}](data:image/svg+xml;base64,{data})"

    markdown = MarkdownIt("commonmark").enable("table")
    markdown.validateLink = lambda url: True  # type: ignore[method-assign]  # pictures come as data, from ourselves
    body = markdown.render(PICTURE.sub(inline, text))
    title = text.partition("\n")[0].removeprefix("# ")
    head = f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}</title>'
    return f"{head}\n<style>\n{_STYLE}\n</style>\n{body}"


def svg(figure: Figure) -> str:
    """A picture as SVG that is the same whenever it is drawn."""
    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": "ballast"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, bbox_inches="tight")
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _verdicts(summary: Mapping[str, Any]) -> str:
    """What was to be shown, and whether it was."""
    lines = [f"- {'yes' if v['holds'] else '**no**'}: {v['bound']}: {v['text']}" for v in summary.get("verdicts", ())]
    return "\n".join(["## Shown", "", *lines]) if lines else ""


def _again(found: Experiment) -> str:
    return f"Again: `ballast-sim run sims/experiments/{found.name}.toml` (seed {found.seed})."


def _thousands(value: float, digits: int = 0) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _percent(value: float, digits: int = 1) -> str:
    return "-" if value is None else f"{100 * value:,.{digits}f} %"


def _basis_points(value: float, digits: int = 1) -> str:
    return "-" if value is None else f"{1e4 * value:,.{digits}f}"
