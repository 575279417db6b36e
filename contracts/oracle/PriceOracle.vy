# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  PriceOracle: the price and the realised volatility of every market
@notice Each market has one feed. `sync` reads it, and records its round if that is good and strictly newer than the recorded
        one, in round id and in time; only then does the variance estimate move, by the return between two recorded rounds
        over the time between them. So volatility cannot be moved by calling more often, and one round counts once.

        A market may have a second feed. While both are young and agree within a band nothing changes. Beyond the band a mark is
        as wide as it takes for every trader to get the worse of the two prices; marks wider than 1 / c.WIDE of the price take
        no new risk at the engines. While one of them is dead the other serves alone, with a wider mark.

        Actors: anyone syncs and reads. SETUP and GOVERNOR list markets and set parameters inside the bounds below; GOVERNOR
        replaces a feed, halts a market and lifts the halt. Nobody faster may halt: without a fresh mark
        nothing trades, closes included, and the guardian must not be able to stop a close.

        Invariants:
        - `peek` answers what `sync` would answer in this block, to the wei;
        - `sync`, `peek` and `last` never revert for a listed market, whatever its feed does;
        - a listed market has a price > 0 and a round whose time never goes back;
        - `price_at` answers one price for one time, whoever asks and whenever (see there);
        - a mark is fresh only if the feed answered a good round just now (in `last`: if the age allows), it is at most
          max_age old and the market is not halted;
        - `outage` is 0 while a mark is fresh, and never says more than how long there has been none.
@dev    Words of a market, by what changes together:
            config    feed u160 | max_age u24 | has_half_width u1 | halted u1 | has_second u1 | unused | sigma u64
            tuning    half_life_fast u32 | half_life_slow u32 | sigma_floor u64 | sigma_cap u64 | return_clip u64
            round     price u96 | round_id u80 | updated_at u40 | prev_updated_at u40
            variance  fast u96 (1e-24) | slow u96 (1e-24)
            width     half_width u96, only with has_half_width
            second    feed u160 | band_bps u16 | lone_bps u16, only with has_second
            halt      the time it began, 0 without one
        lowest bits first. A sync of a known round reads config and round, and writes nothing.
@custom:kill halt(market), by GOVERNOR: every mark of the market says fresh = False until it is resumed. To stop new risk
        at once, pause the market at PerpEngine instead (guardian).
