"""A table of somebody else's: whether it can be read by key, and its rows."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    Numeric,
    Select,
    String,
    Table,
    Uuid,
    event,
    exists,
    func,
    inspect,
    literal,
    select,
)
from sqlalchemy.exc import NoSuchTableError, SQLAlchemyError

from service.arrow import Columns
from service.database import Database, reason
from service.labels import RelabelError


class SourceTable:
    """A table and those of its columns that are read; `columns.id` may be None: the primary key."""

    def __init__(self, database: Database, table: str, columns: Columns) -> None:
        self.database = database
        self.name = table
        self.columns = columns
        if database.is_sqlite:
            event.listen(database.engine, "connect", _leniently)
            database.engine.dispose()  # those that are open already are not lenient

    @cached_property
    def table(self) -> Table:
        """The table as it is. Raises RelabelError."""
        schema, _, name = self.name.rpartition(".")
        try:
            return Table(name, MetaData(), schema=schema or None, autoload_with=self.database.engine)
        except NoSuchTableError:
            raise RelabelError("table_missing", f"{self.name}: there is no such table; see --table") from None

    @cached_property
    def key(self) -> Column[Any]:
        """The column by which pages go. Raises RelabelError."""
        name = self.columns.id
        primary = [column.name for column in self.table.primary_key]
        if name is None and len(primary) != 1:
            raise RelabelError(
                "id_missing", f"{self.name}: has no primary key of one column; name --id-column"
            )
        column = self._column(name or primary[0], "id")
        if column.name not in (*primary[: len(primary) == 1], *self._unique()):
            raise RelabelError("id_doubled", f"{self.name}.{column.name}: may hold a value twice; name a "
                            "column that has a unique index")  # fmt: skip
        kinds = (Integer, String) if self.database.is_sqlite else (Integer, String, Uuid, Numeric)
        if not isinstance(column.type, kinds):
            raise RelabelError("id_type", f"{self.name}.{column.name}: is neither number, text nor UUID")
        return column

    def _column(self, name: str, what: str) -> Column[Any]:
        if name not in self.table.c:
            where = f"{self.name}: has no column {name}"
            raise RelabelError("column_missing", f"{where}; see --{what}-column")
        return self.table.c[name]

    def _unique(self) -> list[str]:
        """Columns that alone have a unique index and hold no null."""
        inspector = inspect(self.database.engine)
        place = (self.table.name, self.table.schema)
        lists: list[Sequence[str | None]] = [
            entry["column_names"] for entry in inspector.get_unique_constraints(*place)
        ]
        lists += [
            entry["column_names"]
            for entry in inspector.get_indexes(*place, include_auto_indexes=True)
            if entry["unique"] and not any("_where" in name for name in entry.get("dialect_options", ()))
        ]
        return [names[0] for names in lists if len(names) == 1 and names[0] is not None]

    def check(self) -> None:
        """Raises RelabelError where the table cannot be read as the options say."""
        if self.database.path and not self.database.path.exists():
            raise RelabelError("source_missing", f"{self.database.where}: there is no such file")
        try:
            self._column(self.columns.text, "text")
            if self.columns.label is not None:
                self._column(self.columns.label, "label")
            with self.database.reading() as connection:
                if connection.execute(select(literal(1)).where(exists().where(self.key.is_(None)))).first():
                    where = f"{self.name}.{self.key.name}"
                    raise RelabelError("id_null", f"{where}: is null in some row; name another --id-column")
        except SQLAlchemyError as error:
            where = f"{self.database.where}: cannot be read ({reason(error)})"
            raise RelabelError("source_unusable", where) from None

    def count(self) -> int:
        """How many rows there are."""
        with self.database.reading() as connection:
            return connection.scalar(select(func.count()).select_from(self.table)) or 0

    def sample(self, limit: int) -> Sequence[Any]:
        """Some rows, any."""
        with self.database.reading() as connection:
            return connection.execute(self.rows().order_by(func.random()).limit(limit)).all()

    def rows(self) -> Select[Any]:
        label = self.columns.label
        return select(
            self.key,
            self._column(self.columns.text, "text").label("text"),
            self._column(label, "label").label("label") if label else literal(None).label("label"),
        )


def _leniently(connection: Any, _: Any) -> None:
    """Texts that are not UTF-8 come with half characters, so that they can be told from others."""
    connection.text_factory = lambda content: content.decode("utf-8", "surrogateescape")
