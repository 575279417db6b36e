# pragma version 0.4.3
# pragma evm-version cancun
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  OracleDouble: answers the marks a test sets
@notice Stands in for PriceOracle where a test of another contract wants marks that no feed would give.
@custom:kill Nothing to kill: never deployed where money is real.
"""

from interfaces import IPriceOracle

_marks: HashMap[uint256, IPriceOracle.Mark]


@external
def set_mark(market: uint256, mark: IPriceOracle.Mark):
    self._marks[market] = mark


@external
def sync(market: uint256) -> IPriceOracle.Mark:
    return self._marks[market]


@view
@external
def peek(market: uint256) -> IPriceOracle.Mark:
    return self._marks[market]


@view
@external
def last(market: uint256) -> IPriceOracle.Mark:
    return self._marks[market]
