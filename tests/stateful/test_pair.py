"""Our half of the comparison with Foundry works: the sound pair passes, the planted bug is found and made short."""

import pytest

from ballast.fuzz.dictionary import constants
from ballast.fuzz.pair import Pair, search
from ballast.fuzz.world import Broken


def test_search_sound_pair_finds_nothing_and_goes_through() -> None:
    pair = Pair(planted=False)
    assert search(pair, seed=1, runs=20, depth=100) is None
    assert pair.refused == 0
    assert pair.token.balanceOf(pair.vault) == 0  # every sequence was undone


def test_search_planted_bug_is_found_and_made_short() -> None:
    pair = Pair(planted=True)
    failure = search(pair, seed=1, runs=1_000, depth=100)
    assert failure is not None
    assert len(failure.steps) <= 3
    with pytest.raises(Broken, match=r"^solvent"):
        pair.replay(failure.steps)
    Pair(planted=False).replay(failure.steps)


def test_constants_are_push_data_and_not_opcodes_inside_it() -> None:
    assert constants(bytes.fromhex("5f" "6001" "610309" "7f" + "60" * 32 + "00")) == [
        0, 1, 777, int.from_bytes(b"\x60" * 32, "big"),
    ]  # fmt: skip
