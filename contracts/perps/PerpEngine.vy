# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  PerpEngine: perpetuals of every market against the vault
@notice A trade is at the oracle's mark; on top of it the trader pays the half-spread and the inventory charge that
        Inventory quotes, or receives its rebate. Funding and borrow fee accrue per unit of base and side. Profit is
        realised into the account's cash at the Clearinghouse when a position shrinks; cost is averaged when it grows.

        Actors: a trader trades its own account; anyone synchronises a market; CLOSER (Liquidator, Deleverager,
        CloseQueue) closes and moves positions of others, by rules of its own; HEDGER (Carry) adds to funding what holding
        the hedge costs; the guardian pauses markets and lowers caps; governor and deployer list markets and set their parameters.

        Invariants: I2 open interest and claims equal the sums over positions exactly. I9 a trade that strictly
        reduces a position without flipping it is never refused for caps, size or pause, nor for margin unless options
        that it hedged are kept. CLOSER can shrink a position, and move it to an account that has none on the other
        side; it cannot flip one, nor open one otherwise. `quote` and `trade` run the same code, so they agree to the
        wei.
@dev    Order of a trade: checks, mark, accrue and realise (`_plan`), inventory, `_conclude`, save, log, settle,
        margin. Inside another operation the Clearinghouse refuses to settle; before that nobody is called but the
        contracts named here. All state is written and settled before margin is checked: here if the account has no
        other position, else by Margin, which reads `legs` back while this contract is locked.
