"""Global settlement: the trigger, what everybody owns then, and payments until nothing is left.

What accounts own is computed when the system is frozen, from definitions in fractions and floats. Whatever happens
afterwards, and in whatever order, each of them ends with that, or with its part where there is too little.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from random import Random
from typing import Any

from ballast.chain import Reverted as ChainReverted
from ballast.fuzz.actions import (
    Step,
    action,
    approve_shares,
    payable,
    recall,
    redeem,
    spend,
    warp,
    withdraw_margin,
    withdrawable,
)
from ballast.fuzz.closes import HOUR, SILENCES, requests, silence
from ballast.fuzz.invariants import same, same_view
from ballast.fuzz.liquidations import jump, ruinous, with_positions
from ballast.fuzz.option_checks import black
from ballast.fuzz.world import ACTORS, Broken, World, plain
from ballast.model.exact.fixed import MARKETS, OPTION_BIT, WAD, Reverted
from ballast.model.exact.global_settlement import NO_CLAIM, OUTAGE, PATIENCE
from ballast.model.exact.option_book import OptionLeg, board_of
from ballast.model.exact.system import System as Twin

SETTLEMENT = "global_settlement"
FLOATS = 1e-9  # relative, of what options are worth in floats
Task = Callable[[], None]
OF_SETTLEMENT = ("trigger", "crystallise", "finalise", "claim_profits", "give_shares", "pay_request", "wind_up")
DUST = 64  # [wei] what the roundings of one account's positions add up to


@dataclass(frozen=True, slots=True)
class Due:
    """What one account owned when the system was frozen [quote, wei]."""

    cash: int
    worth: Fraction  # of its positions
    slack: int


def open_worth(w: World, twin: Twin, account: str) -> Due:
    """By the definition: perpetuals at their mark less cost and accruals; options at what they pay if they are over, at
    their Black-76 price on the smile of their board otherwise."""
    cash, mask = twin.clearinghouse.account(account)
    worth, slack = Fraction(0), DUST
    for leg in twin.perp_engine.legs(account, mask & MARKETS, w.now):
        worth += Fraction(leg.size * twin.oracle.last(leg.market, w.now).price, WAD) - leg.cost - leg.owed
    assert twin.option_book is not None
    for option in twin.option_book.legs(account, w.now) if mask >> OPTION_BIT else ():
        price = twin.oracle.last(option.market, w.now).price
        worth += Fraction(option.size, WAD) * Fraction(_unit(w, option, price))
        slack += int(FLOATS * abs(option.size) * max(price, option.strike) / WAD)
    return Due(cash, worth, slack)


def _unit(w: World, option: OptionLeg, price: int) -> Fraction | float:
    """Of one option [quote per unit of base, WAD]."""
    over = option.settlement or (price if option.expiry <= w.now else 0)
    if over:
        return Fraction(max(option.strike - over if option.is_put else over - option.strike, 0))
    smile = w.book.smiles[board_of(option.series)]
    call, put, _ = black(price / WAD, option.strike / WAD, smile, option.expiry - w.now, option.expiry)
    return (put if option.is_put else call) * WAD


# ---- the trigger, and what follows


@action("{who} triggers global settlement")
def trigger(w: World, who: str) -> None:
    """Refused unless LPs own less than nothing, or a market has had no price for a day."""
    twin = w.twin.fork()
    for market in range(len(w.feeds)):
        twin.oracle.sync(market, w.now)
    due = {owner: open_worth(w, twin, owner) for owner, state in twin.clearinghouse.accounts.items() if state.mask}
    silent = any(twin.oracle.outage(market, w.now) >= OUTAGE for market in range(len(w.feeds)))
    ruined = not w.frozen and w.vault.valuation(w.now).nav < 0
    reserve = w.twin.clearinghouse.reserve
    outcome = w.do(
        w.system.global_settlement, "trigger", sender=who, twin=lambda t: _settlement(t).trigger(w.now)
    )  # fmt: skip
    if outcome.ok:
        w.due = due
        w.flows["releases"] += reserve
        if not silent and not ruined:
            raise Broken("i12_only_ruin_and_silence_end_everything", "LPs can pay, and prices are there")


@action("{who} has {accounts} crystallised")
def crystallise(w: World, who: str, accounts: list[str]) -> None:
    """Cash and profit of an account are then what it owned, or nothing if that was less."""
    owners = [w.address(name) for name in accounts]
    outcome = w.do(
        w.system.global_settlement, "crystallise", owners,
        sender=who, twin=lambda t: _settlement(t).crystallise(owners), touches=_actors(w, accounts),
    )  # fmt: skip
    if not outcome.ok or w.settlement.is_final:
        return
    for owner in owners:
        if (due := w.due.get(owner)) is not None:
            cash, mask = w.twin.clearinghouse.account(owner)
            gets, owned = cash + w.settlement.profit_of[owner].amount, max(due.cash + due.worth, Fraction(0))
            if mask or cash < 0 or abs(gets - owned) > due.slack:
                raise Broken("i4_everybody_is_owed_what_he_owned", f"{owner}: {gets}, mask {mask}, owned {due}")


@action("{who} finalises the settlement")
def finalise(w: World, who: str) -> None:
    w.do(w.system.global_settlement, "finalise", sender=who, twin=lambda t: _settlement(t).finalise(w.now))


@action("{who} has the profits of {accounts} paid")
def claim_profits(w: World, who: str, accounts: list[str]) -> None:
    owners = [w.address(name) for name in accounts]
    w.do(
        w.system.global_settlement, "claim", owners,
        sender=who, twin=lambda t: _settlement(t).claim(owners), touches=_actors(w, accounts),
    )  # fmt: skip


@action("{who} gives {shares:wad} shares in")
def give_shares(w: World, who: str, shares: int) -> None:
    """For LP cash, at the end; of the caller, who approved it."""
    owner = w.address(who)
    allowed = w.allowances[who, SETTLEMENT] >= shares

    def give(t: Twin) -> int:
        _settlement(t).pots()
        if not allowed:
            raise Reverted("erc20: insufficient allowance")
        return int(_settlement(t).redeem(shares, owner))

    if w.do(w.system.global_settlement, "redeem", shares, owner, sender=who, twin=give).ok and shares:
        spend(w, who, SETTLEMENT, shares)


@action("{who} has shares of {controller} paid that wait in the vault's queue")
def pay_request(w: World, who: str, controller: str) -> None:
    w.do(
        w.system.global_settlement, "pay_request", w.address(controller),
        sender=who, twin=lambda t: _settlement(t).pay_request(w.key(controller)),
    )  # fmt: skip


def i13_settlement_equals_the_twin(w: World) -> None:
    """What was fixed, what is left to count, what everybody may claim and has been paid."""
    contract, twin = w.system.global_settlement, w.settlement
    for fn in ("triggered_at", "is_final", "profits"):
        same(fn, w.view(contract, fn), getattr(twin, fn))
    for fn in ("remaining", "pots"):
        same_view(w, fn, contract, fn, twin=getattr(twin, fn))
    for market, terms in enumerate(twin.terms):
        same(f"terms of market {market}", w.view(contract, "terms", market), plain(terms))
    for name in ACTORS:
        who, key = w.address(name), w.key(name)
        profit, shares = twin.profit_of.get(who, NO_CLAIM), twin.shares_of.get(who, NO_CLAIM)
        same(f"profit of {name}", w.view(contract, "profit_of", who), plain(profit))
        same(f"shares given in by {name}", w.view(contract, "shares_of", who), plain(shares))
        same(f"paid to {name} for requests", w.view(contract, "paid_request", who), twin.paid_request.get(key, 0))
    ledger = w.twin.clearinghouse
    same_view(w, "cash ratio", w.system.clearinghouse, "cash_ratio", twin=ledger.cash_ratio)
    for view in ("totalAssets", "valuation") if w.frozen else ():  # whoever is asked for a price refuses
        try:
            w.system.vault.call(view)
        except ChainReverted:
            continue
        raise Broken("i14_nothing_has_a_price_at_the_end", view)


def _actors(w: World, names: list[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name in w.actors)


def _settlement(twin: Twin) -> Any:
    return twin.global_settlement


# ---- everybody is paid


@action("everybody is paid out, in order {seed}")
def wind_up(w: World, seed: int) -> None:
    """Once the system is frozen: all that can be recalled is, everything is crystallised, finalised, claimed, given in
    and withdrawn, each in a random order, and nothing is left but what belongs to contracts that cannot ask for it."""
    if not w.frozen:
        return
    w.meddling = None  # which would be with the first of many calls
    rng = Random(seed)
    if not w.settlement.is_final:
        _finalise(w, rng)
    owners = [name for name in ACTORS if w.settlement.profit_of.get(w.address(name), NO_CLAIM).amount]
    tasks: list[Task] = [partial(claim_profits, w, "keeper", [name]) for name in owners]
    for name in ACTORS:
        tasks += [partial(task, w, name) for task in (_give_all, _claim_at_the_vault, _withdraw_all)]
        tasks.append(partial(pay_request, w, "keeper", name))
    rng.shuffle(tasks)
    tasks += [partial(_withdraw_all, w, name) for name in ACTORS]  # what was claimed after its owner had withdrawn
    for task in tasks:
        _must(w, task)
    _check_nothing_is_left(w)


def _finalise(w: World, rng: Random) -> None:
    venues = list(range(len(w.manager.venues)))
    rng.shuffle(venues)
    for venue in venues:
        recall(w, "keeper", venue, 2**255 // w.scale)  # may be refused: prices are off, or there is nothing
    left = with_positions(w)
    rng.shuffle(left)
    while left:
        size = rng.randint(1, len(left))
        batch, left = left[:size], left[size:]
        _must(w, partial(crystallise, w, "stranger", batch))
    finalise(w, "keeper")
    if not w.outcomes[-1].ok:
        warp(w, PATIENCE)
        _must(w, partial(finalise, w, "keeper"))


def _must(w: World, task: Task) -> None:
    """Nothing stops a payment at the end."""
    done = len(w.outcomes)
    task()
    for outcome in w.outcomes[done:]:
        if not outcome.ok:
            raise Broken("i14_everybody_is_paid_at_the_end", f"{outcome.reason!r}")


def _give_all(w: World, name: str) -> None:
    shares = w.vault.balances.get(w.key(name), 0)
    approve_shares(w, name, SETTLEMENT, shares)
    give_shares(w, name, shares)


def _claim_at_the_vault(w: World, name: str) -> None:
    if shares := w.vault.max_redeem(w.key(name)):
        redeem(w, name, shares)


def _withdraw_all(w: World, name: str) -> None:
    if units := withdrawable(w, w.address(name)) // w.scale:
        withdraw_margin(w, name, units)


def _check_nothing_is_left(w: World) -> None:
    """But less than a token unit for each payment, and what contracts own that nobody can speak for."""
    ledger, people = w.twin.clearinghouse, {w.key(name) for name in ACTORS}
    mute = {"cash": 0, "claims": 0, "shares": 0}
    for owner, state in ledger.accounts.items():
        if owner not in people:
            claim = w.settlement.profit_of.get(owner, NO_CLAIM)
            mute["cash"] += payable(w, state.cash) + claim.amount - claim.paid
    positions = {name: w.vault.position(name) for name in w.vault.epochs.records if name not in people}
    mute["claims"] = sum(position.claimable_assets for position in positions.values())
    given = sum(claim.amount for claim in w.settlement.shares_of.values())
    waiting = [w.vault.position(w.key(name)) for name in ACTORS]
    paid_for = given + sum(each.pending + each.late for each in waiting)
    pot = w.settlement.pots()[1]
    mute["shares"] = pot - pot * paid_for // max(w.settlement.supply, 1)
    left, payments = ledger.total_units * w.scale, 5 * len(ACTORS)
    allowed = sum(mute.values()) + payments * (w.scale + 4)
    if left > allowed:
        raise Broken("i1_nothing_is_left_at_the_end", f"{left} left, contracts own {mute}, {ledger.buckets()}")


# ---- what to try


def prelude(w: World, rng: Random) -> list[Step]:
    """Ruin or silence; then the trigger, twice."""
    if w.frozen:
        return []
    steps = _ruin(w, rng) if rng.random() < 0.5 else _silence(w, rng)
    return [*steps, ["trigger", {"who": "stranger"}], ["trigger", {"who": "keeper"}]]


def _ruin(w: World, rng: Random) -> list[Step]:
    """A price at which LPs have lost more than they have; somebody buys before, if there is none."""
    for market in rng.sample(range(len(w.feeds)), len(w.feeds)):
        if steps := ruinous(w, market, rng.choice((1.5, 3, 8))):
            return steps
    notional = min(max(w.vault.valuation(w.now).nav, 0) // 8, 10**6 * WAD)
    return [*_bought(w, market, notional), *jump(w, market, 25)]


def _bought(w: World, market: int, notional: int) -> list[Step]:
    """Somebody is long of about so much [quote, WAD]."""
    answer = max(w.newest[market].answer, 1)
    size = max(notional * 10**8 // answer, w.twin.perp_engine.config(market).params.min_size)
    margin: Step = ["deposit_margin", {"who": "trader1", "units": (notional // w.scale + w.unit), "to": "trader1"}]
    steps: list[Step] = [["warp", {"seconds": 60}], ["push", {"market": market, "answer": answer}], margin]
    return [*steps, ["trade", {"who": "trader1", "market": market, "size": size}]]


def _silence(w: World, rng: Random) -> list[Step]:
    """A day without a price, or longer, and requests that nobody will carry out."""
    how, markets = rng.choice((*SILENCES, "halt", "silence")), range(len(w.feeds))
    steps = [] if with_positions(w) else _bought(w, 0, 1_000 * WAD)
    steps += [each for market in markets for each in silence(market, how)]
    steps.append(["warp", {"seconds": 2 * HOUR}])
    asked = requests(w, rng, list(markets))
    return [*steps, *asked, ["warp", {"seconds": rng.choice((OUTAGE, OUTAGE + HOUR, 10 * OUTAGE))}]]


def payments(w: World, rng: Random) -> list[Step]:
    """One of the steps of the end, in order or not; silence, if ruin did not bring it."""
    if not w.frozen:
        return [*_silence(w, rng), ["trigger", {"who": "stranger"}]]
    who, names = rng.choice(ACTORS), rng.sample(ACTORS, rng.randint(1, 4))
    shares = w.vault.balances.get(w.key(who), 0)
    part = rng.choice((shares, shares // 2, shares + 1, 0))
    every: tuple[list[Step], ...] = (
        [["crystallise", {"who": who, "accounts": names}]],
        [["crystallise", {"who": who, "accounts": with_positions(w)[:1] * 2}]],
        [["finalise", {"who": who}]],
        [["claim_profits", {"who": who, "accounts": names}]],
        [["approve_shares", {"who": who, "spender": SETTLEMENT, "shares": part}],
         ["give_shares", {"who": who, "shares": part}]],
        [["pay_request", {"who": "keeper", "controller": who}]],
        [["withdraw_margin", {"who": who, "units": withdrawable(w, w.address(who)) // w.scale}]],
        [["request", {"who": who, "shares": part, "to": who}]],
        [["trigger", {"who": who}]],
    )  # fmt: skip
    return rng.choice(every)
