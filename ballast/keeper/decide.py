"""What a keeper does about what it sees. Pure: the same state and policy always give the same actions.

How large hedges are, and where: hedging.py. Here: everything else, and the order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import copysign, inf, sqrt

from ballast.keeper import hedging
from ballast.keeper.policy import Policy
from ballast.keeper.risk import potential_of
from ballast.keeper.state import (
    Account,
    Action,
    Board,
    BringPrice,
    ClaimProfits,
    Clear,
    CloseAuction,
    Closing,
    Crystallise,
    Deleverage,
    Ending,
    ExecuteClose,
    Finalise,
    Liquidate,
    MeasureCarry,
    Nominate,
    OpenAuction,
    Poke,
    ProcessEpoch,
    Rebalance,
    Recall,
    Refresh,
    Settle,
    SettleAccounts,
    State,
    SyncAll,
    Trigger,
    Venue,
)
from ballast.keeper.swaps import depth, in_band, swap
from ballast.model.exact.deleverager import GRACE, WINDOW
from ballast.model.exact.fixed import YEAR

_MARGIN = 1e-6  # [fraction] by which a nomination is outbid at least: scores here are floats
_MOST = 1e6  # of a factor of a score, contracts/clearing/Deleverager.vy
_BATCH = 32  # accounts in one transaction: OptionEngine takes 64, GlobalSettlement as many as these


Hedger = Callable[[State, Policy, set[int]], list[Rebalance]]
"""What chooses hedges in all but some markets: hedging.py, or another way to compare it with."""


def decide(state: State, policy: Policy, hedger: Hedger = hedging.hedges) -> list[Action]:
    """Everything worth doing now, most urgent first."""
    actions = _prices(state, policy)
    if state.ending is not None:
        return actions + _end(state, state.ending, policy)
    actions += [Trigger(f"trigger:{state.block}")] if state.can_end and policy.wind_down else []
    liquidations = _liquidations(state, policy)
    actions += liquidations
    winners = _deleveraging(state)
    actions += winners
    closes = _queued(state, policy)
    actions += closes
    unwinds = [unwind for venue in state.venues if (unwind := hedging.unwind(state, venue, policy)) is not None]
    actions += unwinds
    recalls = _recalls(state, state.rule.recall_floor - state.lp_cash)
    homecoming = _left_behind(state, policy)
    actions += recalls + homecoming
    for board in state.boards:
        actions += _settlement(state, board)
    refreshes = [due for board in state.boards if (due := _refresh(state, board, policy)) is not None]
    actions += refreshes
    epoch = _process_epoch(state)
    actions += [epoch] if epoch else []
    # each of these reports what the venue holds
    told = {unwind.venue for unwind in unwinds} | {recall.venue for recall in recalls + homecoming}
    actions += [poke for poke in _pokes(state, policy) if poke.venue not in told]
    actions += _measurements(state, policy)
    if policy.hedge:
        # what closes positions moves the inventory: hedge what it leaves, next time
        moving = {action.closing.market for action in liquidations if not action.closing.taken}
        moving |= {action.market for action in winners if isinstance(action, Deleverage)}
        moving |= {action.market for action in closes} | {action.market for action in refreshes}
        moving |= {state.venue(action.venue).market for action in unwinds}
        moving |= {state.venue(action.venue).market for action in recalls}
        hedges = hedger(state, policy, moving)
        actions += hedges
        actions += _auction(state, policy, hedges)
    if not actions and _sweep_is_due(state, policy):
        actions.append(SyncAll(key=f"sync:{state.swept_at}"))
    return actions


# ---- prices


def _prices(state: State, policy: Policy) -> list[Action]:
    """Newer prices for pull feeds that lag, and what settles boards; everything else is judged at them, next time."""
    return [
        BringPrice(
            each.feed, each.data, each.fee, each.published_at, each.time,
            f"price:{each.feed}:{each.time or state.block}",
        )
        for each in state.signed
        if (each.time is not None or each.lag >= policy.price_lag) and each.fee <= policy.price_fee
    ]  # fmt: skip


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


def _end(state: State, ending: Ending, policy: Policy) -> list[Action]:
    """Hedges come back, accounts are valued, payments open, and profits are paid, again when there is more for them."""
    actions: list[Action] = [*_recalls(state, inf), *_left_behind(state, policy)]
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


def _recalls(state: State, missing: float) -> list[Recall]:
    """While `missing` [quote] lacks in LP cash, turns hedges back into cash; the manager lets anybody do so."""
    if missing < state.token_unit:
        return []
    actions: list[Recall] = []
    for venue in state.venues:
        market = hedging.market_of(state, venue)
        if venue.exposure_wad == 0 or not _may_recall(state, venue):
            continue
        # a short that is closed frees what it was secured with, less its own worth
        per_base = market.price * (1.0 if venue.lender is None else venue.lender.target - 1.0)
        wanted = min(missing, venue.equity) / per_base
        buying = venue.exposure < 0
        bearable = max((depth(route, venue, market, buying, hedging.ROOM) for route in venue.routes), default=0.0)
        size = min(wanted, abs(venue.exposure), bearable)
        trade = swap(venue, size if buying else -size) if size > 0.0 else None
        if trade is None or not in_band(trade, venue, market):
            continue
        amount = min(missing, venue.equity, size * per_base) if size == bearable else min(missing, venue.equity)
        units = int(amount / state.token_unit) + 1
        actions.append(Recall(venue.id, units, f"recall:{venue.id}:{venue.traded_at}:{venue.exposure_wad}"))
        missing -= amount
        if missing < state.token_unit:
            break
    return actions


def _left_behind(state: State, policy: Policy) -> list[Recall]:
    """What a venue still has without any exposure comes home, if that is worth the gas."""
    least = max(1.0, policy.lending_gas * state.gas_price)
    return [
        Recall(venue.id, int(venue.equity / state.token_unit) + 1, f"home:{venue.id}:{state.block}")
        for venue in state.venues
        if venue.exposure_wad == 0 and venue.equity >= least and _may_recall(state, venue)
    ]


def _may_recall(state: State, venue: Venue) -> bool:
    closes = venue.lender is None or venue.lender.closes
    return closes and not venue.retired and hedging.mark_serves(state, venue, hedging.market_of(state, venue))


def _pokes(state: State, policy: Policy) -> list[Poke]:
    actions = []
    for venue in state.venues:
        if venue.retired and venue.reported_exposure_wad == 0 and venue.reported_equity < 1.0:
            continue
        worth = max(1.0, policy.poke_at * max(venue.equity, venue.reported_equity))
        gap = abs(venue.equity - venue.reported_equity)
        unseen = abs(venue.exposure_wad - venue.reported_exposure_wad) / 1e18 * hedging.market_of(state, venue).price
        if max(gap, unseen) > worth or (venue.retired and venue.reported_exposure_wad):
            actions.append(Poke(venue.id, f"poke:{venue.id}:{state.block}"))  # the same may be given twice
    return actions


def _measurements(state: State, policy: Policy) -> list[MeasureCarry]:
    """Carry of the hedge, where as much is at stake until the next time as measuring it costs."""
    gas = policy.measure_gas * state.gas_price
    actions = []
    for market in state.markets:
        if state.now - market.measured_at < policy.measure_every:
            continue
        lent = [v for v in state.venues if v.market == market.id and v.lender is not None and not v.retired]
        held = sum(abs(venue.exposure) for venue in lent)
        charged = sum(max(0.0, v.lender.carry) * abs(v.exposure) for v in lent if v.lender is not None)
        passed_on = abs(market.carry) * (held + abs(market.delta))
        at_stake = max(charged, passed_on) * market.price * policy.measure_every / YEAR
        if at_stake > 0.0 and at_stake >= gas:
            actions.append(MeasureCarry(market.id, f"measure:{market.id}:{market.measured_at}"))
    return actions


def _auction(state: State, policy: Policy, hedges: Sequence[Rebalance]) -> list[OpenAuction | CloseAuction]:
    """Opened while U is outside its band by what is worth the gas, or anew once its low is near its line; closed in it.

    What can be hedged, once venues have cooled down, is hedged first: nobody need be paid more for that.
    """
    auction = state.auction
    if not auction.is_open and auction.max_rate == 0.0:
        return []
    if not state.markets or not all(market.fresh for market in state.markets if market.delta or market.stress):
        return []
    u, line = potential_of(state, state.markets[0].id)(0.0), auction.band * state.capital
    if auction.is_open and (u < (1 - policy.auction_gap) * line or auction.max_rate == 0.0):
        return [CloseAuction(f"auction:close:{state.block}")]
    worth = auction.max_rate * (u - line) > max(policy.auction_gas * state.gas_price, policy.min_saving)
    sunk = auction.low < (u + line) / 2 * (1 - policy.auction_gap)
    hedging_goes_on = hedges or any(state.now < venue.ready_at for venue in state.venues if not venue.retired)
    if not hedging_goes_on and worth and u > (1 + policy.auction_gap) * line and (not auction.is_open or sunk):
        return [OpenAuction(f"auction:open:{state.block}")]
    return []


def _sweep_is_due(state: State, policy: Policy) -> bool:
    active = any(m.delta != 0.0 or m.stress for m in state.markets)
    return active and state.now - state.swept_at > policy.sweep_lead * state.sweep_age
