# pragma version 0.4.3
# pragma evm-version cancun
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  RuleHarness: the pure functions of rule.vy, callable
@custom:kill Nothing to kill: never deployed outside tests.
"""

from interfaces import IHedgeManager
from contracts.hedge import rule


@pure
@external
def tolerance(fee: uint256, band_pips: uint256) -> uint256:
    return rule._tolerance(fee, band_pips)


@pure
@external
def is_near(price: uint256, reference: uint256, slack: uint256) -> bool:
    return rule._is_near(price, reference, slack)


@pure
@external
def cost(before: rule.Holdings, after: rule.Holdings, haircut_bps: uint256, notional: uint256, fee: uint256) -> uint256:
    return rule._cost(before, after, haircut_bps, notional, fee)


@pure
@external
def loss_at_mid(before: rule.Holdings, after: rule.Holdings) -> int256:
    return rule._loss_at_mid(before, after)


@pure
@external
def reward(freed: uint256, spent: uint256, notional: uint256, eta_bps: uint256, size_reward: uint256) -> uint256:
    return rule._reward(freed, spent, notional, eta_bps, size_reward)


@pure
@external
def gas(terms: IHedgeManager.Rule, base_fee: uint256, gas_token_price: uint256) -> uint256:
    return rule._gas(terms, base_fee, gas_token_price)


@pure
@external
def budget(phi_bps: uint256, fall: uint256) -> uint256:
    return rule._budget(phi_bps, fall)


@pure
@external
def turnover(used: uint256, elapsed: uint256, per_day: uint256, notional: uint256) -> uint256:
    return rule._turnover(used, elapsed, per_day, notional)


@pure
@external
def expected_equity(state: IHedgeManager.VenueState, price: uint256) -> int256:
    return rule._expected_equity(state, price)
