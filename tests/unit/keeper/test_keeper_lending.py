"""The keeper on a real system in process, with a real Aave to borrow from: what was expected is what happens."""

import pytest

from ballast.chain import Contract, RevmChain
from ballast.chain.aave import Aave
from ballast.chain.artifacts import npm
from ballast.config import load
from ballast.keeper import Keeper, hedging
from ballast.keeper.risk import potential_of
from ballast.keeper.show import state_rows
from ballast.keeper.state import Rebalance, Recall, Unwind
from ballast.system import deploy_system

WAD = 10**18
SHORT = {"kind": "aave_short", "test_pool": None, "target_health": 1.5, "floor_health": 1.25, "pause_markdown": 0.1}


def with_aave(config):
    """ETH may be hedged in its pools from both sides."""
    eth, *others = (market.model_dump() for market in config.markets)
    (spot,) = (venue | {"band": "0.004"} for venue in eth["venues"] if venue["kind"] == "uniswap_v3")
    markets = [eth | {"venues": [spot, spot | SHORT]}, *others]
    return config.changed(aave={"test": True}, markets=markets)


@pytest.fixture(scope="module")
def system():
    """A vault of 10m and a trader."""
    chain = RevmChain(keep_logs=True)
    deployed = deploy_system(chain, with_aave(load("local")))
    deployed.deposit(chain.accounts[1], 10_000_000)
    deployed.add_margin(chain.accounts[2], 2_000_000)
    return deployed


@pytest.fixture
def sandbox(system):
    prices = dict(system.prices)
    with system.chain.undone():
        yield system
    system.prices.update(prices)


@pytest.fixture
def trader(sandbox):
    return sandbox.chain.accounts[2]


@pytest.fixture
def keeper(sandbox):
    return Keeper(sandbox.chain, sandbox, sandbox.chain.accounts[3])


@pytest.fixture
def short(sandbox, trader, keeper):
    """What the keeper has opened, because a trader sold 1,500."""
    sandbox.trade(trader, "ETH", -1_500)
    sandbox.warp(60)
    return keeper.step()


def lending(sandbox):
    return sandbox.markets[0].venues[1]


def aave(sandbox):
    """What the venue borrows from, and those who run it."""
    chain = sandbox.chain

    def at(name, address):
        return Contract(chain, address, npm(f"@aave/core-v3/artifacts/contracts/interfaces/{name}.sol/{name}.json"))

    pool = at("IPool", lending(sandbox).call("AAVE"))
    provider = at("IPoolAddressesProvider", pool.call("ADDRESSES_PROVIDER"))
    configurator = at("IPoolConfigurator", provider.call("getPoolConfigurator"))
    return Aave(chain, chain.accounts[0], provider, pool, configurator, provider, ())


def lp_cash(sandbox):
    return sandbox.clearinghouse.call("vault_ledger")[0] / WAD


def move(sandbox, price):
    """Oracle and pools, and long enough for their averages."""
    sandbox.warp(60, refresh=False)
    sandbox.move("ETH", price)
    sandbox.warp(1_800)


def test_step_opens_a_short_as_expected(sandbox, trader, keeper):
    sandbox.trade(trader, "ETH", -1_500)
    sandbox.warp(60)
    before, state = lp_cash(sandbox), keeper.observe()
    plan = hedging.best_hedge(state, state.venues[1], keeper.policy)
    (result,) = keeper.step().results
    assert (result.ending, result.action.venue) == ("done", 1)
    outcome = result.receipt.one("Rebalanced").outcome
    assert outcome.filled == pytest.approx(result.action.size_wad, rel=1e-9)
    assert outcome.fall / WAD == pytest.approx(result.action.expected_fall, rel=1e-6)
    assert outcome.cost / WAD == pytest.approx(result.action.expected_cost, rel=1e-3)
    assert outcome.reward / WAD == pytest.approx(result.action.expected_reward, rel=1e-3)
    # the manager asks for collateral at the limit price, a little below the one paid
    spent = before - lp_cash(sandbox) + (outcome.released - outcome.reward - outcome.gas) / WAD
    assert spent == pytest.approx(plan.put_in, rel=5e-3)


def test_step_opens_and_closes_without_reporting_interest_every_time(sandbox, trader, keeper, short):
    sandbox.trade(trader, "ETH", 3_000)
    kinds = []
    for _ in range(5):
        sandbox.warp(120)
        sandbox.arbitrage("ETH")
        results = keeper.step().results
        assert {result.ending for result in results} == {"done"}
        kinds += [result.action.kind for result in results]
    assert set(kinds) == {"rebalance", "measure"}
    # the whole debt, with the interest of the last block
    assert lending(sandbox).call("exposure") == 0


