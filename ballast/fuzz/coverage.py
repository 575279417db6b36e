"""Which lines and branches of the contracts a search has reached, at the speed of contracts that nobody watches.

Every edge not taken yet (see ballast/chain/sourcemap.py) leads into a trap, which reverts with the edge's id. A call
that springs one has left no state: the id is noted, the edge restored in the deployed code, and the call made again,
until it ends as it would without traps. What has been reached runs with its own bytes, gas and results, and a call
that springs nothing certainly reached nothing new. (Nagy and Hicks, "Full-speed fuzzing: reducing fuzzing overhead
through coverage-guided tracing", IEEE S&P 2019.)

Where a caller may go on after its callee failed, a trap would be swallowed and change what happens. Such callees are
*quarantined*: they run without traps, except in a rehearsal of some transactions, which is undone and compared
with the same call without traps; where the two differ, bisection finds the trap.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyrevm

from ballast.chain import address_of
from ballast.chain.artifacts import contract_paths, load
from ballast.chain.codec import Json
from ballast.chain.contract import Log, Receipt, Reverted, Tx
from ballast.chain.revm import ACCOUNTS, GENESIS, RevmChain
from ballast.chain.sourcemap import Edge, Kind, Line, SourceMap, source_map
from ballast.fuzz.unreachable import reason

EdgeId = tuple[str, int]  # contract, id of the edge in its source map

REHEARSE_FIRST = 16  # calls of each function that go through, and that many of the others
REHEARSE_REFUSED = 4  # calls for each reason that a function gives
REHEARSE_EVERY = 64  # transactions after those, in equal shares for every function
# PriceOracle asks its feeds, HedgeManager and Lens their venues, in calls that may fail.
ASKED_UNDER_TRY = ("AaveShortVenue", "ChainlinkFeed", "NullVenue", "UniswapV3Venue")

_MAGIC = hashlib.sha256(b"an edge never taken before").digest()[:28]  # then four bytes: contract, edge


@cache
def our_contracts() -> tuple[str, ...]:
    """Names of the deployable contracts that are not there for tests."""
    return tuple(sorted(name for name, path in contract_paths().items() if "testing" not in path.parts))


@cache
def _others() -> tuple[str, ...]:
    """Names of those that are."""
    return tuple(name for name in contract_paths() if name not in our_contracts())


@dataclass(frozen=True, slots=True)
class Row:
    """One contract in numbers: reached and all. `checks` are tests of the compiler's own, which rarely can fail."""

    contract: str
    lines: tuple[int, int]
    branches: tuple[int, int]
    checks: tuple[int, int]


