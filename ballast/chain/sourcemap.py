"""Deployed code as a graph: its basic blocks, the source lines each comes from, and the edges on which control enters.

Made from the compiler's own assembly, which knows what is code, what is a label and what is data; the bytes alone do
not. An edge is named by the position (pc) of the instruction that decides it, so an id is good for one version of the
code only.
"""

from __future__ import annotations

import sysconfig
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum, auto
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from ballast.chain.artifacts import Artifact, cached, compiler_data, source_key
from ballast.chain.codec import Json

_FORMAT = "sourcemap/2"  # raise the number when the stored fields change
_ENDS = ("JUMP", "JUMPI", "STOP", "RETURN", "REVERT", "INVALID", "SELFDESTRUCT")
_LABEL = 2  # bytes of a code position, behind PUSH2 and in tables of the data section
SHORTEST_FELL, SHORTEST_START = 4, 5  # bytes that a trap overwrites: PUSH2 position JUMP, behind a JUMPDEST for START

Line = tuple[str, int]  # source file from the root of the sources, line number


class Kind(StrEnum):
    """How control enters a block."""

    TAKEN = auto()  # a JUMPI jumps; the id is its pc
    FELL = auto()  # a JUMPI does not jump; the id is the pc behind it
    ENTRY = auto()  # other jumps: functions, returns, loops, joins; the id is the pc of the JUMPDEST
    START = auto()  # any way at all into a block behind one too short for FELL; the id is the pc of the JUMPDEST


@dataclass(frozen=True, slots=True)
class Edge:
    """A way into the block at `target`. A trap on it replaces `labels`, the positions in the code of the two bytes that
    name the target; where there are none, `room` bytes from the target on, which are whole instructions: the rest of a
    push would be read as instructions, and could hide jump targets.

    `check` is what the compiler calls a test of its own (overflow, bounds, calldata) whose failure this edge is.
    """

    kind: Kind
    target: int
    labels: tuple[int, ...] = ()
    room: int = 0
    check: str | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """Instructions that run one after the other; `falls` if control may go on into the next block by itself."""

    start: int
    falls: bool
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class SourceMap:
    """One contract's code. `swallows` says that the sources contain a call whose failure the caller may ignore."""

    name: str
    swallows: bool
    blocks: tuple[Block, ...]
    edges: dict[int, Edge]  # by id
    unmeasured: tuple[int, ...]  # pcs behind a JUMPI where a block is too short for a trap
    lines: frozenset[Line] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "lines", frozenset(line for block in self.blocks for line in block.lines))

    def blocks_reached(self, edges: Iterable[int]) -> set[int]:
        """Starts of the blocks that control has entered if it took exactly these edges."""
        entered = {self.edges[edge].target for edge in edges}
        if not entered:
            return set()
        reached = {0}
        for block, following in zip(self.blocks, [*self.blocks[1:], None], strict=True):
            if block.start in entered:
                reached.add(block.start)
            if block.falls and block.start in reached and following is not None:
                reached.add(following.start)
        return reached

    def lines_reached(self, edges: Iterable[int]) -> set[Line]:
        """Source lines of which some instruction has run."""
        reached = self.blocks_reached(edges)
        return {line for block in self.blocks if block.start in reached for line in block.lines}


@cache
def source_map(artifact: Artifact) -> SourceMap:
    """The map of a compiled Vyper contract, from the cache beside its artifact."""
    assert artifact.source_path is not None, f"{artifact.name} has no source"
    found = cached("maps", artifact.source_path, _FORMAT, lambda: _mapped(artifact))
    files: list[str] = found["files"]
    return SourceMap(
        name=artifact.name,
        swallows=found["swallows"],
        blocks=tuple(
            Block(start, falls, tuple((files[file], line) for file, line in lines))
            for start, falls, lines in found["blocks"]
        ),
        edges={
            number: Edge(Kind(kind), target, tuple(labels), room, check)
            for number, kind, target, labels, room, check in found["edges"]
        },
        unmeasured=tuple(found["unmeasured"]),
    )


@dataclass(frozen=True, slots=True)
class _Instruction:
    pc: int
    op: str
    label: str | None  # what a push of a code position names
    line: Line | None
    error: str | None  # the compiler's name of the check it belongs to


def _mapped(artifact: Artifact) -> Json:
    """Compile once more, which the artifact does not remember in this detail."""
    from vyper.ir.compile_ir import assembly_to_evm_with_symbol_map

    assert artifact.source_path is not None
    data, sources = compiler_data(artifact.source_path)
    assembly = data.assembly_runtime
    code, notes, positions = assembly_to_evm_with_symbol_map(assembly)
    if code != artifact.runtime:
        raise ValueError(f"{artifact.name}: the compiler gave two different codes for one source")
    instructions, labels = _listing(assembly, notes)
    blocks = _blocks(instructions)
    edges, unmeasured = _edges(instructions, blocks, labels, positions)
    files = sorted({line[0] for block in blocks for line in block.lines})
    number = {file: i for i, file in enumerate(files)}
    texts = (source.contents for source in data.resolved_imports.compiler_inputs)
    return {
        "sources": sources,
        "files": files,
        "swallows": any("revert_on_failure" in text for text in [data.file_input.contents, *texts]),
        "blocks": [[b.start, b.falls, [[number[file], line] for file, line in b.lines]] for b in blocks],
        "edges": [
            [pc, edge.kind, edge.target, edge.labels, edge.room, edge.check] for pc, edge in sorted(edges.items())
        ],
        "unmeasured": unmeasured,
    }


