# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  OptionEngine: European options of every market against the vault
@notice Boards of one expiry and up to 24 strikes. Every order is valued at Black-76 on the posted surface at the
        oracle's mark; the orders of one trade net before Inventory prices them. On top of the mark the trader pays
        the half-spread and the charge, or receives the rebate. Options are settled in cash at the price in force at
        expiry, proved by round ids. Positions and totals are at OptionBook; here are the rules, and the money goes
        through the Clearinghouse.

        Actors: a trader trades its own account; anyone refreshes, settles and clears, paid for the first two; CLOSER
        (Liquidator, CloseQueue) closes and moves positions of others, by rules of its own; governor and deployer list
        markets and strikes; the guardian pauses markets, closes boards and lowers caps.

        Invariants: I8 no order crosses its static bounds: a call costs at most spot, a put at most its strike,
        selling never costs, the charge aside. I14 a trade that only shrinks positions is refused for a stale price,
        or by Margin if what it hedged is kept and equity is below maintenance. CLOSER can shrink a position, and move
        it to an account that has none on the other side. Settlement: payables = what settled accounts are still owed,
        plus dust that goes to LPs; the price does not depend on who settles when. `quote` and `trade` run the same
        code.
@dev    Order of a trade: checks, mark, refresh if the board is due, book, rules, Inventory, log, settle, margin.
        Whatever is refused after something was written reverts it. A refresh changes the inventory, which no view can
        foresee, so `quote` refuses on a board that is due: `refresh` first, by anyone. In a block in which somebody
        has been paid for a fall of the potential Inventory stands still, boards too: what closes is booked at the
        point that is there, what opens waits.
