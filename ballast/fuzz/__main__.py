"""Search for broken invariants until time is up: `python -m ballast.fuzz --seconds 600`."""

from __future__ import annotations

import sys
import time

import click

from ballast.fuzz.runner import Failure, Stats, episode
from ballast.fuzz.shrink import save, shrink, words


@click.command()
@click.option("--seconds", default=60.0, show_default=True, help="How long to search.")
@click.option("--seed", default=0, show_default=True, help="Seed of the first episode; the next ones count on.")
@click.option("--length", default=400, show_default=True, help="Steps of an episode.")
def main(seconds: float, seed: int, length: int) -> None:
    """Random sequences on contracts and twin; a failure is shrunk, told in words and saved under out/.

    \b
      python -m ballast.fuzz --seconds 3600
      python -m ballast.fuzz --seconds 600 --seed 7
    """
    stats, until = Stats(), time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            episode(seed, length, stats=stats)
        except Failure as found:
            click.echo(f"{found}\nshrinking {len(found.steps)} steps ...")
            short = shrink(found)
            click.echo("\n".join([*words(short), f"saved as {save(short)}"]))
            sys.exit(1)
        seed += 1
    click.echo("\n".join(stats.lines()))


if __name__ == "__main__":
    main()