def test_observe_lender_is_what_aave_and_the_venue_say(sandbox, keeper, short):
    sandbox.warp(30 * 86_400)
    state, contract = keeper.observe(), lending(sandbox)
    lender = state.venues[1].lender
    debt = -contract.call("exposure") / WAD
    assert lender.owed == pytest.approx(debt, rel=1e-9)
    assert lender.health == pytest.approx(contract.call("health") / WAD)
    assert lender.collateral - lender.owed * 2_000 == pytest.approx(contract.call("equity", 2_000 * WAD) / WAD)
    assert (lender.opens, lender.closes, lender.strain_wad) == (True, True, 0)
    assert lender.borrow_rate == pytest.approx(0.01, rel=1e-3)
    for part in (0.01, 0.05, 0.1, 0.5, 2.0):  # across the size from which collateral is added
        size = part * debt
        asked = contract.call("funding", -int(size * WAD), 2_000 * WAD) / 1e6
        assert asked == pytest.approx(max(0.0, lender.funding(size, 2_000.0)), rel=1e-6, abs=1e-3)


def test_observe_equity_is_at_the_price_of_now(sandbox, trader, keeper, short):
    sandbox.trade(trader, "ETH", 3_000)
    sandbox.warp(120)
    keeper.step()  # holds base, too
    for price in (2_040, 1_980):
        sandbox.warp(60, refresh=False)
        sandbox.move("ETH", price)
        state = keeper.observe()
        for venue, contract in zip(state.venues[:2], sandbox.markets[0].venues, strict=True):
            assert venue.equity == pytest.approx(contract.call("equity", price * WAD) / WAD, rel=1e-12)
            assert venue.exposure != 0.0


@pytest.mark.parametrize(("stop", "opens", "closes"), [("set_frozen", False, True), ("set_paused", False, False)])
def test_observe_sees_a_reserve_that_is_stopped(sandbox, keeper, short, stop, opens, closes):
    getattr(aave(sandbox), stop)(sandbox.markets[0].base, True)
    lender = keeper.observe().venues[1].lender
    assert (lender.opens, lender.closes) == (opens, closes)


def test_step_unwinds_what_health_asks_for(sandbox, keeper, short):
    move(sandbox, 2_600)
    before = lending(sandbox).call("health") / WAD
    assert before < 1.25
    results = [result for result in keeper.step().results if isinstance(result.action, Unwind)]
    assert [result.ending for result in results] == ["done"]
    assert lending(sandbox).call("health") / WAD == pytest.approx(1.5, abs=0.01)
    assert results[0].receipt.one("Unwound").paid > 0
    sandbox.warp(60)
    assert not [action for action in keeper.step().actions if isinstance(action, Unwind)]


def test_step_brings_home_what_a_stranger_has_supplied_as_often_as_that_happens(sandbox, keeper, trader):
    quote, pool = sandbox.quote, aave(sandbox).pool
    quote.send("mint", trader, 10_000 * 10**6)
    quote.send("approve", pool, 10_000 * 10**6, sender=trader)
    for _ in range(2):
        pool.send("supply", quote, 5_000 * 10**6, lending(sandbox), 0, sender=trader)
        before = lp_cash(sandbox)
        (result,) = keeper.step().results
        assert (result.action.kind, result.ending) == ("recall", "done")
        assert lp_cash(sandbox) - before == pytest.approx(5_000)
        sandbox.warp(1)
        assert keeper.step().actions == ()


def test_step_sells_at_once_where_both_venues_share_a_pool(sandbox, trader, keeper):
    sandbox.trade(trader, "ETH", 1_500)
    sandbox.warp(60)
    assert [result.action.venue for result in keeper.step().results] == [0]
    held = keeper.observe().venues[0].exposure
    sandbox.trade(trader, "ETH", -3_200)
    sandbox.warp(120)
    sandbox.arbitrage("ETH")
    results = keeper.step().results
    assert [(result.action.venue, result.ending) for result in results] == [(0, "done"), (1, "done")]
    assert results[0].action.size_wad == -int(held * WAD)
    for result in results:
        outcome = result.receipt.one("Rebalanced").outcome
        assert outcome.cost / WAD == pytest.approx(result.action.expected_cost, rel=1e-3)
        assert outcome.fall / WAD == pytest.approx(result.action.expected_fall, rel=1e-4)


