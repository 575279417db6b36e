# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  OptionPricer: what the options of one expiry are worth, how they move, and what they do under stress
@notice Anyone asks, nobody governs: no answer depends on anything but the arguments. Kd is the strike discounted at
        the rate that leads from spot to the forward F, so that ln(K / F) = ln(Kd / spot). The surface's total variance
        there, over the `term` that it was observed with, is the annual volatility, which holds still while `seconds`
        shrink. Delta and gamma are those of the value: the smile moves along with spot, so that a strike's volatility
        does too. A surface never posted has no volatility, an expired option no time: both are worth what exercise pays.

            value  = floor(n * call + p * (Kd - spot))          n: calls and puts; p: puts
            delta  = floor(n * delta of the call) - p
            gamma  = floor(n * gamma), vega = floor(n * vega)
            theta  = floor(n * theta of the call + p * rate * Kd)
            stress = floor(n * (call in the scenario - call - delta * change of spot))

        Invariants:
        - change(a, b) + change(b, c) = change(a, c) in every number, to the wei: each is a sum of floors;
        - call - put = spot - Kd to the wei, 0 <= call <= spot; between strikes of a surface, calls fall and puts rise.
@dev    Nothing reverts; a division by zero gives the zero that is meant. Spot lies within [2^30, 2^96), strikes,
        discounted too, and holdings below 2^96, the surface within VolSurface's bounds: then v > 2^74 (0.3 % for a
        second), gammas lie below 2^127, calls 2^97, thetas 2^112, and no product reaches LIFT. No state, hence no lock.
