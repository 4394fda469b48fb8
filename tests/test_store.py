"""service.store: reports on SQLite and PostgreSQL."""

import hashlib
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import delete, text, update
from sqlalchemy.exc import DBAPIError

from service.database import Database
from service.desk import Desk, NewReview
from service.erasure import Erasure
from service.erasure import _erase as erase_in
from service.store import Conflict, Erased, Filters, NewReport, Store, Unknown, check
from service.tables import audit
from tests.databases import opened
from tests.fakes import FakeClassifier

FAKE = FakeClassifier()
SECRET = "kestrel 13800138000"


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with opened(request.param, tmp_path) as database:
        yield database


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


def add(store: Store, words: str, repeat: str | None = None, owner: str = "a", **fields: object) -> dict:
    """Stores a report whose hash is its text; returns it."""
    return add_and_tell(store, words, repeat, owner, **fields)[0]


def add_and_tell(
    store: Store, words: str, repeat: str | None = None, owner: str = "a", **fields: object
) -> tuple[dict, bool]:
    """Stores a report whose hash is its text; returns it, and whether it is new."""
    said = FAKE.classify([words])[0]
    if "needs_review" in fields:
        said = said._replace(needs_review=bool(fields.pop("needs_review")), review_reason="unsure")
    if "model" in fields:
        said = said._replace(model=str(fields.pop("model")))
    shares = FAKE.category_probabilities([words])[0].tolist()
    chances = dict(zip(FAKE.taxonomy.category_ids, shares, strict=True))
    new = NewReport(words, hashlib.sha256(words.encode()).hexdigest(), **{"received_at": 1_000} | fields)
    return store.add(new, said, chances, owner, repeat)


def test_a_report_is_kept_whole(store: Store) -> None:
    """What was stored comes back, with its prediction and the probabilities of all 20 categories."""
    kept = add(store, "a", external_id="x", source="web", region="TW")
    found = store.get(kept["id"])
    assert {name: found[name] for name in kept} == kept
    assert (found["text"], found["external_id"], found["received_at"]) == ("a", "x", 1_000)
    assert len(found["prediction"]["probabilities"]) == 20
    assert found["predictions"] == [found["prediction"]]
    assert found["review"] is None


@pytest.mark.parametrize("by", ["external_id", "key"])
def test_the_same_again_is_the_same_report(store: Store, by: str) -> None:
    """An external id or a key that comes again gives the first report; with another body, Conflict."""
    again = {"external_id": "x"} if by == "external_id" else {"repeat": "k"}
    first, fresh = add_and_tell(store, "a", **again)
    assert fresh
    assert add_and_tell(store, "a", **again) == (first, False)
    with pytest.raises(Conflict):
        add(store, "b", **again)
    assert len(store.page(Filters(), 9)[0]) == 1


def test_keys_of_others_are_not_seen(store: Store) -> None:
    """Two senders may use the same idempotency key for different reports."""
    assert add(store, "a", "k", owner="a")["id"] != add(store, "b", "k", owner="b")["id"]


