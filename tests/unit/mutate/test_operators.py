"""Operators produce what they say, and nothing that is not Vyper at its place."""

from __future__ import annotations

import pytest
from vyper.ast import parse_to_ast

from ballast.chain.artifacts import ROOT
from ballast.mutate.mutants import of_project
from ballast.mutate.operators import OPERATORS, OPTIONAL
from ballast.mutate.syntax import Project
from tests.unit.mutate.conftest import Bench

FUNCTION = """
x: uint256
y: int256

@external
def act(a: uint256, b: uint256, c: int256) -> uint256:
    {}
    return a
"""

CASES = [
    ("arith", "self.x = a + b", {"self.x = a - b"}),
    ("arith", "self.x = a // b", {"self.x = a * b"}),
    ("arith", "self.x += a", {"self.x -= a"}),
    ("arith", "self.x = unsafe_add(a, b)", {"self.x = unsafe_sub(a, b)"}),
    ("arith", "self.x = b - a * b", {"self.x = b + a * b", "self.x = b - (a // b)"}),
    ("bits", "self.x = a & ~b", {"self.x = a | ~b", "self.x = a & b"}),
    ("bits", "self.x |= a << 8", {"self.x &= a << 8", "self.x |= a >> 8"}),
    ("compare", "assert a == b", {"assert a != b"}),
    ("compare", "assert a < b", {"assert a >= b"}),
    ("boundary", "assert a < b", {"assert a <= b"}),
    ("boundary", "assert a >= b", {"assert a > b"}),
    ("wei", "self.x = a // b", {"self.x = (a // b + 1)"}),
    ("delete", 'assert a < b, "why"', {"pass"}),
    ("delete", "self.x = a", {"pass"}),
    ("delete", "d: uint256 = a", {"d: uint256 = empty(uint256)"}),
    ("delete", "d: uint256 = 0", set()),
    ("sign", "self.y = c * c", {"self.y = -(c * c)"}),
    ("sign", "self.y = -c", {"self.y = c"}),
    ("sign", "self.x = a", set()),
    ("const", "self.x = a + 7", {"self.x = a + 8", "self.x = a + 6"}),
    ("const", "self.x = a * 10**18", {"self.x = a * 10**19"}),
    ("const", "self.y = c + 0", {"self.y = c + 1", "self.y = c + -1"}),
    ("const", "self.x = convert(c, uint256)", set()),
    ("negate", "assert a < b and b < 9", {"assert a < b or b < 9", "assert not (a < b and b < 9)"}),
    ("negate", "assert not (a < b)", {"assert (a < b)"}),
    ("minmax", "self.x = min(a, b)", {"self.x = max(a, b)"}),
    ("clamp", "self.x = min(a, b)", {"self.x = (a)", "self.x = (b)"}),
    ("unsafe", "self.x = a - b", {"self.x = unsafe_sub(a, b)"}),
    ("unsafe", "self.x -= b", {"self.x = unsafe_sub(self.x, b)"}),
    ("unsafe", "self.y = c - c", set()),
    ("overflow", "self.x = a * b", {"self.x = unsafe_mul(a, b)"}),
    ("overflow", "self.x = unsafe_div(a, b)", {"self.x = ((a) // (b))"}),
]


@pytest.mark.parametrize(("operator", "line", "expected"), CASES)
def test_operator_changes_a_line_as_documented(bench: Bench, operator: str, line: str, expected: set[str]) -> None:
    assert bench.changes(FUNCTION.format(line), operator) == {(line, after) for after in expected}


def test_round_swaps_a_function_for_its_opposite_and_wei_adds_to_it(bench: Bench) -> None:
    text = """
@internal
@pure
def _half_down(x: uint256) -> uint256:
    return x // 2

@internal
@pure
def _half_up(x: uint256) -> uint256:
    return (x + 1) // 2

@internal
@pure
def _lonely_up(x: uint256) -> uint256:
    return x

@external
@pure
def act(x: uint256) -> uint256:
    return self._half_up(x) + self._lonely_up(x)
"""
    line = "return self._half_up(x) + self._lonely_up(x)"
    assert bench.changes(text, "round") == {(line, "return self._half_down(x) + self._lonely_up(x)")}
    assert (line, "return (self._half_up(x) + 1) + self._lonely_up(x)") in bench.changes(text, "wei")


def test_swap_exchanges_neighbours_of_one_type_only(bench: Bench) -> None:
    text = """
struct Point:
    x: uint256
    y: uint256
    owner: address

@internal
@pure
def _make(x: uint256, y: uint256, owner: address) -> Point:
    return Point(x=x, y=y, owner=owner)

@external
@pure
def act(x: uint256, y: uint256) -> Point:
    return self._make(x, y, empty(address))
"""
    assert bench.changes(text, "swap") == {
        ("return Point(x=x, y=y, owner=owner)", "return Point(x=y, y=x, owner=owner)"),
        ("return self._make(x, y, empty(address))", "return self._make(y, x, empty(address))"),
    }


