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

        Actors: a trader trades its own account; anyone synchronises a market or liquidates an account below maintenance;
        the guardian pauses markets and lowers caps; governor and deployer list markets and set their parameters.

        Invariants: I2 open interest and claims equal the sums over positions exactly. I9 an account is liquidatable iff
        its equity is below maintenance; a trade that strictly reduces a position without flipping it is never refused
        for margin, caps, size or pause. `quote` and `trade` run the same code, so they agree to the wei.
@dev    Order of a trade: checks, begin, mark, accrue and realise (`_plan`), inventory, `_conclude`, save, settle, log.
        All state is written before the Clearinghouse asks Margin, which reads `legs` back while this contract is locked.
@custom:kill The guardian pauses a market: positions can then only shrink. Nothing stops closing but a stale oracle.
"""

from interfaces import IClearinghouse
from interfaces import IInventory
from interfaces import IMargin
from interfaces import IPerpEngine
from interfaces import IPriceOracle
from contracts import constants as c
from contracts.governance import roles
from contracts.math import signed
from contracts.math import wad
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
    account: address
    market: uint256
    params: IPerpEngine.MarketParams
    book: funding.Book          # after, but for the rates that Inventory will answer
    position: positions.Position    # after
    realised: int256            # [quote, WAD]
    owed: int256                # [quote, WAD]
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
    @param limit_price [quote/base, WAD] worst average price, spread and charge included; for no limit the largest number
           when buying, 0 when selling
    @param deadline [s]
    """
    assert block.timestamp <= deadline, "perps: expired"
    extcall CLEARINGHOUSE.begin()
    mark: IPriceOracle.Mark = extcall ORACLE.sync(market)
    plan: Plan = empty(Plan)
    change: IInventory.Change = empty(IInventory.Change)
    plan, change = self._plan(msg.sender, market, size_delta, mark)
    if not plan.closing:
        self._sync_others(msg.sender, market)
    answer: IInventory.Quote = extcall INVENTORY.trade(market, mark, change)
    outcome: IPerpEngine.Outcome = self._conclude(plan, answer, mark.price)
    self._check_limit(size_delta, limit_price, outcome)
    self._save(plan, outcome)
    cash: int256 = extcall CLEARINGHOUSE.settle(
        msg.sender, self._settlement(plan, outcome, answer.release)
    )
    self._log_trade(plan, outcome, size_delta)
    return outcome


@external
def liquidate(account: address, market: uint256) -> uint256:
    """
    @notice Closes the whole position of an account below maintenance at the vault's quote.
    @dev    The penalty is split between the caller's ledger cash and insurance; at most the equity that the account is left with:
            cash that has to cover losses of its other positions is not the account's to pay with.
    @return [quote, WAD] penalty paid
    """
    extcall CLEARINGHOUSE.begin()
    mark: IPriceOracle.Mark = extcall ORACLE.sync(market)
    size: int256 = positions._load(account, market).size
    assert size != 0, "perps: no position"
    health: IMargin.Health = self._sync_and_assess(account, market)
    assert health.equity < convert(health.maintenance, int256), "perps: account is healthy"
    plan: Plan = empty(Plan)
    change: IInventory.Change = empty(IInventory.Change)
    plan, change = self._plan(account, market, -size, mark)
    answer: IInventory.Quote = extcall INVENTORY.trade(market, mark, change)
    outcome: IPerpEngine.Outcome = self._conclude(plan, answer, mark.price)
    self._save(plan, outcome)
    left: int256 = health.equity - convert(outcome.half_spread, int256) - outcome.charge
    penalty: uint256 = min(
        wad.mul_div_up(change.notional, plan.params.penalty_bps, c.BPS), convert(max(left, 0), uint256)
    )
    paid: uint256 = extcall CLEARINGHOUSE.settle_liquidation(
        account, self._settlement(plan, outcome, answer.release), penalty, msg.sender
    )
    self._log_trade(plan, outcome, -size)
    log IPerpEngine.Liquidated(
        account=account,
        market=market,
        liquidator=msg.sender,
        size=size,
        equity=health.equity,
        maintenance=health.maintenance,
        penalty=paid,
    )
    return paid


