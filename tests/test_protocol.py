"""service.protocol: what is done with connections that the app never sees."""

import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.fakes import FakeClassifier
from tests.serving import serving

PATIENCE = 0.4  # seconds


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with serving(FakeClassifier(), read_timeout=PATIENCE) as client:
        yield client


def exchange(client: httpx.Client, *parts: bytes, pause: float = 0.0) -> bytes:
    """Sends the parts as they are and reads until the server hangs up or five seconds are over."""
    address = (client.base_url.host, client.base_url.port or 0)
    with socket.create_connection(address, timeout=5) as connection:
        for part in parts:
            try:
                connection.sendall(part)
            except OSError:
                break
            time.sleep(pause)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def post(body: bytes, *headers: str) -> bytes:
    """A request to classify, by hand; Content-Length only where `headers` say so."""
    lines = ["POST /v1/classify HTTP/1.1", "Host: a", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00kestrel\r\n\r\n",
        b"kestrel\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"kestrel" * 9_500,
        post(b"kestrel\r\n", "Transfer-Encoding: chunked"),
        post(b"0\r\n\r\nGET /kestrel HTTP/1.1\r\n", "Transfer-Encoding: chunked", "Content-Length: 31"),
        post(b"0\r\n\r\n", "Transfer-Encoding: chunked").replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
)
def test_what_is_not_http_is_a_problem(
    client: httpx.Client, caplog: pytest.LogCaptureFixture, request_: bytes
) -> None:
    """A malformed request is answered by a problem, and the connection is closed."""
    head, _, body = exchange(client, request_).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"content-type: application/problem+json" in head.lower()
    assert b"connection: close" in head.lower()
    assert b'"code":"http_malformed"' in body
    assert b"kestrel" not in head + body
    assert "kestrel" not in caplog.text


def test_a_head_that_dribbles_in_is_dropped(client: httpx.Client) -> None:
    """A client that never finishes the head of its request is hung up on."""
    started = time.monotonic()
    assert exchange(client, b"GET /health/live HTTP/1.1\r\n", *[b"X: a\r\n"] * 20, pause=0.1) == b""
    assert time.monotonic() - started < 4


def test_a_silent_connection_is_dropped(client: httpx.Client) -> None:
    """A client that connects and says nothing is hung up on."""
    started = time.monotonic()
    assert exchange(client) == b""
    assert time.monotonic() - started < 4


def test_a_body_that_dribbles_in_is_refused(client: httpx.Client) -> None:
    """A body that is not there in time is a 408 problem, and the connection is closed."""
    answer = exchange(client, post(b"{", "Content-Length: 99"), *[b" "] * 20, pause=0.1)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"body_timeout"' in answer
    assert b"connection: close" in answer


def test_the_rest_of_an_answered_body_is_not_awaited_for_ever(client: httpx.Client) -> None:
    """A body that was refused by its headers may come, but not dribble in without an end."""
    head = post(b"", "Content-Length: 9999", "Content-Encoding: gzip")
    answer = exchange(client, head, *[b" "] * 20, pause=0.1)
    assert answer.startswith(b"HTTP/1.1 415 ")
    assert answer.count(b"HTTP/1.1") == 1


def test_a_client_that_asks_first_is_told_at_once(client: httpx.Client) -> None:
    """Expect: 100-continue with a Content-Length over the limit is refused before the body."""
    answer = exchange(client, post(b"", "Content-Length: 99999999", "Expect: 100-continue"))
    assert answer.startswith(b"HTTP/1.1 413 ")
    answer = exchange(
        client,
        post(b'{"text":"a"}', "Content-Length: 12", "Expect: 100-continue", "Connection: close"),
    )
    assert answer.startswith(b"HTTP/1.1 100 ")
    assert b"\r\n\r\nHTTP/1.1 200 OK" in answer


def test_a_body_that_turns_out_malformed_is_answered_once(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    """A broken chunk behind a head that is refused anyway makes one answer and no error."""
    head = post(b"", "Transfer-Encoding: chunked", "Content-Encoding: gzip")
    answer = exchange(client, head + b"1\r\na\r\nkestrel\r\n")
    assert answer.count(b"HTTP/1.1 4") == 1
    assert client.get("/health/ready").status_code == 200
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_client_that_hangs_up_leaves_no_trace(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    """A body that breaks off is forgotten: no error is logged and the next request is served."""
    address = (client.base_url.host, client.base_url.port or 0)
    with socket.create_connection(address) as connection:
        connection.sendall(post(b'{"text":"kes', "Content-Length: 99"))
        time.sleep(0.05)
    assert client.get("/health/ready").status_code == 200
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


def test_an_offer_of_another_protocol_is_ignored(client: httpx.Client) -> None:
    """A client that offers HTTP/2 or a WebSocket in passing is answered, body and all."""
    for offer in ("h2c", "websocket"):
        headers = ("Content-Length: 12", "Connection: Upgrade, close", f"Upgrade: {offer}")
        assert exchange(client, post(b'{"text":"a"}', *headers)).startswith(b"HTTP/1.1 200 OK")


def test_chunks_are_put_together(client: httpx.Client) -> None:
    """A chunked body is read as one."""
    body = b'5\r\n{"tex\r\n7\r\nt":"a"}\r\n0\r\n\r\n'
    answer = exchange(client, post(body, "Transfer-Encoding: chunked", "Connection: close"))
    assert answer.startswith(b"HTTP/1.1 200 OK")


def ask_for_ever(connection: socket.socket, request: bytes) -> None:
    """Sends a request every now and then and reads nothing."""
    while True:
        connection.sendall(request)
        time.sleep(0.01)


def test_an_answer_that_is_not_taken_is_given_up(client: httpx.Client) -> None:
    """A client that asks and asks but takes no answer is hung up on, and holds nothing for ever."""
    address = (client.base_url.host, client.base_url.port or 0)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.settimeout(10)
        connection.connect(address)
        request = b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n"
        with pytest.raises(ConnectionError):
            ask_for_ever(connection, request)


@pytest.mark.parametrize(("count", "size", "status"), [(1_000, 1, 200), (3_000, 100, 200), (3_000, 1, 400)])
def test_a_body_in_crumbs_is_refused(client: httpx.Client, count: int, size: int, status: int) -> None:
    """Some chunks may be tiny, and many may be small, but a body of many tiny ones is refused."""
    chunk = b"%x\r\n%s\r\n" % (size, b" " * size)
    body = chunk * (count - 1) + b'c\r\n{"text":"a"}\r\n0\r\n\r\n'
    answer = exchange(client, post(body, "Transfer-Encoding: chunked", "Connection: close"))
    assert answer.startswith(b"HTTP/1.1 %d " % status)
