"""The peers' rules against cases worked out by hand."""

from __future__ import annotations

from math import inf, isinf, log, sqrt
from types import ModuleType

import numpy as np
import pytest

from sims.rules import avellaneda_stoikov, drift, gmx_v2, lyra, perennial, synthetix
from sims.world import (
    CLOSING,
    ELAPSED,
    EQUITY,
    LONG,
    N_VAULT,
    N_VIEW,
    NET,
    PRICE,
    SHORT,
    SIGMA,
    YEAR,
)

RULES = (gmx_v2, synthetix, perennial, drift, avellaneda_stoikov)
ETH, BTC = 0, 1


class Vault:
    """One rule with two markets, flat at first: ETH at 2,000, BTC at 40,000, volatility 60 %, equity 10m."""

    def __init__(self, rule: ModuleType, equity: float = 10e6, **params: float) -> None:
        self.rule = rule
        self.p = rule.Params(**params).array()
        self.m, self.g = np.zeros((2, N_VIEW)), np.zeros(N_VAULT)
        self.m[:, PRICE], self.m[:, SIGMA] = (2_000.0, 40_000.0), 0.6
        self.g[EQUITY] = equity
        self.z = np.zeros(rule.N_STATE + 2 * rule.N_MARKET_STATE)
        rule.start(self.p, self.z, self.m, self.g)

    def hold(self, longs: float, shorts: float = 0.0, i: int = ETH) -> Vault:
        """Open interest [base] of a market, without trades."""
        self.m[i, LONG], self.m[i, SHORT], self.m[i, NET] = longs, shorts, longs - shorts
        return self

    def quote(self, dq: float, i: int = ETH, closing: bool = False) -> float:
        self.g[CLOSING] = closing
        return float(self.rule.quote(self.p, self.z, self.m, self.g, i, dq))

    def fill(self, dq: float, i: int = ETH) -> tuple[float, float]:
        to_lp, to_reserve = self.rule.fill(self.p, self.z, self.m, self.g, i, dq)
        return float(to_lp), float(to_reserve)

    def after(self, seconds: float) -> tuple[float, float]:
        self.g[ELAPSED] = seconds
        carried, freed = self.rule.accrue(self.p, self.z, self.m, self.g)
        return float(carried), float(freed)

    def rate(self, i: int = ETH) -> float:
        return float(self.rule.rate(self.p, self.z, self.m, self.g, i))


def test_gmx_v2_ten_millions_from_flat_cost_nine_basis_points_and_the_fee() -> None:
    vault = Vault(gmx_v2, equity=40e6)
    # 9e-11 · (10⁷)² = 9,000, 9 bp; 6 bp of 10⁷ = 6,000
    assert vault.quote(5_000.0) == pytest.approx(15_000.0)
    assert vault.fill(5_000.0) == pytest.approx((6_000.0, 9_000.0))


def test_gmx_v2_taking_the_imbalance_back_earns_next_to_nothing() -> None:
    vault = Vault(gmx_v2, equity=40e6)
    vault.fill(5_000.0)
    vault.hold(5_000.0)
    # from 10m to 8m: 3e-11 · 2e6 = 6e-5 back; 4 bp of 2m = 800
    assert vault.quote(-1_000.0) == pytest.approx(800.0 - 6e-5, rel=1e-12)
    # with a positive factor worth the name: 9e-11 · ((10⁷)² − (8·10⁶)²) = 3,240, at most 0.4 % · 2m = 8,000
    vault.p[gmx_v2.K_FALL], vault.p[gmx_v2.E_FALL] = 9e-11, 2.0
    assert vault.quote(-1_000.0) == pytest.approx(800.0 - 3_240.0)
    # across: 9e-11 · (10⁷)² − 9e-11 · (2·10⁶)² = 8,640 for 12m; |D| falls, so 4 bp of it
    assert vault.quote(-6_000.0) == pytest.approx(4_800.0 - 8_640.0)
    # but never more than the impact pool holds
    vault.z[gmx_v2.POOL] = 100.0
    assert vault.quote(-1_000.0) == pytest.approx(700.0)


def test_gmx_v2_rise_is_capped_at_half_a_percent() -> None:
    # from 60m to 61m: 9e-11 · (61² − 60²)·10¹² = 10,890, more than 0.5 % of 1m = 5,000; 6 bp = 600
    assert Vault(gmx_v2, equity=200e6).hold(30_000.0).quote(500.0) == pytest.approx(5_600.0)


