"""How fast every path is, each against what it is measured by, side by side: `make bench`.

    python -m benchmarks.bench [--quick] [--large] [--only NAME ...] [--out FILE]

Each measurement runs in processes of its own, on one core unless the row says two; ratios are of medians
of runs in turns. The texts are those of `bench_texts`. `--large` adds the rows that take 10 million
reports; `--quick` does all in miniature, which says nothing about speed.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import bench_files, bench_fit, bench_kernel, bench_service, bench_start, bench_texts
from benchmarks.bench_apart import apart, cores

BEFORE = Path(__file__).with_name("bench_before.json")  # macro-F1 before any of this was made faster


@dataclass(frozen=True)
class Row:
    """What is measured against what, and how far the ratio shall reach: `least` or `most`."""

    path: str
    against: str
    unit: str
    least: float | None = None
    most: float | None = None


ROWS = {
    "categories": Row(
        "`classifier.categories(texts)`",
        "scikit-learn char 1-4 TF-IDF and logistic regression",
        "reports/s",
        least=60,
    ),
    "classify": Row("`classifier.classify(texts)`", "the same", "reports/s", least=30),
    "fasttext": Row(
        "`classifier.categories(texts)`",
        "fastText, 10 dimensions, n-grams of 4, text split before",
        "reports/s",
        least=3,
    ),
    "arrow": Row("Arrow column to categories", "ours from Python strings", "reports/s", least=1.3),
    "parquet": Row(
        "Parquet to relabelled Parquet, 2 cores", "the kernel in memory, 2 cores", "reports/s", least=0.6
    ),
    "fit": Row(
        "fit, 64 schemes, features included, 2 cores",
        "scikit-learn, the same features and classes, to the same loss",
        "seconds",
        least=4,
    ),
    "cold": Row('`python -m model classify "…"`, cold shell', "`import sklearn`", "seconds", least=1),
    "load": Row("load the shipped model", "60 ms", "ms", least=1),
    "request": Row(
        "`POST /v1/classify`, 16 connections", "the classifier stubbed", "requests/s", least=0.90
    ),
    "batch": Row("`POST /v1/classify/batch`, 1,000 texts", "the kernel", "texts/s", least=0.35),
    "evidence": Row("evidence of a text, in memory", "`classify` of it", "µs", most=3),
    "evidence_request": Row("`POST /v1/classify?include=evidence`", "the plain call", "ms", most=3),
    "first": Row("first request after ready", "the hundredth", "ms", most=1),
    "start": Row("start of the service to ready", "1.5 s", "seconds", most=1),
    "length": Row(
        "time a character, 20 to 20,000 characters: the furthest", "the mean", "ns", least=0.8, most=1.2
    ),
    "accuracy": Row("macro-F1: the set that lost most", "before", "points", least=-0.2),
    "parquet_large": Row(
        "Parquet, as above, 10 million rows", "the kernel in memory, a million", "reports/s", least=0.6
    ),
    "rows": Row("reports/s at 10 million rows", "at 1 million", "reports/s", least=0.95),
    "memory": Row(
        "memory of that run, all processes (PSS)", "at 1 million", "MB", least=0.9, most=1.1
    ),
    "memory_peak": Row("the same", "900 MB", "MB", most=1),
}  # fmt: skip
LARGE = ("parquet_large", "rows", "memory", "memory_peak")


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    texts: int = 200_000
    rounds: int = 5
    slow: int = 4_000  # texts of scikit-learn
    every: int = 1  # of the training data, one in so many
    characters: int = 2_000_000  # of each length
    few: int = 1_000  # texts one by one
    rows: int = 1_000_000  # of a Parquet file
    fit: int = 100_000
    seconds: float = 3.0  # of requests
    batch: int = 1_000
    starts: int = 5
    shells: int = 7
    large: int = 10_000_000
    most: int | None = None  # rows of a measured set


QUICK = Size(400, 1, 40, 200, 40_000, 20, 1_000, 120, 0.1, 50, 0, 1, 5_000, 20)


class Bench:
    """All measurements of one run; each method measures some rows, by name."""

    def __init__(self, size: Size, folder: Path, quick: bool) -> None:
        self.size, self.folder, self.quick = size, folder, quick
        self.texts = folder / "texts.arrow"
        # In miniature nothing is worth a process of its own.
        self.one, self.two = ([], []) if quick else (cores()[-1:], cores()[-2:])
        bench_texts.write(self.texts, size.texts)

    def answers(self) -> dict[str, dict[str, Any]]:
        """Texts in memory to answers."""
        size = self.size
        found = apart(self.one, bench_kernel.rates, self.texts, size.rounds, size.slow, size.every)
        theirs = found["scikit_learn"]
        fast = found.get("fasttext")
        return {
            "categories": row("categories", found["categories"], theirs),
            "classify": row("classify", found["classify"], theirs),
            "fasttext": row("fasttext", found["categories"], fast)
            if fast
            else skipped("fasttext", "fasttext is not installed"),
            "arrow": row("arrow", found["arrow"], found["categories"]),
        }

    def parquet(self) -> dict[str, dict[str, Any]]:
        """A file relabelled."""
        size = self.size
        rounds = min(size.rounds, 3)  # they are long
        found = bench_files.compare(self.texts, self.folder, size.rows, rounds, self.two)
        return {"parquet": row("parquet", found["relabel"], found["memory"])}

    def fit(self) -> dict[str, dict[str, Any]]:
        """A fit; once each, for it takes minutes."""
        ours, theirs = (
            apart(self.two, bench_fit.run, self.texts, self.size.fit, ours, self.quick)
            for ours in (True, False)
        )
        losses = {"loss": [round(side["loss"], 5) for side in (ours, theirs)], "reports": self.size.fit}
        return {"fit": row("fit", ours["seconds"], theirs["seconds"], inverse=True) | losses}

    def cold(self) -> dict[str, dict[str, Any]]:
        """A command in a shell."""
        found = bench_start.cold(self.size.shells)
        return {"cold": row("cold", found["classify"], found["sklearn"], inverse=True)}

    def load(self) -> dict[str, dict[str, Any]]:
        """The shipped model, read."""
        found = apart(self.one, bench_kernel.loading, self.size.shells)
        first = {"first_in_process_ms": round(found["first"], 1)}
        return {"load": row("load", found["median"], 60, inverse=True) | first}

    def service(self) -> dict[str, dict[str, Any]]:
        """Requests."""
        size = self.size
        found = bench_service.measure(self.texts, size.rounds, size.seconds, size.batch)
        return {
            "request": row("request", found["model"], found["stub"]),
            "evidence_request": row("evidence_request", found["evidence"], found["plain"]),
            "batch": row("batch", found["batch"], found["kernel"]),
        }

    def start(self) -> dict[str, dict[str, Any]]:
        """The service from nothing to its first and its hundredth answer."""
        found = bench_service.start(self.texts, self.size.starts)
        return {
            "start": row("start", found["ready"], 1.5),
            "first": row("first", found["first"], found["hundredth"]),
        }

    def length(self) -> dict[str, dict[str, Any]]:
        """Short texts and long ones."""
        size = self.size
        found = apart(self.one, bench_kernel.lengths, self.texts, size.rounds, size.characters)
        mean = sum(found.values()) / len(found)
        furthest = max(found.values(), key=lambda n: abs(n - mean))
        shown = {"ns_by_length": {name: round(n, 1) for name, n in found.items()}}
        return {"length": row("length", furthest, mean) | shown}

    def evidence(self) -> dict[str, dict[str, Any]]:
        """Evidence without HTTP."""
        found = apart(self.one, bench_kernel.evidence, self.texts, self.size.rounds, self.size.few)
        return {"evidence": row("evidence", found["explain"], found["classify"])}

    def accuracy(self) -> dict[str, dict[str, Any]]:
        """How right the answers are, set by set; the ratio is the largest fall in points."""
        found = apart(self.one, bench_kernel.accuracy, self.size.most)
        if not found:
            return {"accuracy": skipped("accuracy", "no set that is for measuring is here")}
        before = json.loads(BEFORE.read_text("utf-8"))["macro_f1"]
        worst = min(found, key=lambda name: found[name] - before.get(name, found[name]))
        now, then = 100 * found[worst], 100 * before.get(worst, found[worst])
        shown = {"macro_f1": {name: round(value, 4) for name, value in sorted(found.items())}}
        return {"accuracy": row("accuracy", now, then, ratio=now - then) | {"set": worst} | shown}

    def large(self) -> dict[str, dict[str, Any]]:
        """A tenth of the rows, and all of them."""
        found = bench_files.growth(self.texts, self.folder, self.size.large // 10, self.size.large)
        small, large = found["small"], found["large"]
        peak = large["pss_peak_mb"]
        file = bench_files.source(self.texts, self.folder, self.size.rows)
        memory = bench_files.in_memory(file, self.two)
        return {
            "parquet_large": row("parquet_large", large["rows_per_second"], memory),
            "rows": row("rows", large["rows_per_second"], small["rows_per_second"]),
            "memory": row("memory", peak, small["pss_peak_mb"]) | {"mb_by_tenths": large["pss_mb_by_tenths"]},
            "memory_peak": row("memory_peak", peak, 900),
        }


# What measures which rows.
WORKS: dict[Callable[[Bench], dict[str, dict[str, Any]]], tuple[str, ...]] = {
    Bench.answers: ("categories", "classify", "fasttext", "arrow"),
    Bench.parquet: ("parquet",),
    Bench.fit: ("fit",),
    Bench.cold: ("cold",),
    Bench.load: ("load",),
    Bench.service: ("request", "evidence_request", "batch"),
    Bench.start: ("start", "first"),
    Bench.length: ("length",),
    Bench.evidence: ("evidence",),
    Bench.accuracy: ("accuracy",),
    Bench.large: LARGE,
}


def row(
    name: str, ours: float, theirs: float, inverse: bool = False, ratio: float | None = None
) -> dict[str, Any]:
    """A row of the record; `inverse` where the ratio is theirs through ours, as of seconds saved."""
    if ratio is None:
        ratio = theirs / ours if inverse else ours / theirs
    known = ROWS[name]
    reached = (known.least is None or ratio >= known.least) and (known.most is None or ratio <= known.most)
    return _head(known) | {
        "ours": _short(ours),
        "theirs": _short(theirs),
        "ratio": round(ratio, 3) + 0.0,  # no -0
        "reached": reached,
    }


def skipped(name: str, reason: str) -> dict[str, Any]:
    """A row that could not be measured here."""
    return _head(ROWS[name]) | {"skipped": reason, "reached": False}


def _head(known: Row) -> dict[str, Any]:
    bounds = {"least": known.least, "most": known.most}
    return {
        "path": known.path,
        "against": known.against,
        "unit": known.unit,
        "aim": {name: bound for name, bound in bounds.items() if bound is not None},
    }


def _short(figure: float) -> float:
    return round(figure) if abs(figure) >= 1_000 else float(f"{figure:.4g}")


def run(size: Size, chosen: set[str], quick: bool) -> Iterator[dict[str, dict[str, Any]]]:
    """The rows that are chosen and those measured with them, measurement by measurement, by name."""
    with tempfile.TemporaryDirectory(prefix="ruse-bench-") as folder:
        bench = Bench(size, Path(folder), quick)
        for work, names in WORKS.items():
            if chosen.intersection(names):
                load = round(os.getloadavg()[0], 1)
                about = {"date": datetime.now(UTC).date().isoformat(), "load_before": load}
                yield {name: found | about for name, found in work(bench).items()}


def main(arguments: list[str] | None = None) -> int:
    """Measures, writes the record as it goes, and shows it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="all in miniature; says nothing about speed")
    parser.add_argument("--large", action="store_true", help="with the rows that take 10 million reports")
    parser.add_argument(
        "--only", nargs="+", choices=ROWS, metavar="NAME", help=f"keeps the other rows: {', '.join(ROWS)}"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args(arguments)
    known = {
        "command": f"python -m benchmarks.bench{' --quick' if options.quick else ''}",
        "machine": f"{os.cpu_count()} cores, {_processor()}, Python {platform.python_version()}",
    }
    before = json.loads(options.out.read_text("utf-8")) if options.only and options.out.exists() else {}
    rows: dict[str, Any] = {name: skipped(name, "not measured yet") for name in ROWS}
    if {name: before.get(name) for name in known} == known:  # figures of another machine are no match
        rows |= before["rows"]
    chosen = set(options.only or ROWS)
    if not (options.only or options.large or options.quick):
        chosen -= set(LARGE)
    for found in run(QUICK if options.quick else Size(), chosen, options.quick):
        rows |= found
        options.out.write_text(
            json.dumps(known | {"rows": rows}, indent=1, ensure_ascii=False) + "\n", "utf-8"
        )
        for name, row in found.items():
            said = row.get("skipped") or f"{row['ratio']:g} of {row['aim']}"
            print(f"{'reached' if row['reached'] else 'not yet':8} {name:17} {said}", flush=True)
    return 0


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return f"{platform.machine()} ({names[0]})" if names else platform.machine()


if __name__ == "__main__":
    sys.exit(main())
