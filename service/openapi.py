"""What the OpenAPI description says of requests and answers, with examples."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from model.text import FAULTS
from service import schemas
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

SCHEMAS = "#/components/schemas/{model}"

READING = (
    "body_not_utf8", "body_not_json", "body_too_deep", "key_doubled", "body_timeout",
    "body_too_large", "content_encoding_unsupported", "content_type_unsupported",
    "body_not_object", "field_missing", "field_unknown",
)  # fmt: skip
TEXT = tuple(FAULTS)
BATCHED = ("texts_not_list", "texts_empty", "texts_too_many")
SERVING = ("not_ready", "model_failed", "shutting_down")


def example(code: str, settings: Settings) -> dict[str, Any]:
    """A problem of this code as it may come."""
    limits = {
        "body_too_large": settings.body_limit,
        "texts_too_many": settings.batch_limit,
        "too_long": settings.text_limit,
    }
    paths = {"field_missing": "/text", "field_unknown": "", "body_not_object": ""}
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
    ).as_dict()


def answers(
    good: type[BaseModel], codes: tuple[str, ...], settings: Settings
) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route: the good one and, by status, the problems it can answer."""
    responses: dict[int | str, dict[str, Any]] = {200: {"model": good}}
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
    text = {
        "type": "string",
        "minLength": 1,
        "maxLength": settings.text_limit,
    }
    fields = described["properties"]
    if schema is schemas.ClassifyRequest:
        fields["text"] |= text
    else:
        fields["texts"] |= {"items": text, "maxItems": settings.batch_limit}
    shown = {name: {"value": value} for name, value in examples.items()}
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": described, "examples": shown}},
        }
    }


def complete(described: dict[str, Any]) -> None:
    """Adds to a description what FastAPI cannot: the problem's schema, examples that hold null."""
    problem = schemas.ProblemBody.model_json_schema(ref_template=SCHEMAS)
    described["components"]["schemas"] |= problem.pop("$defs") | {"ProblemBody": problem}
    for path, shown in (("/v1/classify", PREDICTION), ("/v1/classify/batch", BATCH)):
        good = described["paths"][path]["post"]["responses"]["200"]
        good["content"]["application/json"]["example"] = shown
