"""Deploys Ballast to a network so that a crash at any moment costs nothing but time.

Every step is written down before it is sent and after it is included. A run that finds a journal goes on where that
ended, and believes the chain, not the journal: a contract is there if its code is, a setting is made if its view says
so. What was sent and not seen to be included is pinned by its nonce, so nothing can happen twice. Before the deployer
gives its powers up, every view and role is read back; what is then left is the manifest, `deployments/<network>.json`.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from eth_utils.crypto import keccak

from ballast.chain import Receipt, Reverted, Tx, address_of
from ballast.chain.anvil import Anvil
from ballast.chain.artifacts import ROOT
from ballast.chain.rpc import NO_ANSWER, NotIncluded, RpcChain, RpcError
from ballast.config import Config, Governance
from ballast.deployment.manifest import Manifest, Sent, created, described
from ballast.deployment.surroundings import build, stand_in
from ballast.model.roles import Role
from ballast.plan import GOVERNED, Deploy, Deployed, Plan, Read, Renounce, Step

Stage = Literal["skipped", "sending", "sent", "done"]
Entry = dict[str, Any]

POLL = 0.5  # [s] between looks at a transaction that may be pending
RESEND = 30.0  # [s] after which a transaction that is in no block is sent again: nodes forget


class DeployError(RuntimeError):
    """The deployment cannot go on; the message says what to do."""


class Forgotten(DeployError):
    """The node knows nothing of what the journal says."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What `Deployer` tells whoever watches it."""

    number: int  # from 1
    total: int
    title: str
    stage: Stage
    gas: int | None = None


class Journal:
    """An append-only file of JSON lines, forced to disk one by one; a torn last line counts as never written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[Entry] = []
        if path.is_file():
            whole = path.read_bytes()
            intact = whole[: whole.rfind(b"\n") + 1]
            if intact != whole:
                with path.open("r+b") as file:
                    file.truncate(len(intact))
            self.entries = [json.loads(line) for line in intact.splitlines()]

    def write(self, **entry: Any) -> None:
        """Append an entry; it is on disk when this returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.entries.append(entry)

    def last(self, *kinds: str, step: str | None = None) -> Entry | None:
        """The newest entry of these kinds, of one step if given."""
        for entry in reversed(self.entries):
            if entry["kind"] in kinds and step in (None, entry.get("step")):
                return entry
        return None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second deployer out; raises DeployError when there is one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DeployError(f"another deployment is writing {self.path}: wait for it to end") from None
            yield


def journal_beside(manifest: Path) -> Path:
    """Where the journal of a manifest lies."""
    return manifest.with_suffix(".journal.jsonl")


