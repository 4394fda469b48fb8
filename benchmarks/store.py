"""What storing a report costs, and what its safety costs: `python -m benchmarks.store [--quick]`.

One thread, each report in a transaction of its own, as `POST /v1/reports` does it.
"""

import argparse
import json
import os
import platform
import sqlite3
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from model import Prediction
from service.database import Database
from service.store import NewReport, Store

SAID = Prediction(
    "fake_loan", 0.9, "loan_upfront_fee", 0.8, True, False, None, (("fake_loan", 0.9),), "bench", "1.0"
)
TEXT = "对方说贷款已经批下来了，但是要先交一笔{}元的手续费才能放款，交了以后就联系不上了。"


class Careless(Database):
    """SQLite with the synchronous level that a test wants."""

    level = "FULL"

    def _open(self) -> sqlite3.Connection:
        connection = super()._open()
        connection.execute(f"PRAGMA synchronous={self.level}")
        return connection


def measure(database: Database, count: int) -> dict[str, float]:
    """Reports a second and milliseconds each."""
    store = Store(database)
    chances = {f"category_{n}": 0.05 for n in range(20)}
    took = []
    for n in range(count):
        began = time.perf_counter()
        store.add(NewReport(TEXT.format(n), str(n), n), SAID, chances, "bench", f"key {n}")
        took.append(time.perf_counter() - began)
    cuts = statistics.quantiles(took, n=100)
    return {
        "reports_per_second": round(count / sum(took)),
        "median_ms": round(cuts[49] * 1e3, 2),
        "p99_ms": round(cuts[98] * 1e3, 2),
    }


def main() -> None:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the reports")
    parser.add_argument("--postgresql", help="URL of an empty database")
    parser.add_argument("--folder", type=Path, help="on the disk to be measured")
    chosen = parser.parse_args()
    count = 100 if chosen.quick else 1_000
    results: dict[str, object] = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
    }
    for level in ("FULL", "NORMAL", "OFF"):
        with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
            database = Careless(f"sqlite:///{folder}/bench.sqlite3")
            database.level = level
            database.migrate()
            results[f"sqlite synchronous={level}"] = measure(database, count)
            database.close()
    if chosen.postgresql:
        database = Database(chosen.postgresql)
        database.migrate()
        results["postgresql"] = measure(database, count)
        database.close()
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
