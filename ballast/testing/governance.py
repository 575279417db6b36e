"""A deployed system that LPs govern, and a vote from proposal to execution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ballast import config
from ballast.chain import Contract, RevmChain
from ballast.model.exact.governor import Call, State
from ballast.proposals import Drafts, Operation
from ballast.system import Sandbox, deploy_system

WAD = 10**18
VOTING_DELAY, VOTING_PERIOD, DELAY, LOCK = 60, 3_600, 3_600, 10_800  # networks/local-governed.yaml
DEPOSITS = 600_000, 400_000


@dataclass(frozen=True)
class Assembly:
    """The system of networks/local-governed.yaml with ETH alone, and LPs whose shares are all locked."""

    chain: RevmChain
    system: Sandbox
    governor: Contract
    timelock: Contract
    lps: Sequence[str]
    drafts: Drafts

    @classmethod
    def gathered(cls) -> Assembly:
        """Two LPs of 600,000 and 400,000 shares."""
        chain = RevmChain(keep_logs=True)
        system = deploy_system(chain, config.load("local-governed").only_market("ETH"))
        assert system.voting is not None
        assert system.timelock is not None
        assembly = cls(chain, system, system.voting, system.timelock, chain.accounts[1:3], Drafts(system))
        for lp, amount in zip(assembly.lps, DEPOSITS, strict=True):
            assembly.join(lp, amount)
        chain.warp(1)
        return assembly

    def join(self, lp: str, amount: int) -> None:
        """Deposit whole quote tokens and lock all shares, in one block."""
        shares = self.system.deposit(lp, amount, counts=False)
        self.system.vault.approve.send(self.governor, 2**256 - 1, sender=lp)
        self.governor.lock.send(shares, sender=lp)

    def propose(self, calls: Sequence[Call], by: str | None = None) -> int:
        """The proposal's id."""
        return int(self.governor.propose.send(calls, "", sender=by or self.lps[0]).value)

    def pass_(self, calls: Sequence[Call], voters: Sequence[str] | None = None) -> int:
        """Propose, vote for, and queue; the proposal's id."""
        number = self.propose(calls, voters[0] if voters else None)
        self.chain.warp(VOTING_DELAY)
        for lp in voters or self.lps:
            self.governor.cast_vote.send(number, 1, sender=lp)
        self.chain.warp(VOTING_PERIOD)
        assert self.governor.state(number) == State.SUCCEEDED
        self.governor.queue.send(number, calls)
        return number

    def execute(self, number: int, calls: Sequence[Call]) -> None:
        """Wait for the timelock, then carry a queued proposal out."""
        self.chain.warp(DELAY)
        fn, arguments = Operation(list(calls), salt=self.governor.salt(number)).execution()
        self.timelock.send(fn, *arguments)

    def decide(self, calls: Sequence[Call]) -> int:
        """All of it; the proposal's id."""
        number = self.pass_(calls)
        self.execute(number, calls)
        return number

    def schedule(self, calls: Sequence[Call], salt: bytes = bytes(32)) -> bytes:
        """An operation of the council's; its id."""
        arguments = Operation(list(calls), salt=salt).execution()[1]
        self.timelock.schedule_batch.send(*arguments, DELAY, sender=self.council)
        return bytes(self.timelock.hash_operation_batch(*arguments))

    @property
    def council(self) -> str:
        governor = self.system.config.governor
        assert not isinstance(governor, str)
        assert governor.council is not None
        return governor.council
