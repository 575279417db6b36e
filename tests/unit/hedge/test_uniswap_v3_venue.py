"""UniswapV3Venue against real Uniswap v3 pools, driven directly by an account in HedgeManager's place."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from ballast.chain import Contract, RevmChain, reverts
from ballast.chain.uniswap import Pool, Uniswap
from ballast.model.exact import hedge
from ballast.model.exact.fixed import WAD
from ballast.testing.hedge_world import TWAP_WINDOW, tokens

PRICE = 2_000 * WAD
NO_LIMIT = 2**255 // WAD  # times a size still fits a word
SHAPES = [(6, 18, True), (6, 18, False), (18, 6, True), (6, 8, False), (8, 8, True), (18, 18, False), (6, 6, True)]


@dataclass
class Stage:
    """A venue whose manager is an ordinary account."""

    chain: RevmChain
    manager: str
    stranger: str
    quote: Contract
    base: Contract
    clearinghouse: Contract
    uniswap: Uniswap
    pools: list[Pool]
    venue: Contract

    @property
    def quote_scale(self) -> int:
        return int(10 ** (18 - self.quote.decimals()))

    @property
    def base_scale(self) -> int:
        return int(10 ** (18 - self.base.decimals()))

    def fund(self, size: int, limit: int) -> int:
        """What HedgeManager would send."""
        units = int(self.venue.funding(size, limit))
        self.quote.mint.send(self.venue, units)
        return units

    def rebalance(self, size: int, limit: int, route: int = 0) -> int:
        """Change of exposure."""
        before = self.venue.exposure()
        self.venue.rebalance.send(size, limit, route, sender=self.manager)
        return int(self.venue.exposure() - before)

    def home(self) -> int:
        """Quote at the Clearinghouse [token units]."""
        return int(self.quote.balanceOf(self.clearinghouse))

    def buy(self, size: int) -> None:
        self.fund(size, PRICE * 101 // 100)
        self.rebalance(size, PRICE * 101 // 100)


def build(
    quote_decimals: int = 6,
    base_decimals: int = 18,
    base_is_token0: bool = True,
    fees: tuple[int, ...] = (500,),
    depth: int = 10_000,
    history: int = TWAP_WINDOW + 1,
) -> Stage:
    chain = RevmChain()
    manager, stranger = chain.accounts[5:7]
    quote, base = tokens(chain, quote_decimals, base_decimals, base_is_token0)
    oracle = chain.deploy("PriceOracle", manager, manager)
    clearinghouse = chain.deploy("Clearinghouse", manager, manager, quote, oracle)
    uniswap = Uniswap.deploy(chain)
    pools = []
    for fee in fees:
        pool = uniswap.create_pool(base, quote, fee, PRICE, observation_cardinality=20)
        pool.add_liquidity(
            depth * 10**base_decimals,
            depth * 2_000 * 10**quote_decimals,
            lower_wad=PRICE * 8 // 10,
            upper_wad=PRICE * 12 // 10,
        )
        pools.append(pool)
    if history:
        chain.warp(history)
    venue = chain.deploy("UniswapV3Venue", manager, clearinghouse, base, uniswap.router, list(fees), TWAP_WINDOW)
    return Stage(chain, manager, stranger, quote, base, clearinghouse, uniswap, pools, venue)


@pytest.fixture
def stage() -> Stage:
    return build()


@pytest.mark.parametrize("shape", SHAPES)
def test_buy_takes_exactly_the_size_and_returns_the_rest(shape: tuple[int, int, bool]) -> None:
    s = build(*shape)
    size = 5 * WAD
    limit = PRICE * 1_001 // 1_000
    funded = s.fund(size, limit)
    assert s.rebalance(size, limit) == size
    spent = funded - s.home()
    assert s.venue.exposure() == size
    assert s.quote.balanceOf(s.venue) == 0
    assert s.quote.allowance(s.venue, s.uniswap.router) == 0
    paid = spent * s.quote_scale
    assert size * 2_001 < paid < size * 2_003  # 5 bp of fee and some impact on 2,000
    assert s.venue.equity(PRICE) == size * 2_000


@pytest.mark.parametrize("shape", SHAPES)
def test_sell_pays_the_clearinghouse_and_keeps_nothing(shape: tuple[int, int, bool]) -> None:
    s = build(*shape)
    s.buy(5 * WAD)
    before = s.home()
    size = -2 * WAD
    assert s.rebalance(size, PRICE * 998 // 1_000) == size
    got = (s.home() - before) * s.quote_scale
    assert 1_997 * 2 * WAD < got < 2_000 * 2 * WAD
    assert s.venue.exposure() == 3 * WAD
    assert s.quote.balanceOf(s.venue) == 0
    assert s.base.allowance(s.venue, s.uniswap.router) == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_prices_are_the_pools_own(shape: tuple[int, int, bool]) -> None:
    s = build(*shape)
    s.buy(5 * WAD)
    s.chain.warp(TWAP_WINDOW // 2)
    pool = s.pools[0]
    found = s.venue.prices(0)
    slot = pool.contract.slot0()
    gap = shape[1] - shape[0]
    assert found.fee == 5 * WAD // 10_000
    assert found.spot == hedge.spot(slot.sqrtPriceX96, shape[2], gap)
    assert abs(found.spot - pool.price_wad()) <= 1 + found.spot // 10**12
    older, newer = pool.contract.observe([TWAP_WINDOW, 0])[0]
    assert found.twap == hedge.average(newer - older, TWAP_WINDOW, shape[2], gap)
    assert abs(found.twap - pool.twap_wad(TWAP_WINDOW)) < found.twap * 51 // 10**6  # half a tick apart


def test_sizes_are_cut_to_whole_token_units() -> None:
    s = build(18, 6)
    s.fund(WAD + 10**12 - 1, PRICE * 2)
    assert s.rebalance(WAD + 10**12 - 1, PRICE * 2) == WAD


def test_size_below_one_unit_reverts() -> None:
    s = build(18, 6)
    with reverts("venue: size too small"):
        s.rebalance(10**12 - 1, NO_LIMIT)
    with reverts("venue: size too small"):
        s.rebalance(1 - 10**12, 0)


def test_buy_above_the_limit_reverts(stage: Stage) -> None:
    limit = PRICE * 10_004 // 10_000  # the fee alone is 5 bp
    stage.fund(5 * WAD, limit)
    with reverts("venue: not filled at the limit"):
        stage.rebalance(5 * WAD, limit)


def test_buy_beyond_the_funding_reverts(stage: Stage) -> None:
    stage.quote.mint.send(stage.venue, 9_000 * 10**6)
    with reverts("venue: not filled at the limit"):
        stage.rebalance(5 * WAD, PRICE * 2)


def test_sell_below_the_limit_reverts(stage: Stage) -> None:
    stage.buy(5 * WAD)
    with reverts("venue: not filled at the limit"):
        stage.rebalance(-5 * WAD, PRICE * 9_996 // 10_000)


def test_sell_more_than_held_reverts(stage: Stage) -> None:
    stage.buy(5 * WAD)
    with reverts("venue: not enough base"):
        stage.rebalance(-5 * WAD - 1, 0)


def test_only_the_manager_trades(stage: Stage) -> None:
    for call in (
        lambda: stage.venue.rebalance.send(WAD, NO_LIMIT, 0, sender=stage.stranger),
        lambda: stage.venue.recall.send(10**6, PRICE, 0, sender=stage.stranger),
    ):
        with reverts("venue: not the manager"):
            call()


def test_nothing_but_trades_can_move_tokens(stage: Stage) -> None:
    mutating = {
        entry["name"]
        for entry in stage.venue.artifact.abi
        if entry["type"] == "function" and entry["stateMutability"] not in ("view", "pure")
    }
    assert mutating == {"rebalance", "recall", "uniswapV3SwapCallback"}


def test_recall_brings_the_units_home_within_the_limit(stage: Stage) -> None:
    stage.buy(5 * WAD)
    before = stage.home()
    limit = PRICE * 999 // 1_000
    got = stage.venue.recall.send(4_000 * 10**6, limit, 0, sender=stage.manager).value
    assert got == stage.home() - before
    assert 4_000 * 10**6 <= got < 4_010 * 10**6
    assert 2_990 * WAD // 1_000 < stage.venue.exposure() < 3 * WAD


def test_recall_of_more_than_there_is_sells_everything(stage: Stage) -> None:
    stage.buy(5 * WAD)
    got = stage.venue.recall.send(10**12, PRICE * 99 // 100, 0, sender=stage.manager).value
    assert stage.venue.exposure() == 0
    assert 9_980 * 10**6 < got < 10_000 * 10**6


def test_stray_tokens_count_as_what_they_are(stage: Stage) -> None:
    stage.buy(5 * WAD)
    exposure, equity = stage.venue.exposure(), stage.venue.equity(PRICE)
    stage.base.mint.send(stage.venue, WAD)
    stage.quote.mint.send(stage.venue, 7 * 10**6)
    assert stage.venue.exposure() == exposure + WAD
    assert stage.venue.equity(PRICE) == equity + 2_007 * WAD
    before = stage.home()
    stage.rebalance(-WAD, 0)
    assert stage.quote.balanceOf(stage.venue) == 0
    assert stage.home() - before > 7 * 10**6 + 1_990 * 10**6


def test_short_history_refuses_to_name_prices() -> None:
    s = build(history=TWAP_WINDOW - 1)
    with reverts("OLD"):
        s.venue.prices(0)
    s.chain.warp(1)
    assert s.venue.prices(0).twap > 0


def test_pool_without_memory_refuses_after_a_swap(stage: Stage) -> None:
    pool = stage.uniswap.create_pool(stage.base, stage.quote, 3_000, PRICE)
    pool.add_liquidity(10**21, 2_000 * 10**9, lower_wad=PRICE * 8 // 10, upper_wad=PRICE * 12 // 10)
    stage.chain.warp(TWAP_WINDOW)
    venue = stage.chain.deploy(
        "UniswapV3Venue", stage.manager, stage.clearinghouse, stage.base, stage.uniswap.router, [3_000], TWAP_WINDOW
    )
    venue.prices(0)
    pool.sell_base(WAD)
    with reverts("OLD"):
        venue.prices(0)


def test_moved_spot_leaves_the_average_of_the_block_alone(stage: Stage) -> None:
    before = stage.venue.prices(0)
    stage.pools[0].arbitrage_to(PRICE * 105 // 100)
    after = stage.venue.prices(0)
    assert after.twap == before.twap
    assert abs(after.spot - PRICE * 105 // 100) < WAD


def test_no_route_without_liquidity() -> None:
    s = build(depth=1)
    with reverts("venue: no liquidity"):
        s.venue.best_route(10**6 * WAD)


@pytest.mark.parametrize("base_is_token0", [True, False])
@pytest.mark.parametrize("side", [1, -1])
def test_best_route_is_the_one_uniswap_itself_fills_best(base_is_token0: bool, side: int) -> None:
    """Small sizes go to the cheap tier, large ones to the deep one; judged by executing both."""
    s = build(base_is_token0=base_is_token0, fees=(500, 3_000), depth=100)
    s.pools[1].add_liquidity(10**22, 2_000 * 10**10, lower_wad=PRICE * 8 // 10, upper_wad=PRICE * 12 // 10)
    s.base.mint.send(s.venue, 10**21)
    chosen = set()
    for size in (WAD // 10, WAD, 3 * WAD, 6 * WAD, 20 * WAD):
        results = []
        for route in (0, 1):
            s.quote.mint.send(s.venue, 10**11)
            simulated = s.pools[route].quote_in(s.base, size) if side < 0 else -_cost(s, route, size)
            results.append(simulated)
        best = s.venue.best_route(side * size) & 255  # the tier that a split begins with
        assert results[best] == max(results)
        chosen.add(best)
    assert chosen == {0, 1}


def _cost(s: Stage, route: int, size: int) -> int:
    """What Uniswap's quoter says `size` base costs [quote units]."""
    quoter = s.uniswap.quoter
    return int(quoter.call("quoteExactOutputSingle", (s.quote, s.base, size, s.pools[route].fee, 0)).amountIn)


