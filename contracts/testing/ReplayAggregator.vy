# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  ReplayAggregator: a Chainlink aggregator that says what it is told
@notice For tests, simulations and the local deployment: keeps a history of rounds pushed by anyone and answers AggregatorV3. A
        read costs two storage words, as at a real off-chain-reporting aggregator.
        Round ids are phase << 64 | n with n from 1; `start_phase` moves on to the next phase, as a proxy does when its aggregator is
        replaced. Any answer and time can be pushed, the absurd ones too, and faults can be switched on.
@custom:kill Nothing to kill: never deployed where money is real.
"""


flag Fault:
    REVERT          # latestRoundData and getRoundData revert
    BURN            # they burn all gas they were given
    ZERO_ID         # they answer round id 0


event AnswerUpdated:
    current: indexed(int256)    # [aggregator decimals]
    round_id: indexed(uint256)
    updated_at: uint256         # [s]


U64: constant(uint256) = 2**64 - 1
U80: constant(uint256) = 2**80 - 1

decimals: public(immutable(uint8))
# newest round id u80 | fault << 80: one read tells both
_hot: uint256
# answer i192 in the high bits | updated_at u64
_rounds: HashMap[uint256, uint256]


@deploy
def __init__(decimals_: uint8):
    """@param decimals_  of the answers"""
    decimals = decimals_
    self._hot = 1 << 64


# ── Permissionless ──


@external
def push(answer: int256, updated_at: uint256) -> uint256:
    """
    @notice Adds a round.
    @param answer      [decimals] fits 192 bits
    @param updated_at  [s]
    @return the new round's id
    """
    return self._push(answer, updated_at)


@external
def push_now(answer: int256) -> uint256:
    """@notice Adds a round observed in this block. @return its id"""
    return self._push(answer, block.timestamp)


@external
def start_phase() -> uint256:
    """@notice The next round is the first of a new phase. @return the phase"""
    phase: uint256 = ((self._hot & U80) >> 64) + 1
    self._hot = (self._hot >> 80 << 80) | (phase << 64)
    return phase


@external
def set_fault(fault: Fault):
    """@notice Misbehave like this from now on; no flags: behave."""
    self._hot = (self._hot & U80) | (convert(fault, uint256) << 80)


# ── Views ──


@view
@external
def latestRoundData() -> (uint80, int256, uint256, uint256, uint80):
    """@return round id, answer [decimals], startedAt [s], updatedAt [s], answeredInRound"""
    hot: uint256 = self._hot
    return self._answer(hot & U80, hot >> 80)


@view
@external
def getRoundData(roundId: uint80) -> (uint80, int256, uint256, uint256, uint80):
    """@return as latestRoundData, for one round"""
    return self._answer(convert(roundId, uint256), self._hot >> 80)


@view
@external
def latestAnswer() -> int256:
    """@return answer [decimals] of the newest round; what Aave reads"""
    hot: uint256 = self._hot
    return (self._answer(hot & U80, hot >> 80))[1]


@view
@external
def latestRound() -> uint256:
    """@return id of the newest round"""
    return self._hot & U80


@view
@external
def description() -> String[32]:
    """@return what Chainlink's say: a name"""
    return "replay"


@view
@external
def version() -> uint256:
    """@return 4, as today's proxies"""
    return 4


# ── Internal ──


@internal
def _push(answer: int256, updated_at: uint256) -> uint256:
    assert (answer << 64) >> 64 == answer, "aggregator: answer too large"
    assert updated_at <= U64, "aggregator: time too large"
    hot: uint256 = self._hot + 1
    round_id: uint256 = hot & U80
    self._hot = hot
    self._rounds[round_id] = convert(convert(answer << 64, bytes32), uint256) | updated_at
    log AnswerUpdated(current=answer, round_id=round_id, updated_at=updated_at)
    return round_id


@internal
@view
def _answer(round_id: uint256, fault: uint256) -> (uint80, int256, uint256, uint256, uint80):
    if fault != 0:
        if fault == convert(Fault.BURN, uint256):
            raise UNREACHABLE
        assert fault != convert(Fault.REVERT, uint256), "aggregator: told to revert"
    word: uint256 = self._rounds[round_id]
    assert word != 0 or round_id & U64 != 0, "No data present"
    id: uint80 = convert(round_id, uint80)
    if fault != 0:
        id = 0
    answer: int256 = convert(convert(word, bytes32), int256) >> 64
    updated_at: uint256 = word & U64
    return id, answer, updated_at, updated_at, id
