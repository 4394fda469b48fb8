"""service.docs: the page /docs and its files."""

import hashlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.docs import FILES, WEB
from tests.fakes import FakeClassifier
from tests.serving import serving

VENDOR = WEB / "vendor"


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with serving(FakeClassifier()) as client:
        yield client


def test_vendored_files_are_unchanged() -> None:
    """Every file in vendor/ is listed with its version, licence and hash, and has that hash."""
    packages = tomllib.loads((VENDOR / "vendor.toml").read_text("utf-8"))
    listed: dict[str, str] = {}
    for package in packages.values():
        assert package["version"]
        assert package["licence"]
        listed |= package["sha256"]
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.iterdir()
        if path.name != "vendor.toml"
    }
    assert found == listed


def test_the_page_works_under_a_strict_policy(client: httpx.Client) -> None:
    """The page has no inline script or style, names only files served here, and says so by CSP."""
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in page.headers["content-security-policy"]
    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=|https?:", page.text)
    names = re.findall(r'(?:src|href)="(?!data:)([^"]+)"', page.text)
    assert {Path(name).name for name in names} == {Path(name).name for name in FILES}
    for name in names:
        file = client.get(f"/{name}")
        assert file.status_code == 200
        assert file.headers["content-type"].split(";")[0] in ("text/javascript", "text/css")
        assert file.headers["x-content-type-options"] == "nosniff"


def test_the_script_asks_only_this_server() -> None:
    """The page's own script loads the description from here and turns the outside validator off."""
    script = (WEB / "docs.js").read_text("utf-8")
    assert 'url: "openapi.json"' in script
    assert "validatorUrl: null" in script
    assert "http" not in script


@pytest.mark.parametrize("name", ["vendor.toml", "docs.html", "..%2f..%2fapp.py", "%2e%2e/app.py"])
def test_nothing_else_is_served(client: httpx.Client, name: str) -> None:
    """Only the files of the page can be had under /docs/."""
    assert client.get(f"/docs/{name}").json()["code"] == "not_found"