def test_gmx_v2_nothing_opens_beyond_the_reserve() -> None:
    vault = Vault(gmx_v2)  # 2.7 · 10m / 4 = 6.75m a side
    assert not isinf(vault.quote(3_375.0))
    assert vault.quote(3_376.0) == inf
    assert not isinf(vault.hold(0.0, 4_000.0).quote(4_000.0, closing=True))


def test_gmx_v2_funding_moves_to_the_larger_side_and_stops() -> None:
    vault = Vault(gmx_v2).hold(3_000.0, 1_000.0)
    # x = 2000/4000; 0.75 · 0.5 per three hours
    vault.after(3_600.0)
    assert vault.rate() == pytest.approx(0.125)
    vault.after(10 * 3_600.0)
    assert vault.rate() == pytest.approx(0.75)
    vault.hold(1_000.0, 1_010.0).after(60.0)  # the other way: −10/2010 · 0.75 · 60/10800
    assert vault.rate() == pytest.approx(0.75 * (1 - 10 / 2_010 * 60 / 10_800))


def test_gmx_v2_larger_side_pays_kinked_borrowing() -> None:
    vault = Vault(gmx_v2).hold(3_375.0 * 0.925, 100.0)
    # u = 0.925, half way from the kink to 1: 0.45 · 0.925 + 0.45 · 0.5 = 0.64125 on 6,243,750
    carried, freed = vault.after(YEAR / 1_000)
    assert (carried, freed) == (pytest.approx(0.64125 * 6_243_750 / 1_000), 0.0)


def test_gmx_v2_impact_pool_becomes_lps() -> None:
    vault = Vault(gmx_v2, equity=40e6)
    vault.fill(5_000.0)
    _, freed = vault.after(45 * 86_400.0)
    assert freed == pytest.approx(9_000.0 * (1 - np.exp(-1)))
    assert vault.z[gmx_v2.POOL] == pytest.approx(9_000.0 - freed)


def test_synthetix_fills_at_the_mean_premium() -> None:
    vault = Vault(synthetix)
    # 1,000 from flat: 1,000 · 2,000 · 500/10⁶ = 1,000; taker 6 bp of 2m = 1,200
    assert vault.quote(1_000.0) == pytest.approx(2_200.0)
    # 1,500 sold at a skew of 1,000: −1,500 · 2,000 · 250/10⁶ = −750; 1,000 makers' at 2 bp = 400, 500 takers' = 600
    assert vault.hold(1_000.0).quote(-1_500.0) == pytest.approx(250.0)
    assert vault.fill(-1_500.0) == pytest.approx((250.0, 0.0))


def test_synthetix_funding_gains_speed_with_the_skew() -> None:
    vault = Vault(synthetix).hold(3_000.0)
    # 9 · 0.003 a day² for ten days: 0.27 a day, 0.135 on average, on 6m of skew
    carried, _ = vault.after(10 * 86_400.0)
    assert carried == pytest.approx(0.135 * 10 * 6e6)
    assert vault.rate() == pytest.approx(0.27 * 365)
    assert vault.z[BTC] == 0.0


def test_synthetix_refuses_beyond_cap_and_pool() -> None:
    assert Vault(synthetix, equity=1e9).quote(27_001.0) == inf
    assert Vault(synthetix).quote(10_001.0) == inf  # half of 20m is the pool
    assert Vault(synthetix).hold(10_001.0).quote(-10_001.0, closing=True) != inf


def test_perennial_charges_fees_and_offset() -> None:
    vault = Vault(perennial)
    # 60 of ETH: 120,000 · (4 bp + 2 bp · 0.1) = 50.4; offset 120,000 · 12 bp · 30/600 = 7.2
    assert vault.quote(60.0) == pytest.approx(57.6)
    assert vault.fill(60.0) == pytest.approx((50.4, 7.2))
    # back from 60: the offset is returned
    assert vault.hold(60.0).fill(-60.0) == pytest.approx((50.4, -7.2))


def test_perennial_pot_holds_what_unwinding_pays_when_the_price_moves() -> None:
    vault = Vault(perennial)
    _, pot = vault.fill(60.0)
    vault.hold(60.0)
    vault.m[ETH, PRICE] = 2_500.0
    _, freed = vault.after(0.0)
    assert freed == pytest.approx(-1.8)  # 12 bp · 60²/1200 · 500
    _, back = vault.fill(-60.0)
    assert pot - freed + back == pytest.approx(0.0)


