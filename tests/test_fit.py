"""The fit: compiled tables answer as the uncompiled model does."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import SMALL

import model
from model import kernel
from model.kernel import Fold
from training import fit, words

TEXTS = [text for known in SMALL.values() for text in known]
NEW = [
    "he asked a fee before the loan",
    "海关说我的包裹有问题",
    "退货 refund refused by the shop",
    "zzz 龘",
]


def test_compiled_scores_are_within_the_rounding(fitted: fit.Fitted, small_model: Path, table: Fold) -> None:
    """Each score is within the bound: per row added half a step of int8 and what was clipped."""
    classifier = model.load(small_model)
    texts = [*TEXTS, *NEW, " ".join([TEXTS[0]] * 6)]
    seen = words.emit(texts, table, fitted.features.vocabulary.table())
    exact = fitted.scores(seen)
    compiled = classifier.scores(texts)[0][:, : exact.shape[1]]
    n_grams = fitted.features.keys.size
    grams = fitted.weights[:n_grams] * fitted.features.idf[:, None]
    clipped = np.abs(grams) - 127 * fit.quantise(grams)[1]
    vectors = fitted.features.vocabulary.vectors
    meanings = fitted.features.meaning_scale * (vectors @ fitted.weights[n_grams:])
    over = np.abs(meanings) - 127 * fit.quantise(meanings)[1]
    gram_step = fit.quantise(grams)[1] / 2 + np.maximum(clipped.max(axis=0), 0)
    word_step = fit.quantise(meanings)[1] / 2 + np.maximum(over.max(axis=0), 0)
    known = np.isin(seen.keys, fitted.features.keys)
    n_added = np.add.reduceat(known, np.append(0, seen.key_ends[:-1]))
    factors = (seen.lengths / kernel.USUAL_TOKENS) ** fitted.sharpening
    bound = factors[:, None] * (np.sqrt(n_added)[:, None] * gram_step + word_step) + 1e-4
    assert (np.abs(compiled - exact) <= bound).all()
    assert (compiled.argmax(axis=1) == exact.argmax(axis=1)).all()


def test_rounding_keeps_all_but_outliers() -> None:
    """A rounded row times its scale is within half a step, outliers are clipped."""
    rows = np.random.default_rng(0).normal(size=(5000, 4)).astype(np.float32)
    rounded, scale = fit.quantise(rows, 0.0)
    assert rounded.dtype == np.int8
    assert (np.abs(rounded * scale - rows) <= scale / 2 + 1e-6).all()


def test_rounding_keeps_the_weights_that_tell_most() -> None:
    """Of weights as a fit has them, many small ones and few large ones, the largest are hardly clipped."""
    chance = np.random.default_rng(3)
    rows = (chance.laplace(size=(120_000, 2)) * chance.lognormal(sigma=0.5, size=(120_000, 2))).astype(
        np.float32
    )
    rounded, scale = fit.quantise(rows)
    largest = np.abs(rows) > np.quantile(np.abs(rows), 0.9995)
    assert np.abs((rounded * scale)[largest]).sum() / np.abs(rows[largest]).sum() > 0.97


def test_a_word_never_seen_has_a_meaning(table: Fold) -> None:
    """A word outside the examples scores as its vector says: the row is the vector times the head."""
    generator = np.random.default_rng(1)
    chosen = ["loan", "borrowing", "parcel", "package", "fee", "customs"]
    vectors = generator.normal(size=(3, 32)).astype(np.float32)
    vectors = np.concatenate(
        [vectors[:1], vectors[:1], vectors[1:2], vectors[1:2], vectors[2:], -vectors[2:]]
    )
    texts = ["loan fee", "parcel customs"] * 4
    vocabulary = words.vocabulary(chosen, np.full(6, 1e-4), texts, table, vectors)
    settings = fit.Settings(least_texts=1, least_batches=1, steps=60)
    found = fit.fit(
        texts, np.array([0, 1] * 4), ["a"] * 8, np.ones(8), np.arange(2), table, vocabulary, settings
    )
    scores = found.scores(words.emit(["borrowing", "package"], table, vocabulary.table()))
    assert (scores - found.bias).argmax(axis=1).tolist() == [0, 1]


def test_an_ngram_of_one_hand_is_left_out(table: Fold) -> None:
    """An n-gram that stands in one batch only is not a feature."""
    vocabulary = words.vocabulary([], np.empty(0), [], table, np.empty((0, 8), np.float32))
    seen = words.emit(["shared habit", "shared habit", "shared"], table, vocabulary.table())
    chosen = fit.choose_features(seen, np.array([0, 1, 1]), ["a", "a", "b"], vocabulary, fit.Settings())
    alone = words.emit(["habit"], table, vocabulary.table())
    assert not set(chosen.keys.tolist()) & set(alone.keys.tolist())
    assert chosen.keys.size > 0


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_the_examples_of_rare_categories_weigh_more(balance: float) -> None:
    """An example weighs by how many its category has, whatever its scheme, and one on average."""
    targets = np.array([0] * 80 + [1] * 10 + [2] * 10)
    weights = fit.balanced(targets, np.array([0, 0, 1, 2]), balance)
    assert weights.mean() == pytest.approx(1)
    assert weights[0] == weights[80]
    assert weights[90] / weights[0] == pytest.approx(9**balance)


def test_schemes_of_a_category_weigh_the_same_beside_each_other() -> None:
    """The rarer a scheme, the more of its examples' loss asks for it; over a category it is the mean."""
    targets = np.array([0] * 80 + [1] * 20 + [2] * 7)
    found = fit.shares(targets, np.array([0, 0, 1, 1]), 0.1)
    assert found[1] / found[0] == pytest.approx(4)
    assert found[targets[:100]].mean() == pytest.approx(0.1)
    assert found[2] == pytest.approx(0.1)
    assert fit.shares(targets, np.arange(3), 1.0).tolist() == [1.0] * 3


