"""Kills a keeper at random moments, restarts it on the same journal, and looks whether anything was done twice or left.

    python -m ballast.keeper.crash --kills 2000

The keeper runs in a forked process and dies by SIGKILL, wherever it is. Between two lives the world goes on: trades,
prices, time, blocks that wait, a pool that forgets, blocks that are replaced. At the end `audit` holds the journal
against the chain, transaction by transaction.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NoReturn

import click
from eth_account import Account
from eth_utils.crypto import keccak
from rich.console import Console
from rich.table import Table

from ballast.chain import Reverted, address_of
from ballast.chain.anvil import Anvil
from ballast.chain.rpc import RpcChain
from ballast.keeper.journal import Journal
from ballast.keeper.outbox import FeePolicy
from ballast.keeper.service import Keeper
from ballast.system import Sandbox, deploy_system

KEY = keccak(text="ballast keeper that is killed")
FEES = FeePolicy(patience=0.02, bumps=2)
CONFIRMATIONS = 3
LIFE = 0.1  # [s] the first keeper lives, at most; later ones so that every second lives through a turn
CHANGES = 0.5  # part of deaths after which the world is not as it was
STILLBORN = 0.05  # part of them that die while they start
TURN = b"."
ENOUGH_TURNS = 60  # to come to rest at the end


@dataclass
class Campaign:
    """What happened, and what is wrong; nothing should be."""

    kills: int = 0
    caught: Counter[str] = field(default_factory=Counter)  # kills by outcome of the attempt they interrupted
    events: Counter[str] = field(default_factory=Counter)  # of the world
    endings: Counter[str] = field(default_factory=Counter)  # of attempts
    wrong: list[str] = field(default_factory=list)


def build(chain: RpcChain) -> Sandbox:
    """A vault of 10m that is short 2,000 ETH."""
    system = deploy_system(chain)
    system.deposit(chain.accounts[1], 10_000_000)
    system.add_margin(chain.accounts[2], 3_000_000)
    system.trade(chain.accounts[2], "ETH", 2_000)
    system.warp(60)
    return system


def run(system: Sandbox, journal: Path, kills: int, seed: int) -> Campaign:
    """Kill a keeper so many times, let the last one come to rest, and audit. It signs in some of its lives."""
    chain, sender = system.chain, Account.from_key(KEY).address
    assert isinstance(chain, RpcChain)
    chain.set_balance(sender, 1_000 * 10**18)
    for _ in range(CONFIRMATIONS):  # what a reorganisation does not undo
        chain.request("evm_mine")
    campaign, rng, first = Campaign(), Random(seed), chain.number + 1
    nonce = chain.nonce(sender, "latest")
    longest = LIFE
    for _ in range(kills):
        with _weather(chain, rng, campaign):
            turns = _live_and_die(system, journal, sender, rng, longest, campaign)
        longest *= 0.9 if turns else 1.1
        with Journal(journal) as memory:
            campaign.caught.update(entry.outcome for entry in memory.pending())
        if rng.random() < CHANGES:
            _go_on(system, rng, campaign)
    with Journal(journal) as memory:
        keeper = keeper_of(system, memory, sender)
        campaign.wrong += settle(keeper)
        campaign.wrong += audit(keeper, first, nonce)
        campaign.endings.update(entry.outcome for entry in memory.entries())
    return campaign


def keeper_of(system: Sandbox, journal: Journal, sender: str) -> Keeper:
    """A keeper that does not wait long."""
    return Keeper(system.chain, system, sender, journal=journal, fees=FEES, confirmations=CONFIRMATIONS)


def settle(keeper: Keeper) -> list[str]:
    """Let a keeper run until a turn finds nothing to do; what is still due is wrong."""
    for _ in range(ENOUGH_TURNS):
        step = keeper.step()
        if not step.actions and not keeper.journal.pending():
            break
        time.sleep(FEES.patience)
    else:
        return [f"no rest after {ENOUGH_TURNS} turns: {step.actions} {keeper.journal.pending()}"]
    # as somebody sees it who remembers nothing
    fresh = Keeper(keeper.chain, keeper.actor.system, keeper.actor.sender, policy=keeper.policy)
    return [f"left undone: {action}" for action in fresh.plan(fresh.observe())]


def audit(keeper: Keeper, first: int, nonce: int) -> list[str]:
    """Where journal and chain differ about the sender's transactions since a block and a nonce."""
    chain, sender, entries = keeper.chain, keeper.actor.sender, keeper.journal.entries()
    assert isinstance(chain, RpcChain)
    blocks = chain.request_many(
        [("eth_getBlockByNumber", (hex(number), True)) for number in range(first, chain.number + 1)]
    )
    sent = {
        int(tx["nonce"], 16): tx for block in blocks for tx in block["transactions"] if address_of(tx["from"]) == sender
    }
    wrong = [] if sorted(sent) == list(range(nonce, nonce + len(sent))) else [f"nonces {sorted(sent)}"]
    settled = {entry.tx_hash: entry for entry in entries if entry.outcome in ("done", "failed")}
    for number, tx in sorted(sent.items()):
        receipt = chain.request("eth_getTransactionReceipt", tx["hash"])
        entry = settled.pop(tx["hash"], None)
        if address_of(tx["to"]) == sender and entry is None:
            continue  # a nonce given up
        if entry is None:
            wrong.append(f"nonce {number}: {tx['hash']} is not in the journal")
        elif (entry.nonce, entry.data.hex()) != (number, tx["input"][2:]):
            wrong.append(f"nonce {number}: {tx['hash']} carried out something else than {entry.key}")
        elif (entry.outcome == "done") != (receipt["status"] == "0x1") or entry.block_hash != receipt["blockHash"]:
            wrong.append(f"nonce {number}: {entry.key} {entry.outcome} in {entry.block_hash}, the chain says {receipt}")
    wrong += [f"{entry.key}: {entry.outcome} by {entry.tx_hash}, not in the chain" for entry in settled.values()]
    times = Counter(entry.key for entry in entries if entry.outcome == "done")
    wrong += [f"{key}: carried out {count} times" for key, count in times.items() if count > 1]
    return wrong


