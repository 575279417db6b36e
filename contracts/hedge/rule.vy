# pragma version 0.4.3
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  What a hedge may cost and what its keeper earns
@notice Pure arithmetic of docs/mechanism.md §8 on measured numbers. Costs round up, rewards down.
        Python mirror: ballast/model/exact/hedge.py.
"""

from interfaces import IHedgeManager
from contracts import constants as c
from contracts.math import signed
from contracts.math import wad

PIPS: constant(uint256) = 10**6


# What LPs own before or after a step, at three valuations [quote, WAD].
struct Holdings:
    lp_cash: int256
    at_mid: uint256         # venue equity at the oracle's price
    at_twap: uint256        # venue equity at the venue's average


@internal
@pure
def _tolerance(fee: uint256, band_pips: uint256) -> uint256:
    """@return [fraction, WAD] venue fee plus band"""
    return fee + band_pips * (c.WAD // PIPS)


@internal
@pure
def _is_near(price: uint256, reference: uint256, tolerance: uint256) -> bool:
    """@notice |price - reference| <= tolerance * reference."""
    gap: uint256 = max(price, reference) - min(price, reference)
    return gap <= wad.mul_down(reference, tolerance)


@internal
@pure
def _after_haircut(equity: uint256, haircut_bps: uint256) -> uint256:
    """@return [quote, WAD] rounded down"""
    return equity * (c.BPS - haircut_bps) // c.BPS


@internal
@pure
def _loss_at_mid(before: Holdings, after: Holdings) -> int256:
    """@return [quote, WAD] fall of LP cash and venue equity at the oracle's price"""
    return (before.lp_cash - after.lp_cash) + self._difference(before.at_mid, after.at_mid)


@internal
@pure
def _cost(before: Holdings, after: Holdings, haircut_bps: uint256, notional: uint256, fee: uint256) -> uint256:
    """
    @notice The dearest of: the fall at the oracle's price; at the venue's average; as NAV shows it, haircut included; the fee.
    @dev    NAV falls by the third, so I10 holds in the NAV that LPs see. Without a haircut it equals the first.
    @param  notional [quote, WAD] size at the oracle's price
    @param  fee [fraction, WAD]
    @return [quote, WAD]
    """
    cash: int256 = before.lp_cash - after.lp_cash
    worst: int256 = cash + self._difference(before.at_mid, after.at_mid)
    worst = max(worst, cash + self._difference(before.at_twap, after.at_twap))
    worst = max(worst, cash + self._difference(
        self._after_haircut(before.at_mid, haircut_bps), self._after_haircut(after.at_mid, haircut_bps)
    ))
    least: uint256 = wad.mul_up(notional, fee)
    if worst <= 0:
        return least
    return max(least, convert(worst, uint256))


@internal
@pure
def _reward(freed: uint256, cost: uint256, notional: uint256, eta_bps: uint256, size_reward: uint256) -> uint256:
    """
    @notice eta of what the hedge frees beyond its cost, and never less than the reward by size.
    @return [quote, WAD]
    """
    return max(wad.sub_floor(freed, cost) * eta_bps // c.BPS, notional * size_reward // PIPS)


@internal
@pure
def _gas(rule: IHedgeManager.Rule, base_fee: uint256, gas_token_price: uint256) -> uint256:
    """
    @param  base_fee [wei]
    @param  gas_token_price [quote per gas token, WAD]; 0 pays nothing
    @return [quote, WAD]
    """
    gas_price: uint256 = min(base_fee + rule.gas_tip_cap, rule.gas_price_cap)
    return wad.mul_down(rule.gas_units * gas_price, gas_token_price)


@internal
@pure
def _budget(phi_bps: uint256, fall: uint256) -> uint256:
    """@return [quote, WAD] what cost, reward and gas together may reach"""
    return fall * phi_bps // c.BPS


@internal
@pure
def _turnover(used: uint256, elapsed: uint256, per_day: uint256, notional: uint256) -> uint256:
    """
    @notice Turnover drawn after a trade: what was drawn has refilled at `per_day`, the trade draws its notional.
    @param  used [quote, MICRO]
    @param  elapsed [s]
    @param  per_day [quote, MICRO]
    @param  notional [quote, WAD]
    @return [quote, MICRO], rounded up
    """
    return wad.sub_floor(used, per_day * elapsed // c.DAY) + (notional + c.MICRO - 1) // c.MICRO


@internal
@pure
def _expected_equity(state: IHedgeManager.VenueState, price: uint256) -> int256:
    """
    @notice Venue equity as Inventory has it: the last report moved by exposure * price change, toward minus infinity.
    @return [quote, WAD]
    """
    change: int256 = convert(price, int256) - convert(state.price, int256)
    return convert(state.equity, int256) + signed.mul_floor(state.exposure, change)


@internal
@pure
def _difference(before: uint256, after: uint256) -> int256:
    return convert(before, int256) - convert(after, int256)
