from collections.abc import Iterator

import pytest

from ballast.chain import Chain, Contract, RevmChain
from ballast.chain.anvil import Anvil


@pytest.fixture(scope="module")
def node() -> Iterator[Anvil]:
    with Anvil() as node:
        yield node


@pytest.fixture(params=["revm", "anvil"])
def chain(request: pytest.FixtureRequest) -> Chain:
    """The same empty-enough chain on either backend."""
    if request.param == "revm":
        return RevmChain(keep_logs=True)
    node: Anvil = request.getfixturevalue("node")
    return node.chain()


@pytest.fixture
def probe(chain: Chain) -> Contract:
    return chain.deploy("WrapperProbe", "probe", 5)
