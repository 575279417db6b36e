"""A bad connection to a good node: what public endpoints do on a bad day, repeatable by seed.

`with FlakyProxy(node.url, Faults(), seed=7) as proxy: RpcChain(proxy.url)`. Every request may be slow, be cut off
before it reaches the node or before its answer comes back, be answered 429 or 502, or not at all for a while, or by a
node that is a block behind. A signed transaction may be accepted and forgotten, as when a pool evicts it, or handed on
late.
"""

from __future__ import annotations

import json
import multiprocessing
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.context import ForkProcess
from random import Random
from types import TracebackType
from typing import Any

import requests
from eth_utils.crypto import keccak

SEND = "eth_sendRawTransaction"


@dataclass(frozen=True, slots=True)
class Faults:
    """Probabilities per request, two of them per signed transaction, one per question; times in seconds."""

    latency: float = 0.003  # mean, of an exponential wait
    cut_before: float = 0.02  # the node never hears of it
    cut_after: float = 0.02  # the node did it, nobody hears of that
    busy: float = 0.02  # 429
    broken: float = 0.02  # 502
    silent: float = 0.002  # no answer for `silence`; the node never hears of it
    silence: float = 1.0
    stale: float = 0.02  # a question about "latest" goes to a node that is a block behind
    lost: float = 0.1  # accepted, never handed on
    late: float = 0.1  # accepted, handed on after `delay`
    delay: float = 0.3


@dataclass(slots=True)
class FlakyProxy:
    """The proxy, in a process of its own, so that a fork of the caller inherits no thread."""

    target: str
    faults: Faults
    seed: int
    url: str = ""
    _process: ForkProcess | None = field(default=None, init=False)

    def __enter__(self) -> FlakyProxy:
        server = _Server(self.target, self.faults, Random(self.seed))
        self.url = f"http://127.0.0.1:{server.server_port}"
        self._process = multiprocessing.get_context("fork").Process(target=server.serve_forever, daemon=True)
        self._process.start()
        server.socket.close()  # the child has it
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()

    def happened(self) -> dict[str, int]:
        """How often each fault, and how many requests, so far."""
        with requests.Session() as session:
            session.trust_env = False
            found: dict[str, int] = session.get(self.url, timeout=10).json()
        return found


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, target: str, faults: Faults, random: Random) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = target
        self.faults = faults
        self.happened: dict[str, int] = {}
        self._random = random
        self._lock = threading.Lock()
        self._local = threading.local()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients are killed: their broken pipes are no news."""

    def draw(self, sends: bool, asks: bool) -> tuple[float, str]:
        """(how long to wait [s], what goes wrong) for one request."""
        faults = self.faults
        kinds = {"cut_before": faults.cut_before, "cut_after": faults.cut_after, "busy": faults.busy}
        kinds |= {"broken": faults.broken, "silent": faults.silent}
        if sends:
            kinds |= {"lost": faults.lost, "late": faults.late}
        if asks:
            kinds |= {"stale": faults.stale}
        with self._lock:
            wait = self._random.expovariate(1 / faults.latency) if faults.latency else 0.0
            fault = self._random.choices([*kinds, "none"], [*kinds.values(), 1 - sum(kinds.values())])[0]
            self.happened["requests"] = self.happened.get("requests", 0) + 1
            if fault != "none":
                self.happened[fault] = self.happened.get(fault, 0) + 1
        return wait, fault

    def ask(self, body: bytes) -> bytes:
        """The node's own answer."""
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._local.session.trust_env = False
        answer: bytes = self._local.session.post(
            self.target, data=body, headers={"Content-Type": "application/json"}, timeout=60
        ).content
        return answer

    def height(self) -> int:
        """Number of the node's newest block."""
        body = json.dumps({"jsonrpc": "2.0", "id": 0, "method": "eth_blockNumber", "params": []}).encode()
        return int(json.loads(self.ask(body))["result"], 16)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: two wait 40 ms for each other
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self._answer(json.dumps(self.server.happened).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        call = json.loads(body)
        single = isinstance(call, dict)
        sends, asks = single and call["method"] == SEND, single and "latest" in call["params"]
        wait, fault = self.server.draw(sends, asks)
        time.sleep(wait)
        if fault in ("busy", "broken"):
            self._answer(b"no time", 429 if fault == "busy" else 502)
            return
        if fault in ("lost", "late"):
            raw = call["params"][0]
            if fault == "late":
                threading.Timer(self.server.faults.delay, self.server.ask, [body]).start()
            tx_hash = "0x" + keccak(bytes.fromhex(raw[2:])).hex()
            self._answer(json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": tx_hash}).encode())
            return
        if fault == "stale":
            behind = max(0, self.server.height() - 1)
            call["params"] = [hex(behind) if part == "latest" else part for part in call["params"]]
            body = json.dumps(call).encode()
        if fault == "silent":
            time.sleep(self.server.faults.silence)
        answer = b"" if fault in ("cut_before", "silent") else self.server.ask(body)
        if fault in ("cut_before", "cut_after", "silent"):
            self.close_connection = True
            return
        self._answer(answer)

    def _answer(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
