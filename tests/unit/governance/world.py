"""Governor and Timelock over a plain token for shares, and their twin: every act on both, everything compared after."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from copy import deepcopy
from dataclasses import astuple, dataclass, field
from typing import Any

import pytest
from eth_account import Account
from eth_utils.crypto import keccak

from ballast.chain import Contract, Receipt, Reverted, RevmChain
from ballast.model.exact.fixed import WAD
from ballast.model.exact.fixed import Reverted as TwinReverted
from ballast.model.exact.governor import Call, Governor, Params, Timelock
from ballast.plan import CANCELLER, PROPOSER, TIMELOCK_ADMIN

DAY = 86_400
ZERO = "0x" + "00" * 20
NONE = bytes(32)
SIGNER = Account.from_key("0x" + "22" * 32)
DELAY = 2 * DAY
PARAMS = Params(voting_delay=DAY, voting_period=3 * DAY, quorum_bps=1_000, threshold_bps=50, lock_period=7 * DAY)
SUPPLY = 1_000_000 * WAD
UNDOING = ("unpause(uint256)", "unpause_deposits()", "unpause_venue(uint256)", "thaw(uint256)", "thaw()")


@dataclass
class Shares:
    """Twin of the token."""

    supply: int = 0
    balances: dict[str, int] = field(default_factory=dict)

    def mint(self, owner: str, amount: int) -> None:
        self.supply += amount
        self.balances[owner] = self.balances.get(owner, 0) + amount

    def transfer(self, owner: str, to: str, amount: int) -> None:
        if self.balances.get(owner, 0) < amount:
            raise TwinReverted("erc20: transfer amount exceeds balance")
        self.balances[owner] -= amount
        self.balances[to] = self.balances.get(to, 0) + amount


class World:
    """Three LPs with 100,000 shares each and a signer with 50,000, of a million; the council has none."""

    def __init__(self) -> None:
        self.chain = RevmChain()
        self.setup, self.guardian, self.council, self.stranger, *self.lps = self.chain.accounts[:7]
        self.accounts = [*self.lps, SIGNER.address]
        self.token = self.chain.deploy("TestToken", "Shares", "SH", 18, sender=self.setup)
        self.timelock = self.chain.deploy("Timelock", DELAY, self.council, self.setup, sender=self.setup)
        arguments = (self.token, self.timelock, self.guardian, astuple(PARAMS))
        self.contract: Contract = self.chain.deploy("Governor", *arguments, sender=self.setup)
        for role in (PROPOSER, CANCELLER):
            self.timelock.grantRole.send(role, self.contract, sender=self.setup)
        self.timelock.renounceRole.send(TIMELOCK_ADMIN, self.setup, sender=self.setup)
        undoing = frozenset(selector(signature) for signature in UNDOING)
        self.twin = Governor(self.contract.address, Shares(), Timelock(DELAY), self.guardian, PARAMS, undoing)
        self.operations: dict[Hashable, bytes] = {}
        for account, amount in zip(self.accounts, (100_000, 100_000, 100_000, 50_000), strict=True):
            self.mint(account, amount * WAD)
            self.token.approve.send(self.contract, 2**256 - 1, sender=account)
        self.mint(self.stranger, 650_000 * WAD)
        self.chain.warp(1)

    @property
    def now(self) -> int:
        return self.chain.now

    def warp(self, seconds: int) -> None:
        self.chain.warp(seconds)

    def mint(self, owner: str, amount: int) -> None:
        self.token.mint.send(owner, amount)
        self.twin.vault.mint(owner, amount)  # type: ignore[attr-defined]  # the protocol knows no mint

    # ---- acts

    def lock(self, account: str, shares: int) -> Receipt:
        return self.both("lock", (shares,), account, lambda twin: twin.lock(account, shares, self.now))

    def unlock(self, account: str, shares: int) -> Receipt:
        return self.both("unlock", (shares,), account, lambda twin: twin.unlock(account, shares, self.now))

    def withdraw(self, account: str) -> Receipt:
        return self.both("withdraw", (), account, lambda twin: twin.withdraw(account, self.now))

    def delegate(self, account: str, to: str) -> Receipt:
        twin_to = None if to == ZERO else to
        return self.both("delegate", (to,), account, lambda twin: twin.delegate(account, twin_to, self.now))

    def propose(self, account: str, calls: Sequence[Call], description: str = "") -> Receipt:
        return self.both("propose", (calls, description), account, lambda twin: twin.propose(account, calls, self.now))

    def vote(self, account: str, proposal: int, support: int) -> Receipt:
        return self.both(
            "cast_vote", (proposal, support), account, lambda twin: twin.cast_vote(account, proposal, support, self.now)
        )

    def queue(self, proposal: int, calls: Sequence[Call]) -> Receipt:
        receipt = self.both(
            "queue", (proposal, calls), self.stranger, lambda twin: twin.queue(proposal, calls, self.now),
            answers=False,
        )  # fmt: skip
        self.operations["proposal", proposal] = receipt.value
        self.compare()
        return receipt

    def veto(self, account: str, proposal: int, calls: Sequence[Call]) -> Receipt:
        return self.both("veto", (proposal, calls), account, lambda twin: twin.veto(account, proposal, calls, self.now))

    def object(self, account: str, operation: Hashable) -> Receipt:
        identity = self.operations.get(operation, NONE)
        return self.both("object", (identity,), account, lambda twin: twin.object(account, operation, self.now))

    def execute(self, proposal: int, calls: Sequence[Call], act: Callable[[Governor], None] | None = None) -> Receipt:
        """By a stranger; `act` is what the calls do to the twin."""
        receipt = self.timelock.execute_batch.send(
            *batch(calls), NONE, self.contract.salt(proposal), sender=self.stranger
        )
        self.twin.timelock.execute(("proposal", proposal), self.now)
        if act is not None:
            act(self.twin)
        self.compare()
        return receipt

    def schedule(self, name: str, calls: Sequence[Call]) -> Receipt:
        """An operation of the council's."""
        salt = name.encode().rjust(32, b"\0")
        receipt = self.timelock.schedule_batch.send(*batch(calls), NONE, salt, DELAY, sender=self.council)
        self.operations[name] = self.timelock.hash_operation_batch(*batch(calls), NONE, salt)
        self.twin.timelock.schedule(name, self.now)
        self.compare()
        return receipt

    def passed(self, calls: Sequence[Call], voters: Sequence[str] | None = None) -> int:
        """A proposal that was voted through and queued; its id."""
        proposal = int(self.propose(self.lps[0], calls).value)
        self.warp(PARAMS.voting_delay)
        for voter in voters or self.lps:
            self.vote(voter, proposal, 1)
        self.warp(PARAMS.voting_period)
        self.queue(proposal, calls)
        return proposal

    # ---- both

    def both(
        self,
        fn: str,
        arguments: Sequence[Any],
        sender: str,
        act: Callable[[Governor], Any],
        *,
        answers: bool = True,
    ) -> Receipt:
        """On contract and twin: the same reason or the same answer, and the same state afterwards."""
        try:
            receipt = self.contract.send(fn, *arguments, sender=sender)
        except Reverted as error:
            kept = deepcopy(self.twin)
            with pytest.raises(TwinReverted, match=f"^{re.escape(error.reason)}$"):
                act(self.twin)
            self.twin = kept
            self.compare()
            raise
        answer = act(self.twin)
        if answers:
            assert receipt.value == answer
            self.compare()
        return receipt

    def compare(self) -> None:
        """What everybody has, and where every proposal and operation is."""
        twin, contract, now = self.twin, self.contract, self.now
        votes = twin.votes
        assert contract.total_locked() == votes.total_locked
        assert tuple(contract.params()) == astuple(twin.params)
        for account in self.accounts:
            assert contract.locked(account) == votes.locked.get(account, 0)
            assert tuple(contract.unlocking(account)) == votes.unlocking.get(account, (0, 0))
            assert contract.delegate_of(account) == votes.delegate_of(account)
            assert self.token.balanceOf(account) == twin.vault.balances.get(account, 0)  # type: ignore[attr-defined]
            for time in (now - 1, now):
                assert contract.votes_at(account, time) == votes.at(account, time)
        for name, identity in self.operations.items():
            assert self.timelock.get_timestamp(identity) == twin.timelock.time_of(name)
            assert contract.objections(identity) == twin.objections(name, now)
        assert contract.proposal_count() == len(twin.proposals)
        for i, proposal in enumerate(twin.proposals):
            found = contract.proposal(i)
            assert contract.state(i) == twin.state(i, now)
            assert [found.votes_against, found.votes_for, found.votes_abstain] == proposal.votes
            assert tuple(found)[:5] == (
                proposal.proposer, proposal.created, proposal.start, proposal.end, proposal.quorum,
            )  # fmt: skip


def selector(signature: str) -> bytes:
    """Of a function without arguments, or the start of one with."""
    return bytes(keccak(text=signature)[:4])


def batch(calls: Sequence[Call]) -> tuple[list[str], list[int], list[bytes]]:
    """Calls as the timelock takes them."""
    return [target for target, _ in calls], [0] * len(calls), [data for _, data in calls]
