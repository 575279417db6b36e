"""Attempts to decide without a stake, to decide twice, or to outrun those who decide; none of them works."""

from __future__ import annotations

import pytest

from ballast.chain import reverts
from ballast.model.exact.governor import State
from ballast.testing.governance import DELAY, LOCK, VOTING_DELAY, VOTING_PERIOD, WAD, Assembly


@pytest.fixture
def attacker(assembly: Assembly) -> str:
    return assembly.chain.accounts[6]


def theft(assembly: Assembly, attacker: str) -> list[tuple[str, bytes]]:
    """The office of the oracle's admin, and with it every price."""
    return assembly.drafts.calls([], [f"oracle.offer_admin({attacker})"])


def test_deposit_and_propose_or_vote_in_one_block_has_no_power(assembly: Assembly, attacker: str) -> None:
    """Nor is it a loan: what was locked cannot be given back in that block, or before the lock period is over."""
    open_vote = assembly.propose(theft(assembly, attacker))
    assembly.chain.warp(VOTING_DELAY)
    assembly.join(attacker, 50_000_000)
    with reverts("governor: below threshold"):
        assembly.propose(theft(assembly, attacker), attacker)
    with reverts("governor: no votes"):
        assembly.governor.cast_vote.send(open_vote, 1, sender=attacker)
    assembly.governor.delegate.send(assembly.lps[0], sender=attacker)
    assert assembly.governor.cast_vote.send(open_vote, 1, sender=assembly.lps[0]).value == 600_000 * WAD
    assembly.governor.unlock.send(assembly.governor.locked(attacker), sender=attacker)
    with reverts("governor: too early"):
        assembly.governor.withdraw.send(sender=attacker)
    with reverts("erc20: transfer amount exceeds balance"):
        assembly.system.vault.transfer.send(assembly.lps[0], 1, sender=attacker)


def test_deposit_a_block_before_somebody_elses_proposal_is_at_stake_until_after_its_execution(
    assembly: Assembly, attacker: str
) -> None:
    """Votes can be bought with a deposit, but not returned before what they decided has happened."""
    assembly.join(attacker, 50_000_000)
    assembly.chain.warp(1)
    calls = theft(assembly, attacker)
    number = assembly.propose(calls, attacker)
    assembly.governor.unlock.send(assembly.governor.locked(attacker), sender=attacker)
    assembly.chain.warp(VOTING_DELAY)
    assembly.governor.cast_vote.send(number, 1, sender=attacker)
    assembly.chain.warp(VOTING_PERIOD)
    assembly.governor.queue.send(number, calls)
    assembly.execute(number, calls)
    with reverts("governor: too early"):
        assembly.governor.withdraw.send(sender=attacker)


def test_vote_unlock_and_vote_again_with_another_account_counts_once(assembly: Assembly, attacker: str) -> None:
    first, other = assembly.lps[1], attacker
    number = assembly.propose(theft(assembly, attacker))
    assembly.chain.warp(VOTING_DELAY)
    assembly.governor.cast_vote.send(number, 1, sender=first)
    assembly.governor.unlock.send(400_000 * WAD, sender=first)
    assembly.chain.warp(VOTING_PERIOD - 1)
    with reverts("governor: too early"):
        assembly.governor.withdraw.send(sender=first)
    with reverts("governor: has voted"):
        assembly.governor.cast_vote.send(number, 1, sender=first)
    with reverts("governor: no votes"):
        assembly.governor.cast_vote.send(number, 1, sender=other)


def test_vote_delegate_and_vote_again_by_the_delegate_counts_once(assembly: Assembly, attacker: str) -> None:
    number = assembly.propose(theft(assembly, attacker))
    assembly.chain.warp(VOTING_DELAY)
    assembly.governor.cast_vote.send(number, 1, sender=assembly.lps[1])
    assembly.governor.delegate.send(attacker, sender=assembly.lps[1])
    with reverts("governor: no votes"):
        assembly.governor.cast_vote.send(number, 1, sender=attacker)
    assert assembly.governor.proposal(number).votes_for == 400_000 * WAD


