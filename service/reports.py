"""The routes of stored reports, their reviews and the queue."""

import re
from typing import Any

import orjson
from anyio.to_thread import run_sync
from fastapi import FastAPI, Request
from starlette.responses import Response

from model import Prediction
from service import forms, openapi, report_schemas
from service.context import Context, json
from service.problems import Problem
from service.store import NewReport

_ID = re.compile(r"[0-9a-f]{32}")
_NAMED = {
    "type": "string",
    "pattern": f"^{report_schemas.NAME}$",
    "maxLength": report_schemas.LONGEST_NAME,
}
_TIMED = {"type": "string", "pattern": f"^{report_schemas.TIME}$"}
_CURSOR = {"type": "string", "pattern": f"^{report_schemas.CURSOR}$"}
_FLAG = {"type": "boolean"}
_LIMIT = {"type": "integer", "minimum": 1, "maximum": forms.MOST_LISTED}
_FILTERS = [
    openapi.parameter("category", _NAMED, "Predicted now."),
    openapi.parameter("scheme", _NAMED, "Predicted now."),
    openapi.parameter("needs_review", _FLAG, "As predicted."),
    openapi.parameter("reviewed", _FLAG, "Whether a person has decided."),
    openapi.parameter("source", _NAMED, "As it was sent."),
    openapi.parameter("region", _NAMED, "As it was sent."),
    openapi.parameter("since", _TIMED, "Received at this time or later."),
    openapi.parameter("until", _TIMED, "Received before this time."),
    openapi.parameter("limit", _LIMIT, "Reports on a page; 50 by default."),
    openapi.parameter("cursor", _CURSOR, "Of the page before."),
]
_TIMES = ("received_at", "created_at", "leased_until", "started_at", "finished_at", "decided_at")


def add_reports(app: FastAPI, context: Context) -> None:
    """Adds the routes of reports."""
    settings = context.settings
    gone = ("report_unknown", "report_erased", *openapi.STORED)

    def classify(content: bytes) -> tuple[NewReport, Prediction, dict[str, float]]:
        new = forms.read_report(content, settings.text_limit)
        classifier = context.models.current
        said = classifier.classify([new.text])
        chances = classifier.category_probabilities([new.text])[0].tolist()
        context.metrics.count(said)
        return new, said[0], dict(zip(classifier.taxonomy.category_ids, chances, strict=True))

    @app.post(
        "/v1/reports",
        summary="Store a report",
        tags=["reports"],
        status_code=201,
        responses=openapi.answers(
            report_schemas.Report,
            (
                *openapi.READING, *openapi.TEXT, "field_invalid", "header_invalid", "report_conflict",
                "report_erased", *openapi.STORED, *openapi.SERVING,
            ),
            settings,
            status=201,
        )
        | {200: {"model": report_schemas.Report, "description": "It was stored before."}},
        openapi_extra={"parameters": [openapi.IDEMPOTENCY_KEY]}
        | openapi.request_body(report_schemas.ReportRequest, {"hotline": openapi.REPORT_SENT}, settings),
    )  # fmt: skip
    async def add(request: Request) -> Response:
        """Classifies a report and stores both. Once answered, it is safe on the disk.

        The same `external_id` or `Idempotency-Key` again answers the same report with status 200.
        """
        key = await context.admit(request, "report")
        context.models.check_ready()
        repeat = forms.read_idempotency_key(request.headers)
        content = await context.read(request)
        new, said, chances = await run_sync(classify, content, limiter=context.threads)
        report, fresh = await context.in_store(context.store.add, new, said, chances, key.id, repeat)
        location = {"Location": f"/v1/reports/{report['id']}"}
        return json(dumps(report), 201 if fresh else 200, location)

    @app.get(
        "/v1/reports",
        summary="List reports",
        tags=["reports"],
        responses=openapi.answers(report_schemas.ReportPage, ("query_invalid", *openapi.STORED), settings),
        openapi_extra={"parameters": _FILTERS},
    )
    async def page(request: Request) -> Response:
        """Reports that all filters fit, newest first; erased ones are left out."""
        await context.admit(request, "report")
        query = request.query_params
        filters, limit = forms.read_filters(query), forms.read_limit(query, 50)
        try:
            reports, cursor = await context.in_store(context.store.page, filters, limit, query.get("cursor"))
        except ValueError:
            raise Problem("query_invalid", parameter="cursor") from None
        return json(dumps({"reports": reports, "cursor": cursor}))

    @app.get(
        "/v1/reports/{id}",
        summary="One report",
        tags=["reports"],
        responses=openapi.answers(report_schemas.WholeReport, gone, settings),
        openapi_extra={"parameters": [openapi.REPORT_ID]},
    )
    async def get(request: Request) -> Response:
        """The report with what every model and every reviewer said of it."""
        await context.admit(request, "report")
        return json(dumps(await context.in_store(context.store.get, _id(request))))

    @app.delete(
        "/v1/reports/{id}",
        summary="Erase a report",
        tags=["reports"],
        status_code=204,
        responses=openapi.answers(None, ("report_unknown", *openapi.STORED), settings, status=204),
        openapi_extra={"parameters": [openapi.REPORT_ID]},
    )
    async def erase(request: Request) -> Response:
        """Erases text, predictions and reviews for good; what stays is that there was a report."""
        key = await context.admit(request, "admin")
        await context.in_store(context.erasure.erase, _id(request), key.id)
        return Response(status_code=204)


