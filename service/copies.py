"""Backup and restore: all rows of one database in another, row by row, whichever kinds they are."""

from pathlib import Path

from sqlalchemy import insert, select

from service import tables
from service.database import Database, DatabaseError

_COPIED = (
    tables.reports, tables.predictions, tables.reviews, tables.bands, tables.repeats, tables.keys,
    tables.audit, tables.relabels, tables.staged, tables.replaced,
)  # fmt: skip


def copy(source: Database, target: Database) -> dict[str, int]:
    """Copies every row into an empty database, all or nothing; rows by table. Raises DatabaseError."""
    counts = {}
    target.migrate()
    with source.reading() as reader, target.writing() as writer:
        if any(writer.execute(select(table).limit(1)).first() for table in _COPIED):
            raise DatabaseError(f"{target.where}: is not empty; name a database that is")
        for table in _COPIED:
            counts[table.name] = 0
            rows = reader.execution_options(yield_per=1_000).execute(select(table))
            for part in rows.mappings().partitions():
                writer.execute(insert(table), [dict(row) for row in part])
                counts[table.name] += len(part)
    return counts


def backup(source: Database, path: Path) -> dict[str, int]:
    """Writes the whole database as one SQLite file, whole or not at all, while others go on."""
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    target = Database(f"sqlite:///{beside}")
    try:
        counts = copy(source, target)
        target.checkpoint()
    finally:
        target.close()
    for left in ("-wal", "-shm"):
        beside.with_name(beside.name + left).unlink(missing_ok=True)
    beside.replace(path)
    return counts


def restore(path: Path, target: Database) -> dict[str, int]:
    """Fills an empty database, SQLite or PostgreSQL, from a backup. Raises DatabaseError."""
    if not path.is_file():
        raise DatabaseError(f"{path}: there is no such backup")
    source = Database(f"sqlite:///{path}")
    try:
        source.migrate()
        return copy(source, target)
    finally:
        source.close()
