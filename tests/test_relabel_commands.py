"""`python -m service relabels` and `relabel` with rows of a database."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from service import telemetry
from service.__main__ import cli
from service.database import Database
from service.store import Store
from tests.conftest import SMALL
from tests.test_store import add


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, small_model: Path, tmp_path: Path):  # type: ignore[no-untyped-def]
    """Runs a command; what it wrote to standard output, once it ended with this exit code."""
    monkeypatch.setattr(telemetry, "configure_logs", lambda: None)
    runner = CliRunner()

    def run(*words: str, code: int = 0) -> str:
        variables = {"RUSE_MODELS": str(small_model), "RUSE_DATABASE": f"sqlite:///{tmp_path}/ruse.sqlite3"}
        done = runner.invoke(cli, list(words), env=variables)
        assert done.exit_code == code, done.stderr
        return done.stdout if code == 0 else done.stderr

    return run


def test_the_id_of_a_job_reaches_a_pipe(small_model: Path, tmp_path: Path) -> None:
    """With a terminal for its messages, a relabelling of rows still writes its id to standard output."""
    (tmp_path / "cases.sqlite3").touch()
    with Database(f"sqlite:///{tmp_path}/cases.sqlite3").writing() as connection:
        connection.execute(text("CREATE TABLE cases (id INTEGER PRIMARY KEY, text TEXT)"))
        connection.execute(text("INSERT INTO cases (text) VALUES ('my loan never came')"))
    terminal, other_end = os.openpty()
    command = ["service", "relabel", f"sqlite:///{tmp_path}/cases.sqlite3", "--table", "cases"]
    done = subprocess.run(
        [sys.executable, "-m", *command],
        env=os.environ | {"RUSE_MODELS": str(small_model)}, stdout=subprocess.PIPE, stderr=other_end,
    )  # fmt: skip
    os.close(other_end)
    os.close(terminal)
    assert done.returncode == 0
    assert re.fullmatch(rb"[0-9a-f]{32}\n", done.stdout)


def test_a_table_from_dry_run_to_revert(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """A table is looked at, relabelled, shown with its report, applied and reverted by commands."""
    url = f"sqlite:///{tmp_path}/cases.sqlite3"
    (tmp_path / "cases.sqlite3").touch()
    database = Database(url)
    with database.writing() as connection:
        connection.execute(text("CREATE TABLE cases (id INTEGER PRIMARY KEY, story TEXT, kind TEXT)"))
        for known in SMALL.values():
            for words in known:
                row = {"story": words, "kind": "fake_loan"}
                connection.execute(text("INSERT INTO cases (story, kind) VALUES (:story, :kind)"), row)
    words = (url, "--table", "cases", "--text-column", "story", "--label-column", "kind")
    looked = json.loads(run("relabel", *words, "--dry-run"))
    assert (looked["rows_expected"], looked["rows"], looked["compared"]) == (12, 12, 12)
    assert "no table in it was ever relabelled" in run("relabels", "list", "--database", url, code=2)
    job = run("relabel", *words[:1], str(tmp_path / "out"), *words[1:]).strip()
    assert re.fullmatch("[0-9a-f]{32}", job)
    assert json.loads((tmp_path / "out" / "_ruse" / "report.json").read_bytes())["rows"] == 12
    assert run("relabel", *words).strip() == job  # it waits already
    assert f"{job}\twaiting_for_approval\t" in run("relabels", "list", "--database", url)
    shown = json.loads(run("relabels", "show", job, "--database", url, "--report", str(tmp_path / "report")))
    assert shown["diff"]["changed"] == looked["changed"] > 0
    assert "<svg" in (tmp_path / "report" / "report.html").read_text("utf-8")
    run("relabels", "apply", job, "--database", url)
    seen = "SELECT count(*) FROM ruse_cases WHERE category IS NOT NULL"
    with database.reading() as connection:
        assert connection.scalar(text(seen)) == 12
    assert "relabel_state" in run("relabels", "cancel", job, "--database", url, code=2)
    run("relabels", "revert", job, "--database", url)
    with database.reading() as connection:
        assert connection.scalar(text(seen)) == 0
        assert connection.scalar(text("SELECT count(*) FROM ruse_answers_cases")) == 0
    database.close()


def test_the_store_by_commands(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """The store is relabelled, and the job applied, reverted or cancelled, by commands."""
    database = Database(f"sqlite:///{tmp_path}/ruse.sqlite3")
    database.migrate()
    store = Store(database)
    report = add(store, SMALL["parcel_case"][0])
    first = run("relabel", "store").strip()
    run("relabels", "apply", first)
    assert store.get(report["id"])["prediction"]["category"] == "law_enforcement_impersonation"
    run("relabels", "revert", first)
    assert store.get(report["id"])["prediction"] == report["prediction"]
    second = run("relabel", "store").strip()
    run("relabels", "cancel", second)
    states = dict(line.split("\t")[:2] for line in run("relabels", "list").splitlines())
    assert states == {first: "reverted", second: "cancelled"}
    assert "relabel_unknown" in run("relabels", "apply", "0" * 32, code=2)
    assert json.loads(run("relabels", "show", second))["state"] == "cancelled"
    assert {entry["actor"].split(":")[0] for entry in store.audit_trail()} == {"command"}
    database.close()


def test_what_cannot_be_is_refused(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """A database or a table that is not there is told by its code, and nothing is made."""
    url = f"sqlite:///{tmp_path}/none.sqlite3"
    assert "source_missing" in run("relabel", url, "--table", "a", code=2)
    assert "store_unavailable" in run("relabels", "list", "--database", url, code=2)
    assert "table_missing" in run("relabel", url, code=2)
    assert not (tmp_path / "none.sqlite3").exists()
