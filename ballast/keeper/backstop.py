"""Reads what stands behind margin: what the contracts would liquidate, deleverage and close out of the queue now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from ballast.chain import Contract, Reverted, Tx
from ballast.keeper.state import (
    Account,
    Closing,
    Deleveraging,
    Ending,
    ExecuteClose,
    Nomination,
    OptionLeg,
    QueuedClose,
)
from ballast.model.exact.option_book import LOT
from ballast.model.exact.option_engine import MAX_ORDERS

WAD = 1e18
LEAST = 100.0  # [quote] that is taken over of a position
BORDER = 1e-6  # [fraction of maintenance] accounts so close above it are asked about as well

Ask = Callable[..., list[Any]]
"""Answers of several calls at one block; a Reverted in the place of one that failed."""


class System(Protocol):
    """The contracts behind margin."""

    @property
    def clearinghouse(self) -> Contract: ...
    @property
    def liquidator(self) -> Contract: ...
    @property
    def deleverager(self) -> Contract: ...
    @property
    def close_queue(self) -> Contract: ...
    @property
    def global_settlement(self) -> Contract: ...


# ---- liquidations


def liquidation(system: System, account: str, closing: Closing, sender: str | None) -> Tx:
    """What asks the Liquidator for a closing."""
    contract, size, orders = system.liquidator, abs(closing.size_wad), closing.orders
    if not closing.taken:
        return contract.tx("liquidate", account, closing.market, size, orders, sender=sender)
    if orders:
        return contract.tx("take_options", account, orders, sender=sender)
    return contract.tx("take_perp", account, closing.market, size, sender=sender)


def is_weak(account: Account) -> bool:
    """Whether the Liquidator is asked about an account: it has the last word, this is in floats."""
    return account.equity < account.maintenance * (1 + BORDER)


def with_closings(
    ask: Ask,
    system: System,
    accounts: Sequence[Account],
    marks: Sequence[Any],
    now: int,
    taker: tuple[str | None, float],
) -> tuple[Account, ...]:
    """The accounts, those below maintenance with what the Liquidator would do about them.

    The `taker` asks, and would take over so much [quote].
    """
    sender, room = taker
    asked = [
        (account, closing)
        for account in accounts
        if is_weak(account)
        for closing in candidates(account, marks, now, 0.0 if account.address == sender else room)
    ]
    results = ask(*(liquidation(system, account.address, closing, sender) for account, closing in asked))
    found: dict[str, list[Closing]] = {}
    for (account, closing), result in zip(asked, results, strict=True):
        if isinstance(result, Reverted):
            continue
        done = replace(
            closing,
            enough=result.share < 10**18,
            notional=closing.notional * result.share / WAD,
            reward=result.reward / WAD,
        )
        found.setdefault(account.address, []).append(done)
    return tuple(replace(account, closings=tuple(found.get(account.address, ()))) for account in accounts)


def candidates(account: Account, marks: Sequence[Any], now: int, room: float) -> Iterator[Closing]:
    """In every market: the perpetual, of each board what is sold, and all of it, and everything together.

    By the vault; and all but the last taken over, `room` [quote] at most. What has no fresh mark, or is expired, cannot
    be closed.
    """
    for market in sorted({leg.market for leg in account.legs} | {option.market for option in account.options}):
        if not marks[market].fresh:
            continue
        price = marks[market].price / WAD
        size = -sum(leg.size_wad for leg in account.legs if leg.market == market)
        live = [option for option in account.options if option.market == market and option.expiry > now]
        parts: list[tuple[int, Sequence[OptionLeg]]] = [(size, ())] if size else []
        expiries = {option.expiry for option in live}
        for expiry in sorted(expiries):
            held = [option for option in live if option.expiry == expiry]
            held.sort(key=lambda option: (option.size_wad > 0, -abs(option.size_wad)))
            sold = [option for option in held if option.size_wad < 0][:MAX_ORDERS]
            parts += [(0, sold)] if 0 < len(sold) < len(held) else []
            parts.append((0, held[:MAX_ORDERS]))
        for part, options in parts:
            closing = _closing(market, part, options, price)
            yield closing
            yield from _taken(closing, room)
        if len(expiries) + (size != 0) > 1:
            yield _closing(market, size, live, price)


def _closing(market: int, size: int, options: Sequence[OptionLeg], price: float) -> Closing:
    """All of it, by the vault."""
    orders = tuple(sorted((option.series, -option.size_wad) for option in options))
    notional = (abs(size) + sum(abs(change) for _, change in orders)) / WAD * price
    return Closing(market, size, orders, taken=False, notional=notional)


def _taken(closing: Closing, room: float) -> Iterator[Closing]:
    """The same taken over, as much of it as there is room for [quote], if that is worth a position."""
    if room < LEAST:
        return
    part = min(1.0, room / closing.notional)
    size, orders = closing.size_wad, closing.orders
    if part < 1.0:
        size = int(part * size)
        orders = tuple((series, lots) for series, change in orders if (lots := int(part * change / LOT) * LOT))
    if size or orders:
        yield replace(closing, size_wad=size, orders=orders, taken=True, notional=part * closing.notional)


def notional_of(account: Account, marks: Sequence[Any]) -> float:
    """[quote] of everything that an account holds, at the marks."""
    held = [(leg.market, leg.size_wad) for leg in account.legs] + [(o.market, o.size_wad) for o in account.options]
    return float(sum(abs(size) / WAD * marks[market].price / WAD for market, size in held))


# ---- deleveraging


def deleveraging(ask: Ask, system: System, status: Any, markets: Sequence[int]) -> Deleveraging | None:
    """Who is named where, while traders' open profit is above the trigger."""
    if isinstance(status, Reverted) or not status.armed:
        return None
    named = zip(markets, ask(*(system.deleverager.tx("nomination", market) for market in markets)), strict=True)
    return Deleveraging(
        profit=status.profit / WAD,
        excess=status.excess / WAD,
        nominations=tuple(
            Nomination(market, found.score / WAD, found.opened_at) for market, found in named if found.opened_at
        ),
    )