@custom:kill The guardian pauses a market: positions can then only shrink, and settle.
"""

from interfaces import IClearinghouse
from interfaces import IInventory
from interfaces import IMargin
from interfaces import IOptionBook
from interfaces import IOptionEngine
from interfaces import IPriceOracle
from interfaces import IVolSurface
from contracts import constants as c
from contracts.governance import roles
from contracts.options import parameters
from contracts.options import series

implements: IOptionEngine

initializes: roles
initializes: parameters

exports: (
    roles.admin,
    roles.pending_admin,
    roles.roles_of,
    roles.grant_role,
    roles.revoke_role,
    roles.renounce_setup,
    roles.offer_admin,
    roles.accept_admin,
)

struct Done:
    outcome: IOptionEngine.Outcome
    market: uint256
    cash: int256                # [quote, WAD] the account's, after
    mask: uint256               # after
    closing: bool               # every order shrank a position and flipped none
    is_short: bool              # the account, after

MONEYNESS: constant(uint256) = 10               # strikes are listed from a tenth of spot to ten times spot

CLEARINGHOUSE: immutable(IClearinghouse)
INVENTORY: immutable(IInventory)
ORACLE: immutable(IPriceOracle)
SURFACE: immutable(IVolSurface)
BOOK: immutable(IOptionBook)


@deploy
def __init__(
    admin: address,
    setup: address,
    clearinghouse: address,
    inventory: address,
    oracle: address,
    surface: address,
    book: address,
):
    """
    @param admin holds GOVERNOR from the start
    @param setup deployer that wires the system and then renounces
    """
    roles.__init__(admin, setup)
    CLEARINGHOUSE = IClearinghouse(clearinghouse)
    INVENTORY = IInventory(inventory)
    ORACLE = IPriceOracle(oracle)
    SURFACE = IVolSurface(surface)
    BOOK = IOptionBook(book)


# ------------------------------------------------------------------ permissionless: trading


@external
def trade(
    orders: DynArray[IOptionBook.Order, c.MAX_ORDERS], limit: int256, deadline: uint256
) -> IOptionEngine.Outcome:
    """
    @notice Changes the caller's positions on one board; the orders are one trade.
    @param orders by ascending series
    @param limit [quote, WAD] the most the caller pays, spread and charge included; negative: the least it receives
    @param deadline [s]
    """
    assert block.timestamp <= deadline, "options: deadline passed"
    done: Done = self._execute(msg.sender, orders, max_value(int256))
    assert -done.outcome.cash <= limit, "options: limit"
    # long options alone lose no more than they are worth, and are paid for
    risky: bool = done.mask & ~(1 << (done.market + c.OPTION_BIT)) != 0 or done.is_short
    if risky or done.cash < 0:
        if done.closing:
            self._check_close(msg.sender, orders, done)
        else:
            enough: bool = False
            if risky:
                self._sync_mask(done.mask, done.market, True)
                margin: IMargin = IMargin(staticcall CLEARINGHOUSE.margin())
                enough = staticcall margin.check_initial(msg.sender, done.cash, done.mask)
            assert enough, "margin: below initial"
    return done.outcome


# ------------------------------------------------------------------ permissionless: keeping


@external
def refresh(market: uint256, expiry: uint256) -> uint256:
    """
    @notice Renews a board that is due: its totals at the spot, time and surface of now.
    @dev    Paid if the board has positions and was not renewed too recently.
    @return [quote, WAD] reward to the caller's account
    """
    key: uint256 = series._key(market, expiry)
    rules: uint256 = parameters._rules(market)
    mark: IPriceOracle.Mark = self._sync_open(key)
    board: IOptionBook.Board = staticcall BOOK.board(market, expiry)
    assert board.strikes != 0, "options: not listed"
    assert staticcall BOOK.is_due(key, mark.price), "options: not due"
    reward: uint256 = 0
    if board.legs != 0 and block.timestamp - board.time >= parameters._interval(rules):
        reward = parameters._reward(rules)
    self._renew(key, mark, reward)
    return reward


@external
def settle(market: uint256, expiry: uint256, round_id: uint256) -> uint256:
    """
    @notice Fixes the price of an expired board and sets its payoff aside; paid if it had positions.
    @param round_id the last good round of the market's feed at or before expiry: see PriceOracle.price_at
    @return [quote/base, WAD] price
    """
    key: uint256 = series._key(market, expiry)
    rules: uint256 = parameters._rules(market)
    assert key != 0, "options: not listed"
    assert block.timestamp >= expiry, "options: not expired"
    price: uint256 = staticcall ORACLE.price_at(market, expiry, round_id)
    mark: IPriceOracle.Mark = self._sync(market)
    payoff: int256 = 0
    legs: uint256 = 0
    change: IInventory.Change = empty(IInventory.Change)
    payoff, legs, change = extcall BOOK.expire(key, mark, price)
    reward: uint256 = 0
    release: uint256 = 0
    if legs != 0:
        reward = parameters._reward(rules)
        release = self._adjust(market, mark, change)
    self._settle_vault(release, reward, payoff)
    log IOptionEngine.Settled(
        market=market, expiry=expiry, keeper=msg.sender, price=price, payoff=payoff, reward=reward
    )
    return price


@external
def settle_accounts(market: uint256, expiry: uint256, accounts: DynArray[address, 64]):
    """
    @notice Pays accounts what their positions on a settled board came to, or takes it; those without one are passed
            over.
    """
    key: uint256 = series._key(market, expiry)
    for account: address in accounts:
        payoff: int256 = 0
        found: bool = False
        holds: bool = False
        payoff, found, holds = extcall BOOK.pay_out(key, account)
        if found:
            settlement: IClearinghouse.Settlement = empty(IClearinghouse.Settlement)
            settlement.payables = -payoff
            self._settle(account, payoff, market, holds, settlement)
            log IOptionEngine.AccountSettled(
                account=account, market=market, expiry=expiry, payoff=payoff
            )


@external
def clear(market: uint256, expiry: uint256):
    """
    @notice Forgets a board whose every account is settled; what rounding left in payables goes to LPs.
    """
    dust: int256 = extcall BOOK.clear(series._key(market, expiry))
    self._settle_vault(0, 0, -dust)
    log IOptionEngine.Cleared(market=market, expiry=expiry, dust=dust)


# ------------------------------------------------------------------ privileged: positions of others


@external
def close_for(
    account: address, orders: DynArray[IOptionBook.Order, c.MAX_ORDERS], most_cost: int256, checked: bool
) -> IOptionEngine.Outcome:
    """
    @notice `trade` of another account whose orders all shrink a position and flip none.
    @param orders by ascending series
    @param most_cost [quote, WAD] of spread and charge: what the charge is beyond, the reserve goes without: if
           it is, the caller has Inventory measure what the reserve covers (`sync`)
    @param checked whether Margin judges what they hedged, as it does for `trade`; else nobody does
    """
    roles._check(roles.Role.CLOSER)
    done: Done = self._execute(account, orders, most_cost)
    assert done.closing, "options: not closing"
    if checked:
        self._check_close(account, orders, done)
    return done.outcome


@external
def transfer(giver: address, taker: address, orders: DynArray[IOptionBook.Order, c.MAX_ORDERS]):
    """
    @notice Moves positions of one account on one board to another at mark value: the taker pays what the giver gets.
    @dev    Nets over all accounts stay as they are, so the board's totals do, which are a function of them: Inventory
            has nothing to learn, there is neither spread nor charge, and caps, minimum size, cut-off and pause do not
            apply. A mark on a surface that is old or frozen is nobody's to take: there is no spread to answer for it.
            What rounding takes, less than a wei an order, the giver pays to the taker. Margin of both accounts is the
            caller's to check.
    @param orders the taker's, by ascending series; the giver gets the opposite
    """
    roles._check(roles.Role.CLOSER)
    assert giver != taker, "options: same account"
    key: uint256 = 0
    rules: uint256 = 0
    mark: IPriceOracle.Mark = empty(IPriceOracle.Mark)
    key, rules, mark = self._enter(orders)
    market: uint256 = series._market_of(key)
    opposite: DynArray[IOptionBook.Order, c.MAX_ORDERS] = []
    for order: IOptionBook.Order in orders:
        opposite.append(IOptionBook.Order(series=order.series, size=-order.size))
    cash: int256 = 0
    for account: address in [giver, taker]:
        gives: bool = account == giver
        fill: IOptionBook.Fill = self._apply(account, opposite if gives else orders, mark)
        for o: IOptionBook.Filled in fill.orders:
            if gives:
                assert self._shrinks(o), "options: not closing"
            else:
                # two positions have at most 2^62 lots each
                assert o.before * (o.after - o.before) >= 0, "options: taker is on the other side"
        assert gives or fill.is_live, "options: stale surface"
        # what the giver gets, then what the taker pays
        cash = -fill.premium if gives else -cash
        self._settle(account, cash, market, fill.holds, empty(IClearinghouse.Settlement))
    log IOptionEngine.Transferred(
        giver=giver,
        taker=taker,
        market=market,
        expiry=series._expiry_of(key),
        orders=orders,
        spot=mark.price,
        premium=-cash,
    )


# ------------------------------------------------------------------ privileged: markets


@external
def set_params(market: uint256, params: IOptionEngine.MarketParams):
    """
    @notice Sets the parameters of a market's options, inside the immutable bounds of parameters.vy; the first call
            lists the market.
    """
    roles._check(roles.Role.GOVERNOR | roles.Role.SETUP | roles.Role.STEWARD)
    assert market < c.MAX_MARKETS, "options: not listed"
    self._set_params(market, params)


@external
def lower_caps(market: uint256, cap_series: uint256, cap_expiry: uint256, cap_market: uint256):
    """
    @notice Tightens a market's caps [base, WAD].
    """
    roles._check(roles.Role.GUARDIAN | roles.Role.GOVERNOR)
    p: IOptionEngine.MarketParams = parameters._load(market)
    assert (
        cap_series <= p.cap_series and cap_expiry <= p.cap_expiry and cap_market <= p.cap_market
    ), "options: caps can only fall"
    p.cap_series = cap_series
    p.cap_expiry = cap_expiry
    p.cap_market = cap_market
    self._set_params(market, p)


@external
def pause(market: uint256):
    """
    @notice From now on positions in this market can only shrink.
    """
    roles._check(roles.Role.GUARDIAN | roles.Role.GOVERNOR)
    self._set_paused(market, True)


@external
def unpause(market: uint256):
    """
    @notice Ends a pause.
    """
    roles._check(roles.Role.GOVERNOR)
    self._set_paused(market, False)


@external
def list_strikes(market: uint256, expiry: uint256, strikes: DynArray[uint256, c.MAX_STRIKES]):
    """
    @notice Opens a board, or adds strikes to one.
    @param expiry [s since 1970] on the posted surface
    @param strikes [quote/base, WAD] multiples of 1e-8, from a tenth of spot to ten times spot, in any order
    """
    roles._check(roles.Role.GOVERNOR | roles.Role.SETUP)
    rules: uint256 = parameters._rules(market)
    assert expiry > block.timestamp + parameters._cutoff(rules), "options: expired"
    # an expiry that is not at 08:00 UTC is not there
    assert (staticcall SURFACE.smile(market, expiry)).theta != 0, "options: not on the surface"
    assert len(strikes) != 0, "options: no strikes"
    spot: uint256 = (self._sync(market)).price
    for strike: uint256 in strikes:
        assert strike * MONEYNESS >= spot and strike <= spot * MONEYNESS, "options: strike range"
    extcall BOOK.add_strikes(series._key(market, expiry), strikes)
    log IOptionEngine.StrikesListed(market=market, expiry=expiry, strikes=strikes)


@external
def close_board(market: uint256, expiry: uint256):
    """
    @notice From now on positions on this board can only shrink, and settle.
    """
    roles._check(roles.Role.GUARDIAN | roles.Role.GOVERNOR)
    extcall BOOK.close(series._key(market, expiry))
    log IOptionEngine.BoardClosed(market=market, expiry=expiry)


# ------------------------------------------------------------------ views


@external
@view
def quote(
    account: address, orders: DynArray[IOptionBook.Order, c.MAX_ORDERS]
) -> IOptionEngine.Outcome:
    """
    @notice What `trade` would do for this account in this block, to the wei; margin and limit aside.
    """
    self._check_idle()
    key: uint256 = self._check_orders(orders)
    market: uint256 = series._market_of(key)
    rules: uint256 = parameters._rules(market)
    mark: IPriceOracle.Mark = staticcall ORACLE.peek(market)
    self._check_open(key, mark.fresh)
    due: bool = staticcall BOOK.is_due(key, mark.price)
    assert not due or staticcall INVENTORY.frozen(), "options: refresh first"
    fill: IOptionBook.Fill = staticcall BOOK.preview(account, orders, mark)
    fill.change.closing = self._check_fill(fill, key, rules, due)
    return self._conclude(
        fill, rules, staticcall INVENTORY.quote(market, mark, fill.change), max_value(int256)
    )


@external
@view
@reentrant
def margin_bps(market: uint256) -> (uint256, uint256, uint256):
    """
    @dev    Not locked: Margin reads it within a trade.
    @return initial, floor and maintenance of MarketParams [bps]
    """
    rules: uint256 = parameters._rules(market)
    return (
        parameters._initial_bps(rules),
        parameters._floor_bps(rules),
        parameters._maintenance_bps(rules),
    )


@external
@view
def penalty_bps(market: uint256) -> uint256:
    """
    @return [bps of notional] of a liquidation
    """
    return parameters._penalty_bps(parameters._rules(market))


@external
@view
def params(market: uint256) -> IOptionEngine.MarketParams:
    """
    @return the parameters in force
    """
    return parameters._load(market)


@external
@view
def is_paused(market: uint256) -> bool:
    """
    @return whether positions in the market can only shrink
    """
    return parameters._rules(market) & parameters.PAUSED != 0


@external
@view
def neighbours() -> (address, address, address, address, address):
    """
    @return clearinghouse, inventory, oracle, surface, book
    """
    return (
        CLEARINGHOUSE.address,
        INVENTORY.address,
        ORACLE.address,
        SURFACE.address,
        BOOK.address,
    )


# ------------------------------------------------------------------ internal: a trade


@internal
@view
def _check_idle():
    assert not staticcall CLEARINGHOUSE.in_progress(), "clearing: in progress"


@internal
@pure
def _check_orders(orders: DynArray[IOptionBook.Order, c.MAX_ORDERS]) -> uint256:
    """@return the key of the one board that all orders are on"""
    assert len(orders) != 0, "options: no orders"
    key: uint256 = series._board_of(orders[0].series)
    last: uint256 = 0
    for order: IOptionBook.Order in orders:
        assert series._board_of(order.series) == key, "options: mixed expiries"
        assert order.series != last, "options: duplicate series"
        assert order.series > last, "options: series order"
        assert order.size != 0, "options: zero size"
        assert order.size % series.LOT == 0, "options: not a multiple of the lot"
        assert abs(order.size // series.LOT) <= series.MAX_LOTS, "options: size range"
        last = order.series
    return key


@internal
@view
def _check_open(key: uint256, fresh: bool):
    assert block.timestamp < series._expiry_of(key), "options: expired"
    assert fresh, "oracle: stale price"


@internal
@view
def _check_fill(fill: IOptionBook.Fill, key: uint256, rules: uint256, due: bool) -> bool:
    """
    @notice Refuses what opens or grows a position and must not.
    @param due the board's point could not be renewed in this block
    @return whether every order shrinks a position and does not flip it
    """
    market: uint256 = series._market_of(key)
    limits: uint256 = 0         # not read for what only closes
    closing: bool = True
    grown: int256 = 0
    for o: IOptionBook.Filled in fill.orders:
        grown += abs(o.after) - abs(o.before)
        if self._shrinks(o):
            continue
        closing = False
        limits = parameters.limits[market]
        least: int256 = convert(limits >> 192, int256)
        assert abs(o.after - o.before) >= least and abs(o.after) >= least, "options: below minimum size"
        assert abs(o.after) <= series.MAX_LOTS, "options: size range"
        most: int256 = convert((limits >> 128) & series.U64, int256)
        assert abs(o.net_after) <= most or abs(o.net_after) < abs(o.net_before), "options: series cap"
    if not closing:
        assert rules & parameters.PAUSED == 0, "options: paused"
        assert not fill.closing_only, "options: board is closing"
        assert fill.is_live, "options: stale surface"
        assert not due, "options: refresh first"
        assert (
            block.timestamp + parameters._cutoff(rules) <= series._expiry_of(key)
        ), "options: too close to expiry"
        if grown > 0:
            assert fill.interest <= (limits >> 64) & series.U64, "options: expiry cap"
            assert fill.market_interest <= limits & series.U64, "options: market cap"
    return closing


@internal
def _enter(
    orders: DynArray[IOptionBook.Order, c.MAX_ORDERS]
) -> (uint256, uint256, IPriceOracle.Mark):
    """@return the key of the one board that all orders are on, the market's rules, and the mark of now"""
    key: uint256 = self._check_orders(orders)
    rules: uint256 = parameters._rules(series._market_of(key))
    return key, rules, self._sync_open(key)


