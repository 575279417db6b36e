"""Compile every contract before anybody needs one, on several cores: what tests would otherwise do one by one.

python -m ballast.chain.build --jobs 2
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor

import click

from ballast.chain.artifacts import SIZE_LIMIT, contract_paths, load
from ballast.chain.sourcemap import source_map


def build(name: str) -> tuple[int, str]:
    """Fill the caches of one contract; its deployed size [bytes], or 0 and what is wrong with it."""
    try:
        artifact = load(name)
        if "testing" not in contract_paths()[name].parts:
            source_map(artifact)
    except Exception as error:
        return 0, f"{type(error).__name__}: {error}"
    return artifact.deployed_size, ""


@click.command()
@click.option("--jobs", default=1, show_default=True, help="Processes.")
def main(jobs: int) -> None:
    """Compile every contract and print deployed sizes; fails if one does not compile."""
    paths = contract_paths()
    names = sorted(paths, key=lambda name: paths[name].stat().st_size, reverse=True)  # the longest first
    with ProcessPoolExecutor(jobs) as pool:
        apply: Callable[..., Iterable[tuple[int, str]]] = pool.map if jobs > 1 else map
        built = dict(zip(names, apply(build, names), strict=True))
    for name, (size, problem) in sorted(built.items()):
        if problem:
            click.echo(f"{name}: {problem}", err=True)
        else:
            click.echo(f"{size:>7,} {'OVER' if size > SIZE_LIMIT else '    '} {name}")
    sys.exit(int(any(problem for _, problem in built.values())))


if __name__ == "__main__":
    main()
