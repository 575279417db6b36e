"""A toy contract with a module, and tests of it that are weak or strong."""

from __future__ import annotations

from pathlib import Path

import pytest

from ballast.mutate.mutants import Mutant, of_source
from ballast.mutate.operators import OPERATORS, OPTIONAL
from ballast.mutate.syntax import Project

SAFE = """# pragma version 0.4.3
# pragma nonreentrancy on
from contracts.math import rounding

event Paid:
    amount: uint256

flag Role:
    OWNER
    GUARDIAN

LIMIT: constant(uint256) = 100
UNUSED: constant(uint256) = 7
SCALE: immutable(uint256)
total: public(uint256)
roles: HashMap[address, Role]

@deploy
def __init__():
    SCALE = 2
    self.roles[msg.sender] = Role.OWNER

@external
def pay(amount: uint256):
    self._check(Role.OWNER | Role.GUARDIAN)
    assert amount <= LIMIT, "toy: too much"  # not more than that
    self.total += amount
    log Paid(amount=amount)

@external
@view
def half() -> uint256:
    return rounding.div_up(self.total, SCALE)

@internal
@view
def _check(allowed: Role):
    assert self.roles[msg.sender] in allowed, "toy: not allowed"
"""

ROUNDING = """# pragma version 0.4.3

@internal
@pure
def div_down(x: uint256, y: uint256) -> uint256:
    return x // y

@internal
@pure
def div_up(x: uint256, y: uint256) -> uint256:
    return (x + y - 1) // y
"""

WEAK = """from ballast.chain import RevmChain


def test_pay_adds():
    safe = RevmChain().deploy("Safe")
    safe.pay.send(0)
    assert safe.total() == 0
"""

STRONG = """import pytest

from ballast.chain import RevmChain, Reverted


@pytest.fixture
def safe():
    return RevmChain().deploy("Safe")


def test_pay_adds(safe):
    safe.pay.send(3)
    receipt = safe.pay.send(4)
    assert safe.total() == 7
    assert receipt.logs


def test_half_rounds_up(safe):
    safe.pay.send(7)
    assert safe.half() == 4
    safe.pay.send(1)
    assert safe.half() == 4


def test_pay_limit(safe):
    safe.pay.send(100)
    with pytest.raises(Reverted, match="toy: too much"):
        safe.pay.send(101)


def test_pay_stranger_reverts(safe):
    with pytest.raises(Reverted, match="toy: not allowed"):
        safe.pay.send(1, sender=safe.chain.accounts[5])


def test_pay_adds_to_the_last_unit(safe):
    for _ in range(3):
        safe.pay.send(99)
    assert safe.total() == 297 and safe.half() == 149
"""


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with contracts/ and interfaces/, and tests in weak/ and strong/."""
    root = tmp_path_factory.mktemp("toy")
    for name, text in {
        "contracts/safe/Safe.vy": SAFE,
        "contracts/math/rounding.vy": ROUNDING,
        "weak/test_safe.py": WEAK,
        "strong/test_safe.py": STRONG,
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


class Bench:
    """Mutants of a contract written in the test."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def mutants(self, text: str, *operators: str) -> list[Mutant]:
        path = self.root / "contracts" / "Sample.vy"
        path.parent.mkdir(exist_ok=True)
        path.write_text("# pragma version 0.4.3\n" + text)
        project = Project.read(self.root)
        return of_source(
            project.sources["contracts/Sample.vy"], project.functions, operators or [*OPERATORS, *OPTIONAL]
        )

    def changes(self, text: str, *operators: str) -> set[tuple[str, str]]:
        return {(mutant.before, mutant.after) for mutant in self.mutants(text, *operators)}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)
