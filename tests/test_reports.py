"""service.reports over a real socket: reports, reviews and the queue."""

import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service import report_schemas
from service.store import Store
from service.tables import now
from tests.databases import opened
from tests.fakes import FakeClassifier
from tests.serving import serving
from tests.test_app import assert_problem
from tests.test_store import add

SECRET = "kestrel"
REPORT = {"text": f"{SECRET} took my money", "external_id": "case 1", "source": "web", "region": "TW"}
UNKNOWN = "0" * 32
COUNT = itertools.count()


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with serving(FakeClassifier(), audit_share=1.0, text_limit=500) as client:
        yield client


@pytest.fixture
def kept(client: httpx.Client) -> Iterator[dict[str, Any]]:
    """A stored report, erased afterwards; each is another, for one that was erased does not come back."""
    answer = client.post("/v1/reports", json=REPORT | {"text": f"{SECRET} took my money {next(COUNT)}"})
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/reports/{answer.json()['id']}"
    yield answer.json()
    client.delete(answer.headers["location"])


def test_a_report_is_answered_as_it_is_kept(client: httpx.Client, kept: dict[str, Any]) -> None:
    """The answer to a new report is the report, and so is its page, with all that was said of it."""
    report_schemas.Report.model_validate(kept)
    whole = client.get(f"/v1/reports/{kept['id']}")
    report_schemas.WholeReport.model_validate_json(whole.content)
    assert {name: whole.json()[name] for name in kept} == kept
    assert len(kept["prediction"]["probabilities"]) == 20


def test_again_is_200_and_otherwise_409(client: httpx.Client, kept: dict[str, Any]) -> None:
    """The same external id or idempotency key answers the same report; another body conflicts."""
    sent = REPORT | {"text": kept["text"]}
    again = client.post("/v1/reports", json=sent, headers={"Idempotency-Key": "k-1"})
    assert (again.status_code, again.json()) == (200, kept)
    keyed = client.post("/v1/reports", json=sent, headers={"Idempotency-Key": "k-1"})
    assert keyed.json() == kept
    for other, headers in (
        (sent | {"text": "another"}, {}),
        ({"text": "another"}, {"Idempotency-Key": "k-1"}),
    ):
        answer = client.post("/v1/reports", json=other, headers=headers)
        assert_problem(answer, 409, "report_conflict")
        assert SECRET not in answer.text


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("text", " ", "blank"),
        ("text", "a\0", "nul"),
        ("text", "a" * 501, "too_long"),
        ("external_id", "", "field_invalid"),
        ("external_id", 7, "field_invalid"),
        ("external_id", "kestrel" * 40, "field_invalid"),
        ("source", "kestrel\n", "field_invalid"),
        ("source", "\ud800", "field_invalid"),
        ("region", " kestrel", "field_invalid"),
        ("received_at", "yesterday", "field_invalid"),
        ("received_at", "2026-02-30T10:00:00Z", "field_invalid"),
        ("received_at", "2026-02-20T10:00:00", "field_invalid"),
        ("received_at", "1900-02-20T10:00:00Z", "field_invalid"),
        ("received_at", 5, "field_invalid"),
    ],
)
def test_a_wrong_field_is_named(client: httpx.Client, field: str, value: object, code: str) -> None:
    """A field that cannot be is refused with its place, without its value, and nothing is stored."""
    content = json.dumps({"text": "a"} | {field: value}).encode()
    headers = {"Content-Type": "application/json"}
    answer = client.post("/v1/reports", content=content, headers=headers)
    assert assert_problem(answer, 422, code)["errors"] == [{"path": f"/{field}", "code": code}]
    assert SECRET not in answer.text
    assert client.get("/v1/reports").json() == {"reports": [], "cursor": None}


def test_times_are_kept_in_utc(client: httpx.Client) -> None:
    """A time with an offset comes back as the same moment in UTC."""
    sent = {"text": "a", "received_at": "2026-11-28T09:30:00.5+08:00"}
    kept = client.post("/v1/reports", json=sent).json()
    assert kept["received_at"] == "2026-11-28T01:30:00.500Z"
    client.delete(f"/v1/reports/{kept['id']}")


def test_a_listing_is_filtered_and_paged(client: httpx.Client) -> None:
    """Filters, limit and cursor work together; a walk sees every report once."""
    ids = []
    for n in range(5):
        sent = {"text": "a" * (n + 1), "source": "web" if n % 2 else "post"}
        ids.append(client.post("/v1/reports", json=sent).json()["id"])
    page = client.get("/v1/reports", params={"source": "post", "limit": 2})
    report_schemas.ReportPage.model_validate_json(page.content)
    rest = client.get(
        "/v1/reports", params={"source": "post", "limit": 2, "cursor": page.json()["cursor"]}
    ).json()
    assert rest["cursor"] is None
    found = [report["id"] for report in page.json()["reports"] + rest["reports"]]
    assert sorted(found) == sorted(ids[::2])
    for report in ids:
        client.delete(f"/v1/reports/{report}")


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("limit", "0"), ("limit", "201"), ("limit", "x"), ("needs_review", "yes"), ("since", "today"),
        ("cursor", "kestrel"), ("category", ""), ("source", "a\nb"), ("reviewed", "TRUE"),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_named(client: httpx.Client, parameter: str, value: str) -> None:
    """A parameter that cannot be is refused by its name, without its value."""
    answer = client.get("/v1/reports", params={parameter: value})
    assert parameter in assert_problem(answer, 400, "query_invalid")["detail"]
    assert SECRET not in answer.text


