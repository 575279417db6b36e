"""The Lens says what the contracts say, in one call, and survives what they read."""

import pytest

from ballast import boards
from ballast.chain import Contract, RevmChain
from ballast.chain.contract import Reverted
from ballast.model.exact.margin import exit_cost, required, value
from ballast.options import Board, orders
from ballast.system import Sandbox, deploy_system

WAD = 10**18
INF = 2**256 - 1
VENUE_PARAMS = (10**21, 10**12, 3_000, 1_000, 60, 0, 100)


@pytest.fixture
def system() -> Sandbox:
    """A live book in two markets, a hedge, and a round that nobody has recorded."""
    system = deploy_system(RevmChain())
    lp, maker, taker, keeper = system.chain.accounts[1:5]
    system.deposit(lp, 10_000_000)
    for account in (maker, taker):
        system.add_margin(account, 300_000)
    system.trade(maker, "ETH", 1_000)
    system.trade(taker, "ETH", -200)
    system.trade(taker, "BTC", 5)
    system.warp(12)
    system.rebalance(keeper, "ETH", 50)
    system.warp(600)
    system.push("ETH", "2050")
    return system


@pytest.fixture
def lens(system: Sandbox) -> Contract:
    return system.chain.deploy(
        "Lens",
        system.vault,
        system.clearinghouse,
        system.inventory,
        system.perp_engine,
        system.option_engine,
        system.hedge_manager,
        system.oracle,
        system.auction,
    )


def test_contracts_are_those_of_the_deployment(system: Sandbox, lens: Contract) -> None:
    assert lens.contracts() == (
        system.vault.address,
        *(system.vault.neighbours()[i] for i in (0, 1, 3)),
        system.option_engine.address,
        *(system.vault.neighbours()[i] for i in (5, 2)),
        system.auction.address,
    )


def test_offers_show_what_risk_is_worth_and_what_lps_pay_beside(system: Sandbox, lens: Contract) -> None:
    """Slopes are those of what trades are quoted: a little delta either way, and more vega and gamma from none."""
    offer, risks = lens.offers()
    assert tuple(offer) == tuple(system.auction.offer())
    system.inventory.sync_all.send()
    for view in lens.offers()[1]:
        stored = system.inventory.market(view.market)
        assert (view.delta, view.gamma, view.vega) == (stored.delta, stored.gamma, stored.vega)
        bought, sold = (lens.quotes(view.market, [size])[0].potential_after for size in (10**16, -(10**16)))
        assert view.delta_slope == pytest.approx((sold - bought) * WAD / (2 * 10**16), rel=1e-3)
        assert view.gamma_slope >= 0
    assert [view.market for view in risks] == [0, 1]


def test_markets_show_the_marks_that_a_sync_would_record(system: Sandbox, lens: Contract) -> None:
    views = lens.markets()
    assert [view.market for view in views] == [0, 1]
    for view in views:
        assert view.mark == system.oracle.peek(view.market)
        book = system.perp_engine.book(view.market)
        assert (view.long, view.short) == (book.long, book.short)
        assert (view.funding_rate, view.borrow_rate) == (book.funding_rate, book.borrow_rate)
        config = system.perp_engine.config(view.market)
        assert (view.params, view.paused) == (config.params, config.paused)
        assert view.delta == system.inventory.market(view.market).delta
    eth = views[0]
    assert eth.mark.price == 2_050 * WAD
    assert (eth.long, eth.short) == (1_000 * WAD, 200 * WAD)
    assert -801 * WAD < eth.delta < -740 * WAD
    # the vault is short: who buys from it pays, who sells to it is paid
    assert eth.bought.charge > 0 >= eth.sold.charge
    assert eth.bought.half_spread > 0


