"""Deployment on Anvil: complete, idempotent, and resumable after a crash at any moment."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_utils.crypto import keccak

from ballast.chain.anvil import Anvil
from ballast.chain.rpc import RpcChain
from ballast.config import NETWORKS, Config, ConfigError, load
from ballast.deployment import manifest
from ballast.deployment.deploy import (
    Deployer,
    DeployError,
    Journal,
    Progress,
    create_address,
    estimate,
    estimate_without_fork,
)
from ballast.deployment.manifest import Manifest, ManifestError
from ballast.deployment.surroundings import build
from ballast.deployment.verify import Verifier
from ballast.plan import Plan

pytestmark = pytest.mark.anvil


class Killed(BaseException):
    """Nothing may catch this: it stands for a power cut."""


class MortalJournal(Journal):
    """Dies around its n-th entry of this life: just before it is written, or just after."""

    def __init__(self, path: Path, lives_for: int, *, after: bool) -> None:
        super().__init__(path)
        self._left = lives_for
        self._after = after

    def write(self, **entry: Any) -> None:
        self._left -= 1
        if self._left < 0 and not self._after:
            raise Killed
        super().write(**entry)
        if self._left <= 0 and self._after:
            raise Killed


@pytest.fixture
def node() -> Iterator[Anvil]:
    with Anvil() as anvil:
        yield anvil


@pytest.fixture
def chain(node: Anvil) -> RpcChain:
    return node.chain(estimate_gas=True)


@pytest.fixture
def config(local_config: Config) -> Config:
    """A part of the local network, for speed: one market of perpetuals, without a venue and a steward."""
    bare = local_config.without_venues()
    market = bare.markets[0].model_dump() | {"options": None}
    return bare.changed(markets=[market], surface=None, steward=None)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "local.journal.jsonl"


@pytest.fixture
def run(chain: RpcChain, config: Config, journal: Path) -> Callable[..., Manifest]:
    """Deploy, or go on, as the first account."""

    def go(**options: Any) -> Manifest:
        return Deployer(chain, config, chain.accounts[0], Journal(journal), **options).run()

    return go


def check_complete(chain: RpcChain, config: Config, found: Manifest) -> None:
    """One contract of each kind, in working order."""
    assert list(found.contracts) == list(Plan(found.parsed_config(), found.deployer).contracts)
    for created in found.contracts.values():
        assert "0x" + keccak(chain.code(created.address)).hex() == created.code_hash
    sandbox = found.sandbox(chain)
    lp, trader = chain.accounts[1:3]
    sandbox.deposit(lp, 1_000_000)
    sandbox.add_margin(trader, 100_000)
    assert sandbox.trade(trader, "ETH", 10).size == 10 * 10**18


def test_run_whole_local_network_works_and_is_described(
    chain: RpcChain, local_config: Config, journal: Path, tmp_path: Path
) -> None:
    seen: list[Progress] = []
    deployer = Deployer(chain, local_config, chain.accounts[0], Journal(journal), watch=seen.append)
    found = deployer.run()
    check_complete(chain, local_config, found)
    assert {progress.number for progress in seen} == set(range(1, seen[-1].total + 1))
    assert found.deployer == chain.accounts[0]
    assert found.governor == local_config.governor
    assert all(created.tx and created.gas for created in found.contracts.values())
    assert found.last_block <= chain.number
    path = tmp_path / "local.json"
    found.save(path)
    assert manifest.load(path) == found


def test_run_again_does_nothing(chain: RpcChain, run: Callable[..., Manifest], journal: Path) -> None:
    first = run()
    entries, blocks = journal.read_text(), chain.number
    assert run() == first
    assert (journal.read_text(), chain.number) == (entries, blocks)


@pytest.mark.parametrize("after", [False, True], ids=["before_writing", "after_writing"])
def test_run_killed_at_every_entry_resumes(
    chain: RpcChain, config: Config, journal: Path, run: Callable[..., Manifest], *, after: bool
) -> None:
    """Each life writes one entry more and dies at once, so every moment between two entries is somebody's last."""
    deaths = 0
    while True:
        try:
            dying = MortalJournal(journal, 1, after=after)
            Deployer(chain, config, chain.accounts[0], dying).run()
        except Killed:
            deaths += 1
            continue
        break
    found = run()
    check_complete(chain, config, found)
    assert deaths > 2 * len(found.contracts)
    # nothing happened twice: every contract of the plan was created once, every transaction is accounted for
    done = [entry for entry in Journal(journal).entries if entry["kind"] == "done"]
    intents = [entry for entry in Journal(journal).entries if entry["kind"] == "intent"]
    assert [entry["step"] for entry in done] == [step.title for step in found.plan().steps]
    started = {entry["step"] for entry in intents}
    assert all(entry["hash"] for entry in done if entry["step"] in started)
    nonces = [entry["nonce"] for entry in intents]
    assert nonces == list(range(nonces[0], nonces[0] + len(started)))


