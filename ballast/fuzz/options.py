"""Options: trades of up to eight legs, boards from listing to settlement, and what to try with them.

Every call happens to the contracts and to the twin, as everywhere; `quote` is asked before each trade and must be what
the trade then does.
"""

from __future__ import annotations

from random import Random
from typing import Any

from ballast.chain import Reverted as ChainReverted
from ballast.fuzz.actions import ACTIONS, BARES, Step, action
from ballast.fuzz.surfaces import fresh_update
from ballast.fuzz.world import ACTORS, TRADERS, Broken, Fault, World, plain
from ballast.model.exact.fixed import WAD, Reverted
from ballast.model.exact.option_book import (
    DAY,
    LOT,
    MAX_LOTS,
    MAX_STRIKES,
    STRIKE_UNIT,
    Order,
    board_of,
    expiry_of,
    key_of,
    market_of,
    pack,
)
from ballast.model.exact.option_engine import MAX_ORDERS, NO_LIMIT, OptionOutcome
from ballast.model.exact.system import System as Twin

Legs = list[list[int]]  # [series, size] of each order

# What a trade may be told that its quote was not: it comes with a limit, a deadline and an account that needs margin.
ONLY_OF_TRADES = (
    "options: limit", "options: deadline passed", "margin: below initial", "margin: settle first",
    "margin: below maintenance", "oracle: stale price",
)  # fmt: skip
CLOSES = ("oracle: stale price", "options: expired", BARES)  # what keeps a close
# A settlement takes the board out of U, which waits where somebody has been paid for a fall of it in the same block.
WAITS = "inventory: rebates in this block"


# ---- trading


@action("{who} trades options: {orders:orders}")
def trade_options(w: World, who: str, orders: Legs, most: int | None = None, late: int = 0) -> None:
    """`most` [quote, WAD] is the limit, without it none binds; `late` [s] is how long ago the deadline was."""
    account, deadline = w.address(who), w.now - late
    limit = NO_LIMIT if most is None else most
    listed = [Order(series, size) for series, size in orders]
    told, closes = _quoted(w, account, listed), only_shrinks(w, account, listed)
    held, w.was_due = w.book.legs_of.get(account, {}), told == "options: refresh first"
    outcome = w.do(
        w.system.option_engine, "trade", [tuple(order) for order in orders], limit, deadline,
        sender=who, twin=lambda t: _engine(t).trade(account, listed, limit, deadline, w.now),
    )  # fmt: skip
    if outcome.meddled:
        return
    after = w.book.legs_of.get(account, {})
    w.moved = [(held.get(series, 0), after.get(series, 0)) for series, _ in orders]
    if isinstance(told, str):
        fair = told == "options: refresh first" or not outcome.ok
    else:
        fair = outcome.value == told if outcome.ok else outcome.reason in ONLY_OF_TRADES
    if not fair:
        raise Broken("i8_a_quote_is_what_a_trade_does", f"quoted {told}, {outcome}")
    if closes and most is None and late <= 0 and not outcome.ok and outcome.reason not in CLOSES and not w.frozen:
        raise Broken("i14_closing_options_is_never_refused", f"{who} is told {outcome.reason!r}")


def _quoted(w: World, account: str, orders: list[Order]) -> OptionOutcome | str:
    """What both sides say that a trade would cost, or why they do not."""
    try:
        expected: OptionOutcome | str = w.options.quote(account, orders, w.now)
    except Reverted as error:
        expected = str(error)
    try:
        seen: Any = w.system.option_engine.call("quote", account, [plain(order) for order in orders])
    except ChainReverted as error:
        seen = error.reason
    if seen != (expected if isinstance(expected, str) else plain(expected)):
        raise Broken("i13_same_outcome", f"OptionEngine.quote: contract {seen}, twin {expected}")
    return expected


def only_shrinks(w: World, account: str, orders: list[Order]) -> bool:
    """Whether these are orders, and every one takes a part of a position on one board."""
    held = w.book.legs_of.get(account, {})
    series = [order.series for order in orders]
    if not orders or series != sorted(set(series)) or len({board_of(each) for each in series}) != 1:
        return False
    for order in orders:
        lots, rest = divmod(abs(order.size), LOT)
        before = held.get(order.series, 0)
        if rest or not 0 < lots <= abs(before) or (order.size > 0) == (before > 0):
            return False
    return True


# ---- boards