@custom:kill The guardian pauses a market: positions can then only shrink. Nothing stops closing but a stale oracle.
"""

from interfaces import IClearinghouse
from interfaces import IInventory
from interfaces import IMargin
from interfaces import IPerpEngine
from interfaces import IPriceOracle
from contracts import constants as c
from contracts.clearing import requirement
from contracts.governance import roles
from contracts.math import signed
from contracts.perps import funding
from contracts.perps import markets
from contracts.perps import positions

implements: IPerpEngine

initializes: roles
initializes: markets
initializes: funding
initializes: positions

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

struct Plan:
    config: uint256             # word of markets.vy
    book: funding.Book          # after, but for the rates that Inventory will answer
    touch: positions.Touch
    change: IInventory.Change   # what Inventory is asked

struct Fill:
    outcome: IPerpEngine.Outcome
    settlement: IClearinghouse.Settlement
    config: uint256             # word of markets.vy
    notional: uint256           # [quote, WAD] at mark
    closing: bool               # strictly reduces the position and does not flip it


# A size or price beyond these cannot be stored or does not bind.
MAX_SIZE: constant(int256) = 2**95 - 1
MAX_LIMIT: constant(uint256) = 2**128

CLEARINGHOUSE: immutable(IClearinghouse)
INVENTORY: immutable(IInventory)
ORACLE: immutable(IPriceOracle)


@deploy
def __init__(admin: address, setup: address, clearinghouse: address, inventory: address, oracle: address):
    roles.__init__(admin, setup)
    CLEARINGHOUSE = IClearinghouse(clearinghouse)
    INVENTORY = IInventory(inventory)
    ORACLE = IPriceOracle(oracle)


# ------------------------------------------------------------------ permissionless


@external
def trade(market: uint256, size_delta: int256, limit_price: uint256, deadline: uint256) -> IPerpEngine.Outcome:
    """
    @notice Changes the caller's position.
    @param size_delta [base, WAD] > 0 buys
    @param limit_price [quote/base, WAD] worst average price, spread and charge included; for no limit the largest
           number when buying, 0 when selling
    @param deadline [s]
    """
    assert block.timestamp <= deadline, "perps: expired"
    mark: IPriceOracle.Mark = extcall ORACLE.sync(market)
    fill: Fill = self._fill(msg.sender, market, size_delta, mark, max_value(int256), False)
    extra: int256 = convert(fill.outcome.half_spread, int256) + fill.outcome.charge
    self._check_limit(size_delta, limit_price, mark.price, fill.notional, extra)
    cash: int256 = 0
    mask: uint256 = 0
    cash, mask = extcall CLEARINGHOUSE.settle(msg.sender, fill.settlement)
    if fill.closing:
        # less of a perpetual asks for less, unless it was a hedge of options
        if mask >> c.OPTION_BIT != 0:
            self._check_close(msg.sender, market, size_delta, cash, mask)
    elif mask == 1 << market:
        # the position just written is the only one, and what it owed has just been paid
        equity: int256 = cash + requirement._value(fill.outcome.size, fill.outcome.cost, 0, mark.price)
        initial: uint256 = requirement._required(
            fill.outcome.size, mark.price, markets._initial_bps(fill.config)
        ) + requirement._exit_cost(
            fill.outcome.size, mark.price, mark.sigma, markets._cap_quote(fill.config)
        )
        assert equity >= convert(initial, int256), "margin: below initial"
    else:
        self._sync_others(mask, market, True)
        margin: IMargin = IMargin(staticcall CLEARINGHOUSE.margin())
        assert staticcall margin.check_initial(msg.sender, cash, mask), "margin: below initial"
    return fill.outcome


@external
def sync(market: uint256):
    """
    @notice Accrues a market to now and takes over the rates that follow from the inventory of now.
    """
    mark: IPriceOracle.Mark = extcall ORACLE.sync(market)
    self._sync(market, mark, markets._carry(self._check_tradable(market, mark.fresh)))


# ------------------------------------------------------------------ privileged: positions of others


@external
def close_for(
    account: address, market: uint256, size_delta: int256, most_cost: int256, checked: bool
) -> IPerpEngine.Outcome:
    """
    @notice `trade` of another account that shrinks its position and does not flip it.
    @param size_delta [base, WAD] > 0 buys
    @param most_cost [quote, WAD] of spread and charge: what the charge is beyond, the reserve goes without: if
           it is, the caller has Inventory measure what the reserve covers (`sync`)
    @param checked whether Margin judges what it hedged, as it does for `trade`; else nobody does
    """
    roles._check(roles.Role.CLOSER)
    return self._close(account, market, size_delta, most_cost, False, checked)


@external
def deleverage(account: address, market: uint256, size_delta: int256) -> IPerpEngine.Outcome:
    """
    @notice Shrinks a position at the mark, without spread: what the reserve asks for a rise of the potential LPs pay,
            what it gives for a fall they get.
    @param size_delta [base, WAD] > 0 buys
    """
    roles._check(roles.Role.CLOSER)
    return self._close(account, market, size_delta, 0, True, False)


@external
def transfer(giver: address, taker: address, market: uint256, size: int256):
    """
    @notice Moves a part of an account's position to another at the mark: the giver realises it, the taker enters there.
    @dev    The vault's exposure and open interest stay as they are, so there is neither spread nor charge, and caps,
            minimum size and pause do not apply. What rounding leaves, less than three wei, is the LPs'. Margin of both
            accounts is the caller's to check.
    @param size [base, WAD] in the sign of the giver's position, at most that
    """
    roles._check(roles.Role.CLOSER)
    assert giver != taker, "perps: same account"
    mark: IPriceOracle.Mark = extcall ORACLE.sync(market)
    carry: int256 = markets._carry(self._check_tradable(market, mark.fresh))
    given: positions.Position = positions._load(giver, market)
    assert (size > 0 and size <= given.size) or (size < 0 and size >= given.size), "perps: not closing"
    taken: positions.Position = positions._load(taker, market)
    assert taken.size == 0 or (taken.size > 0) == (size > 0), "perps: taker is on the other side"
    book: funding.Book = funding._load(market)
    claims_before: int256 = book.claims
    book = funding._accrue(book, mark.price, block.timestamp)
    gave: positions.Touch = positions._apply(given, -size, mark.price, book.index_long, book.index_short)
    took: positions.Touch = positions._apply(taken, size, mark.price, book.index_long, book.index_short)
    book.claims += gave.claims + took.claims
    of_giver: IClearinghouse.Settlement = self._settlement(market, gave)
    book, of_giver.reserve = self._save_claims(market, mark, book, claims_before, carry)
    positions._save(giver, market, gave.position)
    positions._save(taker, market, took.position)
    log IPerpEngine.Transferred(
        giver=giver,
        taker=taker,
        market=market,
        size=size,
        price=mark.price,
        realised=gave.realised,
        giver_owed=gave.owed,
        giver_size=gave.position.size,
        giver_cost=gave.position.cost,
        taker_owed=took.owed,
        taker_size=took.position.size,
        taker_cost=took.position.cost,
        index_long=book.index_long,
        index_short=book.index_short,
        funding_rate=book.funding_rate,
        borrow_rate=book.borrow_rate,
    )
    extcall CLEARINGHOUSE.settle(giver, of_giver)
    extcall CLEARINGHOUSE.settle(taker, self._settlement(market, took))


# ------------------------------------------------------------------ privileged: carry


@external
def set_carry(market: uint256, rate: int256):
    """
    @notice From now on funding is what Inventory asks plus this; until now it accrues at the rates that were.
    @param rate [1/year, WAD] > 0: shorts pay; at most MAX_CARRY either way, truncated toward zero to 1e-4
    """
    roles._check(roles.Role.HEDGER)
    assert rate <= c.MAX_CARRY and rate >= -c.MAX_CARRY, "perps: carry range"
    mark: IPriceOracle.Mark = extcall ORACLE.sync(market)
    self._check_tradable(market, mark.fresh)
    markets._save_carry(market, rate)
    stored: int256 = markets._carry(markets._word(market))
    log IPerpEngine.CarrySet(market=market, rate=stored)
    self._sync(market, mark, stored)


# ------------------------------------------------------------------ privileged: markets


@external
def list_market(market: uint256, params: IPerpEngine.MarketParams):
    """
    @notice Opens a market under the id it has at the oracle and at Inventory.
    """
    roles._check(roles.Role.GOVERNOR | roles.Role.SETUP)
    config: markets.Config = markets._load(market)
    assert not config.listed, "perps: already listed"
    config.listed = True
    config.params = params
    markets._save(market, config)
    markets.listed_mask |= 1 << market
    book: funding.Book = empty(funding.Book)
    book.time = block.timestamp
    funding._save(market, book)
    log IPerpEngine.MarketListed(market=market)
    log IPerpEngine.MarketParamsSet(market=market, params=params)


@external
def set_params(market: uint256, params: IPerpEngine.MarketParams):
    """
    @notice Replaces a market's parameters, inside the immutable bounds of markets.vy.
    """
    roles._check(roles.Role.GOVERNOR | roles.Role.SETUP | roles.Role.STEWARD)
    self._set_params(market, params)


@external
def lower_caps(market: uint256, cap_base: uint256, cap_quote: uint256):
    """
    @notice Tightens a market's caps.
    @param cap_base [base, WAD] per side
    @param cap_quote [quote, WAD] per side
    """
    roles._check(roles.Role.GUARDIAN | roles.Role.GOVERNOR)
    params: IPerpEngine.MarketParams = markets._load(market).params
    assert cap_base <= params.cap_base and cap_quote <= params.cap_quote, "perps: caps can only fall"
    params.cap_base = cap_base
    params.cap_quote = cap_quote
    self._set_params(market, params)


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


# ------------------------------------------------------------------ views


@external
@view
def quote(account: address, market: uint256, size_delta: int256) -> IPerpEngine.Outcome:
    """
    @notice What `trade` would do for this account in this block, to the wei.
    """
    assert not staticcall CLEARINGHOUSE.in_progress(), "clearing: in progress"
    mark: IPriceOracle.Mark = staticcall ORACLE.peek(market)
    plan: Plan = self._plan(account, market, size_delta, mark)
    return self._conclude(
        plan.touch, plan.config, mark.price, staticcall INVENTORY.quote(market, mark, plan.change)
    )


@external
@view
@reentrant
def legs(account: address, mask: uint256) -> DynArray[IPerpEngine.Leg, c.MAX_MARKETS]:
    """
    @notice The account's positions in the markets of `mask`, accrued to now at the last accepted mark.
    @dev    Not locked: Margin reads it while a trade holds the lock, after the trade has written all its state; readers
            outside an operation come through `Margin.health`, which refuses while one is under way.
    """
    result: DynArray[IPerpEngine.Leg, c.MAX_MARKETS] = []
    for market: uint256 in range(c.MAX_MARKETS):
        if mask >> market == 0:
            break
        if (mask >> market) & 1 == 0:
            continue
        position: positions.Position = positions._load(account, market)
        book: funding.Book = funding._load(market)
        if book.time != block.timestamp:
            mark: IPriceOracle.Mark = staticcall ORACLE.last(market)
            book = funding._accrue(book, mark.price, block.timestamp)
        config: uint256 = markets._word(market)
        result.append(
            IPerpEngine.Leg(
                market=market,
                size=position.size,
                cost=position.cost,
                owed=positions._owed(position, book.index_long, book.index_short),
                initial_bps=markets._initial_bps(config),
                maintenance_bps=markets._maintenance_bps(config),
                cap_quote=markets._cap_quote(config),
            )
        )
    return result


@external
@view
def book_value(prices: DynArray[uint256, c.MAX_MARKETS]) -> int256:
    """
    @notice What traders owe the vault in all markets, marks included, accrued to now.
    @dev    Believes its argument: whoever asks with other prices gets an answer about them, and nobody else does.
    @param prices [quote/base, WAD] what PriceOracle.peek answers now, market by market
    @return [quote, WAD] rounded down
    """
    value: int256 = 0
    market: uint256 = 0
    for price: uint256 in prices:
        book: funding.Book = funding._load(market)
        # without positions claims are 0 (I2)
        if book.long != 0 or book.short != 0:
            book = funding._accrue(book, price, block.timestamp)
            net: int256 = convert(book.long, int256) - convert(book.short, int256)
            value += funding._claims_wad(book.claims) - signed.mul_ceil(net, convert(price, int256))
        market += 1
    return value


@external
@view
def position(account: address, market: uint256) -> positions.Position:
    """
    @return the stored position; `legs` adds what it owes
    """
    assert market < c.MAX_MARKETS, "perps: not listed"
    return positions._load(account, market)


@external
@view
def book(market: uint256) -> funding.Book:
    """
    @return the stored aggregates of a market, accrued until `time`
    """
    assert market < c.MAX_MARKETS, "perps: not listed"
    return funding._load(market)


@external
@view
def accrued(market: uint256) -> (uint256, uint256, int256, int256):
    """
    @return open interest long and short [base, WAD], and the indices of both sides [1e-9 quote per base], accrued to
            now at the last accepted mark
    """
    assert market < c.MAX_MARKETS, "perps: not listed"
    mark: IPriceOracle.Mark = staticcall ORACLE.last(market)
    book: funding.Book = funding._accrue(funding._load(market), mark.price, block.timestamp)
    return book.long, book.short, book.index_long, book.index_short


@external
@view
def penalty_bps(market: uint256) -> uint256:
    """
    @return [bps of notional] of a liquidation
    """
    return markets._penalty_bps(markets._word(market))


@external
@view
def min_size(market: uint256) -> uint256:
    """
    @return [base, WAD] of a position after a trade that is not closing
    """
    return markets._min_size(markets._word(market))


@external
@view
def config(market: uint256) -> markets.Config:
    """
    @return parameters and switches of a market
    """
    return markets._load(market)


@external
@view
def carry(market: uint256) -> int256:
    """
    @return [1/year, WAD] what holding the hedge adds to funding; > 0: shorts pay
    """
    return markets._carry(markets._word(market))


@external
@view
def listed_mask() -> uint256:
    """
    @return bit i is set if market i is listed
    """
    return markets.listed_mask


@external
@view
def clearinghouse() -> address:
    """@return the ledger"""
    return CLEARINGHOUSE.address


@external
@view
def inventory() -> address:
    """@return the price of risk"""
    return INVENTORY.address


@external
@view
def oracle() -> address:
    """@return the price of the underlyings"""
    return ORACLE.address


# ------------------------------------------------------------------ internal


@internal
def _fill(
    account: address,
    market: uint256,
    size_delta: int256,
    mark: IPriceOracle.Mark,
    most_cost: int256,
    at_mark: bool,
) -> Fill:
    """
    @notice A trade but for its settlement: plans it, reports it to Inventory, writes and logs it.
    @param most_cost [quote, WAD] of spread and charge: what the charge is beyond, the reserve goes without
    @param at_mark the account pays no spread, and LPs pay the charge
    """
    plan: Plan = self._plan(account, market, size_delta, mark)
    answer: IInventory.Quote = extcall INVENTORY.trade(market, mark, plan.change)
    if not at_mark:
        answer.charge = min(answer.charge, max(most_cost - convert(answer.half_spread, int256), 0))
    reserve: int256 = answer.charge - convert(answer.release, int256)
    if at_mark:
        answer.half_spread = 0
        answer.charge = 0
    outcome: IPerpEngine.Outcome = self._conclude(plan.touch, plan.config, mark.price, answer)
    plan.book.funding_rate = outcome.funding_rate
    plan.book.borrow_rate = outcome.borrow_rate
    funding._save(market, plan.book)
    positions._save(account, market, plan.touch.position)
    log IPerpEngine.Trade(
        account=account,
        market=market,
        size_delta=size_delta,
        price=outcome.price,
        half_spread=outcome.half_spread,
        charge=outcome.charge,
        realised=outcome.realised,
        owed=outcome.owed,
        size=outcome.size,
        cost=outcome.cost,
        index_long=plan.book.index_long,
        index_short=plan.book.index_short,
        funding_rate=outcome.funding_rate,
        borrow_rate=outcome.borrow_rate,
    )
    opened: uint256 = 1 << market
    closed: uint256 = 0
    if outcome.size == 0:
        closed = opened
        opened = 0
    return Fill(
        outcome=outcome,
        settlement=IClearinghouse.Settlement(
            cash=outcome.cash,
            reserve=reserve,
            fees=outcome.fees,
            opened=opened,
            closed=closed,
            payables=0,
        ),
        config=plan.config,
        notional=plan.change.notional,
        closing=plan.change.closing,
    )


@internal
@view
def _plan(account: address, market: uint256, size_delta: int256, mark: IPriceOracle.Mark) -> Plan:
    """
    @notice Loads, accrues and applies the trade at mark, in memory; refuses what is refused whatever Inventory answers.
    @dev    Unchecked: prices, sizes and open interest have at most 96 bits, claims 144, so no product reaches 2**192.
    """
    assert size_delta != 0, "perps: zero size"
    assert size_delta <= MAX_SIZE and size_delta >= -MAX_SIZE, "perps: size range"
    config: uint256 = self._check_tradable(market, mark.fresh)
    book: funding.Book = funding._load(market)
    claims_before: int256 = book.claims
    book = funding._accrue(book, mark.price, block.timestamp)
    before: positions.Position = positions._load(account, market)
    touch: positions.Touch = positions._apply(
        before, size_delta, mark.price, book.index_long, book.index_short
    )
    after: int256 = touch.position.size
    closing: bool = False
    # I2: open interest of a side is the sum of its positions, so what a position leaves is there
    if before.size > 0:
        book.long = unsafe_sub(book.long, convert(before.size, uint256))
        closing = size_delta < 0 and after >= 0
    elif before.size < 0:
        book.short = unsafe_sub(book.short, convert(unsafe_sub(0, before.size), uint256))
        closing = size_delta > 0 and after <= 0
    size: uint256 = 0           # magnitude of the position, after
    interest: uint256 = 0       # of its side
    if after > 0:
        size = convert(after, uint256)
        interest = unsafe_add(book.long, size)
        book.long = interest
    elif after < 0:
        size = convert(unsafe_sub(0, after), uint256)
        interest = unsafe_add(book.short, size)
        book.short = interest
    if not closing:
        assert config & markets.PAUSED == 0, "perps: paused"
        # 96 bits each
        assert unsafe_mul(mark.half_width, c.WIDE) <= mark.price, "oracle: price too uncertain"
        self._check_caps(config, size, interest, mark.price)
    book.claims = unsafe_add(book.claims, touch.claims)

    # The vault is on the other side: it gives size_delta away, and claims take the place of what that is worth at mark.
    value: uint256 = unsafe_mul(convert(abs(size_delta), uint256), mark.price)      # [WAD**2]
    notional: uint256 = unsafe_div(unsafe_add(value, c.WAD - 1), c.WAD)
    worth: int256 = 0                                                               # of size_delta, rounded up
    if size_delta > 0:
        worth = convert(notional, int256)
    else:
        worth = unsafe_sub(0, convert(unsafe_div(value, c.WAD), int256))
    claims_added: int256 = unsafe_sub(funding._claims_wad(book.claims), funding._claims_wad(claims_before))
    return Plan(
        config=config,
        book=book,
        touch=touch,
        change=IInventory.Change(
            exposure=IInventory.Exposure(delta=unsafe_sub(0, size_delta), gamma=0, vega=0),
            options=False,
            stress=empty(int256[8]),
            notional=notional,
            book=unsafe_sub(claims_added, worth),
            vol_age=0,
            closing=closing,
        ),
    )


@internal
@view
def _conclude(
    touch: positions.Touch, config: uint256, price: uint256, answer: IInventory.Quote
) -> IPerpEngine.Outcome:
    """@notice What was planned and what Inventory answered."""
    # realised and owed are below 2**192; Inventory's funding is within its ceiling, a carry is within MAX_CARRY
    result: int256 = unsafe_sub(touch.realised, touch.owed)
    return IPerpEngine.Outcome(
        price=price,
        size=touch.position.size,
        cost=touch.position.cost,
        realised=touch.realised,
        owed=touch.owed,
        half_spread=answer.half_spread,
        charge=answer.charge,
        fees=answer.half_spread * markets._fee_share_bps(config) // c.BPS,
        cash=result - convert(answer.half_spread, int256) - answer.charge,
        funding_rate=funding._stored_funding(unsafe_add(answer.funding_rate, markets._carry(config))),
        borrow_rate=funding._stored_borrow(answer.borrow_rate),
    )


@internal
@view
def _check_tradable(market: uint256, fresh: bool) -> uint256:
    """@return the market's word of markets.vy"""
    config: uint256 = markets._word(market)
    assert config & markets.LISTED != 0, "perps: not listed"
    assert fresh, "oracle: stale price"
    return config


