"""A pytest session that has imported and collected everything, and then forks a child for every mutant it hears of.

Run by a campaign as `python -m ballast.mutate.server SETTINGS`; requests and answers are lines of JSON on two inherited
pipes. A child compiles one mutant in a private copy of the sources, compares the code, runs tests until one fails, then
searches, and exits: nothing it does can reach the next one. CPU time is limited by the kernel, so that a busy machine
is no reason to give up.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import selectors
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, TextIO

import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings

from ballast.chain import RevmChain, artifacts
from ballast.mutate import incremental, search
from ballast.mutate.compiling import code, quick
from ballast.mutate.incremental import Incremental

PYTEST = [
    "-q", "-s", "--tb=line", "--import-mode=importlib", "--ignore=tests/unit/mutate",
    "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:boa_test", "-p", "no:ape_test",
]  # fmt: skip
GRACE = 20  # [s] of wall time per second of CPU time before a child counts as hung
MESSAGE = 300  # characters kept of what went wrong


@dataclass(slots=True)
class Settings:
    """What a server is started with."""

    sources: str  # holds contracts/ and interfaces/; never changed
    work: str  # for private copies
    tests: list[str]  # paths for pytest
    contracts: list[str]  # that mutants will be in
    search: str = search.FUZZ  # "module:function", "" for none
    jobs: int = 1
    reads: int = 0  # file descriptors of the pipes
    writes: int = 0


@dataclass(slots=True)
class Task:
    """What a child does."""

    id: str
    path: str = ""  # of the changed file; "" for no mutant: then everything is run, and timed
    text: str = ""
    targets: list[str] = field(default_factory=list)  # contracts whose code must change; nothing is compiled if empty
    tests: list[str] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)  # of searches
    steps: int = 0  # of each
    cpu: int = 0  # limit [s]


@dataclass(slots=True)
class Answer:
    """What came of it."""

    id: str
    outcome: str = "died"  # invalid, equivalent, killed, survived, timeout, died
    stage: str = "start"  # compile, tests, search
    by: str = ""  # test or search
    message: str = ""
    seconds: dict[str, float] = field(default_factory=dict)  # of CPU by stage
    tests_run: int = 0
    measured: dict[str, Any] = field(default_factory=dict)  # without a mutant: seconds, deployed contracts, failures


class Found(Exception):
    """Something noticed the mutant."""

    def __init__(self, by: str, message: str) -> None:
        super().__init__(message)
        self.by = by


# ---- in the child


class Child:
    """Does one task and tells how far it got."""

    def __init__(self, task: Task, server: Server, pipe: int) -> None:
        self.task = task
        self.server = server
        self.pipe = pipe
        self.answer = Answer(task.id)
        self.home = (Path(server.settings.work) / task.id).resolve()

    def run(self) -> None:
        """Never returns."""
        try:
            os.setsid()
            silence()
            if self.task.cpu:
                resource.setrlimit(resource.RLIMIT_CPU, (self.task.cpu, self.task.cpu + 5))
            self.work()
        except BaseException:
            self.answer.message = traceback.format_exc()[-MESSAGE * 4 :]
            self.answer.outcome = "died"
        finally:
            self.tell()
            os._exit(0)

    def work(self) -> None:
        answer, task = self.answer, self.task
        if not task.path:
            self.measure()
            return
        try:
            with self.stage("compile"):
                changed = self.compile()
            if not changed:
                answer.outcome = "equivalent"
                return
            with self.stage("tests"):
                self.test()
            with self.stage("search"):
                self.search()
            answer.outcome = "survived"
        except artifacts.CompilationFailed as error:
            answer.outcome, answer.message = "invalid", str(error)[:MESSAGE]
        except Found as found:
            answer.outcome, answer.by, answer.message = "killed", found.by, str(found)[:MESSAGE]

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self.answer.stage = name
        self.tell()
        start = time.process_time()
        try:
            yield
        finally:
            self.answer.seconds[name] = round(time.process_time() - start, 3)

    def tell(self) -> None:
        """Pass on what is known so far: the last line before the end counts."""
        os.write(self.pipe, (json.dumps(asdict(self.answer)) + "\n").encode())

    def compile(self) -> bool:
        """Whether the mutant is in the code of any target; raises CompilationFailed."""
        ignore = shutil.ignore_patterns("*.lock")  # one who compiles must not wait for another's copy
        shutil.copytree(self.server.settings.sources, self.home, copy_function=os.link, ignore=ignore)
        changed = self.home / self.task.path
        changed.unlink()
        changed.write_text(self.task.text)
        artifacts.use_sources(self.home)
        os.environ["BALLAST_SOURCES"] = str(self.home)
        artifacts._compile = self.compiled
        return any(code(artifacts.load(name).bytecode) != self.server.codes[name] for name in self.task.targets)

    def compiled(self, path: Path) -> Any:
        """The compiler's result for one contract; raises CompilationFailed."""
        bytecode = None
        ready = self.server.ready.get(path.stem)
        if ready is not None and path.is_relative_to(self.home):  # a test may have sources of its own
            with failures_told():
                bytecode = ready.changed(self.task.path, self.task.text)
        return quickly(path) if bytecode is None else incremental.artifact(self.server.known[path.stem], bytecode)

    def test(self) -> None:
        """Run the tests; raises Found at the first that fails."""
        for item, following in self.server.chosen(self.task.tests):
            failure = self.server.run(item, following)
            self.answer.tests_run += 1
            if failure is not None:
                raise Found(item.nodeid, failure)

    def search(self) -> None:
        """Run the searches; raises Found when one raises anything."""
        for seed in self.task.seeds:
            assert self.server.search is not None
            try:
                self.server.search(seed, self.task.steps)
            except Exception as error:
                raise Found(f"seed {seed}", f"{type(error).__name__}: {error}") from None

    def measure(self) -> None:
        """Without a mutant: time tests, searches and compilations, and see what each test deploys."""
        answer, task = self.answer, self.task
        deployed = record_deployments(self.server.codes)
        tests: dict[str, Any] = {}
        shared: dict[str, set[str]] = {}  # what was deployed when a fixture of several tests was set up
        for item, following in self.server.chosen(task.tests):
            deployed.clear()
            start = time.process_time()
            failure = self.server.run(item, following)
            seconds, used = time.process_time() - start, set(deployed)
            for fixture in shared_fixtures(item):
                used |= shared.setdefault(fixture, set(deployed))
            tests[item.nodeid] = [round(seconds, 4), sorted(used), failure]
        searches: dict[str, Any] = {}
        for seed in task.seeds:
            deployed.clear()
            start = time.process_time()
            failure = None
            try:
                assert self.server.search is not None
                self.server.search(seed, task.steps)
            except Exception as error:
                failure = f"{type(error).__name__}: {error}"[:MESSAGE]
            searches[str(seed)] = [round(time.process_time() - start, 4), sorted(deployed), failure]
        compiled: dict[str, Any] = {}
        for name in task.targets:
            start = time.process_time()
            again = quickly(artifacts.contract_paths()[name])
            both = {code(bytes.fromhex(again["bytecode"])), code(self.server.ready[name].bytecode)}
            same = both == {self.server.codes[name]}
            compiled[name] = [round(time.process_time() - start, 4), same]
        answer.measured = {"tests": tests, "searches": searches, "compiled": compiled}
        answer.outcome = "measured"


