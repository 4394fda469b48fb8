"""Train: from corpora to a saved model, calibrated on batches that its folds did not see."""

import hashlib
import os
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from model import artifact, fold
from model.classifier import load
from model.kernel import Fold
from model.taxonomy import Taxonomy
from training import alter, bars, bulk, calibrate, cues, fit, guess, heldout, meaning, words
from training.corpora import Example
from training.words import Vocabulary

RELEASE = "1.0.0"
FOLDS = 10
SCHEME_SURE = 0.6  # least share of its category's probability
FEW = 1000  # examples for which another process is not worth its start
MOST_COPIED = 250_000  # examples with altered copies; of more the fit would take too much memory
HELD_SHARE, MOST_HELD = 0.1, 25_000  # of the rows of a large corpus, to calibrate on


@dataclass(frozen=True)
class Material:
    """Examples ready to fit: own texts and what is fitted beside them."""

    examples: list[Example]
    targets: np.ndarray  # int64 (n_examples,), scheme columns
    batches: list[str]
    folds: np.ndarray  # int64 (n_examples,): the fold that holds the example's batch out
    copies: list[list[str]]  # altered copies of each example
    groups: np.ndarray  # int64 (n_examples,): near-duplicates share one
    meanings: np.ndarray  # float32 (n_examples, 512): what the encoder makes of each


@dataclass(frozen=True)
class Trained:
    """A saved model and what was scored on the way by fits that had not seen it."""

    manifest: artifact.Manifest
    examples: list[Example]
    targets: np.ndarray  # int64 (n_examples,), scheme columns
    scores: np.ndarray  # float32 (n_examples, n_schemes), before the temperature


def ordered(
    examples: Sequence[Example], groups: np.ndarray | None = None
) -> tuple[list[Example], np.ndarray]:
    """Examples in the order of their ids and their near-duplicate groups (each its own by default)."""
    order = sorted(range(len(examples)), key=lambda i: examples[i].id)
    groups = np.arange(len(examples)) if groups is None else groups
    return [examples[i] for i in order], groups[order]


def material(
    examples: Sequence[Example],
    taxonomy: Taxonomy,
    settings: fit.Settings,
    folds: int = FOLDS,
    groups: np.ndarray | None = None,
    targets: np.ndarray | None = None,
) -> Material:
    """Sort examples, alter copies, and give every batch to one fold, large batches first, evenly.

    Without `targets` (n_examples,), those for the examples in order, all must have a scheme.
    """
    known, groups = ordered(examples, groups)
    if targets is None:
        column = {scheme: i for i, scheme in enumerate(taxonomy.scheme_ids)}
        targets = np.array([column[str(example.scheme)] for example in known])
    batches = [example.batch for example in known]
    sizes = Counter(batches)
    filled = [0] * folds
    home: dict[str, int] = {}
    for batch in sorted(sizes, key=lambda b: (-sizes[b], b)):
        home[batch] = filled.index(min(filled))
        filled[home[batch]] += sizes[batch]
    return Material(
        known, targets, batches, np.array([home[b] for b in batches]),
        alter.copies(known, settings.copies, settings.seed, FEW), groups,
        words.distil([example.text for example in known]),
    )  # fmt: skip


def fit_once(
    stuff: Material,
    chosen: np.ndarray,
    taxonomy: Taxonomy,
    table: Fold,
    vocabulary: Vocabulary,
    settings: fit.Settings,
    watch: Callable[[int, float], None] | None = None,
) -> fit.Fitted:
    """Fit the chosen examples (indices) and what belongs to them."""
    known = [stuff.examples[i] for i in chosen]
    copies = [stuff.copies[i] for i in chosen]
    named = len(stuff.examples) >= cues.MANY
    rows = cues.beside(known, stuff.targets[chosen], copies, taxonomy, settings, named)
    seen = words.emit([example.text for example in known], table, vocabulary.table())
    moved = meaning.adjust(vocabulary, seen, stuff.meanings[chosen], settings.ridge)
    fitted = fit.fit(*rows, np.array(taxonomy.category_index), table, moved, settings, watch)
    return _cautious(fitted, taxonomy, settings)