@internal
def _sync(market: uint256) -> IPriceOracle.Mark:
    return extcall ORACLE.sync(market)


@internal
def _sync_open(key: uint256) -> IPriceOracle.Mark:
    """@return the mark of now, of a board that can be traded on"""
    mark: IPriceOracle.Mark = self._sync(series._market_of(key))
    self._check_open(key, mark.fresh)
    return mark


@internal
def _apply(
    account: address, orders: DynArray[IOptionBook.Order, c.MAX_ORDERS], mark: IPriceOracle.Mark
) -> IOptionBook.Fill:
    return extcall BOOK.apply(account, orders, mark)


@internal
def _execute(
    account: address, orders: DynArray[IOptionBook.Order, c.MAX_ORDERS], most_cost: int256
) -> Done:
    """
    @notice A settled trade but for limit and margin: mark, refresh if the board is due, book, rules, Inventory, log,
            settle.
    """
    key: uint256 = 0
    rules: uint256 = 0
    mark: IPriceOracle.Mark = empty(IPriceOracle.Mark)
    key, rules, mark = self._enter(orders)
    market: uint256 = series._market_of(key)
    due: bool = staticcall BOOK.is_due(key, mark.price)
    if due and not staticcall INVENTORY.frozen():
        self._renew(key, mark, 0)
        due = False
    fill: IOptionBook.Fill = self._apply(account, orders, mark)
    fill.change.closing = self._check_fill(fill, key, rules, due)
    answer: IInventory.Quote = extcall INVENTORY.trade(market, mark, fill.change)
    outcome: IOptionEngine.Outcome = self._conclude(fill, rules, answer, most_cost)
    log IOptionEngine.Trade(
        account=account,
        market=market,
        expiry=series._expiry_of(key),
        orders=orders,
        spot=mark.price,
        premium=outcome.premium,
        half_spread=outcome.half_spread,
        charge=outcome.charge,
    )
    settlement: IClearinghouse.Settlement = empty(IClearinghouse.Settlement)
    settlement.reserve = outcome.charge - convert(answer.release, int256)
    settlement.fees = outcome.fees
    cash: int256 = 0
    mask: uint256 = 0
    cash, mask = self._settle(account, outcome.cash, market, fill.holds, settlement)
    return Done(
        outcome=outcome,
        market=market,
        cash=cash,
        mask=mask,
        closing=fill.change.closing,
        is_short=fill.is_short,
    )


