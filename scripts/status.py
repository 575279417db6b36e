"""The whole system on one screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import click

from ballast.chain import Reverted
from ballast.cli import WAD, Session, as_json, basis_points, connected, figure, rate, size, span
from ballast.model.exact.governor import State

Row = tuple[str, object]
OVER = (State.DEFEATED, State.EXECUTED, State.CANCELLED, State.EXPIRED)


class Part(NamedTuple):  # no dataclass: ape loads scripts as no module
    """A section of the screen: lines for people, a document for programs."""

    name: str
    rows: list[Row]
    document: Any


@click.command()
@connected
def cli(session: Session) -> None:
    """What LPs own and risk, what every market's price is worth, hedges, the auction, and what waits for a decision.

    A section whose contract cannot answer (a price is stale, the system was ended) says why.

    \b
      ape run status --network ethereum:local:foundry
      python -m scripts.status --rpc http://127.0.0.1:8545 --json
    """
    parts = [
        _asked(name, read, session)
        for name, read in (
            ("vault", _vault),
            ("markets", _markets),
            ("hedges", _hedges),
            ("auction", _auction),
            ("powers", _powers),
        )
    ]
    rows: list[Row] = []
    for part in parts:
        rows += [("", ""), (f"[bold]{part.name}[/]", ""), *part.rows]
    document = {"network": session.manifest.network, "time": session.chain.now}
    session.show(
        f"{session.manifest.network}, block {session.chain.number}",
        rows[1:],
        document | {part.name: part.document for part in parts},
    )


def _asked(name: str, read: Callable[[Session], Part], session: Session) -> Part:
    try:
        return read(session)
    except Reverted as error:
        return Part(name, [("cannot be told", error.reason or "the contract reverts")], {"error": error.reason})


def _vault(session: Session) -> Part:
    view = session.system.lens.call("vault")
    inventory, frozen = view.inventory, session.system.clearinghouse.call("frozen")
    rows: list[Row] = [
        ("NAV", f"{figure(view.valuation.nav)} {session.symbol}"),
        ("a share: bid / mid / ask", " / ".join(map(figure, (view.bid_price, view.mid_price, view.ask_price)))),
        ("utilization u", rate(view.utilization) if view.utilization < 2**255 else "no NAV"),
        ("potential U, reserve R", f"{figure(inventory.potential)}, {figure(inventory.reserve)}"),
        ("LP cash, at venues", f"{figure(inventory.lp_cash)}, {figure(view.venues)}"),
        ("epoch", f"{view.epoch.id}, {figure(view.epoch.pending + view.epoch.incoming)} shares wait"),
        ("state", "ended" if frozen else "deposits paused" if view.deposits_paused else "open"),
    ]
    return Part("vault", rows, as_json(view) | {"frozen": frozen})


def _markets(session: Session) -> Part:
    system, now = session.system, session.chain.now
    views = system.lens.call("markets")
    rows: list[Row] = []
    documents = []
    for market, view in zip(system.markets, views, strict=True):
        mark = view.mark
        second = system.oracle.call("second", market.id)
        boards = system.lens.call("boards", market.id)
        state = "closing only" if view.paused else "" if mark.fresh else "stale"
        spreads = f"{basis_points(view.bought.half_spread, WAD)} / {basis_points(view.sold.half_spread, WAD)}"
        rows += [
            (market.name, " ".join(filter(None, (f"{figure(mark.price)}, {span(now - mark.updated_at)} old", state)))),
            ("  half-spread, buy / sell", f"{spreads}, of it feeds {basis_points(mark.half_width, mark.price)}"),
            ("  volatility, funding", f"{rate(mark.sigma)}, {rate(view.funding_rate, sign=True)}"),
            ("  traders long / short, vault", f"{size(view.long)} / {size(view.short)}, {size(view.delta, sign=True)}"),
        ]
        if int(second.feed, 16):
            rows.append(("  second feed", f"band {second.band_bps} bp, alone {second.lone_bps} bp wider"))
        if boards:
            due = sum(board.due for board in boards)
            rows.append(("  boards of options", f"{len(boards)}" + (f", {due} due" if due else "")))
        documents.append(
            {"name": market.name, "age": now - mark.updated_at, "second": as_json(second)}
            | as_json(view)
            | {"boards": [{"expiry": board.expiry, "due": board.due} for board in boards]}
        )
    return Part("markets", rows, documents)


def _hedges(session: Session) -> Part:
    views = session.system.lens.call("venues")
    names = [market.name for market in session.system.markets]
    rows: list[Row] = []
    for view in views:
        state = "retired" if view.retired else "paused" if view.paused else "" if view.answered else "does not answer"
        holds = f"{size(view.exposure, sign=True)} worth {figure(view.equity)}"
        rows.append((f"venue {view.venue_id}, {names[view.market]}", ", ".join(filter(None, (holds, state)))))
    return Part("hedges", rows or [("venues", "none")], as_json(views))


def _auction(session: Session) -> Part:
    offer, _ = session.system.lens.call("offers")
    rows: list[Row] = [
        ("rebate auction", f"open, pays {rate(offer.rate)} of a fall of U" if offer.is_open else "none is open"),
        ("U, line", f"{figure(offer.potential)}, {figure(offer.line)}"),
        ("budget left", figure(offer.left)),
    ]
    return Part("auction", rows, as_json(offer))


def _powers(session: Session) -> Part:
    system, now = session.system, session.chain.now
    rows: list[Row] = [
        ("governor", system.governor + (" (timelock)" if system.timelock else "")),
        ("guardian", system.guardian or "nobody"),
    ]
    document: dict[str, Any] = {"governor": system.governor, "guardian": system.guardian, "proposals": []}
    if system.voting is None:
        return Part("powers", rows, document)
    for number in range(system.voting.call("proposal_count")):
        state = State(system.voting.call("state", number))
        if state not in OVER:
            rows.append((f"proposal {number}", f"{str(state.name).lower()}: gov status {number}"))
            document["proposals"].append({"id": number, "state": state.name})
    if not document["proposals"]:
        rows.append(("proposals", "none waits"))
    return Part("powers", rows, document | {"time": now})


if __name__ == "__main__":
    cli()
