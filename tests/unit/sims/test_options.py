"""The option vault's arithmetic against the models it is taken from, its books, and what each rule does."""

from dataclasses import replace
from math import inf, log

import numpy as np
import pytest

from ballast.model.analytic import black76
from ballast.model.analytic.potential import Weights, potential
from ballast.model.exact.fixed import SPOT_SHOCKS, VOL_SHOCKS, WAD
from ballast.model.exact.inventory import half_spread_of
from ballast.model.exact.oracle import Mark
from ballast.model.exact.structs import Change, Exposure
from ballast.surface.ssvi import total_variance
from sims import options, paths
from sims.options import STRIKES, WEEK, Ballast, Customers, Flat, Lyra, Setting
from sims.studies.options import Options
from sims.world import NEVER, Floats, Wants

ALONE = Setting(band=inf, edge=inf, fee_share=0.0)  # nobody hedges, no market makers
MIDDLE = STRIKES // 2


def path(steps: int, seed: int = 1) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    price = 2_000.0 * np.exp(np.cumsum(np.append(0.0, 0.008 * rng.standard_normal(steps))))
    return price, np.full(steps + 1, 0.6)


def market(board: int, strike: int, put: bool = False) -> int:
    return (board * STRIKES + strike) * 2 + put


def play(rule: Ballast | Lyra | Flat, rows: list[tuple[int, int, float, float, int]], steps: int = 2 * WEEK) -> Floats:
    price, vol = path(steps)
    return options.run(price[None], vol[None], [Wants.of(rows)], rule, ALONE).equity[0]


def test_black_and_volatility_equal_the_analytic_models() -> None:
    shape = options.smile()
    for spot, strike, years in ((2_000.0, 2_100.0, 0.05), (2_000.0, 1_500.0, 0.002), (1.0, 1.3, 0.2)):
        vol = options.volatility(shape, 0.7, spot, strike, years)
        atm = 0.7 * shape[0] * (1 + shape[1] * log(years * 365 / 30))
        assert vol**2 * years == pytest.approx(total_variance(log(strike / spot), atm**2 * years, shape[2], shape[3]))
        found = options.black(spot, strike, vol, years)
        known = black76.evaluate(spot, strike, vol, years)
        assert found == pytest.approx((known.call, known.delta, known.gamma, known.vega), rel=1e-9, abs=1e-12)


def listed() -> tuple[Floats, Floats]:
    """Every option ten hours before a week's end, and the strikes; `evaluate`'s table."""
    table = np.zeros((options.LISTED, STRIKES, 2, options.N_OPTION))
    middle = np.full(options.LISTED, 2_000.0)
    options.evaluate(table, options.smile(), 2_050.0, 0.7, middle, 10, 1 / 365, len(SPOT_SHOCKS))
    return table, 2_000.0 * np.exp(options.SPACING * (np.arange(STRIKES) - MIDDLE))


def test_evaluate_equals_black76_and_its_scenarios() -> None:
    table, strikes = listed()
    for board, strike in ((0, MIDDLE), (1, MIDDLE + 2), (4, MIDDLE - 4)):
        years = ((board + 1) * WEEK - 10) / 8_760
        vol = options.volatility(options.smile(), 0.7, 2_050.0, strikes[strike], years)
        now = black76.evaluate(2_050.0, strikes[strike], vol, years)
        call, put = table[board, strike]
        assert (call[0], put[0]) == pytest.approx((float(now.call), float(now.put)), abs=1e-9)
        assert put[1] == pytest.approx(float(now.delta) - 1)
        weighted = float(now.vega) * np.sqrt(30 / 365 / max(years, 1 / 365))
        assert (put[3], put[options.PLAIN]) == pytest.approx((weighted, float(now.vega)))
        for j, (spot_shock, vol_shock) in enumerate(zip(SPOT_SHOCKS, VOL_SHOCKS, strict=True)):
            shocked = 2_050.0 * (1 + spot_shock / 1e18), strikes[strike], max(vol + vol_shock / 1e18, 0.01), years
            there = black76.evaluate(*shocked)
            beyond = float(there.put - now.put) - put[1] * 2_050.0 * spot_shock / 1e18
            assert put[4 + j] == pytest.approx(beyond, abs=1e-6)


