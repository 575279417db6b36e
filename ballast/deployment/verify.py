"""Checks a deployment against its manifest with nothing but a node's URL, trusting neither.

Code is rebuilt: the sources are compiled, each constructor is run again as a call, and the result is compared with the
deployed code byte by byte, immutables included. Constructor arguments are also compared with the creating transaction.
Whoever any event since the first block names as holder of a role is asked about, so nobody can hold one unnoticed.
Parameters, wiring and switches are read from the contracts. What should be there follows from the config in the
manifest, by the same plan that deployed it; where this repository has the network's file, that has to say the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

from ballast import config as configuration
from ballast.chain import Artifact, Contract, DecodingError, Event, Reverted, Tx, address_of
from ballast.chain.rpc import RpcChain, RpcError
from ballast.config import ZERO, Config
from ballast.deployment.manifest import Created, Manifest, described
from ballast.model.exact.governor import DONE
from ballast.model.roles import Role
from ballast.plan import (
    CANCELLER,
    EXECUTOR,
    GOVERNED,
    PROPOSER,
    TIMELOCK_ADMIN,
    Deploy,
    Deployed,
    Plan,
    in_bands,
    plain,
)

SECTIONS = ("manifest", "code", "arguments", "roles", "parameter", "wiring", "switch")
_NOBODY = "0x00000000000000000000000000000000000ba11a"  # who runs constructors again
_DOMAIN = keccak(text="EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    section: str
    subject: str
    ok: bool
    expected: str = ""
    actual: str = ""


class Verifier:
    """One manifest against one node."""

    def __init__(self, chain: RpcChain, manifest: Manifest, config_path: Path | None = None) -> None:
        self.chain = chain
        self.manifest = manifest
        self.config_path = config_path

    def run(self) -> list[Finding]:
        """Everything there is to check, in order."""
        return list(self._findings())

    def _findings(self) -> Iterator[Finding]:
        manifest = self.manifest
        if self.chain.chain_id != manifest.chain_id:
            yield Finding("manifest", "chain id", False, str(manifest.chain_id), str(self.chain.chain_id))
            return
        try:
            plan = manifest.plan()
        except ValueError as error:
            yield Finding("manifest", "config", False, "a config", str(error))
            return
        missing = [key for key in [*plan.contracts, *plan.external()] if key not in manifest.addresses]
        if missing:
            yield Finding("manifest", "contracts", False, "an address for each", f"none for {', '.join(missing)}")
            return
        deployed = manifest.deployed(self.chain)
        yield from self._manifest(plan, deployed)
        for key, step in plan.contracts.items():
            yield from self._code(step, manifest.contracts[key], deployed)
        yield from self._roles(plan, deployed)
        yield from self._timelock_roles(plan, deployed)
        yield from self._reads(plan, deployed)

    # ---- the manifest itself

    def _manifest(self, plan: Plan, deployed: Deployed) -> Iterator[Finding]:
        """It must say what its own config leads to, and the config what the network's file says."""
        manifest = self.manifest
        expected = described(plan, deployed)
        for name in ("governor", "guardian", "roles"):
            yield _compare("manifest", name, expected[name], getattr(manifest, name))
        yield _compare("manifest", "network", plan.config.network, manifest.network)
        yield _compare("manifest", "chain id of its config", plan.config.chain_id, manifest.chain_id)
        yield _compare("manifest", "external addresses", plan.external(), manifest.external)
        unknown = sorted(set(manifest.contracts) - set(plan.contracts))
        yield _compare("manifest", "contracts beyond the plan", [], unknown)
        wanted, stated = (
            {
                (entry["contract"], entry["read"], _tupled(entry["args"]), _tupled(entry["is"]), entry["about"])
                for entry in entries
            }
            for entries in (expected["reads"], manifest.reads)
        )
        yield _compare("manifest", "expected reads", wanted, stated, show_difference=True)
        if self.config_path is not None:
            try:
                wanted_config = with_addresses(configuration.load(self.config_path), plan.config)
            except ValueError as error:
                yield Finding("manifest", str(self.config_path), False, "a config", str(error))
                return
            for name, value in wanted_config.model_dump(mode="json").items():
                yield _compare(
                    "manifest", f"{self.config_path.name}: {name}", value, plan.config.model_dump(mode="json")[name]
                )

    # ---- code and arguments

    def _code(self, step: Deploy, created: Created, deployed: Deployed) -> Iterator[Finding]:
        key, artifact = step.key, step.artifact
        yield _compare("manifest", f"{key}: contract", step.contract, created.contract)
        yield _compare(
            "arguments", f"{key}: in the manifest", plain(deployed.resolve(step.args)), _tupled(created.args)
        )
        code = self.chain.code(created.address)
        yield _compare("code", f"{key}: hash", created.code_hash, "0x" + keccak(code).hex())
        yield _compare("code", f"{key}: size", artifact.deployed_size, len(code))
        runtime = code[: len(artifact.runtime)]
        same = runtime == artifact.runtime
        first = next(
            (i for i, (a, b) in enumerate(zip(artifact.runtime, runtime, strict=False)) if a != b), len(runtime)
        )
        yield Finding(
            "code", f"{key}: instructions", same, f"{artifact.source_path} as compiled here",
            "the same" if same else f"differs from byte {first}",
        )  # fmt: skip
        yield from self._immutables(step, created.address, code, deployed)
        yield from self._creation(step, created, deployed)

    def _immutables(self, step: Deploy, address: str, code: bytes, deployed: Deployed) -> Iterator[Finding]:
        """Named words behind the instructions, against those that the constructor leaves when it runs again."""
        artifact = step.artifact
        try:
            again = self.chain.read(Tx(None, step.initcode(deployed), _NOBODY))
        except (Reverted, RpcError) as error:
            yield Finding("code", f"{step.key}: constructor", False, "runs again", str(error))
            return
        start = len(artifact.runtime)
        if again[:start] != artifact.runtime:
            yield Finding("code", f"{step.key}: constructor", False, "leaves the compiled code", "leaves other code")
            return
        rebuilt = _at_address(artifact, again[start:], address, self.chain.chain_id)
        names = list(_slots(artifact.layout.get("code_layout", {})))
        for name, offset, length in names:
            wanted, actual = rebuilt[offset : offset + length], code[start + offset : start + offset + length]
            yield _compare("code", f"{step.key}: immutable {name}", "0x" + wanted.hex(), "0x" + actual.hex())
        covered = sum(length for _, _, length in names)
        yield _compare("code", f"{step.key}: bytes of immutables", covered, len(code) - start)

    def _creation(self, step: Deploy, created: Created, deployed: Deployed) -> Iterator[Finding]:
        subject = f"{step.key}: creating transaction"
        if created.tx is None:
            # a crash lost it; code and immutables are checked above, storage below
            return
        try:
            tx = self.chain.request("eth_getTransactionByHash", created.tx)
            receipt = self.chain.request("eth_getTransactionReceipt", created.tx)
        except RpcError as error:
            tx, receipt = None, None
            yield Finding("arguments", subject, False, created.tx, str(error))
            return
        if tx is None or receipt is None:
            yield Finding("arguments", subject, False, created.tx, "unknown to this node")
            return
        yield _compare("arguments", f"{subject}: sender", self.manifest.deployer, address_of(tx["from"]))
        yield _compare(
            "arguments", f"{subject}: address", created.address, address_of(receipt["contractAddress"] or ZERO)
        )
        sent = bytes.fromhex(tx["input"][2:])
        wanted = step.initcode(deployed)
        arguments = len(step.artifact.bytecode)
        yield Finding(
            "arguments", f"{subject}: code", sent[:arguments] == wanted[:arguments], "as compiled here",
            "the same" if sent[:arguments] == wanted[:arguments] else "other code",
        )  # fmt: skip
        yield _compare("arguments", f"{subject}: arguments", wanted[arguments:].hex(), sent[arguments:].hex())

    # ---- roles

    def _roles(self, plan: Plan, deployed: Deployed) -> Iterator[Finding]:
        """Whoever an event ever named, the deployer, and whoever should have a role: each has what the plan says."""
        table = plan.roles(deployed)
        contracts = {key: deployed.contract(key, plan.artifact(key)) for key in GOVERNED}
        try:
            heard, born = self._heard(contracts)
        except RpcError as error:
            yield Finding("roles", "events since the first block", False, "readable", str(error))
            return
        for key, contract in contracts.items():
            wanted = table[key]
            yield Finding(
                "roles", f"{key}: all events since its creation", key in born, "seen",
                "seen" if key in born else f"none of its creation at or after block {self.manifest.first_block}",
            )  # fmt: skip
            for holder in sorted(heard[key] | set(wanted) | {plan.setup}):
                role = wanted.get(holder, Role(0))
                who = _name_of(holder, deployed, plan)
                try:
                    actual = Role(contract.call("roles_of", holder))
                except (Reverted, DecodingError) as error:
                    yield Finding("roles", f"{key}: {who}", False, _spelled(role), f"no answer: {error}")
                    continue
                yield Finding("roles", f"{key}: {who}", actual == role, _spelled(role), _spelled(actual))

    def _heard(self, contracts: dict[str, Contract]) -> tuple[dict[str, set[str]], set[str]]:
        """Whom events name as holder of a role, by contract; and the contracts whose constructor was heard."""
        keys = {contract.address: key for key, contract in contracts.items()}
        heard: dict[str, set[str]] = {key: set() for key in contracts}
        born: set[str] = set()
        for event in self.manifest.events(self.chain, list(keys)):
            if event.name == "RoleChanged":
                heard[keys[event.address]].add(event.args.holder)
            elif event.name == "AdminChanged" and event.args.previous_admin == ZERO:
                born.add(keys[event.address])
        return heard, born

    # ---- the timelock

    def _timelock_roles(self, plan: Plan, deployed: Deployed) -> Iterator[Finding]:
        """Whoever an event ever gave a role, and whoever should have one: each has what the plan says."""
        wanted = plan.timelock_roles(deployed)
        if not wanted:
            return
        timelock = deployed.contract("timelock", plan.artifact("timelock"))
        try:
            events = list(self.manifest.events(self.chain, [timelock.address]))
        except RpcError as error:
            yield Finding("roles", "timelock: events since the first block", False, "readable", str(error))
            return
        heard = {(event.args.role, event.args.account) for event in events if event.name == "RoleGranted"}
        own = (TIMELOCK_ADMIN, timelock.address)  # from its constructor
        yield Finding(
            "roles", "timelock: all events since its creation", own in heard, "seen",
            "seen" if own in heard else f"none of its creation at or after block {self.manifest.first_block}",
        )  # fmt: skip
        names = {TIMELOCK_ADMIN: "admin", PROPOSER: "proposer", CANCELLER: "canceller", EXECUTOR: "executor"}
        planned = {(role, holder) for role, holders in wanted.items() for holder in holders}
        for role, holder in sorted(heard | planned | {(role, plan.setup) for role in wanted}):
            who = "everybody" if holder == ZERO else _name_of(holder, deployed, plan)
            subject = f"timelock: {who} is {names.get(role, '0x' + role.hex())}"
            yield _compare("roles", subject, (role, holder) in planned, bool(timelock.call("hasRole", role, holder)))
        unplanned = _scheduled_beside(planned - {(TIMELOCK_ADMIN, plan.setup)}, events)
        waiting = ["0x" + each.hex() for each in unplanned if timelock.call("get_timestamp", each) > DONE]
        yield _compare("roles", "timelock: waiting operations that somebody unplanned may have scheduled", [], waiting)

    # ---- views

    def _reads(self, plan: Plan, deployed: Deployed) -> Iterator[Finding]:
        for read in plan.reads():
            shown = ", ".join(_short(argument, deployed) for argument in read.args)
            subject = f"{read.target}.{read.fn}({shown})"
            wanted = read.wanted(deployed)
            contract = deployed.contract(read.target, plan.artifact(read.target))
            try:
                actual = contract.call(read.fn, *deployed.resolve(read.args))
            except (Reverted, DecodingError) as error:
                yield Finding(read.about, subject, False, _text(wanted), f"no answer: {error}")
                continue
            if plain(actual) == wanted:
                yield Finding(read.about, subject, True, _text(wanted), _text(wanted))
                continue
            if in_bands(plan.config, read, plain(actual)):
                yield Finding(read.about, subject, True, "what the Steward may make of it", _text(plain(actual)))
                continue
            differing = list(_differing(actual, wanted))
            yield Finding(
                read.about, subject, False,
                ", ".join(f"{name}{_text(value)}" for name, value, _ in differing),
                ", ".join(f"{name}{_text(value)}" for name, _, value in differing),
            )  # fmt: skip


