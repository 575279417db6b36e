"""The volatility surface: fit it to quoted options, look at it, and judge the fit."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from ballast import data
from ballast.cli import (
    PASSPHRASE,
    WAD,
    YEAR,
    Failure,
    Session,
    as_json,
    connected,
    figure,
    private_keys,
    rate,
    span,
)
from ballast.model.exact.option_book import MAX_BOARDS
from ballast.surface import Fit, Surface, fit, quotes_of
from ballast.surface.plot import plot
from ballast.surface.signing import NotAnUpdate, SignedUpdate, arguments, smile_vol, update_of
from ballast.system import Market

MONEYNESS = (0.8, 0.9, 1.0, 1.1, 1.2)  # strike / forward of the columns of `show`


@click.group()
def cli() -> None:
    """The volatility surface: fit it to quoted options, judge the fit, sign it, post it, and see what is posted.

    \b
      python -m scripts.surface fit ETH --at 2026-02-05 --plot out/surface.png
      python -m scripts.surface judge
      python -m scripts.surface show ETH --rpc http://127.0.0.1:8545
      python -m scripts.surface post ETH --today --key FEEDER1 --key FEEDER2 --rpc http://127.0.0.1:8545 --unlocked 4
    """


@cli.command("fit")
@click.argument("currency", type=click.Choice(data.ASSETS))
@click.option("--at", metavar="TIME", help="the recorded chain nearest to this UTC time  [default: the last]")
@click.option("--plot", "picture", type=click.Path(path_type=Path, dir_okay=False), help="save the smiles as PNG")
@click.option("--json", "as_json", is_flag=True, help="the surface for programs")
def fit_command(currency: data.Asset, at: str | None, picture: Path | None, as_json: bool) -> None:
    """Fit one recorded chain and show its surface.

    \b
      python -m scripts.surface fit ETH
      python -m scripts.surface fit BTC --at 2026-02-05T21:29 --plot out/surface.png
    """
    chain = _chain(currency, at)
    fitted = fit(quotes_of(chain))
    surface, moment = fitted.surface, datetime.fromtimestamp(chain.ts, UTC)
    if picture is not None:
        plot(fitted, picture, f"{currency} options, {moment:%d %b %Y %H:%M} UTC: quoted and fitted volatility")
    if as_json:
        expiries = [
            {"expiry": int(e), "forward": float(f), "theta": float(t)}
            for e, f, t in zip(surface.expiry, surface.forward, surface.theta, strict=True)
        ]
        shape = {"ts": surface.ts, "rho": surface.rho, "eta": surface.eta, "spot": float(chain.index_price[0])}
        click.echo(json.dumps(shape | {"expiries": expiries}))
        return
    table = Table(title=f"{currency}, {moment:%d %b %Y %H:%M} UTC: rho {surface.rho:.3f}, eta {surface.eta:.3f}")
    for heading in ("expiry", "days", "forward", "vol at the money", "quotes", "median error"):
        table.add_column(heading, justify="left" if heading == "expiry" else "right")
    for i, expiry in enumerate(surface.expiry):
        mine = fitted.quotes.position == i
        table.add_row(
            f"{datetime.fromtimestamp(int(expiry), UTC):%d %b %Y}",
            f"{surface.years()[i] * 365:.1f}",
            f"{surface.forward[i]:,.1f}",
            f"{100 * np.sqrt(surface.theta[i] / surface.years()[i]):.1f} %",
            f"{mine.sum()}",
            f"{100 * np.median(np.abs(fitted.error[mine])):.2f} points",
        )
    Console().print(table)
    if picture is not None:
        click.echo(f"picture: {picture}")


@cli.command("judge")
@click.option("--json", "as_json", is_flag=True, help="the figures for programs")
def judge(as_json: bool) -> None:
    """Fit every recorded chain; errors of 10-90 delta quotes at least a week from expiry, in vol points.

    \b
      python -m scripts.surface judge --json
    """
    rows = [(asset, fit(quotes_of(chain))) for asset in data.ASSETS for chain in data.option_chains(asset)]
    if as_json:
        click.echo(json.dumps([_figures(asset, fitted) for asset, fitted in rows]))
        return
    table = Table(title="errors of the fit [vol points], 10-90 delta, a week and more")
    for heading in ("", "chain", "quotes", "rho", "eta", "median", "90 %", "inside bid-ask"):
        table.add_column(heading, justify="right")
    for asset, fitted in rows:
        f = _figures(asset, fitted)
        table.add_row(
            asset,
            f"{datetime.fromtimestamp(fitted.surface.ts, UTC):%Y-%m-%d %H:%M}",
            f"{f['quotes']}",
            f"{f['rho']:.3f}",
            f"{f['eta']:.3f}",
            f"{f['median']:.2f}",
            f"{f['p90']:.2f}",
            f"{100 * float(f['inside']):.0f} %",
        )
    Console().print(table)


def _figures(asset: str, fitted: Fit) -> dict[str, float | int | str]:
    liquid = fitted.liquid()
    errors = 100 * np.abs(fitted.error[liquid])
    return {
        "currency": asset,
        "ts": fitted.surface.ts,
        "quotes": int(liquid.sum()),
        "rho": fitted.surface.rho,
        "eta": fitted.surface.eta,
        "median": fitted.median_error(),
        "p90": float(np.percentile(errors, 90)),
        "inside": fitted.inside(),
    }


# ---- on the chain


def sourced(function: Callable[..., None]) -> Callable[..., None]:
    """What an update is made of and who signs it."""
    for option in reversed(
        (
            click.option(
                "--params", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
                help="the surface, as `fit --json` prints it  [default: fit the recorded chain of MARKET]",
            ),
            click.option("--at", metavar="TIME", help="the chain nearest to this UTC time  [default: the last]"),
            click.option("--today", is_flag=True, help="as if it were observed now: expiries move by whole days"),
            click.option(
                "--key", "keys", multiple=True, metavar="VARIABLE", help="environment variable with a feeder's key"
            ),
            click.option(
                "--keystore", "keystores", multiple=True, type=click.Path(path_type=Path, dir_okay=False),
                help=f"a feeder's encrypted key file; its passphrase is {PASSPHRASE}, or asked for",
            ),
        )
    ):  # fmt: skip
        function = option(function)
    return function


@cli.command()
@click.argument("market", required=False)
@click.option(
    "--file", "path", required=True, type=click.Path(path_type=Path, dir_okay=False), help="the signed update"
)
@sourced
@connected
def sign(
    session: Session,
    market: str | None,
    path: Path,
    params: Path | None,
    at: str | None,
    today: bool,
    keys: tuple[str, ...],
    keystores: tuple[Path, ...],
) -> None:
    """Sign an update of MARKET into a file; without MARKET, add signatures to a file that a feeder began.

    \b
      python -m scripts.surface sign ETH --today --key FEEDER1 --file out/eth.json --rpc http://127.0.0.1:8545
      python -m scripts.surface sign --key FEEDER2 --file out/eth.json --rpc http://127.0.0.1:8545
    """
    signed = _loaded(session, [path]) if market is None else _made(session, market, params, at, today=today)
    _sign(signed, keys, keystores)
    path.parent.mkdir(parents=True, exist_ok=True)
    signed.save(path)
    threshold = int(session.system.surface.call("threshold"))
    signers = list(signed.signatures)
    session.show(
        f"{_name(session, signed)}, observed {_moment(signed.update.timestamp)}",
        [*_summary(signed), ("signed by", ", ".join(signers)), ("of", f"{threshold} needed"), ("file", str(path))],
        {"file": str(path), "signers": signers, "threshold": threshold},
    )


@cli.command()
@click.argument("market", required=False)
@click.option(
    "--file",
    "paths",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="a signed update; several add up",
)
@sourced
@connected
def post(
    session: Session,
    market: str | None,
    paths: tuple[Path, ...],
    params: Path | None,
    at: str | None,
    today: bool,
    keys: tuple[str, ...],
    keystores: tuple[Path, ...],
) -> None:
    """Post an update of MARKET, or the one that feeders have signed into files. Anybody may.

    \b
      python -m scripts.surface post ETH --today --key FEEDER1 --key FEEDER2 --rpc http://127.0.0.1:8545 --unlocked 4
      python -m scripts.surface post --file out/eth.json --rpc http://127.0.0.1:8545 --unlocked 4
    """
    if (market is None) == (not paths):
        raise Failure("what to post?", "Name a market, or --file with an update that feeders have signed.")
    signed = _loaded(session, paths) if market is None else _made(session, market, params, at, today=today)
    if keys or keystores:
        _sign(signed, keys, keystores)
    surface = session.system.surface
    strangers = [signer for signer in signed.signatures if not surface.call("is_signer", signer)]
    if strangers:
        raise Failure(f"{', '.join(strangers)} is no feeder of this deployment", "Leave that signature out.")
    threshold = int(surface.call("threshold"))
    if len(signed.signatures) < threshold:
        raise Failure(
            f"{len(signed.signatures)} of {threshold} signatures",
            "Add --key or --keystore, or collect them: surface sign --file.",
        )
    session.confirm(f"Post the surface of {_name(session, signed)}, observed {_moment(signed.update.timestamp)}?")
    receipt = session.send(surface, "post", arguments(signed.update), signed.ordered())
    session.show(
        f"{_name(session, signed)}, observed {_moment(signed.update.timestamp)}",
        [*_summary(signed), ("transaction", receipt.tx_hash)],
        {"tx": receipt.tx_hash, "market": signed.update.market, "timestamp": signed.update.timestamp},
    )


@cli.command()
@click.argument("market")
@connected
def show(session: Session, market: str) -> None:
    """The smile of every expiry of MARKET, as it is posted.

    \b
      python -m scripts.surface show ETH --rpc http://127.0.0.1:8545
    """
    system, chain = session.system, session.chain
    listed = system.market(market)
    surface, spot = system.surface, system.oracle.call("peek", listed.id).price
    timestamp = int(surface.call("timestamp", listed.id))
    drift = surface.call("drift", listed.id)
    if not drift.max_age:
        raise Failure(f"{listed.name} has no options", "Markets get them from `options:` in networks/<name>.yaml.")
    if not timestamp:
        raise Failure(f"no surface of {listed.name} has been posted", f"Feeders do: surface post {listed.name} --today")
    smiles = {int(expiry): surface.call("smile", listed.id, expiry) for expiry in surface.call("expiries", listed.id)}
    rows, first = [], next(iter(smiles.values()))
    for expiry, smile in smiles.items():
        vols = [smile_vol(smile, float(np.log(ratio)), expiry) for ratio in MONEYNESS]
        forward = spot / WAD * np.exp(smile.rate / WAD * max(expiry - chain.now, 0) / YEAR)
        rows.append(
            [f"{datetime.fromtimestamp(expiry, UTC):%d %b %Y}", span(expiry - chain.now), f"{forward:,.2f}",
             rate(smile.rate), *(f"{100 * vol:.1f} %" for vol in vols)]
        )  # fmt: skip
    document = {
        "market": listed.id, "now": chain.now, "timestamp": timestamp, "spot": str(spot), "is_live": first.is_live,
        "drift": as_json(drift), "expiries": [{"expiry": e} | as_json(smile) for e, smile in smiles.items()],
    }  # fmt: skip
    state = "live" if first.is_live else "not live: nothing is opened on it"
    session.table(
        f"{listed.name}: rho {figure(first.rho, 3)}, eta {figure(first.eta, 3)}, observed {_moment(timestamp)}, "
        f"{span(chain.now - timestamp)} ago, {state}",
        ("expiry", "in", "forward", "rate", *(f"{ratio:.0%} of it" for ratio in MONEYNESS)), rows, document,
    )  # fmt: skip


def _chain(currency: data.Asset, at: str | None) -> data.OptionChain:
    """The recorded chain nearest to a time, or the last."""
    chains = data.option_chains(currency)
    if at is None:
        return chains[-1]
    try:
        wanted = datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise click.BadParameter(f"{at!r} is not a time such as 2026-02-05 or 2026-02-05T21:29") from None
    return min(chains, key=lambda one: abs(one.ts - wanted))


def _made(session: Session, name: str, params: Path | None, at: str | None, *, today: bool) -> SignedUpdate:
    """An update of a market, not signed yet."""
    market = session.system.market(name)
    surface, spot = _fitted(market, at) if params is None else _read(params)
    if today:
        surface = surface.as_of(session.chain.now, spot)
        live = [int(e) for e in session.system.surface.call("expiries", market.id) if e > session.chain.now]
        if live:  # an update names all of them
            more = [int(e) for e in surface.expiry if e not in live][: MAX_BOARDS - len(live)]
            surface = surface.on(np.array(sorted(live + more)), spot)
    wrong = surface.violations() or ([] if len(surface.expiry) else ["every expiry is over"])
    if wrong:
        raise Failure(f"this surface cannot be posted: {'; '.join(wrong)}", "Fit it anew: surface fit.")
    return SignedUpdate(update_of(surface, market.id, spot), session.system.surface.address, session.chain.chain_id)


def _fitted(market: Market, at: str | None) -> tuple[Surface, float]:
    """From a recorded chain: the surface, and spot then."""
    for currency in data.ASSETS:
        if currency == market.name:
            chain = _chain(currency, at)
            return fit(quotes_of(chain)).surface, float(chain.index_price[0])
    raise Failure(f"there are recorded chains of {', '.join(data.ASSETS)} only", "Give --params FILE.")


def _read(path: Path) -> tuple[Surface, float]:
    """From a file, as `fit --json` prints it: the surface, and spot then."""
    try:
        document = json.loads(path.read_text())
        points = document["expiries"]
        columns = {name: np.array([point[name] for point in points], dtype=float) for name in ("forward", "theta")}
        expiry = np.array([int(point["expiry"]) for point in points], dtype=np.int64)
        surface = Surface(int(document["ts"]), float(document["rho"]), float(document["eta"]), expiry, **columns)
        return surface, float(document["spot"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Failure(
            f"{path} holds no surface: {type(error).__name__}: {error}",
            "It should look like what this prints: python -m scripts.surface fit ETH --json",
        ) from None


def _loaded(session: Session, paths: Sequence[Path]) -> SignedUpdate:
    """What feeders have signed, out of all files."""
    try:
        signed, *others = (SignedUpdate.load(path) for path in paths)
        for other in others:
            signed.merge(other)
    except NotAnUpdate as error:
        raise Failure(str(error), "surface sign MARKET --file FILE begins one.") from None
    here = session.system.surface.address, session.chain.chain_id
    if (signed.contract, signed.chain_id) != here:
        raise Failure(
            f"the update is for {signed.contract} on chain {signed.chain_id}, not for {here[0]} on {here[1]}",
            "Name another --manifest or --rpc, or sign it anew.",
        )
    return signed


def _sign(signed: SignedUpdate, variables: Sequence[str], keystores: Sequence[Path]) -> None:
    """Add the signatures of every key that is named."""
    for key in private_keys(variables, keystores):
        signed.sign(key)


def _summary(signed: SignedUpdate) -> list[tuple[str, str]]:
    """What a feeder should know before it signs."""
    update = signed.update
    rows = [("rho", figure(update.rho, 3)), ("eta", figure(update.eta, 3))]
    for point in update.points:
        vol = np.sqrt(point.theta / WAD * YEAR / (point.expiry - update.timestamp))
        rows.append((f"{datetime.fromtimestamp(point.expiry, UTC):%d %b %Y}", f"{100 * vol:.1f} % at the money"))
    return rows


def _name(session: Session, signed: SignedUpdate) -> str:
    return session.system.market(signed.update.market).name


def _moment(timestamp: int) -> str:
    return f"{datetime.fromtimestamp(timestamp, UTC):%d %b %Y %H:%M:%S} UTC"


if __name__ == "__main__":
    cli()
