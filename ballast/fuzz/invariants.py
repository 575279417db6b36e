"""What must hold after every action, for every price path (docs/mechanism.md §9).

Contracts are compared with the twin (I13); everything else is then checked on the twin, which is cheap and just as
good. What asks "what if" (I5, I6) forks the twin and leaves no trace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from fractions import Fraction
from functools import cache, partial
from itertools import pairwise, product
from random import Random
from typing import Any

from eth_abi.grammar import TupleType

from ballast.chain import Contract, RevmChain
from ballast.chain import Reverted as ChainReverted
from ballast.chain.artifacts import load as artifact
from ballast.fuzz.coverage import our_contracts
from ballast.fuzz.desk import Desk, Held
from ballast.fuzz.hostile import types
from ballast.fuzz.world import ACTORS, REASON, TRADERS, ZERO_ADDRESS, Broken, Stayers, Witness, World, plain
from ballast.model.exact.fixed import BPS, MICRO, STRESS_UNIT, WAD, YEAR, Reverted, mul_floor
from ballast.model.exact.hedge import Outcome as HedgeOutcome
from ballast.model.exact.hedge import budget
from ballast.model.exact.inventory import COVERAGE_UNIT, Book, Inventory, Share
from ballast.model.exact.option_book import market_of
from ballast.model.exact.oracle import NO_ROUND
from ballast.model.exact.perps import NO_LIMIT, Config, accrue, claims_wad, owed
from ballast.model.exact.potential import Sums, potential
from ballast.model.exact.structs import Change, Exposure, MarketParams
from ballast.model.exact.system import System as Twin
from ballast.model.exact.vault import ESCROW, VIRTUAL_ASSETS, VIRTUAL_SHARES

Check = Callable[[World], None]
Leg = tuple[str, int, int | Change]  # account, market, size or, of the desk, what is reported

DUST = 10  # [wei per action] what roundings may add up to where two sums are kept in different ways
# Entries, exits and gifts: what I7 speaks of.
OF_LPS = {
    "lp_deposit", "lp_mint", "request", "process_epoch", "redeem", "claim", "send_shares", "donate", "donate_base",
    "absorb", "insure", "collect_fees",
}  # fmt: skip
AT_VENUES = {"rebalance", "hedge_by_mandate", "recall", "unwind"}  # what trades there
PROBES = ("probe1", "probe2", "probe3")  # accounts of what-if experiments: rich, and without positions


def demand(condition: bool, name: str, message: object = "") -> None:
    """Raise Broken unless the condition holds; a message that is a function is asked only then."""
    if not condition:
        raise Broken(name, str(message() if callable(message) else message))


# ---- I1, I2, I4: sums


def i1_tokens_cover_the_ledger(w: World) -> None:
    """Every unit of the quote token that came in through a call sits in exactly one bucket, to the wei; beyond them
    the Clearinghouse holds exactly what strangers sent it. Holds because every function that moves tokens moves the
    same amount of `total_units` and of one bucket, and every settlement sums to zero."""
    ledger, name = w.twin.clearinghouse, "i1_tokens_cover_the_ledger"
    imbalance, held = ledger.imbalance(), w.storage.held()
    demand(imbalance == 0, name, lambda: f"buckets exceed units by {imbalance}")
    expected = ledger.total_units + w.donated["clearinghouse"]
    demand(held == expected, name, lambda: f"{held} token units held, {expected} accounted for")


def i1_no_other_dust(w: World) -> None:
    """No contract but the Clearinghouse keeps quote, and no venue more than the twin says: tokens pass through within
    a call."""
    with w.clock.on("read"):
        for name, contract in w.contracts.items():
            if name == "clearinghouse":
                continue
            expected = w.donated[name]
            if name.startswith("venue"):
                venue = w.manager.venues[int(name[5:])]
                expected = venue.quote_units
                base = w.system.markets[venue.market].base
                assert base is not None
                held = w.view(base, "balanceOf", contract.address)
                demand(
                    held == venue.base_units, "i1_no_other_dust", f"{name}: {held} base units, not {venue.base_units}"
                )
            held = w.view(w.system.quote, "balanceOf", contract.address)
            demand(held == expected, "i1_no_other_dust", f"{name} holds {held} quote units, not {expected}")


def i1_venues_leave_nothing_behind(w: World) -> None:
    """Between calls a venue that borrows has no quote but gifts, Aave and the pools may take nothing of it, and no pool
    may call back."""
    for venue in w.shorts:
        contract, lender = w.contracts[f"venue{venue}"], w.short(venue).lender
        spenders = [lender.aave.pool, *(pool.contract for pool in w.system.pools[w.short(venue).market])]
        for token in (lender.quote, lender.base):
            left = [w.view(token, "allowance", contract.address, spender.address) for spender in spenders]
            demand(not any(left), "i1_venues_leave_nothing_behind", f"venue {venue} allows {left}")
        assert isinstance(w.chain, RevmChain)
        with w.chain.acting_as(spenders[1]):
            calls_back = _tried(contract, "uniswapV3SwapCallback", 1, -1, b"", sender=spenders[1].address)
        demand(not calls_back, "i1_venues_leave_nothing_behind", f"a pool may call back at venue {venue}")


def i2_interest_is_the_sum_of_positions(w: World) -> None:
    """Open interest and claims of a market equal the sums over positions exactly, claims at 1e-27 quote: a trade
    changes both by the same integers, accrual multiplies open interest by the index's change."""
    for market in range(len(w.feeds)):
        gap = w.twin.perp_engine.disagreement(market)
        demand(
            gap == (0, 0, 0),
            "i2_interest_is_the_sum_of_positions",
            f"market {market}: long, short, claims off by {gap}",
        )


