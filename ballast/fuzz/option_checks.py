"""What must hold of options after every action (docs/mechanism.md §9), what a call about them owes, and what if.

As elsewhere contracts are compared with the twin, and the rest is checked on the twin: sums exactly, prices in floats
by the textbook formulas, what is never cheaper or free of arbitrage on forks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import erfc, exp, log, pi, sqrt
from random import Random
from typing import Any

from ballast.fuzz.invariants import (
    DUST,
    PROBES,
    _experiment,
    _wealth,
    _what_if_size,
    boosted,
    demand,
    new_is_less,
    new_is_more,
)  # fmt: skip
from ballast.fuzz.options import OF_OPTIONS, last_round
from ballast.fuzz.promises import ENTRIES, Before, keep, spreads
from ballast.fuzz.world import ACTORS, Broken, Witness, World, plain
from ballast.model.exact.black76 import MAX_VOL
from ballast.model.exact.fixed import BPS, WAD, YEAR, Reverted
from ballast.model.exact.inventory import Inventory
from ballast.model.exact.option_book import (
    BAND_BPS,
    DAY,
    LAG_Z,
    LOT,
    MAX_AGE,
    MONTH,
    NO_SETTLEMENT,
    NO_TOTALS,
    PREMIUM_SHARE,
    STRIKE_UNIT,
    Order,
    board_of,
    expiry_of,
    index_of,
    is_put,
    key_of,
    market_of,
    pack,
    strike_of,
)
from ballast.model.exact.option_engine import MAX_ORDERS, NO_LIMIT, OptionOutcome
from ballast.model.exact.perps import NO_LIMIT as NO_PRICE
from ballast.model.exact.system import System as Twin
from ballast.model.exact.vol_surface import Smile

UNCAPPED = 2**61 * LOT
PRECISION = 1e-14  # of spot, of a price: what the kernel's roundings may add up to in a few options
FLOATS = 1e-7  # relative, of what is recomputed in floats
PARTS = 1_000  # into which what-if sizes can be cut
STEP = 1e-4  # of a standard deviation of spot, for slopes
COMPARE_EVERY = 10  # steps between comparisons of boards that nobody has touched


# ---- I13


def i13_boards_equal_the_twin(w: World) -> None:
    """Boards, strikes and expiries as the contract shows them, and the positions of those whom the action touched."""
    if w.last in OF_OPTIONS or w.actions % COMPARE_EVERY == 0:
        _compare(w, [name for name in ACTORS if name in w.touched])


def i13_option_views_equal_the_twin(w: World) -> None:
    """All of that, everybody's positions, what NAV takes options to be worth, and parameters."""
    _compare(w, ACTORS)
    book, prices = w.system.option_book, w.prices()
    _same("option book value", book.call("book_value", prices), w.book.book_value(prices, w.now))
    for market, params in w.options.configs.items():
        _same(f"option parameters {market}", w.view(w.system.option_engine, "params", market), plain(params))
        bps = params.initial_bps, params.floor_bps, params.maintenance_bps
        _same(f"option margin {market}", w.view(w.system.option_engine, "margin_bps", market), bps)
        paused = w.view(w.system.option_engine, "is_paused", market)
        _same(f"options paused {market}", paused, market in w.options.paused)
    for market, expiry in w.listed:
        key = key_of(market, expiry)
        due = book.call("is_due", key, prices[market])
        _same(f"board {market}, {expiry} is due", due, w.book.is_due(key, prices[market], w.now))


def _compare(w: World, actors: Sequence[str]) -> None:
    book = w.system.option_book
    for market, expiry in w.listed:
        key, what = key_of(market, expiry), f"board {market}, {expiry}"
        _same(what, w.view(book, "board", market, expiry), _board(w, key))
        strikes = [(each.strike * STRIKE_UNIT, each.calls, each.puts) for each in w.book.strikes.get(key, ())]
        _same(f"strikes of {what}", list(w.view(book, "strikes", market, expiry)), strikes)
    for market in range(len(w.feeds)):
        _same(f"expiries {market}", list(w.view(book, "expiries", market)), w.book.expiries(market))
    for name in actors:
        legs = [plain(leg) for leg in w.book.legs(w.address(name), w.now)]
        _same(f"options of {name}", list(w.view(book, "legs", w.address(name))), legs)


