"""ballast-mutate: is there anything in the contracts that could be wrong without a test noticing?"""

from __future__ import annotations

import json
import os
import shlex
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.syntax import Syntax
from rich.table import Table
from vyper.exceptions import VyperException

from ballast.chain import artifacts
from ballast.mutate import mutants as mutation
from ballast.mutate import report as reports
from ballast.mutate import search as searching
from ballast.mutate.campaign import (
    KEPT,
    OUT,
    TESTS,
    Campaign,
    CampaignError,
    Plan,
    Result,
    copy_sources,
    keep,
    kill_rate,
)
from ballast.mutate.mutants import Mutant, ReviewError
from ballast.mutate.operators import OPERATORS, OPTIONAL

REPORT = artifacts.ROOT / "docs" / "reports" / "mutants.md"
RETRY = ("survived", "timeout", "died", "invalid", "equivalent", "killed")
console = Console(highlight=False, width=None if sys.stdout.isatty() else 150)

EXAMPLES = """\b
Examples:
  python -m ballast.mutate run --only funding              every mutant of contracts/perps/funding.vy
  python -m ballast.mutate run --sample 300 --seed 7       300 mutants drawn from all contracts
  python -m ballast.mutate run --jobs 2                    everything; Ctrl-C and run again to go on
  python -m ballast.mutate run --only vault --retry survived
                                                           survivors again, after adding tests
  python -m ballast.mutate show funding-2108ab             its diff, and what noticed it
  python -m ballast.mutate apply funding-2108ab /tmp/m     a tree with the mistake in it, to try things on
  python -m ballast.mutate explain funding-2108ab "…"      record why a survivor may live
"""


