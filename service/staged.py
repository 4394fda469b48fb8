"""The service's own reports, classified again: answers beside, then all of them current at once.

A job never touches a review. It moves reports in and out of the queue as its answers ask for, but
none that a person has decided on; and what it moves is kept, so that it can be undone exactly.
"""

import hashlib
import logging
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from sqlalchemy import (
    Connection,
    Select,
    and_,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    not_,
    select,
    update,
)

from model import Classifier
from service import arrow
from service.arrow import Columns
from service.database import Database, as_json
from service.diff import Diff
from service.jobs import OPEN, Jobs
from service.labels import STORE
from service.staging import NotNewest
from service.store import write_audit
from service.tables import now, predictions, replaced, reports, reviews, staged

log = logging.getLogger("ruse.relabel")

_AT_ONCE = 1_000  # answers that are removed in one transaction
_ANSWER = tuple(column.name for column in predictions.c if column.name not in ("report", "model"))


_COLUMNS = Columns(id="report", label="old_label")
_COMPARED = ("report", "category", "scheme", "category_probability", "review_reason")


class Staged:
    """The reports of a store. `share` of those that the model answers now, and could not before, is
    drawn for an audit."""

    def __init__(self, database: Database, share: float = 0.02) -> None:
        self.database = database
        self.jobs = Jobs(database)
        self.columns = _COLUMNS
        self._share = share

    def prepare(self) -> None:
        """Nothing: the tables are there."""

    def count(self) -> int:
        """How many reports there are."""
        with self.database.reading() as connection:
            query = select(func.count()).select_from(reports).where(reports.c.erased_at.is_(None))
            return connection.scalar(query) or 0

    def read(self, job: str, after: str | None, limit: int) -> Sequence[Any]:
        """Id and text of reports without an answer, by id."""
        answered = exists().where(staged.c.relabel == job, staged.c.report == reports.c.id)
        query = select(reports.c.id, reports.c.text).where(reports.c.erased_at.is_(None), ~answered)
        if after is not None:
            query = query.where(reports.c.id > after)
        with self.database.reading() as connection:
            return connection.execute(query.order_by(reports.c.id).limit(limit)).all()

    def sample(self, limit: int) -> Sequence[Any]:
        """Some reports, any, with their category now."""
        query = _with_current(reports.c.id, reports.c.text).where(reports.c.erased_at.is_(None))
        with self.database.reading() as connection:
            return connection.execute(query.order_by(func.random()).limit(limit)).all()

    def answer(self, job: str, rows: Sequence[Any], classifier: Classifier) -> list[dict[str, Any]]:
        """Rows of `staged`."""
        ids = [row[0] for row in rows]
        texts = [row[1] for row in rows]
        names = classifier.taxonomy.category_ids
        chances = classifier.category_probabilities(texts).tolist()
        at = now()
        answers = []
        for report, said, chance in zip(ids, classifier.classify(texts), chances, strict=True):
            answer = {"relabel": job, "report": report, **said._asdict(), "created_at": at}
            del answer["ranked"], answer["model"]
            answer["probabilities"] = as_json(dict(zip(names, chance, strict=True)))
            answer["lot"] = None if said.needs_review else self._draw(job, report)
            answers.append(answer)
        return answers

    def _draw(self, job: str, report: str) -> float | None:
        """A place in the queue for a report that is drawn; the same whenever it is asked for.

        Nobody can tell beforehand: the id of the job is half of random bits, and known to admins.
        """
        bits = hashlib.blake2b(f"{job}{report}".encode(), digest_size=16).digest()
        drawn = int.from_bytes(bits[:8], "big") / 2**64 < self._share
        return int.from_bytes(bits[8:], "big") / 2**64 if drawn else None

    def keep(self, connection: Connection, answers: list[dict[str, Any]]) -> tuple[int, int]:
        """Keeps the answers of reports that were not erased meanwhile, nor can be until it is done."""
        ids = [answer["report"] for answer in answers]
        there = select(reports.c.id).where(reports.c.id.in_(ids), reports.c.erased_at.is_(None))
        alive = set(connection.scalars(there.with_for_update(read=True)))
        kept = [answer for answer in answers if answer["report"] in alive]
        self.database.insert_many(connection, staged, kept)
        return len(kept), 0

    def diff(self, job: str, found: Diff) -> None:
        """Counts what would change, against the answers that are current now."""
        mine = and_(staged.c.report == reports.c.id, staged.c.relabel == job)
        query = _with_current(*(staged.c[name] for name in _COMPARED)).join(staged, mine)
        after = ""
        while True:
            with self.database.reading() as connection:
                some = query.where(staged.c.report > after).order_by(staged.c.report).limit(_AT_ONCE)
                rows = connection.execute(some).all()
            if not rows:
                return
            after = rows[-1].report
            *answers, old = map(list, zip(*rows, strict=True))
            _count(found, dict(zip(_COMPARED, answers, strict=True)), old)

    def compare(self, rows: Sequence[Any], answers: Sequence[Any], found: Diff) -> None:
        """Counts what answers would change; the rows have the old category."""
        plain = {name: [answer[name] for answer in answers] for name in _COMPARED}
        _count(found, plain, [row.old for row in rows])

    def apply(self, job: str, actor: str) -> dict[str, Any]:
        """Every report gets its new answer, in one transaction. Raises UnknownJob, WrongState."""
        with self.database.writing() as connection:
            row = self.jobs.decide(connection, job, ("waiting_for_approval",), "applied", actor)
            if row is not None:
                _apply(connection, job, row["model"])
                write_audit(connection, actor, "relabel_applied", job, {"model": row["model"]})
            return self.jobs.read(connection, job)

    def revert(self, job: str, actor: str) -> dict[str, Any]:
        """Every report gets back what it had before. Raises UnknownJob, WrongState, NotNewest."""
        with self.database.writing() as connection:
            newest = self.jobs.newest_applied(connection, STORE)
            row = self.jobs.decide(connection, job, ("applied",), "reverted", actor)
            if row is not None:
                if newest != job:
                    raise NotNewest
                _revert(connection, job, row["model"])
                write_audit(connection, actor, "relabel_reverted", job, {"model": row["model"]})
            return self.jobs.read(connection, job)

    def cancel(self, job: str, actor: str) -> dict[str, Any]:
        """Ends a job that was not applied. Raises UnknownJob, WrongState."""
        with self.database.writing() as connection:
            if self.jobs.decide(connection, job, OPEN, "cancelled", actor) is not None:
                write_audit(connection, actor, "relabel_cancelled", job, {})
            return self.jobs.read(connection, job)

    def tidy(self, job: dict[str, Any]) -> None:
        """Removes staged answers; those of an applied job are predictions by now."""
        after = ""
        while True:
            mine = (staged.c.relabel == job["id"], staged.c.report > after)
            with self.database.writing() as connection:
                some = select(staged.c.report).where(*mine).order_by(staged.c.report).limit(_AT_ONCE)
                found = list(connection.scalars(some))
                if not found:
                    break
                connection.execute(delete(staged).where(*mine, staged.c.report <= found[-1]))
                after = found[-1]
        self.jobs.is_tidy(job["id"])


