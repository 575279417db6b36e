"""Compiled contracts: every CamelCase.vy under contracts/, interfaces, and artifacts published on npm.

Compilation runs in-process with the settings in each file's pragmas. Results are cached in .build/ under the hash of
every source in the import closure, so an unchanged contract is never compiled twice, whichever process asks.

BALLAST_SOURCES names another directory to take contracts/ and interfaces/ from: a changed copy can be tested without
touching the repository, and has its own cache.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sysconfig
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ballast.chain.codec import Arguments, EventType, Function, Json

ROOT = Path(__file__).resolve().parents[2]
SOURCES = Path(os.environ.get("BALLAST_SOURCES", ROOT)).resolve()
BUILD = Path(os.environ.get("BALLAST_BUILD", SOURCES / ".build"))
SIZE_LIMIT = 22_000  # bytes of deployed code; our own limit, below the EVM's 24,576
_FORMAT = "vyper-0.4.3/3"  # part of every cache key: raise the last number when the stored fields change


class UnknownContract(LookupError):
    """No contract or interface of that name."""


class CompilationFailed(ValueError):
    """The compiler's own message, with file and line."""


@dataclass(frozen=True, slots=True, eq=False)
class Artifact:
    """A compiled contract. `runtime` lacks the immutables; `deployed_size` [bytes] counts them."""

    name: str
    abi: list[Json]
    bytecode: bytes
    runtime: bytes
    layout: Json
    source_path: Path | None
    deployed_size: int
    functions: dict[str, list[Function]] = field(init=False, repr=False)
    events: dict[tuple[bytes, int], EventType] = field(init=False, repr=False)
    constructor: Arguments = field(init=False, repr=False)

    def __post_init__(self) -> None:
        functions: dict[str, list[Function]] = {}
        events: dict[tuple[bytes, int], EventType] = {}
        constructor = Arguments([])
        for entry in self.abi:
            if entry["type"] == "function":
                function = Function(entry)
                functions.setdefault(function.name, []).append(function)
            elif entry["type"] == "event" and not entry.get("anonymous"):
                event = EventType(entry)
                events[event.topic, event.topic_count] = event
            elif entry["type"] == "constructor":
                constructor = Arguments(entry["inputs"])
        object.__setattr__(self, "functions", functions)
        object.__setattr__(self, "events", events)
        object.__setattr__(self, "constructor", constructor)


@cache
def contract_paths() -> dict[str, Path]:
    """Deployable contracts by name; two of the same name are an error."""
    found: dict[str, Path] = {}
    for path in sorted((SOURCES / "contracts").rglob("[A-Z]*.vy")):
        if path.stem in found:
            raise ValueError(f"two contracts are called {path.stem}: {found[path.stem]} and {path}")
        found[path.stem] = path
    return found


def _source_of(name: str) -> Path:
    if name.endswith((".vy", ".vyi")):
        path = SOURCES / name
        if path.is_file():
            return path
    elif name in contract_paths():
        return contract_paths()[name]
    elif (path := SOURCES / "interfaces" / f"{name}.vyi").is_file():
        return path
    raise UnknownContract(f"no contract {name!r} under contracts/ and no interface of that name")


@cache
def load(name: str) -> Artifact:
    """The artifact of a contract or interface name (or of a path from SOURCES), compiled if needed."""
    path = _source_of(name)
    relative = path.relative_to(SOURCES)
    stored = cached("vyper", relative, _FORMAT, lambda: _compile(path))
    return Artifact(
        name=path.stem,
        abi=stored["abi"],
        bytecode=bytes.fromhex(stored["bytecode"]),
        runtime=bytes.fromhex(stored["runtime"]),
        layout=stored["layout"],
        source_path=relative,
        deployed_size=stored["deployed_size"],
    )


@cache
def npm(path: str, libraries: tuple[tuple[str, str], ...] = ()) -> Artifact:
    """An artifact published in an npm package, e.g. "@uniswap/v3-core/artifacts/contracts/…/UniswapV3Pool.json".

    `libraries` are names and addresses of the Solidity libraries it is linked with; KeyError if one is missing.
    """
    file = ROOT / "node_modules" / path
    if not file.is_file():
        raise UnknownContract(f"node_modules/{path} is missing; run `make install`")
    document = json.loads(file.read_text())
    runtime = _linked(document["deployedBytecode"], document["deployedLinkReferences"], dict(libraries))
    return Artifact(
        name=document["contractName"],
        abi=document["abi"],
        bytecode=_linked(document["bytecode"], document["linkReferences"], dict(libraries)),
        runtime=runtime,
        layout={},
        source_path=None,
        deployed_size=len(runtime),
    )


