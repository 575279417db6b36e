"""Where a transaction's gas goes: by contract and kind of opcode, by storage slot, by function of a Vyper contract.

python -m ballast.reports.profile perps "perp: increase" --functions Inventory
"""

from __future__ import annotations

import runpy
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from ballast.chain import Tx
from ballast.chain.anvil import Anvil
from ballast.chain.artifacts import ROOT, load
from ballast.chain.codec import address_of
from ballast.chain.contract import Receipt
from ballast.chain.rpc import RpcChain

_CALLS = ("CALL", "STATICCALL", "DELEGATECALL", "CALLCODE")
_KINDS = {
    "SLOAD": "sload", "SSTORE": "sstore", "TLOAD": "transient", "TSTORE": "transient",
    "KECCAK256": "keccak", "SHA3": "keccak",
    **{f"LOG{i}": "log" for i in range(5)}, **dict.fromkeys(_CALLS, "call"),
    **dict.fromkeys(("CREATE", "CREATE2", "EXTCODESIZE", "EXTCODEHASH", "EXTCODECOPY", "BALANCE"), "account"),
    **dict.fromkeys(("MLOAD", "MSTORE", "MSTORE8", "MCOPY", "CALLDATACOPY", "RETURNDATACOPY", "CODECOPY"), "memory"),
    **dict.fromkeys(("JUMP", "JUMPI", "JUMPDEST"), "jump"),
}  # fmt: skip


@dataclass(slots=True)
class Profile:
    """Gas by (contract, kind), by (contract, slot) and by (contract, program counter)."""

    gas_used: int
    intrinsic: int = 0  # what no opcode costs: the transaction itself and its calldata, less refunds
    kinds: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    slots: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    counters: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))

    def table(self) -> list[str]:
        """One line per contract, kinds as columns."""
        columns = sorted({kind for row in self.kinds.values() for kind in row})
        lines = ["| contract | " + " | ".join(columns) + " | all |", "|---|" + "--:|" * (len(columns) + 1)]
        rows = sorted(self.kinds.items(), key=lambda item: -sum(item[1].values()))
        total: Counter[str] = Counter()
        for _, row in rows:
            total.update(row)
        for name, row in [*rows, ("**all**", total)]:
            lines.append(f"| {name} | " + " | ".join(f"{row[c]:,}" for c in columns) + f" | {sum(row.values()):,} |")
        return [*lines, f"Used: {self.gas_used:,}, of which no opcode costs {self.intrinsic:,}."]

    def storage(self) -> list[str]:
        """One line per slot: reads and writes in order, with their gas."""
        return [
            f"{name:<18} {slot[:14]:>14}  {' '.join(access)}" for (name, slot), access in sorted(self.slots.items())
        ]

    def functions(self, contract: str) -> list[str]:
        """One line per function of a Vyper contract, modules included, dearest first; calls out are not counted."""
        names, found, last = _functions(contract), Counter[str](), "(selector)"
        for counter, gas in sorted(self.counters[contract].items()):
            last = names.get(counter, last)  # what the compiler adds between two statements belongs to the first
            found[last] += gas
        return [f"{gas:>8,}  {name}" for name, gas in found.most_common()]


def profile(chain: RpcChain, tx_hash: str, names: Mapping[str, str]) -> Profile:
    """Profile a mined transaction of a tracing node; `names` says what to call addresses."""
    trace = chain.request("debug_traceTransaction", tx_hash, {"disableMemory": True, "disableStorage": True})
    receipt = chain.request("eth_getTransactionReceipt", tx_hash)
    result = Profile(gas_used=int(receipt["gasUsed"], 16))
    frames = [_Frame(_name(receipt["to"], names))]
    for step in trace["structLogs"]:
        depth, gas, op = step["depth"], step["gas"], step["op"]
        while len(frames) > depth:
            child = frames.pop()
            frames[-1].child_used += child.entered - child.left
        if len(frames) < depth:
            frames.append(_Frame(frames[-1].callee, entered=gas))
        frame = frames[-1]
        if frame.call is not None:  # the callee has returned: what the caller lost beyond the callee's use is the call
            result.kinds[frame.name]["call"] += frame.call["gas"] - gas - frame.child_used
            frame.call, frame.child_used = None, 0
        frame.left = gas - step["gasCost"]
        if op in _CALLS:
            frame.call, frame.callee = step, _name(step["stack"][-2], names)
            continue
        if op in ("SLOAD", "SSTORE"):
            result.slots[frame.name, step["stack"][-1]].append(f"{op[1].lower()}:{step['gasCost']}")
        result.kinds[frame.name][_KINDS.get(op, "arithmetic")] += step["gasCost"]
        result.counters[frame.name][step["pc"]] += step["gasCost"]
    result.intrinsic = result.gas_used - sum(sum(row.values()) for row in result.kinds.values())
    return result


