# pragma version 0.4.3
# pragma evm-version cancun
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  ScenariosHarness: scenarios.vy, callable and metered
@custom:kill Nothing to kill: never deployed where money is real.
"""

from contracts import constants as c
from contracts.pricing import scenarios


@view
@external
def metered(
    spot: uint256, strike: uint256, vol: uint256, root: uint256, log_moneyness: int256
) -> (int256[c.N_STRESS], uint256):
    """@notice A call in every scenario, and the gas they took."""
    before: uint256 = msg.gas
    values: int256[c.N_STRESS] = scenarios.calls(spot, strike, vol, root, log_moneyness)
    return values, before - msg.gas
