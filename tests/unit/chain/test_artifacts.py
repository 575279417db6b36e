"""Compilation is cached by content, and safe when several processes ask at once."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from ballast.chain import artifacts, build

SOURCE = """
# pragma version 0.4.3
# pragma evm-version cancun
from contracts import shelf

LIMIT: immutable(uint256)

@deploy
def __init__(limit: uint256):
    LIMIT = limit

@external
@view
def size() -> uint256:
    return shelf.SIZE + LIMIT
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "contracts").mkdir()
    (tmp_path / "interfaces").mkdir()
    (tmp_path / "contracts" / "Cupboard.vy").write_text(SOURCE)
    (tmp_path / "contracts" / "shelf.vy").write_text("# pragma version 0.4.3\nSIZE: constant(uint256) = 3\n")
    (tmp_path / "interfaces" / "ICupboard.vyi").write_text("@external\n@view\ndef size() -> uint256: ...\n")
    monkeypatch.setattr(artifacts, "SOURCES", tmp_path)
    monkeypatch.setattr(artifacts, "BUILD", tmp_path / ".build")
    forget()
    yield tmp_path
    forget()


def forget() -> None:
    """What a new process would know."""
    for cached in (artifacts.load, artifacts.contract_paths, artifacts._current_digest):
        cached.cache_clear()


def compilations(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    done: list[Path] = []
    original = artifacts._compile
    monkeypatch.setattr(artifacts, "_compile", lambda path: (done.append(path), original(path))[1])
    return done


def test_load_unchanged_sources_compiles_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = compilations(monkeypatch)
    first = artifacts.load("Cupboard")
    forget()
    second = artifacts.load("Cupboard")
    assert len(done) == 1
    assert (first.bytecode, first.abi, first.layout) == (second.bytecode, second.abi, second.layout)
    assert first.deployed_size == len(first.runtime) + 32


def test_load_changed_import_compiles_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = compilations(monkeypatch)
    first = artifacts.load("Cupboard")
    forget()
    (project / "contracts" / "shelf.vy").write_text("# pragma version 0.4.3\nSIZE: constant(uint256) = 4\n")
    assert artifacts.load("Cupboard").runtime != first.runtime
    assert len(done) == 2


def test_use_sources_compiles_the_copy_and_leaves_the_original(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = artifacts.load("Cupboard")
    copy = tmp_path_factory.mktemp("copy")
    shutil.copytree(project, copy, dirs_exist_ok=True)
    done = compilations(monkeypatch)
    artifacts.use_sources(copy)
    assert artifacts.load("Cupboard").runtime == first.runtime
    assert not done
    (copy / "contracts" / "shelf.vy").write_text("# pragma version 0.4.3\nSIZE: constant(uint256) = 4\n")
    artifacts.use_sources(copy)
    assert artifacts.load("Cupboard").runtime != first.runtime
    artifacts.use_sources(project)
    assert artifacts.load("Cupboard").runtime == first.runtime
    assert len(done) == 1


def test_load_damaged_cache_compiles_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = compilations(monkeypatch)
    artifacts.load("Cupboard")
    forget()
    for slot in (project / ".build").rglob("*.json"):
        slot.write_text('{"format": ')
    assert json.loads(json.dumps(artifacts.load("Cupboard").abi))
    assert len(done) == 2


def test_load_interface_has_abi_but_no_code(project: Path) -> None:
    interface = artifacts.load("ICupboard")
    assert interface.bytecode == b""
    assert set(interface.functions) == {"size"}


def test_load_broken_source_names_file_and_line(project: Path) -> None:
    (project / "contracts" / "Cupboard.vy").write_text(SOURCE.replace("shelf.SIZE", "shelf.DEPTH"))
    with pytest.raises(artifacts.CompilationFailed, match=r"contracts/Cupboard.vy.*line 15"):
        artifacts.load("Cupboard")


def test_load_a_warning_of_the_compiler_is_an_error(project: Path) -> None:
    (project / "contracts" / "Shifty.vy").write_text(
        "# pragma version 0.4.3\n\n@external\ndef f() -> uint256:\n    return shift(1, 2)\n"
    )
    with pytest.raises(artifacts.CompilationFailed, match=r"contracts/Shifty.vy: .*deprecated"):
        artifacts.load("Shifty")


def test_load_unknown_name_raises_unknown_contract(project: Path) -> None:
    with pytest.raises(artifacts.UnknownContract):
        artifacts.load("Wardrobe")


def test_contract_paths_duplicate_name_raises(project: Path) -> None:
    (project / "contracts" / "old").mkdir()
    (project / "contracts" / "old" / "Cupboard.vy").write_text(SOURCE)
    with pytest.raises(ValueError, match="two contracts are called Cupboard"):
        artifacts.contract_paths()


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_build_prints_sizes_and_what_does_not_compile(project: Path, jobs: str) -> None:
    (project / "contracts" / "Broken.vy").write_text("x: uint257\n")
    answer = CliRunner(mix_stderr=False).invoke(build.main, ["--jobs", jobs])
    assert answer.exit_code == 1
    assert "Cupboard" in answer.stdout
    assert "Broken: CompilationFailed" in answer.stderr
    kept = {path.parent.name for path in (project / ".build").rglob("*Cupboard.vy.json")}
    assert kept == {"vyper", "maps"}
