"""Training: folds keep batches whole, a desk's reviews recalibrate a model without a fit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import model
from model import fold
from model.taxonomy import Taxonomy
from tests.conftest import PLOTS, stories
from training import alter, bulk, corpora, cues, fit, train, words
from training.__main__ import app
from training.corpora import Example


def examples(n: int) -> list[Example]:
    """Examples of two schemes in batches of uneven size."""
    return [
        Example(
            f"{i:03d}", f"text number {i} about a loan", "fake_loan",
            ("loan_upfront_fee", "fake_credit_card")[i % 2], None, "en", "Latn", "victim", f"b{i % 7 % 4}",
        )
        for i in range(n)
    ]  # fmt: skip


def test_a_batch_never_straddles_folds(tree: Taxonomy) -> None:
    """All examples of a batch are held out together, and the order of the input does not matter."""
    known = examples(60)
    one = train.material(known, tree, fit.Settings(), folds=3)
    two = train.material(known[::-1], tree, fit.Settings(), folds=3)
    for batch in set(one.batches):
        assert len(set(one.folds[[b == batch for b in one.batches]])) == 1
    assert one.copies == two.copies
    assert (one.folds == two.folds).all()


def test_the_cues_of_every_scheme_are_weak_examples(tree: Taxonomy) -> None:
    """The taxonomy's own words are fitted beside the corpus, for every scheme."""
    assert {column for _, column in cues.listed(tree)} == set(range(len(tree.scheme_ids)))


def test_not_fraud_is_held_back(tree: Taxonomy, small_words: None) -> None:
    """The scores of schemes that are no fraud are lower by the caution of the settings, all others alike."""
    known = examples(40)
    table = fold.make()
    vocabulary = words.make([e.text for e in known], table)
    stuff = train.material(known, tree, fit.Settings(), folds=2)
    rows = words.emit([e.text for e in known[:5]], table, vocabulary.table())
    plain, held = (
        train.fit_once(
            stuff, np.arange(40), tree, table, vocabulary, fit.Settings(caution=caution, sharpening=0)
        ).scores(rows)
        for caution in (0.0, 0.5)
    )
    harmless = np.array([tree.category_ids[c] == "not_fraud" for c in tree.category_index])
    assert np.allclose(plain - held, 0.5 * harmless, atol=1e-5)


def test_a_fit_sees_copies_and_names_beside_the_examples(tree: Taxonomy) -> None:
    """Copies have the scheme and the batch of their example and weigh less, as do cues and names."""
    known = examples(4)
    targets = np.array([tree.scheme_ids.index(str(example.scheme)) for example in known])
    copies = [[f"copy of {example.id}"] for example in known]
    texts, columns, batches, weights = cues.beside(known, targets, copies, tree, fit.Settings(), True)
    at = texts.index("copy of 003")
    assert (columns[at], batches[at], weights[at]) == (targets[3], known[3].batch, cues.COPY_WEIGHT)
    named = texts.index(alter.names("fake_credit_card")[0])
    assert tree.scheme_ids[columns[named]] == "fake_credit_card"
    assert (weights[:8] == [1, cues.COPY_WEIGHT] * 4).all()
    assert (weights[8:] == fit.Settings.cue_weight).all()
    fewer = cues.beside(known, targets, [()] * 4, tree, fit.Settings(), False)[0]
    assert set(fewer) < set(texts)
    assert not set(alter.names("fake_credit_card")) & set(fewer)


def test_many_examples_are_fitted_at_once(
    tmp_path: Path, tree: Taxonomy, small_words: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above the limit a model is fitted in one go, calibrated on whole batches that the fit did not see, and
    tells the schemes apart."""
    monkeypatch.setattr(bulk, "LEAST", 100)
    column = {scheme: known.id for known in tree.categories for scheme in (s.id for s in known.schemes)}
    known = [
        Example(f"{plot}{i}", text, column[plot], plot, None, "en", "Latn", "victim", f"b{i % 12}")
        for plot in PLOTS
        if plot in column
        for i, text in enumerate(stories(plot, 60))
    ]
    found = train.train(known, tree, tmp_path, fit.Settings(), {})
    held = {example.batch for example in found.examples}
    assert 0 < len(found.examples) <= len(known) / 10
    assert sum(example.batch in held for example in known) == len(found.examples)
    said = model.load(tmp_path).classify([example.text for example in found.examples])
    right = [one.category == example.category for one, example in zip(said, found.examples, strict=True)]
    assert sum(right) > 0.9 * len(right)


def test_reviews_recalibrate_without_a_fit(tmp_path: Path, small_model: Path) -> None:
    """`calibrate --reviews` writes a model with the same tables and other thresholds, in seconds."""
    texts = {
        "fake_loan": "paid a processing fee for the loan and the loan never came, case {}",
        "law_enforcement_impersonation": "parcel with drugs at customs, police on the call, case {}",
    }
    reviews = tmp_path / "reviews.jsonl"
    rows = [{"text": text.format(i), "category": c} for c, text in texts.items() for i in range(80)]
    reviews.write_text("".join(json.dumps(row) + "\n" for row in rows))
    output = tmp_path / "desk"
    done = subprocess.run(
        [sys.executable, "-m", "training", "calibrate", "--reviews", str(reviews), "--output", str(output)],
        capture_output=True, text=True, timeout=120, check=False,
        env=os.environ | {"RUSE_MODELS": str(small_model)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    before, after = model.load(small_model), model.load(output)
    assert after.manifest.version != before.manifest.version
    assert (before.tables.grams == after.tables.grams).all()
    assert after.manifest.thresholds["fake_loan"] < 1 < after.manifest.thresholds["romance"]
    candidates = after.candidates([rows[0]["text"]])[0]
    assert candidates[0] == "fake_loan"
    assert after.manifest.calibration["prior"]["fake_loan"] == 80
    assert np.isfinite(after.manifest.temperature)


def test_a_run_goes_on_from_what_it_kept(tmp_path: Path, small_words: None) -> None:
    """With `--keep` the same run does not score again, and one with other examples or settings does."""
    table = tmp_path / "corpora.toml"
    own = tmp_path / "own"
    table.write_text(
        f'[[corpus]]\nname = "own"\npath = "{own}"\nuse = "fit"\nlicence = "mine"\norigin = "a test"\n'
    )
    known = examples(60)
    versions, kept = [], []
    for more, steps in ((0, 3), (0, 3), (5, 3), (0, 4)):
        corpora.write(known[: 50 + more], own)
        arguments = ["--corpora", str(table), "--steps", str(steps), "--keep", str(tmp_path / "kept")]
        done = CliRunner().invoke(app, ["train", "--output", str(tmp_path / "model"), *arguments])
        assert done.exit_code == 0, done.output
        versions.append(done.stdout.split()[0])
        kept.append({path: path.stat().st_mtime_ns for path in tmp_path.glob("kept/*/fold-*.npy")})
    assert versions[0] == versions[1]
    assert len(set(versions)) == 3
    assert kept[0]
    assert kept[0] == kept[1]
    assert kept[0].items() < kept[2].items() < kept[3].items()
