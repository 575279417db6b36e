"""Two worlds: everything real, and one where a test dictates the fall of U and the venue's manners."""

from __future__ import annotations

import pytest

from ballast.chain import RevmChain
from ballast.testing.hedge_world import WAD, World, add_double, add_uniswap, build


@pytest.fixture
def chain() -> RevmChain:
    return RevmChain()


@pytest.fixture
def real(chain: RevmChain) -> World:
    """Real contracts and a real pool; a trader is long 2,500, the block after."""
    w = build(chain)
    add_uniswap(w)
    w.deposit_margin(2_000_000 * WAD, w.trader)
    w.trade(2_500 * WAD)
    w.next_block()
    return w


@pytest.fixture
def dictated(chain: RevmChain) -> World:
    """Real Clearinghouse and oracle; Inventory and venue are doubles."""
    w = build(chain, inventory_double=True)
    add_double(w)
    return w
