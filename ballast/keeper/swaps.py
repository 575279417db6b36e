"""What a venue's pools make of a size, in floats: which fee tiers it takes, at what price, and what that counts as.

Mirrors contracts/hedge/pools.vy and the cost of contracts/hedge/rule.vy; exact as long as no tick is crossed.
"""

from __future__ import annotations

from math import inf, sqrt
from typing import NamedTuple

from ballast.keeper.state import Market, Route, Venue

SPLIT_GAIN = 50e-6  # [fraction of the quote amount] that a second tier must save
_STEP = 1e-4  # [fraction] in which shares of a second tier are counted


class Swap(NamedTuple):
    """A trade of `size` [base] > 0 that buys, through one fee tier or two."""

    size: float
    parts: tuple[tuple[Route, float], ...]  # what each tier trades [base]
    average: float  # [quote/base] expected, fee and impact included
    spot: float  # [quote/base] of two tiers the one farther from their average
    twap: float  # [quote/base] weighted by size, as the fee is
    fee: float  # [fraction]


def swap(venue: Venue, size: float) -> Swap | None:
    """What the venue itself will choose for a size: the tier with the best price, or two; None: none can fill it."""
    best, best_quote = None, inf
    for route in venue.routes:
        quote = _quote(route, size)
        if quote < best_quote:
            best, best_quote = route, quote
    if best is None:
        return None
    parts: tuple[tuple[Route, float], ...] = ((best, size),)
    if venue.lender is None and len(venue.routes) > 1:  # AaveShortVenue takes one tier
        limit = best_quote - abs(best_quote) * SPLIT_GAIN
        for route in venue.routes:
            part = size * _share(best, route, size) if route is not best else 0.0
            quote = _quote(best, size - part) + _quote(route, part) if part else inf
            if quote < limit:
                parts, best_quote, limit = ((best, size - part), (route, part)), quote, quote
    average = best_quote / size
    if len(parts) == 1:
        return Swap(size, parts, average, best.spot, best.twap, best.fee)
    (first, _), (second, part) = parts
    share = part / size
    twap = first.twap * (1 - share) + second.twap * share
    spot = max(first.spot, second.spot, key=lambda price: abs(price - twap))
    return Swap(size, parts, average, spot, twap, first.fee * (1 - share) + second.fee * share)


def measured_cost(trade: Swap, price: float, haircut: float = 0.0, put_in: float | None = None) -> float:
    """What contracts/hedge/rule.vy will call the cost of a swap [quote].

    `put_in` [quote] is the LP cash that the venue takes, by default what a spot venue pays for its base.
    """
    size, average = trade.size, trade.average
    loss = size * (average - price)
    equity = (size * average if put_in is None else put_in) - loss
    return max(trade.fee * abs(size) * price, loss, size * (average - trade.twap), loss + haircut * equity)


def in_band(trade: Swap, venue: Venue, market: Market, room: float = 1.0) -> bool:
    """Whether HedgeManager lets a swap happen, with a part `room` of the bands for what it does to prices."""
    tolerance = trade.fee + venue.band
    if not _near(trade.spot, trade.twap, market.price, tolerance):
        return False
    tolerance *= room
    if trade.size * (trade.average - market.price * (1 + tolerance if trade.size > 0 else 1 - tolerance)) > 0:
        return False  # the limit that the manager sets would not be met
    return all(_near(route.after(part).spot, trade.twap, market.price, tolerance) for route, part in trade.parts)


def depth(route: Route, venue: Venue, market: Market, buying: bool, room: float) -> float:
    """What one tier takes [base] before its price, or the average paid, leaves that part of the bands."""
    tolerance = route.fee + venue.band
    if route.depth <= 0.0 or not _near(route.spot, route.twap, market.price, tolerance):
        return 0.0
    tolerance *= room
    base = route.depth / route.spot  # virtual base reserve
    if buying:
        highest = min(market.price, route.twap) * (1 + tolerance)
        worst = market.price * (1 + tolerance)
        return min(
            base * (1 - sqrt(min(1.0, route.spot / highest))),
            base * (1 - min(1.0, route.spot / (1 - route.fee) / worst)),
        )
    lowest = max(market.price, route.twap) * (1 - tolerance)
    worst = market.price * (1 - tolerance)
    return min(
        base * (sqrt(max(1.0, route.spot / lowest)) - 1),
        base * (max(1.0, route.spot * (1 - route.fee) / worst) - 1),
    ) / (1 - route.fee)


def _near(spot: float, twap: float, price: float, tolerance: float) -> bool:
    return abs(spot - price) <= tolerance * price and abs(spot - twap) <= tolerance * twap


def _quote(route: Route, size: float) -> float:
    """[quote] paid, < 0: got; inf: it cannot be filled."""
    if route.depth == inf:
        return size * route.spot / (1 - route.fee) if size > 0 else size * route.spot * (1 - route.fee)
    if route.depth <= 0.0:
        return inf
    base = route.depth / route.spot
    if size > 0:
        return route.depth * size / (base - size) / (1 - route.fee) if size < base else inf
    net = size * (1 - route.fee)
    return route.depth * net / (base - net)


def _share(first: Route, second: Route, size: float) -> float:
    """What the second tier takes when both end at the same marginal price, fees included; 0: nothing."""
    if not 0.0 < max(first.depth, second.depth) < inf or min(first.depth, second.depth) <= 0.0:
        return 0.0
    base_1, base_2 = first.depth / first.spot, second.depth / second.spot
    own, other = first.depth / sqrt(first.spot), second.depth / sqrt(second.spot)  # liquidity
    amount = abs(size)
    if size > 0:
        own, other = own * (2 - second.fee), other * (2 - first.fee)
        part = (base_2 * own + amount * other - base_1 * other) / (own + other)
    else:
        own, other = own * (2 - first.fee), other * (2 - second.fee)
        part = other * (base_1 + amount * (1 - first.fee)) - own * base_2
        part /= other * (1 - first.fee) + own * (1 - second.fee)
    return max(0.0, min(int(part / amount / _STEP) * _STEP, 1 - _STEP))
