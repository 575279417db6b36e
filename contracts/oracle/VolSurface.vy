# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  VolSurface: implied volatility of every market, signed by m of n feeders
@notice Anyone posts an update that enough feeders signed (EIP-712). It is taken only if it is strictly newer than the last,
        not from the future, names every live expiry, is free of static arbitrage by construction (theta rising with expiry,
        eta (1 + |rho|) <= 2), and has not drifted from the last ones by more than the time between them allows.

        Actors: anyone posts and reads. SETUP and GOVERNOR choose signers, their threshold and the drift bounds; GUARDIAN
        freezes a market, GOVERNOR lifts that.

        Invariants:
        - at any time the stored surface of a market admits no vertical, butterfly or calendar arbitrage;
        - no set of feeders moves a volatility, shape or rate faster than the drift bounds, nor drops a live expiry; a new
          one lies between its neighbours' variances, a new last one within MIN_VOL and MAX_VOL: governance lists boards
          after it has seen them;
        - one update counts once, in the order of its observation;
        - views of the surface never revert.
@dev    Expiries are at 08:00 UTC, so a day number of 16 bits names one, and one word lists a market's sixteen. Words:
            surface   rho u64 + 2^63 | eta u64 | timestamp u40 | frozen u1 | spent of vol, shape and rate u29 each [SPENT_UNIT]
            point     theta u72 | rate u64 + 2^63
        The rate travels rather than the forward: spot moves between updates and takes the forward with it.
