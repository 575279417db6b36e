# pragma version 0.4.3
# pragma evm-version cancun
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  SsviHarness: ssvi.vy, callable and metered
@custom:kill Nothing to kill: never deployed where money is real.
"""

from contracts.pricing import ssvi


@view
@external
def metered(
    k: int256, theta: uint256, eta: uint256, rho: int256, root: uint256
) -> (uint256, uint256, uint256, uint256):
    """@notice phi, total variance, volatility, and the gas that variance and volatility took."""
    phi: uint256 = ssvi.curvature(theta, eta)
    before: uint256 = msg.gas
    variance: uint256 = ssvi.total_variance(k, theta, phi, rho)
    vol: uint256 = ssvi.volatility(variance, root)
    return phi, variance, vol, before - msg.gas
