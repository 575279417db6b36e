"""ballast-sim: run experiments, list them, show what they found."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import click
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from ballast.chain.artifacts import ROOT
from sims import lab, report

OUT = ROOT / "out" / "sims"

EXAMPLES = """\b
Examples:
  ballast-sim list
  ballast-sim run sims/experiments/contagion.toml            tables and pictures in out/sims/contagion.html
  ballast-sim run my.toml --seed 8 --jobs 4 --json           the result on standard output
  ballast-sim run my.toml --scheduler tcp://10.0.0.5:8786    on a Dask cluster
  ballast-sim run sims/experiments/*.toml --publish          all of them, and their pages in sims/findings (make sims)
  ballast-sim show contagion
"""


@click.group(epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def main() -> None:
    """The laboratory: liquidity vaults against recorded and generated markets."""


@main.command(epilog=EXAMPLES)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--jobs", "-j", type=click.IntRange(1), default=2, show_default=True, help="Processes.")
@click.option("--scheduler", metavar="ADDRESS", help="Of a Dask cluster to run on.")
@click.option("--seed", type=click.IntRange(0), help="In place of the experiment's own.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=OUT, metavar="DIR",
    help="Where results go  [default: out/sims].",
)  # fmt: skip
@click.option("--publish", is_flag=True, help="Write the finding into sims/findings, too.")
@click.option("--json", "as_json", is_flag=True, help="The results as JSON on standard output, a line for each.")
def run(
    files: tuple[Path, ...], jobs: int, scheduler: str | None, seed: int | None, out: Path, publish: bool, as_json: bool
) -> None:
    """Run experiments: TOML files, see docs/simulation.md."""
    console = Console(stderr=True, highlight=False)
    try:
        asked = [lab.load(file, seed) for file in files]
    except lab.ExperimentError as error:
        raise click.ClickException(str(error)) from None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    for experiment in asked:
        with Progress(*columns, console=console) as progress:
            bar = progress.add_task(experiment.name, total=None)
            outcome = lab.run(experiment, jobs, scheduler, partial(_show, progress, bar))
        page = report.write(outcome, out, report.FINDINGS if publish else None)
        if as_json:
            click.echo(json.dumps(outcome.as_json()))
        else:
            console.print(f"{outcome.seconds:.0f} s, {outcome.cpu_seconds:.0f} of one core: {page}", soft_wrap=True)
    if publish:
        (report.FINDINGS / "README.md").write_text(report.index())


@main.command("list", epilog=EXAMPLES)
@click.option("--json", "as_json", is_flag=True, help="As JSON on standard output.")
def list_(as_json: bool) -> None:
    """The experiments that come with the project."""
    known = [lab.load(path) for path in lab.experiments()]
    if as_json:
        click.echo(json.dumps([{"name": e.name, "study": e.kind, "title": e.title, "seed": e.seed} for e in known]))
        return
    for experiment in known:
        click.echo(f"{experiment.name:<14} {experiment.title}")


@main.command(epilog=EXAMPLES)
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="The page's text as JSON on standard output.")
def show(name: str, as_json: bool) -> None:
    """What an experiment found when it was last published."""
    path = report.FINDINGS / f"{name}.md"
    if not path.is_file():
        raise click.ClickException(f"nothing published of {name!r}; there is {', '.join(sorted(_published()))}")
    text = path.read_text()
    if as_json:
        click.echo(json.dumps({"name": name, "text": text}))
    else:
        Console().print(Markdown(text))


def _show(progress: Progress, bar: TaskID, solved: int, cases: int) -> None:
    progress.update(bar, completed=solved, total=cases)


def _published() -> list[str]:
    return [path.stem for path in report.FINDINGS.glob("*.md") if path.stem != "README"]


if __name__ == "__main__":
    main()
