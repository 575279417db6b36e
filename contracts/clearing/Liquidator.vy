# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Liquidator: closes positions of accounts below maintenance
@notice Anyone names an account and what of it is to go: to the vault, at its quote, or to the caller's own account, at the mark.
        With equity E, initial requirement I and maintenance requirement M, and I', M' after the whole request and its penalty P,

            share     (I - E) / (I - I' - P) of the request, at most all of it: that brings the account back to its initial
                      requirement, but for what closing costs, as the requirement is convex in what is closed
            penalty   the engine's rate on the notional of perpetuals and of options short; at most what keeps E / M from falling
            discount  60 % of the penalty to who takes, growing to all of it as E falls to 0; the liquidator's share of it (see
                      Clearinghouse) to who has the vault take

        Actors: anyone.

        Invariants: I9 an account can be liquidated iff E < M: neither a top-up nor a close that leaves it there stops a
        liquidation sent before. What raises M when it is closed, the hedge of something else, cannot go first. No penalty lowers
        E / M; the cost of closing at the vault may, where E is below it in proportion to the part of M that goes: then there is
        no penalty. Who takes ends above initial margin at fresh marks. Penalties go to caller, LPs and insurance.
@dev    A small penalty is no reason to call. So the caller gets at least the half-spread that the account has just paid, up to
        MAX_REWARD: from the account as far as its equity allows, then from insurance. Bringing accounts of one's own here earns
        nothing: the same spread was paid to open, and to close.
        The penalty counts the requirement after by its chord, which is not below it (but for the exit cost of a position larger
        than its market's cap, and orders rounded up to a lot). What is stale is judged at its last mark, but for the market
        that is closed in and those of who takes.
        Twin: ballast/model/exact/liquidator.py.
@custom:kill Revoke CLOSER at engines and Clearinghouse: nobody is liquidated then.
"""

from interfaces import IClearinghouse
from interfaces import ILiquidator
from interfaces import IMargin
from interfaces import IOptionBook
from interfaces import IOptionEngine
from interfaces import IPerpEngine
from interfaces import IPriceOracle
from contracts import constants as c
from contracts.math import wad
from contracts.options import series

implements: ILiquidator

struct Case:                # an account below maintenance and what is to go
    account: address
    market: uint256
    expiry: uint256         # [s since 1970] of options; 0: the perpetual
    before: IMargin.Health
    after: IMargin.Health   # as if the whole request had been carried out, costs aside
    share: uint256          # [WAD] of the request that is enough
    penalty: uint256        # [quote, WAD] on that share, if equity allows


MIN_DISCOUNT_BPS: constant(uint256) = 6_000     # of the penalty, for who takes from an account that is just below maintenance
MAX_ORDERS: constant(uint256) = 8

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
    case: Case = empty(Case)
    part: int256 = 0
    case, part = self._judge_perp(account, market, size)
    outcome: IPerpEngine.Outcome = extcall PERP_ENGINE.close_for(account, market, -part, False)
    return self._pay_caller(case, outcome.half_spread, outcome.charge)


@external
def liquidate_options(account: address, orders: DynArray[IOptionBook.Order, MAX_ORDERS]) -> ILiquidator.Result:
    """
    @notice Closes options of one board at the vault's quote.
    @param orders at most, by ascending series
    """
    case: Case = empty(Case)
    parts: DynArray[IOptionBook.Order, MAX_ORDERS] = []
    case, parts = self._judge_options(account, orders)
    outcome: IOptionEngine.Outcome = extcall OPTION_ENGINE.close_for(account, parts, False)
    return self._pay_caller(case, outcome.half_spread, outcome.charge)


@external
def take_perp(account: address, market: uint256, size: uint256) -> ILiquidator.Result:
    """
    @notice Moves a perpetual to the caller's account at the mark, at a discount.
    @param size [base, WAD] at most
    """
    case: Case = empty(Case)
    part: int256 = 0
    case, part = self._judge_perp(account, market, size)
    extcall PERP_ENGINE.transfer(account, msg.sender, market, part)
    return self._pay_taker(case)


@external
def take_options(account: address, orders: DynArray[IOptionBook.Order, MAX_ORDERS]) -> ILiquidator.Result:
    """
    @notice Moves options of one board to the caller's account at the mark, at a discount.
    @param orders of the account, at most, by ascending series
    """
    case: Case = empty(Case)
    parts: DynArray[IOptionBook.Order, MAX_ORDERS] = []
    case, parts = self._judge_options(account, orders)
    taken: DynArray[IOptionBook.Order, MAX_ORDERS] = []
    for part: IOptionBook.Order in parts:
        taken.append(IOptionBook.Order(series=part.series, size=-part.size))
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
def _judge_perp(account: address, market: uint256, size: uint256) -> (Case, int256):
    """
    @return the case; [base, WAD] the part of the position that goes, in its sign
    """
    price: uint256 = self._sync_traded(market)
    margin: IMargin = IMargin(staticcall CLEARINGHOUSE.margin())
    cash: int256 = 0
    mask: uint256 = 0
    case: Case = empty(Case)
    cash, mask, case.before = self._assess(margin, account)
    part: int256 = 0
    if (mask >> market) & 1 == 1:
        held: int256 = (staticcall PERP_ENGINE.legs(account, 1 << market))[0].size
        part = convert(min(size, convert(abs(held), uint256)), int256)
        if held < 0:
            part = -part
    assert part != 0, "liquidation: no position"
    case.account = account
    case.market = market
    case.after = staticcall margin.assess_change(account, cash, mask, market, -part, [])
    notional: uint256 = wad.mul_up(convert(abs(part), uint256), price)
    case.penalty = wad.mul_div_up(notional, staticcall PERP_ENGINE.penalty_bps(market), c.BPS)
    case = self._scaled(case)
    gone: int256 = convert(wad.mul_up(convert(abs(part), uint256), case.share), int256)
    if part < 0:
        gone = -gone
    return case, gone


@internal
def _judge_options(
    account: address, orders: DynArray[IOptionBook.Order, MAX_ORDERS]
) -> (Case, DynArray[IOptionBook.Order, MAX_ORDERS]):
    """
    @dev    The engine refuses what is not one board in order.
    @return the case; the orders that are carried out
    """
    assert len(orders) != 0, "liquidation: no orders"
    key: uint256 = series._board_of(orders[0].series)
    market: uint256 = series._market_of(key)
    price: uint256 = self._sync_traded(market)
    margin: IMargin = IMargin(staticcall CLEARINGHOUSE.margin())
    cash: int256 = 0
    mask: uint256 = 0
    case: Case = empty(Case)
    cash, mask, case.before = self._assess(margin, account)
    parts: DynArray[IOptionBook.Order, MAX_ORDERS] = []
    shorts: uint256 = 0         # [base, WAD] bought back
    held: DynArray[IOptionBook.Leg, series.MAX_LEGS] = staticcall OPTION_BOOK.legs(account)
    for order: IOptionBook.Order in orders:
        for leg: IOptionBook.Leg in held:
            if leg.series == order.series:
                size: int256 = self._shrinking(order.size, leg.size)
                if size != 0:
                    parts.append(IOptionBook.Order(series=order.series, size=size))
                    shorts += convert(max(size, 0), uint256)
                break
    assert len(parts) != 0, "liquidation: no position"
    case.account = account
    case.market = market
    case.expiry = series._expiry_of(key)
    case.after = staticcall margin.assess_change(account, cash, mask, market, 0, parts)
    notional: uint256 = wad.mul_up(shorts, price)
    case.penalty = wad.mul_div_up(notional, staticcall OPTION_ENGINE.penalty_bps(market), c.BPS)
    case = self._scaled(case)
    gone: DynArray[IOptionBook.Order, MAX_ORDERS] = []
    for part: IOptionBook.Order in parts:
        size: int256 = convert(wad.mul_up(convert(abs(part.size), uint256), case.share), int256)
        # a part is whole lots, so rounding up to one does not pass it
        size = (size + (series.LOT - 1)) // series.LOT * series.LOT
        if part.size < 0:
            size = -size
        gone.append(IOptionBook.Order(series=part.series, size=size))
    return case, gone


@internal
def _sync_traded(market: uint256) -> uint256:
    """@return [quote/base, WAD] a mark to trade on"""
    mark: IPriceOracle.Mark = extcall ORACLE.sync(market)
    assert mark.fresh, "oracle: stale price"
    return mark.price


@internal
def _assess(margin: IMargin, account: address) -> (int256, uint256, IMargin.Health):
    """
    @notice Takes the mark of every market that the account is in, and refuses to liquidate it unless it is below maintenance.
    @return [quote, WAD] its cash, its mask, its health
    """
    cash: int256 = 0
    mask: uint256 = 0
    cash, mask = staticcall CLEARINGHOUSE.account(account)
    self._sync(mask, False)
    health: IMargin.Health = staticcall margin.assess(account, cash, mask)
    assert health.equity < convert(health.maintenance, int256), "liquidation: account is healthy"
    return cash, mask, health


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


@internal
@pure
def _shrinking(order: int256, held: int256) -> int256:
    """
    @return [base, WAD] the part of an order that shrinks a position, in whole lots; 0 if it would grow
    """
    part: int256 = 0
    if held < 0:
        part = min(max(order, 0), -held)
    else:
        part = max(min(order, 0), -held)
    return part - part % series.LOT


@internal
@pure
def _scaled(request: Case) -> Case:
    """
    @notice What of a request is enough, and its penalty.
    @dev    Below maintenance, equity is below the initial requirement too. After a share f of the request the account has
            E - f P and needs at most I - f (I - I').
    @param request with the penalty on all of it
    """
    case: Case = request
    assert case.after.maintenance < case.before.maintenance, "liquidation: requirement would not fall"
    case.share = c.WAD
    missing: uint256 = convert(convert(case.before.initial, int256) - case.before.equity, uint256)
    used: uint256 = case.after.initial + case.penalty
    if used < case.before.initial and missing < case.before.initial - used:
        case.share = wad.div_up(missing, case.before.initial - used)
    case.penalty = wad.mul_up(case.penalty, case.share)
    return case


# ------------------------------------------------------------------ internal: what it costs


@internal
def _pay_caller(case: Case, half_spread: uint256, charge: int256) -> ILiquidator.Result:
    """
    @param half_spread [quote, WAD] and charge: what closing cost the account
    """
    least: uint256 = min(half_spread, c.MAX_REWARD)
    cost: int256 = convert(half_spread, int256) + charge
    share_bps: uint256 = staticcall CLEARINGHOUSE.liquidator_share_bps()
    penalty: uint256 = min(max(case.penalty, least), self._affordable(case, cost))
    paid: uint256 = extcall CLEARINGHOUSE.pay_penalty(case.account, penalty, msg.sender, share_bps)
    reward: uint256 = paid * share_bps // c.BPS
    if reward < least:
        reward += extcall CLEARINGHOUSE.pay_reward(msg.sender, least - reward)
    return self._report(case, False, paid, reward)


@internal
def _pay_taker(case: Case) -> ILiquidator.Result:
    """
    @notice Pays who took a position over, and has Margin judge him with it.
    """
    fallen: uint256 = case.before.maintenance
    if case.before.equity > 0:
        fallen -= convert(case.before.equity, uint256)
    share_bps: uint256 = MIN_DISCOUNT_BPS + wad.mul_div_down(
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
    left: uint256 = maintenance - wad.mul_down(maintenance - case.after.maintenance, case.share)
    kept: uint256 = wad.mul_div_up(convert(case.before.equity, uint256), left, maintenance)
    return convert(max(case.before.equity - cost - convert(kept, int256), 0), uint256)


@internal
def _report(case: Case, taken: bool, penalty: uint256, reward: uint256) -> ILiquidator.Result:
    log ILiquidator.Liquidated(
        account=case.account,
        liquidator=msg.sender,
        market=case.market,
        expiry=case.expiry,
        taken=taken,
        share=case.share,
        equity=case.before.equity,
        maintenance=case.before.maintenance,
        penalty=penalty,
        reward=reward,
    )
    return ILiquidator.Result(share=case.share, penalty=penalty, reward=reward)
