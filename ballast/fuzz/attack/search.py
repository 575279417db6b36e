"""Breeding attacks: a sequence of moves is changed, crossed with another and kept if it gains more.

A steady population per scenario; a sequence that gains is fitter than one that does not, and among those that lose the
one that loses least per money moved, so that doing little is no virtue. Motifs are what traders do anywhere; every
search has the same ones, whatever rule is missing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from ballast.fuzz.attack.game import BTC, DOLLAR, ETH, KEEPER, PRICES, TRADERS, Game, Gene, Result, Start
from ballast.model.exact.fixed import WAD

Genome = tuple[Gene, ...]

POPULATION = 60
LONGEST = 14  # moves
PATIENCE = 2_500  # evaluations without progress before a fresh population
MATERIAL = 100 * WAD  # [quote, WAD] 0.1 bp of the vault: below it are funding and timing of volatility


def play(start: Start, genome: Genome) -> Result:
    """The end of a sequence, against doing nothing or what is honest."""
    game = Game(start)
    for move, arguments in genome:
        getattr(game, move)(*arguments)
    assert start.nothing is not None
    return game.end().less(start.nothing)


# ---- genes


def _notional(rng: Random, low: float = 4.0, high: float = 7.2) -> float:
    return 10 ** rng.uniform(low, high)


def _size(rng: Random, market: int) -> int:
    return int(_notional(rng) * 10**8 / PRICES[market]) * WAD * rng.choice((-1, 1))


def _market(rng: Random) -> int:
    return ETH if rng.random() < 0.8 else BTC


def _trade(rng: Random) -> Gene:
    market = _market(rng)
    return "trade", (rng.choice(TRADERS), market, _size(rng, market))


def _swap(rng: Random, move: str) -> Gene:
    market, notional = _market(rng), _notional(rng, 4.0, 7.0)
    units = int(notional * DOLLAR)
    if move == "sell_base":
        units = int(notional * 10**8 / PRICES[market] * (WAD if market == ETH else 10**8))
    return move, (market, rng.randrange(2), units)


GENES: dict[str, Callable[[Random], Gene]] = {
    "wait": lambda rng: ("wait", (rng.choice((1, 1, 5, 12, 21, 31, 61, 100)),)),
    "event": lambda rng: ("event", ()),
    "trade": _trade,
    "pair": lambda rng: ("pair", (ETH, _size(rng, ETH))),
    "close": lambda rng: ("close", (rng.choice(TRADERS), _market(rng))),
    "oppose": lambda rng: ("oppose", (rng.choice(TRADERS), ETH, rng.choice((0.5, 1.0, 1.0, 2.0)))),
    "liquidate": lambda rng: ("liquidate", (KEEPER, rng.choice(TRADERS), _market(rng))),
    "withdraw_margin": lambda rng: ("withdraw_margin", (rng.choice(TRADERS), rng.choice((0.5, 1.0)))),
    "lp_deposit": lambda rng: ("lp_deposit", (int(_notional(rng, 4.0, 7.5) * DOLLAR),)),
    "request": lambda rng: ("request", (rng.choice((0.5, 1.0, 1.0, 1.0)),)),
    "process_epoch": lambda rng: ("process_epoch", ()),
    "redeem": lambda rng: ("redeem", ()),
    "sync_all": lambda rng: ("sync_all", ()),
    "perp_sync": lambda rng: ("perp_sync", (_market(rng),)),
    "poke": lambda rng: ("poke", (rng.randrange(2),)),
    "hedge": lambda rng: ("hedge", (_market(rng), 10 ** rng.uniform(-2, 0.1))),
    "buy_base": lambda rng: _swap(rng, "buy_base"),
    "sell_base": lambda rng: _swap(rng, "sell_base"),
    "unswap": lambda rng: ("unswap", (_market(rng), rng.randrange(2))),
}

MOTIFS: tuple[tuple[str, ...], ...] = (
    ("trade", "event", "close"),
    ("trade", "wait", "close"),
    ("trade", "trade", "trade"),
    ("trade", "close"),
    ("pair", "wait", "withdraw_margin", "withdraw_margin"),
    ("withdraw_margin", "withdraw_margin", "pair", "wait"),
    ("request", "wait", "oppose", "process_epoch", "oppose"),
    ("wait", "sync_all", "wait", "sync_all"),
    ("trade", "wait", "sync_all", "wait", "sync_all", "close"),
    ("oppose", "wait", "close"),
    ("lp_deposit", "trade", "wait"),
    ("trade", "lp_deposit", "close"),
    ("lp_deposit", "event", "request"),
    ("lp_deposit", "request", "wait", "event", "process_epoch", "redeem"),
    ("wait", "event", "process_epoch", "redeem"),
    ("trade", "process_epoch", "close"),
    ("buy_base", "hedge", "unswap"),
    ("sell_base", "hedge", "unswap"),
    ("trade", "hedge", "close"),
    ("buy_base", "wait", "unswap"),
)


def draw(rng: Random, moves: Sequence[str]) -> Genome:
    """One to three motifs, their moves drawn."""
    possible = [motif for motif in MOTIFS if set(motif) <= {*moves, "wait", "event"}]
    genes: list[Gene] = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        motif = rng.choice(possible) if possible and rng.random() < 0.8 else rng.choices(moves, k=3)
        genes += [GENES[move](rng) for move in motif]
    return _coherent(rng, tuple(genes[:LONGEST]))


def _coherent(rng: Random, genome: Genome) -> Genome:
    """Often all in one account, market and pool, where most things belong together."""
    if rng.random() < 0.3:
        return genome
    who, market, route = TRADERS[0], _market(rng), rng.randrange(2)
    genes: list[Gene] = []
    for move, arguments in genome:
        match move, arguments:
            case "close", _:
                arguments = (who, market)
            case "trade", (_, old, int(size)):
                arguments = (who, market, size * PRICES[int(str(old))] // PRICES[market])
            case ("unswap", _):
                arguments = (market, route)
            case ("hedge", (_, part)):
                arguments = (market, part)
        genes.append((move, arguments))
    return tuple(genes)


def mutate(rng: Random, genome: Genome, moves: Sequence[str]) -> Genome:
    """One to three small changes."""
    genes = list(genome)
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(genes) + 1)
        match rng.randrange(8):
            case 0 if len(genes) < LONGEST:
                genes.insert(at, GENES[rng.choice((*moves, "wait", "event"))](rng))
            case 1 if len(genes) > 1:
                del genes[min(at, len(genes) - 1)]
            case 2 if len(genes) > 1:
                genes.insert(rng.randrange(len(genes)), genes.pop(min(at, len(genes) - 1)))
            case 3 if genes:
                at = min(at, len(genes) - 1)
                genes[at] = GENES[genes[at][0]](rng)
            case 4 if len(genes) < LONGEST and genes:
                genes.insert(at, rng.choice(genes))
            case _ if genes:
                at = min(at, len(genes) - 1)
                genes[at] = _nudged(rng, genes[at])
    return tuple(genes)


def _nudged(rng: Random, gene: Gene) -> Gene:
    """Its amount a little or a lot different, sometimes the other way round."""
    move, arguments = gene
    if not arguments or isinstance(arguments[-1], str) or move in ("close", "unswap", "perp_sync", "poke"):
        return gene
    amount = arguments[-1]
    factor = math.exp(rng.gauss(0, rng.choice((0.05, 0.3, 1.0))))
    if move in ("trade", "pair", "oppose", "hedge") and rng.random() < 0.1:
        factor = -factor
    if isinstance(amount, float):
        return move, (*arguments[:-1], amount * factor)
    assert isinstance(amount, int)
    return move, (*arguments[:-1], int(amount * factor) or 1)


def cross(rng: Random, one: Genome, other: Genome) -> Genome:
    """The beginning of one and the end of the other."""
    child = one[: rng.randrange(len(one) + 1)] + other[rng.randrange(len(other) + 1) :]
    return child[:LONGEST] or one


# ---- selection


@dataclass(frozen=True, slots=True)
class Attack:
    """A sequence and what it brings."""

    start: Start
    genome: Genome
    result: Result

    @property
    def gain(self) -> int:
        """[quote, WAD]"""
        return self.result.attacker

    @property
    def fitness(self) -> float:
        if self.gain > 0:
            return self.gain / WAD
        moved = self.result.turnover / WAD
        return -1e9 if moved == 0 else 1e4 * self.gain / WAD / (moved + 1_000)


def tried(start: Start, genome: Genome) -> Attack:
    """A sequence, at the worse of the ways in which things may go on."""
    attack = Attack(start, genome, play(start, genome))
    if start.otherwise is None:
        return attack
    other = Attack(start.otherwise, genome, play(start.otherwise, genome))
    return min(attack, other, key=lambda each: each.gain)


@dataclass(slots=True)
class Breeder:
    """The search in one scenario."""

    start: Start
    rng: Random
    best: Attack | None = None
    evaluated: int = 0
    population: list[Attack] = field(default_factory=list)
    since: int = 0  # evaluations without progress of this population
    peak: float = -math.inf

    def step(self) -> Attack:
        """Try one more sequence."""
        moves = self.start.scenario.moves
        if len(self.population) < POPULATION:
            genome = draw(self.rng, moves)
        else:
            genome = self._chosen().genome
            if self.rng.random() < 0.3:
                genome = cross(self.rng, genome, self._chosen().genome)
            genome = mutate(self.rng, genome, moves)
        attack = tried(self.start, genome)
        self.evaluated += 1
        self._keep(attack)
        return attack

    def _chosen(self) -> Attack:
        return max(self.rng.sample(self.population, 4), key=lambda attack: attack.fitness)

    def _keep(self, attack: Attack) -> None:
        self.since += 1
        if attack.fitness > self.peak:
            self.peak, self.since = attack.fitness, 0
        if self.best is None or attack.fitness > self.best.fitness:
            self.best = attack
        if len(self.population) < POPULATION:
            self.population.append(attack)
        elif all(attack.result.attacker != other.result.attacker for other in self.population):
            worst = min(range(POPULATION), key=lambda i: self.population[i].fitness)
            if attack.fitness > self.population[worst].fitness:
                self.population[worst] = attack
        if self.since > PATIENCE:
            self.population, self.since, self.peak = [], 0, -math.inf


@dataclass(frozen=True, slots=True)
class Found:
    """What a search came back with."""

    best: Attack | None  # that gains anything
    first_after: float | None  # [CPU s] until the first material gain
    evaluated: int
    seconds: float  # [CPU s]


def search(starts: Sequence[Start], seconds: float, seed: int = 0, polish: float = 3.0, slice_: int = 200) -> Found:
    """Search scenarios in turn for this much CPU time, and no longer than `polish` after the first material gain."""
    breeders = [Breeder(start, Random(f"{seed} {start.scenario.name}")) for start in starts]
    began = time.process_time()
    first: float | None = None
    until = began + seconds
    turn = 0
    while time.process_time() < until:
        breeder = breeders[turn % len(breeders)]
        turn += 1
        for _ in range(slice_):
            attack = breeder.step()
            if first is None and attack.gain >= MATERIAL:
                first = time.process_time() - began
                until = min(until, time.process_time() + polish)
                breeders = [breeder]
    found = [(breeder.best, breeder.start) for breeder in breeders if breeder.best and breeder.best.gain > 0]
    best, start = max(found, key=lambda each: each[0].gain, default=(None, None))
    return Found(
        best=shortened(start, best) if best and start else None,
        first_after=first,
        evaluated=sum(breeder.evaluated for breeder in breeders),
        seconds=time.process_time() - began,
    )


def shortened(start: Start, attack: Attack) -> Attack:
    """Without the moves that bring little."""
    least = attack.gain * 95 // 100
    again = True
    while again:
        again = False
        for at in range(len(attack.genome)):
            genome = attack.genome[:at] + attack.genome[at + 1 :]
            shorter = tried(start, genome)
            if shorter.gain >= least:
                attack, again = shorter, True
                break
    return attack
