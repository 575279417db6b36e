# pragma version 0.4.3
# pragma evm-version cancun
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  OptionBookDouble: the option book of a Vault, answering what it is told
@notice Beside VaultSurroundings, whose `book_value` is PerpEngine's. Twin: `OptionBook` in tests/unit/vault/conftest.py.
@custom:kill Nothing to kill: never deployed outside tests.
"""

book: public(int256)           # [quote, WAD]
vol_age: public(uint256)        # [s]
usable: public(bool)


@deploy
def __init__():
    self.usable = True


@external
def set_values(book: int256, vol_age: uint256, usable: bool):
    """
    @notice Everything there is.
    """
    self.book = book
    self.vol_age = vol_age
    self.usable = usable


@external
@view
def book_value(prices: DynArray[uint256, 16]) -> (int256, uint256, bool):
    return self.book, self.vol_age, self.usable