class Coverage:
    """The edges that were taken, by contract. Plain data, but for the armed code it keeps at hand."""

    def __init__(self) -> None:
        self.reached: dict[str, set[int]] = {name: set() for name in our_contracts()}
        self.calls = 0  # transactions, and how many of each function were rehearsed
        self.rehearsed: Counter[str] = Counter()
        self.endings: Counter[tuple[str, str | None]] = Counter()  # of those, by function and reason of the revert
        self._armed: dict[str, tuple[int, dict[bytes, Any]]] = {}  # edges reached, then account by immutables

    def __reduce__(self) -> tuple[Any, ...]:
        return Coverage.from_json, (self.to_json(),)

    def __len__(self) -> int:
        return sum(map(len, self.reached.values()))

    def merge(self, other: Coverage) -> int:
        """Add what another search reached; the number of edges that are new."""
        before = len(self)
        for name, edges in other.reached.items():
            self.reached[name] |= edges
        return len(self) - before

    def to_json(self) -> Json:
        """Edges by contract, and the digest of the code they belong to."""
        return {name: {"code": _digest(name), "edges": sorted(edges)} for name, edges in self.reached.items()}

    @classmethod
    def from_json(cls, saved: Json) -> Coverage:
        """What was saved, without the contracts whose code is another one by now."""
        coverage = cls()
        for name, entry in saved.items():
            if name in coverage.reached and entry["code"] == _digest(name):
                coverage.reached[name] = set(entry["edges"])
        return coverage

    # ---- in numbers

    def lines(self, contract: str) -> tuple[int, int]:
        """Source lines reached and all that can be, of modules too; what only runs in the constructor has none."""
        every = _reachable(contract)
        return len(every & self._lines([contract])), len(every)

    def branches(self, contract: str) -> tuple[int, int]:
        """Outcomes of conditional jumps seen and all, but for failures of the compiler's own checks."""
        return self._count(contract, lambda edge: edge.kind in (Kind.TAKEN, Kind.FELL) and edge.check is None)

    def checks(self, contract: str) -> tuple[int, int]:
        """Failures of the compiler's own checks (overflow, bounds, calldata) seen and all."""
        return self._count(contract, lambda edge: edge.check is not None)

    def table(self) -> list[Row]:
        """One row for each contract."""
        return [Row(name, self.lines(name), self.branches(name), self.checks(name)) for name in self.reached]

    def uncovered(self, contract: str | None = None) -> dict[str, list[int]]:
        """Lines not reached but reachable, by source file: in this contract, or in none of those that contain them."""
        names = [contract] if contract else list(self.reached)
        missing: dict[str, list[int]] = {}
        for file, line in sorted({line for name in names for line in _reachable(name)} - self._lines(names)):
            missing.setdefault(file, []).append(line)
        return missing

    def distinct(self) -> tuple[int, int]:
        """Source lines reached and all that can be; a module's count once."""
        every = {line for name in self.reached for line in _reachable(name)}
        return len(every & self._lines(self.reached)), len(every)

    def impossible(self) -> list[Line]:
        """Lines that were reached although unreachable.py says that they cannot be."""
        return sorted(line for line in self._lines(self.reached) if reason(*line))

    def _lines(self, names: Iterable[str]) -> set[Line]:
        return {line for name in names for line in _map(name).lines_reached(self.reached[name])}

    def _count(self, contract: str, counts: Callable[[Edge], bool]) -> tuple[int, int]:
        wanted = {number for number, edge in _map(contract).edges.items() if counts(edge)}
        return len(wanted & self.reached[contract]), len(wanted)

    # ---- code with traps

    def missing(self, contract: str) -> list[int]:
        """Ids of the edges not taken yet."""
        return [number for number in _map(contract).edges if number not in self.reached[contract]]

    def armed(self, contract: str, immutables: bytes) -> Any:
        """An account whose code has a trap at every edge not taken yet."""
        taken, accounts = self._armed.get(contract, (-1, {}))
        if taken != len(self.reached[contract]):  # it only ever grows
            accounts = {}
            self._armed[contract] = len(self.reached[contract]), accounts
        if immutables not in accounts:
            accounts[immutables] = _account(trapped(contract, immutables, self.missing(contract)))
        return accounts[immutables]


@dataclass(slots=True)
class _Ours:
    """One of our contracts on a chain: what is behind its code, and the account as it was deployed."""

    name: str
    immutables: bytes
    plain: Any