"""

from interfaces import IFeed
from interfaces import IPriceOracle

implements: IPriceOracle

from contracts import constants as c
from contracts.governance import roles
from contracts.oracle import variance

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


interface ITwoFeeds:
    def with_second(market: uint256) -> (IPriceOracle.Mark, uint256, bool, uint256): view


struct Config:
    feed: address
    max_age: uint256            # [s]
    has_half_width: bool
    halted: bool

struct Tuning:
    half_life_fast: uint256     # [s]
    half_life_slow: uint256     # [s]
    sigma_floor: uint256        # [1/sqrt(year), WAD]
    sigma_cap: uint256          # [1/sqrt(year), WAD]
    return_clip: uint256        # [log return, WAD]

struct Second:
    feed: address               # zero: none
    band_bps: uint256           # [bp of the mark] how far the feeds may differ and the mark is as narrow as the first's
    lone_bps: uint256           # [bp of the mark] added to the half-width while one feed is alone

struct Estimate:
    fast_24: uint256            # [1/year, 1e24] variance, fast half-life
    slow_24: uint256            # [1/year, 1e24] variance, slow half-life
    sigma: uint256              # [1/sqrt(year), WAD]


WORD_5: constant(uint256) = 160                     # [bytes] of an IFeed.Round
# What a feed may burn before it counts as dead: more than ChainlinkFeed needs when its upstream burns all it is given.
FEED_GAS: constant(uint256) = 400_000
# With less left a round that is there could be made to look missing.
PROOF_GAS: constant(uint256) = FEED_GAS + FEED_GAS // 63 + 10_000
# So many ids in a row without a good round are the end of a phase.
MAX_GAP: constant(uint256) = 16
# Phases that a proof may span.
MAX_PHASES: constant(uint256) = 16

# Immutable bounds of the parameters.
MIN_MAX_AGE: constant(uint256) = 10
MAX_MAX_AGE: constant(uint256) = 26 * 3_600         # [s] the slowest heartbeats in use are a day
MIN_HALF_LIFE: constant(uint256) = 60
MAX_HALF_LIFE: constant(uint256) = 90 * c.DAY
MIN_SIGMA: constant(uint256) = 10**16               # 1 %
MAX_SIGMA: constant(uint256) = 9 * 10**18           # 900 %: Inventory keeps sigma in 63 bits
MIN_CLIP: constant(uint256) = 10**16
MAX_CLIP: constant(uint256) = 10**18
MAX_FEED_STEP_BPS: constant(uint256) = 500          # a new feed may differ from a mark that is not old by this
MAX_SECOND_BPS: constant(uint256) = c.BPS // c.WIDE # of band and of what is added for a feed that is alone

HAS_HALF_WIDTH: constant(uint256) = 1 << 184        # bits of the config word
HALTED: constant(uint256) = 1 << 185
HAS_SECOND: constant(uint256) = 1 << 186
U16: constant(uint256) = 2**16 - 1
U24: constant(uint256) = 2**24 - 1
U32: constant(uint256) = 2**32 - 1
U40: constant(uint256) = 2**40 - 1
U64: constant(uint256) = 2**64 - 1
U80: constant(uint256) = 2**80 - 1
U96: constant(uint256) = 2**96 - 1
U160: constant(uint256) = 2**160 - 1
U192: constant(uint256) = 2**192 - 1

# Listed markets are 0 .. market_count - 1.
market_count: public(uint256)
# Where the price comes from and when it may be used, and the volatility that the estimates imply, stored so that a known
# round costs no square root and no word of its own; zero if not listed.
_configs: uint256[c.MAX_MARKETS]
# The last accepted round; read and written by every new round.
_rounds: uint256[c.MAX_MARKETS]
# The variance estimates; read and written by every new round.
_estimates: uint256[c.MAX_MARKETS]
# How the estimate moves; read on new rounds only.
_tunings: uint256[c.MAX_MARKETS]
# The provider's confidence in the last accepted round; used only where has_half_width.
_half_widths: uint256[c.MAX_MARKETS]
# Since when the market has been halted, 0 if it is not; for `outage` alone. [s]
_halted_at: uint256[c.MAX_MARKETS]
# The second feed; read only where there is one.
_seconds: uint256[c.MAX_MARKETS]


@deploy
def __init__(admin: address, setup: address):
    """
    @param admin  governor from the start
    @param setup  may list markets and set parameters until it renounces
    """
    roles.__init__(admin, setup)


# ── Permissionless ──


@external
@reentrant
def sync(market: uint256) -> IPriceOracle.Mark:
    """
    @notice Records the newest good round of a market and answers its mark.
    @dev The only call out is a gas-bounded static call whose failure is an answer: nothing here can revert for a listed market.
         Not locked: during a static call nothing can be written, and all that is written here follows it.
    @param market  index
    @return the mark after recording
    """
    word: uint256 = self._word(market)
    mark: IPriceOracle.Mark = empty(IPriceOracle.Mark)
    variances: uint256 = 0
    accepted: bool = False
    width: uint256 = 0
    mark, variances, accepted, width = self._evaluate(market, word)
    if accepted:
        self._record(market, word, mark, variances)
    mark.half_width = width
    return mark


# ── Privileged ──


@external
def list_market(feed: address, params: IPriceOracle.Params) -> uint256:
    """
    @notice Lists a market under the next index. Its feed must answer a good round now, so that every listed market has a price.
    @param feed    an IFeed
    @param params  see IPriceOracle.Params; inside the immutable bounds
    @return the market's index
    """
    roles._check(roles.Role.SETUP | roles.Role.GOVERNOR)
    self._check_params(params)
    market: uint256 = self.market_count
    assert market < c.MAX_MARKETS, "oracle: too many markets"
    self.market_count = market + 1

    word: uint256 = self._encode(
        Config(feed=feed, max_age=params.max_age, has_half_width=params.has_half_width, halted=False)
    )
    round: IFeed.Round = self._read(feed)
    assert round.ok, "oracle: feed has no good round"
    # WAD^2 = 1e36; a variance is kept at 1e24
    seed_24: uint256 = params.initial_sigma * params.initial_sigma // 10**12

    self._save_tuning(market, params)
    log IPriceOracle.MarketListed(market=market, feed=feed, params=params)
    self._record(
        market,
        word,
        IPriceOracle.Mark(
            price=round.price,
            sigma=params.initial_sigma,
            half_width=round.half_width if params.has_half_width else 0,
            round_id=round.round_id,
            updated_at=round.updated_at,
            prev_updated_at=0,
            fresh=False,
        ),
        seed_24 | (seed_24 << 96),
    )
    return market


@external
def set_params(market: uint256, params: IPriceOracle.Params):
    """
    @notice Sets a market's parameters. The variances stay; sigma is brought inside the new floor and cap at once.
    @param params  see IPriceOracle.Params; initial_sigma is checked but has no effect
    """
    roles._check(roles.Role.GOVERNOR | roles.Role.SETUP | roles.Role.STEWARD)
    self._check_params(params)
    word: uint256 = self._word(market)
    config: Config = self._decode(word)
    if not config.has_half_width:
        self._half_widths[market] = 0               # what an earlier setting left there is not this round's
    config.max_age = params.max_age
    config.has_half_width = params.has_half_width
    self._save_tuning(market, params)
    estimate: Estimate = self._load_estimate(market, word)
    sigma: uint256 = variance.volatility(
        estimate.fast_24, estimate.slow_24, params.sigma_floor, params.sigma_cap
    )
    self._configs[market] = self._with_sigma(self._encode(config) | (word & HAS_SECOND), sigma)
    log IPriceOracle.ParamsSet(market=market, params=params, sigma=sigma)


@external
def set_feed(market: uint256, feed: address):
    """
    @notice Replaces a market's feed, and records the new feed's round.
    @dev Round ids of two feeds do not compare, so only the time must be strictly newer. While the recorded mark is not old the new
         price must agree with it: a governor cannot reprice a living market.
    @param feed  an IFeed whose newest round is good
    """
    roles._check(roles.Role.GOVERNOR)
    word: uint256 = self._word(market)
    config: Config = self._decode(word)
    previous_feed: address = config.feed
    mark: IPriceOracle.Mark = self._load_mark(market, word)
    round: IFeed.Round = self._read(feed)
    assert round.ok, "oracle: feed has no good round"
    assert round.updated_at > mark.updated_at, "oracle: round is not newer"
    if block.timestamp - mark.updated_at <= config.max_age:
        assert (
            self._distance(round.price, mark.price) * c.BPS <= mark.price * MAX_FEED_STEP_BPS
        ), "oracle: feed disagrees"

    config.feed = feed
    log IPriceOracle.FeedSet(market=market, feed=feed, previous_feed=previous_feed)
    variances: uint256 = 0
    mark, variances = self._advance(market, word, mark, round)
    self._record(market, self._encode(config) | (word & HAS_SECOND), mark, variances)


@external
def set_second(market: uint256, second: Second):
    """
    @notice Gives a market a second feed, or takes it away (all zero).
    @dev While the recorded mark is not old the second feed must agree with it as a new first one must, since it may have to
         serve alone.
    @param second  an IFeed whose newest round is good and not old; band_bps and lone_bps at most MAX_SECOND_BPS
    """
    roles._check(roles.Role.SETUP | roles.Role.GOVERNOR)
    word: uint256 = self._word(market) & ~HAS_SECOND
    assert second.band_bps <= MAX_SECOND_BPS and second.lone_bps <= MAX_SECOND_BPS, "oracle: band out of bounds"
    if second.feed != empty(address):
        round: IFeed.Round = self._read(second.feed)
        assert self._young(word, round), "oracle: feed has no good round"
        mark: IPriceOracle.Mark = self._load_mark(market, word)
        if block.timestamp - mark.updated_at <= (word >> 160) & U24:
            assert (
                self._distance(round.price, mark.price) * c.BPS <= mark.price * MAX_FEED_STEP_BPS
            ), "oracle: feed disagrees"
        word |= HAS_SECOND
    self._configs[market] = word
    self._seconds[market] = (
        convert(second.feed, uint256) | (second.band_bps << 160) | (second.lone_bps << 176)
    )
    log IPriceOracle.SecondSet(
        market=market, feed=second.feed, band_bps=second.band_bps, lone_bps=second.lone_bps
    )


@external
def halt(market: uint256):
    """@notice No mark of the market is fresh until it is resumed; rounds are still recorded."""
    roles._check(roles.Role.GOVERNOR)
    self._set_halted(market, True)


@external
def resume(market: uint256):
    """@notice Ends a halt."""
    roles._check(roles.Role.GOVERNOR)
    self._set_halted(market, False)


# ── Views ──


@view
@external
def peek(market: uint256) -> IPriceOracle.Mark:
    """
    @notice What `sync` would answer now.
    @param market  index
    @return the mark that a sync would leave
    """
    mark: IPriceOracle.Mark = empty(IPriceOracle.Mark)
    variances: uint256 = 0
    accepted: bool = False
    width: uint256 = 0
    mark, variances, accepted, width = self._evaluate(market, self._word(market))
    mark.half_width = width
    return mark


@view
@external
def last(market: uint256) -> IPriceOracle.Mark:
    """
    @notice The last recorded mark, from storage alone; fresh if not halted and not too old. Its half-width is that of the round:
            what a second feed says is not asked.
    @param market  index
    @return the mark of the last sync
    """
    word: uint256 = self._word(market)
    mark: IPriceOracle.Mark = self._load_mark(market, word)
    mark.fresh = self._usable(word, mark.updated_at)
    return mark


@view
@external
def outage(market: uint256) -> uint256:
    """
    @notice How long nobody has been able to trade at least: since the last round grew too old, or the halt if that is longer.
    @dev    Age counts from max_age on: a feed that moves once a day is not out for a day when one round is late. The feed
            gets its gas: nobody makes it look dead by sending little. What it answered before it stopped counts
            if somebody has recorded it: sync markets that nobody trades.
    @param market  index
    @return [s] 0 if `peek` answers a fresh mark
    """
    word: uint256 = self._word(market)
    self._check_gas()
    mark: IPriceOracle.Mark = self._evaluate(market, word)[0]
    if mark.fresh:
        return 0
    lasting: uint256 = 0
    too_old_at: uint256 = mark.updated_at + ((word >> 160) & U24)
    if block.timestamp > too_old_at:
        lasting = block.timestamp - too_old_at
    if word & HALTED != 0:
        lasting = max(lasting, block.timestamp - self._halted_at[market])
    return lasting


@view
@external
def price_at(market: uint256, time: uint256, round_id: uint256) -> uint256:
    """
    @notice The price that settles what was due at `time`: that of the last good round at or before it, if that was fresh then,
            else that of the first good round after it, because nobody could trade in between.
    @dev    A feed that itself proves what its price was at a time (IPullFeed) is believed and has no rounds to name. For others:
            ids are those of the market's present feed, phase << 64 | n with n from 1 in every phase; a feed that knows no phases is
            in phase 0. Within a phase times never go back. Aggregators of two phases may run at the same time: the last
            phase that had a round by `time` answers for it, and the first round after is the earliest of what follows in that
            phase and of the first rounds of the phases after it. So a round that comes later changes nothing; an aggregator that ran
            at `time` and comes into view later does, until somebody has settled. The second feed settles nothing. Ids without a good round are passed over,
            up to MAX_GAP in a row; so many in a row end a phase. No round may look missing for want of gas.
    @param time      [s]
    @param round_id  the last good round at or before `time`; 0 if the feed has none
    @return [quote/base, WAD]
    """
    word: uint256 = self._word(market)
    feed: address = self._feed(word)
    self._check_gas()
    proved: IFeed.Round = self._ask(feed, abi_encode(time, method_id=method_id("proved(uint256)")))
    if proved.ok and proved.round_id == time:
        return proved.price
    newest: uint256 = max(self._read(feed).round_id, (self._rounds[market] >> 96) & U80) >> 64
    before: IFeed.Round = empty(IFeed.Round)
    if round_id != 0:
        before = self._round_at(feed, round_id)
        assert before.ok, "oracle: no such round"
        assert before.updated_at <= time, "oracle: round is after"
    phase: uint256 = round_id >> 64
    newest = max(newest, phase)
    assert newest - phase <= MAX_PHASES, "oracle: too many phases"
    after: IFeed.Round = self._first(feed, round_id + 1)
    for later: uint256 in range(phase + 1, newest + 1, bound=MAX_PHASES):
        first: IFeed.Round = self._first(feed, (later << 64) + 1)
        if first.ok and (not after.ok or first.updated_at < after.updated_at):
            after = first
    assert after.ok, "oracle: no round after"
    assert after.updated_at > time, "oracle: not the last round"
    if before.ok and time - before.updated_at <= (word >> 160) & U24:
        return before.price
    return after.price


@view
@external
def config(market: uint256) -> Config:
    """@return feed, max_age [s], has_half_width, halted"""
    return self._decode(self._word(market))


@view
@external
def second(market: uint256) -> Second:
    """@return the second feed, zero if there is none, its band and what a lone feed adds [bp]"""
    self._word(market)
    word: uint256 = self._seconds[market]
    return Second(feed=self._feed(word), band_bps=(word >> 160) & U16, lone_bps=word >> 176)


@view
@external
def params(market: uint256) -> IPriceOracle.Params:
    """@return what `set_params` would take and change nothing; initial_sigma is not kept, sigma_floor stands for it"""
    config: Config = self._decode(self._word(market))
    tuning: Tuning = self._load_tuning(market)
    return IPriceOracle.Params(
        max_age=config.max_age,
        half_life_fast=tuning.half_life_fast,
        half_life_slow=tuning.half_life_slow,
        sigma_floor=tuning.sigma_floor,
        sigma_cap=tuning.sigma_cap,
        return_clip=tuning.return_clip,
        initial_sigma=tuning.sigma_floor,
        has_half_width=config.has_half_width,
    )


@view
@external
def tuning(market: uint256) -> Tuning:
    """@return half-lives [s], floor and cap of sigma [1/sqrt(year), WAD], clip of a log return [WAD]"""
    self._word(market)
    return self._load_tuning(market)


@view
@external
def estimate(market: uint256) -> Estimate:
    """@return recorded variances [1/year, 1e24] and sigma [1/sqrt(year), WAD]"""
    return self._load_estimate(market, self._word(market))


@view
@external
@reentrant
def with_second(market: uint256) -> (IPriceOracle.Mark, uint256, bool, uint256):
    """
    @notice What a sync would leave in a market with two feeds.
    @dev The first feed's rounds are recorded while it is young. While it is not and the second one is, that one's are, under the
         id of the first feed's last round: ids stay those of one feed.
         The width covers what every young feed says, its own half-width included, once one of them is outside the band
         around the mark: ask >= the highest and bid <= the lowest price that any of them holds possible.
         External, so that its memory costs nothing where there is one feed.
    @return the mark, the variance word, whether a new round is accepted, and the half-width that the mark is told with
    """
    word: uint256 = self._word(market)
    mark: IPriceOracle.Mark = self._load_mark(market, word)
    first: IFeed.Round = self._read(self._feed(word))
    variances: uint256 = 0
    settings: uint256 = self._seconds[market]
    second: IFeed.Round = self._read(self._feed(settings))
    first_young: bool = self._young(word, first)
    second_young: bool = self._young(word, second)
    stands_in: bool = second_young and not first_young
    round: IFeed.Round = first
    if stands_in:
        round = second
        round.round_id = mark.round_id
    accepted: bool = (
        round.ok and (stands_in or round.round_id > mark.round_id) and round.updated_at > mark.updated_at
    )
    if accepted:
        mark, variances = self._advance(market, word, mark, round)
    mark.fresh = round.ok and self._usable(word, mark.updated_at)

    farthest: uint256 = 0
    reach: uint256 = 0
    if first_young:
        farthest = self._distance(first.price, mark.price)
        reach = farthest + first.half_width
    if second_young:
        distance: uint256 = self._distance(second.price, mark.price)
        farthest = max(farthest, distance)
        reach = max(reach, distance + second.half_width)
    width: uint256 = mark.half_width
    if farthest * c.BPS > mark.price * ((settings >> 160) & U16):
        width = max(width, reach)
    if first_young != second_young:
        width += (mark.price * (settings >> 176) + c.BPS - 1) // c.BPS
    return mark, variances, accepted, width


# ── Internal ──


@internal
@view
def _evaluate(market: uint256, word: uint256) -> (IPriceOracle.Mark, uint256, bool, uint256):
    """
    @dev What a sync in this block leaves: mark, variance word, and whether a new round was accepted; without one the word is not
         read. Last comes the half-width that the mark is told with; its own is the one to record.
         `sync` and `peek` share all of it, hence agree.
    """
    if word & HAS_SECOND != 0:
        return staticcall ITwoFeeds(self).with_second(market)
    mark: IPriceOracle.Mark = self._load_mark(market, word)
    variances: uint256 = 0
    round: IFeed.Round = self._read(self._feed(word))
    accepted: bool = round.ok and round.round_id > mark.round_id and round.updated_at > mark.updated_at
    if accepted:
        mark, variances = self._advance(market, word, mark, round)
    mark.fresh = round.ok and self._usable(word, mark.updated_at)
    return mark, variances, accepted, mark.half_width


@internal
@view
def _young(word: uint256, round: IFeed.Round) -> bool:
    """@return whether a feed's newest round is good and not too old"""
    # a good round has updated_at <= now
    return round.ok and unsafe_sub(block.timestamp, round.updated_at) <= (word >> 160) & U24


