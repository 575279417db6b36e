"""A fitted surface as the contract takes it: integers, EIP-712 typed data, signatures in the order of their signers."""

from __future__ import annotations

from typing import Any

import numpy as np
from eth_account import Account
from eth_account.messages import encode_typed_data

from ballast.model.exact.fixed import WAD
from ballast.model.exact.vol_surface import MAX_RATE, Point, Update
from ballast.surface.ssvi import Surface

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
    message = encode_typed_data(full_message=typed_data(update, contract, chain_id))
    accounts = sorted((Account.from_key(key) for key in keys), key=lambda account: int(account.address, 16))
    return [bytes(account.sign_message(message).signature) for account in accounts]


def arguments(update: Update) -> tuple[Any, ...]:
    """The update as the contract's struct."""
    points = [(p.expiry, p.theta, p.rate) for p in update.points]
    return (update.market, update.timestamp, update.rho, update.eta, points)
