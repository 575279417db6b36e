"""What is sent to an explorer is enough to rebuild the deployed code; the explorer here does just that."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from ballast.chain.artifacts import load
from ballast.chain.rpc import RpcChain
from ballast.config import Config
from ballast.deployment.deploy import Deployer, Journal
from ballast.deployment.manifest import Manifest
from ballast.deployment.publish import Explorer, PublishError, form, publish, recompiled, standard_json

pytestmark = pytest.mark.anvil

NO_PAUSES = (0.0,) * 5


class FakeExplorer:
    """Etherscan's two calls: recompiles what it gets, compares with the chain, and is slow and busy at first."""

    def __init__(self, chain: RpcChain, creations: dict[str, bytes]) -> None:
        self.verified: dict[str, str] = {}
        self.asked: list[dict[str, str]] = []
        self._chain = chain
        self._creations = creations
        self._verdicts: dict[str, list[tuple[str, str]]] = {}
        self._busy = 1

    def answer(self, fields: dict[str, str]) -> tuple[str, str]:
        self.asked.append(fields)
        if fields.get("apikey") != "key":
            return "0", "Invalid API Key"
        if self._busy:
            self._busy -= 1
            return "0", "Max calls per sec rate limit reached"
        if fields["action"] == "checkverifystatus":
            return self._verdicts[fields["guid"]].pop(0)
        address = fields["contractaddress"]
        if address in self.verified:
            return "0", "Contract source code already verified"
        creation, runtime = recompiled(json.loads(fields["sourceCode"]))
        same = self._chain.code(address).startswith(runtime)
        same &= self._creations[address] == creation + bytes.fromhex(fields["constructorArguments"])
        if same:
            self.verified[address] = fields["contractname"]
        verdict = ("1", "Pass - Verified") if same else ("0", "Fail - Unable to verify")
        self._verdicts[address] = [("0", "Pending in queue"), verdict]
        return "1", address


@contextmanager
def serving(explorer: FakeExplorer) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            query = parse_qs(urlsplit(self.path).query) | parse_qs(body)
            status, result = explorer.answer({name: values[0] for name, values in query.items()})
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"status": status, "message": "", "result": result}).encode())

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v2/api"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def deployed(anvil_chain: RpcChain, local_config: Config, tmp_path: Path) -> Manifest:
    bare = local_config.without_venues()
    small = bare.changed(markets=[bare.markets[0].model_dump() | {"options": None}], surface=None, steward=None)
    return Deployer(anvil_chain, small, anvil_chain.accounts[0], Journal(tmp_path / "journal.jsonl")).run()


def test_publish_sends_what_rebuilds_the_deployed_code(anvil_chain: RpcChain, deployed: Manifest) -> None:
    creations = {}
    for created in deployed.contracts.values():
        assert created.tx is not None
        sent = anvil_chain.request("eth_getTransactionByHash", created.tx)["input"]
        creations[created.address] = bytes.fromhex(sent[2:])
    explorer, only = FakeExplorer(anvil_chain, creations), ("feed/ETH", "mandates")
    with serving(explorer) as url:
        client, here = Explorer(url, "key", pauses=NO_PAUSES), deployed.deployed(anvil_chain)
        found = publish(deployed, here, client, only)
        assert [(one.key, one.outcome) for one in found] == [(key, "verified") for key in only]
        assert [one.outcome for one in publish(deployed, here, client, only)] == ["already", "already"]
        assert list(explorer.verified.values()) == [
            "contracts/oracle/ChainlinkFeed.vy:ChainlinkFeed", "contracts/hedge/Mandates.vy:Mandates",
        ]  # fmt: skip
        # other arguments are not what was deployed
        fields = form(deployed.plan().contracts["feed/ETH"], here, deployed.chain_id)
        explorer.verified.clear()
        wrong = fields | {"constructorArguments": fields["constructorArguments"][:-2] + "01"}
        assert client.publish("feed/ETH", wrong).outcome == "refused"
        with pytest.raises(PublishError, match="no contract nobody in the manifest of local"):
            publish(deployed, here, client, ("nobody",))
        refused = Explorer(url, "other", pauses=NO_PAUSES).publish("feed/ETH", fields)
        assert (refused.outcome, refused.detail) == ("refused", "Invalid API Key")
        with pytest.raises(PublishError, match="no answer of Etherscan's form"):
            Explorer("http://127.0.0.1:1", "key").publish("feed/ETH", fields)
    assert {fields["chainid"] for fields in explorer.asked} == {"31337"}


def test_standard_json_holds_libraries_under_their_import_names() -> None:
    sources = standard_json(load("Timelock"))["sources"]
    assert "contracts/governance/Timelock.vy" in sources
    assert "snekmate/governance/timelock_controller.vy" in sources
    assert not any(name.startswith("/") for name in sources)
