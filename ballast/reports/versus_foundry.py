"""This fuzzer and Foundry's invariant mode on the same pair of contracts, the same handlers and the same check.

Forge and the Solidity compiler come from npm by the lock file beside the contracts. Both fuzzers are timed in CPU
seconds, so that neither gains from a second core nor loses to its neighbours on the machine.
"""

from __future__ import annotations

import json
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

from ballast.chain.artifacts import BUILD, ROOT
from ballast.fuzz.pair import Pair, search
from ballast.reports import REPORTS, ReportFailed

BENCHMARK = ROOT / "tests" / "benchmarks" / "foundry"
SEEDS = (1, 2, 3, 4, 5)
RUNS, DEPTH = 1_000, 100  # sequences, and calls of each
PATIENCE = 20_000  # sequences in search of the planted bug

_CALLS = re.compile(r"\(runs: \d+, calls: (\d+), reverts: \d+\)")
_SHRUNK = re.compile(r"original: \d+, shrunk: (\d+)\)")


@dataclass(frozen=True, slots=True)
class Row:
    """Medians over SEEDS of one fuzzer; CPU time [s] without its start, which is `start`."""

    name: str
    version: str
    calls_per_second: float  # with the check after every call
    seconds_to_bug: float  # search and shrinking
    slowest_to_bug: float
    shrunk: float  # calls left
    start: float


def measure() -> list[Row]:
    """Time both fuzzers, seed by seed in turn."""
    forge = Forge(BUILD / "versus-foundry")
    theirs_start = forge.run(0, False, runs=1, depth=1)[0]
    ours_start = _cpu([sys.executable, "-c", "from ballast.fuzz.pair import Pair; Pair(False)"], ROOT)[0]
    ours: list[tuple[float, float, int]] = []
    theirs: list[tuple[float, float, int]] = []
    for seed in SEEDS:
        ours.append((our_rate(seed), *our_bug(seed)))
        seconds, output = forge.run(seed, False)
        rate = int(_find(_CALLS, output)) / (seconds - theirs_start)
        seconds, output = forge.run(seed, True, runs=PATIENCE)
        theirs.append((rate, max(seconds - theirs_start, 0.0), int(_find(_SHRUNK, output))))
    return [
        _row("this fuzzer", f"Python {platform.python_version()}, pyrevm {version('pyrevm')}", ours, ours_start),
        _row("forge", forge.version, theirs, theirs_start),
    ]


def _row(name: str, made_of: str, measured: Sequence[tuple[float, float, int]], start: float) -> Row:
    rates, seconds, calls = zip(*measured, strict=True)
    return Row(name, made_of, median(rates), median(seconds), max(seconds), median(calls), start)


def our_rate(seed: int, runs: int = RUNS) -> float:
    """Calls per CPU second, each checked."""
    pair, start = Pair(planted=False), time.process_time()
    failure = search(pair, seed, runs, DEPTH)
    if failure is not None:
        raise ReportFailed(f"the sound pair fails: {failure}")
    return runs * DEPTH / (time.process_time() - start)


def our_bug(seed: int) -> tuple[float, int]:
    """CPU time [s] until the planted bug is found and its sequence made short, and the calls left."""
    pair, start = Pair(planted=True), time.process_time()
    failure = search(pair, seed, PATIENCE, DEPTH)
    if failure is None:
        raise ReportFailed(f"this fuzzer does not find the planted bug in {PATIENCE} sequences, seed {seed}")
    return time.process_time() - start, len(failure.steps)


