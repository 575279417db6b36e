"""Real Uniswap v3 works on both backends, whichever way the tokens sort."""

import pytest

from ballast.chain import Chain, reverts
from ballast.chain.uniswap import WAD, Pool, Uniswap

PRICE = 2_500 * WAD


@pytest.fixture(params=[False, True], ids=["base_first", "quote_first"])
def pool(request: pytest.FixtureRequest, chain: Chain) -> Pool:
    """A WETH/USDC-like pool, full range, 10m of quote; base sorts before quote or after it."""
    uniswap = Uniswap.deploy(chain)
    quote = chain.deploy("TestToken", "USD Coin", "USDC", 6)
    base = chain.deploy("TestToken", "Ether", "WETH", 18)
    while (int(base.address, 16) > int(quote.address, 16)) != request.param:
        base = chain.deploy("TestToken", "Ether", "WETH", 18)
    pool = uniswap.create_pool(base, quote, 500, PRICE, observation_cardinality=50)
    pool.add_liquidity(4_000 * 10**18, 10_000_000 * 10**6)
    return pool


def test_create_pool_price_starts_where_asked(pool: Pool) -> None:
    assert pool.price_wad() == pytest.approx(PRICE, rel=1e-12)
    assert pool.contract.call("slot0").observationCardinalityNext == 50
    assert pool.uniswap.pool(pool.base, pool.quote, 500).address == pool.address
    with pytest.raises(LookupError):
        pool.uniswap.pool(pool.base, pool.quote, 3_000)


def test_at_finds_a_deployment_by_its_addresses(pool: Pool) -> None:
    old = pool.uniswap
    again = Uniswap.at(old.chain, old.router, old.positions, old.quoter)
    assert again.factory.address == old.factory.address
    assert again.pool(pool.base, pool.quote, 500).address == pool.address


def test_add_liquidity_full_range_takes_both_amounts(pool: Pool) -> None:
    assert pool.base.call("balanceOf", pool) == pytest.approx(4_000 * 10**18, rel=1e-9)
    assert pool.quote.call("balanceOf", pool) == pytest.approx(10_000_000 * 10**6, rel=1e-9)


def test_add_liquidity_range_above_spot_takes_only_base(pool: Pool) -> None:
    provider = pool.uniswap.chain.accounts[3]
    position = pool.add_liquidity(10**18, 10**9, lower_wad=3_000 * WAD, upper_wad=4_000 * WAD, provider=provider)
    assert pool.base.call("balanceOf", provider) < 10**12
    assert pool.quote.call("balanceOf", provider) == 10**9
    pool.remove_liquidity(position, provider=provider)
    assert pool.base.call("balanceOf", provider) == pytest.approx(10**18, rel=1e-9)


def test_buy_base_pays_the_quoted_amount_and_raises_the_price(pool: Pool) -> None:
    trader = pool.uniswap.chain.accounts[2]
    expected = pool.quote_in(pool.quote, 100_000 * 10**6)
    swap = pool.buy_base(100_000 * 10**6, trader=trader)
    assert (swap.base, swap.quote) == (expected, -100_000 * 10**6)
    assert pool.base.call("balanceOf", trader) == expected
    assert expected == pytest.approx(40 * 10**18 * 0.9995 / 1.01, rel=1e-4)
    assert pool.price_wad() > PRICE


def test_sell_base_lowers_the_price(pool: Pool) -> None:
    swap = pool.sell_base(10**18)
    assert swap.base == -(10**18)
    assert 2_490 * 10**6 < swap.quote < 2_500 * 10**6
    assert pool.price_wad() < PRICE


def test_swap_with_limit_stops_at_the_limit(pool: Pool) -> None:
    swap = pool.swap(pool.quote, 10**15, limit_wad=2_600 * WAD)
    assert pool.price_wad() == pytest.approx(2_600 * WAD, rel=1e-12)
    assert -swap.quote < 10**15


@pytest.mark.parametrize("target", [2_100, 2_499, 2_501, 3_200])
def test_arbitrage_to_target_sets_the_spot(pool: Pool, target: int) -> None:
    swap = pool.arbitrage_to(target * WAD)
    assert swap is not None
    assert (swap.base > 0) == (target * WAD > PRICE)
    assert pool.price_wad() == pytest.approx(target * WAD, rel=1e-12)
    assert pool.arbitrage_to(target * WAD) is None


def test_twap_follows_time_at_each_price(pool: Pool) -> None:
    chain = pool.uniswap.chain
    chain.warp(600)
    pool.arbitrage_to(2_600 * WAD)
    chain.warp(300)
    assert pool.twap_wad(300) == pytest.approx(2_600 * WAD, rel=1e-4)
    assert pool.twap_wad(600) == pytest.approx((2_500 * 2_600) ** 0.5 * WAD, rel=1e-4)
    with reverts("OLD"):
        pool.twap_wad(10_000)


def test_sqrt_of_price_inverts_price_of_sqrt(pool: Pool) -> None:
    for price in (WAD // 1_000, WAD, 123_456 * WAD):
        assert pool.price_of_sqrt(pool.sqrt_of_price(price)) == pytest.approx(price, rel=1e-10)
    with pytest.raises(ValueError, match="not positive"):
        pool.sqrt_of_price(0)
