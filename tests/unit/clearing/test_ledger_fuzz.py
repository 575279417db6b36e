"""I1 and I13 at the Clearinghouse: random sequences, to the end, equal the twin to the wei, and every token counts."""

from __future__ import annotations

import os
from dataclasses import astuple, dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ballast.chain import Contract, Receipt, RevmChain, reverts
from ballast.model.exact.clearing import Clearinghouse
from ballast.model.exact.structs import Settlement
from ballast.model.roles import Role

WAD = 10**18
ZERO = "0x" + "00" * 20
BUDGET = 200 * int(os.environ.get("BALLAST_FUZZ_SCALE", "1"))

fractions = st.integers(0, 10**6)
"""Of what is there, in millionths: every amount an action needs is derived from the state, so no input is invalid."""

actions = st.tuples(
    st.sampled_from(
        [
            "deposit", "withdraw", "settle", "settle", "settle", "penalty", "reward", "fund", "collect", "receive",
            "earmark", "claim", "release", "subsidise", "fees", "insure", "donate", "protocol",
        ]
    ),
    st.integers(0, 2),
    fractions,
    fractions,
    st.integers(-(10**21), 10**21),
)  # fmt: skip
endings = st.tuples(
    st.sampled_from(["withdraw", "collect", "claim", "promise", "shares", "finalise"]),
    st.integers(0, 2),
    fractions,
    st.just(0),
    st.just(0),
)
wealth = st.integers(-(10**21), 10**21)