def test_step_splits_a_large_hedge_over_two_tiers_as_expected(sandbox, trader, keeper):
    sandbox.trade(trader, "ETH", 5_500)
    sandbox.warp(60)
    (result,) = keeper.step().results
    assert result.ending == "done"
    pools = {pool.contract.address for pool in sandbox.pools[0]}
    assert {log.address for log in result.receipt.logs} >= pools  # both were traded in
    outcome = result.receipt.one("Rebalanced").outcome
    assert outcome.cost / WAD == pytest.approx(result.action.expected_cost, rel=1e-3)
    assert outcome.fall / WAD == pytest.approx(result.action.expected_fall, rel=1e-6)


def test_recall_of_a_short_brings_about_what_was_missing(sandbox, keeper, short):
    terms = sandbox.hedge_manager.call("terms")
    missing = lp_cash(sandbox) + 50_000
    floors = terms._replace(lp_floor=int(missing) * WAD, recall_floor=int(missing) * WAD)
    sandbox.hedge_manager.send("set_rule", tuple(floors), sender=sandbox.governor)
    keeper.observer.forget_setup()
    before = lp_cash(sandbox)
    sandbox.warp(60)
    sandbox.arbitrage("ETH")
    done = [result for result in keeper.step().results if isinstance(result.action, Recall | Rebalance)]
    assert [(result.action.kind, result.ending) for result in done] == [("recall", "done")]
    assert lp_cash(sandbox) - before == pytest.approx(50_000, rel=0.05)


def test_step_hedges_by_its_mandate_and_is_paid_its_share(sandbox, trader, keeper):
    grant = (keeper.actor.sender, 0b01, 10**13, sandbox.chain.now + 86_400, 3_000)
    sandbox.mandates.send("grant", *grant, sender=sandbox.governor)
    sandbox.trade(trader, "ETH", 1_500)
    sandbox.warp(60)
    (result,) = keeper.step().results
    assert (result.ending, result.action.mandate) == ("done", 0)
    outcome = result.receipt.one("Rebalanced").outcome
    assert outcome.reward / WAD == pytest.approx(result.action.expected_reward, rel=1e-3)
    used = sandbox.mandates.call("mandate", 0)
    assert (used.hedges, used.volume) == (1, pytest.approx(abs(result.action.size_wad) * 2_000 // 10**12, rel=1e-9))
    (mine,) = keeper.observe().mandates
    assert (mine.share, mine.left) == (0.3, pytest.approx((10**13 - used.volume) / 1e6))


def test_step_measures_carry_of_a_short_and_funding_follows(sandbox, keeper, short):
    sandbox.warp(60)
    (result,) = [result for result in keeper.step().results if result.action.kind == "measure"]
    assert result.ending == "done"  # the first only notes where the lender stands
    sandbox.warp(6 * 3_600)
    assert [result.ending for result in keeper.step().results if result.action.kind == "measure"] == ["done"]
    eth = keeper.observe().markets[0]
    assert (eth.carry > 0, eth.measured_at) == (True, sandbox.chain.now)
    assert [action for action in keeper.step().actions if action.kind == "measure"] == []


def test_step_opens_an_auction_where_nothing_can_be_hedged_and_closes_it(sandbox, trader):
    passive = Keeper(sandbox.chain, sandbox, sandbox.chain.accounts[3], hedger=lambda *_: [])
    sandbox.trade(trader, "ETH", 1_800)
    sandbox.warp(60)
    (result,) = passive.step().results
    assert (result.action.kind, result.ending) == ("open_auction", "done")
    state = passive.observe()
    assert (state.auction.is_open, state.auction.max_rate) == (True, 0.5)
    assert state.auction.low == pytest.approx(potential_of(state, 0)(0.0), rel=1e-3)
    assert passive.step().actions == ()
    sandbox.close(trader, "ETH")
    sandbox.warp(60)
    (result,) = passive.step().results
    assert (result.action.kind, result.ending) == ("close_auction", "done")
    assert not passive.observe().auction.is_open


def test_state_rows_show_venues_and_the_auction(sandbox, keeper, short):
    rows = dict(state_rows(keeper.observe(), ("ETH", "BTC"), {}))
    held = -lending(sandbox).call("exposure") / WAD
    assert rows["venue 0, ETH"] == "+0, equity 0.00"
    assert rows["venue 1, ETH"].startswith(f"{-held:+,.6g}, equity ")
    assert rows["venue 1, ETH"].endswith("health 1.50, carry +1.00% a year")
    assert rows["rebate auction"].startswith("closed, outside 2,0")
