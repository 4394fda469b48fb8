"""ModelError and its leaves; which step raises which:

    taxonomy.toml  -> taxonomy.load -> Taxonomy    TaxonomyError   taxonomy_invalid
    manifest.json, arrays.npz -> artifact.load     ArtifactError   artifact_invalid
    texts -> Classifier -> predictions             TextError       text_invalid

Each leaf also inherits ValueError, the builtin one would catch. A message says what is wrong, where
and what to do, and never quotes the text of a report. `code` is stable: programs may rely on it.
"""

from collections.abc import Iterable


class ModelError(Exception):
    """Anything that `model` raises on purpose."""

    code = "model_error"


class TaxonomyError(ModelError, ValueError):
    """A taxonomy file is wrong; `faults` names everything that is, each with its place."""

    code = "taxonomy_invalid"

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__(self.faults)  # as arguments, so that the error survives pickling

    def __str__(self) -> str:
        return "\n".join(self.faults)


class ArtifactError(ModelError, ValueError):
    """A model cannot be loaded: a file is missing, damaged, or of another format."""

    code = "artifact_invalid"


class TextError(ModelError, ValueError):
    """A text cannot be classified; the message names its index, not its words."""

    code = "text_invalid"
