# pragma version 0.4.3
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Uniswap v3 pools of one pair: what they cost, which to take, and the swap
@notice A route is the index of one of up to four fee tiers. Spot is slot0, the average is the pool's own accumulator: a pool whose
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

MAX_ROUTES: constant(uint256) = 4
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
def best_route(size: int256) -> uint256:
    """
    @notice Fee tier with the best price for this size, as if the liquidity now in range went on for ever.
    @dev    With X = L / sqrt(P) and Y = L * sqrt(P) in range, a purchase of x costs Y*x/(X - x), a sale brings Y*x/(X + x):
            two storage reads per pool, exact when no tick is crossed. It only chooses; bands, limit and the manager's rule judge
            the result, so a pool dressed up to look deep can make a hedge fail but not cost more than the rule allows.
    @param  size [base, WAD]
    """
    best: uint256 = max_value(uint256)
    best_quote: uint256 = 0
    buying: bool = size > 0
    amount: uint256 = convert(abs(size), uint256) // BASE_SCALE
    index: uint256 = 0
    for route: Route in ROUTES:
        quote: uint256 = self._estimate(route, amount, buying)
        if quote != 0:
            better: bool = quote > best_quote
            if buying:
                better = quote < best_quote
            if best == max_value(uint256) or better:
                best = index
                best_quote = quote
        index += 1
    assert best != max_value(uint256), "venue: no liquidity"
    return best


@view
@external
def prices(route: uint256) -> IHedgeVenue.Prices:
    """
    @notice Spot, average over the window and fee of one tier. Reverts ("OLD", the pool's own word) when the pool
            does not remember the whole window.
    """
    pool: Pool = Pool(ROUTES[route].pool)
    cumulative: DynArray[int56, 2] = (staticcall pool.observe([convert(TWAP_WINDOW, uint32), 0]))[0]
    return IHedgeVenue.Prices(
        spot=ticks._spot(convert((staticcall pool.slot0())[0], uint256), BASE_IS_TOKEN0, DECIMALS_GAP),
        twap=ticks._average(
            convert(cumulative[1], int256) - convert(cumulative[0], int256), TWAP_WINDOW, BASE_IS_TOKEN0, DECIMALS_GAP
        ),
        fee=convert(ROUTES[route].fee, uint256) * WAD_PER_PIP,
    )


@view
@external
def routes() -> DynArray[Route, MAX_ROUTES]:
    """
    @return pool and fee [1e-6] of each route
    """
    return ROUTES


@internal
def _swap(route: uint256, amount: int256, recipient: address) -> uint256:
    """
    @notice Buys (amount < 0) or sells base at one pool, all of it or nothing.
    @param  amount [base token units] as Uniswap has it: positive is paid in, negative taken out
    @param  recipient of what is bought, base or quote
    @return [quote token units] paid or brought
    """
    pool: address = ROUTES[route].pool
    self._pool = pool
    # token0 goes in when it is base that is sold, or quote that is paid
    zero_for_one: bool = BASE_IS_TOKEN0 == (amount > 0)
    sqrt_limit: uint160 = MAX_SQRT_PRICE
    if zero_for_one:
        sqrt_limit = MIN_SQRT_PRICE
    amount0: int256 = 0
    amount1: int256 = 0
    amount0, amount1 = extcall Pool(pool).swap(recipient, zero_for_one, amount, sqrt_limit, b"")
    assert self._pool == empty(address)     # dev: the pool has called back
    if BASE_IS_TOKEN0:
        assert amount0 == amount, "venue: not filled at the limit"
        return convert(abs(amount1), uint256)
    assert amount1 == amount, "venue: not filled at the limit"
    return convert(abs(amount0), uint256)


@internal
def _owed(amount0: int256, amount1: int256) -> (uint256, uint256):
    """
    @notice Opens a callback: by the pool that `_swap` has just called, once.
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
def _estimate(route: Route, amount: uint256, buying: bool) -> uint256:
    """@return [quote token units] fee included; 0: cannot fill"""
    liquidity: uint256 = convert(staticcall Pool(route.pool).liquidity(), uint256)
    sqrt_price: uint256 = convert((staticcall Pool(route.pool).slot0())[0], uint256)
    if liquidity == 0 or sqrt_price == 0:
        return 0
    base: uint256 = (liquidity << 96) // sqrt_price             # token0 in range; liquidity < 2^128
    quote: uint256 = math._mul_div(liquidity, sqrt_price, 2**96, False)     # token1 in range
    if not BASE_IS_TOKEN0:
        token0: uint256 = base
        base = quote
        quote = token0
    kept: uint256 = PIPS - convert(route.fee, uint256)
    if buying:
        if amount >= base:
            return 0
        return math._mul_div(math._mul_div(quote, amount, base - amount, True), PIPS, kept, True)
    net: uint256 = math._mul_div(amount, kept, PIPS, False)
    return math._mul_div(quote, net, base + net, False)
