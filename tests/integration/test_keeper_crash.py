"""A keeper that is killed, again and again, and starts again on its journal: nothing twice, nothing left."""

from itertools import count

import pytest

from ballast.chain.rpc import RpcChain
from ballast.keeper import crash
from ballast.keeper.journal import Journal
from tests.integration.keeper_world import undone

pytestmark = pytest.mark.anvil

KILLS = 200
WRITES = ("begin", "sent", "cancel", "resolve", "reopen", "finalise", "save_book")


@pytest.fixture(scope="module")
def world(anvil_node):
    """The keeper has a hedge to make and an epoch to process."""
    system = crash.build(anvil_node.chain())
    lp = system.chain.accounts[1]
    system.vault.send("requestRedeem", 10**18, lp, lp, sender=lp)
    system.warp(86_400)
    return system


class Died(BaseException):
    """As the process would: nothing after it runs."""


def mortal(monkeypatch, keeper, breaths):
    """The keeper dies before the journal write or request to the node after so many."""
    left = count(breaths, -1)

    def counted(function):
        def breathe(*args, **options):
            if next(left) <= 0:
                raise Died
            return function(*args, **options)

        return breathe

    monkeypatch.setattr(keeper.chain, "_exchange", counted(keeper.chain._exchange))
    for name in WRITES:
        monkeypatch.setattr(keeper.journal, name, counted(getattr(keeper.journal, name)))


def test_death_before_every_write_and_request_of_a_turn_repeats_and_leaves_nothing(world, tmp_path, monkeypatch):
    chain, sender = world.chain, world.chain.accounts[3]
    for breaths in count():
        path = tmp_path / f"{breaths}.sqlite"
        with undone(world):
            first, nonce = chain.number, chain.nonce(sender, "latest")
            with Journal(path) as journal, monkeypatch.context() as patch:
                keeper = crash.keeper_of(world, journal, sender)
                mortal(patch, keeper, breaths)
                try:
                    ended = keeper.step()
                except Died:
                    ended = None
            with Journal(path) as journal:
                keeper = crash.keeper_of(world, journal, sender)
                assert crash.settle(keeper) == []
                assert crash.audit(keeper, first, nonce) == []
                assert {entry.kind for entry in journal.entries() if entry.outcome == "done"} == {
                    "process_epoch",
                    "rebalance",
                }
        if ended is not None:
            break
    assert breaths > 20
    assert [result.ending for result in ended.results] == ["done", "done"]


def test_killed_at_random_moments_repeats_and_leaves_nothing(world, tmp_path):
    assert isinstance(world.chain, RpcChain)
    with undone(world):
        campaign = crash.run(world, tmp_path / "journal.sqlite", KILLS, seed=1)
    assert campaign.wrong == []
    assert campaign.kills == KILLS
    assert campaign.caught.total() > 0  # some died with an attempt under way
    assert campaign.endings["done"] > 0