@dataclass(slots=True)
class _Frame:
    """One call frame while walking the trace."""

    name: str
    entered: int = 0
    left: int = 0
    call: dict[str, Any] | None = None
    callee: str = ""
    child_used: int = 0


def _name(word: str, names: Mapping[str, str]) -> str:
    address = address_of("0x" + word.removeprefix("0x").rjust(40, "0")[-40:])
    return names.get(address, address[:10])


def _functions(contract: str) -> dict[int, str]:
    """Program counter -> "file.function" for every statement the compiler knows the place of."""
    import sysconfig

    from vyper import ast as vy_ast
    from vyper.compiler import CompilerData, outputs_from_compiler_data
    from vyper.compiler.input_bundle import FilesystemInputBundle

    bundle = FilesystemInputBundle([Path(sysconfig.get_path("purelib")), ROOT])
    data = CompilerData(bundle.load_file(str(load(contract).source_path)), bundle)
    source_map = outputs_from_compiler_data(data, ["source_map_runtime"])["source_map_runtime"]
    names: dict[tuple[int, int], str] = {}

    def walk(module: Any) -> None:
        for function in module.get_descendants(vy_ast.FunctionDef):
            for node in (function, *function.get_descendants()):
                names[module.source_id, node.node_id] = f"{Path(module.path).stem}.{function.name}"
        for imported in module._metadata["type"].imported_modules.values():
            walk(imported.module_t._module)

    walk(data.annotated_vyper_module)
    places = {counter: names.get(tuple(place)) for counter, place in source_map["pc_ast_map"].items()}
    return {counter: name for counter, name in places.items() if name}


class _Recorder(RpcChain):
    """Remembers its last transaction."""

    last: str = ""

    def wait(self, tx_hash: str, tx: Tx, timeout: float | None = None) -> Receipt:
        self.last = tx_hash
        return super().wait(tx_hash, tx, timeout)


def rows(scenario: str) -> Iterator[tuple[str, Profile]]:
    """Every row of a gas scenario with the profile of its transaction."""
    from ballast.reports import SCENARIOS

    measure = runpy.run_path(str(SCENARIOS / f"scenario_{scenario}.py"))["measure"]
    with Anvil(tracing=True) as node:
        chain = _Recorder(node.url, gas_limit=15_000_000)
        for row in measure(chain):
            names = {address: artifact.name for address, artifact in chain._artifacts.items()}
            yield row.name, profile(chain, chain.last, names)
        chain.close()


@click.command()
@click.argument("scenario")
@click.argument("row")
@click.option("--functions", multiple=True, help="Vyper contracts to break down by function.")
@click.option("--slots/--no-slots", default=True)
def main(scenario: str, row: str, functions: tuple[str, ...], slots: bool) -> None:
    """Profile the transaction behind one ROW of tests/gas/scenario_SCENARIO.py."""
    for name, found in rows(scenario):
        if name == row:
            click.echo("\n".join([f"## {name}", *found.table(), *(found.storage() if slots else [])]))
            for contract in functions:
                click.echo("\n".join([f"## {contract}", *found.functions(contract)]))
            return
    raise click.ClickException(f"no row {row!r}")


if __name__ == "__main__":
    main()
