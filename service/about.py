"""The routes that tell what answers, and how it is."""

import logging
from dataclasses import asdict
from weakref import WeakKeyDictionary

import orjson
from anyio.to_thread import run_sync
from fastapi import FastAPI, Request
from starlette.responses import Response

from model import Classifier, ModelError
from service import history, openapi, schemas
from service.context import Context, json
from service.problems import KINDS, RETRY_AFTER, Problem

log = logging.getLogger("ruse.service")


def add_about(app: FastAPI, context: Context) -> None:
    """Adds the routes about the model."""
    settings = context.settings
    trees = WeakKeyDictionary[Classifier, bytes]()  # written once, for that takes ten times a small answer

    @app.get(
        "/v1/taxonomy",
        summary="The categories and schemes",
        tags=["about"],
        responses=openapi.answers(schemas.Taxonomy, (), settings),
    )
    async def taxonomy() -> Response:
        """The whole tree, with names and advice in each language."""
        classifier = context.models.current
        if classifier not in trees:
            trees[classifier] = orjson.dumps(classifier.taxonomy.as_dict())
        return json(trees[classifier])

    @app.get(
        "/v1/model",
        summary="The model that answers",
        tags=["about"],
        responses=openapi.answers(schemas.Model, (), settings),
    )
    async def model() -> Response:
        """The manifest: version, thresholds, what it was trained on, how well it does."""
        manifest = context.models.current.manifest.as_dict()
        manifest["calibration"] = {k: v for k, v in manifest["calibration"].items() if k != "golden"}
        return json(orjson.dumps(manifest))

    @app.post(
        "/v1/model/reload",
        summary="Take the promoted model",
        tags=["about"],
        responses=openapi.answers(schemas.Reloaded, ("model_refused", *openapi.STORED), settings),
    )
    async def reload(request: Request) -> Response:
        """Loads what RUSE_MODELS names now, checks it on its golden texts, and swaps.

        The old model stays where anything is wrong. Other workers follow within RUSE_MODEL_POLL
        seconds; they look by themselves, so this route only makes it sooner and says what happened.
        """
        key = await context.admit(request, "admin")
        before, after = await swap(context, key.id)
        return json(orjson.dumps({"before": before, "after": after}))

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


async def swap(context: Context, actor: str) -> tuple[str, str]:
    """Reloads the model; versions before and after. Raises Problem; the old model then stays."""
    try:
        before, after = await run_sync(context.models.reload)
    except ModelError as error:
        version = context.models.current.manifest.version
        context.metrics.use_model(version, refused=True)
        log.error("model_refused: %s; model %s goes on", error, version)
        raise Problem("model_refused") from None
    context.metrics.use_model(after)
    if before != after:
        log.info("model %s answers in the place of %s", after, before)
        try:
            await context.in_store(history.note, context.database, actor, after)
        except Problem:
            log.warning("the change of model could not be written into the audit")
    return before, after


def add_health(app: FastAPI, context: Context) -> None:
    """Adds the routes that a supervisor asks."""
    settings = context.settings

    @app.get(
        "/health/live",
        summary="Whether the process works",
        tags=["health"],
        responses=openapi.answers(schemas.Live, ("model_failed",), settings),
    )
    async def live() -> Response:
        """Fails only where a restart is called for."""
        context.models.check_alive()
        return json(b'{"status":"live"}')

    @app.get(
        "/health/ready",
        summary="Whether to send requests here",
        tags=["health"],
        responses=openapi.answers(schemas.Ready, ("not_ready", "model_failed", "shutting_down"), settings),
    )
    async def ready() -> Response:
        """Fails until the model has warmed up, and again after SIGTERM.

        It does not ask the database: classifying works without, and `ruse_store_up` tells. Nor does it
        fail where the promoted model was refused: another answers, and `model_refused` says so.
        """
        if context.draining:
            raise Problem("shutting_down", headers=RETRY_AFTER)
        models = context.models
        models.check_ready()
        if not context.rehearsed:
            raise Problem("not_ready", headers=RETRY_AFTER)
        said = {"model": models.current.manifest.version, "model_refused": models.refused}
        return json(orjson.dumps({"status": "ready", **said}))

    @app.get("/metrics", include_in_schema=False)
    async def metrics(request: Request) -> Response:
        await context.admit(request, None)
        try:
            depth: int | None = await context.in_store(context.desk.depth)
            jobs: tuple[dict[str, int], int, float] | None = await context.in_store(
                context.staged.jobs.numbers
            )
        except Problem:
            depth = jobs = None
        text = await run_sync(context.metrics.text, depth, jobs)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
