"""What a keeper does about what it sees. Pure: the same state and policy always give the same actions.

Hedging. With U the potential, a hedge of n base at a route is worth

    J(n) = pi (U(0) - U(n)) - cost(n) - reward(n) - gas,      pi <= phi,

cost being what HedgeManager will measure: the dearest of the loss at the oracle's price, at the venue's average, in
NAV, and the venue's fee. U is convex and cost grows with size, so J has one hump; its top is the size. pi = phi (the
default) makes J > 0 the on-chain rule itself, and bounds what the last unit costs as well as the average.

No-trade band. Where U is lambda (D sigma)^2 h / 2E and impact is small, J's slope at n = 0 is positive only beyond

    D* = c E / (pi lambda sigma^2 h)                          c = fee and reward per unit,

and J's top exceeds gas only beyond D* + sqrt(2 gas / (pi k)), k = lambda sigma^2 h / E: the band widens with gas,
narrows with volatility, and hedging ends at its inner edge D*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import copysign, inf, sqrt

from ballast.keeper.risk import potential_of
from ballast.keeper.state import (
    Account,
    Action,
    Board,
    ClaimProfits,
    Clear,
    Closing,
    Crystallise,
    Deleverage,
    Ending,
    ExecuteClose,
    Finalise,
    Liquidate,
    Market,
    Nominate,
    Poke,
    ProcessEpoch,
    Rebalance,
    Recall,
    Refresh,
    Route,
    Settle,
    SettleAccounts,
    State,
    SyncAll,
    Trigger,
    Venue,
)
from ballast.model.exact.deleverager import GRACE, WINDOW

YEAR = 365 * 86_400  # [s]
_GOLDEN = (sqrt(5) - 1) / 2
_GRID = 12  # points that find the hump of J
_THIRDS = 60  # steps to the bottom of U
_REFINE = 24  # golden sections that find its top
_ROOM = 0.98  # of every bound: the next block's prices are not this one's
_MARGIN = 1e-6  # [fraction] by which a nomination is outbid at least: scores here are floats
_MOST = 1e6  # of a factor of a score, contracts/clearing/Deleverager.vy
_BATCH = 32  # accounts in one transaction: OptionEngine takes 64, GlobalSettlement as many as these


@dataclass(frozen=True, slots=True)
class Policy:
    """What this keeper wants."""

    price_of_risk: float | None = None  # pi, what a unit of U is worth; None: the rule's phi
    min_saving: float = 1.0  # [quote] least J worth a transaction
    min_profit: float = 0.0  # [quote] the keeper's own, beyond its gas
    slippage: float = 0.001  # [fraction] of the expected price that a hedge may be worse
    rebalance_gas: int = 650_000
    refresh_gas: int = 460_000  # ten strikes, a new surface and a new round: docs/reports/gas.md
    close_gas: int = 400_000
    liquidate_gas: int = 350_000
    poke_at: float = 1e-4  # [fraction of the venue's equity] difference worth reporting
    sweep_lead: float = 0.9  # part of the sweep age after which markets are synchronised
    hedge: bool = True
    wind_down: bool = False  # trigger global settlement when that is possible
    take: float = 0.0  # [quote] most that positions in the keeper's own account may come to; 0: it takes none over
    take_cost: float = 0.001  # [fraction of notional] that getting rid of them is reckoned to cost
    take_time: float = 60.0  # [s] that it may take; a standard deviation over it is to be earned


def decide(state: State, policy: Policy) -> list[Action]:
    """Everything worth doing now, most urgent first."""
    if state.ending is not None:
        return _end(state, state.ending)
    actions: list[Action] = [Trigger(f"trigger:{state.block}")] if state.can_end and policy.wind_down else []
    liquidations = _liquidations(state, policy)
    actions += liquidations
    winners = _deleveraging(state)
    actions += winners
    closes = _queued(state, policy)
    actions += closes
    actions += _recalls(state, state.rule.recall_floor - state.lp_cash)
    for board in state.boards:
        actions += _settlement(state, board)
    refreshes = [due for board in state.boards if (due := _refresh(state, board, policy)) is not None]
    actions += refreshes
    epoch = _process_epoch(state)
    actions += [epoch] if epoch else []
    actions += _pokes(state, policy)
    if policy.hedge:
        # what closes positions moves the inventory: hedge what it leaves, next time
        moving = {action.closing.market for action in liquidations if not action.closing.taken}
        moving |= {action.market for action in winners if isinstance(action, Deleverage)}
        moving |= {action.market for action in closes} | {action.market for action in refreshes}
        actions += _hedges(state, policy, moving)
    if not actions and _sweep_is_due(state, policy):
        actions.append(SyncAll(key=f"sync:{state.swept_at}"))
    return actions


# ---- liquidation


def _liquidations(state: State, policy: Policy) -> list[Liquidate]:
    """What to close of every account that can be liquidated, nearest to insolvency first; the rest is judged again.

    One closing that is enough; where none is, one in every market. Whatever it pays, but nothing smaller than its gas:
    that would cost more than it could lose.
    """
    least = policy.liquidate_gas * state.gas_price
    weak = sorted((account for account in state.accounts if account.closings), key=lambda a: cushion(state, a))
    room = policy.take - state.own
    actions: list[Liquidate] = []
    for account in weak:
        groups = [list(account.closings)]
        if not any(closing.enough for closing in account.closings):
            markets = dict.fromkeys(closing.market for closing in account.closings)
            groups = [[closing for closing in account.closings if closing.market == market] for market in markets]
        for group in groups:
            closing = _choose(state, group, room, policy)
            if closing is not None and closing.notional >= least:
                room -= closing.notional if closing.taken else 0.0
                actions.append(_liquidate(account, closing))
    return actions


def cushion(state: State, account: Account) -> float:
    """How many yearly standard deviations an account is from bad debt, the cost of closing paid; below 0: past it.

    Its positions count as if all moved against it together.
    """
    per_base = {market.id: market.price * market.sigma for market in state.markets}
    at_risk = sum(abs(leg.size_wad) / 1e18 * per_base[leg.market] for leg in account.legs)
    at_risk += sum(max(-option.size_wad, 0) / 1e18 * per_base[option.market] for option in account.options)
    left = account.equity - sum(leg.exit_cost for leg in account.legs)
    return left / at_risk if at_risk > 0.0 else copysign(inf, left)


def _choose(state: State, closings: Sequence[Closing], room: float, policy: Policy) -> Closing | None:
    """The best closing; into the keeper's own account where that pays more for each unit, all told."""
    by_vault = max((closing for closing in closings if not closing.taken), key=closing_rank, default=None)
    rate = by_vault.reward / by_vault.notional if by_vault else 0.0

    def pays(closing: Closing) -> bool:
        sigma = next(market.sigma for market in state.markets if market.id == closing.market)
        risk = sigma * sqrt(policy.take_time / YEAR)
        return closing.reward > (rate + policy.take_cost + risk) * closing.notional

    taken = (closing for closing in closings if closing.taken and closing.notional <= room and pays(closing))
    return max(taken, key=closing_rank, default=by_vault)


