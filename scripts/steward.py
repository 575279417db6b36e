"""For the steward's key, those who send what it signs, and the guardian: parameters moved inside their levers."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from ballast.chain import Contract
from ballast.cli import Failure, Session, connected, private_keys, span
from ballast.config import seconds
from ballast.model.exact.steward import DAY
from ballast.plan import levers
from ballast.policy.tuner import Table
from ballast.policy.wanted import NoPrices, heat, settings_now
from ballast.proposals import Drafts
from ballast.steward import Move, NotAnAdjustment, Signed, calls_of, moves_of

DIRECTIONS = {1: "higher", 0: "neither", -1: "lower"}


@click.group()
def cli() -> None:
    """Parameters that move a little per day, inside bands: docs/governance.md.

    \b
      python -m scripts.steward show --rpc http://127.0.0.1:8545
      python -m scripts.steward adjust --set inventory.aversion=8.5 --account policy --network ethereum:sepolia:node
      python -m scripts.steward tighten --set ETH.spreads.base=0.001 --account guardian --network ethereum:sepolia:node
    """


SETTINGS = click.option(
    "--set", "settings", multiple=True, required=True, metavar="NAME.PARAMETER=VALUE",
    help="a parameter, as in networks/*.yaml; for one market only: ETH.spreads.base=0.0002",
)  # fmt: skip


@cli.command()
@connected
def show(session: Session) -> None:
    """Every lever: where it is, its band, and how far the key may move it now.

    \b
      python -m scripts.steward show --rpc http://127.0.0.1:8545
      ape run steward show --network ethereum:local:foundry --json
    """
    steward, now = session.system.steward, session.chain.now
    rows, document = [], []
    for i, each in enumerate(levers(session.system.config)):
        values, known = steward.call("values", i), steward.call("levers", i)
        for index, word in enumerate(each.surface.words):
            lever = known[index]
            if lever.floor == lever.ceiling:
                continue
            waited = now - int(steward.call("moved_at", i, index))
            rest = max(lever.cooldown - waited, 0)
            room = 0 if rest else lever.speed * min(waited, DAY) // DAY

            def told(value: int, scale: int = word.scale) -> str:
                return f"{(Decimal(value) / scale).normalize():,f}"

            low, high = max(lever.floor, values[index] - room), min(lever.ceiling, values[index] + room)
            entry = {
                "name": f"{each.name}.{word.name}", "value": told(values[index]), "floor": told(lever.floor),
                "ceiling": told(lever.ceiling), "speed": told(lever.speed), "cooldown": int(lever.cooldown),
                "from": told(low), "to": told(high), "rests": rest, "tighter": DIRECTIONS[lever.tightening],
            }  # fmt: skip
            document.append(entry)
            reach = f"rests {span(rest)}" if rest else f"{entry['from']} … {entry['to']}"
            band = f"{entry['floor']} … {entry['ceiling']}"
            rows.append([str(entry[part]) for part in ("name", "value")] + [reach, band, str(entry["speed"])])
            rows[-1].append(str(entry["tighter"]))
    key = str(steward.call("key"))
    frozen = bool(steward.call("is_frozen"))
    session.table(
        f"Levers of the key {key}{', FROZEN' if frozen else ''}",
        ["lever", "now", "may go to", "band", "a day", "tighter"],
        rows,
        {"key": key, "is_frozen": frozen, "nonce": str(steward.call("nonce")), "levers": document},
    )


@cli.command()
@click.option(
    "--prices", required=True, type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="CSV: ts [Unix seconds] and a column for each market, hourly, of a month",
)  # fmt: skip
@connected
def wanted(session: Session, prices: Path) -> None:
    """What the policy would move now, as settings for `adjust` and `sign`: ballast/policy/tuner.py.

    \b
      python -m scripts.steward wanted --prices hours.csv --rpc http://127.0.0.1:8545
    """
    system = session.system
    try:
        watch = heat(prices, [market.name for market in system.config.markets])
    except NoPrices as error:
        raise Failure(str(error)) from None
    found = settings_now(system, watch.warm, Table.load(), session.chain.now)
    session.show(
        "Wanted",
        [("storm", f"{watch.warm:.0%}"), ("settings", " ".join(f"--set {each}" for each in found) or "none")],
        {"warm": watch.warm, "settings": found},
    )


@cli.command()
@SETTINGS
@connected
def adjust(session: Session, settings: tuple[str, ...]) -> None:
    """Move parameters, as the steward's key.

    \b
      python -m scripts.steward adjust --set inventory.aversion=8.5 --account policy --network ethereum:sepolia:node
    """
    moves = _moves(session, settings)
    session.confirm(f"Send this as {session.me}?")
    _report(session, session.send(session.system.steward, "adjust", moves))


@cli.command()
@SETTINGS
@connected
def tighten(session: Session, settings: tuple[str, ...]) -> None:
    """Move parameters in their tightening direction at once, as the guardian.

    \b
      python -m scripts.steward tighten --set spreads.base=0.001 --set spreads.z=4 --account guardian \\
        --network ethereum:sepolia:node
    """
    moves = _moves(session, settings)
    session.confirm(f"Send this as {session.me}?")
    _report(session, session.send(session.system.steward, "tighten", moves))


@cli.command()
@SETTINGS
@click.option("--key", "variables", multiple=True, metavar="NAME", help="environment variable that holds the key")
@click.option(
    "--keystore", "keystores", multiple=True, type=click.Path(path_type=Path, dir_okay=False), help="encrypted key file"
)
@click.option("--valid", default="1h", show_default=True, metavar="SPAN", help="how long anybody may send it")
@click.option("--file", "path", required=True, type=click.Path(path_type=Path, dir_okay=False), help="where it goes")
@connected
def sign(
    session: Session, settings: tuple[str, ...], variables: tuple[str, ...], keystores: tuple[Path, ...], valid: str,
    path: Path,
) -> None:  # fmt: skip
    """Sign moves for somebody else to send: the key needs no ether.

    \b
      python -m scripts.steward sign --set inventory.aversion=8.5 --key POLICY --file out/moves.json \\
        --rpc http://127.0.0.1:8545
    """
    steward = session.system.steward
    moves = _moves(session, settings)
    try:
        deadline = session.chain.now + int(seconds(valid))
    except ValueError as error:
        raise Failure(str(error)) from None
    (key, *more) = private_keys(variables, keystores)
    if more:
        raise Failure("more than one key", "The steward has one.")
    nonce = int(steward.call("nonce"))
    signed = Signed.by(key, moves, nonce, deadline, steward.address, session.chain.chain_id)
    _check_signer(steward, signed)
    path.parent.mkdir(parents=True, exist_ok=True)
    signed.save(path)
    session.show(
        "Signed",
        [("signer", signed.signer), ("nonce", nonce), ("valid for", valid), ("file", path)],
        {"signer": signed.signer, "nonce": nonce, "deadline": deadline, "file": str(path)},
    )


@cli.command()
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@connected
def relay(session: Session, path: Path) -> None:
    """Send moves that the key has signed into FILE.

    \b
      python -m scripts.steward relay out/moves.json --rpc http://127.0.0.1:8545 --unlocked 3
    """
    steward = session.system.steward
    try:
        signed = Signed.load(path)
    except NotAnAdjustment as error:
        raise Failure(str(error)) from None
    if (signed.contract, signed.chain_id) != (steward.address, session.chain.chain_id):
        raise Failure(f"it is for {signed.contract} on chain {signed.chain_id}")
    if signed.nonce != steward.call("nonce"):
        raise Failure(f"its nonce is {signed.nonce}, the next is {steward.call('nonce')}", "Sign anew.")
    _check_signer(steward, signed)
    _explain(session, signed.moves)
    session.confirm(f"Send this as {session.me}?")
    _report(session, session.send(steward, "adjust_by_sig", signed.moves, signed.deadline, signed.signature))


def _moves(session: Session, settings: tuple[str, ...]) -> list[Move]:
    """Settings as moves, shown with what they change."""
    try:
        moves = moves_of(session.system.steward, Drafts(session.system).calls(settings, ()))
    except NotAnAdjustment as error:
        raise Failure(str(error), "steward show lists what there are levers for.") from None
    _explain(session, moves)
    return moves


def _explain(session: Session, moves: list[Move]) -> None:
    drafts = Drafts(session.system)
    for call in calls_of(session.system.steward, moves):
        for line in drafts.explain(call):
            session.note(f"  {line}")


def _check_signer(steward: Contract, signed: Signed) -> None:
    key = steward.call("key")
    if signed.signer != key:
        raise Failure(f"signed by {signed.signer}, the steward's key is {key}")


def _report(session: Session, receipt: Any) -> None:
    names = [each.name for each in levers(session.system.config)]
    words = [each.surface.words for each in levers(session.system.config)]
    rows, document = [], []
    for moved in receipt.find("Moved", session.system.steward):
        word = words[moved.surface][moved.word]
        before, after = (f"{(Decimal(value) / word.scale).normalize():,f}" for value in (moved.before, moved.after))
        rows.append((f"{names[moved.surface]}.{word.name}", f"{before} → {after}"))
        document.append({"name": rows[-1][0], "before": before, "after": after})
    session.show("Moved", [*rows, ("transaction", receipt.tx_hash)], {"moved": document, "tx": receipt.tx_hash})


if __name__ == "__main__":
    cli()
