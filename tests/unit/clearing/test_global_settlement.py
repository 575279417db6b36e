"""How the system ends: when, with what for whom, once, in any order, and never with more than there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, field
from fractions import Fraction
from random import Random
from typing import Any

import pytest

from ballast.chain import Contract, Receipt, reverts
from ballast.model.exact.global_settlement import OUTAGE, GlobalSettlement, Terms
from ballast.model.exact.hedge import Rule
from ballast.model.exact.hedge_manager import HedgeManager
from ballast.model.exact.oracle import NO_ROUND
from ballast.model.exact.system import System
from ballast.model.exact.vault import Vault
from ballast.model.roles import Role
from tests.unit.clearing.world import BTC, ETH, FORTNIGHT, WAD, WEEK, LiquidationWorld

UNIT = 10**12  # [WAD per token unit]
NOBODY = "0x" + "00" * 20


@dataclass(slots=True)
class EndWorld(LiquidationWorld):
    """LPs with shares of a real Vault, perpetuals, options, and who ends it all. ``banker`` is HEDGER by hand."""

    manager: Contract = field(init=False)
    vault: Contract = field(init=False)
    end: Contract = field(init=False)
    lps: list[str] = field(init=False)

    @classmethod
    def create(cls, **build: Any) -> EndWorld:
        """Three LPs with a million each."""
        world = super(EndWorld, cls).create(lp=0, **build)
        assert isinstance(world, EndWorld)
        chain, governor, twin = world.chain, world.governor, world.twin
        world.manager = chain.deploy(
            "HedgeManager", governor, governor, world.clearinghouse, world.inventory, world.oracle
        )
        world.vault = chain.deploy(
            "Vault", governor, governor, world.clearinghouse, world.inventory, world.oracle, world.engine, world.book,
            world.manager, "Ballast LP", "BLP",
        )  # fmt: skip
        pricer = world.book.neighbours()[1]
        world.end = chain.deploy(
            "GlobalSettlement", world.clearinghouse, world.engine, world.book, pricer, world.oracle, world.manager,
            world.vault,
        )  # fmt: skip
        world.clearinghouse.grant_role.send(world.vault, Role.VAULT)
        world.clearinghouse.grant_role.send(world.end, Role.SETTLER)
        world.clearinghouse.grant_role.send(world.operation, Role.HEDGER | Role.VAULT)
        inventory = world.exact_inventory
        twin.hedge_manager = HedgeManager(twin.clearinghouse, inventory, twin.oracle, Rule())
        twin.vault = Vault.build(
            twin.clearinghouse, inventory, twin.oracle, twin.perp_engine, world.twin_book, twin.hedge_manager, world.now
        )
        world.twin = twin.fork()  # which wires the three
        world.lps = chain.accounts[7:10]
        for lp in world.lps:
            world.token.mint.send(lp, 10**15)
            world.token.approve.send(world.vault, 2**256 - 1, sender=lp)
            world.vault.approve.send(world.end, 2**256 - 1, sender=lp)
            world.deposit_lp(lp, 1_000_000)
        world.rest()
        world.refresh(ETH, WEEK)
        world.refresh(ETH, FORTNIGHT)
        return world

    @property
    def twin_end(self) -> GlobalSettlement:
        assert self.twin.global_settlement is not None
        return self.twin.global_settlement

    # ── LPs ──

    def deposit_lp(self, lp: str, amount: int) -> Receipt:
        """In whole quote."""
        return self.do(
            lambda: self.vault.deposit.send(amount * 10**6, lp, sender=lp),
            lambda twin: _vault(twin).deposit(amount * 10**6, lp, self.now),
        )

    def request(self, lp: str, shares: int) -> Receipt:
        return self.do(
            lambda: self.vault.requestRedeem.send(shares, lp, lp, sender=lp),
            lambda twin: _vault(twin).request_redeem(shares, lp, lp, self.now),
        )

    def process_epoch(self) -> None:
        filled, paid = self.vault.processEpoch.send(sender=self.stranger).value
        assert self.twin.attempt(lambda twin: _vault(twin).process_epoch(self.now)) == (filled, paid)
        assert filled > 0

    def bank(self, units: int) -> None:
        """LP cash goes to a venue that is not there [token units], or comes back from it."""
        house, token, calls = self.clearinghouse, self.token, []
        if units < 0:
            token.mint.send(self.operation, -units)
            calls = [(token.address, token.tx("transfer", house, -units).data)]
        moved = house.tx("fund", self.stranger, units) if units > 0 else house.tx("collect", -units)
        calls += [(house.address, tx.data) for tx in (house.tx("begin"), moved, house.tx("end"))]

        self.operation.run.send(calls)
        twin = self.twin.clearinghouse
        twin.begin()
        if units > 0:
            twin.fund(units)
        else:
            twin.collect(-units)
        twin.end()

    # ── the end ──

    def trigger(self) -> Receipt:
        return self.do(lambda: self.end.trigger.send(sender=self.stranger), lambda twin: _end(twin).trigger(self.now))

    def crystallise(self, *accounts: str) -> Receipt:
        return self.do(
            lambda: self.end.crystallise.send(list(accounts), sender=self.stranger),
            lambda twin: _end(twin).crystallise(accounts),
        )

    def finalise(self) -> Receipt:
        return self.do(lambda: self.end.finalise.send(sender=self.stranger), lambda twin: _end(twin).finalise(self.now))

    def claim(self, *accounts: str) -> Receipt:
        return self.do(
            lambda: self.end.claim.send(list(accounts), sender=self.stranger),
            lambda twin: _end(twin).claim(accounts),
        )

    def redeem(self, lp: str, shares: int) -> int:
        """Token units paid."""
        return int(
            self.do(
                lambda: self.end.redeem.send(shares, lp, sender=lp), lambda twin: _end(twin).redeem(shares, lp)
            ).value
        )

    def pay_request(self, lp: str) -> int:
        """Token units paid."""
        return int(
            self.do(
                lambda: self.end.pay_request.send(lp, sender=self.stranger),
                lambda twin: _end(twin).pay_request(lp),
            ).value
        )

    # ── reading ──

    @property
    def accounts(self) -> list[str]:
        """Everybody who may have an account."""
        return [*self.traders, self.liquidator, self.stranger, self.governor]

    def shares(self, lp: str) -> int:
        return int(self.vault.balanceOf(lp))

    def check_end(self) -> None:
        """Contract = twin (I13) and I1, which hold while frozen as ever; nothing is paid that is not there."""
        house, twin, end = self.clearinghouse, self.twin.clearinghouse, self.twin_end
        assert tuple(house.buckets()) == astuple(twin.buckets())
        assert twin.imbalance() == 0
        assert self.token.balanceOf(house) >= twin.total_units
        for account in {*self.accounts, *twin.accounts}:
            assert tuple(house.account(account)) == twin.account(account)
            claim = end.profit_of.get(account)
            assert tuple(self.end.profit_of(account)) == (astuple(claim) if claim else (0, 0))
        for lp in self.lps:
            given = end.shares_of.get(lp)
            assert tuple(self.end.shares_of(lp)) == (astuple(given) if given else (0, 0))
            assert self.end.paid_request(lp) == end.paid_request.get(lp, 0)
        assert self.vault.totalSupply() == _vault(self.twin).supply
        assert tuple(self.end.remaining()) == end.remaining()
        assert (self.end.triggered_at(), self.end.is_final()) == (end.triggered_at, end.is_final)
        assert self.end.profits() == end.profits == sum(claim.amount for claim in end.profit_of.values())
        for market, terms in enumerate(end.terms):
            assert Terms(*self.end.terms(market)) == terms
        if end.is_final:
            profits, lps = self.end.pots()
            assert (profits, lps) == end.pots()
            assert sum(claim.paid for claim in end.profit_of.values()) <= profits <= end.profits
            assert sum(c.paid for c in end.shares_of.values()) + sum(end.paid_request.values()) <= lps


def _vault(twin: System) -> Vault:
    assert twin.vault is not None
    return twin.vault


def _end(twin: System) -> GlobalSettlement:
    assert twin.global_settlement is not None
    return twin.global_settlement


@pytest.fixture(scope="module")
def base() -> EndWorld:
    return EndWorld.create()


@pytest.fixture
def world(base: EndWorld) -> Iterator[EndWorld]:
    with base.undone():
        yield base


# ── how it comes to that ──


def silence(world: EndWorld, market: int, seconds: int) -> None:
    """The market's feed fails; time goes by."""
    feed = world.twin_feeds[market]
    feed.rounds[feed.round.round_id] = feed.round
    feed.round = NO_ROUND
    world.feeds[market].set_round.send(astuple(NO_ROUND))
    world.warp(seconds)