def test_quotes_are_what_trades_pay(system: Sandbox, lens: Contract) -> None:
    taker = system.chain.accounts[3]
    sizes = [WAD, -WAD, 10 * WAD, -50 * WAD, 0]
    quotes = lens.quotes(0, sizes)
    for size, quote in zip(sizes[:4], quotes, strict=False):
        asked = system.perp_engine.quote(taker, 0, size)
        assert (quote.charge, quote.half_spread) == (asked.charge, asked.half_spread)
        assert (quote.funding_rate, quote.borrow_rate) == pytest.approx(
            (asked.funding_rate, asked.borrow_rate), abs=10**13
        )
    assert (quotes[4].charge, quotes[4].half_spread) == (0, 0)
    event = system.trade(taker, 0, 10)
    assert (event.charge, event.half_spread) == (quotes[2].charge, quotes[2].half_spread)


def test_quotes_of_a_size_that_would_be_refused_are_answered(system: Sandbox, lens: Contract) -> None:
    with pytest.raises(Reverted):
        system.perp_engine.quote(system.chain.accounts[2], 0, 10_000 * WAD)
    (quote,) = lens.quotes(0, [10_000 * WAD])
    assert quote.charge > 0


def test_account_shows_positions_and_margin_at_both_marks(system: Sandbox, lens: Contract) -> None:
    taker = system.chain.accounts[3]
    view = lens.account(taker)
    cash, mask = system.clearinghouse.account(taker)
    assert (view.cash, view.mask) == (cash, mask) == (cash, 0b11)
    assert view.stored == system.margin.health(taker)
    assert [entry.leg.market for entry in view.legs] == [0, 1]
    assert view.now.equity == cash + sum(entry.profit for entry in view.legs)
    # 200 short, and ETH rose by 50
    assert view.stored.equity - view.now.equity == pytest.approx(10_000 * WAD, rel=1e-6)
    # once synced, stored is what now was, but for interest accrued at the new price
    for market in (0, 1):
        system.perp_engine.sync.send(market)
    after = lens.account(taker)
    assert after.stored.equity == pytest.approx(view.now.equity, rel=1e-6)
    assert after.stored == after.now
    assert (after.now.initial, after.now.maintenance) == (view.now.initial, view.now.maintenance)
    assert not view.liquidatable


def test_account_is_liquidatable_before_anybody_syncs(system: Sandbox, lens: Contract) -> None:
    maker = system.chain.accounts[2]
    system.push("ETH", "1740")
    view = lens.account(maker)
    assert view.stored.equity > view.stored.maintenance
    assert view.liquidatable
    system.liquidator.liquidate_perp.send(maker, 0, 2**128)


def test_account_of_a_stranger_is_empty(system: Sandbox, lens: Contract) -> None:
    view = lens.account(system.chain.accounts[7])
    assert (view.cash, view.mask, view.legs, view.liquidatable) == (0, 0, [], False)
    assert view.stored == view.now == (0, 0, 0)


@pytest.fixture
def names(system: Sandbox) -> list[str]:
    """A writer of puts with a perpetual beside, who also holds a call; the board has since moved."""
    boards.roll(system)
    taker = system.chain.accounts[3]
    board = Board(0, boards.calendar(system.chain.now)[-1]).name(system)
    names = [f"{board}-2000-P", f"{board}-2200-C"]
    trade = orders(system, dict(zip(names, (-20, 3), strict=True)))
    system.option_engine.send("trade", trade, 2**255 - 1, INF, sender=taker)
    return names


