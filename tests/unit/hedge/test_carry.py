"""Carry: what lenders charge for the hedge becomes funding of those it is held for; contract and twin side by side."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from random import Random
from typing import Any

import pytest

from ballast.chain import Contract, Receipt, RevmChain, reverts
from ballast.model.exact.carry import MAX_AMOUNT, MAX_INDEX, Carry, Lending, Rate, Reading, sample
from ballast.model.exact.fixed import MAX_CARRY, WAD, YEAR
from ballast.model.exact.hedge import Rule, VenueParams
from ballast.model.exact.hedge_manager import HedgeManager, Venue
from ballast.model.roles import Role
from ballast.testing import hedge_world
from ballast.testing.hedge_world import Manner
from tests.unit.perps.world import BTC, ETH, World

RAY = 10**27
HOUR, DAY = 3_600, 86_400
PERCENT = WAD // 100
UNIT = 10**14  # [1/year, WAD] in which PerpEngine keeps a carry
NO_LENDER = Lending()


@dataclass(slots=True)
class Borrowing(Venue):
    """Twin of a double that says it has a lender."""

    answer: Lending | None = None

    def lending(self) -> Lending | None:
        return self.answer


@dataclass(slots=True)
class Desk:
    """A perpetual market whose hedge is at doubles; contracts and twins."""

    world: World
    manager: Contract
    carry: Contract
    doubles: list[Contract]

    @property
    def twin(self) -> Carry:
        carry = self.world.twin.carry
        assert carry is not None
        return carry

    @property
    def rate(self) -> int:
        """[1/year, WAD]"""
        return int(self.carry.rates(ETH).rate)

    def add(self, market: int = ETH) -> int:
        """One more venue; its id."""
        w = self.world
        double = w.chain.deploy("HedgeVenueDouble", w.clearinghouse, w.token, 10**12, 2_000 * WAD)
        self.manager.list_venue.send(double, market, astuple(VenueParams()), sender=w.governor)
        manager = w.twin.hedge_manager
        assert manager is not None
        outside: Any = None
        manager.list_venue(Borrowing(market, 1, 10**12, outside, VenueParams()))
        self.doubles.append(double)
        return len(self.doubles) - 1

    def says(self, lending: Lending, venue: int = 0) -> None:
        """What the venue answers from now on."""
        self.doubles[venue].set_lender.send(astuple(lending))
        self._venue(venue).answer = lending

    def accrues(self, borrow: int, supply: int = 0, seconds: int = HOUR, venue: int = 0) -> None:
        """Time passes at these rates [1/year, WAD]."""
        self.world.warp(seconds)
        before = self._venue(venue).answer
        assert before is not None
        indices = (
            index + index * rate * seconds // (YEAR * WAD)
            for index, rate in ((before.supply_index, supply), (before.borrow_index, borrow))
        )
        self.says(Lending(*indices, before.base, before.quote), venue)

    def behaves(self, manners: Manner, venue: int = 0) -> None:
        """How the venue answers from now on."""
        self.doubles[venue].set_manners.send(manners)
        if manners:
            self._venue(venue).answer = None

    def measure(self, market: int = ETH) -> Receipt:
        """On both sides; everything they keep is the same."""
        w = self.world
        w.push_price(market, price := self.prices(market))
        book, trial = w.twin.perp_engine.book(market), w.twin.fork().carry
        cost, size = trial.charged(market, book.long - book.short, price, w.now)
        receipt = w.do(
            lambda: self.carry.measure.send(market, sender=w.stranger),
            lambda twin: twin.carry.measure(market, w.now),
        )
        event = receipt.one("Measured")
        assert (event.cost, event.size, abs(event.sample)) == (cost, size, sample(cost, size, price))
        self.check()
        return receipt

    def prices(self, market: int) -> int:
        return int(self.world.oracle.last(market).price)

    def check(self) -> None:
        for market in (ETH, BTC):
            assert tuple(self.carry.rates(market)) == astuple(self.twin.rates.get(market, Rate()))
        for venue in range(len(self.doubles)):
            assert tuple(self.carry.readings(venue)) == astuple(self.twin.readings.get(venue, Reading()))
        self.world.check()

    def _venue(self, venue: int) -> Borrowing:
        manager = self.world.twin.hedge_manager
        assert manager is not None
        found = manager.venues[venue]
        assert isinstance(found, Borrowing)
        return found


@pytest.fixture(scope="module")
def built() -> Desk:
    """Traders are short 100 ETH, which a venue owes 100 for, and have been noted once."""
    w = World.build(chain=RevmChain())
    w.warp(60)
    manager = w.chain.deploy("HedgeManager", w.governor, w.governor, w.clearinghouse, w.inventory, w.oracle)
    carry = w.chain.deploy("Carry", w.engine, manager, w.oracle)
    w.engine.grant_role.send(carry, Role.HEDGER, sender=w.governor)
    twin = w.twin
    twin.hedge_manager = HedgeManager(twin.clearinghouse, twin.inventory, twin.oracle, Rule())
    options = twin.margin.option_engine, twin.margin.option_book, twin.margin.surface
    twin.wire()
    twin.margin.option_engine, twin.margin.option_book, twin.margin.surface = options
    desk = Desk(w, manager, carry, [])
    desk.add()
    desk.says(Lending(RAY, RAY, -100 * WAD, 300_000 * WAD))
    w.trade(w.traders[0], ETH, -100 * WAD)
    desk.measure()
    return desk


@contextmanager
def undone(desk: Desk) -> Iterator[Desk]:
    """A copy that leaves no trace."""
    world = desk.world
    rounds = [feed.round for feed in world.twin_feeds]
    with world.chain.undone():
        yield replace(desk, world=replace(world, twin=world.twin.fork()), doubles=list(desk.doubles))
    for feed, round_ in zip(world.twin_feeds, rounds, strict=True):
        feed.round = round_


@pytest.fixture
def desk(built: Desk) -> Iterator[Desk]:
    with undone(built) as copy:
        yield copy


def spend(desk: Desk, hours: int, borrow: int, supply: int = 0) -> None:
    """So many hourly measurements at these rates."""
    for _ in range(hours):
        desk.accrues(borrow, supply)
        desk.measure()


# ---- what is measured


def test_measure_charges_shorts_what_the_lender_charged(desk: Desk) -> None:
    assert desk.rate == 0
    desk.accrues(12 * PERCENT, 4 * PERCENT)
    receipt = desk.measure()
    event = receipt.one("Measured")
    # 12 % on 100 ETH at 2,000, less 4 % on 300,000, over 200,000 of notional
    assert event.cost == pytest.approx(12_000 * WAD, rel=1e-3)
    assert event.size == 100 * WAD
    assert event.sample == pytest.approx(6 * PERCENT, rel=1e-3)
    assert event.rate == desk.rate == pytest.approx(event.sample * (1 - 2 ** (-1 / 24)), rel=1e-3)
    assert desk.world.engine.carry(ETH) == desk.rate // UNIT * UNIT > 0
    assert desk.world.engine.book(ETH).funding_rate > desk.world.engine.carry(
        ETH
    )  # shorts pay, and Inventory's besides


def test_rate_forgets_with_its_half_life_however_often_one_measures(desk: Desk) -> None:
    with undone(desk) as hourly:
        spend(hourly, 24, 12 * PERCENT)
        after_hours = hourly.rate
    for _ in range(4):
        desk.accrues(12 * PERCENT, seconds=DAY // 4)
        sample = desk.measure().one("Measured").sample
    assert desk.rate == pytest.approx(sample / 2, rel=1e-3)
    assert after_hours == pytest.approx(desk.rate, rel=0.02)  # interest compounds between measurements


def test_one_measurement_after_a_month_weighs_six_hours(desk: Desk) -> None:
    desk.accrues(12 * PERCENT, seconds=30 * DAY)
    event = desk.measure().one("Measured")
    assert event.sample == pytest.approx(12 * PERCENT, rel=1e-3)  # the interest of all of it
    assert event.rate == pytest.approx(event.sample * (1 - 2**-0.25), rel=1e-6)


def test_measure_refuses_within_the_hour_and_at_a_stale_price(desk: Desk) -> None:
    desk.world.warp(HOUR - 2)
    with reverts("carry: measured already"):
        desk.measure()  # a second before
    desk.measure()
    desk.world.warp(2 * HOUR)
    with reverts("oracle: stale price"):
        desk.carry.measure.send(ETH)
    for market, reason in ((2, "oracle: not listed"), (16, "perps: not listed")):
        with reverts(reason):
            desk.carry.measure.send(market)


def test_longs_pay_for_a_hedge_that_owes_quote(desk: Desk) -> None:
    desk.world.trade(desk.world.traders[1], ETH, 300 * WAD)  # long 200 on balance
    desk.says(Lending(RAY, RAY, 200 * WAD, -250_000 * WAD))
    desk.accrues(8 * PERCENT, 2 * PERCENT)
    event = desk.measure().one("Measured")
    assert event.cost == pytest.approx((20_000 - 8_000) * WAD, rel=1e-3)
    assert event.sample == pytest.approx(-3 * PERCENT, rel=1e-3)
    assert desk.world.engine.carry(ETH) == -(-desk.rate // UNIT * UNIT) < 0


def test_lps_never_pay(desk: Desk) -> None:
    """A hedge that earns adds nothing to funding, and what was charged before is forgotten as at any time."""
    spend(desk, 3, 12 * PERCENT)
    before = desk.rate
    desk.accrues(PERCENT, 10 * PERCENT)
    event = desk.measure().one("Measured")
    assert event.cost < 0 == event.sample
    assert 0 < desk.rate < before


def test_nobody_pays_for_a_hedge_of_something_else(desk: Desk) -> None:
    w = desk.world
    w.trade(w.traders[0], ETH, 60 * WAD)  # the other 60 hedge something else
    desk.accrues(10 * PERCENT)
    event = desk.measure().one("Measured")
    assert event.size == 100 * WAD
    assert event.sample == pytest.approx(10 * PERCENT, rel=1e-3)  # not 25 %
    w.trade(w.traders[0], ETH, 90 * WAD)  # long 50: the hedge is not for perpetuals at all
    desk.accrues(10 * PERCENT)
    assert desk.measure().one("Measured").sample == 0
    w.trade(w.traders[0], ETH, -50 * WAD)  # flat
    desk.accrues(10 * PERCENT)
    assert desk.measure().one("Measured").sample == 0
    w.trade(w.traders[0], ETH, -400 * WAD)  # a quarter is hedged: each pays a quarter
    desk.accrues(10 * PERCENT)
    assert desk.measure().one("Measured").sample == pytest.approx(PERCENT * 10 // 4, rel=1e-3)


def test_rate_has_a_ceiling(desk: Desk) -> None:
    for _ in range(60):
        desk.accrues(900 * PERCENT, seconds=DAY // 4)
        assert desk.measure().one("Measured").sample == MAX_CARRY
    assert MAX_CARRY - UNIT < desk.rate < MAX_CARRY
    assert desk.world.engine.carry(ETH) == MAX_CARRY - UNIT


def test_venues_of_a_market_are_added_up_and_those_of_others_are_not(desk: Desk) -> None:
    second, other = desk.add(), desk.add(BTC)
    for venue in (second, other):
        desk.says(Lending(RAY, RAY, -50 * WAD, 0), venue)
    desk.accrues(10 * PERCENT)
    assert desk.measure().one("Measured").cost == pytest.approx(20_000 * WAD, rel=1e-3)  # the second is noted
    assert tuple(desk.carry.readings(other)) == (0, 0, 0)
    desk.accrues(10 * PERCENT)
    desk.says(Lending(RAY, RAY + RAY * 20 // 100 * HOUR // YEAR, -50 * WAD, 0), second)
    event = desk.measure().one("Measured")
    assert event.cost == pytest.approx((20_000 + 20_000) * WAD, rel=1e-3)
    assert event.size == 150 * WAD
    desk.manager.retire_venue.send(second, sender=desk.world.governor)
    desk.world.twin.hedge_manager.retire_venue(second)
    desk.accrues(10 * PERCENT)
    assert desk.measure().one("Measured").size == 100 * WAD


# ---- venues that do not answer


@pytest.mark.parametrize(
    "manner",
    [Manner.VIEWS_REVERT, Manner.VIEWS_BURN_GAS, Manner.VIEWS_GARBAGE, Manner.VIEWS_SILENT, Manner.VIEWS_SHOUT],
)
def test_dead_venue_counts_as_nothing_and_is_measured_from_where_it_was(desk: Desk, manner: Manner) -> None:
    lending = desk._venue(0).answer
    desk.behaves(manner)
    desk.world.warp(HOUR)
    reading = tuple(desk.carry.readings(0))
    event = desk.measure().one("Measured")
    assert (event.cost, event.sample) == (0, 0)
    assert tuple(desk.carry.readings(0)) == reading
    desk.behaves(Manner(0))
    desk.says(lending)
    desk.accrues(10 * PERCENT)
    sample = desk.measure().one("Measured").sample
    assert sample == pytest.approx(5 * PERCENT, rel=2e-3)  # an hour's interest over two


@pytest.mark.parametrize(
    "nonsense",
    [
        {"supply_index": 0},
        {"borrow_index": 0},
        {"supply_index": MAX_INDEX},
        {"borrow_index": MAX_INDEX},
        {"borrow_index": 2**256 - 1},
        {"base": -MAX_AMOUNT},
        {"base": MAX_AMOUNT},
        {"base": -(2**255)},
        {"quote": MAX_AMOUNT},
        {"quote": -MAX_AMOUNT},
        {"quote": -(2**255)},
    ],
    ids=str,
)
def test_nonsense_is_no_answer(desk: Desk, nonsense: dict[str, int]) -> None:
    before = desk._venue(0).answer
    desk.world.warp(HOUR)
    desk.says(replace(before, **nonsense))
    reading = tuple(desk.carry.readings(0))
    assert desk.measure().one("Measured").cost == 0
    assert tuple(desk.carry.readings(0)) == reading


def test_largest_answers_stop_nothing_and_falling_indices_charge_nothing(desk: Desk) -> None:
    desk.says(Lending(1, 1, 1 - MAX_AMOUNT, 1 - MAX_AMOUNT))
    desk.world.warp(HOUR)
    assert desk.measure().one("Measured").cost == 0  # both have fallen
    desk.says(Lending(1, MAX_INDEX - 1, 1 - MAX_AMOUNT, 1 - MAX_AMOUNT))
    desk.world.warp(HOUR)
    assert desk.measure().one("Measured").sample == pytest.approx(MAX_CARRY)
    desk.says(Lending(MAX_INDEX - 1, MAX_INDEX - 1, 1 - MAX_AMOUNT, MAX_AMOUNT - 1))
    desk.world.warp(HOUR)
    assert desk.measure().one("Measured").cost < 0


def test_no_index_counts_as_growing_faster_than_tenfold_a_year(desk: Desk) -> None:
    desk.says(Lending(RAY, RAY, -WAD, 0))
    desk.world.warp(HOUR)
    desk.measure()
    desk.says(Lending(RAY, 1_000 * RAY, -WAD, 0))
    desk.world.warp(HOUR)
    event = desk.measure().one("Measured")
    assert (event.cost, event.sample) == (10 * 2_000 * WAD, 10 * PERCENT)  # a hundredth of the net position is hedged


# ---- those who would rather not pay


def test_turning_the_net_position_for_a_measurement_costs_more_than_it_saves(desk: Desk) -> None:
    """The one short whose hedge is paid for, at the highest carry there is and the largest weight of a sample."""
    w = desk.world
    short, other = w.traders[:2]
    for _ in range(50):
        desk.accrues(900 * PERCENT, seconds=DAY // 4)
        desk.measure()

    def after(desk: Desk, *, turns: bool) -> int:
        """What both accounts are left with [quote, WAD], ten days later."""
        w = desk.world
        desk.accrues(900 * PERCENT, seconds=DAY // 4)
        w.push_price(ETH, 2_000 * WAD)
        if turns:
            w.trade(other, ETH, 101 * WAD)
        event = w.do(lambda: desk.carry.measure.send(ETH), lambda twin: twin.carry.measure(ETH, w.now)).one("Measured")
        assert event.sample == (0 if turns else MAX_CARRY)
        if turns:
            w.trade(other, ETH, -101 * WAD)
        for _ in range(40):
            desk.accrues(900 * PERCENT, seconds=DAY // 4)
            desk.measure()
        w.trade(short, ETH, 100 * WAD)
        return w.cash(short) + w.cash(other)

    with undone(desk) as copy:
        patient = after(copy, turns=False)
    saved = after(desk, turns=True) - patient
    assert saved < 0, saved


# ---- anything at all


def test_random_histories_equal_the_twin(desk: Desk) -> None:
    rng = Random(3)
    w = desk.world
    desk.add()
    for _ in range(60):
        venue = rng.randrange(2)
        if rng.random() < 0.5:
            w.trade(w.traders[rng.randrange(3)], ETH, rng.choice((-1, 1)) * rng.randrange(WAD // 100, 200 * WAD))
        magnitude = 10 ** rng.randrange(12, 24)
        desk.says(
            Lending(
                RAY + rng.randrange(RAY), RAY + rng.randrange(RAY),
                rng.randrange(-magnitude, magnitude), rng.randrange(-2_000 * magnitude, 2_000 * magnitude),
            ),
            venue,
        )  # fmt: skip
        w.warp(rng.randrange(HOUR, 4 * DAY))
        w.push_price(ETH, rng.randrange(1_500 * WAD, 2_500 * WAD))
        assert abs(desk.measure().value) <= MAX_CARRY
    assert len({desk.rate, 0, MAX_CARRY, -MAX_CARRY}) == 4


# ---- a year at Aave


def hedged_year(w: hedge_world.World, carry: Contract | None) -> tuple[int, int]:
    """What LPs own at its end, and what Aave has charged for the hedge less what it paid [quote, WAD]."""
    held = w.venue.equity(w.price)
    for day in range(365):
        if day == 120:
            w.aave.borrow(w.base, 20_000 * WAD, owner=w.whale)  # dearer
        if day == 240:
            w.aave.supply(w.base, 100_000 * WAD, owner=w.whale)  # cheaper than ever
        w.next_block(DAY)
        w.engine.sync.send(0)
        if carry is not None:
            carry.measure.send(0)
    w.manager.poke.send(0)
    w.inventory.sync_all.send()
    return w.nav(), held - w.venue.equity(w.price)


@pytest.fixture(scope="module")
def aave() -> tuple[hedge_world.World, Contract]:
    """Traders are short 500, all of it hedged at Aave, where others borrow, too; and Carry, which has noted that."""
    w = hedge_world.build(RevmChain())
    hedge_world.add_aave(w)
    w.deposit_margin(5_000_000 * WAD, w.trader)
    w.trade(-2_500 * WAD)
    w.next_block()
    w.rebalance(-500 * WAD)
    w.next_block()
    w.trade(2_000 * WAD)
    w.aave.supply(w.quote, w.units(200_000_000 * WAD), owner=w.whale)
    w.aave.borrow(w.base, 20_000 * WAD, owner=w.whale)
    w.aave.borrow(w.quote, w.units(50_000_000 * WAD), owner=w.whale)  # collateral earns something, too
    carry = w.chain.deploy("Carry", w.engine, w.manager, w.oracle)
    w.engine.grant_role.send(carry, Role.HEDGER, sender=w.setup)
    carry.measure.send(0)
    return w, carry


def test_lps_hold_a_hedged_short_book_for_a_year_at_no_cost(aave: tuple[hedge_world.World, Contract]) -> None:
    """What shorts pay for it is what Aave charged, but for the first measurement and what smoothing lags: 4 %."""
    w, carry = aave
    with w.chain.undone():
        without, interest = hedged_year(w, None)
    with w.chain.undone():
        owned, charged = hedged_year(w, carry)
    assert charged == interest > 10_000 * WAD
    assert owned - without == pytest.approx(interest, rel=0.04)


def test_caller_cannot_starve_the_view(aave: tuple[hedge_world.World, Contract]) -> None:
    """Whatever gas is sent, Aave is heard or nothing happens."""
    w, carry = aave
    heard = 0
    for gas in range(30_000, 400_000, 2_500):
        with w.chain.undone():
            w.next_block(HOUR)
            try:
                receipt = carry.send("measure", 0, gas=gas)
            except Exception:
                continue
            assert receipt.one("Measured").cost > 0
            heard += 1
    assert heard > 20