def test_what_a_text_repeats_or_we_do_not_know_takes_nothing_away(fitted: fit.Fitted, table: Fold) -> None:
    """Strange words beside a text leave the scores of its n-grams as they were."""
    known = fitted.features.vocabulary.table()
    alone, beside = (
        fitted.features.grams(words.emit([text], table, known))
        for text in (TEXTS[0], TEXTS[0] + " zzqx vvqj")
    )
    assert alone.nnz
    assert (alone != beside).nnz == 0


def test_an_ngram_that_all_categories_have_tells_nothing() -> None:
    """What an n-gram tells grows with how much one category has of it, and with how often it was seen."""
    counts = np.array([[500, 900, 9], [500, 100, 1]])
    found = fit.told(counts, np.array([1000, 1000]))
    assert found[0] == pytest.approx(0, abs=1e-6)
    assert found[0] < found[2] < found[1]


def test_ngrams_weigh_by_their_size(table: Fold, monkeypatch: pytest.MonkeyPatch) -> None:
    """An n-gram's weight goes by its number of tokens, or that it is of letters; of few texts it does not."""
    vocabulary = words.vocabulary([], np.empty(0), [], table, np.empty((0, 8), np.float32))
    seen = words.emit(["shared habit", "shared habit"], table, vocabulary.table())
    truths, batches = np.array([0, 1]), ["a", "b"]
    flat = fit.Settings(sizes=(1.0, 1.0, 1.0, 1.0, 1.0), telling=0.0)
    even = fit.choose_features(seen, truths, batches, vocabulary, flat)
    sized = replace(flat, sizes=(0.5, 2.0, 1.0, 1.0, 1.0))
    few = fit.choose_features(seen, truths, batches, vocabulary, sized)
    assert few.idf.tolist() == even.idf.tolist()
    monkeypatch.setattr(fit, "WEIGHED", 0)
    uneven = fit.choose_features(seen, truths, batches, vocabulary, sized)
    ratio = uneven.idf / even.idf
    sizes = dict(zip(seen.keys.tolist(), seen.sizes.tolist(), strict=True))
    of = [sizes[key] for key in even.keys.tolist()]
    assert sorted(set(of)) == [0, 1, 2]
    one = ratio[of.index(2)]
    assert ratio / one == pytest.approx([sized.sizes[size] for size in of])