@internal
@pure
def _distance(a: uint256, b: uint256) -> uint256:
    return max(a, b) - min(a, b)


@internal
@view
def _usable(word: uint256, updated_at: uint256) -> bool:
    """@return whether the market is not halted and a round of this time not too old"""
    # updated_at <= now: every accepted round was, at its time
    return word & HALTED == 0 and unsafe_sub(block.timestamp, updated_at) <= (word >> 160) & U24


@internal
@view
def _advance(
    market: uint256, word: uint256, mark: IPriceOracle.Mark, round: IFeed.Round
) -> (IPriceOracle.Mark, uint256):
    """
    @dev The round after `mark`: round.updated_at > mark.updated_at, both prices in [1, 2^96).
    @return the mark but for fresh, and the variance word
    """
    tuning: Tuning = self._load_tuning(market)
    estimate: Estimate = self._load_estimate(market, word)
    # the caller has compared the times
    dt: uint256 = unsafe_sub(round.updated_at, mark.updated_at)
    sample_24: uint256 = variance.sample(
        variance.log_return(round.price, mark.price, tuning.return_clip), dt
    )
    fast_24: uint256 = variance.blend(
        estimate.fast_24, sample_24, variance.forgetting(dt, tuning.half_life_fast)
    )
    slow_24: uint256 = variance.blend(
        estimate.slow_24, sample_24, variance.forgetting(dt, tuning.half_life_slow)
    )
    mark.prev_updated_at = mark.updated_at
    mark.updated_at = round.updated_at
    mark.round_id = round.round_id
    mark.price = round.price
    mark.half_width = round.half_width if word & HAS_HALF_WIDTH != 0 else 0
    mark.sigma = variance.volatility(fast_24, slow_24, tuning.sigma_floor, tuning.sigma_cap)
    # blend saturates at U96
    return mark, fast_24 | (slow_24 << 96)