def _differing(actual: Any, wanted: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """("field = ", wanted, actual) of what differs in a struct, or in a plain value."""
    if isinstance(wanted, tuple) and isinstance(actual, tuple | list) and len(wanted) == len(actual):
        fields = getattr(actual, "_fields", [str(i) for i in range(len(wanted))])
        for field, part, value in zip(fields, wanted, actual, strict=True):
            yield from _differing(value, part, f"{name.removesuffix(' = ')}{'.' if name else ''}{field} = ")
    elif plain(actual) != wanted:
        yield name, wanted, plain(actual)


def _compare(section: str, subject: str, wanted: Any, actual: Any, *, show_difference: bool = False) -> Finding:
    if wanted == actual:
        return Finding(section, subject, True, _text(wanted), _text(actual))
    if show_difference:
        return Finding(
            section, subject, False, _text(sorted(wanted - actual, key=str)), _text(sorted(actual - wanted, key=str))
        )
    return Finding(section, subject, False, _text(wanted), _text(actual))


def _slots(layout: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, int, int]]:
    """(name, offset, length) of every immutable, modules' included."""
    for name, entry in layout.items():
        if isinstance(entry.get("offset"), int):
            yield prefix + name, entry["offset"], entry["length"]
        else:
            yield from _slots(entry, f"{prefix}{name}.")


