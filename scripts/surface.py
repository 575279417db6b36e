"""The volatility surface: fit it to quoted options, look at it, and judge the fit."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from ballast import data
from ballast.surface import Fit, fit, quotes_of
from ballast.surface.plot import plot


@click.group()
def cli() -> None:
    """The volatility surface: fit it to quoted options, look at it, and judge the fit.

    \b
      python -m scripts.surface fit ETH --at 2026-02-05 --plot out/surface.png
      python -m scripts.surface judge
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
    chains = data.option_chains(currency)
    chain = chains[-1]
    if at is not None:
        try:
            wanted = datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp()
        except ValueError:
            raise click.BadParameter(f"{at!r} is not a time such as 2026-02-05 or 2026-02-05T21:29") from None
        chain = min(chains, key=lambda one: abs(one.ts - wanted))
    fitted = fit(quotes_of(chain))
    surface, moment = fitted.surface, datetime.fromtimestamp(chain.ts, UTC)
    if picture is not None:
        plot(fitted, picture, f"{currency} options, {moment:%d %b %Y %H:%M} UTC: quoted and fitted volatility")
    if as_json:
        expiries = [
            {"expiry": int(e), "forward": float(f), "theta": float(t)}
            for e, f, t in zip(surface.expiry, surface.forward, surface.theta, strict=True)
        ]
        click.echo(json.dumps({"ts": surface.ts, "rho": surface.rho, "eta": surface.eta, "expiries": expiries}))
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
    """Fit every recorded chain; errors of 10-90 delta quotes at least a week from expiry, in vol points."""
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


if __name__ == "__main__":
    cli()