@custom:kill freeze(market), by GUARDIAN: the market's smiles are not live, so no option risk is opened; closing goes on.
"""

from interfaces import IVolSurface

implements: IVolSurface

from contracts import constants as c
from contracts.governance import roles
from contracts.math import signed
from contracts.math import wad
from snekmate.utils import ecdsa
from snekmate.utils import eip712_domain_separator as domain

initializes: roles
initializes: domain

exports: (
    roles.admin,
    roles.pending_admin,
    roles.roles_of,
    roles.grant_role,
    roles.revoke_role,
    roles.renounce_setup,
    roles.offer_admin,
    roles.accept_admin,
    domain.eip712Domain,
)


struct Spent:               # what moves since the last updates have taken of each base and speed has not given back
    vol: uint256            # [WAD]
    shape: uint256          # [WAD]
    rate: uint256           # [1/year, WAD]


MAX_SIGNERS: constant(uint256) = 8                      # signatures of one update

# Immutable bounds of an update.
MAX_RHO: constant(uint256) = 95 * 10**16
MAX_SHAPE: constant(uint256) = 2 * 10**18               # of eta (1 + |rho|): no butterflies
MIN_ETA: constant(uint256) = 10**15
MIN_VOL: constant(uint256) = 10**16                     # at the money: 1 %
MAX_VOL: constant(uint256) = 5 * 10**18                 # 500 %
MAX_RATE: constant(uint256) = 20 * 10**16               # [per year] 20 %
MAX_DELAY: constant(uint256) = 600                      # [s] from observation to inclusion
MAX_TERM: constant(uint256) = 2 * c.YEAR                # [s]

# Immutable bounds of the drift parameters: what governance may never loosen.
MAX_VOL_BASE: constant(uint256) = 10 * 10**16           # 10 vol points at once
MAX_VOL_SPEED: constant(uint256) = 50 * 10**16          # 50 vol points an hour
MAX_SHAPE_BASE: constant(uint256) = 20 * 10**16
MAX_SHAPE_SPEED: constant(uint256) = 10**18
MAX_RATE_BASE: constant(uint256) = 5 * 10**16
MAX_RATE_SPEED: constant(uint256) = 20 * 10**16
MIN_MAX_AGE: constant(uint256) = 60                     # [s]
MAX_MAX_AGE: constant(uint256) = 6 * 3_600              # [s]

HOUR: constant(uint256) = 3_600
U16: constant(uint256) = 2**16 - 1
U40: constant(uint256) = 2**40 - 1
U64: constant(uint256) = 2**64 - 1
U72: constant(uint256) = 2**72 - 1
BIAS: constant(int256) = 2**63
FROZEN: constant(uint256) = 1 << 168
SPENT_UNIT: constant(uint256) = 10**9
U29: constant(uint256) = 2**29 - 1

POINT_TYPEHASH: constant(bytes32) = keccak256("Point(uint256 expiry,uint256 theta,int256 rate)")
UPDATE_TYPEHASH: constant(bytes32) = keccak256(
    "Update(uint256 market,uint256 timestamp,int256 rho,uint256 eta,Point[] points)Point(uint256 expiry,uint256 theta,int256 rate)"
)

# Who may sign, how many do, and how many must.
is_signer: public(HashMap[address, bool])
signer_count: public(uint256)
threshold: public(uint256)
# How fast a surface may move, and how old it may get; zero where options are not listed.
drift: public(IVolSurface.Drift[c.MAX_MARKETS])
# Shape and time of the last update; read by every use.
_surfaces: uint256[c.MAX_MARKETS]
# Day numbers of its expiries, earliest in the lowest bits; read when updated.
_days: uint256[c.MAX_MARKETS]
# Of a market's expiry, by day number; read by every use.
_points: HashMap[uint256, HashMap[uint256, uint256]]


@deploy
def __init__(admin: address, setup: address):
    """
    @param admin  governor from the start
    @param setup  may choose signers and set parameters until it renounces
    """
    roles.__init__(admin, setup)
    domain.__init__("Ballast VolSurface", "1")


# ── Permissionless ──


@external
def post(update: IVolSurface.Update, signatures: DynArray[Bytes[65], MAX_SIGNERS]):
    """
    @notice Takes an update over if enough feeders signed it and it keeps the rules above.
    @param update      see IVolSurface.Update
    @param signatures  r, s, v of each, by ascending signer
    """
    assert update.market < c.MAX_MARKETS, "surface: not listed"
    drift: IVolSurface.Drift = self.drift[update.market]
    assert drift.max_age != 0, "surface: not listed"
    word: uint256 = self._surfaces[update.market]
    last: uint256 = self._timestamp(word)
    assert update.timestamp > last, "surface: not newer"
    assert update.timestamp <= block.timestamp, "surface: from the future"
    assert block.timestamp - update.timestamp <= MAX_DELAY, "surface: observed too long ago"
    self._check_signatures(self._digest(update), signatures)
    spent: Spent = self._spent(word)
    spent.shape = self._check_shape(update, drift, word, spent.shape)
    spent.vol, spent.rate = self._save_points(update, drift, last, spent)
    self._surfaces[update.market] = (
        self._biased(update.rho)
        | (update.eta << 64)
        | (update.timestamp << 128)
        | (word & FROZEN)
        | (self._spent_units(spent.vol) << 169)
        | (self._spent_units(spent.shape) << 198)
        | (self._spent_units(spent.rate) << 227)
    )
    log IVolSurface.SurfacePosted(
        market=update.market,
        timestamp=update.timestamp,
        rho=update.rho,
        eta=update.eta,
        points=update.points,
        by=msg.sender,
    )


# ── Privileged ──


@external
def set_signer(signer: address, allowed: bool):
    """@notice Adds or removes a feeder; never below the threshold."""
    roles._check(roles.Role.SETUP | roles.Role.GOVERNOR)
    assert signer != empty(address), "surface: zero signer"
    assert self.is_signer[signer] != allowed, "surface: no change"
    self.is_signer[signer] = allowed
    count: uint256 = self.signer_count + 1 if allowed else self.signer_count - 1
    assert count >= self.threshold, "surface: too few signers"
    self.signer_count = count
    log IVolSurface.SignerSet(signer=signer, allowed=allowed)


@external
def set_threshold(threshold: uint256):
    """@notice How many signatures an update needs: at least one, at most all."""
    roles._check(roles.Role.SETUP | roles.Role.GOVERNOR)
    assert 0 < threshold and threshold <= min(self.signer_count, MAX_SIGNERS), "surface: threshold"
    self.threshold = threshold
    log IVolSurface.ThresholdSet(threshold=threshold)


@external
def set_drift(market: uint256, drift: IVolSurface.Drift):
    """
    @notice How fast a market's surface may move and how old it may get; the first call lists the market.
    @param drift  see IVolSurface.Drift; inside the immutable bounds
    """
    roles._check(roles.Role.GOVERNOR | roles.Role.SETUP | roles.Role.STEWARD)
    assert market < c.MAX_MARKETS, "surface: not listed"
    assert drift.vol_base <= MAX_VOL_BASE and drift.vol_speed <= MAX_VOL_SPEED, "surface: vol drift"
    assert drift.shape_base <= MAX_SHAPE_BASE and drift.shape_speed <= MAX_SHAPE_SPEED, "surface: shape drift"
    assert drift.rate_base <= MAX_RATE_BASE and drift.rate_speed <= MAX_RATE_SPEED, "surface: rate drift"
    assert MIN_MAX_AGE <= drift.max_age and drift.max_age <= MAX_MAX_AGE, "surface: max age"
    self.drift[market] = drift
    log IVolSurface.DriftSet(market=market, drift=drift)


@external
def freeze(market: uint256):
    """@notice No smile of the market is live until it is thawed; updates are still recorded."""
    roles._check(roles.Role.GUARDIAN | roles.Role.GOVERNOR)
    self._set_frozen(market, True)


@external
def thaw(market: uint256):
    """@notice Ends a freeze."""
    roles._check(roles.Role.GOVERNOR)
    self._set_frozen(market, False)


# ── Views ──


@view
@external
def smile(market: uint256, expiry: uint256) -> IVolSurface.Smile:
    """
    @notice What the surface says of one expiry.
    @param expiry  [s since 1970]
    """
    found: IVolSurface.Smile = empty(IVolSurface.Smile)
    if market >= c.MAX_MARKETS or expiry % c.DAY != c.SETTLEMENT_HOUR:
        return found
    word: uint256 = self._surfaces[market]
    point: uint256 = self._points[market][expiry // c.DAY]
    if point == 0:
        return found
    found.theta = point & U72
    found.rate = self._unbiased(point >> 72)
    found.rho = self._unbiased(word)
    found.eta = (word >> 64) & U64
    found.timestamp = self._timestamp(word)
    found.is_live = word & FROZEN == 0 and block.timestamp - found.timestamp <= self.drift[market].max_age
    return found


@view
@external
def timestamp(market: uint256) -> uint256:
    """@return when the last update was observed, the surface's version [s since 1970]; 0 where there is none"""
    return self._timestamp(self._surfaces[market]) if market < c.MAX_MARKETS else 0


