"""What a single accepted call owes to those it concerns, judged by the state before it and the state after it.

Like the invariants, these are checked on the twin, which equals the contracts; unlike the twin they are written from
the definitions in docs/mechanism.md and not after the code, so that a mistake made twice is seen here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

from ballast.fuzz.actions import Step, worst_of, worth_of
from ballast.fuzz.invariants import AT_VENUES, DUST, owned
from ballast.fuzz.world import GRACE, Broken, Fault, World
from ballast.model.exact.fixed import BPS, MICRO, WAD, YEAR, mul_up
from ballast.model.exact.hedge import gas, tolerance
from ballast.model.exact.margin import EXIT
from ballast.model.exact.option_book import LOT, board_of, market_of
from ballast.model.exact.perps import FUNDING_UNIT, MAX_FUNDING, Position, accrue, accrued
from ballast.model.exact.structs import Outcome as TradeOutcome

Promise = Callable[[World, "Before"], None]

TRADES = {"trade", "close"}
ENTRIES = {"lp_deposit", "lp_mint"}
# What may happen at a price that can be traded on only, and in which markets: one that is named, or all of them.
PRICED = {
    "trade", "close", "liquidate", "liquidate_perp", "take_perp", "perp_sync", "rebalance", "lp_deposit", "lp_mint",
    "process_epoch", "trade_options", "liquidate_options", "take_options", "refresh_board", "execute_request",
    "nominate", "deleverage", "unwind", "hedge_by_mandate",
}  # fmt: skip
CLOSINGS = {"recall", "unwind"}  # steps toward zero that the rule does not judge
OF_OPTIONS = {"trade_options", "liquidate_options", "take_options"}  # the first order says which market
CLOSED = {"liquidate_perp": "victim", "execute_request": "of"}  # who is closed at the vault's quote
SILENT = Fault.REVERT | Fault.BURN  # a feed with one of these answers nothing
LATER = 3_600  # [s]
MOST_FUNDING = MAX_FUNDING * FUNDING_UNIT / WAD  # [1/year]
MOST_BORROW = 0.65535  # [1/year] that the engine stores, whatever Inventory asks
RATE = 2e-5  # [1/year] a rate is stored in steps of half of this
SLOPE_STEP = 1e-6  # [of capital, or of risk if that is larger]


@dataclass(slots=True)
class Before:
    """What has to be remembered of the state before a step."""

    step: Step
    times: list[int]  # [s] of the recorded rounds, by market
    ends_at: int  # [s] of the epoch
    position: Position | None = None  # of who trades, in the market of the trade
    size: int = 0  # of what is traded [base, WAD]
    opens: bool = False  # an option trade does not merely shrink positions
    exposure: int = 0  # of the venue that is closed [base, WAD]
    strain: int = 0  # of it [base, WAD]
    remembered: int = 0  # exposure of the venue that the step names, as last reported [base, WAD]
    entry: tuple[int, int] = field(default=(0, 0))  # NAV that an entry pays [quote, WAD], and the supply of shares

    @property
    def name(self) -> str:
        return str(self.step[0])

    @property
    def arguments(self) -> dict[str, Any]:
        return dict(self.step[1])


def before(w: World, step: Step) -> Before:
    """To be asked for before the step is done."""
    name, arguments = step
    state = Before(step, [market.mark.updated_at for market in w.twin.oracle.markets], w.vault.epochs.pool.ends_at)
    if arguments.get("venue", len(w.manager.venues)) < len(w.manager.venues):
        state.remembered = w.manager.venues[arguments["venue"]].state.exposure
    if name in TRADES:
        state.position = w.twin.perp_engine.position(w.address(arguments["who"]), arguments["market"])
        state.size = abs(arguments.get("size", state.position.size))
    elif name in CLOSED:
        state.size = abs(w.twin.perp_engine.position(w.address(arguments[CLOSED[name]]), arguments["market"]).size)
    elif name == "trade_options":
        legs = w.book.legs_of.get(w.address(arguments["who"]), {})
        orders = [(legs.get(series, 0) * LOT, size) for series, size in arguments["orders"]]
        state.opens = any(not _reduces(held, held + size) or held == 0 for held, size in orders)
    elif name in CLOSINGS and arguments["venue"] < len(w.manager.venues) and arguments["venue"] not in w.doubles:
        venue = w.manager.venues[arguments["venue"]]
        state.exposure, state.strain = venue.exposure(), venue.strain()
    elif name in ENTRIES and not w.frozen:
        state.entry = ask(w), w.vault.supply
    return state


def health(w: World, account: str, *, opening: bool = True) -> tuple[int, int, int]:
    """Equity, initial requirement and how far off they may be [quote, WAD] at the prices that a sync would record, from
    their definitions: value down, what is owed and required up. Without options nothing is off. For who is `opening`
    what is long and over counts nothing."""
    engine = w.twin.perp_engine
    equity, initial, doubt = w.twin.clearinghouse.account(account)[0], 0, 0
    options = w.book.legs(account, w.now)
    for market, price in enumerate(w.prices()):
        position, params = engine.position(account, market), engine.config(market).params
        if position.size != 0:
            book = accrue(engine.book(market), price, w.now)
            owed = -(-accrued(position, book.index_long, book.index_short) // 10**9)
            equity += position.size * price // WAD - position.cost - owed
            notional = -(-abs(position.size) * price // WAD)
            cost = -(-notional * w.twin.oracle.peek(market, w.now).sigma * EXIT // WAD**2)
            initial += -(-cost * notional // params.cap_quote) if notional < params.cap_quote else cost
        held = [option for option in options if option.market == market]
        if held:
            equity += math.floor(sum(worth_of(w, option, price, opening=opening) for option in held))
            both = [
                worst_of(w, market, position.size, held, price, initial=each, opening=opening) for each in (True, False)
            ]
            initial += math.ceil(max(needed for needed, _ in both))  # which is at least the maintenance requirement
            doubt += max(slack for _, slack in both)
        else:
            initial += -(-abs(position.size) * price * params.initial_bps // (WAD * BPS))
    return equity, initial, doubt


def ask(w: World) -> int:
    """NAV at which an entry of nothing enters (docs/mechanism.md §7) [quote, WAD]."""
    funds = w.vault._funds_view(w.now)
    return funds.nav + funds.v.spread + max(0, funds.v.reserve - funds.v.potential)


def keep(condition: bool, name: str, message: object = "") -> None:
    """Raise Broken unless the condition holds."""
    if not condition:
        raise Broken(name, str(message))


def _plain(amount: int) -> str:
    """WAD for people."""
    return f"{amount / WAD:,.6g}"


# ---- prices


def fresh_prices_only(w: World, b: Before) -> None:
    """What moves value between people by a price does so only while the feed answers, the market is not halted and the
    recorded round is at most `max_age` old: otherwise whoever knows the price trades against those who wait for it."""
    if b.name not in PRICED:
        return
    if b.name == "process_epoch" and w.outcomes[-1].value[0] == 0:
        return
    if b.name == "execute_request" and not w.quotes:  # nothing was left to close
        return
    named = b.arguments.get("market") if b.name not in ("nominate", "deleverage") else None
    if b.name in OF_OPTIONS:
        named = market_of(board_of(b.arguments["orders"][0][0]))
    elif b.name == "unwind":
        named = w.manager.venues[b.arguments["venue"]].market
    for market in range(len(w.feeds)) if named is None else (named,):
        recorded, newest = w.twin.oracle.markets[market], w.newest[market]
        age = w.now - w.twin.oracle.peek(market, w.now).updated_at
        answers = not w.faults[market] & SILENT and newest.answer > 0 and newest.updated_at <= w.now
        if w.sequencer is not None:
            answers = answers and w.up_since is not None and w.now - w.up_since > GRACE
        keep(
            answers and not recorded.halted and age <= recorded.params.max_age,
            "fresh_prices_only",
            f"market {market}: answers {answers}, halted {recorded.halted}, {age} s old",
        )


def time_never_goes_back(w: World, b: Before) -> None:
    """A round replaces an older one only: whoever may submit must not choose among past prices."""
    times = [market.mark.updated_at for market in w.twin.oracle.markets]
    keep(all(new >= old for old, new in zip(b.times, times, strict=True)), "time_never_goes_back", (b.times, times))


def i11_redeemed_at_a_newer_round(w: World, b: Before) -> None:
    """An epoch is priced at rounds observed after its end, hence after every request that is in it."""
    if b.name == "process_epoch" and w.outcomes[-1].value[0] > 0:
        times = [market.mark.updated_at for market in w.twin.oracle.markets]
        keep(min(times) >= b.ends_at, "i11_redeemed_at_a_newer_round", f"ended at {b.ends_at}, priced at {times}")


# ---- trades


def i4_a_trade_at_mark_makes_nobody_richer(w: World, b: Before) -> None:
    """Beside spread and charge a trade changes cash and the worth of a position by roundings alone, exact in WAD², and
    these are against the trader: at most a wei each for value, cost and what is owed."""
    if b.position is None:
        return
    outcome = _traded(w)
    market = b.arguments["market"]
    book = w.twin.perp_engine.book(market)
    owed = accrued(b.position, book.index_long, book.index_short) * 10**9
    old = b.position.size * outcome.price - b.position.cost * WAD - owed
    paid = outcome.cash + outcome.half_spread + outcome.charge
    new = outcome.size * outcome.price + (paid - outcome.cost) * WAD
    keep(
        old - 3 * WAD <= new <= old,
        "i4_a_trade_at_mark_makes_nobody_richer",
        f"the trade itself made its trader {(new - old) / WAD:.3g} wei richer",
    )


def limits_bind(w: World, b: Before) -> None:
    """Nobody pays more, or gets less, per unit than the limit he named, spread and charge included, nor trades after
    his deadline."""
    if b.position is None:
        return
    size, limit, outcome = b.arguments.get("size"), b.arguments.get("limit"), _traded(w)
    keep(b.arguments.get("late", 0) <= 0, "limits_bind", "the deadline is over")
    if size is not None and limit is not None:
        total = size * outcome.price + (outcome.half_spread + outcome.charge) * WAD
        paid = f"{_plain(size)} base for {total / WAD**2:,.6g} quote, limit {_plain(limit)}"
        keep(total <= size * limit, "limits_bind", paid)


def caps_hold_where_risk_is_added(w: World, b: Before) -> None:
    """After a trade that does not merely reduce a position, the open interest of its side is within both caps, in base
    and in quote at the price of now, and the position is not below the minimum."""
    if b.position is None:
        return
    outcome, market = _traded(w), b.arguments["market"]
    if _reduces(b.position.size, outcome.size):
        return
    book, params = w.twin.perp_engine.book(market), w.twin.perp_engine.config(market).params
    interest = book.long if outcome.size > 0 else book.short
    keep(
        interest <= params.cap_base
        and interest * outcome.price <= params.cap_quote * WAD
        and abs(outcome.size) >= params.min_size,
        "caps_hold_where_risk_is_added",
        f"{_plain(interest)} base at {_plain(outcome.price)}, of which {_plain(outcome.size)} are his; caps "
        f"{_plain(params.cap_base)} and {_plain(params.cap_quote)}",
    )


def i9_margin_is_there_where_risk_is_added(w: World, b: Before) -> None:
    """After a trade that does not merely reduce a position, and after a withdrawal, equity is at or above the initial
    requirement, with all that is owed."""
    if b.position is not None and not _reduces(b.position.size, _traded(w).size):
        who = b.arguments["who"]
    elif b.name == "trade_options" and b.opens:
        who = b.arguments["who"]
    elif b.name == "withdraw_margin" and not w.frozen:
        who = b.arguments.get("of") or b.arguments["who"]
    else:
        return
    equity, initial, doubt = health(w, w.address(who))
    keep(
        equity >= initial - doubt,
        "i9_margin_is_there_where_risk_is_added",
        f"{who} has {_plain(equity)}, needs {_plain(initial)}",
    )


def i4_no_debt_without_a_position(w: World, b: Before) -> None:
    """What an account without positions cannot pay is covered at once, by insurance and then by LPs: nobody's balance
    is a claim on somebody who has left."""
    if b.position is None and b.name not in {*OF_OPTIONS, *CLOSED, "liquidate", "take_perp", "deleverage"}:
        return
    who = b.arguments.get("victim") or b.arguments.get("of") or b.arguments["who"]
    cash, mask = w.twin.clearinghouse.account(w.address(who))
    keep(cash >= 0 or mask != 0, "i4_no_debt_without_a_position", f"{who} has {_plain(cash)}")


def _traded(w: World) -> TradeOutcome:
    outcome = w.outcomes[-1].value
    assert isinstance(outcome, TradeOutcome)
    return outcome


def _reduces(old: int, new: int) -> bool:
    """Whether a position shrank without changing sides."""
    return (0 <= new < old) or (old < new <= 0)


def half_spreads_follow_the_definition(w: World, b: Before) -> None:
    """N base + |dD| s_spot + |dV| s_vol, recomputed in floats from docs/mechanism.md §6: what a trader pays for what he
    may know and the feed, or the surface, does not say yet."""
    if b.name not in {"trade", "close", "trade_greeks", *CLOSED} or not w.quotes or b.arguments.get("options"):
        return
    market, quote = b.arguments["market"], w.quotes[-1]
    mark, p = w.twin.oracle.last(market, w.now), w.inventory.market_params[market]
    price = mark.price / WAD
    if b.name == "trade_greeks":
        notional, delta = b.arguments.get("notional", 0), abs(b.arguments.get("delta", 0)) / WAD
        vega, age = abs(b.arguments.get("vega", 0)) / WAD, b.arguments.get("vol_age", 0)
    else:
        left = 0
        if b.name in CLOSED:
            left = abs(w.twin.perp_engine.position(w.address(b.arguments[CLOSED[b.name]]), market).size)
        delta, vega, age = (b.size - left) / WAD, 0.0, 0
        notional = delta * price * WAD
    spread, vol_spread = spreads(w, market, age)
    expected = notional / WAD * p.base / WAD + delta * price * spread + vega * vol_spread
    paid = quote.half_spread / WAD
    # a spread is rounded up to 1e-18 of what it is charged on, the square root in it to 1e-18 of sqrt(year)
    slack = 1e-9 * expected + 1e-15 * (1 + delta * price + vega)
    keep(abs(paid - expected) <= slack, "half_spreads_follow_the_definition", f"{paid} paid, {expected} due")


def spreads(w: World, market: int, vol_age: int) -> tuple[float, float]:
    """s_spot and s_vol of docs/mechanism.md §6; `vol_age` [s] is the surface's."""
    mark, p = w.twin.oracle.last(market, w.now), w.inventory.market_params[market]
    z, known = p.z / WAD * mark.sigma / WAD, p.deviation / WAD
    spread = z * sqrt((max(w.now - mark.updated_at, 0) + p.tau) / YEAR)
    if known > 0:
        spread = min(spread, known + z * sqrt(p.tau / YEAR))
    vol_spread = max(p.vol_floor / WAD, p.vol_z * p.vol_of_vol / WAD**2 * sqrt((vol_age + p.vol_tau) / YEAR))
    return min(max(p.floor / WAD, spread) + mark.half_width / mark.price, 0.5), vol_spread


