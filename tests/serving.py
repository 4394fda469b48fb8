"""A real server, in a thread, for tests that speak HTTP to the app."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import httpx

from model import Classifier
from service.app import create_app
from service.database import Database
from service.models import Models
from service.server import create_server, listen, url
from service.settings import Settings


@contextmanager
def serving(classifier: Classifier, ready: bool = True, **given: Any) -> Iterator[httpx.Client]:
    """A client of a server with this classifier; settings not given have their defaults."""
    with TemporaryDirectory() as folder:
        given = {"database": f"sqlite:///{folder}/ruse.sqlite3"} | given
        database = Database(given["database"])
        database.migrate()
        database.close()
        with _serving(classifier, ready, Settings.model_construct(**given)) as client:
            yield client


@contextmanager
def _serving(classifier: Classifier, ready: bool, settings: Settings) -> Iterator[httpx.Client]:
    server = create_server(create_app(Models(classifier, settings.models), settings), settings)
    with listen("127.0.0.1", 0) as listener:
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            with httpx.Client(base_url=url(listener), timeout=10, trust_env=False) as client:
                if ready:
                    until_ready(client)
                yield client
        finally:
            server.should_exit = True
            thread.join(10)


def until_ready(client: httpx.Client) -> None:
    """Waits, ten seconds at most, until the service is ready."""
    deadline = time.monotonic() + 10
    while client.get("/health/ready").status_code != 200:
        assert time.monotonic() < deadline, "the service does not become ready"
        time.sleep(0.02)
