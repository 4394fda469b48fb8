"""Tortures `python -m service relabel` and checks what it promises: `make prove-relabel`.

    python -m benchmarks.prove_relabel [--rows 2000000] [--kills 100] [--only PROOF ...] [--out FILE]

Each proof is a function of its size, so that the tests run a short form of the same code. Kills are
real `kill -9` of workers, of the parent, and of both; the full disk is a file system of its own, for
which one must be root.
"""

import argparse
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
LABELS = ("fake_loan", "part_time_job", "romance", "retired_name")  # the old ones; the last leads nowhere
GROUP = 50_000  # rows of a row group of the input


def texts(count: int = 5_000) -> list[str]:
    """Reports of our own corpus."""
    from model import taxonomy
    from training import corpora

    found = [example.text for example in corpora.read(corpora.listed()["own"], taxonomy.load())]
    return random.Random(1).sample(found, min(count, len(found)))


def make(path: Path, rows: int, words: list[str], labels: tuple[str, ...]) -> Path:
    """A Parquet file of reports with ids, old labels and a column of each of some types."""
    known = pa.array(words)
    chance = np.random.default_rng(1)
    writer: pq.ParquetWriter | None = None
    for first in range(0, rows, GROUP):
        n = min(GROUP, rows - first)
        table = pa.table(
            {
                "id": pa.array(np.arange(first, first + n)),
                "text": known.take(pa.array(chance.integers(len(words), size=n))),
                "was": pa.array(labels).take(pa.array(chance.integers(len(labels), size=n))),
                "loss": pa.array(chance.random(n, np.float32)),
                "at": pa.array(chance.integers(10**9, size=n), pa.timestamp("s", "UTC")),
            }
        )
        if writer is None:
            # Texts in full, as in real data, where hardly two are the same.
            writer = pq.ParquetWriter(path, table.schema, use_dictionary=["was"])
        writer.write_table(table)
    if writer is not None:
        writer.close()
    return path


class Run:
    """A relabelling as a process of its own, with its workers in one process group."""

    def __init__(self, source: Path, target: Path, *words: str, **settings: str) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RUSE_")}
        command = [sys.executable, "-m", "service", "relabel", str(source), str(target)]
        command += ["--id-column", "id", "--label-column", "was", *words]
        self.target = target
        self._killed = False
        with tempfile.TemporaryFile() as sink:
            self._said = os.dup(sink.fileno())
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=kept | settings, stdout=sink, stderr=sink, start_new_session=True
            )
        self._began = time.monotonic()

    def kill(self, whom: str) -> bool:
        """kill -9 of a `worker`, the `parent` or `both`; whether there was somebody to kill."""
        if self.process.poll() is not None:
            return False
        self._killed = whom != "worker"
        if whom == "both":
            os.killpg(self.process.pid, signal.SIGKILL)
        elif whom == "parent":
            self.process.kill()
        else:
            there = workers(self.process.pid)
            if not there:
                return False
            os.kill(random.choice(there), signal.SIGKILL)
        return True

    def has_ended(self) -> bool:
        """Whether it is gone, or about to be since it was killed."""
        return self._killed or self.process.poll() is not None

    def done(self) -> int:
        """How many parts are noted."""
        try:
            return (self.target / "_ruse" / "chunks.jsonl").read_bytes().count(b"\n")
        except FileNotFoundError:
            return 0

    def wait(self, timeout: float = 7_200) -> int:
        """Its exit code."""
        return self.process.wait(timeout)

    def seconds(self) -> float:
        """How long it took; it must end well."""
        assert self.wait() == 0, self.said()
        return time.monotonic() - self._began

    def said(self) -> str:
        """What it said."""
        return os.pread(self._said, 100_000, 0).decode()


def descendants(pid: int) -> list[int]:
    """All processes below one, as Linux tells them."""
    below: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            below += map(int, task.read_text().split())
    return below + [inner for child in below for inner in descendants(child)]


def workers(pid: int) -> list[int]:
    """Those below a process that work on chunks: not those that look after them."""
    found = []
    for child in descendants(pid):
        with suppress(OSError):
            command = Path(f"/proc/{child}/cmdline").read_bytes()
            if command and b"resource_tracker" not in command:
                found.append(child)
    return found


def parts(target: Path) -> dict[str, bytes]:
    """All parts and the report of a target."""
    found = {path.name: path.read_bytes() for path in sorted(target.glob("part-*"))}
    return found | {"report.json": (target / "_ruse" / "report.json").read_bytes()}


