# pragma version 0.4.3
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Whether a rollup's sequencer is up, and has been for long enough
@notice While the sequencer is down, and for a grace period after it came back, prices are old news to some and fresh to
        others. Chainlink's uptime feed says which: answer 0 = up, 1 = down; startedAt = when that began, 0 before the
        feed was ever written.
@dev    The feed's answers, or lack of one, never revert: what cannot be read counts as down.
"""

WORD_5: constant(uint256) = 160                     # [bytes] of a round of AggregatorV3
# What one upstream call may burn. An invalid opcode upstream takes all it is given; what is left must do for the answer.
# A proxy and its aggregator need about 20k.
UPSTREAM_GAS: constant(uint256) = 250_000

UPTIME: immutable(address)                          # zero: not a rollup
GRACE_PERIOD: immutable(uint256)                    # [s] after the sequencer came back


@deploy
def __init__(uptime: address, grace_period: uint256):
    """
    @param uptime        the sequencer uptime feed of the rollup; zero where there is no sequencer
    @param grace_period  [s] to wait after the sequencer came back; at most a day
    """
    assert grace_period <= 86_400, "feed: grace out of bounds"
    UPTIME = uptime
    GRACE_PERIOD = grace_period


@view
@external
def sequencer_feed() -> address:
    """@notice The sequencer uptime feed; zero where there is none."""
    return UPTIME


@view
@external
def grace_period() -> uint256:
    """@return [s] for which prices are refused after the sequencer came back"""
    return GRACE_PERIOD


@internal
@view
def _is_ready() -> bool:
    """@return whether the sequencer has been up for longer than the grace period; for rollups"""
    ok: bool = False
    response: Bytes[WORD_5] = b""
    ok, response = raw_call(
        UPTIME,
        method_id("latestRoundData()"),
        max_outsize=WORD_5,
        gas=UPSTREAM_GAS,
        is_static_call=True,
        revert_on_failure=False,
    )
    if not ok or len(response) != WORD_5:
        return False
    round_id: uint256 = 0
    answer: uint256 = 0
    started_at: uint256 = 0
    updated_at: uint256 = 0
    answered_in: uint256 = 0
    round_id, answer, started_at, updated_at, answered_in = abi_decode(
        response, (uint256, uint256, uint256, uint256, uint256)
    )
    return (
        answer == 0
        and started_at != 0
        and started_at <= block.timestamp
        and block.timestamp - started_at > GRACE_PERIOD
    )
