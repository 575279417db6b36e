"""What a keeper tells those who watch: numbers after a turn, health over HTTP, a dashboard and alerts that exist."""

import json
import re
import time

import pytest
import requests
import structlog
import yaml

from ballast.chain.artifacts import ROOT
from ballast.keeper import Keeper
from ballast.keeper.metrics import Metrics, write_monitoring
from ballast.keeper.service import Service
from scripts.keeper import log_as_json


@pytest.fixture
def keeper(system):
    system.deposit(system.chain.accounts[1], 10_000_000)
    system.add_margin(system.chain.accounts[2], 1_000_000)
    system.trade(system.chain.accounts[2], "ETH", 2_000)
    system.warp(60)
    return Keeper(system.chain, system, system.chain.accounts[3])


def read(metrics, name, **labels):
    return metrics.registry.get_sample_value(f"ballast_{name}", labels)


@pytest.fixture(scope="module")
def monitoring(tmp_path_factory):
    folder = tmp_path_factory.mktemp("monitoring")
    dashboard, alerts = write_monitoring(folder / "new")
    rules = [rule for group in yaml.safe_load(alerts.read_text())["groups"] for rule in group["rules"]]
    return json.loads(dashboard.read_text()), rules


def test_a_turn_is_told(system, keeper):
    metrics = Metrics()
    step = Service(keeper, 1.0, metrics=metrics).turn()
    (result,) = step.results
    state = keeper.observe()
    metrics.take(step, 0.25, keeper)
    book = system.inventory.call("state")
    assert read(metrics, "capital_quote") == step.state.capital
    assert read(metrics, "utilization") == pytest.approx(book.stressed_loss / book.capital)
    assert read(metrics, "delta_quote", market="0") == -2_000.0 * 2_000.0
    assert read(metrics, "net_delta_quote") == 2_000.0 * 2_000.0
    assert read(metrics, "venue_exposure_base", venue="0", market="0") == 0.0  # before it acted
    assert state.venues[0].exposure > 0.0
    assert read(metrics, "keeper_success_timestamp_seconds", kind="rebalance") == pytest.approx(time.time(), abs=60)
    assert read(metrics, "keeper_actions_total", kind="rebalance", ending=result.ending) == 2.0
    cash = system.clearinghouse.call("account", keeper.actor.sender)[0] / 1e18
    assert read(metrics, "keeper_cash_quote") == pytest.approx(cash)
    assert cash > 0.0
    assert read(metrics, "auction_open") == read(metrics, "keeper_pending") == 0.0
    assert read(metrics, "keeper_turn_seconds") == 0.25


def test_log_as_json_is_a_line_for_each_action(keeper, capsys):
    log_as_json()
    try:
        step = Service(keeper, 1.0).turn()
    finally:
        structlog.reset_defaults()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["event"], line["ending"], line["level"]) for line in lines] == [("rebalance", "done", "info")]
    assert (lines[0]["key"], lines[0]["block"]) == (step.actions[0].key, step.state.block)


def test_a_lost_turn_is_counted_and_the_loop_goes_on(keeper, monkeypatch):
    metrics = Metrics()
    service = Service(keeper, 1.0, metrics=metrics)

    def fail():
        raise requests.ConnectionError("nobody there")

    with monkeypatch.context() as patch:
        patch.setattr(keeper, "step", fail)
        assert service.turn() is None
    assert read(metrics, "keeper_errors_total") == 1.0
    assert metrics.ailments()[0] == "the last turn failed: nobody there"
    assert service.turn() is not None
    assert "failed" not in " ".join(metrics.ailments())


def test_health_is_a_recent_turn_a_young_head_and_nothing_stuck(system, keeper):
    metrics = Metrics(0, max_head_age=0.0, stuck_after=30.0)
    url = f"http://127.0.0.1:{metrics.port}"

    def health():
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(f"{url}/healthz", timeout=5)
            return answer.status_code, answer.text

    try:
        assert health() == (503, "no turn yet\n")
        step = Service(keeper, 1.0, metrics=metrics).turn()
        assert health() == (200, "ok\n")
        metrics.limits = (60.0, 120.0, 30.0)  # the chain of this test began in 2023
        assert re.fullmatch(r"the node's head is \d+ s old\n", health()[1])
        metrics.limits = (0.001, 0.0, 30.0)
        assert re.fullmatch(r"the last turn was 0 s ago\n", health()[1])
        metrics.limits = (60.0, 0.0, 0.0)
        (action,) = step.actions
        keeper.journal.begin(type(action)(0, 0, 1, 1, "another"), keeper.actor.sender, b"", 9)
        metrics.take(step, 0.1, keeper)
        assert re.fullmatch(r"a transaction is under way for \d+ s\n", health()[1])
        with requests.Session() as session:
            session.trust_env = False
            assert "ballast_keeper_pending 1.0" in session.get(f"{url}/metrics", timeout=5).text
    finally:
        metrics.close()


def test_every_metric_that_dashboard_and_alerts_name_exists(monitoring):
    dashboard, rules = monitoring
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    named = {name for query in queries for name in re.findall(r"ballast_\w+", query)}
    alerting = {name for rule in rules for name in re.findall(r"ballast_\w+", rule["expr"])}
    assert named == Metrics().names  # and everything is shown
    assert alerting <= named


def test_every_alert_has_a_line_in_the_runbook(monitoring):
    text = (ROOT / "docs" / "keeper.md").read_text()
    listed = re.findall(r"^\| `(\w+)` \|", text.partition("## When an alert fires")[2], re.MULTILINE)
    assert sorted(listed) == sorted(rule["alert"] for rule in monitoring[1])