def _linked(code: str, references: Json, libraries: dict[str, str]) -> bytes:
    """Bytecode with the addresses of its libraries in their places."""
    digits = code.removeprefix("0x")
    for names in references.values():
        for name, places in names.items():
            for place in places:
                start, end = 2 * place["start"], 2 * (place["start"] + place["length"])
                digits = digits[:start] + libraries[name].removeprefix("0x").lower() + digits[end:]
    return bytes.fromhex(digits)


def cached(kind: str, source: Path, form: str, make: Callable[[], Json]) -> Json:
    """What `make` makes of a source file, kept in .build/ until a source in its import closure or `form` changes.

    The result names these "sources" with their digests, as `compiler_data` gives them.
    """
    slot = BUILD / kind / f"{'-'.join(source.with_suffix('').parts)}{source.suffix}.json"
    stored = _read_fresh(slot, form)
    if stored is None:
        with _locked(slot):
            stored = _read_fresh(slot, form)
            if stored is None:
                stored = make() | {"format": form}
                _write(slot, stored)
    return stored


def compiler_data(source: Path) -> tuple[Any, dict[str, str]]:
    """The compiler's `CompilerData` of a file below SOURCES, and the digest of every source in its import closure.

    Vyper is imported here because it alone takes half a second.
    """
    from vyper.compiler import CompilerData
    from vyper.compiler.input_bundle import FilesystemInputBundle

    bundle = FilesystemInputBundle([Path(sysconfig.get_path("purelib")), SOURCES])
    file = bundle.load_file(str(source))
    data = CompilerData(file, bundle)
    imports = [source for source in data.resolved_imports.compiler_inputs if not source.from_builtin]
    return data, {source_key(str(item.resolved_path)): _digest(item.contents.encode()) for item in [file, *imports]}


def source_key(path: str) -> str:
    """Paths beside the contracts are named relative to them, so that a moved or copied tree stays warm."""
    absolute = Path(path).resolve()
    return str(absolute.relative_to(SOURCES) if absolute.is_relative_to(SOURCES) else absolute)


def use_sources(directory: Path) -> None:
    """Take contracts/ and interfaces/ from `directory` from now on, as if BALLAST_SOURCES had named it."""
    global SOURCES, BUILD
    SOURCES = directory.resolve()
    BUILD = SOURCES / ".build"
    for known in (contract_paths, load, _current_digest):
        known.cache_clear()


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


@cache
def _current_digest(path: str) -> str | None:
    try:
        return _digest(Path(path).read_bytes())
    except FileNotFoundError:
        return None


def _read_fresh(slot: Path, form: str) -> Json | None:
    """The stored result, if it was made from exactly the sources now on disk."""
    try:
        stored: Json = json.loads(slot.read_bytes())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    if stored.get("format") != form:
        return None
    sources: dict[str, str] = stored["sources"]
    fresh = all(_current_digest(str(SOURCES / path)) == digest for path, digest in sources.items())
    return stored if fresh else None


@contextmanager
def _locked(slot: Path) -> Iterator[None]:
    slot.parent.mkdir(parents=True, exist_ok=True)
    with slot.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(slot: Path, stored: Json) -> None:
    with tempfile.NamedTemporaryFile("w", dir=slot.parent, delete=False) as file:
        json.dump(stored, file)
    os.replace(file.name, slot)


def _compile(path: Path) -> Json:
    from vyper.exceptions import VyperException
    from vyper.warnings import VyperWarning

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", VyperWarning)
            return _compiled(path)
    except (VyperException, VyperWarning) as error:
        raise CompilationFailed(f"{path.relative_to(SOURCES)}: {type(error).__name__}: {error}") from None


def _compiled(path: Path) -> Json:
    import cbor2
    from vyper.compiler import outputs_from_compiler_data

    data, sources = compiler_data(path.relative_to(SOURCES))
    stored: Json = {"sources": sources, "bytecode": "", "runtime": "", "layout": {}, "deployed_size": 0}
    if path.suffix == ".vyi":
        return stored | {"abi": outputs_from_compiler_data(data, ["abi"])["abi"]}
    out: dict[str, Any] = outputs_from_compiler_data(data, ["abi", "bytecode", "bytecode_runtime", "layout"])
    bytecode = bytes.fromhex(out["bytecode"].removeprefix("0x"))
    trailer = int.from_bytes(bytecode[-2:], "big")
    _, runtime_size, _, immutables_size, _ = cbor2.loads(bytecode[-trailer:-2])
    return stored | {
        "abi": out["abi"],
        "bytecode": bytecode.hex(),
        "runtime": out["bytecode_runtime"].removeprefix("0x"),
        "layout": out["layout"],
        "deployed_size": runtime_size + immutables_size,
    }
