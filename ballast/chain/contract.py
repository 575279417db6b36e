"""A deployed contract seen from Python, and what every chain backend has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from ballast.chain.artifacts import Artifact, load
from ballast.chain.codec import EventType, Function, address_of

NOBODY = "0x" + "00" * 19 + "01"  # who asks without an account: somebody new

FailureKind = Literal["error", "panic", "empty", "custom", "halt"]

_ERROR = bytes.fromhex("08c379a0")  # Error(string)
_AFTER_ONE_WORD = (32).to_bytes(32, "big")  # where the only dynamic value begins
_PANIC = bytes.fromhex("4e487b71")  # Panic(uint256)


class Reverted(Exception):
    """A call or transaction failed inside the EVM.

    `reason` is the string of Error(string); "" for an empty revert (Vyper: arithmetic, bounds, `# dev:` asserts);
    "panic 0x11" for Solidity panics; "custom 0x…" for other data; "halt: …" for invalid opcodes and exhausted gas.
    """

    def __init__(self, reason: str, data: bytes = b"", kind: FailureKind = "error", tx_hash: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.data = data
        self.kind: FailureKind = kind
        self.tx_hash = tx_hash

    def __str__(self) -> str:
        return self.reason or "(empty revert)"

    @classmethod
    def from_data(cls, data: bytes, tx_hash: str | None = None) -> Reverted:
        """The failure that revert data describes."""
        if not data:
            return cls("", data, "empty", tx_hash)
        if data[:4] == _ERROR:
            length = int.from_bytes(data[36:68], "big")
            try:
                if data[4:36] != _AFTER_ONE_WORD or len(data) < 68 + length:
                    raise ValueError("not a string")
                return cls(data[68 : 68 + length].decode(), data, "error", tx_hash)
            except ValueError:
                return cls(f"custom 0x{data.hex()}", data, "custom", tx_hash)
        if data[:4] == _PANIC and len(data) == 36:
            return cls(f"panic {int.from_bytes(data[4:], 'big'):#x}", data, "panic", tx_hash)
        return cls(f"custom 0x{data.hex()}", data, "custom", tx_hash)


@contextmanager
def reverts(reason: str | None = None) -> Iterator[None]:
    """Assert that the block reverts, with exactly `reason` when given ("" means: with empty data)."""
    try:
        yield
    except Reverted as error:
        if reason is not None and error.reason != reason:
            raise AssertionError(f"reverted with {error.reason!r}, not {reason!r}") from error
        return
    raise AssertionError(f"did not revert{'' if reason is None else f' with {reason!r}'}")


@dataclass(frozen=True, slots=True)
class Event:
    """A decoded log; `args` is a namedtuple in declaration order."""

    address: str
    name: str
    args: Any


@dataclass(frozen=True, slots=True)
class Log:
    """A raw log as the EVM wrote it; block data is 0 and "" where the backend has none."""

    address: str
    topics: tuple[bytes, ...]
    data: bytes
    block_number: int = 0
    tx_hash: str = ""
    index: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Tx:
    """A call or transaction that has not been sent; `to` None deploys. Fees [wei per gas] matter on JSON-RPC only."""

    to: str | None
    data: bytes
    sender: str
    value: int = 0
    function: Function | None = None
    gas: int | None = None
    nonce: int | None = None
    max_fee: int | None = None
    priority_fee: int | None = None


class Receipt:
    """What a transaction did. Events and the return value are decoded when asked for."""

    __slots__ = (
        "_chain", "_events", "_function", "_logs", "_output", "_timestamp", "block_hash", "block_number",
        "contract_address", "error", "gas_price", "gas_used", "sender", "status", "to", "tx_hash",
    )  # fmt: skip

    def __init__(
        self,
        chain: Chain,
        tx: Tx,
        *,
        status: int,
        gas_used: int,
        logs: Sequence[Log] | Callable[[], Sequence[Log]],
        block_number: int,
        timestamp: int | Callable[[], int],
        output: bytes | Callable[[], bytes],
        tx_hash: str | None = None,
        block_hash: str | None = None,
        gas_price: int = 0,
        contract_address: str | None = None,
        error: Reverted | None = None,
    ) -> None:
        self._chain = chain
        self._function = tx.function
        self._output = output
        self._timestamp = timestamp
        self._events: list[Event] | None = None
        self.status = status
        self.gas_used = gas_used
        self._logs = logs
        self.block_number = block_number
        self.tx_hash = tx_hash
        self.block_hash = block_hash
        self.gas_price = gas_price  # [wei per gas] paid
        self.contract_address = contract_address
        self.error = error
        self.sender = tx.sender
        self.to = tx.to

    def __repr__(self) -> str:
        return f"Receipt(status={self.status}, gas_used={self.gas_used}, block={self.block_number})"

    @property
    def timestamp(self) -> int:
        """Block time [s since 1970]."""
        if not isinstance(self._timestamp, int):
            self._timestamp = self._timestamp()
        return self._timestamp

    @property
    def logs(self) -> Sequence[Log]:
        """Logs as the EVM wrote them, in order."""
        if callable(self._logs):
            self._logs = self._logs()
        return self._logs

    @property
    def value(self) -> Any:
        """What the function returned."""
        if not isinstance(self._output, bytes):
            self._output = self._output()
        return self._function.decode(self._output) if self._function else None

    @property
    def events(self) -> list[Event]:
        """Every event of the transaction, in order; one of an unknown type has its Log as `args` and no name."""
        if self._events is None:
            self._events = [self._chain.decode_log(log) for log in self.logs]
        return self._events

    def find(self, name: str, address: Any = None) -> list[Any]:
        """The arguments of every event called `name`, optionally from one emitter only."""
        emitter = None if address is None else address_of(address)
        return [e.args for e in self.events if e.name == name and emitter in (None, e.address)]

    def one(self, name: str, address: Any = None) -> Any:
        """The arguments of the only event called `name`; LookupError when there is not exactly one."""
        found = self.find(name, address)
        if len(found) != 1:
            raise LookupError(f"{len(found)} events {name!r} among {[event.name for event in self.events]}")
        return found[0]


class BoundFunction:
    """`contract.name(...)` reads or simulates; `contract.name.send(...)` transacts."""

    __slots__ = ("_contract", "_name")

    def __init__(self, contract: Contract, name: str) -> None:
        self._contract = contract
        self._name = name

    def __call__(self, *args: Any, sender: Any = None, block: int | None = None, value: int = 0) -> Any:
        return self._contract.call(self._name, *args, sender=sender, block=block, value=value)

    def send(self, *args: Any, sender: Any = None, value: int = 0, gas: int | None = None) -> Receipt:
        return self._contract.send(self._name, *args, sender=sender, value=value, gas=gas)

    def tx(self, *args: Any, sender: Any = None, value: int = 0, gas: int | None = None) -> Tx:
        return self._contract.tx(self._name, *args, sender=sender, value=value, gas=gas)


class Contract:
    """A contract at an address of a chain.

    Functions are named; overloads are chosen by the number of arguments, or by the full signature, as in
    `call("quote(uint256,int256)", ...)`. `sender` defaults to the chain's first account.
    """

    __slots__ = ("_chosen", "address", "artifact", "chain", "receipt")

    def __init__(self, chain: Chain, address: str, artifact: Artifact, receipt: Receipt | None = None) -> None:
        self.chain = chain
        self.address = address
        self.artifact = artifact
        self.receipt = receipt  # of the deployment, when this object deployed it
        self._chosen: dict[tuple[str, int], Function] = {}

    def __repr__(self) -> str:
        return f"{self.artifact.name}({self.address})"

    def __getattr__(self, name: str) -> BoundFunction:
        if name.startswith("__") or name not in self.artifact.functions:
            raise AttributeError(f"{self.artifact.name} has no function {name!r}")
        return BoundFunction(self, name)

    def call(self, fn: str, *args: Any, sender: Any = None, block: int | None = None, value: int = 0) -> Any:
        """The result of a view, or of a state-changing function simulated and undone; raises Reverted."""
        function = self._chosen.get((fn, len(args))) or self.function(fn, len(args))
        chain = self.chain
        data = chain.read(Tx(self.address, function.encode(args), chain.caller(sender), value, function), block)
        return function.decode(data)

    def send(self, fn: str, *args: Any, sender: Any = None, value: int = 0, gas: int | None = None) -> Receipt:
        """Transact and wait; raises Reverted."""
        return self.chain.transact(self.tx(fn, *args, sender=sender, value=value, gas=gas))

    def tx(self, fn: str, *args: Any, sender: Any = None, value: int = 0, gas: int | None = None) -> Tx:
        """The transaction `send` would send, for `Chain.batch`, `Chain.read` and `RpcChain.submit`."""
        function = self._chosen.get((fn, len(args))) or self.function(fn, len(args))
        return Tx(self.address, function.encode(args), self.chain.caller(sender), value, function, gas)

    def function(self, fn: str, arity: int) -> Function:
        """The ABI function of a name and a number of arguments, or of a full signature."""
        name = fn.partition("(")[0]
        candidates = self.artifact.functions.get(name, [])
        if "(" in fn:
            matches = [function for function in candidates if function.signature == fn.replace(" ", "")]
        else:
            matches = [function for function in candidates if len(function.inputs.names) == arity]
        if len(matches) != 1:
            known = ", ".join(function.signature for function in candidates) or "nothing"
            raise LookupError(f"{self.artifact.name}.{fn} with {arity} arguments: {len(matches)} matches in {known}")
        self._chosen[fn, arity] = matches[0]
        return matches[0]


class Chain(ABC):
    """A backend. Time is the chain's own; addresses are checksummed strings."""

    accounts: list[str]
    chain_id: int

    def __init__(self) -> None:
        self._artifacts: dict[str, Artifact] = {}
        self._event_types: dict[tuple[bytes, int], EventType] = {}

    # ---- what a backend provides

    @property
    @abstractmethod
    def now(self) -> int:
        """Time of the block in which views run [s since 1970]."""

    @property
    @abstractmethod
    def number(self) -> int:
        """Number of that block."""

    @abstractmethod
    def read(self, tx: Tx, block: int | None = None) -> bytes:
        """Return data of a call that leaves no trace; raises Reverted."""

    @abstractmethod
    def transact(self, tx: Tx) -> Receipt:
        """Execute and wait for inclusion; raises Reverted."""

    @abstractmethod
    def batch(self, txs: Sequence[Tx]) -> list[Receipt]:
        """Execute in this order within one block; a failed one has status 0 and its `error`."""

    @abstractmethod
    def warp(self, seconds: int) -> None:
        """Begin a new block `seconds` (at least 1) later."""

    @abstractmethod
    def balance(self, address: Any) -> int:
        """Native balance [wei]."""

    @abstractmethod
    def set_balance(self, address: Any, wei: int) -> None:
        """Overwrite a native balance (test chains only)."""

    @abstractmethod
    def code(self, address: Any) -> bytes:
        """Deployed code, immutables included."""

    @abstractmethod
    def storage(self, address: Any, slot: int) -> int:
        """One storage word."""

    def words(self, places: Sequence[tuple[str, int]]) -> list[int]:
        """Storage words by address and slot."""
        return [self.storage(address, slot) for address, slot in places]

    @abstractmethod
    def logs(self, addresses: Sequence[Any], first: int, last: int) -> list[Log]:
        """Logs of these addresses in blocks first…last, both included, in order."""

    # ---- what they share

    def caller(self, sender: Any = None) -> str:
        """Who sends unless told otherwise: the first account; NOBODY where there is none."""
        if sender is not None:
            return address_of(sender)
        return self.accounts[0] if self.accounts else NOBODY

    def warp_to(self, timestamp: int) -> None:
        """Begin a new block at `timestamp`, which must lie in the future."""
        self.warp(timestamp - self.now)

    def deploy(self, what: str | Artifact, *args: Any, sender: Any = None, value: int = 0) -> Contract:
        """Deploy a contract by name or artifact; raises Reverted when its constructor does."""
        artifact = load(what) if isinstance(what, str) else what
        if not artifact.bytecode:
            raise ValueError(f"{artifact.name} is an interface")
        initcode = artifact.bytecode + artifact.constructor.encode(args)
        receipt = self.transact(Tx(None, initcode, self.caller(sender), value))
        assert receipt.contract_address is not None
        return self._register(artifact, receipt.contract_address, receipt)

    def at(self, what: str | Artifact, address: Any) -> Contract:
        """A contract that already exists, by contract or interface name."""
        return self._register(load(what) if isinstance(what, str) else what, address_of(address))

    def decode_log(self, log: Log) -> Event:
        """Decode by the emitter's own ABI, else by any ABI this chain object has seen."""
        key = (log.topics[0] if log.topics else b"", len(log.topics))
        artifact = self._artifacts.get(log.address)
        kind = (artifact.events.get(key) if artifact else None) or self._event_types.get(key)
        if kind is None:
            return Event(log.address, "", log)
        return Event(log.address, kind.name, kind.decode(log.topics, log.data))

    def _register(self, artifact: Artifact, address: str, receipt: Receipt | None = None) -> Contract:
        self._artifacts[address] = artifact
        self._event_types.update(artifact.events)
        return Contract(self, address, artifact, receipt)
