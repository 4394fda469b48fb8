"""Guessing schemes where only the category is known."""

from dataclasses import replace

from conftest import stories

from model import taxonomy
from model.kernel import Fold
from training import cues, fit, guess, words
from training.corpora import Example


def test_schemes_are_guessed_inside_the_category(
    small_words: None, table: Fold, tree: taxonomy.Taxonomy
) -> None:
    """Rows without a scheme get one of their own category, mostly the right one; the others keep theirs."""
    known = [
        Example(f"{kind}{i}", text, category, kind, batch=str(i % 4))
        for kind, category in (
            ("parcel_case", "law_enforcement_impersonation"),
            ("consumer_dispute", "not_fraud"),
            ("loan_upfront_fee", "fake_loan"),
        )
        for i, text in enumerate(stories(kind, 20))
    ]
    examples = [replace(e, scheme=None) if i % 2 else e for i, e in enumerate(known)]
    vocabulary = words.make([e.text for e in known], table)
    columns = guess.columns(examples, cues.listed(tree), tree, table, vocabulary, fit.Settings())
    names = [tree.scheme_ids[column] for column in columns]
    assert all(name == e.scheme for name, e in zip(names, examples, strict=True) if e.scheme)
    homes = [tree.category_ids[tree.category_index[column]] for column in columns]
    assert homes == [e.category for e in known]
    assert sum(name == e.scheme for name, e in zip(names, known, strict=True)) > 0.9 * len(known)
