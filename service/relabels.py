"""The routes of jobs that classify again."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
from fastapi import FastAPI, Request
from starlette.responses import Response

from model import Taxonomy
from service import folder, forms, openapi, relabel_schemas
from service.context import Context, json
from service.folder import Files
from service.jobs import JobConflict, UnknownJob, WrongState
from service.labels import STORE
from service.problems import Fault, Problem
from service.relabel_schemas import LONGEST_PATH, PATH
from service.reports import dumps
from service.schemas import read_fields, refuse
from service.staged import Staged
from service.staging import NotNewest

ID = r"[0-9a-f]{32}"
_PATH = re.compile(PATH)
_SHOWN = tuple(relabel_schemas.Relabel.model_fields)
_LIMIT = {"type": "integer", "minimum": 1, "maximum": forms.MOST_LISTED}
_JOB = openapi.parameter("id", {"type": "string", "pattern": f"^{ID}$"}, "The job's id.", "path")
_OPTIONS = ("text_column", "id_column", "label_column", "crosswalk")
_FOLLOWS = {
    "approve": "Makes the new answers the current ones, all at once. Reviews stay as they are, and a "
    "report that a person has decided on does not come back into the queue. Of files it makes the target "
    "appear. Only a job that waits for approval can be approved; again it changes nothing.",
    "revert": "Makes current again what was so before the job was applied, exactly; what people did "
    "since stays. Only the job that was applied last can be reverted, then the one before it.",
    "cancel": "Ends a job that was not applied, at once; what it has made is removed.",
}
_SAID = {"approve": "Apply a job", "revert": "Undo a job", "cancel": "Cancel a job"}


def add_relabels(app: FastAPI, context: Context) -> None:
    """Adds the routes of jobs."""
    settings = context.settings
    jobs = context.staged.jobs
    home = settings.relabel_folder

    def create(content: bytes, owner: str, key: str | None) -> tuple[dict[str, Any], bool]:
        fields = read(content, context.models.current.taxonomy)
        source, target = str(fields["source"]), fields.get("target")
        if source != STORE:
            if home is None:
                raise Problem("relabel_folder_unset")
            _find(home, source, str(target))
        options = {name: fields[name] for name in _OPTIONS if fields.get(name) is not None}
        hashed = hashlib.sha256(orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)).hexdigest()
        try:
            return jobs.create(source, target, options, owner, key, hashed)
        except JobConflict:
            raise Problem("relabel_conflict") from None

    @app.post(
        "/v1/relabels",
        summary="Classify again",
        tags=["relabels"],
        status_code=202,
        responses=openapi.answers(
            relabel_schemas.Relabel,
            (
                *openapi.READING, "field_invalid", "header_invalid", "path_refused", "relabel_conflict",
                "relabel_folder_unset", "target_taken", *openapi.STORED,
            ),
            settings,
            status=202,
        )
        | {200: {"model": relabel_schemas.Relabel, "description": "It was asked for before."}},
        openapi_extra={"parameters": [openapi.IDEMPOTENCY_KEY]}
        | openapi.request_body(
            relabel_schemas.RelabelRequest,
            {"store": openapi.RELABEL_SENT, "files": openapi.RELABEL_FILES},
            settings,
        ),
    )  # fmt: skip
    async def add(request: Request) -> Response:
        """Queues a job that classifies all stored reports again, or files, with the promoted model.

        It changes nothing that can be seen until it is approved. The same `Idempotency-Key` and body
        again answer the same job with status 200.
        """
        key = await context.admit(request, "admin")
        repeat = forms.read_idempotency_key(request.headers)
        content = await context.read(request)
        row, fresh = await context.in_store(create, content, key.id, repeat)
        location = {"Location": f"/v1/relabels/{row['id']}"}
        return json(dumps(_show(row)), 202 if fresh else 200, location)

    @app.get(
        "/v1/relabels",
        summary="List jobs",
        tags=["relabels"],
        responses=openapi.answers(relabel_schemas.RelabelPage, ("query_invalid", *openapi.STORED), settings),
        openapi_extra={
            "parameters": [
                openapi.parameter("limit", _LIMIT, "Jobs on a page; 50 by default."),
                openapi.parameter("cursor", {"type": "string", "pattern": f"^{ID}$"}, "Of the page before."),
            ]
        },
    )
    async def page(request: Request) -> Response:
        """Jobs, newest first, without what they would change."""
        await context.admit(request, "admin")
        limit, cursor = forms.read_limit(request.query_params, 50), request.query_params.get("cursor")
        if cursor is not None and not re.fullmatch(ID, cursor):
            raise Problem("query_invalid", parameter="cursor")
        rows, after = await context.in_store(jobs.page, limit, cursor)
        return json(dumps({"relabels": [_show(row) for row in rows], "cursor": after}))

    @app.get(
        "/v1/relabels/{id}",
        summary="One job",
        tags=["relabels"],
        responses=openapi.answers(
            relabel_schemas.WholeRelabel, ("relabel_unknown", *openapi.STORED), settings
        ),
        openapi_extra={"parameters": [_JOB]},
    )
    async def get(request: Request) -> Response:
        """How far a job is and, once all rows have an answer, what it would change."""
        await context.admit(request, "admin")
        row = await _in_store(context, jobs.get, _id(request))
        return json(dumps(_show(row) | {"diff": row["diff"]}))

    def decide(what: str, job: str, actor: str) -> dict[str, Any]:
        row = jobs.get(job)
        side: Staged | Files = context.staged
        if row["source"] != STORE:
            if home is None:
                raise Problem("relabel_folder_unset")
            side = Files(context.database, home)
        do: Callable[..., dict[str, Any]] = {
            "approve": side.apply,
            "revert": side.revert,
            "cancel": side.cancel,
        }[what]
        return do(job, actor)

    def add_decision(what: str) -> None:
        codes = ["relabel_unknown", "relabel_state", "relabel_folder_unset"]
        if what != "cancel":
            codes += ["relabel_not_newest", "target_taken", "target_missing", "path_refused"]

        async def decision(request: Request) -> Response:
            key = await context.admit(request, "admin")
            row = await _in_store(context, decide, what, _id(request), key.id)
            return json(dumps(_show(row)))

        app.post(
            f"/v1/relabels/{{id}}/{what}",
            summary=_SAID[what],
            description=_FOLLOWS[what],
            operation_id=f"{what}_relabel",
            tags=["relabels"],
            responses=openapi.answers(relabel_schemas.Relabel, (*codes, *openapi.STORED), settings),
            openapi_extra={"parameters": [_JOB]},
        )(decision)

    for what in _FOLLOWS:
        add_decision(what)


async def _in_store(context: Context, work: Callable[..., Any], *arguments: Any) -> Any:
    """`context.in_store` with what jobs may raise. Raises Problem."""
    try:
        return await context.in_store(work, *arguments)
    except WrongState as error:
        raise Problem("relabel_state", state=error.state.replace("_", " ")) from None
    except tuple(_ANSWERS) as error:
        raise Problem(_ANSWERS[type(error)]) from None


_ANSWERS: dict[type[Exception], str] = {
    UnknownJob: "relabel_unknown",
    NotNewest: "relabel_not_newest",
    folder.PathRefused: "path_refused",
    folder.TargetTaken: "target_taken",
    folder.TargetMissing: "target_missing",
}


def read(body: bytes, tree: Taxonomy) -> dict[str, Any]:
    """The fields of a RelabelRequest, without those that are null. Raises Problem, with every fault."""
    fields = read_fields(body, ("source",), ("target", *_OPTIONS))
    fields = {name: value for name, value in fields.items() if value is not None or name == "source"}
    store = fields["source"] == STORE
    paths: tuple[str, ...] = ("source", "target")
    wrong = [name for name in paths if name in fields and not _is_path(fields[name])]
    if store == ("target" in fields):
        wrong.append("target")
    wrong += [name for name in _OPTIONS if name in fields and (store or not forms.is_name(fields[name]))]
    if not wrong and fields.get("crosswalk") not in (None, *tree.crosswalks):
        wrong.append("crosswalk")
    if wrong:
        refuse(Fault(f"/{name}", "field_invalid") for name in wrong)
    return fields


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_PATH and _PATH.fullmatch(value) is not None


def _find(home: Path, source: str, target: str) -> None:
    """Raises Problem where a job may not read or write these."""
    faults = []
    for name, check in (("source", folder.find), ("target", folder.within)):
        try:
            found = check(home, {"source": source, "target": target}[name])
        except folder.PathRefused:
            faults.append(Fault(f"/{name}", "path_refused"))
    if faults:
        refuse(faults)
    if found.exists():
        raise Problem("target_taken")


def _show(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in _SHOWN}


def _id(request: Request) -> str:
    job = request.path_params["id"]
    if not re.fullmatch(ID, job):
        raise Problem("relabel_unknown")
    return str(job)
