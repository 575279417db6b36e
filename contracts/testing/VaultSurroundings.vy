# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  VaultSurroundings: inventory, oracle, perp engine and hedge manager of a Vault, answering what they are told
@notice For tests of the Vault alone, beside a real Clearinghouse where this contract holds INVENTORY and HEDGER:
        U(E) = curve / max(E, 1,000), convex and falling in E like the real one; the spread grows by VOL_SPREAD for each
        second of vol_age; everything else is a number.
        Twin: `Surroundings` in tests/unit/vault/world.py.
@custom:kill Nothing to kill: never deployed outside tests.
"""

from interfaces import IClearinghouse
from interfaces import IInventory
from interfaces import IPriceOracle
from contracts import constants as c

CAPITAL_FLOOR: constant(uint256) = 1_000 * c.WAD
VOL_SPREAD: constant(uint256) = c.WAD // 1_000          # [quote per s, WAD]

CLEARINGHOUSE: immutable(IClearinghouse)

market_count: public(uint256)
book: public(int256)                # [quote, WAD]
venues: public(uint256)             # [quote, WAD]
spread: public(uint256)             # [quote, WAD] while vol_age is 0
curve: public(uint256)              # [quote^2, WAD]
stressed_loss: public(uint256)      # [quote, WAD]
due: public(uint256)                # [quote, WAD] released by the next sync_all
marks: HashMap[uint256, IPriceOracle.Mark]


@deploy
def __init__(clearinghouse: address):
    CLEARINGHOUSE = IClearinghouse(clearinghouse)


@external
def set_mark(market: uint256, updated_at: uint256, fresh: bool):
    """
    @notice The feed has this round.
    """
    self.marks[market] = IPriceOracle.Mark(
        price=c.WAD, sigma=0, half_width=0, round_id=1, updated_at=updated_at, prev_updated_at=0, fresh=fresh
    )
    self.market_count = max(self.market_count, market + 1)


@external
def set_values(book: int256, venues: uint256, spread: uint256, curve: uint256, stressed_loss: uint256, due: uint256):
    """
    @notice Everything that is not a mark.
    """
    self.book = book
    self.venues = venues
    self.spread = spread
    self.curve = curve
    self.stressed_loss = stressed_loss
    self.due = due


@external
def settle(lp: int256, reserve: int256, account: address):
    """
    @notice Moves money between an account, LP cash and the reserve, as engines do: account loses lp + reserve.
    """
    extcall CLEARINGHOUSE.begin()
    extcall CLEARINGHOUSE.settle(
        account,
        IClearinghouse.Settlement(
            cash=-lp - reserve, reserve=reserve, fees=0, opened=0, closed=0, payables=0
        ),
    )


@external
def sync_all():
    due: uint256 = self.due
    self.due = 0
    if due > 0:
        extcall CLEARINGHOUSE.release(due)


@external
@view
def valuation(
    beside: int256, marks: DynArray[IPriceOracle.Mark, 16], vol_age: uint256
) -> IInventory.Valuation:
    assert len(marks) == self.market_count, "double: not every mark"
    lp: int256 = 0
    reserve: uint256 = 0
    lp, reserve = staticcall CLEARINGHOUSE.vault_ledger()
    lp += convert(self.due, int256)
    return IInventory.Valuation(
        spread=self.spread + VOL_SPREAD * vol_age,
        potential=self.curve * c.WAD // convert(max(lp + beside, convert(CAPITAL_FLOOR, int256)), uint256),
        release=self.due,
        lp_cash=lp,
        reserve=reserve - self.due,
        stressed_loss=self.stressed_loss,
    )


@external
@view
def book_value(prices: DynArray[uint256, 16]) -> int256:
    return self.book


@external
@view
def equity(prices: DynArray[uint256, 16]) -> uint256:
    return self.venues


@external
@view
def peek(market: uint256) -> IPriceOracle.Mark:
    return self.marks[market]
