"""A campaign: which mutants, which tests for each in what order, and a file of results that can be added to later."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ballast.chain import artifacts
from ballast.mutate import mutants as mutation
from ballast.mutate import search
from ballast.mutate.mutants import Mutant, Review
from ballast.mutate.operators import OPERATORS
from ballast.mutate.syntax import Project

OUT = artifacts.ROOT / "out" / "mutate"
KEPT = artifacts.ROOT / "docs" / "reports" / "mutants.json"  # results for others to go on from
TESTS = ("tests/unit",)
COMPILE_LIMIT = 90  # [s of CPU] for all that one mutant makes necessary to compile
SLACK = 5  # times what tests and searches need without a mutant


class CampaignError(RuntimeError):
    """The campaign cannot go on; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a person asks for."""

    out: Path = OUT
    sources: Path = artifacts.ROOT  # holds contracts/ and interfaces/
    tests: tuple[str, ...] = TESTS
    operators: tuple[str, ...] = tuple(OPERATORS)
    only: tuple[str, ...] = ()  # files, or parts of their paths
    sample: int = 0  # 0: all
    seed: int = 0
    jobs: int = 2
    test_seconds: float = 60.0  # of CPU that the tests of one mutant may take, as measured without a mutant
    search: str = search.FUZZ
    searches: int = 12
    steps: int = 600  # of each search
    retry: frozenset[str] = frozenset()  # outcomes that are not taken from earlier results
    recheck: bool = False  # run explained mutants, too
    reviewed: Path = mutation.REVIEWED
    kept: Path | None = None  # results of an earlier campaign, as `keep` writes them

    def effort(self) -> dict[str, Any]:
        """How hard each mutant is looked for."""
        searches = self.searches if self.search else 0
        return {"test_seconds": self.test_seconds, "searches": searches, "steps": self.steps, "tests": self.tests}


@dataclass(slots=True)
class Result:
    """One line of the result file."""

    id: str
    path: str
    line: int
    function: str
    operator: str
    before: str
    after: str
    diff: str
    source: str  # digest of the file that was changed
    outcome: str  # killed, survived, equivalent, invalid, timeout, died, explained
    stage: str = ""  # that decided: compile, tests, search
    by: str = ""
    message: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    tests_run: int = 0

    @property
    def column(self) -> str:
        """Under which heading it is counted."""
        if self.outcome == "killed":
            return "killed by search" if self.stage == "search" else "killed by tests"
        return self.outcome

    @property
    def place(self) -> str:
        return f"{self.path}:{self.line}"


COLUMNS = ("killed by tests", "killed by search", "survived", "explained", "timeout", "died", "equivalent", "invalid")


@dataclass(slots=True)
class Baseline:
    """What tests, searches and compilations do without a mutant."""

    tests: dict[str, tuple[float, frozenset[str]]]  # seconds, deployed contracts; those that pass
    failing: dict[str, str]  # tests and searches
    searches: dict[int, tuple[float, frozenset[str]]]
    compiled: dict[str, float]  # seconds


# ---- results


class Results:
    """Lines of JSON, appended to as they come in; the last line about a mutant counts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, Result] = {}
        if path.exists():
            for line in path.read_text().splitlines():
                with contextlib.suppress(json.JSONDecodeError):  # a line that was cut off
                    result = Result(**json.loads(line))
                    self.known[result.id] = result

    def add(self, result: Result) -> None:
        self.known[result.id] = result
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(asdict(result)) + "\n")


def keep(path: Path, results: Iterable[Result]) -> None:
    """Write what came of mutants in few bytes: enough for a campaign elsewhere to go on."""
    files: dict[str, Any] = {}
    noticed: dict[str, int] = {}
    for result in sorted(results, key=lambda result: (result.path, result.id)):
        file = files.setdefault(result.path, {"source": result.source, "mutants": {}})
        by = noticed.setdefault(result.by, len(noticed))
        file["mutants"][result.id] = [result.outcome, result.stage, by]
    path.write_text(json.dumps({"by": list(noticed), "files": files}, separators=(",", ":")) + "\n")


