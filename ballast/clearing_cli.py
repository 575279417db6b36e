"""`trade queue …`, `trade liquidate` and `trade settlement …`: closes that wait, liquidations, and the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from math import inf
from typing import Any

import click

from ballast.chain import Reverted
from ballast.cli import WAD, Failure, Session, as_json, connected, figure, positive, size, span
from ballast.keeper.backstop import liquidation
from ballast.keeper.decide import closing_rank
from ballast.keeper.observe import Book, Observer
from ballast.keeper.show import closing_name
from ballast.keeper.state import Closing
from ballast.model.exact.option_engine import MAX_ORDERS
from ballast.options import Board, Option, find, find_board
from ballast.system import Market

SECONDS = "%Y-%m-%d %H:%M:%S UTC"

Orders = list[tuple[int, int]]
"""Series, change [base, WAD], by ascending series."""


# ---- closes that wait for a price


@click.group()
def queue() -> None:
    """Closes that wait for a price.

    While a market has no fresh price nothing trades. A request left here is carried out at the price of the moment
    once there is a new one, by anybody, for a fee; keepers do it within seconds. Until the next round it can be taken
    back or replaced.

    \b
      ape run trade queue request ETH --account trader --network ethereum:sepolia:node
      ape run trade queue show --network ethereum:local:foundry --unlocked 2
    """


@queue.command()
@click.argument("what")
@click.argument("amount", required=False)
@connected
def request(session: Session, what: str, amount: str | None) -> None:
    """Leave a close: of a perpetual (ETH), of a day's options (ETH-26DEC25) or of one (ETH-26DEC25-3000-C).

    Of all there is, or of AMOUNT (in the base asset). There is one request for the perpetual of a market and one for
    its options: another takes its place.

    \b
      ape run trade queue request ETH --account trader --network ethereum:sepolia:node
      ape run trade queue request ETH 2.5 --account trader --network ethereum:sepolia:node
      ape run trade queue request ETH-26DEC25-3000-C --account trader --network ethereum:sepolia:node
    """
    contract = session.system.close_queue
    if "-" in what:
        orders = _options_to_close(session, what, amount)
        market = session.system.market(what.split("-")[0])
        shown, call = _orders_text(session, orders), contract.tx("request_options", orders, sender=session.me)
    else:
        market = session.system.market(what)
        held = int(session.system.perp_engine.call("position", session.me, market.id).size)
        change = -_part(held, amount, market.name)
        shown = f"{size(change, sign=True)} {market.name}"
        call = contract.tx("request_perp", market.id, change, sender=session.me)
    _need_stale(session, market)
    fee = f"{figure(contract.call('fee'))} {session.symbol}"
    session.confirm(f"Ask for {shown} at the next price, for a fee of {fee}?")
    receipt = session.chain.transact(call)
    document = {"tx": receipt.tx_hash, "market": market.id, "request": shown, "fee": fee}
    session.show("Requested", [("change", shown), ("fee", fee), ("transaction", receipt.tx_hash)], document)
    session.note(
        "carried out with the next round of the feed, at its price: trade queue show; back: trade queue cancel"
    )


@queue.command()
@click.argument("owner", required=False)
@connected
def show(session: Session, owner: str | None) -> None:
    """What an account has asked for.

    \b
      ape run trade queue show --network ethereum:local:foundry --unlocked 2
      ape run trade queue show 0x3C44…93BC --rpc http://127.0.0.1:8545 --json
    """
    account, contract = session.account(owner), session.system.close_queue
    rows, documents = [], []
    for market in session.system.markets:
        perp, options = (contract.call(view, account, market.id) for view in ("perp_request", "options_request"))
        waiting = (
            [("execute_perp", f"{size(perp.size_delta, sign=True)} {market.name}", perp)] if perp.size_delta else []
        )
        if options.orders:
            waiting.append(("execute_options", _orders_text(session, options.orders), options))
        for verb, shown, found in waiting:
            state = _state_of(session, verb, account, market, int(found.until))
            rows.append([market.name, shown, _moment(found.round_time), _moment(found.until), state])
            documents.append({"market": market.id, "state": state} | as_json(found))
    if not rows and not session.json:
        session.console.print(f"{account} has asked for nothing.")
        return
    columns = ("market", "change", "newer than the round of", "until", "state")
    session.table(f"Closes of {account}", columns, rows, documents)


@queue.command()
@click.argument("market")
@click.option("--options", is_flag=True, help="the request about options, not the one about the perpetual")
@connected
def cancel(session: Session, market: str, options: bool) -> None:
    """Take a request back, before the next round is there.

    \b
      ape run trade queue cancel ETH --account trader --network ethereum:sepolia:node
    """
    which, contract = session.system.market(market), session.system.close_queue
    session.confirm(f"Take the request about {which.name} back?")
    receipt = session.send(contract, "cancel_options" if options else "cancel_perp", which.id)
    session.show("Taken back", [("transaction", receipt.tx_hash)], {"tx": receipt.tx_hash})


@queue.command()
@click.argument("market")
@click.argument("owner", required=False)
@click.option("--options", is_flag=True, help="the request about options, not the one about the perpetual")
@connected
def execute(session: Session, market: str, owner: str | None, options: bool) -> None:
    """Carry a request out, yours or that of OWNER; the fee is yours.

    \b
      ape run trade queue execute ETH --account trader --network ethereum:sepolia:node
      ape run trade queue execute ETH 0x3C44…93BC --account keeper1 --network ethereum:sepolia:node
    """
    which, account, contract = session.system.market(market), session.account(owner), session.system.close_queue
    session.confirm(f"Carry out what {account} asked for in {which.name}?")
    receipt = session.send(contract, "execute_options" if options else "execute_perp", account, which.id)
    done = receipt.one("OptionsExecuted" if options else "PerpExecuted", contract)
    shown = _orders_text(session, done.orders) if options else f"{size(done.size_delta, sign=True)} {which.name}"
    nothing = not done.orders if options else done.size_delta == 0
    rows = [
        ("change", "none: nothing was left to close" if nothing else shown),
        ("fee", f"{figure(done.fee)} {session.symbol}"),
        ("transaction", receipt.tx_hash),
    ]
    session.show("Carried out", rows, {"tx": receipt.tx_hash} | as_json(done))


def _state_of(session: Session, verb: str, account: str, market: Market, until: int) -> str:
    """What can be done about a request now."""
    if session.chain.now > until:
        return "void: nothing will be closed"
    try:
        fee = int(session.system.close_queue.call(verb, account, market.id))
    except Reverted as error:
        return f"waits: {error}"
    return f"can be carried out, pays {figure(fee)} {session.symbol}"


def _options_to_close(session: Session, what: str, amount: str | None) -> Orders:
    """What closes a day's options or one of them, at most as many as fit one trade."""
    system = session.system
    legs = system.option_book.call("legs", session.me)
    if what.count("-") > 1:
        chosen, series = find(system, what)
        held = next((int(leg.size) for leg in legs if leg.series == series), 0)
        return [(series, -_part(held, amount, chosen.name(system)))]
    board = find_board(system, what)
    if amount is not None:
        raise Failure("an amount of a whole day", "Name one option, or leave the amount away.")
    found = sorted((int(leg.series), -int(leg.size)) for leg in legs if Board(leg.market, leg.expiry) == board)
    if not found:
        raise Failure(f"{session.me} holds no options of {what}", "trade option positions lists what there is.")
    if len(found) > MAX_ORDERS:
        raise Failure(f"{len(found)} different options of one day", f"At most {MAX_ORDERS} are in a request: name one.")
    return found


