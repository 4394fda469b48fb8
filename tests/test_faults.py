"""What the service does when the world fails it: databases that go, disks that fill, secrets everywhere."""

import json
import signal
import socket
import socketserver
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from sqlalchemy.engine import make_url

from service.database import Database
from service.store import Store
from tests.databases import POSTGRESQL, database_url
from tests.fakes import FakeClassifier
from tests.serving import serving
from tests.test_app import assert_problem
from tests.test_serve import served

SENT = {"text": "He took my money."}


def prepare(url: str) -> None:
    """Makes the tables."""
    database = Database(url)
    database.migrate()
    database.close()


def assert_unavailable(client: httpx.Client) -> None:
    """Reports are refused with 503 and when to come again; classifying and health go on."""
    answer = client.post("/v1/reports", json=SENT)
    assert_problem(answer, 503, "store_unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert client.post("/v1/classify", json=SENT).status_code == 200
    assert client.get("/health/ready").status_code == 200


def recovers(client: httpx.Client) -> None:
    """Within ten seconds, without a restart, reports are stored again."""
    deadline = time.monotonic() + 10
    while (answer := client.post("/v1/reports", json=SENT)).status_code != 201:
        assert answer.status_code == 503
        assert time.monotonic() < deadline
        time.sleep(0.05)


def count(client: httpx.Client) -> int:
    """How many reports are stored."""
    return len(client.get("/v1/reports?limit=200").json()["reports"])


def test_a_database_file_that_goes_and_comes_back(tmp_path: Path) -> None:
    """Without its file the store is unavailable and writes nothing elsewhere; with it, all goes on."""
    with database_url("sqlite", tmp_path) as url:
        prepare(url)
        with serving(FakeClassifier(), database=url) as client:
            recovers(client)
            (tmp_path / "ruse.sqlite3").rename(tmp_path / "away")
            assert_unavailable(client)
            assert "ruse_store_up 0.0" in client.get("/metrics").text
            (tmp_path / "away").rename(tmp_path / "ruse.sqlite3")
            recovers(client)
            assert count(client) == 2


class Proxy:
    """A way to PostgreSQL that can be cut and mended, as if the server had gone."""

    def __init__(self, host: str, port: int) -> None:
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                if proxy.is_cut:
                    return
                with socket.create_connection((host, port)) as other:
                    proxy.open |= {self.request, other}
                    back = threading.Thread(target=self.pump, args=(other, self.request))
                    back.start()
                    self.pump(self.request, other)
                    back.join()

            def pump(self, source: socket.socket, target: socket.socket) -> None:
                with suppress(OSError):
                    while data := source.recv(65_536):
                        target.sendall(data)
                for end in (source, target):
                    with suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)

        socketserver.ThreadingTCPServer.daemon_threads = True
        self.is_cut = False
        self.open: set[socket.socket] = set()
        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def cut(self) -> None:
        """Ends all connections, and each new one at once."""
        self.is_cut = True
        for end in self.open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def test_a_server_that_goes_and_comes_back(tmp_path: Path) -> None:
    """While PostgreSQL cannot be reached the store is unavailable; then it goes on without a restart."""
    there = make_url(POSTGRESQL)
    with database_url("postgresql", tmp_path) as url:
        prepare(url)
        proxy = Proxy(str(there.host), there.port or 5432)
        through = url.replace(f":{there.port}/", f":{proxy.server.server_address[1]}/")
        try:
            with serving(FakeClassifier(), database=through) as client:
                recovers(client)
                proxy.cut()
                assert_unavailable(client)
                proxy.is_cut = False
                recovers(client)
                assert count(client) == 2
        finally:
            proxy.cut()
            proxy.server.shutdown()
            proxy.server.server_close()


def test_a_full_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When SQLite finds no room the store is unavailable, nothing half is kept, and room mends it."""
    room = {"pages": 0}
    opening = Database._open

    def open_small(self: Database) -> sqlite3.Connection:
        connection = opening(self)
        if room["pages"]:
            connection.execute(f"PRAGMA max_page_count={room['pages']}")
        return connection

    with database_url("sqlite", tmp_path) as url:
        prepare(url)
        monkeypatch.setattr(Database, "_open", open_small)
        room["pages"] = 60
        long = {"text": "He took my money. " * 400}
        with serving(FakeClassifier(), database=url) as client:
            kept = 0
            while (answer := client.post("/v1/reports", json=long)).status_code == 201:
                kept += 1
                assert kept < 200
            assert_problem(answer, 503, "store_unavailable")
            assert count(client) == kept
            page = client.get("/v1/reports?limit=1").json()["reports"][0]
            assert page["text"] == long["text"]
            client.delete(f"/v1/reports/{page['id']}")
            assert client.post("/v1/reports", json=long).status_code == 201


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of one megabyte; skips where this user may not mount one."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk(tmp_path: Path) -> None:
    """On a disk that is full the store is unavailable; when something is deleted it goes on."""
    with small_disk(tmp_path / "disk") as disk, database_url("sqlite", disk) as url:
        prepare(url)
        with serving(FakeClassifier(), database=url) as client:
            recovers(client)
            ballast = disk / "ballast"
            with suppress(OSError), ballast.open("wb", buffering=0) as file:
                while True:
                    file.write(b"\0" * 1_000)
            long = {"text": "He took my money. " * 400}
            answers = [client.post("/v1/reports", json=long).status_code for _ in range(200)]
            assert answers[-1] == 503
            assert set(answers) <= {201, 503}
            kept = answers.count(201)
            assert client.post("/v1/classify", json=SENT).status_code == 200
            ballast.unlink()
            recovers(client)
            assert count(client) == kept + 2


def test_a_read_only_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the database may only be read, reports can be read and a new one is 503."""
    with database_url("sqlite", tmp_path) as url:
        prepare(url)
        opening = Database._open

        def open_to_read(self: Database) -> sqlite3.Connection:
            connection = opening(self)
            connection.execute("PRAGMA query_only=ON")
            return connection

        monkeypatch.setattr(Database, "_open", open_to_read)
        with serving(FakeClassifier(), database=url) as client:
            assert_unavailable(client)
            assert client.get("/v1/reports").json() == {"reports": [], "cursor": None}