def test_route_estimate_equals_its_twin_and_execution_inside_the_range(stage: Stage) -> None:
    pool = stage.pools[0]
    slot, liquidity = pool.contract.slot0(), pool.contract.liquidity()
    depth = hedge.Depth.of(liquidity, slot.sqrtPriceX96, 500, True)
    for size in (WAD, 10 * WAD, 100 * WAD):
        assert abs(hedge.estimate(depth, size, True) - _cost(stage, 0, size)) <= 3
        assert abs(hedge.estimate(depth, size, False) - pool.quote_in(stage.base, size)) <= 3


# ---- two tiers at once


def depths(s: Stage) -> list[hedge.Depth]:
    """What the venue sees of its tiers."""
    return [
        hedge.Depth.of(pool.contract.liquidity(), pool.contract.slot0().sqrtPriceX96, pool.fee, pool.base_is_token0)
        for pool in s.pools
    ]


@pytest.mark.parametrize("shape", [(6, 18, True), (8, 6, False)])
def test_split_ends_where_no_other_share_is_cheaper(shape: tuple[int, int, bool]) -> None:
    """The contract chooses what its twin does, and among shares of whole basis points nothing beats its choice."""
    s = build(*shape, fees=(3_000, 500, 10_000), depth=100)
    s.pools[0].add_liquidity(
        400 * 10 ** shape[1], 400 * 2_000 * 10 ** shape[0], lower_wad=PRICE * 8 // 10, upper_wad=PRICE * 12 // 10
    )
    found = depths(s)
    splits = 0
    for size in (WAD, 5 * WAD, 12 * WAD, 40 * WAD, 90 * WAD):
        for side in (1, -1):
            units, buying = size // s.base_scale, side > 0
            route = s.venue.best_route(side * size)
            assert route == hedge.best_route(found, units, buying)
            chosen = sum(hedge.estimate(found[tier], part, buying) for tier, part in hedge.parts(route, units))
            totals = [hedge.estimate(depth, units, buying) for depth in found]
            if route >> 16:
                splits += 1
                first, second = found[route & 255], found[route >> 8 & 255]
                parts = [units * share // 10_000 for share in range(1, 10_000)]
                totals += [
                    hedge.estimate(first, units - part, buying) + hedge.estimate(second, part, buying)
                    for part in parts
                ]  # fmt: skip
                single = min if buying else max
                assert abs(chosen - single(totals[:3])) * 10**6 >= totals[0] * hedge.SPLIT_GAIN
            best = min(totals) if buying else max(totals)
            assert abs(chosen - best) * 10**6 <= best * (1 if route >> 16 else 2 * hedge.SPLIT_GAIN)
    assert 3 < splits < 10


@pytest.mark.parametrize("side", [1, -1])
def test_split_is_filled_by_both_pools_within_one_limit(side: int) -> None:
    s = build(fees=(500, 3_000), depth=1_000)
    s.base.mint.send(s.venue, 10**21)
    size = side * 60 * WAD
    route = s.venue.best_route(size)
    assert route >> 16
    if side > 0:
        quotes = [_cost(s, tier, part) for tier, part in hedge.parts(route, 60 * WAD)]
    else:
        quotes = [s.pools[tier].quote_in(s.base, part) for tier, part in hedge.parts(route, 60 * WAD)]
    total = sum(quotes) * s.quote_scale
    # the limit is on the whole, not on a part: the first tier's price is worse than it, or the second's
    for limit, fits in ((total // 60 - side, False), (total // 60 + side, True)):
        if side > 0:
            s.quote.mint.send(s.venue, sum(quotes))
        before = s.home()
        if not fits:
            with reverts("venue: not filled at the limit"):
                s.rebalance(size, limit, route)
            continue
        assert s.rebalance(size, limit, route) == size
        gained = s.home() - before
    assert gained == (sum(quotes) if side < 0 else 2 * sum(quotes) - sum(quotes))
    assert s.quote.balanceOf(s.venue) == 0


def test_prices_of_a_split_are_means_and_the_worse_spot() -> None:
    s = build(fees=(500, 3_000))
    s.pools[1].arbitrage_to(PRICE * 999 // 1_000)
    first, second = s.venue.prices(0), s.venue.prices(1)
    route = 0 | 1 << 8 | 2_500 << 16
    found = s.venue.prices(route)
    assert tuple(found) == (second.spot, (3 * first.twap + second.twap) // 4, 1_125 * 10**12)
    assert s.venue.spot(route, first.twap) == second.spot
    assert s.venue.spot(route, second.spot) == s.venue.spot(0, 0) == first.spot


def test_absurdly_deep_pools_are_not_split_over() -> None:
    s = build(18, 18, fees=(500, 3_000))
    for pool in s.pools:
        pool.add_liquidity(10**30, 2_000 * 10**30, lower_wad=PRICE * 8 // 10, upper_wad=PRICE * 12 // 10)
    assert max(depth.liquidity for depth in depths(s)) > hedge.MAX_SPLIT
    assert s.venue.best_route(4 * 10**12 * WAD) == 0


def test_unknown_route_reverts(stage: Stage) -> None:
    with reverts(""):
        stage.venue.prices(1)


@pytest.mark.parametrize(
    ("fees", "window", "reason"),
    [
        ([], TWAP_WINDOW, "venue: no fee tier"),
        ([500], 0, "venue: twap window"),
        ([500], 86_401, "venue: twap window"),
        ([500, 10_000], TWAP_WINDOW, "venue: no such pool"),
    ],
)
def test_constructor_refuses(stage: Stage, fees: list[int], window: int, reason: str) -> None:
    with reverts(reason):
        stage.chain.deploy(
            "UniswapV3Venue", stage.manager, stage.clearinghouse, stage.base, stage.uniswap.router, fees, window
        )


def test_null_venue_is_worth_nothing_and_refuses() -> None:
    venue = RevmChain().deploy("NullVenue")
    assert (venue.exposure(), venue.equity(PRICE), venue.funding(WAD, PRICE)) == (0, 0, 0)
    for call in (
        lambda: venue.rebalance(WAD, PRICE, 0),
        lambda: venue.recall(1, PRICE, 0),
        lambda: venue.best_route(WAD),
        lambda: venue.prices(0),
    ):
        with reverts("venue: null"):
            call()
