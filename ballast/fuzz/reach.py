"""What a search must have seen to be worth its time: rare states and events, counted."""

from __future__ import annotations

from collections.abc import Iterator

from ballast.fuzz.options import OF_OPTIONS
from ballast.fuzz.world import Outcome, World
from ballast.model.exact.clearing import Clearinghouse
from ballast.model.exact.fixed import BPS, WAD
from ballast.model.exact.inventory import COVERAGE_UNIT, linear_loss, vector_loss

# Every one of these must happen in a search of ordinary length; the test says so.
EXPECTED = (
    "rebate paid", "rebate boosted", "carry measured",
    "reserve released", "coverage below one", "utilization above u*", "longs pay funding",
    "shorts pay funding",
    "flip", "liquidation", "liquidation in part", "no penalty", "reward from insurance", "perpetual taken over",
    "liquidation of a market", "options taken over", "deleveraged", "perpetual closed on request",
    "options closed on request", "request taken back", "triggered by ruin", "triggered by silence",
    "profit paid in part", "everybody paid out",
    "bad debt", "bad debt beyond insurance", "LP cash negative", "epoch filled whole",
    "epoch filled in part", "hedge bought", "hedge sold", "hedge recalled", "gift absorbed", "close while paused",
    "vega held", "gamma held", "stress vector binds", "option rebate", "revalued at a block's start",
    "revalued between trades",
    "surface posted", "surface held back",
    "options bought", "options written", "options closed", "options flipped", "eight options at once", "spread capped",
    "board refreshed", "board paid for", "traded on a due board", "options liquidated", "board settled",
    "empty board settled", "longs paid", "shorts charged", "options traded back", "calendar compared",
)  # fmt: skip

LIQUIDATIONS = {
    "liquidate_perp": "liquidation", "liquidate": "liquidation of a market", "take_perp": "perpetual taken over",
    "liquidate_options": "options liquidated", "take_options": "options taken over",
}  # fmt: skip
ENDS = ("trigger", "wind_up")

# The same for profile "all".
EXPECTED_OF_ALL = (
    "gas runs out", "little gas is enough", "token spoils a call", "call from inside", "intrusion refused",
    "parameter set", "role changed", "office passed on", "claim by an operator", "hedge at a double",
    "dead venue poked", "lying venue poked", "churn with a hedge",
    "hedged in bad faith",
)  # fmt: skip

# The same of worlds with an Aave.
EXPECTED_OF_LENDING = (
    "short opened", "short closed", "short recalled", "venue unwound", "venue liquidated", "debt grows",
    "hedged on a paused reserve", "reserve dry", "Aave refuses", "collateral dropped",
    "hedge by mandate", "carry measured",
)  # fmt: skip


def reached(w: World, name: str, before: Clearinghouse) -> Iterator[str]:
    """What the last action brought about; `before` is the ledger as it was."""
    ledger, book = w.twin.clearinghouse, w.inventory.book
    outcome = w.outcomes[-1] if w.outcomes else None
    if outcome is not None:
        yield from _meant_harm(w, name, outcome)
        if outcome.reason in ("surface: vol drift", "surface: rho drift", "surface: eta drift", "surface: rate drift"):
            yield "surface held back"
    if w.shorts:
        yield from _at_the_lender(w, name, outcome)
    if outcome is None or not outcome.ok:
        return
    if any(quote.charge < 0 for quote in w.quotes):
        yield "rebate paid"
    if any(w.inventory.boosts):
        yield "rebate boosted"
    if name == "hedge_by_mandate":
        yield "hedge by mandate"
    if name == "measure_carry":
        yield "carry measured"
    if any(quote.release > 0 for quote in w.quotes) or any(w.inventory.released):
        yield "reserve released"
    if book.coverage < COVERAGE_UNIT:
        yield "coverage below one"
    if book.loss * WAD > w.inventory.params.weights.u_star * book.capital:
        yield "utilization above u*"
    if ledger.lp < 0:
        yield "LP cash negative"
    if name in ("trade", "close", "liquidate_perp", "take_perp"):
        yield from _traded(w, name, before)
    if name in LIQUIDATIONS:
        yield from _liquidated(w, name, before)
    elif name in ENDS:
        yield from _ended(w, name)
    elif name == "deleverage" and w.quotes:
        yield "deleveraged"
    elif name == "execute_request" and w.quotes:
        yield "options closed on request" if w.changes[-1].options else "perpetual closed on request"
    elif name == "cancel_request":
        yield "request taken back"
    elif name == "process_epoch" and outcome.value[0] > 0:
        yield "epoch filled in part" if w.vault.epochs.pool.pending > 0 else "epoch filled whole"
    elif name == "rebalance":
        yield "hedge bought" if outcome.value.filled > 0 else "hedge sold"
    elif name == "recall":
        yield "hedge recalled"
    elif name == "post_surface":
        yield "surface posted"
    elif name == "trade_greeks":
        yield from _optioned(w)
    elif name == "revalue_greeks":
        yield "revalued between trades" if book.changed else "revalued at a block's start"
    elif name == "absorb":
        yield "gift absorbed"
    elif name in OF_OPTIONS:
        yield from _of_boards(w, name, before)


