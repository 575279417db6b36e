"""ballast-fuzz: search for broken invariants, replay what was found, look at what was searched."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
from rich.console import Console

from ballast.chain import RevmChain
from ballast.chain.artifacts import ROOT
from ballast.fuzz import replay as replays
from ballast.fuzz.attack.command import attack
from ballast.fuzz.campaign import Campaign, CampaignError, Plan
from ballast.fuzz.report import render
from ballast.fuzz.screen import Screen
from ballast.fuzz.world import ROLES

OUT = ROOT / "out" / "fuzz"
PROFILES = ("perps", "all")
INTERRUPTED = 130  # exit code after Ctrl-C

EXAMPLES = """\b
Examples:
  ballast-fuzz run                                     ten minutes on two cores; results in out/fuzz
  ballast-fuzz run --minutes 60 --resume               go on with them
  ballast-fuzz run --seed 7 --episodes 50 --jobs 1     the same every time
  ballast-fuzz run --compromised steward               a stolen key of the Steward, bounds asserted
  ballast-fuzz run --scheduler tcp://10.0.0.5:8786     on a Dask cluster
  ballast-fuzz replay out/fuzz/failures/test_X.py --backend anvil
  ballast-fuzz report out/fuzz
"""


@click.group(epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def main() -> None:
    """Random sequences on contracts and exact twin, every invariant checked after every step."""


@main.command()
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="How long  [default: 10, or --episodes].")
@click.option("--episodes", type=click.IntRange(1), help="How many sequences, instead.")
@click.option("--jobs", "-j", type=click.IntRange(1), default=2, show_default=True, help="Processes.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of all randomness.")
@click.option("--profile", type=click.Choice(PROFILES), default="perps", show_default=True, help="What may happen.")
@click.option("--compromised", type=click.Choice(ROLES), help="Whose power is abused in ordinary traffic (no profile).")
@click.option("--length", type=click.IntRange(1), default=400, show_default=True, help="Steps of a sequence.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=OUT, metavar="DIR",
    help="Where results go  [default: out/fuzz].",
)  # fmt: skip
@click.option(
    "--corpus", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="DIR",
    help="Sequences to begin with, such as those another campaign has kept in its corpus/.",
)  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on with the campaign in --out: its seed, profile and length.")
@click.option("--keep-going", is_flag=True, help="Do not stop at the first failure.")
@click.option("--scheduler", metavar="ADDRESS", help="Of a Dask cluster to search on.")
@click.option("--json", "as_json", is_flag=True, help="The summary as JSON on standard output.")
def run(
    minutes: float | None, episodes: int | None, jobs: int, seed: int, profile: str, compromised: str | None,
    length: int, out: Path,
    corpus: Path | None, resume: bool, keep_going: bool, scheduler: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Search. Exit code 1 when an invariant breaks, 130 after Ctrl-C (everything is kept: --resume goes on)."""
    seconds = 60 * minutes if minutes else None if episodes else 600.0
    plan = Plan(out, seed, compromised or profile, length, seconds, episodes, jobs, keep_going, scheduler, corpus)
    try:
        campaign = Campaign(plan, resume)
    except CampaignError as error:
        raise click.ClickException(str(error)) from None
    console = Console(stderr=True, highlight=False)
    try:
        with Screen(console, campaign) as screen:
            campaign.run(screen.show)
    except CampaignError as error:
        raise click.ClickException(str(error)) from error
    finally:
        campaign.save()
        page = render(out)
    if as_json:
        click.echo(json.dumps(campaign.summary()))
    else:
        console.print(*campaign.stats.lines(), campaign.reach(), f"report: {page}", sep="\n", soft_wrap=True)
        for found in campaign.found:
            again = "" if found.reproduces else "  (not by a replay: its random experiments differ)"
            click.echo("\n".join([f"\n{found.message}", *found.words, f"saved as {out / found.file}{again}"]))
    sys.exit(1 if campaign.found else INTERRUPTED if campaign.stopping else 0)


@main.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--backend", type=click.Choice(["revm", "anvil"]), default="revm", show_default=True, help="Where.")
@click.option("--json", "as_json", is_flag=True, help="Every step as JSON on standard output.")
def replay(file: Path, backend: str, as_json: bool) -> None:
    """Do a saved test or an entry of a corpus again, everything checked after every step.

    With --backend anvil on a private node over JSON-RPC, step by step beside the process: outcomes and, at the end,
    every storage word are compared. Exit code 1 when an invariant breaks, 3 when the two backends disagree.
    """
    steps, setup = replays.load(file)
    done, differences = (
        replays.on_anvil(steps, setup) if backend == "anvil" else (replays.walk(steps, setup, RevmChain())[0], [])
    )
    if as_json:
        click.echo(json.dumps(replays.as_json(done, differences)))
    else:
        for number, step in enumerate(done, 1):
            click.echo(f"{number:>4}. {step.words}: {', '.join(step.outcomes) or 'done'}")
        click.echo("\n".join(differences) if differences else f"      -> {done[-1].broken or 'every invariant holds'}")
    sys.exit(3 if differences else 1 if done and done[-1].broken else 0)


@main.command()
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False), default=OUT)
def report(directory: Path) -> None:
    """Write report.html of a campaign's directory again."""
    click.echo(render(directory))


main.add_command(attack)

if __name__ == "__main__":
    main()
