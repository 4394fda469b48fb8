"""The command line: `python -m model`, as a process."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

LOAN = "对方说贷款批了，要先交保证金，交完三千又要流水费，钱一直没下来"


def run(*arguments: str, send: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run `python -m model` with bytes on its standard input."""
    return subprocess.run(
        [sys.executable, "-m", "model", *arguments],
        input=send, capture_output=True, timeout=120, check=False, env=os.environ | environment,
    )  # fmt: skip


def objects(output: bytes) -> list[dict[str, object]]:
    """The JSON objects of an output."""
    return [json.loads(line) for line in output.decode("utf-8").splitlines()]


def test_an_argument_is_the_text() -> None:
    """A text as an argument gives one object with all fields and exit code 0."""
    done = run("classify", LOAN)
    assert done.returncode == 0, done.stderr
    (found,) = objects(done.stdout)
    assert found["category"] == "fake_loan"
    assert list(found) == [
        "id", "category", "category_probability", "scheme", "scheme_probability", "scheme_sure",
        "needs_review", "review_reason", "ranked", "model", "taxonomy",
    ]  # fmt: skip
    assert len(found["ranked"]) == 5  # type: ignore[arg-type]


def test_a_command_is_light() -> None:
    """To classify a text imports neither SciPy's linear algebra nor what draws tables."""
    done = run("classify", LOAN, PYTHONPROFILEIMPORTTIME="1")
    imported = {line.rsplit(b"|")[-1].strip() for line in done.stderr.splitlines()}
    assert b"model.kernel" in imported
    assert not {b"scipy.linalg", b"sklearn", b"rich", b"pyarrow"} & imported


def test_lines_of_json_with_bad_ones_between() -> None:
    """Bad lines give an object with their number and a code, the rest is classified, the exit says so."""
    lines = [
        json.dumps({"id": 7, "text": LOAN}),
        "not json",
        json.dumps({"id": "x"}),
        "",
        json.dumps({"id": [1], "text": ""}),
        json.dumps({"text": 5}),
        '{"text": "\\ud800 half"}',
        '{"text": NaN}',
        json.dumps({"id": None, "text": "the shop will not refund my broken kettle"}),
    ]
    done = run("classify", send="\n".join(lines).encode() + b"\n\xff\xfe bad\n")
    assert done.returncode == 1
    found = objects(done.stdout)
    assert [(o.get("line"), o.get("error")) for o in found] == [
        (None, None), (2, "not_json"), (3, "no_text"), (5, "blank"), (6, "not_a_string"),
        (7, "lone_surrogate"), (8, "not_json"), (None, None), (10, "not_decodable"),
    ]  # fmt: skip
    assert [o["id"] for o in found[:4]] == [7, None, "x", [1]]
    assert b"half" not in done.stderr


def test_a_file_of_plain_lines(tmp_path: Path) -> None:
    """`--lines` takes a text a line from a file, a byte order mark and Windows ends included."""
    path = tmp_path / "reports.txt"
    path.write_bytes(f"\ufeff{LOAN}\r\n{LOAN}\r\n".encode())
    done = run("classify", "--lines", "--file", str(path))
    assert done.returncode == 0
    first, second = objects(done.stdout)
    assert first == second


def test_csv_in_gb18030_and_csv_out() -> None:
    """CSV is read in GB18030, cells may hold line breaks, and comes out as CSV."""
    source = io.StringIO()
    csv.writer(source).writerows([["no", "内容"], ["007", LOAN + "\n第二行"], ["008"]])
    done = run(
        "classify", "--csv", "--text-column", "内容", "--id-column", "no", "--encoding", "gb18030",
        "--csv-out", "-", send=source.getvalue().encode("gb18030"),
    )  # fmt: skip
    rows = list(csv.DictReader(io.StringIO(done.stdout.decode("utf-8"))))
    assert [(row["id"], row["category"], row["error"]) for row in rows] == [
        ("007", "fake_loan", ""),
        ("008", "", "no_column"),
    ]
    assert done.returncode == 1


