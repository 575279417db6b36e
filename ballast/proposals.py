"""What is put to the vote: settings and functions by name as calls, and calls in words.

A setting is `inventory.aversion=9`, `ETH.spreads.base=0.0002`, `venue/ETH/0.venue.cap=5_000`; without the place it is
meant for every market or venue that has the parameter. Settings of one setter become one call, whose other arguments
are what the chain says at that moment. Anything else is a function: `vault.unpause_deposits()`,
`mandates.grant(0x3C44…, 1, 1_000_000_000_000, 1790000000, 2_500)`, in the contract's own units; contracts, roles and
amounts may be named: `perp_engine.revoke_role(carry, HEDGER)`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import yaml

from ballast.chain import Contract, DecodingError, EncodingError, Event, Reverted
from ballast.config import scaled, seconds
from ballast.model.exact.governor import Call
from ballast.model.roles import Role
from ballast.model.words import InventoryMarketParams, InventoryParams
from ballast.parameters import GOVERNANCE, SURFACES, Surface, Word
from ballast.plan import CANCELLER, EXECUTOR, PROPOSER, Deployed, Plan, flat, places
from ballast.system import System

_FUNCTION = re.compile(r"([\w/]+)\.(\w+)\((.*)\)", re.DOTALL)
_HASHES = {"PROPOSER_ROLE": PROPOSER, "CANCELLER_ROLE": CANCELLER, "EXECUTOR_ROLE": EXECUTOR}
_NAMES: dict[str, Any] = {str(role.name): int(role) for role in Role} | _HASHES


class ProposalError(ValueError):
    """What was asked for is no call; the message says why."""


class Drafts:
    """Calls from words and back, for one deployed system."""

    def __init__(self, system: System) -> None:
        self._plan = Plan(system.config, system.setup)
        self._deployed = Deployed(system.chain, dict(system.addresses))
        self._keys = {address: key for key, address in system.addresses.items() if key in self._plan.contracts}
        self._surfaces = [*SURFACES, GOVERNANCE] if system.voting is not None else list(SURFACES)

    # ---- words to calls

    def calls(self, settings: Sequence[str], functions: Sequence[str]) -> list[Call]:
        """Settings first, then functions, in their order; raises ProposalError."""
        return [*self._settings(settings), *map(self._function, functions)]

    def _settings(self, settings: Sequence[str]) -> Iterator[Call]:
        wanted: dict[tuple[str, int | None], dict[int, int]] = {}
        surfaces = {surface.name: surface for surface in self._surfaces}
        for text in settings:
            path, equals, value = text.partition("=")
            place, _, name = path.strip().rpartition(".")
            place, _, group = place.rpartition(".")
            if not equals or group not in surfaces:
                known = ", ".join(surfaces)
                raise ProposalError(f"{text!r} is no setting: write NAME.PARAMETER=VALUE, where NAME is {known}")
            surface = surfaces[group]
            try:
                index = surface.index(name)
            except LookupError as error:
                raise ProposalError(str(error)) from None
            number = _integer(value.strip(), surface.words[index], path)
            for key in self._where(surface, place):
                wanted.setdefault((group, key), {})[index] = number
        for (group, key), changes in wanted.items():
            surface = surfaces[group]
            values = self._values(surface, key)
            for index, number in changes.items():
                values[index] = number
            try:
                data = surface.data(values)
            except (ValueError, OverflowError) as error:
                raise ProposalError(f"{group}: {error}") from None
            contract = self._contract(surface.contract)
            selector = contract.artifact.functions[surface.setter][0].selector
            yield contract.address, selector + (b"" if key is None else key.to_bytes(32, "big")) + data

    def _where(self, surface: Surface, place: str) -> list[int | None]:
        known = places(self._plan.config, surface)
        found = [key for name, key in known if place in ("", name)]
        if not found:
            names = ", ".join(name for name, _ in known if name) or "it is the system's: leave the place out"
            raise ProposalError(f"{surface.name} has no {place!r}: {names}")
        return found

    def _values(self, surface: Surface, key: int | None) -> list[int]:
        """What the chain says now."""
        answer = self._contract(surface.contract).call(surface.view, *(() if key is None else (key,)))
        return [int(word) for word in flat(answer)]

    def _function(self, text: str) -> Call:
        match = _FUNCTION.fullmatch(text.strip())
        if match is None:
            raise ProposalError(f"{text!r} is no call: write contract.function(argument, …)")
        key, fn, arguments = match.groups()
        if key not in self._plan.contracts:
            raise ProposalError(f"no contract is called {key!r}; there are {', '.join(self._plan.contracts)}")
        contract = self._contract(key)
        if fn not in contract.artifact.functions:
            raise ProposalError(f"{key} has no function {fn!r}")
        quoted = re.sub(r"\b0x[0-9a-fA-F]+\b", r'"\g<0>"', arguments)  # YAML would read a number
        try:
            values = self._named(yaml.safe_load(f"[{quoted}]"))
            return contract.address, contract.tx(fn, *values).data
        except (yaml.YAMLError, EncodingError, LookupError) as error:
            raise ProposalError(f"{text}: {error}") from None

    def _named(self, value: Any) -> Any:
        """Arguments with names of contracts and roles replaced."""
        if isinstance(value, list):
            return [self._named(part) for part in value]
        return self._deployed.addresses.get(value, _NAMES.get(value, value)) if isinstance(value, str) else value

    # ---- calls to words

    def explain(self, call: Call) -> list[str]:
        """A line for every parameter that would change from what it is now, or the function with its arguments."""
        target, data = call
        if target not in self._keys:
            return [f"UNKNOWN CONTRACT {target}: 0x{data.hex()}"]
        key = self._keys[target]
        contract = self._contract(key)
        found = [fn for fns in contract.artifact.functions.values() for fn in fns if fn.selector == data[:4]]
        if not found:
            return [f"{key}: UNKNOWN FUNCTION 0x{data.hex()}"]
        try:
            arguments = found[0].inputs.decode(data[4:])
        except DecodingError as error:
            return [f"{key}.{found[0].name}: UNREADABLE, {error}"]
        for surface in self._surfaces:
            if (surface.contract, surface.setter) == (key, found[0].name):
                return self._changes(surface, flat(arguments))
        of_role = found[0].name in ("grant_role", "revoke_role")
        named = (
            f"{name}={_roles(value) if of_role and type(value) is int else self._shown(value)}"
            for name, value in zip(found[0].inputs.names, arguments, strict=True)
        )
        return [f"{key}.{found[0].name}({', '.join(named)})"]

    def _changes(self, surface: Surface, arguments: list[int]) -> list[str]:
        key = None if not surface.each else arguments.pop(0)
        place = next((name for name, number in places(self._plan.config, surface) if number == key), f"number {key}")
        title = f"{place}.{surface.name}" if surface.each else surface.name
        new = _words_of(surface, arguments)
        try:
            now: list[int | None] = list(self._values(surface, key))
        except Reverted:  # not listed yet
            now = [None] * len(surface.words)
        lines = [
            f"{title}.{word.name}: {'new' if old is None else _figure(old, word)} → {_figure(new[word.name], word)}"
            for word, old in zip(surface.words, now, strict=True)
            if word.kind == "parameter" and new[word.name] != old
        ]
        return lines or [f"{title}: nothing changes"]

    def _shown(self, value: Any) -> str:
        if isinstance(value, list | tuple):
            return f"[{', '.join(map(self._shown, value))}]"
        if isinstance(value, bytes):
            return next((name for name, role in _HASHES.items() if role == value), "0x" + value.hex())
        if isinstance(value, str) and value in self._keys:
            return self._keys[value]
        return f"{value:,}".replace(",", "_") if type(value) is int else str(value)

    def _contract(self, key: str) -> Contract:
        return self._deployed.contract(key, self._plan.artifact(key))


@dataclass(frozen=True, slots=True)
class Proposed:
    """What the Governor's event says of a proposal."""

    calls: list[Call]
    description: str


