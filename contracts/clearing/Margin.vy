# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Margin: what an account is worth and what it must keep
@notice Equity = cash + sum over perpetuals of (size * mark - cost - owed) + sum over options: settled ones at their
        payoff, others at Black-76 on the last smile. Where risk or cash is taken, what is long of a board that is over
        and not settled counts nothing.
        Requirement = sum over markets of

            worst loss of perpetual and options over the scenarios
            + exit cost of the perpetual + floor of every short option,

        one for opening and withdrawing (initial), one below which the account is liquidated (maintenance); initial is
        at least as much, also where its wider grid steps over what the narrower one hits. Scenarios of a market: spot
        moves by k / 3 of `range`, k = -3 .. 3, volatility by VOL_UP or -VOL_DOWN. A perpetual, and the delta of an
        option, is charged for the first `linear` of the move alone, as it would be liquidated then; what an option's
        value bends is charged for all of it. An option is worth no less than nothing in any of them.

                        linear                          range                           volatility
            initial     initial_bps of the perpetual    initial_bps of the options      VOL_UP, VOL_DOWN
            maintenance maintenance_bps                 * maintenance_bps of these      * the same

        Actors: anyone reads. No storage, no roles; a new margin contract replaces this one at the Clearinghouse.

        Invariants: value rounds down, requirements round up. In every scenario the loss is a sum over positions, so
        requirements of two accounts together are at most the sum of theirs (but for rounding and exit costs). Reads
        stored marks only: whoever acts on the answer has synced the account's markets in the same transaction. No mark
        or surface is too old to judge an account by: an expired option is worth what exercise pays, one without a
        surface what it would pay at the forward.
@dev    Volatilities move the more the less time is left: the shocks are those of an option with a month left, times
        (month / time left)^(1/4), a day at least. From day to day (data of Deribit, the crash of February 2026
        included) they rose by at most 0.22 beyond 120 days, 0.66 around a month, 1.11 below 3 days, and fell by 0.15,
        0.30, 0.46.
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
from contracts.math import signed
from contracts.math import wad
from contracts.options import series
from contracts.pricing import black76
from contracts.pricing import scenarios
from contracts.pricing import ssvi

implements: IMargin

struct Board:               # what the options of one expiry share
    expiry: uint256         # [s since 1970]
    discount: uint256       # of the strikes [Q96]
    root: uint256           # of the time to expiry [sqrt year, Q96]
    root_term: uint256      # of the time from the surface's observation to expiry [sqrt year, Q96]
    phi: uint256            # curvature of the smile [Q96]
    swing: int256           # (month / time left)^(1/4) [WAD]
    smile: IVolSurface.Smile

struct Line:                # an option as the scenarios see it
    size: int256            # [base, WAD] > 0 long
    is_put: bool
    kd: int256              # discounted strike [quote/base, WAD]
    delta: int256           # of the option itself [WAD]
    v: int256               # vol * sqrt(time) [Q96]
    log_moneyness: int256   # ln(spot / kd) [Q96]
    swing: int256           # of its board [WAD]


# What a call may ask _assess for.
INITIAL: constant(uint256) = 1
MAINTENANCE: constant(uint256) = 2
NEWEST: constant(uint256) = 4                   # at the marks that a sync would record
N_SPOTS: constant(uint256) = 7                  # of a grid, evenly from -range to range
MAX_HELD: constant(uint256) = 24                # options of an account before it closed eight
VOL_UP: constant(int256) = 60 * 10**16          # of the volatility, a month before expiry [WAD]
VOL_DOWN: constant(int256) = 30 * 10**16
MONTH: constant(uint256) = 30 * c.DAY           # [s]
MAX_WIDTH: constant(int256) = 2**103 - 1        # Q96; scenarios.vy takes no larger vol * sqrt(time)
BPS_WAD: constant(uint256) = 10**14             # [WAD per bp]

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
    return self._idle_health(account, INITIAL | MAINTENANCE)


