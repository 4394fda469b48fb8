"""How long and how much memory a retraining on one's own rows takes: `python -m benchmarks.retrain`.

5 categories with 200 rows, and 60 schemes with 500,000 rows. The rows are made here: sentences of the own
corpus, those of one scheme mixed anew, so that they are as hard to tell apart as reports of that scheme.
Writes `benchmarks/retrain.json`.
"""

import argparse
import csv
import json
import os
import platform
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

from model import taxonomy
from training import corpora

RESULT = Path(__file__).with_suffix(".json")
ROOT = RESULT.parent.parent
BOUNDS = {"minutes": 20, "gigabytes": 6}
SENTENCE = re.compile(r"[^。！？!?.\n]+[。！？!?.\n]*\s*")


def write(path: Path, rows: int, labels: int) -> None:
    """A CSV of made reports, in Chinese and English, each label as often as the others."""
    pools: dict[tuple[str, str], list[str]] = {}
    tree = taxonomy.load()
    for example in corpora.fit_examples([corpora.listed()["own"]], tree):
        pool = pools.setdefault((str(example.scheme), example.language), [])
        pool += [part for part in SENTENCE.findall(example.text) if len(part) > 8]
    chance = random.Random(0)
    schemes = sorted({scheme for scheme, _ in pools})[:labels]
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(["case", "narrative", "kind"])
        for number in range(rows):
            scheme = schemes[number % len(schemes)]
            pool = pools[scheme, chance.choice(("zh", "en"))]
            text = "".join(chance.sample(pool, min(len(pool), chance.randint(2, 4)))).strip()
            out.writerow([number, f"{text} {chance.randint(100, 99999)}", scheme])


def memory(parent: int) -> int:
    """Resident bytes of a process and all its descendants (Linux)."""
    children: dict[int, list[int]] = {}
    pages: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(int(entry.name))
            pages[int(entry.name)] = int(fields[21])
    total, left = 0, [parent]
    while left:
        one = left.pop()
        total += pages.get(one, 0) * os.sysconf("SC_PAGE_SIZE")
        left += children.get(one, [])
    return total


def run(rows: int, labels: int, folder: Path) -> dict[str, Any]:
    """Retrain once; minutes, peak memory of all processes together, and what was decided."""
    data = folder / "rows.csv"
    write(data, rows, labels)
    command = [
        sys.executable, "-m", "training", "retrain", "--only-mine", "--data", str(data), "--models",
        str(folder / "models"), "--work", str(folder / "work"), "--text-column", "narrative",
        "--label-column", "kind", "--id-column", "case",
    ]  # fmt: skip
    log, load = folder / "log", os.getloadavg()[0]
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    before = spent.ru_utime + spent.ru_stime
    began, peak = time.monotonic(), 0
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out)
        while process.poll() is None:
            peak = max(peak, memory(process.pid))
            time.sleep(0.5)
    took = time.monotonic() - began
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = spent.ru_utime + spent.ru_stime - before
    report = json.loads(next((folder / "work").glob("*/report.json")).read_text("utf-8"))
    seconds = dict(re.findall(r"^(.+): ([\d.]+) s$", log.read_text("utf-8"), re.MULTILINE))
    return {
        "rows": rows,
        "labels": labels,
        "megabytes_of_csv": round(data.stat().st_size / 1e6, 1),
        "exit": process.returncode,
        "minutes": round(took / 60, 2),
        "minutes_of_cpu": round(cpu / 60, 2),
        "load_before": round(load, 1),
        "gigabytes_at_most": round(peak / 1e9, 2),
        "seconds": {name: float(value) for name, value in seconds.items()},
        "macro_f1": report["contest"]["overall"]["challenger"]["macro_f1"],
        "within_bounds": took / 60 <= BOUNDS["minutes"] and peak / 1e9 <= BOUNDS["gigabytes"],
    }


def main() -> None:
    """Run what is asked for and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=500_000)
    options = parser.parse_args()
    result: dict[str, Any] = {
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "bounds": BOUNDS,
        "runs": [],
    }
    for rows, labels in ((200, 5), (options.rows, 60)):
        with tempfile.TemporaryDirectory() as folder:
            result["runs"].append(run(rows, labels, Path(folder)))
            print(json.dumps(result["runs"][-1]), flush=True)
        RESULT.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
