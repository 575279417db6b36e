# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  WideFeed: another feed's rounds, with a half-width as a pull oracle's have
@notice For tests: the half-width is a part of the price, of any size, as long as it is told so.
@custom:kill Nothing to kill: never deployed where money is real.
"""

from contracts import constants as c
from interfaces import IFeed

implements: IFeed


FEED: immutable(IFeed)

_width_bps: uint256


@deploy
def __init__(feed: address):
    """@param feed  whose rounds these are"""
    FEED = IFeed(feed)


# ── Permissionless ──


@external
def set_width(width_bps: uint256):
    """@param width_bps  [bp of the price]"""
    self._width_bps = width_bps


# ── Views ──


@view
@external
def latest() -> IFeed.Round:
    """@return the other feed's"""
    return self._wide(staticcall FEED.latest())


@view
@external
def round_at(round_id: uint256) -> IFeed.Round:
    """@return the other feed's"""
    return self._wide(staticcall FEED.round_at(round_id))


# ── Internal ──


@internal
@view
def _wide(round: IFeed.Round) -> IFeed.Round:
    wide: IFeed.Round = round
    wide.half_width = round.price * self._width_bps // c.BPS
    return wide
