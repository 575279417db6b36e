"""Contracts as Vyper itself reads them: trees with exact positions and types, and what each deployable contains."""

from __future__ import annotations

import gc
import re
import sysconfig
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import vyper.ast.parse
from vyper.ast import nodes as vy
from vyper.ast.pre_parser import PreParser
from vyper.compiler import CompilerData
from vyper.compiler.input_bundle import FilesystemInputBundle

TESTING = "testing"  # folder under contracts/ of what is never deployed for real
_IMPORT = re.compile(r"^from (contracts[\w.]*) import (\w+)", re.MULTILINE)


class _ExactPreParser(PreParser):  # type: ignore[misc]
    """Knows how far every column was moved, not only columns where a token starts.

    Vyper replaces `log`, `extcall` and `staticcall` by shorter or longer Python words and moves positions back
    afterwards, but leaves ends of expressions alone that are followed by a blank.
    """

    def parse(self, code: str) -> None:
        super().parse(code)
        starts: defaultdict[int, list[int]] = defaultdict(list)
        for line, column in self.adjustments:
            starts[line].append(column)
        for line, columns in starts.items():
            columns.sort()
            for column, following in zip(columns, [*columns[1:], columns[-1] + 200], strict=True):
                for between in range(column + 1, following):
                    self.adjustments[line, between] = self.adjustments[line, column]


@contextmanager
def _exact_positions() -> Iterator[None]:
    original = vyper.ast.parse.PreParser
    vyper.ast.parse.PreParser = _ExactPreParser
    try:
        yield
    finally:
        vyper.ast.parse.PreParser = original


@dataclass(slots=True)
class Source:
    """One .vy file. `tree` has types where a deployable contains it."""

    path: str  # from the directory that holds contracts/
    text: str
    tree: vy.Module


@dataclass(slots=True)
class Deployable:
    """A contract, the files it is made of, and the functions of each that end up in its code."""

    name: str
    path: str
    files: frozenset[str]
    functions: frozenset[tuple[str, str]]  # file, function

    @property
    def is_testing(self) -> bool:
        return Path(self.path).parts[1] == TESTING


@dataclass(slots=True)
class Project:
    """Everything under contracts/, read once."""

    root: Path
    sources: dict[str, Source] = field(default_factory=dict)
    deployables: dict[str, Deployable] = field(default_factory=dict)
    functions: set[str] = field(default_factory=set)  # names defined anywhere, libraries included

    @classmethod
    def read(cls, root: Path, only: Collection[str] | None = None) -> Project:
        """Parse and type-check the deployables under root/contracts that contain one of these files, or all of them.

        Raises VyperException.
        """
        project = cls(root.resolve())
        paths = [path for path in sorted(project.root.glob("contracts/**/*.vy")) if path.stem[0].isupper()]
        gc.disable()  # it would walk every tree again and again: a third of the time
        try:
            # what is deployed for real gives the types of the modules that it shares with test support
            for path in sorted(paths, key=lambda path: TESTING in path.parts):
                if only is None or not project._closure(path).isdisjoint(only):
                    project._analyse(path)
        finally:
            gc.enable()
        return project

    def dependents(self, path: str, function: str | None = None) -> list[Deployable]:
        """What contains a file, or a function of it, and is deployed; test support only if nothing else does."""
        found = [each for each in self.deployables.values() if path in each.files]
        if function is not None:
            found = [each for each in found if (path, function) in each.functions] or found
        return [each for each in found if not each.is_testing] or found

    def containing(self, path: str) -> list[Deployable]:
        """Every deployable made of this file, test support included."""
        return [each for each in self.deployables.values() if path in each.files]

    def _closure(self, path: Path) -> set[str]:
        """The file and what it imports, by the import lines alone."""
        found: set[Path] = set()
        stack = [path]
        while stack:
            each = stack.pop()
            if each in found or not each.is_file():
                continue
            found.add(each)
            for folder, name in _IMPORT.findall(each.read_text()):
                stack.append(self.root.joinpath(*folder.split("."), f"{name}.vy"))
        return {str(each.relative_to(self.root)) for each in found}

    def _analyse(self, path: Path) -> None:
        bundle = FilesystemInputBundle([Path(sysconfig.get_path("purelib")), self.root])
        file = bundle.load_file(str(path.relative_to(self.root)))
        data = CompilerData(file, bundle)
        with _exact_positions():
            module = data.annotated_vyper_module._metadata["type"]
        trees = dict(self._modules(module))
        for name, tree in trees.items():
            if name not in self.sources and name.endswith(".vy"):
                self.sources[name] = Source(name, tree.full_source_code, tree)
        used = {(self._name(function.decl_node.module_node), function.name) for function in _functions(module)}
        self.deployables[path.stem] = Deployable(
            path.stem,
            str(path.relative_to(self.root)),
            frozenset(trees),
            frozenset((name, function) for name, function in used if name is not None),
        )

    def _modules(self, module: Any) -> Iterator[tuple[str, vy.Module]]:
        """The module's tree and those it imports, of this project."""
        seen: set[int] = set()
        stack = [module]
        while stack:
            each = stack.pop()
            if id(each) in seen:
                continue
            seen.add(id(each))
            self.functions.update(function.name for function in each.function_defs)
            name = self._name(each.decl_node)
            if name is not None:
                yield name, each.decl_node
            stack += [info.module_t for info in each.imported_modules.values()]

    def _name(self, tree: Any) -> str | None:
        resolved = Path(tree.resolved_path)
        return str(resolved.relative_to(self.root)) if resolved.is_relative_to(self.root) else None


def _functions(module: Any) -> Iterator[Any]:
    """The functions of a contract that its code contains."""
    entries = list(module.exposed_functions)
    if module.init_function is not None:
        entries.append(module.init_function)
    for entry in entries:
        if entry.decl_node is None or not isinstance(entry.decl_node, vy.FunctionDef):
            continue  # a public variable's getter
        yield entry
        yield from entry.reachable_internal_functions
