"""service.rehearsal: requests before the first one."""

import logging

import pytest

from model import golden
from service.rehearsal import TIMES
from service.telemetry import ACCESS
from tests.fakes import FakeClassifier
from tests.serving import serving


def test_a_service_rehearses_unseen(caplog: pytest.LogCaptureFixture) -> None:
    """A service that says it is ready has answered a text of ours many times through the whole app, and
    neither its metrics nor its log know of it."""
    fake = FakeClassifier()
    with caplog.at_level(logging.INFO, ACCESS), serving(fake) as client:
        assert fake.seen.count([golden.WARM_UP[0]]) == TIMES
        metrics = client.get("/metrics").text
        assert 'route="/v1/classify"' not in metrics
        assert "ruse_predictions_total{" not in metrics
        assert client.post("/v1/classify", json={"text": "my loan"}).status_code == 200
        assert 'route="/v1/classify"' in client.get("/metrics").text
    routes = [record.__dict__["fields"]["route"] for record in caplog.records if record.name == ACCESS]
    assert routes.count("/v1/classify") == 1