@internal
@view
def _first(feed: address, round_id: uint256) -> IFeed.Round:
    """@return the first good round of the ids from this one on; nothing if MAX_GAP of them have none"""
    for i: uint256 in range(MAX_GAP):
        round: IFeed.Round = self._round_at(feed, round_id + i)
        if round.ok:
            return round
    return empty(IFeed.Round)


@internal
@view
def _round_at(feed: address, round_id: uint256) -> IFeed.Round:
    """@return the feed's round of this id if it is good, else nothing"""
    self._check_gas()
    round: IFeed.Round = self._ask(feed, abi_encode(round_id, method_id=method_id("round_at(uint256)")))
    if round.round_id != round_id:
        return empty(IFeed.Round)
    return round


@internal
@view
def _check_gas():
    """@dev A feed that fails has then had all it may burn: nobody makes a round look missing by sending little."""
    assert msg.gas >= PROOF_GAS, "oracle: gas for a proof"


@internal
@view
def _read(feed: address) -> IFeed.Round:
    """@return the feed's newest round if it is good, else nothing"""
    return self._ask(feed, method_id("latest()"))


@internal
@view
def _ask(feed: address, question: Bytes[36]) -> IFeed.Round:
    """
    @dev The round that the feed answers if it is good and fits the words, else nothing. Words are decoded as plain 256-bit numbers,
         because decoding a bool reverts on any word but 0 and 1.
    """
    answered: bool = False
    response: Bytes[WORD_5] = b""
    answered, response = raw_call(
        feed,
        question,
        max_outsize=WORD_5,
        gas=FEED_GAS,
        is_static_call=True,
        revert_on_failure=False,
    )
    if not answered or len(response) != WORD_5:
        return empty(IFeed.Round)
    round_id: uint256 = 0
    price: uint256 = 0
    half_width: uint256 = 0
    updated_at: uint256 = 0
    ok: uint256 = 0
    round_id, price, half_width, updated_at, ok = abi_decode(
        response, (uint256, uint256, uint256, uint256, uint256)
    )
    if (
        ok != 1
        or round_id > U80
        or price == 0 or price > U96
        or half_width > U96
        or updated_at == 0 or updated_at > min(block.timestamp, U40)
    ):
        return empty(IFeed.Round)
    return IFeed.Round(
        round_id=round_id, price=price, half_width=half_width, updated_at=updated_at, ok=True
    )