def counts(results: Iterable[Result]) -> dict[str, Counter[str]]:
    """How many of each column, by file."""
    table: dict[str, Counter[str]] = {}
    for result in sorted(results, key=lambda result: result.path):
        table.setdefault(result.path, Counter())[result.column] += 1
    return table


def kill_rate(row: Counter[str]) -> tuple[int, int]:
    """Killed, and what could be killed: everything that compiles, differs, and has not been explained."""
    killed = row["killed by tests"] + row["killed by search"]
    return killed, killed + row["survived"] + row["timeout"] + row["died"]


# ---- the other process


class Link:
    """Talks to a server process."""

    def __init__(self, plan: Plan, tree: Path, contracts: list[str]) -> None:
        (reads, their_writes), (their_reads, writes) = os.pipe(), os.pipe()
        work = plan.out / "work"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        settings = {
            "sources": str(tree), "work": str(work), "tests": list(plan.tests), "contracts": contracts,
            "search": plan.search, "jobs": plan.jobs, "reads": their_reads, "writes": their_writes,
        }  # fmt: skip
        environment = os.environ | {
            "BALLAST_SOURCES": str(tree),
            "PYTHONHASHSEED": "0",
            "HYPOTHESIS_STORAGE_DIRECTORY": str(plan.out / "hypothesis"),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        environment.pop("BALLAST_BUILD", None)
        self.log = plan.out / "server.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ballast.mutate.server", json.dumps(settings)],
                cwd=artifacts.ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                pass_fds=(their_reads, their_writes),
            )  # fmt: skip
        os.close(their_reads)
        os.close(their_writes)
        self.requests = os.fdopen(writes, "w")
        self.answers = os.fdopen(reads)

    def hear(self) -> Any:
        """The next answer; raises CampaignError when there will be none."""
        line = self.answers.readline()
        if not line:
            self.close()
            tail = "\n".join(self.log.read_text().splitlines()[-15:])
            raise CampaignError(f"the test session ended; {self.log} says:\n{tail}")
        return json.loads(line)

    def ask(self, **task: Any) -> None:
        self.requests.write(json.dumps(task) + "\n")
        self.requests.flush()

    def close(self) -> None:
        """Ends the server and its children."""
        with contextlib.suppress(BrokenPipeError):
            self.requests.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


# ---- the campaign


