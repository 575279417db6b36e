# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  VarianceHarness: the variance module alone
@notice For tests only.
@custom:kill Nothing to kill: never deployed outside tests.
"""

from contracts.oracle import variance


@external
@pure
def log_return(now: uint256, before: uint256, clip: uint256) -> uint256:
    """@return variance.log_return"""
    return variance.log_return(now, before, clip)


@external
@pure
def forgetting(dt: uint256, half_life: uint256) -> uint256:
    """@return variance.forgetting"""
    return variance.forgetting(dt, half_life)


@external
@pure
def sample(log_return: uint256, dt: uint256) -> uint256:
    """@return variance.sample"""
    return variance.sample(log_return, dt)


@external
@pure
def blend(variance_24: uint256, sample_24: uint256, weight_27: uint256) -> uint256:
    """@return variance.blend"""
    return variance.blend(variance_24, sample_24, weight_27)


@external
@pure
def volatility(fast_24: uint256, slow_24: uint256, lowest: uint256, highest: uint256) -> uint256:
    """@return variance.volatility"""
    return variance.volatility(fast_24, slow_24, lowest, highest)
