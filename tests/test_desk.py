"""service.desk: the queue, reviews and their export, on SQLite and PostgreSQL."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.database import Database
from service.desk import Desk, NewReview
from service.store import Filters, Store, Unknown
from service.tables import now
from tests.databases import opened
from tests.test_store import add

LEASE = 60_000  # milliseconds


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with opened(request.param, tmp_path) as database:
        yield database


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database, share=0.0)


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


PLOTS = [
    "The courier said my parcel was lost and made me share the screen.",
    "一个自称公检法的人说我涉嫌洗钱，让我把钱转到安全账户。",
    "My boss wrote on a new number and asked for gift cards at once.",
    "She met me on a dating site and then needed money for a flight.",
    "在网上刷单，前几单返了佣金，后面的本金就取不出来了。",
]


def test_reviews_are_kept_as_history(store: Store, desk: Desk) -> None:
    """A second decision is added and becomes the latest; the same again adds nothing."""
    report = add(store, "a", needs_review=True)
    first = desk.review(report["id"], NewReview("fake_loan", "ann", note="sure"), "key")
    assert desk.review(report["id"], NewReview("fake_loan", "ann", note="sure"), "key") == first
    second = desk.review(report["id"], NewReview("romance", "bob"), "key")
    found = store.get(report["id"])
    assert found["reviews"] == [first, second]
    assert found["review"] == second
    assert first["model"] == report["prediction"]["model"]
    assert desk.depth() == 0
    with pytest.raises(Unknown):
        desk.review("0" * 32, NewReview("romance", "bob"), "key")


def test_campaigns_do_not_fill_a_page(store: Store, desk: Desk) -> None:
    """Thirty near-duplicates of one campaign take one place, as long as anything else waits."""
    for n in range(30):
        add(store, f"Your parcel {n:05} is held, pay {n + 3} yuan at once on our page.", needs_review=True)
    for plot in PLOTS:
        add(store, plot, needs_review=True)
    page = desk.hand_out("ann", 6, LEASE)
    assert {report["text"] for report in page} > set(PLOTS)
    assert len(page) == 6
    assert len(desk.hand_out("bob", 40, LEASE)) == 29


def test_least_certain_first(store: Store, desk: Desk) -> None:
    """Reports come in the order of their certainty, the least first."""
    for rank, plot in zip((0.5, 0.2, 0.9, 0.3, 0.4), PLOTS, strict=True):
        report = add(store, plot, needs_review=True)
        with store.database.writing() as connection:
            sql = f"UPDATE reports SET rank = {rank} WHERE id = '{report['id']}'"
            connection.exec_driver_sql(sql)
    ranks = [PLOTS.index(report["text"]) for report in desk.hand_out("ann", 5, LEASE)]
    assert ranks == [1, 3, 4, 0, 2]


def test_two_reviewers_never_get_the_same(store: Store, desk: Desk) -> None:
    """Six reviewers who ask at once get reports that nobody else gets; asking again gives the same."""
    for n in range(30):
        add(store, f"{PLOTS[n % 5]} {n}", needs_review=True)
    with ThreadPoolExecutor(6) as pool:
        pages = list(pool.map(lambda name: desk.hand_out(str(name), 4, LEASE), range(6)))
    ids = [report["id"] for page in pages for report in page]
    assert len(ids) == len(set(ids)) == 24
    again = desk.hand_out("3", 4, LEASE)
    assert {report["id"] for report in again} == {report["id"] for report in pages[3]}


def test_a_lease_ends(store: Store, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a reviewer does not decide on in time goes to the next."""
    add(store, "a", needs_review=True)
    began = now()
    assert len(desk.hand_out("ann", 1, LEASE)) == 1
    assert desk.hand_out("bob", 1, LEASE) == []
    monkeypatch.setattr("service.desk.now", lambda: began + LEASE + 60_000)
    assert len(desk.hand_out("bob", 1, LEASE)) == 1


def test_the_page_does_not_tell_an_audit(database: Database, desk: Desk) -> None:
    """A report drawn by lot is marked in the store, and looks like any other on the reviewer's page."""
    drawn = add(Store(database, share=1.0), "sure")
    add(Store(database, share=0.0), "unsure", needs_review=True)
    page = desk.hand_out("ann", 2, LEASE)
    assert len(page) == 2
    assert page[0].keys() == page[1].keys()
    assert not {"audit", "needs_review", "rank", "prediction"} & page[0].keys()
    for report in page:
        desk.review(report["id"], NewReview("fake_loan", "ann"), "key")
    marks = {row["id"]: row["audit"] for row in desk.export()}
    assert marks == {report["id"]: report["id"] == drawn["id"] for report in page}


def test_export_holds_the_latest_review(store: Store, desk: Desk) -> None:
    """Every reviewed report is exported once, with its last decision and what the model had said."""
    for words in ("a", "b"):
        add(store, words)
    report = store.page(Filters(), 1)[0][0]
    desk.review(report["id"], NewReview("romance", "ann"), "key")
    desk.review(report["id"], NewReview("fake_loan", "bob", "loan_upfront_fee", "romance"), "key")
    (row,) = desk.export()
    assert (row["id"], row["text"]) == (report["id"], report["text"])
    assert (row["category"], row["scheme"], row["second_category"]) == (
        "fake_loan",
        "loan_upfront_fee",
        "romance",
    )
    assert row["predicted_category"] == report["prediction"]["category"]
    assert row["predicted_needs_review"] is False
