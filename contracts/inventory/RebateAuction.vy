# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  RebateAuction: a boost on top of the rebate, while U is outside its band
@notice Rebates come out of what traders paid, and need not be enough for anybody to take the risk. So LPs pay more the
        longer U stays above band * E: from a day after the auction was opened, the boost rises from nothing to `max_rate`
        of the fall of U. Inventory asks for it in the course of every trade that lowers U and has it paid here: LP cash
        goes into the reserve, and out of it to the trader together with the rebate.

        Actors: anyone opens an auction while U is outside the band, and closes it when it is inside; INVENTORY, set once,
        asks and pays; the guardian may end all payments; the governor sets parameters inside immutable bounds.

        Invariants. A boost is at most, rounded down: rate <= 60 % of the fall of U below its lowest since the auction was
        opened (the mark, which moves with changes that are no trades) and above the line band * E; the floor of the
        half-spread on what the trade takes off its market's own delta and vega, so that no sequence of trades earns it
        without paying as much in spread; what is left of the day's budget; LP cash. Nothing is paid before the auction has been open for a day, so the mark always looks back on a day.
        What has been paid for a fall starts to rise anew: dust moves the clock by dust, a fall to the line by all of it.
@custom:kill The guardian's `disable`: nothing is paid any more, and anyone may close. Only then revoke INVENTORY at the
        Clearinghouse: without it a trade that is to be paid reverts.
