"""The whole system in process: random sequences on contracts and exact twin, every invariant after every step.

BALLAST_FUZZ_SCALE makes it longer; a campaign (`make fuzz`) is longer still. A failure is shrunk, told in words and
saved as a test of its own under out/.
"""

from __future__ import annotations

import pytest

from ballast.fuzz.reach import EXPECTED
from ballast.fuzz.runner import Failure, Stats, episode
from ballast.fuzz.shrink import save, shrink, words
from ballast.fuzz.world import Setup

EPISODES = 18  # per token
LENGTH = 400  # steps
SEED = 1_000

stats = Stats()


@pytest.mark.fuzz
@pytest.mark.parametrize("decimals", [6, 8, 18])
def test_system_random_sequences_break_no_invariant(decimals: int, fuzz_scale: int) -> None:
    for seed in range(SEED, SEED + EPISODES * fuzz_scale):
        try:
            setup = Setup(decimals, desk=seed % 4 == 0, options=seed % 2 == 0, feeders=(1, 0, 2, 1, 2, 0)[seed % 6])
            episode(seed * 100 + decimals, LENGTH, setup, stats)
        except Failure as failure:
            short = shrink(failure)
            pytest.fail("\n".join([str(short), *words(short), f"saved as {save(short)}"]), pytrace=False)


@pytest.mark.fuzz
def test_system_search_reached_what_it_must(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever never sees bad debt or an epoch filled in part has tested neither."""
    if stats.episodes < 3 * EPISODES:
        pytest.skip("the search before did not run, or not to its end")
    with capsys.disabled():
        print("\n" + "\n".join(stats.lines()[:3]))
    assert not [what for what in EXPECTED if not stats.reached[what]], stats.reached