SECRETS = {
    "word": "kestrel",
    "phone": "13800138000",
    "card": "6222021001116245702",
    "identity": "11010519491231002X",
    "Taiwan identity": "A123456789",
}


def test_no_secret_is_in_any_log_metric_error_or_audit(small_model: Path, tmp_path: Path) -> None:
    """Whatever a client sends and wherever, also when all fails, only the store itself has it."""
    secret = " ".join(SECRETS.values())
    said: list[str] = []
    with served(tmp_path / "log", RUSE_MODELS=str(small_model), RUSE_AUDIT_SHARE="1") as it:
        client = it.client
        report = {"text": secret, "external_id": secret, "source": secret, "region": secret}
        header = {"Idempotency-Key": "13800138000", "X-Request-Id": "13800138000", "Referer": "kestrel"}
        kept = client.post("/v1/reports", json=report, headers=header).json()
        path = f"/v1/reports/{kept['id']}"
        review = {"category": "romance", "reviewer": secret, "note": secret}
        client.put(f"{path}/review", json=review)
        bad = [
            client.post("/v1/reports", json=report | {"text": secret + "!"}),
            client.post("/v1/reports", json=report | {"source": f"{secret}\n"}),
            client.post("/v1/reports", json={secret: secret}),
            client.post("/v1/reports", json=report, headers={"Idempotency-Key": secret}),
            client.put(f"{path}/review", json=review | {"category": secret}),
            client.put(f"/v1/reports/{secret}/review", json=review),
            client.get("/v1/reports", params={"cursor": secret}),
            client.get("/v1/reports", params={"since": secret}),
            client.get("/v1/queue", params={"reviewer": secret + "\0"}),
            client.get(f"/v1/reports/{secret}"),
            client.get(f"/{secret}"),
            client.request("KESTREL", "/v1/reports"),
            client.post("/v1/classify", json={"text": secret + "\0"}),
            client.post(f"/v1/classify?include={secret}", json={"text": secret}),
            client.post("/v1/classify", content=secret.encode()),
            client.post("/v1/classify/batch", json={"texts": [secret, secret + "\0"]}),
        ]
        assert all(answer.status_code >= 400 for answer in bad)
        client.get("/v1/queue", params={"reviewer": secret})
        client.post("/v1/classify?include=evidence", json={"text": secret})
        (tmp_path / "ruse.sqlite3").rename(tmp_path / "away")
        fails = client.post("/v1/reports", json=report | {"external_id": "13800138000"})
        assert fails.status_code == 503
        (tmp_path / "away").rename(tmp_path / "ruse.sqlite3")
        client.delete(path)
        said += [answer.text + repr(answer.headers) for answer in (*bad, fails)]
        said.append(client.get("/metrics").text)
        it.process.send_signal(signal.SIGTERM)
        it.process.wait(10)
        said.append(it.log.read_text("utf-8"))
        database = Database(f"sqlite:///{tmp_path}/ruse.sqlite3")
        said.append(json.dumps(Store(database).audit_trail()))
        database.close()
    lines = [json.loads(line) for line in said[-2].splitlines()]
    assert sum(line["event"] == "request" for line in lines) >= len(bad)
    assert all(line["request_id"] for line in lines if line["event"] == "request")
    for name, value in SECRETS.items():
        for text in said:
            assert value.lower() not in text.lower(), name
    for path_ in tmp_path.glob("ruse.sqlite3*"):
        assert b"kestrel" not in path_.read_bytes()


def test_texts_are_not_in_core_of_errors(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An unexpected error in the store is a 500 that is logged by type and place only."""

    def fail(*_: object) -> None:
        raise RuntimeError("kestrel")

    monkeypatch.setattr(Store, "add", fail)
    with serving(FakeClassifier()) as client:
        assert_problem(client.post("/v1/reports", json=SENT), 500, "internal_error")
    assert "RuntimeError" in caplog.text
    assert "kestrel" not in caplog.text