def _board(w: World, key: int) -> tuple[Any, ...]:
    """As `OptionBook.board` answers."""
    point, held = w.book.points.get(key), w.book.books.get(key, NO_TOTALS)
    done = w.book.settlements.get(key, NO_SETTLEMENT)
    if point is None:
        return (*[0] * 9, [0] * 8, *[0] * 5, False)
    return (
        point.spot, point.time, point.surface, point.horizon, held.value, held.delta, held.gamma, held.vega, held.theta,
        list(held.stress), held.interest, held.legs + done.legs, point.strikes, done.price, done.owed,
        point.closing_only,
    )  # fmt: skip


def _same(what: str, seen: Any, expected: Any) -> None:
    if seen != expected:
        raise Broken("i13_state_equals_the_twin", f"{what}: contract {seen}, twin {expected}")


# ---- I2: sums


def i2_boards_are_the_sum_of_positions(w: World) -> None:
    """What a strike has sold net, open interest and the number of positions are sums over accounts, and a board's
    totals are those of its strikes at its point, recomputed from nothing, to the wei: every change is a difference of
    floors of each strike's holdings."""
    name = "i2_boards_are_the_sum_of_positions"
    nets: Counter[int] = Counter()
    interest: Counter[int] = Counter()
    legs: Counter[int] = Counter()
    for held in w.book.legs_of.values():
        for series, lots in held.items():
            nets[series] += lots
            interest[board_of(series)] += abs(lots)
            legs[board_of(series)] += 1
    of_market: Counter[int] = Counter()
    for key, strikes in w.book.strikes.items():
        if (done := w.book.settlements.get(key)) is not None:
            demand(done.legs == legs[key], name, done)
            continue
        book = w.book.books.get(key, NO_TOTALS)
        demand((book.interest, book.legs) == (interest[key], legs[key]), name, book)
        of_market[market_of(key)] += interest[key]
        for index, strike in enumerate(strikes):
            sold = tuple(nets[pack(strike.strike, index, key, put)] for put in (False, True))
            demand((strike.calls, strike.puts) == sold, name, f"{strike}, sold {sold}")
        state = book, w.book.points[key], w.book.smiles.get(key)
        if w.recomputed.get(key) != state and (book.legs or any(plain(book)[:5])):
            totals = w.book.recomputed(key)
            held_totals = book.value, book.delta, book.gamma, book.vega, book.theta, tuple(book.stress)
            fresh = totals.value, totals.delta, totals.gamma, totals.vega, totals.theta, tuple(totals.stress)
            demand(held_totals == fresh, name, f"totals of board {key}: {held_totals}, recomputed {fresh}")
        w.recomputed[key] = state
    total = {market: interest for market, interest in w.book.interest.items() if interest}
    demand(total == {market: x for market, x in of_market.items() if x}, name, f"interest {total}, not {of_market}")


def i1_payables_cover_what_settled_accounts_are_owed(w: World) -> None:
    """Payables are what settled boards owe, and each board owes what its accounts have yet to get and dust: the whole
    is rounded up strike by strike, each position down."""
    if w.frozen:  # accounts are paid out of order, at the very end
        return
    name = "i1_payables_cover_what_settled_accounts_are_owed"
    owed = sum(done.owed for done in w.book.settlements.values())
    demand(w.twin.clearinghouse.payables == owed, name, lambda: f"{w.twin.clearinghouse.payables}, not {owed}")
    for key, done in w.book.settlements.items():
        due = 0
        for held in w.book.legs_of.values():
            for series, lots in held.items():
                if board_of(series) == key:
                    due += lots * LOT * _payoff(series, done.price) // WAD
        dust = 2 * len(w.book.strikes[key]) + 16 * len(w.book.legs_of)
        demand(0 <= done.owed - due <= dust, name, (done, due))


def _payoff(series: int, price: int) -> int:
    """Of an option at expiry [quote per unit of base, WAD]."""
    strike = strike_of(series) * STRIKE_UNIT
    return max(strike - price if is_put(series) else price - strike, 0)


# ---- what a call owes


