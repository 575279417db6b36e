"""A keeper's transactions: when the chain forgets them, when others want the same, and through a private relay."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from ballast.chain import Tx
from ballast.chain.rpc import JsonRpc
from ballast.keeper import Keeper, crash
from ballast.keeper.journal import Journal
from ballast.keeper.outbox import FeePolicy, Relay
from ballast.keeper.state import ProcessEpoch
from tests.integration.keeper_world import undone

pytestmark = pytest.mark.anvil

QUICK = FeePolicy(patience=0.05, bumps=2)


@pytest.fixture(scope="module")
def world(anvil_node):
    return crash.build(anvil_node.chain())


@pytest.fixture
def sandbox(world):
    with undone(world) as system:
        yield system


@pytest.fixture
def signing(sandbox):
    """The sender's key is ours: the hash is known whoever gets the transaction."""
    owner = "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6"  # of Anvil's account 3
    assert sandbox.chain.add_key(owner) == sandbox.chain.accounts[3]
    yield
    sandbox.chain._signers.clear()


def start(sandbox, number=3, **options):
    return Keeper(sandbox.chain, sandbox, sandbox.chain.accounts[number], journal=Journal(), fees=QUICK, **options)


def hedged(sandbox):
    """What the venue holds [base, WAD]."""
    return sandbox.markets[0].venues[0].call("exposure")


def outcomes(keeper):
    return [entry.outcome for entry in keeper.journal.entries()]


def used(keeper):
    return keeper.chain.nonce(keeper.actor.sender, "latest")


# ---- the chain forgets


def test_action_that_left_the_chain_is_decided_on_again(sandbox):
    keeper = start(sandbox)
    nonce = used(keeper)
    assert [result.ending for result in keeper.step().results] == ["done"]
    sandbox.chain.request("anvil_reorg", 1, [])
    assert (used(keeper), hedged(sandbox)) == (nonce, 0)
    assert [result.ending for result in keeper.step().results] == ["done"]
    assert outcomes(keeper) == ["dropped", "done"]
    assert used(keeper) == nonce + 1
    assert hedged(sandbox) > 0


def test_action_that_moved_to_another_block_is_not_sent_again(sandbox, signing):
    keeper = start(sandbox)
    sandbox.chain.request("evm_mine")
    (result,) = keeper.step().results
    held, nonce = hedged(sandbox), used(keeper)
    (before,) = keeper.journal.entries()
    raw = sandbox.chain.request("eth_getRawTransactionByHash", result.receipt.tx_hash)
    sandbox.chain.request("anvil_reorg", 2, [[raw, 0]])
    assert keeper.actor.recover()
    (after,) = keeper.journal.entries()
    assert (after.outcome, after.tx_hash) == ("done", before.tx_hash)
    assert after.block_hash == sandbox.chain.request("eth_getTransactionReceipt", after.tx_hash)["blockHash"]
    assert (after.block, after.block_hash) != (before.block, before.block_hash)
    assert (hedged(sandbox), used(keeper)) == (held, nonce)


def test_receipt_is_final_after_confirmations(sandbox):
    keeper = start(sandbox, confirmations=2)
    keeper.step()
    for final in (False, False, True):
        keeper.actor.recover()
        assert [entry.final for entry in keeper.journal.entries()] == [final]
        sandbox.chain.request("evm_mine")


def test_pending_action_whose_occasion_is_gone_gives_its_nonce_to_a_transfer(sandbox, signing):
    chain, keeper = sandbox.chain, start(sandbox)
    nonce = used(keeper)
    chain.request("evm_setAutomine", False)
    assert [result.ending for result in keeper.step().results] == ["pending"]
    ((tx_hash,),) = [entry.hashes for entry in keeper.journal.pending()]
    # a block in which the trader closes and there is no room for the keeper
    raw = chain.request("eth_getRawTransactionByHash", tx_hash)
    chain.request("anvil_dropTransaction", tx_hash)
    size = sandbox.perp_engine.call("position", chain.accounts[2], 0).size
    chain.submit(sandbox.perp_engine.tx("trade", 0, -size, 0, 2**256 - 1, sender=chain.accounts[2]))
    chain.request("evm_mine")
    chain.request("eth_sendRawTransaction", raw)
    assert used(keeper) == nonce
    time.sleep(QUICK.patience)
    assert not keeper.actor.recover()
    chain.request("evm_mine")
    assert keeper.actor.recover()
    (entry,) = keeper.journal.entries()
    assert (entry.outcome, entry.reason) == ("dropped", "hedge: costs more than it saves")
    assert entry.gas_used == 21_000
    assert (used(keeper), hedged(sandbox)) == (nonce + 1, 0)


def test_nonce_that_went_to_something_else_frees_the_occasion(sandbox):
    chain, keeper = sandbox.chain, start(sandbox)
    (action,) = keeper.plan(keeper.observe())
    tx = keeper.actor.tx(action)
    keeper.journal.begin(action, tx.to, tx.data, used(keeper), chain.number)
    chain.transact(Tx(chain.accounts[5], b"", keeper.actor.sender, value=1))
    assert keeper.actor.recover()
    (entry,) = keeper.journal.entries()
    assert (entry.outcome, entry.reason) == ("dropped", "another transaction used its nonce")
    assert [result.ending for result in keeper.step().results] == ["done"]


