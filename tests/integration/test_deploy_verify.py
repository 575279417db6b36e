"""The verifier finds every difference between chain, manifest, config and source; each is made here and found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from ballast.chain.anvil import Anvil
from ballast.chain.rpc import RpcChain, RpcError
from ballast.config import NETWORKS, Config
from ballast.deployment import manifest
from ballast.deployment.deploy import Deployer, Journal
from ballast.deployment.manifest import Manifest
from ballast.deployment.verify import SECTIONS, Finding, Verifier
from ballast.model.roles import Role
from ballast.plan import GOVERNED
from ballast.system import System

pytestmark = pytest.mark.anvil


@dataclass(frozen=True, slots=True)
class World:
    """A deployment and a node to spoil it on."""

    chain: RpcChain
    manifest: Manifest
    system: System

    def verify(self, manifest: Manifest | None = None, config_path: Path | None = None) -> list[Finding]:
        return Verifier(self.chain, manifest or self.manifest, config_path).run()


def failures(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if not finding.ok]


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory, local_config: Config) -> Iterator[World]:
    with Anvil() as node:
        chain = node.chain()
        journal = Journal(tmp_path_factory.mktemp("verify") / "journal.jsonl")
        manifest = Deployer(chain, local_config, chain.accounts[0], journal).run()
        yield World(chain, manifest, manifest.system(chain))


@pytest.fixture
def world(deployment: World) -> Iterator[World]:
    """The deployment as it was, whatever a test does to it."""
    snapshot = deployment.chain.request("evm_snapshot")
    yield deployment
    deployment.chain.request("evm_revert", snapshot)


def test_run_untouched_deployment_is_as_it_should_be(world: World) -> None:
    findings = world.verify(config_path=NETWORKS / "local.yaml")
    assert failures(findings) == []
    assert {finding.section for finding in findings} == set(SECTIONS)


def test_run_use_of_the_system_is_not_a_difference(world: World) -> None:
    sandbox = world.manifest.sandbox(world.chain)
    lp, trader = world.chain.accounts[1:3]
    sandbox.deposit(lp, 1_000_000)
    sandbox.add_margin(trader, 100_000)
    sandbox.trade(trader, "ETH", 10)
    sandbox.warp(86_400)
    sandbox.move("ETH", 2_100)
    assert failures(world.verify()) == []


# ---- the chain

Spoil = Callable[[World], Any]


def set_code(world: World, key: str, change: Callable[[bytearray], None]) -> None:
    address = world.manifest.addresses[key]
    code = bytearray(world.chain.code(address))
    change(code)
    world.chain.request("anvil_setCode", address, "0x" + code.hex())


def flip(position: int) -> Callable[[bytearray], None]:
    def change(code: bytearray) -> None:
        code[position] ^= 1

    return change


def as_governor(key: str, fn: str, *args: Any) -> Spoil:
    def spoil(world: World) -> None:
        getattr(world.system, key).send(fn, *args, sender=world.manifest.governor)

    return spoil


def as_guardian(key: str, fn: str, *args: Any) -> Spoil:
    def spoil(world: World) -> None:
        getattr(world.system, key).send(fn, *args, sender=world.manifest.guardian)

    return spoil


def replace_margin(world: World) -> None:
    addresses = world.manifest.addresses
    neighbours = (addresses[name] for name in ("clearinghouse", "perp_engine", "oracle"))
    options = (world.system.margin.call(name) for name in ("option_engine", "option_book", "surface"))
    margin = world.chain.deploy("Margin", *neighbours, *options)
    as_governor("clearinghouse", "set_margin", margin.address)(world)


def replace_feed(world: World) -> None:
    feed = world.chain.deploy("ChainlinkFeed", world.manifest.addresses["aggregator/ETH"], "0x" + "00" * 20, 0)
    sandbox = world.manifest.sandbox(world.chain)
    sandbox.warp(60)
    as_governor("oracle", "set_feed", 0, feed.address)(world)


def name_a_second_feed(world: World) -> None:
    feed = world.chain.deploy("ChainlinkFeed", world.manifest.addresses["aggregator/ETH"], "0x" + "00" * 20, 0)
    world.manifest.sandbox(world.chain).move("ETH", 2_000)
    as_governor("oracle", "set_second", 0, (feed.address, 50, 30))(world)


def list_third_market(world: World) -> None:
    params = world.manifest.parsed_config().markets[0].oracle.params()
    as_governor("oracle", "list_market", world.manifest.addresses["feed/ETH"], params)(world)


def freeze(world: World) -> None:
    as_governor("clearinghouse", "grant_role", world.manifest.governor, int(Role.SETTLER))(world)
    as_governor("clearinghouse", "freeze")(world)


def change_params(world: World) -> None:
    params = replace(world.manifest.parsed_config().inventory.params(), knee=2 * 10**17)
    as_governor("inventory", "set_params", params.pack())(world)


STRANGER = "0x" + "57" * 20
LP_CASH = 2**95 - 1

SPOILS: dict[str, tuple[Spoil, str, str]] = {
    "first instruction": (lambda world: set_code(world, "inventory", flip(0)), "code", "inventory: instructions"),
    "last instruction": (
        lambda world: set_code(world, "vault", flip(len(world.system.vault.artifact.runtime) - 1)),
        "code", "vault: instructions",
    ),
    "immutable": (lambda world: set_code(world, "clearinghouse", flip(-33)), "code", "clearinghouse: immutable ORACLE"),
    "own address": (lambda world: set_code(world, "vault", flip(-32 * 21 + 31)), "code", "vault: immutable erc20"),
    "longer code": (lambda world: set_code(world, "margin", lambda code: code.extend(b"\0")), "code", "margin: size"),
    "no code": (lambda world: set_code(world, "margin", lambda code: code.clear()), "code", "margin: size"),
    "stranger with a role": (
        as_governor("clearinghouse", "grant_role", STRANGER, int(Role.HEDGER)), "roles", f"stranger {STRANGER}",
    ),
    "second governor": (
        as_governor("vault", "grant_role", STRANGER, int(Role.GOVERNOR)), "roles", f"vault: stranger {STRANGER}",
    ),
    "guardian with more than its part": (
        as_governor("oracle", "grant_role", "0x23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f", int(Role.GOVERNOR)),
        "roles", "oracle: guardian",
    ),
    "second feed": (name_a_second_feed, "wiring", "oracle.second(0)"),
    "deployer with a role": (
        as_governor("inventory", "grant_role", "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266", int(Role.ENGINE)),
        "roles", "inventory: deployer",
    ),
    "engine without its role": (
        lambda world: as_governor(
            "clearinghouse", "revoke_role", world.manifest.addresses["perp_engine"], int(Role.ENGINE)
        )(world),
        "roles", "clearinghouse: perp_engine",
    ),
    "liquidator without its role": (
        lambda world: as_governor(
            "option_engine", "revoke_role", world.manifest.addresses["liquidator"], int(Role.CLOSER)
        )(world),
        "roles", "option_engine: liquidator",
    ),
    "close queue of another fee": (
        lambda world: set_code(world, "close_queue", flip(-1)), "code", "close_queue: immutable FEE",
    ),
    "office on offer": (as_governor("vault", "offer_admin", STRANGER), "wiring", "vault.pending_admin()"),
    "other margin contract": (replace_margin, "wiring", "clearinghouse.margin()"),
    "other feed": (replace_feed, "parameter", "oracle.config(0)"),
    "third market": (list_third_market, "switch", "oracle.market_count()"),
    "inventory parameter": (change_params, "parameter", "inventory.params()"),
    "fee split": (
        as_governor("clearinghouse", "set_shares", 9_000, 5_000, 1_000), "parameter", "clearinghouse.shares()",
    ),
    "lever that nobody planned": (
        as_governor("steward", "set_levers", 0, ((1, (1, 5, 1, 600, 0)),)), "parameter", "steward.levers(0)",
    ),
    "other key of the steward": (as_governor("steward", "set_key", STRANGER), "parameter", "steward.key()"),
    "frozen steward": (as_guardian("steward", "freeze"), "switch", "steward.is_frozen()"),
    "vault cap": (as_guardian("vault", "lower_deposit_cap", 1), "parameter", "vault.params()"),
    "perps caps": (as_guardian("perp_engine", "lower_caps", 1, 10**18, 10**18), "parameter", "perp_engine.config(1)"),
    "paused market": (as_guardian("perp_engine", "pause", 0), "parameter", "perp_engine.config(0)"),
    "halted oracle": (as_governor("oracle", "halt", 1), "parameter", "oracle.config(1)"),
    "paused venue": (as_guardian("hedge_manager", "pause_venue", 0), "parameter", "hedge_manager.venue(0)"),
    "frozen": (freeze, "switch", "clearinghouse.frozen()"),
    "paused deposits": (as_guardian("vault", "pause_deposits"), "switch", "vault.deposits_paused()"),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILS)
def test_run_difference_on_the_chain_is_found(world: World, name: str) -> None:
    spoil, section, subject = SPOILS[name]
    spoil(world)
    found = failures(world.verify())
    assert [finding for finding in found if finding.section == section and subject in finding.subject], found


def test_run_difference_in_a_struct_names_the_field(world: World) -> None:
    change_params(world)
    (found,) = failures(world.verify())
    assert found.expected == "weights.knee = 100000000000000000"
    assert found.actual == "weights.knee = 200000000000000000"


def test_run_parameter_where_the_steward_may_have_moved_it_is_no_difference(world: World) -> None:
    params = world.manifest.parsed_config().inventory.params()
    as_governor("inventory", "set_params", replace(params, aversion=9 * 10**18).pack())(world)
    assert failures(world.verify()) == []
    as_governor("inventory", "set_params", replace(params, aversion=41 * 10**18).pack())(world)
    assert [finding.subject for finding in failures(world.verify())] == ["inventory.params()"]


def test_run_role_given_and_taken_again_is_no_difference(world: World) -> None:
    as_governor("vault", "grant_role", STRANGER, int(Role.GUARDIAN))(world)
    as_governor("vault", "revoke_role", STRANGER, int(Role.GUARDIAN))(world)
    assert failures(world.verify()) == []


def test_run_admin_passed_on_is_found(world: World) -> None:
    successor = world.chain.accounts[7]
    for key in GOVERNED:
        as_governor(key, "offer_admin", successor)(world)
        getattr(world.system, key).send("accept_admin", sender=successor)
    subjects = {finding.subject for finding in failures(world.verify())}
    for key in GOVERNED:
        assert f"{key}.admin()" in subjects
        assert f"{key}: governor {world.manifest.governor}" in subjects
        assert f"{key}: stranger {successor}" in subjects


def test_run_node_that_answers_short_ranges_of_logs_only_is_enough(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_governor("vault", "grant_role", STRANGER, int(Role.GUARDIAN))(world)
    logs, asked = world.chain.logs, []

    def stingy(addresses: Any, first: int, last: int) -> Any:
        if last - first >= 5:
            raise RpcError("eth_getLogs", -32_005, "range too large")
        asked.append((first, last))
        return logs(addresses, first, last)

    monkeypatch.setattr(world.chain, "logs", stingy)
    monkeypatch.setattr(manifest, "LOG_SPAN", 1_000)
    (found,) = failures(world.verify())
    assert found.subject == f"vault: stranger {STRANGER}"
    assert asked[0][0] == world.manifest.first_block
    assert asked[-1][1] == world.chain.number


def test_run_node_without_logs_is_a_failure(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(addresses: Any, first: int, last: int) -> Any:
        raise RpcError("eth_getLogs", -32_005, "not here")

    monkeypatch.setattr(world.chain, "logs", refuse)
    (found,) = failures(world.verify())
    assert found.subject == "events since the first block"


# ---- the manifest


def with_contract(manifest: Manifest, key: str, **change: Any) -> Manifest:
    created = replace(manifest.contracts[key], **change)
    return replace(manifest, contracts=manifest.contracts | {key: created})


def test_run_manifest_with_another_address_is_found(world: World) -> None:
    wrong = with_contract(world.manifest, "margin", address=world.manifest.addresses["inventory"])
    subjects = {finding.subject for finding in failures(world.verify(wrong))}
    assert {"margin: instructions", "clearinghouse.margin()"} <= subjects


def test_run_manifest_with_other_arguments_is_found(world: World) -> None:
    args = [*world.manifest.contracts["vault"].args[:-1], "XXX"]
    wrong = with_contract(world.manifest, "vault", args=args)
    assert [finding.subject for finding in failures(world.verify(wrong))] == ["vault: in the manifest"]


def test_run_manifest_with_another_code_hash_is_found(world: World) -> None:
    wrong = with_contract(world.manifest, "lens", code_hash="0x00")
    assert [finding.section for finding in failures(world.verify(wrong))] == ["code"]


def test_run_manifest_with_another_creating_transaction_is_found(world: World) -> None:
    wrong = with_contract(world.manifest, "oracle", tx=world.manifest.contracts["margin"].tx)
    found = failures(world.verify(wrong))
    assert {finding.section for finding in found} == {"arguments"}
    assert "oracle: creating transaction: address" in {finding.subject for finding in found}


def test_run_manifest_whose_transaction_does_not_exist_is_found(world: World) -> None:
    wrong = with_contract(world.manifest, "oracle", tx="0x" + "ab" * 32)
    (found,) = failures(world.verify(wrong))
    assert found.actual == "unknown to this node"


def test_run_manifest_that_lost_a_transaction_is_accepted(world: World) -> None:
    """A crash may lose it; code, immutables and every view are checked all the same."""
    assert failures(world.verify(with_contract(world.manifest, "oracle", tx=None, block=None, gas=None))) == []


def test_run_manifest_with_other_storage_arguments_is_found(world: World) -> None:
    """Name and admin live in storage or strings: the creating transaction tells."""
    config = world.manifest.config | {"vault": world.manifest.config["vault"] | {"name": "Another LP"}}
    subjects = {finding.subject for finding in failures(world.verify(replace(world.manifest, config=config)))}
    assert "vault: creating transaction: arguments" in subjects
    assert "vault: immutable erc20.name" in subjects


def test_run_manifest_with_another_governor_is_found(world: World) -> None:
    wrong = replace(world.manifest, governor=STRANGER)
    assert [finding.subject for finding in failures(world.verify(wrong))] == ["governor"]


def test_run_manifest_with_other_roles_is_found(world: World) -> None:
    roles = world.manifest.roles | {"vault": world.manifest.roles["vault"] | {STRANGER: ["GUARDIAN"]}}
    assert [finding.subject for finding in failures(world.verify(replace(world.manifest, roles=roles)))] == ["roles"]


def test_run_manifest_with_other_expectations_is_found(world: World) -> None:
    reads = [entry | {"is": 7} if entry["read"] == "fee" else entry for entry in world.manifest.reads]
    (found,) = failures(world.verify(replace(world.manifest, reads=reads)))
    assert found.subject == "expected reads"
    assert str(10**18) in found.expected
    assert "7" in found.actual


def test_run_manifest_that_begins_too_late_is_found(world: World) -> None:
    """Events before its first block would go unread, and with them whoever they gave a role."""
    late = replace(world.manifest, first_block=world.manifest.last_block + 1)
    found = failures(world.verify(late))
    assert len(found) == len(GOVERNED)
    assert all("all events since its creation" in finding.subject for finding in found)


def test_run_manifest_of_another_chain_is_found(world: World) -> None:
    (found,) = world.verify(replace(world.manifest, chain_id=1))
    assert (found.ok, found.subject) == (False, "chain id")


def test_run_manifest_without_a_contract_is_found(world: World) -> None:
    contracts = {key: created for key, created in world.manifest.contracts.items() if key != "margin"}
    (found,) = world.verify(replace(world.manifest, contracts=contracts))
    assert found.actual == "none for margin"


def test_run_manifest_whose_config_is_none_is_found(world: World) -> None:
    (found,) = world.verify(replace(world.manifest, config={"network": "local"}))
    assert (found.ok, found.subject) == (False, "config")


# ---- the network's file


def test_run_config_file_that_says_otherwise_is_found(world: World, tmp_path: Path) -> None:
    path = tmp_path / "local.yaml"
    path.write_text((NETWORKS / "local.yaml").read_text().replace("u_redeem: 0.6", "u_redeem: 0.5"))
    (found,) = failures(world.verify(config_path=path))
    assert found.subject == "local.yaml: vault"
