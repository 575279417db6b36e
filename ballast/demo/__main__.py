"""`python -m ballast.demo --window 2021-05_crash`: run, show, and write out/demo-<window>.html."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ballast import data
from ballast.demo import report
from ballast.demo.flow import DEFAULT_MINUTES
from ballast.demo.run import EQUITY, run

NAMES = {
    "compile": "compiling contracts",
    "deploy": "deploying Uniswap and Ballast",
    "replay": "replaying",
    "checks": "checking invariants, everyone leaves",
    "compare": "the same trades without hedge, without options, at a flat fee",
}


@click.command()
@click.option("--window", default="2021-05_crash", show_default=True, help="Recorded window, or a part of its name.")
@click.option("--minutes", default=DEFAULT_MINUTES, show_default=True, type=click.IntRange(30), help="To replay.")
@click.option("--equity", default=EQUITY, show_default=True, help="What the first LPs bring [quote].")
@click.option("--out", default=Path("out"), show_default=True, type=click.Path(path_type=Path), help="Report's folder.")
@click.option("--json", "as_json", is_flag=True, help="Write the summary as JSON too.")
@click.option("--list", "list_windows", is_flag=True, help="Name the recorded windows and exit.")
def main(window: str, minutes: int, equity: float, out: Path, as_json: bool, list_windows: bool) -> None:
    """Replay recorded prices and trader flow against the whole of Ballast on a private node.

    \b
      python -m ballast.demo                                        May 2021, 36 hours around the crash
      python -m ballast.demo --window 2021-12-04_flash --json
      python -m ballast.demo --window calm --minutes 600 --equity 2000000
    """
    console = Console()
    if list_windows:
        console.print("\n".join(data.minute_windows()))
        return
    try:
        name = data.resolve_window(window)
    except LookupError as error:
        raise click.BadParameter(str(error), param_hint="--window") from None

    started = time.monotonic()
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    ) as bars:
        tasks = {}

        def progress(phase: str, done: int, of: int) -> None:
            if phase not in tasks:
                tasks[phase] = bars.add_task(NAMES[phase], total=of)
            bars.update(tasks[phase], completed=done)

        result = run(name, minutes=minutes, equity=equity, progress=progress)

    page = out / f"demo-{name}.html"
    report.write_html(result, page)
    report.show(result, console)
    written = [str(page)]
    if as_json:
        path = out / f"demo-{name}.json"
        report.write_json(result, path)
        written.append(str(path))
    console.print(f"{' and '.join(written)} written; {time.monotonic() - started:.0f} s in all")
    if not all(check.holds for check in result.checks):
        console.print("[bold red]an invariant does not hold[/]")
        sys.exit(1)


if __name__ == "__main__":
    main()
