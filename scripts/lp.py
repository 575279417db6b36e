"""For liquidity providers: deposit, request redemption, claim, and see where one stands."""

from __future__ import annotations

from typing import Any

import click

from ballast.chain import Receipt
from ballast.clearing_cli import settlement_rows
from ballast.cli import WAD, Failure, Session, as_json, connected, figure, percent, positive, rate, size, when
from ballast.model.exact.fixed import MICRO
from ballast.model.exact.option_book import key_of
from ballast.options import Board


@click.group()
def cli() -> None:
    """Provide liquidity to the vault.

    Deposits are at once, at the ask. Redemptions wait for the end of the epoch and share its liquidity pro rata; what
    is filled can be claimed at any time after.

    \b
      ape run lp position --network ethereum:local:foundry --unlocked 1
      ape run lp deposit 10_000 --network ethereum:local:foundry --unlocked 1
      ape run lp request all --network ethereum:sepolia:node --account provider
      ape run lp claim --rpc http://127.0.0.1:8545 --unlocked 1
    """


@cli.command()
@click.argument("owner", required=False)
@connected
def position(session: Session, owner: str | None) -> None:
    """Shares, their worth, requests, and the state of the vault.

    \b
      ape run lp position --network ethereum:local:foundry --unlocked 1
      ape run lp position 0x7099…79C8 --rpc http://127.0.0.1:8545 --json
    """
    account = session.account(owner)
    system, chain = session.system, session.chain
    if system.clearinghouse.call("frozen"):
        _show_ended(session, account)
        return
    vault, lp = system.lens.call("vault"), system.lens.call("lp", account)
    room = system.vault.call("maxDeposit", account)
    place, symbol, scale = lp.position, session.symbol, 10 ** (18 - system.decimals)
    rows = [
        ("shares", figure(lp.shares, 4)),
        ("worth at mid", f"{figure(lp.worth)} {symbol}"),
        ("worth at the bid", f"{figure(lp.shares * vault.bid_price // WAD)} {symbol}"),
        ("waiting for redemption", f"{figure(place.pending + place.late, 4)} shares"),
        ("claimable", f"{figure(place.claimable_assets)} {symbol}"),
        ("in the wallet", f"{figure(lp.asset_balance * scale)} {symbol}"),
        ("", ""),
        (
            "share: ask / mid / bid",
            " / ".join(figure(p, 6) for p in (vault.ask_price, vault.mid_price, vault.bid_price)),
        ),
        ("vault", f"{figure(vault.valuation.nav)} {symbol}"),
        ("room for deposits", _room(room, vault, session)),
        ("stressed loss", "–" if vault.valuation.nav <= 0 else f"{rate(vault.utilization)} of it"),
        (f"epoch {vault.epoch.id} ends", when(vault.epoch.ends_at, chain.now)),
        ("waiting in it", f"{figure(vault.epoch.pending, 4)} shares"),
    ]
    document = {
        "account": account,
        "now": chain.now,
        "lp": as_json(lp),
        "vault": as_json(vault),
        "max_deposit": str(room),
    }
    session.show(f"LP {account}", rows, document)


@cli.command()
@click.argument("amount")
@click.option("--receiver", help="who gets the shares  [default: the sender]")
@click.option("--slippage", default="0.5%", show_default=True, help="fewest shares accepted, below the preview")
@connected
def deposit(session: Session, amount: str, receiver: str | None, slippage: str) -> None:
    """Deposit AMOUNT of the quote token for shares, at once.

    \b
      ape run lp deposit 10_000 --network ethereum:local:foundry --unlocked 1
      ape run lp deposit 2500.5 --account provider --slippage 0.1% --network ethereum:sepolia:node
    """
    units, vault = session.units(amount), session.system.vault
    to = session.account(receiver)
    session.need_balance(units)
    room = vault.call("maxDeposit", to)
    if units > room:
        raise Failure(f"the vault takes {session.amount(room)} at most now", _why_no_room(session))
    expected = int(vault.call("previewDeposit", units))
    least = max(1, int(expected * (1 - percent(slippage))))
    session.confirm(f"Deposit {session.amount(units)} for about {figure(expected, 4)} shares?")
    session.allow(session.system.quote, vault, units)
    receipt = session.send(vault, "deposit_at_least", units, to, least)
    done = receipt.one("Deposit", vault)
    rows = [("paid", session.amount(done.assets)), ("shares", figure(done.shares, 4)), ("transaction", receipt.tx_hash)]
    session.show("Deposited", rows, {"tx": receipt.tx_hash, "assets": str(done.assets), "shares": str(done.shares)})


