"""Campaigns as a person runs them: repeatable, resumable, stopped by Ctrl-C, on processes or a Dask cluster, and what
they leave behind."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from distributed import LocalCluster

from ballast.chain.artifacts import BUILD, ROOT
from ballast.fuzz.__main__ import main
from ballast.fuzz.campaign import Sample
from ballast.fuzz.history import REDEEMED_AT_MID

CLOCKS = {"seconds", "news", "cpu", "history"}  # of a summary: what differs between two equal runs


def fuzz(*arguments: object) -> Result:
    return CliRunner(mix_stderr=False).invoke(main, [str(argument) for argument in arguments])


def run(out: Path, *arguments: object) -> dict[str, Any]:
    """The summary of a short campaign that finds nothing."""
    result = fuzz("run", "--out", out, "--length", 60, "--json", *arguments)
    assert result.exit_code == 0, result.stdout + result.stderr
    return dict(json.loads(result.stdout))


def contents(out: Path) -> dict[str, str]:
    """Coverage and corpus of a campaign, file by file."""
    files = [out / "coverage.json", *(out / "corpus").iterdir()]
    return {str(file.relative_to(out)): file.read_text() for file in files}


def timeless(summary: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in summary.items() if name not in CLOCKS}


@pytest.fixture(scope="module")
def bugged_sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree in which redemptions are paid at mid NAV."""
    tree = tmp_path_factory.mktemp("sources")
    for folder in ("contracts", "interfaces"):
        shutil.copytree(ROOT / folder, tree / folder)
    for cache in ("vyper", "maps"):  # only what the bug touches is compiled again
        if (BUILD / cache).is_dir():
            shutil.copytree(BUILD / cache, tree / ".build" / cache)
    for edit in REDEEMED_AT_MID.edits:
        source = tree / edit.source
        source.write_text(edit.apply(source.read_text()))
    return tree


def with_sources(tree: Path, *command: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "BALLAST_SOURCES": str(tree)}
    environment.pop("PYTEST_XDIST_WORKER", None)
    return subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_run_same_seed_is_the_same_campaign(tmp_path: Path) -> None:
    one = run(tmp_path / "one", "--seed", 7, "--episodes", 2, "--jobs", 1)
    same = run(tmp_path / "same", "--seed", 7, "--episodes", 2, "--jobs", 1)
    other = run(tmp_path / "other", "--seed", 8, "--episodes", 2, "--jobs", 1)
    assert one["episodes"] == 2
    assert timeless(one) == timeless(same)
    assert contents(tmp_path / "one") == contents(tmp_path / "same")
    assert [name for name in contents(tmp_path / "one") if name.startswith("corpus/")]
    assert one["ok"] != other["ok"]


def test_run_resume_goes_on_with_the_next_seeds(tmp_path: Path) -> None:
    first = run(tmp_path, "--seed", 7, "--episodes", 2, "--jobs", 1)
    refused = fuzz("run", "--out", tmp_path, "--episodes", 2)
    assert refused.exit_code == 1
    assert "--resume goes on with it" in refused.stderr
    both = run(tmp_path, "--resume", "--episodes", 2, "--jobs", 1)
    assert (both["seed"], both["issued"], both["episodes"]) == (7, 4, 4)
    assert both["actions"] > first["actions"]
    assert both["seconds"] > first["seconds"]
    first_sample, *_, last = (Sample(*row) for row in both["history"])
    assert 500 < first_sample.lines <= last.lines  # what the first run covered was not forgotten
    assert 500 < first_sample.branches <= last.branches
    assert 0 < first_sample.corpus < last.corpus
    assert first_sample.features > 0


def test_run_resume_without_a_campaign_says_so(tmp_path: Path) -> None:
    result = fuzz("run", "--out", tmp_path, "--resume", "--episodes", 1)
    assert result.exit_code == 1
    assert "holds no campaign" in result.stderr


def test_run_interrupted_keeps_everything(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ballast.fuzz", "run", "--out", str(tmp_path), "--minutes", "5", "--length", "40"]
    with subprocess.Popen([*command, "--jobs", "1"], cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:  # one every ten seconds where there is no terminal
            if " 0 sequences" not in line:
                break
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert json.loads((tmp_path / "stats.json").read_text())["episodes"] > 0
    assert (tmp_path / "report.html").is_file()


def test_run_on_a_dask_cluster_merges_what_its_workers_find(tmp_path: Path) -> None:
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        found = run(tmp_path, "--seed", 3, "--episodes", 24, "--scheduler", cluster.scheduler_address)
    assert (found["issued"], found["episodes"], found["steps"]) == (24, 24, 24 * 60)
    samples = [Sample(*row) for row in found["history"]]
    assert samples[0].lines < samples[-1].lines
    assert len(list((tmp_path / "corpus").iterdir())) == samples[-1].corpus > samples[0].corpus


def test_run_begins_with_a_given_corpus(tmp_path: Path) -> None:
    run(tmp_path / "first", "--seed", 1, "--episodes", 2, "--jobs", 1)
    kept = {file.name for file in (tmp_path / "first" / "corpus").iterdir()}
    given = ("--corpus", tmp_path / "first" / "corpus")
    run(tmp_path / "second", "--seed", 2, "--episodes", 1, "--jobs", 1, *given)
    assert kept < {file.name for file in (tmp_path / "second" / "corpus").iterdir()}


@pytest.mark.anvil
@pytest.mark.fuzz
def test_run_planted_bug_is_told_saved_and_fails_on_anvil_too(bugged_sources: Path, tmp_path: Path) -> None:
    out = tmp_path / "campaign"
    found = with_sources(
        bugged_sources, "ballast.fuzz", "run", "--out", out, "--episodes", 60, "--jobs", 1, "--length", 150
    )
    assert found.returncode == 1, found.stdout + found.stderr
    (failure,) = json.loads((out / "stats.json").read_text())["found"]
    assert failure["reproduces"]
    assert "requests redemption" in found.stdout
    assert failure["message"].partition(":")[0] in (out / "report.html").read_text()
    saved = out / failure["file"]
    assert with_sources(bugged_sources, "pytest", "-q", "-p", "no:cacheprovider", saved).returncode == 1
    runpy.run_path(str(saved))[f"test_{failure['invariant']}_holds"]()  # the bug is not in our own sources
    node = with_sources(bugged_sources, "ballast.fuzz", "replay", saved, "--backend", "anvil", "--json")
    assert node.returncode == 1, node.stderr
    told = json.loads(node.stdout)
    assert not told["differences"]
    assert told["steps"][-1]["broken"] == failure["message"].rpartition(" (step")[0]


def test_report_needs_nothing_but_itself(tmp_path: Path) -> None:
    summary = run(tmp_path, "--episodes", 2, "--jobs", 1)
    (tmp_path / "report.html").unlink()
    assert fuzz("report", tmp_path).exit_code == 0
    page = (tmp_path / "report.html").read_text()
    assert not [outside for outside in ("src=", "href=", "<link", "<script", "@import", "url(") if outside in page]
    assert next(iter(summary["refused"])) in page
    assert "No invariant broke" in page
    assert "lines in no contract reached" in page
    assert '<span class="bad">' in page
