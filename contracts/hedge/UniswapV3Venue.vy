# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  UniswapV3Venue: the hedge held as spot base bought on Uniswap v3
@notice Long-only: it can hold base, not owe it. Swaps go through the real SwapRouter, on one of up to four fee tiers; a route is
        the index of a tier. Spot is slot0, the average is the pool's own accumulator: a pool whose history is shorter than
        the window makes `prices` revert, which refuses the hedge; nothing ever falls back to spot.
        Actors: HedgeManager alone may trade. Nobody, no role included, can move tokens out except through a swap whose proceeds
        land at the Clearinghouse.
        Invariants: between calls the router has no allowance; quote left over from a purchase returns to the Clearinghouse
        in the same call; `exposure` is the base really held, donations included, because that is what LPs own.
@dev    Standard ERC-20 pair of at most 18 decimals. A base token that takes a fee on transfer only makes hedges cost more,
        which the manager measures.
@custom:kill HedgeManager.pause_venue stops buying (selling back stays possible); retire_venue stops counting the venue.
"""

from ethereum.ercs import IERC20
from ethereum.ercs import IERC20Detailed
from interfaces import IClearinghouse
from interfaces import IHedgeVenue
from contracts import constants as c
from contracts.hedge import ticks
from contracts.math import wad
from snekmate.utils import math

implements: IHedgeVenue

interface Factory:
    def getPool(token_a: address, token_b: address, fee: uint24) -> address: view

interface Pool:
    def slot0() -> (uint160, int24, uint16, uint16, uint16, uint8, bool): view
    def liquidity() -> uint128: view
    def observe(seconds_ago: DynArray[uint32, 2]) -> (DynArray[int56, 2], DynArray[uint160, 2]): view

interface Router:
    def factory() -> address: view

struct ExactInput:
    token_in: address
    token_out: address
    fee: uint24
    recipient: address
    deadline: uint256
    amount_in: uint256
    amount_out_minimum: uint256
    sqrt_price_limit_x96: uint160

struct ExactOutput:
    token_in: address
    token_out: address
    fee: uint24
    recipient: address
    deadline: uint256
    amount_out: uint256
    amount_in_maximum: uint256
    sqrt_price_limit_x96: uint160

struct Route:
    pool: address
    fee: uint24             # [1e-6]

MAX_ROUTES: constant(uint256) = 4
EXACT_INPUT_SINGLE: constant(bytes4) = method_id(
    "exactInputSingle((address,address,uint24,address,uint256,uint256,uint256,uint160))", output_type=bytes4
)
EXACT_OUTPUT_SINGLE: constant(bytes4) = method_id(
    "exactOutputSingle((address,address,uint24,address,uint256,uint256,uint256,uint160))", output_type=bytes4
)
PIPS: constant(uint256) = 10**6
WAD_PER_PIP: constant(uint256) = c.WAD // PIPS

HEDGE_MANAGER: public(immutable(address))
CLEARINGHOUSE: public(immutable(address))
ROUTER: public(immutable(Router))
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


@deploy
def __init__(hedge_manager: address, clearinghouse: address, base: address, router: address,
             fees: DynArray[uint24, MAX_ROUTES], twap_window: uint256):
    """
    @param hedge_manager the only caller of `rebalance` and `recall`
    @param clearinghouse where the quote token comes from and returns to; names the quote token
    @param base the hedged asset
    @param router Uniswap v3 SwapRouter (periphery 1.x); names the factory
    @param fees [1e-6] tiers to use; each pool must exist
    @param twap_window [s]
    """
    assert len(fees) != 0, "venue: no fee tier"
    assert twap_window != 0 and twap_window <= 86_400, "venue: twap window"
    quote: address = staticcall IClearinghouse(clearinghouse).asset()
    quote_decimals: uint256 = convert(staticcall IERC20Detailed(quote).decimals(), uint256)
    base_decimals: uint256 = convert(staticcall IERC20Detailed(base).decimals(), uint256)
    assert quote_decimals <= 18 and base_decimals <= 18, "venue: too many decimals"
    HEDGE_MANAGER = hedge_manager
    CLEARINGHOUSE = clearinghouse
    ROUTER = Router(router)
    QUOTE = IERC20(quote)
    BASE = IERC20(base)
    QUOTE_SCALE = 10**(18 - quote_decimals)
    BASE_SCALE = 10**(18 - base_decimals)
    DECIMALS_GAP = convert(base_decimals, int256) - convert(quote_decimals, int256)
    BASE_IS_TOKEN0 = convert(base, uint160) < convert(quote, uint160)
    TWAP_WINDOW = twap_window
    factory: Factory = Factory(staticcall Router(router).factory())
    routes: DynArray[Route, MAX_ROUTES] = []
    for fee: uint24 in fees:
        pool: address = staticcall factory.getPool(base, quote, fee)
        assert pool != empty(address), "venue: no such pool"
        routes.append(Route(pool=pool, fee=fee))
    ROUTES = routes


# ------------------------------------------------------------------ HedgeManager

@external
def rebalance(size: int256, limit_price: uint256, route: uint256) -> int256:
    """
    @notice Buys (size > 0) or sells base on one fee tier, all of it or nothing.
    @dev    A purchase spends quote that the manager sent here just before; what the pool did not take goes back.
            A sale is paid by the router straight to the Clearinghouse.
    @param  size [base, WAD] cut to whole token units, toward zero
    @param  limit_price [quote/base, WAD] worst average price, fee included; rounded in favour of the limit
    @return [base, WAD] change of exposure, measured
    """
    assert msg.sender == HEDGE_MANAGER, "venue: not the manager"
    held: uint256 = staticcall BASE.balanceOf(self)
    if size > 0:
        self._buy(convert(size, uint256) // BASE_SCALE, limit_price, ROUTES[route].fee)
    else:
        self._sell(convert(-size, uint256) // BASE_SCALE, held, limit_price, ROUTES[route].fee)
    self._return_quote()
    return (convert(staticcall BASE.balanceOf(self), int256) - convert(held, int256)) * convert(BASE_SCALE, int256)


@external
def recall(units: uint256, limit_price: uint256, route: uint256) -> uint256:
    """
    @notice Sells enough base to bring `units` of quote home even at the limit price, or all base if that is not enough.
    @param  units [quote token units]
    @param  limit_price [quote/base, WAD] worst average price, fee included; > 0
    @return [quote token units] sent to the Clearinghouse
    """
    assert msg.sender == HEDGE_MANAGER, "venue: not the manager"
    held: uint256 = staticcall BASE.balanceOf(self)
    before: uint256 = staticcall QUOTE.balanceOf(CLEARINGHOUSE)
    wanted: uint256 = wad.div_up(units * QUOTE_SCALE, limit_price)
    self._sell(min((wanted + BASE_SCALE - 1) // BASE_SCALE, held), held, limit_price, ROUTES[route].fee)
    self._return_quote()
    return staticcall QUOTE.balanceOf(CLEARINGHOUSE) - before


# ------------------------------------------------------------------ views

@view
@external
def funding(size: int256, limit_price: uint256) -> uint256:
    """
    @notice Quote the manager must send before `rebalance(size, limit_price, ...)`.
    @return [quote token units] the most a purchase may take; 0 for a sale
    """
    if size <= 0:
        return 0
    return self._most(convert(size, uint256) // BASE_SCALE, limit_price)


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
def exposure() -> int256:
    """
    @return [base, WAD] base held
    """
    return convert(staticcall BASE.balanceOf(self) * BASE_SCALE, int256)


@view
@external
def equity(price: uint256) -> uint256:
    """
    @param  price [quote/base, WAD]
    @return [quote, WAD] base held at the price, plus quote sent here by strangers; rounded down
    """
    base: uint256 = wad.mul_down(staticcall BASE.balanceOf(self) * BASE_SCALE, price)
    return base + staticcall QUOTE.balanceOf(self) * QUOTE_SCALE


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


# ------------------------------------------------------------------ internal

@internal
def _buy(amount: uint256, limit_price: uint256, fee: uint24):
    """@param amount [base token units]"""
    assert amount != 0, "venue: size too small"
    most: uint256 = min(self._most(amount, limit_price), staticcall QUOTE.balanceOf(self))
    extcall QUOTE.approve(ROUTER.address, most, default_return_value=True)
    self._route(abi_encode(
        ExactOutput(
            token_in=QUOTE.address,
            token_out=BASE.address,
            fee=fee,
            recipient=self,
            deadline=block.timestamp,
            amount_out=amount,
            amount_in_maximum=most,
            sqrt_price_limit_x96=0,
        ),
        method_id=EXACT_OUTPUT_SINGLE,
    ))
    extcall QUOTE.approve(ROUTER.address, 0, default_return_value=True)


@internal
def _sell(amount: uint256, held: uint256, limit_price: uint256, fee: uint24):
    """@param amount [base token units]"""
    assert amount != 0, "venue: size too small"
    assert amount <= held, "venue: not enough base"
    least: uint256 = wad.mul_up(amount * BASE_SCALE, limit_price)
    extcall BASE.approve(ROUTER.address, amount, default_return_value=True)
    self._route(abi_encode(
        ExactInput(
            token_in=BASE.address,
            token_out=QUOTE.address,
            fee=fee,
            recipient=CLEARINGHOUSE,
            deadline=block.timestamp,
            amount_in=amount,
            amount_out_minimum=(least + QUOTE_SCALE - 1) // QUOTE_SCALE,
            sqrt_price_limit_x96=0,
        ),
        method_id=EXACT_INPUT_SINGLE,
    ))


@internal
def _route(call: Bytes[260]):
    """@dev The router's own words for a swap that would break the limit ("STF" among them) say nothing to a keeper."""
    success: bool = raw_call(ROUTER.address, call, revert_on_failure=False)
    assert success, "venue: not filled at the limit"


@internal
def _return_quote():
    """@dev The Clearinghouse is the only destination there is."""
    left: uint256 = staticcall QUOTE.balanceOf(self)
    if left != 0:
        assert extcall QUOTE.transfer(CLEARINGHOUSE, left, default_return_value=True), "venue: transfer failed"


@internal
@view
def _most(amount: uint256, limit_price: uint256) -> uint256:
    """@return [quote token units] amount at the limit price, down: never worse than the limit."""
    return wad.mul_down(amount * BASE_SCALE, limit_price) // QUOTE_SCALE


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
