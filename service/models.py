"""The model that answers, and its replacement by a promoted one while requests go on.

A request takes `current` once and answers with it to its end, so no answer mixes two models; the old
one is freed when the last request that holds it is done.
"""

import hashlib
import logging
import threading
from pathlib import Path

import model
from model import Classifier, ModelError, artifact, golden
from service.problems import RETRY_AFTER, Problem

log = logging.getLogger("ruse.service")


class Models:
    """The current classifier. `folder` is where a promoted one appears; None: the shipped one stays."""

    def __init__(self, classifier: Classifier, folder: Path | None = None) -> None:
        self.current = classifier
        self._folder = folder
        self._seen = self._state()
        self._turn = threading.Lock()
        self._warm: bool | None = None

    def warm_up(self) -> None:
        """Answers once; the first answer may have to compile the kernel."""
        try:
            self.current.classify(golden.WARM_UP)
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
            fresh = model.load(self._folder)
            if fresh.manifest != before:
                golden.check(fresh)
                self.current = fresh  # one assignment: a request sees the old or the new
            return before.version, fresh.manifest.version

    def _state(self) -> tuple[str, str] | None:
        """The folder of the promoted model and the hash of its manifest; None if there is none."""
        if self._folder is None:
            return None
        try:
            home = artifact.locate(self._folder)
            return str(home), hashlib.sha256((home / artifact.MANIFEST).read_bytes()).hexdigest()
        except (ModelError, OSError, UnicodeDecodeError):
            return None
