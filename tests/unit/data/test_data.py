"""The packaged data is complete, consistent and what its README says."""

import numpy as np
import pytest

from ballast import data
from ballast.data import Bars


def assert_consistent(bars: Bars) -> None:
    assert np.all(np.diff(bars.ts) >= bars.step)
    assert np.all(bars.high >= np.maximum(bars.open, bars.close))
    assert np.all(bars.low <= np.minimum(bars.open, bars.close))
    assert np.all(bars.low > 0)


@pytest.mark.parametrize("window", ["2021-05_crash", "2021-12-04_flash", "calm_2023-08", "2025-06_mixed"])
def test_minute_window_assets_share_gapless_minutes(window: str) -> None:
    bars = data.minute_window(window)
    assert set(bars) == {"BTC", "ETH"}
    assert np.array_equal(bars["BTC"].ts, bars["ETH"].ts)
    for series in bars.values():
        assert np.all(np.diff(series.ts) == 60)
        assert_consistent(series)


def test_minute_window_crash_has_its_known_low() -> None:
    eth = data.minute_window("2021-05")["ETH"]
    assert eth.low.min() == 1_888.0
    assert eth.ts[eth.low.argmin()] == 1_621_429_800  # 2021-05-19 13:10 UTC


def test_minute_windows_are_the_four_in_order() -> None:
    assert data.minute_windows() == ["2021-05_crash", "2021-12-04_flash", "calm_2023-08", "2025-06_mixed"]


def test_resolve_window_ambiguous_or_unknown_raises() -> None:
    assert data.resolve_window("calm") == "calm_2023-08"
    with pytest.raises(LookupError, match="ambiguous"):
        data.resolve_window("2021")
    with pytest.raises(LookupError, match="no window"):
        data.resolve_window("1999")


@pytest.mark.parametrize("window", data.five_minute_windows())
def test_five_minute_window_bars_are_gapless(window: str) -> None:
    for series in data.five_minute_window(window).values():
        assert np.all(np.diff(series.ts) == 300)
        assert_consistent(series)


def test_five_minute_window_perp_stays_near_spot() -> None:
    for window in ("2022-06_3ac", "2022-11_ftx"):
        spot, perp = (data.five_minute_window(window, venue)["ETH"] for venue in ("spot", "perp"))
        assert np.array_equal(spot.ts, perp.ts)
        assert np.abs(perp.close / spot.close - 1).max() < 0.01
    with pytest.raises(LookupError):
        data.five_minute_window("2022-05_luna", "perp")


@pytest.mark.parametrize("asset", data.ASSETS)
def test_hourly_minutes_re_aggregate_to_hours(asset: data.Asset) -> None:
    hours = data.hourly(asset)
    assert_consistent(hours)
    minutes = data.minute_window("2021-12-04_flash")[asset]
    same = hours.between(int(minutes.ts[0]), int(minutes.ts[-1]))
    assert np.array_equal(same.low, minutes.low.reshape(-1, 60).min(axis=1))
    assert np.array_equal(same.close, minutes.close[59::60])


@pytest.mark.parametrize("asset", data.ASSETS)
def test_dvol_daily_is_a_fraction_without_gaps(asset: data.Asset) -> None:
    index = data.dvol(asset)
    assert len(index) == 1_840
    assert np.all(np.diff(index.ts) == 86_400)
    assert 0.1 < index.close.min() < index.close.max() < 2.1


def test_gas_price_has_every_day_and_the_known_ones() -> None:
    days, wei = data.gas_price()
    assert np.all(np.diff(days) == 86_400)
    for window in data.minute_windows():
        first, last = data.minute_window(window)["ETH"].ts[[0, -1]]
        assert days[0] <= first < last < days[-1] + 86_400
    on = dict(zip(days.tolist(), wei.tolist(), strict=True))
    assert on[1_621_382_400] == 298.784e9  # 2021-05-19
    assert on[1_691_712_000] == 22.8124e9  # 2023-08-11


def test_funding_settles_every_eight_hours() -> None:
    ts, rates = data.funding()
    assert np.all(np.diff(ts) == 8 * 3_600)
    assert np.isnan(rates["ETH"]).sum() == 234
    assert np.nanmin(rates["ETH"]) == pytest.approx(-0.00356, abs=1e-5)


