"""Observe, decide and act together on a real system in process: what was expected is what happens."""

import pytest

from ballast import boards
from ballast.chain import RevmChain
from ballast.keeper import Keeper, Policy
from ballast.keeper.act import Actor
from ballast.keeper.decide import score
from ballast.keeper.journal import Journal
from ballast.keeper.metrics import Metrics
from ballast.keeper.service import Step
from ballast.keeper.state import Deleverage, ExecuteClose, Liquidate, Nominate, ProcessEpoch, Rebalance, Recall
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
    sandbox.trade(trader, "ETH", 1_000)
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


@pytest.fixture
def weak(sandbox):
    """Long 100 ETH with margin of 12,000, at a price that leaves less than maintenance."""
    account = sandbox.chain.accounts[4]
    sandbox.add_margin(account, 12_000)
    sandbox.trade(account, "ETH", 100)
    return account


def fall(sandbox, price):
    sandbox.warp(60, refresh=False)
    sandbox.move("ETH", price)
    sandbox.push("BTC")


def liquidations(step):
    return [result for result in step.results if isinstance(result.action, Liquidate)]


def test_step_liquidates_below_maintenance_as_much_as_is_enough(sandbox, keeper, weak):
    fall(sandbox, 1_950)
    assert liquidations(keeper.step()) == []
    fall(sandbox, 1_920)
    (result,) = liquidations(keeper.step())
    assert result.ending == "done"
    done = result.receipt.one("Liquidated", sandbox.liquidator)
    assert (done.account, done.market, done.taken) == (weak, 0, False)
    # what was simulated is what happened
    assert done.reward / WAD == pytest.approx(result.action.closing.reward)
    assert result.action.closing.enough
    closed = 100 - sandbox.perp_engine.call("position", weak, 0).size / WAD
    assert closed * 1_920 == pytest.approx(result.action.closing.notional)
    assert 0 < closed < 100
    health = sandbox.margin.call("preview", weak)
    assert health.maintenance < health.equity < 1.001 * health.initial
    assert liquidations(keeper.step()) == []


def test_step_liquidates_who_is_past_bad_debt_before_who_is_near_it(sandbox, keeper, weak):
    poor, poorer = sandbox.chain.accounts[5:7]
    for account, margin in ((poor, 11_500), (poorer, 11_000)):
        sandbox.add_margin(account, margin)
        sandbox.trade(account, "ETH", 100)
    fall(sandbox, 1_888)
    results = liquidations(keeper.step())
    assert [result.action.account for result in results] == [poorer, poor, weak]
    assert {result.ending for result in results} == {"done"}
    assert results[0].receipt.find("BadDebtCovered")


def test_step_takes_over_what_its_account_can_carry(sandbox, weak):
    taker = sandbox.chain.accounts[3]
    sandbox.add_margin(taker, 50_000)
    keeper = Keeper(sandbox.chain, sandbox, taker, policy=Policy(take=40_000.0, take_time=0.0))
    fall(sandbox, 1_920)
    (result,) = liquidations(keeper.step())
    assert (result.ending, result.action.closing.taken) == ("done", True)
    position = sandbox.perp_engine.call("position", taker, 0)
    assert position.size / WAD * 1_920 == pytest.approx(40_000)
    assert sandbox.clearinghouse.call("account", taker)[0] / WAD == pytest.approx(
        50_000 + result.action.closing.reward, abs=1e-6
    )
    # its account is full: the rest goes to the vault
    (result,) = liquidations(keeper.step())
    assert (result.ending, result.action.closing.taken) == ("done", False)
    assert sandbox.perp_engine.call("position", taker, 0).size == position.size


def test_step_leaves_to_the_vault_what_its_account_cannot_carry(sandbox, weak):
    keeper = Keeper(
        sandbox.chain, sandbox, sandbox.chain.accounts[3], policy=Policy(take=1e6, take_cost=0.0, take_time=0.0)
    )
    fall(sandbox, 1_920)
    (result,) = liquidations(keeper.step())
    assert (result.ending, result.action.closing.taken) == ("done", False)


