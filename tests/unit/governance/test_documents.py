"""docs/powers.md and docs/bounds.md say what the contracts do, and leave nothing out."""

from __future__ import annotations

import pytest

from ballast.chain import Reverted, RevmChain, Tx
from ballast.config import load
from ballast.model.roles import OFFICE, PERMISSIONLESS, POWERS, SOLE
from ballast.reports import bounds, powers
from ballast.system import deploy_system

OWN_WORDS = {
    "RebateAuction": ("auction",),
    "Mandates": ("mandates",),
    "Steward": ("steward",),
    "Governor": ("governor",),
    "Timelock": ("timelock", "access_control"),
    "UniswapV3Venue": ("venue",),
}  # the first word of a reason


def test_every_function_that_changes_something_is_somebodys_or_everybodys() -> None:
    for name, functions in powers.deployables().items():
        tables = (POWERS.get(name, {}), PERMISSIONLESS.get(name, ()), SOLE.get(name, {}), OFFICE * (name in POWERS))
        for fn in functions:
            assert sum(fn in table for table in tables) == 1, f"{name}.{fn} is in {[fn in table for table in tables]}"
        assert {fn for table in tables for fn in table} == set(functions), f"{name} has no such function"


def test_tables_name_contracts_that_exist() -> None:
    assert {*POWERS, *PERMISSIONLESS, *SOLE} <= set(powers.deployables())


def test_functions_of_one_caller_refuse_others() -> None:
    system = deploy_system(RevmChain(), load("local-governed").only_market("ETH"))
    held = [system.auction, system.mandates, system.steward, system.voting, system.timelock, *system.markets[0].venues]
    stranger = system.chain.accounts[7]
    for contract in held:
        assert contract is not None
        for fn in SOLE[contract.artifact.name]:
            data = contract.artifact.functions[fn][0].selector + bytes(1_024)  # nothing in every argument
            with pytest.raises(Reverted) as refused:
                system.chain.read(Tx(contract.address, data, stranger))
            assert str(refused.value).split(":")[0] in OWN_WORDS[contract.artifact.name], (fn, refused.value)


def test_powers_page_is_not_stale() -> None:
    assert powers.PAGE.read_text() == powers.page(), "run `python -m scripts.report powers`"


@pytest.fixture(scope="module")
def parameters() -> list[bounds.Parameter]:
    return bounds.measure()


def test_bounds_page_is_not_stale(parameters: list[bounds.Parameter]) -> None:
    assert bounds.PAGE.read_text() == bounds.page(parameters), "run `python -m scripts.report bounds`"


def test_every_parameter_has_a_floor_and_a_ceiling(parameters: list[bounds.Parameter]) -> None:
    for each in parameters:
        assert each.floor is not None, each.name
        assert each.ceiling is not None, each.name
        assert each.floor <= each.default <= each.ceiling


def test_steward_bands_are_inside_the_bounds(parameters: list[bounds.Parameter]) -> None:
    """A band beyond them would promise what the contract refuses. Where two parameters bound each other, the other's
    default is what counts: `u_max` is let down to where `u_star` is."""
    for each in parameters:
        if each.lever is not None:
            assert each.floor is not None
            assert each.ceiling is not None
            assert each.floor <= each.lever.floor or each.name == "inventory.u_max"
            assert each.lever.ceiling <= each.ceiling
