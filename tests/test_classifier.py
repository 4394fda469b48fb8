"""The classifier: predictions, roll-up, review."""

import dataclasses
import gc
from pathlib import Path

import numpy as np
import pytest

import model
from model import artifact, kernel
from model.classifier import PIECE, SHIPPED
from model.rules import REASONS

REPORTS = [
    "报警人称接到自称客服的电话，说快递丢了要理赔，让他下载会议软件共享屏幕，卡里三万被转走",
    "They sent a link for a toll I never used, I typed my card and 900 dollars were gone.",
    "群里派单先垫付后返佣金，前几单返了，后面说操作失误要补单，垫了两万提不出来",
    "The gym will not cancel my membership although I moved away, very rude staff.",
]


def test_the_fields_of_a_prediction_agree(classifier: model.Classifier) -> None:
    """Category, scheme, probabilities and ranking of one prediction fit each other and the tree."""
    tree = classifier.taxonomy
    for prediction in classifier.classify(REPORTS):
        assert prediction.category == prediction.ranked[0][0]
        assert prediction.category_probability == prediction.ranked[0][1]
        assert [p for _, p in prediction.ranked] == sorted((p for _, p in prediction.ranked), reverse=True)
        assert len(prediction.ranked) == 5
        place = tree.scheme_ids.index(prediction.scheme)
        assert tree.category_ids[tree.category_index[place]] == prediction.category
        assert prediction.scheme_probability <= prediction.category_probability + 1e-6
        assert prediction.needs_review == (prediction.review_reason is not None)
        assert prediction.as_dict()["ranked"][0]["category"] == prediction.category


def test_obvious_reports_are_named(classifier: model.Classifier) -> None:
    """Four plain reports get the category that anyone would give them."""
    assert [p.category for p in classifier.classify(REPORTS)] == [
        "customer_service_impersonation", "account_takeover", "part_time_job", "not_fraud",
    ]  # fmt: skip


def test_category_probabilities_are_sums_of_schemes(classifier: model.Classifier) -> None:
    """A category's probability is the sum of its schemes', and all sum to one."""
    schemes = classifier.probabilities(REPORTS)
    assert schemes.shape == (4, len(classifier.taxonomy.scheme_ids))
    np.testing.assert_allclose(schemes.sum(axis=1), 1, atol=1e-5)
    best, chance = classifier.categories(REPORTS)
    assert chance.dtype == np.float32
    for row, index, value in zip(schemes, best, chance, strict=True):
        assert row[classifier.category_index == index].sum() == pytest.approx(value, abs=1e-5)


def test_a_longer_text_is_answered_more_surely(small_model: Path, tree: model.Taxonomy) -> None:
    """With sharpening the scores of a text grow with its tokens to that power, and evidence with them."""
    manifest, arrays = artifact.load(small_model)
    plain, sharp = (
        model.Classifier(dataclasses.replace(manifest, sharpening=power), arrays, tree)
        for power in (0.0, 0.5)
    )
    usual = int(kernel.USUAL_TOKENS)
    texts = ["转账 " * (usual // 8), "转账 " * (2 * usual)]  # two tokens each time
    before, statistics = plain.scores(texts)
    after = sharp.scores(texts)[0]
    factors = (statistics[:, kernel.TOKENS] / usual) ** 0.5
    assert factors[0] < 0.6 < 1.9 < factors[1]
    np.testing.assert_allclose(after, factors[:, None] * before, rtol=1e-5)
    for text, factor in zip(texts, factors.tolist(), strict=True):
        kept = plain.explain(text, "fake_loan").margin
        assert sharp.explain(text, "fake_loan").margin == pytest.approx(factor * kept, rel=1e-5)


def test_a_lapse_changes_how_sure_an_answer_is_and_not_the_answer(
    small_model: Path, tree: model.Taxonomy
) -> None:
    """A lapse takes its share off every category's probability and gives each an even part of it."""
    manifest, arrays = artifact.load(small_model)
    plain, lapsed = (
        model.Classifier(dataclasses.replace(manifest, lapse=lapse), arrays, tree) for lapse in (0.0, 0.1)
    )
    even = 0.1 / len(tree.category_ids)
    np.testing.assert_allclose(
        lapsed.category_probabilities(REPORTS), 0.9 * plain.category_probabilities(REPORTS) + even, atol=1e-6
    )
    for one, two in zip(plain.classify(REPORTS), lapsed.classify(REPORTS), strict=True):
        assert (one.category, one.scheme) == (two.category, two.scheme)
    assert [lapsed.classify([text])[0] for text in REPORTS] == lapsed.classify(REPORTS)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("骗了", "too_short"),
        ("ok thanks", "too_short"),
        ("Меня обманули мошенники, они украли все мои деньги с карты", "other_language"),
        ("사기를 당했습니다 도와주세요 제 돈을 모두 가져갔어요", "other_language"),
        ("xqzv brrrt wlkfj qqpzx zzyyx vvbnmq plokij qazwsx", "unknown_words"),
    ],
)
def test_what_the_model_cannot_read_needs_review(
    classifier: model.Classifier, text: str, reason: str
) -> None:
    """Too short a text, another script and gibberish go to a person, with the reason."""
    prediction = classifier.classify([text])[0]
    assert (prediction.needs_review, prediction.review_reason) == (True, reason)
    assert not prediction.scheme_sure