@custom:kill Nothing to stop: it holds nothing. Its user takes another address.
"""

from contracts import constants as c
from contracts.pricing import black76
from contracts.pricing import scenarios
from contracts.pricing import ssvi
from interfaces import IOptionPricer

implements: IOptionPricer

ONE: constant(int256) = 2**96
LIFT: constant(int256) = 2**133 * 10**36        # a multiple of both units: added, it makes a division round down
STRESS: constant(int256) = c.SWAD * c.STRESS_UNIT  # of holdings [WAD] times prices [WAD]


@view
@external
def premiums(point: IOptionPricer.Point, strikes: DynArray[uint256, c.MAX_STRIKES]) -> DynArray[
    IOptionPricer.Premium, c.MAX_STRIKES
]:
    """
    @notice One call and one put of each strike.
    @param point See IOptionPricer.
    @param strikes [quote/base, WAD]
    """
    result: DynArray[IOptionPricer.Premium, c.MAX_STRIKES] = []
    spot: uint256 = point.spot
    discount: uint256 = black76.discount(point.rate, point.seconds)
    root: uint256 = black76.root_years(point.seconds)
    root_term: uint256 = black76.root_years(point.term)
    phi: uint256 = ssvi.curvature(point.theta, point.eta)
    for strike: uint256 in strikes:
        kd: uint256 = unsafe_mul(strike, discount) >> 96
        distance: uint256 = black76.log_ratio(kd, spot) if spot <= kd else black76.log_ratio(spot, kd)
        k: int256 = convert(min(distance, ssvi.MAX_LOG), int256)
        if spot > kd:
            k = unsafe_sub(0, k)
        vol: uint256 = ssvi.volatility(ssvi.total_variance(k, point.theta, phi, point.rho), root_term)
        option: black76.Option = black76.evaluate(spot, kd, distance, vol, root, point.rate)
        result.append(IOptionPricer.Premium(call=option.call, put=option.put))
    return result


@view
@external
def change(point: IOptionPricer.Point, lines: DynArray[IOptionPricer.Line, c.MAX_STRIKES]) -> IOptionPricer.Totals:
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
    for line: IOptionPricer.Line in lines:
        n_before: int256 = line.n_before
        n_after: int256 = line.n_after
        p_before: int256 = line.p_before
        p_after: int256 = line.p_after
        if n_before == n_after and p_before == p_after:
            continue
        kd: uint256 = unsafe_mul(line.strike, discount) >> 96
        distance: uint256 = black76.log_ratio(kd, spot) if spot <= kd else black76.log_ratio(spot, kd)
        log_moneyness: int256 = convert(min(distance, ssvi.MAX_LOG), int256)
        if spot <= kd:
            log_moneyness = unsafe_sub(0, log_moneyness)
        vol: uint256 = ssvi.volatility(
            ssvi.total_variance(unsafe_sub(0, log_moneyness), point.theta, phi, point.rho), root_term
        )
        option: black76.Option = black76.evaluate(spot, kd, distance, vol, root, point.rate)
        call: int256 = convert(option.call, int256)
        future: int256 = unsafe_sub(convert(kd, int256), convert(spot, int256))
        decay: int256 = unsafe_div(unsafe_mul(point.rate, convert(kd, int256)), c.SWAD)
        totals.value = unsafe_add(
            totals.value,
            self._difference(
                unsafe_add(unsafe_mul(n_before, call), unsafe_mul(p_before, future)),
                unsafe_add(unsafe_mul(n_after, call), unsafe_mul(p_after, future)),
                c.SWAD,
            ),
        )
        totals.theta = unsafe_add(
            totals.theta,
            self._difference(
                unsafe_add(unsafe_mul(n_before, option.theta), unsafe_mul(p_before, decay)),
                unsafe_add(unsafe_mul(n_after, option.theta), unsafe_mul(p_after, decay)),
                c.SWAD,
            ),
        )
        totals.delta = unsafe_add(totals.delta, unsafe_sub(p_before, p_after))
        if n_before == n_after:
            continue
        delta: int256 = 0
        x: int256 = 0
        delta, x = self._slopes(option, spot, vol, root, log_moneyness, phi, point.rho)
        totals.delta = unsafe_add(
            totals.delta, self._difference(unsafe_mul(n_before, delta), unsafe_mul(n_after, delta), c.SWAD)
        )
        totals.gamma = unsafe_add(
            totals.gamma, self._difference(unsafe_mul(n_before, x), unsafe_mul(n_after, x), c.SWAD)
        )
        x = convert(option.vega, int256)
        totals.vega = unsafe_add(
            totals.vega, self._difference(unsafe_mul(n_before, x), unsafe_mul(n_after, x), c.SWAD)
        )
        calls: int256[c.N_STRESS] = scenarios.calls(spot, kd, min(vol, black76.MAX_VOL), root, log_moneyness)
        exposure: int256 = unsafe_div(unsafe_mul(delta, convert(spot, int256)), c.SWAD)     # [quote, WAD]
        # one by one, and `_difference` written out: a loop and calls take 250 gas a scenario more; shocks to spot come in pairs, the
        # last the first's opposite, and in the two in the middle it does not move
        move: int256 = unsafe_div(unsafe_mul(exposure, c.SPOT_SHOCKS[7]), c.SWAD)
        x = unsafe_add(unsafe_sub(calls[0], call), move)
        totals.stress[0] = unsafe_add(
            totals.stress[0],
            unsafe_sub(
                unsafe_div(unsafe_add(unsafe_mul(n_after, x), LIFT), STRESS),
                unsafe_div(unsafe_add(unsafe_mul(n_before, x), LIFT), STRESS),
            ),
        )
        x = unsafe_sub(unsafe_sub(calls[7], call), move)
        totals.stress[7] = unsafe_add(
            totals.stress[7],
            unsafe_sub(
                unsafe_div(unsafe_add(unsafe_mul(n_after, x), LIFT), STRESS),
                unsafe_div(unsafe_add(unsafe_mul(n_before, x), LIFT), STRESS),
            ),
        )
        move = unsafe_div(unsafe_mul(exposure, c.SPOT_SHOCKS[6]), c.SWAD)
        x = unsafe_add(unsafe_sub(calls[1], call), move)
        totals.stress[1] = unsafe_add(
            totals.stress[1],
            unsafe_sub(
                unsafe_div(unsafe_add(unsafe_mul(n_after, x), LIFT), STRESS),
                unsafe_div(unsafe_add(unsafe_mul(n_before, x), LIFT), STRESS),
            ),
        )
        x = unsafe_sub(unsafe_sub(calls[6], call), move)
        totals.stress[6] = unsafe_add(
            totals.stress[6],
            unsafe_sub(
                unsafe_div(unsafe_add(unsafe_mul(n_after, x), LIFT), STRESS),
                unsafe_div(unsafe_add(unsafe_mul(n_before, x), LIFT), STRESS),
            ),
        )
        move = unsafe_div(unsafe_mul(exposure, c.SPOT_SHOCKS[5]), c.SWAD)
        x = unsafe_add(unsafe_sub(calls[2], call), move)
        totals.stress[2] = unsafe_add(
            totals.stress[2],
            unsafe_sub(
                unsafe_div(unsafe_add(unsafe_mul(n_after, x), LIFT), STRESS),
                unsafe_div(unsafe_add(unsafe_mul(n_before, x), LIFT), STRESS),
            ),
        )
        x = unsafe_sub(unsafe_sub(calls[5], call), move)
        totals.stress[5] = unsafe_add(
            totals.stress[5],
            unsafe_sub(
                unsafe_div(unsafe_add(unsafe_mul(n_after, x), LIFT), STRESS),
                unsafe_div(unsafe_add(unsafe_mul(n_before, x), LIFT), STRESS),
            ),
        )
        x = unsafe_sub(calls[3], call)
        totals.stress[3] = unsafe_add(
            totals.stress[3],
            unsafe_sub(
                unsafe_div(unsafe_add(unsafe_mul(n_after, x), LIFT), STRESS),
                unsafe_div(unsafe_add(unsafe_mul(n_before, x), LIFT), STRESS),
            ),
        )
        x = unsafe_sub(calls[4], call)
        totals.stress[4] = unsafe_add(
            totals.stress[4],
            unsafe_sub(
                unsafe_div(unsafe_add(unsafe_mul(n_after, x), LIFT), STRESS),
                unsafe_div(unsafe_add(unsafe_mul(n_before, x), LIFT), STRESS),
            ),
        )
    return totals


@internal
@pure
def _slopes(
    option: black76.Option,
    spot: uint256,
    vol: uint256,
    root: uint256,
    log_moneyness: int256,
    phi: uint256,
    rho: int256,
) -> (int256, int256):
    """
    @notice Delta [WAD] and gamma [1/quote, WAD] of a call whose volatility moves along the smile with spot.
    @dev    With v = vol * sqrt(years), by k = -log_moneyness:
                delta = N(d1) - density v',  gamma = density / (spot v) * ((1 + d1 v')(1 + d2 v') + v v''),
            where without butterflies 0 <= delta <= 1 and gamma >= 0, but for rounding. v^2 is at most the surface's
            variance, hence |v'| < 4 for eta <= 2 and |rho| <= 0.95; where vega is not zero, v is not, and |d1|, |d2|
            are below 48: gamma's factor is below 2^17. A volatility that was capped does not move.
    """
    delta: int256 = convert(option.delta, int256)
    gamma: int256 = convert(option.gamma, int256)
    if option.vega == 0 or vol > black76.MAX_VOL:
        return delta, gamma
    v: uint256 = unsafe_div(unsafe_mul(vol, root), c.WAD)
    first: int256 = 0
    second: int256 = 0
    first, second = ssvi.bends(unsafe_sub(0, log_moneyness), phi, rho, v)
    d1: int256 = unsafe_add(unsafe_div(log_moneyness << 96, convert(v, int256)), convert(v >> 1, int256))
    d2: int256 = unsafe_sub(d1, convert(v, int256))
    # vega = spot * density * root
    tilt: int256 = unsafe_div(unsafe_mul(convert(option.vega, int256), first), convert(root, int256))
    delta = unsafe_sub(delta, unsafe_div(unsafe_mul(tilt, c.SWAD), convert(spot, int256)))
    factor: int256 = unsafe_mul(
        unsafe_add(ONE, unsafe_mul(d1, first) >> 96), unsafe_add(ONE, unsafe_mul(d2, first) >> 96)
    ) >> 96
    return delta, unsafe_mul(gamma, unsafe_add(factor, second)) >> 96


@internal
@pure
def _difference(before: int256, after: int256, unit: int256) -> int256:
    """@notice floor(after / unit) - floor(before / unit)."""
    return unsafe_sub(unsafe_div(unsafe_add(after, LIFT), unit), unsafe_div(unsafe_add(before, LIFT), unit))