@external
@view
def preview(account: address) -> IMargin.Health:
    """
    @notice `health` at the marks that a sync would accept now.
    """
    return self._idle_health(account, INITIAL | MAINTENANCE | NEWEST)


@external
@view
def assess(account: address, cash: int256, mask: uint256) -> IMargin.Health:
    """
    @notice `health` for a caller inside an operation, which brings the ledger's words along.
    @param cash [quote, WAD]
    """
    return self._assess(account, cash, mask, self._held(account, mask), 0, 0, INITIAL | MAINTENANCE)


@external
@view
def assess_change(
    account: address,
    cash: int256,
    mask: uint256,
    market: uint256,
    size: int256,
    orders: DynArray[IOptionBook.Order, c.MAX_LEGS],
) -> (uint256, uint256):
    """
    @notice Requirements of the account as it would be after a trade. What the trade does to equity is not said: that is
            its price.
    @param cash [quote, WAD]
    @param size [base, WAD] added to the perpetual in `market`
    @param orders filled on boards of the market; sizes are believed to be ones of an engine
    @return [quote, WAD] initial, maintenance
    """
    held: DynArray[IOptionBook.Leg, MAX_HELD] = self._changed(self._held(account, mask), market, orders)
    touched: uint256 = mask | self._touched(market, orders)
    after: IMargin.Health = self._assess(account, cash, touched, held, market, size, INITIAL | MAINTENANCE)
    return after.initial, after.maintenance


@external
@view
def check_initial(account: address, cash: int256, mask: uint256) -> bool:
    """
    @notice Refuses an account that is short of an expired option whose board is not settled: its price is known, but
            not here.
    @return whether equity is at or above the initial requirement
    """
    health: IMargin.Health = self._assess(
        account, cash, mask, self._held(account, mask), 0, 0, INITIAL
    )
    return health.equity >= convert(health.initial, int256)


@external
@view
def check_close(
    account: address,
    cash: int256,
    mask: uint256,
    market: uint256,
    size: int256,
    orders: DynArray[IOptionBook.Order, c.MAX_ORDERS],
) -> bool:
    """
    @notice Refuses a trade that only closed if equity is below the maintenance requirement and this is higher than
            before: what was closed hedged what is left.
    @param cash [quote, WAD] after it, like the mask
    @param size [base, WAD] of the perpetual that it closed, in the position's sign
    @param orders of options that it carried out, on one board of the market
    @return True, unless it reverts: the reason is here, where there is room for it
    """
    held: DynArray[IOptionBook.Leg, MAX_HELD] = self._held(account, mask)
    after: IMargin.Health = self._assess(account, cash, mask, held, 0, 0, MAINTENANCE)
    if after.equity >= convert(after.maintenance, int256):
        return True
    undone: DynArray[IOptionBook.Order, c.MAX_ORDERS] = []
    for order: IOptionBook.Order in orders:
        undone.append(IOptionBook.Order(series=order.series, size=-order.size))
    held = self._changed(held, market, undone)
    touched: uint256 = mask | self._touched(market, undone)
    before: IMargin.Health = self._assess(account, cash, touched, held, market, size, MAINTENANCE)
    assert after.maintenance <= before.maintenance, "margin: below maintenance"
    return True


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


# ------------------------------------------------------------------ internal: an account


@internal
@view
def _idle_health(account: address, mode: uint256) -> IMargin.Health:
    assert not staticcall CLEARINGHOUSE.in_progress(), "clearing: in progress"
    cash: int256 = 0
    mask: uint256 = 0
    cash, mask = staticcall CLEARINGHOUSE.account(account)
    return self._assess(account, cash, mask, self._held(account, mask), 0, 0, mode)


@internal
@view
def _held(account: address, mask: uint256) -> DynArray[IOptionBook.Leg, MAX_HELD]:
    """@return the account's options"""
    if mask >> c.OPTION_BIT == 0:
        return []
    return staticcall OPTION_BOOK.legs(account)


