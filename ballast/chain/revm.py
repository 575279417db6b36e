"""The in-process backend: an EVM (revm) without blocks to mine or sockets to wait for.

A transaction here runs in the current block; `warp` begins the next one. Gas figures are an EVM call's, not a
transaction's: addresses stay warm between calls. Measure gas on the JSON-RPC backend.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import pyrevm

from ballast.chain.codec import address_of
from ballast.chain.contract import Chain, Log, Receipt, Reverted, Tx

GENESIS = 1_700_000_000  # default first timestamp [s since 1970]
GAS = 1_000_000_000  # per call: bounds an endless loop, far above anything that fits in a block

_PADDING = 33  # zero bytes that revm keeps behind analysed code

# The accounts every local development node starts with, so that both backends use the same addresses.
ACCOUNTS = (
    "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
    "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
    "0x90F79bf6EB2c4f870365E785982E1f101E93b906",
    "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65",
    "0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc",
    "0x976EA74026E726554dB657fA54763abd0C3a0aa9",
    "0x14dC79964da2C08b23698B3D3cc7Ca32193d9955",
    "0x23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f",
    "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720",
)
_FAILURE = re.compile(
    r"^(Revert|Halt) \{ (?:reason: (?P<reason>.*?), )?gas_used: \d+(?:, output: 0x(?P<data>[0-9a-f]*))? \}$"
)


class RevmChain(Chain):
    """An empty chain at `timestamp`. Building one costs microseconds: make a new one rather than undo."""

    def __init__(self, timestamp: int = GENESIS, chain_id: int = 31_337, keep_logs: bool = False) -> None:
        super().__init__()
        self.accounts = list(ACCOUNTS)
        self.chain_id = chain_id
        self._now = timestamp
        self._number = 1
        self._history: list[Log] | None = [] if keep_logs else None
        # The name is case-sensitive: anything unknown, "CANCUN" included, silently means the latest rules.
        self._evm = pyrevm.EVM(spec_id="Cancun", env=pyrevm.Env(cfg=pyrevm.CfgEnv(chain_id=chain_id)))
        for account in self.accounts:
            self._evm.set_balance(account, 10**22)
        self._set_block()

    @property
    def now(self) -> int:
        return self._now

    @property
    def number(self) -> int:
        return self._number

    def read(self, tx: Tx, block: int | None = None) -> bytes:
        if block is not None and block != self._number:
            raise ValueError(f"revm keeps no history: block {block} is not the current {self._number}")
        evm = self._evm
        evm.reset_transient_storage()
        assert tx.to is not None
        is_view = tx.function is not None and tx.function.is_view
        checkpoint = None if is_view else evm.snapshot()
        try:
            return bytes(evm.message_call(tx.sender, tx.to, tx.data, tx.value, tx.gas or GAS, is_static=is_view))
        except RuntimeError as error:
            raise _failure(error) from None
        finally:
            if checkpoint is not None:
                evm.revert(checkpoint)

    def transact(self, tx: Tx) -> Receipt:
        evm = self._evm
        evm.reset_transient_storage()
        output = b""
        created: str | None = None
        try:
            if tx.to is None:
                created = address_of(evm.deploy(tx.sender, tx.data, tx.value, tx.gas or GAS))
            else:
                output = bytes(evm.message_call(tx.sender, tx.to, tx.data, tx.value, tx.gas or GAS))
        except RuntimeError as error:
            raise _failure(error) from None
        result = evm.result
        assert result is not None
        number = self._number
        logs = partial(_logs, result, number)
        if self._history is not None:
            self._history += logs()
        return Receipt(
            self, tx, status=1, gas_used=result.gas_used, logs=logs, block_number=number, timestamp=self._now,
            output=output, contract_address=created,
        )  # fmt: skip

    def batch(self, txs: Sequence[Tx]) -> list[Receipt]:
        return [self._attempt(tx) for tx in txs]

    def warp(self, seconds: int) -> None:
        if seconds < 1:
            raise ValueError(f"cannot warp by {seconds} s")
        self._now += seconds
        self._number += 1
        self._set_block()

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Whatever happens inside is undone at the end, time and logs included, `set_balance` not; may be nested."""
        checkpoint, now, number = self._evm.snapshot(), self._now, self._number
        logged = 0 if self._history is None else len(self._history)
        try:
            yield
        finally:
            self._evm.revert(checkpoint)
            self._now, self._number = now, number
            self._set_block()
            if self._history is not None:
                del self._history[logged:]

    @contextmanager
    def acting_as(self, contract: Any) -> Iterator[None]:
        """Inside, a contract sends transactions as an account would; everything is undone at the end."""
        address = address_of(contract)
        account = self._evm.basic(address)
        with self.undone():
            self._evm.insert_account_info(address, pyrevm.AccountInfo(nonce=account.nonce))
            try:
                yield
            finally:
                self._evm.insert_account_info(address, account)

    def balance(self, address: Any) -> int:
        return int(self._evm.get_balance(address_of(address)))

    def set_balance(self, address: Any, wei: int) -> None:
        self._evm.set_balance(address_of(address), wei)

    def code(self, address: Any) -> bytes:
        code = bytes(self._evm.basic(address_of(address)).code or b"")
        return code[:-_PADDING] if len(code) > _PADDING else b""

    def storage(self, address: Any, slot: int) -> int:
        return int(self._evm.storage(address_of(address), slot))

    def words(self, places: Sequence[tuple[str, int]]) -> list[int]:
        storage = self._evm.storage
        return [storage(address, slot) for address, slot in places]

    def logs(self, addresses: Sequence[Any], first: int, last: int) -> list[Log]:
        if self._history is None:
            raise ValueError("this chain keeps no logs: build it with RevmChain(keep_logs=True)")
        wanted = {address_of(address) for address in addresses}
        start = bisect_left(self._history, first, key=lambda log: log.block_number)
        return [log for log in self._history[start:] if log.address in wanted and log.block_number <= last]

    def _attempt(self, tx: Tx) -> Receipt:
        try:
            return self.transact(tx)
        except Reverted as error:
            return Receipt(
                self, tx, status=0, gas_used=0, logs=[], block_number=self._number, timestamp=self._now,
                output=error.data, error=error,
            )  # fmt: skip

    def _set_block(self) -> None:
        self._evm.set_block_env(pyrevm.BlockEnv(number=self._number, timestamp=self._now))


def _logs(result: Any, number: int) -> list[Log]:
    found = [(log.address, *log.data) for log in result.logs]
    return [Log(address, tuple(topics), data, number) for address, topics, data in found]


def _failure(error: RuntimeError) -> Exception:
    match = _FAILURE.match(str(error))
    if match is None:
        return error
    if match[1] == "Halt":
        return Reverted(f"halt: {match['reason']}", kind="halt")
    return Reverted.from_data(bytes.fromhex(match["data"] or ""))
