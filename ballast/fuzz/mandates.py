"""Registered hedgers, and what the hedge costs: mandates granted, used and revoked by whoever may and may not, the
carry measured at any time."""

from __future__ import annotations

from random import Random

from ballast.fuzz.actions import Step, action
from ballast.fuzz.world import NOBODY, Broken, World, plain
from ballast.model.exact.fixed import MAX_CARRY, MICRO, WAD, YEAR
from ballast.model.exact.fixed import require as demand
from ballast.model.exact.mandates import Mandates
from ballast.model.exact.perps import NO_LIMIT
from ballast.model.exact.system import System as Twin
from ballast.model.roles import NOT_ALLOWED, Role

OF_MANDATES = {"grant_mandate", "hedge_by_mandate", "revoke_mandate"}
OF_CARRY = {"measure_carry"}
MAX_SHARE = 5_000  # [bps]


def _mandates(twin: Twin) -> Mandates:
    assert twin.mandates is not None
    return twin.mandates


@action("{who} grants {agent} a mandate: venues {venues}, {size} micro-quote, {seconds} s, {share_bps} bps")
def grant_mandate(w: World, who: str, agent: str, venues: int, size: int, seconds: int, share_bps: int) -> None:
    account, expiry = w.address(agent), max(w.now + seconds, 0)
    named = None if agent == NOBODY else account
    w.do(
        w.system.mandates, "grant", account, venues, size, expiry, share_bps,
        sender=who, twin=lambda t: _mandates(t).grant(named, venues, size, expiry, share_bps, w.now),
    )  # fmt: skip


@action("{who} hedges {size:base} {market:market} at venue {venue} by mandate {mandate}")
def hedge_by_mandate(
    w: World, who: str, mandate: int, venue: int, market: int, size: int, limit: int | None = None
) -> None:
    agent, worst = w.address(who), (NO_LIMIT if size > 0 else 0) if limit is None else limit
    before = _mandates(w.twin).mandate(mandate)
    outcome = w.do(
        w.system.mandates, "hedge", mandate, venue, market, size, worst,
        sender=who, twin=lambda t: _mandates(t).hedge(agent, mandate, venue, market, size, worst, w.now),
    )  # fmt: skip
    if outcome.ok:
        filled, price = abs(outcome.value.filled), w.twin.oracle.last(w.manager.venues[venue].market, w.now).price
        after = _mandates(w.twin).mandate(mandate)
        used = w.mandated[mandate] = w.mandated.get(mandate, 0) + filled * price
        facts = {
            "agent": agent == before.agent,
            "in time": w.now < before.expiry,
            "venue": before.venues >> venue & 1 == 1,
            "size": used <= before.size * WAD * MICRO and after.volume <= before.size,
            "volume": 0 <= after.volume * WAD * MICRO - used <= after.hedges * WAD * MICRO,
        }
        if not all(facts.values()):
            raise Broken("i12_a_mandate_is_no_more_than_granted", f"{facts}: {before}, then {after}")


@action("{who} revokes mandate {mandate}")
def revoke_mandate(w: World, who: str, mandate: int) -> None:
    """The agent may, too."""

    def revoke(t: Twin) -> None:
        mandates, sender = _mandates(t), w.address(who)
        may = w.roles["Mandates"].may(sender, Role.GOVERNOR | Role.GUARDIAN)
        demand(sender == mandates.mandate(mandate).agent or may, NOT_ALLOWED)
        mandates.revoke(mandate, w.now)

    if w.do(w.system.mandates, "revoke", mandate, sender=who, twin=revoke).ok and (
        _mandates(w.twin).mandate(mandate).expiry > w.now
    ):
        raise Broken("i12_a_mandate_ends_when_revoked", f"mandate {mandate} goes on")