def i2_a_short_is_what_aave_says(w: World) -> None:
    """A venue that borrows is short what it owes less what it holds, and worth collateral and tokens less debt at the
    price, not less than nothing; debt that nothing secures is Aave's, and a paused reserve is marked down
    (docs/mechanism.md §8)."""
    for venue in w.shorts:
        twin = w.short(venue)
        s, one = twin.standing(), Fraction(twin.base_scale)
        owed = s.debt if s.collateral else 0
        exposure = (twin.base_units - owed) * twin.base_scale
        price = w.twin.oracle.last(twin.market, w.now).price
        worth = (s.collateral + twin.quote_units) * w.scale + (twin.base_units - owed) * one * price / WAD
        if (s.quote_word | s.base_word) >> 60 & 1:
            worth -= worth * Fraction(twin.terms.pause_markdown_bps, BPS)
        gap = max(worth, Fraction(0)) - twin.equity(price)
        if twin.exposure() != exposure or not 0 <= gap < 3:
            message = f"venue {venue} says {twin.exposure()} and {twin.equity(price)}; {s}"
            raise Broken("i2_a_short_is_what_aave_says", message)


def i2_inventory_is_the_sum_of_its_markets(w: World) -> None:
    """Sums and stressed loss equal those recomputed from each market's words, and a market's delta is what traders are
    short plus what venues were last seen to hold plus the desk's plus that of boards, whose are all other greeks. A
    share is a function of stored words, so taking it out and putting it back is exact; a board's exposure is a function
    of its totals and its point, and every change of it is told as the difference of two."""
    inventory, engine = w.inventory, w.twin.perp_engine
    sums, loss, active, optioned = Sums(), 0, 0, 0
    for i, market in enumerate(inventory.markets):
        share: Share = inventory._share(market, i)
        gg = sums.gg + share.g * share.g // WAD
        sums = Sums(sums.a + share.a, sums.b + share.b, sums.g + share.g, sums.p + share.p, gg)
        loss += share.loss
        active |= (market.delta != 0 or market.optioned) << i
        optioned |= market.optioned << i
        book = engine.book(i)
        delta = book.short - book.long + sum([venue.state.exposure for venue in w.manager.venues if venue.market == i])
        held = _optional(w, i)
        delta += held.exposure.delta
        greeks = market.gamma, market.vega, tuple(market.stress), market.optioned
        has_greeks = any((held.exposure.gamma, held.exposure.vega, *held.stress))
        expected = held.exposure.gamma, held.exposure.vega, held.stress, has_greeks
        demand(greeks == expected, "i2_inventory_is_the_sum_of_its_markets", f"market {i}: {greeks}, options {held}")
        if market.delta != delta:
            message = f"market {i}: delta {market.delta}, of traders, venues, desk and boards {delta}"
            raise Broken("i2_inventory_is_the_sum_of_its_markets", message)
    stored = inventory.book
    demand(
        (stored.sums, stored.loss, stored.active & active, stored.optioned) == (sums, loss, active, optioned),
        "i2_inventory_is_the_sum_of_its_markets",
        lambda: f"stored {stored}, recomputed {(sums, loss, active, optioned)}",
    )


def _optional(w: World, market: int) -> Held:
    """What the desk and the boards of a market together add to the inventory."""
    held = Held() if w.desk is None else w.desk.of(market)
    for key, book in w.book.books.items():
        if market_of(key) == market:
            x, y = held.exposure, w.book.exposure(key)
            total = Exposure(x.delta + y.delta, x.gamma + y.gamma, x.vega + y.vega)
            held = Held(total, tuple(a + b for a, b in zip(held.stress, book.stress, strict=True)))
    return held


def i2_inventory_knows_what_the_vault_owns(w: World) -> None:
    """`value` is what claims, marks and venues are worth at the frozen prices, up to a few wei of rounding per action:
    engines and HedgeManager report every change, re-marks move it by delta times the price change. Risk capital hangs
    on it."""
    inventory, engine = w.inventory, w.twin.perp_engine
    worth = 0
    for i, market in enumerate(inventory.markets):
        book = engine.book(i)
        worth += claims_wad(book.claims) + mul_floor(book.short - book.long, market.price)
        if w.desk is not None:
            worth += w.desk.of(i).gain(market.price)
        worth += sum(w.book.told(key, market.price) for key in w.book.books if market_of(key) == i)
    for venue in w.manager.venues:
        price = inventory.markets[venue.market].price
        worth += venue.state.equity + mul_floor(venue.state.exposure, price - venue.state.price)
    gap = inventory.book.value - worth
    # a venue's equity is not corrected by less than a MICRO; that much is forgotten when it sells everything
    slack = DUST * w.actions + MICRO * w.hedges
    demand(abs(gap) <= slack, "i2_inventory_knows_what_the_vault_owns", lambda: f"off by {gap} of {w.actions} actions")


def i4_zero_sum(w: World) -> None:
    """What traders have gained at mark is what the vault has lost, up to the roundings, which all favour the vault:
    claims are exact, every position is rounded down for its owner. With I1 this is: P&L of traders and LPs, fees and
    rewards sum to what came in minus what went out."""
    engine, now, prices = w.twin.perp_engine, w.now, w.prices()
    total = engine.book_value(prices, now)
    books = [accrue(engine.book(market), price, now) for market, price in enumerate(prices)]
    count = 0
    for (_, market), position in engine.positions.items():
        if position.size != 0:
            book = books[market]
            total += mul_floor(position.size, prices[market]) - position.cost
            total -= owed(position, book.index_long, book.index_short)
            count += 1
    slack = 2 * count + 2 * len(w.feeds)
    demand(-slack <= total <= 0, "i4_zero_sum", lambda: f"traders and vault together have {total} wei")


# ---- I3: the reserve


