"""service.relabels over a real socket, with the real process that does the jobs."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service import relabel_schemas
from tests.fakes import FakeClassifier
from tests.serving import serving
from tests.test_app import assert_problem
from tests.test_serve import ROOT, Served, environment, served
from tests.test_telemetry import samples

UNKNOWN = "0" * 32
TEXTS = [
    "They approved my loan, then took a fee.",
    "快递员说我寄的包裹里有违禁品",
    "no refund for shoes",
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for jobs, with reports in it, and what should not be reached outside."""
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.csv").write_text("text\nkestrel\n", "utf-8")
    home = tmp_path_factory.mktemp("home")
    (home / "in").mkdir()
    table = pa.table({"id": [1, 2, 3, 4], "text": [*TEXTS, None], "kind": ["fake_loan"] * 4})
    pq.write_table(table, home / "in" / "a.parquet")
    (home / "link.csv").symlink_to(outside / "secret.csv")
    (home / "out").symlink_to(outside)
    (home / "mixed").mkdir()
    (home / "mixed" / "b.csv").symlink_to(outside / "secret.csv")
    return home


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/ruse.sqlite3"


@pytest.fixture(scope="module")
def client(home: Path, database: str) -> Iterator[httpx.Client]:
    with serving(FakeClassifier(), database=database, relabel_folder=home) as client:
        for words in TEXTS:
            assert client.post("/v1/reports", json={"text": words}).status_code == 201
        yield client