def _cautious(fitted: fit.Fitted, taxonomy: Taxonomy, settings: fit.Settings) -> fit.Fitted:
    """The fit with "not a fraud" held back, for a missed fraud costs more than a false alarm."""
    harmless = np.array(taxonomy.category_ids)[np.array(taxonomy.category_index)] == calibrate.HARMLESS
    return replace(fitted, bias=fitted.bias - np.float32(settings.caution) * harmless)


def held_out_scores(
    stuff: Material,
    taxonomy: Taxonomy,
    table: Fold,
    vocabulary: Vocabulary,
    settings: fit.Settings,
    keep: Path | None = None,
) -> np.ndarray:
    """Scores float32 (n_examples, n_schemes) of every example by a fit without its batch.

    Nor does that fit see a near-duplicate of it from another batch. The fits go side by side, one on a
    core. What is in the folder `keep` is not done again.
    """
    scores = np.empty((len(stuff.examples), len(taxonomy.scheme_ids)), np.float32)
    n_folds = int(stuff.folds.max()) + 1
    parts = Parallel(n_jobs=-1 if len(stuff.examples) > FEW else 1, return_as="generator")(
        delayed(_of_fold)(stuff, k, taxonomy, table, vocabulary, settings, keep) for k in range(n_folds)
    )
    with bars.step("score every batch by a fit without it", n_folds) as move, warnings.catch_warnings():
        # A process whose memory grew by what a fit takes is begun anew; that is as it should be.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs were given")
        for k, part in enumerate(parts):
            scores[stuff.folds == k] = part
            move(k + 1)
    return scores


def _of_fold(
    stuff: Material, k: int, taxonomy: Taxonomy, table: Fold, vocabulary: Vocabulary, settings: fit.Settings,
    keep: Path | None,
) -> np.ndarray:  # fmt: skip
    """Scores of the examples of fold `k` by a fit of the others."""
    path = keep / f"fold-{k}.npy" if keep else None
    if path and path.is_file():
        return np.asarray(np.load(path, allow_pickle=False))
    outside = np.flatnonzero(stuff.folds == k)
    near = np.isin(stuff.groups, stuff.groups[outside])
    inside = np.flatnonzero((stuff.folds != k) & ~near)
    fitted = fit_once(stuff, inside, taxonomy, table, vocabulary, settings)
    texts = [stuff.examples[i].text for i in outside]
    found = fitted.scores(words.emit(texts, table, vocabulary.table()))
    if path:
        _save_array(path, found)
    return found


def _save_array(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.stem}.{os.getpid()}.new.npy")
    np.save(beside, array)
    beside.replace(path)


