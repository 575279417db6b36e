# pragma version 0.4.3
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  The potential U of docs/mechanism.md §1, and its derivative
@notice U(inventory) = I + W: what it costs, in quote currency, to carry the present risk for one hedging horizon.
        Pure functions of running sums, O(1) in the number of markets.

            a = D sigma sqrt(h)   delta P&L of a market over the horizon, one standard deviation
            b = V xi sqrt(h)      vega P&L
            g = G sigma^2 min(h, tau) / sqrt(2)   gamma P&L, summed over expiries

            P = sum(a^2 + b^2 + 2 rho a b)              every market on its own
            M = A^2 + B^2 + 2 rho A B                   all markets as one; A = sum a, B = sum b
            Var(c) = (1-c) P + c M + (1-c^2) sum(g^2) + c^2 (sum g)^2,   charged at the worse of c_lo and c_hi

            I = huber(lambda, kappa, Var),  W = huber(omega, u_max - u*, (L - u* E)^2)
            huber(w, k, v) = w v / 2E             while sqrt(v) <= k E
                           = w k (sqrt(v) - k E / 2)  beyond: the marginal charge stops growing

@dev    Every branch is convex in the inventory, hence U is. All sums are exact integers: a market's share is a function
        of its stored words alone, so taking it out and putting it back leaves the sum unchanged to the wei.
"""

from contracts import constants as c
from contracts.math import wad

MAX_TERM: constant(int256) = 2**127
MAX_VEGA_TERM: constant(int256) = 2**104                    # beyond what a sum of them can store
SQRT_HALF: constant(int256) = 707_106_781_186_547_524      # 1/sqrt(2), WAD, rounded down

struct Sums:
    a: int256       # [quote, WAD]
    b: int256       # [quote, WAD] in whole MICRO
    g: int256       # [quote, WAD] in whole MICRO
    p: uint256      # [quote^2, WAD]
    gg: uint256     # [quote^2, WAD] sum of squares of the gamma terms


struct Weights:
    aversion: uint256       # lambda, WAD
    knee: uint256           # kappa, WAD
    c_lo: uint256           # equicorrelation, low end, WAD
    c_hi: uint256           # high end, WAD
    rho: int256             # spot-vol correlation, WAD
    omega: uint256          # weight of the utilization term, WAD
    u_star: uint256         # utilization where it starts, WAD
    u_max: uint256          # utilization where it turns linear and risk-increasing trades stop, WAD


@internal
@pure
def delta_term(delta: int256, price: uint256, sigma_h: uint256) -> int256:
    """
    @notice a = delta * price * sigma sqrt(h), toward zero.
    @dev    |delta| < 2^97, price < 2^96, sigma_h < 2^64: no product reaches 2^255.
    @param sigma_h sigma * sqrt(h) [fraction, WAD].
    """
    return unsafe_div(
        unsafe_mul(
            unsafe_div(unsafe_mul(delta, convert(price, int256)), c.SWAD), convert(sigma_h, int256)
        ),
        c.SWAD,
    )


@internal
@pure
def vega_term(vega: int256, xi_h: uint256) -> int256:
    """@notice b = vega * xi sqrt(h) in whole MICRO, toward zero: sums of them stay exact and share a word with g's."""
    return unsafe_mul(unsafe_div(vega * convert(xi_h, int256), c.SWAD * c.SMICRO), c.SMICRO)


