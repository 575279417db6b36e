"""Where to hedge and how much: sizes, venues and routes that are worth most together. Pure.

With U the potential, a hedge of n base at a route is worth

    J(n) = pi (U(0) - U(n)) - cost(n) - reward(n) - gas - carry(n),      pi <= phi,

cost being what HedgeManager will measure: the dearest of the loss at the oracle's price, at the venue's average, in
NAV, and the venue's fee; carry what a lender charges for it over the horizon of U, which closing saves. U is convex and
cost grows with size, so J has one hump; its top is the size. pi = phi (the default) makes J > 0 the on-chain rule
itself where nothing is saved by carry, and bounds what the last unit costs as well as the average; where carry is
saved, the rule is kept besides.

Several venues. Each is sized on what the others leave, in turn, until nothing moves: the same last unit everywhere, and
no venue that does not earn its own gas. Venues that trade in one pool share its depth.

No-trade band. Where U is lambda (D sigma)^2 h / 2E and impact is small, J's slope at n = 0 is positive only beyond

    D* = c E / (pi lambda sigma^2 h)                          c = fee and reward per unit, and carry,

and J's top exceeds gas only beyond D* + sqrt(2 gas / (pi k)), k = lambda sigma^2 h / E: the band widens with gas,
narrows with volatility, and hedging ends at its inner edge D*.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf, sqrt

from ballast.keeper.policy import Policy
from ballast.keeper.risk import potential_of
from ballast.keeper.state import Lender, Market, Rebalance, Route, State, Unwind, Venue

_GOLDEN = (sqrt(5) - 1) / 2
_GRID = 12  # points that find the hump of J
_THIRDS = 60  # steps to the bottom of U
_REFINE = 24  # golden sections that find its top
_ROOM = 0.98  # of every bound: the next block's prices are not this one's
_ROUNDS = 4  # in which venues are sized on what the others leave
_SETTLED = 1e-3  # [fraction] change of every size below which they are done
_STRICT = 100.0  # of what the rule leaves: by far more than carry is worth
_GROWTH = 1e-5  # [fraction] of a debt until the next block, when all of it is closed
_HEALTHY = 1.01  # of the floor that health has to be above for more to be borrowed


@dataclass(frozen=True, slots=True)
class Plan:
    """One candidate hedge: `size` [base] > 0 buys."""

    venue: Venue
    route: Route
    size: float
    worth: float  # [quote] J
    fall: float
    cost: float
    reward: float
    put_in: float  # [quote] LP cash that the venue takes; < 0: that comes back


def hedges(state: State, policy: Policy, moving: set[int]) -> list[Rebalance]:
    """Best hedge first; every venue at most once, each judged on what the ones before it leave.

    `moving` are markets whose inventory something else is about to change.
    """
    free = [venue for venue in state.venues if venue.market not in moving]
    alone = [plan for venue in free if (plan := best_hedge(state, venue, policy)) is not None]
    chosen = {plan.venue.id: plan for plan in sorted(alone, key=lambda plan: -plan.worth)}
    for _ in range(_ROUNDS if len(chosen) > 1 else 0):
        settled = True
        for number, plan in list(chosen.items()):
            seen = _after(state, [other for key, other in chosen.items() if key != number])
            again = best_hedge(seen, seen.venue(number), policy)
            settled = settled and again is not None and abs(again.size - plan.size) <= _SETTLED * abs(plan.size)
            if again is None:
                del chosen[number]
            else:
                chosen[number] = again
        if settled:
            break
    actions, seen = [], state
    for number, plan in chosen.items():
        found = _sized(seen, seen.venue(number), plan, policy)
        if found is not None:
            actions.append(_rebalance(seen, found, policy))
            seen = _after(seen, [found])
    return actions


def best_hedge(state: State, venue: Venue, policy: Policy) -> Plan | None:
    """The size and route that make J largest at one venue, or nothing that pays."""
    market = market_of(state, venue)
    if venue.retired or state.now < venue.ready_at or not mark_serves(state, venue, market):
        return None
    potential = potential_of(state, market.id)
    direction = _direction(market, potential)
    best: Plan | None = None
    for route in venue.routes if direction else ():
        most = _room(state, venue, market, route, direction)
        if most <= 0.0:
            continue
        judge = _judge(state, venue, market, route, policy, potential)
        size = direction * _top(lambda n, judge=judge: judge(direction * n).worth, most)  # type: ignore[misc]
        plan = judge(size)
        if (
            route_taken(venue, size) == route
            and _pays(state, plan, policy)
            and (best is None or plan.worth > best.worth)
        ):
            best = plan
    return best


def unwind(state: State, venue: Venue, policy: Policy) -> Unwind | None:
    """Closes what a lending venue's health asks for, as far as its pool allows, if that is worth the gas."""
    lender, market = venue.lender, market_of(state, venue)
    if lender is None or lender.strain_wad == 0 or venue.retired or not mark_serves(state, venue, market):
        return None
    wanted = lender.strain_wad / 1e18
    route = route_taken(venue, wanted)
    if route is None or not lender.closes:
        return None
    payable = max(lender.payable, state.lp_cash) / (market.price * (1 + route.fee + venue.band))
    most = min(_depth(venue, market, route, 1.0), payable)
    if most * market.price < policy.lending_gas * state.gas_price or most <= 0.0:
        return None
    # all of it, whatever it has grown to by then, if there is room for more than it
    units = int(2 * lender.strain_wad if wanted <= _ROOM * most else _ROOM * most * 1e18)
    return Unwind(venue.id, units, f"unwind:{venue.id}:{venue.traded_at}:{venue.exposure_wad}")


