"""What a job costs the requests meanwhile: `python -m benchmarks.relabel_latency`.

The service has one core, the process for jobs the other. A client sends requests at a fixed pace,
first while nothing else happens, then while a job relabels the store, and so on in turns; each
latency counts from when the request was due, so that waiting in line is not forgotten.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import orjson

import model
from benchmarks.prove_service import ROOT, TEXTS, Service
from service.database import Database, as_json
from service.jobs import Jobs
from service.tables import new_id, predictions, reports

PACE = 0.04  # seconds between requests
MEDIAN, P99 = 1.3, 2.0  # how many times the latency may be that of a quiet service


def fill(database: Database, count: int) -> None:
    """Stores so many reports, with answers of an old model."""
    names = model.load().taxonomy.category_ids
    said = {
        "model": "old", "taxonomy": "1.0", "category": names[0], "category_probability": 0.9,
        "scheme": "none", "scheme_probability": 0.8, "scheme_sure": True, "needs_review": False,
        "review_reason": None, "probabilities": as_json(dict.fromkeys(names, 0.05)), "created_at": 1,
    }  # fmt: skip
    fields = {"received_at": 1, "created_at": 1, "model": "old", "audit": False, "waiting": False}
    fields |= {"rank": 0.9, "reviewed": False}
    for at in range(0, count, 5_000):
        ids = [new_id() for _ in range(min(5_000, count - at))]
        rows = [fields | {"id": i, "campaign": i, "text": TEXTS[n % 4].format(n)} for n, i in enumerate(ids)]
        with database.writing() as connection:
            database.insert_many(connection, reports, rows)
            database.insert_many(connection, predictions, [said | {"report": i} for i in ids])


def load(url: str, core: int, seconds: float) -> dict[str, list[float]]:
    """Milliseconds of requests by kind, from a process of its own on this core."""
    command = [sys.executable, "-m", "benchmarks.relabel_latency", "--client", url, "--seconds", str(seconds)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, preexec_fn=lambda: pin(0, core))
    found: dict[str, list[float]] = orjson.loads(run.stdout)
    return found


def client(url: str, seconds: float) -> dict[str, list[float]]:
    """Sends requests at the pace: nine in ten classify, one stores a report."""
    found: dict[str, list[float]] = {"classify": [], "store": []}
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as session:
        began = time.perf_counter()
        for n in range(round(seconds / PACE)):
            due = began + n * PACE
            time.sleep(max(0.0, due - time.perf_counter()))
            kind, path = ("store", "/v1/reports") if n % 10 == 0 else ("classify", "/v1/classify")
            answer = session.post(path, json={"text": TEXTS[n % 4].format(n)})
            assert answer.status_code < 300, answer.text
            found[kind].append((time.perf_counter() - due) * 1e3)
    return found


def pin(process: int, core: int) -> None:
    """Keeps a process, with all its threads, on one core."""
    for task in os.listdir(f"/proc/{process or os.getpid()}/task"):
        os.sched_setaffinity(int(task), {core})


def measure(database_url: str | None, count: int, seconds: float, turns: int) -> dict[str, Any]:
    """Latencies without and with a job, in turns; rows a second that the job did meanwhile."""
    server, worker = sorted(os.sched_getaffinity(0))[:2]
    with tempfile.TemporaryDirectory() as folder:
        settings = {"RUSE_DATABASE": database_url} if database_url else {}
        service = Service(Path(folder), RUSE_RATE_LIMIT="0", **settings)
        database = Database(service._settings["RUSE_DATABASE"])
        database.migrate()
        fill(database, count)
        service.start()
        assert service.process
        pin(service.process.pid, server)
        command = [sys.executable, "-m", "service", "worker"]
        environment = os.environ | service._settings
        doer = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
        pin(doer.pid, worker)
        jobs, rates = Jobs(database), []
        quiet: dict[str, list[float]] = {"classify": [], "store": []}
        busy: dict[str, list[float]] = {"classify": [], "store": []}
        load(service.url, server, 2)
        for _ in range(turns):
            job = None
            for found in (quiet, busy):
                if found is busy:
                    job = jobs.create("store", None, {}, "bench")[0]["id"]
                    while jobs.get(job)["done"] == 0:
                        time.sleep(0.05)
                    began, before = time.monotonic(), jobs.get(job)["done"]
                for kind, times in load(service.url, server, seconds).items():
                    found[kind] += times
            assert job
            after = jobs.get(job)
            assert after["state"] == "running", "the job was done before the load; take more reports"
            rates.append((after["done"] - before) / (time.monotonic() - began))
            with database.writing() as connection:
                jobs.decide(connection, job, ("running",), "cancelled", "bench")
            while jobs.with_leftovers(("cancelled",)):
                time.sleep(0.2)
        doer.terminate()
        doer.wait()
        service.stop()
        database.close()
    return {"rows_per_second": round(statistics.mean(rates)), **compare(quiet, busy)}


def compare(quiet: dict[str, list[float]], busy: dict[str, list[float]]) -> dict[str, Any]:
    """Median and 99 % without and with the job, by kind of request and of all, and their ratios."""
    found: dict[str, Any] = {}
    for kind in ("all", *quiet):
        times = [
            [t for name in (quiet if kind == "all" else (kind,)) for t in side[name]]
            for side in (quiet, busy)
        ]
        cuts = [statistics.quantiles(side, n=100) for side in times]
        found[kind] = {
            "requests": len(times[0]) + len(times[1]),
            "median_ms": [round(side[49], 2) for side in cuts],
            "p99_ms": [round(side[98], 2) for side in cuts],
            "median_ratio": round(cuts[1][49] / cuts[0][49], 2),
            "p99_ratio": round(cuts[1][98] / cuts[0][98], 2),
        }
    return found


def main() -> int:
    """Measures and writes; 1 where requests were slowed down more than was promised."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reports", type=int, default=500_000)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--postgresql", help="URL of an empty database, to be measured too")
    parser.add_argument("--client", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    chosen = parser.parse_args()
    if chosen.client:
        sys.stdout.buffer.write(orjson.dumps(client(chosen.client, chosen.seconds)))
        return 0
    results: dict[str, Any] = {
        "command": f"python -m benchmarks.relabel_latency --reports {chosen.reports} "
        f"--seconds {chosen.seconds:g} --turns {chosen.turns}"
        + (" --postgresql URL" if chosen.postgresql else ""),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "load_before": os.getloadavg()[0],
    }
    size = (chosen.reports, chosen.seconds, chosen.turns)
    results["sqlite"] = measure(None, *size)
    if chosen.postgresql:
        results["postgresql"] = measure(chosen.postgresql, *size)
    chosen.out.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    print(json.dumps(results, indent=1))
    sides = [results[kind]["all"] for kind in ("sqlite", "postgresql") if kind in results]
    return int(any(side["median_ratio"] > MEDIAN or side["p99_ratio"] > P99 for side in sides))


if __name__ == "__main__":
    sys.exit(main())
