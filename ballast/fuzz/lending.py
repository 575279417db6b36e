"""What happens at a lender: others borrow, repay, lend and withdraw until it is dry, rates, prices and terms change,
reserves are paused and frozen, gifts arrive in a venue's name, and strangers liquidate a venue that is too weak.

Everything is done to the real Aave; what the venues make of it is the twin's to say (``shorts.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from ballast.chain import Contract, Reverted
from ballast.chain.aave import MAX_UINT, RAY, VARIABLE, Aave
from ballast.fuzz.actions import Step, action
from ballast.fuzz.world import WHALE, Broken, World
from ballast.model.exact.fixed import WAD
from ballast.model.exact.system import System as Twin

PERCENT = RAY // 100
ASSETS = ("quote", "0", "1")  # quote, and the markets' bases


def asset(w: World, name: str) -> Contract:
    """By a name of `ASSETS`."""
    base = w.system.quote if name == "quote" else w.system.markets[int(name)].base
    assert base is not None
    return base


def _at(w: World, act: Callable[[Aave], object]) -> bool:
    """Whether Aave does it."""
    if w.aave is None:
        return False
    try:
        act(w.aave)
    except Reverted:
        return False
    finally:
        w.forget_aave()
    return True


# ---- what others do there


@action("somebody lends {units} units of {of} to Aave")
def lend(w: World, of: str, units: int) -> None:
    _at(w, lambda aave: aave.supply(asset(w, of), units, owner=WHALE))


@action("somebody takes {units} units of {of} back from Aave")
def take_back(w: World, of: str, units: int) -> None:
    """At most what there is."""
    _at(w, lambda aave: aave.withdraw(asset(w, of), units, owner=WHALE))


@action("somebody borrows {units} units of {of} from Aave")
def borrow(w: World, of: str, units: int) -> None:
    """At most what Aave has: that leaves nothing for anybody else."""

    def act(aave: Aave) -> None:
        most = int(asset(w, of).call("balanceOf", aave.reserve(asset(w, of)).a_token))
        aave.borrow(asset(w, of), min(units, most), owner=WHALE)

    _at(w, act)


@action("somebody repays {units} units of {of} to Aave")
def repay(w: World, of: str, units: int) -> None:
    _at(w, lambda aave: aave.repay(asset(w, of), units, owner=WHALE))


@action("somebody lends {units} units of {of} to Aave for venue {venue}")
def lend_for(w: World, venue: int, of: str, units: int) -> None:
    """A gift: collateral of the venue's, or a token that is none of its business."""

    def act(aave: Aave) -> None:
        aave._ready(asset(w, of), units, WHALE)
        aave.pool.send("supply", asset(w, of), units, w.address(f"venue{venue}"), 0, sender=WHALE)

    _at(w, act)


@action("somebody repays {units} units of what venue {venue} owes")
def repay_for(w: World, venue: int, units: int) -> None:
    """A gift, too."""
    base = w.short(venue).lender.base if venue in w.shorts else None

    def act(aave: Aave) -> None:
        assert base is not None
        aave._ready(base, units, WHALE)
        aave.pool.send("repay", base, units, VARIABLE, w.address(f"venue{venue}"), sender=WHALE)

    _at(w, act)


@action("somebody liquidates {units} units of what venue {venue} owes")
def liquidate_venue(w: World, venue: int, units: int) -> None:
    """Aave refuses while health is 1 or more; nobody gets to a venue before that."""
    if venue not in w.shorts:
        return
    lender = w.short(venue).lender
    account = w.short(venue).standing().account
    target = w.address(f"venue{venue}")
    done = _at(w, lambda aave: aave.liquidate(lender.quote, lender.base, target, units, liquidator=WHALE))
    w.liquidated |= done
    if done and account is not None and account[-1] >= WAD:
        raise Broken("i10_a_healthy_venue_is_not_liquidated", f"venue {venue} at {account}")


# ---- what its governance does


@action("Aave pauses {of}: {on}")
def pause_reserve(w: World, of: str, on: bool) -> None:
    _at(w, lambda aave: aave.set_paused(asset(w, of), on))


