"""What only the JSON-RPC backend does: local keys, estimation, fees, pinned reads, other people's blocks."""

import shutil
from typing import Any

import pytest
from eth_account import Account
from eth_utils.crypto import keccak

from ballast.chain import Reverted
from ballast.chain.anvil import Anvil, AnvilMissing
from ballast.chain.rpc import NotIncluded, RpcChain, RpcError, Signed

KEEPER_KEY = keccak(text="ballast test keeper")


@pytest.fixture
def chain(anvil_node: Anvil) -> RpcChain:
    return anvil_node.chain(estimate_gas=True)


def test_add_key_transactions_are_signed_locally(chain: RpcChain) -> None:
    keeper = chain.add_key(KEEPER_KEY)
    chain.set_balance(keeper, 10**18)
    probe = chain.deploy("WrapperProbe", "keeper", 0, sender=keeper)
    receipt = probe.send("count", 4, sender=keeper)
    assert receipt.one("Counted").who == keeper
    assert chain.nonce(keeper) == 2
    assert chain.balance(keeper) < 10**18


def test_add_signer_asks_it_for_every_transaction(chain: RpcChain) -> None:
    account = Account.from_key(KEEPER_KEY)
    signed: list[dict[str, Any]] = []

    class Recorder:
        def sign_transaction(self, fields: dict[str, Any]) -> Signed:
            signed.append(fields)
            return account.sign_transaction(fields)

    keeper = chain.add_signer(account.address, Recorder())
    chain.set_balance(keeper, 10**18)
    chain.deploy("WrapperProbe", "keeper", 0, sender=keeper).send("count", 4, sender=keeper)
    assert [fields["nonce"] for fields in signed] == [signed[0]["nonce"], signed[0]["nonce"] + 1]


def test_submit_and_wait_return_the_same_as_send(chain: RpcChain) -> None:
    probe = chain.deploy("WrapperProbe", "x", 0)
    tx = probe.tx("count", 4)
    assert chain.wait(chain.submit(tx), tx).value == 4


def test_simulate_runs_calls_after_each_other_and_leaves_nothing(chain: RpcChain) -> None:
    token, (holder, other) = chain.deploy("TestToken", "Test", "T", 6), chain.accounts[:2]
    balance = token.tx("balanceOf", holder)
    poor = "0x" + "00" * 19 + "01"  # whoever asks needs no ether
    minted, after, refused = chain.simulate(
        [token.tx("mint", holder, 5, sender=poor), balance, token.tx("transfer", other, 6)]
    )
    assert minted == b""
    assert isinstance(after, bytes)
    assert int.from_bytes(after, "big") == 5
    assert isinstance(refused, Reverted)
    assert refused.reason == "erc20: transfer amount exceeds balance"
    assert token.call("balanceOf", holder) == 0


def test_wait_without_inclusion_raises_not_included(chain: RpcChain) -> None:
    probe = chain.deploy("WrapperProbe", "x", 0)
    with pytest.raises(NotIncluded):
        chain.wait("0x" + "11" * 32, probe.tx("count", 4), timeout=0.01)


def test_prepare_with_a_key_of_ours_knows_the_hash_before_sending(chain: RpcChain) -> None:
    keeper = chain.add_key(KEEPER_KEY)
    chain.set_balance(keeper, 10**18)
    tx = chain.deploy("WrapperProbe", "x", 0).tx("count", 4, sender=keeper)
    prepared = chain.prepare(tx)
    assert chain.send(prepared) == prepared.hash
    assert chain.prepare(chain.deploy("WrapperProbe", "x", 0).tx("count", 4)).hash is None


def test_find_looks_a_transaction_up_by_its_nonce(chain: RpcChain) -> None:
    probe = chain.deploy("WrapperProbe", "x", 0)
    nonce, first = chain.nonce(chain.accounts[0]), chain.number
    receipts = [probe.send("count", i) for i in range(10)]
    assert chain.find(chain.accounts[0], nonce + 9, first) == receipts[9].tx_hash
    assert chain.find(chain.accounts[0], nonce, receipts[1].block_number) is None
    assert chain.find(chain.accounts[1], nonce, first) is None


