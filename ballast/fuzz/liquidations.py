"""Liquidation at the vault's quote or by somebody who takes the position over, and deleveraging: what happens, what
each call owes to those it concerns, and what to try.

An account is judged by the definition of equity and requirement (`actions.standing`), never by what contracts say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from random import Random
from typing import Any

from ballast.fuzz.actions import Standing, Step, action, standing
from ballast.fuzz.invariants import owned, same, same_view
from ballast.fuzz.options import Legs
from ballast.fuzz.promises import health
from ballast.fuzz.world import ACTORS, TRADERS, ZERO_ADDRESS, Broken, Outcome, World, plain
from ballast.model.exact.deleverager import GRACE, WINDOW, Nomination
from ballast.model.exact.fixed import BPS, MAX_REWARD, OPTION_BIT, WAD, Reverted
from ballast.model.exact.option_book import LOT, Order, board_of, expiry_of, is_put, market_of
from ballast.model.exact.option_engine import MAX_ORDERS
from ballast.model.exact.perps import MAX_SIZE
from ballast.model.exact.system import System as Twin

HEALTHY = "liquidation: account is healthy"
DUST = 32  # [wei] what the roundings of one call add up to, of up to eight positions in two accounts
OF_DELEVERAGING = ("nominate", "deleverage")


# ---- liquidation


@action("{who} liquidates up to {amount:base} {market:market} of {victim}")
def liquidate_perp(w: World, who: str, victim: str, market: int, amount: int) -> None:
    """At the vault's quote."""
    account, caller = w.address(victim), w.address(who)
    _liquidate(
        w, who, victim, "liquidate_perp", (account, market, amount),
        lambda t: _liquidator(t).liquidate_perp(account, market, amount, caller, w.now),
    )  # fmt: skip


@action("{who} liquidates options of {victim}: {orders:orders}")
def liquidate_options(w: World, who: str, victim: str, orders: Legs) -> None:
    """At the vault's quote; orders are changes of the victim's positions."""
    account, caller, listed = w.address(victim), w.address(who), [Order(*order) for order in orders]
    _liquidate(
        w, who, victim, "liquidate_options", (account, [tuple(order) for order in orders]),
        lambda t: _liquidator(t).liquidate_options(account, listed, caller, w.now),
    )  # fmt: skip


@action("{who} liquidates up to {amount:base} {market:market} of {victim}, and options: {orders:orders}")
def liquidate(w: World, who: str, victim: str, market: int, amount: int, orders: Legs) -> None:
    """Perpetual and options that hedge each other, together, at the vault's quotes. All of a market can always go:
    it asks for more margin than nothing does. What is over must be settled before."""
    account, caller, listed = w.address(victim), w.address(who), [Order(*order) for order in orders]
    held, live = w.twin.perp_engine.position(account, market).size, live_options(w, account, market)
    over = any(market_of(key) == market and expiry_of(key) <= w.now for key in map(board_of, _legs(w, account)))
    whole = amount >= abs(held) and orders == live and (held or live) and not over
    outcome = _liquidate(
        w, who, victim, "liquidate", (account, market, amount, [tuple(order) for order in orders]),
        lambda t: _liquidator(t).liquidate(account, market, amount, listed, caller, w.now),
    )  # fmt: skip
    spoilt = outcome.ok or outcome.meddled or w.frozen
    if whole and not spoilt and outcome.reason not in ("oracle: stale price", HEALTHY):
        raise Broken("i9_nobody_below_maintenance_is_stuck", f"{victim}: {outcome.reason!r}")


def _legs(w: World, account: str) -> dict[int, int]:
    """An account's options by series [lots]."""
    return dict(w.book.legs_of.get(account, {}))


def live_options(w: World, account: str, market: int) -> Legs:
    """Orders that close all of an account's options in a market that are not over."""
    mine = [(series, lots, board_of(series)) for series, lots in sorted(_legs(w, account).items())]
    return [[series, -lots * LOT] for series, lots, key in mine if market_of(key) == market and expiry_of(key) > w.now]


