"""Integer twin of the oracle contracts.

Mirrors ``contracts/oracle/PriceOracle.vy``, ``ChainlinkFeed.vy``, ``PythFeed.vy`` and ``variance.vy``, and below them
the functions of snekmate's ``math.vy`` and Vyper's ``isqrt`` that they use, bit by bit. Names, order and rounding are
the contracts'.
What is not mirrored: roles, and how a word is packed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import isqrt
from typing import Protocol

from ballast.model.exact.fixed import BPS, MAX_MARKETS, WAD, WIDE, YEAR, require
from ballast.model.exact.structs import struct

U40 = 2**40 - 1
U64 = 2**64 - 1
U80 = 2**80 - 1
U96 = 2**96 - 1

# ── snekmate.utils.math ──


def _signed(x: int) -> int:
    """The low 256 bits of ``x`` as int256: what Vyper's unsafe arithmetic leaves."""
    x &= 2**256 - 1
    return x - 2**256 if x >> 255 else x


def _unsafe_div(x: int, y: int) -> int:
    """EVM SDIV: toward zero, 0 if y is 0."""
    if y == 0:
        return 0
    q = abs(x) // abs(y)
    return _signed(q if (x < 0) == (y < 0) else -q)


def wad_ln(x: int) -> int:
    """ln(x) of a WAD in WAD, snekmate's ``_wad_ln``: 0 for 0, reverts below."""
    require(x >= 0, "math: wad_ln undefined")
    if x == 0:
        return 0
    k = x.bit_length() - 1 - 96
    x = ((x << (159 - k)) & (2**256 - 1)) >> 159

    p = _signed(_signed((x + 3_273_285_459_638_523_848_632_254_066_296) * x) >> 96)
    p = _signed(p + 24_828_157_081_833_163_892_658_089_445_524)
    p = _signed((_signed(p * x) >> 96) + 43_456_485_725_739_037_958_740_375_743_393)
    p = _signed((_signed(p * x) >> 96) - 11_111_509_109_440_967_052_023_855_526_967)
    p = _signed((_signed(p * x) >> 96) - 45_023_709_667_254_063_763_336_534_515_857)
    p = _signed((_signed(p * x) >> 96) - 14_706_773_417_378_608_786_704_636_184_526)
    p = _signed(_signed(p * x) - (795_164_235_651_350_426_258_249_787_498 << 96))

    q = _signed(_signed((x + 5_573_035_233_440_673_466_300_451_813_936) * x) >> 96)
    q = _signed(q + 71_694_874_799_317_883_764_090_561_454_958)
    q = _signed((_signed(q * x) >> 96) + 283_447_036_172_924_575_727_196_451_306_956)
    q = _signed((_signed(q * x) >> 96) + 401_686_690_394_027_663_651_624_208_769_553)
    q = _signed((_signed(q * x) >> 96) + 204_048_457_590_392_012_362_485_061_816_622)
    q = _signed((_signed(q * x) >> 96) + 31_853_899_698_501_571_402_653_359_427_138)
    q = _signed((_signed(q * x) >> 96) + 909_429_971_244_387_300_277_376_558_375)

    r = _unsafe_div(p, q)
    r = _signed(r * 1_677_202_110_996_718_588_342_820_967_067_443_963_516_166)
    r += _signed(k * 16_597_577_552_685_614_221_487_285_958_193_947_469_193_820_559_219_878_177_908_093_499_208_371)
    r = _signed(r)
    r += 600_920_179_829_731_861_736_702_779_321_621_459_595_472_258_049_074_101_567_377_883_020_018_308
    return _signed(r) >> 174


