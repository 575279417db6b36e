# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  InventoryDouble: an inventory that answers what it is told and remembers what it was asked
@notice For tests of engines alone: every answer, however odd, can be put in front of them.
@custom:kill Nothing to kill: never deployed outside tests.
"""

from interfaces import IInventory
from interfaces import IPriceOracle

# The next answers of `trade` and `quote`.
answer: public(IInventory.Quote)
# What `trade` was last asked.
market: public(uint256)
change: IInventory.Change


@external
def set_answer(answer: IInventory.Quote):
    """@notice `trade` and `quote` answer this from now on."""
    self.answer = answer


@external
def trade(market: uint256, mark: IPriceOracle.Mark, change: IInventory.Change) -> IInventory.Quote:
    """@return the answer that was set"""
    self.market = market
    self.change = change
    return self.answer


@external
@view
def quote(market: uint256, mark: IPriceOracle.Mark, change: IInventory.Change) -> IInventory.Quote:
    """@return the answer that was set"""
    return self.answer


@external
@view
def last_change() -> IInventory.Change:
    """@return what `trade` was last asked"""
    return self.change
