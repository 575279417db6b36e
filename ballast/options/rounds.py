"""Finds the round that settles an expiry: what `PriceOracle.price_at` wants to be told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ballast.chain import Contract

MAX_GAP = 16  # ids without a good round in a row that end a phase: contracts/oracle/PriceOracle.vy
MAX_PHASES = 16

RoundAt = Callable[[int], Any]
"""An IFeed.Round by its id."""


def settling_round(oracle: Contract, market: int, time: int) -> int:
    """The id that proves the market's price at `time` [s since 1970]; raises Reverted where none does yet."""
    feed = oracle.chain.at("ChainlinkFeed", oracle.call("config", market).feed)
    newest = max(feed.call("latest").round_id, oracle.call("last", market).round_id)
    found = last_round(lambda number: feed.call("round_at", number), newest >> 64, time)
    oracle.call("price_at", market, time, found)
    return found


def last_round(round_at: RoundAt, newest_phase: int, time: int) -> int:
    """The last good round at or before `time`, of the last phase that has one; 0 if none has."""
    for phase in range(newest_phase, max(newest_phase - MAX_PHASES, 0) - 1, -1):
        found = _last_of(round_at, phase << 64, time)
        if found:
            return found
    return 0


def _last_of(round_at: RoundAt, phase: int, time: int) -> int:
    """The same within a phase, by doubling and halving: times never go back in it."""

    def is_before(number: int) -> bool:
        for candidate in range(number, number + MAX_GAP):
            entry = round_at(phase + candidate)
            if entry.ok:
                return bool(entry.updated_at <= time)
        return False

    if not is_before(1):
        return 0
    low, high = 1, 2
    while is_before(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if is_before(middle) else (low, middle)
    return phase + low
