"""Robbing the vault with options: many accounts, split trades, known surfaces and rounds, renewals, dust, debts."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from ballast.chain import Reverted, reverts
from ballast.model.exact.option_book import key_of
from ballast.system import Sandbox
from ballast.testing import options as on_sandbox
from tests.unit.clearing.world import LiquidationWorld
from tests.unit.options.world import BTC, ETH, FORTNIGHT, STRIKES, WAD, WEEK, OptionWorld

DAY = 86_400
Legs = dict[str, int | float]


def stage(**build: int) -> OptionWorld:
    """A world whose board has its point, and where nobody is being paid for anything."""
    world = OptionWorld.create(**build)
    world.rest()
    world.refresh()
    return world


def worth(world: OptionWorld, accounts: list[str]) -> int:
    """Cash of accounts that hold nothing."""
    assert not any(world.held(account) for account in accounts)
    return sum(world.cash(account) for account in accounts)


# ── one block ──


@pytest.mark.parametrize("legs", [{"2000C": 300}, {"2000P": -240}, {"1900P": -120, "2000C": 240, "2200C": -180}])
@pytest.mark.parametrize("parts", [2, 12])
def test_splitting_over_trades_and_accounts_saves_nothing(legs: Legs, parts: int) -> None:
    """I5: at most what minima in MICRO and the prices' rounding leave of each part."""
    whole, split = stage(), stage()
    cost = -whole.option(whole.traders[0], legs).cash
    paid = 0
    for i in range(parts):
        part = {name: size / parts for name, size in legs.items()}
        paid -= split.option(split.traders[i % 3], part).cash
    assert paid >= cost - parts * 10**13
    assert split.potential() == whole.potential()


@pytest.mark.parametrize("seed", range(8))
def test_one_block_of_options_and_perpetuals_earns_nothing(seed: int) -> None:
    """I6 beside an honest book, R covering it or not: two accounts of a purse trade both and undo it in any order."""
    world, rng = stage(), random.Random(seed)
    honest, *gang = world.traders
    world.option(honest, {"2000C": rng.choice([-150, 150]), "2400P": 40})
    world.trade(honest, ETH, rng.choice([-1, 1]) * 300 * WAD)
    if seed % 2:
        world.rest()
        world.set_price(ETH, rng.choice([1_960, 2_040]) * WAD)
        world.rest()
    if world.book.is_due(key_of(ETH, WEEK), world.oracle.last(ETH).price):
        world.refresh()
    before = worth(world, gang)
    for _ in range(rng.randint(2, 8)):
        account = rng.choice(gang)
        if rng.random() < 0.3:
            world.trade(account, ETH, rng.randint(-400, 400) * WAD or WAD)
        else:
            names = rng.sample([f"{k}{right}" for k in STRIKES for right in "CP"], rng.randint(1, 3))
            world.option(account, {name: rng.choice([-1, 1]) * rng.randint(1, 150) for name in names})
    exits: list[Callable[[], object]] = []
    for account in gang:
        exits.append(lambda account=account: world.close_options(account, ETH, WEEK))  # type: ignore[misc]
        if world.position(account).size:
            exits.append(lambda account=account: world.close(account, ETH))  # type: ignore[misc]
    rng.shuffle(exits)
    for leave in exits:
        leave()
    assert worth(world, gang) < before
    world.check()


# ── what a trader knows before the contracts do ──


@pytest.mark.parametrize(("vol_move", "gains"), [(0.5, False), (-0.5, False), (1.5, False), (-1.5, False), (6, True)])
def test_opening_before_a_known_surface_pays_only_beyond_two_vol_spreads(vol_move: float, gains: bool) -> None:
    """
    A straddle bought (sold) just before the surface rises (falls), closed just after. A week from expiry a half-spread
    is worth about 1 vol point of the option: moves below two of them earn nothing, larger ones their excess. They are
    bounded by VolSurface's drift; and an attacker is first only if feeders post where everybody sees it coming.
    """
    world = stage()
    attacker, side = world.traders[0], 1 if vol_move > 0 else -1
    before = worth(world, [attacker])
    world.warp(1)
    outcome = world.option(attacker, {"2000C": 50 * side, "2000P": 50 * side})
    vega = abs(world.book.board(ETH, WEEK).vega) / WAD
    world.warp(1)
    world.post(ETH, 0.6 + vol_move / 100)
    world.close_options(attacker, ETH, WEEK)
    gain = (worth(world, [attacker]) - before) / WAD
    assert (gain > 0) is gains
    spread = outcome.half_spread / WAD
    assert 0.8 < 100 * spread / vega < 1.2  # vol points
    assert gain < abs(vol_move) / 100 * vega - 1.5 * spread


