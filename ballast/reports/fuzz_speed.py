"""How fast the whole-system fuzzer is, and where its time goes: this tree, and an earlier commit measured in turn.

CPU seconds of one core. Neighbours on the machine make them longer too (caches, clock rate), so both trees are
measured slice by slice in turn, and the quickest slice of each is given beside the median.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from ballast.chain.artifacts import ROOT
from ballast.fuzz.world import PURPOSES
from ballast.reports import REPORTS, ReportFailed
from ballast.reports.versus_foundry import machine

EPISODES, LENGTH = 9, 400  # of a slice: every token thrice
SLICES = 5
# What each measure leaves out, and its bound [actions per CPU second].
MEASURES: dict[str, tuple[tuple[str, ...], int | None]] = {
    "I1 to I7": (("twin", "compare", "beyond", "standards"), 2_500),
    "I1 to I7 and the twin": (("beyond", "standards"), 1_000),
    "everything": ((), None),
}

# Run in a tree of its own: a slice to warm up, one that counts, one that tells the EVM's time from the rest.
_SLICE = """
import json, sys, time
from ballast.chain.revm import RevmChain
from ballast.fuzz.runner import Stats, episode
from ballast.fuzz.world import Setup

class Timed:
    def __init__(self, evm):
        self.evm, self.seconds, self.names = evm, {True: 0.0, False: 0.0}, {}
    def __getattr__(self, name):
        return getattr(self.evm, name)
    def message_call(self, *args, **settings):
        start = time.perf_counter()
        try:
            return self.evm.message_call(*args, **settings)
        finally:
            self.seconds[bool(settings.get("is_static"))] += time.perf_counter() - start

episodes, length, chains = int(sys.argv[1]), int(sys.argv[2]), []

def timed():
    chains.append(RevmChain())
    chains[-1]._evm = Timed(chains[-1]._evm)
    return chains[-1]

def run(stats, **settings):
    for seed in range(episodes):
        episode(seed, length, Setup((6, 8, 18)[seed % 3]), stats, **settings)
    return stats

for decimals in (6, 8, 18):
    episode(0, 20, Setup(decimals), Stats())
stats = run(Stats())
wall, cpu = time.perf_counter(), time.process_time()
run(Stats(), make_chain=timed)
share = (time.process_time() - cpu) / (time.perf_counter() - wall)
evm = {static: share * sum(chain._evm.seconds[static] for chain in chains) for static in (True, False)}
print(json.dumps({
    "calls": stats.calls, "steps": stats.steps, "spent": dict(stats.clock.spent),
    "views": evm[True], "transactions": evm[False],
}))
"""


@dataclass(frozen=True, slots=True)
class Slice:
    """CPU time of one slice [us per action]: by purpose, and of the EVM alone."""

    spent: Mapping[str, float]
    views: float
    transactions: float  # the outside's too

    def total(self, *without: str) -> float:
        return sum(spent for purpose, spent in self.spent.items() if purpose not in without)


@dataclass(frozen=True, slots=True)
class Speed:
    """Actions per CPU second in the quickest and the median slice, by measure, and the quickest slice itself."""

    name: str
    quickest: Mapping[str, float]
    median: Mapping[str, float]
    slice: Slice


def measure(earlier: str | None = None, slices: int = SLICES) -> list[Speed]:
    """This tree, and before it the commit `earlier` if one is named; raises ReportFailed if a tree cannot run."""
    with TemporaryDirectory() as folder:
        trees = [ROOT] if earlier is None else [_tree(earlier, Path(folder)), ROOT]
        found: list[list[Slice]] = [[] for _ in trees]
        for _ in range(slices):
            for tree, rows in zip(trees, found, strict=True):
                rows.append(_slice(tree))
    names = ["now"] if earlier is None else [f"commit {earlier[:7]}", "now"]
    return [_speed(name, rows) for name, rows in zip(names, found, strict=True)]


def report(rows: Sequence[Speed], folder: Path = REPORTS) -> None:
    """Write fuzz-speed.json and fuzz-speed.md."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fuzz-speed.json").write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    now = rows[-1]
    heads = " | ".join(row.name for row in rows)
    table = [f"| | {heads} |", "|---|" + "--:|" * len(rows)]
    for purpose, words in PURPOSES.items():
        figures = " | ".join(f"{row.slice.spent[purpose]:,.0f}" if purpose in row.slice.spent else "" for row in rows)
        table.append(f"| {purpose}: {words} | {figures} |")
    table.append("| **all** | " + " | ".join(f"**{row.slice.total():,.0f}**" for row in rows) + " |")
    for words, field in (("the EVM alone, transactions", "transactions"), ("the EVM alone, views", "views")):
        table.append(f"| of it {words} | " + " | ".join(f"{getattr(row.slice, field):,.0f}" for row in rows) + " |")
    speeds = ["| actions per CPU second | bound | quickest slice | median slice |", "|---|--:|--:|--:|"]
    for row in rows:
        for kind, quickest in row.quickest.items():
            bound = MEASURES[kind][1]
            figures = f"{f'{bound:,}' if bound else ''} | {quickest:,.0f} | {row.median[kind]:,.0f}"
            speeds.append(f"| {row.name}: {kind} | {figures} |")
    text = _TEXT.format(
        speeds="\n".join(speeds), table="\n".join(table), machine=machine(), episodes=EPISODES, length=LENGTH,
        slices=SLICES, floor=1e6 / now.slice.transactions,
    )  # fmt: skip
    (folder / "fuzz-speed.md").write_text(text)