# ---- rates


def i4_lps_never_pay_funding(w: World, b: Before) -> None:
    """As time passes at the rates of now, claims of the vault on its traders only grow: receivers get at most what
    payers are charged."""
    if not w.quotes:
        return
    for market, price in enumerate(w.prices()):
        book = w.twin.perp_engine.book(market)
        gain = accrue(book, price, book.time + LATER).claims - book.claims
        sides = f"long {_plain(book.long)}, short {_plain(book.short)}"
        flow = f"market {market}: LPs pay {-gain / WAD / 10**9:,.6g} an hour; {sides}"
        keep(gain >= 0, "i4_lps_never_pay_funding", flow)


def rates_follow_the_inventory(w: World, b: Before) -> None:
    """Funding is the slope of I, paid by the side that makes the vault's exposure larger, and the carry; borrowing
    follows utilization without steps, as far as the engine's word goes (65.535 % a year). Both are recomputed here in
    floats from docs/mechanism.md §1 and §6. Where I has a kink, any slope between those of its two sides will do."""
    if b.name not in {"trade", "close", "liquidate_perp", "take_perp", "perp_sync"} or w.inventory.book.capital == 0:
        return
    if b.name == "liquidate_perp" and w.quotes and w.quotes[-1].potential_after != w.inventory.potential():
        return  # measured again at what LPs have now that somebody could not pay: rates are of the moment before
    market, inventory = b.arguments["market"], w.inventory
    book, stored, p = w.twin.perp_engine.book(market), inventory.book, inventory.params
    horizon = p.horizon / YEAR
    limit = p.funding_max / WAD
    slopes = _slopes_beside_options(w, market) if stored.optioned else _slopes(w, market)
    carry = w.twin.perp_engine.config(market).carry / WAD
    asked = (max(-limit, min(limit, slope / horizon)) + carry for slope in slopes)
    low, high = (max(-MOST_FUNDING, min(MOST_FUNDING, rate)) for rate in asked)
    funding, borrow = book.funding_rate / WAD, book.borrow_rate / WAD
    slack = RATE + 1e-4 * abs(funding)
    keep(low - slack <= funding <= high + slack, "rates_follow_the_inventory", f"funding {funding}, not {low}..{high}")
    use, kink = min(stored.loss / stored.capital, 1.0), p.weights.u_star / WAD
    rise = (p.borrow_max - p.borrow_kink) / WAD * max(0.0, use - kink) / (1 - kink)
    expected = min(p.borrow_kink / WAD * min(use, kink) / kink + rise, MOST_BORROW)
    keep(abs(borrow - expected) <= RATE, "rates_follow_the_inventory", f"borrow rate {borrow}, not {expected}")


