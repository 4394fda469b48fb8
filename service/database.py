"""The database: an engine whose transactions are safe, migrations, backup and restore.

SQLite runs in WAL mode with synchronous=FULL: an acknowledged report survives the loss of power, at
the price of one fsync a transaction. Writers stand in line inside the process and wait for other
processes, so that nobody is told that the database is locked. PostgreSQL has all that by itself.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, Table, create_engine, event, func, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from service import tables

HEAD = "0003"  # the newest migration
_EPOCH = 1_577_836_800  # 2020, in seconds since 1970: a number in SQLite's file has 31 bits
PATIENCE = 500  # milliseconds that the log of changes waits for its readers, while nobody can write
STEP = 0.002  # seconds between looks whether others still write
WAIT = 15  # seconds that a writer waits for its turn, and a request for a connection


class DatabaseError(Exception):
    """The database cannot be used; the message says why and holds no value of any row."""

    code = "store_unavailable"


class Database:
    """A database by URL; nothing connects before the first use. Threads may share it.

    What is written into SQLite through one that is not `durable` may go with the power, though never
    half of it.
    """

    def __init__(self, url: str, connections: int = 8, durable: bool = True) -> None:
        try:
            self.url = make_url(url)
        except ArgumentError:
            raise DatabaseError("the URL of the database cannot be read; see docs/api.md") from None
        if self.url.drivername == "postgresql":
            self.url = self.url.set(drivername="postgresql+psycopg")
        if self.url.drivername not in ("sqlite", "postgresql+psycopg"):
            raise DatabaseError("the database must be sqlite:///… or postgresql://…")
        self.path = Path(self.url.database or "") if self.is_sqlite else None
        if self.is_sqlite and self.url.database in (None, "", ":memory:"):
            raise DatabaseError("the database must be a file: sqlite:///ruse.sqlite3")
        self._turn = threading.Lock()
        self._level = "FULL" if durable else "NORMAL"
        options: dict[str, Any] = {"poolclass": QueuePool, "pool_size": connections, "pool_timeout": WAIT}
        options |= {"json_serializer": as_json, "json_deserializer": orjson.loads}
        # hide_parameters: an error must not carry a text.
        if self.path:
            self.engine = create_engine(
                URL.create("sqlite"), creator=self._open, hide_parameters=True, **options
            )
            _make_sqlite_safe(self.engine, self.path)
        else:
            # A server that hangs is given up as one that is gone.
            arguments = {"connect_timeout": 5, "tcp_user_timeout": 15_000, "application_name": "ruse"}
            self.engine = create_engine(
                self.url, hide_parameters=True, pool_pre_ping=True, connect_args=arguments, **options
            )

    @property
    def is_sqlite(self) -> bool:
        """Whether it is embedded."""
        return self.url.get_backend_name() == "sqlite"

    def _open(self) -> sqlite3.Connection:
        # mode=rw: a file that has gone must be missed, not silently begun anew.
        assert self.path
        name = self.path.absolute().as_uri() + "?mode=rw"
        connection = sqlite3.connect(
            name, uri=True, timeout=WAIT, isolation_level=None, check_same_thread=False
        )
        for pragma in (f"synchronous={self._level}", "secure_delete=ON", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database."""
        with self.engine.connect() as connection:
            if not self.is_sqlite:
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that writes; when it returns, what was written is on the disk."""
        if not self.is_sqlite:
            with self.engine.begin() as connection:
                yield connection
            return
        if not self._turn.acquire(timeout=WAIT):
            raise DatabaseError("writers wait too long")
        try:
            connecting = self.engine.connect().execution_options(writes=True)
            with connecting as connection, connection.begin():
                yield connection
        finally:
            self._turn.release()

    def stand_in_line(self, connection: Connection, line: int) -> None:
        """Waits until no other transaction is in this line; on SQLite any writer has done so."""
        if not self.is_sqlite:
            connection.execute(select(func.pg_advisory_xact_lock(line)))

    def insert_many(self, connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
        """Inserts rows that all have the same columns; values as the driver takes them, JSON as text.

        By COPY where there is one, and past SQLAlchemy: others wait for what is written meanwhile.
        """
        if not rows:
            return
        values = [tuple(row.values()) for row in rows]
        if self.is_sqlite:
            quote = self.engine.dialect.identifier_preparer.quote
            names, marks = ", ".join(map(quote, rows[0])), ", ".join("?" * len(rows[0]))
            into = f"INSERT INTO {quote(table.name)} ({names}) VALUES ({marks})"
            connection.exec_driver_sql(into, values)
            return
        import psycopg  # which a service on SQLite does not wait for
        from psycopg import sql

        columns = sql.SQL(", ").join(map(sql.Identifier, rows[0]))
        copying = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table.name), columns)
        raw = connection.connection.driver_connection
        assert raw is not None
        try:
            with raw.cursor() as cursor, cursor.copy(copying) as copy:
                for row in values:
                    copy.write_row(row)
        except psycopg.Error as error:
            raise DBAPIError("COPY", None, error, hide_parameters=True) from None

    def checkpoint(self) -> bool:
        """Empties SQLite's log of changes, where erased texts would linger. False: readers are in."""
        if not self.is_sqlite:
            return True
        with self.engine.connect() as connection:
            raw = connection.connection.driver_connection
            assert raw is not None
            raw.execute(f"PRAGMA busy_timeout={PATIENCE}")  # a backup may read for minutes
            try:
                return raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
            finally:
                raw.execute(f"PRAGMA busy_timeout={WAIT * 1000}")

    def rewrite(self) -> None:
        """Writes SQLite's whole file anew, and notes in it when; others can read meanwhile, not write."""
        at = int(time.time()) - _EPOCH
        if not self._turn.acquire(timeout=WAIT):
            raise DatabaseError("writers wait too long")
        try:
            with self.engine.connect() as connection:
                raw = connection.connection.driver_connection
                assert raw is not None
                raw.execute("VACUUM")
                raw.execute(f"PRAGMA user_version={at}")
        finally:
            self._turn.release()

    def rewritten_at(self) -> int:
        """When SQLite's file was written anew last, in milliseconds since 1970."""
        with self.reading() as connection:
            return (int(connection.exec_driver_sql("PRAGMA user_version").scalar_one()) + _EPOCH) * 1000

    def migrate(self) -> None:
        """Brings the tables up to date; makes the file where there is none. Raises DatabaseError."""
        try:
            if self.path and not self.path.exists():
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))  # it will hold texts
                with sqlite3.connect(self.path) as made:
                    made.execute("PRAGMA journal_mode=WAL")
                made.close()
            if self.revision() != HEAD:
                self._migrate()
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            raise DatabaseError(f"{self.where}: cannot be used ({reason(error)})") from None
        if self.revision() != HEAD:
            raise DatabaseError(f"{self.where}: is of a newer Ruse; use that, or restore a backup")

    @property
    def where(self) -> str:
        """The URL without its password."""
        return self.url.render_as_string(hide_password=True)

    def revision(self) -> str | None:
        """The migration that the tables are at, or None."""
        with self.engine.connect() as connection:
            if not self.engine.dialect.has_table(connection, tables.version.name):
                return None
            return connection.scalar(select(tables.version.c.version_num))

    def _migrate(self) -> None:
        from alembic import command  # here, for it is slow to import and rarely needed
        from alembic.config import Config
        from alembic.util.exc import CommandError

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
        with self.writing() as connection:
            self.stand_in_line(connection, 722_163)
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError:
                raise DatabaseError(f"{self.where}: is of a newer Ruse; use that") from None

    def close(self) -> None:
        """Gives the connections back."""
        self.engine.dispose()


