"""I1, I2, I6, I8, I9, I13, I14 of the option path: random trades, times, prices, surfaces on contracts and twins."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ballast.chain import Reverted, reverts
from ballast.model.exact.option_book import LOT, Order, board_of, is_put, key_of, strike_of
from tests.unit.options.world import BTC, ETH, FORTNIGHT, STRIKES, WAD, WEEK, OptionWorld

SCALE = int(os.environ.get("BALLAST_FUZZ_SCALE", "1"))
BOARDS = ((ETH, WEEK, STRIKES), (ETH, FORTNIGHT, (1_500, 2_000, 2_500)), (BTC, WEEK, (50_000, 60_000, 70_000)))
OPENING = {
    "margin: below initial", "margin: settle first", "options: below minimum size", "options: series cap",
    "options: expiry cap", "options: market cap", "options: stale surface", "options: too close to expiry",
    "options: paused", "options: board is closing", "options: too many legs", "options: refresh first",
    "inventory: utilization", "perps: below minimum size", "clearing: insufficient cash",
    "oracle: stale price",
}  # fmt: skip
"""What valid input that takes risk or cash may be refused for. Both sides refuse alike: `World.do` asserts it."""
WAITING = {"options: expired", "oracle: stale price", "inventory: rebates in this block", "margin: below maintenance"}
"""What may hold up a close, a renewal or a settlement: the board expired, a round or the next block is awaited; of a
close also that it hedges what would be left."""
SURFACE = {"surface: vol drift", "surface: not newer", "surface: calendar", "surface: no expiry"}

# Small numbers, which integers() prefers, would be below the minimum size: magnitudes are chosen first.
lots = st.builds(
    lambda sign, magnitude, share: sign * magnitude * share // 1_000,
    st.sampled_from([1, -1]),
    st.sampled_from([20_000, 1_000_000, 10_000_000, 100_000_000]),
    st.integers(500, 1_000),
)
steps = st.tuples(
    st.sampled_from(
        ["option"] * 9
        + ["close", "close", "price", "price", "price", "surface", "wait", "refresh", "perp", "perp"]
        + ["force", "force", "force", "withdraw", "day", "settle", "settle", "pause", "freeze"]
    ),
    st.integers(0, 2),
    st.sampled_from([0, 0, 0, 1, 2]),
    st.lists(st.tuples(st.integers(0, 9), st.booleans(), lots), min_size=1, max_size=4),
    st.one_of(st.sampled_from([1, 250_000, 499_999, 750_001, 10**6]), st.integers(1, 10**6)),
)
Step = tuple[str, int, int, list[tuple[int, bool, int]], int]


@dataclass(slots=True)
class Play:
    """A world and the rounds around expiries, which settlements are proved by."""

    world: OptionWorld
    last: dict[tuple[int, int], int] = field(default_factory=dict)
    settled: set[tuple[int, int]] = field(default_factory=set)

    def note_rounds(self) -> None:
        """The newest round of a market is the last of a board as long as that has not expired."""
        for market, expiry, _ in BOARDS:
            round_ = self.world.twin.oracle.markets[market].feed.round  # type: ignore[attr-defined]
            if round_.updated_at <= expiry:
                self.last[market, expiry] = round_.round_id

    def act(self, step: Step) -> None:
        kind, who, board, legs, x = step
        world, (market, expiry, strikes) = self.world, BOARDS[board]
        trader = world.traders[who]
        if kind == "option":
            self.trade(trader, market, expiry, strikes, legs)
        elif kind == "close":
            self.close(trader, market, expiry, x)
        elif kind == "perp":
            attempt(lambda: world.trade(trader, market, legs[0][2] * 10**13 // (30 if market == BTC else 1)), OPENING)
        elif kind == "price":
            price = world.oracle.last(market).price
            world.set_price(market, price * (78 * 10**4 + x * 44 // 100) // 10**6)
        elif kind == "surface":
            attempt(lambda: world.post(market, 0.4 + x / 2_500_000), SURFACE)
        elif kind == "wait":
            world.warp(1 + x % 2_400)
            world.renew_rounds()
        elif kind == "day":
            for _ in range(1 + x % 7):
                world.warp(43_200)
                world.renew_rounds()
                self.note_rounds()
            for each in (ETH, BTC):
                attempt(lambda each=each: world.post(each, 0.6), SURFACE)  # type: ignore[misc]
        elif kind == "refresh":
            attempt(lambda: world.refresh(market, expiry), WAITING | {"options: not due", "options: not listed"})
        elif kind == "force":
            self.force(who, market, expiry, x)
        elif kind == "withdraw":
            units = max(world.cash(trader), 0) * x // 10**18
            if units:
                attempt(lambda: world.withdraw(trader, units), OPENING)
        elif kind == "pause":
            paused = market in world.twin_options_engine.paused
            (world.unpause_options if paused else world.pause_options)(market)
        elif kind == "freeze":
            frozen = market in world.twin_surface.frozen
            (world.thaw_surface if frozen else world.freeze_surface)(market)
        elif kind == "settle":
            self.settle(market, expiry, who)
        self.note_rounds()

    def trade(
        self, trader: str, market: int, expiry: int, strikes: tuple[int, ...], legs: list[tuple[int, bool, int]]
    ) -> None:
        world = self.world
        if (market, expiry) in self.settled:
            return
        sizes = {
            f"{strikes[i % len(strikes)]}{'P' if put else 'C'}": size / 10**6 / (30 if market == BTC else 1)
            for i, put, size in legs
        }
        orders = [order for order in world.orders(sizes, expiry, market) if order.size]
        if not orders:
            return
        held = world.held(trader)
        closing = all(o.size * held.get(o.series, 0) < 0 and abs(o.size) <= abs(held[o.series]) * LOT for o in orders)
        if world.now >= expiry:
            with reverts("options: expired"):
                world.send(trader, orders)
            return
        outcome = attempt(lambda: world.execute(trader, orders), WAITING if closing else OPENING)
        if outcome is None:
            return
        # I8: what is bought costs at most its bound, what is sold never costs, charges and rebates aside
        spot = world.oracle.last(market).price
        bound = 0
        for order in orders:
            if order.size > 0:
                bound += order.size * (strike_of(order.series) * 10**10 if is_put(order.series) else spot) // WAD
        assert outcome.premium + outcome.half_spread <= bound

    def close(self, trader: str, market: int, expiry: int, x: int) -> None:
        """All of a board or a part of everything there; whatever is paused or stale but the price, it is refused only
        where it hedges the rest of an account below maintenance, as `force` may have left one."""
        world, key = self.world, key_of(market, expiry)
        if world.now >= expiry:
            return
        legs = sorted((series, lots) for series, lots in world.held(trader).items() if board_of(series) == key)
        part = 10**6 if x % 2 else x
        orders = [Order(series, -(lots * part // 10**6) * LOT) for series, lots in legs]
        orders = [order for order in orders if order.size][:8]
        if orders:
            attempt(lambda: world.execute(trader, orders), {"oracle: stale price", "margin: below maintenance"})

    def force(self, who: int, market: int, expiry: int, x: int) -> None:
        """A part of a board is closed for its owner, or moved to who is not on the other side of any of it."""
        world, key = self.world, key_of(market, expiry)
        account, taker = world.traders[who], world.traders[(who + 1) % 3]
        legs = sorted((series, lots) for series, lots in world.held(account).items() if board_of(series) == key)
        orders = [Order(series, (lots * x // 10**6 or lots) * LOT) for series, lots in legs][:8]
        if not orders or world.now >= expiry or not world.oracle.peek(market).fresh:
            return
        if x % 3 == 0:
            closing = [Order(order.series, -order.size) for order in orders]
            attempt(lambda: world.close_for_options(account, closing, x % 2 == 0), {"margin: below maintenance"})
            return
        has = world.held(taker)
        if any(has.get(order.series, 0) * order.size < 0 for order in orders):
            with reverts("options: taker is on the other side"):
                world.transfer_options(account, taker, orders)
            return
        inventory, buckets = world.inventory.market(market), world.clearinghouse.buckets()
        cash = world.cash(account) + world.cash(taker)
        receipt = attempt(
            lambda: world.transfer_options(account, taker, orders), {"options: too many legs", "options: stale surface"}
        )
        if receipt is None:
            return
        assert world.inventory.market(market) == inventory
        debt = sum(event.by_insurance + event.by_lp for event in receipt.find("BadDebtCovered"))
        assert world.cash(account) + world.cash(taker) == cash + debt
        after = world.clearinghouse.buckets()
        assert buckets.lp + buckets.insurance - debt == after.lp + after.insurance
        assert (after.reserve, after.fees, after.payables) == (buckets.reserve, buckets.fees, buckets.payables)

    def settle(self, market: int, expiry: int, first: int) -> None:
        """The board if it can be, then accounts from the first on."""
        world = self.world
        if (market, expiry) in self.settled:
            accounts = world.traders[first:] + world.traders[:first]
            world.settle_accounts(accounts[: 1 + first], market, expiry)
            return
        if world.now <= expiry:
            with reverts("options: not expired" if world.now < expiry else None):
                world.settle(self.last[market, expiry], market, expiry)
            return
        if attempt(
            lambda: world.settle(self.last[market, expiry], market, expiry), WAITING | {"oracle: no round after"}
        ):
            self.settled.add((market, expiry))

    def leave(self, account: str, close: Callable[[], object]) -> None:
        """Whoever closes a hedge before what it hedges needs margin."""
        try:
            close()
        except Reverted as error:
            if error.reason != "margin: below maintenance":
                raise
            self.world.deposit(account, 10**8 * 10**6)
            close()

    def finish(self) -> None:
        """Everybody closes or is settled; nothing is left anywhere."""
        world = self.world
        world.warp(1)
        world.renew_rounds()
        self.note_rounds()
        for market, expiry, _ in BOARDS:
            if world.now < expiry:
                for account in world.traders:
                    self.leave(account, partial(world.close_options, account, market, expiry))
        for market in (ETH, BTC):
            for account in world.traders:
                if world.position(account, market).size:
                    self.leave(account, partial(world.close, account, market))
        world.warp(max(FORTNIGHT + 1 - world.now, 1))
        world.renew_rounds()
        for market, expiry, _ in BOARDS:
            if (market, expiry) not in self.settled:
                world.settle(self.last[market, expiry], market, expiry)
            world.settle_accounts(world.traders, market, expiry)
            world.check()
            world.clear(market, expiry)
        world.check()
        assert world.clearinghouse.buckets().payables == 0
        for market in (ETH, BTC):
            stored = world.inventory.market(market)
            assert (stored.delta, stored.gamma, stored.vega, list(stored.stress)) == (0, 0, 0, [0] * 8)
            assert world.book.interest(market) == 0
        assert world.potential() == 0
        for account in world.traders:
            cash, mask = world.clearinghouse.account(account)
            assert mask == 0
            assert cash >= 0


def attempt(act, refusals):  # type: ignore[no-untyped-def]
    """What the act answers; None if it was refused for one of these reasons."""
    try:
        return act()
    except Reverted as error:
        if error.reason not in refusals:
            raise
        return None


@pytest.mark.fuzz
@settings(max_examples=100 * SCALE, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sequence=st.lists(steps, min_size=15, max_size=40))
def test_options_random_sequence_equals_twin_and_leaves_nothing(sequence: list[Step]) -> None:
    world = OptionWorld.create(margin=25_000)
    world.rest()
    play = Play(world)
    play.note_rounds()
    for step in sequence:
        play.act(step)
        world.check()
    play.finish()


@pytest.mark.fuzz
@settings(max_examples=100 * SCALE, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sequence=st.lists(steps.filter(lambda s: s[0] in ("option", "close")), min_size=2, max_size=12))
def test_options_one_block_of_trades_earns_nothing(sequence: list[Step]) -> None:
    """I6: what three accounts open and close in one block leaves them poorer together, whatever they do in between."""
    world = OptionWorld.create()
    world.rest()
    for market in (ETH, BTC):
        world.configure_options(market, min_size=0)  # so that whatever was closed can be opened again
    for account, name, (market, expiry, _) in zip(world.traders, ("2000C", "2500P", "60000C"), BOARDS, strict=True):
        world.option(account, {name: 1}, expiry, market)
    world.rest()
    for market, expiry, _ in BOARDS:
        if world.book.is_due(key_of(market, expiry), world.oracle.last(market).price):
            world.refresh(market, expiry)
    before = [world.cash(account) for account in world.traders]
    held = [world.held(account) for account in world.traders]
    play = Play(world)
    play.note_rounds()
    for step in sequence:
        play.act(step)
    for account, legs in zip(world.traders, held, strict=True):
        for market, expiry, _ in BOARDS:
            key = key_of(market, expiry)
            now = world.held(account)
            changed = sorted(s for s in {*now, *legs} if board_of(s) == key and now.get(s, 0) != legs.get(s, 0))
            orders = [Order(s, (legs.get(s, 0) - now.get(s, 0)) * LOT) for s in changed]
            for start in range(0, len(orders), 8):
                world.execute(account, orders[start : start + 8])
    assert [world.held(account) for account in world.traders] == held
    assert sum(world.cash(account) for account in world.traders) <= sum(before)
    world.check()


prices = st.integers(1_300, 2_900)
surfaces = st.tuples(st.integers(30, 95), st.integers(-90, 90), st.integers(5, 100))


@pytest.mark.fuzz
@settings(max_examples=40 * SCALE, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(price=prices, surface=surfaces, wait=st.integers(1, 3_500), size=st.integers(1, 400), who=st.integers(0, 2))
def test_no_static_arbitrage_at_executable_prices(
    price: int, surface: tuple[int, int, int], wait: int, size: int, who: int
) -> None:
    """
    I8, rebates aside: whatever the smile, spot and age of the surface, verticals, butterflies, calendars, boxes do not
    pay who buys them, in one trade or leg by leg; ask >= mark >= bid; twice the size costs no less.
    """
    vol, rho, eta = surface
    world = OptionWorld.create()
    world.warp(3 * 3_600)  # far enough for any surface to be near
    world.renew_rounds()
    world.post(ETH, vol / 100, rho * WAD // 100, eta * WAD // 100)
    world.warp(wait)
    world.set_price(ETH, price * WAD)
    for expiry in (WEEK, FORTNIGHT):
        world.refresh(ETH, expiry)
    trader = world.traders[who]

    def cost(legs: dict[str, int | float], expiry: int = WEEK) -> int:
        quoted = world.quote(trader, world.orders(legs, expiry))
        assert quoted.charge >= 0  # nobody is paid where nothing is held
        assert quoted.half_spread >= 0
        return int(quoted.premium + quoted.half_spread)

    strikes = (1_600, 1_800, 2_000, 2_200, 2_400, 2_600)
    asks = {f"{k}{right}": cost({f"{k}{right}": size}) for k in strikes for right in "CP"}
    bids = {name: -cost({name: -size}) for name in asks}
    for name, ask in asks.items():
        assert 0 <= bids[name] <= ask <= size * WAD * (price if name[-1] == "C" else int(name[:-1]))
        assert cost({name: 2 * size}) >= ask
    for low, middle, high in zip(strikes, strikes[1:], strikes[2:], strict=False):
        for right, legs in (
            ("C", {f"{low}C": size, f"{middle}C": -size}),
            ("P", {f"{middle}P": size, f"{low}P": -size}),
        ):
            wings = {f"{low}{right}": size, f"{middle}{right}": -2 * size, f"{high}{right}": size}
            for position in (legs, wings):
                assert cost(position) >= -4
                assert sum(asks[n] * s // size if s > 0 else bids[n] * s // size for n, s in position.items()) >= -4
        box = {f"{low}C": size, f"{low}P": -size, f"{middle}C": -size, f"{middle}P": size}
        assert cost(box) - size * (middle - low) * WAD * 99 // 100 >= 0  # worth their difference, discounted for a week
    assert cost({"2000C": size}, FORTNIGHT) >= bids["2000C"]  # the rate is not negative
