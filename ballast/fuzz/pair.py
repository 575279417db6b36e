"""A token and a share vault under this fuzzer: our half of the comparison in docs/reports/versus-foundry.md.

The contracts, `tests/benchmarks/foundry/src`, are nothing of the protocol's. Handlers and check are those of
`tests/benchmarks/foundry/test/Pair.t.sol`, so that both fuzzers do the same work.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from ballast.chain import Contract, Reverted, RevmChain, Tx
from ballast.chain.artifacts import load
from ballast.fuzz.actions import Step
from ballast.fuzz.dictionary import constants, number
from ballast.fuzz.runner import Failure
from ballast.fuzz.shrink import reduce
from ballast.fuzz.world import Broken, Setup

SOURCES = "tests/benchmarks/foundry/src"
OWNERS = 3
WEALTH = 10**24  # of each owner [token units]
LONGEST_WAIT = 30 * 86_400  # [s]
TRUE = (1).to_bytes(32, "big")


class Pair:
    """Token, vault and their owners on a chain of their own; with `planted`, 777 shares are paid one unit too much."""

    def __init__(self, planted: bool) -> None:
        self.chain = RevmChain()
        self.refused = 0
        self.token = self._deploy("Token")
        self.vault = self._deploy("ShareVault", self.token, planted)
        self.owners = self.chain.accounts[1 : 1 + OWNERS]
        for owner in self.owners:
            self.token.send("mint", owner, WEALTH)
            self.token.send("approve", self.vault, 2**256 - 1, sender=owner)
        self._tokens = [self.token.tx("balanceOf", owner) for owner in self.owners]
        self._shares = [self.vault.tx("balanceOf", owner) for owner in self.owners]
        self._solvent = self._deploy("Solvency", self.token, self.vault).tx("holds")
        self.words = constants(self.chain.code(self.token) + self.chain.code(self.vault))

    def draw(self, rng: Random) -> Step:
        """A random handler with random arguments."""
        kind, who = rng.randrange(4), rng.randrange(OWNERS)
        if kind == 0:
            return ["deposit", {"who": who, "assets": number(rng, self.words)}]
        if kind == 1:
            return ["withdraw", {"who": who, "shares": number(rng, self.words)}]
        if kind == 2:
            return ["withdraw_all", {"who": who}]
        return ["warp", {"seconds": number(rng, self.words)}]

    def step(self, step: Step) -> None:
        """Do one step and check; raises Broken."""
        name, arguments = step
        getattr(self, name)(**arguments)
        if self.chain.read(self._solvent) != TRUE:
            raise Broken("solvent", "the vault holds less than it owes")

    def replay(self, steps: Iterable[Step]) -> None:
        """Do a sequence from the start, then undo it; raises Broken."""
        with self.chain.undone():
            for step in steps:
                self.step(step)

    def deposit(self, who: int, assets: int) -> None:
        most = int.from_bytes(self.chain.read(self._tokens[who]), "big")
        self._attempt(self.vault.tx("deposit", _within(assets, most), sender=self.owners[who]))

    def withdraw(self, who: int, shares: int) -> None:
        most = int.from_bytes(self.chain.read(self._shares[who]), "big")
        self._attempt(self.vault.tx("withdraw", _within(shares, most), sender=self.owners[who]))

    def withdraw_all(self, who: int) -> None:
        self._attempt(self.vault.tx("withdraw_all", sender=self.owners[who]))

    def warp(self, seconds: int) -> None:
        if seconds % LONGEST_WAIT:
            self.chain.warp(seconds % LONGEST_WAIT)

    def _attempt(self, tx: Tx) -> None:
        try:
            self.chain.transact(tx)
        except Reverted:
            self.refused += 1

    def _deploy(self, name: str, *arguments: object) -> Contract:
        return self.chain.deploy(load(f"{SOURCES}/{name}.vy"), *arguments)


def _within(x: int, most: int) -> int:
    return x if x <= most else x % (most + 1)


def search(pair: Pair, seed: int, runs: int, depth: int) -> Failure | None:
    """`runs` random sequences of `depth` steps, each from the start; the first failure, made short."""
    rng = Random(seed)
    for _ in range(runs):
        steps: list[Step] = []

        def drawn(steps: list[Step] = steps) -> Iterable[Step]:
            for _ in range(depth):
                steps.append(pair.draw(rng))
                yield steps[-1]

        try:
            pair.replay(drawn())
        except Broken as broken:
            return reduce(Failure(steps, Setup(), broken, seed), pair.replay)
    return None
