# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Margin: what an account is worth and what it must keep
@notice Equity = cash + sum over perpetuals of (size * mark - cost - owed) + sum over options: settled ones at their payoff,
        short ones at the price of the surface, long ones at nothing. Requirement = sum of what requirement.vy asks of every
        perpetual and every short option, one for opening and withdrawing (initial), a lower one below which the account is
        liquidated.

        Actors: anyone reads. No storage, no roles; a new margin contract replaces this one at the Clearinghouse.

        Invariants: value rounds down, requirements round up. Reads stored marks only: whoever acts on the answer has synced
        the account's markets in the same transaction. No mark or surface is too old to judge an account by: an expired
        option is worth what exercise pays, one without a surface what it would pay at the forward.
@custom:kill Nothing to kill: it only answers.
"""

from interfaces import IClearinghouse
from interfaces import IMargin
from interfaces import IOptionBook
from interfaces import IOptionEngine
from interfaces import IPerpEngine
from interfaces import IPriceOracle
from interfaces import IVolSurface
from contracts import constants as c
from contracts.clearing import requirement
from contracts.math import wad
from contracts.pricing import black76
from contracts.pricing import ssvi

implements: IMargin

struct Board:               # what the options of one expiry share
    market: uint256
    expiry: uint256         # [s since 1970]
    spot: uint256           # [quote/base, WAD]
    discount: uint256       # of the strikes [Q96]
    root: uint256           # of the time to expiry [sqrt year, Q96]
    root_term: uint256      # of the time from the surface's observation to expiry [sqrt year, Q96]
    phi: uint256            # curvature of the smile [Q96]
    smile: IVolSurface.Smile
    initial_bps: uint256        # IOptionEngine.MarketParams
    floor_bps: uint256
    maintenance_bps: uint256


MAX_LOG: constant(uint256) = 2**103 - 1         # Q96; ssvi takes no larger one

CLEARINGHOUSE: immutable(IClearinghouse)
PERP_ENGINE: immutable(IPerpEngine)
ORACLE: immutable(IPriceOracle)
OPTION_ENGINE: immutable(IOptionEngine)
OPTION_BOOK: immutable(IOptionBook)
SURFACE: immutable(IVolSurface)


@deploy
def __init__(
    clearinghouse: address,
    perp_engine: address,
    oracle: address,
    option_engine: address,
    option_book: address,
    surface: address,
):
    CLEARINGHOUSE = IClearinghouse(clearinghouse)
    PERP_ENGINE = IPerpEngine(perp_engine)
    ORACLE = IPriceOracle(oracle)
    OPTION_ENGINE = IOptionEngine(option_engine)
    OPTION_BOOK = IOptionBook(option_book)
    SURFACE = IVolSurface(surface)


@external
@view
def health(account: address) -> IMargin.Health:
    """
    @notice Equity and requirements at the last accepted marks, accrued to now.
    """
    assert not staticcall CLEARINGHOUSE.in_progress(), "clearing: in progress"
    cash: int256 = 0
    mask: uint256 = 0
    cash, mask = staticcall CLEARINGHOUSE.account(account)
    return self._assess(account, cash, mask, False)


@external
@view
def assess(account: address, cash: int256, mask: uint256) -> IMargin.Health:
    """
    @notice `health` for a caller inside an operation, which brings the ledger's words along.
    @param cash [quote, WAD]
    """
    return self._assess(account, cash, mask, False)


@external
@view
def check_initial(account: address, cash: int256, mask: uint256) -> bool:
    """
    @notice Refuses an account that is short of an expired option whose board is not settled: its price is known, but not here.
    @return whether equity is at or above the initial requirement
    """
    health: IMargin.Health = self._assess(account, cash, mask, True)
    return health.equity >= convert(health.initial, int256)


@external
@view
def clearinghouse() -> address:
    """@return the ledger"""
    return CLEARINGHOUSE.address


@external
@view
def perp_engine() -> address:
    """@return the engine whose perpetuals count"""
    return PERP_ENGINE.address


@external
@view
def option_engine() -> address:
    """@return the source of the options' margin"""
    return OPTION_ENGINE.address


