# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Inventory: the vault's exposures, their price U, and the rebate rule
@notice Engines report every change of the vault's exposure through `trade`; a hedge, or options held already that an engine
        values anew, is no trade and comes through `adjust`.
        A trade that raises U pays the rise into the rebate reserve R; one that lowers U is paid the fall out of it,
        scaled by the coverage min(1, R/U) of the start of the block, and only below the low-water mark.
        Anybody may `sync` a market; anybody may read `quote`, which is `trade` to the wei.

        Blocks. A block is a timestamp. Risk capital E, coverage and the mark are sampled when a block is first touched;
        prices and volatilities enter U only while no exposure has changed in the block yet. Between two trades
        of a block U is therefore a function of the exposures alone: no split, no order and no round trip gains.

        Low-water mark. Two windows of running minima of U. A window rolls when it is 60 s old and every active market has
        had two oracle rounds inside it, so the older of the two always reaches back past the previous round.
        Changes of U that are not trades move the minima in proportion.

        Boost. While RebateAuction is open, the lowest U since is kept, and a fall below that and the low-water mark is paid
        a boost on top of the rebate, as much as the auction says: LP cash, which it moves into R on the way.

        Invariants: sums = sum over markets, recomputed (I2); R >= coverage * U >= 0 (I3, I5, I6): a rise adds all of
        itself to R, a fall takes at most coverage times itself.
@custom:kill Revoke ENGINE and HEDGER: trading and hedging stop at once; deposits and redemptions go on at the
        last exposures. Nothing is held here.
