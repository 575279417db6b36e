"""numba, typed: `njit` for functions of arrays and floats, compiled once per version of this package.

Compiled code is kept under `.build/numba`, one folder per state of the sources here that have any. Within it a function
is known by its module, name and source, in whatever process it was compiled.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from uuid import NAMESPACE_URL, uuid5

import numba

F = TypeVar("F", bound=Callable[..., Any])

_HERE = Path(__file__).resolve().parent


@cache
def _version() -> str:
    digest = hashlib.sha256(numba.__version__.encode())
    for path in sorted(_HERE.rglob("*.py")):
        source = path.read_bytes()
        if b"njit" in source:
            digest.update(source)
    return digest.hexdigest()[:16]


numba.config.CACHE_DIR = str(_HERE.parent / ".build" / "numba" / _version())


def njit(function: F) -> F:
    """`function` compiled without Python objects and without the interpreter's lock."""
    compiled: Any = numba.njit(nogil=True, cache=True)(function)
    name = f"{function.__module__}.{function.__qualname__}\n{inspect.getsource(function)}"
    compiled._set_uuid(str(uuid5(NAMESPACE_URL, name)))
    result: F = compiled
    return result
