# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  HedgeInventoryDouble: answers the fall of U that a test dictates
@notice Puts the hedge rule on its boundary to the wei, where the real potential lands only by luck. Remembers what it was told.
@custom:kill Nothing to kill: never deployed where money is real.
"""

from interfaces import IInventory
from interfaces import IPriceOracle

answer: IInventory.Fall
delta: public(int256)       # [base, WAD] sum of what was reported
book: public(int256)        # [quote, WAD] sum of what was reported
moved: public(int256)       # [quote, WAD] sum of what was reported
calls: public(uint256)


@external
def set_answer(answer: IInventory.Fall):
    """@notice What `adjust` answers from now on."""
    self.answer = answer


@external
def sync(market: uint256):
    """@notice Nothing to bring up to date."""
    pass


@external
def adjust(
    market: uint256, mark: IPriceOracle.Mark, change: IInventory.Change, moved: int256
) -> IInventory.Fall:
    """@notice Adds up and answers."""
    self.delta += change.exposure.delta
    self.book += change.book
    self.moved += moved
    self.calls += 1
    return self.answer
