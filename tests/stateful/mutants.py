"""Known bugs, put into the contracts' sources on purpose: a fuzzer that does not find them finds nothing."""

from __future__ import annotations

import hashlib
import json
import shutil
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ballast.chain import RevmChain, Tx, load
from ballast.chain.artifacts import BUILD, ROOT
from ballast.chain.contract import Receipt


@dataclass(frozen=True, slots=True)
class Mutant:
    """`old` becomes `new` in one source file; `contract` is the deployable that contains it."""

    name: str
    contract: str
    source: str
    old: str
    new: str


REBATE_WITHOUT_LOW_WATER_MARK = Mutant(
    "a rebate for the whole fall of U, whatever the low-water mark",
    "Inventory",
    "contracts/inventory/Inventory.vy",
    "low: uint256 = min(q.potential_before, min(e.book.low_prev, e.book.low) * c.MICRO)",
    "low: uint256 = q.potential_before",
)
FUNDING_FLIPPED = Mutant(
    "funding is paid by the wrong side",
    "PerpEngine",
    "contracts/perps/funding.vy",
    "units: int256 = unsafe_div(funding_rate, FUNDING_UNIT)",
    "units: int256 = unsafe_div(-funding_rate, FUNDING_UNIT)",
)
FEE_NOT_FLOORED = Mutant(
    "the dust of fees leaves LP cash and arrives nowhere",
    "Clearinghouse",
    "contracts/clearing/Clearinghouse.vy",
    "fees: uint256 = unsafe_sub(settlement.fees, settlement.fees % c.MICRO)",
    "fees: uint256 = settlement.fees",
)
REDEEMED_AT_MID = Mutant(
    "redemptions are paid at mid NAV",
    "Vault",
    "contracts/vault/Vault.vy",
    "bid: uint256 = pricing._bid(funds.nav, funds.v.spread, uncovered)",
    "bid: uint256 = funds.nav",
)
REBATE_WITHOUT_COVERAGE = Mutant(
    "a rebate that R may not be able to pay",
    "Inventory",
    "contracts/inventory/Inventory.vy",
    "q.charge = -convert((low - q.potential_after) * e.book.coverage // COVERAGE_UNIT, int256)",
    "q.charge = -convert(low - q.potential_after, int256)",
)
CLOSING_IS_FREE = Mutant(
    "a close that raises U pays nothing for it",
    "Inventory",
    "contracts/inventory/Inventory.vy",
    "q.charge = convert(q.potential_after - q.potential_before, int256)",
    "q.charge = 0 if change.closing else convert(q.potential_after - q.potential_before, int256)",
)


class MutantChain(RevmChain):
    """Deploys the mutant wherever the original is deployed."""

    def __init__(self, original: bytes, mutant: bytes) -> None:
        super().__init__()
        self._original = original
        self._mutant = mutant

    def transact(self, tx: Tx) -> Receipt:
        if tx.to is None and tx.data.startswith(self._original):
            tx = replace(tx, data=self._mutant + tx.data[len(self._original) :])
        return super().transact(tx)


def chain_with(mutant: Mutant, folder: Path) -> Callable[[], RevmChain]:
    """What makes chains on which the mutant lives."""
    original, bytecode = load(mutant.contract).bytecode, compiled(mutant, folder)
    assert bytecode != original, f"{mutant.name}: nothing changed"
    return lambda: MutantChain(original, bytecode)


def compiled(mutant: Mutant, folder: Path) -> bytes:
    """Creation code of the mutant, compiled from a copy of the sources; cached under the hash of original and
    mutation."""
    key = hashlib.sha256(load(mutant.contract).bytecode + repr(mutant).encode()).hexdigest()
    slot = BUILD / "mutants" / f"{key}.json"
    if not slot.is_file():
        slot.parent.mkdir(parents=True, exist_ok=True)
        slot.write_text(json.dumps(_compile(mutant, folder).hex()))
    return bytes.fromhex(json.loads(slot.read_text()))


def _compile(mutant: Mutant, folder: Path) -> bytes:
    from vyper.compiler import CompilerData
    from vyper.compiler.input_bundle import FilesystemInputBundle

    for name in ("contracts", "interfaces"):
        shutil.copytree(ROOT / name, folder / name)
    source = folder / mutant.source
    text = source.read_text()
    assert text.count(mutant.old) == 1, f"{mutant.source} does not contain exactly one {mutant.old!r}"
    source.write_text(text.replace(mutant.old, mutant.new))
    bundle = FilesystemInputBundle([Path(sysconfig.get_path("purelib")), folder])
    deployable = load(mutant.contract).source_path
    return bytes(CompilerData(bundle.load_file(str(deployable)), bundle).bytecode)
