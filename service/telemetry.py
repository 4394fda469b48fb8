"""Logs and metrics. Neither ever holds a text, a query, a path that a client chose, or a name."""

import io
import logging
import sys
import uuid
from collections import Counter as Tally
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import orjson
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from model import Prediction

ACCESS = "ruse.access"  # the logger of requests
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


def configure_logs() -> None:
    """Sends every log of the process to standard error, one JSON object a line."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    render = structlog.processors.JSONRenderer(serializer=lambda event, **_: orjson.dumps(event).decode())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _no_traceback, render],
        )
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    access = logging.getLogger(ACCESS)
    access.handlers[:], access.propagate = [_access_lines(sys.stderr)], False
    for chatty in ("alembic", "httpx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


class AccessFormatter(logging.Formatter):
    """A request's line in one step: through all processors it would cost more than to classify."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; its fields are those of the record's `fields`."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z")
        line = {"event": "request", **record.__dict__["fields"], "logger": ACCESS, "level": "info"}
        return orjson.dumps(line | {"timestamp": at}).decode()


def _access_lines(stream: TextIO) -> logging.Handler:
    """Writes the lines of requests to a stream."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(AccessFormatter())
    return handler


def _unheard() -> logging.Logger:
    """A logger of requests like the real one, whose lines go nowhere."""
    logger = logging.Logger("ruse.rehearsal", logging.INFO)
    logger.addHandler(_access_lines(io.StringIO()))
    return logger


unheard = _unheard()


def _no_traceback(_: object, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """Of an exception only its type: its message may quote a text."""
    info = event.pop("exc_info", None)
    if isinstance(info, tuple) and info[0]:
        event["exception"] = info[0].__name__
    event.pop("stack_info", None)
    event.pop("color_message", None)  # uvicorn's, for terminals
    return event


def request_id(given: str | None) -> str:
    """The id of a request: what the client gave where that is a UUID, else a new one."""
    try:
        if given and len(given) == 36:
            return str(uuid.UUID(given))
    except ValueError:
        pass
    return str(uuid.uuid4())


class Now(Collector):
    """Metrics as they are at this moment: no worker keeps them, so none adds them to those of others."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """The metrics."""
        return self._families


class Metrics:
    """What Prometheus scrapes. `shared` is the folder through which several workers add up."""

    def __init__(self, shared: Path | None = None) -> None:
        self._shared = shared
        self._own = CollectorRegistry()
        self.requests = Counter(
            "ruse_requests", "Requests answered.", ("method", "route", "status"), registry=self._own
        )
        self.seconds = Histogram(
            "ruse_request_seconds",
            "Time from the head of a request to the end of its answer.",
            ("route",),
            buckets=_BUCKETS,
            registry=self._own,
        )
        self.predictions = Counter(
            "ruse_predictions", "Texts classified.", ("category", "needs_review"), registry=self._own
        )
        self.model = Gauge(
            "ruse_model", "1 for the version that answers.", ("version",), registry=self._own,
            multiprocess_mode="livemax",
        )  # fmt: skip
        self.refused = Gauge(
            "ruse_model_refused", "1 where the promoted model is not fit to serve and another answers.",
            registry=self._own, multiprocess_mode="livemax",
        )  # fmt: skip
        self._version: str | None = None
        self._answered: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def use_model(self, version: str, refused: bool = False) -> None:
        """Notes which model answers from now on, and whether it does in the place of one refused."""
        self.refused.set(refused)
        if self._version not in (None, version):
            self.model.labels(self._version).set(0)
        self.model.labels(version).set(1)
        self._version = version

    def answered(self, method: str, route: str, status: int, seconds: float, counted: bool = True) -> None:
        """Counts a request, or only gets ready to. There are few of each, so what counts them is looked
        up once."""
        key = (method, route, status)
        if key not in self._answered:
            self._answered[key] = (
                self.requests.labels(method, route, str(status)),
                self.seconds.labels(route),
            )
        counter, histogram = self._answered[key]
        counter.inc(counted)
        if counted:
            histogram.observe(seconds)

    def count(self, predictions: Iterable[Prediction], counted: bool = True) -> None:
        """Counts what was classified, or only gets ready to."""
        counts = Tally((said.category, said.needs_review) for said in predictions)
        for (category, needs_review), n in counts.items():
            self.predictions.labels(category, "true" if needs_review else "false").inc(n * counted)

    def text(self, depth: int | None, jobs: tuple[dict[str, int], int, float] | None = None) -> bytes:
        """All metrics in the text format of Prometheus, with the depth of the queue where known.

        `jobs` are the numbers of `service.jobs`, where known.
        """
        if self._shared:
            registry = CollectorRegistry()
            MultiProcessCollector(registry, str(self._shared))  # type: ignore[no-untyped-call]
        else:
            registry = self._own
        up = GaugeMetricFamily("ruse_store_up", "1 where the store can be read.", depth is not None)
        now = [up]
        if depth is not None:
            now.append(GaugeMetricFamily("ruse_queue_depth", "Reports that wait for a person.", depth))
        if jobs is not None:
            states = GaugeMetricFamily("ruse_relabels", "Relabel jobs.", labels=("state",))
            for state, count in jobs[0].items():
                states.add_metric((state,), count)
            done = GaugeMetricFamily("ruse_relabel_rows", "Rows done by the job that runs.", jobs[1])
            share = GaugeMetricFamily("ruse_relabel_share", "How much of the job that runs is done.", jobs[2])
            now += [states, done, share]
        extra = CollectorRegistry()
        extra.register(Now(now))
        return generate_latest(registry) + generate_latest(extra)
