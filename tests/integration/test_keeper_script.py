"""`scripts/keeper.py` as a user types it: the plan, one turn, the journal, and what goes wrong."""

import json

import pytest
from click.testing import CliRunner

from ballast import devnet
from ballast.chain.anvil import Anvil
from ballast.chain.rpc import RpcChain
from ballast.deployment import manifest
from ballast.keeper.journal import Journal
from ballast.keeper.observe import Observer
from scripts.keeper import cli

pytestmark = pytest.mark.anvil


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """A devnet whose vault is short 2,000 ETH, and the words that lead to it."""
    with Anvil() as node:
        chain = node.chain(estimate_gas=True)
        path = tmp_path_factory.mktemp("deployments") / "local.json"
        devnet.start(chain, path)
        sandbox = manifest.load(path).sandbox(node.chain())
        trader = sandbox.chain.accounts[6]
        sandbox.add_margin(trader, 1_000_000)
        sandbox.trade(trader, "ETH", 2_000)
        sandbox.warp(60)
        yield sandbox, path, ["--rpc", node.url, "--manifest", str(path)]


def type_in(where, *words, ok=True):
    result = CliRunner().invoke(cli, [*words, *where], env={"COLUMNS": "200"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert (result.exit_code == 0) == ok, result.output
    return result.output


def test_dry_run_shows_the_plan_and_sends_nothing(net):
    sandbox, _, where = net
    before = sandbox.chain.number
    shown = type_in(where, "--dry-run")
    assert "rebalance" in shown
    assert "hedged outside" in shown
    document = json.loads(type_in(where, "--dry-run", "--json"))
    (action,) = document["actions"]
    assert (action["kind"], action["market"]) == ("rebalance", 0)
    assert sandbox.chain.number == before


def test_dry_run_without_hedging_hedges_nothing(net):
    _, _, where = net
    assert "rebalance" not in type_in(where, "--dry-run", "--no-hedge")


def test_once_hedges_and_a_second_turn_repeats_nothing(net):
    sandbox, path, where = net
    done = json.loads(type_in(where, "--once", "--unlocked", "3", "--yes", "--json"))
    assert [(step["kind"], step["ending"]) for step in done] == [("rebalance", "done")]
    held = sandbox.markets[0].venues[0].call("exposure")
    assert held > 0
    again = json.loads(type_in(where, "--once", "--unlocked", "3", "--yes", "--json"))
    assert [step for step in again if step["kind"] == "rebalance"] == []
    assert sandbox.markets[0].venues[0].call("exposure") == held
    (journal,) = path.parent.glob("local.keeper-*.sqlite")
    with Journal(journal) as memory:
        assert [entry.outcome for entry in memory.entries() if entry.kind == "rebalance"] == ["done"]


def test_monitoring_is_written_without_a_node(tmp_path):
    result = CliRunner().invoke(cli, ["--monitoring", str(tmp_path / "new")])
    assert result.exit_code == 0
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["alerts.yaml", "dashboard.json"]


def test_observe_takes_two_round_trips(net, monkeypatch):
    """Which block, and everything at it; no board of options is held, nobody is weak."""
    sandbox, _, _ = net
    observer = Observer(sandbox.chain, sandbox)
    first = observer.observe()
    trips = []
    exchange = RpcChain._exchange

    def counted(chain, calls):
        trips.append(len(calls))
        return exchange(chain, calls)

    monkeypatch.setattr(RpcChain, "_exchange", counted)
    assert observer.observe() == first
    assert len([calls for calls in trips if calls]) == 2


def test_keeper_without_an_account_says_so(net):
    _, _, where = net
    assert "nobody to send as" in type_in(where, "--once", "--yes", ok=False)


def test_second_keeper_on_one_journal_is_refused(net, tmp_path):
    _, _, where = net
    journal = tmp_path / "journal.sqlite"
    with Journal(journal):
        shown = type_in(where, "--once", "--unlocked", "4", "--yes", "--journal", str(journal), ok=False)
    assert "another keeper uses" in shown


def test_journal_of_another_account_is_refused(net, tmp_path):
    _, _, where = net
    journal = str(tmp_path / "journal.sqlite")
    type_in(where, "--once", "--unlocked", "4", "--yes", "--journal", journal)
    shown = type_in(where, "--once", "--unlocked", "5", "--yes", "--journal", journal, ok=False)
    assert "Name another --journal" in shown
