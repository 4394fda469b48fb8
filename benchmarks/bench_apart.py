"""What every measurement of `make bench` stands on: a process of its own, pinned, and runs in turns."""

import gc
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def cores() -> list[int]:
    """The cores that this process may use; what is measured takes the last of them."""
    return sorted(os.sched_getaffinity(0))


@contextmanager
def environment(**settings: str) -> Iterator[None]:
    """These variables, for processes that are begun inside."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def apart(on: Sequence[int], work: Callable[..., Any], *arguments: Any) -> Any:
    """What `work` returns in a new process on these cores, with one thread for each; in this process,
    as it is, where there are none."""
    if not on:
        return work(*arguments)
    with (
        environment(**dict.fromkeys(THREADS, str(len(on)))),
        ProcessPoolExecutor(
            1, mp_context=get_context("spawn"), initializer=os.sched_setaffinity, initargs=(0, set(on))
        ) as pool,
    ):
        return pool.submit(work, *arguments).result()


def in_turns(rounds: int, works: Mapping[str, Callable[[], Any]]) -> dict[str, float]:
    """Median seconds of each work, run in turns: one, the other, one, the other."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            gc.collect()
            began = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - began)
    return {name: statistics.median(found) for name, found in times.items() if found}
