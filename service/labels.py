"""Old labels: what a label that rows came with means in the taxonomy of the model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a command knows its source before the model is read
    from model import Taxonomy

LEVELS = ("category", "scheme")
STORE = "store"  # as the source of a relabelling: the service's own reports


class RelabelError(ValueError):
    """A relabelling cannot begin or go on; the message says what to do. `code` is stable."""

    def __init__(self, code: str, message: str) -> None:
        self.code, self.message = code, message
        super().__init__(code, message)  # as arguments, so that the error survives pickling

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class Old:
    """An old label as it is compared: with the new `level`, by `name`.

    `known` is false for a foreign label that its crosswalk leads nowhere: it compares with nothing.
    """

    name: str
    level: str
    known: bool = True


class Labels:
    """Reads old labels; `level` is what they are compared with, "category" or "scheme".

    A label that the taxonomy does not have was retired, so whatever the model says is a change. With
    a crosswalk, the labels are somebody else's and lead where it says. Raises RelabelError for a
    crosswalk or level that there is not.
    """

    def __init__(self, tree: "Taxonomy", level: str = "category", crosswalk: str | None = None) -> None:
        if level not in LEVELS:
            raise RelabelError("level_unknown", f"the level is one of {', '.join(LEVELS)}")
        if crosswalk is not None and crosswalk not in tree.crosswalks:
            there = ", ".join(tree.crosswalks)
            raise RelabelError("crosswalk_unknown", f"there is no crosswalk {crosswalk!r}; there are {there}")
        self.level = level
        self._targets = tree.crosswalks[crosswalk].labels if crosswalk is not None else None
        schemes = zip(tree.scheme_ids, tree.category_index, strict=True)
        self._categories: Mapping[str, str] = {s: tree.category_ids[at] for s, at in schemes}

    def old(self, label: str) -> Old:
        """What a label is compared as."""
        if self._targets is None:
            if self.level == "category":
                return Old(self._categories.get(label, label), "category")
            return Old(label, "scheme")
        target = self._targets.get(label)
        if target is None or target.category is None:
            return Old(label, self.level, known=False)
        if self.level == "scheme" and target.scheme is not None:
            return Old(target.scheme, "scheme")
        return Old(target.category, "category")
