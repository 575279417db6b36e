"""Measure sizes or gas, write docs/reports, and fail when a limit is broken."""

import sys

import click

from ballast import reports


@click.command()
@click.argument("what", type=click.Choice(["size", "gas"]))
def cli(what: str) -> None:
    """Measure, write docs/reports, and fail when a limit is broken.

    \b
      python -m scripts.report gas      whole transactions on Anvil (make gas)
      python -m scripts.report size     deployed bytes (make size)
    """
    try:
        if what == "size":
            sizes = reports.size(reports.measure_size())
            for row in sizes:
                click.echo(f"{row.deployed:>7,}  {row.name}")
            reports.compare_size(sizes)
        else:
            gas = reports.gas(reports.measure_gas())
            for entry in gas:
                click.echo(f"{entry.gas:>10,}  {entry.name}")
            reports.compare_gas(gas)
    except reports.ReportFailed as failure:
        click.echo(str(failure), err=True)
        sys.exit(1)


if __name__ == "__main__":
    cli()