def sources_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Which mutants, and where the campaign is kept."""
    for option in reversed(
        [
            click.option("--only", multiple=True, metavar="NAME", help="a contract, module or folder (repeatable)"),
            click.option(
                "--operator", "-o", "operators", multiple=True, type=click.Choice([*OPERATORS, *OPTIONAL]),
                help="only these operators (may be repeated)  [default: all but log, overflow and lock]",
            ),
            click.option(
                "--with", "extra", multiple=True, type=click.Choice([*OPTIONAL]), help="these operators as well",
            ),
            click.option("--sample", type=click.IntRange(1), metavar="N", help="so many mutants, drawn by --seed"),
            click.option("--seed", type=int, default=0, show_default=True, help="of the sample"),
            click.option(
                "--out", type=click.Path(path_type=Path, file_okay=False), default=OUT, metavar="DIR",
                help="where the campaign is kept  [default: out/mutate]",
            ),
            click.option(
                "--sources", type=click.Path(path_type=Path, exists=True, file_okay=False), default=artifacts.ROOT,
                metavar="DIR", help="holds contracts/ and interfaces/  [default: this repository]",
            ),
        ]
    ):  # fmt: skip
        function = option(function)
    return function


@click.group(epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def main() -> None:
    """Mutation testing of the contracts.

    A mutant is the system with one mistake in one contract. It is killed when a test or the fuzzer fails; one that
    survives shows what nothing checks, or a mistake that makes no difference. Those that change no deployed byte are
    left out.
    """


@main.command(epilog=EXAMPLES)
@sources_options
@click.option(
    "--jobs", "-j", type=click.IntRange(1), default=os.cpu_count() or 1, show_default=True, help="mutants at once"
)
@click.option(
    "--tests",
    multiple=True,
    metavar="PATH",
    help="where tests are (may be repeated)  [default: tests/unit]",
)
@click.option(
    "--test-seconds",
    type=float,
    default=60.0,
    show_default=True,
    help="CPU time that the tests of one mutant may take; 0 for the search alone",
)
@click.option(
    "--search",
    "search_name",
    default=searching.FUZZ,
    metavar="MODULE:FUNCTION",
    show_default=True,
    help="f(seed, steps) that raises when it finds something; empty for none",
)
@click.option(
    "--searches", type=click.IntRange(0), default=Plan().searches, show_default=True, help="seeds to search with"
)
@click.option("--steps", type=click.IntRange(1), default=Plan().steps, show_default=True, help="steps of each search")
@click.option(
    "--retry",
    multiple=True,
    type=click.Choice(RETRY),
    help="run mutants with this outcome again (may be repeated)",
)
@click.option("--recheck", is_flag=True, help="run explained mutants, too")
@click.option("--fresh", is_flag=True, help="forget earlier results")
@click.option(
    "--report", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="write Markdown when done"
)
@click.option("--fail-under", type=float, metavar="PERCENT", help="exit code 1 if fewer are killed")
def run(
    only: tuple[str, ...], operators: tuple[str, ...], extra: tuple[str, ...], sample: int | None, seed: int, out: Path,
    sources: Path, jobs: int, tests: tuple[str, ...], test_seconds: float, search_name: str, searches: int, steps: int,
    retry: tuple[str, ...], recheck: bool, fresh: bool, report: Path | None, fail_under: float | None,
) -> None:  # fmt: skip
    """Make mutants and try them; goes on where it was stopped.

    Results are lines of JSON in DIR/results.jsonl. A result holds as long as the file that was changed does.
    """
    with explained():
        if search_name == searching.FUZZ and not (artifacts.ROOT / "ballast" / "fuzz").is_dir():
            search_name = ""
        plan = replace(
            plan_of(only, operators, extra, sample, seed, out, sources),
            jobs=jobs, tests=tests or TESTS, test_seconds=test_seconds, search=search_name, searches=searches,
            steps=steps, retry=frozenset(retry), recheck=recheck, kept=None if fresh else KEPT,
        )  # fmt: skip
        if fresh:
            (plan.out / "results.jsonl").unlink(missing_ok=True)
        campaign = Campaign(plan, lambda line: console.print(f"[dim]{reports_escape(line)}[/]", soft_wrap=True))
        with campaign.alone():
            with console.status("reading contracts"):
                mutants = campaign.read()
                waiting = campaign.pending(mutants)
            where = plan.out / "results.jsonl"
            console.print(f"{len(mutants):,} mutants, {len(waiting):,} to try; results in {where}", soft_wrap=True)
            stopped = attempt(campaign, waiting)
        results = campaign.current(mutants)
        console.print(reports.table(results))
        for review, why in campaign.stale_reviews(mutants):
            console.print(f"[yellow]explained, but {why}:[/] {review.contract}: {reports_escape(review.before)}")
        if report is not None:
            publish(report, campaign, mutants, results)
        if stopped:
            console.print("stopped: run the same command again to go on")
            sys.exit(130)
        killed, possible = kill_rate(sum((Counter([result.column]) for result in results), Counter()))
        if fail_under is not None and possible and 100 * killed < fail_under * possible:
            console.print(f"[red]{100 * killed / possible:.1f} % killed, {fail_under} % wanted[/]")
            sys.exit(1)


def attempt(campaign: Campaign, waiting: list[Mutant]) -> bool:
    """Run with a progress bar; True if a person stopped it."""
    tally: Counter[str] = Counter()
    progress = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[tally]}"), console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip
    last = time.monotonic()
    with progress:
        bar = progress.add_task("trying", total=len(waiting), tally="")

        def done(result: Result) -> None:
            nonlocal last
            tally[reports.SHORT[result.column]] += 1
            said = ", ".join(f"{count} {name}" for name, count in tally.most_common())
            progress.update(bar, advance=1, tally=said)
            if result.outcome == "survived":
                line = f"[yellow]survived[/] {result.place} {result.id}: {reports_escape(result.before)}"
                progress.console.print(f"{line} → {reports_escape(result.after)}", soft_wrap=True)
            elif not console.is_terminal and time.monotonic() > last + 30:
                last = time.monotonic()
                console.print(f"{tally.total()} of {len(waiting)}: {said}")

        try:
            campaign.run(waiting, done)
        except KeyboardInterrupt:
            return True
    return False


@main.command("list")
@sources_options
@click.option("--long", "-l", "is_long", is_flag=True, help="one line per mutant")
def list_mutants(
    only: tuple[str, ...], operators: tuple[str, ...], extra: tuple[str, ...], sample: int | None, seed: int, out: Path,
    sources: Path, is_long: bool,
) -> None:  # fmt: skip
    """Count mutants by file and operator, or list them, without trying any."""
    with explained(), aside(plan_of(only, operators, extra, sample, seed, out, sources)) as campaign:
        mutants = campaign.read()
        if is_long:
            for mutant in mutants:
                click.echo(f"{mutant.id}  {mutant.place}  {mutant.operator}  {mutant.before}  →  {mutant.after}")
            return
        used = [name for name in OPERATORS | OPTIONAL if any(mutant.operator == name for mutant in mutants)]
        shown = Table(title=f"{len(mutants):,} mutants", title_justify="left", title_style="bold")
        shown.add_column("file", no_wrap=True)
        for name in [*used, "all"]:
            shown.add_column(name, justify="right")
        for path, group in mutation.by_path(mutants).items():
            row = Counter(mutant.operator for mutant in group)
            cells = [str(row[name] or "") for name in used]
            shown.add_row(path.removeprefix("contracts/").removesuffix(".vy"), *cells, str(len(group)))
        console.print(shown)


@main.command()
@click.argument("mutant_id", metavar="ID")
@sources_options
def show(mutant_id: str, **options: Any) -> None:
    """The diff of a mutant, and what came of it."""
    with explained(), one(mutant_id, **options) as (campaign, mutant):
        text = campaign.project.sources[mutant.path].text
        console.print(f"[bold]{mutant.id}[/] {mutant.place} {mutant.function} {mutant.operator}")
        console.print(Syntax(mutant.diff(text), "diff", background_color="default", word_wrap=True))
        result = campaign.results.known.get(mutant.id)
        if result is None:
            console.print("not tried yet")
            return
        console.print(f"{result.outcome} {reports_escape(result.by)}".strip())
        if result.message:
            console.print(reports_escape(result.message))
        spent = ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in result.seconds.items())
        console.print(f"[dim]{spent}; {result.tests_run} tests[/]")


@main.command()
@click.argument("mutant_id", metavar="ID")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@sources_options
def apply(mutant_id: str, directory: Path, **options: Any) -> None:
    """Write a tree of sources with the mistake in it, for BALLAST_SOURCES."""
    with explained(), one(mutant_id, **options) as (campaign, mutant):
        copy_sources(campaign.tree, directory)
        changed = directory / mutant.path
        changed.write_text(mutant.applied(changed.read_text()))
        name = shlex.quote(str(directory.resolve()))
        console.print(f"try: BALLAST_SOURCES={name} python -m pytest -x tests/unit/{Path(mutant.path).parts[1]}")


@main.command()
@click.argument("mutant_id", metavar="ID")
@click.argument("why")
@sources_options
def explain(mutant_id: str, why: str, **options: Any) -> None:
    """Record in equivalent.toml why a mutant may survive, in one line."""
    with explained(), one(mutant_id, **options) as (campaign, mutant):
        if mutation.review_of(mutant, campaign.reviews) is not None:
            raise click.ClickException(f"{mutant_id} is explained already")
        with mutation.REVIEWED.open("a") as file:
            file.write(f"\n{mutation.stanza(mutant, why)}\n")
        mutation.reviews(mutation.REVIEWED)
        console.print(f"added to {mutation.REVIEWED}", soft_wrap=True)


@main.command()
@sources_options
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), default=REPORT, metavar="FILE",
              help="[default: docs/reports/mutants.md]")  # fmt: skip
def report(
    only: tuple[str, ...], operators: tuple[str, ...], extra: tuple[str, ...], sample: int | None, seed: int, out: Path,
    sources: Path, report: Path,
) -> None:  # fmt: skip
    """Write Markdown from the results so far: mutants of the sources as they are now."""
    with explained(), aside(plan_of(only, operators, extra, sample, seed, out, sources)) as campaign:
        mutants = campaign.read()
        campaign.pending(mutants)  # takes up new explanations
        results = campaign.current(mutants)
        console.print(reports.table(results))
        publish(report, campaign, mutants, results)


# ---- shared


def plan_of(
    only: tuple[str, ...], operators: tuple[str, ...], extra: tuple[str, ...], sample: int | None, seed: int, out: Path,
    sources: Path,
) -> Plan:  # fmt: skip
    return Plan(
        out=out.resolve(), sources=sources.resolve(), operators=(*(operators or OPERATORS), *extra), only=only,
        sample=sample or 0, seed=seed, kept=KEPT,
    )  # fmt: skip


@contextmanager
def aside(plan: Plan) -> Iterator[Campaign]:
    """A campaign that only reads, with sources of its own: another may be running in the same directory."""
    with tempfile.TemporaryDirectory() as tree:
        yield Campaign(plan, tree=Path(tree))


@contextmanager
def one(mutant_id: str, **options: Any) -> Iterator[tuple[Campaign, Mutant]]:
    """The mutant of that name, with optional operators included."""
    stem = mutant_id.rpartition("-")[0]
    plan = plan_of(**(options | {"only": options["only"] or (stem,), "extra": tuple(OPTIONAL)}))
    with aside(plan) as campaign:
        mutant = next((mutant for mutant in campaign.read() if mutant.id == mutant_id), None)
        if mutant is None:
            raise CampaignError(f"no mutant {mutant_id!r}: python -m ballast.mutate list --long --only {stem}")
        yield campaign, mutant


def publish(path: Path, campaign: Campaign, mutants: list[Mutant], results: list[Result]) -> None:
    """Write the report, and beside it what another campaign needs to go on."""
    text = reports.markdown(results, list(campaign.stale_reviews(mutants)), note(campaign, mutants, results))
    reports.write(path, text)
    keep(path.with_suffix(".json"), results)
    console.print(f"wrote {path}")


def note(campaign: Campaign, mutants: list[Mutant], results: list[Result]) -> str:
    """What the numbers of a report are about."""
    plan = campaign.plan
    chosen = f"{len(mutants):,} mutants"
    if plan.sample:
        chosen = f"A random sample of {len(mutants):,} of {campaign.population:,} mutants (seed {plan.seed})"
    left = "" if len(results) == len(mutants) else f", {len(results):,} of them tried"
    try:
        effort = json.loads((plan.out / "settings.json").read_text())
    except FileNotFoundError:
        return f"{chosen}{left}."
    return (
        f"{chosen}{left}: tests of {', '.join(effort['tests'])} for at most {effort['test_seconds']:g} s each, then"
        f" {effort['searches']} searches of {effort['steps']} steps."
    )


@contextmanager
def explained() -> Iterator[None]:
    """Errors that a person can do something about, in one line."""
    try:
        yield
    except (CampaignError, ReviewError, ImportError) as error:
        raise click.ClickException(str(error)) from None
    except VyperException as error:
        raise click.ClickException(
            f"the contracts do not compile as they are: {type(error).__name__}: {error}"
        ) from None


def reports_escape(text: str) -> str:
    """Brackets that rich must not read as markup."""
    return text.replace("[", "\\[")


if __name__ == "__main__":
    main(prog_name="python -m ballast.mutate")