@action("{who} takes up to {amount:base} {market:market} of {victim} over")
def take_perp(w: World, who: str, victim: str, market: int, amount: int) -> None:
    """At the mark, for a part of the penalty."""
    account, taker = w.address(victim), w.address(who)
    _take(
        w, who, victim, "take_perp", (account, market, amount),
        lambda t: _liquidator(t).take_perp(account, market, amount, taker, w.now),
    )  # fmt: skip


@action("{who} takes options of {victim} over: {orders:orders}")
def take_options(w: World, who: str, victim: str, orders: Legs) -> None:
    """At the mark, for a part of the penalty; orders are changes of the victim's positions."""
    account, taker, listed = w.address(victim), w.address(who), [Order(*order) for order in orders]
    _take(
        w, who, victim, "take_options", (account, [tuple(order) for order in orders]),
        lambda t: _liquidator(t).take_options(account, listed, taker, w.now),
    )  # fmt: skip


def _liquidate(w: World, who: str, victim: str, fn: str, args: tuple[Any, ...], twin: Callable[[Twin], Any]) -> Outcome:
    account, caller = w.address(victim), w.address(who)
    before, cash, unpaid = standing(w, account), w.twin.clearinghouse.account(caller)[0], w.flows["unpaid"]
    outcome = w.do(w.system.liquidator, fn, *args, sender=who, twin=twin, touches=(victim,))
    told_liquidatable(outcome, before)
    if not outcome.ok or who == victim:
        return outcome
    after, penalty = standing(w, account), outcome.value.penalty
    half_spread = sum(quote.half_spread for quote in w.quotes)
    left = before.equity - half_spread - sum(quote.charge for quote in w.quotes)
    told = f"{before} and {outcome}, left {float(left):.3f}, {after}"
    # what it is left with after the closing trade is the most that the penalty takes; bad debt is forgiven
    if after.equity < min(left, Fraction(0)) - before.slack or after.equity < left - penalty - before.slack:
        raise Broken("i9_penalty_is_at_most_the_equity_left", told)
    if after.equity < min(before.equity, Fraction(0)) - half_spread - before.slack:
        raise Broken("i9_closing_makes_no_debt_but_by_its_spread", told)
    if w.flows["unpaid"] > unpaid and left > before.slack:
        raise Broken("i9_who_can_pay_the_charge_pays_it", told)
    if penalty > 0:
        _check_ratio(before, after, told)
    _check_enough(w, account, before, outcome, told)
    _check_relief(before, after, told)
    gain = w.twin.clearinghouse.account(caller)[0] - cash
    share = penalty * w.twin.clearinghouse.liquidator_share_bps // BPS
    if gain > max(share, min(half_spread, MAX_REWARD)):
        raise Broken("i9_a_liquidator_earns_his_share_or_the_spread", f"{gain} of {told}")
    return outcome


def _take(w: World, who: str, victim: str, fn: str, args: tuple[Any, ...], twin: Callable[[Twin], Any]) -> None:
    account, taker = w.address(victim), w.address(who)
    before, taken, funds = standing(w, account), standing(w, taker), _funds(w)
    outcome = w.do(w.system.liquidator, fn, *args, sender=who, twin=twin, touches=(victim,))
    told_liquidatable(outcome, before)
    if not outcome.ok:
        return
    after, gain = standing(w, account), standing(w, taker).equity - taken.equity
    penalty, slack = outcome.value.penalty, before.slack + taken.slack + DUST
    told = f"{before} and {outcome}, {after}, taker gains {float(gain):.3f}"
    if not before.equity - penalty - slack <= after.equity <= max(before.equity - penalty, 0) + slack:
        raise Broken("i9_a_position_is_taken_at_its_mark", told)
    if not -slack <= gain <= penalty + slack:
        raise Broken("i9_a_taker_gets_a_part_of_the_penalty", told)
    _check_ratio(before, after, told)
    _check_enough(w, account, before, outcome, told)
    _check_relief(before, after, told)
    equity, initial, doubt = health(w, taker)
    mask = w.twin.clearinghouse.account(taker)[1]
    markets = [market for market in range(len(w.feeds)) if (mask | mask >> OPTION_BIT) >> market & 1]
    if equity < initial - doubt or not all(w.twin.oracle.peek(market, w.now).fresh for market in markets):
        raise Broken("i9_a_taker_has_his_margin", f"{who} has {equity} of {initial} in {markets}, {told}")
    if before.equity > slack and _funds(w) < funds - slack:
        raise Broken("i4_a_taker_costs_lps_nothing", f"{funds} -> {_funds(w)}, {told}")