@internal
def _record(market: uint256, word: uint256, mark: IPriceOracle.Mark, variances: uint256):
    """
    @param word       of the configuration; its sigma is replaced by the mark's
    @param variances  word of the estimates
    """
    self._configs[market] = self._with_sigma(word, mark.sigma)
    self._save_mark(market, word, mark)
    self._estimates[market] = variances
    log IPriceOracle.RoundAccepted(
        market=market,
        round_id=mark.round_id,
        price=mark.price,
        sigma=mark.sigma,
        updated_at=mark.updated_at,
    )


@internal
def _set_halted(market: uint256, halted: bool):
    word: uint256 = self._word(market)
    self._configs[market] = word | HALTED if halted else word & ~HALTED
    if not halted:
        self._halted_at[market] = 0
    elif word & HALTED == 0:                        # a second halt does not begin anew
        self._halted_at[market] = block.timestamp
    log IPriceOracle.HaltSet(market=market, halted=halted, by=msg.sender)


@internal
@pure
def _check_params(params: IPriceOracle.Params):
    assert MIN_MAX_AGE <= params.max_age and params.max_age <= MAX_MAX_AGE, "oracle: age out of bounds"
    assert (
        MIN_HALF_LIFE <= params.half_life_fast
        and params.half_life_fast <= params.half_life_slow
        and params.half_life_slow <= MAX_HALF_LIFE
    ), "oracle: half-life out of bounds"
    assert (
        MIN_SIGMA <= params.sigma_floor
        and params.sigma_floor <= params.initial_sigma
        and params.initial_sigma <= params.sigma_cap
        and params.sigma_cap <= MAX_SIGMA
    ), "oracle: sigma out of bounds"
    assert MIN_CLIP <= params.return_clip and params.return_clip <= MAX_CLIP, "oracle: clip out of bounds"


