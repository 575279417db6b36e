"""numba, typed: `njit` for functions of arrays and floats, compiled once per version of this package.

Compiled code is kept under `.build/numba`, one folder per state of the sources here, and of the policies, that have
any. Within it a function is known by its module, name and source, in whatever process it was compiled.
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
    for path in sorted([*_HERE.rglob("*.py"), *(_HERE.parent / "ballast" / "policy").glob("*.py")]):
        source = path.read_bytes()
        if b"njit" in source:
            digest.update(source)
    return digest.hexdigest()[:16]


numba.config.CACHE_DIR = str(_HERE.parent / ".build" / "numba" / _version())


def njit(function: F) -> F:
    """`function` compiled without Python objects and without the interpreter's lock.

    A function within a function is named for what it closes over: numba keeps symbols of the same name apart by a
    count that starts anew in every process, so that two of them, read from the cache, would be taken for one.
    """
    bound = [cell.cell_contents for cell in function.__closure__ or ()]
    known = "\n".join([inspect.getsource(function), *(str(getattr(each, "_uuid", repr(each))) for each in bound)])
    if bound:
        function.__qualname__ += "_" + hashlib.sha256(known.encode()).hexdigest()[:16]
    compiled: Any = numba.njit(nogil=True, cache=True)(function)
    compiled._set_uuid(str(uuid5(NAMESPACE_URL, f"{function.__module__}.{function.__qualname__}\n{known}")))
    result: F = compiled
    return result
