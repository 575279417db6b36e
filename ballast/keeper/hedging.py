"""Where to hedge and how much: sizes, venues and routes that are worth most together. Pure.

With U the potential, a hedge of n base at a route is worth

    J(n) = pi (U(0) - U(n)) - cost(n) - reward(n) - gas - carry(n)

cost being what HedgeManager will measure: the dearest of the loss at the oracle's price, at the venue's average, in
NAV, and the venue's fee; carry what a lender charges for it over the horizon of U, which closing saves. U is convex and
cost grows with size, so J has one hump; its top is the size. pi = phi (the default) makes J > 0 the on-chain rule
itself where nothing is saved by carry, and bounds what the last unit costs as well as the average. Where carry is
saved, or pi is more, the rule is kept besides: a larger pi begins no sooner, but hedges further.

Several venues. In the order of what a first unit costs, each is sized on what the others leave, until nothing moves:
the same last unit everywhere. A venue without which all of it is worth more, because of its gas, is left out. Venues
that trade in one pool share its depth.

No-trade band. Where U is lambda (D sigma)^2 h / 2E and impact is small, J's slope at n = 0 is positive only beyond

    D* = c E / (pi lambda sigma^2 h)                pi <= phi, c = fee and reward per unit, and carry,

and J's top exceeds gas only beyond D* + sqrt(2 gas / (pi k)), k = lambda sigma^2 h / E: the band widens with gas,
narrows with volatility, and hedging ends at its inner edge D*, with a larger pi within.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf, sqrt

from ballast.keeper.policy import Policy
from ballast.keeper.risk import potential_of
from ballast.keeper.state import Lender, Mandate, Market, Rebalance, State, Unwind, Venue
from ballast.keeper.swaps import Swap, depth, in_band, measured_cost, swap

_GOLDEN = (sqrt(5) - 1) / 2
_GRID = 8  # points that find the hump of J
_THIRDS = 60  # steps to the bottom of U
_REFINE = 15  # golden sections that find its top
ROOM = 0.98  # of every bound: the next block's prices are not this one's
_EDGE = ROOM + 1e-3  # what is at the edge of that is within it
_ROUNDS = 4  # in which venues are sized on what the others leave
_SETTLED = 3e-3  # [fraction] change of every size below which they are done
_STRICT = 100.0  # of what the rule leaves: by far more than carry is worth
_GROWTH = 1e-5  # [fraction] of a debt until the next block, when all of it is closed
_SOON = 120  # [s] in which a transaction may still wait
_HEALTHY = 1.01  # of the floor that health has to be above for more to be borrowed


@dataclass(frozen=True, slots=True)
class Plan:
    """One candidate hedge."""

    venue: Venue
    swap: Swap
    worth: float  # [quote] J
    fall: float
    cost: float
    reward: float
    carry: float  # [quote] over the horizon of U; < 0: saved
    put_in: float  # [quote] LP cash that the venue takes; < 0: that comes back
    mandate: Mandate | None = None

    @property
    def size(self) -> float:
        """[base] > 0 buys."""
        return self.swap.size


def hedges(state: State, policy: Policy, moving: set[int]) -> list[Rebalance]:
    """Cheapest first unit first; every venue at most once, each judged on what the ones before it leave.

    `moving` are markets whose inventory something else is about to change.
    """
    free = [venue for venue in state.venues if venue.market not in moving]
    alone = [plan for venue in free if (plan := best_hedge(state, venue, policy)) is not None]
    order = [plan.venue.id for plan in sorted(alone, key=lambda plan: _first_unit(state, plan, policy))]
    plans = _together(state, order, (), policy)
    for number in reversed(order):
        rest = [plan for plan in plans if plan.venue.id != number]
        markets = {plan.venue.market for plan in rest}
        if len(rest) < len(plans) and state.venue(number).market in markets:
            without = _together(state, [plan.venue.id for plan in rest], rest, policy)
            plans = max(plans, without, key=lambda found: sum(plan.worth for plan in found))
    actions: list[Rebalance] = []
    for plan in plans:
        actions.append(rebalance(state, plan, policy))
        state = after(state, [plan])
    return actions


def _together(state: State, order: Sequence[int], begun: Sequence[Plan], policy: Policy) -> list[Plan]:
    """What is worth most at some venues together, as it is then judged one after the other; found from a beginning."""
    chosen = {plan.venue.id: plan for plan in begun}
    for _ in range(_ROUNDS):
        before = {number: plan.size for number, plan in chosen.items()}
        for place, number in enumerate(order):
            held = chosen.pop(number, None)
            # in one pool the cheaper comes first, whatever is left for the others
            pools = _pools(held) if held is not None else set()
            behind = {other for other in order[place:] if other in chosen and _pools(chosen[other]) & pools}
            seen = after(state, [plan for other, plan in chosen.items() if other not in behind])
            plan = best_hedge(seen, seen.venue(number), policy)
            if plan is not None:
                chosen[number] = plan
        if len(order) == 1 or all(
            number in before and abs(plan.size - before[number]) <= _SETTLED * abs(plan.size)
            for number, plan in chosen.items()
        ):
            break
    plans = []
    for number in order:
        plan = chosen.get(number)
        found = sized(state, state.venue(number), plan.size, policy, plan.mandate) if plan is not None else None
        if found is not None and _pays(state, found, policy):
            plans.append(found)
            state = after(state, [found])
    return plans


def _pools(plan: Plan) -> set[str]:
    return {route.pool for route, _ in plan.swap.parts if route.pool}


def _first_unit(state: State, plan: Plan, policy: Policy) -> float:
    """[quote per base] What a plan costs where it begins."""
    market, begun = market_of(state, plan.venue), swap(plan.venue, plan.size / 100)
    assert begun is not None  # a hundred times as much is filled
    judge = _judge(state, plan.venue, market, policy, potential_of(state, market.id), plan.mandate)
    _, _, cost, reward, carry, _ = judge(begun)
    return (cost + reward + carry) / abs(begun.size)


def sized(state: State, venue: Venue, size: float, policy: Policy, mandate: Mandate | None = None) -> Plan | None:
    """The hedge of a size [base] at a venue, cut to what there is room for, whether it pays or not."""
    market = market_of(state, venue)
    if mandate is not None:
        mandate = next(m for m in state.mandates if m.id == mandate.id)
    rooms = _rooms(state, venue, market, mandate, policy.step, buying=size > 0)
    if not rooms or size == 0.0:
        return None
    found = swap(venue, max(-rooms[-1], min(size, rooms[-1])))
    if found is None or not _is_allowed(found, venue, market):
        return None
    judge = _judge(state, venue, market, policy, potential_of(state, market.id), mandate)
    return Plan(venue, found, *judge(found), mandate)


def after(state: State, plans: list[Plan]) -> State:
    """The state that hedges leave: delta, LP cash, and pools, whoever trades in them."""
    for plan in plans:
        used = -1 if plan.mandate is None else plan.mandate.id
        notional = abs(plan.size) * market_of(state, plan.venue).price
        state = replace(
            state.moved(plan.venue.market, plan.size),
            lp_cash=state.lp_cash - plan.put_in,
            mandates=tuple(replace(m, left=m.left - notional) if m.id == used else m for m in state.mandates),
        )
        traded = {route.pool: part for route, part in plan.swap.parts if route.pool}
        if traded:
            venues = (
                replace(venue, routes=tuple(r.after(traded[r.pool]) if r.pool in traded else r for r in venue.routes))
                for venue in state.venues
            )
            state = replace(state, venues=tuple(venues))
    return state


def rebalance(state: State, plan: Plan, policy: Policy) -> Rebalance:
    """The action of a plan; one that closes all but dust closes all."""
    venue = plan.venue
    size_wad, held = int(plan.size * 1e18), abs(venue.exposure_wad)
    if abs(size_wad) > held * (1 - 1e-6) and (plan.size > 0) == (venue.lender is not None):
        grown = 0 if venue.lender is None or venue.paused else int(held * _GROWTH)
        size_wad = held + grown if plan.size > 0 else -held
    slack = policy.slippage if plan.size > 0 else -policy.slippage
    limit = plan.swap.average * (1 + slack)
    return Rebalance(
        venue=venue.id,
        market=venue.market,
        size_wad=size_wad,
        limit_wad=int(limit * 1e18),
        key=f"rebalance:{venue.id}:{venue.traded_at}:{state.block}",
        expected_fall=plan.fall,
        expected_cost=plan.cost,
        expected_reward=plan.reward,
        mandate=plan.mandate.id if plan.mandate is not None else None,
    )


def best_hedge(state: State, venue: Venue, policy: Policy) -> Plan | None:
    """The size that makes J largest at one venue, or nothing that pays; by mandate where that pays the keeper more."""
    plain, mandate = _best_hedge(state, venue, policy, None), _mandate(state, venue)
    own = _best_hedge(state, venue, policy, mandate) if mandate is not None else None
    return max((plan for plan in (plain, own) if plan is not None), key=lambda plan: plan.reward, default=None)


def _best_hedge(state: State, venue: Venue, policy: Policy, mandate: Mandate | None) -> Plan | None:
    market = market_of(state, venue)
    potential = potential_of(state, market.id)
    direction = _direction(market, potential)
    rooms = _rooms(state, venue, market, mandate, policy.step, buying=direction > 0) if direction else []
    if not rooms:
        return None
    judge = _judge(state, venue, market, policy, potential, mandate)

    def worth(amount: float) -> float:
        found = swap(venue, direction * amount)
        return judge(found)[0] if found is not None and _is_allowed(found, venue, market) else -inf

    amount = _top(worth, rooms)
    found = swap(venue, direction * amount)
    if found is None or not _is_allowed(found, venue, market):
        return None
    plan = Plan(venue, found, *judge(found), mandate)
    return plan if _pays(state, plan, policy) else None


def unwind(state: State, venue: Venue, policy: Policy) -> Unwind | None:
    """Closes what a lending venue's health asks for, as far as its pool allows, if that is worth the gas."""
    lender, market = venue.lender, market_of(state, venue)
    if lender is None or lender.strain_wad == 0 or venue.retired or not mark_serves(state, venue, market):
        return None
    wanted = lender.strain_wad / 1e18
    payable = ROOM * max(lender.payable, state.lp_cash) / (market.price * (1 + venue.fee_cap + venue.band))
    bearable = max((depth(route, venue, market, buying=True, room=ROOM) for route in venue.routes), default=0.0)
    size = min(wanted, payable, bearable)
    if not lender.closes or size * market.price < max(policy.lending_gas * state.gas_price, policy.min_saving):
        return None
    found = swap(venue, size)
    if found is None or not in_band(found, venue, market, _EDGE):
        return None
    # all of it, whatever it has grown to by then, if there is room for it
    units = 2 * lender.strain_wad if size == wanted else int(size * 1e18)
    return Unwind(venue.id, units, f"unwind:{venue.id}:{venue.traded_at}:{venue.exposure_wad}")