def _at_address(artifact: Artifact, data: bytes, address: str, chain_id: int) -> bytes:
    """Immutables that hold the contract's own address, moved from where the constructor was run again to `address`."""
    slots = {name.rpartition(".")[2]: offset for name, offset, _ in _slots(artifact.layout.get("code_layout", {}))}
    if "_CACHED_SELF" not in slots:
        return data
    moved = bytearray(data)
    own = bytes(12) + bytes.fromhex(address[2:])
    at = slots["_CACHED_SELF"]
    moved[at : at + 32] = own
    name, version = (data[slots[slot] : slots[slot] + 32] for slot in ("_HASHED_NAME", "_HASHED_VERSION"))
    at = slots["_CACHED_DOMAIN_SEPARATOR"]
    moved[at : at + 32] = keccak(_DOMAIN + name + version + chain_id.to_bytes(32, "big") + own)
    return bytes(moved)


def with_addresses(wanted: Config, found: Config) -> Config:
    """The file's config with the addresses that its test contracts were given."""
    document = wanted.model_dump()
    if wanted.quote.address is None:
        document["quote"]["address"] = found.quote.address
    if wanted.uniswap is not None and wanted.uniswap.test and found.uniswap is not None:
        document["uniswap"] = found.uniswap.model_dump()
    if wanted.aave is not None and wanted.aave.test and found.aave is not None:
        document["aave"] = found.aave.model_dump()
    for market, entry, other in zip(wanted.markets, document["markets"], found.markets, strict=False):
        if market.base is not None and market.base.address is None and other.base is not None:
            entry["base"]["address"] = other.base.address
        second = entry["second"] and entry["second"]["feed"]
        for feed, deployed in zip((entry["feed"], second), other.feeds, strict=False):
            if feed is not None:
                sources = {"aggregator", "pyth"} & feed.keys()
                feed.update({name: getattr(deployed, name, None) for name in sources if feed[name] is None})
    return Config.model_validate(document)


