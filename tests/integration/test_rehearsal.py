"""A deployment through a bad connection, killed again and again, ends as if nothing had happened."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ballast.chain.anvil import Anvil
from ballast.chain.rpc import Busy, RpcChain
from ballast.config import Config
from ballast.deployment.deploy import journal_beside
from ballast.deployment.rehearsal import rehearse
from ballast.testing.flaky import Faults, FlakyProxy

pytestmark = pytest.mark.anvil

RARE = dict.fromkeys(("cut_before", "cut_after", "busy", "broken"), 0.01)
HASTY = Faults(latency=0.001, silence=0.2, lost=0.03, late=0.05, delay=0.15, **RARE)


def test_rehearse_killed_through_a_bad_connection_doubles_nothing(local_config: Config, tmp_path: Path) -> None:
    bare = local_config.without_venues()
    market = bare.markets[0].model_dump() | {"options": None}
    small = bare.changed(markets=[market], surface=None, steward=None)
    found = rehearse(small, tmp_path, kills=3, seed=7, faults=HASTY)
    assert found.wrong == []
    assert found.kills == 3
    assert found.transactions <= found.steps
    # it was a bad day: each kind of fault happened, and one at least of the two that only sent transactions meet
    assert {"cut_before", "cut_after", "busy", "broken"} <= set(found.faults)
    assert {"lost", "late"} & set(found.faults)
    entries = [json.loads(line) for line in journal_beside(tmp_path / "local.json").read_text().splitlines()]
    assert sum(entry["kind"] == "done" for entry in entries) == found.steps


def test_request_busy_node_is_asked_again(anvil_node: Anvil) -> None:
    with FlakyProxy(anvil_node.url, Faults(latency=0, busy=0.25, broken=0.25), 1) as proxy:
        chain = RpcChain(anvil_node.url, retries=(0.0,) * 20)
        chain.url = proxy.url
        assert [chain.number for _ in range(20)] == [anvil_node.chain().number] * 20
        assert proxy.happened()["busy"] > 3


def test_request_that_sends_is_asked_once(anvil_node: Anvil) -> None:
    always = Faults(busy=1, cut_before=0, cut_after=0, broken=0, silent=0, lost=0, late=0)
    with FlakyProxy(anvil_node.url, always, 1) as proxy:
        chain = RpcChain(anvil_node.url)
        chain.url = proxy.url
        with pytest.raises(Busy, match="the node is busy"):
            chain.request("eth_sendRawTransaction", "0x")
        assert proxy.happened() == {"requests": 1, "busy": 1}