def test_run_intent_never_sent_is_sent_with_its_nonce(
    chain: RpcChain, config: Config, journal: Path, run: Callable[..., Manifest]
) -> None:
    with pytest.raises(Killed):
        Deployer(chain, config, chain.accounts[0], MortalJournal(journal, 3, after=True)).run()
    intent = Journal(journal).last("intent")
    assert intent is not None
    assert intent["step"] == "deploy oracle"
    assert run().contracts["oracle"].address == create_address(chain.accounts[0], intent["nonce"])


def test_run_nonce_taken_by_something_else_takes_the_next(
    chain: RpcChain, config: Config, journal: Path, run: Callable[..., Manifest]
) -> None:
    with pytest.raises(Killed):
        Deployer(chain, config, chain.accounts[0], MortalJournal(journal, 3, after=True)).run()
    chain.deploy("NullVenue")  # the operator used the account for something else meanwhile
    intent = Journal(journal).last("intent")
    assert intent is not None
    found = run()
    assert found.contracts["oracle"].address == create_address(chain.accounts[0], intent["nonce"] + 1)
    check_complete(chain, config, found)


def test_run_transaction_still_pending_is_waited_for(
    chain: RpcChain, config: Config, journal: Path, run: Callable[..., Manifest]
) -> None:
    """Killed after sending, while no block is made: the next run must not send a second one."""
    with pytest.raises(Killed):
        Deployer(chain, config, chain.accounts[0], MortalJournal(journal, 3, after=True)).run()
    chain.request("evm_setAutomine", False)
    with pytest.raises(Killed):  # sent, and dead before the hash was written
        Deployer(chain, config, chain.accounts[0], MortalJournal(journal, 0, after=False)).run()
    chain.request("evm_setIntervalMining", 1)
    with pytest.raises(Killed):  # finds it pending, waits, finds it included
        Deployer(chain, config, chain.accounts[0], MortalJournal(journal, 1, after=True)).run()
    chain.request("evm_setIntervalMining", 0)
    chain.request("evm_setAutomine", True)
    newest = Journal(journal).last("intent", "done")
    assert newest is not None
    assert (newest["kind"], newest["step"]) == ("done", "deploy oracle")
    check_complete(chain, config, run())