def no_trade_band(state: State, venue: Venue, policy: Policy) -> tuple[float, float]:
    """Deltas [base] of the venue's market between which no hedge pays, were the venue free to trade either way.

    It lies around the delta at which U is least: with options, or beside other markets, that is not zero.
    """
    market = market_of(state, venue)
    # at the oracle's price and its average: the band is about cost, not about a momentary gap
    routes = [replace(route, spot=market.price, twap=market.price) for route in venue.routes]
    typical = swap(replace(venue, routes=tuple(routes)), 0.01 * state.capital / market.price)
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
        routes=(typical.parts[0][0],) if typical else (),
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


Judge = Callable[[Swap], tuple[float, float, float, float, float, float]]
"""What `Plan` says of a swap, from `worth` on [quote]."""


def _judge(
    state: State,
    venue: Venue,
    market: Market,
    policy: Policy,
    potential: Callable[[float], float],
    mandate: Mandate | None,
) -> Judge:
    rule, lender, price = state.rule, venue.lender, market.price
    pi = rule.phi if policy.price_of_risk is None else policy.price_of_risk
    eta = rule.eta if mandate is None else mandate.share
    now = potential(0.0)
    base = min(now, state.opening) if state.opened_at == state.now else now
    excess = max(0.0, state.reserve - base)
    per_base = lender.carry * state.weights.horizon * price if lender else 0.0  # [quote] sold

    def judge(trade: Swap) -> tuple[float, float, float, float, float, float]:
        size = trade.size
        after = potential(size)
        fall = max(0.0, base - after)
        put_in = size * trade.average if lender is None else _put_in(lender, size, trade.average, price)
        cost = measured_cost(trade, price, venue.haircut, put_in)
        freed = max(0.0, max(0.0, state.reserve - after) - excess)
        reward = max(eta * max(0.0, freed - cost), rule.size_reward * abs(size) * price)
        spent, carry = cost + reward + rule.gas, -size * per_base
        worth = min(pi * fall - spent - carry, _STRICT * (rule.phi * fall - spent))
        return worth, fall, cost, reward, carry, put_in

    return judge