@dataclass
class World:
    """Contract and twin side by side; every action happens to both."""

    chain: RevmChain
    token: Contract
    contract: Contract
    operation: Contract
    twin: Clearinghouse
    accounts: list[str]
    venue: str
    governor: str

    @classmethod
    def build(cls, decimals: int) -> World:
        chain = RevmChain()
        governor, venue, *accounts = chain.accounts[:5]
        token = chain.deploy("TestToken", "Test Dollar", "TUSD", decimals)
        contract = chain.deploy("Clearinghouse", governor, ZERO, token, ZERO)
        operation = chain.deploy("Operation")
        roles = Role.ENGINE | Role.HEDGER | Role.VAULT | Role.INVENTORY | Role.CLOSER | Role.SETTLER
        contract.grant_role.send(operation, roles, sender=governor)
        for account in (*accounts, venue):
            token.mint.send(account, 10**12 * 10**decimals)
            token.approve.send(contract, 2**256 - 1, sender=account)
        return cls(chain, token, contract, operation, Clearinghouse(10 ** (18 - decimals)), accounts, venue, governor)

    def run(self, *calls: tuple[Any, ...]) -> Receipt:
        txs = [(self.contract.address, self.contract.tx(name, *arguments).data) for name, *arguments in calls]
        return self.operation.run.send(txs)

    def within(self, *calls: tuple[Any, ...]) -> Receipt:
        """As one operation, on both sides."""
        self.twin.begin()
        return self.run(("begin",), *calls, ("end",))

    @property
    def free(self) -> int:
        """Token units held beyond what claims are owed."""
        return self.twin.total_units - self.twin.claims // self.twin.scale

    def units(self, amount: int, fraction: int) -> int:
        """Whole token units in a fraction of a WAD amount, as many as are free."""
        return min(max(amount, 0) * fraction // 10**6 // self.twin.scale, self.free)

    def act(self, kind: str, who: int, x: int, y: int, change: int) -> None:
        contract, twin, account = self.contract, self.twin, self.accounts[who]
        if kind == "deposit":
            contract.deposit.send(x + 1, account, sender=account)
            twin.deposit(x + 1, account)
        elif kind == "withdraw":
            units = self.units(twin.account(account)[0] * twin.cash_ratio() // WAD, x)
            if units == 0 or twin.account(account)[1]:  # margin of open positions is tested with the engine
                return
            if twin.frozen and not twin.finalised:
                return
            contract.withdraw.send(units, account, account, sender=account)
            twin.withdraw(units, account, self.chain.now)
        elif kind == "settle":
            # a position while the change is odd; a loss may be larger than the cash
            bit = {"opened": 1} if change % 2 else {"closed": 1}
            owed = (change >> 1) % 3 * (change - x * 10**12)  # a third of all settlements touch no payables
            reserve = x * 10**9 - twin.reserve * y // 10**6
            settlement = Settlement(change, reserve, y * 10**13 + x, payables=owed, **bit)
            self.run(("settle", account, astuple(settlement)))
            twin.settle(account, settlement, by_engine=True)
        elif kind == "penalty":
            penalty, liquidator, share = abs(change) * y // 10**6, self.accounts[(who + x) % 3], x // 100
            self.run(("pay_penalty", account, penalty, liquidator, share))
            twin.pay_penalty(account, penalty, liquidator, share)
        elif kind == "reward":
            self.run(("pay_reward", account, x * 2 * 10**13))
            twin.pay_reward(account, x * 2 * 10**13)
        elif kind == "fund":
            units = self.units(twin.lp, x)
            self.within(("fund", self.venue, units))
            twin.fund(units)
            twin.end()
        elif kind in ("collect", "receive"):
            units = x * 10**6 // twin.scale
            self.token.transfer.send(contract, units, sender=self.venue)
            self.within(("collect" if kind == "collect" else "receive_deposit", units))
            (twin.collect if kind == "collect" else twin.receive_deposit)(units)
            twin.end()
        elif kind == "earmark":
            amount = min(max(twin.lp, 0) * x // 10**6, self.free * twin.scale)  # the Vault promises what is there
            self.within(("earmark_claims", amount))
            twin.earmark_claims(amount)
            twin.end()
        elif kind == "claim":
            units = twin.claims * x // 10**6 // twin.scale
            self.within(("pay_claim", account, units))
            twin.pay_claim(units)
            twin.end()
        elif kind == "release":
            amount = twin.reserve * x // 10**6
            self.run(("release", amount))
            twin.release(amount)
        elif kind == "subsidise" and twin.lp >= 0:
            amount = twin.lp * x // 10**6
            self.run(("subsidise", amount))
            twin.subsidise(amount)
        elif kind == "fees":
            contract.collect_fees.send()
            twin.collect_fees()
        elif kind == "insure":
            contract.fund_insurance.send(x + 1, sender=self.venue)
            twin.fund_insurance(x + 1)
        elif kind == "donate":
            self.token.transfer.send(contract, x + 1, sender=self.venue)
            contract.absorb_donation.send(sender=account)
            twin.fund_insurance(x + 1)
        elif kind == "protocol":
            units = self.units(twin.protocol, x)
            contract.withdraw_protocol.send(units, self.venue, sender=self.governor)
            twin.withdraw_protocol(units)
        elif kind == "finalise":
            if not twin.finalised:
                self.run(("finalise",))
                twin.finalise()
        elif kind == "promise" and twin.finalised:
            amount = max(twin.lp, 0) * x // 10**6
            self.run(("pay_promise", account, amount))
            twin.pay_promise(account, amount)
        elif kind == "shares" and twin.finalised:
            units = self.units(twin.lp, x)
            self.run(("pay_lp", self.venue, units))
            twin.pay_lp(units)

    def crystallise(self, who: int, change: int, payables: int) -> None:
        self.run(("crystallise", self.accounts[who], change, payables))
        self.twin.crystallise(self.accounts[who], change, payables)

    def check(self) -> None:
        assert tuple(self.contract.buckets()) == astuple(self.twin.buckets())
        for account in self.accounts:
            assert tuple(self.contract.account(account)) == self.twin.account(account)
        assert self.twin.imbalance() == 0
        assert self.token.balanceOf(self.contract) == self.twin.total_units


@pytest.mark.fuzz
@pytest.mark.parametrize("decimals", [6, 8, 18])
@settings(max_examples=BUDGET, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sequence=st.lists(actions, max_size=25))
def test_ledger_random_sequence_equals_twin_and_balances(
    decimals: int, sequence: list[tuple[str, int, int, int, int]]
) -> None:
    world = World.build(decimals)
    for action in sequence:
        world.act(*action)
        world.check()


@pytest.mark.fuzz
@pytest.mark.parametrize("decimals", [6, 18])
@settings(max_examples=BUDGET // 2, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    sequence=st.lists(actions, max_size=12),
    order=st.permutations(range(3)),
    values=st.lists(st.tuples(wealth, wealth), min_size=3, max_size=3),
    end=st.lists(endings, max_size=12),
)
def test_ledger_random_end_equals_twin_and_pays_everybody(
    decimals: int,
    sequence: list[tuple[str, int, int, int, int]],
    order: list[int],
    values: list[tuple[int, int]],
    end: list[tuple[str, int, int, int, int]],
) -> None:
    """Whatever was paid before and in whatever order, every account can withdraw its part to the last unit."""
    world = World.build(decimals)
    for action in sequence:
        world.act(*action)
    world.run(("freeze",))
    world.twin.freeze()
    world.check()
    for who, value in zip(order, values, strict=True):
        world.crystallise(who, *value)
        world.check()
    for action in [*end, ("finalise", 0, 0, 0, 0)]:
        world.act(*action)
        world.check()
    twin, scale = world.twin, world.twin.scale
    for account in world.accounts:
        held, free, lacking = twin.account(account)[0], twin.free_cash(), max(-twin.lp, 0)
        assert world.contract.cash_ratio() == twin.cash_ratio()
        units = held * free // (free + lacking) // scale if held else 0
        elsewhere = lacking and (units + 1) * scale > free
        with reverts("clearing: tokens at venues" if elsewhere else "clearing: insufficient cash"):
            world.contract.withdraw.send(units + 1, account, account, sender=account)
        if units:
            world.contract.withdraw.send(units, account, account, sender=account)
            twin.withdraw(units, account, world.chain.now)
        world.check()
