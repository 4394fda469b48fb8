"""A table of another database, classified again; the table itself is never written to.

Beside it lie `ruse_relabels` (the jobs), `ruse_answers_TABLE` (what each job says of each row),
`ruse_current` (which job's answers count) and the view `ruse_TABLE` that shows those. To apply or to
revert is to change one row of `ruse_current`, so it takes the same time however large the table is.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Float,
    MetaData,
    Select,
    Table,
    Text,
    delete,
    exists,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.types import TypeEngine

from model import Classifier
from model.text import fault
from service import arrow
from service.arrow import Columns
from service.database import Database, reason
from service.diff import Diff
from service.jobs import OPEN, Jobs
from service.labels import RelabelError
from service.source_table import SourceTable
from service.staging import NotNewest
from service.tables import relabels

_AT_ONCE = 1_000  # answers that are removed in one transaction
_SHOWN: Mapping[str, type[TypeEngine[Any]]] = {
    "category": Text, "category_probability": Float, "scheme": Text, "scheme_probability": Float,
    "scheme_sure": Boolean, "needs_review": Boolean, "review_reason": Text, "old_label": Text,
    "changed": Boolean, "error": Text,
}  # fmt: skip

_COMPARED = pa.schema([arrow.ADDED.field(name) for name in _SHOWN])


def beside(database: Database) -> tuple[Jobs, Table]:
    """The jobs of a database of somebody else's, and which job's answers are current, by table."""
    metadata = MetaData()
    jobs = relabels.to_metadata(metadata, name="ruse_relabels")
    current = Table(
        "ruse_current", metadata, Column("source", Text, primary_key=True), Column("relabel", Text)
    )
    return Jobs(database, jobs), current


class Foreign(SourceTable):
    """One table; `columns` names those that are read, its `id` may be None where a primary key is."""

    def __init__(self, database: Database, table: str, columns: Columns) -> None:
        super().__init__(database, table, columns)
        self.jobs, self.current = beside(database)

    @cached_property
    def answers(self) -> Table:
        """The table of the answers."""
        name = f"ruse_answers_{self.name.replace('.', '__')}"
        return Table(
            name,
            MetaData(),
            Column("relabel", Text, primary_key=True),
            Column("id", self.key.type, primary_key=True, autoincrement=False),
            *(Column(name, kind) for name, kind in _SHOWN.items()),
        )

    def prepare(self) -> None:
        """Makes the tables and the view beside. Raises RelabelError."""
        try:
            with self.database.writing() as connection:
                self.current.metadata.create_all(connection)
                self.answers.metadata.create_all(connection)
                name = f"ruse_{self.name.replace('.', '__')}"
                if name not in inspect(connection).get_view_names():
                    shown = self._shown().compile(connection, compile_kwargs={"literal_binds": True})
                    quoted = connection.dialect.identifier_preparer.quote(name)
                    connection.exec_driver_sql(f"CREATE VIEW {quoted} AS {shown}".replace("%", "%%"))
        except SQLAlchemyError as error:
            where = f"{self.database.where}: nothing can be kept beside the table ({reason(error)})"
            raise RelabelError("source_unusable", where) from None

    def _shown(self) -> Select[Any]:
        jobs, current, answers = self.jobs.table, self.current, self.answers
        columns = [answers.c[name] for name in _SHOWN]
        return (
            select(answers.c.id.label(self.key.name), *columns, jobs.c.model, jobs.c.taxonomy)
            .join(current, current.c.relabel == answers.c.relabel)
            .join(jobs, jobs.c.id == answers.c.relabel)
            .where(current.c.source == self.name)
        )

    def read(self, job: str, after: Any, limit: int) -> Sequence[Any]:
        """Id, text and label of rows without an answer, by id."""
        answers = self.answers
        answered = exists().where(answers.c.relabel == job, answers.c.id == self.key)
        query = self.rows().where(~answered)
        if after is not None:
            query = query.where(self.key > after)
        with self.database.reading() as connection:
            return connection.execute(query.order_by(self.key).limit(limit)).all()

    def answer(self, job: str, rows: Sequence[Any], classifier: Classifier) -> list[dict[str, Any]]:
        """Rows of `answers`. Raises RelabelError for an id that cannot be written."""
        if any(isinstance(row[0], str) and fault(row[0]) == "lone_surrogate" for row in rows):
            where = f"{self.name}.{self.key.name}"
            raise RelabelError("id_not_utf8", f"{where}: is not UTF-8 in some row; name another --id-column")
        strange = [None if isinstance(row.text, str | bytes | None) else "not_a_string" for row in rows]
        labels = None
        if self.columns.label is not None:
            labels = pa.array([_bytes(row.label, str) for row in rows], pa.large_binary())
        added = arrow.add(
            pa.array([_bytes(row.text) for row in rows], pa.large_binary()),
            labels, self.columns, classifier, pa.array(strange, pa.string()),
        )  # fmt: skip
        said = pa.RecordBatch.from_arrays(added, schema=arrow.ADDED).select(list(_SHOWN)).to_pylist()
        return [{"relabel": job, "id": row[0]} | answer for row, answer in zip(rows, said, strict=True)]

    def keep(self, connection: Connection, answers: list[dict[str, Any]]) -> tuple[int, int]:
        """Keeps the answers; how many, and how many of them are errors."""
        self.database.insert_many(connection, self.answers, answers)
        return len(answers), sum(answer["error"] is not None for answer in answers)

    def diff(self, job: str, found: Diff) -> None:
        """Counts what would change."""
        answers = self.answers
        query = select(answers.c.id, *(answers.c[name] for name in _SHOWN)).where(answers.c.relabel == job)
        after = None
        while True:
            some = query if after is None else query.where(answers.c.id > after)
            with self.database.reading() as connection:
                rows = connection.execute(some.order_by(answers.c.id).limit(_AT_ONCE)).mappings().all()
            if not rows:
                return
            after = rows[-1]["id"]
            self.compare((), rows, found)

    def compare(self, _: Sequence[Any], answers: Sequence[Any], found: Diff) -> None:
        """Counts what answers would change."""
        ids = [answer["id"] if isinstance(answer["id"], int) else str(answer["id"]) for answer in answers]
        plain = [{name: answer[name] for name in _SHOWN} for answer in answers]
        found.add(pa.RecordBatch.from_pylist(plain, _COMPARED), self.columns, pa.array(ids))

    def apply(self, job: str, actor: str) -> dict[str, Any]:
        """The answers become the current ones. Raises UnknownJob, WrongState."""
        current, jobs = self.current, self.jobs
        with self.database.writing() as connection:
            if jobs.decide(connection, job, ("waiting_for_approval",), "applied", actor) is not None:
                mine = current.c.source == self.name
                before = connection.scalar(select(current.c.relabel).where(mine).with_for_update())
                connection.execute(delete(current).where(mine))
                connection.execute(insert(current).values(source=self.name, relabel=job))
                connection.execute(update(jobs.table).where(jobs.table.c.id == job).values(previous=before))
            return jobs.read(connection, job)

    def revert(self, job: str, actor: str) -> dict[str, Any]:
        """The answers before become the current ones again. Raises UnknownJob, WrongState, NotNewest."""
        current, jobs = self.current, self.jobs
        with self.database.writing() as connection:
            row = jobs.decide(connection, job, ("applied",), "reverted", actor)
            if row is not None:
                mine = current.c.source == self.name
                if connection.scalar(select(current.c.relabel).where(mine).with_for_update()) != job:
                    raise NotNewest
                connection.execute(update(current).where(mine).values(relabel=row["previous"]))
            return jobs.read(connection, job)

    def cancel(self, job: str, actor: str) -> dict[str, Any]:
        """Ends a job that was not applied. Raises UnknownJob, WrongState."""
        with self.database.writing() as connection:
            self.jobs.decide(connection, job, OPEN, "cancelled", actor)
            return self.jobs.read(connection, job)

    def tidy(self, job: dict[str, Any]) -> None:
        """Removes the answers of a job that will never be applied."""
        answers = self.answers
        mine = answers.c.relabel == job["id"]
        some = select(answers.c.id).where(mine).limit(_AT_ONCE)
        while True:
            with self.database.writing() as connection:
                gone = delete(answers).where(mine, answers.c.id.in_(some))
                if not connection.execute(gone).rowcount:
                    break
        self.jobs.is_tidy(job["id"])


def _bytes(value: Any, otherwise: Callable[[Any], str] | None = None) -> bytes | None:
    """A text as its bytes; what is no text becomes one by `otherwise`, or null."""
    if value is None or isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        if otherwise is None:
            return None
        value = otherwise(value)
    return value.encode("utf-8", "surrogateescape")
