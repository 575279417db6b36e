# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  OptionsDouble: options, their margin and smiles that a test sets
@notice Stands in for OptionBook, OptionEngine and VolSurface where the margin of options alone is tested.
@custom:kill Nothing to kill: never deployed where money is real.
"""

from interfaces import IOptionBook
from interfaces import IVolSurface

_legs: HashMap[address, DynArray[IOptionBook.Leg, 16]]
_margin_bps: HashMap[uint256, uint256[3]]
_smiles: HashMap[uint256, HashMap[uint256, IVolSurface.Smile]]


@external
def set_legs(account: address, legs: DynArray[IOptionBook.Leg, 16]):
    self._legs[account] = legs


@external
def set_margin_bps(market: uint256, margin_bps: uint256[3]):
    self._margin_bps[market] = margin_bps


@external
def set_smile(market: uint256, expiry: uint256, smile: IVolSurface.Smile):
    self._smiles[market][expiry] = smile


@view
@external
def legs(account: address) -> DynArray[IOptionBook.Leg, 16]:
    """@return what was set"""
    return self._legs[account]


@view
@external
def margin_bps(market: uint256) -> (uint256, uint256, uint256):
    """@return what was set"""
    return self._margin_bps[market][0], self._margin_bps[market][1], self._margin_bps[market][2]


@view
@external
def smile(market: uint256, expiry: uint256) -> IVolSurface.Smile:
    """@return what was set"""
    return self._smiles[market][expiry]
