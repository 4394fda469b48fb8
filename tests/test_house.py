"""The rules of the house that a machine can hold."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("model", "service", "training")
FOLDERS = (*PACKAGES, "tests", "docs", "benchmarks", ".ci")
CODE = sorted(path for folder in PACKAGES for path in ROOT.glob(f"{folder}/**/*.py"))
TESTS = sorted(ROOT.glob("tests/test_*.py"))

# What each package may not import, at the top or inside a function.
FORBIDDEN = {
    "model": {"service", "training", "docs", "tests", "sklearn", "scipy", "fastapi", "starlette"},
    "service": {"training", "docs", "tests", "sklearn", "scipy"},
    "training": {"service", "docs", "tests", "fastapi", "starlette", "uvicorn"},
}
# Where a module may read the environment.
DOORS = {"__main__.py", "settings.py"}


def imports(path: Path) -> Iterator[str]:
    """The top-level package of everything that a module imports."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written out, not relative"
            yield str(node.module).split(".")[0]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", CODE, ids=name)
def test_arrows(path: Path) -> None:
    """Imports point one way: service to model, training to model, nothing back or across."""
    package = path.relative_to(ROOT).parts[0]
    assert not FORBIDDEN[package].intersection(imports(path))


@pytest.mark.parametrize("path", CODE, ids=name)
def test_environment(path: Path) -> None:
    """Only the doors and settings.py read the environment."""
    text = path.read_text("utf-8")
    if path.name not in DOORS:
        assert not re.search(r"\bos\.environ\b|\bgetenv\b", text)


@pytest.mark.parametrize("path", [p for p in CODE if p.name != "__main__.py"], ids=name)
def test_docstring_of_module(path: Path) -> None:
    """Every module says what it is for."""
    assert ast.get_docstring(ast.parse(path.read_text("utf-8")))


def test_import_is_light() -> None:
    """Importing `model` brings no scikit-learn and no HTTP, and compiles nothing."""
    script = (
        "import model, sys\n"
        "from model import kernel\n"
        "from numba.core.dispatcher import Dispatcher\n"
        "heavy = {'sklearn', 'fastapi', 'starlette', 'uvicorn', 'jieba', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "compiled = [d for d in vars(kernel).values() if isinstance(d, Dispatcher)]\n"
        "print(len(compiled) > 5, [d.__name__ for d in compiled if d.signatures])\n"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == "[]\nTrue []\n"


@pytest.mark.parametrize("path", TESTS, ids=name)
def test_docstring_of_test(path: Path) -> None:
    """Every test states the behaviour it holds, in a docstring of its own."""
    seen: dict[str, str] = {}
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if not node.name.startswith("test_"):
                continue
            sentence = ast.get_docstring(node)
            assert sentence, f"{node.name} has no docstring"
            assert sentence not in seen, f"{node.name} says what {seen[sentence]} says"
            seen[sentence] = node.name


def texts() -> Iterator[tuple[Path, str]]:
    """Every text file of the project."""
    # In a second working tree of git `.git` is a file that names the first.
    paths = [path for path in ROOT.iterdir() if path.is_file() and path.name != ".git"]
    paths += [path for folder in FOLDERS for path in ROOT.glob(f"{folder}/**/*")]
    for path in sorted(paths):
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".npz":
            yield path, path.read_bytes().decode("utf-8")


def test_forbidden_words() -> None:
    """No file holds a path of somebody's machine, a package host or a private key."""
    # Backwards, so that this file holds none of them.
    backwards = ("/krow/", "/toor/", "/emoh/", "gro.ipyp", "detsohnohtyp", "sjmpn.yrtsiger")
    keys = ("ETAVIRP NIGEB", "gro.naibed.bed", "oc.ecafgnigguh")
    words = [word[::-1] for word in backwards + keys]
    found = [f"{name(path)}: {word}" for path, text in texts() for word in words if word in text]
    assert not found


def test_short_modules() -> None:
    """A module that grows far past 200 lines asks to be two."""
    long = {name(path): path.read_text("utf-8").count("\n") for path in CODE}
    # The kernel is one piece of compiled code: what is inlined must stand together.
    assert not {path: n for path, n in long.items() if n > 300 and path != "model/kernel.py"}