@pytest.mark.parametrize("basis_points", [2, -2, 5, -5])
@pytest.mark.parametrize("name", ["2000C", "2000P", "1600C"])
def test_opening_before_a_known_round_earns_nothing_within_the_spot_spread(name: str, basis_points: int) -> None:
    """Delta pays spot's spread and every option base: a move of 5 bp is not worth two trades."""
    world = stage()
    attacker = world.traders[0]
    before = worth(world, [attacker])
    rises = (basis_points > 0) == name.endswith("C")
    world.option(attacker, {name: 100 if rises else -100})
    world.set_price(ETH, 2_000 * WAD * (10_000 + basis_points) // 10_000)
    world.close_options(attacker, ETH, WEEK)
    assert worth(world, [attacker]) < before


# ── renewals ──


@pytest.mark.parametrize("seed", range(10))
def test_trading_around_a_renewal_earns_nothing(seed: int) -> None:
    """Honest options and perpetuals; a gang trades, has the board renewed in the same block or later, undoes it."""
    world, rng = stage(), random.Random(seed)
    honest, *gang = world.traders
    world.configure_options(reward=0)
    world.option(honest, {"2100C": rng.choice([-200, 200]), "1900P": rng.choice([-100, 100])})
    world.trade(honest, ETH, rng.choice([-1, 1]) * rng.randint(50, 300) * WAD)
    world.rest()
    world.warp(1_801)
    world.renew_rounds()
    if seed % 2:
        world.set_price(ETH, rng.choice([1_920, 2_085]) * WAD)
    before = worth(world, gang)
    for _ in range(rng.randint(2, 6)):
        what, account = rng.random(), rng.choice(gang)
        try:
            if what < 0.35:
                world.trade(account, ETH, rng.choice([-1, 1]) * rng.randint(10, 400) * WAD)
            elif what < 0.7:
                legs = {f"{rng.choice(STRIKES)}{rng.choice('CP')}": rng.choice([-1, 1]) * rng.randint(10, 150)}
                world.send(account, world.orders(legs))
            elif what < 0.9:
                world.refresh()
            else:
                world.warp(1)
        except Reverted as error:
            if error.reason not in {"options: not due", "options: refresh first", "inventory: rebates in this block"}:
                raise
    for account in gang:
        world.close_options(account, ETH, WEEK)
        if world.position(account).size:
            world.close(account, ETH)
    assert worth(world, gang) <= before
    world.check()


def test_rewards_of_renewals_are_bounded_by_boards_and_intervals(
    record_property: Callable[[str, object], None],
) -> None:
    """
    One dust position makes a board worth renewing: it costs 0.03 quote, and earns whoever renews a reward each time the
    board is due, at most one per interval. LPs lose at most reward · day / interval a board: 72 quote here, 24 where
    nothing but age makes it due. A renewal burns half a million gas: below about 0.5 gwei at 2,000 dust pays a keeper.
    """
    world = stage()
    attacker = world.traders[0]
    dust = -world.option(attacker, {"2000C": 0.01}).half_spread
    assert -dust < WAD // 20
    lp, paid = world.clearinghouse.buckets().lp, 0
    start = world.now
    while world.now < start + DAY:
        world.warp(300)
        world.renew_rounds()
        if world.now - int(world.surface.timestamp(ETH)) > 500:
            world.post(ETH, 0.6)  # a surface makes the board due at once
        if world.book.is_due(key_of(ETH, WEEK), 2_000 * WAD):
            paid += world.refresh().value
    record_property("rewards of a day for a dust position", paid / WAD)
    assert 60 * WAD < paid <= 72 * WAD
    assert lp - world.clearinghouse.buckets().lp <= paid + WAD
    world.check()


# ── settlement ──


def test_strangers_in_a_batch_hold_up_nobody() -> None:
    """Accounts without positions, twice in it, insolvent, or contracts of the system: the others are paid the same."""
    world = stage()
    long, short, broke = world.traders
    world.withdraw(broke, world.cash(broke) // 10**12 - 3_000 * 10**6)
    world.option(long, {"2000C": 5})
    world.option(short, {"2000C": -5})
    world.option(broke, {"2000C": -8})
    world.settle(world.expire(2_900))
    cash = world.cash(long)
    strangers = [world.stranger, world.clearinghouse.address, world.options.address, "0x" + "00" * 20]
    world.settle_accounts([*strangers, broke, long, long, *strangers, short])
    assert world.cash(long) == cash + 4_500 * WAD
    assert world.clearinghouse.account(broke) == (0, 0)
    world.clear()
    world.check()


def test_settlement_waits_for_the_next_block_where_a_rebate_was_paid_and_no_longer() -> None:
    """Whoever would hold it up must be paid for bringing U down in every block, so for ever less."""
    world = stage()
    seller, buyer, holder = world.traders
    world.option(holder, {"2000C": 5})
    world.trade(seller, ETH, -600 * WAD)
    last = world.expire(2_000)
    world.set_price(BTC, 60_000 * WAD)
    world.rest()
    assert world.trade(buyer, ETH, 10 * WAD).value.charge < 0
    with reverts("inventory: rebates in this block"):
        world.settle(last)
    world.warp(1)
    world.settle(last)
    world.check()


def test_gas_of_sixteen_short_positions_on_sixteen_boards(record_property: Callable[[str, object], None]) -> None:
    """The dearest account: every leg's margin is of another surface point. It can be judged and liquidated."""
    world = LiquidationWorld.create()
    world.refresh()
    days = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 30, 90)
    world.post(ETH, 0.6, days=days)
    expiries = [WEEK + (day - 7) * DAY for day in days]
    account = world.traders[0]
    for expiry in expiries:
        if expiry not in (WEEK, FORTNIGHT):
            world.list(ETH, expiry, [2_000])
        world.warp(1)
        dearest = world.send(account, world.orders({"2000C": -1}, expiry)).gas_used
    world.trade(account, ETH, -10 * WAD)
    withdrawal = world.withdraw(account, 10**6).gas_used
    world.withdraw(account, int(world.health(account).equity - world.health(account).initial) // 10**12 - 1)
    world.set_price(ETH, 2_250 * WAD)
    assert world.health(account).equity < world.health(account).maintenance
    liquidation = world.liquidate_options(account, world.orders({"2000C": 1})).receipt.gas_used
    for name, gas in (("sell", dearest), ("withdraw", withdrawal), ("liquidate", liquidation)):
        record_property(name, gas)
    assert max(dearest, withdrawal) < 1_150_000  # 14 scenarios a leg
    assert liquidation < 3_000_000  # 56 scenarios a leg: both requirements, before and after
    world.check()


def test_a_purse_of_two_accounts_gains_from_its_own_bankruptcy_only_beyond_the_margin() -> None:
    """Long in one account, short in the other: while the short is liquidated in time the pair has paid its spreads."""
    world = LiquidationWorld.create()
    world.refresh()
    long, short, _ = world.traders
    world.withdraw(short, world.cash(short) // 10**12 - 3_200 * 10**6)
    before = world.cash(long) + world.cash(short)
    world.option(long, {"2000C": 10})
    world.option(short, {"2000C": -10})
    for price in (2_050, 2_100, 2_150, 2_200, 2_250):
        world.set_price(ETH, price * WAD)
        health = world.health(short)
        if health.equity < health.maintenance:
            world.liquidate_options(short, world.orders({"2000C": 10}))
    assert world.clearinghouse.buckets().insurance > 0
    world.close_options(long, ETH, WEEK)
    world.close_options(short, ETH, WEEK)
    assert world.cash(short) >= 0
    assert world.cash(long) + world.cash(short) < before
    world.check()


# ── liquidity providers ──


def test_lps_wait_for_boards_that_are_due_or_expired(bare_system: Sandbox) -> None:
    """NAV rests on points and settlements: a share is neither issued nor redeemed beside one that is behind."""
    system = bare_system
    lp, trader, keeper = system.chain.accounts[1:4]
    system.deposit(lp, 10_000_000)
    system.add_margin(trader, 1_000_000)
    system.fund(lp, 100_000)
    board = on_sandbox.list_board(system, 7, [2_000])
    expiry = board.expiry
    on_sandbox.trade(system, trader, board, {"2000-C": 100}, fresh=True)

    def deposit() -> None:
        system.vault.deposit.send(system.units(100), lp, sender=lp)

    deposit()
    system.warp(1_801)
    with reverts("vault: stale mark"):
        deposit()
    on_sandbox.refresh(system, keeper, board)
    deposit()
    system.vault.requestRedeem.send(1_000 * WAD, lp, lp, sender=lp)
    system.chain.warp_to(expiry - 30)
    system.refresh()
    last = system.aggregators[0].latestRoundData()[0]
    system.warp(60)
    with reverts("vault: stale mark"):
        deposit()
    with reverts("vault: stale mark"):
        system.vault.processEpoch.send(sender=keeper)
    system.option_engine.settle.send(0, expiry, last, sender=keeper)
    with reverts("vault: stale mark"):
        deposit()
    system.option_engine.settle_accounts.send(0, expiry, [trader], sender=keeper)
    deposit()
    system.vault.processEpoch.send(sender=keeper)
    system.option_engine.clear.send(0, expiry, sender=keeper)
    assert system.clearinghouse.buckets().payables == 0


def test_lps_share_does_not_depend_on_whether_settlement_or_accounts_came_first(bare_system: Sandbox) -> None:
    """Paying accounts out moves nothing that belongs to LPs: the share costs the same before and after."""
    system = bare_system
    lp, trader, other, keeper = system.chain.accounts[1:5]
    system.deposit(lp, 10_000_000)
    for account in (trader, other):
        system.add_margin(account, 1_000_000)
    board = on_sandbox.list_board(system, 7, [1_900])
    expiry = board.expiry
    on_sandbox.trade(system, trader, board, {"1900-C": 100}, fresh=True)
    on_sandbox.trade(system, other, board, {"1900-C": -50})
    system.chain.warp_to(expiry - 30)
    system.refresh()
    last = system.aggregators[0].latestRoundData()[0]
    system.warp(60)
    system.option_engine.settle.send(0, expiry, last, sender=keeper)
    before = system.vault.valuation()
    for account in (trader, other):
        system.option_engine.settle_accounts.send(0, expiry, [account], sender=keeper)
        after = system.vault.valuation()
        assert (after.bid, after.ask) == (before.bid, before.ask)
