"""Options where a test needs them: a surface with one volatility, a board, trades and renewals on a test chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ballast import options
from ballast.boards import FEEDERS
from ballast.model.exact.fixed import WAD, YEAR
from ballast.model.exact.option_book import DAY, SETTLEMENT_HOUR
from ballast.model.exact.option_engine import NO_LIMIT
from ballast.model.exact.vol_surface import Point, Update
from ballast.options import Board
from ballast.surface.signing import arguments, sign
from ballast.system import Amount, Sandbox, wad
from ballast.testing.parameters import PERCENT

BLOCK = 12  # [s]
RHO, ETA, RATE = -30 * PERCENT, 80 * PERCENT, 4 * PERCENT


def flat(market: int, timestamp: int, vol: float, expiries: Sequence[int], rho: int = RHO, eta: int = ETA) -> Update:
    """A surface with one volatility at the money [per sqrt year], observed at `timestamp`."""
    points = tuple(Point(expiry, int(vol**2 * (expiry - timestamp) / YEAR * WAD), RATE) for expiry in expiries)
    return Update(market, timestamp, rho, eta, points)


def post(system: Sandbox, vol: float, expiries: Sequence[int]) -> None:
    """That surface of market 0, observed now."""
    update = flat(0, system.chain.now, vol, expiries)
    signatures = sign(update, system.surface.address, system.chain.chain_id, *FEEDERS)
    system.surface.send("post", arguments(update), signatures)


def list_board(system: Sandbox, days: int, strikes: Sequence[Amount]) -> Board:
    """A board of market 0 so many days after the next midnight, on a surface of 60 % that has no other expiry."""
    board = Board(0, (system.chain.now // DAY + 1 + days) * DAY + SETTLEMENT_HOUR)
    post(system, 0.6, [board.expiry])
    levels = [wad(strike) for strike in strikes]
    system.option_engine.send("list_strikes", 0, board.expiry, levels, sender=system.governor)
    return board


def trade(system: Sandbox, account: str, board: Board, sizes: Mapping[str, Amount], fresh: bool = False) -> int:
    """Gas of a trade in a block of its own, sizes in whole base by name ("2000-C"); without `fresh` the recorded round
    is still the newest."""
    system.warp(BLOCK, refresh=fresh)
    orders = options.orders(system, {f"{board.name(system)}-{name}": size for name, size in sizes.items()})
    return system.option_engine.send("trade", orders, NO_LIMIT, system.chain.now + 60, sender=account).gas_used


def refresh(system: Sandbox, keeper: str, board: Board, fresh: bool = False) -> int:
    """Gas of a renewal in a block of its own."""
    system.warp(BLOCK, refresh=fresh)
    return system.option_engine.send("refresh", board.market, board.expiry, sender=keeper).gas_used
