"""Each power alone: what a holder of one flag may call is what ballast/model/roles.py says, no more and no less."""

from __future__ import annotations

from typing import Any

import pytest

from ballast.chain import Contract, Reverted
from ballast.model.roles import NOT_ALLOWED, POWERS, Role
from ballast.system import Sandbox

HANDED_OUT = [role for role in Role if role is not Role.SETUP]


def contracts(system: Sandbox) -> dict[str, Contract]:
    found = (
        system.clearinghouse, system.auction, system.inventory,
        system.perp_engine, system.oracle, system.hedge_manager, system.mandates,
        system.vault, system.surface, system.option_book, system.option_engine, system.steward,
    )  # fmt: skip
    return {contract.artifact.name: contract for contract in found}


def nothing(entry: dict[str, Any]) -> Any:
    """A zero of an ABI type."""
    kind = entry["type"]
    if kind.endswith("]"):
        inner, _, length = kind[:-1].rpartition("[")
        return [nothing(entry | {"type": inner}) for _ in range(int(length or 0))]
    if kind == "tuple":
        return tuple(nothing(component) for component in entry["components"])
    if kind.startswith("bytes"):
        return bytes(int(kind[5:] or 0))
    return {"address": "0x" + "00" * 20, "bool": False, "string": ""}.get(kind, 0)


def is_refused(contract: Contract, fn: str, sender: str) -> bool:
    """Whether a call with nothing in its arguments fails for want of a role."""
    entry = next(each for each in contract.artifact.abi if each.get("name") == fn)
    try:
        contract.call(fn, *map(nothing, entry["inputs"]), sender=sender)
    except Reverted as error:
        return str(error) == NOT_ALLOWED
    return False


@pytest.mark.parametrize("name", POWERS)
@pytest.mark.parametrize("role", [*HANDED_OUT, None], ids=str)
def test_one_flag_opens_its_functions_and_no_other(bare_system: Sandbox, name: str, role: Role | None) -> None:
    contract = contracts(bare_system)[name]
    holder = bare_system.chain.accounts[7]
    if role is not None:
        contract.grant_role.send(holder, role, sender=bare_system.governor)
    for fn, allowed in POWERS[name].items():
        assert is_refused(contract, fn, holder) == (role is None or not role & allowed), fn


@pytest.mark.parametrize("name", POWERS)
def test_whatever_is_not_listed_asks_for_no_role(bare_system: Sandbox, name: str) -> None:
    contract = contracts(bare_system)[name]
    of_roles = {"grant_role", "revoke_role", "renounce_setup", "offer_admin", "accept_admin"}
    for entry in contract.artifact.abi:
        if entry["type"] == "function" and entry["name"] not in of_roles | POWERS[name].keys():
            assert not is_refused(contract, entry["name"], bare_system.chain.accounts[7]), entry["name"]
