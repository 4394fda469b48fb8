"""A taxonomy of the labels that were found: loadable whatever they are called, the same each time."""

from pathlib import Path

import pytest

from model import taxonomy
from training import mine
from training.corpora import CorpusError


def made(folder: Path, labels: list[str]) -> taxonomy.Taxonomy:
    """The taxonomy that is made of labels, loaded."""
    path = folder / "taxonomy.toml"
    path.write_text(mine.make(labels), "utf-8")
    return taxonomy.load(path)


def test_labels_of_any_kind_become_categories(tmp_path: Path) -> None:
    """Spaces, quotes, Chinese, line breaks, long and clashing labels all load, each with its own id."""
    kinds = [
        "Loan fraud",
        "刷单诈骗",
        'say "no"\\now',
        "two\nlines",
        "x" * 99,
        "x" * 98 + "y",
        "x",
        "x all",
        "A-b",
        "a b",
    ]
    tree = made(tmp_path, kinds * 3)
    walk = tree.crosswalks[mine.CROSSWALK].labels
    assert set(walk) == {kind.strip() for kind in kinds}
    assert len({target.category for target in walk.values()}) == len(kinds) == len(tree.scheme_ids)
    assert made(tmp_path, kinds[::-1] * 5) == tree


def test_spellings_are_one_category_and_rare_labels_none(tmp_path: Path) -> None:
    """Case and spaces do not make a category; a label on two rows is left out."""
    tree = made(tmp_path, ["Loan", "loan ", "LOAN", "job", "job", "job", "rare", "rare", "", "  "])
    assert tree.category_ids == ("job", "loan")
    assert set(tree.crosswalks[mine.CROSSWALK].labels) == {"Loan", "loan", "LOAN", "job"}


def test_the_wrong_column_is_noticed() -> None:
    """One label, or far too many, are refused without naming any."""
    for labels in (["a"] * 9, [f"kestrel {n}" for n in range(300)] * 3):
        with pytest.raises(CorpusError, match="column of the labels") as caught:
            mine.make(labels)
        assert "kestrel" not in str(caught.value)
