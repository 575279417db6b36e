"""Mandates: who may hedge under one, how much, until when, and what he is paid; contract and twin side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from ballast.chain import Contract, Receipt, Reverted, reverts
from ballast.model.exact.fixed import MICRO, WAD, YEAR
from ballast.model.exact.fixed import Reverted as TwinReverted
from ballast.model.exact.hedge import NO_LIMIT, Fall, Outcome, VenueState, budget
from ballast.model.exact.mandates import Mandates
from ballast.model.roles import Role
from ballast.testing.hedge_world import MARKET, PRICE, World, add_double

DAY = 86_400
SIZE = 10 * WAD
NOTIONAL = SIZE * 2_000
QUOTE = 10**6  # [MICRO]
SHARE = 2_500
PLENTY = Fall(fall=100 * WAD, freed=50 * WAD, release=0, excess=0)


@dataclass
class Measured:
    """HedgeManager of the twin: what the contract's has measured."""

    outcome: Any = None
    venues: list[SimpleNamespace] = field(default_factory=list)
    asked: tuple[Any, ...] = ()

    def rebalance_for(self, *args: Any) -> Outcome:
        self.asked = args
        if isinstance(self.outcome, Reverted):
            raise TwinReverted(self.outcome.reason)
        return self.outcome


@dataclass
class Office:
    """Mandates on a HedgeManager with one venue; Inventory and venue do as they are told."""

    w: World
    contract: Contract
    agent: str
    measured: Measured
    twin: Mandates

    def grant(self, **changes: Any) -> int:
        """A mandate for the agent: venue 0, 100,000 quote, a week, a quarter; its id."""
        terms = {"agent": self.agent, "venues": 1, "size": 100_000 * QUOTE, "expiry": self.now + 7 * DAY}
        arguments = (*(terms | {"share_bps": SHARE} | changes).values(),)
        agent = None if int(arguments[0], 16) == 0 else arguments[0]
        return int(
            self.both(
                lambda: self.contract.grant.send(*arguments, sender=self.w.setup),
                lambda: self.twin.grant(agent, *arguments[1:], self.now),
            ).value
        )

    def hedge(
        self, mandate: int = 0, size: int = SIZE, venue: int = 0, market: int = MARKET, sender: str | None = None
    ) -> Receipt:
        """Without a limit price, by the agent unless somebody else is named."""
        limit, who = NO_LIMIT if size > 0 else 0, sender or self.agent

        def send() -> Receipt:
            self.measured.outcome = None
            try:
                receipt = self.contract.hedge.send(mandate, venue, market, size, limit, sender=who)
            except Reverted as error:
                self.measured.outcome = error
                raise
            self.measured.outcome = Outcome(*receipt.value)
            return receipt

        receipt = self.both(send, lambda: self.twin.hedge(who, mandate, venue, market, size, limit, self.now))
        assert self.measured.asked == (who, self.twin.mandate(mandate).share_bps, venue, market, size, limit, self.now)
        return receipt

    def revoke(self, mandate: int, sender: str) -> Receipt:
        return self.both(
            lambda: self.contract.revoke.send(mandate, sender=sender), lambda: self.twin.revoke(mandate, self.now)
        )

    def both(self, send: Callable[[], Receipt], act: Callable[[], object]) -> Receipt:
        """On contract and twin: the same reason, the same mandates afterwards."""
        try:
            receipt = send()
        except Reverted as error:
            self._look()
            with pytest.raises(TwinReverted, match=error.reason):
                act()
            raise
        self._look()
        act()
        count = self.contract.mandate_count()
        assert count == len(self.twin.granted)
        for i in range(count):
            assert tuple(self.contract.mandate(i)) == astuple(self.twin.mandate(i))
        return receipt

    def _look(self) -> None:
        count = self.w.manager.venue_count()
        states = [VenueState(*self.w.manager.venue_state(i)) for i in range(count)]
        self.measured.venues = [SimpleNamespace(state=state) for state in states]

    @property
    def now(self) -> int:
        return self.w.chain.now

    def left(self, mandate: int = 0) -> int:
        """[quote, MICRO]"""
        found = self.contract.mandate(mandate)
        return int(found.size - found.volume)


@pytest.fixture
def office(dictated: World) -> Office:
    w = dictated
    contract = w.chain.deploy("Mandates", w.governor, w.setup, w.manager)
    w.manager.grant_role.send(contract, Role.HEDGER, sender=w.setup)
    contract.grant_role.send(w.guardian, Role.GUARDIAN, sender=w.governor)
    w.set_rule(gas_units=0, size_reward=0)
    w.dictate(PLENTY)
    measured = Measured()
    return Office(w, contract, w.whale, measured, Mandates(measured))


