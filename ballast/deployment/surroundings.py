"""What a public network has already and a test network lacks: tokens, Chainlink feeds, Uniswap and Aave with liquidity.

`build` deploys what `networks/<name>.yaml` marks as `test` and answers with the same config, addresses filled in. None
of it is protected: anybody may mint tokens and push prices.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ballast.chain import Chain, Contract
from ballast.chain.aave import ETHER, Aave, Terms
from ballast.chain.pyth import Pyth
from ballast.chain.uniswap import Pool, Uniswap
from ballast.config import Config, Feed, PythFeed, TestFeed, TestPool, TestToken, Token
from ballast.model.exact.fixed import WAD

OBSERVATIONS = 200  # slots for pool averages: one a minute covers the windows in use
LENT = 100_000_000  # of each token that a test network's Aave has to lend


STAND_IN_PRICE = Decimal(2_000)  # [quote/base] of every market where the real feeds are not asked


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Test contracts, and the config that points at them."""

    config: Config
    aggregators: tuple[Contract, ...]
    uniswap: Uniswap | None
    pools: tuple[tuple[Pool, ...], ...]
    pyth: Pyth | None

    def handles(self) -> dict[str, Any]:
        """The fields that they fill in a Sandbox; prices are what the feeds say now."""
        prices = {i: _price_of(aggregator) for i, aggregator in enumerate(self.aggregators)}
        return {
            "aggregators": self.aggregators,
            "uniswap": self.uniswap,
            "pools": self.pools,
            "prices": prices,
            "pyth": self.pyth,
        }


def stand_in(config: Config) -> Config:
    """The same deployment with a test contract instead of everything that a public network has already.

    A rollup's uptime feed and a market's second feed have none, so they are left out.
    """
    quote = config.quote.test or TestToken(name="Stand-in quote", symbol="TUSD", decimals=6)
    markets = []
    for market in config.markets:
        feed = market.feed.test or TestFeed(price=STAND_IN_PRICE, decimals=8)
        base = market.base and (market.base.test or TestToken(name=market.name, symbol="TBASE", decimals=18))
        pool = TestPool(base=Decimal(1_000), width=Decimal("0.5"))
        venues = [venue.model_dump() | {"test_pool": venue.test_pool or pool} for venue in market.venues]
        replaced = {"feed": {"test": feed}, "second": None, "base": base and {"test": base}, "venues": venues}
        markets.append(market.model_dump() | replaced)
    return config.changed(
        quote={"test": quote},
        uniswap=config.uniswap and {"test": True},
        aave=config.aave and {"test": True},
        markets=markets,
    )


def build(chain: Chain, config: Config, sender: str) -> Surroundings:
    """Deploy everything marked `test` that has no address yet."""
    quote = _token(chain, config.quote, sender)
    uniswap = _uniswap(chain, config, sender)
    pyth = _pyth(chain, config, sender)
    aggregators, pools, markets = [], [], []
    bases: dict[Contract, Contract] = {}
    for market in config.markets:
        aggregator, proxy = _feed(chain, market.feed, sender)
        aggregators.append(aggregator)
        base = _token(chain, market.base, sender) if market.base else None
        if base is not None:
            bases[base] = proxy
        tiers: list[Pool] = []
        for venue in market.venues:
            if uniswap is not None and base is not None and venue.test_pool is not None and market.feed.test:
                share = TestPool(base=venue.test_pool.base / len(venue.fees), width=venue.test_pool.width)
                price = market.feed.test.price
                tiers += [_pool(uniswap, base, quote, fee, price, share, sender) for fee in venue.fees]
        pools.append(tuple(tiers))
        markets.append(
            market.model_dump()
            | {
                "feed": _found(market.feed, proxy, pyth),
                "second": market.second
                and market.second.model_dump() | {"feed": _found(market.second.feed, proxy, pyth)},
                "base": market.base.model_dump() | {"address": base.address} if market.base and base else None,
            }
        )
    resolved = config.changed(
        quote=config.quote.model_dump() | {"address": quote.address},
        uniswap=_addresses(config, uniswap),
        aave=_aave(chain, config, quote, bases, sender),
        markets=markets,
    )
    return Surroundings(resolved, tuple(aggregators), uniswap, tuple(pools), pyth)


def _uniswap(chain: Chain, config: Config, sender: str) -> Uniswap | None:
    """The test network's Uniswap, new or known; None where it is the real one or not needed."""
    if config.uniswap is None or not config.uniswap.test:
        return None
    if config.uniswap.router is None:
        return Uniswap.deploy(chain, sender=sender)
    assert config.uniswap.positions is not None  # noted with the router
    assert config.uniswap.quoter is not None
    return Uniswap.at(chain, config.uniswap.router, config.uniswap.positions, config.uniswap.quoter)