def _listing(assembly: list[Any], notes: dict[str, Any]) -> tuple[list[_Instruction], dict[str, list[int]]]:
    """Instructions with their positions, and by label the positions of the two bytes wherever code or data name it.

    Walks the assembly as vyper.ir.compile_ir.assembly_to_evm_with_symbol_map does in 0.4.3.
    """
    from vyper.ir.compile_ir import is_ofst, is_symbol, is_symbol_map_indicator

    nodes, errors = notes["pc_raw_ast_map"], notes["error_map"]
    listing: list[_Instruction] = []
    labels: dict[str, list[int]] = defaultdict(list)
    pc, i = 0, 0
    while i < len(assembly):
        item = assembly[i]
        i += 1
        if item == "DEBUG":
            continue
        if isinstance(item, list):  # a data section: a header, then bytes, and labels as two bytes
            for word in item[1:]:
                if is_symbol(word):
                    labels[word].append(pc)
                pc += _LABEL if is_symbol(word) else len(word) if isinstance(word, bytes) else 1
        elif isinstance(item, int):
            pc += 1  # of a push
        elif is_symbol(item) and is_symbol_map_indicator(assembly[i]):
            continue  # defines the position that follows
        elif is_symbol(item):
            labels[item].append(pc + 1)
            listing.append(_Instruction(pc, "PUSH2", str(item), _line(nodes.get(pc)), errors.get(pc)))
            pc += 1 + _LABEL
        elif is_ofst(item):
            listing.append(_Instruction(pc, "PUSH2", None, _line(nodes.get(pc)), errors.get(pc)))
            pc += 1 + _LABEL
            i += 2
        else:
            listing.append(_Instruction(pc, str(item).upper(), None, _line(nodes.get(pc)), errors.get(pc)))
            pc += 1
    return listing, labels


def _line(node: Any) -> Line | None:
    """Where a node of the syntax tree stands."""
    return None if node is None else (_file(str(node.module_node.resolved_path)), int(node.lineno))


@cache
def _file(path: str) -> str:
    """Libraries are named from their own root."""
    key = source_key(path)
    library = sysconfig.get_path("purelib")
    return str(Path(key).relative_to(library)) if key.startswith(library) else key


def _blocks(instructions: list[_Instruction]) -> list[Block]:
    """The code cut before every JUMPDEST and behind every instruction that ends a run."""
    runs: list[list[_Instruction]] = [[]]
    for instruction in instructions:
        if runs[-1] and (instruction.op == "JUMPDEST" or runs[-1][-1].op in _ENDS):
            runs.append([])
        runs[-1].append(instruction)
    return [
        Block(run[0].pc, run[-1].op not in _ENDS, tuple(dict.fromkeys(i.line for i in run if i.line is not None)))
        for run in runs
    ]


def _edges(
    instructions: list[_Instruction], blocks: list[Block], labels: dict[str, list[int]], positions: dict[str, int]
) -> tuple[dict[int, Edge], list[int]]:
    """Every edge by id, and the JUMPIs behind which a block is too short for a trap."""
    dests = [i.pc for i in instructions if i.op == "JUMPDEST"]
    pcs = [i.pc for i in instructions]
    last = pcs[-1]  # the end of the code, or a few bytes of immediate before it
    by_start = {block.start: block for block in blocks}
    reverting = _reverting(instructions)

    def next_dest(pc: int) -> int:
        """A trap may overwrite what lies before it."""
        place = bisect_right(dests, pc)
        return dests[place] if place < len(dests) else last

    def room(pc: int, least: int) -> int:
        """Bytes of the fewest instructions from here on that are long enough."""
        return pcs[bisect_left(pcs, pc + least)] - pc

    edges: dict[int, Edge] = {}
    unmeasured: list[int] = []
    entries = {positions[name]: set(where) for name, where in labels.items() if positions[name] in dests}
    for push, jump in pairwise(instructions):
        if jump.op != "JUMPI":
            continue
        if push.label is None:
            raise ValueError(f"the conditional jump at {jump.pc} has no label for a target")
        target, behind = positions[push.label], jump.pc + 1
        entries[target].discard(push.pc + 1)
        own = jump.error if target in reverting and jump.error and not jump.error.startswith("user") else None
        edges[jump.pc] = Edge(Kind.TAKEN, target, (push.pc + 1,), check=own)
        if behind not in dests and next_dest(behind) - behind >= SHORTEST_FELL:
            edges[behind] = Edge(Kind.FELL, behind, room=room(behind, SHORTEST_FELL))
            continue
        unmeasured.append(jump.pc)
        join: int | None = behind
        while join is not None and (join not in dests or next_dest(join) - join < SHORTEST_START):
            join = next_dest(join) if by_start[join].falls else None  # a return ends the search: its target is an entry
        if join is not None:
            edges[join] = Edge(Kind.START, join, room=room(join, SHORTEST_START))
    for target, where in entries.items():
        if where and target not in edges:
            edges[target] = Edge(Kind.ENTRY, target, tuple(sorted(where)))
    return edges, unmeasured


def _reverting(instructions: list[_Instruction]) -> set[int]:
    """Blocks that do nothing but revert without data."""
    found = set()
    for i in range(len(instructions) - 3):
        if [instruction.op for instruction in instructions[i : i + 4]] == ["JUMPDEST", "PUSH0", "DUP1", "REVERT"]:
            found.add(instructions[i].pc)
    return found
