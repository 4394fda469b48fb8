"""Reads what is sent about reports and reviews, by hand as `service.schemas` does and why."""

import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.datastructures import Headers, QueryParams

from model import Taxonomy
from model.text import fault
from service.desk import NewReview
from service.problems import Fault, Problem
from service.report_schemas import LONGEST_NAME, NAME, TIME
from service.schemas import read_fields, refuse
from service.store import Filters, NewReport
from service.tables import now

LONGEST_NOTE = 2_000  # characters
MOST_LISTED = 200

KEY = r"[A-Za-z0-9._:-]{1,200}"
_NAME, _TIME, _KEY = re.compile(NAME), re.compile(TIME), re.compile(KEY)


def read_report(body: bytes, limit: int) -> NewReport:
    """A report; `limit` counts the code points of its text. Raises Problem, with every fault."""
    fields = read_fields(body, ("text",), ("external_id", "source", "region", "received_at"))
    faults = []
    code = fault(fields["text"], limit)
    if code:
        faults.append(Fault("/text", code))
    names = {name: fields.get(name) for name in ("external_id", "source", "region")}
    faults += [Fault(f"/{name}", "field_invalid") for name, value in names.items() if not is_name(value)]
    received = fields.get("received_at")
    at = now() if received is None else read_time(received)
    if at is None:
        faults.append(Fault("/received_at", "field_invalid"))
    if faults:
        refuse(faults, limit=limit)
    assert at is not None
    hashed = orjson.dumps([fields["text"], received, *names.values()])
    return NewReport(fields["text"], hashlib.sha256(hashed).hexdigest(), at, **names)


def read_review(body: bytes, tree: Taxonomy) -> NewReview:
    """A review; its category and scheme must be in the taxonomy. Raises Problem."""
    fields = read_fields(body, ("category", "reviewer"), ("scheme", "second_category", "note"))
    faults = []
    if fields["category"] not in tree.category_ids:
        faults.append(Fault("/category", "category_unknown"))
    second = fields.get("second_category")
    if second is not None and (second not in tree.category_ids or second == fields["category"]):
        faults.append(Fault("/second_category", "category_unknown"))
    scheme = fields.get("scheme")
    if scheme is not None and not _is_under(tree, scheme, fields["category"]):
        faults.append(Fault("/scheme", "scheme_unknown"))
    if fields["reviewer"] is None or not is_name(fields["reviewer"]):
        faults.append(Fault("/reviewer", "field_invalid"))
    note = fields.get("note")
    if note is not None and fault(note, LONGEST_NOTE):
        faults.append(Fault("/note", "field_invalid"))
    if faults:
        refuse(faults)
    return NewReview(**fields)


def _is_under(tree: Taxonomy, scheme: Any, category: Any) -> bool:
    if scheme not in tree.scheme_ids:
        return False
    above = tree.category_index[tree.scheme_ids.index(scheme)]
    return tree.category_ids[above] == category


def is_name(value: Any) -> bool:
    """Whether a value is None or a short line that can be stored, shown and compared."""
    if value is None:
        return True
    return fault(value, LONGEST_NAME) is None and _NAME.fullmatch(value) is not None


def read_time(value: Any) -> int | None:
    """Milliseconds since 1970 of a time in RFC 3339 with its offset, 1971 to 2099; None: it is none."""
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        return None
    return round(datetime.fromisoformat(value).timestamp() * 1000)


def write_time(milliseconds: int | None) -> str | None:
    """The time in RFC 3339, in UTC."""
    if milliseconds is None:
        return None
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_idempotency_key(headers: Headers) -> str | None:
    """The header Idempotency-Key, or None. Raises Problem."""
    key = headers.get("idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        raise Problem("header_invalid", header="Idempotency-Key")
    return key


def read_filters(query: QueryParams) -> Filters:
    """The filters of a listing. Raises Problem."""
    readers: Mapping[str, Callable[[str], Any]] = {
        "category": _name, "scheme": _name, "source": _name, "region": _name,
        "needs_review": _flag, "reviewed": _flag, "since": read_time, "until": read_time,
    }  # fmt: skip
    values = {}
    for name, read in readers.items():
        if name in query:
            values[name] = read(query[name])
            if values[name] is None:
                raise Problem("query_invalid", parameter=name)
    return Filters(**values)


def read_limit(query: QueryParams, otherwise: int) -> int:
    """How many to answer at most, 1 to 200. Raises Problem."""
    value = query.get("limit", str(otherwise))
    if not re.fullmatch(r"[0-9]{1,3}", value) or not 1 <= int(value) <= MOST_LISTED:
        raise Problem("query_invalid", parameter="limit")
    return int(value)


def _name(value: str) -> str | None:
    return value if is_name(value) else None


def _flag(value: str) -> bool | None:
    return {"true": True, "false": False}.get(value)