def option_trades_follow_the_definitions(w: World, b: Before) -> None:
    """Mark value by Black-76 on the posted surface now; delta, the slope of that by a spot which takes the smile along,
    and vega at the board's point, vega weighted by the root of a month over the time left; half-spread on both and the
    notional, capped. All in floats."""
    if b.name != "trade_options" or not w.changes:
        return
    outcome, change, quote = w.outcomes[-1].value, w.changes[-1], w.quotes[-1]
    assert isinstance(outcome, OptionOutcome)
    orders = [Order(series, size) for series, size in b.arguments["orders"]]
    key = board_of(orders[0].series)
    market, expiry, point = market_of(key), expiry_of(key), w.book.points[key]
    mark, now_smile = w.twin.oracle.last(market, w.now), w.surface.smile(market, expiry, w.now)
    value = delta = vega = cap = room = notional = 0.0
    for order in orders:
        size, strike = order.size / WAD, strike_of(order.series) / 10**8
        option = black(mark.price / WAD, strike, now_smile, expiry - w.now, expiry)
        unit = option[1] if is_put(order.series) else option[0]
        value += size * unit
        notional += abs(size) * mark.price / WAD
        most = strike if is_put(order.series) else mark.price / WAD
        cap += abs(size) * (max(unit / PREMIUM_SHARE, mark.price / WAD / BPS) if size > 0 else unit)
        room += abs(size) * (max(most - unit, 0.0) if size > 0 else unit)
        spot, seconds = point.spot / WAD, expiry - point.time
        smile = w.book.smiles[key]
        step = STEP * sqrt(smile.theta / WAD * seconds / (expiry - smile.timestamp))
        up, down = (black(spot * x, strike, smile, seconds, expiry)[0] for x in (1 + step, 1 - step))
        delta -= size * ((up - down) / (2 * step * spot) - is_put(order.series))
        vega -= size * black(spot, strike, smile, seconds, expiry)[2] * sqrt(MONTH / max(seconds, DAY))
    name, slack = "option_trades_follow_the_definitions", FLOATS * (1 + notional)
    told = f"premium {outcome.premium / WAD}, delta {change.exposure.delta / WAD}, vega {change.exposure.vega / WAD}"
    keep(abs(outcome.premium / WAD - value) <= slack, name, f"{told}; worth {value}")
    base = FLOATS * (1 + sum(abs(order.size) for order in orders) / WAD)
    keep(abs(change.exposure.delta / WAD - delta) <= base, name, f"{told}; delta {delta}")
    keep(abs(change.exposure.vega / WAD - vega) <= slack, name, f"{told}; vega {vega}")
    spot_spread, vol_spread = spreads(w, market, w.now - now_smile.timestamp)
    p = w.inventory.market_params[market]
    expected = notional * p.base / WAD + abs(delta) * mark.price / WAD * spot_spread + abs(vega) * vol_spread
    keep(abs(quote.half_spread / WAD - expected) <= slack, name, f"half-spread {quote.half_spread / WAD}, {expected}")
    paid = outcome.half_spread / WAD
    age = max(w.now - mark.updated_at, 0) / YEAR
    cap = min(room, cap + abs(delta) * mark.price / WAD * LAG_Z * mark.sigma / WAD * sqrt(age))
    due = max(min(expected, cap), quote.boost / WAD)
    keep(abs(paid - due) <= 2 * slack, name, f"{paid} paid of {expected}, capped at {cap}, boosted by {quote.boost}")


def i8_options_stay_within_their_bounds(w: World, b: Before) -> None:
    """A call costs at most spot and a put its strike, or what that is worth today if that is more, spread included;
    selling never costs: charges and rebates, which are the reserve's, aside, and what LPs pay back of the spread."""
    if b.name != "trade_options":
        return
    outcome, spot = w.outcomes[-1].value, 0
    most = least = 0
    for series, size in b.arguments["orders"]:
        spot = w.twin.oracle.last(market_of(board_of(series)), w.now).price
        unit = spot
        if is_put(series):
            market, expiry = market_of(board_of(series)), expiry_of(board_of(series))
            rate = w.surface.smile(market, expiry, w.now).rate / WAD
            strike = strike_of(series) * STRIKE_UNIT
            unit = max(strike, int(strike * exp(-rate * (expiry - w.now) / YEAR) * (1 + 1e-12)))
        most += max(size, 0) * unit // WAD
        least += min(size, 0) * unit // WAD - 1
    paid = outcome.premium + outcome.half_spread - w.quotes[-1].boost
    name, slack = "i8_options_stay_within_their_bounds", 2 * len(b.arguments["orders"])
    keep(least <= paid <= most + slack, name, f"{paid} paid, bounds {least} and {most}")
    if all(size < 0 for _, size in b.arguments["orders"]):
        keep(paid <= 0, name, f"{paid} paid for selling")


