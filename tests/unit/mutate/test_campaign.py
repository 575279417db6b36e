"""Whole campaigns on a toy: strong tests kill what weak tests let live, and nothing is tried twice."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from ballast.mutate import campaign as campaigns
from ballast.mutate import mutants as mutation
from ballast.mutate import report
from ballast.mutate.__main__ import main
from ballast.mutate.campaign import Campaign, CampaignError, Plan, Result, counts, keep, kill_rate

SAFE = "contracts/safe/Safe.vy"


SEARCH = """from ballast.chain import RevmChain


def search(seed, steps):
    safe = RevmChain().deploy("Safe")
    safe.pay.send(100)  # finds that the limit is off by one
    while safe.total() == 0:  # never ends when nothing is added up
        pass
"""
SHARED = """import pytest
from ballast.chain import RevmChain


@pytest.fixture(scope="module")
def safe():
    return RevmChain().deploy("Safe")


def test_is_empty(safe):
    assert safe.total() == 0


def test_half_rounds_up(safe):
    safe.pay.send(3)
    assert safe.half() == 2
"""
Found = dict[tuple[str, str], Result]  # by what was before and after


def plan(toy: Path, out: Path, suite: str, **changes: object) -> Plan:
    base = Plan(out=out, sources=toy, tests=(str(toy / suite),), jobs=2, search="", reviewed=out / "equivalent.toml")
    return replace(base, **changes)  # type: ignore[arg-type]


def tried(plan: Plan) -> tuple[Campaign, Found]:
    """The campaign, and what it found."""
    campaign = Campaign(plan)
    mutants = campaign.read()
    campaign.run(campaign.pending(mutants))
    return campaign, {(result.before, result.after): result for result in campaign.current(mutants)}


@pytest.fixture(scope="module")
def weak(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Campaign, Found]:
    return tried(plan(toy, tmp_path_factory.mktemp("weak"), "weak"))


@pytest.fixture(scope="module")
def strong(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Campaign, Found]:
    return tried(plan(toy, tmp_path_factory.mktemp("strong"), "strong"))


def test_strong_tests_kill_everything_that_matters(strong: tuple[Campaign, Found]) -> None:
    survivors = {result.after for result in strong[1].values() if result.outcome == "survived"}
    assert survivors == {
        # nobody is a guardian, or only the owner
        "self._check(Role.OWNER)",
        "self.roles[msg.sender] = Role.GUARDIAN",
        # stays below 2**256 either way
        "return (unsafe_sub(x + y, 1)) // y",
    }
    killed, possible = kill_rate(sum(counts(strong[1].values()).values(), Counter()))
    assert (killed, possible - killed) == (23, 3)


def test_weak_tests_leave_survivors(weak: tuple[Campaign, Found], strong: tuple[Campaign, Found]) -> None:
    survivors = {result.after for result in weak[1].values() if result.outcome == "survived"}
    assert {"pass", 'assert amount < LIMIT, "toy: too much"', "self.total -= amount"} <= survivors
    assert "return rounding.div_down(self.total, SCALE)" in survivors
    assert len(survivors) > 3 * sum(result.outcome == "survived" for result in strong[1].values())


def test_a_killed_mutant_names_its_test_and_message(strong: tuple[Campaign, Found]) -> None:
    line = "return rounding.div_up(self.total, SCALE)"
    result = strong[1][line, "return rounding.div_down(self.total, SCALE)"]
    assert (result.outcome, result.stage, result.path, result.function) == ("killed", "tests", SAFE, "half")
    assert result.by.endswith(("test_half_rounds_up", "test_pay_adds_to_the_last_unit"))
    assert "assert" in result.message
    assert set(result.seconds) == {"compile", "tests"}


def test_unchanged_code_is_equivalent(strong: tuple[Campaign, Found]) -> None:
    equivalent = {result.after for result in strong[1].values() if result.outcome == "equivalent"}
    assert {"UNUSED: constant(uint256) = 8", "UNUSED: constant(uint256) = 6"} <= equivalent
    assert "return x * y" in equivalent  # div_down is in no contract


def test_what_does_not_compile_is_invalid(strong: tuple[Campaign, Found]) -> None:
    invalid = [result for result in strong[1].values() if result.outcome == "invalid"]
    assert [result.before for result in invalid] == ["SCALE = 2"]
    assert "ImmutableViolation" in invalid[0].message


def test_results_hold_until_the_file_changes(strong: tuple[Campaign, Found], toy: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(strong[0].plan.out, out)
    copy = tmp_path / "toy"
    shutil.copytree(toy, copy)
    again = Campaign(replace(strong[0].plan, out=out, sources=copy))
    assert again.pending(again.read()) == []
    retried = Campaign(replace(again.plan, retry=frozenset({"survived"})))
    assert len(retried.pending(retried.read())) == 3
    module = copy / "contracts" / "math" / "rounding.vy"
    module.write_text(module.read_text().replace("x + y - 1", "y - 1 + x"))
    changed = Campaign(again.plan)
    mutants = changed.read()
    assert {mutant.path for mutant in changed.pending(mutants)} == {"contracts/math/rounding.vy"}
    assert {result.path for result in changed.current(mutants)} == {SAFE}


def test_results_kept_with_a_report_hold_elsewhere(strong: tuple[Campaign, Found], toy: Path, tmp_path: Path) -> None:
    campaign, found = strong
    keep(tmp_path / "mutants.json", found.values())
    elsewhere = replace(campaign.plan, out=tmp_path / "out", kept=tmp_path / "mutants.json")
    again = Campaign(elsewhere)
    mutants = again.read()
    assert again.pending(mutants) == []
    assert counts(again.current(mutants)) == counts(found.values())
    assert {result.by for result in again.current(mutants)} == {result.by for result in found.values()}
    copy = tmp_path / "toy"
    shutil.copytree(toy, copy)
    safe = copy / SAFE
    safe.write_text(safe.read_text().replace("# not more than that", "# at most that"))
    changed = Campaign(replace(elsewhere, sources=copy))
    assert {mutant.path for mutant in changed.pending(changed.read())} == {SAFE}


def test_a_line_that_was_cut_off_is_tried_again(strong: tuple[Campaign, Found], tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(strong[0].plan.out, out)
    file = out / "results.jsonl"
    file.write_text(file.read_text()[:-40])
    again = Campaign(replace(strong[0].plan, out=out))
    assert len(again.pending(again.read())) == 1


def test_an_explanation_replaces_a_survivor_and_goes_stale(strong: tuple[Campaign, Found], tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(strong[0].plan.out, out)
    asked = replace(strong[0].plan, out=out, reviewed=out / "equivalent.toml")
    mutants = Campaign(asked).read()
    wanted = ["self._check(Role.OWNER)", 'assert amount < LIMIT, "toy: too much"']
    chosen = [mutant for mutant in mutants if mutant.after in wanted]
    entries = [mutation.stanza(mutant, "nobody is a guardian") for mutant in chosen]
    entries.append(entries[0].replace("OWNER | Role", "KEEPER | Role"))
    asked.reviewed.write_text("\n\n".join(entries))
    campaign = Campaign(asked)
    mutants = campaign.read()
    assert campaign.pending(mutants) == []
    explained = [result for result in campaign.current(mutants) if result.outcome == "explained"]
    assert [(result.after, result.message) for result in explained] == [(wanted[0], "nobody is a guardian")]
    stale = {review.before: why for review, why in campaign.stale_reviews(mutants)}
    assert stale.keys() == {'assert amount <= LIMIT, "toy: too much"', "self._check(Role.KEEPER | Role.GUARDIAN)"}
    assert stale["self._check(Role.KEEPER | Role.GUARDIAN)"] == "no such mutant"


def test_search_kills_what_tests_let_live_and_endless_mutants_time_out(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaigns, "COMPILE_LIMIT", -8)
    (tmp_path / "hunt.py").write_text(SEARCH)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    limit, adding = 'assert amount <= LIMIT, "toy: too much"', "self.total += amount"
    wanted = {(limit, limit.replace("<=", "<")), (limit, "pass"), (adding, "pass")}
    asked = plan(toy, tmp_path / "out", "weak", search="hunt:search", searches=1, steps=1, only=("Safe",))
    campaign = Campaign(asked)
    mutants = [mutant for mutant in campaign.read() if (mutant.before, mutant.after) in wanted]
    campaign.run(mutants)
    found = {(result.before, result.after): result for result in campaign.current(mutants)}
    noticed = found[limit, limit.replace("<=", "<")]
    assert (noticed.outcome, noticed.stage, noticed.by) == ("killed", "search", "seed 1")
    assert found[limit, "pass"].outcome == "survived"
    assert found[adding, "pass"].outcome == "timeout"


def test_tests_that_share_a_deployment_are_all_run(toy: Path, tmp_path: Path) -> None:
    """The first one deploys, the second one notices."""
    suite = tmp_path / "suite"
    suite.mkdir()
    (suite / "test_shared.py").write_text(SHARED)
    asked = plan(toy, tmp_path / "out", "weak", tests=(str(suite),), only=("Safe",), operators=("round",))
    _, found = tried(asked)
    noticed = found["return rounding.div_up(self.total, SCALE)", "return rounding.div_down(self.total, SCALE)"]
    assert (noticed.outcome, noticed.stage) == ("killed", "tests")
    assert noticed.by.endswith("test_half_rounds_up")


def test_tests_that_fail_without_a_mutant_are_left_out(toy: Path, tmp_path: Path) -> None:
    suite = tmp_path / "suite"
    shutil.copytree(toy / "weak", suite)
    (suite / "test_broken.py").write_text(
        "from ballast.chain import RevmChain\n\ndef test_broken():\n    assert RevmChain().deploy('Safe').half()\n"
    )
    said: list[str] = []
    asked = plan(toy, tmp_path / "out", "weak", tests=(str(suite),), only=("Safe",), operators=("log",))
    campaign = Campaign(asked, said.append)
    mutants = campaign.read()
    campaign.run(campaign.pending(mutants))
    assert [result.outcome for result in campaign.current(mutants)] == ["survived"]
    assert any("test_broken" in line and "fails without a mutant" in line for line in said)


def test_a_test_session_that_cannot_start_says_why(toy: Path, tmp_path: Path) -> None:
    suite = tmp_path / "suite"
    suite.mkdir()
    (suite / "test_broken.py").write_text("import nowhere\n")
    campaign = Campaign(plan(toy, tmp_path / "out", "weak", tests=(str(suite),), sample=1))
    with pytest.raises(CampaignError, match="nowhere"):
        campaign.run(campaign.read())


def test_two_campaigns_in_one_directory_are_refused(toy: Path, tmp_path: Path) -> None:
    asked = plan(toy, tmp_path / "out", "weak")
    with Campaign(asked).alone():
        where = ["--out", str(asked.out), "--sources", str(toy)]
        told = CliRunner().invoke(main, ["run", "--search", "", *where])
        assert told.exit_code == 1
        assert "another campaign is running" in told.output
        assert CliRunner().invoke(main, ["list", *where]).exit_code == 0
        assert not (asked.out / "tree").exists()


def test_explain_records_a_reason_that_can_be_read_back(
    strong: tuple[Campaign, Found], toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reviewed = tmp_path / "equivalent.toml"
    monkeypatch.setattr(mutation, "REVIEWED", reviewed)
    name = next(result.id for result in strong[1].values() if result.after == "self._check(Role.OWNER)")
    told = CliRunner().invoke(
        main, ["explain", name, "nobody's a guardian", "--out", str(tmp_path / "out"), "--sources", str(toy)]
    )
    assert told.exit_code == 0, told.output
    assert [(review.after, review.why) for review in mutation.reviews(reviewed).values()] == [
        ("self._check(Role.OWNER)", "nobody's a guardian")
    ]


def test_unknown_contract_is_refused(toy: Path, tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match="no contract or folder 'Purse'"):
        Campaign(plan(toy, tmp_path, "weak", only=("Purse",))).read()


def test_report_lists_every_survivor_with_its_diff(strong: tuple[Campaign, Found]) -> None:
    text = report.markdown(list(strong[1].values()), note="A toy.")
    assert "## Survivors" in text
    assert "-    self._check(Role.OWNER | Role.GUARDIAN)\n+    self._check(Role.OWNER)" in text
    assert f"| {SAFE} |" in text
    assert "| all |" in text


def test_report_states_rates_with_and_without_explanations() -> None:
    row = Counter({"killed by tests": 90, "killed by search": 5, "survived": 5, "explained": 25, "equivalent": 7})
    assert report.percent(row) == "95.0 %"
    assert report.raw(row) == "76.0 %"
    assert report.interval(row) == "88.8–97.8 %"  # Wilson's, of 95 in 100
    assert report.percent(Counter()) == report.raw(Counter()) == report.interval(Counter()) == "–"


def test_command_line_lists_shows_applies_and_reports(
    strong: tuple[Campaign, Found], toy: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(strong[0].plan.out, out)
    where = ["--out", str(out), "--sources", str(toy)]
    run = CliRunner().invoke
    listed = run(main, ["list", "--long", "--only", "Safe", *where])
    assert listed.exit_code == 0
    assert any("self._check(Role.OWNER)" in line for line in listed.output.splitlines())
    name = next(result.id for result in strong[1].values() if result.after == "self._check(Role.OWNER)")
    assert run(main, ["show", name, *where]).exit_code == 0
    applied = run(main, ["apply", name, str(tmp_path / "applied"), *where])
    assert applied.exit_code == 0
    assert "self._check(Role.OWNER)\n" in (tmp_path / "applied" / SAFE).read_text()
    assert run(main, ["report", "--report", str(tmp_path / "report.md"), *where]).exit_code == 0
    assert name in (tmp_path / "report.md").read_text()
    again = run(main, ["run", "--fail-under", "100", "--tests", str(toy / "strong"), "--search", "", *where])
    assert again.exit_code == 1
    assert json.loads((out / "settings.json").read_text())["tests"] == [str(toy / "strong")]
    assert run(main, ["show", "Safe-000000", *where]).exit_code == 1
