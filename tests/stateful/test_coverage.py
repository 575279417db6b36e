"""Coverage is what an independent tracer sees, and looking changes nothing."""

from __future__ import annotations

import pickle
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from ballast.chain import Receipt, Reverted, RevmChain, Tx, load
from ballast.chain.anvil import Anvil
from ballast.chain.sourcemap import Kind, source_map
from ballast.fuzz.actions import Step, perform
from ballast.fuzz.coverage import Coverage, CoveredChain, EdgeId, our_contracts
from ballast.fuzz.plan import Planner
from ballast.fuzz.replay import AnvilChain
from ballast.fuzz.runner import episode
from ballast.fuzz.unreachable import UNREACHABLE
from ballast.fuzz.world import Setup, World

STEPS = 60  # of the sequence whose every transaction is traced


class Recorder(RevmChain):
    """Notes how every transaction and every read ends, as its caller sees it."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.endings: list[Any] = []

    def transact(self, tx: Tx) -> Receipt:
        try:
            receipt = super().transact(tx)
        except Reverted as error:
            self.endings.append((error.reason, error.data))
            raise
        self.endings.append((receipt.gas_used, receipt.value, receipt.logs, receipt.contract_address))
        return receipt

    def read(self, tx: Tx, block: int | None = None) -> bytes:
        try:
            self.endings.append(super().read(tx, block))
        except Reverted as error:
            self.endings.append((error.reason, error.data))
            raise
        return self.endings[-1]


class CoveredRecorder(Recorder, CoveredChain):
    """What the caller of a covered chain sees."""


class TransactionsOnly(CoveredChain):
    """Reads are not looked at, because a node traces transactions; quarantined contracts are looked at in all."""

    def __init__(self) -> None:
        super().__init__(Coverage(), every=0)

    def read(self, tx: Tx, block: int | None = None) -> bytes:
        with self._without_traps():
            return RevmChain.read(self, tx, block)


class TracedAnvil(AnvilChain):
    """Remembers its transactions."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.sent: list[str] = []

    def transact(self, tx: Tx) -> Receipt:
        try:
            receipt = super().transact(tx)
        except Reverted as error:
            self.sent.append(str(error.tx_hash))
            raise
        self.sent.append(receipt.tx_hash)
        return receipt


@pytest.mark.parametrize("setup", [Setup(6), Setup(18, "RudeToken", doubles=1)], ids=["honest", "rude"])
def test_covered_chain_behaves_as_one_without_traps(setup: Setup) -> None:
    plain, covered = Recorder(), CoveredRecorder(Coverage())
    for chain in (plain, covered):
        episode(11, 100, setup, make_chain=lambda chain=chain: chain)
    coverage = covered.coverage
    assert len(plain.endings) > 500
    assert plain.endings == covered.endings
    assert len(coverage) == len(covered.fresh) > 1_000
    again = CoveredRecorder(coverage)
    episode(11, 100, setup, make_chain=lambda: again)
    assert again.endings == plain.endings


@pytest.mark.anvil
@pytest.mark.parametrize("seed", [3])
def test_edges_agree_with_a_trace_of_anvil(seed: int) -> None:
    setup, chain = Setup(6), TransactionsOnly()
    steps = _sequence(seed, setup, chain)
    with Anvil(tracing=True) as node:
        traced = TracedAnvil(node.url)
        world = World(setup, traced)
        traced.sent.clear()
        for step in steps:
            perform(world, step)
        names = {address.lower(): ours for address, ours in chain.contracts().items()}
        seen = {edge for tx_hash in traced.sent for edge in _edges(traced, tx_hash, names)}
        traced.close()
    reached = {(name, edge) for name, edges in chain.coverage.reached.items() for edge in edges}
    assert {name for name, _ in seen} >= {"ChainlinkFeed", "UniswapV3Venue", "Vault", "Inventory"}
    assert reached == seen


def _sequence(seed: int, setup: Setup, chain: CoveredChain) -> list[Step]:
    """What a planner does with a new world on the chain, which begins to look when the world is built."""
    world = World(setup, chain)
    chain.watch(Coverage())
    planner, steps = Planner(world, Random(seed)), []
    for _ in range(STEPS):
        steps.append(planner.next())
        perform(world, steps[-1])
    return steps


def _edges(chain: TracedAnvil, tx_hash: str, names: dict[str, str]) -> Iterator[EdgeId]:
    """The edges of our contracts that a transaction took, from the node's list of every instruction it ran."""
    options = {"disableStack": True, "disableStorage": True, "disableMemory": True}
    steps = chain.request("debug_traceTransaction", tx_hash, options)["structLogs"]
    called = _called(chain.request("debug_traceTransaction", tx_hash, {"tracer": "callTracer"}))
    frames: list[tuple[str, int, str]] = []  # of each call in progress: contract, instruction before
    for step in steps:
        pc, op, depth = step["pc"], step["op"], step["depth"]
        if depth > len(frames):
            frames.append((names.get(next(called), ""), -1, ""))
        del frames[depth:]
        name, before, jump = frames[-1]
        frames[-1] = name, pc, op
        if not name:
            continue
        edges = source_map(load(name)).edges
        kind = edges[pc].kind if pc in edges else None
        if jump == "JUMPI" and pc != before + 1:
            yield name, before
        if (jump == "JUMPI" and kind is Kind.FELL) or (jump == "JUMP" and kind is Kind.ENTRY) or kind is Kind.START:
            yield name, pc


