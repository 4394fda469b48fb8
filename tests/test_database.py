"""service.database: migrations, files that go and come back, backup and restore."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.exc import SQLAlchemyError

from service import copies, tables
from service.database import HEAD, Database, DatabaseError
from service.desk import Desk, NewReview
from service.store import Filters, NewReport, Store
from tests.databases import database_url, opened
from tests.test_store import FAKE, add

KINDS = ["sqlite", "postgresql"]


@pytest.mark.parametrize("kind", KINDS)
def test_migrations_make_the_tables(kind: str, tmp_path: Path) -> None:
    """After the migrations the database has exactly the tables that the code uses."""
    with opened(kind, tmp_path) as database:
        assert database.revision() == HEAD
        database.migrate()
        with database.engine.connect() as connection:
            found = compare_metadata(MigrationContext.configure(connection), tables.metadata)
        assert [entry for entry in found if entry[0] != "remove_table"] == []


@pytest.mark.parametrize("kind", KINDS)
def test_an_older_store_is_brought_up_to_date(kind: str, tmp_path: Path) -> None:
    """A store of the first tables keeps its reports and has the newest tables afterwards."""
    with opened(kind, tmp_path) as database:
        kept = add(Store(database), "stays")
        with database.writing() as connection:
            for table in ("replaced", "staged", "relabels"):
                connection.execute(sa.text(f"DROP TABLE {table}"))
            for name in ("reports_erased", "reports_by_erasure"):
                connection.execute(sa.text(f"DROP INDEX {name}"))
            connection.execute(sa.update(tables.version).values(version_num="0001"))
        database.migrate()
        assert database.revision() == HEAD
        assert Store(database).get(kept["id"])["text"] == "stays"
        with database.engine.connect() as connection:
            assert "reports_erased" in {i["name"] for i in sa.inspect(connection).get_indexes("reports")}
            assert {"replaced", "staged", "relabels"} <= set(sa.inspect(connection).get_table_names())


@pytest.mark.parametrize("kind", KINDS)
def test_a_newer_database_is_refused(kind: str, tmp_path: Path) -> None:
    """A database that a newer Ruse has migrated is left alone, with an error that says so."""
    with opened(kind, tmp_path) as database:
        with database.writing() as connection:
            connection.execute(sa.update(tables.version).values(version_num="9999"))
        with pytest.raises(DatabaseError, match="newer Ruse"):
            database.migrate()


@pytest.mark.parametrize("kind", KINDS)
def test_a_backup_restores_everywhere(kind: str, tmp_path: Path) -> None:
    """A backup, made while the store is open, restores into SQLite and PostgreSQL alike."""
    with opened(kind, tmp_path) as database:
        store, desk = Store(database), Desk(database)
        for n in range(30):
            add(store, f"report {n}", f"key {n}", received_at=n)
        desk.review(store.page(Filters(), 1)[0][0]["id"], NewReview("romance", "ann"), "key")
        counts = copies.backup(database, tmp_path / "backup")
        assert (counts["reports"], counts["reviews"], counts["audit"]) == (30, 1, 1)
        whole = store.page(Filters(), 99), store.audit_trail()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("backup.")]
    for other in KINDS:
        home = tmp_path / other
        home.mkdir()
        with database_url(other, home) as url:
            target = Database(url)
            copies.restore(tmp_path / "backup", target)
            again = Store(target)
            assert (again.page(Filters(), 99), again.audit_trail()) == whole
            with pytest.raises(DatabaseError, match="not empty"):
                copies.restore(tmp_path / "backup", target)
            target.close()


def test_a_file_that_goes_is_missed_and_found_again(tmp_path: Path) -> None:
    """Nothing is written into an SQLite file that was moved away; once it is back, all goes on."""
    with opened("sqlite", tmp_path) as database:
        store = Store(database)
        add(store, "a")
        file = tmp_path / "ruse.sqlite3"
        file.rename(tmp_path / "away")
        with pytest.raises(SQLAlchemyError):
            add(store, "b")
        assert not file.exists()
        (tmp_path / "away").rename(file)
        add(store, "c")
        assert [report["text"] for report in store.page(Filters(), 9)[0]] == ["c", "a"]


@pytest.mark.parametrize("url", ["", "mysql://a/b", "sqlite://", "sqlite:///:memory:", "postgres"])
def test_a_url_that_cannot_be_used_is_refused(url: str) -> None:
    """Only a SQLite file or a PostgreSQL server can be the store."""
    with pytest.raises(DatabaseError):
        Database(url)


def test_errors_do_not_show_what_was_stored(tmp_path: Path) -> None:
    """Neither the password of the URL nor a text is in the error of a database."""
    with pytest.raises(DatabaseError) as caught:
        Database("postgresql://me:kestrel@127.0.0.1:1/none").migrate()
    assert "kestrel" not in str(caught.value)
    new = NewReport("kestrel", "kestrel", None)  # type: ignore[arg-type]
    said = FAKE.classify(["a"])[0]
    with opened("sqlite", tmp_path) as database, pytest.raises(SQLAlchemyError) as failed:
        Store(database).add(new, said, {}, "a")
    assert "kestrel" not in str(failed.value)


def test_files_are_private(tmp_path: Path) -> None:
    """Nobody else on the machine may read the store, its log of changes or a backup."""
    with opened("sqlite", tmp_path) as database:
        add(Store(database), "a")
        copies.backup(database, tmp_path / "backup")
        modes = {path.name: path.stat().st_mode & 0o077 for path in tmp_path.iterdir()}
    assert len(modes) >= 3
    assert set(modes.values()) == {0}, modes
