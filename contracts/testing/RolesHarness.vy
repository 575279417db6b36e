# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  RolesHarness: the roles module alone
@notice For tests only: exposes the check that shells put at the head of privileged functions.
@custom:kill Nothing to kill: never deployed outside tests.
"""

from contracts.governance import roles

initializes: roles

exports: (
    roles.admin,
    roles.pending_admin,
    roles.roles_of,
    roles.grant_role,
    roles.revoke_role,
    roles.renounce_setup,
    roles.offer_admin,
    roles.accept_admin,
)


@deploy
def __init__(admin: address, setup: address):
    roles.__init__(admin, setup)


@external
@view
def check(allowed: roles.Role):
    """@notice Reverts unless the caller holds one of the flags."""
    roles._check(allowed)
