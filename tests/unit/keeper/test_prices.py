"""The keeper brings signed prices of Pyth, and proofs of what settles, from a folder or a server on this machine."""

from __future__ import annotations

import json
import threading
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pytest

from ballast import boards
from ballast import config as configuration
from ballast.chain import RevmChain
from ballast.keeper import Keeper, Policy
from ballast.keeper.hermes import Files, Hermes, NoUpdate, source_of
from ballast.system import Sandbox, deploy_system

ID = "0xff61491a931112ddf1bd8147cd1b641375f79f5825126d665480874634fd0ace"
TEST = {"price": 2_000, "decimals": 8}


@pytest.fixture(scope="module")
def system() -> Sandbox:
    config = configuration.load("local").without_venues().only_market("ETH")
    market = config.markets[0].model_dump() | {
        "feed": {"kind": "pyth", "id": ID, "test": TEST},
        "second": {"feed": {"test": TEST}, "band": Decimal("0.01"), "lone": Decimal("0.002")},
    }
    sandbox = deploy_system(RevmChain(keep_logs=True), config.changed(markets=[market]))
    sandbox.deposit(sandbox.chain.accounts[1], 1_000_000)
    return sandbox


def document(system: Sandbox, price: int, published_at: int, before: int) -> dict[str, object]:
    """What Hermes would say."""
    assert system.pyth is not None
    data = system.pyth.message(bytes.fromhex(ID[2:]), price * 10**8, 0, -8, published_at, before)
    parsed = [{"id": ID[2:], "price": {"price": str(price * 10**8), "publish_time": published_at}}]
    return {"binary": {"encoding": "hex", "data": [data.hex()]}, "parsed": parsed}


def test_keeper_brings_a_price_that_lags_and_no_other(system: Sandbox, tmp_path: Path) -> None:
    chain, feed = system.chain, system.markets[0].feed
    keeper = Keeper(chain, system, chain.accounts[3], policy=Policy(price_lag=30), prices=Files(tmp_path))
    assert keeper.observe().signed == ()  # no such file: it does what it can without
    known = feed.latest().round_id
    for lag, brought in ((29, False), (30, True)):
        chain.warp(lag)
        published_at = known + lag
        (tmp_path / "latest.json").write_text(json.dumps(document(system, 2_010, published_at, published_at - 1)))
        kinds = [result.action.kind for result in keeper.step().results if result.ending == "done"]
        assert ("bring_price" in kinds) is brought
        assert (feed.latest().round_id == published_at) is brought
    assert feed.latest().price == 2_010 * 10**18
    assert all(action.kind != "bring_price" for action in keeper.step().actions)


def test_keeper_proves_what_settles_a_board(system: Sandbox, tmp_path: Path) -> None:
    chain = system.chain
    boards.roll(system)
    expiry = min(system.option_book.call("expiries", 0))
    system.warp(expiry + 5 - chain.now)
    keeper = Keeper(chain, system, chain.accounts[3], prices=Files(tmp_path))
    assert all(action.kind != "settle" for action in keeper.step().actions)
    (tmp_path / f"{expiry}.json").write_text(json.dumps(document(system, 2_025, expiry, expiry - 1)))
    done = [step.action.kind for _ in range(2) for step in keeper.step().results if step.ending == "done"]
    assert "bring_price" in done
    assert "settle" in done
    assert system.oracle.call("price_at", 0, expiry, 0) == 2_025 * 10**18


def test_hermes_asks_for_the_price_and_says_what_is_wrong(system: Sandbox) -> None:
    asked: list[tuple[str, dict[str, list[str]]]] = []
    answer = document(system, 2_000, 1_700_000_000, 1_699_999_999)

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlparse(self.path)
            asked.append((url.path, parse_qs(url.query)))
            body = json.dumps(answer).encode() if url.path.endswith("latest") else b"{}"
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        hermes = source_of(f"http://127.0.0.1:{server.server_port}/")
        assert isinstance(hermes, Hermes)
        update = hermes.latest(ID)
        assert update.published_at == 1_700_000_000
        assert update.data == ("0x" + answer["binary"]["data"][0],)  # type: ignore[index]
        with pytest.raises(NoUpdate, match="not an answer of Hermes"):
            hermes.at(ID, 5)
        server.shutdown()
    query = {"ids[]": [ID], "encoding": ["hex"]}
    assert asked == [("/v2/updates/price/latest", query), ("/v2/updates/price/5", query)]
    with pytest.raises(NoUpdate):
        hermes.latest(ID)
