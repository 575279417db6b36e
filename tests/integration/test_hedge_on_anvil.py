"""A hedge through a real node: transactions, blocks and base fee are Anvil's, the pool is Uniswap's."""

from __future__ import annotations

import pytest

from ballast.chain import reverts
from ballast.chain.rpc import RpcChain
from ballast.model.exact.fixed import WAD
from ballast.model.exact.hedge import Rule, budget
from ballast.testing.hedge_world import add_uniswap, build

pytestmark = pytest.mark.anvil

GAS_LIMIT = 500_000  # a venue's first rebalance through one fee tier; later ones touch used storage


def test_keeper_hedges_the_vault_and_is_paid(anvil_chain: RpcChain) -> None:
    w = build(anvil_chain)
    add_uniswap(w)
    w.deposit_margin(2_000_000 * WAD, w.trader)
    w.trade(2_500 * WAD)
    w.next_block()
    receipt = w.rebalance(300 * WAD)
    outcome = receipt.one("Rebalanced").outcome
    assert outcome.cost + outcome.reward + outcome.gas <= budget(Rule().phi_bps, outcome.fall)
    assert w.cash(w.keeper) == outcome.reward + outcome.gas
    assert w.venue.exposure() == 300 * WAD
    assert w.quote.balanceOf(w.venue) == 0
    buckets = w.clearinghouse.buckets()
    assert w.quote.balanceOf(w.clearinghouse) == buckets.total_units
    assert receipt.gas_used < GAS_LIMIT
    w.next_block()
    assert w.rebalance(100 * WAD).gas_used < receipt.gas_used
    with reverts("hedge: cooling down"):
        w.rebalance(100 * WAD)
    w.manager.poke.send(0)
    withdrawn = w.cash(w.keeper) // w.scale
    w.clearinghouse.withdraw.send(withdrawn, w.keeper, w.keeper, sender=w.keeper)
    assert w.quote.balanceOf(w.keeper) == withdrawn
