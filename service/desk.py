"""What reviewers do: take reports from the queue, decide, and hand decisions on to training."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import func, insert, or_, select, update

from service import shapes
from service.database import Database
from service.store import check, write_audit
from service.tables import new_id, now, predictions, reports, reviews

_LINE = 722_164  # of those who take from the queue
_CANDIDATES = 200  # rows that are looked at together


@dataclass(frozen=True)
class NewReview:
    """A person's decision on a report."""

    category: str
    reviewer: str
    scheme: str | None = None
    second_category: str | None = None
    note: str | None = None


class Desk:
    """The reviewers' side of a database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def review(self, report: str, new: NewReview, actor: str) -> dict[str, Any]:
        """Adds a decision to those before it; the same again by the same reviewer adds nothing.

        Raises Unknown or Erased of `service.store`.
        """
        last = select(reviews).where(reviews.c.report == report).order_by(reviews.c.id.desc()).limit(1)
        with self.database.writing() as connection:
            check(connection, report, hold=True)  # or an erasure could miss this review
            before = connection.execute(last).mappings().first()
            if before and all(before[name] == value for name, value in asdict(new).items()):
                return shapes.review(before)
            model = connection.scalar(select(reports.c.model).where(reports.c.id == report))
            row = asdict(new) | {"id": new_id(), "report": report, "model": model, "created_at": now()}
            connection.execute(insert(reviews).values(row))
            done = {"reviewed": True, "waiting": False, "leased_to": None, "leased_until": 0}
            connection.execute(update(reports).where(reports.c.id == report).values(done))
            write_audit(connection, actor, "report_reviewed", report, {"review": row["id"]})
            return shapes.review(row)

    def hand_out(self, holder: str, limit: int, lease: int) -> list[dict[str, Any]]:
        """Up to `limit` waiting reports, leased to `holder` for `lease` milliseconds.

        First those that the holder has already, then the least certain, of each campaign one;
        a second of the same campaign comes only where nothing else waits.
        """
        with self.database.writing() as connection:
            self.database.stand_in_line(connection, _LINE)
            free = or_(reports.c.leased_until < now(), reports.c.leased_to == holder)
            query = (
                select(reports.c.id, reports.c.campaign, reports.c.leased_to == holder)
                .where(reports.c.waiting, free)
                .order_by(reports.c.rank, reports.c.id)
            )
            mine = query.where(reports.c.leased_to == holder, reports.c.leased_until >= now())
            rows = connection.execute(mine.limit(limit)).all()
            chosen = [row.id for row in rows]
            seen = {row.campaign for row in rows}
            while len(chosen) < limit:
                other = query.where(reports.c.campaign.not_in(seen), reports.c.id.not_in(chosen))
                rows = connection.execute(other.limit(_CANDIDATES)).all()
                for row in rows:
                    if row.campaign not in seen and len(chosen) < limit:
                        chosen.append(row.id)
                        seen.add(row.campaign)
                if not rows:
                    break
            if len(chosen) < limit:
                rest = query.where(reports.c.id.not_in(chosen)).limit(limit - len(chosen))
                chosen += [row.id for row in connection.execute(rest)]
            until = now() + lease
            values = {"leased_to": holder, "leased_until": until}
            connection.execute(update(reports).where(reports.c.id.in_(chosen)).values(values))
            wanted = (
                select(reports, predictions.c.probabilities)
                .join(predictions, predictions.c.report == reports.c.id)
                .where(predictions.c.model == reports.c.model, reports.c.id.in_(chosen))
            )
            by_id = {row["id"]: row for row in connection.execute(wanted).mappings()}
            return [_waiting(by_id[report], until) for report in chosen]

    def depth(self) -> int:
        """How many reports wait for a person."""
        with self.database.reading() as connection:
            return connection.scalar(select(func.count()).where(reports.c.waiting)) or 0

    def export(self) -> Iterator[dict[str, Any]]:
        """Every reviewed report with its latest review, oldest first, as training reads it.

        `audit` tells those drawn by lot from what the model answered: the only ones from which to
        estimate how often an answer is right.
        """
        latest = select(func.max(reviews.c.id)).group_by(reviews.c.report)
        fields = [reviews.c[n] for n in ("category", "scheme", "second_category", "reviewer", "created_at")]
        said = [
            predictions.c[name].label(f"predicted_{name}")
            for name in ("category", "category_probability", "needs_review")
        ]
        query = (
            select(
                reports.c.id, reports.c.text, reports.c.source, reports.c.region, reports.c.audit,
                reports.c.campaign.label("group"), reviews.c.model, *fields, *said,
            )
            .join(reviews, reviews.c.report == reports.c.id)
            .outerjoin(
                predictions,
                (predictions.c.report == reports.c.id) & (predictions.c.model == reviews.c.model),
            )
            .where(reviews.c.id.in_(latest))
            .order_by(reviews.c.id)
        )  # fmt: skip
        with self.database.reading() as connection:
            for row in connection.execution_options(yield_per=1_000).execute(query).mappings():
                yield {str(name): value for name, value in row.items()}  # labels are no plain str


def _waiting(row: Any, until: int) -> dict[str, Any]:
    """What a reviewer sees: nothing that tells a report drawn by lot from one that needs review."""
    ranked = sorted(row["probabilities"].items(), key=lambda entry: -entry[1])[:5]
    fields = ("id", "external_id", "source", "region", "received_at", "text")
    suggestions = [category for category, _ in ranked]
    return {name: row[name] for name in fields} | {"suggestions": suggestions, "leased_until": until}
