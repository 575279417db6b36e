# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Deleverager: closes winners at mark while the vault can still pay them
@notice Open profit of perpetuals is a debt of the vault. When it is more than `trigger` of NAV, positions are closed
        at mark until it is `target` of NAV: what is won is paid, what would be won on top is not. No contract can
        sort its accounts, so anyone nominates one in a market, and for a WINDOW anybody replaces it by one with a
        higher score,

            profit / |cost|  *  notional / max(equity, maintenance)  *  min(1, profit / excess over the target)

        that is by the one that is ahead by more, with more leverage, as far as closing it helps: who splits a
        position, or nominates dust, scores less. A position whose closing would raise the potential is not the vault's
        trouble, because it offsets others or is hedged: it stays.

        Actors: anyone nominates, and deleverages for a reward out of insurance.

        Invariants: nothing happens unless every listed market's mark is fresh, options are valued and profit is above
        the trigger, at the nomination and at the closing. Trades cannot bring that about: who opens has no profit,
        his costs add to NAV, and who closes at a loss only stops hiding what others have won. Closing takes open
        profit to the target or, if the position is not enough, as near as it goes; below it by rounding, and by the
        funding that the position is owed, which is paid out whatever part is closed. The account pays no spread, and
        LPs pay nothing: NAV does not fall, and rises by the rebate that the account does not get. The reward is at
        most a hundredth of the profit closed.
@dev    A nominee that is no longer in profit is dropped; nobody is paid for that. A nomination left alone for GRACE
        makes room. Margin is not checked: an account that loses a hedge this way may be liquidated, as after any
        other price. Options are not closed: what their holders paid is not kept by account. Twin:
        ballast/model/exact/deleverager.py.
