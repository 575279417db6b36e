"""Observe, decide and act together on a real system in process: what was expected is what happens."""

import pytest

from ballast import boards
from ballast.chain import RevmChain
from ballast.keeper import Keeper, Policy
from ballast.keeper.act import Actor
from ballast.keeper.journal import Journal
from ballast.keeper.service import Metrics, Step
from ballast.keeper.state import Liquidate, ProcessEpoch, Rebalance, Recall
from ballast.options import Board, orders
from ballast.system import deploy_system

WAD = 10**18


@pytest.fixture
def sandbox():
    """A vault of 10m."""
    system = deploy_system(RevmChain(keep_logs=True))
    system.deposit(system.chain.accounts[1], 10_000_000)
    return system


@pytest.fixture
def trader(sandbox):
    account = sandbox.chain.accounts[2]
    sandbox.add_margin(account, 1_000_000)
    return account


@pytest.fixture
def keeper(sandbox):
    return Keeper(sandbox.chain, sandbox, sandbox.chain.accounts[3])


def test_observe_reads_what_the_contracts_say(sandbox, trader, keeper):
    sandbox.trade(trader, "ETH", 1_500)
    sandbox.warp(30)
    state = keeper.observe()
    eth, btc = state.markets
    mark = sandbox.oracle.call("peek", 0)
    assert (eth.delta, btc.delta) == (-1_500.0, 0.0)
    assert eth.sigma == pytest.approx(mark.sigma / WAD)
    assert (eth.price, eth.fresh, eth.updated_at) == (2_000.0, True, sandbox.chain.now)
    assert state.reserve == pytest.approx(sandbox.clearinghouse.call("vault_ledger")[1] / WAD)
    assert state.lp_cash == pytest.approx(sandbox.clearinghouse.call("vault_ledger")[0] / WAD)
    (account,) = state.accounts
    health = sandbox.margin.call("preview", trader)
    assert account.equity == pytest.approx(health.equity / WAD, abs=1e-6)
    assert account.maintenance == pytest.approx(health.maintenance / WAD)
    pool = sandbox.pools[0][0]
    route = state.venues[0].routes[0]
    assert route.spot == pytest.approx(pool.price_wad() / WAD, rel=1e-9)
    assert route.twap == pytest.approx(pool.twap_wad(sandbox.markets[0].venues[0].call("TWAP_WINDOW")) / WAD, rel=1e-4)
    assert route.fee == 0.0005
    assert (state.epoch.id, state.weights.aversion, state.rule.phi) == (1, 8.0, 0.6)
    assert state.token_unit == 1e-6


def test_observe_forgets_an_account_that_closed(sandbox, trader, keeper):
    sandbox.trade(trader, "ETH", 10)
    assert len(keeper.observe().accounts) == 1
    sandbox.close(trader, "ETH")
    assert keeper.observe().accounts == ()


@pytest.mark.parametrize("size", [1_500, 3_000])
def test_step_hedge_does_what_was_expected(sandbox, trader, keeper, size):
    sandbox.trade(trader, "ETH", size)
    sandbox.warp(60)
    step = keeper.step()
    (result,) = step.results
    assert isinstance(result.action, Rebalance)
    assert result.ending == "done"
    outcome = result.receipt.one("Rebalanced").outcome
    assert outcome.filled == pytest.approx(result.action.size_wad, rel=1e-9)
    assert outcome.fall / WAD == pytest.approx(result.action.expected_fall, rel=1e-6)
    assert outcome.cost / WAD == pytest.approx(result.action.expected_cost, rel=1e-3)
    assert outcome.reward / WAD == pytest.approx(result.action.expected_reward, rel=1e-3)
    assert outcome.gas / WAD == pytest.approx(step.state.rule.gas)


def test_step_after_a_hedge_finds_nothing_to_do(sandbox, trader, keeper):
    sandbox.trade(trader, "ETH", 2_000)
    sandbox.warp(60)
    assert len(keeper.step().results) == 1
    sandbox.warp(120)
    assert keeper.step().actions == ()


def test_step_sells_the_hedge_when_traders_leave(sandbox, trader, keeper):
    sandbox.trade(trader, "ETH", 4_000)
    for _ in range(8):  # as much as the band allows each time; arbitrage brings the pool back
        sandbox.warp(60)
        keeper.step()
        sandbox.arbitrage("ETH")
    sandbox.close(trader, "ETH")
    sandbox.warp(60)
    (result,) = keeper.step().results
    assert result.ending == "done"
    assert result.action.size_wad < 0