def wad_exp(x: int) -> int:
    """exp(x) of a WAD in WAD, snekmate's ``_wad_exp``: 0 where the result is below one wei."""
    if x <= -41_446_531_673_892_822_313:
        return 0
    require(x < 135_305_999_368_893_231_589, "math: wad_exp overflow")
    ln2_96 = 54_916_777_467_707_473_351_141_471_128
    x = _unsafe_div(_signed(x << 78), 5**18)
    k = _signed(_unsafe_div(_signed(x << 96), ln2_96) + 2**95) >> 96
    x = _signed(x - k * ln2_96)

    y = _signed(_signed((x + 1_346_386_616_545_796_478_920_950_773_328) * x) >> 96)
    y = _signed(y + 57_155_421_227_552_351_082_224_309_758_442)
    p = _signed(_signed(y + x) - 94_201_549_194_550_492_254_356_042_504_812)
    p = _signed((_signed(p * y) >> 96) + 28_719_021_644_029_726_153_956_944_680_412_240)
    p = _signed(_signed(p * x) + (4_385_272_521_454_847_904_659_076_985_693_276 << 96))

    q = _signed(_signed((x - 2_855_989_394_907_223_263_936_484_059_900) * x) >> 96)
    q = _signed(q + 50_020_603_652_535_783_019_961_831_881_945)
    q = _signed((_signed(q * x) >> 96) - 533_845_033_583_426_703_283_633_433_725_380)
    q = _signed((_signed(q * x) >> 96) + 3_604_857_256_930_695_427_073_651_918_091_429)
    q = _signed((_signed(q * x) >> 96) - 14_423_608_567_350_463_180_887_372_962_807_573)
    q = _signed((_signed(q * x) >> 96) + 26_449_188_498_355_588_339_934_803_723_976_023)

    r = _unsafe_div(p, q)
    r = (r * 3_822_833_074_963_236_453_042_738_258_902_158_003_155_416_615_667) & (2**256 - 1)
    return r >> (195 - k)


# ── variance.vy ──

LN2_27 = 693_147_180_559_945_309_417_232_121
ONE_27 = 10**27
PADE_MAX_27 = ONE_27 // 16
NIL_27 = 41 * ONE_27
MAX_24 = U96


def log_return(now: int, before: int, clip: int) -> int:
    """min(|ln(now / before)|, clip) [WAD], rounded down."""
    quotient = now * WAD // before if now >= before else before * WAD // now
    return min(wad_ln(quotient), clip)