@action("{who} has the carry of {market:market} measured")
def measure_carry(w: World, who: str, market: int) -> None:
    def measure(t: Twin) -> int:
        assert t.carry is not None
        return t.carry.measure(market, w.now)

    book, known = w.twin.perp_engine.book(market), w.twin.carry.rates.get(market) if w.twin.carry is not None else None
    outcome = w.do(w.system.carry, "measure", market, sender=who, twin=measure)
    if not outcome.ok:
        return
    if abs(outcome.value) > MAX_CARRY:
        raise Broken("i4_carry_is_bounded", f"{outcome.value / WAD} a year")
    first = known is None or known.rate == 0
    if first and outcome.value != 0 and (outcome.value > 0) != (book.short > book.long):
        message = f"{outcome.value / WAD} a year while {book.long} are long, {book.short} short"
        raise Broken("i4_carry_is_paid_by_who_is_hedged", message)


# ---- what must hold


def i13_mandates_equal_the_twin(w: World) -> None:
    """Terms and counters of every mandate there is, and of one that there is not."""
    contract, twin = w.system.mandates, _mandates(w.twin)
    _same("mandates", w.view(contract, "mandate_count"), len(twin.granted))
    for mandate in range(len(twin.granted) + 1):
        agent, *terms = plain(twin.mandate(mandate))
        _same(f"mandate {mandate}", w.view(contract, "mandate", mandate), (agent or w.address(NOBODY), *terms))


def i13_carry_equals_the_twin(w: World) -> None:
    """Every venue's last reading and every market's rate, at Carry and in PerpEngine."""
    twin = w.twin.carry
    assert twin is not None
    for venue in range(len(w.manager.venues)):
        reading = twin.readings.get(venue)
        _same(f"reading {venue}", w.view(w.system.carry, "readings", venue), plain(reading) if reading else (0, 0, 0))
    for market in range(len(w.feeds)):
        rate = twin.rates.get(market)
        _same(f"carry {market}", w.view(w.system.carry, "rates", market), plain(rate) if rate else (0, 0))


def _same(what: str, seen: object, expected: object) -> None:
    if seen != expected:
        raise Broken("i13_state_equals_the_twin", f"{what}: contract {seen}, twin {expected}")


# ---- what to try


def granting(w: World, rng: Random) -> list[Step]:
    """By the governor, mostly, and for terms that are mostly within bounds."""
    every = 2 ** len(w.manager.venues) - 1
    venues = rng.choice((every, every, every, rng.randrange(every + 1), 2**9))
    share = rng.choice((0, 1_000, 1_500, MAX_SHARE, MAX_SHARE + 1))
    sizes = [int(10 ** rng.uniform(2, 7)) * 10**6 for _ in range(6)]
    size = rng.choice((0, 2**64, *sizes))
    seconds = rng.choice((3_600, 86_400, YEAR, YEAR, YEAR, YEAR, YEAR + 1, 0))
    return [["grant_mandate", {
        "who": rng.choice(("governor",) * 8 + ("guardian", "stranger")),
        "agent": rng.choice(("keeper", "keeper", "keeper", "stranger", "trader1", NOBODY)),
        "venues": venues, "size": size, "seconds": seconds, "share_bps": share,
    }]]  # fmt: skip


def revoking(w: World, rng: Random) -> list[Step]:
    """One that there is, or the next."""
    mandate = rng.randrange(len(_mandates(w.twin).granted) + 1)
    who = rng.choice(("guardian", "governor", "keeper", "stranger", "trader1"))
    return [["revoke_mandate", {"who": who, "mandate": mandate}]]


def hedging(w: World, rng: Random, venue: int, size: int) -> Step:
    """By its agent, mostly."""
    granted = _mandates(w.twin).granted
    mandate = rng.randrange(len(granted) + 1) if rng.random() < 0.1 else max(len(granted) - 1, 0)
    agent = _mandates(w.twin).mandate(mandate).agent
    who = next((name for name, address in w.actors.items() if address == agent), "keeper")
    if rng.random() < 0.1:
        who = "stranger"
    market = w.manager.venues[venue].market
    return ["hedge_by_mandate", {"who": who, "mandate": mandate, "venue": venue, "market": market, "size": size}]
