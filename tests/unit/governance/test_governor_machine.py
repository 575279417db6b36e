"""Governor beside its twin, along random sequences: votes are conserved, count once, and only if locked before."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ballast.chain import Reverted, reverts
from ballast.model.exact.fixed import WAD
from ballast.model.exact.governor import Call, State
from tests.conftest import FUZZ_SCALE
from tests.unit.governance.world import DAY, DELAY, PARAMS, World, selector

WHO = st.integers(0, 3)
SHARES = st.sampled_from([1, 4_999 * WAD, 5_000 * WAD, 50_000 * WAD, 100_000 * WAD])
WAITS = st.sampled_from([1, 3_600, DAY, DELAY, PARAMS.voting_period, PARAMS.lock_period])


class GovernorMachine(RuleBasedStateMachine):
    """What was so at the end of the second before a proposal is noted here, apart from contract and twin."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.calls: list[list[Call]] = []
        for account in self.world.lps:
            self.world.lock(account, 90_000 * WAD)
        self.votes: dict[str, int] = {}  # at the end of the last second
        self.at_proposal: list[tuple[dict[str, int], int, int]] = []  # votes, supply, time
        self.ballots: dict[tuple[int, str], int] = {}
        self.planned = 0
        self.wait(1)

    def _account(self, who: int) -> str:
        return str(self.world.accounts[who])

    def _queued(self) -> list[int]:
        """Proposals that wait at the timelock and whose calls succeed."""
        state = self.world.contract.state
        return [i for i, calls in enumerate(self.calls) if len(calls[0][1]) > 4 and state(i) == State.QUEUED]

    @rule(who=WHO, shares=SHARES)
    def lock(self, who: int, shares: int) -> None:
        with suppress(Reverted):
            self.world.lock(self._account(who), shares)

    @rule(who=WHO, shares=SHARES)
    def unlock(self, who: int, shares: int) -> None:
        with suppress(Reverted):
            self.world.unlock(self._account(who), shares)

    @rule(who=WHO)
    def withdraw(self, who: int) -> None:
        with suppress(Reverted):
            self.world.withdraw(self._account(who))

    @rule(who=WHO, to=WHO)
    def delegate(self, who: int, to: int) -> None:
        self.world.delegate(self._account(who), self._account(to))

    @rule(amount=SHARES)
    def others_deposit(self, amount: int) -> None:
        self.world.mint(self.world.stranger, amount)

    @rule(who=WHO, undoing=st.booleans())
    def propose(self, who: int, undoing: bool) -> None:
        w = self.world
        data = selector("thaw()") if undoing else w.token.tx("mint", w.stranger, 0).data
        with suppress(Reverted):
            w.propose(self._account(who), [(w.token.address, data)])
            self.calls.append([(w.token.address, data)])
            self.at_proposal.append((dict(self.votes), w.twin.vault.supply, w.now))

    @rule()
    def propose_with_what_came_this_second(self) -> None:
        """Twice the threshold: it has no votes yet."""
        w = self.world
        account = w.chain.accounts[7]
        w.mint(account, w.twin.vault.supply // 100)
        w.token.approve.send(w.contract, 2**256 - 1, sender=account)
        w.lock(account, w.token.balanceOf(account))
        with reverts("governor: below threshold"):
            w.propose(account, [(w.token.address, b"")])
        w.unlock(account, w.contract.locked(account))
        # it stays out of the way, and its shares in the supply

    @precondition(lambda self: self.calls)
    @rule(who=WHO, which=st.integers(0, 99), support=st.integers(0, 3))
    def vote(self, who: int, which: int, support: int) -> None:
        number, account = which % len(self.calls), self._account(who)
        with suppress(Reverted):
            counted = self.world.vote(account, number, support).value
            assert counted == self.at_proposal[number][0][account]
            assert (number, account) not in self.ballots
            self.ballots[number, account] = counted

    @precondition(lambda self: self.calls)
    @rule()
    def all_vote_for_the_newest(self) -> None:
        """Otherwise few sequences would get as far as the timelock."""
        number = len(self.calls) - 1
        if self.world.contract.state(number) == State.PENDING:
            self.wait(PARAMS.voting_delay)
        for who in range(len(self.world.accounts)):
            self.vote(who, number, 1)
        self.wait(PARAMS.voting_period)
        self.queue(number)

    @precondition(lambda self: self.calls)
    @rule(which=st.integers(0, 99))
    def queue(self, which: int) -> None:
        number = which % len(self.calls)
        with suppress(Reverted):
            self.world.queue(number, self.calls[number])

    @precondition(lambda self: self._queued())
    @rule(which=st.integers(0, 99))
    def execute(self, which: int) -> None:
        w, queued = self.world, self._queued()
        number = queued[which % len(queued)]
        if w.timelock.get_timestamp(w.operations["proposal", number]) > w.now:
            with reverts("timelock_controller: operation is not ready"):
                w.execute(number, self.calls[number])
            self.wait(DELAY)
        w.execute(number, self.calls[number])
        _, supply, since = self.at_proposal[number]
        found = w.contract.proposal(number)
        assert found.votes_for > found.votes_against
        assert (found.votes_for + found.votes_abstain) * 10 >= supply
        assert w.now >= since + PARAMS.voting_delay + PARAMS.voting_period + DELAY

    @precondition(lambda self: self.calls)
    @rule(which=st.integers(0, 99))
    def veto(self, which: int) -> None:
        number = which % len(self.calls)
        with suppress(Reverted):
            self.world.veto(self.world.guardian, number, self.calls[number])
            assert self.calls[number][0][1] == selector("thaw()")

    @rule()
    def council_schedules(self) -> None:
        self.planned += 1
        self.world.schedule(f"plan {self.planned}", [(self.world.token.address, b"")])

    @rule(who=WHO, which=st.integers(0, 99))
    def object(self, who: int, which: int) -> None:
        names = list(self.world.operations)
        with suppress(Reverted):
            self.world.object(self._account(who), names[which % len(names)] if names else "nothing")

    @rule(seconds=WAITS)
    def wait(self, seconds: int) -> None:
        w = self.world
        self.votes = {account: w.contract.votes_at(account, w.now) for account in w.accounts}
        w.warp(seconds)

    @invariant()
    def votes_are_shares_locked_and_shares_are_there(self) -> None:
        w = self.world
        accounts = [*w.accounts, w.chain.accounts[7]]
        locked = sum(w.contract.locked(account) for account in accounts)
        votes = sum(w.contract.votes_at(account, w.now) for account in accounts)
        waiting = sum(w.contract.unlocking(account).shares for account in accounts)
        assert votes == locked == w.contract.total_locked() <= w.token.totalSupply()
        assert w.token.balanceOf(w.contract) == locked + waiting

    @invariant()
    def every_tally_is_the_sum_of_its_ballots(self) -> None:
        for number in range(len(self.calls)):
            found = self.world.contract.proposal(number)
            counted = sum(votes for (which, _), votes in self.ballots.items() if which == number)
            assert found.votes_for + found.votes_against + found.votes_abstain == counted
            assert counted <= sum(self.at_proposal[number][0].values())


TestGovernorMachine = GovernorMachine.TestCase
TestGovernorMachine.settings = settings(max_examples=60 * FUZZ_SCALE, stateful_step_count=40, deadline=None)
