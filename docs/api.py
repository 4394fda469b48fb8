"""Writes docs/api.md from the service itself: `python -m docs.api`.

Routes and examples come from the OpenAPI description, settings from Settings, codes from KINDS, so
the page cannot say what the service does not do. A test checks that the file is fresh.
"""

import json
import sys
from pathlib import Path
from typing import Any

import model
from service import openapi
from service.app import create_app
from service.models import Models
from service.problems import KINDS
from service.settings import Settings, variable

PAGE = Path(__file__).with_name("api.md")

HEAD = """\
# The HTTP interface

<!-- Made by `python -m docs.api` from the service; edit that, not this. -->

`python -m service serve` listens on http://127.0.0.1:8000; `--host` and `--port` change that. The
same description, to try out, is at `/docs`, and for machines at `/openapi.json`. Bodies are JSON in
UTF-8, sent with `Content-Type: application/json`. Every `GET` also answers `HEAD`.

    curl http://127.0.0.1:8000/v1/classify -H 'Content-Type: application/json' \\
      -d '{"text": "He said my parcel was lost and had me share my screen."}'
"""
ROUTES = """
## Routes

A text is refused if it is no string, blank, too long, or holds a NUL or half a surrogate pair; it
is never shortened or repaired. Fields that are not named here are refused, and so are bodies with a
key that stands twice, with `NaN`, or with a byte that is not UTF-8.
"""
ERRORS = """
## Errors

Every answer from 400 up is an RFC 9457 problem, `application/problem+json`. Programs should go by
`code`, which is stable; `errors` is there where parts of the body are at fault, each with a JSON
Pointer, and `code` is that of the first. No answer and no log line repeats any of a text.
`GET /problems/{code}` explains a code.

"""
SETTINGS = """
## Settings

Read from the environment when the service starts; an empty variable counts as unset, `--host` and
`--port` outrank theirs. No setting is needed. The start ends with exit code 2 and says why where a
setting is wrong (`settings_invalid`), there is no model to load (`artifact_invalid`,
`taxonomy_invalid`), the store cannot be used (`store_unavailable`), nobody could enter
(`keys_missing`) or the address cannot be listened on (`address_unusable`).

| variable | default | bounds | what it is |
|---|---|---|---|
"""
PROCESS = """
## Starting and stopping

`/health/live` answers as soon as the port is open, `/health/ready` once the model has classified a
text of its own, which takes long only where the kernel must be compiled first. Until then
classifying answers `not_ready`. A promoted model is asked its golden texts before the port opens.
SIGTERM or SIGINT closes the port, finishes the requests in flight within `RUSE_GRACE` seconds, and
ends the process by that signal. The log goes to standard error.
"""


def page(classifier: model.Classifier) -> str:
    """The whole page; any classifier will do, the interface is the same."""
    settings = Settings.model_construct()
    described = create_app(Models(classifier), settings).openapi()
    routes = [_route(path, *entry) for path, item in described["paths"].items() for entry in item.items()]
    return "".join([HEAD, ROUTES, *routes, ERRORS, _errors(settings), SETTINGS, _settings(), PROCESS])


def _route(path: str, method: str, route: dict[str, Any]) -> str:
    lines = [f"\n### {method.upper()} {path}\n\n", f"{route['summary']}. {route['description']}\n"]
    asked = route.get("requestBody", {}).get("content", {}).get("application/json", {})
    for example in asked.get("examples", {}).values():
        lines += ["\nSend:\n\n", _json(example["value"])]
    for name, schema, about in _parameters(route):
        lines.append(f"\n- `{name}` {schema}: {about}")
    status = min(route["responses"])
    good = route["responses"][status].get("content", {}).get("application/json", {})
    if "example" in good:
        lines += ["\nGet:\n\n", _json(good["example"])]
    codes = [
        code
        for status, answer in route["responses"].items()
        if status >= "400"
        for code in answer["content"]["application/problem+json"]["examples"]
    ]
    lines += ["\nErrors: ", ", ".join(f"`{code}`" for code in codes), ".\n"]
    return "".join(lines)


def _parameters(route: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (p["name"], f"({p['in']})", p["description"])
        for p in route.get("parameters", ())
        if "description" in p
    ]


def _errors(settings: Settings) -> str:
    rows = ["| code | status | what is wrong | what to do |\n|---|---|---|---|\n"]
    for code, kind in KINDS.items():
        detail = openapi.example(code, settings)["detail"]
        rows.append(f"| `{code}` | {kind.status} | {kind.title} | {detail} |\n")
    return "".join(rows) + "\n" + _json(openapi.example("blank", settings))


def _settings() -> str:
    rows = []
    for name, field in Settings.model_fields.items():
        bounds = ", ".join(
            f"{sign} {getattr(rule, attribute)}"
            for rule in field.metadata
            for attribute, sign in (("gt", "above"), ("ge", "from"), ("le", "to"))
            if hasattr(rule, attribute)
        )
        default = "unset" if field.default is None else f"`{field.default}`"
        rows.append(f"| `{variable(name)}` | {default} | {bounds} | {field.description} |\n")
    return "".join(rows)


def _json(value: object) -> str:
    return f"```json\n{json.dumps(value, indent=2, ensure_ascii=False)}\n```\n"


if __name__ == "__main__":
    sys.exit(PAGE.write_text(page(model.load()), "utf-8") and 0)
