"""Lines of the contracts that no call can run, each with the reason: what no search can be asked to reach.

Only what cannot run, not what rarely does. tests/stateful/test_coverage.py demands that every entry still is the line
it says, is in some contract's code, and is not run by a search; a campaign that runs one says so.
"""

from __future__ import annotations

FORK = "runs only where the chain's id is another than at deployment: after a fork of the chain"

# By source file (libraries' from their own root) and line: its text without indentation, and why it cannot run.
UNREACHABLE: dict[str, dict[int, tuple[str, str]]] = {
    "snekmate/utils/eip712_domain_separator.vy": {
        124: ("return self._build_domain_separator()", FORK),
        134: ("return keccak256(abi_encode(_TYPE_HASH, _HASHED_NAME, _HASHED_VERSION, chain.id, self))", FORK),
    },
    "snekmate/utils/math.vy": {
        243: ("return empty(uint256)", "log2 of 0: only wad_ln asks for one, which has answered for 0 by itself"),
        275: ("result = unsafe_add(result, 1)", "log2 rounded up: only wad_ln asks for one, and rounds down"),
        397: ("return empty(int256)", "wad_ln of 0: only log_return asks, for the larger price over the smaller"),
    },
}


def reason(file: str, line: int) -> str | None:
    """Why a line cannot run, if it is one of these."""
    entry = UNREACHABLE.get(file.rpartition("site-packages/")[2], {}).get(line)
    return entry and entry[1]
