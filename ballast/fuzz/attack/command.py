"""`ballast-fuzz attack`: look for money, with every rule in place or without one."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from ballast.fuzz.actions import describe
from ballast.fuzz.attack.confirm import confirmed
from ballast.fuzz.attack.game import DOLLAR, Start, arena, build
from ballast.fuzz.attack.rules import RULES, rule, twin_without
from ballast.fuzz.attack.scenarios import OPEN, SCENARIOS
from ballast.fuzz.attack.search import MATERIAL, Attack, search
from ballast.model.exact.fixed import WAD

EVERYWHERE = tuple(scenario.name for scenario in SCENARIOS)
OUTSIDE = ("push", "arbitrage")  # steps that are not the attacker's


@dataclass(frozen=True, slots=True)
class Hunt:
    """What one search came back with; amounts in quote."""

    without: str | None  # rule
    gain: float  # 0 if there was none
    found_after: float | None  # [CPU s] until the first gain above dust
    searched: float  # [CPU s]
    tried: int  # sequences
    scenario: str = ""
    capital: float = 0.0  # margin, shares, deposits and swaps
    rounds: int = 0  # feed updates during the attack
    lps: float = 0.0  # what the others gained, so usually less than 0
    insurance: float = 0.0
    traders: float = 0.0
    steps: tuple[str, ...] = ()  # in words
    moves: str = ""  # in one line

    @property
    def material(self) -> bool:
        """More than dust."""
        return self.found_after is not None


@cache
def start_of(name: str) -> Start:
    """A scenario, built once with every rule in place."""
    return build(next(scenario for scenario in (*SCENARIOS, *OPEN) if scenario.name == name))


def hunt(without: str | None, seconds: float, seed: int, names: Sequence[str] = ()) -> Hunt:
    """Search the named scenarios, or else those that the missing rule is about, or else all; confirm what was found
    on the contracts."""
    removed = rule(without) if without else None
    chosen = [start_of(name) for name in names or (removed.where if removed else EVERYWHERE)]
    with twin_without(removed):
        found = search(chosen, seconds, seed)
    if found.best is None or found.first_after is None:
        dust = found.best.gain / WAD if found.best else 0.0
        return Hunt(without, dust, None, found.seconds, found.evaluated)
    result = confirmed(found.best, removed)
    return Hunt(
        without=without,
        gain=result.attacker / WAD,
        found_after=found.first_after,
        searched=found.seconds,
        tried=found.evaluated,
        scenario=found.best.start.scenario.name,
        capital=_capital(found.best),
        rounds=found.best.result.rounds,
        lps=result.lps / WAD,
        insurance=result.insurance / WAD,
        traders=result.traders / WAD,
        steps=tuple(_words(found.best)),
        moves=", ".join(_move(gene) for gene in found.best.genome),
    )


def _capital(attack: Attack) -> float:
    """What he had, and what he brought along for deposits and swaps [quote]."""
    assert attack.start.nothing is not None
    brought = sum(step[1]["units"] for step in attack.result.steps if step[0] in ("lp_deposit", "buy_base"))
    return float(attack.start.nothing.attacker / WAD + brought / DOLLAR)


def _words(attack: Attack) -> Iterator[str]:
    """Every step, the world's in brackets."""
    world = arena()
    for step in attack.result.steps:
        said = describe(world, step)
        yield f"[{said}]" if step[0] in OUTSIDE else said


def _move(gene: tuple[str, tuple[object, ...]]) -> str:
    """A move and its arguments, sizes to three digits."""
    name, arguments = gene
    shown = []
    for argument in arguments:
        match argument:
            case float():
                shown.append(f"{argument:.3g}")
            case int() if abs(argument) >= 10**14:
                shown.append(f"{argument / WAD:,.3g}")
            case int() if abs(argument) >= 10**6:
                shown.append(f"{argument / DOLLAR:,.3g}")
            case _:
                shown.append(str(argument))
    return " ".join([name.replace("_", " "), *shown])