class Forge:
    """Foundry's forge in a folder of its own, with the pair compiled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(BENCHMARK, folder, dirs_exist_ok=True)
        vyper = folder / "vyper"
        vyper.unlink(missing_ok=True)
        vyper.symlink_to(Path(sys.executable).parent / "vyper")
        _cpu(["npm", "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"], folder)
        self.version = _cpu([self._binary, "--version"], folder)[1].splitlines()[0].replace("Version: ", "")
        _cpu([self._binary, "build"], folder)

    @property
    def _binary(self) -> str:
        return str(self.folder / "node_modules" / ".bin" / "forge")

    def run(self, seed: int, planted: bool, runs: int = RUNS, depth: int = DEPTH) -> tuple[float, str]:
        """CPU time [s] and output of one fresh search."""
        shutil.rmtree(
            self.folder / "cache" / "invariant", ignore_errors=True
        )  # else a failure found before is replayed
        settings = {
            "PLANTED": str(planted).lower(),
            "FOUNDRY_INVARIANT_RUNS": str(runs),
            "FOUNDRY_INVARIANT_DEPTH": str(depth),
        }
        command = [self._binary, "test", "--fuzz-seed", str(seed)]
        return _cpu(command, self.folder, settings, fails=planted)


def report(rows: Sequence[Row], folder: Path = REPORTS) -> None:
    """Write versus-foundry.json and versus-foundry.md."""
    (folder / "versus-foundry.json").write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    table = [
        f"| {row.name} | {row.calls_per_second:,.0f} | {row.seconds_to_bug:.2f} | {row.slowest_to_bug:.2f} "
        f"| {row.shrunk:g} | {row.start:.2f} | {row.version} |"
        for row in rows
    ]
    seeds = ", ".join(map(str, SEEDS))
    text = _TEXT.format(table="\n".join(table), machine=machine(), seeds=seeds, runs=RUNS, depth=DEPTH)
    (folder / "versus-foundry.md").write_text(text)


def compare(rows: Sequence[Row]) -> None:
    """Raise ReportFailed unless this fuzzer makes more calls a second and is not slower to the planted bug."""
    ours, forge = rows
    if ours.calls_per_second <= forge.calls_per_second:
        raise ReportFailed(f"{ours.calls_per_second:,.0f} calls/s, forge {forge.calls_per_second:,.0f}")
    if ours.seconds_to_bug > forge.seconds_to_bug:
        raise ReportFailed(f"{ours.seconds_to_bug:.2f} s to the planted bug, forge {forge.seconds_to_bug:.2f} s")


def _cpu(
    command: Sequence[str], folder: Path, settings: dict[str, str] | None = None, fails: bool = False
) -> tuple[float, str]:
    """CPU time [s] and output of a command; raises ReportFailed unless it ends as `fails` says."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=folder, env=os.environ | (settings or {}), capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if (done.returncode != 0) is not fails:
        raise ReportFailed(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def _find(pattern: re.Pattern[str], output: str) -> str:
    match = pattern.search(output)
    if match is None:
        raise ReportFailed(f"no {pattern.pattern!r} in forge's output:\n{output}")
    return match[1]


def machine() -> str:
    """Cores and make, for tables."""
    cpuinfo = Path("/proc/cpuinfo")
    models = re.findall(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.is_file() else []
    return f"{os.cpu_count()} cores of {models[0] if models else 'unknown make'}"


_TEXT = """# This fuzzer and Foundry's invariant mode

One pair of contracts, an ERC-20 and a share vault with a fee per second (`tests/benchmarks/foundry/src`), the same
handlers (deposit, withdraw, withdraw_all, warp; three owners), the same check (three views) after every call, sequences
of {depth} calls from a fresh vault, {runs:,} of them for the rate. The planted bug pays one unit too much for exactly
777 shares. This fuzzer takes 40 % of its numbers from constants of the bytecode; forge, as it comes, 80 % from its
dictionary, which also knows words of storage.

| | calls/s, checked | bug found and made short [s] | slowest seed [s] | calls left | start [s] | version |
|---|--:|--:|--:|--:|--:|---|
{table}

CPU seconds of one core without the start, medians of the seeds {seeds}. Machine: {machine}, busy with other work.
`make versus` measures again (it installs forge from npm) and fails when this fuzzer is the slower one.

What it does not say. The pair is small, so this compares fuzzers, not what they can check: on the whole system twin and
invariants take most of the time ([fuzzing.md](../fuzzing.md)). Forge's handler is a contract; here it is Python that
calls the vault directly. Forge runs as it comes, without a corpus: guided by coverage (`corpus_dir`) it made about
12,000 calls/s here, and of two seeds found the bug with one in 100,000 calls. One planted bug that hangs on one
constant says little about others.
"""