def test_at_the_same_time_one_is_stored(store: Store) -> None:
    """Of the same report sent eight times at once exactly one is new, and all get the same id."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: add_and_tell(store, "a", external_id="x"), range(8)))
    assert sum(fresh for _, fresh in answers) == 1
    assert len({report["id"] for report, _ in answers}) == 1


def test_pages_hold_each_report_once(store: Store) -> None:
    """Walking the cursor gives every report once, newest first, though others arrive meanwhile."""
    for at in (5, 3, 3, 3, 9, 1):
        add(store, "a" * at, received_at=at)
    seen, cursor = store.page(Filters(), 2)
    add(store, "later", received_at=100)
    while cursor:
        page, cursor = store.page(Filters(), 2, cursor)
        seen += page
    assert [report["received_at"] for report in seen] == [9, 5, 3, 3, 3, 1]
    assert len({report["id"] for report in seen}) == 6


@pytest.mark.parametrize(
    "cursor", ["x", "1-", "1-" + "g" * 32, "-1-" + "0" * 32, "é", "9" * 14 + "-" + "0" * 32]
)
def test_a_cursor_that_is_none_is_refused(store: Store, cursor: str) -> None:
    """What is no cursor of ours is a ValueError, not a page."""
    with pytest.raises(ValueError, match="cursor"):
        store.page(Filters(), 2, cursor)


def test_filters_hold(store: Store) -> None:
    """Each filter leaves what fits it, and several must all hold."""
    odd = add(store, "a", source="web", received_at=10)
    even = add(store, "aa", source="phone", region="TW", received_at=20, needs_review=True)
    Desk(store.database).review(even["id"], NewReview("fake_loan", "me"), "a")
    wanted = {
        Filters(category=odd["prediction"]["category"]): [odd],
        Filters(scheme=even["prediction"]["scheme"]): [even],
        Filters(needs_review=True): [even],
        Filters(reviewed=False): [odd],
        Filters(source="web"): [odd],
        Filters(region="TW"): [even],
        Filters(since=20): [even],
        Filters(until=20): [odd],
        Filters(source="web", region="TW"): [],
    }
    for filters, reports in wanted.items():
        found = [report["id"] for report in store.page(filters, 9)[0]]
        assert found == [report["id"] for report in reports], filters


def test_erasing_leaves_an_anonymous_tombstone(store: Store) -> None:
    """After an erasure nothing of the report is left but that there was one, and the audit says so."""
    kept = add(store, SECRET, "k", external_id=SECRET, source=SECRET, received_at=86_400_001)
    Desk(store.database).review(kept["id"], NewReview("fake_loan", SECRET, note=SECRET), "a")
    assert Erasure(store.database).erase(kept["id"], "a")
    assert not Erasure(store.database).erase(kept["id"], "a")
    with pytest.raises(Erased):
        store.get(kept["id"])
    with pytest.raises(Unknown):
        Erasure(store.database).erase("0" * 32, "a")
    assert store.page(Filters(), 9) == ([], None)
    with store.database.reading() as connection:
        for name in ("reports", "predictions", "reviews", "repeats", "bands", "audit"):
            rows = connection.execute(text(f"SELECT * FROM {name}")).all()
            assert SECRET not in repr(rows)
            assert len(rows) == {"reports": 1, "audit": 2}.get(name, 0), name
    assert [entry["action"] for entry in store.audit_trail()] == ["report_reviewed", "report_erased"]
    assert add(store, "b", "k", external_id=SECRET)["id"] != kept["id"]


def test_what_was_erased_does_not_come_back(store: Store) -> None:
    """The same report sent again after its erasure is refused; another of the same name is a new one."""
    for repeat, fields in (("k", {}), (None, {"external_id": "x"}), ("l", {"external_id": "y"})):
        words = f"{SECRET} {repeat}"
        kept = add(store, words, repeat, **fields)
        Erasure(store.database).erase(kept["id"], "a")
        with pytest.raises(Erased):
            add(store, words, repeat, **fields)
        assert add(store, words + "!", repeat, **fields)["id"] != kept["id"]
    assert add(store, f"{SECRET} k")["text"], "without a name of it, it may be another's"


def test_an_erasure_misses_nothing_that_comes_in_between(store: Store) -> None:
    """A review and a repetition that meet an erasure halfway wait for it, then find the report erased."""
    kept = add(store, SECRET, "k", external_id="x")
    desk, erasure = Desk(store.database), Erasure(store.database)
    review = NewReview("fake_loan", "ann", note=SECRET)
    with ThreadPoolExecutor(3) as pool:
        with store.database.writing() as connection:
            check(connection, kept["id"], hold=True)
            late = [
                pool.submit(desk.review, kept["id"], review, "a"),
                pool.submit(add, store, SECRET, "l", external_id="x"),
                pool.submit(erasure.erase, kept["id"], "b"),
            ]
            time.sleep(0.2)
            assert not any(future.done() for future in late)
            erase_in(connection, [kept["id"]], "request")
        for future in late[:2]:
            with pytest.raises(Erased):
                future.result(20)
        assert late[2].result(20) is False
    with store.database.reading() as connection:
        for name in ("reviews", "repeats", "predictions"):
            assert not connection.execute(text(f"SELECT * FROM {name}")).all(), name


def test_a_wave_of_one_campaign_is_stored(store: Store) -> None:
    """Near-duplicates that come at the same time are all stored at once, as one campaign or nearly."""
    words = "对方自称快递客服，说我的包裹丢了要理赔，让我打开屏幕共享，卡里的钱就被转走了。"
    with ThreadPoolExecutor(8) as pool:
        kept = list(
            pool.map(lambda n: add(store, f"{words}{'甲乙丙丁戊己庚辛'[n % 8] * (n % 5)}{n}"), range(80))
        )
    assert len({report["id"] for report in kept}) == 80
    with store.database.reading() as connection:
        campaigns = connection.execute(text("SELECT count(DISTINCT campaign) FROM reports")).scalar()
    assert campaigns <= 8


def test_the_log_is_emptied_later_where_it_is_read(tmp_path: Path) -> None:
    """While a reader keeps the log of changes the text lingers there; then it is overwritten."""
    with opened("sqlite", tmp_path) as database:
        store, erasure = Store(database), Erasure(database)
        kept = add(store, SECRET)
        with database.reading() as reader:
            reader.execute(text("SELECT count(*) FROM reports")).all()
            erasure.erase(kept["id"], "a")
            assert any(SECRET.encode() in path.read_bytes() for path in tmp_path.iterdir())
        assert erasure.lingers
        erasure.scrub()
        assert not erasure.lingers
        assert not any(SECRET.encode() in path.read_bytes() for path in tmp_path.iterdir())


def test_erased_text_is_in_no_file(tmp_path: Path) -> None:
    """After an erasure no file of an SQLite store holds the text, its log of changes included."""
    with opened("sqlite", tmp_path) as database:
        store = Store(database)
        kept = [add(store, f"{n} {SECRET} " + "long " * 900 * (n % 2)) for n in range(20)]
        add(store, "stays")
        held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert SECRET.encode() in held
        for report in kept:
            Erasure(store.database).erase(report["id"], "a")
        for path in tmp_path.iterdir():
            assert SECRET.encode() not in path.read_bytes(), path.name


def test_the_file_is_written_anew_after_an_erasure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What SQLite leaves behind goes with the old file: once an erasure, never without, not too often."""
    with opened("sqlite", tmp_path) as database:
        store, erasure = Store(database), Erasure(database)
        kept = [add(store, f"{SECRET} {n}") for n in range(200)]
        erasure.scrub()
        assert (database.rewritten_at() < kept[0]["created_at"], erasure.lingers) == (True, False)
        for report in kept[1:]:
            erasure.erase(report["id"], "a")
        assert pages(database, "freelist_count") > 0
        erasure = Erasure(database)  # as in another process
        erasure.scrub()
        assert (pages(database, "freelist_count"), erasure.lingers) == (0, False)
        monkeypatch.setattr("service.erasure.SELDOM", 1e6)
        erasure.scrub()
        erasure.erase(kept[0]["id"], "a")
        erasure.scrub()
        assert erasure.lingers, "it was done just now"
        Erasure(database).scrub()
        assert database.rewritten_at() > kept[0]["created_at"] - 1_000
        assert not any(SECRET.encode() in path.read_bytes() for path in tmp_path.iterdir())


