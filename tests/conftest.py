"""What every test may use: chains on either backend, and one measure of how hard to search."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from ballast import config
from ballast.chain import RevmChain
from ballast.chain.anvil import Anvil
from ballast.chain.rpc import RpcChain
from ballast.system import Sandbox, deploy_system
from ballast.testing.governance import Assembly

FUZZ_SCALE = int(os.environ.get("BALLAST_FUZZ_SCALE", "1"))

settings.register_profile("ballast", deadline=None, print_blob=True, max_examples=100 * FUZZ_SCALE)
settings.load_profile("ballast")


@pytest.fixture(scope="session")
def fuzz_scale() -> int:
    """Multiplier for the budget of randomised tests: 1, unless BALLAST_FUZZ_SCALE says otherwise."""
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


@pytest.fixture
def chain() -> RevmChain:
    """The chain that `system` is on."""
    return RevmChain(keep_logs=True)


@pytest.fixture
def quote_decimals() -> int:
    """Decimals of the quote token; `@pytest.mark.parametrize("quote_decimals", [6, 8, 18])` overrides it."""
    return 6


@pytest.fixture(scope="session")
def local_config() -> config.Config:
    """networks/local.yaml: ETH at 2,000 and BTC at 40,000, with Uniswap venues."""
    return config.load("local")


@pytest.fixture
def system(chain: RevmChain, local_config: config.Config, quote_decimals: int) -> Sandbox:
    """All of Ballast, wired, venues and pools included; no LP has deposited yet."""
    return deploy_system(chain, local_config.with_quote_decimals(quote_decimals))


@pytest.fixture
def bare_system(chain: RevmChain, local_config: config.Config, quote_decimals: int) -> Sandbox:
    """All of Ballast but venues: nowhere to hedge, and quicker to build."""
    return deploy_system(chain, local_config.without_venues().with_quote_decimals(quote_decimals))


@pytest.fixture(scope="module")
def governed() -> Assembly:
    """A deployed system that LPs govern; share it through `assembly`."""
    return Assembly.gathered()


@pytest.fixture
def assembly(governed: Assembly) -> Iterator[Assembly]:
    """`governed` as it was, whatever a test does to it."""
    with governed.chain.undone():
        yield governed