def trade_everything(world: EndWorld) -> None:
    """Perpetuals on both sides of two markets, options long and short; one account has only cash, one owes cash."""
    a, b, c = world.traders
    world.trade(a, ETH, 300 * WAD + 1)
    world.trade(a, BTC, -2 * WAD)
    world.trade(b, ETH, -50 * WAD)
    world.option(b, {"2200C": -10})
    world.option(c, {"2000C": 8, "1800P": 3})
    world.option(c, {"60000P": 0.5}, market=BTC)
    world.option(c, {"2500C": 40, "2000P": -2}, expiry=FORTNIGHT)
    world.deposit(world.liquidator, 5_000 * 10**6 + 1)
    world.deposit(world.stranger, 15_000 * 10**6)
    world.trade(world.stranger, ETH, -60 * WAD)
    world.give(world.governor, 20_000 * WAD)
    world.trade(world.governor, ETH, 40 * WAD)
    world.give(world.governor, -21_000 * WAD)


def by_outage(world: EndWorld) -> None:
    """
    A day without a price of ETH. One board is settled, and nobody is paid; one is over and not settled; one lives. An
    account owes more than it has. LPs have money to claim, requests in the pool, and requests for the next one.
    """
    world.request(world.lps[0], 100_000 * WAD)
    world.warp(world.vault.epoch().ends_at - world.now)
    world.renew_rounds()
    world.process_epoch()
    world.request(world.lps[1], world.shares(world.lps[1]) // 3)
    for market, vol in ((ETH, 0.6), (BTC, 0.5)):
        world.post(market, vol)
    trade_everything(world)
    world.warp(world.vault.epoch().ends_at - world.now)
    world.request(world.lps[2], world.shares(world.lps[2]))
    last = world.push(ETH, 2_300, WEEK - 60)
    world.push(BTC, 55_000, WEEK - 59)
    world.push(ETH, 2_310, WEEK + 60)
    world.push(BTC, 54_000, WEEK + 61)
    world.settle(last)
    world.oracle.sync.send(BTC)
    world.twin.oracle.sync(BTC, world.now)
    silence(world, ETH, 3_600 + OUTAGE)


def by_ruin(world: EndWorld) -> None:
    """Most of LP cash is at a venue that does not answer; then the price triples."""
    trade_everything(world)
    world.request(world.lps[1], world.shares(world.lps[1]) // 3)
    world.bank(2_200_000 * 10**6)
    world.set_price(ETH, 6_000 * WAD)
    for expiry in (WEEK, FORTNIGHT):
        world.refresh(ETH, expiry)


def by_loss_of_cash(world: EndWorld) -> None:
    """The same, and the winner has taken his profit into cash: accounts own more than there is."""
    by_ruin(world)
    world.close(world.traders[0], ETH)


STAGES = by_outage, by_ruin, by_loss_of_cash


def end(world: EndWorld) -> None:
    """Up to where everybody can be paid."""
    world.trigger()
    world.crystallise(*world.accounts)
    world.finalise()


def pay_all(world: EndWorld, rng: Random, between: Callable[[EndWorld, Random], None] | None = None) -> dict[str, int]:
    """Everybody takes everything, in any order, in parts, with interference; what each got [token units]."""
    got: dict[str, int] = {}

    def margin(account: str) -> None:
        world.claim(account)
        cash = max(world.cash(account), 0) * int(world.clearinghouse.cash_ratio()) // WAD
        if cash >= UNIT:
            world.withdraw(account, cash // UNIT)
            got[account] = got.get(account, 0) + cash // UNIT

    def shares(lp: str) -> None:
        for part in (world.shares(lp) // rng.randint(2, 9), None):
            got[lp] = got.get(lp, 0) + world.redeem(lp, world.shares(lp) if part is None else part)

    def request(lp: str) -> None:
        name = "request " + lp
        got[name] = got.get(name, 0) + world.pay_request(lp)

    acts: list[Callable[[], None]] = [lambda account=account: margin(account) for account in world.accounts]  # type: ignore[misc]
    acts += [lambda lp=lp: shares(lp) for lp in world.lps]  # type: ignore[misc]
    acts += [lambda lp=lp: request(lp) for lp in world.lps]  # type: ignore[misc]
    rng.shuffle(acts)
    for act in acts:
        act()
        if between is not None and rng.random() < 0.2:
            between(world, rng)
    return got


# ── when ──


def test_trigger_while_the_vault_can_pay_is_refused(world: EndWorld) -> None:
    trade_everything(world)
    with reverts("settlement: vault is solvent"):
        world.trigger()
    world.warp(3_601)
    with reverts("settlement: stale price"):
        world.trigger()
    world.renew_rounds()
    with reverts("settlement: refresh boards first"):
        world.trigger()


def test_trigger_needs_a_day_without_a_price_where_there_are_positions(world: EndWorld) -> None:
    world.trade(world.traders[0], BTC, WAD)
    silence(world, ETH, 1)
    world.warp(40 * OUTAGE)
    world.set_price(BTC, 60_000 * WAD)
    with reverts("settlement: stale price"):
        world.trigger()
    silence(world, BTC, 3_600 + OUTAGE - 1)
    with reverts("settlement: stale price"):
        world.trigger()
    world.warp(1)
    world.trigger()
    with reverts("settlement: triggered"):
        world.trigger()
    world.check_end()


def test_options_that_are_settled_and_not_paid_out_need_no_price(world: EndWorld) -> None:
    world.option(world.traders[0], {"2000C": 1})
    world.settle(world.expire(2_300))
    silence(world, ETH, 3_600 + 2 * OUTAGE)
    world.set_price(BTC, 60_000 * WAD)
    with reverts("settlement: stale price"):
        world.trigger()


def test_trigger_fixes_what_is_known_then(world: EndWorld) -> None:
    by_outage(world)
    accrued = {market: world.engine.accrued(market) for market in (ETH, BTC)}
    buckets = world.clearinghouse.buckets()
    receipt = world.trigger()
    for event in receipt.find("Fixed", world.end):
        price = (2_310, 54_000)[event.market] * WAD
        assert (event.price, event.index_long, event.index_short) == (price, *accrued[event.market][2:])
    event = receipt.one("Triggered", world.end)
    assert (event.by, event.nav) == (world.stranger, 0)
    assert tuple(world.end.remaining()) == (event.open_interest, event.option_legs) == (452 * WAD + 1, 6)
    after = world.clearinghouse.buckets()
    assert after.lp == buckets.lp + buckets.reserve + buckets.fees + buckets.insurance + buckets.protocol
    assert (after.claims, after.payables) == (buckets.claims, buckets.payables)
    world.check_end()


def test_negative_nav_with_nothing_open_ends_it_too(world: EndWorld) -> None:
    """Traders' cash is then more than there is: one ratio, instead of a run."""
    world.trade(world.traders[0], ETH, 300 * WAD)
    world.bank(2_500_000 * 10**6)
    world.set_price(ETH, 4_000 * WAD)
    world.close(world.traders[0], ETH)
    assert world.vault.valuation().nav < 0
    end(world)
    assert world.clearinghouse.cash_ratio() < WAD
    world.check_end()


# ── with what ──


@pytest.mark.parametrize("stage", STAGES)
def test_crystallise_leaves_everybody_what_margin_says(world: EndWorld, stage: Callable[[EndWorld], None]) -> None:
    """To the wei. A surface that no board has been brought to since prices ended does not count."""
    stage(world)
    equity = {account: int(world.margin.health(account).equity) for account in world.accounts}
    if stage is by_outage:
        world.post(ETH, 0.64)
        assert equity[world.stranger] < 0 < equity[world.governor]
        assert world.cash(world.governor) < 0
    cash = {account: world.cash(account) for account in world.accounts}
    payoff = dict.fromkeys(world.accounts, 0)
    if stage is by_outage:
        payoff[world.traders[1]] = -10 * 100 * WAD
        payoff[world.traders[2]] = 8 * 300 * WAD
    world.trigger()
    event = {e.account: e for e in world.crystallise(*world.accounts).find("Crystallised", world.end)}
    for account in world.accounts:
        profit = world.end.profit_of(account).amount
        assert world.cash(account) + profit == max(equity[account], 0)
        settled = cash[account] + payoff[account]
        assert profit == max(max(equity[account], 0) - max(settled, 0), 0)
        assert world.clearinghouse.account(account)[1] == 0
        if account in event:
            e = event[account]
            assert (e.payoff, e.value, e.profit) == (payoff[account], equity[account] - settled, profit)
        else:
            assert cash[account] == equity[account]
    assert tuple(world.end.remaining()) == (0, 0)
    world.check_end()


# ── in any order, at any time, once ──


def meddle(world: EndWorld, rng: Random) -> None:
    """What anybody or governance does meanwhile: time, rounds, surfaces, switches, roles."""
    deed = rng.randrange(6)
    if deed == 0:
        world.warp(rng.choice((1, 3_600, 9 * OUTAGE)))
    elif deed == 1:
        for market in (ETH, BTC):
            world.set_price(market, world.oracle.last(market).price * rng.randint(50, 200) // 100)
    elif deed == 2:
        world.warp(3_600)
        world.post(ETH, rng.choice((0.56, 0.64)))
    elif deed == 3:
        for house in (world.clearinghouse, world.book, world.inventory):
            house.revoke_role.send(world.options, Role.ENGINE)
            house.grant_role.send(world.options, Role.ENGINE)
    elif deed == 4:
        for market in (ETH, BTC):
            world.inventory.sync_all.send(sender=world.stranger)
            world.oracle.halt.send(market, sender=world.governor)
            world.oracle.resume.send(market, sender=world.governor)
    else:
        world.token.mint.send(world.clearinghouse, rng.randint(1, 10**9))


@pytest.mark.parametrize("stage", STAGES)
def test_order_batches_time_and_meddling_change_nothing(world: EndWorld, stage: Callable[[EndWorld], None]) -> None:
    """What everybody gets is the same; where cash is cut, but for the token unit that a withdrawal rounds."""
    stage(world)
    world.trigger()
    with world.undone():
        world.crystallise(*world.accounts)
        world.finalise()
        expected = pay_all(world, Random(0))
    assert sum(expected.values()) > 3_000_000 * 10**6
    for seed in range(6):
        rng, left = Random(seed), list(world.accounts)
        with world.undone():
            rng.shuffle(left)
            while left:
                meddle(world, rng)
                batch, left = left[:2], left[2:]
                world.crystallise(*batch, rng.choice(batch), NOBODY)
                world.check_end()
            world.finalise()
            got = pay_all(world, rng, meddle)
            world.check_end()
        slack = 1 if stage is by_loss_of_cash else 0
        assert got.keys() == expected.keys()
        assert all(abs(got[name] - expected[name]) <= slack for name in got), (seed, got, expected)


def test_what_venues_pay_back_is_shared_the_same_whenever_it_comes(world: EndWorld) -> None:
    """Before anybody is paid, or in three parts meanwhile: who comes again has in the end what he would have."""
    by_ruin(world)
    end(world)
    parts = [150_000 * 10**6 + 1, 250_000 * 10**6, 777_777 * 10**6]
    with world.undone():
        world.bank(-sum(parts))
        expected = pay_all(world, Random(0))
    assert all(expected[lp] > 0 for lp in world.lps)
    for seed in range(4):
        with world.undone():
            rng, coming = Random(seed), list(parts)

            def pay_back(world: EndWorld, rng: Random, coming: list[int] = coming) -> None:
                if coming:
                    world.bank(-coming.pop())

            got = pay_all(world, rng, pay_back)
            while coming:
                pay_back(world, rng)
            for name, units in pay_all(world, rng).items():
                got[name] = got.get(name, 0) + units
            assert got == expected
            world.check_end()


@pytest.mark.parametrize("stage", STAGES)
def test_when_all_are_paid_less_than_a_unit_each_is_left(world: EndWorld, stage: Callable[[EndWorld], None]) -> None:
    """I1 with nothing in it: what LPs have to claim at the Vault from before is paid there."""
    stage(world)
    end(world)
    got = pay_all(world, Random(1))
    for lp in world.lps:
        waiting = world.vault.maxWithdraw(lp)
        if waiting:
            got["vault " + lp] = waiting
            world.do(
                lambda lp=lp, units=waiting: world.vault.withdraw.send(units, lp, lp, sender=lp),  # type: ignore[misc]
                lambda twin, lp=lp, units=waiting: _vault(twin).withdraw(units, lp),  # type: ignore[misc]
            )
    world.check_end()
    units = int(world.clearinghouse.buckets().total_units)
    assert 0 <= units <= len(got) + 1
    if stage is not by_outage:
        assert sum(got[lp] for lp in world.lps) == 0  # LPs come last
    else:
        assert all(got[lp] + got["request " + lp] > 0 for lp in world.lps)
        assert len(got) == len(world.accounts) - 1 + 2 * len(world.lps) + 1  # nothing of the insolvent account


def test_nothing_is_paid_twice(world: EndWorld) -> None:
    by_outage(world)
    end(world)
    a, lp, asking = world.traders[0], world.lps[0], world.lps[1]
    world.claim(a, a)
    paid = world.end.profit_of(a)
    assert paid.paid == paid.amount > 0
    world.claim(a)
    assert world.end.profit_of(a) == paid
    cash = world.cash(a)
    world.crystallise(a)
    assert (world.cash(a), world.end.profit_of(a)) == (cash, paid)

    shares = world.shares(lp)
    first = world.redeem(lp, shares)
    assert first > 0
    assert (world.redeem(lp, 0), world.shares(lp)) == (0, 0)
    with reverts("erc20: transfer amount exceeds balance"):
        world.end.redeem.send(1, lp, sender=lp)

    first = world.pay_request(asking)
    assert first > 0
    assert world.pay_request(asking) == 0
    rest = world.shares(asking)
    world.request(asking, rest)  # the queue is open for ever; a request cannot be taken back
    more = world.pay_request(asking)
    waiting = world.vault.position(asking)
    pot, supply = world.end.pots()[1], world.vault.totalSupply()
    assert first + more == (waiting.pending + waiting.late) * pot // supply // UNIT
    assert world.pay_request(asking) == world.redeem(asking, 0) == 0
    world.check_end()


# ── too little ──


def test_profits_share_one_ratio_and_lps_come_last(world: EndWorld) -> None:
    by_ruin(world)
    end(world)
    lp = int(world.clearinghouse.vault_ledger()[0])
    total = int(world.end.profits())
    assert 0 < lp < total
    assert tuple(world.end.pots()) == (lp, 0)
    winners = [world.traders[0], world.traders[2]]
    for account in winners:
        cash, profit = world.cash(account), world.end.profit_of(account).amount
        event = world.claim(account).one("Claimed", world.end)
        assert (event.account, event.amount, event.paid) == (account, profit * lp // total, profit * lp // total)
        assert world.cash(account) - cash == event.paid
    assert world.redeem(world.lps[0], world.shares(world.lps[0])) == 0
    assert world.pay_request(world.lps[1]) == 0
    world.check_end()

    # the venue pays back: profits are paid up before LPs get anything
    world.bank(-((total - lp) // UNIT))
    world.claim(*winners)
    left = sum(world.end.profit_of(account).amount - world.end.profit_of(account).paid for account in winners)
    assert 0 < left < UNIT + len(winners)
    assert world.redeem(world.lps[0], 0) == 0
    world.bank(-900_000 * 10**6)
    world.claim(*winners)
    assert all(world.end.profit_of(account).amount == world.end.profit_of(account).paid for account in winners)
    supply = world.vault.totalSupply()
    pot = world.end.pots()[1]
    assert abs(pot - 900_000 * WAD) < UNIT
    given = world.end.shares_of(world.lps[0]).amount
    receipt = world.end.redeem.send(0, world.lps[2], sender=world.lps[0])
    event = receipt.one("Redeemed", world.end)
    due = given * pot // supply // UNIT
    assert (event.owner, event.receiver, event.shares, event.units) == (world.lps[0], world.lps[2], given, due)
    assert event.paid == due * UNIT
    assert receipt.value == due


def test_cash_is_cut_by_one_ratio_only_when_lp_cash_is_negative(world: EndWorld) -> None:
    by_loss_of_cash(world)
    end(world)
    lp = int(world.clearinghouse.vault_ledger()[0])
    assert lp < 0
    assert tuple(world.end.pots()) == (0, 0)
    ratio = Fraction(int(world.clearinghouse.free_cash()), int(world.clearinghouse.free_cash()) - lp)
    assert Fraction(1, 2) < ratio < 1
    for account in world.accounts:
        cash = world.cash(account)
        if cash == 0:
            continue
        units = int(cash * ratio) // UNIT
        with reverts("clearing: insufficient cash"):
            world.withdraw(account, units + 2)
        world.withdraw(account, units - 1)
        world.check_end()
    # what comes back now goes to profits, as cash has been cut
    world.bank(-600_000 * 10**6)
    assert world.end.pots()[0] > 0
    world.claim(world.traders[2])
    assert world.end.profit_of(world.traders[2]).paid > 0
    world.check_end()


# ── refusals ──


def test_steps_out_of_turn_are_refused(world: EndWorld) -> None:
    a, lp = world.traders[0], world.lps[0]
    by_ruin(world)
    world.trade(world.traders[1], BTC, WAD)
    with reverts("settlement: not triggered"):
        world.crystallise(a)
    with reverts("settlement: not triggered"):
        world.finalise()
    with reverts("settlement: not final"):
        world.claim(a)
    with reverts("settlement: not final"):
        world.redeem(lp, WAD)
    with reverts("settlement: not final"):
        world.pay_request(lp)
    world.trigger()
    with reverts("settlement: accounts left"):
        world.finalise()
    for last in (world.stranger, world.traders[2]):  # a perpetual, and nothing but options
        with world.undone():
            world.crystallise(*(account for account in world.accounts if account != last))
            with reverts("settlement: accounts left"):
                world.finalise()
    world.crystallise(*(account for account in world.accounts if account != world.traders[1]))
    with reverts("settlement: not final"):
        world.claim(a)
    with reverts("clearing: not final"):
        world.withdraw(a, 1)
    world.crystallise(world.traders[1])
    world.finalise()
    with reverts("settlement: final"):
        world.finalise()
    with reverts("settlement: triggered"):
        world.trigger()
    world.check_end()


def test_nothing_but_the_end_goes_on(world: EndWorld) -> None:
    """Every way to trade, bring or take money, value or renew is refused, before and after all is final."""
    by_outage(world)
    world.trigger()
    a, b, c = world.traders
    for final in (False, True):
        if final:
            world.crystallise(*world.accounts)
            world.finalise()
            world.warp(1)
        world.renew_rounds()  # the feeds are back
        for market in (ETH, BTC):
            with reverts("clearing: frozen"):
                world.trade(a, market, WAD)
            with reverts("clearing: frozen"):
                world.sync(market)
        with reverts("clearing: frozen"):
            world.deposit(b, 10**6)
        with reverts("clearing: frozen"):
            world.settle_accounts([b, c])
        with reverts("vault: stale mark"):  # positions on a settled board
            world.vault.deposit.send(10**6, a, sender=world.lps[0])
        with reverts("vault: stale mark"):
            world.vault.processEpoch.send(sender=world.lps[0])
        with reverts("clearing: frozen"):
            world.clearinghouse.collect_fees.send(sender=a)
        with reverts("clearing: frozen"):
            world.clearinghouse.withdraw_protocol.send(1, a, sender=world.governor)
        with reverts("clearing: in progress"):
            world.margin.health(a)
        with reverts("clearing: in progress"):
            world.vault.valuation()
        with reverts("clearing: in progress"):
            world.engine.quote(a, ETH, WAD)
        with reverts("clearing: frozen"):
            world.refresh(ETH, FORTNIGHT)
        world.check_end()