def quickly(path: Path) -> Any:
    """The compiler's result for one contract; raises CompilationFailed."""
    with failures_told(), quick():
        return artifacts._compiled(path)


@contextmanager
def failures_told() -> Iterator[None]:
    """Turn whatever the compiler raises into CompilationFailed."""
    from vyper.exceptions import VyperException

    try:
        yield
    except VyperException as error:
        raise artifacts.CompilationFailed(f"{type(error).__name__}: {error}") from None
    except Exception as error:  # the compiler gives up on some nonsense with an exception of its own
        raise artifacts.CompilationFailed(f"compiler: {type(error).__name__}: {error}") from None


def record_deployments(codes: dict[str, bytes]) -> set[str]:
    """A set that from now on collects the names of contracts that are deployed."""
    seen: set[str] = set()
    transact = RevmChain.transact
    known: dict[bytes, str] = {}

    def recording(chain: RevmChain, tx: Any) -> Any:
        if tx.to is None:
            head = bytes(tx.data[:2_000])
            if head not in known:
                known[head] = next((name for name, code in codes.items() if code and tx.data.startswith(code)), "")
            if known[head]:
                seen.add(known[head])
        return transact(chain, tx)

    RevmChain.transact = recording  # type: ignore[assignment,method-assign]
    return seen


def silence() -> None:
    """Whatever a test prints is nobody's business."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


# ---- in the parent


@dataclass(slots=True)
class Running:
    """A child at work."""

    pid: int
    task: Task
    deadline: float
    said: bytes = b""


class Server:
    """A pytest plugin whose run loop answers requests instead of running the session."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.items: dict[str, pytest.Item] = {}
        self.known: dict[str, artifacts.Artifact] = {}
        self.codes: dict[str, bytes] = {}
        self.ready: dict[str, Incremental] = {}
        self.search: search.Search | None = None
        self.failure: str | None = None

    # ---- hooks

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> None:
        """Test modules are imported next: they search the same for every mutant, keep and shrink nothing."""
        hypothesis_settings.register_profile(
            "mutate",
            hypothesis_settings(),
            derandomize=True,
            database=None,
            deadline=None,
            phases=(Phase.explicit, Phase.generate),
            report_multiple_bugs=False,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
        )
        hypothesis_settings.load_profile("mutate")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if not needs_a_node(item)]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and self.failure is None:
            crash = getattr(report.longrepr, "reprcrash", None)
            self.failure = f"{report.when}: {crash.message if crash else report.longrepr}"[:MESSAGE]

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise session.Interrupted("some tests cannot be imported")
        self.items = {item.nodeid: item for item in session.items}
        self.prepare()
        with (
            os.fdopen(self.settings.reads, "rb", buffering=0) as requests,
            os.fdopen(self.settings.writes, "w") as answers,
        ):
            Loop(self, requests, answers).run()
        return True

    # ----

    def prepare(self) -> None:
        """Everything that a child should find ready."""
        for name, path in artifacts.contract_paths().items():
            self.known[name] = artifacts.load(name)
            self.codes[name] = code(self.known[name].bytecode)
            if name in self.settings.contracts:
                self.ready[name] = Incremental(path)
        if self.settings.search:
            self.search = search.find(self.settings.search)
        gc.collect()
        gc.freeze()

    def chosen(self, names: list[str]) -> list[tuple[pytest.Item, pytest.Item | None]]:
        """Tests, each with the one after it."""
        items = [self.items[name] for name in names]
        return list(zip_longest(items, items[1:]))

    def run(self, item: pytest.Item, following: pytest.Item | None) -> str | None:
        """Run one test; what went wrong, if anything."""
        self.failure = None
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        return self.failure