def pages(database: Database, name: str) -> int:
    """A number that SQLite knows of its pages."""
    with database.reading() as connection:
        return int(connection.exec_driver_sql(f"PRAGMA {name}").scalar())


def test_old_reports_expire(store: Store) -> None:
    """The retention erases what is older than a time, once, and nothing else."""
    old, new = add(store, "a", received_at=5), add(store, "b", received_at=50)
    erasure = Erasure(store.database)
    assert (erasure.expire(50), erasure.expire(50)) == (1, 0)
    with pytest.raises(Erased):
        store.get(old["id"])
    assert store.get(new["id"])["text"] == "b"
    assert store.audit_trail()[-1]["details"] == {"why": "retention"}


def test_the_audit_only_grows(store: Store) -> None:
    """The database itself refuses to change or delete an entry of the audit."""
    Erasure(store.database).erase(add(store, "a")["id"], "a")
    for change in (update(audit).values(actor="b"), delete(audit)):
        with pytest.raises(DBAPIError), store.database.writing() as connection:
            connection.execute(change)
    assert [entry["actor"] for entry in store.audit_trail()] == ["a"]


def test_a_share_of_what_is_answered_is_drawn(tmp_path: Path) -> None:
    """Of answered reports the set share waits for an audit; of others none is drawn, all wait."""
    with opened("sqlite", tmp_path) as database:
        store = Store(database, 0.25, random.Random(1))
        for n in range(120):
            add(store, f"report {n}")
        drawn = Desk(database).depth()
        assert 15 <= drawn <= 45
        add(store, "unsure", needs_review=True)
        assert Desk(database).depth() == drawn + 1
        nothing = Store(database, 0.0)
        add(nothing, "sure")
        assert Desk(database).depth() == drawn + 1