def test_act_does_not_take_over_for_less_than_was_decided(sandbox, weak):
    taker = sandbox.chain.accounts[3]
    sandbox.add_margin(taker, 50_000)
    keeper = Keeper(sandbox.chain, sandbox, taker, policy=Policy(take=40_000.0, take_time=0.0))
    fall(sandbox, 1_920)
    (action,) = keeper.plan(keeper.observe())
    sandbox.push("ETH", 1_870)  # there is nothing left to pay with
    (result,) = keeper.actor.act([action])
    assert (result.ending, result.reason) == ("refused", "keeper: taking it over pays less by now")


def test_step_a_stale_market_does_not_shield_another(sandbox, keeper, weak):
    sandbox.trade(weak, "BTC", 0.1)
    # only ETH has a round
    sandbox.warp(86_400, refresh=False)
    sandbox.move("ETH", 1_900)
    (result,) = liquidations(keeper.step())
    assert (result.ending, result.action.closing.market) == ("done", 0)


def test_step_deleverages_the_one_that_is_ahead_by_most():
    small = deploy_system(RevmChain(keep_logs=True))
    small.deposit(small.chain.accounts[1], 200_000)
    winner, other = small.chain.accounts[2], small.chain.accounts[4]
    keeper = Keeper(small.chain, small, small.chain.accounts[3])
    for account, size, margin in ((winner, 60, 20_000), (other, 20, 20_000)):
        small.add_margin(account, margin)
        small.trade(account, "ETH", size)
    small.warp(60, refresh=False)
    small.push("ETH", 3_200)
    small.push("BTC")
    assert small.deleverager.call("status").armed
    (result,) = [r for r in keeper.step().results if isinstance(r.action, Nominate)]
    assert (result.ending, result.action.account) == ("done", winner)
    assert score_of(keeper, winner) == pytest.approx(small.deleverager.call("nomination", 0).score / WAD)
    assert [a for a in keeper.step().actions if isinstance(a, Nominate | Deleverage)] == []
    small.warp(60)
    (result,) = [r for r in keeper.step().results if isinstance(r.action, Deleverage)]
    assert result.ending == "done"
    assert result.receipt.one("Deleveraged").account == winner
    assert not small.deleverager.call("status").armed
    assert keeper.observe().deleveraging is None


def score_of(keeper, address):
    state = keeper.observe()
    return score(state, next(account for account in state.accounts if account.address == address), 0)


def test_step_executes_closes_once_there_is_a_price(sandbox, trader, keeper):
    sandbox.trade(trader, "ETH", 10)
    sandbox.warp(86_400, refresh=False)
    sandbox.close_queue.send("request_perp", 0, -4 * WAD, sender=trader)
    (waiting,) = keeper.observe().closes
    assert (waiting.account, waiting.market, waiting.options, waiting.reward) == (trader, 0, False, None)
    assert [a for a in keeper.step().actions if isinstance(a, ExecuteClose)] == []
    fall(sandbox, 1_900)
    (result,) = [r for r in keeper.step().results if isinstance(r.action, ExecuteClose)]
    assert result.ending == "done"
    done = result.receipt.one("PerpExecuted")
    assert (done.size_delta, done.fee / WAD) == (-4 * WAD, result.action.expected_reward)
    assert keeper.observe().closes == ()
    assert sandbox.perp_engine.call("position", trader, 0).size == 6 * WAD


def test_observe_forgets_a_close_that_is_void(sandbox, trader, keeper):
    sandbox.trade(trader, "ETH", 10)
    sandbox.warp(86_400, refresh=False)
    sandbox.close_queue.send("request_perp", 0, -4 * WAD, sender=trader)
    until = sandbox.close_queue.call("perp_request", trader, 0).until
    sandbox.warp(until - sandbox.chain.now, refresh=False)
    assert len(keeper.observe().closes) == 1
    sandbox.warp(1)
    assert keeper.observe().closes == ()
    assert keeper.observer.book.requests == set()


