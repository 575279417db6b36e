# pragma version 0.4.3
# pragma evm-version cancun
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  PotentialHarness: the pure functions of potential.vy and stress.vy, callable
@custom:kill Nothing to kill: never deployed where money is real.
"""

from contracts import constants as c
from contracts.pricing import potential
from contracts.inventory import stress


@pure
@external
def u(s: potential.Sums, stressed_loss: uint256, capital: uint256, w: potential.Weights) -> uint256:
    return potential.potential(s, stressed_loss, capital, w)[0]


@pure
@external
def terms(
    delta: int256, vega: int256, gamma: int256, price: uint256, sigma_h: uint256, xi_h: uint256, rho: int256
) -> (int256, int256, int256, uint256):
    a: int256 = potential.delta_term(delta, price, sigma_h)
    b: int256 = potential.vega_term(vega, xi_h)
    return a, b, potential.gamma_term(gamma, price, sigma_h), potential.square_term(a, b, rho)


@pure
@external
def delta_price(
    s: potential.Sums, a: int256, sigma_h: uint256, capital: uint256, w: potential.Weights
) -> int256:
    worst: uint256 = 0
    branch: uint256 = 0
    worst, branch = potential.variance(s, w)
    return potential.delta_price(s.a, a, sigma_h, capital, w, worst, branch)


@pure
@external
def losses(delta: int256, price: uint256, options: int256[c.N_STRESS]) -> (uint256, uint256):
    return stress.linear_loss(delta, price), stress.vector_loss(delta, price, options)
