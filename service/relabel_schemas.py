"""What goes in and out about jobs that classify again, as OpenAPI describes it."""

from typing import Any, Literal

from pydantic import Field

from service.report_schemas import LONGEST_NAME, NAME
from service.schemas import Body

# Names parted by slashes, none of which begins with a dot: no way up, and nothing hidden.
_FIRST, _REST = r"[^./\\\s\x00-\x1f\x7f]", r"[^/\\\x00-\x1f\x7f\u0085\u2028\u2029]*"
PATH = rf"{_FIRST}{_REST}(?:/{_FIRST}{_REST})*"
LONGEST_PATH = 400  # characters

State = Literal["queued", "running", "waiting_for_approval", "applied", "reverted", "failed", "cancelled"]


def _path(about: str, default: Any = None) -> Any:
    return Field(default, pattern=f"^{PATH}$", max_length=LONGEST_PATH, description=about)


def _name(about: str) -> Any:
    return Field(None, pattern=f"^{NAME}$", max_length=LONGEST_NAME, description=about)


class RelabelRequest(Body):
    """What to classify again. All but `source` is for files only and may be null."""

    source: str = _path("`store`, or a file or folder of files below the folder of the service.", ...)
    target: str | None = _path("A folder to be made there; needed for files.")
    text_column: str | None = _name("Where the text is.")
    id_column: str | None = _name("Where the id is; by it the diff names rows.")
    label_column: str | None = _name("Where the old category is, for the diff.")
    crosswalk: str | None = _name("Whose names the old ones are, as in the taxonomy; unset: ours.")


class Relabel(Body):
    """A job; times in RFC 3339, UTC."""

    id: str
    source: str
    target: str | None
    state: State
    problem: str | None = Field(description="The code of what made it fail.")
    model: str | None = Field(description="Version; null until it runs, as the taxonomy is.")
    taxonomy: str | None
    total: int | None = Field(description="Rows when it began; null of files.")
    done: int = Field(description="Rows that have an answer.")
    errors: int = Field(description="Rows among them that could not be classified.")
    share: float = Field(ge=0, le=1, description="How much is done.")
    created_at: str
    started_at: str | None
    finished_at: str | None = Field(description="When all had an answer, or it failed.")
    decided_at: str | None = Field(description="When it was applied, reverted or cancelled.")


class WholeRelabel(Relabel):
    """A job with what it would change, or has changed."""

    diff: dict[str, Any] | None = Field(description="Null until all rows have an answer.")


class RelabelPage(Body):
    """Jobs, newest first."""

    relabels: list[Relabel]
    cursor: str | None = Field(description="For the next page; null on the last.")
