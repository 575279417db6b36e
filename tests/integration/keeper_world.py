"""A vault with something to hedge, on Anvil, for the tests of what a keeper's process lives through."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ballast.chain.rpc import RpcChain
from ballast.system import Sandbox, deploy_system


def built(chain: RpcChain) -> Sandbox:
    """A vault of 10m, short 2,000 ETH: the keeper has something to do."""
    system = deploy_system(chain)
    system.deposit(chain.accounts[1], 10_000_000)
    system.add_margin(chain.accounts[2], 1_000_000)
    system.trade(chain.accounts[2], "ETH", 2_000)
    system.warp(60)
    return system


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