def _scheduled_beside(planned: set[tuple[bytes, str]], events: list[Event]) -> list[bytes]:
    """Ids of operations scheduled while somebody outside the plan was proposer, or could make himself one."""
    found, others = [], set()
    for event in events:
        if event.name in ("RoleGranted", "RoleRevoked"):
            holding = (event.args.role, event.args.account)
            if event.name == "RoleRevoked":
                others.discard(holding)
            elif holding[0] in (TIMELOCK_ADMIN, PROPOSER) and holding not in planned:
                others.add(holding)
        elif event.name == "CallScheduled" and others:
            found.append(event.args.id)
    return found


def _name_of(address: str, deployed: Deployed, plan: Plan) -> str:
    if address == plan.setup:
        return f"deployer {address}"
    governor = deployed.resolve(plan.governor)
    for key, known in [("governor", governor), ("guardian", plan.guardian), *deployed.addresses.items()]:
        if known == address:
            return f"{key} {address}"
    return f"stranger {address}"


def _short(argument: Any, deployed: Deployed) -> str:
    return _text(plain(deployed.resolve(argument)))


def _spelled(role: Role) -> str:
    return " | ".join(flag.name or "?" for flag in role) or "nothing"


def _tupled(value: Any) -> Any:
    return tuple(_tupled(part) for part in value) if isinstance(value, list | tuple) else value


def _text(value: Any) -> str:
    return str(value)