# ── Words ──


@internal
@view
def _word(market: uint256) -> uint256:
    """@return the config word of a listed market"""
    word: uint256 = 0
    if market < c.MAX_MARKETS:
        word = self._configs[market]
    assert word != 0, "oracle: not listed"
    return word


@internal
@pure
def _feed(word: uint256) -> address:
    return convert(word & U160, address)


@internal
@pure
def _decode(word: uint256) -> Config:
    return Config(
        feed=self._feed(word),
        max_age=(word >> 160) & U24,
        has_half_width=word & HAS_HALF_WIDTH != 0,
        halted=word & HALTED != 0,
    )


@internal
@pure
def _encode(config: Config) -> uint256:
    """@return the config word but for sigma and the second feed"""
    # _check_params bounds max_age
    word: uint256 = convert(config.feed, uint256) | (config.max_age << 160)
    if config.has_half_width:
        word |= HAS_HALF_WIDTH
    if config.halted:
        word |= HALTED
    return word


@internal
@pure
def _with_sigma(word: uint256, sigma: uint256) -> uint256:
    # sigma <= MAX_SIGMA < 2^64
    return (word & U192) | (sigma << 192)


@internal
@view
def _load_tuning(market: uint256) -> Tuning:
    word: uint256 = self._tunings[market]
    return Tuning(
        half_life_fast=word & U32,
        half_life_slow=(word >> 32) & U32,
        sigma_floor=(word >> 64) & U64,
        sigma_cap=(word >> 128) & U64,
        return_clip=word >> 192,
    )


