"""Closes that wait for a price: whether having asked for one is worth anything."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product

import pytest

from ballast.chain import RevmChain, reverts
from ballast.model.roles import Role
from ballast.system import Sandbox
from ballast.testing.options import list_board
from ballast.testing.options import trade as trade_options

WAD = 10**18
HOUR = 3_600
ETH = 0
SIZE = 100  # [base]


@pytest.fixture
def matched(vault_only: Sandbox) -> Sandbox:
    """Accounts 2 and 3 belong to one owner: one is long, the other short of as much; account 4 executes for others.

    Nobody has pushed a price for an hour: the outage has begun.
    """
    system = vault_only
    long, short, executor = system.chain.accounts[2:5]
    for account, size in ((long, SIZE), (short, -SIZE)):
        system.add_margin(account, 50_000)
        system.trade(account, "ETH", size)
    system.add_margin(executor, 1)
    for _ in range(3):
        system.warp(61)
        system.inventory.sync_all.send()
    system.warp(HOUR + 1, refresh=False)
    system.push("BTC")
    return system


@contextmanager
def tried(system: Sandbox) -> Iterator[None]:
    """What is done here has not happened afterwards."""
    prices = dict(system.prices)
    assert isinstance(system.chain, RevmChain)
    with system.chain.undone():
        yield
    system.prices.clear()
    system.prices.update(prices)


def wealth(system: Sandbox) -> tuple[int, int]:
    """The owner's equity at mark and the LPs' NAV [quote, WAD]."""
    for market in system.markets:
        system.oracle.sync.send(market.id)
    owned = sum(system.margin.preview(account).equity for account in system.chain.accounts[2:4])
    return int(owned), int(system.vault.valuation().nav)


def request_close(system: Sandbox, account: str) -> None:
    size = system.perp_engine.position(account, ETH).size
    system.close_queue.request_perp.send(ETH, -size, sender=account)


def end_outage(system: Sandbox, price: int) -> None:
    """Five more hours, then a round."""
    system.warp(5 * HOUR, refresh=False)
    system.push("BTC")
    system.push("ETH", price)


@pytest.mark.parametrize("price", [1_800, 2_200])
def test_queue_gives_matched_accounts_no_option(matched: Sandbox, price: int) -> None:
    """Six hours without a price, then 10 % up or down, then half of it back. Whatever the owner of both sides has asked
    for, executes when, or closes by hand before: to him it is worth what trading by hand at the same moments is, to the
    wei, less the fees, and less than to do nothing; to LPs as much as the first and more than the second."""
    system = matched
    executor = system.chain.accounts[4]
    fee = system.close_queue.fee()
    later = (price + 2_000) // 2

    def execute(account: str) -> None:
        system.close_queue.execute_perp.send(account, ETH, sender=executor)

    def by_hand(account: str) -> None:
        system.close(account, "ETH")

    def wait() -> None:
        system.warp(600, refresh=False)
        system.push("BTC")
        system.push("ETH", later)

    seen = 0
    for chosen in ([0], [1], [0, 1], [1, 0]):
        accounts = [system.chain.accounts[2 + side] for side in chosen]
        for late, closed_before in product((False, True), repeat=2):
            results = []
            for queued in (True, False):
                with tried(system):
                    for account in accounts:
                        if queued:
                            request_close(system, account)
                    end_outage(system, price)
                    if closed_before:
                        by_hand(accounts[0])
                    if late:
                        wait()
                    with tried(system):
                        held = wealth(system)
                    for account in accounts:
                        if queued:
                            execute(account)
                        elif system.perp_engine.position(account, ETH).size != 0:
                            by_hand(account)
                    results.append(wealth(system))
            (queue, lps), (hand, lps_by_hand) = results
            fees = fee * (len(accounts) - closed_before)
            assert queue == hand - fees
            assert lps == lps_by_hand
            assert queue <= held[0]
            assert lps >= held[1]
            seen += 1
    assert seen == 16


def test_cancelled_request_leaves_nothing_behind(matched: Sandbox) -> None:
    system = matched
    long, short = system.chain.accounts[2:4]
    with tried(system):
        end_outage(system, 2_200)
        without = wealth(system)
    for account in (long, short):
        request_close(system, account)
        system.close_queue.cancel_perp.send(ETH, sender=account)
    end_outage(system, 2_200)
    assert wealth(system) == without
    with reverts("queue: no request"):
        system.close_queue.execute_perp.send(long, ETH)


def test_request_cannot_be_taken_back_once_the_price_is_known(matched: Sandbox) -> None:
    """Nor made: from the round on, whoever wants to close trades."""
    system = matched
    long, short = system.chain.accounts[2:4]
    request_close(system, long)
    end_outage(system, 2_200)
    with reverts("queue: a round has come"):
        system.close_queue.cancel_perp.send(ETH, sender=long)
    with reverts("queue: price is fresh: trade"):
        request_close(system, long)
    with reverts("queue: price is fresh: trade"):
        request_close(system, short)


def test_round_of_before_a_halt_is_not_what_a_request_waits_for(vault_only: Sandbox) -> None:
    """When a halt ends before the old round is too old, requests are not carried out at that one."""
    system = vault_only
    trader, executor = system.chain.accounts[2:4]
    system.add_margin(trader, 20_000)
    system.trade(trader, "ETH", 10)
    system.oracle.halt.send(ETH, sender=system.governor)
    with reverts("oracle: stale price"):
        system.close(trader, "ETH")
    request_close(system, trader)
    with reverts("queue: no new round"):
        system.close_queue.execute_perp.send(trader, ETH, sender=executor)
    system.oracle.resume.send(ETH, sender=system.governor)
    assert system.oracle.peek(ETH).fresh
    with reverts("queue: no new round"):
        system.close_queue.execute_perp.send(trader, ETH, sender=executor)
    with tried(system):
        system.close_queue.cancel_perp.send(ETH, sender=trader)
        system.close(trader, "ETH")
    system.push("ETH", 1_900)
    receipt = system.close_queue.execute_perp.send(trader, ETH, sender=executor)
    assert receipt.one("Trade", system.perp_engine).price == 1_900 * WAD


def test_market_that_stays_halted_executes_nothing_and_lets_requests_be_replaced(vault_only: Sandbox) -> None:
    """Rounds go on during a halt: a request waits for its end, and is at the mark of then."""
    system = vault_only
    trader, executor = system.chain.accounts[2:4]
    system.add_margin(trader, 20_000)
    system.trade(trader, "ETH", 10)
    system.oracle.halt.send(ETH, sender=system.governor)
    request_close(system, trader)
    system.warp(60)
    system.push("ETH", 1_950)
    with reverts("oracle: stale price"):
        system.close_queue.execute_perp.send(trader, ETH, sender=executor)
    system.close_queue.request_perp.send(ETH, -4 * WAD, sender=trader)
    system.push("ETH", 1_960)
    system.oracle.resume.send(ETH, sender=system.governor)
    system.close_queue.execute_perp.send(trader, ETH, sender=executor)
    assert system.perp_engine.position(trader, ETH).size == 6 * WAD


def test_request_is_in_nobodys_way(matched: Sandbox) -> None:
    """With requests open one account is liquidated, the other trades, closes and withdraws all that it has."""
    system = matched
    long, short, executor = system.chain.accounts[2:5]
    for account in (long, short):
        request_close(system, account)
    end_outage(system, 2_600)
    assert system.margin.preview(short).equity < system.margin.preview(short).maintenance
    system.liquidator.liquidate_perp.send(short, ETH, SIZE * WAD, sender=executor)
    system.trade(long, "ETH", 5)
    system.close(long, "ETH")
    cash = system.clearinghouse.account(long)[0]
    units = cash // system.clearinghouse.scale()
    system.clearinghouse.withdraw.send(units, long, long, sender=long)
    receipt = system.close_queue.execute_perp.send(long, ETH, sender=executor)
    assert receipt.value == 0 == receipt.one("PerpExecuted").size_delta
    left = system.perp_engine.position(short, ETH).size
    done = system.close_queue.execute_perp.send(short, ETH, sender=executor).one("PerpExecuted")
    assert done.size_delta == -left


def test_account_that_owes_more_than_it_has_pays_no_fee(matched: Sandbox) -> None:
    """Its cash is there, but it is owed for the loss in another market: the fee would be paid by LPs."""
    system = matched
    long, executor = system.chain.accounts[2], system.chain.accounts[4]
    end_outage(system, 2_000)
    system.trade(long, "BTC", 10)
    system.warp(HOUR + 1, refresh=False)
    request_close(system, long)
    system.push("ETH", 1_990)
    system.push("BTC", 30_000)
    system.oracle.sync.send(1)
    before = system.clearinghouse.account(executor)[0]
    assert system.margin.preview(long).equity < 0 < system.clearinghouse.account(long)[0]
    assert system.close_queue.execute_perp.send(long, ETH, sender=executor).value == 0
    assert system.clearinghouse.account(executor)[0] == before
    assert system.clearinghouse.account(long)[0] > 0


def test_queue_gives_matched_options_no_option(vault_only: Sandbox) -> None:
    """The same with options: one account is long of a call, the other short of it."""
    system = vault_only
    long, short, executor = system.chain.accounts[2:5]
    board = list_board(system, 14, [1_800, 2_000, 2_200])
    for account, size in ((long, 20), (short, -20)):
        system.add_margin(account, 50_000)
        trade_options(system, account, board, {"2000-C": size}, fresh=True)
    system.add_margin(executor, 1)
    system.warp(HOUR + 1, refresh=False)
    system.push("BTC")
    fee = system.close_queue.fee()
    series = system.option_book.legs(long)[0].series
    for price, chosen in product((1_800, 2_200), ((long,), (short,), (long, short))):
        results = []
        for queued in (True, False):
            with tried(system):
                for account in chosen:
                    if queued:
                        size = system.option_book.legs(account)[0].size
                        system.close_queue.request_options.send([(series, -size)], sender=account)
                end_outage(system, price)
                for account in chosen:
                    if queued:
                        system.close_queue.execute_options.send(account, ETH, sender=executor)
                    else:
                        size = system.option_book.legs(account)[0].size
                        system.option_engine.trade.send([(series, -size)], 2**255 - 1, system.chain.now, sender=account)
                results.append(wealth(system))
        (queue, lps), (hand, lps_by_hand) = results
        assert queue == hand - fee * len(chosen)
        assert lps == lps_by_hand


def test_request_is_void_once_everything_is_settled(matched: Sandbox) -> None:
    """A day without a price ends the system at the last mark: prices that come later execute nothing."""
    system = matched
    long, executor = system.chain.accounts[2], system.chain.accounts[4]
    request_close(system, long)
    system.warp(25 * HOUR, refresh=False)
    system.push("BTC")
    system.global_settlement.trigger.send(sender=executor)
    system.push("ETH", 2_500)
    with reverts("clearing: frozen"):
        system.close_queue.execute_perp.send(long, ETH, sender=executor)
    cash = system.clearinghouse.account(long)[0]
    system.global_settlement.crystallise.send([long], sender=executor)
    assert system.clearinghouse.account(long) == (cash, 0)


def test_queue_may_close_only_what_was_asked_of_it(matched: Sandbox) -> None:
    """Its power at the engines is that of closing anybody's position; nobody else's request reaches a position."""
    system = matched
    long, executor = system.chain.accounts[2], system.chain.accounts[4]
    assert Role.CLOSER in Role(system.perp_engine.roles_of(system.close_queue))
    end_outage(system, 2_000)
    with reverts("queue: no request"):
        system.close_queue.execute_perp.send(long, ETH, sender=executor)
    with reverts("queue: no request"):
        system.close_queue.execute_options.send(long, ETH, sender=executor)