def options_open_only_where_they_may(w: World, b: Before) -> None:
    """What does not merely shrink positions does so while the market is not paused, the board neither closing nor too
    near its expiry, the surface live; then no position is below the minimum, and neither series nor board nor market is
    beyond its cap unless it has come closer."""
    if b.name != "trade_options":
        return
    name, orders = "options_open_only_where_they_may", b.arguments["orders"]
    key = board_of(orders[0][0])
    market, legs, p = market_of(key), w.book.legs_of.get(w.address(b.arguments["who"]), {}), None
    grown = 0
    for series, size in orders:
        after, lots = legs.get(series, 0), size // LOT
        before = after - lots
        grown += abs(after) - abs(before)
        if abs(after) < abs(before) and after * before >= 0:
            continue
        p = w.options.configs[market]
        held = w.book.strikes[key][index_of(series)]
        net = held.puts if is_put(series) else held.calls
        keep(min(abs(after), abs(lots)) * LOT >= p.min_size, name, f"{after} lots after {lots}")
        keep(abs(net) * LOT <= p.cap_series or abs(net) < abs(net - lots), name, f"{net} lots of a series")
    if p is None:
        return
    smile = w.surface.smile(market, expiry_of(key), w.now)
    keep(market not in w.options.paused and not w.book.points[key].closing_only and smile.is_live, name, smile)
    keep(w.now + p.cutoff <= expiry_of(key), name, f"{expiry_of(key) - w.now} s left")
    if grown > 0:
        interest = w.book.books[key].interest * LOT, w.book.interest[market] * LOT
        keep(interest[0] <= p.cap_expiry and interest[1] <= p.cap_market, name, f"interest {interest}")


def boards_are_of_now(w: World, b: Before) -> None:
    """Whoever opens, enters or leaves does so on boards of the posted surface, at most half an hour old, whose spot is
    at most 3 % away, and before they are over: beyond, their greeks and their part of NAV are guesses."""
    if b.name == "trade_options" and b.opens:
        keys = [board_of(b.arguments["orders"][0][0])]
    elif b.name in ENTRIES or (b.name == "process_epoch" and w.outcomes[-1].value[0] > 0):
        keys = [key for key, book in w.book.books.items() if any((book.value, book.delta, book.gamma, book.theta))]
    else:
        return
    for key in keys:
        market, point = market_of(key), w.book.points[key]
        price, surface = w.twin.oracle.peek(market, w.now).price, w.surface.timestamp(market)
        fine = point.surface == surface and w.now - point.time <= MAX_AGE and w.now < expiry_of(key)
        near = abs(price - point.spot) * BPS <= point.spot * BAND_BPS
        keep(fine and near, "boards_are_of_now", f"{point} at {w.now}, spot {price}, surface of {surface}")


def i14_settled_at_the_price_in_force(w: World, b: Before) -> None:
    """The last good round at or before expiry if it was fresh then, else the first good one after it."""
    if b.name != "settle_board":
        return
    market, expiry = b.arguments["market"], b.arguments["expiry"]
    rounds = [w.feeds[market].round_at(each, w.now) for each in sorted(w.feeds[market].rounds)]
    times = [each.updated_at for _, each in sorted(w.history[market].items())]
    if times != sorted(times):
        return  # no aggregator's do that
    before = [each for each in rounds if each.ok and each.updated_at <= expiry]
    after = [each for each in rounds if each.ok and each.updated_at > expiry]
    fresh = before and expiry - before[-1].updated_at <= w.twin.oracle.markets[market].params.max_age
    due = before[-1] if fresh else after[0]
    value = w.outcomes[-1].value
    keep(
        value == due.price, "i14_settled_at_the_price_in_force", f"{value}, not {due}; {last_round(w, market, expiry)}"
    )