def closing_rank(closing: Closing) -> tuple[bool, float]:
    """More is better: the smallest that is enough, as closing costs by size; else the largest, as all has to go."""
    return closing.enough, -closing.notional if closing.enough else closing.notional


def _liquidate(account: Account, closing: Closing) -> Liquidate:
    """The action; its occasion is what is held in the market, so that what a partial one leaves is another."""
    perps = [f"{leg.size_wad}:{leg.cost_wad}" for leg in account.legs if leg.market == closing.market]
    options = [f"{option.series}:{option.size_wad}" for option in account.options if option.market == closing.market]
    return Liquidate(
        account.address, closing, f"liquidate:{account.address}:{closing.market}:{','.join(perps + options)}"
    )


# ---- deleveraging


def _deleveraging(state: State) -> list[Nominate | Deleverage]:
    """In every market: names the account with the highest score, and closes what is named once the window is over."""
    deleveraging = state.deleveraging
    if deleveraging is None:
        return []
    named = {nomination.market: nomination for nomination in deleveraging.nominations}
    actions: list[Nominate | Deleverage] = []
    for market in state.markets:
        nomination = named.get(market.id)
        age = inf if nomination is None else state.now - nomination.opened_at
        if nomination is not None and WINDOW <= age <= WINDOW + GRACE:
            actions.append(Deleverage(market.id, f"deleverage:{market.id}:{nomination.opened_at}"))
            continue
        to_beat = nomination.score * (1 + _MARGIN) if nomination is not None and age < WINDOW else 0.0
        scores = {account.address: score(state, account, market.id) for account in state.accounts}
        best = max(scores, key=lambda address: scores[address], default=None)
        if best is not None and scores[best] > to_beat:
            actions.append(Nominate(best, market.id, f"nominate:{market.id}:{best}:{state.block}"))
    return actions


