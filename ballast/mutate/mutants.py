"""A mutant: one edit of one source, with a name that outlives moved lines, its diff, and what people said about it."""

from __future__ import annotations

import difflib
import hashlib
import re
import tomllib
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from ballast.mutate.operators import edits
from ballast.mutate.syntax import TESTING, Project, Source

REVIEWED = Path(__file__).with_name("equivalent.toml")
_COMMENT = re.compile(r"(^|\s)#[^\"]*$")


class ReviewError(ValueError):
    """equivalent.toml has an entry that cannot be used."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One way in which one file may be wrong."""

    id: str
    operator: str
    path: str
    line: int
    function: str  # "" for a constant
    before: str  # the changed lines on one, without comments and needless blanks
    after: str
    start: int  # in the text of the file
    end: int
    replacement: str

    def applied(self, text: str) -> str:
        """The file with the mistake."""
        return text[: self.start] + self.replacement + text[self.end :]

    def diff(self, text: str) -> str:
        """Unified diff, with two lines of context."""
        lines = difflib.unified_diff(
            text.splitlines(), self.applied(text).splitlines(), self.path, self.path, n=2, lineterm=""
        )
        return "\n".join(lines)

    @property
    def place(self) -> str:
        return f"{self.path}:{self.line}"


def of_source(source: Source, known: Collection[str], operators: Collection[str]) -> list[Mutant]:
    """Every mutant of one file; two edits with the same outcome count once."""
    found: list[Mutant] = []
    outcomes: set[str] = set()
    repeated: Counter[str] = Counter()
    for edit in edits(source, known, operators):
        text = source.text[: edit.start] + edit.replacement + source.text[edit.end :]
        if text in outcomes or text == source.text:
            continue
        outcomes.add(text)
        before, after = _changed(source.text, edit.start, edit.end, edit.replacement)
        key = "\0".join((source.path, edit.function, edit.operator, before, after))
        digest = hashlib.sha256(f"{key}\0{repeated[key]}".encode()).hexdigest()[:6]
        repeated[key] += 1
        found.append(
            Mutant(
                f"{Path(source.path).stem}-{digest}", edit.operator, source.path, edit.line, edit.function, before,
                after, edit.start, edit.end, edit.replacement,
            )
        )  # fmt: skip
    return found


def of_project(
    project: Project, operators: Collection[str], only: Collection[str] = (), including_testing: bool = False
) -> list[Mutant]:
    """Mutants of every file that is not test support, in the order of paths and lines; `only` narrows to some files."""
    return [
        mutant
        for path, source in sorted(project.sources.items())
        if path in only or (not only and (including_testing or Path(path).parts[1] != TESTING))
        for mutant in of_source(source, project.functions, operators)
    ]


def sample(mutants: list[Mutant], size: int, seed: int) -> list[Mutant]:
    """`size` of them, the same for the same seed, in their old order; a smaller sample is part of a larger one."""
    chosen = {mutant.id for mutant in shuffled(mutants, seed)[:size]}
    return [mutant for mutant in mutants if mutant.id in chosen]


def shuffled(mutants: Iterable[Mutant], seed: int) -> list[Mutant]:
    """All in a random order that depends on their names and the seed alone: any beginning of it is a random sample."""
    return sorted(mutants, key=lambda mutant: hashlib.sha256(f"{seed} {mutant.id}".encode()).digest())


def _changed(text: str, start: int, end: int, replacement: str) -> tuple[str, str]:
    """The lines around an edit before and after, each on one line."""
    first = text.rfind("\n", 0, start) + 1
    last = text.find("\n", end)
    last = len(text) if last < 0 else last
    return normal(text[first:last]), normal(text[first:start] + replacement + text[end:last])


def normal(code: str) -> str:
    """Without comments, and with single blanks instead of line ends and indentation."""
    return " ".join(" ".join(_COMMENT.sub("", line).split()) for line in code.splitlines()).strip()


# ---- what people found out


@dataclass(slots=True)
class Review:
    """One entry of equivalent.toml."""

    contract: str
    function: str
    before: str
    after: str
    why: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        return self.contract, self.function, self.before, self.after


def reviews(path: Path = REVIEWED) -> dict[tuple[str, str, str, str], Review]:
    """The entries of a file by contract, function and normalised change."""
    if not path.exists():
        return {}
    try:
        document = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise ReviewError(f"{path.name}: {error}") from None
    found: dict[tuple[str, str, str, str], Review] = {}
    for entry in document.get("equivalent", []):
        try:
            review = Review(
                **{name: normal(entry.pop(name)) for name in ("contract", "function", "before", "after", "why")}
            )
        except KeyError as error:
            raise ReviewError(f"{path.name}: an entry lacks {error.args[0]!r}: {entry}") from None
        if entry or not review.why:
            raise ReviewError(f"{path.name}: {review.before!r}: {f'unknown {list(entry)}' if entry else 'why?'}")
        if review.key in found:
            raise ReviewError(f"{path.name}: {review.before!r} → {review.after!r} is there twice")
        found[review.key] = review
    return found


def review_of(mutant: Mutant, known: dict[tuple[str, str, str, str], Review]) -> Review | None:
    """What was found out about a mutant, if anything."""
    return known.get((mutant.path, mutant.function, mutant.before, mutant.after))


def stanza(mutant: Mutant, why: str = "") -> str:
    """An entry to paste into equivalent.toml."""
    fields = {
        "contract": mutant.path,
        "function": mutant.function,
        "before": mutant.before,
        "after": mutant.after,
        "why": why,
    }
    return "\n".join(["[[equivalent]]", *(f"{name} = {_quoted(value)}" for name, value in fields.items())])


def _quoted(value: str) -> str:
    if "'" not in value:
        return f"'{value}'"
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def by_path(mutants: Iterable[Mutant]) -> dict[str, list[Mutant]]:
    """Mutants of each file."""
    found: dict[str, list[Mutant]] = {}
    for mutant in mutants:
        found.setdefault(mutant.path, []).append(mutant)
    return found