def _slopes(w: World, market: int) -> tuple[float, float]:
    """Least and largest of I of a linear book by a market's dollar delta, over one horizon."""
    inventory = w.inventory
    capital, horizon = inventory.book.capital * MICRO / WAD, inventory.params.horizon / YEAR
    risks = [m.delta / WAD * (m.price / WAD) * (m.sigma / WAD) * sqrt(horizon) for m in inventory.markets]
    sigma = inventory.markets[market].sigma / WAD * sqrt(horizon)
    step = SLOPE_STEP * max(capital, sum(map(abs, risks)))  # I is convex: its slope is between those of two chords
    costs = []
    for shift in (-step, 0.0, step):
        moved = [risk + shift * sigma * (i == market) for i, risk in enumerate(risks)]
        costs.append(_price_of_risk(moved, capital, w))
    return (costs[1] - costs[0]) / step, (costs[2] - costs[1]) / step


def _slopes_beside_options(w: World, market: int) -> tuple[float, float]:
    """The same of a book with options, by its delta terms alone: no chord knows them from what spot and volatility have
    in common. Two correlations that are as bad as each other make a kink."""
    inventory, weights = w.inventory, w.inventory.params.weights
    capital, root = inventory.book.capital * MICRO / WAD, sqrt(inventory.params.horizon / YEAR)
    rho, knee, aversion = weights.rho / WAD, weights.knee / WAD, weights.aversion / WAD
    terms = []
    for stored, params in zip(inventory.markets, inventory.market_params, strict=True):
        price, sigma = stored.price / WAD, stored.sigma / WAD * root
        vega, gamma = stored.vega / WAD * params.vol_of_vol / WAD * root, stored.gamma / WAD * (price * sigma) ** 2
        terms.append((stored.delta / WAD * price * sigma, vega, gamma / sqrt(2)))
    a, b, g = (sum(column) for column in zip(*terms, strict=True))
    own, joint = sum(x * x + y * y + 2 * rho * x * y for x, y, _ in terms), a * a + b * b + 2 * rho * a * b
    curved = sum(z * z for *_, z in terms)
    both = []
    for c in (weights.c_lo / WAD, weights.c_hi / WAD):
        variance = (1 - c) * own + c * joint + (1 - c * c) * curved + c * c * g * g
        slope = ((1 - c) * terms[market][0] + c * a) * inventory.markets[market].sigma / WAD * root
        both.append((variance, slope))
    worst = max(variance for variance, _ in both)
    factor = aversion / capital if worst <= (knee * capital) ** 2 else aversion * knee / sqrt(worst)
    slopes = [factor * slope for variance, slope in both if variance >= worst * (1 - 1e-9)]
    return min(slopes), max(slopes)


