# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  PythFeed: one price of Pyth as an IFeed
@notice Pyth is a pull oracle: its prices are signed off-chain, several a second, and whoever needs a newer one brings it. Pyth
        keeps the newest that anybody brought; `latest` reads that, with the confidence as half-width. Rounds are
        known by the second they were published in.

        What must not depend on who brings what, the price that settles an expiry, is proved: Pyth vouches that an update
        is its first at or after a second, and there is only one such.

        Actors: anyone reads, and anyone updates or proves, paying Pyth's fee; what is sent beyond it comes back.
        Nobody owns it, nothing can be changed. Another price id needs another adapter.

        Invariants:
        - no answer of Pyth or the uptime feed, or lack of one, makes `latest`, `round_at` or `proved` revert;
        - ok implies 0 < price < 2^96, 10 half_width <= price, 0 < updated_at <= now, 0 < round_id < 2^40; not ok implies price = 0;
        - what is proved for a second is the same whoever proves it and whenever, and never changes;
        - no native token stays here.
@dev    No router: an update is a transaction of its own before the trade (or the first call of a bundle). Prices only get
        newer, so nobody undoes it in between, and a trade has a limit price; if it is late the spread has grown with the
        age of the price that is here.
@custom:kill Halt the market at the PriceOracle, then list another feed for it there.
"""

from interfaces import IFeed
from interfaces import IPullFeed

implements: IFeed
implements: IPullFeed

from contracts.oracle import sequencer

initializes: sequencer

exports: (sequencer.sequencer_feed, sequencer.grace_period)


struct Price:
    price: int64                # [10**expo quote/base]
    conf: uint64                # [10**expo quote/base] half of the confidence interval
    expo: int32
    publish_time: uint256       # [s]

struct PriceFeed:
    id: bytes32
    price: Price
    ema_price: Price


interface IPyth:
    def getUpdateFee(data: DynArray[Bytes[MAX_DATA], MAX_PARTS]) -> uint256: view
    def updatePriceFeeds(data: DynArray[Bytes[MAX_DATA], MAX_PARTS]): payable
    def parsePriceFeedUpdatesWithConfig(
        data: DynArray[Bytes[MAX_DATA], MAX_PARTS],
        ids: DynArray[bytes32, 1],
        earliest: uint64,
        latest: uint64,
        is_first: bool,
        is_minimal: bool,
        store: bool,
    ) -> (DynArray[PriceFeed, 1], DynArray[uint64, 1]): payable


MAX_DATA: constant(uint256) = 8_192                 # [bytes] of a signed message with a few prices
MAX_PARTS: constant(uint256) = 2
WORD_4: constant(uint256) = 128                     # [bytes] of a price of Pyth
MAX_AHEAD: constant(uint256) = 60                   # [s] that Pyth's clock may be before the block's
MIN_EXPO: constant(int256) = -36
MAX_EXPO: constant(int256) = 10
MIN_CONFIDENCE: constant(uint256) = 10              # the price is at least so many half-widths
I64_MAX: constant(uint256) = 2**63 - 1
U40: constant(uint256) = 2**40 - 1
U64: constant(uint256) = 2**64 - 1
U96: constant(uint256) = 2**96 - 1

PYTH: immutable(IPyth)
ID: immutable(bytes32)

# By second: price u96 | half_width u96 | published_at u40; 0 while it is not proved.
_proofs: HashMap[uint256, uint256]


@deploy
def __init__(pyth: address, id: bytes32, sequencer_feed: address, grace_period: uint256):
    """
    @param pyth            the Pyth contract of the chain
    @param id              of base/quote
    @param sequencer_feed  the sequencer uptime feed of the rollup; zero where there is no sequencer
    @param grace_period    [s] to wait after the sequencer came back; at most a day
    """
    sequencer.__init__(sequencer_feed, grace_period)
    PYTH = IPyth(pyth)
    ID = id


# ── Permissionless ──


@payable
@external
def update(data: DynArray[Bytes[MAX_DATA], MAX_PARTS]) -> uint256:
    """
    @notice Brings newer prices. A price that is not newer changes nothing, and costs the fee all the same: ask by a call first.
    @param data  what Pyth's price service answers
    @return id of the round that `latest` now answers; 0 if that is not ok
    """
    fee: uint256 = self._take_fee(data)
    extcall PYTH.updatePriceFeeds(data, value=fee)
    self._refund(fee)
    return (staticcall IFeed(self).latest()).round_id


@payable
@external
def prove(time: uint256, data: DynArray[Bytes[MAX_DATA], MAX_PARTS]):
    """
    @notice Proves what the price was at a time that has come: Pyth's first update at or after it. If that is known, nothing
            happens and nothing is paid.
    @dev    An update that is no price, or is one that nobody may believe, proves nothing: the market then needs another feed.
    @param time  [s]
    @param data  what Pyth's price service answers for that time
    """
    if self._proofs[time] != 0:
        self._refund(0)
        return
    assert time != 0 and time <= block.timestamp, "feed: not yet"
    fee: uint256 = self._take_fee(data)
    found: DynArray[PriceFeed, 1] = []
    slots: DynArray[uint64, 1] = []
    # `is_first`: the update before this one was published before `time`
    found, slots = extcall PYTH.parsePriceFeedUpdatesWithConfig(
        data, [ID], convert(time, uint64), max_value(uint64), True, False, False, value=fee
    )
    price: Price = found[0].price
    round: IFeed.Round = self._round(
        convert(max(price.price, 0), uint256),
        convert(price.conf, uint256),
        convert(price.expo, int256),
        price.publish_time,
    )
    assert found[0].id == ID and price.publish_time >= time, "feed: another price"
    assert round.ok, "feed: not a price"
    self._proofs[time] = round.price | (round.half_width << 96) | (round.round_id << 192)
    log IPullFeed.Proved(time=time, price=round.price, published_at=round.round_id)
    self._refund(fee)


# ── Views ──


@view
@external
@reentrant
def latest() -> IFeed.Round:
    """
    @notice The newest price that anybody has brought to Pyth.
    @dev Not locked: nothing that is written here is read.
    @return price and half_width [quote/base, WAD], updated_at [s]; `ok` False when it is no price, its confidence interval is
            wider than a tenth of it, Pyth does not answer, or the sequencer is down or not long enough up
    """
    if sequencer.UPTIME != empty(address) and not sequencer._is_ready():
        return empty(IFeed.Round)
    answered: bool = False
    response: Bytes[WORD_4] = b""
    answered, response = raw_call(
        PYTH.address,
        abi_encode(ID, method_id=method_id("getPriceUnsafe(bytes32)")),
        max_outsize=WORD_4,
        gas=sequencer.UPSTREAM_GAS,
        is_static_call=True,
        revert_on_failure=False,
    )
    if not answered or len(response) != WORD_4:
        return empty(IFeed.Round)
    price: uint256 = 0
    conf: uint256 = 0
    expo: int256 = 0
    publish_time: uint256 = 0
    # plain 256-bit numbers: decoding as int64 would revert on a dirty word
    price, conf, expo, publish_time = abi_decode(response, (uint256, uint256, int256, uint256))
    return self._round(price, conf, expo, publish_time)


@view
@external
@reentrant
def round_at(round_id: uint256) -> IFeed.Round:
    """
    @notice Nothing: which rounds are here is chosen by those who bring them, so none proves anything. See `proved`.
    """
    return empty(IFeed.Round)


@view
@external
@reentrant
def proved(time: uint256) -> IFeed.Round:
    """
    @notice The first round at or after a time, if somebody has proved it.
    @dev Not locked: a proof is written in one step.
    @param time  [s]
    @return as `latest`, known by that time; `ok` False while nobody has
    """
    word: uint256 = self._proofs[time]
    if word == 0:
        return empty(IFeed.Round)
    return IFeed.Round(
        round_id=time,
        price=word & U96,
        half_width=(word >> 96) & U96,
        updated_at=min(word >> 192, block.timestamp),
        ok=True,
    )


@view
@external
def update_fee(data: DynArray[Bytes[MAX_DATA], MAX_PARTS]) -> uint256:
    """@return [wei] what `update` and `prove` pay to Pyth for this data"""
    return staticcall PYTH.getUpdateFee(data)


@view
@external
def pyth() -> address:
    """@notice The Pyth contract that is read."""
    return PYTH.address


@view
@external
def id() -> bytes32:
    """@notice Pyth's name of the price."""
    return ID