def add_desk(app: FastAPI, context: Context) -> None:
    """Adds the routes of reviewers."""
    settings = context.settings

    @app.put(
        "/v1/reports/{id}/review",
        summary="Decide on a report",
        tags=["reviews"],
        responses=openapi.answers(
            report_schemas.Review,
            (
                *openapi.READING, "field_invalid", "category_unknown", "scheme_unknown",
                "report_unknown", "report_erased", *openapi.STORED,
            ),
            settings,
        ),
        openapi_extra={"parameters": [openapi.REPORT_ID]}
        | openapi.request_body(report_schemas.ReviewRequest, {"desk": openapi.REVIEW_SENT}, settings),
    )  # fmt: skip
    async def review(request: Request) -> Response:
        """Adds a decision; those before it are kept, and no model ever overwrites one."""
        key = await context.admit(request, "review")
        content = await context.read(request)
        tree = context.models.current.taxonomy
        new = await run_sync(forms.read_review, content, tree, limiter=context.threads)
        kept = await context.in_store(context.desk.review, _id(request), new, key.id)
        return json(dumps(kept))

    @app.get(
        "/v1/queue",
        summary="Take reports to review",
        tags=["reviews"],
        responses=openapi.answers(report_schemas.Queue, ("query_invalid", *openapi.STORED), settings),
        openapi_extra={
            "parameters": [
                openapi.parameter("reviewer", _NAMED, "Who takes them; by default the key."),
                openapi.parameter("limit", _LIMIT, "Reports to take; 10 by default."),
            ]
        },
    )
    async def queue(request: Request) -> Response:
        """Leases what waits for a person: the least certain first, of each campaign one.

        A report is nobody else's until it is decided on or its lease ends; asking again answers the
        reports that are still held. A few reports that the model is sure of are among them.
        """
        key = await context.admit(request, "review")
        query = request.query_params
        limit, reviewer = forms.read_limit(query, 10), query.get("reviewer", key.id)
        if not forms.is_name(reviewer):
            raise Problem("query_invalid", parameter="reviewer")
        lease = settings.lease_minutes * 60_000
        found = await context.in_store(context.desk.hand_out, reviewer, limit, lease)
        return json(dumps({"reports": found}))


def _id(request: Request) -> str:
    report = request.path_params["id"]
    if not _ID.fullmatch(report):
        raise Problem("report_unknown")
    return str(report)


def dumps(value: Any) -> bytes:
    """The value as JSON, with its times in RFC 3339."""
    return orjson.dumps(_timed(value))


def _timed(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: forms.write_time(inner) if name in _TIMES else _timed(inner)
            for name, inner in value.items()
        }
    return [_timed(inner) for inner in value] if isinstance(value, list) else value