def test_boards_show_what_is_listed_and_what_a_trade_would_be_valued_at(
    system: Sandbox, lens: Contract, names: list[str]
) -> None:
    book, stranger = system.option_book, system.chain.accounts[7]
    for market in system.markets:
        price = system.oracle.peek(market.id).price
        views = lens.boards(market.id)
        assert [view.expiry for view in views] == boards.calendar(system.chain.now)
        for view in views:
            key = view.expiry // 86_400 << 8 | market.id
            assert view.due == book.is_due(key, price)
            assert view.stored == book.board(market.id, view.expiry)
            assert view.smile == system.surface.smile(market.id, view.expiry)
            stored = [(entry.strike, entry.calls, entry.puts) for entry in book.strikes(market.id, view.expiry)]
            assert [(entry.strike, entry.calls, entry.puts) for entry in view.strikes] == stored
    traded = lens.boards(0)[-1]
    assert not traded.due
    assert all(view.due for view in lens.boards(1))
    assert [entry.puts for entry in traded.strikes if entry.puts] == [-20 * 10**6]
    for index, entry in enumerate(traded.strikes):
        for right, unit in enumerate((entry.call, entry.put)):
            series = entry.strike // 10**10 << 40 | index << 32 | traded.expiry // 86_400 << 16 | right
            assert system.option_engine.quote(stranger, [(series, WAD)]).premium == unit


@pytest.mark.parametrize("size", [50, -50, 700, -700])
@pytest.mark.parametrize("cap", [10**6, 10**9])
def test_liquidation_price_is_where_equity_meets_maintenance(
    system: Sandbox, lens: Contract, size: int, cap: int
) -> None:
    """Below the cap the exit cost grows with the square of the notional, above it with the notional."""
    trader, engine = system.chain.accounts[6], system.perp_engine
    system.add_margin(trader, 500 * abs(size) + 5_000)
    system.trade(trader, "ETH", size)
    params = engine.config(0).params
    engine.set_params.send(0, params._replace(cap_quote=cap * WAD), sender=system.governor)
    price, mark = lens.liquidation_price(trader, 0), system.oracle.peek(0)
    leg, cash = engine.legs(trader, 1)[0], system.clearinghouse.account(trader)[0]

    def health(at: int) -> int:
        needed = required(leg.size, at, leg.maintenance_bps) + exit_cost(leg.size, at, mark.sigma, leg.cap_quote)
        return cash + value(leg.size, leg.cost, leg.owed, at) - needed

    step = price // 10**9
    assert (price < mark.price) == (size > 0)
    assert health(price + (step if size > 0 else -step)) > 0 > health(price - (step if size > 0 else -step))
    assert lens.liquidation_price(trader, 1) == 0
    system.add_margin(trader, 50_000)
    system.trade(trader, "BTC", 1)
    assert lens.liquidation_price(trader, 0) == 0


def test_liquidation_price_of_an_account_that_owes_nothing_is_none(system: Sandbox, lens: Contract) -> None:
    trader = system.chain.accounts[6]
    assert lens.liquidation_price(trader, 0) == 0
    system.add_margin(trader, 100_000)
    system.trade(trader, "ETH", 1)
    assert lens.liquidation_price(trader, 0) == lens.liquidation_price(trader, 16) == 0


def test_account_shows_options_as_margin_judges_them(system: Sandbox, lens: Contract, names: list[str]) -> None:
    taker = system.chain.accounts[3]
    view = lens.account(taker)
    assert view.stored == system.margin.health(taker)
    assert [entry.leg for entry in view.options] == system.option_book.legs(taker)
    put, call = view.options
    assert (put.leg.size, call.leg.size) == (-20 * WAD, 3 * WAD)
    # a fall that nobody has recorded is in `now` alone
    system.push("ETH", 1_900)
    fallen = lens.account(taker)
    assert fallen.options[0].price - put.price == pytest.approx(60 * WAD, rel=0.5)
    assert fallen.stored.equity < fallen.now.equity  # 200 short beside
    for market in (0, 1):
        system.perp_engine.sync.send(market)
    after = lens.account(taker)
    assert after.stored == after.now
    # BTC paid interest at its newest mark
    assert after.now.equity == pytest.approx(fallen.now.equity, rel=1e-6)
    assert (after.now.initial, after.now.maintenance) == (fallen.now.initial, fallen.now.maintenance)


