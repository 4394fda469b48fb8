"""Databases for tests: SQLite in a folder, and PostgreSQL in a schema of its own where one runs."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from service.database import Database

POSTGRESQL = "postgresql+psycopg://postgres@127.0.0.1:5432/test"


@contextmanager
def database_url(kind: str, folder: Path) -> Iterator[str]:
    """The URL of an empty database; skips the test where there is no such server."""
    if kind == "sqlite":
        yield f"sqlite:///{folder}/ruse.sqlite3"
        return
    engine = create_engine(POSTGRESQL, connect_args={"connect_timeout": 2})
    schema = f"ruse_{secrets.token_hex(6)}"
    try:
        with engine.begin() as connection:
            connection.execute(text(f"CREATE SCHEMA {schema}"))
    except OperationalError:
        pytest.skip("no PostgreSQL on 127.0.0.1:5432 with a database `test`")
    try:
        yield f"{POSTGRESQL}?options=-csearch_path%3D{schema}"
    finally:
        with engine.begin() as connection:
            connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
        engine.dispose()


@contextmanager
def opened(kind: str, folder: Path) -> Iterator[Database]:
    """An empty database with its tables."""
    with database_url(kind, folder) as url:
        database = Database(url)
        database.migrate()
        try:
            yield database
        finally:
            database.close()