class Campaign:
    """Reads sources, chooses mutants, runs them. `say` gets a line when something takes long or is amiss."""

    def __init__(self, plan: Plan, say: Callable[[str], None] = lambda line: None, tree: Path | None = None) -> None:
        self.plan = plan
        self.say = say
        self.tree = tree or plan.out / "tree"  # of sources, for this campaign only
        self.reviews = mutation.reviews(plan.reviewed)
        self.results = Results(plan.out / "results.jsonl")
        self.kills: dict[str, Counter[str]] = defaultdict(Counter)  # of tests, by function, by file, and over all ("")
        self.project = Project(self.tree)
        self.population = 0  # mutants that a sample is drawn from

    def read(self) -> list[Mutant]:
        """Copy the sources aside, so that nobody changes them meanwhile, and make the mutants."""
        copy_sources(self.plan.sources, self.tree)
        paths = select(self.tree, self.plan.only)
        self.project = Project.read(self.tree, paths or None)
        found = mutation.of_project(self.project, self.plan.operators, paths)
        self.population = len(found)
        if self.plan.kept is not None and self.plan.kept.is_file():
            self.take_over(found, json.loads(self.plan.kept.read_text()))
        return mutation.sample(found, self.plan.sample, self.plan.seed) if self.plan.sample else found

    def take_over(self, mutants: list[Mutant], kept: Any) -> None:
        """Results of an earlier campaign where there are none of this one."""
        for mutant in mutants:
            file = kept["files"].get(mutant.path, {})
            found = file.get("mutants", {}).get(mutant.id)
            text = self.project.sources[mutant.path].text
            if found is not None and file["source"] == digest(text) and mutant.id not in self.results.known:
                outcome, stage, by = found
                self.results.known[mutant.id] = self.result(mutant, outcome, stage=stage, by=kept["by"][by])

    def pending(self, mutants: list[Mutant]) -> list[Mutant]:
        """Those without a result that still holds. Explained ones get theirs here."""
        digests = {path: digest(source.text) for path, source in self.project.sources.items()}
        waiting: list[Mutant] = []
        for mutant in mutants:
            known = self.results.known.get(mutant.id)
            holds = known is not None and known.source == digests[mutant.path] and known.outcome not in self.plan.retry
            review = mutation.review_of(mutant, self.reviews)
            if review is not None and not self.plan.recheck:
                if not holds or (known is not None and known.outcome in ("survived", "timeout", "died")):
                    self.results.add(self.result(mutant, "explained", message=review.why))
            elif not holds or (known is not None and known.outcome == "explained"):
                waiting.append(mutant)
        return waiting

    def current(self, mutants: list[Mutant]) -> list[Result]:
        """What is known of these mutants, of the sources as they are."""
        known = [self.results.known[mutant.id] for mutant in mutants if mutant.id in self.results.known]
        return [result for result in known if result.source == digest(self.project.sources[result.path].text)]

    def run(self, mutants: list[Mutant], done: Callable[[Result], None] = lambda result: None) -> None:
        """Try mutants and write results; `done` hears of each."""
        if not mutants:
            return
        (self.plan.out / "settings.json").write_text(json.dumps(self.plan.effort()))
        paths = {mutant.path for mutant in mutants}
        link = Link(
            self.plan, self.tree, sorted({each.name for path in paths for each in self.project.containing(path)})
        )
        try:
            collected = link.hear()["ready"]
            baseline = self.baseline(link, collected, mutants)
            self.learn()
            # in random order, so that what is known when a person stops is a random sample
            waiting, running = mutation.shuffled(mutants, self.plan.seed)[::-1], dict[str, Mutant]()
            while waiting or running:
                while waiting and len(running) < self.plan.jobs:
                    mutant = waiting.pop()
                    running[mutant.id] = mutant
                    link.ask(**self.task(mutant, baseline))
                answer = link.hear()
                mutant = running.pop(answer.pop("id"))
                answer.pop("measured")
                result = self.result(mutant, **answer)
                self.remember(result)
                self.results.add(result)
                done(result)
        finally:
            link.close()
            shutil.rmtree(self.plan.out / "work", ignore_errors=True)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold while reading and running: two in one directory would take each other's copies away."""
        self.plan.out.mkdir(parents=True, exist_ok=True)
        with (self.plan.out / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CampaignError(f"another campaign is running in {self.plan.out}: choose another --out") from None
            yield

    def result(self, mutant: Mutant, outcome: str, **rest: Any) -> Result:
        text = self.project.sources[mutant.path].text
        return Result(
            mutant.id, mutant.path, mutant.line, mutant.function, mutant.operator, mutant.before, mutant.after,
            mutant.diff(text), digest(text), outcome, **rest,
        )  # fmt: skip

    # ---- what to run

    def task(self, mutant: Mutant, baseline: Baseline) -> dict[str, Any]:
        """Targets, tests and searches of one mutant, and how long they may take."""
        targets = self.targets(mutant, baseline)
        affected = {each.name for each in self.project.containing(mutant.path)}
        tests = self.order(mutant, baseline, affected)
        seeds = [seed for seed, (_, deployed) in baseline.searches.items() if deployed & affected]
        seconds = sum(baseline.tests[name][0] for name in tests) + sum(baseline.searches[seed][0] for seed in seeds)
        return {
            "id": mutant.id,
            "path": mutant.path,
            "text": mutant.applied(self.project.sources[mutant.path].text),
            "targets": targets,
            "tests": tests,
            "seeds": seeds,
            "steps": self.plan.steps,
            "cpu": int(COMPILE_LIMIT + SLACK * (seconds + 2)),
        }

    def targets(self, mutant: Mutant, baseline: Baseline) -> list[str]:
        """Contracts in whose code the mutant could be, likeliest and quickest first; then, to be sure, all others."""
        folder = Path(mutant.path).parent
        first = self.project.dependents(mutant.path, mutant.function or None)
        rest = [each for each in self.project.dependents(mutant.path) if each not in first]

        def cost(each: Any) -> tuple[bool, float]:
            return Path(each.path).parent != folder, baseline.compiled.get(each.name, 0.0)

        return [each.name for each in [*sorted(first, key=cost), *sorted(rest, key=cost)]]

    def order(self, mutant: Mutant, baseline: Baseline, affected: set[str]) -> list[str]:
        """Tests that deploy something affected: by what they killed nearby and what they cost, up to the budget."""
        folders = {
            Path(mutant.path).parts[1],
            *(Path(self.project.deployables[name].path).parts[1] for name in affected),
        }
        here, nearby, anywhere = self.kills[f"{mutant.path}:{mutant.function}"], self.kills[mutant.path], self.kills[""]

        def worth(name: str) -> float:
            seconds, deployed = baseline.tests[name]
            compilation = max((baseline.compiled.get(each, 0.0) for each in deployed & affected), default=0.0)
            power = 1 + 20 * here[name] + 5 * nearby[name] + 0.5 * anywhere[name]
            if not folders.isdisjoint(Path(name.partition("::")[0]).parts):
                power *= 4
            return power / (seconds + 0.1 * compilation + 0.02)

        chosen: list[str] = []
        spent = 0.0
        for name in sorted(
            (name for name in baseline.tests if baseline.tests[name][1] & affected), key=worth, reverse=True
        ):
            if spent + baseline.tests[name][0] <= self.plan.test_seconds:
                spent += baseline.tests[name][0]
                chosen.append(name)
        return chosen

    def learn(self) -> None:
        for result in self.results.known.values():
            self.remember(result)

    def remember(self, result: Result) -> None:
        if result.outcome == "killed" and result.stage == "tests":
            for key in (f"{result.path}:{result.function}", result.path, ""):
                self.kills[key][result.by] += 1

    # ---- without a mutant

    def baseline(self, link: Link, collected: list[str], mutants: list[Mutant]) -> Baseline:
        """Run and compile everything once, in parallel; kept for campaigns on the same sources and tests."""
        targets = sorted({each.name for path in {m.path for m in mutants} for each in self.project.dependents(path)})
        seeds = list(range(1, self.plan.searches + 1)) if self.plan.search else []
        kept = self.plan.out / "baseline.json"
        key = digest(json.dumps([suite_digest(self.plan), tree_digest(self.tree), self.plan.steps, self.plan.search]))
        try:
            stored: dict[str, Any] = json.loads(kept.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            stored = {}
        if stored.get("key") != key:
            stored = {"key": key, "tests": {}, "searches": {}, "compiled": {}}
        missing: dict[str, list[Any]] = {
            "tests": [name for name in collected if name not in stored["tests"]],
            "seeds": [seed for seed in seeds if str(seed) not in stored["searches"]],
            "targets": [name for name in targets if name not in stored["compiled"]],
        }
        if any(missing.values()):
            self.say(
                f"measuring {len(missing['tests'])} tests, {len(missing['seeds'])} searches and"
                f" {len(missing['targets'])} compilations without a mutant"
            )
            random.Random(0).shuffle(missing["tests"])  # those that need a certain order will not get it later either
            parts = [
                {kind: values[part :: self.plan.jobs] for kind, values in missing.items()}
                for part in range(self.plan.jobs)
            ]
            for number, part in enumerate(parts):
                link.ask(id=f"baseline-{number}", steps=self.plan.steps, **part)
            for _ in parts:
                answer = link.hear()
                if answer["outcome"] != "measured":
                    raise CampaignError(f"the run without a mutant ended early: {answer['message']}")
                for kind, values in answer["measured"].items():
                    stored[kind].update(values)
            kept.write_text(json.dumps(stored))
        return self._checked(stored, collected, seeds, targets)

    def _checked(self, stored: Any, collected: list[str], seeds: list[int], targets: list[str]) -> Baseline:
        wrong = [name for name in targets if not stored["compiled"][name][1]]
        if wrong:
            raise CampaignError(f"the quick compiler disagrees with Vyper's own on {', '.join(wrong)}")
        tests = {name: stored["tests"][name] for name in collected}
        searches = {seed: stored["searches"][str(seed)] for seed in seeds}
        failing = {name: row[2] for name, row in tests.items() if row[2]}
        failing |= {f"search {seed}": row[2] for seed, row in searches.items() if row[2]}
        for name, message in list(failing.items())[:5]:
            self.say(f"left out, because it fails without a mutant: {name}: {message[:120]}")
        if len(failing) > 5:
            self.say(f"… and {len(failing) - 5} more")
        return Baseline(
            {name: (row[0], frozenset(row[1])) for name, row in tests.items() if not row[2]},
            failing,
            {seed: (row[0], frozenset(row[1])) for seed, row in searches.items() if not row[2]},
            {name: stored["compiled"][name][0] for name in targets},
        )

    # ---- what people said

    def stale_reviews(self, mutants: Collection[Mutant]) -> Iterator[tuple[Review, str]]:
        """Entries of equivalent.toml that no mutant answers to, or whose mutant is killed."""
        files = {mutant.path for mutant in mutants}
        keys = {(mutant.path, mutant.function, mutant.before, mutant.after): mutant for mutant in mutants}
        for key, review in self.reviews.items():
            if review.contract not in files:
                continue
            mutant = keys.get(key)
            known = self.results.known.get(mutant.id) if mutant else None
            if mutant is None:
                yield review, "no such mutant"
            elif known is not None and known.outcome in ("killed", "equivalent", "invalid"):
                yield review, f"{known.outcome} by {known.by}" if known.by else known.outcome


# ---- files


def copy_sources(sources: Path, tree: Path) -> None:
    """contracts/ and interfaces/ as they are now, and what is known of their compilation."""
    for folder in ("contracts", "interfaces"):
        shutil.rmtree(tree / folder, ignore_errors=True)
        if (sources / folder).is_dir():
            shutil.copytree(sources / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__"))
    built = sources / ".build" / "vyper"
    if built.is_dir():
        shutil.copytree(
            built, tree / ".build" / "vyper", dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.lock", "tmp*")
        )


def select(tree: Path, only: Iterable[str]) -> list[str]:
    """Files under contracts/ that the names mean: a path, a part of one, or a stem; raises CampaignError."""
    paths = sorted(str(path.relative_to(tree)) for path in tree.glob("contracts/**/*.vy"))
    chosen: list[str] = []
    for name in only:
        exact = [path for path in paths if name in (path, Path(path).stem, Path(path).name)]
        found = exact or [path for path in paths if f"/{name.strip('/')}/" in f"/{path}"]
        if not found:
            raise CampaignError(
                f"no contract or folder {name!r}: try {', '.join(Path(path).stem for path in paths[:8])}, …"
            )
        chosen += found
    return sorted(set(chosen))


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def tree_digest(tree: Path) -> str:
    paths = sorted([*tree.glob("contracts/**/*.vy"), *tree.glob("interfaces/**/*.vyi")])
    return digest("".join(f"{path.relative_to(tree)}\0{path.read_text()}\0" for path in paths))


def suite_digest(plan: Plan) -> str:
    """Of everything that tests and searches are made of, apart from the contracts and this package."""
    roots = [artifacts.ROOT / "ballast", artifacts.ROOT / "networks", artifacts.ROOT / "tests"]
    roots += [artifacts.ROOT / name for name in plan.tests]
    paths = sorted(
        path
        for path in {path for root in roots for path in root.rglob("*")}
        if path.suffix in (".py", ".yaml", ".json") and "mutate" not in path.parts[-2:]
    )
    return digest(json.dumps([plan.tests, [(str(path), digest(path.read_text())) for path in paths]]))