def i3_reserve_pays_rebates_and_releases_only(w: World) -> None:
    """R never goes below zero and is, to the wei, all charges but for what liquidated accounts could not pay, plus what
    LPs add to rebates, minus all rebates minus all releases: nothing else reads or writes it, and settle moves exactly
    what Inventory answered."""
    flows = w.flows
    reserve = w.twin.clearinghouse.reserve
    expected = flows["charges"] + flows["subsidies"] - flows["unpaid"] - flows["rebates"] - flows["releases"]
    demand(
        reserve == expected >= 0 <= flows["unpaid"],
        "i3_reserve_pays_rebates_and_releases_only",
        lambda: f"R = {reserve}, {dict(flows)} leave {expected}",
    )


def i3_rise_is_charged_whole_fall_at_most(w: World) -> None:
    """A trade that raises U pays exactly the rise; one that lowers it is paid at most the fall, and what LPs add; one
    that does neither, nothing."""
    for quote, boost in zip(w.quotes, w.inventory.boosts, strict=True):
        rise = quote.potential_after - quote.potential_before
        fair = quote.charge == rise and boost == 0 if rise >= 0 else rise <= quote.charge + boost <= 0 <= boost
        demand(fair, "i3_rise_is_charged_whole_fall_at_most", f"U rose by {rise}, charge {quote.charge}")


def i3_reserve_covers_its_share_of_the_potential(w: World) -> None:
    """R >= coverage * U, with the coverage of the block's start: a rise adds all of itself to R, a fall takes at most
    coverage times itself, a release at most the excess of R over U. Hence no order of trades can exhaust R."""
    book = w.inventory.book
    if book.capital == 0 or w.frozen:  # then there is none
        return
    value = potential(book.sums, book.loss * MICRO, book.capital * MICRO, w.inventory.params.weights)
    reserve = w.twin.clearinghouse.reserve
    demand(
        reserve * COVERAGE_UNIT >= book.coverage * value,
        "i3_reserve_covers_its_share_of_the_potential",
        lambda: f"R = {reserve}, U = {value}, coverage {book.coverage / COVERAGE_UNIT}",
    )


# ---- I5, I6: what if


