"""Ending the system that should live, taking twice or too early from one that ends, and making the end too dear."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest

from ballast import options
from ballast.chain import Contract, Reverted, reverts
from ballast.model.exact.global_settlement import OUTAGE, PATIENCE
from ballast.model.roles import Role
from ballast.system import Sandbox
from ballast.testing import options as on_sandbox

WAD = 10**18
UNIT = 10**12  # [WAD per token unit]
DAY = 86_400
STALE = 3_600  # [s] max_age of both markets


def silence(system: Sandbox, market: str, seconds: int) -> None:
    """No round of a market for so long; the other's is of now."""
    other = "BTC" if market == "ETH" else "ETH"
    system.warp(seconds, refresh=False)
    system.push(other)


def left(system: Sandbox, account: str) -> int:
    """Token units that an account can take out, taken out."""
    cash, mask = system.clearinghouse.account(account)
    assert mask == 0
    units = int(cash) * int(system.clearinghouse.cash_ratio()) // WAD // UNIT
    if units > 0:
        system.clearinghouse.withdraw.send(units, account, account, sender=account)
    return units


@pytest.fixture
def leveraged(system: Sandbox) -> Sandbox:
    """A million of LPs, most of it in spot, against a long whose profit is more than LP cash; one is short of BTC."""
    first, second, trader, other = system.chain.accounts[1:5]
    for lp in (first, second):
        system.deposit(lp, 500_000)
    system.add_margin(trader, 400_000)
    system.trade(trader, "ETH", 450)
    system.add_margin(other, 10_000)
    system.trade(other, "BTC", -1)
    for size in (150, 150, 100):
        system.warp(61)
        system.arbitrage("ETH")
        system.rebalance(other, "ETH", size)
    for price in (2_300, 2_600, 2_930):
        system.move("ETH", price)
        system.warp(1_801)
        system.arbitrage("ETH")
        system.inventory.sync_all.send()
    return system


# ── ending what should live ──


def test_system_that_nobody_uses_cannot_be_ended(system: Sandbox) -> None:
    end = system.global_settlement
    with reverts("settlement: vault is solvent"):
        end.trigger.send()
    system.warp(40 * DAY, refresh=False)
    with reverts("settlement: stale price"):
        end.trigger.send()


def test_venue_starved_of_gas_does_not_make_the_vault_insolvent(leveraged: Sandbox) -> None:
    """Without what the venue holds NAV would be below zero: no amount of gas makes the trigger believe that."""
    system = leveraged
    assert system.vault.valuation().nav > 900_000 * WAD
    lp, profit = system.clearinghouse.vault_ledger()[0], system.margin.health(system.chain.accounts[3]).equity
    assert lp < profit - 400_000 * WAD
    assert system.hedge_manager.equity([2_930 * WAD, 40_000 * WAD]) > 1_000_000 * WAD
    reasons = set()
    for gas in range(150_000, 2_000_000, 25_000):
        with pytest.raises(Reverted) as refused:
            system.global_settlement.trigger.send(gas=gas)
        reasons.add(refused.value.reason)
    assert {"settlement: vault is solvent", "hedge: not enough gas"} <= reasons
    assert not system.clearinghouse.frozen()


# ── hedges on the way home ──


def finish(system: Sandbox) -> None:
    """All accounts are valued."""
    system.global_settlement.crystallise.send(system.chain.accounts[1:6])


def recall(system: Sandbox, quote: int) -> None:
    """Bring so much of a hedge home at the price of now, by anybody; all at once would move the pool too far."""
    system.warp(1_801)
    system.arbitrage("ETH")
    system.hedge_manager.recall.send(0, quote * 10**6)


def test_profits_and_shares_wait_for_no_hedge_and_lose_nothing_by_not_waiting(leveraged: Sandbox) -> None:
    """Who is paid early, in parts, gets in the end what who waits gets; profits are paid up before shares."""
    system, end = leveraged, leveraged.global_settlement
    first, second, trader, _ = system.chain.accounts[1:5]
    silence(system, "BTC", STALE + OUTAGE)
    end.trigger.send()
    finish(system)
    end.finalise.send()
    profit, lp = end.profit_of(trader).amount, system.clearinghouse.vault_ledger()[0]
    assert 0 < lp < profit
    end.claim.send([trader])
    assert end.profit_of(trader).paid == lp
    shares = system.vault.balanceOf(first)
    assert shares == pytest.approx(system.vault.balanceOf(second), rel=1e-2)
    for owner in (first, second):
        system.vault.approve.send(end, 2**256 - 1, sender=owner)
    assert end.redeem.send(shares, first, sender=first).value == 0

    got = 0
    for quote in (50_000, 100_000, *[300_000] * 4):
        recall(system, quote)
        got += end.redeem.send(0, first, sender=first).value
    end.claim.send([trader])
    assert end.profit_of(trader).paid == end.profit_of(trader).amount
    other = end.redeem.send(system.vault.balanceOf(second), second, sender=second).value
    got += end.redeem.send(0, first, sender=first).value
    assert abs(got * end.shares_of(second).amount - other * shares) <= shares + end.shares_of(second).amount
    assert got + other > 900_000 * 10**6
    assert system.hedge_manager.equity([2_930 * WAD, 40_000 * WAD]) == 0


