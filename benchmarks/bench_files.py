"""The rows of `make bench` about `service relabel`: Parquet in, Parquet out, on two cores."""

import os
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import model
from benchmarks import bench_texts, prove_relabel
from benchmarks.bench_apart import THREADS, cores, environment
from benchmarks.bench_kernel import from_arrow


def source(path: Path, folder: Path, rows: int) -> Path:
    """A Parquet file of so many rows whose texts are drawn from those at `path`."""
    texts = bench_texts.read(path)["text"].to_pylist()
    return prove_relabel.make(folder / f"{rows}.parquet", rows, texts, prove_relabel.LABELS)


def compare(path: Path, folder: Path, rows: int, rounds: int, on: Sequence[int]) -> dict[str, float]:
    """Rows a second of a relabelling with all that belongs to it, and of the kernel in memory, in turns.

    `on` are the cores of the latter, a process each; without any it is this process.
    """
    file = source(path, folder, rows)
    found: dict[str, list[float]] = {"relabel": [], "memory": []}
    for _ in range(rounds):
        found["relabel"].append(rate(file, folder, rows))
        found["memory"].append(in_memory(file, on))
    file.unlink()
    return {name: statistics.median(rates) for name, rates in found.items()}


def rate(file: Path, folder: Path, rows: int) -> float:
    """Rows a second of one run with two workers, with nobody looking on."""
    seconds = prove_relabel.Run(file, folder / "large", "--workers", str(len(cores()[-2:]))).seconds()
    shutil.rmtree(folder / "large")
    return rows / seconds


def relabel(file: Path, folder: Path) -> dict[str, Any]:
    """One run with two workers, its memory sampled, as `prove_relabel` measures it."""
    found = prove_relabel.large(folder, file, len(cores()[-2:]))
    shutil.rmtree(folder / "large")
    return found


def in_memory(file: Path, on: Sequence[int]) -> float:
    """Rows a second of processes that answer the same texts from Arrow buffers in memory."""
    if not on:
        began, ended, n = _part(file, 0, 1, lambda: None)
        return n / (ended - began)
    context = get_context("spawn")
    with (
        environment(**dict.fromkeys(THREADS, "1")),
        context.Manager() as manager,
        ProcessPoolExecutor(len(on), mp_context=context) as pool,
    ):
        together = manager.Barrier(len(on)).wait
        works = [pool.submit(_pinned, core, _part, file, at, len(on), together) for at, core in enumerate(on)]
        spans = [work.result() for work in works]
    began, ended = min(s[0] for s in spans), max(s[1] for s in spans)
    return sum(s[2] for s in spans) / (ended - began)


def _pinned(core: int, work: Callable[..., Any], *arguments: Any) -> Any:
    os.sched_setaffinity(0, {core})
    return work(*arguments)


def _part(file: Path, at: int, of: int, together: Callable[[], Any]) -> tuple[float, float, int]:
    """When this process began and ended its part of the rows, and how many they were."""
    whole = pq.ParquetFile(file)
    n = whole.metadata.num_rows
    table = whole.read(columns=["text"], use_threads=False).slice(n * at // of, n // of)
    column = table["text"].cast(pa.large_string()).combine_chunks()
    del table
    classifier = model.load()
    from_arrow(classifier, column.slice(0, 100))
    together()
    began = time.monotonic()
    from_arrow(classifier, column)
    return began, time.monotonic(), len(column)


def growth(path: Path, folder: Path, small: int, large: int) -> dict[str, dict[str, Any]]:
    """Rate and memory of one run over a small file and of one over a large file."""
    found = {}
    for name, rows in (("small", small), ("large", large)):
        file = source(path, folder, rows)
        found[name] = relabel(file, folder)
        file.unlink()
    return found
