# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  AaveShortVenue: the hedge held as base borrowed on Aave v3 and sold on Uniswap v3
@notice Short-only: quote is supplied to Aave as collateral, base is borrowed and sold. Both ways are one swap with the pool
        itself (pools.vy), Aave being dealt with in the pool's callback: to open, what the sale brought is supplied together with
        what LPs add, and base is borrowed to pay the pool; to close, base bought repays the debt, and the collateral that
        this sets free pays the pool. So closing needs no cash: it works when LPs have none.
        Health is Aave's own health factor. Steps leave collateral alone while health stays within half the distance from
        TARGET_HEALTH to FLOOR_HEALTH, which saves a tenth of their gas; beyond, they add or take home what brings it back to the
        target. No step may open and end below the floor. There `strain` says how much anyone may close through
        HedgeManager.unwind: long before 1, where Aave sells the collateral at a penalty.
        Actors: HedgeManager alone may trade. Anyone may `drop_collateral`. Nobody, no role included, can move tokens out except
        through a swap whose proceeds are supplied or land at the Clearinghouse.
        Invariants: exposure and equity are what Aave says this contract owns and owes, strangers' gifts and liquidations
        included, never a counter; between calls neither Aave nor a pool has an allowance, no quote stays here, and no pool may
        call back; debt never becomes a long position; what LPs can lose here is what they put in.
@dev    Standard ERC-20 pair of at most 18 decimals. What only Aave can refuse (its caps, a quote token that may no longer be
        borrowed against) comes through as Aave's own error number. Debt that nothing secures any more is Aave's loss, not LPs',
        and no hedge either: it counts as no exposure; such a venue is to be retired. A paused reserve lets nothing in or out, so
        equity is marked down while either is; a frozen one only refuses to open. A reserve lent out to the last unit is not
        marked down: anybody can bring that about for the length of a transaction, and would buy LP shares cheaply by it.
        HedgeManager's haircut is for that.
