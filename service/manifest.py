"""What is done of a job: a folder `_ruse` in the target, with a lock that dies with its holder.

    job.json       what the job is: input, model, taxonomy, options
    chunks.jsonl   a line for each finished part, with what it adds to the diff
    lock           held by the process that works here
    report.json, report.html

A part is written beside, renamed, and then noted; what was not noted is done again.
"""

import errno
import fcntl
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from service.diff import Diff
from service.files import Chunk
from service.labels import RelabelError

FOLDER = "_ruse"
FORMAT = 1
TEMPORARY = ".part-*.new"
PARTS = "part-[0-9]*-[0-9]*.*"


class Manifest:
    """The manifest of a target, held until `close`. `job` says what the job is, `files` its input.

    Raises RelabelError where another process works there, where the target holds something else, or
    where the job that was begun there is another one; `restart` begins anew, whatever was there.
    """

    def __init__(
        self, target: Path, job: Mapping[str, Any], files: list[list[Any]], restart: bool = False
    ) -> None:
        self.target = target
        self.folder = target / FOLDER
        begun = (self.folder / "job.json").is_file()
        if target.exists() and (not target.is_dir() or (not begun and not _is_empty(target))):
            raise RelabelError(
                "target_taken", f"{target}: holds something that is no job of ours; choose another target"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(self.folder / "lock", target)
        self._chunks: Any = None
        try:
            self._open(dict(job), files, restart)
        except BaseException:
            self.close()
            raise

    def _open(self, job: dict[str, Any], files: list[list[Any]], restart: bool) -> None:
        for left in self.target.rglob(TEMPORARY):
            left.unlink(missing_ok=True)
        known = None if restart else _read(self.folder / "job.json")
        if restart:
            for part in self.target.rglob(PARTS):
                part.unlink()
            for name in ("chunks.jsonl", "report.json", "report.html"):
                (self.folder / name).unlink(missing_ok=True)
        path = self.folder / "chunks.jsonl"
        # part -> (file, chunk, where its line begins and ends); lines stay on disk, for they are many
        self._done: dict[str, tuple[int, int, int, int]] = {}
        self._size = 0
        if known is not None:
            self._compare(known, job, files)
            self._size = self._load(path)
        self._write("job.json", {"format": FORMAT, **job, "files": files, "bad": []})
        self._job = job
        self._files = files
        self._bad: dict[int, str] = {}
        self._chunks = path.open("ab", buffering=0)
        self._chunks.truncate(self._size)  # a line that was cut off by a kill

    def _compare(self, known: dict[str, Any], job: dict[str, Any], files: list[list[Any]]) -> None:
        others = [name for name in job if known.get(name) != job[name]]
        if others:
            raise RelabelError(
                "job_differs",
                f"{self.target}: was begun with {_differences(known, job)}; go on with the same, choose "
                "another target, or begin anew with --restart",
            )
        bad = {entry["file"] for entry in known["bad"]}
        same = len(files) == len(known["files"]) and all(
            now == then or (at in bad and now[0] == then[0])
            for at, (now, then) in enumerate(zip(files, known["files"], strict=True))
        )
        if not same:
            raise RelabelError(
                "input_changed",
                f"{self.target}: was begun on another input (names, sizes or times of files have changed); "
                "choose another target, or begin anew with --restart",
            )

    def _load(self, path: Path) -> int:
        """Reads what is done; how far the file is whole."""
        at = 0
        if not path.is_file():
            return 0
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                entry = orjson.loads(line)
                part = self.target / entry["part"]
                if part.is_file() and part.stat().st_size == entry["bytes"]:
                    self._done[entry["part"]] = (entry["file"], entry["chunk"], at, at + len(line))
                at += len(line)
        return at

    @property
    def parts(self) -> int:
        """How many parts are done."""
        return len(self._done)

    def has(self, part: str) -> bool:
        """Whether a part is done."""
        return part in self._done

    def finish(self, chunk: Chunk, part: str, written: Path, diff: dict[str, Any]) -> None:
        """Puts a part in its place, and notes it. Raises OSError."""
        entry = {
            "part": part,
            "file": chunk.file.number,
            "chunk": chunk.number,
            "state": "done",
            "rows": diff["rows"],
            "bytes": written.stat().st_size,
            "diff": diff,
        }
        written.rename(self.target / part)
        _sync((self.target / part).parent)
        line = orjson.dumps(entry) + b"\n"
        if self._chunks.write(line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(self._chunks.fileno())
        self._done[part] = (chunk.file.number, chunk.number, self._size, self._size + len(line))
        self._size += len(line)

    def drop(self, file: int, reason: str) -> None:
        """Notes that a file is bad: it has no parts, and may be another one the next time."""
        self._bad[file] = reason
        for part, (owner, *_) in list(self._done.items()):
            if owner == file:
                (self.target / part).unlink(missing_ok=True)
                del self._done[part]
        bad = [{"file": at, "reason": self._bad[at]} for at in sorted(self._bad)]
        self._write("job.json", {"format": FORMAT, **self._job, "files": self._files, "bad": bad})

    def diffs(self) -> Iterator[Diff]:
        """What each finished part adds to the diff, in the order of the input."""
        with (self.folder / "chunks.jsonl").open("rb") as file:
            for _, _, begin, end in sorted(self._done.values()):
                file.seek(begin)
                yield Diff.from_dict(orjson.loads(file.read(end - begin))["diff"])

    def report(self, report: dict[str, Any], page: str) -> None:
        """Writes the report, whole or not at all."""
        self._write("report.json", report)
        _replace(self.folder / "report.html", page.encode())

    def _write(self, name: str, content: dict[str, Any]) -> None:
        _replace(self.folder / name, orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")

    def close(self) -> None:
        """Lets another process have the target."""
        if self._chunks is not None:
            self._chunks.close()
        os.close(self._lock)


def _lock(path: Path, target: Path) -> int:
    """The lock, which the system frees when this process is gone; its workers do not inherit it."""
    file = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        raise RelabelError(
            "target_locked", f"{target}: another process relabels into it; wait for it, or stop it"
        ) from None
    return file


def _is_empty(folder: Path) -> bool:
    return all(path.name == FOLDER for path in folder.iterdir())


def _read(path: Path) -> dict[str, Any] | None:
    try:
        known = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        known = None
    if not isinstance(known, dict) or known.get("format") != FORMAT:
        raise RelabelError(
            "manifest_invalid", f"{path}: is no manifest of this Ruse; begin anew with --restart"
        )
    return known


def _differences(known: Mapping[str, Any], job: Mapping[str, Any], inside: str = "") -> str:
    found = []
    for name, now in job.items():
        then = known.get(name)
        if isinstance(now, dict) and isinstance(then, dict):
            found.append(_differences(then, now, f"{name} "))
        elif now != then:
            found.append(f"{inside}{name} {then!r} and not {now!r}")
    return ", ".join(part for part in found if part)


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_name(path.name + ".new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