@contextmanager
def working(database: str, log: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that does jobs."""
    with log.open("ab") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "worker"],
            cwd=ROOT, env=environment(RUSE_DATABASE=database, **variables), stderr=sink, stdout=sink,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def until(client: httpx.Client, job: str, state: str) -> dict[str, Any]:
    """The job once it is in this state."""
    deadline = time.monotonic() + 60
    while True:
        found: dict[str, Any] = client.get(job).json()
        if found["state"] == state:
            return found
        assert found["state"] in ("queued", "running"), found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def test_a_job_on_the_store_and_one_on_files(
    client: httpx.Client, home: Path, database: str, small_model: Path, tmp_path: Path
) -> None:
    """Through HTTP and the worker: nothing is seen before approval, all after, and nothing once undone."""
    sent = {"source": "in", "target": "done/2025", "id_column": "id", "label_column": "kind"}
    store = client.post("/v1/relabels", json={"source": "store"})
    files = client.post("/v1/relabels", json=sent)
    assert (store.status_code, files.status_code) == (202, 202)
    relabel_schemas.Relabel.model_validate(store.json())
    before = client.get("/v1/reports").json()
    variables = {"RUSE_MODELS": str(small_model), "RUSE_RELABEL_FOLDER": str(home)}
    with working(database, tmp_path / "log", **variables) as process:
        done = until(client, store.headers["location"], "waiting_for_approval")
        relabel_schemas.WholeRelabel.model_validate(done)
        assert (done["done"], done["total"], done["share"], done["diff"]["rows"]) == (3, 3, 1.0, 3)
        assert client.get("/v1/reports").json() == before
        found = until(client, files.headers["location"], "waiting_for_approval")
        assert (found["done"], found["errors"], found["diff"]["errors"]) == (4, 1, {"no_text": 1})
        assert str(home) not in json.dumps(found)
        assert not (home / "done" / "2025").exists()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert client.post(f"{store.headers['location']}/approve").json()["state"] == "applied"
    assert {r["prediction"]["model"] for r in client.get("/v1/reports").json()["reports"]} == {done["model"]}
    assert client.post(f"{store.headers['location']}/revert").json()["state"] == "reverted"
    assert client.get("/v1/reports").json() == before
    assert client.post(f"{files.headers['location']}/approve").json()["state"] == "applied"
    table = pq.read_table(home / "done" / "2025")
    assert table.column("id").to_pylist() == [1, 2, 3, 4]
    assert set(table.column("model").to_pylist()) == {done["model"]}
    taken = client.post("/v1/relabels", json=sent)
    assert_problem(taken, 409, "target_taken")
    assert client.post(f"{files.headers['location']}/revert").json()["state"] == "reverted"
    assert not (home / "done" / "2025").exists()
    log = (tmp_path / "log").read_text("utf-8")
    lines = [json.loads(line) for line in log.splitlines()]
    assert {"relabel_running", "relabel_waits"} <= {line["event"] for line in lines}
    assert not [text for text in TEXTS if text in log]


def test_the_same_key_is_the_same_job(client: httpx.Client) -> None:
    """An idempotency key again answers the same job with 200, and with another body a conflict."""
    headers = {"Idempotency-Key": "k-1"}
    first = client.post("/v1/relabels", json={"source": "store"}, headers=headers)
    again = client.post("/v1/relabels", json={"source": "store"}, headers=headers)
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json() == again.json()
    sent = {"source": "in", "target": "other"}
    assert_problem(client.post("/v1/relabels", json=sent, headers=headers), 409, "relabel_conflict")
    cancelled = client.post(f"{first.headers['location']}/cancel")
    assert cancelled.json()["state"] == "cancelled"
    listed = client.get("/v1/relabels", params={"limit": 1}).json()
    assert listed["relabels"] == [cancelled.json()]
    rest = client.get("/v1/relabels", params={"cursor": listed["cursor"]}).json()
    assert first.json()["id"] not in {job["id"] for job in rest["relabels"]}


@pytest.mark.parametrize(
    ("source", "code", "at"),
    [
        ("../outside", "field_invalid", "/source"),
        ("in/../../outside", "field_invalid", "/source"),
        ("/etc", "field_invalid", "/source"),
        (".hidden", "field_invalid", "/source"),
        ("in\\..", "field_invalid", "/source"),
        ("link.csv", "path_refused", "/source"),
        ("out/secret.csv", "path_refused", "/source"),
        ("mixed", "path_refused", "/source"),
        ("none.csv", "path_refused", "/source"),
    ],
)
def test_no_path_leads_out(client: httpx.Client, source: str, code: str, at: str) -> None:
    """Ways up, absolute paths, hidden files, links that lead out and files that are not are refused."""
    answer = client.post("/v1/relabels", json={"source": source, "target": "x"})
    problem = assert_problem(answer, 422, code)
    assert problem["errors"] == [{"path": at, "code": code}]
    if code == "path_refused" and "none" not in source:
        answer = client.post("/v1/relabels", json={"source": "in", "target": f"{source}/x"})
        assert answer.status_code == (202 if source == "mixed" else 422)


@pytest.mark.parametrize(
    ("sent", "at"),
    [
        ({"source": 7, "target": "x"}, "/source"),
        ({"source": "store", "target": "x"}, "/target"),
        ({"source": "in"}, "/target"),
        ({"source": "store", "text_column": "a"}, "/text_column"),
        ({"source": "in", "target": "x", "id_column": ""}, "/id_column"),
        ({"source": "in", "target": "x", "crosswalk": "nobody's"}, "/crosswalk"),
    ],
)
def test_fields_that_cannot_be_are_named(client: httpx.Client, sent: dict[str, Any], at: str) -> None:
    """A field that does not fit the source is refused with its place."""
    problem = assert_problem(client.post("/v1/relabels", json=sent), 422, "field_invalid")
    assert [fault["path"] for fault in problem["errors"]] == [at]


def test_states_are_kept_to(client: httpx.Client) -> None:
    """What cannot follow on a state is refused with it; a job that is not there is unknown."""
    job = client.post("/v1/relabels", json={"source": "store"}).headers["location"]
    for what in ("approve", "revert"):
        problem = assert_problem(client.post(f"{job}/{what}"), 409, "relabel_state")
        assert "queued" in problem["detail"]
    client.post(f"{job}/cancel")
    assert client.post(f"{job}/cancel").status_code == 200
    for path in (f"/v1/relabels/{UNKNOWN}", "/v1/relabels/x"):
        assert_problem(client.get(path), 404, "relabel_unknown")
        assert_problem(client.post(f"{path}/approve"), 404, "relabel_unknown")


def test_files_need_a_folder(tmp_path: Path) -> None:
    """Without RUSE_RELABEL_FOLDER only the store can be relabelled."""
    with serving(FakeClassifier()) as client:
        answer = client.post("/v1/relabels", json={"source": "a.csv", "target": "b"})
        assert_problem(answer, 409, "relabel_folder_unset")


def test_metrics_tell_of_jobs(client: httpx.Client) -> None:
    """The metrics count jobs by state and tell how far the one that runs is."""
    found = samples(client.get("/metrics").text)
    assert found["ruse_relabels", "cancelled"] >= 1
    assert found["ruse_relabels", "running"] == 0
    assert found[("ruse_relabel_rows",)] == 0


def companion(it: Served) -> int:
    """The process for jobs."""
    deadline = time.monotonic() + 30
    while True:
        paths = Path(f"/proc/{it.process.pid}/task").glob("*/children")
        if found := [int(word) for path in paths for word in path.read_text().split()]:
            (one,) = found
            return one
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_serve_starts_a_process_for_jobs(small_model: Path, tmp_path: Path) -> None:
    """`serve` has a process that does jobs, begins it again when it is killed, and takes it along."""
    variables = {"RUSE_MODELS": str(small_model), "RUSE_RELABEL_WORKER": "true"}
    with served(tmp_path / "log", **variables) as it:
        first = companion(it)
        os.kill(first, signal.SIGKILL)
        it.client.post("/v1/reports", json={"text": TEXTS[0]})
        job = it.client.post("/v1/relabels", json={"source": "store"}).headers["location"]
        until(it.client, job, "waiting_for_approval")
        second = companion(it)
        assert second != first
        it.process.send_signal(signal.SIGTERM)
        assert it.process.wait(20) == -signal.SIGTERM
        assert not Path(f"/proc/{second}").exists()