def _part(held: int, amount: str | None, name: str) -> int:
    """So much of a position, all by default, in its sign."""
    if held == 0:
        raise Failure(f"there is no position in {name}", "trade positions lists what there is.")
    part = abs(held) if amount is None else int(positive(amount, "size") * WAD)
    if part > abs(held):
        raise Failure(f"the position is {size(held)} {name}", "A request only closes.")
    return part if held > 0 else -part


def _need_stale(session: Session, market: Market) -> None:
    if session.system.oracle.call("peek", market.id).fresh:
        raise Failure(f"{market.name} has a fresh price", "It can be traded now: trade close, or trade option close.")


def _orders_text(session: Session, orders: Sequence[Any]) -> str:
    return ", ".join(f"{size(change, sign=True)} {Option.of(series).name(session.system)}" for series, change in orders)


# ---- liquidation


@click.command()
@click.argument("whose", metavar="ACCOUNT")
@click.argument("what", required=False)
@click.option("--take", is_flag=True, help="into the sender's own account at the mark, not to the vault")
@click.option("--send", is_flag=True, help="do it; without, only show what would be done")
@connected
def liquidate(session: Session, whose: str, what: str | None, take: bool, send: bool) -> None:
    """Show what could be closed of an ACCOUNT below maintenance; with --send, close what is best, or WHAT.

    WHAT is as the list names it: a market (ETH), a day of options (ETH-26DEC25), or both. No more is closed than brings
    the account back to its initial margin. The vault takes it at its quote; --take moves it to you at the mark, at a
    discount: then your own margin has to carry it.

    \b
      ape run trade liquidate 0x3C44…93BC --network ethereum:local:foundry
      ape run trade liquidate 0x3C44…93BC ETH --send --account keeper1 --network ethereum:sepolia:node
    """
    system, owner = session.system, session.account(whose)
    cash, mask = system.clearinghouse.call("account", owner)
    if not mask:
        raise Failure(f"{owner} has no positions", f"Its cash is {figure(cash)} {session.symbol}.")
    room = inf if take and session.sender else 0.0
    observer = Observer(
        session.chain, system, Book({owner: mask}, session.chain.number), sender=session.sender, take=room
    )
    state = next(found for found in observer.observe().accounts if found.address == owner)
    if state.equity >= state.maintenance:
        raise Failure(
            f"{owner} is healthy: equity {state.equity:,.2f}, maintenance {state.maintenance:,.2f} {session.symbol}",
            "Only an account below maintenance can be liquidated.",
        )
    choices = [closing for closing in state.closings if what is None or _name(session, closing) == what.upper()]
    rows = [
        [
            "you" if closing.taken else "the vault",
            _name(session, closing),
            f"{closing.notional:,.2f}",
            "yes" if closing.enough else "no",
            f"{closing.reward:,.2f}",
        ]
        for closing in choices
    ]
    chosen = [closing for closing in choices if closing.taken == take]
    if not send:
        document = asdict(state) | {"closings": [asdict(closing) for closing in choices]}
        if not session.json:
            health = [("equity", f"{state.equity:,.2f}"), ("maintenance margin", f"{state.maintenance:,.2f}")]
            session.show(f"Account {owner}", health, None)
        columns = ("taken by", "what", "closes", "is enough", "pays you")
        session.table("What could be closed", columns, rows, document)
    if not chosen:
        _nothing(session, state.closings, take)
    if not send:
        session.note("nothing was sent: --send does it")
        return
    closing = max(chosen, key=closing_rank)
    session.confirm(f"Liquidate {_name(session, closing)} of {owner}?")
    tx = liquidation(system, owner, closing, session.me)
    receipt = session.chain.transact(tx)
    done = receipt.one("Liquidated", system.liquidator)
    result = [
        ("what", _name(session, closing)),
        ("part of it", f"{done.share / WAD:.2%}"),
        ("penalty", f"{figure(done.penalty)} {session.symbol}"),
        ("your reward", f"{figure(done.reward)} {session.symbol}"),
        ("transaction", receipt.tx_hash),
    ]
    session.show("Liquidated", result, {"tx": receipt.tx_hash} | as_json(done))


