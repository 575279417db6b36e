# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  OptionEngineDouble: an engine that reports whatever change of exposure it is told
@notice Puts delta, gamma, vega and a stress vector of any size and sign on the inventory, and settles as PerpEngine does. One desk
        is on the other side of all of them: this contract's own account at the Clearinghouse, funded by whoever deploys it.
@dev    Gamma and vega have no value here, delta has that of a future: its gain since the last call in the market is settled in
        cash at the next, so a position is worth zero after each call and delta times the price's change until the next. That is
        in Inventory's `value`; NAV, which knows PerpEngine and venues alone, sees it when it is settled.
@custom:kill Nothing to kill: never deployed where money is real.
"""

from interfaces import IClearinghouse
from interfaces import IInventory
from interfaces import IPriceOracle
from contracts import constants as c
from contracts.math import signed

FEE_SHARE_BPS: constant(uint256) = 2_000

CLEARINGHOUSE: immutable(IClearinghouse)
INVENTORY: immutable(IInventory)
ORACLE: immutable(IPriceOracle)

# By market: what the vault holds of the desk [base, WAD], and the price at which its gain was last settled [WAD].
delta: public(HashMap[uint256, int256])
settled_at: public(HashMap[uint256, uint256])


@deploy
def __init__(clearinghouse: address, inventory: address, oracle: address):
    CLEARINGHOUSE = IClearinghouse(clearinghouse)
    INVENTORY = IInventory(inventory)
    ORACLE = IPriceOracle(oracle)


@external
def trade(market: uint256, change: IInventory.Change) -> IInventory.Quote:
    """
    @notice Reports the change and settles it with the desk.
    @param change its `book` is replaced by what the settlement of the gain makes it
    """
    mark: IPriceOracle.Mark = self._mark(market)
    told: IInventory.Change = change
    told.book = -self._gain(market, mark.price)
    q: IInventory.Quote = extcall INVENTORY.trade(market, mark, told)
    self._settle(market, mark.price, told, convert(q.half_spread, int256) + q.charge, q.charge, q.release, q.half_spread)
    return q


@external
def adjust(market: uint256, change: IInventory.Change) -> IInventory.Fall:
    """
    @notice Reports the change as one of what it holds already: valued anew, or gone. Nobody pays for it.
    @param change its `book` is replaced as in `trade`
    """
    mark: IPriceOracle.Mark = self._mark(market)
    told: IInventory.Change = change
    told.book = -self._gain(market, mark.price)
    f: IInventory.Fall = extcall INVENTORY.adjust(market, mark, told, 0)
    self._settle(market, mark.price, told, 0, 0, f.release, 0)
    return f


@internal
def _mark(market: uint256) -> IPriceOracle.Mark:
    mark: IPriceOracle.Mark = extcall ORACLE.sync(market)
    assert mark.fresh, "oracle: stale price"
    return mark


@internal
@view
def _gain(market: uint256, price: uint256) -> int256:
    moved: int256 = convert(price, int256) - convert(self.settled_at[market], int256)
    return signed.mul_floor(self.delta[market], moved)


@internal
def _settle(
    market: uint256,
    price: uint256,
    told: IInventory.Change,
    cost: int256,
    charge: int256,
    release: uint256,
    half_spread: uint256,
):
    """@notice Settles the gain, which is -told.book, and the cost of a trade."""
    self.delta[market] += told.exposure.delta
    self.settled_at[market] = price
    paid: int256 = cost - told.book
    cash: int256 = (staticcall CLEARINGHOUSE.account(self))[0]
    assert cash >= paid, "double: desk is out of cash"
    extcall CLEARINGHOUSE.settle(
        self,
        IClearinghouse.Settlement(
            cash=-paid,
            reserve=charge - convert(release, int256),
            fees=half_spread * FEE_SHARE_BPS // c.BPS,
            opened=0,
            closed=0,
            payables=0,
        ),
    )
