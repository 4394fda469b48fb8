"""The server process: a listening socket, and uvicorn with what it lacks."""

import os
import socket
import time
from types import FrameType

import uvicorn
from fastapi import FastAPI

from service.context import Context
from service.protocol import Protocol
from service.settings import Settings


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
