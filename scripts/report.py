"""Measure sizes, gas or speed, write docs/reports, and fail when a limit is broken."""

import sys

import click

from ballast import reports
from ballast.reports import bounds, deployment, fuzz_speed, layouts, powers, versus_foundry

REPORTS = (
    "size",
    "gas",
    "versus-foundry",
    "kernel",
    "fuzz-speed",
    "taylor",
    "margin",
    "stress",
    "hedging",
    "bounds",
    "powers",
    "deployment",
    "layouts",
    "sim-speed",
)


@click.command()
@click.argument("what", type=click.Choice(REPORTS))
@click.option("--earlier", help="fuzz-speed: a commit to measure beside this tree.")
def cli(what: str, earlier: str | None) -> None:
    """Measure, write docs/reports, and fail when a limit is broken.

    \b
      python -m scripts.report gas      whole transactions on Anvil (make gas)
      python -m scripts.report size     deployed bytes (make size)
      python -m scripts.report versus-foundry   our fuzzer against forge (make versus)
      python -m scripts.report kernel   gas and error of the option kernel
      python -m scripts.report fuzz-speed   actions per CPU second, and where the time goes
      python -m scripts.report taylor   how far NAV is off between renewals of the option book
      python -m scripts.report margin   pictures: what an example portfolio requires, and who pays when it falls short
      python -m scripts.report stress   liquidation and bad debt through every recorded crash
      python -m scripts.report bounds   floor and ceiling of every parameter -> docs/bounds.md
      python -m scripts.report layouts  storage of every contract -> tests/golden/layouts
      python -m scripts.report powers   who may call what -> docs/powers.md
      python -m scripts.report deployment   gas and seconds of deploying and verifying
      python -m scripts.report sim-speed   the simulation kernel: steps per CPU second, distance from the chain
      python -m scripts.report hedging  what the keeper leaves open, and what that costs, through every 1-minute window
    """
    try:
        if what == "size":
            sizes = reports.size(reports.measure_size())
            for row in sizes:
                click.echo(f"{row.deployed:>7,}  {row.name}")
            reports.compare_size(sizes)
        elif what == "versus-foundry":
            rows = versus_foundry.measure()
            versus_foundry.report(rows)
            for fuzzer in rows:
                click.echo(f"{fuzzer.calls_per_second:>8,.0f} calls/s {fuzzer.seconds_to_bug:>6.2f} s  {fuzzer.name}")
            versus_foundry.compare(rows)
        elif what == "bounds":
            bounds.report(bounds.measure())
        elif what == "layouts":
            layouts.write(layouts.measure())
        elif what == "powers":
            powers.report()
        elif what == "fuzz-speed":
            speeds = fuzz_speed.measure(earlier)
            fuzz_speed.report(speeds)
            for speed in speeds:
                for measure, figure in speed.median.items():
                    click.echo(f"{figure:>8,.0f} actions per CPU second, {measure}  {speed.name}")
        elif what == "deployment":
            deployed = deployment.measure()
            deployment.report(deployed)
            click.echo(f"{deployed.gas:,} gas, {deployed.seconds:.1f} s, verified in {deployed.verify_seconds:.1f} s")
        elif what == "sim-speed":
            from sims import speed as sim_speed  # compiles

            simulated = sim_speed.measure(click.echo)
            sim_speed.report(simulated)
            sim_speed.compare(simulated)
        elif what == "kernel":
            from ballast.reports import kernel  # mpmath is a development dependency

            measured = kernel.measure()
            kernel.report(measured)
            click.echo("\n".join(kernel.lines(measured)))
        elif what == "margin":
            from ballast.reports import margin, waterfall  # matplotlib is a development dependency

            click.echo(margin.report())
            click.echo(waterfall.report())
        elif what == "stress":
            from ballast.reports import stress  # matplotlib is a development dependency

            replayed = stress.measure()
            stress.report(replayed, stress.pictured())
            click.echo("\n".join(stress.lines(replayed)))
            stress.compare(replayed)
        elif what == "hedging":
            from ballast.reports import hedging  # matplotlib is a development dependency

            hedged = hedging.measure(say=click.echo)
            hedging.report(hedged)
            hedging.compare(hedged)
        elif what == "taylor":
            from ballast.reports import taylor  # scipy is a development dependency

            errors = taylor.measure()
            taylor.report(errors)
            click.echo("\n".join(taylor.lines(errors)))
            taylor.compare(errors)
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
