"""Integer twin of ``contracts/governance/Governor.vy`` and ``votes.vy``, and of what they use of ``Timelock.vy``.

Not mirrored: roles of the timelock, events, signatures (a signed ballot is ``cast_vote`` by its signer), hashes: calls
and operations are their own names, and the operation of a proposal is called ``("proposal", id)``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from enum import IntFlag, auto
from typing import Protocol

from ballast.model.exact.fixed import BPS, require

DAY = 86_400
MAX_CALLS = 8
AGAINST, FOR, ABSTAIN = range(3)
DONE = 1
QUEUE_WINDOW = 14 * DAY
DELAYS = 3_600, 30 * DAY
VOTING_DELAYS = 60, 7 * DAY
VOTING_PERIODS = 3_600, 14 * DAY
QUORUMS = 100, 5_000
THRESHOLDS = 1, 500
MAX_LOCK_PERIOD = 60 * DAY

Call = tuple[str, bytes]
"""Target, and selector with arguments."""


class State(IntFlag):
    """IGovernor.State."""

    PENDING = auto()
    ACTIVE = auto()
    DEFEATED = auto()
    SUCCEEDED = auto()
    QUEUED = auto()
    EXECUTED = auto()
    CANCELLED = auto()
    EXPIRED = auto()


@dataclass(frozen=True, slots=True)
class Params:
    """IGovernor.Params: seconds and basis points of the supply."""

    voting_delay: int
    voting_period: int
    quorum_bps: int
    threshold_bps: int
    lock_period: int

    def check(self, delay: int) -> None:
        """Refuses what is outside the immutable bounds; `delay` [s] of the timelock."""
        low, high = VOTING_DELAYS
        require(low <= self.voting_delay <= high, "governor: voting delay")
        low, high = VOTING_PERIODS
        require(low <= self.voting_period <= high, "governor: voting period")
        low, high = QUORUMS
        require(low <= self.quorum_bps <= high, "governor: quorum")
        low, high = THRESHOLDS
        require(low <= self.threshold_bps <= high, "governor: threshold")
        way = self.voting_delay + self.voting_period + delay
        require(way < self.lock_period <= MAX_LOCK_PERIOD, "governor: lock period")


@dataclass(slots=True)
class Proposal:
    """IGovernor.Proposal, with the calls in place of their hash."""

    proposer: str
    created: int
    start: int
    end: int
    quorum: int
    calls: tuple[Call, ...]
    votes: list[int] = field(default_factory=lambda: [0, 0, 0])  # against, for, abstain
    operation: Hashable = None
    is_vetoed: bool = False
    voters: set[str] = field(default_factory=set)


class Shares(Protocol):
    """What the Governor asks of the Vault."""

    @property
    def supply(self) -> int: ...
    def transfer(self, owner: str, to: str, amount: int) -> None: ...


@dataclass(slots=True)
class Timelock:
    """Times of operations: 0 for none, 1 for done, else when it is ready. ``now`` is the block's time."""

    delay: int
    times: dict[Hashable, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.update_delay(self.delay)

    def schedule(self, operation: Hashable, now: int) -> None:
        """At the least delay."""
        require(self.time_of(operation) == 0, "timelock_controller: operation already scheduled")
        self.times[operation] = now + self.delay

    def cancel(self, operation: Hashable) -> None:
        """It was never scheduled, then."""
        require(self.time_of(operation) > DONE, "timelock_controller: operation cannot be cancelled")
        self.times[operation] = 0

    def execute(self, operation: Hashable, now: int) -> None:
        """What it does is the caller's to mirror."""
        require(DONE < self.time_of(operation) <= now, "timelock_controller: operation is not ready")
        self.times[operation] = DONE

    def update_delay(self, delay: int) -> None:
        """For what is scheduled from now on."""
        require(DELAYS[0] <= delay <= DELAYS[1], "timelock: delay range")
        self.delay = delay

    def time_of(self, operation: Hashable) -> int:
        """``get_timestamp``."""
        return self.times.get(operation, 0)


@dataclass(slots=True)
class Votes:
    """Twin of ``votes.vy``."""

    locked: dict[str, int] = field(default_factory=dict)
    total_locked: int = 0
    unlocking: dict[str, tuple[int, int]] = field(default_factory=dict)  # shares, ready at
    delegates: dict[str, str] = field(default_factory=dict)
    history: dict[str, list[tuple[int, int]]] = field(default_factory=dict)  # since, votes

    def lock(self, account: str, shares: int, now: int) -> None:
        """``_lock``."""
        require(shares > 0, "governor: zero amount")
        self.locked[account] = self.locked.get(account, 0) + shares
        self.total_locked += shares
        self._move(None, self.delegate_of(account), shares, now)

    def unlock(self, account: str, shares: int, ready_at: int, now: int) -> None:
        """``_unlock``."""
        require(shares > 0, "governor: zero amount")
        require(shares <= self.locked.get(account, 0), "governor: not locked")
        self.locked[account] -= shares
        self.total_locked -= shares
        self.unlocking[account] = self.unlocking.get(account, (0, 0))[0] + shares, ready_at
        self._move(self.delegate_of(account), None, shares, now)

    def withdraw(self, account: str, now: int) -> int:
        """``_withdraw``."""
        shares, ready_at = self.unlocking.get(account, (0, 0))
        require(shares > 0, "governor: nothing unlocked")
        require(now >= ready_at, "governor: too early")
        del self.unlocking[account]
        return shares

    def set_delegate(self, account: str, to: str | None, now: int) -> None:
        """``_set_delegate``; None is the zero address."""
        if to is None:
            require(False, "governor: zero delegate")
            return
        before = self.delegate_of(account)
        self.delegates[account] = to
        self._move(before, to, self.locked.get(account, 0), now)

    def delegate_of(self, account: str) -> str:
        """Who votes for an account."""
        return self.delegates.get(account, account)

    def at(self, account: str, time: int) -> int:
        """``_votes_at``."""
        history = self.history.get(account, [])
        place = bisect_right(history, time, key=lambda entry: entry[0])
        return history[place - 1][1] if place else 0

    def _move(self, source: str | None, target: str | None, shares: int, now: int) -> None:
        if source == target or shares == 0:
            return
        if source is not None:
            self._write(source, self.at(source, now) - shares, now)
        if target is not None:
            self._write(target, self.at(target, now) + shares, now)

    def _write(self, account: str, votes: int, now: int) -> None:
        history = self.history.setdefault(account, [])
        if history and history[-1][0] == now:
            history.pop()
        history.append((now, votes))


@dataclass(slots=True)
class Count:
    """Objections to one scheduling of an operation that are counted together."""

    started: int
    period: int
    objected: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Governor:
    """Twin of ``Governor.vy``. ``undoing`` are the selectors that a guardian may veto, ``address`` holds the shares."""

    address: str
    vault: Shares
    timelock: Timelock
    guardian: str | None
    params: Params
    undoing: frozenset[bytes] = frozenset()
    votes: Votes = field(default_factory=Votes)
    proposals: list[Proposal] = field(default_factory=list)
    was_vetoed: set[tuple[Call, ...]] = field(default_factory=set)
    counts: dict[tuple[Hashable, int], Count] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.set_params(self.params)

    # ---- shares

    def lock(self, account: str, shares: int, now: int) -> None:
        """Takes shares in."""
        self.votes.lock(account, shares, now)
        self.vault.transfer(account, self.address, shares)

    def unlock(self, account: str, shares: int, now: int) -> None:
        """First step of leaving."""
        self.votes.unlock(account, shares, now + self.params.lock_period, now)

    def withdraw(self, account: str, now: int) -> int:
        """Second step."""
        shares = self.votes.withdraw(account, now)
        self.vault.transfer(self.address, account, shares)
        return shares

    def delegate(self, account: str, to: str | None, now: int) -> None:
        """Lets another vote."""
        self.votes.set_delegate(account, to, now)

    # ---- proposals

    def propose(self, proposer: str, calls: Sequence[Call], now: int) -> int:
        """Puts calls to the vote; the proposal's id."""
        require(len(calls) > 0, "governor: no calls")
        supply, own = self.vault.supply, self.votes.at(proposer, now - 1)
        require(own > 0 and own >= part_up(supply, self.params.threshold_bps), "governor: below threshold")
        start = now + self.params.voting_delay
        end, quorum = start + self.params.voting_period, part_up(supply, self.params.quorum_bps)
        self.proposals.append(Proposal(proposer, now, start, end, quorum, tuple(calls)))
        return len(self.proposals) - 1

    def cast_vote(self, voter: str, proposal_id: int, support: int, now: int) -> int:
        """Votes counted; for a signed ballot the signer is the voter."""
        known = 0 <= proposal_id < len(self.proposals)
        proposal = self.proposals[proposal_id] if known else Proposal("", 0, 0, 0, 0, ())
        require(proposal.start <= now < proposal.end and not proposal.is_vetoed, "governor: not active")
        require(support <= ABSTAIN, "governor: support")
        require(voter not in proposal.voters, "governor: has voted")
        weight = self.votes.at(voter, proposal.created - 1)
        require(weight > 0, "governor: no votes")
        proposal.voters.add(voter)
        proposal.votes[support] += weight
        return weight

    def queue(self, proposal_id: int, calls: Sequence[Call], now: int) -> Hashable:
        """Schedules what has passed, unless another proposer has."""
        proposal = self._load(proposal_id, calls)
        require(self._state(proposal, now) == State.SUCCEEDED, "governor: not succeeded")
        operation = ("proposal", proposal_id)
        if self.timelock.time_of(operation) == 0:
            self.timelock.schedule(operation, now)
        proposal.operation = operation
        return operation

    def object(self, account: str, operation: Hashable, now: int) -> bool:
        """Counts locked shares against what waits at the timelock; whether that cancelled it."""
        ready_at = self.timelock.time_of(operation)
        require(ready_at > DONE, "governor: nothing pending")
        shares = self.votes.locked.get(account, 0)
        require(shares > 0, "governor: no votes")
        count = self._open_count(operation, now)
        count.objected[account] = shares
        self.counts[operation, ready_at] = count
        objections, needed = self.objections(operation, now)
        if objections < needed:
            return False
        self.timelock.cancel(operation)
        return True

    # ---- privileged

    def veto(self, sender: str, proposal_id: int, calls: Sequence[Call], now: int) -> None:
        """The guardian stops a proposal that only undoes tightenings, once."""
        require(sender == self.guardian, "governor: not allowed")
        proposal = self._load(proposal_id, calls)
        state = self._state(proposal, now)
        require(bool(state & (State.PENDING | State.ACTIVE | State.SUCCEEDED | State.QUEUED)), "governor: over")
        require(all(data[:4] in self.undoing for _, data in calls), "governor: no veto on this")
        require(proposal.calls not in self.was_vetoed, "governor: vetoed once")
        self.was_vetoed.add(proposal.calls)
        proposal.is_vetoed = True
        if state == State.QUEUED:
            self.timelock.cancel(proposal.operation)

    def set_params(self, params: Params) -> None:
        """By the timelock."""
        params.check(self.timelock.delay)
        self.params = params

    def set_guardian(self, guardian: str | None) -> None:
        """By the timelock; None is the zero address."""
        self.guardian = guardian

    # ---- views

    def state(self, proposal_id: int, now: int) -> State:
        """Where a proposal is on its way."""
        require(proposal_id < len(self.proposals), "governor: no such proposal")
        return self._state(self.proposals[proposal_id], now)

    def objections(self, operation: Hashable, now: int) -> tuple[int, int]:
        """Shares that objected to an operation's present scheduling, and how many cancel it."""
        objected = self._open_count(operation, now).objected
        needed = part_up(self.vault.supply, self.params.quorum_bps)
        for proposal in self.proposals:
            if proposal.operation is not None and proposal.operation == operation:
                needed = max(needed, proposal.votes[FOR] + 1)
        return sum(objected.values()), needed

    def _open_count(self, operation: Hashable, now: int) -> Count:
        count = self.counts.get((operation, self.timelock.time_of(operation)))
        period = self.params.lock_period
        if count is not None and now < count.started + min(count.period, period):
            return count
        return Count(now, period)

    def _load(self, proposal_id: int, calls: Sequence[Call]) -> Proposal:
        require(proposal_id < len(self.proposals), "governor: no such proposal")
        proposal = self.proposals[proposal_id]
        require(tuple(calls) == proposal.calls, "governor: other calls")
        return proposal

    def _state(self, proposal: Proposal, now: int) -> State:
        if proposal.is_vetoed:
            return State.CANCELLED
        if now < proposal.start:
            return State.PENDING
        if now < proposal.end:
            return State.ACTIVE
        against, in_favour, abstained = proposal.votes
        if in_favour <= against or in_favour + abstained < proposal.quorum:
            return State.DEFEATED
        if proposal.operation is None:
            return State.SUCCEEDED if now < proposal.end + QUEUE_WINDOW else State.EXPIRED
        ready_at = self.timelock.time_of(proposal.operation)
        if ready_at == 0:
            return State.CANCELLED
        return State.EXECUTED if ready_at == DONE else State.QUEUED


def part_up(supply: int, bps: int) -> int:
    """A part of the supply, rounded up."""
    return (supply * bps + BPS - 1) // BPS