# ── Internal ──


@internal
@pure
def _scaled(amount: uint256, expo: int256, up: uint256) -> uint256:
    """
    @param amount  [10**expo], below 2^64
    @param expo   in MIN_EXPO .. MAX_EXPO
    @param up     1 rounds up, 0 down
    @return [WAD] below 2^64 * 10^28 < 2^158
    """
    if expo >= -18:
        return amount * 10 ** convert(expo + 18, uint256)
    divisor: uint256 = 10 ** convert(-18 - expo, uint256)
    return (amount + up * (divisor - 1)) // divisor


@internal
@view
def _round(price: uint256, conf: uint256, expo: int256, publish_time: uint256) -> IFeed.Round:
    """
    @dev A negative price is a word above I64_MAX. Pyth's clock is not the block's: what is a little ahead was observed now.
    """
    if (
        price > I64_MAX or conf > U64
        or expo < MIN_EXPO or expo > MAX_EXPO
        or publish_time == 0 or publish_time > min(block.timestamp + MAX_AHEAD, U40)
    ):
        return empty(IFeed.Round)
    scaled: uint256 = self._scaled(price, expo, 0)
    half_width: uint256 = self._scaled(conf, expo, 1)
    if scaled == 0 or scaled > U96 or half_width * MIN_CONFIDENCE > scaled:
        return empty(IFeed.Round)
    return IFeed.Round(
        round_id=publish_time,
        price=scaled,
        half_width=half_width,
        updated_at=min(publish_time, block.timestamp),
        ok=True,
    )


@internal
@payable
def _take_fee(data: DynArray[Bytes[MAX_DATA], MAX_PARTS]) -> uint256:
    fee: uint256 = staticcall PYTH.getUpdateFee(data)
    assert msg.value >= fee, "feed: fee not covered"
    return fee


@internal
@payable
def _refund(fee: uint256):
    """@dev To the caller, who may be a contract: all of its gas, and the lock is taken."""
    if msg.value > fee:
        raw_call(msg.sender, b"", value=msg.value - fee)
