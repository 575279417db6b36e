"""Adjustments of parameters as the Steward takes them: calls, and what its key signs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from eth_account import Account
from eth_account.messages import SignableMessage, encode_typed_data

from ballast.chain import Contract, address_of
from ballast.model.exact.governor import Call

TYPES = {
    "Move": [{"name": "surface", "type": "uint256"}, {"name": "data", "type": "bytes"}],
    "Adjust": [
        {"name": "moves", "type": "Move[]"},
        {"name": "nonce", "type": "uint256"},
        {"name": "deadline", "type": "uint256"},
    ],
}

Move = tuple[int, bytes]
"""Id of a surface, and the encoded arguments of its setter after the surface's own."""


def message(moves: Sequence[Move], nonce: int, deadline: int, contract: str, chain_id: int) -> SignableMessage:
    """EIP-712 of `Steward.adjust_by_sig`."""
    return encode_typed_data(
        {"name": "Ballast Steward", "version": "1", "chainId": chain_id, "verifyingContract": contract},
        TYPES,
        {
            "moves": [{"surface": surface, "data": data} for surface, data in moves],
            "nonce": nonce,
            "deadline": deadline,
        },
    )


def sign(moves: Sequence[Move], nonce: int, deadline: int, contract: str, chain_id: int, key: str) -> bytes:
    """The signature of a private key."""
    return bytes(Account.sign_message(message(moves, nonce, deadline, contract, chain_id), key).signature)


class NotAnAdjustment(ValueError):
    """Calls that are none of the Steward's, or a file that holds no signed ones."""


def moves_of(steward: Contract, calls: Iterable[Call]) -> list[Move]:
    """Calls of setters as the Steward takes them; raises NotAnAdjustment for one that it does not know."""
    known = {}
    for i in range(steward.call("surface_count")):
        surface = steward.call("surface", i)
        known[surface.target, surface.write + surface.argument] = i
    moves = []
    for target, data in calls:
        found = [(i, data[len(head) :]) for (at, head), i in known.items() if at == target and data.startswith(head)]
        if not found:
            raise NotAnAdjustment(f"the Steward knows no setter 0x{data[:4].hex()} of {target}")
        moves += found
    return moves


def calls_of(steward: Contract, moves: Iterable[Move]) -> list[Call]:
    """The other way round."""
    surfaces = [(steward.call("surface", i), data) for i, data in moves]
    return [(surface.target, surface.write + surface.argument + data) for surface, data in surfaces]


@dataclass(frozen=True, slots=True)
class Signed:
    """Moves that the key has signed, on their way to whoever sends them."""

    contract: str
    chain_id: int
    moves: list[Move]
    nonce: int
    deadline: int
    signature: bytes

    @classmethod
    def by(cls, key: str, moves: list[Move], nonce: int, deadline: int, contract: str, chain_id: int) -> Signed:
        """With a private key."""
        signature = sign(moves, nonce, deadline, contract, chain_id, key)
        return cls(contract, chain_id, moves, nonce, deadline, signature)

    @property
    def signer(self) -> str:
        text = message(self.moves, self.nonce, self.deadline, self.contract, self.chain_id)
        return str(Account.recover_message(text, signature=self.signature))

    def save(self, path: Path) -> None:
        """As JSON."""
        document = {
            "contract": self.contract, "chain_id": self.chain_id, "nonce": self.nonce, "deadline": self.deadline,
            "moves": [{"surface": surface, "data": "0x" + data.hex()} for surface, data in self.moves],
            "signature": "0x" + self.signature.hex(),
        }  # fmt: skip
        path.write_text(json.dumps(document, indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> Signed:
        """What `save` wrote; raises NotAnAdjustment."""
        try:
            document = json.loads(path.read_text())
            moves = [(int(move["surface"]), bytes.fromhex(move["data"][2:])) for move in document["moves"]]
            numbers = (int(document[name]) for name in ("chain_id", "nonce", "deadline"))
            chain_id, nonce, deadline = numbers
            signature = bytes.fromhex(document["signature"][2:])
            return cls(address_of(document["contract"]), chain_id, moves, nonce, deadline, signature)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise NotAnAdjustment(f"{path} holds no signed adjustment: {type(error).__name__}: {error}") from None