def test_step_brings_the_system_to_its_end(sandbox, trader, weak):
    sandbox.trade(trader, "ETH", -50)
    keeper = Keeper(sandbox.chain, sandbox, sandbox.chain.accounts[3])
    careful = Keeper(sandbox.chain, sandbox, sandbox.chain.accounts[3], policy=Policy(wind_down=True))
    fall(sandbox, 1_990)
    assert [a.kind for a in careful.plan(careful.observe()) if a.kind == "trigger"] == []
    sandbox.warp(86_400 + 3 * 3_600, refresh=False)
    assert "trigger" not in {action.kind for action in keeper.step().actions}
    assert "trigger" in {result.action.kind for result in careful.step().results if result.ending == "done"}
    assert sandbox.clearinghouse.call("frozen")
    kinds = []
    for _ in range(3):
        sandbox.warp(1, refresh=False)
        results = keeper.step().results
        assert {result.ending for result in results} == {"done"}
        kinds += [result.action.kind for result in results]
    assert kinds == ["crystallise", "finalise", "claim"]
    assert keeper.step().actions == ()
    state = keeper.observe()
    assert (state.accounts, state.ending.final, state.ending.owed) == ((), True, ())
    # the winner of the two has its profit
    assert sandbox.clearinghouse.call("account", trader)[0] / WAD > 1_000_400


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
    weak = sandbox.chain.accounts[5]
    sandbox.add_margin(weak, 3_500)
    option_trade(sandbox, weak, expiry, {"2000-C": -10})
    sandbox.warp(60)
    assert [a.kind for a in keeper.step().actions] == []
    sandbox.warp(60, refresh=False)
    sandbox.move("ETH", 2_350)
    sandbox.push("BTC")
    (result,) = liquidations(keeper.step())
    assert (result.ending, len(result.action.closing.orders)) == ("done", 1)
    (left,) = sandbox.option_book.call("legs", weak)
    assert -10 * WAD < left.size < 0
    assert sandbox.clearinghouse.call("account", keeper.actor.sender)[0] > 0


def test_step_closes_together_what_hedges_each_other(sandbox, keeper, expiry):
    """A covered call, nearly worthless: neither half alone brings the account back."""
    weak = sandbox.chain.accounts[5]
    sandbox.add_margin(weak, 100_000)
    option_trade(sandbox, weak, expiry, {"2000-C": -100})
    sandbox.trade(weak, "ETH", 100)
    cash = sandbox.clearinghouse.call("account", weak)[0] // 10**12
    free = (sandbox.margin.call("preview", weak).equity - sandbox.margin.call("preview", weak).initial) // 10**12
    sandbox.clearinghouse.send("withdraw", min(cash, free - 10), weak, weak, sender=weak)
    fall(sandbox, 1_700)
    while sandbox.margin.call("preview", weak).equity >= sandbox.margin.call("preview", weak).maintenance:
        fall(sandbox, float(sandbox.prices[0]) - 25)
    (account,) = [found for found in keeper.observe().accounts if found.address == weak]
    assert not any(closing.enough for closing in account.closings)
    (result,) = liquidations(keeper.step())
    assert (result.ending, result.action.closing.size_wad, len(result.action.closing.orders)) == ("done", -100 * WAD, 1)
    health = sandbox.margin.call("preview", weak)
    assert health.equity >= health.maintenance


def test_journal_keeps_settled_boards(tmp_path, sandbox, trader, expiry):
    option_trade(sandbox, trader, expiry, {"2000-C": 1})
    sandbox.warp(expiry + 60 - sandbox.chain.now)
    sandbox.option_engine.send("settle", 0, expiry, sandbox.markets[0].feed.call("latest").round_id - 1)
    with Journal(tmp_path / "journal.sqlite") as journal:
        keeper = Keeper(sandbox.chain, sandbox, sandbox.chain.accounts[3], journal=journal)
        sandbox.chain.warp(1)
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


def test_metrics_count_weak_accounts_and_those_that_nothing_can_be_closed_of(sandbox, keeper, weak):
    metrics = Metrics()

    def counted():
        metrics.take(Step(keeper.observe(), (), ()), 0.1)
        return metrics.weak._value.get(), metrics.stuck._value.get(), metrics.frozen._value.get()

    assert counted() == (0, 0, 0)
    fall(sandbox, 1_920)
    assert counted() == (1, 0, 0)
    sandbox.warp(7_200, refresh=False)
    assert counted() == (1, 1, 0)
