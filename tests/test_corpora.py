"""Corpora: what may be fitted, faults with file and line, filing of batches."""

import json
from pathlib import Path

import pytest

from model.taxonomy import Taxonomy
from training import batches, corpora
from training.corpora import Corpus, CorpusError, Example

GOOD = {
    "id": "a",
    "text": "they took a fee for the loan",
    "scheme": "loan_upfront_fee",
    "batch": "x",
}


def corpus(folder: Path, *lines: str | bytes, use: str = "fit") -> Corpus:
    """A corpus of one file."""
    path = folder / "some.jsonl"
    path.write_bytes(b"\n".join(x if isinstance(x, bytes) else x.encode() for x in lines) + b"\n")
    return Corpus("some", path, use, "Apache-2.0", "a test")


def test_all_faults_are_named_at_once(tmp_path: Path, tree: Taxonomy) -> None:
    """Every bad row is reported with its file and line, none with its text."""
    bad = corpus(
        tmp_path,
        json.dumps(GOOD),
        "{",
        b'{"text": "\xff"}',
        json.dumps(GOOD | {"text": "secret words", "scheme": "no_such"}),
        json.dumps({"text": "secret words", "category": "no_such"}),
        json.dumps(GOOD | {"text": "  "}),
        json.dumps(GOOD),
        json.dumps(GOOD | {"text": "another", "second": "no_such"}),
    )
    with pytest.raises(CorpusError) as caught:
        corpora.read(bad, tree)
    assert [fault.split(":")[1] for fault in caught.value.faults] == list("2345678")
    assert "secret" not in str(caught.value)


def test_a_measured_corpus_never_enters_a_fit(tmp_path: Path, tree: Taxonomy) -> None:
    """A corpus marked for measuring only is refused by name."""
    with pytest.raises(CorpusError, match="measuring only"):
        corpora.fit_examples([corpus(tmp_path, json.dumps(GOOD), use="measure")], tree)


def test_every_measured_set_is_marked_so() -> None:
    """Whatever lies outside the checkout is listed for measuring only."""
    for known in corpora.listed().values():
        assert known.use == ("fit" if known.name == "own" else "measure")


def test_a_changed_file_is_noticed(tmp_path: Path, tree: Taxonomy) -> None:
    """A corpus with another hash than its entry names is refused."""
    known = corpus(tmp_path, json.dumps(GOOD))
    with pytest.raises(CorpusError, match="sha256"):
        corpora.read(Corpus(**vars(known) | {"sha256": "0" * 64}), tree)


def test_a_wrong_entry_is_refused(tmp_path: Path) -> None:
    """An entry without a licence, or with an unknown use, is named."""
    path = tmp_path / "corpora.toml"
    path.write_text('[[corpus]]\nname = "n"\npath = "p"\nuse = "sell"\norigin = "o"\n')
    with pytest.raises(CorpusError, match="licence"):
        corpora.listed(path)


def test_drafts_are_filed_as_batches(tmp_path: Path, tree: Taxonomy) -> None:
    """Drafts become examples by category and language; a second filing replaces the batch."""
    draft = tmp_path / "north_a.txt"
    draft.write_text(
        "loan_upfront_fee|-|victim|交了保证金\\n贷款没下来\n"
        "consumer_dispute|other_fraud|victim|The kettle broke | and no refund\n"
        "loan_upfront_fee|-|victim|交了保证金，贷款没下来！\n",
        "utf-8",
    )
    folder = tmp_path / "own"
    folder.mkdir()
    for _ in range(2):
        assert corpora.add([draft], tree, folder) == 2
    own = Corpus("own", folder, "fit", "", "")
    first, second = corpora.read(own, tree)
    assert (first.text, first.language, first.script) == ("交了保证金\n贷款没下来", "zh", "Hans")
    assert (second.category, second.second, second.script) == ("not_fraud", "other_fraud", "Latn")
    assert {path.name for path in folder.iterdir()} == {"fake_loan.zh.jsonl", "not_fraud.en.jsonl"}


def test_near_duplicates_are_found() -> None:
    """Two texts that differ in a word are a pair, two of one scheme are not."""
    long = "he called from the bank and said that my card would be blocked today unless I gave the code"
    texts = [
        long,
        long.replace("today", "tonight"),
        "the bank card code was asked by a man on the phone",
    ]
    assert batches.near_duplicates(texts) == [(0, 1)]


def test_the_own_corpus_is_what_it_must_be(tree: Taxonomy) -> None:
    """Large and wide enough: 3,000 reports, 500 not_fraud, each scheme in Chinese and in English."""
    examples = corpora.fit_examples([corpora.listed()["own"]], tree)
    assert len(examples) >= 3000
    assert sum(e.category == "not_fraud" for e in examples) >= 500
    for language in ("zh", "en"):
        assert {e.scheme for e in examples if e.language == language} == set(tree.scheme_ids)
    assert {e.script for e in examples} == {"Hans", "Hant", "Latn"}
    assert all(e.id and e.batch and e.voice for e in examples)
    assert len({e.id for e in examples}) == len(examples)
    frauds = [e for e in examples if e.category != "not_fraud"]
    assert sum(not batches.GIVE_AWAY.search(e.text) for e in frauds) >= len(frauds) / 3
    assert min(len(e.text) for e in examples) <= 20
    assert max(len(e.text) for e in examples) >= 600


def test_the_report_holds_no_text() -> None:
    """The report on batches has numbers and names only."""
    rows = [
        Example(
            str(i),
            f"secret story {i} " * 5,
            "fake_loan",
            "loan_upfront_fee",
            None,
            "en",
            "Latn",
            "v",
            "b",
        )
        for i in range(3)
    ]
    report = batches.report(rows)
    assert "secret" not in report
    assert "3 reports in 1 batches" in report
