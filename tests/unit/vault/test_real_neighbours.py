"""The Vault among the real contracts: previews across new rounds, real potentials, real venues."""

import random

import pytest

from ballast import boards
from ballast.chain import RevmChain, reverts
from ballast.options import Board, find
from ballast.system import NO_LIMIT, Sandbox, deploy_system, wad

WAD = 10**18
DAY = 86_400


@pytest.fixture
def system() -> Sandbox:
    """Ten million of LP money, traders long ETH and short BTC, a hedge, a new round that nobody has recorded."""
    system = deploy_system(RevmChain())
    lp, maker, taker, keeper = system.chain.accounts[1:5]
    system.deposit(lp, 10_000_000)
    for account in (maker, taker):
        system.add_margin(account, 1_000_000)
    system.trade(maker, "ETH", 1_000)
    system.trade(taker, "BTC", -20)
    system.warp(12)
    system.rebalance(keeper, "ETH", 50)
    system.warp(600)
    return system


def share_price(system: Sandbox) -> float:
    """Bid per share."""
    v = system.vault.valuation()
    return float((v.bid + WAD) / (v.supply + WAD))


def test_previews_equal_acts_before_and_after_the_sync(system: Sandbox) -> None:
    lp = system.chain.accounts[1]
    system.fund(lp, 3_000_000)
    vault = system.vault
    for price in ("1900", "2100"):
        system.push("ETH", price)
        preview = vault.previewDeposit(system.units(1_000_000))
        assert vault.deposit.send(system.units(1_000_000), lp, sender=lp).value == preview
        preview = vault.previewMint(1_234 * WAD + 567)
        assert vault.mint.send(1_234 * WAD + 567, lp, sender=lp).value == preview
        system.warp(3_600)


def test_entry_costs_the_same_before_and_after_the_sync(system: Sandbox) -> None:
    """What is released moves from the reserve in the ask to the NAV in the ask."""
    vault, assets = system.vault, system.units(1_000_000)
    released = 0
    for price in ("2000", "1900", "2100"):
        system.warp(3_600)
        system.push("ETH", price)
        before = vault.previewDeposit(assets), vault.previewMint(WAD), vault.valuation()
        receipt = system.inventory.send("sync_all")
        released += len(receipt.find("ReserveReleased", system.clearinghouse))
        assert (vault.previewDeposit(assets), vault.previewMint(WAD), vault.valuation()) == before
    assert released > 0


@pytest.mark.parametrize("price", ["2000", "1900", "2100"])
def test_deposit_as_first_touch_of_a_block_lends_no_new_risk_capital(system: Sandbox, price: str) -> None:
    """A trade behind it in the same block sees at most the equity of the last checkpoint, which is older."""
    lp, maker = system.chain.accounts[1:3]
    system.inventory.send("sync_all")
    checkpoint = system.inventory.book().equity
    system.fund(lp, 20_000_000)
    system.push("ETH", price)
    marks = [system.oracle.peek(market.id) for market in system.markets]
    prices = [mark.price for mark in marks]
    beside = system.perp_engine.book_value(prices) + system.hedge_manager.equity(prices)
    equity = system.inventory.valuation(beside, marks, 0).lp_cash + beside
    system.vault.deposit.send(system.units(20_000_000), lp, sender=lp)
    assert system.inventory.book().opened_at < system.chain.now
    system.trade(maker, "ETH", 10)
    capital = system.inventory.book().capital
    assert capital <= checkpoint
    if equity // 10**12 >= checkpoint:  # nothing was lost since: not a unit more than without the deposit
        assert capital == checkpoint


def test_total_assets_is_lp_cash_traders_and_venues(system: Sandbox) -> None:
    lp_cash, _ = system.clearinghouse.vault_ledger()
    marks = [system.oracle.peek(market.id) for market in system.markets]
    prices = [mark.price for mark in marks]
    due = system.inventory.valuation(0, marks, 0).release
    assert due > 0
    parts = lp_cash + due + system.perp_engine.book_value(prices) + system.hedge_manager.equity(prices)
    assert system.vault.valuation().nav == parts
    assert system.vault.totalAssets() == parts // (WAD // system.units(1))
    assert system.vault.valuation().bid < parts < system.vault.valuation().ask


def test_preview_of_the_epoch_equals_processing(system: Sandbox) -> None:
    lp = system.chain.accounts[1]
    system.vault.requestRedeem.send(2_000_000 * WAD, lp, lp, sender=lp)
    system.warp(system.vault.epoch().ends_at - system.chain.now)
    system.push("ETH", "1800")
    preview = system.vault.preview_epoch()
    receipt = system.vault.processEpoch.send()
    assert receipt.value == preview
    assert preview[0] > 0