def test_cash_is_not_cut_before_hedges_had_a_week(leveraged: Sandbox) -> None:
    """The winner has taken his profit, which LP cash could not pay: cash is whole again once enough is recalled."""
    system, end = leveraged, leveraged.global_settlement
    trader = system.chain.accounts[3]
    system.close(trader, "ETH")
    assert system.clearinghouse.vault_ledger()[0] < 0
    silence(system, "BTC", STALE + OUTAGE)
    end.trigger.send()
    at = end.triggered_at()
    finish(system)
    with reverts("settlement: recall hedges first"):
        end.finalise.send()
    cash = system.clearinghouse.account(trader)[0]
    with system.chain.undone():  # type: ignore[attr-defined]
        system.chain.warp(at + PATIENCE - 1 - system.chain.now)
        with reverts("settlement: recall hedges first"):
            end.finalise.send()
        system.chain.warp(1)
        end.finalise.send()
        ratio = system.clearinghouse.cash_ratio()
        assert 9 * WAD // 10 < ratio < WAD
        with reverts("clearing: insufficient cash"):
            system.clearinghouse.withdraw.send(cash * ratio // WAD // UNIT + 2, trader, trader, sender=trader)
        assert left(system, trader) * UNIT >= cash * ratio // WAD - UNIT
    recall(system, 300_000)
    end.finalise.send()
    assert system.clearinghouse.cash_ratio() == WAD
    assert left(system, trader) == cash // UNIT


# ── griefing ──


def ended(system: Sandbox) -> None:
    """The price of BTC is gone for a day; nobody is valued yet."""
    silence(system, "BTC", STALE + OUTAGE)
    system.global_settlement.trigger.send()


def test_dust_accounts_cost_who_opens_them_more_than_who_values_them(bare_system: Sandbox) -> None:
    """A thousand of them are twenty transactions; to open one takes three times the gas, spreads, and margin."""
    system, end = bare_system, bare_system.global_settlement
    system.deposit(system.chain.accounts[1], 1_000_000)
    dust = [f"0x{n:040x}" for n in range(2**100, 2**100 + 32)]
    opened = 0
    for account in dust:
        system.fund(account, 10)
        opened += system.clearinghouse.send("deposit", 10 * 10**6, account, sender=account).gas_used
        for market, size in ((0, WAD // 1_000), (1, -WAD // 10_000)):
            limit = 2**255 if size > 0 else 0
            opened += system.perp_engine.send("trade", market, size, limit, 2**255, sender=account).gas_used
    ended(system)
    gas = end.crystallise.send(dust).gas_used
    assert tuple(end.remaining()) == (0, 0)
    assert gas < 32 * 100_000
    assert opened > 3 * gas


def test_account_of_sixteen_options_can_be_valued(bare_system: Sandbox) -> None:
    system, end = bare_system, bare_system.global_settlement
    trader = system.chain.accounts[2]
    system.deposit(system.chain.accounts[1], 5_000_000)
    system.add_margin(trader, 500_000)
    strikes = [1_600 + 100 * n for n in range(8)]
    board = on_sandbox.list_board(system, 5, strikes)
    for right in "CP":
        on_sandbox.trade(system, trader, board, {f"{strike}-{right}": 1 for strike in strikes}, fresh=True)
    system.trade(trader, "BTC", 1)
    ended(system)
    receipt = end.crystallise.send([trader])
    assert len(system.option_book.legs(trader)) == 16
    assert receipt.one("Crystallised", end).value > 0
    assert receipt.gas_used < 800_000


# ── what nobody can change any more ──


@pytest.fixture
def frozen(bare_system: Sandbox) -> Sandbox:
    """Perpetuals and options of two traders, who have requests to close waiting; then a day without a price of BTC."""
    system = bare_system
    lp, first, second = system.chain.accounts[1:4]
    system.deposit(lp, 5_000_000)
    board = on_sandbox.list_board(system, 5, [1_800, 2_000, 2_200])
    for trader, side in ((first, 1), (second, -1)):
        system.add_margin(trader, 10_000)
        system.trade(trader, "ETH", 20 * side)
        system.trade(trader, "BTC", side)
        on_sandbox.trade(system, trader, board, {"2000-C": 5 * side}, fresh=True)
    system.warp(STALE + 1, refresh=False)
    system.push("ETH")
    system.close_queue.request_perp.send(1, -WAD // 2, sender=first)
    ended(system)
    return system


def attempts(system: Sandbox) -> dict[str, Callable[[], object]]:
    """Everything that would change a position, a price of it, or money, by what does it."""
    first, second = system.chain.accounts[2:4]
    (expiry,) = system.option_book.expiries(0)
    orders, until = options.orders(system, {f"{options.Board(0, expiry).name(system)}-2000-C": -5}), 2**200
    perps, engine, house = system.perp_engine, system.option_engine, system.clearinghouse

    def send(contract: Contract, name: str, *args: object, by: str) -> Callable[[], object]:
        return lambda: contract.send(name, *args, sender=by)

    return {
        "trade": send(perps, "trade", 0, -WAD, 0, until, by=first),
        "option trade": send(engine, "trade", orders, until, until, by=first),
        "liquidate": send(system.liquidator, "liquidate_perp", first, 0, WAD, by=second),
        "take": send(system.liquidator, "take_perp", first, 0, WAD, by=system.governor),
        "nominate": send(system.deleverager, "nominate", second, 0, by=first),
        "execute": send(system.close_queue, "execute_perp", first, 1, by=second),
        "close for": send(perps, "close_for", first, 0, -WAD, 0, False, by=system.governor),
        "transfer": send(perps, "transfer", first, system.governor, 0, WAD, by=system.governor),
        "deleverage": send(perps, "deleverage", first, 0, -WAD, by=system.governor),
        "close options for": send(engine, "close_for", first, orders, 0, False, by=system.governor),
        "settle": send(house, "settle", first, (10**18, 0, 0, 0, 0, 0), by=system.governor),
        "penalty": send(house, "pay_penalty", first, 10**18, second, 5_000, by=system.governor),
        "reward": send(house, "pay_reward", second, 10**18, by=system.governor),
        "protocol": send(house, "withdraw_protocol", 1, second, by=system.governor),
        "freeze": send(house, "freeze", by=system.governor),
        "sync": send(perps, "sync", 0, by=first),
        "refresh": send(engine, "refresh", 0, expiry, by=first),
        "deposit": send(house, "deposit", 1, first, by=first),
        "vault": send(system.vault, "deposit", 1, first, by=first),
    }


def test_no_position_changes_after_the_freeze_whoever_has_which_role(frozen: Sandbox) -> None:
    """
    Governance gives itself every role at engines and Clearinghouse, and prices come back. What it can still do is in
    docs/decisions.md: use SETTLER by hand, or write positions at OptionBook as its ENGINE.
    """
    system = frozen
    for contract in (system.clearinghouse, system.perp_engine, system.option_engine):
        everything = Role.ENGINE | Role.CLOSER | Role.HEDGER | Role.INVENTORY | Role.SETTLER
        contract.grant_role.send(system.governor, everything, sender=system.governor)
    system.warp(61)
    system.push("ETH", 1_500)
    system.fund(system.chain.accounts[2], 1_000)
    owners = system.chain.accounts[2:4]

    def state() -> list[object]:
        held = [system.perp_engine.position(owner, market) for owner, market in product(owners, (0, 1))]
        return [held, [system.option_book.legs(owner) for owner in owners], system.clearinghouse.buckets()]

    before = state()
    for name, attempt in attempts(system).items():
        with pytest.raises(Reverted) as refused:
            attempt()
        assert refused.value.reason.startswith("clearing: "), (name, refused.value.reason)
    assert state() == before


def test_oracle_that_is_back_in_time_ends_nothing(bare_system: Sandbox) -> None:
    """The day is over, the feed answers again, and who would rather have the old price comes too late."""
    system = bare_system
    trader = system.chain.accounts[2]
    system.deposit(system.chain.accounts[1], 1_000_000)
    system.add_margin(trader, 10_000)
    system.trade(trader, "BTC", 1)
    silence(system, "BTC", STALE + OUTAGE)
    with system.chain.undone():  # type: ignore[attr-defined]
        system.global_settlement.trigger.send(sender=trader)
    system.push("BTC", 39_000)
    with reverts("settlement: vault is solvent"):
        system.global_settlement.trigger.send(sender=trader)
    assert not system.clearinghouse.frozen()
