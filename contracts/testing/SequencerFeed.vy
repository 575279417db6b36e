# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  SequencerFeed: a rollup's uptime feed that says what it is told
@notice For tests. Answer 0 means up, 1 down; startedAt is when that began, 0 on a feed that was never written.
@custom:kill Nothing to kill: never deployed where money is real.
"""


_answer: int256
_started_at: uint256
_broken: bool


# ── Permissionless ──


@external
def set_status(answer: int256, started_at: uint256):
    """
    @param answer      0 up, 1 down
    @param started_at  [s] since when
    """
    self._answer = answer
    self._started_at = started_at


@external
def set_broken(broken: bool):
    """@notice Reverts from now on."""
    self._broken = broken


# ── Views ──


@view
@external
def latestRoundData() -> (uint80, int256, uint256, uint256, uint80):
    """@return round id, 0 up or 1 down, startedAt [s], updatedAt [s], answeredInRound"""
    assert not self._broken, "sequencer: told to revert"
    return 1, self._answer, self._started_at, block.timestamp, 1