def _price_of_risk(risks: Sequence[float], capital: float, w: World) -> float:
    """I of a linear book [quote]; `risks` are standard deviations a of docs/mechanism.md §1."""
    weights = w.inventory.params.weights
    own, sums = sum(risk * risk for risk in risks), sum(risks) ** 2
    deviation = sqrt(max((1 - c) * own + c * sums for c in (weights.c_lo / WAD, weights.c_hi / WAD)))
    knee, aversion = weights.knee / WAD, weights.aversion / WAD
    if deviation <= knee * capital:
        return aversion * deviation**2 / (2 * capital)
    return aversion * (knee * deviation - knee**2 * capital / 2)


# ---- liquidity providers and venues


def i7_an_entry_pays_for_what_it_shares(w: World, b: Before) -> None:
    """Whoever enters shares in the spreads that the feed may hide and in the reserve that will be released, and has
    paid for both: the ask per share does not fall."""
    if b.name not in ENTRIES:
        return
    (old, held), new, shares = b.entry, ask(w), w.vault.supply
    keep(
        (new + WAD) * (held + WAD) >= (old + WAD) * (shares + WAD),
        "i7_an_entry_pays_for_what_it_shares",
        f"ask per share {(old + WAD) / (held + WAD):.18f} -> {(new + WAD) / (shares + WAD):.18f}",
    )


