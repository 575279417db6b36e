"""A deployment rehearsed on a bad day: a flaky connection, and a deployer that is killed again and again.

The network is Anvil with its chain id, what it has already is stood in for by test contracts. The deployer reaches it
through `FlakyProxy` only, signs with a key, and is killed (SIGKILL) at random moments until it was as often as asked;
then it may end. What is checked after that, past the proxy: every transaction of the deployer succeeded and is one
step's, none is doubled, and the verifier finds nothing.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random

from eth_utils.crypto import keccak

from ballast.chain.anvil import Anvil
from ballast.chain.rpc import RpcChain
from ballast.config import Config
from ballast.deployment import manifest as manifests
from ballast.deployment.deploy import Deployer, Journal, journal_beside
from ballast.deployment.surroundings import build, stand_in
from ballast.deployment.verify import Finding, Verifier
from ballast.plan import Plan
from ballast.testing.flaky import Faults, FlakyProxy

KEY = keccak(text="ballast rehearsal deployer")
PATIENCE = 5.0  # [s] a life waits for one transaction
RESEND = 0.3  # [s] before it sends one again
ANSWER = 2.0  # [s] it waits for an answer
RETRIES = (0.02, 0.1, 0.3, 0.6)  # [s] before it asks again: a day's pauses in seconds
LONGEST = 1.5  # [s] until a life that is to be killed is
MOST_LIVES = 100


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What came of it; `wrong` is empty when all is well."""

    network: str
    seed: int
    kills: int
    gave_up: int  # lives that ended by themselves, with an error that asks to run the command again
    steps: int
    transactions: int
    gas: int
    seconds: float
    checked: int  # findings of the verifier
    verify_seconds: float
    faults: dict[str, int]
    wrong: list[str]


def rehearse(config: Config, folder: Path, *, kills: int, seed: int, faults: Faults | None = None) -> Rehearsal:
    """Deploy `config` on a private node through a flaky connection, killed `kills` times; journals lie in `folder`."""
    random = Random(seed)
    with Anvil(chain_id=config.chain_id) as node:
        chain = node.chain()
        local = build(chain, stand_in(config), chain.accounts[0]).config
        deployer = chain.add_key(KEY)
        chain.set_balance(deployer, 10**20)
        path = folder / f"{config.network}.json"
        for step in Plan(local, deployer).contracts.values():
            _ = step.artifact  # compiled once, for all lives
        begun, killed, gave_up = time.monotonic(), 0, 0
        with FlakyProxy(node.url, faults or Faults(), seed) as proxy:
            for _ in range(MOST_LIVES):
                life = multiprocessing.get_context("fork").Process(target=_live, args=(proxy.url, local, path))
                life.start()
                assert life.pid is not None
                if killed < kills:
                    life.join(random.uniform(0, LONGEST))
                    if life.is_alive():
                        os.kill(life.pid, signal.SIGKILL)
                        killed += 1
                while life.is_alive():
                    life.join(0.2)
                    chain.request("evm_mine")  # time passes: confirmations come
                if life.exitcode == 0:
                    break
                gave_up += life.exitcode == 1
            happened = proxy.happened()
        seconds = time.monotonic() - begun
        wrong = _wrong(chain, deployer, path)
        found, verify_seconds = _verified(chain, path)
        wrong += [f"verify: {finding.section}: {finding.subject}" for finding in found if not finding.ok]
        done = [entry for entry in Journal(journal_beside(path)).entries if entry["kind"] == "done"]
        return Rehearsal(
            config.network, seed, killed, gave_up, len(done), chain.nonce(deployer, "latest"),
            sum(entry["gas"] or 0 for entry in done), seconds, len(found), verify_seconds, happened, wrong,
        )  # fmt: skip


def _live(url: str, config: Config, path: Path) -> None:
    """One life of the deployer, in a process of its own; exit code 1 when it gives up."""
    try:
        chain = RpcChain(url, timeout=ANSWER, retries=RETRIES)
        journal = Journal(journal_beside(path))
        deployer = Deployer(chain, config, chain.add_key(KEY), journal, timeout=PATIENCE, resend=RESEND)
        deployer.run().save(path)
    except Exception:
        with path.with_suffix(".errors").open("a") as file:
            file.write(traceback.format_exc() + "\n")
        os._exit(1)
    os._exit(0)


def _wrong(chain: RpcChain, deployer: str, path: Path) -> list[str]:
    """Transactions of the deployer that failed, were doubled, or belong to no step."""
    if not path.is_file():
        return ["the deployment never ended"]
    journal = Journal(journal_beside(path))
    intents = {entry["nonce"]: entry["step"] for entry in journal.entries if entry["kind"] == "intent"}
    wrong = []
    for nonce in range(chain.nonce(deployer, "latest")):
        found = chain.find(deployer, nonce, 0)
        receipt = chain.request("eth_getTransactionReceipt", found)
        if nonce not in intents:
            wrong.append(f"nonce {nonce}: no step asked for it")
        if int(receipt["status"], 16) != 1:
            wrong.append(f"nonce {nonce}: failed")
    used = [step for nonce, step in intents.items() if nonce < chain.nonce(deployer, "latest")]
    wrong += [f"{step}: {times} transactions" for step, times in Counter(used).items() if times > 1]
    steps = manifests.load(path).plan().steps
    wrong += [f"{step.title}: never done" for step in steps if journal.last("done", step=step.title) is None]
    return wrong


def _verified(chain: RpcChain, path: Path) -> tuple[list[Finding], float]:
    """What a stranger finds, and how long that takes him [s]."""
    if not path.is_file():
        return [], 0.0
    begun = time.monotonic()
    return Verifier(chain, manifests.load(path)).run(), time.monotonic() - begun
