"""The JSON-RPC backend: Anvil in tests, any node in production, with unlocked senders or local keys."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import requests
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount
from eth_utils.crypto import keccak

from ballast.chain.codec import address_of
from ballast.chain.contract import Chain, Log, Receipt, Reverted, Tx

ESTIMATE_MARGIN = 1.5  # accrual costs more gas when time has passed between estimate and inclusion
BASE_FEE_MARGIN = 2  # blocks can double the base fee in six steps; the excess is not spent
FALLBACK_TIP = 10**9  # [wei per gas] where the node suggests none
_STRIDE = 8  # blocks with their transactions in one answer
RETRIES = (0.2, 0.6, 1.8)  # [s] pauses before a question is asked again that found no answer
BUSY = frozenset({408, 429, 502, 503, 504})  # HTTP: the node, or what stands before it, has no time
_ONCE = ("eth_send", "evm_", "anvil_")  # methods that change something begin so: asked once


class RpcError(Exception):
    """The node refused a request for a reason that is not a revert."""

    def __init__(self, method: str, code: int, message: str) -> None:
        super().__init__(f"{method}: {message} ({code})")
        self.method = method
        self.code = code
        self.message = message


class Busy(RpcError):
    """The node had no time; whether it did what was asked is not known."""


NO_ANSWER = (requests.RequestException, Busy)
"""What a request ends with that may have been carried out, or not."""


class NotIncluded(TimeoutError):
    """A transaction found no place in a block within the time allowed; it may still do."""

    def __init__(self, tx_hash: str) -> None:
        super().__init__(tx_hash)
        self.tx_hash = tx_hash


class Signed(Protocol):
    """A transaction ready for the network."""

    @property
    def raw_transaction(self) -> bytes: ...


class Signer(Protocol):
    """Signs for one address: a local key, or whatever keeps one."""

    def sign_transaction(self, fields: dict[str, Any]) -> Signed: ...

    def sign_message(self, message: Any) -> Any: ...  # has `signature`


@dataclass(frozen=True, slots=True)
class Prepared:
    """A transaction with gas, fees and nonce, as `JsonRpc.send` takes it."""

    fields: dict[str, str]
    raw: bytes | None = None  # signed; None: the node signs

    @property
    def hash(self) -> str | None:
        """Known before it is sent where we sign."""
        return None if self.raw is None else "0x" + keccak(self.raw).hex()


class JsonRpc:
    """An endpoint that answers JSON-RPC. `timeout` [s] bounds the wait for an answer.

    A question that finds no answer is asked again after each of the pauses `retries` [s], once the endpoint has
    answered at all; what changes something is asked once, because nobody knows here whether it was done.
    """

    def __init__(self, url: str, *, timeout: float = 60.0, retries: Sequence[float] = RETRIES) -> None:
        self.url = url
        self._timeout = timeout
        self._retries = retries
        self._answered = False
        self.reconnect()

    def reconnect(self) -> None:
        """A connection of our own: a process that was forked must not share its parent's."""
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy setting must not stand between us and a local node

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def request(self, method: str, *params: Any) -> Any:
        """One JSON-RPC call; raises Reverted or RpcError."""
        return self.request_many([(method, params)])[0]

    def request_many(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Several JSON-RPC calls in one HTTP round trip; raises for the first that failed."""
        answers = self._exchange(calls)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    def send(self, prepared: Prepared) -> str:
        """Hand a transaction over; returns its hash."""
        if prepared.raw is None:
            return str(self.request("eth_sendTransaction", prepared.fields))
        return str(self.request("eth_sendRawTransaction", "0x" + prepared.raw.hex()))

    def _exchange(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """What each call answered, or the Reverted or RpcError that it failed with."""
        bodies = [
            {"jsonrpc": "2.0", "id": i, "method": method, "params": list(params)}
            for i, (method, params) in enumerate(calls)
        ]
        if not bodies:
            return []
        document = self._ask(calls, bodies)
        answers = [document] if isinstance(document, dict) else sorted(document, key=lambda answer: answer["id"])
        if len(answers) != len(calls):
            raise RpcError(calls[0][0], 0, f"{len(answers)} answers to {len(calls)} calls")
        return [
            answer.get("result") if answer.get("error") is None else _error(method, answer["error"])
            for (method, _), answer in zip(calls, answers, strict=True)
        ]

    def _ask(self, calls: Sequence[tuple[str, Sequence[Any]]], bodies: list[dict[str, Any]]) -> Any:
        """The parsed answer to one HTTP request, which is repeated where that can do no harm; raises NO_ANSWER."""
        again = self._answered and not any(method.startswith(_ONCE) for method, _ in calls)
        deadline = time.monotonic() + self._timeout
        for pause in self._retries if again else ():
            try:
                return self._ask_once(calls, bodies)
            except NO_ANSWER:
                if time.monotonic() + pause > deadline:
                    raise
                time.sleep(pause)
        return self._ask_once(calls, bodies)

    def _ask_once(self, calls: Sequence[tuple[str, Sequence[Any]]], bodies: list[dict[str, Any]]) -> Any:
        response = self._session.post(self.url, json=bodies[0] if len(bodies) == 1 else bodies, timeout=self._timeout)
        if response.status_code in BUSY:
            raise Busy(calls[0][0], response.status_code, "the node is busy")
        try:
            document = response.json()
        except ValueError:
            raise RpcError(calls[0][0], response.status_code, "answer is not JSON") from None
        self._answered = True
        return document


class RpcChain(JsonRpc, Chain):
    """A node at `url`.

    `gas_limit` [gas] skips estimation (right on a test chain only). `timeout` [s] bounds the wait for inclusion,
    `poll` [s] the pause between looks. Keys added with `add_key` and `add_signer` sign locally; other senders must be
    unlocked.
    """

    def __init__(
        self,
        url: str,
        *,
        gas_limit: int | None = None,
        timeout: float = 60.0,
        poll: float = 0.25,
        retries: Sequence[float] = RETRIES,
    ) -> None:
        Chain.__init__(self)
        JsonRpc.__init__(self, url, timeout=timeout, retries=retries)
        self._gas_limit = gas_limit
        self._poll = poll
        self._signers: dict[str, Signer] = {}
        self._times: dict[int, int] = {}
        self.chain_id = int(self.request("eth_chainId"), 16)
        self.client = str(self.request("web3_clientVersion"))
        self.is_anvil = "anvil" in self.client.lower()
        try:
            self.accounts = [address_of(account) for account in self.request("eth_accounts")]
        except RpcError:
            self.accounts = []

    # ---- reading

    @property
    def now(self) -> int:
        return self._timestamp("latest")

    @property
    def number(self) -> int:
        return int(self.request("eth_blockNumber"), 16)

    def timestamp_of(self, block: int) -> int:
        """Time of a block [s since 1970]."""
        if block not in self._times:
            self._times[block] = self._timestamp(hex(block))
        return self._times[block]

    def read(self, tx: Tx, block: int | Literal["pending"] | None = None) -> bytes:
        """Also on "pending": the block that the node would make now of what is in its pool."""
        return _bytes(self.request("eth_call", _fields(tx), _tag(block)))

    def read_many(self, txs: Sequence[Tx], block: int | None = None) -> list[Any]:
        """Decoded results of many calls, all at one block, in one round trip; raises for the first that failed."""
        answers = self.try_many(txs, block)
        for answer in answers:
            if isinstance(answer, Reverted):
                raise answer
        return answers

    def try_many(self, txs: Sequence[Tx], block: int | None = None) -> list[Any]:
        """`read_many`, but a call that fails is answered by its Reverted."""
        tag = _tag(self.number if block is None else block)
        answers = self._exchange([("eth_call", (_fields(tx), tag)) for tx in txs])
        decoded: list[Any] = []
        for tx, answer in zip(txs, answers, strict=True):
            if isinstance(answer, RpcError):
                raise answer
            if not isinstance(answer, Reverted):
                answer = tx.function.decode(_bytes(answer)) if tx.function else _bytes(answer)
            decoded.append(answer)
        return decoded

    def simulate(self, txs: Sequence[Tx]) -> list[bytes | Reverted]:
        """What each would return were all executed in this order on the newest block; nothing stays."""
        calls = [_fields(tx) for tx in txs]
        (block,) = self.request("eth_simulateV1", {"blockStateCalls": [{"calls": calls}]}, "latest")
        answers: list[bytes | Reverted] = []
        for call in block["calls"]:
            data = _bytes(call["returnData"])
            answers.append(data if int(call["status"], 16) else Reverted.from_data(data))
        return answers

    def balance(self, address: Any) -> int:
        return int(self.request("eth_getBalance", address_of(address), "latest"), 16)

    def code(self, address: Any) -> bytes:
        return _bytes(self.request("eth_getCode", address_of(address), "latest"))

    def storage(self, address: Any, slot: int) -> int:
        return int(self.request("eth_getStorageAt", address_of(address), hex(slot), "latest"), 16)

    def logs(self, addresses: Sequence[Any], first: int, last: int) -> list[Log]:
        if first > last:
            return []  # nodes refuse a range that begins after the head
        query = {
            "address": [address_of(address) for address in addresses],
            "fromBlock": hex(first),
            "toBlock": hex(last),
        }
        return [log_of(log) for log in self.request("eth_getLogs", query)]

    # ---- sending

    def add_key(self, key: str | bytes) -> str:
        """Sign for this private key from now on; returns its address."""
        account: LocalAccount = Account.from_key(key)
        return self.add_signer(account.address, account)

    def add_signer(self, account: Any, signer: Signer) -> str:
        """Let `signer` sign what this account sends; returns its address."""
        address = address_of(account)
        self._signers[address] = signer
        if address not in self.accounts:
            self.accounts.append(address)
        return address

    def sign_typed(self, account: Any, document: dict[str, Any]) -> bytes:
        """The signature of an EIP-712 document by an account that signs here or at the node."""
        address = address_of(account)
        signer = self._signers.get(address)
        if signer is None:
            return bytes.fromhex(self.request("eth_signTypedData_v4", address, document)[2:])
        return bytes(signer.sign_message(encode_typed_data(full_message=document)).signature)

    def fees(self) -> tuple[int, int]:
        """(max fee, priority fee) [wei per gas] that a transaction sent now would offer."""
        base = int(self.request("eth_getBlockByNumber", "latest", False).get("baseFeePerGas", "0x0"), 16)
        try:
            tip = int(self.request("eth_maxPriorityFeePerGas"), 16)
        except RpcError:
            tip = FALLBACK_TIP
        return BASE_FEE_MARGIN * base + tip, tip

    def nonce(self, address: Any, block: str = "pending") -> int:
        """Next nonce of an account, transactions in the pool included."""
        return int(self.request("eth_getTransactionCount", address_of(address), block), 16)

    def estimate(self, tx: Tx) -> int:
        """Gas limit for a transaction: the node's estimate plus half; raises Reverted when it would fail."""
        return int(int(self.request("eth_estimateGas", _fields(tx)), 16) * ESTIMATE_MARGIN)

    def prepare(self, tx: Tx) -> Prepared:
        """Fill in what is missing, and sign where the key is ours; raises Reverted when the gas estimate fails."""
        fields = _fields(tx) | {"gas": hex(tx.gas or self._gas_limit or self.estimate(tx))}
        signer = self._signers.get(tx.sender)
        if signer is not None and (tx.max_fee is None or tx.nonce is None):
            max_fee, tip = self.fees() if tx.max_fee is None else (tx.max_fee, tx.priority_fee)
            nonce = self.nonce(tx.sender) if tx.nonce is None else tx.nonce
            tx = replace(tx, max_fee=max_fee, priority_fee=tip, nonce=nonce)
        for name, given in (
            ("maxFeePerGas", tx.max_fee),
            ("maxPriorityFeePerGas", tx.priority_fee),
            ("nonce", tx.nonce),
        ):
            if given is not None:
                fields[name] = hex(given)
        if signer is None:
            return Prepared(fields)
        signed = signer.sign_transaction(
            {
                "type": 2,
                "chainId": self.chain_id,
                "nonce": tx.nonce,
                "to": tx.to or "",
                "value": tx.value,
                "data": "0x" + tx.data.hex(),
                "gas": int(fields["gas"], 16),
                "maxFeePerGas": tx.max_fee,
                "maxPriorityFeePerGas": tx.max_fee if tx.priority_fee is None else tx.priority_fee,
            }
        )
        return Prepared(fields, bytes(signed.raw_transaction))

    def submit(self, tx: Tx) -> str:
        """Send without waiting; returns the hash. Raises Reverted when the gas estimate already fails."""
        return self.send(self.prepare(tx))

    def find(self, sender: Any, nonce: int, first: int) -> str | None:
        """Hash of an account's transaction with this nonce, which was included in block `first` or later."""
        owner, last = address_of(sender), self.number
        for start in range(first, last + 1, _STRIDE):
            numbers = range(start, min(start + _STRIDE, last + 1))
            for block in self.request_many([("eth_getBlockByNumber", (hex(number), True)) for number in numbers]):
                for tx in block["transactions"] if block else ():
                    if address_of(tx["from"]) == owner and int(tx["nonce"], 16) == nonce:
                        return str(tx["hash"])
        return None

    def wait(self, tx_hash: str, tx: Tx, timeout: float | None = None) -> Receipt:
        """The receipt of a submitted transaction, whether it succeeded or not; raises NotIncluded."""
        deadline = time.monotonic() + (self._timeout if timeout is None else timeout)
        pause = 0.001
        while (found := self.request("eth_getTransactionReceipt", tx_hash)) is None:
            if time.monotonic() > deadline:
                raise NotIncluded(tx_hash)
            time.sleep(pause)
            pause = min(2 * pause, self._poll)
        return self._receipt(tx, tx_hash, found)

    def transact(self, tx: Tx) -> Receipt:
        receipt = self.wait(self.submit(tx), tx)
        if receipt.error is not None:
            raise receipt.error
        return receipt

    def batch(self, txs: Sequence[Tx]) -> list[Receipt]:
        """On Anvil all in one block; elsewhere sent together, included as the network pleases."""
        if not self.is_anvil:
            return [self.wait(tx_hash, tx) for tx_hash, tx in [(self.submit(tx), tx) for tx in txs]]
        self.request("evm_setAutomine", False)
        try:
            hashes = [self.submit(tx) for tx in txs]
            self.request("evm_mine")
        finally:
            self.request("evm_setAutomine", True)
        return [self.wait(tx_hash, tx) for tx_hash, tx in zip(hashes, txs, strict=True)]

    # ---- test chains

    def warp(self, seconds: int) -> None:
        if seconds < 1:
            raise ValueError(f"cannot warp by {seconds} s")
        self.request("evm_setNextBlockTimestamp", self.now + seconds)
        self.request("evm_mine")

    def set_balance(self, address: Any, wei: int) -> None:
        self.request("anvil_setBalance", address_of(address), hex(wei))

    # ---- internal

    def _timestamp(self, block: str) -> int:
        return int(self.request("eth_getBlockByNumber", block, False)["timestamp"], 16)

    def _receipt(self, tx: Tx, tx_hash: str, found: dict[str, Any]) -> Receipt:
        block = int(found["blockNumber"], 16)
        status = int(found["status"], 16)
        created = found.get("contractAddress")
        output: Callable[[], bytes] = lambda: self._output(tx_hash)  # noqa: E731
        return Receipt(
            self,
            tx,
            status=status,
            gas_used=int(found["gasUsed"], 16),
            logs=[log_of(log) for log in found["logs"]],
            block_number=block,
            timestamp=lambda: self.timestamp_of(block),
            output=output,
            tx_hash=tx_hash,
            block_hash=str(found["blockHash"]),
            gas_price=int(found.get("effectiveGasPrice", "0x0"), 16),
            contract_address=address_of(created) if created else None,
            error=None if status else self._cause(tx, tx_hash, block),
        )

    def _output(self, tx_hash: str) -> bytes:
        trace = self.request("debug_traceTransaction", tx_hash, {"tracer": "callTracer"})
        return _bytes(trace.get("output", "0x"))

    def _cause(self, tx: Tx, tx_hash: str, block: int) -> Reverted:
        """Why a mined transaction failed: replay it on the state before its block, else ask for a trace."""
        try:
            self.request("eth_call", _fields(tx), hex(block - 1))
        except Reverted as error:
            error.tx_hash = tx_hash
            replayed: Reverted | None = error
        except RpcError:  # no state of that block any more
            replayed = None
        else:
            replayed = None
        try:
            trace = self.request("debug_traceTransaction", tx_hash, {"tracer": "callTracer"})
        except RpcError:
            trace = {}
        if "output" in trace:
            return Reverted.from_data(_bytes(trace["output"]), tx_hash)
        return replayed or Reverted(f"halt: {trace.get('error', 'unknown')}", kind="halt", tx_hash=tx_hash)


def _fields(tx: Tx) -> dict[str, str]:
    fields = {"from": tx.sender, "data": "0x" + tx.data.hex()}
    if tx.to is not None:
        fields["to"] = tx.to
    if tx.value:
        fields["value"] = hex(tx.value)
    if tx.gas:
        fields["gas"] = hex(tx.gas)
    return fields


def _tag(block: int | str | None) -> str:
    if isinstance(block, int):
        return hex(block)
    return block or "latest"


def _bytes(text: Any) -> bytes:
    return bytes.fromhex(str(text).removeprefix("0x"))


def log_of(log: dict[str, Any]) -> Log:
    """A log as JSON-RPC spells it."""
    return Log(
        address_of(log["address"]),
        tuple(_bytes(topic) for topic in log["topics"]),
        _bytes(log["data"]),
        int(log["blockNumber"], 16),
        str(log["transactionHash"]),
        int(log["logIndex"], 16),
    )


def _error(method: str, error: dict[str, Any]) -> Exception:
    code = int(error.get("code", 0))
    message = str(error.get("message", ""))
    data = error.get("data")
    if isinstance(data, dict):
        data = data.get("data") or data.get("result")
    if code == 3 or message.startswith(("execution reverted", "VM Exception")):
        return Reverted.from_data(_bytes(data) if isinstance(data, str) and data.startswith("0x") else b"")
    if message.startswith("EVM error "):
        return Reverted(f"halt: {message.removeprefix('EVM error ')}", kind="halt")
    return RpcError(method, code, message)