@custom:kill HedgeManager.pause_venue stops opening (closing stays possible); retire_venue stops counting the venue.
"""

from interfaces import IClearinghouse
from interfaces import IHedgeVenue
from interfaces import ILendingVenue
from contracts import constants as c
from contracts.hedge import pools
from contracts.math import wad
from ethereum.ercs import IERC20

implements: IHedgeVenue
implements: ILendingVenue

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

interface Aave:
    def supply(asset: address, amount: uint256, owner: address, referral: uint16): nonpayable
    def withdraw(asset: address, amount: uint256, receiver: address) -> uint256: nonpayable
    def borrow(asset: address, amount: uint256, rate_mode: uint256, referral: uint16, owner: address): nonpayable
    def repay(asset: address, amount: uint256, rate_mode: uint256, owner: address) -> uint256: nonpayable
    def setUserUseReserveAsCollateral(asset: address, use: bool): nonpayable
    def getUserAccountData(user: address) -> Account: view
    def getConfiguration(asset: address) -> uint256: view
    def getReserveNormalizedIncome(asset: address) -> uint256: view
    def getReserveNormalizedVariableDebt(asset: address) -> uint256: view
    def getReserveData(asset: address) -> ReserveData: view

# Aave's view of a user, in its base currency (US dollars at 8 decimals).
struct Account:
    collateral: uint256
    debt: uint256
    borrowable: uint256
    threshold_bps: uint256      # debt beyond this share of collateral may be liquidated
    ltv_bps: uint256
    health: uint256             # [WAD]

# What the contract owns and owes; debt that nothing secures is Aave's.
struct Holdings:
    base: uint256               # [base, WAD] held
    owed: uint256               # [base, WAD]
    quote: uint256              # [quote, WAD] collateral and what is held

struct ReserveData:
    configuration: uint256
    supply_index: uint256       # [ray]
    supply_rate: uint256
    borrow_index: uint256
    borrow_rate: uint256
    stable_rate: uint256
    updated_at: uint256
    id: uint256
    a_token: address
    stable_debt: address
    variable_debt: address
    strategy: address
    treasury: uint256
    unbacked: uint256
    isolated_debt: uint256

VARIABLE: constant(uint256) = 2             # Aave's number of the variable rate
ACTIVE: constant(uint256) = 1 << 56
FROZEN: constant(uint256) = 1 << 57
PAUSED: constant(uint256) = 1 << 60
# [token units] by which a balance at Aave may move beyond an amount: three roundings, while its index is below 4.
ROUNDING: constant(uint256) = 3
# Collateral asked of LPs in one step, at most this multiple of the step (HedgeManager allows 3).
MAX_FUNDING: constant(uint256) = 2

HEDGE_MANAGER: public(immutable(address))
CLEARINGHOUSE: public(immutable(address))
AAVE: public(immutable(Aave))
A_QUOTE: public(immutable(IERC20))
A_BASE: public(immutable(IERC20))
DEBT: public(immutable(IERC20))
TARGET_HEALTH: public(immutable(uint256))   # [WAD]
FLOOR_HEALTH: public(immutable(uint256))    # [WAD]
# [bps of equity] not counted while a reserve is paused.
PAUSE_MARKDOWN_BPS: public(immutable(uint256))

# Of the step: the limit [quote/base, WAD] and the quote [token units] that the pool may take.
_limit_price: transient(uint256)
_most: transient(uint256)


@deploy
def __init__(hedge_manager: address, clearinghouse: address, base: address, router: address,
             fees: DynArray[uint24, pools.MAX_ROUTES], twap_window: uint256, aave: address,
             target_health: uint256, floor_health: uint256, pause_markdown_bps: uint256):
    """
    @param hedge_manager the only caller of `rebalance` and `recall`
    @param clearinghouse where the quote token comes from and returns to; names the quote token
    @param base the hedged asset
    @param router Uniswap v3 SwapRouter (periphery 1.x); only names the factory
    @param fees [1e-6] tiers to use; each pool must exist
    @param twap_window [s]
    @param aave Aave v3 Pool; both tokens must be listed
    @param target_health [WAD] what opening aims at
    @param floor_health [WAD] below this anyone may unwind
    @param pause_markdown_bps [bps of equity] not counted while a reserve is paused
    """
    quote: address = staticcall IClearinghouse(clearinghouse).asset()
    pools.__init__(quote, base, staticcall Router(router).factory(), fees, twap_window)
    assert (
        floor_health >= c.WAD + c.WAD // 10 and target_health >= floor_health + c.WAD // 10
        and target_health <= 2 * c.WAD
    ), "venue: health bounds"
    assert pause_markdown_bps <= c.BPS, "venue: markdown"
    HEDGE_MANAGER = hedge_manager
    CLEARINGHOUSE = clearinghouse
    AAVE = Aave(aave)
    of_quote: ReserveData = staticcall Aave(aave).getReserveData(quote)
    of_base: ReserveData = staticcall Aave(aave).getReserveData(base)
    assert of_quote.a_token != empty(address) and of_base.a_token != empty(address), "venue: not listed at Aave"
    A_QUOTE = IERC20(of_quote.a_token)
    A_BASE = IERC20(of_base.a_token)
    DEBT = IERC20(of_base.variable_debt)
    TARGET_HEALTH = target_health
    FLOOR_HEALTH = floor_health
    PAUSE_MARKDOWN_BPS = pause_markdown_bps


# ------------------------------------------------------------------ permissionless

@external
def drop_collateral(asset: address):
    """
    @notice Makes Aave ignore a token other than quote that a stranger has supplied in this contract's name.
    @dev    Such a gift counts for nothing here, but Aave refuses to pay out quote while one of a user's collaterals has
            lost its loan-to-value. Health must stay at the floor without it, or but for dust what it was, so nobody brings the
            position near liquidation.
    """
    assert asset != pools.QUOTE.address, "venue: quote is the collateral"
    before: uint256 = (staticcall AAVE.getUserAccountData(self)).health
    extcall AAVE.setUserUseReserveAsCollateral(asset, False)
    after: uint256 = (staticcall AAVE.getUserAccountData(self)).health
    assert after >= min(FLOOR_HEALTH, before - before // 1_000), "venue: health below the floor"


# ------------------------------------------------------------------ HedgeManager

@external
def rebalance(size: int256, limit_price: uint256, route: uint256):
    """
    @notice Opens (size < 0) or closes short exposure on one fee tier, all of it or nothing; a closing beyond the debt is cut to it.
    @param  size [base, WAD] cut to whole token units, toward zero, less Aave's roundings
    @param  limit_price [quote/base, WAD] worst average price, fee included; rounded in favour of the limit
    """
    assert msg.sender == HEDGE_MANAGER, "venue: not the manager"
    amount: uint256 = convert(abs(size), uint256) // pools.BASE_SCALE
    if size > 0:
        self._close(amount, limit_price, route, False)
    else:
        assert amount > ROUNDING, "venue: size too small"
        self._open(amount - ROUNDING, limit_price, route)
    pools._return_quote(CLEARINGHOUSE)


@external
def recall(units: uint256, limit_price: uint256, route: uint256) -> uint256:
    """
    @notice Closes as much as sets about `units` of collateral free, or all if that is not enough: less comes home by what
            the swap costs and by what health lacks of its target. Without debt, what collateral there is.
    @param  units [quote token units]
    @param  limit_price [quote/base, WAD] worst average price, fee included
    @return [quote token units] sent to the Clearinghouse
    """
    assert msg.sender == HEDGE_MANAGER, "venue: not the manager"
    before: uint256 = staticcall pools.QUOTE.balanceOf(CLEARINGHOUSE)
    if staticcall DEBT.balanceOf(self) == 0:
        self._free(True)
    else:
        self._close(self._recalled(units, limit_price), limit_price, route, True)
    pools._return_quote(CLEARINGHOUSE)
    return staticcall pools.QUOTE.balanceOf(CLEARINGHOUSE) - before


@external
@reentrant
def uniswapV3SwapCallback(amount0_delta: int256, amount1_delta: int256, data: Bytes[1]):
    """
    @notice A pool asks for its payment, having sent what was bought.
    @dev    Called while this contract is locked. Beyond the limit nothing is repaid, and nothing borrowed.
    """
    base: uint256 = 0
    quote: uint256 = 0
    base, quote = pools._owed(amount0_delta, amount1_delta)
    if base != 0:
        self._borrow(base, self._limit_price)
        pools._pay(pools.BASE, msg.sender, base)
        return
    assert quote <= self._most, "venue: not filled at the limit"
    self._repay()
    self._pay_quote(msg.sender, quote)


# ------------------------------------------------------------------ views

@view
@external
def funding(size: int256, limit_price: uint256) -> uint256:
    """
    @notice Quote the manager must send before `rebalance(size, limit_price, ...)`.
    @return [quote token units] opening: what `_lacking` says, less what the sale brings at least, at most MAX_FUNDING
            times the step. Closing: nothing, but the price of it while Aave is too dry to
            pay out collateral
    """
    amount: uint256 = convert(abs(size), uint256) // pools.BASE_SCALE
    step: uint256 = pools._most(amount, limit_price)
    if size > 0:
        if staticcall pools.QUOTE.balanceOf(A_QUOTE.address) >= step:
            return 0
        return step
    lacking: uint256 = self._lacking(staticcall DEBT.balanceOf(self) + amount, limit_price)
    return min(wad.sub_floor(lacking, step), MAX_FUNDING * step)


@view
@external
def best_route(size: int256) -> uint256:
    """
    @notice The cheapest tier for this size. Never two: a second step at Aave costs more than a split saves.
    @param  size [base, WAD]
    """
    return pools._best_route(size, False)


@view
@external
def exposure() -> int256:
    """
    @return [base, WAD] base held less base owed
    """
    return self._exposure(self._holdings())


@view
@external
def equity(price: uint256) -> uint256:
    """
    @param  price [quote/base, WAD]
    @return [quote, WAD] collateral and tokens held less debt at the price, not below zero; marked down while a reserve is paused;
            rounded down
    """
    return self._equity(self._holdings(), price, self._stopped(PAUSED))


@view
@external
def position(mid: uint256, twap: uint256) -> IHedgeVenue.Position:
    """
    @notice `exposure`, and `equity` at both prices [quote/base, WAD].
    """
    holdings: Holdings = self._holdings()
    paused: bool = self._stopped(PAUSED)
    at_twap: uint256 = 0
    if twap != 0:
        at_twap = self._equity(holdings, twap, paused)
    return IHedgeVenue.Position(
        exposure=self._exposure(holdings), at_mid=self._equity(holdings, mid, paused), at_twap=at_twap
    )


@view
@external
def health() -> uint256:
    """
    @return [WAD] Aave's health factor; max_value without debt
    """
    return (staticcall AAVE.getUserAccountData(self)).health


@view
@external
def strain() -> int256:
    """
    @notice What anyone may close through HedgeManager.unwind because health is below the floor.
    @dev    Closing x takes x out of debt and collateral: (C - x) * threshold = target * (D - x).
    @return [base, WAD] size that brings health back to the target but for the cost of the swap; 0: health is above the floor
    """
    account: Account = staticcall AAVE.getUserAccountData(self)
    if account.debt == 0 or account.collateral == 0 or account.health >= FLOOR_HEALTH:
        return 0
    threshold: uint256 = account.threshold_bps * (c.WAD // c.BPS)
    short: uint256 = account.debt * TARGET_HEALTH - account.collateral * threshold
    owed: uint256 = staticcall DEBT.balanceOf(self)
    amount: uint256 = min((owed * short) // ((TARGET_HEALTH - threshold) * account.debt), owed) + ROUNDING + 1
    return convert(amount * pools.BASE_SCALE, int256)


@view
@external
def lending() -> ILendingVenue.Lending:
    """
    @return Aave's indices now, and what this contract has lent and owes; debt that nothing secures is Aave's
    """
    owed: uint256 = 0
    collateral: uint256 = staticcall A_QUOTE.balanceOf(self)
    if collateral != 0:
        owed = staticcall DEBT.balanceOf(self)
    return ILendingVenue.Lending(
        supply_index=staticcall AAVE.getReserveNormalizedIncome(pools.QUOTE.address),
        borrow_index=staticcall AAVE.getReserveNormalizedVariableDebt(pools.BASE.address),
        base=-convert(owed * pools.BASE_SCALE, int256),
        quote=convert(collateral * pools.QUOTE_SCALE, int256),
    )


# ------------------------------------------------------------------ internal: steps

@internal
def _open(amount: uint256, limit_price: uint256, route: uint256):
    """@param amount [base token units] to sell"""
    assert not self._stopped(PAUSED | FROZEN), "venue: reserve stopped"
    self._limit_price = limit_price
    brought: uint256 = pools._swap(route, amount, False, self)
    assert brought >= pools._least(amount, limit_price), "venue: not filled at the limit"
    assert (staticcall AAVE.getUserAccountData(self)).health >= FLOOR_HEALTH, "venue: health below the floor"


@internal
def _close(wanted: uint256, limit_price: uint256, route: uint256, recalled: bool):
    """@param wanted [base token units] to buy"""
    assert not self._stopped(PAUSED), "venue: reserve stopped"
    held: uint256 = staticcall pools.BASE.balanceOf(self)
    owed: uint256 = staticcall DEBT.balanceOf(self)
    assert owed > held, "venue: nothing to buy back"
    amount: uint256 = owed - held
    if wanted < amount:
        assert wanted > ROUNDING, "venue: size too small"
        amount = wanted - ROUNDING
    self._most = pools._most(amount, limit_price)
    pools._swap(route, amount, True, self)
    self._free(recalled)


@internal
@view
def _recalled(units: uint256, limit_price: uint256) -> uint256:
    """
    @param  units [quote token units]
    @return [base token units] to close: a unit closed takes its own worth out of the collateral and frees what secured it
    """
    freed: uint256 = limit_price * (self._cover(TARGET_HEALTH) - c.WAD) // c.WAD
    wanted: uint256 = wad.div_up(units * pools.QUOTE_SCALE, freed)
    return min(wanted // pools.BASE_SCALE, staticcall DEBT.balanceOf(self)) + ROUNDING + 1


@internal
def _borrow(amount: uint256, limit_price: uint256):
    """@notice Has `amount` base at hand, supplying what that takes out of the quote held. @param amount [base token units]"""
    held: uint256 = staticcall pools.BASE.balanceOf(self)
    lent: uint256 = wad.sub_floor(amount, held)
    if lent == 0:
        return
    lacking: uint256 = self._lacking(staticcall DEBT.balanceOf(self) + lent, limit_price)
    supplied: uint256 = min(lacking, staticcall pools.QUOTE.balanceOf(self))
    if supplied != 0:
        extcall pools.QUOTE.approve(AAVE.address, supplied, default_return_value=True)
        extcall AAVE.supply(pools.QUOTE.address, supplied, self, 0)
    assert staticcall pools.BASE.balanceOf(A_BASE.address) >= lent, "venue: reserve is dry"
    extcall AAVE.borrow(pools.BASE.address, lent, VARIABLE, 0, self)


@internal
def _repay():
    """@notice Repays with all the base held, which `_close` keeps at most at the debt."""
    amount: uint256 = staticcall pools.BASE.balanceOf(self)
    extcall pools.BASE.approve(AAVE.address, amount, default_return_value=True)
    extcall AAVE.repay(pools.BASE.address, amount, VARIABLE, self)


@internal
def _pay_quote(pool: address, amount: uint256):
    """@notice Pays out of the quote held and, when that is not enough, out of collateral. @param amount [quote token units]"""
    paid: uint256 = min(amount, staticcall pools.QUOTE.balanceOf(self))
    if paid != 0:
        pools._pay(pools.QUOTE, pool, paid)
    if amount > paid:
        assert staticcall pools.QUOTE.balanceOf(A_QUOTE.address) >= amount - paid, "venue: reserve is dry"
        extcall AAVE.withdraw(pools.QUOTE.address, amount - paid, pool)


@internal
def _free(recalled: bool):
    """
    @notice Sends home the collateral beyond TARGET_HEALTH, as far as the reserve can pay; without debt, all of it. Unless it is
            recalled, only once health is beyond the target's surroundings.
    @dev    Collateral a stranger has added counts in Aave's total, so what is kept never falls short.
    """
    account: Account = staticcall AAVE.getUserAccountData(self)
    if account.debt != 0 and not recalled and account.health <= TARGET_HEALTH + (TARGET_HEALTH - FLOOR_HEALTH) // 2:
        return
    spare: uint256 = staticcall A_QUOTE.balanceOf(self)
    if account.debt != 0:
        kept: uint256 = account.debt * TARGET_HEALTH // (account.threshold_bps * (c.WAD // c.BPS)) + 1
        spare = spare * wad.sub_floor(account.collateral, kept) // account.collateral
    spare = min(spare, staticcall pools.QUOTE.balanceOf(A_QUOTE.address))
    if spare > ROUNDING:    # Aave refuses to burn what rounds to nothing
        extcall AAVE.withdraw(pools.QUOTE.address, spare, CLEARINGHOUSE)


# ------------------------------------------------------------------ internal: reading Aave

@internal
@view
def _holdings() -> Holdings:
    collateral: uint256 = staticcall A_QUOTE.balanceOf(self)
    owed: uint256 = 0
    if collateral != 0:
        owed = staticcall DEBT.balanceOf(self) * pools.BASE_SCALE
    return Holdings(
        base=staticcall pools.BASE.balanceOf(self) * pools.BASE_SCALE,
        owed=owed,
        quote=(collateral + staticcall pools.QUOTE.balanceOf(self)) * pools.QUOTE_SCALE,
    )


@internal
@pure
def _exposure(holdings: Holdings) -> int256:
    return convert(holdings.base, int256) - convert(holdings.owed, int256)


@internal
@view
def _equity(holdings: Holdings, price: uint256, paused: bool) -> uint256:
    assets: uint256 = holdings.quote + wad.mul_down(holdings.base, price)
    worth: uint256 = wad.sub_floor(assets, wad.mul_up(holdings.owed, price))
    if paused:
        return worth * (c.BPS - PAUSE_MARKDOWN_BPS) // c.BPS
    return worth


@internal
@view
def _stopped(bits: uint256) -> bool:
    """@return whether either reserve is inactive or has one of these bits set"""
    of_quote: uint256 = staticcall AAVE.getConfiguration(pools.QUOTE.address)
    of_base: uint256 = staticcall AAVE.getConfiguration(pools.BASE.address)
    return (of_quote | of_base) & bits != 0 or of_quote & of_base & ACTIVE == 0


@internal
@view
def _cover(health: uint256) -> uint256:
    """@return [WAD] collateral that a health needs per debt, rounded up; > 1"""
    threshold_bps: uint256 = (staticcall AAVE.getConfiguration(pools.QUOTE.address) >> 16) & (2**16 - 1)
    assert threshold_bps != 0, "venue: quote is no collateral"
    return (health * c.BPS + threshold_bps - 1) // threshold_bps


@internal
@view
def _lacking(owed: uint256, price: uint256) -> uint256:
    """
    @param  owed [base token units]
    @param  price [quote/base, WAD]
    @return [quote token units] to add to the collateral for TARGET_HEALTH, rounded up; 0 while health is at least halfway from
            FLOOR_HEALTH to it
    """
    collateral: uint256 = staticcall A_QUOTE.balanceOf(self)
    worth: uint256 = wad.mul_up(owed * pools.BASE_SCALE, price)
    if collateral * pools.QUOTE_SCALE >= wad.mul_up(worth, self._cover((TARGET_HEALTH + FLOOR_HEALTH) // 2)):
        return 0
    needed: uint256 = wad.mul_up(worth, self._cover(TARGET_HEALTH))
    return wad.sub_floor((needed + pools.QUOTE_SCALE - 1) // pools.QUOTE_SCALE, collateral)
