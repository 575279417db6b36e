"""A failure becomes short, keeps its reason, reads like a story and is saved as a test of its own."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from ballast.fuzz.history import REDEEMED_AT_MID
from ballast.fuzz.planted import chain_with, search
from ballast.fuzz.runner import Failure, in_words, replay
from ballast.fuzz.shrink import save, shrink, words
from ballast.fuzz.world import Broken, Setup


@pytest.mark.fuzz
def test_shrink_planted_bug_leaves_its_cause() -> None:
    make_chain = chain_with(REDEEMED_AT_MID)
    found = search(REDEEMED_AT_MID).failure
    short = shrink(found, make_chain=make_chain)
    assert short.broken.invariant == found.broken.invariant
    assert len(short.steps) <= 12
    assert "request" in [name for name, _ in short.steps]
    with pytest.raises(Broken, match=f"^{short.broken.name}"):
        replay(short.steps, short.setup, make_chain=make_chain)


def test_save_failure_is_a_test_that_passes_once_the_bug_is_gone(tmp_path: Path) -> None:
    steps = [
        ["lp_deposit", {"who": "lp1", "units": 5_000_000_000}],
        ["pause_deposits", {"on": True}],
        ["trade", {"who": "trader1", "market": 1, "size": -(10**18), "limit": None}],
    ]
    failure = Failure(steps, Setup(6), Broken("i4_zero_sum", "planted"), seed=7)
    told = "\n".join(words(failure))
    assert "1. lp1 deposits 5,000 for shares" in told
    assert "3. trader1 trades -1 BTC" in told
    saved = runpy.run_path(str(save(failure, tmp_path)))
    assert saved["STEPS"] == steps
    saved["test_i4_zero_sum_holds"]()


def test_words_of_a_step_that_leaves_arguments_out() -> None:
    assert in_words([["trade_greeks", {"who": "trader1", "market": 0}]], Setup(desk=True))