def _with_current(*columns: Any) -> Select[Any]:
    """These of reports, with `old`, the category that is current."""
    current = and_(predictions.c.report == reports.c.id, predictions.c.model == reports.c.model)
    old = predictions.c.category.label("old")
    return select(*columns, old).select_from(reports).join(predictions, current)


def _count(found: Diff, answers: dict[str, list[Any]], old: list[str]) -> None:
    changed = [before != after for before, after in zip(old, answers["category"], strict=True)]
    columns = answers | {"old_label": old, "changed": changed, "error": [None] * len(old)}
    schema = pa.schema([("report", pa.string()), *(f for f in arrow.ADDED if f.name in columns)])
    found.add(pa.RecordBatch.from_pydict(columns, schema), _COLUMNS)


def _apply(connection: Connection, job: str, model: str) -> None:
    known = exists().where(predictions.c.report == reports.c.id, predictions.c.model == model)
    current = select(
        literal(job),
        reports.c.id,
        reports.c.model,
        reports.c.audit,
        reports.c.waiting,
        reports.c.rank,
        ~known,
    ).join(staged, and_(staged.c.report == reports.c.id, staged.c.relabel == job))
    current = current.where(reports.c.erased_at.is_(None)).with_for_update(of=reports)
    names = ["relabel", "report", "model", "audit", "waiting", "rank", "fresh"]
    connection.execute(insert(replaced).from_select(names, current))

    answers = select(staged.c.report, literal(model), *(staged.c[name] for name in _ANSWER)).where(
        staged.c.relabel == job,
        exists().where(replaced.c.relabel == job, replaced.c.report == staged.c.report, replaced.c.fresh),
    )
    connection.execute(insert(predictions).from_select(["report", "model", *_ANSWER], answers))

    # A report is drawn once in its life: when a model first answers it.
    unsure, drawn = staged.c.needs_review, staged.c.lot.is_not(None)
    first = and_(reports.c.waiting, not_(reports.c.audit))
    values = {
        "model": model,
        "audit": case((reports.c.reviewed, reports.c.audit), (unsure, False), (first, drawn),
                      else_=reports.c.audit),
        "waiting": case((reports.c.reviewed, reports.c.waiting), (unsure, True), (first, drawn),
                        else_=reports.c.audit),
        "rank": case((reports.c.reviewed, reports.c.rank), (unsure, staged.c.category_probability),
                     (and_(first, drawn), staged.c.lot), (reports.c.audit, reports.c.rank),
                     else_=staged.c.category_probability),
    }  # fmt: skip
    mine = (staged.c.relabel == job, staged.c.report == reports.c.id, reports.c.erased_at.is_(None))
    connection.execute(update(reports).where(*mine).values(values))


def _revert(connection: Connection, job: str, model: str) -> None:
    mine = (replaced.c.relabel == job, replaced.c.report == reports.c.id, reports.c.erased_at.is_(None))
    values = {"model": replaced.c.model} | {
        name: case((reports.c.reviewed, reports.c[name]), else_=replaced.c[name])
        for name in ("audit", "waiting", "rank")
    }
    connection.execute(update(reports).where(*mine).values(values))
    brought = select(replaced.c.report).where(replaced.c.relabel == job, replaced.c.fresh)
    # What a reviewer had before him stays, for the export tells of it.
    seen = exists().where(reviews.c.report == predictions.c.report, reviews.c.model == model)
    gone = (predictions.c.model == model, predictions.c.report.in_(brought), ~seen)
    connection.execute(delete(predictions).where(*gone))
    connection.execute(delete(replaced).where(replaced.c.relabel == job))
