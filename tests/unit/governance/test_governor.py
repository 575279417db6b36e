"""Governor and votes: what locked shares may decide, when, and what stops it; contract and twin side by side."""

from __future__ import annotations

from dataclasses import astuple, replace

import pytest
from eth_account.messages import encode_typed_data

from ballast.chain import reverts
from ballast.model.exact.fixed import WAD, Reverted
from ballast.model.exact.governor import MAX_LOCK_PERIOD, QUEUE_WINDOW, Call, State
from ballast.plan import PROPOSER
from ballast.proposals import ballot
from tests.unit.governance.world import DAY, DELAY, NONE, PARAMS, SIGNER, SUPPLY, UNDOING, ZERO, World, batch, selector

PERIOD = PARAMS.voting_period
LOT = 50_000 * WAD


@pytest.fixture
def world() -> World:
    """Every LP has 50,000 of a million shares locked since a second ago."""
    world = World()
    for account in world.accounts:
        world.lock(account, LOT)
    world.warp(1)
    return world


@pytest.fixture
def calls(world: World) -> list[Call]:
    """Something harmless that shows."""
    return [(world.token.address, world.token.tx("mint", world.stranger, 1).data)]


def undo(target: str, *signatures: str) -> list[Call]:
    return [(target, selector(signature) + bytes(32)) for signature in signatures]


# ---- shares


def test_lock_takes_shares_and_gives_votes_to_the_delegate(world: World) -> None:
    a, b, _ = world.lps
    world.delegate(a, b)
    receipt = world.lock(a, LOT)
    assert tuple(receipt.one("Locked")) == (a, LOT, 2 * LOT)
    assert tuple(receipt.one("VotesChanged")) == (b, 3 * LOT)
    assert (world.contract.votes_at(a, world.now), world.contract.votes_at(b, world.now)) == (0, 3 * LOT)
    assert world.token.balanceOf(world.contract) == 5 * LOT


def test_lock_of_nothing_or_more_than_one_has_changes_nothing(world: World) -> None:
    with reverts("governor: zero amount"):
        world.lock(world.lps[0], 0)
    with reverts("erc20: transfer amount exceeds balance"):
        world.lock(world.lps[0], LOT + 1)


def test_votes_at_a_time_that_is_over_never_change(world: World) -> None:
    a, b, _ = world.lps
    before = world.now - 1
    seen = []
    for step in range(9):  # enough for the search to go both ways
        seen.append((world.now, world.contract.votes_at(a, world.now)))
        world.warp(10)
        if step % 2:
            world.delegate(a, a)
        else:
            world.delegate(a, b)
    assert {votes for _, votes in seen} == {0, LOT}
    assert [(time, world.contract.votes_at(a, time)) for time, _ in seen] == seen
    assert world.contract.votes_at(a, before) == world.twin.votes.at(a, before)
    assert world.contract.votes_at(a, before - 100) == 0