def _called(call: dict[str, Any]) -> Iterator[str]:
    """Addresses in the order in which they begin to run; precompiles do not."""
    if int(call["to"], 16) > 0xFF:
        yield call["to"]
    for inner in call.get("calls", []):
        yield from _called(inner)


def test_coverage_survives_json_pickle_and_merge() -> None:
    chain = CoveredChain(Coverage())
    World(Setup(6), chain)
    coverage = chain.coverage
    for copy in (Coverage.from_json(coverage.to_json()), pickle.loads(pickle.dumps(coverage))):
        assert copy.reached == coverage.reached
        assert copy.table() == coverage.table()
    other = Coverage()
    other.reached["Vault"] = {min(coverage.missing("Vault"))}
    assert (other.merge(coverage), other.merge(coverage)) == (len(coverage), 0)
    assert len(other) == len(coverage) + 1


def test_from_json_forgets_what_belongs_to_other_code() -> None:
    coverage = Coverage()
    coverage.reached["Vault"].add(coverage.missing("Vault")[0])
    saved = coverage.to_json()
    assert len(Coverage.from_json(saved)) == 1
    saved["Vault"]["code"] = "of an earlier version"
    assert len(Coverage.from_json(saved)) == 0


def test_lines_are_complete_when_every_edge_is_reached() -> None:
    coverage = Coverage()
    for name in our_contracts():
        coverage.reached[name].update(coverage.missing(name))
    assert all(row.lines[0] == row.lines[1] > 0 for row in coverage.table())
    assert coverage.uncovered() == {}
    assert coverage.distinct()[0] == coverage.distinct()[1]
    assert len(coverage.impossible()) == sum(map(len, UNREACHABLE.values()))  # every line that is listed exists
    coverage.reached["Margin"].clear()
    assert list(coverage.uncovered("Margin")) == list(Coverage().uncovered("Margin"))


@pytest.mark.parametrize(
    ("file", "line", "text"),
    [(file, line, text) for file, lines in UNREACHABLE.items() for line, (text, _) in lines.items()],
)
def test_what_cannot_run_is_still_what_the_list_says(file: str, line: int, text: str) -> None:
    path = Path(sysconfig.get_path("purelib")) / file
    assert path.read_text().splitlines()[line - 1].strip() == text


def test_no_search_runs_what_cannot_run() -> None:
    coverage = Coverage()
    for seed in range(12):
        episode(seed, 200, profile="all", make_chain=lambda: CoveredChain(coverage))
    assert coverage.impossible() == []
    reached, every = coverage.distinct()
    assert reached > 0.75 * every  # it was a search


def test_code_that_our_sources_do_not_compile_to_is_left_alone() -> None:
    """A planted mistake has its own graph."""
    chain, feed = CoveredChain(Coverage()), load("ChainlinkFeed")
    aggregator = chain.deploy("ReplayAggregator", 8)
    arguments = feed.constructor.encode((aggregator, "0x" + "00" * 20, 0))
    gas = (250_000).to_bytes(3, "big")
    assert feed.bytecode.count(gas) > 0
    for creation, armed in ((feed.bytecode, True), (feed.bytecode.replace(gas, b"\x03\xd0\x91"), False)):
        receipt = chain.transact(Tx(None, creation + arguments, chain.accounts[0]))
        assert (receipt.contract_address in chain.contracts()) is armed


def test_traps_keep_a_balance() -> None:
    chain = CoveredChain(Coverage())
    world = World(Setup(6), chain)
    chain.set_balance(world.system.vault, 7)
    found = len(chain.fresh)
    world.system.vault.call("symbol")
    assert len(chain.fresh) > found
    assert chain.balance(world.system.vault) == 7


def test_a_contract_that_ignores_failures_puts_ours_in_quarantine() -> None:
    chain = CoveredChain(Coverage())
    world = World(Setup(6), chain)
    vault = world.system.vault.address
    runtime, length = load("Vault").runtime, len(chain.code(vault))
    token = chain.deploy("RudeToken", 6)
    assert len(chain.code(vault)) == length  # as long as it makes no call
    for target, armed in ((vault, False), ("0x" + "00" * 20, True), (vault, False)):
        token.send("prepare", target, b"")
        token.call("decimals")
        assert (len(chain.code(vault)) == length) is armed
        assert armed or chain.code(vault).startswith(runtime)
    with chain.undone():
        token.send("prepare", "0x" + "00" * 20, b"")
        world.system.vault.call("symbol")
        assert len(chain.code(vault)) == length
    assert chain.code(vault).startswith(runtime)
    assert len(chain.code(vault)) < length


def test_what_was_deployed_in_a_trial_is_forgotten_with_it() -> None:
    chain = CoveredChain(Coverage())
    aggregator = chain.deploy("ReplayAggregator", 8)
    armed = chain.deploy("ChainlinkFeed", aggregator, "0x" + "00" * 20, 0)
    before = chain.contracts()
    addresses = []
    for _ in range(2):
        with chain.undone():
            chain.deploy("RudeToken", 6)
            addresses.append(chain.deploy("NullVenue").address)
            assert len(chain.contracts()) == len(before) + 1
        assert chain.contracts() == before
        assert chain.code(addresses[0]) == b""
    assert addresses[0] == addresses[1]
    assert chain.code(armed) != b""


def test_a_token_that_answers_nothing_can_be_rehearsed() -> None:
    chain = CoveredChain(Coverage(), every=0)
    world = World(Setup(6, "SilentToken"), chain)
    chain.fresh.clear()
    world.system.vault.send("deposit", 10**9, world.actors["lp1"], sender=world.actors["lp1"])
    assert chain.fresh