def test_perennial_funding_and_interest() -> None:
    vault = Vault(perennial).hold(600.0)
    # the rate rises by q/s · dt/k = 0.5; maker = 2 · 10m/2/2,000 = 5,000, u = 600/5,000 = 0.12
    carried, _ = vault.after(9_216.0)
    assert vault.rate() == pytest.approx(0.5)
    assert carried == pytest.approx((0.5 + 0.3 * 0.12 / 0.67) * 1.2e6 * 9_216.0 / YEAR)
    vault.after(86_400.0 * 10)
    assert vault.rate() == 1.75
    # beyond the target: u = 4,000/5,000, 0.3 + 0.7 · 0.13/0.33
    vault.z[perennial.RATE], vault.p[perennial.CONTROLLER] = 0.0, 1e18
    carried, _ = vault.hold(4_000.0).after(YEAR)
    assert carried == pytest.approx((0.3 + 0.7 * 0.13 / 0.33) * 8e6, rel=1e-6)


def test_perennial_refuses_what_makers_do_not_carry() -> None:
    vault = Vault(perennial)
    assert vault.quote(5_000.0) != inf
    assert vault.quote(5_001.0) == inf
    assert vault.hold(9_000.0, 4_000.0).quote(1.0) == inf  # 9,001/(5,000 + 4,000)
    assert vault.quote(-100.0, closing=True) != inf


def test_drift_spread_grows_with_flow_inventory_and_what_unwinding_costs() -> None:
    vault = Vault(drift)
    # σ√hour = 0.6/√8760 = 64.1 bp, vol a half; without flow 1 % of it = 0.32 bp, so the floor: max(5/2, 5/20) = 2.5 bp
    assert tuple(drift.spreads(vault.p, vault.z, vault.m, ETH)) == pytest.approx((0.00025, 0.00025))
    # 1m bought: 10 bp + 2.5 bp of 1m, and 10¹²/(200m − 1m) = 5,025.1 of curve
    assert vault.quote(500.0) == pytest.approx(1_250.0 + 1e12 / 199e6)
    assert vault.quote(-500.0) == pytest.approx(1_250.0 + 1e12 / 201e6)
    # then all flow was bought: vol · 1 = 32.05 bp. largest = 2 %, 2 %/32.05 bp = 6.24 < 10. I = 1/(58 − 1);
    # unwinding costs 10¹²/200m = 5,000 of 100,000 + 1,000 + 250 + 5,025.1
    to_lp, _ = vault.fill(500.0)
    assert to_lp == pytest.approx(1_250.0 + 1e12 / 199e6)
    vault.hold(500.0)
    long, short = drift.spreads(vault.p, vault.z, vault.m, ETH)
    vol = 0.3 / sqrt(8_760)
    assert long == pytest.approx(vol * (1 + 10 / 57) * (1 + 5_000 / (100_000 + to_lp)))
    assert short == pytest.approx(0.01 * vol) or short == pytest.approx(0.00025)
    # funding (long − short)/2 + 2 bp a day
    assert vault.rate() == pytest.approx(((long - short) / 2 + 0.0002) * 365)


def test_drift_spreads_are_capped_together_and_losses_capped_by_fees() -> None:
    vault = Vault(drift, fees=0.0)
    vault.hold(25_000.0)  # 50m; retained nothing: 2.5 bp · 10 · …
    long, short = drift.spreads(vault.p, vault.z, vault.m, ETH)
    assert long + short == pytest.approx(0.02)
    assert vault.quote(5_000.0) == inf  # 60m of 58m
    assert vault.quote(5_000.0, closing=True) != inf
    vault.hold(0.0, 25_000.0)  # shorts pay long − short < 0: LPs get it
    assert vault.after(3_600.0)[0] > 0.0
    # what LPs owe to shorts is at most a third of 30 in an hour: longs pay > 0.5 % a day after one-sided flow at 300 %
    vault = Vault(drift, fees=30.0).hold(0.0, 100.0)
    vault.m[ETH, SIGMA] = 3.0
    vault.z[drift.N_STATE + drift.BOUGHT] = vault.z[drift.N_STATE + drift.TRADED] = 1e6
    assert 200_000 * vault.rate() / 8_760 > 40.0
    assert vault.after(3_600.0)[0] == pytest.approx(-10.0)


