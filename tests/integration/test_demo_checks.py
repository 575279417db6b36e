"""The demo's own checks: they pass on a true history and fail on a tampered one."""

from dataclasses import replace
from itertools import pairwise

import pytest

from ballast.chain import RevmChain
from ballast.demo import checks
from ballast.demo.flow import build
from ballast.demo.replay import GENESIS_LEAD, Replay, config_for
from ballast.demo.stage import RevmStage
from ballast.model.exact.option_book import LOT
from ballast.system import deploy_system

MINUTES = 90


@pytest.fixture(scope="module")
def played():
    """A short replay and its history."""
    stage, replay = play(MINUTES)
    return stage, replay, checks.history(stage, replay.system)


def changed(events, contract, name, **fields):
    """The history with one field of a contract's last event of a name changed."""
    at = max(i for i, happened in enumerate(events) if happened.is_of(contract, name))
    event = events[at].event
    args = event.args._replace(**{field: change(getattr(event.args, field)) for field, change in fields.items()})
    return [*events[:at], replace(events[at], event=replace(event, args=args)), *events[at + 1 :]]


def play(minutes):
    """A replay in process, positions still open."""
    scenario = build("2021-05_crash", equity=10_000_000.0, minutes=minutes)
    chain = RevmChain(timestamp=scenario.start.time - GENESIS_LEAD, keep_logs=True)
    stage = RevmStage(chain)
    replay = Replay(stage, deploy_system(chain, config_for(scenario)), scenario)
    replay.run()
    return stage, replay


def test_replay_twice_is_the_same_to_the_last_digit():
    (_, first), (_, second) = play(45), play(45)
    assert first.samples == second.samples
    assert first.tally == second.tally
    assert first.done == second.done


def test_checks_hold_on_the_true_history(played):
    stage, replay, events = played
    s = replay.system
    for check in (
        checks.ledger_covers_tokens(stage, s, events),
        checks.aggregates_are_sums(stage, s, events),
        checks.reserve_is_conserved(stage, s, events),
    ):
        assert check.holds, check.figure
    assert replay.tally.trades > 50
    assert replay.tally.hedges > 0
    assert replay.floor.tally.trades > 10


def test_ledger_check_notices_a_missing_account(played):
    stage, replay, events = played
    named = (h.event.args.account for h in events if h.event.name == "Deposited")
    somebody = next(account for account in named if account in replay.actors.traders)
    without = [h for h in events if getattr(h.event.args, "account", None) != somebody]
    assert not checks.ledger_covers_tokens(stage, replay.system, without).holds


@pytest.mark.parametrize("field", ["size", "cost"])
def test_aggregate_check_notices_a_wrong_position(played, field):
    stage, replay, events = played
    wrong = changed(events, replay.system.perp_engine, "Trade", **{field: lambda value: value + 1})
    assert not checks.aggregates_are_sums(stage, replay.system, wrong).holds


def test_aggregate_check_notices_one_lot_of_an_option(played):
    stage, replay, events = played

    def more(orders):
        return [orders[0]._replace(size=orders[0].size + LOT), *orders[1:]]

    wrong = changed(events, replay.system.option_engine, "Trade", orders=more)
    check = checks.aggregates_are_sums(stage, replay.system, wrong)
    assert not check.holds
    assert check.detail["boards"] > 0


@pytest.mark.parametrize("field", ["rho", "eta"])
def test_aggregate_check_notices_another_surface(played, field):
    stage, replay, events = played
    wrong = changed(events, replay.system.surface, "SurfacePosted", **{field: lambda value: value + 10**12})
    assert checks.aggregates_are_sums(stage, replay.system, wrong).detail["boards"] > 0


@pytest.mark.parametrize("field", ["charge", "potential"])
def test_reserve_check_notices_one_wei_of_a_charge_or_of_u(played, field):
    stage, replay, events = played
    trades = [i for i, h in enumerate(events) if h.event.name == "ExposureChanged" and h.event.args.charge > 0]
    second = max(b for a, b in pairwise(trades) if events[a].block == events[b].block)
    wrong = (
        changed(events[: second + 1], replay.system.inventory, "ExposureChanged", **{field: lambda value: value + 1})
        + events[second + 1 :]
    )
    assert not checks.reserve_is_conserved(stage, replay.system, wrong).holds


def test_reserve_check_notices_one_wei_of_the_ledger(played):
    stage, replay, events = played
    wrong = changed(events, replay.system.clearinghouse, "Settled", reserve=lambda value: value + 1)
    assert not checks.reserve_is_conserved(stage, replay.system, wrong).holds


def test_zero_sum_holds_after_everyone_left_and_notices_a_missing_withdrawal(played):
    stage, replay, _ = played
    replay.wind_down()
    events = checks.history(stage, replay.system)
    check = checks.zero_sum(stage, replay.system, replay, events)
    assert check.holds, check.figure
    paid = max(i for i, h in enumerate(events) if h.event.name == "Withdrawn")
    assert not checks.zero_sum(stage, replay.system, replay, events[:paid] + events[paid + 1 :]).holds
    assert replay.system.vault.call("totalSupply") == 0
    gone = checks.boards_are_gone(stage, replay.system)
    assert gone.holds, gone.figure
    for check in (checks.aggregates_are_sums, checks.reserve_is_conserved, checks.ledger_covers_tokens):
        assert check(stage, replay.system, events).holds
    assert replay.floor.settlements
    paid = changed(events, replay.system.option_engine, "AccountSettled", payoff=lambda value: value + 1)
    assert checks.aggregates_are_sums(stage, replay.system, paid).detail["payables"] == 1