def black(spot: float, strike: float, smile: Smile, seconds: int, expiry: int) -> tuple[float, float, float]:
    """Call, put and vega by Black-76 on an SSVI smile (Gatheral and Jacquier, 2014)."""
    years, rate = max(seconds, 0) / YEAR, smile.rate / WAD
    kd = strike * exp(-rate * years)
    k, theta, rho, eta = log(kd / spot), smile.theta / WAD, smile.rho / WAD, smile.eta / WAD
    phi = eta / sqrt(theta * (1 + theta))
    total = theta / 2 * (1 + rho * phi * k + sqrt((phi * k + rho) ** 2 + 1 - rho * rho))
    vol = min(sqrt(total / ((expiry - smile.timestamp) / YEAR)), MAX_VOL / WAD)
    deviation = vol * sqrt(years)
    d1 = -k / deviation + deviation / 2
    up, down = erfc(-d1 / sqrt(2)) / 2, erfc(-(d1 - deviation) / sqrt(2)) / 2
    call = spot * up - kd * down
    put = kd * (erfc((d1 - deviation) / sqrt(2)) / 2) - spot * (erfc(d1 / sqrt(2)) / 2)
    return call, put, spot * sqrt(years) * exp(-d1 * d1 / 2) / sqrt(2 * pi)


# ---- I5, I6, I8: what if


