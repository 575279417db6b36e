# pragma version 0.4.3
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Uniswap v3 pools of one pair: what they cost, which to take, and the swap
@notice There are up to four fee tiers. A route is one of them or, where that saves SPLIT_GAIN, two:

            route = first | second << 8 | share << 16       share [bps] of the size that the second takes, rounded down

        and a route below 256 is a single tier. Spot is slot0, the average is the pool's own accumulator: a pool whose
        history is shorter than the window makes `prices` revert, which refuses the hedge; nothing ever falls back to spot.
        Tokens of at most 18 decimals. The venues that hedge on Uniswap share this. Swaps go to the pool itself, which asks for
        its payment in a callback: the venue's `uniswapV3SwapCallback` opens with `_owed` and pays. So no allowance exists,
        and no pool may call back but the one that is being called, once.
"""

from ethereum.ercs import IERC20
from ethereum.ercs import IERC20Detailed
from interfaces import IHedgeVenue
from contracts import constants as c
from contracts.hedge import ticks
from contracts.math import wad
from snekmate.utils import math

interface Factory:
    def getPool(token_a: address, token_b: address, fee: uint24) -> address: view

interface Pool:
    def slot0() -> (uint160, int24, uint16, uint16, uint16, uint8, bool): view
    def liquidity() -> uint128: view
    def observe(seconds_ago: DynArray[uint32, 2]) -> (DynArray[int56, 2], DynArray[uint160, 2]): view
    def swap(
        recipient: address, zero_for_one: bool, amount: int256, sqrt_price_limit_x96: uint160, data: Bytes[1]
    ) -> (int256, int256): nonpayable

struct Route:
    pool: address
    fee: uint24             # [1e-6]

# What a tier holds in range, seen as a constant product: X = L / sqrt(P), Y = L * sqrt(P).
struct Depth:
    liquidity: uint256
    base: uint256           # [base token units]
    quote: uint256          # [quote token units]
    fee: uint256            # [1e-6]

MAX_ROUTES: constant(uint256) = 4
# [1e-6 of the quote amount] that a second tier must save: its swap costs about 60,000 gas.
SPLIT_GAIN: constant(uint256) = 50
# Depths up to this may be split over: no product overflows.
MAX_SPLIT: constant(uint256) = 2**96
PIPS: constant(uint256) = 10**6
WAD_PER_PIP: constant(uint256) = c.WAD // PIPS
# Beyond these prices [sqrt, 96 fractional bits] no pool goes: a swap is limited by its amount and the venue's limit price.
MIN_SQRT_PRICE: constant(uint160) = 4295128740
MAX_SQRT_PRICE: constant(uint160) = 1461446703485210103287273052203988822378723970341

QUOTE: public(immutable(IERC20))
BASE: public(immutable(IERC20))
# WAD per token unit of either token.
QUOTE_SCALE: immutable(uint256)
BASE_SCALE: immutable(uint256)
# Decimals of base minus decimals of quote.
DECIMALS_GAP: immutable(int256)
BASE_IS_TOKEN0: public(immutable(bool))
# [s] length of the time-weighted average.
TWAP_WINDOW: public(immutable(uint256))
ROUTES: immutable(DynArray[Route, MAX_ROUTES])

# The pool that may call back.
_pool: transient(address)


@deploy
def __init__(quote: address, base: address, factory: address, fees: DynArray[uint24, MAX_ROUTES], twap_window: uint256):
    """
    @param quote what is paid with
    @param base the hedged asset
    @param factory Uniswap v3 factory
    @param fees [1e-6] tiers to use; each pool must exist
    @param twap_window [s]
    """
    assert len(fees) != 0, "venue: no fee tier"
    assert twap_window != 0 and twap_window <= 86_400, "venue: twap window"
    quote_decimals: uint256 = convert(staticcall IERC20Detailed(quote).decimals(), uint256)
    base_decimals: uint256 = convert(staticcall IERC20Detailed(base).decimals(), uint256)
    assert quote_decimals <= 18 and base_decimals <= 18, "venue: too many decimals"
    QUOTE = IERC20(quote)
    BASE = IERC20(base)
    QUOTE_SCALE = 10**(18 - quote_decimals)
    BASE_SCALE = 10**(18 - base_decimals)
    DECIMALS_GAP = convert(base_decimals, int256) - convert(quote_decimals, int256)
    BASE_IS_TOKEN0 = convert(base, uint160) < convert(quote, uint160)
    TWAP_WINDOW = twap_window
    routes: DynArray[Route, MAX_ROUTES] = []
    for fee: uint24 in fees:
        pool: address = staticcall Factory(factory).getPool(base, quote, fee)
        assert pool != empty(address), "venue: no such pool"
        routes.append(Route(pool=pool, fee=fee))
    ROUTES = routes


@view
@external
def prices(route: uint256) -> IHedgeVenue.Prices:
    """
    @notice Spot, average over the window and fee of a route. Reverts ("OLD", the pool's own word) when a pool does not remember
            the whole window. Of two tiers: average and fee weighted by size, and the spot that lies farther from the average.
    """
    twap: uint256 = self._average(route & 255)
    fee: uint256 = convert(ROUTES[route & 255].fee, uint256) * WAD_PER_PIP
    share: uint256 = route >> 16
    if share != 0:
        second: uint256 = (route >> 8) & 255
        twap = (twap * (c.BPS - share) + self._average(second) * share) // c.BPS
        fee_2: uint256 = convert(ROUTES[second].fee, uint256) * WAD_PER_PIP
        fee = (fee * (c.BPS - share) + fee_2 * share + c.BPS - 1) // c.BPS
    return IHedgeVenue.Prices(spot=self._spot(route, twap), twap=twap, fee=fee)


@view
@external
def spot(route: uint256, reference: uint256) -> uint256:
    """
    @notice Spot price of a route now; of two tiers the one farther from the reference.
    @param  reference [quote/base, WAD]
    @return [quote/base, WAD]
    """
    return self._spot(route, reference)


@view
@external
def routes() -> DynArray[Route, MAX_ROUTES]:
    """
    @return pool and fee [1e-6] of each route
    """
    return ROUTES


@internal
def _swap(route: uint256, amount: uint256, buying: bool, recipient: address) -> uint256:
    """
    @notice Buys or sells base on a route, all of it or nothing.
    @param  amount [base token units]
    @param  recipient of what is bought, base or quote
    @return [quote token units] paid or brought
    """
    second: uint256 = amount * (route >> 16) // c.BPS
    quote: uint256 = self._swap_at(route & 255, amount - second, buying, recipient)
    if second != 0:
        quote += self._swap_at((route >> 8) & 255, second, buying, recipient)
    return quote


@internal
def _swap_at(tier: uint256, amount: uint256, buying: bool, recipient: address) -> uint256:
    # as Uniswap has it: positive is paid in, negative taken out
    of_base: int256 = convert(amount, int256)
    if buying:
        of_base = -of_base
    pool: address = ROUTES[tier].pool
    self._pool = pool
    # token0 goes in when it is base that is sold, or quote that is paid
    zero_for_one: bool = BASE_IS_TOKEN0 != buying
    sqrt_limit: uint160 = MAX_SQRT_PRICE
    if zero_for_one:
        sqrt_limit = MIN_SQRT_PRICE
    amount0: int256 = 0
    amount1: int256 = 0
    amount0, amount1 = extcall Pool(pool).swap(recipient, zero_for_one, of_base, sqrt_limit, b"")
    assert self._pool == empty(address)     # dev: the pool has called back
    if BASE_IS_TOKEN0:
        assert amount0 == of_base, "venue: not filled at the limit"
        return convert(abs(amount1), uint256)
    assert amount1 == of_base, "venue: not filled at the limit"
    return convert(abs(amount0), uint256)


@internal
def _owed(amount0: int256, amount1: int256) -> (uint256, uint256):
    """
    @notice Opens a callback: by the pool that `_swap_at` has just called, once.
    @return [token units] base and quote that the pool is owed; one of them is 0
    """
    assert msg.sender == self._pool, "venue: not the pool"
    self._pool = empty(address)
    first: uint256 = convert(max(amount0, 0), uint256)
    second: uint256 = convert(max(amount1, 0), uint256)
    if BASE_IS_TOKEN0:
        return first, second
    return second, first


@internal
def _pay(token: IERC20, receiver: address, amount: uint256):
    assert extcall token.transfer(receiver, amount, default_return_value=True), "venue: transfer failed"


@internal
def _return_quote(home: address):
    """@param home the Clearinghouse: the only destination there is"""
    left: uint256 = staticcall QUOTE.balanceOf(self)
    if left != 0:
        self._pay(QUOTE, home, left)


@internal
@view
def _most(amount: uint256, limit_price: uint256) -> uint256:
    """@return [quote token units] amount at the limit price, down: never worse than the limit."""
    return wad.mul_down(amount * BASE_SCALE, limit_price) // QUOTE_SCALE


@internal
@view
def _least(amount: uint256, limit_price: uint256) -> uint256:
    """@return [quote token units] amount at the limit price, up: never worse than the limit."""
    return (wad.mul_up(amount * BASE_SCALE, limit_price) + QUOTE_SCALE - 1) // QUOTE_SCALE


@internal
@view
def _best_route(size: int256, may_split: bool) -> uint256:
    """
    @notice The tier with the best price for this size, as if the liquidity now in range went on for ever; or it and another,
            if the two together save SPLIT_GAIN.
    @dev    Two storage reads per pool, exact when no tick is crossed. It only chooses; bands, limit and the manager's rule judge
            the result, so a pool dressed up to look deep can make a hedge fail but not cost more than the rule allows.
            Python mirror: ballast/model/exact/hedge.py.
    @param  size [base, WAD]
    """
    buying: bool = size > 0
    amount: uint256 = convert(abs(size), uint256) // BASE_SCALE
    depths: DynArray[Depth, MAX_ROUTES] = []
    best: uint256 = max_value(uint256)
    best_quote: uint256 = 0
    for route: Route in ROUTES:
        depth: Depth = self._depth(route)
        quote: uint256 = self._estimate(depth, amount, buying)
        if quote != 0 and (best == max_value(uint256) or self._is_better(quote, best_quote, buying)):
            best = len(depths)
            best_quote = quote
        depths.append(depth)
    assert best != max_value(uint256), "venue: no liquidity"
    if not may_split:
        return best

    found: uint256 = best
    gain: uint256 = best_quote * SPLIT_GAIN // PIPS
    if buying:
        best_quote -= gain
    else:
        best_quote += gain
    for second: uint256 in range(len(depths), bound=MAX_ROUTES):
        if second == best:
            continue
        share: uint256 = self._share(depths[best], depths[second], amount, buying)
        if share == 0:
            continue
        part: uint256 = amount * share // c.BPS
        of_second: uint256 = self._estimate(depths[second], part, buying)
        of_first: uint256 = self._estimate(depths[best], amount - part, buying)
        if of_second != 0 and of_first != 0 and self._is_better(of_first + of_second, best_quote, buying):
            best_quote = of_first + of_second
            found = best | (second << 8) | (share << 16)
    return found


@internal
@pure
def _is_better(quote: uint256, than: uint256, buying: bool) -> bool:
    if buying:
        return quote < than
    return quote > than


@internal
@pure
def _share(first: Depth, second: Depth, amount: uint256, buying: bool) -> uint256:
    """
    @notice What the second tier takes when both end at the same marginal price, fees included.
    @dev    A purchase of x ends at L^2 / (X - x)^2 / k, a sale at k L^2 / (X + k x)^2, with k = 1 - fee; equal roots are linear in
            x. sqrt(k) is taken as 1 - fee/2, whose error of 1.3e-5 at most moves the share by as little.
    @return [bps] rounded down; 0: the first alone is best
    """
    if max(max(first.liquidity, second.liquidity), max(max(first.base, second.base), amount)) >= MAX_SPLIT:
        return 0
    more: uint256 = 0
    less: uint256 = 0
    divisor: uint256 = 0
    if buying:
        weight_1: uint256 = first.liquidity * (2 * PIPS - second.fee)
        weight_2: uint256 = second.liquidity * (2 * PIPS - first.fee)
        more = second.base * weight_1 + amount * weight_2
        less = first.base * weight_2
        divisor = weight_1 + weight_2
    else:
        weight_1: uint256 = first.liquidity * (2 * PIPS - first.fee)
        weight_2: uint256 = second.liquidity * (2 * PIPS - second.fee)
        more = weight_2 * (first.base * PIPS + amount * (PIPS - first.fee))
        less = weight_1 * second.base * PIPS
        divisor = weight_2 * (PIPS - first.fee) + weight_1 * (PIPS - second.fee)
    if more <= less:
        return 0
    return min((more - less) // divisor * c.BPS // amount, c.BPS - 1)


@internal
@view
def _depth(route: Route) -> Depth:
    liquidity: uint256 = convert(staticcall Pool(route.pool).liquidity(), uint256)
    sqrt_price: uint256 = convert((staticcall Pool(route.pool).slot0())[0], uint256)
    fee: uint256 = convert(route.fee, uint256)
    if liquidity == 0 or sqrt_price == 0:
        return Depth(liquidity=0, base=0, quote=0, fee=fee)
    token0: uint256 = (liquidity << 96) // sqrt_price           # liquidity < 2^128
    token1: uint256 = math._mul_div(liquidity, sqrt_price, 2**96, False)
    if BASE_IS_TOKEN0:
        return Depth(liquidity=liquidity, base=token0, quote=token1, fee=fee)
    return Depth(liquidity=liquidity, base=token1, quote=token0, fee=fee)


@internal
@pure
def _estimate(depth: Depth, amount: uint256, buying: bool) -> uint256:
    """
    @dev    A purchase of x costs Y * x / (X - x), a sale brings Y * x / (X + x).
    @param  amount [base token units]
    @return [quote token units] fee included; 0: cannot fill
    """
    kept: uint256 = PIPS - depth.fee
    if buying:
        if amount >= depth.base:
            return 0
        return math._mul_div(math._mul_div(depth.quote, amount, depth.base - amount, True), PIPS, kept, True)
    net: uint256 = math._mul_div(amount, kept, PIPS, False)
    if depth.base + net == 0:
        return 0
    return math._mul_div(depth.quote, net, depth.base + net, False)


@internal
@view
def _average(tier: uint256) -> uint256:
    """@return [quote/base, WAD] over the window"""
    cumulative: DynArray[int56, 2] = (staticcall Pool(ROUTES[tier].pool).observe([convert(TWAP_WINDOW, uint32), 0]))[0]
    return ticks._average(
        convert(cumulative[1], int256) - convert(cumulative[0], int256), TWAP_WINDOW, BASE_IS_TOKEN0, DECIMALS_GAP
    )


@internal
@view
def _spot(route: uint256, reference: uint256) -> uint256:
    """@return [quote/base, WAD] of two tiers the one farther from the reference"""
    first: uint256 = self._spot_at(route & 255)
    if route >> 16 == 0:
        return first
    second: uint256 = self._spot_at((route >> 8) & 255)
    if max(first, reference) - min(first, reference) >= max(second, reference) - min(second, reference):
        return first
    return second


@internal
@view
def _spot_at(tier: uint256) -> uint256:
    sqrt_price: uint256 = convert((staticcall Pool(ROUTES[tier].pool).slot0())[0], uint256)
    return ticks._spot(sqrt_price, BASE_IS_TOKEN0, DECIMALS_GAP)