@cli.command()
@click.argument("shares")
@click.option("--controller", help="who may claim  [default: the sender]")
@connected
def request(session: Session, shares: str, controller: str | None) -> None:
    """Ask for redemption of SHARES, or of `all`. There is no way back: they stay at risk until their epoch ends.

    \b
      ape run lp request all --network ethereum:local:foundry --unlocked 1
      ape run lp request 1_000 --account provider --network ethereum:sepolia:node
    """
    vault, lens = session.system.vault, session.system.lens
    held = int(vault.call("balanceOf", session.me))
    wanted = held if shares == "all" else int(positive(shares, "shares") * WAD)
    if wanted == 0 or wanted > held:
        raise Failure(
            f"{session.me} has {size(held)} shares", "lp deposit buys some." if held == 0 else "Ask for less."
        )
    state = lens.call("vault")
    about = figure(wanted * state.bid_price // WAD)
    session.confirm(f"Request redemption of {figure(wanted, 4)} shares, about {about} {session.symbol} at today's bid?")
    receipt = session.send(vault, "requestRedeem", wanted, session.account(controller), session.me)
    done = receipt.one("RedeemRequest", vault)
    epoch = vault.call("epoch")
    session.show(
        "Requested",
        [
            ("shares", figure(done.shares, 4)),
            ("request (epoch)", str(done.requestId)),
            (f"epoch {epoch.id} ends", when(epoch.ends_at, session.chain.now)),
            ("transaction", receipt.tx_hash),
        ],
        {"tx": receipt.tx_hash, "shares": str(done.shares), "request_id": done.requestId, "ends_at": epoch.ends_at},
    )
    if done.requestId > epoch.id:
        session.note(
            f"epoch {epoch.id} is over but not processed: the request waits for the end of epoch {done.requestId}"
        )
    session.note("after the end somebody processes the epoch (lp process), then: lp claim")


@cli.command()
@connected
def process(session: Session) -> None:
    """End the epoch: price the queue and fill what can be paid. Anybody may, keepers usually do.

    \b
      ape run lp process --network ethereum:local:foundry --unlocked 3
    """
    state = session.system.lens.call("vault")
    if not state.processable:
        if session.chain.now < state.epoch.ends_at:
            raise Failure("the epoch is still running", f"It ends {when(state.epoch.ends_at, session.chain.now)}.")
        waiting = _waiting_boards(session)
        if waiting:
            raise Failure("what the vault's options are worth is not known", waiting)
        raise Failure("a price is older than the end of the epoch", "Wait for the feeds' next round.")
    session.confirm(f"Process epoch {state.epoch.id} with {figure(state.epoch.pending, 4)} shares waiting?")
    receipt = session.send(session.system.vault, "processEpoch")
    done = receipt.one("EpochProcessed", session.system.vault)
    session.show(
        f"Epoch {done.epoch} processed",
        [
            ("filled", f"{figure(done.filled, 4)} shares"),
            ("set aside", f"{figure(done.paid)} {session.symbol}"),
            ("rolled over", f"{figure(done.pending, 4)} shares"),
            ("transaction", receipt.tx_hash),
        ],
        {"tx": receipt.tx_hash} | as_json(done),
    )


@cli.command()
@click.argument("amount", required=False)
@click.option("--receiver", help="who is paid  [default: the sender]")
@click.option("--controller", help="whose claim  [default: the sender]")
@connected
def claim(session: Session, amount: str | None, receiver: str | None, controller: str | None) -> None:
    """Collect AMOUNT of what redemptions have yielded, or all of it.

    \b
      ape run lp claim --network ethereum:local:foundry --unlocked 1
      ape run lp claim 500 --receiver 0x3C44…93BC --account provider --network ethereum:sepolia:node
    """
    vault = session.system.vault
    owner, to = session.account(controller), session.account(receiver)
    claimable = int(vault.call("maxWithdraw", owner))
    units = claimable if amount is None else session.units(amount)
    if units == 0 or units > claimable:
        waiting = vault.call("position", owner)
        rest = figure(waiting.pending + waiting.late, 4)
        raise Failure(f"{session.amount(claimable)} is claimable", f"{rest} shares still wait for an epoch to end.")
    session.confirm(f"Claim {session.amount(units)}?")
    if amount is None:  # by shares, so that no dust of a share stays behind
        receipt = session.send(vault, "redeem", vault.call("maxRedeem", owner), to, owner)
    else:
        receipt = session.send(vault, "withdraw", units, to, owner)
    done = receipt.one("Withdraw", vault)
    rows = [("paid", session.amount(done.assets)), ("to", done.receiver), ("transaction", receipt.tx_hash)]
    session.show("Claimed", rows, {"tx": receipt.tx_hash, "assets": str(done.assets), "receiver": done.receiver})


@cli.command()
@click.argument("shares")
@click.option("--receiver", help="who is paid  [default: the sender]")
@connected
def redeem(session: Session, shares: str, receiver: str | None) -> None:
    """After global settlement: give SHARES in, or `all`, for their part of what the vault has left.

    Venues may pay something back later: then the same command pays the rest, `lp redeem 0`.

    \b
      ape run lp redeem all --account provider --network ethereum:sepolia:node
    """
    vault, settlement = session.system.vault, session.system.global_settlement
    held = int(vault.call("balanceOf", session.me))
    wanted = held if shares == "all" else 0 if shares == "0" else int(positive(shares, "shares") * WAD)
    if wanted > held or (wanted == 0 and shares != "0"):
        raise Failure(f"{session.me} has {size(held)} shares", "Shares in the queue are paid by lp pay-request.")
    if not settlement.call("is_final"):
        raise Failure("global settlement is not final", "trade settlement show says how far it is. Before: lp request.")
    session.confirm(f"Give {figure(wanted, 4)} shares in?")
    if vault.call("allowance", session.me, settlement) < wanted:
        session.note(f"approving {settlement.artifact.name} to take {figure(wanted, 4)} shares")
        session.send(vault, "approve", settlement, wanted)
    receipt = session.send(settlement, "redeem", wanted, session.account(receiver))
    _show_paid(session, receipt)


@cli.command("pay-request")
@click.argument("controller", required=False)
@connected
def pay_request(session: Session, controller: str | None) -> None:
    """After global settlement: pay for shares that wait for redemption, yours or those of CONTROLLER.

    \b
      ape run lp pay-request --account provider --network ethereum:sepolia:node
    """
    settlement, owner = session.system.global_settlement, session.account(controller)
    session.confirm(f"Pay what is due to {owner}?")
    _show_paid(session, session.send(settlement, "pay_request", owner))


@cli.command()
@connected
def mandates(session: Session) -> None:
    """Who is registered to hedge with the vault's cash, how much of it is used, and what came of it.

    \b
      ape run lp mandates --network ethereum:local:foundry
    """
    system, now = session.system, session.chain.now
    found = [system.mandates.call("mandate", number) for number in range(system.mandates.call("mandate_count"))]
    venues = {number: f"{market.name}/{number}" for market in system.markets for number in market.venue_ids}
    rows = [
        [
            str(number), mandate.agent, " ".join(name for venue, name in venues.items() if mandate.venues >> venue & 1),
            when(mandate.expiry, now), rate(mandate.share_bps * WAD // 10_000), str(mandate.hedges),
            *(
                figure(amount * MICRO)
                for amount in (mandate.size - mandate.volume, mandate.fall, mandate.cost, mandate.reward)
            ),
        ]
        for number, mandate in enumerate(found)
    ]  # fmt: skip
    columns = ["mandate", "agent", "venues", "ends", "share", "hedges", "left", "fall of U", "cost", "paid"]
    session.table("Mandates", columns, rows, [as_json(mandate) for mandate in found])
    session.note(f"amounts in {session.symbol}; anybody may hedge without a mandate, at the share of the rule")


def _show_paid(session: Session, receipt: Receipt) -> None:
    done = receipt.one("Redeemed", session.system.global_settlement)
    rows = [("paid", session.amount(done.units)), ("to", done.receiver), ("transaction", receipt.tx_hash)]
    session.show("Paid", rows, {"tx": receipt.tx_hash} | as_json(done))


def _show_ended(session: Session, account: str) -> None:
    """An LP's shares and requests once the system was ended: nothing is quoted any more."""
    vault = session.system.vault
    shares, place = int(vault.call("balanceOf", account)), vault.call("position", account)
    rows, document = settlement_rows(session, None)
    own: list[tuple[str, object]] = [
        ("shares", f"{figure(shares, 4)}: lp redeem all, once it is final"),
        ("waiting for redemption", f"{figure(place.pending + place.late, 4)} shares: lp pay-request"),
        ("claimable", f"{figure(place.claimable_assets)} {session.symbol}: lp claim"),
    ]
    session.show(f"LP {account}", [*own, *rows], document | {"shares": str(shares), "position": as_json(place)})


def _room(room: int, vault: Any, session: Session) -> str:
    if room:
        return session.amount(room)
    return f"none: {_why_no_room(session)}" if vault.valuation.supply else "none"


def _why_no_room(session: Session) -> str:
    """Which of the reasons for maxDeposit = 0 it is."""
    system = session.system
    if system.vault.call("deposits_paused"):
        return "Deposits are paused."
    stale = [market.name for market in system.markets if not system.oracle.call("peek", market.id).fresh]
    if stale:
        return f"No fresh price of {', '.join(stale)}."
    waiting = _waiting_boards(session)
    if waiting:
        return waiting
    cap = system.vault.call("params").deposit_cap
    return f"The vault is capped at {figure(cap)} {session.symbol}."


def _waiting_boards(session: Session) -> str:
    """Which boards of options keep everybody out, and what they wait for; "" if none does."""
    system = session.system
    needs = []
    for market in system.markets:
        price = system.oracle.call("peek", market.id).price
        for expiry in sorted(system.option_book.call("expiries", market.id)):
            if not system.option_book.call("board", market.id, expiry).legs:
                continue
            name = Board(market.id, expiry).name(system)
            if session.chain.now >= expiry:
                needs.append(f"settle {name}")
            elif system.option_book.call("is_due", key_of(market.id, expiry), price):
                needs.append(f"refresh {name}")
    waiting = [
        f"{count} option positions of {market.name} wait to be paid out: keeper --once, or trade option settle ACCOUNT."
        for market in system.markets
        if (count := system.option_book.call("unsettled", market.id))
    ]
    if needs:
        waiting.insert(
            0, f"Boards of options wait, and are paid: {', '.join(f'trade option {need}' for need in needs)}"
        )
    return " ".join(waiting)


if __name__ == "__main__":
    cli()