def i5_splitting_never_helps(w: World, rng: Random) -> None:
    """In one block, at one mark, U depends on the exposures alone: the charges of the parts telescope to the charge of
    the whole while rebates only shrink, and half-spreads are linear and rounded up. So n parts, on any accounts, cost
    at least as much, but for a wei per part, and for what LPs pay while U is on its way down to where an auction wants
    it: a trade that leaves it higher than it was passes there only in parts. A half-spread exceeds that (I3)."""
    market = rng.randrange(len(w.feeds))
    size = _what_if_size(w, rng, market)
    cuts = sorted(rng.randrange(1, 1_000) for _ in range(rng.randint(1, 4)))
    bounds = [0, *(size * cut // 1_000 for cut in cuts), size]
    parts = [later - earlier for earlier, later in pairwise(bounds) if later != earlier]
    whole = _experiment(w)
    if (cost := _cost(whole, w.now, [(PROBES[0], market, size)])) is None:
        return
    parted = _experiment(w)
    split = _cost(parted, w.now, [(rng.choice(PROBES), market, part) for part in parts])
    if split is not None:
        demand(
            split + boosted(parted) >= cost + boosted(whole) - len(parts),
            "i5_splitting_never_helps",
            f"{size} of market {market} costs {cost}, in parts {parts} only {split}",
        )


def i5_splitting_options_never_helps(w: World, rng: Random) -> None:
    """The same for options: half-spreads are linear in what they are charged on, and a stress vector in parts is
    rounded down more often, which is more loss."""
    if w.desk is None:
        return
    market = rng.randrange(len(w.feeds))
    whole = _what_if_greeks(w, rng, market)
    bounds = [0, *sorted(rng.randrange(1, 1_000) for _ in range(rng.randint(1, 4))), 1_000]
    parts = [_between(whole, earlier, later) for earlier, later in pairwise(bounds) if later != earlier]
    at_once = _experiment(w)
    if (cost := _cost(at_once, w.now, [(PROBES[0], market, whole)], w.desk.fork())) is None:
        return
    parted = _experiment(w)
    split = _cost(parted, w.now, [(PROBES[0], market, part) for part in parts], w.desk.fork())
    if split is not None:
        name, fair = "i5_splitting_options_never_helps", cost + boosted(at_once) - boosted(parted) - len(parts)
        demand(split >= fair, name, lambda: f"{whole} costs {cost}, in parts at {bounds} only {split}")


def i6_no_round_trip_pays(w: World, rng: Random) -> None:
    """Trades of one block that end where they began leave the actor not richer, R not smaller and LPs not poorer: what
    the trips down are paid is at most what the trips up have paid in, half-spreads go to LPs."""
    twin, desk = _experiment(w), w.desk.fork() if w.desk is not None else None
    assert isinstance(twin.inventory, Inventory)
    twin.inventory.sync_all(w.now)
    if desk is not None and rng.random() < 0.3:
        market = rng.randrange(len(w.feeds))
        try:
            desk.adjust(twin, market, desk.of(market).revalued(lambda: rng.uniform(-1, 3)), w.now)
        except Reverted:
            return
    if desk is not None:  # what the desk has gained or lost before is settled
        settlements = [(PROBES[0], market, Change()) for market in range(len(w.feeds))]
        if _cost(twin, w.now, settlements, desk) is None:
            return
    before = _wealth(twin, w.now, desk)
    path: list[Leg] = []
    net: dict[tuple[str, int], int] = {}
    for _ in range(rng.randint(1, 5)):
        leg = rng.choice(PROBES), rng.randrange(len(w.feeds))
        if desk is not None and rng.random() < 0.5:
            path.append((*leg, _what_if_greeks(w, rng, leg[1])))
            continue
        size = _what_if_size(w, rng, leg[1])
        path.append((*leg, size))
        if rng.random() < 0.2:
            path.append((*leg, 0))
        net[leg] = net.get(leg, 0) + size
    back: list[Leg] = [(*leg, -size) for leg, size in net.items() if size != 0]
    back += [(who, i, _between(change, 0, -1_000)) for who, i, change in path if isinstance(change, Change)]
    rng.shuffle(back)
    path += back
    if _cost(twin, w.now, path, desk) is None:
        return
    after = _wealth(twin, w.now, desk)
    names = ("actor's cash", "reserve", "LPs' bid value")
    worse = [
        f"{name} {old} -> {new}"
        for name, old, new, good in zip(names, before, after, (new_is_less, new_is_more, new_is_more), strict=True)
        if not good(old, new, len(path))
    ]
    demand(not worse, "i6_no_round_trip_pays", f"{path}: {', '.join(worse)}")


def i6_no_rebate_rests_on_a_revaluation(w: World, rng: Random) -> None:
    """Once an exposure has changed in a block and options are valued anew all the same, U is another function of the
    exposures, and taking back what was done under the old one would be paid for a fall that nobody had been charged
    for. So nothing is paid any more, whatever the valuation says; at a block's start it is as harmless as a re-mark,
    and marks can still be taken."""
    if w.desk is None:
        return
    twin, desk = _experiment(w), w.desk.fork()
    assert isinstance(twin.inventory, Inventory)
    market = rng.randrange(len(w.feeds))
    if twin.oracle.peek(market, w.now).fresh and rng.random() < 0.5:
        size = _what_if_size(w, rng, market)
        path: list[Leg] = [(PROBES[0], market, size), (PROBES[0], market, -size)]
    else:
        change = _what_if_greeks(w, rng, market)
        path = [(PROBES[0], market, change), (PROBES[0], market, _between(change, 0, -1_000))]
    if _cost(twin, w.now, path[:1], desk) is None:
        return
    try:
        desk.adjust(twin, market, desk.of(market).revalued(lambda: rng.uniform(-1, 3)), w.now)
    except Reverted:
        return
    back = _cost(twin, w.now, path[1:], desk)
    demand(back is None or back >= 0, "i6_no_rebate_rests_on_a_revaluation", lambda: f"{path}: {back} for the way back")


def i8_more_never_costs_less(w: World, rng: Random) -> None:
    """Buying more never costs less in all, selling more never brings less: the linear tail of U bounds the marginal
    charge far below the price. The mark that U is taken at stands still within a block; should the price fall by four
    fifths in that block, the charge of a unit may exceed what it is worth, and only a trader's limit helps."""
    market = rng.randrange(len(w.feeds))
    size = _what_if_size(w, rng, market)
    price = w.twin.oracle.peek(market, w.now).price
    if _steepest_charge(w, market) > price / 4:  # the rest is for spreads, of which none exceeds a half
        return
    totals = []
    for part in (size * rng.randint(1, 999) // 1_000, size):
        cost = _cost(_experiment(w), w.now, [(PROBES[0], market, part)]) if part else 0
        if cost is None:
            return
        totals.append(part * price // 10**18 + cost)
    demand(totals[0] <= totals[1] if size > 0 else totals[0] >= totals[1], "i8_more_never_costs_less", (size, totals))


def _steepest_charge(w: World, market: int) -> float:
    """Most that one unit may be charged by U's definition, lambda kappa sigma sqrt(h) + omega (u_max - u*) of the mark
    that the inventory would price it at [quote/base, WAD]."""
    held, p = w.inventory.markets[market], w.inventory.params
    mark = w.twin.oracle.peek(market, w.now)
    frozen, sigma = max(held.price, mark.price), max(held.sigma, mark.sigma) / WAD
    knee = p.weights.aversion / WAD * p.weights.knee / WAD * sigma * (p.horizon / YEAR) ** 0.5
    return float(frozen * (knee + p.weights.omega / WAD * (p.weights.u_max - p.weights.u_star) / WAD))


def new_is_less(old: int, new: int, parts: int) -> bool:
    """No gain."""
    return new <= old


def new_is_more(old: int, new: int, parts: int) -> bool:
    """No loss but a few wei of rounding per part."""
    return new >= old - DUST * parts


def _what_if_size(w: World, rng: Random, market: int) -> int:
    """Anything from a wei to several times the vault's book, in either direction."""
    price = max(w.twin.oracle.peek(market, w.now).price, 1)
    scale = max(w.inventory.book.capital * MICRO * 10**18 // price, 10**15)
    size = int(scale * 10 ** rng.uniform(-4, 0.5))
    if w.inventory.markets[market].delta != 0 and rng.random() < 0.3:
        size = abs(w.inventory.markets[market].delta)
    return size * rng.choice((-1, 1))


def _what_if_greeks(w: World, rng: Random, market: int) -> Change:
    """An option of any size; sometimes one against what the vault holds."""
    price = max(w.twin.oracle.peek(market, w.now).price, WAD)
    size = int(max(w.inventory.book.capital, 10**9) * MICRO * 10 ** rng.uniform(-4, 0))
    sign = rng.choice((-1, 1))
    stress = tuple(sign * int(size * rng.uniform(-0.2, 1)) // STRESS_UNIT for _ in range(8))
    delta = rng.choice((-1, 0, 1)) * size * WAD // price
    if rng.random() < 0.3:
        delta = -w.inventory.markets[market].delta
    gamma = sign * (size * WAD // price) * WAD // price * rng.randint(0, 30)
    vega = rng.choice((sign, sign, -sign, 0)) * int(size * 10 ** rng.uniform(-1, 1))
    return Change(Exposure(delta, gamma, vega), True, stress, size, 0, rng.choice((0, 60, 3_600)))


def _between(change: Change, start: int, end: int) -> Change:
    """The part of a change from one thousandth of it to another; its opposite from 0 to -1,000."""

    def part(whole: int) -> int:
        return whole * end // 1_000 - whole * start // 1_000

    x = change.exposure
    return replace(
        change, exposure=Exposure(part(x.delta), part(x.gamma), part(x.vega)), notional=abs(part(change.notional)),
        stress=tuple(map(part, change.stress)),
    )  # fmt: skip


def _experiment(w: World) -> Twin:
    """A fork in which three strangers have all the margin they could want and nothing is capped."""
    twin = w.twin.fork()
    assert isinstance(twin.inventory, Witness)
    twin.inventory.forget()
    for market, config in list(twin.perp_engine.configs.items()):
        twin.perp_engine.configs[market] = _uncapped(config.params.fee_share_bps)
    for probe in PROBES:
        twin.clearinghouse.deposit(10**37 // w.scale, probe)
    return twin


@cache
def _uncapped(fee_share_bps: int) -> Config:
    return Config(MarketParams(BPS, 50, fee_share_bps, 0, 2**120, 2**120, 0), listed=True)


def boosted(twin: Twin) -> int:
    """What LPs have added to the rebates of an experiment [quote, WAD]."""
    assert isinstance(twin.inventory, Witness)
    return sum(twin.inventory.boosts)


def _cost(twin: Twin, now: int, path: Iterable[Leg], desk: Desk | None = None) -> int | None:
    """Spread and charge of all trades of a path, None if one is refused; a trade of size 0 only synchronises. Options
    are the desk's."""
    total = 0
    try:
        for account, market, size in path:
            if isinstance(size, Change):
                assert desk is not None
                quote = desk.trade(twin, market, size, now)
                total += quote.half_spread + quote.charge
                continue
            if size == 0:
                twin.perp_engine.sync(market, now)
                continue
            outcome = twin.perp_engine.trade(account, market, size, NO_LIMIT if size > 0 else 0, now, now)
            total += outcome.half_spread + outcome.charge
    except Reverted:
        return None
    return total


def _wealth(twin: Twin, now: int, desk: Desk | None) -> tuple[int, int, int]:
    """Cash of the probes and the desk, R, and the NAV at which LPs could leave."""
    assert twin.vault is not None
    owners = PROBES if desk is None else (*PROBES, desk.account)
    cash = sum(twin.clearinghouse.account(owner)[0] for owner in owners)
    return cash, twin.clearinghouse.reserve, twin.vault.valuation(now).bid


# ---- I8, I10: prices of entry and exit, churn


def i8_entry_is_dearer_than_exit(w: World) -> None:
    """Ask >= NAV >= bid: to enter costs spreads and the reserve about to be released, to leave costs spreads and the
    inventory's price that R does not cover, and neither is ever negative."""
    if w.frozen:
        return
    v = w.vault.valuation(w.now)
    demand(v.ask >= max(v.nav, 0) >= v.bid, "i8_entry_is_dearer_than_exit", v)


def i10_no_churn_pays(w: World, rng: Random) -> None:
    """Whoever trades with several accounts and hedges the vault himself within one round, until all positions are what
    they were, gains at most phi times what U is lower than when he began, and nothing if it is not: a rise of U is
    charged whole, a rebate never exceeds the fall, and hedges are paid for falls below the block's start only. So a
    keeper is paid for the risk that others have left, never for his own. Done by the contracts, and undone."""
    if not isinstance(w.chain, RevmChain) or rng.random() < 0.7:
        return
    with w.chain.undone():
        if rng.random() < 0.5:
            bring_venues_to_the_oracle(w)
        gang = [w.address(name) for name in rng.sample((*TRADERS, "keeper"), 3)]
        for venue in range(len(w.manager.venues)):  # what was given to venues before is not the gang's doing
            _tried(w.system.hedge_manager, "poke", venue, sender=gang[0])
        _tried(w.system.inventory, "sync_all", sender=gang[0])
        markets = range(len(w.feeds))
        held = {(who, i): w.system.perp_engine.call("position", who, i).size for who in gang for i in markets}
        before, start = _fortune(w, gang), w.system.inventory.call("state").potential
        moves, hedges = rng.randint(2, 7), 0
        for _ in range(moves):
            who, market = rng.choice(gang), rng.choice(markets)
            if rng.random() < 0.35:
                venue = rng.randrange(len(w.manager.venues))
                market = w.manager.venues[venue].market
                delta = w.system.inventory.call("market", market).delta
                size = -int(delta * 10 ** rng.uniform(-1.5, 0)) or rng.choice((-1, 1)) * 10**17
                hedges += _tried(
                    w.system.hedge_manager, "rebalance", venue, market, size, NO_LIMIT if size > 0 else 0, sender=who
                )
            else:
                size = _what_if_size(w, rng, market) // 10 or 1
                _tried(
                    w.system.perp_engine, "trade", market, size, NO_LIMIT if size > 0 else 0, w.chain.now, sender=who
                )
        for (who, market), size in held.items():
            back = size - w.system.perp_engine.call("position", who, market).size
            limit = NO_LIMIT if back > 0 else 0
            if back != 0 and not _tried(w.system.perp_engine, "trade", market, back, limit, w.chain.now, sender=who):
                return
        w.churns += hedges > 0
        gain, fall = _fortune(w, gang) - before, start - w.system.inventory.call("state").potential
        fair = budget(w.manager.rule.phi_bps, max(fall, 0)) + DUST * (moves + len(held))
        demand(gain <= fair, "i10_no_churn_pays", f"{gain} wei by {moves} moves, {hedges} hedges; U fell by {fall}")


def bring_venues_to_the_oracle(w: World) -> None:
    """Pools and doubles trade where the feed is, and have for as long as averages go back; every feed says so again."""
    for market, feed in enumerate(w.feeds):
        price = w.newest[market].answer * 10**10
        if feed.latest(w.now).ok:
            w.move_pools(market, price)
            for venue, double in w.doubles.items():
                if w.manager.venues[venue].market == market:
                    double.send("set_price", price, price)
    w.chain.warp(301)
    for market, round_ in enumerate(w.newest):
        w.system.aggregators[market].send("push", round_.answer, w.chain.now)


def _tried(contract: Contract, fn: str, *args: Any, sender: str) -> bool:
    """Whether a call went through."""
    try:
        contract.send(fn, *args, sender=sender)
    except ChainReverted:
        return False
    return True


def _fortune(w: World, gang: Iterable[str]) -> int:
    """What accounts are worth at the last marks [quote, wei]."""
    return sum(w.system.margin.call("health", who).equity for who in gang)


# ---- I12: powers


def i12_roles_equal_the_twin(w: World) -> None:
    """Who holds which flag, who is admin, who has been offered the office, who may act for whom: nothing but the
    functions of roles.vy and the owners themselves change it."""
    with w.clock.on("beyond"):
        for contract in w.contracts.values():
            table = w.roles.get(contract.artifact.name)
            if table is None:
                continue
            name = contract.artifact.name
            flags = w.storage.entries(contract, ("roles", "roles_of"), [(who,) for who in table.held])
            for (who, held), word in zip(table.held.items(), flags, strict=True):
                same(f"roles of {who} at {name}", word, held.value)
            same(f"admin of {name}", w.view(contract, "admin"), table.admin)
            same(f"pending admin of {name}", w.view(contract, "pending_admin"), table.pending_admin or ZERO_ADDRESS)
        pairs = list(product(ACTORS, repeat=2))
        keys = [(w.address(owner), w.address(other)) for owner, other in pairs]
        for where, variable in (("vault", "isOperator"), ("clearinghouse", "is_operator")):
            words = w.storage.entries(w.contracts[where], (variable,), keys)
            for (owner, other), allowed in zip(pairs, words, strict=True):
                same(f"{other} acts for {owner} at {where}", allowed, (where, owner, other) in w.operators)
        words = w.storage.entries(w.system.vault, ("erc20", "allowance"), keys)
        for (owner, other), allowance in zip(pairs, words, strict=True):
            same(f"allowance of {other} by {owner}", allowance, w.allowances[owner, other])


# What may go through in the middle of an operation: it touches nothing that the operation relies on. Allowances,
# operators and transfers of shares move no money and no price; a request does so only when its epoch is processed;
# a sync records what a sync before the operation would have recorded, as the operation's own syncs came first.
HARMLESS_INSIDE = {
    "Vault": ("approve", "permit", "setOperator", "transfer", "transferFrom", "requestRedeem"),
    "Clearinghouse": ("set_operator",),
    "PriceOracle": ("sync",),
    "Inventory": ("sync", "sync_all"),
    "OptionEngine": ("settle_accounts",),  # of nobody: payments are refused
    "CloseQueue": ("request_perp", "request_options", "cancel_perp", "cancel_options"),  # which move nothing
}
# Views that somebody might pay by: they refuse in the middle of an operation rather than tell half of it.
VALUING = {
    "Vault": (
        "totalAssets", "convertToShares", "convertToAssets", "previewDeposit", "previewMint", "valuation",
        "preview_epoch",
    ),
    "Margin": ("health",),
    "PerpEngine": ("quote",),
    "OptionEngine": ("quote",),
}  # fmt: skip


# Views without arguments that have no answer at times.
UNKNOWN = {
    ("Deleverager", "status()"): ("oracle: stale price", "deleverage: options not valued", "clearing: in progress"),
    ("GlobalSettlement", "pots()"): ("settlement: not final",),
}


def no_call_from_inside_goes_through(w: World) -> None:
    """A token or a venue that gets control in the middle of an operation can change nothing that the operation relies
    on, and sees no value between two states: every contract is locked, views too, and across contracts the
    in-progress flag stands."""
    if w.inside is None:
        return
    contract, signature = w.inside
    name = signature.partition("(")[0]
    # where nobody waits an epoch ends without a price, and what it would pay is nothing in any state
    fine = name in ("processEpoch", "preview_epoch") and w.vault.epochs.pool.pending == 0
    if artifact(contract).functions[name][0].is_view:
        fine |= name not in VALUING.get(contract, ())
    else:
        fine |= name in HARMLESS_INSIDE.get(contract, ())
    demand(fine, "no_call_from_inside_goes_through", f"{contract}.{signature} during {w.last}")


# ---- I7, I11: liquidity providers


def stayers(w: World) -> Stayers:
    """What those who hold shares have now."""
    v = w.valuation()
    return Stayers(v.bid + VIRTUAL_ASSETS, v.nav + VIRTUAL_ASSETS, v.supply + VIRTUAL_SHARES)


def owned(w: World) -> int:
    """All that LPs and the reserve own: LP cash, perp book, venues after haircuts, R [quote, WAD]."""
    ledger, prices = w.twin.clearinghouse, w.prices()
    return ledger.lp + ledger.reserve + w.twin.perp_engine.book_value(prices, w.now) + w.manager.equity(prices)


def i7_those_who_stay_never_lose(w: World) -> None:
    """The bid per share before an entry, an exit or a gift is at most the bid per share after it: entries pay spreads
    and the reserve they will share in, exits pay spreads and the whole rise of U they leave behind, roundings favour
    who stays. While spreads and U exceed NAV the bid is floored at zero and says nothing; then NAV per share must not
    fall."""
    if w.stayers is None:
        return
    before, after = w.stayers, stayers(w)
    old, new = (before.bid, after.bid) if before.bid > VIRTUAL_ASSETS else (before.nav, after.nav)
    demand(
        new * before.shares >= old * after.shares,
        "i7_those_who_stay_never_lose",
        lambda: f"NAV per share {old / before.shares:.18f} -> {new / after.shares:.18f}",
    )


def i10_hedge_costs_at_most_phi_of_its_fall(w: World) -> None:
    """A hedge, reward and gas included, takes at most phi times the fall of U out of LP cash, book, venues and R:
    the rule sets the dearest of three measures of cost, the reward and the gas against exactly that."""
    outcome = w.outcomes[-1].value if w.outcomes else None
    if w.owned is None or not isinstance(outcome, HedgeOutcome):
        return
    lost = w.owned - owned(w)
    allowed = budget(w.manager.rule.phi_bps, outcome.fall)
    demand(lost <= allowed + DUST, "i10_hedge_costs_at_most_phi_of_its_fall", f"{lost} lost, {outcome}")


def i11_epochs_conserve_shares(w: World) -> None:
    """Escrowed shares are the pool's, the pool covers what controllers have pending, and what was set aside covers
    what they may claim: fills are pro rata by running products that round down for each controller."""
    vault = w.vault
    epoch = vault.epoch()
    positions = [vault.position(name) for name in vault.epochs.records]
    facts = {
        "supply": vault.supply == sum(vault.balances.values()),
        "escrow": vault.balances.get(ESCROW, 0) == epoch.pending + epoch.incoming,
        "pending": epoch.pending >= sum(p.pending for p in positions),
        "incoming": epoch.incoming == sum(p.late for p in positions),
        "claims": w.twin.clearinghouse.claims >= sum(p.claimable_assets for p in positions),
    }
    demand(all(facts.values()), "i11_epochs_conserve_shares", [name for name, holds in facts.items() if not holds])


# ---- I13: the twin


def i13_ledger_and_books_equal_the_twin(w: World) -> None:
    """All that actions change in storage, but for roles and allowances, equals the twin's to the wei. Every word is
    read; compared is what belongs to nobody or to whom the action touched, and what has changed."""
    with w.clock.on("read"):
        changed = w.storage.refresh()
    with w.clock.on("compare"):
        for cell in w.storage.concerning(w.touched, changed):
            same(cell.name, cell.value, cell.twin())
        epochs = w.vault.epochs
        if w.last == "process_epoch":
            same("index", w.storage.index(epochs.pool.step), epochs.indices[epochs.pool.step])


def i13_prices_equal_the_twin(w: World) -> None:
    """NAV, bid, ask, supply and what redemptions could be paid equal the twin's to the wei."""
    with w.clock.on("compare"):
        same_view(w, "valuation", w.system.vault, "valuation", twin=w.valuation)


def i13_everything_equals_the_twin(w: World) -> None:
    """Views answer what the twin computes, of every bucket, book, account, position, controller, venue, mark and
    variance."""
    system, twin, now = w.system, w.twin, w.now
    with w.clock.on("compare"):
        same("buckets", w.view(system.clearinghouse, "buckets"), plain(twin.clearinghouse.buckets()))
        same("inventory", w.view(system.inventory, "book"), _book(w.inventory.book))
        same("frozen", w.view(system.inventory, "frozen"), w.inventory.frozen(now))
        same("horizon", w.view(system.inventory, "horizon"), w.inventory.params.horizon)
        for i, market in enumerate(w.inventory.markets):
            same(f"inventory market {i}", w.view(system.inventory, "market", i), plain(market))
            same(f"perp book {i}", w.view(system.perp_engine, "book", i), plain(twin.perp_engine.book(i)))
        same("supply", w.view(system.vault, "totalSupply"), w.vault.supply)
        same("epoch", w.view(system.vault, "epoch"), plain(w.vault.epoch()))
        for i in range(len(w.feeds)):
            same(f"mark {i}", w.view(system.oracle, "last", i), plain(twin.oracle.last(i, now)))
            same(f"peek {i}", w.view(system.oracle, "peek", i), plain(twin.oracle.peek(i, now)))
            same(f"variance {i}", w.view(system.oracle, "estimate", i), plain(twin.oracle.estimate(i)))
        for name in ACTORS:
            _same_account(w, name)
            account = w.address(name)
            told = partial(twin.margin.health, account, now)
            same_view(w, f"health of {name}", system.margin, "health", account, twin=told)
        for i, venue in enumerate(w.manager.venues):
            same(f"venue {i}", w.view(system.hedge_manager, "venue_state", i), plain(venue.state))
        prices = w.prices()
        same("venues' equity", system.hedge_manager.call("equity", prices), w.manager.equity(prices))
        book_value = twin.perp_engine.book_value(prices, now)
        same("perp book value", system.perp_engine.call("book_value", prices), book_value)
        for name in TRADERS:
            for i in range(len(w.feeds)):
                _same_quote(w, name, i)
        lp = w.address("lp1")
        same_view(w, "max deposit", system.vault, "maxDeposit", lp, twin=lambda: w.vault.max_deposit(now))
        same_view(w, "epoch preview", system.vault, "preview_epoch", twin=lambda: w.vault.preview_epoch(now))


def _same_account(w: World, name: str) -> None:
    account, address = w.key(name), w.address(name)
    same(f"cash of {name}", w.view(w.system.clearinghouse, "account", address), w.twin.clearinghouse.account(address))
    for i in range(len(w.feeds)):
        position = w.twin.perp_engine.position(address, i)
        same(f"position {i} of {name}", w.view(w.system.perp_engine, "position", address, i), plain(position))
    same(f"shares of {name}", w.view(w.system.vault, "balanceOf", address), w.vault.balances.get(account, 0))
    same(f"requests of {name}", w.view(w.system.vault, "position", address), plain(w.vault.position(account)))


def _same_quote(w: World, name: str, market: int) -> None:
    """`quote` of one unit against the position one holds answers or refuses as the twin's does."""
    account = w.address(name)
    size = -(10**18) if w.twin.perp_engine.position(account, market).size > 0 else 10**18
    same_view(
        w, f"quote to {name} in market {market}", w.system.perp_engine, "quote", account, market, size,
        twin=lambda: w.twin.perp_engine.quote(account, market, size, w.now),
    )  # fmt: skip


def same_view(w: World, what: str, contract: Contract, fn: str, *args: Any, twin: Callable[[], Any]) -> None:
    """A view answers as the twin does, or refuses as the twin does."""
    try:
        expected: Any = plain(twin())
    except Reverted as error:
        expected = str(error)
    try:
        seen: Any = w.view(contract, fn, *args)
    except ChainReverted as error:
        seen = error.reason
    same(what, seen, expected)


def same(what: str, seen: Any, expected: Any) -> None:
    if seen != expected:
        raise Broken("i13_state_equals_the_twin", f"{what}: contract {seen}, twin {expected}")


def _book(b: Book) -> tuple[Any, ...]:
    sums, *rest = plain(b)
    return (plain(sums), *rest)


def every_view_answers(w: World) -> None:
    """Looking is never refused: keepers, front ends and integrators stop where a getter or the Lens reverts, and no
    state is so bad that nobody may see it. Views with arguments may be asked nonsense, hence refuse with a reason; the
    Lens's of accounts may not. Once everything is frozen nothing has a price, and views that would say one refuse.
    """
    system = w.system
    feeds = [market.feed for market in system.markets]
    for contract in (*w.contracts.values(), *feeds, system.lens):
        if contract.artifact.name in our_contracts():
            for overloads in contract.artifact.functions.values():
                for view in overloads:
                    if view.is_view:
                        _answer(w, contract, view.signature, *(_ordinary(w, kind) for kind in types(view)))
    for actor in ACTORS:
        _answer(w, system.lens, "account", w.address(actor))
        _answer(w, system.lens, "lp", w.address(actor))


def _answer(w: World, contract: Contract, view: str, *arguments: Any) -> None:
    name = contract.artifact.name
    try:
        contract.call(view, *arguments)
    except ChainReverted as error:
        if arguments and name != "Lens" and REASON.fullmatch(error.reason):
            return
        if name == "AaveShortVenue" and any(w.short(venue).standing().account is None for venue in w.shorts):
            return  # Aave itself has no answer where a feed has no price
        if (w.frozen and error.reason == "clearing: in progress") or error.reason in UNKNOWN.get((name, view), ()):
            return
        raise Broken("every_view_answers", f"{name}.{view}: {error}") from error


def _ordinary(w: World, kind: Any) -> Any:
    """Something of an ABI type that is no nonsense: a trader, 1, a unit of base, no flags; of lists, one a market."""
    if kind.is_array:
        length = kind.arrlist[-1][0] if kind.arrlist[-1] else len(w.feeds)
        return [_ordinary(w, kind.item_type)] * length
    if isinstance(kind, TupleType):
        return tuple(_ordinary(w, each) for each in kind.components)
    if kind.base == "bytes":
        return bytes(int(kind.sub or 1))
    return {"address": w.actors["trader1"], "uint": 1, "int": 10**18, "bool": False}[kind.base]


def lens_shows_every_venue(w: World) -> None:
    """Whatever a venue has just been told to answer, and wherever its pools are. Asked for a route itself, for any
    size, a venue answers or says why not."""
    if w.last not in ("misbehave", "endow", "reprice", "crowd_pools", "arbitrage"):
        return
    _answer(w, w.system.lens, "venues")
    for market in w.system.markets:
        for venue in market.venues:
            for size in (10**18, -(10**18), 2**120):
                _answer(w, venue, "best_route", size)


def rounds_of_the_past_stay(w: World) -> None:
    """A feed finds its newest round by id, whatever the sequencer does, and nothing under the next id or one that no
    proxy has."""
    for market, newest in enumerate(w.newest):
        feed, upstream = w.system.markets[market].feed, w.feeds[market].upstream
        found = upstream if upstream is not None and upstream.round_id == newest.round_id else None
        same(
            f"round of feed {market}",
            feed.call("round_at", newest.round_id),
            plain(w.feeds[market].round(found, w.now)),
        )
        for other in (newest.round_id + 1, 2**80):
            same("a round that is not there", feed.call("round_at", other), plain(NO_ROUND))


# I1 to I7, on a state that has just been found to be the contracts'.
EVERY_STEP: tuple[Check, ...] = (
    no_call_from_inside_goes_through,
    i13_ledger_and_books_equal_the_twin,
    i1_tokens_cover_the_ledger,
    i2_interest_is_the_sum_of_positions,
    i2_inventory_is_the_sum_of_its_markets,
    i2_inventory_knows_what_the_vault_owns,
    i3_reserve_pays_rebates_and_releases_only,
    i3_rise_is_charged_whole_fall_at_most,
    i3_reserve_covers_its_share_of_the_potential,
    i4_zero_sum,
    i7_those_who_stay_never_lose,
)
BEYOND: tuple[Check, ...] = (
    i10_hedge_costs_at_most_phi_of_its_fall,
    i11_epochs_conserve_shares,
    i2_a_short_is_what_aave_says,
    lens_shows_every_venue,
)
THOROUGH: tuple[Check, ...] = (
    i13_everything_equals_the_twin,
    i12_roles_equal_the_twin,
    i8_entry_is_dearer_than_exit,
    i1_no_other_dust,
    i1_venues_leave_nothing_behind,
    rounds_of_the_past_stay,
)
EXPERIMENTS: tuple[Callable[[World, Random], None], ...] = (
    i5_splitting_never_helps,
    i5_splitting_options_never_helps,
    i6_no_round_trip_pays,
    i6_no_rebate_rests_on_a_revaluation,
)
EXPERIMENTS_BEYOND: tuple[Callable[[World, Random], None], ...] = (
    i8_more_never_costs_less,
    i10_no_churn_pays,
)
