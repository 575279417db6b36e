"""Names, diffs, samples and explanations of mutants."""

from __future__ import annotations

from pathlib import Path

import pytest

from ballast.mutate.mutants import REVIEWED, ReviewError, normal, review_of, reviews, sample, stanza
from tests.unit.mutate.conftest import SAFE, Bench

TEXT = """
x: uint256

@external
def act(a: uint256):
    assert a < 5, "sample: 'too' much"  # five
    self.x = a + 1
"""


def test_ids_survive_moved_lines_and_changed_comments(bench: Bench) -> None:
    before = {mutant.id: mutant for mutant in bench.mutants(TEXT)}
    after = {mutant.id: mutant for mutant in bench.mutants("# one more\n\n" + TEXT.replace("# five", "# 5"))}
    assert before.keys() == after.keys()
    assert all(after[name].line == mutant.line + 2 for name, mutant in before.items())


def test_two_equal_changes_have_two_ids(bench: Bench) -> None:
    mutants = bench.mutants(TEXT + "    self.x = a + 1\n", "arith")
    assert [mutant.after for mutant in mutants] == ["self.x = a - 1"] * 2
    assert len({mutant.id for mutant in mutants}) == 2


def test_diff_is_unified_and_names_the_file(bench: Bench) -> None:
    mutant = bench.mutants(TEXT, "boundary")[0]
    text = (bench.root / mutant.path).read_text()
    lines = mutant.diff(text).splitlines()
    assert lines[:2] == ["--- contracts/Sample.vy", "+++ contracts/Sample.vy"]
    assert [line for line in lines[2:] if line[0] in "+-"] == [
        "-    assert a < 5, \"sample: 'too' much\"  # five",
        "+    assert a <= 5, \"sample: 'too' much\"  # five",
    ]


def test_sample_is_deterministic_and_keeps_the_order(bench: Bench) -> None:
    mutants = bench.mutants(TEXT)
    chosen = sample(mutants, 4, 7)
    assert chosen == sample(mutants, 4, 7) != sample(mutants, 4, 8)
    assert chosen == [mutant for mutant in mutants if mutant in chosen]
    assert sample(mutants, 10_000, 1) == mutants


def test_normal_drops_comments_but_not_reasons() -> None:
    assert normal('    assert a, "x #1"   # because\n        + b  # and\n') == 'assert a, "x #1" + b'


def test_stanza_is_read_back_as_a_review_of_its_mutant(bench: Bench, tmp_path: Path) -> None:
    mutant, other = bench.mutants(TEXT, "boundary", "compare")
    file = tmp_path / "equivalent.toml"
    file.write_text(stanza(mutant, "five is as good as four") + "\n")
    known = reviews(file)
    review = review_of(mutant, known)
    assert review is not None
    assert review.why == "five is as good as four"
    assert review_of(other, known) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[equivalent]]\ncontract = 'a'\n", "lacks 'function'"),
        ("[[equivalent]]\ncontract='a'\nfunction='b'\nbefore='c'\nafter='d'\nwhy=''\n", "why?"),
        ("[[equivalent]]\ncontract='a'\nfunction='b'\nbefore='c'\nafter='d'\nwhy='e'\nwho='f'\n", "unknown"),
        ("[[equivalent]]\ncontract='a'\nfunction='b'\nbefore='c'\nafter='d'\nwhy='e'\n" * 2, "twice"),
        ("[[equivalent", "equivalent.toml"),
    ],
)
def test_reviews_says_what_is_wrong_with_an_entry(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "equivalent.toml"
    file.write_text(text)
    with pytest.raises(ReviewError, match=message):
        reviews(file)


def test_the_projects_own_explanations_can_be_read() -> None:
    reviews(REVIEWED)


def test_constants_and_functions_are_told_apart(bench: Bench) -> None:
    body = SAFE.replace("# pragma version 0.4.3\n", "").replace("from contracts.math import rounding\n", "")
    body = body.replace("rounding.div_up(self.total, SCALE)", "self.total")
    functions = {mutant.function for mutant in bench.mutants(body)}
    assert functions == {"", "__init__", "pay", "_check"}