@view
@external
def expiries(market: uint256) -> DynArray[uint256, c.MAX_EXPIRIES]:
    """@return the expiries of the last update, earliest first [s since 1970]"""
    found: DynArray[uint256, c.MAX_EXPIRIES] = []
    days: uint256 = self._days[market] if market < c.MAX_MARKETS else 0
    for i: uint256 in range(c.MAX_EXPIRIES):
        if days == 0:
            break
        found.append((days & U16) * c.DAY + c.SETTLEMENT_HOUR)
        days = days >> 16
    return found


@view
@external
def digest(update: IVolSurface.Update) -> bytes32:
    """@return what a feeder signs"""
    return self._digest(update)


# ── Internal ──


@internal
@view
def _digest(update: IVolSurface.Update) -> bytes32:
    hashes: DynArray[bytes32, c.MAX_EXPIRIES] = []
    for point: IVolSurface.Point in update.points:
        hashes.append(keccak256(abi_encode(POINT_TYPEHASH, point)))
    # an array of words encodes as offset, length, words
    points: bytes32 = keccak256(slice(abi_encode(hashes), 64, 32 * len(hashes)))
    return domain._hash_typed_data_v4(
        keccak256(abi_encode(UPDATE_TYPEHASH, update.market, update.timestamp, update.rho, update.eta, points))
    )


@internal
@view
def _check_signatures(digest: bytes32, signatures: DynArray[Bytes[65], MAX_SIGNERS]):
    """@dev Ascending order makes every signer count once."""
    assert self.threshold != 0 and len(signatures) >= self.threshold, "surface: too few signatures"
    previous: address = empty(address)
    for signature: Bytes[65] in signatures:
        signer: address = ecdsa._recover_sig(digest, signature)
        assert convert(signer, uint160) > convert(previous, uint160), "surface: signer order"
        assert self.is_signer[signer], "surface: not a signer"
        previous = signer


@internal
@pure
def _check_shape(
    update: IVolSurface.Update, drift: IVolSurface.Drift, word: uint256, spent: uint256
) -> uint256:
    """
    @dev    Bounds, butterflies, and the drift of rho and eta since the last update.
    @return what is spent of the base for shapes then
    """
    rho: uint256 = signed.magnitude(update.rho)
    assert rho <= MAX_RHO and update.eta >= MIN_ETA, "surface: shape"
    assert update.eta <= MAX_SHAPE and update.eta * (c.WAD + rho) <= MAX_SHAPE * c.WAD, "surface: butterfly"
    if word & ~FROZEN == 0:
        return 0
    earned: uint256 = drift.shape_speed * (update.timestamp - self._timestamp(word)) // HOUR
    allowed: uint256 = self._allowed(drift.shape_base, earned, spent)
    rho_moved: uint256 = signed.magnitude(update.rho - self._unbiased(word))
    assert rho_moved <= allowed, "surface: rho drift"
    eta_moved: uint256 = signed.magnitude(convert(update.eta, int256) - convert((word >> 64) & U64, int256))
    assert eta_moved <= allowed, "surface: eta drift"
    return self._after(spent, max(rho_moved, eta_moved), earned)


