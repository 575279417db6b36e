"""The variance estimate on real prices: contract, integer twin and numpy agree."""

from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballast.chain import RevmChain
from ballast.data import minute_window, minute_windows
from ballast.model.analytic.realised import Rounds, ewma_variance, log_returns, push_rounds, realised_sigma
from ballast.model.exact.oracle import ChainlinkFeed, Estimate, FixedFeed, Params, PriceOracle, Response, Round

WAD = 10**18
ZERO = "0x" + "00" * 20
TOLERANCE = 1e-12
PARAMS = Params(max_age=4_000)
WINDOWS = [(window, asset) for window in minute_windows() for asset in ("BTC", "ETH")]
CHAINLINK = (0.005, 3_600)  # deviation and heartbeat of ETH/USD and BTC/USD on mainnet


def minutes(window: str, asset: str) -> Rounds:
    """Minute closes as a push feed with no threshold would have published them."""
    bars = minute_window(window)[asset]
    return Rounds(bars.ts + 60, bars.close)


def answers(rounds: Rounds) -> list[int]:
    """The prices with Chainlink's eight decimals: integers below 2^53, so the doubles lose nothing."""
    return [round(price * 1e8) for price in rounds.prices.tolist()]


def in_numpy(rounds: Rounds, params: Params) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fast and slow variance and sigma after each round."""
    exact_prices = Rounds(rounds.times, np.array(answers(rounds), dtype=np.float64))
    initial, clip = params.initial_sigma / WAD, params.return_clip / WAD
    return (
        ewma_variance(exact_prices, params.half_life_fast, initial**2, clip),
        ewma_variance(exact_prices, params.half_life_slow, initial**2, clip),
        realised_sigma(
            exact_prices,
            params.half_life_fast,
            params.half_life_slow,
            initial,
            params.sigma_floor / WAD,
            params.sigma_cap / WAD,
            clip,
        ),
    )


def in_integers(rounds: Rounds, params: Params) -> list[Estimate]:
    """The twin's estimate after each round."""
    feed = FixedFeed()
    oracle = PriceOracle()
    estimates = []
    for index, (time, answer) in enumerate(zip(rounds.times.tolist(), answers(rounds), strict=True)):
        feed.round = Round(index + 1, answer * 10**10, 0, time, True)
        if index == 0:
            oracle.list_market(feed, params, time)
        else:
            oracle.sync(0, time)
        estimates.append(oracle.estimate(0))
    return estimates


