"""Closes that wait for a price: requests while a feed is silent, executions once it speaks again.

While nothing trades, anybody may ask to be closed and add margin; what was asked for is carried out as soon as there is
a round that nobody knew, and at its price.
"""

from __future__ import annotations

from random import Random
from typing import Any

from ballast.fuzz.actions import BARES, Step, action, standing
from ballast.fuzz.invariants import same
from ballast.fuzz.liquidations import held_perps, on_anything, with_positions
from ballast.fuzz.options import Legs, only_shrinks
from ballast.fuzz.world import ACTORS, TRADERS, Broken, Outcome, World, plain
from ballast.model.exact.option_book import LOT, Order, board_of, expiry_of, market_of
from ballast.model.exact.system import System as Twin

HOUR = 3_600
SILENCES = ("REVERT", "BURN")  # names of `Fault`
OF_QUEUE = ("request_perp", "request_options", "cancel_request", "execute_request")
KINDS = {False: "request_perp", True: "request_options"}


@action("{who} asks for {size:base} {market:market} once there is a price")
def request_perp(w: World, who: str, market: int, size: int) -> None:
    account = w.address(who)
    held = w.twin.perp_engine.position(account, market).size
    closes = size != 0 and (size > 0) == (held < 0) and abs(size) <= abs(held)
    outcome = w.do(
        w.system.close_queue, "request_perp", market, size,
        sender=who, twin=lambda t: _queue(t).request_perp(account, market, size, w.now),
    )  # fmt: skip
    _check_request(w, who, market, closes, outcome)


@action("{who} asks for options once there is a price: {orders:orders}")
def request_options(w: World, who: str, orders: Legs) -> None:
    account, listed = w.address(who), [Order(*order) for order in orders]
    outcome = w.do(
        w.system.close_queue, "request_options", [tuple(order) for order in orders],
        sender=who, twin=lambda t: _queue(t).request_options(account, listed, w.now),
    )  # fmt: skip
    if listed:
        _check_request(w, who, market_of(board_of(listed[0].series)), only_shrinks(w, account, listed), outcome)


def _check_request(w: World, who: str, market: int, closes: bool, outcome: Outcome) -> None:
    if outcome.meddled or market >= len(w.feeds):
        return
    mark = w.twin.oracle.peek(market, w.now)
    if outcome.ok:
        w.asked[w.last, who, market] = mark.updated_at
        if mark.fresh or not closes:
            raise Broken("i14_only_closes_wait_and_only_for_a_price", f"closes: {closes}, {mark}")
    elif closes and not mark.fresh:
        raise Broken("i14_anybody_may_ask_to_be_closed", f"{who} is told {outcome.reason!r}")


@action("{who} takes a request in {market:market} back")
def cancel_request(w: World, who: str, market: int, options: bool) -> None:
    """Whoever has seen the price that he waited for must take it."""
    account, fn = w.address(who), "cancel_options" if options else "cancel_perp"
    outcome = w.do(
        w.system.close_queue, fn, market,
        sender=who, twin=lambda t: getattr(_queue(t), fn)(account, market, w.now),
    )  # fmt: skip
    if outcome.ok:
        known, mark = w.asked[KINDS[options], who, market], w.twin.oracle.peek(market, w.now)
        if mark.updated_at != known:
            raise Broken("i9_no_request_is_taken_back_after_its_price", f"asked at {known}, {mark}")


@action("{who} carries the request of {of} in {market:market} out")
def execute_request(w: World, who: str, of: str, market: int, options: bool) -> None:
    """At the mark of now, for spread, charge and fee; with a new round never refused but for what refuses a close by
    hand."""
    account, keeper, fn = w.address(of), w.address(who), "execute_options" if options else "execute_perp"
    waits, before = (account, market, options) in waiting(w), standing(w, account)
    outcome = w.do(
        w.system.close_queue, fn, account, market,
        sender=who, twin=lambda t: getattr(_queue(t), fn)(account, market, keeper, w.now), touches=(of,),
    )  # fmt: skip
    if outcome.meddled or not waits or w.frozen:
        return
    mark, known = w.twin.oracle.peek(market, w.now), w.asked[KINDS[options], of, market]
    if not outcome.ok:
        if mark.fresh and mark.updated_at > known and outcome.reason not in ("options: expired", BARES):
            raise Broken("i14_every_request_is_carried_out", f"{of} is told {outcome.reason!r}")
        return
    if not w.quotes:  # nothing was left to close
        return
    after, quote, slack = standing(w, account), w.quotes[-1], before.slack
    told = f"{before} -> {after}, {quote}, fee {outcome.value}, {mark}"
    if not mark.fresh or mark.updated_at <= known:
        raise Broken("i9_requests_wait_for_a_round_that_nobody_knew", told)
    fee = outcome.value if who != of else 0
    least = before.equity - quote.half_spread - quote.charge - fee
    most = least + (quote.half_spread if options else 0)  # of options it may be capped
    if not least - slack <= after.equity <= max(most, 0) + slack or outcome.value > w.queue.fee:
        raise Broken("i9_requests_are_carried_out_at_the_mark", told)


def waiting(w: World) -> list[tuple[str, int, bool]]:
    """Account and market of every request, and whether it is for options."""
    perps = [(*key, False) for key, request in w.queue.perps.items() if request.size_delta]
    return perps + [(*key, True) for key, request in w.queue.options.items() if request.orders]