@action("{who} refreshes the board of {market:market} to {expiry}")
def refresh_board(w: World, who: str, market: int, expiry: int) -> None:
    keeper = w.address(who)
    w.do(
        w.system.option_engine, "refresh", market, expiry,
        sender=who, twin=lambda t: _engine(t).refresh(market, expiry, keeper, w.now),
    )  # fmt: skip


@action("{who} settles the board of {market:market} to {expiry}")
def settle_board(w: World, who: str, market: int, expiry: int, off: int = 0) -> None:
    """By the last good round of the past, or by one that is `off` ids away from it."""
    keeper, newest = w.address(who), last_round(w, market, expiry)
    round_id = max(newest + off, 0)
    provable = _settleable(w, market, expiry) if off == 0 else False
    unique = _prices_at(w, market, expiry) if _times_go_on(w, market) else set()
    outcome = w.do(
        w.system.option_engine, "settle", market, expiry, round_id,
        sender=who, twin=lambda t: _engine(t).settle(market, expiry, round_id, keeper, w.now),
    )  # fmt: skip
    if len(unique) > 1:
        raise Broken("i14_one_price_settles", f"any of {sorted(unique)} can be proved")
    if provable and not outcome.ok and not outcome.meddled and outcome.reason != WAITS and not w.frozen:
        raise Broken("i14_what_is_over_can_be_settled", f"by round {round_id}: {outcome.reason!r}")


@action("{who} has {accounts} settled in {market:market} to {expiry}")
def settle_accounts(w: World, who: str, market: int, expiry: int, accounts: list[str]) -> None:
    owners, settled = [w.address(name) for name in accounts], key_of(market, expiry) in w.book.settlements
    outcome = w.do(
        w.system.option_engine, "settle_accounts", market, expiry, owners,
        sender=who, twin=lambda t: _engine(t).settle_accounts(market, expiry, owners),
        touches=tuple(name for name in accounts if name in w.actors),
    )  # fmt: skip
    if settled and not outcome.ok and not outcome.meddled and not w.frozen:
        raise Broken("i14_settled_accounts_are_paid", f"{outcome.reason!r}")


@action("{who} clears the board of {market:market} to {expiry}")
def clear_board(w: World, who: str, market: int, expiry: int) -> None:
    done = w.book.settlements.get(key_of(market, expiry))
    outcome = w.do(
        w.system.option_engine, "clear", market, expiry,
        sender=who, twin=lambda t: _engine(t).clear(market, expiry),
    )  # fmt: skip
    if done is not None and done.legs == 0 and not outcome.ok and not outcome.meddled and not w.frozen:
        raise Broken("i14_what_is_settled_can_be_cleared", f"{outcome.reason!r}")


@action("{who} lists strikes {strikes} of {market:market} to {expiry}")
def list_strikes(w: World, who: str, market: int, expiry: int, strikes: list[int]) -> None:
    outcome = w.do(
        w.system.option_engine, "list_strikes", market, expiry, strikes,
        sender=who, twin=lambda t: _engine(t).list_strikes(market, expiry, strikes, w.now),
    )  # fmt: skip
    if outcome.ok:
        w.listed[market, expiry] = None


@action("{who} lets the board of {market:market} to {expiry} only shrink")
def close_board(w: World, who: str, market: int, expiry: int) -> None:
    w.do(
        w.system.option_engine, "close_board", market, expiry,
        sender=who, twin=lambda t: _engine(t).close_board(market, expiry),
    )  # fmt: skip


@action("{who} pauses options of {market:market}: {on}")
def pause_options(w: World, who: str, market: int, on: bool) -> None:
    w.do(
        w.system.option_engine, "pause" if on else "unpause", market,
        sender=who, twin=lambda t: _engine(t).set_paused(market, on),
    )  # fmt: skip


@action("{who} lowers the caps of options of {market:market} to {series:base}, {board:base}, {whole:base}")
def lower_option_caps(w: World, who: str, market: int, series: int, board: int, whole: int) -> None:
    w.do(
        w.system.option_engine, "lower_caps", market, series, board, whole,
        sender=who, twin=lambda t: _engine(t).lower_caps(market, series, board, whole),
    )  # fmt: skip


OF_OPTIONS = frozenset(name for name, each in ACTIONS.items() if each.act.__module__ == __name__)


def _engine(twin: Twin) -> Any:
    return twin.option_engine


# ---- rounds of the past


def last_round(w: World, market: int, time: int) -> int:
    """Id of the last good round at or before a time; 0 if there is none."""
    feed = w.feeds[market] if market < len(w.feeds) else None
    for round_id in sorted(feed.rounds if feed else (), reverse=True):
        assert feed is not None
        round_ = feed.round_at(round_id, w.now)
        if round_.ok and round_.updated_at <= time:
            return round_id
    return 0