def test_swap_leaves_arguments_alone_whose_order_does_not_matter(bench: Bench) -> None:
    text = """
@internal
@pure
def _mul_div(x: uint256, y: uint256, z: uint256) -> uint256:
    if z == 0:
        raise "zero"
    return (x * y + z - 1) // z

@internal
@pure
def _share(part: uint256, whole: uint256, of: uint256) -> uint256:
    return self._mul_div(of, part, whole)

@internal
@pure
def _gap(x: uint256, y: uint256) -> uint256:
    return max(x, y) - min(y, x)

@external
@pure
def act(a: uint256, b: uint256, d: uint256) -> uint256:
    return self._mul_div(a, b, d) + self._share(a, b, d) + self._gap(a, b)
"""
    assert bench.changes(text, "swap") == {
        (line, line.replace(before, after))
        for line, before, after in [
            ("return self._mul_div(of, part, whole)", "part, whole", "whole, part"),
            (
                "return self._mul_div(a, b, d) + self._share(a, b, d) + self._gap(a, b)",
                "_mul_div(a, b, d)",
                "_mul_div(a, d, b)",
            ),
            (
                "return self._mul_div(a, b, d) + self._share(a, b, d) + self._gap(a, b)",
                "_share(a, b, d)",
                "_share(b, a, d)",
            ),
            (
                "return self._mul_div(a, b, d) + self._share(a, b, d) + self._gap(a, b)",
                "_share(a, b, d)",
                "_share(a, d, b)",
            ),
        ]
    }


def test_role_drops_and_replaces_flags_and_deletes_checks(bench: Bench) -> None:
    text = """
flag Role:
    OWNER
    GUARDIAN
    KEEPER

roles: HashMap[address, Role]

@external
def act():
    self._check(Role.OWNER | Role.GUARDIAN)

@internal
@view
def _check(allowed: Role):
    assert self.roles[msg.sender] in allowed
"""
    line = "self._check(Role.OWNER | Role.GUARDIAN)"
    assert bench.changes(text, "role") == {
        (line, "pass"),
        (line, "self._check(Role.OWNER)"),
        (line, "self._check(Role.GUARDIAN)"),
        (line, "self._check(Role.KEEPER | Role.GUARDIAN)"),
        (line, "self._check(Role.OWNER | Role.KEEPER)"),
    }


def test_log_and_external_calls_are_found_at_their_place(bench: Bench) -> None:
    text = """
from ethereum.ercs import IERC20

event Moved:
    amount: uint256

@external
def act(token: IERC20, amount: uint256):
    before: uint256 = staticcall token.balanceOf(self) + amount - 1
    assert extcall token.transfer(msg.sender, amount, default_return_value=True)
    extcall token.approve(msg.sender, amount)
    log Moved(amount=before)
"""
    assert bench.changes(text, "arith") == {
        (
            "before: uint256 = staticcall token.balanceOf(self) + amount - 1",
            "before: uint256 = (staticcall token.balanceOf(self) - amount) - 1",
        ),
        (
            "before: uint256 = staticcall token.balanceOf(self) + amount - 1",
            "before: uint256 = staticcall token.balanceOf(self) + amount + 1",
        ),
    }
    deleted = {before for before, after in bench.changes(text, "delete", "log") if after == "pass"}
    assert deleted == {
        "assert extcall token.transfer(msg.sender, amount, default_return_value=True)",
        "extcall token.approve(msg.sender, amount)",
        "log Moved(amount=before)",
    }


def test_lock_opens_functions_that_change_state(bench: Bench) -> None:
    text = """# pragma nonreentrancy on

x: uint256

@external
def act():
    self.x = 1

@external
@view
def look() -> uint256:
    return self.x
"""
    assert bench.changes(text, "lock") == {("@external", "@external @reentrant")}


def test_delete_leaves_out_raise_break_and_continue(bench: Bench) -> None:
    text = """
@external
def act(a: uint256):
    for i: uint256 in range(9):
        if a == i:
            continue
        if a < i:
            break
        if a > 7:
            raise "sample: more than seven"
"""
    assert {before for before, _ in bench.changes(text, "delete")} == {
        "continue",
        "break",
        'raise "sample: more than seven"',
    }


def test_annotations_and_array_sizes_stay(bench: Bench) -> None:
    text = """
SIZE: constant(uint256) = 3
values: uint256[8]

@external
def act(given: uint256[8]):
    for value: uint256 in given:
        self.values[0] = value
"""
    assert bench.changes(text, "const") == {
        ("SIZE: constant(uint256) = 3", "SIZE: constant(uint256) = 4"),
        ("SIZE: constant(uint256) = 3", "SIZE: constant(uint256) = 2"),
        ("self.values[0] = value", "self.values[1] = value"),
    }


def test_first_value_that_nothing_reads_stays(bench: Bench) -> None:
    text = """
@external
def act(given: uint256) -> uint256:
    paired: uint256 = 0
    other: uint256 = 0
    branched: uint256 = 0
    kept: uint256 = 0
    added: uint256 = 0
    paired, other = self._pair()
    if given > paired:
        branched = given
        kept = given
    else:
        branched = paired
    added += given
    return branched + kept + added + other

@internal
def _pair() -> (uint256, uint256):
    return 3, 4
"""
    changed = {before for before, _ in bench.changes(text, "const")}
    assert changed == {"kept: uint256 = 0", "added: uint256 = 0", "return 3, 4"}


def test_every_mutant_of_a_real_module_is_a_vyper_file() -> None:
    paths = ["contracts/perps/funding.vy", "contracts/clearing/ledger.vy"]
    project = Project.read(ROOT, paths)
    mutants = of_project(project, [*OPERATORS, *OPTIONAL], paths)
    assert len(mutants) > 250
    assert len({mutant.id for mutant in mutants}) == len(mutants)
    for mutant in mutants:
        text = project.sources[mutant.path].text
        changed = mutant.applied(text)
        assert changed != text
        parse_to_ast(changed)
        if mutant.operator != "lock":
            assert changed.count("\n") <= text.count("\n")