def test_donated_shares_vote_for_nobody_and_move_no_quorum(assembly: Assembly, attacker: str) -> None:
    assembly.system.deposit(attacker, 100_000)
    before = assembly.governor.total_locked(), assembly.governor.votes_at(assembly.governor, assembly.chain.now)
    assembly.system.vault.transfer.send(assembly.governor, 100_000 * WAD, sender=attacker)
    assembly.chain.warp(1)
    after = assembly.governor.total_locked(), assembly.governor.votes_at(assembly.governor, assembly.chain.now)
    assert after == before == (1_000_000 * WAD, 0)
    with reverts("governor: nothing unlocked"):
        assembly.governor.withdraw.send(sender=attacker)
    number = assembly.propose(theft(assembly, attacker))
    assert assembly.governor.proposal(number).quorum == 110_000 * WAD  # of the supply, which it is part of


def test_redeeming_after_a_proposal_leaves_its_quorum_where_it_was(assembly: Assembly, attacker: str) -> None:
    """Half the supply leaves; the proposal needs a tenth of all that there was still."""
    s = assembly.system
    s.deposit(attacker, 1_000_000)
    number = assembly.propose(theft(assembly, attacker))
    s.vault.requestRedeem.send(1_000_000 * WAD, attacker, attacker, sender=attacker)
    s.process_epoch()
    assert s.vault.totalSupply() == 1_000_000 * WAD
    assert assembly.governor.proposal(number).quorum == 200_000 * WAD


def test_first_lps_cannot_bind_those_who_come_later(assembly: Assembly, attacker: str) -> None:
    """Who proposes while the vault is small has all the votes there are; those who come since object, and it ends."""
    calls = theft(assembly, attacker)
    number = assembly.pass_(calls)
    late = assembly.chain.accounts[5]
    assembly.system.refresh()
    assembly.join(late, 1_000_001)
    assert assembly.governor.object.send(assembly.governor.proposal(number).operation, sender=late).value is True
    assert assembly.governor.state(number) == State.CANCELLED
    with reverts("timelock_controller: operation is not ready"):
        assembly.execute(number, calls)


def test_minority_cannot_stop_what_a_majority_passed(assembly: Assembly, attacker: str) -> None:
    """Even one that is more than the quorum."""
    calls = assembly.drafts.calls(["inventory.aversion=9"], [])
    number = assembly.pass_(calls, [assembly.lps[0]])
    operation = assembly.governor.proposal(number).operation
    assert assembly.governor.object.send(operation, sender=assembly.lps[1]).value is False
    assembly.execute(number, calls)
    assert assembly.governor.state(number) == State.EXECUTED


def test_objecting_with_the_same_shares_under_two_names_counts_once(assembly: Assembly, attacker: str) -> None:
    """The shares come back when what they were counted in is over, and the next count begins from nothing."""
    operation = assembly.schedule(theft(assembly, attacker))
    assembly.governor.unlock.send(310_000 * WAD, sender=assembly.lps[1])  # 90,000 are less than the quorum
    assembly.governor.object.send(operation, sender=assembly.lps[1])
    assembly.governor.unlock.send(90_000 * WAD, sender=assembly.lps[1])
    assembly.chain.warp(LOCK)
    assembly.governor.withdraw.send(sender=assembly.lps[1])
    assembly.system.vault.transfer.send(attacker, 90_000 * WAD, sender=assembly.lps[1])
    assembly.system.vault.approve.send(assembly.governor, 2**256 - 1, sender=attacker)
    assembly.governor.lock.send(90_000 * WAD, sender=attacker)
    assert assembly.governor.objections(operation) == (0, 100_000 * WAD)
    assert assembly.governor.object.send(operation, sender=attacker).value is False
    assert assembly.governor.objections(operation) == (90_000 * WAD, 100_000 * WAD)


def test_objection_to_ones_own_operation_does_not_make_it_unstoppable(assembly: Assembly) -> None:
    """The council objects with a wei as soon as it has scheduled, waits, and keeps what is ready for a rainy day."""
    calls = theft(assembly, assembly.council)
    operation = assembly.schedule(calls)
    assembly.governor.unlock.send(1, sender=assembly.lps[1])
    assembly.chain.warp(LOCK)
    assembly.governor.withdraw.send(sender=assembly.lps[1])
    assembly.system.vault.transfer.send(assembly.council, 1, sender=assembly.lps[1])
    assembly.system.vault.approve.send(assembly.governor, 1, sender=assembly.council)
    assembly.governor.lock.send(1, sender=assembly.council)
    assembly.governor.object.send(operation, sender=assembly.council)
    assembly.chain.warp(30 * 86_400)
    assert assembly.governor.object.send(operation, sender=assembly.lps[0]).value is True
    with reverts("timelock_controller: operation is not ready"):
        assembly.execute(0, calls)