@internal
@pure
def _check_caps(config: uint256, size: uint256, interest: uint256, price: uint256):
    """
    @param interest [base, WAD] of the side that the position is on, the one that grew: a trade that leaves no position
            is closing
    """
    assert size >= markets._min_size(config), "perps: below minimum size"
    assert interest <= markets._cap_base(config), "perps: base cap"
    # interest, price and cap are below 2**104 each; interest * price / WAD, rounded up, is at most a cap iff it is exactly
    assert unsafe_mul(interest, price) <= unsafe_mul(markets._cap_quote(config), c.WAD), "perps: quote cap"


@internal
@pure
def _check_limit(size_delta: int256, limit_price: uint256, price: uint256, notional: uint256, extra: int256):
    """
    @notice Buying must cost at most, selling must bring at least, size * limit, spread and charge included.
    @dev    Unchecked: size is below 2**95, the price below 2**96, the limit at most 2**128.
    @param notional [quote, WAD] of size_delta at the price, rounded up
    @param extra [quote, WAD] spread and charge
    """
    limit: int256 = convert(min(limit_price, MAX_LIMIT), int256)
    if size_delta > 0:
        cost: int256 = convert(notional, int256) + extra
        assert cost <= unsafe_div(unsafe_mul(size_delta, limit), c.SWAD), "perps: limit price"
    elif limit != 0:
        size: int256 = unsafe_sub(0, size_delta)
        proceeds: int256 = unsafe_div(unsafe_mul(size, convert(price, int256)), c.SWAD) - extra
        assert proceeds >= signed.ceil_div(unsafe_mul(size, limit), c.SWAD), "perps: limit price"


