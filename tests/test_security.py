"""service.security and service.counters: who may do what, and how often."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from limits import RateLimitItemPerSecond
from limits.strategies import FixedWindowRateLimiter

from service.app import create_app
from service.counters import FileStorage
from service.database import Database
from service.models import Models
from service.security import SCOPES, KeyRing, is_loopback
from service.settings import Settings
from service.tables import keys
from tests.databases import opened
from tests.fakes import FakeClassifier
from tests.serving import serving
from tests.test_app import assert_problem

# What each route needs; every route of the app stands here.
NEEDS = {
    ("POST", "/v1/classify"): "classify",
    ("POST", "/v1/classify/batch"): "classify",
    ("POST", "/v1/reports"): "report",
    ("GET", "/v1/reports"): "report",
    ("GET", "/v1/reports/{id}"): "report",
    ("DELETE", "/v1/reports/{id}"): "admin",
    ("PUT", "/v1/reports/{id}/review"): "review",
    ("GET", "/v1/queue"): "review",
    ("POST", "/v1/model/reload"): "admin",
    ("POST", "/v1/relabels"): "admin",
    ("GET", "/v1/relabels"): "admin",
    ("GET", "/v1/relabels/{id}"): "admin",
    ("POST", "/v1/relabels/{id}/approve"): "admin",
    ("POST", "/v1/relabels/{id}/revert"): "admin",
    ("POST", "/v1/relabels/{id}/cancel"): "admin",
    ("GET", "/metrics"): "any",
    **{
        ("GET", path): None
        for path in (
            "/v1/taxonomy", "/v1/model", "/problems/{code}", "/health/live", "/health/ready", "/docs",
            "/docs/{name}",
        )
    },
}  # fmt: skip


@contextmanager
def keyed(folder: Path, **given: object) -> Iterator[tuple[httpx.Client, KeyRing]]:
    """A service whose store has one key already, with scope admin, and a client without it."""
    with opened("sqlite", folder) as database:
        ring = KeyRing(database)
        ring.create("first", ["admin"], None, "test")
        with serving(FakeClassifier(), database=database.where, **given) as client:
            yield client, ring


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def test_a_secret_is_256_bits_and_not_stored(tmp_path: Path) -> None:
    """The secret is shown once; the store has its hash, and the audit neither."""
    with opened("sqlite", tmp_path) as database:
        key, secret = KeyRing(database).create("ann", ["classify", "report"], 30, "test")
        assert len(secret.removeprefix("ruse_")) == 43  # 256 bits in base64
        with database.reading() as connection:
            (row,) = connection.execute(keys.select()).mappings().all()
        assert len(row["hash"]) == 64
        assert key.is_valid()
        database.checkpoint()
        assert secret.encode() not in (tmp_path / "ruse.sqlite3").read_bytes()


def test_every_route_asks_for_its_scope(tmp_path: Path) -> None:
    """Once there is a key, each route wants one with its scope: 401 without, 403 with another's."""
    with keyed(tmp_path, rate_limit=0) as (client, ring):
        secrets = {scope: ring.create(scope, [scope], None, "test")[1] for scope in SCOPES}
        for (method, path), scope in NEEDS.items():
            url = path.replace("{id}", "0" * 32).replace("{code}", "blank").replace("{name}", "docs.js")
            if scope is None:
                assert client.request(method, url).status_code == 200
                continue
            answer = client.request(method, url)
            assert_problem(answer, 401, "key_invalid")
            assert answer.headers["www-authenticate"] == "Bearer"
            for name, secret in secrets.items():
                answer = client.request(method, url, headers=bearer(secret))
                if scope in (name, "any"):
                    assert answer.status_code not in (401, 403)
                else:
                    assert_problem(answer, 403, "scope_missing")


def test_no_route_was_forgotten() -> None:
    """The table above has every route of the app."""
    app = create_app(Models(FakeClassifier()), Settings.model_construct())
    found = {(m, route.path) for route in app.routes for m in getattr(route, "methods", ())}
    assert found - {("HEAD", "/openapi.json"), ("GET", "/openapi.json")} == set(NEEDS)


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer ruse_kestrel", "Basic a2VzdHJlbA==", "Bearer \xff"])
def test_what_is_no_key_is_refused(tmp_path: Path, given: str) -> None:
    """A header that holds no key of ours is 401, and is not repeated."""
    with keyed(tmp_path) as (client, _):
        headers = {b"Authorization": given.encode("latin-1")}
        answer = client.post("/v1/classify", json={"text": "a"}, headers=headers)
        assert_problem(answer, 401, "key_invalid")
        assert "kestrel" not in answer.text


