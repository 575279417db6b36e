"""States and actions as people read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isinf

from ballast.keeper.state import (
    Action,
    BringPrice,
    ClaimProfits,
    Clear,
    Closing,
    Crystallise,
    Deleverage,
    ExecuteClose,
    Liquidate,
    MeasureCarry,
    Nominate,
    Poke,
    Rebalance,
    Recall,
    Refresh,
    Settle,
    SettleAccounts,
    State,
    Unwind,
    Venue,
)
from ballast.model.exact.option_book import board_of, expiry_of
from ballast.options import day_name


def state_rows(
    state: State, names: Sequence[str], bands: Mapping[int, tuple[float, float]]
) -> list[tuple[str, object]]:
    """What the keeper sees, name and value per line."""
    rows: list[tuple[str, object]] = []
    for market in state.markets:
        low, high = bands.get(market.id, (0.0, 0.0))
        limits = "no venue" if market.id not in bands else f"hedged outside {_size(low)} … {_size(high)}"
        fresh = "" if market.fresh else ", stale"
        rows.append((f"{names[market.id]} price", f"{market.price:,.2f}{fresh}, volatility {market.sigma:.0%}"))
        rows.append((f"{names[market.id]} delta", f"{_size(market.delta)}, {limits}"))
    rows += [(f"venue {venue.id}, {names[venue.market]}", _venue(venue)) for venue in state.venues if not venue.retired]
    weak = [account for account in state.accounts if account.equity < account.maintenance]
    stuck = sum(not account.closings for account in weak)
    epoch = state.epoch
    ends = "over" if state.now >= epoch.ends_at else f"ends in {epoch.ends_at - state.now} s"
    waiting = f"{epoch.pending + epoch.incoming:,.2f} shares wait" if epoch.pending + epoch.incoming else "nobody waits"
    rows += [
        ("potential U, reserve R", f"{state.potential:,.2f}, {state.reserve:,.2f}"),
        ("LP cash, risk capital", f"{state.lp_cash:,.2f}, {state.capital:,.2f}"),
        (
            "accounts with positions",
            f"{len(state.accounts)}, {len(weak)} below maintenance" + (f", {stuck} cannot be closed" if stuck else ""),
        ),
        ("closes that wait", f"{len(state.closes)}, {sum(c.reward is not None for c in state.closes)} can be executed"),
        ("deleveraging", _deleveraging(state)),
        ("global settlement", _ending(state)),
        (
            "epoch",
            f"{epoch.id}, {waiting}, {ends}",
        ),
        ("boards of options", _boards(state)),
        ("rebate auction", _auction(state)),
        ("gas compensation of a hedge", f"{state.rule.gas:,.2f}"),
    ]
    rows += [
        (f"mandate {mandate.id}", f"{mandate.share:.0%} of what is freed, {mandate.left:,.0f} left")
        for mandate in state.mandates
    ]
    return rows


def action_row(action: Action, names: Sequence[str]) -> list[str]:
    """action, on what, size, expected fall of U, cost, reward"""
    match action:
        case Rebalance():
            return [
                "rebalance" if action.mandate is None else f"hedge by mandate {action.mandate}",
                f"venue {action.venue}, {names[action.market]}",
                f"{action.size_wad / 1e18:+,.6g}",
                f"{action.expected_fall:,.2f}",
                f"{action.expected_cost:,.2f}",
                f"{action.expected_reward:,.2f}",
            ]
        case Liquidate(account, closing):
            of = closing_name(closing, names)
            verb = "take over" if closing.taken else "liquidate"
            return [verb, f"{account}, {of}", f"{closing.notional:,.2f}", "", "", f"{closing.reward:,.2f}"]
        case Nominate(account, market):
            return ["nominate", f"{account}, {names[market]}", "", "", "", ""]
        case Deleverage(market):
            return ["deleverage", names[market], "", "", "", ""]
        case ExecuteClose(account, market, options):
            of = f"options of {names[market]}" if options else names[market]
            return ["execute close", f"{account}, {of}", "", "", "", f"{action.expected_reward:,.2f}"]
        case Crystallise() | ClaimProfits():
            return [action.kind, f"accounts: {len(action.accounts)}", "", "", "", ""]
        case Refresh() | Settle():
            return [action.kind, _board(action, names), "", "", "", f"{action.expected_reward:,.2f}"]
        case SettleAccounts():
            return ["settle accounts", _board(action, names), f"accounts: {len(action.accounts)}", "", "", ""]
        case BringPrice(feed):
            return ["update price" if action.time is None else "prove price", feed, "", "", f"{action.fee} wei", ""]
        case Clear():
            return ["clear", _board(action, names), "", "", "", ""]
        case Recall():
            return ["recall", f"venue {action.venue}", f"{action.units:,} units", "", "", ""]
        case MeasureCarry(market):
            return ["measure carry", names[market], "", "", "", ""]
        case Unwind():
            return ["unwind", f"venue {action.venue}", f"at most {action.most_wad / 1e18:,.6g}", "", "", ""]
        case Poke():
            return ["poke", f"venue {action.venue}", "", "", "", ""]
        case _:
            return [action.kind, "", "", "", "", ""]


def closing_name(closing: Closing, names: Sequence[str]) -> str:
    """ETH, ETH-26DEC25, both, or the options of several days."""
    keys = sorted({board_of(series) for series, _ in closing.orders}, key=expiry_of)
    perps = [names[closing.market]] if closing.size_wad else []
    return " and ".join(perps + [f"{names[closing.market]}-{day_name(expiry_of(key))}" for key in keys])


def _venue(venue: Venue) -> str:
    held = f"{_size(venue.exposure)}, equity {venue.equity:,.2f}" + (", paused" if venue.paused else "")
    lender = venue.lender
    if lender is None:
        return held
    health = "no debt" if isinf(lender.health) or not lender.owed else f"health {lender.health:.2f}"
    return f"{held}, {health}, carry {lender.carry:+.2%} a year" + ("" if lender.closes else ", reserve paused")


def _auction(state: State) -> str:
    auction, line = state.auction, f"outside {state.auction.band * state.capital:,.2f}"
    if auction.is_open:
        return f"open, {line}, lowest {auction.low:,.2f}"
    return f"closed, {line}" if auction.max_rate else "disabled"


def _deleveraging(state: State) -> str:
    found = state.deleveraging
    if found is None:
        return "no"
    return f"open profit {found.profit:,.2f}, {found.excess:,.2f} too much, named in {len(found.nominations)} markets"


def _ending(state: State) -> str:
    ending = state.ending
    if ending is None:
        return "can be triggered" if state.can_end else "no"
    if ending.final:
        return f"final, {len(ending.owed)} profits to pay"
    return f"triggered, {len(ending.left)} accounts left"


def _boards(state: State) -> str:
    held = [board for board in state.boards if board.legs]
    due = sum(board.due and board.expiry > state.now for board in held)
    over = sum(board.expiry <= state.now for board in state.boards)
    return f"{len(state.boards)}, {len(held)} with positions, {due} of them due; {over} expired"


def _board(action: Refresh | Settle | SettleAccounts | Clear, names: Sequence[str]) -> str:
    return f"{names[action.market]}-{day_name(action.expiry)}"


def _size(value: float) -> str:
    return "∞" if isinf(value) and value > 0 else "-∞" if isinf(value) else f"{value:+,.6g}"