def _name(session: Session, closing: Closing) -> str:
    return closing_name(closing, [market.name for market in session.system.markets])


def _nothing(session: Session, closings: Sequence[Closing], take: bool) -> None:
    """Why there is nothing to choose from."""
    if take and session.sender is None:
        raise Failure("nobody to take it over", "Name an account with --account or --unlocked.")
    if closings:
        names = ", ".join(sorted({_name(session, closing) for closing in closings if closing.taken == take}))
        raise Failure(
            f"what can be closed: {names}" if names else "your account cannot carry it",
            "" if names else "Add margin (trade deposit), or let the vault take it.",
        )
    raise Failure(
        "nothing of it can be closed now", "Its markets have no fresh price (trade markets), or its options are over."
    )


# ---- global settlement


@click.group()
def settlement() -> None:
    """The end: when the vault owes more than it has, or a market with positions had no price for a day.

    trigger, crystallise (every account), finalise, claim; then trade withdraw for cash, lp redeem for shares. Anybody
    may do each, for everybody; keepers do.

    \b
      ape run trade settlement show --network ethereum:local:foundry
    """


@settlement.command("show")
@click.argument("owner", required=False)
@connected
def show_settlement(session: Session, owner: str | None) -> None:
    """How far it is, and what an account gets.

    \b
      ape run trade settlement show --network ethereum:local:foundry --unlocked 2
    """
    account = session.account(owner) if owner or session.sender else None
    rows, document = settlement_rows(session, account)
    session.show("Global settlement", rows, document)