def i5_splitting_option_trades_never_helps(w: World, rng: Random) -> None:
    """In one block a trade in parts of all its legs alike, on any accounts, costs at least as much: U is a function of
    the totals, half-spreads and their caps are linear, premiums are rounded against the trader. A half-spread is taken
    of delta to its last wei, so a part may be off by the price of a few."""
    whole = _option_experiment(w)
    keys = _tradable(whole, w)
    if not keys:
        return
    key = rng.choice(keys)
    orders = _what_if_orders(w, rng, key)
    cuts = sorted(rng.randrange(1, PARTS) for _ in range(rng.randint(1, 4)))
    twin = whole.fork()
    assert isinstance(twin.inventory, Witness)
    twin.inventory.forget()  # has the whole's lists
    cost = _paid(whole, w.now, [(PROBES[0], orders)])
    bounds = [0, *sorted(set(cuts)), PARTS]
    parts = [
        (rng.choice(PROBES), [Order(order.series, order.size // PARTS * (end - start)) for order in orders])
        for start, end in pairwise(bounds)
    ]
    split = _paid(twin, w.now, parts)
    if cost is None or split is None:
        return
    price = w.twin.oracle.peek(market_of(key), w.now).price
    slack = len(parts) * len(orders) * (4 + price // WAD)
    told = f"{orders} cost {cost}, in parts at {bounds} only {split}"
    fair = cost + boosted(whole) - boosted(twin) - slack
    demand(split >= fair, "i5_splitting_option_trades_never_helps", told)


def i6_no_round_trip_over_options_pays(w: World, rng: Random) -> None:
    """Trades of one block in options of several boards and perpetuals of both markets that end where they began leave
    nobody richer but LPs, and R not smaller."""
    twin = _option_experiment(w)
    keys = _tradable(twin, w)
    if not keys:
        return
    held: Counter[tuple[str, int]] = Counter()
    perps: Counter[tuple[str, int]] = Counter()
    before, trades = _wealth(twin, w.now, None), 0
    try:
        for _ in range(rng.randint(1, 4)):
            who, key = rng.choice(PROBES), rng.choice(keys)
            if rng.random() < 0.3:
                market = rng.randrange(len(w.feeds))
                size = _what_if_size(w, rng, market) // 10 or 1
                _perp(twin, w.now, who, market, size)
                perps[who, market] += size
            else:
                orders = _what_if_orders(w, rng, key)
                _engine(twin).trade(who, orders, NO_LIMIT, w.now, w.now)
                held.update({(who, order.series): order.size for order in orders})
            trades += 1
        back: list[tuple[str, int, int]] = [(*leg, size) for leg, size in perps.items() if size]
        boards = sorted({(who, board_of(series)) for (who, series), size in held.items() if size})
        back += [(who, -key, 0) for who, key in boards]
        rng.shuffle(back)
        for who, what, size in back:
            if what >= 0:
                _perp(twin, w.now, who, what, -size)
                continue
            mine = sorted((each, lots) for (owner, each), lots in held.items() if owner == who and lots)
            closing = [Order(series, -lots) for series, lots in mine if board_of(series) == -what]
            for start in range(0, len(closing), MAX_ORDERS):
                _engine(twin).trade(who, closing[start : start + MAX_ORDERS], NO_LIMIT, w.now, w.now)
                trades += 1
    except Reverted:
        return
    after = _wealth(twin, w.now, None)
    w.round_trips += 1
    price = max(w.prices()) // WAD + 1
    fair = new_is_less(before[0], after[0], 0)
    fair &= all(new_is_more(old, new, trades * price) for old, new in zip(before[1:], after[1:], strict=True))
    told = f"cash, R, bid: {before} -> {after}; {dict(held)} and {dict(perps)}"
    demand(fair, "i6_no_round_trip_over_options_pays", told)


def i8_executable_prices_admit_no_arbitrage(w: World, rng: Random) -> None:
    """At what `quote` says of a small size, half-spread and charge included, rebates not: no bull or bear spread and no
    butterfly costs less than nothing, nor pays more than it can; call and put cannot be bought and sold for less than
    the future or more; where forwards do not fall with expiry, no later call is cheaper than an earlier one of the same
    strike, where they do not rise, no put; ask >= mark >= bid; and twice as much has twice the mark value and at least
    as much spread. Holds because the marks are free of arbitrage and every leg is quoted against its trader."""
    twin = _option_experiment(w)
    keys = _tradable(twin, w)
    if not keys:
        return
    key = rng.choice(keys)
    market, expiry = market_of(key), expiry_of(key)
    strikes = sorted((each.strike, index) for index, each in enumerate(w.book.strikes[key]))
    chosen = sorted(rng.sample(strikes, min(len(strikes), 3)))
    spot = w.twin.oracle.peek(market, w.now).price
    size = max(int(10 ** rng.uniform(-2, 1) * WAD * WAD // spot * 1_000) // LOT, 1) * LOT
    smile = w.surface.smile(market, expiry, w.now)
    discount = exp(-smile.rate / WAD * (expiry - w.now) / YEAR)
    slack = DUST + int(PRECISION * size * spot / WAD)
    name = "i8_executable_prices_admit_no_arbitrage"
    ask, bid = {}, {}
    for strike, index in chosen:
        for put in (False, True):
            series = pack(strike, index, key, put)
            buy, sell = (_quoted(twin, w.now, series, x) for x in (size, -size))
            if buy is None or sell is None:
                return
            more = _quoted(twin, w.now, series, 2 * size)
            ask[strike, put] = buy.premium + buy.half_spread + max(buy.charge, 0)
            bid[strike, put] = -sell.premium - sell.half_spread - max(sell.charge, 0)
            demand(bid[strike, put] <= -sell.premium <= buy.premium <= ask[strike, put], name, (buy, sell))
            demand(sell.half_spread + min(sell.charge, 0) <= -sell.premium, name, f"{sell}: selling costs")
            if more is not None:
                demand(abs(more.premium - 2 * buy.premium) <= 2, name, (buy, more))
                demand(more.half_spread >= buy.half_spread or buy.charge < 0, name, (buy, more))  # or boosted
        future = size * (spot - int(strike * STRIKE_UNIT * discount)) // WAD
        gap = slack + int(1e-15 * size * strike / 10**8)
        demand(ask[strike, False] - bid[strike, True] >= future - gap, name, f"parity at {strike}: {ask}, {bid}")
        demand(bid[strike, False] - ask[strike, True] <= future + gap, name, f"parity at {strike}: {ask}, {bid}")
    for (low, _), (high, _) in pairwise(chosen):
        width = int(size * (high - low) * STRIKE_UNIT * discount / WAD * (1 + 1e-12))
        for cheap, dear, put in ((high, low, False), (low, high, True)):
            told = f"{low} and {high}, {'puts' if put else 'calls'}: ask {ask}, bid {bid}"
            demand(ask[dear, put] - bid[cheap, put] >= -slack, name, told)
            demand(bid[dear, put] - ask[cheap, put] <= width + slack, name, told)
    if len(chosen) == 3:
        (low, _), (mid, _), (high, _) = chosen
        for put in (False, True):
            wings = ask[low, put] * (high - mid) + ask[high, put] * (mid - low)
            body = bid[mid, put] * (high - low)
            demand(wings - body >= -slack * (high - low), name, f"butterfly {low}, {mid}, {high}: {ask}, {bid}")
    for later in keys:
        if market_of(later) == market and expiry_of(later) > expiry:
            _check_calendar(w, twin, key, later, size, slack)


def _check_calendar(w: World, twin: Twin, key: int, later: int, size: int, slack: int) -> None:
    """Of strikes that two boards share."""
    market = market_of(key)
    growth = []
    for each in (key, later):
        smile = w.surface.smile(market, expiry_of(each), w.now)
        growth.append(smile.rate * (expiry_of(each) - w.now))
    at = {each.strike: index for index, each in enumerate(w.book.strikes[later])}
    for index, strike in enumerate(w.book.strikes[key]):
        if strike.strike in at:
            for put, comparable in ((False, growth[1] >= growth[0]), (True, growth[1] <= growth[0])):
                near = _quoted(twin, w.now, pack(strike.strike, index, key, put), -size)
                far = _quoted(twin, w.now, pack(strike.strike, at[strike.strike], later, put), size)
                if near is not None and far is not None and comparable:
                    w.calendars += 1
                    cost = far.premium + far.half_spread + max(far.charge, 0)
                    got = -near.premium - near.half_spread - max(near.charge, 0)
                    told = f"{strike} of {key} sells at {got}, of {later} costs {cost}"
                    demand(cost - got >= -slack, "i8_executable_prices_admit_no_arbitrage", told)


def _option_experiment(w: World) -> Twin:
    """A fork in which three strangers have all the margin they could want and nothing is capped or paused."""
    twin = _experiment(w)
    assert isinstance(twin.inventory, Inventory)
    twin.inventory.sync_all(w.now)  # what is released at a block's start is not the trades' doing
    engine = _engine(twin)
    engine.paused = set()
    for market, p in list(engine.configs.items()):
        engine.configs[market] = replace(p, min_size=LOT, cap_series=UNCAPPED, cap_expiry=UNCAPPED, cap_market=UNCAPPED)
    return twin


def _tradable(twin: Twin, w: World) -> list[int]:
    """Boards that can be opened on, of now."""
    keys, engine = [], _engine(twin)
    for key, point in w.book.points.items():
        market, expiry = market_of(key), expiry_of(key)
        near = w.now + engine.configs[market].cutoff > expiry
        mark = twin.oracle.peek(market, w.now)
        if near or key in w.book.settlements or point.closing_only or not mark.fresh:
            continue
        if not w.surface.smile(market, expiry, w.now).is_live:
            continue
        try:
            if engine.book.is_due(key, mark.price, w.now):
                engine.refresh(market, expiry, PROBES[0], w.now)
        except Reverted:
            continue
        keys.append(key)
    return keys


def _what_if_orders(w: World, rng: Random, key: int) -> list[Order]:
    """One to four options of a board, long or short."""
    every = [
        pack(each.strike, index, key, put) for index, each in enumerate(w.book.strikes[key]) for put in (False, True)
    ]
    chosen = sorted(rng.sample(every, min(rng.choice((1, 1, 2, 3, 4)), len(every))))
    sizes = [abs(_what_if_size(w, rng, market_of(key))) // LOT // PARTS or 1 for _ in chosen]
    return [Order(s, min(x, 2**40) * PARTS * LOT * rng.choice((-1, 1))) for s, x in zip(chosen, sizes, strict=True)]


def _paid(twin: Twin, now: int, path: Sequence[tuple[str, list[Order]]]) -> int | None:
    """All that trades cost, premiums included; None if one is refused."""
    try:
        outcomes: list[OptionOutcome] = [_engine(twin).trade(who, orders, NO_LIMIT, now, now) for who, orders in path]
    except Reverted:
        return None
    return -sum(outcome.cash for outcome in outcomes)


def _quoted(twin: Twin, now: int, series: int, size: int) -> OptionOutcome | None:
    try:
        outcome: OptionOutcome = _engine(twin).quote(PROBES[0], [Order(series, size)], now)
    except Reverted:
        return None
    return outcome


def _perp(twin: Twin, now: int, who: str, market: int, size: int) -> None:
    twin.perp_engine.trade(who, market, size, NO_PRICE if size > 0 else 0, now, now)


def _engine(twin: Twin) -> Any:
    return twin.option_engine


EVERY_STEP = (
    i13_boards_equal_the_twin,
    i2_boards_are_the_sum_of_positions,
    i1_payables_cover_what_settled_accounts_are_owed,
)
THOROUGH = (i13_option_views_equal_the_twin,)
PROMISES = (
    option_trades_follow_the_definitions,
    i8_options_stay_within_their_bounds,
    options_open_only_where_they_may,
    boards_are_of_now,
    i14_settled_at_the_price_in_force,
)
EXPERIMENTS = (i5_splitting_option_trades_never_helps, i6_no_round_trip_over_options_pays)
EXPERIMENTS_BEYOND = (i8_executable_prices_admit_no_arbitrage,)
