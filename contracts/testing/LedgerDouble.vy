# pragma version 0.4.3
# pragma evm-version cancun
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  LedgerDouble: LP cash and reserve that a test sets
@notice Stands in for the Clearinghouse where the inventory alone is tested.
@custom:kill Nothing to kill: never deployed where money is real.
"""

lp: int256              # [quote, WAD]
reserve: uint256        # [quote, WAD]


@external
def set_ledger(lp: int256, reserve: uint256):
    self.lp = lp
    self.reserve = reserve


@external
def release(amount: uint256):
    self.reserve -= amount
    self.lp += convert(amount, int256)


@external
def subsidise(amount: uint256):
    self.reserve += amount
    self.lp -= convert(amount, int256)


@view
@external
def vault_ledger() -> (int256, uint256):
    return self.lp, self.reserve


@view
@external
def in_progress() -> bool:
    return False
