"""The outermost ring of the app: whatever goes wrong inside leaves as a problem, and unquoted."""

import asyncio
import logging
import traceback

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import RETRY_AFTER, Problem

log = logging.getLogger("ruse.service")


class Guard:
    """ASGI middleware: HEAD as GET, exceptions as problems.

    An exception is logged by type and place only. Its message may quote the text it failed on, so
    it must not reach the server, which logs whole tracebacks.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        if scope["method"] == "HEAD":  # the server leaves the body out
            scope = {**scope, "method": "GET"}
        try:
            await self.app(scope, receive, watch)
        except ClientDisconnect:
            return
        except asyncio.CancelledError:  # the grace after SIGTERM is over
            if not started:
                await Problem("shutting_down", headers=RETRY_AFTER).response()(scope, receive, send)
            raise
        except Exception as error:
            log.error("internal_error: %s", describe(error))
            if not started:
                await Problem("internal_error").response()(scope, receive, send)


def describe(error: BaseException) -> str:
    """Type and place of an exception and of its causes, without their messages."""
    parts = []
    seen: BaseException | None = error
    while seen:
        frames = traceback.extract_tb(seen.__traceback__)
        places = " > ".join(f"{frame.filename}:{frame.lineno}" for frame in frames[-5:])
        parts.append(f"{type(seen).__name__} at {places}")
        seen = seen.__cause__ or seen.__context__
    return ", after ".join(parts)


async def on_problem(_: Request, error: Exception) -> Response:
    """Answers a Problem that a route raised."""
    assert isinstance(error, Problem)
    return error.response()


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Answers what the framework raises by itself: no such path, no such method."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return Problem("not_found").response()
    if error.status_code == 405:
        methods = allowed(request)
        return Problem("method_not_allowed", headers={"Allow": ", ".join(methods)}).response()
    raise error


def allowed(request: Request) -> list[str]:
    """Every method that some route has at this path."""
    methods: set[str] = set()
    for route in request.app.routes:
        if route.matches(request.scope)[0] is not Match.NONE:
            methods |= route.methods
    return sorted(methods | {"HEAD"} if "GET" in methods else methods)
