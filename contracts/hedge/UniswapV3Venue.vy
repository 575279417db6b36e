# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  UniswapV3Venue: the hedge held as spot base bought on Uniswap v3
@notice Long-only: it can hold base, not owe it. Swaps are with the pools themselves, on one or two of up to four fee tiers (pools.vy).
        Actors: HedgeManager alone may trade. Nobody, no role included, can move tokens out except through a swap whose proceeds
        land at the Clearinghouse.
        Invariants: nobody ever has an allowance; quote left over from a purchase returns to the Clearinghouse in the same call; `exposure` is the base really held, donations included, because that is what LPs own.
@dev    Standard ERC-20 pair of at most 18 decimals. A base token that takes a fee on transfer only makes hedges cost more,
        which the manager measures.
@custom:kill HedgeManager.pause_venue stops buying (selling back stays possible); retire_venue stops counting the venue.
"""

from interfaces import IClearinghouse
from interfaces import IHedgeVenue
from contracts.hedge import pools
from contracts.math import wad

implements: IHedgeVenue

initializes: pools

exports: (
    pools.QUOTE,
    pools.BASE,
    pools.BASE_IS_TOKEN0,
    pools.TWAP_WINDOW,
    pools.prices,
    pools.routes,
    pools.spot,
)

interface Router:
    def factory() -> address: view

HEDGE_MANAGER: public(immutable(address))
CLEARINGHOUSE: public(immutable(address))
# [quote token units] that pools may still take in this call.
_most: transient(uint256)


@deploy
def __init__(hedge_manager: address, clearinghouse: address, base: address, router: address,
             fees: DynArray[uint24, pools.MAX_ROUTES], twap_window: uint256):
    """
    @param hedge_manager the only caller of `rebalance` and `recall`
    @param clearinghouse where the quote token comes from and returns to; names the quote token
    @param base the hedged asset
    @param router Uniswap v3 SwapRouter (periphery 1.x); only names the factory
    @param fees [1e-6] tiers to use; each pool must exist
    @param twap_window [s]
    """
    pools.__init__(
        staticcall IClearinghouse(clearinghouse).asset(), base, staticcall Router(router).factory(), fees, twap_window
    )
    HEDGE_MANAGER = hedge_manager
    CLEARINGHOUSE = clearinghouse


# ------------------------------------------------------------------ HedgeManager

@external
def rebalance(size: int256, limit_price: uint256, route: uint256):
    """
    @notice Buys (size > 0) or sells base on a route, all of it or nothing.
    @dev    A purchase spends quote that the manager sent here just before; what the pool did not take goes back.
            A sale is paid by the pool straight to the Clearinghouse.
    @param  size [base, WAD] cut to whole token units, toward zero
    @param  limit_price [quote/base, WAD] worst average price, fee included; rounded in favour of the limit
    """
    assert msg.sender == HEDGE_MANAGER, "venue: not the manager"
    if size > 0:
        self._buy(convert(size, uint256) // pools.BASE_SCALE, limit_price, route)
    else:
        self._sell(convert(-size, uint256) // pools.BASE_SCALE, limit_price, route)
    pools._return_quote(CLEARINGHOUSE)


@external
def recall(units: uint256, limit_price: uint256, route: uint256) -> uint256:
    """
    @notice Sells enough base to bring `units` of quote home even at the limit price, or all base if that is not enough.
    @param  units [quote token units]
    @param  limit_price [quote/base, WAD] worst average price, fee included; > 0
    @return [quote token units] sent to the Clearinghouse
    """
    assert msg.sender == HEDGE_MANAGER, "venue: not the manager"
    before: uint256 = staticcall pools.QUOTE.balanceOf(CLEARINGHOUSE)
    wanted: uint256 = wad.div_up(units * pools.QUOTE_SCALE, limit_price)
    amount: uint256 = (wanted + pools.BASE_SCALE - 1) // pools.BASE_SCALE
    self._sell(min(amount, staticcall pools.BASE.balanceOf(self)), limit_price, route)
    pools._return_quote(CLEARINGHOUSE)
    return staticcall pools.QUOTE.balanceOf(CLEARINGHOUSE) - before


@external
@reentrant
def uniswapV3SwapCallback(amount0_delta: int256, amount1_delta: int256, data: Bytes[1]):
    """
    @notice A pool asks for its payment, having sent what was bought.
    @dev    Called while this contract is locked. A purchase beyond the limit ends here.
    """
    base: uint256 = 0
    quote: uint256 = 0
    base, quote = pools._owed(amount0_delta, amount1_delta)
    if base != 0:
        pools._pay(pools.BASE, msg.sender, base)
        return
    assert quote <= self._most, "venue: not filled at the limit"
    self._most -= quote
    pools._pay(pools.QUOTE, msg.sender, quote)


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
    return pools._most(convert(size, uint256) // pools.BASE_SCALE, limit_price)


@view
@external
def best_route(size: int256) -> uint256:
    """
    @notice The cheapest route for this size: a tier, or two of them (pools.vy).
    @param  size [base, WAD]
    """
    return pools._best_route(size, True)


@view
@external
def exposure() -> int256:
    """
    @return [base, WAD] base held
    """
    return convert(staticcall pools.BASE.balanceOf(self) * pools.BASE_SCALE, int256)


@view
@external
def equity(price: uint256) -> uint256:
    """
    @param  price [quote/base, WAD]
    @return [quote, WAD] base held at the price, plus quote sent here by strangers; rounded down
    """
    stray: uint256 = staticcall pools.QUOTE.balanceOf(self) * pools.QUOTE_SCALE
    return wad.mul_down(staticcall pools.BASE.balanceOf(self) * pools.BASE_SCALE, price) + stray


@view
@external
def position(mid: uint256, twap: uint256) -> IHedgeVenue.Position:
    """
    @notice `exposure`, and `equity` at both prices [quote/base, WAD].
    """
    base: uint256 = staticcall pools.BASE.balanceOf(self) * pools.BASE_SCALE
    stray: uint256 = staticcall pools.QUOTE.balanceOf(self) * pools.QUOTE_SCALE
    at_twap: uint256 = 0
    if twap != 0:
        at_twap = wad.mul_down(base, twap) + stray
    return IHedgeVenue.Position(
        exposure=convert(base, int256), at_mid=wad.mul_down(base, mid) + stray, at_twap=at_twap
    )


# ------------------------------------------------------------------ internal

@internal
def _buy(amount: uint256, limit_price: uint256, route: uint256):
    """@param amount [base token units]"""
    assert amount != 0, "venue: size too small"
    self._most = min(pools._most(amount, limit_price), staticcall pools.QUOTE.balanceOf(self))
    pools._swap(route, amount, True, self)


@internal
def _sell(amount: uint256, limit_price: uint256, route: uint256):
    """@param amount [base token units]"""
    assert amount != 0, "venue: size too small"
    assert amount <= staticcall pools.BASE.balanceOf(self), "venue: not enough base"
    brought: uint256 = pools._swap(route, amount, False, CLEARINGHOUSE)
    assert brought >= pools._least(amount, limit_price), "venue: not filled at the limit"