class Deployer:
    """One deployment, begun or resumed. `fees`: (max fee, priority fee) [wei per gas], else the node's suggestion.

    A transaction that is in no block after `resend` [s] is sent again, with the same nonce; after `timeout` [s] the
    run ends.
    """

    def __init__(
        self,
        chain: RpcChain,
        config: Config,
        setup: str,
        journal: Journal,
        *,
        watch: Callable[[Progress], None] = lambda _: None,
        fees: tuple[int, int] | None = None,
        timeout: float = 600.0,
        resend: float = RESEND,
    ) -> None:
        self.chain = chain
        self.config = config
        self.setup = address_of(setup)
        self.journal = journal
        self.sent = 0  # transactions of this run, surroundings aside
        self._watch = watch
        self._fees = fees
        self._timeout = timeout
        self._resend = resend

    def run(self) -> Manifest:
        """Do what is left to do; raises DeployError, Reverted, NotIncluded."""
        with self.journal.locked():
            self._check_network()
            self._begin()
            plan = Plan(self._resolved(), self.setup)
            deployed = plan.start(self.chain)
            for number, step in enumerate(plan.steps, 1):
                if isinstance(step, Renounce) and not self._renounced(plan, deployed):
                    self._check(plan, deployed, before_renouncing=True)
                self._step(plan, deployed, step, number)
            self._confirm()
            self._check(plan, deployed, before_renouncing=False)
            return self._manifest(plan, deployed)

    # ---- the start

    def _check_network(self) -> None:
        config = self.config
        if self.chain.chain_id != config.chain_id:
            raise DeployError(
                f"{config.network} is chain {config.chain_id} and this node is on {self.chain.chain_id}: "
                "check --network or --rpc"
            )
        governor = config.governor.council if isinstance(config.governor, Governance) else config.governor
        if self.setup in (governor, config.guardian):
            raise DeployError(
                f"the deployer {self.setup} keeps nothing, so it cannot be governor, council or guardian: "
                "use another account"
            )
        given = [("quote", config.quote.address)]
        if config.uniswap is not None:
            given.append(("uniswap.router", config.uniswap.router))
        if config.aave is not None:
            given.append(("aave.pool", config.aave.pool))
        given += [(f"{market.name}.base", market.base.address) for market in config.markets if market.base]
        given += [(f"{market.name}.feed", feed.address) for market in config.markets for feed in market.feeds]
        for name, address in given:
            if address is not None and not self.chain.code(address):
                raise DeployError(f"{config.network}: {name} {address} is not a contract on chain {config.chain_id}")

        self._check_pools()

    def _check_pools(self) -> None:
        """Half-way through is too late to learn that a venue has no pool."""
        config = self.config
        if config.uniswap is None or config.uniswap.router is None or config.quote.address is None:
            return  # a test network's are made for it
        factory = address_of(self._ask(config.uniswap.router, "factory()", b"")[-20:])
        for market in config.markets:
            if market.base is None or market.base.address is None:
                continue
            pair = b"".join(
                bytes(12) + bytes.fromhex(token[2:]) for token in (market.base.address, config.quote.address)
            )
            for fee in sorted({fee for venue in market.venues for fee in venue.fees}):
                if not any(self._ask(factory, "getPool(address,address,uint24)", pair + fee.to_bytes(32, "big"))):
                    raise DeployError(
                        f"{config.network}: Uniswap has no pool of {market.name} and quote at fee {fee}: create it, or "
                        "leave the tier out"
                    )

    def _ask(self, target: str, signature: str, arguments: bytes) -> bytes:
        try:
            return self.chain.read(Tx(target, keccak(text=signature)[:4] + arguments, self.setup))
        except Reverted:
            raise DeployError(f"{self.config.network}: {target} does not answer {signature}") from None

    def _begin(self) -> None:
        digest = _digest(self.config)
        start = self.journal.last("start")
        if start is None:
            if self.chain.balance(self.setup) == 0:
                raise DeployError(f"the deployer {self.setup} has no ETH on chain {self.chain.chain_id}: fund it")
            self.journal.write(
                kind="start", network=self.config.network, chain_id=self.chain.chain_id, setup=self.setup,
                digest=digest, block=self.chain.number,
            )  # fmt: skip
        elif start["setup"] != self.setup:
            raise DeployError(f"{self.journal.path} was begun by {start['setup']}: resume with that account")
        elif start["digest"] != digest:
            raise DeployError(
                f"networks/{self.config.network}.yaml has changed since {self.journal.path} was begun. To resume, undo "
                "the change; once deployed, parameters are the governor's. To deploy anew, move the journal away"
            )

    def _resolved(self) -> Config:
        """The config with an address for everything, test networks' surroundings deployed."""
        if self.config.is_resolved:
            return self.config
        around = self.journal.last("surroundings")
        if around is None:
            built = build(self.chain, self.config, self.setup)
            self.journal.write(kind="surroundings", config=built.config.model_dump(mode="json"))
            return built.config
        config = Config.model_validate(around["config"])
        if not self.chain.code(config.quote.address):
            raise Forgotten(
                f"the node has forgotten what {self.journal.path} says, so it was restarted: run again with --fresh"
            )
        return config

    # ---- one step

    def _step(self, plan: Plan, deployed: Deployed, step: Step, number: int) -> None:
        def tell(stage: Stage, gas: int | None = None) -> None:
            self._watch(Progress(number, len(plan.steps), step.title, stage, gas))

        if self._is_done(plan, deployed, step):
            newest = self.journal.last("intent", "done", step=step.title)
            if newest is None or newest["kind"] == "intent":
                self._note_found(deployed, step, self._unfinished(step))
            tell("skipped")
            return
        begun, nonce = self.journal.last("intent", step=step.title), self._unfinished(step)
        tx = step.tx(deployed, plan, self.setup)
        if nonce is None and begun is not None and self._was_included(begun, tx):
            self._await_effect(plan, deployed, step, begun["nonce"])
            self._step(plan, deployed, step, number)
            return
        if nonce is None:
            nonce = self.chain.nonce(self.setup)
            self.journal.write(kind="intent", step=step.title, nonce=nonce, block=self.chain.number)
        tell("sending")
        tx = replace(tx, nonce=nonce)
        if self._fees is not None:
            tx = replace(tx, max_fee=self._fees[0], priority_fee=self._fees[1])
        receipt = self._send(tx, step, tell)
        if receipt is None:  # an attempt whose hash is not known has used the nonce
            self._step(plan, deployed, step, number)
            return
        if receipt.error is not None:
            raise DeployError(f"{step.title}: {receipt.tx_hash} failed: {receipt.error}")
        address = receipt.contract_address
        self._note_done(deployed, step, receipt.tx_hash, receipt.block_number, receipt.gas_used, address)
        tell("done", receipt.gas_used)

    def _send(self, tx: Tx, step: Step, tell: Callable[[Stage], None]) -> Receipt | None:
        """Send until the nonce is used, which can be only once; None when it is not known by which transaction."""
        assert tx.nonce is not None
        deadline = time.monotonic() + self._timeout
        known: str | None = None
        while True:
            tx_hash = self._submit(tx)
            if tx_hash is not None and tx_hash != known:
                known = tx_hash
                self.journal.write(kind="sent", step=step.title, hash=tx_hash)
                self.sent += 1
                tell("sent")
            until = min(deadline, time.monotonic() + self._resend)
            if known is not None:
                try:
                    return self.chain.wait(known, tx, until - time.monotonic())
                except NotIncluded:
                    pass
            while not (used := self.chain.nonce(self.setup, "latest") > tx.nonce) and time.monotonic() < until:
                time.sleep(min(POLL, self._resend / 10))
            if used:
                return None
            if time.monotonic() >= deadline:
                what = known or f"a transaction with nonce {tx.nonce}"
                raise DeployError(
                    f"{step.title}: {what} found no place in a block within {self._timeout:.0f} s. Run the same "
                    "command again to go on; --max-fee offers more"
                )

    def _was_included(self, intent: Entry, tx: Tx) -> bool:
        """Whether the intent's nonce, which is used, went to this very transaction and that succeeded.

        A node that lags behind itself may know the nonce as used and not yet what it was used for.
        """
        deadline = time.monotonic() + self._resend
        while (found := self.chain.find(self.setup, intent["nonce"], intent["block"])) is None:
            if time.monotonic() > deadline:
                raise DeployError(
                    f"{intent['step']}: nonce {intent['nonce']} is used, and the node cannot say for what. "
                    "Run the same command again, or ask another node"
                )
            time.sleep(POLL)
        sent, receipt = self.chain.request_many(
            [("eth_getTransactionByHash", [found]), ("eth_getTransactionReceipt", [found])]
        )
        to = address_of(sent["to"]) if sent["to"] else None
        return (to, sent["input"]) == (tx.to, "0x" + tx.data.hex()) and int(receipt["status"], 16) == 1

    def _await_effect(self, plan: Plan, deployed: Deployed, step: Step, nonce: int) -> None:
        """Wait until the node shows what an included transaction did; sending it again would do it twice."""
        deadline = time.monotonic() + self._timeout
        while not self._is_done(plan, deployed, step):
            if time.monotonic() > deadline:
                raise DeployError(f"{step.title}: the transaction with nonce {nonce} is included, without effect")
            time.sleep(POLL)

    def _unfinished(self, step: Step) -> int | None:
        """The nonce that is still free for this step, if it was begun; a used one has settled the matter."""
        intent = self.journal.last("intent", step=step.title)
        if intent is None or intent["nonce"] < self.chain.nonce(self.setup, "latest"):
            return None
        return int(intent["nonce"])

    def _is_done(self, plan: Plan, deployed: Deployed, step: Step) -> bool:
        """What the chain says."""
        if not isinstance(step, Deploy):
            return step.done(deployed, plan)
        address = self._address_of(step)
        if address is None or not _is_code_of(step, self.chain.code(address)):
            return False
        deployed.addresses[step.key] = address
        return True

    def _address_of(self, step: Deploy) -> str | None:
        """Where the journal says that the contract is, or would be if its creation got through."""
        newest = self.journal.last("intent", "done", step=step.title)
        if newest is None:
            return None
        return str(newest["address"]) if newest["kind"] == "done" else create_address(self.setup, newest["nonce"])

    def _submit(self, tx: Tx) -> str | None:
        """The hash; None when an attempt with this nonce is pending or included, or when nobody answered.

        Sending again is harmless: of all attempts with one nonce one is included.
        """
        try:
            return self.chain.submit(tx)
        except NO_ANSWER:
            return None
        except Reverted:
            if tx.nonce is not None and self.chain.nonce(self.setup, "latest") > tx.nonce:
                return None  # it was included between two looks, and cannot be done twice
            raise
        except RpcError as error:
            known = ("already known", "already imported", "underpriced", "nonce too low", "already exists")
            if any(text in error.message.lower() for text in known):
                return None
            if "insufficient funds" in error.message.lower():
                raise DeployError(
                    f"the deployer {self.setup} is out of ETH: fund it and run the same command"
                ) from None
            raise

    def _note_found(self, deployed: Deployed, step: Step, nonce: int | None) -> None:
        """A step that was done without our seeing it; its transaction is looked up by nonce, where the node can."""
        intent = self.journal.last("intent", step=step.title)
        found = None
        if intent is not None and nonce is None:
            found = self.chain.find(self.setup, intent["nonce"], intent["block"])
        address = deployed.addresses[step.key] if isinstance(step, Deploy) else None
        if found is None:
            self._note_done(deployed, step, None, None, None, address)
            return
        receipt = self.chain.request("eth_getTransactionReceipt", found)
        self._note_done(
            deployed, step, found, int(receipt["blockNumber"], 16), int(receipt["gasUsed"], 16), address
        )  # fmt: skip

    def _note_done(
        self,
        deployed: Deployed,
        step: Step,
        tx_hash: str | None,
        block: int | None,
        gas: int | None,
        address: str | None,
    ) -> None:
        if isinstance(step, Deploy):
            assert address is not None
            deployed.addresses[step.key] = address
        self.journal.write(kind="done", step=step.title, hash=tx_hash, block=block, gas=gas, address=address)

    # ---- the end

    def _renounced(self, plan: Plan, deployed: Deployed) -> bool:
        """Whether renouncing has begun: what is checked before it was checked then."""
        return any(Renounce(key).done(deployed, plan) for key in GOVERNED)

    def _check(self, plan: Plan, deployed: Deployed, *, before_renouncing: bool) -> None:
        """Read everything back; raises DeployError with one line per difference."""
        wrong = [line for read in plan.reads() if (line := _difference(read, deployed, plan))]
        for key, holders in plan.roles(deployed).items():
            contract = deployed.contract(key, plan.artifact(key))
            if before_renouncing:
                holders = holders | {self.setup: holders.get(self.setup, Role(0)) | Role.SETUP}
            for holder, role in holders.items():
                actual = Role(contract.call("roles_of", holder))
                if actual != role:
                    wrong.append(f"{key}.roles_of({holder}) is {actual!r}, not {role!r}")
        if wrong:
            raise DeployError("\n  ".join(["the chain does not say what was asked for:", *wrong]))

    def _confirm(self) -> None:
        """Wait until the last transaction is as deep as the config asks."""
        done = [entry["block"] for entry in self.journal.entries if entry["kind"] == "done" and entry["block"]]
        depth = max(done, default=0) + self.config.confirmations
        while self.chain.number < depth:
            time.sleep(POLL)

    def _manifest(self, plan: Plan, deployed: Deployed) -> Manifest:
        contracts, sent, blocks = {}, [], []
        for step in plan.steps:
            done = self.journal.last("done", step=step.title) or {}
            tx = {"tx": done.get("hash"), "block": done.get("block"), "gas": done.get("gas")}
            blocks += [tx["block"]] if tx["block"] else []
            if isinstance(step, Deploy):
                contracts[step.key] = created(step, deployed, **tx)
            else:
                sent.append(Sent(step=step.title, **tx))
        last = max(blocks, default=0)
        return Manifest(
            network=self.config.network,
            chain_id=self.chain.chain_id,
            deployer=self.setup,
            first_block=min(blocks, default=0),
            last_block=last,
            timestamp=self.chain.timestamp_of(last),
            source=_source(),
            contracts=contracts,
            transactions=sent,
            **described(plan, deployed),
        )


