"""A volatility surface and its feeders: updates that are good, too fast, old, forged or arbitrageable; freezes.

A surface is compared with its twin after every call, and what it stores is judged by the definitions: no static
arbitrage (Gatheral and Jacquier, ballast/surface/ssvi.py), no faster than the drift bounds.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from math import sqrt
from random import Random
from typing import Any

from eth_account import Account

from ballast.fuzz.actions import Step, action
from ballast.fuzz.world import FEEDERS, Broken, World, plain
from ballast.model.exact.fixed import WAD, YEAR
from ballast.model.exact.fixed import require as demand
from ballast.model.exact.system import System as Twin
from ballast.model.exact.vol_surface import DAY, HOUR, MAX_TERM, SETTLEMENT_HOUR, Point, Update
from ballast.surface.signing import arguments, sign

STRANGER = len(FEEDERS) - 1  # the key of nobody's feeder
MONEYNESS = [k / 4 for k in range(-12, 13)]  # ln(strike / forward)
DUST = 1e-9
REMEMBERED = 8  # updates of a market


@lru_cache(maxsize=256)
def _signature(update: Update, contract: str, chain_id: int, feeder: int) -> bytes:
    return sign(update, contract, chain_id, FEEDERS[feeder])[0]


@lru_cache
def _address(feeder: int) -> int:
    return int(Account.from_key(FEEDERS[feeder]).address, 16)


@action("{who} posts volatilities of {market:market}, seen {age} s ago, signed by {signers}")
def post_surface(
    w: World, who: str, market: int, age: int, rho: int, eta: int, points: list[list[int]], signers: list[int]
) -> None:
    """`points` are expiry [s], theta and rate [WAD]; `signers` are numbers of `FEEDERS`, in the order they come."""
    if w.setup.feeders == 0:
        return
    contract = w.system.surface
    update = Update(market, w.now - age, rho, eta, tuple(Point(*point) for point in points))
    signatures = [_signature(update, contract.address, w.chain.chain_id, feeder) for feeder in signers]

    def post(t: Twin) -> None:
        assert t.surface is not None
        t.surface.check_time(update, w.now)
        _check_signers(w, signers)
        t.surface.post(update, w.now)

    if w.do(contract, "post", arguments(update), signatures, sender=who, twin=post).ok:
        _check_no_arbitrage(update)
        w.posted[market] = [*w.posted[market][1 - REMEMBERED :], update]
        for old in w.posted[market][:-1]:
            _check_speed(w, old, update)
    surface_equals_the_twin(w)


@action("{who} freezes the surface of {market:market}: {on}")
def freeze_surface(w: World, who: str, market: int, on: bool) -> None:
    if w.setup.feeders == 0:
        return

    def set_frozen(t: Twin) -> None:
        assert t.surface is not None
        demand(market in t.surface.drift, "surface: not listed")
        t.surface.frozen = t.surface.frozen | {market} if on else t.surface.frozen - {market}

    w.do(w.system.surface, "freeze" if on else "thaw", market, sender=who, twin=set_frozen)
    surface_equals_the_twin(w)


def _check_signers(w: World, signers: list[int]) -> None:
    """As many as must, in ascending order, each of them a feeder."""
    demand(len(signers) >= w.setup.feeders, "surface: too few signatures")
    previous = 0
    for feeder in signers:
        demand(_address(feeder) > previous, "surface: signer order")
        demand(feeder <= w.setup.feeders, "surface: not a signer")
        previous = _address(feeder)


# ---- what must hold


def surface_equals_the_twin(w: World) -> None:
    """Expiries, the smile of each and of one that there is not, live or not."""
    contract = w.system.surface
    for market in range(len(w.feeds)):
        expiries = w.surface.expiries(market)
        pairs: list[tuple[Any, Any]] = [
            (w.view(contract, "expiries", market), expiries),
            (w.view(contract, "timestamp", market), w.surface.timestamp(market)),
        ]
        for expiry in (*expiries, w.now):
            pairs.append((w.view(contract, "smile", market, expiry), plain(w.surface.smile(market, expiry, w.now))))
        for seen, expected in pairs:
            if seen != expected:
                raise Broken("i13_surface_equals_the_twin", f"market {market}: contract {seen}, twin {expected}")


def _check_no_arbitrage(update: Update) -> None:
    """Total variance rises with expiry at every moneyness, and the density of the price at expiry is not negative."""
    rho, eta = update.rho / WAD, update.eta / WAD
    floors = [0.0] * len(MONEYNESS)
    for point in update.points:
        theta = point.theta / WAD
        phi = eta / sqrt(theta * (1 + theta))
        for i, k in enumerate(MONEYNESS):
            root = sqrt((phi * k + rho) ** 2 + 1 - rho * rho)
            total = theta / 2 * (1 + rho * phi * k + root)
            slope = theta / 2 * phi * (rho + (phi * k + rho) / root)
            bend = theta / 2 * phi * phi * (1 - rho * rho) / root**3
            density = (1 - k * slope / (2 * total)) ** 2 - slope * slope / 4 * (1 / total + 1 / 4) + bend / 2
            if total < floors[i] * (1 - DUST) or density < -DUST:
                message = f"{point} at moneyness {k}: variance {total}, before {floors[i]}, density {density}"
                raise Broken("surface_admits_no_arbitrage", message)
            floors[i] = total


def _check_speed(w: World, old: Update, new: Update) -> None:
    """Since any of the last updates volatility at the money, shape and rates have not moved further than they may,
    however many came between, and no live expiry is gone."""
    drift, hours = w.surface.drift[new.market], (new.timestamp - old.timestamp) / HOUR
    now = {point.expiry: point for point in new.points}
    moves = [("shape", abs(new.rho - old.rho)), ("shape", abs(new.eta - old.eta))]
    for point in old.points:
        if point.expiry <= new.timestamp:
            continue
        if point.expiry not in now:
            raise Broken("surface_keeps_live_expiries", f"{point} is gone")
        moves += [("rate", abs(now[point.expiry].rate - point.rate))]
        vols = [volatility(each, seen) for each, seen in ((point, old.timestamp), (now[point.expiry], new.timestamp))]
        moves += [("vol", int(abs(vols[1] - vols[0]) * WAD))]
    for what, moved in moves:
        allowed = getattr(drift, f"{what}_base") + getattr(drift, f"{what}_speed") * hours
        if moved > allowed * (1 + DUST) + 10**6:  # of the floats
            raise Broken("surface_moves_within_its_bounds", f"{what} moved {moved / WAD} in {hours} hours")


def volatility(point: Point, seen: int) -> float:
    """At the money [1/sqrt(year)]."""
    return sqrt(point.theta / WAD / ((point.expiry - seen) / YEAR))


# ---- what to try


def surface_step(w: World, rng: Random, who: str) -> Step | None:
    """An update a bit or far from the last one, honest or not, or a freeze."""
    if w.setup.feeders == 0:
        return None
    market = rng.randrange(len(w.feeds)) if rng.random() < 0.95 else 3
    if rng.random() < 0.1:
        who = rng.choice(("guardian", "governor", "governor", who))
        return ["freeze_surface", {"who": who, "market": market, "on": rng.random() < 0.4}]
    age = rng.choice((0, 0, 0, 0, 0, 0, 1, 30, 300, 600, 601, -5))
    last = w.surface.last.get(market)
    if last is not None and rng.random() < 0.1:
        age = w.now - last.timestamp + rng.choice((0, 0, 1))  # the same again, or one that came late
    seen = w.now - age
    update = _first(rng, market, seen) if last is None else _next(w, rng, last, seen)
    if rng.random() < 0.2:
        update = _spoilt(rng, update)
    points = [[point.expiry, point.theta, point.rate] for point in update.points]
    shape: dict[str, Any] = {"rho": update.rho, "eta": update.eta, "points": points}
    return ["post_surface", {"who": who, "market": market, "age": age, **shape, "signers": _signers(w, rng)}]


def fresh_update(w: World, rng: Random, market: int) -> Step:
    """A good update of now, signed by enough; the first has a near expiry."""
    last = w.surface.last.get(market)
    update = _first(rng, market, w.now, near=True) if last is None else _next(w, rng, last, w.now, most=0.2)
    points = [[point.expiry, point.theta, point.rate] for point in update.points]
    signers = sorted(range(w.setup.feeders), key=_address)
    shape: dict[str, Any] = {"rho": update.rho, "eta": update.eta, "points": points, "signers": signers}
    return ["post_surface", {"who": "keeper", "market": market, "age": 0, **shape}]


def _signers(w: World, rng: Random) -> list[int]:
    """Enough feeders in order; sometimes all, too few, one twice, in the wrong order, or a stranger among them."""
    feeders = range(w.setup.feeders + 1)
    signers = sorted(rng.sample(feeders, rng.choice((w.setup.feeders, w.setup.feeders, len(feeders)))), key=_address)
    match rng.randrange(30):
        case 0:
            return signers[1:]
        case 1:
            return [signers[0], *signers]
        case 2:
            return signers[::-1]
        case 3:
            return sorted([*signers[1:], STRANGER], key=_address)
        case _:
            return signers


def _first(rng: Random, market: int, seen: int, *, near: bool = False) -> Update:
    rho = rng.uniform(-0.95, 0.95)
    eta = rng.choice((1 - DUST, rng.uniform(0.01, 1))) * 2 / (1 + abs(rho))
    days = sorted(rng.sample((1, 2, 7, 14, 30, 90, 365, 728), rng.randint(1, 5)))
    if near:
        days = sorted({rng.choice((1, 2)), *days})
    points: list[Point] = []
    for expiry in [(seen // DAY + day) * DAY + SETTLEMENT_HOUR for day in days]:
        theta = rng.uniform(0.02, 1.5) ** 2 * (expiry - seen) / YEAR
        least = points[-1].theta + 1 if points else 1
        points.append(Point(expiry, max(int(theta * WAD), least), int(rng.uniform(-0.2, 0.2) * WAD)))
    return Update(market, seen, int(rho * WAD), int(eta * WAD), tuple(points))


def _next(w: World, rng: Random, last: Update, seen: int, most: float | None = None) -> Update:
    """Moves of a part of what the drift has left, all of it, or more; expiries that are over go, new ones come."""
    drift, hours = w.surface.drift[last.market], max(seen - last.timestamp, 0) / HOUR
    if most is None:
        most = rng.choice((0.2, 0.2, 0.9, 1.0, 1.3))

    spent = dict(zip(("vol", "shape", "rate"), w.surface.spent.get(last.market, (0, 0, 0)), strict=True))

    def moved(what: str) -> float:
        allowed = getattr(drift, f"{what}_base") + getattr(drift, f"{what}_speed") * hours - spent[what]
        allowed = max(allowed, 0) if most <= 1 else getattr(drift, f"{what}_base")
        return float(most * allowed / WAD * rng.choice((-1, 1, rng.uniform(-1, 1))))

    rho = max(-0.95, min(0.95, last.rho / WAD + moved("shape")))
    eta = max(0.001, min((1 - DUST) * 2 / (1 + abs(rho)), last.eta / WAD + moved("shape")))
    points: list[Point] = []
    for point in last.points:
        if point.expiry > seen:
            vol = max(min(volatility(point, last.timestamp) + moved("vol"), 4.99), rng.choice((0.01, 0.0101, 0.0101)))
            theta = max(int(vol * vol * (point.expiry - seen) / YEAR * WAD), points[-1].theta + 1 if points else 1)
            rate = max(-WAD // 5, min(WAD // 5, point.rate + int(moved("rate") * WAD)))
            points.append(Point(point.expiry, theta, rate))
    if not points:
        return _first(rng, last.market, seen, near=w.setup.options)
    points = [point for point in points if point.expiry - seen <= MAX_TERM]
    if w.setup.options and points[0].expiry - seen > 3 * DAY:
        expiry = (seen // DAY + 1) * DAY + SETTLEMENT_HOUR  # a near one again
        theta = points[0].theta * (expiry - seen) // (points[0].expiry - seen)
        points.insert(0, Point(expiry, max(theta, 1), points[0].rate))
    if rng.random() < (0.05 if w.setup.options else 0.2) and len(points) < 16:
        end = points[-1]
        points.append(Point(end.expiry + 7 * DAY, int(end.theta * rng.uniform(1.001, 1.3)) + 1, 0))
    return Update(last.market, seen, int(rho * WAD), int(eta * WAD), tuple(points))


def _spoilt(rng: Random, update: Update) -> Update:
    """One thing about it is wrong, or at least strange."""
    points = list(update.points)
    i = rng.randrange(len(points))
    match rng.randrange(10):
        case 0:
            return replace(update, eta=rng.choice((0, 2 * WAD, update.eta + WAD // 2, 2**100)))
        case 1:
            return replace(update, rho=rng.choice((WAD, -(96 * WAD // 100), 2**100)))
        case 2:
            points[i] = replace(points[i], expiry=points[i].expiry + rng.choice((1, DAY, -7 * DAY, 900 * DAY)))
        case 3:
            points[i] = replace(points[i], theta=rng.choice((1, points[i].theta // 2, 10**21, 2**72, 2**200)))
        case 4:
            points[i] = replace(points[i], rate=rng.choice((WAD, -WAD, 2**70)))
        case 5 | 6:
            points.pop(i)
        case 7:
            points.reverse()
        case 8:
            points.insert(i, points[i])
        case _:
            points.insert(i + 1, Point(points[i].expiry + DAY, points[i].theta + 1, 0))
    return replace(update, points=tuple(points))