def i7_an_entry_gets_what_it_pays(w: World, b: Before) -> None:
    """A share never costs more than all of NAV and one quote token, because one share belongs to nobody: what rounding
    can take from an entry is 1e-18 of NAV, whatever was given to the vault before."""
    if b.name not in ENTRIES:
        return
    (_, held), new = b.entry, ask(w)
    value = w.outcomes[-1].value
    units, minted = (b.arguments["units"], value) if b.name == "lp_deposit" else (value, b.arguments["shares"])
    paid = units * w.scale - (w.scale if b.name == "lp_mint" else 0)  # a mint rounds up to a token unit
    keep(
        (minted + 1) * (new + WAD) >= paid * WAD,
        "i7_an_entry_gets_what_it_pays",
        f"{_plain(paid)} quote for {_plain(minted)} of {_plain(held + minted)} shares, while the ask is {_plain(new)}",
    )


def i2_venues_are_looked_at(w: World, b: Before) -> None:
    """What Inventory counts as a hedge is what the venue holds now, whoever gave or took it, once it has been poked;
    but for one part in 10,000 of what was counted, once a step has traded there. A retired one counts as nothing."""
    if b.name == "poke" or b.name in AT_VENUES:
        venue = w.manager.venues[b.arguments["venue"]]
        if w.setup.doubles == 0:
            held = 0 if venue.retired else venue.exposure()
            untold = abs(venue.state.exposure - held)
            keep(
                untold == 0 or (b.name in AT_VENUES and untold * 10_000 <= abs(b.remembered)),
                "i2_venues_are_looked_at",
                f"{_plain(held)} held, {_plain(venue.state.exposure)} remembered",
            )


