# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  CloseQueue: closes that wait for a price
@notice A market without a fresh mark does not trade: a close at an old price would be a free option. Here a trader
        asks to be closed as soon as there is a new one, and need not be there. One request for the perpetual and one
        for the options of a market.

        Actors: a trader requests while the mark is not fresh, and cancels until the next round is there; after it
        anyone executes, for a fee out of the account.

        Invariants: a request is carried out as the vault's quote at the mark of that moment, of a round newer than any
        that the oracle had when it was made, for at most what is left of the position. So it is a trade that its
        owner could make then, plus the fee: it is worth nothing to hold one. Against the same trades by hand, who
        executes, when, and what was replaced or closed before moves no value but the fee. The fee is fixed at
        deployment, and at most cash and equity of what is left. A request keeps nobody from trading, withdrawing or
        being liquidated; after three days it is void, so that none waits for a later position.
@dev    What the engine refuses (a price that is not fresh, a board that is over, a hedge that must stay) reverts, and
        the request stays. Replacing one is possible whenever the mark is not fresh, whatever rounds have come: it
        binds nobody. Cancelling is not, so that nobody pays for an execution that its owner takes away. Twin:
        ballast/model/exact/close_queue.py.
@custom:kill Revoke CLOSER at the engines: requests then stay without effect.
"""

from interfaces import IClearinghouse
from interfaces import ICloseQueue
from interfaces import IMargin
from interfaces import IOptionBook
from interfaces import IOptionEngine
from interfaces import IPerpEngine
from interfaces import IPriceOracle
from contracts import constants as c
from contracts.math import signed
from contracts.options import series

implements: ICloseQueue

# What is kept of a request for options.
struct Stored:
    legs: DynArray[uint256, c.MAX_ORDERS]   # words of series.vy, with changes for sizes
    round_time: uint256         # [s]
    until: uint256              # [s]

MAX_FEE: constant(uint256) = 10 * c.WAD     # [quote, WAD]
LIFETIME: constant(uint256) = 3 * c.DAY     # [s] of a request

CLEARINGHOUSE: immutable(IClearinghouse)
PERP_ENGINE: immutable(IPerpEngine)
OPTION_ENGINE: immutable(IOptionEngine)
OPTION_BOOK: immutable(IOptionBook)
ORACLE: immutable(IPriceOracle)
FEE: immutable(uint256)                     # [quote, WAD]

# By account and market.
_perps: HashMap[address, HashMap[uint256, ICloseQueue.PerpRequest]]
_options: HashMap[address, HashMap[uint256, Stored]]


@deploy
def __init__(
    clearinghouse: address,
    perp_engine: address,
    option_engine: address,
    option_book: address,
    oracle: address,
    fee: uint256,
):
    """
    @param fee [quote, WAD] of an execution
    """
    assert fee <= MAX_FEE, "queue: fee"
    CLEARINGHOUSE = IClearinghouse(clearinghouse)
    PERP_ENGINE = IPerpEngine(perp_engine)
    OPTION_ENGINE = IOptionEngine(option_engine)
    OPTION_BOOK = IOptionBook(option_book)
    ORACLE = IPriceOracle(oracle)
    FEE = fee


# ------------------------------------------------------------------ permissionless


@external
def request_perp(market: uint256, size_delta: int256):
    """
    @notice Asks to have the caller's perpetual shrunk; takes the place of an earlier request.
    @param size_delta [base, WAD] against the position, at most all of it
    """
    round_time: uint256 = self._stale_round(market)
    assert size_delta != 0, "queue: zero size"
    assert signed.shrinking(size_delta, self._size(msg.sender, market)) == size_delta, "queue: not closing"
    self._perps[msg.sender][market] = ICloseQueue.PerpRequest(
        size_delta=size_delta, round_time=round_time, until=block.timestamp + LIFETIME
    )
    log ICloseQueue.PerpRequested(
        account=msg.sender, market=market, size_delta=size_delta, round_time=round_time
    )


@external
def request_options(orders: DynArray[IOptionBook.Order, c.MAX_ORDERS]):
    """
    @notice Asks to have the caller's options of one board shrunk, in one trade; takes the place of an earlier request
            in the market.
    @param orders by ascending series, each against the position and at most all of it
    """
    assert len(orders) != 0, "queue: no orders"
    key: uint256 = series._board_of(orders[0].series)
    market: uint256 = series._market_of(key)
    round_time: uint256 = self._stale_round(market)
    held: DynArray[IOptionBook.Leg, c.MAX_LEGS] = staticcall OPTION_BOOK.legs(msg.sender)
    stored: Stored = Stored(legs=[], round_time=round_time, until=block.timestamp + LIFETIME)
    last: uint256 = 0
    for order: IOptionBook.Order in orders:
        assert series._board_of(order.series) == key, "queue: mixed expiries"
        assert order.series > last, "queue: series order"
        assert order.size != 0, "queue: zero size"
        assert order.size % series.LOT == 0, "queue: not a multiple of the lot"
        assert signed.shrinking(order.size, self._held(held, order.series)) == order.size, "queue: not closing"
        # no larger than what is held: it fits
        stored.legs.append(series._leg(order.series, order.size // series.LOT))
        last = order.series
    self._options[msg.sender][market] = stored
    log ICloseQueue.OptionsRequested(
        account=msg.sender, market=market, orders=orders, round_time=round_time
    )


@external
def cancel_perp(market: uint256):
    """
    @notice Takes the caller's request back, before the round that it waits for is there.
    """
    request: ICloseQueue.PerpRequest = self._perps[msg.sender][market]
    assert request.size_delta != 0, "queue: no request"
    self._check_no_round(market, request.round_time)
    self._perps[msg.sender][market] = empty(ICloseQueue.PerpRequest)
    log ICloseQueue.PerpCancelled(account=msg.sender, market=market)


@external
def cancel_options(market: uint256):
    """
    @notice Takes the caller's request back, before the round that it waits for is there.
    """
    stored: Stored = self._options[msg.sender][market]
    assert len(stored.legs) != 0, "queue: no request"
    self._check_no_round(market, stored.round_time)
    self._options[msg.sender][market] = empty(Stored)
    log ICloseQueue.OptionsCancelled(account=msg.sender, market=market)


@external
def execute_perp(account: address, market: uint256) -> uint256:
    """
    @notice Carries a request out; if it is void, or nothing is left to close, it is forgotten, for no fee.
    @return [quote, WAD] fee to the caller's account
    """
    request: ICloseQueue.PerpRequest = self._perps[account][market]
    assert request.size_delta != 0, "queue: no request"
    self._perps[account][market] = empty(ICloseQueue.PerpRequest)
    size_delta: int256 = 0
    if block.timestamp <= request.until:
        size_delta = signed.shrinking(request.size_delta, self._size(account, market))
    fee: uint256 = 0
    if size_delta != 0:
        self._check_round(market, request.round_time)
        extcall PERP_ENGINE.close_for(account, market, size_delta, max_value(int256), True)
        fee = self._pay(account)
    log ICloseQueue.PerpExecuted(
        account=account, market=market, executor=msg.sender, size_delta=size_delta, fee=fee
    )
    return fee


@external
def execute_options(account: address, market: uint256) -> uint256:
    """
    @notice Carries a request out; if it is void, or nothing is left to close, it is forgotten, for no fee.
    @return [quote, WAD] fee to the caller's account
    """
    stored: Stored = self._options[account][market]
    assert len(stored.legs) != 0, "queue: no request"
    self._options[account][market] = empty(Stored)
    held: DynArray[IOptionBook.Leg, c.MAX_LEGS] = staticcall OPTION_BOOK.legs(account)
    asked: DynArray[IOptionBook.Order, c.MAX_ORDERS] = self._orders(stored.legs)
    orders: DynArray[IOptionBook.Order, c.MAX_ORDERS] = []
    for order: IOptionBook.Order in asked:
        size: int256 = signed.shrinking(order.size, self._held(held, order.series))
        if size != 0 and block.timestamp <= stored.until:
            orders.append(IOptionBook.Order(series=order.series, size=size))
    fee: uint256 = 0
    if len(orders) != 0:
        self._check_round(market, stored.round_time)
        extcall OPTION_ENGINE.close_for(account, orders, max_value(int256), True)
        fee = self._pay(account)
    log ICloseQueue.OptionsExecuted(
        account=account, market=market, executor=msg.sender, orders=orders, fee=fee
    )
    return fee


# ------------------------------------------------------------------ views


@external
@view
def perp_request(account: address, market: uint256) -> ICloseQueue.PerpRequest:
    """
    @return what the account has asked for, zeros if nothing
    """
    return self._perps[account][market]


@external
@view
def options_request(account: address, market: uint256) -> ICloseQueue.OptionsRequest:
    """
    @return what the account has asked for, empty if nothing
    """
    stored: Stored = self._options[account][market]
    return ICloseQueue.OptionsRequest(
        orders=self._orders(stored.legs), round_time=stored.round_time, until=stored.until
    )


@external
@view
def fee() -> uint256:
    """
    @return [quote, WAD] what an executor gets
    """
    return FEE


@external
@view
def neighbours() -> (address, address, address, address, address):
    """
    @return clearinghouse, perp engine, option engine, option book, oracle
    """
    return (
        CLEARINGHOUSE.address,
        PERP_ENGINE.address,
        OPTION_ENGINE.address,
        OPTION_BOOK.address,
        ORACLE.address,
    )


# ------------------------------------------------------------------ internal


@internal
@view
def _stale_round(market: uint256) -> uint256:
    """@return [s] time of the last round of a market that nobody can trade on"""
    mark: IPriceOracle.Mark = staticcall ORACLE.peek(market)
    assert not mark.fresh, "queue: price is fresh: trade"
    return mark.updated_at


@internal
@view
def _check_no_round(market: uint256, round_time: uint256):
    assert (staticcall ORACLE.peek(market)).updated_at == round_time, "queue: a round has come"


@internal
@view
def _check_round(market: uint256, round_time: uint256):
    """@dev A halt may end before the old round is too old: that round is not what was waited for."""
    assert (staticcall ORACLE.peek(market)).updated_at > round_time, "queue: no new round"


@internal
@view
def _size(account: address, market: uint256) -> int256:
    """@return [base, WAD] of the account's perpetual"""
    assert market < c.MAX_MARKETS, "queue: no such market"
    return (staticcall PERP_ENGINE.legs(account, 1 << market))[0].size


