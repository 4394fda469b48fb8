"""The classifier: texts in, predictions out."""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from model import artifact, fold, kernel, rules, single, vector
from model.encoding import decode, encode
from model.errors import ArtifactError
from model.evidence import Explanation, explain
from model.kernel import Tables
from model.taxonomy import Taxonomy

SHIPPED = Path(__file__).with_name("artifact")
PIECE = 512  # texts at a time: what is made of them on the way stays in the cache
_REASON_NAMES = (None, *rules.REASONS)
_REASONS = np.array(_REASON_NAMES, object)


class Prediction(NamedTuple):
    """What the model says of one text.

    `category` is always the most probable one and `scheme` the most probable one under it; the
    flags say whether to believe them. Probabilities are calibrated, 0 to 1; `scheme_probability` is
    that of the scheme among all schemes. `ranked` holds the five most probable categories.
    """

    category: str
    category_probability: float
    scheme: str
    scheme_probability: float
    scheme_sure: bool
    needs_review: bool
    review_reason: str | None
    ranked: tuple[tuple[str, float], ...]
    model: str
    taxonomy: str

    def as_dict(self) -> dict[str, Any]:
        """The prediction as the command line and the service write it."""
        ranked = [{"category": name, "probability": share} for name, share in self.ranked]
        return self._asdict() | {"ranked": ranked}


class Answers(NamedTuple):
    """What the model says of many texts, column by column; each array has the shape (n_texts,).

    `category` and `scheme` are indices into the taxonomy, probabilities float32; `reason` is 0 where
    no review is needed, else the place in `rules.REASONS`, counted from 1.
    """

    category: np.ndarray
    category_probability: np.ndarray
    scheme: np.ndarray
    scheme_probability: np.ndarray
    scheme_sure: np.ndarray
    reason: np.ndarray


