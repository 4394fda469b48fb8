"""Evidence: the additions, booked on words."""

import numpy as np
import pytest

import model

TEXTS = [
    "对方自称某银行贷款专员，让我先交手续费，交完就联系不上了",
    "對方自稱檢察官，說我的帳戶涉嫌洗錢，要我把錢匯到監管帳戶",
    "Ｔｈｅｙ said my parcel 📦 was held 𠮷 by customs and a fine must be paid",
    "She asked for the O.T.P and my account was emptied",
]


@pytest.mark.parametrize("text", TEXTS)
def test_the_weights_sum_to_the_margin(classifier: model.Classifier, text: str) -> None:
    """With the bias, the weights sum to the score of the top scheme minus the mean outside."""
    explanation = classifier.explain(text)
    scores = classifier.scores([text])[0][0][: len(classifier.taxonomy.scheme_ids)].astype(float)
    inside = classifier.category_index == classifier.taxonomy.category_ids.index(explanation.category)
    top = classifier.taxonomy.scheme_ids.index(explanation.scheme)
    margin = (scores[top] - scores[~inside].mean()) / classifier.manifest.temperature
    total = sum(word.weight for word in explanation) + explanation.bias
    assert total == pytest.approx(margin, abs=1e-4)
    assert explanation.margin == pytest.approx(margin, abs=1e-4)


@pytest.mark.parametrize("text", TEXTS)
def test_spans_are_whole_words_of_the_text_as_sent(classifier: model.Classifier, text: str) -> None:
    """Spans are in order, do not overlap, and end where words end, whatever the width or plane."""
    last = 0
    for word in classifier.explain(text):
        assert last <= word.start < word.end <= len(text)
        last = word.end
        span = text[word.start : word.end]
        if span.isascii() and span.isalpha():
            assert not text[word.start - 1 : word.start].isalpha() or word.start == 0
            assert not text[word.end : word.end + 1].isalpha()
    spans = [text[word.start : word.end] for word in classifier.explain(text)]
    assert "".join(spans) in text.replace(" ", "").replace("，", "") or len(spans) > 3


def test_the_fees_speak_for_the_loan(classifier: model.Classifier) -> None:
    """The words that a person would point at are among the strongest."""
    explanation = classifier.explain(TEXTS[0], "fake_loan")
    assert any(
        "贷款" in TEXTS[0][w.start : w.end] or "手续费" in TEXTS[0][w.start : w.end]
        for w in explanation.strongest()
    )


def test_deleting_the_strongest_words_moves_the_answer_most(classifier: model.Classifier) -> None:
    """Without its three strongest words a report loses more of its margin than without three others."""
    generator = np.random.default_rng(0)
    strongest, random = [], []
    for text in TEXTS:
        explanation = classifier.explain(text)
        best = sorted(explanation, key=lambda w: -w.weight)[:3]
        other = [explanation[i] for i in generator.permutation(len(explanation))[:3]]
        for chosen, drops in ((best, strongest), (other, random)):
            left = list(text)
            for word in chosen:
                left[word.start : word.end] = " " * (word.end - word.start)
            after = classifier.explain("".join(left), explanation.category).margin
            drops.append(explanation.margin - after)
    assert np.mean(strongest) > np.mean(random)


def test_an_unknown_category_is_refused(classifier: model.Classifier) -> None:
    """A category that is not in the tree is named as such."""
    with pytest.raises(KeyError, match="unknown category"):
        classifier.explain(TEXTS[0], "no_such_category")