def told_liquidatable(outcome: Outcome, before: Standing) -> None:
    """Raise Broken unless a liquidation went through, or was refused as healthy, as the account's standing says."""
    short = before.maintenance - before.equity
    refused = outcome.reason == HEALTHY
    if not outcome.meddled and ((outcome.ok and short < -before.slack) or (refused and short > before.slack)):
        raise Broken("i9_liquidatable_iff_below_maintenance", f"{before}, {outcome}")


def _check_ratio(before: Standing, after: Standing, told: str) -> None:
    """A penalty leaves equity / maintenance at least what it was; there is none where equity is below zero."""
    slack = (before.slack + DUST) * (before.maintenance + after.maintenance + abs(before.equity) + abs(after.equity))
    if before.equity > 0 and after.equity * before.maintenance < before.equity * after.maintenance - slack:
        raise Broken("i9_a_penalty_never_lowers_the_ratio", told)


def _check_enough(w: World, account: str, before: Standing, outcome: Outcome, told: str) -> None:
    """What was closed of a request, if not all of it, is enough: but for penalty and costs of closing, the account has
    its initial margin again."""
    _, initial, doubt = health(w, account, opening=False)
    if outcome.value.share < WAD and before.equity < initial - doubt - before.slack - DUST:
        raise Broken("i9_a_part_restores_initial_margin", f"{initial} needed, {told}")


def _check_relief(before: Standing, after: Standing, told: str) -> None:
    """Whatever is closed, the requirement does not rise: what hedges the rest stays."""
    if after.maintenance > before.maintenance + before.slack + after.slack:
        raise Broken("i9_a_liquidation_never_raises_the_requirement", told)


def _funds(w: World) -> int:
    """All that LPs and the reserve own [quote, WAD]."""
    return owned(w) + w.book.book_value(w.prices(), w.now)[0]


def _liquidator(twin: Twin) -> Any:
    return twin.liquidator


# ---- deleveraging


@action("{who} nominates {victim} to be deleveraged in {market:market}")
def nominate(w: World, who: str, victim: str, market: int) -> None:
    account, before = w.address(victim), w.deleverager.nominations.get(market, Nomination())
    outcome = w.do(
        w.system.deleverager, "nominate", account, market,
        sender=who, twin=lambda t: _deleverager(t).nominate(account, market, w.now),
    )  # fmt: skip
    after = w.deleverager.nominations.get(market, Nomination())
    if outcome.ok and after.opened_at == before.opened_at and after.score <= before.score:
        raise Broken("i9_the_highest_score_stays_nominated", f"{before} -> {after}")


