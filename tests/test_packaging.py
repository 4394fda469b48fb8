"""What the README's first line sets up, used away from the checkout; the wheel, and the image's steps.

One set-up serves all: it takes most of the time of this file, as it does for who comes new.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BLOCKS = re.findall(r"^```\w*\n(.*?)^```$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
REPORT = "They approved my loan but I must pay a processing fee first"
# Of the test's own environment, only what finds programs and packages.
KEPT = ("PATH", "HOME", "PIP")


@dataclass(frozen=True)
class Installed:
    """An environment with Ruse and no extra in it, and a folder with nothing in it to stand in."""

    setup: subprocess.CompletedProcess[str]
    home: Path
    away: Path

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment with these variables and no others of ours."""
        program = self.home / "bin" / words[0]
        return subprocess.run(
            [str(program), *words[1:]],
            cwd=self.away,
            env=bare() | {"PATH": f"{self.home / 'bin'}:{os.environ['PATH']}"} | variables,
            capture_output=True,
            text=True,
        )


def bare() -> dict[str, str]:
    """The environment without anything of whoever runs the tests.

    Python compiles what is imported, as it is; pip would compile all of a dozen packages beforehand.
    """
    return {name: value for name, value in os.environ.items() if name.startswith(KEPT)} | {"PIP_COMPILE": "0"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("first")
    clone, away = folder / "clone", folder / "away"
    skip = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", ".hypothesis")
    shutil.copytree(ROOT, clone, ignore=skip)
    away.mkdir()
    run = subprocess.run(["sh", "-c", BLOCKS[0]], cwd=clone, env=bare(), capture_output=True, text=True)
    return Installed(run, clone / ".venv", away)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What pip makes of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, ROOT], check=True, env=bare())
    (found,) = folder.glob("*.whl")
    return found


def test_first_command(installed: Installed) -> None:
    """The README's first line, pasted into sh in a clean copy, sets everything up and classifies."""
    assert installed.setup.returncode == 0, installed.setup.stderr
    assert '"category": "fake_loan"' in installed.setup.stdout


