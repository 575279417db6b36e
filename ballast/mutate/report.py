"""What a campaign found, for a terminal and as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.table import Table
from scipy.stats import binomtest

from ballast.mutate.campaign import COLUMNS, Result, counts, kill_rate
from ballast.mutate.mutants import Review
from ballast.mutate.operators import OPERATORS, OPTIONAL

SHORT = {
    "killed by tests": "tests", "killed by search": "search", "survived": "survived", "explained": "explained",
    "timeout": "timeout", "died": "died", "equivalent": "same code", "invalid": "invalid",
}  # fmt: skip


def percent(row: Counter[str]) -> str:
    """Killed of what could be killed."""
    killed, possible = kill_rate(row)
    return f"{100 * killed / possible:.1f} %" if possible else "–"


def raw(row: Counter[str]) -> str:
    """Killed of all that compile and differ, explained or not."""
    killed, possible = kill_rate(row)
    possible += row["explained"]
    return f"{100 * killed / possible:.1f} %" if possible else "–"


def interval(row: Counter[str]) -> str:
    """Between which rates that of all mutants lies, 19 times in 20, if these were drawn at random (Wilson)."""
    killed, possible = kill_rate(row)
    if not possible:
        return "–"
    spread = binomtest(killed, possible).proportion_ci(0.95, "wilson")
    return f"{100 * spread.low:.1f}–{100 * spread.high:.1f} %"


def folders(results: Iterable[Result]) -> list[tuple[str, Counter[str]]]:
    """By folder under contracts/, a contract and its modules; and the sum."""
    table: dict[str, Counter[str]] = {}
    for path, row in counts(results).items():
        table.setdefault(Path(path).parent.name, Counter()).update(row)
    return [*table.items(), ("all", sum(table.values(), Counter()))]


def rows(results: Iterable[Result]) -> list[tuple[str, Counter[str]]]:
    """By file, and the sum."""
    table = list(counts(results).items())
    return [*table, ("all", sum((row for _, row in table), Counter()))]


def table(results: Iterable[Result], title: str = "Mutants") -> Table:
    """Counts by file, for a terminal."""
    shown = Table(title=title, title_justify="left", title_style="bold")
    shown.add_column("file", no_wrap=True)
    for column in COLUMNS:
        shown.add_column(SHORT[column], justify="right")
    shown.add_column("killed", justify="right")
    lines = rows(results)
    for path, row in lines:
        if path == "all":
            shown.add_section()
        name = path.removeprefix("contracts/").removesuffix(".vy")
        shown.add_row(name, *(f"{row[column] or ''}" for column in COLUMNS), percent(row))
    return shown


def markdown(results: Sequence[Result], stale: Sequence[tuple[Review, str]] = (), note: str = "") -> str:
    """The whole report. A file's survivors are grouped under it, with their diffs."""
    lines = [
        "# Mutants",
        "",
        "What tests and search notice when one thing in a contract is wrong. `python -m ballast.mutate run` tries"
        " mutants, `report` writes this file, `show ID` shows a mutant, `explain ID WHY` records why it may live.",
        "",
        *([note, ""] if note else []),
        "killed: noticed by a test or by the search, of all that compile, change deployed code, and are not explained."
        " raw: the same, as if nothing were explained. If the mutants are a random sample, and no test was written for"
        " the sake of these very mutants, the rate of all lies in the interval 19 times in 20.",
        "",
        "| folder | tried | killed | alive | explained | raw | killed | 95 % |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
        *(_summary(folder, row) for folder, row in folders(results)),
        "",
        f"| file | {' | '.join(SHORT[column] for column in COLUMNS)} | killed |",
        f"|---|{'--:|' * (len(COLUMNS) + 1)}",
        *(
            f"| {path} | {' | '.join(str(row[column] or '') for column in COLUMNS)} | {percent(row)} |"
            for path, row in rows(results)
        ),
        "",
        *_by_operator(results),
        *_survivors(results),
        *_explained(results),
        *_undecided(results),
    ]
    if stale:
        lines += ["## Explanations to remove", ""]
        lines += [
            f"- {review.contract} {review.function}: `{review.before}` → `{review.after}`: {why}"
            for review, why in stale
        ]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _summary(folder: str, row: Counter[str]) -> str:
    killed, possible = kill_rate(row)
    numbers = [row.total(), killed, possible - killed, row["explained"]]
    return f"| {folder} | {' | '.join(map(str, numbers))} | {raw(row)} | {percent(row)} | {interval(row)} |"


def _by_operator(results: Sequence[Result]) -> list[str]:
    lines = ["## By operator", "", "| operator | what it does | mutants | survived | killed |", "|---|---|--:|--:|--:|"]
    for operator, meaning in (OPERATORS | OPTIONAL).items():
        row = Counter(result.column for result in results if result.operator == operator)
        if row:
            lines.append(f"| {operator} | {meaning} | {sum(row.values())} | {row['survived'] or ''} | {percent(row)} |")
    return [*lines, ""]


def _survivors(results: Sequence[Result]) -> list[str]:
    survivors = [result for result in results if result.outcome == "survived"]
    if not survivors:
        return ["## Survivors", "", "None.", ""]
    lines = ["## Survivors", ""]
    for path in sorted({result.path for result in survivors}):
        lines += [f"### {path}", ""]
        for result in sorted((each for each in survivors if each.path == path), key=lambda each: (each.line, each.id)):
            where = f"`{result.function}`" if result.function else "a constant"
            lines += [f"**{result.id}** line {result.line}, {where}, {result.operator}", ""]
            lines += ["```diff", *_body(result.diff), "```", ""]
    return lines


def _body(diff: str) -> list[str]:
    """A diff without the names of its files."""
    return diff.splitlines()[2:]


def _explained(results: Sequence[Result]) -> list[str]:
    explained = sorted((result for result in results if result.outcome == "explained"), key=_order)
    if not explained:
        return []
    lines = ["## Explained", "", "Survivors that are no gap in the tests, and why.", ""]
    for result in explained:
        where = f" `{result.function}`" if result.function else ""
        lines.append(f"- {result.place}{where}: `{result.before}` → `{result.after}`: {result.message}")
    return [*lines, ""]


def _undecided(results: Sequence[Result]) -> list[str]:
    undecided = sorted((result for result in results if result.outcome in ("timeout", "died")), key=_order)
    if not undecided:
        return []
    lines = ["## Undecided", "", "Counted as alive.", ""]
    lines += [
        f"- {result.place} **{result.id}** {result.outcome}: `{result.before}` → `{result.after}`:"
        f" {result.message.strip()[-160:]}"
        for result in undecided
    ]
    return [*lines, ""]


def _order(result: Result) -> tuple[str, int, str]:
    return result.path, result.line, result.id


def write(path: Path, text: str) -> None:
    """Write a report where asked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
