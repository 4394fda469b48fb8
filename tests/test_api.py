"""docs.api: the page of the HTTP interface."""

import pytest
from fastapi.routing import APIRoute

from docs import api
from service.app import create_app
from service.models import Models
from service.problems import KINDS
from service.settings import Settings, variable
from tests.fakes import FakeClassifier


@pytest.fixture(scope="module")
def text() -> str:
    return api.PAGE.read_text("utf-8")


def test_the_page_is_fresh(text: str) -> None:
    """docs/api.md is what `python -m docs.api` writes today."""
    assert text == api.page(FakeClassifier())


def test_the_page_has_every_route_setting_and_code(text: str) -> None:
    """No route in the schema, no setting and no error code is missing from the page."""
    app = create_app(Models(FakeClassifier()), Settings.model_construct())
    routes = [route for route in app.routes if isinstance(route, APIRoute)]
    described = [route for route in routes if route.include_in_schema]
    assert len(described) >= 7
    for route in described:
        for method in route.methods:
            assert f"\n### {method} {route.path}\n" in text
    for name, field in Settings.model_fields.items():
        assert f"| `{variable(name)}` |" in text
        assert str(field.description) in text
    for code, kind in KINDS.items():
        assert f"| `{code}` | {kind.status} | {kind.title} |" in text


def test_hidden_routes_are_named_too(text: str) -> None:
    """The routes that the description leaves out, the page and the description, are told of."""
    for path in ("/docs", "/openapi.json"):
        assert f"`{path}`" in text