def _times_go_on(w: World, market: int) -> bool:
    """Whether the feed's times never go back, as those of an aggregator do not."""
    if market >= len(w.feeds):
        return False
    times = [each.updated_at for _, each in sorted(w.history[market].items())]
    return times == sorted(times)


def _settleable(w: World, market: int, expiry: int) -> bool:
    """Whether there is a board that is over, and good rounds before and soon after."""
    key = key_of(market, expiry)
    listed = key in w.book.points and key not in w.book.settlements and w.now >= expiry
    if not listed or not _times_go_on(w, market) or w.faults[market] != Fault(0):
        return False
    newest = last_round(w, market, expiry)
    after = [w.feeds[market].round_at(newest + ahead, w.now) for ahead in range(1, 17)] if newest else []
    good = [each for each in after if each.ok]
    return bool(good) and good[0].updated_at > expiry


def _prices_at(w: World, market: int, time: int) -> set[int]:
    """What the oracle would say of a time, told any round there is."""
    prices = set()
    newest = last_round(w, market, time)
    for round_id in (0, *range(max(newest - 3, 0), newest + 20)):
        try:
            prices.add(w.twin.oracle.price_at(market, time, round_id, w.now))
        except Reverted:
            continue
    return prices


# ---- what to try


def opening(w: World, rng: Random) -> list[Step]:
    """Surfaces with a near expiry, and boards."""
    steps: list[Step] = []
    for market in range(len(w.feeds)):
        update = fresh_update(w, rng, market)
        steps.append(update)
        for expiry, _, _ in update[1]["points"][:3]:
            steps.append(_listing(w, rng, market, expiry, rng.randint(2, 6)))
    return steps


