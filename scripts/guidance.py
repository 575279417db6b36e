"""Whether guidance helps: random and guided search side by side, equal CPU time, several seeds."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import click

from ballast.fuzz.corpus import FROM_NOTHING, Guide

SPACE = 10**6  # episodes of one seed before the next one's begin
HEAD = """# Random and guided search

`python -m scripts.guidance --seconds {seconds:.0f} --seeds {seeds}`: edges of the contracts' code and features of the
state reached in {seconds:.0f} CPU seconds of one core, episodes of {length} steps, profile {profile}. Random: every
episode begins from nothing. Guided: {share:.0%} of them begin with a mutated sequence of the corpus.

| | edges | features | sequences kept | episodes |
|---|--:|--:|--:|--:|
"""


@click.command(epilog="Example: python -m scripts.guidance --seconds 60 --seeds 3")
@click.option("--seconds", default=60.0, show_default=True, help="CPU time of each search.")
@click.option("--seeds", default=3, show_default=True, help="Searches of each kind.")
@click.option("--length", default=400, show_default=True, help="Steps of an episode.")
@click.option("--profile", default="perps", show_default=True)
@click.option("--out", default=Path("docs/reports/guidance.md"), show_default=True, type=click.Path(path_type=Path))
def main(seconds: float, seeds: int, length: int, profile: str, out: Path) -> None:
    """Search with and without guidance and write the table."""
    Guide().episode(0, length, profile=profile)  # compiles and deploys what all of them share
    rows: dict[str, list[tuple[int, int, int, int]]] = {"random": [], "guided": []}
    for seed in range(seeds):
        for kind, searches in rows.items():
            searches.append(search(kind == "guided", seconds, seed, length, profile))
            click.echo(f"{kind}, seed {seed}: {searches[-1]}")
    share = 1 - FROM_NOTHING
    lines = [HEAD.format(seconds=seconds, seeds=seeds, length=length, profile=profile, share=share)]
    for kind, searches in rows.items():
        for seed, numbers in enumerate(searches):
            lines.append(f"| {kind}, seed {seed} | " + " | ".join(f"{number:,}" for number in numbers) + " |\n")
        medians = [statistics.median(column) for column in zip(*searches, strict=True)]
        lines.append(f"| **{kind}, median** | " + " | ".join(f"**{number:,.0f}**" for number in medians) + " |\n")
    out.write_text("".join(lines))


def search(guided: bool, seconds: float, seed: int, length: int, profile: str) -> tuple[int, int, int, int]:
    """Edges, features, sequences kept, episodes."""
    guide = Guide(from_nothing=FROM_NOTHING if guided else 1.0)
    begin, episodes = time.process_time(), 0
    while time.process_time() - begin < seconds:
        guide.episode(seed * SPACE + episodes, length, profile=profile)
        episodes += 1
    return len(guide.coverage), len(guide.seen), len(guide.corpus), episodes


if __name__ == "__main__":
    main()