def test_a_low_probability_needs_review(classifier: model.Classifier) -> None:
    """Below its category's threshold an answer is unsure, at it it is given."""
    chance = classifier.classify(REPORTS[:1])[0].category_probability
    names = classifier.taxonomy.category_ids
    for threshold, reason in ((chance - 1e-4, None), (chance + 1e-4, "unsure")):
        manifest = dataclasses.replace(classifier.manifest, thresholds=dict.fromkeys(names, threshold))
        other = model.Classifier(manifest, artifact.load(SHIPPED)[1], classifier.taxonomy)
        assert other.classify(REPORTS[:1])[0].review_reason == reason


def test_what_is_no_text_is_named_by_its_index(classifier: model.Classifier) -> None:
    """A number among the texts raises TextError that says where, not what."""
    with pytest.raises(model.TextError, match=r"texts\[1\] is int"):
        classifier.classify(["fine", 4711])  # type: ignore[list-item]


def test_no_texts_no_predictions(classifier: model.Classifier) -> None:
    """An empty list is answered by an empty list."""
    assert classifier.classify([]) == []
    assert classifier.probabilities([]).shape == (0, len(classifier.taxonomy.scheme_ids))


def test_a_models_folder_is_followed(tmp_path: Path, small_model: Path) -> None:
    """`load` takes the folder of a model, or of models with a `current` pointer."""
    models = tmp_path / "models"
    models.mkdir()
    small_model.rename(models / "0.1.0-x")
    (models / "current").write_text("0.1.0-x\n")
    assert model.load(models).manifest == model.load(models / "0.1.0-x").manifest


@pytest.mark.parametrize("pointer", ["", "..", "../elsewhere", "/", "missing"])
def test_a_bad_pointer_is_refused(tmp_path: Path, pointer: str) -> None:
    """A pointer that is empty, leads outside or to nothing is refused with its path."""
    (tmp_path / "current").write_text(pointer)
    with pytest.raises(model.ArtifactError, match="current"):
        model.load(tmp_path)


def test_another_taxonomy_is_refused(classifier: model.Classifier, small_model: Path) -> None:
    """A model does not load with a tree whose schemes are not its columns."""
    manifest, arrays = artifact.load(small_model)
    other = dataclasses.replace(classifier.taxonomy, categories=classifier.taxonomy.categories[:3])
    with pytest.raises(model.ArtifactError, match="retrain"):
        model.Classifier(manifest, arrays, other)


def test_texts_in_one_buffer_are_answered_alike(classifier: model.Classifier) -> None:
    """`classify_utf8` says what `classify` says, wherever in the buffer the texts lie."""
    texts = [*REPORTS, "", "骗", "😀 my parcel was lost"]
    encoded = [text.encode() for text in texts]
    starts = 3 + np.concatenate([[0], np.cumsum([len(text) for text in encoded])]).astype(np.int64)
    found = classifier.classify_utf8(b"xyz" + b"".join(encoded) + b"\xff", starts)
    reasons = (None, *REASONS)
    tree = classifier.taxonomy
    best, chances = classifier.categories_utf8(b"xyz" + b"".join(encoded) + b"\xff", starts)
    np.testing.assert_array_equal(best, found.category)
    np.testing.assert_array_equal(chances, found.category_probability)
    for i, said in enumerate(classifier.classify(texts)):
        assert tree.category_ids[found.category[i]] == said.category
        assert tree.scheme_ids[found.scheme[i]] == said.scheme
        assert float(found.category_probability[i]) == said.category_probability
        assert float(found.scheme_probability[i]) == said.scheme_probability
        assert (bool(found.scheme_sure[i]), reasons[found.reason[i]]) == (
            said.scheme_sure,
            said.review_reason,
        )


@pytest.mark.parametrize(
    ("content", "starts"), [(b"ab\xffc", [0, 2, 4]), ("骗".encode(), [0, 1, 3]), (b"\xed\xa0\x80", [0, 3])]
)
def test_a_buffer_that_is_not_utf8_is_refused(
    classifier: model.Classifier, content: bytes, starts: list[int]
) -> None:
    """Bytes that are no UTF-8, or a text that begins inside a character, never reach the kernel."""
    with pytest.raises(model.TextError, match="not UTF-8"):
        classifier.classify_utf8(content, np.array(starts, np.int64))


@pytest.mark.parametrize("starts", [[-1, 2], [0, 9], [2, 1]])
def test_starts_outside_of_a_buffer_are_refused(classifier: model.Classifier, starts: list[int]) -> None:
    """Texts that would lie outside of their buffer, or end before they begin, never reach the kernel."""
    with pytest.raises(model.TextError, match="starts"):
        classifier.categories_utf8(b"abcd", np.array(starts, np.int64))


def test_many_texts_are_answered_as_one_by_one(classifier: model.Classifier) -> None:
    """More texts than are taken at a time give what each gives alone, and a fault among them is named."""
    texts = [f"{text} {i}" for i, text in enumerate(REPORTS * (PIECE // len(REPORTS) + 1))]
    best, chances = classifier.categories(texts)
    for at in (0, PIECE - 1, PIECE, len(texts) - 1):
        assert best[at] == classifier.categories([texts[at]])[0][0]
        assert chances[at] == classifier.categories([texts[at]])[1][0]
    assert len(classifier.classify(texts)) == len(texts)
    with pytest.raises(model.TextError, match=rf"texts\[{PIECE}\] is int"):
        classifier.categories([*texts[:PIECE], 7])  # type: ignore[list-item]


@pytest.mark.parametrize("on", [True, False])
def test_the_garbage_collector_is_left_as_it_was(classifier: model.Classifier, on: bool) -> None:
    """Whether it runs or not is the caller's choice, before many texts are classified and after."""
    (gc.enable if on else gc.disable)()
    try:
        classifier.classify(["a parcel from customs", "退货的客服"])
        assert gc.isenabled() is on
    finally:
        gc.enable()
