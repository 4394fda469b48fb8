"""`python -m service serve`: a real process, from its start to its end."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from model import Classifier, load
from service import schemas
from service.server import listen
from tests.serving import until_ready

ROOT = Path(__file__).resolve().parent.parent
SECRET = "kestrel"
BODY = b'{"text":"He said my parcel was lost, kestrel."}'


@dataclass
class Served:
    """A running process, a client of it, and where its log goes."""

    process: subprocess.Popen[bytes]
    client: httpx.Client
    log: Path

    @property
    def address(self) -> tuple[str, int]:
        return self.client.base_url.host, self.client.base_url.port or 0


def environment(**variables: str) -> dict[str, str]:
    """This one's without the settings of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RUSE_")}
    return kept | variables


@contextmanager
def served(log: Path, **variables: str) -> Iterator[Served]:
    """A ready process on a free port, killed at the end if it has not stopped by itself."""
    command = [sys.executable, "-m", "service", "serve", "--port", "0"]
    # The process for jobs costs as much as the service to start; few tests need it.
    defaults = {"RUSE_DATABASE": f"sqlite:///{log.parent}/ruse.sqlite3", "RUSE_RELABEL_WORKER": "false"}
    variables = defaults | variables
    with log.open("wb") as sink:
        process = subprocess.Popen(command, cwd=ROOT, env=environment(**variables), stderr=sink, stdout=sink)
    try:
        deadline = time.monotonic() + 60
        while not (found := re.search(r"listens on (http[^\s\"]+)", log.read_text("utf-8"))):
            assert process.poll() is None, log.read_text("utf-8")
            assert time.monotonic() < deadline, log.read_text("utf-8")
            time.sleep(0.05)
        with httpx.Client(base_url=found[1], timeout=60, trust_env=False) as client:
            until_ready(client)
            yield Served(process, client, log)
    finally:
        process.kill()
        process.wait()


def refused(*arguments: str, **variables: str) -> str:
    """What a start that must fail says; it ends with exit code 2 and without a traceback."""
    with TemporaryDirectory() as folder:
        run = subprocess.run(
            [sys.executable, "-m", "service", "serve", *arguments],
            cwd=ROOT,
            env=environment(RUSE_DATABASE=f"sqlite:///{folder}/ruse.sqlite3") | variables,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert run.returncode == 2
    assert "Traceback" not in run.stderr
    return run.stderr


def test_the_shipped_model_is_served(classifier: Classifier, tmp_path: Path) -> None:
    """With no setting at all the process answers both routes as the shipped model does."""
    texts = ["我在网上刷单被骗了三千块", "They approved my loan but first I must pay a fee."]
    with served(tmp_path / "log") as it:
        answer = it.client.post("/v1/classify/batch", json={"texts": texts}).json()
        assert answer["predictions"] == [one.as_dict() for one in classifier.classify(texts)]
        assert answer["model"] == it.client.get("/v1/model").json()["version"]
        assert answer["taxonomy"] == it.client.get("/v1/taxonomy").json()["version"]
        for text, expected in zip(texts, answer["predictions"], strict=True):
            single = it.client.post("/v1/classify", json={"text": text})
            schemas.Prediction.model_validate_json(single.content)
            assert single.json() == expected


def test_a_life_from_ready_to_term(small_model: Path, tmp_path: Path) -> None:
    """RUSE_MODELS is served; SIGTERM closes the port, finishes what is in flight, then ends it."""
    with served(tmp_path / "log", RUSE_MODELS=str(small_model)) as it:
        assert it.client.get("/v1/model").json()["version"] == load(small_model).manifest.version
        head = (
            b"POST /v1/classify HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(BODY)
        )
        with socket.create_connection(it.address, timeout=10) as slow:
            slow.sendall(head + BODY[:9])
            it.client.get("/health/ready")  # by now the half request has been read
            it.process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + 10
            while _connects(it.address):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            assert it.process.poll() is None
            slow.sendall(BODY[9:])
            assert slow.recv(65_536).startswith(b"HTTP/1.1 200 OK\r\n")
        assert it.process.wait(10) == -signal.SIGTERM
        assert "ERROR" not in it.log.read_text("utf-8")


def test_grace_ends(small_model: Path, tmp_path: Path) -> None:
    """A request that does not finish within the grace is answered 503, and the process ends."""
    with served(tmp_path / "log", RUSE_MODELS=str(small_model), RUSE_GRACE="1") as it:
        with socket.create_connection(it.address, timeout=10) as slow:
            slow.sendall(
                b"POST /v1/classify HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                b"Content-Length: 99\r\n\r\n{"
            )
            it.client.get("/health/ready")
            it.process.send_signal(signal.SIGTERM)
            answer = b"".join(iter(lambda: slow.recv(65_536), b""))
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b'"code":"shutting_down"' in answer
        it.process.wait(10)


def _connects(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=1).close()
    except OSError:
        return False
    return True


def test_the_log_tells_of_settings_and_of_no_text(small_model: Path, tmp_path: Path) -> None:
    """A variable that only looks like a setting is told of and stops nothing; of what clients send, the
    log repeats nothing."""
    with served(tmp_path / "log", RUSE_MODELS=str(small_model), RUSE_PROT="1") as it:
        assert "RUSE_PROT" in it.log.read_text("utf-8")
        client = it.client
        client.post("/v1/classify", json={"text": f"{SECRET} took my money"})
        client.post("/v1/classify", json={"text": f"{SECRET}\0"})
        client.post("/v1/classify", json={SECRET: SECRET})
        client.post("/v1/classify", content=f'{{"text": "{SECRET}'.encode())
        client.post(f"/v1/classify?text={SECRET}", json={"text": SECRET})
        client.get(f"/{SECRET}", headers={"X-Text": SECRET, "User-Agent": SECRET})
        client.request(SECRET, "/v1/classify")
        with socket.create_connection(it.address, timeout=10) as raw:
            raw.sendall(f"{SECRET}\r\n\r\n".encode())
            raw.recv(65_536)
        it.process.send_signal(signal.SIGTERM)
        it.process.wait(10)
        log = it.log.read_text("utf-8")
        assert "listens on" in log
        assert SECRET not in log


def test_wrong_settings_end_the_start() -> None:
    """Every wrong setting is named at once, without its value, and exit code 2 says so."""
    said = refused(RUSE_PORT=SECRET, RUSE_TEXT_LIMIT="0")
    assert said.startswith("settings_invalid: ")
    assert "RUSE_PORT" in said
    assert "RUSE_TEXT_LIMIT" in said
    assert SECRET not in said


def test_a_missing_model_ends_the_start(tmp_path: Path) -> None:
    """A folder without a model ends the start and is named."""
    said = refused(RUSE_MODELS=str(tmp_path))
    assert said.startswith("artifact_invalid: ")
    assert str(tmp_path) in said


def test_a_taken_port_ends_the_start(small_model: Path) -> None:
    """A port that is taken ends the start with its name and what to do."""
    with listen("127.0.0.1", 0) as listener:
        port = str(listener.getsockname()[1])
        said = refused("--port", port, RUSE_MODELS=str(small_model))
    assert "address_unusable: " in said
    assert port in said
    assert "choose another" in said