def test_run_node_that_lags_behind_itself_does_not_get_it_twice(
    chain: RpcChain, config: Config, journal: Path, run: Callable[..., Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind one URL there may be several nodes: one knows the nonce as used, another not the contract it created."""
    with pytest.raises(Killed):
        Deployer(chain, config, chain.accounts[0], MortalJournal(journal, 4, after=True)).run()
    intent = Journal(journal).last("intent")
    assert intent is not None
    address, code, looks = create_address(chain.accounts[0], intent["nonce"]), chain.code, 0

    def lagging(of: Any) -> bytes:
        nonlocal looks
        looks += of == address
        return b"" if of == address and looks <= 2 else code(of)

    monkeypatch.setattr(chain, "code", lagging)
    found = run()
    assert looks > 2
    assert found.contracts["oracle"].address == address
    assert found.contracts["clearinghouse"].address == create_address(chain.accounts[0], intent["nonce"] + 1)


def test_run_transaction_that_the_node_forgets_is_sent_again(
    chain: RpcChain, run: Callable[..., Manifest], journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, forgotten = chain.send, []

    def forgetful(prepared: Any) -> str:
        if not forgotten and Journal(journal).last("intent"):
            forgotten.append(prepared)
            return "0x" + "11" * 32
        return send(prepared)

    monkeypatch.setattr(chain, "send", forgetful)
    found = run(resend=0.1)
    hashes = [entry["hash"] for entry in Journal(journal).entries if entry["kind"] == "sent"][:2]
    assert hashes == ["0x" + "11" * 32, found.contracts["oracle"].tx]


def test_run_transaction_nobody_includes_says_how_to_go_on(chain: RpcChain, run: Callable[..., Manifest]) -> None:
    def stop_the_chain(progress: Progress) -> None:
        if (progress.number, progress.stage) == (3, "sending"):
            chain.request("evm_setAutomine", False)

    with pytest.raises(DeployError, match=r"deploy auction: 0x\w+ found no place .* Run the same command again"):
        run(watch=stop_the_chain, timeout=0.5)
    chain.request("evm_setAutomine", True)
    chain.request("evm_mine")
    assert run().contracts["inventory"].tx is not None


def test_run_signing_with_a_key_needs_nothing_unlocked(
    chain: RpcChain, config: Config, journal: Path, tmp_path: Path
) -> None:
    deployer = chain.add_key(keccak(text="ballast test deployer"))
    chain.set_balance(deployer, 10**19)
    found = Deployer(chain, config, deployer, Journal(journal), fees=(5 * 10**9, 10**9)).run()
    assert found.deployer == deployer
    check_complete(chain, config, found)


def test_run_waits_until_the_last_transaction_is_deep_enough(chain: RpcChain, config: Config, journal: Path) -> None:
    def let_time_pass(progress: Progress) -> None:
        if (progress.number, progress.stage) == (progress.total, "done"):
            chain.request("evm_setIntervalMining", 1)

    patient = config.changed(confirmations=2)
    found = Deployer(chain, patient, chain.accounts[0], Journal(journal), watch=let_time_pass).run()
    assert chain.number >= found.last_block + 2


def test_run_public_network_works_once_filled_in(local_config: Config, tmp_path: Path) -> None:
    """Tokens, feeds and Uniswap are there already; the deployer signs; nothing is unlocked, nothing is `test`."""
    with Anvil(chain_id=11_155_111) as node:
        chain = node.chain(estimate_gas=True)
        public, around = load("sepolia", rehearsed=True), build(chain, local_config, chain.accounts[0]).config
        local = {str(public.quote.address): around.quote.address}
        assert public.uniswap is not None
        assert around.uniswap is not None
        local[str(public.uniswap.router)] = around.uniswap.router
        for market, other in zip(public.markets, around.markets, strict=True):
            local[str(market.feed.aggregator)] = other.feed.aggregator
            if market.base is not None and other.base is not None:
                local[str(market.base.address)] = other.base.address
        text = (NETWORKS / "sepolia.yaml").read_text().replace("confirmations: 5", "confirmations: 0")
        for old, new in local.items():
            assert old in text
            text = text.replace(old, str(new))
        text = re.sub(r"aave: .*\n +pool: .*\n", "", text)
        guardian, *signers = chain.accounts[5:9]
        own = iter([chain.accounts[4], guardian, *signers])
        path = tmp_path / "sepolia.yaml"
        path.write_text(re.sub(r'(?m)^([^#\n]*)"<[^>]*>"', lambda found: f'{found[1]}"{next(own)}"', text))
        deployer = chain.add_key(keccak(text="ballast test deployer"))
        chain.set_balance(deployer, 10**18)
        found = Deployer(chain, load(path), deployer, Journal(tmp_path / "journal.jsonl")).run()
        assert (found.network, found.deployer, found.guardian) == ("sepolia", deployer, guardian)
        assert found.governor == found.addresses["timelock"]
        assert [finding for finding in Verifier(chain, found, path).run() if not finding.ok] == []
        with pytest.raises(ManifestError, match="of the real world"):
            found.sandbox(chain)


@pytest.mark.parametrize("network", ["sepolia", "arbitrum-sepolia", "base-sepolia"])
def test_load_public_network_lacks_only_addresses_of_ones_own(network: str) -> None:
    with pytest.raises(ConfigError, match="is a placeholder: fill it in") as refused:
        load(network)
    assert {line.split(".")[0].strip().split(":")[0] for line in str(refused.value).splitlines()[1:]} == {
        "governor", "guardian", "surface",
    }  # fmt: skip
    assert load(network, rehearsed=True).missing() == []


# ---- refusals


def test_run_venue_without_a_pool_is_refused_at_once(chain: RpcChain, local_config: Config, journal: Path) -> None:
    around = build(chain, local_config, chain.accounts[0]).config
    markets = around.model_dump()["markets"]
    markets[1]["venues"][0]["fees"] = [500, 10_000]
    with pytest.raises(DeployError, match="no pool of BTC and quote at fee 10000"):
        Deployer(chain, around.changed(markets=markets), chain.accounts[0], Journal(journal)).run()
    assert not journal.exists()


def test_run_wrong_chain_is_refused(chain: RpcChain, config: Config, journal: Path) -> None:
    with pytest.raises(DeployError, match="local is chain 1 and this node is on 31337"):
        Deployer(chain, config.changed(chain_id=1), chain.accounts[0], Journal(journal)).run()


def test_run_deployer_that_is_governor_is_refused(chain: RpcChain, config: Config, journal: Path) -> None:
    with pytest.raises(DeployError, match="keeps nothing, so it cannot be governor"):
        Deployer(chain, config, config.governor, Journal(journal)).run()


def test_run_deployer_without_eth_is_refused(chain: RpcChain, config: Config, journal: Path) -> None:
    with pytest.raises(DeployError, match="has no ETH on chain 31337: fund it"):
        Deployer(chain, config, "0x" + "11" * 20, Journal(journal)).run()


def test_run_quote_without_code_is_refused(chain: RpcChain, config: Config, journal: Path) -> None:
    elsewhere = config.changed(quote={"address": "0x" + "11" * 20})
    with pytest.raises(DeployError, match=r"quote 0x1111.* is not a contract"):
        Deployer(chain, elsewhere, chain.accounts[0], Journal(journal)).run()


def begin(chain: RpcChain, config: Config, journal: Path) -> None:
    """Write down who deploys what, and what is around it; nothing more."""
    with pytest.raises(Killed):
        Deployer(chain, config, chain.accounts[0], MortalJournal(journal, 2, after=True)).run()
    assert [entry["kind"] for entry in Journal(journal).entries] == ["start", "surroundings"]


def test_run_changed_config_is_refused(chain: RpcChain, config: Config, journal: Path) -> None:
    begin(chain, config, journal)
    vault = config.vault.model_dump() | {"deposit_cap": 1}
    with pytest.raises(DeployError, match=r"networks/local\.yaml has changed"):
        Deployer(chain, config.changed(vault=vault), chain.accounts[0], Journal(journal)).run()


def test_run_another_account_is_refused(chain: RpcChain, config: Config, journal: Path) -> None:
    begin(chain, config, journal)
    with pytest.raises(DeployError, match=f"was begun by {chain.accounts[0]}"):
        Deployer(chain, config, chain.accounts[1], Journal(journal)).run()


def test_run_restarted_node_is_noticed(chain: RpcChain, config: Config, journal: Path) -> None:
    begin(chain, config, journal)
    with Anvil() as another:
        other = another.chain(estimate_gas=True)
        with pytest.raises(DeployError, match="it was restarted: run again with --fresh"):
            Deployer(other, config, other.accounts[0], Journal(journal)).run()


def test_run_something_wrong_before_renouncing_keeps_the_deployer_in_power(
    chain: RpcChain, config: Config, journal: Path
) -> None:
    """The governor meddles half-way: the deployer stops before it has nothing left to put it right with."""

    def meddle(progress: Progress) -> None:
        if progress.title == "perp_engine: list ETH" and progress.stage == "done":
            step = Journal(journal).last("done", step="deploy inventory")
            assert step is not None
            word = config.inventory.params().pack() - 1  # borrow_max, one step lower
            chain.at("Inventory", step["address"]).send("set_params", word, sender=config.governor)

    deployer = Deployer(chain, config, chain.accounts[0], Journal(journal), watch=meddle)
    with pytest.raises(DeployError, match=r"inventory\.params\(\) is"):
        deployer.run()
    assert all(not entry["step"].endswith("renounces") for entry in Journal(journal).entries if "step" in entry)


# ---- the estimate


def test_estimate_costs_what_the_deployment_then_costs(
    chain: RpcChain, config: Config, journal: Path, run: Callable[..., Manifest]
) -> None:
    before = chain.number
    forecast = estimate(chain, config, chain.accounts[0], journal)
    assert chain.number == before
    assert not journal.exists()
    found = run()
    spent = sum(part.gas or 0 for part in [*found.contracts.values(), *found.transactions])
    assert spent == pytest.approx(forecast.gas, rel=0.001)
    assert forecast.max_fee >= forecast.fee > 0
    assert forecast.balance == 10_000 * 10**18
    alone = estimate_without_fork(chain, config, chain.accounts[0])
    assert (alone.forked, forecast.forked) == (False, True)
    assert alone.gas == pytest.approx(spent, rel=0.02)


def test_estimate_half_done_counts_only_the_rest(
    chain: RpcChain, config: Config, journal: Path, run: Callable[..., Manifest]
) -> None:
    with pytest.raises(Killed):
        Deployer(chain, config, chain.accounts[0], MortalJournal(journal, 12, after=True)).run()
    text = journal.read_text()
    forecast = estimate(chain, config, chain.accounts[0], journal)
    assert journal.read_text() == text
    assert forecast.skipped >= 3
    assert "deploy oracle" not in [cost.title for cost in forecast.costs]
    check_complete(chain, config, run())


def test_plan_titles_are_unique(local_config: Config, chain: RpcChain) -> None:
    """The journal knows steps by their titles."""
    around = build(chain, local_config, chain.accounts[0])
    titles = [step.title for step in Plan(around.config, chain.accounts[0]).steps]
    assert len(titles) == len(set(titles))
