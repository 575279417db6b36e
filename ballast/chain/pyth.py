"""Pyth's own test contract from its Solidity SDK, from its published bytecode: anybody may say what a price is.

It takes prices as `PythStructs.PriceFeed` beside the time of the update before, where the real contract takes messages
signed by Wormhole's guardians; all else is the interface that PythFeed talks to. Its `parsePriceFeedUpdatesUnique` of
4.3.1 does not look whether an update is the first; `parsePriceFeedUpdatesWithConfig`, which PythFeed calls, does.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from ballast.chain.artifacts import ROOT, Artifact, UnknownContract
from ballast.chain.contract import Chain, Contract

_PACKAGE = ROOT / "node_modules/@pythnetwork/pyth-sdk-solidity"
FEE = 1  # [wei] of an update of one price, as on most chains
VALID_FOR = 60  # [s] nothing here asks for it


@cache
def artifact() -> Artifact:
    """MockPyth of the SDK."""
    code = _PACKAGE / "build/MockPyth_sol_MockPyth.bin"
    if not code.is_file():
        raise UnknownContract(f"{code.relative_to(ROOT)} is missing; run `make install`")
    return Artifact(
        name="MockPyth",
        abi=json.loads((_PACKAGE / "abis/MockPyth.json").read_text()),
        bytecode=bytes.fromhex(code.read_text().strip()),
        runtime=b"",
        layout={},
        source_path=None,
        deployed_size=0,
    )


@dataclass(frozen=True, slots=True)
class Pyth:
    """One Pyth deployment that says what it is told."""

    contract: Contract

    @classmethod
    def deploy(cls, chain: Chain, *, sender: str, fee: int = FEE) -> Pyth:
        """A new one, whose updates cost `fee` [wei] each."""
        return cls(chain.deploy(artifact(), VALID_FOR, fee, sender=sender))

    @classmethod
    def at(cls, chain: Chain, address: str) -> Pyth:
        """One that is there."""
        return cls(chain.at(artifact(), address))

    def message(
        self, price_id: bytes, price: int, conf: int, expo: int, published_at: int, before: int | None = None
    ) -> bytes:
        """An update: price and confidence [10^expo], the time it was published at and that of the one before [s]."""
        previous = published_at - 1 if before is None else before
        created = self.contract.call(
            "createPriceFeedUpdateData", price_id, price, conf, expo, price, conf, published_at, previous
        )
        return bytes(created)

    def push(self, price_id: bytes, price: Decimal, expo: int, *, sender: str, conf: Decimal = Decimal(0)) -> None:
        """Bring a price that is published now."""
        digits, width = int(price.scaleb(-expo)), int(conf.scaleb(-expo))
        data = [self.message(price_id, digits, width, expo, self.contract.chain.now)]
        self.contract.send("updatePriceFeeds", data, value=self.contract.call("getUpdateFee", data), sender=sender)
