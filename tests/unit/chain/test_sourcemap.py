"""The graph of deployed code, checked against the code itself."""

from __future__ import annotations

import pytest

from ballast.chain.artifacts import SOURCES, load
from ballast.chain.sourcemap import Kind, source_map
from ballast.fuzz.coverage import our_contracts

JUMPDEST, JUMPI = 0x5B, 0x57


@pytest.mark.parametrize("name", our_contracts())
def test_edges_are_where_the_code_says(name: str) -> None:
    """Labels name their target, conditional jumps are conditional jumps, every block but the first can be entered."""
    code, known = load(name).runtime, source_map(load(name))
    for number, edge in known.edges.items():
        assert (edge.kind is Kind.FELL) == (code[edge.target] != JUMPDEST)
        assert all(int.from_bytes(code[place : place + 2], "big") == edge.target for place in edge.labels)
        assert bool(edge.labels) != bool(edge.room)
        assert number == (edge.target if edge.kind is not Kind.TAKEN else number)
        assert (edge.kind is Kind.TAKEN) == (code[number] == JUMPI)
    everything = known.blocks_reached(known.edges)
    unentered = [block.start for block in known.blocks if block.start not in everything]
    taken = sum(edge.kind is Kind.TAKEN for edge in known.edges.values())
    assert len(unentered) <= len(known.unmeasured) <= taken // 5  # most in what loops over arrays: 18 % of CloseQueue


@pytest.mark.parametrize("name", our_contracts())
def test_every_conditional_jump_has_two_outcomes(name: str) -> None:
    known = source_map(load(name))
    taken = {number for number, edge in known.edges.items() if edge.kind is Kind.TAKEN}
    fell = {number - 1 for number, edge in known.edges.items() if edge.kind is Kind.FELL}
    assert fell | set(known.unmeasured) == taken
    assert not fell & set(known.unmeasured)


def test_lines_name_statements_of_contract_and_modules() -> None:
    known = source_map(load("Margin"))
    files = {file for file, _ in known.lines}
    modules = (
        "clearing/Margin", "clearing/requirement", "math/signed", "math/wad", "options/series",
        "pricing/black76", "pricing/scenarios", "pricing/ssvi",
    )  # fmt: skip
    assert files == {f"contracts/{name}.vy" for name in modules}
    for file, line in known.lines:
        text = (SOURCES / file).read_text().splitlines()[line - 1].strip()
        assert text
        assert not text.startswith(("#", '"""', "@notice", "import"))


def test_lines_reached_follow_from_edges() -> None:
    known = source_map(load("Margin"))
    assert known.lines_reached([]) == set()
    assert known.lines_reached(known.edges) == known.lines
    guard = next(number for number, edge in known.edges.items() if edge.check == "bad calldatasize or callvalue")
    assert known.lines_reached([guard]) < known.lines


def test_only_sources_with_calls_that_may_fail_swallow() -> None:
    assert source_map(load("PriceOracle")).swallows
    assert not source_map(load("Margin")).swallows