@external
def sync(market: uint256):
    """
    @notice Accrues a market to now and takes over the rates that follow from the inventory of now.
    """
    extcall CLEARINGHOUSE.begin()
    mark: IPriceOracle.Mark = extcall ORACLE.sync(market)
    self._check_tradable(market, mark)
    before: funding.Book = funding._load(market)
    book: funding.Book = funding._accrue(before, mark.price, block.timestamp)
    change: IInventory.Change = empty(IInventory.Change)
    change.book = funding._claims_wad(book.claims) - funding._claims_wad(before.claims)
    answer: IInventory.Quote = extcall INVENTORY.trade(market, mark, change)
    assert answer.charge == 0 and answer.half_spread == 0   # dev: no exposure, no charge
    book.funding_rate = funding._stored_funding(answer.funding_rate)
    book.borrow_rate = funding._stored_borrow(answer.borrow_rate)
    funding._save(market, book)
    settlement: IClearinghouse.Settlement = empty(IClearinghouse.Settlement)
    settlement.reserve = -convert(answer.release, int256)
    cash: int256 = extcall CLEARINGHOUSE.settle(empty(address), settlement)
    self._log_accrued(market, book)


# ------------------------------------------------------------------ privileged


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
    roles._check(roles.Role.GOVERNOR | roles.Role.SETUP)
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
    plan: Plan = empty(Plan)
    change: IInventory.Change = empty(IInventory.Change)
    plan, change = self._plan(account, market, size_delta, mark)
    return self._conclude(plan, staticcall INVENTORY.quote(market, mark, change), mark.price)


