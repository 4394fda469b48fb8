"""Errors as RFC 9457 problems: every code that the service answers with stands in KINDS.

A problem says what is wrong, where and what to do. Nothing that a client sent is ever put into one,
nor into the log: details are built from the table and from numbers of ours, places are JSON
Pointers (RFC 6901) that name only fields that we know.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True)
class Kind:
    """One sort of problem. `detail` may hold {names} that the raiser fills with numbers of ours."""

    status: int
    title: str
    detail: str


KINDS: Mapping[str, Kind] = {
    "http_malformed": Kind(
        400, "The request is not HTTP/1.1", "The request cannot be read; mend it and connect again."
    ),
    "body_not_utf8": Kind(
        400, "The body is not UTF-8", "Byte {at} of the body is not UTF-8; encode JSON as UTF-8."
    ),
    "body_not_json": Kind(
        400, "The body is not JSON", "Expected JSON as in RFC 8259; the fault is {where}."
    ),
    "body_too_deep": Kind(
        400, "The body is nested too much", "Send the object that /docs shows; it is flat."
    ),
    "body_too_complex": Kind(
        400, "The body is made of too many pieces",
        "Send the object that /docs shows; no body is read that has more than {limit} strings."
    ),
    "key_doubled": Kind(
        400, "A key stands twice in one object", "Send every field of an object once."
    ),
    "query_invalid": Kind(
        400, "A parameter has a wrong value", "See /docs for what the parameter {parameter} may be."
    ),
    "header_invalid": Kind(
        400, "A header has a wrong value", "See /docs for what the header {header} may be."
    ),
    "key_invalid": Kind(
        401, "There is no valid API key", "Send Authorization: Bearer and a key that is neither "
        "revoked nor expired; `python -m service keys create` makes one."
    ),
    "scope_missing": Kind(
        403, "The key may not do this", "Use a key that has the scope {scope}."
    ),
    "report_unknown": Kind(
        404, "There is no such report", "Use an id that the service answered with."
    ),
    "relabel_unknown": Kind(
        404, "There is no such job", "Use an id that the service answered with."
    ),
    "not_found": Kind(
        404, "There is nothing at this path", "See /docs for the paths that there are."
    ),
    "method_not_allowed": Kind(
        405, "The path has no such method", "Use a method that the header Allow names."
    ),
    "body_timeout": Kind(
        408, "The body came too slowly", "Send the whole body within {seconds} seconds."
    ),
    "report_conflict": Kind(
        409, "The report was stored before with another content",
        "Send the same body again, or another external_id and Idempotency-Key."
    ),
    "relabel_conflict": Kind(
        409, "The key was sent before with another job", "Send the same body again, or another key."
    ),
    "relabel_state": Kind(
        409, "The job is not in a state for this", "It is {state}; see /docs for what can follow on what."
    ),
    "relabel_not_newest": Kind(
        409, "Another job was applied since", "Revert the jobs applied later first, newest first."
    ),
    "relabel_folder_unset": Kind(
        409, "Jobs on files are not allowed here", "Ask the operator to set RUSE_RELABEL_FOLDER."
    ),
    "target_taken": Kind(
        409, "There is something at the target already", "Name a target that is not there, or move that away."
    ),
    "target_missing": Kind(
        409, "The files of the job are not where it left them", "Move them back, or cancel the job."
    ),
    "model_refused": Kind(
        409, "The promoted model is not fit to serve",
        "The old one goes on answering; the log says what is wrong. Promote again or roll back."
    ),
    "report_erased": Kind(
        410, "The report was erased", "Its text is gone for good."
    ),
    "body_too_large": Kind(
        413, "The body is too large", "Send at most {limit} bytes; split a batch into several."
    ),
    "content_encoding_unsupported": Kind(
        415, "The body is compressed", "Send the body as it is, without Content-Encoding."
    ),
    "content_type_unsupported": Kind(
        415, "The body is not declared as JSON", "Send Content-Type: application/json, in UTF-8."
    ),
    "host_refused": Kind(
        421, "The Host is not this machine",
        "Without keys, reports are shown only under localhost, 127.0.0.1 or [::1]; make a key."
    ),
    "field_invalid": Kind(
        422, "A field has a wrong value", "See /docs for what each field may hold."
    ),
    "path_refused": Kind(
        422, "A path cannot be used",
        "Name files below the folder of the service, which exist for a source; no link may lead out."
    ),
    "category_unknown": Kind(
        422, "There is no such category", "Use an id of /v1/taxonomy; the second must be another."
    ),
    "scheme_unknown": Kind(
        422, "The category has no such scheme", "Use an id that /v1/taxonomy has under the category."
    ),
    "body_not_object": Kind(
        422, "The body is no JSON object", "Send the object that /docs shows for this path."
    ),
    "field_missing": Kind(
        422, "A field is missing", "These fields must be there: {field}. See /docs."
    ),
    "field_unknown": Kind(
        422, "There is a field too many", "The fields here are: {fields}. Leave out all others."
    ),
    "not_a_string": Kind(422, "A text is no string", "Send every text as a JSON string."),
    "too_long": Kind(
        422, "A text is too long", "A text may have at most {limit} characters (code points)."
    ),
    "blank": Kind(
        422, "A text is blank", "Send no text that is empty or has only white space."
    ),
    "nul": Kind(422, "A text holds a NUL", "Remove U+0000 from the text."),
    "lone_surrogate": Kind(
        422, "A text holds half a character", "A surrogate stands alone; escape it as a pair."
    ),
    "texts_not_list": Kind(422, "`texts` is no list", "Send `texts` as a list of strings."),
    "texts_empty": Kind(422, "`texts` is empty", "Send at least one text."),
    "texts_too_many": Kind(
        422, "There are too many texts", "Send at most {limit} texts; split them into batches."
    ),
    "rate_limited": Kind(
        429, "The key has sent too many requests",
        "At most {limit} a minute; try again after the seconds in Retry-After."
    ),
    "internal_error": Kind(
        500,
        "The service failed",
        "The fault is ours and has been logged without the text; if it lasts, tell the operator.",
    ),
    "model_failed": Kind(
        503, "The model does not work", "It failed on a text of our own; see the log and restart."
    ),
    "not_ready": Kind(
        503, "The model is still warming up", "Try again after the seconds in Retry-After."
    ),
    "store_unavailable": Kind(
        503, "Reports cannot be stored or read now",
        "Nothing was stored. Try again after the seconds in Retry-After; classifying still works."
    ),
    "shutting_down": Kind(
        503, "The service is stopping", "Try again after the seconds in Retry-After."
    ),
}  # fmt: skip

RETRY_AFTER = {"Retry-After": "2"}


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a body. `path` is a JSON Pointer to it, "" for the whole body."""

    path: str
    code: str


class Problem(Exception):
    """An answer that is an error; `values` fill the kind's detail, `headers` go out with it."""

    def __init__(
        self,
        code: str,
        faults: Iterable[Fault] = (),
        headers: Mapping[str, str] | None = None,
        **values: object,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.faults = tuple(faults)
        self.headers = dict(headers or {})
        self.values = values

    def as_dict(self) -> dict[str, Any]:
        """The problem as its JSON object; `errors` is there where faults are."""
        kind = KINDS[self.code]
        body: dict[str, Any] = {
            "type": f"/problems/{self.code}",
            "title": kind.title,
            "status": kind.status,
            "detail": kind.detail.format(**self.values),
            "code": self.code,
        }
        if self.faults:
            body["errors"] = [{"path": fault.path, "code": fault.code} for fault in self.faults]
        return body

    def response(self) -> Response:
        """The problem as an HTTP answer."""
        return Response(orjson.dumps(self.as_dict()), KINDS[self.code].status, self.headers, MEDIA_TYPE)
