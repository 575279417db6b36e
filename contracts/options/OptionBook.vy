# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  OptionBook: which options are listed, who holds them, and what that makes the vault's
@notice What the vault holds of a board is kept as totals (value, greeks, scenarios) at a point: spot, time and surface. They are
        an exact integer function of what it holds per strike, so a trade moves them by the change of its own strikes and
        nothing drifts; a trade itself is valued at the spot of now. A point is due for renewal when the surface is another, it is
        half an hour old or a quarter of the time left, or spot is 3 % away, less by the root of the time left within three days of
        expiry; between, `book_value` expands the totals to second order in spot and first in time. The most half-spread of a trade
        is an eighth of what is bought, or a basis point of spot if that is more, the whole of what is sold, and what the round's
        age hides of the delta.

        Actors: OptionEngine writes, and tells Inventory what it is answered here; anyone reads; governor and deployer say who
        the engine is.

        Invariants: I2 totals of a board = sum over its strikes, recomputed at its point; nets, interest and the number of
        positions = sums over accounts; an account's positions have no gaps, no zeros and no series twice. `preview` answers what `apply`
        would. What accounts of a settled board are paid adds up to its payoff, but for dust that is not negative.
@dev    What Inventory takes a board to be worth moves by delta alone between renewals: value + delta * (price - spot).
@custom:kill Revoke ENGINE: nothing changes any more. The guardian closes markets and boards at the engine.
"""

from interfaces import IInventory
from interfaces import IOptionBook
from interfaces import IOptionPricer
from interfaces import IPriceOracle
from interfaces import IVolSurface
from contracts import constants as c
from contracts.governance import roles
from contracts.math import signed
from contracts.math import wad
from contracts.options import boards
from contracts.options import positions
from contracts.options import series

implements: IOptionBook

initializes: roles
initializes: boards
initializes: positions

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

struct Touched:
    index: uint256
    strike: boards.Strike       # after

struct Plan:
    key: uint256
    book: boards.Holding        # after
    touched: DynArray[Touched, c.MAX_ORDERS]
    before: DynArray[uint256, c.MAX_LEGS]
    legs: DynArray[uint256, c.MAX_LEGS]        # after
    fill: IOptionBook.Fill


MONTH: constant(uint256) = 30 * c.DAY           # [s] vega is told as that of an option with a month left
BAND_BPS: constant(uint256) = 300               # how far spot may be from a board's point that has NEAR left
NEAR: constant(uint256) = 3 * c.DAY             # [s] with less left the band is narrower, as the square root
MAX_AGE: constant(uint256) = 1_800              # [s] how old a point may be, and
AGE_SHARE: constant(uint256) = 4                # at most a quarter of the time left
PREMIUM_SHARE: constant(uint256) = 8            # a buyer's half-spread is at most an eighth of the premium, beyond
LAG_Z: constant(uint256) = 2                    # so many deviations of spot since the round, on the delta

SURFACE: immutable(IVolSurface)
PRICER: immutable(IOptionPricer)


@deploy
def __init__(admin: address, setup: address, surface: address, pricer: address):
    """
    @param admin holds GOVERNOR from the start
    @param setup deployer that wires the system and then renounces
    """
    roles.__init__(admin, setup)
    SURFACE = IVolSurface(surface)
    PRICER = IOptionPricer(pricer)


# ------------------------------------------------------------------ the engine


@external
def renew(key: uint256, mark: IPriceOracle.Mark, horizon: uint256) -> IInventory.Change:
    """
    @notice Moves a board's point to now.
    @param horizon [s] of the potential
    @return what that adds to the inventory
    """
    roles._check(roles.Role.ENGINE)
    market: uint256 = series._market_of(key)
    expiry: uint256 = series._expiry_of(key)
    point: boards.Point = boards._load_point(key)
    assert point.listed, "options: not listed"
    smile: IVolSurface.Smile = staticcall SURFACE.smile(market, expiry)
    old: boards.Holding = boards._load_holding(key)
    moved: boards.Point = point
    moved.spot = mark.price
    moved.time = block.timestamp
    moved.surface = smile.timestamp
    moved.horizon = horizon
    boards._save_point(key, moved)
    boards._save_smile(key, smile)
    change: IInventory.Change = empty(IInventory.Change)
    if old.legs != 0:
        lines: DynArray[IOptionPricer.Line, c.MAX_STRIKES] = []
        for i: uint256 in range(point.strikes, bound=c.MAX_STRIKES):
            held: boards.Strike = boards._load_strike(key, i)
            if held.calls != 0 or held.puts != 0:
                lines.append(self._line(held))
        totals: IOptionPricer.Totals = staticcall PRICER.change(
            self._point(smile, expiry, moved.spot, moved.time), lines
        )
        new: boards.Holding = boards.Holding(
            value=totals.value,
            delta=totals.delta,
            gamma=totals.gamma,
            theta=totals.theta,
            vega=totals.vega,
            stress=totals.stress,
            interest=old.interest,
            legs=old.legs,
        )
        change = self._difference(point, old, moved, new, mark.price, expiry)
        boards._save_holding(key, new)
    return change


@external
def apply(
    account: address, orders: DynArray[IOptionBook.Order, c.MAX_ORDERS], mark: IPriceOracle.Mark
) -> IOptionBook.Fill:
    """
    @notice Books the orders of one account on one board. Its point may be due: the totals move by what they are there.
    @return what they are worth at the mark and what they add to the inventory
    """
    roles._check(roles.Role.ENGINE)
    plan: Plan = self._plan(account, orders, mark)
    boards._save_holding(plan.key, plan.book)
    for t: Touched in plan.touched:
        boards._save_strike(plan.key, t.index, t.strike)
    boards._save_interest(series._market_of(plan.key), plan.fill.market_interest)
    positions._save(account, plan.before, plan.legs)
    return plan.fill


@external
def expire(
    key: uint256, mark: IPriceOracle.Mark, price: uint256
) -> (int256, uint256, IInventory.Change):
    """
    @notice Fixes the price of a board and takes it out of the totals.
    @param price [quote/base, WAD]
    @return [quote, WAD] what holders are owed net, rounded up; positions that were open; what the inventory loses
    """
    roles._check(roles.Role.ENGINE)
    point: boards.Point = boards._load_point(key)
    assert point.listed, "options: not listed"
    assert boards._settlements[key] == 0, "options: already settled"
    market: uint256 = series._market_of(key)
    book: boards.Holding = boards._load_holding(key)
    payoff: int256 = 0
    change: IInventory.Change = empty(IInventory.Change)
    if book.legs != 0:
        for i: uint256 in range(point.strikes, bound=c.MAX_STRIKES):
            held: boards.Strike = boards._load_strike(key, i)
            payoff += self._payoff_up(held.strike, held.calls, False, price)
            payoff += self._payoff_up(held.strike, held.puts, True, price)
        change = self._difference(
            point, book, point, empty(boards.Holding), mark.price, series._expiry_of(key)
        )
        boards._save_interest(market, boards._interest(market) - book.interest)
        boards._add_unsettled(market, book.legs)
        boards._save_holding(key, empty(boards.Holding))
    boards._save_settlement(key, boards.Settlement(price=price, owed=payoff, legs=book.legs))
    boards._remove_live(market, key >> 8)
    return payoff, book.legs, change


@external
def pay_out(key: uint256, account: address) -> (int256, bool, bool):
    """
    @notice Closes an account's positions on a settled board.
    @return [quote, WAD] what it is owed for them, rounded down; whether there were any; whether it has others in the market
    """
    roles._check(roles.Role.ENGINE)
    settlement: boards.Settlement = boards._load_settlement(key)
    assert settlement.price != 0, "options: not settled"
    before: DynArray[uint256, c.MAX_LEGS] = positions._load(account)
    legs: DynArray[uint256, c.MAX_LEGS] = []
    payoff: int256 = 0
    for leg: uint256 in before:
        id: uint256 = leg >> 64
        if series._board_of(id) == key:
            payoff -= self._payoff_up(
                series._strike_of(id), -series._lots(leg), series._is_put(id), settlement.price
            )
        else:
            legs.append(leg)
    if len(legs) == len(before):
        return 0, False, False
    settlement.owed -= payoff
    settlement.legs -= len(before) - len(legs)
    boards._remove_unsettled(series._market_of(key), len(before) - len(legs))
    boards._save_settlement(key, settlement)
    positions._save(account, before, legs)
    return payoff, True, self._holds(legs, series._market_of(key))


@external
def clear(key: uint256) -> int256:
    """
    @notice Forgets a settled board that no account has a position on.
    @return [quote, WAD] what rounding left of what was owed, not negative
    """
    roles._check(roles.Role.ENGINE)
    settlement: boards.Settlement = boards._load_settlement(key)
    assert settlement.price != 0, "options: not settled"
    assert settlement.legs == 0, "options: accounts left"
    for i: uint256 in range(boards._load_point(key).strikes, bound=c.MAX_STRIKES):
        boards._strikes[key][i] = 0
    boards._points[key] = 0
    boards._smiles[key] = 0
    boards._settlements[key] = 0
    return settlement.owed


@external
def add_strikes(key: uint256, strikes: DynArray[uint256, c.MAX_STRIKES]):
    """
    @notice Opens a board, or adds strikes to one.
    @param strikes [quote/base, WAD] multiples of STRIKE_UNIT
    """
    roles._check(roles.Role.ENGINE)
    point: boards.Point = boards._load_point(key)
    if not point.listed:
        boards._add_live(series._market_of(key), key >> 8)
        point.listed = True
    for strike: uint256 in strikes:
        units: uint256 = strike // series.STRIKE_UNIT
        assert strike % series.STRIKE_UNIT == 0 and units <= series.U64, "options: strike unit"
        assert point.strikes < c.MAX_STRIKES, "options: too many strikes"
        for i: uint256 in range(point.strikes, bound=c.MAX_STRIKES):
            assert boards._load_strike(key, i).strike != units, "options: already listed"
        boards._save_strike(key, point.strikes, boards.Strike(strike=units, calls=0, puts=0))
        point.strikes += 1
    boards._save_point(key, point)


@external
def close(key: uint256):
    """
    @notice From now on positions on this board can only shrink, and settle.
    """
    roles._check(roles.Role.ENGINE)
    point: boards.Point = boards._load_point(key)
    assert point.listed, "options: not listed"
    point.closing_only = True
    boards._save_point(key, point)


# ------------------------------------------------------------------ views


@external
@view
def preview(
    account: address, orders: DynArray[IOptionBook.Order, c.MAX_ORDERS], mark: IPriceOracle.Mark
) -> IOptionBook.Fill:
    """
    @notice What `apply` would answer now.
    """
    return self._plan(account, orders, mark).fill


@external
@view
def is_due(key: uint256, price: uint256) -> bool:
    """
    @param price [quote/base, WAD] what PriceOracle.peek answers now
    @return whether a board's point has to be renewed before it is traded on and before LPs act
    """
    return self._is_due(
        boards._load_point(key),
        series._expiry_of(key),
        price,
        staticcall SURFACE.timestamp(series._market_of(key)),
    )


@external
@view
@reentrant
def legs(account: address) -> DynArray[IOptionBook.Leg, c.MAX_LEGS]:
    """
    @notice The account's positions.
    @dev    Not locked, so that Margin can read it within an operation: the engine has written all its state by then.
    """
    result: DynArray[IOptionBook.Leg, c.MAX_LEGS] = []
    held: DynArray[uint256, c.MAX_LEGS] = positions._load(account)
    for leg: uint256 in held:
        id: uint256 = leg >> 64
        key: uint256 = series._board_of(id)
        expiry: uint256 = series._expiry_of(key)
        price: uint256 = 0
        if block.timestamp >= expiry:
            price = boards._load_settlement(key).price
        result.append(
            IOptionBook.Leg(
                series=id,
                market=series._market_of(key),
                expiry=expiry,
                strike=series._strike_of(id) * series.STRIKE_UNIT,
                is_put=series._is_put(id),
                size=series._lots(leg) * series.LOT,
                settlement=price,
            )
        )
    return result


@external
@view
def book_value(prices: DynArray[uint256, c.MAX_MARKETS]) -> (int256, uint256, bool):
    """
    @notice What the vault's options are worth at prices of now.
    @dev    Believes its argument: whoever asks with other prices gets an answer about them, and nobody else does.
    @param prices [quote/base, WAD] what PriceOracle.peek answers now, market by market
    @return [quote, WAD] rounded down; [s] age of the oldest surface that it rests on; whether LPs may act on it: no board with
            totals is due or expired, and no position on a settled one waits to be paid out: what an insolvent writer owes is
            counted as LP cash until then
    """
    value: int256 = 0
    age: uint256 = 0
    usable: bool = True
    market: uint256 = 0
    for price: uint256 in prices:
        open: uint256 = boards._open[market]
        if open > series.U64:
            usable = False
        if open & series.U64 != 0:
            live: uint256 = boards._live[market]
            surface: uint256 = staticcall SURFACE.timestamp(market)
            for i: uint256 in range(boards.LIVE):
                if live == 0:
                    break
                key: uint256 = ((live & boards.U16) << 8) | market
                live = live >> 16
                slopes: uint256 = boards._slopes[key]
                values: uint256 = boards._values[key]
                if values != 0 or slopes != 0:
                    point: boards.Point = boards._load_point(key)
                    expiry: uint256 = series._expiry_of(key)
                    age = max(age, block.timestamp - point.surface)
                    usable = (
                        usable
                        and block.timestamp < expiry
                        and not self._is_due(point, expiry, price, surface)
                    )
                    value += self._expanded(values, slopes, point, price, min(block.timestamp, expiry))
        market += 1
    return value, age, usable


@external
@view
def board(market: uint256, expiry: uint256) -> IOptionBook.Board:
    """
    @return a board as stored; all zero if it is not listed
    """
    key: uint256 = series._key(market, expiry)
    point: boards.Point = boards._load_point(key)
    book: boards.Holding = boards._load_holding(key)
    settlement: boards.Settlement = boards._load_settlement(key)
    return IOptionBook.Board(
        spot=point.spot,
        time=point.time,
        surface=point.surface,
        horizon=point.horizon,
        value=book.value,
        delta=book.delta,
        gamma=book.gamma,
        vega=book.vega,
        theta=book.theta,
        stress=book.stress,
        interest=book.interest,
        legs=book.legs + settlement.legs,
        strikes=point.strikes,
        settlement=settlement.price,
        owed=settlement.owed,
        closing_only=point.closing_only,
    )


@external
@view
def smile(market: uint256, expiry: uint256) -> IVolSurface.Smile:
    """
    @return what the surface of a board's point said of it; all zero if it has no point
    """
    key: uint256 = series._key(market, expiry)
    return boards._load_smile(key, boards._load_point(key).surface)


@external
@view
def strikes(market: uint256, expiry: uint256) -> DynArray[IOptionBook.Strike, c.MAX_STRIKES]:
    """
    @return the strikes of a board in the order of their index, with what accounts hold net
    """
    key: uint256 = series._key(market, expiry)
    result: DynArray[IOptionBook.Strike, c.MAX_STRIKES] = []
    for i: uint256 in range(boards._load_point(key).strikes, bound=c.MAX_STRIKES):
        held: boards.Strike = boards._load_strike(key, i)
        result.append(
            IOptionBook.Strike(
                strike=held.strike * series.STRIKE_UNIT, calls=held.calls, puts=held.puts
            )
        )
    return result


@external
@view
def expiries(market: uint256) -> DynArray[uint256, c.MAX_EXPIRIES]:
    """
    @return the expiries of the boards that are not settled, in no order [s since 1970]
    """
    result: DynArray[uint256, c.MAX_EXPIRIES] = []
    live: uint256 = boards._live[market]
    for i: uint256 in range(boards.LIVE):
        if live == 0:
            break
        result.append(series._expiry_of((live & boards.U16) << 8))
        live = live >> 16
    return result


@external
@view
def interest(market: uint256) -> uint256:
    """
    @return [LOT] sum over accounts of |size|, of all boards of the market that are not settled
    """
    return boards._interest(market)


@external
@view
def unsettled(market: uint256) -> uint256:
    """
    @return positions on settled boards of the market that wait to be paid out, and keep LPs waiting
    """
    return boards._open[market] >> 64


@external
@view
def neighbours() -> (address, address):
    """
    @return surface, pricer
    """
    return SURFACE.address, PRICER.address


# ------------------------------------------------------------------ internal: orders


@internal
@view
def _plan(
    account: address, orders: DynArray[IOptionBook.Order, c.MAX_ORDERS], mark: IPriceOracle.Mark
) -> Plan:
    """
    @notice Applies the orders in memory, values them at the mark, and moves the board's totals at its point.
    """
    p: Plan = empty(Plan)
    p.key = series._board_of(orders[0].series)
    market: uint256 = series._market_of(p.key)
    expiry: uint256 = series._expiry_of(p.key)
    point: boards.Point = boards._load_point(p.key)
    old: boards.Holding = boards._load_holding(p.key)
    p.before = positions._load(account)
    p.legs = p.before
    lines: DynArray[IOptionPricer.Line, c.MAX_ORDERS] = []
    strikes: DynArray[uint256, c.MAX_ORDERS] = []
    places: DynArray[uint256, c.MAX_ORDERS] = []      # of the orders' strikes among `touched`
    interest: int256 = convert(old.interest, int256)
    opened: int256 = convert(old.legs, int256)
    traded: uint256 = 0                             # [base, WAD]
    for order: IOptionBook.Order in orders:
        index: uint256 = series._index_of(order.series)
        place: uint256 = 0
        for t: Touched in p.touched:
            if t.index == index:
                break
            place += 1
        if place == len(p.touched):
            assert index < point.strikes, "options: not listed"
            held: boards.Strike = boards._load_strike(p.key, index)
            p.touched.append(Touched(index=index, strike=held))
            strikes.append(held.strike * series.STRIKE_UNIT)
            line: IOptionPricer.Line = self._line(held)
            line.n_before = line.n_after
            line.p_before = line.p_after
            lines.append(line)
        places.append(place)
        held: boards.Strike = p.touched[place].strike
        assert series._pack(held.strike, index, p.key, True) == order.series | 1, "options: not listed"
        lots: int256 = order.size // series.LOT
        done: IOptionBook.Filled = empty(IOptionBook.Filled)
        done.before = positions._size(p.legs, order.series)
        done.after = done.before + lots
        if series._is_put(order.series):
            done.net_before = held.puts
            held.puts += lots
        else:
            done.net_before = held.calls
            held.calls += lots
        done.net_after = done.net_before + lots
        p.touched[place].strike = held
        p.legs = positions._with(p.legs, order.series, done.after)
        if done.before == 0:
            opened += 1
        if done.after == 0:
            opened -= 1
        interest += abs(done.after) - abs(done.before)
        traded += convert(abs(order.size), uint256)
        p.fill.orders.append(done)
    for i: uint256 in range(len(lines), bound=c.MAX_ORDERS):
        line: IOptionPricer.Line = self._line(p.touched[i].strike)
        lines[i].n_after = line.n_after
        lines[i].p_after = line.p_after

    assert point.time != 0, "options: refresh first"
    smile: IVolSurface.Smile = staticcall SURFACE.smile(market, expiry)
    premiums: DynArray[IOptionPricer.Premium, c.MAX_STRIKES] = staticcall PRICER.premiums(
        self._point(smile, expiry, mark.price, block.timestamp), strikes
    )
    i: uint256 = 0
    room: uint256 = 0                               # [quote, WAD] up to the bounds of the orders' prices
    for order: IOptionBook.Order in orders:
        is_put: bool = series._is_put(order.series)
        unit: uint256 = premiums[places[i]].put if is_put else premiums[places[i]].call
        size: uint256 = convert(abs(order.size), uint256)
        value: uint256 = wad.mul_down(size, unit)
        if order.size > 0:
            # a call costs at most spot, a put at most its strike
            most: uint256 = wad.mul_down(size, strikes[places[i]] if is_put else mark.price)
            value = wad.mul_up(size, unit)
            p.fill.premium += convert(value, int256)
            # what is worth next to nothing pays a basis point of spot: it fills caps all the same
            p.fill.spread_cap += max(value // PREMIUM_SHARE, wad.mul_down(size, mark.price) // c.BPS)
            room += wad.sub_floor(most, value)
        else:
            # selling never costs
            p.fill.premium -= convert(value, int256)
            p.fill.spread_cap += value
            room += value
        i += 1

    of_point: IVolSurface.Smile = smile
    if smile.timestamp != point.surface:
        of_point = boards._load_smile(p.key, point.surface)
    totals: IOptionPricer.Totals = staticcall PRICER.change(
        self._point(of_point, expiry, point.spot, point.time), lines
    )
    p.book = old
    p.book.value += totals.value
    p.book.delta += totals.delta
    p.book.gamma += totals.gamma
    p.book.theta += totals.theta
    p.book.vega += totals.vega
    for k: uint256 in range(c.N_STRESS):
        p.book.stress[k] += totals.stress[k]
    p.book.interest = convert(interest, uint256)
    p.book.legs = convert(opened, uint256)
    p.fill.interest = p.book.interest
    p.fill.market_interest = boards._interest(market) + p.book.interest - old.interest
    p.fill.is_live = smile.is_live and unsafe_mul(mark.half_width, c.WIDE) <= mark.price    # 96 bits each
    p.fill.closing_only = point.closing_only
    p.fill.holds = self._holds(p.legs, market)
    for leg: uint256 in p.legs:
        p.fill.is_short = p.fill.is_short or series._lots(leg) < 0
    p.fill.change = self._difference(point, old, point, p.book, mark.price, expiry)
    p.fill.change.notional = wad.mul_up(traded, mark.price)
    p.fill.change.vol_age = block.timestamp - smile.timestamp
    # what the round's age and width hide is no fee: below an eighth of the premium whoever knows better would win
    age: uint256 = wad.sub_floor(block.timestamp, mark.updated_at)
    lag: uint256 = LAG_Z * wad.mul_down(mark.sigma, wad.root_down(age * c.WAD // c.YEAR))
    off: uint256 = wad.mul_down(mark.price, lag) + mark.half_width
    p.fill.spread_cap = min(
        room, p.fill.spread_cap + wad.mul_down(signed.magnitude(p.fill.change.exposure.delta), off)
    )
    return p


@internal
@pure
def _holds(legs: DynArray[uint256, c.MAX_LEGS], market: uint256) -> bool:
    """@return whether one of the legs is in the market"""
    for leg: uint256 in legs:
        if series._market_of(series._board_of(leg >> 64)) == market:
            return True
    return False


@internal
@pure
def _line(held: boards.Strike) -> IOptionPricer.Line:
    """@return a strike whose accounts' nets are what the vault comes to hold the opposite of"""
    return IOptionPricer.Line(
        strike=held.strike * series.STRIKE_UNIT,
        n_before=0,
        p_before=0,
        n_after=-(held.calls + held.puts) * series.LOT,
        p_after=-held.puts * series.LOT,
    )


