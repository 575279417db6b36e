"""What every test may use: chains on either backend, and one measure of how hard to search."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from ballast.chain import RevmChain
from ballast.chain.anvil import Anvil
from ballast.chain.rpc import RpcChain

FUZZ_SCALE = int(os.environ.get("BALLAST_FUZZ_SCALE", "1"))

settings.register_profile("ballast", deadline=None, print_blob=True, max_examples=100 * FUZZ_SCALE)
settings.load_profile("ballast")


@pytest.fixture(scope="session")
def fuzz_scale() -> int:
    """Multiplier for the budget of randomised tests: 1 in `make test`, more in `make fuzz`."""
    return FUZZ_SCALE


@pytest.fixture
def revm() -> RevmChain:
    """An empty in-process chain."""
    return RevmChain()


@pytest.fixture(scope="module")
def anvil_node() -> Iterator[Anvil]:
    """A private Anvil node for one test file."""
    with Anvil() as node:
        yield node


@pytest.fixture
def anvil_chain(anvil_node: Anvil) -> RpcChain:
    """A connection to that node: state is shared with the file's other tests, so deploy what you need."""
    return anvil_node.chain()
