"""Options of a test network: surfaces from recorded chains, signed with well-known keys, and boards that roll."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta

import numpy as np
from eth_account import Account

from ballast import data
from ballast.chain import Contract
from ballast.model.exact.fixed import WAD
from ballast.model.exact.option_book import MAX_BOARDS, MAX_STRIKES, SETTLEMENT_HOUR
from ballast.surface import Surface, fit, quotes_of
from ballast.surface.signing import arguments, sign, update_of
from ballast.system import Market, Sandbox

FEEDERS = tuple(f"0x{number:064x}" for number in (11, 12, 13))
"""Private keys of the signers in networks/local.yaml."""

RENEW = 900  # [s] age at which a surface is posted again
DAILIES, WEEKLIES, MONTHLIES = 2, 3, 3
SIDE = 4  # strikes on either side of the money
STEP = 0.05  # [fraction of spot] between strikes, about

_FRIDAY = 4


def roll(sandbox: Sandbox) -> None:
    """Renew surfaces that are old, and list boards of expiries and strikes that are missing."""
    for market in sandbox.markets:
        if sandbox.config.markets[market.id].options is None or market.name not in data.ASSETS:
            continue
        now = sandbox.chain.now
        if now - int(sandbox.surface.call("timestamp", market.id)) >= RENEW:
            _post(sandbox, market, now)
            _list(sandbox, market, now)


def calendar(now: int) -> list[int]:
    """Expiries to list, earliest first [s]: the next days, Fridays, and last Fridays of months, at 08:00 UTC.

    What is among them stays until it is over.
    """
    today = datetime.fromtimestamp(now, UTC).date()
    days = [today + timedelta(n) for n in range(32 * (MONTHLIES + 1))]
    ahead = [day for day in days if _at(day) > now]
    fridays = [day for day in ahead if day.weekday() == _FRIDAY]
    last = [day for day in fridays if (day + timedelta(7)).month != day.month]
    return [_at(day) for day in sorted({*ahead[:DAILIES], *fridays[:WEEKLIES], *last[:MONTHLIES]})]


def strikes(spot: float, apart: float = STEP) -> list[int]:
    """Round strikes around a price [WAD], about this fraction of it apart."""
    size = 10.0 ** math.floor(math.log10(apart * spot))
    step = min((size * n for n in (1, 2, 5, 10)), key=lambda candidate: abs(candidate - apart * spot))
    middle = round(spot / step)
    levels = (round((middle + n) * step * 10**8) for n in range(-SIDE, SIDE + 1))
    return [level * (WAD // 10**8) for level in levels]


def recorded(market: str) -> tuple[Surface, float]:
    """The surface of the last recorded chain, and spot then [quote/base]."""
    chain = next(data.option_chains(asset) for asset in data.ASSETS if asset == market)[-1]
    return fit(quotes_of(chain)).surface, float(chain.index_price[0])


def _post(sandbox: Sandbox, market: Market, now: int) -> None:
    contract: Contract = sandbox.surface
    surface, spot = recorded(market.name)
    live = {int(expiry) for expiry in contract.call("expiries", market.id) if expiry > now}
    surface = surface.as_of(now, spot).on(np.array(sorted(live | set(calendar(now)))), spot)
    keys = [key for key in FEEDERS if contract.call("is_signer", Account.from_key(key).address)]
    update = update_of(surface, market.id, spot)
    signatures = sign(update, contract.address, sandbox.chain.chain_id, *keys)
    contract.send("post", arguments(update), signatures)


def _list(sandbox: Sandbox, market: Market, now: int) -> None:
    engine, book = sandbox.option_engine, sandbox.option_book
    around = strikes(int(sandbox.oracle.call("peek", market.id).price) / WAD)
    cutoff = int(engine.call("params", market.id).cutoff)
    room = MAX_BOARDS - len(book.call("expiries", market.id))  # a board that is over takes a place until it is settled
    for expiry in calendar(now):
        listed = {int(entry.strike) for entry in book.call("strikes", market.id, expiry)}
        missing = [strike for strike in around if strike not in listed]
        if missing and expiry > now + cutoff + 60 and len(listed) + len(missing) <= MAX_STRIKES:
            if not listed:
                room -= 1
            if room < 0:
                return
            engine.send("list_strikes", market.id, expiry, missing, sender=sandbox.governor)


def _at(day: date) -> int:
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return int(midnight.timestamp()) + SETTLEMENT_HOUR