@internal
@pure
def _shrinks(o: IOptionBook.Filled) -> bool:
    """@return whether an order shrinks a position and does not flip it"""
    return abs(o.after) < abs(o.before) and (o.after == 0 or (o.after > 0) == (o.before > 0))


@internal
def _settle(
    account: address, cash: int256, market: uint256, holds: bool, of_others: IClearinghouse.Settlement
) -> (int256, uint256):
    """
    @param cash [quote, WAD] to the account
    @param holds whether the account has options in the market, after
    @param of_others what the reserve, fees and payables get
    @return the account's cash [quote, WAD] and mask, after
    """
    settlement: IClearinghouse.Settlement = of_others
    settlement.cash = cash
    if holds:
        settlement.opened = 1 << (market + c.OPTION_BIT)
    else:
        settlement.closed = 1 << (market + c.OPTION_BIT)
    return extcall CLEARINGHOUSE.settle(account, settlement)


@internal
def _check_close(account: address, orders: DynArray[IOptionBook.Order, c.MAX_ORDERS], done: Done):
    """@notice Has Margin judge an account whose orders have only closed, at whatever marks there are."""
    self._sync_mask(done.mask, done.market, False)
    margin: IMargin = IMargin(staticcall CLEARINGHOUSE.margin())
    assert staticcall margin.check_close(
        account, done.cash, done.mask, done.market, 0, orders
    )   # dev: gives its own reason


