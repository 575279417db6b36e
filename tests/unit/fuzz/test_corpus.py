"""What a search keeps, and what it makes of it."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from random import Random

import pytest

from ballast.fuzz.actions import Step, perform
from ballast.fuzz.corpus import CHANGES, Corpus, Guide, mutate
from ballast.fuzz.coverage import Coverage, CoveredChain
from ballast.fuzz.features import features
from ballast.fuzz.world import Setup, World

STEPS: list[Step] = [
    ["deposit_margin", {"who": "trader1", "units": 10**10, "to": "trader1"}],
    ["lp_deposit", {"who": "lp1", "units": 10**12}],
    ["warp", {"seconds": 60}],
    ["trade", {"who": "trader1", "market": 0, "size": 10**18}],
    ["close", {"who": "trader1", "market": 0}],
]
OTHER: list[Step] = [["sync_all", {"who": "keeper"}], ["warp", {"seconds": 3_600}], ["collect_fees", {"who": "lp2"}]]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_change_makes_other_sequences_of_known_actions(change: object) -> None:
    assert callable(change)
    known = {name: set(arguments) for name, arguments in STEPS + OTHER}
    made = [change(Random(seed), deepcopy(STEPS), deepcopy(OTHER)) for seed in range(60)]
    assert any(steps != STEPS for steps in made)
    assert all(set(arguments) == known[name] for steps in made for name, arguments in steps)
    assert all(arguments["seconds"] >= 1 for steps in made for name, arguments in steps if name == "warp")


def test_mutate_leaves_both_sequences_alone_and_takes_nothing_as_an_input() -> None:
    before = deepcopy((STEPS, OTHER))
    made = [mutate(Random(seed), STEPS, OTHER, Setup()) for seed in range(200)]
    assert before == (STEPS, OTHER)
    assert len({json.dumps(steps) for steps in made}) > 100
    assert mutate(Random(1), [], [], Setup()) == []


def test_mutated_amounts_can_be_sent_and_afforded() -> None:
    """Found by a campaign: a claim by -1 shares, a deposit of more than there is; neither says anything about us."""
    steps: list[Step] = [
        ["redeem", {"who": "lp1", "shares": 0}],
        ["insure", {"who": "lp1", "units": 2}],
        ["rebalance", {"who": "keeper", "venue": 0, "market": 0, "size": 10**18, "limit": 1}],
        ["set_parameter", {"who": "governor", "of": "vault", "field": "deposit_cap", "value": 0, "number": 0}],
    ]
    for decimals in (6, 18):
        world = World(Setup(decimals, token="RudeToken"))
        seen: set[tuple[str, int]] = set()
        for seed in range(2_000):
            for step in mutate(Random(seed), steps, [], world.setup):
                perform(world, step)
                seen.update((key, value) for key, value in step[1].items() if isinstance(value, int))
        assert max(value for key, value in seen if key == "units") == 10**12 * 10**decimals
        assert ("shares", 0) in seen
        assert ("size", 2**255 - 1) in seen


def test_mutated_sequences_can_be_done_and_keep_both_sides_equal() -> None:
    for seed in range(6):
        world = World(Setup())
        for step in mutate(Random(seed), STEPS, OTHER, Setup()):
            perform(world, step)


def test_corpus_saves_loads_and_forgets_files_of_entries_that_are_gone(tmp_path: Path) -> None:
    corpus = Corpus()
    corpus.keep(Setup(18), STEPS, [("Vault", 7), ("Vault", 5)], 3)
    short = corpus.keep(Setup(6), OTHER, [("Vault", 9)])
    corpus.save(tmp_path)
    assert Corpus.load(tmp_path) == corpus
    del corpus.entries[short.name]
    corpus.save(tmp_path)
    assert Corpus.load(tmp_path) == corpus
    assert len(list(tmp_path.iterdir())) == 1


def test_minimise_keeps_the_shortest_that_together_reach_the_same() -> None:
    corpus = Corpus()
    long = corpus.keep(Setup(), STEPS, [("Vault", 1), ("Vault", 2)])
    short = corpus.keep(Setup(), OTHER, [("Vault", 1)])
    corpus.keep(Setup(), STEPS + OTHER, [("Vault", 2)], features=9)
    assert corpus.minimise() == 1
    assert set(corpus.entries) == {long.name, short.name}


def test_pick_prefers_what_reached_much_and_was_seldom_used() -> None:
    corpus, rng = Corpus(), Random(0)
    assert corpus.pick(rng) is None
    rich = corpus.keep(Setup(), STEPS, [("Vault", edge) for edge in range(20)])
    poor = corpus.keep(Setup(18), OTHER, [("Vault", 50)])
    assert corpus.pick(rng, Setup(18)) is poor
    for _ in range(50):
        corpus.pick(rng)
    assert rich.picked > poor.picked > 1


def test_features_tell_states_apart_and_repeat_in_the_same_state() -> None:
    seen: list[set[object]] = []
    for _ in range(2):
        world = World(Setup(), CoveredChain(Coverage()))
        seen.append(set())
        for step in STEPS:
            world.last = step[0]
            perform(world, step)
            seen[-1].update(features(world))
    assert seen[0] == seen[1]
    kinds = {feature[0] for feature in seen[0] if isinstance(feature, tuple)}
    assert kinds == {"ending", "gas", "state", "after"}
    assert len({feature for feature in seen[0] if isinstance(feature, tuple) and feature[0] == "state"}) > 2


def test_guide_keeps_what_was_new_and_repeats_itself() -> None:
    first, second = Guide(), Guide()
    for guide in (first, second):
        for seed in range(3):
            guide.episode(seed, 40)
    assert first.corpus == second.corpus
    assert first.coverage.reached == second.coverage.reached
    assert 1 <= len(first.corpus) <= 3
    assert sum(len(entry.edges) for entry in first.corpus.entries.values()) <= len(first.coverage)
    assert all(len(entry.steps) <= 40 for entry in first.corpus.entries.values())
