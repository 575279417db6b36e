"""A saved sequence again, step by step: in process, or on a real Anvil node beside the process.

Time is what a block is to the contracts, none of which reads a block's number: Anvil's clock stands still between
transactions unless the sequence moves it, so the transactions of one block in process are, on Anvil, those of
successive blocks with one timestamp. Contracts get the same addresses, because Uniswap orders tokens by address.
"""

from __future__ import annotations

import gzip
import json
import runpy
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ballast.chain import Chain, RevmChain, Tx
from ballast.chain.anvil import TX_GAS_LIMIT, Anvil
from ballast.chain.contract import Receipt
from ballast.chain.rpc import NotIncluded, RpcChain
from ballast.fuzz.actions import Step, describe
from ballast.fuzz.runner import Driver, Stats
from ballast.fuzz.world import Broken, Setup, World

PATIENCE = 5.0  # [s] that a node may take to include what it has mined at once


@dataclass(frozen=True, slots=True)
class Done:
    """A step in words, when it happened, how each of its calls ended, and which invariant it broke."""

    words: str
    time: int  # [s since 1970]
    outcomes: tuple[str, ...]  # what each call returned, or why it reverted
    broken: str | None = None


class AnvilChain(RpcChain):
    """An Anvil node on which contracts get the addresses they have in process, and gas costs nothing.

    In process only deployments count as an account's transactions.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url, gas_limit=TX_GAS_LIMIT)
        self._created: Counter[str] = Counter()
        self.request("anvil_setNextBlockBaseFeePerGas", "0x0")
        self.request("evm_mine")

    def transact(self, tx: Tx) -> Receipt:
        if tx.to is not None:  # the node's own guess lags behind a nonce that was set
            return super().transact(replace(tx, nonce=self.nonce(tx.sender, "latest")))
        number, nonce = self._created[tx.sender], self.nonce(tx.sender, "latest")
        self.request("anvil_setNonce", tx.sender, hex(number))
        receipt = super().transact(replace(tx, nonce=number))
        self._created[tx.sender] += 1
        self.request("anvil_setNonce", tx.sender, hex(max(nonce, number + 1)))
        return receipt

    def wait(self, tx_hash: str, tx: Tx, timeout: float | None = None) -> Receipt:
        """A transaction that the pool put aside, by a nonce from before it was set, is sent once more."""
        try:
            return super().wait(tx_hash, tx, PATIENCE)
        except NotIncluded:
            self.request("anvil_dropAllTransactions")
            self.request("evm_mine")
            nonce = tx.nonce if tx.to is None else self.nonce(tx.sender, "latest")
            return super().wait(self.submit(replace(tx, nonce=nonce)), tx, timeout)

    def storage_words(self) -> dict[tuple[str, int], int]:
        """Every word that is not zero, by contract and slot."""
        dump = json.loads(gzip.decompress(bytes.fromhex(self.request("anvil_dumpState")[2:])))
        return {
            (address, int(slot, 16)): int(word, 16)
            for address, account in dump["accounts"].items()
            for slot, word in account["storage"].items()
        }


def load(path: Path) -> tuple[list[Step], Setup]:
    """The sequence in a saved test (.py) or in an entry of a corpus (.json)."""
    if path.suffix == ".py":
        saved = runpy.run_path(str(path))
        return saved["STEPS"], saved["SETUP"]
    entry = json.loads(path.read_text())
    return entry["steps"], Setup(**entry["setup"])


def walk(steps: Sequence[Step], setup: Setup, chain: Chain) -> tuple[list[Done], World]:
    """Do the steps, checking everything after each, until one breaks an invariant."""
    world = World(setup, chain)
    driver = Driver(world, Stats(world.clock), thorough=True)
    done: list[Done] = []
    for step in steps:
        words, broken = describe(world, step), None
        try:
            driver.step(step)
        except Broken as error:
            broken = str(error)
        # where gas runs out is told by what the backend counts, to the unit
        starved = world.meddled is not None and world.meddled.gas is not None
        outcomes = tuple(
            "gas runs out" if outcome.meddled and starved else outcome.reason or str(outcome.value)
            for outcome in world.outcomes
        )
        done.append(Done(words, world.now, outcomes, broken))
        if broken:
            break
    return done, world


def on_anvil(steps: Sequence[Step], setup: Setup) -> tuple[list[Done], list[str]]:
    """The steps on a node of its own, and where it and the process disagree: about a step, or about a storage word at
    the end."""
    expected, ours = walk(steps, setup, RevmChain())
    with Anvil() as node:
        chain = AnvilChain(node.url)
        done, _ = walk(steps, setup, chain)
        words = chain.storage_words()
        chain.close()
    differences = [
        f"step {number}: {there} on Anvil, {here} in process"
        for number, (there, here) in enumerate(zip(done, expected, strict=False), 1)
        if there != here
    ]
    if len(done) != len(expected):
        differences.append(f"{len(done)} steps on Anvil, {len(expected)} in process")
    for (address, slot), word in words.items():
        if (own := ours.chain.storage(address, slot)) != word:
            differences.append(f"{address} slot {slot:#x}: {word} on Anvil, {own} in process")
    return done, differences


def as_json(done: Sequence[Done], differences: Sequence[str]) -> dict[str, Any]:
    """For programs."""
    return {
        "steps": [
            {"words": step.words, "time": step.time, "outcomes": step.outcomes, "broken": step.broken} for step in done
        ],
        "differences": list(differences),
    }