@pytest.mark.parametrize("size", [-400.0, 50.0, 3_000.0])
def test_potential_equals_the_analytic_one(size: float) -> None:
    rule = Ballast()
    values = {name: float(value) for name, value in rule.config.inventory if name in Weights.__dataclass_fields__}
    weights = Weights(**values | {"horizon": 1 / 365})
    spot, sigma, capital, held = 2_050.0, 0.8, 1e6, 30.0
    table, _ = listed()
    book = size * (table[3, MIDDLE + 1, 0] - 0.5 * table[3, MIDDLE - 2, 1])[: options.N_BOOK]
    u, loss = options._potential(rule.array(), book, held, spot, sigma, capital)
    dollars = (book[1] + held) * spot
    assert loss == pytest.approx(max(0.0, *(-(dollars * options.SHOCKS[0] + book[4:]))))
    known = potential(
        np.array([dollars]), np.array([sigma]), capital, weights, vega=book[3:4],
        vol_of_vol=np.array([float(rule.config.markets[0].inventory.vol_of_vol)]),
        dollar_gamma=book[2:3] * np.sqrt(2) / weights.horizon, stressed_loss=loss,
    )  # fmt: skip
    assert u == pytest.approx(known, rel=1e-12)


@pytest.mark.parametrize("size", [3.0, -3.0])
def test_half_spread_equals_the_exact_one_up_to_its_cap(size: float) -> None:
    rule, setting = Ballast(), Setting()
    table, _ = listed()
    one = -size * table[4, MIDDLE, 0, : options.N_BOOK]
    delta, vega, notional = (int(x * WAD) for x in (one[1], one[3], abs(size) * 2_050.0))
    change = Change(Exposure(delta, 0, vega), notional=notional, vol_age=int(setting.surface_age))
    mark = Mark(2_050 * WAD, int(0.8 * WAD), 0, 1, 1_000, 999, True)
    exact = half_spread_of(rule.config.markets[0].inventory.params(), change, mark, 1_000) / WAD
    value = float(table[4, MIDDLE, 0, 0])
    found = options._half_spread(rule.array(), one, size, value, 2_050.0, 0.8, setting.array())
    assert found == pytest.approx(exact, rel=1e-9)
    cheap = options._half_spread(rule.array(), one, size, 1.0, 2_050.0, 0.8, setting.array())
    assert cheap == pytest.approx(3.0 * (0.205 if size > 0 else 1.0))  # a basis point of spot; what is sold, whole


@pytest.mark.parametrize("put", [False, True])
def test_option_held_to_expiry_costs_lps_its_payoff(put: bool) -> None:
    price, vol = path(2 * WEEK)
    strike = float(options.centres(price)[0] * np.exp(options.SPACING * 2))
    rows = [(10, market(0, MIDDLE + 2, put), 5.0, inf, NEVER)]
    equity = options.run(price[None], vol[None], [Wants.of(rows)], Flat(spread=0.0), ALONE).equity[0]
    years = (WEEK - 10) / 8_760
    own = options.volatility(options.smile(), 0.6, price[10], strike, years)
    premium = 5.0 * float(getattr(black76.evaluate(price[10], strike, own, years), "put" if put else "call"))
    payoff = 5.0 * max((strike - price[WEEK]) if put else (price[WEEK] - strike), 0.0)
    assert equity[10] == pytest.approx(10e6, rel=1e-14)  # at worth it is no gain
    assert equity[WEEK:] == pytest.approx(10e6 + premium - payoff, rel=1e-12)


def test_flat_takes_its_spread_and_customers_refuse_more() -> None:
    vega = options.black(*(2_000.0, 2_000.0), options.volatility(options.smile(), 0.6, 2_000.0, 2_000.0, WEEK / 8_760),
                         WEEK / 8_760)[3]  # fmt: skip
    equity = play(Flat(spread=0.01), [(0, market(0, MIDDLE), 100.0, inf, NEVER)])
    assert equity[0] - 10e6 == pytest.approx(100.0 * 0.01 * vega)
    refused = play(Flat(spread=0.01), [(0, market(0, MIDDLE), 100.0, 0.009, NEVER)])
    assert refused[0] == 10e6