@pytest.mark.parametrize("day", ["2025-01-08", "2025-11-11", "2025-12-11"])
def test_gmx_flow_differences_sum_to_open_interest(day: str) -> None:
    flow = data.gmx_flow(day)
    assert len(flow) == 1_440
    assert flow.signed_flow.shape == (1_440,)
    assert flow.long_flow[0] == flow.short_flow[0] == 0
    assert flow.oi_long[0] + flow.long_flow.sum() == pytest.approx(flow.oi_long[-1])
    assert 13_000 < np.abs(flow.long_flow).sum() + np.abs(flow.short_flow).sum() < 60_100
    assert day in data.gmx_days()


def test_gmx_flow_unknown_day_raises() -> None:
    with pytest.raises(LookupError, match="2025-01-08"):
        data.gmx_flow("2024-01-01")


@pytest.mark.parametrize("currency", data.ASSETS)
def test_option_chains_hold_one_moment_each(currency: data.Asset) -> None:
    chains = data.option_chains(currency)
    assert len(chains) == 19
    for chain in chains:
        assert 600 < len(chain) < 1_100
        assert np.all(chain.expiry > chain.ts)
        assert np.all(chain.mark_iv > 0)


def test_arrays_are_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        data.minute_window("calm")["ETH"].close[0] = 0.0


def test_half_hours_2020_03_continue_where_the_five_minute_bars_end() -> None:
    half_hours = data.half_hours_2020_03()
    assert_consistent(half_hours)
    assert half_hours.low.min() == 3_782.13
    fives = data.five_minute_window("2020-03_black_thursday")["BTC"]
    last = half_hours.between(int(fives.ts[0]), int(fives.ts[-1]) - 1_800)
    assert np.array_equal(last.close, fives.close[5 : 6 * len(last) : 6])


def test_dvol_hourly_ends_days_at_the_daily_close() -> None:
    ts, index = data.dvol_hourly()
    assert np.all(np.diff(ts) == 3_600)
    days = data.dvol("ETH").between(int(ts[0]), int(ts[-1]) - 86_400)
    ends = np.searchsorted(ts, days.ts[1:] + 23 * 3_600)
    assert np.abs(index[ends] - days.close[1:]).mean() < 1e-3


def test_swap_flow_has_every_minute_but_two() -> None:
    days = [data.swap_flow(day) for day in data.swap_days()]
    assert [1_440 - len(day) for day in days] == [0, 1, 0, 0, 0, 0, 0, 1, 0]
    assert all(day.bought.min() >= 0 and day.sold.min() >= 0 for day in days)
    crash = data.swap_flow("2023-08-17")
    volume = float(((crash.bought + crash.sold) * crash.price).sum())
    assert volume == pytest.approx(25.5e6, rel=0.01)
    with pytest.raises(LookupError, match="no swaps"):
        data.swap_flow("2020-01-01")


def test_trader_classes_have_the_known_mean_orders() -> None:
    classes = data.trader_classes()
    professional = classes.professional_volume.sum() / classes.professional_trades.sum()
    retail = classes.retail_volume.sum() / classes.retail_trades.sum()
    assert (round(professional), round(retail)) == (2_499, 333)
    assert np.isnan(classes.fee[0])
    assert np.nanmax(classes.fee) > 6.9


@pytest.mark.parametrize("currency", data.ASSETS)
def test_smile_panel_is_sorted_and_agrees_with_hourly_prices(currency: data.Asset) -> None:
    panel = data.smile_panel(currency)
    assert len(np.unique(panel.ts)) == 931
    assert np.all((np.diff(panel.ts) > 0) | ((np.diff(panel.ts) == 0) & (np.diff(panel.expiry) > 0)))
    assert np.all((panel.expiry - panel.ts >= 86_400 - 60) & (panel.expiry % 86_400 == 8 * 3_600))
    hours = data.hourly(currency)
    known = panel.ts < hours.ts[-1]
    at = np.searchsorted(hours.ts, panel.ts[known], side="right") - 1
    price = panel.index_price[known]
    assert np.all((price > 0.997 * hours.low[at]) & (price < 1.003 * hours.high[at]))  # an index of venues, not one
