"""Where a replay happens: blocks at chosen times with chosen transactions, on Anvil or in process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from itertools import count
from json import dumps, loads
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import urlsplit

from ballast.chain import Chain, Receipt, RevmChain, Tx
from ballast.chain.anvil import TX_GAS_LIMIT, Anvil
from ballast.chain.rpc import Prepared, RpcChain, log_of

if TYPE_CHECKING:
    from requests import Session

BASE_FEE = 10**7  # [wei] 0.01 gwei, a rollup's


class Stage(Protocol):
    """A chain whose blocks we mine."""

    @property
    def chain(self) -> Chain: ...

    def mine(self, time: int, txs: Sequence[Tx]) -> list[Receipt]:
        """One block at `time` [s] with these transactions in this order; a failed one has its `error`."""
        ...

    def turn_to(self, time: int) -> None:
        """What is sent next, one by one, is mined at `time` [s]."""
        ...

    def tick(self, time: int) -> None:
        """An empty block at `time` [s]."""
        ...

    def reads(self, txs: Sequence[Tx]) -> list[Any]:
        """Decoded answers of many views."""
        ...


class _Wire:
    """The little of a `requests.Session` that RpcChain uses, five times as fast towards a node of our own."""

    def __init__(self, url: str) -> None:
        self._connection = HTTPConnection(urlsplit(url).netloc)
        self.status_code = 200
        self._body = b""

    def post(self, url: str, *, json: Any, timeout: float) -> _Wire:
        self._connection.timeout = timeout
        body = dumps(json, separators=(",", ":"))
        self._connection.request("POST", "/", body, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        self.status_code, self._body = response.status, response.read()
        return self

    def json(self) -> Any:
        return loads(self._body)

    def close(self) -> None:
        self._connection.close()


class MiningChain(RpcChain):
    """A connection to Anvil that mines what it submits at once, so that automine can stay off."""

    submitted = 0

    def __init__(self, url: str) -> None:
        super().__init__(url, gas_limit=TX_GAS_LIMIT)
        self._session.close()
        self._session = cast("Session", _Wire(url))

    def send(self, prepared: Prepared) -> str:
        self.submitted += 1
        tx_hash = super().send(prepared)
        self.request("evm_mine")
        return tx_hash


class AnvilStage:
    """Blocks on Anvil, three HTTP round trips each however many transactions."""

    def __init__(self, node: Anvil) -> None:
        self.chain = MiningChain(node.url)
        self.chain.request("evm_setAutomine", False)
        self._batched = 0

    @property
    def transactions(self) -> int:
        """Sent so far, one by one or in blocks."""
        return self._batched + self.chain.submitted

    def close(self) -> None:
        """Close the connection."""
        self.chain.close()

    def mine(self, time: int, txs: Sequence[Tx]) -> list[Receipt]:
        chain = self.chain
        # Anvil takes the calls of a batch in parallel: whoever sends several transactions has to number them
        times = Counter(tx.sender for tx in txs)
        several = [sender for sender, n in times.items() if n > 1]
        counts = self._turn_to(time, several)
        sends = [("eth_sendTransaction", [_fields(tx) | _numbered(tx, counts)]) for tx in txs]
        hashes = chain.request_many(sends)
        chain.request("evm_mine")
        found = {receipt["transactionHash"]: receipt for receipt in chain.request("eth_getBlockReceipts", "latest")}
        self._batched += len(txs)
        return [self._receipt(tx, tx_hash, found[tx_hash]) for tx, tx_hash in zip(txs, hashes, strict=True)]

    def turn_to(self, time: int) -> None:
        self._turn_to(time, [])

    def tick(self, time: int) -> None:
        self.chain.request_many([("evm_setNextBlockTimestamp", [time]), ("evm_mine", [])])

    def reads(self, txs: Sequence[Tx]) -> list[Any]:
        # nobody else mines here, so "latest" is one block for all of them
        answers = self.chain.request_many([("eth_call", (_fields(tx), "latest")) for tx in txs])
        return [
            tx.function.decode(bytes.fromhex(answer[2:])) if tx.function else answer
            for tx, answer in zip(txs, answers, strict=True)
        ]

    @contextmanager
    def what_if(self) -> Iterator[None]:
        """Whatever happens inside has not happened afterwards."""
        snapshot = self.chain.request("evm_snapshot")
        try:
            yield
        finally:
            self.chain.request("evm_revert", snapshot)

    def _turn_to(self, time: int, senders: Sequence[str]) -> dict[str, Iterator[int]]:
        """Also: the numbers of these senders' next transactions."""
        calls: list[tuple[str, Sequence[Any]]] = [
            ("evm_setNextBlockTimestamp", [time]),
            ("anvil_setNextBlockBaseFeePerGas", [hex(BASE_FEE)]),
            *(("eth_getTransactionCount", [sender, "latest"]) for sender in senders),
        ]
        _, _, *numbers = self.chain.request_many(calls)
        return {sender: count(int(number, 16)) for sender, number in zip(senders, numbers, strict=True)}

    def _receipt(self, tx: Tx, tx_hash: str, found: dict[str, Any]) -> Receipt:
        if int(found["status"], 16) == 0:
            return self.chain.wait(tx_hash, tx)  # finds out why
        return Receipt(
            self.chain,
            tx,
            status=1,
            gas_used=int(found["gasUsed"], 16),
            logs=[log_of(log) for log in found["logs"]],
            block_number=int(found["blockNumber"], 16),
            timestamp=0,
            output=b"",
            tx_hash=tx_hash,
        )


class RevmStage:
    """The same in process."""

    def __init__(self, chain: RevmChain) -> None:
        self.chain = chain
        self.transactions = 0

    def mine(self, time: int, txs: Sequence[Tx]) -> list[Receipt]:
        self.turn_to(time)
        self.transactions += len(txs)
        return self.chain.batch(txs)

    def turn_to(self, time: int) -> None:
        if time > self.chain.now:
            self.chain.warp_to(time)

    def tick(self, time: int) -> None:
        self.turn_to(time)

    def reads(self, txs: Sequence[Tx]) -> list[Any]:
        return [tx.function.decode(self.chain.read(tx)) if tx.function else None for tx in txs]


def _fields(tx: Tx) -> dict[str, str]:
    assert tx.to is not None
    return {"from": tx.sender, "to": tx.to, "data": "0x" + tx.data.hex(), "gas": hex(TX_GAS_LIMIT)}


def _numbered(tx: Tx, numbers: Mapping[str, Iterator[int]]) -> dict[str, str]:
    return {"nonce": hex(next(numbers[tx.sender]))} if tx.sender in numbers else {}