def test_read_on_pending_sees_what_the_pool_holds(chain: RpcChain) -> None:
    token, (holder, other) = chain.deploy("TestToken", "Test", "T", 6), chain.accounts[:2]
    balance = token.tx("balanceOf", other)
    chain.request("evm_setAutomine", False)
    chain.submit(token.tx("mint", other, 5, sender=holder))
    latest, pending = chain.read(balance), chain.read(balance, "pending")
    chain.request("evm_mine")
    chain.request("evm_setAutomine", True)
    assert (int.from_bytes(latest, "big"), int.from_bytes(pending, "big")) == (0, 5)


def test_send_failing_estimate_raises_before_sending(chain: RpcChain) -> None:
    probe = chain.deploy("WrapperProbe", "x", 0)
    nonce = chain.nonce(chain.accounts[0])
    with pytest.raises(Reverted, match="probe: as asked"):
        probe.send("fail", 0)
    assert chain.nonce(chain.accounts[0]) == nonce


def test_send_failing_in_its_block_raises_with_hash_and_reason(anvil_node: Anvil) -> None:
    chain = anvil_node.chain()
    probe = chain.deploy("WrapperProbe", "x", 0)
    with pytest.raises(Reverted, match="probe: as asked") as caught:
        probe.send("fail", 0)
    assert caught.value.tx_hash is not None


def test_estimate_leaves_room_for_accrual(chain: RpcChain) -> None:
    probe = chain.deploy("WrapperProbe", "x", 0)
    assert chain.estimate(probe.tx("count", 1)) > 1.4 * probe.send("count", 1).gas_used


def test_fees_cover_twice_the_base_fee(chain: RpcChain) -> None:
    max_fee, tip = chain.fees()
    base = int(chain.request("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)
    assert max_fee == 2 * base + tip


def test_read_many_pins_one_block(chain: RpcChain) -> None:
    probe = chain.deploy("WrapperProbe", "x", 0)
    pinned = probe.send("count", 1).block_number
    probe.send("count", 1)
    assert chain.read_many([probe.tx("total"), probe.tx("sum_of", 1)], pinned) == [1, 111]
    assert probe.call("total", block=pinned) == 1
    assert probe.total() == 2


def test_request_unknown_method_raises_rpc_error(chain: RpcChain) -> None:
    with pytest.raises(RpcError, match="no_such_method"):
        chain.request("no_such_method")


def test_anvil_settings_reach_the_chain() -> None:
    with Anvil(chain_id=10, timestamp=1_650_000_000, accounts=3) as node:
        chain = node.chain()
        assert (chain.chain_id, chain.now, len(chain.accounts)) == (10, 1_650_000_000, 3)
        url = node.url
    with pytest.raises(OSError, match="Connection refused"):
        RpcChain(url)


def test_anvil_block_time_mines_by_itself() -> None:
    with Anvil(block_time=1) as node:
        chain = node.chain()
        probe = chain.deploy("WrapperProbe", "x", 0)
        assert probe.send("count", 3).value == 3


def test_anvil_fork_continues_another_node_and_leaves_it_alone(chain: RpcChain) -> None:
    token = chain.deploy("TestToken", "Test", "TST", 6)
    holder = chain.accounts[5]
    token.send("mint", holder, 7)
    with Anvil(fork_url=chain.url) as node:
        fork = node.chain()
        assert (fork.chain_id, fork.number) == (chain.chain_id, chain.number)
        copy = fork.at("TestToken", token)
        copy.send("mint", holder, 1)
        assert copy.call("balanceOf", holder) == 8
        assert abs(fork.now - chain.now) < 60
    assert token.call("balanceOf", holder) == 7


def test_anvil_binary_missing_says_how_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_args, **_kwargs: None)
    with pytest.raises(AnvilMissing, match="make install"):
        Anvil().start()