def _slice(tree: Path) -> Slice:
    command = [sys.executable, "-c", _SLICE, str(EPISODES), str(LENGTH)]
    settings = {"PYTHONPATH": str(tree), "BALLAST_SOURCES": str(tree)}
    done = subprocess.run(command, cwd=tree, env=os.environ | settings, capture_output=True, text=True)
    if done.returncode != 0:
        raise ReportFailed(f"{tree}: {done.stderr[-2_000:]}")
    found = json.loads(done.stdout)
    per_call = 1e6 / found["calls"]
    return Slice(
        {purpose: seconds * per_call for purpose, seconds in found["spent"].items()},
        found["views"] * per_call,
        found["transactions"] * per_call,
    )


def _speed(name: str, rows: Sequence[Slice]) -> Speed:
    told_apart = "beyond" in rows[0].spent  # an earlier tree may not
    measures = {
        kind: [1e6 / row.total(*without) for row in rows]
        for kind, (without, _) in MEASURES.items()
        if told_apart or not without
    }
    return Speed(
        name,
        {kind: max(speeds) for kind, speeds in measures.items()},
        {kind: median(speeds) for kind, speeds in measures.items()},
        min(rows, key=Slice.total),
    )


def _tree(commit: str, folder: Path) -> Path:
    """The commit's files in a folder, beside the packages that this tree has installed."""
    done = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True)
    if done.returncode != 0:
        raise ReportFailed(done.stderr.decode())
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    (folder / "node_modules").symlink_to(ROOT / "node_modules")
    return folder


_TEXT = """# Speed of the whole-system fuzzer

An *action* is a call of one of the protocol's functions that change state, whether it goes through or is refused. Time
that passes, rounds of prices, swaps of others and gifts are no actions, but the time they take counts.

{speeds}

*Everything*: all CPU time of a search as it runs, planning and checking included. *I1 to I7 and the twin*: all but the
checks of I8 to I12, of what else a call owes, and of the standards; the exact twin does every call too, and all state
is compared with it after each (I13). *I1 to I7*: also without the twin's calls and comparing with them. The state on
which I1 to I7 are judged is the contracts' own: every word of it has been read from their storage in the same step, and
that reading counts. It is what a search without a twin would take, not a mode that exists: without a twin nobody would
know what a call should have answered. Systems are deployed once and used by all episodes, which is all but free here.

CPU time per action in the quickest slice [us]:

{table}

The floor is the EVM: its transactions alone, those of feeds, pools and what-ifs included, would allow {floor:,.0f}
actions per CPU second. A slice is {episodes} episodes of {length} steps (tokens of 6, 8 and 18 decimals in turn,
profile `perps`); {slices} slices of each, in turn. Machine: {machine}, busy with other work, which makes CPU seconds
longer: compare columns, and take the quickest slice for what an idle machine does. The later column checks more than
the earlier one. `python -m scripts.report fuzz-speed` measures again, `--earlier COMMIT` beside an earlier commit.
"""
