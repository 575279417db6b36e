"""The laboratory around the kernel: experiments' files, cases in any process, pages made from the outcome."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure

from ballast.model.exact.inventory import Inventory
from sims import lab, measures, paths, report, studies
from sims.__main__ import main
from sims.rules import ballast
from sims.studies import Study
from sims.studies.contagion import BREAKERS, END, FAILURES, LEFT, Case, Contagion
from sims.world import World

TINY = """study = "contagion"
title = "A small one"
seed = 3

[parameters]
windows = ["2021-12-04_flash"]
networks = 1
days = 1
"""


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> lab.Outcome:
    path = tmp_path_factory.mktemp("sims") / "tiny.toml"
    path.write_text(TINY)
    return lab.run(lab.load(path), jobs=1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("networks = 1", "networks = 1.5"), "tiny.toml: networks: Input should be a valid integer"),
        (("networks = 1", "network = 1"), "tiny.toml: network: Extra inputs are not permitted"),
        (('"contagion"', '"contagious"'), "tiny.toml: no study 'contagious'"),
        (("seed = 3", ""), "tiny.toml: seed: Field required"),
    ],
)
def test_load_of_a_file_that_is_no_experiment_says_what_is_wrong(
    tmp_path: Path, change: tuple[str, str], reason: str
) -> None:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY.replace(*change))
    with pytest.raises(lab.ExperimentError) as error:
        lab.load(path)
    assert str(error.value).startswith(reason)


def test_every_experiment_is_one_and_every_study_has_its_page() -> None:
    kinds = {lab.load(path).kind for path in lab.experiments()}
    assert kinds == set(studies.names())
    for kind in kinds:
        assert (lab.HERE / "studies" / f"{kind}.md.j2").is_file()


def test_every_experiment_has_a_finding_with_its_seed_and_pictures() -> None:
    for path in lab.experiments():
        text = (report.FINDINGS / f"{path.stem}.md").read_text()
        assert text.startswith(f"# {lab.load(path).title}\n")
        assert f"(seed {lab.load(path).seed})" in text
        for picture in report.PICTURE.findall(text):
            assert (report.FINDINGS / picture[1]).is_file()


def test_every_table_of_a_finding_is_one() -> None:
    for path in report.FINDINGS.glob("*.md"):
        lines = path.read_text().splitlines()
        for above, line, below in zip(lines, lines[1:], lines[2:], strict=False):
            if re.fullmatch(r"\|(:?-+:?\|)+", line):
                assert above.count("|") == line.count("|") == below.count("|"), f"{path.name}: {above}"


def test_run_is_a_function_of_the_seed(outcome: lab.Outcome, tmp_path: Path) -> None:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    assert lab.run(lab.load(path), jobs=1).summary == outcome.summary
    assert lab.run(lab.load(path, seed=4), jobs=1).summary != outcome.summary


def test_page_is_one_file_with_its_pictures_and_the_result_beside_it(outcome: lab.Outcome, tmp_path: Path) -> None:
    page = report.write(outcome, tmp_path).read_text()
    assert "<table>" in page
    assert "data:image/svg+xml;base64," in page
    assert 'src="tiny' not in page
    saved = json.loads((tmp_path / "tiny.json").read_text())
    assert saved["seed"] == 3
    assert saved["summary"] == json.loads(json.dumps(outcome.summary))


def test_cli_lists_experiments_and_shows_findings() -> None:
    listed = CliRunner().invoke(main, ["list", "--json"])
    assert {entry["name"] for entry in json.loads(listed.output)} == {path.stem for path in lab.experiments()}
    assert "Contagion" in CliRunner().invoke(main, ["show", "contagion"]).output
    assert "nothing published" in CliRunner().invoke(main, ["show", "nothing"]).output


def test_contagion_without_traders_moves_no_money() -> None:
    study = Contagion(windows=("2021-12-04_flash",), networks=2, days=1, levered=0.0, net=0.0, momentum=0.0)
    out = study.solve(Case("2021-12-04_flash", "", 1))
    assert np.allclose(out[..., END], 1.0, rtol=0, atol=1e-12)
    assert np.all(out[FAILURES.index("lp"), ..., LEFT] > 0.0)  # whom the largest LP leaves
    assert np.all(out[FAILURES.index("venue"), ..., LEFT] == 0.0)


def test_contagion_failure_that_no_breaker_concerns_is_the_same_with_and_without_it() -> None:
    study = Contagion(windows=("2021-12-04_flash",), networks=1, days=1)
    whole, blind = (study.solve(Case("2021-12-04_flash", without, 1)) for without in ("", BREAKERS[0]))
    assert np.array_equal(whole[FAILURES.index("venue")], blind[FAILURES.index("venue")])
    assert not np.array_equal(whole[FAILURES.index("oracle")], blind[FAILURES.index("oracle")])


class Traded(Study):
    """A study that finds nothing, of five hours with traders in them."""

    def cases(self, seed: int) -> list[int]:
        return [seed, 0]

    def solve(self, case: int) -> int:
        return case

    def perps(self, case: int, rng: np.random.Generator) -> tuple[World, ballast.Params] | None:
        """The first case alone trades."""
        prices = paths.recorded("2021-12-04_flash").part(2_880, 3_180)
        params = measures.rule(aversion=float(rng.choice([4.0, 16.0])))
        return (measures.scene(prices, case, 2), params) if case else None

    def summary(self, cases: Sequence[int], results: Sequence[int]) -> dict[str, Any]:
        return {"verdicts": []}

    def pictures(self, summary: Mapping[str, Any]) -> dict[str, Figure]:
        return {}


def test_run_plays_a_slice_on_the_contracts_and_says_how_near_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = lab.Experiment("traded", "", "traded", 6, Traded())
    first, again = (lab.run(experiment, jobs=1).as_json()["summary"] for _ in range(2))
    assert first == again
    assert first["slice"]["trades"] > 30
    assert first["slice"]["cost"] > 0.0  # floats are no integers: it has compared
    assert [v["holds"] for v in first["verdicts"]] == [True]
    monkeypatch.setattr(lab, "NEAR", first["slice"]["cost"] / 2)
    assert [v["holds"] for v in lab.run(experiment, jobs=1).summary["verdicts"]] == [False]


def test_run_whose_contracts_and_twin_differ_by_a_wei_says_no(monkeypatch: pytest.MonkeyPatch) -> None:
    potential = Inventory.potential
    monkeypatch.setattr(Inventory, "potential", lambda twin: potential(twin) + 1)
    found = lab.run(lab.Experiment("traded", "", "traded", 6, Traded()), jobs=1).summary
    assert [v["holds"] for v in found["verdicts"]] == [False]
    assert found["slice"]["unequal"].startswith("potential: contract ")


def test_every_study_says_what_the_contracts_make_of_it() -> None:
    for path in lab.experiments():
        text = (report.FINDINGS / f"{path.stem}.md").read_text()
        played = type(lab.load(path).study).perps is not Study.perps
        assert (": contracts and exact twin play a slice of it" in text) is played, path.stem
        assert ("No slice of it is replayed on the contracts:" in text) is not played, path.stem
