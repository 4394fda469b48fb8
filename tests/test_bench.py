"""A short form of benchmarks.bench, which `make bench` runs at full length."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import bench, bench_texts


def test_every_row_is_measured(tmp_path: Path) -> None:
    """In miniature, every row comes out with its figures, ratio, aim and whether it is reached."""
    out = tmp_path / "bench.json"
    command = [sys.executable, "-m", "benchmarks.bench", "--quick", "--out", str(out)]
    run = subprocess.run(command, cwd=bench.BEFORE.parent.parent, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2_000:]
    found = json.loads(out.read_text("utf-8"))
    assert {"command", "machine", "rows"} == set(found)
    assert list(found["rows"]) == list(bench.ROWS)
    for name, row in found["rows"].items():
        assert row["aim"], name
        assert row["date"], name
        if "skipped" in row:
            assert name in ("fasttext", "accuracy"), name
            assert row["reached"] is False
            continue
        assert all(math.isfinite(row[side]) and row[side] > 0 for side in ("ours", "theirs")), name
        low, high = row["aim"].get("least", -math.inf), row["aim"].get("most", math.inf)
        assert row["reached"] is (low <= row["ratio"] <= high), name


def test_texts_are_changed_copies() -> None:
    """Half of the texts are Chinese, no long one stands so in the corpus, and every run has the same."""
    table = bench_texts.make(400)
    texts = table["text"].to_pylist()
    known = {e.text for examples in bench_texts.own().values() for e in examples if len(e.text) > 300}
    assert not known & set(texts)
    chinese = sum(any("㐀" <= c <= "鿿" for c in text[:200]) for text in texts)
    assert 200 <= chinese <= 210
    assert bench_texts.make(400).equals(table)


@pytest.mark.parametrize(("ours", "reached"), [(120, True), (119, False)])
def test_what_counts_as_reached(ours: float, reached: bool) -> None:
    """A ratio reaches its aim from the aim on, and not below."""
    assert bench.row("categories", ours, 2)["reached"] is reached
