"""Episodes: a seed becomes a sequence of steps, each done and checked; a failure carries what led to it."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from random import Random

from ballast.chain import Chain, RevmChain, artifacts
from ballast.fuzz import (
    auction,
    closes,
    compromise,
    ending,
    invariants,
    keeper,
    liquidations,
    mandates,
    option_checks,
    promises,
)
from ballast.fuzz.actions import Step, describe, perform
from ballast.fuzz.invariants import (
    AT_VENUES,
    BEYOND,
    OF_LPS,
    every_view_answers,
    i13_prices_equal_the_twin,
    owned,
    stayers,
)
from ballast.fuzz.plan import Planner
from ballast.fuzz.promises import Before, before
from ballast.fuzz.reach import reached
from ballast.fuzz.standards import PROPERTIES, Property, examine
from ballast.fuzz.world import PURPOSES, Broken, Clock, Setup, World, deploy
from ballast.model.exact.clearing import Clearinghouse
from ballast.system import Sandbox

# What only these actions change: compared after them, and where everything is.
BACKSTOPS = {
    liquidations.i13_nominations_equal_the_twin: liquidations.OF_DELEVERAGING,
    closes.i13_requests_equal_the_twin: closes.OF_QUEUE,
    ending.i13_settlement_equals_the_twin: ending.OF_SETTLEMENT,
    mandates.i13_mandates_equal_the_twin: mandates.OF_MANDATES,
    mandates.i13_carry_equals_the_twin: mandates.OF_CARRY,
}
AUCTION = (auction.i3_boosts_are_within_their_bounds, auction.remember_the_auction)
OF_ROLES = (compromise.i12_spreads_are_no_less_than_after_the_drift,)
EVERY_STEP = (*invariants.EVERY_STEP, *option_checks.EVERY_STEP, *AUCTION, *OF_ROLES)
THOROUGH = (*invariants.THOROUGH, *option_checks.THOROUGH, *BACKSTOPS)
EXPERIMENTS = (*invariants.EXPERIMENTS, *option_checks.EXPERIMENTS)
EXPERIMENTS_BEYOND = (
    *invariants.EXPERIMENTS_BEYOND, *option_checks.EXPERIMENTS_BEYOND, keeper.i10_no_malicious_keeper_profits,
)  # fmt: skip
PROMISES = (*promises.PROMISES, *option_checks.PROMISES)

PRICES_EVERY = 5  # steps between comparisons of NAV, bid and ask while nothing but time and prices moves
THOROUGH_EVERY = 50  # steps between comparisons of everything
EXPERIMENT_EVERY = 12  # steps between what-if experiments
STANDARDS_EVERY = 100  # steps between questions about ERC-4626 and ERC-7540
QUESTIONS = 4  # properties of theirs that are asked about then
ATTEMPTS = 5  # to find at the end of a replay, where it was, what one of them saw
ENDINGS = 1 / 3  # of the episodes that end with global settlement
LAST = 40  # steps of them that are about that
WORLDLY = {"warp", "push", "break_feed", "arbitrage"}  # nothing of ours changes until somebody calls


class Failure(Exception):
    """A sequence that breaks an invariant."""

    def __init__(self, steps: list[Step], setup: Setup, broken: Broken, seed: int | None = None) -> None:
        super().__init__(steps, setup, broken, seed)  # what pickle makes another one of
        self.steps = steps
        self.setup = setup
        self.broken = broken
        self.seed = seed

    def __str__(self) -> str:
        return f"{self.broken} (step {len(self.steps)}, {self.setup}, seed {self.seed})"


@dataclass(slots=True)
class Stats:
    """What was done, how it ended, and what it cost."""

    clock: Clock = field(default_factory=Clock)
    steps: int = 0
    episodes: int = 0
    ok: Counter[str] = field(default_factory=Counter)  # by action
    refused: Counter[str] = field(default_factory=Counter)  # by reason
    reached: Counter[str] = field(default_factory=Counter)  # see reach.py

    @property
    def calls(self) -> int:
        """Actions on the protocol's contracts; passing time and pushing prices do not count."""
        return sum(self.ok.values()) + sum(self.refused.values())

    def rate(self, *purposes: str) -> float:
        """Actions per CPU second spent on these purposes, on all if none is named."""
        spent = self.clock.spent
        seconds = sum(spent[purpose] for purpose in purposes) if purposes else sum(spent.values())
        return self.calls / seconds if seconds else 0.0

    def add(self, other: Stats) -> None:
        """Count what another search did, too."""
        for purpose, seconds in other.clock.spent.items():
            self.clock.spent[purpose] += seconds
        self.steps += other.steps
        self.episodes += other.episodes
        for mine, theirs in ((self.ok, other.ok), (self.refused, other.refused), (self.reached, other.reached)):
            mine.update(theirs)

    def lines(self) -> list[str]:
        """A summary for people."""
        spent, done = self.clock.spent, sum(self.ok.values())
        unmodelled = self.rate(*(PURPOSES.keys() - {"twin", "compare", "beyond", "standards"}))
        return [
            f"{self.calls:,} actions ({done:,} went through) in {self.episodes} episodes of {self.steps:,} steps",
            f"{self.rate():,.0f} actions per CPU second; with I1 to I7 alone, and without the twin, {unmodelled:,.0f}",
            "CPU: " + ", ".join(f"{name} {spent[name]:.1f} s" for name in sorted(spent, key=spent.__getitem__)[::-1]),
            "ok: " + ", ".join(f"{name} {count}" for name, count in self.ok.most_common()),
            "reached: " + ", ".join(f"{what} {count}" for what, count in self.reached.most_common()),
            "refused: " + ", ".join(f"{reason!r} {count}" for reason, count in self.refused.most_common()),
        ]


