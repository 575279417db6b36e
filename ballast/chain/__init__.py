"""One contract wrapper over two backends: in-process revm for speed, JSON-RPC for everything real."""

from ballast.chain.artifacts import Artifact, load, npm
from ballast.chain.codec import DecodingError, EncodingError, address_of
from ballast.chain.contract import NOBODY, Chain, Contract, Event, Log, Receipt, Reverted, Tx, reverts
from ballast.chain.revm import RevmChain

__all__ = [
    "NOBODY", "Artifact", "Chain", "Contract", "DecodingError", "EncodingError", "Event", "Log", "Receipt", "Reverted",
    "RevmChain", "Tx", "address_of", "load", "npm", "reverts",
]  # fmt: skip