def forgetting(dt: int, half_life: int) -> int:
    """1 - 2^(-dt / half_life) [1e27]."""
    x = dt * LN2_27 // half_life
    if x >= NIL_27:
        return ONE_27
    if x > PADE_MAX_27:
        return ONE_27 - wad_exp(-(x // 10**9)) * 10**9
    x2 = x * x // ONE_27
    even = 1680 * ONE_27 + 180 * x2 + x2 * x2 // ONE_27
    odd = x * (840 * ONE_27 + 20 * x2) // ONE_27
    return 2 * odd * ONE_27 // (even + odd)


def sample(log_return: int, dt: int) -> int:
    """r² · YEAR / dt [1/year, 1e24], rounded down."""
    return log_return * log_return * YEAR // (dt * 10**12)


def blend(variance_24: int, sample_24: int, weight_27: int) -> int:
    """variance · (1 - weight) + sample · weight [1/year, 1e24], rounded up, saturated."""
    return min((variance_24 * (ONE_27 - weight_27) + sample_24 * weight_27 + (ONE_27 - 1)) // ONE_27, MAX_24)


def volatility(fast_24: int, slow_24: int, lowest: int, highest: int) -> int:
    """min(max(√fast, √slow, lowest), highest) [1/√year, WAD], rounded down."""
    return min(max(isqrt(max(fast_24, slow_24) * 10**12), lowest), highest)


# ── IFeed.vyi, ChainlinkFeed.vy ──


@struct
class Round:
    """``IFeed.Round``; the default is what a feed answers when it has nothing good to say."""

    round_id: int = 0
    price: int = 0
    half_width: int = 0
    updated_at: int = 0
    ok: bool = False


NO_ROUND = Round()


class Feed(Protocol):
    """Anything a market's price can come from."""

    def latest(self, now: int) -> Round:
        """The newest round, as the contract answers it in a block at ``now`` [s]."""
        ...

    def round_at(self, round_id: int, now: int) -> Round:
        """The round with this id."""
        ...


@dataclass(slots=True)
class FixedFeed:
    """Twin of ``contracts/testing/FeedDouble.vy``: answers the round it is given, and those in ``rounds``."""

    round: Round = NO_ROUND
    rounds: dict[int, Round] = field(default_factory=dict)

    def latest(self, now: int) -> Round:
        """The given round."""
        return self.round

    def round_at(self, round_id: int, now: int) -> Round:
        """The given round if it has this id, else one of the past."""
        return self.round if self.round.round_id == round_id else self.rounds.get(round_id, NO_ROUND)


@dataclass(frozen=True, slots=True)
class Response:
    """A round as AggregatorV3 answers it; ``None`` in place of one means that the call failed."""

    round_id: int
    answer: int
    started_at: int
    updated_at: int


@dataclass(slots=True)
class ChainlinkFeed:
    """Twin of ``ChainlinkFeed.vy`` over the upstream's present answers; ``rounds`` are what it answers by id."""

    decimals: int
    upstream: Response | None = None
    has_sequencer: bool = False
    sequencer: Response | None = None
    grace_period: int = 0
    rounds: dict[int, Response] = field(default_factory=dict)

    def latest(self, now: int) -> Round:
        """The upstream's newest round in WAD, if it may be believed at ``now``."""
        if self.has_sequencer and not sequencer_ready(self.sequencer, self.grace_period, now):
            return NO_ROUND
        return self.round(self.upstream, now)

    def round_at(self, round_id: int, now: int) -> Round:
        """The upstream's round of this id in WAD."""
        round_ = self.round(self.rounds.get(round_id), now)
        return round_ if round_.round_id == round_id else NO_ROUND

    def round(self, response: Response | None, now: int) -> Round:
        """The contract's ``_round``."""
        scale = 10 ** (18 - self.decimals)
        if response is None:
            return NO_ROUND
        if (
            not 0 < response.round_id <= U80
            or not 0 < response.answer <= U96 // scale
            or not 0 < response.updated_at <= now
        ):
            return NO_ROUND
        return Round(response.round_id, response.answer * scale, 0, response.updated_at, True)


def sequencer_ready(uptime: Response | None, grace_period: int, now: int) -> bool:
    """``sequencer.vy``, on a rollup: up, and for longer than the grace period."""
    return (
        uptime is not None
        and uptime.answer == 0
        and 0 < uptime.started_at <= now
        and now - uptime.started_at > grace_period
    )


# ── PythFeed.vy ──

MAX_AHEAD = 60
MIN_EXPO = -36
MAX_EXPO = 10
MIN_CONFIDENCE = 10


@dataclass(frozen=True, slots=True)
class PythPrice:
    """``PythStructs.Price``: price and confidence in units of 10^expo, published at a time [s]."""

    price: int
    conf: int
    expo: int
    publish_time: int


@dataclass(slots=True)
class PythFeed:
    """Twin of ``PythFeed.vy`` over the newest price that Pyth has; ``proofs`` are what was proved, by second."""

    upstream: PythPrice | None = None
    has_sequencer: bool = False
    sequencer: Response | None = None
    grace_period: int = 0
    proofs: dict[int, Round] = field(default_factory=dict)

    def latest(self, now: int) -> Round:
        """The newest price that anybody has brought."""
        if self.has_sequencer and not sequencer_ready(self.sequencer, self.grace_period, now):
            return NO_ROUND
        return pyth_round(self.upstream, now) if self.upstream else NO_ROUND

    def round_at(self, round_id: int, now: int) -> Round:
        """Nothing: see ``proved``."""
        return NO_ROUND

    def prove(self, time: int, found: PythPrice, now: int) -> None:
        """Keep Pyth's first update at or after a time."""
        if time in self.proofs:
            return
        require(0 < time <= now, "feed: not yet")
        round_ = pyth_round(found, now)
        require(found.publish_time >= time, "feed: another price")
        require(round_.ok, "feed: not a price")
        self.proofs[time] = round_

    def proved(self, time: int, now: int) -> Round:
        """The first round at or after a time, if somebody has proved it."""
        known = self.proofs.get(time, NO_ROUND)
        return replace(known, round_id=time, updated_at=min(known.round_id, now)) if known.ok else NO_ROUND


def pyth_round(p: PythPrice, now: int) -> Round:
    """The contract's ``_round``."""
    if (
        not 0 <= p.price < 2**63
        or not 0 <= p.conf <= U64
        or not MIN_EXPO <= p.expo <= MAX_EXPO
        or not 0 < p.publish_time <= min(now + MAX_AHEAD, U40)
    ):
        return NO_ROUND
    price, half_width = _scaled(p.price, p.expo, 0), _scaled(p.conf, p.expo, 1)
    if not 0 < price <= U96 or half_width * MIN_CONFIDENCE > price:
        return NO_ROUND
    return Round(p.publish_time, price, half_width, min(p.publish_time, now), True)


def _scaled(amount: int, expo: int, up: int) -> int:
    """[10^expo] as WAD, rounded up or down."""
    if expo >= -18:
        return amount * int(10 ** (expo + 18))
    divisor = int(10 ** (-18 - expo))
    return (amount + up * (divisor - 1)) // divisor


# ── IPriceOracle.vyi, PriceOracle.vy ──

MIN_MAX_AGE = 10
MAX_MAX_AGE = 26 * 3_600
MIN_HALF_LIFE = 60
MAX_HALF_LIFE = 90 * 86_400
MIN_SIGMA = 10**16
MAX_SIGMA = 9 * 10**18
MIN_CLIP = 10**16
MAX_CLIP = 10**18
MAX_FEED_STEP_BPS = 500
MAX_SECOND_BPS = BPS // WIDE
MAX_GAP = 16
MAX_PHASES = 16


@struct
class Mark:
    """``IPriceOracle.Mark``."""

    price: int
    sigma: int
    half_width: int
    round_id: int
    updated_at: int
    prev_updated_at: int
    fresh: bool


@dataclass(frozen=True, slots=True)
class Params:
    """``IPriceOracle.Params``, in the contract's order."""

    max_age: int = 3_600
    half_life_fast: int = 3_600
    half_life_slow: int = 7 * 86_400
    sigma_floor: int = 10 * 10**16
    sigma_cap: int = 5 * WAD
    return_clip: int = 20 * 10**16
    initial_sigma: int = 60 * 10**16
    has_half_width: bool = False


@struct
class Estimate:
    """Recorded variances [1/year, 1e24] and the volatility [WAD] they imply."""

    fast_24: int
    slow_24: int
    sigma: int


@dataclass(frozen=True, slots=True)
class Second:
    """``PriceOracle.Second``: another feed, and what the two may do to a mark's width [bp of it]."""

    feed: Feed
    band_bps: int
    lone_bps: int


@dataclass(slots=True)
class Market:
    """All words of one market."""

    feed: Feed
    params: Params
    mark: Mark
    estimate: Estimate
    halted: bool = False
    halted_at: int = 0  # [s] 0 if not halted
    half_width: int = 0  # the word of its own; the mark shows it only if has_half_width
    second: Second | None = None


@dataclass(slots=True)
class PriceOracle:
    """Twin of ``PriceOracle.vy``. ``now`` is the block's time."""

    markets: list[Market] = field(default_factory=list)

    def sync(self, market: int, now: int) -> Mark:
        """Record the newest good round and answer the mark."""
        m = self._load(market)
        mark, estimate, accepted, width = self._evaluate(m, now)
        if accepted:
            self._record(m, mark, estimate)
        return replace(mark, half_width=width)

    def list_market(self, feed: Feed, params: Params, now: int) -> int:
        """List a market; its feed must answer a good round."""
        _check_params(params)
        market = len(self.markets)
        require(market < MAX_MARKETS, "oracle: too many markets")
        round_ = _read(feed, now)
        require(round_.ok, "oracle: feed has no good round")
        seed_24 = params.initial_sigma * params.initial_sigma // 10**12
        mark = Mark(
            price=round_.price,
            sigma=params.initial_sigma,
            half_width=round_.half_width if params.has_half_width else 0,
            round_id=round_.round_id,
            updated_at=round_.updated_at,
            prev_updated_at=0,
            fresh=False,
        )
        estimate = Estimate(seed_24, seed_24, params.initial_sigma)
        m = Market(feed, params, mark, estimate)
        self.markets.append(m)
        self._record(m, mark, estimate)
        return market

    def set_params(self, market: int, params: Params) -> None:
        """Set parameters; sigma is brought inside the new floor and cap at once."""
        _check_params(params)
        m = self._load(market)
        if not m.params.has_half_width:
            m.half_width = 0
        m.params = params
        e = m.estimate
        sigma = volatility(e.fast_24, e.slow_24, params.sigma_floor, params.sigma_cap)
        m.estimate = replace(e, sigma=sigma)

    def set_feed(self, market: int, feed: Feed, now: int) -> None:
        """Replace the feed and record its round."""
        m = self._load(market)
        mark = self._load_mark(m)
        round_ = _read(feed, now)
        require(round_.ok, "oracle: feed has no good round")
        require(round_.updated_at > mark.updated_at, "oracle: round is not newer")
        if now - mark.updated_at <= m.params.max_age:
            _check_step(round_, mark)
        m.feed = feed
        mark, estimate = _advance(m.params, mark, m.estimate, round_)
        self._record(m, mark, estimate)

    def set_second(self, market: int, second: Second | None, now: int) -> None:
        """Give a market a second feed, or take it away."""
        m = self._load(market)
        if second is not None:
            require(max(second.band_bps, second.lone_bps) <= MAX_SECOND_BPS, "oracle: band out of bounds")
            round_ = _read(second.feed, now)
            require(_young(m, round_, now), "oracle: feed has no good round")
            if now - m.mark.updated_at <= m.params.max_age:
                _check_step(round_, m.mark)
        m.second = second

    def set_halted(self, market: int, halted: bool, now: int) -> None:
        """``halt`` and ``resume``; a second halt does not begin anew."""
        m = self._load(market)
        if not halted:
            m.halted_at = 0
        elif not m.halted:
            m.halted_at = now
        m.halted = halted

    def peek(self, market: int, now: int) -> Mark:
        """What ``sync`` would answer at ``now``."""
        mark, _, _, width = self._evaluate(self._load(market), now)
        return replace(mark, half_width=width)

    def last(self, market: int, now: int) -> Mark:
        """The last recorded mark; fresh if not halted and not too old."""
        m = self._load(market)
        mark = self._load_mark(m)
        fresh = not m.halted and now - mark.updated_at <= m.params.max_age
        return Mark(
            mark.price, m.estimate.sigma, mark.half_width, mark.round_id, mark.updated_at, mark.prev_updated_at, fresh
        )

    def outage(self, market: int, now: int) -> int:
        """How long nobody has been able to trade, at least: since the last round grew too old, or the halt [s]."""
        m = self._load(market)
        mark = self._evaluate(m, now)[0]
        if mark.fresh:
            return 0
        too_old = max(now - mark.updated_at - m.params.max_age, 0)
        return max(too_old, now - m.halted_at) if m.halted else too_old

    def price_at(self, market: int, time: int, round_id: int, now: int) -> int:
        """The price that settles what was due at ``time``; ``round_id`` is of the last good round, 0 without one."""
        m = self._load(market)
        if isinstance(m.feed, PythFeed):
            proved = _good(m.feed.proved(time, now), now)
            if proved.ok and proved.round_id == time:
                return proved.price
        before = NO_ROUND
        if round_id != 0:
            before = _round_at(m.feed, round_id, now)
            require(before.ok, "oracle: no such round")
            require(before.updated_at <= time, "oracle: round is after")
        phase = round_id >> 64
        newest = max(_read(m.feed, now).round_id >> 64, m.mark.round_id >> 64, phase)
        require(newest - phase <= MAX_PHASES, "oracle: too many phases")
        after = _first(m.feed, round_id + 1, now)
        for later in range(phase + 1, newest + 1):
            first = _first(m.feed, (later << 64) + 1, now)
            if first.ok and (not after.ok or first.updated_at < after.updated_at):
                after = first
        require(after.ok, "oracle: no round after")
        require(after.updated_at > time, "oracle: not the last round")
        fresh = before.ok and time - before.updated_at <= m.params.max_age
        return before.price if fresh else after.price

    def estimate(self, market: int) -> Estimate:
        """Recorded variances and sigma."""
        return self._load(market).estimate

    def _load(self, market: int) -> Market:
        require(market < len(self.markets), "oracle: not listed")
        return self.markets[market]

    def _load_mark(self, m: Market) -> Mark:
        half_width = m.half_width if m.params.has_half_width else 0
        mark = m.mark
        return Mark(mark.price, 0, half_width, mark.round_id, mark.updated_at, mark.prev_updated_at, False)

    def _evaluate(self, m: Market, now: int) -> tuple[Mark, Estimate, bool, int]:
        """Mark, estimate, whether a round was accepted, and the half-width that the mark is told with."""
        mark, estimate, half_width = m.mark, m.estimate, m.half_width if m.params.has_half_width else 0
        first = round_ = _read(m.feed, now)
        second = _read(m.second.feed, now) if m.second else NO_ROUND
        young = [each for each in (first, second) if _young(m, each, now)]
        stands_in = _young(m, second, now) and not _young(m, first, now)
        if stands_in:
            round_ = replace(second, round_id=mark.round_id)
        newer = stands_in or round_.round_id > mark.round_id
        accepted = round_.ok and newer and round_.updated_at > mark.updated_at
        if accepted:
            mark, estimate = _advance(m.params, mark, estimate, round_)
            half_width = mark.half_width
        fresh = round_.ok and not m.halted and now - mark.updated_at <= m.params.max_age
        mark = Mark(mark.price, estimate.sigma, half_width, mark.round_id, mark.updated_at, mark.prev_updated_at, fresh)
        width = half_width
        if m.second and young:
            distances = [abs(each.price - mark.price) for each in young]
            if max(distances) * BPS > mark.price * m.second.band_bps:
                width = max(width, *(d + each.half_width for d, each in zip(distances, young, strict=True)))
            if len(young) == 1:
                width += -(-mark.price * m.second.lone_bps // BPS)
        return mark, estimate, accepted, width

    def _record(self, m: Market, mark: Mark, estimate: Estimate) -> None:
        m.mark = mark
        m.estimate = estimate
        if m.params.has_half_width:
            m.half_width = mark.half_width


@lru_cache(maxsize=256)  # views ask for the same new round again and again
def _advance(params: Params, mark: Mark, estimate: Estimate, round_: Round) -> tuple[Mark, Estimate]:
    dt = round_.updated_at - mark.updated_at
    sample_24 = sample(log_return(round_.price, mark.price, params.return_clip), dt)
    fast_24 = blend(estimate.fast_24, sample_24, forgetting(dt, params.half_life_fast))
    slow_24 = blend(estimate.slow_24, sample_24, forgetting(dt, params.half_life_slow))
    sigma = volatility(fast_24, slow_24, params.sigma_floor, params.sigma_cap)
    mark = Mark(
        price=round_.price,
        sigma=sigma,
        half_width=round_.half_width if params.has_half_width else 0,
        round_id=round_.round_id,
        updated_at=round_.updated_at,
        prev_updated_at=mark.updated_at,
        fresh=False,
    )
    return mark, Estimate(fast_24, slow_24, sigma)


def _first(feed: Feed, round_id: int, now: int) -> Round:
    """The first good round of the ids from this one on; nothing if MAX_GAP of them have none."""
    rounds = (_round_at(feed, id_, now) for id_ in range(round_id, round_id + MAX_GAP))
    return next((r for r in rounds if r.ok), NO_ROUND)


def _round_at(feed: Feed, round_id: int, now: int) -> Round:
    r = _good(feed.round_at(round_id, now), now)
    return r if r.round_id == round_id else NO_ROUND


def _young(m: Market, r: Round, now: int) -> bool:
    return r.ok and now - r.updated_at <= m.params.max_age


def _check_step(r: Round, mark: Mark) -> None:
    require(abs(r.price - mark.price) * BPS <= mark.price * MAX_FEED_STEP_BPS, "oracle: feed disagrees")


def _read(feed: Feed, now: int) -> Round:
    return _good(feed.latest(now), now)


def _good(r: Round, now: int) -> Round:
    if (
        not r.ok
        or r.round_id > U80
        or not 0 < r.price <= U96
        or r.half_width > U96
        or not 0 < r.updated_at <= min(now, U40)
    ):
        return NO_ROUND
    return r


def _check_params(p: Params) -> None:
    require(MIN_MAX_AGE <= p.max_age <= MAX_MAX_AGE, "oracle: age out of bounds")
    require(
        MIN_HALF_LIFE <= p.half_life_fast <= p.half_life_slow <= MAX_HALF_LIFE,
        "oracle: half-life out of bounds",
    )
    require(
        MIN_SIGMA <= p.sigma_floor <= p.initial_sigma <= p.sigma_cap <= MAX_SIGMA,
        "oracle: sigma out of bounds",
    )
    require(MIN_CLIP <= p.return_clip <= MAX_CLIP, "oracle: clip out of bounds")