@dataclass(slots=True)
class Operation:
    """What the timelock's events say of an operation."""

    calls: list[Call]
    is_batch: bool = True
    predecessor: bytes = bytes(32)
    salt: bytes = bytes(32)

    def execution(self) -> tuple[str, tuple[Any, ...]]:
        """Function of the timelock and its arguments."""
        if not self.is_batch:
            return "execute", (self.calls[0][0], 0, self.calls[0][1], self.predecessor, self.salt)
        targets, payloads = [target for target, _ in self.calls], [data for _, data in self.calls]
        return "execute_batch", (targets, [0] * len(targets), payloads, self.predecessor, self.salt)


def ballot(governor: Contract, chain_id: int, proposal: int, support: int, voter: str) -> dict[str, Any]:
    """What a voter signs, as wallets show it."""
    domain = ("name", "string"), ("version", "string"), ("chainId", "uint256"), ("verifyingContract", "address")
    fields = ("proposal", "uint256"), ("support", "uint256"), ("voter", "address")
    return {
        "types": {
            "EIP712Domain": [{"name": name, "type": kind} for name, kind in domain],
            "Ballot": [{"name": name, "type": kind} for name, kind in fields],
        },
        "primaryType": "Ballot",
        "domain": {
            "name": "Ballast Governor", "version": "1", "chainId": chain_id, "verifyingContract": governor.address,
        },
        "message": {"proposal": proposal, "support": support, "voter": voter},
    }  # fmt: skip