@internal
def _save_points(
    update: IVolSurface.Update, drift: IVolSurface.Drift, last: uint256, spent: Spent
) -> (uint256, uint256):
    """
    @dev    Expiries and variances rise, every live one of the last update is there, and none drifts too far.
    @return what is spent of the bases for volatility and rate then
    """
    assert len(update.points) != 0, "surface: no expiry"
    old_days: uint256 = self._days[update.market]
    elapsed: uint256 = update.timestamp - last            # since 1970 where there is no last one: nothing is compared then
    vol_earned: uint256 = drift.vol_speed * elapsed // HOUR
    rate_earned: uint256 = drift.rate_speed * elapsed // HOUR
    vol_allowed: uint256 = self._allowed(drift.vol_base, vol_earned, spent.vol)
    rate_allowed: uint256 = self._allowed(drift.rate_base, rate_earned, spent.rate)
    vol_moved: uint256 = 0
    rate_moved: uint256 = 0
    days: uint256 = 0
    previous: IVolSurface.Point = empty(IVolSurface.Point)
    found: uint256 = 0
    for i: uint256 in range(c.MAX_EXPIRIES):
        if i == len(update.points):
            break
        point: IVolSurface.Point = update.points[i]
        assert point.expiry > max(update.timestamp, previous.expiry), "surface: expiry order"
        assert point.expiry % c.DAY == c.SETTLEMENT_HOUR, "surface: not 08:00 UTC"
        term: uint256 = point.expiry - update.timestamp
        assert term <= MAX_TERM, "surface: too far"
        assert point.theta > previous.theta, "surface: calendar"
        vol: uint256 = self._vol(point.theta, term)
        assert MIN_VOL <= vol and vol <= MAX_VOL, "surface: vol"
        assert signed.magnitude(point.rate) <= MAX_RATE, "surface: rate"
        day: uint256 = point.expiry // c.DAY
        # expiries of the last update that are over need not be there
        for j: uint256 in range(c.MAX_EXPIRIES):
            if old_days == 0 or (old_days & U16) * c.DAY + c.SETTLEMENT_HOUR > update.timestamp:
                break
            self._points[update.market][old_days & U16] = 0
            old_days = old_days >> 16
        if old_days & U16 == day and old_days != 0:
            # against the last update's, each at its own time
            old: uint256 = self._points[update.market][day]
            old_vol: uint256 = self._vol(old & U72, point.expiry - last)
            moved: uint256 = max(vol, old_vol) - min(vol, old_vol)
            assert moved <= vol_allowed, "surface: vol drift"
            vol_moved = max(vol_moved, moved)
            moved = signed.magnitude(point.rate - self._unbiased(old >> 72))
            assert moved <= rate_allowed, "surface: rate drift"
            rate_moved = max(rate_moved, moved)
            old_days = old_days >> 16
        else:
            assert old_days == 0 or day < old_days & U16, "surface: expiry missing"
        self._points[update.market][day] = point.theta | (self._biased(point.rate) << 72)
        days = days | (day << (16 * i))
        previous = point
    assert old_days == 0, "surface: expiry missing"
    self._days[update.market] = days
    return self._after(spent.vol, vol_moved, vol_earned), self._after(spent.rate, rate_moved, rate_earned)


@internal
@pure
def _allowed(base: uint256, earned: uint256, spent: uint256) -> uint256:
    """@notice How far an update may move: the base once, speed for the time that has passed, less what is spent already."""
    return wad.sub_floor(base + earned, spent)


@internal
@pure
def _after(spent: uint256, moved: uint256, earned: uint256) -> uint256:
    """@notice What is spent after a move: any number of updates moves as far as one in the same time."""
    return wad.sub_floor(spent + moved, earned)


@internal
@pure
def _spent(word: uint256) -> Spent:
    return Spent(
        vol=((word >> 169) & U29) * SPENT_UNIT,
        shape=((word >> 198) & U29) * SPENT_UNIT,
        rate=(word >> 227) * SPENT_UNIT,
    )


@internal
@pure
def _spent_units(spent: uint256) -> uint256:
    """@dev Rounded up; at most a base, whose bound is below 2^29 units."""
    return (spent + SPENT_UNIT - 1) // SPENT_UNIT


@internal
@pure
def _vol(theta: uint256, term: uint256) -> uint256:
    """@notice sqrt(theta / years), rounded down [WAD]."""
    assert theta <= U72, "surface: vol"
    return isqrt(theta * c.YEAR * c.WAD // term)


@internal
def _set_frozen(market: uint256, frozen: bool):
    assert market < c.MAX_MARKETS and self.drift[market].max_age != 0, "surface: not listed"
    word: uint256 = self._surfaces[market] & ~FROZEN
    self._surfaces[market] = word | FROZEN if frozen else word
    log IVolSurface.FrozenSet(market=market, frozen=frozen, by=msg.sender)


@internal
@pure
def _timestamp(word: uint256) -> uint256:
    return (word >> 128) & U40


@internal
@pure
def _biased(x: int256) -> uint256:
    """@dev |x| < 2^63 by the bounds of an update."""
    return convert(x + BIAS, uint256)


@internal
@pure
def _unbiased(x: uint256) -> int256:
    return convert(x & U64, int256) - BIAS