def test_council_cannot_take_the_vote_away(assembly: Assembly, attacker: str) -> None:
    """Its operation is quicker than any vote, but not quicker than an objection."""
    coup = assembly.drafts.calls(
        [], ["timelock.revokeRole(PROPOSER_ROLE, governor)", f"oracle.offer_admin({attacker})"]
    )
    operation = assembly.schedule(coup)
    assert assembly.governor.object.send(operation, sender=assembly.lps[1]).value is True
    with reverts("timelock_controller: operation is not ready"):
        assembly.execute(0, coup)
    with reverts("access_control: account is missing role"):
        assembly.timelock.cancel.send(operation, sender=assembly.council)


def test_council_that_schedules_a_proposals_operation_first_changes_nothing(assembly: Assembly) -> None:
    """It knows the salt; what it can bring about is what was voted for, after the same delay."""
    calls = assembly.drafts.calls(["inventory.aversion=9"], [])
    number = assembly.propose(calls)
    assembly.schedule(calls, salt=assembly.governor.salt(number))
    assembly.chain.warp(VOTING_DELAY)
    for lp in assembly.lps:
        assembly.governor.cast_vote.send(number, 1, sender=lp)
    assembly.chain.warp(VOTING_PERIOD)
    assembly.governor.queue.send(number, calls)
    assert assembly.governor.state(number) == State.QUEUED
    assembly.execute(number, calls)
    assert assembly.system.inventory.params().weights.aversion == 9 * WAD
    assert assembly.governor.state(number) == State.EXECUTED


def test_council_and_a_quorum_that_objects_cannot_stop_its_removal(assembly: Assembly) -> None:
    """It schedules what was voted for before the Governor does, as if without a vote: a tenth would cancel that."""
    calls = assembly.drafts.calls([], [f"timelock.revokeRole(PROPOSER_ROLE, {assembly.council})"])
    number = assembly.propose(calls)
    assembly.chain.warp(VOTING_DELAY)
    assembly.governor.cast_vote.send(number, 1, sender=assembly.lps[0])
    assembly.governor.cast_vote.send(number, 0, sender=assembly.lps[1])
    assembly.chain.warp(VOTING_PERIOD)
    operation = assembly.schedule(calls, salt=assembly.governor.salt(number))
    assembly.governor.queue.send(number, calls)
    assert assembly.governor.object.send(operation, sender=assembly.lps[1]).value is False
    assembly.execute(number, calls)
    assert assembly.governor.state(number) == State.EXECUTED


def test_vote_cannot_touch_locked_shares_or_the_vaults_money(assembly: Assembly, attacker: str) -> None:
    """The timelock is admin, but of nothing that sends shares or LPs' cash where it likes."""
    governor, lp = assembly.governor.address, assembly.lps[1]
    for words, reason in (
        (f"vault.transferFrom(governor, {attacker}, 1)", "erc20: insufficient allowance"),
        (f"vault.requestRedeem(1, {attacker}, {governor})", "erc20: insufficient allowance"),
        (f"vault.requestRedeem(1, {attacker}, {lp})", "erc20: insufficient allowance"),
        ("governor.withdraw()", "governor: nothing unlocked"),
    ):
        with assembly.chain.undone():
            calls = assembly.drafts.calls([], [words])
            number = assembly.pass_(calls)
            with reverts(reason):
                assembly.execute(number, calls)


def test_operation_that_executes_itself_again_reverts(assembly: Assembly) -> None:
    """The timelock may be called by what it executes; an operation is done once all the same."""
    inner = assembly.drafts.calls(["inventory.aversion=9"], [])
    assembly.schedule(inner)
    again = [
        (
            assembly.timelock.address,
            assembly.timelock.tx("execute_batch", [inner[0][0]], [0], [inner[0][1]], bytes(32), bytes(32)).data,
        )
    ] * 2
    outer = assembly.schedule(again, salt=b"\1" * 32)
    assembly.chain.warp(DELAY)
    with reverts("timelock_controller: operation is not ready"):
        assembly.timelock.execute_batch.send(
            [target for target, _ in again], [0, 0], [data for _, data in again], bytes(32), b"\1" * 32
        )
    assert assembly.timelock.get_timestamp(outer) > 1
