"""The quick compiler makes the same code as Vyper's own."""

from __future__ import annotations

import pytest
import vyper
from hypothesis import given
from hypothesis import strategies as st

from ballast.chain import artifacts
from ballast.mutate.compiling import code, quick


@pytest.mark.parametrize("name", ["Margin", "NullVenue", "PriceOracle", "PotentialHarness"])
def test_quick_compiler_equals_the_ordinary_one(name: str) -> None:
    path = artifacts.contract_paths()[name]
    ordinary = artifacts._compiled(path)
    with quick():
        assert artifacts._compiled(path) == ordinary


def test_code_leaves_out_the_compilers_trailer() -> None:
    with_trailer = bytes.fromhex(vyper.compile_code("x: public(uint256)", output_formats=["bytecode"])["bytecode"][2:])
    other = bytes.fromhex(vyper.compile_code("# a\nx: public(uint256)", output_formats=["bytecode"])["bytecode"][2:])
    assert with_trailer != other
    assert code(with_trailer) == code(other) != with_trailer


@given(st.binary())
def test_code_without_a_trailer_stays(data: bytes) -> None:
    assert data.startswith(code(data))
