"""Uniswap v3 in integers while no initialised tick is crossed: what a search needs instead of the real pool.

Amounts are token units; rounding is Uniswap's (SqrtPriceMath, SwapMath, Oracle), so amounts and prices are equal to the
wei (tests/stateful/test_attack.py compares them with the real one).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor, isqrt, log

from ballast.chain.uniswap import Pool as RealPool
from ballast.model.exact import hedge
from ballast.model.exact.fixed import Reverted
from ballast.model.exact.hedge_manager import Prices, route_prices

PIPS = 10**6
Q96 = 2**96


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool in which one range holds all liquidity and is never left; immutable, so that copies are free."""

    base_is_token0: bool
    gap: int  # base decimals - quote decimals
    fee: int  # [1e-6]
    liquidity: int
    sqrt_price: int  # [x96]
    ticks: tuple[tuple[int, int], ...]  # (time [s], tick since then), oldest first

    @classmethod
    def like(cls, pool: RealPool, known_since: int) -> Pool:
        """The real one, whose price has stood still since `known_since` [s]."""
        slot = pool.contract.call("slot0")
        return cls(
            base_is_token0=pool.base_is_token0,
            gap=pool.base_decimals - pool.quote_decimals,
            fee=pool.fee,
            liquidity=int(pool.contract.call("liquidity")),
            sqrt_price=int(slot.sqrtPriceX96),
            ticks=((known_since, int(slot.tick)),),
        )

    def prices(self, window: int, now: int) -> Prices:
        """As UniswapV3Venue answers them."""
        total, until = 0, now
        for since, tick in reversed(self.ticks):
            begins = max(since, now - window)
            total += tick * max(until - begins, 0)
            until = begins
        if until > now - window:
            raise Reverted("OLD")
        return Prices(
            hedge.spot(self.sqrt_price, self.base_is_token0, self.gap),
            hedge.average(total, window, self.base_is_token0, self.gap),
            self.fee * 10**12,
        )

    def depth(self) -> hedge.Depth:
        """What UniswapV3Venue chooses a tier by."""
        return hedge.Depth.of(self.liquidity, self.sqrt_price, self.fee, self.base_is_token0)

    def buy(self, base: int, now: int) -> tuple[Pool, int]:
        """Exactly `base` units for quote; the pool after, and quote units paid."""
        return self._exact_output(base, not self.base_is_token0, now)

    def sell(self, base: int, now: int) -> tuple[Pool, int]:
        """Exactly `base` units; the pool after, and quote units got."""
        return self._exact_input(base, self.base_is_token0, now)

    def spend(self, quote: int, now: int) -> tuple[Pool, int]:
        """Exactly `quote` units; the pool after, and base units got."""
        return self._exact_input(quote, not self.base_is_token0, now)

    def moved_to(self, sqrt_price: int, now: int) -> Pool:
        """After somebody has moved the price by a swap with that limit."""
        tick = tick_at(sqrt_price)
        last, _ = self.ticks[-1]
        kept = self.ticks[:-1] if last == now else self.ticks
        return replace(self, sqrt_price=sqrt_price, ticks=(*kept, (now, tick)))

    def sqrt_of_price(self, price_wad: int) -> int:
        """As `ballast.chain.uniswap.Pool` has it."""
        ratio = Fraction(price_wad, 10**18) / Fraction(10) ** self.gap
        if not self.base_is_token0:
            ratio = 1 / ratio
        return isqrt((ratio.numerator << 192) // ratio.denominator)

    # ---- SqrtPriceMath, SwapMath

    def _exact_input(self, amount: int, zero_for_one: bool, now: int) -> tuple[Pool, int]:
        """A swap pays its fee out of what it brings; what rounding keeps goes to the fee, too."""
        net = amount * (PIPS - self.fee) // PIPS
        liquidity, price = self.liquidity, self.sqrt_price
        if zero_for_one:
            scaled = liquidity << 96
            after = -(-scaled * price // (scaled + net * price))
            out = _amount1(after, price, liquidity, up=False)
        else:
            after = price + net * Q96 // liquidity
            out = _amount0(price, after, liquidity, up=False)
        return self.moved_to(after, now), out

    def _exact_output(self, amount: int, zero_for_one: bool, now: int) -> tuple[Pool, int]:
        liquidity, price = self.liquidity, self.sqrt_price
        if zero_for_one:
            after = price - -(-amount * Q96 // liquidity)
            if after <= 0:
                raise Reverted("venue: not filled at the limit")
            paid = _amount0(after, price, liquidity, up=True)
        else:
            scaled = liquidity << 96
            if amount * price >= scaled:
                raise Reverted("venue: not filled at the limit")
            after = -(-scaled * price // (scaled - amount * price))
            paid = _amount1(price, after, liquidity, up=True)
        return self.moved_to(after, now), paid - (-paid * self.fee // (PIPS - self.fee))


def _amount0(lower: int, upper: int, liquidity: int, *, up: bool) -> int:
    scaled = (liquidity << 96) * (upper - lower)
    return div_up(div_up(scaled, upper), lower) if up else scaled // upper // lower


def div_up(x: int, y: int) -> int:
    return -(-x // y)


def _amount1(lower: int, upper: int, liquidity: int, *, up: bool) -> int:
    product = liquidity * (upper - lower)
    return -(-product // Q96) if up else product // Q96


def tick_at(sqrt_price: int) -> int:
    """floor(log_1.0001(price)); in floats, wrong only within 1e-9 of a tick's border."""
    return floor(2 * log(sqrt_price / Q96) / log(1.0001))


class Tiers:
    """`hedge_manager.Market` over the pools of one market, which a trade here moves."""

    def __init__(self, pools: list[Pool], base_scale: int, window: int, clock: Callable[[], int]) -> None:
        self.pools = pools  # by route
        self.base_scale = base_scale  # [WAD per token unit]
        self.window = window  # [s]
        self.clock = clock  # the block's time [s]

    def best_route(self, size: int) -> int:
        """As `pools.vy` chooses it."""
        return hedge.best_route([pool.depth() for pool in self.pools], abs(size) // self.base_scale, size > 0)

    def prices(self, route: int) -> Prices:
        return route_prices(route, lambda tier: self.pools[tier].prices(self.window, self.clock()))

    def buy(self, base_units: int, route: int) -> tuple[int, Prices]:
        return self._trade(Pool.buy, base_units, route)

    def sell(self, base_units: int, route: int) -> tuple[int, Prices]:
        return self._trade(Pool.sell, base_units, route)

    def _trade(
        self, side: Callable[[Pool, int, int], tuple[Pool, int]], units: int, route: int
    ) -> tuple[int, Prices]:  # fmt: skip
        quote = 0
        for tier, part in hedge.parts(route, units):
            self.pools[tier], amount = side(self.pools[tier], part, self.clock())
            quote += amount
        return quote, self.prices(route)