@action("{who} has the nominee of {market:market} deleveraged")
def deleverage(w: World, who: str, market: int) -> None:
    """What it closes is closed at the mark, at the expense of LPs alone, and no further than the target."""
    keeper, nominee = w.address(who), w.deleverager.nominations.get(market, Nomination()).account
    names = [name for name in ACTORS if w.actors[name] == nominee]
    held = w.twin.perp_engine.position(nominee or keeper, market)
    before, profit, nav = standing(w, nominee or keeper), _profit(w), 0 if w.frozen else w.vault.valuation(w.now).nav
    cash = w.twin.clearinghouse.account(keeper)[0]
    outcome = w.do(
        w.system.deleverager, "deleverage", market,
        sender=who, twin=lambda t: _deleverager(t).deleverage(market, keeper, w.now), touches=tuple(names),
    )  # fmt: skip
    if not outcome.ok or nominee is None or (left := w.twin.perp_engine.position(nominee, market).size) == held.size:
        return
    after, now_open = standing(w, nominee), _profit(w)
    told = f"open profit {profit} -> {now_open} of NAV {nav}, {held.size} -> {left}, {before} -> {after}"
    if profit * BPS < max(nav, 0) * w.deleverager.trigger_bps:
        raise Broken("i9_nobody_is_deleveraged_while_lps_can_pay", told)
    if nominee != keeper:
        reward = w.twin.clearinghouse.account(keeper)[0] - cash
        if abs(after.equity - before.equity) > before.slack + DUST or not 0 <= reward <= MAX_REWARD:
            raise Broken("i4_deleveraging_is_at_mark_and_free", f"reward {reward}, {told}")
    target = max(nav, 0) * w.deleverager.target_bps // BPS
    # a wei of base more or less: that much of value and of cost
    slack = DUST + 2 * (w.twin.oracle.last(market, w.now).price // WAD + abs(held.cost // held.size))
    exact = target - slack <= now_open and (left == 0 or now_open <= target + slack)
    if abs(left) >= abs(held.size) or not exact:
        raise Broken("i9_deleveraging_ends_at_its_target", f"target {target}, {told}")


def i13_nominations_equal_the_twin(w: World) -> None:
    """Who is named in each market, with what score, since when; and whether anybody may be."""
    for market in range(len(w.feeds)):
        account, *rest = plain(w.deleverager.nomination(market))
        seen = w.view(w.system.deleverager, "nomination", market)
        same(f"nomination in market {market}", seen, (account or ZERO_ADDRESS, *rest))
    same_view(w, "deleveraging", w.system.deleverager, "status", twin=lambda: w.deleverager.status(w.now))


def _profit(w: World) -> int:
    """What traders have open against the vault in perpetuals, at the newest marks [quote, WAD]."""
    return -w.twin.perp_engine.book_value(w.prices(), w.now)


def _deleverager(twin: Twin) -> Any:
    return twin.deleverager


# ---- what to try


def held_perps(w: World) -> list[tuple[str, int, int]]:
    """Owner, market and size of every perpetual of an actor."""
    names = {address: name for name, address in w.actors.items()}
    positions = w.twin.perp_engine.positions.items()
    return [(names[key], market, held.size) for (key, market), held in positions if held.size and key in names]


def on_perp(w: World, rng: Random, victim: str, market: int) -> list[Step]:
    """All of a position, a part of it, or more than there is; to the vault, or to who takes it over."""
    held = abs(w.twin.perp_engine.position(w.address(victim), market).size)
    amount = rng.choice((held, held, 2 * held, MAX_SIZE, max(int(held * 10 ** rng.uniform(-2, 0)), 1)))
    if rng.random() < 0.02:
        amount = rng.choice((0, 2**256 - 1))
    return _by_whom(w, rng, victim, "perp", {"victim": victim, "market": market, "amount": amount})


def on_options(w: World, rng: Random, victim: str, key: int) -> list[Step]:
    """Of a board: everything, what is short, what is long, or some of it; in full, in part, or the wrong way round."""
    legs = w.book.legs_of.get(w.address(victim), {})
    mine = sorted(series for series in legs if board_of(series) == key)
    kind = rng.randrange(5)
    if kind < 2:
        mine = [series for series in mine if legs[series] < 0] or mine
    elif kind == 2:
        mine = [series for series in mine if legs[series] > 0] or mine
    factor = rng.choice((1, 1, 1, 2, 10 ** rng.uniform(-2, 0), -1 if rng.random() < 0.1 else 1))
    orders = [[series, -(int(legs[series] * factor) or 1) * LOT] for series in mine[:MAX_ORDERS]]
    return _by_whom(w, rng, victim, "options", {"victim": victim, "orders": orders})


def _by_whom(w: World, rng: Random, victim: str, kind: str, what: dict[str, Any]) -> list[Step]:
    if rng.random() < 0.6:
        who = victim if rng.random() < 0.1 else rng.choice(("keeper", "keeper", "stranger", *TRADERS))
        return [[f"liquidate_{kind}", {"who": who, **what}]]
    who = rng.choice((*TRADERS, "keeper"))
    units = int(10 ** rng.uniform(2, 6.5)) * w.unit
    margin: list[Step] = [["deposit_margin", {"who": who, "units": units, "to": who}]] if rng.random() < 0.5 else []
    return [*margin, [f"take_{kind}", {"who": who, **what}]]


def on_market(w: World, rng: Random, victim: str, market: int) -> list[Step]:
    """Everything in a market at once, or what hedges each other."""
    address = w.address(victim)
    held, mine = abs(w.twin.perp_engine.position(address, market).size), live_options(w, address, market)
    who = rng.choice(("keeper", "stranger"))
    amount = held if rng.random() < 0.8 else held // 2
    return [["liquidate", {"who": who, "victim": victim, "market": market, "amount": amount, "orders": mine}]]


def on_anything(w: World, rng: Random, victim: str) -> list[Step]:
    """One position of an account."""
    address = w.address(victim)
    perps = [market for owner, market, _ in held_perps(w) if owner == victim]
    keys = sorted({board_of(series) for series in w.book.legs_of.get(address, {})})
    if not perps and not keys:
        return []
    if keys and rng.random() < 0.25:
        return on_market(w, rng, victim, market_of(rng.choice(keys)))
    if perps and (not keys or rng.random() < 0.5):
        return on_perp(w, rng, victim, rng.choice(perps))
    return on_options(w, rng, victim, rng.choice(keys))


def with_positions(w: World) -> list[str]:
    """Actors that hold anything."""
    return [name for name in ACTORS if w.twin.clearinghouse.account(w.address(name))[1]]


def weak(w: World) -> list[tuple[str, float, float]]:
    """Actors that hold anything, with equity over maintenance and over initial requirement at the newest marks, the
    weakest first."""
    twin = w.twin.fork()
    for market in range(len(w.feeds)):
        twin.oracle.sync(market, w.now)
    ratios = []
    for name in with_positions(w):
        cash, mask = twin.clearinghouse.account(w.address(name))
        state = twin.margin.assess(w.address(name), cash, mask, w.now)
        ratios.append((name, state.equity / max(state.maintenance, 1), state.equity / max(state.initial, 1)))
    return sorted(ratios, key=lambda each: each[1])


def liquidations(w: World, rng: Random) -> list[Step]:
    """Of who is below maintenance, sometimes of who is near or far from it."""
    ratios = weak(w)
    below = [name for name, ratio, _ in ratios if ratio < 1]
    near = [name for name, ratio, initial in ratios if ratio >= 1 > initial]
    if near and rng.random() < 0.3:
        below = near
    if not below and (not ratios or rng.random() < 0.9):
        return []
    victim = rng.choice(below or [name for name, _, _ in ratios])
    return [step for _ in range(rng.choice((1, 1, 2))) for step in on_anything(w, rng, victim)]


def squeeze_writers(w: World, rng: Random) -> list[Step]:
    """The price goes against somebody who is short of options, usually the weakest; then he is liquidated."""
    names = {address: name for name, address in w.actors.items()}
    short = [(names[owner], series) for owner, legs in w.book.legs_of.items() if owner in names
             for series, lots in legs.items() if lots < 0]  # fmt: skip
    if not short:
        return []
    order = [name for name, _, _ in weak(w)]
    victim, series = min(short, key=lambda each: order.index(each[0])) if rng.random() < 0.8 else rng.choice(short)
    market = market_of(board_of(series))
    factor = _breaking(w, victim, market, -1 if is_put(series) else 1) if rng.random() < 0.8 else 1.4
    answer = max(int(w.newest[market].answer * factor), 1)
    steps: list[Step] = [["warp", {"seconds": 12}], ["push", {"market": market, "answer": answer}]]
    for _ in range(rng.choice((1, 2))):
        one = rng.random() < 0.8
        steps += on_options(w, rng, victim, board_of(series)) if one else on_market(w, rng, victim, market)
    return steps


def _breaking(w: World, name: str, market: int, sign: int) -> float:
    """The smallest of some moves of a market's price that takes an account below maintenance, or the largest."""
    twin, owner = w.twin.fork(), w.address(name)
    held, (cash, mask) = twin.oracle.markets[market], twin.clearinghouse.account(owner)
    mark, factor = held.mark, 1.0
    for move in (0.01, 0.03, 0.06, 0.1, 0.2, 0.4, 0.8):
        factor = 1 + sign * move
        held.mark = replace(mark, price=int(mark.price * factor))
        state = twin.margin.assess(owner, cash, mask, w.now)
        if state.equity < state.maintenance:
            break
    return factor


def collapse(w: World, rng: Random) -> list[Step]:
    """A price jumps against those who hold most; whoever is weak then is liquidated, in any order."""
    held = held_perps(w)
    market = rng.randrange(len(w.feeds))
    net = sum(size for _, where, size in held if where == market)
    move = rng.choice((0.1, 0.2, 0.4, 0.6, 0.9)) * (1 if net < 0 or (net == 0 and rng.random() < 0.5) else -1)
    answer = max(int(w.newest[market].answer * (1 + move)), 1)
    steps: list[Step] = [["warp", {"seconds": 12}], ["push", {"market": market, "answer": answer}]]
    victims = with_positions(w)
    rng.shuffle(victims)
    for victim in victims:
        steps += on_anything(w, rng, victim)
    return steps


def ruinous(w: World, market: int, part: float) -> list[Step]:
    """A price at which traders of a market win this part of NAV, and boards of now; nothing if there is none."""
    book, price = w.twin.perp_engine.book(market), max(w.newest[market].answer, 1) * 10**10
    net = (book.long - book.short) * price // WAD
    move = max(w.vault.valuation(w.now).nav, WAD) * part / net if net else 0.0
    return jump(w, market, 1 + move) if net and -0.99 < move < 50 else []


def jump(w: World, market: int, factor: float) -> list[Step]:
    """Every feed speaks, one price is another, and boards are renewed at it."""
    steps: list[Step] = [["warp", {"seconds": 60}]]
    for each, newest in enumerate(w.newest):
        answer = max(int(newest.answer * (factor if each == market else 1)), 1)
        steps += [["break_feed", {"market": each, "fault": ""}], ["halt", {"market": each, "on": False}]]
        steps.append(["push", {"market": each, "answer": answer}])
    for key in w.book.points:
        board = {"market": market_of(key), "expiry": expiry_of(key)}
        steps.append(["refresh_board", {"who": "keeper", **board}])
    return steps


def deleveraging(w: World, rng: Random) -> list[Step]:
    """Winners are nominated while traders' open profit is too much for LPs, after a price that makes it so, if need be;
    somebody outbids; when the window is over the position is closed, or too late."""
    held = [(name, market) for name, market, _ in held_perps(w)]
    if not held:
        return []
    steps: list[Step] = []
    try:
        armed = w.deleverager.status(w.now).armed
    except Reverted:
        armed = False
    name, market = rng.choice(held)
    if not armed:
        steps = [] if w.frozen else ruinous(w, market, rng.choice((0.35, 0.45, 0.6, 0.9)))
        if not steps or rng.random() < 0.1:
            return [["nominate", {"who": "keeper", "victim": name, "market": market}]]
    candidates = [name for name, where in held if where == market]
    rng.shuffle(candidates)
    for name in candidates:
        steps.append(["nominate", {"who": rng.choice(("keeper", "stranger")), "victim": name, "market": market}])
    wait = rng.choice((WINDOW, WINDOW, WINDOW, WINDOW + 1, 1, WINDOW + GRACE, WINDOW + GRACE + 1))
    steps.append(["warp", {"seconds": wait}])
    if wait > WINDOW + 1 or rng.random() < 0.3:
        steps += [["push", {"market": i, "answer": max(newest.answer, 1)}] for i, newest in enumerate(w.newest)]
    return [*steps, ["deleverage", {"who": "keeper", "market": market}]]