@internal
@pure
def _changed(
    held: DynArray[IOptionBook.Leg, MAX_HELD],
    market: uint256,
    orders: DynArray[IOptionBook.Order, c.MAX_LEGS],
) -> DynArray[IOptionBook.Leg, MAX_HELD]:
    """@return the legs as they would be after orders in the market"""
    legs: DynArray[IOptionBook.Leg, MAX_HELD] = held
    for order: IOptionBook.Order in orders:
        found: bool = False
        for i: uint256 in range(len(held), bound=MAX_HELD):
            if held[i].series == order.series:
                legs[i].size += order.size
                found = True
                break
        if not found:
            key: uint256 = series._board_of(order.series)
            legs.append(
                IOptionBook.Leg(
                    series=order.series,
                    market=market,
                    expiry=series._expiry_of(key),
                    strike=series._strike_of(order.series) * series.STRIKE_UNIT,
                    is_put=series._is_put(order.series),
                    size=order.size,
                    settlement=0,
                )
            )
    left: DynArray[IOptionBook.Leg, MAX_HELD] = []
    for leg: IOptionBook.Leg in legs:
        if leg.size != 0:
            left.append(leg)
    return left


@internal
@pure
def _touched(market: uint256, orders: DynArray[IOptionBook.Order, c.MAX_LEGS]) -> uint256:
    """
    @return mask of what a trade may have given the account; options only where there are orders: not every market lists
            them
    """
    if len(orders) == 0:
        return 1 << market
    return (1 << market) | (1 << (market + c.OPTION_BIT))


@internal
@view
def _assess(
    account: address,
    cash: int256,
    mask: uint256,
    held: DynArray[IOptionBook.Leg, MAX_HELD],
    market: uint256,
    change: int256,
    mode: uint256,
) -> IMargin.Health:
    """
    @param change [base, WAD] added to the perpetual in `market` for the requirement, not for equity
    @param mode INITIAL alone: the account is about to take risk or cash, so what it owes for expired options must be
           known, and what it is owed counts nothing: the price of now is not the one they will be settled at. What was
           not asked for may be answered 0.
    """
    health: IMargin.Health = IMargin.Health(equity=cash, initial=0, maintenance=0)
    optioned: uint256 = mask >> c.OPTION_BIT
    both: uint256 = (mask | optioned) & c.MARKETS
    if both == 0:
        return health
    for leg: IPerpEngine.Leg in staticcall PERP_ENGINE.legs(account, both):
        mark: IPriceOracle.Mark = empty(IPriceOracle.Mark)
        if mode & NEWEST != 0:
            mark = staticcall ORACLE.peek(leg.market)
        else:
            mark = staticcall ORACLE.last(leg.market)
        health.equity += requirement._value(leg.size, leg.cost, leg.owed, mark.price)
        size: int256 = leg.size
        if leg.market == market:
            size += change
        exit_cost: uint256 = requirement._exit_cost(size, mark.price, mark.sigma, leg.cap_quote)
        health.initial += exit_cost
        health.maintenance += exit_cost
        if (optioned >> leg.market) & 1 == 0:
            health.initial += requirement._required(size, mark.price, leg.initial_bps)
            health.maintenance += requirement._required(size, mark.price, leg.maintenance_bps)
        else:
            added: IMargin.Health = self._scenarios(
                held, leg.market, size, mark.price, leg.initial_bps, leg.maintenance_bps, mode
            )
            health.equity += added.equity
            health.initial += added.initial
            health.maintenance += added.maintenance
    return health


# ------------------------------------------------------------------ internal: a market with options


