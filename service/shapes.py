"""Rows of the store as JSON objects, and the cursors that stand for a place among them."""

import re
from typing import Any

from service.report_schemas import CURSOR

_CURSOR = re.compile(CURSOR)


def prediction(row: Any) -> dict[str, Any]:
    """What a model said of a report."""
    fields = (
        "category", "category_probability", "scheme", "scheme_probability", "scheme_sure",
        "needs_review", "review_reason", "probabilities", "model", "taxonomy",
    )  # fmt: skip
    return {name: row[name] for name in fields}


def review(row: Any) -> dict[str, Any]:
    """What a person decided."""
    fields = ("id", "category", "scheme", "second_category", "note", "reviewer", "model", "created_at")
    return {name: row[name] for name in fields}


def cursor(at: int, report: str) -> str:
    """The place after a report, for who asks for more."""
    return f"{at}-{report}"


def read_cursor(cursor: str) -> tuple[int, str]:
    """Time and id of that report. Raises ValueError."""
    if not _CURSOR.fullmatch(cursor):
        raise ValueError("not a cursor of ours")
    at, report = cursor.split("-")
    return int(at), report
