"""A vault with ten million of LP money that everybody below tries to rob."""

import pytest

from ballast.system import Sandbox


@pytest.fixture
def vault_only(bare_system: Sandbox) -> Sandbox:
    """Ten million from account 1, nowhere to hedge, nobody trades yet."""
    bare_system.deposit(bare_system.chain.accounts[1], 10_000_000)
    return bare_system


@pytest.fixture
def hedged(system: Sandbox) -> Sandbox:
    """The same with real Uniswap venues."""
    system.deposit(system.chain.accounts[1], 10_000_000)
    return system
