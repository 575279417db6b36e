"""numba, typed: `njit` for functions of arrays and floats, compiled anew in every process.

Nothing is kept on disk. Numba tells functions of one name apart by a count that starts anew in every process, so what
one process compiled and what it read from others' caches could be taken for each other: a kernel ran with another
rule's functions, and was off by half a per cent. Compiling takes two to six seconds of a rule.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])


def njit(function: F) -> F:
    """`function` compiled without Python objects and without the interpreter's lock."""
    compiled: F = numba.njit(nogil=True)(function)
    return compiled
