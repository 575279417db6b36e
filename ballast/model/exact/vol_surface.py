"""Integer twin of ``contracts/oracle/VolSurface.vy``: which updates are taken, and what a surface says."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ballast.model.exact.fixed import WAD, YEAR, require

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

    def post(self, update: Update, now: int) -> None:
        """Take an update over; Reverted with the contract's reason if it breaks a rule."""
        self.check_time(update, now)
        drift, old = self.drift[update.market], self.last.get(update.market)
        _check_shape(update, drift, old)
        _check_points(update, drift, old)
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


def _check_shape(update: Update, drift: Drift, old: Update | None) -> None:
    require(abs(update.rho) <= MAX_RHO and update.eta >= MIN_ETA, "surface: shape")
    butterfly = update.eta <= MAX_SHAPE and update.eta * (WAD + abs(update.rho)) <= MAX_SHAPE * WAD
    require(butterfly, "surface: butterfly")
    if old is not None:
        allowed = drift.shape_base + drift.shape_speed * (update.timestamp - old.timestamp) // HOUR
        require(abs(update.rho - old.rho) <= allowed, "surface: rho drift")
        require(abs(update.eta - old.eta) <= allowed, "surface: eta drift")


def _check_points(update: Update, drift: Drift, old: Update | None) -> None:
    require(bool(update.points), "surface: no expiry")
    waiting = [p for p in old.points if p.expiry > update.timestamp] if old else []
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
            was, elapsed = waiting.pop(0), update.timestamp - old.timestamp
            moved = abs(volatility - vol(was.theta, was.expiry - old.timestamp))
            require(moved <= drift.vol_base + drift.vol_speed * elapsed // HOUR, "surface: vol drift")
            change = abs(point.rate - was.rate)
            require(change <= drift.rate_base + drift.rate_speed * elapsed // HOUR, "surface: rate drift")
        else:
            require(not waiting or point.expiry < waiting[0].expiry, "surface: expiry missing")
        previous = point
    require(not waiting, "surface: expiry missing")


def vol(theta: int, term: int) -> int:
    """sqrt(theta / years), rounded down [WAD]; term [s]."""
    require(theta < 2**72, "surface: vol")
    return math.isqrt(theta * YEAR * WAD // term)
