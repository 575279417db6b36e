# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Governor: those who provide liquidity decide, in public and slowly
@notice Vault shares that are locked here vote. A proposal is a list of calls; when enough shares voted and more of them for than
        against, anybody queues it at the timelock, which is admin of every contract, and anybody executes it after the delay.

            propose -- voting_delay --> vote -- voting_period --> queue -- timelock's delay --> execute

        Votes are those of the second before the proposal was made, so shares that were deposited, borrowed or bought in its
        block have none. Shares that were unlocked vote no more at once, and come back after lock_period, which is longer than
        the whole way to execution: whoever decides bears what was decided.
        The quorum is a part of the supply of shares when the proposal is made, locked or not: redeeming lowers it only by what
        leaves with the money, and locked shares cannot be redeemed, so that it is never below that part of what can vote.

        Actors: anybody locks, delegates, votes, queues; who has threshold_bps of the supply proposes; LPs object; the guardian
        vetoes; the timelock sets parameters and the guardian. Nobody else has any power here, and nobody is admin.

        Object: LPs stop an operation that waits at the timelock, whoever scheduled it, when the locked shares of those who object
        reach the quorum and outnumber the votes it was passed with (none, if a council scheduled it). So those who came
        after a proposal was made are not bound by votes that were all there were then, and a council is removable.
        Veto: the guardian tightens, only governance loosens; so that it has time for a second look, the guardian can stop a
        proposal that does nothing but undo tightenings, once. It cannot stop anything else, its own replacement least of all.

        Invariants:
        - votes of all = shares locked <= Vault.balanceOf(self), less what is unlocking; nothing moves an account's shares but
          its own unlock and withdraw: not a vote, not the timelock;
        - no account's shares count twice in a vote or an objection, nor in a vote if they were not locked before it;
        - nothing is queued but what a quorum passed, and nothing queued but at the timelock, with its delay;
        - voting makes no call; unlocking and withdrawing depend on nobody.