def assert_agree(estimates: list[Estimate], floats: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    fast, slow, sigma = floats
    np.testing.assert_allclose([e.fast_24 / 1e24 for e in estimates], fast, rtol=TOLERANCE, atol=0)
    np.testing.assert_allclose([e.slow_24 / 1e24 for e in estimates], slow, rtol=TOLERANCE, atol=0)
    np.testing.assert_allclose([e.sigma / WAD for e in estimates], sigma, rtol=TOLERANCE, atol=0)


@pytest.mark.parametrize(("window", "asset"), WINDOWS)
def test_contract_replaying_chainlink_rounds_reproduces_numpy(window: str, asset: str) -> None:
    """Aggregator, proxy, adapter and oracle, as deployed, over the rounds a push feed would have published."""
    rounds = push_rounds(*minutes(window, asset), *CHAINLINK)
    prices = answers(rounds)
    chain = RevmChain(timestamp=int(rounds.times[0]))
    governor = chain.accounts[0]
    aggregator = chain.deploy("ReplayAggregator", 8)
    feed = chain.deploy("ChainlinkFeed", chain.deploy("AggregatorProxy", aggregator), ZERO, 0)
    oracle = chain.deploy("PriceOracle", governor, governor)
    twin_feed = ChainlinkFeed(8)
    twin = PriceOracle()
    estimates = []
    for index, (time, price) in enumerate(zip(rounds.times.tolist(), prices, strict=True)):
        if index:
            chain.warp_to(time)
        round_id = aggregator.push_now.send(price).value
        twin_feed.upstream = Response(round_id, price, time, time)
        if index == 0:
            oracle.list_market.send(feed, astuple(PARAMS), sender=governor)
            twin.list_market(twin_feed, PARAMS, time)
        else:
            assert tuple(oracle.sync.send(0).value) == astuple(twin.sync(0, time))
        estimates.append(Estimate(*oracle.estimate(0)))
        assert estimates[-1] == twin.estimate(0)
    assert len(estimates) >= 24
    assert_agree(estimates, in_numpy(rounds, PARAMS))


@pytest.mark.parametrize(("window", "asset"), WINDOWS)
def test_twin_replaying_every_minute_reproduces_numpy(window: str, asset: str) -> None:
    rounds = minutes(window, asset)
    assert_agree(in_integers(rounds, PARAMS), in_numpy(rounds, PARAMS))


@pytest.mark.parametrize(
    "params",
    [
        replace(PARAMS, half_life_fast=60, half_life_slow=90 * 86_400),
        replace(PARAMS, half_life_fast=600, half_life_slow=86_400, return_clip=10**16),
        replace(PARAMS, half_life_slow=3_600, sigma_floor=90 * 10**16, initial_sigma=WAD, sigma_cap=12 * 10**17),
    ],
    ids=["extreme_half_lives", "clipped", "floor_and_cap"],
)
def test_twin_with_other_parameters_reproduces_numpy(params: Params) -> None:
    rounds = minutes("2021-05_crash", "ETH")
    floats = in_numpy(rounds, params)
    assert_agree(in_integers(rounds, params), floats)
    if params.return_clip == 10**16:
        assert np.any(np.abs(log_returns(rounds.prices)) > 0.01)
    if params.sigma_floor == 90 * 10**16:
        assert floats[2].min() == 0.9
        assert floats[2].max() == 1.2


def test_ewma_variance_equals_the_weighted_sum_it_stands_for() -> None:
    """Not the recursion but its closed form: every sample weighed by the time since, the seed by what is left."""
    rounds = push_rounds(*minutes("2021-05_crash", "BTC"), *CHAINLINK)
    half_life, initial = 3_600.0, 0.36
    dt = np.diff(rounds.times)
    samples = np.log(rounds.prices[1:] / rounds.prices[:-1]) ** 2 * 365 * 86_400 / dt
    for last in (1, 10, len(dt)):
        since = (rounds.times[last] - rounds.times[1 : last + 1]) / half_life
        weights = 2.0**-since * (1.0 - 2.0 ** (-dt[:last] / half_life))
        seed = 2.0 ** (-(rounds.times[last] - rounds.times[0]) / half_life)
        assert weights.sum() + seed == pytest.approx(1.0, rel=1e-12)
        closed = (weights * samples[:last]).sum() + seed * initial
        assert ewma_variance(rounds, half_life, initial)[last] == pytest.approx(closed, rel=1e-10)


def test_ewma_variance_of_a_constant_rate_is_that_rate() -> None:
    """A price that moves one standard deviation of 80 % per year every minute shows a volatility of 80 %."""
    step = 0.8 * np.sqrt(60 / (365 * 86_400))
    times = np.arange(0, 60 * 5_000, 60, dtype=np.int64)
    prices = 2_000.0 * np.exp(step * (np.arange(5_000) % 2))
    assert ewma_variance(Rounds(times, prices), 3_600, 0.36)[-1] == pytest.approx(0.64, rel=1e-9)


@given(deviation=st.floats(0.0, 0.2), heartbeat=st.integers(60, 86_400), seed=st.integers(0, 2**32 - 1))
def test_push_rounds_publishes_exactly_what_the_rule_asks(deviation: float, heartbeat: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    times = np.cumsum(generator.integers(1, 600, 200)).astype(np.int64)
    prices = 100.0 * np.exp(np.cumsum(generator.normal(0.0, 0.01, 200)))
    rounds = push_rounds(times, prices, deviation, heartbeat)
    published = set(rounds.times.tolist())
    time, price = int(times[0]), float(prices[0])
    assert time in published
    for now, observed in zip(times[1:].tolist(), prices[1:].tolist(), strict=True):
        due = abs(observed - price) >= deviation * price or now - time >= heartbeat
        assert (now in published) == due
        if due:
            time, price = now, observed


def test_push_rounds_without_threshold_publishes_everything() -> None:
    rounds = minutes("calm", "ETH")
    assert len(push_rounds(*rounds, 0.0, 3_600).times) == len(rounds.times)


def test_push_rounds_calm_market_leaves_little_but_heartbeats() -> None:
    rounds = push_rounds(*minutes("calm", "ETH"), *CHAINLINK)
    gaps = np.diff(rounds.times)
    assert gaps.max() == 3_600
    assert np.mean(gaps == 3_600) > 0.9
