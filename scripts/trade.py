"""For traders: margin, quotes, positions, closes that wait; and what there is to do about others' accounts."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import click

from ballast.chain import NOBODY
from ballast.clearing_cli import liquidate, queue, settlement
from ballast.cli import (
    WAD,
    Failure,
    Session,
    as_json,
    basis_points,
    connected,
    figure,
    percent,
    positive,
    rate,
    size,
    span,
)
from ballast.model.exact.margin import exit_cost, required
from ballast.options.cli import health_rows, option
from ballast.options.cli import table as option_table
from ballast.system import NO_LIMIT, Market

SIDES = click.Choice(["buy", "sell"])


@click.group()
def cli() -> None:
    """Trade perpetuals and options against the vault.

    A trade is at the oracle's price; on top come the half-spread and the charge (or rebate) for what it does to the
    vault's risk. Both are known beforehand: `quote`.

    \b
      ape run trade markets --network ethereum:local:foundry
      ape run trade deposit 20_000 --network ethereum:local:foundry --unlocked 2
      ape run trade quote ETH buy 10 --network ethereum:local:foundry --unlocked 2
      ape run trade open ETH buy 10 --network ethereum:local:foundry --unlocked 2
      ape run trade close ETH --rpc http://127.0.0.1:8545 --unlocked 2 --yes
      ape run trade option boards ETH --network ethereum:local:foundry
    """


for command in (option, queue, liquidate, settlement):
    cli.add_command(command)


@cli.command()
@connected
def markets(session: Session) -> None:
    """Prices, open interest, rates and limits of every market.

    \b
      ape run trade markets --network ethereum:local:foundry
    """
    views = session.system.lens.call("markets")
    labels = (
        "price", "cost: buy / sell", "volatility", "long / short", "funding", "of it carry", "borrow fee",
        "caps: base / quote", "least position", "state",
    )  # fmt: skip
    figures = []
    carries = [int(session.system.perp_engine.call("carry", market.id)) for market in session.system.markets]
    for view, carry in zip(views, carries, strict=True):
        price, params = view.mark.price, view.params
        figures.append(
            (
                figure(price),
                f"{basis_points(view.bought.half_spread + view.bought.charge, WAD)}"
                f" / {basis_points(view.sold.half_spread + view.sold.charge, WAD)}",
                rate(view.mark.sigma),
                f"{size(view.long)} / {size(view.short)}",
                rate(view.funding_rate, sign=True),
                rate(carry, sign=True),
                rate(view.borrow_rate),
                f"{size(params.cap_base)} / {figure(params.cap_quote, 0)}",
                size(params.min_size),
                "closing only" if view.paused else "open" if view.mark.fresh else "stale price",
            )
        )
    columns = ["market", *(market.name for market in session.system.markets)]
    rows = [[label, *row] for label, row in zip(labels, zip(*figures, strict=True), strict=True)]
    document = [
        {"name": market.name, "carry": str(carry)} | as_json(view)
        for market, carry, view in zip(session.system.markets, carries, views, strict=True)
    ]
    session.table("Markets", columns, rows, document)
    session.note("rates per year; funding > 0: shorts pay longs. Cost per unit for a small trade, spread and charge")


@cli.command()
@connected
def offers(session: Session) -> None:
    """What the vault would like to be rid of, and what it pays for that: for market makers.

    \b
      ape run trade offers --network ethereum:local:foundry
    """
    offer, risks = session.system.lens.call("offers")
    labels = (
        "price", "delta", "  of U, a unit more", "gamma, per 1 %", "  of U, a unit more", "vega, per point",
        "  of U, a unit more",
    )  # fmt: skip
    figures = [
        (
            figure(view.price),
            size(view.delta),
            figure(view.delta_slope, 4, sign=True),
            figure(view.gamma * view.price // (100 * WAD), 4),
            figure(view.gamma_slope * 100 * WAD // view.price, 4, sign=True),
            figure(view.vega // 100),
            figure(view.vega_slope * 100, 4, sign=True),
        )
        for view in risks
    ]
    columns = ["market", *(market.name for market in session.system.markets)]
    rows = [[label, *row] for label, row in zip(labels, zip(*figures, strict=True), strict=True)]
    document = {"offer": as_json(offer), "risks": [as_json(view) for view in risks]}
    session.table("What the vault holds, and what it costs it", columns, rows, document)
    session.note(f"U {figure(offer.potential)}, line {figure(offer.line)}: a fall of U is paid back out of the reserve")
    if not offer.is_open:
        outside = offer.potential > offer.line
        session.note(f"no auction is open{': anybody may open one, U is above the line' if outside else ''}")
        return
    session.note(
        f"and for its part below {figure(offer.mark)} LPs pay {rate(offer.rate)} more, up to {figure(offer.most)},"
        " and at most the floor of the half-spread on the delta and vega that the trade takes off its market's"
    )
    if offer.rises_at > session.chain.now:
        session.note(f"the rate begins to rise in {span(offer.rises_at - session.chain.now)}")


@cli.command()
@click.argument("market")
@click.argument("side", type=SIDES)
@click.argument("amount")
@connected
def quote(session: Session, market: str, side: str, amount: str) -> None:
    """What a trade of AMOUNT (in the base asset) would cost now, to the wei.

    \b
      ape run trade quote ETH buy 10 --network ethereum:local:foundry
      ape run trade quote BTC sell 0.5 --network ethereum:local:foundry --unlocked 2 --json
    """
    which, delta = session.system.market(market), _delta(side, amount)
    outcome = session.system.perp_engine.call("quote", session.sender or NOBODY, which.id, delta)
    rows = _outcome_rows(session, outcome, delta)
    if session.sender:
        rows += _margin_after(session, which, outcome)
    session.show(f"{side} {amount} {which.name}", rows, as_json(outcome))


@cli.command("open")
@click.argument("market")
@click.argument("side", type=SIDES)
@click.argument("amount")
@click.option("--limit", help="worst average price, spread and charge included")
@click.option("--slippage", default="0.3%", show_default=True, help="limit relative to the quote, unless --limit")
@click.option("--deadline", default=300, show_default=True, help="seconds within which it must be included")
@connected
def open_(
    session: Session, market: str, side: str, amount: str, limit: str | None, slippage: str, deadline: int
) -> None:
    """Open or change a position by AMOUNT (in the base asset).

    \b
      ape run trade open ETH buy 10 --network ethereum:local:foundry --unlocked 2
      ape run trade open BTC sell 0.25 --limit 39_900 --account trader --network ethereum:sepolia:node
    """
    which = session.system.market(market)
    _trade(session, which, _delta(side, amount), limit, slippage, deadline)


@cli.command()
@click.argument("market")
@click.argument("amount", required=False)
@click.option("--limit", help="worst average price, spread and charge included")
@click.option("--slippage", default="1%", show_default=True, help="limit relative to the quote, unless --limit")
@click.option("--deadline", default=300, show_default=True, help="seconds within which it must be included")
@connected
def close(session: Session, market: str, amount: str | None, limit: str | None, slippage: str, deadline: int) -> None:
    """Close a position, or AMOUNT of it. Closing is never refused for caps or a pause, nor for margin unless
    options that it hedges are kept.

    \b
      ape run trade close ETH --network ethereum:local:foundry --unlocked 2
      ape run trade close ETH 2.5 --account trader --network ethereum:sepolia:node
    """
    which = session.system.market(market)
    held = int(session.system.perp_engine.call("position", session.me, which.id).size)
    if held == 0:
        raise Failure(f"{session.me} has no position in {which.name}", "trade positions lists what there is.")
    part = abs(held) if amount is None else int(positive(amount, "size") * WAD)
    if part > abs(held):
        raise Failure(f"the position is {size(held)} {which.name}", "To turn it around use trade open.")
    _trade(session, which, -part if held > 0 else part, limit, slippage, deadline)


@cli.command()
@click.argument("owner", required=False)
@connected
def positions(session: Session, owner: str | None) -> None:
    """Positions, margin and profit at the prices of now.

    \b
      ape run trade positions --network ethereum:local:foundry --unlocked 2
      ape run trade positions 0x3C44…93BC --rpc http://127.0.0.1:8545 --json
    """
    account = session.account(owner)
    view = session.system.lens.call("account", account)
    rows = []
    for entry in view.legs:
        leg = entry.leg
        market = session.system.market(leg.market)
        rows.append(
            [
                market.name,
                f"{'long' if leg.size > 0 else 'short'} {size(abs(leg.size))}",
                figure(abs(leg.cost) * WAD // abs(leg.size)),
                figure(entry.price),
                figure(leg.owed, sign=True),
                figure(entry.profit, sign=True),
            ]
        )
    if session.json:
        session.table("", [], [], {"account": account} | as_json(view))
        return
    if rows:
        session.table(f"Positions of {account}", ["market", "size", "entry", "price", "owed", "profit"], rows, None)
    if view.options:
        option_table(session, account, view)
    session.show(f"Margin of {account}", _health_rows(session, view), None)


@cli.command()
@click.argument("amount")
@click.option("--for", "beneficiary", help="whose account  [default: the sender's]")
@connected
def deposit(session: Session, amount: str, beneficiary: str | None) -> None:
    """Add AMOUNT of the quote token to the margin.

    \b
      ape run trade deposit 20_000 --network ethereum:local:foundry --unlocked 2
    """
    units, ledger = session.units(amount), session.system.clearinghouse
    account = session.account(beneficiary)
    session.need_balance(units)
    session.confirm(f"Deposit {session.amount(units)} as margin of {account}?")
    session.allow(session.system.quote, ledger, units)
    receipt = session.send(ledger, "deposit", units, account)
    _moved(session, "Deposited", receipt, receipt.one("Deposited", ledger))


@cli.command()
@click.argument("amount")
@click.option("--receiver", help="who is paid  [default: the sender]")
@click.option("--owner", help="whose account, if it made the sender its operator  [default: the sender's]")
@connected
def withdraw(session: Session, amount: str, receiver: str | None, owner: str | None) -> None:
    """Take AMOUNT of the quote token, or `all` the cash, out of the margin.

    \b
      ape run trade withdraw 5_000 --network ethereum:local:foundry --unlocked 2
      ape run trade withdraw all --network ethereum:local:foundry --unlocked 2
    """
    ledger, account = session.system.clearinghouse, session.account(owner)
    cash, mask = ledger.call("account", account)
    worth = max(cash, 0) * int(ledger.call("cash_ratio")) // WAD  # all of it, but after some global settlements
    units = worth // 10 ** (18 - session.system.decimals) if amount == "all" else session.units(amount)
    if amount == "all" and mask:
        raise Failure("there are open positions", "Close them first (trade close), or name an amount.")
    if units == 0:
        raise Failure("there is no cash to withdraw")
    session.confirm(f"Withdraw {session.amount(units)}?")
    receipt = session.send(ledger, "withdraw", units, session.account(receiver), account)
    _moved(session, "Withdrawn", receipt, receipt.one("Withdrawn", ledger))


def _trade(session: Session, market: Market, delta: int, limit: str | None, slippage: str, deadline: int) -> None:
    engine, chain = session.system.perp_engine, session.chain
    outcome = engine.call("quote", session.me, market.id, delta)
    bound = _limit(outcome, delta, limit, slippage)
    if not session.json:
        title = f"{'buy' if delta > 0 else 'sell'} {size(abs(delta))} {market.name}"
        session.show(title, [*_outcome_rows(session, outcome, delta), *_margin_after(session, market, outcome)], None)
    worst = "" if bound in (0, NO_LIMIT) else f" at {figure(bound)} or better"
    session.confirm(f"{'Buy' if delta > 0 else 'Sell'} {size(abs(delta))} {market.name}{worst}?")
    receipt = session.send(engine, "trade", market.id, delta, bound, chain.now + deadline)
    done = receipt.one("Trade", engine)
    cash, _ = session.system.clearinghouse.call("account", session.me)
    session.show(
        "Traded",
        [
            ("average price", figure(_average(done, delta))),
            ("half-spread", figure(done.half_spread, 4)),
            ("charge" if done.charge >= 0 else "rebate", figure(abs(done.charge), 4)),
            ("realised", figure(done.realised, sign=True)),
            ("position", f"{size(done.size)} {market.name}"),
            ("cash", f"{figure(cash)} {session.symbol}"),
            ("transaction", receipt.tx_hash),
        ],
        {"tx": receipt.tx_hash} | as_json(done),
    )


def _delta(side: str, amount: str) -> int:
    scaled = positive(amount, "size") * WAD
    if scaled != int(scaled):
        raise Failure(f"size {amount} has more than 18 decimals")
    return int(scaled) if side == "buy" else -int(scaled)


def _average(outcome: Any, delta: int) -> int:
    """Average price with spread and charge [WAD]."""
    extra = outcome.half_spread + outcome.charge
    return int(outcome.price + (extra if delta > 0 else -extra) * WAD // abs(delta))


def _limit(outcome: Any, delta: int, limit: str | None, slippage: str) -> int:
    """The worst average price that is accepted [WAD]."""
    if limit is not None:
        return int(positive(limit, "limit") * WAD)
    factor = 1 + percent(slippage) if delta > 0 else 1 - percent(slippage)
    return int(Decimal(_average(outcome, delta)) * factor)


def _outcome_rows(session: Session, outcome: Any, delta: int) -> list[tuple[str, object]]:
    notional = abs(delta) * outcome.price // WAD
    rows: list[tuple[str, object]] = [
        ("mark", figure(outcome.price)),
        ("average price", figure(_average(outcome, delta))),
        ("notional", f"{figure(notional)} {session.symbol}"),
        ("half-spread", f"{figure(outcome.half_spread, 4)} ({basis_points(outcome.half_spread, notional)})"),
        (
            "charge" if outcome.charge >= 0 else "rebate",
            f"{figure(abs(outcome.charge), 4)} ({basis_points(abs(outcome.charge), notional)})",
        ),
    ]
    if outcome.realised or outcome.owed:
        rows += [
            ("realised", figure(outcome.realised, sign=True)),
            ("funding and borrow fee", figure(-outcome.owed, sign=True)),
        ]
    return [
        *rows,
        ("cash changes by", figure(outcome.cash, sign=True)),
        ("position after", size(outcome.size)),
        ("funding after, per year", rate(outcome.funding_rate, sign=True)),
    ]


def _margin_after(session: Session, market: Market, outcome: Any) -> list[tuple[str, object]]:
    """Equity and initial requirement as they would be after the trade, at the marks of now."""
    view = session.system.lens.call("account", session.me)
    profit, held = 0, 0
    for entry in view.legs:
        if entry.leg.market == market.id:
            profit, held = entry.profit, entry.leg.size
    unrealised = outcome.size * outcome.price // WAD - outcome.cost
    equity = view.now.equity - profit + outcome.cash + unrealised
    rows: list[tuple[str, object]] = [("equity after", figure(equity))]
    if any(entry.leg.market == market.id for entry in view.options):
        return rows  # which may offset it
    params = session.system.perp_engine.call("config", market.id).params
    sigma = session.system.oracle.call("peek", market.id).sigma
    before, after = (
        required(size, outcome.price, params.initial_bps) + exit_cost(size, outcome.price, sigma, params.cap_quote)
        for size in (held, outcome.size)
    )
    initial = view.now.initial - before + after
    rows.append(("initial margin after", figure(initial)))
    if equity < initial:
        rows.append(("", f"margin is short by {figure(initial - equity)}: trade deposit"))
    return rows


def _health_rows(session: Session, view: Any) -> list[tuple[str, object]]:
    rows = health_rows(session, view)
    if view.legs:
        notional = sum(abs(entry.leg.size) * entry.price // WAD for entry in view.legs)
        rows.append(
            ("leverage", f"{Decimal(notional) / max(view.now.equity, 1):,.2f} x" if view.now.equity > 0 else "–")
        )
    return rows


def _moved(session: Session, title: str, receipt: Any, done: Any) -> None:
    rows = [
        ("amount", session.amount(done.units)),
        ("account", done.account),
        ("cash", f"{figure(done.cash)} {session.symbol}"),
        ("transaction", receipt.tx_hash),
    ]
    session.show(title, rows, {"tx": receipt.tx_hash} | as_json(done))


if __name__ == "__main__":
    cli()
