"""The HTTP app: its routes, and what they answer."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict

import orjson
from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from model import Classifier
from service import body, openapi, schemas
from service.docs import add_docs
from service.guard import Guard, on_http_exception, on_problem
from service.problems import KINDS, RETRY_AFTER, Problem
from service.settings import Settings

log = logging.getLogger("ruse.service")

# A single text whose body has at most so many bytes is done sooner than handed to a thread.
INLINE = 8 * 1024
WARM_UP = ("The parcel is at the station.", "快递到了驿站。")


def create_app(classifier: Classifier, settings: Settings) -> FastAPI:
    """The service as an ASGI app. Once started it warms the classifier up, then is ready."""
    warmth = Warmth(classifier)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        warmth.begin()
        yield

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
    app.add_middleware(Guard)
    add_classify(app, classifier, settings, warmth)
    add_about(app, classifier, settings)
    add_health(app, warmth, settings)
    add_docs(app)
    openapi.complete(app.openapi())
    return app


class Warmth:
    """Whether the classifier has answered once; its first answer may have to compile the kernel."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Starts to warm up, beside whatever the event loop does."""
        self._task = asyncio.create_task(self._warm_up())

    async def _warm_up(self) -> None:
        try:
            await run_sync(self._classifier.classify, WARM_UP)
        except Exception:
            log.exception("model_failed: the model cannot classify; reinstall or choose another")
            raise

    def check_alive(self) -> None:
        """Raises Problem where the warm-up has failed: only another start can help."""
        if self._task and self._task.done() and self._task.exception():
            raise Problem("model_failed")

    def check_ready(self) -> None:
        """Raises Problem until the warm-up has succeeded."""
        self.check_alive()
        if not (self._task and self._task.done()):
            raise Problem("not_ready", headers=RETRY_AFTER)


def add_classify(app: FastAPI, classifier: Classifier, settings: Settings, warmth: Warmth) -> None:
    """Adds the routes that classify. Both turn bytes into bytes, so that a thread can do it all."""
    limiter = CapacityLimiter(settings.threads)
    reading = (*openapi.READING, *openapi.TEXT)

    def one(content: bytes) -> bytes:
        text = schemas.read_text(content, settings.text_limit)
        return orjson.dumps(classifier.classify([text])[0].as_dict())

    def many(content: bytes) -> bytes:
        texts = schemas.read_texts(content, settings.batch_limit, settings.text_limit)
        predictions = classifier.classify(texts)
        answer = {
            "predictions": [prediction.as_dict() for prediction in predictions],
            "model": predictions[0].model,
            "taxonomy": predictions[0].taxonomy,
        }
        return orjson.dumps(answer)

    @app.post(
        "/v1/classify",
        summary="Classify one text",
        tags=["classify"],
        responses=openapi.answers(schemas.Prediction, (*reading, *openapi.SERVING), settings),
        openapi_extra=openapi.request_body(
            schemas.ClassifyRequest,
            {name: {"text": text} for name, text in openapi.TEXTS.items()},
            settings,
        ),
    )
    async def classify(request: Request) -> Response:
        """Names the category and the scheme of one text. Stores nothing."""
        warmth.check_ready()
        content = await body.read(request, settings)
        if len(content) <= INLINE:
            return json(one(content))
        return json(await run_sync(one, content, limiter=limiter))

    @app.post(
        "/v1/classify/batch",
        summary="Classify many texts",
        tags=["classify"],
        responses=openapi.answers(
            schemas.BatchAnswer,
            (*reading, *openapi.BATCHED, *openapi.SERVING),
            settings,
        ),
        openapi_extra=openapi.request_body(
            schemas.BatchRequest, {"both": {"texts": list(openapi.TEXTS.values())}}, settings
        ),
    )
    async def classify_batch(request: Request) -> Response:
        """As if each text were classified alone, in the same order.

        One bad text refuses the whole batch; `errors` names every bad one by its index.
        """
        warmth.check_ready()
        content = await body.read(request, settings)
        return json(await run_sync(many, content, limiter=limiter))


def add_about(app: FastAPI, classifier: Classifier, settings: Settings) -> None:
    """Adds the routes that tell what answers."""

    @app.get(
        "/v1/taxonomy",
        summary="The categories and schemes",
        tags=["about"],
        responses=openapi.answers(schemas.Taxonomy, (), settings),
    )
    async def taxonomy() -> Response:
        """The whole tree, with names and advice in each language."""
        return json(orjson.dumps(classifier.taxonomy.as_dict()))

    @app.get(
        "/v1/model",
        summary="The model that answers",
        tags=["about"],
        responses=openapi.answers(schemas.Model, (), settings),
    )
    async def model() -> Response:
        """The manifest: version, thresholds, what it was trained on, how well it does."""
        return json(orjson.dumps(classifier.manifest.as_dict()))

    @app.get(
        "/problems/{code}",
        summary="What an error code means",
        tags=["about"],
        responses=openapi.answers(schemas.ProblemKind, ("not_found",), settings),
        openapi_extra={
            "parameters": [
                {
                    "name": "code",
                    "in": "path",
                    "required": True,
                    "schema": {"type": "string", "enum": list(KINDS)},
                }
            ]
        },
    )
    async def problem(request: Request) -> Response:
        """The page that the `type` of a problem points to."""
        code = request.path_params["code"]
        if code not in KINDS:
            raise Problem("not_found")
        return json(orjson.dumps({"code": code, **asdict(KINDS[code])}))


def add_health(app: FastAPI, warmth: Warmth, settings: Settings) -> None:
    """Adds the routes that a supervisor asks."""

    @app.get(
        "/health/live",
        summary="Whether the process works",
        tags=["health"],
        responses=openapi.answers(schemas.Health, ("model_failed",), settings),
    )
    async def live() -> Response:
        """Fails only where a restart is called for."""
        warmth.check_alive()
        return json(b'{"status":"live"}')

    @app.get(
        "/health/ready",
        summary="Whether to send requests here",
        tags=["health"],
        responses=openapi.answers(schemas.Health, ("not_ready", "model_failed"), settings),
    )
    async def ready() -> Response:
        """Fails until the model has warmed up."""
        warmth.check_ready()
        return json(b'{"status":"ready"}')


def json(content: bytes) -> Response:
    """A good answer of JSON that is encoded already."""
    return Response(content, media_type="application/json")
