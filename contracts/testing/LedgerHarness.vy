# pragma version 0.4.3
# pragma evm-version cancun
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  LedgerHarness: the words of ledger.vy, written and read
@notice For tests at the ends of every field, where no ledger can be driven.
@custom:kill Nothing to kill: never deployed outside tests.
"""

from contracts.clearing import ledger

initializes: ledger


@external
def store_account(owner: address, account: ledger.Account) -> ledger.Account:
    """@return what is read back"""
    ledger._save_account(owner, account)
    return ledger._load_account(owner)


@view
@external
def load_account(owner: address) -> ledger.Account:
    return ledger._load_account(owner)


@external
def store_vault(vault: ledger.VaultLedger) -> ledger.VaultLedger:
    """@return what is read back"""
    ledger._save_vault(vault)
    return ledger._load_vault()


@external
def store_backing(backing: ledger.Backing) -> ledger.Backing:
    """@return what is read back"""
    ledger._save_backing(backing)
    return ledger._load_backing()


@external
def settle_vault(vault: ledger.VaultLedger, reserve: int256, lp: int256, fees: uint256) -> ledger.VaultLedger:
    ledger._save_vault(vault)
    return ledger._settle_vault(reserve, lp, fees)


@external
def add(lp: int256, insurance: uint256, units: uint256) -> (int256, uint256, uint256):
    """@return LP cash, insurance and token units after"""
    ledger._add_units(units)
    return ledger._add_lp(lp, False), ledger._add_insurance(insurance), ledger.total_units


@external
def remove_units(there: uint256, units: uint256) -> uint256:
    ledger.total_units = there
    ledger._remove_units(units)
    return ledger.total_units