def score(state: State, account: Account, market: int) -> float:
    """What the Deleverager will make of an account's position: profit, leverage, and how far closing it helps."""
    leg = next((leg for leg in account.legs if leg.market == market), None)
    if leg is None or leg.profit <= 0.0 or account.equity <= 0.0 or state.deleveraging is None:
        return 0.0
    held = next(m for m in state.markets if m.id == market)
    if leg.size_wad * held.delta > 0:  # it offsets others, or is hedged: closing it would raise the potential
        return 0.0
    gain = min(leg.profit / max(abs(leg.cost_wad) / 1e18, 1e-18), _MOST)
    leverage = min(abs(leg.size_wad) / 1e18 * held.price / max(account.equity, account.maintenance), _MOST)
    return gain * leverage * min(1.0, leg.profit / state.deleveraging.excess)


# ---- closes that wait


def _queued(state: State, policy: Policy) -> list[ExecuteClose]:
    """Those that can be carried out, if their fee pays for the gas."""
    gas = policy.close_gas * state.gas_price
    return [
        ExecuteClose(
            close.account,
            close.market,
            close.options,
            f"close:{close.account}:{close.market}:{'options' if close.options else 'perp'}:{close.round_time}",
            expected_reward=close.reward,
        )
        for close in state.closes
        if close.reward is not None and close.reward - gas >= policy.min_profit
    ]


# ---- global settlement


def _end(state: State, ending: Ending) -> list[Action]:
    """Hedges come back, accounts are valued, payments open, and profits are paid, again when there is more for them."""
    actions: list[Action] = _recalls(state, inf)
    actions += [Crystallise(part, f"crystallise:{part[0]}") for part in _batches(ending.left)]
    actions += [Finalise("finalise")] if ending.ready else []
    actions += [ClaimProfits(part, f"claim:{part[0]}:{ending.paid_out!r}") for part in _batches(ending.owed)]
    return actions


def _batches(accounts: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(accounts[i : i + _BATCH]) for i in range(0, len(accounts), _BATCH)]


# ---- boards of options


def _settlement(state: State, board: Board) -> list[Action]:
    """An expired board is settled, then its accounts, then it is forgotten."""
    if not board.settled:
        if board.round_id is None:
            return []
        reward = state.option_rules[board.market].reward if board.legs else 0.0
        return [Settle(board.market, board.expiry, board.round_id, f"settle:{board.name}", reward)]
    if not board.legs:
        return [Clear(board.market, board.expiry, f"clear:{board.name}")]
    holders = [
        account.address
        for account in state.accounts
        if any((option.market, option.expiry) == (board.market, board.expiry) for option in account.options)
    ]
    return [
        SettleAccounts(board.market, board.expiry, part, f"accounts:{board.name}:{board.legs}:{part[0]}")
        for part in _batches(holders)
    ]


def _refresh(state: State, board: Board, policy: Policy) -> Refresh | None:
    """A board with positions that is due: once the reward pays for the gas, and at once when LPs wait for it."""
    fresh = any(m.id == board.market and m.fresh for m in state.markets)
    if not board.due or not board.legs or board.expiry <= state.now or not fresh:
        return None
    rule = state.option_rules[board.market]
    reward = rule.reward if state.now - board.time >= rule.interval else 0.0
    pays = reward > 0.0 and reward - policy.refresh_gas * state.gas_price >= policy.min_profit
    if not pays and not (_epoch_is_over(state) and state.epoch.pending > 0.0):
        return None
    return Refresh(board.market, board.expiry, f"refresh:{board.name}:{board.time}", reward)


# ---- redemptions and housekeeping


def _process_epoch(state: State) -> ProcessEpoch | None:
    """Once it is over and can be priced; boards that are due are refreshed first, in the same turn."""
    epoch = state.epoch
    if not _epoch_is_over(state):
        return None
    if epoch.pending > 0.0:
        if not all(m.fresh and m.updated_at >= epoch.ends_at for m in state.markets):
            return None
        if any(b.legs and b.expiry <= state.now for b in state.boards):
            return None  # LPs wait until the last position of a board that is over is paid out
    return ProcessEpoch(key=f"epoch:{epoch.id}")


def _epoch_is_over(state: State) -> bool:
    epoch = state.epoch
    return state.now >= epoch.ends_at and epoch.pending + epoch.incoming > 0.0


