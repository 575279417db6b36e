"""roles.vy: who may hand out which power, and that the deployer's ends."""

from __future__ import annotations

import re

import pytest

from ballast.chain import Contract, RevmChain, reverts
from ballast.chain.artifacts import ROOT
from ballast.model.roles import WIRING, Role

ZERO = "0x" + "00" * 20
NOT_ALLOWED = "roles: not allowed"


@pytest.fixture
def holder(chain: RevmChain) -> str:
    return chain.accounts[2]


@pytest.fixture
def roles(chain: RevmChain, governor: str, setup: str) -> Contract:
    return chain.deploy("RolesHarness", governor, setup)


def test_role_python_mirror_equals_flag() -> None:
    source = (ROOT / "contracts" / "governance" / "roles.vy").read_text()
    block = re.search(r"^flag Role:\n((?:    \w+\n)+)", source, re.MULTILINE)
    assert block is not None
    assert block[1].split() == [role.name for role in Role]
    assert [int(role) for role in Role] == [1 << i for i in range(len(Role))]


def test_init_gives_admin_governor_and_setup_setup(roles: Contract, governor: str, setup: str) -> None:
    assert roles.admin() == governor
    assert roles.roles_of(governor) == Role.GOVERNOR
    assert roles.roles_of(setup) == Role.SETUP
    assert roles.receipt is not None
    assert [(e.holder, e.roles) for e in roles.receipt.find("RoleChanged")] == [
        (governor, Role.GOVERNOR),
        (setup, Role.SETUP),
    ]
    assert tuple(roles.receipt.one("AdminChanged")) == (ZERO, governor)


def test_init_zero_setup_gives_setup_to_nobody(chain: RevmChain, governor: str) -> None:
    roles = chain.deploy("RolesHarness", governor, ZERO)
    assert roles.roles_of(ZERO) == 0


def test_init_zero_admin_reverts(chain: RevmChain, setup: str) -> None:
    with reverts("roles: zero admin"):
        chain.deploy("RolesHarness", ZERO, setup)


def test_check_any_of_the_flags_suffices(roles: Contract, governor: str, stranger: str) -> None:
    roles.check(Role.GOVERNOR | Role.SETUP, sender=governor)
    with reverts(NOT_ALLOWED):
        roles.check(Role.GUARDIAN | Role.SETUP, sender=governor)
    with reverts(NOT_ALLOWED):
        roles.check(sum(Role), sender=stranger)


@pytest.mark.parametrize("role", list(WIRING))
def test_grant_role_by_admin_and_setup_adds_flags(
    roles: Contract, governor: str, setup: str, holder: str, role: Role
) -> None:
    receipt = roles.grant_role.send(holder, role, sender=setup)
    assert tuple(receipt.one("RoleChanged")) == (holder, role, role, 0)
    receipt = roles.grant_role.send(holder, Role.GOVERNOR, sender=governor)
    assert tuple(receipt.one("RoleChanged")) == (holder, role | Role.GOVERNOR, Role.GOVERNOR, 0)
    roles.check(role, sender=holder)


def test_grant_role_governor_by_setup_reverts(roles: Contract, setup: str, holder: str) -> None:
    with reverts("roles: not grantable"):
        roles.grant_role.send(holder, Role.GOVERNOR | Role.ENGINE, sender=setup)


@pytest.mark.parametrize("actor", ["governor", "setup"])
def test_grant_role_setup_by_anyone_reverts(
    request: pytest.FixtureRequest, roles: Contract, holder: str, actor: str
) -> None:
    with reverts("roles: not grantable"):
        roles.grant_role.send(holder, Role.SETUP, sender=request.getfixturevalue(actor))


def test_grant_role_by_stranger_or_mere_governor_reverts(
    roles: Contract, governor: str, holder: str, stranger: str
) -> None:
    roles.grant_role.send(holder, Role.GOVERNOR, sender=governor)
    for actor in (holder, stranger):
        with reverts(NOT_ALLOWED):
            roles.grant_role.send(stranger, Role.ENGINE, sender=actor)


def test_revoke_role_by_admin_takes_flags(roles: Contract, governor: str, setup: str, holder: str) -> None:
    roles.grant_role.send(holder, Role.ENGINE | Role.VAULT, sender=governor)
    receipt = roles.revoke_role.send(holder, Role.ENGINE, sender=governor)
    assert tuple(receipt.one("RoleChanged")) == (holder, Role.VAULT, 0, Role.ENGINE)
    with reverts(NOT_ALLOWED):
        roles.check(Role.ENGINE, sender=holder)
    with reverts(NOT_ALLOWED):
        roles.revoke_role.send(holder, Role.VAULT, sender=setup)


def test_renounce_setup_ends_setup_for_good(roles: Contract, governor: str, setup: str, holder: str) -> None:
    with reverts(NOT_ALLOWED):
        roles.renounce_setup.send(sender=governor)
    receipt = roles.renounce_setup.send(sender=setup)
    assert tuple(receipt.one("RoleChanged")) == (setup, 0, 0, Role.SETUP)
    with reverts(NOT_ALLOWED):
        roles.grant_role.send(holder, Role.ENGINE, sender=setup)
    with reverts(NOT_ALLOWED):
        roles.renounce_setup.send(sender=setup)
    with reverts("roles: not grantable"):
        roles.grant_role.send(setup, Role.SETUP, sender=governor)


def test_accept_admin_moves_office_and_governor(roles: Contract, governor: str, holder: str, stranger: str) -> None:
    receipt = roles.offer_admin.send(holder, sender=governor)
    assert tuple(receipt.one("AdminOffered")) == (governor, holder)
    assert roles.admin() == governor
    assert roles.pending_admin() == holder
    with reverts(NOT_ALLOWED):
        roles.accept_admin.send(sender=stranger)
    receipt = roles.accept_admin.send(sender=holder)
    assert tuple(receipt.one("AdminChanged")) == (governor, holder)
    assert roles.admin() == holder
    assert roles.pending_admin() == ZERO
    assert roles.roles_of(governor) == 0
    assert roles.roles_of(holder) == Role.GOVERNOR
    with reverts(NOT_ALLOWED):
        roles.offer_admin.send(stranger, sender=governor)


def test_offer_admin_withdrawn_cannot_be_accepted(roles: Contract, governor: str, holder: str, stranger: str) -> None:
    with reverts(NOT_ALLOWED):
        roles.offer_admin.send(stranger, sender=stranger)
    roles.offer_admin.send(holder, sender=governor)
    roles.offer_admin.send(ZERO, sender=governor)
    with reverts(NOT_ALLOWED):
        roles.accept_admin.send(sender=holder)
