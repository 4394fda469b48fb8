"""service.telemetry and service.guard: log lines, request ids and metrics."""

import json
import logging
import re
import uuid
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.telemetry import ACCESS, METHODS, configure_logs, request_id
from tests.fakes import FakeClassifier
from tests.serving import serving

SECRET = "kestrel"


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with serving(FakeClassifier(), audit_share=1.0) as client:
        yield client


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Every sample by its name and its labels' values."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_count_what_happened(client: httpx.Client) -> None:
    """Requests by route and status, latencies, predictions, the model and the queue are all there."""
    client.post("/v1/classify", json={"text": "aa"})
    client.post("/v1/classify/batch", json={"texts": ["a", "aa", "aaaa"]})
    client.post("/v1/classify", json={"text": ""})
    client.post("/v1/reports", json={"text": "aa"})
    client.get(f"/{SECRET}?{SECRET}")
    client.request(SECRET.upper(), f"/v1/reports/{SECRET}")
    found = samples(client.get("/metrics").text)
    assert found["ruse_requests_total", "POST", "/v1/classify", "200"] == 1
    assert found["ruse_requests_total", "POST", "/v1/classify", "422"] == 1
    assert found["ruse_requests_total", "GET", "none", "404"] == 1
    assert found["ruse_requests_total", "other", "/v1/reports/{id}", "405"] == 1
    assert found["ruse_request_seconds_count", "/v1/classify"] == 2
    assert found["ruse_predictions_total", "customer_service_impersonation", "false"] == 4
    assert found["ruse_predictions_total", "fake_loan", "false"] == 1
    assert found["ruse_model", "1.0-fake"] == 1
    assert found["ruse_queue_depth",] == 1
    assert found["ruse_store_up",] == 1
    assert SECRET not in client.get("/metrics").text.lower()


def test_a_request_id_is_answered_and_logged(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    """A UUID that the client sends comes back; anything else is replaced, for it may be a text."""
    caplog.set_level(logging.INFO)
    given = str(uuid.uuid4())
    assert client.get("/health/live", headers={"X-Request-Id": given}).headers["x-request-id"] == given
    for other in (SECRET, "13800138000", given + "0", "0" * 36):
        answered = client.get("/health/live", headers={"X-Request-Id": other}).headers["x-request-id"]
        assert answered != other
        assert uuid.UUID(answered)
    assert SECRET not in caplog.text
    logged = [record.__dict__["fields"] for record in caplog.records if record.name == ACCESS]
    (mine,) = [fields for fields in logged if fields["request_id"] == given]
    assert (mine["route"], mine["status"]) == ("/health/live", 200)


def test_log_lines_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Every line is a JSON object with time, level, logger and event; exceptions are only named."""
    root, access = logging.getLogger(), logging.getLogger(ACCESS)
    before = root.handlers[:], root.level
    try:
        configure_logs()
        access.info("request", extra={"fields": {"route": "/x", "status": 200}})
        try:
            raise ValueError(SECRET)
        except ValueError:
            logging.getLogger("elsewhere").exception("it failed")
    finally:
        root.handlers[:], root.level = before
        access.handlers[:], access.propagate = [], True
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["request", "it failed"]
    assert lines[0].items() >= {"level": "info", "logger": "ruse.access", "route": "/x"}.items()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", lines[0]["timestamp"])
    assert lines[1]["exception"] == "ValueError"
    assert SECRET not in json.dumps(lines)


def test_request_id() -> None:
    """Without an id of the client's a new one is made each time."""
    assert request_id(None) != request_id(None)
    assert request_id("") != ""
    assert "GET" in METHODS