def _recalls(state: State, missing: float) -> list[Action]:
    """While `missing` [quote] lacks in LP cash, sells hedge back; the manager lets anybody do so."""
    if missing < state.token_unit:
        return []
    actions: list[Action] = []
    for venue in state.venues:
        market = _market(state, venue)
        if venue.retired or venue.exposure_wad == 0 or not _mark_serves(state, venue, market):
            continue
        amount = min(missing, venue.equity)
        size = -amount / market.price if venue.exposure_wad > 0 else amount / market.price
        route = _route_taken(venue, size)
        if route is None or not _in_band(route, venue, market):
            continue
        tolerance = route.fee + venue.band
        if size * (average_price(route, size) - market.price * (1 + tolerance if size > 0 else 1 - tolerance)) > 0:
            continue  # the limit that the manager sets would not be met
        units = int(amount / state.token_unit) + 1
        actions.append(Recall(venue.id, units, f"recall:{venue.id}:{venue.traded_at}:{venue.exposure_wad}"))
        missing -= amount
        if missing < state.token_unit:
            break
    return actions


def _pokes(state: State, policy: Policy) -> list[Action]:
    actions: list[Action] = []
    for venue in state.venues:
        if venue.retired and venue.reported_exposure_wad == 0 and venue.reported_equity < 1.0:
            continue
        gap = abs(venue.equity - venue.reported_equity)
        drifted = gap > max(1.0, policy.poke_at * max(venue.equity, venue.reported_equity))
        if drifted or venue.exposure_wad != venue.reported_exposure_wad:
            key = f"poke:{venue.id}:{venue.reported_exposure_wad}:{venue.exposure_wad}:{gap:.0f}"
            actions.append(Poke(venue.id, key))
    return actions


def _sweep_is_due(state: State, policy: Policy) -> bool:
    active = any(m.delta != 0.0 or m.stress for m in state.markets)
    return active and state.now - state.swept_at > policy.sweep_lead * state.sweep_age


# ---- hedging


@dataclass(frozen=True, slots=True)
class _Plan:
    """One candidate hedge: `size` [base] > 0 buys."""

    venue: Venue
    route: Route
    size: float
    worth: float  # [quote] J
    fall: float
    cost: float
    reward: float


def _hedges(state: State, policy: Policy, moving: set[int]) -> list[Action]:
    """Best hedge first; every venue at most once, each judged on what the ones before it leave."""
    actions: list[Action] = []
    seen = state
    free = [venue for venue in state.venues if venue.market not in moving]
    while free:
        plans = [plan for venue in free if (plan := best_hedge(seen, venue, policy)) is not None]
        if not plans:
            break
        plan = max(plans, key=lambda candidate: candidate.worth)
        actions.append(_rebalance(seen, plan, policy))
        free = [venue for venue in free if venue.id != plan.venue.id]
        price = _market(seen, plan.venue).price
        seen = replace(seen.moved(plan.venue.market, plan.size), lp_cash=seen.lp_cash - plan.size * price - plan.cost)
    return actions


def best_hedge(state: State, venue: Venue, policy: Policy) -> _Plan | None:
    """The size and route that make J largest at one venue, or nothing that pays."""
    market = _market(state, venue)
    if venue.retired or state.now < venue.ready_at or not _mark_serves(state, venue, market):
        return None
    potential = potential_of(state, market.id)
    now = potential(0.0)
    step = 1e-6 * max(abs(market.delta), 1.0)
    slope = (potential(step) - potential(-step)) / (2 * step)
    if slope == 0.0:
        return None
    direction = -1.0 if slope > 0 else 1.0
    base = min(now, state.opening) if state.opened_at == state.now else now
    best: _Plan | None = None
    for route in venue.routes:
        most = _room(state, venue, market, route, direction)
        if most <= 0.0:
            continue
        judge = _judge(state, venue, market, route, direction, policy, potential, base)
        plan = judge(_top(lambda n, judge=judge: judge(n).worth, most))  # type: ignore[misc]
        if _route_taken(venue, plan.size) != route:
            continue
        if plan.worth < policy.min_saving or (best is not None and plan.worth <= best.worth):
            continue
        own_gas = policy.rebalance_gas * state.gas_price
        if plan.reward + state.rule.gas - own_gas >= policy.min_profit:
            best = plan
    return best