@dev    Twin: ballast/model/exact/governor.py.
@custom:kill none: the powers are the timelock's, where revoking PROPOSER_ROLE ends those of this contract.
"""

from ethereum.ercs import IERC20
from interfaces import IGovernor

implements: IGovernor

from contracts import constants as c
from contracts.governance import votes
from snekmate.utils import ecdsa
from snekmate.utils import eip712_domain_separator as domain

initializes: votes
initializes: domain

exports: (
    votes.locked,
    votes.total_locked,
    votes.unlocking,
    domain.eip712Domain,
)

interface ITimelock:
    def get_minimum_delay() -> uint256: view
    def get_timestamp(id: bytes32) -> uint256: view
    def schedule_batch(
        targets: DynArray[address, MAX_CALLS],
        amounts: DynArray[uint256, MAX_CALLS],
        payloads: DynArray[Bytes[1_024], MAX_CALLS],
        predecessor: bytes32,
        salt: bytes32,
        delay: uint256,
    ): nonpayable
    def cancel(id: bytes32): nonpayable


# What is counted together against one scheduling of an operation.
struct Objections:
    started: uint256            # [s]
    period: uint256             # [s] lock_period then
    shares: uint256             # [shares, WAD]


MAX_CALLS: constant(uint256) = 8
# What a ballot says.
VOTE_AGAINST: constant(uint256) = 0
VOTE_FOR: constant(uint256) = 1
VOTE_ABSTAIN: constant(uint256) = 2
DONE: constant(uint256) = 1                             # the timelock's timestamp of what was executed
QUEUE_WINDOW: constant(uint256) = 14 * c.DAY            # [s] after voting, in which it can be queued

# Immutable bounds of the parameters.
MIN_VOTING_DELAY: constant(uint256) = 60                # [s]
MAX_VOTING_DELAY: constant(uint256) = 7 * c.DAY         # [s]
MIN_VOTING_PERIOD: constant(uint256) = 3_600            # [s]
MAX_VOTING_PERIOD: constant(uint256) = 14 * c.DAY       # [s]
MIN_QUORUM_BPS: constant(uint256) = 100
MAX_QUORUM_BPS: constant(uint256) = 5_000
MIN_THRESHOLD_BPS: constant(uint256) = 1
MAX_THRESHOLD_BPS: constant(uint256) = 500
MAX_LOCK_PERIOD: constant(uint256) = 60 * c.DAY         # [s]; the least is the way to execution

# What undoes a tightening of the guardian's and nothing else.
UNDOING: constant(bytes4[5]) = [
    method_id("unpause(uint256)", output_type=bytes4),          # PerpEngine, OptionEngine
    method_id("unpause_deposits()", output_type=bytes4),        # Vault
    method_id("unpause_venue(uint256)", output_type=bytes4),    # HedgeManager
    method_id("thaw(uint256)", output_type=bytes4),             # VolSurface
    method_id("thaw()", output_type=bytes4),                    # Steward
]

BALLOT_TYPEHASH: constant(bytes32) = keccak256("Ballot(uint256 proposal,uint256 support,address voter)")

VAULT: public(immutable(IERC20))                        # whose shares vote
TIMELOCK: public(immutable(ITimelock))

params: public(IGovernor.Params)
# Who may veto; zero for nobody.
guardian: public(address)
proposal_count: public(uint256)
_proposals: HashMap[uint256, IGovernor.Proposal]
has_voted: public(HashMap[uint256, HashMap[address, bool]])
# Of a queued operation: id of the proposal, plus one.
_proposal_of: HashMap[bytes32, uint256]
# Calls that were vetoed once, by hash.
was_vetoed: public(HashMap[bytes32, bool])
# By scheduling: operation and the time it is ready at.
_objections: HashMap[bytes32, Objections]
# By scheduling and start of the count, and there by account [shares, WAD].
_objected: HashMap[bytes32, HashMap[address, uint256]]


@deploy
def __init__(vault: address, timelock: address, guardian: address, params: IGovernor.Params):
    """
    @param guardian who may veto; the zero address for nobody
    """
    domain.__init__("Ballast Governor", "1")
    VAULT = IERC20(vault)
    TIMELOCK = ITimelock(timelock)
    self._set_guardian(guardian)
    self._set_params(params, staticcall ITimelock(timelock).get_minimum_delay())


# ------------------------------------------------------------------ shares


@external
def lock(shares: uint256):
    """
    @notice Takes shares in; they vote on what is proposed in later blocks.
    @param shares [shares, WAD]
    """
    votes._lock(msg.sender, shares)
    assert extcall VAULT.transferFrom(msg.sender, self, shares)     # dev: the vault reverts instead


@external
def unlock(shares: uint256):
    """
    @notice First step of leaving: the shares vote on nothing that is proposed from now on. All that the caller is unlocking,
            then, is ready after lock_period.
    @param shares [shares, WAD]
    """
    votes._unlock(msg.sender, shares, block.timestamp + self.params.lock_period)


@external
def withdraw() -> uint256:
    """
    @notice Second step: the unlocked shares go home.
    @return [shares, WAD]
    """
    shares: uint256 = votes._withdraw(msg.sender)
    assert extcall VAULT.transfer(msg.sender, shares)               # dev: the vault reverts instead
    return shares


@external
def delegate(to: address):
    """
    @notice Lets `to` vote with the shares that the caller has locked and will lock; oneself to take it back.
    """
    votes._set_delegate(msg.sender, to)


# ------------------------------------------------------------------ proposals


@external
def propose(calls: DynArray[IGovernor.Call, MAX_CALLS], description: String[1_000]) -> uint256:
    """
    @notice Puts calls to the vote. The caller needs threshold_bps of the supply of shares, in votes, since before this block.
    @param calls executed in order, all or none, by the timelock
    @return its id
    """
    assert len(calls) > 0, "governor: no calls"
    params: IGovernor.Params = self.params
    supply: uint256 = staticcall VAULT.totalSupply()
    own: uint256 = votes._votes_at(msg.sender, block.timestamp - 1)
    assert own > 0 and own >= self._part_up(supply, params.threshold_bps), "governor: below threshold"
    start: uint256 = block.timestamp + params.voting_delay
    proposal: IGovernor.Proposal = empty(IGovernor.Proposal)
    proposal.proposer = msg.sender
    proposal.created = block.timestamp
    proposal.start = start
    proposal.end = start + params.voting_period
    proposal.quorum = self._part_up(supply, params.quorum_bps)
    proposal.calls_hash = keccak256(abi_encode(calls))
    proposal_id: uint256 = self.proposal_count
    self.proposal_count = proposal_id + 1
    self._proposals[proposal_id] = proposal
    log IGovernor.Proposed(
        proposal_id=proposal_id,
        proposer=msg.sender,
        start=start,
        end=proposal.end,
        quorum=proposal.quorum,
        calls=calls,
        description=description,
    )
    return proposal_id


@external
def cast_vote(proposal_id: uint256, support: uint256) -> uint256:
    """
    @param support 0 against, 1 for, 2 abstain
    @return [shares, WAD] counted
    """
    return self._cast(proposal_id, support, msg.sender)


@external
def cast_vote_by_sig(proposal_id: uint256, support: uint256, voter: address, signature: Bytes[65]) -> uint256:
    """
    @notice Hands in a ballot that its voter has signed (EIP-712); a ballot counts once, so it needs no nonce.
    @param support 0 against, 1 for, 2 abstain
    @return [shares, WAD] counted
    """
    signer: address = ecdsa._recover_sig(self._ballot_digest(proposal_id, support, voter), signature)
    assert voter != empty(address) and signer == voter, "governor: signature"
    return self._cast(proposal_id, support, voter)


@external
def queue(proposal_id: uint256, calls: DynArray[IGovernor.Call, MAX_CALLS]) -> bytes32:
    """
    @notice Schedules what has passed, unless another proposer has already: it is the proposal's then too. Then anybody executes it at the timelock: execute_batch with the same calls, amounts of
            0, predecessor 0 and `salt(proposal_id)`.
    @param calls of the proposal
    @return the operation
    """
    proposal: IGovernor.Proposal = self._load(proposal_id, calls)
    assert self._state(proposal) == IGovernor.State.SUCCEEDED, "governor: not succeeded"
    targets: DynArray[address, MAX_CALLS] = []
    amounts: DynArray[uint256, MAX_CALLS] = []
    payloads: DynArray[Bytes[1_024], MAX_CALLS] = []
    for call: IGovernor.Call in calls:
        targets.append(call.target)
        amounts.append(0)
        payloads.append(call.data)
    salt: bytes32 = self._salt(proposal_id)
    # as the timelock hashes it
    operation: bytes32 = keccak256(abi_encode(targets, amounts, payloads, empty(bytes32), salt))
    self._proposals[proposal_id].operation = operation
    self._proposal_of[operation] = proposal_id + 1
    ready_at: uint256 = staticcall TIMELOCK.get_timestamp(operation)
    is_there: bool = ready_at != 0
    delay: uint256 = 0
    if not is_there:
        delay = staticcall TIMELOCK.get_minimum_delay()
        ready_at = block.timestamp + delay
    log IGovernor.Queued(proposal_id=proposal_id, operation=operation, ready_at=ready_at)
    if not is_there:
        extcall TIMELOCK.schedule_batch(targets, amounts, payloads, empty(bytes32), salt, delay)
    return operation


@external
def object(operation: bytes32) -> bool:
    """
    @notice Counts the caller's own locked shares against an operation that waits at the timelock, and cancels it when there are
            enough. Delegates have no say here.
    @dev    No snapshot is needed: shares that objected are locked for lock_period at least, and are counted no longer than that
            after the first of their count, so they cannot come back under another name. Then a new count begins from nothing:
            whatever waits can always be objected to. Nor can borrowed shares object: they could not be given back.
    @param operation at the timelock
    @return whether it was cancelled
    """
    ready_at: uint256 = staticcall TIMELOCK.get_timestamp(operation)
    assert ready_at > DONE, "governor: nothing pending"
    shares: uint256 = votes.locked[msg.sender]
    assert shares > 0, "governor: no votes"
    scheduling: bytes32 = keccak256(abi_encode(operation, ready_at))
    objections: Objections = self._open_count(scheduling)
    count: bytes32 = keccak256(abi_encode(scheduling, objections.started))
    objections.shares = objections.shares - self._objected[count][msg.sender] + shares
    self._objected[count][msg.sender] = shares
    self._objections[scheduling] = objections
    needed: uint256 = self._objections_needed(operation)
    log IGovernor.Objected(
        operation=operation, account=msg.sender, shares=shares, objections=objections.shares, needed=needed
    )
    if objections.shares < needed:
        return False
    extcall TIMELOCK.cancel(operation)
    return True


# ------------------------------------------------------------------ privileged


@external
def veto(proposal_id: uint256, calls: DynArray[IGovernor.Call, MAX_CALLS]):
    """
    @notice The guardian stops a proposal that does nothing but undo tightenings. The same calls, proposed again, stand.
    @param calls of the proposal
    """
    assert msg.sender == self.guardian, "governor: not allowed"
    proposal: IGovernor.Proposal = self._load(proposal_id, calls)
    state: IGovernor.State = self._state(proposal)
    assert state in (
        IGovernor.State.PENDING | IGovernor.State.ACTIVE | IGovernor.State.SUCCEEDED | IGovernor.State.QUEUED
    ), "governor: over"
    for call: IGovernor.Call in calls:
        assert self._is_undoing(call.data), "governor: no veto on this"
    assert not self.was_vetoed[proposal.calls_hash], "governor: vetoed once"
    self.was_vetoed[proposal.calls_hash] = True
    self._proposals[proposal_id].is_vetoed = True
    log IGovernor.Vetoed(proposal_id=proposal_id, guardian=msg.sender)
    if state == IGovernor.State.QUEUED:
        extcall TIMELOCK.cancel(proposal.operation)


@external
def set_params(params: IGovernor.Params):
    """
    @notice For proposals made from now on; the lock period for shares unlocked from now on.
    """
    self._check_timelock()
    self._set_params(params, staticcall TIMELOCK.get_minimum_delay())


@external
def set_guardian(guardian: address):
    """
    @param guardian who may veto; the zero address for nobody
    """
    self._check_timelock()
    self._set_guardian(guardian)


# ------------------------------------------------------------------ views


@view
@external
def proposal(proposal_id: uint256) -> IGovernor.Proposal:
    """
    @return zeros for an id that does not exist
    """
    return self._proposals[proposal_id]


@view
@external
def state(proposal_id: uint256) -> IGovernor.State:
    """
    @return where a proposal is on its way; reverts for an id that does not exist
    """
    proposal: IGovernor.Proposal = self._proposals[proposal_id]
    assert proposal.created != 0, "governor: no such proposal"
    return self._state(proposal)


@view
@external
def votes_at(account: address, time: uint256) -> uint256:
    """
    @param time [s] final once it is over
    @return [shares, WAD] the account's own and delegated ones
    """
    return votes._votes_at(account, time)


@view
@external
def delegate_of(account: address) -> address:
    """
    @return who votes for the account
    """
    return votes._delegate_of(account)


@view
@external
def objections(operation: bytes32) -> (uint256, uint256):
    """
    @return what was objected to the operation's present scheduling, and what cancels it [shares, WAD]
    """
    ready_at: uint256 = staticcall TIMELOCK.get_timestamp(operation)
    return (
        self._open_count(keccak256(abi_encode(operation, ready_at))).shares,
        self._objections_needed(operation),
    )


@view
@external
def salt(proposal_id: uint256) -> bytes32:
    """
    @return of the proposal's operation at the timelock
    """
    return self._salt(proposal_id)


@view
@external
def ballot_digest(proposal_id: uint256, support: uint256, voter: address) -> bytes32:
    """
    @return what a voter signs
    """
    return self._ballot_digest(proposal_id, support, voter)


# ------------------------------------------------------------------ internal


@internal
def _cast(proposal_id: uint256, support: uint256, voter: address) -> uint256:
    proposal: IGovernor.Proposal = self._proposals[proposal_id]
    assert (
        proposal.start <= block.timestamp and block.timestamp < proposal.end and not proposal.is_vetoed
    ), "governor: not active"
    assert support <= VOTE_ABSTAIN, "governor: support"
    assert not self.has_voted[proposal_id][voter], "governor: has voted"
    weight: uint256 = votes._votes_at(voter, proposal.created - 1)
    assert weight > 0, "governor: no votes"
    self.has_voted[proposal_id][voter] = True
    if support == VOTE_FOR:
        self._proposals[proposal_id].votes_for = proposal.votes_for + weight
    elif support == VOTE_AGAINST:
        self._proposals[proposal_id].votes_against = proposal.votes_against + weight
    else:
        self._proposals[proposal_id].votes_abstain = proposal.votes_abstain + weight
    log IGovernor.VoteCast(proposal_id=proposal_id, voter=voter, support=support, votes=weight)
    return weight


@internal
@view
def _load(proposal_id: uint256, calls: DynArray[IGovernor.Call, MAX_CALLS]) -> IGovernor.Proposal:
    proposal: IGovernor.Proposal = self._proposals[proposal_id]
    assert proposal.created != 0, "governor: no such proposal"
    assert keccak256(abi_encode(calls)) == proposal.calls_hash, "governor: other calls"
    return proposal


@internal
@view
def _state(proposal: IGovernor.Proposal) -> IGovernor.State:
    if proposal.is_vetoed:
        return IGovernor.State.CANCELLED
    if block.timestamp < proposal.start:
        return IGovernor.State.PENDING
    if block.timestamp < proposal.end:
        return IGovernor.State.ACTIVE
    if (
        proposal.votes_for <= proposal.votes_against
        or proposal.votes_for + proposal.votes_abstain < proposal.quorum
    ):
        return IGovernor.State.DEFEATED
    if proposal.operation == empty(bytes32):
        if block.timestamp < proposal.end + QUEUE_WINDOW:
            return IGovernor.State.SUCCEEDED
        return IGovernor.State.EXPIRED
    ready_at: uint256 = staticcall TIMELOCK.get_timestamp(proposal.operation)
    if ready_at == 0:
        return IGovernor.State.CANCELLED
    return IGovernor.State.EXECUTED if ready_at == DONE else IGovernor.State.QUEUED


@internal
@view
def _open_count(scheduling: bytes32) -> Objections:
    """@notice The count that an objection of now belongs to."""
    objections: Objections = self._objections[scheduling]
    period: uint256 = self.params.lock_period
    if block.timestamp < objections.started + min(objections.period, period):
        return objections
    return Objections(started=block.timestamp, period=period, shares=0)


@internal
@view
def _objections_needed(operation: bytes32) -> uint256:
    """@notice The quorum of now, and more than the votes it was passed with."""
    needed: uint256 = self._part_up(staticcall VAULT.totalSupply(), self.params.quorum_bps)
    number: uint256 = self._proposal_of[operation]
    return needed if number == 0 else max(needed, self._proposals[number - 1].votes_for + 1)


@internal
@view
def _salt(proposal_id: uint256) -> bytes32:
    return keccak256(abi_encode(self, proposal_id))


@internal
@view
def _ballot_digest(proposal_id: uint256, support: uint256, voter: address) -> bytes32:
    return domain._hash_typed_data_v4(keccak256(abi_encode(BALLOT_TYPEHASH, proposal_id, support, voter)))


@internal
@pure
def _is_undoing(data: Bytes[1_024]) -> bool:
    return len(data) >= 4 and convert(slice(data, 0, 4), bytes4) in UNDOING


@internal
@pure
def _part_up(supply: uint256, bps: uint256) -> uint256:
    """@notice A part of the supply, rounded up: against whoever needs it."""
    return (supply * bps + c.BPS - 1) // c.BPS


@internal
@view
def _check_timelock():
    assert msg.sender == TIMELOCK.address, "governor: not allowed"


@internal
def _set_params(params: IGovernor.Params, delay: uint256):
    """@param delay [s] of the timelock"""
    assert (
        MIN_VOTING_DELAY <= params.voting_delay and params.voting_delay <= MAX_VOTING_DELAY
    ), "governor: voting delay"
    assert (
        MIN_VOTING_PERIOD <= params.voting_period and params.voting_period <= MAX_VOTING_PERIOD
    ), "governor: voting period"
    assert MIN_QUORUM_BPS <= params.quorum_bps and params.quorum_bps <= MAX_QUORUM_BPS, "governor: quorum"
    assert (
        MIN_THRESHOLD_BPS <= params.threshold_bps and params.threshold_bps <= MAX_THRESHOLD_BPS
    ), "governor: threshold"
    assert (
        params.voting_delay + params.voting_period + delay < params.lock_period
        and params.lock_period <= MAX_LOCK_PERIOD
    ), "governor: lock period"
    self.params = params
    log IGovernor.ParamsSet(params=params)


@internal
def _set_guardian(guardian: address):
    self.guardian = guardian
    log IGovernor.GuardianSet(guardian=guardian)