@custom:kill Revoke CLOSER at PerpEngine: nominations then stay without effect.
"""

from interfaces import IClearinghouse
from interfaces import IDeleverager
from interfaces import IMargin
from interfaces import IOptionBook
from interfaces import IPerpEngine
from interfaces import IPriceOracle
from interfaces import IVault
from contracts import constants as c
from contracts.clearing import requirement
from contracts.math import signed
from contracts.math import wad

implements: IDeleverager

WINDOW: constant(uint256) = 60              # [s] for outbidding
GRACE: constant(uint256) = 600              # [s] for acting on it
MAX_TRIGGER_BPS: constant(uint256) = 9_500  # of NAV
REWARD_SHARE: constant(uint256) = 100       # and at most one part in so many of the profit closed
MAX_RATIO: constant(uint256) = 10**6 * c.WAD    # of a score's factors: beyond, all are alike

CLEARINGHOUSE: immutable(IClearinghouse)
PERP_ENGINE: immutable(IPerpEngine)
OPTION_BOOK: immutable(IOptionBook)
ORACLE: immutable(IPriceOracle)
VAULT: immutable(IVault)
TRIGGER_BPS: immutable(uint256)             # [bps of NAV]
TARGET_BPS: immutable(uint256)              # [bps of NAV]
REWARD: immutable(uint256)                  # [quote, WAD]

# By market.
_nominations: IDeleverager.Nomination[c.MAX_MARKETS]


@deploy
def __init__(
    clearinghouse: address,
    perp_engine: address,
    option_book: address,
    oracle: address,
    vault: address,
    trigger_bps: uint256,
    target_bps: uint256,
    reward: uint256,
):
    """
    @param trigger_bps [bps of NAV] open profit above which winners are closed
    @param target_bps [bps of NAV] what it is brought down to
    @param reward [quote, WAD] the most for a closing
    """
    assert trigger_bps <= MAX_TRIGGER_BPS, "deleverage: trigger"
    assert target_bps < trigger_bps, "deleverage: target"
    assert reward <= c.MAX_REWARD, "deleverage: reward"
    CLEARINGHOUSE = IClearinghouse(clearinghouse)
    PERP_ENGINE = IPerpEngine(perp_engine)
    OPTION_BOOK = IOptionBook(option_book)
    ORACLE = IPriceOracle(oracle)
    VAULT = IVault(vault)
    TRIGGER_BPS = trigger_bps
    TARGET_BPS = target_bps
    REWARD = reward


# ------------------------------------------------------------------ permissionless


@external
def nominate(account: address, market: uint256) -> uint256:
    """
    @notice Names the account whose position in a market is to be closed; within a window only one with a higher score.
    @return [1, WAD] its score, rounded down
    """
    nomination: IDeleverager.Nomination = self._nomination(market)
    excess: uint256 = self._sync()
    leg: IPerpEngine.Leg = self._leg(account, market)
    price: uint256 = (staticcall ORACLE.last(market)).price
    score: uint256 = self._score(account, leg, price, excess)
    self._check_helps(account, market, self._needed(leg, price, excess))
    if nomination.account == empty(address) or block.timestamp > nomination.opened_at + WINDOW + GRACE:
        nomination.opened_at = block.timestamp
    else:
        assert block.timestamp < nomination.opened_at + WINDOW, "deleverage: window is over"
        assert score > nomination.score, "deleverage: score is not higher"
    nomination.account = account
    nomination.score = score
    self._nominations[market] = nomination
    log IDeleverager.Nominated(
        account=account, market=market, score=score, opened_at=nomination.opened_at
    )
    return score


@external
def deleverage(market: uint256) -> int256:
    """
    @notice Closes of the nominated position what brings open profit to the target, at mark; drops a nominee that is
            not in profit.
    @return [quote, WAD] profit closed
    """
    nomination: IDeleverager.Nomination = self._nomination(market)
    assert nomination.account != empty(address), "deleverage: no nomination"
    assert block.timestamp >= nomination.opened_at + WINDOW, "deleverage: window is open"
    assert block.timestamp <= nomination.opened_at + WINDOW + GRACE, "deleverage: nomination is over"
    excess: uint256 = self._sync()
    self._nominations[market] = empty(IDeleverager.Nomination)
    leg: IPerpEngine.Leg = self._leg(nomination.account, market)
    price: uint256 = (staticcall ORACLE.last(market)).price
    if requirement._value(leg.size, leg.cost, leg.owed, price) <= 0:
        log IDeleverager.NominationDropped(account=nomination.account, market=market)
        return 0
    size_delta: int256 = self._needed(leg, price, excess)
    self._check_helps(nomination.account, market, size_delta)
    outcome: IPerpEngine.Outcome = extcall PERP_ENGINE.deleverage(nomination.account, market, size_delta)
    profit: int256 = outcome.realised - outcome.owed
    reward: uint256 = min(REWARD, convert(max(profit, 0), uint256) // REWARD_SHARE)
    reward = extcall CLEARINGHOUSE.pay_reward(msg.sender, reward)
    log IDeleverager.Deleveraged(
        account=nomination.account,
        market=market,
        keeper=msg.sender,
        size_delta=size_delta,
        profit=profit,
        excess=excess,
        reward=reward,
    )
    return profit


# ------------------------------------------------------------------ views


@external
@view
def status() -> IDeleverager.Status:
    """
    @notice Where open profit stands at the marks that a sync would accept now; reverts where it cannot be told.
    """
    return self._status()


@external
@view
def nomination(market: uint256) -> IDeleverager.Nomination:
    """
    @return who is nominated in a market, zeros if nobody
    """
    return self._nomination(market)


@external
@view
def params() -> (uint256, uint256, uint256):
    """
    @return trigger and target [bps of NAV], reward [quote, WAD]
    """
    return TRIGGER_BPS, TARGET_BPS, REWARD


@external
@view
def neighbours() -> (address, address, address, address, address):
    """
    @return clearinghouse, perp engine, option book, oracle, vault
    """
    return (
        CLEARINGHOUSE.address,
        PERP_ENGINE.address,
        OPTION_BOOK.address,
        ORACLE.address,
        VAULT.address,
    )


# ------------------------------------------------------------------ internal


@internal
def _sync() -> uint256:
    """
    @notice Records the newest round of every listed market: positions and margin are read at the last marks.
    @return [quote, WAD] open profit over the target, when armed
    """
    listed: uint256 = staticcall PERP_ENGINE.listed_mask()
    for market: uint256 in range(c.MAX_MARKETS):
        if (listed >> market) & 1 == 1:
            extcall ORACLE.sync(market)
    status: IDeleverager.Status = self._status()
    assert status.armed, "deleverage: not armed"
    return status.excess


@internal
@view
def _status() -> IDeleverager.Status:
    listed: uint256 = staticcall PERP_ENGINE.listed_mask()
    prices: DynArray[uint256, c.MAX_MARKETS] = []
    for market: uint256 in range(c.MAX_MARKETS):
        if listed >> market == 0:
            break
        price: uint256 = 0      # of a market without positions
        if (listed >> market) & 1 == 1:
            mark: IPriceOracle.Mark = staticcall ORACLE.peek(market)
            assert mark.fresh, "oracle: stale price"
            price = mark.price
        prices.append(price)
    assert (staticcall OPTION_BOOK.book_value(prices))[2], "deleverage: options not valued"
    nav: int256 = (staticcall VAULT.valuation()).nav
    profit: int256 = -staticcall PERP_ENGINE.book_value(prices)
    equity: uint256 = convert(max(nav, 0), uint256)
    trigger: int256 = convert(wad.mul_div_up(equity, TRIGGER_BPS, c.BPS), int256)
    target: int256 = convert(wad.mul_div_down(equity, TARGET_BPS, c.BPS), int256)
    return IDeleverager.Status(
        nav=nav,
        profit=profit,
        excess=convert(max(profit - target, 0), uint256),
        armed=profit > trigger,
    )


@internal
@view
def _nomination(market: uint256) -> IDeleverager.Nomination:
    assert market < c.MAX_MARKETS, "deleverage: no such market"
    return self._nominations[market]


@internal
@view
def _leg(account: address, market: uint256) -> IPerpEngine.Leg:
    return (staticcall PERP_ENGINE.legs(account, 1 << market))[0]


@internal
@view
def _score(account: address, leg: IPerpEngine.Leg, price: uint256, excess: uint256) -> uint256:
    """
    @dev    Factors are at most MAX_RATIO, MAX_RATIO and 1: their product fits.
    @return [1, WAD] rounded down
    """
    value: int256 = requirement._value(leg.size, leg.cost, leg.owed, price)
    assert value > 0, "deleverage: not in profit"
    cash: int256 = 0
    mask: uint256 = 0
    cash, mask = staticcall CLEARINGHOUSE.account(account)
    margin: IMargin = IMargin(staticcall CLEARINGHOUSE.margin())
    health: IMargin.Health = staticcall margin.assess(account, cash, mask)
    assert health.equity > 0, "deleverage: no equity"
    profit: uint256 = convert(value, uint256)
    notional: uint256 = wad.mul_down(signed.magnitude(leg.size), price)
    at_risk: uint256 = max(convert(health.equity, uint256), health.maintenance)
    gain: uint256 = min(wad.mul_div_down(profit, c.WAD, max(signed.magnitude(leg.cost), 1)), MAX_RATIO)
    leverage: uint256 = min(wad.mul_div_down(notional, c.WAD, at_risk), MAX_RATIO)
    return wad.mul_div_down(wad.mul_down(gain, leverage), min(profit, excess), excess)


@internal
@view
def _check_helps(account: address, market: uint256, size_delta: int256):
    """@dev The account is not charged, so LPs would be; what is a rebate is theirs."""
    quoted: IPerpEngine.Outcome = staticcall PERP_ENGINE.quote(account, market, size_delta)
    assert quoted.charge <= 0, "deleverage: would raise risk"


@internal
@pure
def _needed(leg: IPerpEngine.Leg, price: uint256, excess: uint256) -> int256:
    """
    @notice The part of a position in profit whose closing takes `excess` off its open profit. What it owes is paid
            whatever part is closed, so of size * price - cost there have to go excess + owed.
    @return [base, WAD] change of the position, rounded up, at least a wei, at most all of it
    """
    size: uint256 = signed.magnitude(leg.size)
    gain: int256 = requirement._value(leg.size, leg.cost, 0, price)
    wanted: int256 = convert(excess, int256) + leg.owed
    closed: uint256 = 1
    if wanted >= gain:
        closed = size
    elif wanted > 0:
        closed = wad.mul_div_up(size, convert(wanted, uint256), convert(gain, uint256))
    if leg.size > 0:
        return -convert(closed, int256)
    return convert(closed, int256)
