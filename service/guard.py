"""The outermost ring of the app: whatever goes wrong inside leaves as a problem, and unquoted."""

import asyncio
import logging
import time
import traceback

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import RETRY_AFTER, Problem
from service.rehearsal import is_rehearsal
from service.telemetry import ACCESS, METHODS, Metrics, request_id, unheard

log = logging.getLogger("ruse.service")
access = logging.getLogger(ACCESS)

# No page may frame, sniff or keep an answer, and an answer loads nothing; there is no CORS.
HEADERS = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)


class Guard:
    """ASGI middleware: HEAD as GET, exceptions as problems, headers, one log line and metrics each.

    An exception is logged by type and place only. Its message may quote the text it failed on, so
    it must not reach the server, which logs whole tracebacks. Of a path only the route is noted, for
    someone will put a text there.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        number = request_id(given.decode("latin-1"))
        structlog.contextvars.bind_contextvars(request_id=number)
        method = scope["method"] if scope["method"] in METHODS else "other"
        status = 0

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message.setdefault("headers", [])
                there = {name.lower() for name, _ in headers}
                headers += [pair for pair in HEADERS if pair[0] not in there]
                headers.append((b"x-request-id", number.encode()))
            await send(message)

        if scope["method"] == "HEAD":  # the server leaves the body out
            scope = {**scope, "method": "GET"}
        try:
            await self.app(scope, receive, watch)
        except ClientDisconnect:
            return
        except asyncio.CancelledError:  # the grace after SIGTERM is over
            if not status:
                await Problem("shutting_down", headers=RETRY_AFTER).response()(scope, receive, watch)
            raise
        except Exception as error:
            log.error("internal_error: %s", describe(error))
            if not status:
                await Problem("internal_error").response()(scope, receive, watch)
        finally:
            self._note(scope, number, method, status or 499, time.perf_counter() - began)
            structlog.contextvars.clear_contextvars()

    def _note(self, scope: Scope, number: str, method: str, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        counted = not is_rehearsal(scope)
        self._metrics.answered(method, route, status, seconds, counted)
        fields = {"request_id": number, "method": method, "route": route, "status": status}
        more = {"ms": round(seconds * 1e3, 2), "key": scope.get("ruse.key")}
        (access if counted else unheard).info("request", extra={"fields": fields | more})


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
