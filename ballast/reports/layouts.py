"""Where every deployable keeps what: storage, transient storage and immutables, one line a variable.

Explorers, the verifier and the fuzzer's decoders read these slots, so a change is to be seen and meant: a test compares
with tests/golden/layouts, `python -m scripts.report layouts` writes them anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ballast.chain.artifacts import ROOT, Artifact, contract_paths, load

GOLDEN = ROOT / "tests" / "golden" / "layouts"
_SECTIONS = {"storage_layout": "storage", "transient_storage_layout": "transient", "code_layout": "immutable"}


def measure() -> dict[str, str]:
    """The layout of every deployable, by name."""
    return {
        name: layout_of(load(name)) for name, path in sorted(contract_paths().items()) if "testing" not in path.parts
    }


def layout_of(artifact: Artifact) -> str:
    """`section place length type name` by place; places and lengths are slots, of immutables bytes."""
    lines = []
    for section, title in _SECTIONS.items():
        found = sorted(_variables(artifact.layout.get(section, {}), ""))
        lines += [f"{title} {place} {length} {kind} {name}\n" for place, length, kind, name in found]
    return "".join(lines)


def _variables(layout: Any, within: str) -> Iterator[tuple[int, int, str, str]]:
    for name, entry in layout.items():
        if "type" in entry and not isinstance(entry["type"], dict):
            place = entry.get("slot", entry.get("offset"))
            yield place, entry.get("n_slots", entry.get("length")), entry["type"], within + name
        else:
            yield from _variables(entry, f"{within}{name}.")


def write(layouts: dict[str, str], folder: Path = GOLDEN) -> None:
    """Keep them, and nothing of contracts that are gone."""
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*.txt"):
        stale.unlink()
    for name, layout in layouts.items():
        (folder / f"{name}.txt").write_text(layout)


def changed(layouts: dict[str, str], folder: Path = GOLDEN) -> list[str]:
    """Contracts whose layout is not the one kept."""
    kept = {path.stem: path.read_text() for path in folder.glob("*.txt")}
    return sorted(name for name in kept.keys() | layouts.keys() if kept.get(name) != layouts.get(name))