@internal
def _save_tuning(market: uint256, params: IPriceOracle.Params):
    # _check_params bounds every field
    self._tunings[market] = (
        params.half_life_fast
        | (params.half_life_slow << 32)
        | (params.sigma_floor << 64)
        | (params.sigma_cap << 128)
        | (params.return_clip << 192)
    )


@internal
@view
def _load_mark(market: uint256, word: uint256) -> IPriceOracle.Mark:
    """@dev fresh is the caller's to fill."""
    round: uint256 = self._rounds[market]
    half_width: uint256 = 0
    if word & HAS_HALF_WIDTH != 0:
        half_width = self._half_widths[market]
    return IPriceOracle.Mark(
        price=round & U96,
        sigma=word >> 192,
        half_width=half_width,
        round_id=(round >> 96) & U80,
        updated_at=(round >> 176) & U40,
        prev_updated_at=round >> 216,
        fresh=False,
    )


@internal
def _save_mark(market: uint256, word: uint256, mark: IPriceOracle.Mark):
    # _read bounds every field, prev_updated_at was an updated_at
    self._rounds[market] = (
        mark.price | (mark.round_id << 96) | (mark.updated_at << 176) | (mark.prev_updated_at << 216)
    )
    if word & HAS_HALF_WIDTH != 0:
        self._half_widths[market] = mark.half_width


@internal
@view
def _load_estimate(market: uint256, word: uint256) -> Estimate:
    """@param word  of the configuration, which holds sigma"""
    variances: uint256 = self._estimates[market]
    return Estimate(fast_24=variances & U96, slow_24=variances >> 96, sigma=word >> 192)