def test_step_liquidates_below_maintenance(sandbox, keeper):
    weak = sandbox.chain.accounts[4]
    sandbox.add_margin(weak, 12_000)
    sandbox.trade(weak, "ETH", 100)
    sandbox.warp(60, refresh=False)
    sandbox.move("ETH", 1_950)
    sandbox.push("BTC")
    assert [a.kind for a in keeper.step().actions if isinstance(a, Liquidate)] == []
    sandbox.warp(60, refresh=False)
    sandbox.move("ETH", 1_920)
    sandbox.push("BTC")
    results = [r for r in keeper.step().results if isinstance(r.action, Liquidate)]
    assert [r.ending for r in results] == ["done"]
    assert sandbox.perp_engine.call("position", weak, 0).size == 0
    assert sandbox.clearinghouse.call("account", keeper.actor.sender)[0] > 0


def test_step_processes_the_epoch_once(sandbox, keeper):
    lp = sandbox.chain.accounts[1]
    sandbox.vault.send("requestRedeem", 1_000_000 * WAD, lp, lp, sender=lp)
    assert keeper.step().actions == ()
    sandbox.warp(86_400)
    (result,) = keeper.step().results
    assert isinstance(result.action, ProcessEpoch)
    assert result.ending == "done"
    assert sandbox.vault.call("maxRedeem", lp) == 1_000_000 * WAD
    assert keeper.step().actions == ()


def test_step_recalls_when_cash_is_below_the_floor(sandbox, trader, keeper):
    sandbox.trade(trader, "ETH", 3_000)
    sandbox.warp(60)
    keeper.step()
    terms = sandbox.hedge_manager.call("terms")
    lp_cash = sandbox.clearinghouse.call("vault_ledger")[0]
    floors = terms._replace(lp_floor=lp_cash + 10**22, recall_floor=lp_cash + 10**22)
    sandbox.hedge_manager.send("set_rule", tuple(floors), sender=sandbox.governor)
    keeper.observer.forget_setup()
    sandbox.warp(60)
    (result,) = [r for r in keeper.step().results if isinstance(r.action, Recall)]
    assert result.ending == "done"
    # enough is sold to bring the missing amount home even at the limit price
    assert sandbox.clearinghouse.call("vault_ledger")[0] >= floors.recall_floor


def test_step_pokes_a_venue_that_was_given_base(sandbox, keeper):
    venue = sandbox.markets[0].venues[0]
    sandbox.markets[0].base.send("mint", venue, 5 * WAD)
    (result,) = keeper.step().results
    assert (result.action.kind, result.ending) == ("poke", "done")
    assert sandbox.hedge_manager.call("venue_state", 0).exposure == 5 * WAD
    assert keeper.step().actions == ()


def test_step_synchronises_markets_that_nothing_touches(sandbox, trader, keeper):
    sandbox.trade(trader, "ETH", 10)
    sandbox.warp(3_500)
    (result,) = keeper.step().results
    assert (result.action.kind, result.ending) == ("sync_all", "done")


def test_act_refused_simulation_sends_nothing_and_may_be_tried_again(sandbox, keeper):
    action = ProcessEpoch(key="epoch:1")
    for _ in range(2):
        (result,) = keeper.actor.act([action])
        assert (result.ending, result.reason) == ("refused", "vault: epoch not over")
    assert keeper.journal.entries() == []


def test_act_same_occasion_twice_sends_once(sandbox, keeper):
    action = keeper.plan(keeper.observe())
    assert action == []
    first = ProcessEpoch(key="epoch:1")
    sandbox.warp(86_400)
    assert [result.ending for result in keeper.actor.act([first, first])] == ["done", "used"]


def test_actor_with_another_deployments_journal_is_refused(sandbox, keeper):
    from ballast.keeper.journal import WrongChain

    with pytest.raises(WrongChain):
        Actor(sandbox.chain, sandbox, sandbox.chain.accounts[5], keeper.journal)


def test_keeper_without_hedging_leaves_the_inventory(sandbox, trader):
    passive = Keeper(sandbox.chain, sandbox, sandbox.chain.accounts[3], policy=Policy(hedge=False), journal=Journal())
    sandbox.trade(trader, "ETH", 3_000)
    sandbox.warp(60)
    assert passive.step().actions == ()


def test_metrics_take_a_step(sandbox, trader, keeper):
    sandbox.trade(trader, "ETH", 2_000)
    sandbox.warp(60)
    metrics = Metrics()
    metrics.take(keeper.step(), 0.1)
    assert metrics.delta.labels("0")._value.get() == -2_000.0
    assert metrics.actions.labels("rebalance", "done")._value.get() == 1.0
    metrics.close()


# ---- options


@pytest.fixture
def expiry(sandbox):
    """Of the last board; there are others, of BTC too."""
    boards.roll(sandbox)
    return boards.calendar(sandbox.chain.now)[-1]


def option_trade(sandbox, trader, expiry, sizes):
    board = Board(0, expiry).name(sandbox)
    trade = orders(sandbox, {f"{board}-{option}": size for option, size in sizes.items()})
    sandbox.option_engine.send("trade", trade, 2**255 - 1, 2**256 - 1, sender=trader)


