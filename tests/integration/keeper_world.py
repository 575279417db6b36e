"""A world on Anvil that tests of a keeper's process share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ballast.chain.rpc import RpcChain
from ballast.system import Sandbox


@contextmanager
def undone(system: Sandbox) -> Iterator[Sandbox]:
    """The world as it is; what is done to it meanwhile is taken back."""
    chain = system.chain
    assert isinstance(chain, RpcChain)
    snapshot = chain.request("evm_snapshot")
    try:
        yield system
    finally:
        chain.request("anvil_dropAllTransactions")
        chain.request("evm_setAutomine", True)
        chain.request("evm_revert", snapshot)
