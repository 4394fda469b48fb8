"""service.staged: the store's reports classified again, on SQLite and PostgreSQL."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from model import Prediction
from service import staging
from service.database import Database
from service.desk import Desk, NewReview
from service.erasure import Erasure
from service.jobs import WrongState
from service.staged import Staged
from service.staging import NotNewest
from service.store import Filters, Store
from service.tables import predictions, replaced, reports, reviews, staged
from tests.databases import opened
from tests.fakes import FakeClassifier
from tests.test_store import add


class Newer(FakeClassifier):
    """Says `romance` of every text with a b, of which it is not sure; of others what the old one said."""

    def __init__(self, version: str = "2.0-fake") -> None:
        super().__init__()
        self.manifest = replace(self.manifest, version=version)

    def _predict(self, text: str) -> Prediction:
        said = super()._predict(text)
        if "b" not in text:
            return said
        scheme = next(c for c in self.taxonomy.categories if c.id == "romance").schemes[0].id
        return said._replace(category="romance", scheme=scheme, needs_review=True, review_reason="unsure")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with opened(request.param, tmp_path) as database:
        yield database


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database, share=0.0)


def everything(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """All rows that can be seen."""
    with database.reading() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))]
            for table in (reports, predictions, reviews)
        }


def done(source: Staged, classifier: FakeClassifier | None = None) -> str:
    """A job that waits for approval."""
    job = source.jobs.create("store", None, {}, "key")[0]["id"]
    assert staging.run(source, job, classifier or Newer(), lambda: True)
    return str(job)


def test_nothing_is_seen_before_it_is_approved(database: Database, store: Store) -> None:
    """A job that waits has changed no report, prediction or review, and says what would change."""
    for words in ("a", "ab", "abc"):
        add(store, words)
    before = everything(database)
    source = Staged(database)
    job = source.jobs.get(done(source))
    assert everything(database) == before
    assert (job["state"], job["done"], job["total"]) == ("waiting_for_approval", 3, 3)
    assert (job["diff"]["rows"], job["diff"]["changed"]) == (3, 2)
    assert {row["new"] for row in job["diff"]["flow"]} == {"fake_loan", "romance"}


def test_an_applied_job_can_be_seen_and_undone(database: Database, store: Store) -> None:
    """Applied, each report has the new answer and the old one as history; reverted, all is as before."""
    for words in ("a", "ab", "abc"):
        add(store, words, needs_review=words == "a")
    before = everything(database)
    source = Staged(database, share=0.0)
    job = done(source)
    assert source.apply(job, "ann")["state"] == "applied"
    page = {report["text"]: report["prediction"] for report in store.page(Filters(), 9)[0]}
    assert {text: said["category"] for text, said in page.items()} == {
        "a": "fake_loan", "ab": "romance", "abc": "romance",
    }  # fmt: skip
    assert {said["model"] for said in page.values()} == {"2.0-fake"}
    assert len(page["ab"]["probabilities"]) == 20
    whole = store.get(store.page(Filters(category="romance"), 1)[0][0]["id"])
    assert [said["model"] for said in whole["predictions"]] == ["1.0-fake", "2.0-fake"]
    waiting = Desk(database).hand_out("ann", 9, 0)
    assert {report["text"] for report in waiting} == {"ab", "abc"}
    assert source.apply(job, "ann")["decided_by"] == "ann"
    assert source.revert(job, "bob")["state"] == "reverted"
    after = everything(database)
    for table in ("predictions", "reviews"):
        assert after[table] == before[table]
    leases = {reports.c.keys().index(name) for name in ("leased_to", "leased_until")}
    assert [[v for n, v in enumerate(row) if n not in leases] for row in after["reports"]] == [
        [v for n, v in enumerate(row) if n not in leases] for row in before["reports"]
    ]
    trail = [(entry["action"], entry["actor"]) for entry in store.audit_trail()]
    assert trail == [("relabel_applied", "ann"), ("relabel_reverted", "bob")]


def test_people_outrank_a_job(database: Database, store: Store) -> None:
    """A decision before, during or after a job stays, and its report never comes back into the queue."""
    early, late = add(store, "ab"), add(store, "abcd")
    desk = Desk(database)
    first = desk.review(early["id"], NewReview("fake_loan", "ann"), "key")
    source = Staged(database)
    job = done(source)
    source.apply(job, "key")
    assert [report["id"] for report in desk.hand_out("ann", 9, 0)] == [late["id"]]
    second = desk.review(late["id"], NewReview("extortion", "ann"), "key")
    assert second["model"] == "2.0-fake"
    source.revert(job, "key")
    assert store.get(early["id"])["reviews"] == [first]
    assert store.get(late["id"])["reviews"] == [second]
    assert store.get(late["id"])["prediction"] == late["prediction"]
    assert desk.depth() == 0
    exported = {row["id"]: row["predicted_category"] for row in desk.export()}
    assert exported == {early["id"]: early["prediction"]["category"], late["id"]: "romance"}


def test_what_a_model_answers_first_may_be_drawn(database: Database, store: Store) -> None:
    """A report that waited because the old model was unsure is drawn for the audit by the share."""
    ids = [add(store, "a" * n, needs_review=True)["id"] for n in range(1, 41)]
    source = Staged(database, share=0.5)
    source.apply(done(source, Newer()), "key")
    with database.reading() as connection:
        rows = connection.execute(select(reports.c.audit, reports.c.waiting)).all()
    drawn = [row.audit for row in rows]
    assert 5 < sum(drawn) < 35
    assert [row.waiting for row in rows] == drawn
    source.apply(done(source, Newer("3.0-fake")), "key")
    with database.reading() as connection:
        assert sum(connection.scalars(select(reports.c.audit))) == sum(drawn)
    assert len(ids) == 40


def test_the_newest_is_reverted_first(database: Database, store: Store) -> None:
    """Of two applied jobs the earlier cannot be reverted; newest first, both are undone exactly."""
    for words in ("ab", "cd"):
        add(store, words)
    before = everything(database)
    source = Staged(database)
    first = done(source)
    source.apply(first, "key")
    between = everything(database)
    second = done(source, Newer("3.0-fake"))
    source.apply(second, "key")
    with pytest.raises(NotNewest):
        source.revert(first, "key")
    source.revert(second, "key")
    assert everything(database) == between
    source.revert(first, "key")
    assert everything(database) == before


def test_erased_reports_stay_erased(database: Database, store: Store) -> None:
    """An erasure takes what jobs have kept of the report, and nothing that comes later brings it back."""
    gone, kept, late = add(store, "ab"), add(store, "abcd"), add(store, "abx")
    source = Staged(database)
    job = done(source)
    Erasure(store.database).erase(gone["id"], "key")
    source.apply(job, "key")
    Erasure(store.database).erase(late["id"], "key")
    source.revert(job, "key")
    with database.reading() as connection:
        for table in (staged, replaced, predictions):
            left = set(connection.scalars(select(table.c.report)))
            assert not left & {gone["id"], late["id"]}, table.name
    assert store.get(kept["id"])["prediction"] == kept["prediction"]


def test_answers_to_what_is_erased_meanwhile_are_not_kept(database: Database, store: Store) -> None:
    """A report that is erased between its reading and its writing leaves no answer."""
    report = add(store, "ab")
    source = Staged(database)
    job = source.jobs.create("store", None, {}, "key")[0]["id"]
    source.jobs.begin(job, "m", "t", 1)
    answers = source.answer(job, source.read(job, None, 9), Newer())
    Erasure(store.database).erase(report["id"], "key")
    with database.writing() as connection:
        assert source.keep(connection, answers) == (0, 0)


def test_a_cancelled_job_leaves_nothing(database: Database, store: Store) -> None:
    """A job that was cancelled can be neither applied nor reverted, and its answers are removed."""
    add(store, "ab")
    source = Staged(database)
    job = done(source)
    row = source.cancel(job, "key")
    for change in (source.apply, source.revert):
        with pytest.raises(WrongState) as caught:
            change(job, "key")
        assert caught.value.state == "cancelled"
    source.tidy(row)
    with database.reading() as connection:
        assert connection.execute(select(staged)).all() == []
    assert source.jobs.with_leftovers(("cancelled",)) == []
    assert source.cancel(job, "key")["state"] == "cancelled"
