"""service.server: the socket that it listens on."""

import socket

import pytest

from service.server import listen, url


def test_answers_are_sent_without_delay() -> None:
    """The socket names TCP, without which each answer on a kept connection would wait 40 ms."""
    with listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP
        assert url(listener).startswith("http://127.0.0.1:")


def test_an_address_in_use_is_an_error() -> None:
    """A port that is taken cannot be listened on."""
    with listen("127.0.0.1", 0) as listener, pytest.raises(OSError, match="in use"):
        listen("127.0.0.1", listener.getsockname()[1])


def test_ipv6_is_written_in_brackets() -> None:
    """An IPv6 address makes a URL that a client understands."""
    try:
        listener = listen("::1", 0)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with listener:
        assert url(listener).startswith("http://[::1]:")
