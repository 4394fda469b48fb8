"""training.meaning: word vectors moved towards what the encoder makes of whole texts."""

from dataclasses import replace

import numpy as np

from model.kernel import Fold
from training import fit, meaning, words

TEXTS = ["parcel fee bank", "parcel court bank", "fee court police", "bank police parcel"] * 10


def made(table: Fold) -> tuple[words.Vocabulary, words.Emitted]:
    """A vocabulary with vectors by chance, and what the kernel sees of the texts."""
    chosen = sorted(set(" ".join(TEXTS).split()))
    vectors = np.random.default_rng(0).normal(size=(len(chosen), 4)).astype(np.float32)
    known = words.vocabulary(chosen, np.full(len(chosen), 1e-4), TEXTS, table, vectors)
    known = replace(known, axes=np.eye(4, dtype=np.float32))
    return known, words.emit(TEXTS, table, known.table())


def distance(known: words.Vocabulary, seen: words.Emitted, wanted: np.ndarray) -> float:
    """How far the means are from what is wanted, both centred, and the latter as large as the means were."""
    found = fit.means(seen, known)
    return float(np.linalg.norm(found - found.mean(axis=0) - wanted))


def test_means_come_nearer_to_the_meanings(table: Fold) -> None:
    """The less the ridge holds, the nearer the means of the texts come; a great ridge moves nothing."""
    known, seen = made(table)
    meanings = np.random.default_rng(1).normal(size=(4, 4)).astype(np.float32)[np.arange(len(TEXTS)) % 4]
    means = fit.means(seen, known)
    wanted = meanings - meanings.mean(axis=0)
    wanted *= np.linalg.norm(means - means.mean(axis=0)) / np.linalg.norm(wanted)
    found = [distance(meaning.adjust(known, seen, meanings, ridge), seen, wanted) for ridge in (1e6, 1, 0.01)]
    assert found[0] > found[1] > found[2]
    assert abs(found[0] - distance(known, seen, wanted)) < 1e-3


def test_what_conjugate_gradients_find_solves_the_ridge_regression(table: Fold) -> None:
    """The change of the vectors is that of the normal equations, solved exactly."""
    known, seen = made(table)
    meanings = np.random.default_rng(2).normal(size=(len(TEXTS), 4)).astype(np.float32)
    moved = meaning.adjust(known, seen, meanings, 0.5).vectors - known.vectors
    mixture = fit.mixture(seen, known).toarray().astype(float)
    before = mixture @ known.vectors
    before -= before.mean(axis=0)
    wanted = meanings - meanings.mean(axis=0)
    wanted *= np.linalg.norm(before) / np.linalg.norm(wanted)
    exact = np.linalg.solve(mixture.T @ mixture + 0.5 * np.eye(len(moved)), mixture.T @ (wanted - before))
    assert np.allclose(moved, exact, atol=1e-3)


def test_without_texts_or_axes_nothing_moves(table: Fold) -> None:
    """A vocabulary without axes, or no text, leaves the vectors as they are."""
    known, seen = made(table)
    assert meaning.adjust(known, seen, np.empty((0, 4), np.float32), 0.1) is known
    bare = replace(known, axes=None)
    assert meaning.adjust(bare, seen, np.ones((len(TEXTS), 4), np.float32), 0.1) is bare
