"""A deployed system whose admin is the timelock: LPs change it by votes, from the words of a proposal to its effect."""

from __future__ import annotations

from pathlib import Path

import pytest

from ballast.chain import reverts
from ballast.model.exact.governor import State
from ballast.model.roles import Role
from ballast.parameters import GOVERNANCE, SURFACES
from ballast.plan import GOVERNED, PROPOSER, TIMELOCK_ADMIN, Deployed, Plan, flat, places
from ballast.proposals import Operation, ProposalError, read
from ballast.testing.governance import DELAY, LOCK, VOTING_DELAY, VOTING_PERIOD, WAD, Assembly

ZERO = "0x" + "00" * 20


def test_deploy_governed_every_planned_view_and_role_is_as_planned(assembly: Assembly) -> None:
    s = assembly.system
    plan, deployed = Plan(s.config, s.setup), Deployed(s.chain, dict(s.addresses))
    for each in plan.reads():
        assert each.holds(deployed, plan), each
    for role, holders in plan.timelock_roles(deployed).items():
        for holder in [s.setup, *deployed.addresses.values(), *s.chain.accounts, ZERO]:
            assert assembly.timelock.hasRole(role, holder) == (holder in holders)
    for key in GOVERNED:
        contract = getattr(s, key)
        assert contract.admin() == s.governor == assembly.timelock.address
        assert (contract.roles_of(s.setup), contract.roles_of(s.governor)) == (0, Role.GOVERNOR)
    with reverts("access_control: account is missing role"):
        assembly.timelock.grantRole.send(PROPOSER, s.setup, sender=s.setup)
    assert not assembly.timelock.hasRole(TIMELOCK_ADMIN, s.setup)


def test_vote_changes_one_parameter_of_inventory_and_no_other(assembly: Assembly) -> None:
    s = assembly.system
    before = s.inventory.params()
    calls = assembly.drafts.calls(["inventory.aversion=9", "ETH.spreads.base=0.0002"], [])
    assert [line for call in calls for line in assembly.drafts.explain(call)] == [
        "inventory.aversion: 8 → 9",
        "ETH.spreads.base: 0.0001 of notional → 0.0002 of notional",
    ]
    assembly.decide(calls)
    after = s.inventory.params()
    assert after.weights._replace(aversion=8 * WAD) == before.weights
    assert after.weights.aversion == 9 * WAD
    assert after[1:] == before[1:]
    assert s.inventory.market_params(0).base == 2 * 10**14
    assert assembly.drafts.explain(calls[0]) == ["inventory: nothing changes"]


def test_vote_grants_a_mandate_and_revokes_it(assembly: Assembly) -> None:
    s, agent = assembly.system, assembly.system.chain.accounts[5]
    expiry = s.chain.now + 30 * 86_400
    grant = assembly.drafts.calls([], [f"mandates.grant({agent}, 1, 1_000_000_000_000, {expiry}, 2_500)"])
    assert assembly.drafts.explain(grant[0]) == [
        f"mandates.grant(agent={agent}, venues=1, size=1_000_000_000_000, expiry={expiry:_}, share_bps=2_500)"
    ]
    assembly.decide(grant)
    assert s.mandates.mandate(0).agent == agent
    assembly.decide(assembly.drafts.calls([], ["mandates.revoke(0)"]))
    assert s.mandates.mandate(0).expiry == s.chain.now


def test_vote_that_is_lost_changes_nothing(assembly: Assembly) -> None:
    calls = assembly.drafts.calls(["inventory.aversion=9"], [])
    number = assembly.propose(calls)
    assembly.chain.warp(VOTING_DELAY)
    for lp, support in zip(assembly.lps, (0, 1), strict=True):
        assembly.governor.cast_vote.send(number, support, sender=lp)
    assembly.chain.warp(VOTING_PERIOD)
    assert assembly.governor.state(number) == State.DEFEATED
    with reverts("governor: not succeeded"):
        assembly.governor.queue.send(number, calls)


def test_vote_cannot_leave_the_immutable_bounds(assembly: Assembly) -> None:
    """The calls are all or none: what came before the one that fails is undone too."""
    calls = assembly.drafts.calls(["inventory.aversion=9", "vault.u_redeem=0.95"], [])
    with reverts("vault: params out of bounds"):
        assembly.decide(calls)
    assert assembly.system.inventory.params().weights.aversion == 8 * WAD


def test_vote_gives_the_governors_office_on(assembly: Assembly) -> None:
    """The new admin accepts; the timelock has nothing left at that contract."""
    s, heir = assembly.system, assembly.system.chain.accounts[6]
    assembly.decide(assembly.drafts.calls([], [f"oracle.offer_admin({heir})"]))
    s.oracle.accept_admin.send(sender=heir)
    assert (s.oracle.admin(), s.oracle.roles_of(s.governor)) == (heir, 0)


def test_vote_changes_the_governors_own_parameters_and_the_delay(assembly: Assembly) -> None:
    calls = assembly.drafts.calls(["governance.quorum=0.2", "governance.lock=1d"], ["timelock.update_delay(7200)"])
    assert assembly.drafts.explain(calls[0]) == [
        "governance.quorum: 0.1 of the supply of shares → 0.2 of the supply of shares",
        "governance.lock: 10,800 s → 86,400 s",
    ]
    assembly.decide(calls)
    assert assembly.governor.params()[2:] == (2_000, 50, 86_400)
    assert assembly.timelock.get_minimum_delay() == 7_200