def kills(
    folder: Path, source: Path, count: int, chunk: int, crew: int = 2, seed: int = 1, **settings: str
) -> dict[str, Any]:
    """Kills workers, the parent or both, `count` times while a job runs, and compares what comes out
    with an undisturbed run; while that one runs, a second process tries to work on its target."""
    words = ("--chunk", str(chunk), "--workers", str(crew))
    calm = Run(source, folder / "calm", *words, **settings)
    second = second_parent(calm, source, *words, **settings)
    assert calm.wait() == 0, calm.said()
    chance = random.Random(seed)
    whoms = [("worker", "parent", "both")[at % 3] for at in range(count)]
    chance.shuffle(whoms)
    done: Counter[str] = Counter()
    # So few parts are done between two kills that all kills come before the end.
    step = max((calm.done() - 2 * crew) // count - 1, 0)
    pause = seconds_a_part(folder / "calm")
    target, starts = folder / "torn", 1
    run = Run(source, target, *words, **settings)
    while whoms:
        goal = run.done() + chance.randint(0, step)
        while run.done() < goal and run.process.poll() is None:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, pause))
        if run.kill(whoms[-1]):
            done[whoms.pop()] += 1
        if run.has_ended():
            if run.wait() == 0:
                break  # it was faster than the kills
            assert run.wait() == -signal.SIGKILL, run.said()
            run = Run(source, target, *words, **settings)
            starts += 1
    assert run.wait() == 0, run.said()
    before, after = parts(folder / "calm"), parts(target)
    ids = pq.read_table(sorted(target.glob("part-*")), columns=["id"])["id"].to_numpy()
    rows = pq.ParquetFile(source).metadata.num_rows
    return {
        "rows": rows,
        "kills": dict(done),
        "second_parent": second,
        "starts": starts,
        "parts": len(after) - 1,
        "parts_that_differ": sorted(name for name in before | after if before.get(name) != after.get(name)),
        "rows_lost": rows - len(np.unique(ids)),
        "rows_doubled": len(ids) - len(np.unique(ids)),
        "left_behind": len(list(target.glob(".part-*"))),
    }