def test_process_waits_for_a_round_of_every_market(system: Sandbox) -> None:
    lp = system.chain.accounts[1]
    system.vault.requestRedeem.send(WAD, lp, lp, sender=lp)
    ends_at = system.vault.epoch().ends_at
    system.warp(ends_at - system.chain.now - 2)
    assert system.oracle.peek(1).updated_at < ends_at
    system.warp(ends_at - system.chain.now, refresh=False)
    system.push("ETH")
    with reverts("vault: price older than epoch"):
        system.vault.processEpoch.send()
    system.push("BTC")
    assert system.vault.processEpoch.send().value[0] == WAD


def test_redemption_leaves_utilization_below_u_redeem_and_pays_once(system: Sandbox) -> None:
    lp, maker = system.chain.accounts[1:3]
    system.trade(maker, "ETH", 900)
    shares = system.vault.balanceOf(lp)
    system.vault.requestRedeem.send(shares, lp, lp, sender=lp)
    event = system.process_epoch()
    assert 0 < event.filled < shares
    v = system.inventory.valuation(0, [system.oracle.peek(market.id) for market in system.markets], 0)
    assert v.stressed_loss * WAD <= system.vault.params().u_redeem * system.vault.valuation().nav
    before = system.quote.balanceOf(lp)
    paid = system.vault.redeem.send(system.vault.maxRedeem(lp), lp, lp, sender=lp).value
    assert system.quote.balanceOf(lp) - before == paid
    assert paid * (WAD // system.units(1)) <= event.paid
    # closing what is at risk frees the rest
    system.close(maker, "ETH")
    assert system.process_epoch().filled > 0


@pytest.mark.parametrize("seed", range(4))
def test_entries_and_exits_never_lower_the_bid_under_the_real_potential(seed: int) -> None:
    """I7, with trades in between; what others do may move the bid, entries and exits alone may not lower it."""
    rng = random.Random(seed)
    system = deploy_system(RevmChain())
    lps, traders = system.chain.accounts[1:4], system.chain.accounts[4:6]
    for lp in lps:
        system.deposit(lp, 2_000_000)
        system.fund(lp, 50_000_000)
    for trader in traders:
        system.add_margin(trader, 2_000_000)
    vault, prices = system.vault, {"ETH": 2_000.0, "BTC": 40_000.0}
    prices = {name: float(system.prices[system.market(name).id]) for name in prices}
    fills = 0
    for _ in range(25):
        trader, market = rng.choice(traders), rng.choice(["ETH", "BTC"])
        size = rng.choice([-1, 1]) * rng.randint(1, 200_000) / prices[market]
        system.trade(trader, market, round(size, 3))
        system.warp(rng.choice([1, 60, 3_600]))
        for name in prices:
            prices[name] *= 1 + rng.uniform(-0.01, 0.01)
            system.push(name, round(prices[name], 2))
        lp = rng.choice(lps)
        before = share_price(system)
        if rng.random() < 0.5:
            assets = rng.randint(1, system.units(1_000_000))
            assert vault.previewDeposit(assets) == vault.deposit.send(assets, lp, sender=lp).value
        else:
            vault.requestRedeem.send(vault.balanceOf(lp) * rng.randint(1, 90) // 100, lp, lp, sender=lp)
            if rng.random() < 0.5:
                system.warp(max(vault.epoch().ends_at - system.chain.now, 1))
                before = share_price(system)
                filled, _ = vault.processEpoch.send().value
                fills += filled > 0
        # 1e-15: floats; 2 wei: rounding of U
        assert share_price(system) >= before * (1 - 4e-15)
    assert fills > 0
    for lp in lps:
        if vault.maxRedeem(lp) > 0:
            vault.redeem.send(vault.maxRedeem(lp), lp, lp, sender=lp)
    assert system.clearinghouse.buckets().claims < wad("0.00001")


@pytest.mark.parametrize("age", [1, 12, 60])
@pytest.mark.parametrize("direction", [-1, 1])
def test_entry_on_a_move_that_the_round_does_not_show_yet_loses(system: Sandbox, age: int, direction: int) -> None:
    """Three standard deviations since the round, known to the attacker: the spreads on the net book are worth more."""
    attacker = system.chain.accounts[6]
    # just before the end of an epoch: an LP that stays a day earns a day's funding
    system.warp(system.vault.epoch().ends_at - system.chain.now - age - 10)
    system.warp(age, refresh=False)
    sigma = system.oracle.peek(0).sigma / WAD
    hidden = 2_000 * 3 * sigma * (age / (365 * DAY)) ** 0.5
    system.fund(attacker, 5_000_000)
    before = system.quote.balanceOf(attacker)
    shares = system.vault.deposit.send(system.units(5_000_000), attacker, sender=attacker).value
    system.push("ETH", round(2_000 + direction * hidden, 2))
    system.vault.requestRedeem.send(shares, attacker, attacker, sender=attacker)
    system.process_epoch()
    system.vault.redeem.send(system.vault.maxRedeem(attacker), attacker, attacker, sender=attacker)
    assert system.vault.position(attacker).pending == 0
    assert system.quote.balanceOf(attacker) < before


# ── with options ──


@pytest.fixture
def board(system: Sandbox) -> Board:
    """A day or two from expiry; the vault is short 300 calls of it."""
    boards.roll(system)
    board = Board(0, boards.calendar(system.chain.now)[1])
    _, series = find(system, f"{board.name(system)}-2000-C")
    maker = system.chain.accounts[2]
    system.option_engine.trade.send([(series, 300 * WAD)], 2**255 - 1, NO_LIMIT, sender=maker)
    return board


def test_options_are_in_nav_and_their_age_in_the_spread(system: Sandbox, board: Board) -> None:
    marks = [system.oracle.peek(market.id) for market in system.markets]
    prices = [mark.price for mark in marks]
    value, age, usable = system.option_book.book_value(prices)
    assert usable
    assert value < -300 * WAD
    lp_cash, _ = system.clearinghouse.vault_ledger()
    due = system.inventory.valuation(0, marks, age).release
    linear = system.perp_engine.book_value(prices) + system.hedge_manager.equity(prices)
    assert system.vault.valuation().nav == lp_cash + due + linear + value
    now = system.vault.valuation()
    system.warp(600)
    later = system.vault.valuation()
    assert later.ask - later.nav > now.ask - now.nav
    assert later.nav - later.bid > now.nav - now.bid


def test_previews_equal_acts_while_options_are_held(system: Sandbox, board: Board) -> None:
    lp, vault = system.chain.accounts[1], system.vault
    system.fund(lp, 3_000_000)
    for price in ("1960", "2040"):
        system.push("ETH", price)
        before = share_price(system)
        preview = vault.previewDeposit(system.units(1_000_000))
        assert vault.deposit.send(system.units(1_000_000), lp, sender=lp).value == preview
        assert share_price(system) >= before
        system.warp(300)


@pytest.mark.parametrize("cause", ["age", "spot", "expiry"])
def test_board_that_is_due_or_expired_keeps_lps_out_until_somebody_sees_to_it(
    system: Sandbox, board: Board, cause: str
) -> None:
    lp, keeper = system.chain.accounts[1], system.chain.accounts[4]
    vault, engine = system.vault, system.option_engine
    system.fund(lp, 3_000_000)
    vault.requestRedeem.send(WAD, lp, lp, sender=lp)
    system.warp(board.expiry - 7_200 - system.chain.now)
    boards.roll(system)
    engine.refresh.send(*board_arguments(board), sender=keeper)
    assert vault.maxDeposit(lp) > 0
    if cause == "age":
        system.warp(1_440)  # a fifth of two hours: a quarter of what is left
        assert vault.maxDeposit(lp) > 0
        system.warp(1)
    elif cause == "spot":
        system.push("ETH", "2070")
    else:
        system.warp(7_200)
        system.warp(60)
    nav = vault.totalAssets()
    assert nav > 0
    assert vault.maxDeposit(lp) == vault.maxMint(lp) == 0
    for function, arguments in (("deposit", (system.units(1), lp)), ("mint", (WAD, lp))):
        with reverts("vault: stale mark"):
            vault.send(function, *arguments, sender=lp)
    if vault.epoch().ends_at <= system.chain.now:
        with reverts("vault: stale mark"):
            vault.processEpoch.send()
    vault.requestRedeem.send(WAD, lp, lp, sender=lp)
    if system.chain.now < board.expiry:
        engine.refresh.send(*board_arguments(board), sender=keeper)
    else:
        engine.settle.send(*board_arguments(board), system.markets[0].feed.latest().round_id - 1, sender=keeper)
        assert vault.maxDeposit(lp) == 0
        engine.settle_accounts.send(*board_arguments(board), system.chain.accounts, sender=keeper)
    assert vault.maxDeposit(lp) > 0
    vault.deposit.send(system.units(1_000), lp, sender=lp)


def board_arguments(board: Board) -> tuple[int, int]:
    """As the engine names it."""
    return board.market, board.expiry