@internal
@view
def _scenarios(
    held: DynArray[IOptionBook.Leg, MAX_HELD],
    market: uint256,
    size: int256,
    spot: uint256,
    initial_bps: uint256,
    maintenance_bps: uint256,
    mode: uint256,
) -> IMargin.Health:
    """
    @param size [base, WAD] of the perpetual
    @param initial_bps Of the perpetual; 0 if there is none, then an option's delta is charged like the rest of it.
    @return value of the market's options, requirement of all that the account has there
    """
    result: IMargin.Health = empty(IMargin.Health)
    range_bps: uint256 = 0
    floor_bps: uint256 = 0
    share_bps: uint256 = 0          # of the initial grid, for the other
    range_bps, floor_bps, share_bps = staticcall OPTION_ENGINE.margin_bps(market)
    lines: DynArray[Line, MAX_HELD] = []
    board: Board = empty(Board)
    exact: int256 = 0               # [quote, WAD**2] value of what is not settled
    shorts: uint256 = 0             # [base, WAD]
    has_long: bool = False
    for leg: IOptionBook.Leg in held:
        if leg.market != market:
            continue
        if leg.settlement != 0:
            payoff: uint256 = requirement._intrinsic(leg.strike, leg.is_put, leg.settlement)
            result.equity += requirement._worth(leg.size, payoff)
            continue
        if mode == INITIAL and block.timestamp >= leg.expiry:
            assert leg.size > 0, "margin: settle first"
            continue
        if leg.expiry != board.expiry:
            board = self._board(market, leg.expiry)
        kd: uint256 = unsafe_mul(leg.strike, board.discount) >> 96
        distance: uint256 = black76.log_ratio(max(kd, spot), min(kd, spot))
        k: int256 = convert(min(distance, ssvi.MAX_LOG), int256)
        if spot > kd:
            k = -k
        vol: uint256 = ssvi.volatility(
            ssvi.total_variance(k, board.smile.theta, board.phi, board.smile.rho), board.root_term
        )
        option: black76.Option = black76.evaluate(spot, kd, distance, vol, board.root, board.smile.rate)
        delta: int256 = convert(option.delta, int256)
        unit: uint256 = option.call
        if leg.is_put:
            delta -= c.SWAD
            unit = option.put
        exact += leg.size * convert(unit, int256)
        if leg.size < 0:
            shorts += convert(-leg.size, uint256)
        else:
            has_long = True
        v: uint256 = unsafe_div(unsafe_mul(min(vol, black76.MAX_VOL), board.root), c.WAD)
        lines.append(
            Line(
                size=leg.size,
                is_put=leg.is_put,
                kd=convert(kd, int256),
                delta=delta,
                v=convert(v, int256),
                log_moneyness=-k,
                swing=board.swing,
            )
        )
    worth: int256 = signed.floor_div(exact, c.SWAD)
    result.equity += worth
    tail: uint256 = wad.mul_div_up(shorts * spot, floor_bps, c.WAD * c.BPS)
    # what is long may lose the most between two spots of the wider grid: then the narrower one asks for more
    if mode & MAINTENANCE != 0 or has_long:
        least: int256 = self._least(
            lines, size, spot, maintenance_bps, range_bps * share_bps // c.BPS, share_bps
        )
        result.maintenance = convert(max(worth - least, 0), uint256) + wad.mul_div_up(tail, share_bps, c.BPS)
    if mode & INITIAL != 0:
        least: int256 = self._least(lines, size, spot, initial_bps, range_bps, c.BPS)
        result.initial = max(convert(max(worth - least, 0), uint256) + tail, result.maintenance)
    return result


@internal
@view
def _board(market: uint256, expiry: uint256) -> Board:
    smile: IVolSurface.Smile = staticcall SURFACE.smile(market, expiry)
    seconds: uint256 = wad.sub_floor(expiry, block.timestamp)
    # square root twice: of 2**142 at most, then of 2**132
    root: uint256 = isqrt(unsafe_div(MONTH * c.WAD * c.WAD, max(seconds, c.DAY)))
    return Board(
        expiry=expiry,
        discount=black76.discount(smile.rate, seconds),
        root=black76.root_years(seconds),
        root_term=black76.root_years(wad.sub_floor(expiry, smile.timestamp)),
        phi=ssvi.curvature(smile.theta, smile.eta),
        swing=convert(isqrt(unsafe_mul(root, c.WAD)), int256),
        smile=smile,
    )


