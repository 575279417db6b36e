"""The attack done again, on the real contracts and real pools: the same gain, to the wei, from token balances."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from ballast.fuzz.actions import Step, perform
from ballast.fuzz.attack.game import ATTACKER, ETH, KEEPER, Game, Result, Start, arena
from ballast.fuzz.attack.rules import Rule, contracts_without, twin_without
from ballast.fuzz.attack.search import Attack
from ballast.fuzz.invariants import THOROUGH
from ballast.fuzz.world import World
from ballast.model.exact import hedge
from ballast.model.exact.hedge import Outcome as Hedged

BASE = 10**27  # [token units] of base for whoever swaps


class Unconfirmed(AssertionError):
    """The contracts do not do what the twin did."""


def confirmed(attack: Attack, removed: Rule | None = None) -> Result:
    """What the attack brings on contracts without the rule; Broken or Unconfirmed if that is something else."""
    assert attack.start.nothing is not None
    with TemporaryDirectory() as folder, twin_without(removed), contracts_without(removed, Path(folder)):
        done = played(attack.start, attack.result.steps)
    gained = done.less(played(attack.start, attack.start.nothing.steps))
    if gained.attacker != attack.result.attacker:
        raise Unconfirmed(f"{gained.attacker} on the contracts, {attack.result.attacker} on the twin")
    return gained


def played(start: Start, steps: Iterable[Step]) -> Result:
    """The end of a sequence on contracts and twin, which are compared after every step; raises Broken."""
    world = arena()
    for step in start.setup:
        perform(world, step)
    for market in world.system.markets:
        assert market.base is not None
        market.base.send("mint", world.actors[KEEPER], BASE)
    game = Game(start)  # for its accounts: what it would have done itself is overwritten
    before = _tokens(world)
    for step in steps:
        perform(world, step)
        _note(game, world, step)
    for check in THOROUGH:
        if check.__name__.startswith("i13_"):
            check(world)
    game.twin, game.now = world.twin, world.now
    game.tokens, *game.base = [after - held for after, held in zip(_tokens(world), before, strict=True)]
    return game.result()


def _note(game: Game, world: World, step: Step) -> None:
    """What a step cost outside, as `Game` counts it."""
    name, arguments = step
    game.steps.append(step)
    for outcome in world.outcomes:
        if not outcome.ok:
            raise Unconfirmed(f"{step}: {outcome.reason}")
        if isinstance(outcome.value, Hedged):
            game.gas += outcome.value.gas
            game.rewards += outcome.value.reward
            rule = world.manager.rule
            game.allowance += hedge.budget(rule.phi_bps, outcome.value.fall)
    game.rounds += name == "push" and arguments["market"] == ETH


def _tokens(world: World) -> list[int]:
    """Quote, and base by market, that the attacker's addresses hold [token units]."""
    tokens = [world.system.quote, *(market.base for market in world.system.markets)]
    return [
        sum(token.call("balanceOf", world.actors[who]) for who in ATTACKER) for token in tokens if token is not None
    ]
