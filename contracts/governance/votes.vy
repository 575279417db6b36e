# pragma version 0.4.3
# pragma nonreentrancy on
# SPDX-License-Identifier: AGPL-3.0-only
"""
@title  Votes: locked shares, who votes with them, and how many votes anybody had at any time
@notice One locked share is one vote of its owner's delegate; by default everybody is their own. Delegation is not transitive:
        who delegates passes on the own shares, not those of others.

        Invariants: votes of all = shares locked; what somebody had at a time that is over never changes.
@dev    The history of an account is a list of words `since u128 | votes u128`, oldest first, one for each second in which its
        votes changed; reading it is a binary search. Shares fit 128 bits: the vault's supply does.
        Nothing here makes an external call. Twin: ballast/model/exact/governor.py.
"""

from interfaces import IGovernor

MASK_128: constant(uint256) = 2**128 - 1

# [shares, WAD] that vote.
locked: public(HashMap[address, uint256])
# [shares, WAD] of everybody.
total_locked: public(uint256)
# What no longer votes and may be withdrawn later.
unlocking: public(HashMap[address, IGovernor.Unlocking])
# Who votes for an account; zero for itself.
_delegates: HashMap[address, address]
# By account and place in its history.
_history: HashMap[address, HashMap[uint256, uint256]]
_length: HashMap[address, uint256]


@internal
def _lock(account: address, shares: uint256):
    assert shares > 0, "governor: zero amount"
    self.locked[account] += shares
    self.total_locked += shares
    self._move(empty(address), self._delegate_of(account), shares)
    log IGovernor.Locked(account=account, shares=shares, locked=self.locked[account])


@internal
def _unlock(account: address, shares: uint256, ready_at: uint256):
    """@notice The votes go at once. What the account was unlocking already waits for the new time too."""
    assert shares > 0, "governor: zero amount"
    assert shares <= self.locked[account], "governor: not locked"
    self.locked[account] -= shares
    self.total_locked -= shares
    self.unlocking[account].shares += shares
    self.unlocking[account].ready_at = ready_at
    self._move(self._delegate_of(account), empty(address), shares)
    log IGovernor.Unlocked(account=account, shares=shares, locked=self.locked[account], ready_at=ready_at)


@internal
def _withdraw(account: address) -> uint256:
    """@return [shares, WAD] to be sent to the account"""
    waiting: IGovernor.Unlocking = self.unlocking[account]
    assert waiting.shares > 0, "governor: nothing unlocked"
    assert block.timestamp >= waiting.ready_at, "governor: too early"
    self.unlocking[account] = empty(IGovernor.Unlocking)
    log IGovernor.Withdrawn(account=account, shares=waiting.shares)
    return waiting.shares


@internal
def _set_delegate(account: address, to: address):
    assert to != empty(address), "governor: zero delegate"
    before: address = self._delegate_of(account)
    self._delegates[account] = to
    self._move(before, to, self.locked[account])
    log IGovernor.Delegated(account=account, delegate=to)


@internal
@view
def _delegate_of(account: address) -> address:
    to: address = self._delegates[account]
    return account if to == empty(address) else to


@internal
@view
def _votes_at(account: address, time: uint256) -> uint256:
    """@notice Votes at the end of the second `time`, which should be over."""
    low: uint256 = 0
    high: uint256 = self._length[account]
    for _: uint256 in range(64):    # halves it each time: enough for any length
        if low == high:
            break
        middle: uint256 = (low + high) // 2
        if self._history[account][middle] >> 128 <= time:
            low = middle + 1
        else:
            high = middle
    return 0 if low == 0 else self._history[account][low - 1] & MASK_128


@internal
def _move(source: address, target: address, shares: uint256):
    """@notice Takes votes from one and gives them to another; the zero address is nobody."""
    if source == target or shares == 0:
        return
    if source != empty(address):
        self._write(source, self._votes_at(source, block.timestamp) - shares)
    if target != empty(address):
        self._write(target, self._votes_at(target, block.timestamp) + shares)


@internal
def _write(account: address, votes: uint256):
    assert votes <= MASK_128        # dev: more than the vault's supply can be
    length: uint256 = self._length[account]
    if length == 0 or self._history[account][length - 1] >> 128 != block.timestamp:
        length += 1
        self._length[account] = length
    self._history[account][length - 1] = (block.timestamp << 128) | votes
    log IGovernor.VotesChanged(delegate=account, votes=votes)