class Classifier:
    """Names categories and schemes of texts; has no state but its tables, so threads may share it."""

    def __init__(self, manifest: artifact.Manifest, arrays: dict[str, np.ndarray], tree: Taxonomy) -> None:
        if tuple(tree.scheme_ids) != tuple(manifest.schemes):
            raise ArtifactError(
                f"model {manifest.version} has other schemes than taxonomy {tree.version}; "
                "retrain, or keep the taxonomy.toml it was trained with beside it"
            )
        missing = set(tree.category_ids) ^ set(manifest.thresholds)
        if missing:
            raise ArtifactError(f"model {manifest.version}: thresholds lack {sorted(missing)}")
        self.manifest = manifest
        self.taxonomy = tree
        self.fold = fold.unpack(arrays)
        self.tables = Tables(
            kernel.index(arrays["gram_keys"], arrays["word_keys"]),
            _padded(arrays["gram_rows"]),
            _padded(arrays["word_rows"]),
            arrays["word_log_frequencies"],
            arrays["word_weights"],
        )
        self.gram_scale = arrays["gram_scale"]
        self.word_scale = arrays["word_scale"]
        self.bias = arrays["bias"]
        self.category_index = np.array(tree.category_index, np.int64)
        # Evenly over the categories, and over the schemes of each, so that the most probable ones stay so.
        within = np.bincount(self.category_index)[self.category_index] * len(tree.category_ids)
        self.lapses = manifest.lapse / within
        self._categories = np.array(tree.category_ids, object)
        self._schemes = np.array(tree.scheme_ids, object)
        self._thresholds = np.array([manifest.thresholds[c] for c in tree.category_ids], np.float32)
        # All arrays that an answer needs, flat, for nested tuples take longer to hand to compiled code.
        self.parts = (
            *self.fold, *self.tables.index, *self.tables[1:],
            self.gram_scale, self.word_scale, self.bias, self.lapses, self.category_index, self._thresholds,
        )  # fmt: skip

    def scores(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Scores float32 (n_texts, n_columns) before the temperature; statistics
        int32 (n_texts, kernel.N_STATISTICS)."""
        return _in_pieces(len(texts), lambda a, b: self._scores(*encode(texts[a:b], a)))

    def _scores(self, codes: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scores = np.empty((offsets.size - 1, self.bias.size), np.float32)
        statistics = np.empty((offsets.size - 1, kernel.N_STATISTICS), np.int32)
        kernel.score(
            codes, offsets, self.fold, self.tables,
            self.gram_scale, self.word_scale, self.bias, self.manifest.sharpening, scores, statistics,
        )  # fmt: skip
        return scores, statistics

    def answer(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Scheme and category probabilities, and the statistics, of one pass over the texts."""
        return _in_pieces(len(texts), lambda a, b: self._answer(*encode(texts[a:b], a)))

    def _answer(self, codes: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        scores, statistics = self._scores(codes, offsets)
        schemes = np.empty((len(scores), len(self.manifest.schemes)), np.float32)
        kernel.softmax(scores, self.manifest.temperature, self.lapses, schemes)
        categories = np.empty((len(scores), len(self.taxonomy.category_ids)), np.float32)
        kernel.roll_up(schemes, self.category_index, categories)
        return schemes, categories, statistics

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Calibrated scheme probabilities, float32 (n_texts, n_schemes), columns as in the taxonomy."""
        return self.answer(texts)[0]

    def category_probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Calibrated category probabilities, float32 (n_texts, n_categories)."""
        return self.answer(texts)[1]

    def categories(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Index of the most probable category (n_texts,) and its probability, float32 (n_texts,)."""
        return _in_pieces(len(texts), lambda a, b: self._best(*encode(texts[a:b], a)))

    def categories_utf8(self, content: Any, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same for texts that lie in one buffer as `classify_utf8` takes them."""
        return _in_pieces(len(starts) - 1, lambda a, b: self._best(*decode(content, starts[a : b + 1], a)))

    def _best(self, codes: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        order, chances = _ranked(self._answer(codes, offsets)[1], 1)
        return order[:, 0], chances[:, 0]

    def classify(self, texts: Sequence[str]) -> list[Prediction]:
        """One prediction a text. Raises TextError for what is no str, naming its index."""
        if len(texts) == 1 and isinstance(texts[0], str) and not isinstance(texts, str):
            return [self._classify(texts[0])]
        schemes, categories, statistics = self.answer(texts)
        said = self._decide(schemes, categories, statistics)
        order, chances = _ranked(categories, rules.N_RANKED)
        named: Any = zip(self._categories[order].tolist(), chances.tolist(), strict=True)
        with _uncollected():
            columns: list[Any] = [
                self._categories[said.category].tolist(),
                said.category_probability.tolist(),
                self._schemes[said.scheme].tolist(),
                said.scheme_probability.tolist(),
                said.scheme_sure.tolist(),
                (said.reason != 0).tolist(),
                _REASONS[said.reason].tolist(),
                [tuple(zip(names, shares, strict=True)) for names, shares in named],
                repeat(self.manifest.version),
                repeat(self.taxonomy.version),
            ]
            return list(map(Prediction._make, zip(*columns, strict=False)))  # the last two never end

    def _classify(self, text: str) -> Prediction:
        """What `classify` says of one text, in one compiled call."""
        manifest, names = self.manifest, self.taxonomy.category_ids
        category, chance, scheme, scheme_chance, scheme_sure, reason, order, chances = single.answer(
            text.encode("utf-32-le", "surrogatepass"),
            self.parts,
            manifest.temperature,
            manifest.sharpening,
            manifest.scheme_threshold,
        )
        ranked = tuple([(names[k], share) for k, share in zip(order, chances, strict=True) if k >= 0])
        return Prediction(
            names[category],
            chance,
            self.taxonomy.scheme_ids[scheme],
            scheme_chance,
            scheme_sure,
            reason != 0,
            _REASON_NAMES[reason],
            ranked,
            manifest.version,
            self.taxonomy.version,
        )

    def classify_utf8(self, content: Any, starts: np.ndarray) -> Answers:
        """The answers of `classify` without an object for each text.

        `content` is a buffer of UTF-8 in which text i is the bytes `starts[i]` to `starts[i + 1]`;
        `starts` is int64 (n_texts + 1,). Raises TextError where that is not UTF-8.
        """
        return Answers(
            *_in_pieces(
                len(starts) - 1,
                lambda a, b: self._decide(*self._answer(*decode(content, starts[a : b + 1], a))),
            )
        )

    def _decide(self, schemes: np.ndarray, categories: np.ndarray, statistics: np.ndarray) -> Answers:
        n = len(categories)
        said = Answers(
            np.empty(n, np.int64), np.empty(n, np.float32), np.empty(n, np.int64),
            np.empty(n, np.float32), np.empty(n, np.bool_), np.empty(n, np.int8),
        )  # fmt: skip
        rules.decide(
            schemes, categories, statistics, self.category_index, self._thresholds,
            self.manifest.scheme_threshold, *said,
        )  # fmt: skip
        return said

    def candidates(self, texts: Sequence[str]) -> list[tuple[str, ...]]:
        """The categories of each text that cannot be ruled out, most probable first, never none.

        Of the calibration reports of each category at least 90 % had it among their candidates
        (class-conditional conformal sets, Vovk 2013); a model without such levels names five.
        """
        categories = self.answer(texts)[1]
        names = self.taxonomy.category_ids
        known = self.manifest.calibration.get("candidates")
        order, _ = _ranked(categories, rules.N_RANKED if known is None else len(names))
        if known is None:
            return [tuple(names[k] for k in row) for row in order]
        levels = np.array([known[name] for name in names])
        return [
            tuple(names[k] for place, k in enumerate(row) if place == 0 or chances[k] >= levels[k])
            for row, chances in zip(order, categories, strict=True)
        ]

    def explain(self, text: str, category: str | None = None) -> Explanation:
        """Why the text has this category (default: the most probable one); see `model.evidence`."""
        return explain(self, text, category)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keeps the garbage collector from walking through what is being made, again and again.

    It looks for cycles after every 700 new tuples and there are none; that took a fifth of the time.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _ranked(categories: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """The most probable categories of each text, best first, at most so many, and their probabilities."""
    order = np.empty((len(categories), min(most, categories.shape[1])), np.int64)
    chances = np.empty(order.shape, np.float32)
    rules.rank(categories, order, chances)
    return order, chances


def _padded(rows: np.ndarray) -> np.ndarray:
    """A copy with columns of zeros up to the width of a vector, so that each is whole cache lines."""
    shape = len(rows), -(-rows.shape[1] // vector.WIDTH) * vector.WIDTH
    room = np.empty(shape[0] * shape[1] + vector.WIDTH, np.int8)
    begin = -room.ctypes.data % vector.WIDTH
    copy = room[begin : begin + shape[0] * shape[1]].reshape(shape)
    copy[:, : rows.shape[1]] = rows
    copy[:, rows.shape[1] :] = 0
    return copy


def _in_pieces(n: int, work: Callable[[int, int], Any]) -> Any:
    """The columns that `work` makes of texts `a` to `b`, PIECE texts at a time, put together."""
    if n <= PIECE:
        return work(0, n)
    parts = [work(at, min(at + PIECE, n)) for at in range(0, n, PIECE)]
    return tuple(map(np.concatenate, zip(*parts, strict=True)))


def load(folder: str | Path | None = None) -> Classifier:
    """The shipped model, the model in `folder`, or the current one of a folder of models.

    Raises ArtifactError (what is wrong with which file) and TaxonomyError.
    """
    try:
        home = artifact.locate(Path(folder)) if folder else SHIPPED
    except OSError as error:  # a folder that may not be entered
        raise ArtifactError(f"{folder}: cannot be read ({error.strerror})") from error
    return Classifier(*artifact.load(home), artifact.read_taxonomy(home))
