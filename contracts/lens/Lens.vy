# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Lens: everything in one call
@notice Reads of markets, boards, accounts, vault, LPs and venues for interfaces, keepers and auditors. Holds nothing, may do nothing, and
        nothing depends on it: a better Lens can be deployed beside it at any time.

        Actors: anyone reads.
        Invariants: no state; `quotes` answers what a trade would pay in this block, to the wei; a venue that does not answer
        leaves its own figures 0 and stops no other.
@custom:kill Nothing to kill.
"""

from ethereum.ercs import IERC20
from ethereum.ercs import IERC4626
from interfaces import IClearinghouse
from interfaces import IHedgeManager
from interfaces import IHedgeVenue
from interfaces import IInventory
from interfaces import ILens
from interfaces import IMargin
from interfaces import IOptionBook
from interfaces import IOptionEngine
from interfaces import IOptionPricer
from interfaces import IPerpEngine
from interfaces import IPriceOracle
from interfaces import IRebateAuction
from interfaces import IVault
from interfaces import IVolSurface

implements: ILens

from contracts import constants as c
from contracts.clearing import requirement
from contracts.hedge import records
from contracts.inventory import exposure
from contracts.hedge import rule
from contracts.math import signed
from contracts.math import wad
from contracts.options import series
from contracts.perps import funding
from contracts.perps import markets as perp_markets
from contracts.vault import shares as pricing

# What the contracts answer in structs of modules that import their interfaces.
interface IEngineViews:
    def config(market: uint256) -> perp_markets.Config: view

interface IHedgeViews:
    def venue(venue_id: uint256) -> records.Listing: view

VIEW_GAS: constant(uint256) = 500_000       # what a venue may burn in one view

VAULT: immutable(address)
CLEARINGHOUSE: immutable(IClearinghouse)
INVENTORY: immutable(IInventory)
PERP_ENGINE: immutable(IPerpEngine)
OPTION_ENGINE: immutable(IOptionEngine)
OPTION_BOOK: immutable(IOptionBook)
PRICER: immutable(IOptionPricer)
SURFACE: immutable(IVolSurface)
HEDGE_MANAGER: immutable(IHedgeManager)
ORACLE: immutable(IPriceOracle)
AUCTION: immutable(IRebateAuction)


@deploy
def __init__(
    vault: address,
    clearinghouse: address,
    inventory: address,
    perp_engine: address,
    option_engine: address,
    hedge_manager: address,
    oracle: address,
    auction: address,
):
    """
    @notice A Lens over one deployment.
    """
    VAULT = vault
    CLEARINGHOUSE = IClearinghouse(clearinghouse)
    INVENTORY = IInventory(inventory)
    PERP_ENGINE = IPerpEngine(perp_engine)
    OPTION_ENGINE = IOptionEngine(option_engine)
    OPTION_BOOK = IOptionBook((staticcall IOptionEngine(option_engine).neighbours())[4])
    surface: address = empty(address)
    pricer: address = empty(address)
    surface, pricer = staticcall OPTION_BOOK.neighbours()
    SURFACE = IVolSurface(surface)
    PRICER = IOptionPricer(pricer)
    HEDGE_MANAGER = IHedgeManager(hedge_manager)
    ORACLE = IPriceOracle(oracle)
    AUCTION = IRebateAuction(auction)


@external
@view
def markets() -> DynArray[ILens.MarketView, c.MAX_MARKETS]:
    """
    @return every listed market
    """
    views: DynArray[ILens.MarketView, c.MAX_MARKETS] = []
    for market: uint256 in range(staticcall INVENTORY.market_count(), bound=c.MAX_MARKETS):
        mark: IPriceOracle.Mark = staticcall ORACLE.peek(market)
        config: perp_markets.Config = staticcall IEngineViews(PERP_ENGINE.address).config(market)
        book: funding.Book = staticcall PERP_ENGINE.book(market)
        # a mark of 0 does not exist: a listed market has a price
        one: int256 = convert(c.WAD * c.WAD // max(mark.price, 1), int256)
        views.append(
            ILens.MarketView(
                market=market,
                mark=mark,
                params=config.params,
                paused=config.paused,
                long=book.long,
                short=book.short,
                funding_rate=book.funding_rate,
                borrow_rate=book.borrow_rate,
                delta=self._delta(market),
                bought=self._quote(market, mark, one),
                sold=self._quote(market, mark, -one),
            )
        )
    return views


@external
@view
def quotes(market: uint256, sizes: DynArray[int256, 16]) -> DynArray[IInventory.Quote, 16]:
    """
    @notice What the vault asks beyond the mark value for trades of these sizes, each on its own, now.
    @dev    Whether a trade would be refused for its size is not asked: PerpEngine.quote does that.
    @param sizes [base, WAD] > 0 the trader buys
    @return charge, half-spread and rates after, per size
    """
    mark: IPriceOracle.Mark = staticcall ORACLE.peek(market)
    answers: DynArray[IInventory.Quote, 16] = []
    for size: int256 in sizes:
        answers.append(self._quote(market, mark, size))
    return answers


@external
@view
def offers() -> (IRebateAuction.Offer, DynArray[ILens.RiskView, c.MAX_MARKETS]):
    """
    @notice For whoever wants to be paid for taking risk: what LPs pay beside rebates, and what risk of which market is worth.
    @dev    Slopes are differences over the smallest amounts that U shows exactly enough.
    """
    views: DynArray[ILens.RiskView, c.MAX_MARKETS] = []
    for market: uint256 in range(staticcall INVENTORY.market_count(), bound=c.MAX_MARKETS):
        mark: IPriceOracle.Mark = staticcall ORACLE.peek(market)
        held: exposure.Market = staticcall INVENTORY.market(market)
        # a quote token's worth of base, and a thousand of dollar gamma
        base: int256 = convert(c.WAD * c.WAD // max(mark.price, 1), int256)
        gamma: int256 = max(1_000 * base * c.SWAD // convert(max(mark.price, 1), int256), 1)
        views.append(
            ILens.RiskView(
                market=market,
                price=mark.price,
                delta=held.delta,
                gamma=held.gamma,
                vega=held.vega,
                delta_slope=self._slope(market, mark, IInventory.Exposure(delta=1, gamma=0, vega=0), base),
                gamma_slope=self._slope(market, mark, IInventory.Exposure(delta=0, gamma=1, vega=0), gamma),
                vega_slope=self._slope(market, mark, IInventory.Exposure(delta=0, gamma=0, vega=1), c.SWAD),
            )
        )
    return staticcall AUCTION.offer(), views


@external
@view
def boards(market: uint256) -> DynArray[ILens.BoardView, c.MAX_EXPIRIES]:
    """
    @return every board of a market that is not settled, earliest first
    """
    views: DynArray[ILens.BoardView, c.MAX_EXPIRIES] = []
    mark: IPriceOracle.Mark = staticcall ORACLE.peek(market)
    last: uint256 = 0
    expiries: DynArray[uint256, c.MAX_EXPIRIES] = staticcall OPTION_BOOK.expiries(market)
    for _: uint256 in range(len(expiries), bound=c.MAX_EXPIRIES):
        expiry: uint256 = max_value(uint256)
        for candidate: uint256 in expiries:
            if candidate > last:
                expiry = min(expiry, candidate)
        last = expiry
        view: ILens.BoardView = ILens.BoardView(
            expiry=expiry,
            due=staticcall OPTION_BOOK.is_due(series._key(market, expiry), mark.price),
            stored=staticcall OPTION_BOOK.board(market, expiry),
            smile=staticcall SURFACE.smile(market, expiry),
            strikes=[],
        )
        listed: DynArray[IOptionBook.Strike, c.MAX_STRIKES] = staticcall OPTION_BOOK.strikes(market, expiry)
        levels: DynArray[uint256, c.MAX_STRIKES] = []
        for entry: IOptionBook.Strike in listed:
            levels.append(entry.strike)
        premiums: DynArray[IOptionPricer.Premium, c.MAX_STRIKES] = staticcall PRICER.premiums(
            self._point(mark.price, view.smile, expiry), levels
        )
        for i: uint256 in range(len(listed), bound=c.MAX_STRIKES):
            view.strikes.append(
                ILens.StrikeView(
                    strike=listed[i].strike,
                    calls=listed[i].calls,
                    puts=listed[i].puts,
                    call=premiums[i].call,
                    put=premiums[i].put,
                )
            )
        views.append(view)
    return views


@external
@view
def account(owner: address) -> ILens.AccountView:
    """
    @return a trader's cash, positions, options and margin
    """
    cash: int256 = 0
    mask: uint256 = 0
    cash, mask = staticcall CLEARINGHOUSE.account(owner)
    margin: IMargin = IMargin(staticcall CLEARINGHOUSE.margin())
    answer: ILens.AccountView = ILens.AccountView(
        cash=cash,
        mask=mask,
        stored=staticcall margin.health(owner),
        now=staticcall margin.preview(owner),
        liquidatable=False,
        legs=[],
        options=[],
    )
    for leg: IPerpEngine.Leg in staticcall PERP_ENGINE.legs(owner, mask & c.MARKETS):
        price: uint256 = (staticcall ORACLE.peek(leg.market)).price
        profit: int256 = signed.mul_floor(leg.size, convert(price, int256)) - leg.cost - leg.owed
        answer.legs.append(ILens.LegView(leg=leg, price=price, profit=profit))
    for leg: IOptionBook.Leg in staticcall OPTION_BOOK.legs(owner):
        answer.options.append(self._option(leg))
    answer.liquidatable = mask != 0 and answer.now.equity < convert(answer.now.maintenance, int256)
    return answer


@external
@view
def liquidation_price(owner: address, market: uint256) -> uint256:
    """
    @notice The mark below which a long perpetual can be liquidated, above which a short one.
    @dev    Of an account that has nothing else, accrued to now, at the volatility of now. With n the notional at that mark and
            E = sigma * EXIT: cash - cost - owed + n = n * maintenance + E * n * min(1, n / cap), if long; -n if short.
    @return [quote/base, WAD] 0 for an account with other positions, without one, or where there is no such mark
    """
    cash: int256 = 0
    mask: uint256 = 0
    cash, mask = staticcall CLEARINGHOUSE.account(owner)
    if market >= c.MAX_MARKETS or mask != 1 << market:
        return 0
    leg: IPerpEngine.Leg = (staticcall PERP_ENGINE.legs(owner, mask))[0]
    sigma: uint256 = (staticcall ORACLE.peek(market)).sigma
    # a long is down to nothing but what it owes, a short up to all that it has
    money: int256 = cash - leg.cost - leg.owed
    slope: int256 = convert(c.BPS + leg.maintenance_bps, int256)
    sign: int256 = 1
    if leg.size > 0:
        money = -money
        slope = convert(c.BPS - leg.maintenance_bps, int256)
        sign = -1
    if money <= 0:
        return 0
    slope *= c.SWAD // convert(c.BPS, int256)
    exit_cost: int256 = sign * convert(sigma * requirement.EXIT // c.WAD, int256)      # of a notional at the cap
    cap: int256 = convert(leg.cap_quote, int256)
    notional: int256 = max_value(int256)
    if cap != 0:
        inside: int256 = slope * slope + 4 * c.SWAD * money // cap * exit_cost
        if inside >= 0:
            root: int256 = convert(isqrt(convert(inside, uint256)), int256)
            notional = 2 * c.SWAD * money // (slope + root)
    if notional > cap:
        if slope + exit_cost <= 0:
            return 0
        notional = c.SWAD * money // (slope + exit_cost)
    return convert(notional, uint256) * c.WAD // signed.magnitude(leg.size)


@external
@view
def vault() -> ILens.VaultView:
    """
    @return what LPs own together, what a share costs and fetches, and the epoch
    """
    valuation: IVault.Valuation = staticcall IVault(VAULT).valuation()
    nav: uint256 = convert(max(valuation.nav, 0), uint256)
    marks: DynArray[IPriceOracle.Mark, c.MAX_MARKETS] = []
    prices: DynArray[uint256, c.MAX_MARKETS] = []
    oldest: uint256 = max_value(uint256)
    for market: uint256 in range(staticcall INVENTORY.market_count(), bound=c.MAX_MARKETS):
        mark: IPriceOracle.Mark = staticcall ORACLE.peek(market)
        marks.append(mark)
        prices.append(mark.price)
        oldest = min(oldest, mark.updated_at if mark.fresh else 0)
    traders: int256 = staticcall PERP_ENGINE.book_value(prices)
    venues: uint256 = staticcall HEDGE_MANAGER.equity(prices)
    options: int256 = 0
    vol_age: uint256 = 0
    usable: bool = False
    options, vol_age, usable = staticcall OPTION_BOOK.book_value(prices)
    if not usable:
        oldest = 0
    inventory: IInventory.Valuation = staticcall INVENTORY.valuation(
        traders + options + convert(venues, int256), marks, vol_age
    )
    epoch: IVault.Epoch = staticcall IVault(VAULT).epoch()
    utilization: uint256 = max_value(uint256)
    if nav > 0:
        utilization = wad.div_up(inventory.stressed_loss, nav)
    fill: uint256 = 0
    payment: uint256 = 0
    fill, payment = staticcall IVault(VAULT).preview_epoch()
    return ILens.VaultView(
        valuation=valuation,
        inventory=inventory,
        buckets=staticcall CLEARINGHOUSE.buckets(),
        traders=traders,
        options=options,
        venues=venues,
        ask_price=pricing._assets_up(c.WAD, valuation.supply, valuation.ask),
        mid_price=pricing._assets_down(c.WAD, valuation.supply, nav),
        bid_price=pricing._assets_down(c.WAD, valuation.supply, valuation.bid),
        utilization=utilization,
        params=staticcall IVault(VAULT).params(),
        deposits_paused=staticcall IVault(VAULT).deposits_paused(),
        epoch=epoch,
        processable=block.timestamp >= epoch.ends_at and (epoch.pending == 0 or oldest >= epoch.ends_at),
        would_fill=fill,
        would_pay=payment,
    )


@external
@view
def lp(owner: address) -> ILens.LpView:
    """
    @return a liquidity provider's shares and requests
    """
    valuation: IVault.Valuation = staticcall IVault(VAULT).valuation()
    balance: uint256 = staticcall IERC20(VAULT).balanceOf(owner)
    asset: IERC20 = IERC20(staticcall IERC4626(VAULT).asset())
    return ILens.LpView(
        shares=balance,
        worth=pricing._assets_down(balance, valuation.supply, convert(max(valuation.nav, 0), uint256)),
        position=staticcall IVault(VAULT).position(owner),
        asset_balance=staticcall asset.balanceOf(owner),
        asset_allowance=staticcall asset.allowance(owner, VAULT),
    )


@external
@view
def venues() -> DynArray[ILens.VenueView, c.MAX_VENUES]:
    """
    @return every venue, retired ones included; the index is its id
    """
    views: DynArray[ILens.VenueView, c.MAX_VENUES] = []
    count: uint256 = staticcall HEDGE_MANAGER.venue_count()
    for venue_id: uint256 in range(count, bound=c.MAX_VENUES):
        listing: records.Listing = staticcall IHedgeViews(HEDGE_MANAGER.address).venue(venue_id)
        params: IHedgeManager.VenueParams = staticcall HEDGE_MANAGER.venue_params(venue_id)
        stored: IHedgeManager.VenueState = staticcall HEDGE_MANAGER.venue_state(venue_id)
        used: uint256 = rule._turnover(stored.used, block.timestamp - stored.traded_at, params.turnover, 0)
        answer: ILens.VenueView = empty(ILens.VenueView)
        answer.venue_id = venue_id
        answer.venue = listing.venue
        answer.market = listing.market
        answer.paused = listing.paused
        answer.retired = listing.retired
        answer.params = params
        answer.stored = stored
        answer.turnover_left = wad.sub_floor(params.turnover, used)
        answer.ready_at = stored.traded_at + params.cooldown
        views.append(self._read(answer))
    return views


@external
@view
def contracts() -> (address, address, address, address, address, address, address, address):
    """
    @return vault, clearinghouse, inventory, perp engine, option engine, hedge manager, oracle, auction
    """
    return (
        VAULT,
        CLEARINGHOUSE.address,
        INVENTORY.address,
        PERP_ENGINE.address,
        OPTION_ENGINE.address,
        HEDGE_MANAGER.address,
        ORACLE.address,
        AUCTION.address,
    )


# ------------------------------------------------------------------ internal


@internal
@view
def _delta(market: uint256) -> int256:
    """@return [base, WAD] of the vault"""
    return (staticcall INVENTORY.market(market)).delta


@internal
@view
def _option(leg: IOptionBook.Leg) -> ILens.OptionView:
    """
    @notice One option of an account as Margin judges it, at the marks of now.
    """
    view: ILens.OptionView = ILens.OptionView(leg=leg, spot=leg.settlement, price=0)
    if leg.settlement != 0:
        view.price = requirement._intrinsic(leg.strike, leg.is_put, leg.settlement)
        return view
    view.spot = (staticcall ORACLE.peek(leg.market)).price
    smile: IVolSurface.Smile = staticcall SURFACE.smile(leg.market, leg.expiry)
    premium: IOptionPricer.Premium = (
        staticcall PRICER.premiums(self._point(view.spot, smile, leg.expiry), [leg.strike])
    )[0]
    view.price = premium.put if leg.is_put else premium.call
    return view


@internal
@view
def _point(spot: uint256, smile: IVolSurface.Smile, expiry: uint256) -> IOptionPricer.Point:
    """
    @return where OptionBook would value an expiry now
    """
    return IOptionPricer.Point(
        spot=spot,
        seconds=wad.sub_floor(expiry, block.timestamp),
        term=wad.sub_floor(expiry, smile.timestamp),
        theta=smile.theta,
        rate=smile.rate,
        rho=smile.rho,
        eta=smile.eta,
    )


@internal
@view
def _quote(market: uint256, mark: IPriceOracle.Mark, size: int256) -> IInventory.Quote:
    """
    @param size [base, WAD] > 0 the trader buys
    """
    notional: uint256 = wad.mul_up(signed.magnitude(size), mark.price)
    return self._change(market, mark, IInventory.Exposure(delta=-size, gamma=0, vega=0), notional)


@internal
@view
def _change(
    market: uint256, mark: IPriceOracle.Mark, x: IInventory.Exposure, notional: uint256
) -> IInventory.Quote:
    """
    @dev `closing` changes no price; it only keeps Inventory from refusing.
    """
    return staticcall INVENTORY.quote(
        market,
        mark,
        IInventory.Change(
            exposure=x,
            options=False,
            stress=empty(int256[8]),
            notional=notional,
            book=0,
            vol_age=0,
            closing=True,
        ),
    )


@internal
@view
def _slope(market: uint256, mark: IPriceOracle.Mark, unit: IInventory.Exposure, step: int256) -> int256:
    """
    @return [quote per unit of the exposure, WAD] from `step` less of it to `step` more
    """
    u: int256[2] = [0, 0]
    for i: uint256 in range(2):
        by: int256 = step if i == 0 else -step
        x: IInventory.Exposure = IInventory.Exposure(
            delta=unit.delta * by, gamma=unit.gamma * by, vega=unit.vega * by
        )
        u[i] = convert((self._change(market, mark, x, 0)).potential_after, int256)
    return (u[0] - u[1]) * c.SWAD // (2 * step)


@internal
@view
def _read(known: ILens.VenueView) -> ILens.VenueView:
    """
    @notice Adds what the venue itself says, or nothing.
    """
    answer: ILens.VenueView = known
    word: bytes32 = empty(bytes32)
    ok: bool = False
    ok, word = self._try(known.venue, method_id("exposure()", output_type=bytes4), 0)
    if not ok:
        return known
    answer.exposure = convert(word, int256)

    price: uint256 = (staticcall ORACLE.peek(known.market)).price
    ok, word = self._try(known.venue, method_id("equity(uint256)", output_type=bytes4), price)
    if not ok:
        return known
    answer.equity = convert(word, uint256)

    # within the cap: exposure after the trade is at most `cap` on either side; bounded, whatever the venue says
    cap: int256 = convert(known.params.cap, int256)
    now: int256 = max(min(answer.exposure, 2**127), -2**127)
    answer.flattening = max(min(now - self._delta(known.market), cap), -cap) - now
    argument: uint256 = convert(convert(answer.flattening, bytes32), uint256)
    ok, word = self._try(known.venue, method_id("best_route(int256)", output_type=bytes4), argument)
    if not ok:
        return known
    answer.route = convert(word, uint256)

    success: bool = False
    data: Bytes[96] = b""
    success, data = raw_call(
        known.venue,
        abi_encode(answer.route, method_id=method_id("prices(uint256)")),
        max_outsize=96,
        gas=VIEW_GAS,
        is_static_call=True,
        revert_on_failure=False,
    )
    if not success or len(data) != 96:
        return known
    answer.prices = abi_decode(data, IHedgeVenue.Prices)
    answer.answered = True
    return answer


@internal
@view
def _try(venue: address, selector: bytes4, argument: uint256) -> (bool, bytes32):
    """
    @notice A view of one word that cannot stop the Lens. A view without argument ignores the extra word.
    """
    success: bool = False
    data: Bytes[32] = b""
    success, data = raw_call(
        venue,
        concat(selector, convert(argument, bytes32)),
        max_outsize=32,
        gas=VIEW_GAS,
        is_static_call=True,
        revert_on_failure=False,
    )
    if not success or len(data) != 32:
        return False, empty(bytes32)
    return True, convert(data, bytes32)