def test_a_key_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A revoked key is refused within seconds, an expired one at once; the audit has both ends."""
    monkeypatch.setattr("service.app.REFRESH", 0.1)
    with keyed(tmp_path) as (client, ring):
        key, secret = ring.create("ann", ["classify"], None, "test")
        assert client.post("/v1/classify", json={"text": "a"}, headers=bearer(secret)).is_success
        assert ring.revoke(key.id, "test")
        assert not ring.revoke(key.id, "test")
        deadline = time.monotonic() + 5
        while client.post("/v1/classify", json={"text": "a"}, headers=bearer(secret)).is_success:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        short, secret = ring.create("bob", ["classify"], 1, "test")
        with ring.database.writing() as connection:
            connection.execute(keys.update().where(keys.c.id == short.id).values(expires_at=1))
        answer = client.post("/v1/classify", json={"text": "a"}, headers=bearer(secret))
        assert_problem(answer, 401, "key_invalid")


def test_without_keys_only_this_machine_sees_reports() -> None:
    """While there are no keys, a page whose name was resolved to this address cannot read reports."""
    with serving(FakeClassifier()) as client:
        for host in ("localhost", "127.0.0.1:80", "[::1]:9"):
            assert client.get("/v1/reports", headers={"Host": host}).is_success
        for host in ("evil.example", "localhost.evil.example:80", ""):
            answer = client.get("/v1/reports", headers={"Host": host})
            assert_problem(answer, 421, "host_refused")
        assert client.post("/v1/classify", json={"text": "a"}, headers={"Host": "a"}).is_success


def test_each_key_has_its_rate(tmp_path: Path) -> None:
    """A key that sends too much is told when to come again; another is not touched by that."""
    with keyed(tmp_path, rate_limit=3) as (client, ring):
        eager, calm = (ring.create(name, ["classify"], None, "test")[1] for name in ("a", "b"))
        for _ in range(3):
            assert client.post("/v1/classify", json={"text": "a"}, headers=bearer(eager)).is_success
        answer = client.post("/v1/classify", json={"text": "a"}, headers=bearer(eager))
        assert_problem(answer, 429, "rate_limited")
        assert 1 <= int(answer.headers["retry-after"]) <= 61
        assert client.post("/v1/classify", json={"text": "a"}, headers=bearer(calm)).is_success


def test_counters_are_shared_through_a_file(tmp_path: Path) -> None:
    """Two workers that count in one file reach the limit together, and begin anew in a new window."""
    first, second = (FixedWindowRateLimiter(FileStorage(tmp_path / "rates")) for _ in range(2))
    item = RateLimitItemPerSecond(4)
    hits = [limiter.hit(item, "key") for limiter in (first, second) for _ in range(3)]
    assert hits == [True] * 4 + [False] * 2
    assert second.get_window_stats(item, "key").remaining == 0
    time.sleep(1.05)
    assert second.hit(item, "key")


def test_lost_counters_do_not_stop_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where requests cannot be counted any more, they are let through and that is logged."""

    def fail(*_: object, **__: object) -> int:
        raise sqlite3.OperationalError("disk I/O error")

    with keyed(tmp_path, rate_limit=1) as (client, ring):
        _, secret = ring.create("ann", ["classify"], None, "test")
        monkeypatch.setattr("limits.storage.MemoryStorage.incr", fail)
        for _ in range(3):
            assert client.post("/v1/classify", json={"text": "a"}, headers=bearer(secret)).is_success


def test_security_headers_are_on_every_answer() -> None:
    """Good answers and problems alike forbid framing, sniffing and keeping; none allows an origin."""
    with serving(FakeClassifier()) as client:
        for path in ("/health/live", "/kestrel", "/docs", "/v1/reports"):
            answer = client.get(path, headers={"Origin": "https://evil.example"})
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["x-frame-options"] == "DENY"
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
            assert "no-" in answer.headers["cache-control"]
            assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False),
     ("::", False), ("10.0.0.1", False), ("localhost.evil.example", False)],
)  # fmt: skip
def test_loopback(host: str, expected: bool) -> None:
    """Only addresses that other machines cannot reach are loopback."""
    assert is_loopback(host) is expected


def test_scopes_must_be_known(tmp_path: Path) -> None:
    """A key with no or an unknown scope is not made."""
    with opened("sqlite", tmp_path) as database:
        for scopes in ([], ["kestrel"], ["admin", "root"]):
            with pytest.raises(ValueError, match="scopes are"):
                KeyRing(Database(database.where)).create("ann", scopes, None, "test")
