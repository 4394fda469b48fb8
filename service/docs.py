"""The page /docs: the OpenAPI description, shown by scripts that are served from here."""

import mimetypes
from pathlib import Path

from fastapi import FastAPI, Request
from starlette.responses import Response

from service.problems import Problem

WEB = Path(__file__).with_name("web")
PAGE = "docs.html"
FILES = ("docs.js", "vendor/swagger-ui-bundle.js", "vendor/swagger-ui.css")

# Nothing from elsewhere, nothing inline, nothing evaluated; Swagger UI draws icons as data URLs.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def add_docs(app: FastAPI) -> None:
    """Adds /docs and the files it needs."""
    page = (WEB / PAGE).read_bytes()
    files = {Path(name).name: (WEB / name).read_bytes() for name in FILES}

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return _serve(PAGE, page)

    @app.get("/docs/{name}", include_in_schema=False)
    async def file(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in files:
            raise Problem("not_found")
        return _serve(name, files[name])


def _serve(name: str, content: bytes) -> Response:
    headers = {
        "Content-Security-Policy": POLICY,
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-cache",
    }
    return Response(content, headers=headers, media_type=mimetypes.guess_type(name)[0])
