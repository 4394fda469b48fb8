"""Tortures a real service and checks what it promises: `make prove-service`.

    python -m benchmarks.prove_service [--minutes 30] [--kills 100] [--examples 300] [--only PROOF ...]
        [--out FILE]

Each proof is a function of its size, so that the tests run a short form of the same code. Reports
carry an external id; a client that got no answer sends the same again, as a real one would, a DELETE
too. Every text holds the name of its report, so that the files can be searched for what was erased.
"""

import argparse
import json
import os
import platform
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from service.database import Database
from service.store import Filters, Store

ROOT = Path(__file__).resolve().parent.parent
# What a result may have none of.
PROMISES = (
    "lost", "doubled", "not_erased", "in_files", "returned", "damaged", "server_errors", "failed",
)  # fmt: skip
TEXTS = (
    "对方自称快递客服，说我的包裹丢了要理赔，让我打开屏幕共享，卡里的{}元就被转走了。",
    "They approved my loan on WhatsApp, but first I must pay a processing fee of {}.",
    "在网上刷单，前几单返了佣金，后来投了{}元就取不出来了。",
    "A man from the court said my card {} was used for money laundering.",
)


class Service:
    """A service as a process of its own, with all its workers in one process group."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        own = {"RUSE_DATABASE": f"sqlite:///{folder}/ruse.sqlite3", "RUSE_RELABEL_WORKER": "false"}
        self._settings = own | settings
        self.log = folder / "log"
        self.url = ""
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, port: int = 0) -> None:
        """Starts it and waits until it is ready."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RUSE_")}
        began = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as sink:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "service", "serve", "--port", str(port)],
                cwd=ROOT, env=kept | self._settings, stdout=sink, stderr=sink, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + 60
        while True:
            assert self.process.poll() is None, self.log.read_text("utf-8")[-2_000:]
            assert time.monotonic() < deadline, "the service does not start"
            with self.log.open("rb") as log:
                log.seek(began)
                found = re.search(rb'listens on (http[^\s"]+)', log.read(100_000))
            if found:
                self.url = found[1].decode()
                try:
                    if httpx.get(f"{self.url}/health/ready", trust_env=False).status_code == 200:
                        return
                except httpx.HTTPError:
                    pass
            time.sleep(0.05)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rsplit(":", 1)[1])

    def workers(self) -> list[int]:
        """The processes that answer: its children, or itself where there are none."""
        assert self.process
        pid = self.process.pid
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(word) for word in found] or [pid]

    def kill(self) -> None:
        """kill -9 of the parent and all workers at once."""
        assert self.process
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """SIGTERM."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def memory(self) -> float:
        """Megabytes of all its processes, shared pages divided among those that share them."""
        assert self.process
        total = 0
        for pid in {self.process.pid, *self.workers()}:
            try:
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            except OSError:
                continue
            total += int(re.search(r"^Pss:\s+(\d+)", rollup, re.MULTILINE)[1])  # type: ignore[index]
        return total / 1024


class Ledger:
    """What the service has acknowledged, and what went wrong."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, tuple[str, str]] = {}  # external id -> report, text
        self.asked: set[str] = set()  # external ids whose erasure was asked for: they may be gone
        self.erased: set[str] = set()  # those whose erasure was acknowledged: they must be gone
        self.returned = 0  # erased reports that were stored again when they were sent again
        self.statuses: Counter[int] = Counter()
        self.broken = 0  # connections that ended without an answer
        self.seconds: list[float] = []
        self._turn = threading.Lock()

    def note(self, external_id: str, text: str, answer: httpx.Response, seconds: float) -> None:
        """An answer to a report that was sent."""
        with self._turn:
            self.statuses[answer.status_code] += 1
            self.seconds.append(seconds)
            if answer.status_code in (200, 201):
                report = answer.json()["id"]
                before = self.acknowledged.setdefault(external_id, (report, text))
                assert before == (report, text), "the same external id was answered by two reports"

    def erase(self, client: httpx.Client, url: str, name: str) -> httpx.Response | None:
        """Sends a DELETE, and notes that it was acknowledged; None where the connection broke."""
        with self._turn:
            self.asked.add(name)
            report = self.acknowledged[name][0]
        try:
            answer = client.delete(f"{url}/v1/reports/{report}")
        except httpx.HTTPError:
            with self._turn:
                self.broken += 1
            return None
        with self._turn:
            if answer.status_code == 204:
                self.erased.add(name)
        return answer

    def check(self, folder: Path) -> dict[str, int]:
        """Every acknowledged report is there, once and with its text; nothing is there twice.

        And every erased one is gone, from the tables and from the bytes of the files.
        """
        database = Database(f"sqlite:///{folder}/ruse.sqlite3")
        stored: dict[str, list[tuple[str, str]]] = {}
        cursor = None
        while True:
            page, cursor = Store(database).page(Filters(), 200, cursor)
            for report in page:
                entry = (report["id"], report["text"])
                stored.setdefault(report["external_id"], []).append(entry)
            if cursor is None:
                break
        with database.reading() as connection:
            sound = connection.exec_driver_sql("PRAGMA integrity_check").scalar()
        database.close()
        kept = {name: entry for name, entry in self.acknowledged.items() if name not in self.asked}
        return {
            "acknowledged": len(self.acknowledged),
            "erased": len(self.erased),
            "erasures_unanswered": len(self.asked - self.erased),
            "lost": sum(entry not in stored.get(name, []) for name, entry in kept.items()),
            "doubled": sum(len(entries) > 1 for entries in stored.values()),
            "not_erased": sum(name in stored for name in self.erased),
            "in_files": len(self.erased & in_files(folder)),
            "returned": self.returned,
            "stored": len(stored),
            "damaged": int(sound != "ok"),
        }


