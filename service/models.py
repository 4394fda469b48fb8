"""The model that answers, and its replacement by a promoted one while requests go on.

A request takes `current` once and answers with it to its end, so no answer mixes two models; the old
one is freed when the last request that holds it is done.
"""

import hashlib
import logging
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import model
from model import Classifier, ModelError, artifact, golden
from service.problems import RETRY_AFTER, Problem

log = logging.getLogger("ruse.service")


class Models:
    """The current classifier. `folder` is where a promoted one appears; None: the shipped one stays.

    `refused` tells that the folder names a model that is not fit to serve, so that another answers.
    """

    def __init__(self, classifier: Classifier, folder: Path | None = None, refused: bool = False) -> None:
        self.current = classifier
        self.refused = refused
        self._folder = folder
        self._seen = self._state()
        self._turn = threading.Lock()
        self._warm: bool | None = None

    def warm_up(self) -> None:
        """Answers once, evidence too; the first answer may have to compile the kernel."""
        try:
            self.current.classify(golden.WARM_UP)
            self.current.classify(golden.WARM_UP[1:])  # one text alone takes another way
            self.current.explain(golden.WARM_UP[0])
        except Exception as error:
            self._warm = False
            # On texts of ours, so this message can quote nobody's.
            log.error("model_failed: the model cannot classify; reinstall or choose another (%s)", error)
            raise
        self._warm = True

    def check_alive(self) -> None:
        """Raises Problem where the warm-up has failed: only another start can help."""
        if self._warm is False:
            raise Problem("model_failed")

    def check_ready(self) -> None:
        """Raises Problem until the warm-up has succeeded."""
        self.check_alive()
        if not self._warm:
            raise Problem("not_ready", headers=RETRY_AFTER)

    def has_changed(self) -> bool:
        """Whether the folder names or holds another model than when it was looked at last."""
        return self._state() != self._seen

    def reload(self) -> tuple[str, str]:
        """Loads what the folder names now; versions before and after, equal where nothing changed.

        The old model stays if the new one cannot be read, does not answer, or does not answer its
        golden texts as its manifest says. Raises ModelError.
        """
        with self._turn:
            before = self.current.manifest
            self._seen = self._state()
            if self._folder is None:
                return before.version, before.version
            try:
                fresh = model.load(self._folder)
                if fresh.manifest != before:
                    golden.check(fresh)
            except ModelError:
                self.refused = True
                raise
            if fresh.manifest != before:
                self.current = fresh  # one assignment: a request sees the old or the new
            self.refused = False
            return before.version, fresh.manifest.version

    def _state(self) -> tuple[str, str, int, int] | None:
        """Which model the folder names, by its manifest and by size and time of its arrays, or None."""
        if self._folder is None:
            return None
        try:
            home = artifact.locate(self._folder)
            arrays = (home / artifact.ARRAYS).stat()
            manifest = hashlib.sha256((home / artifact.MANIFEST).read_bytes()).hexdigest()
        except (ModelError, OSError):
            return None
        return str(home), manifest, arrays.st_size, arrays.st_mtime_ns


def start(folder: Path | None, past: Callable[[], Iterable[str]]) -> Models:
    """What a process begins with: the promoted model, or where that is broken what still works.

    That is the latest of the `past` versions that the folder has and that is sound, else the shipped
    model. Raises ModelError where the folder has no model at all, or where the shipped one is broken.
    """
    if folder is None:
        return Models(model.load())
    try:
        return Models(_load(folder), folder)
    except ModelError as error:
        if not any((folder / name).exists() for name in (artifact.MANIFEST, artifact.CURRENT)):
            raise
        models = Models(_fall_back(folder, past()) or model.load(), folder, refused=True)
        version = models.current.manifest.version
        log.error(
            "model_refused: %s; model %s answers in its place until another is promoted", error, version
        )
        return models


def _load(folder: Path) -> Classifier:
    classifier = model.load(folder)
    golden.check(classifier)
    return classifier


def _fall_back(folder: Path, past: Iterable[str]) -> Classifier | None:
    homes = {}
    for home in sorted(path for path in folder.iterdir() if path.is_dir()):
        with suppress(ModelError):
            homes[artifact.read_manifest(home).version] = home
    for version in past:
        if version in homes:
            with suppress(ModelError):
                return _load(homes[version])
    return None
