"""Integer twin of ``contracts/oracle/VolSurface.vy``: which updates are taken, and what a surface says."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ballast.model.exact.fixed import WAD, YEAR, require, sub_floor

MAX_EXPIRIES = 16
CENT = WAD // 100
MAX_RHO = 95 * CENT
MAX_SHAPE = 2 * WAD
MIN_ETA = WAD // 1_000
MIN_VOL = CENT
MAX_VOL = 5 * WAD
MAX_RATE = 20 * CENT
MAX_DELAY = 600
MAX_TERM = 2 * YEAR
HOUR, DAY = 3_600, 86_400
SPENT_UNIT = 10**9
SETTLEMENT_HOUR = 8 * HOUR


@dataclass(frozen=True, slots=True)
class Point:
    """expiry [s], theta [WAD], rate [per year, WAD]."""

    expiry: int
    theta: int
    rate: int


@dataclass(frozen=True, slots=True)
class Update:
    """A market's shape (rho, eta [WAD]) observed at `timestamp`, and its points, earliest first."""

    market: int
    timestamp: int
    rho: int
    eta: int
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Smile:
    """theta [WAD] is 0 if the expiry is not on the surface."""

    theta: int = 0
    rate: int = 0
    rho: int = 0
    eta: int = 0
    timestamp: int = 0
    is_live: bool = False


@dataclass(frozen=True, slots=True)
class Drift:
    """Largest moves at once and for each hour between updates [WAD]; max_age [s]."""

    vol_base: int
    vol_speed: int
    shape_base: int
    shape_speed: int
    rate_base: int
    rate_speed: int
    max_age: int


@dataclass(slots=True)
class VolSurface:
    """Signatures are the contract's affair: the twin is told updates that enough feeders signed."""

    drift: dict[int, Drift] = field(default_factory=dict)
    last: dict[int, Update] = field(default_factory=dict)
    frozen: set[int] = field(default_factory=set)
    spent: dict[int, tuple[int, int, int]] = field(default_factory=dict)  # of the bases for vol, shape and rate

    def post(self, update: Update, now: int) -> None:
        """Take an update over; Reverted with the contract's reason if it breaks a rule."""
        self.check_time(update, now)
        drift, old = self.drift[update.market], self.last.get(update.market)
        vol_spent, shape_spent, rate_spent = self.spent.get(update.market, (0, 0, 0))
        shape_spent = _check_shape(update, drift, old, shape_spent)
        vol_spent, rate_spent = _check_points(update, drift, old, vol_spent, rate_spent)
        self.spent[update.market] = _stored(vol_spent), _stored(shape_spent), _stored(rate_spent)
        self.last[update.market] = update

    def check_time(self, update: Update, now: int) -> None:
        """What the contract asks before it looks at signatures."""
        require(update.market in self.drift, "surface: not listed")
        old = self.last.get(update.market)
        require(update.timestamp > (old.timestamp if old else 0), "surface: not newer")
        require(update.timestamp <= now, "surface: from the future")
        require(now - update.timestamp <= MAX_DELAY, "surface: observed too long ago")

    def smile(self, market: int, expiry: int, now: int) -> Smile:
        """What the surface says of one expiry."""
        update = self.last.get(market)
        found = next((p for p in update.points if p.expiry == expiry), None) if update else None
        if update is None or found is None:
            return Smile()
        live = market not in self.frozen and now - update.timestamp <= self.drift[market].max_age
        return Smile(found.theta, found.rate, update.rho, update.eta, update.timestamp, live)

    def timestamp(self, market: int) -> int:
        """When the last update was observed [s since 1970]; 0 where there is none."""
        return self.last[market].timestamp if market in self.last else 0

    def expiries(self, market: int) -> list[int]:
        """Of the last update, earliest first."""
        return [point.expiry for point in self.last[market].points] if market in self.last else []


def _check_shape(update: Update, drift: Drift, old: Update | None, spent: int) -> int:
    require(abs(update.rho) <= MAX_RHO and update.eta >= MIN_ETA, "surface: shape")
    butterfly = update.eta <= MAX_SHAPE and update.eta * (WAD + abs(update.rho)) <= MAX_SHAPE * WAD
    require(butterfly, "surface: butterfly")
    if old is None:
        return 0
    earned = drift.shape_speed * (update.timestamp - old.timestamp) // HOUR
    allowed = sub_floor(drift.shape_base + earned, spent)
    rho_moved, eta_moved = abs(update.rho - old.rho), abs(update.eta - old.eta)
    require(rho_moved <= allowed, "surface: rho drift")
    require(eta_moved <= allowed, "surface: eta drift")
    return sub_floor(spent + max(rho_moved, eta_moved), earned)


def _check_points(update: Update, drift: Drift, old: Update | None, vol_spent: int, rate_spent: int) -> tuple[int, int]:
    require(bool(update.points), "surface: no expiry")
    waiting = [p for p in old.points if p.expiry > update.timestamp] if old else []
    elapsed = update.timestamp - (old.timestamp if old else 0)
    vol_earned, rate_earned = drift.vol_speed * elapsed // HOUR, drift.rate_speed * elapsed // HOUR
    vol_allowed = sub_floor(drift.vol_base + vol_earned, vol_spent)
    rate_allowed = sub_floor(drift.rate_base + rate_earned, rate_spent)
    vol_moved = rate_moved = 0
    previous = Point(0, 0, 0)
    for point in update.points:
        require(point.expiry > max(update.timestamp, previous.expiry), "surface: expiry order")
        require(point.expiry % DAY == SETTLEMENT_HOUR, "surface: not 08:00 UTC")
        term = point.expiry - update.timestamp
        require(term <= MAX_TERM, "surface: too far")
        require(point.theta > previous.theta, "surface: calendar")
        volatility = vol(point.theta, term)
        require(MIN_VOL <= volatility <= MAX_VOL, "surface: vol")
        require(abs(point.rate) <= MAX_RATE, "surface: rate")
        if waiting and waiting[0].expiry == point.expiry:
            assert old is not None
            was = waiting.pop(0)
            moved = abs(volatility - vol(was.theta, was.expiry - old.timestamp))
            require(moved <= vol_allowed, "surface: vol drift")
            vol_moved = max(vol_moved, moved)
            moved = abs(point.rate - was.rate)
            require(moved <= rate_allowed, "surface: rate drift")
            rate_moved = max(rate_moved, moved)
        else:
            require(not waiting or point.expiry < waiting[0].expiry, "surface: expiry missing")
        previous = point
    require(not waiting, "surface: expiry missing")
    return sub_floor(vol_spent + vol_moved, vol_earned), sub_floor(rate_spent + rate_moved, rate_earned)


def _stored(spent: int) -> int:
    return -(-spent // SPENT_UNIT) * SPENT_UNIT


def vol(theta: int, term: int) -> int:
    """sqrt(theta / years), rounded down [WAD]; term [s]."""
    require(theta < 2**72, "surface: vol")
    return math.isqrt(theta * YEAR * WAD // term)
