"""Actors that unit tests of single contracts share; the chain is `chain` of tests/conftest.py."""

from __future__ import annotations

import pytest

from ballast.chain import RevmChain


@pytest.fixture
def governor(chain: RevmChain) -> str:
    """Admin from the constructor on."""
    return chain.accounts[0]


@pytest.fixture
def setup(chain: RevmChain) -> str:
    """The deployer, which wires and then renounces."""
    return chain.accounts[1]


@pytest.fixture
def stranger(chain: RevmChain) -> str:
    """Nobody in particular."""
    return chain.accounts[3]