def train(
    examples: Sequence[Example],
    taxonomy: Taxonomy,
    folder: Path,
    settings: fit.Settings,
    corpora: Mapping[str, str],
    groups: np.ndarray | None = None,
    keep: Path | None = None,
) -> Trained:
    """Fit, calibrate and save; `corpora` (name -> sha256) goes into the manifest.

    `groups` (n_examples,) are near-duplicates; `keep` is a folder from which a run that was broken off
    goes on.
    """
    table = fold.make()
    many = len(examples) > bulk.LEAST
    known, groups = ordered(examples, groups)
    some = known[:: len(known) // bulk.SAMPLE + 1] if many else known
    with bars.step("words and their meanings"):
        vocabulary = words.make([example.text for example in some], table)
        targets = guess.columns(known, cues.listed(taxonomy), taxonomy, table, vocabulary, settings)
    way = _in_bulk if many else _in_folds
    fitted, at, scores = way(known, targets, groups, taxonomy, table, vocabulary, settings, keep)
    held = [known[i] for i in at]
    with bars.step("calibrate"):
        calibration = calibrate.calibrate(scores, held, taxonomy, balance=settings.balance)
    manifest = artifact.Manifest(
        version=RELEASE,
        taxonomy=taxonomy.version,
        schemes=tuple(taxonomy.scheme_ids),
        scheme_threshold=SCHEME_SURE,
        sharpening=settings.sharpening,
        trained_on={
            "corpora": dict(corpora),
            "examples": len(known),
            "batches": len({e.batch for e in known}),
            "settings": asdict(settings),
        },
        **calibration,
    )
    arrays = fitted.tables() | fold.pack(table.targets, table.kinds)
    manifest = artifact.save(folder, manifest, arrays)
    heldout.save(folder, held, scores, manifest, taxonomy)
    return Trained(manifest, held, targets[at], scores)


Way = tuple[fit.Fitted, np.ndarray, np.ndarray]  # a fit; which rows were held out, and their scores


def _in_folds(
    known: list[Example], targets: np.ndarray, groups: np.ndarray, taxonomy: Taxonomy, table: Fold,
    vocabulary: Vocabulary, settings: fit.Settings, keep: Path | None,
) -> Way:  # fmt: skip
    """Every row is scored by a fit without its batch; the model is fitted on all."""
    with bars.step("altered copies, and the meanings of whole texts"):
        stuff = material(known, taxonomy, settings, groups=groups, targets=targets)
    scores = held_out_scores(stuff, taxonomy, table, vocabulary, settings, keep)
    with bars.step("fit on everything", settings.steps) as move:
        fitted = fit_once(
            stuff, np.arange(len(known)), taxonomy, table, vocabulary, settings, lambda step, loss: move(step)
        )
    return fitted, np.arange(len(known)), scores


def _in_bulk(
    known: list[Example], targets: np.ndarray, groups: np.ndarray, taxonomy: Taxonomy, table: Fold,
    vocabulary: Vocabulary, settings: fit.Settings, keep: Path | None,
) -> Way:  # fmt: skip
    """A tenth of the rows, whole batches, is held out of the one fit; of very many there are no copies."""
    wanted = min(int(HELD_SHARE * len(known)), MOST_HELD)
    sizes = Counter(example.batch for example in known)
    out: set[str] = set()
    for batch in sorted(sizes, key=_place):
        if wanted <= 0:
            break
        if sizes[batch] <= wanted:
            out.add(batch)
            wanted -= sizes[batch]
    held = np.array([example.batch in out for example in known])
    at = np.flatnonzero(held)
    inside = np.flatnonzero(~held & ~np.isin(groups, groups[at]))
    some = [known[i] for i in inside]
    copies: Sequence[Sequence[str]] = [()] * len(some)
    if len(some) <= MOST_COPIED:
        with bars.step("altered copies"):
            copies = alter.copies(some, settings.copies, settings.seed, FEW)
    rows = cues.beside(some, targets[inside], copies, taxonomy, settings, named=True)
    fitted = bulk.fit_all(*rows, np.array(taxonomy.category_index), table, vocabulary, settings)
    fitted = _cautious(fitted, taxonomy, settings)
    scores = bulk.scores(fitted, [known[i].text for i in at], table)
    return fitted, at, scores


def _place(batch: str) -> str:
    """A place in an order of batches that new batches do not change."""
    return hashlib.sha256(batch.encode()).hexdigest()


def recalibrate(home: Path, examples: Sequence[Example], folder: Path) -> artifact.Manifest:
    """Save the model in `home` again, calibrated on these examples instead, without a fit."""
    classifier = load(home)
    scores = classifier.scores([e.text for e in examples])[0][:, : len(classifier.manifest.schemes)]
    known = calibrate.calibrate(scores, examples, classifier.taxonomy)
    manifest = replace(classifier.manifest, **known)
    saved = artifact.save(folder, manifest, artifact.load(home)[1])
    own = home / artifact.TAXONOMY
    if own.is_file():
        (folder / artifact.TAXONOMY).write_bytes(own.read_bytes())
    return saved
