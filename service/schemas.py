"""What goes in and out: bodies as OpenAPI describes them, and the reading of what goes in.

The pydantic classes only describe. Bodies are read by hand: one pass over the JSON, one over the
texts, no error objects that a hostile body could multiply, and no message that could quote it.
"""

from collections.abc import Iterable
from typing import Any, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from model.text import fault
from service import strict
from service.problems import Fault, Problem

FEW, MANY = 100, 10_000  # strings that a body is read with, whatever its texts are then told


class Body(BaseModel):
    """An object whose fields are all named."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ClassifyRequest(Body):
    """One text to classify."""

    text: str = Field(description="The report, in Chinese or English; at least one visible character.")


class BatchRequest(Body):
    """Texts to classify together."""

    texts: list[str] = Field(min_length=1, description="The reports; each as `text` of one request.")


class Ranked(Body):
    """A category and its probability."""

    category: str
    probability: float = Field(ge=0, le=1)


class Prediction(Body):
    """What the model says of one text; probabilities are calibrated."""

    category: str = Field(description="The most probable category, always named.")
    category_probability: float = Field(ge=0, le=1)
    scheme: str = Field(description="The most probable scheme under that category.")
    scheme_probability: float = Field(ge=0, le=1, description="Among all schemes.")
    scheme_sure: bool = Field(description="Whether to believe the scheme.")
    needs_review: bool = Field(description="Whether a person should decide the category.")
    review_reason: Literal["unsure", "too_short", "unknown_words", "other_language"] | None
    ranked: list[Ranked] = Field(description="The five most probable categories.")
    model: str = Field(description="Version of the model.")
    taxonomy: str = Field(description="Version of the taxonomy.")


class Evidence(Body):
    """A word that spoke for the category."""

    start: int = Field(description="Code points of the text as sent, from 0.")
    end: int
    weight: float = Field(description="In log-odds.")


class Candidate(Ranked):
    """A category that the truth may be, with its name in the language of the answer."""

    name: str


class Phone(Body):
    """Whom to call in the region."""

    number: str
    owner: str
    use: str


class Advice(Body):
    """What the victim should do, in the language of Accept-Language."""

    language: Literal["en", "zh-Hans", "zh-Hant"]
    category_name: str
    scheme_name: str
    severity: int = Field(ge=1, le=5)
    region: str | None = Field(description="Whose authorities the text names; null: nobody's.")
    text: str
    phones: list[Phone] = Field(description="Of that region: CN, HK, IN or TW; else empty.")


class RichPrediction(Prediction):
    """A prediction with what `?include=` asked for."""

    advice: Advice | SkipJsonSchema[None] = None
    evidence: list[Evidence] | SkipJsonSchema[None] = None
    candidates: list[Candidate] | SkipJsonSchema[None] = None


class BatchAnswer(Body):
    """Predictions in the order of the texts."""

    predictions: list[RichPrediction]
    model: str
    taxonomy: str


class Open(BaseModel):
    """An object that has at least the fields named."""

    model_config = ConfigDict(extra="allow")


class Names(Open):
    """A name in each language."""

    zh_hans: str = Field(alias="zh-Hans")
    zh_hant: str = Field(alias="zh-Hant")
    en: str


class Scheme(Open):
    """A scheme under a category."""

    id: str
    names: Names


class Category(Open):
    """A category and its schemes."""

    id: str
    names: Names
    severity: int
    advice: Names
    schemes: list[Scheme]


class Taxonomy(Open):
    """The whole tree."""

    version: str
    categories: list[Category]


class Model(Open):
    """The manifest of the model that answers."""

    version: str
    taxonomy: str


class Live(Body):
    """The process works."""

    status: Literal["live"]


class Ready(Body):
    """The service answers."""

    status: Literal["ready"]
    model: str = Field(description="Version of the model that answers.")
    model_refused: bool = Field(description="Whether it does in the place of one that is not fit to serve.")


class Reloaded(Body):
    """Versions of the model before and after."""

    before: str
    after: str


class ProblemKind(Body):
    """What a problem code means."""

    code: str
    status: int
    title: str
    detail: str


class ProblemFault(Body):
    """One fault of a body."""

    path: str = Field(description='JSON Pointer, such as "/texts/3"; "" is the whole body.')
    code: str


class ProblemBody(Body):
    """An error as in RFC 9457. Programs go by `code`; nothing of the request is repeated."""

    type: str = Field(description="Where the code is explained.")
    title: str
    status: int
    detail: str
    code: str
    errors: list[ProblemFault] | None = Field(None, description="Faults of the body, by place.")


def read_text(body: bytes, limit: int) -> str:
    """The text of a ClassifyRequest; `limit` counts code points. Raises Problem."""
    text = read_fields(body, ("text",))["text"]
    code = fault(text, limit)
    if code:
        refuse([Fault("/text", code)], limit=limit)
    return text


def read_texts(body: bytes, most: int, limit: int) -> list[str]:
    """The texts, 1 to `most`, of a BatchRequest. Raises Problem, which names every bad one."""
    texts = read_fields(body, ("texts",), strings=max(MANY, 2 * most))["texts"]
    if not isinstance(texts, list):
        refuse([Fault("/texts", "texts_not_list")])
    if not texts:
        refuse([Fault("/texts", "texts_empty")])
    if len(texts) > most:
        refuse([Fault("/texts", "texts_too_many")], limit=most)
    codes = [fault(text, limit) for text in texts]
    if any(codes):
        refuse((Fault(f"/texts/{i}", c) for i, c in enumerate(codes) if c), limit=limit)
    return texts


def refuse(faults: Iterable[Fault], **values: object) -> NoReturn:
    """Raises the problem of the first fault, with all of them in its `errors`."""
    listed = tuple(faults)
    raise Problem(listed[0].code, listed, None, **values)


def read_fields(
    body: bytes, needed: tuple[str, ...], possible: tuple[str, ...] = (), strings: int = FEW
) -> dict[str, Any]:
    """The object, which has all needed fields and of others only possible ones. Raises Problem."""
    fields = strict.read(body, strings)
    if not isinstance(fields, dict):
        refuse([Fault("", "body_not_object")])
    faults = [Fault(f"/{name}", "field_missing") for name in needed if name not in fields]
    if not fields.keys() <= {*needed, *possible}:
        faults.append(Fault("", "field_unknown"))  # its name is not ours to repeat
    if faults:
        refuse(faults, field=", ".join(needed), fields=", ".join((*needed, *possible)))
    return fields