@internal
def _close(
    account: address, market: uint256, size_delta: int256, most_cost: int256, at_mark: bool, checked: bool
) -> IPerpEngine.Outcome:
    """@notice A settled trade that only closes."""
    mark: IPriceOracle.Mark = extcall ORACLE.sync(market)
    fill: Fill = self._fill(account, market, size_delta, mark, most_cost, at_mark)
    assert fill.closing, "perps: not closing"
    cash: int256 = 0
    mask: uint256 = 0
    cash, mask = extcall CLEARINGHOUSE.settle(account, fill.settlement)
    if checked and mask >> c.OPTION_BIT != 0:
        self._check_close(account, market, size_delta, cash, mask)
    return fill.outcome


@internal
def _check_close(account: address, market: uint256, size_delta: int256, cash: int256, mask: uint256):
    """
    @notice Has Margin judge an account that has shrunk a position and has options, at whatever marks there are.
    @param cash [quote, WAD] and its mask: the account's, after
    """
    self._sync_others(mask, market, False)
    margin: IMargin = IMargin(staticcall CLEARINGHOUSE.margin())
    assert staticcall margin.check_close(
        account, cash, mask, market, -size_delta, []
    )   # dev: gives its own reason


@internal
def _sync(market: uint256, mark: IPriceOracle.Mark, carry: int256):
    """@notice Accrues at the rates that were; those from now on are Inventory's and the carry."""
    before: funding.Book = funding._load(market)
    book: funding.Book = funding._accrue(before, mark.price, block.timestamp)
    settlement: IClearinghouse.Settlement = empty(IClearinghouse.Settlement)
    book, settlement.reserve = self._save_claims(market, mark, book, before.claims, carry)
    extcall CLEARINGHOUSE.settle(empty(address), settlement)
    log IPerpEngine.Accrued(
        market=market,
        index_long=book.index_long,
        index_short=book.index_short,
        funding_rate=book.funding_rate,
        borrow_rate=book.borrow_rate,
    )


