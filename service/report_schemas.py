"""What goes in and out about stored reports, as OpenAPI describes it; `service.forms` reads it."""

from typing import Any

from pydantic import Field

from service.schemas import Body

# Visible first and last, and on one line, so that a name is the same wherever it is shown.
# U+0085 is white to Python and not to the regular expressions of a description.
_SEEN, _LINE = r"[^\s\x00-\x1f\x7f\u0085]", r"[^\x00-\x1f\x7f\u0085\u2028\u2029]"
NAME = rf"{_SEEN}(?:{_LINE}*{_SEEN})?"
_DAY = (
    r"(?:19(?:7[1-9]|[89]\d)|20\d\d)-"
    r"(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
)
_LEAP_DAY = r"(?:19(?:7[26]|8[048]|9[26])|20(?:[02468][048]|[13579][26]))-02-29"
_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d"
# RFC 3339, 1971 to 2099; written out so that what the description allows is what can be read.
TIME = rf"(?:{_DAY}|{_LEAP_DAY})T{_CLOCK}:[0-5]\d(?:\.\d{{1,6}})?(?:Z|[+-]{_CLOCK})"
CURSOR = r"[0-9]{1,13}-[0-9a-f]{32}"
LONGEST_NAME = 200  # characters


def _name(about: str, default: Any = None) -> Any:
    return Field(default, pattern=f"^{NAME}$", max_length=LONGEST_NAME, description=about)


class ReportRequest(Body):
    """A report to store. The optional fields may be null."""

    text: str = Field(description="The report, as `text` of /v1/classify.")
    external_id: str | None = _name("Your own id of it; no two reports have the same.")
    source: str | None = _name("Where it came from.")
    region: str | None = _name("Where it happened, as you write regions.")
    received_at: str | None = Field(
        None, pattern=f"^{TIME}$", description="When it came, RFC 3339 with offset; default: now."
    )


class ReviewRequest(Body):
    """A person's decision."""

    category: str = Field(description="An id of /v1/taxonomy.")
    scheme: str | None = Field(None, description="An id under that category.")
    second_category: str | None = Field(None, description="Another category that fits as well.")
    note: str | None = Field(None, max_length=2_000, description="For colleagues; not for training.")
    reviewer: str = _name("Who decided.", ...)


class StoredPrediction(Body):
    """What one model said of a stored report."""

    category: str
    category_probability: float = Field(ge=0, le=1)
    scheme: str
    scheme_probability: float = Field(ge=0, le=1)
    scheme_sure: bool
    needs_review: bool
    review_reason: str | None
    probabilities: dict[str, float] = Field(description="Of every category.")
    model: str
    taxonomy: str


class Review(Body):
    """A decision as it is kept."""

    id: str
    category: str
    scheme: str | None
    second_category: str | None
    note: str | None
    reviewer: str
    model: str | None = Field(description="Whose prediction the report had then.")
    created_at: str


class Report(Body):
    """A stored report; times in RFC 3339, UTC."""

    id: str
    external_id: str | None
    source: str | None
    region: str | None
    received_at: str
    created_at: str
    text: str
    prediction: StoredPrediction
    review: Review | None = Field(description="The latest.")


class WholeReport(Report):
    """A report with its history."""

    predictions: list[StoredPrediction] = Field(description="Of every model, oldest first.")
    reviews: list[Review] = Field(description="Of every reviewer, oldest first.")


class ReportPage(Body):
    """Reports, newest first."""

    reports: list[Report]
    cursor: str | None = Field(description="For the next page; null on the last.")


class Waiting(Body):
    """A report for a reviewer, without anything that would sway or tell."""

    id: str
    external_id: str | None
    source: str | None
    region: str | None
    received_at: str
    text: str
    suggestions: list[str] = Field(description="The five likeliest categories.")
    leased_until: str


class Queue(Body):
    """Reports that are now the reviewer's, until their leases end."""

    reports: list[Waiting]