def test_attempt_that_was_given_up_is_credited_when_the_chain_has_it_after_all(sandbox):
    """A pool somewhere else still had it: of two attempts with one nonce the included one counts."""
    chain, keeper = sandbox.chain, start(sandbox)
    (action,) = keeper.plan(keeper.observe())
    tx = keeper.actor.tx(action)
    given_up = keeper.journal.begin(action, tx.to, tx.data, used(keeper), chain.number)
    keeper.journal.resolve(given_up, "dropped")
    keeper.journal.begin(action, tx.to, tx.data[:-1] + b"\x01", used(keeper), chain.number)
    receipt = chain.transact(tx)
    assert keeper.actor.recover()
    assert outcomes(keeper) == ["done", "dropped"]
    assert keeper.journal.entries()[0].tx_hash == receipt.tx_hash


def test_attempt_that_was_given_up_and_included_is_not_made_again(sandbox):
    chain, keeper = sandbox.chain, start(sandbox)
    (action,) = keeper.plan(keeper.observe())
    tx = keeper.actor.tx(action)
    given_up = keeper.journal.begin(action, tx.to, tx.data, used(keeper), chain.number)
    keeper.journal.resolve(given_up, "dropped")
    chain.transact(tx)
    keeper.actor._read = lambda tx: b""  # as if it could be done once more
    assert [result.ending for result in keeper.actor.act([action])] == ["used"]
    assert outcomes(keeper) == ["done"]


def test_action_that_fails_in_every_block_is_sent_ever_less_often(sandbox):
    chain, keeper = sandbox.chain, start(sandbox)
    action = ProcessEpoch(key="epoch:1")  # which is not over
    keeper.actor._read = lambda tx: b""  # as if the simulation passed
    sent = []
    for _ in range(16):
        (result,) = keeper.actor.act([action])
        sent.append(result.ending == "failed")
        if result.ending == "refused":
            assert result.reason.startswith("keeper: it failed before")
            chain.request("evm_mine")
    assert outcomes(keeper) == ["failed"] * sum(sent)
    assert 3 <= sum(sent) <= 6


# ---- others want the same


def reverted(keeper):
    """How many of its transactions in the chain failed."""
    return outcomes(keeper).count("failed")


def test_simulation_sees_what_another_keeper_has_in_the_pool(sandbox):
    first, second = start(sandbox), start(sandbox, 4)
    sandbox.chain.request("evm_setAutomine", False)
    assert [result.ending for result in first.step().results] == ["pending"]
    assert [result.ending for result in second.step().results] == ["refused"]
    sandbox.chain.request("evm_mine")
    first.step()
    assert outcomes(first) == ["done"]
    assert second.journal.entries() == []


def test_two_keepers_in_one_block_revert_at_most_once_for_each_occasion(sandbox, monkeypatch):
    chain = sandbox.chain
    keepers = [start(sandbox), start(sandbox, 4)]
    for keeper in keepers:  # neither sees the pool, as where transactions are private
        monkeypatch.setattr(keeper.actor, "_read", chain.read)
    chain.request("evm_setAutomine", False)
    occasions = 4
    for i in range(occasions):
        for keeper in keepers if i % 2 else keepers[::-1]:
            keeper.step()
        chain.request("evm_mine")
        before = [used(keeper) for keeper in keepers]
        for _ in range(2):  # who lost does not try again
            for keeper in keepers:
                keeper.step()
            chain.request("evm_mine")
        assert [used(keeper) for keeper in keepers] == before
        assert sum(map(reverted, keepers)) == i + 1
        chain.request("evm_setAutomine", True)
        sandbox.trade(chain.accounts[2], "ETH", 700)
        sandbox.warp(600)
        sandbox.arbitrage("ETH")
        chain.request("evm_setAutomine", False)
    assert sum(outcomes(keeper).count("done") for keeper in keepers) == occasions


# ---- through a relay


class RelayServer:
    """Takes JSON-RPC at a socket of its own; hands it on to the node, keeps it to itself, or refuses."""

    def __init__(self, node_url, manner):
        self.received = []
        relay = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                relay.received.append(body)
                answer = b'{"jsonrpc": "2.0", "id": 0, "result": "0x' + b"00" * 32 + b'"}'
                if manner == "forward":
                    answer = requests.post(node_url, data=body, headers={"Content-Type": "application/json"}).content
                elif manner == "refuse":
                    answer = b'{"jsonrpc": "2.0", "id": 0, "error": {"code": -32000, "message": "not today"}}'
                self.send_response(200)
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def test_relay_that_hands_on_is_all_that_is_needed(sandbox, signing):
    with RelayServer(sandbox.chain.url, "forward") as server:
        keeper = start(sandbox, relay=Relay(JsonRpc(server.url)))
        assert [result.ending for result in keeper.step().results] == ["done"]
    assert len(server.received) == 1
    assert b"eth_sendRawTransaction" in server.received[0]
    assert hedged(sandbox) > 0


@pytest.mark.parametrize("manner", ["drop", "refuse", "dead"])
def test_relay_that_does_not_is_passed_by_after_some_blocks(sandbox, signing, manner):
    chain = sandbox.chain
    nonce = used(start(sandbox))
    with RelayServer(chain.url, manner) as server:
        url = "http://127.0.0.1:9" if manner == "dead" else server.url
        keeper = start(sandbox, relay=Relay(JsonRpc(url), blocks=2))
        assert [result.ending for result in keeper.step().results] == ["pending"]
        for _ in range(2):
            assert keeper.step().results == ()  # the relay's turn: nobody else has heard of it
            assert (used(keeper), chain.nonce(keeper.actor.sender)) == (nonce, nonce)
            chain.request("evm_mine")
        endings = [result.ending for _ in range(2) for result in keeper.step().results]
    assert endings in ([], ["done"])
    assert outcomes(keeper)[-1] == "done"
    assert used(keeper) == nonce + 1
    assert hedged(sandbox) > 0
