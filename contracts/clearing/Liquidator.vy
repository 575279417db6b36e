# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Liquidator: closes positions of accounts below maintenance
@notice Anyone names an account and what of it is to go: to the vault, at its quote, or to the caller's own account, at
        the mark. With equity E, initial requirement I and maintenance requirement M, and I', M' after the whole request
        and its penalty P,

            share     (I - E) / (I - I' - P) of the request, at most all of it: that brings the account back to its
                      initial requirement, but for what closing costs, as the requirement is convex in what is closed
            penalty   the engine's rate on the notional of perpetuals and of options short; at most what keeps E / M
                      from falling
            charge    of what the vault takes: at most E, less the half-spread; the reserve goes without the rest
            discount  60 % of the penalty to who takes, growing to all of it as E falls to 0; the liquidator's share of
                      it (see Clearinghouse) to who has the vault take

        Actors: anyone.

        Invariants: I9 an account can be liquidated iff E < M: neither a top-up nor a close that leaves it there stops a
        liquidation sent before, and everything it has in a market, together, lowers M. What raises M when it is closed,
        the hedge of something else, cannot go first. No penalty lowers E / M; the cost of closing at the vault may,
        where E is below it in proportion to the part of M that goes: then there is no penalty. Of a perpetual requested
        whole less than the market's least size is never left. Who takes ends above initial margin at fresh marks.
        Penalties go to caller, LPs and insurance.
@dev    A small penalty is no reason to call. So the account pays at least the half-spread again, up to MAX_REWARD, as
        far as its equity allows; and insurance sees to it that the caller gets REWARD_BPS, at most that half-spread.
        Bringing accounts of one's own here earns nothing: who opens pays more than that, while the spread of closing an
        account that has nothing left, at the volatility after a jump and an old round, may be many times what opening
        it cost. The penalty counts the requirement after by its chord, which is not below it (but for the exit cost of
        a position larger than its market's cap, and orders rounded up to a lot). What is stale is judged at its last
        mark, but for the market that is closed in and those of who takes. Options of an expired board are settled, not
        liquidated. Twin: ballast/model/exact/liquidator.py.
@custom:kill Revoke CLOSER at engines and Clearinghouse: nobody is liquidated then.
"""

from interfaces import IClearinghouse
from interfaces import IInventory
from interfaces import ILiquidator
from interfaces import IMargin
from interfaces import IOptionBook
from interfaces import IOptionEngine
from interfaces import IPerpEngine
from interfaces import IPriceOracle
from contracts import constants as c
from contracts.math import signed
from contracts.math import wad
from contracts.options import series

implements: ILiquidator

struct Case:                # an account below maintenance and what is to go
    account: address
    market: uint256
    part: int256            # [base, WAD] of its perpetual, in the position's sign
    orders: DynArray[IOptionBook.Order, c.MAX_LEGS]     # its options, as changes
    before: IMargin.Health
    initial: uint256        # [quote, WAD] required if the whole request were carried out
    maintenance: uint256    # [quote, WAD] the same
    share: uint256          # [WAD] of the request that is enough; part, orders, penalty and notional are of that share
    penalty: uint256        # [quote, WAD] if equity allows
    notional: uint256       # [quote, WAD] of part and orders
    least: uint256          # [base, WAD] of the perpetual that may be left; 0 if any may


MIN_DISCOUNT_BPS: constant(uint256) = 6_000     # of the penalty, for who takes from who is just below maintenance
REWARD_BPS: constant(uint256) = 2               # of notional, what insurance sees to that the caller gets

CLEARINGHOUSE: immutable(IClearinghouse)
PERP_ENGINE: immutable(IPerpEngine)
OPTION_ENGINE: immutable(IOptionEngine)
OPTION_BOOK: immutable(IOptionBook)
ORACLE: immutable(IPriceOracle)


@deploy
def __init__(
    clearinghouse: address, perp_engine: address, option_engine: address, option_book: address, oracle: address
):
    CLEARINGHOUSE = IClearinghouse(clearinghouse)
    PERP_ENGINE = IPerpEngine(perp_engine)
    OPTION_ENGINE = IOptionEngine(option_engine)
    OPTION_BOOK = IOptionBook(option_book)
    ORACLE = IPriceOracle(oracle)


# ------------------------------------------------------------------ permissionless


@external
def liquidate_perp(account: address, market: uint256, size: uint256) -> ILiquidator.Result:
    """
    @notice Closes a perpetual at the vault's quote.
    @param size [base, WAD] at most
    """
    return self._liquidate(account, market, size, [])


@external
def liquidate_options(account: address, orders: DynArray[IOptionBook.Order, c.MAX_ORDERS]) -> ILiquidator.Result:
    """
    @notice Closes options of one market at the vault's quote.
    @param orders at most, by ascending series
    """
    return self._liquidate(account, self._market_of(orders), 0, orders)


@external
def liquidate(
    account: address, market: uint256, size: uint256, orders: DynArray[IOptionBook.Order, c.MAX_LEGS]
) -> ILiquidator.Result:
    """
    @notice Closes a perpetual and options of its market together: what hedges each other can go in no other way.
    @param size [base, WAD] at most
    @param orders at most, by ascending series
    """
    return self._liquidate(account, market, size, orders)


@external
def take_perp(account: address, market: uint256, size: uint256) -> ILiquidator.Result:
    """
    @notice Moves a perpetual to the caller's account at the mark, at a discount.
    @param size [base, WAD] at most
    """
    case: Case = self._judge(account, market, size, [])
    extcall PERP_ENGINE.transfer(account, msg.sender, market, case.part)
    return self._pay_taker(case)


@external
def take_options(account: address, orders: DynArray[IOptionBook.Order, c.MAX_ORDERS]) -> ILiquidator.Result:
    """
    @notice Moves options of one board to the caller's account at the mark, at a discount.
    @param orders of the account, at most, by ascending series
    """
    case: Case = self._judge(account, self._market_of(orders), 0, orders)
    taken: DynArray[IOptionBook.Order, c.MAX_ORDERS] = []
    for order: IOptionBook.Order in case.orders:
        taken.append(IOptionBook.Order(series=order.series, size=-order.size))
    extcall OPTION_ENGINE.transfer(account, msg.sender, taken)
    return self._pay_taker(case)


# ------------------------------------------------------------------ views


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


# ------------------------------------------------------------------ internal: what is to go


@internal
@pure
def _market_of(orders: DynArray[IOptionBook.Order, c.MAX_ORDERS]) -> uint256:
    assert len(orders) != 0, "liquidation: no orders"
    return series._market_of(series._board_of(orders[0].series))


@internal
def _judge(
    account: address, market: uint256, size: uint256, orders: DynArray[IOptionBook.Order, c.MAX_LEGS]
) -> Case:
    """
    @notice Takes marks, refuses what must not be liquidated, and decides how much of the request goes at what penalty.
    @dev    Of an account that owes more than it has, what asks for no margin can be closed too: there is nothing to
            fall.
    """
    mark: IPriceOracle.Mark = extcall ORACLE.sync(market)
    assert mark.fresh, "oracle: stale price"
    cash: int256 = 0
    mask: uint256 = 0
    cash, mask = staticcall CLEARINGHOUSE.account(account)
    self._sync(mask, False)
    margin: IMargin = IMargin(staticcall CLEARINGHOUSE.margin())
    case: Case = empty(Case)
    case.account = account
    case.market = market
    case.before = staticcall margin.assess(account, cash, mask)
    assert case.before.equity < convert(case.before.maintenance, int256), "liquidation: account is healthy"
    if size != 0 and (mask >> market) & 1 == 1:
        held: int256 = (staticcall PERP_ENGINE.legs(account, 1 << market))[0].size
        case.part = convert(min(size, signed.magnitude(held)), int256)
        if held < 0:
            case.part = -case.part
        case.notional = wad.mul_up(signed.magnitude(case.part), mark.price)
        case.penalty = wad.mul_div_up(case.notional, staticcall PERP_ENGINE.penalty_bps(market), c.BPS)
        if len(orders) == 0 and case.part == held:
            case.least = staticcall PERP_ENGINE.min_size(market)
    if len(orders) != 0:
        bought: uint256 = 0     # [base, WAD]
        sold: uint256 = 0
        case.orders, bought, sold = self._held(account, market, orders)
        case.notional += wad.mul_up(bought + sold, mark.price)
        if bought != 0:
            notional: uint256 = wad.mul_up(bought, mark.price)
            case.penalty += wad.mul_div_up(notional, staticcall OPTION_ENGINE.penalty_bps(market), c.BPS)
    assert case.part != 0 or len(case.orders) != 0, "liquidation: no position"
    case.initial, case.maintenance = staticcall margin.assess_change(
        account, cash, mask, market, -case.part, case.orders
    )
    assert (
        case.maintenance < case.before.maintenance or case.before.maintenance == 0
    ), "liquidation: requirement would not fall"
    return self._scaled(case)


@internal
@view
def _held(
    account: address, market: uint256, orders: DynArray[IOptionBook.Order, c.MAX_LEGS]
) -> (DynArray[IOptionBook.Order, c.MAX_LEGS], uint256, uint256):
    """
    @return what the account has of orders, in whole lots, without those that would grow a position or are of another
            market; [base, WAD] of them that is bought back, and that is sold
    """
    last: uint256 = 0
    parts: DynArray[IOptionBook.Order, c.MAX_LEGS] = []
    bought: uint256 = 0
    sold: uint256 = 0
    legs: DynArray[IOptionBook.Leg, c.MAX_LEGS] = staticcall OPTION_BOOK.legs(account)
    for order: IOptionBook.Order in orders:
        # twice the same would be judged as a flip, and closed twice if it is in two trades
        assert order.series > last, "liquidation: series order"
        last = order.series
        for leg: IOptionBook.Leg in legs:
            if leg.series != order.series or leg.market != market:
                continue
            size: int256 = signed.shrinking(order.size, leg.size)
            size -= size % series.LOT
            if size != 0:
                parts.append(IOptionBook.Order(series=order.series, size=size))
                bought += convert(max(size, 0), uint256)
                sold += convert(max(-size, 0), uint256)
    return parts, bought, sold


@internal
@pure
def _scaled(request: Case) -> Case:
    """
    @notice As much of a request as is enough, rounded up: to a lot for options, of which a request has whole ones.
    @dev    Below maintenance, equity is below the initial requirement too. After a share f of the request the account
            has E - f P and needs at most I - f (I - I').
    @param request with part, orders and penalty of all of it
    """
    case: Case = request
    case.share = c.WAD
    missing: uint256 = convert(convert(case.before.initial, int256) - case.before.equity, uint256)
    used: uint256 = case.initial + case.penalty
    if case.before.initial <= used or missing >= case.before.initial - used:
        return case
    case.share = wad.div_up(missing, case.before.initial - used)
    case.penalty = wad.mul_up(case.penalty, case.share)
    case.notional = wad.mul_down(case.notional, case.share)
    case.part = self._times_up(case.part, case.share, 1)
    if signed.magnitude(request.part - case.part) < case.least:
        case = request
        case.share = c.WAD
        return case
    case.orders = []
    for order: IOptionBook.Order in request.orders:
        size: int256 = self._times_up(order.size, case.share, series.LOT)
        case.orders.append(IOptionBook.Order(series=order.series, size=size))
    return case


@internal
@pure
def _times_up(size: int256, share: uint256, step: int256) -> int256:
    """@return [base, WAD] share of a size, away from zero to a whole number of steps"""
    part: int256 = convert(wad.mul_up(signed.magnitude(size), share), int256)
    part = signed.ceil_div(part, step) * step
    if size < 0:
        return -part
    return part


@internal
def _sync(mask: uint256, fresh: bool):
    """
    @param fresh whether every mark must be fit to trade on
    """
    markets: uint256 = (mask | (mask >> c.OPTION_BIT)) & c.MARKETS
    for market: uint256 in range(c.MAX_MARKETS):
        if markets >> market == 0:
            break
        if (markets >> market) & 1 == 1:
            mark: IPriceOracle.Mark = extcall ORACLE.sync(market)
            assert mark.fresh or not fresh, "oracle: stale price"


# ------------------------------------------------------------------ internal: what it costs


@internal
def _liquidate(
    account: address, market: uint256, size: uint256, orders: DynArray[IOptionBook.Order, c.MAX_LEGS]
) -> ILiquidator.Result:
    """
    @notice Has the vault take what is enough, the perpetual first, then board by board; takes the penalty, pays the
            caller.
    """
    case: Case = self._judge(account, market, size, orders)
    half_spread: uint256 = 0
    charge: int256 = 0
    if case.part != 0:
        outcome: IPerpEngine.Outcome = extcall PERP_ENGINE.close_for(
            account, market, -case.part, case.before.equity, False
        )
        half_spread = outcome.half_spread
        charge = outcome.charge
        self._measure(case, half_spread, charge)
    rest: DynArray[IOptionBook.Order, c.MAX_LEGS] = case.orders
    for i: uint256 in range(c.MAX_LEGS):
        if len(rest) == 0:
            break
        key: uint256 = series._board_of(rest[0].series)
        batch: DynArray[IOptionBook.Order, c.MAX_ORDERS] = []
        others: DynArray[IOptionBook.Order, c.MAX_LEGS] = []
        for order: IOptionBook.Order in rest:
            if series._board_of(order.series) == key and len(batch) < c.MAX_ORDERS:
                batch.append(order)
            else:
                others.append(order)
        spent: int256 = max(convert(half_spread, int256) + charge, 0)
        outcome: IOptionEngine.Outcome = extcall OPTION_ENGINE.close_for(
            account, batch, case.before.equity - spent, False
        )
        half_spread += outcome.half_spread
        charge += outcome.charge
        rest = others
        self._measure(case, half_spread, charge)
    least: uint256 = min(half_spread, c.MAX_REWARD)
    share_bps: uint256 = staticcall CLEARINGHOUSE.liquidator_share_bps()
    penalty: uint256 = min(max(case.penalty, least), self._affordable(case, convert(half_spread, int256) + charge))
    paid: uint256 = extcall CLEARINGHOUSE.pay_penalty(account, penalty, msg.sender, share_bps)
    reward: uint256 = paid * share_bps // c.BPS
    insured: uint256 = min(least, case.notional * REWARD_BPS // c.BPS)
    if reward < insured:
        reward += extcall CLEARINGHOUSE.pay_reward(msg.sender, insured - reward)
    return self._report(case, False, paid, reward)


@internal
def _measure(case: Case, half_spread: uint256, charge: int256):
    """
    @notice Where the account has paid all it had, the charge may have been more: then the reserve covers less of the potential.
    """
    if convert(half_spread, int256) + charge >= case.before.equity:
        extcall IInventory(staticcall PERP_ENGINE.inventory()).sync(case.market)


@internal
def _pay_taker(case: Case) -> ILiquidator.Result:
    """
    @notice Pays who took a position over, and has Margin judge him with it.
    """
    share_bps: uint256 = c.BPS
    if case.before.equity > 0:
        fallen: uint256 = case.before.maintenance - convert(case.before.equity, uint256)
        share_bps = MIN_DISCOUNT_BPS + wad.mul_div_down(
            c.BPS - MIN_DISCOUNT_BPS, fallen, case.before.maintenance
        )
    penalty: uint256 = min(case.penalty, self._affordable(case, 0))
    paid: uint256 = extcall CLEARINGHOUSE.pay_penalty(case.account, penalty, msg.sender, share_bps)
    cash: int256 = 0
    mask: uint256 = 0
    cash, mask = staticcall CLEARINGHOUSE.account(msg.sender)
    self._sync(mask, True)
    margin: IMargin = IMargin(staticcall CLEARINGHOUSE.margin())
    assert staticcall margin.check_initial(msg.sender, cash, mask), "margin: below initial"
    return self._report(case, True, paid, paid * share_bps // c.BPS)


@internal
@pure
def _affordable(case: Case, cost: int256) -> uint256:
    """
    @param cost [quote, WAD] of closing
    @return [quote, WAD] the most that leaves equity / maintenance where it was, rounded down
    """
    if case.before.equity <= 0:
        return 0
    maintenance: uint256 = case.before.maintenance
    left: uint256 = maintenance - wad.mul_down(maintenance - case.maintenance, case.share)
    kept: uint256 = wad.mul_div_up(convert(case.before.equity, uint256), left, maintenance)
    return convert(max(case.before.equity - cost - convert(kept, int256), 0), uint256)


@internal
def _report(case: Case, taken: bool, penalty: uint256, reward: uint256) -> ILiquidator.Result:
    expiry: uint256 = 0
    if len(case.orders) != 0:
        expiry = series._expiry_of(series._board_of(case.orders[0].series))
    log ILiquidator.Liquidated(
        account=case.account,
        liquidator=msg.sender,
        market=case.market,
        expiry=expiry,
        taken=taken,
        share=case.share,
        equity=case.before.equity,
        maintenance=case.before.maintenance,
        penalty=penalty,
        reward=reward,
    )
    return ILiquidator.Result(share=case.share, penalty=penalty, reward=reward)