def send(client: httpx.Client, url: Callable[[], str], ledger: Ledger, name: str, text: str,
         stop: threading.Event, key: bool = False) -> None:  # fmt: skip
    """Sends one report until it is acknowledged or the proof ends."""
    headers = {"Idempotency-Key": name} if key else {}
    while not stop.is_set():
        began = time.perf_counter()
        try:
            sent = {"text": text, "external_id": name}
            answer = client.post(f"{url()}/v1/reports", json=sent, headers=headers)
        except httpx.HTTPError:
            with ledger._turn:
                ledger.broken += 1
            stop.wait(0.05)
            continue
        ledger.note(name, text, answer, time.perf_counter() - began)
        if answer.status_code in (200, 201):
            return


def write_until(stop: threading.Event, service: Service, ledger: Ledger, writer: int) -> None:
    """Sends reports one after the other, each until it is acknowledged, and has every tenth erased."""
    with httpx.Client(trust_env=False, timeout=20) as client:
        n = 0
        while not stop.is_set():
            n += 1
            name, text = entry(writer, n)
            send(client, lambda: service.url, ledger, name, text, stop, key=n % 2 == 0)
            if n % 10 == 0 and name in ledger.acknowledged:
                erase(client, service, ledger, name, stop)
                again(client, service, ledger, name)


def entry(writer: int, n: int) -> tuple[str, str]:
    """The name of a report, and its text, which holds the name."""
    name = f"report-{writer}-{n}-end"
    return name, f"{TEXTS[n % len(TEXTS)].format(n * 37 + writer)} {name}"


def erase(client: httpx.Client, service: Service, ledger: Ledger, name: str, stop: threading.Event) -> None:
    """Sends a DELETE again and again until it is acknowledged or the proof ends."""
    while not stop.is_set():
        answer = ledger.erase(client, service.url, name)
        if answer is not None:
            with ledger._turn:
                ledger.statuses[answer.status_code] += 1
            if answer.status_code == 204:
                return
        stop.wait(0.05)


def again(client: httpx.Client, service: Service, ledger: Ledger, name: str) -> None:
    """Sends an erased report once more, as a late repetition would; it must not be stored."""
    try:
        sent = {"text": ledger.acknowledged[name][1], "external_id": name}
        answer = client.post(f"{service.url}/v1/reports", json=sent)
    except httpx.HTTPError:
        return
    with ledger._turn:
        ledger.statuses[answer.status_code] += 1
        ledger.returned += name in ledger.erased and answer.status_code in (200, 201)


def kills(folder: Path, rounds: int, writers: int = 4, **settings: str) -> dict[str, Any]:
    """kill -9 of everything while reports are written, again and again."""
    lot = random.Random(5)
    service, ledger, stop = Service(folder, **settings), Ledger(), threading.Event()
    service.start()
    threads = [threading.Thread(target=write_until, args=(stop, service, ledger, n)) for n in range(writers)]
    for thread in threads:
        thread.start()
    for _ in range(rounds):
        time.sleep(lot.uniform(0.05, 0.6))
        port = service.port
        service.kill()
        service.start(port)
    time.sleep(0.3)
    stop.set()
    for thread in threads:
        thread.join()
    service.kill()
    service.start()
    settle(service, ledger)
    service.stop()
    return {"kills": rounds + 1, "broken": ledger.broken, **ledger.check(folder), **statuses(ledger)}


