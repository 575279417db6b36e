"""A private Anvil node for the length of a `with` block."""

from __future__ import annotations

import ctypes
import shutil
import signal
import socket
import subprocess
import sys
import time
from types import TracebackType

import requests

from ballast.chain.artifacts import ROOT
from ballast.chain.revm import GENESIS
from ballast.chain.rpc import RpcChain

TX_GAS_LIMIT = 15_000_000  # given to every test transaction instead of an estimate [gas]
BLOCK_GAS_LIMIT = 300_000_000  # room for twenty such transactions in one block [gas]
_START_TIMEOUT = 20.0  # [s]


class AnvilMissing(RuntimeError):
    """The anvil binary is neither on PATH nor in node_modules."""


class Anvil:
    """`with Anvil() as node: chain = node.chain()`.

    Time stands still between blocks unless `warp` moves it or `block_time` [s] is given, so runs are reproducible.
    With `tracing` the node keeps every opcode for `debug_traceTransaction`, which is slow. It keeps the last `states`
    states in memory and nothing on disk, where every block would leave a megabyte behind.
    Any address may send (impersonation is automatic); it needs a balance to pay for gas. With `fork_url` the node
    starts from the present state of another one, its clock and chain id included, and leaves that one alone.
    """

    def __init__(
        self,
        *,
        chain_id: int = 31_337,
        timestamp: int = GENESIS,
        accounts: int = 10,
        block_time: int | None = None,
        port: int | None = None,
        fork_url: str | None = None,
        tracing: bool = False,
        states: int = 64,
    ) -> None:
        self._chain_id = chain_id
        self._timestamp = timestamp
        self._accounts = accounts
        self._block_time = block_time
        self._port = port
        self._tracing = tracing
        self._states = states
        self._fork_url = fork_url
        self._process: subprocess.Popen[bytes] | None = None
        self._chains: list[RpcChain] = []
        self.url = ""

    def __enter__(self) -> Anvil:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def chain(self, *, estimate_gas: bool = False) -> RpcChain:
        """A connection; with `estimate_gas` it behaves as towards a public node."""
        chain = RpcChain(self.url, gas_limit=None if estimate_gas else TX_GAS_LIMIT)
        self._chains.append(chain)
        return chain

    def start(self) -> None:
        """Start the node; raises AnvilMissing, or RuntimeError when it does not answer."""
        binary = shutil.which("anvil", path=str(ROOT / "node_modules" / ".bin")) or shutil.which("anvil")
        if binary is None:
            raise AnvilMissing("anvil not found: run `make install`")
        for _ in range(5):  # a free port may be taken by another process before anvil binds it
            port = self._port or _free_port()
            self._process = subprocess.Popen(
                self._command(binary, port),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
            self.url = f"http://127.0.0.1:{port}"
            if self._answers():
                if self._block_time is None:
                    self.chain().request("anvil_setBlockTimestampInterval", 0)
                return
            message = self._process.stderr.read().decode(errors="replace") if self._process.stderr else ""
            self.stop()
        raise RuntimeError(f"anvil did not start: {message.strip() or 'no answer'}")

    def stop(self) -> None:
        """Stop the node and close its connections; harmless when it is not running."""
        for chain in self._chains:
            chain.close()
        self._chains.clear()
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stderr:
            process.stderr.close()

    def _command(self, binary: str, port: int) -> list[str]:
        command = [
            binary, "--quiet", "--host", "127.0.0.1", "--port", str(port), "--accounts", str(self._accounts),
            "--hardfork", "cancun", "--order", "fifo", "--auto-impersonate", "--gas-limit", str(BLOCK_GAS_LIMIT),
            "--prune-history", str(self._states),
        ]  # fmt: skip
        if self._fork_url is None:
            command += ["--chain-id", str(self._chain_id), "--timestamp", str(self._timestamp)]
        else:
            command += ["--fork-url", self._fork_url]
        if self._tracing:
            command.append("--steps-tracing")
        return command if self._block_time is None else [*command, "--block-time", str(self._block_time)]

    def _answers(self) -> bool:
        assert self._process is not None
        deadline = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                return False
            try:
                with requests.Session() as session:
                    session.trust_env = False
                    body = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
                    if session.post(self.url, json=body, timeout=2).ok:
                        return self._process.poll() is None
            except requests.ConnectionError:
                time.sleep(0.01)
        self._process.kill()
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _die_with_parent() -> None:
    """Ask Linux to terminate this child when its parent dies, however it dies."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