def test_account_shows_expired_options_as_margin_judges_them(system: Sandbox, lens: Contract, names: list[str]) -> None:
    taker = system.chain.accounts[3]
    expiry = lens.account(taker).options[0].leg.expiry
    system.warp(expiry + 60 - system.chain.now)
    system.push("ETH", 1_900)
    boards.roll(system)  # the surface has no longer anything to say about them
    for market in (0, 1):
        system.perp_engine.sync.send(market)
    view = lens.account(taker)
    assert view.now == view.stored == system.margin.health(taker)
    assert [entry.price for entry in view.options] == [100 * WAD, 0]
    assert expiry in [shown.expiry for shown in lens.boards(0)]


def test_account_shows_settled_options_at_their_payoff(system: Sandbox, lens: Contract, names: list[str]) -> None:
    taker = system.chain.accounts[3]
    expiry = lens.account(taker).options[0].leg.expiry
    system.warp(expiry + 60 - system.chain.now, refresh=False)
    system.push("ETH", 2_300)  # the first round after a long silence counts
    system.push("BTC")
    system.option_engine.settle.send(0, expiry, system.markets[0].feed.latest().round_id - 1)
    settled = lens.account(taker)
    assert [entry.price for entry in settled.options] == [0, 100 * WAD]
    assert settled.now.equity == settled.cash + sum(entry.profit for entry in settled.legs) + 300 * WAD
    assert expiry not in [view.expiry for view in lens.boards(0)]


