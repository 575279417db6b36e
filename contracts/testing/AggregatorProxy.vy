# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  AggregatorProxy: the hop in front of every Chainlink aggregator
@notice For tests: like Chainlink's EACAggregatorProxy one storage read finds phase and aggregator, and the aggregator's answer is
        passed on with the phase in the high bits of the round id. So the gas of a price is what it is on a live chain.
@custom:kill Nothing to kill: never deployed where money is real.
"""


interface IAggregator:
    def decimals() -> uint8: view
    def latestAnswer() -> int256: view
    def latestRoundData() -> (uint80, int256, uint256, uint256, uint80): view
    def getRoundData(roundId: uint80) -> (uint80, int256, uint256, uint256, uint80): view


U64: constant(uint256) = 2**64 - 1

# aggregator u160 | phase u16
_current: uint256
# Aggregators of all phases.
_phases: HashMap[uint256, address]


@deploy
def __init__(aggregator: address):
    """@param aggregator  of phase 1"""
    self._set(aggregator, 1)


# ── Permissionless ──


@external
def set_aggregator(aggregator: address):
    """@notice Begins the next phase."""
    self._set(aggregator, (self._current >> 160) + 1)


# ── Views ──


@view
@external
def latestRoundData() -> (uint80, int256, uint256, uint256, uint80):
    """@return round id, answer [decimals], startedAt [s], updatedAt [s], answeredInRound"""
    current: uint256 = self._current
    round_id: uint80 = 0
    answer: int256 = 0
    started_at: uint256 = 0
    updated_at: uint256 = 0
    answered_in: uint80 = 0
    round_id, answer, started_at, updated_at, answered_in = staticcall IAggregator(
        convert(current & convert(max_value(uint160), uint256), address)
    ).latestRoundData()
    phase: uint256 = current >> 160
    return self._with_phase(phase, round_id), answer, started_at, updated_at, self._with_phase(phase, answered_in)


@view
@external
def getRoundData(roundId: uint80) -> (uint80, int256, uint256, uint256, uint80):
    """@return as latestRoundData, for one round of any phase"""
    phase: uint256 = convert(roundId, uint256) >> 64
    round_id: uint80 = 0
    answer: int256 = 0
    started_at: uint256 = 0
    updated_at: uint256 = 0
    answered_in: uint80 = 0
    round_id, answer, started_at, updated_at, answered_in = staticcall IAggregator(
        self._phases[phase]
    ).getRoundData(convert(1 << 64 | convert(roundId, uint256) & U64, uint80))
    return self._with_phase(phase, round_id), answer, started_at, updated_at, self._with_phase(phase, answered_in)


@view
@external
def latestAnswer() -> int256:
    """@return answer [decimals] of the newest round"""
    return staticcall IAggregator(self._aggregator_of(self._current >> 160)).latestAnswer()


@view
@external
def decimals() -> uint8:
    """@return decimals of the answers"""
    return staticcall IAggregator(self._aggregator_of(self._current >> 160)).decimals()


@view
@external
def phaseId() -> uint16:
    """@return the phase in force"""
    return convert(self._current >> 160, uint16)


@view
@external
def aggregator() -> address:
    """@return the aggregator in force"""
    return self._aggregator_of(self._current >> 160)


# ── Internal ──


@internal
def _set(aggregator: address, phase: uint256):
    self._current = convert(aggregator, uint256) | (phase << 160)
    self._phases[phase] = aggregator


@internal
@view
def _aggregator_of(phase: uint256) -> address:
    return self._phases[phase]


@internal
@pure
def _with_phase(phase: uint256, round_id: uint80) -> uint80:
    """@dev The aggregators behind a proxy count in phase 1 of their own; that is replaced."""
    return convert(phase << 64 | convert(round_id, uint256) & U64, uint80)
