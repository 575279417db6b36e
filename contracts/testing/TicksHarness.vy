# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  TicksHarness: ticks.vy within reach of a test
@custom:kill Nothing to kill: never deployed where money is real.
"""

from contracts.hedge import ticks


@pure
@external
def spot(sqrt_price_x96: uint256, base_is_token0: bool, gap: int256) -> uint256:
    return ticks._spot(sqrt_price_x96, base_is_token0, gap)


@pure
@external
def average(growth: int256, window: uint256, base_is_token0: bool, gap: int256) -> uint256:
    return ticks._average(growth, window, base_is_token0, gap)
