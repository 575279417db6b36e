"""Compiling one function again makes the same code as compiling everything again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from vyper.exceptions import VyperException

from ballast.chain import artifacts
from ballast.mutate.campaign import copy_sources
from ballast.mutate.compiling import code, quick
from ballast.mutate.incremental import Incremental, artifact
from ballast.mutate.mutants import of_project, shuffled
from ballast.mutate.operators import OPERATORS
from ballast.mutate.syntax import Project


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A copy of all sources that a test may change, in use for the test."""
    sources, build = artifacts.SOURCES, artifacts.BUILD
    copy_sources(artifacts.ROOT, tmp_path)
    artifacts.use_sources(tmp_path)
    yield Project(tmp_path.resolve())
    artifacts.use_sources(sources)
    artifacts.BUILD = build


@pytest.mark.parametrize(("name", "seed"), [("Margin", 1), ("ChainlinkFeed", 2), ("Clearinghouse", 3)])
def test_changed_function_compiles_as_the_whole_would(project: Project, name: str, seed: int) -> None:
    """One after the other, so that none leaves anything behind for the next."""
    project = Project.read(project.root, {str(artifacts.contract_paths()[name].relative_to(project.root))})
    files = [path for path in project.deployables[name].files if path in project.sources]
    mutants = [each for each in shuffled(of_project(project, list(OPERATORS), files), seed) if each.function][:5]
    path = project.root / project.deployables[name].path
    ready, tried = Incremental(path), 0
    for mutant in mutants:
        text = mutant.applied(project.sources[mutant.path].text)
        found: bytes | None
        try:
            found = ready.apart(mutant.path, text)
        except VyperException:
            found = b""
        if found is not None:
            tried += 1
            assert code(found) == ordinary(project, path, mutant.path, text), mutant
    assert tried >= 3


def ordinary(project: Project, path: Path, changed: str, text: str) -> bytes:
    """Code by the ordinary compiler with another text of one file, b"" for an error."""
    original = (project.root / changed).read_text()
    (project.root / changed).write_text(text)
    try:
        with quick():
            return code(bytes.fromhex(artifacts._compiled(path)["bytecode"]))
    except VyperException:
        return b""
    finally:
        (project.root / changed).write_text(original)


SAFE = """# pragma version 0.4.3
LIMIT: constant(uint256) = 100
total: uint256

@external
def pay(amount: uint256) -> uint256:
    self._check(amount)
    self.total += amount
    return self.total

@internal
def _check(amount: uint256):
    assert amount <= LIMIT, "toy: too much"
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("= 100", "= 101"),
        ("def pay(amount: uint256) -> uint256", "def pay(amount: uint128) -> uint256"),
        ("@internal\n", "@internal\n@view\n"),
        ("total: uint256", "other: uint256\ntotal: uint256"),
    ],
)
def test_change_that_matters_elsewhere_is_left_to_the_ordinary_compiler(
    project: Project, before: str, after: str
) -> None:
    path = project.root / "contracts" / "Toy.vy"
    path.write_text(SAFE)
    assert Incremental(path).changed("contracts/Toy.vy", SAFE.replace(before, after)) is None


@pytest.mark.parametrize("call", ["self._other(amount)", "self._other(amount)\n    self._check(amount)", "pass"])
def test_function_that_calls_others_now(project: Project, call: str) -> None:
    path = project.root / "contracts" / "Toy.vy"
    original = (
        SAFE
        + """
@internal
def _other(amount: uint256):
    assert amount >= LIMIT, "toy: too little"

@external
def take(amount: uint256):
    self._other(amount)
"""
    )
    path.write_text(original)
    changed = original.replace("self._check(amount)", call)
    found = Incremental(path).changed("contracts/Toy.vy", changed)
    path.write_text(changed)
    assert found is not None
    assert code(found) == code(bytes.fromhex(artifacts._compiled(path)["bytecode"]))


def test_file_that_is_no_part_of_it_changes_nothing(project: Project) -> None:
    path = project.root / "contracts" / "Toy.vy"
    path.write_text(SAFE)
    ready = Incremental(path)
    assert ready.changed("contracts/Other.vy", "nonsense") == ready.bytecode


def test_nonsense_is_refused_as_by_the_compiler(project: Project) -> None:
    path = project.root / "contracts" / "Toy.vy"
    path.write_text(SAFE)
    nonsense = SAFE.replace("amount <= LIMIT", "amount <= nothing")
    ready = Incremental(path)
    for attempt in (ready.apart, ready.changed):
        with pytest.raises(VyperException, match="nothing"):
            attempt("contracts/Toy.vy", nonsense)


def test_artifact_is_what_the_compiler_would_have_stored(project: Project) -> None:
    path = project.root / "contracts" / "Toy.vy"
    path.write_text(SAFE)
    base = artifacts.load("Toy")
    found = Incremental(path).changed("contracts/Toy.vy", SAFE.replace("<= LIMIT", "< LIMIT"))
    assert found is not None
    path.write_text(SAFE.replace("<= LIMIT", "< LIMIT"))
    stored = artifact(base, found)
    ordinary = artifacts._compiled(path)
    for name in ("abi", "runtime", "layout", "deployed_size"):
        assert stored[name] == ordinary[name]