def test_vault_shows_prices_and_the_epoch(system: Sandbox, lens: Contract, names: list[str]) -> None:
    lp = system.chain.accounts[1]
    system.vault.requestRedeem.send(1_000_000 * WAD, lp, lp, sender=lp)
    view = lens.vault()
    assert view.valuation == system.vault.valuation()
    assert view.buckets == system.clearinghouse.buckets()
    marks = [system.oracle.peek(market.id) for market in system.markets]
    prices = [mark.price for mark in marks]
    options, vol_age, usable = system.option_book.book_value(prices)
    assert usable
    assert view.options == options != 0
    beside = view.traders + view.options + view.venues
    assert view.inventory == system.inventory.valuation(beside, marks, vol_age)
    assert view.traders == system.perp_engine.book_value(prices)
    assert view.venues == system.hedge_manager.equity(prices)
    assert view.buckets.lp + view.inventory.release == view.inventory.lp_cash
    assert view.inventory.lp_cash + beside == view.valuation.nav
    assert view.bid_price < view.mid_price < view.ask_price
    assert view.mid_price // 10**12 == system.vault.convertToAssets(WAD)
    assert view.utilization == -(-view.inventory.stressed_loss * WAD // view.valuation.nav)
    assert view.params == system.vault.params()
    assert (view.deposits_paused, view.processable) == (False, False)
    assert view.epoch == system.vault.epoch()
    assert (view.would_fill, view.would_pay) == system.vault.preview_epoch()
    assert view.would_fill == 1_000_000 * WAD


def test_vault_is_processable_when_processing_passes(system: Sandbox, lens: Contract) -> None:
    lp = system.chain.accounts[1]
    # an empty queue needs no price
    system.warp(system.vault.epoch().ends_at - system.chain.now, refresh=False)
    assert lens.vault().processable
    system.vault.processEpoch.send()
    assert not lens.vault().processable
    system.refresh()
    system.vault.requestRedeem.send(WAD, lp, lp, sender=lp)
    system.warp(system.vault.epoch().ends_at - system.chain.now, refresh=False)
    assert not lens.vault().processable
    system.push("ETH")
    assert not lens.vault().processable
    system.push("BTC")
    assert lens.vault().processable
    system.vault.processEpoch.send()


def test_vault_is_not_processable_while_a_board_is_due(system: Sandbox, lens: Contract, names: list[str]) -> None:
    lp = system.chain.accounts[1]
    system.vault.requestRedeem.send(WAD, lp, lp, sender=lp)
    system.warp(system.vault.epoch().ends_at - system.chain.now)
    assert not lens.vault().processable
    with pytest.raises(Reverted, match="vault: stale mark"):
        system.vault.processEpoch.send()
    system.option_engine.refresh.send(0, lens.boards(0)[-1].expiry)
    assert lens.vault().processable
    system.vault.processEpoch.send()


def test_vault_that_is_empty_has_prices_too() -> None:
    system = deploy_system(RevmChain())
    lens = system.chain.deploy(
        "Lens",
        system.vault,
        system.clearinghouse,
        system.inventory,
        system.perp_engine,
        system.option_engine,
        system.hedge_manager,
        system.oracle,
        system.auction,
    )
    view = lens.vault()
    assert view.ask_price == view.mid_price == view.bid_price == WAD
    assert view.utilization == INF


def test_lp_shows_shares_requests_and_assets(system: Sandbox, lens: Contract) -> None:
    lp = system.chain.accounts[1]
    system.vault.requestRedeem.send(4_000_000 * WAD, lp, lp, sender=lp)
    system.fund(lp, 77)
    view = lens.lp(lp)
    assert view.shares == system.vault.balanceOf(lp)
    assert view.worth // 10**12 == system.vault.convertToAssets(view.shares)
    assert view.position == system.vault.position(lp)
    assert view.position.pending == 4_000_000 * WAD
    assert view.asset_balance == system.quote.balanceOf(lp)
    assert view.asset_allowance == system.quote.allowance(lp, system.vault)


def test_venues_show_what_they_hold_and_what_would_flatten(system: Sandbox, lens: Contract) -> None:
    views = lens.venues()
    assert len(views) == system.hedge_manager.venue_count()
    for venue_id, view in enumerate(views):
        listing = system.hedge_manager.venue(venue_id)
        assert (view.venue, view.market, view.paused, view.retired, view.params.haircut_bps) == tuple(listing)
        assert view.params == system.hedge_manager.venue_params(venue_id)
        assert view.stored == system.hedge_manager.venue_state(venue_id)
        assert view.answered
        venue = system.markets[view.market].venues[0]
        assert view.exposure == venue.exposure()
        assert view.equity == venue.equity(system.oracle.peek(view.market).price)
        assert view.route == venue.best_route(view.flattening)
        assert view.prices == venue.prices(view.route)
        assert view.ready_at == view.stored.traded_at + view.params.cooldown
    eth, btc = views
    assert eth.exposure == eth.stored.exposure > 49 * WAD
    assert eth.flattening == min(-system.inventory.market(0).delta, eth.params.cap - eth.exposure)
    # ten minutes have refilled what the first hedge drew
    assert eth.turnover_left == eth.params.turnover
    system.push("BTC")
    system.rebalance(system.chain.accounts[4], "BTC", 1)
    traded = lens.venues()[1]
    assert btc.params.turnover - traded.turnover_left == pytest.approx(40_000 * 10**6, rel=0.01)
    assert traded.ready_at == system.chain.now + btc.params.cooldown


ONES, LARGEST, LEAST = b"\xff" * 32, b"\x7f" + b"\xff" * 31, b"\x80" + bytes(31)


@pytest.mark.parametrize(
    ("mode", "payload"), [(0, b""), (0, ONES[1:]), (1, b"no"), (2, b""), (0, ONES), (0, LARGEST), (0, LEAST)]
)
def test_venue_that_answers_nonsense_stops_no_other(system: Sandbox, lens: Contract, mode: int, payload: bytes) -> None:
    responder = system.chain.deploy("RawResponder")
    responder.set_response.send(mode, payload)
    venue_id = system.hedge_manager.list_venue.send(responder, 0, VENUE_PARAMS, sender=system.governor).value
    views = lens.venues()
    assert [view.answered for view in views] == [True, True, False]
    assert views[venue_id].venue == responder.address
    assert views[venue_id].prices == (0, 0, 0)
    assert abs(views[venue_id].flattening) <= 2**128
    assert lens.vault().venues == system.hedge_manager.equity([system.oracle.peek(m.id).price for m in system.markets])
