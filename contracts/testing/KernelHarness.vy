# pragma version 0.4.3
# pragma evm-version cancun
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  KernelHarness: black76.vy, callable and metered
@custom:kill Nothing to kill: never deployed where money is real.
"""

from contracts.pricing import black76


@pure
@external
def evaluate(spot: uint256, strike: uint256, vol: uint256, root: uint256, rate: int256) -> black76.Option:
    distance: uint256 = black76.log_ratio(strike, spot) if spot <= strike else black76.log_ratio(spot, strike)
    return black76.evaluate(spot, strike, distance, vol, root, rate)


@pure
@external
def terms(rate: int256, seconds: uint256) -> (uint256, uint256):
    return black76.root_years(seconds), black76.discount(rate, seconds)


@view
@external
def metered(spot: uint256, strike: uint256, vol: uint256, seconds: uint256, rate: int256) -> (black76.Option, uint256):
    """@notice All six outputs from undiscounted terms, and the gas they took."""
    before: uint256 = msg.gas
    kd: uint256 = strike * black76.discount(rate, seconds) >> 96
    distance: uint256 = black76.log_ratio(kd, spot) if spot <= kd else black76.log_ratio(spot, kd)
    option: black76.Option = black76.evaluate(spot, kd, distance, vol, black76.root_years(seconds), rate)
    return option, before - msg.gas


@view
@external
def metered_on_board(
    spot: uint256, strike: uint256, vol: uint256, root: uint256, rate: int256
) -> (black76.Option, uint256):
    """@notice The same where the board has done what its strikes share."""
    before: uint256 = msg.gas
    distance: uint256 = black76.log_ratio(strike, spot) if spot <= strike else black76.log_ratio(spot, strike)
    option: black76.Option = black76.evaluate(spot, strike, distance, vol, root, rate)
    return option, before - msg.gas
