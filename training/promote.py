"""Promote and roll back: which model of a folder of models answers, and who decided that.

A folder of models (`RUSE_MODELS`) holds a folder for each version, `current`, which names one of them,
and `history.jsonl`, which only grows. Whatever is killed midway, `current` names a whole model.
"""

import fcntl
import getpass
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from model import artifact, golden
from model.classifier import load
from model.errors import ModelError
from training import heldout, modelcard

KEPT = 5  # versions, the current one among them
HISTORY, LOCK, CARD, DECISION = "history.jsonl", ".lock", "model-card.md", "decision.json"
BESIDE = (CARD, DECISION, "report.html", "report.json")  # of a run, kept with its model
MODEL = "model"  # where a run has its model


class PromotionError(ModelError, ValueError):
    """A model was not promoted, or there is none to go back to; the message says why."""

    code = "not_promoted"


def promote(run: Path, models: Path, because: str | None = None) -> str:
    """Make the model of a run (or a bare folder of a model) the current one; returns its version.

    Needs a decision for this very model, or a person's reason, which is noted. Raises PromotionError,
    ArtifactError.
    """
    home = run / MODEL if (run / MODEL).is_dir() else run
    classifier = load(home)
    golden.check(classifier)
    version = classifier.manifest.version
    decision = _decision(run, version)
    if not because and not decision.get("promoted"):
        reasons = decision.get("reasons") or ["no decision about it stands beside it; see `retrain`"]
        raise PromotionError(
            f"{version} was not judged fit: {'; '.join(reasons)}. "
            'A person may promote it all the same: --because "…"'
        )
    with _alone(models):
        before = current(models)
        if not (models / version).is_dir():
            _copy(home, run, models, version)
        if before != version:
            _note(models, "promote", version, before, because, decision)
            _point(models, version)
        _prune(models)
    return version


def rollback(models: Path, because: str | None = None) -> tuple[str, str]:
    """Make the version that was current before the current one answer again; both versions.

    Raises PromotionError where there is none.
    """
    with _alone(models):
        before = current(models)
        stack = _stack(models, before)
        earlier = [version for version in stack[:-1] if (models / version).is_dir()]
        if before is None or not earlier:
            raise PromotionError(
                f"{models}: there is no earlier version to go back to; "
                "the shipped model answers where RUSE_MODELS is not set"
            )
        load(models / earlier[-1])
        _note(models, "rollback", earlier[-1], before, because, {})
        _point(models, earlier[-1])
    return before, earlier[-1]


def current(models: Path) -> str | None:
    """The version that answers, or None."""
    pointer = models / artifact.CURRENT
    return pointer.read_text("utf-8").strip() if pointer.is_file() else None


def history(models: Path) -> list[dict[str, Any]]:
    """What was done, oldest first; a line that a crash cut short is left out."""
    path = models / HISTORY
    found = []
    for line in path.read_text("utf-8").splitlines() if path.is_file() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def _stack(models: Path, now: str | None) -> list[str]:
    """The versions under the current one, it last; what never became current is left out."""
    stack: list[str] = []
    for entry in history(models):
        if entry["action"] == "promote":
            stack.append(entry["version"])
        else:
            while stack and stack[-1] != entry["version"]:
                stack.pop()
    while stack and stack[-1] != now:
        stack.pop()
    return stack


def _decision(run: Path, version: str) -> dict[str, Any]:
    path = run / DECISION
    known = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return known if known.get("model") == version else {}


@contextmanager
def _alone(models: Path) -> Iterator[None]:
    """One promotion at a time; the lock dies with its holder. Leftovers of a crash go."""
    models.mkdir(parents=True, exist_ok=True)
    with (models / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in (*models.glob(".new-*"), *models.glob(".old-*")):
            shutil.rmtree(left)
        yield


def _copy(home: Path, run: Path, models: Path, version: str) -> None:
    beside = models / f".new-{version}"
    beside.mkdir()
    files = [home / name for name in (artifact.MANIFEST, artifact.ARRAYS)]
    files += [path for path in (home / artifact.TAXONOMY, home / heldout.FILE) if path.is_file()]
    files += [run / name for name in BESIDE if (run / name).is_file()]
    for path in files:
        shutil.copyfile(path, beside / path.name)
    if not (beside / CARD).is_file():
        (beside / CARD).write_text(modelcard.page(load(home).manifest), "utf-8")
    for path in (*beside.iterdir(), beside):
        _sync(path)
    beside.rename(models / version)
    _sync(models)


def _note(
    models: Path,
    action: str,
    version: str,
    before: str | None,
    because: str | None,
    decision: Mapping[str, Any],
) -> None:
    """Append to the history, on disk before `current` changes."""
    line = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "who": getpass.getuser(),
        "action": action,
        "version": version,
        "before": before,
        "judged_fit": decision.get("promoted"),
        "reasons": decision.get("reasons", []),
        "because": because,
    }
    with (models / HISTORY).open("a+b") as file:
        if file.tell() and _last_byte(models / HISTORY) != b"\n":
            file.write(b"\n")  # a crash cut the last line short
        file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1)


def _point(models: Path, version: str) -> None:
    beside = models / ".current.new"
    beside.write_text(version + "\n", "utf-8")
    _sync(beside)
    beside.replace(models / artifact.CURRENT)
    _sync(models)


def _prune(models: Path) -> None:
    """Keep the current version and those that were current last; other folders are not touched."""
    now = current(models)
    order = [now, *reversed(_stack(models, now)[:-1])]
    order += [entry["version"] for entry in reversed(history(models))]
    for version in list(dict.fromkeys(order))[KEPT:]:
        if version and (models / version / artifact.MANIFEST).is_file():
            (models / version).rename(models / f".old-{version}")
            shutil.rmtree(models / f".old-{version}")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
