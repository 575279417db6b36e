"""What a search must have seen to be worth its time: rare states and events, counted."""

from __future__ import annotations

from collections.abc import Iterator

from ballast.fuzz.world import World
from ballast.model.exact.clearing import Clearinghouse
from ballast.model.exact.fixed import WAD
from ballast.model.exact.inventory import COVERAGE_UNIT

# Every one of these must happen in a search of ordinary length; the test says so.
EXPECTED = (
    "rebate paid", "reserve released", "coverage below one", "utilization above u*", "longs pay funding",
    "shorts pay funding",
    "flip", "liquidation", "bad debt", "bad debt beyond insurance", "LP cash negative", "epoch filled whole",
    "epoch filled in part", "hedge bought", "hedge sold", "hedge recalled", "gift absorbed", "close while paused",
)  # fmt: skip


def reached(w: World, name: str, before: Clearinghouse) -> Iterator[str]:
    """What the last action brought about; `before` is the ledger as it was."""
    ledger, book = w.twin.clearinghouse, w.inventory.book
    outcome = w.outcomes[-1] if w.outcomes else None
    if outcome is None or not outcome.ok:
        return
    if any(quote.charge < 0 for quote in w.quotes):
        yield "rebate paid"
    if any(quote.release > 0 for quote in w.quotes) or any(w.inventory.released):
        yield "reserve released"
    if book.coverage < COVERAGE_UNIT:
        yield "coverage below one"
    if book.loss * WAD > w.inventory.params.weights.u_star * book.capital:
        yield "utilization above u*"
    if ledger.lp < 0:
        yield "LP cash negative"
    if name in ("trade", "close", "liquidate"):
        yield from _traded(w, name, before)
    elif name == "process_epoch" and outcome.value[0] > 0:
        yield "epoch filled in part" if w.vault.epochs.pool.pending > 0 else "epoch filled whole"
    elif name == "rebalance":
        yield "hedge bought" if outcome.value.filled > 0 else "hedge sold"
    elif name == "recall":
        yield "hedge recalled"
    elif name == "absorb":
        yield "gift absorbed"


def _traded(w: World, name: str, before: Clearinghouse) -> Iterator[str]:
    ledger, engine = w.twin.clearinghouse, w.twin.perp_engine
    for market, book in engine.books.items():
        if book.funding_rate:
            yield "shorts pay funding" if book.funding_rate > 0 else "longs pay funding"
        if name == "close" and engine.config(market).paused:
            yield "close while paused"
    if name == "liquidate":
        yield "liquidation"
    for actor in w.touched:
        account = w.key(actor)
        cash, mask = ledger.account(account)
        if before.account(account)[1] != 0 and (cash, mask) == (0, 0):
            yield "bad debt"
            if ledger.insurance == 0:
                yield "bad debt beyond insurance"
    value = w.outcomes[-1].value
    if name == "trade" and value.size != 0 and value.realised != 0 and w.flipped:
        yield "flip"