# ---- what it will cost


@dataclass(frozen=True, slots=True)
class Cost:
    """One transaction of an estimate."""

    title: str
    gas: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """A whole deployment, tried on a node of our own."""

    costs: list[Cost]
    skipped: int  # steps that are done already
    fee: int  # [wei per gas] base fee and tip now
    max_fee: int  # [wei per gas] what transactions will offer at most
    balance: int  # [wei] of the deployer
    forked: bool  # on a copy of the network; else on an empty chain, with test contracts for what the network has

    @property
    def gas(self) -> int:
        return sum(cost.gas for cost in self.costs)


def estimate(chain: RpcChain, config: Config, setup: str, journal: Path) -> Estimate:
    """Run what is left of a deployment on an Anvil fork of the node; nothing is sent to the node itself."""
    with Anvil(fork_url=chain.url) as node, TemporaryDirectory() as folder:
        copy = Path(folder) / "journal.jsonl"
        if journal.is_file():
            copy.write_bytes(journal.read_bytes())
        fork = node.chain()
        quick = config.changed(confirmations=0)
        if (start := Journal(copy).last("start")) is not None and start["digest"] == _digest(config):
            copy.write_text(copy.read_text().replace(start["digest"], _digest(quick)))
        return _tried(chain, fork, quick, setup, copy, forked=True)


