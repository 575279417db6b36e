# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  HedgeVenueDouble: a venue that behaves as a test tells it to
@notice Honest by default: sells base at `price` plus fee, buys it back at `price` minus fee. Its quote is a token that anyone may
        mint: what it earns goes to nobody, what it pays it mints. Each manner breaks one promise of IHedgeVenue.
@dev    No lock: one of its manners is to re-enter. Views answer raw bytes, because answering nonsense is another; for the same
        reason it does not declare that it implements IHedgeVenue.
@custom:kill Nothing to kill: never deployed where money is real.
"""

from ethereum.ercs import IERC20
from interfaces import IHedgeVenue
from interfaces import ILendingVenue
from contracts import constants as c
from contracts.testing import reentry

initializes: reentry

exports: (reentry.prepare, reentry.attempt, reentry.went_through)

interface Mintable:
    def mint(owner: address, amount: uint256): nonpayable

# Python mirror: ballast/testing/hedge_world.py
flag Manner:
    REFUSES             # rebalance and recall revert
    OVERCHARGES         # keeps one more per cent of the notional
    FILLS_HALF          # and says so
    FILLS_NOTHING
    OVERSTATES          # says it has filled twice what it did
    OVERFILLS           # does twice what was asked
    INVENTS_EQUITY      # equity is up by a tenth after a trade
    ASKS_TOO_MUCH       # wants ten times the notional
    MOVES_PRICE         # its spot leaves the band when it trades
    LOSES_ALL           # exposure and equity are gone
    VIEWS_REVERT
    VIEWS_BURN_GAS
    VIEWS_GARBAGE       # a word of ones
    VIEWS_SILENT        # answers nothing
    VIEWS_SHOUT         # answers 4 kB
    RE_ENTERS           # makes the call of reentry.vy in the middle of a trade instead of trying it, and fails if that does
    KEEPS               # pays nothing back and nothing for what it gets
    PAYS_MORE           # one per cent of the notional, from nowhere

FEE: constant(uint256) = 5 * 10**14     # 5 bp
NOWHERE: constant(address) = 0x000000000000000000000000000000000000dEaD

CLEARINGHOUSE: immutable(address)
QUOTE: immutable(IERC20)
SCALE: immutable(uint256)

manners: public(Manner)
price: public(uint256)
twap: public(uint256)
held: public(int256)
# What `exposure` adds to it [base, WAD] and what part of the truth `equity` tells [bps].
skew: public(int256)
told_bps: public(uint256)
# What `lending` answers.
lender: public(ILendingVenue.Lending)
traded: bool


@deploy
def __init__(clearinghouse: address, quote: address, scale: uint256, price: uint256):
    """
    @param quote a TestToken
    @param scale [WAD per token unit] of it
    """
    CLEARINGHOUSE = clearinghouse
    QUOTE = IERC20(quote)
    SCALE = scale
    self.price = price
    self.twap = price
    self.told_bps = c.BPS


@external
def set_manners(manners: Manner):
    """@notice Any of the flags."""
    self.manners = manners


@external
def set_price(price: uint256, twap: uint256):
    """@notice Spot and average [quote/base, WAD]."""
    self.price = price
    self.twap = twap


@external
def set_held(held: int256):
    """@notice Gains or loses base by magic."""
    self.held = held


@external
def set_lender(lender: ILendingVenue.Lending):
    """@notice Owes and lends so much; of zeros it has none."""
    self.lender = lender


@external
def set_lies(skew: int256, told_bps: uint256):
    """@notice Exposure is said to be `skew` more than it is, equity `told_bps` / 10,000 of what it is."""
    self.skew = skew
    self.told_bps = told_bps


@external
def rebalance(size: int256, limit_price: uint256, route: uint256):
    """@notice Trades at `price` whatever the limit."""
    assert not (Manner.REFUSES in self.manners), "double: refuses"
    self._re_enter()
    filled: int256 = size
    if Manner.FILLS_HALF in self.manners:
        filled = size // 2
    if Manner.FILLS_NOTHING in self.manners:
        filled = 0
    if Manner.OVERFILLS in self.manners:
        filled = 2 * size
    notional: uint256 = convert(abs(filled), uint256) * self.price // c.WAD
    kept: uint256 = notional * FEE // c.WAD
    if Manner.OVERCHARGES in self.manners:
        kept += notional // 100
    if size > 0:
        balance: uint256 = staticcall QUOTE.balanceOf(self)
        spent: uint256 = min((notional + kept + SCALE - 1) // SCALE, balance)
        if Manner.KEEPS in self.manners:
            spent = balance
        extcall QUOTE.transfer(NOWHERE, spent, default_return_value=True)
        if balance > spent:
            extcall QUOTE.transfer(CLEARINGHOUSE, balance - spent, default_return_value=True)
    elif not (Manner.KEEPS in self.manners):
        extcall Mintable(QUOTE.address).mint(CLEARINGHOUSE, (notional - kept) // SCALE)
    if Manner.PAYS_MORE in self.manners:
        extcall Mintable(QUOTE.address).mint(CLEARINGHOUSE, notional // 100 // SCALE)
    self.held += filled
    self.traded = True
    if Manner.MOVES_PRICE in self.manners:
        self.price = self.price * 102 // 100
    if Manner.OVERSTATES in self.manners:
        self.skew += filled


@external
def recall(units: uint256, limit_price: uint256, route: uint256) -> uint256:
    """@notice Sells what `units` is worth at `price`."""
    assert not (Manner.REFUSES in self.manners), "double: refuses"
    self._re_enter()
    paid: uint256 = units - units * FEE // c.WAD
    if Manner.OVERCHARGES in self.manners:
        paid -= units // 100
    if Manner.PAYS_MORE in self.manners:
        paid += units // 100
    if Manner.KEEPS in self.manners:
        paid = 0
    extcall Mintable(QUOTE.address).mint(CLEARINGHOUSE, paid)
    self.held -= convert(units * SCALE * c.WAD // self.price, int256)
    if Manner.MOVES_PRICE in self.manners:
        self.price = self.price * 98 // 100
    return paid


@view
@external
def funding(size: int256, limit_price: uint256) -> uint256:
    """@return [token units]"""
    if size <= 0:
        return 0
    units: uint256 = convert(size, uint256) * limit_price // c.WAD // SCALE
    if Manner.ASKS_TOO_MUCH in self.manners:
        units *= 10
    return units


@view
@external
def best_route(size: int256) -> uint256:
    """@return 0"""
    return 0


@view
@external
def prices(route: uint256) -> IHedgeVenue.Prices:
    """@return as set"""
    return IHedgeVenue.Prices(spot=self.price, twap=self.twap, fee=FEE)


@view
@external
def spot(route: uint256, reference: uint256) -> uint256:
    """@return as set"""
    return self.price


@view
@external
@raw_return
def exposure() -> Bytes[4096]:
    """@return int256 [base, WAD], or nonsense"""
    return self._answer(abi_encode(self._exposure()))


@view
@external
@raw_return
def equity(price: uint256) -> Bytes[4096]:
    """@return uint256 [quote, WAD], or nonsense"""
    return self._answer(abi_encode(self._equity(price)))


@view
@external
@raw_return
def position(mid: uint256, twap: uint256) -> Bytes[4096]:
    """@return IHedgeVenue.Position, or nonsense"""
    return self._answer(abi_encode(IHedgeVenue.Position(
        exposure=self._exposure(), at_mid=self._equity(mid), at_twap=self._equity(twap)
    )))


@view
@internal
def _exposure() -> int256:
    if Manner.LOSES_ALL in self.manners:
        return 0
    return self.held + self.skew


@view
@internal
def _equity(price: uint256) -> uint256:
    amount: uint256 = 0
    if self.held > 0 and not (Manner.LOSES_ALL in self.manners):
        amount = convert(self.held, uint256) * price // c.WAD * self.told_bps // c.BPS
    if Manner.INVENTS_EQUITY in self.manners and self.traded:
        amount += amount // 10
    return amount


@view
@external
@raw_return
def lending() -> Bytes[4096]:
    """@return ILendingVenue.Lending, or nonsense"""
    return self._answer(abi_encode(self.lender))


@internal
def _re_enter():
    if Manner.RE_ENTERS in self.manners:
        raw_call(reentry.target, reentry.payload)
    else:
        reentry._try()


@view
@internal
def _answer(honest: Bytes[128]) -> Bytes[4096]:
    assert not (Manner.VIEWS_REVERT in self.manners), "double: broken"
    if Manner.VIEWS_BURN_GAS in self.manners:
        raise UNREACHABLE
    if Manner.VIEWS_GARBAGE in self.manners:
        return abi_encode(max_value(uint256), max_value(uint256), max_value(uint256))
    if Manner.VIEWS_SILENT in self.manners:
        return b""
    if Manner.VIEWS_SHOUT in self.manners:
        return abi_encode(empty(uint256[128]))
    return honest