def crowd(folder: Path, writers: int, each: int, **settings: str) -> dict[str, Any]:
    """Many writers at once; none is ever told that the database is locked."""
    service, ledger, stop = Service(folder, **settings), Ledger(), threading.Event()
    service.start()

    def write(writer: int) -> None:
        with httpx.Client(trust_env=False, timeout=60) as client:
            for n in range(each):
                send(client, lambda: service.url, ledger, *entry(writer, n), stop)

    began = time.perf_counter()
    threads = [threading.Thread(target=write, args=(n,)) for n in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    service.stop()
    rate = round(len(ledger.acknowledged) / seconds, 1)
    return {
        "writers": writers,
        "reports_per_second": rate,
        **quantiles(ledger.seconds),
        **ledger.check(folder),
        **statuses(ledger),
    }


def in_files(folder: Path) -> set[str]:
    """The names of reports that stand anywhere in the bytes of the store's files."""
    found: set[str] = set()
    for path in folder.glob("ruse.sqlite3*"):
        with suppress(FileNotFoundError):
            found |= {name.decode() for name in re.findall(rb"report-\d+-\d+-end", path.read_bytes())}
    return found


def settle(service: Service, ledger: Ledger) -> None:
    """Waits, two minutes at most, until the service has written its file anew after the last erasure."""
    deadline = time.monotonic() + 120
    while ledger.erased & in_files(service.folder) and time.monotonic() < deadline:
        time.sleep(0.25)


def two_models(folder: Path, source: Path) -> Path:
    """A folder of two models that differ by name only, the first promoted."""
    for version in ("9.0.0-a", "9.0.0-b"):
        shutil.copytree(source, folder / version)
        path = folder / version / "manifest.json"
        manifest = json.loads(path.read_text("utf-8")) | {"version": version}
        path.write_text(json.dumps(manifest), "utf-8")
    promote(folder, "9.0.0-a")
    return folder


def promote(folder: Path, version: str) -> None:
    """Makes a model the current one."""
    (folder / "current.new").write_text(version)
    (folder / "current.new").rename(folder / "current")


def load(folder: Path, seconds: float, source: Path, kill_every: float, promote_every: float,
         **settings: str) -> dict[str, Any]:  # fmt: skip
    """A mixed load with promotions and kills of single workers in it."""
    models = two_models(folder / "models", source)
    fixed = {"RUSE_MODELS": str(models), "RUSE_WORKERS": "2", "RUSE_MODEL_POLL": "0.5"}
    service = Service(folder, **fixed | settings)
    ledger, stop = Ledger(), threading.Event()
    service.start()
    threads = [threading.Thread(target=write_until, args=(stop, service, ledger, n)) for n in range(2)]
    threads += [threading.Thread(target=mix, args=(stop, service, ledger, n)) for n in range(3)]
    for thread in threads:
        thread.start()
    began = time.monotonic()
    memory: list[float] = []
    killed = promoted = 0
    while (gone := time.monotonic() - began) < seconds:
        time.sleep(0.25)
        if gone > (promoted + 1) * promote_every:
            promoted += 1
            promote(models, ("9.0.0-b", "9.0.0-a")[promoted % 2])
        workers = service.workers()
        if gone > (killed + 1) * kill_every and len(workers) == 2:
            os.kill(random.choice(workers), signal.SIGKILL)
            killed += 1
        elif len(workers) == 2:
            memory.append(service.memory())
    stop.set()
    for thread in threads:
        thread.join()
    metrics = httpx.get(f"{service.url}/metrics", trust_env=False).text
    settle(service, ledger)
    service.stop()
    # A worker that was just begun has not all its pages yet: the upper quartile of each fifth.
    fifth = max(1, len(memory) // 5)
    parts = [sorted(memory[at : at + fifth])[fifth * 3 // 4] for at in range(0, fifth * 5, fifth)]
    return {
        "seconds": round(seconds),
        "kills": killed,
        "promotions": promoted,
        "requests": sum(ledger.statuses.values()),
        "server_errors": sum(n for status, n in ledger.statuses.items() if status >= 500),
        "broken": ledger.broken,
        "memory_mb": [round(part, 1) for part in parts],
        "memory_growth": round(parts[-1] / parts[1] - 1, 3),
        "metrics_bytes": len(metrics),
        **quantiles(ledger.seconds),
        **ledger.check(folder),
        **statuses(ledger),
    }


def mix(stop: threading.Event, service: Service, ledger: Ledger, worker: int) -> None:
    """Everything that a desk does but sending reports."""
    lot = random.Random(worker)
    with httpx.Client(base_url=service.url, trust_env=False, timeout=20) as client:
        while not stop.is_set():
            began = time.perf_counter()
            try:
                answer = turn(client, ledger, lot, worker)
            except httpx.HTTPError:
                with ledger._turn:
                    ledger.broken += 1
                stop.wait(0.05)
                continue
            with ledger._turn:
                ledger.statuses[answer.status_code] += 1
                ledger.seconds.append(time.perf_counter() - began)
            stop.wait(0.01)  # a client thinks, too


def turn(client: httpx.Client, ledger: Ledger, lot: random.Random, worker: int) -> httpx.Response:
    """One request of the mix."""
    what = lot.random()
    texts = [text.format(lot.randrange(10_000)) for text in TEXTS]
    if what < 0.45:
        return client.post("/v1/classify?include=advice,evidence,candidates", json={"text": texts[0]})
    if what < 0.6:
        answer = client.post("/v1/classify/batch", json={"texts": texts * 10})
        if answer.status_code == 200:
            versions = {said["model"] for said in answer.json()["predictions"]}
            assert versions == {answer.json()["model"]}, "an answer mixes two models"
        return answer
    if what < 0.75:
        return client.get("/v1/reports", params={"limit": 20, "needs_review": "true"})
    if what < 0.8:
        return client.get("/metrics")
    with ledger._turn:
        names = list(ledger.acknowledged)[-500:]
    if what < 0.84 and names:
        answer = ledger.erase(client, str(client.base_url).rstrip("/"), lot.choice(names))
        if answer is not None:
            return answer
    answer = client.get("/v1/queue", params={"reviewer": f"desk-{worker}", "limit": 5})
    for report in answer.json().get("reports", ()) if answer.status_code == 200 else ():
        said = {"category": report["suggestions"][0], "reviewer": f"desk-{worker}"}
        answer = client.put(f"/v1/reports/{report['id']}/review", json=said)
    return answer


def judge(url: str, folder: Path, examples: int, seed: int) -> subprocess.CompletedProcess[str]:
    """Runs all phases of schemathesis against a service, with everything that it can check."""
    program = shutil.which("st", path=str(Path(sys.executable).parent)) or "st"
    config = str(ROOT / "tests" / "schemathesis.toml")
    phases = "--phases=examples,coverage,fuzzing,stateful"
    words = [program, "--config-file", config, "run", f"{url}/openapi.json", phases, "--no-color"]
    words += ["--generation-database", "none", "--max-examples", str(examples), "--seed", str(seed)]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True)


def contract(folder: Path, examples: int) -> dict[str, Any]:
    """The whole OpenAPI description under schemathesis, single requests and stories."""
    service = Service(folder)
    service.start()
    run = judge(service.url, folder, examples, seed=2)
    service.stop()
    cases = re.search(r"(\d+) generated", run.stdout)
    operations = re.search(r"Tested: (\d+)", run.stdout)
    failed = int(run.returncode > 0 or not cases or "Stateful" not in run.stdout)
    if failed:
        print(run.stdout, file=sys.stderr)
    return {
        "examples": examples,
        "operations": int(operations[1]) if operations else 0,
        "cases": int(cases[1]) if cases else 0,
        "failed": failed,
    }


def quantiles(seconds: list[float]) -> dict[str, float]:
    """Milliseconds that requests took."""
    cuts = statistics.quantiles(seconds, n=100)
    return {"median_ms": round(cuts[49] * 1e3, 1), "p99_ms": round(cuts[98] * 1e3, 1)}


def statuses(ledger: Ledger) -> dict[str, dict[str, int]]:
    """How often each status was answered."""
    return {"statuses": {str(status): n for status, n in sorted(ledger.statuses.items())}}


def main() -> int:
    """Runs all proofs in their long form and writes the results; 1 where a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--examples", type=int, default=300, help="that schemathesis makes for each route")
    parser.add_argument("--only", nargs="+", help="proofs to run; what the file has of the others stays")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    chosen = parser.parse_args()
    shipped = ROOT / "model" / "artifact"
    today = datetime.now(UTC).date().isoformat()
    results: dict[str, Any] = {
        "command": f"python -m benchmarks.prove_service --minutes {chosen.minutes:g} --kills {chosen.kills} "
        f"--examples {chosen.examples}",
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
    }
    if chosen.only:
        results = json.loads(chosen.out.read_text("utf-8"))
    proofs: dict[str, Callable[[Path], dict[str, Any]]] = {
        "contract": lambda folder: contract(folder, chosen.examples),
        "crowd": lambda folder: crowd(folder, 20, 100, RUSE_WORKERS="2"),
        "kills": lambda folder: kills(folder, chosen.kills),
        "load": lambda folder: load(folder, chosen.minutes * 60, shipped, 20.0, 7.0),
    }
    for name in chosen.only or proofs:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            found = proofs[name](Path(folder))
        results[name] = {"date": today, "seconds": round(time.monotonic() - began), **found}
        print(name, json.dumps(results[name]), flush=True)
        results["broken_promises"] = sum(
            results[done].get(promise, 0) for done in proofs if done in results for promise in PROMISES
        )
        chosen.out.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    return int(results["broken_promises"] > 0)


if __name__ == "__main__":
    sys.exit(main())