def i10_a_closing_costs_at_most_its_band(w: World, b: Before) -> None:
    """A recall or an unwind takes no more from LPs and the reserve than fee and band of what it closed at the oracle's
    price, a token unit, and for an unwind of a quarter of the strain gas and the reward by size: swaps outside the band
    are refused, before and after, and nothing else is paid."""
    if b.name not in CLOSINGS or w.owned is None or b.arguments["venue"] in w.doubles:
        return
    venue, rule = w.manager.venues[b.arguments["venue"]], w.manager.rule
    closed = abs(venue.exposure() - b.exposure)
    notional = mul_up(closed, w.twin.oracle.last(venue.market, w.now).price)
    fee = max(pool.fee for pool in w.system.pools[venue.market]) * 10**12
    allowed = mul_up(notional, tolerance(fee, venue.params.band)) + w.scale + DUST
    if b.name == "unwind" and 4 * closed >= b.strain:
        allowed += gas(rule, 0, w.twin.oracle.peek(rule.gas_market, w.now).price) + notional * rule.size_reward // 10**6
    lost = w.owned - owned(w)
    paid = f"{_plain(lost)} lost, {_plain(allowed)} allowed for {_plain(notional)} at venue {b.arguments['venue']}"
    keep(lost <= allowed, "i10_a_closing_costs_at_most_its_band", paid)


def i14_an_unwind_ends_the_strain(w: World, b: Before) -> None:
    """Where Aave believes the markets' feeds, whoever closes all that a venue must close brings it back above its
    floor, so that no further step is needed before the price moves."""
    if b.name != "unwind" or w.mispriced or b.arguments["most"] < b.strain or b.arguments["venue"] not in w.shorts:
        return
    venue = w.short(b.arguments["venue"])
    keep(venue.strain() == 0, "i14_an_unwind_ends_the_strain", f"{_plain(b.strain)} closed, {venue.standing()}")


PROMISES: tuple[Promise, ...] = (
    fresh_prices_only,
    time_never_goes_back,
    i11_redeemed_at_a_newer_round,
    i4_a_trade_at_mark_makes_nobody_richer,
    limits_bind,
    caps_hold_where_risk_is_added,
    i9_margin_is_there_where_risk_is_added,
    i4_no_debt_without_a_position,
    half_spreads_follow_the_definition,
    i4_lps_never_pay_funding,
    rates_follow_the_inventory,
    i7_an_entry_pays_for_what_it_shares,
    i7_an_entry_gets_what_it_pays,
    i2_venues_are_looked_at,
    i10_a_closing_costs_at_most_its_band,
    i14_an_unwind_ends_the_strain,
)