def no_trade_band(state: State, venue: Venue, policy: Policy) -> tuple[float, float]:
    """Deltas [base] of the venue's market between which no hedge pays, were the venue free to trade either way.

    It lies around the delta at which U is least: with options, or beside other markets, that is not zero.
    """
    market = market_of(state, venue)
    # at the oracle's price and its average: the band is about cost, not about a momentary gap
    routes = [replace(route, spot=market.price, twap=market.price) for route in venue.routes]
    cheapest = route_taken(replace(venue, routes=tuple(routes)), 0.01 * state.capital / market.price)
    free = replace(
        venue,
        lender=None,
        exposure_wad=10**40,  # more than anybody would sell
        paused=False,
        retired=False,
        ready_at=0,
        max_age=0,
        cap=inf,
        turnover_left=inf,
        routes=(cheapest,) if cheapest else (),
    )
    reach = 4.0 * state.capital / market.price
    centre = market.delta + _least(potential_of(state, market.id), reach + abs(market.delta))
    calm = replace(state.moved(market.id, centre - market.delta), lp_cash=inf, opened_at=0)
    calm = replace(calm, markets=tuple(replace(m, fresh=True) for m in calm.markets))
    edges: list[float] = []
    for sign in (-1.0, 1.0):

        def pays(size: float, sign: float = sign) -> bool:
            return best_hedge(calm.moved(market.id, sign * size), free, policy) is not None

        inner, outer = 0.0, reach
        guess = _closed_band(calm, market, free, policy)
        if 0.0 < 1.5 * guess < outer and pays(1.5 * guess):
            outer = 1.5 * guess
            if not pays(guess / 2):
                inner = guess / 2
        elif not pays(outer):
            edges.append(sign * inf)
            continue
        while outer - inner > 0.02 * outer:
            middle = (inner + outer) / 2
            inner, outer = (inner, middle) if pays(middle) else (middle, outer)
        edges.append(centre + sign * outer)
    return edges[0], edges[1]


# ---- what a hedge is worth


def average_price(route: Route, size: float) -> float:
    """Expected average price of a swap [quote/base], fee and impact included; size > 0 buys [base]."""
    part = abs(size) * route.spot / route.depth
    if size > 0:
        return inf if part >= 1.0 else route.spot / (1.0 - part) / (1.0 - route.fee)
    return route.spot * (1.0 - route.fee) / (1.0 + part * (1.0 - route.fee))


def measured_cost(route: Route, price: float, size: float, haircut: float = 0.0, put_in: float | None = None) -> float:
    """What contracts/hedge/rule.vy will call the cost of a swap [quote].

    `put_in` [quote] is the LP cash that the venue takes, by default what a spot venue pays for its base.
    """
    if size == 0.0:
        return 0.0
    average = average_price(route, size)
    loss = size * (average - price)
    equity = (size * average if put_in is None else put_in) - loss
    least = route.fee * abs(size) * price
    return max(least, loss, size * (average - route.twap), loss + haircut * equity)


def route_taken(venue: Venue, size: float) -> Route | None:
    """The route that the venue itself will choose for a size: the one with the best price."""
    worst_first = sorted(venue.routes, key=lambda route: average_price(route, size), reverse=size > 0)
    return worst_first[-1] if worst_first else None


