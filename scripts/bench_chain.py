"""Print how many calls per second the in-process backend carries, wrapper included."""

import time
from collections.abc import Callable
from typing import Any

from ballast.chain import RevmChain

CALLS = 20_000


def rate(action: Callable[[], Any]) -> float:
    """Calls per second."""
    start = time.perf_counter()
    for _ in range(CALLS):
        action()
    return CALLS / (time.perf_counter() - start)


def main() -> None:
    """Measure views, static structs, transactions and dynamic structs on the wrapper's own probe."""
    chain = RevmChain()
    probe = chain.deploy("WrapperProbe", "bench", 0)
    order = (chain.accounts[1], [(bytes(32), -5, True)], 9)
    cases: dict[str, Callable[[], Any]] = {
        "view, one number": lambda: probe.call("total"),
        "view, static struct": lambda: probe.call("echo_pair", (-1, 2)),
        "transaction": lambda: probe.send("count", 1),
        "transaction with decoded events": lambda: probe.send("count", 1).events,
        "call with dynamic struct": lambda: probe.call("place", order),
    }
    for name, action in cases.items():
        print(f"{rate(action):>10,.0f}/s  {name}")


if __name__ == "__main__":
    main()