# ---- closes that wait for a price

Request = tuple[str, int, bool]
"""Account, market, and whether it is about options."""


def execution(system: System, close: QueuedClose | ExecuteClose, sender: str | None) -> Tx:
    """What carries a queued close out."""
    verb = "execute_options" if close.options else "execute_perp"
    return system.close_queue.tx(verb, close.account, close.market, sender=sender)


def queued(
    ask: Ask, system: System, requests: Sequence[Request], marks: Sequence[Any], now: int
) -> tuple[QueuedClose, ...]:
    """What waits and is not void, with what carrying it out would pay now."""
    views = [
        system.close_queue.tx("options_request" if options else "perp_request", account, market)
        for account, market, options in requests
    ]
    waiting = [
        QueuedClose(*request, round_time=found.round_time)
        for request, found in zip(requests, ask(*views), strict=True)
        if now <= found.until
    ]
    ready = [close for close in waiting if marks[close.market].fresh]
    fees = dict(zip(ready, ask(*(execution(system, close, None) for close in ready)), strict=True))
    return tuple(
        close if isinstance(fees.get(close, Reverted("")), Reverted) else replace(close, reward=fees[close] / WAD)
        for close in waiting
    )


# ---- global settlement


def ending(
    ask: Ask, system: System, words: Mapping[str, tuple[int, int]], claimants: Sequence[str], *, final: bool
) -> Ending:
    """How far global settlement has come; `words` are cash and mask at the Clearinghouse."""
    settlement = system.global_settlement
    left = tuple(account for account, (_, mask) in words.items() if mask)
    if not final:
        (refusal,) = ask(settlement.tx("finalise"))
        return Ending(left=left, ready=not isinstance(refusal, Reverted))
    pots, profits, *claims = ask(
        settlement.tx("pots"), settlement.tx("profits"), *(settlement.tx("profit_of", who) for who in claimants)
    )
    scale = ask(system.clearinghouse.tx("scale"))[0]
    owed = tuple(
        account
        for account, claim in zip(claimants, claims, strict=True)
        if claim.amount * pots[0] // max(profits, 1) - claim.paid >= scale
    )
    return Ending(final=True, owed=owed, paid_out=pots[0] / WAD)