def price_of_risk(state: State, policy: Policy) -> float:
    """pi, never above phi."""
    phi = state.rule.phi
    return phi if policy.price_of_risk is None else min(policy.price_of_risk, phi)


def _judge(
    state: State, venue: Venue, market: Market, route: Route, policy: Policy, potential: Callable[[float], float]
) -> Callable[[float], Plan]:
    rule, lender, price = state.rule, venue.lender, market.price
    pi = price_of_risk(state, policy)
    now = potential(0.0)
    base = min(now, state.opening) if state.opened_at == state.now else now
    excess = max(0.0, state.reserve - base)
    # [quote per base] sold
    carry = lender.carry * state.weights.horizon * price if lender else 0.0

    def judge(size: float) -> Plan:
        after = potential(size)
        fall = max(0.0, base - after)
        average = average_price(route, size)
        put_in = size * average if lender is None else _put_in(lender, size, average, price)
        cost = measured_cost(route, price, size, venue.haircut, put_in)
        freed = max(0.0, max(0.0, state.reserve - after) - excess)
        reward = max(rule.eta * max(0.0, freed - cost), rule.size_reward * abs(size) * price)
        spent = cost + reward + rule.gas
        worth = min(pi * fall - spent + size * carry, _STRICT * (rule.phi * fall - spent))
        return Plan(venue, route, size, worth, fall, cost, reward, put_in)

    return judge


def _put_in(lender: Lender, size: float, average: float, price: float) -> float:
    """LP cash [quote] that goes to a lending venue; < 0: that comes home."""
    return lender.funding(-size, average) if size < 0 else -lender.freed(size, average, price)


def _pays(state: State, plan: Plan, policy: Policy) -> bool:
    """For the vault, and for the keeper."""
    units = policy.rebalance_gas if plan.venue.lender is None else policy.lending_gas
    earned = plan.reward + state.rule.gas - units * state.gas_price
    return plan.worth >= policy.min_saving and earned >= policy.min_profit


def _direction(market: Market, potential: Callable[[float], float]) -> float:
    """-1 to sell, 1 to buy, 0 where U is flat."""
    step = 1e-6 * max(abs(market.delta), 1.0)
    slope = potential(step) - potential(-step)
    return -1.0 if slope > 0 else 1.0 if slope < 0 else 0.0


def _sized(seen: State, venue: Venue, plan: Plan, policy: Policy) -> Plan | None:
    """A plan of before, cut to what there is room for now, if it still pays."""
    market = market_of(seen, venue)
    route = route_taken(venue, plan.size)
    if route is None:
        return None
    direction = 1.0 if plan.size > 0 else -1.0
    size = direction * min(abs(plan.size), _room(seen, venue, market, route, direction))
    if size == 0.0 or route_taken(venue, size) != route:
        return None
    found = _judge(seen, venue, market, route, policy, potential_of(seen, market.id))(size)
    return found if _pays(seen, found, policy) else None


def _after(state: State, plans: list[Plan]) -> State:
    """The state that hedges leave: delta, LP cash, and pools, whoever trades in them."""
    for plan in plans:
        pool = plan.route.pool
        state = replace(state.moved(plan.venue.market, plan.size), lp_cash=state.lp_cash - plan.put_in)
        if pool:
            venues = (
                replace(venue, routes=tuple(r.after(plan.size) if r.pool == pool else r for r in venue.routes))
                for venue in state.venues
            )
            state = replace(state, venues=tuple(venues))
    return state


def _least(potential: Callable[[float], float], reach: float) -> float:
    """Where a convex function is least on [-reach, reach]."""
    low, high = -reach, reach
    for _ in range(_THIRDS):
        third = (high - low) / 3
        if potential(low + third) < potential(high - third):
            high -= third
        else:
            low += third
    return (low + high) / 2


def _closed_band(state: State, market: Market, venue: Venue, policy: Policy) -> float:
    """The module's closed form of the band's outer edge [base]: one market, quadratic U, no impact."""
    rule, w = state.rule, state.weights
    pi = price_of_risk(state, policy)
    fee = min((route.fee for route in venue.routes), default=0.0) + rule.size_reward
    k = w.aversion * market.sigma**2 * w.horizon / state.capital
    if pi * k == 0.0:
        return 0.0
    return (fee / (pi * k) + sqrt(2 * (rule.gas + policy.min_saving) / (pi * k))) / market.price