# ---- granting


def test_grant_registers_terms_and_counts_nothing_yet(office: Office) -> None:
    assert tuple(office.contract.mandate(0))[1:] == (0,) * 9
    expiry = office.now + 7 * DAY
    receipt = office.contract.grant.send(office.agent, 1, 100_000 * QUOTE, expiry, SHARE, sender=office.w.governor)
    assert tuple(receipt.one("Granted")) == (0, office.agent, 1, 100_000 * QUOTE, expiry, SHARE)
    assert tuple(office.contract.mandate(0)) == (office.agent, 1, SHARE, expiry, 100_000 * QUOTE, 0, 0, 0, 0, 0)
    assert office.contract.grant.send(office.agent, 1, 1, expiry, 0, sender=office.w.governor).value == 1


def test_grant_refuses_what_is_out_of_bounds_and_registers_nothing(office: Office) -> None:
    now = office.now + 1
    for changes, reason in (
        ({"agent": "0x" + "00" * 20}, "mandates: no agent"),
        ({"venues": 0}, "mandates: no such venue"),
        ({"venues": 2}, "mandates: no such venue"),
        ({"venues": 2**255 + 1}, "mandates: no such venue"),
        ({"size": 0}, "mandates: size range"),
        ({"size": 2**64}, "mandates: size range"),
        ({"expiry": office.now}, "mandates: expiry range"),
        ({"expiry": now + YEAR}, "mandates: expiry range"),
        ({"share_bps": 3_001}, "mandates: share range"),
    ):
        with reverts(reason):
            office.grant(**changes)
    assert office.contract.mandate_count() == 0
    for stranger in (office.agent, office.w.guardian, office.w.keeper):
        with reverts("roles: not allowed"):
            office.contract.grant.send(stranger, 1, 1, office.now + DAY, 0, sender=stranger)


def test_grant_keeps_the_largest_terms(office: Office) -> None:
    for _ in range(7):
        add_double(office.w)
    agent = "0x" + "ff" * 20
    for expiry in (office.now + YEAR, office.now + YEAR - 1):
        mandate = office.contract.grant.send(agent, 255, 2**64 - 1, expiry, 2_999, sender=office.w.setup).value
        found = office.contract.mandate(mandate)
        assert (int(found.agent, 16), *found[1:5]) == (2**160 - 1, 255, 2_999, expiry, 2**64 - 1)


# ---- hedging