@internal
@pure
def gamma_term(gamma: int256, price: uint256, sigma_h: uint256) -> int256:
    """
    @notice g = gamma * price^2 * sigma^2 h / sqrt(2) in whole MICRO, toward zero; gamma comes scaled by min(h, tau)/h.
    """
    dollar_gamma: int256 = gamma * convert(price, int256) // c.SWAD * convert(price, int256) // c.SWAD
    variance_h: int256 = convert(sigma_h * sigma_h // c.WAD, int256)
    return unsafe_mul(dollar_gamma * variance_h // c.SWAD * SQRT_HALF // (c.SWAD * c.SMICRO), c.SMICRO)


@internal
@pure
def square_term(a: int256, b: int256, rho: int256) -> uint256:
    """
    @notice (a^2 + b^2 + 2 rho a b) / WAD, rounded down, at least 0.
    @dev    Non-negative for |rho| <= 1; the floor only absorbs the rounding of the cross term.
            |a| below 2^127 and |b| below 2^104 are asserted, so that no sum reaches 2^255.
    """
    assert a < MAX_TERM and a > -MAX_TERM, "inventory: out of range"
    if b == 0:
        return unsafe_div(convert(unsafe_mul(a, a), uint256), c.WAD)
    assert b < MAX_VEGA_TERM and b > -MAX_VEGA_TERM, "inventory: out of range"
    total: int256 = unsafe_add(
        unsafe_add(unsafe_mul(a, a), unsafe_mul(b, b)),
        unsafe_mul(unsafe_mul(2, unsafe_div(unsafe_mul(rho, a), c.SWAD)), b),
    )
    if total <= 0:
        return 0
    return unsafe_div(convert(total, uint256), c.WAD)


@internal
@pure
def variance(s: Sums, w: Weights) -> (uint256, uint256):
    """
    @notice The worse of Var(c_lo) and Var(c_hi), and the c that gives it.
    @return [quote^2, WAD], [WAD].
    """
    joint: uint256 = self.square_term(s.a, s.b, w.rho)
    gamma_joint: uint256 = 0
    if s.g != 0:
        gamma_joint = convert(s.g * s.g, uint256) // c.WAD
    low: uint256 = self._mix(w.c_lo, s.p, joint, s.gg, gamma_joint)
    high: uint256 = self._mix(w.c_hi, s.p, joint, s.gg, gamma_joint)
    if high >= low:
        return high, w.c_hi
    return low, w.c_lo


@internal
@pure
def _mix(correlation: uint256, own: uint256, joint: uint256, gamma_own: uint256, gamma_joint: uint256) -> uint256:
    """@dev The ends 0 and 1 need no products; the result is the general formula's. Squares by WAD lie below 2^197."""
    if correlation == c.WAD:
        return unsafe_add(joint, gamma_joint if gamma_own != 0 else 0)
    if correlation == 0:
        return unsafe_add(own, gamma_own)
    result: uint256 = ((c.WAD - correlation) * own + correlation * joint) // c.WAD
    if gamma_own != 0:
        square: uint256 = correlation * correlation // c.WAD
        result += ((c.WAD - square) * gamma_own + square * gamma_joint) // c.WAD
    return result


@internal
@pure
def huber(weight: uint256, knee: uint256, capital: uint256, square: uint256) -> uint256:
    """
    @notice Quadratic in sqrt(square) up to knee * capital, linear beyond, continuous with its slope.
    @dev    weight < 2^67, knee <= WAD, capital < 2^112: the products of the quadratic branch fit 256 bits once square is
            below limit^2, which that branch has just established; limit < 2^112.
    @param square [quote^2, WAD]. @param capital [quote, WAD], > 0.
    @return [quote, WAD], rounded down.
    """
    limit: uint256 = unsafe_div(unsafe_mul(knee, capital), c.WAD)
    if square <= unsafe_div(unsafe_mul(limit, limit), c.WAD):
        return weight * square // unsafe_mul(2, capital)
    root: uint256 = wad.root_down(square)
    return weight * knee // c.WAD * (root - limit // 2) // c.WAD


@internal
@pure
def overuse(stressed_loss: uint256, capital: uint256, u_star: uint256) -> uint256:
    """@notice (L - u* E)^2 / WAD where positive [quote^2, WAD]."""
    threshold: uint256 = unsafe_div(unsafe_mul(u_star, capital), c.WAD)     # < 2^60 * 2^112
    if stressed_loss <= threshold:
        return 0
    excess: uint256 = unsafe_sub(stressed_loss, threshold)      # stressed_loss > threshold
    return excess * excess // c.WAD


@internal
@pure
def potential(s: Sums, stressed_loss: uint256, capital: uint256, w: Weights) -> (uint256, uint256, uint256):
    """
    @notice U = I + W, and the variance and the correlation that it was charged at.
    @param stressed_loss L [quote, WAD]. @param capital E [quote, WAD], > 0.
    @return [quote, WAD], [quote^2, WAD], [WAD].
    """
    worst: uint256 = 0
    branch: uint256 = 0
    worst, branch = self.variance(s, w)
    result: uint256 = self.huber(w.aversion, w.knee, capital, worst)
    square: uint256 = self.overuse(stressed_loss, capital, w.u_star)
    if square != 0:
        result += self.huber(w.omega, w.u_max - w.u_star, capital, square)
    return result, worst, branch


@internal
@pure
def delta_price(
    total: int256, own: int256, sigma_h: uint256, capital: uint256, w: Weights, worst: uint256, branch: uint256
) -> int256:
    """
    @notice dI/dD of one market, delta terms only (no spot-vol cross term), toward zero.
    @param total sum of a over markets, `own` the market's own [quote, WAD], both below 2^127.
    @param worst, branch what `potential` answered for the same book.
    @return [quote per quote of dollar delta, WAD] over one horizon; > 0 when more delta costs more.
    """
    mixed: int256 = own
    if branch == c.WAD:
        mixed = total
    elif branch != 0:
        mixed = (convert(c.WAD - branch, int256) * own + convert(branch, int256) * total) // c.SWAD
    slope: int256 = mixed * convert(sigma_h, int256) // c.SWAD
    limit: uint256 = unsafe_div(unsafe_mul(w.knee, capital), c.WAD)
    if worst <= unsafe_div(unsafe_mul(limit, limit), c.WAD):
        return slope * convert(w.aversion, int256) // convert(capital, int256)
    root: uint256 = wad.root_down(worst)
    return slope * convert(w.aversion * w.knee // c.WAD, int256) // convert(root, int256)