def _addresses(config: Config, uniswap: Uniswap | None) -> dict[str, object] | None:
    if config.uniswap is None or uniswap is None:
        return config.uniswap.model_dump() if config.uniswap else None
    return {
        "test": True,
        "router": uniswap.router.address,
        "positions": uniswap.positions.address,
        "quoter": uniswap.quoter.address,
    }


def _aave(
    chain: Chain, config: Config, quote: Contract, bases: dict[Contract, Contract], sender: str
) -> dict[str, object] | None:
    """The config's Aave; on a test network a new one that reads the same feeds, with plenty of each token in it."""
    if config.aave is None or config.aave.pool is not None:
        return config.aave.model_dump() if config.aave else None
    dollar, _ = _feed(chain, Feed(test=TestFeed(price=Decimal(1), decimals=8)), sender)
    aave = Aave.deploy(
        chain, {quote: (dollar, Terms()), **{base: (proxy, ETHER) for base, proxy in bases.items()}}, sender=sender
    )
    for token in (quote, *bases):
        aave.supply(token, LENT * 10 ** int(token.call("decimals")), owner=sender)
    return {"test": True, "pool": aave.pool.address}


def _pyth(chain: Chain, config: Config, sender: str) -> Pyth | None:
    """The test network's Pyth, new or known, where a feed wants one; new ones say their prices."""
    test = [feed for market in config.markets for feed in market.feeds if isinstance(feed, PythFeed) and feed.test]
    if not test:
        return None
    known = next((feed.pyth for feed in test if feed.pyth), None)
    pyth = Pyth.at(chain, known) if known else Pyth.deploy(chain, sender=sender)
    for feed in test:
        if feed.pyth is None and feed.test is not None:
            pyth.push(bytes.fromhex(feed.id[2:]), feed.test.price, -feed.test.decimals, sender=sender)
    return pyth


def _found(feed: Feed | PythFeed, proxy: Contract, pyth: Pyth | None) -> dict[str, Any]:
    """A feed's section with the test contracts that it reads."""
    found = feed.model_dump()
    if feed.test is not None:
        found["aggregator"] = proxy.address
        if isinstance(feed, PythFeed) and pyth is not None:
            found["pyth"] = pyth.contract.address
    return found


def _price_of(aggregator: Contract) -> Decimal:
    """The newest answer [quote/base]."""
    return Decimal(aggregator.call("latestRoundData")[1]).scaleb(-int(aggregator.call("decimals")))


def _token(chain: Chain, token: Token, sender: str) -> Contract:
    if token.address is not None:
        return chain.at("TestToken", token.address)
    test: TestToken | None = token.test
    assert test is not None  # Token has one or the other
    return chain.deploy("TestToken", test.name, test.symbol, test.decimals, sender=sender)


def _feed(chain: Chain, feed: Feed | PythFeed, sender: str) -> tuple[Contract, Contract]:
    """(where rounds are pushed, what is read): an aggregator and its proxy, as of Chainlink; the real Pyth is both."""
    if isinstance(feed, PythFeed) and feed.test is None:
        real = Pyth.at(chain, feed.pyth or "").contract
        return real, real
    if feed.aggregator is not None:
        proxy = chain.at("AggregatorProxy", feed.aggregator)
        return chain.at("ReplayAggregator", proxy.call("aggregator")), proxy
    assert feed.test is not None  # Feed has one or the other
    aggregator = chain.deploy("ReplayAggregator", feed.test.decimals, sender=sender)
    aggregator.send("push_now", int(feed.test.price * 10**feed.test.decimals), sender=sender)
    return aggregator, chain.deploy("AggregatorProxy", aggregator, sender=sender)


def _pool(
    uniswap: Uniswap, base: Contract, quote: Contract, fee: int, price: Decimal, depth: TestPool, sender: str
) -> Pool:
    """One fee tier with liquidity around the price, unless it is there already."""
    try:
        return uniswap.pool(base, quote, fee)
    except LookupError:
        pool = uniswap.create_pool(base, quote, fee, int(price * WAD), OBSERVATIONS)
    width = 1 + depth.width
    pool.add_liquidity(
        int(depth.base * 10**pool.base_decimals),
        int(depth.base * price * 10**pool.quote_decimals),
        lower_wad=int(price / width * WAD),
        upper_wad=int(price * width * WAD),
        provider=sender,
    )
    return pool