"""

from interfaces import IPriceOracle
from interfaces import IInventory
from interfaces import IClearinghouse
from interfaces import IRebateAuction
from contracts import constants as c
from contracts.math import wad
from contracts.math import signed
from contracts.pricing import potential
from contracts.governance import roles
from contracts.inventory import exposure
from contracts.inventory import stress

implements: IInventory

initializes: roles
initializes: exposure

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

# Word, from the top: aversion u29 | knee u16 | c_lo u14 | c_hi u14 | omega u24 | u_star u20 | u_max u20 | horizon u20 |
# 1 + rho u15 | funding_max u16 | release_period u20 | sweep_age u16 | borrow_kink u16 | borrow_max u16
struct Params:
    weights: potential.Weights  # in steps of: aversion 1e-3; knee, c_lo, c_hi, rho 1e-4; omega, u_star, u_max 1e-6
    horizon: uint256            # h [s]
    funding_max: uint256        # [1/year, WAD], steps of 1e-4
    release_period: uint256     # tau_release [s]
    sweep_age: uint256          # [s] markets are synchronised together at least this often
    borrow_kink: uint256        # borrow rate at u* [1/year, WAD], steps of 1e-4
    borrow_max: uint256         # borrow rate at u = 1 [1/year, WAD], steps of 1e-4
    root: uint256               # sqrt(h) [sqrt(year), WAD], rounded down; derived


# What one market adds to the sums; a function of its stored words alone.
struct Share:
    a: int256
    b: int256
    g: int256
    p: uint256
    loss: uint256               # [MICRO quote]


# A market entered in this block, in memory.
struct Entry:
    book: exposure.Book
    market: exposure.Market
    share: Share
    released: uint256           # [quote, WAD] reserve released since the words were loaded, not yet booked
    potential: uint256          # [quote, WAD] U of `book`
    quote: IInventory.Quote     # what a trade makes of it


struct State:
    potential: uint256          # [quote, WAD] U at the last marks
    stressed_loss: uint256      # [quote, WAD]
    capital: uint256            # [quote, WAD] E of the last opened block
    value: int256               # [quote, WAD] what the vault holds beside LP cash, at the last marks
    low: uint256                # [quote, WAD] low-water mark of U
    coverage: uint256           # [1, WAD]


event ParamsChanged:
    params: Params

event MarketParamsChanged:
    market: indexed(uint256)
    params: IInventory.MarketParams

MAX_SPREAD: constant(uint256) = c.WAD // 2              # of spot: selling more always brings more
CAPITAL_FLOOR: constant(uint256) = 1_000 * 10**6        # [MICRO quote] E is never less
COVERAGE_UNIT: constant(uint256) = 10**9
WINDOW: constant(uint256) = 60                          # [s] least length of a window of the low-water mark
NAV_Z: constant(uint256) = 3 * c.WAD                    # spreads on the net book in LP prices (docs/mechanism.md §7)

VOL_OF_VOL: constant(uint256) = (2**24 - 1) << 56
LISTED: constant(uint256) = 1 << 168                    # above every field of a market's parameter word

ORACLE: immutable(IPriceOracle)
CLEARINGHOUSE: immutable(IClearinghouse)
AUCTION: immutable(IRebateAuction)

# All of `Params` in one word.
_params_word: uint256
# All of `MarketParams` in one word; 0: not listed.
_market_params_word: HashMap[uint256, uint256]
# Markets listed so far; ids are 0 .. market_count - 1 and agree across contracts.
market_count: public(uint256)


@deploy
def __init__(admin: address, setup: address, oracle: address, clearinghouse: address, auction: address):
    """
    @param admin holds GOVERNOR from the start
    @param setup deployer that wires the system and then renounces
    """
    roles.__init__(admin, setup)
    ORACLE = IPriceOracle(oracle)
    CLEARINGHOUSE = IClearinghouse(clearinghouse)
    AUCTION = IRebateAuction(auction)


# ------------------------------------------------------------------ permissionless

@external
def sync(market: uint256):
    """
    @notice Re-marks one market, and opens the block if nothing has touched it yet.
    @dev    Once an exposure has changed in this block, a market that has one keeps its mark (class comment).
    """
    self._check_listed(market)
    self._sync(1 << market)


@external
def sync_all():
    """
    @notice Re-marks every listed market: what redemptions do before they read a price, and again when they have paid.
    """
    self._sync((1 << self.market_count) - 1)


# ------------------------------------------------------------------ engines and hedges

@external
def trade(market: uint256, mark: IPriceOracle.Mark, change: IInventory.Change) -> IInventory.Quote:
    """
    @notice Adds a change of exposure to the inventory and prices it.
    @param mark what PriceOracle.sync answered in this transaction
    @return what the trader pays beyond the mark value, and the rates that hold from now on
    """
    roles._check(roles.Role.ENGINE)
    mp: IInventory.MarketParams = self._market_params(market)
    book: exposure.Book = exposure.load_book()
    released: uint256 = 0
    p: Params = self._params()
    due: uint256 = self._due(book, 1 << market, p)
    if due != 0:
        book, released = self._sweep(book, due, p)
        book.swept_at = block.timestamp
    e: Entry = self._enter(book, market, mark, p, released)
    e = self._trade(e, market, mark, change, p, mp)
    self._store(e, market, e.quote.potential_after, e.quote.charge)
    if e.quote.boost != 0:
        extcall AUCTION.pay(
            e.quote.potential_before, e.quote.potential_after, unsafe_mul(e.book.capital, c.MICRO), e.quote.boost
        )
    return e.quote


@external
def adjust(
    market: uint256, mark: IPriceOracle.Mark, change: IInventory.Change, moved: int256
) -> IInventory.Fall:
    """
    @notice Adds a change of exposure that is no trade: charged nothing, rebated nothing, measured. A hedge, if the caller is
            a HEDGER; from an ENGINE, positions it holds already, valued anew or settled.
    @dev    An engine's is a re-mark as long as no exposure has changed in the block: marks can still be taken. After that U is no
            longer a function of the exposures alone between two trades, so nothing is paid for a fall of U in one block before and
            after it: it is refused where something has been (`frozen`), and ends the rebates of the block.
    @param change notional, vol_age and closing say nothing
    @param moved [quote, WAD] LP cash that has gone to a venue since the mark was read: the block opens at E without it
    """
    roles._check(roles.Role.ENGINE | roles.Role.HEDGER)
    hedges: bool = roles.Role.HEDGER in roles.roles_of[msg.sender]
    self._check_listed(market)
    p: Params = self._params()
    book: exposure.Book = exposure.load_book()
    # moved is LP cash of one step; what a book is worth fits 2^127
    book.value = unsafe_add(book.value, moved)
    released: uint256 = 0
    due: uint256 = self._due(book, 1 << market, p)
    if hedges and due != 0:
        # somebody is paid for the fall of U; as in `trade`, which is spared the 1,000 gas of sharing this
        book, released = self._sweep(book, due, p)
        book.swept_at = block.timestamp
    e: Entry = self._enter(book, market, mark, p, released)
    e.book.value = unsafe_sub(e.book.value, moved)
    before: uint256 = e.potential
    base: uint256 = min(before, unsafe_mul(e.book.opening, c.MICRO))    # 56 bits * 40 bits
    changed: bool = e.book.changed

    e = self._shift(e, market, mark, change, p)
    after: uint256 = self._potential(e.book, p.weights)
    e.book = self._scale_lows(e.book, unsafe_div(before, c.MICRO), after)
    e.book.opening = min(e.book.opening, e.book.last)
    lp_cash: int256 = 0
    reserve: uint256 = 0
    lp_cash, reserve = staticcall CLEARINGHOUSE.vault_ledger()
    reserve -= e.released
    if after > before:
        # nobody paid for this rise (a gift to a venue, a recall): R must go on covering its share of U
        e.book.coverage = min(e.book.coverage, self._coverage(reserve, after))
    if hedges:
        e.book.paid = True
    else:
        assert not e.book.paid, "inventory: rebates in this block"
        e.book.changed = changed
        if changed:
            e.book.coverage = 0
        else:
            e.book.opening = e.book.last
    self._store(e, market, after, 0)
    excess: uint256 = wad.sub_floor(reserve, after)
    return IInventory.Fall(
        fall=wad.sub_floor(base, after),
        freed=wad.sub_floor(excess, wad.sub_floor(reserve, base)),
        release=e.released,
        excess=excess,
        potential_after=after,
    )


@external
def set_boosting(on: bool):
    """
    @notice Begins, at U as it is, to keep the lowest U for the auction, which calls this; or no longer keeps it.
    """
    roles._check(roles.Role.INVENTORY)
    b: exposure.Book = exposure.load_book()
    b.auction_low = 0
    if on:
        b.auction_low = b.last + 1
    exposure.save_book(b)


# ------------------------------------------------------------------ privileged

@external
def set_market_params(market: uint256, word: uint256):
    """
    @notice Changes a market's parameters, or lists the next one, which the oracle has listed already.
    @param market an id in use, or the next free one
    @param word packed IInventory.MarketParams (ballast.model.words packs, `market_params` unpacks)
    """
    roles._check(roles.Role.GOVERNOR | roles.Role.SETUP | roles.Role.STEWARD)
    if market == self.market_count and market < c.MAX_MARKETS:
        self.market_count = market + 1
    self._check_listed(market)
    # vol_of_vol is the one that enters the sums
    assert (
        (word ^ self._market_params_word[market]) & VOL_OF_VOL == 0 or not exposure.load_market(market).optioned
    ), "inventory: market has options"
    self._market_params_word[market] = word | LISTED
    p: IInventory.MarketParams = self._market_params(market)
    self._check_bounds(
        p.base <= 2 * 10**16
        and p.floor <= 2 * 10**16
        and p.z <= 10 * c.WAD
        and p.tau <= 3_600
        and p.deviation <= 5 * 10**16
        and p.vol_of_vol <= 10 * c.WAD
        and p.vol_floor <= 10**17
        and p.vol_z <= 10 * c.WAD
        and p.vol_tau <= 43_200
        and word >> 168 == 0
    )
    log MarketParamsChanged(market=market, params=p)


@external
def set_params(word: uint256):
    """
    @notice Changes the global parameters; the running sums are recomputed with them.
    @param word packed Params
    @dev    U jumps with its parameters: like a re-mark, that may not happen between two trades of a block.
    """
    roles._check(roles.Role.GOVERNOR | roles.Role.SETUP | roles.Role.STEWARD)
    b: exposure.Book = exposure.load_book()
    assert not b.changed or b.opened_at < block.timestamp, "inventory: block has trades"
    self._params_word = word
    p: Params = self._params()
    self._check_params(p)
    b.sums = empty(potential.Sums)
    b.loss = 0
    for i: uint256 in range(c.MAX_MARKETS):
        if (b.active >> i) & 1 == 1:
            b = self._moved(b, empty(Share), self._share(exposure.load_market(i), p, i))
    self._resample(b, p)
    log ParamsChanged(params=p)


# ------------------------------------------------------------------ views

@view
@external
def quote(market: uint256, mark: IPriceOracle.Mark, change: IInventory.Change) -> IInventory.Quote:
    """
    @notice What `trade` would answer now, to the wei.
    @param mark what PriceOracle.peek answers now
    """
    mp: IInventory.MarketParams = self._market_params(market)
    book: exposure.Book = exposure.load_book()
    released: uint256 = 0
    p: Params = self._params()
    due: uint256 = self._due(book, 1 << market, p)
    if due != 0:
        book, released = self._peek_sweep(book, due, p)
    e: Entry = self._enter(book, market, mark, p, released)
    return self._trade(e, market, mark, change, p, mp).quote


@view
@external
def valuation(
    beside: int256, marks: DynArray[IPriceOracle.Mark, c.MAX_MARKETS], vol_age: uint256
) -> IInventory.Valuation:
    """
    @notice What LP prices need, with every market as `sync_all` would leave it now.
    @dev    Believes its arguments: whoever asks with other marks or equity gets an answer about them, and nobody else does.
    @param beside [quote, WAD] what equity is after the LP action beside LP cash as the release now due leaves it; U is
           asked at the sum, but not below the floor of E
    @param marks what PriceOracle.peek answers now, market by market
    """
    book: exposure.Book = exposure.load_book()
    p: Params = self._params()
    v: IInventory.Valuation = empty(IInventory.Valuation)
    i: uint256 = 0
    for mark: IPriceOracle.Mark in marks:
        m: exposure.Market = empty(exposure.Market)
        if book.opened_at < block.timestamp:
            # the first market opens the block: what is due is released then
            e: Entry = self._enter(book, i, mark, p, 0)
            book = e.book
            v.release = e.released
            m = e.market
        else:
            m = exposure.load_market(i)
            if not book.changed and (mark.price != m.price or mark.sigma != m.sigma):
                # what `_enter` makes of the sums; its checkpoints are not asked for
                old: Share = self._share(m, p, i)
                m.price = mark.price
                m.sigma = mark.sigma
                book = self._moved(book, old, self._share(m, p, i))
        if m.delta != 0:
            s: uint256 = self._spot_spread(self._market_params(i), mark, NAV_Z)
            v.spread += wad.mul_up(wad.mul_up(signed.magnitude(m.delta), mark.price), s)
        if m.vega != 0:
            s: uint256 = self._vol_spread(self._market_params(i), vol_age, NAV_Z)
            v.spread += wad.mul_up(signed.magnitude(m.vega), s)
        i += 1
    v.lp_cash, v.reserve = staticcall CLEARINGHOUSE.vault_ledger()
    v.lp_cash += convert(v.release, int256)
    v.reserve -= v.release
    capital: int256 = max(v.lp_cash + beside, convert(CAPITAL_FLOOR * c.MICRO, int256))
    v.stressed_loss = unsafe_mul(book.loss, c.MICRO)
    v.potential = potential.potential(book.sums, v.stressed_loss, convert(capital, uint256), p.weights)[0]
    return v


@view
@external
def state() -> State:
    """@notice The inventory as stored: at its last marks, nothing simulated."""
    book: exposure.Book = exposure.load_book()
    return State(
        potential=self._potential(book, self._params().weights),
        stressed_loss=unsafe_mul(book.loss, c.MICRO),       # fields of at most 72 bits
        capital=unsafe_mul(book.capital, c.MICRO),
        value=book.value,
        low=unsafe_mul(min(book.low_prev, book.low), c.MICRO),
        coverage=unsafe_mul(book.coverage, COVERAGE_UNIT),
    )


@view
@external
def book() -> exposure.Book:
    """@notice Every stored sum and mark, unpacked: what the exact twin is compared with."""
    return exposure.load_book()


@view
@external
def market(market: uint256) -> exposure.Market:
    """@notice The stored exposure of a market and the price and volatility it was last marked at."""
    return exposure.load_market(market)


@view
@external
def frozen() -> bool:
    """
    @notice Whether somebody may have been paid for a fall of U in this block: what an engine holds is not valued anew until the next.
    """
    book: exposure.Book = exposure.load_book()
    return book.paid and book.opened_at == block.timestamp


@view
@external
def horizon() -> uint256:
    """@notice Of the potential [s], which gamma is weighted by."""
    return self._params().horizon


@view
@external
def params() -> Params:
    """@notice Global parameters in force, unpacked."""
    return self._params()


@view
@external
def market_params(market: uint256) -> IInventory.MarketParams:
    """@notice Spread parameters of a market in force, unpacked."""
    return self._market_params(market)


# ------------------------------------------------------------------ the rule

@internal
@view
def _trade(
    entered: Entry,
    market: uint256,
    mark: IPriceOracle.Mark,
    change: IInventory.Change,
    p: Params,
    mp: IInventory.MarketParams,
) -> Entry:
    """
    @notice docs/mechanism.md §3: the charge is the rise of U; the rebate is coverage times the fall below the low-water mark.
    @dev    Unchecked: loss, capital and lows have at most 72 bits, parameters and coverage 64, U below 2**170; capital and
            divisors are positive. A spread is a quotient by WAD.
    """
    e: Entry = self._shift(entered, market, mark, change, p)
    q: IInventory.Quote = empty(IInventory.Quote)
    q.release = e.released
    q.potential_before = e.potential
    worst: uint256 = 0
    branch: uint256 = 0
    capital: uint256 = unsafe_mul(e.book.capital, c.MICRO)      # 72 bits * 40 bits
    q.potential_after, worst, branch = potential.potential(
        e.book.sums, unsafe_mul(e.book.loss, c.MICRO), capital, p.weights
    )

    e.book.last = unsafe_div(q.potential_after, c.MICRO)
    if q.potential_after > q.potential_before:
        q.charge = convert(unsafe_sub(q.potential_after, q.potential_before), int256)
        if not change.closing:
            assert (
                unsafe_mul(e.book.loss, c.WAD) <= unsafe_mul(p.weights.u_max, e.book.capital)
            ), "inventory: utilization"
    elif q.potential_after < q.potential_before:
        low: uint256 = min(q.potential_before, unsafe_mul(min(e.book.low_prev, e.book.low), c.MICRO))
        if low > q.potential_after:
            # rebate rounded down
            fall: uint256 = unsafe_sub(low, q.potential_after)
            rebate: uint256 = unsafe_div(unsafe_mul(fall, e.book.coverage), COVERAGE_UNIT)
            if e.book.auction_low != 0 and e.book.coverage != 0:
                low = min(low, unsafe_mul(unsafe_sub(e.book.auction_low, 1), c.MICRO))
                q.boost = staticcall AUCTION.boost(
                    low, q.potential_after, capital, mark.price, e.market, change.exposure, mp
                )
            q.charge = unsafe_sub(0, convert(unsafe_add(rebate, q.boost), int256))
            e.book.paid = True
        e.book.low = min(e.book.low, e.book.last)
        # else a later rise from almost nothing would scale it out of its word
        e.book.low_prev = min(e.book.low_prev, e.book.last)
        e.book.auction_low = min(e.book.auction_low, unsafe_add(e.book.last, 1))

    x: IInventory.Exposure = change.exposure
    if change.notional != 0 or x.delta != 0 or x.vega != 0:
        q.half_spread = wad.mul_up(change.notional, mp.base)
        if x.delta != 0:
            dollars: uint256 = wad.mul_up(signed.magnitude(x.delta), mark.price)
            q.half_spread = unsafe_add(q.half_spread, wad.mul_up(dollars, self._spot_spread(mp, mark, mp.z)))
        if x.vega != 0:
            q.half_spread = unsafe_add(
                q.half_spread, wad.mul_up(signed.magnitude(x.vega), self._vol_spread(mp, change.vol_age, mp.vol_z))
            )

    # rates that hold from now on: dI/dD / h, clamped, and the kinked borrow rate
    slope: int256 = potential.delta_price(
        e.book.sums.a, e.share.a, unsafe_div(unsafe_mul(e.market.sigma, p.root), c.WAD), capital, p.weights, worst, branch
    )
    limit: int256 = convert(p.funding_max, int256)
    yearly: int256 = unsafe_div(unsafe_mul(slope, convert(c.YEAR, int256)), convert(p.horizon, int256))
    q.funding_rate = max(unsafe_sub(0, limit), min(limit, yearly))
    u: uint256 = min(unsafe_div(unsafe_mul(e.book.loss, c.WAD), e.book.capital), c.WAD)
    u_star: uint256 = p.weights.u_star
    if u <= u_star:
        q.borrow_rate = unsafe_div(unsafe_mul(p.borrow_kink, u), u_star)
    else:
        steep: uint256 = unsafe_mul(unsafe_sub(p.borrow_max, p.borrow_kink), unsafe_sub(u, u_star))
        q.borrow_rate = unsafe_add(p.borrow_kink, unsafe_div(steep, unsafe_sub(c.WAD, u_star)))
    e.quote = q
    return e


@internal
@view
def _enter(
    loaded: exposure.Book,
    market: uint256,
    mark: IPriceOracle.Mark,
    p: Params,
    released: uint256,
) -> Entry:
    """
    @notice Brings one market into this block, in memory: opens the block on its first touch, and takes the new mark
            unless an exposure has changed in this block already.
    @param released reserve that this transaction has released so far and not yet booked
    """
    e: Entry = empty(Entry)
    e.book = loaded
    e.released = released
    e.market = exposure.load_market(market)
    bit: uint256 = 1 << market
    opens: bool = e.book.opened_at < block.timestamp
    moved: bool = mark.price != e.market.price or mark.sigma != e.market.sigma

    if e.market.delta == 0 and not e.market.optioned and (opens or not e.book.changed):
        e.book.active &= ~bit
        e.book.pending &= ~bit
    if e.book.active & bit == 0:
        # nothing here enters U: the mark can be taken at any time
        e.market.price = mark.price
        e.market.sigma = mark.sigma
        if not opens:
            e.potential = self._potential(e.book, p.weights)
            return e
    else:
        e.share = self._share(e.market, p, market)
        if not opens and (not moved or e.book.changed):
            e.potential = self._potential(e.book, p.weights)
            return e
        if moved:
            old: Share = e.share
            e.book.value += signed.mul_floor(
                e.market.delta, convert(mark.price, int256) - convert(e.market.price, int256)
            )
            e.market.price = mark.price
            e.market.sigma = mark.sigma
            e.share = self._share(e.market, p, market)
            e.book = self._moved(e.book, old, e.share)

    lp_cash: int256 = 0
    reserve: uint256 = 0
    lp_cash, reserve = staticcall CLEARINGHOUSE.vault_ledger()
    reserve -= released
    equity: uint256 = self._micro_equity(lp_cash + convert(released, int256) + e.book.value)
    if not opens:
        e.book.capital = min(e.book.capital, equity)
    elif e.book.opened_at == 0:
        e.book.capital = equity
    else:
        e.book.capital = min(e.book.equity, equity)
    e.book.equity = equity

    after: uint256 = self._potential(e.book, p.weights)
    e.book = self._scale_lows(e.book, e.book.last, after)
    e.book.opening = e.book.last
    e.potential = after
    if mark.prev_updated_at >= e.book.window_at:
        e.book.pending &= ~bit
    if opens:
        if e.book.opened_at != 0:
            elapsed: uint256 = min(block.timestamp - e.book.opened_at, p.release_period)
            # 96 bits * 20 bits
            due: uint256 = unsafe_div(unsafe_mul(wad.sub_floor(reserve, after), elapsed), p.release_period)
            e.released += due
            reserve -= due
        if e.book.pending == 0 and block.timestamp - e.book.window_at >= WINDOW:
            e.book.low_prev = e.book.low
            e.book.low = e.book.last
            e.book.window_at = block.timestamp
            e.book.pending = e.book.active
        if e.book.active & ~bit == 0:
            e.book.swept_at = block.timestamp
        e.book.opened_at = block.timestamp
        e.book.changed = False
        e.book.paid = False
    e.book.coverage = self._coverage(reserve, after)
    return e


@internal
@view
def _shift(
    entered: Entry,
    market: uint256,
    mark: IPriceOracle.Mark,
    change: IInventory.Change,
    p: Params,
) -> Entry:
    """
    @notice Moves a market's exposure in the sums, and its worth: `book` is measured at the mark, the sums at the frozen
            price, so the gap between the two goes into `value` and the next re-mark closes it.
    """
    e: Entry = entered
    x: IInventory.Exposure = change.exposure
    if change.options:
        # what is stored has 32 bits, and what wraps does not fit them
        e.market.stress = [
            unsafe_add(e.market.stress[0], change.stress[0]),
            unsafe_add(e.market.stress[1], change.stress[1]),
            unsafe_add(e.market.stress[2], change.stress[2]),
            unsafe_add(e.market.stress[3], change.stress[3]),
            unsafe_add(e.market.stress[4], change.stress[4]),
            unsafe_add(e.market.stress[5], change.stress[5]),
            unsafe_add(e.market.stress[6], change.stress[6]),
            unsafe_add(e.market.stress[7], change.stress[7]),
        ]
        e.market.optioned = True
    e.book.value += change.book + signed.mul_floor(
        x.delta, convert(e.market.price, int256) - convert(mark.price, int256)
    )
    if x.delta == 0 and x.vega == 0 and x.gamma == 0 and not e.market.optioned:
        return e
    e.market.delta += x.delta
    e.market.vega += x.vega
    e.market.gamma += x.gamma
    bit: uint256 = 1 << market
    has_greeks: bool = e.market.vega != 0 or e.market.gamma != 0
    if e.market.optioned and not has_greeks:
        has_greeks = stress.pack(e.market.stress) != 0
    e.market.optioned = has_greeks
    if has_greeks:
        e.book.optioned |= bit
    else:
        e.book.optioned &= ~bit
    if has_greeks or e.market.delta != 0:
        if mark.prev_updated_at < e.book.window_at:
            e.book.pending |= bit
        e.book.active |= bit
    else:
        # active until the next block: emptied and refilled in one block it keeps its mark
        e.book.pending &= ~bit
    old: Share = e.share
    e.share = self._share(e.market, p, market)
    e.book = self._moved(e.book, old, e.share)
    e.book.changed = True
    return e


@internal
@view
def _share(m: exposure.Market, p: Params, market: uint256) -> Share:
    """@notice What a market adds to the sums."""
    sigma_h: uint256 = unsafe_div(unsafe_mul(m.sigma, p.root), c.WAD)       # 63 bits * 60 bits
    a: int256 = potential.delta_term(m.delta, m.price, sigma_h)
    if not m.optioned:
        return Share(
            a=a,
            b=0,
            g=0,
            p=potential.square_term(a, 0, p.weights.rho),
            loss=stress.linear_loss(m.delta, m.price),
        )
    xi_h: uint256 = unsafe_div(unsafe_mul(self._vol_of_vol(self._market_params_word[market]), p.root), c.WAD)
    b: int256 = potential.vega_term(m.vega, xi_h)
    return Share(
        a=a,
        b=b,
        g=potential.gamma_term(m.gamma, m.price, sigma_h),
        p=potential.square_term(a, b, p.weights.rho),
        loss=stress.vector_loss(m.delta, m.price, m.stress),
    )


@internal
@pure
def _moved(loaded: exposure.Book, old: Share, new: Share) -> exposure.Book:
    """
    @notice The sums with one market's share replaced.
    @dev    Terms are quotients by WAD, below 2^197, sums as stored below 2^128, and what is taken out is in them.
    """
    b: exposure.Book = loaded
    b.sums.a = unsafe_add(b.sums.a, unsafe_sub(new.a, old.a))
    b.sums.p = unsafe_add(unsafe_sub(b.sums.p, old.p), new.p)
    b.loss = unsafe_add(unsafe_sub(b.loss, old.loss), new.loss)
    if old.b != new.b or old.g != new.g:
        b.sums.b = unsafe_add(b.sums.b, unsafe_sub(new.b, old.b))
        b.sums.g = unsafe_add(b.sums.g, unsafe_sub(new.g, old.g))
        b.sums.gg = unsafe_add(
            unsafe_sub(b.sums.gg, convert(old.g * old.g, uint256) // c.WAD), convert(new.g * new.g, uint256) // c.WAD
        )
    return b


@internal
@pure
def _scale_lows(loaded: exposure.Book, before: uint256, after: uint256) -> exposure.Book:
    """
    @notice Notes the new U, and moves the running minima in proportion to a change of U that is not a trade, down.
    @dev    low <= before, so the result stays <= after. From U below one MICRO the minima are 0 and stay there.
    @param before [MICRO quote]
    @param after [quote, WAD]
    """
    b: exposure.Book = loaded
    b.last = unsafe_div(after, c.MICRO)
    if before != b.last and before != 0:
        b.low_prev = unsafe_div(unsafe_mul(b.low_prev, b.last), before)     # 2^64 * 2^244
        b.low = unsafe_div(unsafe_mul(b.low, b.last), before)
        if b.auction_low != 0:
            # not 0, and its product is below 2^122
            low: uint256 = unsafe_div(unsafe_mul(unsafe_sub(b.auction_low, 1), b.last), before)
            b.auction_low = unsafe_add(low, 1)
    return b


@internal
@pure
def _coverage(reserve: uint256, u: uint256) -> uint256:
    """@notice min(1, R/U) [1e-9], rounded down."""
    if reserve >= u:
        return COVERAGE_UNIT
    return unsafe_div(unsafe_mul(reserve, COVERAGE_UNIT), u)    # 96 bits * 30 bits


@internal
@view
def _potential(b: exposure.Book, w: potential.Weights) -> uint256:
    """@notice U of the book at this block's E [quote, WAD]; 0 before the first block was opened."""
    if b.capital == 0:
        return 0
    # loss and capital have 72 bits
    return potential.potential(
        b.sums, unsafe_mul(b.loss, c.MICRO), unsafe_mul(b.capital, c.MICRO), w
    )[0]


