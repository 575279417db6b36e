# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  NullVenue: the venue of a market that is not hedged
@notice Holds nothing, trades nothing, is worth nothing. Keeps a venue id meaningful where no outside market exists.
        Invariants: exposure and equity are zero; every trade is refused with a reason.
@custom:kill Nothing to stop.
"""

from interfaces import IHedgeVenue

implements: IHedgeVenue


@external
def rebalance(size: int256, limit_price: uint256, route: uint256):
    """
    @notice Always refuses.
    """
    raise "venue: null"


@external
def recall(units: uint256, limit_price: uint256, route: uint256) -> uint256:
    """
    @notice Always refuses.
    """
    raise "venue: null"


@view
@external
def funding(size: int256, limit_price: uint256) -> uint256:
    """
    @return 0
    """
    return 0


@view
@external
def best_route(size: int256) -> uint256:
    """
    @notice Always refuses: there is nowhere to go.
    """
    raise "venue: null"


@view
@external
def exposure() -> int256:
    """
    @return 0
    """
    return 0


@view
@external
def equity(price: uint256) -> uint256:
    """
    @return 0
    """
    return 0


@view
@external
def position(mid: uint256, twap: uint256) -> IHedgeVenue.Position:
    """
    @return zeros
    """
    return empty(IHedgeVenue.Position)


@view
@external
def spot(route: uint256, reference: uint256) -> uint256:
    """
    @notice Always refuses: it has no price.
    """
    raise "venue: null"


@view
@external
def prices(route: uint256) -> IHedgeVenue.Prices:
    """
    @notice Always refuses: it has no price.
    """
    raise "venue: null"