def test_ballast_round_trip_gains_nothing_and_parts_cost_no_less() -> None:
    whole = [(5, market(4, MIDDLE), 4_000.0, inf, NEVER), (5, market(4, MIDDLE), -4_000.0, inf, NEVER)]
    there_and_back = play(Ballast(), whole, steps=10)
    assert there_and_back[5] > 10e6  # two half-spreads at least
    one = play(Ballast(), whole[:1], steps=10)
    parts = play(Ballast(), [(5, market(4, MIDDLE), 1_000.0, inf, NEVER)] * 4, steps=10)
    assert parts[5] == pytest.approx(one[5], abs=1e-6)


def test_ballast_reserve_is_charges_less_rebates_and_releases() -> None:
    price, vol = (np.stack(column) for column in zip(path(4 * WEEK, 4), path(4 * WEEK, 5), strict=True))
    wanted = [
        options.wants(np.random.default_rng(i), price[i], vol[i], Customers(per_day=80.0), 10e6) for i in range(2)
    ]
    found = options.run(price, vol, wanted, Ballast())
    totals = found.totals
    left = totals[:, options.CHARGES] - totals[:, options.REBATES] - totals[:, options.RELEASED]
    assert found.reserve[:, -1] == pytest.approx(left, abs=1e-6)
    assert found.reserve.min() >= -1e-9
    assert np.all(totals[:, options.REBATES] > 0)
    assert np.all(np.abs(found.equity[:, 1:] / found.equity[:, :-1] - 1) < 0.05)


def test_ballast_refuses_what_would_pass_u_max_unless_it_closes() -> None:
    board, most = market(4, MIDDLE), 60_000.0
    rows = [(0, board, most, inf, NEVER), (1, board, 0.0, inf, 0)]
    assert play(Ballast(), rows, steps=2)[2] == 10e6
    small = [(0, board, 100.0, inf, NEVER), (1, board, 0.0, inf, 0)]
    assert play(Ballast(), small, steps=2)[2] != 10e6


def test_lyra_quotes_move_with_trades_until_market_makers_bring_them_back() -> None:
    price, vol = path(48)
    rows = [(k, market(4, MIDDLE), 60.0, inf, NEVER) for k in range(1, 9)]
    alone = options.run(price[None], vol[None], [Wants.of(rows)], Lyra(), ALONE)
    premium = np.diff(alone.equity[0][:9])
    assert np.all(premium[:8] > 0)
    assert premium[7] > premium[0]  # each purchase pays for those before
    makers = options.run(price[None], vol[None], [Wants.of(rows)], Lyra(), replace(ALONE, edge=0.01))
    assert makers.totals[0, options.MAKERS] > 0
    assert makers.equity[0, -1] < alone.equity[0, -1]


def test_wants_are_where_recorded_volume_is() -> None:
    price, vol = np.full(20 * WEEK + 1, 2_000.0), np.full(20 * WEEK + 1, 0.6)
    wanted = options.wants(np.random.default_rng(3), price, vol, Customers(per_day=2_000.0), 10e6)
    opened = wanted.closes == NEVER
    put, strike, board = wanted.market % 2, wanted.market // 2 % STRIKES, wanted.market // 2 // STRIKES
    assert np.all(board[opened] >= wanted.step[opened] // WEEK)
    assert np.all(wanted.step < (board + 1) * WEEK)
    otm = np.where(put == 1, strike <= MIDDLE, strike >= MIDDLE)
    assert np.all(otm[opened])
    found = paths.calibrated()["options"]
    assert put[opened].mean() == pytest.approx(np.sum(found["shares"][1]) / np.sum(found["shares"]), abs=0.01)
    assert wanted.limit[opened].min() >= found["half_spread"]
    days = ((board + 1) * WEEK - wanted.step)[opened] / 24
    assert np.mean(days < 2) > 1.5 * np.mean((days >= 2) & (days < 4))  # volume is at the shortest


def test_study_charges_the_fixed_spread_what_ballast_was_paid() -> None:
    study = Options(spans=(("2023-08-01", "2023-08-22"),), draws=1, buyers=(0.6,))
    cases = study.cases(3)
    found = [study.solve(case) for case in cases]
    assert found == [study.solve(case) for case in cases]  # its seed decides
    assert found[0]["fixed spread"]["paid"] == pytest.approx(
        found[0]["Ballast"]["paid"], rel=0.05
    )  # sales at worth at most
    assert all(rule["drawdown"] > 0 for rule in found[0].values())
    summary = study.summary(cases, found)
    assert list(summary["years"]) == ["2023"]
    assert set(study.pictures(summary)) == {"years"}
