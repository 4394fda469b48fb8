"""The server process: a listening socket, and uvicorn with what it lacks."""

import asyncio
import os
import socket
import time
from types import FrameType

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from service.context import Context
from service.problems import Problem
from service.settings import Settings


class Protocol(H11Protocol):
    """HTTP/1.1 that refuses with a problem, and hangs up where no request is whole for too long.

    The clock runs while a connection has no request in flight: while a head is awaited or dribbles
    in, and while a body dribbles in that was answered already. A request in flight has its own
    limit, see `service.body`.
    """

    read_timeout = 30.0  # seconds
    _clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._set_clock()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._set_clock()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._set_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answers what is not HTTP, unless an answer is already on its way, and hangs up."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            answer = Problem("http_malformed", headers={"Connection": "close"}).response()
            head = h11.Response(
                status_code=answer.status_code, headers=answer.raw_headers, reason=b"Bad Request"
            )
            for event in (head, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        if self.cycle is not None:  # what the app may still say goes nowhere
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """Says nothing: other protocols may be ignored, and some clients always offer one."""

    def _set_clock(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_clock()
        elif self._clock is None and not self.transport.is_closing():
            self._clock = self.loop.call_later(self.read_timeout, self.transport.close)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None


class Server(uvicorn.Server):
    """A server that says no to ready for a while before it closes its port.

    It ends too where `parent`, the process that started it, has gone.
    """

    def __init__(self, config: uvicorn.Config, context: Context, parent: int | None) -> None:
        super().__init__(config)
        self._context = context
        self._parent = parent
        self._close_at = float("inf")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal begins the end; a second one does not wait for what drains."""
        drain = self._context.settings.drain
        if self._context.draining or not drain:
            super().handle_exit(sig, frame)
        else:
            self._captured_signals.append(sig)
            self._close_at = time.monotonic() + drain
        self._context.draining = True

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to stop."""
        orphaned = self._parent is not None and os.getppid() != self._parent
        if orphaned or time.monotonic() >= self._close_at:
            self.should_exit = True
        return await super().on_tick(counter)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only where the protocol is named; without, each answer waits 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    return listener


def url(listener: socket.socket) -> str:
    """Where the socket can be reached."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def create_server(app: FastAPI, settings: Settings, parent: int | None = None) -> uvicorn.Server:
    """A server whose `run(sockets=[...])` serves until SIGTERM or SIGINT.

    It then closes the port and finishes the requests in flight, within the grace. Its own access
    log is off: that would write down the query of a URL, and someone will put a text there.
    """

    class Timed(Protocol):
        read_timeout = settings.read_timeout

    config = uvicorn.Config(
        app,
        http=Timed,
        loop="asyncio",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=settings.grace,
    )
    return Server(config, app.state.context, parent)