@internal
@pure
def _micro_equity(equity: int256) -> uint256:
    """@notice Equity in MICRO, rounded down, not below the floor."""
    if equity <= 0:
        return CAPITAL_FLOOR
    return max(unsafe_div(convert(equity, uint256), c.MICRO), CAPITAL_FLOOR)


@internal
@view
def _spot_spread(mp: IInventory.MarketParams, mark: IPriceOracle.Mark, z: uint256) -> uint256:
    """
    @notice max(floor, min(z sigma sqrt(age + tau0), deviation + z sigma sqrt(tau0))) + half width / price, <= MAX_SPREAD.
    @dev    deviation 0 means a pull feed: the age term alone.
    @return [fraction of spot, WAD], rounded up.
    """
    z_sigma: uint256 = wad.mul_up(z, mark.sigma)
    age: uint256 = wad.sub_floor(block.timestamp, mark.updated_at)
    s: uint256 = wad.mul_up(z_sigma, self._sqrt_years_up(age + mp.tau))
    if mp.deviation > 0 and s > mp.deviation:
        s = min(s, mp.deviation + wad.mul_up(z_sigma, self._sqrt_years_up(mp.tau)))
    s = max(s, mp.floor)
    if mark.half_width > 0 and mark.price > 0:
        s += wad.div_up(mark.half_width, mark.price)
    return min(s, MAX_SPREAD)