def _mandate(state: State, venue: Venue) -> Mandate | None:
    """The keeper's mandate for a venue that pays most, if that is more than anybody's share and not about to end."""
    usable = [m for m in state.mandates if m.venues >> venue.id & 1 and m.expiry > state.now + _SOON and m.left > 0.0]
    best = max(usable, key=lambda mandate: mandate.share, default=None)
    return best if best is not None and best.share > state.rule.eta else None


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
    pi = rule.phi if policy.price_of_risk is None else min(policy.price_of_risk, rule.phi)
    fee = min((route.fee for route in venue.routes), default=0.0) + rule.size_reward
    k = w.aversion * market.sigma**2 * w.horizon / state.capital
    if pi * k == 0.0:
        return 0.0
    return (fee / (pi * k) + sqrt(2 * (rule.gas + policy.min_saving) / (pi * k))) / market.price


# ---- how much there is room for


def mark_serves(state: State, venue: Venue, market: Market) -> bool:
    """Whether the oracle's price is young enough to trade on."""
    return market.fresh and (venue.max_age == 0 or state.now - market.updated_at <= venue.max_age)


def market_of(state: State, venue: Venue) -> Market:
    """The market that a venue hedges."""
    return next(m for m in state.markets if m.id == venue.market)


def _rooms(
    state: State, venue: Venue, market: Market, mandate: Mandate | None, step: float, *, buying: bool
) -> list[float]:
    """Sizes [base] at which something may end, ascending: what each fee tier takes; the last is all that is allowed."""
    if venue.retired or state.now < venue.ready_at or not mark_serves(state, venue, market):
        return []
    tiers = [depth(route, venue, market, buying, ROOM) for route in venue.routes if route.fee <= venue.fee_cap]
    # more than the whole book never helps, however correlated
    whole = sum(abs(m.delta) * m.price for m in state.markets)
    bounds = [
        ROOM * venue.turnover_left / market.price,
        step / market.price,
        whole / market.price,
        _holdable(state, venue, market, buying=buying),
    ]
    if mandate is not None:
        bounds.append(ROOM * mandate.left / market.price)
    if venue.paused:
        bounds.append(abs(venue.exposure) if (venue.exposure > 0) != buying else 0.0)
    most = min(bounds)
    # two tiers may be taken together
    return sorted({room for tier in (*tiers, sum(tiers)) if (room := min(tier, most)) > 0.0})


