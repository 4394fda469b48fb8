"""The HTTP app: a function of its parts, and what it does in the background."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from anyio.to_thread import run_sync
from fastapi import FastAPI
from starlette.exceptions import HTTPException

from service import context as contexts
from service import history, openapi
from service.about import add_about, add_health, swap
from service.classify import add_classify
from service.context import Context
from service.docs import add_docs
from service.guard import Guard, on_http_exception, on_problem
from service.models import Models
from service.problems import Problem
from service.rehearsal import rehearse
from service.relabels import add_relabels
from service.reports import add_desk, add_reports
from service.security import REFRESH
from service.settings import Settings
from service.tables import now

log = logging.getLogger("ruse.service")

HOUR, DAY = 3_600, 86_400_000  # seconds, milliseconds


def create_app(models: Models, settings: Settings, shared: Path | None = None) -> FastAPI:
    """The service as an ASGI app. Once started it warms the model up, then is ready.

    `shared` is a folder through which several workers add up their metrics and rates.
    """
    context = contexts.create(models, settings, shared)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(work) for work in (_warm_up(app, context), *_chores(context))]
        yield
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError, Exception):
                await task
        context.database.close()

    app = FastAPI(
        title="Ruse",
        version="1",
        summary="Names the scheme behind a scam report, in Chinese or English.",
        description="Every error is an RFC 9457 problem with a stable `code`; "
        "`/problems/{code}` explains it. No error repeats any of the text.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # FastAPI's own would hand messages of exceptions, which may quote a text, to an exporter.
        telemetry={"auto_configure": False, "tracing": False, "metrics": False, "logs": False},
        exception_handlers={Problem: on_problem, HTTPException: on_http_exception},
    )
    app.state.context = context
    app.add_middleware(Guard, metrics=context.metrics)
    add_classify(app, context)
    add_reports(app, context)
    add_desk(app, context)
    add_relabels(app, context)
    add_about(app, context)
    add_health(app, context)
    add_docs(app)
    openapi.complete(app.openapi())
    return app


async def _warm_up(app: FastAPI, context: Context) -> None:
    await run_sync(context.models.warm_up)
    await rehearse(app)
    context.rehearsed = True


def _chores(context: Context) -> list[Coroutine[Any, Any, None]]:
    async def look_for_model() -> None:
        if context.models.has_changed():
            with suppress(Problem):  # it has been logged
                await swap(context, "promotion")

    async def note_model() -> None:
        version = context.models.current.manifest.version
        with suppress(Problem):
            await context.in_store(history.note, context.database, "start", version)

    async def read_keys() -> None:
        await run_sync(context.gate.refresh)

    async def scrub() -> None:
        if context.erasure.lingers:
            with suppress(Problem):
                await context.in_store(context.erasure.scrub)

    async def expire() -> None:
        before = now() - context.settings.retention_days * DAY
        with suppress(Problem):
            count = await context.in_store(context.erasure.expire, before)
            if count:
                log.info("%d reports were erased, for they were older than RUSE_RETENTION_DAYS", count)

    chores: list[Coroutine[Any, Any, None]] = [
        note_model(),
        _every(REFRESH, read_keys),
        _every(REFRESH, scrub),
    ]
    if context.settings.models is not None:
        chores.append(_every(context.settings.model_poll, look_for_model))
    if context.settings.retention_days:
        chores.append(_every(HOUR, expire))
    return chores


async def _every(seconds: float, chore: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await chore()
        except Exception as error:  # the next time may do better
            log.error("a chore of the service failed: %s", type(error).__name__)
        await asyncio.sleep(seconds)
