"""Contracts: mamushi's format and natrix' findings, with the exceptions that lint.toml explains."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from ballast.chain.artifacts import BUILD, ROOT

CONFIG = ROOT / "lint.toml"


class Unavailable(Exception):
    """A tool cannot be had: no uv, or no way to the package."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def cli(as_json: bool) -> None:
    """Check format and style of every contract; what has not changed since it was clean is not looked at again.

    The tools come through uv. Where they cannot be had this says so and passes, but for continuous integration (CI is
    set), which fails.

    \b
      python -m scripts.lint
      python -m scripts.lint --json
    """
    config = tomllib.loads(CONFIG.read_text())
    contracts, interfaces = sources("contracts", "*.vy"), sources("interfaces", "*.vyi")
    formatted = [file for file in (*contracts, *interfaces) if named(file) not in config["mamushi"]["except"]]
    linted = [file for file in contracts if "testing" not in file.parts]
    found: dict[str, list[str]] = {}
    missing: dict[str, str] = {}
    for tool, check, files in (("mamushi", mamushi, formatted), ("natrix", natrix, linted)):
        try:
            for file, lines in unless_clean(tool, config[tool], files, check):
                found.setdefault(file, []).extend(lines)
                if not as_json:
                    click.echo("\n".join(f"{file}: {line}" for line in lines))
        except Unavailable as error:
            missing[tool] = str(error)
            if not as_json:
                click.echo(f"{tool} {config[tool]['version']} cannot be had, contracts are not checked by it: {error}")
    if as_json:
        click.echo(json.dumps({"findings": found, "unavailable": missing}, indent=2))
    raise SystemExit(int(bool(found) or (bool(missing) and "CI" in os.environ)))


def mamushi(settings: dict[str, Any], file: Path) -> list[str]:
    """Whether mamushi would write a file otherwise, blanks before comments and blank lines apart."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / file.name
        shutil.copy(file, copy)
        answer = run("mamushi", settings["version"], "-l", str(settings["line-length"]), "-q", str(copy))
        if answer.returncode != 0:
            return [f"mamushi fails: {answer.stderr.strip().splitlines()[-1:]}"]
        differs = next((line for own, line in zip(*map(_lines, (file, copy)), strict=False) if own != line), None)
        return [] if differs is None else [f"mamushi would write: {differs.strip()}"]


def natrix(settings: dict[str, Any], file: Path) -> list[str]:
    """What natrix says of a contract and lint.toml does not accept."""
    options = ("-d", *settings["off"], "-p", sysconfig.get_path("purelib"), "--json")
    options += tuple(part for option in settings["options"] for part in ("-c", option))
    answer = run("natrix", settings["version"], "lint", *options, "--", named(file))
    try:
        issues = json.loads(answer.stdout)
    except json.JSONDecodeError:
        return [f"natrix fails: {(answer.stderr or answer.stdout).strip()[-500:]}"]
    accepted = [entry for entry in settings["accepted"] if re.search(entry["file"], named(file))]

    def is_accepted(issue: dict[str, Any]) -> bool:
        rule, says = issue["code"], issue["message"]
        return any(re.fullmatch(entry["rule"], rule) and re.search(entry["says"], says) for entry in accepted)

    return [f"{each['position']} {each['code']} {each['message']}" for each in issues if not is_accepted(each)]


def unless_clean(
    tool: str, settings: dict[str, Any], files: Iterable[Path], check: Callable[[dict[str, Any], Path], list[str]]
) -> Iterator[tuple[str, list[str]]]:
    """What a check finds, by file; a file that it found clean as it is, with these settings, is passed over."""
    stamp = BUILD / "lint" / f"{tool}.txt"
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.touch()
    clean = set(stamp.read_text().split())
    for file in files:
        digest = hashlib.sha256(f"{json.dumps(settings)}{file.read_text()}".encode()).hexdigest()
        if digest in clean:
            continue
        if lines := check(settings, file):
            yield named(file), lines
        else:
            with stamp.open("a") as kept:
                kept.write(f"{digest}\n")


def run(tool: str, version: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A tool of this version in an environment of its own; raises Unavailable."""
    uv = shutil.which("uv") or str(ROOT / ".tools" / "bin" / "uv")
    start = [uv, "tool", "run", "--quiet", "--from", f"{tool}=={version}", tool]
    try:
        answer = subprocess.run([*start, *arguments], cwd=ROOT, capture_output=True, text=True)
    except FileNotFoundError:
        raise Unavailable("there is no uv: `make install`") from None
    if answer.returncode != 0 and ("No solution found" in answer.stderr or "Failed to fetch" in answer.stderr):
        raise Unavailable(answer.stderr.strip().splitlines()[0].strip())
    return answer


def sources(folder: str, pattern: str) -> list[Path]:
    """Files below a folder, in order."""
    return sorted((ROOT / folder).rglob(pattern))


def named(file: Path) -> str:
    """How the repository calls it."""
    return str(file.relative_to(ROOT))


def _lines(file: Path) -> list[str]:
    """Without what is not compared."""
    return [re.sub(r"\s+#", " #", line.rstrip()) for line in file.read_text().splitlines() if line.strip()]


if __name__ == "__main__":
    cli()
