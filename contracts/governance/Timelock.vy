# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Timelock: admin of every contract
@notice Whatever governance does is scheduled here, waits for the delay in public, and is then executed by anybody. The rules are
        snekmate's `timelock_controller`, whose roles are its own (not those of roles.vy).

        Actors: proposers schedule (the Governor, and a council where there is one); cancellers cancel (the Governor: by veto or
        by the LPs' objection); anybody executes. The deployer makes the Governor proposer and canceller and renounces.
        Invariants: nothing is executed before it has waited for the delay of the time it was scheduled; the delay stays within
        MIN_DELAY and MAX_DELAY; roles change by operations of the timelock alone once the deployer has renounced.
@dev    A council may propose but not cancel: it cannot stop its own removal. The module's functions are outside this contract's
        lock, so that an operation may call the timelock. Ether and NFTs have no business here: their receivers are not exported.
@custom:kill cancel(id) (the Governor: Governor.veto, Governor.object). An operation that is ready has no end: it stays ready
        until it is executed or cancelled.
"""

from snekmate.auth import access_control
from snekmate.governance import timelock_controller
from contracts import constants as c

initializes: access_control
initializes: timelock_controller[access_control := access_control]

exports: (
    timelock_controller.DEFAULT_ADMIN_ROLE,
    timelock_controller.PROPOSER_ROLE,
    timelock_controller.CANCELLER_ROLE,
    timelock_controller.EXECUTOR_ROLE,
    timelock_controller.hasRole,
    timelock_controller.getRoleAdmin,
    timelock_controller.grantRole,
    timelock_controller.revokeRole,
    timelock_controller.renounceRole,
    timelock_controller.get_timestamp,
    timelock_controller.get_minimum_delay,
    timelock_controller.get_operation_state,
    timelock_controller.hash_operation,
    timelock_controller.hash_operation_batch,
    timelock_controller.schedule,
    timelock_controller.schedule_batch,
    timelock_controller.execute,
    timelock_controller.execute_batch,
    timelock_controller.cancel,
)

MIN_DELAY: constant(uint256) = 3_600            # [s]
MAX_DELAY: constant(uint256) = 30 * c.DAY       # [s]


@deploy
def __init__(delay: uint256, council: address, setup: address):
    """
    @param delay    [s] that every operation waits
    @param council  one more proposer, which an operation can revoke; the zero address for none
    @param setup    deployer that names the Governor and then renounces
    """
    self._check_delay(delay)
    access_control.__init__()
    # anybody executes: the zero address stands for everybody
    timelock_controller.__init__(delay, [], [empty(address)], setup)
    if council != empty(address):
        access_control._grant_role(timelock_controller.PROPOSER_ROLE, council)


@external
def update_delay(delay: uint256):
    """
    @notice How long operations that are scheduled from now on wait. By an operation of the timelock only.
    @param delay [s]
    """
    assert msg.sender == self, "timelock: not allowed"
    self._check_delay(delay)
    log timelock_controller.MinimumDelayChange(
        old_duration=timelock_controller.get_minimum_delay, new_duration=delay
    )
    timelock_controller.get_minimum_delay = delay


@internal
@pure
def _check_delay(delay: uint256):
    assert MIN_DELAY <= delay and delay <= MAX_DELAY, "timelock: delay range"
