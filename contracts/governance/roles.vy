# pragma version 0.4.3
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Roles: one flag per power, one admin
@notice Every deployable with privileged functions owns one table of roles, kept by this module.

        GOVERNOR    anything inside the immutable bounds of the contract (a timelock after deployment)
        GUARDIAN    may only tighten: pause what increases risk, lower caps
        ENGINE      product contracts (PerpEngine, ...) that report trades and settle them
        HEDGER      HedgeManager; there, Mandates; at PerpEngine, Carry
        VAULT       Vault
        INVENTORY   Inventory and RebateAuction
        SETUP       the deployer, until it renounces: may wire contracts and set parameters, never govern
        CLOSER      Liquidator, Deleverager, CloseQueue: close or move positions of others by rules of their own
        SETTLER     GlobalSettlement
        STEWARD     Steward: sets parameters that governance has let it move, within limits of its own

        The admin hands roles out and passes its office on in two steps; GOVERNOR moves with it.
        SETUP is given once, by the constructor, and may hand out the wiring roles only
        (all but GOVERNOR and itself).
@dev    A shell initialises the module with its own constructor arguments, calls `_check(flags)` at the head of every
        privileged function (any one of the flags suffices) and exports the external functions below.
        Nothing here makes an external call.
        Python mirror: ballast/model/roles.py.
"""

flag Role:
    GOVERNOR
    GUARDIAN
    ENGINE
    HEDGER
    VAULT
    INVENTORY
    SETUP
    CLOSER
    SETTLER
    STEWARD


event RoleChanged:
    holder: indexed(address)
    roles: Role                 # after
    granted: Role               # flags added by this call
    revoked: Role               # flags taken by this call

event AdminOffered:
    admin: indexed(address)
    pending_admin: indexed(address)

event AdminChanged:
    previous_admin: indexed(address)
    admin: indexed(address)


# Who may grant, revoke and pass the office on.
admin: public(address)
# Who has been offered the office and has not accepted.
pending_admin: public(address)
# Flags of each address.
roles_of: public(HashMap[address, Role])


@deploy
def __init__(admin: address, setup: address):
    """
    @param admin holds GOVERNOR from the start
    @param setup deployer that wires the system; the zero address for none
    """
    assert admin != empty(address), "roles: zero admin"
    self.admin = admin
    log AdminChanged(previous_admin=empty(address), admin=admin)
    self._change(admin, Role.GOVERNOR, empty(Role))
    if setup != empty(address):
        self._change(setup, Role.SETUP, empty(Role))


@external
def grant_role(holder: address, granted: Role):
    """
    @notice Adds flags to an address.
    @dev    The admin grants anything but SETUP; SETUP grants wiring roles only.
    """
    forbidden: Role = Role.SETUP
    if msg.sender != self.admin:
        self._check(Role.SETUP)
        forbidden |= Role.GOVERNOR
    assert not (forbidden in granted), "roles: not grantable"
    self._change(holder, granted, empty(Role))


@external
def revoke_role(holder: address, revoked: Role):
    """
    @notice Takes flags from an address. Only the admin; it may end SETUP too.
    """
    assert msg.sender == self.admin, "roles: not allowed"
    self._change(holder, empty(Role), revoked)


@external
def renounce_setup():
    """
    @notice The deployer gives its powers up, for good: nobody can grant SETUP.
    """
    self._check(Role.SETUP)
    self._change(msg.sender, empty(Role), Role.SETUP)


@external
def offer_admin(pending_admin: address):
    """
    @notice First step of passing the office on; the zero address withdraws an offer.
    """
    assert msg.sender == self.admin, "roles: not allowed"
    self.pending_admin = pending_admin
    log AdminOffered(admin=msg.sender, pending_admin=pending_admin)


@external
def accept_admin():
    """
    @notice Second step: the one who was offered the office takes it, and GOVERNOR with it.
    """
    assert msg.sender == self.pending_admin, "roles: not allowed"
    previous_admin: address = self.admin
    self.pending_admin = empty(address)
    self.admin = msg.sender
    log AdminChanged(previous_admin=previous_admin, admin=msg.sender)
    self._change(previous_admin, empty(Role), Role.GOVERNOR)
    self._change(msg.sender, Role.GOVERNOR, empty(Role))


@internal
@view
def _check(allowed: Role):
    """@notice The caller holds at least one of the flags."""
    assert allowed in self.roles_of[msg.sender], "roles: not allowed"


@internal
def _change(holder: address, granted: Role, revoked: Role):
    after: Role = (self.roles_of[holder] | granted) & ~revoked
    self.roles_of[holder] = after
    log RoleChanged(holder=holder, roles=after, granted=granted, revoked=revoked)