def test_an_erased_report_is_gone(client: httpx.Client, kept: dict[str, Any]) -> None:
    """DELETE is 204, as often as it is sent; then the report is 410, sent again too, an unknown one 404."""
    path = f"/v1/reports/{kept['id']}"
    assert [client.delete(path).status_code for _ in range(2)] == [204, 204]
    assert_problem(client.get(path), 410, "report_erased")
    again = client.post("/v1/reports", json=REPORT | {"text": kept["text"]})
    assert_problem(again, 410, "report_erased")
    review = {"category": "romance", "reviewer": "ann"}
    assert_problem(client.put(f"{path}/review", json=review), 410, "report_erased")
    for unknown in (UNKNOWN, SECRET):
        assert_problem(client.get(f"/v1/reports/{unknown}"), 404, "report_unknown")
        assert_problem(client.delete(f"/v1/reports/{unknown}"), 404, "report_unknown")


def test_a_review_is_kept(client: httpx.Client, kept: dict[str, Any]) -> None:
    """PUT keeps a decision, shows it with the report, and takes the report out of the queue."""
    path = f"/v1/reports/{kept['id']}"
    sent = {"category": "fake_loan", "scheme": "loan_upfront_fee", "reviewer": "ann", "note": SECRET}
    said = client.put(f"{path}/review", json=sent)
    report_schemas.Review.model_validate_json(said.content)
    assert client.get(path).json()["review"] == said.json()
    assert said.json().items() >= sent.items()
    assert client.get("/v1/queue").json() == {"reports": []}


@pytest.mark.parametrize(
    ("change", "path", "code"),
    [
        ({"category": "kestrel"}, "/category", "category_unknown"),
        ({"category": None}, "/category", "category_unknown"),
        ({"category": []}, "/category", "category_unknown"),
        ({"scheme": "kestrel"}, "/scheme", "scheme_unknown"),
        ({"scheme": "online_lover"}, "/scheme", "scheme_unknown"),
        ({"scheme": {}}, "/scheme", "scheme_unknown"),
        ({"second_category": "kestrel"}, "/second_category", "category_unknown"),
        ({"second_category": "fake_loan"}, "/second_category", "category_unknown"),
        ({"reviewer": ""}, "/reviewer", "field_invalid"),
        ({"reviewer": None}, "/reviewer", "field_invalid"),
        ({"note": "a" * 2_001}, "/note", "field_invalid"),
        ({"note": 5}, "/note", "field_invalid"),
    ],
)
def test_a_wrong_review_is_refused(
    client: httpx.Client, kept: dict[str, Any], change: dict[str, Any], path: str, code: str
) -> None:
    """A review must name what the taxonomy has, and who decided."""
    sent = {"category": "fake_loan", "reviewer": "ann"} | change
    answer = client.put(f"/v1/reports/{kept['id']}/review", json=sent)
    assert {"path": path, "code": code} in assert_problem(answer, 422, code)["errors"]
    assert SECRET not in answer.text


def test_the_queue_leases(client: httpx.Client, kept: dict[str, Any]) -> None:
    """A report that one reviewer has taken is not given to another, and says nothing of the lot."""
    mine = client.get("/v1/queue", params={"reviewer": "ann"})
    report_schemas.Queue.model_validate_json(mine.content)
    assert [report["id"] for report in mine.json()["reports"]] == [kept["id"]]
    assert client.get("/v1/queue", params={"reviewer": "bob"}).json() == {"reports": []}
    assert "audit" not in mine.text
    assert_problem(client.get("/v1/queue?reviewer="), 400, "query_invalid")


def test_classifying_stores_nothing(client: httpx.Client) -> None:
    """After single texts and batches were classified there is still no report."""
    client.post("/v1/classify", json={"text": "a"})
    client.post("/v1/classify/batch", json={"texts": ["a", "b"]})
    assert client.get("/v1/reports").json() == {"reports": [], "cursor": None}


def test_the_retention_erases_by_age(tmp_path: Path) -> None:
    """A service with a retention erases what is older when it starts, and keeps the rest."""
    with opened("sqlite", tmp_path) as database:
        store = Store(database)
        old, young = add(store, "old"), add(store, "young", received_at=now())
        with serving(FakeClassifier(), database=database.where, retention_days=30) as client:
            deadline = time.monotonic() + 10
            while client.get(f"/v1/reports/{old['id']}").status_code != 410:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            assert client.get(f"/v1/reports/{young['id']}").status_code == 200


def test_postgresql_serves_as_sqlite_does(tmp_path: Path) -> None:
    """The whole way of a report, from intake over queue and review to erasure, on PostgreSQL."""
    with (
        opened("postgresql", tmp_path) as database,
        serving(FakeClassifier(), database=database.url.render_as_string(False), audit_share=1.0) as client,
    ):
        kept = client.post("/v1/reports", json=REPORT)
        assert (kept.status_code, client.post("/v1/reports", json=REPORT).status_code) == (201, 200)
        (mine,) = client.get("/v1/queue").json()["reports"]
        path = f"/v1/reports/{mine['id']}"
        assert client.put(f"{path}/review", json={"category": "romance", "reviewer": "ann"}).is_success
        assert client.get("/v1/reports?reviewed=true").json()["reports"][0]["id"] == kept.json()["id"]
        assert client.delete(path).status_code == 204
        assert client.get(path).status_code == 410
