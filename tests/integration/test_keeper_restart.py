"""The keeper against a node: restarts repeat nothing, a stuck transaction is replaced, and the loop survives both."""

import threading
import time

import pytest

from ballast.keeper import Keeper, crash
from ballast.keeper.journal import Journal
from ballast.keeper.metrics import Metrics
from ballast.keeper.outbox import FeePolicy
from ballast.keeper.service import Service
from ballast.keeper.state import Rebalance
from tests.integration.keeper_world import undone

pytestmark = pytest.mark.anvil

QUICK = FeePolicy(patience=0.1, bumps=2)


@pytest.fixture(scope="module")
def world(anvil_node):
    return crash.build(anvil_node.chain())


@pytest.fixture
def sandbox(world):
    with undone(world) as system:
        yield system


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.sqlite"


def start(sandbox, path, fees=QUICK):
    """A keeper as its process would start it."""
    return Keeper(sandbox.chain, sandbox, sandbox.chain.accounts[3], journal=Journal(path), fees=fees)


def hedges(sandbox):
    """What has been sent to the venue so far [base, WAD]."""
    return sandbox.markets[0].venues[0].call("exposure")


def test_observe_twice_without_a_block_between_sees_the_same(sandbox, path):
    keeper = start(sandbox, path)
    assert keeper.observe() == keeper.observe()


def test_restart_after_a_hedge_repeats_nothing(sandbox, path):
    first = start(sandbox, path)
    (result,) = first.step().results
    assert result.ending == "done"
    held = hedges(sandbox)
    first.journal.close()
    second = start(sandbox, path)
    assert second.observe().accounts == first.observe().accounts
    assert [r.ending for r in second.actor.act([result.action])] == ["used"]
    assert hedges(sandbox) == held


def test_stuck_transaction_is_replaced_within_bounds_and_settled_after_restart(sandbox, path):
    chain = sandbox.chain
    first = start(sandbox, path)
    chain.request("evm_setAutomine", False)
    (result,) = first.step().results
    assert result.ending == "pending"
    for _ in range(2 * QUICK.bumps):
        time.sleep(QUICK.patience)
        assert first.step().results == ()
    (entry,) = first.journal.pending()
    offers = [int(chain.request("eth_getTransactionByHash", h)["maxFeePerGas"], 16) for h in entry.hashes[-1:]]
    assert len(entry.hashes) == 1 + QUICK.bumps
    assert offers == [entry.offer.max_fee]
    assert entry.offer.max_fee <= QUICK.cap
    first.journal.close()

    second = start(sandbox, path)
    # still undecided: nothing new goes out
    assert {r.ending for r in second.step().results} <= {"pending"}
    chain.request("evm_mine")
    chain.request("evm_setAutomine", True)
    assert second.actor.recover()
    assert [e.outcome for e in second.journal.entries()] == ["done"]
    assert hedges(sandbox) > 0
    assert chain.nonce(second.actor.sender, "latest") == entry.nonce + 1


def test_crash_between_writing_and_sending_drops_the_attempt(sandbox, path):
    first = start(sandbox, path)
    (action,) = first.plan(first.observe())
    tx = first.actor.tx(action)
    nonce = sandbox.chain.nonce(first.actor.sender, "latest")
    first.journal.begin(action, tx.to, tx.data, nonce)
    first.journal.close()

    second = start(sandbox, path)
    (result,) = second.step().results
    assert isinstance(result.action, Rebalance)
    assert result.ending == "done"
    assert [entry.outcome for entry in second.journal.entries()] == ["dropped", "done"]


def test_crash_between_sending_and_noting_the_hash_counts_as_done(sandbox, path):
    first = start(sandbox, path)
    (action,) = first.plan(first.observe())
    tx = first.actor.tx(action)
    nonce = sandbox.chain.nonce(first.actor.sender, "latest")
    first.journal.begin(action, tx.to, tx.data, nonce)
    sandbox.chain.transact(tx)
    held = hedges(sandbox)
    first.journal.close()

    second = start(sandbox, path)
    second.step()
    assert second.journal.entries()[0].outcome == "done"
    assert hedges(sandbox) == held


def test_crash_between_sending_and_noting_the_hash_in_a_full_pool_replaces_it(sandbox, path):
    chain = sandbox.chain
    first = start(sandbox, path)
    (action,) = first.plan(first.observe())
    tx = first.actor.tx(action)
    nonce = chain.nonce(first.actor.sender, "latest")
    chain.request("evm_setAutomine", False)
    first.journal.begin(action, tx.to, tx.data, nonce)
    chain.submit(tx)
    first.journal.close()

    second = start(sandbox, path)
    time.sleep(QUICK.patience)
    assert not second.actor.recover()
    chain.request("evm_mine")
    chain.request("evm_setAutomine", True)
    assert second.actor.recover()
    assert second.journal.entries()[0].outcome == "done"
    assert chain.nonce(second.actor.sender, "latest") == nonce + 1


def test_service_hedges_and_stops_when_told(sandbox, path):
    keeper = start(sandbox, path)
    metrics = Metrics()
    service = Service(keeper, 0.05, metrics=metrics)
    threading.Timer(3.0, service.stop).start()
    began = time.monotonic()
    service.run()
    assert time.monotonic() - began < 10
    assert hedges(sandbox) > 0
    assert [entry.outcome for entry in keeper.journal.entries()] == ["done"]
    assert metrics.errors._value.get() == 0


def test_account_whose_close_left_the_chain_is_known_again(sandbox, path):
    chain, trader = sandbox.chain, sandbox.chain.accounts[2]
    first = start(sandbox, path)
    for _ in range(3):  # deeper than a reorganisation
        chain.request("evm_mine")
    first.step()
    sandbox.close(trader, "ETH")
    first.step()
    assert first.observe().accounts == ()
    first.journal.close()
    chain.request("anvil_reorg", 3, [])
    sandbox.refresh()
    assert sandbox.perp_engine.call("position", trader, 0).size != 0
    assert [account.address for account in first.observe().accounts] == [trader]
    second = start(sandbox, path)
    assert [account.address for account in second.observe().accounts] == [trader]
