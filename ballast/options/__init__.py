"""Options by name: ETH-26DEC25-3000-C is a call on ETH, expiring on 26 December 2025 at 08:00 UTC, struck at 3,000."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from ballast.model.exact.fixed import WAD
from ballast.model.exact.option_book import (
    SETTLEMENT_HOUR,
    STRIKE_UNIT,
    board_of,
    expiry_of,
    is_put,
    key_of,
    market_of,
    pack,
    strike_of,
)
from ballast.system import Amount, System, wad

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_BOARD = re.compile(r"([A-Z0-9]{1,12})-(\d{1,2})([A-Z]{3})(\d{2})")
_OPTION = re.compile(r"([A-Z0-9]{1,12}-\d{1,2}[A-Z]{3}\d{2})-(\d+(?:\.\d{1,8})?)-([CP])")


class Unnamed(LookupError):
    """A name that is no option's, or one's that is not listed."""


@dataclass(frozen=True, slots=True, order=True)
class Board:
    """One expiry of one market."""

    market: int
    expiry: int  # [s since 1970]

    def name(self, system: System) -> str:
        """ETH-26DEC25"""
        return f"{system.market(self.market).name}-{day_name(self.expiry)}"


@dataclass(frozen=True, slots=True, order=True)
class Option:
    """One series."""

    board: Board
    strike: int  # [quote/base, WAD]
    is_put: bool

    @classmethod
    def of(cls, series: int) -> Option:
        """The option that a number of the contracts names."""
        key = board_of(series)
        return cls(Board(market_of(key), expiry_of(key)), strike_of(series) * STRIKE_UNIT, is_put(series))

    def name(self, system: System) -> str:
        """ETH-26DEC25-3000-C"""
        return f"{self.board.name(system)}-{strike_name(self.strike)}-{'P' if self.is_put else 'C'}"

    def series(self, index: int) -> int:
        """Its number, given the place of its strike on the board."""
        key = key_of(self.board.market, self.board.expiry)
        return pack(self.strike // STRIKE_UNIT, index, key, self.is_put)


def day_name(expiry: int) -> str:
    """The day of a time as names spell it: 26DEC25, 2JAN26."""
    day = datetime.fromtimestamp(expiry, UTC)
    return f"{day.day}{_MONTHS[day.month - 1]}{day.year % 100:02}"


def strike_name(strike: int) -> str:
    """A strike [WAD] with as many decimals as it has."""
    return f"{(Decimal(strike) / WAD).normalize():f}"


def find_board(system: System, name: str) -> Board:
    """The board of a name, listed and not cleared; Unnamed says which there are."""
    match = _BOARD.fullmatch(name.upper())
    if match is None:
        raise Unnamed(f"{name!r} names no expiry: write it like {_example(system)}")
    market, expiry = system.market(match[1]).id, _expiry(name, *match.groups()[1:])
    if not system.option_book.call("strikes", market, expiry):
        found = ", ".join(day_name(e) for e in expiries(system, market)) or "none yet"
        raise Unnamed(f"{system.market(market).name} has no options of {day_name(expiry)}; listed: {found}")
    return Board(market, expiry)


def find(system: System, name: str) -> tuple[Option, int]:
    """The option of a name, and its number at the contracts; Unnamed says which there are."""
    match = _OPTION.fullmatch(name.upper())
    if match is None:
        raise Unnamed(f"{name!r} names no option: write it like {_example(system)}-3000-C, or -P for a put")
    board = find_board(system, match[1])
    option = Option(board, int(Decimal(match[2]) * WAD), match[3] == "P")
    strikes = [int(entry.strike) for entry in system.option_book.call("strikes", board.market, board.expiry)]
    if option.strike not in strikes:
        found = ", ".join(strike_name(strike) for strike in sorted(strikes))
        raise Unnamed(f"{board.name(system)} has no strike {strike_name(option.strike)}; listed: {found}")
    return option, option.series(strikes.index(option.strike))


def orders(system: System, sizes: Mapping[str, Amount]) -> list[tuple[int, int]]:
    """What `OptionEngine.trade` takes, from sizes by name in whole units of base, > 0 to buy."""
    return sorted((find(system, name)[1], wad(size)) for name, size in sizes.items())


def expiries(system: System, market: int) -> list[int]:
    """Expiries of a market's boards that are not settled, earliest first [s since 1970]."""
    found: list[Any] = system.option_book.call("expiries", market)
    return sorted(int(expiry) for expiry in found)


def _expiry(name: str, day: str, month: str, year: str) -> int:
    try:
        date = datetime(2000 + int(year), _MONTHS.index(month) + 1, int(day), tzinfo=UTC)
    except ValueError:
        raise Unnamed(f"{name!r} names no day: write it like 26DEC25") from None
    return int((date + timedelta(seconds=SETTLEMENT_HOUR)).timestamp())


def _example(system: System) -> str:
    """The first board there is, else one that could be."""
    for market in system.markets:
        for expiry in expiries(system, market.id)[:1]:
            return Board(market.id, expiry).name(system)
    return f"{system.markets[0].name}-26DEC25"