class CoveredChain(RevmChain):
    """An in-process chain that notes what it reaches in our contracts.

    Calls with a gas limit of their own, deployments, and contracts whose code is not what our sources compile to are
    not looked at. Quarantined contracts are, in one of `every` transactions; all of ours are in quarantine while a
    contract that is not ours may ignore that a call failed: one with contracts/testing/reentry.vy while it is told to
    make a call, any other always.
    """

    def __init__(
        self, coverage: Coverage, timestamp: int = GENESIS, chain_id: int = 31_337, every: int = REHEARSE_EVERY
    ) -> None:
        super().__init__(timestamp, chain_id)
        self.coverage = coverage
        self.fresh: list[EdgeId] = []  # first taken by this chain since somebody last emptied it
        self.gas = (0, 0)  # of the last two transactions, 0 when one failed; deployments do not count
        self._every = every
        self._ours: dict[str, _Ours] = {}  # by address
        self._quarantine = set(ASKED_UNDER_TRY)
        self._told: list[tuple[str, int]] = []  # words that are not zero while a contract may ignore failures
        self._untold = False  # there is one that may at any time

    def contracts(self) -> dict[str, str]:
        """Names of the contracts that are looked at, by address."""
        return {address: ours.name for address, ours in self._ours.items()}

    def watch(self, coverage: Coverage) -> None:
        """From now on note in another place."""
        self.coverage = coverage
        self._arm(self._ours)

    def read(self, tx: Tx, block: int | None = None) -> bytes:
        self._isolate()
        ours = self._ours.get(tx.to or "")
        hidden = ours is not None and ours.name in self._quarantine
        due = hidden and self._is_due(tx)
        if due:
            self._rehearse(tx)
        while True:
            try:
                return super().read(tx, block)
            except Reverted as error:
                if not self._sprung(error):
                    if hidden and not due:
                        self._rehearse_news(tx, error)
                    raise

    def transact(self, tx: Tx) -> Receipt:
        if tx.to is None or tx.gas is not None:
            with self._without_traps():
                receipt = super().transact(tx)
            if receipt.contract_address is not None:
                self._meet(receipt.contract_address, tx.data)
            return receipt
        self._isolate()
        due = self._is_due(tx)
        if due:
            self._rehearse(tx)
        while True:
            try:
                receipt = super().transact(tx)
            except Reverted as error:
                if not self._sprung(error):
                    self.gas = self.gas[1], 0
                    if not due:
                        self._rehearse_news(tx, error)
                    raise
            else:
                self.gas = self.gas[1], receipt.gas_used
                return receipt

    @contextmanager
    def undone(self) -> Iterator[None]:
        ours, told = dict(self._ours), (list(self._told), self._untold)
        try:
            with super().undone():
                yield
        finally:
            for address in self._ours.keys() - ours.keys():  # free again: an EVM does not undo what was put there
                self._evm.insert_account_info(address, pyrevm.AccountInfo())
            self._ours, (self._told, self._untold) = ours, told
            self._isolate()
            self._arm(ours)

    @contextmanager
    def acting_as(self, contract: Any) -> Iterator[None]:
        """As above; the contract is no longer one of ours meanwhile, or a trap would give it code again."""
        address = address_of(contract)
        hidden = self._ours.pop(address, None)
        try:
            with super().acting_as(contract):
                yield
        finally:
            if hidden is not None:
                self._ours[address] = hidden
                self._disarm([address])
                self._arm([address])

    # ---- traps

    def _meet(self, address: str, creation: bytes) -> None:
        """A contract was deployed."""
        code = self.code(address)
        for name in our_contracts():
            runtime = load(name).runtime
            if code.startswith(runtime):
                self._ours[address] = _Ours(name, code[len(runtime) :], self._evm.basic(address))
                self._arm([address])
                return
        known = (artifact for artifact in map(load, _others()) if artifact.bytecode)
        artifact = next((artifact for artifact in known if creation.startswith(artifact.bytecode)), None)
        if artifact is not None and source_map(artifact).swallows:
            layout: Any = artifact.layout["storage_layout"]
            if "reentry" in layout:
                self._told.append((address, int(layout["reentry"]["target"]["slot"])))
            else:
                self._untold = True
            self._isolate()

    def _isolate(self) -> None:
        """Put all of ours in quarantine, or let them out again, as the next call demands."""
        wanted = self._untold or (bool(self._told) and any(self.words(self._told)))
        if wanted == (len(self._quarantine) == len(our_contracts())):
            return
        self._quarantine = set(our_contracts() if wanted else ASKED_UNDER_TRY)
        if wanted:
            self._disarm(self._ours)
        else:
            self._arm(self._ours)

    def _sprung(self, error: Reverted) -> bool:
        """Whether it was a trap that made a call fail; if so it is gone."""
        trap = _trap(error)
        if trap is not None:
            self._note(*trap)
        return trap is not None

    def _note(self, name: str, edge: int) -> None:
        reached = self.coverage.reached[name]
        if edge not in reached:
            reached.add(edge)
            self.fresh.append((name, edge))
        self._arm(address for address, ours in self._ours.items() if ours.name == name)

    def _arm(self, addresses: Iterable[str]) -> None:
        """Let code agree with the coverage, where it is not in quarantine."""
        for address in addresses:
            ours = self._ours[address]
            if ours.name not in self._quarantine:
                self._put(address, self.coverage.armed(ours.name, ours.immutables))

    def _disarm(self, addresses: Iterable[str]) -> None:
        for address in addresses:
            self._put(address, self._ours[address].plain)

    @contextmanager
    def _without_traps(self) -> Iterator[None]:
        """Constructors, whose failure would use up an address, and calls that could run out of gas in a trap."""
        self._disarm(self._ours)
        try:
            yield
        finally:
            self._arm(self._ours)

    def _put(self, address: str, account: Any) -> None:
        """Replace code; storage stays, and so must the balance."""
        balance = self._evm.get_balance(address)
        self._evm.insert_account_info(address, account)
        if balance:
            self._evm.set_balance(address, balance)

    # ---- quarantine

    def _function(self, tx: Tx) -> str:
        """What is called, by contract where that is ours."""
        ours, function = self._ours.get(tx.to or ""), "" if tx.function is None else tx.function.signature
        return f"{ours.name}.{function}" if ours is not None else function

    def _is_due(self, tx: Tx) -> bool:
        """Always for what happens seldom."""
        coverage, function = self.coverage, self._function(tx)
        coverage.calls += 1
        number, done = coverage.rehearsed[function], coverage.endings[function, None]
        seldom = number < REHEARSE_FIRST or (done < REHEARSE_FIRST and number < REHEARSE_FIRST**2)
        if not seldom and number * len(coverage.rehearsed) * self._every > coverage.calls:
            return False
        coverage.rehearsed[function] += 1
        return True

    def _rehearse_news(self, tx: Tx, error: Reverted) -> None:
        """For a call that has just failed, in a way that its function seldom does: nothing has happened, so it would
        end the same way again."""
        if self.coverage.endings[self._function(tx), error.reason] < REHEARSE_REFUSED:
            self._rehearse(tx)

    def _rehearse(self, tx: Tx) -> None:
        """Note every edge that this call takes in quarantined contracts; leaves no trace but that."""
        expected = self._trial(tx, {})
        while expected.trap is not None:
            self._note(*expected.trap)
            expected = self._trial(tx, {})
        self.coverage.endings[self._function(tx), expected.failure and expected.failure[0]] += 1
        while (edge := self._hidden(tx, expected)) is not None:
            self._note(*edge)

    def _hidden(self, tx: Tx, expected: _Ending) -> EdgeId | None:
        """An edge in quarantine that the call takes for the first time: a trap there, and no other, changes how it
        ends. The first trap that a call meets is the same whatever other traps there are, hence bisection finds it;
        mostly it is the one that was reported."""
        present = {address: ours for address, ours in self._ours.items() if ours.name in self._quarantine}
        every = {address: self.coverage.armed(ours.name, ours.immutables) for address, ours in present.items()}
        ending = self._trial(tx, every)
        if ending == expected or self._trial(tx, {}) != expected:
            return None

        def matters(traps: Sequence[EdgeId]) -> bool:
            edges: dict[str, list[int]] = {}
            for name, edge in traps:
                edges.setdefault(name, []).append(edge)
            few = {
                address: _account(trapped(ours.name, ours.immutables, edges[ours.name]))
                for address, ours in present.items()
                if ours.name in edges
            }
            return self._trial(tx, few) != expected

        if ending.trap is not None and matters([ending.trap]):
            return ending.trap
        names = sorted({ours.name for ours in present.values()})
        suspects = [(name, edge) for name in names for edge in self.coverage.missing(name)]
        while len(suspects) > 1:
            half = len(suspects) // 2
            suspects = suspects[:half] if matters(suspects[:half]) else suspects[half:]
        return suspects[0] if matters(suspects) else None

    def _trial(self, tx: Tx, accounts: Mapping[str, Any]) -> _Ending:
        """How a transaction would end with these accounts instead; undone."""
        for address, account in accounts.items():
            self._put(address, account)
        checkpoint = self._evm.snapshot()
        try:
            receipt = super().transact(tx)
            return _Ending(receipt.gas_used, receipt.logs)
        except Reverted as error:
            return _Ending(0, [], (error.reason, error.data), _trap(error))
        finally:
            self._evm.revert(checkpoint)
            self._disarm(accounts)


