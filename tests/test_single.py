"""model.single: one text in one compiled call."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import model
from model import artifact, single
from model.classifier import SHIPPED

any_text = st.text(st.one_of(st.characters(), st.sampled_from("诈骗刷單帳 otp loan０①.。\n")), max_size=60)


@settings(max_examples=60, deadline=None)
@given(text=any_text)
def test_a_text_alone_is_answered_as_in_company(classifier: model.Classifier, text: str) -> None:
    """Alone or beside another, a text gets the same prediction to the last bit and of the same types."""
    (alone,) = classifier.classify([text])
    beside = classifier.classify([text, "my loan"])[0]
    assert alone == beside
    assert [type(value) for value in alone] == [type(value) for value in beside]


@pytest.mark.parametrize("text", ["", "骗", "\ud800 half a pair", "They took my 💶 " * 400])
def test_an_explanation_is_of_the_answer(classifier: model.Classifier, text: str) -> None:
    """Evidence is for the category and the scheme that the prediction names."""
    (said,) = classifier.classify([text])
    explanation = classifier.explain(text)
    assert (explanation.category, explanation.scheme) == (said.category, said.scheme)
    assert explanation == classifier.explain(text, said.category)


def test_a_tree_of_few_categories(classifier: model.Classifier) -> None:
    """Where there are fewer than five categories, all are ranked and none twice."""
    tree = dataclasses.replace(classifier.taxonomy, categories=classifier.taxonomy.categories[:3])
    n = len(tree.scheme_ids)
    manifest = dataclasses.replace(classifier.manifest, schemes=tree.scheme_ids)
    manifest = dataclasses.replace(
        manifest, thresholds={name: manifest.thresholds[name] for name in tree.category_ids}
    )
    arrays = artifact.load(SHIPPED)[1]
    for name in ("gram_rows", "word_rows"):
        arrays[name] = arrays[name][:, :n]
    for name in ("gram_scale", "word_scale", "bias"):
        arrays[name] = arrays[name][:n]
    small = model.Classifier(manifest, arrays, tree)
    (alone,) = small.classify(["my loan"])
    assert sorted(name for name, _ in alone.ranked) == sorted(tree.category_ids)
    assert alone == small.classify(["my loan", ""])[0]


@pytest.mark.parametrize("texts", ["a", [7], [None]])
def test_what_is_no_list_of_one_text_is_refused(classifier: model.Classifier, texts: list[str]) -> None:
    """A bare string of one character and a list of one thing that is no text raise TextError."""
    with pytest.raises(model.TextError):
        classifier.classify(texts)


@pytest.mark.parametrize("name", ["kernel.py", "rules.py", "vector.py"])
def test_machine_code_is_renewed_with_what_it_calls(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A change of any file that the compiled functions call into makes other ones of them."""
    before = single.sources()
    read = Path.read_bytes
    monkeypatch.setattr(
        Path, "read_bytes", lambda path: read(path) + (b"# changed" if path.name == name else b"")
    )
    assert single.sources() != before
    for function in (single.answer, single.explain):
        assert [cell.cell_contents for cell in function.py_func.__closure__] == [before]
