"""service.foreign: a table of another database classified again, in SQLite and PostgreSQL."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

import model
from service import relabel_rows, staging
from service.arrow import Columns
from service.database import Database
from service.foreign import Foreign
from service.labels import RelabelError
from service.staging import NotNewest
from tests.conftest import SMALL
from tests.databases import database_url

COLUMNS = Columns(text="narrative", label="kind")
WORDS = [words for known in SMALL.values() for words in known]


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database of somebody else's with a table `cases` of 30 rows."""
    (tmp_path / "ruse.sqlite3").touch()
    with database_url(request.param, tmp_path) as url:
        database = Database(url)
        with database.writing() as connection:
            connection.execute(
                text("CREATE TABLE cases (number BIGINT PRIMARY KEY, narrative TEXT, kind TEXT)")
            )
        fill(database, range(0, 300, 10))
        yield database
        database.close()


def fill(database: Database, numbers: Any) -> None:
    """Adds rows."""
    add = text("INSERT INTO cases VALUES (:number, :narrative, 'fake_loan')")
    rows = [{"number": n, "narrative": WORDS[n // 10 % len(WORDS)]} for n in numbers]
    with database.writing() as connection:
        connection.execute(add, rows)


def query(database: Database, sql: str) -> list[Any]:
    """Rows of a query."""
    with database.reading() as connection:
        return list(connection.execute(text(sql)).all())


@pytest.fixture
def foreign(database: Database) -> Foreign:
    foreign = Foreign(database, "cases", COLUMNS)
    foreign.check()
    foreign.prepare()
    return foreign


def done(foreign: Foreign, classifier: model.Classifier) -> str:
    """A job that waits for approval."""
    job = foreign.jobs.create("cases", None, {}, "me")[0]["id"]
    assert staging.run(foreign, job, classifier, lambda: True)
    return str(job)


def test_a_pointer_decides_which_answers_are_seen(foreign: Foreign, classifier: model.Classifier) -> None:
    """The view is empty until a job is applied, shows its answers, and the earlier ones after a revert."""
    before = query(foreign.database, "SELECT * FROM cases ORDER BY number")
    first = done(foreign, classifier)
    assert query(foreign.database, "SELECT * FROM ruse_cases") == []
    foreign.apply(first, "me")
    seen = query(foreign.database, "SELECT number, category, changed, model FROM ruse_cases ORDER BY number")
    said = classifier.classify([row.narrative for row in before])
    assert [tuple(row) for row in seen] == [
        (row.number, answer.category, answer.category != "fake_loan", answer.model)
        for row, answer in zip(before, said, strict=True)
    ]
    second = done(foreign, classifier)
    foreign.apply(second, "me")
    with pytest.raises(NotNewest):
        foreign.revert(first, "me")
    foreign.revert(second, "me")
    assert query(foreign.database, "SELECT relabel FROM ruse_current") == [(first,)]
    foreign.tidy(foreign.jobs.get(second))
    foreign.revert(first, "me")
    assert query(foreign.database, "SELECT * FROM ruse_cases") == []
    assert query(foreign.database, "SELECT * FROM cases ORDER BY number") == before


def test_rows_added_meanwhile_are_not_missed(foreign: Foreign, classifier: model.Classifier) -> None:
    """Rows that others add while a job runs, before and behind its place, are answered, each once."""
    stop, added = threading.Event(), [1]

    def insert() -> None:
        other = Database(foreign.database.url.render_as_string(hide_password=False))
        while not stop.is_set() and len(added) < 60:
            fill(other, [added[-1]])
            added.append(added[-1] + 10)
        other.close()

    job = foreign.jobs.create("cases", None, {}, "me")[0]["id"]
    thread = threading.Thread(target=insert)
    pages = []

    def tell(count: int, *_: int) -> None:
        pages.append(count)
        if len(pages) == 1:
            thread.start()
        thread.join(0.05)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(staging, "PAGE", 7)
        assert staging.run(foreign, job, classifier, lambda: True, tell)
        stop.set()
        thread.join()
        again = foreign.jobs.create("cases", None, {}, "me")[0]["id"]
        assert staging.run(foreign, again, classifier, lambda: True)
    for one, least in ((job, 32), (again, 30 + len(added) - 1)):
        rows = query(foreign.database, f"SELECT id FROM ruse_answers_cases WHERE relabel = '{one}'")
        assert len(rows) >= least
        assert foreign.jobs.get(one)["done"] == len(rows) == len(set(rows))


def test_pages_never_use_offset(foreign: Foreign) -> None:
    """A page is asked for by the key of the row before it."""
    seen = []
    event.listen(foreign.database.engine, "before_cursor_execute", lambda *call: seen.append(call[2]))
    assert [row[0] for row in foreign.read("none", 250, 3)] == [260, 270, 280]
    (page,) = [sql for sql in seen if "narrative" in sql]
    assert "OFFSET" not in page.upper().replace("LIMIT ? OFFSET ?", "")  # of 0, as SQLite has it written
    assert "cases.number >" in page


def test_bad_rows_are_answered_with_an_error(foreign: Foreign, classifier: model.Classifier) -> None:
    """A text that is null, blank or too long has its code in `error`, nulls besides, and is counted."""
    foreign.columns = Columns(text="narrative", label="kind", text_limit=300)
    with foreign.database.writing() as connection:
        for number, words in ((1, None), (2, " "), (3, "a" * 301)):
            row = {"number": number, "words": words}
            connection.execute(text("INSERT INTO cases VALUES (:number, :words, NULL)"), row)
    job = done(foreign, classifier)
    foreign.apply(job, "me")
    seen = query(foreign.database, "SELECT number, error, category FROM ruse_cases WHERE error IS NOT NULL")
    assert sorted(tuple(row) for row in seen) == [
        (1, "no_text", None),
        (2, "blank", None),
        (3, "too_long", None),
    ]
    row = foreign.jobs.get(job)
    assert row["errors"] == sum(row["diff"]["errors"].values()) == 3


def test_bytes_that_are_no_text_are_told(tmp_path: Path, classifier: model.Classifier) -> None:
    """SQLite holds what it is given: invalid UTF-8 and numbers go through as errors."""
    (tmp_path / "x.sqlite3").touch()
    database = Database(f"sqlite:///{tmp_path}/x.sqlite3")
    with database.writing() as connection:
        connection.exec_driver_sql("CREATE TABLE cases (id TEXT PRIMARY KEY, narrative)")
        connection.exec_driver_sql("INSERT INTO cases VALUES ('a', CAST(x'ff41' AS TEXT)), ('b', 7)")
        connection.exec_driver_sql("INSERT INTO cases VALUES ('c', 'They froze my account.')")
    foreign = Foreign(database, "cases", Columns(text="narrative"))
    foreign.check()
    foreign.prepare()
    foreign.apply(done(foreign, classifier), "me")
    seen = query(database, "SELECT id, error FROM ruse_cases ORDER BY id")
    assert [tuple(row) for row in seen] == [("a", "not_decodable"), ("b", "not_a_string"), ("c", None)]
    database.close()


@pytest.mark.parametrize(
    ("sql", "table", "columns", "code"),
    [
        ("SELECT 1", "none", COLUMNS, "table_missing"),
        ("SELECT 1", "cases", Columns(text="none"), "column_missing"),
        ("SELECT 1", "cases", Columns(text="narrative", label="none"), "column_missing"),
        ("CREATE TABLE t (a INT, narrative TEXT)", "t", Columns(text="narrative"), "id_missing"),
        ("CREATE TABLE t (a INT, narrative TEXT)", "t", Columns("narrative", id="a"), "id_doubled"),
        ("CREATE TABLE t (a INT, b INT, narrative TEXT, PRIMARY KEY (a, b))", "t",
         Columns("narrative", id="a"), "id_doubled"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_paged_is_refused(
    database: Database, sql: str, table: str, columns: Columns, code: str
) -> None:
    """A missing table or column, and a key that may be doubled, are told before any work."""
    with database.writing() as connection:
        connection.execute(text(sql))
    with pytest.raises(RelabelError) as caught:
        Foreign(database, table, columns).check()
    assert caught.value.code == code


def test_a_unique_column_may_be_the_key(database: Database, classifier: model.Classifier) -> None:
    """Where it has a unique index, another column than the primary key serves; with nulls it does not."""
    with database.writing() as connection:
        connection.execute(text("CREATE TABLE t (a INT, code VARCHAR(9) UNIQUE, narrative TEXT)"))
        connection.execute(text("INSERT INTO t VALUES (1, 'x9', 'a'), (1, 'é''%', 'They froze my account.')"))
    foreign = Foreign(database, "t", Columns(text="narrative", id="code"))
    foreign.check()
    foreign.prepare()
    foreign.apply(done_in(foreign, "t", classifier), "me")
    assert {row.code for row in query(database, "SELECT code FROM ruse_t")} == {"x9", "é'%"}
    with database.writing() as connection:
        connection.execute(text("INSERT INTO t VALUES (1, NULL, 'a')"))
    with pytest.raises(RelabelError) as caught:
        Foreign(database, "t", Columns(text="narrative", id="code")).check()
    assert caught.value.code == "id_null"


def done_in(foreign: Foreign, table: str, classifier: model.Classifier) -> str:
    """A job on another table that waits for approval."""
    job = foreign.jobs.create(table, None, {}, "me")[0]["id"]
    assert staging.run(foreign, job, classifier, lambda: True)
    return str(job)


def test_the_same_command_goes_on(database: Database, small_model: Path, tmp_path: Path) -> None:
    """A job left behind is gone on with; with other options or another model it takes --restart."""
    foreign = Foreign(database, "cases", COLUMNS)

    def told(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        relabel_rows.run(foreign, small_model, "me", False, told)
    left = foreign.jobs.page(9)[0][0]
    assert (left["state"], left["done"]) == ("running", 30)
    for columns, models, code in ((Columns(text="narrative"), small_model, "job_differs"),
                                  (COLUMNS, None, "model_changed")):  # fmt: skip
        with pytest.raises(RelabelError) as caught:
            relabel_rows.run(Foreign(database, "cases", columns), models, "me", False, lambda *_: None)
        assert caught.value.code == code
    row = relabel_rows.run(foreign, small_model, "me", False, lambda *_: None)
    assert (row["id"], row["state"], row["done"]) == (left["id"], "waiting_for_approval", 30)
    anew = relabel_rows.run(foreign, None, "me", True, lambda *_: None)
    assert anew["id"] != left["id"]
    states = {row["id"]: row["state"] for row in foreign.jobs.page(9)[0]}
    assert states == {left["id"]: "cancelled", anew["id"]: "waiting_for_approval"}