@dataclass(frozen=True, slots=True)
class _Ending:
    """How a call ended, seen from outside."""

    gas: int  # 0 when it failed
    logs: Sequence[Log]
    failure: tuple[str, bytes] | None = None  # reason and data
    trap: EdgeId | None = None


def _trap(error: Reverted) -> EdgeId | None:
    """The edge whose trap made a call fail."""
    data = error.data
    if len(data) != 32 or data[:28] != _MAGIC:
        return None
    return our_contracts()[int.from_bytes(data[28:30], "big")], int.from_bytes(data[30:], "big")


def trapped(contract: str, immutables: bytes, edges: Iterable[int]) -> bytes:
    """The deployed code of a contract with a trap at each of these edges."""
    code, traps = bytearray(load(contract).runtime), _traps(contract, len(immutables))
    overwritten: list[tuple[int, bytes]] = []
    for edge in edges:
        for place, words in traps.at[edge]:
            if len(words) > 2:
                overwritten.append((place, words))
            else:
                code[place : place + 2] = words
    for place, words in overwritten:  # last, because labels may lie inside
        code[place : place + len(words)] = words
    return bytes(code + immutables + traps.behind)


@dataclass(frozen=True, slots=True)
class _Traps:
    """What makes traps of one contract's edges: words to put at places, and the code they lead to behind the rest."""

    at: dict[int, tuple[tuple[int, bytes], ...]]  # by edge
    behind: bytes