# ---- how much there is room for


def in_band(route: Route, venue: Venue, market: Market) -> bool:
    """Whether HedgeManager lets a route be used at all."""
    tolerance = route.fee + venue.band
    return (
        route.depth > 0.0
        and abs(route.spot - market.price) <= tolerance * market.price
        and abs(route.spot - route.twap) <= tolerance * route.twap
    )


def mark_serves(state: State, venue: Venue, market: Market) -> bool:
    """Whether the oracle's price is young enough to trade on."""
    return market.fresh and (venue.max_age == 0 or state.now - market.updated_at <= venue.max_age)


def market_of(state: State, venue: Venue) -> Market:
    """The market that a venue hedges."""
    return next(m for m in state.markets if m.id == venue.market)


def _room(state: State, venue: Venue, market: Market, route: Route, direction: float) -> float:
    """The largest size [base] that bands, caps, budget, cash and the lender allow."""
    if route.fee > venue.fee_cap:
        return 0.0
    # more than the whole book never helps, however correlated
    whole = sum(abs(m.delta) * m.price for m in state.markets)
    bounds = [
        _depth(venue, market, route, direction),
        venue.turnover_left / market.price,
        whole / market.price / _ROOM,
        _holdable(state, venue, market, route, direction),
    ]
    if venue.paused:
        toward_zero = (venue.exposure > 0) != (direction > 0) and venue.exposure_wad != 0
        bounds.append(abs(venue.exposure) / _ROOM if toward_zero else 0.0)
    return _ROOM * max(0.0, min(bounds))


def _depth(venue: Venue, market: Market, route: Route, direction: float) -> float:
    """What a pool takes [base] before its price, or the average paid, leaves the bands."""
    if not in_band(route, venue, market):
        return 0.0
    tolerance = route.fee + venue.band
    base = route.depth / route.spot  # virtual base reserve
    if direction > 0:
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
    )


def _holdable(state: State, venue: Venue, market: Market, route: Route, direction: float) -> float:
    """What may be held, lent and paid for [base]."""
    cash = max(0.0, min(state.lp_cash, state.lp_cash - state.rule.lp_floor))
    worst = market.price * (1 + route.fee + venue.band)
    lender = venue.lender
    # closing all there is needs no allowance for the next block
    if lender is None:
        return min(cash / worst, venue.cap - venue.exposure) if direction > 0 else venue.exposure / _ROOM
    if direction > 0:
        return min(-venue.exposure / _ROOM, max(lender.payable, cash) / worst) if lender.closes else 0.0
    if not lender.opens or lender.health < lender.floor * _HEALTHY:
        return 0.0
    return min(venue.cap + venue.exposure, lender.lendable, lender.affordable(cash, market.price))


# ---- internal


def _rebalance(state: State, plan: Plan, policy: Policy) -> Rebalance:
    """The action of a plan; one that closes all but dust closes all."""
    venue = plan.venue
    size_wad, held = int(plan.size * 1e18), abs(venue.exposure_wad)
    if abs(size_wad) > held * (1 - 1e-6) and (plan.size > 0) == (venue.lender is not None):
        grown = 0 if venue.lender is None or venue.paused else int(held * _GROWTH)
        size_wad = held + grown if plan.size > 0 else -held
    slack = policy.slippage if plan.size > 0 else -policy.slippage
    limit = average_price(plan.route, plan.size) * (1 + slack)
    return Rebalance(
        venue=venue.id,
        market=venue.market,
        size_wad=size_wad,
        limit_wad=int(limit * 1e18),
        key=f"rebalance:{venue.id}:{venue.traded_at}:{state.block}",
        expected_fall=plan.fall,
        expected_cost=plan.cost,
        expected_reward=plan.reward,
    )


def _top(worth: Callable[[float], float], most: float) -> float:
    """Where a function with one hump is largest on (0, most]."""
    grid = [most * (i + 1) / _GRID for i in range(_GRID)]
    values = [worth(n) for n in grid]
    peak = max(range(_GRID), key=values.__getitem__)
    low = grid[peak - 1] if peak > 0 else 0.0
    high = grid[peak + 1] if peak + 1 < _GRID else most
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = worth(left), worth(right)
    for _ in range(_REFINE):
        if at_left >= at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = worth(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = worth(right)
    found = [(at_left, left), (at_right, right), (values[peak], grid[peak])]
    return max(found)[1]