@action("Aave freezes {of}: {on}")
def freeze_reserve(w: World, of: str, on: bool) -> None:
    _at(w, lambda aave: aave.set_frozen(asset(w, of), on))


@action("Aave asks {percent} % more interest for {of}")
def set_rates(w: World, of: str, percent: int) -> None:
    """At any use; the slopes are those of a stablecoin."""

    def act(aave: Aave) -> None:
        strategy = aave.strategy(90 * PERCENT, percent * PERCENT, 4 * PERCENT, 60 * PERCENT)
        aave.configurator.send("setReserveInterestRateStrategyAddress", asset(w, of), strategy, sender=aave.admin)

    _at(w, act)


@action("Aave lends {ltv} bps against {of}, and liquidates at {threshold}")
def set_terms(w: World, of: str, ltv: int, threshold: int) -> None:
    """0 and 0: it is no collateral."""

    def act(aave: Aave) -> None:
        bonus = 10_450 if threshold else 0
        args = asset(w, of), ltv, threshold, bonus
        aave.configurator.send("configureReserveAsCollateral", *args, sender=aave.admin)

    _at(w, act)


@action("Aave takes {supply} and lends {lent} of {of} at most")
def set_caps(w: World, of: str, supply: int, lent: int) -> None:
    """Whole tokens; 0: any amount."""

    def act(aave: Aave) -> None:
        aave.configurator.send("setSupplyCap", asset(w, of), supply, sender=aave.admin)
        aave.configurator.send("setBorrowCap", asset(w, of), lent, sender=aave.admin)

    _at(w, act)


@action("Aave thinks that {of} is worth {answer:price}")
def misprice(w: World, of: str, answer: int) -> None:
    """A source of its own instead of the market's feed; 0: the feed again, or a dollar."""

    def act(aave: Aave) -> None:
        if answer == 0 and of != "quote":
            source = w.system.aggregators[int(of)]
        else:
            source = w.chain.deploy("ReplayAggregator", 8)
            source.send("push", answer or 10**8, w.now)
        aave.oracle.send("setAssetSources", [asset(w, of)], [source], sender=aave.admin)
        w.mispriced = True

    _at(w, act)


# ---- what anybody may do at a venue


@action("{who} has venue {venue} ignore {of} as collateral")
def drop_collateral(w: World, who: str, venue: int, of: str) -> None:
    if venue not in w.shorts:
        return

    def drop(t: Twin) -> None:
        manager = t.hedge_manager
        assert manager is not None
        manager.venues[venue].drop_collateral(asset(w, of))  # type: ignore[attr-defined]

    w.do(w.contracts[f"venue{venue}"], "drop_collateral", asset(w, of), sender=who, twin=drop)


# ---- what to try