@cache
def _traps(contract: str, immutables: int) -> _Traps:
    """Behind code and immutables [bytes] lie `report`, which reverts with magic, contract and edge, and an entry for
    each edge. A trap in what a caller does when its callee fails may be met on the way out of another trap: that one's
    report is handed on."""
    padding = bytes(32)  # the last data byte may look like a push, which hides what lies behind it from jumps
    report = len(load(contract).runtime) + immutables + len(padding)
    word = b"\x7f" + _MAGIC + our_contracts().index(contract).to_bytes(2, "big") + bytes(2)  # PUSH32
    # JUMPDEST, RETURNDATACOPY of everything to 0, whether what lies there is a trap's report, else make one
    behind = bytearray(b"\x5b\x3d\x5f\x5f\x3e" + b"\x5f\x51\x60\x20\x1c" + word + b"\x60\x20\x1c\x14")
    onward = report + len(behind) + 4 + len(word) + 7
    behind += b"\x61" + onward.to_bytes(2, "big") + b"\x57" + word + b"\x17\x5f\x52\x60\x20\x5f\xfd"
    behind += b"\x5b\x3d\x5f\xfd"  # onward: the same words again
    at: dict[int, tuple[tuple[int, bytes], ...]] = {}
    for number, edge in _map(contract).edges.items():
        entry = (report + len(behind)).to_bytes(2, "big")
        behind += b"\x5b\x61" + number.to_bytes(2, "big") + b"\x61" + report.to_bytes(2, "big") + b"\x56"
        jump = (b"\x5b" if edge.kind is Kind.START else b"") + b"\x61" + entry + b"\x56"
        at[number] = tuple((place, entry) for place in edge.labels) or ((edge.target, jump.ljust(edge.room, b"\0")),)
    return _Traps(at, padding + bytes(behind))


def _account(code: bytes) -> Any:
    """An account with this code. It must come out of an EVM: code handed in is analysed again in every call."""
    evm = pyrevm.EVM(spec_id="Cancun", env=pyrevm.Env(cfg=pyrevm.CfgEnv(limit_contract_code_size=2**16)))
    evm.set_balance(ACCOUNTS[0], 10**18)
    # PUSH2 size DUP1 PUSH1 10 PUSH0 CODECOPY PUSH0 RETURN
    creation = b"\x61" + len(code).to_bytes(2, "big") + b"\x80\x60\x0a\x5f\x39\x5f\xf3" + code
    return evm.basic(evm.deploy(ACCOUNTS[0], creation))


def _map(contract: str) -> SourceMap:
    return source_map(load(contract))


@cache
def _reachable(contract: str) -> frozenset[Line]:
    return frozenset(line for line in _map(contract).lines if reason(*line) is None)


@cache
def _digest(contract: str) -> str:
    return hashlib.sha256(load(contract).runtime).hexdigest()
