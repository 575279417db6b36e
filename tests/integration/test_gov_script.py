"""`gov` against a governed deployment on a node, and what `verify` says of its timelock."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_account import Account

from ballast import config
from ballast.chain.anvil import Anvil
from ballast.chain.artifacts import ROOT
from ballast.deployment.deploy import Deployer, DeployError, Journal
from ballast.deployment.verify import Verifier
from ballast.plan import PROPOSER, TIMELOCK_ADMIN
from ballast.proposals import ballot
from tests.integration.net import Net, undone

pytestmark = pytest.mark.anvil

WAD = 10**18


@pytest.fixture(scope="module")
def governed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    """Account 1 provides 600,000, account 2 400,000; nothing is locked yet."""
    folder = tmp_path_factory.mktemp("deployments")
    with Anvil() as node:
        chain = node.chain(estimate_gas=True)
        plan = config.load("local-governed").without_venues().only_market("ETH")
        manifest = Deployer(chain, plan, chain.accounts[0], Journal(folder / "journal.jsonl")).run()
        manifest.save(path := folder / "local-governed.json")
        sandbox = manifest.sandbox(chain)
        sandbox.refresh()
        for lp, amount in zip(chain.accounts[1:3], (600_000, 400_000), strict=True):
            sandbox.deposit(lp, amount, counts=False)
        yield Net(chain, manifest, path, sandbox)


@pytest.fixture
def net(governed: Net) -> Iterator[Net]:
    with undone(governed) as net:
        yield net


def test_gov_from_lock_to_execution(net: Net, tmp_path: Path) -> None:
    sandbox = net.sandbox
    net.run("gov lock all --unlocked 1 --yes")
    assert net.answer("gov lock 300_000 --unlocked 2 --yes")["shares"] == str(300_000 * WAD)
    assert "has 100,000 shares" in net.run("gov lock 300_000 --unlocked 2 --yes", ok=False).output
    sandbox.chain.warp(1)
    file = tmp_path / "proposal.yaml"
    file.write_text("description: Busy days.\nset: {inventory.aversion: 9}\ncall: [vault.unpause_deposits()]\n")
    shown = net.run(f"gov propose --file {file} --set ETH.spreads.z=3 --unlocked 1 --yes").output
    assert "ETH.spreads.z: 2 → 3" in shown
    assert "inventory.aversion: 8 → 9" in shown
    assert "vault.unpause_deposits()" in shown
    assert "governor: not active" in net.run("gov vote 0 for --unlocked 1 --yes", ok=False).output
    sandbox.chain.warp(60)
    assert net.answer("gov vote 0 for --unlocked 1 --yes")["votes"] == str(600_000 * WAD)
    net.run("gov vote 0 against --unlocked 2 --yes")
    assert "cannot be changed" in net.run("gov vote 0 for --unlocked 2 --yes", ok=False).output
    assert "not succeeded" in net.run("gov queue 0 --unlocked 3 --yes", ok=False).output
    sandbox.chain.warp(3_600)
    operation = net.answer("gov queue 0 --unlocked 3 --yes")["operation"]
    assert "still waits" in net.run("gov execute 0 --unlocked 3 --yes", ok=False).output
    before = net.answer("gov status 0")
    assert (before["state"], before["operation"], before["description"]) == ("QUEUED", operation, "Busy days.")
    assert "inventory.aversion: 8 → 9" in before["calls"]
    sandbox.chain.warp(3_600)
    net.run("gov execute 0 --unlocked 3 --yes")
    assert net.answer("gov status 0")["state"] == "EXECUTED"
    assert sandbox.inventory.call("params").weights.aversion == 9 * WAD
    assert sandbox.inventory.call("market_params", 0).z == 3 * WAD

    assert net.answer("gov unlock all --unlocked 1 --yes")["shares"] == str(600_000 * WAD)
    assert "too early" in net.run("gov withdraw --unlocked 1 --yes", ok=False).output
    sandbox.chain.warp(3 * 3_600)
    assert net.answer("gov withdraw --unlocked 1 --yes")["shares"] == str(600_000 * WAD)


def test_gov_objections_end_what_the_council_scheduled(net: Net) -> None:
    scheduled = net.answer("gov schedule --set inventory.aversion=40 --unlocked 9 --yes")["operation"]
    net.run("gov lock 60_000 --unlocked 1 --yes")
    net.run("gov lock 60_000 --unlocked 2 --yes")
    (pending,) = net.answer("gov status")["operations"]
    assert (pending["id"], pending["proposal"], pending["calls"]) == (scheduled, None, ["inventory.aversion: 8 → 40"])
    assert "not from a vote" in net.run("gov status --unlocked 1").output
    assert net.answer(f"gov object {scheduled} --unlocked 1 --yes")["cancelled"] is False
    assert "Cancelled" in net.run(f"gov object {scheduled} --unlocked 2 --yes").output
    assert net.answer("gov status")["operations"] == []
    second = net.answer("gov schedule --set inventory.aversion=7 --unlocked 9 --yes")["operation"]
    net.sandbox.chain.warp(3_600)
    net.run(f"gov execute {second} --unlocked 3 --yes")
    assert net.sandbox.inventory.call("params").weights.aversion == 7 * WAD


def test_gov_shows_a_description_that_would_draw_on_the_screen_as_plain_text(net: Net) -> None:
    """Control characters would overwrite what the calls do; markup would style it, or end the command."""
    net.run("gov lock all --unlocked 1 --yes")
    net.sandbox.chain.warp(1)
    why = "\x1b[3A\x1b[2Kinventory.aversion: 8 → 9\r\n[bold]nothing[/bold] else [/dim] \\\\[/dim]\u202e"
    calls = [(net.manifest.addresses["oracle"], net.sandbox.oracle.tx("halt", 0).data)]
    governor = net.sandbox.voting
    assert governor is not None
    governor.propose.send(calls, why, sender=net.chain.accounts[1])
    shown = net.run("gov status 0").output
    assert "oracle.halt(market=0)" in shown
    assert "[bold]nothing[/bold] else [/dim]" in shown
    assert [character for character in shown if not character.isprintable() and character != "\n"] == []
    assert net.answer("gov status 0")["description"] == why


def test_gov_shows_powers_by_name(net: Net) -> None:
    net.run("gov schedule --call 'oracle.grant_role(0x976EA74026E726554dB657fA54763abd0C3a0aa9, 1)' --unlocked 9 --yes")
    (operation,) = net.answer("gov status")["operations"]
    (words,) = operation["calls"]
    assert re.fullmatch(r"oracle\.grant_role\(holder=0x976EA74026E726554dB657fA54763abd0C3a0aa9, \w+=GOVERNOR\)", words)


def test_gov_delegate_and_veto(net: Net) -> None:
    net.run("gov lock all --unlocked 1 --yes")
    net.run(f"gov delegate {net.chain.accounts[5]} --unlocked 1 --yes")
    net.sandbox.chain.warp(1)
    net.run("gov propose --call vault.unpause_deposits() --unlocked 5 --yes")
    assert net.answer("gov status --unlocked 5")["shares"]["votes"] == str(600_000 * WAD)
    assert "not allowed" in net.run("gov veto 0 --unlocked 9 --yes", ok=False).output
    net.run("gov veto 0 --unlocked 8 --yes")
    assert net.answer("gov status 0")["state"] == "CANCELLED"
    net.run("gov delegate self --unlocked 1 --yes")
    assert net.answer("gov status --unlocked 1")["shares"]["delegate"] == net.chain.accounts[1]


def test_gov_ballot_is_handed_in_by_anybody(net: Net) -> None:
    """Signed by the node, and by a key of our own."""
    key = Account.from_key("0x" + "33" * 32)
    net.run("gov lock all --unlocked 1 --yes")
    net.sandbox.vault.transfer.send(key.address, 100_000 * WAD, sender=net.chain.accounts[2])
    net.chain.set_balance(key.address, WAD)
    net.chain.add_signer(key.address, key)
    net.sandbox.vault.approve.send(net.manifest.addresses["governor"], 2**256 - 1, sender=key.address)
    governor = net.sandbox.voting
    assert governor is not None
    governor.lock.send(100_000 * WAD, sender=key.address)
    net.sandbox.chain.warp(1)
    net.run("gov propose --set inventory.aversion=9 --unlocked 1 --yes")
    net.sandbox.chain.warp(60)
    signed = net.answer("gov ballot 0 for --unlocked 1")
    line = f"gov cast 0 {{}} {net.chain.accounts[1]} {signed['signature']} --unlocked 5 --yes"
    assert "governor: signature" in net.run(line.format("against"), ok=False).output
    assert net.answer(line.format("for"))["votes"] == str(600_000 * WAD)
    document = ballot(governor, net.chain.chain_id, 0, 0, key.address)
    governor.cast_vote_by_sig.send(0, 0, key.address, net.chain.sign_typed(key.address, document))
    found = net.answer("gov status 0")
    assert (found["votes_for"], found["votes_against"]) == (str(600_000 * WAD), str(100_000 * WAD))


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("gov status 7", "there is no proposal 7"),
        ("gov vote 7 for --unlocked 1 --yes", "there is no proposal 7"),
        ("gov execute 7 --unlocked 1 --yes", "is not at the timelock"),
        ("gov execute seven --unlocked 1 --yes", "neither a proposal's number nor an operation's id"),
        ("gov cast 0 for 0x976EA74026E726554dB657fA54763abd0C3a0aa9 0xno --unlocked 1 --yes", "is no signature"),
        ("gov propose --unlocked 1 --yes", "nothing to do"),
        pytest.param(
            f"gov propose --call vault.pause_deposits() --description {'x' * 1_001} --unlocked 1 --yes",
            "1,001 bytes",
            id="description too long",
        ),
        (f"gov propose {'--call vault.pause_deposits() ' * 9}--unlocked 1 --yes", "9 calls"),
        ("gov propose --call 'oracle.halt(1, 2)' --unlocked 1 --yes", "with 2 arguments"),
        ("gov propose --set inventory.lambda=9 --unlocked 1 --yes", "inventory has no 'lambda'"),
        ("gov propose --set inventory.aversion=9 --unlocked 1 --yes", "governor: below threshold"),
        ("gov unlock all --unlocked 1 --yes", "has locked 0 shares"),
        ("gov schedule --set inventory.aversion=9 --unlocked 1 --yes", "access_control: account is missing role"),
    ],
)
def test_gov_what_cannot_be_done_says_why(net: Net, line: str, error: str) -> None:
    assert error in net.run(line, ok=False).output


def test_deploy_by_the_council_is_refused(net: Net, tmp_path: Path) -> None:
    plan = config.load("local-governed")
    assert isinstance(plan.governor, config.Governance)
    with pytest.raises(DeployError, match="cannot be governor, council or guardian"):
        Deployer(net.chain, plan, str(plan.governor.council), Journal(tmp_path / "journal.jsonl")).run()


def test_verify_timelock_as_deployed_and_after_a_vote(net: Net) -> None:
    findings = Verifier(net.chain, net.manifest).run()
    assert [finding for finding in findings if not finding.ok] == []
    subjects = {finding.subject for finding in findings}
    assert f"timelock: deployer {net.manifest.deployer} is admin" in subjects
    assert {"timelock: everybody is executor", "timelock: all events since its creation"} <= subjects
    assert net.manifest.governor == net.sandbox.timelock.address  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("role", "name"), [(PROPOSER, "proposer"), (TIMELOCK_ADMIN, "admin")], ids=["proposer", "admin"]
)
def test_verify_a_role_of_the_timelock_that_nobody_planned_is_found(net: Net, role: bytes, name: str) -> None:
    stranger, timelock = net.chain.accounts[7], net.sandbox.timelock
    assert timelock is not None
    net.chain.request("anvil_impersonateAccount", timelock.address)
    net.chain.set_balance(timelock.address, 10**18)
    timelock.send("grantRole", role, stranger, sender=timelock.address)
    wrong = [finding.subject for finding in Verifier(net.chain, net.manifest).run() if not finding.ok]
    assert wrong == [f"timelock: stranger {stranger} is {name}"]


def test_verify_an_operation_that_the_deployer_left_behind_is_found(net: Net) -> None:
    """Its roles are gone, what it scheduled with them is not."""
    deployer, timelock = net.manifest.deployer, net.sandbox.timelock
    assert timelock is not None
    net.chain.request("anvil_impersonateAccount", timelock.address)
    net.chain.set_balance(timelock.address, 10**18)
    timelock.send("grantRole", TIMELOCK_ADMIN, deployer, sender=timelock.address)
    timelock.send("grantRole", PROPOSER, deployer, sender=deployer)
    call = net.sandbox.oracle.tx("offer_admin", deployer)
    arguments = (call.to, 0, call.data, bytes(32), bytes(32))
    timelock.send("schedule", *arguments, 3_600, sender=deployer)
    timelock.send("renounceRole", PROPOSER, deployer, sender=deployer)
    timelock.send("renounceRole", TIMELOCK_ADMIN, deployer, sender=deployer)
    (wrong,) = [finding for finding in Verifier(net.chain, net.manifest).run() if not finding.ok]
    assert wrong.subject == "timelock: waiting operations that somebody unplanned may have scheduled"
    assert wrong.actual == str([f"0x{timelock.call('hash_operation', *arguments).hex()}"])


def test_verify_an_operation_of_a_friend_who_gave_his_role_up_is_found(net: Net) -> None:
    """The deployer made him proposer and renounced before anything was scheduled; in the end nobody has a role."""
    deployer, timelock, friend = net.manifest.deployer, net.sandbox.timelock, net.chain.accounts[7]
    assert timelock is not None
    net.chain.request("anvil_impersonateAccount", timelock.address)
    net.chain.set_balance(timelock.address, 10**18)
    timelock.send("grantRole", TIMELOCK_ADMIN, deployer, sender=timelock.address)
    timelock.send("grantRole", PROPOSER, friend, sender=deployer)
    timelock.send("renounceRole", TIMELOCK_ADMIN, deployer, sender=deployer)
    call = net.sandbox.oracle.tx("offer_admin", friend)
    arguments = (call.to, 0, call.data, bytes(32), bytes(32))
    timelock.send("schedule", *arguments, 3_600, sender=friend)
    timelock.send("renounceRole", PROPOSER, friend, sender=friend)
    (wrong,) = [finding for finding in Verifier(net.chain, net.manifest).run() if not finding.ok]
    assert wrong.actual == str([f"0x{timelock.call('hash_operation', *arguments).hex()}"])


def test_gov_commands_of_the_page_work(net: Net) -> None:
    page = (ROOT / "docs" / "governance.md").read_text()
    section = page.partition("\n## By command\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^python -m (scripts|ballast)\.(.*)$", section, re.MULTILINE)
    assert len(lines) > 10
    for kind, line in lines:
        if kind == "scripts":
            net.run(line)
        else:
            net.sandbox.warp(config.seconds(line.removeprefix("devnet warp ")))
    assert net.sandbox.inventory.call("params").weights.aversion == 9 * WAD
    assert net.sandbox.vault.call("balanceOf", net.chain.accounts[1]) == 600_000 * WAD