@external
@view
@reentrant
def legs(account: address, mask: uint256) -> DynArray[IPerpEngine.Leg, 16]:
    """
    @notice The account's positions in the markets of `mask`, accrued to now at the last accepted mark.
    @dev    Not locked: Margin reads it during `settle`, while a trade holds the lock. By then the trade has written all its
            state; readers outside an operation come through `Margin.health`, which refuses while one is under way.
    """
    result: DynArray[IPerpEngine.Leg, 16] = []
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
        params: IPerpEngine.MarketParams = markets._load(market).params
        result.append(
            IPerpEngine.Leg(
                market=market,
                size=position.size,
                cost=position.cost,
                owed=positions._owed(position, book.index_long, book.index_short),
                initial_bps=params.initial_bps,
                maintenance_bps=params.maintenance_bps,
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
def config(market: uint256) -> markets.Config:
    """
    @return parameters and switches of a market
    """
    return markets._load(market)


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
@view
def _plan(
    account: address, market: uint256, size_delta: int256, mark: IPriceOracle.Mark
) -> (Plan, IInventory.Change):
    """
    @notice Loads, accrues and applies the trade at mark, in memory; refuses what is refused whatever Inventory answers.
    """
    assert size_delta != 0, "perps: zero size"
    assert size_delta <= MAX_SIZE and size_delta >= -MAX_SIZE, "perps: size range"
    config: markets.Config = self._check_tradable(market, mark)
    book: funding.Book = funding._load(market)
    claims_before: int256 = funding._claims_wad(book.claims)
    book = funding._accrue(book, mark.price, block.timestamp)
    before: positions.Position = positions._load(account, market)
    touch: positions.Touch = positions._apply(
        before, size_delta, mark.price, book.index_long, book.index_short
    )
    after: int256 = touch.position.size
    book.claims += touch.claims
    if before.size > 0:
        book.long -= convert(before.size, uint256)
    else:
        book.short -= convert(-before.size, uint256)
    if after > 0:
        book.long += convert(after, uint256)
    else:
        book.short += convert(-after, uint256)
    closing: bool = (before.size > 0 and size_delta < 0 and after >= 0) or (
        before.size < 0 and size_delta > 0 and after <= 0
    )
    if not closing:
        assert not config.paused, "perps: paused"
        self._check_caps(config.params, after, book, mark.price)
    return Plan(
        account=account,
        market=market,
        params=config.params,
        book=book,
        position=touch.position,
        realised=touch.realised,
        owed=touch.owed,
        closing=closing,
    ), IInventory.Change(
        exposure=IInventory.Exposure(delta=-size_delta, gamma=0, vega=0),
        options=False,
        stress=empty(int256[8]),
        notional=wad.mul_up(signed.magnitude(size_delta), mark.price),
        book=funding._claims_wad(book.claims)
        - claims_before
        + signed.mul_floor(-size_delta, convert(mark.price, int256)),
        vol_age=0,
        closing=closing,
    )


@internal
@view
def _conclude(plan: Plan, answer: IInventory.Quote, price: uint256) -> IPerpEngine.Outcome:
    """@notice Adds what Inventory answered to the plan."""
    return IPerpEngine.Outcome(
        price=price,
        size=plan.position.size,
        cost=plan.position.cost,
        realised=plan.realised,
        owed=plan.owed,
        half_spread=answer.half_spread,
        charge=answer.charge,
        fees=answer.half_spread * plan.params.fee_share_bps // c.BPS,
        cash=plan.realised - plan.owed - convert(answer.half_spread, int256) - answer.charge,
        funding_rate=funding._stored_funding(answer.funding_rate),
        borrow_rate=funding._stored_borrow(answer.borrow_rate),
    )


@internal
def _save(plan: Plan, outcome: IPerpEngine.Outcome):
    book: funding.Book = plan.book
    book.funding_rate = outcome.funding_rate
    book.borrow_rate = outcome.borrow_rate
    funding._save(plan.market, book)
    positions._save(plan.account, plan.market, plan.position)


@internal
@pure
def _settlement(
    plan: Plan, outcome: IPerpEngine.Outcome, release: uint256
) -> IClearinghouse.Settlement:
    bit: uint256 = 1 << plan.market
    opened: uint256 = bit
    closed: uint256 = 0
    if plan.position.size == 0:
        opened = 0
        closed = bit
    return IClearinghouse.Settlement(
        cash=outcome.cash,
        reserve=outcome.charge - convert(release, int256),
        fees=outcome.fees,
        opened=opened,
        closed=closed,
        check_margin=not plan.closing,
    )


@internal
@view
def _check_tradable(market: uint256, mark: IPriceOracle.Mark) -> markets.Config:
    config: markets.Config = markets._load(market)
    assert config.listed, "perps: not listed"
    assert mark.fresh, "oracle: stale price"
    return config


@internal
@pure
def _check_caps(params: IPerpEngine.MarketParams, size: int256, book: funding.Book, price: uint256):
    """
    @dev The side that grew is the side the position is on: a trade that leaves none is closing.
    """
    interest: uint256 = book.long
    if size < 0:
        interest = book.short
    assert signed.magnitude(size) >= params.min_size, "perps: below minimum size"
    assert interest <= params.cap_base, "perps: base cap"
    assert wad.mul_up(interest, price) <= params.cap_quote, "perps: quote cap"


@internal
@pure
def _check_limit(size_delta: int256, limit_price: uint256, outcome: IPerpEngine.Outcome):
    """
    @notice Buying must cost at most, selling must bring at least, size * limit, spread and charge included.
    """
    limit: uint256 = min(limit_price, MAX_LIMIT)
    extra: int256 = convert(outcome.half_spread, int256) + outcome.charge
    if size_delta > 0:
        size: uint256 = convert(size_delta, uint256)
        cost: int256 = convert(wad.mul_up(size, outcome.price), int256) + extra
        assert cost <= convert(wad.mul_down(size, limit), int256), "perps: limit price"
    else:
        size: uint256 = convert(-size_delta, uint256)
        proceeds: int256 = convert(wad.mul_down(size, outcome.price), int256) - extra
        assert limit == 0 or proceeds >= convert(wad.mul_up(size, limit), int256), "perps: limit price"


@internal
def _sync_others(account: address, market: uint256):
    """@notice Takes new marks for every other market in which the account has a position."""
    cash: int256 = 0
    mask: uint256 = 0
    cash, mask = staticcall CLEARINGHOUSE.account(account)
    self._sync_mask(mask & ~(1 << market))


@internal
def _sync_and_assess(account: address, market: uint256) -> IMargin.Health:
    cash: int256 = 0
    mask: uint256 = 0
    cash, mask = staticcall CLEARINGHOUSE.account(account)
    self._sync_mask(mask & ~(1 << market))
    return staticcall IMargin(staticcall CLEARINGHOUSE.margin()).assess(account, cash, mask)


@internal
def _sync_mask(mask: uint256):
    for market: uint256 in range(c.MAX_MARKETS):
        if mask >> market == 0:
            break
        if (mask >> market) & 1 == 1:
            mark: IPriceOracle.Mark = extcall ORACLE.sync(market)
            assert mark.fresh, "oracle: stale price"


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


@internal
def _log_trade(plan: Plan, outcome: IPerpEngine.Outcome, size_delta: int256):
    log IPerpEngine.Trade(
        account=plan.account,
        market=plan.market,
        size_delta=size_delta,
        price=outcome.price,
        half_spread=outcome.half_spread,
        charge=outcome.charge,
        realised=outcome.realised,
        owed=outcome.owed,
        size=outcome.size,
        cost=outcome.cost,
    )
    book: funding.Book = plan.book
    book.funding_rate = outcome.funding_rate
    book.borrow_rate = outcome.borrow_rate
    self._log_accrued(plan.market, book)


@internal
def _log_accrued(market: uint256, book: funding.Book):
    log IPerpEngine.Accrued(
        market=market,
        index_long=book.index_long,
        index_short=book.index_short,
        funding_rate=book.funding_rate,
        borrow_rate=book.borrow_rate,
    )
