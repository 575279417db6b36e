"""Other ways to hedge, in the place of hedging.hedges: what the keeper's own way is measured against.

Each says how much dollar delta of a market it leaves; venues, routes, bounds and transactions are the same for all, and
so is the on-chain rule, which refuses what costs more than it saves. None looks at U, at other markets or at gas.
"""

from __future__ import annotations

from collections.abc import Callable

from ballast.keeper.decide import Hedger
from ballast.keeper.hedging import Plan, after, rebalance, sized
from ballast.keeper.policy import Policy
from ballast.keeper.state import Market, Rebalance, State

Kept = Callable[[State, Market], float]
"""The part [base] of a market's delta that is left alone."""


def fixed_band(width: float, to: float = 0.0) -> Hedger:
    """Beyond `width` [quote] of delta, hedges until the part `to` of the band is left: 0 all of it, 1 to its edge."""

    def kept(state: State, market: Market) -> float:
        return market.delta if abs(market.delta) * market.price <= width else _cut(market, to * width)

    return _hedger(kept)


def schedule(interval: int) -> Hedger:
    """Every `interval` [s], counted from the market's last hedge at any venue, hedges all of it."""

    def kept(state: State, market: Market) -> float:
        last = max((venue.traded_at for venue in state.venues if venue.market == market.id), default=0)
        return market.delta if state.now - last < interval else 0.0

    return _hedger(kept)


def whalley_wilmott(flow: float) -> Hedger:
    """Hedges to the edge of the band that is best for small costs: Whalley and Wilmott, Mathematical Finance 7 (1997).

    In dollars of delta its half-width is (3 c v / 2 a sigma^2)^(1/3): c the cheapest fee, a the potential's aversion
    over the risk capital, and v the yearly variance [quote^2] of what is to be hedged: in their
    paper (Gamma S^2 sigma)^2 of an option, here also `flow`, that of what traders do.
    """

    def kept(state: State, market: Market) -> float:
        fees = [
            min(r.fee for r in venue.routes) for venue in state.venues if venue.market == market.id and venue.routes
        ]
        aversion = state.weights.aversion / state.capital * market.sigma**2
        if not fees or aversion == 0.0:
            return market.delta
        moves = flow + (market.gamma * market.price**2 * market.sigma) ** 2
        return _cut(market, (1.5 * min(fees) * moves / aversion) ** (1 / 3))

    return _hedger(kept)


def no_hedge(state: State, policy: Policy, moving: set[int]) -> list[Rebalance]:
    """Leaves the inventory alone."""
    return []


def _cut(market: Market, width: float) -> float:
    """The delta [base] within a band of so many dollars."""
    most = width / market.price
    return max(-most, min(market.delta, most))


def _hedger(kept: Kept) -> Hedger:
    """Trades the rest, at the venue where a unit costs least first."""

    def hedges(state: State, policy: Policy, moving: set[int]) -> list[Rebalance]:
        actions: list[Rebalance] = []
        seen = state
        for market in state.markets:
            rest = kept(state, market) - market.delta
            free = (
                {venue.id for venue in state.venues if venue.market == market.id} if market.id not in moving else set()
            )
            while free and rest:
                plans = [plan for number in free if (plan := sized(seen, seen.venue(number), rest, policy)) is not None]
                if not plans:
                    break
                best = min(plans, key=_unit_cost)
                actions.append(rebalance(seen, best, policy))
                seen, rest, free = after(seen, [best]), rest - best.size, free - {best.venue.id}
        return actions

    return hedges


def _unit_cost(plan: Plan) -> float:
    """[quote per base] before carry."""
    return plan.cost / abs(plan.size)