def settlement_rows(session: Session, account: str | None) -> tuple[list[tuple[str, object]], dict[str, Any]]:
    """The state of it, and an account's part in it."""
    system, contract = session.system, session.system.global_settlement
    since = int(contract.call("triggered_at"))
    if not since:
        outages = {market.name: int(system.oracle.call("outage", market.id)) for market in system.markets}
        rows: list[tuple[str, object]] = [("state", "not triggered")]
        rows += [(f"{name} without a price for", span(seconds)) for name, seconds in outages.items() if seconds]
        return rows, {"triggered_at": 0, "outages": outages}
    final = bool(contract.call("is_final"))
    interest, legs = contract.call("remaining")
    rows = [
        ("triggered", _moment(since)),
        ("state", "final" if final else "accounts are valued" if interest or legs else "to be finalised"),
        ("not valued", f"{size(interest)} of perpetuals, {legs} options"),
        ("price", ", ".join(f"{m.name} {figure(contract.call('terms', m.id).price)}" for m in system.markets)),
    ]
    document: dict[str, Any] = {"triggered_at": since, "final": final, "interest": str(interest), "legs": legs}
    if final:
        profits, shares = contract.call("pots")
        claims = max(int(contract.call("profits")), 1)
        rows += [
            ("profits are paid at", f"{profits / claims:.2%}" if profits else "–"),
            ("for all shares", f"{figure(shares)} {session.symbol}"),
        ]
        document |= {"pots": [str(profits), str(shares)]}
    if account is not None:
        cash, mask = system.clearinghouse.call("account", account)
        claim = contract.call("profit_of", account)
        rows += [
            (f"cash of {account}", f"{figure(cash)} {session.symbol}"),
            ("its profit, paid so far", f"{figure(claim.amount)}, {figure(claim.paid)} {session.symbol}"),
        ]
        rows += [("it is", "not valued yet: trade settlement crystallise")] if mask else []
        document |= {"account": account, "cash": str(cash), "mask": mask, "claim": as_json(claim)}
    return rows, document


@settlement.command()
@connected
def trigger(session: Session) -> None:
    """End the system, for good. Only when it is allowed.

    \b
      ape run trade settlement trigger --account keeper1 --network ethereum:sepolia:node
    """
    session.confirm("End the system, for good?")
    receipt = session.send(session.system.global_settlement, "trigger")
    done = receipt.one("Triggered", session.system.global_settlement)
    session.show(
        "Triggered",
        [("vault", f"{figure(done.nav)} {session.symbol}"), ("transaction", receipt.tx_hash)],
        {"tx": receipt.tx_hash} | as_json(done),
    )


@settlement.command()
@click.argument("accounts", nargs=-1)
@connected
def crystallise(session: Session, accounts: tuple[str, ...]) -> None:
    """Value ACCOUNTS, yours by default: losses are taken from cash, profits become claims.

    \b
      ape run trade settlement crystallise --account trader --network ethereum:sepolia:node
    """
    owners = [session.account(account) for account in accounts] or [session.me]
    _run(session, "crystallise", owners, "Crystallised", "profit")


@settlement.command()
@connected
def finalise(session: Session) -> None:
    """Open payments, once every account is valued.

    \b
      ape run trade settlement finalise --account keeper1 --network ethereum:sepolia:node
    """
    session.confirm("Finalise?")
    receipt = session.send(session.system.global_settlement, "finalise")
    session.show("Finalised", [("transaction", receipt.tx_hash)], {"tx": receipt.tx_hash})


@settlement.command()
@click.argument("accounts", nargs=-1)
@connected
def claim(session: Session, accounts: tuple[str, ...]) -> None:
    """Pay what there is for the profits of ACCOUNTS, yours by default, into their cash: then trade withdraw all.

    \b
      ape run trade settlement claim --account trader --network ethereum:sepolia:node
    """
    owners = [session.account(account) for account in accounts] or [session.me]
    _run(session, "claim", owners, "Claimed", "amount")


def _run(session: Session, verb: str, owners: Sequence[str], event: str, figure_of: str) -> None:
    """A step for some accounts, and what it did to each."""
    contract = session.system.global_settlement
    session.confirm(f"{verb.capitalize()} {len(owners)} account{'s' if len(owners) > 1 else ''}?")
    receipt = session.send(contract, verb, list(owners))
    done = {found.account: found for found in receipt.find(event, contract)}
    rows: list[tuple[str, object]] = [
        (owner, f"{figure(getattr(done[owner], figure_of))} {session.symbol}" if owner in done else "nothing to do")
        for owner in owners
    ]
    document = {"tx": receipt.tx_hash, "accounts": {owner: as_json(found) for owner, found in done.items()}}
    session.show(f"{event}: {figure_of}", [*rows, ("transaction", receipt.tx_hash)], document)


def _moment(timestamp: int) -> str:
    return datetime.fromtimestamp(timestamp, UTC).strftime(SECONDS)
