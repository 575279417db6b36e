import pytest

from ballast.chain import Chain, Contract, RevmChain
from ballast.chain.anvil import Anvil


@pytest.fixture(params=["revm", "anvil"])
def chain(request: pytest.FixtureRequest) -> Chain:
    """The same chain on either backend."""
    if request.param == "revm":
        return RevmChain(keep_logs=True)
    node: Anvil = request.getfixturevalue("anvil_node")
    return node.chain()


@pytest.fixture
def probe(chain: Chain) -> Contract:
    return chain.deploy("WrapperProbe", "probe", 5)
