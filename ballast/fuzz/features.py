"""What a world is like after a step, in few words: a search keeps sequences that make it like nothing seen before.

Amounts count by sign and magnitude, ratios by eighths, so that there are thousands of states and not one for every
wei. Gas tells how far a transaction got through loops and rare branches even where each block has long been reached.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from ballast.fuzz.coverage import CoveredChain
from ballast.fuzz.world import World
from ballast.model.exact.fixed import WAD
from ballast.model.exact.inventory import COVERAGE_UNIT

Feature = tuple[Hashable, ...]


def features(world: World) -> Iterator[Feature]:
    """How the last action ended, the gas of the last two transactions, and the state of affairs, in parts and as a
    whole."""
    for outcome in world.outcomes:
        yield "ending", world.last, outcome.reason
    chain = world.chain
    if isinstance(chain, CoveredChain):
        yield "gas", world.last, *(_magnitude(gas, 2) for gas in chain.gas)
    state = tuple(_state(world))
    yield "state", *state
    yield from (("after", world.last, number, value) for number, value in enumerate(state))


def _state(world: World) -> Iterator[int | bool]:
    twin, book, ledger = world.twin, world.inventory.book, world.twin.clearinghouse
    yield (ledger.lp > 0) - (ledger.lp < 0)
    yield _magnitude(ledger.lp // WAD, 0) // 4
    yield ledger.insurance > 0
    yield ledger.claims > 0
    yield min(8 * book.coverage // COVERAGE_UNIT, 8)
    yield min(8 * book.loss // max(book.capital, 1), 16)
    yield world.vault.epochs.pool.pending > 0
    yield world.vault.epochs.pool.ends_at <= world.now
    for market, perps in twin.perp_engine.books.items():
        delta = world.inventory.markets[market].delta
        yield (delta > 0) - (delta < 0)
        yield (perps.long > 0) + 2 * (perps.short > 0)
        yield (perps.funding_rate > 0) - (perps.funding_rate < 0)
        yield twin.oracle.peek(market, world.now).fresh
        interest = world.book.interest.get(market, 0)
        yield interest.bit_length() // 4
        yield len(world.book.live_word(market))
    yield (ledger.payables > 0) - (ledger.payables < 0)
    yield sum(done.legs > 0 for done in world.book.settlements.values())


def _magnitude(number: int, bits: int) -> int:
    """The number of binary digits, and the first `bits` behind the leading one."""
    size = abs(number).bit_length()
    return (size << bits) | ((abs(number) << bits >> max(size - 1, 0)) & ((1 << bits) - 1))
