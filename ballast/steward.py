"""Adjustments of parameters as the Steward takes them: calls, and what its key signs."""

from __future__ import annotations

from collections.abc import Sequence

from eth_account import Account
from eth_account.messages import SignableMessage, encode_typed_data

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
