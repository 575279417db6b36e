"""`trade option …`: boards, quotes, trades, positions and settlement of options, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby
from math import log
from typing import Any

import click

from ballast.chain import NOBODY, Receipt, Reverted, Tx
from ballast.chain.rpc import RpcError
from ballast.cli import (
    WAD,
    YEAR,
    Failure,
    Session,
    as_json,
    basis_points,
    connected,
    figure,
    percent,
    size,
    span,
)
from ballast.model.exact.fixed import mul_up
from ballast.model.exact.option_book import LOT, key_of
from ballast.model.exact.option_engine import MAX_ORDERS, NO_LIMIT
from ballast.model.exact.option_pricer import Line, Point, Totals, change
from ballast.options import Board, Option, day_name, find, find_board, strike_name
from ballast.options.rounds import settling_round
from ballast.surface.signing import smile_vol
from ballast.system import Market

NO_METHOD = -32601

Orders = list[tuple[Option, int, int]]
"""Option, its number, size [base, WAD] > 0 to buy; by ascending number."""


@dataclass(frozen=True, slots=True)
class Preview:
    """A trade as it would be now."""

    outcome: Any
    account: Any | Reverted | None  # the Lens's view of the sender afterwards, or why the trade would be refused
    refreshed: bool  # the board was due: a refresh comes first


@click.group()
def option() -> None:
    """Options: European, settled in cash at 08:00 UTC of their day, against the vault.

    Names look like ETH-26DEC25-3000-C: market, day, strike, C for a call or P for a put. Sizes are in the base asset.
    The price is the surface's (Black-76); on top come the half-spread and the charge (or rebate) for what the trade
    does to the vault's risk. Options are paid for at once; who sells them keeps margin.

    \b
      ape run trade option boards ETH --network ethereum:local:foundry
      ape run trade option quote ETH-26DEC25-3000-C 2 --network ethereum:sepolia:node
      ape run trade option buy ETH-26DEC25-3000-C 2 --account trader --network ethereum:sepolia:node
      ape run trade option positions --network ethereum:local:foundry --unlocked 2
    """


# ---- looking


@option.command()
@click.argument("name", required=False)
@click.option("--size", "amount", default="1", show_default=True, help="of the bids and asks, in the base asset")
@connected
def boards(session: Session, name: str | None, amount: str) -> None:
    """What is listed: all boards, or the chains of a market (ETH) or of a day (ETH-26DEC25).

    Calls are on the left, puts on the right. Bid and ask are per unit, for a trade of --size, spread and charge
    included; delta is that of one option held; net is what all accounts hold together.

    \b
      ape run trade option boards --network ethereum:local:foundry
      ape run trade option boards ETH --network ethereum:local:foundry
      ape run trade option boards ETH --size 10 --rpc http://127.0.0.1:8545 --json
    """
    system = session.system
    if name is None:
        _overview(session, [(market, view) for market in system.markets for view in _views(session, market)])
        return
    if "-" in name:
        board = find_board(system, name)
        market = system.market(board.market)
        chosen = [view for view in _views(session, market) if view.expiry == board.expiry]
        if not chosen or board.expiry <= session.chain.now:
            raise Failure(f"{board.name(system)} is over", f"It is paid out: trade option settle {board.name(system)}")
    else:
        market = system.market(name)
        chosen = [view for view in _views(session, market) if view.expiry > session.chain.now]
        if not chosen:
            raise Failure(f"{market.name} has no boards", "Governance lists them: OptionEngine.list_strikes.")
    units = _units(amount)
    spot = int(system.oracle.call("peek", market.id).price)
    documents = [_chain(session, market, view, spot, units) for view in chosen]
    if session.json:
        session.table("", (), (), documents)
    else:
        session.note(f"{market.name} at {figure(spot)}; bid and ask for {size(units)}, all costs included")


@option.command(context_settings={"ignore_unknown_options": True})
@click.argument("orders", nargs=-1, required=True)
@connected
def quote(session: Session, orders: tuple[str, ...]) -> None:
    """What a trade would cost now, to the wei: NAME SIZE, for spreads more of them; a size below zero sells.

    \b
      ape run trade option quote ETH-26DEC25-3000-C 2 --network ethereum:sepolia:node
      ape run trade option quote ETH-26DEC25-3000-C 2 ETH-26DEC25-3500-C -2 --network ethereum:sepolia:node
    """
    parsed = _orders(session, orders)
    preview = _preview(session, parsed)
    rows = _outcome_rows(session, parsed, preview.outcome) + _after_rows(session, preview)
    session.show(_title(session, parsed), rows, as_json(preview.outcome) | {"refreshed": preview.refreshed})


@option.command()
@click.argument("owner", required=False)
@connected
def positions(session: Session, owner: str | None) -> None:
    """Options of an account: prices, what exercise would pay now, greeks, margin.

    \b
      ape run trade option positions --network ethereum:local:foundry --unlocked 2
      ape run trade option positions 0x3C44…93BC --rpc http://127.0.0.1:8545 --json
    """
    account = session.account(owner)
    view = session.system.lens.call("account", account)
    greeks = [_greeks(session, entry) for entry in view.options]
    if session.json:
        legs = [
            {"name": Option.of(entry.leg.series).name(session.system), "greeks": _figures(totals)} | as_json(entry)
            for entry, totals in zip(view.options, greeks, strict=True)
        ]
        now = {"cash": str(view.cash), "now": as_json(view.now), "liquidatable": view.liquidatable}
        session.table("", (), (), {"account": account, "options": legs} | now)
        return
    if not view.options:
        session.note(f"{account} holds no options.")
        return
    table(session, account, view, greeks)
    session.show(f"Margin of {account}", health_rows(session, view), None)


def table(session: Session, account: str, view: Any, greeks: Sequence[Totals] | None = None) -> None:
    """The options of the Lens's view of an account."""
    rows = []
    for entry, totals in zip(view.options, greeks or [_greeks(session, e) for e in view.options], strict=True):
        leg, name = entry.leg, Option.of(entry.leg.series).name(session.system)
        beyond = entry.spot - leg.strike if not leg.is_put else leg.strike - entry.spot
        over = leg.settlement or leg.expiry <= session.chain.now
        rows.append(
            [
                name,
                f"{'long' if leg.size > 0 else 'short'} {size(abs(leg.size))}",
                figure(entry.price),
                figure(leg.size * entry.price // WAD, sign=True),
                figure(max(beyond, 0)),
                "settled" if leg.settlement else "expired" if over else span(leg.expiry - session.chain.now),
                *(["", "", "", ""] if over else _greek_cells(totals)),
            ]
        )
    columns = (
        "option", "size", "price", "value", "exercise", "in", "delta", "gamma", "vega / point", "theta / day",
    )  # fmt: skip
    session.table(f"Options of {account}", columns, rows, None)


def health_rows(session: Session, view: Any) -> list[tuple[str, object]]:
    """Cash, equity and requirements of the Lens's view of an account."""
    rows: list[tuple[str, object]] = [
        ("cash", f"{figure(view.cash)} {session.symbol}"),
        ("equity", figure(view.now.equity)),
        ("initial margin", figure(view.now.initial)),
        ("maintenance margin", figure(view.now.maintenance)),
    ]
    if view.liquidatable:
        rows.append(("", "[bold red]below maintenance: can be liquidated now[/]"))
    return rows


# ---- trading


@option.command()
@click.argument("name")
@click.argument("amount")
@click.option("--limit", help="the most to pay per unit, spread and charge included")
@click.option("--slippage", default="3%", show_default=True, help="of the premium, beyond the quote, unless --limit")
@click.option("--deadline", default=300, show_default=True, help="seconds within which it must be included")
@connected
def buy(session: Session, name: str, amount: str, limit: str | None, slippage: str, deadline: int) -> None:
    """Buy AMOUNT (in the base asset) of an option.

    \b
      ape run trade option buy ETH-26DEC25-3000-C 2 --account trader --network ethereum:sepolia:node
      ape run trade option buy ETH-26DEC25-3000-C 2 --limit 95.5 --account trader --network ethereum:sepolia:node
    """
    units = _units(amount)
    bound = None if limit is None else _number(limit, "limit") * units // WAD
    _trade(session, _orders(session, (name, amount)), bound, slippage, deadline)


@option.command()
@click.argument("name")
@click.argument("amount")
@click.option("--limit", help="the least to receive per unit, spread and charge included")
@click.option("--slippage", default="3%", show_default=True, help="of the premium, beyond the quote, unless --limit")
@click.option("--deadline", default=300, show_default=True, help="seconds within which it must be included")
@connected
def sell(session: Session, name: str, amount: str, limit: str | None, slippage: str, deadline: int) -> None:
    """Sell AMOUNT (in the base asset) of an option: what one holds, or short, which needs margin.

    \b
      ape run trade option sell ETH-26DEC25-3000-P 2 --account trader --network ethereum:sepolia:node
    """
    units = _units(amount)
    bound = None if limit is None else -(_number(limit, "limit") * units // WAD)
    _trade(session, _orders(session, (name, f"-{amount}")), bound, slippage, deadline)


@option.command()
@click.argument("orders", nargs=-1, required=True)
@click.option("--limit", help="the most to pay in all; below zero: the least to receive")
@click.option("--slippage", default="3%", show_default=True, help="of all premiums, beyond the quote, unless --limit")
@click.option("--deadline", default=300, show_default=True, help="seconds within which it must be included")
@connected
def trade(session: Session, orders: tuple[str, ...], limit: str | None, slippage: str, deadline: int) -> None:
    """A spread: up to eight NAME=SIZE of one day, priced as one trade; a size below zero sells.

    \b
      ape run trade option trade ETH-26DEC25-3000-C=2 ETH-26DEC25-3500-C=-2 --rpc https://… --account trader
    """
    bound = None if limit is None else _number(limit, "limit")
    _trade(session, _orders(session, orders), bound, slippage, deadline)


@option.command()
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="all options of the account that are not over")
@click.option("--limit", help="the most to pay in all; below zero: the least to receive")
@click.option("--slippage", default="5%", show_default=True, help="of all premiums, beyond the quote, unless --limit")
@click.option("--deadline", default=300, show_default=True, help="seconds within which it must be included")
@connected
def close(
    session: Session, name: str | None, everything: bool, limit: str | None, slippage: str, deadline: int
) -> None:
    """Close a position, or --all. Closing is never refused for caps, an old surface or a pause, nor for margin unless
    what it hedges is kept.

    \b
      ape run trade option close ETH-26DEC25-3000-C --account trader --network ethereum:sepolia:node
      ape run trade option close --all --account trader --network ethereum:sepolia:node
    """
    if (name is None) != everything:
        raise Failure("close what?", "Name one option, or --all.")
    legs = session.system.option_book.call("legs", session.me)
    if name is not None:
        chosen, series = find(session.system, name)
        legs = [leg for leg in legs if leg.series == series]
        if not legs:
            raise Failure(
                f"{session.me} holds no {chosen.name(session.system)}", "trade option positions lists what there is."
            )
    over = sorted({Board(leg.market, leg.expiry) for leg in legs if leg.expiry <= session.chain.now})
    live = sorted((leg for leg in legs if leg.expiry > session.chain.now), key=_board_of)
    if over and (name is not None or not live):
        names = ", ".join(board.name(session.system) for board in over)
        raise Failure(f"{names} has expired", f"It is paid out: trade option settle {over[0].name(session.system)}")
    if not live:
        raise Failure(f"{session.me} holds no options")
    bound = None if limit is None else _number(limit, "limit")
    for _, group in groupby(live, key=_board_of):
        orders = sorted(((Option.of(leg.series), leg.series, -leg.size) for leg in group), key=lambda order: order[1])
        for first in range(0, len(orders), MAX_ORDERS):
            _trade(session, orders[first : first + MAX_ORDERS], bound, slippage, deadline)


# ---- keeping


@option.command()
@click.argument("name")
@connected
def refresh(session: Session, name: str) -> None:
    """Renew a board that is due (ETH-26DEC25); paid if it has positions and was not renewed a moment ago.

    \b
      ape run trade option refresh ETH-26DEC25 --account trader --network ethereum:sepolia:node
    """
    board = find_board(session.system, name)
    if not _is_due(session, board):
        raise Failure(f"{board.name(session.system)} is not due", "It can be quoted and traded as it is.")
    session.confirm(f"Refresh {board.name(session.system)}?")
    engine = session.system.option_engine
    receipt = session.send(engine, "refresh", board.market, board.expiry)
    done = receipt.one("Refreshed", engine)
    rows = [
        ("spot", figure(done.spot)),
        ("reward", f"{figure(done.reward)} {session.symbol}"),
        ("transaction", receipt.tx_hash),
    ]
    session.show(f"{board.name(session.system)} refreshed", rows, {"tx": receipt.tx_hash} | as_json(done))


@option.command()
@click.argument("what")
@connected
def settle(session: Session, what: str) -> None:
    """Fix the price of a day that is over (ETH-26DEC25) and pay your account; or all that an ACCOUNT is owed.

    The round that proves the price is searched in the feed. Anybody may settle: the price does not depend on who does.

    \b
      ape run trade option settle ETH-26DEC25 --account trader --network ethereum:sepolia:node
      ape run trade option settle 0x3C44…93BC --account trader --network ethereum:sepolia:node
    """
    system, book = session.system, session.system.option_book
    if what.lower().startswith("0x"):
        owner = session.account(what)
        legs = [leg for leg in book.call("legs", owner) if leg.expiry <= session.chain.now]
        found = sorted({Board(leg.market, leg.expiry) for leg in legs})
        if not found:
            raise Failure(f"{owner} holds no option that is over", "trade option positions shows when they are.")
    else:
        owner = session.me
        found = [find_board(system, "-".join(what.split("-")[:2]))]
    documents = []
    for board in found:
        documents.append(_settle(session, board, owner))
    if session.json:
        session.table("", (), (), documents)


def _settle(session: Session, board: Board, owner: str) -> dict[str, Any]:
    """One board, and what one account has on it."""
    system, engine, name = session.system, session.system.option_engine, board.name(session.system)
    now = session.chain.now
    if now < board.expiry:
        raise Failure(f"{name} is not over", f"It expires in {span(board.expiry - now)}. trade option close closes it.")
    document: dict[str, Any] = {"board": name}
    price = int(system.option_book.call("board", board.market, board.expiry).settlement)
    if not price:
        try:
            number = settling_round(system.oracle, board.market, board.expiry)
        except Reverted as error:
            hint = "On a devnet: python -m ballast.devnet push" if session.manifest.parsed_config().quote.test else ""
            raise Failure(
                f"{name} cannot be settled yet: {error.reason}", f"Wait for a round of the feed. {hint}"
            ) from None
        session.confirm(f"Settle {name} by round {number}?")
        receipt = session.send(engine, "settle", board.market, board.expiry, number)
        done = receipt.one("Settled", engine)
        price = int(done.price)
        document |= {"tx": receipt.tx_hash, "settled": as_json(done)}
        if not session.json:
            session.show(
                f"{name} settled",
                [
                    ("price", figure(price)),
                    ("owed to all accounts", figure(done.payoff, sign=True)),
                    ("reward", f"{figure(done.reward)} {session.symbol}"),
                    ("transaction", receipt.tx_hash),
                ],
                None,
            )
    held = [leg for leg in system.option_book.call("legs", owner) if _board_of(leg) == board]
    if not held:
        session.note(f"{owner} has nothing on {name}, which settled at {figure(price)}.")
        return document
    session.confirm(f"Pay out {len(held)} positions of {owner} at {figure(price)}?")
    receipt = session.send(engine, "settle_accounts", board.market, board.expiry, [owner])
    paid = receipt.one("AccountSettled", engine)
    cash, _ = system.clearinghouse.call("account", owner)
    if not session.json:
        rows = [
            ("price", figure(price)),
            ("paid", f"{figure(paid.payoff, sign=True)} {session.symbol}"),
            ("cash", f"{figure(cash)} {session.symbol}"),
            ("transaction", receipt.tx_hash),
        ]
        session.show(f"{name}: {owner} paid out", rows, None)
    return document | {"account": owner, "payoff": str(paid.payoff), "account_tx": receipt.tx_hash}


# ---- internal: a trade


def _trade(session: Session, orders: Orders, limit: int | None, slippage: str, deadline: int) -> Receipt:
    preview = _preview(session, orders)
    cost = -int(preview.outcome.cash)
    bound = cost + int(percent(slippage) * _gross(session, orders)) if limit is None else limit
    if not session.json:
        rows = _outcome_rows(session, orders, preview.outcome) + _after_rows(session, preview)
        session.show(_title(session, orders), rows, None)
    question = f"Pay at most {figure(bound)}" if bound > 0 else f"Receive at least {figure(-bound)}"
    session.confirm(f"{_title(session, orders)}. {question} {session.symbol}?")
    engine = session.system.option_engine
    sent = [(series, amount) for _, series, amount in orders]
    receipt = session.send(engine, "trade", sent, bound, session.chain.now + deadline)
    done = receipt.one("Trade", engine)
    cash, _ = session.system.clearinghouse.call("account", session.me)
    rows = [
        ("premium", figure(done.premium, 4, sign=True)),
        ("half-spread", figure(done.half_spread, 4)),
        ("charge" if done.charge >= 0 else "rebate", figure(abs(done.charge), 4)),
        ("cash", f"{figure(cash)} {session.symbol}"),
        ("transaction", receipt.tx_hash),
    ]
    session.show("Traded", rows, {"tx": receipt.tx_hash, "cash": str(cash)} | as_json(done))
    return receipt


def _preview(session: Session, orders: Orders) -> Preview:
    """The quote, and with a sender the account afterwards; a board that is due is refreshed first, in simulation."""
    system, board = session.system, orders[0][0].board
    if any(chosen.board != board for chosen, _, _ in orders):
        raise Failure("the options are of several days", "One trade is on one board: send one for each day.")
    engine, asker = system.option_engine, session.sender or NOBODY
    sent = [(series, amount) for _, series, amount in orders]
    asked = engine.tx("quote", asker, sent, sender=asker)
    steps = [asked]
    due = _is_due(session, board)
    if due:
        steps.insert(0, engine.tx("refresh", board.market, board.expiry, sender=NOBODY))
    if session.sender is not None:
        steps.append(engine.tx("trade", sent, NO_LIMIT, 2**256 - 1, sender=asker))
        steps.append(system.lens.tx("account", asker))
    try:
        answers = session.chain.simulate(steps)
    except RpcError as error:
        if error.code != NO_METHOD:
            raise
        if due:
            raise Failure(
                f"{board.name(system)} is due for a refresh, and this node cannot foresee it (eth_simulateV1)",
                f"Refresh it: trade option refresh {board.name(system)}, or use another node.",
            ) from None
        return Preview(engine.call("quote", asker, sent), None, refreshed=False)
    results = [_decoded(tx, answer) for tx, answer in zip(steps, answers, strict=True)]
    if due and isinstance(results[0], Reverted):
        raise results[0]
    outcome, *rest = results[due:]
    if isinstance(outcome, Reverted):
        raise outcome
    traded = rest[0] if rest and isinstance(rest[0], Reverted) else rest[1] if rest else None
    return Preview(outcome, traded, refreshed=due)


def _orders(session: Session, words: Sequence[str]) -> Orders:
    """From NAME SIZE NAME SIZE … or NAME=SIZE …"""
    flat = [part for word in words for part in word.split("=")]
    if len(flat) % 2:
        raise Failure(f"{flat[-1]!r} is left over", "Write NAME SIZE, or NAME=SIZE, for each option.")
    if len(flat) > 2 * MAX_ORDERS:
        raise Failure(f"{len(flat) // 2} options in one trade", f"At most {MAX_ORDERS} are.")
    found: dict[int, tuple[Option, int, int]] = {}
    for name, text in zip(flat[::2], flat[1::2], strict=True):
        chosen, series = find(session.system, name)
        if series in found:
            raise Failure(f"{chosen.name(session.system)} is named twice")
        amount = -_units(text[1:]) if text.startswith("-") else _units(text.removeprefix("+"))
        found[series] = (chosen, series, amount)
    return [found[series] for series in sorted(found)]


def _units(text: str) -> int:
    """A size above zero [base, WAD], in steps of a millionth."""
    units = _number(text, "size")
    if units <= 0:
        raise Failure(f"size {text} is not above zero")
    if units % LOT:
        raise Failure(f"size {text} has more than 6 decimals")
    return units


def _number(text: str, what: str) -> int:
    """A number as WAD."""
    try:
        return int(Decimal(text.replace("_", "").replace(",", "")) * WAD)
    except (ArithmeticError, ValueError):
        raise Failure(f"{what} {text!r} is not a number") from None


def _gross(session: Session, orders: Orders) -> int:
    """What all options of a trade are worth together [quote, WAD]."""
    board = orders[0][0].board
    market = session.system.market(board.market)
    (view,) = (view for view in _views(session, market) if view.expiry == board.expiry)
    prices = {
        (entry.strike, right): unit for entry in view.strikes for right, unit in enumerate((entry.call, entry.put))
    }
    return sum(mul_up(abs(amount), prices[chosen.strike, int(chosen.is_put)]) for chosen, _, amount in orders)


def _title(session: Session, orders: Orders) -> str:
    words = [f"{'buy' if n > 0 else 'sell'} {size(abs(n))} {chosen.name(session.system)}" for chosen, _, n in orders]
    text = ", ".join(words)
    return text[0].upper() + text[1:]


def _outcome_rows(session: Session, orders: Orders, outcome: Any) -> list[tuple[str, object]]:
    premium = abs(int(outcome.premium))
    rows: list[tuple[str, object]] = [
        ("premium" if outcome.premium >= 0 else "premium received", f"{figure(premium, 4)} {session.symbol}"),
        ("half-spread", f"{figure(outcome.half_spread, 4)} ({basis_points(outcome.half_spread, premium)})"),
        (
            "charge" if outcome.charge >= 0 else "rebate",
            f"{figure(abs(outcome.charge), 4)} ({basis_points(abs(outcome.charge), premium)})",
        ),
    ]
    if len(orders) == 1:
        rows.append(("per unit, all included", figure(abs(outcome.cash) * WAD // abs(orders[0][2]), 4)))
    return [*rows, ("cash changes by", figure(outcome.cash, 4, sign=True))]


def _after_rows(session: Session, preview: Preview) -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = []
    if preview.refreshed:
        rows.append(("board", "due: quoted as if refreshed now, as the trade itself will"))
    after = preview.account
    if isinstance(after, Reverted):
        return [*rows, ("", f"it would be refused: {after.reason}")]
    if after is not None:
        rows += [
            ("equity after", figure(after.now.equity)),
            ("initial margin after", figure(after.now.initial)),
        ]
    return rows


# ---- internal: boards


def _views(session: Session, market: Market) -> list[Any]:
    views: list[Any] = session.system.lens.call("boards", market.id)
    return views


def _is_due(session: Session, board: Board) -> bool:
    price = session.system.oracle.call("peek", board.market).price
    return bool(session.system.option_book.call("is_due", key_of(board.market, board.expiry), price))


def _board_of(leg: Any) -> Board:
    return Board(leg.market, leg.expiry)


def _state(session: Session, view: Any) -> str:
    """Whether a board takes trades, in words."""
    if view.expiry <= session.chain.now:
        return "expired: settle"
    words = ["due for a refresh"] if view.due and view.stored.legs else []
    words += [] if view.smile.is_live else ["stale surface: closing only"]
    words += ["closing only"] if view.stored.closing_only else []
    return ", ".join(words) or "open"


def _overview(session: Session, found: Sequence[tuple[Market, Any]]) -> None:
    rows = []
    for market, view in found:
        years, strikes = (view.expiry - view.smile.timestamp) / YEAR, [int(entry.strike) for entry in view.strikes]
        over = view.expiry <= session.chain.now
        rows.append(
            [
                f"{market.name}-{day_name(view.expiry)}",
                "over" if over else span(view.expiry - session.chain.now),
                f"{len(strikes)}",
                f"{strike_name(min(strikes))} … {strike_name(max(strikes))}",
                "–" if over else f"{100 * (view.smile.theta / WAD / years) ** 0.5:.1f} %",
                size(view.stored.interest * LOT),
                _state(session, view),
            ]
        )
    document = [{"name": f"{market.name}-{day_name(view.expiry)}"} | as_json(view) for market, view in found]
    columns = ("board", "in", "strikes", "from … to", "vol", "open interest", "state")
    session.table("Boards", columns, rows, document)
    if not found and not session.json:
        session.note("None is listed; governance does: OptionEngine.list_strikes.")


def _chain(session: Session, market: Market, view: Any, spot: int, units: int) -> dict[str, Any]:
    """Prints one board, and answers it for programs."""
    board = Board(market.id, view.expiry)
    entries = sorted(enumerate(view.strikes), key=lambda item: int(item[1].strike))
    series = [Option(board, entry.strike, put).series(index) for index, entry in entries for put in (False, True)]
    prices = _bids_and_asks(session, board, view, series, units)
    now = session.chain.now
    rows, lines = [], []
    for number, (index, entry) in enumerate(entries):
        deltas = [_totals(view.smile, spot, view.expiry, now, entry.strike, put, WAD).delta for put in (False, True)]
        (call_bid, call_ask), (put_bid, put_ask) = prices[2 * number], prices[2 * number + 1]
        vol = _vol(view, entry.strike, spot, now)
        rows.append(
            [
                size(entry.calls * LOT), f"{deltas[0] / WAD:.2f}",
                _price(call_bid), _price(entry.call), _price(call_ask),
                strike_name(entry.strike), f"{100 * vol:.1f} %",
                _price(put_bid), _price(entry.put), _price(put_ask), f"{deltas[1] / WAD:.2f}", size(entry.puts * LOT),
            ]
        )  # fmt: skip
        lines.append(
            {
                "strike": str(entry.strike), "vol": round(vol, 6), "index": index,
                "call": _side(entry.call, call_bid, call_ask, deltas[0], entry.calls),
                "put": _side(entry.put, put_bid, put_ask, deltas[1], entry.puts),
            }
        )  # fmt: skip
    name = board.name(session.system)
    if not session.json:
        moment = f"{datetime.fromtimestamp(view.expiry, UTC):%d %b %Y %H:%M} UTC"
        left = span(view.expiry - now)
        session.table(
            f"{name}: {moment}, in {left}, {_state(session, view)}",
            ("net", "delta", "bid", "CALL", "ask", "strike", "vol", "bid", "PUT", "ask", "delta", "net"),
            rows,
            None,
        )
    return {"name": name, "expiry": view.expiry, "due": view.due, "size": str(units), "strikes": lines}


def _bids_and_asks(
    session: Session, board: Board, view: Any, series: Sequence[int], units: int
) -> list[tuple[int | None, int | None]]:
    """What one unit fetches and costs of each series in a trade of `units` [quote, WAD]; None where it is refused."""
    engine, asker = session.system.option_engine, session.sender or NOBODY
    steps = [engine.tx("quote", asker, [(one, n)], sender=asker) for one in series for n in (-units, units)]
    first = [engine.tx("refresh", board.market, board.expiry, sender=NOBODY)] if view.due else []
    try:
        answers = session.chain.simulate(first + steps)[len(first) :]
    except RpcError as error:
        if error.code != NO_METHOD:
            raise
        session.note("This node cannot simulate (eth_simulateV1): no bids and asks.")
        return [(None, None)] * len(series)
    outcomes = [_decoded(tx, answer) for tx, answer in zip(steps, answers, strict=True)]
    found = [None if isinstance(outcome, Reverted) else abs(outcome.cash) * WAD // units for outcome in outcomes]
    return list(zip(found[::2], found[1::2], strict=True))


def _decoded(tx: Tx, answer: bytes | Reverted) -> Any:
    if isinstance(answer, Reverted) or tx.function is None:
        return answer
    return tx.function.decode(answer)


def _price(wad: int | None) -> str:
    return "–" if wad is None else figure(wad)


def _side(mark: int, bid: int | None, ask: int | None, delta: int, net: int) -> dict[str, Any]:
    prices = {"bid": bid, "mark": mark, "ask": ask}
    return {name: None if wad is None else str(wad) for name, wad in prices.items()} | {
        "delta": str(delta), "net": str(net * LOT),
    }  # fmt: skip


def _vol(view: Any, strike: int, spot: int, now: int) -> float:
    """Implied volatility at a strike [per sqrt year]."""
    k = log(strike / spot) - view.smile.rate / WAD * max(view.expiry - now, 0) / YEAR
    return smile_vol(view.smile, k, view.expiry)


# ---- internal: greeks


def _greeks(session: Session, entry: Any) -> Totals:
    """Of one position of an account, now."""
    leg = entry.leg
    smile = session.system.surface.call("smile", leg.market, leg.expiry)
    return _totals(smile, entry.spot, leg.expiry, session.chain.now, leg.strike, leg.is_put, leg.size)


def _totals(smile: Any, spot: int, expiry: int, now: int, strike: int, is_put: bool, units: int) -> Totals:
    """Value and greeks of a holding, as the contracts' pricer has them."""
    seconds, term = max(expiry - now, 0), max(expiry - smile.timestamp, 0)
    point = Point(spot, seconds, term, smile.theta, smile.rate, smile.rho, smile.eta)
    return change(point, [Line(strike, 0, 0, units, units if is_put else 0)])


def _figures(totals: Totals) -> dict[str, str]:
    return {name: str(getattr(totals, name)) for name in ("value", "delta", "gamma", "vega", "theta")}


def _greek_cells(totals: Totals) -> list[str]:
    return [
        figure(totals.delta, 4, sign=True),
        figure(totals.gamma, 6, sign=True),
        figure(totals.vega // 100, sign=True),
        figure(totals.theta // 365, sign=True),
    ]
