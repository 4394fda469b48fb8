"""Requests that a service sends itself when it begins, so that the first client waits no longer than others.

Nothing is compiled by then; but Python adapts code that runs often, and the first time takes thrice as long.
They pass a connection, HTTP and all of the app as a client's do.
"""

import asyncio
import socket
from contextlib import suppress

import orjson
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from model import golden
from service.protocol import Protocol

MARK = "ruse.rehearsal"  # in the scope of such a request, where no client can put anything
TIMES = 20

_BODY = orjson.dumps({"text": golden.WARM_UP[0]})
_REQUEST = (
    b"POST /v1/classify HTTP/1.1\r\nhost: localhost\r\nuser-agent: ruse\r\naccept: */*\r\n"
    b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
)
_LENGTH = b"content-length:"


def is_rehearsal(scope: Scope) -> bool:
    """Whether a request is one of these: it needs no key, and goes through counting and logging unseen."""
    return MARK in scope


async def rehearse(app: ASGIApp) -> None:
    """Classifies a text of ours some times, each time over a connection of which nobody else has an end."""

    async def marked(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, MARK: True}, receive, send)

    config = uvicorn.Config(
        marked, http=Protocol, ws="none", lifespan="off", log_config=None, access_log=False,
        proxy_headers=False, server_header=False,
    )  # fmt: skip
    for _ in range(TIMES):
        with suppress(OSError, EOFError, ValueError):  # whatever is wrong, the first client is told
            await _once(config)


async def _once(config: uvicorn.Config) -> None:
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    await loop.connect_accepted_socket(lambda: Protocol(config, ServerState(), {}), theirs)
    reader, writer = await asyncio.open_connection(sock=ours)
    try:
        writer.write(_REQUEST)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(_LENGTH)[2].partition(b"\r")[0]))
    finally:
        writer.close()
        await writer.wait_closed()
