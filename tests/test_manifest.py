"""service.manifest: what is done of a job, through kills, other jobs and other processes."""

from pathlib import Path
from typing import Any

import pytest

from service.diff import Diff
from service.files import Chunk, File
from service.labels import RelabelError
from service.manifest import Manifest

JOB = {"model": "1.0", "options": {"chunk": 10, "columns": {"text": "text"}}}
FILES: list[list[Any]] = [["a.csv", 10, 1], ["b.csv", 20, 2]]


def finish(manifest: Manifest, file: int, number: int, content: bytes = b"x") -> str:
    """Puts a part of this content in its place; its name."""
    chunk = Chunk(File(file, Path("a"), "a", "csv", "", 1, 1), number, 1, 1, None)
    part = chunk.part(".csv")
    beside = manifest.target / f".{part}.1.new"
    beside.write_bytes(content)
    diff = Diff()
    diff.rows = 1 + number
    manifest.finish(chunk, part, beside, diff.as_dict())
    return part


def test_what_was_noted_is_known_again(tmp_path: Path) -> None:
    """Finished parts are known to the next process, in the order of the input; temporary files are gone."""
    first = Manifest(tmp_path / "out", JOB, FILES)
    parts = [finish(first, 1, 0), finish(first, 0, 1), finish(first, 0, 0)]
    (tmp_path / "out" / ".part-00000-00007.csv.9.new").touch()
    first.close()
    again = Manifest(tmp_path / "out", JOB, FILES)
    assert [again.has(part) for part in parts] == [True] * 3
    assert not again.has("part-00000-00007.csv")
    assert [diff.rows for diff in again.diffs()] == [1, 2, 1]
    assert not list((tmp_path / "out").glob(".part*"))
    again.close()


def test_a_torn_line_and_a_lost_part_are_done_again(tmp_path: Path) -> None:
    """A note that a kill cut off counts for nothing, nor does one whose part is gone or was changed."""
    first = Manifest(tmp_path / "out", JOB, FILES)
    parts = [finish(first, 0, n, b"abc") for n in range(4)]
    first.close()
    notes = tmp_path / "out" / "_ruse" / "chunks.jsonl"
    notes.write_bytes(notes.read_bytes()[:-20])
    (tmp_path / "out" / parts[0]).unlink()
    (tmp_path / "out" / parts[1]).write_bytes(b"ab")
    again = Manifest(tmp_path / "out", JOB, FILES)
    assert [again.has(part) for part in parts] == [False, False, True, False]
    for n in (0, 1, 3):
        finish(again, 0, n, b"abc")
    again.close()
    last = Manifest(tmp_path / "out", JOB, FILES)
    assert [diff.rows for diff in last.diffs()] == [1, 2, 3, 4]
    last.close()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    """While one holds a target another is refused; afterwards it may."""
    first = Manifest(tmp_path / "out", JOB, FILES)
    with pytest.raises(RelabelError, match="another process") as caught:
        Manifest(tmp_path / "out", JOB, FILES)
    assert caught.value.code == "target_locked"
    first.close()
    Manifest(tmp_path / "out", JOB, FILES).close()


@pytest.mark.parametrize(
    ("job", "files", "code", "says"),
    [
        (JOB | {"model": "2.0"}, FILES, "job_differs", "model '1.0' and not '2.0'"),
        (
            JOB | {"options": {"chunk": 9, "columns": {"text": "text"}}},
            FILES,
            "job_differs",
            "options chunk 10",
        ),
        (JOB, [["a.csv", 10, 5], FILES[1]], "input_changed", "--restart"),
        (JOB, FILES[:1], "input_changed", "names, sizes or times"),
    ],
)
def test_another_job_is_refused(
    tmp_path: Path, job: dict[str, Any], files: list[list[Any]], code: str, says: str
) -> None:
    """Another model, option or input is refused and named, unless --restart clears what is there."""
    first = Manifest(tmp_path / "out", JOB, FILES)
    part = finish(first, 0, 0)
    first.close()
    with pytest.raises(RelabelError, match=says) as caught:
        Manifest(tmp_path / "out", job, files)
    assert caught.value.code == code
    assert (tmp_path / "out" / part).exists()
    again = Manifest(tmp_path / "out", job, files, restart=True)
    assert not again.has(part)
    assert not (tmp_path / "out" / part).exists()
    again.close()


def test_a_bad_file_may_become_another(tmp_path: Path) -> None:
    """A bad file has no parts, and may have changed the next time; the others may not."""
    first = Manifest(tmp_path / "out", JOB, FILES)
    part, kept = finish(first, 0, 0), finish(first, 1, 0)
    first.drop(0, "it is damaged")
    assert not (tmp_path / "out" / part).exists()
    first.close()
    mended = [["a.csv", 11, 9], FILES[1]]
    again = Manifest(tmp_path / "out", JOB, mended)
    assert (again.has(part), again.has(kept)) == (False, True)
    again.close()
    with pytest.raises(RelabelError):
        Manifest(tmp_path / "out", JOB, FILES)


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    """A target that holds something else is refused even to --restart; so is a manifest that is none."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "part-1-1.csv").write_text("mine")
    for restart in (False, True):
        with pytest.raises(RelabelError) as caught:
            Manifest(tmp_path / "out", JOB, FILES, restart)
        assert caught.value.code == "target_taken"
    assert (tmp_path / "out" / "part-1-1.csv").exists()
    Manifest(tmp_path / "ours", JOB, FILES).close()
    (tmp_path / "ours" / "_ruse" / "job.json").write_text('{"format": 99}')
    with pytest.raises(RelabelError, match="--restart") as caught:
        Manifest(tmp_path / "ours", JOB, FILES)
    assert caught.value.code == "manifest_invalid"
    Manifest(tmp_path / "ours", JOB, FILES, restart=True).close()
