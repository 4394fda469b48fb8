"""What the OpenAPI description says of requests and answers, with examples."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from model.text import FAULTS
from service import forms, schemas
from service.problems import KINDS, MEDIA_TYPE, Fault, Problem
from service.settings import Settings

TEXTS = {
    "english": "A man said my parcel was lost and he would refund me. He had me share my screen, "
    "and 4,800 yuan left my card.",
    "chinese": "对方自称快递客服，说我的包裹丢了要理赔，让我打开屏幕共享，卡里的4800元就被转走了。",
}
VERSIONS = {"model": "1.0-0123456789", "taxonomy": "1.0"}
PREDICTION = {
    "category": "customer_service_impersonation",
    "category_probability": 0.94,
    "scheme": "shop_courier_refund",
    "scheme_probability": 0.91,
    "scheme_sure": True,
    "needs_review": False,
    "review_reason": None,
    "ranked": [
        {"category": "customer_service_impersonation", "probability": 0.94},
        {"category": "account_takeover", "probability": 0.03},
        {"category": "fake_shopping_service", "probability": 0.01},
        {"category": "prize_advance_fee", "probability": 0.005},
        {"category": "law_enforcement_impersonation", "probability": 0.005},
    ],
    **VERSIONS,
}
BATCH = {"predictions": [PREDICTION, PREDICTION], **VERSIONS}

REPORT_SENT = {
    "text": TEXTS["chinese"],
    "external_id": "case-2026-000017",
    "source": "hotline",
    "region": "CN-31",
    "received_at": "2026-11-28T09:30:00+08:00",
}
RELABEL_SENT = {"source": "store"}
RELABEL_FILES = {
    "source": "reports/2025",
    "target": "relabelled/2025",
    "text_column": "narrative",
    "id_column": "case",
    "label_column": "type",
}
REVIEW_SENT = {
    "category": "customer_service_impersonation",
    "scheme": "shop_courier_refund",
    "note": "Screen sharing; the bank was told.",
    "reviewer": "desk-4",
}
REPORT = {
    "id": "18ec47d66e646f639787b223906421e6",
    **REPORT_SENT,
    "received_at": "2026-11-28T01:30:00.000Z",
    "created_at": "2026-11-28T01:30:02.125Z",
    "prediction": {name: value for name, value in PREDICTION.items() if name != "ranked"}
    | {"probabilities": {"customer_service_impersonation": 0.94, "account_takeover": 0.03}},
    "review": None,
}

SCHEMAS = "#/components/schemas/{model}"

READING = (
    "body_not_utf8", "body_not_json", "body_too_deep", "body_too_complex", "key_doubled", "body_timeout",
    "body_too_large", "content_encoding_unsupported", "content_type_unsupported",
    "body_not_object", "field_missing", "field_unknown",
)  # fmt: skip
TEXT = tuple(FAULTS)
BATCHED = ("texts_not_list", "texts_empty", "texts_too_many")
SERVING = ("not_ready", "model_failed", "shutting_down")
KEYED = ("key_invalid", "scope_missing", "rate_limited", "store_unavailable")
STORED = (*KEYED, "host_refused")


def example(code: str, settings: Settings) -> dict[str, Any]:
    """A problem of this code as it may come."""
    limits = {
        "body_too_large": settings.body_limit,
        "texts_too_many": settings.batch_limit,
        "too_long": settings.text_limit,
        "body_too_complex": schemas.MANY,
        "rate_limited": settings.rate_limit,
    }
    paths = {"field_missing": "/text", "field_unknown": "", "body_not_object": ""}
    paths |= {"field_invalid": "/region", "category_unknown": "/category", "scheme_unknown": "/scheme"}
    paths |= {"path_refused": "/source"}
    if code in TEXT:
        paths[code] = "/texts/3"
    if code in BATCHED:
        paths[code] = "/texts"
    faults = [Fault(paths[code], code)] if code in paths else []
    return Problem(
        code,
        faults,
        at=17,
        where="near character 17",
        seconds=f"{settings.read_timeout:g}",
        limit=limits.get(code),
        field="text",
        fields="text",
        parameter="include",
        header="Idempotency-Key",
        scope="classify",
        state="running",
    ).as_dict()


def answers(
    good: type[BaseModel] | None, codes: tuple[str, ...], settings: Settings, *, status: int = 200
) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route: the good one and, by status, the problems it can answer."""
    responses: dict[int | str, dict[str, Any]] = {status: {"model": good} if good else {}}
    for code in (*codes, "internal_error"):
        status = KINDS[code].status
        entry = responses.setdefault(
            status,
            {
                "description": "",
                "content": {
                    MEDIA_TYPE: {
                        "schema": {"$ref": SCHEMAS.format(model="ProblemBody")},
                        "examples": {},
                    }
                },
            },
        )
        title = KINDS[code].title
        entry["description"] += f"`{code}`: {title}. "
        entry["content"][MEDIA_TYPE]["examples"][code] = {
            "summary": title,
            "value": example(code, settings),
        }
    return responses