class Driver:
    """One world and what is checked in it."""

    def __init__(self, world: World, stats: Stats, thorough: bool = False) -> None:
        self.world = world
        self.stats = stats
        self.thorough = thorough  # check everything after every step: slow, for short sequences
        self.compared_at = -1  # step after which everything was last compared

    def step(self, step: Step) -> None:
        """Do one step and check; raises Broken, also when twin or driver cannot follow."""
        try:
            self._step(step)
        except Broken:
            raise
        except Exception as error:
            raise Broken("driver_cannot_follow", repr(error)) from error

    def finish(self) -> None:
        """Compare everything, unless the last step did, and look at everything."""
        if self.compared_at != self.world.actions:
            self._compare()
        with self.world.clock.on("compare"):
            every_view_answers(self.world)

    def _compare(self) -> None:
        self.compared_at = self.world.actions
        with self.world.clock.on("compare"):
            for check in THOROUGH:
                check(self.world)

    def _step(self, step: Step) -> None:
        world, name = self.world, step[0]
        world.last = name
        with world.clock.on("checks"):
            world.stayers = stayers(world) if name in OF_LPS and not world.frozen else None
        world.actions += 1
        ledger = world.twin.clearinghouse  # a transaction replaces it
        with world.clock.on("beyond"):
            world.owned = owned(world) if name in AT_VENUES else None
            past = before(world, step)
            watched = compromise.watch(world, step)
        world.valued = None
        with world.clock.on("outside"):
            perform(world, step)
        self._count(name, ledger)
        self._check(name, past)
        if watched is not None:
            with world.clock.on("beyond"):
                compromise.i12_a_role_costs_no_more_than_its_bound(world, watched)

    def _count(self, name: str, before: Clearinghouse) -> None:
        self.stats.steps += 1
        for what in reached(self.world, name, before):
            self.stats.reached[what] += 1
        for outcome in self.world.outcomes:
            if outcome.ok:
                self.stats.ok[name] += 1
            else:
                self.stats.refused[str(outcome.reason)] += 1

    def _check(self, name: str, past: Before) -> None:
        world, number = self.world, self.world.actions
        refused = bool(world.outcomes) and not any(outcome.ok for outcome in world.outcomes)
        idle = refused or name in WORLDLY
        experimental = (self.thorough or number % EXPERIMENT_EVERY == 0) and not world.frozen
        rng = Random(f"{number} {world.now}") if experimental else None  # the same when the sequence is replayed
        with world.clock.on("checks"):
            if not idle or self.thorough:
                for check in EVERY_STEP:
                    check(world)
                for check, actions in BACKSTOPS.items():
                    if name in actions:
                        check(world)
            if rng is not None:
                for experiment in EXPERIMENTS:
                    experiment(world, rng)
        with world.clock.on("beyond"):
            if not idle or self.thorough:
                for check in BEYOND:
                    check(world)
            if not idle and world.outcomes:
                for promise in PROMISES:
                    promise(world, past)
            if rng is not None:
                for experiment in EXPERIMENTS_BEYOND:
                    experiment(world, rng)
        if not idle or number % PRICES_EVERY == 0:
            i13_prices_equal_the_twin(world)
        if self.thorough or number % THOROUGH_EVERY == 0:
            self._compare()
        if number % STANDARDS_EVERY == 0 and not world.frozen:
            with world.clock.on("standards"):
                rng = Random(f"{number} {world.now}")
                examine(world, rng, rng.sample(PROPERTIES, QUESTIONS))