def test_votes_that_change_twice_in_a_second_take_one_word_of_history(world: World) -> None:
    a = world.lps[0]
    first, again = (world.lock(a, LOT // 4).gas_used for _ in range(2))
    world.warp(1)
    later = world.lock(a, LOT // 4).gas_used
    new_word = 17_000  # [gas] that a slot costs beyond one that is changed
    assert min(first, later) - again > new_word


def test_unlock_ends_votes_at_once_and_shares_come_back_after_the_lock_period(world: World) -> None:
    a = world.lps[0]
    receipt = world.unlock(a, LOT)
    assert tuple(receipt.one("Unlocked")) == (a, LOT, 0, world.now + PARAMS.lock_period)
    assert world.contract.votes_at(a, world.now) == 0
    world.warp(PARAMS.lock_period - 1)
    with reverts("governor: too early"):
        world.withdraw(a)
    world.warp(1)
    assert tuple(world.withdraw(a).one("Withdrawn")) == (a, LOT)
    assert world.token.balanceOf(a) == 2 * LOT
    with reverts("governor: nothing unlocked"):
        world.withdraw(a)


def test_unlock_again_makes_all_of_it_wait_anew(world: World) -> None:
    a = world.lps[0]
    world.unlock(a, LOT // 2)
    world.warp(PARAMS.lock_period)
    world.unlock(a, LOT // 2)
    with reverts("governor: too early"):
        world.withdraw(a)
    world.warp(PARAMS.lock_period)
    assert world.withdraw(a).value == LOT


def test_unlock_more_than_is_locked_reverts(world: World) -> None:
    with reverts("governor: not locked"):
        world.unlock(world.lps[0], LOT + 1)
    with reverts("governor: zero amount"):
        world.unlock(world.lps[0], 0)


def test_delegate_is_not_transitive_and_cycles_lose_nothing(world: World) -> None:
    a, b, c = world.lps
    assert tuple(world.delegate(a, b).one("Delegated")) == (a, b)
    world.delegate(b, c)
    world.delegate(c, a)
    assert [world.contract.votes_at(account, world.now) for account in (a, b, c)] == [LOT, LOT, LOT]
    world.delegate(b, b)
    assert [world.contract.votes_at(account, world.now) for account in (a, b, c)] == [LOT, 2 * LOT, 0]


def test_delegate_to_nobody_reverts(world: World) -> None:
    with reverts("governor: zero delegate"):
        world.delegate(world.lps[0], ZERO)


# ---- the way of a proposal


def test_propose_to_execute_every_state_on_the_way(world: World, calls: list[Call]) -> None:
    a, b, c = world.lps
    receipt = world.propose(a, calls, "one more share")
    event = receipt.one("Proposed")
    start = world.now + PARAMS.voting_delay
    assert tuple(event)[:5] == (0, a, start, start + PERIOD, SUPPLY // 10)
    assert (event.calls, event.description) == (calls, "one more share")
    assert world.contract.state(0) == State.PENDING
    with reverts("governor: not active"):
        world.vote(a, 0, 1)

    world.warp(PARAMS.voting_delay)
    assert world.contract.state(0) == State.ACTIVE
    assert tuple(world.vote(a, 0, 1).one("VoteCast")) == (0, a, 1, LOT)
    world.vote(b, 0, 0)
    world.vote(c, 0, 2)
    world.vote(SIGNER.address, 0, 1)
    with reverts("governor: not succeeded"):
        world.queue(0, calls)

    world.warp(PERIOD - 1)
    assert world.contract.state(0) == State.ACTIVE
    world.warp(1)
    assert world.contract.state(0) == State.SUCCEEDED
    with reverts("governor: not active"):
        world.vote(world.stranger, 0, 1)
    receipt = world.queue(0, calls)
    assert tuple(receipt.one("Queued")) == (0, receipt.value, world.now + DELAY)
    assert world.contract.state(0) == State.QUEUED
    with reverts("governor: not succeeded"):
        world.queue(0, calls)
    with reverts("timelock_controller: operation is not ready"):
        world.execute(0, calls)

    world.warp(DELAY)
    balance = world.token.balanceOf(world.stranger)
    world.execute(0, calls, lambda twin: twin.vault.mint(world.stranger, 1))  # type: ignore[attr-defined]
    assert world.token.balanceOf(world.stranger) == balance + 1
    assert world.contract.state(0) == State.EXECUTED
    with reverts("timelock_controller: operation is not ready"):
        world.execute(0, calls)


def test_propose_below_the_threshold_or_without_calls_reverts(world: World, calls: list[Call]) -> None:
    with reverts("governor: no calls"):
        world.propose(world.lps[0], [])
    with reverts("governor: below threshold"):
        world.propose(world.stranger, calls)
    world.unlock(world.lps[0], LOT - SUPPLY // 200)
    world.warp(1)
    world.propose(world.lps[0], calls)
    world.mint(world.stranger, 1)  # the threshold is rounded up
    with reverts("governor: below threshold"):
        world.propose(world.lps[0], calls)


def test_propose_where_nobody_holds_shares_takes_a_vote_still(world: World, calls: list[Call]) -> None:
    empty = world.chain.deploy("TestToken", "Empty", "E", 18)
    governor = world.chain.deploy("Governor", empty, world.timelock, ZERO, astuple(PARAMS))
    with reverts("governor: below threshold"):
        governor.propose.send(calls, "")
    owner = world.lps[0]
    empty.mint.send(owner, 1)
    empty.approve.send(governor, 1, sender=owner)
    governor.lock.send(1, sender=owner)
    world.warp(1)
    assert governor.propose.send(calls, "", sender=owner).one("Proposed").quorum == 1


@pytest.mark.parametrize(
    ("ballots", "expected"),
    [
        ([], State.DEFEATED),
        ([1], State.DEFEATED),  # a half of the quorum
        ([1, 1], State.SUCCEEDED),  # the quorum to the wei
        ([1, 2], State.SUCCEEDED),  # abstaining counts for the quorum
        ([2, 2, 2], State.DEFEATED),  # and for nothing else
        ([1, 0], State.DEFEATED),  # against does not count for it, and a tie is no majority
        ([1, 0, 2], State.DEFEATED),
        ([1, 0, 1, 2], State.SUCCEEDED),
    ],
)
def test_state_after_voting_follows_from_quorum_and_majority(
    world: World, calls: list[Call], ballots: list[int], expected: State
) -> None:
    world.propose(world.lps[0], calls)
    world.warp(PARAMS.voting_delay)
    for account, support in zip(world.accounts, ballots, strict=False):
        world.vote(account, 0, support)
    world.warp(PERIOD)
    assert world.contract.state(0) == expected


def test_quorum_is_of_the_supply_when_the_proposal_was_made(world: World, calls: list[Call]) -> None:
    world.propose(world.lps[0], calls)
    world.mint(world.stranger, SUPPLY)
    world.propose(world.lps[0], calls)
    world.warp(PARAMS.voting_delay)
    for proposal in (0, 1):
        for account in world.lps[:2]:
            world.vote(account, proposal, 1)
    world.warp(PERIOD)
    assert [world.contract.state(i) for i in (0, 1)] == [State.SUCCEEDED, State.DEFEATED]


def test_cast_vote_twice_or_with_an_unknown_ballot_reverts(world: World, calls: list[Call]) -> None:
    a = world.lps[0]
    world.propose(a, calls)
    world.warp(PARAMS.voting_delay)
    with reverts("governor: support"):
        world.vote(a, 0, 3)
    world.vote(a, 0, 0)
    with reverts("governor: has voted"):
        world.vote(a, 0, 1)
    with reverts("governor: no votes"):
        world.vote(world.stranger, 0, 1)
    with reverts("governor: not active"):
        world.vote(a, 7, 1)


def test_cast_vote_counts_what_was_locked_before_the_proposal(world: World, calls: list[Call]) -> None:
    a, b, c = world.lps
    world.lock(b, LOT)  # in the block of the proposal
    world.propose(a, calls)
    world.unlock(c, LOT)  # after it: too late to change this vote
    world.delegate(a, b)
    world.warp(PARAMS.voting_delay)
    assert [world.vote(account, 0, 1).value for account in (a, b, c)] == [LOT, LOT, LOT]


def test_cast_vote_by_sig_counts_the_signer(world: World, calls: list[Call]) -> None:
    world.propose(world.lps[0], calls)
    world.warp(PARAMS.voting_delay)
    digest = world.contract.ballot_digest(0, 1, SIGNER.address)
    signature = SIGNER.unsafe_sign_hash(digest).signature
    sent = (0, 1, SIGNER.address, bytes(signature))

    def act(twin: object) -> object:
        return world.twin.cast_vote(SIGNER.address, 0, 1, world.now)

    for wrong in ((0, 0, *sent[2:]), (0, 1, world.lps[1], sent[3]), (0, 1, ZERO, b""), (*sent[:3], b"")):
        with reverts("governor: signature"):
            world.contract.cast_vote_by_sig.send(*wrong, sender=world.stranger)
    receipt = world.both("cast_vote_by_sig", sent, world.stranger, act)
    assert tuple(receipt.one("VoteCast")) == (0, SIGNER.address, 1, LOT)
    with reverts("governor: has voted"):
        world.contract.cast_vote_by_sig.send(*sent, sender=world.stranger)


def test_ballot_digest_is_eip_712(world: World) -> None:
    message = encode_typed_data(full_message=ballot(world.contract, 31337, 3, 2, SIGNER.address))
    signature = SIGNER.sign_message(message).signature
    signed = SIGNER.unsafe_sign_hash(world.contract.ballot_digest(3, 2, SIGNER.address)).signature
    assert signed == signature


def test_queue_of_other_calls_or_an_unknown_proposal_reverts(world: World, calls: list[Call]) -> None:
    world.propose(world.lps[0], calls)
    with reverts("governor: other calls"):
        world.queue(0, [*calls, *calls])
    with reverts("governor: no such proposal"):
        world.queue(1, calls)
    with reverts("governor: no such proposal"):
        world.contract.state(1)


def test_queue_too_late_reverts(world: World, calls: list[Call]) -> None:
    world.propose(world.lps[0], calls)
    world.warp(PARAMS.voting_delay)
    for account in world.lps:
        world.vote(account, 0, 1)
    world.warp(PERIOD + QUEUE_WINDOW - 1)
    assert world.contract.state(0) == State.SUCCEEDED
    world.warp(1)
    assert world.contract.state(0) == State.EXPIRED
    with reverts("governor: not succeeded"):
        world.queue(0, calls)


def test_queue_the_same_calls_twice_gives_two_operations(world: World, calls: list[Call]) -> None:
    assert world.passed(calls) != world.passed(calls)
    assert len(set(world.operations.values())) == 2


# ---- the guardian


@pytest.mark.parametrize("signature", UNDOING)
def test_veto_stops_what_undoes_a_tightening_once(world: World, signature: str) -> None:
    calls = undo(world.stranger, signature)
    world.propose(world.lps[0], calls)
    assert tuple(world.veto(world.guardian, 0, calls).one("Vetoed")) == (0, world.guardian)
    assert world.contract.state(0) == State.CANCELLED
    world.propose(world.lps[0], calls)
    with reverts("governor: vetoed once"):
        world.veto(world.guardian, 1, calls)
    with reverts("governor: over"):
        world.veto(world.guardian, 0, calls)


def test_veto_of_what_is_voted_on_or_queued_ends_it(world: World) -> None:
    first, second = undo(world.stranger, "thaw()"), undo(world.stranger, "thaw()", "unpause(uint256)")
    world.propose(world.lps[0], first)
    world.warp(PARAMS.voting_delay)
    world.veto(world.guardian, 0, first)
    with reverts("governor: not active"):
        world.vote(world.lps[0], 0, 1)
    proposal = world.passed(second)
    world.veto(world.guardian, proposal, second)
    world.warp(DELAY)
    with reverts("timelock_controller: operation is not ready"):
        world.execute(proposal, second)


def test_veto_of_anything_else_reverts(world: World, calls: list[Call]) -> None:
    new_guardian = (world.contract.address, world.contract.tx("set_guardian", world.stranger).data)
    for number, wrong in enumerate(
        ([new_guardian], calls, [*undo(world.stranger, "thaw()"), *calls], [(world.stranger, b"\x01\x02\x03")])
    ):
        world.propose(world.lps[0], wrong)
        with reverts("governor: no veto on this"):
            world.veto(world.guardian, number, wrong)
    right = undo(world.stranger, "thaw()")
    number = int(world.propose(world.lps[0], right).value)
    for sender in (world.council, world.setup, world.lps[0]):
        with reverts("governor: not allowed"):
            world.veto(sender, number, right)


def test_veto_after_execution_or_defeat_reverts(world: World) -> None:
    calls = undo(world.token.address, "unpause_deposits()")
    world.propose(world.lps[0], calls)
    world.warp(PARAMS.voting_delay + PERIOD)
    assert world.contract.state(0) == State.DEFEATED
    with reverts("governor: over"):
        world.veto(world.guardian, 0, calls)


# ---- objections


def test_object_to_the_council_at_the_quorum_cancels(world: World, calls: list[Call]) -> None:
    a, b, c = world.lps
    world.schedule("plan", calls)
    receipt = world.object(a, "plan")
    identity = world.operations["plan"]
    assert tuple(receipt.one("Objected")) == (identity, a, LOT, LOT, SUPPLY // 10)
    assert world.object(a, "plan").value is False  # counted once
    assert world.object(b, "plan").value is True
    with reverts("governor: nothing pending"):
        world.object(c, "plan")
    world.warp(1)
    world.schedule("plan", calls)  # again: objections start anew
    assert world.contract.objections(identity) == (0, SUPPLY // 10)
    assert world.object(c, "plan").value is False


def test_object_to_what_passed_takes_more_than_passed_it(world: World, calls: list[Call]) -> None:
    a, b, c = world.lps
    proposal = world.passed(calls, [a, b, c])
    for account in (a, b, SIGNER.address):
        assert world.object(account, ("proposal", proposal)).value is False
    world.lock(a, 1)
    assert world.object(a, ("proposal", proposal)).value is True  # 150,000 shares and a wei
    assert world.contract.state(proposal) == State.CANCELLED
    with reverts("governor: not succeeded"):
        world.queue(proposal, calls)


def test_object_with_shares_not_locked_delegated_or_without_an_operation_reverts(
    world: World, calls: list[Call]
) -> None:
    a, b, _ = world.lps
    world.schedule("plan", calls)
    with reverts("governor: no votes"):
        world.object(world.stranger, "plan")
    world.delegate(a, world.stranger)
    with reverts("governor: no votes"):
        world.object(world.stranger, "plan")
    assert world.object(a, "plan").one("Objected").shares == LOT
    world.unlock(a, LOT)  # what objected stays counted: it cannot come back in time
    assert world.contract.objections(world.operations["plan"])[0] == LOT
    with reverts("governor: nothing pending"):
        world.object(b, "no such plan")


def test_object_later_than_the_lock_period_after_the_first_begins_anew(world: World, calls: list[Call]) -> None:
    a, b, c = world.lps
    world.schedule("plan", calls)
    world.object(a, "plan")
    world.warp(PARAMS.lock_period - 1)
    assert tuple(world.object(a, "plan").one("Objected"))[3] == LOT
    world.warp(1)
    assert world.contract.objections(world.operations["plan"])[0] == 0
    assert tuple(world.object(b, "plan").one("Objected"))[3] == LOT
    assert world.object(c, "plan").value is True


@pytest.mark.parametrize("days", [6.5, 14])
def test_objections_count_no_longer_than_the_shorter_lock_period(world: World, calls: list[Call], days: float) -> None:
    """Of when the count began and of now: what objected may be back after either."""
    a, b, _ = world.lps
    changed = replace(PARAMS, lock_period=int(days * DAY))
    change = [(world.contract.address, world.contract.tx("set_params", astuple(changed)).data)]
    world.schedule("change", change)
    world.warp(DELAY)
    world.schedule("plan", calls)
    world.object(a, "plan")
    world.timelock.execute_batch.send(*batch(change), NONE, b"change".rjust(32, b"\0"), sender=world.stranger)
    world.twin.timelock.execute("change", world.now)
    world.twin.set_params(changed)
    shorter = min(PARAMS.lock_period, changed.lock_period)
    world.warp(shorter - 1)
    assert world.contract.objections(world.operations["plan"])[0] == LOT
    world.warp(1)
    assert world.object(b, "plan").value is False
    assert world.contract.objections(world.operations["plan"])[0] == LOT


def test_queue_takes_over_what_another_has_scheduled(world: World, calls: list[Call]) -> None:
    """Then it takes more than the votes it was passed with to cancel it; also if it is executed already."""
    a, b, c = world.lps
    first = int(world.propose(a, calls).value)
    second = int(world.propose(a, calls).value)
    world.warp(PARAMS.voting_delay)
    for voter in (a, b, c):
        for proposal in (first, second):
            world.vote(voter, proposal, 1)
    world.warp(PARAMS.voting_period - DELAY)
    for proposal in (first, second):
        salt = world.contract.salt(proposal)
        world.timelock.schedule_batch.send(*batch(calls), NONE, salt, DELAY, sender=world.council)
        world.twin.timelock.schedule(("proposal", proposal), world.now)
    world.warp(DELAY)
    receipt = world.queue(first, calls)
    assert receipt.one("Queued").ready_at == world.now
    assert world.contract.state(first) == State.QUEUED
    assert world.contract.objections(world.operations["proposal", first])[1] == 3 * LOT + 1
    world.execute(second, calls, lambda twin: None)
    assert world.contract.state(second) == State.SUCCEEDED
    world.queue(second, calls)
    assert world.contract.state(second) == State.EXECUTED


# ---- the timelock's powers


def test_set_params_and_guardian_are_the_timelocks_alone(world: World) -> None:
    for sender in (world.setup, world.guardian, world.council, world.lps[0]):
        with reverts("governor: not allowed"):
            world.contract.set_params.send(astuple(PARAMS), sender=sender)
        with reverts("governor: not allowed"):
            world.contract.set_guardian.send(sender, sender=sender)
    wanted = replace(PARAMS, quorum_bps=2_000)
    calls = [
        (world.contract.address, world.contract.tx("set_params", astuple(wanted)).data),
        (world.contract.address, world.contract.tx("set_guardian", ZERO).data),
        (world.timelock.address, world.timelock.tx("update_delay", DAY).data),
    ]
    proposal = world.passed(calls)
    world.warp(DELAY)

    def act(twin: object) -> None:
        world.twin.set_params(wanted)
        world.twin.set_guardian(None)
        world.twin.timelock.update_delay(DAY)

    receipt = world.execute(proposal, calls, act)
    assert tuple(receipt.one("ParamsSet").params) == astuple(wanted)
    assert receipt.one("GuardianSet").guardian == world.contract.guardian() == ZERO
    assert world.timelock.get_minimum_delay() == DAY


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"voting_delay": 59}, "voting delay"),
        ({"voting_delay": 7 * DAY + 1}, "voting delay"),
        ({"voting_period": 3_599}, "voting period"),
        ({"voting_period": 14 * DAY + 1}, "voting period"),
        ({"quorum_bps": 99}, "quorum"),
        ({"quorum_bps": 5_001}, "quorum"),
        ({"threshold_bps": 0}, "threshold"),
        ({"threshold_bps": 501}, "threshold"),
        ({"lock_period": PARAMS.voting_delay + PERIOD + DELAY}, "lock period"),
        ({"lock_period": MAX_LOCK_PERIOD + 1}, "lock period"),
    ],
)
def test_params_outside_the_bounds_are_refused(world: World, change: dict[str, int], reason: str) -> None:
    wanted = replace(PARAMS, **change)
    with reverts(f"governor: {reason}"):
        world.chain.deploy("Governor", world.token, world.timelock, ZERO, astuple(wanted))
    with pytest.raises(Reverted, match=f"governor: {reason}"):
        world.twin.set_params(wanted)


@pytest.mark.parametrize(
    "change",
    [
        {"voting_delay": 60, "voting_period": 3_600, "lock_period": DELAY + 3_661},
        {"voting_delay": 7 * DAY, "voting_period": 14 * DAY, "lock_period": MAX_LOCK_PERIOD},
        {"quorum_bps": 100, "threshold_bps": 1},
        {"quorum_bps": 5_000, "threshold_bps": 500},
    ],
)
def test_params_at_the_bounds_are_taken(world: World, change: dict[str, int]) -> None:
    wanted = replace(PARAMS, **change)
    governor = world.chain.deploy("Governor", world.token, world.timelock, ZERO, astuple(wanted))
    world.twin.set_params(wanted)
    assert tuple(governor.params()) == astuple(world.twin.params)


# ---- the timelock


def test_timelock_deployer_keeps_nothing_and_the_council_cannot_cancel(world: World, calls: list[Call]) -> None:
    world.schedule("plan", calls)
    identity = world.operations["plan"]
    for sender in (world.setup, world.council, world.guardian, world.stranger):
        with reverts("access_control: account is missing role"):
            world.timelock.cancel.send(identity, sender=sender)
        with reverts("access_control: account is missing role"):
            world.timelock.grantRole.send(PROPOSER, sender, sender=sender)
        with reverts("timelock: not allowed"):
            world.timelock.update_delay.send(DAY, sender=sender)


def test_timelock_a_vote_removes_the_council_and_the_council_cannot_stop_it(world: World) -> None:
    council = world.council
    remove = [(world.timelock.address, world.timelock.tx("revokeRole", PROPOSER, council).data)]
    counter = [(world.timelock.address, world.timelock.tx("revokeRole", PROPOSER, world.contract).data)]
    proposal = int(world.propose(world.lps[0], remove).value)
    world.schedule("counter", counter)  # quicker than a vote
    for account in world.lps[:2]:
        world.object(account, "counter")  # and stopped by as many as a vote takes
    world.warp(PARAMS.voting_delay)
    for account in world.lps:
        world.vote(account, proposal, 1)
    world.warp(PERIOD)
    world.queue(proposal, remove)
    world.warp(DELAY)
    world.execute(proposal, remove)
    with reverts("access_control: account is missing role"):
        world.schedule("again", counter)


@pytest.mark.parametrize("delay", [3_599, 30 * DAY + 1])
def test_timelock_delay_outside_the_bounds_reverts(world: World, delay: int) -> None:
    with reverts("timelock: delay range"):
        world.chain.deploy("Timelock", delay, ZERO, world.setup)
    world.chain.deploy("Timelock", min(max(delay, 3_600), 30 * DAY), ZERO, world.setup)
    calls = [(world.timelock.address, world.timelock.tx("update_delay", delay).data)]
    world.schedule("delay", calls)
    world.warp(DELAY)
    with reverts("timelock: delay range"):
        world.timelock.execute_batch.send(*batch(calls), NONE, b"delay".rjust(32, b"\0"))
