"""The README's promises: two single lines, one for each wish, and paths that exist.

What the first of them leaves behind is tested in test_packaging.py.
"""

import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```\w*\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md")])


def test_blocks() -> None:
    """The first two fenced blocks are one line each: one classifies, one passes the tests."""
    for block in BLOCKS[:2]:
        assert block.endswith("\n")
        assert block.count("\n") == 1
        assert not block.endswith("\\\n")
    assert "-m model classify " in BLOCKS[0]
    assert BLOCKS[1].endswith("-m pytest\n")


def test_one_spelling() -> None:
    """The Makefile spells the commands as the README does."""
    makefile = (ROOT / "Makefile").read_text("utf-8").replace("$(python)", ".venv/bin/python")
    for step in BLOCKS[1].strip().split(" && "):
        assert f"\t{step}\n" in makefile
    assert "\t.venv/bin/python -m service serve\n" in makefile
    targets = set(re.findall(r"^(\w+):", makefile, re.MULTILINE))
    assert targets.issuperset(re.findall(r"`make (\w+)`", README))


def test_ci(tmp_path: Path) -> None:
    """CI runs the README's second command on a machine that has no make, and fails when it does."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "awk", "dirname"):
        (tools / name).symlink_to(str(shutil.which(name)))
    stub = tools / "sh"
    stub.write_text(f'#!{shutil.which("sh")}\necho "$2"\nexit 3\n')
    stub.chmod(stub.stat().st_mode | stat.S_IXUSR)
    run = subprocess.run(
        ["bash", ROOT / ".ci" / "run"], env={"PATH": str(tools)}, capture_output=True, text=True
    )
    assert run.stdout == BLOCKS[1], run.stderr
    assert run.returncode == 3


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths(page: Path) -> None:
    """Every file and folder that a page names is there."""
    for name in re.findall(r"`([\w.-]*/?[\w./-]+)`", page.read_text("utf-8")):
        if re.search(r"^\w+/(\w+\.?\w*)?$|\.(md|py|toml|sh)$", name) and "/" in name:
            assert (ROOT / name).exists(), name
    for name in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
        assert (page.parent / name).exists(), name
