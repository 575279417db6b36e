# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  LpDouble: brings LP cash to a Clearinghouse that has no Vault, and takes it away
@notice For tests that dictate what Inventory answers, where a real Vault could not price its shares.
@custom:kill Nothing to kill: never deployed where money is real.
"""

from ethereum.ercs import IERC20
from interfaces import IClearinghouse

CLEARINGHOUSE: immutable(IClearinghouse)


@deploy
def __init__(clearinghouse: address):
    CLEARINGHOUSE = IClearinghouse(clearinghouse)


@external
def deposit(units: uint256, owner: address):
    """@param units [token units] pulled from the caller, for no shares"""
    asset: IERC20 = IERC20(staticcall CLEARINGHOUSE.asset())
    extcall CLEARINGHOUSE.begin()
    extcall asset.transferFrom(msg.sender, CLEARINGHOUSE.address, units)
    extcall CLEARINGHOUSE.receive_deposit(units)
    extcall CLEARINGHOUSE.end()


@external
def earmark(amount: uint256):
    """@param amount [quote, WAD] that leaves LP cash for claims"""
    extcall CLEARINGHOUSE.begin()
    extcall CLEARINGHOUSE.earmark_claims(amount)
    extcall CLEARINGHOUSE.end()


@external
def fill_reserve(amount: uint256):
    """@param amount [quote, WAD] of LP cash that becomes rebate reserve"""
    extcall CLEARINGHOUSE.begin()
    extcall CLEARINGHOUSE.settle(empty(address), IClearinghouse.Settlement(
        cash=0, reserve=convert(amount, int256), fees=0, opened=0, closed=0, payables=0
    ))