def test_an_unclosed_quote_swallows_nothing_silently() -> None:
    """A CSV whose quote never closes is a bad row and a non-zero exit; lone CR ends are read."""
    done = run("classify", "--csv", send=f'id,text\n1,"{LOAN}\n2,{LOAN}\n'.encode())
    assert done.returncode == 1
    assert [o["error"] for o in objects(done.stdout)] == ["bad_csv"]
    done = run("classify", "--csv", send=f"id,text\r1,{LOAN}\r2,{LOAN}\r".encode())
    assert [o["id"] for o in objects(done.stdout)] == ["1", "2"]


def test_an_id_that_cannot_be_written_is_a_bad_line() -> None:
    """An id with half a surrogate pair or an infinite number is refused, and the run goes on."""
    values = ('"\\ud800"', "1e999", '{"deep": ["\\udfff"]}')
    lines = [f'{{"id": {value}, "text": "{LOAN}"}}\n{{"id": 2, "text": "{LOAN}"}}' for value in values]
    done = run("classify", send="\n".join(lines).encode())
    assert done.returncode == 1
    assert [o.get("error") for o in objects(done.stdout)] == ["not_json", None] * 3


def test_explained_offsets_are_of_the_text() -> None:
    """`--explain` adds spans of the text as sent and the bias."""
    done = run("classify", "--explain", "📦" + LOAN)
    (found,) = objects(done.stdout)
    assert all(
        0 < word["start"] < word["end"] <= len(LOAN) + 1
        for word in found["evidence"]  # type: ignore[attr-defined]
    )
    assert isinstance(found["evidence_bias"], float)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("classify", " "), b"blank"),
        (("classify", "--file", "no-such-file"), b"no-such-file"),
        (("classify", LOAN, "--file", "x"), b"not both"),
        (("classify", "--csv", "--text-column", "gone"), b"--text-column"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: tuple[str, ...], says: bytes) -> None:
    """A usage error exits with 2, says what to do, and shows no traceback."""
    done = run(*arguments, send=b"a,b\n1,2\n")
    assert done.returncode == 2
    assert says in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_promoted_model_wins(tmp_path: Path, small_model: Path) -> None:
    """RUSE_MODELS names the folder whose model answers; a wrong one is refused."""
    done = run("classify", LOAN, RUSE_MODELS=str(small_model))
    assert str(objects(done.stdout)[0]["model"]).startswith("0.1.0-")
    done = run("classify", LOAN, RUSE_MODELS=str(tmp_path / "none"))
    assert done.returncode == 2
    assert b"artifact_invalid" in done.stderr


def test_the_taxonomy_is_json_in_a_pipe() -> None:
    """`taxonomy` writes the whole tree, with names in three languages."""
    tree = json.loads(run("taxonomy").stdout)
    assert len(tree["categories"]) == 20
    assert sum(len(c["schemes"]) for c in tree["categories"]) >= 60
    for category in tree["categories"]:
        assert set(category["names"]) == set(category["advice"]) == {"zh-Hans", "zh-Hant", "en"}


def test_a_terminal_gets_a_table() -> None:
    """On a terminal the answer is readable text with names in the language asked for."""
    import pty

    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "model", "classify", "--lang", "zh-Hans", "--explain", LOAN + "\x1b[31m"],
        stdout=child, stderr=subprocess.PIPE, env=os.environ | {"COLUMNS": "100"},
    )  # fmt: skip
    os.close(child)
    output = b""
    while True:
        try:
            part = os.read(parent, 65536)
        except OSError:  # the other end has closed
            break
        if not part:
            break
        output += part
    os.close(parent)
    assert process.wait(timeout=60) == 0
    assert process.stderr is not None
    process.stderr.close()
    shown = output.decode("utf-8")
    assert "贷款" in shown
    assert "{" not in shown
    assert "\ufffd" in shown  # the control character came out harmless