def _listing(w: World, rng: Random, market: int, expiry: int, count: int) -> Step:
    price = max(w.newest[market].answer, 1) * 10**10
    strikes = {max(int(price * rng.choice((1, rng.uniform(0.7, 1.4), 10 ** rng.uniform(-0.9, 0.9)))), 1)}
    for _ in range(count):
        strikes.add(int(price * rng.uniform(0.7, 1.4)))
    grid = sorted({strike // STRIKE_UNIT * STRIKE_UNIT for strike in strikes} - {0}, key=lambda _: rng.random())
    return ["list_strikes", {"who": "governor", "market": market, "expiry": expiry, "strikes": grid[:MAX_STRIKES]}]


def options_new(w: World, rng: Random, who: str, key: int | None = None) -> list[Step]:
    """One to eight orders on a board, of any size to what margin and caps allow and beyond."""
    keys = [key] if key is not None else _boards(w, rng)
    if not keys:
        return []
    key = rng.choice(keys)
    market, strikes = market_of(key), w.book.strikes[key]
    price, cash = max(w.newest[market].answer, 1) * 10**10, w.twin.clearinghouse.account(w.address(who))[0]
    every = [pack(each.strike, index, key, put) for index, each in enumerate(strikes) for put in (False, True)]
    chosen = sorted(rng.sample(every, min(rng.choice((1, 1, 1, 1, 2, 2, 3, 4, 8)), len(every))))
    least = w.options.configs[market].min_size
    scale, sign = max(cash, WAD) * WAD / price * 10 ** rng.uniform(-2.5, 1), rng.choice((-1, 1))
    orders = []
    for series in chosen:
        lots = max(int(scale * rng.uniform(0.2, 1) / len(chosen)) // LOT, least // LOT, 1)
        orders.append([series, min(lots, MAX_LOTS) * LOT * (sign if rng.random() < 0.7 else -sign)])
    arguments: dict[str, Any] = {"who": who, "orders": orders}
    if rng.random() < 0.08:
        _spoil(w, rng, arguments)
    if rng.random() < 0.1:
        worth = sum(size for _, size in orders) * price // WAD * rng.randint(-100, 200) // 1_000
        arguments["most"] = max(-NO_LIMIT, min(worth, NO_LIMIT))
    steps: list[Step] = [["trade_options", arguments]]
    return [*ready(w, rng, market), *steps] if rng.random() < 0.95 else steps


def _boards(w: World, rng: Random) -> list[int]:
    """Those with strikes that are not settled; now and then those that are over, too."""
    keys = [key for key, point in w.book.points.items() if point.strikes and key not in w.book.settlements]
    return [key for key in keys if expiry_of(key) > w.now or rng.random() < 0.1]


def options_held(w: World, rng: Random) -> list[Step]:
    """Increase, reduce, close or flip positions that somebody has on a board."""
    owners = {w.address(name): name for name in ACTORS}
    held = [(owner, legs) for owner, legs in w.book.legs_of.items() if legs and owner in owners]
    if not held:
        return []
    owner, legs = rng.choice(held)
    open_ones = [series for series in legs if expiry_of(board_of(series)) > w.now]
    if not open_ones and rng.random() < 0.9:
        return []
    key = board_of(rng.choice(open_ones or list(legs)))
    mine = sorted(series for series in legs if board_of(series) == key)
    factor, orders = rng.choice((-1, -1, -1, -0.5, -(10 ** rng.uniform(-2, 0)), -2, 10 ** rng.uniform(-1, 0.3))), []
    for series in mine[:8] if rng.random() < 0.7 else [rng.choice(mine)]:
        lots = int(legs[series] * factor)
        orders.append([series, (lots or -1) * LOT])
    step: Step = ["trade_options", {"who": owners[owner], "orders": orders}]
    return [step] if rng.random() < 0.5 else [*ready(w, rng, market_of(key)), step]


def ready(w: World, rng: Random, market: int) -> list[Step]:
    """What a trade that opens needs: a price and a surface of now."""
    steps: list[Step] = []
    mark = w.twin.oracle.peek(market, w.now)
    if not mark.fresh:
        if w.faults[market]:
            steps.append(["break_feed", {"market": market, "fault": ""}])
        steps += [["warp", {"seconds": 1}], ["push", {"market": market, "answer": max(w.newest[market].answer, 1)}]]
    last = w.surface.last.get(market)
    if last is None or w.now - last.timestamp > 3_000 or rng.random() < 0.05:
        steps += [["warp", {"seconds": 1}]] if last is not None and last.timestamp >= w.now else []
        steps.append(fresh_update(w, rng, market))
    if market in w.surface.frozen:
        steps.append(["freeze_surface", {"who": "governor", "market": market, "on": False}])
    return steps


def _spoil(w: World, rng: Random, arguments: dict[str, Any]) -> None:
    """One thing about a trade is wrong."""
    orders: Legs = arguments["orders"]
    i = rng.randrange(len(orders))
    series, size = orders[i]
    match rng.randrange(12):
        case 0:
            orders[max(i - 1, 0) : i + 1] = [orders[i], list(orders[i])]
            del orders[MAX_ORDERS:]
        case 1:
            orders.reverse()
        case 2:
            orders[i] = [series + (1 << 16), size]  # another expiry
        case 3:
            orders[i] = [series + rng.choice((1 << 40, 1 << 32, 2, 1 << 8, 1 << 200)), size]
        case 4:
            orders[i] = [series, 0]
        case 5:
            orders[i] = [series, size + rng.choice((1, -1, LOT // 2))]
        case 6:
            orders[i] = [series, rng.choice((1, -1)) * LOT]
        case 7:
            orders[i] = [series, rng.choice((MAX_LOTS, MAX_LOTS + 1, -MAX_LOTS, 2**60)) * LOT]
        case 8:
            arguments["late"] = rng.choice((1, 60, -60))
        case 9:
            orders.clear()
        case 10:
            orders[i] = [series, rng.choice((2**255 - 1, -(2**255)))]
        case _:
            room = w.options.configs[market_of(board_of(series))].cap_series if series < 1 << 110 else LOT
            orders[i] = [series, max(room, LOT) + rng.choice((0, LOT))]


def keeping(w: World, rng: Random, who: str) -> list[Step]:
    """What keepers do: boards that are due, boards that are over, accounts, and what is left of them."""
    live = [(market_of(key), expiry_of(key)) for key in w.book.points if key not in w.book.settlements]
    over = [board for board in live if board[1] <= w.now]
    settled = [(market_of(key), expiry_of(key)) for key in w.book.settlements]
    if settled and rng.random() < 0.5:
        market, expiry = rng.choice(settled)
        names = rng.sample((*ACTORS, "vault"), rng.randint(0, 5))
        if rng.random() < 0.5:
            names = list(TRADERS) if rng.random() < 0.5 else list(ACTORS)
        if rng.random() < 0.1:
            names += names[:1]
        steps: list[Step] = [["settle_accounts", {"who": who, "market": market, "expiry": expiry, "accounts": names}]]
        return [*steps, ["clear_board", {"who": who, "market": market, "expiry": expiry}]]
    if over and rng.random() < 0.9:
        market, expiry = rng.choice(over)
        off = rng.choice((0, 0, 0, 0, -1, 1, 2, -(1 << 70), 1 << 64, 1 << 90))
        step: Step = ["settle_board", {"who": who, "market": market, "expiry": expiry, "off": off}]
        newest = w.newest[market]
        if newest.updated_at <= expiry and rng.random() < 0.8:
            push: Step = ["push", {"market": market, "answer": max(newest.answer, 1)}]
            return [["warp", {"seconds": 1}], push, step]
        return [step]
    if not live:
        return []
    market, expiry = rng.choice(live)
    name = rng.choice(("refresh_board",) * 8 + ("settle_board", "clear_board"))
    return [[name, {"who": who, "market": market, "expiry": expiry}]]


def to_expiry(w: World, rng: Random) -> list[Step]:
    """The next expiry comes and goes, with prices before and after it."""
    live = [key for key in w.book.points if key not in w.book.settlements and expiry_of(key) > w.now]
    if not live:
        return []
    expiry = min(map(expiry_of, live))
    steps: list[Step] = []
    for wait in sorted({expiry - w.now - rng.choice((1, 60, 3_700, 30_000)), expiry - w.now + rng.choice((0, 1, 600))}):
        if wait > 0:
            gone = sum(step[1]["seconds"] for step in steps if step[0] == "warp")
            steps.append(["warp", {"seconds": max(wait - gone, 1)}])
            for market, newest in enumerate(w.newest):
                if rng.random() < 0.9:
                    answer = max(int(newest.answer * rng.gauss(1, 0.03)), 1)
                    steps.append(["push", {"market": market, "answer": answer}])
            if rng.random() < 0.3:
                steps += options_new(w, rng, rng.choice(TRADERS), next(key for key in live if expiry_of(key) == expiry))
    for key in live:
        if expiry_of(key) == expiry:
            board = {"who": "keeper", "market": market_of(key), "expiry": expiry}
            steps.append(["settle_board", board])
            if rng.random() < 0.6:
                steps.append(["settle_accounts", {**board, "accounts": list(ACTORS)}])
            if rng.random() < 0.5:
                steps.append(["clear_board", board])
    return steps


def boards(w: World, rng: Random) -> list[Step]:
    """Listings, good and bad; closures, pauses and caps, soon taken back."""
    market = rng.randrange(len(w.feeds)) if rng.random() < 0.95 else rng.choice((3, 16))
    who = rng.choice(("governor",) * 6 + ("guardian", "stranger"))
    kind = rng.randrange(10)
    if kind < 6 and market < len(w.feeds):
        expiries = w.surface.expiries(market)
        if not expiries:
            return [fresh_update(w, rng, market)]
        expiry = rng.choice(expiries)
        if rng.random() < 0.1:
            expiry += rng.choice((1, DAY, -30 * DAY))
        step = _listing(w, rng, market, expiry, rng.choice((0, 1, 3, 23)))
        step[1]["who"] = who
        if rng.random() < 0.1:
            step[1]["strikes"][-1:] = [rng.choice((0, 1, 10**30, *step[1]["strikes"]))]
        return [step]
    if kind == 6:
        keys = list(w.book.points)
        if not keys or rng.random() < 0.5:
            return []
        key = rng.choice(keys)
        board = {"market": market_of(key), "expiry": expiry_of(key)}
        return [["close_board", {"who": rng.choice((who, "guardian")), **board}]]
    if kind == 7 and market < len(w.feeds):
        p = w.options.configs[market]
        part = rng.choice((1, 1, 0.9, 0.5, 1.1))
        caps = [int(cap * part) for cap in (p.cap_series, p.cap_expiry, p.cap_market)]
        names = dict(zip(("series", "board", "whole"), caps, strict=True))
        return [["lower_option_caps", {"who": rng.choice((who, "guardian")), "market": market, **names}]]
    lift: Step = ["pause_options", {"who": "governor", "market": market, "on": False}]
    if rng.random() < 0.5:
        return [lift]
    pause: Step = ["pause_options", {"who": rng.choice((who, "guardian")), "market": market, "on": True}]
    interval = {
        "who": "governor",
        "of": "options",
        "field": "interval",
        "value": rng.choice((600, 10, 60)),
        "number": 0,
    }
    between: list[Step] = [*options_held(w, rng), *options_new(w, rng, rng.choice(TRADERS))]
    if market < len(w.feeds) and rng.random() < 0.3:
        between.append(["set_parameter", interval | {"number": market}])
    return [pause, *between, lift]