@internal
@pure
def _least(
    lines: DynArray[Line, MAX_HELD],
    size: int256,
    spot: uint256,
    linear_bps: uint256,
    range_bps: uint256,
    share_bps: uint256,
) -> int256:
    """
    @dev    Unchecked: sizes have 104 bits, prices 97, a perpetual 96, shocks 60: no product reaches 2**254, no sum of
            25. A swing is below 2.4 WAD, so volatility never falls to nothing; widths and logarithms stay below 2**104.
    @param size [base, WAD] of the perpetual
    @param share_bps of the volatility shocks
    @return [quote, WAD] the least, over the scenarios, of the options' value and the perpetual's gain, rounded down
    """
    price: int256 = convert(spot, int256)
    reach: int256 = convert(max(range_bps, linear_bps) * BPS_WAD, int256)
    linear: int256 = reach
    if linear_bps != 0:
        linear = convert(linear_bps * BPS_WAD, int256)
    share: int256 = convert(share_bps, int256)
    spots: int256[N_SPOTS] = empty(int256[N_SPOTS])     # [quote/base, WAD] after the move
    logs: int256[N_SPOTS] = empty(int256[N_SPOTS])      # ln(spot after / before) [Q96]
    beyond: int256[N_SPOTS] = empty(int256[N_SPOTS])    # [quote/base, WAD] of the move, what delta is not charged for
    high: int256[N_SPOTS] = empty(int256[N_SPOTS])      # [quote, WAD**2] totals with volatility up
    low: int256[N_SPOTS] = empty(int256[N_SPOTS])
    step: int256 = -3
    for i: uint256 in range(N_SPOTS):
        move: int256 = unsafe_div(unsafe_mul(reach, step), 3)
        charged: int256 = max(min(move, linear), unsafe_sub(0, linear))
        spots[i] = unsafe_div(unsafe_mul(price, unsafe_add(c.SWAD, move)), c.SWAD)
        if move > 0:
            ratio: uint256 = black76.log_ratio(convert(unsafe_add(c.SWAD, move), uint256), c.WAD)
            logs[i] = convert(ratio, int256)
        elif move < 0:
            ratio: uint256 = black76.log_ratio(c.WAD, convert(max(unsafe_add(c.SWAD, move), 1), uint256))
            logs[i] = unsafe_sub(0, convert(ratio, int256))
        beyond[i] = unsafe_div(unsafe_mul(price, unsafe_sub(move, charged)), c.SWAD)
        high[i] = signed.floor_div(unsafe_mul(unsafe_mul(size, price), charged), c.SWAD)
        low[i] = high[i]
        step = unsafe_add(step, 1)
    for line: Line in lines:
        swing: int256 = unsafe_div(unsafe_mul(line.swing, share), convert(c.BPS, int256))
        rise: int256 = unsafe_add(c.SWAD, unsafe_div(unsafe_mul(swing, VOL_UP), c.SWAD))
        fall: int256 = unsafe_sub(c.SWAD, unsafe_div(unsafe_mul(swing, VOL_DOWN), c.SWAD))
        wide: int256 = min(unsafe_mul(line.v, rise), MAX_WIDTH * c.SWAD)
        narrow: int256 = unsafe_mul(line.v, fall)
        for i: uint256 in range(N_SPOTS):
            shocked: int256 = unsafe_mul(spots[i], c.SWAD)
            log_moneyness: int256 = unsafe_add(line.log_moneyness, logs[i])
            other: int256 = unsafe_sub(0, unsafe_div(unsafe_mul(line.delta, beyond[i]), c.SWAD))
            if line.is_put:
                other = unsafe_add(other, unsafe_sub(line.kd, spots[i]))
            unit: int256 = scenarios.shocked_call(shocked, line.kd, wide, log_moneyness)
            high[i] = unsafe_add(high[i], unsafe_mul(line.size, max(unsafe_add(unit, other), 0)))
            unit = scenarios.shocked_call(shocked, line.kd, narrow, log_moneyness)
            low[i] = unsafe_add(low[i], unsafe_mul(line.size, max(unsafe_add(unit, other), 0)))
    least: int256 = max_value(int256)
    for i: uint256 in range(N_SPOTS):
        least = min(least, min(high[i], low[i]))
    return signed.floor_div(least, c.SWAD)