@internal
@view
def _vol_spread(mp: IInventory.MarketParams, vol_age: uint256, z: uint256) -> uint256:
    """@notice max(floor_v, z_v xi sqrt(surface age + tau1)) [absolute vol, WAD], rounded up."""
    return max(
        mp.vol_floor, wad.mul_up(wad.mul_up(z, mp.vol_of_vol), self._sqrt_years_up(vol_age + mp.vol_tau))
    )


@internal
@pure
def _sqrt_years_up(seconds: uint256) -> uint256:
    """@notice sqrt(seconds / YEAR) [WAD], rounded up."""
    return wad.root_down(seconds * c.WAD // c.YEAR) + 1


# ------------------------------------------------------------------ sweeps

@internal
@view
def _due(b: exposure.Book, mask: uint256, p: Params) -> uint256:
    """@notice Mask of the other markets, if synchronising them is overdue and no exposure has changed in this block."""
    if (b.opened_at < block.timestamp or not b.changed) and block.timestamp - b.swept_at > p.sweep_age:
        return b.active & ~mask
    return 0


@internal
def _sync(mask: uint256):
    book: exposure.Book = exposure.load_book()
    released: uint256 = 0
    p: Params = self._params()
    book, released = self._sweep(book, mask | self._due(book, mask, p), p)
    if released > 0:
        extcall CLEARINGHOUSE.release(released)
    self._resample(book, p)


@internal
def _resample(loaded: exposure.Book, p: Params):
    """
    @notice Stores the book at no more E than there is equity now: when LP money has left in the middle of a block, the trades
            that follow are priced at what is left. E only falls and U only rises; R goes on covering its share of U.
    """
    b: exposure.Book = loaded
    lp_cash: int256 = 0
    reserve: uint256 = 0
    lp_cash, reserve = staticcall CLEARINGHOUSE.vault_ledger()
    b.capital = min(b.capital, self._micro_equity(lp_cash + b.value))
    after: uint256 = self._potential(b, p.weights)
    b = self._scale_lows(b, b.last, after)
    b.coverage = min(b.coverage, self._coverage(reserve, after))
    exposure.save_book(b)


@internal
def _sweep(loaded: exposure.Book, mask: uint256, p: Params) -> (exposure.Book, uint256):
    """@notice Enters every market of the mask and stores it; the book and the release are the caller's to store."""
    book: exposure.Book = loaded
    released: uint256 = 0
    for i: uint256 in range(c.MAX_MARKETS):
        if (mask >> i) & 1 == 1:
            e: Entry = self._enter(book, i, extcall ORACLE.sync(i), p, released)
            exposure.save_market(i, e.market)
            book = e.book
            released = e.released
    if book.active & ~mask == 0:
        book.swept_at = block.timestamp
    return book, released


@internal
@view
def _peek_sweep(loaded: exposure.Book, mask: uint256, p: Params) -> (exposure.Book, uint256):
    """@notice `_sweep` without storing: the view's half."""
    book: exposure.Book = loaded
    released: uint256 = 0
    for i: uint256 in range(c.MAX_MARKETS):
        if (mask >> i) & 1 == 1:
            e: Entry = self._enter(book, i, staticcall ORACLE.peek(i), p, released)
            book = e.book
            released = e.released
    return book, released


# ------------------------------------------------------------------ words

@internal
def _store(e: Entry, market: uint256, after: uint256, charge: int256):
    exposure.save_book(e.book)
    exposure.save_market(market, e.market)
    log IInventory.ExposureChanged(
        market=market,
        delta=e.market.delta,
        potential=after,
        charge=charge,
        risk_capital=unsafe_mul(e.book.capital, c.MICRO),   # 72 bits * 40 bits
    )


@internal
@view
def _check_listed(market: uint256):
    assert market < self.market_count, "inventory: not listed"


@internal
@pure
def _check_bounds(kept: bool):
    assert kept, "inventory: bad parameter"


@internal
@pure
def _check_params(p: Params):
    """@notice Ceilings and floors of every parameter."""
    w: potential.Weights = p.weights
    self._check_bounds(
        w.aversion <= 100 * c.WAD
        and w.knee > 0
        and w.knee <= c.WAD
        and w.c_lo <= w.c_hi
        and w.c_hi <= c.WAD
        and w.rho > -c.SWAD
        and w.rho < c.SWAD
        and w.omega <= c.WAD
        and w.u_star > 0
        and w.u_star < w.u_max
        and w.u_max < c.WAD
        and p.horizon >= 3_600
        and p.horizon <= 864_000
        and p.funding_max <= 3 * c.WAD
        and p.release_period >= 3_600
        and p.release_period <= 864_000
        and p.sweep_age <= 43_200
        and p.borrow_kink <= p.borrow_max
        and p.borrow_max <= 5 * c.WAD
    )


@internal
@view
def _params() -> Params:
    w: uint256 = self._params_word
    horizon: uint256 = (w >> 99) & (2**20 - 1)
    return Params(
        weights=potential.Weights(
            aversion=unsafe_mul(w >> 227, 10**15),
            knee=unsafe_mul((w >> 211) & (2**16 - 1), 10**14),
            c_lo=unsafe_mul((w >> 197) & (2**14 - 1), 10**14),
            c_hi=unsafe_mul((w >> 183) & (2**14 - 1), 10**14),
            rho=convert(unsafe_mul((w >> 84) & (2**15 - 1), 10**14), int256) - c.SWAD,
            omega=unsafe_mul((w >> 159) & (2**24 - 1), 10**12),
            u_star=unsafe_mul((w >> 139) & (2**20 - 1), 10**12),
            u_max=unsafe_mul((w >> 119) & (2**20 - 1), 10**12),
        ),
        horizon=horizon,
        funding_max=unsafe_mul((w >> 68) & (2**16 - 1), 10**14),
        release_period=(w >> 48) & (2**20 - 1),
        sweep_age=(w >> 32) & (2**16 - 1),
        borrow_kink=unsafe_mul((w >> 16) & (2**16 - 1), 10**14),
        borrow_max=unsafe_mul(w & (2**16 - 1), 10**14),
        root=wad.root_down(horizon * c.WAD // c.YEAR),
    )


@internal
@view
def _market_params(market: uint256) -> IInventory.MarketParams:
    w: uint256 = self._market_params_word[market]
    assert w != 0, "inventory: not listed"
    return IInventory.MarketParams(
        base=unsafe_mul((w >> 152) & (2**16 - 1), 10**12),
        floor=unsafe_mul((w >> 136) & (2**16 - 1), 10**12),
        z=unsafe_mul((w >> 120) & (2**16 - 1), 10**15),
        tau=(w >> 104) & (2**16 - 1),
        deviation=unsafe_mul((w >> 80) & (2**24 - 1), 10**12),
        vol_of_vol=self._vol_of_vol(w),
        vol_floor=unsafe_mul((w >> 32) & (2**24 - 1), 10**12),
        vol_z=unsafe_mul((w >> 16) & (2**16 - 1), 10**15),
        vol_tau=w & (2**16 - 1),
    )


@internal
@pure
def _vol_of_vol(w: uint256) -> uint256:
    return unsafe_mul((w >> 56) & (2**24 - 1), 10**12)