@internal
@pure
def _conclude(
    fill: IOptionBook.Fill, rules: uint256, answer: IInventory.Quote, most_cost: int256
) -> IOptionEngine.Outcome:
    """
    @notice What was booked and what Inventory answered. The cap of the half-spread ends where LPs pay a boost: nobody is paid
            more of that than he pays in spread.
    """
    half_spread: uint256 = max(min(answer.half_spread, fill.spread_cap), answer.boost)
    spread: int256 = convert(half_spread, int256)
    charge: int256 = min(answer.charge, max(most_cost - spread, 0))
    return IOptionEngine.Outcome(
        premium=fill.premium,
        half_spread=half_spread,
        charge=charge,
        fees=unsafe_div(unsafe_mul(half_spread, parameters._fee_share_bps(rules)), c.BPS),   # a quotient by WAD, 16 bits
        cash=-(fill.premium + spread + charge),
    )


@internal
def _sync_mask(mask: uint256, synced: uint256, fresh: bool):
    """
    @notice Takes the mark of every market that a mask names, but for one that has been.
    @param fresh whether every mark must be fit to trade on
    """
    both: uint256 = (mask | (mask >> c.OPTION_BIT)) & ~(1 << synced)
    for market: uint256 in range(c.MAX_MARKETS):
        if (both >> market) & 1 == 1:
            mark: IPriceOracle.Mark = self._sync(market)
            assert mark.fresh or not fresh, "oracle: stale price"