def request_body(schema: type[BaseModel], examples: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """The `requestBody` of a route that reads its body by hand, with the limits in force."""
    described = schema.model_json_schema()
    # Blank texts are refused, as Python takes white, and so is NUL.
    text = {
        "type": "string",
        "minLength": 1,
        "maxLength": settings.text_limit,
        "pattern": r"^[^\x00]*[^\s\x00\x1c-\x1f\u0085][^\x00]*$",
    }
    fields = described["properties"]
    if "text" in fields:
        fields["text"] |= text
    elif "texts" in fields:
        fields["texts"] |= {"items": text, "maxItems": settings.batch_limit}
    if "note" in fields:
        fields["note"] |= {"pattern": text["pattern"]}
    shown = {name: {"value": value} for name, value in examples.items()}
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": described, "examples": shown}},
        }
    }


def parameter(name: str, schema: dict[str, Any], about: str, where: str = "query") -> dict[str, Any]:
    """A parameter that a route reads by hand; in a path it is always there."""
    needed = {"required": True} if where == "path" else {}
    return {"name": name, "in": where, "schema": schema, "description": about, **needed}


INCLUDE = [
    parameter(
        "include",
        {"type": "array", "items": {"enum": ["advice", "evidence", "candidates"]}},
        "What to bring along; several are separated by commas.",
    )
    | {"style": "form", "explode": False},
    parameter(
        "region",
        {"type": "string", "pattern": "^[A-Za-z]{2}(-[A-Za-z0-9]{1,3})?$"},
        "Where the victim is (ISO 3166-1 or -2): whose authorities and numbers the advice names.",
    ),
    parameter(
        "Accept-Language",
        {"type": "string"},
        "Names and advice come in zh-Hans, zh-Hant or en, whichever is liked best.",
        "header",
    ),
]
REPORT_ID = parameter("id", {"type": "string", "pattern": "^[0-9a-f]{32}$"}, "The report's id.", "path")


IDEMPOTENCY_KEY = parameter(
    "Idempotency-Key",
    {"type": "string", "pattern": f"^{forms.KEY}$"},
    "The same key and body again answer the same thing.",
    "header",
)


def complete(described: dict[str, Any]) -> None:
    """Adds to a description what FastAPI cannot: the problem's schema, examples that hold null."""
    problem = schemas.ProblemBody.model_json_schema(ref_template=SCHEMAS)
    described["components"]["schemas"] |= problem.pop("$defs") | {"ProblemBody": problem}
    bearer = {"type": "http", "scheme": "bearer", "description": "An API key; see docs/operations.md."}
    described["components"]["securitySchemes"] = {"key": bearer}
    for item in described["paths"].values():
        for route in item.values():
            if "401" in route["responses"]:
                route["security"] = [{"key": []}, {}]
    for (path, status), shown in {
        ("/v1/classify", "200"): PREDICTION,
        ("/v1/classify/batch", "200"): BATCH,
        ("/v1/reports", "201"): REPORT,
    }.items():
        good = described["paths"][path]["post"]["responses"][status]
        good["content"]["application/json"]["example"] = shown