def _at_the_lender(w: World, name: str, outcome: Outcome | None) -> Iterator[str]:
    if w.liquidated:
        w.liquidated = False
        yield "venue liquidated"
    if outcome is None:
        return
    if not outcome.ok:
        yield from {
            "venue: reserve stopped": ["hedged on a paused reserve"], "venue: reserve is dry": ["reserve dry"],
        }.get(str(outcome.reason), ["Aave refuses"] if str(outcome.reason).isdecimal() else [])  # fmt: skip
        return
    touched = [venue for venue in map(w.short, w.shorts) if venue.state.traded_at == w.now]
    if name == "rebalance" and touched:
        yield "short closed" if outcome.value.filled > 0 else "short opened"
    elif name == "recall" and touched:
        yield "short recalled"
    elif name == "unwind":
        yield "venue unwound"
    elif name == "drop_collateral":
        yield "collateral dropped"
    elif name == "poke" and any(0 > venue.state.exposure > venue.exposure() for venue in map(w.short, w.shorts)):
        yield "debt grows"


def _liquidated(w: World, name: str, before: Clearinghouse) -> Iterator[str]:
    value = w.outcomes[-1].value
    yield LIQUIDATIONS[name]
    if value.share < WAD:
        yield "liquidation in part"
    if value.penalty == 0:
        yield "no penalty"
    if w.twin.clearinghouse.insurance < before.insurance:
        yield "reward from insurance"


def _ended(w: World, name: str) -> Iterator[str]:
    ledger = w.twin.clearinghouse
    if name == "trigger":
        silent = any(not w.twin.oracle.peek(market, w.now).fresh for market in range(len(w.feeds)))
        yield "triggered by silence" if silent else "triggered by ruin"
    elif name == "wind_up" and w.frozen:
        yield "everybody paid out"
        if ledger.lp < 0 or ledger.cash_ratio() < WAD:
            yield "cash cut"
        if any(claim.paid < claim.amount for claim in w.settlement.profit_of.values()):
            yield "profit paid in part"
        if any(venue.state.exposure for venue in w.manager.venues):
            yield "hedges left at venues"


def _optioned(w: World) -> Iterator[str]:
    """A scenario of options makes a market's loss larger than its delta does, or options are paid for lowering U."""
    for market in w.inventory.markets:
        if market.vega:
            yield "vega held"
        if market.gamma:
            yield "gamma held"
        if market.optioned and vector_loss(market.delta, market.price, market.stress) > 1 + linear_loss(
            market.delta, market.price
        ):
            yield "stress vector binds"
    if any(quote.charge < 0 for quote in w.quotes):
        yield "option rebate"


def _of_boards(w: World, name: str, before: Clearinghouse) -> Iterator[str]:
    value, ledger = w.outcomes[-1].value, w.twin.clearinghouse
    match name:
        case "trade_options":
            for old, new in w.moved:
                if abs(new) > abs(old) and old * new >= 0:
                    yield "options bought" if new > 0 else "options written"
                elif old * new < 0:
                    yield "options flipped"
                elif new == 0:
                    yield "options closed"
            if len(w.moved) == 8:
                yield "eight options at once"
            if value.half_spread < w.quotes[-1].half_spread:
                yield "spread capped"
            if w.quotes[-1].charge < 0:
                yield "option rebate"
            if w.was_due:
                yield "traded on a due board"
        case "refresh_board":
            yield "board paid for" if value else "board refreshed"
        case "settle_board":
            yield "board settled" if ledger.payables != before.payables else "empty board settled"
        case "settle_accounts":
            for account in map(w.key, w.touched):
                gain = ledger.account(account)[0] - before.account(account)[0]
                if gain:
                    yield "longs paid" if gain > 0 else "shorts charged"


def _meant_harm(w: World, name: str, outcome: Outcome) -> Iterator[str]:
    if w.meddled is not None:
        if w.meddled.gas is not None:
            yield "little gas is enough" if outcome.ok else "gas runs out"
        elif w.meddled.inside[0]:
            yield "call from inside"
        elif outcome.meddled:
            yield "token spoils a call"
    if name == "intrude":
        yield "intrusion refused"
    if w.malice > 1:
        w.malice = 0
        yield "hedged in bad faith"
    if w.churns:
        w.churns = 0
        yield "churn with a hedge"
    if w.round_trips:
        w.round_trips = 0
        yield "options traded back"
    if w.calendars:
        w.calendars = 0
        yield "calendar compared"
    if not outcome.ok:
        return
    doubles = [w.double(venue) for venue in w.doubles]
    if name == "set_parameter":
        yield "parameter set"
    elif name in ("grant_role", "revoke_role", "offer_admin"):
        yield "role changed"
    elif name == "accept_admin":
        yield "office passed on"
    elif name in ("redeem", "claim") and len(w.touched) > 1:
        yield "claim by an operator"
    elif name == "rebalance" and any(venue.state.traded_at == w.now for venue in doubles):
        yield "hedge at a double"
    elif name == "poke":
        if any(venue.deaf for venue in doubles):
            yield "dead venue poked"
        if any(venue.skew or venue.told_bps != BPS for venue in doubles):
            yield "lying venue poked"


def _traded(w: World, name: str, before: Clearinghouse) -> Iterator[str]:
    ledger, engine = w.twin.clearinghouse, w.twin.perp_engine
    for market, book in engine.books.items():
        if book.funding_rate:
            yield "shorts pay funding" if book.funding_rate > 0 else "longs pay funding"
        if name == "close" and engine.config(market).paused:
            yield "close while paused"
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