def episode(
    seed: int,
    length: int,
    setup: Setup | None = None,
    stats: Stats | None = None,
    make_chain: Callable[[], RevmChain] | None = None,
    *,
    profile: str = "perps",
    start: Sequence[Step] = (),
    watch: Callable[[World, Step], None] | None = None,
    ends: bool | None = None,
) -> Stats:
    """One random sequence of `length` steps, in a drawn world if none is given; raises Failure.

    It begins with `start`, if given; `watch` is told every step after it has been done and checked. Unless told whether
    it `ends` with global settlement, and with everybody paid, one in three does.
    """
    stats = stats or Stats()
    rng = Random(seed)
    setup = setup or Setup.draw(rng, profile)
    drawn = rng.random() < ENDINGS
    last = LAST if (drawn if ends is None else ends) and length > 2 * LAST else 0
    steps: list[Step] = []
    clock = stats.clock
    with ExitStack() as stack:
        with clock.on("set-up"):
            chain, system = _deployed(setup.ground, make_chain or RevmChain, artifacts.SOURCES)
            stack.enter_context(chain.undone())
            world = World(setup, clock=clock, system=system)
            driver, planner = Driver(world, stats), Planner(world, rng, profile)
        stats.episodes += 1
        stack.enter_context(clock.on("driver"))
        try:
            for number in range(length):
                with clock.on("planning"):
                    if last and number == length - last:
                        planner.end()
                    if last and number == length - 1:
                        steps.append(["wind_up", {"seed": seed}])
                    else:
                        steps.append(start[number] if number < len(start) else planner.next())
                driver.step(steps[-1])
                if watch:
                    watch(world, steps[-1])
            driver.finish()
        except Broken as broken:
            raise Failure(steps, setup, broken, seed) from broken
    return stats


@lru_cache(maxsize=32)
def _deployed(ground: Setup, make_chain: Callable[[], RevmChain], sources: Path) -> tuple[RevmChain, Sandbox]:
    """A system on a chain of its own, deployed once: episodes have it one after the other, and undo what they did.
    `sources` tells the contracts of one directory from those of another."""
    chain = make_chain()
    system = deploy(ground, chain)
    gc.collect()
    gc.freeze()  # all this stays: the collector need not walk through it again
    return chain, system


def replay(
    steps: Iterable[Step],
    setup: Setup | None = None,
    *,
    thorough: bool = True,
    make_chain: Callable[[], Chain] | None = None,
    ask: Sequence[Property] = PROPERTIES,
) -> World:
    """Do a given sequence, checking everything after every step, and `ask` these properties at its end; raises
    Broken."""
    world = World(setup, make_chain() if make_chain else None)
    driver = Driver(world, Stats(world.clock), thorough)
    for step in steps:
        driver.step(step)
    driver.finish()
    for attempt in range(0 if world.frozen else ATTEMPTS):  # a frozen vault has no price
        examine(world, Random(f"{world.actions} {world.now} {attempt}"), ask)
    return world


def in_words(steps: Iterable[Step], setup: Setup | None = None) -> list[str]:
    """A sequence as people say it."""
    world = World(setup)
    return [describe(world, step) for step in steps]
