# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  FeedDouble: a feed that answers the round it is given
@notice For tests of PriceOracle and of whatever stands on it: any IFeed.Round, well formed or not.
@custom:kill Nothing to kill: never deployed where money is real.
"""

from interfaces import IFeed

implements: IFeed


_latest: IFeed.Round
_rounds: HashMap[uint256, IFeed.Round]


# ── Permissionless ──


@external
def set_round(round: IFeed.Round):
    """@notice The newest round, and the one under its id, is this."""
    self._latest = round
    self._rounds[round.round_id] = round


# ── Views ──


@view
@external
def latest() -> IFeed.Round:
    """@return the round given last"""
    return self._latest


@view
@external
def round_at(round_id: uint256) -> IFeed.Round:
    """@return the round given last under this id"""
    return self._rounds[round_id]


@view
@external
def latestAnswer() -> int256:
    """@return the price given last, as a Chainlink aggregator of 8 decimals says it to Aave"""
    return convert(self._latest.price // 10**10, int256)
