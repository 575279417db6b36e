# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  OptionPricer: what the options of one expiry are worth, how they move, and what they do under stress
@notice Stateless: whoever deploys it has no power over it, and anyone may ask. With F = spot * exp(rate * seconds) and
        Kd the strike discounted at the same rate, ln(K / F) = ln(Kd / spot). The surface's total variance there, over the
        `term` that it was observed with, is an annual volatility; it holds still while `seconds` shrink, until the next
        surface. A surface that was never posted has no volatility, an expired option no time: both are worth what
        exercise pays.

            value  = floor(n * call + p * (Kd - spot))           n: calls and puts, p: puts alone
            delta  = floor(n * delta of the call) - p
            gamma, vega = floor(n * the call's)
            theta  = floor(n * theta of the call + p * rate * Kd)
            stress = floor(n * (call in the scenario - call - delta * move of spot))

        Invariants:
        - no answer depends on anything but the arguments;
        - change(a, b) + change(b, c) = change(a, c) in every number, to the wei: each is a sum of floors, strike by strike;
        - call - put = spot - Kd to the wei.
@dev    No division by a number that could be zero is checked: it gives zero, which is the limit meant. Spot and strikes,
        discounted too, are below 2^96 and at least 2^30, holdings below 2^96, the smile within VolSurface's bounds:
        calls are below 2^97, deltas 2^60, gammas 2^154, vegas 2^97, thetas 2^114, and no product reaches 2^255.
@custom:kill Nothing to stop: it holds nothing. Its user takes another address.
"""

from contracts import constants as c
from contracts.pricing import black76
from contracts.pricing import ssvi
from interfaces import IOptionPricer

implements: IOptionPricer

MAX_STRIKES: constant(uint256) = 24
MIN_VOL: constant(int256) = 10**16              # [WAD] of a scenario
MAX_LOG: constant(uint256) = 2**103 - 1         # Q96; ssvi takes no larger one
LIFT: constant(int256) = 2**153 * 10**30        # a multiple of both units: lifted above zero, a division floors
WAD_MICRO: constant(int256) = 10**30            # WAD of holdings, times MICRO

# ln(1 + SPOT_SHOCKS), Q96
LOG_SHOCKS: constant(int256[c.N_STRESS]) = [
    -54_916_777_467_707_473_351_141_471_128,
    -28_258_700_423_144_010_772_002_554_335,
    -12_876_076_157_893_979_085_996_786_991,
    0,
    0,
    11_073_081_883_808_320_767_408_542_213,
    20_786_638_583_165_809_478_810_371_686,
    32_124_255_479_057_406_416_523_745_725,
]


@view
@external
def premiums(point: IOptionPricer.Point, strikes: DynArray[uint256, MAX_STRIKES]) -> DynArray[
    IOptionPricer.Premium, MAX_STRIKES
]:
    """
    @notice One call and one put of each strike.
    @param point See IOptionPricer.
    @param strikes [quote/base, WAD]
    """
    result: DynArray[IOptionPricer.Premium, MAX_STRIKES] = []
    spot: uint256 = point.spot
    discount: uint256 = black76.discount(point.rate, point.seconds)
    root: uint256 = black76.root_years(point.seconds)
    root_term: uint256 = black76.root_years(point.term)
    phi: uint256 = ssvi.curvature(point.theta, point.eta)
    for strike: uint256 in strikes:
        kd: uint256 = unsafe_mul(strike, discount) >> 96
        distance: uint256 = black76.log_ratio(kd, spot) if spot <= kd else black76.log_ratio(spot, kd)
        k: int256 = convert(min(distance, MAX_LOG), int256)
        if spot > kd:
            k = unsafe_sub(0, k)
        vol: uint256 = ssvi.volatility(ssvi.total_variance(k, point.theta, phi, point.rho), root_term)
        option: black76.Option = black76.evaluate(spot, kd, distance, vol, root, point.rate)
        result.append(IOptionPricer.Premium(call=option.call, put=option.put))
    return result


@view
@external
def change(point: IOptionPricer.Point, lines: DynArray[IOptionPricer.Line, MAX_STRIKES]) -> IOptionPricer.Totals:
    """
    @notice What a change of holdings adds to value, greeks and stress of the book.
    @param point See IOptionPricer.
    @param lines Holdings by strike, before and after.
    """
    totals: IOptionPricer.Totals = empty(IOptionPricer.Totals)
    spot: uint256 = point.spot
    discount: uint256 = black76.discount(point.rate, point.seconds)
    root: uint256 = black76.root_years(point.seconds)
    root_term: uint256 = black76.root_years(point.term)
    phi: uint256 = ssvi.curvature(point.theta, point.eta)
    shocks: int256[c.N_STRESS] = c.SPOT_SHOCKS
    vol_shocks: int256[c.N_STRESS] = c.VOL_SHOCKS
    log_shocks: int256[c.N_STRESS] = LOG_SHOCKS
    for line: IOptionPricer.Line in lines:
        if line.n_before == line.n_after and line.p_before == line.p_after:
            continue
        kd: uint256 = unsafe_mul(line.strike, discount) >> 96
        distance: uint256 = black76.log_ratio(kd, spot) if spot <= kd else black76.log_ratio(spot, kd)
        log_moneyness: int256 = convert(min(distance, MAX_LOG), int256)
        if spot <= kd:
            log_moneyness = unsafe_sub(0, log_moneyness)
        vol: uint256 = ssvi.volatility(
            ssvi.total_variance(unsafe_sub(0, log_moneyness), point.theta, phi, point.rho), root_term
        )
        option: black76.Option = black76.evaluate(spot, kd, distance, vol, root, point.rate)
        call: int256 = convert(option.call, int256)
        delta: int256 = convert(option.delta, int256)
        future: int256 = unsafe_sub(convert(kd, int256), convert(spot, int256))
        decay: int256 = unsafe_div(unsafe_mul(point.rate, convert(kd, int256)), c.SWAD)
        totals.value = unsafe_add(
            totals.value,
            self._difference(
                unsafe_add(unsafe_mul(line.n_before, call), unsafe_mul(line.p_before, future)),
                unsafe_add(unsafe_mul(line.n_after, call), unsafe_mul(line.p_after, future)),
                c.SWAD,
            ),
        )
        totals.theta = unsafe_add(
            totals.theta,
            self._difference(
                unsafe_add(unsafe_mul(line.n_before, option.theta), unsafe_mul(line.p_before, decay)),
                unsafe_add(unsafe_mul(line.n_after, option.theta), unsafe_mul(line.p_after, decay)),
                c.SWAD,
            ),
        )
        totals.delta = unsafe_add(totals.delta, unsafe_sub(line.p_before, line.p_after))
        if line.n_before == line.n_after:
            continue
        totals.delta = unsafe_add(
            totals.delta,
            self._difference(unsafe_mul(line.n_before, delta), unsafe_mul(line.n_after, delta), c.SWAD),
        )
        gamma: int256 = convert(option.gamma, int256)
        totals.gamma = unsafe_add(
            totals.gamma,
            self._difference(unsafe_mul(line.n_before, gamma), unsafe_mul(line.n_after, gamma), c.SWAD),
        )
        vega: int256 = convert(option.vega, int256)
        totals.vega = unsafe_add(
            totals.vega,
            self._difference(unsafe_mul(line.n_before, vega), unsafe_mul(line.n_after, vega), c.SWAD),
        )
        sigma: int256 = convert(min(vol, black76.MAX_VOL), int256)
        for i: uint256 in range(c.N_STRESS):
            shocked: uint256 = unsafe_div(unsafe_mul(spot, convert(unsafe_add(c.SWAD, shocks[i]), uint256)), c.WAD)
            width: uint256 = unsafe_div(
                unsafe_mul(convert(max(unsafe_add(sigma, vol_shocks[i]), MIN_VOL), uint256), root), c.WAD
            )
            moved: int256 = convert(
                black76.call_value(shocked, kd, width, unsafe_add(log_moneyness, log_shocks[i])), int256
            )
            move: int256 = unsafe_sub(convert(shocked, int256), convert(spot, int256))
            beyond: int256 = unsafe_sub(unsafe_sub(moved, call), unsafe_div(unsafe_mul(delta, move), c.SWAD))
            totals.stress[i] = unsafe_add(
                totals.stress[i],
                self._difference(unsafe_mul(line.n_before, beyond), unsafe_mul(line.n_after, beyond), WAD_MICRO),
            )
    return totals


@internal
@pure
def _difference(before: int256, after: int256, unit: int256) -> int256:
    """@notice floor(after / unit) - floor(before / unit)."""
    return unsafe_sub(unsafe_div(unsafe_add(after, LIFT), unit), unsafe_div(unsafe_add(before, LIFT), unit))
