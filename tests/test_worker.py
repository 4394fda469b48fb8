"""service.worker: the process that does jobs, killed and begun again."""

import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

import model
from service import staging
from service.database import Database
from service.jobs import Cancelled, Jobs
from service.settings import Settings
from service.staged import Staged
from service.store import Store
from service.tables import new_id, predictions, reports, staged
from service.worker import Worker
from tests.conftest import SMALL
from tests.databases import opened
from tests.test_relabels import working
from tests.test_store import add

WORDS = [words for known in SMALL.values() for words in known]
BEFORE = {
    "model": "old", "taxonomy": "1.0", "category": "fake_loan", "category_probability": 0.9,
    "scheme": "loan_upfront_fee", "scheme_probability": 0.8, "scheme_sure": True, "needs_review": False,
    "review_reason": None, "probabilities": "{}", "created_at": 1,
}  # fmt: skip


def fill(database: Database, count: int) -> None:
    """Stores reports in one go."""
    ids = [new_id() for _ in range(count)]
    fields = {"received_at": 1, "created_at": 1, "model": "old", "audit": False, "waiting": False}
    fields |= {"rank": 0.9, "reviewed": False}
    with database.writing() as connection:
        rows = [fields | {"id": i, "campaign": i, "text": f"{WORDS[n % 12]} {n}"} for n, i in enumerate(ids)]
        database.insert_many(connection, reports, rows)
        database.insert_many(connection, predictions, [BEFORE | {"report": i} for i in ids])


def answers(database: Database, job: str) -> list[tuple[Any, ...]]:
    """What was staged, but for when and by whom."""
    columns = [column for column in staged.c if column.name not in ("relabel", "created_at", "lot")]
    with database.reading() as connection:
        query = select(*columns).where(staged.c.relabel == job).order_by(staged.c.report)
        return [tuple(map(str, row)) for row in connection.execute(query)]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_killed_worker_loses_nothing(kind: str, small_model: Path, tmp_path: Path) -> None:
    """After kill -9 midway the next worker goes on, and the answers are those of an undisturbed run."""
    with opened(kind, tmp_path) as database:
        fill(database, 3_000)
        jobs, log, url = Jobs(database), tmp_path / "log", database.url.render_as_string(hide_password=False)
        job = jobs.create("store", None, {}, "key")[0]["id"]
        with working(url, log, RUSE_MODELS=str(small_model)):
            while jobs.get(job)["done"] == 0:  # the context then kills
                time.sleep(0.001)
        left = jobs.get(job)
        assert left["state"] == "running"
        assert 0 < left["done"] < 3_000
        with working(url, log, RUSE_MODELS=str(small_model)):
            deadline = time.monotonic() + 60
            while jobs.get(job)["state"] == "running":
                assert time.monotonic() < deadline, log.read_text("utf-8")
                time.sleep(0.05)
        done = jobs.get(job)
        assert (done["state"], done["done"]) == ("waiting_for_approval", 3_000)
        source = Staged(database)
        undisturbed = source.jobs.create("store", None, {}, "key")[0]["id"]
        assert staging.run(source, undisturbed, model.load(small_model), lambda: True)
        assert answers(database, job) == answers(database, undisturbed)
        diffs = [jobs.get(one)["diff"] | {"relabel": ""} for one in (job, undisturbed)]
        assert diffs[0] == diffs[1]


def test_two_workers_share_the_jobs(small_model: Path, tmp_path: Path) -> None:
    """A second worker on the same store stands by, and takes over when the first has let go."""
    with opened("sqlite", tmp_path) as database:
        add(Store(database), "a")
        settings = Settings.model_construct(models=small_model)
        first, second = Worker(database, settings), Worker(Database(str(database.url)), settings)
        jobs = Jobs(database)
        job = jobs.create("store", None, {}, "key")[0]["id"]
        assert first._lock.take()
        assert not second._lock.take()
        first.stop()
        first.run()
        assert second._lock.take()
        assert second.step()
        assert jobs.get(job)["state"] == "waiting_for_approval"
        second.stop()
        second.run()


def test_another_model_does_not_go_on(small_model: Path, tmp_path: Path) -> None:
    """A job that another model has begun fails with a code that says so, and its answers are removed."""
    with opened("sqlite", tmp_path) as database:
        add(Store(database), "a")
        jobs = Jobs(database)
        job = jobs.create("store", None, {}, "key")[0]["id"]
        jobs.begin(job, "another", "1.0", 1)
        worker = Worker(database, Settings.model_construct(models=small_model))
        assert worker._lock.take()
        assert worker.step()
        found = jobs.get(job)
        assert (found["state"], found["problem"], found["leftovers"]) == ("failed", "model_changed", True)
        assert not worker.step()
        assert jobs.get(job)["leftovers"] is False
        worker.stop()
        worker.run()


def test_a_cancelled_job_stops_within_a_page(small_model: Path, tmp_path: Path) -> None:
    """A job that is cancelled while it runs stops at the next page, and leaves no answer."""
    with opened("sqlite", tmp_path) as database:
        fill(database, 3_000)
        source = Staged(database)
        job = source.jobs.create("store", None, {}, "key")[0]["id"]

        def tell(done: int, *_: int) -> None:
            assert done == staging.PAGE
            source.cancel(job, "key")

        with pytest.raises(Cancelled):
            staging.run(source, job, model.load(small_model), lambda: True, tell)
        assert source.jobs.get(job)["state"] == "cancelled"
        Worker(database, Settings.model_construct()).step()
        assert answers(database, job) == []


def test_a_full_database_is_waited_for(
    small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where SQLite finds no room the worker says so and tries again; with room the job is done whole."""
    room = {"pages": 0}
    opening = Database._open

    def open_small(self: Database) -> sqlite3.Connection:
        connection = opening(self)
        # Far more than there are where there is room; the setting of a connection stays otherwise.
        connection.execute(f"PRAGMA max_page_count={room['pages'] or 1_000_000}")
        return connection

    monkeypatch.setattr(Database, "_open", open_small)
    monkeypatch.setattr("service.worker.LONG_PAUSE", 0.2)
    with opened("sqlite", tmp_path) as database:
        fill(database, 1_000)
        with database.reading() as connection:
            room["pages"] = connection.exec_driver_sql("PRAGMA page_count").scalar() + 60  # type: ignore[operator]
        small = Database(str(database.url))
        jobs = Jobs(database)
        job = jobs.create("store", None, {}, "key")[0]["id"]
        worker = Worker(small, Settings.model_construct(models=small_model))
        thread = threading.Thread(target=worker.run)
        thread.start()
        try:
            deadline = time.monotonic() + 60
            while "relabel_interrupted: SQLITE_FULL" not in caplog.text:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert (jobs.get(job)["state"], jobs.get(job)["done"] < 1_000) == ("running", True)
            room["pages"] = 0
            small.engine.dispose()
            while jobs.get(job)["state"] == "running":
                assert time.monotonic() < deadline
                time.sleep(0.05)
        finally:
            worker.stop()
            thread.join()
            small.close()
        assert jobs.get(job)["state"] == "waiting_for_approval"
        assert len(answers(database, job)) == jobs.get(job)["done"] == 1_000
