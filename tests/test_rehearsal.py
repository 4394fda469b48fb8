"""service.rehearsal: requests before the first one."""

import logging
import time
from typing import NoReturn

import pytest
from sqlalchemy.exc import OperationalError

from model import golden
from service.rehearsal import TIMES
from service.security import KeyRing
from service.telemetry import ACCESS
from tests.fakes import FakeClassifier
from tests.serving import serving


def counted(metrics: str, name: str) -> list[float]:
    """The values of a metric, one for each set of labels that has to do with classifying."""
    lines = [line for line in metrics.splitlines() if line.startswith(name + "{")]
    return [float(line.rsplit(" ", 1)[1]) for line in lines if "/v1/classify" in line or "category" in line]


def test_a_service_rehearses_unseen(caplog: pytest.LogCaptureFixture) -> None:
    """A service that says it is ready has answered a text of ours many times through the whole app, its
    metrics have counted none of that, and its log does not know of it."""
    fake = FakeClassifier()
    with caplog.at_level(logging.INFO, ACCESS), serving(fake) as client:
        assert fake.seen.count([golden.WARM_UP[0]]) == TIMES
        metrics = client.get("/metrics").text
        for name in ("ruse_requests_total", "ruse_predictions_total"):
            assert counted(metrics, name) == [0.0]
        assert counted(metrics, "ruse_request_seconds_count") == [0.0]
        assert client.post("/v1/classify", json={"text": "my loan"}).status_code == 200
        assert counted(client.get("/metrics").text, "ruse_requests_total") == [1.0]
    routes = [record.__dict__["fields"]["route"] for record in caplog.records if record.name == ACCESS]
    assert routes.count("/v1/classify") == 1


def test_a_store_that_is_away_does_not_hold_up_the_rehearsal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the keys cannot be read the service is ready all the same, without a read for each rehearsal."""
    reads: list[float] = []

    def away(_: KeyRing) -> NoReturn:
        reads.append(time.monotonic())
        raise OperationalError("select", {}, Exception("away"))

    monkeypatch.setattr(KeyRing, "all", away)
    with serving(FakeClassifier()):
        assert len(reads) < TIMES / 4
