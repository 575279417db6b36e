"""A surface as the contract has it: integers, EIP-712 typed data, signatures in the order of their signers, smiles."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from eth_account import Account
from eth_account.messages import SignableMessage, encode_typed_data

from ballast.chain.codec import address_of
from ballast.model.exact.fixed import WAD
from ballast.model.exact.vol_surface import MAX_RATE, Point, Update
from ballast.surface.ssvi import YEAR, Surface, total_variance

TYPES = {
    "Point": [
        {"name": "expiry", "type": "uint256"},
        {"name": "theta", "type": "uint256"},
        {"name": "rate", "type": "int256"},
    ],
    "Update": [
        {"name": "market", "type": "uint256"},
        {"name": "timestamp", "type": "uint256"},
        {"name": "rho", "type": "int256"},
        {"name": "eta", "type": "uint256"},
        {"name": "points", "type": "Point[]"},
    ],
}


def update_of(surface: Surface, market: int, spot: float) -> Update:
    """The surface in WAD; the rate of an expiry leads from `spot` [quote/base] to its forward, within the bounds."""
    rates = np.clip(np.log(surface.forward / spot) / surface.years(), -MAX_RATE / WAD, MAX_RATE / WAD)
    points = tuple(
        Point(int(expiry), round(float(theta) * WAD), round(float(rate) * WAD))
        for expiry, theta, rate in zip(surface.expiry, surface.theta, rates, strict=True)
    )
    return Update(market, surface.ts, round(surface.rho * WAD), round(surface.eta * WAD), points)


def typed_data(update: Update, contract: str, chain_id: int) -> dict[str, Any]:
    """What a feeder signs, as wallets show it."""
    return {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            **TYPES,
        },
        "primaryType": "Update",
        "domain": {
            "name": "Ballast VolSurface",
            "version": "1",
            "chainId": chain_id,
            "verifyingContract": contract,
        },
        "message": {
            "market": update.market,
            "timestamp": update.timestamp,
            "rho": update.rho,
            "eta": update.eta,
            "points": [{"expiry": p.expiry, "theta": p.theta, "rate": p.rate} for p in update.points],
        },
    }


def sign(update: Update, contract: str, chain_id: int, *keys: str) -> list[bytes]:
    """Signatures of the private keys, by ascending signer."""
    signed = SignedUpdate(update, contract, chain_id)
    for key in keys:
        signed.sign(key)
    return signed.ordered()


def arguments(update: Update) -> tuple[Any, ...]:
    """The update as the contract's struct."""
    points = [(p.expiry, p.theta, p.rate) for p in update.points]
    return (update.market, update.timestamp, update.rho, update.eta, points)


def smile_vol(smile: Any, k: float, expiry: int) -> float:
    """Implied volatility [per sqrt year] of IVolSurface.Smile at k = ln(strike / forward)."""
    variance = total_variance(k, smile.theta / WAD, smile.rho / WAD, smile.eta / WAD)
    return float(np.sqrt(variance / ((expiry - smile.timestamp) / YEAR)))


class NotAnUpdate(ValueError):
    """A file that no update can be read from, or signatures of something else."""


@dataclass(slots=True)
class SignedUpdate:
    """An update for one contract and its signatures so far, by signer; as a file it travels between feeders."""

    update: Update
    contract: str
    chain_id: int
    signatures: dict[str, bytes] = field(default_factory=dict)

    @property
    def message(self) -> SignableMessage:
        """What is signed."""
        return encode_typed_data(full_message=typed_data(self.update, self.contract, self.chain_id))

    def sign(self, key: str) -> str:
        """Add the signature of a private key; its address."""
        account = Account.from_key(key)
        self.signatures[account.address] = bytes(account.sign_message(self.message).signature)
        return str(account.address)

    def ordered(self) -> list[bytes]:
        """Signatures as the contract takes them: by ascending signer."""
        return [self.signatures[signer] for signer in sorted(self.signatures, key=lambda signer: int(signer, 16))]

    def merge(self, other: SignedUpdate) -> None:
        """Take over the signatures of the same update; raises NotAnUpdate if it is another."""
        if (self.update, self.contract, self.chain_id) != (other.update, other.contract, other.chain_id):
            raise NotAnUpdate("the files hold different updates: signatures of one say nothing about the other")
        self.signatures |= other.signatures

    def save(self, path: Path) -> None:
        """As JSON; integers that JavaScript would round are strings."""
        document = typed_data(self.update, self.contract, self.chain_id)["message"] | {
            "rho": str(self.update.rho),
            "eta": str(self.update.eta),
            "points": [{"expiry": p.expiry, "theta": str(p.theta), "rate": str(p.rate)} for p in self.update.points],
            "contract": self.contract,
            "chain_id": self.chain_id,
            "signatures": {signer: "0x" + signature.hex() for signer, signature in self.signatures.items()},
        }
        path.write_text(json.dumps(document, indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> SignedUpdate:
        """What `save` wrote; raises NotAnUpdate, also for a signature that is not its signer's."""
        try:
            document = json.loads(path.read_text())
            points = tuple(Point(int(p["expiry"]), int(p["theta"]), int(p["rate"])) for p in document["points"])
            market, timestamp, rho, eta = (int(document[name]) for name in ("market", "timestamp", "rho", "eta"))
            update = Update(market, timestamp, rho, eta, points)
            signed = cls(update, address_of(document["contract"]), int(document["chain_id"]))
            signatures = {signer: bytes.fromhex(text[2:]) for signer, text in document["signatures"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise NotAnUpdate(f"{path} holds no signed update: {type(error).__name__}: {error}") from None
        for signer, signature in signatures.items():
            try:
                recovered = Account.recover_message(signed.message, signature=signature)
            except Exception:  # the library raises whatever its parser met
                recovered = None
            if recovered != signer:
                raise NotAnUpdate(f"{path}: the signature under {signer} is not of that key and this update")
        signed.signatures = signatures
        return signed
