"""The routes that classify. They store nothing."""

import orjson
from anyio.to_thread import run_sync
from fastapi import FastAPI, Request
from starlette.responses import Response

from service import openapi, schemas
from service.context import Context, json
from service.include import Wish
from service.rehearsal import is_rehearsal

# A single text whose body has at most so many bytes is done sooner than handed to a thread.
INLINE = 8 * 1024


def add_classify(app: FastAPI, context: Context) -> None:
    """Adds the routes. Both turn bytes into bytes, so that a thread can do it all."""
    settings = context.settings
    reading = (*openapi.READING, *openapi.TEXT, "query_invalid", *openapi.KEYED)

    def one(content: bytes, wish: Wish, counted: bool = True) -> bytes:
        text = schemas.read_text(content, settings.text_limit)
        classifier = context.models.current
        said = classifier.classify([text])
        context.metrics.count(said, counted)
        return orjson.dumps(wish.complete(classifier, [text], said)[0])

    def many(content: bytes, wish: Wish) -> bytes:
        texts = schemas.read_texts(content, settings.batch_limit, settings.text_limit)
        classifier = context.models.current
        said = classifier.classify(texts)
        context.metrics.count(said)
        answer = {
            "predictions": wish.complete(classifier, texts, said),
            "model": said[0].model,
            "taxonomy": said[0].taxonomy,
        }
        return orjson.dumps(answer)

    @app.post(
        "/v1/classify",
        summary="Classify one text",
        tags=["classify"],
        responses=openapi.answers(schemas.RichPrediction, (*reading, *openapi.SERVING), settings),
        openapi_extra={"parameters": openapi.INCLUDE}
        | openapi.request_body(
            schemas.ClassifyRequest,
            {name: {"text": text} for name, text in openapi.TEXTS.items()},
            settings,
        ),
    )
    async def classify(request: Request) -> Response:
        """Names the category and the scheme of one text. Stores nothing."""
        await context.admit(request, "classify")
        context.models.check_ready()
        wish = Wish(request)
        content = await context.read(request)
        if len(content) <= INLINE:
            answer = one(content, wish, not is_rehearsal(request.scope))
            return json(answer, headers=wish.headers)
        answer = await run_sync(one, content, wish, limiter=context.threads)
        return json(answer, headers=wish.headers)

    @app.post(
        "/v1/classify/batch",
        summary="Classify many texts",
        tags=["classify"],
        responses=openapi.answers(
            schemas.BatchAnswer,
            (*reading, *openapi.BATCHED, *openapi.SERVING),
            settings,
        ),
        openapi_extra={"parameters": openapi.INCLUDE}
        | openapi.request_body(
            schemas.BatchRequest, {"both": {"texts": list(openapi.TEXTS.values())}}, settings
        ),
    )
    async def classify_batch(request: Request) -> Response:
        """As if each text were classified alone, in the same order.

        One bad text refuses the whole batch; `errors` names every bad one by its index.
        """
        await context.admit(request, "classify")
        context.models.check_ready()
        wish = Wish(request)
        content = await context.read(request)
        answer = await run_sync(many, content, wish, limiter=context.threads)
        return json(answer, headers=wish.headers)