def estimate_without_fork(chain: RpcChain, config: Config, setup: str) -> Estimate:
    """Run a whole deployment on an empty Anvil, with test contracts instead of what the network has.

    For nodes that cannot be forked. Addresses have other zero bytes there and feeds another history: within 2 % of what
    it will be. What a rollup charges for its data is not gas and not in it.
    """
    with Anvil(chain_id=config.chain_id) as node, TemporaryDirectory() as folder:
        alone = node.chain()
        alone.set_balance(setup, 10**24)
        around = build(alone, stand_in(config.changed(confirmations=0)), alone.accounts[0])
        return _tried(chain, alone, around.config, setup, Path(folder) / "journal.jsonl", forked=False)


def _tried(chain: RpcChain, copy: RpcChain, config: Config, setup: str, journal: Path, *, forked: bool) -> Estimate:
    costs: list[Cost] = []
    skipped = 0

    def watch(progress: Progress) -> None:
        nonlocal skipped
        if progress.stage == "done":
            costs.append(Cost(progress.title, progress.gas or 0))
        skipped += progress.stage == "skipped"

    base, tip = _fees_now(chain)
    copy.set_balance(setup, 10**24)
    Deployer(copy, config, setup, Journal(journal), watch=watch).run()
    return Estimate(costs, skipped, base + tip, chain.fees()[0], chain.balance(setup), forked)


