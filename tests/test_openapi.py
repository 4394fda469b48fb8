"""service.openapi: the description says what the service does."""

from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema_rs
import pytest

from model import taxonomy
from service import openapi, report_schemas, schemas
from service.problems import KINDS
from tests.fakes import FakeClassifier
from tests.serving import serving

MADE_BY_THE_SERVER = {"http_malformed", "method_not_allowed"}  # at every path or at none


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with serving(FakeClassifier(), text_limit=500, batch_limit=7) as client:
        yield client


@pytest.fixture(scope="module")
def described(client: httpx.Client) -> dict[str, Any]:
    return client.get("/openapi.json").json()


def test_every_code_is_described(described: dict[str, Any]) -> None:
    """Each code stands under some route, with its status, its title and an example."""
    seen = set()
    for item in described["paths"].values():
        for route in item.values():
            for status, answer in route["responses"].items():
                problems = answer.get("content", {}).get("application/problem+json", {"examples": {}})
                for code, example in problems["examples"].items():
                    seen.add(code)
                    assert str(KINDS[code].status) == status
                    assert example["value"]["code"] == code
                    schemas.ProblemBody.model_validate(example["value"])
    assert seen == set(KINDS) - MADE_BY_THE_SERVER


def test_examples_can_be_sent(client: httpx.Client, described: dict[str, Any]) -> None:
    """The example of every request that needs no report before it is answered well."""
    sent = 0
    for path, item in described["paths"].items():
        for method, route in item.items():
            body = route.get("requestBody", {}).get("content", {}).get("application/json", {})
            for example in body.get("examples", {}).values() if "{" not in path else ():
                answer = client.request(method, path, json=example["value"])
                assert answer.status_code < 300 or answer.json()["code"] == "relabel_folder_unset"
                sent += 1
    assert sent == 6


def test_examples_of_answers_fit_schema_and_taxonomy() -> None:
    """The example prediction has the fields of a real one and names that are in the taxonomy."""
    schemas.Prediction.model_validate(openapi.PREDICTION)
    schemas.BatchAnswer.model_validate(openapi.BATCH)
    report_schemas.Report.model_validate(openapi.REPORT)
    tree = taxonomy.load()
    assert openapi.PREDICTION["scheme"] in tree.scheme_ids
    assert {entry["category"] for entry in openapi.PREDICTION["ranked"]} <= set(tree.category_ids)


def test_limits_in_force_are_described(described: dict[str, Any]) -> None:
    """The description has the limits of this server's settings, not the defaults."""
    paths = described["paths"]

    def schema(path: str) -> dict[str, Any]:
        body = paths[path]["post"]["requestBody"]
        return body["content"]["application/json"]["schema"]["properties"]

    assert schema("/v1/classify")["text"]["maxLength"] == 500
    assert schema("/v1/classify/batch")["texts"]["maxItems"] == 7
    assert schema("/v1/classify/batch")["texts"]["items"]["maxLength"] == 500


def test_every_reference_leads_somewhere(described: dict[str, Any]) -> None:
    """No $ref dangles."""

    def references(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if "$ref" in value:
                yield value["$ref"]
            for inner in value.values():
                yield from references(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from references(inner)

    found = set(references(described))
    assert "#/components/schemas/ProblemBody" in found
    for name in found:
        assert name.removeprefix("#/components/schemas/") in described["components"]["schemas"]


def test_white_is_white_to_the_description_too(described: dict[str, Any]) -> None:
    """What Python takes for white is, alone, no text and no name by the description's own expressions."""
    body = described["paths"]["/v1/classify"]["post"]["requestBody"]
    text = body["content"]["application/json"]["schema"]["properties"]["text"]
    name = {"pattern": f"^{report_schemas.NAME}$"}
    white = [chr(code) for code in range(0x3001) if chr(code).isspace()]
    assert len(white) > 20
    for sent in white:
        assert not jsonschema_rs.is_valid(text, sent)
        assert not jsonschema_rs.is_valid(name, sent)