def test_step_refreshes_a_board_that_is_due_and_is_paid(sandbox, trader, keeper, expiry):
    option_trade(sandbox, trader, expiry, {"2000-C": 5})
    assert keeper.step().actions == ()
    sandbox.warp(1_801)
    (result,) = keeper.step().results
    assert (result.action.kind, result.ending) == ("refresh", "done")
    cash, _ = sandbox.clearinghouse.call("account", keeper.actor.sender)
    assert cash / WAD == result.action.expected_reward == 0.5
    assert keeper.step().actions == ()


def test_step_refreshes_before_the_epoch(sandbox, trader, keeper, expiry):
    option_trade(sandbox, trader, expiry, {"2000-C": 5})
    lp = sandbox.chain.accounts[1]
    sandbox.vault.send("requestRedeem", WAD, lp, lp, sender=lp)
    sandbox.warp(86_400)
    results = keeper.step().results
    assert {result.ending for result in results} == {"done"}
    # boards that nobody held expired meanwhile
    assert [r.action.kind for r in results if r.action.kind != "settle"] == ["refresh", "process_epoch"]


def test_step_settles_a_board_its_accounts_and_clears_it(sandbox, trader, keeper, expiry):
    other, expiry = sandbox.chain.accounts[5], boards.calendar(sandbox.chain.now)[0]
    sandbox.add_margin(other, 100_000)
    option_trade(sandbox, trader, expiry, {"2000-C": 5, "2100-P": -2})
    option_trade(sandbox, other, expiry, {"2000-C": -1})
    sandbox.warp(expiry - 5 - sandbox.chain.now)
    sandbox.push("ETH", 2_050)  # in force at the expiry
    sandbox.warp(10, refresh=False)
    # nothing proves yet that it was the last round
    assert [action.kind for action in keeper.step().actions] == ["sync_all"]
    sandbox.push("ETH", 2_500)
    sandbox.push("BTC")
    kept = [account.options for account in keeper.observe().accounts]
    assert sorted(len(options) for options in kept) == [1, 2]
    kinds = []
    while results := keeper.step().results:
        assert {result.ending for result in results} == {"done"}
        kinds += [result.action.kind for result in results]
        sandbox.warp(1)
    # nobody held the board of BTC
    assert sorted(kinds) == ["clear", "clear", "settle", "settle", "settle_accounts"]
    assert sandbox.option_book.call("board", 0, expiry).strikes == 0
    assert sandbox.option_book.call("legs", trader) == []
    assert keeper.journal.load_book().settled == set()
    paid = [e.payoff for e in settled_accounts(sandbox)]
    assert sorted(paid) == [-50 * WAD, 5 * 50 * WAD - 2 * 50 * WAD]


def settled_accounts(sandbox):
    logs = sandbox.chain.logs([sandbox.option_engine], 0, sandbox.chain.number)
    events = [sandbox.chain.decode_log(log) for log in logs]
    return [event.args for event in events if event.name == "AccountSettled"]


def test_step_liquidates_a_writer_of_options(sandbox, keeper, expiry):
    weak = sandbox.chain.accounts[4]
    sandbox.add_margin(weak, 3_500)
    option_trade(sandbox, weak, expiry, {"2000-C": -10})
    sandbox.warp(60)
    assert [a.kind for a in keeper.step().actions] == []
    sandbox.warp(60, refresh=False)
    sandbox.move("ETH", 2_350)
    sandbox.push("BTC")
    results = [r for r in keeper.step().results if r.action.kind == "liquidate_options"]
    assert [r.ending for r in results] == ["done"]
    assert sandbox.option_book.call("legs", weak) == []
    assert sandbox.clearinghouse.call("account", keeper.actor.sender)[0] > 0


def test_journal_keeps_settled_boards(tmp_path, sandbox, trader, expiry):
    option_trade(sandbox, trader, expiry, {"2000-C": 1})
    sandbox.warp(expiry + 60 - sandbox.chain.now)
    sandbox.option_engine.send("settle", 0, expiry, sandbox.markets[0].feed.call("latest").round_id - 1)
    with Journal(tmp_path / "journal.sqlite") as journal:
        keeper = Keeper(sandbox.chain, sandbox, sandbox.chain.accounts[3], journal=journal)
        keeper.observe()
        keeper.remember()
    with Journal(tmp_path / "journal.sqlite") as journal:
        assert journal.load_book().settled == {(0, expiry)}


def test_metrics_count_the_boards_that_wait(sandbox, trader, keeper, expiry):
    option_trade(sandbox, trader, expiry, {"2000-C": 1})
    metrics = Metrics()
    for seconds, waiting in ((1, 0), (1_801, 1), (expiry - sandbox.chain.now, 1)):
        sandbox.warp(seconds)
        metrics.take(Step(keeper.observe(), (), ()), 0.1)
        assert metrics.boards._value.get() == waiting