def no_trade_band(state: State, venue: Venue, policy: Policy) -> tuple[float, float]:
    """Deltas [base] of the venue's market between which no hedge pays, were the venue free to trade either way.

    It lies around the delta at which U is least: with options, or beside other markets, that is not zero.
    """
    market = _market(state, venue)
    # at the oracle's price and its average: the band is about cost, not about a momentary gap
    routes = [replace(route, spot=market.price, twap=market.price) for route in venue.routes]
    cheapest = _route_taken(replace(venue, routes=tuple(routes)), 0.01 * state.capital / market.price)
    free = replace(
        venue,
        long_only=False,
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


def _judge(
    state: State,
    venue: Venue,
    market: Market,
    route: Route,
    direction: float,
    policy: Policy,
    potential: Callable[[float], float],
    base: float,
) -> Callable[[float], _Plan]:
    rule = state.rule
    pi = rule.phi if policy.price_of_risk is None else min(policy.price_of_risk, rule.phi)
    excess = max(0.0, state.reserve - base)

    def judge(amount: float) -> _Plan:
        after = potential(direction * amount)
        fall = max(0.0, base - after)
        cost = measured_cost(route, market.price, direction * amount, venue.haircut)
        freed = max(0.0, max(0.0, state.reserve - after) - excess)
        reward = max(rule.eta * max(0.0, freed - cost), rule.size_reward * amount * market.price)
        worth = pi * fall - cost - reward - rule.gas
        return _Plan(venue, route, direction * amount, worth, fall, cost, reward)

    return judge


def average_price(route: Route, size: float) -> float:
    """Expected average price of a swap [quote/base], fee and impact included; size > 0 buys [base]."""
    part = abs(size) * route.spot / route.depth
    if size > 0:
        return inf if part >= 1.0 else route.spot / (1.0 - part) / (1.0 - route.fee)
    return route.spot / (1.0 + part) * (1.0 - route.fee)


def measured_cost(route: Route, price: float, size: float, haircut: float = 0.0) -> float:
    """What contracts/hedge/rule.vy will call the cost of a swap [quote]."""
    if size == 0.0:
        return 0.0
    average = average_price(route, size)
    values = (price, route.twap, price * (1.0 - haircut))
    least = route.fee * abs(size) * price
    return max(least, *(size * (average - value) for value in values))


def _route_taken(venue: Venue, size: float) -> Route | None:
    """The route that the venue itself will choose for a size: the one with the best price."""
    worst_first = sorted(venue.routes, key=lambda route: average_price(route, size), reverse=size > 0)
    return worst_first[-1] if worst_first else None


def _room(state: State, venue: Venue, market: Market, route: Route, direction: float) -> float:
    """The largest size [base] that bands, caps, budget and cash allow."""
    tolerance = route.fee + venue.band
    if route.fee > venue.fee_cap or not _in_band(route, venue, market):
        return 0.0
    base = route.depth / route.spot  # virtual base reserve
    # more than the whole book never helps, however correlated
    whole = sum(abs(m.delta) * m.price for m in state.markets)
    bounds = [venue.turnover_left / market.price, whole / market.price / _ROOM]
    if direction > 0:
        highest = min(market.price, route.twap) * (1 + tolerance)
        worst = market.price * (1 + tolerance)
        bounds += [
            base * (1 - sqrt(min(1.0, route.spot / highest))),
            base * (1 - min(1.0, route.spot / (1 - route.fee) / worst)),
            min(state.lp_cash, state.lp_cash - state.rule.lp_floor) / worst,
            venue.cap - venue.exposure,
        ]
    else:
        lowest = max(market.price, route.twap) * (1 - tolerance)
        worst = market.price * (1 - tolerance)
        bounds += [
            base * (sqrt(max(1.0, route.spot / lowest)) - 1),
            base * (max(1.0, route.spot * (1 - route.fee) / worst) - 1),
            # selling all there is needs no allowance for the next block
            venue.exposure / _ROOM if venue.long_only else venue.cap + venue.exposure,
        ]
    if venue.paused:
        toward_zero = (venue.exposure > 0) != (direction > 0) and venue.exposure_wad != 0
        bounds.append(abs(venue.exposure) / _ROOM if toward_zero else 0.0)
    return _ROOM * max(0.0, min(bounds))


def _in_band(route: Route, venue: Venue, market: Market) -> bool:
    tolerance = route.fee + venue.band
    return (
        route.depth > 0.0
        and abs(route.spot - market.price) <= tolerance * market.price
        and abs(route.spot - route.twap) <= tolerance * route.twap
    )


def _mark_serves(state: State, venue: Venue, market: Market) -> bool:
    return market.fresh and (venue.max_age == 0 or state.now - market.updated_at <= venue.max_age)


def _rebalance(state: State, plan: _Plan, policy: Policy) -> Rebalance:
    """The action of a plan; a sale of all but dust sells all."""
    venue = plan.venue
    size_wad = int(plan.size * 1e18)
    if plan.size < 0 and venue.long_only and size_wad < -venue.exposure_wad * (1 - 1e-6):
        size_wad = -venue.exposure_wad
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


def _market(state: State, venue: Venue) -> Market:
    return next(m for m in state.markets if m.id == venue.market)


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