@click.command(context_settings={"max_content_width": 110})
@click.option(
    "--minutes", type=click.FloatRange(0, min_open=True), default=5.0, show_default=True, help="CPU time of a search."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of all randomness.")
@click.option("--jobs", "-j", type=click.IntRange(1), default=1, show_default=True, help="Processes: rules, or seeds.")
@click.option(
    "--without", metavar="RULE", multiple=True, help="Take a rule away, from twin and contracts; all: each in turn."
)
@click.option(
    "--scenario", "names", type=click.Choice([scenario.name for scenario in (*SCENARIOS, *OPEN)]), multiple=True,
    help="Only there; may be repeated.  [default: where the rule may matter, or all]",
)  # fmt: skip
@click.option("--list-rules", is_flag=True, help="The rules that can be taken away, and the scenarios.")
@click.option("--json", "as_json", is_flag=True, help="Results as JSON on standard output.")
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write the table as Markdown here, and as JSON beside it.",
)
def attack(
    minutes: float, seed: int, jobs: int, without: tuple[str, ...], names: tuple[str, ...], list_rules: bool,
    as_json: bool, report: Path | None,
) -> None:  # fmt: skip
    """Look for money: breed trades, LP actions, hedges and swaps that gain what nobody should gain.

    What is found is done again on the contracts, and must bring the same to the wei. Exit code 1 if anything above dust
    is found with every rule in place.

    \b
      ballast-fuzz attack                                 five minutes, every rule in place
      ballast-fuzz attack --without low-water-mark        what that rule is good for
      ballast-fuzz attack --without all --report x.md     the table of all rules
    """
    if list_rules:
        _show_rules()
        return
    everything = [each.name for each in RULES] if "all" in without else list(without)
    for name in everything:
        try:
            rule(name)
        except LookupError as error:
            raise click.BadParameter(str(error), param_hint="--without") from None
    tasks: list[tuple[str | None, int]] = [(name, seed) for name in everything]
    if "all" in without:
        tasks.insert(0, (None, seed))
    if not tasks:
        tasks = [(None, seed + job) for job in range(jobs)]
    console = Console(stderr=True, highlight=False)
    hunts: list[Hunt] = []
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for future in [pool.submit(hunt, name, 60 * minutes, its, names) for name, its in tasks]:
            hunts.append(future.result())
            console.print(line(hunts[-1]), soft_wrap=True)
            if report:
                save(report, hunts)
    if as_json:
        click.echo(json.dumps([asdict(each) for each in hunts]))
    else:
        for each in hunts:
            if each.material and len(hunts) <= max(jobs, 3):
                click.echo("\n".join(["", *numbered(each)]))
    sys.exit(1 if any(each.material and each.without is None for each in hunts) else 0)


def line(found: Hunt) -> str:
    """A search in one line."""
    where = f"without {found.without}" if found.without else "with every rule"
    effort = f"{found.tried:,} sequences in {found.searched:.0f} CPU s"
    if not found.material:
        return f"{where}: nothing above {MATERIAL // WAD} quote (best {found.gain:.2f}); {effort}"
    return (
        f"{where}: {found.gain:,.0f} quote after {found.found_after:.1f} s, {found.scenario}: {found.moves}; {effort}"
    )


def numbered(found: Hunt) -> list[str]:
    """An attack in words, and who lost."""
    share = f"{1e4 * found.gain / found.capital:.2f} bp of {found.capital:,.0f} capital" if found.capital else ""
    update = f"{found.gain / max(found.rounds, 1):,.2f} per oracle update"
    return [
        f"scenario {found.scenario}" + (f", without {found.without}" if found.without else ""),
        *(f"{number:4}. {step}" for number, step in enumerate(found.steps, 1)),
        f"gain {found.gain:,.6f} quote: {share}, {update}",
        f"others: LPs {found.lps:+,.2f}, insurance and fees {found.insurance:+,.2f}, traders {found.traders:+,.2f}",
        "the same on the contracts, to the wei",
    ]


def save(path: Path, hunts: Sequence[Hunt]) -> None:
    """The table as Markdown, and as JSON beside it, where it is kept what other runs found."""
    stored = path.with_suffix(".json")
    known = [Hunt(**each) for each in json.loads(stored.read_text())] if stored.is_file() else []
    latest = {each.without: each for each in (*known, *hunts)}
    ordered = [latest[name] for name in (None, *(each.name for each in RULES)) if name in latest]
    stored.write_text(json.dumps([asdict(each) for each in ordered], indent=1) + "\n")
    path.write_text(markdown(ordered))


def markdown(hunts: Sequence[Hunt]) -> str:
    """The table of the rules."""
    by_rule = {each.without: each for each in hunts}
    whole = by_rule.get(None)
    lines = [
        "# Rules removed",
        "",
        "Written by `ballast-fuzz attack --without all --report docs/reports/rules-removed.md`; see",
        "[fuzzing.md](../fuzzing.md). Amounts in quote, times in CPU seconds on one core. Every gain was had again on",
        "the contracts without the rule, to the wei.",
        "",
    ]
    if whole:
        lines += [f"All scenarios {line(whole)}.", ""]
    lines += [
        "| rule | gain without it | found after | scenario | attack | other LPs | insurance, fees | other traders |",
        "|---|--:|--:|---|---|--:|--:|--:|",
    ]
    for each in RULES:
        says, found = f"**{each.name}**: {each.says}", by_rule.get(each.name)
        if found is None:
            lines.append(f"| {says} | not searched | | | | | | |")
        elif not found.material:
            lines.append(f"| {says} | nothing | in {found.searched:.0f} s | | | | | |")
        else:
            lines.append(
                f"| {says} | {found.gain:,.0f} | {found.found_after:.1f} s | {found.scenario} | {found.moves} "
                f"| {found.lps:+,.0f} | {found.insurance:+,.0f} | {found.traders:+,.0f} |"
            )
    lines += ["", "Scenarios, and what holds in them with every rule in place:", ""]
    lines += [f"- {scenario.name}: {scenario.claim}" for scenario in SCENARIOS]
    return "\n".join(lines) + "\n"


def _show_rules() -> None:
    console = Console(highlight=False)
    for title, rows in (
        ("Rules", [(each.name, each.says) for each in RULES]),
        ("Scenarios, and what holds in them", [(each.name, each.claim) for each in (*SCENARIOS, *OPEN)]),
    ):
        table = Table(title=title, title_justify="left", show_header=False)
        for row in rows:
            table.add_row(*row)
        console.print(table)
