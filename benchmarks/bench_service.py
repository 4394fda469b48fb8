"""The rows of `make bench` about the service: one worker on one core, its clients on another."""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import model
from benchmarks import bench_texts
from benchmarks.bench_apart import apart, cores
from model.classifier import Classifier, Prediction

ROOT = Path(__file__).resolve().parent.parent
CONNECTIONS = 16


class Stub:
    """A classifier that costs nothing: it gives every text the answer that the model gave once."""

    def __init__(self, classifier: Classifier) -> None:
        self.manifest = classifier.manifest
        self.taxonomy = classifier.taxonomy
        self.explain = classifier.explain
        self._said = classifier.classify(["He promised me a loan and kept the fee"])

    def classify(self, texts: list[str]) -> list[Prediction]:
        """The same answer for each."""
        return self._said * len(texts)


def serve(kind: str, folder: str) -> None:
    """Serves the app with the shipped model, or with a stub in its place, as `service serve` does."""
    import gc

    from model.lean import without_scipy
    from service import server, telemetry
    from service.app import create_app
    from service.database import Database
    from service.models import Models
    from service.settings import Settings

    telemetry.configure_logs()
    without_scipy()
    settings = Settings(database=f"sqlite:///{folder}/{kind}.sqlite3", rate_limit=0, relabel_worker=False)
    Database(settings.database).migrate()
    classifier: Any = model.load()
    models = Models(Stub(classifier) if kind == "stub" else classifier)  # type: ignore[arg-type]
    app = create_app(models, settings)
    models.warm_up()
    listener = server.listen("127.0.0.1", 0)
    print(server.url(listener), flush=True)
    gc.collect()
    gc.freeze()
    server.create_server(app, settings).run(sockets=[listener])


@contextmanager
def running(kind: str) -> Iterator[Callable[[], int]]:
    """A server on the last core, its log thrown away; what gives its port once it listens."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.bench_service", kind, folder]
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, preexec_fn=_last
        )
        assert process.stdout
        output = process.stdout

        def port() -> int:
            return int(output.readline().decode().strip().rsplit(":")[-1])

        try:
            yield port
        finally:
            process.terminate()
            process.wait()
            output.close()


def _last() -> None:
    os.sched_setaffinity(0, set(cores()[-1:]))


def _first() -> None:
    os.sched_setaffinity(0, set(cores()[:1]))


def load(port: int, path: str, bodies: list[Any], connections: int, seconds: float, apart: int = 0) -> Any:
    """What `bench_load` finds, from the first core."""
    order = {"port": port, "path": path, "bodies": bodies, "connections": connections}
    command = [sys.executable, "-m", "benchmarks.bench_load"]
    run = subprocess.run(
        command, cwd=ROOT, input=json.dumps(order | {"seconds": seconds, "apart": apart}).encode(),
        stdout=subprocess.PIPE, check=True, preexec_fn=_first,
    )  # fmt: skip
    return json.loads(run.stdout)


def measure(path: Path, rounds: int, seconds: float, size: int) -> dict[str, float]:
    """Medians of what two servers do, one with the model and one with the stub, in turns.

    Requests a second with the `model` and with the `stub`; milliseconds of a request `plain` and with
    `evidence`, over one connection so that nothing waits in line; texts a second in `batch`es of `size`
    and of the `kernel` on the same core.
    """
    texts = bench_texts.read(path, 20 * size)["text"].to_pylist()
    parts = [texts[at : at + size] for at in range(0, len(texts), size)]
    one = "/v1/classify", [{"text": text} for text in texts[:2_000]]
    many = "/v1/classify/batch", [{"texts": part} for part in parts]
    found: dict[str, list[float]] = {}

    def note(name: str, *figures: float) -> None:
        found.setdefault(name, []).extend(figures)

    with running("model") as real, running("stub") as stub:
        ports = {"model": real(), "stub": stub()}
        for port in ports.values():
            load(port, *one, CONNECTIONS, seconds / 4)
        for _ in range(rounds):
            for kind, port in ports.items():
                note(kind, load(port, *one, CONNECTIONS, seconds)["rate"])
            for kind, query in (("plain", ""), ("evidence", "?include=evidence")):
                note(kind, *load(ports["model"], one[0] + query, one[1], 1, seconds)["ms"])
            note("kernel", apart(cores()[-1:], kernel, parts, seconds))
            note("batch", size * load(ports["model"], *many, 2, seconds)["rate"])
    return {name: statistics.median(figures) for name, figures in found.items()}


def kernel(parts: list[list[str]], seconds: float) -> float:
    """Texts a second of `categories`, a part at a time."""
    classifier = model.load()
    classifier.categories(parts[0])
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        for part in parts:
            classifier.categories(part)
            count += len(part)
    return count / (time.perf_counter() - began)


def start(path: Path, rounds: int) -> dict[str, float]:
    """Seconds from nothing to ready; milliseconds of the first request after it, and of the hundredth.

    Medians; that of the hundredth is over the twenty around it. Each request has a connection of its own.
    """
    bodies = [{"text": text} for text in bench_texts.read(path, 200)["text"].to_pylist()]
    ready, first, hundredth = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds + 1):
            began = time.perf_counter()
            process, url = _begin(folder)
            try:
                # The client begins while the service does: it is there in the moment that this is ready.
                found = load(int(url.rsplit(":")[-1]), "/v1/classify", bodies, 0, 60, apart=110)
                ready.append(found["ready"] - began)
                first.append(found["apart_ms"][0])
                hundredth += found["apart_ms"][90:]
            finally:
                process.terminate()
                process.wait()
                assert process.stderr
                process.stderr.close()
    return {
        "ready": statistics.median(ready[1:] or ready),  # the first start made the store
        "first": statistics.median(first[1:] or first),
        "hundredth": statistics.median(hundredth),
    }


def _begin(folder: str) -> tuple[subprocess.Popen[bytes], str]:
    """`service serve` as anyone would run it, on the last core; where it listens."""
    settings = {"RUSE_DATABASE": f"sqlite:///{folder}/ruse.sqlite3", "RUSE_RELABEL_WORKER": "0"}
    command = [sys.executable, "-m", "service", "serve", "--port", "0"]
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | settings, stderr=subprocess.PIPE, preexec_fn=_last
    )
    assert process.stderr
    for line in process.stderr:
        if listens := re.search(rb"http://[\d.:]+", line):
            return process, listens[0].decode()
    raise RuntimeError("the service did not start")


if __name__ == "__main__":
    serve(*sys.argv[1:])
