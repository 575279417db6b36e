"""I12, a role at a time: its power is abused to the full in the midst of ordinary traffic, and what that may cost LPs
is bounded and summed up (docs/governance.md says why).

        guardian    what of R was due to LPs and not booked yet, where it raises U: that stays to cover U
        feeder      0: a minority of them changes no surface
        steward     the same as a guardian; and later half-spreads are never less than after as many days of drift
        keeper      phi times the fall of U that its hedges cause
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING

from ballast.fuzz.actions import Step, action
from ballast.fuzz.surfaces import STRANGER, surface_step
from ballast.fuzz.world import Broken, World
from ballast.model.exact.fixed import BPS, MICRO, WAD
from ballast.model.exact.hedge import Outcome
from ballast.model.exact.inventory import Inventory, half_spread_of
from ballast.model.exact.steward import DAY, Steward
from ballast.model.exact.system import System as Twin
from ballast.model.words import InventoryMarketParams
from ballast.parameters import Surface, surface
from ballast.plan import levers

if TYPE_CHECKING:
    from ballast.fuzz.plan import Planner

HEDGES = {"rebalance", "hedge_by_mandate"}
AT_ONCE = {"pause_market", "pause_deposits", "pause_venue", "lower_caps", "lower_deposit_cap", "disable_auction"}
DUST = MICRO  # [quote, WAD] of an action: the unit in which Inventory keeps U


def _steward(twin: Twin) -> Steward:
    assert twin.steward is not None
    return twin.steward


def _surface(w: World, surface_id: int) -> tuple[Surface, int | None]:
    each = levers(w.config)[surface_id]
    return each.surface, each.key


# ---- what the steward's key and the guardian do


@action("{who} sets parameters {surface_id} to {words} through the Steward")
def move_levers(w: World, who: str, surface_id: int, words: list[int], tightens: bool = False) -> None:
    """`words` as the view answers them; by `adjust`, or by `tighten`. What does not fit its word cannot be sent."""
    setter, _ = _surface(w, surface_id)
    try:
        moves = [(surface_id, setter.data(words))]
    except (ValueError, OverflowError):
        return
    sender = w.address(who)
    before = tuple(_steward(w.twin).read(_target(w, surface_id)))

    def act(t: Twin) -> None:
        steward = _steward(t)
        if tightens:
            steward.tighten([(surface_id, words)], w.now)
        else:
            steward.adjust(sender, [(surface_id, words)], w.now)

    done = w.do(w.system.steward, "tighten" if tightens else "adjust", moves, sender=who, twin=act)
    after = tuple(_steward(w.twin).read(_target(w, surface_id)))
    seen = tuple(w.system.steward.call("values", surface_id))
    if seen != after:
        raise Broken("i13_parameters_equal_the_twin", f"{setter.name}: contract {seen}, twin {after}")
    if done.ok and not tightens:
        _check_drift(w, surface_id, before, after)


@action("{who} freezes the Steward: {on}")
def freeze_steward(w: World, who: str, on: bool) -> None:
    def act(t: Twin) -> None:
        _steward(t).is_frozen = on

    w.do(w.system.steward, "freeze" if on else "thaw", sender=who, twin=act)


def _target(w: World, surface_id: int) -> tuple[str, int | None]:
    setter, key = _surface(w, surface_id)
    return setter.name, key


def _check_drift(w: World, surface_id: int, before: tuple[int, ...], after: tuple[int, ...]) -> None:
    """Whatever the key does, a lever ends inside its band and has moved, all its ways together, by at most its speed
    for each day and one."""
    listed = levers(w.config)[surface_id]
    setter = listed.surface
    for word, (old, new) in enumerate(zip(before, after, strict=True)):
        if old == new:
            continue
        lever = listed.by_word.get(word)
        if lever is None:
            if setter.followers >> word & 1:
                continue
            raise Broken("i12_a_steward_moves_levers_alone", f"{setter.name}: word {word} from {old} to {new}")
        moved = w.drifted[surface_id, word] = w.drifted[surface_id, word] + abs(new - old)
        if not lever.floor <= new <= lever.ceiling or moved * DAY > lever.speed * (w.now - w.born + DAY):
            raise Broken("i12_a_steward_keeps_to_band_and_speed", f"{setter.name}: word {word} at {new}, moved {moved}")


# ---- what it costs LPs


@dataclass(frozen=True, slots=True)
class Watch:
    """What there was before an action of the role that is abused."""

    nav: int  # [quote, WAD]
    potential: int  # [quote, MICRO] U as it was last saved
    due: int  # [quote, WAD] of R to LPs, in NAV but not booked
    surfaces: dict[int, object]  # last update of each


def watch(w: World, step: Step) -> Watch | None:
    """None for what is none of its actions, or when nothing has a price any more."""
    if w.frozen or not _is_abuse(w, step):
        return None
    trial = w.twin.fork()
    assert isinstance(trial.inventory, Inventory)
    trial.inventory.sync_all(w.now)
    due = w.twin.clearinghouse.reserve - trial.clearinghouse.reserve
    return Watch(w.valuation().nav, w.inventory.book.last, due, dict(w.surface.last))


def _is_abuse(w: World, step: Step) -> bool:
    name, arguments = step
    match w.setup.compromised:
        case "guardian":
            return arguments.get("who") == "guardian" or (name in AT_ONCE and arguments.get("on") is not False)
        case "feeder":
            honest = set(arguments.get("signers", ())) - {0, STRANGER}
            return name == "post_surface" and not honest
        case "steward":
            return bool(arguments.get("who") == "steward")
        case "keeper":
            return name in HEDGES
        case _:
            return False


def i12_a_role_costs_no_more_than_its_bound(w: World, before: Watch) -> None:
    """NAV falls by nothing but what a hedge may cost, as roles move no money, and by a release that is due no more
    since U is higher: NAV counts what nobody has booked yet. What is lost is summed up over the episode; what an action
    gains LPs does not count against that."""
    if w.frozen:
        return
    role = w.setup.compromised
    w.abuses += sum(outcome.ok for outcome in w.outcomes)
    falls = sum(outcome.value.fall for outcome in w.outcomes if outcome.ok and isinstance(outcome.value, Outcome))
    w.abused["loss"] += max(before.nav - w.valuation().nav, 0)
    kept = before.due if w.inventory.book.last > before.potential else 0
    w.abused["bound"] += DUST + (falls * w.manager.rule.phi_bps // BPS if role == "keeper" else kept)
    if w.abused["loss"] > w.abused["bound"]:
        raise Broken("i12_a_role_costs_no_more_than_its_bound", f"{role}: {dict(w.abused)} of {before.nav}")
    if role == "feeder" and before.surfaces != w.surface.last:
        raise Broken("i12_a_minority_of_feeders_changes_nothing", f"{before.surfaces}, then {w.surface.last}")


def i12_spreads_are_no_less_than_after_the_drift(w: World) -> None:
    """What trades pay LPs for the risk that a mark is old is at least what it would be if the steward's key had
    loosened all spreads since the beginning, as fast as it may, down to the ends of their bands."""
    if w.setup.compromised != "steward":
        return
    known = zip(w.inventory.quotes, w.inventory.changes, w.inventory.marks, strict=True)
    for quote, change, (market, mark, then) in known:
        least = half_spread_of(loosest(w, market), change, mark, then)
        if quote.half_spread < least:
            raise Broken(
                "i12_spreads_are_no_less_than_after_the_drift", f"{quote.half_spread} of {change}, not {least}"
            )


def loosest(w: World, market: int) -> InventoryMarketParams:
    """The spreads that a stolen key could have brought about by now."""
    spreads = w.config.markets[market].inventory.params()
    assert w.config.steward is not None
    setter = surface("spreads")
    reach = w.now - w.born + DAY
    for word, lever in w.config.steward.settings(setter).items():
        name = setter.words[word].name
        value = getattr(spreads, name)
        spreads = replace(spreads, **{name: max(min(value, lever.floor), value - lever.speed * reach // DAY)})
    return spreads


# ---- how powers are abused


def abuse(p: Planner) -> list[Step]:
    """Something that the role may do, or tries."""
    return _ABUSES[p.world.setup.compromised](p)


def _guardian(p: Planner) -> list[Step]:
    w, rng = p.world, p.rng
    market, venue = p.market(), rng.randrange(len(w.manager.venues))
    params = w.twin.perp_engine.config(market).params
    base, quote = p.part(params.cap_base), p.part(params.cap_quote)
    match rng.randrange(9):
        case 0:
            return [["pause_market", {"market": market, "on": True}]]
        case 1:
            return [["pause_deposits", {"on": True}]]
        case 2:
            return [["pause_venue", {"venue": venue, "on": True}]]
        case 3:
            return [["lower_caps", {"market": market, "base": base, "quote": quote}]]
        case 4:
            return [["lower_deposit_cap", {"who": "guardian", "cap": p.part(w.vault.params.deposit_cap)}]]
        case 5:
            return [["disable_auction", {"who": "guardian"}]]
        case 6:
            return [["freeze_steward", {"who": "guardian", "on": rng.random() < 0.7}]]
        case _:
            return [_lever_step(w, rng, "guardian")]


def _key(p: Planner) -> list[Step]:
    """Every lever as far as it goes, whenever it has waited long enough; trades while it is there."""
    wait = p.rng.choice((0, 600, 3_600, DAY // 2, DAY, DAY, 3 * DAY))
    prices: list[Step] = [["push", {"market": i, "answer": w.answer}] for i, w in enumerate(p.world.newest)]
    moves = [_lever_step(p.world, p.rng, "steward") for _ in range(p.rng.randint(1, 6))]
    return [*([["warp", {"seconds": wait}], *prices] if wait else []), *moves]


def _lever_step(w: World, rng: Random, who: str) -> Step:
    """Some words of a setter moved: by all that is allowed, by some of it, or by more, or words that are no levers."""
    steward = _steward(w.twin)
    surface_id = rng.randrange(len(steward.surfaces))
    setter, _ = _surface(w, surface_id)
    words = [int(word) for word in steward.read(_target(w, surface_id))]
    listed = [word for of, word in steward.levers if of == surface_id]
    for word in rng.sample(listed, rng.randint(1, len(listed))):
        lever = steward.levers[surface_id, word]
        sign = lever.tightening or rng.choice((-1, 1))
        if rng.random() < (0.1 if who == "guardian" else 0.7):
            sign = -sign
        if who == "guardian":
            end = lever.ceiling if sign > 0 else lever.floor
            words[word] += int((end - words[word]) * rng.choice((0.01, 0.3, 1, 1, 1.1)))
        else:
            allowed = steward.allowance(surface_id, word, w.now)
            words[word] += int(sign * allowed * rng.choice((1, 1, 1, 1, 0.5, 1.1)))
            if rng.random() < 0.8:
                words[word] = max(lever.floor, min(lever.ceiling, words[word]))
        words[word] = _coarse(setter, words, word)
    if rng.random() < 0.05:
        words[rng.randrange(len(words))] += rng.choice((-1, 1, WAD // 100))
    return ["move_levers", {"who": who, "surface_id": surface_id, "words": words, "tightens": who == "guardian"}]


def _coarse(setter: Surface, words: list[int], word: int) -> int:
    """Toward zero, what the setter's own word can hold."""
    for step in (1, 10**12, 10**14, 10**15):
        value = int(words[word] / step) * step if step > 1 else words[word]
        try:
            setter.data([*words[:word], value, *words[word + 1 :]])
        except (ValueError, OverflowError):
            continue
        return value
    return words[word]