# ---- small things


def create_address(sender: str, nonce: int) -> str:
    """The address of a contract that `sender` creates with this nonce."""
    number = nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")
    item = number if len(number) == 1 and number[0] < 0x80 else bytes([0x80 + len(number)]) + number
    payload = b"\x94" + bytes.fromhex(sender[2:]) + item
    return address_of(keccak(bytes([0xC0 + len(payload)]) + payload)[12:])


def _is_code_of(step: Deploy, code: bytes) -> bool:
    """Immutables follow the code and are not compared here: address and nonce have settled whose code it is."""
    artifact = step.artifact
    return len(code) == artifact.deployed_size and code.startswith(artifact.runtime)


def _difference(read: Read, deployed: Deployed, plan: Plan) -> str | None:
    wanted = read.wanted(deployed)
    try:
        actual = read.actual(deployed, plan)
    except Reverted as error:
        actual = f"revert: {error}"
    if actual == wanted:
        return None
    return f"{read.target}.{read.fn}{deployed.resolve(read.args)} is {actual}, not {wanted}"


def _digest(config: Config) -> str:
    return hashlib.sha256(config.model_dump_json().encode()).hexdigest()


def _fees_now(chain: RpcChain) -> tuple[int, int]:
    block = chain.request("eth_getBlockByNumber", "latest", False)
    return int(block.get("baseFeePerGas", "0x0"), 16), chain.fees()[1]


def _source() -> dict[str, Any]:
    """Which source this was, as far as git can say."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=10, check=True)
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    changes = git("status", "--porcelain", "--", "contracts", "interfaces")
    return {"commit": git("rev-parse", "HEAD"), "modified": bool(changes), "compiler": "vyper 0.4.3"}