def test_agent_is_paid_its_own_share_and_everything_is_counted(office: Office) -> None:
    office.grant()
    receipt = office.hedge()
    outcome = receipt.value
    assert outcome.filled == SIZE
    assert outcome.reward == (50 * WAD - outcome.cost) * SHARE // 10_000
    assert office.w.cash(office.agent) == outcome.reward
    assert receipt.one("Rebalanced").keeper == office.agent
    assert tuple(receipt.one("Hedged")) == (0, 0, NOTIONAL // MICRO, 80_000 * QUOTE)
    office.w.next_block(price=PRICE + 1)  # a wei: the next volume is rounded up
    sold = office.hedge(size=-SIZE // 2).value
    found = office.contract.mandate(0)
    assert (found.hedges, found.volume) == (2, 30_000 * QUOTE + 1)
    assert found.cost == outcome.cost // MICRO + sold.cost // MICRO
    assert found.reward == sum((each.reward + each.gas) // MICRO for each in (outcome, sold))
    assert found.fall == 200 * QUOTE


def test_no_share_lets_a_hedge_cost_more_than_it_saves(office: Office) -> None:
    """The bound is the rule's: with the largest share the same hedge needs a larger fall of U, to the wei."""
    office.grant(share_bps=3_000)
    terms, cost = office.w.manager.terms(), NOTIONAL * 5 // 10_000
    spent = cost + (50 * WAD - cost) * 3_000 // 10_000
    least = next(fall for fall in range(spent, 2 * spent, WAD // 1_000) if budget(terms.phi_bps, fall) >= spent)
    office.w.dictate(Fall(least - WAD // 500, 50 * WAD, 0, 0))
    with reverts("hedge: costs more than it saves"):
        office.hedge()
    office.w.dictate(Fall(least, 50 * WAD, 0, 0))
    outcome = office.hedge().value
    assert outcome.cost + outcome.reward == spent
    found = office.contract.mandate(0)
    assert found.cost + found.reward <= budget(terms.phi_bps, found.fall + found.hedges)


def test_volume_never_exceeds_the_size(office: Office) -> None:
    office.grant(size=NOTIONAL // MICRO + 5)
    office.hedge()
    assert office.left() == 5
    before, cash = tuple(office.contract.mandate(0)), office.w.cash(office.agent)
    office.w.next_block()
    with reverts("mandates: size spent"):
        office.hedge(size=-SIZE)  # turnover: hedging back spends as much
    assert (tuple(office.contract.mandate(0)), office.w.cash(office.agent)) == (before, cash)
    office.hedge(size=-5 * MICRO // 2_000)
    assert office.left() == 0


def test_hedge_is_the_agents_alone_where_and_while_it_is_granted(office: Office) -> None:
    office.grant()
    add_double(office.w)
    for sender in (office.w.governor, office.w.keeper):
        with reverts("mandates: not the agent"):
            office.hedge(sender=sender)
    with reverts("mandates: not the agent"):
        office.hedge(mandate=1)
    for venue in (1, 255, 256, 2**255):
        with reverts("mandates: venue not granted"):
            office.hedge(venue=venue)
    with reverts("hedge: wrong market"):
        office.hedge(market=1)
    office.grant(venues=0b10)
    with reverts("mandates: venue not granted"):
        office.hedge(mandate=1, venue=0)
    office.hedge(mandate=1, venue=1)
    with reverts("hedge: zero size"):
        office.hedge(size=0)
    office.w.next_block(7 * DAY - 1)
    with office.w.chain.undone():
        office.contract.hedge.send(0, 0, MARKET, SIZE, NO_LIMIT, sender=office.agent)
    office.w.next_block(1)
    with reverts("mandates: over"):
        office.hedge()


def test_real_hedge_under_the_largest_share_costs_lps_no_more_than_i10_allows(real: World) -> None:
    w = real
    w.set_rule(gas_tip_cap=10**9)
    contract = w.chain.deploy("Mandates", w.governor, w.setup, w.manager)
    w.manager.grant_role.send(contract, Role.HEDGER, sender=w.setup)
    contract.grant.send(w.whale, 1, 10**6 * QUOTE, w.chain.now + DAY, 3_000, sender=w.setup)
    w.inventory.sync.send(0)
    before, terms = w.nav(), w.manager.terms()
    with w.chain.undone():
        by_anyone = w.rebalance(400 * WAD).one("Rebalanced").outcome
    outcome = contract.hedge.send(0, 0, MARKET, 400 * WAD, NO_LIMIT, sender=w.whale).value
    assert (outcome.filled, outcome.cost, outcome.fall) == (by_anyone.filled, by_anyone.cost, by_anyone.fall)
    assert outcome.reward == by_anyone.reward * 3_000 // terms.eta_bps > 0
    assert before - w.nav() <= budget(terms.phi_bps, outcome.fall) - outcome.released
    assert w.cash(w.whale) == outcome.reward + outcome.gas > outcome.reward
    assert contract.mandate(0).reward == (outcome.reward + outcome.gas) // MICRO


# ---- revoking


@pytest.mark.parametrize("who", ["governor", "guardian", "agent"])
def test_revoke_ends_a_mandate_at_once_and_others_go_on(office: Office, who: str) -> None:
    office.grant()
    office.grant()
    sender = office.agent if who == "agent" else getattr(office.w, who)
    receipt = office.revoke(0, sender)
    assert tuple(receipt.one("Revoked")) == (0, sender)
    assert office.contract.mandate(0).expiry == office.now
    with reverts("mandates: over"):
        office.hedge()
    with reverts("mandates: over"):
        office.revoke(0, sender)
    office.hedge(mandate=1)


def test_nobody_else_revokes(office: Office) -> None:
    office.grant()
    for sender in (office.w.keeper, office.w.setup, office.w.trader):
        with reverts("roles: not allowed"):
            office.contract.revoke.send(0, sender=sender)
    with reverts("mandates: over"):
        office.contract.revoke.send(1, sender=office.w.guardian)  # there is none


def test_hedging_under_mandates_ends_with_the_role_and_anyones_goes_on(office: Office) -> None:
    office.grant()
    office.w.manager.revoke_role.send(office.contract, Role.HEDGER, sender=office.w.governor)
    with reverts("roles: not allowed"):
        office.hedge()
    office.w.rebalance(SIZE)