def _feeder(p: Planner) -> list[Step]:
    """One of three has lost the key: alone, twice, or with somebody who is no feeder; new lies and old updates."""
    who = p.who("keeper")
    step = surface_step(p.world, p.rng, who)
    if step is None or step[0] != "post_surface":
        return []
    arguments = step[1]
    arguments["signers"] = p.rng.choice(([0], [0, 0], [0, STRANGER], [STRANGER, 0], []))
    old = p.world.posted.get(arguments["market"])
    if old and p.rng.random() < 0.3:
        update = p.rng.choice(old)
        points = [[point.expiry, point.theta, point.rate] for point in update.points]
        arguments |= {"age": p.world.now - update.timestamp, "rho": update.rho, "eta": update.eta, "points": points}
    return [step]


def _keeper(p: Planner) -> list[Step]:
    """Pools bent within the bands, hedged at, and let go."""
    from ballast.fuzz.plan import hedge, mandated, recall

    steps = p.rng.choice((hedge, hedge, hedge, mandated, recall))(p)
    hedges = [step for step in steps if step[0] == "rebalance"]
    if not hedges or p.rng.random() < 0.4:
        return steps
    market = hedges[-1][1]["market"]
    bent = int(p.price(market) * p.rng.gauss(1, 0.0015)) if market < len(p.world.feeds) else 0
    if not bent:
        return steps
    back: Step = ["arbitrage", {"market": market, "price": p.price(market)}]
    return [*steps[:-1], ["arbitrage", {"market": market, "price": bent}], *hedges, *hedges, back]


_ABUSES: dict[str, Callable[[Planner], list[Step]]] = {
    "guardian": _guardian, "feeder": _feeder, "steward": _key, "keeper": _keeper,
}  # fmt: skip
