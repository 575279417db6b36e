# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  ChainlinkFeed: one AggregatorV3 proxy as an IFeed
@notice Turns the rounds of a Chainlink proxy into WAD and says of each whether it may be believed. On a rollup it also asks
        the sequencer's uptime feed: while the sequencer is down, and for a grace period after it came back, prices are
        old news to some and fresh to others, so `latest` answers `ok = False`.

        Actors: anyone reads; nobody owns it, nothing can be changed. Another aggregator needs another adapter.

        Invariants:
        - no answer of the aggregator or the uptime feed, or lack of one, makes `latest` or `round_at` revert;
        - ok implies 0 < price < 2^96, 0 < updated_at <= now, 0 < round_id < 2^80; not ok implies price = 0.
@dev    Round ids are the proxy's (phase << 64 | aggregator round): they grow within a phase and over phases.
@custom:kill Halt the market at the PriceOracle, then list another feed for it there.
"""

from interfaces import IFeed

implements: IFeed

from contracts.oracle import sequencer

initializes: sequencer

exports: (sequencer.sequencer_feed, sequencer.grace_period)


interface IAggregator:
    def decimals() -> uint8: view


AGGREGATOR: immutable(address)
SCALE: immutable(uint256)                           # 10 ** (18 - decimals of the aggregator)
MAX_ANSWER: immutable(uint256)                      # largest answer whose price fits 96 bits


@deploy
def __init__(aggregator: address, sequencer_feed: address, grace_period: uint256):
    """
    @param aggregator      the Chainlink proxy of base/quote
    @param sequencer_feed  the sequencer uptime feed of the rollup; zero where there is no sequencer
    @param grace_period    [s] to wait after the sequencer came back; at most a day
    """
    decimals: uint256 = convert(staticcall IAggregator(aggregator).decimals(), uint256)
    assert decimals <= 18, "feed: too many decimals"
    sequencer.__init__(sequencer_feed, grace_period)
    AGGREGATOR = aggregator
    SCALE = 10 ** (18 - decimals)
    MAX_ANSWER = convert(max_value(uint96), uint256) // 10 ** (18 - decimals)


# ── Views ──


@view
@external
@reentrant
def latest() -> IFeed.Round:
    """
    @notice The newest round of the aggregator.
    @dev Not locked: nothing is ever written here.
    @return price [quote/base, WAD], updated_at [s]; `ok` False when the round is malformed, the aggregator does not answer, or
            the sequencer is down or not long enough up
    """
    if sequencer.UPTIME != empty(address) and not sequencer._is_ready():
        return empty(IFeed.Round)
    ok: bool = False
    response: Bytes[sequencer.WORD_5] = b""
    ok, response = raw_call(
        AGGREGATOR,
        method_id("latestRoundData()"),
        max_outsize=sequencer.WORD_5,
        gas=sequencer.UPSTREAM_GAS,
        is_static_call=True,
        revert_on_failure=False,
    )
    return self._round(ok, response)


@view
@external
@reentrant
def round_at(round_id: uint256) -> IFeed.Round:
    """
    @notice The round with this id, for proofs about the past.
    @dev Not locked, as `latest`. The sequencer is not asked: a round of the past is what it is, whatever happens now.
    @param round_id  the proxy's id
    @return as `latest`; `ok` False also when the aggregator answers with another round
    """
    if round_id > convert(max_value(uint80), uint256):
        return empty(IFeed.Round)
    ok: bool = False
    response: Bytes[sequencer.WORD_5] = b""
    ok, response = raw_call(
        AGGREGATOR,
        abi_encode(round_id, method_id=method_id("getRoundData(uint80)")),
        max_outsize=sequencer.WORD_5,
        gas=sequencer.UPSTREAM_GAS,
        is_static_call=True,
        revert_on_failure=False,
    )
    round: IFeed.Round = self._round(ok, response)
    if round.round_id != round_id:
        return empty(IFeed.Round)
    return round


@view
@external
def aggregator() -> address:
    """@notice The Chainlink proxy that is read."""
    return AGGREGATOR


# ── Internal ──


@internal
@view
def _round(answered: bool, response: Bytes[sequencer.WORD_5]) -> IFeed.Round:
    """
    @dev Words are decoded as plain 256-bit numbers and checked here: decoding as uint80 would revert on a dirty word. A negative
         answer is a word above MAX_ANSWER.
    """
    if not answered or len(response) != sequencer.WORD_5:
        return empty(IFeed.Round)
    round_id: uint256 = 0
    answer: uint256 = 0
    started_at: uint256 = 0
    updated_at: uint256 = 0
    answered_in: uint256 = 0
    round_id, answer, started_at, updated_at, answered_in = abi_decode(
        response, (uint256, uint256, uint256, uint256, uint256)
    )
    if (
        round_id == 0 or round_id > convert(max_value(uint80), uint256)
        or answer == 0 or answer > MAX_ANSWER
        or updated_at == 0 or updated_at > block.timestamp
    ):
        return empty(IFeed.Round)
    return IFeed.Round(round_id=round_id, price=answer * SCALE, half_width=0, updated_at=updated_at, ok=True)