def _is_allowed(found: Swap, venue: Venue, market: Market) -> bool:
    return found.fee <= venue.fee_cap and in_band(found, venue, market, _EDGE)


def _holdable(state: State, venue: Venue, market: Market, *, buying: bool) -> float:
    """What may be held, lent and paid for [base]; closing all there is needs no allowance for the next block."""
    cash = ROOM * max(0.0, min(state.lp_cash, state.lp_cash - state.rule.lp_floor))
    worst = market.price * (1 + venue.fee_cap + venue.band)
    lender = venue.lender
    if lender is None:
        return min(cash / worst, ROOM * (venue.cap - venue.exposure)) if buying else venue.exposure
    if buying:
        return min(-venue.exposure, max(ROOM * lender.payable, cash) / worst) if lender.closes else 0.0
    if not lender.opens or lender.health < lender.floor * _HEALTHY:
        return 0.0
    return min(ROOM * (venue.cap + venue.exposure), ROOM * lender.lendable, lender.affordable(cash, market.price))


def _top(worth: Callable[[float], float], rooms: Sequence[float]) -> float:
    """Where a function with one hump is largest on (0, the last of the rooms]; it may end, or jump, at any of them."""
    most = rooms[-1]
    grid = sorted({*(most * (i + 1) / _GRID for i in range(_GRID)), *rooms})
    values = [worth(n) for n in grid]
    peak = max(range(len(grid)), key=values.__getitem__)
    low = grid[peak - 1] if peak > 0 else 0.0
    high = grid[peak + 1] if peak + 1 < len(grid) else most
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