# ------------------------------------------------------------------ internal: totals


@internal
@pure
def _point(
    smile: IVolSurface.Smile, expiry: uint256, spot: uint256, time: uint256
) -> IOptionPricer.Point:
    """@return where the pricer values the board: a surface, a spot and a time"""
    return IOptionPricer.Point(
        spot=spot,
        seconds=expiry - time,
        term=expiry - smile.timestamp,
        theta=smile.theta,
        rate=smile.rate,
        rho=smile.rho,
        eta=smile.eta,
    )


@internal
@view
def _is_due(point: boards.Point, expiry: uint256, price: uint256, surface: uint256) -> bool:
    """
    @param surface [s] timestamp of the surface of now
    @return whether a listed board's point has to be renewed
    """
    if not point.listed:
        return False
    left: uint256 = max(expiry, block.timestamp) - block.timestamp
    if point.surface != surface or block.timestamp - point.time > min(MAX_AGE, left // AGE_SHARE):
        return True
    # what the expansion leaves out grows with the third power of spot's move in deviations of what time is left
    moved: uint256 = (max(price, point.spot) - min(price, point.spot)) * c.BPS
    band: uint256 = point.spot * BAND_BPS
    return moved * moved * NEAR > band * band * min(left, NEAR)


@internal
@pure
def _difference(
    point: boards.Point,
    old: boards.Holding,
    moved: boards.Point,
    new: boards.Holding,
    price: uint256,
    expiry: uint256,
) -> IInventory.Change:
    """@return what replacing a board's totals adds to the inventory"""
    change: IInventory.Change = empty(IInventory.Change)
    weight: uint256 = self._vega_weight(expiry - moved.time)
    change.exposure = self._exposure(moved, new, expiry, weight)
    if moved.time != point.time:
        weight = self._vega_weight(expiry - point.time)
    before: IInventory.Exposure = self._exposure(point, old, expiry, weight)
    change.exposure.delta -= before.delta
    change.exposure.gamma -= before.gamma
    change.exposure.vega -= before.vega
    change.options = True
    for k: uint256 in range(c.N_STRESS):
        change.stress[k] = new.stress[k] - old.stress[k]
    change.book = self._told(moved, new, price) - self._told(point, old, price)
    return change


@internal
@pure
def _vega_weight(left: uint256) -> uint256:
    """@return [1, WAD] root of a month over the time left, a day at least"""
    return isqrt(MONTH * c.WAD * c.WAD // max(left, c.DAY))


@internal
@pure
def _exposure(
    point: boards.Point, book: boards.Holding, expiry: uint256, weight: uint256
) -> IInventory.Exposure:
    """
    @return a board's totals as Inventory weighs them: gamma by the share of the horizon that is left, vega by `_vega_weight`
    """
    if book.legs == 0:
        return empty(IInventory.Exposure)
    left: uint256 = expiry - point.time
    return IInventory.Exposure(
        delta=book.delta,
        gamma=book.gamma * convert(min(left, point.horizon), int256) // convert(point.horizon, int256),
        vega=book.vega * convert(weight, int256) // c.SWAD,
    )


@internal
@pure
def _told(point: boards.Point, book: boards.Holding, price: uint256) -> int256:
    """@return [quote, WAD] what a board is worth as Inventory has it, at the price"""
    return book.value + signed.mul_floor(
        book.delta, convert(price, int256) - convert(point.spot, int256)
    )


@internal
@pure
def _expanded(
    values: uint256, slopes: uint256, point: boards.Point, price: uint256, now: uint256
) -> int256:
    """@return [quote, WAD] value + delta dS + gamma dS^2 / 2 + theta dt, rounded down"""
    step: int256 = convert(price, int256) - convert(point.spot, int256)
    slope: int256 = boards._signed(values, 0, 128) + signed.mul_floor(
        boards._signed(slopes, 128, 128), step
    ) // 2
    decay: int256 = signed.floor_div(
        boards._signed(slopes, 0, 128) * convert(now - point.time, int256), convert(c.YEAR, int256)
    )
    return boards._signed(values, 128, 128) + signed.mul_floor(slope, step) + decay


@internal
@pure
def _payoff_up(strike: uint256, lots: int256, is_put: bool, price: uint256) -> int256:
    """
    @param strike [STRIKE_UNIT]
    @return [quote, WAD] what a holder of `lots` receives at the price, rounded up
    """
    level: uint256 = strike * series.STRIKE_UNIT
    unit: uint256 = wad.sub_floor(price, level)
    if is_put:
        unit = wad.sub_floor(level, price)
    return signed.ceil_div(lots * series.LOT * convert(unit, int256), c.SWAD)
