"""Bugs planted on purpose, in a copy of the contracts' sources and, if wanted, in the twin of this process as well.

A fuzzer that does not find them finds nothing. With the bug in the contracts alone the twin finds it (I13); with the
same bug in both, only the invariants can.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from random import Random
from shutil import copytree
from types import CodeType, FunctionType
from typing import Any

from ballast.chain import RevmChain, Tx, load
from ballast.chain.artifacts import BUILD, ROOT, SOURCES
from ballast.chain.contract import Receipt
from ballast.fuzz.runner import Failure, Stats, episode
from ballast.fuzz.world import Setup
from ballast.mutate.compiling import quick
from ballast.mutate.incremental import Incremental

LENGTH = 150  # steps of an episode


@dataclass(frozen=True, slots=True)
class Edit:
    """`old`, which the file `source` contains exactly once, becomes `new`."""

    source: str
    old: str
    new: str

    def apply(self, text: str) -> str:
        """The changed text."""
        if text.count(self.old) != 1:
            raise ValueError(f"{self.source} does not contain exactly one {self.old!r}")
        return text.replace(self.old, self.new)


@dataclass(frozen=True, slots=True)
class Bug:
    """A known bug: `edits` of sources that the deployable `contract` is made of, `twin` the same in the exact model."""

    name: str
    contract: str
    edits: tuple[Edit, ...]
    twin: tuple[Edit, ...] = ()
    mirrors: str = ""  # which protocol, when, what happened
    unseen: str = ""  # why the invariants alone cannot see it
    profile: str = "perps"  # of the episodes that look for it
    lending: bool = False  # whether there is an Aave in their worlds
    ends: bool = False  # whether they end with global settlement


@dataclass(frozen=True, slots=True)
class Found:
    """A failure that a bug caused, and what it took: CPU time [s], actions on contracts."""

    failure: Failure
    seconds: float
    actions: int

    @property
    def by(self) -> str:
        """The check that failed."""
        return self.failure.broken.name


def search(bug: Bug, seed: int = 0, seconds: float = 60.0, *, twin_too: bool = False, length: int = LENGTH) -> Found:
    """Random episodes until the bug is found or so much CPU time [s] is spent, then TimeoutError.

    With `twin_too` the twin has the bug as well, and only the invariants can find it.
    """
    make_chain, stats, start = chain_with(bug), Stats(), time.process_time()
    with in_twin(bug.twin if twin_too else ()):
        while (spent := time.process_time() - start) < seconds:
            try:
                setup = replace(Setup.draw(Random(seed)), lending=True) if bug.lending else None
                episode(seed, length, setup, stats, make_chain, profile=bug.profile, ends=bug.ends)
            except Failure as failure:
                return Found(failure, time.process_time() - start, stats.calls)
            seed += 1
    raise TimeoutError(f"{bug.name}: not found by {stats.calls} actions in {spent:.0f} s")


class PlantedChain(RevmChain):
    """Deploys the changed contract wherever the original is deployed."""

    def __init__(self, original: bytes, planted: bytes) -> None:
        super().__init__()
        self._original = original
        self._planted = planted

    def transact(self, tx: Tx) -> Receipt:
        if tx.to is None and tx.data.startswith(self._original):
            tx = replace(tx, data=self._planted + tx.data[len(self._original) :])
        return super().transact(tx)


def chain_with(bug: Bug) -> Callable[[], RevmChain]:
    """What makes chains on which the bug lives."""
    original, bytecode = load(bug.contract).bytecode, compiled(bug)
    return lambda: PlantedChain(original, bytecode)


def compiled(bug: Bug) -> bytes:
    """Creation code of the changed contract; cached under the hash of original and edits."""
    key = hashlib.sha256(load(bug.contract).bytecode + repr(bug.edits).encode()).hexdigest()
    slot = BUILD / "planted" / f"{key}.json"
    if not slot.is_file():
        slot.parent.mkdir(parents=True, exist_ok=True)
        slot.write_text(json.dumps(_compile(bug).hex()))
    return bytes.fromhex(json.loads(slot.read_text()))


def _compile(bug: Bug) -> bytes:
    """One function alone where that is all that changes, everything otherwise."""
    texts = _edited(bug.edits, SOURCES)
    bytecode = _ready(bug.contract).apart(*next(iter(texts.items()))) if len(texts) == 1 else None
    return _compile_whole(bug.contract, texts) if bytecode is None else bytecode


@lru_cache(maxsize=1)  # lists of bugs go contract by contract, and each takes much memory
def _ready(contract: str) -> Incremental:
    path = load(contract).source_path
    assert path is not None
    return Incremental(SOURCES / path)


def _compile_whole(contract: str, texts: dict[str, str]) -> bytes:
    from vyper.compiler import CompilerData
    from vyper.compiler.input_bundle import FilesystemInputBundle

    with tempfile.TemporaryDirectory() as name, quick():
        folder = Path(name)
        for part in ("contracts", "interfaces"):
            copytree(SOURCES / part, folder / part)
        for source, text in texts.items():
            (folder / source).write_text(text)
        bundle = FilesystemInputBundle([Path(sysconfig.get_path("purelib")), folder])
        deployable = load(contract).source_path
        return bytes(CompilerData(bundle.load_file(str(deployable)), bundle).bytecode)


def _edited(edits: Iterable[Edit], root: Path) -> dict[str, str]:
    """What the edited files contain then."""
    texts: dict[str, str] = {}
    for edit in edits:
        texts[edit.source] = edit.apply(texts.get(edit.source) or (root / edit.source).read_text())
    return texts


@contextmanager
def in_twin(edits: Iterable[Edit]) -> Iterator[None]:
    """The edits in the functions of modules that are loaded already, for as long as the block lasts.

    Code objects are swapped, so whoever imported a function or made an instance runs the changed code too.
    """
    undo: list[tuple[Any, FunctionType, CodeType]] = []
    texts = _edited(edits, ROOT)
    try:
        for source, text in texts.items():
            module = importlib.import_module(source.removesuffix(".py").replace("/", "."))
            before, after = _functions((ROOT / source).read_text()), _functions(text)
            changed = [name for name, code in after.items() if code != before[name]]
            if not changed:
                raise ValueError(f"{source}: nothing that changed is inside a function")
            for name in changed:
                held, function = _resolve(module, name)
                undo.append((held, function, function.__code__))
                function.__code__ = after[name]
                _forget(held)
        yield
    finally:
        for held, function, code in undo:
            function.__code__ = code
            _forget(held)


def _functions(text: str) -> dict[str, CodeType]:
    """Code of every named function of a module, by qualified name; it does not say where in the file it stands."""
    found: dict[str, CodeType] = {}

    def visit(code: CodeType) -> None:
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                if constant.co_flags & inspect.CO_OPTIMIZED:  # a function, not the body of a class
                    found[constant.co_qualname] = constant.replace(co_firstlineno=1)
                else:
                    visit(constant)

    visit(compile(text, "twin", "exec"))
    return {name: code for name, code in found.items() if "<" not in name}


def _resolve(module: Any, name: str) -> tuple[Any, FunctionType]:
    """What the module holds under a qualified name, and the plain function inside."""
    held: Any = module
    for part in name.split("."):
        held = inspect.getattr_static(held, part)
    function: Any = held.fget if isinstance(held, property) else getattr(held, "__func__", held)
    return held, inspect.unwrap(function)


def _forget(held: Any) -> None:
    """Empty the cache of a function that has one."""
    if hasattr(held, "cache_clear"):
        held.cache_clear()
