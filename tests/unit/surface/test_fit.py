"""The fitter finds surfaces it is shown, fits real chains to a vol point, and never gives away static arbitrage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ballast import data
from ballast.data import OptionChain
from ballast.model.analytic import black76
from ballast.surface import Fit, Quotes, Surface, fit, quotes_of
from ballast.surface.plot import plot
from ballast.surface.quotes import implied_deviation, premium
from ballast.surface.ssvi import YEAR, total_variance

CHAINS = [(asset, i) for asset in data.ASSETS for i in range(len(data.option_chains(asset)))]


@pytest.fixture(scope="module")
def fits() -> dict[tuple[str, int], Fit]:
    return {(asset, i): fit(quotes_of(data.option_chains(asset)[i])) for asset, i in CHAINS}


def quotes_from(surface: Surface, strikes: int = 15, noise: float = 0.0) -> Quotes:
    rng = np.random.default_rng(3)
    position = np.repeat(np.arange(len(surface.expiry)), strikes)
    width = 2 * np.sqrt(surface.theta[position])
    k = np.tile(np.linspace(-1, 1, strikes), len(surface.expiry)) * width
    strike = surface.forward[position] * np.exp(k)
    vol = surface.vol(strike, position) + noise * rng.standard_normal(len(k))
    return Quotes(surface.ts, surface.expiry, surface.forward, position, strike, k >= 0, vol - 0.005, vol + 0.005)


def test_fit_recovers_the_surface_its_quotes_come_from() -> None:
    expiry = np.array([7, 30, 90, 365]) * 86_400
    truth = Surface(0, -0.35, 0.9, expiry, np.full(4, 3_000.0), 0.6**2 * expiry / YEAR)
    found = fit(quotes_from(truth)).surface
    assert found.rho == pytest.approx(truth.rho, abs=1e-4)
    assert found.eta == pytest.approx(truth.eta, abs=1e-4)
    np.testing.assert_allclose(found.theta, truth.theta, rtol=1e-4)


def test_fit_is_not_pulled_by_a_stale_quote() -> None:
    expiry = np.array([7, 30, 90, 365]) * 86_400
    truth = Surface(0, -0.35, 0.9, expiry, np.full(4, 3_000.0), 0.6**2 * expiry / YEAR)
    quotes = quotes_from(truth)
    bid, ask = quotes.bid.copy(), quotes.ask.copy()
    bid[20] += 0.5
    ask[20] += 0.5
    odd = Quotes(quotes.ts, quotes.expiries, quotes.forwards, quotes.position, quotes.strike, quotes.is_call, bid, ask)
    found = fit(odd)
    others = np.arange(len(odd)) != 20
    assert np.median(np.abs(found.error[others])) < 0.001


@pytest.mark.parametrize(("asset", "i"), CHAINS)
def test_fit_real_chains_median_error_below_one_point(
    fits: dict[tuple[str, int], Fit], asset: data.Asset, i: int
) -> None:
    fitted = fits[asset, i]
    assert fitted.liquid().sum() >= 100
    assert fitted.median_error() <= 1.0
    assert fitted.surface.violations() == []


def test_fit_real_chains_together_are_within_half_a_point(fits: dict[tuple[str, int], Fit]) -> None:
    errors = np.concatenate([np.abs(fitted.error[fitted.liquid()]) for fitted in fits.values()])
    assert np.median(errors) <= 0.005


def test_fit_real_surface_admits_no_butterfly_or_calendar_on_a_grid(fits: dict[tuple[str, int], Fit]) -> None:
    """Densities by differences of call prices, and total variances by expiry, at moneyness from 0.2 to 5."""
    for fitted in fits.values():
        s = fitted.surface
        k = np.linspace(np.log(0.2), np.log(5), 601)
        w = np.array([total_variance(k, theta, s.rho, s.eta) for theta in s.theta])
        assert np.all(np.diff(w, axis=0) >= -1e-12)
        for row in w:
            calls = black76.evaluate(1.0, np.exp(k), np.sqrt(row), 1.0).call
            slopes = np.diff(calls) / np.diff(np.exp(k))
            assert np.all(np.diff(slopes) >= -1e-9)
            assert np.all((slopes >= -1 - 1e-12) & (slopes <= 1e-12))


def test_fit_too_few_quotes_says_so() -> None:
    expiry = np.array([7, 30]) * 86_400
    truth = Surface(0, -0.35, 0.9, expiry, np.full(2, 3_000.0), 0.6**2 * expiry / YEAR)
    quotes = quotes_from(truth, strikes=1)
    with pytest.raises(ValueError, match="2 quotes of 2 expiries are too few"):
        fit(quotes)


def test_quotes_of_converts_coin_premiums_by_the_forward() -> None:
    """A chain priced from known volatilities in quote, divided by the forward, gives those volatilities back."""
    forward, years = 3_000.0, 30 / 365
    strike = np.array([2_000.0, 2_600, 3_000, 3_400, 4_200])
    vol = np.array([0.8, 0.65, 0.6, 0.62, 0.7])
    is_call = strike >= forward
    options = black76.evaluate(forward, strike, vol, years)
    coin = np.where(is_call, options.call, options.put) / forward
    n = len(strike)
    full = np.ones(n)
    chain = OptionChain(
        "ETH", 0, full * 2_990, np.full(n, 30 * 86_400), full * forward, strike, is_call, vol, coin * 0.99, coin * 1.01,
        coin, full, full, full, full,
    )  # fmt: skip
    quotes = quotes_of(chain)
    assert np.all((quotes.bid < vol) & (vol < quotes.ask))
    np.testing.assert_allclose(quotes.mid, vol, atol=2e-3)


def test_quotes_of_leaves_out_what_is_one_sided_in_the_money_or_too_near() -> None:
    chain = data.option_chains("ETH")[0]
    quotes = quotes_of(chain)
    assert np.all((quotes.strike >= quotes.forwards[quotes.position]) == quotes.is_call)
    assert np.all(quotes.ask > quotes.bid)
    assert np.all(quotes.years >= 1 / 365)
    marks = {
        (int(e), k, c): v for e, k, c, v in zip(chain.expiry, chain.strike, chain.is_call, chain.mark_iv, strict=True)
    }
    deribit = np.array(
        [
            marks[int(quotes.expiries[p]), k, c]
            for p, k, c in zip(quotes.position, quotes.strike, quotes.is_call, strict=True)
        ]
    )
    near = np.abs(quotes.k) < 0.2
    assert np.median(np.abs(quotes.mid - deribit)[near]) < 0.005  # the exchange's own mark volatilities


@settings(max_examples=200, deadline=None)
@given(st.floats(0.01, 5), st.floats(-1.5, 1.5))
def test_implied_deviation_inverts_premium(deviation: float, k: float) -> None:
    k = k * deviation
    ratio, call = np.array([np.exp(k)]), np.array([k >= 0])
    price = premium(np.array([deviation]), ratio, call)
    assert implied_deviation(price, ratio, call)[0] == pytest.approx(deviation, rel=1e-6)


def test_implied_deviation_of_impossible_prices_is_nan() -> None:
    ratio, call = np.array([1.1, 1.1]), np.array([True, True])
    assert np.all(np.isnan(implied_deviation(np.array([0.0, 1.5]), ratio, call)))


def test_violations_name_what_is_wrong() -> None:
    expiry, forward = np.array([1, 2]) * 86_400, np.full(2, 1.0)
    assert Surface(0, -0.5, 1.4, expiry, forward, np.array([0.01, 0.02])).violations() == [
        "butterflies: eta (1 + |rho|) = 2.1000 > 2"
    ]
    assert Surface(0, -0.5, 1.0, expiry, forward, np.array([0.02, 0.01])).violations() == [
        "calendars: theta does not rise with expiry"
    ]
    assert Surface(0, -1.0, 0.5, expiry, forward, np.array([0.01, 0.02])).violations() == [
        "rho, eta or theta out of range"
    ]


def test_plot_writes_a_picture(fits: dict[tuple[str, int], Fit], tmp_path: Path) -> None:
    path = plot(fits["ETH", 0], tmp_path / "smiles.png", "ETH")
    assert path.read_bytes().startswith(b"\x89PNG")