def seconds_a_part(target: Path) -> float:
    """How long a part took of the second half of a job."""
    ends = sorted(path.stat().st_mtime for path in target.glob("part-*"))
    half = ends[len(ends) // 2 :]
    return (half[-1] - half[0]) / max(len(half) - 1, 1)


def second_parent(first: Run, source: Path, *words: str, **settings: str) -> str:
    """What a second process on the target of a running one says; the first is held meanwhile."""
    while first.done() < 1:
        assert first.process.poll() is None, first.said()
        time.sleep(0.01)
    os.killpg(first.process.pid, signal.SIGSTOP)
    try:
        second = Run(source, first.target, *words, **settings)
        code = second.wait()
    finally:
        os.killpg(first.process.pid, signal.SIGCONT)
    assert code == 2, second.said()
    return second.said()


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """A file system of so many bytes. Raises PermissionError where this user may not mount one."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        raise PermissionError("this user may not mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def full_disk(folder: Path, source: Path, chunk: int, calm: Path, **settings: str) -> dict[str, Any]:
    """A disk that fills up midway ends the job with a clear error; it resumes when there is space."""
    words = ("--chunk", str(chunk))
    need = sum(path.stat().st_size for path in calm.rglob("*") if path.is_file())
    with small_disk(folder / "disk", 4 * need):
        ballast = folder / "disk" / "ballast"
        ballast.write_bytes(bytes(int(3.5 * need)))
        target = folder / "disk" / "target"
        run = Run(source, target, *words, **settings)
        code, said, midway = run.wait(), run.said(), run.done()
        ballast.unlink()
        again = Run(source, target, *words, **settings)
        after = again.wait()
        assert after == 0, again.said()
        same = parts(target) == parts(calm)
    return {"full": code, "said": said, "parts_before": midway, "resumed": after, "same": same}


def spark(folder: Path, source: Path, **settings: str) -> dict[str, Any]:
    """Spark on two cores of this machine against the local engine, row by row."""
    for name, words in (("local", ()), ("spark", ("--engine", "spark=local[2]"))):
        run = Run(source, folder / name, *words, **settings)
        assert run.wait() == 0, run.said()
    one, other = (
        pq.ParquetDataset(folder / name).read().sort_by("id").combine_chunks() for name in ("local", "spark")
    )
    reports = [
        json.loads((folder / name / "_ruse" / "report.json").read_text()) for name in ("local", "spark")
    ]
    counted = [{k: v for k, v in report.items() if not k.endswith("_changes")} for report in reports]
    return {
        "rows": one.num_rows,
        "same_rows": one.cast(other.schema).equals(other),
        "same_types": one.schema.names == other.schema.names,
        "same_report": counted[0] == counted[1],
    }


def large(folder: Path, source: Path, workers: int, **settings: str) -> dict[str, Any]:
    """One run over a large file: rate, and memory (PSS, summed over all processes) as it goes."""
    run = Run(source, folder / "large", "--workers", str(workers), **settings)
    sizes: list[int] = []

    def sample() -> None:
        while run.process.poll() is None:
            sizes.append(sum(map(pss, [run.process.pid, *descendants(run.process.pid)])))
            time.sleep(0.5)

    watch = threading.Thread(target=sample)
    watch.start()
    seconds = run.seconds()
    watch.join()
    rows = pq.ParquetFile(source).metadata.num_rows
    tenth = max(len(sizes) // 10, 1)
    return {
        "rows": rows,
        "seconds": round(seconds, 1),
        "rows_per_second": round(rows / seconds),
        "input_bytes": source.stat().st_size,
        "pss_peak_mb": round(max(sizes) / 2**20),
        "pss_mb_by_tenths": [
            round(max(sizes[at : at + tenth]) / 2**20) for at in range(0, len(sizes), tenth)
        ][:10],
    }


def pss(pid: int) -> int:
    """The memory of a process, bytes: its own, and its share of what it has in common with others."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0


def _torn(folder: Path, options: argparse.Namespace, write: Callable[[Path, int], Path]) -> dict[str, Any]:
    source = write(folder / "reports.parquet", options.rows)
    chunk = max(options.rows // (4 * options.kills), 100)
    found: dict[str, Any] = {"kills": kills(folder, source, options.kills, chunk, options.workers)}
    try:
        found["full_disk"] = full_disk(folder, source, chunk, folder / "calm")
    except PermissionError as error:
        found["full_disk"] = {"skipped": str(error)}
    return found


def _spark(folder: Path, options: argparse.Namespace, write: Callable[[Path, int], Path]) -> dict[str, Any]:
    some = write(folder / "some.parquet", min(options.rows, 200_000))
    try:
        found = spark(folder, some)
        again = Run(some, folder / "spark", "--engine", "spark=local[2]")
        return found | {"second_time": (again.wait(), again.said().splitlines()[-1])}
    except AssertionError as error:
        return {"failed": str(error)[:500]}


def main() -> int:
    """Runs all proofs and writes what was found; 1 where a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only", nargs="+", choices=("torn", "spark"), help="Keeps the others.")
    parser.add_argument("--folder", type=Path, help="Where there is room for the files.")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("prove_relabel.json"))
    options = parser.parse_args()
    sizes = f"--rows {options.rows} --kills {options.kills}"
    found: dict[str, Any] = json.loads(options.out.read_text("utf-8")) if options.only else {}
    found |= {"machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"}
    folder = Path(tempfile.mkdtemp(prefix="ruse-prove-", dir=options.folder))
    known = texts()
    proofs = {"torn": _torn, "spark": _spark}
    try:
        for name in options.only or proofs:
            about = {
                "command": f"python -m benchmarks.prove_relabel {sizes} --workers {options.workers}",
                "date": datetime.now(UTC).date().isoformat(),
                "load_average_before": round(os.getloadavg()[0], 1),
            }
            made = proofs[name](folder, options, lambda to, rows: make(to, rows, known, LABELS))
            found[name] = about | made | {"load_average_after": round(os.getloadavg()[0], 1)}
            for left in folder.iterdir():
                shutil.rmtree(left) if left.is_dir() else left.unlink()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    text = json.dumps(found, indent=1).replace(f"{folder}/", "")
    options.out.write_text(text + "\n", "utf-8")
    print(text)
    torn, full = found["torn"]["kills"], found["torn"]["full_disk"]
    broken = torn["parts_that_differ"] or torn["rows_lost"] or torn["rows_doubled"] or torn["left_behind"]
    return int(bool(broken) or not full.get("same", True) or not found["spark"].get("same_rows", False))


if __name__ == "__main__":
    sys.exit(main())