def test_council_acts_alone_until_a_vote_removes_it(assembly: Assembly) -> None:
    s, council = assembly.system, assembly.council
    change = assembly.drafts.calls(["inventory.aversion=10"], [])
    assembly.schedule(change)
    assembly.chain.warp(DELAY)
    fn, arguments = Operation(change).execution()
    assembly.timelock.send(fn, *arguments)
    assert s.inventory.params().weights.aversion == 10 * WAD
    calls = assembly.drafts.calls([], [f"timelock.revokeRole(PROPOSER_ROLE, {council})"])
    assert assembly.drafts.explain(calls[0]) == [f"timelock.revokeRole(role=PROPOSER_ROLE, account={council})"]
    assembly.decide(calls)
    with reverts("access_control: account is missing role"):
        assembly.schedule(change, salt=b"\1" * 32)


def test_locked_shares_stay_an_lp_position(assembly: Assembly) -> None:
    """Exit: unlock, wait, redeem; nothing that is voted on in between can touch the shares."""
    s, lp = assembly.system, assembly.lps[1]
    with reverts("erc20: transfer amount exceeds balance"):
        s.vault.requestRedeem.send(1, lp, lp, sender=lp)
    assembly.governor.unlock.send(400_000 * WAD, sender=lp)
    s.chain.warp(LOCK)
    assembly.governor.withdraw.send(sender=lp)
    s.vault.requestRedeem.send(400_000 * WAD, lp, lp, sender=lp)
    assert s.process_epoch().filled == 400_000 * WAD


# ---- words


@pytest.mark.parametrize(
    ("settings", "functions", "message"),
    [
        (["inventory.aversion"], [], "is no setting"),
        (["nothing.aversion=9"], [], "is no setting"),
        (["inventory.lambda=9"], [], "inventory has no 'lambda'"),
        (["inventory.root=1"], [], "inventory has no 'root'"),
        (["inventory.aversion=much"], [], "is not a number"),
        (["inventory.aversion=8.00001"], [], "is not a multiple"),
        (["vault.epoch_length=1 week"], [], "is not a duration"),
        (["XRP.spreads.base=1"], [], "spreads has no 'XRP': ETH"),
        (["ETH.inventory.aversion=9"], [], "leave the place out"),
        ([], ["vault.unpause_deposits"], "is no call"),
        ([], ["safe.open()"], "no contract is called 'safe'"),
        ([], ["vault.open()"], "vault has no function 'open'"),
        ([], ["perp_engine.unpause()"], "with 0 arguments"),
    ],
)
def test_calls_of_words_that_make_no_sense_say_why(
    assembly: Assembly, settings: list[str], functions: list[str], message: str
) -> None:
    with pytest.raises(ProposalError, match=message):
        assembly.drafts.calls(settings, functions)


def test_calls_of_every_parameter_change_that_parameter_alone(assembly: Assembly) -> None:
    """Every parameter that has a setter, as it is now, gives a call that changes nothing."""
    drafts, plan = assembly.drafts, Plan(assembly.system.config, assembly.system.setup)
    for surface in (*SURFACES, GOVERNANCE):
        for place, key in places(plan.config, surface):
            contract = assembly.system.chain.at(surface.artifact, assembly.system.addresses[surface.contract])
            now = flat(contract.call(surface.view, *(() if key is None else (key,))))
            for word, value in zip(surface.words, now, strict=True):
                if word.kind == "parameter":
                    path = f"{place}.{surface.name}" if place else surface.name
                    shown = value if word.unit == "s" else f"{value / word.scale:.9f}"
                    (call,) = drafts.calls([f"{path}.{word.name}={shown}"], [])
                    assert drafts.explain(call) == [f"{path}: nothing changes"]


def test_explain_what_nobody_knows_says_so(assembly: Assembly) -> None:
    stranger, vault = assembly.system.chain.accounts[9], assembly.system.vault.address
    assert assembly.drafts.explain((stranger, b"\1\2\3\4")) == [f"UNKNOWN CONTRACT {stranger}: 0x01020304"]
    assert assembly.drafts.explain((vault, b"\1\2\3\4")) == ["vault: UNKNOWN FUNCTION 0x01020304"]
    pause = assembly.system.perp_engine.tx("pause", 0).data[:4]
    assert "UNREADABLE" in assembly.drafts.explain((assembly.system.perp_engine.address, pause))[0]


def test_read_a_file_gives_settings_functions_and_description(tmp_path: Path, assembly: Assembly) -> None:
    path = tmp_path / "proposal.yaml"
    lines = ["description: Wider.", "set: {ETH.spreads.base: 0.0002, vault.epoch_length: 2d}"]
    path.write_text("\n".join([*lines, "call: [vault.unpause_deposits()]"]))
    settings, functions, description = read(path)
    assert description == "Wider."
    lines = [line for call in assembly.drafts.calls(settings, functions) for line in assembly.drafts.explain(call)]
    assert lines == [
        "ETH.spreads.base: 0.0001 of notional → 0.0002 of notional",
        "vault.epoch_length: 86,400 s → 172,800 s",
        "vault.unpause_deposits()",
    ]
    path.write_text("votes: 3")
    with pytest.raises(ProposalError, match="write `description`, `set` and `call`"):
        read(path)