class Loop:
    """Takes tasks from one pipe, has at most `jobs` children, and writes their answers to the other."""

    def __init__(self, server: Server, requests: Any, answers: TextIO) -> None:
        self.server = server
        self.requests = requests
        self.answers = answers
        self.queue: list[Task] = []
        self.running: dict[int, Running] = {}
        self.buffer = b""
        self.selector = selectors.DefaultSelector()

    def run(self) -> None:
        """Until the other side closes its end."""
        self.say({"ready": list(self.server.items)})
        self.selector.register(self.requests, selectors.EVENT_READ)
        try:
            while True:
                while self.queue and len(self.running) < self.server.settings.jobs:
                    self.start(self.queue.pop(0))
                for key, _ in self.selector.select(timeout=1):
                    if key.fileobj is self.requests:
                        if not self.receive():
                            return
                    else:
                        self.hear(key.fd)
                self.check_deadlines()
        finally:
            for descriptor in list(self.running):
                self.end(descriptor, kill=True)

    def say(self, document: Any) -> None:
        self.answers.write(json.dumps(document) + "\n")
        self.answers.flush()

    def receive(self) -> bool:
        data = self.requests.read(1 << 20)
        if not data:
            return False
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        self.queue += [Task(**json.loads(line)) for line in lines]
        return True

    def start(self, task: Task) -> None:
        reads, writes = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reads)
            Child(task, self.server, writes).run()
        os.close(writes)
        wall = task.cpu * GRACE if task.cpu else 3_600
        self.running[reads] = Running(pid, task, time.monotonic() + wall)
        self.selector.register(reads, selectors.EVENT_READ)

    def hear(self, descriptor: int) -> None:
        data = os.read(descriptor, 1 << 20)
        self.running[descriptor].said += data
        if not data:
            self.end(descriptor)

    def check_deadlines(self) -> None:
        for descriptor, child in list(self.running.items()):
            if time.monotonic() > child.deadline:
                self.end(descriptor, kill=True)

    def end(self, descriptor: int, kill: bool = False) -> None:
        child = self.running.pop(descriptor)
        self.selector.unregister(descriptor)
        os.close(descriptor)
        if kill:
            os.kill(child.pid, signal.SIGKILL)
        _, status = os.waitpid(child.pid, 0)
        lines = child.said.split(b"\n")[:-1]  # the last may be cut off
        answer = json.loads(lines[-1]) if lines else asdict(Answer(child.task.id))
        if os.WIFSIGNALED(status):
            # the kernel's limit, or ours, or a crash of the EVM itself, which is a way to be noticed
            number = os.WTERMSIG(status)
            out_of_time = number in (signal.SIGXCPU, signal.SIGKILL)
            noticed = answer["stage"] in ("tests", "search")
            answer["outcome"] = "timeout" if out_of_time else "killed" if noticed else "died"
            answer["message"] = f"ended by {signal.Signals(number).name} at stage {answer['stage']}"
        shutil.rmtree(Path(self.server.settings.work) / child.task.id, ignore_errors=True)
        self.say(answer)


def shared_fixtures(item: pytest.Item) -> set[str]:
    """The fixtures that a test shares with others of its file, which the first of them sets up."""
    known = item._fixtureinfo.name2fixturedefs if isinstance(item, pytest.Function) else {}
    return {f"{item.path}::{name}" for name, found in known.items() if found[-1].scope in ("module", "class")}


def needs_a_node(item: pytest.Item) -> bool:
    """Whether a test talks to Anvil: too slow, and not in process."""
    fixtures = getattr(item, "fixturenames", ())
    callspec = getattr(item, "callspec", None)
    return (
        item.get_closest_marker("anvil") is not None
        or any("anvil" in name for name in fixtures)
        or (callspec is not None and "anvil" in map(str, callspec.params.values()))
    )


def main() -> int:
    """Serve until the campaign closes its pipe."""
    settings = Settings(**json.loads(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the campaign decides when to stop
    return int(pytest.main([*PYTEST, *settings.tests], plugins=[Server(settings)]))


if __name__ == "__main__":
    # as the importable module, not a second copy of it under the name __main__
    from ballast.mutate import server

    sys.exit(server.main())