def i13_requests_equal_the_twin(w: World) -> None:
    """What everybody waits for."""
    for name in ACTORS:
        account = w.address(name)
        for market in range(len(w.feeds)):
            perp, options = w.queue.perp_request(account, market), w.queue.options_request(account, market)
            orders = [plain(order) for order in options.orders], options.round_time, options.until
            views = (("perp_request", plain(perp)), ("options_request", orders))
            for fn, expected in views:
                seen = w.view(w.system.close_queue, fn, account, market)
                same(f"{fn} of {name} in market {market}", seen, expected)


def _queue(twin: Twin) -> Any:
    return twin.close_queue


# ---- what to try


def outage(w: World, rng: Random, hours: float | None = None) -> list[Step]:
    """One feed falls silent, or all do, or a market is halted. Its traders ask to be closed, change their minds, add
    margin, try to trade. Then there is a price again, often another one; requests are carried out in any order, some
    of those who asked close by hand first."""
    every = list(range(len(w.feeds)))
    markets = every if rng.random() < 0.4 else [rng.choice(every)]
    how = rng.choice((*SILENCES, "halt", "silence"))
    steps = [each for market in markets for each in silence(market, how)]
    steps.append(["warp", {"seconds": int(HOUR * (hours or rng.choice((1.1, 3, 6, 20))))}])
    asked = requests(w, rng, markets)
    between: list[Step] = [
        ["deposit_margin", {"who": who, "units": int(10 ** rng.uniform(0, 5)) * w.unit, "to": who}]
        for who in TRADERS
        if rng.random() < 0.3
    ]
    between += [["close", {"who": who, "market": markets[0]}] for who in TRADERS if rng.random() < 0.2]
    for name, arguments in rng.sample(asked, len(asked) // 4):
        options = name == "request_options"
        market = market_of(board_of(arguments["orders"][0][0])) if options else arguments["market"]
        between.append(["cancel_request", {"who": arguments["who"], "market": market, "options": options}])
    rng.shuffle(between)
    steps += [*asked, *between]
    if rng.random() < 0.15:
        return steps  # for longer
    steps += [["warp", {"seconds": rng.choice((1, 600, 7_200))}]]
    steps += [each for market in markets for each in _again(w, rng, market, how)]
    return [*steps, *_executions(w, rng, asked, markets)]


def silence(market: int, how: str) -> list[Step]:
    if how in SILENCES:
        return [["break_feed", {"market": market, "fault": how}]]
    return [["halt", {"market": market, "on": True}]] if how == "halt" else []


def _again(w: World, rng: Random, market: int, how: str) -> list[Step]:
    """The price may have jumped."""
    answer = max(int(w.newest[market].answer * (1 + rng.choice((0, 0, 0.01, -0.01, 0.1, -0.1, 0.4, -0.4)))), 1)
    steps: list[Step] = [["push", {"market": market, "answer": answer}]]
    if how in SILENCES:
        steps.insert(0, ["break_feed", {"market": market, "fault": ""}])
    if how == "halt":
        steps.append(["halt", {"market": market, "on": False}])
    return steps


def requests(w: World, rng: Random, markets: list[int]) -> list[Step]:
    """By most of those who hold something there; some ask twice, or for nonsense."""
    steps: list[Step] = []
    for name, market, size in held_perps(w):
        if market in markets and rng.random() < 0.8:
            part = -size if rng.random() < 0.6 else -int(size * 10 ** rng.uniform(-2, 0.1))
            if rng.random() < 0.05:
                part = rng.choice((0, size, -2 * size, 2**254))
            steps.append(["request_perp", {"who": name, "market": market, "size": part}])
    names = {address: name for name, address in w.actors.items()}
    for address, legs in w.book.legs_of.items():
        for key in sorted({board_of(series) for series in legs if market_of(board_of(series)) in markets}):
            mine = sorted(series for series in legs if board_of(series) == key)
            if address in names and rng.random() < 0.6 and (expiry_of(key) > w.now or rng.random() < 0.2):
                factor = rng.choice((1, 1, 1, 0.5, 1.5))
                orders = [[series, -(int(legs[series] * factor) or 1) * LOT] for series in mine[:8]]
                steps.append(["request_options", {"who": names[address], "orders": orders}])
    rng.shuffle(steps)
    return steps + steps[: rng.choice((0, 0, 1))]


def _executions(w: World, rng: Random, asked: list[Step], markets: list[int]) -> list[Step]:
    steps: list[Step] = []
    for name, arguments in asked:
        options = name == "request_options"
        market = market_of(board_of(arguments["orders"][0][0])) if options else arguments["market"]
        if not options and rng.random() < 0.2:
            steps.append(["close", {"who": arguments["who"], "market": market}])
        who = rng.choice(("keeper", "keeper", "stranger", arguments["who"]))
        steps.append(["execute_request", {"who": who, "of": arguments["who"], "market": market, "options": options}])
    for victim in with_positions(w):
        if rng.random() < 0.1:
            steps += on_anything(w, rng, victim)
    rng.shuffle(steps)
    return steps


def leftovers(w: World, rng: Random) -> list[Step]:
    """A request that waits, carried out, taken back, or replaced; or one that there is not."""
    names = {address: name for name, address in w.actors.items()}
    every = waiting(w)
    if not every:
        return []
    owner, market, options = rng.choice(every)
    of = names[owner] if rng.random() < 0.95 else rng.choice(ACTORS)
    if rng.random() < 0.2:
        return [["cancel_request", {"who": of, "market": market, "options": options}]]
    return [["execute_request", {"who": "keeper", "of": of, "market": market, "options": options}]]
