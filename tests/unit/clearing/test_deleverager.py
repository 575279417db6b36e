"""Deleverager and its twin: when it is armed, who is named, what is closed, and who pays for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass, field
from typing import Any

import pytest

from ballast.chain import Contract, Receipt, reverts
from ballast.model.exact.deleverager import GRACE, WINDOW, Deleverager
from ballast.model.exact.hedge import Rule
from ballast.model.exact.hedge_manager import HedgeManager
from ballast.model.exact.system import System
from ballast.model.exact.vault import Vault
from ballast.model.roles import Role
from tests.unit.clearing.world import BTC, ETH, WAD, LiquidationWorld

TRIGGER_BPS, TARGET_BPS, REWARD = 6_000, 5_000, 2 * WAD
BPS = 10_000
SIZE = 3_000 * WAD
NOISE = 10  # [quote, wei] what roundings of sums are off by


@dataclass(slots=True)
class WinnersWorld(LiquidationWorld):
    """Ten million of LP money, traders whose profit in ETH a rise of a third makes more than it can bear."""

    vault: Contract = field(init=False)
    deleverager: Contract = field(init=False)

    @classmethod
    def create(cls, **build: Any) -> WinnersWorld:
        world = super(WinnersWorld, cls).create(margin=2_000_000, **build)
        assert isinstance(world, WinnersWorld)
        chain, governor = world.chain, world.governor
        ledger, oracle = world.clearinghouse, world.oracle
        hedges = chain.deploy("HedgeManager", governor, governor, ledger, world.inventory, oracle)
        world.vault = chain.deploy(
            "Vault", governor, governor, ledger, world.inventory, oracle, world.engine, world.book, hedges, "LP", "LP"
        )
        world.deleverager = chain.deploy("Deleverager", *world.arguments())
        for contract in (ledger, world.engine):
            contract.grant_role.send(world.deleverager, Role.CLOSER)
        twin = world.twin
        manager = twin.hedge_manager = HedgeManager(twin.clearinghouse, world.exact_inventory, twin.oracle, Rule())
        twin.vault = Vault.build(
            twin.clearinghouse, world.exact_inventory, twin.oracle, twin.perp_engine, world.twin_book, manager,
            world.now,
        )  # fmt: skip
        twin.wire()
        winners(twin).reward = REWARD
        world.token.approve.send(ledger, 2**255, sender=world.stranger)
        world.do(
            lambda: ledger.fund_insurance.send(10**8, sender=world.stranger),
            lambda twin: twin.clearinghouse.fund_insurance(10**8),
        )
        big, small, other = world.traders
        world.trade(big, ETH, SIZE)
        world.trade(small, ETH, SIZE // 2)
        world.trade(other, ETH, -SIZE // 10)
        world.trade(other, BTC, -WAD)
        world.rest()
        return world

    def arguments(self, **changes: int) -> tuple[Any, ...]:
        """Of the constructor."""
        numbers = {"trigger_bps": TRIGGER_BPS, "target_bps": TARGET_BPS, "reward": REWARD, **changes}
        return (self.clearinghouse, self.engine, self.book, self.oracle, self.vault, *numbers.values())

    def rise(self, price: int = 3_300 * WAD) -> None:
        """Both markets have a round of this block, not recorded."""
        self.push_price(BTC, 60_000 * WAD)
        self.push_price(ETH, price)

    def edge(self, calm: int = 2_000 * WAD, high: int = 8_000 * WAD, precision: int = 1) -> tuple[int, int]:
        """Prices of ETH next to each other between these, the first of which does not arm and the second does."""
        while abs(high - calm) > precision:
            middle = (calm + high) // 2
            with self.undone():
                self.rise(middle)
                armed = winners(self.twin).status(self.now).armed
            calm, high = (calm, middle) if armed else (middle, high)
        return calm, high

    def sync(self, market: int = ETH) -> Receipt:
        """PerpEngine's, and then all of Inventory's markets."""
        receipt = LiquidationWorld.sync(self, market)
        self.inventory.sync_all.send(sender=self.stranger)
        self.exact_inventory.sync_all(self.now)
        return receipt

    # ── both sides ──

    def status(self) -> Any:
        """The same from contract and twin."""
        status = self.deleverager.status()
        assert tuple(status) == astuple(winners(self.twin).status(self.now))
        return status

    def nominate(self, account: str, market: int = ETH) -> Receipt:
        return self.do(
            lambda: self.deleverager.nominate.send(account, market, sender=self.stranger),
            lambda twin: winners(twin).nominate(account, market, self.now),
        )

    def close_nominee(self, market: int = ETH) -> Receipt:
        return self.do(
            lambda: self.deleverager.deleverage.send(market, sender=self.liquidator),
            lambda twin: winners(twin).deleverage(market, self.liquidator, self.now),
        )

    def named(self, market: int = ETH) -> Any:
        """The nomination, the same from contract and twin."""
        named, twin = self.deleverager.nomination(market), winners(self.twin).nomination(market)
        assert (named.score, named.opened_at) == (twin.score, twin.opened_at)
        assert twin.account == (None if int(named.account, 16) == 0 else named.account)
        return named

    def nominated(self, account: str) -> None:
        """The price has risen, the account is named, and its window is over."""
        self.rise()
        self.nominate(account)
        self.warp(WINDOW)


def winners(twin: System) -> Deleverager:
    assert twin.deleverager is not None
    return twin.deleverager


@pytest.fixture(scope="module")
def built() -> WinnersWorld:
    return WinnersWorld.create()


@pytest.fixture
def world(built: WinnersWorld) -> Iterator[WinnersWorld]:
    """What a test does is undone."""
    with built.undone():
        yield built
        built.check()


@pytest.fixture
def big(built: WinnersWorld) -> str:
    return built.traders[0]


@pytest.fixture
def small(built: WinnersWorld) -> str:
    """Has half as much, and as much margin: less leverage."""
    return built.traders[1]


@pytest.fixture
def loser(built: WinnersWorld) -> str:
    return built.traders[2]


# ── armed ──


def test_armed_exactly_above_the_trigger(world: WinnersWorld, big: str) -> None:
    """Found by halving: at a price it is not, at the next wei it is; and so says what it is made of."""
    low, high = world.edge()
    for price, armed in ((low, False), (high, True)):
        with world.undone():
            world.rise(price)
            status = world.status()
            assert status.armed == armed == (status.profit * BPS > TRIGGER_BPS * status.nav)
            assert abs(status.profit * BPS - TRIGGER_BPS * status.nav) < 10**5 * WAD
            assert status.excess == status.profit - TARGET_BPS * status.nav // BPS
            assert status.nav == world.vault.valuation().nav
            assert status.profit == -world.book_value()
            if armed:
                world.nominate(big)
            else:
                with reverts("deleverage: not armed"):
                    world.nominate(big)


def test_armed_exactly_above_the_trigger_whatever_the_price(world: WinnersWorld, small: str) -> None:
    """NAV is brought to where the trigger, rounded up, is open profit to the wei; then below."""
    world.rise()
    world.sync()
    status = world.status()
    world.give(small, status.nav - status.profit * BPS // TRIGGER_BPS)
    status = world.status()
    assert -(-status.nav * TRIGGER_BPS // BPS) == status.profit
    assert not status.armed
    world.give(small, 2)
    assert world.status().armed


def test_vault_that_has_nothing_left_is_armed_by_any_profit(world: WinnersWorld, big: str) -> None:
    world.rise(10_000 * WAD)
    status = world.status()
    assert status.nav < 0
    assert status.armed
    assert status.excess == status.profit
    world.nominate(big)


def test_trades_of_a_moment_arm_nothing(world: WinnersWorld, small: str) -> None:
    """A hair below the trigger somebody without a position opens a large one and closes it, on both sides: open profit
    stays where it was, and NAV never falls. It takes a price, that is money that somebody is owed, to arm it."""
    world.close(small, ETH)
    world.trade(world.traders[0], ETH, -SIZE * 2 // 3)
    world.rise(world.edge(precision=WAD // 10**6)[0])
    world.sync()
    before = world.status()
    assert 0 < TRIGGER_BPS * before.nav - BPS * before.profit < 10**5 * WAD
    for step in (1, -1, -1, 1):
        world.trade(small, BTC, step * 5 * WAD)
        status = world.status()
        assert not status.armed
        assert abs(status.profit - before.profit) < NOISE
        assert status.nav > before.nav
        before = status


def test_loss_that_is_paid_no_longer_counts_against_profit(world: WinnersWorld, small: str) -> None:
    """Open profit is net: a loser who closes pays LPs, which leaves NAV where it was but for the costs, and what others
    have won as it is."""
    world.trade(small, ETH, -SIZE * 6 // 10)
    world.rise()
    world.sync()
    before, closed = world.status(), world.close(small, ETH).value
    after = world.status()
    assert closed.realised < 0
    assert abs(after.profit - before.profit + closed.realised - closed.owed) < NOISE
    assert after.nav >= before.nav - NOISE


def test_nothing_is_known_while_a_mark_is_stale(world: WinnersWorld, big: str) -> None:
    """Of any listed market, whoever has positions there: at the nomination and at the closing."""
    world.rise()
    world.warp(3_601)
    world.push_price(ETH, 3_300 * WAD)
    for act in (lambda: world.nominate(big), world.deleverager.status):
        with reverts("oracle: stale price"):
            act()
    world.rise()
    world.nominate(big)
    world.warp(WINDOW)
    world.oracle.halt.send(BTC, sender=world.governor)
    world.twin.oracle.set_halted(BTC, True, world.now)
    with reverts("oracle: stale price"):
        world.close_nominee()


def test_nothing_is_known_while_options_are_not_valued(world: WinnersWorld, big: str, small: str) -> None:
    """A board that is due stands in the way until somebody refreshes it."""
    world.rise(2_000 * WAD)
    world.post(ETH, 0.6)
    world.option(small, {"2000C": 1})
    world.rise()
    with reverts("deleverage: options not valued"):
        world.nominate(big)
    world.refresh()
    world.nominate(big)


# ── naming ──


def test_score_is_gain_times_leverage_times_what_it_helps(world: WinnersWorld, big: str, small: str) -> None:
    """In plain numbers: profit / cost * notional / equity * min(1, profit / excess)."""
    world.rise()
    status = world.status()
    scores = {}
    for account in (big, small):
        with world.undone():
            scores[account] = int(world.nominate(account).value)
            event = world.named()
            assert (event.account, event.score, event.opened_at) == (account, scores[account], world.now)
            position, health = world.position(account), world.health(account)
            profit = position.size * 3_300 - position.cost
            expected = (
                profit / position.cost
                * position.size * 3_300 / max(health.equity, health.maintenance)
                * min(1, profit / status.excess)
            )  # fmt: skip
            assert scores[account] / WAD == pytest.approx(expected, rel=1e-3)
    assert scores[big] > scores[small] > 0


def test_higher_score_takes_the_place_lower_or_equal_is_refused(world: WinnersWorld, big: str, small: str) -> None:
    world.rise()
    world.nominate(small)
    opened = world.named().opened_at
    world.warp(WINDOW - 1)
    event = world.nominate(big).one("Nominated")
    assert tuple(event) == (big, ETH, world.named().score, opened)
    for account in (small, big):
        with reverts("deleverage: score is not higher"):
            world.nominate(account)
    assert world.named().account == big
    assert world.named().opened_at == opened


def test_windows_follow_each_other_to_the_second(world: WinnersWorld, big: str, small: str) -> None:
    """Outbidding before WINDOW, closing from it to GRACE after, then a new round of nominations."""
    world.rise()
    with reverts("deleverage: no nomination"):
        world.close_nominee()
    world.nominate(small)
    world.warp(WINDOW - 1)
    with reverts("deleverage: window is open"):
        world.close_nominee()
    with world.undone():
        world.nominate(big)
    world.warp(1)
    with reverts("deleverage: window is over"):
        world.nominate(big)
    with world.undone():
        world.close_nominee()
    world.warp(GRACE)
    with reverts("deleverage: window is over"):
        world.nominate(big)
    with world.undone():
        world.close_nominee()
    world.warp(1)
    with reverts("deleverage: nomination is over"):
        world.close_nominee()
    world.nominate(small)
    assert world.named().opened_at == world.now


def test_only_who_is_in_profit_and_has_equity_is_named(world: WinnersWorld, big: str, loser: str) -> None:
    world.rise(10_000 * WAD)
    world.oracle.sync.send(ETH)
    world.twin.oracle.sync(ETH, world.now)
    for account in (loser, world.stranger):
        with reverts("deleverage: not in profit"):
            world.nominate(account)
    with reverts("deleverage: not in profit"):
        world.nominate(big, BTC)
    with reverts("deleverage: no such market"):
        world.nominate(big, 16)
    with reverts("deleverage: no such market"):
        world.close_nominee(16)
    equity = world.twin.margin.preview(big, world.now).equity
    world.give(big, -equity)
    with reverts("deleverage: no equity"):
        world.nominate(big)
    world.give(big, 1)
    world.nominate(big)


def test_dust_does_not_shield_a_large_position(world: WinnersWorld, big: str, small: str, loser: str) -> None:
    """An account with as much leverage as there can be, but next to nothing to win, is outbid by who matters."""
    world.close(loser, ETH)
    world.trade(loser, ETH, WAD)
    world.rise()
    health = world.twin.margin.preview(loser, world.now)
    world.give(loser, WAD - health.equity)
    dust = world.nominate(loser).value
    assert world.nominate(small).value > 100 * dust


# ── closing ──


def test_closing_brings_open_profit_to_the_target(world: WinnersWorld, big: str) -> None:
    """Never below it but by rounding, at mark, without spread or charge to the account; NAV pays the charge and nothing
    else, and the reward comes out of insurance."""
    world.nominated(big)
    world.sync()
    before, position, health = world.status(), world.position(big), world.health(big)
    buckets, cash = world.clearinghouse.buckets(), world.cash(world.liquidator)
    receipt = world.close_nominee()
    trade, event = receipt.one("Trade"), receipt.one("Deleveraged")
    after, left = world.status(), world.clearinghouse.buckets()

    target = TARGET_BPS * before.nav // BPS
    assert target - NOISE - 3_300 < after.profit <= target + NOISE
    assert abs(before.profit - after.profit - receipt.value) < NOISE
    assert 0 < -trade.size_delta < position.size
    assert trade.price == 3_300 * WAD
    assert trade.half_spread == trade.charge == 0
    assert abs(world.health(big).equity - health.equity) < NOISE
    # the rebate is LPs'
    assert after.nav > before.nav
    assert abs(after.nav - before.nav + left.reserve - buckets.reserve) < NOISE
    assert left.fees == buckets.fees
    assert (event.account, event.market, event.keeper) == (big, ETH, world.liquidator)
    assert (event.size_delta, event.profit, event.excess) == (trade.size_delta, receipt.value, before.excess)
    assert event.reward == REWARD == buckets.insurance - left.insurance == world.cash(world.liquidator) - cash
    assert int(world.named().account, 16) == 0
    with reverts("deleverage: not armed"):
        world.nominate(big)


def both_sides_in_profit(world: WinnersWorld, short: int, top: int) -> None:
    """The longs had bought before the price went up, the short sold at the top: all are in profit at 2,600, and for 20
    days the longs, who are more, have paid the short."""
    world.close(world.traders[2], ETH)
    world.give(world.traders[2], 10**6 * WAD)
    world.set_price(ETH, top)
    world.trade(world.traders[2], ETH, -short)
    world.set_price(ETH, 2_600 * WAD)
    world.sync()
    world.warp(20 * 86_400)
    world.rise(2_600 * WAD)


def and_the_short_alone_remains(world: WinnersWorld) -> None:
    """The larger long takes its profit: now the short is on the crowded side, with what it has been paid."""
    both_sides_in_profit(world, SIZE * 4 // 3, 3_400 * WAD)
    world.close(world.traders[0], ETH)


def check_target(world: WinnersWorld, account: str, pays: bool) -> None:
    """Nominate and close; open profit ends at the target, whatever has been accrued."""
    world.nominate(account)
    world.warp(WINDOW)
    world.sync()
    before, leg = world.status(), world.engine.legs(account, 1 << ETH)[0]
    assert abs(leg.owed) > 10**3 * WAD
    assert (leg.owed > 0) == pays
    world.close_nominee()
    after, target = world.status(), TARGET_BPS * before.nav // BPS
    assert target - NOISE - 2_600 < after.profit <= target + NOISE
    assert 0 < abs(world.position(account).size) < abs(leg.size)


def test_closing_counts_funding_that_is_owed(world: WinnersWorld, big: str) -> None:
    both_sides_in_profit(world, SIZE * 5 // 6, 3_120 * WAD)
    check_target(world, big, True)


def test_closing_counts_funding_that_is_due(world: WinnersWorld) -> None:
    and_the_short_alone_remains(world)
    check_target(world, world.traders[2], False)


def test_funding_that_is_more_than_the_excess_is_all_that_is_closed(
    world: WinnersWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wei is closed, so that it is paid out; open profit falls below the target by what there was too much of it."""
    contract = world.chain.deploy("Deleverager", *world.arguments(target_bps=TRIGGER_BPS - 1))
    for target in (world.clearinghouse, world.engine):
        target.grant_role.send(contract, Role.CLOSER, sender=world.governor)
    monkeypatch.setattr(world, "deleverager", contract)
    winners(world.twin).target_bps = TRIGGER_BPS - 1
    and_the_short_alone_remains(world)
    short = world.traders[2]
    world.rise(world.edge(3_300 * WAD, 2_600 * WAD, WAD)[1])
    world.nominate(short)
    world.warp(WINDOW)
    world.sync()
    before, leg = world.status(), world.engine.legs(short, 1 << ETH)[0]
    assert -leg.owed > before.excess > 0
    receipt = world.close_nominee()
    assert receipt.one("Trade").size_delta == 1
    assert abs(before.profit - world.status().profit + leg.owed) < NOISE + 3_400


