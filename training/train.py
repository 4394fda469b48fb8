"""Train: from corpora to a saved model, calibrated on batches that its folds did not see."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from model import artifact, fold
from model.classifier import load
from model.kernel import Fold
from model.taxonomy import Taxonomy
from training import alter, calibrate, fit, words
from training.corpora import Example
from training.words import Vocabulary

RELEASE = "1.0.0"
FOLDS = 5
SCHEME_SURE = 0.6  # least share of its category's probability
COPY_WEIGHT = 0.5


@dataclass(frozen=True)
class Material:
    """Examples ready to fit: own texts and what is fitted beside them."""

    examples: list[Example]
    targets: np.ndarray  # int64 (n_examples,), scheme columns
    batches: list[str]
    folds: np.ndarray  # int64 (n_examples,): the fold that holds the example's batch out
    copies: list[list[str]]  # altered copies of each example


def material(
    examples: Sequence[Example], taxonomy: Taxonomy, settings: fit.Settings, folds: int = FOLDS
) -> Material:
    """Sort examples, alter copies, and give every batch to one fold, large batches first, evenly."""
    known = sorted((e for e in examples if e.scheme), key=lambda e: e.id)
    column = {scheme: i for i, scheme in enumerate(taxonomy.scheme_ids)}
    batches = [example.batch for example in known]
    sizes = {batch: batches.count(batch) for batch in set(batches)}
    filled = [0] * folds
    home: dict[str, int] = {}
    for batch in sorted(sizes, key=lambda b: (-sizes[b], b)):
        home[batch] = filled.index(min(filled))
        filled[home[batch]] += sizes[batch]
    return Material(
        known,
        np.array([column[str(example.scheme)] for example in known]),
        batches,
        np.array([home[batch] for batch in batches]),
        _copies(known, settings),
    )


def _copies(examples: Sequence[Example], settings: fit.Settings) -> list[list[str]]:
    seeds = [[f"{settings.seed}:{k}:{e.id}" for k in range(settings.copies)] for e in examples]
    parts = Parallel(n_jobs=-1 if len(examples) > 1000 else 1, batch_size=500)(
        delayed(_altered)(e.text, own, e.category != calibrate.HARMLESS)
        for e, own in zip(examples, seeds, strict=True)
    )
    return list(parts)


def _altered(text: str, seeds: Sequence[str], fraud: bool) -> list[str]:
    return [alter.copy(text, seed, fraud) for seed in seeds]


def cues(taxonomy: Taxonomy) -> list[tuple[str, int]]:
    """The taxonomy's own words as weak examples: (text, scheme column)."""
    schemes = [scheme for category in taxonomy.categories for scheme in category.schemes]
    return [(cue, column) for column, scheme in enumerate(schemes) for cue in scheme.cues]


def fit_once(
    stuff: Material,
    chosen: np.ndarray,
    taxonomy: Taxonomy,
    table: Fold,
    vocabulary: Vocabulary,
    settings: fit.Settings,
    watch: Callable[[int, float], None] | None = None,
) -> fit.Fitted:
    """Fit the chosen examples (indices), their altered copies and the taxonomy's cues."""
    texts, targets, batches, weights = [], [], [], []
    for i in chosen:
        example = stuff.examples[i]
        texts.append(example.text)
        weights.append(1.0)
        texts += stuff.copies[i]
        weights += [COPY_WEIGHT] * settings.copies
        targets += [int(stuff.targets[i])] * (settings.copies + 1)
        batches += [example.batch] * (settings.copies + 1)
    for cue, column in cues(taxonomy):
        texts.append(cue)
        targets.append(column)
        batches.append("taxonomy")
        weights.append(settings.cue_weight)
    return fit.fit(
        texts, np.array(targets), batches, np.array(weights), len(taxonomy.scheme_ids),
        table, vocabulary, settings, watch,
    )  # fmt: skip


def held_out_scores(
    stuff: Material,
    taxonomy: Taxonomy,
    table: Fold,
    vocabulary: Vocabulary,
    settings: fit.Settings,
    watch: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Scores float32 (n_examples, n_schemes) of every example by a fit without its batch."""
    scores = np.empty((len(stuff.examples), len(taxonomy.scheme_ids)), np.float32)
    for k in range(int(stuff.folds.max()) + 1):
        inside = np.flatnonzero(stuff.folds != k)
        outside = np.flatnonzero(stuff.folds == k)
        fitted = fit_once(stuff, inside, taxonomy, table, vocabulary, settings)
        texts = [stuff.examples[i].text for i in outside]
        scores[outside] = fitted.scores(words.emit(texts, table, vocabulary.table()))
        if watch:
            watch(k)
    return scores


def train(
    examples: Sequence[Example],
    taxonomy: Taxonomy,
    folder: Path,
    settings: fit.Settings,
    corpora: dict[str, str],
    say: Callable[[str], None] = lambda line: None,
) -> artifact.Manifest:
    """Fit, calibrate and save; `corpora` (name -> sha256) goes into the manifest."""
    stuff = material(examples, taxonomy, settings)
    table = Fold(*fold.make())
    say(f"{len(stuff.examples)} examples in {len(set(stuff.batches))} batches; distilling words")
    vocabulary = words.make([example.text for example in stuff.examples], table)
    say(f"{vocabulary.keys.size} words; scoring every batch by a fit without it")
    scores = held_out_scores(
        stuff, taxonomy, table, vocabulary, settings, lambda k: say(f"  fold {k + 1} done")
    )
    known = calibrate.calibrate(scores, stuff.examples, taxonomy)
    say(f"temperature {known['temperature']:.3f}; fitting on everything")
    fitted = fit_once(
        stuff, np.arange(len(stuff.examples)), taxonomy, table, vocabulary, settings,
        lambda step, loss: say(f"  step {step}: loss {loss:.5f}") if step % 25 == 0 else None,
    )  # fmt: skip
    manifest = artifact.Manifest(
        version=RELEASE,
        taxonomy=taxonomy.version,
        schemes=tuple(taxonomy.scheme_ids),
        scheme_threshold=SCHEME_SURE,
        trained_on={
            "corpora": corpora,
            "examples": len(stuff.examples),
            "batches": len(set(stuff.batches)),
            "settings": asdict(settings),
        },
        **known,
    )
    arrays = fitted.tables() | fold.pack(table.targets, table.kinds)
    return artifact.save(folder, manifest, arrays)


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
