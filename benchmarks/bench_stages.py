"""Where the kernel's time goes, stage by stage: `python -m benchmarks.bench_stages`.

Each line is the median time a text of the texts of `bench` takes with one more stage of the kernel, less
that without it, on one core. Writes `benchmarks/bench_stages.json`.
"""

import json
import os
import platform
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

import model
from benchmarks import bench_texts
from benchmarks.bench_apart import apart, cores
from model import kernel
from model.encoding import encode

RECORD = Path(__file__).with_suffix(".json")
TEXTS, ROUNDS = 20_000, 9
STAGES = ("tokenise", "look up and join tokens", "hash and sift n-grams", "find n-grams and words",
          "count repeated n-grams", "add n-gram rows", "choose words", "count repeated words")  # fmt: skip


@njit(nogil=True)
def _run(codes, offsets, fold, tables, last):
    """The kernel's stages up to number `last` on all texts; how many tokens, n-grams, rows and words."""
    space = kernel._space(kernel.longest(offsets))
    statistics = np.empty(kernel.N_STATISTICS, np.int32)
    total = np.empty(tables.grams.shape[1], np.int32)
    counted = np.zeros(4, np.int64)
    hits, found = space.hits, space.words
    for i in range(offsets.size - 1):
        n = kernel.tokenise(codes, offsets[i], offsets[i + 1], fold, tables, space, statistics)
        counted[0] += n
        if last >= 1:
            n = kernel.join(n, tables, space, statistics)
        if last >= 2:
            of_tokens, m = kernel.grams(n, tables.index.sieve, space)
            counted[1] += m
        if last >= 3:
            m = kernel.find(n, of_tokens, m, tables, space)
            counted[2] += m
        if last >= 4:
            kernel.count(hits.rows, m, hits.counts, hits.parts)
        if last >= 5:
            kernel.add_small(hits.rows, hits.parts, m, tables.grams, total)
        if last >= 6:
            m = kernel.words(n, tables, space, statistics)
            counted[3] += m
        if last >= 7:
            kernel.count(found.rows, m, found.counts, found.parts)
    return counted


def measure(path: Path) -> dict[str, Any]:
    """Microseconds a text by stage, and what there is to do in one."""
    classifier = model.load()
    texts = bench_texts.read(path)["text"].to_pylist()
    codes, offsets = encode(texts)
    work: dict[str, Any] = {
        name: lambda last=last: _run(codes, offsets, classifier.fold, classifier.tables, last)
        for last, name in enumerate(STAGES)
    } | {
        "add word rows, and write the scores": lambda: classifier._scores(codes, offsets),
        "softmax and sums of schemes": lambda: classifier._answer(codes, offsets),
        "code points of the strings, and the best category": lambda: classifier.categories(texts),
        "predictions": lambda: classifier.classify(texts),
    }
    times: dict[str, list[float]] = {name: [] for name in work}
    for name in [*work, *list(work) * ROUNDS]:  # the first round compiles
        began = time.perf_counter()
        work[name]()
        times[name].append(time.perf_counter() - began)
    so_far, found = 0.0, {}
    for name, seconds in times.items():
        whole = statistics.median(seconds[1:]) / len(texts) * 1e6
        found[name], so_far = round(whole - so_far, 2), whole
    counted = _run(codes, offsets, classifier.fold, classifier.tables, len(STAGES))
    names = ("tokens", "n-grams that pass the sieve", "rows of n-grams", "words")
    return {
        "characters": round(codes.size / len(texts)),
        "a_text_has": dict(zip(names, (counted / len(texts)).round(1).tolist(), strict=True)),
        "microseconds_a_text": found,
        "whole": round(so_far, 2),
    }


def main() -> int:
    """Measures and writes the record."""
    load = round(os.getloadavg()[0], 1)
    with tempfile.TemporaryDirectory(prefix="ruse-bench-") as folder:
        path = Path(folder) / "texts.arrow"
        bench_texts.write(path, TEXTS)
        found = apart(cores()[-1:], measure, path)
    about = {
        "command": "python -m benchmarks.bench_stages",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "load_before": load,
    }
    text = json.dumps(about | found, indent=1, ensure_ascii=False)
    RECORD.write_text(text + "\n", "utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