def history(system: System, events: Iterable[Event]) -> tuple[dict[int, Proposed], dict[bytes, Operation]]:
    """Proposals by number and operations by id, of everything that Governor and timelock have logged, in order."""
    assert system.timelock is not None
    proposals: dict[int, Proposed] = {}
    operations: dict[bytes, Operation] = {}
    for event in events:
        if event.name == "Proposed":
            proposals[event.args.proposal_id] = Proposed(
                [tuple(call) for call in event.args.calls], event.args.description
            )
        elif event.name == "CallScheduled":
            if event.args.index == 0:  # it may have been scheduled before, and cancelled
                operations[event.args.id] = Operation([], predecessor=event.args.predecessor)
            operations[event.args.id].calls.append((event.args.target, event.args.payload))
        elif event.name == "CallSalt":
            operations[event.args.id].salt = event.args.salt
    for identity, operation in operations.items():
        hashed = system.timelock.call("hash_operation_batch", *operation.execution()[1])
        operation.is_batch = hashed == identity
    return proposals, operations


def read(path: Path) -> tuple[list[str], list[str], str]:
    """Settings, functions and description of a file; raises ProposalError.

    \b
    description: Wider spreads until the volatility is over.
    set: {ETH.spreads.base: 0.0002, inventory.aversion: 9}
    call:
      - vault.unpause_deposits()
    """
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ProposalError(f"{path}: {error}") from None
    if not isinstance(document, Mapping) or not document.keys() <= {"description", "set", "call"}:
        raise ProposalError(f"{path}: write `description`, `set` and `call`")
    settings = [f"{name}={value}" for name, value in (document.get("set") or {}).items()]
    return settings, [str(call) for call in document.get("call") or []], str(document.get("description", ""))


def _roles(flags: int) -> str:
    """Powers by name: nobody should vote for a number."""
    return " | ".join(flag.name or "?" for flag in Role(flags)) or "nothing"


def _integer(text: str, word: Word, path: str) -> int:
    """A value as people write it, in the contract's unit."""
    try:
        if word.unit == "s":
            return int(text) if text.isdigit() else seconds(text)
        return scaled(Decimal(text.replace("_", "")), word.scale, path)
    except InvalidOperation:
        raise ProposalError(f"{path}: {text!r} is not a number") from None
    except ValueError as error:
        raise ProposalError(f"{path}: {error}") from None


def _figure(value: int, word: Word) -> str:
    shown = f"{(Decimal(value) / word.scale).normalize():,f}"
    return f"{shown} {word.unit}" if word.unit not in ("", "1") else shown


def _words_of(surface: Surface, arguments: Sequence[int]) -> dict[str, int]:
    """Parameters by name, of a setter's arguments: the inverse of `Surface.arguments`."""
    match surface.name:
        case "inventory":
            return asdict(InventoryParams.unpack(arguments[0]))
        case "spreads":
            return asdict(InventoryMarketParams.unpack(arguments[0]))
        case "oracle":
            arguments = [*arguments[:6], *arguments[7:]]
    return {word.name: value for word, value in zip(surface.parameters, arguments, strict=True)}