@internal
def _save_claims(
    market: uint256, mark: IPriceOracle.Mark, accrued: funding.Book, claims_before: int256, carry: int256
) -> (funding.Book, int256):
    """
    @notice Saves a market whose open interest has not changed: tells Inventory what became of claims, takes its rates.
    @param carry [1/year, WAD] added to Inventory's funding
    @return the book saved; [quote, WAD] what the reserve gains: less what Inventory releases
    """
    book: funding.Book = accrued
    change: IInventory.Change = empty(IInventory.Change)
    change.book = funding._claims_wad(book.claims) - funding._claims_wad(claims_before)
    answer: IInventory.Quote = extcall INVENTORY.trade(market, mark, change)
    assert answer.charge == 0 and answer.half_spread == 0   # dev: no exposure, no charge
    book.funding_rate = funding._stored_funding(unsafe_add(answer.funding_rate, carry))
    book.borrow_rate = funding._stored_borrow(answer.borrow_rate)
    funding._save(market, book)
    return book, -convert(answer.release, int256)


@internal
@pure
def _settlement(market: uint256, touch: positions.Touch) -> IClearinghouse.Settlement:
    """@return what a touched position settles at the mark, without spread, charge or release"""
    settlement: IClearinghouse.Settlement = empty(IClearinghouse.Settlement)
    settlement.cash = touch.realised - touch.owed
    if touch.position.size == 0:
        settlement.closed = 1 << market
    else:
        settlement.opened = 1 << market
    return settlement


@internal
def _sync_others(mask: uint256, market: uint256, fresh: bool):
    """
    @notice Synchronises all other markets that the account is in, with perpetuals or with options.
    @param fresh whether every mark must be fit to trade on
    """
    others: uint256 = (mask | (mask >> c.OPTION_BIT)) & c.MARKETS & ~(1 << market)
    for other: uint256 in range(c.MAX_MARKETS):
        if others >> other == 0:
            break
        if (others >> other) & 1 == 1:
            mark: IPriceOracle.Mark = extcall ORACLE.sync(other)
            assert mark.fresh or not fresh, "oracle: stale price"


@internal
def _set_params(market: uint256, params: IPerpEngine.MarketParams):
    config: markets.Config = markets._load(market)
    assert config.listed, "perps: not listed"
    config.params = params
    markets._save(market, config)
    log IPerpEngine.MarketParamsSet(market=market, params=params)


@internal
def _set_paused(market: uint256, paused: bool):
    config: markets.Config = markets._load(market)
    assert config.listed, "perps: not listed"
    config.paused = paused
    markets._save(market, config)
    log IPerpEngine.MarketPaused(market=market, paused=paused)