def test_wheel(wheel: Path) -> None:
    """The wheel holds the model, the taxonomy and the licence, and nothing but our packages."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read("ruse-1.0.0.dist-info/METADATA").decode()
    for path in (
        "model/artifact/arrays.npz",
        "model/artifact/manifest.json",
        "model/taxonomy.toml",
        "service/migrations/versions/0001_tables.py",
    ):
        assert path in names
    assert {path.split("/")[0] for path in names} == {
        "model", "service", "training", "ruse-1.0.0.dist-info",
    }  # fmt: skip
    assert not [path for path in names if "__pycache__" in path]
    assert "ruse-1.0.0.dist-info/licenses/LICENSE" in names
    assert "Classifier: Private :: Do Not Upload" in metadata
    assert set(re.findall(r"Provides-Extra: (\w+)", metadata)) == {"dev", "spark"}


def test_artifact_is_small(wheel: Path) -> None:
    """The shipped model takes at most 16 MB."""
    with zipfile.ZipFile(wheel) as archive:
        sizes = [i.file_size for i in archive.infolist() if i.filename.startswith("model/artifact/")]
    assert 0 < sum(sizes) <= 16 * 1024 * 1024


@pytest.mark.parametrize("door", ["model", "service", "training"])
def test_doors(installed: Installed, door: str) -> None:
    """Each door opens in the installed package without any extra."""
    run = installed.run("python", "-m", door, "--help")
    assert run.returncode == 0, run.stderr
    assert f"python -m {door}" in run.stdout


def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", "")


def test_dockerfile() -> None:
    """The image is built in stages, runs as nobody in particular, and tells how it is."""
    text = dockerfile()
    stages = text.split("\nFROM ")
    assert len(stages) == 3
    last = stages[-1]
    assert re.search(r"^USER (?!root|0)\w+$", last, re.MULTILINE)
    assert last.index("USER") > last.index("RUN")
    assert re.search(r"^HEALTHCHECK .*CMD \[.*/health/ready", last, re.MULTILINE)
    assert "--no-cache-dir" in text
    instructions = set(re.findall(r"^([A-Z]+) ", text, re.MULTILINE))
    assert instructions <= {
        "FROM", "WORKDIR", "RUN", "COPY", "USER", "ENV", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK",
        "ENTRYPOINT", "CMD",
    }  # fmt: skip
    for listed in re.findall(r"^(?:HEALTHCHECK .*?)?(?:ENTRYPOINT|CMD) (\[.*)$", last, re.MULTILINE):
        assert all(isinstance(word, str) for word in json.loads(listed))


def test_dockerignore() -> None:
    """What the image is built from is let in, one by one, and everything else stays outside."""
    lines = (ROOT / ".dockerignore").read_text("utf-8").split()
    assert lines[0] == "*"
    let_in = {line[1:] for line in lines if line.startswith("!")}
    assert let_in == {
        "model", "service", "training", "pyproject.toml", "README.md", "LICENSE", "entrypoint.sh",
    }  # fmt: skip
    assert all((ROOT / path).exists() for path in let_in)


@pytest.fixture(scope="module")
def image(installed: Installed) -> Installed:
    """What the Dockerfile's steps leave: kernels compiled beside the packages, and the entry."""
    warm = re.search(r"^RUN NUMBA_CACHE_DIR=\S+/kernels bin/python (.*) >", dockerfile(), re.M)
    assert warm
    words = [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', warm[1])]
    run = installed.run("python", *words, NUMBA_CACHE_DIR=str(installed.home / "kernels"))
    assert run.returncode == 0, run.stderr
    shutil.copy(ROOT / "entrypoint.sh", installed.home / "bin" / "entrypoint.sh")
    return installed


def test_classify(image: Installed) -> None:
    """Away from the checkout the installed command classifies with the shipped model."""
    run = image.run("python", "-m", "model", "classify", REPORT, NUMBA_CACHE_DIR=str(image.home / "kernels"))
    assert run.returncode == 0, run.stderr
    answer = json.loads(run.stdout)
    assert answer["category"] == "fake_loan"
    assert image.run("python", "-c", "import model; print(model.__file__)").stdout.startswith(str(image.home))


def kernels(folder: Path) -> dict[str, int]:
    """The files of machine code in a folder and when each was written."""
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.glob("*/*.nb?")}


def classify(image: Installed, variables: Mapping[str, str]) -> str:
    words = ("entrypoint.sh", "model", "classify", "--explain", REPORT)
    run = image.run(*words, **variables)
    assert run.returncode == 0, run.stderr
    return str(json.loads(run.stdout)["category"])


def test_kernels_are_kept(image: Installed, tmp_path: Path) -> None:
    """The image starts with the machine code of its build, and adds nothing to it."""
    built = kernels(image.home / "kernels")
    assert built
    assert classify(image, {"TMPDIR": str(tmp_path)}) == "fake_loan"
    (copy,) = tmp_path.glob("ruse-kernels.*")
    assert set(kernels(copy)) == set(built)
    assert kernels(image.home / "kernels") == built


def test_another_cpu(image: Installed, tmp_path: Path) -> None:
    """On another CPU than the build's the kernels are compiled anew, and the answer is the same."""
    built = kernels(image.home / "kernels")
    volume = {"NUMBA_CACHE_DIR": str(tmp_path / "volume"), "NUMBA_CPU_NAME": "x86-64"}
    volume["NUMBA_CPU_FEATURES"] = ""
    assert classify(image, volume) == "fake_loan"
    once = kernels(tmp_path / "volume")
    assert len(once) > len(built)
    assert classify(image, volume) == "fake_loan"
    assert kernels(tmp_path / "volume") == once


def test_nowhere_to_write(image: Installed, tmp_path: Path) -> None:
    """Where no place can be written to, the image says what to mount."""
    mktemp = tmp_path / "mktemp"
    mktemp.write_text("#!/bin/sh\nexit 1\n")
    mktemp.chmod(0o755)
    path = f"{tmp_path}:{image.home / 'bin'}:{os.environ['PATH']}"
    run = image.run("entrypoint.sh", "model", "classify", REPORT, PATH=path)
    assert run.returncode == 1
    assert "mount a tmpfs at /tmp" in run.stderr
