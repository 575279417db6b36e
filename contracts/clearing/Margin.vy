# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Margin: what an account is worth and what it must keep
@notice Equity = cash + sum over positions of (size * mark - cost - owed). Requirement = sum of |size| * mark * a fraction
        per market, one for opening and withdrawing (initial), a lower one below which the account is liquidated.

        Actors: anyone reads. No storage, no roles; a new margin contract replaces this one at the Clearinghouse.

        Invariants: value rounds down, requirements round up. Reads stored marks only: whoever acts on the answer has synced
        the account's markets in the same transaction.
@custom:kill Nothing to kill: it only answers.
"""

from interfaces import IClearinghouse
from interfaces import IMargin
from interfaces import IPerpEngine
from interfaces import IPriceOracle
from contracts.clearing import requirement

implements: IMargin

CLEARINGHOUSE: immutable(IClearinghouse)
PERP_ENGINE: immutable(IPerpEngine)
ORACLE: immutable(IPriceOracle)


@deploy
def __init__(clearinghouse: address, perp_engine: address, oracle: address):
    CLEARINGHOUSE = IClearinghouse(clearinghouse)
    PERP_ENGINE = IPerpEngine(perp_engine)
    ORACLE = IPriceOracle(oracle)


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
    return self._assess(account, cash, mask)


@external
@view
def assess(account: address, cash: int256, mask: uint256) -> IMargin.Health:
    """
    @notice `health` for a caller inside an operation, which brings the ledger's words along.
    @param cash [quote, WAD]
    """
    return self._assess(account, cash, mask)


@external
@view
def check_initial(account: address, cash: int256, mask: uint256) -> bool:
    """
    @return whether equity is at or above the initial requirement
    """
    health: IMargin.Health = self._assess(account, cash, mask)
    return health.equity >= convert(health.initial, int256)


@external
@view
def clearinghouse() -> address:
    """@return the ledger"""
    return CLEARINGHOUSE.address


@external
@view
def perp_engine() -> address:
    """@return the engine whose positions count"""
    return PERP_ENGINE.address


@external
@view
def oracle() -> address:
    """@return the source of marks"""
    return ORACLE.address


@internal
@view
def _assess(account: address, cash: int256, mask: uint256) -> IMargin.Health:
    equity: int256 = cash
    initial: uint256 = 0
    maintenance: uint256 = 0
    if mask != 0:
        for leg: IPerpEngine.Leg in staticcall PERP_ENGINE.legs(account, mask):
            price: uint256 = (staticcall ORACLE.last(leg.market)).price
            equity += requirement._value(leg.size, leg.cost, leg.owed, price)
            initial += requirement._required(leg.size, price, leg.initial_bps)
            maintenance += requirement._required(leg.size, price, leg.maintenance_bps)
    return IMargin.Health(equity=equity, initial=initial, maintenance=maintenance)