def _live_and_die(system: Sandbox, journal: Path, sender: str, rng: Random, longest: float, campaign: Campaign) -> int:
    """One life of a keeper, in a process of its own; how many turns it has lived through."""
    signs = rng.random() < 0.5  # else the node does, and the hash is not known before
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(told)
        _live(system, journal, sender, tell, signs=signs)
    os.close(tell)
    with os.fdopen(told, "rb", buffering=0) as last_words:
        if rng.random() >= STILLBORN:
            last_words.read(1)  # it has started
        time.sleep(rng.uniform(0.0, longest))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        words = last_words.read()
    if error := words.lstrip(TURN):
        campaign.wrong.append(error.decode())
    campaign.kills += 1
    return len(words) - len(error)


def _live(system: Sandbox, path: Path, sender: str, tell: int, *, signs: bool) -> NoReturn:
    """Turn after turn, until killed; an error is told to the parent."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        chain = system.chain
        assert isinstance(chain, RpcChain)
        chain.reconnect()
        if signs:
            chain.add_key(KEY)
        with Journal(path) as journal:
            keeper = keeper_of(system, journal, sender)
            while True:
                os.write(tell, TURN)
                keeper.step()
    except BaseException:
        os.write(tell, traceback.format_exc().encode())
    finally:
        os._exit(1)


@contextlib.contextmanager
def _weather(chain: RpcChain, rng: Random, campaign: Campaign) -> Iterator[None]:
    """Sometimes blocks wait while a keeper lives, and sometimes the pool has forgotten when they come."""
    waits = rng.random() < 0.3
    if waits:
        campaign.events["blocks wait"] += 1
        chain.request("evm_setAutomine", False)
    yield
    if waits:
        if rng.random() < 0.3:
            campaign.events["the pool forgets"] += 1
            chain.request("anvil_dropAllTransactions")
        chain.request("evm_setAutomine", True)
    chain.request("evm_mine")


def _go_on(system: Sandbox, rng: Random, campaign: Campaign) -> None:
    """What others do meanwhile."""
    chain = system.chain
    assert isinstance(chain, RpcChain)
    event = rng.choice(["trade", "trade", "redemption", "redemption", "price", "reorganisation"])
    campaign.events[event] += 1
    if event == "reorganisation":
        chain.request("anvil_reorg", rng.randrange(1, CONFIRMATIONS), [])
        return
    if event == "redemption":
        lp = chain.accounts[1]
        system.vault.send("requestRedeem", 10**18, lp, lp, sender=lp)
        system.warp(86_400)
        return
    market, price, most = rng.choice([("ETH", 2_000, 4_000), ("BTC", 40_000, 200)])
    system.warp(rng.randrange(60, 1_200))
    if event == "trade":  # to another position, on either side
        held = system.perp_engine.call("position", chain.accounts[2], system.market(market).id).size
        try:
            system.trade(chain.accounts[2], market, f"{rng.uniform(-most, most) - held / 1e18:.3f}")
        except Reverted:
            campaign.events["refused trade"] += 1
    else:
        system.push(market, f"{price * rng.uniform(0.99, 1.01):.2f}")
    system.arbitrage(market)


@click.command()
@click.option("--kills", default=2_000, show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(kills: int, seed: int) -> None:
    """Kill a keeper many times on a private chain; exit code 1 when anything was done twice or left."""
    console = Console()
    with Anvil() as node, tempfile.TemporaryDirectory() as folder:
        system = build(node.chain())
        started = time.monotonic()
        campaign = run(system, Path(folder) / "journal.sqlite", kills, seed)
    table = Table(
        title=f"{campaign.kills:,} kills in {time.monotonic() - started:.0f} s", box=None, title_justify="left"
    )
    table.add_column("")
    table.add_column("times", justify="right")
    for what, counts in (("killed while", campaign.caught), ("world:", campaign.events), ("ended", campaign.endings)):
        for name, count in sorted(counts.items()):
            table.add_row(f"{what} {name}", f"{count:,}")
    console.print(table)
    for line in campaign.wrong:
        console.print(line, style="red", markup=False)
    sys.exit(1 if campaign.wrong else 0)


if __name__ == "__main__":
    main()
