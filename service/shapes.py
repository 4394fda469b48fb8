"""Rows of the store as JSON objects, and the cursors that stand for a place among them."""

import base64
from typing import Any


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
    return base64.urlsafe_b64encode(f"{at}:{report}".encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> tuple[int, str]:
    """Time and id of that report. Raises ValueError."""
    at, _, report = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition(":")
    if len(report) != 32 or not -(2**53) < int(at) < 2**53:
        raise ValueError("not a cursor of ours")
    return int(at), report
