"""The rebate auction: opened, closed, taken, with any parameters, ended by the guardian."""

from __future__ import annotations

from dataclasses import astuple, replace
from random import Random

from ballast.fuzz.actions import Step, action
from ballast.fuzz.world import Broken, World
from ballast.model.exact.fixed import BPS, MICRO
from ballast.model.exact.rebate_auction import BAND_UNIT, DAY, MAX_RATE_BPS, Params, RebateAuction
from ballast.model.exact.system import System as Twin


def _auction(twin: Twin) -> RebateAuction:
    assert twin.auction is not None
    return twin.auction


@action("{who} opens an auction")
def open_auction(w: World, who: str) -> None:
    w.do(w.system.auction, "open", sender=who, twin=lambda t: _auction(t).open(w.now))


@action("{who} closes the auction")
def close_auction(w: World, who: str) -> None:
    w.do(w.system.auction, "close", sender=who, twin=lambda t: _auction(t).close(w.now))


@action("{who} sets the auction: band {band}e-9, rate {rate} bps, ramp {ramp} s, budget {budget} micro-quote a day")
def set_auction(w: World, who: str, band: int, rate: int, ramp: int, budget: int) -> None:
    params = Params(band, rate, ramp, budget)
    w.do(w.system.auction, "set_params", astuple(params), sender=who, twin=lambda t: _auction(t).set_params(params))


@action("{who} has the auction pay nothing any more")
def disable_auction(w: World, who: str) -> None:
    w.do(w.system.auction, "disable", sender=who, twin=lambda t: _auction(t).disable())


# ---- what must hold


def i3_boosts_are_within_their_bounds(w: World) -> None:
    """What LPs paid for the falls of U of an action: nothing unless an auction has been open for more than a day, at
    most the largest rate times the fall, and no more than U was above the line; in any 24 hours at most twice the
    largest budget there was, what is left of one and what comes back in a day."""
    auction = _auction(w.twin)
    for quote, boost in zip(w.quotes, w.inventory.boosts, strict=True):
        fall = quote.potential_before - quote.potential_after
        if boost == 0:
            continue
        line = auction.params.band * w.inventory.book.capital * MICRO // BAND_UNIT
        facts = {
            "open": auction.is_open and w.opened_at is not None and w.now > w.opened_at + DAY,
            "rate": 0 < boost <= fall * MAX_RATE_BPS // BPS,
            "spread": boost <= quote.half_spread,
            "line": boost <= max(quote.potential_before - line, 0),
        }
        if not all(facts.values()):
            raise Broken("i3_boosts_are_within_their_bounds", f"{facts}: {boost} for a fall by {fall}")
        w.boosted.append((w.now, boost))
    if not w.boosted:
        return
    w.boosted = [(at, boost) for at, boost in w.boosted if at > w.now - DAY]
    paid = sum(boost for _, boost in w.boosted)
    if paid > 2 * w.largest_budget * MICRO:
        raise Broken("i3_boosts_are_within_their_bounds", f"{paid} in a day, with a budget of {w.largest_budget}")


def remember_the_auction(w: World) -> None:
    """When it was opened, and the largest budget there has been: what the check of boosts needs."""
    auction = _auction(w.twin)
    w.largest_budget = max(w.largest_budget, auction.params.budget)
    if not auction.is_open:
        w.opened_at = None
    elif w.opened_at is None or w.last == "open_auction":
        w.opened_at = w.now if any(outcome.ok for outcome in w.outcomes) else w.opened_at


# ---- what to try


def auctioning(w: World, rng: Random) -> list[Step]:
    """Opened whenever there is risk, with a line that is low enough; then a day passes, and some of the next."""
    who, kind = rng.choice(("keeper", "stranger")), rng.random()
    if kind < 0.2:
        return [["close_auction", {"who": who}]]
    if kind < 0.25:
        return [["disable_auction", {"who": rng.choice(("guardian", "stranger"))}]]
    params = _auction(w.twin).params
    steps: list[Step] = []
    if params.max_rate_bps == 0 or params.band > 10**4 or rng.random() < 0.2:
        p = Params(rng.choice((1, 10, 10**4)), rng.choice((6_000, 5_000, 100)), 3_600, rng.choice((10**9, 10**11)))
        if rng.random() < 0.1:
            p = replace(p, **{rng.choice(("band", "max_rate_bps", "ramp", "budget")): rng.choice((0, 10**12))})
        steps = [["set_auction", {
            "who": "governor", "band": p.band, "rate": p.max_rate_bps % 2**32, "ramp": p.ramp, "budget": p.budget,
        }]]  # fmt: skip
    steps.append(["open_auction", {"who": who}])
    if rng.random() < 0.8:
        steps.append(["warp", {"seconds": rng.choice((DAY - 1, DAY + 60, DAY + 1_800, DAY + 3_600, 2 * DAY))}])
        steps += [["push", {"market": i, "answer": max(each.answer, 1)}] for i, each in enumerate(w.newest)]
    return steps