# ------------------------------------------------------------------ internal: the rest


@internal
def _renew(key: uint256, mark: IPriceOracle.Mark, reward: uint256):
    """
    @notice Has a board's point moved to now, tells Inventory, and books what that releases before anything else is
            priced.
    @param reward [quote, WAD] to the caller
    """
    market: uint256 = series._market_of(key)
    change: IInventory.Change = extcall BOOK.renew(key, mark, staticcall INVENTORY.horizon())
    release: uint256 = 0
    if change.options:
        release = self._adjust(market, mark, change)
    self._settle_vault(release, reward, 0)
    log IOptionEngine.Refreshed(
        market=market, expiry=series._expiry_of(key), keeper=msg.sender, spot=mark.price, reward=reward
    )


@internal
def _adjust(market: uint256, mark: IPriceOracle.Mark, change: IInventory.Change) -> uint256:
    """@return [quote, WAD] reserve due to LPs."""
    return (extcall INVENTORY.adjust(market, mark, change, 0)).release


@internal
def _settle_vault(release: uint256, reward: uint256, payables: int256):
    """@notice Books what concerns the vault, and the caller's reward out of LP cash."""
    if release == 0 and reward == 0 and payables == 0:
        # as the Clearinghouse would: a board changes in the middle of no operation
        self._check_idle()
        return
    keeper: address = empty(address)
    if reward != 0:
        keeper = msg.sender
    settlement: IClearinghouse.Settlement = empty(IClearinghouse.Settlement)
    settlement.cash = convert(reward, int256)
    settlement.reserve = -convert(release, int256)
    settlement.payables = payables
    extcall CLEARINGHOUSE.settle(keeper, settlement)


@internal
def _set_params(market: uint256, params: IOptionEngine.MarketParams):
    parameters._save(market, params, parameters.rules[market] & parameters.PAUSED != 0)
    log IOptionEngine.MarketParamsSet(market=market, params=params)


@internal
def _set_paused(market: uint256, paused: bool):
    word: uint256 = parameters._rules(market)
    if paused:
        word |= parameters.PAUSED
    else:
        word &= ~parameters.PAUSED
    parameters.rules[market] = word
    log IOptionEngine.MarketPaused(market=market, paused=paused)
