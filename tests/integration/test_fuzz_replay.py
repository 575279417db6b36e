"""A sequence on a real node is the same sequence: outcomes, words and storage; and what differs is noticed."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

from ballast.chain import Tx, load
from ballast.chain.contract import Receipt
from ballast.fuzz import replay
from ballast.fuzz.actions import Step
from ballast.fuzz.history import REDEEMED_AT_MID
from ballast.fuzz.plan import Planner
from ballast.fuzz.planted import compiled
from ballast.fuzz.replay import AnvilChain, on_anvil, walk
from ballast.fuzz.runner import Driver, Stats
from ballast.fuzz.world import Setup, World

LENGTH = 70

# Opcodes by which code could tell one block with a timestamp from another with the same.
BLOCK = {0x40: "BLOCKHASH", 0x41: "COINBASE", 0x43: "NUMBER", 0x44: "PREVRANDAO", 0x45: "GASLIMIT"}

ENDS = {0x00, 0x56, 0xF3, 0xFD, 0xFE, 0xFF}  # STOP JUMP RETURN REVERT INVALID SELFDESTRUCT
JUMPDEST = 0x5B


def sequence(seed: int, length: int = LENGTH, profile: str = "perps") -> tuple[list[Step], Setup]:
    rng = Random(seed)
    setup = Setup.draw(rng, profile)
    world = World(setup)
    driver, planner, steps = Driver(world, Stats(world.clock)), Planner(world, rng, profile), []
    while len(steps) < length:
        step = planner.next()
        if step[0] != "starve":  # backends count gas differently: just enough on one may be too little on the other
            steps.append(step)
            driver.step(step)
    return steps, setup


@pytest.mark.anvil
@pytest.mark.fuzz
@pytest.mark.parametrize(("seed", "profile"), [(1, "perps"), (2, "perps"), (1, "all")])
def test_on_anvil_random_sequence_ends_the_same(seed: int, profile: str) -> None:
    steps, setup = sequence(seed, profile=profile)
    done, differences = on_anvil(steps, setup)
    assert not differences
    assert len(done) == LENGTH
    assert not done[-1].broken
    refused = [step for step in done if any(": " in outcome for outcome in step.outcomes)]
    assert refused, "no step was refused: the sequence compares little"


@pytest.mark.anvil
@pytest.mark.fuzz
def test_on_anvil_other_code_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redemptions at mid NAV, on the node alone: the twin breaks there, and only there."""
    original = load("Vault").bytecode
    bugged = compiled(REDEEMED_AT_MID)

    class Bugged(AnvilChain):
        def transact(self, tx: Tx) -> Receipt:
            if tx.to is None and tx.data.startswith(original):
                tx = Tx(None, bugged + tx.data[len(original) :], tx.sender)
            return super().transact(tx)

    monkeypatch.setattr(replay, "AnvilChain", Bugged)
    steps: list[Step] = [
        ["lp_deposit", {"who": "lp1", "units": 10**13}],
        ["deposit_margin", {"who": "trader1", "units": 10**11, "to": "trader1"}],
        ["trade", {"who": "trader1", "market": 1, "size": 10**18}],
        ["request", {"who": "lp1", "shares": 10**23, "to": "lp1"}],
    ]
    done, differences = on_anvil(steps, Setup(6))
    assert done[-1].broken
    assert done[-1].broken.startswith("i13_")
    assert "step 4: " in differences[0]


@pytest.mark.anvil
def test_on_anvil_other_storage_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    words = AnvilChain.storage_words

    def one_more(self: AnvilChain) -> dict[tuple[str, int], int]:
        (place, word), *_ = words(self).items()
        return {place: word + 1}

    monkeypatch.setattr(AnvilChain, "storage_words", one_more)
    _, differences = on_anvil([["lp_deposit", {"who": "lp1", "units": 10**10}]], Setup(6))
    assert len(differences) == 1
    assert "slot" in differences[0]


def test_blocks_are_timestamps_to_all_code() -> None:
    """Why several transactions of one block may be replayed as blocks of one timestamp each."""
    world = World(Setup(6))
    system = world.system
    contracts = [*world.contracts.values(), system.quote, *system.aggregators]
    for pools in system.pools:
        for pool in pools:
            contracts += [pool.contract, pool.uniswap.quoter, pool.uniswap.router, pool.uniswap.factory]
    for contract in contracts:
        assert not opcodes(world.chain.code(contract.address)) & set(BLOCK), contract


def opcodes(code: bytes) -> set[int]:
    """Operations that runtime code may come to; data lie behind an end of the program, where no jump leads."""
    found, position, live = set(), 0, True
    while position < len(code):
        operation = code[position]
        live = live or operation == JUMPDEST
        if live:
            found.add(operation)
            live = operation not in ENDS
        position += 1 + (operation - 0x5F) * (0x60 <= operation <= 0x7F)  # what a PUSH pushes is no operation
    return found


def test_load_reads_saved_tests_and_corpus_entries(tmp_path: Path) -> None:
    steps, setup = sequence(1, 5)
    entry = tmp_path / "entry.json"
    entry.write_text(json.dumps({"setup": {"decimals": setup.decimals}, "steps": steps}))
    assert replay.load(entry) == (steps, setup)
    done, _ = walk(*replay.load(entry), replay.RevmChain())
    assert len(done) == 5