@internal
@pure
def _held(legs: DynArray[IOptionBook.Leg, c.MAX_LEGS], id: uint256) -> int256:
    """@return [base, WAD] of a series that an account holds"""
    for leg: IOptionBook.Leg in legs:
        if leg.series == id:
            return leg.size
    return 0


@internal
@pure
def _orders(legs: DynArray[uint256, c.MAX_ORDERS]) -> DynArray[IOptionBook.Order, c.MAX_ORDERS]:
    orders: DynArray[IOptionBook.Order, c.MAX_ORDERS] = []
    for leg: uint256 in legs:
        orders.append(
            IOptionBook.Order(series=leg >> 64, size=series._lots(leg) * series.LOT)
        )
    return orders


@internal
def _pay(account: address) -> uint256:
    """
    @notice The fee, from the account to the caller: at most its cash, and its equity at the last accepted marks, so
            that nobody is paid with what others would have to make good.
    @return [quote, WAD] rounded down
    """
    cash: int256 = 0
    mask: uint256 = 0
    cash, mask = staticcall CLEARINGHOUSE.account(account)
    margin: IMargin = IMargin(staticcall CLEARINGHOUSE.margin())
    equity: int256 = (staticcall margin.assess(account, cash, mask)).equity
    due: uint256 = min(FEE, convert(max(equity, 0), uint256))
    return extcall CLEARINGHOUSE.pay_penalty(account, due, msg.sender, c.BPS)