def _make_sqlite_safe(engine: Engine, path: Path) -> None:
    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("writes"):
            _begin_to_write(connection)
        else:
            connection.exec_driver_sql("BEGIN")

    @event.listens_for(engine, "connect")
    def connect(_: Any, record: Any) -> None:
        record.info["file"] = _identity(path)

    @event.listens_for(engine, "checkout")
    def checkout(_: Any, record: Any, __: Any) -> None:
        # A file that was moved away can still be written to, and all of that would be lost.
        if record.info["file"] != _identity(path):
            raise DisconnectionError


def _begin_to_write(connection: Connection) -> None:
    """Waits for the other processes that write. SQLite itself would look only ten times a second."""
    raw = connection.connection.driver_connection
    assert raw is not None
    deadline = time.monotonic() + WAIT
    raw.execute("PRAGMA busy_timeout=0")
    try:
        while time.monotonic() < deadline:
            try:
                raw.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    break
            time.sleep(STEP)
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # so that the error is one of SQLAlchemy
    finally:
        raw.execute(f"PRAGMA busy_timeout={WAIT * 1000}")


def as_json(value: Any) -> str:
    """The value as JSON."""
    return orjson.dumps(value).decode()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def reason(error: BaseException) -> str:
    """The name of an error of a database, which unlike its message quotes no value."""
    original = getattr(error, "orig", None) or error
    state = getattr(original, "sqlite_errorname", None) or getattr(original, "sqlstate", None)
    return state or type(original).__name__
