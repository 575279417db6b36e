"""The compiler, with the same output in half the time.

Vyper's optimiser of the intermediate representation is run again on the whole subtree every time an expression is
looked at. What it left unchanged once it leaves unchanged again: a node remembers that, for the operation it was seen
under. And runtime code, which Vyper assembles a second time, is the end of the init code.

Vyper is imported late, because it takes over decimal arithmetic of the whole process.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cbor2

_RUNTIME = "bytecode_runtime"


@contextmanager
def quick() -> Iterator[None]:
    """Compile without repeating work and without garbage collection, for processes that end soon."""
    from vyper.compiler import OUTPUT_FORMATS
    from vyper.ir import optimizer

    optimize, runtime = optimizer._optimize, OUTPUT_FORMATS[_RUNTIME]

    def remembering(node: Any, parent: Any) -> tuple[bool, Any]:
        # arithmetic alone looks at the operation around it
        around = parent.value if parent is not None and node.value in optimizer.arith else None
        settled = node.__dict__.get("_settled_under")
        if settled is not None and around in settled:
            return False, node
        changed, result = optimize(node, parent)
        if not changed:
            node.__dict__.setdefault("_settled_under", set()).add(around)
        return changed, result

    optimizer._optimize, OUTPUT_FORMATS[_RUNTIME] = remembering, _runtime
    gc.disable()
    try:
        yield
    finally:
        optimizer._optimize, OUTPUT_FORMATS[_RUNTIME] = optimize, runtime
        gc.enable()


def _runtime(data: Any) -> str:
    bytecode: bytes = data.bytecode
    body = code(bytecode)
    _, size, *_ = cbor2.loads(bytecode[len(body) : -2])
    return "0x" + body[len(body) - size :].hex()


def code(bytecode: bytes) -> bytes:
    """Init code without the trailer that tells the compiler's version and a hash of the sources."""
    trailer = int.from_bytes(bytecode[-2:], "big")
    try:
        is_trailer = len(bytecode) > trailer >= 2 and isinstance(cbor2.loads(bytecode[-trailer:-2]), list)
    except cbor2.CBORDecodeError:
        is_trailer = False
    return bytecode[:-trailer] if is_trailer else bytecode
