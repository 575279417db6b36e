"""Processes here, or the workers of a Dask cluster, behind the one interface of concurrent.futures."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context


@contextmanager
def workers(jobs: int, scheduler: str | None = None) -> Iterator[tuple[Executor, Callable[[], int]]]:
    """What runs tasks, and how many it can at a time; Ctrl-C is for who hands out the tasks, not for the processes."""
    if scheduler is None:
        with ProcessPoolExecutor(
            jobs, get_context("spawn"), signal.signal, (signal.SIGINT, signal.SIG_IGN)
        ) as pool:  # fmt: skip
            yield pool, lambda: jobs
        return
    from distributed import Client  # takes a second to import

    with Client(scheduler) as client, client.get_executor() as pool:
        client.wait_for_workers(1)
        yield pool, lambda: sum(client.ncores().values())