@external
@view
def option_book() -> address:
    """@return the book whose options count"""
    return OPTION_BOOK.address


@external
@view
def surface() -> address:
    """@return the source of volatilities"""
    return SURFACE.address


@external
@view
def oracle() -> address:
    """@return the source of marks"""
    return ORACLE.address


@internal
@view
def _assess(account: address, cash: int256, mask: uint256, takes: bool) -> IMargin.Health:
    """
    @param takes the account is about to take risk or cash: what it owes for expired options must be known then, since the price of
           now is not the one they will be settled at
    """
    equity: int256 = cash
    initial: uint256 = 0
    maintenance: uint256 = 0
    perpetuals: uint256 = mask & c.MARKETS
    if perpetuals != 0:
        for leg: IPerpEngine.Leg in staticcall PERP_ENGINE.legs(account, perpetuals):
            price: uint256 = (staticcall ORACLE.last(leg.market)).price
            equity += requirement._value(leg.size, leg.cost, leg.owed, price)
            initial += requirement._required(leg.size, price, leg.initial_bps)
            maintenance += requirement._required(leg.size, price, leg.maintenance_bps)
    if mask != perpetuals:
        board: Board = empty(Board)
        for leg: IOptionBook.Leg in staticcall OPTION_BOOK.legs(account):
            if leg.settlement != 0:
                payoff: uint256 = requirement._intrinsic(leg.strike, leg.is_put, leg.settlement)
                equity += requirement._worth(leg.size, payoff)
            elif leg.size < 0:
                assert not takes or block.timestamp < leg.expiry, "margin: settle first"
                if leg.market != board.market or leg.expiry != board.expiry:
                    board = self._board(leg.market, leg.expiry)
                equity += requirement._worth(leg.size, self._mark(board, leg.strike, leg.is_put))
                required: uint256 = requirement._required_short(
                    convert(-leg.size, uint256), leg.strike, leg.is_put, board.spot, board.initial_bps, board.floor_bps
                )
                initial += required
                maintenance += wad.mul_div_up(required, board.maintenance_bps, c.BPS)
    return IMargin.Health(equity=equity, initial=initial, maintenance=maintenance)


@internal
@view
def _board(market: uint256, expiry: uint256) -> Board:
    smile: IVolSurface.Smile = staticcall SURFACE.smile(market, expiry)
    seconds: uint256 = wad.sub_floor(expiry, block.timestamp)
    initial_bps: uint256 = 0
    floor_bps: uint256 = 0
    maintenance_bps: uint256 = 0
    initial_bps, floor_bps, maintenance_bps = staticcall OPTION_ENGINE.margin_bps(market)
    return Board(
        market=market,
        expiry=expiry,
        spot=(staticcall ORACLE.last(market)).price,
        discount=black76.discount(smile.rate, seconds),
        root=black76.root_years(seconds),
        root_term=black76.root_years(wad.sub_floor(expiry, smile.timestamp)),
        phi=ssvi.curvature(smile.theta, smile.eta),
        smile=smile,
        initial_bps=initial_bps,
        floor_bps=floor_bps,
        maintenance_bps=maintenance_bps,
    )


@internal
@pure
def _mark(board: Board, strike: uint256, is_put: bool) -> uint256:
    """
    @dev    The steps of OptionPricer.premiums, to the wei; its bounds hold here too.
    @return [quote per unit of base, WAD] Black-76 price on the smile
    """
    kd: uint256 = unsafe_mul(strike, board.discount) >> 96
    distance: uint256 = black76.log_ratio(max(kd, board.spot), min(kd, board.spot))
    k: int256 = convert(min(distance, MAX_LOG), int256)
    if board.spot > kd:
        k = -k
    vol: uint256 = ssvi.volatility(
        ssvi.total_variance(k, board.smile.theta, board.phi, board.smile.rho), board.root_term
    )
    option: black76.Option = black76.evaluate(board.spot, kd, distance, vol, board.root, board.smile.rate)
    return option.put if is_put else option.call