"""

from interfaces import IClearinghouse
from interfaces import IInventory
from interfaces import IRebateAuction
from contracts import constants as c
from contracts.governance import roles
from contracts.inventory import exposure
from contracts.math import signed
from contracts.math import wad

implements: IRebateAuction

initializes: roles

exports: (
    roles.admin,
    roles.pending_admin,
    roles.roles_of,
    roles.grant_role,
    roles.revoke_role,
    roles.renounce_setup,
    roles.offer_admin,
    roles.accept_admin,
)

struct State:
    since: uint256          # [ns] when the rate began or begins to rise; 0: no auction
    used: uint256           # [MICRO quote] drawn from the budget at `used_at`
    used_at: uint256        # [s]


NS: constant(uint256) = 10**9                       # [ns per s]
BAND_UNIT: constant(uint256) = 10**9
MAX_BAND: constant(uint256) = BAND_UNIT // 20       # 5 % of E
MAX_RATE_BPS: constant(uint256) = 6_000
MIN_RAMP: constant(uint256) = 3_600                 # [s]
MAX_RAMP: constant(uint256) = 30 * c.DAY            # [s]
MAX_BUDGET: constant(uint256) = 100_000 * 10**6     # [MICRO quote]

CLEARINGHOUSE: immutable(IClearinghouse)

# Whose U it is; set once.
inventory: public(address)
# band u32 | max_rate_bps u16 | ramp u32 | budget u64
_params_word: uint256
# since u64 | used u64 | used_at u64
_state_word: uint256


@deploy
def __init__(admin: address, setup: address, clearinghouse: address):
    """
    @param admin holds GOVERNOR from the start
    @param setup deployer that wires the system and then renounces
    """
    roles.__init__(admin, setup)
    CLEARINGHOUSE = IClearinghouse(clearinghouse)


# ------------------------------------------------------------------ permissionless

@external
def open():
    """
    @notice Opens an auction, if U is outside the band at marks of now. One that is open, and whose mark is more than half
            of the way from U to the line, where it pays nothing, may be opened anew.
    """
    state: State = self._state()
    p: IRebateAuction.Params = self._params()
    assert p.max_rate_bps != 0, "auction: disabled"
    self._check_idle()
    inventory: IInventory = IInventory(self.inventory)
    extcall inventory.sync_all()
    book: exposure.Book = staticcall inventory.book()
    u: uint256 = book.last * c.MICRO
    line: uint256 = self._line(p, book.capital * c.MICRO)
    assert u > line, "auction: inside the band"
    assert state.since == 0 or (book.auction_low - 1) * c.MICRO <= (u + line) // 2, "auction: open"
    rises_at: uint256 = block.timestamp + c.DAY
    state.since = rises_at * NS
    self._save(state)
    log IRebateAuction.Opened(potential=u, line=line, rises_at=rises_at)
    extcall inventory.set_boosting(True)


@external
def close():
    """
    @notice Ends the auction, if U is inside the band at marks of now, or there is nothing to pay with any more.
    """
    state: State = self._state()
    p: IRebateAuction.Params = self._params()
    assert state.since != 0, "auction: not open"
    self._check_idle()
    inventory: IInventory = IInventory(self.inventory)
    if p.max_rate_bps != 0:
        extcall inventory.sync_all()
    book: exposure.Book = staticcall inventory.book()
    u: uint256 = book.last * c.MICRO
    line: uint256 = self._line(p, book.capital * c.MICRO)
    assert u <= line or p.max_rate_bps == 0, "auction: outside the band"
    state.since = 0
    self._save(state)
    log IRebateAuction.Closed(potential=u, line=line)
    extcall inventory.set_boosting(False)


# ------------------------------------------------------------------ inventory

@external
def pay(before: uint256, after: uint256, capital: uint256, amount: uint256):
    """
    @notice Has LPs pay what `boost` answered for a trade, and takes its part of the fall to the line off the clock.
    @param before [quote, WAD] U before the trade, above the line
    @param after [quote, WAD] U after it
    @param capital [quote, WAD] E
    @param amount [quote, WAD] of the boost
    """
    assert msg.sender == self.inventory, "auction: not inventory"
    state: State = self._state()
    p: IRebateAuction.Params = self._params()
    way: uint256 = before - self._line(p, capital)
    clock: uint256 = self._clock(state, p)
    left: uint256 = clock - wad.mul_div_up(clock, min(before - after, way), way)
    state.since = block.timestamp * NS - left
    state.used = self._used(state, p) + (amount + c.MICRO - 1) // c.MICRO
    state.used_at = block.timestamp
    self._save(state)
    log IRebateAuction.Boosted(
        amount=amount,
        before=before,
        after=after,
        rises_at=state.since // NS,
        left=wad.sub_floor(p.budget, state.used),
    )
    extcall CLEARINGHOUSE.subsidise(amount)


# ------------------------------------------------------------------ privileged

@external
def set_inventory(inventory: address):
    """
    @notice Names the Inventory that this auction belongs to, for good.
    """
    roles._check(roles.Role.SETUP)
    assert self.inventory == empty(address) and inventory != empty(address), "auction: inventory is set"
    self.inventory = inventory
    log IRebateAuction.InventorySet(inventory=inventory)


@external
def set_params(params: IRebateAuction.Params):
    """
    @notice Changes all parameters, inside the immutable bounds; an auction that is open goes on with them.
    """
    roles._check(roles.Role.GOVERNOR | roles.Role.SETUP | roles.Role.STEWARD)
    assert (
        params.band != 0
        and params.band <= MAX_BAND
        and params.max_rate_bps <= MAX_RATE_BPS
        and params.ramp >= MIN_RAMP
        and params.ramp <= MAX_RAMP
        and params.budget <= MAX_BUDGET
    ), "auction: bad parameter"
    self._params_word = (
        (params.band << 112) | (params.max_rate_bps << 96) | (params.ramp << 64) | params.budget
    )
    log IRebateAuction.ParamsSet(params=params)


@external
def disable():
    """
    @notice Pays nothing from now on; the governor's `set_params` undoes it.
    """
    roles._check(roles.Role.GUARDIAN | roles.Role.GOVERNOR)
    p: IRebateAuction.Params = self._params()
    self._params_word = (p.band << 112) | (p.ramp << 64) | p.budget
    log IRebateAuction.Disabled(guardian=msg.sender)


# ------------------------------------------------------------------ views

@view
@external
def boost(
    top: uint256,
    after: uint256,
    capital: uint256,
    price: uint256,
    market: exposure.Market,
    x: IInventory.Exposure,
    spreads: IInventory.MarketParams,
) -> uint256:
    """
    @notice What a trade is paid for lowering U, now.
    @param top [quote, WAD] from where: U before, or its low-water marks where they are lower
    @param after [quote, WAD] to where
    @param capital [quote, WAD] E
    @param price [quote/base, WAD] the mark it is at
    @param market what the vault has in its market after it
    @param x what it added to that
    @param spreads the market's
    @return [quote, WAD] rounded down
    """
    state: State = self._state()
    p: IRebateAuction.Params = self._params()
    bottom: uint256 = max(after, self._line(p, capital))
    if state.since == 0 or top <= bottom:
        return 0
    cap: uint256 = self._cap(price, market, x, spreads)
    return min(min(self._share(top - bottom, state, p), cap), self._left(state, p))


@view
@external
def offer() -> IRebateAuction.Offer:
    """
    @notice What is paid, and for what, at the marks and the E of the last trade or sync.
    """
    state: State = self._state()
    p: IRebateAuction.Params = self._params()
    book: exposure.Book = staticcall IInventory(self.inventory).book()
    u: uint256 = book.last * c.MICRO
    line: uint256 = self._line(p, book.capital * c.MICRO)
    left: uint256 = self._left(state, p)
    answer: IRebateAuction.Offer = IRebateAuction.Offer(
        is_open=state.since != 0, rises_at=state.since // NS, rate=0, potential=u, mark=0, line=line, left=left, most=0
    )
    if answer.is_open:
        answer.rate = self._share(c.WAD, state, p)
        answer.mark = min(min(book.low_prev, book.low), book.auction_low - 1) * c.MICRO
        answer.most = min(self._share(wad.sub_floor(answer.mark, line), state, p), left)
    return answer


@view
@external
def params() -> IRebateAuction.Params:
    """@notice Parameters in force."""
    return self._params()


# ------------------------------------------------------------------ internal

@internal
@view
def _check_idle():
    """@notice In the middle of an operation U may be that of before it: what begins or ends then would be judged by it."""
    assert not staticcall CLEARINGHOUSE.in_progress(), "clearing: in progress"


@internal
@pure
def _cap(
    price: uint256, market: exposure.Market, x: IInventory.Exposure, spreads: IInventory.MarketParams
) -> uint256:
    """
    @notice The floor of the half-spread on what a trade takes off its market's own delta and vega, rounded down.
    @dev    Whoever builds exposure that is taken off later has paid at least that, and pays it again: no sequence of trades
            earns it, and LPs, whose part of a spread is at least half, are not the poorer for any (docs/mechanism.md §16).
    @return [quote, WAD]
    """
    delta: int256 = signed.shrinking(x.delta, market.delta - x.delta)
    vega: int256 = signed.shrinking(x.vega, market.vega - x.vega)
    dollars: uint256 = wad.mul_down(signed.magnitude(delta), price)
    return wad.mul_down(dollars, spreads.base + spreads.floor) + wad.mul_down(signed.magnitude(vega), spreads.vol_floor)


@internal
@pure
def _line(p: IRebateAuction.Params, capital: uint256) -> uint256:
    """@notice band * E [quote, WAD], rounded down."""
    return p.band * capital // BAND_UNIT


@internal
@view
def _clock(state: State, p: IRebateAuction.Params) -> uint256:
    """@notice How far the rate has risen [ns], at most the ramp."""
    return min(wad.sub_floor(block.timestamp * NS, state.since), p.ramp * NS)


@internal
@view
def _share(fall: uint256, state: State, p: IRebateAuction.Params) -> uint256:
    """@notice rate * fall, rounded down, of an open auction."""
    return fall * p.max_rate_bps * self._clock(state, p) // (c.BPS * p.ramp * NS)


@internal
@view
def _used(state: State, p: IRebateAuction.Params) -> uint256:
    """@notice [MICRO quote] drawn from the budget, which refills at its own size a day; rounded up."""
    return wad.sub_floor(state.used, p.budget * (block.timestamp - state.used_at) // c.DAY)


@internal
@view
def _left(state: State, p: IRebateAuction.Params) -> uint256:
    """@notice [quote, WAD] of the budget, at most LP cash."""
    lp_cash: int256 = (staticcall CLEARINGHOUSE.vault_ledger())[0]
    return min(wad.sub_floor(p.budget, self._used(state, p)) * c.MICRO, convert(max(lp_cash, 0), uint256))


@internal
@view
def _params() -> IRebateAuction.Params:
    w: uint256 = self._params_word
    return IRebateAuction.Params(
        band=w >> 112,
        max_rate_bps=(w >> 96) & (2**16 - 1),
        ramp=(w >> 64) & (2**32 - 1),
        budget=w & (2**64 - 1),
    )


@internal
@view
def _state() -> State:
    w: uint256 = self._state_word
    return State(since=w >> 128, used=(w >> 64) & (2**64 - 1), used_at=w & (2**64 - 1))


@internal
def _save(state: State):
    """@dev since is a time in ns until the year 2554, used at most the largest budget."""
    self._state_word = (state.since << 128) | (state.used << 64) | state.used_at
