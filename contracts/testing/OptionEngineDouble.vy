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
    mark: IPriceOracle.Mark = extcall ORACLE.sync(market)
    assert mark.fresh, "oracle: stale price"
    moved: int256 = convert(mark.price, int256) - convert(self.settled_at[market], int256)
    gain: int256 = signed.mul_floor(self.delta[market], moved)
    told: IInventory.Change = change
    told.book = -gain
    q: IInventory.Quote = extcall INVENTORY.trade(market, mark, told)
    self.delta[market] += change.exposure.delta
    self.settled_at[market] = mark.price
    paid: int256 = gain + convert(q.half_spread, int256) + q.charge
    cash: int256 = (staticcall CLEARINGHOUSE.account(self))[0]
    assert cash >= paid, "double: desk is out of cash"
    extcall CLEARINGHOUSE.settle(
        self,
        IClearinghouse.Settlement(
            cash=-paid,
            reserve=q.charge - convert(q.release, int256),
            fees=q.half_spread * FEE_SHARE_BPS // c.BPS,
            opened=0,
            closed=0,
            payables=0,
        ),
    )
    return q