def test_avellaneda_stoikov_charges_the_shift_and_a_width() -> None:
    vault = Vault(avellaneda_stoikov)
    # γσ²τ = 8e-7 · 0.36/365 = 7.8904e-10 per quote; 1m from flat: half of that · 10¹² = 394.52. Width: γL/κ = 3.2e-6,
    # ln(1.0000032)/0.008 = 3.99999e-4 of 1m
    width = log(1 + 0.008 / 2_500) / 0.008 * 1e6
    assert width == pytest.approx(400.0, abs=0.001)
    assert vault.quote(500.0) == pytest.approx(394.5205 + width, abs=1e-4)
    # from 1m to 2m: three times as much; back: as much less
    assert vault.hold(500.0).quote(500.0) == pytest.approx(3 * 394.5205 + width, abs=1e-3)
    assert vault.quote(-500.0) == pytest.approx(-394.5205 + width, abs=1e-4)


def test_lyra_vega_fee_and_the_price_of_parts() -> None:
    p = lyra.Params(premium_fee=0.0, spot_fee=0.0, variance_fee=0.0, push=0.0).array()
    option = (2_000.0, 2_000.0, 30 / 365, True)
    # at 70 % the call is worth 159.854, its standard vega 2.27598 per point; 100 sold by the vault:
    # 35,000 · 0.7 · 227.598/10⁶ = 5.5761 a contract
    paid, fees, _, _, vega = lyra.trade(p, *option, 0.7, 1.0, 0.7, 100.0, 0.0, 1e6)
    assert paid == pytest.approx(100 * (159.85418 + 5.57614), rel=1e-6)
    assert (fees, vega) == (pytest.approx(557.6144, rel=1e-6), pytest.approx(-227.5977, rel=1e-6))
    # bought back: risk falls, no vega fee
    paid, fees, *_ = lyra.trade(p, *option, 0.7, 1.0, 0.7, -100.0, vega, 1e6)
    assert (paid, fees) == (pytest.approx(-15_985.418, rel=1e-6), 0.0)

    # pushed by 4 % and 5 %: 120 cost 177.369 each at 0.74 · 1.05, in twenty parts 168.976 on average
    free = lyra.Params(premium_fee=0.0, spot_fee=0.0, variance_fee=0.0, vega_fee=0.0).array()
    paid, _, base, skew, _ = lyra.trade(free, *option, 0.7, 1.0, 0.7, 120.0, 0.0, 1e6)
    assert (paid / 120, base, skew) == (pytest.approx(177.36915), pytest.approx(0.74), pytest.approx(1.05))
    base, skew, total = 0.7, 1.0, 0.0
    for _ in range(20):
        paid, _, base, skew, _ = lyra.trade(free, *option, base, skew, 0.7, 6.0, 0.0, 1e6)
        total += paid
    assert total / 120 == pytest.approx(168.97561)


def test_lyra_fees_on_premium_spot_and_variance() -> None:
    p = lyra.Params(vega_fee=0.0, push=0.0).array()
    # 63 days, half way from A to B: w = 1.5; spot fee 1.5 · 0.1 % · 2,000 = 3; base 1 % off its reference:
    # 0.65 · vega · 0.01, vega = 2,000 φ(d1) √(63/365)
    price, vega = lyra.black_scholes(2_000.0, 2_100.0, 63 / 365, 0.7, False)
    paid, fees, *_ = lyra.trade(p, 2_000.0, 2_100.0, 63 / 365, False, 0.7, 1.0, 0.69, 1.0, 0.0, 1e6)
    assert fees == pytest.approx(1.5 * 0.01 * price + 3.0 + 0.65 * 0.01 * vega)
    assert paid == pytest.approx(price + fees)
    # a seller of a worthless option gets nothing, and pays nothing
    assert lyra.trade(p, 2_000.0, 200.0, 7 / 365, False, 0.5, 1.0, 0.5, -1.0, 0.0, 1e6)[0] == 0.0


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__.rsplit(".", 1)[-1])
def test_all_of_a_cost_is_booked_and_what_is_freed_was_held(rule: ModuleType) -> None:
    vault = Vault(rule, equity=100e6)
    rng = np.random.default_rng(7)
    reserve = 0.0
    for _ in range(300):
        i = int(rng.integers(2))
        vault.m[i, PRICE] *= np.exp(rng.normal(0, 0.002))
        reserve -= vault.after(60.0)[1]
        dq = float(rng.normal(0, 200_000)) / vault.m[i, PRICE]
        cost = vault.quote(dq, i)
        to_lp, to_reserve = vault.fill(dq, i)
        assert cost == pytest.approx(to_lp + to_reserve, abs=1e-6)
        reserve += to_reserve
        vault.hold(max(vault.m[i, LONG] + dq, 0.0), max(vault.m[i, LONG] + dq, 0.0) - vault.m[i, NET] - dq, i)
    assert reserve > -1e-6