def test_position_that_offsets_others_is_left_alone(world: WinnersWorld, big: str) -> None:
    """Closing a winner on the other side of the crowd would raise U: by hand it costs him the rise, closed for him it
    would cost LPs as much. Nor is a nominee closed while the crowd is on the other side: it stays named."""
    both_sides_in_profit(world, SIZE * 5 // 6, 3_120 * WAD)
    short = world.traders[2]
    assert world.engine.quote(short, ETH, SIZE // 2).charge > 10**3 * WAD
    with reverts("deleverage: would raise risk"):
        world.nominate(short)
    world.nominate(big)
    world.warp(WINDOW)
    with world.undone():
        world.give(short, 10**6 * WAD)
        world.trade(short, ETH, -SIZE)
        with reverts("deleverage: would raise risk"):
            world.close_nominee()
        assert world.named().account == big
    world.close_nominee()


def test_fall_of_the_potential_that_earns_no_rebate_is_no_hindrance(
    world: WinnersWorld, small: str, loser: str
) -> None:
    """Somebody has just opened: U is above its low-water mark, and nobody would be paid for bringing it down."""
    world.close(small, ETH)
    world.trade(world.traders[0], ETH, -SIZE * 2 // 3)
    world.close(loser, ETH)
    world.trade(loser, ETH, WAD)
    world.rise(6_500 * WAD)
    world.nominate(loser)
    world.warp(WINDOW)
    world.trade(small, ETH, 10 * WAD)
    assert world.engine.quote(loser, ETH, -WAD).charge == 0
    assert world.close_nominee().value > 0


def test_position_that_is_not_enough_is_closed_whole(world: WinnersWorld, small: str, big: str) -> None:
    """What is left is for the next nomination."""
    world.rise(4_000 * WAD)
    world.nominate(small)
    world.warp(WINDOW)
    before, position = world.status(), world.position(small)
    profit = world.close_nominee().value
    after = world.status()
    assert world.position(small).size == 0
    assert abs(profit - (position.size * 4_000 - position.cost)) < 10**5 * WAD
    assert abs(before.profit - after.profit - profit) < NOISE
    assert after.armed
    world.nominate(big)


def test_nominee_that_is_not_in_profit_any_more_is_dropped(world: WinnersWorld, small: str) -> None:
    """It has closed by hand; nobody is paid, and the next is named at once."""
    world.rise(4_000 * WAD)
    world.nominate(small)
    world.close(small, ETH)
    world.warp(WINDOW)
    cash = world.cash(world.liquidator)
    receipt = world.close_nominee()
    assert receipt.value == 0
    assert tuple(receipt.one("NominationDropped")) == (small, ETH)
    assert world.cash(world.liquidator) == cash
    world.nominate(world.traders[0])


def test_profit_that_has_gone_is_left_alone(world: WinnersWorld, big: str) -> None:
    """The nomination waits: it counts again if the price comes back within its time."""
    world.nominated(big)
    world.rise(2_500 * WAD)
    with reverts("deleverage: not armed"):
        world.close_nominee()
    world.rise()
    assert world.close_nominee().value > 0


def test_reward_is_what_insurance_has(world: WinnersWorld, big: str) -> None:
    insurance = world.clearinghouse.buckets().insurance
    world.clearinghouse.grant_role.send(world.governor, Role.CLOSER, sender=world.governor)
    while insurance > REWARD // 2:
        amount = min(insurance - REWARD // 2, 10 * WAD)
        world.clearinghouse.pay_reward.send(world.stranger, amount, sender=world.governor)
        world.twin.clearinghouse.pay_reward(world.stranger, amount)
        insurance -= amount
    world.nominated(big)
    assert world.close_nominee().one("Deleveraged").reward == insurance
    assert world.clearinghouse.buckets().insurance == 0


def test_reward_is_at_most_a_hundredth_of_the_profit_closed(world: WinnersWorld, loser: str) -> None:
    """Dust that nobody has outbid is not worth naming."""
    world.close(loser, ETH)
    world.trade(loser, ETH, WAD // 100)
    world.rise(4_000 * WAD)
    world.nominate(loser)
    world.warp(WINDOW)
    receipt = world.close_nominee()
    assert 0 < receipt.value < 100 * REWARD
    assert receipt.one("Deleveraged").reward == receipt.value // 100


def test_being_deleveraged_saves_the_spread_and_loses_the_rebate(world: WinnersWorld, big: str) -> None:
    """Against closing as much by hand in that block the account gains half-spread and charge, and LPs lose them, less
    the fees: here 42 bp of spread without 25 bp of rebate, for a winner on the crowded side is paid to leave."""
    world.nominated(big)
    with world.undone():
        size = -world.close_nominee().one("Trade").size_delta
        kept, lps = world.health(big).equity, world.status().nav
    outcome = world.trade(big, ETH, -size).value
    gain, loss = kept - world.health(big).equity, world.status().nav - lps
    assert abs(gain - outcome.half_spread - outcome.charge) < NOISE
    assert abs(loss - (outcome.half_spread - outcome.fees + outcome.charge)) < 10**12 + NOISE
    assert outcome.charge < 0 < gain < 20 * size * 3_300 // BPS


def test_parameters_have_bounds(world: WinnersWorld) -> None:
    assert world.deleverager.params() == (TRIGGER_BPS, TARGET_BPS, REWARD)
    arguments = [argument.address for argument in world.arguments()[:5]]
    assert list(world.deleverager.neighbours()) == arguments
    refused = [
        ({"trigger_bps": 9_501}, "deleverage: trigger"),
        ({"target_bps": TRIGGER_BPS}, "deleverage: target"),
        ({"reward": 10 * WAD + 1}, "deleverage: reward"),
    ]
    for changes, reason in refused:
        with reverts(reason):
            world.chain.deploy("Deleverager", *world.arguments(**changes))
    world.chain.deploy("Deleverager", *world.arguments(trigger_bps=9_500, target_bps=9_499, reward=10 * WAD))


def test_deleverager_without_its_role_closes_nothing(world: WinnersWorld, big: str) -> None:
    world.nominated(big)
    world.engine.revoke_role.send(world.deleverager, Role.CLOSER, sender=world.governor)
    with reverts("roles: not allowed"):
        world.deleverager.deleverage.send(ETH, sender=world.liquidator)
    assert world.position(big).size == SIZE