def at_the_lender(w: World, rng: Random) -> list[Step]:
    """Something about a reserve, big or small."""
    venue = rng.choice(w.shorts)
    owed, of = str(w.short(venue).market), rng.choice(ASSETS)
    s = w.short(venue).standing()
    part = 10 ** rng.uniform(-3, 0.1)
    match rng.randrange(16):
        case 0 | 1:
            return [["lend", {"of": of, "units": _much(w, rng, of)}]]
        case 2:
            units = rng.choice((MAX_UINT, _much(w, rng, of)))
            return [["take_back", {"of": of, "units": units}]]
        case 3 | 4:
            return [["borrow", {"of": rng.choice(("quote", owed)), "units": _much(w, rng, of)}]]
        case 5:  # to the last unit
            gift: Step = ["lend", {"of": "quote" if of != "quote" else owed, "units": 100 * _much(w, rng, of)}]
            return [gift, ["borrow", {"of": of, "units": MAX_UINT}]]
        case 6 | 7:
            return [["repay", {"of": each, "units": MAX_UINT // 2**129}] for each in ASSETS]
        case 8:
            units = _much(w, rng, of) // rng.choice((1, 1_000, 10**6)) or 1
            return [["lend_for", {"venue": venue, "of": of, "units": units}]]
        case 9:
            return [["repay_for", {"venue": venue, "units": int(s.debt * part) or 1}]]
        case 10:
            who = rng.choice(("keeper", "stranger"))
            other = rng.choice(("0", "1"))
            drop: Step = ["drop_collateral", {"who": who, "venue": venue, "of": rng.choice((*ASSETS, other, other))}]
            return [["lend_for", {"venue": venue, "of": other, "units": _much(w, rng, other) // 1_000 + 1}], drop]
        case 11:
            return [["set_rates", {"of": of, "percent": rng.choice((0, 1, 5, 30, 200, 900))}]]
        case 12:
            switch = rng.choice(("pause_reserve", "freeze_reserve"))
            of = rng.choice(("quote", owed, of))
            look: Step = ["poke", {"who": "keeper", "venue": venue}]
            return [[switch, {"of": of, "on": True}], look, *_open(rng)]
        case 13:
            ltv, threshold = rng.choice(((7_700, 8_000), (7_700, 8_000), (0, 8_000), (5_000, 6_000), (0, 0)))
            return [["set_terms", {"of": rng.choice(("quote", of)), "ltv": ltv, "threshold": threshold}]]
        case 14:
            return [["set_caps", {"of": of, "supply": rng.choice((0, 0, 1)), "lent": rng.choice((0, 0, 1))}]]
        case _:
            answers = (0, 0, 0, 10**7, 10**8) if of == "quote" else (0, 0, 0, 1, w.newest[int(of)].answer * 2)
            return [["misprice", {"of": of, "answer": max(rng.choice(answers), 0)}]]


def strained(w: World, rng: Random) -> list[Step]:
    """The price rises until a venue that owes is below its floor, or Aave's; then it is unwound, liquidated, or both.
    Pools follow, most of the time."""
    owing = [venue for venue in w.shorts if w.short(venue).standing().debt != 0]
    if not owing:
        return []
    venue = rng.choice(owing)
    twin = w.short(venue)
    market, s = twin.market, twin.standing()
    account = s.account or (0,) * 6
    health = account[-1] / WAD if account[-1] < 2**128 else 0.0
    wanted = rng.choice((1.26, 1.24, 1.2, 1.1, 1.01, 0.999, 0.97, 0.9, 0.5))
    factor = health / wanted if 1 < health / wanted < 4 else 1.0
    answer = max(int(max(w.newest[market].answer, 1) * factor), 1)
    steps: list[Step] = [["push", {"market": market, "answer": answer}]]
    if rng.random() < 0.9:
        steps.append(["arbitrage", {"market": market, "price": answer * 10**10}])
    steps += [["warp", {"seconds": 301}], ["push", {"market": market, "answer": answer}]]
    if rng.random() < (0.6 if wanted < 1 else 0.1):
        units = rng.choice((s.debt // 2, s.debt, 10 * s.debt, s.debt // 10, 1)) or 1
        steps.append(["liquidate_venue", {"venue": venue, "units": units}])
        if rng.random() < 0.5:
            steps.append(["poke", {"who": "keeper", "venue": venue}])
    for _ in range(rng.choice((0, 1, 1, 2))):
        most = rng.choice((2**255, 2**255, int(s.debt * twin.base_scale * 10 ** rng.uniform(-3, 0))))
        steps.append(["unwind", {"who": rng.choice(("keeper", "stranger")), "venue": venue, "most": most}])
    return steps


def _open(rng: Random) -> list[Step]:
    """Everything goes on, now or later."""
    if rng.random() < 0.3:
        return []
    return [[switch, {"of": of, "on": False}] for switch in ("pause_reserve", "freeze_reserve") for of in ASSETS]


def _much(w: World, rng: Random, of: str) -> int:
    """Up to all that Aave had at first, in units."""
    most = 10**8 * 10 ** int(asset(w, of).call("decimals"))
    if of != "quote":
        most = most * 10**8 // max(w.newest[int(of)].answer, 1)
    return int(most * 10 ** rng.uniform(-4, 0)) + 1
