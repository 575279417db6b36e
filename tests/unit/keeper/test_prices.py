"""The keeper brings signed prices of Pyth, and proofs of what settles, from a folder or a server on this machine."""

from __future__ import annotations

import json
import threading
import time
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pytest

from ballast import boards
from ballast import config as configuration
from ballast.chain import RevmChain
from ballast.keeper import Keeper, Policy
from ballast.keeper import hermes as hermes_module
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


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("huge", "more than"),
        ("slow", "not all there"),
        ("deep", "recursion"),
        ("elsewhere", "not an answer|Expecting value"),
    ],
)
def test_hermes_that_answers_too_much_too_slowly_or_elsewhere_is_left(
    monkeypatch: pytest.MonkeyPatch, kind: str, reason: str
) -> None:
    monkeypatch.setattr(hermes_module, "TIMEOUT", 0.3)

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if kind == "elsewhere":
                self.send_response(302)
                self.send_header("Location", "http://127.0.0.1:1/")
                self.end_headers()
                return
            self.send_response(200)
            self.end_headers()
            try:
                for _ in range(64):
                    self.wfile.write({"huge": b" " * (1 << 16), "deep": b"[" * 4_000, "slow": b" "}[kind])
                    if kind == "slow":
                        time.sleep(0.05)
            except OSError:
                pass

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        began = time.monotonic()
        with pytest.raises(NoUpdate, match=reason):
            Hermes(f"http://127.0.0.1:{server.server_port}").latest(ID)
        assert time.monotonic() - began < 2
        server.shutdown()


def test_keeper_pays_no_fee_beyond_its_own_limit(system: Sandbox, tmp_path: Path) -> None:
    """The source decides how many prices a message has, and Pyth charges for each."""
    feed = system.markets[0].feed
    system.chain.warp(60)
    said = document(system, 2_010, system.chain.now, system.chain.now - 1)
    (tmp_path / "latest.json").write_text(json.dumps(said))
    fee = feed.call("update_fee", [bytes.fromhex(part) for part in said["binary"]["data"]])  # type: ignore[index]
    assert fee > 0
    for limit, brought in ((fee - 1, False), (fee, True)):
        policy = Policy(price_lag=30, price_fee=limit)
        keeper = Keeper(system.chain, system, system.chain.accounts[3], policy=policy, prices=Files(tmp_path))
        assert any(action.kind == "bring_price" for action in keeper.plan(keeper.observe())) is brought


def test_keeper_does_not_pay_again_and_again_for_a_price_that_is_not_newer(system: Sandbox, tmp_path: Path) -> None:
    """A source that says its old message is of now."""
    chain = system.chain
    old = document(system, 2_010, system.markets[0].feed.latest().round_id, 0)
    keeper = Keeper(chain, system, chain.accounts[3], policy=Policy(price_lag=30), prices=Files(tmp_path))
    chain.warp(60)
    old["parsed"] = [{"id": ID[2:], "price": {"price": "1", "publish_time": chain.now}}]
    (tmp_path / "latest.json").write_text(json.dumps(old))
    (result,) = [each for each in keeper.step().results if each.action.kind == "bring_price"]
    assert result.ending != "done"
