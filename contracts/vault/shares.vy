# pragma version 0.4.3
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Shares: what a share costs and what it is worth
@notice Per share always means (NAV + one quote token) / (supply + one share): the virtual token and share make it impossible to
        raise the price of an empty vault by a rounding error or a gift, and the price of the first share is 1.
        Rounding is against whoever acts. NAV is mid; entries add the spreads and the reserve that will be released to
        those who hold shares then, exits pay the spreads and the whole rise of the potential that they leave behind.
"""

from contracts import constants as c
from contracts.math import wad

VIRTUAL_SHARES: constant(uint256) = c.WAD       # [shares, WAD]
VIRTUAL_ASSETS: constant(uint256) = c.WAD       # [quote, WAD]


@internal
@pure
def _shares_down(assets: uint256, supply: uint256, nav: uint256) -> uint256:
    """@notice Shares that `assets` [quote, WAD] buy at `nav`, rounded down."""
    return wad.mul_div_down(assets, supply + VIRTUAL_SHARES, nav + VIRTUAL_ASSETS)


@internal
@pure
def _assets_down(shares: uint256, supply: uint256, nav: uint256) -> uint256:
    """@notice Assets [quote, WAD] that `shares` are worth at `nav`, rounded down."""
    return wad.mul_div_down(shares, nav + VIRTUAL_ASSETS, supply + VIRTUAL_SHARES)


@internal
@pure
def _assets_up(shares: uint256, supply: uint256, nav: uint256) -> uint256:
    """@notice Assets [quote, WAD] that `shares` cost at `nav`, rounded up."""
    return wad.mul_div_up(shares, nav + VIRTUAL_ASSETS, supply + VIRTUAL_SHARES)


@internal
@pure
def _ask(nav: uint256, spread: uint256, reserve: uint256, potential: uint256) -> uint256:
    """@notice NAV at which deposits enter (docs/mechanism.md §7): they pay for the reserve that is about to become theirs."""
    return nav + spread + wad.sub_floor(reserve, potential)


@internal
@pure
def _bid(nav: uint256, spread: uint256, uncovered: uint256) -> uint256:
    """@notice NAV at which redemptions leave, before the rise of U that they cause; floored at 0."""
    return wad.sub_floor(nav, spread + uncovered)
